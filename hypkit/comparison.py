"""Variants compared: compare() sets two side by side, ladder() shows the whole story, as a table and
a picture."""

from __future__ import annotations

import html
from collections.abc import Sequence

from hypkit.abi import VARIANTS
from hypkit.cost import phases
from hypkit.measure import ARGUMENTS, CALL, COLUMNS, CORES, Ladder, Rung, climb
from hypkit.viz import CALL_STYLES, OKABE_ITO, Picture, canvas, figure, look

# What the picture of a ladder shows: a panel each, counts before models.
PANELS = (
    ("instructions", (("host", lambda r: r.host.instructions, OKABE_ITO["sky blue"], ""),
                      ("EL2, outside the handler", lambda r: r.hyp.instructions,
                       OKABE_ITO["vermillion"], "xx"))),
    ("load instructions", (("host", lambda r: r.host.loads, OKABE_ITO["sky blue"], ""),
                           ("EL2, outside the handler", lambda r: r.hyp.loads,
                            OKABE_ITO["vermillion"], "xx"))),
)


def show_ladder(steps: Ladder) -> Picture:
    """A ladder as bars: what host and hyp execute and load, and the dispatch's modelled cycles."""
    rungs = steps.rungs
    names = [rung.variant.key for rung in rungs]
    with look():
        fig = canvas(9.6, 1.1 + 0.44 * len(rungs))
        panels = fig.subplots(1, 3, sharey=True, width_ratios=(3, 2, 3))
        for axes, (title, parts) in zip(panels, PANELS, strict=False):
            left = [0] * len(rungs)
            for name, read, colour, hatch in parts:
                values = [read(rung) for rung in rungs]
                axes.barh(range(len(rungs)), values, left=left, height=0.62, color=colour,
                          hatch=hatch, edgecolor="black", linewidth=0.6, label=name)
                left = [a + b for a, b in zip(left, values, strict=True)]
            for row, rung in enumerate(rungs):
                text = " + ".join(str(read(rung)) for _, read, _, _ in parts)
                axes.text(left[row] + max(left) * 0.02, row, text, va="center", fontsize=8.5)
            axes.set_xlim(0, max(left) * 1.3 or 1)
            axes.set_title(f"{title}: host + EL2", loc="left", fontsize=9.5)
        _cycles(panels[2], rungs)
        panels[0].set_yticks(range(len(rungs)), names, fontsize=9)
        panels[0].set_ylim(len(rungs) - 0.4, -0.6)
        for axes in panels:
            axes.tick_params(axis="y", length=0)
        fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=2,
                   frameon=False, fontsize=8.5)
        told = "; ".join(
            f"{rung.variant.key}: host {rung.host.instructions} with {rung.host.loads} loads, EL2 "
            f"{rung.hyp.instructions} with {rung.hyp.loads} loads, "
            + (f"{rung.cycles[CORES[0]]} and {rung.cycles[CORES[-1]]} cycles"
               if rung.cycles[CORES[0]] is not None else "no dispatch") for rung in rungs)
        return figure(fig, f"Bars of {steps.call} by variant: instructions and load instructions of "
                      f"host and EL2, and the dispatch's modelled cycles on {CORES[0]} and "
                      f"{CORES[-1]}. {told}.")


def _cycles(axes, rungs: Sequence[Rung]) -> None:
    """Two cores that differ most: in order, and out of order."""
    shown = (CORES[0], CORES[-1])
    most = max((rung.cycles[core] or 0 for rung in rungs for core in shown), default=0) or 1
    for n, core in enumerate(shown):
        colour, hatch = CALL_STYLES[n + 2]
        for row, rung in enumerate(rungs):
            cycles, at = rung.cycles[core], row - 0.17 + 0.34 * n
            axes.barh(at, cycles or 0, height=0.3, color=colour, hatch=hatch, edgecolor="black",
                      linewidth=0.6)
            text = f"{cycles}  {core}" if cycles is not None else f"none  {core}"
            axes.text((cycles or 0) + most * 0.02, at, text, va="center", fontsize=7.5)
    axes.set_xlim(0, most * 1.5)
    axes.set_title("dispatch, cycles (model)", loc="left", fontsize=9.5)


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
        cells = [html.escape(about), *("&ndash;" if v is None else v for v in (one, other)),
                 f"{other - one:+d}" if known else ""]
        rows.append(f'<tr><th scope="row" style="text-align: left">{name}</th>'
                    + "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells)
                    + "</tr>")
    head = "".join(f'<th scope="col" style="text-align: left">{html.escape(word)}</th>' for word in
                   ("measure", "what it counts", a.variant.key, b.variant.key, "difference"))
    return (f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def _side_by_side(a: Rung, b: Rung) -> str:
    """The instructions from the stub test to the branch into the handler, of both."""
    listings = []
    for rung in (a, b):
        listings.append([step.text for step, phase in zip(rung.trace, phases(rung.trace),
                                                          strict=True)
                         if phase in ("dispatch", "call")])
    rows = []
    for n in range(max(map(len, listings))):
        cells = "".join(
            f'<td style="text-align: left"><code>{html.escape(lines[n]) if n < len(lines) else ""}'
            "</code></td>" for lines in listings)
        rows.append(f'<tr><th scope="row">{n + 1}</th>{cells}</tr>')
    head = "".join(f'<th scope="col" style="text-align: left">{html.escape(rung.variant.key)}</th>'
                   for rung in (a, b))
    return ('<table><caption style="text-align: left">EL2, from the range test to the branch into '
            f'the handler</caption><thead><tr><th scope="col">#</th>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table>")


def compare(a: str, b: str, call: str = CALL, arguments: Sequence[int | str] = ARGUMENTS
            ) -> Comparison:
    """Two variants side by side for one call: counts, bytes, modelled cycles, and the code."""
    return Comparison(climb([a, b], call, arguments))


def ladder(keys: Sequence[str] = tuple(VARIANTS), call: str = CALL,
           arguments: Sequence[int | str] = ARGUMENTS) -> Comparison:
    """All variants (or those of *keys*) for one call, in the order of the story."""
    return Comparison(climb(keys, call, arguments))
