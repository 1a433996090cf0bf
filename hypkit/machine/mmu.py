"""Translation as the system registers have it at the moment."""

from __future__ import annotations

from unicorn import Uc
from unicorn import arm64_const as uc_arm64

from hypkit.a64 import syndrome
from hypkit.a64.pagetables import Walk, walk
from hypkit.a64.sysregs import SYSREGS
from hypkit.machine.ram import Ram

# TCR_EL1: a half of the addresses for which no table is walked.
EPD0, EPD1 = 1 << 7, 1 << 23
PHYSICAL_BITS = 44  # a Cortex-A72's, ID_AA64MMFR0_EL1.PARange


def system_register(uc: Uc, name: str) -> int:
    """Return a system register of SYSREGS as Unicorn has it."""
    op0, op1, crn, crm, op2 = SYSREGS[name]
    value: int = uc.reg_read(uc_arm64.UC_ARM64_REG_CP_REG, (crn, crm, op0, op1, op2))
    return value


class Mmu:
    """Walks the page tables in *ram* where the system registers of *uc* say they are.

    Tables are read as little-endian, with 4 KiB pages and 48-bit addresses, whatever TCR_ELx says.
    """

    def __init__(self, uc: Uc, ram: Ram) -> None:
        self._uc, self._ram = uc, ram

    def _sysreg(self, name: str) -> int:
        return system_register(self._uc, name)

    def translate(self, va: int, el: int) -> Walk:
        """Walk the tables of EL2's regime, or that of EL1 and EL0; a VM's has stage 2 as well."""
        if el == 2:
            if not self._sysreg("SCTLR_EL2") & 1:
                return _untranslated(va, "EL2, MMU off")
            return self._walk("EL2", None if va >> 48 else "TTBR0_EL2", va)
        if not self._sysreg("SCTLR_EL1") & 1:
            first = _untranslated(va, "EL1, MMU off")
        else:
            root, off = {0: ("TTBR0_EL1", EPD0), 0xFFFF: ("TTBR1_EL1", EPD1)}.get(
                va >> 48, (None, 0)
            )
            if root and self._sysreg("TCR_EL1") & off:
                root = None
            first = self._walk("EL1", root, va)
        if first.pa is None or not self._sysreg("HCR_EL2") & 1:
            return first
        second = self.translate_ipa(first.pa, self._sysreg("VTTBR_EL2"), self._sysreg("VTCR_EL2"))
        return Walk(va, first.regime, first.levels, second.pa, second.fsc, second)

    def translate_ipa(self, ipa: int, vttbr: int, vtcr: int) -> Walk:
        """Stage 2: an intermediate physical address through the tables of vttbr."""
        bits = 64 - min(max(vtcr & 0x3F, 16), 39)  # T0SZ beyond these counts as these
        start = 2 - (vtcr >> 6 & 3)
        # SL0 and T0SZ must fit together: no more than 16 tables side by side (D5.2.3).
        fits = start >= 0 and 1 <= bits - 12 - 9 * (3 - start) <= 13
        if not fits or ipa >> bits:
            return Walk(ipa, "stage 2", (), None, syndrome.FSC_TRANSLATION)
        return walk(
            self._table_word,
            vttbr & 0xFFFF_FFFF_FFFE,
            ipa,
            regime="stage 2",
            input_bits=bits,
            start_level=start,
        )

    def _walk(self, regime: str, root: str | None, va: int) -> Walk:
        if root is None:  # the address is in neither half
            return Walk(va, regime, (), None, syndrome.FSC_TRANSLATION)
        return walk(self._table_word, self._sysreg(root), va, regime=regime)

    def _table_word(self, pa: int) -> int:
        # A table outside RAM, or in RAM that was never touched, reads as zero: no translation.
        return self._ram.load64(pa) if self._ram.in_use(pa) else 0

    def fetch(self, pc: int, el: int) -> int | None:
        """Return the instruction word at a virtual address, None where nothing is mapped."""
        pa = self.translate(pc & ~3, el).pa
        if pa is None or not self._ram.in_use(pa):
            return None
        return int.from_bytes(self._ram.load(pa, 4), "little")


def _untranslated(va: int, regime: str) -> Walk:
    """A walk with the MMU off: the address itself, if it fits in the physical address size."""
    if va >> PHYSICAL_BITS:
        return Walk(va, regime, (), None, syndrome.FSC_ADDRESS_SIZE)
    return Walk(va, regime, (), va)
