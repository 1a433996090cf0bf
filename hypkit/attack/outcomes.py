"""The classes of outcome of a hostile call, found by what happened and not by what was expected."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.attack.ground import Ground
from hypkit.machine.hooks.watch_state import NAMED, F, R

if TYPE_CHECKING:
    from hypkit.trace import Trace

_MSR_SCTLR_EL2, _RT = 0xD51C1000, 31  # C5.2 and D19.2 of the Arm ARM: MSR SCTLR_EL2, <Xt>


class Outcome(enum.IntEnum):
    """What a call came to, the worst last: of two that are both true of a call, the later one."""

    HANDLED = 0
    REFUSED = enum.auto()
    LEAKED = enum.auto()  # handled or refused, and the host learns where EL2 has something
    STUB = enum.auto()
    DENIED = enum.auto()  # a call of the ABI, refused
    PANIC = enum.auto()
    LOST = enum.auto()  # it did not come back: an endless loop, or the host itself went astray
    CLOBBERED = enum.auto()
    OTHER = enum.auto()
    EL2_CHANGED = enum.auto()
    MID_FUNCTION = enum.auto()
    RESTARTED = enum.auto()  # SCTLR_EL2.M was cleared, and EL2 went to an address it was sent
    REBOOTED = enum.auto()  # EL2 or the host went to the kernel's entry, and it starts again
    FOREIGN_CODE = enum.auto()

    @property
    def words(self) -> str:
        """Return the class in words."""
        return _WORDS[self]


_WORDS = {
    Outcome.HANDLED: "handled",
    Outcome.REFUSED: "refused",
    Outcome.LEAKED: "hyp address leaked",
    Outcome.STUB: "stub call",
    Outcome.DENIED: "a valid call refused",
    Outcome.PANIC: "panic",
    Outcome.CLOBBERED: "host registers clobbered",
    Outcome.OTHER: "another function reached",
    Outcome.EL2_CHANGED: "EL2 state changed",
    Outcome.MID_FUNCTION: "entered mid-function",
    Outcome.RESTARTED: "EL2 restarted where the host says",
    Outcome.REBOOTED: "the kernel started again",
    Outcome.FOREIGN_CODE: "code run that is no hyp text",
    Outcome.LOST: "lost",
}


AGAIN = (Outcome.RESTARTED, Outcome.REBOOTED)
SOUND = (Outcome.HANDLED, Outcome.REFUSED, Outcome.LEAKED, Outcome.STUB)


def sent(request: Sequence[int]) -> tuple[int, ...]:
    """Return a request, x0 to x6, without the zeros at its end; x0 stays."""
    last = max((n for n, value in enumerate(request) if value), default=0)
    return tuple(request[: last + 1])


def code_of(request: Sequence[int]) -> str:
    """Return the line of Python that makes a request on a machine m."""
    return f"m.hvc({', '.join(f'{value:#x}' for value in sent(request))})"


def restarted(trace: Trace, request: Sequence[int]) -> int | None:
    """Return the row at which a recorded call has EL2 go on, its MMU off, where the host says.

    That is where EL2 cleared SCTLR_EL2.M and then is at an address of *request*, x0 to x6; None
    where it did neither.
    """
    mmu = True
    for step in trace:
        if step.el != 2:
            continue
        if not mmu:
            # Where nothing can be fetched there is no step: only the abort, or the end, has it.
            taken, after = trace.exceptions.get(step.index), step.index + 1
            goal = taken.elr if taken else int(trace.pcs[after])
            if int(trace.els[after]) == 2 and goal in request:
                return after
        if step.word & ~_RT == _MSR_SCTLR_EL2:
            source = step.word & _RT
            mmu = source != _RT and bool(step.regs[f"x{source}"] & 1)
    return None


@dataclass(frozen=True)
class Verdict:
    """One call's class, what makes it one, and whose doing it is.

    Attributes:
        outcome: the class.
        detail: the function and place that it is about, or "".
        by_arguments: whether the function that was asked for did it with the arguments that it was
            given; False where the way to the function is at fault.
        leaked: whether a hyp address that the host did not have is in x0 to x18 afterwards.
    """

    outcome: Outcome
    detail: str
    by_arguments: bool
    leaked: bool

    @property
    def sound(self) -> bool:
        """Return whether a dispatcher may let this happen: it keeps to the calls of the ABI.

        A leak is sound as far as it goes: x0 to x18 are the callee's, and an ABI that gives more of
        them back (SMCCC) has the call that does not in CLOBBERED.
        """
        return self.by_arguments or self.outcome in SOUND

    def __repr__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"Verdict({self.outcome.words}{detail})"


class Classifier:
    """Turns the records of one machine's calls into verdicts."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._handler_of = ground.functions
        self._guarded = tuple(ground.guarded)

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
        page = records[:, R.WROTE] >> np.uint64(12)
        keys = np.column_stack(
            [
                records[:, (R.WAY, R.TARGET, R.FLAGS, R.REGISTER)],
                np.where(aborted, records[:, R.WHERE], 0),
                np.where(wrote, page, 0),
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
        if flags & (F.RESTARTED | F.REBOOTED) and outcome < Outcome.RESTARTED:
            # The stub call is there for this: what enters its handler at the start asked for it.
            leaked = bool(flags & F.LEAKED)
            asked_for = outcome is Outcome.STUB and "+" not in detail
            asked_for |= outcome is Outcome.HANDLED and bool(flags & F.REBOOTED)
            again = Outcome.REBOOTED if flags & F.REBOOTED else Outcome.RESTARTED
            return Verdict(again, detail, asked_for, leaked)
        by_arguments = outcome is Outcome.HANDLED
        symbolize = self._ground.image.symbolize
        if outcome is not Outcome.STUB:
            if flags & (F.ABORT | F.PANICKED) and outcome < Outcome.PANIC:
                at = int(record[R.WHERE]) if flags & F.ABORT else 0
                where = symbolize(at) if at else None
                by_arguments = by_arguments and where is not None
                outcome = Outcome.PANIC
                detail = f"at {where}" if where else "at no address of the text"
            if flags & (F.RUNAWAY | F.STOPPED) and outcome < Outcome.LOST:
                outcome = Outcome.LOST
            about = int(record[R.REGISTER])
            if (
                flags & (F.CLOBBERED | F.VECTORS)
                and not flags & F.STATE
                and outcome < Outcome.CLOBBERED
            ):
                outcome, detail, by_arguments = Outcome.CLOBBERED, NAMED[about - 1], False
            if flags & F.STATE and outcome < Outcome.EL2_CHANGED:
                outcome, by_arguments = Outcome.EL2_CHANGED, False
                detail = self._guarded[max(0, about - 1 - len(NAMED))]
            elif flags & F.WROTE and (by_arguments or outcome < Outcome.CLOBBERED):
                outcome, detail = Outcome.EL2_CHANGED, f"wrote {self._place(int(record[R.WROTE]))}"
            if flags & F.LEAKED and outcome < Outcome.LEAKED:
                outcome, detail, by_arguments = Outcome.LEAKED, NAMED[about - 1], False
        return Verdict(outcome, detail, by_arguments, bool(flags & F.LEAKED))

    def _place(self, pa: int) -> str:
        """Name memory that EL2 wrote: by its label, or by its page."""
        name = self._ground.image.symbolize(pa)
        return name.partition("+")[0] if name else f"the page at {pa & -PAGE_SIZE:#x}"

    def _reached(self, target: int, asked: int | None) -> tuple[Outcome, str]:
        if not target:
            return (Outcome.REFUSED, "") if asked is None else (Outcome.DENIED, "")
        name = self._ground.image.symbolize(target) or hex(target)
        ground = self._ground
        if target in ground.idmap:
            return Outcome.STUB, name
        if target == asked:
            return Outcome.HANDLED, name
        if target not in ground.text:
            return Outcome.FOREIGN_CODE, name
        if target in ground.labels:
            return Outcome.OTHER, name
        return Outcome.MID_FUNCTION, name
