"""What Unicorn reports by number, entered as the architecture says: part of the room cpu.

Unicorn gives no syndrome and no fault address. They are derived here from the instruction, the
registers and the page tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypkit import _gic, arch
from hypkit.decode import MemoryOperand, decode
from hypkit.vmem import MASK64

if TYPE_CHECKING:
    from hypkit.cpu import Cpu

HCR_TSC = 1 << 19  # SMC of EL1 goes to EL2


class MachineError(RuntimeError):
    """Something the machine cannot do; the message says what, where, and what to try."""


def deliver(cpu: Cpu, intno: int, step: int) -> None:
    """Enter the exception that Unicorn reported by number; PC as Unicorn left it."""
    pc, el = cpu.read("pc"), cpu.el
    own = max(el, 1)
    match intno:
        case arch.EXCP_HVC:
            _hvc(cpu, pc, el, step)
        case arch.EXCP_SWI:
            cpu.enter(own, arch.EC_SVC64, _immediate(cpu, pc - 4, el), pc, step)
        case arch.EXCP_SMC | arch.EXCP_HYP_TRAP:
            _smc_or_trap(cpu, pc, el, step)
        case arch.EXCP_UDEF:
            if not _ich_access(cpu, pc, el):
                cpu.enter(own, arch.EC_UNKNOWN, 0, pc, step)
        case arch.EXCP_BKPT:
            cpu.enter(own, arch.EC_BRK64, _immediate(cpu, pc, el), pc, step)
        case arch.EXCP_PREFETCH_ABORT if pc & 3:
            # Unicorn asked the page tables first; alignment has priority (Arm ARM D1.3.5.5).
            cpu.misaligned(step)
        case arch.EXCP_PREFETCH_ABORT:
            _abort(cpu, pc, el, step, fetch=True)
        case arch.EXCP_DATA_ABORT:
            _abort(cpu, pc, el, step, fetch=False)
        case _:
            raise MachineError(f"exception number {intno} at {pc:#x} (EL{el}): this machine "
                               "delivers only synchronous exceptions")


def _immediate(cpu: Cpu, pc: int, el: int) -> int:
    return (cpu.fetch(pc, el) or 0) >> 5 & 0xFFFF


def _hvc(cpu: Cpu, pc: int, el: int, step: int) -> None:
    """An HVC seen for the first time: remember its immediate, the compiled hook takes over."""
    immediate = _immediate(cpu, pc - 4, el)
    cpu.remember_hvc(pc, immediate)
    cpu.enter(2, arch.EC_HVC64, immediate, pc, step)


def _smc_or_trap(cpu: Cpu, pc: int, el: int, step: int) -> None:
    # There is no EL3 software here. A VM's SMC traps to EL2 (HCR_EL2.TSC) and ELR stays on it;
    # anyone else's is undefined.
    here = pc if decode(cpu.fetch(pc, el) or 0).mnemonic == "smc" else pc - 4
    if el == 1 and cpu.sysreg("HCR_EL2") & HCR_TSC:
        cpu.enter(2, arch.EC_SMC64, _immediate(cpu, here, el), here, step)
    else:
        cpu.enter(max(el, 1), arch.EC_UNKNOWN, 0, here, step)


def _ich_access(cpu: Cpu, pc: int, el: int) -> bool:
    """Do an MRS or MSR of a GIC register in the GIC's place; False if it is something else."""
    move = arch.decode_sysreg_move(cpu.fetch(pc, el) or 0)
    name = arch.SYSREG_NAMES.get(move[1]) if move else None
    if el != 2 or name not in cpu.ich:
        return False
    kind, _, rt = move
    if kind == "mrs":
        if rt != 31:
            cpu.write(f"x{rt}", cpu.ich[name])
    elif not _gic.write(cpu.ich, name, cpu.read(f"x{rt}") if rt != 31 else 0):
        return False
    cpu.write("pc", pc + 4)
    return True


def _abort(cpu: Cpu, pc: int, el: int, step: int, *, fetch: bool) -> None:
    """Derive what Unicorn does not say: address, kind and level of the fault, the syndrome."""
    if fetch:
        accesses, write, syndrome = [(pc, 4)], False, 0
    else:
        operand = decode(cpu.fetch(pc, el) or 0).memory
        if operand is None:
            raise MachineError(f"data abort at {pc:#x}, but the instruction there accesses no "
                               "memory that could be worked out")
        address = operand.address(pc, lambda name: 0 if name == "xzr" else cpu.read(name))
        accesses = [(address, operand.size)]
        write, syndrome = operand.kind == "store", _access_syndrome(operand)
    far, fsc, stage2 = _first_fault(cpu, accesses, el, write, fetch)
    target = 2 if stage2 or el == 2 else 1
    iss = fsc | write << 6 | (syndrome if stage2 else 0)
    if fetch:
        ec = arch.EC_IABT_LOWER if el < target else arch.EC_IABT_SAME
    else:
        ec = arch.EC_DABT_LOWER if el < target else arch.EC_DABT_SAME
    cpu.enter(target, ec, iss, pc, step, far=far)


def _first_fault(cpu: Cpu, accesses: list[tuple[int, int]], el: int, write: bool,
                 fetch: bool) -> tuple[int, int, bool]:
    """Of an access that failed: (faulting address, fault status code, did stage 2 refuse)."""
    for va, size in accesses:
        for page in range(va & ~0xFFF, va + size, 0x1000):
            address = max(va, page) & MASK64
            walked = cpu.translate(address, el)
            if walked.pa is None:
                return address, walked.fsc, walked.stage2 is not None
            refused = fetch and not walked.executable or write and not walked.writable
            if walked.levels and refused:
                return address, arch.FSC_PERMISSION | walked.levels[-1].level, False
    # Mapped and permitted: what remains is an address that is not a multiple of its size.
    return accesses[0][0], arch.FSC_ALIGNMENT, False


def _access_syndrome(operand: MemoryOperand) -> int:
    """ISS[24:14] of a stage 2 data abort: one register, no writeback, else zero (D17.2.37)."""
    if len(operand.registers) != 1 or operand.writeback:
        return 0
    register = operand.registers[0]
    number = 31 if register in ("xzr", "sp") else int(register[1:])
    size = {1: 0, 2: 1, 4: 2, 8: 3}[operand.size]
    return (1 << 24 | size << 22 | operand.signed << 21 | number << 16
            | operand.wide << 15)
