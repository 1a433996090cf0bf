"""LinuxMachine: the EL2 of a real kernel, from its snapshot, on the kit's Cortex-A72."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypkit.a64 import syndrome
from hypkit.a64.pagetables import PAGE_SIZE, Walk
from hypkit.a64.registers import MASK64
from hypkit.a64.sysregs import SYSREGS
from hypkit.call import OOPSED, PANICKED, RETURNED, RUNAWAY, Call
from hypkit.errors import UnknownName, WrongType, WrongValue, did_you_mean, expected
from hypkit.kernel.addresses import DRAM_BASE
from hypkit.linux.board import GENERAL, RAM_SIZE
from hypkit.linux.image import LinuxImage, image_of
from hypkit.linux.phases import LinuxCost, cost, folded
from hypkit.linux.snapshot import PANICS, STUB, Snapshot
from hypkit.machine.cpu import Cpu, Recording, Saved
from hypkit.machine.errors import MachineError
from hypkit.machine.hooks.state import Stop
from hypkit.machine.mailbox import whole, word
from hypkit.machine.turn import Turn
from hypkit.trace import Trace

STEP_BUDGET = 200_000
BUSY = "this machine is in the middle of a call: what interrupts it cannot use it as well"
INTERRUPTED = "it was interrupted in the middle of something"
MAX_ARGS = 7  # x1 to x7
RESULTS = 4  # words of struct arm_smccc_res
# Of the host's stack below the pointer of the idle task: what the calling code finds there.
FRAME, RESULT_AT = 0x200, 0x20
SAME_LEVEL = 0x200  # the vector of a synchronous exception of EL1 itself
# Registers that name or count something of the hardware: they cannot be written, or must not be.
_FIXED = {"MIDR_EL1", "MPIDR_EL1", "CurrentEL", "SCR_EL3", "ID_AA64MMFR0_EL1", "SP_EL1"}


@dataclass(frozen=True)
class LinuxSnapshot:
    """A moment of one LinuxMachine; see LinuxMachine.snapshot."""

    machine: LinuxMachine
    saved: Saved
    stopped: str | None

    def __repr__(self) -> str:
        return f"Snapshot of {self.machine!r}"


class LinuxCall(Call):
    """One hypercall of a real kernel and what came of it; x0 is the status, x1 the result."""

    @property
    def trace(self) -> Trace:
        """Return the steps from the host's calling code until it has the result."""
        return self.whole_trace

    @property
    def cost(self) -> LinuxCost:
        """Return the call's trace, counted by the parts of a call: hypkit.linux.phases.PARTS."""
        return cost(self.trace)


class LinuxMachine:
    """A kernel at rest after its boot, with KVM at EL2.

    snapshot: as read from the cache; budget: instructions a call may take before it counts as a
    runaway. There is no GIC but its EL2 registers, no second processor and no time: what waits for
    one of them does not come back.
    """

    def __init__(self, snapshot: Snapshot, *, budget: int = STEP_BUDGET) -> None:
        self.budget = whole("budget", budget)
        if self.budget < 1:
            raise WrongValue(expected("a budget of at least 1 instruction", budget))
        self.kernel = snapshot
        self.stopped: str | None = None
        self.image: LinuxImage = image_of(snapshot, folded)
        self._back = snapshot.registers["pc"]  # where the idle task goes on
        self._ends = {self._back: RETURNED} | {
            snapshot.symbols[name]: PANICKED for name in PANICS if name in snapshot.symbols
        }
        self._ends[snapshot.sysregs["VBAR_EL1"] + SAME_LEVEL] = OOPSED
        self._turn = Turn(BUSY)
        self._cpu: Cpu | None = Cpu((DRAM_BASE, RAM_SIZE), (), self._ends)
        for number, page in zip(snapshot.numbers.tolist(), snapshot.pages, strict=True):
            self._cpu.ram.store(DRAM_BASE + number * PAGE_SIZE, page.tobytes())
        self._start()
        self._first = self._cpu.save()

    def _start(self) -> None:
        """Put the registers of the snapshot into the processor."""
        cpu, kernel = self._alive(), self.kernel
        cpu.reset(kernel.registers["pc"])
        for name, value in kernel.sysregs.items():
            if name in SYSREGS and name not in _FIXED and not name.startswith("ICH_"):
                cpu.write_sysreg(name, value)
        cpu.write("sp_el2", kernel.sysregs["SP_EL2"])
        cpu.write("pstate", kernel.registers["pstate"])
        cpu.write_sysreg("SPSR_EL2", kernel.sysregs["SPSR_EL2"])  # and so it notices the new level
        for name in (*GENERAL, "sp", "pc"):
            cpu.write(name, kernel.registers[name])

    # -- life cycle --

    def reboot(self) -> None:
        """Become again what the kernel was when its snapshot was taken."""
        with self._turn:
            self._become(self._first, None)

    def _become(self, saved: Saved, stopped: str | None) -> None:
        self.stopped = INTERRUPTED  # until it is over
        self._alive().restore(saved)
        self.stopped = stopped

    def close(self) -> None:
        """Give the memory back; the machine cannot be used afterwards."""
        with self._turn:
            self._cpu = None

    def __enter__(self) -> LinuxMachine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _alive(self) -> Cpu:
        if self._cpu is None:
            raise MachineError("this machine was closed; make a new one with linux.machine(...)")
        return self._cpu

    # -- calls --

    @property
    def calls(self) -> Mapping[str, int]:
        """Return the hypercalls that this kernel's EL2 knows: name -> x0, in that order."""
        return self.image.ids

    def call(self, what: str | int, *args: int) -> LinuxCall:
        """Make a hypercall by the kernel's own name for it; a number goes as it is.

        args: up to seven whole numbers for x1 to x7. UnknownName for a name that EL2's table does
        not have.
        """
        if not isinstance(what, str):
            if hasattr(what, "__index__"):
                return self.hvc(what, *args)
            raise WrongType(expected("the name of a hypercall, or a number for x0", what))
        return self._make(what, self.x0_of(what), args)

    def x0_of(self, name: str) -> int:
        """Return what the host puts into x0 to call *name*: its SMCCC function id."""
        if name not in self.calls:
            raise UnknownName(
                f"Linux {self.kernel.kernel} has no hypercall {name!r}"
                + (did_you_mean(name, self.calls, 0.4) or f"; there are: {', '.join(self.calls)}")
            )
        return self.calls[name]

    def hvc(self, *registers: int) -> LinuxCall:
        """Execute HVC with x0, x1, ... as given: what anyone at EL1 can do."""
        if not registers:
            raise WrongType(f"hvc takes x0 and up to {MAX_ARGS} arguments; got nothing")
        return self._make(f"hvc {word(registers[0]):#x}", registers[0], registers[1:])

    def _make(self, what: str, x0: object, args: Sequence[object]) -> LinuxCall:
        if len(args) > MAX_ARGS:
            raise WrongType(f"a hypercall takes at most {MAX_ARGS} arguments; got {len(args)}")
        values = tuple(word(value) for value in args)
        with self._turn:
            cpu = self._alive()
            if self.stopped:
                raise MachineError(
                    f"this machine has stopped: {self.stopped}. reboot() starts it anew"
                )
            self.stopped = INTERRUPTED
            self.prepare(word(x0), values)
            reason, recording = cpu.run(self.budget)
            trace = self._trace(recording)
            outcome, message = self._outcome(reason, trace)
            results = None
            if outcome == RETURNED:
                at = self._stack() + RESULT_AT
                results = struct.unpack(f"<{RESULTS}Q", self.read(at, 8 * RESULTS, el=1))
            self.stopped = None if outcome == RETURNED else message
        return LinuxCall(self.image, what, values, outcome, results, trace, message)

    def _stack(self) -> int:
        return self.kernel.registers["sp"] - FRAME

    def prepare(self, x0: int, args: Sequence[int]) -> None:
        """Set the idle task's registers to those of a call of the kernel's calling code.

        That is a C function: arguments in x0 to x7, and on the stack the address of where the
        results go and a null pointer.
        """
        cpu, stack = self._alive(), self._stack()
        for name, value in entry_registers(self.kernel, x0, args).items():
            cpu.write(name, value)
        walked = cpu.mmu.translate(stack, 1)
        assert walked.pa is not None
        cpu.ram.store(walked.pa, frame(self.kernel))

    def _outcome(self, reason: Stop, trace: Trace) -> tuple[str, str]:
        pc = self._alive().read("pc")
        if reason is Stop.EXIT:
            outcome = self._ends[pc]
            if outcome == RETURNED:
                return outcome, "returned"
            if outcome == PANICKED:
                taken = [taken for taken in trace.exceptions.values() if taken.target_el == 2]
                if not taken:
                    return outcome, "EL2 panicked"
                at = self.image.symbolize(taken[0].elr) or hex(taken[0].elr)
                why = syndrome.exception_text(taken[0].esr, taken[0].far or 0, "FAR_EL2")
                return outcome, f"EL2 panicked at {at}: {why}"
            esr, elr, far = (self.sysreg(f"{name}_EL1") for name in ("ESR", "ELR", "FAR"))
            at = self.image.symbolize(elr) or hex(elr)
            return outcome, (
                f"the host took an exception at {at}: "
                f"{syndrome.exception_text(esr, far, 'FAR_EL1')}"
            )
        here = f"{self.image.symbolize(pc) or hex(pc)} (EL{self._alive().el})"
        reasons = {
            Stop.BUDGET: f"{self.budget:,} instructions were not enough: it still runs at {here}",
            Stop.LOST: f"at {here} it wants memory that the snapshot does not have",
            Stop.STUCK: f"it takes one exception after another at {here}",
            Stop.ASLEEP: f"before {here} it went to sleep, and nothing here can wake it",
        }
        return RUNAWAY, reasons.get(reason, f"it stopped at {here}")

    # -- looking --

    def reg(self, name: str) -> int:
        """Return a general register, sp, pc or pstate, as unsigned 64 bits."""
        try:
            return self._alive().read(name.lower())
        except (KeyError, AttributeError):
            raise UnknownName(
                f"no register {name!r}: there are x0 to x30, lr, sp, pc, pstate"
            ) from None

    def sysreg(self, name: str) -> int:
        """Return a system register by its name in the Arm ARM, as unsigned 64 bits."""
        return self._alive().sysreg(name)

    def address(self, symbol: str, space: str = "image") -> int:
        """Return one of the four addresses of a name: space is image, linear, physical or hyp."""
        if symbol not in self.image.symbols:
            raise UnknownName(f"no symbol {symbol!r}{did_you_mean(symbol, self.image.symbols)}")
        names = self.image.layout.names(self.image.symbols[symbol])
        if space not in names:
            raise WrongValue(expected(f"one of the spaces {', '.join(names)}", space))
        return names[space]

    def translate(self, va: int, el: int = 2) -> Walk:
        """Translate as EL1 or EL2 would now."""
        if el not in (1, 2):
            raise WrongValue(expected("el=1 or el=2", el))
        return self._alive().mmu.translate(whole("an address", va) & MASK64, el)

    def read(self, va: int, size: int, el: int = 2) -> bytes:
        """Return memory as EL1 or EL2 sees it: *size* bytes; MachineError where one is not mapped.

        What EL2 does not map was not kept, and reads as zero at EL1.
        """
        va, size = whole("an address", va), whole("a size in bytes", size)
        if not 0 <= size <= RAM_SIZE:
            raise WrongValue(expected("a size from 0 bytes to all of memory", size))
        data = bytearray()
        while len(data) < size:
            at = va + len(data)
            walked = self.translate(at, el)
            if walked.pa is None:
                raise MachineError(f"EL{el} cannot read {at:#x}: {walked.fault}")
            count = min(size - len(data), PAGE_SIZE - at % PAGE_SIZE)
            data += self._alive().ram.load(walked.pa, count)
        return bytes(data)

    def snapshot(self) -> LinuxSnapshot:
        """Return everything the machine is, to come back to."""
        with self._turn:
            return LinuxSnapshot(self, self._alive().save(), self.stopped)

    def restore(self, snapshot: LinuxSnapshot) -> None:
        """Become again what this machine was when *snapshot* was taken."""
        if not isinstance(snapshot, LinuxSnapshot) or snapshot.machine is not self:
            raise WrongValue("a machine can only be restored from a snapshot of its own")
        with self._turn:
            self._become(snapshot.saved, snapshot.stopped)

    def _trace(self, recording: Recording) -> Trace:
        return Trace(
            self.image,
            recording.base,
            recording.pcs,
            recording.masks,
            recording.values,
            recording.words,
            recording.sysregs,
            recording.exceptions,
            recording.rewritten,
        )

    def __repr__(self) -> str:
        state = "closed" if self._cpu is None else self.stopped or "ready"
        return f"LinuxMachine({self.kernel.release!r}): {state}"


def entry_registers(kernel: Snapshot, x0: int, args: Sequence[int]) -> dict[str, int]:
    """Return the registers at the first instruction of the calling code, all of x0 to x30 among
    them: those that are no argument as the idle task left them."""
    given = (x0, *args, *(0,) * (MAX_ARGS - len(args)))
    return (
        {name: kernel.registers[name] for name in GENERAL}
        | {f"x{n}": value for n, value in enumerate(given)}
        | {"x30": kernel.registers["pc"], "sp": kernel.registers["sp"] - FRAME}
        | {"pc": kernel.symbols[STUB], "pstate": kernel.registers["pstate"] | MASKED}
    )


MASKED = 0x3C0  # PSTATE.DAIF: no interrupt comes in between


def frame(kernel: Snapshot) -> bytes:
    """Return what the calling code finds at its stack pointer: the address of the results and a
    null pointer, then the place of the results."""
    at = kernel.registers["sp"] - FRAME + RESULT_AT
    return struct.pack("<2Q", at, 0).ljust(RESULT_AT + 8 * RESULTS, b"\0")
