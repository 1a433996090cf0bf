"""The system registers that hypkit knows: how they are encoded, and what their fields say."""

from __future__ import annotations

import difflib
from typing import NamedTuple

from hypkit.errors import UnknownName

# --- System registers --------------------------------------------------------------------------


class Encoding(NamedTuple):
    """The five numbers that MRS and MSR carry."""

    op0: int
    op1: int
    crn: int
    crm: int
    op2: int

    @property
    def generic(self) -> str:
        """Return the name that every assembler takes: s3_4_c12_c11_1."""
        return f"s{self.op0}_{self.op1}_c{self.crn}_c{self.crm}_{self.op2}"


SYSREGS: dict[str, Encoding] = {
    name: Encoding(*numbers)
    for name, numbers in {
        "MIDR_EL1": (3, 0, 0, 0, 0),
        "MPIDR_EL1": (3, 0, 0, 0, 5),
        "ID_AA64MMFR0_EL1": (3, 0, 0, 7, 0),
        "CurrentEL": (3, 0, 4, 2, 2),
        "SCTLR_EL1": (3, 0, 1, 0, 0),
        "CPACR_EL1": (3, 0, 1, 0, 2),
        "TTBR0_EL1": (3, 0, 2, 0, 0),
        "TTBR1_EL1": (3, 0, 2, 0, 1),
        "TCR_EL1": (3, 0, 2, 0, 2),
        "SPSR_EL1": (3, 0, 4, 0, 0),
        "ELR_EL1": (3, 0, 4, 0, 1),
        "SP_EL0": (3, 0, 4, 1, 0),
        "SP_EL1": (3, 4, 4, 1, 0),
        "ESR_EL1": (3, 0, 5, 2, 0),
        "FAR_EL1": (3, 0, 6, 0, 0),
        "PAR_EL1": (3, 0, 7, 4, 0),
        "MAIR_EL1": (3, 0, 10, 2, 0),
        "VBAR_EL1": (3, 0, 12, 0, 0),
        "CONTEXTIDR_EL1": (3, 0, 13, 0, 1),
        "TPIDR_EL1": (3, 0, 13, 0, 4),
        "TPIDR_EL0": (3, 3, 13, 0, 2),
        "CNTKCTL_EL1": (3, 0, 14, 1, 0),
        "VPIDR_EL2": (3, 4, 0, 0, 0),
        "VMPIDR_EL2": (3, 4, 0, 0, 5),
        "SCTLR_EL2": (3, 4, 1, 0, 0),
        "HCR_EL2": (3, 4, 1, 1, 0),
        "MDCR_EL2": (3, 4, 1, 1, 1),
        "CPTR_EL2": (3, 4, 1, 1, 2),
        "HSTR_EL2": (3, 4, 1, 1, 3),
        "TTBR0_EL2": (3, 4, 2, 0, 0),
        "TCR_EL2": (3, 4, 2, 0, 2),
        "VTTBR_EL2": (3, 4, 2, 1, 0),
        "VTCR_EL2": (3, 4, 2, 1, 2),
        "SPSR_EL2": (3, 4, 4, 0, 0),
        "ELR_EL2": (3, 4, 4, 0, 1),
        "ESR_EL2": (3, 4, 5, 2, 0),
        "FAR_EL2": (3, 4, 6, 0, 0),
        "HPFAR_EL2": (3, 4, 6, 0, 4),
        "MAIR_EL2": (3, 4, 10, 2, 0),
        "VBAR_EL2": (3, 4, 12, 0, 0),
        "TPIDR_EL2": (3, 4, 13, 0, 2),
        "CNTVOFF_EL2": (3, 4, 14, 0, 3),
        "CNTHCTL_EL2": (3, 4, 14, 1, 0),
        "SCR_EL3": (3, 6, 1, 1, 0),
        "ICC_SRE_EL1": (3, 0, 12, 12, 5),
        "ICC_SRE_EL2": (3, 4, 12, 9, 5),
        "ICH_HCR_EL2": (3, 4, 12, 11, 0),
        "ICH_VTR_EL2": (3, 4, 12, 11, 1),
        "ICH_VMCR_EL2": (3, 4, 12, 11, 7),
        **{f"ICH_AP0R{n}_EL2": (3, 4, 12, 8, n) for n in range(4)},
        **{f"ICH_AP1R{n}_EL2": (3, 4, 12, 9, n) for n in range(4)},
        **{f"ICH_LR{n}_EL2": (3, 4, 12, 12 + n // 8, n % 8) for n in range(16)},
    }.items()
}
SYSREG_NAMES: dict[Encoding, str] = {encoding: name for name, encoding in SYSREGS.items()}
# Parts of PSTATE that MRS and MSR reach: no registers of their own.
_PSTATE = {
    Encoding(3, 3, 4, 2, 0): "NZCV",
    Encoding(3, 3, 4, 2, 1): "DAIF",
    Encoding(3, 0, 4, 2, 0): "SPSel",
}
# What the core says of itself: no MSR writes it.
READ_ONLY = ("MIDR_EL1", "MPIDR_EL1", "ID_AA64MMFR0_EL1", "CurrentEL", "ICH_VTR_EL2")
_BY_UPPER = {name.upper(): name for name in SYSREGS}


def sysreg(name: str) -> str:
    """Return a system register's name as the Arm ARM spells it, whatever the case given.

    Raises KeyError, naming the nearest known register, for a name that is not in SYSREGS: a silent
    zero for a misspelt register hides bugs.
    """
    found = _BY_UPPER.get(str(name).upper())
    if found is None:
        near = difflib.get_close_matches(str(name).upper(), _BY_UPPER, 1)
        hint = f"; the nearest known one is {_BY_UPPER[near[0]]}" if near else ""
        raise UnknownName(f"no system register {name!r} is known here{hint}")
    return found


def register_name(encoding: Encoding) -> str:
    """Return what MRS and MSR with these five numbers move, by its name or else by the numbers."""
    return SYSREG_NAMES.get(encoding) or _PSTATE.get(encoding) or encoding.generic


# MRS and MSR (register): bits 31 to 20 fixed but for L, then op0 .. op2, then Rt (C5.1.3).
def decode_sysreg_move(word: int) -> tuple[str, Encoding, int] | None:
    """Return ('mrs' or 'msr', register, Rt) when *word* moves a system register, else None."""
    if word & 0xFFD00000 != 0xD5100000:
        return None
    encoding = Encoding(
        2 + (word >> 19 & 1), word >> 16 & 7, word >> 12 & 15, word >> 8 & 15, word >> 5 & 7
    )
    return ("mrs" if word & 1 << 21 else "msr"), encoding, word & 31


# Fields a learner meets, high bit first: register -> [(name, high, low, meaning)].
FIELDS: dict[str, list[tuple[str, int, int, str]]] = {
    "ESR_ELx": [
        ("EC", 31, 26, "exception class"),
        ("IL", 25, 25, "32-bit instruction"),
        ("ISS", 24, 0, "syndrome, by class"),
    ],
    "SPSR_ELx": [
        ("N", 31, 31, "negative"),
        ("Z", 30, 30, "zero"),
        ("C", 29, 29, "carry"),
        ("V", 28, 28, "overflow"),
        ("D", 9, 9, "debug masked"),
        ("A", 8, 8, "SError masked"),
        ("I", 7, 7, "IRQ masked"),
        ("F", 6, 6, "FIQ masked"),
        ("M", 3, 0, "exception level and stack pointer"),
    ],
    "HCR_EL2": [
        ("E2H", 34, 34, "VHE"),
        ("RW", 31, 31, "EL1 is AArch64"),
        ("TGE", 27, 27, "trap general exceptions"),
        ("TWI", 13, 13, "trap WFI"),
        ("VM", 0, 0, "stage 2 translation on"),
    ],
    "SCTLR_ELx": [
        ("DSSBS", 44, 44, "speculative store bypass safe"),
        ("WXN", 19, 19, "writable implies XN"),
        ("I", 12, 12, "instruction cache"),
        ("SA", 3, 3, "SP alignment check"),
        ("C", 2, 2, "data cache"),
        ("A", 1, 1, "alignment check"),
        ("M", 0, 0, "MMU on"),
    ],
    "VTTBR_EL2": [
        ("VMID", 63, 48, "the VM's identifier"),
        ("BADDR", 47, 1, "stage 2 table"),
        ("CnP", 0, 0, "common, not private"),
    ],
    "VBAR_ELx": [("BASE", 63, 11, "vector table, 2 KiB aligned")],
    "HPFAR_EL2": [("FIPA", 43, 4, "faulting IPA, bits 51 to 12")],
}
PSTATE_MODES = {
    0b0000: "EL0t",
    0b0100: "EL1t",
    0b0101: "EL1h",
    0b1000: "EL2t",
    0b1001: "EL2h",
    0b1100: "EL3t",
    0b1101: "EL3h",
}


def fields(register: str, value: int) -> list[tuple[str, int, str]]:
    """Return the fields of *value* as (name, number, meaning), [] where no fields are recorded.

    register: a name of SYSREGS in any case; KeyError for another. value: 64 bits, unsigned.
    """
    name = sysreg(register)
    generic = name[:-1] + "x" if name[-1].isdigit() else name
    known = FIELDS.get(name) or FIELDS.get(generic, [])
    return [
        (field, value >> low & (1 << high - low + 1) - 1, meaning)
        for field, high, low, meaning in known
    ]
