"""The checks of lesson 00, where tests/test_check.py, which is about every check, says nothing."""

import pytest

from hypkit import Machine
from hypkit.check import RIGHT, WRONG, check
from hypkit.exercises import lesson00


@pytest.mark.parametrize("el2_only", [True, False])
def test_a_count_of_the_lessons_own_call_is_told_whose_it_is(el2_only):
    with Machine("numbered", seed=lesson00.SEED) as machine:
        trace = machine.call(lesson00.OTHER).trace
    verdict = check("00.1", sum(step.el == 2 or not el2_only for step in trace))
    assert verdict.kind == WRONG and lesson00.OTHER in verdict.sentence, verdict


@pytest.mark.parametrize(("x0", "step"), [(0x10E, 19), (3, 17), (-38, 17), (2**64 - 38, 17)])
def test_the_step_of_a_refusal_is_that_of_the_instruction_that_refuses(x0, step):
    with Machine("numbered", seed=7) as machine:
        assert machine.hvc(x0).trace[step].text == "mov x0, #-0x26"
    verdict = check("00.2", x0)
    assert verdict.kind == RIGHT and f"at step {step};" in verdict.sentence, verdict
