"""Units of text -> programs: lays them out, lets them see each other, encodes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hypkit.a64.registers import MASK64
from hypkit.asm import canonical, diagnose, encode, mnemonics, recorded
from hypkit.asm.budget import Budget
from hypkit.asm.engines import Engine
from hypkit.asm.expressions import Complaint
from hypkit.asm.first_pass import FirstPass, item_bytes
from hypkit.asm.items import Item
from hypkit.asm.program import AsmError, Program, Unit
from hypkit.asm.source import Located, Stmt, statements
from hypkit.errors import WrongType, WrongValue, expected, is_whole, needs, shown, whole
from hypkit.text import wrong_character

MAX_TEXT = 256 * 1024  # characters of one text


def link(
    engine: Engine,
    units: Iterable[Unit],
    symbols: Mapping[str, int] | None,
    constants: Mapping[str, int] | None,
    prelude: str,
    known: Mapping[str, int] | None,
) -> list[Program]:
    """Assemble several units; `hypkit.asm.link` says how."""
    if not isinstance(units, Iterable) or isinstance(units, str | Mapping):
        raise WrongType(f"units: {expected('a list of Units', units)}")
    units = list(units)
    symbols = _mapping(symbols, "symbols")
    constants = _mapping(constants, "constants")
    for name in symbols.keys() & constants.keys():
        raise WrongValue(f"{name!r} is given twice, as a symbol and as a constant")
    for unit in units:
        _check_unit(unit)
    common = _check_text("prelude", prelude, "<prelude>", empty=True)
    texts = [_check_text("a unit's text", unit.text, unit.name) for unit in units]
    return _Linking(engine, units, texts, common, symbols, constants).programs(
        _mapping(known, "known")
    )


# -- arguments ----------------------------------------------------------------------------------


def _mapping(given: Mapping[str, int] | None, what: str) -> dict[str, int]:
    if not isinstance(given, Mapping | None):
        raise WrongType(f"{what}: {expected('a dict of whole numbers by name', given)}")
    out = dict(given or {})
    for name, value in out.items():
        if not isinstance(name, str) or not is_whole(value):
            got = f"{shown(name)}: {shown(value)}"
            raise WrongType(f"{what}: expected a dict of whole numbers by name; got {got} in it")
        out[name] = whole(what, value)
        if not -(1 << 63) <= out[name] <= MASK64:
            raise WrongValue(f"{what}[{name!r}]: {expected('a number of 64 bits', out[name])}")
    return out


def _check_unit(unit: Unit) -> None:
    if not isinstance(unit, Unit):
        raise WrongType(expected("a Unit to link", unit))
    if unit.base is not None:
        base = whole("base", unit.base)
        if not 0 <= base <= MASK64 or base % 4:
            got = f"{base:#x}" if base.bit_length() <= 256 else shown(base)
            raise WrongValue(f"base: expected a multiple of 4 from 0 to 2**64 - 4; got {got}")
    align = whole("align", unit.align)
    if align < 4 or align & (align - 1):
        raise WrongValue(f"align: {expected('a power of two from 4', align)}")
    needs(str, "a text as the name of a unit", unit.name)


def _check_text(what: str, text: str, name: str, empty: bool = False) -> str:
    if not isinstance(text, str):
        raise WrongType(f"{what}: {expected('a text', text)}")
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


@dataclass(frozen=True)
class _Lookup:
    """An instruction whose word is still to be found: its unit and item, its canonical text."""

    unit: int
    item: Item
    text: str
    parts: tuple[str, ...]


class _Stop(Exception):
    """The first mistake of the second pass."""

    def __init__(self, unit: int, item: Item, complaint: Complaint):
        super().__init__(complaint.message)
        self.unit, self.item, self.complaint = unit, item, complaint


class _Linking:
    """One call of `link`."""

    def __init__(
        self,
        engine: Engine,
        units: Sequence[Unit],
        texts: Sequence[str],
        prelude: str,
        symbols: Mapping[str, int],
        constants: Mapping[str, int],
    ):
        self.engine = engine
        self.units, self.texts, self.prelude = units, texts, prelude
        self.budget = Budget()
        try:
            common = statements(prelude, prelude=True)
        except Located as e:
            raise self.error(0, e.complaint, e.stmt) from None
        self.passes: list[FirstPass] = []
        where = 0
        for index, (unit, text) in enumerate(zip(units, texts, strict=True)):
            base = unit.base if unit.base is not None else -(-where // unit.align) * unit.align
            first = FirstPass(base, symbols, constants, self.budget)
            try:
                first.run(text, common)
            except Located as e:
                raise self.error(index, e.complaint, e.stmt) from None
            if not first.items:
                raise AsmError("there is nothing to assemble in this text", name=unit.name)
            self.passes.append(first)
            where = first.at
        self.codes = [bytearray(first.at - first.base) for first in self.passes]
        self.lines: list[dict[int, int]] = [{} for _ in self.passes]
        self.relocs: list[list[int]] = [[] for _ in self.passes]
        self.lookups: list[_Lookup] = []
        self.exports = [first.symbols.exports() for first in self.passes]
        self.join()

    def error(self, index: int, complaint: Complaint, stmt: Stmt | None) -> AsmError:
        """Return the AsmError for a complaint about a statement of a unit, or of the prelude."""
        text, name = self.texts[index] if self.texts else "", self.units[index].name
        if stmt is None:
            return AsmError(complaint.message, name=name)
        if stmt.prelude:
            text, name = self.prelude, "<prelude>"
        line = text.split("\n")[stmt.line - 1]
        if stmt.via and not stmt.text.startswith(".err"):
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
                    labels = self.passes[index].symbols.labels
                    stmt = labels[name][1] if name in labels else None
                    complaint = Complaint(f"label {name!r} is also defined in unit {owner[name]!r}")
                    raise self.error(index, complaint, stmt)
                everything[name] = address
                owner[name] = self.units[index].name
        for first in self.passes:
            first.symbols.outside = everything

    def programs(self, more: Mapping[str, int]) -> list[Program]:
        """Return the programs. Raises AsmError for the first mistake."""
        known = recorded.known() | ({} if recorded.recordings else dict(more))
        try:
            for index in range(len(self.units)):
                self.encode(index, known)
        except _Stop as e:
            # An instruction before this one may be wrong too, and the first mistake is to be told.
            self.ask_engine()
            raise self.error(e.unit, e.complaint, e.item.stmt) from None
        self.ask_engine()
        return [
            Program(
                unit.name, first.base, bytes(code), exports, lines, tuple(relocs), unit.text
            )
            for unit, first, code, exports, lines, relocs in zip(
                self.units, self.passes, self.codes, self.exports, self.lines, self.relocs,
                strict=True,
            )
        ]  # fmt: skip

    def encode(self, index: int, known: Mapping[str, int]) -> None:
        """Run the second pass over a unit; note what is not known in `lookups`."""
        first, lines = self.passes[index], self.lines[index]
        for item in first.items:
            try:
                first.symbols.at, first.symbols.order = item.addr, item.order
                if item.kind != "bytes":
                    lines[item.addr] = item.stmt.line
                if item.kind == "insn":
                    if item.size == 8:
                        lines[item.addr + 4] = item.stmt.line
                    data = self.instruction(index, item, known)
                else:
                    data, moves = item_bytes(first.symbols, item)
                    if moves:
                        self.relocs[index].append(item.addr - first.base)
            except Complaint as e:
                if item.kind == "insn":  # of two mistakes in a line, a strange name comes first
                    name, ops, _ = item.payload
                    e = mnemonics.unknown(name, ops, sorted(first.expander.macros)) or e
                raise _Stop(index, item, e) from None
            self.put(index, item, data)

    def put(self, index: int, item: Item, data: bytes) -> None:
        """Store the bytes of an item."""
        offset = item.addr - self.passes[index].base
        self.codes[index][offset : offset + len(data)] = data

    def instruction(self, index: int, item: Item, known: Mapping[str, int]) -> bytes:
        """Return the bytes of an instruction; none if its word is still to be looked up."""
        mnemonic, ops, literal = item.payload
        evaluate = self.passes[index].symbols.value
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
                if complaint := diagnose.refusal(parts, ops):
                    raise complaint
                self.lookups.append(_Lookup(index, item, text, parts))
                return b""
            word = known[text] if plain is None else plain
        return word.to_bytes(4, "little")

    def ask_engine(self) -> None:
        """Fill in the words that were looked for. Raises AsmError for the first that does not
        exist."""
        first = {lookup.text: lookup for lookup in reversed(self.lookups)}
        queue = list(dict.fromkeys(lookup.text for lookup in self.lookups))
        words: list[int] = []
        why = ""
        if queue:
            words, why = self.engine.words(queue)
        found: dict[str, int] = {}
        for text, word in zip(queue, words, strict=False):
            if diagnose.doubtful(first[text].parts):
                why = "refused"
                break
            found[text] = word
        recorded.note(found)
        for lookup in self.lookups:
            if lookup.text not in found:
                macros = sorted({name for each in self.passes for name in each.expander.macros})
                ops = lookup.item.payload[1]
                complaint = diagnose.explain(lookup.parts, ops, why, macros, self.engine.name)
                raise self.error(lookup.unit, complaint, lookup.item.stmt)
            self.put(lookup.unit, lookup.item, found[lookup.text].to_bytes(4, "little"))
