"""The classes of outcome of a hostile call, found by what happened and not by what was expected."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hypkit.emu import Machine
from hypkit.kernel.addresses import image_pa
from hypkit.kernel.memory_map import SECTION
from hypkit.machine.hooks.watch_state import F, R


class Outcome(enum.IntEnum):
    """What a call came to, the worst last: of two that are both true of a call, the later one."""

    HANDLED = 0
    REFUSED = enum.auto()
    STUB = enum.auto()
    DENIED = enum.auto()  # a call of the ABI, refused
    PANIC = enum.auto()
    LOST = enum.auto()  # it did not come back: an endless loop, or the host itself went astray
    CLOBBERED = enum.auto()
    OTHER = enum.auto()
    EL2_CHANGED = enum.auto()
    MID_FUNCTION = enum.auto()
    FOREIGN_CODE = enum.auto()

    @property
    def words(self) -> str:
        """Return the class in words."""
        return _WORDS[self]


_WORDS = {
    Outcome.HANDLED: "handled",
    Outcome.REFUSED: "refused",
    Outcome.STUB: "stub call",
    Outcome.DENIED: "a valid call refused",
    Outcome.PANIC: "panic",
    Outcome.CLOBBERED: "host registers clobbered",
    Outcome.OTHER: "another function reached",
    Outcome.EL2_CHANGED: "EL2 state changed",
    Outcome.MID_FUNCTION: "entered mid-function",
    Outcome.FOREIGN_CODE: "code run that is no hyp text",
    Outcome.LOST: "lost",
}


@dataclass(frozen=True)
class Verdict:
    """One call's class, what makes it one, and whose doing it is.

    Attributes:
        outcome: the class.
        detail: the function and place that it is about, or "".
        by_arguments: whether the function that was asked for did it with the arguments that it was
            given; False where the way to the function is at fault.
        leaked: whether a hyp address that the host did not send was left in x0 to x18.
    """

    outcome: Outcome
    detail: str
    by_arguments: bool
    leaked: bool

    @property
    def sound(self) -> bool:
        """Return whether a dispatcher may let this happen: it keeps to the calls of the ABI."""
        return self.by_arguments or self.outcome in (Outcome.HANDLED, Outcome.REFUSED, Outcome.STUB)

    def __repr__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"Verdict({self.outcome.words}{detail})"


class Classifier:
    """Turns the records of one machine's calls into verdicts."""

    def __init__(self, machine: Machine) -> None:
        self._machine, image, layout = machine, machine.image, machine.layout
        variant = image.variant
        calls: Mapping[str, int] = variant.numbers or {
            name: machine.x0_of(name) for name in variant.calls
        }
        self._handler_of = {number: layout.hyp_va(image.pa(name)) for name, number in calls.items()}
        self._text = SECTION[".hyp.text"]
        self._idmap = SECTION[".hyp.idmap.text"]
        first = layout.hyp_va(self._text.pa)
        self._text_range = range(first, first + self._text.size)
        self._labels = {
            layout.hyp_va(image.pa(name)) for name in image.symbols if self._in_text(name)
        }
        self._functions = {layout.hyp_va(image.pa(name)) for name in variant.calls}
        start = layout.hyp_va(image_pa(image.dispatcher.base))
        self._own = range(start, start + len(image.dispatcher.code))

    def _in_text(self, name: str) -> bool:
        return 0 <= self._machine.image.pa(name) - self._text.pa < self._text.size

    def own(self, address: int) -> bool:
        """Return whether a hyp address is the dispatcher's own code."""
        return address in self._own

    def expected(self, x0: int) -> int | None:
        """Return the hyp address of the function that the ABI has for *x0*, None where it has
        none."""
        return self._handler_of.get(x0)

    def kinds(self, requests: np.ndarray, records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (the first call of each kind, of every call its kind); a kind went the same way.

        requests: uint64, shape (n, 7); records: uint64, shape (n, R.SIZE).
        """
        numbers = np.array(sorted(self._handler_of), dtype=np.uint64)
        places = np.searchsorted(numbers, requests[:, 0]).clip(0, len(numbers) - 1)
        asked = np.where(numbers[places] == requests[:, 0], places + 1, 0)
        aborted = records[:, R.FLAGS] & np.uint64(F.ABORT) != 0
        wrote = records[:, R.FLAGS] & np.uint64(F.WROTE) != 0
        page = records[:, R.WHERE] >> np.uint64(12)
        keys = np.column_stack(
            [
                records[:, (R.WAY, R.TARGET, R.FLAGS)],
                np.where(aborted, records[:, R.WHERE], np.where(wrote, page, 0)),
                asked.astype(np.uint64),
            ]
        )
        # One number a row: np.unique of rows sorts them as bytes, which takes ten times as long.
        mixed = np.zeros(len(keys), dtype=np.uint64)
        for column in keys.T:
            mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        _, first, kind = np.unique(mixed, return_index=True, return_inverse=True)
        return first, kind

    def verdict(self, request: np.ndarray, record: np.ndarray, transfer: int | None) -> Verdict:
        """Judge one call.

        transfer: where its dispatcher branched to, if that is in the vectors or the dispatcher
        itself (no block of another program was executed), else None.
        """
        flags = F(int(record[R.FLAGS]))
        target = int(record[R.TARGET]) or transfer or 0
        asked = self.expected(int(request[0]))
        outcome, detail = self._reached(target, asked)
        by_arguments = outcome is Outcome.HANDLED
        symbolize = self._machine.image.symbolize
        if outcome is not Outcome.STUB:
            if flags & (F.ABORT | F.PANICKED) and outcome < Outcome.PANIC:
                at = int(record[R.WHERE]) if flags & F.ABORT else 0
                where = symbolize(at) if at else None
                by_arguments = by_arguments and where is not None
                outcome = Outcome.PANIC
                detail = f"at {where}" if where else "at no address of the text"
            if flags & (F.RUNAWAY | F.STOPPED) and outcome < Outcome.LOST:
                outcome = Outcome.LOST
            if flags & F.CLOBBERED and outcome < Outcome.CLOBBERED:
                outcome, detail, by_arguments = Outcome.CLOBBERED, detail, False
            if flags & F.STATE and outcome < Outcome.EL2_CHANGED:
                outcome, by_arguments = Outcome.EL2_CHANGED, False
                detail = "a register of EL2's"
            elif flags & F.WROTE and (by_arguments or outcome < Outcome.CLOBBERED):
                where = symbolize(int(record[R.WHERE])) or hex(int(record[R.WHERE]))
                outcome, detail = Outcome.EL2_CHANGED, f"wrote {where.partition('+')[0]}"
        return Verdict(outcome, detail, by_arguments, bool(flags & F.LEAKED))

    def _reached(self, target: int, asked: int | None) -> tuple[Outcome, str]:
        if not target:
            return (Outcome.REFUSED, "") if asked is None else (Outcome.DENIED, "")
        name = self._machine.image.symbolize(target) or hex(target)
        if 0 <= target - self._idmap.pa < self._idmap.size:
            return Outcome.STUB, name
        if target == asked:
            return Outcome.HANDLED, name
        if target not in self._text_range:
            return Outcome.FOREIGN_CODE, name
        if target in self._labels:
            return Outcome.OTHER, name
        return Outcome.MID_FUNCTION, name
