"""What an exercise is: hints in stages and a judge. The exercises of a lesson are in exercises/.

A judge takes the learner's answer and returns the sentence for a right one, or raises Wrong with
the sentence for any other. It works in machines of its own, on inputs that the notebook does not
show, and takes nothing about the answer for granted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypkit.call import Call
from hypkit.errors import KitError


class Wrong(KitError):
    """An answer that is not right; the message is the sentence that says why.

    call: the call that shows it, where that is not the last one that the judge made.
    """

    def __init__(self, message: str, call: Call | None = None) -> None:
        super().__init__(message)
        self.call = call


class Open(KitError):
    """An answer that is not finished; the message says which part still has its dots."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number as in the notebook, its hints from faint to broad, its judge.

    optional: whether the notebook marks it so.
    """

    id: str
    title: str
    hints: tuple[str, ...]
    judge: Callable[[object], str]
    optional: bool = False

    def __repr__(self) -> str:
        return f"Exercise({self.id}: {self.title})"
