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
from typing import Any

from hypkit import _diagnose, _encode
from hypkit._data import data_bytes, fit
from hypkit._expr import MASK64, Complaint, Value
from hypkit._keystone import Child
from hypkit._layout import Budget, Item, Layout, Literal
from hypkit._source import Located, Stmt, statements
from hypkit.facts import data_path

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


class AsmError(ValueError):
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
) -> list[Program]:
    """Assemble several units that see each other's labels (but not numeric and .L labels).

    prelude: macros and .equ for every unit, not counted in line numbers. Raises as `assemble`.
    """
    units = list(units)
    symbols = _mapping(symbols, "symbols")
    constants = _mapping(constants, "constants")
    for name in symbols.keys() & constants.keys():
        raise ValueError(f"{name!r} is given twice, as a symbol and as a constant")
    for unit in units:
        _check_unit(unit)
    common = _check_text("prelude", prelude, "<prelude>", empty=True)
    try:
        common_stmts = statements(common, prelude=True)
    except Located as e:
        raise _error(Unit("<prelude>", ""), "", common, e.complaint, e.stmt) from None
    budget = Budget()
    layouts: list[Layout] = []
    texts: list[str] = []
    where = 0
    for unit in units:
        text = _check_text("a unit's text", unit.text, unit.name)
        base = unit.base if unit.base is not None else -(-where // unit.align) * unit.align
        layout = Layout(base, symbols, constants, budget)
        try:
            layout.run(text, common_stmts)
        except Located as e:
            raise _error(unit, text, common, e.complaint, e.stmt) from None
        if not layout.items:
            raise AsmError("there is nothing to assemble in this text", 1, 1, "", unit.name)
        layouts.append(layout)
        texts.append(text)
        where = layout.at
    _join(units, texts, layouts)
    return _encode_all(units, texts, common, layouts)


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
        path = _default_path()
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


def _default_path() -> Path:
    try:
        return data_path(ENCODINGS)
    except FileNotFoundError:
        return data_path("hypercalls.toml").with_name(ENCODINGS)


def _mapping(given: Mapping[str, int] | None, what: str) -> dict[str, int]:
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
    for number, line in enumerate(text.split("\n"), 1):
        if line.isprintable():
            continue
        for column, c in enumerate(line, 1):
            if c < " " and c not in "\t\f\v" or c == "\x7f" or "\x80" <= c <= "\x9f":
                raise AsmError(
                    f"character {ord(c):#04x} does not belong in a text: is this a binary file?",
                    number, column, line, name,
                )  # fmt: skip
            if c in "\u00a0\u200b\ufeff\u2028\u2029":
                raise AsmError(
                    f"there is an invisible character here (U+{ord(c):04X}); copied from a web "
                    "page? Replace it by a space",
                    number, column, line, name,
                )  # fmt: skip
    return text


def _error(unit: Unit, text: str, prelude: str, e: Complaint, stmt: Stmt | None) -> AsmError:
    if stmt is None:
        return AsmError(e.message, name=unit.name)
    source, name = (prelude, "<prelude>") if stmt.prelude else (text, unit.name)
    lines = source.split("\n")
    line = lines[stmt.line - 1] if stmt.line <= len(lines) else ""
    if stmt.via:
        message = f"{e.message} (inside macro {' > '.join(stmt.via[-3:])}: `{stmt.text[:80]}`)"
        return AsmError(message, stmt.line, stmt.column, line, name)
    return AsmError(e.message, stmt.line, stmt.column + (e.at or 0), line, name)


# -- the second pass ----------------------------------------------------------------------------


def _join(units: Sequence[Unit], texts: Sequence[str], layouts: Sequence[Layout]) -> None:
    """Let every unit see the labels of the others."""
    everything: dict[str, int] = {}
    owner: dict[str, str] = {}
    for unit, text, layout in zip(units, texts, layouts, strict=True):
        layout.final = True
        for name, address in _exports(layout).items():
            if name in everything:
                stmt = layout.labels[name][1] if name in layout.labels else None
                complaint = Complaint(f"label {name!r} is also defined in unit {owner[name]!r}")
                raise _error(unit, text, "", complaint, stmt)
            everything[name] = address
            owner[name] = unit.name
    for layout in layouts:
        layout.outside = everything


def _exports(layout: Layout) -> dict[str, int]:
    out = {n: a for n, (a, _) in layout.labels.items() if not n.startswith(".L")}
    for name, history in layout.equs.items():
        value = history[-1][1]
        if isinstance(value, Value) and value.places == 1 and not name.startswith(".L"):
            if name not in layout.symbols:
                out[name] = value.n
    return out


def _encode_all(
    units: Sequence[Unit], texts: Sequence[str], prelude: str, layouts: Sequence[Layout]
) -> list[Program]:
    pending: list[tuple[int, Item, str, tuple[str, ...], bytearray]] = []
    known = {} if _recordings else encodings()
    programs = []
    try:
        for index, (unit, text, layout) in enumerate(zip(units, texts, layouts, strict=True)):
            code = bytearray(layout.at - layout.base)
            relocs: list[int] = []
            lines: dict[int, int] = {}
            item = layout.items[0]
            try:
                for item in layout.items:
                    layout.budget.check_time()
                    layout.at, layout.order = item.addr, item.order
                    offset = item.addr - layout.base
                    if item.kind == "bytes":
                        code[offset : offset + item.size] = item.payload
                        continue
                    lines[item.addr] = item.stmt.line
                    if item.kind == "insn":
                        if item.size == 8:
                            lines[item.addr + 4] = item.stmt.line
                        parts = _instruction(layout, item, code)
                        if parts is not None:
                            key = _encode.join(parts)
                            word = known.get(key, _learned.get(key))
                            if word is None or _recordings:
                                pending.append((index, item, key, parts, code))
                            else:
                                code[offset : offset + 4] = word.to_bytes(4, "little")
                        continue
                    data, moves = (
                        data_bytes(layout, item)
                        if item.kind == "data"
                        else _literal(layout, item.payload)
                    )
                    code[offset : offset + item.size] = data
                    if moves:
                        relocs.append(offset)
            except Complaint as e:
                if item.kind == "insn":  # of two mistakes in a line, a strange name comes first
                    e = _diagnose.unknown(item.payload[0], sorted(layout.macros)) or e
                raise _Stop(index, item, e) from None
            programs.append((unit, layout, text, code, lines, relocs))
    except _Stop as e:
        # An instruction before this one may be wrong too, and the first error is the one to tell.
        _ask_keystone(units, texts, prelude, layouts, pending)
        unit = units[e.index]
        raise _error(unit, texts[e.index], prelude, e.complaint, e.item.stmt) from None
    _ask_keystone(units, texts, prelude, layouts, pending)
    return [
        Program(u.name, ly.base, bytes(code), _exports(ly), lines, tuple(relocs), u.text)
        for u, ly, _, code, lines, relocs in programs
    ]


class _Stop(Exception):
    def __init__(self, index: int, item: Item, complaint: Complaint):
        super().__init__(complaint.message)
        self.index, self.item, self.complaint = index, item, complaint


def _literal(layout: Layout, literal: Literal) -> tuple[bytes, bool]:
    layout.at, layout.order = literal.first.addr, literal.first.order
    value = layout.value(literal.text, literal.at)
    what = f"a {literal.size * 8}-bit load"
    if literal.size == 4 and value.places == 1:
        raise Complaint(
            "a w register cannot hold an address: load it into an x register", literal.at
        )
    return fit(value, literal.size, what, literal.text, literal.at)


def _instruction(layout: Layout, item: Item, code: bytearray) -> tuple[str, ...] | None:
    """Put the word into `code`, or return the canonical parts that are to be looked up."""
    mnemonic, ops, literal = item.payload
    offset = item.addr - layout.base
    if item.size == 8:
        first, second = _encode.far_pair(mnemonic, ops, item.addr, layout.value)
        code[offset : offset + 8] = (second << 32 | first).to_bytes(8, "little")
        return None
    if literal is not None:
        word = _encode.literal_word(mnemonic, ops, literal.addr - item.addr, layout.value)
    elif _encode.is_pc_relative(mnemonic, ops):
        word = _encode.pc_relative(mnemonic, ops, item.addr, layout.value)
    else:
        parts = _encode.canonical(mnemonic, ops, layout.value)
        plain = _encode.plain_word(parts)
        if plain is None:
            return parts
        word = plain
    code[offset : offset + 4] = word.to_bytes(4, "little")
    return None


def _ask_keystone(
    units: Sequence[Unit],
    texts: Sequence[str],
    prelude: str,
    layouts: Sequence[Layout],
    pending: list[tuple[int, Item, str, tuple[str, ...], bytearray]],
) -> None:
    """Fill in the words of the pending instructions; the first that has none is the error."""
    if not pending:
        return
    first: dict[str, int] = {}
    for i, (_, _, key, _, _) in enumerate(pending):
        first.setdefault(key, i)
    queue = list(first)
    macros = sorted({name for layout in layouts for name in layout.macros})
    if not keystone.present():
        words, why = [], "absent"
    else:
        words, why = keystone.words(queue)
    found: dict[str, int] = {}
    for key, word in zip(queue, words, strict=False):
        parts = pending[first[key]][3]
        doubt = _diagnose.doubt(parts, word)
        if doubt:
            why = doubt
            break
        found[key] = word
    _learned.update(found)
    for words_seen in _recordings:
        words_seen.update(found)
    for index, item, key, parts, code in pending:
        if key not in found:
            complaint = _diagnose.explain(parts, item.payload[1], why, macros)
            raise _error(units[index], texts[index], prelude, complaint, item.stmt)
        offset = item.addr - layouts[index].base
        code[offset : offset + 4] = found[key].to_bytes(4, "little")
