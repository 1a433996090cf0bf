"""Answers to the exercises of 04-numbered-abi, and its shipped texts."""

from hypkit import Machine
from hypkit.check import OPEN, RIGHT, check
from hypkit.lessons.exercises import lesson04


def kind_of(x0):
    if x0 < 3:
        return "stub"
    return "call" if 0x100 <= x0 <= 0x10D else "-ENOSYS"


def ask(machine, x0):
    call = machine.hvc(x0)
    if machine.key == "smccc":
        return None if call.x0 else call.x1
    return call.x0 if call.x0 < 1 << 32 else None


RIGHT_ANSWERS = [
    ("04.1", {"numbered": 0x109, "jump_table": 0x1009}),
    ("04.2", kind_of),
    ("04.3", ask),
    ("04.4", lesson04.SOLUTION),
    ("04.4", lesson04.SHORTER),
]
MISTAKES = [
    ("04.1", {"numbered": 9, "jump_table": 9}, "the base is missing"),
    ("04.1", {"numbered": 0x10A, "jump_table": 0x100A}, "enters __vgic_v3_write_vmcr"),
    (
        "04.1",
        {"numbered": 0x109, "jump_table": 0x109},
        "0x109 calls none of the functions: it belongs to the other version",
    ),
    ("04.1", 0x109, 'a number for "numbered"'),
    ("04.2", lambda x0: "call" if x0 >= 0x100 else "stub", "For x0 = 0x10e, expected -ENOSYS"),
    ("04.2", lambda x0: "stub" if x0 < 0x100 else kind_of(x0), "For x0 = 0xff, expected -ENOSYS"),
    ("04.2", lambda x0: kind_of(x0 & 0xFFFF_FFFF), "For x0 = 0x8000000000000000"),
    ("04.2", lambda x0: "error", "Expected one of stub, call, -ENOSYS for x0 = 0x100"),
    ("04.3", lambda m, x0: m.hvc(x0).x0, "there is no such call"),
    ("04.3", lambda m, x0: ask(m, x0) if m.key != "smccc" else m.hvc(x0).x1, "expected None"),
    ("04.3", lambda m, x0: None if (x := m.hvc(x0).x0) >> 63 else x, "expected the result 0x"),
    (
        "04.3",
        lambda m, x0: m.hvc(x0) and None,
        "expected the result 0x6 (after step 53 x0 = 0x6, x1 = 0x0); came None",
    ),
    ("04.3", lambda m, x0: 6, "made no call"),
    ("04.4", lesson04.START, "expected status 0 in x0; came 0x6, written at step"),
    ("04.4", lesson04.MISTAKES["result in x0"], "expected status 0 in x0; came 0x6"),
    ("04.4", lesson04.MISTAKES["only 32 bits"], "With x0 = 0x8000000000000100 expected"),
    ("04.4", lesson04.MISTAKES["still -ENOSYS"], "which is -ENOSYS"),
    ("04.4", lesson04.MISTAKES["one call only"], "With x0 = 0x101 expected status 0"),
    ("04.4", lesson04.MISTAKES["never back"], "runaway after step"),
    ("04.4", lesson04.MISTAKES["spoils x19"], "expected x19 as the host left it"),
    ("04.4", lesson04.MISTAKES["no stub calls"], "With x0 = 0 expected the stub's own answer"),
    ("04.4", lesson04.MISTAKES["stack left full"], "stack pointer"),
    ("04.4", lesson04.SOLUTION.replace("eret", "erett"), "does not assemble: line 9"),
    ("04.4", lesson04.IN_BAND, "in x1; came 0xffffffffffffffda, the host's own x1"),
    ("04.4", "dispatch:\n nop", "step 12 was the last of your text, and EL2 ran on"),
    ("04.4", "nop", "step 12 was the last of your text, and EL2 ran on"),
    ("04.4", "divert_stub_calls\n mov x0, #0", "step 15 was the last of your text, and EL2 ran on"),
    ("04.4", "", "nothing to assemble"),
]


def test_dots_are_no_answer():
    assert check("04.1", {"numbered": 0x109, "jump_table": ...}).kind == OPEN
    assert check("04.4", ...).kind == OPEN


def test_without_keystone_the_shipped_texts_are_judged_all_the_same(monkeypatch):
    monkeypatch.setenv("HYPKIT_ENGINE", "none")
    assert check("04.4", lesson04.SOLUTION.replace("success", "well")).kind == RIGHT
    own = lesson04.SOLUTION.replace("mov     x0, #0 ", "madd    x0, x1, x2, x3 ")
    assert "Keystone" in check("04.4", own).sentence


def test_in_band_an_offset_and_an_error_are_the_same():
    with Machine("numbered", seed=1, dispatcher=lesson04.IN_BAND) as machine:
        machine.hvc(0x100, -38)
        assert machine.hvc(0x101).x0 == machine.hvc(0x102).x0 == (1 << 64) - 38
        machine.hvc(0x100, 7)
        assert machine.hvc(0x101).x0 == 7
