"""The assembler's first pass: every instruction and data item gets its address, every directive its
meaning, literal pools get their places."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from hypkit.asm import advice, directives, encode
from hypkit.asm.budget import Budget
from hypkit.asm.canonical import Operand, operands
from hypkit.asm.expressions import Complaint, Unknown, Value, complain_relocation, evaluate
from hypkit.asm.items import Item, Literal
from hypkit.asm.macros import HEAD, IFS, Expander, nothing_after
from hypkit.asm.source import LABEL, NAME, Located, Stmt, statements
from hypkit.asm.symbols import LOCAL, Symbols

ASSIGN = re.compile(r"([A-Za-z_.$][A-Za-z0-9_.$]*)\s*=(?!=)\s*")

IGNORED = frozenset(
    ".global .globl .local .type .size .hidden .weak .protected .file .arch .cpu .arch_extension "
    ".ident .func .endfunc .loc".split()
)
SECTIONS = (
    "there are no sections here: code and data stay in the order they are written; leave this line "
    "out"
)
REFUSED = dict.fromkeys(
    (".text .data .bss .section .pushsection .popsection .previous .subsection .rodata").split(),
    SECTIONS,
) | {
    ".incbin": "files cannot be read from here: put the bytes in with .byte or .quad",
    ".include": "files cannot be read from here: put the text itself in",
    ".org": "use `.space N` to leave room, or `.balign N` to come to a multiple of N",
    ".req": "register nicknames are not taken: write the register's own name",
    ".unreq": "register nicknames are not taken: write the register's own name",
    ".comm": "reserve room with a label and `.zero N`",
    ".lcomm": "reserve room with a label and `.zero N`",
    ".altmacro": "only the plain macro language is taken",
    ".end": "the text ends where it ends; leave this line out",
    ".float": "floating-point data is not taken: write its bits with .word",
    ".double": "floating-point data is not taken: write its bits with .quad",
    ".octa": "write it as two .quad, the low half first",
    ".tlsdesccall": "thread-local storage is not taken here",
}
DIRECTIVES = frozenset(
    directives.SIZES.keys() | IGNORED | IFS
    | set(".macro .endm .exitm .purgem .rept .irp .irpc .endr .else .elseif .endif .equ .set "
          ".equiv .ascii .asciz .string .zero .skip .space .fill .align .p2align .balign .ltorg "
          ".pool .error .warning .print".split())
)  # fmt: skip


def needed(word: str, rest: str, at: int) -> list[Operand]:
    """Return the operands of a directive that needs at least one."""
    if not rest.strip():
        raise Complaint(f"{word} needs a value")
    return operands(rest, at)


class FirstPass:
    """One unit: after `run` its items have addresses, and its symbols their places."""

    def __init__(
        self, base: int, symbols: Mapping[str, int], constants: Mapping[str, int], budget: Budget
    ):
        self.base = base
        self.symbols = Symbols(base, symbols, constants, budget)
        self.expander = Expander(self.symbols, budget, self.statement)
        self.items: list[Item] = []
        self.pools: dict[int, dict[Any, Literal]] = {4: {}, 8: {}}

    @property
    def at(self) -> int:
        """Return the address that the next item gets."""
        return self.symbols.at

    # -- running the text ---------------------------------------------------------------------

    def run(self, text: str, prelude: list[Stmt]) -> None:
        """Read the prelude and the text. Raises Located at the first mistake."""
        self.expander.block(prelude)
        if prelude and (self.at != self.base or self.symbols.labels or self.symbols.numeric):
            raise Located(
                Complaint("a prelude may hold macros and .equ only, nothing that takes room"),
                self.items[0].stmt if self.items else prelude[0],
            )
        body = statements(text)
        self.expander.block(body)
        if any(self.pools.values()):
            last = self.items[-1].stmt
            try:
                self.flush_pools(last)
            except Complaint as e:
                raise Located(e, last) from None

    def statement(self, stmt: Stmt) -> None:
        """Take one statement: a label, an assignment, a macro call, a directive, an instruction."""
        text = stmt.text
        self.symbols.order += 1
        match = LABEL.match(text)
        if match:
            self.symbols.label(match.group(1), stmt, 0)
            return
        match = ASSIGN.match(text)
        if match:
            self.symbols.assign(match.group(1), text[match.end() :], match.end())
            return
        match = HEAD.match(text)
        if match is None:
            if text[0] == "#":
                raise Complaint(
                    "the C preprocessor does not run here: use .equ NAME, value for #define and "
                    ".if / .ifdef for #if"
                )
            raise Complaint(f"expected an instruction or a directive, not {text[:20]!r}", 0)
        word = match.group(1).lower()
        rest = text[match.end() :]
        macro = self.expander.macros.get(word)
        if macro is not None:
            self.expander.call_macro(macro, rest, match.end(), stmt)
        elif word[0] == ".":
            self.directive(word, rest, match.end(), stmt)
        else:
            self.instruction(word, rest, match.end(), stmt)

    # -- space ----------------------------------------------------------------------------------

    def emit(self, size: int, kind: str, stmt: Stmt, payload: Any) -> Item:
        """Place an item of `size` bytes at the next address."""
        grown = self.at + size - self.base
        if grown > directives.MAX_CODE:
            raise Complaint(
                f"the output grows past {directives.MAX_CODE >> 10} KiB ({grown:,} bytes)"
            )
        if self.at + size > 1 << 64:
            raise Complaint("this lies beyond the last address, 2**64 - 1")
        item = Item(self.at, size, kind, stmt, self.symbols.order, payload)
        self.items.append(item)
        self.symbols.at += size
        return item

    def check_aligned(self) -> None:
        """Raise Complaint where no instruction may lie."""
        if self.at & 3:
            raise Complaint(
                f"an instruction must lie at a multiple of 4, and this would lie at {self.at:#x}: "
                "put `.balign 4` before it"
            )

    def instruction(self, word: str, rest: str, at: int, stmt: Stmt) -> None:
        """Place an instruction, and what it loads from a literal pool."""
        self.check_aligned()
        if rest.lower().startswith((".req", ".unreq")):
            raise Complaint(f".req is not taken: {REFUSED['.req']}", at)
        if said := advice.statement(word, rest):
            raise Complaint(said, 0)
        if f".{word}" in DIRECTIVES:
            raise Complaint(f"a directive has a dot before it: `.{word}`", 0)
        ops = operands(rest, at)
        size = 8 if word in ("adr_l", "ldr_l", "str_l") else 4
        item = self.emit(size, "insn", stmt, (word, ops, None))
        if len(ops) == 2 and ops[1][0].startswith("="):
            item.payload = (word, ops, self.literal(word, ops, item))

    def literal(self, word: str, ops: list[Operand], item: Item) -> Literal:
        """Return the pool entry of `ldr x0, =value`: a new one, or one that holds the same."""
        if word not in ("ldr", "ldrsw"):
            raise Complaint(f"`=value` is for ldr, not for {word}", ops[1][1])
        _, width = encode.register(ops[0], "x" if word == "ldrsw" else "xw")
        size = 8 if width == "x" and word == "ldr" else 4
        text, at = ops[1][0][1:], ops[1][1] + 1
        if text.strip().startswith((":", "#:")):
            raise complain_relocation(at)
        if text.strip().startswith("#"):
            text, at = text.replace("#", "", 1), at + 1
        names: list[str] = []
        symbols = self.symbols
        symbols.budget.spend(len(text))

        def note(name: str, where: int) -> Value:
            if name not in symbols.labels:
                try:
                    value: Value | None = symbols.lookup(name, where)
                except Unknown:
                    value = None
                if value is not None and not value.places:
                    return value
            local = LOCAL.match(name)
            if local:
                name += str(symbols.passed(local.group(1)))
            names.append(name if name != "." else f".{self.at}")
            return Value(0, 1)

        try:
            value = evaluate(text, note, at)
            key: tuple[object, ...] = (tuple(names), value.n, value.places)
        except Complaint:
            key = (text, item.addr)  # the second pass says what is wrong, knowing all names
        pool = self.pools[size]
        if key not in pool:
            pool[key] = Literal(text, at, size, item)
        return pool[key]

    def flush_pools(self, stmt: Stmt) -> None:
        """Place the entries of the literal pools here."""
        for size, pool in self.pools.items():
            if pool:
                self.data(bytes(-self.at % size), stmt)
                for literal in pool.values():
                    literal.addr = self.at
                    self.emit(size, "literal", literal.first.stmt, literal)
                pool.clear()

    def data(self, content: bytes, stmt: Stmt) -> None:
        """Place bytes that are known already."""
        if content:
            self.emit(len(content), "bytes", stmt, content)

    # -- directives -----------------------------------------------------------------------------

    def directive(self, word: str, rest: str, at: int, stmt: Stmt) -> None:
        """Do what a directive says."""
        if word in directives.SIZES:
            if word == ".inst":
                self.check_aligned()
            for text, where in needed(word, rest, at):
                self.emit(directives.SIZES[word], "data", stmt, (word, text, where))
        elif word in (".equ", ".set", ".equiv"):
            name, comma, text = rest.partition(",")
            if not comma or not NAME.fullmatch(name.strip()):
                raise Complaint(f"{word} is written `{word} NAME, value`")
            self.symbols.assign(name.strip(), text, at + len(name) + 1, word == ".equiv")
        elif word in (".align", ".p2align", ".balign"):
            self.data(directives.padding(self.at, word, rest, at, self.symbols.plain), stmt)
        elif word in (".ascii", ".asciz", ".string"):
            for text, where in needed(word, rest, at):
                data = directives.string(text, where) + (b"" if word == ".ascii" else b"\0")
                self.emit(len(data), "bytes", stmt, data)
        elif word in (".zero", ".skip", ".space", ".fill"):
            self.data(directives.space(word, rest, at, self.symbols.plain), stmt)
        elif word in (".ltorg", ".pool"):
            nothing_after(word, rest, at)
            self.flush_pools(stmt)
        elif word in IGNORED or word.startswith(".cfi_"):
            pass
        elif word in (".error", ".err"):
            said = rest.strip() or word
            macro = self.expander.macros.get(stmt.via[-1].lower()) if stmt.via else None
            if macro is not None and macro.prelude:  # a macro of the kit's speaks to the reader
                raise Complaint(said.strip('"'))
            raise Complaint(f"the text itself says: {said}")
        elif word in (".warning", ".print"):
            pass
        elif word == ".exitm":
            self.expander.exit()
        elif word == ".purgem":
            if self.expander.macros.pop(rest.strip().lower(), None) is None:
                raise Complaint(f"there is no macro {rest.strip()!r} to forget")
        elif word in (".endm", ".endmacro"):
            raise Complaint(f"{word} without a .macro before it")
        elif word == ".endr":
            raise Complaint(".endr without a .rept or .irp before it")
        elif word in REFUSED:
            raise Complaint(f"{word} is not taken: {REFUSED[word]}")
        else:
            close = difflib.get_close_matches(
                word, [*sorted(DIRECTIVES), *self.expander.macros], 1, 0.7
            )
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise Complaint(f"unknown directive {word!r}{hint}")


def item_bytes(symbols: Symbols, item: Item) -> tuple[bytes, bool]:
    """Return the bytes of an item that is no instruction, and whether they hold an address that moves."""
    if item.kind == "bytes":
        return item.payload, False
    if item.kind == "data":
        word, text, at = item.payload
        return directives.fit(symbols.value(text, at), item.size, word, text, at)
    literal = item.payload  # seen from the place of its first load
    symbols.at, symbols.order = literal.first.addr, literal.first.order
    value = symbols.value(literal.text, literal.at)
    if literal.size == 4 and value.places == 1:
        raise Complaint(
            "a w register cannot hold an address: load it into an x register", literal.at
        )
    word = f"a {literal.size * 8}-bit load"
    return directives.fit(value, literal.size, word, literal.text, literal.at)
