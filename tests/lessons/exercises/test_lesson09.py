"""Answers to the exercises of 09-review-the-rest, and what its text says."""

import numpy as np
import pytest

from hypkit import AsmError, Machine, assemble
from hypkit.a64.pagetables import AP_RO
from hypkit.lessons.exercises.lesson09 import FIXED, LINES, SIGNED, THREE, UNSIGNED
from hypkit.lessons.material import IN_A_ROW, REMARKS, as_remarked, framed
from tests.marks import needs_engine

BARRIER = "        speculation_barrier\n"


STUB_CALLS = range(3)  # set the vectors, reset them, restart softly
ANSWERED = {"A": 0x1_0000_0101, "B": "done", "C": 0x50, "D": "done", "E": 0x101}


def fits(n):
    return n < 0x1000 or n < 0x100_0000 and not n % 0x1000


def enter(machine, label):
    ours = machine.address("hyp_stack", "hyp") + 0x1000 - 8
    table = machine.address("kvm_hcall_table", "hyp")
    machine.hvc((ours - table) // 8 | 1 << 63, machine.address(label, "image"))


def by_the_assembler(n):
    try:
        assemble(f"cmp x0, #{n:#x}")
    except AsmError:
        return False
    return True


def by_another_machine(n):
    try:
        Machine("numbered", dispatcher=f"dispatch:\n cmp x0, #{n:#x}\n eret\n").close()
    except AsmError:
        return False
    except Exception:
        pass
    return True


# The first number taken away, and an unsigned test of what is left.
SUBTRACTED = FIXED.replace(
    "        cmp     x0, #KVM_HOST_HCALL_END\n        b.lo    3f\n",
    "        cmp     x0, #3\n        b.lo    2f\n"
    "        cmp     x0, #KVM_HOST_HCALL_END\n        b.lo    3f\n",
)


def call_and_hvc(machine, label):
    machine.call("__kvm_get_mdcr_el2")
    enter(machine, label)


def by_a_poke(machine, label):
    """The table's entry in a structure of the kernel's, in place of EL2's stack."""
    at = machine.address("kvm0", "linear")
    machine.poke(at, machine.address(label, "image").to_bytes(8, "little"))
    table = machine.address("kvm_hcall_table", "hyp")
    machine.hvc((machine.address("kvm0", "hyp") - table) // 8 | 1 << 63)


def without_bit_63(machine, label):
    ours = machine.address("hyp_stack", "hyp") + 0x1000 - 8
    table = machine.address("kvm_hcall_table", "hyp")
    machine.hvc((ours - table) // 8, machine.address(label, "image"))


def by_its_hyp_address(machine, label):
    ours = machine.address("hyp_stack", "hyp") + 0x1000 - 8
    table = machine.address("kvm_hcall_table", "hyp")
    machine.hvc((ours - table) // 8 | 1 << 63, machine.address(label, "hyp"))


def with_a_table_of_its_own(machine, label):
    slot = machine.address("kvm_hcall_table") + 8 * 3
    descriptor = machine.translate(slot, el=1).descriptor
    machine.poke(machine.entry_of(slot), (descriptor & ~AP_RO).to_bytes(8, "little"))
    machine.poke(slot, machine.address(label, "image").to_bytes(8, "little"))
    machine.hvc(3)


RIGHT_ANSWERS = [
    ("09.1", fits),
    ("09.1", lambda n: n >> 12 == 0 or n & 0xFFF == n >> 24 == 0),
    ("09.1", lambda n: np.bool_(fits(n))),
    ("09.1", lambda n: 1 if fits(n) else 0),
    ("09.2", THREE),
    ("09.2", "sub x0, x0, 256; cmp x0, 13; b.hi refuse"),
    pytest.param("09.2", "subs x0, x0, #0x100\ncmp x0, #0xe\nb.cs refuse", marks=needs_engine),
    ("09.6", ANSWERED),
    ("09.6", list(ANSWERED.values())),
    ("09.6", ANSWERED | {"A": -1 << 32 | 0x105, "C": -1, "B": " Done ", "E": 0x10D}),
    ("09.4", SUBTRACTED),
    ("09.3", -2),
    ("09.3", (1 << 64) - 2),
    ("09.3", (1 << 63) - 2 | 1 << 63),
    ("09.4", FIXED),
    (
        "09.4",
        SIGNED.replace("b.lt ", "b.cc ").replace(
            "        eret\n\n3:", "        eret\n        dsb nsh\n        isb\n3:"
        ),
    ),
    ("09.5", enter),
]
MISTAKES = [
    ("09.1", lambda n: n < 0x1000, "low 12 bits are zero, and 12 bits hold the rest"),
    ("09.1", lambda n: n % 0x1000 == 0 or n < 0x1000, "still needs more than 12 bits"),
    ("09.1", lambda n: n < 1 << 24, "its low 12 bits are not zero"),
    ("09.1", lambda n: "yes", "Expected True or False"),
    ("09.2", THREE.replace("b.hs", "b.ge"), "no call's number: expected -38"),
    ("09.2", THREE.replace("b.hs", "b.hi"), "x0 = 0x10e"),
    ("09.2", THREE.replace("x0", "w0"), "x0 = 0x"),
    ("09.2", "        cmp x0, #14\n        b.hs refuse\n", "x0 = 0x"),
    ("09.2", THREE.replace("refuse", "refused"), "does not assemble: line 6"),
    ("09.2", "cmp x0, #0x100\nb.lo refuse\n" + THREE, "expected 3 instructions before the table"),
    ("09.2", framed(THREE), "Expected the lines of the test alone"),
    ("09.2", THREE.splitlines(), "Expected three lines of assembly, one string; got a list of 3"),
    ("09.6", dict.fromkeys(ANSWERED, "done"), "for some x0 the host gets something else"),
    ("09.6", ANSWERED | {"B": 0x50}, "that is no reason"),
    ("09.6", ANSWERED | {"E": 0x50}, "no function runs, and x0 is 0xffffffffffffffda: that is no"),
    ("09.6", ANSWERED | {"D": 0x102}, "__kvm_timer_set_cntvoff runs and comes back: that is no"),
    ("09.6", ANSWERED | {"C": "done"}, "Leave the first test out."),
    ("09.6", ANSWERED | {"D": "no"}, "Expected 'done' for D, or a value for x0; got 'no'"),
    ("09.6", ANSWERED | {"A": 1 << 70}, "64 bits"),
    ("09.6", {"A": 0x1_0000_0101}, 'the key "B" is missing'),
    ("09.1", by_the_assembler, "fits asks the assembler"),
    ("09.1", by_another_machine, "fits asks the assembler"),
    ("09.1", lambda n: n.bit_length() <= 12 or n & 0xFFF == 0, "still needs more than 12 bits"),
    ("09.1", lambda n: n <= 0xFFF or n % 0x1000 == 0 and n < 0xFFF000, "fits(0xfff000)"),
    ("09.3", -3 & ~(7 << 61) | 1 << 63, "loads from kimage_voffset"),
    ("09.3", "-2", "without quotes"),
    (
        "09.4",
        FIXED.replace(BARRIER, "        isb\n", 1),
        "the one of line 12 comes `isb`, then `adrp",
    ),
    (
        "09.4",
        FIXED.replace(BARRIER, "        isb\n        dsb nsh\n", 1),
        "after the one of line 12 comes `isb`, then `dsb nsh`",
    ),
    ("09.4", FIXED.replace("        divert_stub_calls\n", ""), "x0 is not the host's"),
    ("09.5", call_and_hvc, "Expected one machine.hvc; enter made 2 calls"),
    ("09.5", by_a_poke, "enter wrote to memory"),
    ("09.3", -1, "step 22 loads from kvm_lm_offset"),
    ("09.3", -3, "loads from kimage_voffset"),
    ("09.3", 0x500, "no table entry is loaded"),
    ("09.3", 0, "no table entry is loaded"),
    ("09.3", 1 << 64, "64 bits"),
    ("09.4", SIGNED, "-1 as a signed number, expected -38; EL2 panicked"),
    ("09.4", UNSIGNED, "Expected a speculation barrier"),
    ("09.4", FIXED.replace("b.lo ", "b.ls "), "expected -38; EL2 panicked"),
    ("09.4", FIXED.replace("b.lo ", "b.hs "), "to be called as before"),
    ("09.4", FIXED.replace("b.lo ", "b.below "), "does not assemble: line 10"),
    ("09.5", without_bit_63, "it branches nowhere"),
    ("09.5", by_its_hyp_address, "expected step 34 to branch to"),
    ("09.5", lambda m, label: m.hvc(-1), "it branches to"),
    ("09.5", with_a_table_of_its_own, "enter has changed the table or a variable"),
    pytest.param(
        "09.4",
        FIXED.replace("cmp     x0", "cmp     w0"),
        "as a signed number, expected -38",
        marks=needs_engine,
    ),
]
NONSENSE = [
    "junk",
    -1 << 80,
    [1, [2]],
    "dispatch: b dispatch\nkvm_hc_ni: b kvm_hc_ni\n",
    {"A": None, "B": [], "C": {}, "D": "done", "E": 1.5},
]


def test_the_signed_text_is_the_reviewed_machines_but_for_two_letters():
    with (
        Machine("reviewed", seed=3) as reviewed,
        Machine("reviewed", seed=3, dispatcher=UNSIGNED) as ours,
        Machine("reviewed", seed=3, dispatcher=SIGNED) as broken,
    ):
        words = [m.image.dispatcher.code for m in (reviewed, ours, broken)]
    assert words[0] == words[1]
    assert sum(a != b for a, b in zip(words[1], words[2], strict=True)) == 1


def test_version_1_itself_refuses_what_is_negative():
    with Machine("numbered", seed=3) as machine:
        for x0 in (-1, -256, -1 << 63, machine.address("kvm_hcall_table")):
            assert machine.hvc(x0).x0 == -38 & (1 << 64) - 1


def test_seventeen_is_the_end_of_the_range_without_a_base():
    with Machine("reviewed", seed=3) as machine:
        test = next(s for s in machine.hvc(99).trace if s.symbol == "dispatch_find")
    assert test.text == "cmp x0, #0x11"  # three of the stub, fourteen calls


def test_the_lines_of_the_lesson_assemble():
    assert len(assemble("\n".join(LINES)).code) == 4 * len(LINES)


def answered(text, numbers):
    """What a machine with this dispatcher answers: (outcome, x0) of each number in x0, one after
    the other. A machine that is gone is made anew, and one that a stub call has taken out of EL2."""
    answers, machine = [], None
    for x0 in numbers:
        machine = machine or Machine("numbered", seed=3, dispatcher=text)
        call = machine.hvc(x0, 0x40, 0x5, 0x7)
        answers.append((call.outcome, call.x0))
        if call.outcome != "returned" or x0 in STUB_CALLS:
            machine.close()
            machine = None
    if machine:
        machine.close()
    return answers


def test_each_remark_changes_the_text_and_two_of_them_change_no_call():
    texts = {letter: as_remarked(letter) for letter in REMARKS}
    assert len({IN_A_ROW, *texts.values()}) == 1 + len(REMARKS)
    numbers = [*range(0x200), -1, -2, 1 << 63, (1 << 32) + 0x101, (1 << 32) + 5]
    answers = {}
    for letter, text in {"": IN_A_ROW, **texts}.items():
        answers[letter] = answered(text, numbers)
    same = {letter for letter in REMARKS if answers[letter] == answers[""]}
    assert same == {letter for letter, reply in ANSWERED.items() if reply == "done"}
