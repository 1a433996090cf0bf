"""What Trace.origin and Trace.reaches answer, and how that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_SHOWN = 40  # rows of a table


@dataclass(frozen=True)
class Source:
    """Where a value begins.

    Attributes:
        kind: "immediate", "address" (relative to the PC), "literal", "table slot", "variable",
            "memory", "request" (the mailbox), "register" (as it was when the trace began or EL2
            was entered), "system register", "exception" (what the core wrote), "what if" (what
            a reader changed on the way), or "unknown".
        name: which one: an instruction, a label, a register.
        value: its value as an unsigned number, None where the trace does not hold it.
        owner: who gave it that value: "host", "VM", "linker", "boot", "EL2", "firmware", "core"
            (the architecture), "EL1, by its page tables", "you" (an Edit of the run), or "not
            known".
        role: how it takes part: "value", "address" (it chose where the value was loaded from) or
            "condition" (it chose between two values).
        step: the step that used it first.
        el1_may_write: whether EL1's page tables let it write the source; None where that is no
            question of memory, or EL1 has no host.
    """

    kind: str
    name: str
    value: int | None
    owner: str
    role: str
    step: int
    el1_may_write: bool | None = None

    def __repr__(self) -> str:
        value = "?" if self.value is None else f"{self.value:#x}"
        return f"Source({self.kind} {self.name} = {value}, {self.owner}, as {self.role})"


@dataclass(frozen=True)
class Origin:
    """Where a value came from.

    Attributes:
        what: what was asked for, such as "x30 before step 38".
        value: its value, unsigned; None where the trace does not hold it.
        meaning: whose address the value is, or "".
        steps: the steps that it went through, ascending.
        sources: where it began, in the order in which they were used.
        links: (step that wrote a place, step that used it, the place's name), ascending; the last
            step of the chain is used by None.
        notes: what the trace cannot know.
    """

    what: str
    value: int | None
    meaning: str
    steps: tuple[int, ...]
    sources: tuple[Source, ...]
    links: tuple[tuple[int, int | None, str], ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def owners(self) -> tuple[str, ...]:
        """Return whom the value depends on, each once, in the order of the sources."""
        return tuple(dict.fromkeys(source.owner for source in self.sources))

    def __repr__(self) -> str:
        value = "?" if self.value is None else f"{self.value:#x}"
        head = f"{self.what} = {value}" + (f", {self.meaning}" if self.meaning else "")
        rows = [
            (
                source.kind,
                source.name,
                "?" if source.value is None else f"{source.value:#x}",
                source.owner,
                source.role,
                {None: "", True: "may write", False: "read-only"}[source.el1_may_write],
            )
            for source in self.sources
        ]
        lines = [head, *_table(("source", "which", "value", "owner", "part", "EL1"), rows)]
        if self.steps:
            lines.append(f"by way of step{'s' * (len(self.steps) > 1)} {_ranges(self.steps)}")
        return "\n".join([*lines, *(f"not known: {note}" for note in self.notes)])


@dataclass(frozen=True)
class End:
    """What a value reaches.

    Attributes:
        kind: "register" or "memory" (it is there when the trace ends), "system register", "jump"
            (it went into the PC), "branch" (it decided one), or "load" (it chose the address).
        name: which one.
        step: the step at which it got there.
    """

    kind: str
    name: str
    step: int

    def __repr__(self) -> str:
        return f"End({self.kind} {self.name}, step {self.step})"


@dataclass(frozen=True)
class Reach:
    """What a value reaches.

    Attributes:
        what: what was asked for.
        steps: the steps that made something of it, ascending.
        ends: what it decided on the way and where it is when the trace ends, in order of steps.
        notes: what the trace cannot know.
    """

    what: str
    steps: tuple[int, ...]
    ends: tuple[End, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        rows = [(str(end.step), end.kind, end.name) for end in self.ends]
        lines = [f"{self.what} reaches", *_table(("step", "kind", "which"), rows)]
        if self.steps:
            lines.append(f"by way of step{'s' * (len(self.steps) > 1)} {_ranges(self.steps)}")
        return "\n".join([*lines, *(f"not known: {note}" for note in self.notes)])


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows in columns, the head first; a long one ends in a line that says so."""
    shown = [head, *rows[:_SHOWN]]
    widths = [max(len(row[n]) for row in shown) for n in range(len(head))]
    lines = ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)) for row in shown]
    if len(rows) > _SHOWN:
        lines.append(f"... and {len(rows) - _SHOWN} more")
    return ["  " + line.rstrip() for line in lines]


def _ranges(numbers: tuple[int, ...]) -> str:
    """Return numbers with runs as ranges: 12, 21-28."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    texts = [f"{a}" if a == b else f"{a}-{b}" for a, b in parts]
    return ", ".join(texts[:20] + (["..."] if len(texts) > 20 else []))
