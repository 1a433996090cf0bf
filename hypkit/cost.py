"""What a call costs, counted from its trace: instructions, memory, branches, bytes touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache

from hypkit.arch import VECTOR_LOWER_A64
from hypkit.decode import Instruction
from hypkit.image import KIMAGE_PA, KIMAGE_VADDR, Image
from hypkit.pipeline import Timing, simulate
from hypkit.trace import Step, Trace

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
# What the ABI costs at EL2: all but the host's part and the work asked for.
HYP_PHASES = ("entry", "dispatch", "call", "return")

LINE, PAGE = 64, 4096
TABLES = ("kvm_hcall_table", "hcall_distances")  # labels of dispatch tables that are read
_INDIRECT = {"br", "blr", "ret", "eret"}


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


def is_branch(instruction: Instruction) -> bool:
    """Whether an instruction may send the PC elsewhere by itself (HVC does not: an exception)."""
    name = instruction.mnemonic
    return name in ("b", "bl", *_INDIRECT, "cbz", "cbnz", "tbz", "tbnz") or name.startswith("b.")


# The dispatcher's labels, and what ends a call early, by the phase that begins there.
BEGINS = {"dispatch_find": "dispatch", "dispatch_call": "call", "hyp_panic": "panic",
          "__kvm_handle_stub_hvc": "stub"}


def _places(image: Image) -> Callable[[int], tuple[str | None, bool, bool]]:
    """What a PC says about the phase: (the phase that begins there, if any; whether it lies in the
    dispatcher; whether it is an address of this machine's kernel at all)."""
    begins = {image.pa(label): phase for label, phase in BEGINS.items() if label in image.symbols}
    own, stub = (_range(image, name) for name in (image.dispatcher.name, "hyp_stub.S"))
    if "dispatch_find" not in image.symbols:  # a learner's text may do without labels
        begins[own.start] = "dispatch"
    # EL2's own exceptions enter the first half of its vectors, and all lead to hyp_panic.
    faults = image.pa("__kvm_hyp_vector")
    faults = range(faults, faults + VECTOR_LOWER_A64)

    @cache
    def place(pc: int) -> tuple[str | None, bool, bool]:
        pa = image.layout.pa(pc)
        if pa is None:
            return None, False, False
        phase = "panic" if pa in faults else "stub" if pa in stub else begins.get(pa)
        return phase, pa in own, True

    return place


def _range(image: Image, name: str) -> range:
    """The physical addresses of a program."""
    program = next(program for program in image.programs if program.name == name)
    start = program.base - KIMAGE_VADDR + KIMAGE_PA
    return range(start, start + len(program.code))


def phases(trace: Trace) -> Iterator[str]:
    """The phase of every step, in order."""
    image = trace.image
    if image.variant.host_el == 2:
        yield from _phases_of_a_plain_call(trace)
        return
    place = _places(image)
    phase, entered = "host", False  # entered: the dispatcher has been reached
    for step in trace:
        begins, inside, known = place(step.pc)
        if step.el == 1:
            if known:  # else it is the VM, in the middle of the handler that runs it
                phase, entered = "host", False
        elif begins in ("panic", "stub"):
            phase = begins
        elif phase == "host":
            phase = "entry"
        elif phase not in ("panic", "stub"):
            if inside:
                entered = True
                phase = "return" if phase in ("handler", "return") else begins or phase
            elif entered:
                phase = "handler"
        yield phase


def _phases_of_a_plain_call(trace: Trace) -> Iterator[str]:
    """A host at EL2 enters no EL2: what is not its own text is the function it called."""
    image = trace.image
    own = [_range(image, name) for name in ("host.S", "host calls")]
    for step in trace:
        pa = image.layout.pa(step.pc)
        yield "host" if any(pa in part for part in own if pa is not None) else "handler"


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
        return [(name, *(getattr(counts, f.name) for f in fields(counts)))
                for name, counts in self.phases.items()]

    def __repr__(self) -> str:
        head = ("phase", *(f.name for f in fields(Counts)))
        rows = [head, *self.rows(), ("total", *(getattr(self.total, f.name)
                                                for f in fields(Counts)))]
        return "\n".join(f"{row[0]:9}" + "".join(f"{value:>13}" for value in row[1:])
                         for row in rows)


def count(trace: Trace) -> Cost:
    """Count a call's trace. The footprint covers the host's and the hyp's part, not the handler."""
    by_phase: dict[str, Counts] = {}
    steps: dict[str, list[int]] = {}
    touched: dict[str, set[int]] = {"code": set(), "pool": set(), "table": set(), "data": set()}
    for step, phase in zip(trace, phases(trace), strict=True):
        counts = by_phase.setdefault(phase, Counts())
        steps.setdefault(phase, []).append(step.index)
        _count_step(counts, step, trace)
        if phase in ("host", *HYP_PHASES):
            _touch(touched, step, trace)
    everything = set().union(*touched.values())
    return Cost(by_phase, Footprint(
        *(len(touched[kind]) for kind in ("code", "pool", "table", "data")),
        len({byte // LINE for byte in everything}), len({byte // PAGE for byte in everything})),
        steps)


def _count_step(counts: Counts, step: Step, trace: Trace) -> None:
    instruction = step.instruction
    counts.instructions += 1
    if instruction.memory is not None:
        if instruction.memory.kind == "load":
            counts.loads += 1
        else:
            counts.stores += 1
    if is_branch(instruction):
        went = int(trace.pcs[step.index + 1]) != step.pc + 4
        counts.taken += went
        counts.not_taken += not went
        counts.indirect += instruction.mnemonic in _INDIRECT


def _touch(touched: dict[str, set[int]], step: Step, trace: Trace) -> None:
    image = trace.image
    pa = image.layout.pa(step.pc)
    if pa is not None:
        touched["code"].update(range(pa, pa + 4))
    for access in step.memory:
        at = image.layout.pa(access.va)
        if at is None:
            continue
        if access.symbol and access.symbol.startswith(TABLES):
            kind = "table"
        elif step.instruction.memory.base is None:
            kind = "pool"
        else:
            kind = "data"
        touched[kind].update(range(at, at + access.size))


def timing(trace: Trace, core: str, parts: Sequence[str] = ("dispatch",)) -> Timing:
    """The pipeline model's cycles for the steps of some phases, in the order they were executed.

    core: a key of facts.cores(); parts: keys of PHASES. What has no public price (HVC, ERET, system
    registers) takes no time there: see hypkit.pipeline. ValueError for a phase there is not.
    """
    for part in parts:
        if part not in PHASES:
            raise ValueError(f"phase {part!r}: there are {', '.join(PHASES)}")
    return simulate([step.word for step, phase in zip(trace, phases(trace), strict=True)
                     if phase in parts], core)
