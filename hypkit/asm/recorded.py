"""Encodings that need no engine: those recorded in data/encodings.json, and those learned since.

An engine (Keystone or LLVM) lives in a child process that takes a third of a second to start. The
recorded encodings spare the shipped guest and the lessons that wait, and let them assemble where no
engine can run at all. They hold nothing that an engine would not say: the tests compare every one
with both engines and with GNU as.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from hypkit.errors import WrongValue
from hypkit.facts import data_path

ENCODINGS = "encodings.json"

learned: dict[str, int] = {}  # what an engine said in this process
recordings: list[dict[str, int]] = []  # those that are open


@contextlib.contextmanager
def recording() -> Iterator[dict[str, int]]:
    """Ask the engine anew for every instruction while this is open, and note what it says.

    Yields canonical text -> word:

        with asm.recording() as words:
            link(units)
        asm.write_encodings(words)
    """
    words: dict[str, int] = {}
    recordings.append(words)
    try:
        yield words
    finally:
        recordings[:] = [r for r in recordings if r is not words]


def note(found: Mapping[str, int]) -> None:
    """Remember what an engine said, here and in every open recording."""
    learned.update(found)
    for words in recordings:
        words.update(found)


def known() -> dict[str, int]:
    """Return canonical text -> word of all that needs no engine; nothing while recording."""
    return {} if recordings else encodings() | learned


def write_encodings(words: Mapping[str, int], path: Path | None = None) -> None:
    """Write the recorded encodings: one instruction a line, sorted, so that a diff can be read."""
    if path is None:
        path = data_path("hypercalls.toml").with_name(ENCODINGS)
    lines = ",\n".join(f'{json.dumps(text)}: "{word:08x}"' for text, word in sorted(words.items()))
    path.write_text("{\n" + lines + "\n}\n", encoding="ascii", newline="\n")
    encodings.cache_clear()


@functools.cache
def encodings() -> dict[str, int]:
    """Return the recorded encodings, canonical text -> word; none where the file is missing.

    Raises ValueError, with the file's name, where it cannot be read as written.
    """
    try:
        path = data_path(ENCODINGS)
    except FileNotFoundError:
        return {}
    try:
        words = json.loads(path.read_text(encoding="ascii"))
        found = {text: int(word, 16) for text, word in words.items()}
        if not all(0 <= word < 1 << 32 for word in found.values()):
            raise ValueError("a word has 32 bits")
    except (ValueError, TypeError, AttributeError, RecursionError) as e:
        raise WrongValue(
            f"{path} is damaged: expected instructions with their words, as "
            f'{{"ret": "d65f03c0"}}; got something else ({type(e).__name__}: {e}). Install hypkit '
            "anew, or write the file with `python -m tests.record_encodings`"
        ) from None
    return found
