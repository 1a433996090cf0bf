"""Checks of the exercises: check(number, answer) says how it went, hint(number) helps.

What an exercise is, and the exercises themselves, are data in hypkit/lessons/exercises.
"""

from __future__ import annotations

import difflib
import html
import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache

import hypkit.lessons.exercises
from hypkit.lessons.judge import Exercise, Wrong, shown, unanswered

RIGHT, WRONG, OPEN = "right", "not right yet", "not answered yet"
_MARKS = {RIGHT: "\u2714", WRONG: "\u2718", OPEN: "\u25cb"}


@dataclass(frozen=True)
class Verdict:
    """How a check went. kind: RIGHT, WRONG or OPEN; sentence: what was expected and what came."""

    exercise: str
    kind: str
    sentence: str

    @property
    def passed(self) -> bool:
        return self.kind == RIGHT

    def _repr_html_(self) -> str:
        return (
            f'<p role="status">{_MARKS[self.kind]} <strong>{self.exercise}: {self.kind}.'
            f"</strong> {html.escape(self.sentence)}</p>"
        )

    def __repr__(self) -> str:
        return f"{self.exercise}: {self.kind}. {self.sentence}"


@dataclass(frozen=True)
class Hint:
    """One hint, and where it stands among the exercise's hints."""

    exercise: str
    stage: int
    stages: int
    text: str

    def _repr_html_(self) -> str:
        return (
            f'<p role="status"><strong>{self.exercise}, hint {self.stage} of {self.stages}:'
            f"</strong> {html.escape(self.text)}</p>"
        )

    def __repr__(self) -> str:
        return f"{self.exercise}, hint {self.stage} of {self.stages}: {self.text}"


_MODULES = sorted(module.name for module in pkgutil.iter_modules(hypkit.lessons.exercises.__path__))


@cache
def _of_lesson(module: str) -> dict[str, Exercise]:
    """A lesson's exercises by number; each lesson is loaded when it is first asked for."""
    found = importlib.import_module(f"hypkit.lessons.exercises.{module}").EXERCISES
    return {exercise.id: exercise for exercise in found}


def exercises() -> dict[str, Exercise]:
    """All exercises by number, in the order of the lessons."""
    return {
        number: exercise for module in _MODULES for number, exercise in _of_lesson(module).items()
    }


def _exercise(number: object) -> Exercise:
    text = number if isinstance(number, str) else ""
    module = f"lesson{text[:2]}"
    known = _of_lesson(module) if module in _MODULES else {}
    if text in known:
        return known[text]
    near = difflib.get_close_matches(str(number), known or exercises(), 1, 0.5)
    like = near[0] if near else next(iter(known or exercises()))
    raise KeyError(f"no exercise {shown(number)}; exercises are numbered like {like!r}")


def check(number: str, answer: object = ...) -> Verdict:
    """Judge an answer to the exercise *number* ("01.2"), in a fresh machine where one is needed.

    No answer makes this raise; KeyError for an exercise that does not exist.
    """
    exercise = _exercise(number)
    try:
        if unanswered(answer):
            return Verdict(
                exercise.id,
                OPEN,
                "Put your answer in place of the dots and run the "
                f"cell again; hint({exercise.id!r}) helps.",
            )
        return Verdict(exercise.id, RIGHT, _sentence(exercise.judge(answer)))
    except Wrong as wrong:
        return Verdict(exercise.id, WRONG, _sentence(str(wrong)))
    except Exception as error:  # an answer that no judge thought of
        return Verdict(
            exercise.id,
            WRONG,
            _sentence(
                f"This answer cannot be judged ({type(error).__name__}); came {shown(answer)}"
            ),
        )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."


_given: dict[str, int] = {}


def hint(number: str) -> Hint:
    """The next hint for an exercise: faint at first, then broader; the last one is repeated."""
    exercise = _exercise(number)
    stage = min(_given.get(exercise.id, 0) + 1, len(exercise.hints))
    _given[exercise.id] = stage
    return Hint(exercise.id, stage, len(exercise.hints), exercise.hints[stage - 1])
