"""PSTATE and SPSR: the flags, the mask bits, and which exception level they name."""

from __future__ import annotations

# --- PSTATE as SPSR_ELx lays it out (C5.2.18) --------------------------------------------------

PSTATE_N, PSTATE_Z, PSTATE_C, PSTATE_V = 1 << 31, 1 << 30, 1 << 29, 1 << 28
PSTATE_DAIF = 0x3C0
PSTATE_IL = 1 << 20
PSTATE_NRW = 1 << 4  # AArch32
PSTATE_EL1H = 0b0101
PSTATE_EL2H = 0b1001


def el_of(pstate: int) -> int:
    """Return the exception level that a PSTATE value belongs to: 0 to 3."""
    return (pstate >> 2) & 3


def nzcv_text(pstate: int) -> str:
    """Return the condition flags as four characters, as debuggers print them: '-Z--'."""
    flags = (("N", PSTATE_N), ("Z", PSTATE_Z), ("C", PSTATE_C), ("V", PSTATE_V))
    return "".join(letter if pstate & bit else "-" for letter, bit in flags)
