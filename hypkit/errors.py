"""The kit's errors: one sentence, and in a notebook the learner's own line instead of our insides."""

from __future__ import annotations

import linecache
import signal
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from operator import index
from pathlib import Path
from types import FrameType
from typing import TypeVar

V = TypeVar("V")

SHOWN = 80  # characters of a wrong value that a message repeats
_HERE = str(Path(__file__).parent)
# Code of this installation, which a learner did not write.
_LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib"))
_RED, _GREEN, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"


class KitError(Exception):
    """The base of every error that the kit raises on purpose.

    IPython shows it as the learner's line and the message. Elsewhere it has an ordinary traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints in place of a traceback, a string a line."""
        lines = [f"{_RED}{_public_name(type(self))}{_PLAIN}"]
        for frame, number in traceback.walk_tb(self.__traceback__):
            if _is_learners(frame):
                lines += _shown_line(frame, number)
        return [*lines, "", f"{_RED}{_public_name(type(self))}{_PLAIN}: {self}"]


class UnknownName(KitError, KeyError):
    """A name that is not there."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # KeyError would show it in quotes


class WrongType(KitError, TypeError):
    """An argument of a kind that cannot be used."""


class WrongValue(KitError, ValueError):
    """An argument of the right kind that is out of bounds."""


class WrongIndex(KitError, IndexError):
    """A place that a sequence does not have."""


def pass_on(error: BaseException) -> None:
    """Raise an exception again that a signal's handler raised, as an alarm's does.

    It comes between two instructions of whatever runs, and is nothing that this called for or could
    explain: an `except` for what a learner's object may do, or a file, begins with this.
    """
    codes = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    if any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__)):
        raise error


def _code_of(handler: object) -> object:
    """Return the code that a handler runs: of a function, a method, a partial() or an object."""
    handler = getattr(handler, "func", handler)
    function = handler if hasattr(handler, "__code__") else vars(type(handler)).get("__call__")
    return getattr(function, "__code__", None)


def shown(value: object) -> str:
    """Return a value's repr for a message: short, and whatever the value's own repr does."""
    if type(value) is int and value.bit_length() > 256:
        return f"a number of {value.bit_length():,} bits"
    try:
        text = repr(value)
    except Exception as error:  # a list of such numbers, an object that refuses
        pass_on(error)
        text = f"something of type {type(value).__name__} that cannot be shown"
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ..."


def expected(what: str, got: object) -> str:
    """Return the sentence of the kit for a wrong argument: "expected X; got Y"."""
    return f"expected {what}; got {shown(got)}"


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number of any kind, numpy's too."""
    if issubclass(type(value), int):
        return True
    try:
        index(value)  # type: ignore[arg-type]  # to ask is the point
    except Exception as error:  # whatever an object of a learner's answers
        pass_on(error)
        return False
    return True


def whole(what: str, value: object) -> int:
    """Return a whole number of any kind, numpy's too, as an int.

    Raises:
        TypeError: it is none; *what* it should have been is in the message.
    """
    if type(value) is int:
        return value
    if not is_whole(value):
        raise WrongType(f"{what}: {expected('a whole number', value)}")
    return index(value)  # type: ignore[arg-type]  # it answers


def needs(kind: type | tuple[type, ...], what: str, value: object) -> None:
    """Raise TypeError, "expected what; got value", for what is not of a kind."""
    if not isinstance(value, kind):
        raise WrongType(expected(what, value))


class Named(dict[str, V]):
    """A dict by name that answers an unknown name with the names there are."""

    def __init__(self, what: str, entries: Mapping[str, V]) -> None:
        super().__init__(entries)
        self.what = what

    def __getitem__(self, name: str) -> V:
        try:
            return super().__getitem__(name)
        except (KeyError, TypeError):  # TypeError: a list, say, is no key of any dict
            raise UnknownName(
                f"no {self.what} {shown(name)}; there are: {', '.join(self)}"
                f"{did_you_mean(name, self)}"
            ) from None


def did_you_mean(name: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return "; did you mean 'x'?" for the known name nearest to *name*, "" when none is near."""
    near = get_close_matches(str(name), list(known), 1, cutoff) if isinstance(name, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def _public_name(kind: type[BaseException]) -> str:
    """The name that a learner knows: Python's own for what only adds this module's manners."""
    if kind.__module__ != __name__:
        return kind.__name__
    return next(base.__name__ for base in kind.__mro__ if base.__module__ == "builtins")


def _is_learners(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith(_HERE) or file.startswith("<frozen"):
        return False
    return not file.startswith(_LIBRARIES) and "IPython" not in frame.f_globals.get("__name__", "")


def _shown_line(frame: FrameType, number: int) -> list[str]:
    """Where a line of the learner's stands, and its text."""
    file = frame.f_code.co_filename
    place = f"{file}, line {number}"
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and (named := shell.compile.format_code_name(file)):
        place = f"{' '.join(named)}, line {number}"
    if frame.f_code.co_name != "<module>":
        place += f", in {frame.f_code.co_name}()"
    text = linecache.getline(file, number, frame.f_globals).strip()
    return [f"{_GREEN}{place}{_PLAIN}", f"{_GREEN}----> {number}{_PLAIN} {text}"]
