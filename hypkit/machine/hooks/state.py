"""What the compiled hooks and Python share: state words, reasons to stop, sets of registers.

The hooks are C callbacks, written in callbacks.py. They talk to Unicorn through the addresses of
its C functions and to Python through one array of 64-bit words, `STATE`; nothing else is shared.
"""

from __future__ import annotations

import ctypes
import enum

import numpy as np
from unicorn import arm64_const as uc_arm64
from unicorn.unicorn_py3.unicorn import uclib

from hypkit.a64.registers import REGISTERS
from hypkit.kernel.addresses import DRAM_SIZE

# RAM that no program is expected to touch is mapped lazily, a chunk at a time, on first access.
CHUNK = 0x20_0000
CHUNKS = DRAM_SIZE // CHUNK


class S(enum.IntEnum):
    """The words of the state array."""

    UC = 0  # the engine's handle
    REG_WRITE = enum.auto()  # addresses of Unicorn's functions
    REG_READ_BATCH = enum.auto()
    REG_WRITE_BATCH = enum.auto()
    EMU_STOP = enum.auto()
    CP = enum.auto()  # address of a uc_arm64_cp_reg for SPSR_ELx
    ENTRY_VALUES = enum.auto()  # addresses of exception entry's values and register sets
    ENTRY_READ_IDS = enum.auto()
    ENTRY_READ_PTRS = enum.auto()
    ENTRY_WRITE_IDS = enum.auto()
    ENTRY_WRITE_PTRS = enum.auto()
    ENTRY_FAR_IDS = enum.auto()
    STOP = enum.auto()  # out: why a hook stopped the run, a Stop
    INTNO = enum.auto()  # out: the exception that Python should look at
    HVC_PC0 = enum.auto()  # two remembered HVCs: the address after each, and where its word lies
    HVC_WORD0 = enum.auto()  # in this process
    HVC_PC1 = enum.auto()
    HVC_WORD1 = enum.auto()
    STEPS = enum.auto()  # instructions traced or counted so far in this run
    BUDGET = enum.auto()  # stop before the instruction with this number
    REG_IDS = enum.auto()  # addresses of the batch's register numbers and value pointers
    REG_PTRS = enum.auto()
    REGS = enum.auto()  # address of the values the batch reads
    PREVIOUS = enum.auto()  # address of the values of the row before
    MEM_MAP = enum.auto()  # address of Unicorn's function
    STRAYED = enum.auto()  # address of a byte for each chunk of RAM: was it touched unexpectedly
    PCS = enum.auto()  # addresses of the trace columns, and how full they are
    MASKS = enum.auto()
    VALUES = enum.auto()
    ROW = enum.auto()
    ROWS = enum.auto()
    VALUE = enum.auto()
    VALUE_ROOM = enum.auto()
    VMEM_TRANSLATE = enum.auto()  # addresses of Unicorn's functions
    MEM_READ = enum.auto()
    RAM_START = enum.auto()  # expected RAM: its physical address, its size, and where it lies in
    RAM_SIZE = enum.auto()  # this process
    RAM_HOST = enum.auto()
    SCRATCH = enum.auto()  # address of two words for results of Unicorn's functions
    CODE_PAGES = enum.auto()  # address of a table: page and EL -> where the page lies here
    SEEN = enum.auto()  # address of a table: PC + 1 -> the word last executed there
    NEWS = enum.auto()  # address of records (step, PC, word): words executed for the first time, or
    NEW = enum.auto()  # changed; and their number
    BLOCKS = enum.auto()  # address of a table of blocks without, or already watched for, an LDAR
    SIZE = enum.auto()


class Stop(enum.IntEnum):
    """Why a hook stopped a run."""

    ASLEEP = 0  # no hook did: the processor waits for an interrupt
    EXCEPTION = 1  # Python decides what the exception is and enters it
    BUDGET = 2
    BUFFER = 3  # the trace columns are full
    MISALIGNED = 4  # PC is not a multiple of four: QEMU 5's code would run on
    STUCK = 5  # exception after exception, and no instruction in between
    LOST = 6  # the program went, or reached, where there is no memory
    EXIT = 7  # it came to an address before which a run ends
    ILLEGAL = 8  # PSTATE.IL is set: QEMU 5's code would run on
    UNALIGNED = 9  # a load-acquire or store-release of a bad address: QEMU 5's code would run on
    ACQUIRE = 10  # a block holds a load-acquire or store-release that has to be watched


TRACE_IDS = np.array(
    [
        *(getattr(uc_arm64, f"UC_ARM64_REG_X{n}") for n in range(31)),
        uc_arm64.UC_ARM64_REG_SP,
        uc_arm64.UC_ARM64_REG_PSTATE,
    ],
    dtype=np.int32,
)
# Rows are compared in groups of eight; what is beyond the last register stays zero.
GROUPS = -(-len(REGISTERS) // 8)
ROW_WORDS = 8 * GROUPS

# The registers of exception entry, each set in one call of Unicorn: what is read for a target EL,
# and what is written for the bank that SP belonged to and a target EL. The order of the writes
# matters: PSTATE before CP_REG, because Unicorn recomputes the execution state that a write of
# PSTATE left stale only on a later system-register write (unicorn issue 2333); PC last.
_ELX = {
    name: [getattr(uc_arm64, f"UC_ARM64_REG_{name}_EL{el}") for el in (0, 1, 2)]
    for name in ("SP", "ELR", "ESR", "FAR", "VBAR")
}
_PC, _SP, _PSTATE = (getattr(uc_arm64, f"UC_ARM64_REG_{name}") for name in ("PC", "SP", "PSTATE"))
ENTRY_READ_IDS = np.array(
    [[_PSTATE, _SP, _ELX["SP"][el], _ELX["VBAR"][el], _PC] for el in (1, 2)], dtype=np.int32
)
ENTRY_WRITE_IDS = np.array(
    [
        [
            [
                _ELX["SP"][bank],
                _SP,
                _ELX["ELR"][el],
                _ELX["ESR"][el],
                _PSTATE,
                uc_arm64.UC_ARM64_REG_CP_REG,
                _PC,
            ]
            for el in (1, 2)
        ]
        for bank in (0, 1, 2)
    ],
    dtype=np.int32,
)
ENTRY_FAR_IDS = np.array(_ELX["FAR"][1:], dtype=np.uint64)
# Slots of the entry's values.
(V_OLD_PSTATE, V_SP, V_NEW_SP, V_VBAR, V_RETURN, V_ELR, V_ESR, V_PSTATE, V_PC, V_FAR) = range(10)
ENTRY_VALUES = 10
ENTRY_READS = (V_OLD_PSTATE, V_SP, V_NEW_SP, V_VBAR, V_RETURN)
# None stands for the CP_REG structure.
ENTRY_WRITES = (V_SP, V_NEW_SP, V_ELR, V_ESR, V_PSTATE, None, V_PC)


# The tables that map an address to what was found there: slots, each of two words. A slot is used
# by whoever comes next.
CODE_PAGE_SLOTS = 64
SEEN_SLOTS = 1024
BLOCK_SLOTS = 4096
NEWS_WORDS = 3


class CpReg(ctypes.Structure):
    """uc_arm64_cp_reg: a system register by encoding, and its value."""

    _fields_ = [
        ("crn", ctypes.c_uint32),
        ("crm", ctypes.c_uint32),
        ("op0", ctypes.c_uint32),
        ("op1", ctypes.c_uint32),
        ("op2", ctypes.c_uint32),
        ("val", ctypes.c_uint64),
    ]


def function_address(name: str) -> int:
    """Return the address of one of Unicorn's C functions."""
    return ctypes.cast(getattr(uclib, name), ctypes.c_void_p).value or 0


# Enters an exception: take_exception of callbacks.py.
TAKE_EXCEPTION = ctypes.CFUNCTYPE(None, *[ctypes.c_uint64] * 6)
# Reads the word of code at a virtual address: code_word of callbacks.py.
CODE_WORD = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
