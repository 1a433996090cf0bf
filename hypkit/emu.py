"""Machine: an image on a Cortex-A72 at EL1 and EL2, booted by its own code and called by name.

How threads, interrupts and closing are kept apart is in hypkit.machine.life.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hypkit.a64 import syndrome
from hypkit.a64.pagetables import PAGE_SIZE, Walk
from hypkit.a64.registers import REGISTERS
from hypkit.call import OOPSED, PANICKED, RESTARTED, RETURNED, RUNAWAY, Call, Panic
from hypkit.errors import (
    UnknownName,
    WrongType,
    WrongValue,
    did_you_mean,
    expected,
    is_whole,
    shown,
    whole,
)
from hypkit.kernel.addresses import KIMAGE_PA, Layout
from hypkit.kernel.image import Image, load
from hypkit.kernel.memory_map import (
    CONSTANTS,
    HEAP,
    REQUEST_SIZE,
    REQUESTS_PA,
    REQUESTS_SIZE,
    SECTION,
    VTCR_EL2,
)
from hypkit.kernel.variants import variant as variant_of
from hypkit.machine.cpu import EXCEPTION_STEPS, Cpu
from hypkit.machine.errors import MachineError
from hypkit.machine.hooks.state import Stop
from hypkit.machine.life import BUSY, MAX_READ, Life, State
from hypkit.machine.mailbox import (
    MAX_ARGS,
    ROOM,
    address,
    as_bytes,
    bulk,
    mailbox,
    mailbox_header,
    word,
)
from hypkit.machine.turn import Turn
from hypkit.trace import Trace
from hypkit.trace.columns import Edit

if TYPE_CHECKING:
    from hypkit.header import Header

STEP_BUDGET = 1_000_000
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
NO_KVM = (
    "returned, but from the stub: KVM has given EL2 up (x0 = 2 asks for that), and the stub "
    "answers 0xbadca11 to what it does not know; reboot() starts KVM again"
)


@dataclass(frozen=True)
class _State(State):
    """What became of a machine that runs the kit's kernel.

    panic: what EL2 said when it panicked; where: the label at which the host stopped.
    """

    panic: Panic | None = None
    where: str | None = None


class Machine(Life):
    """A booted machine of one variant.

    Threads take turns on a machine: what one of them asks for waits until another's is done.

    Args:
        variant: a key of VARIANTS, or "numbered" with suggestions of the review, "numbered+adr_l".
        seed: a whole number that picks KASLR offset and hyp tag; 0 is neither.
        dispatcher: assembly text in place of the variant's own dispatcher.
        header: a numbering of the hypercalls as C text, as read_header takes it.
        cpu: "cortex-a72", the only one there is.
        budget: instructions that a call may take before it counts as a runaway. An exception that
            Python enters, any but an HVC, counts as 100.

    Raises:
        AsmError: the dispatcher does not assemble, or an instruction of it cannot hold its number.
        HeaderError: the header does not compile.
        MachineError: the dispatcher does not survive the boot, or there is too little memory.
        KeyError, TypeError, ValueError: no such variant, or an argument of another kind.
    """

    _MADE_BY = "Machine(...)"
    _state: _State

    def __init__(
        self,
        variant: str = "numbered",
        *unnamed: object,
        seed: int = 0,
        dispatcher: str | None = None,
        header: str | Mapping[str, str] | Header | None = None,
        cpu: str = "cortex-a72",
        budget: int = STEP_BUDGET,
    ) -> None:
        if unnamed:
            name = "seed" if is_whole(unnamed[0]) else "dispatcher"
            raise WrongType(
                f"Machine: expected one argument without a name, the variant; got "
                f"{shown(unnamed[0])} as well. Did you mean {name}={shown(unnamed[0])}?"
            )
        if not isinstance(cpu, str) or cpu != "cortex-a72":
            raise WrongValue("cpu: " + expected("'cortex-a72', the only one here", cpu))
        if not isinstance(dispatcher, str | None):
            raise WrongType(f"dispatcher: {expected('an assembly text', dispatcher)}")
        variant_of(variant)  # raises for a wrong key
        self.key, self.seed, self.dispatcher = variant, seed_of(seed), dispatcher
        self.budget = budget
        self.layout = Layout.from_seed(self.seed)
        self.header: Header | None = None
        if header is not None:
            from hypkit.header import read_header  # the compiler's end: few machines need it

            self.header = read_header(header)
        numbering = None if self.header is None else self.header.numbering
        self.image: Image = load(variant, self.layout, dispatcher, numbering)
        # What a call keeps: not the machine, which would live as long as its calls.
        self._another = partial(
            Machine,
            variant,
            seed=self.seed,
            dispatcher=dispatcher,
            header=self.header,
            budget=self.budget,
        )
        self._turn = Turn(BUSY)
        self._state = _State("it was never booted")
        self._cpu: Cpu | None = self._new_cpu()
        self._boot(fresh=True)

    # -- life cycle --

    def _new_cpu(self) -> Cpu:
        exits = map(self.image.host_pc, ("host_idle", "host_panicked", "host_oops"))
        return Cpu((KIMAGE_PA, REQUESTS_PA + REQUESTS_SIZE - KIMAGE_PA), DATA_PLACES, exits)

    def reboot(self, requests: object = ()) -> Trace:
        """Reload the image, boot it, and return the boot trace.

        Args:
            requests: as request() gives them, eight words each; they are put into the mailbox
                beforehand and served before the boot is over.

        Raises:
            MachineError: the machine is closed, or does not come up.
            TypeError, ValueError: requests of another shape.
        """
        with self._turn:
            self._alive()
            return self._boot(requests)

    def _boot(self, requests: object = (), *, fresh: bool = False) -> Trace:
        posted = mailbox(self.image, requests, power_off=False)
        is_whole = self._state.whole
        with self._unfinished("its boot was interrupted"):
            if not is_whole:
                self._cpu = self._new_cpu()
            cpu = self._alive()
            if not fresh:
                cpu.ram.clear()
            for pa, data in (dict(self.image.memory) | posted).items():
                cpu.ram.store(pa, data)
            cpu.reset(self.image.entry)
            reason, recording = cpu.run(self.budget)
            after, trace = self._state_after(reason), self._trace(recording)
            self.boot_trace = trace
            self._state = after
        if after.stopped and not posted[REQUESTS_PA]:
            raise MachineError(f"the {self.key} machine did not boot: {after.stopped}")
        return trace

    @property
    def panicked(self) -> Panic | None:
        """Return what EL2 said when it panicked, None while it has not."""
        return self._state.panic

    def _ready(self) -> Cpu:
        cpu = self._alive()
        if self.stopped:
            raise MachineError(f"this machine has stopped: {self.stopped}. reboot() starts it anew")
        return cpu

    @contextmanager
    def _unfinished(self, said: str | None = None) -> Iterator[None]:
        """Around a change of the machine, which sets _state last. Until then, and where it does not
        get there, the machine has stopped: because of what is *said*, or with the place."""
        self._state = _State(said or "it was interrupted in the middle of a call", whole=False)
        try:
            yield
        except MachineError as error:
            self._state = _State(f"at {self._here()}: {error}", whole=False)
            raise MachineError(f"{self.stopped}. reboot() starts it anew") from None
        except BaseException:
            self._state = _State(said or f"it was interrupted at {self._here()}", whole=False)
            raise

    # -- calls --

    def call(self, what: str | int, *args: int | str, edit: Edit | None = None) -> Call:
        """Make a hypercall as the host's C code would.

        Args:
            what: a hypercall's name; a number or pointer goes into x0 as it is, as in hvc().
            args: up to six whole numbers (64 bits, signed or not) or names of structures ("vcpu0",
                "vcpu1", "kvm0"), which become linear-map pointers.
            edit: what is changed on the way, before a step of the whole trace; it counts at once,
                as after a TLBI and an IC.

        Returns:
            Its outcome, answer, trace and cost.

        Raises:
            KeyError: no such hypercall, or no such structure.
            TypeError, ValueError: an argument that is no 64-bit number, or too many of them.
            MachineError: the machine has stopped, is closed, or cannot go on.
        """
        if is_whole(what):
            return self.hvc(what, *args, edit=edit)
        request, words = self.request(what, *args), self._words(args)
        with self._turn:
            return self._make(str(what), request, words, edit)

    def hvc(self, *registers: int | str, edit: Edit | None = None) -> Call:
        """Execute HVC with registers as given: what anyone at EL1 can do.

        Args:
            registers: x0, x1, ... up to x6, as the arguments of call().
            edit: what is changed on the way, as in call().

        Returns:
            Its outcome, as call() does.

        Raises:
            TypeError, ValueError, KeyError, MachineError: as call() does.
        """
        if not registers:
            raise WrongType(f"hvc: expected x0 and up to {MAX_ARGS} arguments; got nothing")
        request = self.request(*self._words(registers))
        with self._turn:
            return self._make(f"hvc {request[0]:#x}", request, request[1 : len(registers)], edit)

    def request(self, what: str | int, *args: int | str) -> tuple[int, ...]:
        """Return the eight words of a mailbox request, for reboot() and for QEMU.

        Args:
            what, args: as call() takes them.

        Returns:
            x0 to x6, and the address of the host's calling code (0: the registers as they are).

        Raises:
            KeyError, TypeError, ValueError: as call() does.
        """
        if len(args) > MAX_ARGS:
            raise WrongType(f"a hypercall takes at most {MAX_ARGS} arguments; got {len(args)}")
        values = self._words(args)
        padding = (0,) * (MAX_ARGS - len(values))
        if is_whole(what):
            return (word(what), *values, *padding, 0)
        calls = self.image.variant.calls
        if not isinstance(what, str) or what not in calls:
            of = "" if self.header is None else " with a number in this header"
            near = did_you_mean(what, calls, 0.4)
            raise UnknownName(
                f"no hypercall {shown(what)}{of}" + (near or f"; there are: {', '.join(calls)}")
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

    def _make(
        self, what: str, request: tuple[int, ...], args: tuple[int, ...], edit: Edit | None = None
    ) -> Call:
        cpu = self._ready()
        _check(edit)
        with self._unfinished():
            for pa, data in mailbox_header(self.image, 1).items():
                cpu.ram.store(pa, data)
            cpu.ram.store(REQUESTS_PA, struct.pack("<8Q", *request))
            boots = self._data("boot_count")
            cpu.write("pc", self.image.host_pc("host_next"))
            held: dict[str, int] = {}
            pause = None if edit is None else (edit.step, partial(self._apply, edit, held))
            reason, recording = cpu.run(self.budget, pause)
            edit = None if edit is None else replace(edit, before=held)
            after, trace = self._state_after(reason), self._trace(recording, edit)
            results = None
            if after.stopped:
                outcome = {"host_panicked": PANICKED, "host_oops": OOPSED}.get(
                    after.where or "", RUNAWAY
                )
                message = after.stopped
            elif self._data("boot_count") != boots:
                outcome = RESTARTED
                message = "the call did not come back: the kernel was started again"
            else:
                outcome = RETURNED
                results = struct.unpack("<4Q", cpu.ram.load(REQUESTS_PA, 32))
                message = self._how_it_returned(results[0])
            call = Call(
                self.image,
                what,
                args,
                outcome,
                results,
                trace,
                message,
                another_machine=self._another,
            )
            self._state = after
        return call

    def _apply(self, edit: Edit, held: dict[str, int]) -> None:
        """Change registers and memory in the middle of a run; *held* gets what registers held."""
        cpu = self._alive()
        for name, value in edit.registers.items():
            held[name] = cpu.read(name)
            cpu.write(name, word(value))
        for pa, data in edit.memory.items():
            cpu.ram.store(pa, data)
        if edit.memory:
            cpu.forget_memory()

    def _how_it_returned(self, x0: int) -> str:
        stub = self.image.pa("__hyp_stub_vectors")
        if x0 == CONSTANTS["HVC_STUB_ERR"] and self._alive().sysreg("VBAR_EL2") == stub:
            return NO_KVM
        return RETURNED

    def run(self, ids: object, args: object = None) -> np.ndarray:
        """Make many calls at full speed. Nothing is recorded.

        Args:
            ids: whole numbers, shape (n,), for x0 at the HVC as in hvc(); x0_of(name) gives them.
            args: for x1, x2, ...: shape (n, up to 6), or one row for all calls, or None.

        Returns:
            x0 of each answer, uint64, shape (n,).

        Raises:
            TypeError, ValueError: arrays of another kind or shape.
            MachineError: the machine has stopped; the message names the request that did it.
        """
        x0, values = bulk(ids, args)
        with self._turn:
            cpu = self._ready()
            answers = np.empty(len(x0), dtype=np.uint64)
            after, stopper = _State(), 0
            with self._unfinished(), _progress(len(x0)) as advance:
                for start in range(0, len(x0), SLICE):
                    part = slice(start, min(start + SLICE, len(x0)))
                    requests = self._post(x0[part], values[part])
                    cpu.write("pc", self.image.host_pc("host_next"))
                    after, served = self._run_slice(len(requests))
                    if after.stopped:
                        stopper = start + served - 1
                        break
                    answers[part] = requests[:, 0]
                    advance(len(requests))
                self._state = after
            if after.stopped:
                raise MachineError(f"request {stopper}: {after.stopped}. reboot() starts it anew")
        return answers

    def _post(self, x0: np.ndarray, args: np.ndarray) -> np.ndarray:
        """Put raw requests into the mailbox, and return them as they lie there: shape (n, 8)."""
        ram = self._alive().ram
        requests = ram.expected(REQUESTS_PA, len(x0) * REQUEST_SIZE).view("<u8")
        requests = requests.reshape(len(x0), -1)
        requests[:, 0], requests[:, 1 : 1 + args.shape[1]] = x0, args
        requests[:, 1 + args.shape[1] :] = 0
        for pa, data in mailbox_header(self.image, len(x0)).items():
            ram.store(pa, data)
        return requests

    def _run_slice(self, requests: int) -> tuple[_State, int]:
        """Serve what is in the mailbox: (what became of the machine, how many were begun)."""
        cpu, boots = self._alive(), self._data("boot_count")
        first = self.image.host_va(REQUESTS_PA)
        # Each request may take the budget, whatever the guest makes of its place in the mailbox.
        best, end, fruitless = first, first + requests * REQUEST_SIZE, 0
        steps = min(SLICE_STEPS, self.budget)
        while (reason := cpu.run_free(steps)) is Stop.BUDGET:
            fruitless += steps
            if best < (now := self._data("mailbox_next")) <= end:
                best, fruitless = now, 0
            if fruitless >= self.budget:
                break
        after, now = self._state_after(reason), self._data("mailbox_next")
        if not after.stopped and self._data("boot_count") != boots:
            after = _State("the kernel was started again in the middle of a bulk run")
        elif not after.stopped and now != end:
            after = _State("EL2 changed the host's mailbox, so that requests were left out")
        return after, (now - first) // REQUEST_SIZE

    def x0_of(self, name: str) -> int:
        """Return what this variant's host puts into x0 to call *name*.

        Returns:
            A number, or a linear address.

        Raises:
            KeyError: no such hypercall.
            MachineError: this variant's host makes none.
        """
        if is_whole(name):
            raise UnknownName(f"x0_of: {expected('the name of a hypercall', name)}")
        self.request(name)  # raises for a name that is no hypercall
        if self._plain_calls:
            raise MachineError(f"the {self.key} machine makes no hypercall: there is no x0 for one")
        numbers = self.image.variant.numbers
        return numbers[name] if name in numbers else self.address(name, "linear")

    def _here(self) -> str:
        cpu = self._alive()
        pc = cpu.read("pc")
        return f"{self.image.symbolize(pc) or hex(pc)} (EL{cpu.el})"

    def _state_after(self, reason: Stop) -> _State:
        """Return what became of the machine in a run that has ended."""
        cpu = self._alive()
        where = self.image.symbolize(cpu.read("pc"))
        if reason is Stop.BUDGET:
            many = cpu.entered * EXCEPTION_STEPS > self.budget // 10
            each = f" (each of its exceptions counts as {EXCEPTION_STEPS})" if many else ""
            return _State(
                f"{self.budget:,} instructions{each} were not enough: it still runs at "
                f"{self._here()}, in a loop perhaps"
            )
        if reason is Stop.LOST:
            pc, level = cpu.read("pc"), cpu.el
            if not cpu.sysreg(f"SCTLR_EL{level}") & 1 and self.image.layout.space(pc) != "physical":
                restart = "; HVC_SOFT_RESTART, x0 = 1, goes to the physical address in x1"
                return _State(
                    f"it went to {pc:#x} at EL{level} with the MMU off, and there is no memory at "
                    f"this physical address{restart if level == 2 else ''}"
                )
            return _State(
                f"at {self._here()} it accessed an address where this machine has no memory"
            )
        if reason is Stop.STUCK:
            esr = cpu.sysreg(f"ESR_EL{cpu.el}")
            return _State(
                f"it takes one exception after another at {self._here()} and executes "
                f"nothing in between: {syndrome.esr_text(esr)}"
            )
        if reason is Stop.ASLEEP:
            return _State(
                f"before {self._here()} it went to sleep with WFI, and this machine "
                "has no interrupt to wake it"
            )
        if where == "host_panicked":
            panic = Panic(*self._record("panic_record", 7))
            at = self.image.symbolize(panic.elr) or hex(panic.elr)
            return _State(f"EL2 panicked at {at}: {panic.why}", panic=panic, where=where)
        if where == "host_oops":
            esr, elr, far, _ = self._record("oops_record", 4)
            at = self.image.symbolize(elr) or hex(elr)
            why = syndrome.exception_text(esr, far, "FAR")
            return _State(f"the host took an exception at {at}: {why}", where=where)
        return _State(where=where)

    # -- looking --

    def address(self, symbol: str, space: str = "image") -> int:
        """Return one of the four addresses of a label.

        Args:
            symbol: a label of the image.
            space: "image", "linear", "physical" or "hyp".

        Raises:
            KeyError: no such label.
            ValueError: no such space.
        """
        names = self.layout.names(self.image.symbols[self._known(symbol)])
        if not isinstance(space, str) or space not in names:
            raise WrongValue(f"space {shown(space)}: there are {', '.join(names)}")
        return names[space]

    def _known(self, symbol: str) -> str:
        """*symbol*, if it is one; KeyError names the nearest."""
        symbols = self.image.symbols
        if not isinstance(symbol, str):
            raise UnknownName(f"no symbol {shown(symbol)}: a symbol is a name in quotes")
        if symbol not in symbols:
            try:
                number = int(symbol, 0)
            except ValueError:
                raise UnknownName(
                    f"no symbol {shown(symbol)}{did_you_mean(symbol, symbols)}"
                ) from (None)
            raise UnknownName(
                f"no symbol {shown(symbol)}: a number goes without quotes, {number:#x}"
            )
        return symbol

    @property
    def _plain_calls(self) -> bool:
        return self.image.variant.host_el == 2

    def translate(self, va: int, el: int = 2, *, stage: int = 1) -> Walk:
        """Translate an address as EL1 or EL2 would now.

        Args:
            va: an address, 64 bits, signed or not.
            el: 1 or 2.
            stage: 2 takes *va* for an address of the VM, and goes through its stage 2.

        Returns:
            The walk, level by level, with the physical address or the fault.

        Raises:
            TypeError, ValueError: another kind of address, level or stage.
        """
        va = address(va)
        with self._turn:
            return self._translated(va, el, stage)

    def _translated(self, va: int, el: object, stage: object = 1) -> Walk:
        cpu = self._alive()
        if is_whole(stage) and stage == 2:
            vttbr = cpu.ram.load64(HEAP["kvm0"][0] + CONSTANTS["KVM_VTTBR"])
            return cpu.mmu.translate_ipa(va, vttbr, VTCR_EL2)
        if not (is_whole(el) and el in (1, 2) and is_whole(stage) and stage == 1):
            raise WrongValue(
                f"el={shown(el)}, stage={shown(stage)}: there are EL1, EL2 and stages 1 and 2"
            )
        return cpu.mmu.translate(va, 1 if el == 1 else 2)

    def read(self, va: int, size: int, el: int = 2) -> bytes:
        """Return memory as EL1 or EL2 sees it.

        Args:
            va: the first byte's address.
            size: a number of bytes, up to 16 MiB.
            el: 1 or 2.

        Raises:
            MachineError: a byte is not mapped, or there is no memory.
            TypeError, ValueError: an argument that is no such number.
        """
        va, size = address(va), whole("a size in bytes", size)
        if not 0 <= size <= MAX_READ:
            raise WrongValue(f"size: {expected(f'0 to {MAX_READ:,} bytes', size)}")
        data = bytearray()
        with self._turn:
            cpu = self._alive()
            while len(data) < size:
                at = va + len(data) & (1 << 64) - 1
                walked = self._translated(at, el)
                if walked.pa is None:
                    raise MachineError(f"EL{el} cannot read {at:#x}: {walked.fault}")
                data += cpu.ram.load(walked.pa, min(size - len(data), PAGE_SIZE - at % PAGE_SIZE))
        return bytes(data)

    def poke(self, va: int, data: bytes) -> None:
        """Write to memory as the kernel at EL1 can: where its page tables let it.

        The tables themselves lie in the linear map, and EL1 may write them: entry_of(va) says
        where. What is written counts at once, as after a TLBI and an IC, and stays until reboot().

        Args:
            va: an address of EL1's, image or linear.
            data: the bytes.

        Raises:
            MachineError: a byte is not mapped, or read-only; then nothing was written.
            TypeError, ValueError: an address or data of another kind.
        """
        va, data = address(va), as_bytes(data)
        with self._turn:
            places = self._places(va, data)
            cpu = self._whole()
            before = self._state
            with self._unfinished("what was written to its memory is half there"):
                for pa, part in places:
                    cpu.ram.store(pa, part)
                cpu.forget_memory()
                self._state = before

    def _places(self, va: int, data: bytes) -> list[tuple[int, bytes]]:
        """Where the parts of *data* go: (physical address, part), page by page."""
        places: list[tuple[int, bytes]] = []
        done = 0
        self._alive()
        while done < len(data):
            at = va + done & (1 << 64) - 1
            walked = self._translated(at, 1)
            if walked.pa is None or not walked.writable:
                why = walked.fault or "read-only for it; entry_of(...) is where its tables say so"
                raise MachineError(f"EL1 cannot write {at:#x}: {why}")
            size = min(len(data) - done, PAGE_SIZE - at % PAGE_SIZE)
            if not KIMAGE_PA <= walked.pa < REQUESTS_PA + REQUESTS_SIZE:
                raise MachineError(
                    f"this machine keeps nothing at {at:#x}: write to the image, "
                    "its page tables or its structures"
                )
            places.append((walked.pa, data[done : done + size]))
            done += size
        return places

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
        if walked.pa is None or not walked.levels:
            raise MachineError(f"EL{el} has no entry for {va:#x}: {walked.fault or 'no tables'}")
        leaf = walked.levels[-1]
        return self.image.host_va(leaf.table + 8 * leaf.index)

    def _record(self, symbol: str, words: int) -> tuple[int, ...]:
        content = self._alive().ram.load(self.image.pa(symbol), 8 * words)
        return struct.unpack(f"<{words}Q", content)

    def _data(self, symbol: str) -> int:
        (value,) = self._record(symbol, 1)
        return value

    def __repr__(self) -> str:
        state = "closed" if self._cpu is None else self.stopped or "ready"
        with_header = ", with a header" if self.header else ""
        return f"Machine({self.key!r}, seed={self.seed}{with_header}): {state}"


def _check(edit: Edit | None) -> None:
    """Refuse what cannot be changed in the middle of a run."""
    if edit is None:
        return
    if not isinstance(edit, Edit):
        raise WrongType(f"edit: {expected('an Edit, or None', edit)}")
    step = whole("a step of an edit", edit.step)
    if step < 1:
        raise WrongValue(f"edit: {expected('a step of the whole trace from 1 on', step)}")
    for name, value in edit.registers.items():
        if name not in REGISTERS or name == "pstate":
            raise UnknownName(f"edit: {expected('x0 to x30 or sp', name)}")
        word(value)
    for pa, data in edit.memory.items():
        if not KIMAGE_PA <= pa <= REQUESTS_PA + REQUESTS_SIZE - len(as_bytes(data)):
            raise WrongValue(f"edit: {expected('physical addresses of the kernel', hex(pa))}")


def seed_of(value: object) -> int:
    """Return the seed of a machine, a whole number of 64 bits.

    Raises:
        TypeError, ValueError: it is none.
    """
    seed = whole("seed", value)
    if seed >> 64 or seed < 0:
        raise WrongValue(f"seed: {expected('a whole number from 0 to 2**64 - 1', value)}")
    return seed


@contextmanager
def _progress(calls: int) -> Iterator[Callable[[int], object]]:
    """A bar that shows how many calls are done, for those who have to wait for so many."""
    if calls < MANY_CALLS:
        yield lambda done: None
        return
    from tqdm.auto import tqdm  # takes as long to import as a machine to boot

    with tqdm(total=calls, unit=" calls", delay=2, leave=False) as bar:
        yield bar.update
