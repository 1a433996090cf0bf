"""Answers to the exercises of 07-review-adr-l, and labels that move."""

import pytest

from hypkit import Machine
from hypkit.check import RIGHT, WRONG, check
from hypkit.lessons.exercises.lesson07 import DISTANCES, NEAR, POOL, RELATIVE, UNCONVERTED
from tests.marks import needs_keystone

with Machine("numbered", seed=7) as machine:
    TABLE = {
        space: machine.address("kvm_hcall_table", space) for space in ("image", "hyp", "linear")
    }
with Machine("numbered", seed=0) as machine:
    LINKED = machine.address("kvm_hcall_table", "image")


def reaches(instruction, pc, target):
    if instruction == "adr_l":
        return -(1 << 20) <= (target >> 12) - (pc >> 12) < 1 << 20
    return -(1 << 20) <= target - pc < 1 << 20


RIGHT_ANSWERS = [
    ("07.1", TABLE["image"]),
    ("07.2", reaches),
    ("07.3", RELATIVE),
    ("07.3", NEAR),
    ("07.3", DISTANCES),
    ("07.4", DISTANCES),
]
MISTAKES = [
    ("07.1", TABLE["hyp"], "is the hyp address of the table"),
    ("07.1", TABLE["linear"], "is the linear address of the table"),
    ("07.1", LINKED, "the address that the linker gave it, before KASLR"),
    ("07.1", TABLE["image"] + 8, "the image address of kvm_hcall_table+0x8"),
    ("07.2", lambda i, pc, t: abs(t - pc) < 1 << 20, "0x100000 bytes behind, expected True"),
    ("07.2", lambda i, pc, t: True, "expected False for adr, which reaches 1 MiB"),
    ("07.2", lambda i, pc, t: 1, "Expected True or False"),
    ("07.3", POOL, "with 4 loads in the dispatch; expected three at most"),
    ("07.3", UNCONVERTED, "panicked at dispatch_find+0x40: data abort"),
    (
        "07.3",
        RELATIVE.replace("adr_l", "adr_"),
        "does not assemble: line 18: unknown instruction `adr_`; did you mean `adr_l`",
    ),
    ("07.3", RELATIVE.replace("kvm_hcall_table", "kvm_hcall_tabel"), "kvm_hcall_tabel"),
    pytest.param(
        "07.3",
        RELATIVE.replace("x0, x0, #0x100", "x0, x0, #0x101"),
        "Expected __kvm_vcpu_run_nvhe to run; __kvm_flush_vm_context ran in its place",
        marks=needs_keystone,
    ),
    ("07.3", RELATIVE.replace("#0x10e", "#0x1000"), "Expected -ENOSYS for x0 = 0x"),
    ("07.4", RELATIVE, "with 3 loads in the dispatch; expected one, of a distance"),
    pytest.param(
        "07.4",
        DISTANCES.replace("ldrsw   x0, [x10, x0, lsl #2]", "ldrsw   x0, [x10]"),
        "Expected __kvm_vcpu_run_nvhe to run; __kvm_enable_ssbs ran in its place",
        marks=needs_keystone,
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


def test_what_the_lesson_ships_assembles_without_keystone(monkeypatch):
    monkeypatch.setenv("HYPKIT_ENGINE", "none")
    monkeypatch.setattr("hypkit.asm.recorded.learned", {})
    assert check("07.4", DISTANCES + "\n        // without Keystone\n").passed
