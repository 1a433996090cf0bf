"""LinuxMachine: the EL2 of a real kernel, from its snapshot, on the kit's Cortex-A72.

Threads take turns on it, and an interrupt leaves it as it was or marked as interrupted, by the rules
of hypkit.machine.life.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from hypkit.a64 import syndrome
from hypkit.a64.pagetables import AP_RO, PAGE_SIZE, Walk
from hypkit.a64.registers import MASK64
from hypkit.a64.sysregs import SYSREGS
from hypkit.call import OOPSED, PANICKED, RETURNED, RUNAWAY, Call
from hypkit.errors import (
    UnknownName,
    WrongType,
    WrongValue,
    did_you_mean,
    expected,
    is_whole,
    needs,
    shown,
    whole,
)
from hypkit.kernel.addresses import DRAM_BASE
from hypkit.linux.board import GENERAL, RAM_SIZE
from hypkit.linux.image import LinuxImage, image_of
from hypkit.linux.phases import LinuxCost, cost, folded
from hypkit.linux.snapshot import PANICS, STUB, Snapshot
from hypkit.machine.cpu import Cpu
from hypkit.machine.errors import MachineError
from hypkit.machine.hooks.state import Stop
from hypkit.machine.life import BUSY, MAX_READ, Life, State
from hypkit.machine.mailbox import address, as_bytes, word
from hypkit.machine.turn import Turn
from hypkit.trace import Trace

STEP_BUDGET = 200_000
INTERRUPTED = "it was interrupted in the middle of a call"
MAX_ARGS = 7  # x1 to x7
RESULTS = 4  # words of struct arm_smccc_res
# Of the host's stack below the pointer of the idle task: what the calling code finds there.
FRAME, RESULT_AT = 0x200, 0x20
SAME_LEVEL = 0x200  # the vector of a synchronous exception of EL1 itself
# Registers that name or count something of the hardware: they cannot be written, or must not be.
_FIXED = {"MIDR_EL1", "MPIDR_EL1", "CurrentEL", "SCR_EL3", "ID_AA64MMFR0_EL1", "SP_EL1"}


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


class LinuxMachine(Life):
    """A kernel at rest after its boot, with KVM at EL2.

    There is no GIC but its EL2 registers, no second processor and no time: what waits for one of
    them does not come back. Threads take turns on a machine.

    Args:
        snapshot: as read from the cache.
        budget: instructions that a call may take before it counts as a runaway.

    Raises:
        MachineError: EL2 is laid out in a way that is not known here, or there is too little memory.
        TypeError, ValueError: a budget that is none.
    """

    _MADE_BY = "linux.machine(...)"
    image: LinuxImage

    def __init__(self, snapshot: Snapshot, *, budget: int = STEP_BUDGET) -> None:
        needs(Snapshot, "a kernel's snapshot, as hypkit.linux.fetch() returns it", snapshot)
        self.budget = budget
        self.kernel = snapshot
        self.image = image_of(snapshot, folded)
        self._back = snapshot.registers["pc"]  # where the idle task goes on
        self._ends = {self._back: RETURNED} | {
            snapshot.symbols[name]: PANICKED for name in PANICS if name in snapshot.symbols
        }
        self._ends[snapshot.sysregs["VBAR_EL1"] + SAME_LEVEL] = OOPSED
        self._turn = Turn(BUSY)
        self._state = State("it was never started", whole=False)
        self._cpu: Cpu | None = self._new_cpu()
        for number, page in zip(snapshot.numbers.tolist(), snapshot.pages, strict=True):
            self._cpu.ram.store(DRAM_BASE + number * PAGE_SIZE, page.tobytes())
        self._start()
        self._first = self._cpu.save()
        self._state = State()

    def _new_cpu(self) -> Cpu:
        return Cpu((DRAM_BASE, RAM_SIZE), (), self._ends)

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
        """Become again what the kernel was when its snapshot was taken.

        Raises:
            MachineError: the machine is closed.
        """
        with self._turn:
            self._become(self._first, State(), "its restart was interrupted")

    @contextmanager
    def _unfinished(self, said: str) -> Iterator[None]:
        """Around a change of the machine, which sets _state last. Until then, and where it does not
        get there, the machine has stopped because of what is *said*."""
        self._state = State(said, whole=False)
        try:
            yield
        except MachineError as error:
            self._state = State(str(error), whole=False)
            raise MachineError(f"{error}. reboot() starts it anew") from None

    # -- calls --

    @property
    def calls(self) -> Mapping[str, int]:
        """Return the hypercalls that this kernel's EL2 knows: name -> x0, in that order."""
        return self.image.ids

    def call(self, what: str | int, *args: int) -> LinuxCall:
        """Make a hypercall by the kernel's own name for it, through the kernel's own calling code.

        Args:
            what: a hypercall's name; a number goes into x0 as it is, as in hvc().
            args: up to seven whole numbers of 64 bits, for x1 to x7.

        Returns:
            Its outcome, answer, trace and cost; x0 is the status, x1 the result.

        Raises:
            KeyError: EL2's table does not have that name.
            TypeError, ValueError: an argument that is no 64-bit number, or too many of them.
            MachineError: the machine has stopped, is closed, or cannot go on.
        """
        if is_whole(what):
            return self.hvc(what, *args)  # type: ignore[arg-type]  # it is a number
        return self._make(str(what), self.x0_of(what), args)

    def x0_of(self, name: str | int) -> int:
        """Return what the host puts into x0 to call *name*: its SMCCC function id.

        Raises:
            KeyError: EL2's table does not have that name.
            TypeError: that is no name.
        """
        if not isinstance(name, str):
            raise WrongType(expected("the name of a hypercall, or a number for x0", name))
        if name not in self.calls:
            raise UnknownName(
                f"Linux {self.kernel.kernel} has no hypercall {shown(name)}"
                + (did_you_mean(name, self.calls, 0.4) or f"; there are: {', '.join(self.calls)}")
            )
        return self.calls[name]

    def hvc(self, *registers: int) -> LinuxCall:
        """Execute HVC with registers as given: what anyone at EL1 can do.

        Args:
            registers: x0, x1, ... up to x7, whole numbers of 64 bits.

        Returns:
            Its outcome, as call() does.

        Raises:
            TypeError, ValueError, MachineError: as call() does.
        """
        if not registers:
            raise WrongType(f"hvc takes x0 and up to {MAX_ARGS} arguments; got nothing")
        return self._make(f"hvc {word(registers[0]):#x}", registers[0], registers[1:])

    def _make(self, what: str, x0: object, args: Sequence[object]) -> LinuxCall:
        if len(args) > MAX_ARGS:
            raise WrongType(f"a hypercall takes at most {MAX_ARGS} arguments; got {len(args)}")
        values, first = tuple(word(value) for value in args), word(x0)
        with self._turn:
            cpu = self._alive()
            if self.stopped:
                raise MachineError(
                    f"this machine has stopped: {self.stopped}. reboot() starts it anew"
                )
            with self._unfinished(INTERRUPTED):
                self.prepare(first, values)
                reason, recording = cpu.run(self.budget)
                trace = self._trace(recording)
                outcome, message = self._outcome(reason, trace)
                results = None
                if outcome == RETURNED:
                    at = self._stack() + RESULT_AT
                    results = struct.unpack(f"<{RESULTS}Q", self._read(at, 8 * RESULTS, 1))
                call = LinuxCall(self.image, what, values, outcome, results, trace, message)
                self._state = State(None if outcome == RETURNED else message)
        return call

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
            esr, elr, far = (self._alive().sysreg(f"{name}_EL1") for name in ("ESR", "ELR", "FAR"))
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

    def address(self, symbol: str, space: str = "image") -> int:
        """Return one of the four addresses of a name.

        Args:
            symbol: a name of EL2's, as the kernel's source has it, or of what the host calls by.
            space: "image", "linear", "physical" or "hyp".

        Raises:
            KeyError: no such name.
            ValueError: no such space.
        """
        if not isinstance(symbol, str) or symbol not in self.image.symbols:
            near = did_you_mean(str(symbol), self.image.symbols)
            raise UnknownName(f"no symbol {shown(symbol)}{near}")
        names = self.image.layout.names(self.image.symbols[symbol])
        if not isinstance(space, str) or space not in names:
            raise WrongValue(expected(f"one of the spaces {', '.join(names)}", space))
        return names[space]

    def translate(self, va: int, el: int = 2) -> Walk:
        """Translate an address as EL1 or EL2 would now.

        Args:
            va: an address, 64 bits, signed or not.
            el: 1 or 2. Of a kernel that protects its VMs EL1's has a stage 2 as well.

        Returns:
            The walk, level by level, with the physical address or the fault.

        Raises:
            TypeError, ValueError: another kind of address or level.
        """
        va = address(va)
        if not is_whole(el) or el not in (1, 2):
            raise WrongValue(expected("el=1 or el=2", el))
        with self._turn:
            return self._alive().mmu.translate(va, el)

    def read(self, va: int, size: int, el: int = 2) -> bytes:
        """Return memory as EL1 or EL2 sees it. What EL2 does not map was not kept, and reads as
        zero at EL1.

        Args:
            va: the first byte's address.
            size: a number of bytes, up to 16 MiB.
            el: 1 or 2.

        Raises:
            MachineError: a byte is not mapped.
            TypeError, ValueError: an argument that is no such number.
        """
        va, size = address(va), whole("a size in bytes", size)
        if not 0 <= size <= MAX_READ:
            raise WrongValue(f"size: {expected(f'0 to {MAX_READ:,} bytes', size)}")
        if not is_whole(el) or el not in (1, 2):
            raise WrongValue(expected("el=1 or el=2", el))
        with self._turn:
            return self._read(va, size, el)

    def _read(self, va: int, size: int, el: int) -> bytes:
        cpu, data = self._alive(), bytearray()
        while len(data) < size:
            at = va + len(data) & MASK64
            walked = cpu.mmu.translate(at, el)
            pa, _ = for_el1(walked) if el == 1 else (walked.pa, False)
            if pa is None:
                raise MachineError(f"EL{el} cannot read {at:#x}: {walked.fault}")
            data += cpu.ram.load(pa, min(size - len(data), PAGE_SIZE - at % PAGE_SIZE))
        return bytes(data)

    def entry_of(self, va: int, el: int = 1) -> int:
        """Return the linear address, for EL1, of the page-table entry that maps *va*.

        Args:
            va: an address.
            el: 1 or 2: whose tables.

        Raises:
            MachineError: there is no such entry.
            TypeError, ValueError: another kind of address or level.
        """
        walked = self.translate(va, el)
        if walked.pa is None and walked.stage2 is None or not walked.levels:
            raise MachineError(f"EL{el} has no entry for {va:#x}: {walked.fault or 'no tables'}")
        leaf = walked.levels[-1]
        return self.image.layout.linear_va(leaf.table + 8 * leaf.index)

    def poke(self, va: int, data: bytes) -> None:
        """Write to memory as the kernel at EL1 can: where its tables, and a stage 2, let it.

        What is written counts at once, as after a TLBI and an IC, and stays until reboot().

        Args:
            va: an address of EL1's, image or linear.
            data: the bytes.

        Raises:
            MachineError: a byte is not mapped, read-only, or kept from EL1 by its stage 2; then
                nothing was written.
            TypeError, ValueError: an address or data of another kind.
        """
        va, content = address(va), as_bytes(data)
        with self._turn:
            places, before = self._places(va, content), self._state
            cpu = self._whole()
            with self._unfinished("what was written to its memory is half there"):
                for pa, part in places:
                    cpu.ram.store(pa, part)
                cpu.forget_memory()
                self._state = before

    def _places(self, va: int, data: bytes) -> list[tuple[int, bytes]]:
        """Where the parts of *data* go: (physical address, part), page by page."""
        cpu, places, done = self._alive(), [], 0
        while done < len(data):
            at = va + done & MASK64
            walked = cpu.mmu.translate(at, 1)
            pa, writable = for_el1(walked)
            if pa is None:
                kept = "its stage 2 keeps it from EL1" if walked.stage2 else walked.fault
                raise MachineError(f"EL1 cannot write {at:#x}: {kept}")
            if not writable:
                raise MachineError(
                    f"EL1 cannot write {at:#x}: read-only for it; entry_of(...) is where its "
                    "tables say so"
                )
            size = min(len(data) - done, PAGE_SIZE - at % PAGE_SIZE)
            places.append((pa, data[done : done + size]))
            done += size
        return places

    def __repr__(self) -> str:
        state = "closed" if self._cpu is None else self.stopped or "ready"
        return f"LinuxMachine({self.kernel.release!r}): {state}"


def for_el1(walked: Walk) -> tuple[int | None, bool]:
    """Return where EL1's own walk leads, and whether it may write there: (None, False) if nowhere.

    The stage 2 that a protected EL2 gives the host is filled as the host touches memory: an empty
    entry there is memory that the host has, and one that is not empty but invalid names another
    owner (pKVM's kvm_pgtable_stage2_set_owner).
    """
    second = walked.stage2
    if second is None or second.pa is not None:
        return walked.pa, walked.writable
    if second.descriptor or not walked.levels:
        return None, False
    return second.va, not walked.levels[-1].descriptor & AP_RO


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
