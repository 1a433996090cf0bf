"""What a dispatcher costs: each hypercall's steps at EL2 around its handler, counted and modelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hypkit import facts
from hypkit.call import Call
from hypkit.cost import phases
from hypkit.cost.pipeline import simulate
from hypkit.kernel.addresses import image_pa
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import HEAP
from hypkit.lessons.recording import arrival
from hypkit.trace import Step

# Of the cores of data/cores.toml, a small one in order and a big one out of order.
CORES = (facts.modelled()[0], facts.modelled()[-1])
# Physical addresses.
STACK = frozenset(range(HEAP["hyp_stack"][0], sum(HEAP["hyp_stack"][:2])))


@dataclass(frozen=True)
class Score:
    """What a dispatcher costs.

    instructions, loads: executed at EL2 outside the function that was called, from the vector to
    the ERET, in the worst of the fourteen hypercalls. bytes: the dispatcher's program, and what all
    fourteen together read or run elsewhere (stack, entry and handler apart). cycles: by core, from
    the vector to the handler plus from there to the ERET, in the worst of the fourteen
    (hypkit.cost.pipeline; what has no public price, such as HVC and ERET, is not in it).
    """

    name: str
    instructions: int
    loads: int
    bytes: int
    cycles: dict[str, int]

    def __getitem__(self, measure: str) -> int:
        """Return one of the MEASURES by its key."""
        return self.cycles[measure] if measure in self.cycles else getattr(self, measure)

    def __repr__(self) -> str:
        return (
            f"Score({self.name}: "
            + ", ".join(f"{self[key]} {unit}" for key, (_, unit) in MEASURES.items())
            + ")"
        )


MEASURES = {
    "instructions": ("instructions at EL2 around the handler", "instructions"),
    "loads": ("loads at EL2 around the handler", "loads"),
    "bytes": ("bytes of the dispatcher and of what its calls read", "bytes"),
    **{core: (f"model cycles, {facts.core(core).title}", f"cycles {core}") for core in CORES},
}


def code_of(image: Image, names: tuple[str, ...]) -> set[int]:
    """Return the physical addresses of the dispatcher, and of the programs of these names."""
    found: set[int] = set()
    for program in image.programs:
        if program.name in names or program is image.dispatcher:
            start = image_pa(program.base)
            found.update(range(start, start + len(program.code)))
    return found


class Handler:
    """What a call's handler takes by itself, from the same call of the `numbered` machine.

    name, arguments: the call; places: where each of its steps is, those of a VM at EL1 included;
    instructions and loads: those at EL2.
    """

    def __init__(self, call: Call, name: str, arguments: tuple[int | str, ...]) -> None:
        self.name, self.arguments = name, arguments
        steps = [
            step
            for step, phase in zip(call.trace, phases(call.trace), strict=True)
            if phase == "handler"
        ]
        self.places = [step.symbol for step in steps]
        self.instructions, self.loads = _at_el2(steps)


class MeasuredCall:
    """What a call costs at EL2 around its handler.

    The handler is the same code with the same arguments in every machine. So what it takes is known
    from a machine that the learner did not write, and whatever else runs at EL2 is the
    dispatcher's, wherever it lies. instructions, loads, cycles by core: as in Score; size: bytes of
    the dispatcher's program; borrowed: physical addresses of what it reads or runs elsewhere.
    """

    def __init__(self, call: Call, handler: Handler) -> None:
        trace, image = call.trace, call.trace.image
        instructions, loads = _at_el2(trace)
        self.instructions = instructions - handler.instructions
        self.loads = loads - handler.loads
        start = arrival(trace, handler.name)
        stop = start + len(handler.places)
        ways = [
            [trace[n] for n in way if trace.els[n] == 2]
            for way in (range(start), range(stop, len(trace)))
        ]
        words = [tuple(step.word for step in way) for way in ways]
        self.cycles = {core: sum(_cycles(way, core) for way in words) for core in CORES}
        own, entry = code_of(image, ()), code_of(image, ("hyp_entry.S",))
        self.size = len(image.dispatcher.code)
        self.borrowed: set[int] = set()  # equal for every seed
        arrived = False
        for step in (step for way in ways for step in way):
            pc = image.layout.pa(step.pc)
            arrived = arrived or pc in own
            if pc is not None and pc not in (own if arrived else entry):
                self.borrowed.update(range(pc, pc + 4))
            for access in step.memory if _loads(step) else ():
                at = image.layout.pa(access.va)
                if at is not None and at not in own and at not in STACK:
                    self.borrowed.update(range(at, at + access.size))


@lru_cache(maxsize=256)
def _cycles(words: tuple[int, ...], core: str) -> int:
    return simulate(words, core).cycles


def _loads(step: Step) -> bool:
    return step.instruction.memory is not None and step.instruction.memory.kind == "load"


def _at_el2(steps: Iterable[Step]) -> tuple[int, int]:
    """Return how many instructions and loads were executed at EL2, whoever they belong to."""
    there = [step for step in steps if step.el == 2]
    return len(there), sum(map(_loads, there))


def total(name: str, calls: Sequence[MeasuredCall]) -> Score:
    """Return the score of these calls of one dispatcher: the worst of them, and all their bytes."""
    return Score(
        name,
        max(call.instructions for call in calls),
        max(call.loads for call in calls),
        calls[0].size + len(set().union(*(call.borrowed for call in calls))),
        {core: max(call.cycles[core] for call in calls) for core in CORES},
    )
