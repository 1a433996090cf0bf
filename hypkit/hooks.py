"""The compiled hooks: exception entry and trace capture, as C callbacks that numba compiles.

There is one definition of exception entry, `take_exception`. The interrupt hook calls it for an HVC
at native speed; the machine's Python code calls the same function for everything rarer.

The hooks talk to Unicorn through the addresses of its C functions and to Python through one array
of 64-bit words, `STATE`; nothing else is shared, so numba can keep the compiled code on disk.
"""

from __future__ import annotations

import ctypes
import enum

import numpy as np
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from unicorn import arm64_const as uc_arm64
from unicorn.unicorn_py3.unicorn import uclib

from hypkit import arch


class S(enum.IntEnum):
    """The words of the state array."""

    UC = 0  # the engine's handle
    REG_READ = enum.auto()  # addresses of Unicorn's functions
    REG_WRITE = enum.auto()
    REG_READ_BATCH = enum.auto()
    EMU_STOP = enum.auto()
    SCRATCH = enum.auto()  # address of 8 words for register values
    CP = enum.auto()  # address of a uc_arm64_cp_reg
    STOP = enum.auto()  # out: why a hook stopped the run, a Stop
    INTNO = enum.auto()  # out: the exception that Python should look at
    HVC_PC0 = enum.auto()  # two remembered HVCs: the address behind each, and its immediate
    HVC_IMM0 = enum.auto()
    HVC_PC1 = enum.auto()
    HVC_IMM1 = enum.auto()
    EXCEPTIONS = enum.auto()  # out: exceptions entered
    STEPS = enum.auto()  # instructions traced or counted so far in this run
    BUDGET = enum.auto()  # stop before the instruction with this number
    REG_IDS = enum.auto()  # addresses of the batch's register numbers and value pointers
    REG_PTRS = enum.auto()
    REGS = enum.auto()  # address of the values the batch reads
    PREVIOUS = enum.auto()  # address of the values of the row before
    PCS = enum.auto()  # addresses of the trace columns, and how full they are
    MASKS = enum.auto()
    VALUES = enum.auto()
    ROW = enum.auto()
    ROWS = enum.auto()
    VALUE = enum.auto()
    VALUE_ROOM = enum.auto()
    SIZE = enum.auto()


class Stop(enum.IntEnum):
    """Why a hook stopped a run."""

    NONE = 0
    EXCEPTION = 1  # Python decides what the exception is and enters it
    BUDGET = 2
    BUFFER = 3  # the trace columns are full
    MISALIGNED = 4  # PC is not a multiple of four: QEMU 5's code would run on


# The registers of a trace row, in order: bit i of a row's mask is TRACE_REGS[i].
TRACE_REGS = (*(f"x{n}" for n in range(31)), "sp", "pstate")
TRACE_IDS = np.array(
    [*(getattr(uc_arm64, f"UC_ARM64_REG_X{n}") for n in range(31)), uc_arm64.UC_ARM64_REG_SP,
     uc_arm64.UC_ARM64_REG_PSTATE], dtype=np.int32)
_N_REGS = len(TRACE_REGS)


class CpReg(ctypes.Structure):
    """uc_arm64_cp_reg: a system register by encoding, and its value."""

    _fields_ = [("crn", ctypes.c_uint32), ("crm", ctypes.c_uint32), ("op0", ctypes.c_uint32),
                ("op1", ctypes.c_uint32), ("op2", ctypes.c_uint32), ("val", ctypes.c_uint64)]


def function_address(name: str) -> int:
    """The address of one of Unicorn's C functions."""
    return ctypes.cast(getattr(uclib, name), ctypes.c_void_p).value


# --- Calling C from compiled code --------------------------------------------------------------


def _caller(n_args: int):
    """An intrinsic that calls an address with n_args 64-bit arguments and returns its int."""

    def codegen(context, builder, signature, args):
        i64, i32 = ir.IntType(64), ir.IntType(32)
        kind = ir.FunctionType(i32, [i64] * n_args)
        pointer = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(pointer, args[1:])

    return codegen


@intrinsic
def _call1(typingctx, address, a):
    return types.int32(types.uint64, types.uint64), _caller(1)


@intrinsic
def _call3(typingctx, address, a, b, c):
    return types.int32(*[types.uint64] * 4), _caller(3)


@intrinsic
def _call4(typingctx, address, a, b, c, d):
    return types.int32(*[types.uint64] * 5), _caller(4)


@intrinsic
def _load64(typingctx, address):
    def codegen(context, builder, signature, args):
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()))

    return types.uint64(types.uint64), codegen


@intrinsic
def _store64(typingctx, address, value):
    def codegen(context, builder, signature, args):
        builder.store(args[1], builder.inttoptr(args[0], ir.IntType(64).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), codegen


@intrinsic
def _address_of(typingctx, pointer):
    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], cgutils.intp_t)

    return types.uint64(types.voidptr), codegen


# Plain numbers, because numba freezes what a compiled function refers to.
_UC, _READ, _WRITE, _BATCH, _STOP_FN = (int(S.UC), int(S.REG_READ), int(S.REG_WRITE),
                                        int(S.REG_READ_BATCH), int(S.EMU_STOP))
_SCRATCH, _CP = int(S.SCRATCH), int(S.CP)
_STOP, _INTNO, _EXCEPTIONS = int(S.STOP), int(S.INTNO), int(S.EXCEPTIONS)
_PC0, _IMM0, _PC1, _IMM1 = int(S.HVC_PC0), int(S.HVC_IMM0), int(S.HVC_PC1), int(S.HVC_IMM1)
_STEPS, _BUDGET = int(S.STEPS), int(S.BUDGET)
_IDS, _PTRS, _REGS, _PREV = int(S.REG_IDS), int(S.REG_PTRS), int(S.REGS), int(S.PREVIOUS)
_PCS, _MASKS, _VALUES = int(S.PCS), int(S.MASKS), int(S.VALUES)
_ROW, _ROWS, _VALUE, _VALUE_ROOM = int(S.ROW), int(S.ROWS), int(S.VALUE), int(S.VALUE_ROOM)
_R_SP, _R_PC, _R_PSTATE = (uc_arm64.UC_ARM64_REG_SP, uc_arm64.UC_ARM64_REG_PC,
                           uc_arm64.UC_ARM64_REG_PSTATE)
_R_CP = uc_arm64.UC_ARM64_REG_CP_REG
# Banked registers by exception level; EL0's stack pointer is entry 0.
_R_SP_ELX = (uc_arm64.UC_ARM64_REG_SP_EL0, uc_arm64.UC_ARM64_REG_SP_EL1,
             uc_arm64.UC_ARM64_REG_SP_EL2)
_R_ELR = (0, uc_arm64.UC_ARM64_REG_ELR_EL1, uc_arm64.UC_ARM64_REG_ELR_EL2)
_R_ESR = (0, uc_arm64.UC_ARM64_REG_ESR_EL1, uc_arm64.UC_ARM64_REG_ESR_EL2)
_R_FAR = (0, uc_arm64.UC_ARM64_REG_FAR_EL1, uc_arm64.UC_ARM64_REG_FAR_EL2)
_R_VBAR = (0, uc_arm64.UC_ARM64_REG_VBAR_EL1, uc_arm64.UC_ARM64_REG_VBAR_EL2)
_EXCP_HVC = arch.EXCP_HVC
_ESR_HVC = arch.EC_HVC64 << arch.ESR_EC_SHIFT | arch.ESR_IL
_DAIF = arch.PSTATE_DAIF
_SAME_SP0, _SAME_SPX, _LOWER = (arch.VECTOR_SAME_SP0, arch.VECTOR_SAME_SPX, arch.VECTOR_LOWER_A64)
_STOP_EXCEPTION, _STOP_BUDGET = int(Stop.EXCEPTION), int(Stop.BUDGET)
_STOP_BUFFER, _STOP_MISALIGNED = int(Stop.BUFFER), int(Stop.MISALIGNED)


@njit(inline="always")
def _word(state, index):
    return _load64(state + np.uint64(8 * index))


@njit(inline="always")
def _set(state, index, value):
    _store64(state + np.uint64(8 * index), np.uint64(value))


@njit(inline="always")
def _read(state, register):
    scratch = _word(state, _SCRATCH)
    _store64(scratch, np.uint64(0))  # 32-bit registers fill only the lower half
    _call3(_word(state, _READ), _word(state, _UC), np.uint64(register), scratch)
    return _load64(scratch)


@njit(inline="always")
def _write(state, register, value):
    scratch = _word(state, _SCRATCH)
    _store64(scratch, np.uint64(value))
    _call3(_word(state, _WRITE), _word(state, _UC), np.uint64(register), scratch)


@njit(inline="always")
def _write_spsr(state, el, value):
    # SPSR_ELx has no register number of its own in Unicorn. A write through CP_REG also makes it
    # recompute the execution state that a write of PSTATE left stale (unicorn issue 2333), which is
    # why this comes last.
    cp = _word(state, _CP)
    _store64(cp, np.uint64(4))  # crn 4, crm 0
    op1 = 4 if el == 2 else 0
    _store64(cp + np.uint64(8), np.uint64(3) | np.uint64(op1) << np.uint64(32))  # op0 3, op1
    _store64(cp + np.uint64(16), np.uint64(0))  # op2 0
    _store64(cp + np.uint64(24), np.uint64(value))
    _call3(_word(state, _WRITE), _word(state, _UC), np.uint64(_R_CP), cp)


@njit("void(uint64, uint64, uint64, uint64, uint64, uint64)", cache=True)
def take_exception(state, target_el, return_address, esr, far, sets_far):
    """Enter an exception as AArch64.TakeException does (Arm ARM J1.1.2), synchronous ones only.

    state: address of the state array; target_el: 1 or 2; far counts only where sets_far is not 0.
    The flags are cleared as QEMU 7.2 clears them, so that the two can be compared row by row.
    """
    pstate = _read(state, _R_PSTATE)
    source_el = (pstate >> np.uint64(2)) & np.uint64(3)
    if source_el < target_el:
        vector = _LOWER
    elif pstate & np.uint64(1):
        vector = _SAME_SPX
    else:
        vector = _SAME_SP0
    el = np.int64(target_el)
    # The stack pointer in use goes to its bank, the target's comes out of its own.
    bank = np.int64(source_el) if pstate & np.uint64(1) else 0
    _write(state, _R_SP_ELX[bank], _read(state, _R_SP))
    _write(state, _R_SP, _read(state, _R_SP_ELX[el]))
    _write(state, _R_ELR[el], return_address)
    _write(state, _R_ESR[el], esr)
    if sets_far:
        _write(state, _R_FAR[el], far)
    _write(state, _R_PSTATE, np.uint64(_DAIF) | target_el << np.uint64(2) | np.uint64(1))
    _write_spsr(state, el, pstate)
    _write(state, _R_PC, _read(state, _R_VBAR[el]) + np.uint64(vector))
    _set(state, _EXCEPTIONS, _word(state, _EXCEPTIONS) + np.uint64(1))


@njit(inline="always")
def _stop(state, reason):
    _set(state, _STOP, reason)
    _call1(_word(state, _STOP_FN), _word(state, _UC))


@cfunc("void(voidptr, uint32, voidptr)", cache=True)
def interrupt_hook(uc, intno, user):
    state = _address_of(user)
    if intno == _EXCP_HVC:
        # Unicorn's PC is already the return address. EL1's HVC goes to EL2, as does EL2's own.
        pc = _read(state, _R_PC)
        if pc == _word(state, _PC0):
            take_exception(state, np.uint64(2), pc, np.uint64(_ESR_HVC) | _word(state, _IMM0),
                           np.uint64(0), np.uint64(0))
            return
        if pc == _word(state, _PC1):
            take_exception(state, np.uint64(2), pc, np.uint64(_ESR_HVC) | _word(state, _IMM1),
                           np.uint64(0), np.uint64(0))
            return
    _set(state, _INTNO, intno)
    _stop(state, _STOP_EXCEPTION)


@cfunc("void(voidptr, uint64, uint32, voidptr)", cache=True)
def trace_hook(uc, address, size, user):
    """Records a row before each instruction: its PC, which registers differ from the row before,
    and their values."""
    state = _address_of(user)
    steps = _word(state, _STEPS)
    if steps >= _word(state, _BUDGET):
        _stop(state, _STOP_BUDGET)
        return
    row = _word(state, _ROW)
    value = _word(state, _VALUE)
    if row >= _word(state, _ROWS) or value + np.uint64(_N_REGS) > _word(state, _VALUE_ROOM):
        _stop(state, _STOP_BUFFER)
        return
    _call4(_word(state, _BATCH), _word(state, _UC), _word(state, _IDS), _word(state, _PTRS),
           np.uint64(_N_REGS))
    regs, previous, values = _word(state, _REGS), _word(state, _PREV), _word(state, _VALUES)
    mask = np.uint64(0)
    for i in range(_N_REGS):
        at = np.uint64(8 * i)
        now = _load64(regs + at)
        if now != _load64(previous + at):
            _store64(previous + at, now)
            mask |= np.uint64(1) << np.uint64(i)
            _store64(values + np.uint64(8) * value, now)
            value += np.uint64(1)
    _store64(_word(state, _PCS) + np.uint64(8) * row, address)
    _store64(_word(state, _MASKS) + np.uint64(8) * row, mask)
    _set(state, _ROW, row + np.uint64(1))
    _set(state, _VALUE, value)
    _set(state, _STEPS, steps + np.uint64(1))
    if address & np.uint64(3):
        _stop(state, _STOP_MISALIGNED)
