"""The phases of a call, and which of them each step of a trace belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import accumulate, islice

import numpy as np

from hypkit.a64.syndrome import VECTOR_LOWER_A64
from hypkit.errors import needs
from hypkit.kernel.addresses import image_pa
from hypkit.kernel.image import Image
from hypkit.trace import Trace
from hypkit.trace.columns import Columns

# The parts of a call in the order they happen. "handler" holds everything that the function itself
# causes, the VM's own instructions included.
PHASES = {
    "host": "the host's calling code, and its HVC if it makes one",
    "entry": "vector, host or guest, stub or not",
    "dispatch": "from x0 to the handler's address",
    "call": "return address, arguments, branch",
    "handler": "the function itself",
    "return": "return address back, ERET",
    "stub": "a stub call's own code",
    "panic": "EL2 giving up",
}
NUMBERS = {name: number for number, name in enumerate(PHASES)}
# What the ABI costs at EL2: all but the host's part and the work asked for.
HYP_PHASES = ("entry", "dispatch", "call", "return")

# The dispatcher's labels, and what ends a call early, by the phase that begins there.
BEGINS = {
    "dispatch_find": "dispatch",
    "dispatch_call": "call",
    "hyp_panic": "panic",
    "__kvm_handle_stub_hvc": "stub",
}


class _Code:
    """What an address of the kernel's code says about the phase of a step there."""

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
        """Return what is at an address.

        As (the phase that begins there, or None; whether it is in the dispatcher; whether it is an
        address of this machine's kernel at all).
        """
        pa = self._image.layout.pa(pc)
        if pa is None:
            return None, False, False
        if pa in self._faults:
            return "panic", pa in self._own, True
        if pa in self._stub:
            return "stub", pa in self._own, True
        return self._begins.get(pa), pa in self._own, True


def _range(image: Image, name: str) -> range:
    """Return the physical addresses of a program."""
    program = next(program for program in image.programs if program.name == name)
    start = image_pa(program.base)
    return range(start, start + len(program.code))


def phases(trace: Trace) -> Iterator[str]:
    """Yield the phase of every step, in order."""
    names = tuple(PHASES)
    return (names[number] for number in phase_numbers(trace).tolist())


def phase_numbers(trace: Trace) -> np.ndarray:
    """Return the phase of every step, as its place in PHASES; uint8."""
    needs(Columns, "a trace, such as call.trace", trace)
    rule = trace.image.phase_rule
    if rule is not None:
        return np.fromiter((NUMBERS[phase] for phase in rule(trace)), np.uint8, len(trace))
    pcs, site = trace.sites
    if trace.image.variant.host_el == 2:
        return np.array(
            [NUMBERS[_plain_phase(trace.image, pc)] for pc in pcs.tolist()], dtype=np.uint8
        )[site]
    code = _Code(trace.image)
    known = [code.at(pc) for pc in pcs.tolist()]

    @cache
    def after(state: tuple[str, bool], code: int) -> tuple[str, bool]:
        phase, entered = state
        begins, inside, of_kernel = known[code >> 1]
        return _follow(phase, entered, code & 1 == 1, begins, inside, of_kernel)

    codes = site * 2 + (trace.els[:-1] == 1)
    states = accumulate(codes.tolist(), after, initial=("host", False))
    return np.fromiter(
        (NUMBERS[phase] for phase, _ in islice(states, 1, None)), np.uint8, len(trace)
    )


def _follow(
    phase: str, entered: bool, at_el1: bool, begins: str | None, inside: bool, known: bool
) -> tuple[str, bool]:
    """Return the phase of a step from that of the one before, and whether EL2 was dispatching.

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
    """Return the phase under a host at EL2: what is not its own text is the function it called."""
    pa = image.layout.pa(pc)
    own = (_range(image, name) for name in ("host.S", "host calls"))
    return "host" if any(pa in part for part in own if pa is not None) else "handler"
