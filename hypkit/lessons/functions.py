"""Learners' functions and generators, run with a limit on their time and asked for a result.

The limit counts the processor time of the thread that runs them, so that a busy computer makes no
answer wrong. It stops Python code between two instructions, and where there are signals (not on
Windows) calls into C that listen to them: regular expressions, arithmetic with huge numbers. What it
cannot stop, and neither can the notebook's stop button, is a call into C that listens to nothing,
such as sum(itertools.repeat(1)): restart the kernel then.
"""

from __future__ import annotations

import inspect
import itertools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hypkit.errors import pass_on
from hypkit.lessons.answers import shown
from hypkit.lessons.judge import Open, Wrong

# Seconds of the processor that a learner's code may take, and seconds of the clock that it may
# wait for something, before a check gives up.
SECONDS, PATIENCE = 3.0, 60.0
MANY = 10_000  # items of a list that a check looks at
_OURS = str(Path(__file__).resolve().parents[1])


class _OutOfTime(BaseException):
    """Not an Exception, so that a learner's `except Exception` lets it through."""


@contextmanager
def _time_limit(entered: set[str]) -> Iterator[None]:
    """Stop a learner's Python code in this block after a while, on any system.

    Only code outside of hypkit is stopped: what a machine does is bounded by its own budget.
    entered: gets the file of each Python function that is called, in hypkit or outside.
    """
    working, waiting = time.thread_time() + SECONDS, time.monotonic() + max(PATIENCE, SECONDS)

    def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        entered.add(frame.f_code.co_filename)
        if frame.f_code.co_filename.startswith(_OURS):
            return None
        frame.f_trace_opcodes = True  # `while True: pass` has no second line to arrive at
        if time.thread_time() > working:
            raise _OutOfTime(f"ran for {SECONDS:g} seconds")
        if time.monotonic() > waiting:
            raise _OutOfTime(f"waited for {PATIENCE:g} seconds")
        return trace

    def ring(number: int, frame: FrameType | None) -> None:
        if time.thread_time() > working and _is_learners(frame):
            raise _OutOfTime(f"ran for {SECONDS:g} seconds")

    before = sys.gettrace()
    with _alarm(ring):
        sys.settrace(trace)
        try:
            yield
        finally:
            sys.settrace(before)


@contextmanager
def _alarm(ring: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call *ring* from time to time after a while, where the system has signals for this thread."""
    here = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not here or signal.getitimer(signal.ITIMER_VIRTUAL)[0]:  # somebody else's alarm is set
        yield
        return
    before = signal.signal(signal.SIGVTALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, SECONDS / 4)
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before or signal.SIG_DFL)


def _is_learners(frame: FrameType | None) -> bool:
    """Return whether a frame is a learner's code, or a library's that it called without the kit."""
    walked = frame
    while frame is not None:
        if frame.f_code.co_filename == __file__:
            return frame is not walked  # else it is between the lines of the time limit itself
        if frame.f_code.co_filename.startswith(_OURS):
            return False
        frame = frame.f_back
    return False


def call_function(
    function: object,
    *arguments: object,
    name: str,
    items: bool = False,
    entered: set[str] | None = None,
) -> Any:  # Any: each judge reads its own kind of result
    """Return what the learner's function returns; raise Wrong when it does not.

    name: what the notebook calls it, for the sentence. items: a generator's items are wanted, as a
    list, so the function may have a `yield`. entered: gets the files of all code that it runs.
    """
    if not callable(function) or isinstance(function, type):
        raise Wrong(f"Expected the function {name}, without calling it; got {shown(function)}")
    with _told(name, function):
        with _time_limit(set() if entered is None else entered):
            result = function(*arguments)
            if inspect.isgenerator(result) and items:
                return list(itertools.islice(result, MANY))
    if inspect.iscoroutine(result):
        result.close()  # nobody will wait for it, and Python would complain about that
        raise Wrong(f"{name} is an `async def`: calling it runs none of it; write `def`")
    if inspect.isasyncgen(result) or inspect.isgenerator(result) and _yields(function):
        raise Wrong(
            f"{name} has a `yield`, which makes it a generator: calling it runs none of it; "
            "use `return`, or no `yield` at all"
        )
    return result


def _yields(function: Callable[..., object]) -> bool:
    """Return whether the function itself, inside partial() and the like, has a `yield`."""
    while hasattr(function, "func"):
        function = function.func
    return inspect.isgeneratorfunction(
        function if inspect.isroutine(function) else type(function).__call__
    )


def listed(
    answer: object, what: str, *, ordered: bool = True, keys: bool = False, dots: bool = False
) -> list[Any]:
    """Return the items of a list or of anything that gives items one after the other.

    That is a tuple, an array, a range, a generator, a map, a dict's values. what: "a list of row
    numbers", say. ordered: a set has no order, and will not do. keys: a dict stands for its keys. dots: they may be among the items.
    Raises Wrong for everything else, Open for a list with dots in it.
    """
    if isinstance(answer, Mapping) and not keys:
        raise Wrong(f"Expected {what}; got a dict: list(d) has its keys, list(d.values()) the rest")
    if ordered and isinstance(answer, set | frozenset):
        raise Wrong(f"Expected {what}; got a set, which has no order: write [...] in place of {{}}")
    if inspect.isgenerator(answer) and inspect.getgeneratorstate(answer) == inspect.GEN_CLOSED:
        raise Wrong(f"Expected {what}; got a generator that has been used up: make it anew")
    if isinstance(answer, str | bytes | bytearray) or not _gives_items(answer):
        raise Wrong(f"Expected {what}; got {shown(answer)}")
    with _told("your answer", None), _time_limit(set()):
        found = list(itertools.islice(answer, MANY + 1))  # type: ignore[call-overload]
    if len(found) > MANY:
        raise Wrong(f"Expected {what}; got more than {MANY:,} items")
    if not dots and any(item is ... for item in found):
        raise Open("Put an answer in place of each of the dots")
    return found


def _gives_items(answer: object) -> bool:
    if isinstance(answer, type):
        return False
    if getattr(answer, "ndim", 1) == 0:
        return False
    return isinstance(answer, Iterable)


@contextmanager
def _told(name: str, function: object) -> Iterator[None]:
    """Turn whatever a learner's code raises into a sentence, but for the stop button."""
    try:
        yield
    except (Wrong, Open):
        raise
    except _OutOfTime as late:
        raise Wrong(f"{name} {late} and did not return: is there a loop without an end?") from None
    except (Exception, SystemExit) as error:
        pass_on(error)
        message = words(error) or "no message"
        message = message if len(message) <= 200 else message[:196] + " ..."
        at = _line_of(function, error)
        raise Wrong(f"{name} stopped with {type(error).__name__}{at}: {message}") from None


def words(error: BaseException) -> str:
    """Return what an error says, on one line; a KeyError without the quotes of its str()."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(said).split())


def _line_of(function: object, error: BaseException) -> str:
    """Return ' 2 lines below its def': where in the function the error came from."""
    code, line, walked = getattr(function, "__code__", None), None, error.__traceback__
    while walked is not None and code is not None:
        if walked.tb_frame.f_code is code:
            line = walked.tb_lineno - code.co_firstlineno
        walked = walked.tb_next
    return f", {line} line{'s' * (line > 1)} below its def" if line else ""
