"""The pictures of a workbench: the pipeline of a core in time, and where a score stands."""

from __future__ import annotations

import re

from hypkit import facts
from hypkit.cost.pipeline import Timed
from hypkit.lessons.dispatcher_judge import KNOWN, score_of
from hypkit.lessons.dispatcher_score import MEASURES, Score
from hypkit.lessons.workbench.measure import WORDS, Measured
from hypkit.pictures.palette import BAD, DIM, INK, LINE, PHASE, SOFT
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import Canvas, width_of

WIDE, ROW = 520, 15  # of a picture beside an editor, and of an instruction, in CSS pixels
TEXT = 176  # of an instruction's text
LETTERS = 25


def show_pipeline(measured: Measured, core: str) -> Picture:
    """Draw one call's way on a core: a row an instruction, a column a cycle, and who waits for whom.

    Args:
        measured: with the parts to draw.
        core: a key of CORES.

    Returns:
        A Picture, with the same as a table.
    """
    parts = [(part.timings[core], part.own) for part in measured.parts]
    cycles = sum(timing.cycles for timing, _ in parts)
    rows: list[tuple[str, ...]] = []
    title = f"{facts.core(core).title}: {cycles} cycles"
    waits = sum(1 for timing, _ in parts for row in timing.rows if _who(row))
    critical = sum(len(timing.critical) for timing, _ in parts)
    canvas = Canvas(
        WIDE,
        title,
        f"The way to the function and back on a {facts.core(core).title}, an instruction a row, a "
        f"cycle a column: {sum(len(t.rows) for t, _ in parts)} instructions in {cycles} cycles, of "
        f"which {waits} wait for another one; {critical} are on the path that sets the time.",
    )
    step = min(22.0, (WIDE - TEXT - 14 - 74) / max(1, cycles))
    canvas.text(6, 13, title, 12, bold=True)
    canvas.text(WIDE - 6, 13, "bar: from issue to result · dots: waits · bold frame: sets the time", 9.5,
                ink=DIM, anchor="end")  # fmt: skip
    y, began = 24.0, 0
    every = 5 if step > 8 else 10
    height = y + 14 + sum(ROW * len(t.rows) for t, _ in parts) + 17 * (len(parts) - 1)
    for cycle in range(0, cycles + 1, every):
        x = TEXT + 14 + step * cycle
        canvas.line((x, y + 8), (x, height), ink=LINE, weight=0.5, dash="1 3")
        canvas.text(x, y + 5, str(cycle), 9, mono=True, anchor="middle", ink=DIM)
    y += 14
    for number, (timing, own) in enumerate(parts):
        if number:
            canvas.text(
                TEXT + 10, y + 12, "the function runs", 9.5, ink=DIM, italic=True, anchor="end"
            )
            canvas.line((TEXT + 14, y + 8.5), (WIDE - 6, y + 8.5), ink=LINE, weight=0.8, dash="5 3")
            y += 17
        top, path, before = y, set(timing.critical), 0
        for row in timing.rows:
            at = lambda cycle, began=began: TEXT + 14 + step * (began + cycle)  # noqa: E731
            middle = y + ROW / 2
            words = row.text if len(row.text) <= LETTERS else row.text[: LETTERS - 1] + "…"
            canvas.text(TEXT + 8, middle + 3.5, words, 10.5, mono=True, anchor="end",
                        bold=own[row.index], ink=INK if own[row.index] else DIM)  # fmt: skip
            if row.priced:
                if row.issue > before:
                    canvas.line(
                        (at(before), middle), (at(row.issue), middle), ink=DIM, dash="1.5 2"
                    )
                wide = max(3.0, step * (row.ready - row.issue))
                on_path = row.index in path
                look = PHASE["dispatch" if own[row.index] else "entry"].fill
                canvas.box(at(row.issue), y + 2.5, wide, ROW - 5, look,
                           stroke=INK, weight=2 if on_path else 0.6)  # fmt: skip
                if row.on is not None and row.issue:
                    source = top + ROW * row.on + ROW - 2.5
                    canvas.line((at(row.issue) + 1.5, source), (at(row.issue) + 1.5, y + 2.5),
                                ink=INK if on_path else LINE, weight=1.4 if on_path else 0.7)  # fmt: skip
                if said := _who(row):
                    canvas.text(at(row.issue) + wide + 5, middle + 3.2, said, 9, mono=True, ink=DIM)
                before = row.issue
            else:
                canvas.text(at(row.issue), middle + 3.5, "◇", 10, ink=DIM, anchor="middle")
            rows.append(
                (
                    row.text,
                    str(began + row.issue) if row.priced else "no price",
                    str(began + row.ready) if row.priced else "",
                    _waits(row, timing.rows),
                    "yes" if row.index in path else "",
                )
            )
            y += ROW
        began += timing.cycles
    return Picture(
        canvas, y + 6, ("instruction", "starts", "result", "waits for", "sets the time"), rows
    )


def _who(row: Timed) -> str:
    """Return what a row waits for in a word: a register, a pipe, or nothing worth saying."""
    if not row.priced or not row.issue:
        return ""
    if found := re.match(r"(\S+) from \d+$", row.waits):
        return found[1]
    return "" if row.waits in ("", "order", "width") else row.waits


def _waits(row: Timed, rows: tuple[Timed, ...]) -> str:
    """Return what a row waits for, with the instruction in place of its number."""
    if found := re.match(r"(\S+) from (\d+)$", row.waits):
        return f"{found[1]}, of {rows[int(found[2])].text}"
    return row.waits


def show_marks(score: Score) -> Picture:
    """Draw the known dispatchers as dots for each measure, and a score among them; left is better.

    Args:
        score: what the learner's text costs.

    Returns:
        A Picture; its alternative text has every number.
    """
    known = [score_of(key) for key in KNOWN]
    told = "; ".join(
        f"{MEASURES[key][0]}: yours {score[key]}, " + ", ".join(
            f"{one.name} {one[key]}" for one in sorted(known, key=lambda one: one[key])
        )
        for key in MEASURES
    )  # fmt: skip
    canvas = Canvas(
        WIDE,
        "Yours among the known dispatchers",
        f"{len(MEASURES)} rows of dots, a dot a known dispatcher, smaller is further left. {told}.",
    )
    canvas.text(6, 13, "Yours among the known dispatchers", 12, bold=True)
    canvas.text(WIDE - 6, 13, "left is better · a dot: a known one", 9.5, ink=DIM, anchor="end")
    y, left, right = 22.0, 120.0, WIDE - 30.0
    for key in MEASURES:
        values = sorted(one[key] for one in known)
        low = min(values[0], score[key])
        high = max(values[-3], score[key])  # what is larger stands at the edge
        scale = (right - left) / max(1, high - low)
        at = lambda value, low=low, high=high, scale=scale: left + scale * (min(value, high) - low)  # noqa: E731
        piles: dict[float, list[int]] = {}
        for value in values:
            piles.setdefault(round(at(value)), []).append(value)
        floor = y + 16 + 7 * max(map(len, piles.values())) + 4
        unit, _, more = WORDS[key].partition(", ")
        canvas.text(6, floor - 3, unit, 11, bold=True)
        if more:
            canvas.text(6, floor + 9, more if len(more) < 22 else more[:21], 9, ink=DIM)
        canvas.line((left - 8, floor), (right + 12, floor), ink=LINE)
        for x, pile in piles.items():
            for level, _ in enumerate(pile):
                canvas.box(x - 3, floor - 7 * (level + 1), 6, 5.5, SOFT, stroke=DIM, weight=0.8)
            label = str(pile[0]) if len(set(pile)) == 1 else f"{min(pile)}-{max(pile)}"
            if abs(x - at(score[key])) > 16 and (
                x in (min(piles), max(piles)) or pile[0] == values[len(values) // 2]
            ):
                over = "+" if max(pile) > high else ""
                shown = f"{high}{over}" if over else label
                canvas.text(x, floor + 11, shown, 9, mono=True, anchor="middle", ink=DIM)
        x = at(score[key])
        tip = floor - 7 * len(piles.get(round(x), ())) - 2
        canvas.arrow((x, tip - 14), (x, tip), ink=BAD, weight=2)
        canvas.text(x, floor + 11, str(score[key]), 11, mono=True, bold=True, anchor="middle")
        beside = x + 6 if x + 6 + width_of("yours", 10, bold=True) < WIDE else x - 40
        canvas.text(beside, tip - 6, "yours", 10, bold=True, ink=BAD)
        y = floor + 14
    return Picture(canvas, y + 4)
