"""The hooks: exception entry and trace capture, as C callbacks that numba compiles.

There is one definition of exception entry, `_enter`. The interrupt hook calls it for an HVC at
native speed; `take_exception` is the same for the machine's Python code, which enters everything
rarer. Only native.py imports this file, when there is no machine code of it yet.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from unicorn import unicorn_const as uc_const

from hypkit.a64 import pstate, syndrome
from hypkit.a64.registers import REGISTERS
from hypkit.kernel.addresses import DRAM_BASE
from hypkit.machine.hooks.state import (
    BLOCK_SLOTS,
    CHUNK,
    CHUNKS,
    CODE_PAGE_SLOTS,
    ENTRY_READS,
    ENTRY_WRITES,
    GROUPS,
    NEWS_WORDS,
    SEEN_SLOTS,
    V_ELR,
    V_ESR,
    V_FAR,
    V_NEW_SP,
    V_PC,
    V_PSTATE,
    V_RETURN,
    V_SP,
    V_VBAR,
    S,
    Stop,
)

_ALL = uc_const.UC_PROT_ALL

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
def _load32(typingctx, address):
    def codegen(context, builder, signature, args):
        word = builder.load(builder.inttoptr(args[0], ir.IntType(32).as_pointer()))
        return builder.zext(word, ir.IntType(64))

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


@intrinsic
def _mark(typingctx, address):
    """Set the byte at an address to one."""

    def codegen(context, builder, signature, args):
        byte = ir.IntType(8)
        builder.store(byte(1), builder.inttoptr(args[0], byte.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.uint64), codegen


# Plain numbers, because numba freezes what a compiled function refers to.
_UC, _WRITE, _STOP_FN = int(S.UC), int(S.REG_WRITE), int(S.EMU_STOP)
_BATCH, _WRITE_BATCH = int(S.REG_READ_BATCH), int(S.REG_WRITE_BATCH)
_CP = int(S.CP)
_ENTRY_VALUES, _FAR_IDS = int(S.ENTRY_VALUES), int(S.ENTRY_FAR_IDS)
_ENTRY_READ_IDS, _ENTRY_READ_PTRS = int(S.ENTRY_READ_IDS), int(S.ENTRY_READ_PTRS)
_ENTRY_WRITE_IDS, _ENTRY_WRITE_PTRS = int(S.ENTRY_WRITE_IDS), int(S.ENTRY_WRITE_PTRS)
_STOP, _INTNO = int(S.STOP), int(S.INTNO)
_PC0, _WORD0, _PC1, _WORD1 = int(S.HVC_PC0), int(S.HVC_WORD0), int(S.HVC_PC1), int(S.HVC_WORD1)
_STEPS, _BUDGET = int(S.STEPS), int(S.BUDGET)
_IDS, _PTRS, _REGS, _PREV = int(S.REG_IDS), int(S.REG_PTRS), int(S.REGS), int(S.PREVIOUS)
_MEM_MAP, _STRAYED = int(S.MEM_MAP), int(S.STRAYED)
_PCS, _MASKS, _VALUES = int(S.PCS), int(S.MASKS), int(S.VALUES)
_ROW, _ROWS, _VALUE, _VALUE_ROOM = int(S.ROW), int(S.ROWS), int(S.VALUE), int(S.VALUE_ROOM)
_N_REGS, _PSTATE = len(REGISTERS), REGISTERS.index("pstate")
_N_ENTRY_READS, _N_ENTRY_WRITES = len(ENTRY_READS), len(ENTRY_WRITES)
_READ_STRIDE, _WRITE_STRIDE = 4 * _N_ENTRY_READS, 4 * _N_ENTRY_WRITES
_EXCP_HVC = syndrome.EXCP_HVC
_ESR_HVC = syndrome.EC_HVC64 << syndrome.ESR_EC_SHIFT | syndrome.ESR_IL
_DAIF = pstate.PSTATE_DAIF
_SAME_SP0, _SAME_SPX = syndrome.VECTOR_SAME_SP0, syndrome.VECTOR_SAME_SPX
_LOWER = syndrome.VECTOR_LOWER_A64
_STOP_EXCEPTION, _STOP_BUDGET = int(Stop.EXCEPTION), int(Stop.BUDGET)
_STOP_BUFFER, _STOP_MISALIGNED = int(Stop.BUFFER), int(Stop.MISALIGNED)
_STOP_EXIT, _STOP_ILLEGAL = int(Stop.EXIT), int(Stop.ILLEGAL)
_IL = pstate.PSTATE_IL
_STOP_UNALIGNED, _STOP_ACQUIRE = int(Stop.UNALIGNED), int(Stop.ACQUIRE)
_TRANSLATE, _MEM_READ, _SCRATCH = int(S.VMEM_TRANSLATE), int(S.MEM_READ), int(S.SCRATCH)
_RAM_START, _RAM_SIZE, _RAM_HOST = int(S.RAM_START), int(S.RAM_SIZE), int(S.RAM_HOST)
_CODE_PAGES, _SEEN, _BLOCKS = int(S.CODE_PAGES), int(S.SEEN), int(S.BLOCKS)
_NEWS, _NEW = int(S.NEWS), int(S.NEW)
_PROT_EXEC = int(uc_const.UC_PROT_EXEC)


@njit(inline="always")
def _word(state, index):
    return _load64(state + np.uint64(8 * index))


@njit(inline="always")
def _set(state, index, value):
    _store64(state + np.uint64(8 * index), np.uint64(value))


@njit(inline="always")
def _read_for_entry(state, target_el):
    _store64(_word(state, _ENTRY_VALUES), np.uint64(0))  # PSTATE fills only the lower half
    ids = _word(state, _ENTRY_READ_IDS) + np.uint64(_READ_STRIDE) * (target_el - np.uint64(1))
    _call4(
        _word(state, _BATCH),
        _word(state, _UC),
        ids,
        _word(state, _ENTRY_READ_PTRS),
        np.uint64(_N_ENTRY_READS),
    )


@njit(inline="always")
def _enter(state, target_el, return_address, esr, far, sets_far):
    """take_exception, with the registers already read."""
    values = _word(state, _ENTRY_VALUES)
    uc = _word(state, _UC)
    el = target_el - np.uint64(1)
    pstate = _load64(values)
    source_el = (pstate >> np.uint64(2)) & np.uint64(3)
    if source_el < target_el:
        vector = _LOWER
    elif pstate & np.uint64(1):
        vector = _SAME_SPX
    else:
        vector = _SAME_SP0
    # The stack pointer in use goes to its bank, the target's comes out of its own.
    bank = source_el if pstate & np.uint64(1) else np.uint64(0)
    if bank == target_el:
        _store64(values + np.uint64(8 * V_NEW_SP), _load64(values + np.uint64(8 * V_SP)))
    _store64(values + np.uint64(8 * V_ELR), return_address)
    _store64(values + np.uint64(8 * V_ESR), esr)
    _store64(
        values + np.uint64(8 * V_PSTATE),
        np.uint64(_DAIF) | target_el << np.uint64(2) | np.uint64(1),
    )
    _store64(
        values + np.uint64(8 * V_PC), _load64(values + np.uint64(8 * V_VBAR)) + np.uint64(vector)
    )
    if sets_far:
        _store64(values + np.uint64(8 * V_FAR), far)
        _call3(
            _word(state, _WRITE),
            uc,
            _load64(_word(state, _FAR_IDS) + np.uint64(8) * el),
            values + np.uint64(8 * V_FAR),
        )
    # SPSR_ELx has no register number of its own in Unicorn: it goes through CP_REG, as op1 4 or 0.
    cp = _word(state, _CP)
    op1 = np.uint64(4) if target_el == np.uint64(2) else np.uint64(0)
    _store64(cp + np.uint64(8), np.uint64(3) | op1 << np.uint64(32))
    _store64(cp + np.uint64(24), pstate)
    _call4(
        _word(state, _WRITE_BATCH),
        uc,
        _word(state, _ENTRY_WRITE_IDS) + np.uint64(_WRITE_STRIDE) * (bank * np.uint64(2) + el),
        _word(state, _ENTRY_WRITE_PTRS),
        np.uint64(_N_ENTRY_WRITES),
    )


@cfunc("void(uint64, uint64, uint64, uint64, uint64, uint64)")
def take_exception(state, target_el, return_address, esr, far, sets_far):
    """Enter an exception as AArch64.TakeException does (Arm ARM J1.1.2), synchronous ones only.

    state: address of the state array; target_el: 1 or 2; far counts only where sets_far is not 0.
    The flags are cleared as QEMU 7.2 clears them, so that the two can be compared row by row.
    """
    _read_for_entry(state, target_el)
    _enter(state, target_el, return_address, esr, far, sets_far)


@njit(inline="always")
def _stop(state, reason):
    _set(state, _STOP, reason)
    _call1(_word(state, _STOP_FN), _word(state, _UC))


# --- Words of code ----------------------------------------------------------------------------


@njit(inline="always")
def _host_page(state, va):
    """Where the page of code at a virtual address lies in this process; 0 if not in expected RAM,
    and then its physical address is in the first word of the scratch."""
    scratch = _word(state, _SCRATCH)
    page = va & ~np.uint64(0xFFF)
    _store64(scratch, np.uint64(0))
    failed = _call4(
        _word(state, _TRANSLATE), _word(state, _UC), page, np.uint64(_PROT_EXEC), scratch
    )
    if failed != 0:
        _store64(scratch, np.uint64(0))
        return np.uint64(0)
    offset = _load64(scratch) - _word(state, _RAM_START)
    if offset < _word(state, _RAM_SIZE):
        return _word(state, _RAM_HOST) + offset
    return np.uint64(0)


@njit(inline="always")
def _far_word(state, va):
    """The word at an address whose page _host_page did not find in expected RAM."""
    scratch = _word(state, _SCRATCH)
    pa = _load64(scratch) | va & np.uint64(0xFFF)
    _store64(scratch + np.uint64(8), np.uint64(0))
    _call4(_word(state, _MEM_READ), _word(state, _UC), pa, scratch + np.uint64(8), np.uint64(4))
    return _load64(scratch + np.uint64(8)) & np.uint64(0xFFFFFFFF)


@njit(inline="always")
def _code_word(state, va):
    """The instruction word at a virtual address of the present exception level."""
    page = _host_page(state, va)
    if page:
        return _load32(page + (va & np.uint64(0xFFF)))
    return _far_word(state, va)


@cfunc("uint64(uint64, uint64)")
def code_word(state, va):
    """Return the word at a virtual address of the present exception level; 0 if it is unmapped."""
    return _code_word(state, va)


@njit(inline="always")
def _executed_word(state, pc, el):
    """The same before each instruction, with the pages that were used last kept in a table."""
    page = pc & ~np.uint64(0xFFF)
    key = page | el | np.uint64(0x10)  # no key is zero, an empty slot's
    slot = _word(state, _CODE_PAGES) + np.uint64(16) * (
        (page >> np.uint64(12)) & np.uint64(CODE_PAGE_SLOTS - 1)
    )
    if _load64(slot) != key:
        found = _host_page(state, pc)
        if not found:
            return _far_word(state, pc)
        _store64(slot + np.uint64(8), found)
        _store64(slot, key)
    return _load32(_load64(slot + np.uint64(8)) + (pc & np.uint64(0xFFF)))


@njit(inline="always")
def _note_word(state, step, pc, word):
    """Keep what was executed, where it was not executed before."""
    slot = _word(state, _SEEN) + np.uint64(16) * ((pc >> np.uint64(2)) & np.uint64(SEEN_SLOTS - 1))
    if _load64(slot) == pc + np.uint64(1) and _load64(slot + np.uint64(8)) == word:
        return
    _store64(slot, pc + np.uint64(1))
    _store64(slot + np.uint64(8), word)
    number = _word(state, _NEW)
    record = _word(state, _NEWS) + np.uint64(8 * NEWS_WORDS) * number
    _store64(record, step)
    _store64(record + np.uint64(8), pc)
    _store64(record + np.uint64(16), word)
    _set(state, _NEW, number + np.uint64(1))


@njit(inline="always")
def _changes_translation(word):
    """MSR of a register, or SYS (TLBI, IC, ...): C4.1.66. After it a page may lie elsewhere."""
    return (
        word & np.uint64(0xFFE0_0000) == np.uint64(0xD500_0000) and word & np.uint64(0x18_0000) != 0
    )


@njit(inline="always")
def _is_ordered(word):
    """LDAR, STLR, and their byte and halfword forms (C4.1.88, load/store ordered)."""
    return word & np.uint64(0x3FA0_8000) == np.uint64(0x0880_8000)


@njit(inline="always")
def _is_misplaced(word, regs):
    """Whether such an instruction's address is no multiple of its size: an alignment fault,
    whatever SCTLR_ELx.A says (B2.5.2)."""
    address = _load64(regs + np.uint64(8) * (word >> np.uint64(5) & np.uint64(31)))
    return address & ((np.uint64(1) << (word >> np.uint64(30))) - np.uint64(1)) != 0


@njit(inline="always")
def _hvc_syndrome(state, place):
    """ESR_EL2 of the HVC whose word lies at an address here; 0 if there is no HVC any more."""
    word = _load32(_word(state, place))
    if word & np.uint64(0xFFE0001F) != np.uint64(0xD4000002):
        return np.uint64(0)
    return np.uint64(_ESR_HVC) | (word >> np.uint64(5) & np.uint64(0xFFFF))


@cfunc("void(voidptr, uint32, voidptr)")
def interrupt_hook(uc, intno, user):
    """Enters an HVC that is known, and stops the run for every other exception."""
    state = _address_of(user)
    if intno == _EXCP_HVC:
        # Unicorn's PC is already the return address. EL1's HVC goes to EL2, as does EL2's own.
        _read_for_entry(state, np.uint64(2))
        pc = _load64(_word(state, _ENTRY_VALUES) + np.uint64(8 * V_RETURN))
        illegal = _load64(_word(state, _ENTRY_VALUES)) & np.uint64(_IL)
        nothing = np.uint64(0)
        if illegal:
            pass
        elif pc == _word(state, _PC0):
            esr = _hvc_syndrome(state, _WORD0)
            if esr:
                _enter(state, np.uint64(2), pc, esr, nothing, nothing)
                return
        elif pc == _word(state, _PC1):
            esr = _hvc_syndrome(state, _WORD1)
            if esr:
                _enter(state, np.uint64(2), pc, esr, nothing, nothing)
                return
    _set(state, _INTNO, intno)
    _stop(state, _STOP_EXCEPTION)


@cfunc("void(voidptr, uint64, uint32, voidptr)")
def exit_hook(uc, address, size, user):
    """Ends a run before an instruction. Unicorn's own exits are a WFI in disguise, which a pending
    interrupt or a trap of WFI passes by."""
    _stop(_address_of(user), _STOP_EXIT)


@cfunc("void(voidptr, uint64, uint32, voidptr)")
def block_hook(uc, address, size, user):
    """Keeps the budget of a run that records nothing, a block of instructions at a time."""
    state = _address_of(user)
    if address & np.uint64(3):
        _stop(state, _STOP_MISALIGNED)
        return
    steps = _word(state, _STEPS)
    if steps >= _word(state, _BUDGET):
        _stop(state, _STOP_BUDGET)
        return
    slot = _word(state, _BLOCKS) + np.uint64(8) * (
        (address >> np.uint64(2)) & np.uint64(BLOCK_SLOTS - 1)
    )
    if _load64(slot) != address + np.uint64(1):
        page = _host_page(state, address)
        for at in range(np.uint64(0), np.uint64(size), np.uint64(4)):
            va = address + at
            if page:
                word = _load32(page + (va & np.uint64(0xFFF)))
            else:
                word = _far_word(state, va)
            if _is_ordered(word):
                _stop(state, _STOP_ACQUIRE)
                return
        _store64(slot, address + np.uint64(1))
    _set(state, _STEPS, steps + np.uint64(size >> 2))


@cfunc("void(voidptr, uint64, uint32, voidptr)")
def acquire_hook(uc, address, size, user):
    """Checks the address of a load-acquire or store-release in a run that records nothing."""
    state = _address_of(user)
    word = _code_word(state, address)
    if not _is_ordered(word):
        return
    _call4(
        _word(state, _BATCH),
        _word(state, _UC),
        _word(state, _IDS),
        _word(state, _PTRS),
        np.uint64(_N_REGS),
    )
    if _is_misplaced(word, _word(state, _REGS)):
        _stop(state, _STOP_UNALIGNED)


@cfunc("boolean(voidptr, int32, uint64, int32, int64, voidptr)")
def stray_hook(uc, kind, pa, size, value, user):
    """Make the chunk of RAM that a program touches unexpectedly, and note it."""
    state = _address_of(user)
    number = (pa - np.uint64(DRAM_BASE)) // np.uint64(CHUNK)
    if pa < np.uint64(DRAM_BASE) or number >= np.uint64(CHUNKS):
        return False
    _mark(_word(state, _STRAYED) + number)
    failed = _call4(
        _word(state, _MEM_MAP),
        _word(state, _UC),
        np.uint64(DRAM_BASE) + number * np.uint64(CHUNK),
        np.uint64(CHUNK),
        np.uint64(_ALL),
    )
    return failed == 0


@cfunc("void(voidptr, uint64, uint32, voidptr)")
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
    _call4(
        _word(state, _BATCH),
        _word(state, _UC),
        _word(state, _IDS),
        _word(state, _PTRS),
        np.uint64(_N_REGS),
    )
    regs, previous, values = _word(state, _REGS), _word(state, _PREV), _word(state, _VALUES)
    mask = np.uint64(0)
    # Most steps change one register or none: eight are compared at once before each is looked at.
    for group in range(GROUPS):
        start = np.uint64(64 * group)
        different = np.uint64(0)
        for i in range(8):
            at = start + np.uint64(8 * i)
            different |= _load64(regs + at) ^ _load64(previous + at)
        if different == 0:
            continue
        for i in range(8 * group, 8 * group + 8):
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
    now = _load64(regs + np.uint64(8 * _PSTATE))
    if address & np.uint64(3):
        _note_word(state, steps, address, np.uint64(0))
        _stop(state, _STOP_MISALIGNED)
        return
    word = _executed_word(state, address, now & np.uint64(0xC))
    _note_word(state, steps, address, word)
    if now & np.uint64(_IL):
        _stop(state, _STOP_ILLEGAL)
    elif _is_ordered(word):
        if _is_misplaced(word, regs):
            _stop(state, _STOP_UNALIGNED)
    elif _changes_translation(word):
        for number in range(CODE_PAGE_SLOTS):
            _store64(_word(state, _CODE_PAGES) + np.uint64(16 * number), np.uint64(0))


HOOKS = {
    hook.__name__: hook
    for hook in (
        take_exception,
        code_word,
        interrupt_hook,
        exit_hook,
        block_hook,
        acquire_hook,
        stray_hook,
        trace_hook,
    )
}
