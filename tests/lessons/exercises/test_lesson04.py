"""Answers to the exercises of 04-numbered-abi, and its shipped texts."""

from hypkit import Machine
from hypkit.asm import recorded
from hypkit.check import OPEN, RIGHT, check
from hypkit.lessons import dispatchers
from hypkit.lessons.exercises import lesson04


def kind_of(x0):
    if x0 < 3:
        return "stub"
    return "call" if 0x100 <= x0 <= 0x10D else "-ENOSYS"


def ask(machine, x0):
    call = machine.hvc(x0)
    if machine.key == "smccc":
        return None if call.x0 else call.x1
    return None if call.x0 == (1 << 64) - 38 else call.x0


def ask_signed(machine, x0):
    """The same host, which reads registers with their sign, as a C host would."""
    call = machine.hvc(x0)
    status, result = (x - (1 << 64) if x >> 63 else x for x in (call.x0, call.x1))
    if machine.key == "smccc":
        return None if status == -1 else result
    return None if status == -38 else status


def host(numbered, smccc=lambda call: None if call.x0 else call.x1):
    """A host by what it makes of a call in each of the two machines."""
    return lambda machine, x0: (smccc if machine.key == "smccc" else numbered)(machine.hvc(x0))


def by_number(call):
    return None if call.x0 == (1 << 64) - 38 else call.x0


def u32(call):
    return None if call.x0 & 0xFFFF_FFFF == 0xFFFF_FFDA else call.x0 & 0xFFFF_FFFF


def blind(machine, x0):
    """A host that does not look at machine.key."""
    call = machine.hvc(x0)
    return None if call.x0 >> 63 else call.x1 if call.x0 == 0 else call.x0


def by_heart(machine, x0):
    """A host that knows the numbers."""
    call = machine.hvc(x0)
    if machine.key == "smccc":
        return call.x1 if 0xC600_0001 <= x0 <= 0xC600_000E else None
    return call.x0 if 0x100 <= x0 <= 0x10D else None


def twice(machine, x0):
    return None if ask(machine, x0) is None else ask(machine, x0)


RIGHT_ANSWERS = [
    ("04.1", {"executes": "__kvm_get_mdcr_el2", "right": 1}),
    ("04.1", ("__kvm_get_mdcr_el2", 1)),
    ("04.2", kind_of),
    ("04.2", lambda x0: kind_of(x0).upper()),
    ("04.3", ask),
    ("04.3", ask_signed),
    ("04.4", lesson04.SOLUTION),
    ("04.4", lesson04.SHORTER),
]
MISTAKES = [
    (
        "04.1",
        {"executes": "__kvm_timer_set_cntvoff", "right": 1},
        "EL2 does not execute __kvm_timer_set_cntvoff: that is what the host means",
    ),
    ("04.1", {"executes": "__kvm_tlb_flush_local_vmid", "right": 1}, "enters another function"),
    ("04.1", {"executes": "__kvm_get_mdcr_el2", "right": 13}, "the new one have moved"),
    ("04.1", {"executes": "__kvm_get_mdcr_el2", "right": 0}, "have kept their numbers"),
    ("04.1", {"executes": "__kvm_get_mdcr_el2", "right": 12}, "how many it gets wrong"),
    ("04.1", {"executes": 0x101, "right": 1}, "for the function that EL2 executes; got 257"),
    ("04.1", "__kvm_get_mdcr_el2", 'an answer for each of "executes" and "right"'),
    ("04.2", lambda x0: "ENOSYS" if kind_of(x0) == "-ENOSYS" else kind_of(x0), "'-ENOSYS' for x0"),
    ("04.2", lambda x0: "call" if x0 & ~0xF == 0x100 else kind_of(x0), "For x0 = 0x10e"),
    ("04.2", lambda x0: kind_of(x0 if x0 >> 63 == 0 else x0 - (1 << 64)), "For x0 = 0x8000"),
    ("04.2", lambda x0: "call" if x0 >= 0x100 else "stub", "For x0 = 0x10e, expected -ENOSYS"),
    ("04.2", lambda x0: "stub" if x0 < 0x100 else kind_of(x0), "For x0 = 0xff, expected -ENOSYS"),
    ("04.2", lambda x0: kind_of(x0 & 0xFFFF_FFFF), "For x0 = 0x8000000000000000"),
    ("04.2", lambda x0: "error", "Expected 'stub', 'call' or '-ENOSYS' for x0 = 0x100"),
    ("04.3", lambda m, x0: m.hvc(x0).x0, "because EL2 refused the call"),
    ("04.3", lambda m, x0: ask(m, x0) if m.key != "smccc" else m.hvc(x0).x1, "expected None"),
    ("04.3", lambda m, x0: None if (x := m.hvc(x0).x0) >> 63 else x, "expected the result 0x"),
    (
        "04.3",
        lambda m, x0: m.hvc(x0) and None,
        "expected the result 0x6 (after step 53 x0 = 0x6, x1 = 0x0), because EL2 made the call",
    ),
    ("04.3", lambda m, x0: 6, "made no call"),
    ("04.3", host(by_number, lambda c: c.x1 or None), "expected the result 0x0"),
    ("04.3", host(by_number, lambda c: c.x1), "because EL2 refused the call"),
    ("04.3", host(by_number, lambda c: None if c.x1 == 0 and c.x0 else c.x1), "x1 = 0x7); got 7"),
    ("04.3", host(u32), "x0 = 0xffffffda, x1 = 0x0), because EL2 made the call; got None"),
    ("04.3", host(lambda c: None if c.x0 >> 32 else c.x0), "expected anything but None"),
    ("04.3", host(lambda c: None if c.x0 >> 63 else c.x0), "x0 = 0xffff000000444000"),
    ("04.3", host(lambda c: by_number(c) or None), "expected the result 0x0"),
    ("04.3", blind, "expected the result 0x0 (after step"),
    ("04.3", by_heart, "because EL2 refused the call"),
    ("04.3", twice, "Expected ask to make one call; got 2"),
    ("04.3", lambda m, x0: (yield m.hvc(x0).x0), "ask has a `yield`"),
    ("04.4", lesson04.START, "expected status 0 in x0; got 0xe66, written at step"),
    ("04.4", lesson04.MISTAKES["result in x0"], "expected status 0 in x0; got 0xe66"),
    ("04.4", lesson04.MISTAKES["only 32 bits"], "With x0 = 0x8000000000000100 expected"),
    ("04.4", lesson04.MISTAKES["still -ENOSYS"], "which is -ENOSYS"),
    ("04.4", lesson04.MISTAKES["one call only"], "With x0 = 0x101 expected status 0"),
    ("04.4", lesson04.MISTAKES["never back"], "it had not: 20,000 instructions were not enough"),
    ("04.4", lesson04.MISTAKES["spoils x19"], "expected x19 as the host left it"),
    ("04.4", lesson04.MISTAKES["no stub calls"], "With x0 = 0 expected the stub's own answer"),
    ("04.4", lesson04.MISTAKES["stack left full"], "stack pointer"),
    ("04.4", lesson04.SOLUTION.replace("eret", "erett"), "does not assemble: line 9, `erett`"),
    ("04.4", lesson04.IN_BAND, "what MDCR_EL2 holds; got 0x5eed00005eed, the host's own x1"),
    ("04.4", lesson04.MISTAKES["a constant"], "what MDCR_EL2 holds; got 0x6, written at step"),
    ("04.4", lesson04.MISTAKES["a leftover"], "take it from there first (ldp x0, x1, [sp], #16"),
    ("04.4", lesson04.SOLUTION.encode(), "got bytes: use .decode()"),
    ("04.4", lesson04.SOLUTION.splitlines(), "one string; got a list of"),
    ("04.4", "dispatch:\n nop", "step 12 was the last of your text, and EL2 ran on"),
    ("04.4", "nop", "step 12 was the last of your text, and EL2 ran on"),
    ("04.4", "divert_stub_calls\n mov x0, #0", "step 15 was the last of your text, and EL2 ran on"),
    ("04.4", "", "nothing to assemble"),
]


def test_dots_are_no_answer():
    assert check("04.1", {"executes": "__kvm_get_mdcr_el2", "right": ...}).kind == OPEN
    assert check("04.4", ...).kind == OPEN


def test_without_an_engine_the_shipped_texts_are_judged_all_the_same(monkeypatch):
    monkeypatch.setenv("HYPKIT_ENGINE", "none")
    monkeypatch.setattr(recorded, "learned", {})  # what an engine said to an earlier test
    assert check("04.4", lesson04.SOLUTION.replace("success", "well")).kind == RIGHT
    own = lesson04.SOLUTION.replace("mov     x0, #0 ", "madd    x0, x1, x2, x3 ")
    assert "Keystone" in check("04.4", own).sentence


def test_in_band_an_offset_and_an_error_are_the_same():
    with Machine("numbered", seed=1, dispatcher=lesson04.IN_BAND) as machine:
        machine.hvc(0x100, -38)
        assert machine.hvc(0x101).x0 == machine.hvc(0x102).x0 == (1 << 64) - 38
        machine.hvc(0x100, 7)
        assert machine.hvc(0x101).x0 == 7


def test_praise_tells_of_a_barrier_that_no_trace_can_miss():
    bare = check("04.4", lesson04.MISTAKES["no barrier"])
    assert bare.kind == RIGHT and "after the eret of line 9 there is no" in bare.sentence
    assert "barrier" not in check("04.4", lesson04.SOLUTION).sentence


def test_a_result_of_zero_is_a_result():
    with Machine("numbered", seed=1, dispatcher=dispatchers.answering(0, 5)) as machine:
        assert ask(machine, 0x105) == 0
        assert (machine.hvc(0x105).x0, machine.hvc(0x105).x1) == (0, 5)


def test_a_half_filled_answer_is_judged_so_far():
    half = check("04.1", {"executes": "__kvm_get_mdcr_el2", "right": ...})
    assert half.kind == OPEN and 'Right for "executes"' in half.sentence
    assert "means" in check("04.1", {"executes": "__kvm_timer_set_cntvoff", "right": ...}).sentence
