"""Where every value of a short trace comes from and what it reaches, for a page without a kernel.

The answers are those of Trace.origin and Trace.reaches, each kept once for all the steps at which
the same value stands in the same place and is asked for at the same exception level.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.a64.registers import REGISTERS
from hypkit.kernel.memory_map import HEAP, VM_IPA
from hypkit.trace import Trace
from hypkit.trace.dataflow import Dataflow
from hypkit.trace.lineage import Origin, Reach, Source

MOST = 500  # steps of a trace for which all answers are worked out
BEFORE = -1  # in place of a step: the value was there when the trace began
EDIT = "edit"  # in place of a step: the reader put it there, and no step has stored there since


_At = tuple[str, int, str, int]  # a register, a step, the place that it is there, its last writer


class _Pool:
    """Values that many answers share, each once, known by its number."""

    def __init__(self) -> None:
        self.numbers: dict[Hashable, int] = {}
        self.values: list[Any] = []

    def add(self, value: list) -> int:
        """Return the number of a value."""
        key = repr(value)
        if key not in self.numbers:
            self.numbers[key] = len(self.values)
            self.values.append(value)
        return self.numbers[key]


def answers(trace: Trace) -> dict[str, Any] | None:
    """Return the answers to all questions for a value of a trace; None where it is too long.

    Returns:
        "of": "place writer el" -> [runs of steps, sources, notes], "reach": "place writer" ->
        [runs, ends, notes]; the sources, ends and notes are numbers in the lists of these names. A
        place is a register, where SP is sp_el1 or sp_el2, or "pa size" of memory; the writer is a
        step, BEFORE or EDIT. "writers": place -> the steps that write it.
    """
    if len(trace) > MOST:
        return None
    sources, ends, notes = _Pool(), _Pool(), _Pool()
    of: dict[str, list] = {}
    reach: dict[str, list] = {}
    rows = list(_rows(trace, Dataflow(trace)))
    for key, name, step, size in _questions(trace, rows):
        of[key] = _origin(trace.origin(name, step, size=size), sources, notes)
    for key, name, step in _values(rows):
        reach[key] = _reach(trace.reaches(name, step), ends, notes)
    return {
        "of": of,
        "reach": reach,
        "writers": _writers(rows),
        "sources": sources.values,
        "ends": ends.values,
        "notes": notes.values,
    }


def _questions(trace: Trace, rows: list[_At]) -> Iterator[tuple[str, str | int, int, int]]:
    """(key, register or address, step, bytes) of each question where a value comes from."""
    asked = set()
    for name, step, place, writer in rows:
        key = f"{place} {writer} {int(trace.els[step])}"
        if key not in asked:
            asked.add(key)
            yield key, name, step, 8
    for step, va, _, size, store, faulted, _ in trace.accesses.tolist():
        pa = physical(trace, va)
        if faulted or pa is None:
            continue
        if _edited(trace, step, pa, size) and (key := f"{pa} {size} {EDIT}") not in asked:
            asked.add(key)
            yield key, va, step, size
        for writer in (BEFORE, step) if store else (BEFORE,):
            key = f"{pa} {size} {writer}"
            if key not in asked:
                asked.add(key)
                yield key, va, writer + 1, size


def _edited(trace: Trace, step: int, pa: int, size: int) -> bool:
    """Return whether some of these bytes are what a reader put there before a step."""
    edit = trace.edit
    return (
        edit is not None
        and step >= edit.step
        and any(pa < at + len(data) and at < pa + size for at, data in edit.memory.items())
    )


def physical(trace: Trace, va: int) -> int | None:
    """Return the physical address of an address of the kernel or of the VM, None for another."""
    if VM_IPA <= va < VM_IPA + PAGE_SIZE:
        return va - VM_IPA + HEAP["vm_memory"][0]
    return trace.image.layout.pa(va)


def _values(rows: list[_At]) -> Iterator[tuple[str, str, int]]:
    """(key, register, step) of each value of a register, at the first step where it is there."""
    asked = set()
    for name, step, place, writer in rows:
        key = f"{place} {writer}"
        if key not in asked:
            asked.add(key)
            yield key, name, step


def _rows(trace: Trace, flow: Dataflow) -> Iterator[_At]:
    """Every register at every step."""
    for name in REGISTERS:
        if name == "pstate":
            continue
        for step in range(len(trace) + 1):
            place = flow.stack(step) if name == "sp" else name
            writer = flow.writer(place, step)
            yield name, step, place, BEFORE if writer is None else writer


def _writers(rows: list[_At]) -> dict[str, list[int]]:
    """The steps that write each place, whether or not they change what is there."""
    found: dict[str, list[int]] = {}
    for _, _, place, writer in rows:
        steps = found.setdefault(place, [])
        if writer != BEFORE and writer not in steps[-1:]:
            steps.append(writer)
    return found


def told(trace: Trace, name: str, step: int) -> dict[str, Any]:
    """Return the answer to one question, ready for JSON."""
    origin, reach = trace.origin(name, step), trace.reaches(name, step)
    return {
        "what": origin.what,
        "value": None if origin.value is None else f"{origin.value:x}",
        "steps": runs(origin.steps),
        "sources": [_source(source) for source in origin.sources],
        "notes": list(origin.notes),
        "reached": runs(reach.steps),
        "ends": [[end.kind, end.name, end.step] for end in reach.ends],
        "toward": list(reach.notes),
    }


def _source(source: Source) -> list:
    value = None if source.value is None else f"{source.value:x}"
    head = [source.kind, source.name, value, source.owner]
    return [*head, source.role, source.step, source.el1_may_write]


def _origin(found: Origin, sources: _Pool, notes: _Pool) -> list:
    numbers = [sources.add(_source(source)) for source in found.sources]
    return [runs(found.steps), numbers, [notes.add([note]) for note in found.notes]]


def _reach(found: Reach, ends: _Pool, notes: _Pool) -> list:
    numbers = [ends.add([end.kind, end.name, end.step]) for end in found.ends]
    return [runs(found.steps), numbers, [notes.add([note]) for note in found.notes]]


def runs(steps: Iterable[int]) -> list[int]:
    """Return ascending numbers as first, last, first, last ... of unbroken runs."""
    found: list[int] = []
    for step in steps:
        if found and step == found[-1] + 1:
            found[-1] = step
        else:
            found += [step, step]
    return found
