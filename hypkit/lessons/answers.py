"""Values that learners answer: shown in a few characters, and read as what an exercise asks for.

Each reader returns the answer in one form, whatever form it was given in, or raises Wrong with a
sentence that says what was expected, what it got, and what to try.
"""

from __future__ import annotations

import ast
import inspect
import operator
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hypkit.a64.registers import MASK64
from hypkit.errors import pass_on
from hypkit.lessons.judge import Open, Wrong

_LONG = 60  # characters of an answer that a sentence repeats


# --- Shown ----------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """Return any value as a learner would recognise it, in a few characters, whatever its repr."""
    try:
        if is_number(value):
            number = operator.index(value)  # type: ignore[arg-type]  # is_number has tried it
            if -1000 < number < 1000:
                return str(number)
            bits = number.bit_length()
            return hex(number) if bits <= 64 else f"a number of {bits} bits"
        name = getattr(value, "__name__", None) if callable(value) else None
        if isinstance(name, str):
            text = f"the {'class' if isinstance(value, type) else 'function'} {name}"
        elif inspect.isgenerator(value):
            text = f"the generator {value.__name__}"
        else:
            text = " ".join(repr(value).split())
    except Exception as error:
        pass_on(error)
        return f"something of type {type(value).__name__}"
    return text if len(text) <= _LONG else text[: _LONG - 4] + " ..."


def shortened(text: str, width: int = _LONG) -> str:
    """Return a line of a learner's text between backquotes, with a mark where it was cut."""
    line = " ".join(text.split())
    return f"`{line}`" if len(line) <= width else f"`{line[:width]} ...` (cut here)"


def listing(names: Sequence[str], joint: str = "and") -> str:
    """Return names as a list in a sentence: "a, b and c"."""
    return f" {joint} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


# --- Numbers and truth ----------------------------------------------------------------------------


def is_number(value: object) -> bool:
    """Return whether value is a whole number, of Python's or numpy's (True and False are none)."""
    if isinstance(value, bool) or _is_numpy_bool(value):
        return False
    try:
        operator.index(value)  # type: ignore[arg-type]  # what raises is no number
    except Exception as error:
        pass_on(error)
        return False
    return True


def _is_numpy_bool(value: object) -> bool:
    return type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")


def _advice(value: object) -> str:
    """Return what to change in a value that is almost a whole number."""
    if isinstance(value, str):
        try:
            int(value.strip().replace(" ", ""), 0)
        except ValueError:
            return ", a string"
        return ", a string: write the number without quotes"
    if isinstance(value, bool) or _is_numpy_bool(value):
        return ""
    kind = type(value).__name__
    if isinstance(value, list | tuple | set | frozenset) or hasattr(value, "ndim"):
        how = ", with [0]" if hasattr(type(value), "__getitem__") else ""
        return f", a list: take the one number out of it{how}" if _length(value) == 1 else ""
    if callable(getattr(type(value), "__float__", None)) and not isinstance(value, complex):
        return f", of type {kind}: divide with // in place of /, or make it int(...)"
    if callable(value) and not isinstance(value, type):
        return ": call it, and give what it returns"
    return ""


def _length(value: object) -> int | None:
    try:
        return len(value)  # type: ignore[arg-type]  # what raises has no length
    except Exception as error:
        pass_on(error)
        return None


def number(answer: object, what: str) -> int:
    """Return the answer as a whole number, else raise Wrong. what: what it should have been."""
    if not is_number(answer):
        raise Wrong(f"Expected {what}, a whole number; got {shown(answer)}{_advice(answer)}")
    return operator.index(answer)  # type: ignore[arg-type]  # is_number has tried it


def word64(answer: object, what: str) -> int:
    """Return the answer as an unsigned 64-bit number: -1 is 2**64 - 1. Raise Wrong beyond that."""
    value = number(answer, what)
    if not -1 << 63 <= value <= MASK64:
        raise Wrong(f"Expected {what}, which has 64 bits; got {shown(value)}")
    return value & MASK64


def boolean(answer: object, what: str) -> bool:
    """Return the answer as True or False (0 and 1 mean the same), else raise Wrong."""
    if isinstance(answer, bool) or _is_numpy_bool(answer):
        return bool(answer)
    if is_number(answer) and operator.index(answer) in (0, 1):  # type: ignore[arg-type]
        return bool(operator.index(answer))  # type: ignore[arg-type]  # is_number has tried it
    none = ": is a return missing?" if answer is None else ""
    raise Wrong(f"Expected True or False from {what}; got {shown(answer)}{none}")


# --- Words and dicts ------------------------------------------------------------------------------


def word_of(answer: object, words: Sequence[str], what: str) -> str:
    """Return one of these words, in whatever case and with spaces around it, else raise Wrong."""
    if isinstance(answer, str):
        for word in words:
            if answer.strip().casefold() == word.casefold():
                return word
    choice = listing([repr(word) for word in words], "or")
    raise Wrong(f"Expected {choice} for {what}; got {shown(answer)}")


def text_of(answer: object, what: str) -> str:
    """Return the answer as a text, else raise Wrong. what: "the text of a dispatcher", say."""
    if isinstance(answer, str):
        # Not str(answer): a class derived from str may say what it likes.
        return str.__str__(answer)
    if isinstance(answer, bytes | bytearray):
        raise Wrong(f"Expected {what}, a string; got bytes: use .decode(), or leave the b out")
    if isinstance(answer, list | tuple) and answer and all(isinstance(x, str) for x in answer):
        raise Wrong(f'Expected {what}, one string; got a list of {len(answer)}: "\\n".join(...) it')
    raise Wrong(f"Expected {what}, a string; got {shown(answer)}")


def answers_for(
    answer: object, keys: Sequence[str], what: str
) -> Iterator[tuple[str, Any]]:  # Any: each judge reads its own kind of value
    """Return (key, value) pairs, to be judged one after the other: those with an answer first.

    A list with a value for each key, in order, is as good as a dict. The iterator raises Open when
    it comes to a key that still has dots. what: "a count of loads", say. Raises Wrong for another
    kind of answer and for a missing key.
    """
    names = listing([f'"{key}"' for key in keys])
    if isinstance(answer, list | tuple) and len(answer) == len(keys):
        answer = dict(zip(keys, answer, strict=True))
    if not isinstance(answer, Mapping):
        raise Wrong(f"Expected a dict with {what} for each of {names}; got {shown(answer)}")
    for key in keys:
        if key not in answer:
            raise Wrong(
                f"Expected a dict with {what} for each of {names}; "
                f'the key "{key}" is missing in {shown(answer)}'
            )
    return _one_by_one({key: answer[key] for key in keys})


def _one_by_one(answers: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    done = [key for key, value in answers.items() if value is not ...]
    for key in done:
        yield key, answers[key]
    if dots := [f'"{key}"' for key in answers if key not in done]:
        right = listing([f'"{key}"' for key in done])
        raise Open(f"Right for {right}; now put an answer in place of the dots of {dots[0]}")


# --- Not answered yet -----------------------------------------------------------------------------


def unanswered(answer: object) -> bool:
    """Return whether the answer is still the notebook's: dots, or a function without a body."""
    if answer is ...:
        return True
    if isinstance(answer, Mapping):
        return bool(answer) and all(key is ... or value is ... for key, value in answer.items())
    if isinstance(answer, tuple | list):
        return bool(answer) and all(value is ... for value in answer)
    return inspect.isfunction(answer) and _is_empty(answer)


def complete(answer: Mapping[Any, Any]) -> None:
    """Raise Open for a dict in which some of the notebook's dots are left."""
    for key, value in answer.items():
        if key is ... or value is ...:
            raise Open(f"Put your answer in place of the dots of {shown(key)}")


def _is_empty(function: Callable[..., object]) -> bool:
    code = function.__code__
    nothing = {None, Ellipsis, function.__doc__}
    if any(constant not in nothing for constant in code.co_consts if _is_plain(constant)):
        return False
    body = _body_of(function)
    if body is None:  # a lambda, or a function whose text nobody kept
        return code.co_code in _EMPTY and not code.co_names
    return all(_does_nothing(statement) for statement in body)


def _is_plain(constant: object) -> bool:
    return constant is None or constant is ... or isinstance(constant, str | int | float | bytes)


def _documented() -> None:
    """Do nothing, as a function does of which only the first line was written."""


# The code of functions that do nothing; which instructions that takes varies with Python.
_EMPTY = {one.__code__.co_code for one in (lambda: None, lambda *a: ..., _documented)}


def _body_of(function: Callable[..., object]) -> list[ast.stmt] | None:
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError) as error:
        pass_on(error)
        return None
    return tree.body if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Return | ast.Expr):
        value = statement.value
        if value is None:
            return True
        documented = isinstance(statement, ast.Expr)
        return isinstance(value, ast.Constant) and (
            value.value is None or value.value is ... or documented and isinstance(value.value, str)
        )
    return False
