"""Rows of a run as both emulators give them, and what may differ between them, one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from hypkit.a64 import syndrome
from hypkit.a64.pstate import el_of
from hypkit.a64.registers import REGISTERS
from hypkit.trace import Trace

Row = tuple[int, ...]  # pc, x0 .. x30, sp, nzcv, el
COLUMNS = ("pc", *REGISTERS[:-1], "nzcv", "el")
# Rows a golden digest covers: small enough to say where two runs part.
CHUNK = 64

# DIFFERENCE 1. A data abort that EL2 takes from itself: QEMU 7.2 fills ISS[24:14] (ISV, SAS, SSE,
# SRT, SF, AR) whenever it knows the instruction and the abort goes to EL2. The Arm ARM (ESR_EL2,
# ISS for a Data Abort) allows a valid syndrome only for aborts from stage 2 translation, which
# EL2's own regime has not got; our machine leaves the bits zero. The value shows up where hyp_panic
# reads ESR_EL2 and passes it on in x3.
ISV_BITS = 0x7FF << 14

# DIFFERENCE 2. A branch to an address that is neither mapped nor a multiple of four: QEMU looks the
# page up first and reports an instruction abort. The Arm ARM (D1.3.5.5, priorities of synchronous
# exceptions) puts the PC alignment fault first, and so does our machine. ELR_EL2 and FAR_EL2 are
# the same. hyp_panic holds the odd ELR_EL2 in x2 when it reads the syndrome into x3.
PC_ALIGNMENT = syndrome.EC_PC_ALIGN << syndrome.ESR_EC_SHIFT | syndrome.ESR_IL
UNMAPPED_FETCH = (
    syndrome.EC_IABT_SAME << syndrome.ESR_EC_SHIFT | syndrome.ESR_IL | syndrome.FSC_TRANSLATION
)
X2, X3 = COLUMNS.index("x2"), COLUMNS.index("x3")


def normalized(row: Row) -> Row:
    """A row without what is known to differ: x3 holds the syndrome in hyp_panic and after it."""
    esr = row[X3]
    if esr >> syndrome.ESR_EC_SHIFT == syndrome.EC_DABT_SAME:
        esr &= ~ISV_BITS
    elif esr & ~3 == UNMAPPED_FETCH and row[X2] & 3:
        esr = PC_ALIGNMENT
    return (*row[:X3], esr, *row[X3 + 1 :])


def of_trace(trace: Trace) -> Iterator[Row]:
    """The rows of one of our traces, the state after the last step included."""
    registers = list(trace.registers(0).values())
    value = 0
    for row, (pc, mask) in enumerate(zip(trace.pcs.tolist(), trace.masks.tolist(), strict=True)):
        if row or mask:
            for bit in range(len(REGISTERS)):
                if mask >> bit & 1:
                    registers[bit] = int(trace.values[value])
                    value += 1
        yield (pc, *registers[:-1], registers[-1] >> 28, el_of(registers[-1]))


def digest(rows: Iterable[Row]) -> list[str]:
    """A short hash for each CHUNK of rows, made of the number of rows so far and their content."""
    digests, hasher, count = [], hashlib.sha256(), 0
    for row in rows:
        hasher.update(repr(normalized(row)).encode())
        count += 1
        if count % CHUNK == 0:
            digests.append(hasher.hexdigest()[:8])
    digests.append(f"{hasher.hexdigest()[:8]}/{count}")
    return digests
