"""The parent's end of clang: a child process for one header, asked as often as it takes."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from hypkit.errors import pass_on
from hypkit.header import clang_child
from hypkit.process import Process

SECONDS = 4.0  # of processor time for one text; a good one takes a hundredth
PATIENCE = 120.0  # of the clock, for a child that does not run at all


class Ended(Exception):
    """Clang did not come to an answer: one of clang_child's reasons."""


@dataclass(frozen=True)
class Place:
    """A file (without folder), a 1-based line and column; "" and 0 where there is none."""

    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Diagnostic:
    """What clang says of a text. notes: its additions, each with a place."""

    text: str
    place: Place
    error: bool
    option: str
    category: str
    notes: tuple[tuple[str, Place], ...]


@dataclass(frozen=True)
class Reply:
    """What clang made of a text.

    messages: the main text's own #pragma messages, (line, text), in order. values: of the main
    text's enumerators. macros: where the files define which name, in order. functions: those that
    the files declare.
    """

    messages: tuple[tuple[int, str], ...]
    diagnostics: tuple[Diagnostic, ...]
    values: Mapping[str, int]
    macros: tuple[tuple[str, Place], ...]
    functions: frozenset[str]

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics that stop a compilation, first things first."""
        return tuple(one for one in self.diagnostics if one.error)


class Ask(Protocol):
    """A question to clang: what does it make of a text that can include a header's files?"""

    def __call__(self, main: str, language: str = "c") -> Reply:
        """Return the reply; raise Ended when clang is given up, and cannot be asked again."""


def _place(found: Mapping[str, Any]) -> Place:
    return Place(found["file"], found["line"], found["column"])


def reply(found: Mapping[str, Any]) -> Reply:
    """Return the child's answer as a Reply; raises Ended where it is none."""
    if "ended" in found:
        raise Ended(found["ended"])
    return Reply(
        tuple((one["line"], one["text"]) for one in found["messages"]),
        tuple(
            Diagnostic(
                one["text"],
                _place(one),
                one["severity"] >= 3,
                one["option"],
                one["category"],
                tuple((note["text"], _place(note)) for note in one["notes"]),
            )
            for one in found["diagnostics"]
        ),
        found["values"],
        tuple((one["name"], _place(one)) for one in found["macros"]),
        frozenset(found["functions"]),
    )


class Child:
    """A process with clang in it, started when first asked and ended by close()."""

    def __init__(self) -> None:
        self._child = Process(clang_child.__file__, str(SECONDS))

    @property
    def _process(self) -> subprocess.Popen[str]:
        return self._child.popen or self._child.start()

    def ask(self, main: str, files: Mapping[str, str], language: str) -> Reply:
        """Return clang's reply, as the Ask that `opened` gives."""
        process = self._process
        requests, replies = process.stdin, process.stdout
        assert requests is not None and replies is not None
        request = {"main": main, "files": dict(files), "language": language}
        timer = threading.Timer(PATIENCE, process.kill)
        timer.daemon = True
        timer.start()
        try:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            line = replies.readline()
        except OSError as error:
            pass_on(error)
            line = ""
        finally:
            timer.cancel()
        return reply(json.loads(line) if line.endswith("\n") else {"ended": clang_child.CRASHED})

    def close(self) -> None:
        """End the process."""
        self._child.end()


@contextmanager
def opened(files: Mapping[str, str]) -> Iterator[Ask]:
    """Return a clang of its own for a header: it can include *files* and nothing else."""
    child = Child()
    try:
        yield lambda main, language="c": child.ask(main, files, language)
    finally:
        try:
            child.close()
        except BaseException:  # Ctrl-C: this is the last that knows of the child
            child.close()
            raise
