"""The assembler's macro language: conditions, repetitions and macros, one statement at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from hypkit.asm.expressions import Complaint, signed
from hypkit.asm.source import NAME, Located, Macro, Stmt, macro_arguments, split_commas, substitute
from hypkit.asm.symbols import Names

MAX_STATEMENTS = 100_000  # statements run, macro bodies and repetitions counted each time
MAX_NESTING = 48
MAX_SECONDS = 4.0  # a guest of 2000 lines takes 0.1 s

HEAD = re.compile(r"([A-Za-z_.$][A-Za-z0-9_.$]*)\s*")
IFS = frozenset(
    ".if .ifdef .ifndef .ifnotdef .ifb .ifnb .ifc .ifnc .ifeq .ifne .ifgt .ifge .iflt .ifle".split()
)
REPEATS = (".rept", ".irp", ".irpc")


class Budget:
    """What all units of one link may spend together."""

    def __init__(self) -> None:
        self.statements = 0
        self.deadline = time.monotonic() + MAX_SECONDS

    def tick(self) -> None:
        self.statements += 1
        if self.statements > MAX_STATEMENTS:
            raise Complaint(
                f"more than {MAX_STATEMENTS:,} statements came out of this text; a .rept or a "
                "macro repeats too much"
            )
        self.check_time()

    def check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise Complaint(f"the assembler worked more than {MAX_SECONDS:g} s on this text")


@dataclass
class Condition:
    """An open .if: does the text around it run, has one of its parts run, is its .else past?"""

    stmt: Stmt
    outside: bool
    taken: bool
    past_else: bool = False


class _ExitMacro(Exception):
    pass


def nothing_after(word: str, rest: str, at: int) -> None:
    if rest.strip():
        raise Complaint(f"did not expect anything after {word}", at)


def _directive(text: str) -> str:
    """The directive that a statement is, "" if it is none."""
    match = HEAD.match(text) if text[0] == "." else None
    return match.group(1).lower() if match else ""


class Blocks(Names):
    """Runs the statements of one unit. What a single statement does is a layout's affair."""

    def __init__(
        self, base: int, symbols: Mapping[str, int], constants: Mapping[str, int], budget: Budget
    ):
        super().__init__(base, symbols, constants)
        self.budget = budget
        self.macros: dict[str, Macro] = {}
        self.depth = 0
        self.expansions = 0

    def statement(self, stmt: Stmt) -> None:
        raise NotImplementedError

    def block(self, stmts: list[Stmt]) -> None:
        """Run statements; conditions and blocks must close within them."""
        conditions: list[Condition] = []
        live = True
        i = 0
        stmt: Stmt | None = None
        try:
            while i < len(stmts):
                stmt = stmts[i]
                i += 1
                self.budget.tick()
                word = _directive(stmt.text)
                if word in IFS:
                    taken = live and self.condition(word, stmt.text[len(word) :], len(word))
                    conditions.append(Condition(stmt, live, taken))
                    live = taken
                elif word in (".else", ".elseif", ".endif"):
                    live = self.branch(word, stmt.text[len(word) :], conditions)
                elif word == ".macro" or word in REPEATS:
                    end = self.find_end(stmts, i, word)
                    if live:
                        self.define_or_repeat(word, stmt, stmts[i:end])
                    i = end + 1
                elif live:
                    self.statement(stmt)
            if conditions:
                stmt = conditions[-1].stmt
                raise Complaint("this condition has no .endif")
        except Complaint as e:
            raise Located(e, stmt) from None
        except RecursionError:
            raise Located(Complaint("macros are nested too deep"), stmt) from None

    def branch(self, word: str, rest: str, conditions: list[Condition]) -> bool:
        """Does the text after this .else, .elseif or .endif run?"""
        if not conditions:
            raise Complaint(f"{word} without an .if before it")
        if word != ".elseif":
            nothing_after(word, rest, len(word))
        if word == ".endif":
            return conditions.pop().outside
        here = conditions[-1]
        if here.past_else:
            raise Complaint(f"{word} after .else")
        live = here.outside and not here.taken
        if word == ".else":
            here.past_else = True
        else:
            live = live and self.condition(".if", rest, len(word))
        here.taken |= live
        return live

    def find_end(self, stmts: list[Stmt], i: int, word: str) -> int:
        opens, closes = (REPEATS, (".endr",)) if word in REPEATS else (
            (".macro",), (".endm", ".endmacro"))  # fmt: skip
        depth = 1
        for j in range(i, len(stmts)):
            head = _directive(stmts[j].text)
            depth += (head in opens) - (head in closes)
            if depth == 0:
                return j
        raise Complaint(f"this {word} has no {closes[0]}")

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
        n = signed(self.plain(rest, at, f"{word} must be known at this point"))
        return {
            ".if": n != 0, ".ifne": n != 0, ".ifeq": n == 0, ".ifgt": n > 0, ".ifge": n >= 0,
            ".iflt": n < 0, ".ifle": n <= 0,
        }[word]  # fmt: skip

    def define_or_repeat(self, word: str, stmt: Stmt, body: list[Stmt]) -> None:
        rest = stmt.text[len(word) :].lstrip()
        at = len(stmt.text) - len(rest)
        if word == ".macro":
            macro = Macro(rest, at, body)
            if macro.name.lower() in self.macros:
                raise Complaint(f"macro {macro.name!r} is defined twice (.purgem forgets one)")
            self.macros[macro.name.lower()] = macro
            return
        self.enter()
        try:
            if word == ".rept":
                self.repeat(rest, at, body)
            else:
                self.repeat_for_each(word, rest, at, stmt, body)
        finally:
            self.depth -= 1

    def repeat(self, rest: str, at: int, body: list[Stmt]) -> None:
        count = self.plain(rest, at, "the count of .rept must be known at this point")
        if not 0 <= count <= MAX_STATEMENTS:
            raise Complaint(f".rept {count} is outside 0 to {MAX_STATEMENTS:,}", at)
        for _ in range(count):
            self.budget.tick()
            self.block(body)

    def repeat_for_each(self, word: str, rest: str, at: int, stmt: Stmt, body: list[Stmt]) -> None:
        match = re.match(rf"({NAME.pattern})(?:\s*,|\s|$)\s*", rest)
        if match is None:
            raise Complaint(f"{word} needs a name, a comma and values", at)
        values = rest[match.end() :]
        if word == ".irpc":
            choices = list(values.strip('"'))
        else:
            choices = macro_arguments(values, at + match.end()) if values else [""]
        for choice in choices:
            self.budget.tick()
            bound = {match.group(1): choice}
            self.block(substitute(body, bound, stmt, "", self.expansions))

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.depth -= 1
            raise Complaint(
                f"macros and repetitions are nested more than {MAX_NESTING} deep: does a macro "
                "call itself without end?"
            )

    def call_macro(self, macro: Macro, rest: str, at: int, stmt: Stmt) -> None:
        self.enter()
        try:
            bound = macro.bind(rest, at)
            body = substitute(macro.body, bound, stmt, macro.name, self.expansions)
            self.expansions += 1
            self.block(body)
        except _ExitMacro:
            pass
        finally:
            self.depth -= 1

    def exit_macro(self, stmt: Stmt) -> None:
        if not stmt.via:
            raise Complaint(".exitm outside a macro")
        raise _ExitMacro
