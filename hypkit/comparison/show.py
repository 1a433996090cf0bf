"""Variants set side by side: the table, the picture, and for two of them the code as well."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from hypkit.comparison.ladder import ARGUMENTS, CALL, COLUMNS, CORES, Ladder, Rung, climb
from hypkit.cost import Counts, phases
from hypkit.errors import WrongType, expected
from hypkit.kernel.variants import VARIANTS, Variant
from hypkit.pictures.html import Cell, Column, code, table
from hypkit.pictures.palette import DIM, PHASE, Look, variant
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas, width_of

# What the picture of a ladder shows: a panel each, counts before models.
PANELS: tuple[tuple[str, Callable[[Counts], int]], ...] = (
    ("instructions", lambda counts: counts.instructions),
    ("load instructions", lambda counts: counts.loads),
)
PARTS: tuple[tuple[str, Callable[[Rung], Counts], Look], ...] = (
    ("host", lambda rung: rung.host, PHASE["host"]),
    ("hyp", lambda rung: rung.hyp, PHASE["dispatch"]),
)
# The two cores that differ most: in order, and out of order.
SHOWN = (CORES[0], CORES[-1])
_SMALL = 11
_GAP = 14


def show_ladder(steps: Ladder) -> Picture:
    """Draw a ladder as bars: what host and hyp execute and load, and the dispatch's cycles.

    Args:
        steps: what ladder.climb() returned, or ladder().ladder.

    Returns:
        A Picture; its alternative text has every number.

    Raises:
        TypeError: for what is no Ladder.
    """
    if not isinstance(steps, Ladder):
        raise WrongType(expected("a Ladder (ladder().ladder)", steps))
    rungs = steps.rungs
    told = "; ".join(map(_told, rungs))
    canvas = Canvas(
        WIDTH + 40,
        f"What {steps.call} costs, by variant",
        f"Bars of {steps.call} by variant: instructions and load instructions of host and hyp "
        f"(EL2 outside the handler), and the dispatch's modelled cycles on {SHOWN[0]} and "
        f"{SHOWN[1]}. {told}.",
    )
    row, top = 38, 34.0
    names = rung_labels([rung.variant for rung in rungs])
    label = 20 + max(width_of(line, _SMALL, mono=True) for lines in names for line in lines)
    inner = canvas.width - label - 12 - 2 * _GAP
    widths = (inner * 0.37, inner * 0.33, inner * 0.30)
    starts = (label, label + widths[0] + _GAP, label + widths[0] + widths[1] + 2 * _GAP)
    titles = (*(title for title, _ in PANELS), "dispatch, modelled cycles")
    for x, title in zip(starts, titles, strict=True):
        canvas.text(x, 20, title, 12, bold=True)
        canvas.line((x, top - 6), (x, top + row * len(rungs)), weight=0.8)
    for n, lines in enumerate(names):
        for k, line in enumerate(lines):
            canvas.text(
                label - 8, top + row * n + 18 + 12 * (k - (len(lines) - 1) / 2), line, _SMALL,
                mono=True, anchor="end",
            )  # fmt: skip
    for x, wide, (_, number) in zip(starts, widths, PANELS, strict=False):
        _counts(canvas, rungs, number, x, wide, top, row)
    _cycles(canvas, rungs, starts[2], widths[2], top, row)
    bottom = top + row * len(rungs) + 14
    at = label
    for (name, _, look), words in zip(
        PARTS, ("the calling code", "EL2 outside the handler"), strict=True
    ):
        canvas.box(at, bottom - 10, 14, 12, look, weight=0.8)
        canvas.text(at + 20, bottom, f"{name}: {words}", 12, ink=DIM)
        at += 44 + width_of(f"{name}: {words}", 12)
    return Picture(canvas, bottom + 10)


def rung_labels(variants: Sequence[Variant]) -> list[list[str]]:
    """Return each rung's name in lines: where every rung adds to the one above it, what it adds."""
    added = [
        sorted(below.options - above.options)
        for above, below in zip(variants, variants[1:], strict=False)
        if above.options < below.options
    ]
    if len(variants) < 2 or len(added) < len(variants) - 1:
        return [label_lines(one.key) for one in variants]
    labels = [label_lines(variants[0].key)]
    for one, new in zip(variants[1:], added, strict=True):
        own = [] if "+" in one.key else [one.key]
        labels.append([*own, *(f"+ {name}" for name in new)])
    return labels


def label_lines(key: str) -> list[str]:
    """Return a key in lines of some twenty letters, broken where a suggestion begins."""
    lines = [""]
    for part in re.split(r"(?=\+)", key):
        if lines[-1] and len(lines[-1] + part) > 20:
            lines.append("")
        lines[-1] += part
    return lines


def _told(rung: Rung) -> str:
    """A rung's bars in words."""
    counts = ", ".join(
        f"{name} {part(rung).instructions} with {_loads(part(rung).loads)}"
        for name, part, _ in PARTS
    )
    one, other = (rung.cycles[core] for core in SHOWN)
    return f"{rung.variant.key}: {counts}, " + (
        "no dispatch" if one is None else f"{one} and {other} cycles"
    )


def _loads(number: int) -> str:
    return f"{number} load{'s' * (number != 1)}"


def _counts(
    canvas: Canvas,
    rungs: Sequence[Rung],
    number: Callable[[Counts], int],
    x: float,
    wide: float,
    top: float,
    row: int,
) -> None:
    """A bar a rung, the hyp's part after the host's, and the two numbers below it."""
    most = max(sum(number(part(rung)) for _, part, _ in PARTS) for rung in rungs) or 1
    for n, rung in enumerate(rungs):
        at, y = x, top + row * n
        for _, part, look in PARTS:
            length = number(part(rung)) * (wide - 4) / most
            if length:
                canvas.box(at, y + 2, length, 15, look, weight=0.8)
            at += length
        text = " + ".join(f"{number(part(rung))} {name}" for name, part, _ in PARTS)
        canvas.text(x + 4, y + 29, text, _SMALL, mono=True)


def _cycles(
    canvas: Canvas, rungs: Sequence[Rung], x: float, wide: float, top: float, row: int
) -> None:
    """A bar a core for each rung that dispatches."""
    most = max((rung.cycles[core] or 0 for rung in rungs for core in SHOWN), default=0) or 1
    room = wide - 8 - max(width_of(f"{most}  {core}", _SMALL, mono=True) for core in SHOWN)
    for n, rung in enumerate(rungs):
        for k, core in enumerate(SHOWN):
            cycles, y = rung.cycles[core], top + row * n + 2 + 16 * k
            if cycles is None:
                if not k:
                    canvas.text(x + 4, y + 18, "no dispatch", _SMALL, italic=True, ink=DIM)
                continue
            length = cycles * room / most
            canvas.box(x, y, length, 13, variant(k), weight=0.8)
            canvas.text(x + length + 5, y + 11, f"{cycles}  {core}", _SMALL, mono=True)


class Comparison:
    """A ladder with its picture; for two rungs, their dispatch code side by side as well.

    ladder: the numbers; picture: the same as bars.
    """

    def __init__(self, steps: Ladder) -> None:
        self.ladder = steps
        self.picture = show_ladder(steps)

    def _repr_html_(self) -> str:
        parts = [self.ladder._repr_html_(), self.picture._repr_html_()]
        if len(self.ladder.rungs) == 2:
            parts = [_two(*self.ladder.rungs), parts[1], _side_by_side(*self.ladder.rungs)]
        return "".join(parts)

    def __repr__(self) -> str:
        return repr(self.ladder)


def _two(a: Rung, b: Rung) -> str:
    """Two rungs as columns, a row a measure, with the difference."""
    rows: list[list[Cell]] = []
    for name, about, read in COLUMNS:
        one, other = read(a), read(b)
        apart = "" if one is None or other is None else f"{other - one:+d}"
        rows.append([name, about, one, other, apart])
    columns = (
        "measure",
        "what it counts",
        Column(a.variant.key, align="right"),
        Column(b.variant.key, align="right"),
        Column("difference", align="right"),
    )
    return table(columns, rows)


def _side_by_side(a: Rung, b: Rung) -> str:
    """The instructions from the stub test to the branch into the handler, of both."""
    listings = [
        [
            step.text
            for step, phase in zip(rung.trace, phases(rung.trace), strict=True)
            if phase in ("dispatch", "call")
        ]
        for rung in (a, b)
    ]
    rows: list[list[Cell]] = [
        [n + 1, *(code(lines[n]) if n < len(lines) else "" for lines in listings)]
        for n in range(max(map(len, listings)))
    ]
    columns = (Column("#", align="right"), a.variant.key, b.variant.key)
    return table(columns, rows, caption="EL2, from the range test to the branch into the handler")


def compare(
    a: str, b: str, call: str = CALL, arguments: Sequence[int | str] = ARGUMENTS
) -> Comparison:
    """Set two variants side by side for one call: counts, bytes, modelled cycles, and the code.

    Args:
        a: a key of VARIANTS.
        b: another.
        call: a hypercall's name.
        arguments: numbers, or names of the guest's structures.

    Returns:
        A Comparison, which shows itself; its numbers are in .ladder.

    Raises:
        KeyError: for a variant or a hypercall that does not exist.
        TypeError, ValueError: for other wrong arguments, and for a call that does not return.
    """
    return Comparison(climb([a, b], call, arguments))


def ladder(
    keys: Iterable[str] = tuple(VARIANTS),
    call: str = CALL,
    arguments: Sequence[int | str] = ARGUMENTS,
) -> Comparison:
    """Set all variants (or those of *keys*) side by side for one call, in the order of the story.

    Args:
        keys: keys of VARIANTS.
        call: a hypercall's name.
        arguments: numbers, or names of the guest's structures.

    Returns:
        A Comparison, which shows itself; its numbers are in .ladder.

    Raises:
        KeyError: for a variant or a hypercall that does not exist.
        TypeError, ValueError: for other wrong arguments, and for a call that does not return.
    """
    return Comparison(climb(keys, call, arguments))
