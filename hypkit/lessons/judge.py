"""What an exercise is: hints in stages and a judge. Each lesson has its own in a lessonNN here.

A judge takes the learner's answer and gives back the sentence for a right one, or raises Wrong with
the sentence for any other. It works in machines of its own, on inputs that the notebook does not
show, and takes nothing about the answer for granted. The helpers below say kindly what is amiss.
"""

from __future__ import annotations

import dis
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hypkit.call import Call
from hypkit.emu import Machine
from hypkit.machine.errors import MachineError

# Instructions a call may take, and seconds a learner's function may take, before a check gives up.
BUDGET = 200_000
SECONDS = 3.0
_OURS = str(Path(__file__).resolve().parents[1])
_LONG = 60  # characters of an answer that a sentence repeats


class Wrong(Exception):
    """An answer that is not right; the message is the sentence that says why."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number as in the notebook, its hints from faint to broad, its judge."""

    id: str
    title: str
    hints: tuple[str, ...]
    judge: Callable[[object], str]

    def __repr__(self) -> str:
        return f"Exercise({self.id}: {self.title})"


# --- Answers ------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """Any value as a learner would recognise it, in a few characters, whatever its repr does."""
    try:
        if is_number(value):
            number = value.__index__()
            small = -1000 < number < 1000
            return (
                str(number)
                if small
                else hex(number)
                if number.bit_length() <= 64
                else (f"a number of {number.bit_length()} bits")
            )
        text = getattr(value, "__name__", None) if callable(value) else None
        text = f"the function {text}" if isinstance(text, str) else " ".join(repr(value).split())
    except Exception:
        return f"something of type {type(value).__name__}"
    return text if len(text) <= _LONG else text[: _LONG - 4] + " ..."


def is_number(value: object) -> bool:
    """Whether value is a whole number (True and False are not meant as numbers)."""
    return not isinstance(value, bool) and hasattr(type(value), "__index__")


def number(answer: object, what: str) -> int:
    """The answer as a whole number, else Wrong. what: what the number should have been."""
    if not is_number(answer):
        raise Wrong(f"Expected {what}, a whole number; came {shown(answer)}")
    return answer.__index__()


def unanswered(answer: object) -> bool:
    """Whether the answer still holds the ... of the notebook, or is a function without a body."""
    if answer is ...:
        return True
    if isinstance(answer, dict):
        return any(value is ... for value in answer.values())
    if isinstance(answer, tuple | list):
        return any(value is ... for value in answer)
    return inspect.isfunction(answer) and _is_empty(answer)


_NO_EFFECT = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


def _is_empty(function: Callable) -> bool:
    instructions = list(dis.get_instructions(function))
    returned = [i.argval for i in instructions if i.opname in ("LOAD_CONST", "RETURN_CONST")]
    return {i.opname for i in instructions} <= _NO_EFFECT and all(
        value is None or value is ... for value in returned
    )


# --- Learners' functions ------------------------------------------------------------------------


class _OutOfTime(BaseException):
    """Not an Exception, so that a learner's `except Exception` lets it through."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Stop a learner's Python code in this block after a while, in any thread, on any system.

    Only code outside of hypkit is watched: what a machine does is bounded by its own budget.
    """
    deadline = time.monotonic() + seconds

    def trace(frame: FrameType, event: str, argument: object) -> Callable | None:
        if frame.f_code.co_filename.startswith(_OURS):
            return None
        frame.f_trace_opcodes = True  # `while True: pass` has no second line to arrive at
        if time.monotonic() > deadline:
            raise _OutOfTime
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def call_function(function: object, *arguments: object, name: str) -> object:
    """What the learner's function returns; Wrong when it is none, raises, or does not come back.

    name: what the notebook calls it, for the sentence.
    """
    if not callable(function) or isinstance(function, type):
        raise Wrong(f"Expected the function {name}, without calling it; came {shown(function)}")
    try:
        with _time_limit(SECONDS):
            return function(*arguments)
    except Wrong:
        raise
    except _OutOfTime:
        raise Wrong(
            f"{name} ran for {SECONDS:g} seconds and did not return: "
            "is there a loop without an end?"
        ) from None
    except (Exception, SystemExit) as error:
        message = _words(error) or "no message"
        message = message if len(message) <= 200 else message[:196] + " ..."
        at = _line_of(function, error)
        raise Wrong(f"{name} stopped with {type(error).__name__}{at}: {message}") from None


def _words(error: BaseException) -> str:
    """What an error says, on one line; a KeyError without the quotes that str() puts around it."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(said).split())


def _line_of(function: Callable, error: BaseException) -> str:
    """' 2 lines below its def': where in the function the error came from."""
    code, line, walked = getattr(function, "__code__", None), None, error.__traceback__
    while walked is not None:
        if walked.tb_frame.f_code is code:
            line = walked.tb_lineno - code.co_firstlineno
        walked = walked.tb_next
    return f", {line} line{'s' * (line > 1)} below its def" if line else ""


class Bench(Machine):
    """A fresh machine for a check, which remembers the calls that were made on it."""

    def __init__(self, variant: str = "numbered", *, seed: int = 0, **options: object) -> None:
        self.calls: list[Call] = []
        super().__init__(variant, seed=seed, budget=BUDGET, **options)

    def hvc(self, *registers: int | str) -> Call:
        return self._note(super().hvc(*registers))

    def call(self, what: str | int, *args: int | str) -> Call:
        made = super().call(what, *args)
        # A number goes through hvc, which has noted it.
        return made if self.calls and self.calls[-1] is made else self._note(made)

    def _note(self, call: Call) -> Call:
        self.calls.append(call)
        return call

    def last_call(self, name: str) -> Call:
        """The last call made here; Wrong when there was none."""
        if not self.calls:
            raise Wrong(
                f"{name} made no call on the machine it was given: use its argument, "
                "not a machine of the notebook"
            )
        return self.calls[-1]


@contextmanager
def after(name: str) -> Iterator[None]:
    """For a look at the machine that a learner's function has had; Wrong when it is of no use."""
    try:
        yield
    except (MachineError, TypeError, ValueError, KeyError) as error:
        raise Wrong(f"After {name} the machine takes no call: {_words(error)[:200]}") from None


def attempt(call: Callable[..., Call], *arguments: object) -> Call:
    """One call on a check's machine; Wrong when the machine refuses it."""
    try:
        return call(*arguments)
    except (MachineError, TypeError, ValueError, KeyError) as error:
        raise Wrong(f"The machine does not take this: {_words(error)[:200]}") from None
