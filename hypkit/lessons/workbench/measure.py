"""A text on the bench, run once: where it does not assemble, what it costs, who waits for whom.

It is no verdict. Every call is made once, with the same arguments as in every other measurement, so
equal texts give equal numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from hypkit import facts
from hypkit.asm import AsmError
from hypkit.call import RETURNED, Call
from hypkit.cost.counts import counts_as
from hypkit.cost.pipeline import Timing, simulate
from hypkit.emu import Machine
from hypkit.header import ENUM, HeaderError, read_header
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.dispatcher_judge import handlers
from hypkit.lessons.dispatcher_score import CORES, Handler, MeasuredCall, Score, total
from hypkit.lessons.dispatchers import own_code
from hypkit.lessons.workbench.benches import ASM, BENCHES, TEXT, Bench, around
from hypkit.machine.errors import MachineError
from hypkit.trace import Step

SEED = 2020
BUDGET = 20_000  # instructions of one call: a longer one is lost, and is measured by nobody
COUNTED = ("instructions", "loads", "branches", "bytes")
WORDS = {
    **{name: name for name in COUNTED[:3]},
    "bytes": "bytes, with what is read",
    **{core: f"cycles, {facts.core(core).title}" for core in CORES},
}


@dataclass(frozen=True)
class Mistake:
    """Why a text cannot be built: file, 1-based line and column (0: none to blame), a sentence."""

    file: str
    line: int
    column: int
    message: str

    @property
    def sentence(self) -> str:
        """Return the message with the line that it is about."""
        return f"Line {self.line}: {self.message}" if self.line else self.message


@dataclass(frozen=True)
class Part:
    """A stretch of the drawn call: its Timing by core, and the phase-like place of each row."""

    timings: Mapping[str, Timing]
    own: tuple[bool, ...]  # whether each row is the learner's own text


@dataclass(frozen=True)
class Measured:
    """What one run of a text found.

    Attributes:
        mistake: why there is no machine, or None.
        counts: measure -> its value in the worst call (bytes: of all), empty where nothing ran.
        working, asked: calls that did as they should, and all that were made.
        call: the call that parts draws, the longest of those that work, or the first.
        parts: before and after the handler; one part where no handler was called.
        numbers: of a header, what calls each function.
        score: as the judge's, where all calls work.
    """

    mistake: Mistake | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    working: int = 0
    asked: int = 0
    call: Call | None = None
    parts: tuple[Part, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    score: Score | None = None


def measure(number: str, files: Mapping[str, str]) -> Measured:
    """Return what a text costs, or where it is wrong.

    Args:
        number: of the exercise, a key of BENCHES.
        files: the texts by file name.
    """
    return _measure(number, tuple(files.items()))


@lru_cache(maxsize=64)
def _measure(number: str, files: tuple[tuple[str, str], ...]) -> Measured:
    bench = BENCHES[number]
    return (
        _assembled(bench, files[0][1]) if bench.language == ASM else _compiled(ENUM | dict(files))
    )


def _compiled(files: dict[str, str]) -> Measured:
    try:
        header = read_header(files)
    except HeaderError as error:
        return Measured(Mistake(error.file, error.line, 0, error.message))
    except (TypeError, ValueError) as error:
        return Measured(Mistake(next(iter(files)), 0, 0, str(error)))
    return Measured(numbers=dict(sorted(header.numbers.items(), key=lambda item: item[1])))


def _assembled(bench: Bench, text: str) -> Measured:
    try:
        machine = Machine(bench.key, seed=SEED, budget=BUDGET, dispatcher=text)
    except AsmError as error:
        if error.name == "dispatcher":
            return Measured(Mistake(TEXT, error.line, error.column, error.message))
        return Measured(
            Mistake(TEXT, 0, 0, f"{error.name}, {error.text.strip()!r}: {error.message}")
        )
    except (MachineError, ValueError) as error:
        return Measured(Mistake(TEXT, 0, 0, f"The machine does not boot: {error}"))
    with machine:
        return _costs(bench, machine, len(machine.image.dispatcher.code))


def _costs(bench: Bench, machine: Machine, size: int) -> Measured:
    if bench.calls and bench.calls[0] in HYPERCALLS:
        asked: tuple[Handler | int, ...] = handlers(SEED)
    else:
        asked = tuple(x0 for x0 in bench.calls if isinstance(x0, int))
    ways: list[tuple[Call, list[list[Step]]]] = []
    measured: list[MeasuredCall] = []
    first: Call | None = None
    for what in asked:
        try:
            if isinstance(what, Handler):
                call = machine.call(what.name, *what.arguments)
            else:
                call = machine.hvc(what)
        except MachineError:  # an earlier call has stopped it
            machine.reboot()
            continue
        first = first or call
        if isinstance(what, int):
            if call.outcome == RETURNED:
                ways.append((call, [[step for step in call.trace if step.el == 2]]))
        elif parts := _around(call, what):
            ways.append((call, parts))
            measured.append(MeasuredCall(call, what))
    if not ways:
        if first is None:
            return Measured(asked=len(asked), counts={"bytes": size})
        drawn = _until_lost(first)
        return Measured(
            None, {"bytes": size}, 0, len(asked), first, (_part(drawn, first),) if drawn else ()
        )
    counts = [_counts([step for part in parts for step in part]) for _, parts in ways]
    most = {name: max(each[name] for each in counts) for name in counts[0]}
    score = total("yours", measured) if measured else None
    if bench.dispatch:
        less = around()
        most["instructions"] -= less.instructions
        most["loads"] -= less.loads
    most["bytes"] = score.bytes if score else size
    worst = max(range(len(ways)), key=lambda n: counts[n]["instructions"])
    call, parts = ways[worst]
    drawn_parts = tuple(_part(part, call) for part in parts if part)
    for core in CORES:
        most[core] = (
            score.cycles[core] if score else sum(part.timings[core].cycles for part in drawn_parts)
        )
    whole = score if len(measured) == len(asked) else None
    return Measured(None, most, len(ways), len(asked), call, drawn_parts, {}, whole)


def _around(call: Call, handler: Handler) -> list[list[Step]] | None:
    """Return EL2's steps before the handler and after it; None where it did not run as it should."""
    trace = call.trace
    start = trace.find(handler.name)
    if call.outcome != RETURNED or start is None:
        return None
    stop = start + len(handler.places)
    if [step.symbol for step in trace[start:stop]] != handler.places:
        return None
    return [
        [trace[n] for n in way if trace.els[n] == 2]
        for way in (range(start), range(stop, len(trace)))
    ]


def _until_lost(call: Call) -> list[Step]:
    """Return EL2's steps up to the last one of the learner's text, at most as many as one looks at."""
    steps = [step for step in call.trace[:2000] if step.el == 2]
    image = call.trace.image
    code = own_code(image)
    own = [n for n, step in enumerate(steps) if image.layout.pa(step.pc) in code]
    return steps[: own[-1] + 1 if own else 0][:60]


def _counts(steps: list[Step]) -> dict[str, int]:
    kinds = [counts_as(step.instruction) for step in steps]
    return {
        "instructions": len(steps),
        "loads": sum(load for load, _, _, _ in kinds),
        "branches": sum(branch for _, _, branch, _ in kinds),
    }


def _part(steps: list[Step], call: Call) -> Part:
    words, texts = [step.word for step in steps], [step.text for step in steps]
    image = call.trace.image
    code = own_code(image)
    own = tuple(image.layout.pa(step.pc) in code for step in steps)
    return Part({core: simulate(words, core, texts) for core in CORES}, own)


__all__ = ["COUNTED", "CORES", "Measured", "Mistake", "Part", "WORDS", "measure"]
