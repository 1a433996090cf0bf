"""Every exercise: right answers pass, typical mistakes fail and are named, nonsense is answered.

The answers are data in the lessons' test files: RIGHT_ANSWERS of (exercise, answer), MISTAKES of
(exercise, answer, phrase of the sentence about it), and NONSENSE of a lesson's own. Run the cases
of a lesson or of an exercise with -k 09. or -k 09.3.
"""

from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from hypkit.check import RIGHT, WRONG, Verdict, check
from hypkit.check import exercises as all_exercises
from hypkit.lessons import functions
from tests.nonsense import LOOP, NONSENSE, FalseNumber, forever

LESSONS = {
    path.stem[-2:]: import_module(f"tests.lessons.exercises.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("test_lesson[0-9][0-9].py"))
}
RIGHT_ANSWERS = [row for lesson in LESSONS.values() for row in lesson.RIGHT_ANSWERS]
MISTAKES = [row for lesson in LESSONS.values() for row in lesson.MISTAKES]


def name_of(answer):
    return getattr(answer, "__name__", type(answer).__name__).strip("<>")


def fields(row):
    """(exercise, answer, ...) of a row, which may be a pytest.param."""
    return getattr(row, "values", row)


def cases(rows):
    """The rows as parameters, named by exercise, place in its list, and kind of answer."""
    seen, named = Counter(), []
    for row in rows:
        number, answer, *_ = fields(row)
        named.append(
            pytest.param(
                *fields(row),
                marks=getattr(row, "marks", ()),
                id=f"{number}-{seen[number]}-{name_of(answer)}",
            )
        )
        seen[number] += 1
    return named


def ending(answer, right):
    """What is said of an endless loop where the exercise, by its right answers, runs such code."""
    if name_of(answer) in ("forever", "stubborn") and any(map(callable, right)):
        return "did not return"
    if answer is LOOP and any(isinstance(text, str) and "eret" in text for text in right):
        return "it still runs at dispatch (EL2)"
    return ""


def nonsense_rows():
    """(exercise, nonsense, phrase of the sentence about it, which is empty but for loops)."""
    for number in all_exercises():
        right = [fields(row)[1] for row in RIGHT_ANSWERS if fields(row)[0] == number]
        numbers = [answer for answer in right if type(answer) is int]
        for answer in [*NONSENSE, *getattr(LESSONS.get(number[:2]), "NONSENSE", ())]:
            # Exercise 00.2 takes nearly any number, -1 too: its right answers say so.
            if type(answer) is not int or answer not in numbers:
                yield number, answer, ending(answer, right)


NONSENSE_ROWS = list(nonsense_rows())


def told(number, answer):
    """The verdict on an answer: a sentence, whatever was answered."""
    verdict = check(number, answer)
    assert isinstance(verdict, Verdict) and verdict.exercise == number
    assert 20 < len(verdict.sentence) < 500, verdict
    assert repr(verdict).startswith(number) and "<p role=" in verdict._repr_html_()
    return verdict


@pytest.mark.parametrize(("number", "answer"), cases(RIGHT_ANSWERS))
def test_a_right_answer_passes(number, answer):
    verdict = told(number, answer)
    assert verdict.kind == RIGHT and verdict.passed, verdict
    assert verdict.sentence.endswith(".")


@pytest.mark.parametrize(("number", "answer", "phrase"), cases(MISTAKES))
def test_a_typical_mistake_fails_and_is_named(number, answer, phrase):
    verdict = told(number, answer)
    assert verdict.kind == WRONG and not verdict.passed, verdict
    assert phrase in verdict.sentence


@pytest.mark.parametrize(("number", "answer", "phrase"), cases(NONSENSE_ROWS))
def test_nonsense_is_wrong_in_a_sentence_and_raises_nothing(number, answer, phrase, monkeypatch):
    if phrase:
        monkeypatch.setattr(functions, "SECONDS", 0.05)
    verdict = told(number, answer)
    assert verdict.kind == WRONG and phrase in verdict.sentence, verdict
    if not isinstance(answer, FalseNumber):
        assert "cannot be judged" not in verdict.sentence, verdict


# --- What each exercise must have ----------------------------------------------------------------

KINDS = {
    "None": lambda answer: answer is None,
    "a string": lambda answer: isinstance(answer, str),
    "a huge number": lambda answer: type(answer) is int and answer.bit_length() > 64,
    "an endless loop in Python": lambda answer: answer is forever,
    "an endless loop in assembly": lambda answer: answer is LOOP,
}


def wants(number, right, mistakes, nonsense):
    """What an exercise still wants of the rows of its lesson, in sentences."""

    def mine(rows):
        return [fields(row)[1:] for row in rows if fields(row)[0] == number]

    file = f"test_lesson{number[:2]}.py"
    if not mine(right):
        yield f"exercise {number} wants a right answer: add one to RIGHT_ANSWERS of {file}"
    named = len({phrase for _, phrase in mine(mistakes) if phrase.strip()})
    if named < 2:
        yield (
            f"exercise {number} wants two typical mistakes, each named by a phrase of its own, "
            f"and has {named}: add to MISTAKES of {file}"
        )
    for kind, is_of in KINDS.items():
        if not any(is_of(answer) for answer, *_ in mine(nonsense)):
            yield f"exercise {number} wants {kind} among its nonsense: see tests/nonsense.py"


@pytest.mark.parametrize("number", list(all_exercises()))
def test_every_exercise_has_a_right_answer_two_mistakes_and_nonsense(number):
    missing = list(wants(number, RIGHT_ANSWERS, MISTAKES, NONSENSE_ROWS))
    assert not missing, "; ".join(missing)


def test_every_lesson_has_exercises_and_answers():
    assert [f"{n:02}" for n in range(14)] == list(LESSONS)
    assert list(LESSONS) == sorted({number[:2] for number in all_exercises()})
    for lesson, module in LESSONS.items():
        for number, *_ in map(fields, [*module.RIGHT_ANSWERS, *module.MISTAKES]):
            assert number[:2] == lesson and number in all_exercises()


def test_an_exercise_that_wants_something_is_named():
    right, mistakes = [("03.1", "x")], [("03.1", "y", "one"), ("03.1", "z", "two")]
    nonsense = [("03.1", answer, "") for answer in NONSENSE]
    assert not list(wants("03.1", right, mistakes, nonsense))
    assert list(wants("03.1", [], mistakes, nonsense)) == [
        "exercise 03.1 wants a right answer: add one to RIGHT_ANSWERS of test_lesson03.py"
    ]
    for too_few in ([], mistakes[:1], mistakes[:1] * 2, [*mistakes[:1], ("03.1", "z", "")]):
        (sentence,) = wants("03.1", right, too_few, nonsense)
        assert sentence.startswith("exercise 03.1 wants two typical mistakes, each named")
    sentences = "; ".join(wants("03.1", right, mistakes, [("03.1", "junk", "")]))
    for kind in KINDS.keys() - {"a string"}:
        assert f"exercise 03.1 wants {kind} among its nonsense" in sentences
    assert len(list(wants("03.2", right, mistakes, nonsense))) == 2 + len(KINDS)
