"""What happened in a call: stored compactly, indexed, searched, compared with another."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hypkit import arch
from hypkit.decode import Instruction, decode
from hypkit.image import Image

# The registers of a row, in the order of the mask's bits.
REGISTERS = (*(f"x{n}" for n in range(31)), "sp", "pstate")
_INDEX = {name: index for index, name in enumerate(REGISTERS)}
_PSTATE = _INDEX["pstate"]
HVC_MASK, HVC_WORD = 0xFFE0001F, 0xD4000002


def is_hvc(word: int) -> bool:
    """Whether an instruction word is an HVC, whatever its immediate."""
    return word & HVC_MASK == HVC_WORD


@dataclass(frozen=True)
class Access:
    """Memory that one instruction touched. value is None where the access faulted."""

    kind: str  # "load" or "store"
    va: int
    size: int
    value: int | None
    space: str | None
    symbol: str | None

    def __repr__(self) -> str:
        value = "fault" if self.value is None else f"{self.value:#x}"
        name = f" {self.symbol}" if self.symbol else ""
        return f"{self.kind} {self.size} at {self.va:#x}{name}: {value}"


@dataclass(frozen=True)
class Taken:
    """An exception as it was entered after step *step*: what the target EL's registers then held."""

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
        operand = self.instruction.memory
        if operand is None:
            return ()
        trace, size = self._trace, operand.element
        address = operand.address(self.pc, lambda name: trace.register(name, self.index))
        # A load's value is what the register holds afterwards, unless the load did not happen.
        when = self.index + (operand.kind == "load")
        faulted = trace.exception_after(self.index) is not None
        return tuple(
            Access(operand.kind, va, size,
                   None if faulted else trace.register(name, when) & (1 << 8 * size) - 1,
                   trace.image.layout.space(va), trace.image.symbolize(va))
            for va, name in ((address + size * n & (1 << 64) - 1, name)
                             for n, name in enumerate(operand.registers)))

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
    """

    def __init__(self, image: Image, base: np.ndarray, pcs: np.ndarray, masks: np.ndarray,
                 values: np.ndarray, words: Mapping[int, int], sysregs: Mapping[str, int],
                 exceptions: tuple[Taken, ...] = ()) -> None:
        self.image, self.base = image, base
        self.pcs, self.masks, self.values, self.words = pcs, masks, values, words
        self.sysregs = dict(sysregs)  # the system registers before the first step
        self._rare = {taken.step: taken for taken in exceptions}
        self._columns: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def _starts(self) -> np.ndarray:
        counts = np.bitwise_count(self.masks)
        return np.concatenate(([0], np.cumsum(counts[:-1], dtype=np.int64))).astype(np.int64)

    def _column(self, bit: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows at which the register changed, its values there)."""
        if bit not in self._columns:
            rows = np.flatnonzero(self.masks >> np.uint64(bit) & np.uint64(1))
            below = self.masks[rows] & np.uint64((1 << bit) - 1)
            at = self._starts[rows] + np.bitwise_count(below)
            self._columns[bit] = rows, self.values[at]
        return self._columns[bit]

    def register(self, name: str, row: int) -> int:
        """A register's value before step *row*; row len(self) is the state afterwards."""
        if name == "xzr":
            return 0
        bit = _INDEX[name]
        rows, values = self._column(bit)
        at = int(np.searchsorted(rows, row, side="right")) - 1
        return int(values[at]) if at >= 0 else int(self.base[bit])

    def registers(self, row: int) -> dict[str, int]:
        """All registers before step *row*."""
        return {name: self.register(name, row) for name in REGISTERS}

    @cached_property
    def pstates(self) -> np.ndarray:
        """PSTATE of every row, uint64."""
        rows, values = self._column(_PSTATE)
        at = np.searchsorted(rows, np.arange(len(self.pcs)), side="right")
        return np.concatenate((self.base[_PSTATE:_PSTATE + 1], values))[at]

    @cached_property
    def els(self) -> np.ndarray:
        """The exception level of every row."""
        return (self.pstates >> np.uint64(2) & np.uint64(3)).astype(np.uint8)

    def exception_after(self, step: int) -> Taken | None:
        """The exception that step *step* took, None when it took none."""
        if step in self._rare:
            return self._rare[step]
        pc = int(self.pcs[step])
        word = self.words[pc]
        if not is_hvc(word):
            return None
        esr = arch.EC_HVC64 << arch.ESR_EC_SHIFT | arch.ESR_IL | word >> 5 & 0xFFFF
        return Taken(step, 2, esr, pc + 4, self.register("pstate", step), None)

    def last_write(self, name: str, step: int) -> int | None:
        """The step that gave register *name* the value it has before *step*; None: before the start."""
        rows, _ = self._column(_INDEX[name])
        at = int(np.searchsorted(rows, step, side="right")) - 1
        return int(rows[at]) - 1 if at >= 0 and rows[at] > 0 else None

    def find(self, symbol: str, start: int = 0) -> int | None:
        """The first step from *start* on at label *symbol*, None when it is never reached."""
        va = self.image.symbols.get(symbol)
        if va is None:
            raise KeyError(f"no symbol {symbol!r} in the {self.image.key} image")
        names = self.image.layout.names(va).values()
        hits = np.flatnonzero(np.isin(self.pcs[start:-1], np.array(list(names), dtype=np.uint64)))
        return int(hits[0]) + start if len(hits) else None

    def diff(self, other: Trace) -> TraceDiff:
        """Both traces aligned where they execute the same code at the same exception level."""
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
        if not -len(self) <= index < len(self):
            raise IndexError(f"step {index} of a trace of {len(self)} steps")
        return Step(self, index % len(self))

    def _cut(self, start: int, stop: int) -> Trace:
        base = np.array(list(self.registers(start).values()), dtype=np.uint64)
        masks = self.masks[start:stop + 1].copy()
        first, end = int(self._starts[start]), int(self._starts[stop] + np.bitwise_count(masks[-1]))
        values = self.values[first:end]
        # The first row's state is the base: nothing differs from it.
        values = values[int(np.bitwise_count(masks[0])):]
        masks[0] = 0
        exceptions = tuple(
            Taken(taken.step - start, taken.target_el, taken.esr, taken.elr, taken.spsr, taken.far)
            for taken in self._rare.values() if start <= taken.step < stop)
        return Trace(self.image, base, self.pcs[start:stop + 1], masks, values, self.words,
                     self.sysregs, exceptions)

    def table(self) -> str:
        """Every step on a line, with what it changed."""
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


class TraceDiff:
    """Two traces side by side. rows: (step of a or None, step of b or None), aligned."""

    def __init__(self, a: Trace, b: Trace) -> None:
        self.a, self.b = a, b
        keys = [[(step.el, step.instruction.mnemonic, step.symbol or step.pc) for step in trace]
                for trace in (a, b)]
        matcher = difflib.SequenceMatcher(a=keys[0], b=keys[1], autojunk=False)
        self.rows: list[tuple[int | None, int | None]] = []
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal":
                self.rows += zip(range(i1, i2), range(j1, j2), strict=True)
            else:
                self.rows += [(i, None) for i in range(i1, i2)]
                self.rows += [(None, j) for j in range(j1, j2)]

    @property
    def same(self) -> int:
        """How many steps stand in both."""
        return sum(i is not None and j is not None for i, j in self.rows)

    def __repr__(self) -> str:
        return (f"TraceDiff({self.same} steps in both, {len(self.a) - self.same} only in the first, "
                f"{len(self.b) - self.same} only in the second)")
