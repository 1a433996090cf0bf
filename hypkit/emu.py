"""Machine: an image on a Cortex-A72 at EL1 and EL2, booted by its own code and called by name."""

from __future__ import annotations

import difflib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from hypkit.a64 import syndrome
from hypkit.a64.pagetables import PAGE_SIZE, Walk
from hypkit.a64.registers import MASK64
from hypkit.call import OOPSED, PANICKED, RESTARTED, RETURNED, RUNAWAY, Call, Panic
from hypkit.header import Header, read_header
from hypkit.kernel.addresses import KIMAGE_PA, Layout
from hypkit.kernel.image import Image, load
from hypkit.kernel.memory_map import (
    CONSTANTS,
    HEAP,
    REQUEST_SIZE,
    REQUESTS_PA,
    REQUESTS_SIZE,
    SECTION,
    VM_IPA,
    VTCR_EL2,
)
from hypkit.kernel.variants import variant as variant_of
from hypkit.machine.cpu import Cpu, Recording, Saved
from hypkit.machine.errors import MachineError
from hypkit.machine.hooks.state import Stop
from hypkit.machine.mailbox import MAX_ARGS, ROOM, bulk, mailbox, mailbox_header, whole, word
from hypkit.trace import Trace

STEP_BUDGET = 1_000_000
MAX_BUDGET = 50_000_000  # a recorded step takes about 25 bytes
# A bulk run goes in slices, so that the stop button is heard and a progress bar can move.
SLICE = ROOM
SLICE_STEPS = 8_000_000
MANY_CALLS = 1_000_000  # from here on a bar shows that there is progress


# Where no code is expected: the kernel's data, and all that it allocates but a VM's memory.
_VM_MEMORY, _VM_SIZE, _ = HEAP["vm_memory"]
DATA_PLACES = (
    (SECTION[".data"].pa, _VM_MEMORY),
    (_VM_MEMORY + _VM_SIZE, REQUESTS_PA + REQUESTS_SIZE),
)


class Machine:
    """A booted machine of one variant.

    variant: a key of VARIANTS; seed: a whole number that picks KASLR offset and hyp tag, 0 for
    neither; dispatcher: a learner's assembly in place of the variant's own; header: a learner's
    numbering, as read_header takes it; budget: instructions a call may take before it counts as a
    runaway. Raises AsmError for a dispatcher that does not assemble and for a number that an
    instruction of it cannot hold, HeaderError for a header that does not compile, MachineError for
    a dispatcher that does not survive the boot.
    """

    def __init__(
        self,
        variant: str = "numbered",
        *,
        seed: int = 0,
        dispatcher: str | None = None,
        header: str | Mapping[str, str] | Header | None = None,
        cpu: str = "cortex-a72",
        budget: int = STEP_BUDGET,
    ) -> None:
        if cpu != "cortex-a72":
            raise ValueError(f"cpu {cpu!r}: this machine is a cortex-a72")
        if not isinstance(dispatcher, str | None):
            raise TypeError(f"a dispatcher is an assembly text, not {type(dispatcher).__name__}")
        self.key, self.seed, self.budget = variant, whole("seed", seed), whole("budget", budget)
        if not 1 <= self.budget <= MAX_BUDGET:
            raise ValueError(
                f"budget {budget} is not a number of instructions from 1 to {MAX_BUDGET:,}"
            )
        variant_of(variant)  # complains about a key that is none
        self.layout = Layout.from_seed(self.seed)
        self.header = None if header is None else read_header(header)
        numbering = None if self.header is None else self.header.numbering
        self.image: Image = load(variant, self.layout, dispatcher, numbering)
        exits = map(self.image.host_pc, ("host_idle", "host_panicked", "host_oops"))
        self._cpu: Cpu | None = Cpu(
            (KIMAGE_PA, REQUESTS_PA + REQUESTS_SIZE - KIMAGE_PA), DATA_PLACES, exits, self._word_at
        )
        self.stopped: str | None = None
        self._panic: Panic | None = None
        self.reboot()

    # -- life cycle --

    def reboot(self, requests: Sequence[Sequence[int]] = ()) -> Trace:
        """Put the image back and boot it; the boot's trace.

        requests: as request() gives them, put into the mailbox beforehand and served before the
        boot is over.
        """
        cpu = self._alive()
        memory = dict(self.image.memory) | mailbox(self.image, requests, power_off=False)
        self.stopped, self._panic = "its boot was interrupted", None  # until it is over
        for pa, data in memory.items():
            cpu.ram.store(pa, data)
        cpu.reset(self.image.entry)
        self.boot_trace = self._traced_run()
        if self.stopped and not len(requests):
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
        if hasattr(what, "__index__"):
            return self.hvc(what, *args)
        return self._make(what, self.request(what, *args), self._words(args))

    def hvc(self, *registers: int | str) -> Call:
        """Execute HVC with x0, x1, ... as given: what anyone at EL1 can do."""
        if not registers:
            raise TypeError(f"hvc takes x0 and up to {MAX_ARGS} arguments, not nothing")
        request = self.request(*self._words(registers))
        return self._make(f"hvc {request[0]:#x}", request, request[1 : len(registers)])

    def request(self, what: str | int, *args: int | str) -> tuple[int, ...]:
        """The eight words of a mailbox request: x0 to x6, and the host's calling code (0: raw)."""
        if len(args) > MAX_ARGS:
            raise TypeError(f"a hypercall takes at most {MAX_ARGS} arguments, not {len(args)}")
        values = self._words(args)
        padding = (0,) * (MAX_ARGS - len(values))
        if hasattr(what, "__index__"):
            return (word(what), *values, *padding, 0)
        calls = self.image.variant.calls
        if what not in calls:
            near = difflib.get_close_matches(str(what), calls, 1, 0.4)
            of = "" if self.header is None else " with a number in this header"
            raise KeyError(
                f"no hypercall {what!r}{of}"
                + (f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(calls)}")
            )
        code = self.image.host_pc(f"host_call_{what}")
        # The host's code for a hypercall fills x0 in; a plain function's first argument is there.
        return (*values, *padding, 0, code) if self._plain_calls else (0, *values, *padding, code)

    def _words(self, values: tuple[int | str, ...]) -> tuple[int, ...]:
        return tuple(
            self.image.host_va(self.image.pa(self._known(value)))
            if isinstance(value, str)
            else word(value)
            for value in values
        )

    def _ready(self) -> Cpu:
        cpu = self._alive()
        if self.stopped:
            raise MachineError(f"this machine has stopped: {self.stopped}. reboot() starts it anew")
        return cpu

    def _make(self, what: str, request: tuple[int, ...], args: tuple[int, ...]) -> Call:
        cpu = self._ready()
        self._fill_mailbox([request])
        boots = self._data("boot_count")
        cpu.write("pc", self.image.host_pc("host_next"))
        trace = self._traced_run()
        if self.stopped:
            outcome = {"host_panicked": PANICKED, "host_oops": OOPSED}.get(self._where, RUNAWAY)
            return Call(self.image, what, args, outcome, None, trace, self.stopped)
        if self._data("boot_count") != boots:
            return Call(
                self.image,
                what,
                args,
                RESTARTED,
                None,
                trace,
                "the call did not come back: the kernel was started again",
            )
        results = struct.unpack("<4Q", cpu.ram.load(REQUESTS_PA, 32))
        return Call(self.image, what, args, RETURNED, results, trace, "returned")

    def _traced_run(self) -> Trace:
        """Run until the host is idle or stopped for good; the stop button ends it in between."""
        with self._stopping():
            reason, recording = self._cpu.run(self.budget)
        self._look_where_it_stopped(reason)
        return self._trace(recording)

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        """Around a run: the machine has stopped if it does not come to a regular end."""
        try:
            yield
        except KeyboardInterrupt:
            self.stopped = f"it was interrupted at {self._here()}"
            raise
        except MachineError as error:
            self.stopped = f"at {self._here()}: {error}"
            raise MachineError(f"{self.stopped}. reboot() starts it anew") from None

    def run(self, ids: object, args: object = None) -> np.ndarray:
        """Make many calls at full speed: x0 of each answer, uint64, shape (n,).

        ids: whole numbers, shape (n,), for x0 at the HVC as in hvc(); x0_of(name) gives them.
        args: for x1, x2, ...: shape (n, up to 6), or one row for all calls, or None.
        Nothing is recorded. Raises MachineError naming the request that stopped the machine.
        """
        cpu = self._ready()
        x0, values = bulk(ids, args)
        answers = np.empty(len(x0), dtype=np.uint64)
        with _progress(len(x0)) as advance:
            for start in range(0, len(x0), SLICE):
                part = slice(start, min(start + SLICE, len(x0)))
                requests = self._post(x0[part], values[part])
                cpu.write("pc", self.image.host_pc("host_next"))
                self._run_slice(start)
                answers[part] = requests[:, 0]
                advance(len(requests))
        return answers

    def _post(self, x0: np.ndarray, args: np.ndarray) -> np.ndarray:
        """Put raw requests into the mailbox, and give them as they lie there: shape (n, 8)."""
        ram = self._cpu.ram
        requests = ram.view(REQUESTS_PA, len(x0) * REQUEST_SIZE).view("<u8").reshape(len(x0), -1)
        requests[:, 0], requests[:, 1 : 1 + args.shape[1]] = x0, args
        requests[:, 1 + args.shape[1] :] = 0
        for pa, data in mailbox_header(self.image, len(x0)).items():
            ram.store(pa, data)
        return requests

    def _run_slice(self, start: int) -> None:
        """Serve what is in the mailbox; *start* numbers its first request in messages."""
        cpu, boots = self._cpu, self._data("boot_count")
        steps, served, fruitless = min(SLICE_STEPS, self.budget), -1, 0
        with self._stopping():
            while (reason := cpu.run_free(steps)) is Stop.BUDGET:
                before, served = served, self._data("mailbox_next")
                fruitless = fruitless + steps if served == before else 0
                if fruitless >= self.budget:  # not one call ended in all that time
                    break
        self._look_where_it_stopped(reason)
        if not self.stopped and self._data("boot_count") != boots:
            self.stopped = "the kernel was started again in the middle of a bulk run"
        if self.stopped:
            first = self.image.host_va(REQUESTS_PA)
            number = start + (self._data("mailbox_next") - first) // REQUEST_SIZE - 1
            raise MachineError(f"request {number}: {self.stopped}. reboot() starts it anew")

    def x0_of(self, name: str) -> int:
        """What this variant's host puts into x0 to call *name*: a number, or a linear address."""
        self.request(name)  # complains about a name that is no hypercall
        if self._plain_calls:
            raise MachineError(f"the {self.key} machine makes no hypercall: there is no x0 for one")
        numbers = self.image.variant.numbers
        return numbers[name] if name in numbers else self.address(name, "linear")

    def _fill_mailbox(self, requests: Sequence[Sequence[int]]) -> None:
        for pa, data in mailbox(self.image, requests, power_off=False).items():
            self._cpu.ram.store(pa, data)

    def _here(self) -> str:
        pc = self._cpu.read("pc")
        return f"{self.image.symbolize(pc) or hex(pc)} (EL{self._cpu.el})"

    def _look_where_it_stopped(self, reason: Stop) -> None:
        cpu = self._cpu
        pc = cpu.read("pc")
        self._where = self.image.symbolize(pc)
        if reason is Stop.BUDGET:
            self.stopped = (
                f"{self.budget:,} instructions were not enough: it still runs at "
                f"{self._here()}, in a loop perhaps"
            )
        elif reason is Stop.LOST:
            self.stopped = f"at {self._here()} it wants memory where this machine has none"
        elif reason is Stop.STUCK:
            esr = cpu.sysreg(f"ESR_EL{cpu.el}")
            self.stopped = (
                f"it takes one exception after another at {self._here()} and executes "
                f"nothing in between: {syndrome.esr_text(esr)}"
            )
        elif reason is Stop.ASLEEP:
            self.stopped = (
                f"before {self._here()} it went to sleep with WFI, and this machine "
                "has no interrupt to wake it"
            )
        elif self._where == "host_panicked":
            self._panic = Panic(*self._record("panic_record", 7))
            at = self.image.symbolize(self._panic.elr) or hex(self._panic.elr)
            self.stopped = f"EL2 panicked at {at}: {self._panic.why}"
        elif self._where == "host_oops":
            esr, elr, far, _ = self._record("oops_record", 4)
            at = self.image.symbolize(elr) or hex(elr)
            self.stopped = (
                f"the host took an exception at {at}: {syndrome.exception_text(esr, far, 'FAR')}"
            )
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
        names = self.layout.names(self.image.symbols[self._known(symbol)])
        if space not in names:
            raise ValueError(f"space {space!r}: there are {', '.join(names)}")
        return names[space]

    def _known(self, symbol: str) -> str:
        """*symbol*, if it is one; KeyError names the nearest."""
        if symbol not in self.image.symbols:
            near = difflib.get_close_matches(str(symbol), self.image.symbols, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise KeyError(f"no symbol {symbol!r}{hint}")
        return symbol

    @property
    def _plain_calls(self) -> bool:
        return self.image.variant.host_el == 2

    def translate(self, va: int, el: int = 2, *, stage: int = 1) -> Walk:
        """Translate as EL1 or EL2 would now; stage=2: an address of the VM, through stage 2."""
        cpu = self._alive()
        va = whole("an address", va) & MASK64
        if stage == 2:
            vttbr = cpu.ram.load64(HEAP["kvm0"][0] + CONSTANTS["KVM_VTTBR"])
            return cpu.mmu.translate_ipa(va, vttbr, VTCR_EL2)
        if el not in (1, 2) or stage != 1:
            raise ValueError(f"el={el!r}, stage={stage!r}: there are EL1, EL2 and stages 1 and 2")
        return cpu.mmu.translate(va, el)

    def read(self, va: int, size: int, el: int = 2) -> bytes:
        """Memory as EL1 or EL2 sees it: *size* bytes; MachineError where one is not mapped."""
        va, size = whole("an address", va), whole("a size in bytes", size)
        if size < 0:
            raise ValueError(f"size {size} is negative: it counts bytes")
        data = bytearray()
        while len(data) < size:
            at = va + len(data)
            walked = self.translate(at, el)
            if walked.pa is None:
                raise MachineError(f"EL{el} cannot read {at:#x}: {walked.fault}")
            data += self._cpu.ram.load(walked.pa, min(size - len(data), PAGE_SIZE - at % PAGE_SIZE))
        return bytes(data)

    def poke(self, va: int, data: bytes) -> None:
        """Write to memory as the kernel at EL1 can: where its page tables let it.

        va: an address of EL1's, image or linear; data: the bytes. MachineError where a byte is not
        mapped, or read-only. The tables themselves lie in the linear map, and EL1 may write them:
        entry_of(va) says where. What is written to the image stays until reboot().
        """
        va, data = whole("an address", va), _as_bytes(data)
        places, done = [], 0
        while done < len(data):
            at = va + done
            walked = self.translate(at, el=1)
            if not walked.writable:
                why = walked.fault or "read-only for it; entry_of(...) is where its tables say so"
                raise MachineError(f"EL1 cannot write {at:#x}: {why}")
            size = min(len(data) - done, PAGE_SIZE - at % PAGE_SIZE)
            if not KIMAGE_PA <= walked.pa < REQUESTS_PA + REQUESTS_SIZE:
                raise MachineError(
                    f"nothing of this machine lives at {at:#x}: write to the image, "
                    "its page tables or its structures"
                )
            places.append((walked.pa, data[done : done + size]))
            done += size
        for pa, part in places:  # all of it, or nothing
            self._alive().ram.store(pa, part)
        self._alive().forget_code()

    def entry_of(self, va: int, el: int = 1) -> int:
        """The linear address, for EL1, of the page-table entry that maps *va* at EL1 or EL2.

        MachineError where there is none.
        """
        walked = self.translate(va, el)
        if walked.pa is None or not walked.levels:
            raise MachineError(f"EL{el} has no entry for {va:#x}: {walked.fault or 'no tables'}")
        leaf = walked.levels[-1]
        return self.image.host_va(leaf.table + 8 * leaf.index)

    def _record(self, symbol: str, words: int) -> tuple[int, ...]:
        return struct.unpack(f"<{words}Q", self._cpu.ram.load(self.image.pa(symbol), 8 * words))

    def _data(self, symbol: str) -> int:
        (value,) = self._record(symbol, 1)
        return value

    def snapshot(self) -> Snapshot:
        """Everything the machine is, to come back to."""
        return Snapshot(self, self._alive().save(), self.stopped, self._panic)

    def restore(self, snapshot: Snapshot) -> None:
        """Become again what this machine was when *snapshot* was taken."""
        if not isinstance(snapshot, Snapshot) or snapshot.machine is not self:
            raise ValueError("a machine can only be restored from a snapshot of its own")
        cpu = self._alive()
        self.stopped = "its restore was interrupted"  # until it is over
        cpu.restore(snapshot.saved)
        self.stopped, self._panic = snapshot.stopped, snapshot.panic

    def _word_at(self, pc: int) -> int:
        """The instruction at an address of whichever space: by arithmetic, the tables agree."""
        if VM_IPA <= pc < VM_IPA + PAGE_SIZE:
            pa = pc - VM_IPA + HEAP["vm_memory"][0]
        else:
            pa = None if pc & 3 else self.layout.pa(pc)
        return int.from_bytes(self._cpu.ram.load(pa, 4), "little") if pa is not None else 0

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
        )

    def __repr__(self) -> str:
        state = "closed" if self._cpu is None else self.stopped or "ready"
        with_header = ", with a header" if self.header else ""
        return f"Machine({self.key!r}, seed={self.seed}{with_header}): {state}"


@dataclass(frozen=True)
class Snapshot:
    """A moment of one machine; see Machine.snapshot."""

    machine: Machine
    saved: Saved
    stopped: str | None
    panic: Panic | None

    def __repr__(self) -> str:
        return f"Snapshot of {self.machine!r}"


@contextmanager
def _progress(calls: int) -> Iterator[Callable[[int], object]]:
    """A bar that shows how many calls are done, for those who have to wait for so many."""
    if calls < MANY_CALLS:
        yield lambda done: None
        return
    from tqdm.auto import tqdm  # takes as long to import as a machine to boot

    with tqdm(total=calls, unit=" calls", delay=2, leave=False) as bar:
        yield bar.update


def _as_bytes(data: object) -> bytes:
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"what is written to memory is bytes, not {data!r}") from None
