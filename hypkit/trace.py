"""What happened in a call: stored compactly, indexed, searched, compared with another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import index as whole

import numpy as np

from hypkit import _columns, arch
from hypkit._diff import TraceDiff
from hypkit.decode import Instruction, decode, is_hvc
from hypkit.image import Image

# The registers of a row, in the order of the mask's bits.
REGISTERS = (*(f"x{n}" for n in range(31)), "sp", "pstate")
_INDEX = {name: index for index, name in enumerate(REGISTERS)}
TABLE_STEPS = 20_000  # two megabytes of text


def _bit(name: str) -> int:
    try:
        return _INDEX[name]
    except KeyError:
        raise KeyError(f"no register {name!r} in a trace: x0 to x30, sp, pstate") from None


@dataclass(frozen=True)
class Access:
    """Memory that one instruction touched.

    value: the bytes as an unsigned number; None where the access faulted, or where a trace does not
    hold what was moved (vector registers, a load into xzr).
    """

    kind: str  # "load" or "store"
    va: int
    size: int
    value: int | None
    space: str | None
    symbol: str | None
    faulted: bool = False

    def __repr__(self) -> str:
        value = "fault" if self.faulted else "?" if self.value is None else f"{self.value:#x}"
        name = f" {self.symbol}" if self.symbol else ""
        return f"{self.kind} {self.size} at {self.va:#x}{name}: {value}"


@dataclass(frozen=True)
class Taken:
    """An exception as it was entered after step *step*: what the target EL's registers held.

    far is None for the kinds of exception that leave FAR_ELx alone.
    """

    step: int
    target_el: int
    esr: int
    elr: int
    spsr: int
    far: int | None


class Step:
    """One executed instruction: the state before it, and what it changed."""

    __slots__ = ("_trace", "index")

    def __init__(self, trace: Trace, index: int) -> None:
        self._trace, self.index = trace, index

    @property
    def pc(self) -> int:
        return int(self._trace.pcs[self.index])

    @property
    def word(self) -> int:
        return self._trace.words[self.pc]

    @property
    def instruction(self) -> Instruction:
        return decode(self.word)

    @property
    def el(self) -> int:
        return int(self._trace.els[self.index])

    @property
    def text(self) -> str:
        return self.instruction.text(self.pc, self._trace.image.symbolize)

    @property
    def symbol(self) -> str | None:
        """'label' or 'label+0x4' of the instruction."""
        return self._trace.image.symbolize(self.pc)

    @property
    def line(self) -> tuple[str, int] | None:
        """(file of the guest, 1-based line)."""
        return self._trace.image.line(self.pc)

    @property
    def regs(self) -> dict[str, int]:
        """x0 to x30, sp and pstate before the instruction, as unsigned 64-bit numbers."""
        return self._trace.registers(self.index)

    @property
    def nzcv(self) -> str:
        return arch.nzcv_text(self._trace.register("pstate", self.index))

    @property
    def changed(self) -> dict[str, tuple[int, int]]:
        """Register -> (before, after), for the registers this instruction changed."""
        trace = self._trace
        mask = int(trace.masks[self.index + 1])
        return {name: (trace.register(name, self.index), trace.register(name, self.index + 1))
                for bit, name in enumerate(REGISTERS) if mask >> bit & 1}

    @property
    def memory(self) -> tuple[Access, ...]:
        """What the instruction loaded or stored, a tuple entry per register moved."""
        image = self._trace.image
        first, end = self._trace._first_access[self.index:self.index + 2]
        return tuple(
            Access("store" if store else "load", va, size, value if known else None,
                   image.layout.space(va), image.symbolize(va), faulted)
            for _, va, value, size, store, faulted, known
            in self._trace.accesses[first:end].tolist())

    @property
    def exception(self) -> Taken | None:
        """The exception that this instruction took, if it took one."""
        return self._trace.exception_after(self.index)

    def __repr__(self) -> str:
        return f"{self.index:5}  EL{self.el}  {self.pc:016x}  {self.symbol or '':32}  {self.text}"


class Trace:
    """The steps of a run. len() counts executed instructions; t[i] is a Step, t[a:b] a Trace.

    pcs, masks: uint64 arrays with one row a step and one more for the state afterwards; bit i of a
    mask says that REGISTERS[i] differs from the row before, and values holds the new ones in order.
    base: the registers before the first step; words: address -> instruction word; sysregs: system
    registers before the first step. What took exceptions is given in order and kept by step; HVCs
    are not kept, for their words say all.
    """

    def __init__(self, image: Image, base: np.ndarray, pcs: np.ndarray, masks: np.ndarray,
                 values: np.ndarray, words: Mapping[int, int], sysregs: Mapping[str, int],
                 exceptions: Iterable[Taken] = ()) -> None:
        self.image, self.base = image, base
        self.pcs, self.masks, self.values, self.words = pcs, masks, values, words
        self.sysregs = dict(sysregs)
        self.exceptions: dict[int, Taken] = {}
        for taken in exceptions:  # of two after one step, the second is the vector's own fetch
            if not is_hvc(words[int(pcs[taken.step])]):
                self.exceptions.setdefault(taken.step, taken)
        self._changes: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def _ends(self) -> np.ndarray:
        """How many of values the rows up to each one have used."""
        return np.cumsum(np.bitwise_count(self.masks), dtype=np.int64)

    def _changed(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(rows at which a register changed, its values: before them all, then from each on)."""
        bit = _bit(name)
        if bit not in self._changes:
            rows = np.flatnonzero(self.masks >> np.uint64(bit) & np.uint64(1))
            from_here_up = self.masks[rows] >> np.uint64(bit)
            at = self._ends[rows] - np.bitwise_count(from_here_up)
            self._changes[bit] = rows, np.concatenate((self.base[bit:bit + 1], self.values[at]))
        return self._changes[bit]

    def column(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """A register's values before the given steps, by default in every row; uint64.

        name: one of REGISTERS, or xzr; rows: numbers of steps, where len(self) is the state
        afterwards. KeyError for another name, IndexError for another row.
        """
        rows = np.arange(len(self.pcs)) if rows is None else np.asarray(rows)
        for row in (rows.min(), rows.max()) if len(rows) else ():
            self._check_row(row)
        if name == "xzr":
            return np.zeros(len(rows), dtype=np.uint64)
        changed, values = self._changed(name)
        return values[changed.searchsorted(rows, side="right")]

    def register(self, name: str, row: int) -> int:
        """A register's value before step *row*; row len(self) is the state afterwards.

        name: one of REGISTERS, or xzr. KeyError for another name, IndexError for another row.
        """
        self._check_row(row)
        if name == "xzr":
            return 0
        changed, values = self._changed(name)
        return int(values[changed.searchsorted(row, side="right")])

    def _check_row(self, row: int) -> None:
        if not 0 <= row < len(self.pcs):
            raise IndexError(f"row {row} of a trace of {len(self)} steps")

    def registers(self, row: int) -> dict[str, int]:
        """All registers before step *row*."""
        return {name: self.register(name, row) for name in REGISTERS}

    @cached_property
    def sites(self) -> tuple[np.ndarray, np.ndarray]:
        """(addresses executed, each once, ascending; of every step, which of them it was at)."""
        return _columns.sites(self)

    @cached_property
    def accesses(self) -> np.ndarray:
        """Every register moved from or to memory, in the order of steps and addresses.

        A record each, with step, va, value, size (bytes), store, faulted, and known: false where
        the trace does not hold the value (a fault, vector registers, a load into xzr).
        """
        return _columns.accesses(self)

    @cached_property
    def _first_access(self) -> np.ndarray:
        """For every row the place in accesses where its own begin; row len(self) is their end."""
        return np.searchsorted(self.accesses["step"], np.arange(len(self.pcs)))

    @cached_property
    def sysreg_changes(self) -> np.ndarray:
        """What MSR and exceptions gave the traced system registers, in order of steps.

        A record each, with step, value, and register: its place in sysregs. What a register does
        not keep of the value written to it is not followed.
        """
        return _columns.sysreg_changes(self)

    @cached_property
    def pstates(self) -> np.ndarray:
        """PSTATE of every row, uint64."""
        return self.column("pstate")

    @cached_property
    def els(self) -> np.ndarray:
        """The exception level of every row."""
        return (self.pstates >> np.uint64(2) & np.uint64(3)).astype(np.uint8)

    def exception_after(self, step: int) -> Taken | None:
        """The exception that step *step* took, None when it took none.

        A fetch that fails has no step of its own: it counts as the step's that led there.
        """
        if not 0 <= step < len(self):
            raise IndexError(f"step {step} of a trace of {len(self)} steps")
        pc = int(self.pcs[step])
        word = self.words[pc]
        if not is_hvc(word):
            return self.exceptions.get(step)
        esr = arch.EC_HVC64 << arch.ESR_EC_SHIFT | arch.ESR_IL | word >> 5 & 0xFFFF
        return Taken(step, 2, esr, pc + 4, self.register("pstate", step), None)

    def last_write(self, name: str, step: int) -> int | None:
        """The step that gave register *name* the value it has before *step*; None: an earlier one.

        A write that leaves the value as it was does not count.
        """
        self._check_row(step)
        rows, _ = self._changed(name)
        at = int(np.searchsorted(rows, step, side="right")) - 1
        return int(rows[at]) - 1 if at >= 0 else None

    def find(self, symbol: str, start: int = 0) -> int | None:
        """The first step from *start* on at label *symbol*, None when it is never reached.

        KeyError for a name that is no label of the image or of its VM.
        """
        vm = self.image.programs[-1].symbols
        if symbol in vm:
            places = [vm[symbol]]
        elif symbol in self.image.symbols:
            places = list(self.image.layout.names(self.image.symbols[symbol]).values())
        else:
            raise KeyError(f"no symbol {symbol!r} in the {self.image.key} image")
        start = max(0, start)
        hits = np.flatnonzero(np.isin(self.pcs[start:-1], np.array(places, dtype=np.uint64)))
        return int(hits[0]) + start if len(hits) else None

    def diff(self, other: Trace) -> TraceDiff:
        """Both traces aligned where they execute the same instruction, but for its numbers, in the
        same function at the same exception level.

        TypeError for what is no trace; ValueError for two that differ too much in too many steps.
        """
        if not isinstance(other, Trace):
            raise TypeError(f"a trace is compared with a trace, not with {type(other).__name__}")
        return TraceDiff(self, other)

    @property
    def nbytes(self) -> int:
        """Bytes the rows take in memory."""
        return self.pcs.nbytes + self.masks.nbytes + self.values.nbytes

    def __len__(self) -> int:
        return len(self.pcs) - 1

    def __iter__(self) -> Iterator[Step]:
        return (Step(self, index) for index in range(len(self)))

    def __getitem__(self, index: int | slice) -> Step | Trace:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"a trace is cut in one piece: step {step} is not possible")
            return self._cut(start, max(start, stop))
        try:
            number = whole(index)
        except TypeError:
            raise TypeError(f"a trace takes a step's number or a slice in its brackets, not "
                            f"{type(index).__name__}") from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"step {number} of a trace of {len(self)} steps")
        return Step(self, number % len(self))

    def _cut(self, start: int, stop: int) -> Trace:
        base = np.array(list(self.registers(start).values()), dtype=np.uint64)
        masks = self.masks[start:stop + 1].copy()
        masks[0] = 0  # the first row's state is the base: nothing differs from it
        first, end = self._ends[[start, stop]]
        exceptions = (replace(taken, step=taken.step - start)
                      for taken in self.exceptions.values() if start <= taken.step < stop)
        return Trace(self.image, base, self.pcs[start:stop + 1], masks, self.values[first:end],
                     self.words, self._sysregs_before(start), exceptions)

    def _sysregs_before(self, row: int) -> dict[str, int]:
        """The system registers before step *row*."""
        news = self.sysreg_changes
        news = news[:np.searchsorted(news["step"], row)]
        names, now = tuple(self.sysregs), dict(self.sysregs)
        registers, newest = np.unique(news["register"][::-1], return_index=True)
        for register, value in zip(registers, news["value"][::-1][newest], strict=True):
            now[names[register]] = int(value)
        return now

    def table(self) -> str:
        """Every step on a line, with what it changed. ValueError for more than TABLE_STEPS."""
        if len(self) > TABLE_STEPS:
            raise ValueError(f"a table of {len(self):,} lines is more than anybody reads: cut the "
                             "trace, as in t[:1000].table()")
        lines = []
        for step in self:
            news = ", ".join(f"{name} {old:#x} -> {new:#x}"
                             for name, (old, new) in step.changed.items() if name != "pstate")
            lines.append(f"{step!r}" + (f"    ; {news}" if news else ""))
        return "\n".join(lines)

    def __repr__(self) -> str:
        levels = "".join(f", EL{el}: {count}" for el in (1, 2)
                         if (count := int(np.count_nonzero(self.els[:-1] == el))))
        return f"Trace({len(self)} steps{levels})"
