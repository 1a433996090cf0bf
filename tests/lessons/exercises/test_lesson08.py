"""Answers to the exercises of 08-review-cached-offset, and its attack."""

from hypkit import Machine
from hypkit.a64.pagetables import AP_RO
from hypkit.check import OPEN, check
from hypkit.lessons.exercises.lesson07 import DISTANCES, POOL, RELATIVE
from hypkit.lessons.exercises.lesson08 import APART, CORES, overwrite
from tests.lessons.exercises.test_lesson07 import BRANCHES

SAVES = "expected the cycles that the cached word saves when adr_l is there already; got"
SAVED = {"cortex-a55": 6, "cortex-a57": 1, "cortex-a72": 1, "neoverse-n1": 0}
LOADS = {"numbered": 4, "cached": 3, "patched": 1, "relocated": 1}


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
    ("08.1", LOADS),
    ("08.2", SAVED),
    ("08.3", steer),
    ("08.1", list(LOADS.values())),
    ("08.4", APART),
]
MISTAKES = [
    ("08.1", LOADS | {"relocated": 0}, "relocated: expected the loads of the phase"),
    (
        "08.1",
        LOADS | {"numbered": 6},
        'numbered: expected the loads of the phase "dispatch"; got 6, those of all phases',
    ),
    (
        "08.2",
        {"cortex-a55": 5, "cortex-a57": 1, "cortex-a72": 1, "neoverse-n1": 2},
        f"cortex-a55: {SAVES} 5: that is what it saves without adr_l",
    ),
    ("08.2", SAVED | {"cortex-a72": -1}, f"cortex-a72: {SAVES} -1: saved cycles are positive"),
    ("08.2", SAVED | {"neoverse-n1": 3}, f"neoverse-n1: {SAVES} 3"),
    ("08.3", wrong_way, "branches to 0x"),
    ("08.3", another_word, "steer has changed physvirt_offset; expected only kvm_lm_offset"),
    ("08.3", lambda machine, called, target: (yield steer(machine, called, target)), "`yield`"),
    ("08.4", DISTANCES, "Expected the table to be kvm_hcall_table. With the address of"),
    ("08.4", BRANCHES, "Expected the table to be kvm_hcall_table. With the address of"),
    ("08.1", LOADS | {"patched": 1.0}, "of type float"),
    ("08.1", [4, 3, 1], "Expected a dict with a count of loads"),
    ("08.2", {core: 0 for core in CORES}, "cortex-a55"),
    ("08.2", list(SAVED), "a whole number; got 'cortex-a55'"),
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
NONSENSE = [{"numbered": "four"}, dict.fromkeys(CORES, 1 << 200)]


def test_an_empty_function_is_an_open_answer():
    assert check("08.3", lambda machine, called, target: None).kind == OPEN


def test_the_steered_machine_was_taken_in_by_one_word():
    with Machine("reviewed", seed=99) as machine:
        steer(machine, "__kvm_get_mdcr_el2", "__vgic_v3_init_lrs")
        assert machine.call("__kvm_get_mdcr_el2").trace.find("__vgic_v3_init_lrs") is not None
        machine.reboot()
        assert machine.call("__kvm_get_mdcr_el2").trace.find("__vgic_v3_init_lrs") is None
