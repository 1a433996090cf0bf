"""Which part of a call a step of a real kernel belongs to, told by the names of its functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypkit.a64.decode import decode
from hypkit.a64.syndrome import VECTOR_LOWER_A64
from hypkit.cost import Cost, Counts, count, counted
from hypkit.linux.image import LinuxImage
from hypkit.trace import Trace

# The parts of a call, in the order in which they happen.
PARTS = {
    "host": "the host's calling code and the HVC",
    "entry": "the vector; stub call or not",
    "save": "the host's registers go to memory",
    "dispatch": "from x0 to the branch into the handler",
    "handler": "the function itself",
    "return": "the rest of the dispatcher, and the ERET",
    "restore": "the host's registers come back",
    "stub": "a stub call's own code",
    "panic": "EL2 giving up",
}
# As hypkit.cost names them, which knows no parts for registers alone.
FOLDED = {"save": "entry", "restore": "return"}
HANDLED = ("host", "handler", "stub", "panic")  # what the way of a call is not
# The phase that begins with a function, whatever went before.
BEGINS = {
    "__host_exit": "save",
    "hyp_panic": "panic",
    "__hyp_do_panic": "panic",
    "__kvm_handle_stub_hvc": "stub",
}
LAST = ("stub", "panic")  # they end with the call


def phases(trace: Trace) -> list[str]:
    """Return the part of the call that every step belongs to, a key of PARTS."""
    image = trace.image
    assert isinstance(image, LinuxImage)
    begins = {image.pa(name): phase for name, phase in BEGINS.items() if name in image.symbols}
    trap, handlers = image.pa("handle_trap"), image.handlers
    vectors = image.layout.pa(image.snapshot.sysregs["VBAR_EL2"]) or 0
    places = [image.layout.pa(pc) for pc in trace.sites[0].tolist()]
    erets = [decode(trace.words[pc]).mnemonic == "eret" for pc in trace.sites[0].tolist()]
    found: list[str] = []
    phase, after_trap, after_handler = "host", None, None
    for step, (site, level) in enumerate(
        zip(trace.sites[1].tolist(), trace.els[:-1].tolist(), strict=True)
    ):
        pa = places[site]
        if level == 1:
            phase = "host"
        elif phase == "host":
            phase = "entry"
        elif phase in LAST:
            pass
        elif pa is not None and vectors <= pa < vectors + VECTOR_LOWER_A64:
            phase = "panic"  # an exception of EL2's own
        elif pa in begins:
            phase = begins[pa]
        elif pa == trap and phase != "handler":
            phase, after_trap = "dispatch", trace.register("x30", step)
        elif phase == "dispatch" and pa in handlers:
            phase, after_handler = "handler", trace.register("x30", step)
        elif int(trace.pcs[step]) == after_handler and phase == "handler":
            phase = "return"
        elif int(trace.pcs[step]) == after_trap and phase in ("dispatch", "return"):
            phase = "restore"
        if phase == "restore" and erets[site]:
            phase = "return"
        found.append(phase)
    return found


def folded(trace: Trace) -> list[str]:
    """Return the same as keys of hypkit.cost.PHASES."""
    return [FOLDED.get(phase, phase) for phase in phases(trace)]


@dataclass(repr=False)
class LinuxCost(Cost):
    """The counted cost of a call of a real kernel, by PARTS."""

    @property
    def hyp(self) -> Counts:
        """Return the counts of EL2 outside the handler: what the ABI costs there."""
        return sum(
            (counts for name, counts in self.phases.items() if name not in HANDLED), Counts()
        )


def cost(trace: Trace) -> LinuxCost:
    """Count a call's trace by PARTS."""
    of_step, moves = np.array(phases(trace)), counted(trace)
    steps = {name: np.flatnonzero(of_step == name) for name in dict.fromkeys(of_step.tolist())}
    return LinuxCost(
        {
            name: Counts(*(int(np.count_nonzero(column[at])) for column in moves))
            for name, at in steps.items()
        },
        count(trace).footprint,
        {name: at.tolist() for name, at in steps.items()},
    )


def order(trace: Trace) -> list[str]:
    """Return the functions in the order in which they ran, each as often as it was entered anew."""
    names: list[str] = []
    for pc in trace.pcs[:-1].tolist():
        name = (trace.image.symbolize(pc) or "?").partition("+")[0]
        if not names or names[-1] != name:
            names.append(name)
    return names
