"""Answers to the exercises of 08-review-cached-offset, and its attack."""

import pytest

from hypkit import Machine
from hypkit.a64.pagetables import AP_RO
from hypkit.check import OPEN, check
from hypkit.lessons.exercises.lesson07 import DISTANCES, POOL, RELATIVE
from hypkit.lessons.exercises.lesson08 import APART, EARLY, overwrite
from hypkit.lessons.material import IN_A_ROW
from tests.lessons.exercises.test_lesson07 import BRANCHES
from tests.marks import needs_engine

ASTRAY = {
    "kimage_voffset": {"fnptr", "numbered"},
    "kvm_lm_offset": {"cached"},
    "kvm_hcall_table": {"numbered", "cached", "patched", "relocated"},
}
SUB_FIRST = EARLY.replace("        sub     x0, x0, #0x100\n", "").replace(
    "3:      adr_l   x11", "3:      sub     x0, x0, #0x100\n        adr_l   x11"
)
RENAMED = EARLY.replace("x11", "x12").replace("x9", "x13")
# The index first, and the variables only after the slot: better, and not good enough.
TABLE_FIRST = IN_A_ROW.replace(
    """\
3:      ldr_l   x9, kimage_voffset
        ldr_l   x10, physvirt_offset
        add     x9, x9, x10
""",
    "3:\n",
).replace(
    "        ldr     x0, [x0]\n",
    """\
        ldr     x0, [x0]
        ldr_l   x9, kimage_voffset
        ldr_l   x10, physvirt_offset
        add     x9, x9, x10
""",
)
# A shorter dispatcher, which is quicker for another reason.
CACHED = IN_A_ROW.replace(
    "        ldr_l   x10, physvirt_offset\n        add     x9, x9, x10\n", ""
).replace("kimage_voffset", "kvm_lm_offset")


def offset(machine):
    return int.from_bytes(machine.read(machine.address("kvm_lm_offset"), 8, el=1), "little")


def steer(machine, called, target):
    moved = machine.address(called) - machine.address(target)
    overwrite(machine, "kvm_lm_offset", offset(machine) + moved)


def wrong_way(machine, called, target):
    moved = machine.address(target) - machine.address(called)
    overwrite(machine, "kvm_lm_offset", offset(machine) + moved)


def read_only(machine, called, target):
    machine.poke(machine.address("kvm_lm_offset"), bytes(8))


def by_the_table(machine, called, target):
    slot = machine.address("kvm_hcall_table") + 8 * machine.x0_of(called)
    descriptor = machine.translate(slot, el=1).descriptor
    machine.poke(machine.entry_of(slot), (descriptor & ~AP_RO).to_bytes(8, "little"))
    machine.poke(slot, machine.address(target).to_bytes(8, "little"))


def by_the_code(machine, called, target):
    at = machine.address("dispatch_find")
    descriptor = machine.translate(at, el=1).descriptor
    machine.poke(machine.entry_of(at), (descriptor & ~AP_RO).to_bytes(8, "little"))
    machine.poke(at, bytes.fromhex("1f2003d5"))


def another_word(machine, called, target):
    steer(machine, called, target)
    overwrite(machine, "physvirt_offset", 0)


def stopped(machine, called, target):
    machine.call("__kvm_tlb_flush_vmid", 0x1000)


RIGHT_ANSWERS = [
    ("08.1", ASTRAY),
    ("08.1", {word: dict.fromkeys(sorted(keys)) for word, keys in ASTRAY.items()}),
    ("08.1", [sorted(keys) for keys in ASTRAY.values()]),
    ("08.2", EARLY),
    ("08.2", RENAMED),
    ("08.2", SUB_FIRST),
    ("08.3", steer),
    ("08.4", APART),
]
MISTAKES = [
    ("08.1", ASTRAY | {"kimage_voffset": {"numbered"}}, "one machine more runs something else"),
    (
        "08.1",
        ASTRAY | {"kimage_voffset": {"fnptr", "numbered", "cached"}},
        "With kimage_voffset overwritten, cached still runs __vgic_v3_read_vmcr",
    ),
    ("08.1", ASTRAY | {"kvm_hcall_table": {"numbered", "cached"}}, "2 machines more run"),
    ("08.1", ASTRAY | {"kvm_hcall_table": {"jump_table"}}, "jump_table still runs"),
    ("08.1", ASTRAY | {"kvm_lm_offset": {"chached"}}, "did you mean 'cached'?"),
    ("08.1", ASTRAY | {"kvm_lm_offset": "cached"}, "a set of machines; got 'cached'"),
    ("08.2", IN_A_ROW, "Expected at most 59 cycles on cortex-a55; got 62"),
    ("08.2", TABLE_FIRST, "Expected at most 59 cycles on cortex-a55; got 60"),
    ("08.2", CACHED, "Expected the same instructions in another order; got"),
    pytest.param(
        "08.2",
        EARLY.replace("        add     x9, x9, x10\n", "", 1).replace(
            "        ldr_l   x10,", "        add     x9, x9, x10\n        ldr_l   x10,", 1
        ),
        "x10",
        marks=needs_engine,
    ),
    ("08.2", APART, "in place of"),
    ("08.3", wrong_way, "branches to 0x"),
    ("08.3", another_word, "steer has changed physvirt_offset; expected only kvm_lm_offset"),
    ("08.3", lambda machine, called, target: (yield steer(machine, called, target)), "`yield`"),
    ("08.4", DISTANCES, "Expected the table to be kvm_hcall_table. With the address of"),
    ("08.4", BRANCHES, "Expected the table to be kvm_hcall_table. With the address of"),
    ("08.1", [{"numbered"}], "Expected a dict with a set of machines"),
    ("08.3", read_only, "steer stopped with MachineError, 1 line below its def: EL1 cannot write"),
    ("08.3", by_the_table, "steer has changed the table"),
    ("08.3", by_the_code, "steer has changed EL2's code"),
    ("08.3", stopped, "takes no call: this machine has stopped"),
    ("08.3", lambda machine, called, target: machine.close(), "After steer the machine takes no"),
    ("08.3", lambda machine, called, target: machine.call(target), "expected the call to run"),
    (
        "08.4",
        POOL,
        "With kimage_voffset overwritten by EL1: Expected __kvm_tlb_flush_vmid to run and return",
    ),
    ("08.4", RELATIVE, "With kimage_voffset overwritten by EL1"),
    (
        "08.4",
        RELATIVE.replace(
            "        ldr_l   x10, physvirt_offset\n        add     x9, x9, x10\n", ""
        ).replace("kimage_voffset", "kvm_lm_offset"),
        "With kvm_lm_offset overwritten by EL1",
    ),
    (
        "08.4",
        APART.replace("adr_l   x10", "adr_l   x9"),
        "Expected __kvm_timer_set_cntvoff to run and return; EL2 panicked",
    ),
    ("08.4", APART.replace("add     x0, x0, x10", "add     x0, x0, y10"), "does not assemble"),
]
NONSENSE = [{"numbered": "four"}, dict.fromkeys(ASTRAY, 1 << 200), dict.fromkeys(ASTRAY, [[]])]


def test_an_empty_function_is_an_open_answer():
    assert check("08.3", lambda machine, called, target: None).kind == OPEN


def test_the_steered_machine_was_taken_in_by_one_word():
    with Machine("reviewed", seed=99) as machine:
        steer(machine, "__kvm_get_mdcr_el2", "__vgic_v3_init_lrs")
        assert machine.call("__kvm_get_mdcr_el2").trace.find("__vgic_v3_init_lrs") is not None
        machine.reboot()
        assert machine.call("__kvm_get_mdcr_el2").trace.find("__vgic_v3_init_lrs") is None
