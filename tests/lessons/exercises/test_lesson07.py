"""Answers to the exercises of 07-review-adr-l, and labels that move."""

import numpy as np
import pytest

from hypkit import Machine, assemble
from hypkit.check import RIGHT, WRONG, check
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.exercises.lesson07 import DISTANCES, NEAR, POOL, RELATIVE, UNCONVERTED
from tests.marks import needs_engine

SPACES = {
    "adr at EL2": "hyp",
    "ldr at EL2": "image",
    "adr at EL1": "image",
    "ldr at EL1": "image",
    "adr in the stub's handler": "physical",
    "ldr in the stub's handler": "image",
}


def reaches(instruction, pc, target):
    if instruction == "adr_l":
        return -(1 << 20) <= (target >> 12) - (pc >> 12) < 1 << 20
    if instruction == "ldr":
        words, rest = divmod(target - pc, 4)
        return rest == 0 and -(1 << 18) <= words < 1 << 18
    return -(1 << 20) <= target - pc < 1 << 20


def bytes_of_adrp(instruction, pc, target):
    """adr_l by the distance in bytes, not from page to page."""
    if instruction == "adr_l":
        return -(1 << 32) <= target - pc < 1 << 32
    return reaches(instruction, pc, target)


def from_page_zero(instruction, pc, target):
    if instruction == "adr_l":
        return abs((target - pc) >> 12) < 1 << 20
    return reaches(instruction, pc, target)


def no_words(instruction, pc, target):
    return reaches("adr" if instruction == "ldr" else instruction, pc, target)


def both_ends(instruction, pc, target):
    return reaches(instruction, pc, target) or abs(target - pc) == 1 << 20


def without_sign(text):
    return text.replace("ldrsw   x0, [x10, x0, lsl #2]", "ldr     w0, [x10, x0, lsl #2]")


# Four bytes an entry as well, but it is a table of branches: nothing is loaded from it.
BRANCHES = DISTANCES.replace("        ldrsw   x0, [x10, x0, lsl #2]\n", "").replace(
    "add     x0, x10, x0\n", "add     x0, x10, x0, lsl #2\n"
)
for _name in HYPERCALLS:
    BRANCHES = BRANCHES.replace(f".word   {_name} - distances", f"b       {_name}")


RIGHT_ANSWERS = [
    ("07.1", SPACES),
    ("07.1", list(SPACES.values())),
    ("07.1", {key: f" {space.title()} " for key, space in reversed(SPACES.items())}),
    ("07.2", reaches),
    ("07.2", lambda *a: int(reaches(*a))),
    ("07.2", lambda *a: np.bool_(reaches(*a))),
    ("07.3", RELATIVE),
    ("07.3", NEAR),
    ("07.3", DISTANCES),
    ("07.4", DISTANCES),
]
MISTAKES = [
    ("07.1", SPACES | {"ldr at EL2": "hyp"}, "The word in the pool is 0xffff"),
    ("07.1", SPACES | {"adr at EL2": "image"}, "a hyp address, and the table is"),
    ("07.1", SPACES | {"adr in the stub's handler": "hyp"}, "a physical address, and the table"),
    ("07.1", SPACES | {"ldr in the stub's handler": "physical"}, "whoever loads it"),
    ("07.1", SPACES | {"ldr at EL1": "virtual"}, "'physical' or 'hyp' for ldr at EL1"),
    ("07.1", SPACES | {"adr at EL1": 0xFFFF}, "for adr at EL1; got 0xffff"),
    ("07.1", ["hyp", "image"], "Expected a dict with the name of an address space"),
    ("07.2", lambda i, pc, t: abs(t - pc) < 1 << 20, "0x100000 bytes back, expected True for adr"),
    ("07.2", lambda i, pc, t: True, "expected False for adr: adr has -0x100000 to 0xfffff"),
    ("07.2", lambda i, pc, t: "yes", "Expected True or False"),
    ("07.2", lambda i, pc, t: print(end=""), "is a return missing?"),
    ("07.2", bytes_of_adrp, "adr_l"),
    ("07.2", from_page_zero, "adr_l"),
    ("07.2", no_words, "ldr counts words, and +0x1 bytes are no whole number of them"),
    ("07.2", both_ends, "expected False for adr"),
    ("07.3", POOL, "with 4 loads in the dispatch; expected three at most"),
    ("07.3", UNCONVERTED, "run and return; EL2 panicked at dispatch_find+0x40: data abort"),
    (
        "07.3",
        RELATIVE.replace("adr_l", "adr_"),
        "does not assemble: line 18, `adr_ x10, kvm_hcall_table`: unknown instruction `adr_`; did you mean `adr_l`",
    ),
    ("07.3", RELATIVE.replace("kvm_hcall_table", "kvm_hcall_tabel"), "kvm_hcall_tabel"),
    pytest.param(
        "07.3",
        RELATIVE.replace("x0, x0, #0x100", "x0, x0, #0x101"),
        "Expected __kvm_vcpu_run_nvhe to run; __kvm_flush_vm_context ran in its place",
        marks=needs_engine,
    ),
    ("07.3", RELATIVE.replace("#0x10e", "#0x1000"), "Expected -ENOSYS for x0 = 0x"),
    pytest.param(
        "07.4",
        without_sign(DISTANCES),
        "the distance to it is negative. Expected it to run; ",
        marks=needs_engine,
    ),
    pytest.param(
        "07.4",
        without_sign(DISTANCES)
        .replace("ldr     w0,", "ldrh    w0,")
        .replace("lsl #2", "lsl #1")
        .replace(".word", ".hword"),
        "the distance to it is negative. Expected it to run; ",
        marks=needs_engine,
    ),
    ("07.4", BRANCHES, "without a load from the dispatcher's own program; expected a table"),
    ("07.3", POOL.replace("do_el2_call", "nop"), "Expected"),
    (
        "07.3",
        RELATIVE.replace("        divert_stub_calls\n", ""),
        "x0 is not the host's: the entry has put it on EL2's stack",
    ),
    ("07.4", RELATIVE, "with 3 loads in the dispatch; expected one, of a distance"),
    pytest.param(
        "07.4",
        DISTANCES.replace("ldrsw   x0, [x10, x0, lsl #2]", "ldrsw   x0, [x10]"),
        "Expected __kvm_vcpu_run_nvhe to run; __kvm_enable_ssbs ran in its place",
        marks=needs_engine,
    ),
]
NONSENSE = [
    "dispatch:\n",
    "dispatch: b dispatch\n",
    POOL.replace("dispatch_find:", "dispatch_find: b ."),
]


@pytest.mark.parametrize("label", ["dispatch_find:\n", "dispatch_call:\n"])
def test_a_label_that_moves_moves_no_cost_out_of_the_dispatch(label):
    moved = POOL.replace(label, "").replace("3:      //", f"{label}3:      //")
    assert check("07.3", moved).kind == WRONG
    assert check("07.3", RELATIVE.replace(label, "")).kind == RIGHT


def test_what_the_lesson_ships_assembles_without_an_engine(monkeypatch):
    monkeypatch.setenv("HYPKIT_ENGINE", "none")
    monkeypatch.setattr("hypkit.asm.recorded.learned", {})
    assert check("07.4", DISTANCES + "\n        // without an engine\n").passed


def test_the_bytes_of_a_relative_line_give_an_address_of_whatever_space_runs_them():
    """The assembler, given the table in each space, makes the same bytes: that is exercise 07.1."""
    with Machine("numbered", seed=7) as machine:
        made = {
            assemble(
                "adr_l x10, table",
                base=machine.address("dispatch", space),
                symbols={"table": machine.address("kvm_hcall_table", space)},
            ).code
            for space in set(SPACES.values())
        }
    assert len(made) == 1
