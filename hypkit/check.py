"""The learner's side: predict, check an answer, get a hint, see a solution, see progress.

What an exercise is, and the exercises themselves, are in hypkit/lessons.
"""

from __future__ import annotations

import html
import importlib
import os
import pkgutil
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import hypkit.lessons.exercises
from hypkit.call import Call
from hypkit.errors import UnknownName, did_you_mean, pass_on
from hypkit.lessons.answers import shown, unanswered
from hypkit.lessons.judge import Exercise, Open, Wrong
from hypkit.lessons.prediction import Answer
from hypkit.lessons.prediction_view import Prediction
from hypkit.lessons.recording import watched

if TYPE_CHECKING:
    from hypkit.lessons.workbench.model import Workbench

__all__ = [
    "Hint",
    "Prediction",
    "Progress",
    "Solution",
    "Verdict",
    "check",
    "exercises",
    "hint",
    "predict",
    "progress",
    "solution",
    "workbench",
]

RIGHT, WRONG, OPEN = "right", "not right yet", "not answered yet"
_MARKS = {RIGHT: "\u2714", WRONG: "\u2718", OPEN: "\u25cb"}


@dataclass(frozen=True)
class Verdict:
    """How a check went. kind: RIGHT, WRONG or OPEN; sentence: what was expected, and what it got.

    call: the call that went wrong, where it was one.
    """

    exercise: str
    kind: str
    sentence: str
    call: Call | None = field(default=None, repr=False, compare=False)

    @property
    def passed(self) -> bool:
        """Return whether the answer was right."""
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


@dataclass(frozen=True)
class Solution:
    """A worked solution: text is Markdown, with the code to run in fences."""

    exercise: str
    text: str

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Progress:
    """Which checks have passed on this computer. passed: their exercises' numbers, in order."""

    passed: tuple[str, ...]

    @property
    def next(self) -> str | None:
        """Return the first exercise that has not passed, optional ones last; None after the last."""
        left = [one for number, one in exercises().items() if number not in self.passed]
        left.sort(key=lambda one: one.optional)
        return left[0].id if left else None

    def _rows(self) -> list[tuple[str, str, str]]:
        lessons: dict[str, list[str]] = {}
        for number in exercises():
            lessons.setdefault(number[:2], []).append(number)
        return [
            (
                lesson,
                f"{sum(n in self.passed for n in numbers)} of {len(numbers)}",
                " ".join(f"{n} {_MARKS[RIGHT if n in self.passed else OPEN]}" for n in numbers),
            )
            for lesson, numbers in lessons.items()
        ]

    def _sentence(self) -> str:
        said = f"Checks passed: {len(self.passed)} of {len(exercises())}."
        if (number := self.next) is None:
            return f"{said} That was the last one."
        one = exercises()[number]
        optional = ", optional" if one.optional else ""
        return f"{said} Next: {number} in lesson {number[:2]}{optional}."

    def _card(self) -> str:
        """Return a bar of how much is done, and the way to the lesson that comes next."""
        done, all_of_them = len(self.passed), len(exercises())
        bar = (
            f'<p><progress max="{all_of_them}" value="{done}" aria-label="checks passed">'
            f"{done} of {all_of_them}</progress></p>"
        )
        if (number := self.next) is None:
            return bar
        (file,) = _solutions().glob(f"{number[:2]}-*.md")
        title = html.escape(exercises()[number].title)
        return f'{bar}<p>Go on with <a href="{file.stem}.ipynb">{file.stem}</a>: {number}, {title}.</p>'

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row">{lesson}</th><td>{count}</td><td>{marks}</td></tr>'
            for lesson, count, marks in self._rows()
        )
        return (
            f"{self._card()}<table><caption>{self._sentence()}</caption>"
            '<tr><th scope="col">lesson</th><th scope="col">passed</th>'
            f'<th scope="col">exercises</th></tr>{rows}</table>'
        )

    def __repr__(self) -> str:
        rows = "\n".join("  ".join(row) for row in self._rows())
        return f"{self._sentence()}\n{rows}"


# --- Which exercise -------------------------------------------------------------------------------

_MODULES = sorted(module.name for module in pkgutil.iter_modules(hypkit.lessons.exercises.__path__))


@cache
def _of_lesson(module: str) -> dict[str, Exercise]:
    """Return a lesson's exercises by number; each lesson is loaded when it is first asked for."""
    found = importlib.import_module(f"hypkit.lessons.exercises.{module}").EXERCISES
    return {exercise.id: exercise for exercise in found}


def exercises() -> dict[str, Exercise]:
    """Return all exercises by number, in the order of the lessons."""
    return {
        number: exercise for module in _MODULES for number, exercise in _of_lesson(module).items()
    }


def _exercise(number: object, answer: object = ...) -> Exercise:
    text = number if isinstance(number, str) else ""
    module = f"lesson{text[:2]}"
    known = _of_lesson(module) if module in _MODULES else {}
    if text in known:
        return known[text]
    everything = exercises()
    if isinstance(answer, str) and answer in everything:
        raise UnknownName(
            f"the exercise's number comes first: check({answer!r}, ...); got {shown(number)}"
        )
    like = re.search(r"(\d{1,2})\s*[.,:-]\s*(\d)", text or shown(number))
    meant = f"{int(like[1]):02}.{like[2]}" if like else ""
    advice = f"; did you mean {meant!r}?" if meant in everything else did_you_mean(text, everything)
    raise UnknownName(
        f"no exercise {shown(number)}{advice or '; exercises are numbered like ' + repr('01.2')}"
    )


# --- What a learner calls -------------------------------------------------------------------------


def check(number: str, answer: object = ...) -> Verdict:
    """Judge an answer to an exercise, in fresh machines where machines are needed.

    Args:
        number: The exercise, such as "01.2".
        answer: Whatever the exercise asks for. A function gets three seconds of the processor; one
            call into C that listens to no signal, such as sum(itertools.repeat(1)), nothing can stop.

    Returns:
        The verdict, whatever the answer is.

    Raises:
        KeyError: There is no such exercise.
    """
    exercise = _exercise(number, answer)
    try:
        if unanswered(answer):
            return Verdict(
                exercise.id,
                OPEN,
                "Put your answer in place of the dots and run the "
                f"cell again; hint({exercise.id!r}) helps.",
            )
        with watched() as last:
            sentence = exercise.judge(answer)
    except Wrong as wrong:
        call = wrong.call or next(iter(last), None)
        return Verdict(exercise.id, WRONG, _sentence(str(wrong)), call)
    except Open as still_open:
        return Verdict(exercise.id, OPEN, _sentence(str(still_open)))
    except Exception as error:  # an answer that no judge thought of
        pass_on(error)
        return Verdict(
            exercise.id,
            WRONG,
            _sentence(
                f"This answer cannot be judged ({type(error).__name__}); got {shown(answer)}"
            ),
        )
    _note(exercise.id)
    return Verdict(exercise.id, RIGHT, _sentence(sentence))


def workbench(number: str, text: object = None) -> Workbench:
    """Open the workbench of an exercise that is solved in assembly or in a C header.

    Args:
        number: The exercise, such as "11.2".
        text: What to start from in place of the exercise's own text: a string; for a header of two
            files, texts by file name.

    Returns:
        The workbench. Shown in a notebook it is an editor with a verdict; `.run(text)` judges
        without one, `.text` is what was written.

    Raises:
        KeyError: There is no such exercise, or none with a workbench.
        TypeError, ValueError: What to start from is no text.
    """
    # They read the budgets of the exercises, which are loaded when one of them is asked for.
    from hypkit.lessons.workbench.benches import BENCHES
    from hypkit.lessons.workbench.model import Workbench

    exercise = _exercise(number, ...)
    if exercise.id not in BENCHES:
        raise UnknownName(
            f"exercise {exercise.id} is answered without a workbench: use check({exercise.id!r}, "
            f"...). There is one for {', '.join(BENCHES)}"
        )
    return Workbench(exercise, check, text, _show_workbench)


def _show_workbench(bench: Workbench) -> None:
    """Show a workbench; widgets are loaded when there is something to show."""
    from hypkit.lessons.workbench.view import show

    show(bench)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!", ".)")) else text + "."


_given: dict[str, int] = {}


def predict(
    id: str,
    question: str,
    options: Iterable[str] = (),
    *,
    answer: Answer | None = None,
    show: object = (),
    unit: str = "",
    base: int = 10,
) -> Prediction:
    """Ask for a guess before the machine answers: what happens stays folded until then.

    A guess is kept in the reader's browser, and shown beside what happened. Without scripts there
    is the question and a fold. In a `with` statement the block's prints go into the fold; set
    .answer in it.

    Args:
        id: the lesson and the number of the question, such as "01-2".
        question: the question; what stands between backquotes is shown as code.
        options: what there is to choose from; none for a number or words.
        answer: what happened, computed: an option, a list of options, a number, words, or a truth
            (its options are yes and no).
        show: what is folded away with the answer: text, a picture, a stepper, or a list of such.
        unit: what a number counts, such as "instructions".
        base: 16 to show a number in hexadecimal.

    Returns:
        The prediction, which a cell shows.

    Raises:
        ValueError: an answer that is no option, or a number that is not like "01-2".
        TypeError: an answer or options of another kind.
    """
    return Prediction(id, question, options, answer=answer, show=show, unit=unit, base=base)


def hint(number: str) -> Hint:
    """Give the next hint for an exercise: faint at first, then broader; the last one is repeated.

    Args:
        number: The exercise, such as "01.2".

    Returns:
        The hint, which says how many there are.

    Raises:
        KeyError: There is no such exercise.
    """
    exercise = _exercise(number)
    stage = min(_given.get(exercise.id, 0) + 1, len(exercise.hints))
    _given[exercise.id] = stage
    return Hint(exercise.id, stage, len(exercise.hints), exercise.hints[stage - 1])


def solution(number: str) -> Solution:
    """Show the worked solution of an exercise, as the notebooks in notebooks/solutions have it.

    Args:
        number: The exercise, such as "01.2".

    Returns:
        The solution's text and code, with the imports that it needs.

    Raises:
        KeyError: There is no such exercise.
    """
    exercise = _exercise(number)
    (file,) = _solutions().glob(f"{exercise.id[:2]}-*.md")
    text = file.read_text(encoding="utf-8")
    start = text.index(f"## Exercise {exercise.id}:")
    following = text.find("\n## ", start)
    section = text[start : following if following > 0 else len(text)].rstrip() + "\n"
    if missing := [line for line in _imports(text[:start]) if _uses(section, line)]:
        fence = "```{code-cell}\n"
        section = section.replace(fence, fence + "\n".join([*missing, "", ""]), 1)
    return Solution(exercise.id, section.replace("```{code-cell}", "```python"))


def _imports(text: str) -> list[str]:
    """Return the import lines of the cells before a solution, where its notebook has them."""
    return re.findall(r"^(?:from [\w.]+ )?import .+$", text, re.MULTILINE)


def _uses(section: str, line: str) -> bool:
    """Return whether code uses a name that this line imports, and does not import it itself."""
    names = re.split(r",\s*", line.rpartition("import ")[2].strip())
    used = any(re.search(rf"\b{name}\b", section) for name in names)
    return used and line not in section


def _solutions() -> Path:
    """Return the folder of the solutions: a wheel brings it along, a checkout has the original."""
    package = Path(__file__).resolve().parent
    installed = package / "lessons" / "solutions"
    return installed if installed.is_dir() else package.parent / "notebooks" / "src" / "solutions"


# --- Progress -------------------------------------------------------------------------------------

_passed: set[str] = set()  # where nothing can be written, this session's at least


def progress() -> Progress:
    """Show which checks have passed on this computer, and which exercise comes next.

    A passed check leaves an empty file of its number in the folder that HYPKIT_PROGRESS names, or
    in hypkit/passed below the user's state folder (XDG_STATE_HOME, ~/.local/state). Nothing of the
    answer is kept. Delete the folder to begin anew.

    Returns:
        The numbers of the exercises, shown as a table by lesson.
    """
    try:
        kept = {path.name for path in _folder().iterdir()}
    except (OSError, RuntimeError) as error:
        pass_on(error)
        kept = set()
    return Progress(tuple(number for number in exercises() if number in kept | _passed))


def _note(number: str) -> None:
    """Keep that a check has passed; where that cannot be written, for this session."""
    _passed.add(number)
    try:
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / number).touch()
    except (OSError, RuntimeError) as error:  # a full disk makes no answer wrong
        pass_on(error)


def _folder() -> Path:
    if chosen := os.environ.get("HYPKIT_PROGRESS"):
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(state) / "hypkit" / "passed"
