"""Checks of exercises, whatever the exercise: endless loops, dots, hints, what stays untouched."""

import re
import subprocess
import sys

import pytest

from hypkit import Machine
from hypkit.check import OPEN, check, hint
from hypkit.check import exercises as all_exercises
from hypkit.lessons import judge
from hypkit.lessons.judge import Bench, Wrong, call_function, shown, unanswered
from tests.lessons.exercises import test_lesson00, test_lesson01
from tests.lessons.exercises.test_lesson00 import set_offset
from tests.lessons.exercises.test_lesson01 import half_break
from tests.nonsense import Hostile, forever, stubborn

RIGHT_ANSWERS = [*test_lesson00.RIGHT_ANSWERS, *test_lesson01.RIGHT_ANSWERS]
MISTAKES = [*test_lesson00.MISTAKES, *test_lesson01.MISTAKES]


@pytest.fixture
def impatient(monkeypatch):
    """A test does not wait long for a learner's endless loop."""
    monkeypatch.setattr(judge, "SECONDS", 0.3)


@pytest.mark.parametrize("endless", [forever, stubborn])
def test_an_endless_loop_in_a_function_is_stopped_and_named(endless, impatient):
    assert "set_offset ran for 0.3 seconds and did not return" in check("00.3", endless).sentence


def test_the_tracer_that_was_there_before_is_there_again():
    def tracer(frame, event, argument):
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        check("00.3", set_offset)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def test_an_endless_loop_at_el2_ends_with_the_budget(monkeypatch):
    monkeypatch.setattr(judge, "BUDGET", 5_000)
    pytest.importorskip("keystone")
    loop = "dispatch:\n b dispatch\ndispatch_find:\ndispatch_call:\n"
    with Bench("numbered", dispatcher=loop) as machine:
        call = machine.call("__kvm_get_mdcr_el2")
    assert call.outcome == "runaway" and len(call.whole_trace) == 5_000


def test_an_exception_says_where_in_the_function_it_came_from():
    def divides(machine, value):
        half = value
        return half / 0

    assert check("00.3", divides).sentence == (
        "set_offset stopped with ZeroDivisionError, 2 lines below its def: division by zero."
    )


def test_the_stop_button_gets_through():
    def stopped(machine, value):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("00.3", stopped)


# Not answered yet.


def empty(machine, value): ...


def documented(machine, value):
    """Sets the offset."""


@pytest.mark.parametrize(
    "answer",
    [..., {"fnptr": ..., "numbered": 3}, [1, ...], (..., 2), empty, documented, lambda m, v: ...],
)
def test_an_answer_with_dots_is_not_answered_yet(answer):
    assert unanswered(answer)
    verdict = check("01.2", answer)
    assert verdict.kind == OPEN and not verdict.passed
    assert repr(verdict).startswith("01.2: not answered yet. Put your answer")


def test_a_function_that_does_something_is_an_answer():
    def calls(machine, value):
        print(machine)

    assert not unanswered(calls)
    assert not unanswered(lambda m, v: 3)
    assert not unanswered(len)
    assert not unanswered([1, 2])


# Hints.


@pytest.mark.parametrize("number", all_exercises())
def test_hints_come_in_stages_and_the_last_one_stays(number, monkeypatch):
    monkeypatch.setattr("hypkit.check._given", {})
    hints = all_exercises()[number].hints
    assert len(hints) >= 2
    given_out = [hint(number) for _ in range(len(hints) + 1)]
    assert [one.text for one in given_out] == [*hints, hints[-1]]
    assert repr(given_out[0]).startswith(f"{number}, hint 1 of {len(hints)}: ")
    assert f"hint {len(hints)} of {len(hints)}" in given_out[-1]._repr_html_()


@pytest.mark.parametrize("ask", [check, hint])
@pytest.mark.parametrize("number", ["99.9", "1.2", None, [], 7])
def test_an_unknown_exercise_is_named(ask, number):
    with pytest.raises(KeyError, match="no exercise .*numbered like '[01]"):
        ask(number)


# What a check must not do.


@pytest.mark.parametrize("number", ["00.1", "01.1", "01.2"])
def test_no_sentence_about_a_mistake_gives_the_answer_away(number):
    right = next(answer for n, answer in RIGHT_ANSWERS if n == number)
    secrets = [*map(shown, right.values() if isinstance(right, dict) else [right])]
    for answer in (answer for n, answer, _ in MISTAKES if n == number):
        sentence = check(number, answer).sentence
        for secret in secrets:
            assert not re.search(rf"\b{secret}\b", sentence) or secret in str(answer), sentence


def test_a_check_leaves_the_learners_machine_alone():
    with Machine("numbered", seed=3) as mine:
        mine.call("__kvm_timer_set_cntvoff", 0x77)
        for number, answer in RIGHT_ANSWERS:
            assert check(number, answer).passed
        assert mine.sysreg("CNTVOFF_EL2") == 0x77 and not mine.stopped


def test_equal_answers_give_equal_verdicts():
    assert check("01.4", half_break) == check("01.4", half_break)


def test_a_sentence_with_markup_is_escaped():
    assert "&lt;b&gt;" in check("00.1", "<b>")._repr_html_()


def test_a_lesson_is_loaded_only_when_one_of_its_exercises_is_asked_for():
    code = (
        "import sys; from hypkit.check import check; check('01.2');"
        "print([name for name in sys.modules "
        "if name.startswith('hypkit.lessons.exercises.lesson')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "['hypkit.lessons.exercises.lesson01']\n"


# The parts.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (-38, "-38"),
        (0x1000, "0x1000"),
        (1 << 80, "a number of 81 bits"),
        ("a", "'a'"),
        (set_offset, "the function set_offset"),
        (Hostile(), "something of type Hostile"),
        ("x" * 100, "'" + "x" * 55 + " ..."),
    ],
)
def test_any_value_is_shown_in_a_few_characters(value, text):
    assert shown(value) == text


def test_a_class_is_not_taken_for_the_function_that_was_asked_for():
    with pytest.raises(Wrong, match="Expected the function f, without calling it"):
        call_function(int, name="f")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("no hypercall 'foo'"), "KeyError, 1 line below its def: no hypercall 'foo'"),
        (AttributeError("'NoneType' has no 'foo'"), "'NoneType' has no 'foo'"),
        (ValueError(), "ValueError, 1 line below its def: no message"),
    ],
)
def test_an_error_of_the_learners_function_is_quoted_as_it_was_raised(error, words):
    def wrong():
        raise error

    with pytest.raises(Wrong, match=re.escape(words) + "$"):
        call_function(wrong, name="wrong")


def test_a_bench_remembers_each_call_once():
    with Bench("numbered", seed=1) as machine:
        machine.call("__kvm_get_mdcr_el2")
        machine.call(0x101)
        machine.hvc(0x101)
        assert [call.what for call in machine.calls] == [
            "__kvm_get_mdcr_el2",
            "hvc 0x101",
            "hvc 0x101",
        ]
