"""A modelled path in time: a row an instruction, a column a cycle, and the chain that sets the time."""

from __future__ import annotations

from hypkit.cost.pipeline import Timing
from hypkit.errors import WrongType, WrongValue, expected, needs
from hypkit.pictures.palette import DIM, INK, LINE, SOFT
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas, width_of

_ROW = 20


def show_timing(timing: Timing, rows: slice | None = None, title: str = "") -> Picture:
    """Draw who waits for whom: from which cycle to which each instruction takes.

    Args:
        timing: as call.timing(core) gives it.
        rows: the rows to show, such as slice(4, 15); all by default.
        title: a line above, such as the variant's name.

    Returns:
        A Picture with the same facts as a table. What is on the chain that sets the time is filled.

    Raises:
        TypeError: for what is no Timing.
        ValueError: for no rows.
    """
    if not isinstance(timing, Timing):
        raise WrongType(expected('a timing, such as call.timing("cortex-a72")', timing))
    if rows is not None and not isinstance(rows, slice):
        raise WrongType(expected("rows as a slice, such as slice(4, 15)", rows))
    needs(str, "a text as the title", title)
    chosen = timing.rows[rows or slice(None)]
    if not chosen:
        raise WrongValue(f"expected some of the {len(timing.rows)} rows; got none of them")
    chain = set(timing.critical)
    name = title or f"{timing.core}: {timing.cycles} cycles"
    alt = (
        f"{name}. A row for each instruction, from the cycle in which it starts to the one in which "
        "its result is ready; the chain that sets the time is filled. "
        + " ".join(
            f"{row.text}: {row.issue} to {row.ready}{', on the chain' if row.index in chain else ''}."
            for row in chosen
        )
    )
    canvas = Canvas(WIDTH, name, alt)
    left = 16 + max(width_of(row.text, 12, mono=True) for row in chosen)
    first, last = min(row.issue for row in chosen), max(row.ready for row in chosen)
    cycle = (WIDTH - left - 30) / max(1, last - first)
    bottom = 30 + _ROW * len(chosen)
    every = next(n for n in (1, 2, 5, 10, 20, 50, 10**9) if n * cycle >= 22)
    canvas.text(12, 20, "cycle", 12, ink=DIM)
    for at in range(first, last + 1):
        x = left + (at - first) * cycle
        if (at - first) % every == 0:
            canvas.line((x, 26), (x, bottom), ink=LINE, dash="1 3")
            canvas.text(x, 20, str(at), 12, mono=True, anchor="middle", ink=DIM)
    for number, row in enumerate(chosen):
        y, on = 30 + _ROW * number, row.index in chain
        canvas.text(12, y + 14, row.text, 12, mono=True, bold=on)
        x = left + (row.issue - first) * cycle
        canvas.box(x, y + 4, max(3.0, (row.ready - row.issue) * cycle), 12, INK if on else SOFT)
    return Picture(
        canvas,
        bottom + 8,
        ("instruction", "starts in cycle", "ready in cycle", "on the chain"),
        [
            (row.text, str(row.issue), str(row.ready), "yes" if row.index in chain else "no")
            for row in chosen
        ],
    )
