"""Translation as the system registers have it at the moment."""

from __future__ import annotations

from collections.abc import Callable

from hypkit.a64 import syndrome
from hypkit.a64.pagetables import Walk, walk
from hypkit.machine.ram import Ram

PHYSICAL_BITS = 44  # a Cortex-A72's, ID_AA64MMFR0_EL1.PARange


class Mmu:
    """Walks the page tables in *ram* where *sysreg* says they are: a function from a system
    register's name to its value.

    Tables are read as little-endian, with 4 KiB pages and 48-bit addresses, whatever TCR_ELx says.
    """

    def __init__(self, sysreg: Callable[[str], int], ram: Ram) -> None:
        self._sysreg, self._ram = sysreg, ram

    def translate(self, va: int, el: int) -> Walk:
        """Walk the tables of EL2's regime, or that of EL1 and EL0; a VM's has stage 2 as well."""
        if el == 2:
            if not self._sysreg("SCTLR_EL2") & 1:
                return _untranslated(va, "EL2, MMU off")
            return self._walk("EL2", None if va >> 48 else "TTBR0_EL2", va)
        if not self._sysreg("SCTLR_EL1") & 1:
            first = _untranslated(va, "EL1, MMU off")
        else:
            first = self._walk("EL1", {0: "TTBR0_EL1", 0xFFFF: "TTBR1_EL1"}.get(va >> 48), va)
        if first.pa is None or not self._sysreg("HCR_EL2") & 1:
            return first
        second = self.translate_ipa(first.pa, self._sysreg("VTTBR_EL2"), self._sysreg("VTCR_EL2"))
        return Walk(va, first.regime, first.levels, second.pa, second.fsc, second)

    def translate_ipa(self, ipa: int, vttbr: int, vtcr: int) -> Walk:
        """Stage 2: an intermediate physical address through the tables of vttbr."""
        bits = 64 - (vtcr & 0x3F)
        start = 2 - (vtcr >> 6 & 3)
        if ipa >> bits:
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
        """The instruction word at a virtual address, None where nothing is mapped."""
        pa = self.translate(pc & ~3, el).pa
        if pa is None or not self._ram.in_use(pa):
            return None
        return int.from_bytes(self._ram.load(pa, 4), "little")


def _untranslated(va: int, regime: str) -> Walk:
    """A walk with the MMU off: the address itself, if it is none too large."""
    if va >> PHYSICAL_BITS:
        return Walk(va, regime, (), None, syndrome.FSC_ADDRESS_SIZE)
    return Walk(va, regime, (), va)
