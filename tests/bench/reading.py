"""How what is read from a trace grows with it: a call that runs away must not stop the reader.

All times are processor seconds; a growth of 1 means that ten times the steps take ten times as
long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hypkit.cost import count
from hypkit.cost.pipeline import simulate
from hypkit.timetravel.payload import Payload
from hypkit.trace import Trace
from tests.bench.figures import Figure
from tests.bench.machine import best
from tests.bench.stepper import LOOP, looping

FEW, MANY = 100_000, 1_000_000
DIVISION = 0x9AC30841  # udiv x1, x2, x3: they all wait for one pipe


def run() -> Iterator[Figure]:
    yield from _growth("the cost of", FEW, MANY, "steps", _cold(count), looping)
    yield from _growth(
        "the stepper's data of",
        FEW,
        MANY,
        "steps",
        _cold(lambda trace: Payload(trace).data()),
        looping,
    )
    yield from _growth(
        "two alike side by side,", FEW, MANY, "steps", lambda trace: trace.diff(trace), looping
    )
    # Of two that differ everywhere every pair of steps is looked at: the square is expected.
    one, other = looping(4_000), looping(4_000, LOOP.replace("1:", "1: nop\n"))
    unlike = best(lambda: one.diff(other), 3)
    yield Figure("two unlike side by side, 4,000 steps each", unlike * 1000, "ms")
    yield from _growth(
        "timing",
        400,
        4_000,
        "divisions",
        lambda words: simulate(words, "cortex-a57"),
        lambda n: [DIVISION] * n,
    )


def _growth(
    what: str,
    few: int,
    many: int,
    unit: str,
    work: Callable[[object], object],
    made: Callable[[int], object],
) -> Iterator[Figure]:
    """The time of *many*, and how it grows from *few*, for each of them."""
    seconds = {}
    for n in (few, many):
        given = made(n)
        seconds[n] = best(lambda given=given: work(given), 3)
    yield Figure(f"{what} {many:,} {unit}", seconds[many] * 1000, "ms")
    yield Figure(
        f"growth of {what} {few:,} to {many:,}",
        seconds[many] / many / (seconds[few] / few),
        "x",
        ("at most", 2.0),
    )


def _cold(work: Callable[[Trace], object]) -> Callable[[Trace], object]:
    """The same on a trace of which nothing has been derived yet."""
    return lambda trace: work(trace[:])
