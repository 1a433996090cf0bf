"""Variants set side by side: the table, the picture, and for two of them the code as well."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hypkit.comparison.ladder import ARGUMENTS, CALL, COLUMNS, CORES, Ladder, Rung, climb
from hypkit.cost import Counts, phases
from hypkit.kernel.variants import VARIANTS
from hypkit.pictures.drawing import CALL_STYLES, OKABE_ITO, Picture, canvas, figure, look

# What the picture of a ladder shows: a panel each, counts before models.
PANELS = (
    ("instructions", lambda counts: counts.instructions),
    ("load instructions", lambda counts: counts.loads),
)
PARTS = (
    ("host", lambda rung: rung.host, OKABE_ITO["sky blue"], ""),
    ("hyp", lambda rung: rung.hyp, OKABE_ITO["vermillion"], "xx"),
)
# The two cores that differ most: in order, and out of order.
SHOWN = (CORES[0], CORES[-1])
_SMALL = 8.5


def show_ladder(steps: Ladder) -> Picture:
    """A ladder as bars: what host and hyp execute and load, and the dispatch's modelled cycles."""
    rungs = steps.rungs
    with look():
        fig = canvas(9.6, 1.0 + 0.44 * len(rungs))
        panels = fig.subplots(1, 3, sharey=True, width_ratios=(6, 5, 5))
        for axes, (title, number) in zip(panels, PANELS, strict=False):
            _counts(axes, rungs, number)
            axes.set_title(title, loc="left", fontsize=9.5)
        _cycles(panels[2], rungs)
        panels[2].set_title("modelled cycles of the dispatch", loc="left", fontsize=9.5)
        panels[0].set_yticks(
            range(len(rungs)), [_label(rung.variant.key) for rung in rungs], fontsize=9
        )
        panels[0].set_ylim(len(rungs) - 0.4, -0.6)
        for axes in panels:
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", labelsize=_SMALL)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        fig.supxlabel(
            "host: the calling code. hyp: EL2 outside the handler.",
            x=0.01,
            ha="left",
            fontsize=_SMALL,
        )
        told = "; ".join(map(_told, rungs))
        return figure(
            fig,
            f"Bars of {steps.call} by variant: instructions and load instructions "
            "of host and hyp (EL2 outside the handler), and the dispatch's modelled "
            f"cycles on {SHOWN[0]} and {SHOWN[1]}. {told}.",
        )


def _label(key: str) -> str:
    """A key in lines of some twenty letters, so that the review's steps leave room for the bars."""
    lines = [""]
    for part in re.split(r"(?=\+)", key):
        if lines[-1] and len(lines[-1] + part) > 20:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _told(rung: Rung) -> str:
    """A rung's bars in words."""
    counts = ", ".join(
        f"{name} {part(rung).instructions} with {_loads(part(rung).loads)}"
        for name, part, _, _ in PARTS
    )
    one, other = (rung.cycles[core] for core in SHOWN)
    return f"{rung.variant.key}: {counts}, " + (
        "no dispatch" if one is None else f"{one} and {other} cycles"
    )


def _loads(number: int) -> str:
    return f"{number} load{'s' * (number != 1)}"


def _counts(axes: Axes, rungs: Sequence[Rung], number: Callable[[Counts], int]) -> None:
    """A bar a rung, the hyp's part after the host's."""
    most = max(sum(number(part(rung)) for _, part, _, _ in PARTS) for rung in rungs) or 1
    for row, rung in enumerate(rungs):
        at = 0
        for _, part, colour, hatch in PARTS:
            value = number(part(rung))
            if value:
                axes.barh(
                    row,
                    value,
                    left=at,
                    height=0.62,
                    color=colour,
                    hatch=hatch,
                    edgecolor="black",
                    linewidth=0.6,
                )
            at += value
        text = " + ".join(f"{number(part(rung))} {name}" for name, part, _, _ in PARTS)
        axes.text(at + most * 0.02, row, text, va="center", fontsize=_SMALL)
    axes.set_xlim(0, most * 1.75)


def _cycles(axes: Axes, rungs: Sequence[Rung]) -> None:
    """A bar a core for each rung that dispatches."""
    most = max((rung.cycles[core] or 0 for rung in rungs for core in SHOWN), default=0) or 1
    for row, rung in enumerate(rungs):
        if rung.cycles[SHOWN[0]] is None:
            axes.text(most * 0.02, row, "no dispatch", va="center", fontsize=_SMALL)
            continue
        for n, core in enumerate(SHOWN):
            colour, hatch = CALL_STYLES[n + 1]
            cycles, at = rung.cycles[core], row - 0.17 + 0.34 * n
            axes.barh(
                at, cycles, height=0.3, color=colour, hatch=hatch, edgecolor="black", linewidth=0.6
            )
            axes.text(cycles + most * 0.02, at, f"{cycles}  {core}", va="center", fontsize=7.5)
    axes.set_xlim(0, most * 1.6)


class Comparison:
    """A ladder with its picture; for two rungs, their dispatch code side by side as well."""

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
    rows = []
    for name, about, read in COLUMNS:
        one, other = read(a), read(b)
        known = one is not None and other is not None
        cells = [
            html.escape(about),
            *("&ndash;" if v is None else v for v in (one, other)),
            f"{other - one:+d}" if known else "",
        ]
        rows.append(
            f'<tr><th scope="row" style="text-align: left">{name}</th>'
            + "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells)
            + "</tr>"
        )
    head = "".join(
        f'<th scope="col" style="text-align: left">{html.escape(word)}</th>'
        for word in ("measure", "what it counts", a.variant.key, b.variant.key, "difference")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _side_by_side(a: Rung, b: Rung) -> str:
    """The instructions from the stub test to the branch into the handler, of both."""
    listings = []
    for rung in (a, b):
        listings.append(
            [
                step.text
                for step, phase in zip(rung.trace, phases(rung.trace), strict=True)
                if phase in ("dispatch", "call")
            ]
        )
    rows = []
    for n in range(max(map(len, listings))):
        cells = "".join(
            f'<td style="text-align: left"><code>{html.escape(lines[n]) if n < len(lines) else ""}'
            "</code></td>"
            for lines in listings
        )
        rows.append(f'<tr><th scope="row">{n + 1}</th>{cells}</tr>')
    head = "".join(
        f'<th scope="col" style="text-align: left">{html.escape(rung.variant.key)}</th>'
        for rung in (a, b)
    )
    return (
        '<table><caption style="text-align: left">EL2, from the range test to the branch into '
        f'the handler</caption><thead><tr><th scope="col">#</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def compare(
    a: str, b: str, call: str = CALL, arguments: Sequence[int | str] = ARGUMENTS
) -> Comparison:
    """Two variants side by side for one call: counts, bytes, modelled cycles, and the code.

    a, b: keys of VARIANTS; call and arguments, and what is raised: as in ladder.measure.
    """
    return Comparison(climb([a, b], call, arguments))


def ladder(
    keys: Iterable[str] = tuple(VARIANTS),
    call: str = CALL,
    arguments: Sequence[int | str] = ARGUMENTS,
) -> Comparison:
    """All variants (or those of *keys*) for one call, in the order of the story.

    call and arguments, and what is raised: as in ladder.climb.
    """
    return Comparison(climb(keys, call, arguments))
