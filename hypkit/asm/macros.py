"""The assembler's macro language: conditions, repetitions and macros, one statement at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hypkit.asm.budget import MAX_STATEMENTS, Budget
from hypkit.asm.expressions import Complaint, signed
from hypkit.asm.source import (
    NAME,
    Located,
    Macro,
    Stmt,
    macro_arguments,
    scrubbed,
    substitute,
    without_characters,
)
from hypkit.asm.symbols import Symbols

MAX_NESTING = 48

HEAD = re.compile(r"([A-Za-z_.$][A-Za-z0-9_.$]*)\s*")
IFS = frozenset(
    ".if .ifdef .ifndef .ifnotdef .ifb .ifnb .ifc .ifnc .ifeq .ifne .ifgt .ifge .iflt .ifle".split()
)
REPEATS = (".rept", ".irp", ".irpc")


@dataclass
class Condition:
    """An open .if: whether the text around it runs, one of its parts has run, its .else is past."""

    stmt: Stmt
    outside: bool
    taken: bool
    past_else: bool = False


class _Exit(Exception):
    """An .exitm on its way to the repetition or macro that it ends."""


def nothing_after(word: str, rest: str, at: int) -> None:
    """Raise Complaint if a directive that takes nothing has something."""
    if rest.strip():
        raise Complaint(f"did not expect anything after {word}", at)


def _directive(text: str) -> str:
    """The directive that a statement is, "" if it is none."""
    match = HEAD.match(text) if text[0] == "." else None
    return match.group(1).lower() if match else ""


class Expander:
    """Runs the statements of one unit through conditions, repetitions and macros.

    What is left, labels, directives and instructions, goes to `run`, one statement at a time.
    """

    def __init__(self, symbols: Symbols, budget: Budget, run: Callable[[Stmt], None]):
        self.symbols, self.budget, self.run = symbols, budget, run
        self.macros: dict[str, Macro] = {}
        self.depth = 0
        self.expansions = 0

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
                self.budget.tick(len(stmt.text))
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
                    self.run(stmt)
            if conditions:
                stmt = conditions[-1].stmt
                raise Complaint("this condition has no .endif")
        except Complaint as e:
            raise Located(e, stmt) from None
        except RecursionError:
            raise Located(Complaint("macros are nested too deep"), stmt) from None

    def branch(self, word: str, rest: str, conditions: list[Condition]) -> bool:
        """Return whether the text after this .else, .elseif or .endif runs."""
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
        """Return the place of the .endm or .endr that closes a block opened before `i`."""
        opens, closes = (REPEATS, (".endr",)) if word in REPEATS else (
            (".macro",), (".endm", ".endmacro"))  # fmt: skip
        depth = 1
        for j in range(i, len(stmts)):
            head = _directive(stmts[j].text)
            depth += (head in opens) - (head in closes)
            if depth == 0:
                self.budget.spend(j - i)
                return j
        raise Complaint(f"this {word} has no {closes[0]}")

    def condition(self, word: str, rest: str, at: int) -> bool:
        """Return whether the condition of an .if and its like holds."""
        body = rest.strip()
        if word in (".ifdef", ".ifndef", ".ifnotdef"):
            if not NAME.fullmatch(body):
                raise Complaint(f"{word} needs a name", at)
            return self.symbols.known(body) == (word == ".ifdef")
        if word in (".ifb", ".ifnb"):
            return (not body) == (word == ".ifb")
        if word in (".ifc", ".ifnc"):
            # GNU as parts the texts at the first comma, and a string or a bracket hides none.
            left, comma, right = scrubbed(rest, at).partition(",")
            if not comma:
                raise Complaint(f"{word} needs two texts with a comma between", at)
            return (left.strip() == right.strip()) == (word == ".ifc")
        n = signed(self.symbols.plain(rest, at, f"{word} must be known at this point"))
        return {
            ".if": n != 0, ".ifne": n != 0, ".ifeq": n == 0, ".ifgt": n > 0, ".ifge": n >= 0,
            ".iflt": n < 0, ".ifle": n <= 0,
        }[word]  # fmt: skip

    def define_or_repeat(self, word: str, stmt: Stmt, body: list[Stmt]) -> None:
        """Define a .macro, or run a .rept, .irp or .irpc."""
        rest = stmt.text[len(word) :].lstrip()
        at = len(stmt.text) - len(rest)
        if word == ".macro":
            macro = Macro(rest, at, body, stmt.prelude)
            there = self.macros.get(macro.name.lower())
            if there is not None and there.prelude:
                raise Complaint(
                    f"the kit brings the macro {there.name!r} along (`{there.usage}`): leave yours "
                    f"out, or put `.purgem {there.name}` before it to use your own"
                )
            if there is not None:
                raise Complaint(f"macro {macro.name!r} is defined twice (.purgem forgets one)")
            self.macros[macro.name.lower()] = macro
            return
        self.enter()
        try:
            if word == ".rept":
                self.repeat(rest, at, body)
            else:
                self.repeat_for_each(word, rest, at, stmt, body)
        except _Exit:
            pass  # .exitm ends the innermost repetition or macro, with all rounds to come
        finally:
            self.depth -= 1

    def repeat(self, rest: str, at: int, body: list[Stmt]) -> None:
        """Run the body of a .rept."""
        count = self.symbols.plain(rest, at, "the count of .rept must be known at this point")
        if not 0 <= count <= MAX_STATEMENTS:
            raise Complaint(f".rept {count} is outside 0 to {MAX_STATEMENTS:,}", at)
        for _ in range(count):
            self.budget.tick()
            self.block(body)

    def repeat_for_each(self, word: str, rest: str, at: int, stmt: Stmt, body: list[Stmt]) -> None:
        """Run the body of an .irp or .irpc."""
        match = re.match(rf"({NAME.pattern})(?:\s*,|\s|$)\s*", rest)
        if match is None:
            raise Complaint(f"{word} needs a name, a comma and values", at)
        values = rest[match.end() :]
        if word == ".irpc":
            choices: Iterable[str] = _characters(without_characters(values, at + match.end()))
        else:
            choices = macro_arguments(values, at + match.end()) if values else [""]
        size = sum(len(stmt.text) for stmt in body)
        for choice in choices:
            self.budget.tick(size)
            bound = {match.group(1): choice}
            self.block(substitute(body, bound, stmt, "", self.expansions))

    def enter(self) -> None:
        """Go one level deeper. Raises Complaint where it is too deep."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.depth -= 1
            raise Complaint(
                f"macros and repetitions are nested more than {MAX_NESTING} deep: does a macro "
                "call itself without end?"
            )

    def call_macro(self, macro: Macro, rest: str, at: int, stmt: Stmt) -> None:
        """Run a macro's body with the arguments of this call."""
        self.enter()
        try:
            bound = macro.bind(rest, at)
            self.budget.spend(macro.size)
            body = substitute(macro.body, bound, stmt, macro.name, self.expansions)
            self.expansions += 1
            self.block(body)
        except _Exit:
            pass
        finally:
            self.depth -= 1

    def exit(self) -> None:
        """End the innermost repetition or macro (.exitm)."""
        if not self.depth:
            raise Complaint(".exitm outside a macro or a repetition")
        raise _Exit


def _characters(values: str) -> Iterator[str]:
    """Yield the choices of an .irpc as GNU as does: blanks count inside quotes only, and nothing
    at all is one empty choice."""
    if not values:
        yield ""
    quoted = values.startswith('"')
    place, end = int(quoted), len(values)
    while place < end:
        if values[place] == '"':
            quoted = not quoted
            if not values[place + 1 :].strip():
                return
        yield values[place]
        place += 1
        while not quoted and place < end and values[place] in " \t":
            place += 1
