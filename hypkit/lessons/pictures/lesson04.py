"""The picture of 04-numbered-abi: what each ABI makes of the same values of x0."""

from __future__ import annotations

from collections.abc import Mapping

from hypkit.errors import WrongType, WrongValue, did_you_mean, expected
from hypkit.pictures.palette import OUTCOME
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas

# What may come of a value, and the outcome that it looks like; the word stands in the box as well.
KINDS = {
    "call": OUTCOME["returned"],
    "stub": OUTCOME["stub"],
    "stub error": OUTCOME["refused"],
    "-ENOSYS": OUTCOME["refused"],
    "panic": OUTCOME["panicked"],
}


def show_edges(found: Mapping[str, Mapping[int, str]]) -> Picture:
    """Draw a column for each ABI, a row for each value of x0, and its outcome in the box.

    Args:
        found: variant -> x0 -> "call", "stub", "stub error", "-ENOSYS" or "panic"; the same values
            for every variant.

    Returns:
        A Picture; its alternative text has every value.

    Raises:
        TypeError, ValueError: for what is no such dict, and for values that differ.
    """
    if not isinstance(found, Mapping) or not all(isinstance(k, Mapping) for k in found.values()):
        raise WrongType(expected("a dict from variant to a dict from x0 to its outcome", found))
    values = {key: tuple(kinds) for key, kinds in found.items()}
    if not values or len(set(values.values())) != 1:
        raise WrongValue("give the same values of x0 for every variant")
    for kinds in found.values():
        for kind in kinds.values():
            if kind not in KINDS:
                raise WrongValue(expected(", ".join(KINDS), kind) + did_you_mean(kind, KINDS))
    rows = next(iter(values.values()))
    alt = "A table in colours: what comes of each value of x0. " + " ".join(
        f"{key}: " + ", ".join(f"{value:#x} {kind}" for value, kind in kinds.items()) + "."
        for key, kinds in found.items()
    )
    canvas = Canvas(WIDTH, "What each ABI makes of the same x0", alt)
    left = 24 + max(12 * 0.61 * len(f"{value:#x}") for value in rows)
    step = min(200.0, (WIDTH - left - 12) / len(found))
    canvas.text(left - 10, 22, "x0", 13, mono=True, bold=True, anchor="end")
    for x, (key, kinds) in enumerate(found.items()):
        at = left + x * step
        canvas.text(at + step / 2, 22, key, 12, mono=True, bold=True, anchor="middle")
        for y, value in enumerate(rows):
            look, top = KINDS[kinds[value]], 32 + 24 * y
            canvas.box(at, top, step - 6, 21, look.fill, weight=0.8)
            canvas.text(at + 10, top + 15, look.sign, 12, bold=True, ink=look.ink)
            canvas.text(
                at + step / 2, top + 15, kinds[value], 12, mono=True, anchor="middle", ink=look.ink
            )
    for y, value in enumerate(rows):
        canvas.text(left - 10, 47 + 24 * y, f"{value:#x}", 12, mono=True, anchor="end")
    return Picture(canvas, 32 + 24 * len(rows) + 6)
