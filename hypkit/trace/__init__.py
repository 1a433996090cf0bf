"""What happened in a call: stored compactly, indexed, searched, compared with another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, SupportsIndex, overload

import numpy as np

from hypkit.a64 import pstate
from hypkit.a64.decode import Instruction, decode
from hypkit.a64.registers import REGISTERS
from hypkit.a64.syndrome import Taken
from hypkit.errors import (
    UnknownName,
    WrongIndex,
    WrongType,
    WrongValue,
    did_you_mean,
    expected,
    is_whole,
    needs,
    shown,
    whole,
)
from hypkit.trace.columns import Columns
from hypkit.trace.diff import TraceDiff

if TYPE_CHECKING:  # read when somebody asks where a value came from: a first call does not
    from hypkit.trace.dataflow import Dataflow
    from hypkit.trace.lineage import Origin, Reach

TABLE_STEPS = 20_000  # two megabytes of text


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


class Step:
    """One executed instruction: the state before it, and what it changed."""

    __slots__ = ("_trace", "index")

    def __init__(self, trace: Trace, index: int) -> None:
        self._trace, self.index = trace, index

    @property
    def pc(self) -> int:
        """Return the instruction's virtual address."""
        return int(self._trace.pcs[self.index])

    @property
    def word(self) -> int:
        """Return the 32-bit word that was executed."""
        return self._trace.word(self.index)

    @property
    def instruction(self) -> Instruction:
        """Return the word, taken apart."""
        return decode(self.word)

    @property
    def el(self) -> int:
        """Return the exception level that executed it, 1 or 2."""
        return int(self._trace.els[self.index])

    @property
    def text(self) -> str:
        """Return the instruction as a disassembler prints it, with names for its targets."""
        return self._trace.text(self.pc, self.index)

    @property
    def symbol(self) -> str | None:
        """Return 'label' or 'label+0x4' of the instruction, None where nothing has a name."""
        return self._trace.image.symbolize(self.pc)

    @property
    def line(self) -> tuple[str, int] | None:
        """Return (file of the guest, 1-based line), None for code that is in no file."""
        return self._trace.image.line(self.pc)

    @property
    def regs(self) -> dict[str, int]:
        """Return x0 to x30, sp and pstate before the instruction, as unsigned 64-bit numbers."""
        return self._trace.registers(self.index)

    @property
    def nzcv(self) -> str:
        """Return the flags before the instruction, '-Z--' for Z alone."""
        return pstate.nzcv_text(self._trace.register("pstate", self.index))

    @property
    def changed(self) -> dict[str, tuple[int, int]]:
        """Return register -> (before, after), for the registers this instruction changed."""
        trace = self._trace
        mask = int(trace.masks[self.index + 1])
        news = {
            name: (trace.register(name, self.index), trace.register(name, self.index + 1))
            for bit, name in enumerate(REGISTERS)
            if mask >> bit & 1
        }
        edit = trace.edit
        if edit is None or edit.step != self.index + 1:
            return news
        # What a reader changed after this instruction is not its doing.
        for name, after in edit.before.items():
            old = trace.register(name, self.index)
            news.pop(name, None)
            if old != after:
                news[name] = old, after
        return news

    @property
    def memory(self) -> tuple[Access, ...]:
        """Return what the instruction loaded or stored, an Access for each register moved."""
        image = self._trace.image
        first, end = self._trace._first_access[self.index : self.index + 2]
        return tuple(
            Access(
                "store" if store else "load",
                va,
                size,
                value if known else None,
                image.layout.space(va),
                image.symbolize(va),
                faulted,
            )
            for _, va, value, size, store, faulted, known in self._trace.accesses[
                first:end
            ].tolist()
        )

    @property
    def exception(self) -> Taken | None:
        """Return the exception that this instruction took, None if it took none."""
        return self._trace.exception_after(self.index)

    def __repr__(self) -> str:
        return f"{self.index:5}  EL{self.el}  {self.pc:016x}  {self.symbol or '':32}  {self.text}"


class Trace(Columns):
    """The steps of a run. len() counts executed instructions; t[i] is a Step, t[a:b] a Trace."""

    @cached_property
    def _dataflow(self) -> Dataflow:
        from hypkit.trace.dataflow import Dataflow

        return Dataflow(self)

    def origin(
        self, name: str | int, step: int, *, size: int = 8, beyond_hvc: bool = False
    ) -> Origin:
        """Return where a value came from, step by step, to its owner.

        A value that EL2 got from the host or the VM ends there, as "register x0, host": that is
        what EL2 was given. SP, the PC and the branches taken are not followed, see
        hypkit.trace.origin.

        Args:
            name: a register (x0 to x30, sp, pc, nzcv), a system register, a label, or the address
                of memory in any of the four address spaces.
            step: the value is the one before this step; len(trace) is the end.
            size: of memory, the bytes.
            beyond_hvc: whether to go on into the code that made the call.

        Returns:
            An Origin: `steps`, `sources` (each with its owner), `links`, and `notes` on what the
            trace cannot know.

        Raises:
            KeyError: for a name that is none of these.
            IndexError: for a step that the trace does not have.
            ValueError: for an address that is none of this machine's, or a size that is no size.
        """
        from hypkit.trace.origin import origin

        return origin(self, self._dataflow, name, step, size=size, beyond_hvc=beyond_hvc)

    def reaches(self, name: str | int, step: int, *, size: int = 8) -> Reach:
        """Return what is made of a value from a step on, and where it ends up.

        The other direction of `origin`, through hypercalls as well.

        Args:
            name: as for `origin`.
            step: the value is the one before this step.
            size: of memory, the bytes.

        Returns:
            A Reach: `steps`, `ends` (jumps, branches, loads and system registers that it decided,
            registers and memory that hold something of it at the end), and `notes`.

        Raises:
            KeyError, IndexError, ValueError: as `origin`.
        """
        from hypkit.trace.reach import reaches

        return reaches(self, self._dataflow, name, step, size=size)

    def last_write(self, name: str, step: int) -> int | None:
        """Return the step that gave a register the value it has before *step*.

        A write that leaves the value as it was does not count.

        Args:
            name: x0 to x30, sp or pstate.
            step: a step's number; len(trace) is the end.

        Returns:
            The step's number, None where the value is older than the trace.

        Raises:
            KeyError: for another name.
            IndexError: for another step.
        """
        step = self._row(step)
        rows, _ = self._changed(name)
        at = int(np.searchsorted(rows, step, side="right")) - 1
        return int(rows[at]) - 1 if at >= 0 else None

    def find(self, symbol: str, start: int = 0) -> int | None:
        """Return the first step from *start* on at label *symbol*, None when it is never reached.

        Raises KeyError for a name that is no label of the image or of its VM.
        """
        needs(str, "a label's name", symbol)
        vm = self.image.vm.symbols
        if symbol in vm:
            places = [vm[symbol]]
        elif symbol in self.image.symbols:
            places = list(self.image.layout.names(self.image.symbols[symbol]).values())
        else:
            known = [*self.image.symbols, *vm]
            raise UnknownName(
                f"no symbol {shown(symbol)} in the {self.image.key} image"
                + did_you_mean(symbol, known)
            )
        start = min(max(0, whole("start", start)), len(self))
        hits = np.flatnonzero(np.isin(self.pcs[start:-1], np.array(places, dtype=np.uint64)))
        return int(hits[0]) + start if len(hits) else None

    def diff(self, other: Trace) -> TraceDiff:
        """Align this trace with another.

        Steps are the same where both execute the same instruction, but for its numbers, in the
        same function at the same exception level.

        Raises:
            TypeError: for what is no trace.
            ValueError: for two that differ too much in too many steps.
        """
        if not isinstance(other, Trace):
            raise WrongType(expected("a trace to compare with", other))
        return TraceDiff(self, other)

    def __iter__(self) -> Iterator[Step]:
        return (Step(self, index) for index in range(len(self)))

    @overload
    def __getitem__(self, index: SupportsIndex) -> Step: ...

    @overload
    def __getitem__(self, index: slice) -> Trace: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Step | Trace:
        if isinstance(index, slice):
            for part in (index.start, index.stop, index.step):
                if part is not None and not is_whole(part):
                    raise WrongType(expected("numbers of steps in the slice", part))
            step = 1 if index.step is None else whole("step", index.step)
            if step != 1:
                raise WrongValue(
                    expected("a slice in steps of 1, for a trace is cut in one piece", step)
                )
            start, stop, _ = index.indices(len(self))
            return self._cut(start, max(start, stop))
        if not is_whole(index):
            raise WrongType(expected("a step's number or a slice in brackets", index))
        number = whole("step", index)
        if not -len(self) <= number < len(self):
            raise WrongIndex(f"step {shown(number)} of a trace of {len(self)} steps")
        return Step(self, number % len(self))

    def _cut(self, start: int, stop: int) -> Trace:
        base = np.array(list(self.registers(start).values()), dtype=np.uint64)
        masks = self.masks[start : stop + 1].copy()
        masks[0] = 0  # the first row's state is the base: nothing differs from it
        first, end = self._ends[[start, stop]]
        exceptions = (
            replace(taken, step=taken.step - start)
            for taken in self.exceptions.values()
            if start <= taken.step < stop
        )
        edit = self.edit
        if edit is not None:
            inside = start <= edit.step <= stop
            edit = replace(edit, step=edit.step - start) if inside else None
        return Trace(
            self.image,
            base,
            self.pcs[start : stop + 1],
            masks,
            self.values[first:end],
            self.words,
            self._sysregs_before(start),
            exceptions,
            [(max(step - start, 0), pc, word) for step, pc, word in self.rewrites if step < stop],
            edit,
        )

    def _sysregs_before(self, row: int) -> dict[str, int]:
        """Return the system registers before step *row*."""
        news = self.sysreg_changes
        news = news[: np.searchsorted(news["step"], row)]
        names, now = tuple(self.sysregs), dict(self.sysregs)
        registers, newest = np.unique(news["register"][::-1], return_index=True)
        for register, value in zip(registers, news["value"][::-1][newest], strict=True):
            now[names[register]] = int(value)
        return now

    def table(self) -> str:
        """Return every step on a line, with what it changed.

        Raises ValueError for more than TABLE_STEPS.
        """
        if len(self) > TABLE_STEPS:
            raise WrongValue(
                f"a table of {len(self):,} lines is more than anybody reads: cut the "
                "trace, as in t[:1000].table()"
            )
        lines = []
        for step in self:
            news = ", ".join(
                f"{name} {old:#x} -> {new:#x}"
                for name, (old, new) in step.changed.items()
                if name != "pstate"
            )
            lines.append(f"{step!r}" + (f"    ; {news}" if news else ""))
        return "\n".join(lines)

    def __repr__(self) -> str:
        levels = "".join(
            f", EL{el}: {count}"
            for el in (1, 2)
            if (count := int(np.count_nonzero(self.els[:-1] == el)))
        )
        return f"Trace({len(self)} steps{levels})"
