"""Machine: an image on a Cortex-A72 at EL1 and EL2, booted by its own code and called by name."""

from __future__ import annotations

import difflib
import struct
from dataclasses import dataclass

from hypkit import arch
from hypkit.abi import HYPERCALLS
from hypkit.cost import Cost, count
from hypkit.cpu import Cpu, MachineError, Recording, Saved
from hypkit.hooks import Stop
from hypkit.image import (
    CONSTANTS,
    HEAP,
    KIMAGE_PA,
    REQUEST_SIZE,
    REQUESTS_PA,
    REQUESTS_SIZE,
    VM_IPA,
    VTCR_EL2,
    Image,
    load,
)
from hypkit.trace import Trace
from hypkit.vmem import MASK64, PAGE_SIZE, Layout, Walk

STEP_BUDGET = 1_000_000
MAX_ARGS = 6
RETURNED, PANICKED, OOPSED, RESTARTED, RUNAWAY = (
    "returned", "panicked", "oopsed", "restarted", "runaway")


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

    def __repr__(self) -> str:
        return f"Panic({arch.esr_text(self.esr)}; ELR_EL2 {self.elr:#x}, FAR_EL2 {self.far:#x})"


class Call:
    """One request to the machine and what came of it.

    x0 to x3: the host's registers afterwards (unsigned 64 bits), None when the call did not come
    back. outcome: "returned", "panicked" (EL2 gave up), "oopsed" (the host took an exception),
    "restarted" (the kernel booted again) or "runaway" (the step budget ran out).
    """

    def __init__(self, machine: Machine, what: str, args: tuple[int, ...], outcome: str,
                 results: tuple[int, ...] | None, whole: Trace, message: str) -> None:
        self._variant = machine.key
        self.what, self.args, self.outcome, self.message = what, args, outcome, message
        self.x0, self.x1, self.x2, self.x3 = results or (None,) * 4
        self.whole_trace = whole  # with the mailbox around the call
        self._trace: Trace | None = None

    @property
    def trace(self) -> Trace:
        """The steps from the host's branch to its calling code until it has the result."""
        if self._trace is None:
            whole = self.whole_trace
            start = whole.find("host_call")
            end = None if start is None else whole.find("host_called", start)
            self._trace = whole[start or 0:len(whole) if end is None else end]
        return self._trace

    @property
    def cost(self) -> Cost:
        """The call's trace, counted by phase."""
        return count(self.trace)

    def __repr__(self) -> str:
        args = ", ".join(f"{value:#x}" for value in self.args)
        came = f"x0 = {self.x0:#x}" if self.x0 is not None else self.message
        return f"Call({self._variant}: {self.what}({args}) {self.outcome}: {came})"


class Machine:
    """A booted machine of one variant.

    variant: a key of VARIANTS; seed: a whole number that picks KASLR offset and hyp tag, 0 for
    neither; dispatcher: a learner's assembly in place of the variant's own; budget: instructions a
    call may take before it counts as a runaway. Raises AsmError for a dispatcher that does not
    assemble, MachineError for one that does not survive the boot.
    """

    def __init__(self, variant: str = "numbered", *, seed: int = 0, dispatcher: str | None = None,
                 cpu: str = "cortex-a72", budget: int = STEP_BUDGET) -> None:
        if cpu != "cortex-a72":
            raise ValueError(f"cpu {cpu!r}: this machine is a cortex-a72")
        if not isinstance(budget, int) or budget < 1:
            raise ValueError(f"budget {budget!r} is not a positive number of instructions")
        self.key, self.seed, self.budget = variant, seed, budget
        self.layout = Layout.from_seed(seed)
        self.image: Image = load(variant, self.layout, dispatcher)
        self._cpu: Cpu | None = Cpu((KIMAGE_PA, REQUESTS_PA + REQUESTS_SIZE - KIMAGE_PA),
                                    self._word_at)
        self.stopped: str | None = None
        self._panic: Panic | None = None
        self.reboot()

    # -- life cycle --

    def reboot(self, requests: list[tuple[int, ...]] | None = None) -> Trace:
        """Put the image back and boot it; the boot's trace.

        requests: up to eight words each (x0 to x6, and the address of the host's calling code or
        0), put into the mailbox beforehand and served before the boot is over.
        """
        cpu = self._alive()
        for pa, data in self.image.memory.items():
            cpu.store(pa, data)
        self._fill_mailbox(requests or [])
        cpu.reset(self.image.entry)
        labels = ("host_idle", "host_panicked", "host_oops")
        cpu.set_exits(self.image.symbols[label] for label in labels)
        self.stopped = self._panic = None
        reason, recording = cpu.run(self.budget)
        self.boot_trace = self._trace(recording)
        self._look_where_it_stopped(reason)
        if self.stopped and not requests:
            raise MachineError(f"the {self.key} machine did not boot: {self.stopped}")
        return self.boot_trace

    def close(self) -> None:
        """Give the memory back; the machine cannot be used afterwards."""
        if self._cpu is not None:
            self._cpu.close()
            self._cpu = None

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _alive(self) -> Cpu:
        if self._cpu is None:
            raise MachineError("this machine was closed; make a new one with Machine(...)")
        return self._cpu

    # -- calls --

    def call(self, what: str | int, *args: int | str) -> Call:
        """Make a hypercall as the host's C code would: by name; a number or pointer goes as it is.

        args: up to six whole numbers (64 bits, signed or not) or names of structures ("vcpu0",
        "vcpu1", "kvm0"), which become linear-map pointers.
        """
        if isinstance(what, int):
            return self.hvc(what, *args)
        if what not in HYPERCALLS:
            near = difflib.get_close_matches(str(what), HYPERCALLS, 1, 0.4)
            raise KeyError(f"no hypercall {what!r}" + (f"; did you mean {near[0]!r}?" if near else
                                                      f"; there are: {', '.join(HYPERCALLS)}"))
        values = self._words(args)
        return self._request(what, values, (0, *values), self.image.symbols[f"host_call_{what}"])

    def hvc(self, *registers: int | str) -> Call:
        """Execute HVC with x0, x1, ... as given: what anyone at EL1 can do."""
        if not 1 <= len(registers) <= MAX_ARGS + 1:
            raise TypeError(f"hvc takes x0 and up to {MAX_ARGS} arguments, not {len(registers)} values")
        values = self._words(registers)
        return self._request(f"hvc {values[0]:#x}", values[1:], values, 0)

    def _words(self, values: tuple[int | str, ...]) -> tuple[int, ...]:
        if len(values) > MAX_ARGS + 1:
            raise TypeError(f"a hypercall takes at most {MAX_ARGS} arguments, not {len(values)}")
        words = []
        for value in values:
            if isinstance(value, str):
                value = self.address(value, "linear")
            elif not hasattr(value, "__index__"):
                raise TypeError(f"{value!r} is neither a whole number nor the name of a structure")
            value = value.__index__()
            if not -1 << 63 <= value < 1 << 64:
                raise ValueError(f"{value:#x} does not fit into a 64-bit register")
            words.append(value & MASK64)
        return tuple(words)

    def _request(self, what: str, args: tuple[int, ...], registers: tuple[int, ...],
                 through: int) -> Call:
        cpu = self._alive()
        if self.stopped:
            raise MachineError(f"this machine has stopped: {self.stopped}. reboot() starts it anew")
        self._fill_mailbox([(*registers, *(0,) * (7 - len(registers)), through)])
        boots = self._data("boot_count")
        cpu.write("pc", self.image.symbols["host_next"])
        reason, recording = cpu.run(self.budget)
        self._look_where_it_stopped(reason)
        trace = self._trace(recording)
        if self.stopped:
            outcome = {"host_panicked": PANICKED, "host_oops": OOPSED}.get(self._where, RUNAWAY)
            return Call(self, what, args, outcome, None, trace, self.stopped)
        if self._data("boot_count") != boots:
            return Call(self, what, args, RESTARTED, None, trace,
                        "the call did not come back: the kernel was started again")
        results = struct.unpack("<4Q", cpu.load(REQUESTS_PA, 32))
        return Call(self, what, args, RETURNED, results, trace, "returned")

    def _fill_mailbox(self, requests: list[tuple[int, ...]], power_off: bool = False) -> None:
        data = mailbox(self.image, requests, power_off)
        for pa, content in data.items():
            self._cpu.store(pa, content)

    def _look_where_it_stopped(self, reason: Stop) -> None:
        cpu = self._cpu
        pc = cpu.read("pc")
        self._where = self.image.symbolize(pc)
        if reason is Stop.BUDGET:
            self.stopped = (f"{self.budget:,} instructions were not enough: it still runs at "
                            f"{self._where or hex(pc)} (EL{cpu.el}), in a loop perhaps")
        elif self._where == "host_panicked":
            self._panic = Panic(*struct.unpack("<7Q", cpu.load(self.image.pa("panic_record"), 56)))
            at = self.image.symbolize(self._panic.elr) or hex(self._panic.elr)
            self.stopped = (f"EL2 panicked at {at}: {arch.esr_text(self._panic.esr)}, "
                            f"FAR_EL2 {self._panic.far:#x}")
        elif self._where == "host_oops":
            esr, elr, far, _ = struct.unpack("<4Q", cpu.load(self.image.pa("oops_record"), 32))
            at = self.image.symbolize(elr) or hex(elr)
            self.stopped = f"the host took an exception at {at}: {arch.esr_text(esr)}, FAR {far:#x}"
        else:
            self.stopped = None

    # -- looking --

    @property
    def panicked(self) -> Panic | None:
        """What EL2 said when it panicked, None while it has not."""
        return self._panic

    def reg(self, name: str) -> int:
        """A general register, sp, pc or pstate, as unsigned 64 bits."""
        try:
            return self._alive().read(name.lower())
        except (KeyError, AttributeError):
            raise KeyError(f"no register {name!r}: x0 to x30, lr, sp, pc, pstate") from None

    def sysreg(self, name: str) -> int:
        """A system register by its name in the Arm ARM, as unsigned 64 bits."""
        return self._alive().sysreg(name)

    def address(self, symbol: str, space: str = "image") -> int:
        """One of the four addresses of a label: space is image, linear, physical or hyp."""
        if symbol not in self.image.symbols:
            near = difflib.get_close_matches(str(symbol), self.image.symbols, 1)
            raise KeyError(f"no symbol {symbol!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        names = self.layout.names(self.image.symbols[symbol])
        if space not in names:
            raise ValueError(f"space {space!r}: there are {', '.join(names)}")
        return names[space]

    def translate(self, va: int, el: int = 2, *, stage: int = 1) -> Walk:
        """Translate as EL1 or EL2 would right now; stage=2: an address of the VM, through stage 2."""
        cpu = self._alive()
        if stage == 2:
            vttbr = int.from_bytes(cpu.load(HEAP["kvm0"][0] + CONSTANTS["KVM_VTTBR"], 8), "little")
            return cpu.translate_ipa(va, vttbr, VTCR_EL2)
        if el not in (1, 2) or stage != 1:
            raise ValueError(f"el={el!r}, stage={stage!r}: there are EL1, EL2 and stages 1 and 2")
        return cpu.translate(va & MASK64, el)

    def read(self, va: int, size: int, el: int = 2) -> bytes:
        """Memory as EL1 or EL2 sees it; MachineError where a byte of it is not mapped."""
        data = b""
        while len(data) < size:
            at = va + len(data)
            walked = self.translate(at, el)
            if walked.pa is None:
                raise MachineError(f"EL{el} cannot read {at:#x}: {walked.fault}")
            data += self._cpu.load(walked.pa, min(size - len(data), PAGE_SIZE - at % PAGE_SIZE))
        return data

    def _data(self, symbol: str) -> int:
        return self._cpu.load64(self.image.pa(symbol))

    def snapshot(self) -> Snapshot:
        """Everything the machine is, to come back to."""
        return Snapshot(self, self._alive().save(), self.stopped, self._panic)

    def restore(self, snapshot: Snapshot) -> None:
        """Become again what this machine was when *snapshot* was taken."""
        if not isinstance(snapshot, Snapshot) or snapshot.machine is not self:
            raise ValueError("a machine can only be restored from a snapshot of its own")
        self._alive().restore(snapshot.saved)
        self.stopped, self._panic = snapshot.stopped, snapshot.panic

    def _word_at(self, pc: int) -> int:
        """The instruction at an address of whichever space: by arithmetic, the tables agree."""
        if VM_IPA <= pc < VM_IPA + PAGE_SIZE:
            pa = pc - VM_IPA + HEAP["vm_memory"][0]
        else:
            pa = None if pc & 3 else self.layout.pa(pc)
        return int.from_bytes(self._cpu.load(pa, 4), "little") if pa is not None else 0

    def _trace(self, recording: Recording) -> Trace:
        return Trace(self.image, recording.base, recording.pcs, recording.masks, recording.values,
                     recording.words, recording.sysregs, recording.exceptions)

    def __repr__(self) -> str:
        state = "closed" if self._cpu is None else self.stopped or "ready"
        return f"Machine({self.key!r}, seed={self.seed}): {state}"


@dataclass(frozen=True)
class Snapshot:
    """A moment of one machine; see Machine.snapshot."""

    machine: Machine
    saved: Saved
    stopped: str | None
    panic: Panic | None

    def __repr__(self) -> str:
        return f"Snapshot of {self.machine!r}"


def mailbox(image: Image, requests: list[tuple[int, ...]], power_off: bool) -> dict[int, bytes]:
    """Memory that puts requests before the host: physical address -> bytes.

    power_off: whether the host switches the board off when it is done, as QEMU needs it.
    """
    if len(requests) * REQUEST_SIZE > REQUESTS_SIZE:
        raise ValueError(f"{len(requests)} requests; the mailbox holds {REQUESTS_SIZE // REQUEST_SIZE}")
    start = image.layout.linear_va(REQUESTS_PA)
    header = struct.pack("<3Q", start, start + len(requests) * REQUEST_SIZE, power_off)
    return {image.pa("mailbox_next"): header,
            REQUESTS_PA: b"".join(struct.pack("<8Q", *request) for request in requests)}


