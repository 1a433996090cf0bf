"""The picture of 11-write-your-own: where a dispatcher stands among the known ones, by measure."""

from __future__ import annotations

from collections.abc import Sequence

from hypkit.errors import WrongType, WrongValue, expected, needs
from hypkit.lessons.dispatcher_judge import KNOWN, score_of
from hypkit.lessons.dispatcher_score import MEASURES, Score
from hypkit.pictures.palette import DIM, INK, PAPER, SOFT
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas, width_of

BINS = 8


def show_scores(*yours: Score, known: Sequence[str] = KNOWN) -> Picture:
    """Draw a histogram for each measure: the known variants, and yours in black; left is better.

    The last bin is open to the right, so that one large number does not squeeze the others.

    Args:
        yours: what prove(text, name) returned.
        known: keys of VARIANTS to compare with.

    Returns:
        A Picture; its alternative text has every score.

    Raises:
        TypeError, ValueError: for what is no score, and for nothing to show.
    """
    for score in yours:
        if not isinstance(score, Score):
            raise WrongType(f"{expected('a score', score)}: show what prove(text) returned")
    if isinstance(known, str | bytes) or not isinstance(known, Sequence):
        raise WrongType(expected("a list of keys of VARIANTS", known))
    for key in known:
        needs(str, "a key of VARIANTS", key)
    scores = [*map(score_of, known), *yours]
    if not scores:
        raise WrongValue("nothing to show: give a score, or names of known variants")
    told = "; ".join(
        f"{MEASURES[key][0]}: "
        + ", ".join(f"{score.name} {score[key]}" for score in sorted(scores, key=lambda s: s[key]))
        for key in MEASURES
    )
    canvas = Canvas(
        WIDTH,
        "Where a dispatcher stands, by measure",
        f"{len(MEASURES)} histograms of {len(scores)} dispatchers, smaller is "
        f"further left. {told}.",
    )
    own, y = {id(score) for score in yours}, 0.0
    for key, (title, _) in MEASURES.items():
        y = _panel(canvas, title, *_stacked(scores, key), own, y)
    return Picture(canvas, y)


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
    canvas: Canvas,
    title: str,
    edges: list[int],
    bins: dict[int, list[Score]],
    own: set[int],
    y: float,
) -> float:
    """Draw one histogram from y down, and return where it ends."""
    row, wide = 18, (WIDTH - 24) / BINS
    canvas.text(12, y + 20, title, 13, bold=True)
    floor = y + 32 + row * max(map(len, bins.values()))
    for n, stack in bins.items():
        for level, score in enumerate(stack):
            mine = id(score) in own
            x, top = 12 + n * wide, floor - row * (level + 1)
            canvas.box(x + 1, top + 1, wide - 2, row - 2, INK if mine else SOFT, weight=0.8)
            size = next(
                (s for s in (11, 10, 9) if width_of(score.name, s, bold=mine) < wide - 6), 8
            )
            canvas.text(
                x + wide / 2, top + 13, score.name, size, bold=mine, anchor="middle",
                ink=PAPER if mine else INK,
            )  # fmt: skip
    canvas.line((12, floor), (WIDTH - 12, floor))
    step = edges[1] - edges[0]
    labels = [f"{edge}" if step == 1 else f"{edge} to {edge + step - 1}" for edge in edges[:-1]]
    for n, label in enumerate([*labels, f"{edges[-1]} or more"]):
        canvas.text(
            12 + (n + 0.5) * wide, floor + 14, label, 11, mono=True, anchor="middle", ink=DIM
        )
    return floor + 28
