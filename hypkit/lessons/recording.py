"""The machine of a check, which records what is done with it, and sentences about its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from hypkit.call import RETURNED, Call
from hypkit.emu import Machine
from hypkit.errors import WrongValue
from hypkit.kernel.variants import HYPERCALLS, SPARE
from hypkit.lessons.functions import words
from hypkit.lessons.judge import Wrong
from hypkit.machine.errors import MachineError
from hypkit.trace import Trace
from hypkit.trace.columns import Edit

BUDGET = 200_000  # instructions a call may take before a check gives up
_last: ContextVar[list[Call] | None] = ContextVar("last", default=None)


@contextmanager
def watched() -> Iterator[list[Call]]:
    """Keep the last call that a judge makes; after a Wrong it is the one that went wrong, if any."""
    last: list[Call] = []
    token = _last.set(last)
    try:
        yield last
    finally:
        _last.reset(token)


def all_well() -> None:
    """Say that every call so far was as it should be: what is still wrong is no call's fault."""
    if (last := _last.get()) is not None:
        last.clear()


class RecordingMachine(Machine):
    """A fresh machine for a check, which records what is done with it.

    calls: every call that was made, by name or as an HVC. untraced: how many more were made in bulk
    or at a reboot. writes: (address, size in bytes) of each poke.
    """

    def __init__(
        self,
        variant: str = "numbered",
        *,
        seed: int = 0,
        **options: Any,  # as Machine takes them
    ) -> None:
        self.calls: list[Call] = []
        self.untraced = 0
        self.writes: list[tuple[int, int]] = []
        super().__init__(variant, seed=seed, budget=BUDGET, **options)

    def __enter__(self) -> RecordingMachine:
        return self

    def _make(
        self, what: str, request: tuple[int, ...], args: tuple[int, ...], edit: Edit | None = None
    ) -> Call:
        if edit is not None:  # it would pass by what this machine records, and by EL1's page tables
            raise WrongValue("the machine of a check takes no edit: a host cannot stop EL2 midway")
        call = super()._make(what, request, args)
        self.calls.append(call)
        if (last := _last.get()) is not None:
            last[:] = [call]
        return call

    def run(self, ids: object, args: object = None) -> np.ndarray:
        """Make many calls at full speed, as Machine.run, and record how many."""
        answers = super().run(ids, args)
        self.untraced += len(answers)
        return answers

    def reboot(self, requests: object = ()) -> Trace:
        """Boot again, as Machine.reboot, and record how many requests were served on the way."""
        trace = super().reboot(requests)
        self.untraced += len(requests) if isinstance(requests, Sized) else 0
        return trace

    def poke(self, va: int, data: bytes) -> None:
        """Write to memory, as Machine.poke, and record where."""
        super().poke(va, data)
        self.writes.append((int(va), len(data)))

    def set_sysreg(self, name: str, value: int) -> None:
        """Give a system register a value, as something outside of the machine would."""
        self._alive().write_sysreg(name, value)

    def set_memory(self, pa: int, data: bytes) -> None:
        """Write to physical memory, whoever owns it, as something outside of the machine would."""
        cpu = self._alive()
        cpu.ram.store(pa, data)
        cpu.forget_code()

    def last_call(self, name: str) -> Call:
        """Return the last call made here; raise Wrong when there was none."""
        if self.calls:
            return self.calls[-1]
        if self.untraced:
            raise Wrong(
                f"Expected {name} to use machine.call(...) or machine.hvc(...); it made "
                f"{self.untraced} call{'s' * (self.untraced > 1)} of another kind, without a trace"
            )
        raise Wrong(
            f"{name} made no call on the machine it was given: use its argument, "
            "not a machine of the notebook"
        )

    def only_call(self, name: str) -> Call:
        """Return the one call made here; raise Wrong when there was none, or more than one."""
        call = self.last_call(name)
        count = len(self.calls) + self.untraced
        if count > 1:
            raise Wrong(
                f"Expected {name} to make one call; got {count}: each may change something, so "
                "keep what the first one returns"
            )
        return call


@contextmanager
def after(name: str) -> Iterator[None]:
    """Raise Wrong when the machine is of no use after a learner's function had it."""
    try:
        yield
    except (MachineError, TypeError, ValueError, KeyError) as error:
        raise Wrong(f"After {name} the machine takes no call: {words(error)[:200]}") from None


def attempt(call: Callable[..., Call], *arguments: object) -> Call:
    """Return one call on a check's machine; raise Wrong when the machine refuses it."""
    try:
        return call(*arguments)
    except (MachineError, TypeError, ValueError, KeyError) as error:
        raise Wrong(f"The machine does not take this: {words(error)[:200]}") from None


def arrival(trace: Trace, label: str) -> int:
    """Return the first step at a label that the trace is known to reach."""
    step = trace.find(label)
    assert step is not None, f"no step at {label}"
    return step


def went_to(machine: Machine, call: Call) -> str:
    """Return where EL2 branched to in its call phase, and at which step, for a sentence."""
    steps = call.cost.steps.get("call")
    if not steps:
        return "no function" if "stub" not in call.cost.phases else "the stub's code"
    trace = call.trace
    blr = next((s for s in steps if trace[s].instruction.mnemonic == "blr"), steps[-1])
    there = trace.register("x30", blr)
    return f"{machine.image.symbolize(there) or hex(there)} at step {blr}"


def entered(call: Call) -> str | None:
    """Return the first of the kernel's functions for a hypercall that this call ran, if any."""
    known = [n for n in (*HYPERCALLS, *SPARE) if n in call.trace.image.symbols]
    found = [(call.trace.find(name), name) for name in known]
    return min(((at, name) for at, name in found if at is not None), default=(0, None))[1]


def ending(call: Call) -> str:
    """Return how a call ended, for a sentence: "it came back with x0 = 0x6", or why it did not."""
    if call.outcome != RETURNED:
        return call.message
    return f"it came back with x0 = {call.x0:#x} after {len(call.trace)} steps"
