"""What Unicorn reports by number, entered as the architecture says.

Unicorn gives no syndrome and no fault address. They are derived here from the instruction, the
registers and the page tables.
"""

from __future__ import annotations

from typing import Protocol

from hypkit.a64 import pstate, syndrome, sysregs
from hypkit.a64.decode import decode
from hypkit.a64.memory import MemoryOperand
from hypkit.a64.pagetables import AP_EL0, AP_RO, PAGE_SIZE, UXN, Walk
from hypkit.a64.registers import MASK64
from hypkit.machine import software_sysregs
from hypkit.machine.errors import MachineError
from hypkit.machine.mmu import Mmu


class Core(Protocol):
    """What exception entry needs of a processor."""

    mmu: Mmu
    ich: dict[str, int]

    @property
    def el(self) -> int:
        """Return the exception level."""

    @property
    def illegal(self) -> bool:
        """Return whether PSTATE.IL is set."""

    def read(self, register: str) -> int:
        """Return a general register."""

    def write(self, register: str, value: int) -> None:
        """Write a general register."""

    def sysreg(self, name: str) -> int:
        """Return a system register."""

    def misaligned(self, step: int) -> None:
        """Enter a PC alignment fault."""

    def remember_hvc(self, return_address: int) -> None:
        """Let the compiled hook enter this HVC from now on."""

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


EXCLUSIVE_MASK, EXCLUSIVE = 0x3F00_0000, 0x0800_0000  # load/store exclusive and ordered (C4.1.88)
HCR_TSC = 1 << 19  # SMC of EL1 goes to EL2


def deliver(cpu: Core, intno: int, step: int) -> None:
    """Enter the exception that Unicorn reported by number; PC as Unicorn left it.

    Raises MachineError for what this machine cannot enter.
    """
    pc, el = cpu.read("pc"), cpu.el
    own = max(el, 1)
    if cpu.illegal and intno != syndrome.EXCP_PREFETCH_ABORT:  # noticed late: nothing is recorded
        cpu.enter(own, syndrome.EC_ILLEGAL_STATE, 0, pc, step)
        return
    match intno:
        case syndrome.EXCP_HVC:
            _hvc(cpu, pc, el, step)
        case syndrome.EXCP_SWI:
            cpu.enter(own, syndrome.EC_SVC64, _immediate(cpu, pc - 4, el), pc, step)
        case syndrome.EXCP_SMC | syndrome.EXCP_HYP_TRAP:
            _smc_or_trap(cpu, pc, el, step)
        case syndrome.EXCP_UDEF:
            if not _software_register(cpu, pc, el):
                cpu.enter(own, syndrome.EC_UNKNOWN, 0, pc, step)
        case syndrome.EXCP_BKPT:
            cpu.enter(own, syndrome.EC_BRK64, _immediate(cpu, pc, el), pc, step)
        case syndrome.EXCP_PREFETCH_ABORT if pc & 3:
            # Unicorn asked the page tables first; alignment has priority (Arm ARM D1.3.5.5).
            cpu.misaligned(step)
        case syndrome.EXCP_PREFETCH_ABORT:
            _abort(cpu, pc, el, step, fetch=True)
        case syndrome.EXCP_DATA_ABORT:
            _abort(cpu, pc, el, step, fetch=False)
        case _:
            raise MachineError(
                f"exception number {intno} of the emulator: this machine delivers "
                "only synchronous exceptions"
            )


def _immediate(cpu: Core, pc: int, el: int) -> int:
    return (cpu.mmu.fetch(pc, el) or 0) >> 5 & 0xFFFF


def _hvc(cpu: Core, pc: int, el: int, step: int) -> None:
    """An HVC seen for the first time: remember where it is, and the compiled hook takes over."""
    cpu.remember_hvc(pc)
    cpu.enter(2, syndrome.EC_HVC64, _immediate(cpu, pc - 4, el), pc, step)


def _smc_or_trap(cpu: Core, pc: int, el: int, step: int) -> None:
    # There is no EL3 software here. A VM's SMC traps to EL2 (HCR_EL2.TSC) and ELR stays on it;
    # anyone else's is undefined.
    here = pc if decode(cpu.mmu.fetch(pc, el) or 0).mnemonic == "smc" else pc - 4
    if el == 1 and cpu.sysreg("HCR_EL2") & HCR_TSC:
        cpu.enter(2, syndrome.EC_SMC64, _immediate(cpu, here, el), here, step)
    else:
        cpu.enter(max(el, 1), syndrome.EC_UNKNOWN, 0, here, step)


def _software_register(cpu: Core, pc: int, el: int) -> bool:
    """Emulate MRS or MSR of a register that Unicorn lacks; False if it is something else."""
    move = sysregs.decode_sysreg_move(cpu.mmu.fetch(pc, el) or 0)
    if move is None:
        return False
    kind, encoding, rt = move
    written = None if kind == "mrs" else cpu.read(f"x{rt}") if rt != 31 else 0
    value = software_sysregs.access(cpu.ich, encoding, el, written)
    if value is None:
        return False
    if kind == "mrs" and rt != 31:
        cpu.write(f"x{rt}", value)
    cpu.write("pc", pc + 4)
    return True


def unaligned(cpu: Core, step: int) -> None:
    """Enter the alignment fault of the load-acquire or store-release at PC (B2.5.2)."""
    pc, el = cpu.read("pc"), cpu.el
    word = cpu.mmu.fetch(pc, el) or 0
    far = cpu.read(_register(word >> 5 & 31, "sp"))
    ec = syndrome.EC_DABT_LOWER if el == 0 else syndrome.EC_DABT_SAME
    is_store = not word >> 22 & 1
    cpu.enter(max(el, 1), ec, syndrome.FSC_ALIGNMENT | is_store << 6, pc, step, far=far)


def _abort(cpu: Core, pc: int, el: int, step: int, *, fetch: bool) -> None:
    """Derive what Unicorn does not say: address, kind and level of the fault, the syndrome."""
    operand, exclusive = None, False
    if fetch:
        va, size, write = pc, 4, False
    else:
        word = cpu.mmu.fetch(pc, el) or 0
        operand, exclusive = decode(word).memory, word & EXCLUSIVE_MASK == EXCLUSIVE
        if operand is not None:
            va = operand.address(pc, lambda name: 0 if name == "xzr" else cpu.read(name))
            size, write = operand.size, operand.kind == "store"
        elif (access := _vector_structure(word) or _zeroing(word)) is not None:
            base, size, write = access
            va = 0 if base == "xzr" else cpu.read(base)
        else:
            raise MachineError(
                f"a data abort, but what the instruction {word:#010x} accesses "
                "could not be worked out"
            )
    if exclusive and va % size:  # looked at before the page tables are (B2.5.2, J1.1.3)
        found: tuple[int, int, bool] | None = (va, syndrome.FSC_ALIGNMENT, False)
    else:
        found = _first_fault(cpu, va, size, el, write, fetch)
    if found is None:
        raise MachineError(_unexplained(cpu, pc, va, el, fetch))
    far, fsc, stage2 = found
    target = 2 if stage2 or el == 2 else 1
    iss = fsc | write << 6 | (_access_syndrome(operand) if stage2 and operand else 0)
    if fetch:
        ec = syndrome.EC_IABT_LOWER if el < target else syndrome.EC_IABT_SAME
    else:
        ec = syndrome.EC_DABT_LOWER if el < target else syndrome.EC_DABT_SAME
    cpu.enter(target, ec, iss, pc, step, far=far)


def _register(number: int, thirty_one: str) -> str:
    return thirty_one if number == 31 else f"x{number}"


def _vector_structure(word: int) -> tuple[str, int, bool] | None:
    """(base register, bytes, is it a store) of LD1 to LD4 and ST1 to ST4 (C4.1.88), else None."""
    if word & 0xBE00_0000 != 0x0C00_0000:
        return None
    size = word >> 10 & 3
    if word >> 24 & 1:  # one structure: an element of each register
        scale = word >> 14 & 3
        if scale == 2:
            scale += size & 1
        elif scale == 3:  # to all lanes
            scale = size
        number = ((word >> 13 & 1) << 1 | word >> 21 & 1) + 1
        total = number << scale
    else:
        registers = {0: 4, 2: 4, 4: 3, 6: 3, 7: 1, 8: 2, 10: 2}.get(word >> 12 & 15, 0)
        total = registers * (8 << (word >> 30 & 1))
    return _register(word >> 5 & 31, "sp"), total, not word >> 22 & 1


def _zeroing(word: int) -> tuple[str, int, bool] | None:
    """The same of DC ZVA, which writes a block of 64 bytes from its start on (DCZID_EL0)."""
    return (_register(word & 31, "xzr"), 1, True) if word & ~31 == 0xD50B_7420 else None


def _first_fault(
    cpu: Core, va: int, size: int, el: int, write: bool, fetch: bool
) -> tuple[int, int, bool] | None:
    """Of an access that failed: (faulting address, fault status code, did stage 2 refuse).

    None where the tables as they are read here give no reason.
    """
    for page in range(va & -PAGE_SIZE, va + size, PAGE_SIZE):
        address = max(va, page) & MASK64
        walked = cpu.mmu.translate(address, el)
        if walked.pa is None:
            return address, walked.fsc, walked.stage2 is not None
        if _refused(walked, el, write, fetch):
            return address, syndrome.FSC_PERMISSION | walked.levels[-1].level, False
    return (va, syndrome.FSC_ALIGNMENT, False) if va % size and not fetch else None


def _refused(walked: Walk, el: int, write: bool, fetch: bool) -> bool:
    """Whether permissions forbid this access to a mapped page, by EL0 or by the level above it."""
    if not walked.levels:  # the MMU is off
        return False
    if el == 0:
        if fetch:
            return bool(walked.descriptor & UXN)
        return not walked.descriptor & AP_EL0 or write and bool(walked.descriptor & AP_RO)
    return fetch and not walked.executable or write and not walked.writable


def _unexplained(cpu: Core, pc: int, va: int, el: int, fetch: bool) -> str:
    """What to say of an abort whose reason this machine does not know."""
    spsr = cpu.sysreg(f"SPSR_EL{max(el, 1)}")
    if fetch and spsr & pstate.PSTATE_NRW:  # PC and PSTATE are AArch64's, and stand still
        return (
            f"an ERET with {spsr:#x} in SPSR_EL{max(el, 1)} goes to AArch32, which this "
            "machine does not have"
        )
    what = "a fetch" if fetch else f"an access to {va:#x}"
    return (
        f"{what} failed, though the page tables allow it: this machine knows 4 KiB pages, "
        "little-endian tables and no breakpoints"
    )


def _access_syndrome(operand: MemoryOperand) -> int:
    """ISS[24:14] of a stage 2 data abort: one general register, no writeback, else zero
    (D17.2.37)."""
    if len(operand.registers) != 1 or operand.writeback:
        return 0
    register = operand.registers[0]
    if register[0] != "x":  # a vector register
        return 0
    number = 31 if register == "xzr" else int(register[1:])
    return (
        1 << 24
        | (operand.size.bit_length() - 1) << 22
        | operand.signed << 21
        | number << 16
        | operand.wide << 15
    )
