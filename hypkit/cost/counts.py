"""Executed instructions counted by kind and phase, and the bytes that they touch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from hypkit.a64.decode import Instruction, decode
from hypkit.cost.phase import HYP_PHASES, NUMBERS, PHASES, phase_numbers
from hypkit.errors import Named, needs
from hypkit.kernel import tables
from hypkit.trace import Trace
from hypkit.trace.columns import Columns

LINE, PAGE = 64, 4096
# Labels of what a number selects a function from, and the bytes of a slot.
TABLES = {table.label: table.size for table in tables.TABLES.values() if table.loaded} | {
    "host_hcall": 8  # that of a real kernel
}


@dataclass
class Counts:
    """Numbers of executed instructions of each kind; a load pair is one load."""

    instructions: int = 0
    loads: int = 0
    stores: int = 0
    taken: int = 0  # branches that went elsewhere, calls and returns included
    not_taken: int = 0
    indirect: int = 0  # of those taken, the ones whose target is in a register

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Footprint:
    """Bytes touched, each once, by what they are; and the lines and pages they lie in."""

    code: int
    pool: int
    table: int
    data: int
    lines: int  # distinct 64-byte lines, by physical address
    pages: int  # distinct 4 KiB pages


@dataclass
class Cost:
    """The counted cost of a trace: Counts by phase, and the footprint of the dispatching part."""

    phases: dict[str, Counts]
    footprint: Footprint
    steps: dict[str, list[int]] = field(repr=False)  # phase -> step numbers

    @property
    def total(self) -> Counts:
        """Return the counts of all phases together."""
        return sum(self.phases.values(), Counts())

    @property
    def hyp(self) -> Counts:
        """Return the counts of EL2 outside the handler: what the ABI costs there."""
        return sum((self.phases[name] for name in HYP_PHASES if name in self.phases), Counts())

    def rows(self) -> list[tuple[str, int, int, int, int, int, int]]:
        """Return (phase, and each field of its Counts in order) for each phase met."""
        return [
            (name, *(getattr(counts, f.name) for f in fields(counts)))
            for name, counts in self.phases.items()
        ]

    def __repr__(self) -> str:
        head = ("phase", *(f.name for f in fields(Counts)))
        rows = [
            head,
            *self.rows(),
            ("total", *(getattr(self.total, f.name) for f in fields(Counts))),
        ]
        return "\n".join(
            f"{row[0]:9}" + "".join(f"{value:>13}" for value in row[1:]) for row in rows
        )


def count(trace: Trace) -> Cost:
    """Count a call's trace.

    The footprint covers the host's part and EL2's, but not the handler's.
    """
    needs(Columns, "a trace, such as call.trace", trace)
    of_step, moves = phase_numbers(trace), counted(trace)
    names = tuple(PHASES)
    # In the order in which they are met.
    met = [names[number] for number in dict.fromkeys(of_step.tolist())]
    steps = {name: np.flatnonzero(of_step == NUMBERS[name]) for name in met}
    return Cost(
        Named(
            "phase",
            {
                name: Counts(*(int(np.count_nonzero(column[at])) for column in moves))
                for name, at in steps.items()
            },
        ),
        _footprint(trace, np.isin(of_step, [NUMBERS[name] for name in ("host", *HYP_PHASES)])),
        {name: at.tolist() for name, at in steps.items()},
    )


def counted(trace: Trace) -> tuple[np.ndarray, ...]:
    """Return for each field of Counts whether each step counts there; arrays of bool."""
    needs(Columns, "a trace, such as call.trace", trace)
    _, site = trace.sites
    kinds = [counts_as(decode(word)) for word in trace.site_words]
    load, store, branch, indirect = np.array(kinds, dtype=bool).reshape(-1, 4).T[:, site]
    went = trace.pcs[1:] != trace.pcs[:-1] + np.uint64(4)
    return np.ones(len(trace), bool), load, store, branch & went, branch & ~went, indirect


def counts_as(instruction: Instruction) -> tuple[bool, bool, bool, bool]:
    """Return whether an instruction is a load, a store, a branch, an indirect branch."""
    needs(Instruction, "an instruction, such as trace[0].instruction", instruction)
    moves = instruction.memory.kind if instruction.memory else ""
    return (
        moves == "load",
        moves == "store",
        instruction.operation.is_branch,
        instruction.operation.indirect,
    )


def _footprint(trace: Trace, wanted: np.ndarray) -> Footprint:
    """Return what the wanted steps touch; wanted: a bool a step."""
    image, (pcs, site) = trace.image, trace.sites
    code = [
        pa
        for pc in pcs[np.unique(site[wanted])].tolist()
        if (pa := image.layout.pa(pc)) is not None
    ]
    touched: dict[str, list[tuple[list[int], int]]] = {
        "code": [(code, 4)],
        "pool": [],
        "table": [],
        "data": [],
    }
    moved = trace.accesses[wanted[trace.accesses["step"]]]
    operands = (decode(word).memory for word in trace.site_words)
    literal = np.array(
        [operand is not None and operand.base is None for operand in operands], dtype=bool
    )[site[moved["step"]]]
    for size in np.unique(moved["size"]).tolist():
        for pool in (False, True):
            addresses = moved["va"][(moved["size"] == size) & (literal == pool)]
            places: dict[str, list[int]] = {}
            for va in np.unique(addresses).tolist():
                pa = image.layout.pa(va)
                if pa is None:
                    continue
                table = (image.symbolize(va) or "").startswith(tuple(TABLES))
                kind = "table" if table else "pool" if pool else "data"
                places.setdefault(kind, []).append(pa)
            for kind, found in places.items():
                touched[kind].append((found, size))
    spread = {kind: _bytes(parts) for kind, parts in touched.items()}
    everything = np.unique(np.concatenate(list(spread.values())))
    return Footprint(
        **{kind: len(found) for kind, found in spread.items()},
        lines=len(np.unique(everything // LINE)),
        pages=len(np.unique(everything // PAGE)),
    )


def _bytes(parts: list[tuple[list[int], int]]) -> np.ndarray:
    """Return every byte of [(addresses, bytes at each)], once."""
    return np.unique(
        np.concatenate(
            [
                np.zeros(0, np.int64),
                *(
                    (np.array(places, dtype=np.int64)[:, None] + np.arange(size)).ravel()
                    for places, size in parts
                ),
            ]
        )
    )
