"""The places that a question about a trace can name, with words for them."""

from __future__ import annotations

from collections.abc import Iterable

from hypkit.a64 import sysregs
from hypkit.a64.registers import REGISTERS
from hypkit.errors import (
    UnknownName,
    WrongIndex,
    WrongType,
    WrongValue,
    did_you_mean,
    expected,
    is_whole,
    whole,
)
from hypkit.trace.columns import Columns
from hypkit.trace.dataflow import Bytes, Dataflow, Place


class Walk:
    """A trace with words for its places."""

    def __init__(self, trace: Columns, flow: Dataflow) -> None:
        self.trace, self.flow, self.image = trace, flow, trace.image

    def place(self, name: object, row: object, size: object) -> tuple[Place, int, str]:
        """Return the place that a caller means, the row, and both in words.

        Raises UnknownName, WrongType, WrongValue and WrongIndex for what is none.
        """
        at = _number("the number of a step", row)
        if not 0 <= at < len(self.trace.pcs):
            raise WrongIndex(
                expected(f"a step from 0 to {len(self.trace)}, where the last is the end", row)
            )
        many = _number("a size", size)
        if not 1 <= many <= 4096:
            raise WrongValue(expected("a size of 1 to 4096 bytes", size))
        when = f"before step {at}" if at < len(self.trace) else "at the end"
        if not isinstance(name, str):
            va = _number("a register's name or an address", name)
            pa = self.flow.physical(va)
            if pa is None:
                raise WrongValue(expected("an address of this machine's kernel or VM", f"{va:#x}"))
            return Bytes(pa, many), at, f"{self.memory(va)} {when}"
        known = self._register(name, at)
        if known is not None:
            return known, at, f"{name.lower() if known in REGISTERS else name} {when}"
        if name in self.image.symbols:
            return Bytes(self.image.pa(name), 8), at, f"{name} {when}"
        names = [*REGISTERS, "pc", "nzcv", *self.trace.sysregs, *self.image.symbols]
        raise UnknownName(
            expected("a register, a system register, a label or an address", name)
            + did_you_mean(name, names)
        )

    def _register(self, name: str, row: int) -> Place | None:
        low = name.lower()
        low = {"lr": "x30", "fp": "x29", "pstate": "nzcv"}.get(low, low)
        if low[:1] == "w" and f"x{low[1:]}" in REGISTERS:
            low = f"x{low[1:]}"
        if low == "sp":
            return self.flow.stack(row)
        if low in REGISTERS or low in ("nzcv", "pc", "sp_el1", "sp_el2"):
            return low
        found = next((known for known in sysregs.SYSREGS if known.lower() == low), None)
        return found

    def memory(self, address: int) -> str:
        """Name a byte: its label, or its address."""
        return self.image.symbolize(address) or f"{address:#x}"

    def named(self, place: Place) -> str:
        """Name a place."""
        return place if isinstance(place, str) else self.memory(place.pa)

    def value(self, place: Place, row: int) -> int | None:
        """Return what is in a place before a row, None where the trace does not hold it."""
        trace = self.trace
        if isinstance(place, Bytes):
            return None
        if place in REGISTERS:
            return trace.register(place, row)
        if place == "pc":
            return int(trace.pcs[row])
        if place == "nzcv":
            return trace.register("pstate", row) >> 28 & 15
        if place.startswith("sp_el"):
            return trace.register("sp", row) if self.flow.stack(row) == place else None
        names = list(trace.sysregs)
        if place not in names:
            return None
        news = trace.sysreg_changes
        news = news[(news["register"] == names.index(place)) & (news["step"] < row)]
        return int(news["value"][-1]) if len(news) else trace.sysregs[place]

    def meaning(self, value: int | None) -> str:
        """Say whose address a value is."""
        if value is None:
            return ""
        space, name = self.image.layout.space(value), self.image.symbolize(value)
        return f"{space} address of {name}" if space and name else ""

    def notes(self, steps: Iterable[int]) -> tuple[str, ...]:
        """Say which steps accessed memory that nothing here follows."""
        return tuple(
            f"what step {step}, {self.flow.instruction(step).text()}, did to memory"
            for step in list(steps)[:3]
        )


def _number(what: str, value: object) -> int:
    if not is_whole(value):
        raise WrongType(expected(what, value))
    return whole(what, value)
