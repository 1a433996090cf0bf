"""A hostile host: a million calls classed, against the plain run of the same calls.

Processor seconds, as in the other benchmarks; and the seconds that a learner waits, in which two
machines work beside each other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np

from hypkit import Machine, attack
from hypkit.attack.hostile import Hostile
from tests.bench.figures import Figure
from tests.bench.machine import cpu_seconds

CALLS = 1_000_000


def run() -> Iterator[Figure]:
    attack.fuzz("numbered", 1_000, progress=False)  # compiles the hooks, once for a computer
    started, clock = cpu_seconds(), time.monotonic()
    attack.fuzz("numbered", CALLS, seed=1, progress=False)
    classed, waited = cpu_seconds() - started, time.monotonic() - clock
    yield Figure("a million hostile calls of numbered, classed", classed, "s", ("at most", 10))
    yield Figure(f"the same by the clock, {os.cpu_count()} processors", waited, "s", ("at most", 5))
    with Machine("numbered", seed=1) as machine:
        hostile, random = Hostile(machine), np.random.default_rng(1)
        # Of the hostile calls those that come back: a panic would end the plain run.
        x0 = hostile.x0(random, CALLS)
        x0 = x0[~np.isin(x0, hostile.valid) & (x0 > 2)]
        started = cpu_seconds()
        machine.run(x0)
        plain = (cpu_seconds() - started) * CALLS / len(x0)
    yield Figure("the same, times a plain run of those that are refused", classed / plain, "x")
