"""Answers to the exercises of 00-start-here, and what their sentences name."""

import numpy as np
import pytest

from hypkit import Machine
from hypkit.check import RIGHT, WRONG, check
from hypkit.lessons.exercises import lesson00


def set_offset(machine, value):
    machine.call("__kvm_timer_set_cntvoff", value & 0xFFFF_FFFF, value >> 32)


RIGHT_ANSWERS = [
    ("00.1", 51),
    ("00.1", np.int64(51)),
    ("00.1", np.array(51)),
    ("00.2", 0x10E),
    ("00.2", 3),
    ("00.2", 0xFF),
    ("00.2", -1),
    ("00.2", (1 << 64) - 1),
    ("00.2", 1 << 63),
    ("00.3", set_offset),
    ("00.3", lambda m, v: m.call("__kvm_timer_set_cntvoff", v & ~0 & 0xFFFFFFFF, v >> 32)),
]
MISTAKES = [
    ("00.1", 56, "all steps of the trace"),
    ("00.1", 5, "the steps at EL1"),
    ("00.1", 2, "only the called"),
    ("00.1", 49, "all but the called function's own"),
    ("00.1", 50, "got 50"),
    ("00.1", 0, "got 0"),
    ("00.2", 0x102, "called __kvm_timer_set_cntvoff at step 49"),
    ("00.2", 0x10D, "is taken"),
    ("00.2", 0, "stub call"),
    ("00.2", 2, "stub call"),
    ("00.2", 0x50, "example of the lesson"),
    ("00.1", 51.0, "divide with // in place of /, or make it int(...)"),
    ("00.1", "51", "a string: write the number without quotes"),
    ("00.1", "0x33", "a string: write the number without quotes"),
    ("00.1", np.array([51]), "a list: take the one number out of it, with [0]"),
    ("00.1", range(51), "a whole number; got range(0, 51)"),
    ("00.2", -38, "which is what comes back"),
    ("00.2", (1 << 64) - 38, "which is what comes back"),
    ("00.2", 0xFFFF_FFDA, "which is what comes back"),
    ("00.2", "0x10e", "without quotes"),
    ("00.2", 1 << 64, "64 bits"),
    ("00.2", -1 << 65, "64 bits"),
    ("00.3", lambda m, v: m.call("__kvm_timer_set_cntvoff", v), "its low 32 bits are right"),
    (
        "00.3",
        lambda m, v: m.call("__kvm_timer_set_cntvoff", v >> 32, v & 0xFFFF_FFFF),
        "its two halves have changed places",
    ),
    (
        "00.3",
        lambda m, v: m.call("__kvm_timer_set_cntvoff", v % (1 << 32), v // (1 << 32) & 0xFFFF),
        "expected CNTVOFF_EL2 = 0x80000000ffffffff; got 0xffffffff",
    ),
    ("00.3", lambda m, v: v and set_offset(m, v), "made no call on the machine"),
    ("00.3", lambda m, v: (yield m.call("__kvm_timer_set_cntvoff", v)), "has a `yield`"),
    (
        "00.3",
        lambda m, v: m.call("__kvm_timer_set_cntvoff", v & 0x7FFF_FFFF, v >> 32),
        "expected CNTVOFF_EL2 = 0x80000000ffffffff",
    ),
    ("00.3", lambda m, v: Machine().call("__kvm_timer_set_cntvoff", v), "use its argument"),
    ("00.3", lambda m, v: m.call("__kvm_get_mdcr_el2"), "does not write this register"),
    ("00.3", lambda m, v: m.call("__kvm_timer_set_cntoff", v), "did you mean"),
]


@pytest.mark.parametrize("el2_only", [True, False])
def test_a_count_of_the_lessons_own_call_is_told_whose_it_is(el2_only):
    with Machine("numbered", seed=lesson00.SEED) as machine:
        trace = machine.call(lesson00.OTHER).trace
    verdict = check("00.1", sum(step.el == 2 or not el2_only for step in trace))
    assert verdict.kind == WRONG and lesson00.OTHER in verdict.sentence, verdict


@pytest.mark.parametrize(("x0", "step"), [(0x10E, 19), (3, 17), (-37, 17), (2**64 - 2, 17)])
def test_the_step_of_a_refusal_is_that_of_the_instruction_that_refuses(x0, step):
    with Machine("numbered", seed=7) as machine:
        assert machine.hvc(x0).trace[step].text == "mov x0, #-0x26"
    verdict = check("00.2", x0)
    assert verdict.kind == RIGHT and f"at step {step};" in verdict.sentence, verdict
