"""The picture of 02-four-addresses: the four names of one byte, and what leads on from each."""

from __future__ import annotations

from matplotlib.patches import FancyArrowPatch, Rectangle

from hypkit.emu import Machine
from hypkit.pictures.drawing import OKABE_ITO, Picture, canvas, figure, look

# In the order in which a conversion goes; beside each the step that leads to the next.
CHAIN = ("image", "physical", "linear", "hyp")
STEPS = ("- kimage_voffset", "- physvirt_offset", "mask, then tag")
_STYLE = {
    1: (OKABE_ITO["sky blue"], ""),
    2: (OKABE_ITO["orange"], "//"),
    None: (OKABE_ITO["grey"], ".."),
}
_WHOSE = {1: "on EL1's map", 2: "on EL2's map", None: "on neither map"}


def show_names(machine: Machine, symbol: str) -> Picture:
    """The four addresses of *symbol*, whose map has each, and the arithmetic between them."""
    if not isinstance(machine, Machine):
        raise TypeError(f"{machine!r} is not a machine: show_names(machine, symbol)")
    names = {space: machine.address(symbol, space) for space in CHAIN}
    whose = {
        space: next((el for el in (1, 2) if machine.translate(at, el).pa is not None), None)
        for space, at in names.items()
    }
    with look():
        fig = canvas(8.6, 2.5)
        axes = fig.subplots()
        for n, (space, at) in enumerate(names.items()):
            colour, hatch = _STYLE[whose[space]]
            axes.add_patch(
                Rectangle(
                    (n * 3, 0),
                    2.1,
                    0.22,
                    facecolor=colour,
                    hatch=hatch,
                    edgecolor="black",
                    linewidth=0.8,
                )
            )
            axes.add_patch(
                Rectangle(
                    (n * 3, 0.22), 2.1, 0.78, facecolor="white", edgecolor="black", linewidth=0.8
                )
            )
            axes.text(n * 3 + 1.05, 0.78, space, ha="center", va="center", fontweight="bold")
            axes.text(
                n * 3 + 1.05,
                0.45,
                f"{at:#x}",
                ha="center",
                va="center",
                fontsize=7.5,
                family="DejaVu Sans Mono",
            )
            axes.text(n * 3 + 1.05, -0.08, _WHOSE[whose[space]], ha="center", va="top", fontsize=9)
        for n, step in enumerate(STEPS):
            axes.annotate(
                "",
                (n * 3 + 3, 0.6),
                (n * 3 + 2.1, 0.6),
                arrowprops={"arrowstyle": "-|>", "color": "black"},
            )
            axes.text(n * 3 + 2.55, 1.1, step, ha="center", va="bottom", fontsize=8)
        for start, stop, name in ((1.05, 6.95, "lm_alias"), (7.15, 10.05, "kern_hyp_va")):
            axes.add_patch(
                FancyArrowPatch(
                    (start, 1.4),
                    (stop, 1.4),
                    shrinkA=0,
                    shrinkB=0,
                    arrowstyle="|-|,widthA=3,widthB=3",
                )
            )
            axes.text(
                (start + stop) / 2,
                1.47,
                name,
                ha="center",
                va="bottom",
                fontsize=9,
                fontweight="bold",
            )
        axes.set_xlim(-0.15, 11.3)
        axes.set_ylim(-0.4, 1.8)
        axes.axis("off")
        alt = f"Four boxes in a row, one for each address of {symbol}: " + "; ".join(
            f"{space} {at:#x}, {_WHOSE[whose[space]]}" for space, at in names.items()
        )
        alt += (
            ". Arrows lead from image to physical by subtracting kimage_voffset, on to linear "
            "by subtracting physvirt_offset, on to hyp by mask and tag. The first two together "
            "are lm_alias, the third is kern_hyp_va."
        )
        return figure(fig, alt)
