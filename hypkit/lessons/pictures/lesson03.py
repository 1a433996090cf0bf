"""The picture of 03-function-pointer-abi: every instruction of the handlers, as a door into EL2."""

from __future__ import annotations

from collections.abc import Mapping

from hypkit.errors import WrongType, WrongValue, expected
from hypkit.pictures.palette import OUTCOME
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas, width_of

_KINDS = ("returned", "panicked")  # other outcomes stopped the machine


def show_doors(outcomes: Mapping[str, str]) -> Picture:
    """Draw the outcome of a call that began at each instruction: a row for each function.

    Args:
        outcomes: place ("label" or "label+0x4") -> outcome of the call, in the order of addresses.

    Returns:
        A Picture; its alternative text counts the outcomes of each function.

    Raises:
        TypeError, ValueError: for what is no such dict, and for an empty one.
    """
    if not isinstance(outcomes, Mapping):
        raise WrongType(expected("a dict from place to outcome", outcomes))
    if not outcomes:
        raise WrongValue("no outcome to show: expected a dict from place to outcome; got {}")
    rows: dict[str, list[str]] = {}
    for place, outcome in outcomes.items():
        if not isinstance(place, str) or not isinstance(outcome, str):
            raise WrongType(expected("a dict from place to outcome", {place: outcome}))
        rows.setdefault(place.partition("+")[0], []).append(
            outcome if outcome in _KINDS else "stopped"
        )
    alt = (
        f"{len(rows)} rows of boxes, one row for each function and one box for each of its "
        "instructions; the first box of each row, the function's own start, has a thick frame. "
    )
    alt += "; ".join(
        f"{name}: {doors.count('returned')} of {len(doors)} came back"
        + (f", {doors.count('stopped')} stopped the machine" if "stopped" in doors else "")
        for name, doors in rows.items()
    )
    canvas = Canvas(WIDTH, "Every instruction is a door", f"{alt}.")
    left = 20 + max(width_of(name, 12, mono=True) for name in rows)
    widest = max(map(len, rows.values()))
    step = min(20.0, (WIDTH - left - 12) / widest)
    y = 10.0
    for name, doors in rows.items():
        canvas.text(left - 10, y + 15, name, 12, mono=True, anchor="end")
        for n, kind in enumerate(doors):
            canvas.outcome(left + n * step, y, step - 2, 20, OUTCOME[kind])
        canvas.box(left, y, step - 2, 20, weight=2.4)
        y += 24
    y += 6
    x = left
    used = {kind for doors in rows.values() for kind in doors}
    for kind in (*_KINDS, "stopped"):
        if kind in used:
            canvas.outcome(x, y, 18, 20, OUTCOME[kind])
            canvas.text(x + 26, y + 15, OUTCOME[kind].words, 12)
            x += 44 + width_of(OUTCOME[kind].words, 12)
    return Picture(canvas, y + 30)
