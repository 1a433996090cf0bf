"""What names mean in one unit: labels, numeric labels, .equ values, names given from outside."""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections.abc import Mapping
from operator import itemgetter

from hypkit.asm.budget import Budget
from hypkit.asm.canonical import REGISTERS
from hypkit.asm.expressions import Complaint, Unknown, Value, check_syntax, evaluate
from hypkit.asm.source import Stmt

LOCAL = re.compile(r"(\d+)([bf])$", re.ASCII)
MAX_CHAIN = 32


class Deferred:
    """The expression of an .equ that names something defined later."""

    def __init__(self, text: str, at: int, dot: int, order: int):
        self.text, self.at, self.dot, self.order = text, at, dot, order
        self.busy = False
        self.value: Value | None = None


class Symbols:
    """The names of a unit, and the place (address and statement) from which they are seen."""

    def __init__(
        self, at: int, symbols: Mapping[str, int], constants: Mapping[str, int], budget: Budget
    ):
        self.budget = budget
        self.at = at  # the address of the statement at hand: what `.` means
        self.order = 0  # its number: says what 1b, 1f and a .set that changes mean
        self.symbols, self.constants = symbols, constants
        self.labels: dict[str, tuple[int, Stmt]] = {}
        self.numeric: dict[str, list[tuple[int, int]]] = {}
        self.equs: dict[str, list[tuple[int, Value | Deferred]]] = {}
        self.fixed: set[str] = set()  # given by .equiv
        self.outside: Mapping[str, int] = {}  # labels of other units
        self.depth_of_equ = 0
        self.final = False  # second pass: every name has its value

    def label(self, name: str, stmt: Stmt, at: int) -> None:
        """Define a label here. Raises Complaint where the name is taken."""
        if name.isdigit():
            self.numeric.setdefault(name.lstrip("0"), []).append((self.order, self.at))
            return
        if name in self.labels:
            first = self.labels[name][1]
            raise Complaint(f"label {name!r} is defined twice, first in line {first.line}", at)
        if name in self.equs:
            raise Complaint(f"{name!r} is already the name of a value (.equ)", at)
        for what, given in (("symbols", self.symbols), ("constants", self.constants)):
            if name in given:
                raise Complaint(f"{name!r} is already given from outside (among the {what})", at)
        if name.lower() in REGISTERS:
            raise Complaint(f"{name!r} is a register and cannot be a label", at)
        self.labels[name] = (self.at, stmt)

    def assign(self, name: str, text: str, at: int, once: bool = False) -> None:
        """Give a name its (next) value; `once` (.equiv): it may have no other."""
        if name in self.labels:
            raise Complaint(f"{name!r} is already a label", None)
        if once and name in self.equs or name in self.fixed:
            first = "" if once else " by .equiv"
            raise Complaint(
                f"{name!r} has a value already{first}, and .equiv gives one that never changes"
            )
        if name == ".":
            raise Complaint("`.` cannot be set: use `.space N` to leave room")
        if name.lower() in REGISTERS:
            raise Complaint(f"{name!r} is a register and cannot name a value")
        try:
            value: Value | Deferred = self.value(text, at)
        except Unknown:
            check_syntax(text, at)
            value = Deferred(text, at, self.at, self.order)
        self.equs.setdefault(name, []).append((self.order, value))
        if once:
            self.fixed.add(name)

    def known(self, name: str) -> bool:
        """Return whether a name is defined so far, as .ifdef asks."""
        return (
            name in self.labels or name in self.equs or name in self.constants
            or name in self.symbols
        )  # fmt: skip

    def lookup(self, name: str, at: int) -> Value:
        """Return what a name means here. Raises Unknown where it means nothing (yet)."""
        if name == ".":
            return Value(self.at, 1)
        if name in self.labels:
            return Value(self.labels[name][0], 1)
        if name in self.equs:
            return self.equ_value(name, at)
        if name in self.constants:
            return Value(self.constants[name])
        if name in self.symbols:
            return Value(self.symbols[name], 1)
        local = LOCAL.match(name)
        if local:
            return self.local(local.group(1), local.group(2), at)
        if self.final and name in self.outside:
            return Value(self.outside[name], 1)
        raise self.unknown(name, at)

    def equ_value(self, name: str, at: int) -> Value:
        """Return the value that a name of .equ, .set or `=` has here."""
        history = self.equs[name]
        # The last one so far; before the first, the first that comes, as in GNU as.
        past = bisect_right(history, self.order, key=itemgetter(0))
        if not past and name in self.constants:
            return Value(self.constants[name])
        value = history[max(past - 1, 0)][1]
        if isinstance(value, Value):
            return value
        if value.value is not None:
            return value.value
        if value.busy:
            raise Complaint(f"{name!r} is defined by itself", at)
        if self.depth_of_equ >= MAX_CHAIN:
            raise Complaint(f"{name!r} leads through more than {MAX_CHAIN} other .equ", at)
        value.busy = True
        self.depth_of_equ += 1
        here = self.at, self.order
        self.at, self.order = value.dot, value.order
        try:
            result = self.value(value.text, value.at)
            value.value = result
            return result
        except Complaint as e:
            kind = type(e)
            if kind is Unknown:
                e.at = at
                raise
            if e.message.startswith("in the value of"):
                e.at = at
                raise
            raise Complaint(f"in the value of {name!r}: {e.message}", at) from None
        finally:
            value.busy = False
            self.depth_of_equ -= 1
            self.at, self.order = here

    def passed(self, number: str) -> int:
        """Return how many local labels of that number stand before this place."""
        return bisect_right(self.numeric.get(number.lstrip("0"), []), self.order, key=itemgetter(0))

    def local(self, number: str, way: str, at: int) -> Value:
        """Return the address that `1b` or `1f` means here."""
        places = self.numeric.get(number.lstrip("0"), [])
        index = self.passed(number) - (way == "b")
        if not 0 <= index < len(places):
            where = "before" if way == "b" else "after"
            e = Unknown(f"{number}{way}", at)
            e.message = f"there is no local label `{number[:60]}:` {where} this line"
            raise e
        return Value(places[index][1], 1)

    def unknown(self, name: str, at: int) -> Unknown:
        """Return the complaint about a name that means nothing here."""
        e = Unknown(name, at)
        if self.final:
            names = {*self.labels, *self.equs, *self.constants, *self.symbols, *self.outside}
            close = difflib.get_close_matches(name[:80], sorted(names), 1, 0.7)
            e.message += (
                f"; did you mean {close[0]!r}?"
                if close
                else ": there is no label and no .equ of that name"
            )
        return e

    def value(self, text: str, at: int) -> Value:
        """Return the value of an expression, seen from this place."""
        self.budget.spend(len(text))
        return evaluate(text, self.lookup, at)

    def plain(self, text: str, at: int, why: str) -> int:
        """Return a number that is needed in this pass; `why` says for what."""
        try:
            value = self.value(text, at)
        except Unknown as e:
            raise Complaint(
                f"{why}, and {e.name!r} is not defined before this line", e.at
            ) from None
        if value.places:
            raise Complaint("this must be a plain number, and it is an address", at)
        return value.n

    def exports(self) -> dict[str, int]:
        """Return the addresses that other units may see; no more names are defined after this."""
        self.final = True
        out = {name: at for name, (at, _) in self.labels.items()}
        for name, history in self.equs.items():
            if name in self.symbols:
                continue
            self.order = history[-1][0]
            try:
                value = self.equ_value(name, 0)
            except Complaint:
                continue  # of another unit's names, or wrong: told where it is used
            if value.places == 1:
                out[name] = value.n
        return {name: at for name, at in out.items() if not name.startswith(".L")}
