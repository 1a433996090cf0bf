"""Assembler text -> `Program`: bytes, symbols and the line of every instruction.

The front does all but one thing itself: labels, macros, directives, expressions, literal pools and
everything that depends on the PC. What is left of an instruction then is a text without names, such
as `cmp x0, #0xe`. Its word is looked up in the recorded encodings (`data/encodings.json`), and only
on a miss is Keystone asked, in a child process. So the shipped guest assembles on machines that
have no Keystone, and no text can end the Python process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hypkit.asm import canonical, diagnose, encode, mnemonics
from hypkit.asm.expressions import MASK64, Complaint
from hypkit.asm.first_pass import Layout, item_bytes
from hypkit.asm.items import Item
from hypkit.asm.keystone_child import Child
from hypkit.asm.macros import Budget
from hypkit.asm.source import Located, Stmt, statements
from hypkit.errors import KitError
from hypkit.facts import data_path
from hypkit.text import wrong_character

__all__ = [
    "AsmError",
    "Program",
    "Unit",
    "assemble",
    "link",
    "record",
    "recording",
    "write_encodings",
]

MAX_TEXT = 256 * 1024  # characters of one text
ENCODINGS = "encodings.json"

keystone = Child()
atexit.register(keystone.close)
_learned: dict[str, int] = {}  # what Keystone said in this process


class AsmError(KitError, ValueError):
    """A text that cannot be assembled: where (`name`, 1-based `line` and `column`), the offending
    line (`text`), and why (`message`)."""

    def __init__(
        self, message: str, line: int = 1, column: int = 1, text: str = "", name: str = ""
    ):
        super().__init__(message)
        self.message, self.line, self.column = message, line, column
        self.text, self.name = text, name

    def __str__(self) -> str:
        start = max(0, self.column - 80)
        shown = self.text[start : start + 120]
        pad = "".join(c if c == "\t" else " " for c in shown[: self.column - 1 - start])
        head = f"{self.name}:{self.line}:{self.column}: {self.message}"
        if not shown.strip() or not shown.isprintable() and "\t" not in shown:
            return head
        return f"{head}\n    {shown}\n    {pad}^"

    def __reduce__(self) -> tuple[object, ...]:
        return AsmError, (self.message, self.line, self.column, self.text, self.name)


@dataclass(frozen=True)
class Program:
    """An assembled text.

    code: the bytes, little-endian, to be placed at address `base`.
    symbols: name -> absolute address of the labels defined here (no numeric and no .L labels).
    lines: address of each instruction and data item -> 1-based line of the text; what a macro makes
    has the line of the call, a literal the line of its ldr.
    relocs: offsets in `code` of the 64-bit words that hold an address, and move with the program.
    """

    name: str
    base: int
    code: bytes = field(repr=False)
    symbols: dict[str, int] = field(repr=False)
    lines: dict[int, int] = field(repr=False)
    relocs: tuple[int, ...] = field(repr=False)
    source: str = field(repr=False)

    def __repr__(self) -> str:
        size = len(self.code)
        count = len(self.symbols)
        return (
            f"<Program {self.name!r}: {size} byte{'s' * (size != 1)} at {self.base:#x}, "
            f"{count} symbol{'s' * (count != 1)}>"
        )


@dataclass(frozen=True)
class Unit:
    """A text to be linked. base None: right after the unit before it, at a multiple of `align`."""

    name: str
    text: str
    base: int | None = None
    align: int = 8


def assemble(
    text: str,
    base: int = 0,
    *,
    symbols: Mapping[str, int] | None = None,
    constants: Mapping[str, int] | None = None,
    name: str = "<text>",
) -> Program:
    """Assemble A64 text (GNU as syntax) to be placed at address `base`, a multiple of 4.

    symbols: names of addresses outside the text, which move with it; constants: names of plain
    numbers. Raises AsmError for a text that cannot be assembled, TypeError and ValueError for
    arguments that make no sense.
    """
    return link([Unit(name, text, base)], symbols=symbols, constants=constants)[0]


def link(
    units: Iterable[Unit],
    *,
    symbols: Mapping[str, int] | None = None,
    constants: Mapping[str, int] | None = None,
    prelude: str = "",
    known: Mapping[str, int] | None = None,
) -> list[Program]:
    """Assemble several units that see each other's labels (but not numeric and .L labels).

    prelude: macros and .equ for every unit, not counted in line numbers; known: words by canonical
    text, beside the recorded ones. Raises as `assemble`.
    """
    units = list(units)
    symbols = _mapping(symbols, "symbols")
    constants = _mapping(constants, "constants")
    for name in symbols.keys() & constants.keys():
        raise ValueError(f"{name!r} is given twice, as a symbol and as a constant")
    for unit in units:
        _check_unit(unit)
    common = _check_text("prelude", prelude, "<prelude>", empty=True)
    texts = [_check_text("a unit's text", unit.text, unit.name) for unit in units]
    return _Linking(units, texts, common, symbols, constants).programs(known or {})


@contextlib.contextmanager
def recording() -> Iterator[dict[str, int]]:
    """While this is open, every looked-up instruction is asked of Keystone anew, and its canonical
    text and word go into the mapping:

        with asm.recording() as words:
            link(units)
        asm.write_encodings(words)
    """
    words: dict[str, int] = {}
    _recordings.append(words)
    try:
        yield words
    finally:
        _recordings[:] = [r for r in _recordings if r is not words]


def record(units: Iterable[Unit], **options: Any) -> dict[str, int]:
    """Canonical text -> word of every looked-up instruction of these units; options as `link`."""
    with recording() as words:
        link(units, **options)
    return words


def write_encodings(words: Mapping[str, int], path: Path | None = None) -> None:
    """Write the recorded encodings: one instruction a line, sorted, so that a diff can be read."""
    if path is None:
        path = data_path("hypercalls.toml").with_name(ENCODINGS)
    lines = ",\n".join(f'{json.dumps(text)}: "{word:08x}"' for text, word in sorted(words.items()))
    path.write_text("{\n" + lines + "\n}\n", encoding="ascii", newline="\n")
    encodings.cache_clear()


@functools.cache
def encodings() -> dict[str, int]:
    """The recorded encodings: canonical text -> word. Empty where the file is missing."""
    try:
        path = data_path(ENCODINGS)
    except FileNotFoundError:
        return {}
    words = json.loads(path.read_text(encoding="ascii"))
    return {text: int(word, 16) for text, word in words.items()}


# -- arguments ----------------------------------------------------------------------------------

_recordings: list[dict[str, int]] = []


def _mapping(given: Mapping[str, int] | None, what: str) -> dict[str, int]:
    if not isinstance(given, Mapping | None):
        raise TypeError(f"{what} must map names to integers, not {type(given).__name__}")
    out = dict(given or {})
    for name, value in out.items():
        if not isinstance(name, str) or not hasattr(value, "__index__"):
            raise TypeError(f"{what} must map names to integers, and has {name!r}: {value!r}")
        out[name] = value.__index__()
        if not -(1 << 63) <= out[name] <= MASK64:
            raise ValueError(f"{what}[{name!r}] = {out[name]:#x} does not fit in 64 bits")
    return out


def _check_unit(unit: Unit) -> None:
    if not isinstance(unit, Unit):
        raise TypeError(f"link takes Unit objects, not {type(unit).__name__}")
    if unit.base is not None:
        if not hasattr(unit.base, "__index__"):
            raise TypeError(f"base must be an integer, not {type(unit.base).__name__}")
        if not 0 <= unit.base <= MASK64 or unit.base % 4:
            raise ValueError(
                f"base must be a multiple of 4 from 0 to 2**64 - 4, not {unit.base:#x}"
            )
    if not isinstance(unit.align, int) or unit.align < 4 or unit.align & (unit.align - 1):
        raise ValueError(f"align must be a power of two from 4, not {unit.align!r}")


def _check_text(what: str, text: str, name: str, empty: bool = False) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise AsmError(
            f"this text has {len(text):,} characters, and at most {MAX_TEXT:,} are taken", name=name
        )
    text = text.replace("\r\n", "\n")
    if not text.strip() and not empty:
        raise AsmError("the text is empty: there is nothing to assemble", name=name)
    if wrong := wrong_character(text):
        line, column, sentence = wrong
        raise AsmError(sentence, line, column, text.split("\n")[line - 1], name)
    return text


# -- linking ------------------------------------------------------------------------------------


class _Lookup(NamedTuple):
    """An instruction whose word is still to be found: its unit and item, its canonical text."""

    index: int
    item: Item
    text: str
    parts: tuple[str, ...]


class _Stop(Exception):
    """The first mistake of the second pass."""

    def __init__(self, index: int, item: Item, complaint: Complaint):
        super().__init__(complaint.message)
        self.index, self.item, self.complaint = index, item, complaint


class _Linking:
    """One call of `link`: lays the units out, lets them see each other, encodes them."""

    def __init__(
        self,
        units: Sequence[Unit],
        texts: Sequence[str],
        prelude: str,
        symbols: Mapping[str, int],
        constants: Mapping[str, int],
    ):
        self.units, self.texts, self.prelude = units, texts, prelude
        budget = Budget()
        try:
            common = statements(prelude, prelude=True)
        except Located as e:
            raise self.error(0, e.complaint, e.stmt) from None
        self.layouts: list[Layout] = []
        where = 0
        for index, (unit, text) in enumerate(zip(units, texts, strict=True)):
            base = unit.base if unit.base is not None else -(-where // unit.align) * unit.align
            layout = Layout(base, symbols, constants, budget)
            try:
                layout.run(text, common)
            except Located as e:
                raise self.error(index, e.complaint, e.stmt) from None
            if not layout.items:
                raise AsmError("there is nothing to assemble in this text", name=unit.name)
            self.layouts.append(layout)
            where = layout.at
        self.codes = [bytearray(layout.at - layout.base) for layout in self.layouts]
        self.lines: list[dict[int, int]] = [{} for _ in self.layouts]
        self.relocs: list[list[int]] = [[] for _ in self.layouts]
        self.lookups: list[_Lookup] = []
        self.exports = [layout.exports() for layout in self.layouts]
        self.join()

    def error(self, index: int, complaint: Complaint, stmt: Stmt | None) -> AsmError:
        """The AsmError for a complaint about a statement of a unit, or of the prelude."""
        text, name = self.texts[index] if self.texts else "", self.units[index].name
        if stmt is None:
            return AsmError(complaint.message, name=name)
        if stmt.prelude:
            text, name = self.prelude, "<prelude>"
        line = text.split("\n")[stmt.line - 1]
        if stmt.via:
            where = f"inside macro {' > '.join(stmt.via[-3:])}: `{stmt.text[:80]}`"
            return AsmError(f"{complaint.message} ({where})", stmt.line, stmt.column, line, name)
        return AsmError(complaint.message, stmt.line, stmt.column + (complaint.at or 0), line, name)

    def join(self) -> None:
        """Let every unit see the labels of the others."""
        everything: dict[str, int] = {}
        owner: dict[str, str] = {}
        for index, exports in enumerate(self.exports):
            for name, address in exports.items():
                if name in everything:
                    _, stmt = self.layouts[index].labels.get(name, (0, None))
                    complaint = Complaint(f"label {name!r} is also defined in unit {owner[name]!r}")
                    raise self.error(index, complaint, stmt)
                everything[name] = address
                owner[name] = self.units[index].name
        for layout in self.layouts:
            layout.outside = everything

    def programs(self, more: Mapping[str, int]) -> list[Program]:
        known = {} if _recordings else encodings() | _learned | more
        try:
            for index in range(len(self.units)):
                self.encode(index, known)
        except _Stop as e:
            # An instruction before this one may be wrong too, and the first mistake is to be told.
            self.ask_keystone()
            raise self.error(e.index, e.complaint, e.item.stmt) from None
        self.ask_keystone()
        return [
            Program(
                unit.name, layout.base, bytes(code), exports, lines, tuple(relocs), unit.text
            )
            for unit, layout, code, exports, lines, relocs in zip(
                self.units, self.layouts, self.codes, self.exports, self.lines, self.relocs,
                strict=True,
            )
        ]  # fmt: skip

    def encode(self, index: int, known: Mapping[str, int]) -> None:
        """The second pass over a unit. What is not known is noted in `lookups`."""
        layout, lines = self.layouts[index], self.lines[index]
        for item in layout.items:
            try:
                layout.budget.check_time()
                layout.at, layout.order = item.addr, item.order
                if item.kind != "bytes":
                    lines[item.addr] = item.stmt.line
                if item.kind == "insn":
                    if item.size == 8:
                        lines[item.addr + 4] = item.stmt.line
                    data = self.instruction(index, item, known)
                else:
                    data, moves = item_bytes(layout, item)
                    if moves:
                        self.relocs[index].append(item.addr - layout.base)
            except Complaint as e:
                if item.kind == "insn":  # of two mistakes in a line, a strange name comes first
                    name, ops, _ = item.payload
                    e = mnemonics.unknown(name, ops, sorted(layout.macros)) or e
                raise _Stop(index, item, e) from None
            self.put(index, item, data)

    def put(self, index: int, item: Item, data: bytes) -> None:
        offset = item.addr - self.layouts[index].base
        self.codes[index][offset : offset + len(data)] = data

    def instruction(self, index: int, item: Item, known: Mapping[str, int]) -> bytes:
        """The bytes of an instruction; none if its word is still to be looked up."""
        mnemonic, ops, literal = item.payload
        evaluate = self.layouts[index].value
        if item.size == 8:
            first, second = encode.far_pair(mnemonic, ops, item.addr, evaluate)
            return (second << 32 | first).to_bytes(8, "little")
        if literal is not None:
            word = encode.literal_word(mnemonic, ops, literal.addr - item.addr, evaluate)
        elif encode.is_pc_relative(mnemonic, ops):
            word = encode.pc_relative(mnemonic, ops, item.addr, evaluate)
        else:
            parts = canonical.canonical(mnemonic, ops, evaluate)
            text = canonical.join(parts)
            plain = encode.plain_word(parts)
            if plain is None and text not in known:
                self.lookups.append(_Lookup(index, item, text, parts))
                return b""
            word = known[text] if plain is None else plain
        return word.to_bytes(4, "little")

    def ask_keystone(self) -> None:
        """Fill in the words that were looked for; the first that does not exist is the error."""
        first = {lookup.text: lookup for lookup in reversed(self.lookups)}
        queue = list(dict.fromkeys(lookup.text for lookup in self.lookups))
        words, why = [], ""
        if queue:
            words, why = keystone.words(queue) if keystone.present() else ([], "absent")
        found: dict[str, int] = {}
        for text, word in zip(queue, words, strict=False):
            if diagnose.doubtful(first[text].parts):
                why = "refused"
                break
            found[text] = word
        _learned.update(found)
        for recorded in _recordings:
            recorded.update(found)
        for lookup in self.lookups:
            if lookup.text not in found:
                macros = sorted({name for layout in self.layouts for name in layout.macros})
                ops = lookup.item.payload[1]
                complaint = diagnose.explain(lookup.parts, ops, why, macros)
                raise self.error(lookup.index, complaint, lookup.item.stmt)
            self.put(lookup.index, lookup.item, found[lookup.text].to_bytes(4, "little"))
