"""The hooks that watch a hostile host at full speed, as C callbacks that numba compiles.

They stand in for the hooks of a bulk run. Of every call they keep a record: the way that EL2 took,
where it went after the dispatcher, what it wrote that is not its own, and what the host got back.
An abort at EL2 is noted and the host goes on with its next request; whoever reads the records makes
one call of each kind again, with all that hyp_panic does.
"""

from __future__ import annotations

import numpy as np
from numba import cfunc, njit

from hypkit.a64 import pstate, syndrome
from hypkit.machine.hooks.callbacks import (
    _address_of,
    _call3,
    _call4,
    _enter,
    _hvc_syndrome,
    _load64,
    _read_for_entry,
    _set,
    _stop,
    _store64,
    _word,
)
from hypkit.machine.hooks.state import V_RETURN, S, Stop
from hypkit.machine.hooks.watch_state import DIRTY, HOST_REGISTERS, LOOKS, SPOILT, F, R, W

_HOW_MANY = len(HOST_REGISTERS)
(_RETURNED, _PANICKED, _ABORT, _OUTSIDE, _WROTE, _STATE_CHANGED, _CLOBBERED, _LEAKED, _RUNAWAY) = (
    np.uint64(flag) for flag in list(F)[:9]
)
_VECTORS, _RESTARTED = np.uint64(F.VECTORS), np.uint64(F.RESTARTED)
_FIRST_VECTOR = np.uint64(1 + len(HOST_REGISTERS))
_BATCH, _WRITE_BATCH, _UC = int(S.REG_READ_BATCH), int(S.REG_WRITE_BATCH), int(S.UC)
_INTNO = int(S.INTNO)
_PC0, _WORD0, _PC1, _WORD1 = int(S.HVC_PC0), int(S.HVC_WORD0), int(S.HVC_PC1), int(S.HVC_WORD1)
_ENTRY_VALUES = int(S.ENTRY_VALUES)
_EXCEPTION, _LOST = int(Stop.EXCEPTION), int(Stop.LOST)
_MISALIGNED = int(Stop.MISALIGNED)
_BUDGET_OUT = int(Stop.BUDGET)
_EXCP_HVC = syndrome.EXCP_HVC
_EXCP_PREFETCH, _EXCP_DATA = syndrome.EXCP_PREFETCH_ABORT, syndrome.EXCP_DATA_ABORT
_EXCP_UDEF = syndrome.EXCP_UDEF
_IL = pstate.PSTATE_IL
_PRIME = np.uint64(0x100000001B3)

(_W_STATE, _W_RECORD, _W_CALLS, _W_ENTRY, _W_TEXT, _W_TEXT_END) = (
    int(word) for word in list(W)[:6]
)
_W = {word.name: int(word) for word in W}
_W_VM, _W_VM_END, _W_WINDOW, _W_WINDOW_END, _W_IDMAP, _W_IDMAP_END = (
    _W[name] for name in ("VM", "VM_END", "WINDOW", "WINDOW_END", "IDMAP", "IDMAP_END")
)
_W_AT_EL2, _W_STEPS, _W_BUDGET, _W_OWN = (_W[name] for name in ("AT_EL2", "STEPS", "BUDGET", "OWN"))
_W_REQUEST, _W_REQUESTS_AT, _W_REQUESTS = (
    _W[name] for name in ("REQUEST", "REQUESTS_AT", "REQUESTS")
)
_W_HOST_IDS, _W_HOST_PTRS, _W_HOST_REGS, _W_BEFORE, _W_KEPT, _W_FRESH = (
    _W[name] for name in ("HOST_IDS", "HOST_PTRS", "HOST_REGS", "BEFORE", "KEPT", "FRESH")
)
(_W_VECTOR_IDS, _W_VECTOR_PTRS, _W_VECTOR_COUNT, _W_VECTORS, _W_VECTORS_BEFORE, _W_VECTOR_WORDS) = (
    _W[name]
    for name in (
        "VECTOR_IDS",
        "VECTOR_PTRS",
        "VECTOR_COUNT",
        "VECTORS",
        "VECTORS_BEFORE",
        "VECTOR_WORDS",
    )
)
_W_EL2_IDS, _W_EL2_PTRS, _W_EL2_REGS, _W_EL2_MASKS, _W_EL2_COUNT, _W_EL2_BASE, _W_SEEN = (
    _W[name]
    for name in ("EL2_IDS", "EL2_PTRS", "EL2_REGS", "EL2_MASKS", "EL2_COUNT", "EL2_BASE", "SEEN")
)
_W_BACK_IDS, _W_BACK_PTRS, _W_BACK_COUNT = (
    _W[name] for name in ("BACK_IDS", "BACK_PTRS", "BACK_COUNT")
)
_W_TEXT_AT, _W_ICH_CODES, _W_ICH_VALUES, _W_ICH_MASKS, _W_ICH_COUNT, _W_ICH_VMCR = (
    _W[name]
    for name in ("TEXT_AT", "ICH_CODES", "ICH_VALUES", "ICH_MASKS", "ICH_COUNT", "ICH_VMCR")
)
_W_ONE_PTR, _W_PC_ID, _W_READ = _W["ONE_PTR"], _W["PC_ID"], _W["READ"]
_W_EL2_SCTLR = _W["EL2_SCTLR"]
_MMU = np.uint64(1)  # SCTLR_EL2.M
_WRITE = int(S.REG_WRITE)
_R_WAY, _R_TARGET, _R_FLAGS, _R_WHERE, _R_WROTE, _R_X0, _R_REGISTER = (
    8 * int(word) for word in (R.WAY, R.TARGET, R.FLAGS, R.WHERE, R.WROTE, R.X0, R.REGISTER)
)
_R_SIZE = 8 * int(R.SIZE)


@njit(inline="always")
def _flag(watch, flag):
    at = _word(watch, _W_RECORD) + np.uint64(_R_FLAGS)
    _store64(at, _load64(at) | np.uint64(flag))


@njit(inline="always")
def _about(watch, number):
    """Note which register a flag is about, if none is noted yet."""
    at = _word(watch, _W_RECORD) + np.uint64(_R_REGISTER)
    if _load64(at) == np.uint64(0):
        _store64(at, number)


@njit(inline="always")
def _halt(watch, reason):
    _stop(_word(watch, _W_STATE), reason)


@njit(inline="always")
def _read_el2(watch):
    state = _word(watch, _W_STATE)
    _call4(
        _word(state, _BATCH),
        _word(state, _UC),
        _word(watch, _W_EL2_IDS),
        _word(watch, _W_EL2_PTRS),
        _word(watch, _W_EL2_COUNT),
    )


@njit(forceinline=True)
def _note_restart(watch, address):
    """Note it where EL2 goes on, its MMU off, at an address that is in x0 to x6 of the request."""
    sent = _word(watch, _W_REQUESTS_AT) + (_word(watch, _W_REQUEST) - _word(watch, _W_REQUESTS))
    for i in range(7):
        if _load64(sent + np.uint64(8 * i)) == address:
            _read_el2(watch)
            at = _word(watch, _W_EL2_REGS) + np.uint64(8) * _word(watch, _W_EL2_SCTLR)
            if _load64(_load64(at)) & _MMU == np.uint64(0):
                _flag(watch, _RESTARTED)
            return


@njit(forceinline=True)
def _look_at_el2(watch):
    """Compare EL2's registers with what they were; a way's effect is looked at a few times."""
    record = _word(watch, _W_RECORD)
    seen = _word(watch, _W_SEEN) + np.uint64(8) * (
        _load64(record + np.uint64(_R_WAY)) & np.uint64(0xFFFF)
    )
    looks = _load64(seen)
    if looks > np.uint64(LOOKS):
        return looks == np.uint64(DIRTY)
    _store64(seen, looks + np.uint64(1))
    _read_el2(watch)
    for i in range(_word(watch, _W_EL2_COUNT)):
        at = np.uint64(8) * np.uint64(i)
        value = _load64(_load64(_word(watch, _W_EL2_REGS) + at))
        differs = (value ^ _load64(_word(watch, _W_EL2_BASE) + at)) & _load64(
            _word(watch, _W_EL2_MASKS) + at
        )
        if differs:
            _store64(seen, np.uint64(DIRTY))
            return True
    return False


@njit(forceinline=True)
def _look_at_vectors(watch):
    """Compare the vector registers with what the host had in them, as often as EL2's are looked at;
    the first one that differs, counted from 1 in NAMED, 0 where none does."""
    record = _word(watch, _W_RECORD)
    seen = _word(watch, _W_SEEN) + np.uint64(8) * (
        _load64(record + np.uint64(_R_WAY)) & np.uint64(0xFFFF)
    )
    looks = _load64(seen)
    if looks > np.uint64(SPOILT):
        return looks - np.uint64(SPOILT)
    if looks > np.uint64(LOOKS):
        return np.uint64(0)
    state = _word(watch, _W_STATE)
    _call4(
        _word(state, _BATCH),
        _word(state, _UC),
        _word(watch, _W_VECTOR_IDS),
        _word(watch, _W_VECTOR_PTRS),
        _word(watch, _W_VECTOR_COUNT),
    )
    for i in range(_word(watch, _W_VECTOR_WORDS)):
        at = np.uint64(8) * np.uint64(i)
        if _load64(_word(watch, _W_VECTORS) + at) != _load64(_word(watch, _W_VECTORS_BEFORE) + at):
            found = _FIRST_VECTOR + (np.uint64(i) >> np.uint64(1))
            _store64(seen, np.uint64(SPOILT) + found)
            return found
    return np.uint64(0)


@cfunc("void(voidptr, uint64, uint32, voidptr)")
def call_begins(uc, address, size, user):
    """Begin a new record: the host is about to branch to its calling code."""
    watch = _address_of(user)
    calls = _word(watch, _W_CALLS)
    _set(watch, _W_CALLS, calls + np.uint64(1))
    if calls:
        _set(watch, _W_RECORD, _word(watch, _W_RECORD) + np.uint64(_R_SIZE))
    record = _word(watch, _W_RECORD)
    _store64(record + np.uint64(_R_WAY), np.uint64(0xCBF29CE484222325))
    _store64(record + np.uint64(_R_TARGET), np.uint64(0))
    _store64(record + np.uint64(_R_FLAGS), np.uint64(0))
    _store64(record + np.uint64(_R_WHERE), np.uint64(0))
    _store64(record + np.uint64(_R_WROTE), np.uint64(0))
    _store64(record + np.uint64(_R_REGISTER), np.uint64(0))
    _set(watch, _W_STEPS, 0)
    # What the host has in x19 to x29 and sp now is what it must find again.
    state = _word(watch, _W_STATE)
    _call4(
        _word(state, _BATCH),
        _word(state, _UC),
        _word(watch, _W_HOST_IDS),
        _word(watch, _W_HOST_PTRS),
        np.uint64(_HOW_MANY),
    )
    regs, before = _word(watch, _W_HOST_REGS), _word(watch, _W_BEFORE)
    for i in range(_HOW_MANY):
        _store64(before + np.uint64(8 * i), _load64(regs + np.uint64(8 * i)))
    _set(watch, _W_REQUEST, _word(watch, _W_REQUESTS) + np.uint64(64) * calls)


@cfunc("void(voidptr, uint64, uint32, voidptr)")
def call_ends(uc, address, size, user):
    """Record what the host, now back, has got, and whether everything is as it was."""
    watch = _address_of(user)
    record, state = _word(watch, _W_RECORD), _word(watch, _W_STATE)
    _set(watch, _W_AT_EL2, 0)
    _flag(watch, _RETURNED)
    regs = _word(watch, _W_HOST_REGS)
    _call4(
        _word(state, _BATCH),
        _word(state, _UC),
        _word(watch, _W_HOST_IDS),
        _word(watch, _W_HOST_PTRS),
        np.uint64(_HOW_MANY),
    )
    for i in range(4):
        _store64(record + np.uint64(_R_X0 + 8 * i), _load64(regs + np.uint64(8 * i)))
    request, before = _word(watch, _W_REQUEST), _word(watch, _W_BEFORE)
    _store64(before + np.uint64(8 * 19), request)  # where the host's own code has its pointer
    kept = _word(watch, _W_KEPT)
    for i in range(_HOW_MANY):
        if i >= 19 or (kept >> np.uint64(i)) & np.uint64(1):
            if _load64(regs + np.uint64(8 * i)) != _load64(before + np.uint64(8 * i)):
                _flag(watch, _CLOBBERED)
                _about(watch, np.uint64(1 + i))
    sent = _word(watch, _W_REQUESTS_AT) + (request - _word(watch, _W_REQUESTS))
    low, high = _word(watch, _W_WINDOW), _word(watch, _W_WINDOW_END)
    for i in range(19):
        value = _load64(regs + np.uint64(8 * i))
        if low <= value and value < high and value != _load64(before + np.uint64(8 * i)):
            own = False
            for j in range(7):
                own = own or _load64(sent + np.uint64(8 * j)) == value
            if not own:
                _flag(watch, _LEAKED)
                _about(watch, np.uint64(1 + i))
                break
    if _look_at_el2(watch):
        _flag(watch, _STATE_CHANGED)
        _halt(watch, _LOST)
        return
    vector = _look_at_vectors(watch)
    if vector:
        _flag(watch, _VECTORS)
        if _load64(record + np.uint64(_R_FLAGS)) & _CLOBBERED == np.uint64(0):
            _store64(record + np.uint64(_R_REGISTER), vector)  # a leak is the lesser thing
        _halt(watch, _LOST)
    elif _load64(record + np.uint64(_R_FLAGS)) & (_WROTE | _OUTSIDE):
        _halt(watch, _LOST)


@cfunc("void(voidptr, uint64, uint32, voidptr)")
def block_begins(uc, address, size, user):
    """Record whose code a block is, and the way that EL2 takes."""
    watch = _address_of(user)
    if address & np.uint64(3):
        _note_restart(watch, address)
        _halt(watch, _MISALIGNED)
        return
    steps = _word(watch, _W_STEPS) + np.uint64(size >> 2)
    _set(watch, _W_STEPS, steps)
    if steps > _word(watch, _W_BUDGET):
        _flag(watch, _RUNAWAY)
        _halt(watch, _BUDGET_OUT)
        return
    guest = _word(watch, _W_VM) <= address and address < _word(watch, _W_VM_END)
    if address >> np.uint64(48) or guest:
        _set(watch, _W_AT_EL2, 0)
        return
    _set(watch, _W_AT_EL2, 1)
    record = _word(watch, _W_RECORD)
    way = record + np.uint64(_R_WAY)
    _store64(way, (_load64(way) ^ address) * _PRIME)
    entry, way_in = _word(watch, _W_ENTRY), False
    while _load64(entry + np.uint64(8)):
        if _load64(entry) <= address and address < _load64(entry + np.uint64(8)):
            way_in = True
            break
        entry += np.uint64(16)
    if not way_in:
        target = record + np.uint64(_R_TARGET)
        if _load64(target) == np.uint64(0):
            _store64(target, address)
        inside = _word(watch, _W_TEXT) <= address and address < _word(watch, _W_TEXT_END)
        idmap = _word(watch, _W_IDMAP) <= address and address < _word(watch, _W_IDMAP_END)
        if not inside:
            _note_restart(watch, address)
            if not idmap:
                _flag(watch, _OUTSIDE)


@cfunc("void(voidptr, int32, uint64, int32, int64, voidptr)")
def memory_written(uc, kind, pa, size, value, user):
    """Record whether the memory that EL2 wrote is its own."""
    watch = _address_of(user)
    if _word(watch, _W_AT_EL2) == np.uint64(0):
        return
    own = _word(watch, _W_OWN)
    while _load64(own + np.uint64(8)):
        if _load64(own) <= pa and pa < _load64(own + np.uint64(8)):
            return
        own += np.uint64(16)
    record = _word(watch, _W_RECORD)
    if _load64(record + np.uint64(_R_FLAGS)) & _WROTE == np.uint64(0):
        _store64(record + np.uint64(_R_WROTE), pa)
    _flag(watch, _WROTE)


@njit(forceinline=True)
def _gic_access(watch, state, pc):
    """MRS and MSR of the GIC's registers, as machine.software_sysregs has them; False for others."""
    text = _word(watch, _W_TEXT)
    if pc < text or pc >= _word(watch, _W_TEXT_END):
        return False
    pair = _load64(_word(watch, _W_TEXT_AT) + ((pc - text) & ~np.uint64(7)))
    word = (pair >> np.uint64(32)) if pc & np.uint64(4) else pair & np.uint64(0xFFFFFFFF)
    if word & np.uint64(0xFFC00000) != np.uint64(0xD5000000):
        return False
    code = (word >> np.uint64(5)) & np.uint64(0xFFFF)
    found = np.uint64(0xFFFF)
    for i in range(_word(watch, _W_ICH_COUNT)):
        if _load64(_word(watch, _W_ICH_CODES) + np.uint64(8) * np.uint64(i)) == code:
            found = np.uint64(i)
    if found == np.uint64(0xFFFF):
        return False
    at = _word(watch, _W_ICH_VALUES) + np.uint64(8) * found
    rt = word & np.uint64(31)
    ids = _word(watch, _W_HOST_IDS)
    pair = _load64(ids + ((rt * np.uint64(4)) & ~np.uint64(7)))
    register = (pair >> np.uint64(32)) if rt & np.uint64(1) else pair & np.uint64(0xFFFFFFFF)
    one = _word(watch, _W_ONE_PTR)
    if rt == np.uint64(30):  # the list has sp in its place
        return False
    if word & np.uint64(1 << 21):
        if rt != np.uint64(31):
            _call3(_word(state, _WRITE), _word(state, _UC), register, at)
    else:
        mask = _load64(_word(watch, _W_ICH_MASKS) + np.uint64(8) * found)
        if mask == np.uint64(0):
            return False
        value = np.uint64(0)
        if rt != np.uint64(31):
            _store64(one, np.uint64(0))
            _call3(_word(watch, _W_READ), _word(state, _UC), register, one)
            value = _load64(one)
        value &= mask
        if found == _word(watch, _W_ICH_VMCR):
            value |= np.uint64(8)
            if (value >> np.uint64(21)) & np.uint64(7) < np.uint64(2):
                value = (value & ~np.uint64(7 << 21)) | np.uint64(2 << 21)
            if (value >> np.uint64(18)) & np.uint64(7) < np.uint64(3):
                value = (value & ~np.uint64(7 << 18)) | np.uint64(3 << 18)
        _store64(at, value)
    _store64(one, pc + np.uint64(4))
    _call3(_word(state, _WRITE), _word(state, _UC), _word(watch, _W_PC_ID), one)
    return True


@cfunc("void(voidptr, uint32, voidptr)")
def exception_taken(uc, intno, user):
    """Enter an HVC as always; note an abort of EL2's and let the host go on; stop for the rest."""
    watch = _address_of(user)
    state = _word(watch, _W_STATE)
    if intno == _EXCP_HVC:
        _read_for_entry(state, np.uint64(2))
        pc = _load64(_word(state, _ENTRY_VALUES) + np.uint64(8 * V_RETURN))
        illegal = _load64(_word(state, _ENTRY_VALUES)) & np.uint64(_IL)
        nothing = np.uint64(0)
        if illegal == np.uint64(0):
            if pc == _word(state, _PC0):
                esr = _hvc_syndrome(state, _WORD0)
                if esr:
                    _enter(state, np.uint64(2), pc, esr, nothing, nothing)
                    return
            if pc == _word(state, _PC1):
                esr = _hvc_syndrome(state, _WORD1)
                if esr:
                    _enter(state, np.uint64(2), pc, esr, nothing, nothing)
                    return
    elif intno == _EXCP_PREFETCH or intno == _EXCP_DATA:
        _read_for_entry(state, np.uint64(2))
        values = _word(state, _ENTRY_VALUES)
        if (_load64(values) >> np.uint64(2)) & np.uint64(3) == np.uint64(2):
            record = _word(watch, _W_RECORD)
            _flag(watch, _ABORT)
            # A fetch that fails has no place of its own in the text: what was wanted may be any.
            where = _load64(values + np.uint64(8 * V_RETURN))
            if intno == _EXCP_PREFETCH:
                _note_restart(watch, where)
                where = np.uint64(0)
            _store64(record + np.uint64(_R_WHERE), where)
            _store64(record + np.uint64(_R_X0), np.uint64(intno))
            _set(watch, _W_AT_EL2, 0)
            fresh = _word(watch, _W_FRESH) != np.uint64(0)
            spoilt = _load64(record + np.uint64(_R_FLAGS)) & (_WROTE | _OUTSIDE)
            if _look_at_el2(watch) or fresh or spoilt:
                _halt(watch, _LOST)
                return
            _call4(
                _word(state, _WRITE_BATCH),
                _word(state, _UC),
                _word(watch, _W_BACK_IDS),
                _word(watch, _W_BACK_PTRS),
                _word(watch, _W_BACK_COUNT),
            )
            return
    elif intno == _EXCP_UDEF and _word(watch, _W_AT_EL2):
        _read_for_entry(state, np.uint64(2))
        pc = _load64(_word(state, _ENTRY_VALUES) + np.uint64(8 * V_RETURN))
        if _gic_access(watch, state, pc):
            return
    _set(state, _INTNO, intno)
    _halt(watch, _EXCEPTION)


HOOKS = {
    hook.__name__: hook
    for hook in (call_begins, call_ends, block_begins, memory_written, exception_taken)
}
