"""What a call costs: its instructions counted by phase, and the time that a model gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hypkit.cost.counts import TABLES, Cost, Counts, Footprint, count, counted, counts_as
from hypkit.cost.phase import HYP_PHASES, NUMBERS, PHASES, phase_numbers, phases
from hypkit.cost.pipeline import Timing, simulate
from hypkit.errors import WrongType, WrongValue, expected, needs, shown
from hypkit.trace import Trace
from hypkit.trace.columns import Columns

__all__ = [
    "HYP_PHASES",
    "MAX_TIMED",
    "PHASES",
    "TABLES",
    "Cost",
    "Counts",
    "Footprint",
    "Timing",
    "count",
    "counted",
    "counts_as",
    "phase_numbers",
    "phases",
    "simulate",
    "timing",
]

MAX_TIMED = 100_000  # steps: some ten seconds of the model


def timing(trace: Trace, core: str, parts: Sequence[str] = ("dispatch",)) -> Timing:
    """Time the steps of some phases by the pipeline model, in the order they were executed.

    What has no public price (HVC, ERET, system registers) takes no time there: see
    hypkit.cost.pipeline.

    Args:
        trace: of a call.
        core: a key of facts.cores().
        parts: keys of PHASES.

    Raises:
        KeyError: for a core that is none.
        ValueError: for a phase that is none, and for more than MAX_TIMED steps.
    """
    needs(Columns, "a trace, such as call.trace", trace)
    if isinstance(parts, str | bytes) or not isinstance(parts, Iterable):
        raise WrongType(f"parts: {expected('a list of keys of PHASES', parts)}")
    parts = list(parts)
    for part in parts:
        if not isinstance(part, str) or part not in PHASES:
            raise WrongValue(f"phase {shown(part)}: there are {', '.join(PHASES)}")
    wanted = np.isin(phase_numbers(trace), [NUMBERS[part] for part in parts])
    steps = np.flatnonzero(wanted).tolist()
    if len(steps) > MAX_TIMED:
        raise WrongValue(
            f"expected at most {MAX_TIMED:,} steps to time; got {len(steps):,}, which would take "
            f"minutes: time a part of the call, as in timing(call.trace[:1000], {core!r})"
        )
    words = [trace.word(step) for step in steps]
    instructions = list(zip(trace.pcs[:-1][wanted].tolist(), words, strict=True))
    first = dict(zip(instructions, steps, strict=True))
    texts = {(pc, word): trace.text(pc, step) for (pc, word), step in first.items()}
    return simulate(words, core, [texts[instruction] for instruction in instructions])
