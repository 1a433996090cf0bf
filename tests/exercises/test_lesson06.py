"""The checks of lesson 06: headers that do as asked, headers that do not, and what is no header."""

import json
import re

import pytest

from hypkit import _compile, header
from hypkit.abi import HYPERCALLS, SPARE
from hypkit.check import RIGHT, WRONG, check
from hypkit.exercises.lesson06 import BROKEN, EARLY
from hypkit.header import DEFINES, ENUM

NUMBERS, LIST = "kvm_hcalls.h", "kvm_hcall_list.h"
TEXT = DEFINES[NUMBERS]
NONSENSE = (None, "a string", 1 << 200, -1, 3.5, [], [None], {}, {NUMBERS: 7}, object(), True,
            {NUMBERS: "x", LIST: "y"}, lambda *a: 1 / 0, {1: 2}, "\0", float("nan"))


@pytest.fixture(autouse=True)
def inside(monkeypatch):
    """The compiler in this process: test_header.py proves the other one."""
    monkeypatch.setattr(header, "_run", lambda job: json.dumps(_compile.answer(json.loads(job))))


def listing(names):
    return "".join(f"KVM_HOST_HCALL({name})\n" for name in names)


def by_hand(*entries, size=16):
    lines = "".join(f"#define KVM_HOST_HCALL_IDX_{name} {index}\nKVM_HOST_HCALL({name})\n"
                    for name, index in entries)
    last = "\n#define KVM_HOST_HCALL_SIZE "
    return TEXT.replace(f"{last}14", f"{lines}{last}{size}")


def guarded(condition):
    return ENUM[NUMBERS] + f'_Static_assert({condition}, "the tool");\n'


def ordered(names, none="KVM_HOST_HCALL_NONE = 2,", base="0"):
    numbers = ENUM[NUMBERS].replace("enum kvm_host_hcall {", "enum kvm_host_hcall {" + none)
    return {NUMBERS: numbers.replace("BASE 0x100", f"BASE {base}"), LIST: listing(names)}


STRAYS = {"__kvm_tlb_flush_local_vmid": "__kvm_flush_vm_context",
          "__vgic_v3_write_vmcr": "__vgic_v3_read_vmcr"}
LATE = tuple(name for name in HYPERCALLS if name not in EARLY)
RUN = "KVM_HOST_HCALL_NR(__kvm_vcpu_run_nvhe)"


@pytest.mark.parametrize(("number", "answer"), [
    ("06.1", STRAYS),
    ("06.2", ENUM | {LIST: ENUM[LIST] + listing(SPARE)}),
    ("06.2", by_hand((SPARE[0], 14), (SPARE[1], 15))),
    ("06.2", by_hand((SPARE[1], 14), (SPARE[0], 15))),
    ("06.3", guarded(f"{RUN} == 0x105")),
    ("06.3", guarded("KVM_HOST_HCALL_IDX___kvm_vcpu_run_nvhe == 5 && KVM_HOST_HCALL_BASE == 256")),
    ("06.4", ordered((*EARLY, *LATE))),
    ("06.4", ordered((*reversed(EARLY), *reversed(LATE)))),
    ("06.4", ordered((*EARLY, *LATE), none="A, B, C,")),
])
def test_a_right_answer_passes(number, answer):
    verdict = check(number, answer)
    assert (verdict.kind, verdict.passed) == (RIGHT, True), verdict


@pytest.mark.parametrize(("number", "answer", "says"), [
    ("06.1", {b: a for a, b in STRAYS.items()}, "__kvm_flush_vm_context runs as it should"),
    ("06.1", dict(list(STRAYS.items())[:1]), "Expected 2 calls that go astray; came 1"),
    ("06.1", {"__kvm_tlb_flush_local_vmid": "kvm_hc_ni"}, "the later one stays"),
    ("06.1", {"printk": "x"}, "'printk' is none"),
    ("06.2", TEXT, "Expected a number for __kvm_timer_get_cntvoff"),
    ("06.2", by_hand((SPARE[0], 14), (SPARE[1], 14)), "Expected __kvm_timer_get_cntvoff to run.*"
     "the call ran __kvm_get_hcr_el2"),
    ("06.2", by_hand((SPARE[0], 14), (SPARE[1], 15), size=15), "does not compile; kvm_hcalls.h, "
     "line .*slot 15 of the table, which is behind the end"),
    ("06.2", ENUM | {LIST: listing(SPARE) + ENUM[LIST]}, "keep their numbers; __kvm_enable_ssbs "
     "was 0x100 and is 0x102"),
    ("06.2", by_hand((SPARE[0], 14), (SPARE[1], 15), size=20).replace(
        f"KVM_HOST_HCALL({SPARE[0]})\n", ""), "got kvm_hc_ni"),
    ("06.2", ENUM | {LIST: ENUM[LIST] + listing(["__kvm_nothing"])}, "no function __kvm_nothing"),
    ("06.2", (ENUM | {LIST: ENUM[LIST] + listing(SPARE)}) | {NUMBERS: ENUM[NUMBERS].replace(
        "(KVM_HOST_HCALL_BASE + KVM_HOST_HCALL_SIZE)", "0x10e")}, "-ENOSYS from the range test"),
    ("06.3", ENUM[NUMBERS], "With a call added at the start, .* has the number 0x106"),
    ("06.3", guarded("KVM_HOST_HCALL_SIZE == 14"),
     "possible, a call added at the end, does not compile; .*failed: the tool"),
    ("06.3", guarded(f"{RUN} == 0x106"), "static assertion failed: the tool"),
    ("06.3", guarded(f"{RUN} <= 0x105"), "With one call before it left out, .* 0x104"),
    ("06.3", ENUM, "Expected the text of kvm_hcalls.h"),
    ("06.2", {LIST: ENUM[LIST] + listing(SPARE)}, "kvm_hcalls.h is missing"),
    ("06.4", {NUMBERS: None, LIST: ENUM[LIST]}, "Expected a text for 'kvm_hcalls.h'; came None"),
    ("06.4", ENUM, "expected none below|Expected the numbers 3 to"),
    ("06.4", ordered((*EARLY, *LATE), none=""), "_enable_ssbs has the number 0; expected none"),
    ("06.4", ordered(HYPERCALLS), "__vgic_v3_init_lrs has the number 11, and a later call has 5"),
    ("06.4", ordered((*EARLY, *LATE), none="A = 4,"),
     "Expected the numbers 3 to 0x10.*came 5 to 0x12"),
    ("06.4", ordered((*EARLY, *LATE[1:])), "Expected a number for __kvm_timer_set_cntvoff"),
])
def test_a_wrong_answer_is_told_what_came(number, answer, says):
    verdict = check(number, answer)
    assert verdict.kind == WRONG
    assert re.search(says, verdict.sentence), verdict


@pytest.mark.parametrize("number", ["06.1", "06.2", "06.3", "06.4"])
@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: type(answer).__name__)
def test_nonsense_gets_a_sentence(number, answer):
    assert check(number, answer).kind == WRONG


def test_the_broken_header_compiles_as_broken_ones_do():
    assert header.read_header(BROKEN).warnings == ()
