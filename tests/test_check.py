"""Checks of exercises, whatever the exercise: endless loops, dots, hints, what stays untouched."""

import itertools
import re
import signal
import subprocess
import sys
import time

import pytest

from hypkit import Machine
from hypkit.check import OPEN, Progress, check, hint, progress, solution
from hypkit.check import exercises as all_exercises
from hypkit.lessons import functions, recording
from hypkit.lessons.answers import shown, unanswered
from hypkit.lessons.functions import call_function
from hypkit.lessons.judge import Wrong
from hypkit.lessons.recording import RecordingMachine
from notebooks.src.build import TEXTS
from tests.lessons.exercises import test_lesson00, test_lesson01
from tests.lessons.exercises.test_lesson00 import set_offset
from tests.lessons.exercises.test_lesson01 import half_break
from tests.nonsense import Hostile, forever, stubborn

RIGHT_ANSWERS = [*test_lesson00.RIGHT_ANSWERS, *test_lesson01.RIGHT_ANSWERS]
MISTAKES = [*test_lesson00.MISTAKES, *test_lesson01.MISTAKES]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """What passes in a test is nobody's progress."""
    monkeypatch.setenv("HYPKIT_PROGRESS", str(tmp_path / "passed"))


@pytest.fixture
def impatient(monkeypatch):
    """A test does not wait long for a learner's endless loop."""
    monkeypatch.setattr(functions, "SECONDS", 0.3)


@pytest.mark.parametrize("endless", [forever, stubborn])
def test_an_endless_loop_in_a_function_is_stopped_and_named(endless, impatient):
    assert "set_offset ran for 0.3 seconds and did not return" in check("00.3", endless).sentence


def test_a_generator_without_an_end_is_stopped_and_named(impatient):
    def forever(machine, name, count):
        while True:
            yield from ()

    assert "other_names ran for 0.3 seconds" in check("03.2", forever).sentence
    assert "your answer ran for 0.3 seconds" in check("05.3", forever(0, 0, 0)).sentence
    assert "more than 10,000 items" in check("05.3", itertools.count()).sentence


def test_the_limit_counts_work_and_no_waiting(impatient):
    def waits(machine, value):
        time.sleep(0.5)
        set_offset(machine, value)

    assert check("00.3", waits).passed


def test_somebody_who_waits_for_ever_is_stopped_too(impatient, monkeypatch):
    monkeypatch.setattr(functions, "PATIENCE", 0.5)

    def waits(machine, value):
        while True:
            time.sleep(0.01)

    assert "set_offset waited for 0.5 seconds" in check("00.3", waits).sentence


@pytest.mark.parametrize("busy", [6])
def test_a_busy_computer_makes_no_answer_wrong(busy, monkeypatch):
    """A function that needs half of its time alone needs no more of it beside six others."""

    def works(machine, value):
        begun = time.thread_time()
        while time.thread_time() - begun < 0.1:
            pass
        set_offset(machine, value)

    monkeypatch.setattr(functions, "SECONDS", 0.3)
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.DEVNULL)
        for _ in range(busy)
    ]
    try:
        begun = time.monotonic()
        assert check("00.3", works).passed
        assert time.monotonic() - begun > 0.6  # the clock alone would have stopped some of them
    finally:
        for other in others:
            other.kill()
            other.wait()


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
    monkeypatch.setattr(recording, "BUDGET", 5_000)
    loop = "dispatch:\n b dispatch\ndispatch_find:\ndispatch_call:\n"
    with RecordingMachine("numbered", dispatcher=loop) as machine:
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
    [..., {"fnptr": ..., "numbered": ...}, [..., ...], (...,), empty, documented, lambda m, v: ...],
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


def unknown_to_linecache(body):
    """A function whose text nobody has kept, as in a notebook that was loaded from elsewhere."""
    space = {}
    exec(f"def f(machine, value):\n    {body}", space)
    return space["f"]


@pytest.mark.parametrize("body", ["...", "pass", "return", "return None", "return ...", "'what'"])
def test_an_empty_function_is_no_answer_with_or_without_its_text(body):
    assert unanswered(unknown_to_linecache(body))


@pytest.mark.parametrize("body", ["return 3", "return 'x'", "print()", "'what'; return 0", "yield"])
def test_a_function_with_a_body_is_an_answer_with_or_without_its_text(body):
    assert not unanswered(unknown_to_linecache(body))


def test_a_body_after_a_doc_string_is_a_body():
    def answered(machine, value):
        """Set the offset."""
        return 0

    async def not_begun(machine, value): ...

    assert not unanswered(answered) and unanswered(not_begun)


def test_what_is_there_of_a_half_filled_answer_is_judged():
    verdict = check("01.2", {"fnptr": 28, "numbered": ...})
    assert verdict.kind == OPEN
    assert verdict.sentence == (
        'Right for "fnptr"; now put an answer in place of the dots of "numbered".'
    )
    assert "no address at all" in check("01.2", {"fnptr": 26, "numbered": ...}).sentence
    assert check("02.1", ["image", ..., ..., ..., ...]).kind == OPEN
    assert check("05.3", [7, ...]).kind == OPEN
    assert check("06.4", {"kvm_hcalls.h": "x", "kvm_hcall_list.h": ...}).kind == OPEN


# Solutions and progress.


@pytest.mark.parametrize("number", all_exercises())
def test_a_solution_is_the_worked_one_with_all_that_it_needs(number, monkeypatch):
    shown = solution(number)
    assert shown.text.startswith(f"## Exercise {number}: ") and "code-cell" not in shown.text
    assert repr(shown) == shown._repr_markdown_() == shown.text
    verdicts = []

    def judged(exercise, answer):
        verdicts.append((exercise, check(exercise, answer).passed))

    code = "\n".join(re.findall(r"```python\n(.*?)```", shown.text, re.DOTALL))
    monkeypatch.setattr("builtins.print", lambda *words: None)
    monkeypatch.setattr("hypkit.check.check", judged)
    exec(code.replace("from hypkit.check import check\n", ""), {"check": judged})
    assert verdicts and all(verdict == (number, True) for verdict in verdicts)


def test_progress_is_kept_from_one_kernel_to_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPKIT_PROGRESS", str(tmp_path / "new"))
    monkeypatch.setattr("hypkit.check._passed", set())
    assert progress().passed == () and progress().next == "00.1"
    check("00.1", 51)
    check("00.2", -38)
    monkeypatch.setattr("hypkit.check._passed", set())  # another kernel
    assert progress().passed == ("00.1",) and progress().next == "00.2"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["00.1"]
    assert repr(progress()).startswith(
        f"Checks passed: 1 of {len(all_exercises())}. Next: 00.2 in lesson 00.\n00  1 of 3"
    )
    card = progress()._repr_html_()
    assert '<th scope="row">00</th><td>1 of 3</td>' in card and 'value="1"' in card
    assert 'Go on with <a href="00-start-here.ipynb">00-start-here</a>: 00.2, ' in card


def test_progress_leaves_optional_exercises_for_the_end():
    required = [number for number, one in all_exercises().items() if not one.optional]
    optional = [number for number, one in all_exercises().items() if one.optional]
    assert Progress(tuple(required)).next == optional[0] == "01.3"
    assert "Next: 01.3 in lesson 01, optional." in repr(Progress(tuple(required)))
    everything = Progress(tuple(all_exercises()))
    assert everything.next is None and "That was the last one." in repr(everything)


def test_a_home_that_cannot_be_written_to_makes_no_answer_wrong(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HYPKIT_PROGRESS", str(tmp_path / "file" / "below"))
    monkeypatch.setattr("hypkit.check._passed", set())
    assert check("00.1", 51).passed and progress().passed == ("00.1",)


def test_what_the_notebooks_call_optional_is_optional_here():
    for number, exercise in all_exercises().items():
        (text,) = TEXTS.glob(f"{number[:2]}-*.md")
        section = text.read_text(encoding="utf-8").split(f"### Exercise {number}:")[1]
        assert section.split("\n\n")[1].startswith("*Optional.*") == exercise.optional, number


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
@pytest.mark.parametrize("number", ["99.9", "x", None, [], 7])
def test_an_unknown_exercise_is_named(ask, number):
    with pytest.raises(KeyError, match="no exercise .*numbered like '01.2'"):
        ask(number)


@pytest.mark.parametrize("ask", [check, hint, solution])
@pytest.mark.parametrize(
    "number", ["1.2", "01,2", "1-2", "lesson 01.2", " 01.2", 1.2, "exercise 1.2"]
)
def test_a_number_written_in_another_way_is_understood(ask, number):
    with pytest.raises(KeyError) as raised:
        ask(number)
    assert str(raised.value).endswith("; did you mean '01.2'?")


def test_an_answer_before_its_number_is_told():
    with pytest.raises(KeyError) as raised:
        check(51, "00.1")
    assert str(raised.value) == ("the exercise's number comes first: check('00.1', ...); got 51")


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


def test_a_recording_machine_remembers_each_call_once():
    with RecordingMachine("numbered", seed=1) as machine:
        machine.call("__kvm_get_mdcr_el2")
        machine.call(0x101)
        machine.hvc(0x101)
        assert [call.what for call in machine.calls] == [
            "__kvm_get_mdcr_el2",
            "hvc 0x101",
            "hvc 0x101",
        ]


def huge_power(*arguments):
    return 10**10**9


def catastrophe(*arguments):
    return re.match("(a+)+$", "a" * 60 + "b")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no such signals")
@pytest.mark.parametrize("answer", [huge_power, catastrophe])
def test_a_call_into_c_that_listens_to_signals_is_stopped(answer, impatient):
    verdict = check("00.3", answer)
    assert not verdict.passed and "ran for 0.3 seconds and did not return" in verdict.sentence
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
    assert signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL
