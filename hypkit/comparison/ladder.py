"""The variants side by side: what one and the same call costs in each, counted and modelled.

A rung is one variant, measured by running it; a Ladder is a table of rungs. The pictures are in
comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hypkit import facts
from hypkit.cost import Counts, Footprint, timing
from hypkit.emu import Machine
from hypkit.errors import WrongType, WrongValue, expected
from hypkit.kernel.variants import VARIANTS, Variant, variant
from hypkit.pictures.html import Column, table
from hypkit.trace import Trace

CALL, ARGUMENTS = "__kvm_timer_set_cntvoff", (0x1234,)
CORES = facts.modelled()
# The review's suggestions one on top of the other, in the order in which they show.
REVIEW = (
    "numbered",
    "numbered+enum",
    "numbered+enum+adr_l",
    "numbered+enum+adr_l+cached",
    "numbered+enum+no_base+adr_l+cached",
    "reviewed",
)
SEED = 2020


@dataclass(frozen=True)
class Rung:
    """One variant's cost for one call.

    host: the host's part; dispatch: from the range test to the handler's address; hyp: all of EL2
    but the handler, nothing where the host is at EL2 itself. footprint: bytes, lines and pages of
    host and hyp together. cycles: core -> modelled cycles of the dispatch, None where nothing is
    dispatched.
    """

    variant: Variant
    host: Counts
    dispatch: Counts
    hyp: Counts
    footprint: Footprint
    cycles: dict[str, int | None]
    trace: Trace

    def __repr__(self) -> str:
        return (
            f"Rung({self.variant.key}: host {self.host.instructions}, hyp "
            f"{self.hyp.instructions}, of which dispatch {self.dispatch.instructions} with "
            f"{self.dispatch.loads} loads)"
        )


def measure(key: str, call: str = CALL, arguments: Sequence[int | str] = ARGUMENTS) -> Rung:
    """Run one call on a machine of that variant and count it.

    Args:
        key: of VARIANTS, or numbered with suggestions ("numbered+adr_l").
        call: a hypercall's name.
        arguments: numbers, or names of the guest's structures.

    Returns:
        A Rung: instructions, loads, bytes and modelled cycles.

    Raises:
        KeyError: for a variant or a hypercall that does not exist.
        TypeError: for an argument of a wrong kind.
        ValueError: for a call that does not return: its counts would be those of a failure.
    """
    if not isinstance(key, str):
        raise WrongType(expected("a variant by its key, such as 'numbered'", key))
    if not isinstance(call, str):
        raise WrongType(expected("a call by its name, since its number differs by variant", call))
    if isinstance(arguments, str | bytes) or not isinstance(arguments, Sequence):
        raise WrongType(f"arguments: {expected('a list, also of one', arguments)}")
    with Machine(key, seed=SEED) as machine:
        made = machine.call(call, *arguments)
    if made.outcome != "returned":
        raise WrongValue(
            f"{key}: {call} {made.outcome}, so there is nothing to compare: {made.message}"
        )
    cost = made.cost
    dispatches = "dispatch" in cost.phases
    return Rung(
        variant(key),
        cost.phases["host"],
        cost.phases.get("dispatch", Counts()),
        cost.hyp,
        cost.footprint,
        {core: timing(made.trace, core).cycles if dispatches else None for core in CORES},
        made.trace,
    )


# Columns of a ladder: heading, unit or explanation, and how to read it off a rung.
COLUMNS: tuple[tuple[str, str, Callable[[Rung], int | None]], ...] = (
    ("host", "instructions of the host", lambda r: r.host.instructions),
    ("host loads", "load instructions among them", lambda r: r.host.loads),
    (
        "dispatch",
        "instructions from the range test to the handler's address",
        lambda r: r.dispatch.instructions,
    ),
    ("dispatch loads", "load instructions among them", lambda r: r.dispatch.loads),
    ("hyp", "instructions of the hyp outside the handler", lambda r: r.hyp.instructions),
    ("hyp loads", "load instructions among them", lambda r: r.hyp.loads),
    ("code", "bytes of code executed, host and hyp", lambda r: r.footprint.code),
    (
        "data",
        "bytes of literals, table and data touched",
        lambda r: r.footprint.pool + r.footprint.table + r.footprint.data,
    ),
    ("lines", "64-byte lines touched", lambda r: r.footprint.lines),
    ("pages", "4 KiB pages touched", lambda r: r.footprint.pages),
    *(
        (core, "modelled cycles of the dispatch", lambda r, core=core: r.cycles[core])
        for core in CORES
    ),
)


class Ladder:
    """Rungs in order, as a table: a row a variant, a column a measure."""

    def __init__(self, rungs: Sequence[Rung], call: str) -> None:
        self.rungs, self.call = tuple(rungs), call

    def rows(self) -> list[tuple[str | int | None, ...]]:
        """Return (key, then one number a column of COLUMNS) for each rung."""
        return [(rung.variant.key, *(read(rung) for _, _, read in COLUMNS)) for rung in self.rungs]

    def savings(self) -> list[tuple[str | int | None, ...]]:
        """Return what each rung but the first spares against the one before, in the form of rows().

        Negative where it takes more, None where one of the two has no such number.
        """
        numbers = [[read(rung) for _, _, read in COLUMNS] for rung in self.rungs]
        return [
            (
                rung.variant.key,
                *(
                    None if a is None or b is None else a - b
                    for a, b in zip(before, after, strict=True)
                ),
            )
            for rung, before, after in zip(self.rungs[1:], numbers, numbers[1:], strict=False)
        ]

    def _repr_html_(self) -> str:
        columns: list[Column | str] = [
            "variant",
            *(Column(name, about, "right") for name, about, _ in COLUMNS),
        ]
        return table(
            columns,
            self.rows(),
            caption=f"{self.call}: instructions, loads, bytes, and modelled cycles of the dispatch",
        )

    def __repr__(self) -> str:
        rows = [
            ("variant", *(name for name, _, _ in COLUMNS)),
            *(tuple("-" if cell is None else str(cell) for cell in row) for row in self.rows()),
        ]
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        return "\n".join(
            "  ".join(
                [
                    row[0].ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
                ]
            )
            for row in rows
        )


def climb(
    keys: Iterable[str] = tuple(VARIANTS),
    call: str = CALL,
    arguments: Sequence[int | str] = ARGUMENTS,
) -> Ladder:
    """Measure variants with one call, in the order given; by default all, in that of the story.

    Args:
        keys: keys of VARIANTS, or numbered with suggestions ("numbered+adr_l").
        call: a hypercall's name.
        arguments: numbers, or names of the guest's structures.

    Returns:
        A Ladder: a Rung for each key.

    Raises:
        KeyError: for a variant or a hypercall that does not exist.
        TypeError: for keys that are no list, and other arguments of a wrong kind.
        ValueError: for no keys at all, and for a call that does not return.
    """
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise WrongType(f"keys: {expected('a list of keys of VARIANTS', keys)}")
    keys = list(keys)
    if not keys:
        raise WrongValue("keys: expected at least one key of VARIANTS; got none")
    return Ladder([measure(key, call, arguments) for key in keys], call)
