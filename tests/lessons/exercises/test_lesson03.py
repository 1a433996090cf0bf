"""Answers to the exercises of 03-function-pointer-abi, and its doors."""

import numpy as np

from hypkit import Machine
from hypkit.check import OPEN, check
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.exercises import lesson03
from notebooks.src.build import TEXTS

CNTVOFF = "__kvm_timer_set_cntvoff"


def other_names(machine, name, count):
    low = machine.x0_of(name) & 0x3FFF_FFFF
    return [low | n << 48 for n in range(1, count + 1)]


def drawn_names(machine, name, count):
    low = machine.x0_of(name) & 0x3FFF_FFFF
    return {low | n << 30 for n in range(5, 5 + count)}


def in_the_image_space(machine, name, count):
    """Addresses of the image space, but none of them the function's own."""
    low = machine.x0_of(name) & 0x3FFF_FFFF
    own = machine.address(name, "image")
    found = (0xFFFF_8000_0000_0000 | n << 30 | low for n in range(1, count + 2))
    return [x0 for x0 in found if x0 != own][:count]


def yielded_doors(machine, value):
    front = machine.x0_of(CNTVOFF)
    yield front + 4
    yield front + 8


def with_its_neighbour(machine, value):
    """Entered one instruction early, with the neighbour's own value."""
    gadget(machine, value, offset=0x30, x3=machine.sysreg("ICH_AP0R0_EL2"))


def through_a_vcpu(machine, value):
    at = machine.address("vcpu0", "linear") + 392
    machine.poke(at, machine.sysreg("ICH_AP0R0_EL2").to_bytes(4, "little"))
    machine.poke(at + 16, value.to_bytes(4, "little"))
    machine.hvc(machine.x0_of("__vgic_v3_restore_aprs"), machine.address("vcpu0", "linear"))


def back_doors(machine, value):
    front = machine.x0_of(CNTVOFF)
    return {front + 8, front + 4}


def gadget(machine, value, *, offset=0x34, x2=0, x3=0):
    machine.hvc(machine.x0_of("__vgic_v3_restore_aprs") + offset, 0, x2, x3, value)


RIGHT_ANSWERS = [
    ("03.1", CNTVOFF + "+0x8"),
    ("03.1", f" {CNTVOFF} + 8 "),
    ("03.2", other_names),
    ("03.1", "__kvm_timer_set_cntvoff + 08"),
    ("03.2", drawn_names),
    ("03.2", lambda m, n, c: (x for x in sorted(drawn_names(m, n, c)))),
    ("03.2", lambda m, n, c: map(int, drawn_names(m, n, c))),
    ("03.2", lambda m, n, c: np.array(sorted(drawn_names(m, n, c)), dtype=np.uint64)),
    ("03.2", lambda m, n, c: [x - (1 << 64) if x >> 63 else x for x in other_names(m, n, c)]),
    ("03.2", in_the_image_space),
    ("03.3", yielded_doors),
    ("03.3", lambda m, v: [door - (1 << 64) for door in back_doors(m, v)]),
    ("03.3", back_doors),
    ("03.4", gadget),
    ("03.4", with_its_neighbour),
    ("03.4", lambda m, v: m.call(m.x0_of("__vgic_v3_restore_aprs") + 0x34, 0, 0, 0, v)),
]
MISTAKES = [
    ("03.1", CNTVOFF, ": the function is right, the offset in it is not"),
    ("03.1", "hyp_panic+0x4", "at step 20 x0 holds 0xa9b740285bc8"),
    ("03.1", "__kvm_timer+0x8", "one of the machine's labels"),
    ("03.1", CNTVOFF + "+eight", 'such as "hyp_panic+0x4"'),
    (
        "03.1",
        0xBADC_0FFE_0028_5BC8,
        'Expected a place, such as "hyp_panic+0x4", a string; got 0xbadc',
    ),
    ("03.2", lambda m, n, c: [m.x0_of(n)] * c, "1 of them different"),
    (
        "03.2",
        lambda m, n, c: [m.address(n, s) for s in ("linear", "hyp", "physical")],
        "is its linear one",
    ),
    (
        "03.2",
        lambda m, n, c: [(m.address(n) & 0x3FFF_FFFF) | i << 48 for i in range(1, c + 1)],
        "and EL2 panicked",
    ),
    (
        "03.2",
        lambda m, n, c: [m.x0_of(n) & 0x3FFF_FFFF | i << 48 | 4 for i in range(1, c + 1)],
        "it went to __kvm_get_mdcr_el2+0x4 at step 25",
    ),
    ("03.2", lambda m, n, c: other_names(m, n, 2), "Expected 3 different values of x0; got 2"),
    ("03.3", lambda m, v: [m.x0_of(CNTVOFF) + n for n in (0, 4, 8)], "is the front door"),
    ("03.3", lambda m, v: [m.x0_of(CNTVOFF) + n for n in (4, 8, 12)], "got 0x0"),
    ("03.3", lambda m, v: [m.x0_of(CNTVOFF) + 8], "got 1, 1 missing"),
    (
        "03.3",
        lambda m, v: [m.address(CNTVOFF, "hyp") + 4, m.address(CNTVOFF, "hyp") + 8],
        "got a hyp address",
    ),
    ("03.4", lambda m, v: gadget(m, v, offset=0), "EL2 went to __vgic_v3_restore_aprs at step"),
    ("03.4", lambda m, v: gadget(m, v, offset=0x60), "never wrote it"),
    ("03.4", lambda m, v: gadget(m, v, x2=9), "aprs+0x40: undefined instruction"),
    ("03.4", lambda m, v: gadget(m, v, offset=0x30, x3=9), "and is 0x9: step 26 writes it"),
    ("03.4", lambda m, v: gadget(m, v, offset=0x30), "ICH_AP0R0_EL2 was 0x5a5a0f4e and is 0x0"),
    ("03.4", lambda m, v: gadget(m, v, offset=0x30, x3=v), "so enter after that msr"),
    ("03.4", through_a_vcpu, "set_ap1r0 also wrote to memory"),
    ("03.4", lambda m, v: v and gadget(m, v), "made no call"),
    (
        "03.4",
        lambda m, v: m.run([m.x0_of("__vgic_v3_restore_aprs") + 0x34], (0, 0, 0, v)),
        "Expected set_ap1r0 to use machine.call(...) or machine.hvc(...)",
    ),
    ("03.1", "__kvm_get_mdcr_el2+0x10", "this place is not in __kvm_get_mdcr_el2"),
    ("03.1", "__kvm_enable_ssbs+0x20", "this place is not in __kvm_enable_ssbs"),
    ("03.1", CNTVOFF + "s+8", "did you mean '__kvm_timer_set_cntvoff'"),
    (
        "03.2",
        lambda m, n, c: [m.x0_of(n) & 0x3FFF_FFFF | i % 8 << 61 for i in range(c)],
        "8 of them different",
    ),
    ("03.2", lambda m, n, c: [*other_names(m, n, c - 1), m.address(n)], "is its image one"),
    ("03.2", lambda m, n, c: {x: n for x in other_names(m, n, c)}, "got a dict"),
    ("03.3", lambda m, v: list(range(m.x0_of(CNTVOFF) + 4, m.x0_of(CNTVOFF) + 20, 4)), "got 0x0"),
    ("03.3", lambda m, v: print(end=""), "is a return missing?"),
    ("03.4", lambda m, v: gadget(m, v + 1), "got 0x80000002, written at step"),
    ("03.4", lambda m, v: [gadget(m, v), gadget(m, v)], "Expected one hvc; got 2 calls"),
    ("03.4", lambda m, v: v, "made no call"),
]


def test_dots_are_no_answer():
    assert check("03.1", ...).kind == OPEN


def test_no_other_door_of_the_functions_sets_the_offset():
    """Exercise 03.3 asks for all of one function: nothing near it is a door as well."""
    value = 0x0123_4567_89AB_CDEF
    with Machine("fnptr", seed=9) as machine:
        start = machine.snapshot()
        first = machine.address(HYPERCALLS[0], "linear")
        code = next(p for p in machine.image.programs if p.name == "handlers.S").code
        found = set()
        for x0 in range(first, first + len(code), 4):
            machine.restore(start)
            if (
                machine.hvc(x0, value).outcome == "returned"
                and machine.sysreg("CNTVOFF_EL2") == value
            ):
                found.add(x0)
        assert found == back_doors(machine, value)


def test_the_incident_of_the_text_is_the_one_that_is_judged():
    text = (TEXTS / "03-function-pointer-abi.md").read_text(encoding="utf-8")
    assert f"{lesson03.INCIDENT:#x}" in text and f"seed={lesson03.INCIDENT_SEED})" in text
