"""The picture of 03-function-pointer-abi: every instruction of the handlers, as a door into EL2."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.patches import Rectangle

from hypkit.pictures.drawing import OKABE_ITO, Picture, canvas, figure, look

# By what came of a call that began there; the sign tells them apart without colour.
_LOOKS = {
    "returned": (OKABE_ITO["orange"], "", "came back"),
    "panicked": (OKABE_ITO["sky blue"], "x", "EL2 panicked"),
    "other": ("white", "!", "the machine stopped"),
}


def show_doors(outcomes: Mapping[str, str]) -> Picture:
    """What came of a call that began at each instruction: a row a function, a box an instruction.

    outcomes: place ("label" or "label+0x4") -> outcome of the call, in the order of the addresses.
    """
    if not outcomes:
        raise ValueError("no outcome to show: give a dict from place to outcome")
    rows: dict[str, list[str]] = {}
    for place, outcome in outcomes.items():
        rows.setdefault(place.partition("+")[0], []).append(
            outcome if outcome in _LOOKS else "other"
        )
    widest = max(map(len, rows.values()))
    with look():
        fig = canvas(8.6, 0.75 + 0.26 * len(rows))
        axes = fig.subplots()
        for y, doors in enumerate(rows.values()):
            for x, kind in enumerate(doors):
                colour, sign, _ = _LOOKS[kind]
                axes.add_patch(
                    Rectangle(
                        (x, y + 0.1),
                        0.9,
                        0.8,
                        facecolor=colour,
                        edgecolor="black",
                        linewidth=2.2 if x == 0 else 0.6,
                    )
                )
                axes.text(x + 0.45, y + 0.5, sign, ha="center", va="center", fontsize=8)
        axes.set_yticks([y + 0.5 for y in range(len(rows))], list(rows), fontsize=8.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xticks([])
        axes.set_xlim(-0.2, widest + 0.1)
        axes.set_ylim(len(rows) + 1.2, -0.1)
        for n, (colour, sign, meaning) in enumerate(_LOOKS.values()):
            at = n * widest / 3
            axes.add_patch(
                Rectangle(
                    (at, len(rows) + 0.35),
                    0.9,
                    0.7,
                    facecolor=colour,
                    edgecolor="black",
                    linewidth=0.6,
                )
            )
            axes.text(at + 0.45, len(rows) + 0.7, sign, ha="center", va="center", fontsize=8)
            axes.text(at + 1.2, len(rows) + 0.7, meaning, va="center", fontsize=9)
        for side in axes.spines.values():
            side.set_visible(False)
        alt = (
            (
                f"{len(rows)} rows of boxes, one row for each function and one box for each of its "
                "instructions; the first box of each row, the function's own start, has a thick "
                "frame. "
            )
            + "; ".join(
                f"{name}: {doors.count('returned')} of {len(doors)} came back"
                + (f", {doors.count('other')} stopped the machine" if "other" in doors else "")
                for name, doors in rows.items()
            )
            + "."
        )
        return figure(fig, alt)
