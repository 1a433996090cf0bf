"""The picture of 11-write-your-own: where a dispatcher stands among the known ones, by measure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from hypkit.lessons.dispatcher_judge import KNOWN, measure
from hypkit.lessons.dispatcher_score import MEASURES, Score
from hypkit.pictures.drawing import OKABE_ITO, Picture, canvas, figure, look

BINS = 8
_WIDTH = 1.0  # of a bin, on the page


def show_scores(*yours: Score, known: Sequence[str] = KNOWN) -> Picture:
    """A histogram for each measure: the known variants in grey, yours in black; left is better.

    The last bin is open to the right, so that one large number does not squeeze the others.
    """
    for score in yours:
        if not isinstance(score, Score):
            raise TypeError(f"{score!r} is not a score: show what prove(text) gave you")
    scores = [*map(measure, known), *yours]
    if not scores:
        raise ValueError("nothing to show: give a score, or names of known variants")
    stacks = {key: _stacked(scores, key) for key in MEASURES}
    heights = [max(map(len, bins.values())) + 0.6 for _, bins in stacks.values()]
    with look():
        fig = canvas(8.8, sum(0.75 + 0.2 * height for height in heights))
        panels = fig.subplots(
            len(MEASURES),
            1,
            squeeze=False,
            height_ratios=[0.6 + 0.2 * height for height in heights],
        )[:, 0]
        for axes, (key, (edges, bins)), height in zip(panels, stacks.items(), heights, strict=True):
            _panel(axes, edges, bins, {id(score) for score in yours}, height)
            axes.set_title(MEASURES[key][0], loc="left", fontsize=9.5, fontweight="bold")
        told = "; ".join(
            f"{MEASURES[key][0]}: "
            + ", ".join(
                f"{score.name} {score[key]}" for score in sorted(scores, key=lambda s: s[key])
            )
            for key in MEASURES
        )
        return figure(
            fig,
            f"{len(MEASURES)} histograms of {len(scores)} dispatchers, smaller is "
            f"further left. {told}.",
        )


def _stacked(scores: Sequence[Score], key: str) -> tuple[list[int], dict[int, list[Score]]]:
    """Edges of the bins, and the scores in each. All but the two largest share the closed bins."""
    values = sorted(score[key] for score in scores)
    low, high = values[0], values[max(0, len(values) - 3)]
    step = max(1, -(-(high - low + 1) // (BINS - 1)))
    edges = [low + step * n for n in range(BINS)]
    bins: dict[int, list[Score]] = {}
    for score in sorted(scores, key=lambda s: s[key]):
        bins.setdefault(min(BINS - 1, (score[key] - low) // step), []).append(score)
    return edges, bins


def _panel(
    axes: Axes, edges: list[int], bins: dict[int, list[Score]], own: set[int], height: float
) -> None:
    for n, stack in bins.items():
        for level, score in enumerate(stack):
            mine = id(score) in own
            axes.add_patch(
                Rectangle(
                    (n * _WIDTH + 0.03, level + 0.06),
                    _WIDTH - 0.06,
                    0.88,
                    facecolor="black" if mine else OKABE_ITO["grey"],
                    edgecolor="black",
                    linewidth=0.6,
                )
            )
            axes.text(
                (n + 0.5) * _WIDTH,
                level + 0.5,
                score.name,
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if mine else "black",
                fontweight="bold" if mine else "normal",
            )
    step = edges[1] - edges[0]
    labels = [f"{edge}" if step == 1 else f"{edge} to {edge + step - 1}" for edge in edges[:-1]]
    axes.set_xticks(
        [(n + 0.5) * _WIDTH for n in range(BINS)], [*labels, f"{edges[-1]} or more"], fontsize=8
    )
    axes.set_xlim(0, BINS * _WIDTH)
    axes.set_ylim(0, height)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", length=0)
