"""What the hooks that watch a hostile host share with Python: words, records and flags."""

from __future__ import annotations

import enum


class W(enum.IntEnum):
    """The words of the watch, 64 bits each: what the hooks and Python share."""

    STATE = 0  # the address of the machine's own state array
    RECORD = enum.auto()  # address of the record of the call being made
    CALLS = enum.auto()  # how many were begun in this run
    ENTRY = enum.auto()  # vectors and dispatcher: a list of (start, end), hyp addresses; 0 ends it
    TEXT, TEXT_END = enum.auto(), enum.auto()  # all the hyp text, as hyp addresses
    IDMAP, IDMAP_END = enum.auto(), enum.auto()  # the stub calls' code, at its physical addresses
    VM, VM_END = enum.auto(), enum.auto()  # where a guest's code lies
    WINDOW, WINDOW_END = enum.auto(), enum.auto()  # all hyp addresses of RAM
    AT_EL2 = enum.auto()  # whether the block being executed is EL2's
    STEPS, BUDGET = enum.auto(), enum.auto()  # instructions of this call, and how many it may take
    OWN = enum.auto()  # physical addresses that EL2 may write: a list of (start, end), 0 ends it
    REQUEST = enum.auto()  # the host's pointer to this call's request, and ...
    REQUESTS_AT = enum.auto()  # ... where the first one lies for Python
    REQUESTS = enum.auto()  # ... and for the host
    HOST_IDS, HOST_PTRS, HOST_REGS = enum.auto(), enum.auto(), enum.auto()
    BEFORE = enum.auto()  # address of HOST_REGISTERS as the host had them before the call
    KEPT = enum.auto()  # a bit for each of x0 to x18 that this ABI gives back as it was
    FRESH = enum.auto()  # whether no call is made after an abort of EL2's
    VECTOR_IDS, VECTOR_PTRS, VECTOR_COUNT = (enum.auto() for _ in range(3))
    VECTORS, VECTORS_BEFORE, VECTOR_WORDS = (enum.auto() for _ in range(3))
    EL2_IDS, EL2_PTRS, EL2_REGS, EL2_MASKS, EL2_COUNT = (enum.auto() for _ in range(5))
    EL2_BASE = enum.auto()  # address of what they should hold
    SEEN = enum.auto()  # address of a byte for each hash of a way: how often EL2 was looked at
    BACK_IDS, BACK_PTRS, BACK_COUNT = enum.auto(), enum.auto(), enum.auto()
    TEXT_AT = enum.auto()  # where the hyp text lies for Python
    ICH_CODES, ICH_VALUES, ICH_MASKS, ICH_COUNT = (enum.auto() for _ in range(4))
    ICH_VMCR = enum.auto()  # which of them is ICH_VMCR_EL2
    ONE_PTR = enum.auto()  # a place for the value of one register
    PC_ID = enum.auto()
    READ = enum.auto()  # address of uc_reg_read
    EL2_SCTLR = enum.auto()  # which of EL2's registers is SCTLR_EL2
    SIZE = enum.auto()


class R(enum.IntEnum):
    """The words of a record."""

    WAY = 0  # a hash of the blocks that EL2 executed
    TARGET = enum.auto()  # the first block after vectors and dispatcher
    FLAGS = enum.auto()
    WHERE = enum.auto()  # the instruction at which EL2 took an abort, 0 where none was fetched
    WROTE = enum.auto()  # the first physical address written that is not EL2's own
    X0, X1, X2, X3 = (enum.auto() for _ in range(4))
    REGISTER = enum.auto()  # 1 + the place in NAMED of the first register that a flag is about
    SIZE = enum.auto()


class F(enum.IntFlag):
    """What a record says of a call."""

    RETURNED = 1
    PANICKED = enum.auto()  # hyp_panic brought the host to its panic
    ABORT = enum.auto()  # EL2 took an abort, and the host went on with the next request
    OUTSIDE = enum.auto()  # EL2 executed code that is no hyp text
    WROTE = enum.auto()  # EL2 wrote memory that is not its own
    STATE = enum.auto()  # an EL2 register is not what it was
    CLOBBERED = enum.auto()  # a register that this ABI keeps was changed: x19 to x29 or sp
    LEAKED = enum.auto()  # a hyp address that the host did not have is in x0 to x18 afterwards
    RUNAWAY = enum.auto()
    STOPPED = enum.auto()  # something else ended the run
    VECTORS = enum.auto()  # q0 to q31, FPSR or FPCR was changed
    RESTARTED = enum.auto()  # EL2 went on at an address that it was sent, with its MMU off
    REBOOTED = enum.auto()  # the kernel's entry was reached: it starts again


HOST_REGISTERS = (*(f"x{n}" for n in range(30)), "sp")
VECTOR_REGISTERS = (*(f"q{n}" for n in range(32)), "fpsr", "fpcr")  # a host finds them as they were
NAMED = HOST_REGISTERS + VECTOR_REGISTERS
LOOKS = 8  # how often a way's effect on EL2's registers is looked at
# What stands in place of that number for a way that changes them, or the vector registers. The
# register that it is about is added to the latter.
DIRTY, SPOILT = 1 << 32, 1 << 33
