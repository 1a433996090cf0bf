"""Rows of a run as both emulators give them, and what may differ between them, one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from hypkit import arch
from hypkit.trace import REGISTERS, Trace

Row = tuple[int, ...]  # pc, x0 .. x30, sp, nzcv, el
COLUMNS = ("pc", *REGISTERS[:-1], "nzcv", "el")
# Rows a golden digest covers: small enough to say where two runs part.
CHUNK = 64

# DIFFERENCE 1. A data abort that EL2 takes from itself: QEMU 7.2 fills ISS[24:14] (ISV, SAS, SSE,
# SRT, SF, AR) whenever it knows the instruction and the abort goes to EL2. The Arm ARM (ESR_EL2, ISS
# for a Data Abort) allows a valid syndrome only for aborts from stage 2 translation, which EL2's own
# regime has not got; our machine leaves the bits zero. The value shows up where hyp_panic reads
# ESR_EL2 and passes it on in x3.
ISV_BITS = 0x7FF << 14


def _is_own_data_abort(value: int) -> bool:
    return value >> 32 == 0 and value >> arch.ESR_EC_SHIFT == arch.EC_DABT_SAME


def normalized(row: Row) -> Row:
    """A row without what is known to differ."""
    return tuple(value & ~ISV_BITS if _is_own_data_abort(value) else value for value in row)


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
        pstate = registers[-1]
        yield (pc, *registers[:-1], pstate >> 28, arch.el_of(pstate))


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
