"""Learners' numbering headers: C text -> the numbers of the hypercalls and the table they lead to.

The text is compiled by clang, in a child process that is given little time and memory and no file
but the learner's own: as gcc does it, in C11 with GNU's extensions, for arm64. Nothing here knows
how a header should look, except for the names that the rest of the kernel uses:

    KVM_HOST_HCALL_NR(name)   the number by which the host makes a call
    KVM_HOST_HCALL(name)      an entry of the list; the table makes of it
                              [KVM_HOST_HCALL_IDX_name] = name,
    KVM_HOST_HCALL_SIZE       how many slots the table has
    KVM_HOST_HCALL_BASE, _END what EL2's range test compares with (0 and BASE + SIZE if not given)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from hypkit.errors import KitError, WrongType, WrongValue, expected
from hypkit.header import clang_child, front_end
from hypkit.header.compiler import BASE, END, LIST, NUMBERS, SIZE, Numbers, compiled, preprocessed
from hypkit.header.front_end import Ask, Ended
from hypkit.header.sentences import Mistake, line_of, shortened
from hypkit.kernel.variants import HYPERCALLS, SPARE, Numbering
from hypkit.text import wrong_character

__all__ = ["DEFINES", "ENUM", "Header", "HeaderError", "preprocess", "read_header"]

MAX_TEXT = 64 * 1024  # characters of all files together
T = TypeVar("T")

_GUEST = Path(__file__).parents[1] / "kernel" / "guest"
# The fourteen calls in both styles: to look at, and to change.
DEFINES = {NUMBERS: (_GUEST / "hcalls_defines.h").read_text(encoding="utf-8")}
ENUM = {
    NUMBERS: (_GUEST / "hcalls_enum.h").read_text(encoding="utf-8"),
    LIST: (_GUEST / "hcalls_list.h").read_text(encoding="utf-8"),
}


class HeaderError(KitError, ValueError):
    """A header that does not compile: file, 1-based line (0: no one line is to blame), the line's
    text, and a sentence (message)."""

    def __init__(self, message: str, file: str = NUMBERS, line: int = 0, text: str = "") -> None:
        super().__init__(message)
        self.message, self.file, self.line, self.text = message, file, line, text

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return head + self.message + (f"\n    {shortened(self.text, 120)}" if self.text else "")

    def __reduce__(self) -> tuple[object, ...]:
        return HeaderError, (self.message, self.file, self.line, self.text)


@dataclass(frozen=True, repr=False)
class Header:
    """What a header says.

    files: the text by file name. numbering: what a machine is built from. warnings: what a C
    compiler warns of and accepts. overridden: entries of the table that take the slot of an
    earlier one, of which gcc says nothing without -Woverride-init.
    """

    files: tuple[tuple[str, str], ...]
    numbering: Numbering
    warnings: tuple[str, ...] = field(default=())
    overridden: tuple[str, ...] = field(default=())

    @property
    def numbers(self) -> dict[str, int]:
        """Return Call -> the number by which the host makes it."""
        return dict(self.numbering.numbers)

    @property
    def slots(self) -> tuple[str | None, ...]:
        """Return the table: a name, or None where kvm_hc_ni is left, which answers -ENOSYS."""
        return self.numbering.slots

    @property
    def generated(self) -> str:
        """Return the header that the build makes of this one for the assembler: plain numbers only,
        as the kernel's asm-offsets."""
        values = {BASE: self.numbering.base, END: self.numbering.end, SIZE: len(self.slots)}
        return "".join(f"#define {name} {value:#x}\n" for name, value in values.items())

    def __repr__(self) -> str:
        base, end = self.numbering.base, self.numbering.end
        by_number: dict[int, list[str]] = {}
        for name, number in self.numbering.numbers:
            by_number.setdefault(number, []).append(name)
        shown = sorted(by_number.keys() | set(range(base, base + len(self.slots))))
        rows = [f"{'number':>8}  {'what the host means by it':28}what stands in the table"]
        for number in shown:
            slot = number - base
            inside = 0 <= slot < len(self.slots)
            stands = (self.slots[slot] or "kvm_hc_ni") if inside else "(not in the table)"
            for means in by_number.get(number, ["-"]):
                rows.append(f"{number:#8x}  {means:28}{stands}")
        rows.append(f"EL2 takes the numbers from {base:#x} to {end - 1:#x}")
        return "\n".join([*rows, *(f"warning: {warning}" for warning in self.warnings)])


def read_header(header: str | Mapping[str, str] | Header) -> Header:
    """Compile a header, as gcc does: C11 with GNU's extensions, for arm64.

    Args:
        header: one text, which both the numbers and the table include; or two by name,
            {"kvm_hcalls.h": the numbers, "kvm_hcall_list.h": the list for the table}. Beside C
            they may use static_assert and BUILD_BUG_ON, as files of the kernel may.

    Returns:
        A Header: the numbers, the slots of the table, and what the compiler warns of.

    Raises:
        HeaderError: for a text that does not compile, with its line and a sentence.
        TypeError: for what is no text; ValueError for files of other names.
    """
    if isinstance(header, Header):
        return header
    files = _files(header)
    found = _numbers(files)
    if isinstance(found, HeaderError):
        raise _again(found)
    numbering = Numbering(found.base, found.end, found.slots, found.numbers)
    return Header(files, numbering, found.warnings, found.overridden)


def preprocess(text: str, header: str | Mapping[str, str] | Header) -> str:
    """Return a text after the C preprocessor: what an assembler gets to see of a .S file.

    Args:
        text: assembly with directives and macros of C.
        header: what it includes first; as for read_header.

    Returns:
        The lines that are left, one blank between words, without the header's own.

    Raises:
        HeaderError: for a directive or a macro call that is wrong, in the header or the text.
        TypeError, ValueError: as read_header.
    """
    if not isinstance(text, str):
        raise WrongType(expected("a text to preprocess", text))
    files = header.files if isinstance(header, Header) else _files(header)
    if wrong := wrong_character(text):
        raise HeaderError(wrong[2], "the text", wrong[0])
    found = _preprocessed(files, text)
    if isinstance(found, HeaderError):
        raise _again(found)
    return found


def _again(error: HeaderError) -> HeaderError:
    """Return a kept error anew: raised twice, one would carry both tracebacks."""
    return HeaderError(error.message, error.file, error.line, error.text)


def _files(header: str | Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    given = {NUMBERS: header} if isinstance(header, str) else header
    if not isinstance(given, Mapping) or not all(
        isinstance(item, str) for pair in given.items() for item in pair
    ):
        raise WrongType(expected("a header as a text, or as texts by file name", header))
    if NUMBERS not in given or not given.keys() <= {NUMBERS, LIST}:
        got = ", ".join(map(repr, sorted(given))) or "none"
        raise WrongValue(f"expected files called {NUMBERS!r} and {LIST!r}; got {got}")
    if sum(map(len, given.values())) > MAX_TEXT:
        raise HeaderError(f"this header has more than {MAX_TEXT:,} characters")
    for name, text in given.items():
        if not text.strip():
            raise HeaderError("the text is empty", name)
    files = tuple((name, text.replace("\r\n", "\n")) for name, text in given.items())
    for name, text in files:
        if wrong := wrong_character(text):
            line, _, sentence = wrong
            shown = text.split("\n")[line - 1].strip()
            raise HeaderError(sentence, name, line, shown if shown.isprintable() else "")
    return files


@lru_cache(maxsize=128)
def _numbers(files: tuple[tuple[str, str], ...]) -> Numbers | HeaderError:
    """Return what the compiler makes of a header, also of a bad one: the same text is asked for
    again."""
    return _asked(files, lambda texts, ask: compiled(texts, (*HYPERCALLS, *SPARE), ask))


@lru_cache(maxsize=128)
def _preprocessed(files: tuple[tuple[str, str], ...], text: str) -> str | HeaderError:
    return _asked(files, lambda texts, ask: preprocessed(texts, text, ask))


def _asked(
    files: tuple[tuple[str, str], ...], question: Callable[[Mapping[str, str], Ask], T]
) -> T | HeaderError:
    """Return the answer to a question about a header, or what is wrong with the header."""
    texts = dict(files)
    try:
        with front_end.opened(texts) as ask:
            return question(texts, ask)
    except Mistake as mistake:
        place = mistake.place
        if not place.line or place.file not in texts:
            return HeaderError(mistake.message, place.file if place.file in texts else NUMBERS)
        line = line_of(texts, place).strip()
        return HeaderError(mistake.message, place.file, place.line, line)
    except Ended as ended:
        return HeaderError(_ENDED[str(ended)])


_ENDED = {
    clang_child.SLOW: "the C compiler did not come to an end in "
    f"{front_end.SECONDS:g} seconds of work: do the macros grow without bounds?",
    clang_child.BIG: "after its macros are expanded this text is too big: do they grow without "
    "bounds?",
    clang_child.ABSENT: "there is no C compiler here: the package libclang is not installed, or "
    "does not load",
    clang_child.CRASHED: "the C compiler gave up on this text: it takes too much memory, or is "
    "nested too deeply",
}
