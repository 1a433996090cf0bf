"""The picture of 04-numbered-abi: what each ABI makes of the same values of x0."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.patches import Rectangle

from hypkit.pictures.drawing import OKABE_ITO, Picture, canvas, figure, look

# What may come of a value, with its look; the word stands in the box as well.
KINDS = {
    "call": (OKABE_ITO["green"], ""),
    "stub": (OKABE_ITO["sky blue"], ""),
    "stub error": (OKABE_ITO["sky blue"], "//"),
    "-ENOSYS": (OKABE_ITO["yellow"], ""),
    "panic": (OKABE_ITO["vermillion"], "xx"),
}


def show_edges(found: Mapping[str, Mapping[int, str]]) -> Picture:
    """A column for each ABI, a row for each value of x0, and in the box what came of it.

    found: variant -> x0 -> one of KINDS; the same values for every variant.
    """
    values = {key: tuple(kinds) for key, kinds in found.items()}
    if not values or len(set(values.values())) != 1:
        raise ValueError("give the same values of x0 for every variant")
    rows = next(iter(values.values()))
    with look():
        fig = canvas(7.2, 0.5 + 0.24 * len(rows))
        axes = fig.subplots()
        for x, kinds in enumerate(found.values()):
            for y, value in enumerate(rows):
                colour, hatch = KINDS[kinds[value]]
                axes.add_patch(
                    Rectangle(
                        (x, y),
                        0.96,
                        0.9,
                        facecolor=colour,
                        hatch=hatch,
                        edgecolor="black",
                        linewidth=0.6,
                    )
                )
                axes.text(
                    x + 0.48,
                    y + 0.46,
                    kinds[value],
                    ha="center",
                    va="center",
                    fontsize=8.5,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )
        axes.set_yticks(
            [y + 0.46 for y in range(len(rows))],
            [f"{value:#x}" for value in rows],
            fontsize=8.5,
            family="DejaVu Sans Mono",
        )
        axes.set_xticks([x + 0.48 for x in range(len(found))], list(found))
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.set_xlim(0, len(found))
        axes.set_ylim(len(rows), 0)
        for side in axes.spines.values():
            side.set_visible(False)
        alt = "A table in colours: what comes of each value of x0. " + " ".join(
            f"{key}: " + ", ".join(f"{value:#x} {kind}" for value, kind in kinds.items()) + "."
            for key, kinds in found.items()
        )
        return figure(fig, alt)
