"""Checks of exercises: right answers, typical mistakes, nonsense, hints, what stays untouched."""

import re
import subprocess
import sys

import pytest

from hypkit import Machine, exercises
from hypkit.check import OPEN, RIGHT, WRONG, Verdict, check, hint
from hypkit.check import exercises as all_exercises
from hypkit.exercises import Bench, Wrong, call_function, shown, unanswered


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No test waits long for a learner's endless loop."""
    monkeypatch.setattr(exercises, "SECONDS", 0.3)


@pytest.fixture(scope="module")
def seven():
    with Machine("fnptr", seed=7) as machine:
        yield machine


def set_offset(machine, value):
    machine.call("__kvm_timer_set_cntvoff", value & 0xFFFF_FFFF, value >> 32)


def count_to(machine, n):
    for _ in range(n):
        machine.call("__kvm_vcpu_run_nvhe", "vcpu0")


def break_it(machine, kind):
    if kind == "instruction":
        machine.hvc(0x1000)
    else:
        machine.call("__kvm_tlb_flush_vmid", 0x1000)
    return machine.panicked.esr >> 26


# Exercise -> answers that are right, in the ways learners find them. Callables of one argument
# named `seven` are given the machine of exercise 01.1.
SOLUTIONS = {
    "00.1": [51],
    "00.2": [0x10E, 3, 0xFF, -1, (1 << 64) - 1, 1 << 63],
    "00.3": [set_offset, lambda m, v: m.call("__kvm_timer_set_cntvoff", v & ~0 & 0xFFFFFFFF,
                                             v >> 32)],
    "01.1": [lambda seven: seven.address("__kvm_call_hyp") + 4],
    "01.2": [{"fnptr": 28, "numbered": 41}],
    "01.3": [count_to],
    "01.4": [break_it],
}


def half_break(machine, kind):
    machine.hvc(0x1000)
    return machine.panicked.esr >> 26


def whole_syndrome(machine, kind):
    break_it(machine, kind)
    return machine.panicked.esr


# Exercise -> typical wrong answers and what the sentence must say about them.
MISTAKES = {
    "00.1": [(56, "all steps of the trace"), (5, "the steps at EL1"), (2, "only the called"),
             (49, "all but the called function's own"), (50, "came 50"), (0, "came 0")],
    "00.2": [(0x102, "called __kvm_timer_set_cntvoff at step 49"), (0x10D, "is taken"),
             (0, "stub call"), (2, "stub call"), (0x50, "example of the lesson"),
             (1 << 64, "64 bits"), (-1 << 65, "64 bits")],
    "00.3": [(lambda m, v: m.call("__kvm_timer_set_cntvoff", v), "its low 32 bits are right"),
             (lambda m, v: m.call("__kvm_timer_set_cntvoff", v >> 32, v & 0xFFFF_FFFF),
              "at step 53"),
             (lambda m, v: Machine().call("__kvm_timer_set_cntvoff", v), "use its argument"),
             (lambda m, v: m.call("__kvm_get_mdcr_el2"), "does not write this register"),
             (lambda m, v: m.call("__kvm_timer_set_cntoff", v), "did you mean")],
    "01.1": [(lambda seven: seven.address("__kvm_call_hyp"), "the HVC itself at step 10"),
             (lambda seven: seven.sysreg("VBAR_EL2") + 0x400, "where EL2 begins at step 11"),
             (lambda seven: seven.address("__kvm_call_hyp", "linear") + 4, "the linear address of"),
             (lambda seven: seven.address("__kvm_call_hyp") + 8, "the image address of"),
             (0x1234, "no address of the machine with seed 7")],
    "01.2": [({"fnptr": 29, "numbered": 41}, "finds the hyp address in x0 already"),
             ({"fnptr": 28, "numbered": 35}, "the image address of __kvm_get_mdcr_el2"),
             ({"fnptr": 24, "numbered": 41}, "no address at all"),
             ({"fnptr": 28, "numbered": 32}, "leaves x0 alone"),
             ({"fnptr": 28, "numbered": 99}, "expected a step of the call, 0 to 55"),
             ({"fnptr": 28}, 'a step for "fnptr" and one for "numbered"')],
    "01.3": [(lambda m, n: count_to(m, n - 1), "at 3; came 2, with 2 call(s) made"),
             (lambda m, n: count_to(m, n + 1), "came 4"),
             (lambda m, n: [m.call("__kvm_vcpu_run_nvhe", "vcpu1") for _ in range(n)],
              "the VM never stored to it"),
             (lambda m, n: n + 1, "made no call")],
    "01.4": [(half_break, "hyp_panic at step 27 found class 0x21"),
             (whole_syndrome, "all of ESR_EL2"),
             (lambda m, k: break_it(m, k) and None, "came None"),
             (lambda m, k: m.hvc(0x1001), "PC alignment fault"),
             (lambda m, k: m.call("__kvm_get_mdcr_el2"), "expected EL2 to panic")],
}


def given(answer, seven):
    names = getattr(getattr(answer, "__code__", None), "co_varnames", ())
    return answer(seven) if names == ("seven",) else answer


def cases(table):
    return [pytest.param(number, answer, id=f"{number}-{n}")
            for number, answers in table.items() for n, answer in enumerate(answers)]


@pytest.mark.parametrize(("number", "answer"), cases(SOLUTIONS))
def test_a_right_answer_passes_in_a_sentence(number, answer, seven):
    verdict = check(number, given(answer, seven))
    assert verdict.passed and verdict.kind == RIGHT, verdict
    assert verdict.sentence.endswith(".")


@pytest.mark.parametrize(("number", "mistake"), cases(MISTAKES))
def test_a_typical_mistake_fails_and_is_named(number, mistake, seven):
    answer, phrase = mistake
    verdict = check(number, given(answer, seven))
    assert not verdict.passed and verdict.kind == WRONG
    assert phrase in verdict.sentence


def test_every_exercise_of_the_first_two_lessons_has_solutions_and_mistakes_here():
    mine = [number for number in all_exercises() if number[:2] in ("00", "01")]
    assert mine == list(SOLUTIONS) == list(MISTAKES)
    assert all(len(mistakes) >= 2 for mistakes in MISTAKES.values())


# Nonsense.


class Hostile:
    """Nothing about this can be asked without an exception."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


class FalseNumber:
    def __index__(self):
        raise OverflowError("no number after all")


def forever(*arguments):
    while True: pass  # noqa: E701 (one line: it has no line events)


def stubborn(*arguments):
    while True:
        try:
            sum(range(100))
        except Exception:
            pass


def deep(*arguments):
    return deep(*arguments)


def leaves(*arguments):
    raise SystemExit(3)


def restarts(machine, *arguments):
    machine.hvc(1)  # a soft restart to address 0


def closes(machine, *arguments):
    machine.close()


NONSENSE = [None, "", "51", b"x", 0, -1, 10**100, -(1 << 64), 3.5, float("nan"), True, 1j, [], [1],
            {}, {"fnptr": None, "numbered": "x"}, {"fnptr": 10**100, "numbered": -1}, {1: 2}, set(),
            object(), Hostile(), FalseNumber(), {"fnptr": Hostile(), "numbered": Hostile()}, len,
            int, Machine, forever, stubborn, deep, leaves, restarts, closes, lambda: 1,
            lambda *a: 1 / 0, lambda *a: Hostile(), lambda *a: 10**5000, NotImplemented]


@pytest.mark.parametrize("number", SOLUTIONS)
@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_not_right_and_raises_nothing(number, nonsense):
    verdict = check(number, nonsense)
    assert isinstance(verdict, Verdict)
    # Some nonsense is a right answer after all: 00.2 takes any small number but three.
    if (number, nonsense if isinstance(nonsense, int) else None) != ("00.2", -1):
        assert verdict.kind == WRONG
    assert 20 < len(verdict.sentence) < 500, verdict
    assert verdict.exercise in repr(verdict) and "<p role=" in verdict._repr_html_()


@pytest.mark.parametrize("endless", [forever, stubborn])
def test_an_endless_loop_in_a_function_is_stopped_and_named(endless):
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
    monkeypatch.setattr(exercises, "BUDGET", 5_000)
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
        "set_offset stopped with ZeroDivisionError, 2 lines below its def: division by zero.")


def test_the_stop_button_gets_through():
    def stopped(machine, value):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("00.3", stopped)


# Not answered yet.


def empty(machine, value):
    ...


def documented(machine, value):
    """Sets the offset."""


@pytest.mark.parametrize("answer", [..., {"fnptr": ..., "numbered": 3}, [1, ...], (..., 2), empty,
                                    documented, lambda m, v: ...])
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
def test_no_sentence_about_a_mistake_gives_the_answer_away(number, seven):
    right = given(SOLUTIONS[number][0], seven)
    secrets = map(shown, right.values() if isinstance(right, dict) else [right])
    for secret in secrets:
        for mistake, _ in MISTAKES[number]:
            answer = given(mistake, seven)
            sentence = check(number, answer).sentence
            assert not re.search(rf"\b{secret}\b", sentence) or secret in str(answer), sentence


def test_a_check_leaves_the_learners_machine_alone():
    with Machine("numbered", seed=3) as mine:
        mine.call("__kvm_timer_set_cntvoff", 0x77)
        for number in SOLUTIONS:
            check(number, SOLUTIONS[number][0])
        assert mine.sysreg("CNTVOFF_EL2") == 0x77 and not mine.stopped


def test_equal_answers_give_equal_verdicts():
    assert check("01.4", half_break) == check("01.4", half_break)


def test_a_sentence_with_markup_is_escaped():
    assert "&lt;b&gt;" in check("00.1", "<b>")._repr_html_()


def test_a_lesson_is_loaded_only_when_one_of_its_exercises_is_asked_for():
    code = ("import sys; from hypkit.check import check; check('01.2');"
            "print([name for name in sys.modules if name.startswith('hypkit.exercises.lesson')])")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "['hypkit.exercises.lesson01']\n"


# The parts.


@pytest.mark.parametrize(("value", "text"), [
    (5, "5"), (-38, "-38"), (0x1000, "0x1000"), (1 << 80, "a number of 81 bits"), ("a", "'a'"),
    (set_offset, "the function set_offset"), (Hostile(), "something of type Hostile"),
    ("x" * 100, "'" + "x" * 55 + " ...")])
def test_any_value_is_shown_in_a_few_characters(value, text):
    assert shown(value) == text


def test_a_class_is_not_taken_for_the_function_that_was_asked_for():
    with pytest.raises(Wrong, match="Expected the function f, without calling it"):
        call_function(int, name="f")


@pytest.mark.parametrize(("error", "words"), [
    (KeyError("no hypercall 'foo'"), "KeyError, 1 line below its def: no hypercall 'foo'"),
    (AttributeError("'NoneType' has no 'foo'"), "'NoneType' has no 'foo'"),
    (ValueError(), "ValueError, 1 line below its def: no message")])
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
            "__kvm_get_mdcr_el2", "hvc 0x101", "hvc 0x101"]
