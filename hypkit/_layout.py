"""The assembler's first pass: statements run in order (macros, conditions, directives), every
instruction and data item gets its address, literal pools get their places."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Mapping
from typing import Any

from hypkit import _encode
from hypkit._expr import ESCAPES, MASK64, Complaint, Unknown, Value, evaluate
from hypkit._source import (
    NAME,
    Macro,
    Stmt,
    macro_arguments,
    split_commas,
    statements,
    substitute,
)

MAX_CODE = 1 << 20  # bytes a unit may grow to
MAX_STATEMENTS = 100_000  # statements run, macro bodies and repetitions counted each time
MAX_NESTING = 48
MAX_SECONDS = 20.0
NOP = (0xD503201F).to_bytes(4, "little")

LABEL = re.compile(r"([A-Za-z_.$][A-Za-z0-9_.$]*|\d+)\s*:(?!:)\s*")
HEAD = re.compile(r"([A-Za-z_.$][A-Za-z0-9_.$]*)\s*")
ASSIGN = re.compile(r"([A-Za-z_.$][A-Za-z0-9_.$]*)\s*=(?!=)\s*")
LOCAL = re.compile(r"(\d+)([bf])$")

DATA = {".byte": 1, ".hword": 2, ".2byte": 2, ".short": 2, ".word": 4, ".4byte": 4, ".long": 4,
        ".int": 4, ".quad": 8, ".8byte": 8, ".xword": 8, ".dword": 8, ".inst": 4}  # fmt: skip
IGNORED = frozenset(
    ".global .globl .local .type .size .hidden .weak .protected .file .arch .cpu .arch_extension "
    ".ident .func .endfunc .loc".split()
)
IFS = frozenset(
    ".if .ifdef .ifndef .ifnotdef .ifb .ifnb .ifc .ifnc .ifeq .ifne .ifgt .ifge .iflt .ifle".split()
)
SECTIONS = (
    "there are no sections here: code and data stay in the order they are written; leave this line "
    "out (to give the code another address, use `base=` or a unit of its own)"
)
REFUSED = dict.fromkeys(
    (".text .data .bss .section .pushsection .popsection .previous .subsection .rodata").split(),
    SECTIONS,
) | {
    ".incbin": "files cannot be read from here: put the bytes in with .byte or .quad",
    ".include": "files cannot be read from here: put the text itself in, or give it as `prelude=`",
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
DIRECTIVES = sorted(
    DATA.keys() | IGNORED | IFS
    | set(".macro .endm .exitm .purgem .rept .irp .irpc .endr .else .elseif .endif .equ .set .equiv "
          ".ascii .asciz .string .zero .skip .space .fill .align .p2align .balign .ltorg .pool "
          ".error .warning .print".split())
)  # fmt: skip


class Located(Exception):
    """A complaint with its statement; asm.py makes the AsmError of it."""

    def __init__(self, complaint: Complaint, stmt: Stmt | None):
        super().__init__(complaint.message)
        self.complaint = complaint
        self.stmt = stmt


class Budget:
    """What all units of one link may spend together."""

    def __init__(self) -> None:
        self.statements = 0
        self.deadline = time.monotonic() + MAX_SECONDS

    def tick(self, count: int = 1) -> None:
        self.statements += count
        if self.statements > MAX_STATEMENTS:
            raise Complaint(
                f"more than {MAX_STATEMENTS:,} statements came out of this text; a .rept or a "
                "macro repeats too much"
            )
        if not self.statements & 255 and time.monotonic() > self.deadline:
            raise Complaint(f"the assembler worked more than {MAX_SECONDS:.0f} s on this text")


class Item:
    """Something that takes room: kind is 'insn', 'data', 'bytes' or 'literal'."""

    __slots__ = ("addr", "size", "kind", "stmt", "order", "payload")

    def __init__(self, addr: int, size: int, kind: str, stmt: Stmt, order: int, payload: Any):
        self.addr, self.size, self.kind = addr, size, kind
        self.stmt, self.order, self.payload = stmt, order, payload


class Literal:
    """A pool entry: `ldr x0, =expr` of any number of loads."""

    def __init__(self, text: str, at: int, size: int, item: Item):
        self.text, self.at, self.size, self.first = text, at, size, item
        self.addr: int | None = None


class Deferred:
    """The expression of an .equ that names something defined later."""

    def __init__(self, text: str, at: int, dot: int, order: int):
        self.text, self.at, self.dot, self.order = text, at, dot, order
        self.busy = False


class _ExitMacro(Exception):
    pass


class Layout:
    """One unit. After `run` its items have addresses; `value` works out expressions."""

    def __init__(
        self,
        base: int,
        symbols: Mapping[str, int],
        constants: Mapping[str, int],
        budget: Budget,
    ):
        self.base = self.at = base
        self.budget = budget
        self.given_symbols, self.constants = symbols, constants
        self.items: list[Item] = []
        self.labels: dict[str, tuple[int, Stmt]] = {}
        self.numeric: dict[int, list[tuple[int, int]]] = {}
        self.equs: dict[str, list[tuple[int, Value | Deferred]]] = {}
        self.macros: dict[str, Macro] = {}
        self.pools: dict[int, dict[Any, Literal]] = {4: {}, 8: {}}
        self.outside: Mapping[str, int] = {}
        self.order = 0
        self.final = False
        self.depth = 0
        self.expansions = 0
        self.in_prelude = False

    # -- running the text ---------------------------------------------------------------------

    def run(self, text: str, prelude: list[Stmt]) -> None:
        self.in_prelude = True
        self.block(prelude)
        if prelude and (self.at != self.base or self.labels or self.numeric):
            raise Located(
                Complaint("a prelude may hold macros and .equ only, nothing that takes room"),
                self.items[0].stmt if self.items else prelude[0],
            )
        self.in_prelude = False
        body = statements(text)
        self.block(body)
        if any(self.pools.values()):
            last = self.items[-1].stmt
            try:
                self.flush_pools(last)
            except Complaint as e:
                raise Located(e, last) from None

    def block(self, stmts: list[Stmt]) -> None:
        """Run statements; conditions and blocks must close within them."""
        conditions: list[list[Any]] = []  # [this branch runs, some branch has run, may run, stmt]
        live = True
        i = 0
        stmt: Stmt | None = None
        try:
            while i < len(stmts):
                stmt = stmts[i]
                i += 1
                self.budget.tick()
                text = stmt.text
                if text[0] == ".":
                    word = text.split(None, 1)[0].lower()
                    if word in IFS:
                        truth = live and self.condition(word, text[len(word) :], len(word))
                        conditions.append([truth, truth, live, stmt])
                        live = bool(truth)
                        continue
                    if word in (".else", ".elseif", ".endif"):
                        live = self.branch(word, text, conditions)
                        continue
                    if word in (".macro", ".rept", ".irp", ".irpc"):
                        end = self.find_end(stmts, i, word)
                        if live:
                            self.repeat(word, stmt, stmts[i:end])
                        i = end + 1
                        continue
                if live:
                    self.statement(stmt)
            if conditions:
                stmt = conditions[-1][3]
                raise Complaint("this condition has no .endif")
        except Complaint as e:
            raise Located(e, stmt) from None
        except RecursionError:
            raise Located(Complaint("macros are nested too deep"), stmt) from None

    def branch(self, word: str, text: str, conditions: list[list[Any]]) -> bool:
        if not conditions:
            raise Complaint(f"{word} without an .if before it")
        if word == ".endif":
            return bool(conditions.pop()[2])
        state = conditions[-1]
        if state[1] == "else":
            raise Complaint(f"{word} after .else")
        if word == ".else":
            state[0] = state[2] and not state[1]
            state[1] = "else"
        else:
            state[0] = state[2] and not state[1] and self.condition(".if", text[7:], 7)
            state[1] = state[1] or state[0]
        return bool(state[0])

    def find_end(self, stmts: list[Stmt], i: int, word: str) -> int:
        opens, close = ((".macro",), ".endm") if word == ".macro" else (
            (".rept", ".irp", ".irpc"), ".endr")  # fmt: skip
        depth = 1
        for j in range(i, len(stmts)):
            text = stmts[j].text
            if text[0] != ".":
                continue
            head = text.split(None, 1)[0].lower()
            if head in opens:
                depth += 1
            elif head == close or close == ".endm" and head == ".endmacro":
                depth -= 1
                if depth == 0:
                    return j
        raise Complaint(f"this {word} has no {close}")

    def condition(self, word: str, rest: str, at: int) -> bool:
        body = rest.strip()
        if word in (".ifdef", ".ifndef", ".ifnotdef"):
            if not NAME.fullmatch(body):
                raise Complaint(f"{word} needs a name", at)
            return (self.known(body)) == (word == ".ifdef")
        if word in (".ifb", ".ifnb"):
            return (not body) == (word == ".ifb")
        if word in (".ifc", ".ifnc"):
            parts = [p.strip() for p, _ in split_commas(rest)]
            if len(parts) != 2:
                raise Complaint(f"{word} needs two texts with a comma between", at)
            return (parts[0].strip("'\"") == parts[1].strip("'\"")) == (word == ".ifc")
        n = self.plain(rest, at, f"{word} must be known at this point")
        signed = n - (1 << 64) if n >> 63 > 0 else n
        return {
            ".if": signed != 0, ".ifne": signed != 0, ".ifeq": signed == 0, ".ifgt": signed > 0,
            ".ifge": signed >= 0, ".iflt": signed < 0, ".ifle": signed <= 0,
        }[word]  # fmt: skip

    def repeat(self, word: str, stmt: Stmt, body: list[Stmt]) -> None:
        rest = stmt.text[len(word) :].strip()
        if word == ".macro":
            macro = Macro(rest)
            macro.body = body
            if macro.name.lower() in self.macros:
                raise Complaint(f"macro {macro.name!r} is defined twice (.purgem forgets one)")
            self.macros[macro.name.lower()] = macro
            return
        self.enter()
        try:
            if word == ".rept":
                count = self.plain(
                    rest, len(word), "the count of .rept must be known at this point"
                )
                if not 0 <= count <= MAX_STATEMENTS:
                    raise Complaint(f".rept {count} is outside 0 to {MAX_STATEMENTS:,}", len(word))
                for _ in range(count):
                    self.budget.tick()
                    self.block(body)
                return
            name, _, values = rest.partition(",")
            if " " in name.strip():
                name, _, values = rest.partition(" ")
            name = name.strip()
            if not NAME.fullmatch(name):
                raise Complaint(f"{word} needs a name, a comma and values", len(word))
            if word == ".irpc":
                choices = list(values.strip().strip('"'))
            else:
                choices = macro_arguments(values) if values.strip() else [""]
            for choice in choices:
                self.budget.tick()
                self.block(substitute(body, {name: choice}, stmt, "", self.expansions))
        finally:
            self.depth -= 1

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.depth -= 1
            raise Complaint(
                f"macros and repetitions are nested more than {MAX_NESTING} deep: does a macro "
                "call itself without end?"
            )

    def call_macro(self, macro: Macro, rest: str, stmt: Stmt) -> None:
        self.enter()
        try:
            bound = macro.bind(rest)
            body = substitute(macro.body, bound, stmt, macro.name, self.expansions)
            self.expansions += 1
            self.block(body)
        except _ExitMacro:
            pass
        finally:
            self.depth -= 1

    def statement(self, stmt: Stmt) -> None:
        text = stmt.text
        self.order += 1
        start = 0
        while match := LABEL.match(text, start):
            self.label(match.group(1), stmt, start)
            start = match.end()
        if start == len(text):
            return
        match = ASSIGN.match(text, start)
        if match:
            self.assign(match.group(1), text[match.end() :], match.end(), stmt)
            return
        match = HEAD.match(text, start)
        if match is None:
            if text[start] == "#" and start == 0:
                raise Complaint(
                    "the C preprocessor does not run here: use .equ NAME, value for #define and "
                    ".if / .ifdef for #if"
                )
            raise Complaint(
                f"expected an instruction or a directive, not {text[start:][:20]!r}", start
            )
        word = match.group(1).lower()
        rest = text[match.end() :]
        macro = self.macros.get(word)
        if macro is not None:
            self.call_macro(macro, rest, stmt)
        elif word[0] == ".":
            self.directive(word, rest, match.end(), stmt)
        else:
            self.instruction(word, rest, match.end(), stmt)

    # -- names ----------------------------------------------------------------------------------

    def label(self, name: str, stmt: Stmt, at: int) -> None:
        if name.isdigit():
            self.numeric.setdefault(int(name), []).append((self.order, self.at))
            return
        if name in self.labels:
            first = self.labels[name][1]
            raise Complaint(f"label {name!r} is defined twice, first in line {first.line}", at)
        if name in self.equs:
            raise Complaint(f"{name!r} is already the name of a value (.equ)", at)
        for what, given in (("symbols", self.given_symbols), ("constants", self.constants)):
            if name in given:
                raise Complaint(f"{name!r} is already given from outside (among the {what})", at)
        if name.lower() in _encode.REGISTERS:
            raise Complaint(f"{name!r} is a register and cannot be a label", at)
        self.labels[name] = (self.at, stmt)

    def assign(self, name: str, text: str, at: int, stmt: Stmt) -> None:
        if name in self.labels:
            raise Complaint(f"{name!r} is already a label", None)
        if name == ".":
            raise Complaint(REFUSED[".org"])
        if name.lower() in _encode.REGISTERS:
            raise Complaint(f"{name!r} is a register and cannot name a value")
        try:
            value: Value | Deferred = self.value(text, at)
        except Unknown:
            value = Deferred(text, at, self.at, self.order)
        self.equs.setdefault(name, []).append((self.order, value))

    def known(self, name: str) -> bool:
        return (
            name in self.labels or name in self.equs or name in self.constants
            or name in self.given_symbols
        )  # fmt: skip

    def lookup(self, name: str, at: int) -> Value:
        if name == ".":
            return Value(self.at, 1)
        if name in self.labels:
            return Value(self.labels[name][0], 1)
        if name in self.equs:
            return self.equ_value(name, at)
        if name in self.constants:
            return Value(self.constants[name])
        if name in self.given_symbols:
            return Value(self.given_symbols[name], 1)
        local = LOCAL.match(name)
        if local:
            return self.local(int(local.group(1)), local.group(2), at)
        if self.final and name in self.outside:
            return Value(self.outside[name], 1)
        raise self.unknown(name, at)

    def equ_value(self, name: str, at: int) -> Value:
        history = self.equs[name]
        value = history[-1][1]
        for order, candidate in history:
            if order <= self.order:
                value = candidate
        if isinstance(value, Value):
            return value
        if value.busy:
            raise Complaint(f"{name!r} is defined by itself", at)
        value.busy = True
        here = self.at, self.order
        self.at, self.order = value.dot, value.order
        try:
            return self.value(value.text, value.at)
        except Complaint as e:
            kind = type(e)
            if kind is Unknown:
                e.at = at
                raise
            raise Complaint(f"in the value of {name!r}: {e.message}", at) from None
        finally:
            value.busy = False
            self.at, self.order = here

    def local(self, number: int, way: str, at: int) -> Value:
        found = None
        for order, addr in self.numeric.get(number, ()):
            if order <= self.order:
                found = addr if way == "b" else None
            elif way == "f":
                found = addr
                break
        if found is None:
            where = "before" if way == "b" else "after"
            e = Unknown(f"{number}{way}", at)
            e.message = f"there is no local label `{number}:` {where} this line"
            raise e
        return Value(found, 1)

    def unknown(self, name: str, at: int) -> Unknown:
        e = Unknown(name, at)
        if self.final:
            names = {*self.labels, *self.equs, *self.constants, *self.given_symbols, *self.outside}
            if len(name) < 100:
                close = difflib.get_close_matches(name, sorted(names), 1, 0.7)
                if close:
                    e.message += f"; did you mean {close[0]!r}?"
            if not close if len(name) < 100 else True:
                e.message += ": there is no label and no .equ of that name"
        return e

    def value(self, text: str, at: int) -> Value:
        return evaluate(text, self.lookup, at)

    def plain(self, text: str, at: int, why: str) -> int:
        """A number needed in this pass."""
        try:
            value = self.value(text.strip().removeprefix("#"), at)
        except Unknown as e:
            raise Complaint(
                f"{why}, and {e.name!r} is not defined before this line", e.at
            ) from None
        if value.places:
            raise Complaint("this must be a plain number, and it is an address", at)
        return value.n

    # -- room -----------------------------------------------------------------------------------

    def emit(self, size: int, kind: str, stmt: Stmt, payload: Any) -> Item:
        if self.at + size - self.base > MAX_CODE:
            raise Complaint(
                f"the output grows past {MAX_CODE >> 10} KiB ({self.at + size - self.base:,} bytes)"
            )
        item = Item(self.at, size, kind, stmt, self.order, payload)
        self.items.append(item)
        self.at += size
        return item

    def instruction(self, word: str, rest: str, at: int, stmt: Stmt) -> None:
        if self.at & 3:
            raise Complaint(
                f"an instruction must lie at a multiple of 4, and this would lie at {self.at:#x}: "
                "put `.balign 4` before it"
            )
        ops = _encode.operands(rest, at)
        size = 8 if word in ("adr_l", "ldr_l", "str_l") else 4
        item = self.emit(size, "insn", stmt, (word, ops, None))
        if len(ops) == 2 and ops[1][0].startswith("="):
            item.payload = (word, ops, self.literal(word, ops, item))

    def literal(self, word: str, ops: list[tuple[str, int]], item: Item) -> Literal:
        if word not in ("ldr", "ldrsw"):
            raise Complaint(f"`=value` is for ldr, not for {word}", ops[1][1])
        _, width = _encode.register(ops[0], "x" if word == "ldrsw" else "xw")
        size = 8 if width == "x" and word == "ldr" else 4
        text, at = ops[1][0][1:], ops[1][1] + 1
        if text.strip().startswith((":", "#:")):
            raise _encode.complain_relocation(at)
        if text.strip().startswith("#"):
            text, at = text.replace("#", "", 1), at + 1
        names: list[str] = []

        def note(name: str, where: int) -> Value:
            if name not in self.labels:
                try:
                    value = self.lookup(name, where)
                except Unknown:
                    value = None
                if value is not None and not value.places:
                    return value
            local = LOCAL.match(name)
            if local:
                count = sum(o <= item.order for o, _ in self.numeric.get(int(local.group(1)), ()))
                name = f"{name}{count}"
            names.append(name if name != "." else f".{self.at}")
            return Value(0, 1)

        try:
            value = evaluate(text, note, at)
            key = (tuple(names), value.n, value.places)
        except Complaint:
            key = (text, item.addr)  # the second pass says what is wrong, knowing all names
        pool = self.pools[size]
        if key not in pool:
            pool[key] = Literal(text, at, size, item)
        return pool[key]

    def flush_pools(self, stmt: Stmt) -> None:
        for size, pool in self.pools.items():
            if pool:
                self.pad(-self.at % size, None, stmt)
                for literal in pool.values():
                    literal.addr = self.at
                    self.emit(size, "literal", literal.first.stmt, literal)
                pool.clear()

    def pad(self, count: int, fill: bytes | None, stmt: Stmt) -> None:
        if count:
            self.emit(count, "bytes", stmt, fill if fill is not None else bytes(count))

    # -- directives -----------------------------------------------------------------------------

    def directive(self, word: str, rest: str, at: int, stmt: Stmt) -> None:
        if word in DATA:
            for text, where in _encode.operands(rest, at):
                self.emit(DATA[word], "data", stmt, (word, text, where))
            if not rest.strip():
                raise Complaint(f"{word} needs a value")
        elif word in (".equ", ".set", ".equiv"):
            name, comma, text = rest.partition(",")
            if not comma or not NAME.fullmatch(name.strip()):
                raise Complaint(f"{word} is written `{word} NAME, value`")
            self.assign(name.strip(), text, at + len(name) + 1, stmt)
        elif word in (".align", ".p2align", ".balign"):
            self.align(word, rest, at, stmt)
        elif word in (".ascii", ".asciz", ".string"):
            for text, where in _encode.operands(rest, at):
                data = string(text, where) + (b"" if word == ".ascii" else b"\0")
                self.emit(len(data), "bytes", stmt, data)
        elif word in (".zero", ".skip", ".space", ".fill"):
            self.space(word, rest, at, stmt)
        elif word in (".ltorg", ".pool"):
            self.flush_pools(stmt)
        elif word in IGNORED or word.startswith(".cfi_"):
            pass
        elif word in (".error", ".err"):
            raise Complaint(f"the text itself says: {rest.strip() or word}")
        elif word in (".warning", ".print"):
            pass
        elif word == ".exitm":
            if not stmt.via:
                raise Complaint(".exitm outside a macro")
            raise _ExitMacro
        elif word == ".purgem":
            if self.macros.pop(rest.strip().lower(), None) is None:
                raise Complaint(f"there is no macro {rest.strip()!r} to forget")
        elif word in (".endm", ".endmacro"):
            raise Complaint(f"{word} without a .macro before it")
        elif word == ".endr":
            raise Complaint(".endr without a .rept or .irp before it")
        elif word in REFUSED:
            raise Complaint(f"{word} is not taken: {REFUSED[word]}")
        else:
            close = difflib.get_close_matches(word, [*DIRECTIVES, *self.macros], 1, 0.7)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise Complaint(f"unknown directive {word!r}{hint}")

    def align(self, word: str, rest: str, at: int, stmt: Stmt) -> None:
        """Padding as GNU as does it in code: nops, after zeros up to a multiple of 4."""
        parts = [(p.strip(), at + o) for p, o in split_commas(rest)]
        n = self.plain(*parts[0], f"{word} must be known at this point") if parts[0][0] else -1
        if word == ".balign":
            step = n
            if n < 1 or n & (n - 1) or n > 1 << 20:
                raise Complaint(
                    f".balign needs a power of two up to 1 MiB, not {parts[0][0]!r}", at
                )
        else:
            if not 0 <= n <= 20:
                raise Complaint(
                    f"{word} N aligns to 2 to the power N, N from 0 to 20, not {parts[0][0]!r} "
                    "(`.balign 16` takes bytes)",
                    at,
                )
            step = 1 << n
        count = -self.at % step
        if len(parts) > 2 and parts[2][0]:
            if count > self.plain(*parts[2], f"{word} must be known at this point"):
                return
        if len(parts) > 1 and parts[1][0]:
            fill = self.plain(*parts[1], f"{word} must be known at this point") & 0xFF
            self.pad(count, bytes([fill]) * min(count, MAX_CODE), stmt)
            return
        zeros = -self.at % 4 if count >= 4 or not (self.at + count) & 3 else count
        zeros = min(zeros, count)
        self.pad(count, bytes(zeros) + NOP * ((count - zeros) // 4), stmt)

    def space(self, word: str, rest: str, at: int, stmt: Stmt) -> None:
        parts = [(p.strip(), at + o) for p, o in split_commas(rest)]
        why = f"the size of {word} must be known at this point"
        numbers = [self.plain(p, w, why) for p, w in parts if p]
        if not numbers or len(numbers) != len(parts) or len(numbers) > 2 + (word == ".fill"):
            raise Complaint(
                f"{word} is written `{word} {'count, size, value' if word == '.fill' else 'count'}`"
            )
        if word == ".fill":
            count, size, fill = numbers + [1, 0][len(numbers) - 1 :]
            if not 0 <= size <= 8:
                raise Complaint(".fill repeats units of 0 to 8 bytes", at)
        else:
            count, size, fill = numbers[0], 1, numbers[1] if len(numbers) > 1 else 0
        if not 0 <= count * size <= MAX_CODE:
            raise Complaint(f"{word} of {count * size:,} bytes is outside 0 to {MAX_CODE:,}", at)
        if word == ".fill":  # GNU as keeps the low 4 bytes of the value only
            unit = (fill & 0xFFFFFFFF).to_bytes(8, "little")[:size]
        else:
            unit = bytes([fill & 0xFF])
        if count * size:
            self.emit(count * size, "bytes", stmt, unit * count)


def string(text: str, at: int) -> bytes:
    """The bytes of a quoted string with C escapes."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise Complaint('expected a string in double quotes, "like this"', at)
    out = bytearray()
    body = text[1:-1]
    i = 0
    while i < len(body):
        c = body[i]
        if c != "\\":
            try:
                out += c.encode()
            except UnicodeEncodeError:
                raise Complaint("this string holds half a character", at) from None
            i += 1
            continue
        match = re.compile(r"[0-7]{1,3}|x[0-9a-fA-F]+").match(body, i + 1)
        if match:
            code = match.group()
            out.append(int(code[1:], 16) & 0xFF if code[0] == "x" else int(code, 8) & 0xFF)
            i = match.end()
        elif i + 1 < len(body) and body[i + 1] in ESCAPES:
            out.append(ESCAPES[body[i + 1]])
            i += 2
        else:
            raise Complaint(f"unknown escape {body[i : i + 2]!r} in this string", at)
    return bytes(out)


def data_bytes(layout: Layout, item: Item) -> tuple[bytes, bool]:
    """The bytes of a data item, and whether they hold an address that moves at boot."""
    word, text, at = item.payload
    value = layout.value(text, at)
    size = item.size
    return fit(value, size, word, text, at)


def fit(value: Value, size: int, word: str, text: str, at: int) -> tuple[bytes, bool]:
    if value.places and (value.places != 1 or size != 8):
        raise Complaint(
            f"{text.strip()!r} is an address, and {word} has {size * 8} bits: use .quad, or write "
            "the distance from another label (here - there)"
            if value.places == 1
            else f"{text.strip()!r} adds up addresses",
            at,
        )
    n = value.n
    if not -(1 << (8 * size - 1)) <= n < 1 << (8 * size):
        raise Complaint(f"{n:#x} does not fit in the {size * 8} bits of {word}", at)
    return (n & MASK64 & ((1 << (8 * size)) - 1)).to_bytes(size, "little"), value.places == 1
