"""A prediction: a question, the guesses that it takes, and what happened. It knows nothing of HTML.

prediction_view.py shows it; predict() of hypkit/check.py makes one.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, Self

from hypkit.errors import WrongType, WrongValue, expected, is_whole, needs
from hypkit.lessons import answers

Kind = Literal["one", "several", "number", "words"]
Answer = str | int | bool | Iterable[str]


class Question:
    """A question to be answered before the machine answers it.

    id: the lesson and the number of the question in it, "01-2"; options: what there is to choose
    from, empty for a number or words; unit: what a number counts; base: 10, or 16 for a number
    that is shown in hexadecimal.

    Used in a `with` statement, it folds away what the block prints, and is shown at its end.
    """

    def __init__(
        self,
        id: str,
        question: str,
        options: Iterable[str] = (),
        *,
        answer: Answer | None = None,
        show: object = (),
        unit: str = "",
        base: int = 10,
    ) -> None:
        if not isinstance(id, str) or not re.fullmatch(r"\d\d-\d{1,2}", id):
            raise WrongValue(expected("the number of a prediction, such as '01-2'", id))
        if not isinstance(question, str) or not question.strip():
            raise WrongValue(expected("a question", question))
        needs(str, "a text as the unit", unit)
        if isinstance(options, str) or not isinstance(options, Iterable):
            raise WrongType(expected("a list of options", options))
        options = tuple(options)
        if not all(isinstance(option, str) for option in options):
            raise WrongType(expected("options that are texts", options))
        if not is_whole(base) or base not in (10, 16):
            raise WrongValue(expected("base 10 or 16", base))
        self.id, self.question = id, " ".join(question.split())
        self.options, self.unit, self.base = options, unit, base
        if len(self.options) == 1 or len(set(self.options)) < len(self.options):
            raise WrongValue(expected("two or more different options", list(self.options)))
        self.shown: list[object] = []
        self._answer: str | int | tuple[str, ...] | None = None
        self._printed: io.StringIO | None = None
        if answer is not None:
            self.answer = answer
        for one in show if isinstance(show, list | tuple) else (show,):
            self.show(one)

    @property
    def answer(self) -> str | int | tuple[str, ...] | None:
        """Return what happened: an option, options, a number or words; None if not known yet."""
        return self._answer

    @answer.setter
    def answer(self, value: Answer) -> None:
        if isinstance(value, bool):
            self.options = self.options or ("yes", "no")
            value = "yes" if value else "no"
        if answers.is_number(value) and not self.options:
            self._answer = int(value)  # type: ignore[arg-type]  # is_number has tried it
        elif isinstance(value, str):
            if self.options and value not in self.options:
                raise WrongValue(expected(f"one of the options {list(self.options)}", value))
            self._answer = value
        elif isinstance(value, Iterable) and self.options:
            value = tuple(value)
            if not all(isinstance(one, str) for one in value):
                raise WrongType(expected("options, which are texts", value))
            several = set(value)
            if not several <= set(self.options):
                raise WrongValue(expected(f"some of the options {list(self.options)}", value))
            self._answer = tuple(one for one in self.options if one in several)
        else:
            raise WrongType(expected("an answer: an option, options, a number or words", value))

    @property
    def kind(self) -> Kind:
        """Return how it is guessed: "one" or "several" of the options, a "number", or "words"."""
        if isinstance(self._answer, int):
            return "number"
        if isinstance(self._answer, tuple):
            return "several"
        return "one" if self.options else "words"

    @property
    def told(self) -> str:
        """Return what happened as words, "" if that is not known yet."""
        if isinstance(self._answer, int):
            number = f"{self._answer:#x}" if self.base == 16 else f"{self._answer:,}"
            return f"{number} {self.unit}".rstrip()
        if isinstance(self._answer, tuple):
            return answers.listing(self._answer) or "none of them"
        return self._answer or ""

    def show(self, what: object) -> None:
        """Add to what is folded away with the answer: text, or anything that a cell can show."""
        self._take_printed()
        self.shown.append(what)

    def __enter__(self) -> Self:
        self._printed = io.StringIO()
        self._redirection = contextlib.redirect_stdout(self._printed)
        self._redirection.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._redirection.__exit__(kind, error, trace)
        self._take_printed()
        self._printed = None
        if error is not None:
            return
        if self._answer is None:
            raise WrongValue(
                f"prediction {self.id} has no answer: set .answer to what happened, in its block"
            )
        from IPython.display import display

        display(self)

    def _take_printed(self) -> None:
        if self._printed is not None and (text := self._printed.getvalue()):
            self.shown.append(text.rstrip("\n"))
            self._printed.seek(0)
            self._printed.truncate()

    def __repr__(self) -> str:
        lines = [f"Predict {self.id}: {self.question}", *(f"  [ ] {one}" for one in self.options)]
        return "\n".join(lines)
