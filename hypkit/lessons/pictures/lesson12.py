"""The pictures of 12-the-real-thing: real kernels beside the kit's variants, part by part."""

from __future__ import annotations

from collections.abc import Mapping

from hypkit.comparison.ladder import Ladder
from hypkit.errors import WrongType, expected
from hypkit.linux.phases import FOLDED
from hypkit.linux.recorded import Recorded
from hypkit.pictures.palette import DIM, PHASE
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas, width_of

CALL = "cntvoff"  # the recorded call that the ladder makes as well
# What is drawn of EL2, from left to right; the registers are the part that the variants lack.
PARTS = ("entry", "save", "dispatch", "call", "return", "restore")
_ROW, _SMALL = 30, 11


def parts_of(ladder: Ladder, kernels: Mapping[str, Recorded]) -> dict[str, dict[str, int]]:
    """Return name -> part of the call -> instructions at EL2 outside the handler.

    The variants come first, then the kernels as "Linux 6.1". Those that do not dispatch are left
    out.
    """
    found: dict[str, dict[str, int]] = {}
    for rung in ladder.rungs:
        if rung.hyp.instructions:
            counts = _counted(rung.trace)
            found[rung.variant.key] = {part: counts[part] for part in PARTS if counts.get(part)}
    for kernel, facts in kernels.items():
        run = facts.run(CALL)
        found[f"Linux {kernel}"] = {
            part: run.parts[part].instructions for part in PARTS if part in run.parts
        }
    return found


def _counted(trace: object) -> dict[str, int]:
    from hypkit.cost import count
    from hypkit.trace import Trace

    assert isinstance(trace, Trace)
    return {name: part.instructions for name, part in count(trace).phases.items()}


def show_kernels(ladder: Ladder, kernels: Mapping[str, Recorded]) -> Picture:
    """Draw what EL2 executes outside the handler, variant by variant and kernel by kernel.

    Args:
        ladder: what ladder.climb() returned, or ladder().ladder.
        kernels: what recorded() returned, or some of it.

    Returns:
        A Picture; its alternative text has every number.

    Raises:
        TypeError: for what is no Ladder, or no mapping of recorded kernels.
    """
    if not isinstance(ladder, Ladder):
        raise WrongType(expected("a Ladder (ladder().ladder)", ladder))
    if not isinstance(kernels, Mapping) or not all(
        isinstance(facts, Recorded) for facts in kernels.values()
    ):
        raise WrongType(expected("recorded(), or a part of it", kernels))
    rows = parts_of(ladder, kernels)
    told = "; ".join(
        f"{name}: " + ", ".join(f"{part} {count}" for part, count in parts.items())
        for name, parts in rows.items()
    )
    canvas = Canvas(
        WIDTH,
        "EL2 outside the handler, in instructions",
        f"A bar for each of {len(rows)} dispatchers, made of the parts of a call. {told}.",
    )
    label = 16 + max(width_of(name, _SMALL, mono=True) for name in rows)
    most = max(sum(parts.values()) for parts in rows.values())
    scale = (WIDTH - label - 60) / most
    top = 14.0
    for n, (name, parts) in enumerate(rows.items()):
        y, x = top + _ROW * n, label
        canvas.text(label - 8, y + 16, name, _SMALL, mono=True, anchor="end")
        for part, count in parts.items():
            length = count * scale
            canvas.box(x, y, length, 20, PHASE[FOLDED.get(part, part)], weight=0.8)
            if part in FOLDED:
                canvas.text(x + length / 2, y + 15, part, _SMALL, anchor="middle")
            x += length
        canvas.text(x + 6, y + 15, f"{sum(parts.values())}", _SMALL, mono=True)
    y = top + _ROW * len(rows) + 16
    at = 12.0
    for part in PARTS:
        if part not in FOLDED:
            canvas.box(at, y - 11, 14, 12, PHASE[part], weight=0.8)
            canvas.text(at + 20, y, part, 12, ink=DIM)
            at += 40 + width_of(part, 12)
    canvas.text(at, y, "save, restore: the host's registers", 12, ink=DIM)
    return Picture(canvas, y + 12)
