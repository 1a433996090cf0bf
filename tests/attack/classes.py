"""The smallest example of each class of outcome, out of attacks on machines of the kit's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from hypkit import attack
from hypkit.attack import Outcome, Report
from hypkit.attack.fuzz import Finding, Target, ground
from hypkit.attack.outcomes import Classifier
from hypkit.attack.watch import Watch
from tests.attack import mutants


@dataclass(frozen=True)
class Example:
    """variant: what was attacked; request: x0 to x6; code: the call; how: how it ended, in words."""

    variant: str
    request: tuple[int, ...]
    code: str
    how: str


PLAIN = (Outcome.HANDLED, Outcome.REFUSED, Outcome.STUB)


def attacks() -> Iterator[Report]:
    """The attacks that between them meet every class but one, which takes EL2's page tables."""
    yield attack.fuzz("numbered", 20_000, seed=2020, progress=False)
    yield attack.fuzz("fnptr", 8_000, seed=2020, progress=False)
    for name in ("jump_table: x27 counts the calls", "numbered: the first valid number is refused",
        "numbered: a debug number waits for itself",
                 "jump_table: a number used twice"):  # fmt: skip
        yield mutants.attacked(name)


@cache
def examples() -> dict[Outcome, Example | None]:
    """Return each class with its smallest example, None where no attack met it."""
    found: dict[Outcome, Example | None] = {outcome: None for outcome in Outcome}
    for outcome, smallest in plain():
        found[outcome] = found[outcome] or smallest
    for report in attacks():
        all_of_them = (*report.findings, *report.arguments, *report.leaked, *report.restarted)
        for finding in sorted(all_of_them, key=lambda f: (len(f.before), sum(f.request))):
            outcome = finding.verdict.outcome
            if found[outcome] is None and not finding.before:
                found[outcome] = example(finding)
    remapped = attack.matrix(["numbered"], calls=200, progress=False)["numbered", "page tables"]
    if remapped.outcome is Outcome.FOREIGN_CODE and remapped.finding is not None:
        found[Outcome.FOREIGN_CODE] = example(remapped.finding)
    return found


def example(finding: Finding) -> Example:
    """A finding as an example."""
    how = f"{finding.verdict.detail}; {finding.reason}"
    return Example(finding.target.variant, finding.request, finding.code, how)


def plain() -> Iterator[tuple[Outcome, Example]]:
    """The classes that are no finding: the smallest of each, by one call after the other.

    A call is handled, without a leak, where the dispatcher gives its registers back: smccc's.
    """
    for variant, numbers in (("numbered", range(0x10)), ("numbered", range(0x100, 0x110)),
                             ("smccc", range(0xC600_0000, 0xC600_0010))):  # fmt: skip
        with Target(variant, 2020).machine() as machine, Watch(ground(machine)) as watch:
            classifier = Classifier(watch.ground)
            for x0 in numbers:
                request = np.array([[x0, 0, 0, 0, 0, 0, 0]], dtype=np.uint64)
                (record,) = watch.run(request)
                verdict = classifier.verdict(request[0], record, None)
                if verdict.outcome in PLAIN:
                    words = tuple(map(int, request[0]))
                    how = f"{verdict.detail}; returned"
                    yield verdict.outcome, Example(variant, words, f"m.hvc({x0:#x})", how)
