"""Answers to the exercises of 13-attack-and-defend."""

import pytest

from hypkit import Machine, attack
from hypkit.attack import Outcome
from hypkit.kernel.memory_map import CONSTANTS
from hypkit.lessons.material import SOFT, WIDE

AT = CONSTANTS["VCPU_VGIC"] + CONSTANTS["VGIC_AP0R"]
HARD = (
    SOFT.replace("        cmp     x0, #0x2f               // to look into a running EL2\n", "")
    .replace("        b.eq    8f\n", "")
    .replace("cmp     w0", "cmp     x0")
    .replace("b.le    3f", "b.lt    3f")
)
WHO = {
    "x0": "dispatcher",
    "arguments": "function",
    "table": "stage 2",
    "page tables": "stage 2",
    "stub": "refusal",
}
with Machine("numbered") as _machine:
    SOUND = _machine.image.dispatcher.source
WANTED = 0x600D_0000_BEEF
SECRET = WANTED ^ WANTED >> 32
MIXED = (
    "dispatch_find:\n        eor     x9, x0, x0, lsr #32\n        mov     x10, #0xbeef\n"
    "        movk    x10, #0x600d, lsl #32\n        cmp     x9, x10\n        b.ne    8f\n"
    "        adr_l   x0, __kvm_get_mdcr_el2 + 4\n        b       dispatch_call\n8:\n"
)
HIDDEN = SOUND.replace("dispatch_find:\n", MIXED)
PLAIN_DOOR = SOUND.replace(
    "dispatch_find:\n",
    "dispatch_find:\n        cmp     x0, #0x77\n        b.ne    8f\n"
    "        adr_l   x0, __kvm_get_mdcr_el2 + 4\n        b       dispatch_call\n8:\n",
)


def plant(machine, address, value):
    machine.poke(machine.address("vcpu0", "linear") + AT, value.to_bytes(4, "little"))
    machine.call("__vgic_v3_restore_aprs", "vcpu0")
    machine.call("__vgic_v3_save_aprs", address - AT)


def by_poke(machine, address, value):
    machine.poke(address, value.to_bytes(4, "little"))
    machine.call("__kvm_get_mdcr_el2")


def beside(machine, address, value):
    machine.poke(machine.address("vcpu0", "linear") + AT, value.to_bytes(4, "little"))
    machine.call("__vgic_v3_restore_aprs", "vcpu0")
    machine.call("__vgic_v3_save_aprs", address)


RIGHT_ANSWERS = [
    ("13.1", lambda m, name: m.x0_of(name) | 1 << 61),
    ("13.1", lambda m, name: m.x0_of(name) - (1 << 63)),
    ("13.2", WHO),
    ("13.3", HARD),
    ("13.3", HARD.replace("ldr     x10, =kvm_hcall_table\n        sub     x10, x10, x9\n"
                          "        kern_hyp_va x10", "adr_l   x10, kvm_hcall_table")),
    ("13.4", plant),
    ("13.5", {"dispatcher": HIDDEN, "x0": SECRET}),
]  # fmt: skip
MISTAKES = [
    ("13.1", lambda m, name: m.x0_of(name), "is the number of __kvm_get_mdcr_el2"),
    ("13.1", lambda m, name: m.x0_of(name) | 1 << 60, "to call __kvm_get_mdcr_el2"),
    ("13.1", lambda m, name: m.x0_of(name) | 1 << 40, "to call __kvm_get_mdcr_el2"),
    ("13.1", lambda m, name: m.x0_of("__kvm_flush_vm_context") | 1 << 61, "_context ran"),
    ("13.1", lambda m, name: m.x0_of(name) | 1 << 64, "which has 64 bits; got a number of 65 bits"),
    ("13.1", lambda m, name: m.hvc(m.x0_of(name) | 1 << 61), "a whole number; got Call("),
    ("13.1", 0x101 | 1 << 61, "the function second_name, without calling it"),
    ("13.2", WHO | {"stub": "dispatcher"}, "'stub': 'dispatcher' is not enough by itself"),
    ("13.2", WHO | {"table": "function"}, "page tables make writable"),
    ("13.2", WHO | {"arguments": "firewall"}, "for 'arguments' one of dispatcher, function"),
    ("13.3", SOFT, "Expected -ENOSYS"),
    ("13.3", HARD.replace("b.lt    3f", "b.le    3f"), "Expected -ENOSYS for x0 = 0x10e"),
    ("13.3", PLAIN_DOOR, "The fuzzer is not silent: entered mid-function"),
    ("13.3", HARD.replace("ldr     x0, [x0]\n", "ldr     x0, [x0]\n        nop\n        nop\n"),
     "Expected at most 49 instructions"),
    ("13.3", HARD.replace("do_el2_call args=6", "mov     x19, x9\n        do_el2_call"),
     "The fuzzer is not silent: host registers clobbered"),
    ("13.4", by_poke, "EL2 did not write it"),
    ("13.4", beside, "at kvm0+0x308; got 0x0"),
    ("13.4", lambda m, a, v: m.hvc(2), "is no call of the ABI"),
    ("13.4", lambda m, a, v: v, "made no call"),
    ("13.5", {"dispatcher": PLAIN_DOOR, "x0": 0x77}, "The fuzzer is not silent"),
    ("13.5", {"dispatcher": SOUND, "x0": 0x77}, "to enter __kvm_get_mdcr_el2 at its second"),
    ("13.5", {"dispatcher": HIDDEN, "x0": 0x101}, "to enter __kvm_get_mdcr_el2 at its second"),
]  # fmt: skip


def test_the_soft_text_has_the_holes_that_the_lesson_says():
    with Machine("numbered", dispatcher=SOFT) as machine:
        for name in machine.image.variant.calls[:3]:
            assert machine.call(name).trace.find(name) is not None
        assert machine.hvc(0x2F, machine.address("__kvm_get_mdcr_el2", "hyp")).x0 == 6
    report = attack.fuzz("numbered", 20_000, seed=2020, dispatcher=SOFT, progress=False)
    requests = {finding.request[0] for finding in report.findings}
    assert 0x2F in requests and 0x10E in requests
    assert any(f.verdict.outcome is Outcome.OTHER for f in report.findings)


def test_the_wide_text_differs_in_its_one_hole_only():
    report = attack.fuzz("numbered", 20_000, seed=2020, dispatcher=WIDE, progress=False)
    assert not report.silent
    narrow = WIDE.replace("cmp     w0", "cmp     x0")
    assert attack.fuzz("numbered", 20_000, seed=2020, dispatcher=narrow, progress=False).silent


@pytest.mark.parametrize("bit", [61, 62, 63])
def test_the_bits_that_the_shift_drops_are_three(bit):
    with Machine("numbered", dispatcher=WIDE) as machine:
        call = machine.hvc(machine.x0_of("__kvm_flush_vm_context") | 1 << bit)
        assert call.trace.find("__kvm_flush_vm_context") is not None
