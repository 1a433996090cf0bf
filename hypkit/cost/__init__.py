"""What a call costs, counted from its trace: instructions, memory, branches, bytes touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import accumulate, islice

import numpy as np

from hypkit.a64.decode import Instruction, decode
from hypkit.a64.syndrome import VECTOR_LOWER_A64
from hypkit.cost.pipeline import Timing, simulate
from hypkit.errors import WrongValue
from hypkit.kernel import tables
from hypkit.kernel.addresses import image_pa
from hypkit.kernel.image import Image
from hypkit.trace import Trace

# The parts of a call in the order they happen. "handler" holds everything that the function itself
# causes, the VM's own instructions included.
PHASES = {
    "host": "the host's calling code and the HVC",
    "entry": "vector, host or guest, stub or not",
    "dispatch": "from x0 to the handler's address",
    "call": "return address, arguments, branch",
    "handler": "the function itself",
    "return": "return address back, ERET",
    "stub": "a stub call's own code",
    "panic": "EL2 giving up",
}
_NUMBER = {name: number for number, name in enumerate(PHASES)}
# What the ABI costs at EL2: all but the host's part and the work asked for.
HYP_PHASES = ("entry", "dispatch", "call", "return")

LINE, PAGE = 64, 4096
MAX_TIMED = 100_000  # steps: some ten seconds of the model
# Labels of what a number selects a function from, and the bytes of a slot.
TABLES = {table.label: table.size for table in tables.TABLES.values() if table.loaded} | {
    "host_hcall": 8  # that of a real kernel
}


@dataclass
class Counts:
    """Numbers of executed instructions of each kind; a load pair is one load."""

    instructions: int = 0
    loads: int = 0
    stores: int = 0
    taken: int = 0  # branches that went elsewhere, calls and returns included
    not_taken: int = 0
    indirect: int = 0  # of those taken, the ones whose target is in a register

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Footprint:
    """Bytes touched, each once, by what they are; and the lines and pages they lie in."""

    code: int
    pool: int
    table: int
    data: int
    lines: int  # distinct 64-byte lines, by physical address
    pages: int  # distinct 4 KiB pages


# The dispatcher's labels, and what ends a call early, by the phase that begins there.
BEGINS = {
    "dispatch_find": "dispatch",
    "dispatch_call": "call",
    "hyp_panic": "panic",
    "__kvm_handle_stub_hvc": "stub",
}


class _Places:
    """What an address says about the phase of the step that is there."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._begins = {
            image.pa(label): phase for label, phase in BEGINS.items() if label in image.symbols
        }
        self._own, self._stub = (
            _range(image, name) for name in (image.dispatcher.name, "hyp_stub.S")
        )
        if "dispatch_find" not in image.symbols:  # a learner's text may do without labels
            self._begins[self._own.start] = "dispatch"
        # EL2's own exceptions enter the first half of its vectors, and all lead to hyp_panic.
        faults = image.pa("__kvm_hyp_vector")
        self._faults = range(faults, faults + VECTOR_LOWER_A64)

    def at(self, pc: int) -> tuple[str | None, bool, bool]:
        """(the phase that begins there, if any; whether it lies in the dispatcher; whether it is an
        address of this machine's kernel at all)."""
        pa = self._image.layout.pa(pc)
        if pa is None:
            return None, False, False
        phase = (
            "panic"
            if pa in self._faults
            else "stub"
            if pa in self._stub
            else (self._begins.get(pa))
        )
        return phase, pa in self._own, True


def _range(image: Image, name: str) -> range:
    """The physical addresses of a program."""
    program = next(program for program in image.programs if program.name == name)
    start = image_pa(program.base)
    return range(start, start + len(program.code))


def phases(trace: Trace) -> Iterator[str]:
    """The phase of every step, in order."""
    names = tuple(PHASES)
    return (names[number] for number in phase_numbers(trace).tolist())


def phase_numbers(trace: Trace) -> np.ndarray:
    """The phase of every step, as its place in PHASES; uint8."""
    rule = trace.image.phase_rule
    if rule is not None:
        return np.fromiter((_NUMBER[phase] for phase in rule(trace)), np.uint8, len(trace))
    pcs, site = trace.sites
    if trace.image.variant.host_el == 2:
        return np.array(
            [_NUMBER[_plain_phase(trace.image, pc)] for pc in pcs.tolist()], dtype=np.uint8
        )[site]
    places = _Places(trace.image)
    known = [places.at(pc) for pc in pcs.tolist()]

    @cache
    def after(state: tuple[str, bool], code: int) -> tuple[str, bool]:
        phase, entered = state
        begins, inside, of_kernel = known[code >> 1]
        return _follow(phase, entered, code & 1 == 1, begins, inside, of_kernel)

    codes = site * 2 + (trace.els[:-1] == 1)
    states = accumulate(codes.tolist(), after, initial=("host", False))
    return np.fromiter(
        (_NUMBER[phase] for phase, _ in islice(states, 1, None)), np.uint8, len(trace)
    )


def _follow(
    phase: str, entered: bool, at_el1: bool, begins: str | None, inside: bool, known: bool
) -> tuple[str, bool]:
    """The phase of a step from that of the one before, and where it is.

    entered: whether the dispatcher has been reached since the host was left.
    """
    if at_el1:  # at an address of no kernel it is the VM, in the middle of the handler that runs it
        return ("host", False) if known else (phase, entered)
    if begins in ("panic", "stub"):
        return begins, entered
    if phase == "host":
        return "entry", entered
    if phase in ("panic", "stub"):
        return phase, entered
    if inside:
        return "return" if phase in ("handler", "return") else begins or phase, True
    return "handler" if entered else phase, entered


def _plain_phase(image: Image, pc: int) -> str:
    """A host at EL2 enters no EL2: what is not its own text is the function it called."""
    pa = image.layout.pa(pc)
    own = (_range(image, name) for name in ("host.S", "host calls"))
    return "host" if any(pa in part for part in own if pa is not None) else "handler"


@dataclass
class Cost:
    """The counted cost of a trace: Counts by phase, and the footprint of the dispatching part."""

    phases: dict[str, Counts]
    footprint: Footprint
    steps: dict[str, list[int]] = field(repr=False)  # phase -> step numbers

    @property
    def total(self) -> Counts:
        return sum(self.phases.values(), Counts())

    @property
    def hyp(self) -> Counts:
        """EL2 outside the handler: what the ABI costs there."""
        return sum((self.phases[name] for name in HYP_PHASES if name in self.phases), Counts())

    def rows(self) -> list[tuple[str, int, int, int, int, int, int]]:
        """(phase, instructions, loads, stores, taken, not taken, indirect) for each phase met."""
        return [
            (name, *(getattr(counts, f.name) for f in fields(counts)))
            for name, counts in self.phases.items()
        ]

    def __repr__(self) -> str:
        head = ("phase", *(f.name for f in fields(Counts)))
        rows = [
            head,
            *self.rows(),
            ("total", *(getattr(self.total, f.name) for f in fields(Counts))),
        ]
        return "\n".join(
            f"{row[0]:9}" + "".join(f"{value:>13}" for value in row[1:]) for row in rows
        )


def count(trace: Trace) -> Cost:
    """Count a call's trace. The footprint covers the host's and the hyp's part, not the handler."""
    of_step, moves = phase_numbers(trace), counted(trace)
    names = tuple(PHASES)
    # In the order in which they are met.
    met = [names[number] for number in dict.fromkeys(of_step.tolist())]
    steps = {name: np.flatnonzero(of_step == _NUMBER[name]) for name in met}
    return Cost(
        {
            name: Counts(*(int(np.count_nonzero(column[at])) for column in moves))
            for name, at in steps.items()
        },
        _footprint(trace, np.isin(of_step, [_NUMBER[name] for name in ("host", *HYP_PHASES)])),
        {name: at.tolist() for name, at in steps.items()},
    )


def counted(trace: Trace) -> tuple[np.ndarray, ...]:
    """For every field of Counts, and every step: whether the step counts there; bool."""
    _, site = trace.sites
    kinds = [counts_as(decode(word)) for word in trace.site_words]
    load, store, branch, indirect = np.array(kinds, dtype=bool).reshape(-1, 4).T[:, site]
    went = trace.pcs[1:] != trace.pcs[:-1] + np.uint64(4)
    return np.ones(len(trace), bool), load, store, branch & went, branch & ~went, indirect


def counts_as(instruction: Instruction) -> tuple[bool, bool, bool, bool]:
    """Whether an instruction is a load, a store, a branch, an indirect branch."""
    moves = instruction.memory.kind if instruction.memory else ""
    return (
        moves == "load",
        moves == "store",
        instruction.operation.is_branch,
        instruction.operation.indirect,
    )


def _footprint(trace: Trace, wanted: np.ndarray) -> Footprint:
    """What the wanted steps touch; wanted: a bool a step."""
    image, (pcs, site) = trace.image, trace.sites
    code = [
        pa
        for pc in pcs[np.unique(site[wanted])].tolist()
        if (pa := image.layout.pa(pc)) is not None
    ]
    touched = {"code": [(code, 4)], "pool": [], "table": [], "data": []}
    moved = trace.accesses[wanted[trace.accesses["step"]]]
    operands = (decode(word).memory for word in trace.site_words)
    literal = np.array(
        [operand is not None and operand.base is None for operand in operands], dtype=bool
    )[site[moved["step"]]]
    for size in np.unique(moved["size"]).tolist():
        for pool in (False, True):
            addresses = moved["va"][(moved["size"] == size) & (literal == pool)]
            places: dict[str, list[int]] = {}
            for va in np.unique(addresses).tolist():
                pa = image.layout.pa(va)
                if pa is None:
                    continue
                table = (image.symbolize(va) or "").startswith(tuple(TABLES))
                kind = "table" if table else "pool" if pool else "data"
                places.setdefault(kind, []).append(pa)
            for kind, found in places.items():
                touched[kind].append((found, size))
    spread = {kind: _bytes(parts) for kind, parts in touched.items()}
    everything = np.unique(np.concatenate(list(spread.values())))
    return Footprint(
        **{kind: len(found) for kind, found in spread.items()},
        lines=len(np.unique(everything // LINE)),
        pages=len(np.unique(everything // PAGE)),
    )


def _bytes(parts: list[tuple[list[int], int]]) -> np.ndarray:
    """Every byte of [(addresses, bytes at each)], once."""
    return np.unique(
        np.concatenate(
            [
                np.zeros(0, np.int64),
                *(
                    (np.array(places, dtype=np.int64)[:, None] + np.arange(size)).ravel()
                    for places, size in parts
                ),
            ]
        )
    )


def timing(trace: Trace, core: str, parts: Sequence[str] = ("dispatch",)) -> Timing:
    """The pipeline model's cycles for the steps of some phases, in the order they were executed.

    core: a key of facts.cores(); parts: keys of PHASES. What has no public price (HVC, ERET, system
    registers) takes no time there: see hypkit.cost.pipeline. ValueError for a phase there is not.
    """
    for part in parts:
        if part not in PHASES:
            raise ValueError(f"phase {part!r}: there are {', '.join(PHASES)}")
    wanted = np.isin(phase_numbers(trace), [_NUMBER[part] for part in parts])
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
