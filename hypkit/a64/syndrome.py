"""Exceptions as the architecture numbers them: classes, syndromes, vectors and faults."""

from __future__ import annotations

from dataclasses import dataclass

# --- Exceptions --------------------------------------------------------------------------------

# What Unicorn passes to an interrupt hook: QEMU's EXCP_* of target/arm/cpu.h, which the Python
# binding does not export.
EXCP_UDEF, EXCP_SWI, EXCP_PREFETCH_ABORT, EXCP_DATA_ABORT = 1, 2, 3, 4
EXCP_BKPT, EXCP_HVC, EXCP_HYP_TRAP, EXCP_SMC = 7, 11, 12, 13

# Exception classes, ESR_ELx.EC (D17.2.37).
EC_UNKNOWN = 0x00
EC_FP = 0x07
EC_ILLEGAL_STATE = 0x0E
EC_HVC32 = 0x12
EC_SVC64 = 0x15
EC_HVC64 = 0x16
EC_SMC64 = 0x17
EC_SYSREG = 0x18
EC_IABT_LOWER, EC_IABT_SAME = 0x20, 0x21
EC_PC_ALIGN = 0x22
EC_DABT_LOWER, EC_DABT_SAME = 0x24, 0x25
EC_SP_ALIGN = 0x26
EC_BRK64 = 0x3C

EC_NAMES = {
    EC_UNKNOWN: "undefined instruction",
    EC_ILLEGAL_STATE: "illegal execution state",
    EC_FP: "access to SVE, SIMD or floating point",
    EC_HVC32: "HVC from AArch32",
    EC_SVC64: "SVC from AArch64",
    EC_HVC64: "HVC from AArch64",
    EC_SMC64: "SMC from AArch64",
    EC_SYSREG: "trapped MSR, MRS or system instruction",
    EC_IABT_LOWER: "instruction abort from a lower exception level",
    EC_IABT_SAME: "instruction abort, same exception level",
    EC_PC_ALIGN: "PC alignment fault",
    EC_DABT_LOWER: "data abort from a lower exception level",
    EC_DABT_SAME: "data abort, same exception level",
    EC_SP_ALIGN: "SP alignment fault",
    EC_BRK64: "BRK instruction",
}
# Those that write FAR_ELx; after any other it holds what an earlier one left (D17.2.40).
EC_WITH_FAR = {EC_IABT_LOWER, EC_IABT_SAME, EC_PC_ALIGN, EC_DABT_LOWER, EC_DABT_SAME}
ESR_EC_SHIFT = 26
ESR_IL = 1 << 25

# Offsets into a vector table (D1.3.1.5): by where the exception comes from; synchronous is first.
VECTOR_SAME_SP0, VECTOR_SAME_SPX, VECTOR_LOWER_A64, VECTOR_LOWER_A32 = 0x000, 0x200, 0x400, 0x600
VECTOR_SLOT = 0x80

FAULT_KINDS = {
    0b0000: "address size fault",
    0b0001: "translation fault",
    0b0010: "access flag fault",
    0b0011: "permission fault",
}
FSC_ADDRESS_SIZE, FSC_TRANSLATION, FSC_ACCESS_FLAG, FSC_PERMISSION = 0x00, 0x04, 0x08, 0x0C
FSC_ALIGNMENT = 0x21


def fault_text(fsc: int) -> str:
    """Return a fault status code in words: 0x07 is 'translation fault, level 3'."""
    if fsc == FSC_ALIGNMENT:
        return "alignment fault"
    kind = FAULT_KINDS.get(fsc >> 2)
    return f"{kind}, level {fsc & 3}" if kind else f"fault status {fsc:#x}"


def esr_text(esr: int) -> str:
    """Return a syndrome in words.

    Such as 'instruction abort, same exception level: translation fault, level 0'.

    esr: ESR_EL1 or ESR_EL2; of a data abort the words end in '(read)' or '(write)'.
    """
    ec = (esr >> ESR_EC_SHIFT) & 0x3F
    text = EC_NAMES.get(ec, f"exception class {ec:#x}")
    if ec in (EC_IABT_LOWER, EC_IABT_SAME):
        return f"{text}: {fault_text(esr & 0x3F)}"
    if ec in (EC_DABT_LOWER, EC_DABT_SAME):
        return f"{text}: {fault_text(esr & 0x3F)} ({'write' if esr & 1 << 6 else 'read'})"
    if ec in (EC_HVC32, EC_SVC64, EC_HVC64, EC_SMC64, EC_BRK64):
        return f"{text}, immediate {esr & 0xFFFF:#x}"
    return text


def exception_text(esr: int, far: int, name: str) -> str:
    """Return a syndrome in words, with the fault address where the exception wrote it.

    esr, far: the registers' values; name: what to call the fault address register.
    """
    with_far = esr >> ESR_EC_SHIFT & 0x3F in EC_WITH_FAR
    return esr_text(esr) + (f", {name} {far:#x}" if with_far else "")


@dataclass(frozen=True)
class Taken:
    """An exception as it was entered after step *step*: what the target EL's registers held.

    far is None for the kinds of exception that leave FAR_ELx alone.
    """

    step: int
    target_el: int
    esr: int
    elr: int
    spsr: int
    far: int | None
