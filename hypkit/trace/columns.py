"""What a trace says of all its steps at once, as numpy arrays."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from hypkit.a64 import syndrome, sysregs
from hypkit.a64.decode import decode, spelled
from hypkit.a64.effects import is_hvc
from hypkit.a64.registers import REGISTERS
from hypkit.a64.syndrome import Taken
from hypkit.errors import UnknownName, WrongIndex, WrongType, expected, shown, whole
from hypkit.kernel.image import Image

_INDEX = {name: index for index, name in enumerate(REGISTERS)}

# A register moved from or to memory. known: whether the trace holds the value; else it is 0.
ACCESS = np.dtype(
    [
        ("step", "<i8"),
        ("va", "<u8"),
        ("value", "<u8"),
        ("size", "u1"),
        ("store", "?"),
        ("faulted", "?"),
        ("known", "?"),
    ]
)
# A system register's new value; register: its place in the trace's sysregs.
SYSREG_CHANGE = np.dtype([("step", "<i8"), ("value", "<u8"), ("register", "u1")])


@dataclass(frozen=True)
class Edit:
    """What a reader changed while a run stood still before one of its steps.

    Attributes:
        step: the step before which it was changed.
        registers: x0 to x30 or sp -> the value from then on, unsigned 64 bits.
        memory: physical address -> the bytes that were put there.
        before: what these registers held until then; filled in by the machine.
    """

    step: int
    registers: Mapping[str, int] = field(default_factory=dict)
    memory: Mapping[int, bytes] = field(default_factory=dict)
    before: Mapping[str, int] = field(default_factory=dict)


def _bit(name: str) -> int:
    try:
        return _INDEX[name]
    except (KeyError, TypeError):  # TypeError: a list, say, is no key of any dict
        raise UnknownName(f"no register {shown(name)} in a trace: x0 to x30, sp, pstate") from None


class Columns:
    """The rows of a run: a row a step, and one more for the state afterwards. len() counts steps.

    pcs, masks: uint64 arrays with one row a step and one more for the state afterwards; bit i of a
    mask says that REGISTERS[i] differs from the row before, and values holds the new ones in order.
    base: the registers before the first step; words: address -> instruction word; sysregs: system
    registers before the first step. What took exceptions is given in order and kept by step; HVCs
    are not kept, for their words say all. edit: what a reader changed on the way, if anything.
    """

    def __init__(
        self,
        image: Image,
        base: np.ndarray,
        pcs: np.ndarray,
        masks: np.ndarray,
        values: np.ndarray,
        words: Mapping[int, int],
        sysregs: Mapping[str, int],
        exceptions: Iterable[Taken] = (),
        rewritten: Iterable[tuple[int, int, int]] = (),
        edit: Edit | None = None,
    ) -> None:
        self.image, self.base, self.edit = image, base, edit
        self.pcs, self.masks, self.values, self.words = pcs, masks, values, words
        self.sysregs = dict(sysregs)
        # Address -> (steps from which on another word was there, those words), where code changed.
        self._rewritten: dict[int, tuple[list[int], list[int]]] = {}
        for step, pc, word in rewritten:
            steps, news = self._rewritten.setdefault(pc, ([], []))
            steps.append(step)
            news.append(word)
        self.exceptions: dict[int, Taken] = {}
        for taken in exceptions:  # of two after one step, the second is the vector's own fetch
            if not is_hvc(self._word(taken.step)):
                self.exceptions.setdefault(taken.step, taken)
        self._changes: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def _ends(self) -> np.ndarray:
        """Return how many of values the rows up to each one have used."""
        return np.cumsum(np.bitwise_count(self.masks), dtype=np.int64)

    def word(self, step: int) -> int:
        """Return the instruction word that a step executed, also where code was rewritten.

        Raises IndexError for a step that the trace does not have.
        """
        number = whole("step", step)
        if not -len(self) <= number < len(self):
            raise WrongIndex(f"step {shown(number)} of a trace of {len(self)} steps")
        return self._word(number)

    def _word(self, step: int) -> int:
        pc = int(self.pcs[step])
        return self.words[pc] if pc not in self._rewritten else self._word_then(pc, step)

    def word_at(self, pc: int, step: int) -> int | None:
        """Return the word at an address at the time of a step; None: it was never executed."""
        pc, step = whole("pc", pc), whole("step", step)
        return self.words.get(pc) if pc not in self._rewritten else self._word_then(pc, step)

    def _word_then(self, pc: int, step: int) -> int:
        steps, news = self._rewritten[pc]
        number = bisect_right(steps, step)
        return news[number - 1] if number else self.words[pc]

    @cached_property
    def site_words(self) -> list[int]:
        """Return the word of every one of sites, in their order."""
        if not self._rewritten:
            return [self.words[pc] for pc in self.sites[0].tolist()]
        steps = np.full(len(self.sites[0]), -1)
        steps[self.sites[1][::-1]] = np.arange(len(self))[::-1]
        return [self._word(step) for step in steps.tolist()]

    @cached_property
    def rewrites(self) -> tuple[tuple[int, int, int], ...]:
        """Return where code was rewritten: (step, address, the word from that step on)."""
        return tuple(
            (step, pc, word)
            for pc, found in self._rewritten.items()
            for step, word in zip(*found, strict=True)
        )

    def _changed(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows at which a register changed, its values: before them all, then from each
        on)."""
        bit = _bit(name)
        if bit not in self._changes:
            rows = np.flatnonzero(self.masks >> np.uint64(bit) & np.uint64(1))
            from_here_up = self.masks[rows] >> np.uint64(bit)
            at = self._ends[rows] - np.bitwise_count(from_here_up)
            self._changes[bit] = rows, np.concatenate((self.base[bit : bit + 1], self.values[at]))
        return self._changes[bit]

    def column(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Return a register's values before the given steps, by default in every row; uint64.

        Args:
            name: one of REGISTERS, or xzr.
            rows: numbers of steps, where len(self) is the state afterwards.

        Raises:
            KeyError: for another name.
            IndexError: for another row.
        """
        rows = np.arange(len(self.pcs)) if rows is None else self._rows(rows)
        for row in (rows.min(), rows.max()) if len(rows) else ():
            self._row(row)
        if isinstance(name, str) and name == "xzr":
            return np.zeros(len(rows), dtype=np.uint64)
        changed, values = self._changed(name)
        return values[changed.searchsorted(rows, side="right")]

    def register(self, name: str, row: int) -> int:
        """Return a register's value before step *row*; row len(self) is the state afterwards.

        name: one of REGISTERS, or xzr. Raises KeyError for another name, IndexError for another
        row.
        """
        row = self._row(row)
        if isinstance(name, str) and name == "xzr":
            return 0
        changed, values = self._changed(name)
        return int(values[changed.searchsorted(row, side="right")])

    def _row(self, row: object) -> int:
        number = whole("row", row)
        if not 0 <= number < len(self.pcs):
            raise WrongIndex(f"row {shown(number)} of a trace of {len(self)} steps")
        return number

    def _rows(self, rows: object) -> np.ndarray:
        if isinstance(rows, list | tuple | range):
            rows = np.array([self._row(row) for row in rows], dtype=np.int64)
        if (
            not isinstance(rows, np.ndarray)
            or rows.ndim != 1
            or rows.size
            and rows.dtype.kind not in "iu"
        ):
            raise WrongType(f"rows: {expected('numbers of steps', rows)}")
        return rows

    def registers(self, row: int) -> dict[str, int]:
        """Return all registers before step *row*, by name."""
        return {name: self.register(name, row) for name in REGISTERS}

    @cached_property
    def sites(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (addresses executed, ascending; of every step, which of them it was at).

        An address is there once for every word that was executed at it, see site_words.
        """
        return _sites(self)

    @cached_property
    def accesses(self) -> np.ndarray:
        """Return every register moved from or to memory, in the order of steps and addresses.

        A record each, with step, va, value, size (bytes), store, faulted, and known: false where
        the trace does not hold the value (a fault, vector registers, a load into xzr).
        """
        return _accesses(self)

    @cached_property
    def _first_access(self) -> np.ndarray:
        """Return for every row where its own accesses begin; row len(self) is their end."""
        return np.searchsorted(self.accesses["step"], np.arange(len(self.pcs)))

    @cached_property
    def sysreg_changes(self) -> np.ndarray:
        """Return what MSR and exceptions gave the traced system registers, in order of steps.

        A record each, with step, value, and register: its place in sysregs. What a register does
        not keep of the value written to it is not followed.
        """
        return _sysreg_changes(self)

    @cached_property
    def pstates(self) -> np.ndarray:
        """Return PSTATE of every row, uint64."""
        return self.column("pstate")

    @cached_property
    def els(self) -> np.ndarray:
        """Return the exception level of every row, uint8."""
        return (self.pstates >> np.uint64(2) & np.uint64(3)).astype(np.uint8)

    def exception_after(self, step: int) -> Taken | None:
        """Return the exception that step *step* took, None when it took none.

        A fetch that fails has no step of its own: it counts as the step's that led there.
        """
        step = whole("step", step)
        if not 0 <= step < len(self):
            raise WrongIndex(f"step {shown(step)} of a trace of {len(self)} steps")
        pc = int(self.pcs[step])
        word = self.word(step)
        if not is_hvc(word):
            return self.exceptions.get(step)
        esr = syndrome.EC_HVC64 << syndrome.ESR_EC_SHIFT | syndrome.ESR_IL | word >> 5 & 0xFFFF
        return Taken(step, 2, esr, pc + 4, self.register("pstate", step), None)

    def text(self, pc: int, step: int = 0) -> str:
        """Return the instruction that was executed at address *pc*, with names for its targets.

        step: about when, for code that was rewritten.
        """
        pc, step = whole("pc", pc), whole("step", step)
        return spelled(pc, lambda at: self.word_at(at, step), self.image.symbolize)

    def __len__(self) -> int:
        return len(self.pcs) - 1


def _sites(trace: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Return (addresses executed, in ascending order; of every step, which of them); see
    Columns.sites."""
    known = np.array(sorted(trace.words), dtype=np.uint64)
    at = np.searchsorted(known, trace.pcs[:-1])
    if trace.rewrites:
        # Places of the same address stay together: a place for each of its words.
        word = np.array([trace._word(step) for step in range(len(trace))], dtype=np.uint64)
        pairs, at = np.unique(np.stack((known[at], word)), axis=1, return_inverse=True)
        return pairs[0], at.reshape(-1)
    used = np.bincount(at, minlength=len(known)) > 0
    return known[used], (np.cumsum(used) - 1)[at]


def _at_sites(trace: Columns, wanted: list[bool]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (which site, the steps there in order) for those of trace.sites that are wanted."""
    _, site = trace.sites
    steps = np.flatnonzero(np.array(wanted, dtype=bool)[site])
    steps = steps[np.argsort(site[steps], kind="stable")]
    found, starts = np.unique(site[steps], return_index=True)
    yield from zip(found.tolist(), np.split(steps, starts[1:]), strict=False)


def _accesses(trace: Columns) -> np.ndarray:
    """Return every register moved from or to memory, dtype ACCESS, in the order of steps and
    addresses."""
    pcs = trace.sites[0].tolist()
    operands = [decode(word).memory for word in trace.site_words]
    # An exception that would return elsewhere is the next instruction's fetch.
    refused = np.array(
        [step for step, taken in trace.exceptions.items() if taken.elr == int(trace.pcs[step])],
        dtype=np.int64,
    )
    parts = [np.zeros(0, ACCESS)]
    for site, steps in _at_sites(trace, [operand is not None for operand in operands]):
        operand = operands[site]
        assert operand is not None
        faulted = np.isin(steps, refused)
        if operand.status:  # a store-exclusive that lost its reservation moved nothing
            moved = faulted | (trace.column(operand.status, steps + 1) == 0)
            steps, faulted = steps[moved], faulted[moved]
        first = operand.address(pcs[site], partial(trace.column, rows=steps))
        size, load = operand.element, operand.kind == "load"
        for number, name in enumerate(operand.registers):
            part = np.zeros(len(steps), ACCESS)
            part["step"], part["va"], part["size"] = steps, first, size
            part["va"] += np.uint64(size * number)
            part["store"], part["faulted"] = not load, faulted
            if name[0] == "x" and not (load and name == "xzr"):
                # A load's value is what the register holds afterwards.
                value = trace.column(name, steps + load) & np.uint64((1 << 8 * size) - 1)
                part["value"], part["known"] = np.where(faulted, 0, value), ~faulted
            parts.append(part)
    return _in_order(parts)


def _sysreg_changes(trace: Columns) -> np.ndarray:
    """Return what MSR and exceptions made of the traced system registers, dtype SYSREG_CHANGE, in
    order.

    What a register does not keep of the value written to it is not followed.
    """
    names = list(trace.sysregs)
    words = trace.site_words
    moves = [_msr(word) for word in words]
    elsewhere = np.array(list(trace.exceptions), dtype=np.int64)
    parts = [np.zeros(0, SYSREG_CHANGE)]

    def add(name: str, steps: np.ndarray, value: np.ndarray | int) -> None:
        if name in names:
            part = np.zeros(len(steps), SYSREG_CHANGE)
            part["step"], part["value"], part["register"] = steps, value, names.index(name)
            parts.append(part)

    wanted = [bool(move) or is_hvc(word) for move, word in zip(moves, words, strict=True)]
    for site, steps in _at_sites(trace, wanted):
        move = moves[site]
        if move:
            steps = steps[~np.isin(steps, elsewhere)]  # an MSR that trapped wrote nothing
            name, source = move
            add(name, steps, trace.column(source, steps))
        elif call := trace.exception_after(int(steps[0])):
            add("ESR_EL2", steps, call.esr)
            add("ELR_EL2", steps, call.elr)
            add("SPSR_EL2", steps, trace.column("pstate", steps))
    for taken in trace.exceptions.values():
        at, level = np.array([taken.step]), f"EL{taken.target_el}"
        add(f"ESR_{level}", at, taken.esr)
        add(f"ELR_{level}", at, taken.elr)
        add(f"SPSR_{level}", at, taken.spsr)
        if taken.far is not None:
            add(f"FAR_{level}", at, taken.far)
            if taken.target_el == 2 and taken.esr >> syndrome.ESR_EC_SHIFT in (
                syndrome.EC_IABT_LOWER,
                syndrome.EC_DABT_LOWER,
            ):
                # The VM's MMU is off, so that the address it used is the intermediate physical one.
                add("HPFAR_EL2", at, taken.far >> 12 << 4)
    return _in_order(parts)


def _msr(word: int) -> tuple[str, str] | None:
    """Return (system register, source register) of an MSR to a register with a name, else None."""
    move = sysregs.decode_sysreg_move(word)
    if move is None or move[0] != "msr" or move[1] not in sysregs.SYSREG_NAMES:
        return None
    return sysregs.SYSREG_NAMES[move[1]], "xzr" if move[2] == 31 else f"x{move[2]}"


def _in_order(parts: list[np.ndarray]) -> np.ndarray:
    joined = np.concatenate(parts)
    return joined[np.argsort(joined["step"], kind="stable")]
