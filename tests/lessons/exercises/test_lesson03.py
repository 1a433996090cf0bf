"""Answers to the exercises of 03-function-pointer-abi, and its doors."""

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


def back_doors(machine, value):
    front = machine.x0_of(CNTVOFF)
    return {front + 8, front + 4}


def gadget(machine, value, *, offset=0x34, x2=0, x3=0):
    machine.hvc(machine.x0_of("__vgic_v3_restore_aprs") + offset, 0, x2, x3, value)


RIGHT_ANSWERS = [
    ("03.1", CNTVOFF + "+0x8"),
    ("03.1", f" {CNTVOFF} + 8 "),
    ("03.2", other_names),
    ("03.2", drawn_names),
    ("03.3", back_doors),
    ("03.4", gadget),
    ("03.4", lambda m, v: m.call(m.x0_of("__vgic_v3_restore_aprs") + 0x34, 0, 0, 0, v)),
]
MISTAKES = [
    ("03.1", CNTVOFF, ": the function is right, the offset in it is not"),
    ("03.1", "hyp_panic+0x4", "at step 20 x0 holds 0xa9b740285bc8"),
    ("03.1", "__kvm_timer+0x8", "one of the machine's labels"),
    ("03.1", CNTVOFF + "+eight", 'such as "hyp_panic+0x4"'),
    ("03.1", 0xBADC_0FFE_0028_5BC8, "Expected a place as a string"),
    ("03.2", lambda m, n, c: [m.x0_of(n)] * c, "1 of them different"),
    (
        "03.2",
        lambda m, n, c: [m.address(n, s) for s in ("linear", "hyp", "physical")],
        "is in the linear one",
    ),
    (
        "03.2",
        lambda m, n, c: [(m.address(n) & 0x3FFF_FFFF) | i << 48 for i in range(1, c + 1)],
        "and panicked",
    ),
    (
        "03.2",
        lambda m, n, c: [m.x0_of(n) & 0x3FFF_FFFF | i << 48 | 4 for i in range(1, c + 1)],
        "it went to __kvm_get_mdcr_el2+0x4 at step 25",
    ),
    ("03.2", lambda m, n, c: other_names(m, n, 2), "Expected 3 different values of x0; came 2"),
    ("03.3", lambda m, v: [m.x0_of(CNTVOFF) + n for n in (0, 4, 8)], "is the front door"),
    ("03.3", lambda m, v: [m.x0_of(CNTVOFF) + n for n in (4, 8, 12)], "found 0x0"),
    ("03.3", lambda m, v: [m.x0_of(CNTVOFF) + 8], "came 1, 1 missing"),
    (
        "03.3",
        lambda m, v: [m.address(CNTVOFF, "hyp") + 4, m.address(CNTVOFF, "hyp") + 8],
        "an address of the hyp kind",
    ),
    ("03.4", lambda m, v: gadget(m, v, offset=0), "EL2 went to __vgic_v3_restore_aprs at step"),
    ("03.4", lambda m, v: gadget(m, v, offset=0x60), "never wrote it"),
    ("03.4", lambda m, v: gadget(m, v, x2=9), "aprs+0x40: undefined instruction"),
    ("03.4", lambda m, v: gadget(m, v, offset=0x30, x3=9), "ICH_AP0R0_EL2 changed too"),
    ("03.4", lambda m, v: gadget(m, v + 1), "came 0x80000002, written at step"),
    ("03.4", lambda m, v: [gadget(m, v), gadget(m, v)], "Expected one hvc; came 2 calls"),
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
