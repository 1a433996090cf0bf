"""The checks of lesson 07: dispatchers that keep to the road, and those that do not."""

import re

import pytest

from hypkit import Machine, exercises
from hypkit.check import RIGHT, WRONG, check
from hypkit.exercises.lesson07 import DISTANCES, NEAR, POOL, RELATIVE, UNCONVERTED

NONSENSE = (None, "a string", "", 1 << 200, -1, 3.5, [], [None], {}, object(), lambda *a: 1 / 0,
            float("nan"), "\0", "dispatch:\n", "dispatch: b dispatch\n",
            POOL.replace("dispatch_find:", "dispatch_find: b ."))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(exercises, "SECONDS", 0.3)
    monkeypatch.setattr(exercises, "BUDGET", 20_000)


def word(space, seed=7):
    with Machine("numbered", seed=seed) as machine:
        return machine.address("kvm_hcall_table", space)


def reaches(instruction, pc, target):
    if instruction == "adr_l":
        return -(1 << 20) <= (target >> 12) - (pc >> 12) < 1 << 20
    return -(1 << 20) <= target - pc < 1 << 20


def forever(*arguments):
    while True:
        pass


@pytest.mark.parametrize(("number", "answer"), [
    ("07.1", lambda: word("image")), ("07.2", lambda: reaches), ("07.3", lambda: RELATIVE),
    ("07.3", lambda: NEAR), ("07.3", lambda: DISTANCES), ("07.4", lambda: DISTANCES),
])
def test_a_right_answer_passes(number, answer):
    verdict = check(number, answer())
    assert (verdict.kind, verdict.passed) == (RIGHT, True), verdict


@pytest.mark.parametrize(("number", "answer", "says"), [
    ("07.1", lambda: word("hyp"), "is the hyp address of the table"),
    ("07.1", lambda: word("linear"), "is the linear address of the table"),
    ("07.1", lambda: word("image", 0), "the address that the linker gave it, before KASLR"),
    ("07.1", lambda: word("image") + 8, "the image address of kvm_hcall_table\\+0x8"),
    ("07.2", lambda: lambda i, pc, t: abs(t - pc) < 1 << 20,
     "0x100000 bytes behind, expected True"),
    ("07.2", lambda: lambda i, pc, t: True, "expected False for adr, which reaches 1 MiB"),
    ("07.2", lambda: lambda i, pc, t: 1, "Expected True or False"),
    ("07.2", lambda: forever, "did not return"),
    ("07.3", lambda: POOL, "with 4 loads in the dispatch; expected three at most"),
    ("07.3", lambda: UNCONVERTED, "panicked at dispatch_find.*data abort"),
    ("07.3", lambda: RELATIVE.replace("adr_l", "adr_"),
     "does not assemble: line 18.*did you mean .adr_l"),
    ("07.3", lambda: RELATIVE.replace("kvm_hcall_table", "kvm_hcall_tabel"), "kvm_hcall_tabel"),
    ("07.3", lambda: RELATIVE.replace("x0, x0, #0x100", "x0, x0, #0x101"), "expected .* to run"),
    ("07.3", lambda: RELATIVE.replace("#0x10e", "#0x1000"), "Expected -ENOSYS for x0 = 0x"),
    ("07.4", lambda: RELATIVE, "with 3 loads in the dispatch; expected one, of a distance"),
    ("07.4", lambda: DISTANCES.replace("ldrsw   x0, [x10, x0, lsl #2]",
                                       "ldrsw   x0, [x10]"), "(?i)expected .* to run; "),
])
def test_a_wrong_answer_is_told_what_came(number, answer, says):
    verdict = check(number, answer())
    assert verdict.kind == WRONG
    assert re.search(says, verdict.sentence, re.IGNORECASE), verdict


@pytest.mark.parametrize("label", ["dispatch_find:\n", "dispatch_call:\n"])
def test_a_label_that_moves_moves_no_cost_out_of_the_dispatch(label):
    moved = POOL.replace(label, "").replace("3:      //", f"{label}3:      //")
    assert check("07.3", moved).kind == WRONG
    assert check("07.3", RELATIVE.replace(label, "")).kind == RIGHT


@pytest.mark.parametrize("number", ["07.1", "07.2", "07.3", "07.4"])
@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: type(answer).__name__)
def test_nonsense_gets_a_sentence(number, answer):
    assert check(number, answer).kind == WRONG


def test_what_the_lesson_ships_assembles_without_keystone(monkeypatch):
    monkeypatch.setenv("HYPKIT_NO_KEYSTONE", "1")
    monkeypatch.setattr("hypkit.asm._learned", {})
    assert check("07.4", DISTANCES + "\n        // without Keystone\n").passed
