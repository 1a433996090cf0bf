"""The result of one request to the machine: outcome, answer, trace and cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypkit.a64 import syndrome
from hypkit.kernel.image import Image
from hypkit.trace import Trace

if TYPE_CHECKING:  # read when somebody asks what the call cost: a first call does not
    from hypkit.cost import Cost
    from hypkit.cost.pipeline import Timing

RETURNED, PANICKED, OOPSED, RESTARTED, RUNAWAY = (
    "returned",
    "panicked",
    "oopsed",
    "restarted",
    "runaway",
)


@dataclass(frozen=True)
class Panic:
    """What hyp_panic passed to the host: EL2's registers when it gave up."""

    spsr: int
    elr: int
    esr: int
    far: int
    hpfar: int
    par: int
    vcpu: int

    @property
    def why(self) -> str:
        """Return the exception in words."""
        return syndrome.exception_text(self.esr, self.far, "FAR_EL2")

    def __repr__(self) -> str:
        return f"Panic({syndrome.esr_text(self.esr)}; ELR_EL2 {self.elr:#x}, FAR_EL2 {self.far:#x})"


class Call:
    """One request to the machine and what became of it.

    Attributes:
        what, args: the hypercall's name or "hvc 0x101", and its arguments as 64-bit numbers.
        outcome: "returned", "panicked" (EL2 gave up), "oopsed" (the host took an exception),
            "restarted" (the kernel booted again) or "runaway" (the step budget ran out, or there
            was nothing to execute).
        message: the same in a sentence; "returned" where there is no more to say.
        x0, x1, x2, x3: the host's registers afterwards, unsigned 64 bits; None when the call did
            not come back.
        whole_trace: all that was executed, with the mailbox around the call.
        another_machine: makes a machine like the one that was called, just booted; None where that
            was not kept.
    """

    def __init__(
        self,
        image: Image,
        what: str,
        args: tuple[int, ...],
        outcome: str,
        results: tuple[int, ...] | None,
        whole: Trace,
        message: str,
        *,
        another_machine: Callable[[], Any] | None = None,  # a Machine, which imports this module
    ) -> None:
        self._variant = image.variant
        self.what, self.args, self.outcome, self.message = what, args, outcome, message
        values: tuple[int | None, ...] = results or (None,) * 4
        self.x0, self.x1, self.x2, self.x3 = values
        self.whole_trace = whole  # with the mailbox around the call
        self.another_machine = another_machine
        self._trace: Trace | None = None

    @property
    def trace(self) -> Trace:
        """Return the steps from the host's branch to its calling code until it has the result."""
        if self._trace is None:
            whole = self.whole_trace
            start = whole.find("host_call")
            end = None if start is None else whole.find("host_called", start)
            self._trace = whole[start or 0 : len(whole) if end is None else end]
        return self._trace

    @property
    def cost(self) -> Cost:
        """Return the instructions of the call's trace, counted by phase."""
        from hypkit.cost import count

        return count(self.trace)

    def timing(self, core: str, parts: Sequence[str] = ("dispatch",)) -> Timing:
        """Return the modelled cycles of some phases of the call; see hypkit.cost.timing.

        Args:
            core: a key of facts.cores(), "cortex-a72" for instance.
            parts: phases of the call, as hypkit.cost.PHASES has them.

        Raises:
            KeyError, ValueError: no such core, no such phase.
        """
        from hypkit.cost import timing

        return timing(self.trace, core, parts)

    @property
    def result(self) -> int | None:
        """Return the handler's answer: in x0, or in x1 where x0 holds a status."""
        return {"x0": self.x0, "x1": self.x1}[self._variant.result]

    def __repr__(self) -> str:
        args = ", ".join(f"{value:#x}" for value in self.args)
        found = f"x0 = {self.x0:#x}" if self.x0 is not None else self.message
        if self.x0 is not None and self.message != self.outcome:
            found += f" ({self.message})"
        return f"Call({self._variant.key}: {self.what}({args}) {self.outcome}: {found})"
