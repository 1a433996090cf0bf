"""One Cortex-A72 on Unicorn: registers, memory, translation, exceptions, and runs that stop.

Unicorn executes instructions but enters no exception by itself; what it lacks is here and in the
hooks, written after the Arm ARM and compared with QEMU row by row in tests/oracle.

A Cpu is not safe against interrupts: whoever is interrupted in one of its functions makes a new one
(hypkit.emu does).

What a Cortex-A72 has and this one has not, as learners may notice: the checks of SP's alignment
(nor has QEMU 7.2) and of accesses under SCTLR_ELx.A, traps of FP and SIMD by CPTR_EL2 and CPACR_EL1,
AArch32, debug exceptions, interrupts from devices, EL3 (SMC is undefined), and of the GIC what the
vgic calls do not touch. No trap but that of SMC and of stage 2 reaches EL2 with its own syndrome. A
run that records nothing looks for LDAR and STLR when it first comes to a block, so it misses one
that the guest writes over other code later; a recorded run misses none.
"""

from __future__ import annotations

import ctypes
import enum
import gc
import mmap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # asked for where it is used
from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc, UcError
from unicorn import arm64_const as uc_arm64
from unicorn import unicorn_const as uc_const
from unicorn.unicorn_py3.unicorn import UcContext, uclib

from hypkit.a64 import pstate, syndrome, sysregs
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.a64.registers import MASK64, REGISTERS
from hypkit.a64.syndrome import Taken
from hypkit.errors import UnknownName, pass_on
from hypkit.machine import software_sysregs
from hypkit.machine.errors import MachineError
from hypkit.machine.exceptions import deliver, unaligned
from hypkit.machine.hooks import native
from hypkit.machine.hooks import state as shared
from hypkit.machine.hooks.state import S, Stop
from hypkit.machine.mmu import Mmu, system_register
from hypkit.machine.ram import Ram, SavedRam

# Room for translated code. Unicorn reserves a gigabyte of address space unless told otherwise.
TCG_BUFFER = 16 << 20
# What a machine takes of a process's addresses, and what a run may take: where an allocation of its
# own fails, Unicorn ends the process.
MACHINE_SPACE, RUN_SPACE = 64 << 20, 16 << 20
# After this many exceptions in a row it will never execute another instruction.
IN_A_ROW = 100
# Entering an exception in Python takes as long as this many instructions, and counts as many.
EXCEPTION_STEPS = 100
# To run until: no instruction begins at an odd address, but one may at 0.
NOWHERE = (1 << 64) - 1
# Why a run ends, other than for something that can be dealt with.
FINAL = (Stop.EXIT, Stop.BUDGET, Stop.LOST, Stop.ASLEEP)
# Unicorn's errors for an access outside RAM with the MMU off, or through a wrong table.
NO_MEMORY = (
    uc_const.UC_ERR_READ_UNMAPPED,
    uc_const.UC_ERR_WRITE_UNMAPPED,
    uc_const.UC_ERR_FETCH_UNMAPPED,
)
# SCR_EL3 of a machine without secure world: NS, HVC enabled, AArch64 below, RES1.
SCR_EL3 = 1 << 0 | 3 << 4 | 1 << 8 | 1 << 10

# LDAR, STLR, and their byte and halfword forms (C4.1.88, load/store ordered).
ORDERED_MASK, ORDERED = 0x3FA0_8000, 0x0880_8000
# PMCR_EL0 of a Cortex-A72 after reset, as QEMU has it: six counters. Unicorn has four.
PMCR = 0x4102_3000
PMCR_ENCODING = sysregs.Encoding(3, 3, 9, 12, 0)

_GENERAL = {f"x{n}": getattr(uc_arm64, f"UC_ARM64_REG_X{n}") for n in range(31)} | {
    "sp": uc_arm64.UC_ARM64_REG_SP,
    "pc": uc_arm64.UC_ARM64_REG_PC,
    "pstate": uc_arm64.UC_ARM64_REG_PSTATE,
    "lr": uc_arm64.UC_ARM64_REG_X30,
}
# The stack pointers of all levels, to be written while their level is not running.
_BANKED = {f"sp_el{n}": getattr(uc_arm64, f"UC_ARM64_REG_SP_EL{n}") for n in range(3)}
# What a learner looks at; read at the start of every trace.
TRACED_SYSREGS = (
    "ESR_EL2",
    "ELR_EL2",
    "SPSR_EL2",
    "FAR_EL2",
    "HPFAR_EL2",
    "VBAR_EL2",
    "VTTBR_EL2",
    "HCR_EL2",
    "SCTLR_EL2",
    "TTBR0_EL2",
    "TPIDR_EL2",
    "CNTVOFF_EL2",
    "SCTLR_EL1",
    "TTBR0_EL1",
    "TTBR1_EL1",
    "VBAR_EL1",
)


class Observer(enum.Enum):
    """The hook that watches a run: what it is called for, and its name."""

    TRACE = uc_const.UC_HOOK_CODE, "trace_hook"
    BUDGET = uc_const.UC_HOOK_BLOCK, "block_hook"


@dataclass
class Recording:
    """What a run left behind: trace columns with the state afterwards as the last row.

    words: address -> the word first executed there; rewritten: (step, address, word) from which
    step on another word was executed at an address.
    """

    base: np.ndarray
    pcs: np.ndarray
    masks: np.ndarray
    values: np.ndarray
    words: dict[int, int]
    sysregs: dict[str, int]
    exceptions: tuple[Taken, ...]
    rewritten: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Saved:
    """A snapshot: the processor's registers, memory, and the GIC's registers."""

    context: object
    ram: SavedRam
    ich: dict[str, int]


def _is_limited() -> bool:
    """Return whether this process may not have all the addresses that there are."""
    if resource is None:
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def leave_room(size: int, what: str) -> None:
    """See to it that *size* bytes of this process's address space can still be had.

    Raises:
        MachineError: they cannot.
    """
    for last in (False, True):
        try:
            mmap.mmap(-1, size).close()
            return
        except (OSError, ValueError, MemoryError) as error:
            pass_on(error)
            if last:
                raise MachineError(
                    f"not enough memory for {what}: it takes up to {size >> 20} MiB; close() "
                    "machines that you no longer need, or restart the kernel"
                ) from None
            gc.collect()


class _Code:
    """The words that a run executed, and where code was rewritten on the way."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}  # address -> the first word executed there
        self.rewritten: list[tuple[int, int, int]] = []  # (step, address, word from then on)
        self._now: dict[int, int] = {}

    def note(self, news: Iterable[Sequence[int]]) -> None:
        """Take in (step, address, word), in order of steps."""
        for step, pc, word in news:
            before = self._now.get(pc)
            if before != word:
                self._now[pc] = word
                if before is None:
                    self.words[pc] = word
                else:
                    self.rewritten.append((step, pc, word))


def _sysreg_batch() -> tuple[ctypes.Array[shared.CpReg], object, object]:
    """What Unicorn needs to read TRACED_SYSREGS at once: values, numbers, places of the values."""
    count = len(TRACED_SYSREGS)
    values = (shared.CpReg * count)(
        *(
            shared.CpReg(crn=at.crn, crm=at.crm, op0=at.op0, op1=at.op1, op2=at.op2)
            for at in map(sysregs.SYSREGS.__getitem__, TRACED_SYSREGS)
        )
    )
    ids = (ctypes.c_int * count)(*[uc_arm64.UC_ARM64_REG_CP_REG] * count)
    places = (ctypes.c_void_p * count)(*map(ctypes.addressof, values))
    return values, ids, places


def _with_all_counters(uc: Uc) -> UcContext:
    """Return the state after reset, with as many event counters as a Cortex-A72 has.

    PMCR_EL0.N cannot be written, so it is set where a saved state has it.
    """
    op0, op1, crn, crm, op2 = PMCR_ENCODING
    register = (crn, crm, op0, op1, op2)
    saved = uc.context_save()
    old = uc.reg_read(uc_arm64.UC_ARM64_REG_CP_REG, register)
    content = np.frombuffer(bytes(saved)[: saved.size & -8], dtype="<u8")
    places = np.flatnonzero(content == old).tolist()
    if len(places) == 1:
        start = ctypes.cast(saved.context, ctypes.c_void_p).value or 0
        ctypes.memmove(start + 8 * places[0], PMCR.to_bytes(8, "little"), 8)
        uc.context_restore(saved)
        if uc.reg_read(uc_arm64.UC_ARM64_REG_CP_REG, register) != PMCR:
            raise MachineError("this Unicorn keeps PMCR_EL0 where hypkit does not expect it")
    return saved


class Cpu:
    """The processor and its RAM.

    ram: (start, size) of what programs are expected to touch, and data: the parts of it without
    code, as Ram takes them; exits: virtual addresses before which a run ends. Raises MachineError
    where there is too little memory.
    """

    BUFFER_ROWS = 1 << 16

    def __init__(
        self, ram: tuple[int, int], data: Sequence[tuple[int, int]], exits: Iterable[int]
    ) -> None:
        leave_room(MACHINE_SPACE, "a machine")
        self._uc = uc = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
        uc.ctl_set_cpu_model(uc_arm64.UC_CPU_ARM64_A72)
        uc.ctl_set_tcg_buffer_size(TCG_BUFFER)
        self.ram = Ram(uc, *ram, data)
        self.mmu = Mmu(uc, self.ram)
        self._state = np.zeros(S.SIZE, dtype=np.uint64)
        self._prepare_state()
        self._take_exception = shared.TAKE_EXCEPTION(native.address("take_exception"))
        self._code_word = shared.CODE_WORD(native.address("code_word"))
        self._interrupts = self._add_hook(uc_const.UC_HOOK_INTR, "interrupt_hook")
        self._add_hook(uc_const.UC_HOOK_MEM_UNMAPPED, "stray_hook")
        for address in exits:  # before an observer, so that it sees no exit
            self._add_hook(uc_const.UC_HOOK_CODE, "exit_hook", address, address)
        self._observing: Observer | None = None
        self._observing_handle = ctypes.c_size_t()
        self._watched: set[int] = set()  # addresses with an acquire_hook
        self.entered = 0  # exceptions of the last run that Python was called for
        self._in_a_row, self._steps_before = 0, -1
        self._pristine = _with_all_counters(uc)
        self.exceptions: list[Taken] = []
        self.ich: dict[str, int] = {}

    # -- state shared with the compiled hooks --

    def _prepare_state(self) -> None:
        state = self._state
        self._cp = shared.CpReg(crn=4, crm=0, op0=3, op2=0)  # SPSR_ELx; op1 says which
        self._entry = entry = np.zeros(shared.ENTRY_VALUES, dtype=np.uint64)
        address = entry.ctypes.data
        self._entry_reads = np.array([address + 8 * v for v in shared.ENTRY_READS], dtype=np.uint64)
        self._entry_writes = np.array(
            [
                ctypes.addressof(self._cp) if v is None else address + 8 * v
                for v in shared.ENTRY_WRITES
            ],
            dtype=np.uint64,
        )
        self._sysreg_batch = _sysreg_batch()
        self._row = np.zeros(shared.ROW_WORDS, dtype=np.uint64)
        self._previous_row = np.zeros(shared.ROW_WORDS, dtype=np.uint64)
        self._regs = self._row[: len(REGISTERS)]
        self._previous = self._previous_row[: len(REGISTERS)]
        self._pointers = self._regs.ctypes.data + 8 * np.arange(len(REGISTERS), dtype=np.uint64)
        self._pcs = np.empty(self.BUFFER_ROWS, dtype=np.uint64)
        self._masks = np.empty(self.BUFFER_ROWS, dtype=np.uint64)
        self._values = np.empty(self.BUFFER_ROWS * 4, dtype=np.uint64)
        self._news = np.empty((self.BUFFER_ROWS, shared.NEWS_WORDS), dtype=np.uint64)
        self._seen = np.zeros(2 * shared.SEEN_SLOTS, dtype=np.uint64)
        self._code_pages = np.zeros(2 * shared.CODE_PAGE_SLOTS, dtype=np.uint64)
        self._blocks = np.zeros(shared.BLOCK_SLOTS, dtype=np.uint64)
        self._scratch = np.zeros(2, dtype=np.uint64)
        state[S.UC] = ctypes.cast(self._uc._uch, ctypes.c_void_p).value or 0
        for word, name in (
            (S.REG_WRITE, "uc_reg_write"),
            (S.REG_READ_BATCH, "uc_reg_read_batch"),
            (S.REG_WRITE_BATCH, "uc_reg_write_batch"),
            (S.EMU_STOP, "uc_emu_stop"),
            (S.MEM_MAP, "uc_mem_map"),
            (S.MEM_READ, "uc_mem_read"),
            (S.VMEM_TRANSLATE, "uc_vmem_translate"),
        ):
            state[word] = shared.function_address(name)
        for word, array in (
            (S.REG_IDS, shared.TRACE_IDS),
            (S.REG_PTRS, self._pointers),
            (S.REGS, self._regs),
            (S.PREVIOUS, self._previous),
            (S.PCS, self._pcs),
            (S.MASKS, self._masks),
            (S.VALUES, self._values),
            (S.STRAYED, self.ram.strayed),
            (S.NEWS, self._news),
            (S.SEEN, self._seen),
            (S.CODE_PAGES, self._code_pages),
            (S.BLOCKS, self._blocks),
            (S.SCRATCH, self._scratch),
            (S.ENTRY_VALUES, entry),
            (S.ENTRY_READ_IDS, shared.ENTRY_READ_IDS),
            (S.ENTRY_READ_PTRS, self._entry_reads),
            (S.ENTRY_WRITE_IDS, shared.ENTRY_WRITE_IDS),
            (S.ENTRY_WRITE_PTRS, self._entry_writes),
            (S.ENTRY_FAR_IDS, shared.ENTRY_FAR_IDS),
        ):
            state[word] = array.ctypes.data
        state[S.CP] = ctypes.addressof(self._cp)
        state[S.ROWS], state[S.VALUE_ROOM] = len(self._pcs), len(self._values)
        state[S.RAM_START], state[S.RAM_SIZE] = self.ram.start, self.ram.size
        state[S.RAM_HOST] = self.ram.place(self.ram.start) or 0
        # No address is all ones: no HVC is remembered yet.
        state[S.HVC_PC0] = state[S.HVC_PC1] = MASK64

    def _add_hook(self, kind: int, name: str, first: int = 1, last: int = 0) -> ctypes.c_size_t:
        """Hand a compiled hook to Unicorn itself, and return its handle: no Python on the way.

        first, last: the addresses it is called for; with first above last, all of them.
        """
        handle = ctypes.c_size_t()
        user = ctypes.c_void_p(self._state.ctypes.data)
        function = ctypes.c_void_p(native.address(name))
        status = uclib.uc_hook_add(
            self._uc._uch,
            ctypes.byref(handle),
            kind,
            function,
            user,
            ctypes.c_uint64(first),
            ctypes.c_uint64(last),
        )
        if status:
            raise UcError(status)
        return handle

    # -- registers and memory --

    def read(self, register: str) -> int:
        """Return x0 to x30, lr, sp, pc or pstate; KeyError for another name."""
        value: int = self._uc.reg_read(_GENERAL[register])
        return value

    def write(self, register: str, value: int) -> None:
        """Write one of the same registers, or sp_el0 to sp_el2 of a level that is not running."""
        self._uc.reg_write((_GENERAL | _BANKED)[register], value)

    def sysreg(self, name: str) -> int:
        """Return a system register's value; KeyError for a name that is not known, or that this
        machine's GIC does not have."""
        name = sysregs.sysreg(name)
        if name.startswith("ICH_"):
            if name not in self.ich:
                raise UnknownName(
                    f"{name} is not there: this machine's GIC has {', '.join(self.ich)}"
                )
            return self.ich[name]
        if name == "CurrentEL":
            return self.read("pstate") & 0xC
        return system_register(self._uc, name)

    def write_sysreg(self, name: str, value: int) -> None:
        """Write a system register of Unicorn's; KeyError for a name that is not known."""
        op0, op1, crn, crm, op2 = sysregs.SYSREGS[sysregs.sysreg(name)]
        self._uc.reg_write(uc_arm64.UC_ARM64_REG_CP_REG, (crn, crm, op0, op1, op2, value))

    @property
    def el(self) -> int:
        """Return the exception level."""
        return pstate.el_of(self.read("pstate"))

    @property
    def illegal(self) -> bool:
        """Return whether PSTATE.IL is set: an illegal return, after which no instruction is
        executed."""
        return bool(self.read("pstate") & pstate.PSTATE_IL)

    # -- life cycle --

    def reset(self, entry: int) -> None:
        """Put the core at its first instruction: EL2h, MMU off, everything masked, registers zero."""
        # No program leaves anything behind, not even AArch32.
        self._uc.context_restore(self._pristine)
        self.write_sysreg("SCR_EL3", SCR_EL3)
        for name in ("SCTLR_EL1", "SCTLR_EL2", "VTTBR_EL2", "HCR_EL2"):
            self.write_sysreg(name, 0)
        for register in _GENERAL:
            self.write(register, 0)
        self._uc.reg_write(uc_arm64.UC_ARM64_REG_SP_EL1, 0)
        self._uc.reg_write(uc_arm64.UC_ARM64_REG_SP_EL2, 0)
        self.write("pstate", pstate.PSTATE_EL2H | pstate.PSTATE_DAIF | pstate.PSTATE_Z)
        self.write_sysreg("SPSR_EL2", 0)  # makes Unicorn notice the new exception level
        self.write("pc", entry)
        self.ich = software_sysregs.reset()
        self.forget_memory()

    def forget_code(self) -> None:
        """Drop translated code and what is known of it: call after changing code from outside."""
        self._state[S.HVC_PC0] = self._state[S.HVC_PC1] = MASK64
        self._code_pages[:] = 0
        self._blocks[:] = 0
        self._uc.ctl_flush_tb()

    def forget_memory(self) -> None:
        """Drop translated code and translations of addresses: call after changing page tables as
        well."""
        self._uc.ctl(uc_const.UC_CTL_TLB_FLUSH, uc_const.UC_CTL_IO_WRITE)
        self.forget_code()

    def save(self) -> Saved:
        """Return everything that the processor and its memory are."""
        return Saved(self._uc.context_save(), self.ram.save(), dict(self.ich))

    def restore(self, saved: Saved) -> None:
        """Become what was saved, by this Cpu or another."""
        self.ram.restore(saved.ram)
        self._uc.context_restore(saved.context)
        self.ich = dict(saved.ich)
        self.forget_memory()

    # -- running --

    def run(
        self, budget: int, pause: tuple[int, Callable[[], object]] | None = None
    ) -> tuple[Stop, Recording]:
        """Execute from PC until an exit address or *budget* instructions, recording every step.

        pause: a step, and what is done before it while the core stands still; the recording goes
        on, so that registers which are changed there differ from the row before.
        """
        state = self._state
        if _is_limited():
            leave_room(RUN_SPACE, "a run")
        self._observe(Observer.TRACE)
        self.exceptions = []
        self._seen[:] = 0
        self._code_pages[:] = 0
        base = self._registers_now().copy()
        self._previous[:] = base
        sysregs = self._traced_sysregs()
        state[S.STEPS] = 0
        state[S.BUDGET] = budget if pause is None else min(pause[0], budget)
        columns: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        code = _Code()
        while True:
            state[S.ROW] = state[S.VALUE] = state[S.NEW] = 0
            reason = self._start_until_something()
            rows, values = int(state[S.ROW]), int(state[S.VALUE])
            columns.append(
                (self._pcs[:rows].copy(), self._masks[:rows].copy(), self._values[:values].copy())
            )
            code.note(self._news[: int(state[S.NEW])].tolist())
            if reason is Stop.BUDGET and pause is not None:
                limit, steps = max(budget - EXCEPTION_STEPS * self.entered, 0), int(state[S.STEPS])
                if steps < min(limit, pause[0]):  # an exception had shortened the way
                    state[S.BUDGET] = min(limit, pause[0])
                    continue
                if steps < limit:
                    pause[1]()
                    state[S.BUDGET], pause = limit, None
                    continue
            if reason in FINAL:
                break
            if not self._handle(reason, int(state[S.STEPS]) - 1):
                reason = Stop.STUCK
                break
        return reason, self._finish(base, columns, code, sysregs)

    def run_free(self, budget: int) -> Stop:
        """Execute at full speed, recording nothing, until an exit address or about *budget*
        instructions. Every exception is entered as in a recorded run, but for an illegal execution
        state: that is noticed at the next exception or at the end."""
        if _is_limited():
            leave_room(RUN_SPACE, "a run")
        self._observe(Observer.BUDGET)
        self._state[S.STEPS], self._state[S.BUDGET] = 0, budget
        while True:
            reason = self._start_until_something()
            if reason in FINAL:
                if not self.illegal:
                    return reason
                reason = Stop.ILLEGAL
            if not self._handle(reason, -1):
                return Stop.STUCK

    def _observe(self, observer: Observer) -> None:
        """Begin a run with one hook, on instructions or on blocks: the latter is ten times faster."""
        self.entered, self._in_a_row, self._steps_before = 0, 0, -1
        if self._observing is observer:
            return
        if self._observing is not None:
            uclib.uc_hook_del(self._uc._uch, self._observing_handle)
        self._observing_handle = self._add_hook(*observer.value)
        self._observing = observer
        self._uc.ctl_flush_tb()  # code translated before would keep or lack the hook

    def _handle(self, reason: Stop, step: int) -> bool:
        """Do what a hook stopped the run for, which in most cases is to enter an exception; False
        when that leads nowhere.

        A vector table that is not mapped makes a processor take the same abort for ever, without
        one instruction that the budget could count.
        """
        if reason is Stop.BUFFER:
            return True
        if reason is Stop.ACQUIRE:
            self._watch_block(self.read("pc"))
            return True
        state = self._state
        steps = int(state[S.STEPS])
        self._in_a_row = self._in_a_row + 1 if steps == self._steps_before else 0
        self._steps_before = steps
        if self._in_a_row > IN_A_ROW:
            return False
        self.entered += 1
        state[S.BUDGET] = max(int(state[S.BUDGET]) - EXCEPTION_STEPS, 0)
        if reason is Stop.EXCEPTION:
            deliver(self, int(state[S.INTNO]), step)
        elif reason is Stop.UNALIGNED:
            unaligned(self, step)
        elif reason is Stop.MISALIGNED:
            self.misaligned(step)
        elif reason is Stop.ILLEGAL:
            self.enter(max(self.el, 1), syndrome.EC_ILLEGAL_STATE, 0, self.read("pc"), step)
        return True

    def _watch_block(self, pc: int) -> None:
        """Have the load-acquires and store-releases from *pc* to its page's end checked, from now
        on, in runs that record nothing."""
        found = [
            at
            for at in range(pc, (pc | PAGE_SIZE - 1) + 1, 4)
            if (self.mmu.fetch(at, self.el) or 0) & ORDERED_MASK == ORDERED
            and at not in self._watched
        ]
        for at in found:
            self._add_hook(uc_const.UC_HOOK_CODE, "acquire_hook", at, at)
            self._watched.add(at)
        if found:
            self._uc.ctl_flush_tb()  # code translated before would lack the hooks
        self._blocks[pc >> 2 & shared.BLOCK_SLOTS - 1] = pc + 1

    def misaligned(self, step: int) -> None:
        """Enter a PC alignment fault."""
        pc = self.read("pc")
        self.enter(max(self.el, 1), syndrome.EC_PC_ALIGN, 0, pc, step, far=pc)

    def _start_until_something(self) -> Stop:
        self._state[S.STOP] = Stop.ASLEEP
        try:
            self._uc.emu_start(self.read("pc"), NOWHERE)
        except UcError as error:
            if error.errno in NO_MEMORY:
                return Stop.LOST
            if error.errno == uc_const.UC_ERR_FETCH_PROT and self.ram.expect_code_everywhere():
                self.forget_memory()
                return self._start_until_something()
            raise MachineError(f"the emulator gave up: {error}") from None
        return Stop(int(self._state[S.STOP]))

    def _registers_now(self) -> np.ndarray:
        """Return the registers of a trace as they are, in an array that the hooks write, too."""
        uclib.uc_reg_read_batch(
            self._uc._uch,
            shared.TRACE_IDS.ctypes.data_as(ctypes.POINTER(ctypes.c_int)),
            self._pointers.ctypes.data_as(ctypes.POINTER(ctypes.c_void_p)),
            len(REGISTERS),
        )
        return self._regs

    def _traced_sysregs(self) -> dict[str, int]:
        """TRACED_SYSREGS as they are, in one call of Unicorn."""
        values, ids, places = self._sysreg_batch
        uclib.uc_reg_read_batch(self._uc._uch, ids, places, len(values))
        return {name: value.val for name, value in zip(TRACED_SYSREGS, values, strict=True)}

    def _finish(
        self, base: np.ndarray, columns: list, code: _Code, sysregs: dict[str, int]
    ) -> Recording:
        """Add the state afterwards as one more row, and the words of the code that ran."""
        now, pc = self._registers_now(), self.read("pc")
        differs = np.flatnonzero(now != self._previous)
        mask = np.bitwise_or.reduce(np.uint64(1) << differs.astype(np.uint64), initial=0)
        columns.append(
            (np.array([pc], dtype=np.uint64), np.array([mask], dtype=np.uint64), now[differs])
        )
        pcs, masks, values = (np.concatenate(column) for column in zip(*columns, strict=True))
        word = 0 if pc & 3 else self._code_word(self._state.ctypes.data, pc)
        code.note([(len(pcs) - 1, pc, word)])
        return Recording(
            base,
            pcs,
            masks,
            values,
            code.words,
            sysregs,
            tuple(self.exceptions),
            tuple(code.rewritten),
        )

    # -- exceptions --

    def remember_hvc(self, return_address: int) -> None:
        """Let the compiled hook enter this HVC by itself from now on; the last two are kept."""
        at = self.mmu.translate(return_address - 4, self.el).pa
        place = None if at is None else self.ram.place(at)
        if place is None:
            return
        state = self._state
        state[S.HVC_PC1], state[S.HVC_WORD1] = state[S.HVC_PC0], state[S.HVC_WORD0]
        state[S.HVC_PC0], state[S.HVC_WORD0] = return_address, place

    def enter(
        self,
        target_el: int,
        ec: int,
        iss: int,
        return_address: int,
        step: int,
        far: int | None = None,
    ) -> None:
        """Enter an exception after step *step*; ec and iss make the syndrome."""
        esr = ec << syndrome.ESR_EC_SHIFT | syndrome.ESR_IL | iss
        spsr = self.read("pstate")
        self._take_exception(
            self._state.ctypes.data, target_el, return_address, esr, far or 0, far is not None
        )
        if step >= 0:  # else nothing is recorded
            self.exceptions.append(Taken(step, target_el, esr, return_address, spsr, far))
