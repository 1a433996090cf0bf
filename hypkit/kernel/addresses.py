"""Where the kernel lies: the virtual address layout of arm64 Linux, KASLR and the hyp tag."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hypkit.a64.pagetables import VA_BITS
from hypkit.a64.registers import MASK64
from hypkit.errors import WrongValue, expected, shown, whole

PAGE_OFFSET = 0xFFFF_0000_0000_0000  # the linear map starts here
PAGE_END = 0xFFFF_8000_0000_0000  # ... and ends here; image addresses have bit 47 set
KIMAGE_VADDR = 0xFFFF_8000_1000_0000
TEXT_OFFSET = 0x80000
# RAM where QEMU's virt board has it; its device tree lies at the start, so the image keeps away.
DRAM_BASE, DRAM_SIZE = 0x4000_0000, 0x4000_0000
KIMAGE_PA = 0x4020_0000
KASLR_ALIGN = 0x20_0000  # MIN_KIMG_ALIGN


def image_pa(address: int) -> int:
    """Return the physical address of an image address as linked, before KASLR moves it."""
    return address - KIMAGE_VADDR + KIMAGE_PA


def linked_va(pa: int) -> int:
    """Return the image address as linked, before KASLR, of a physical address."""
    return pa - KIMAGE_PA + KIMAGE_VADDR


SPACES = ("image", "linear", "physical", "hyp")


@dataclass(frozen=True)
class Layout:
    """Where the kernel image and the hyp window lie: two numbers that a seed picks at boot.

    kaslr_offset: bytes, a multiple of 2 MiB, added to every image address.
    random_tag: the bits between tag_lsb and 46 of every hyp address (17 bits with 1 GiB of RAM).
    """

    kaslr_offset: int = 0
    random_tag: int = 0

    def __post_init__(self) -> None:
        offset, tag = whole("kaslr_offset", self.kaslr_offset), whole("random_tag", self.random_tag)
        if offset % KASLR_ALIGN or not 0 <= offset < 1 << VA_BITS - 2:
            most = f"a multiple of 2 MiB below {1 << VA_BITS - 2:#x}"
            raise WrongValue(f"kaslr_offset: {expected(most, offset)}")
        if not 0 <= tag < 1 << VA_BITS - 1 - self.tag_lsb:
            most = f"a number of {VA_BITS - 1 - self.tag_lsb} bits"
            raise WrongValue(f"random_tag: {expected(most, tag)}")

    @classmethod
    def from_seed(cls, seed: int) -> Layout:
        """Return the layout of *seed*; seed 0 is the plain one: no KASLR, no random tag."""
        seed = whole("seed", seed)
        if seed < 0:  # Random would take its absolute value: two seeds, one machine
            raise WrongValue(f"seed: {expected('0, 1, 2, ...', seed)}")
        if seed == 0:
            return cls()
        draw = random.Random(seed)
        # kaslr_early_init keeps to the middle half of the range above KIMAGE_VADDR.
        offset = (1 << VA_BITS - 3) + draw.getrandbits(VA_BITS - 3) // KASLR_ALIGN * KASLR_ALIGN
        return cls(offset, draw.getrandbits(VA_BITS - 1 - cls().tag_lsb))

    # -- the four names --

    @cached_property
    def kimage_voffset(self) -> int:
        """Return the image VA minus PA."""
        return KIMAGE_VADDR + self.kaslr_offset - KIMAGE_PA

    @cached_property
    def physvirt_offset(self) -> int:
        """Return the PA minus the linear VA, as an unsigned 64-bit word (Linux keeps it as s64)."""
        return DRAM_BASE - PAGE_OFFSET & MASK64

    @cached_property
    def lm_offset(self) -> int:
        """Return the image VA minus linear VA: kimage_voffset + physvirt_offset."""
        return self.kimage_voffset + self.physvirt_offset & MASK64

    def image_va(self, pa: int) -> int:
        """Return the image address of a physical one."""
        return whole("a physical address", pa) + self.kimage_voffset & MASK64

    def linear_va(self, pa: int) -> int:
        """Return the address in the linear map of a physical one."""
        return whole("a physical address", pa) - self.physvirt_offset & MASK64

    def hyp_va(self, pa: int) -> int:
        """Return the hyp address of a physical one."""
        return self.kern_hyp_va(self.linear_va(pa))

    def lm_alias(self, image_va: int) -> int:
        """Return the linear-map name of an image address."""
        return whole("an image address", image_va) - self.lm_offset & MASK64

    # -- kern_hyp_va: kvm_compute_layout of va_layout.c --

    @property
    def dram_size(self) -> int:
        """Return the size of RAM in bytes, from DRAM_BASE on."""
        return DRAM_SIZE

    @property
    def page_offset(self) -> int:
        """Return the linear address of the first byte of RAM."""
        return self.linear_va(DRAM_BASE)

    @property
    def private(self) -> Mapping[int, int]:
        """Return physical pages by page of a hyp address, for what kern_hyp_va does not lead to."""
        return {}

    @cached_property
    def tag_lsb(self) -> int:
        """Return the lowest bit that no two linear addresses differ in: the tag starts here."""
        start = self.linear_va(DRAM_BASE)
        return (start ^ self.linear_va(DRAM_BASE + DRAM_SIZE) - 1).bit_length()

    @cached_property
    def va_mask(self) -> int:
        """Return the bits of a linear address that its hyp address keeps: those below the tag."""
        return (1 << self.tag_lsb) - 1

    @cached_property
    def tag_val(self) -> int:
        """Return the tag: bit 47 is the idmap's bit 47 inverted, so hyp addresses never meet the
        idmap."""
        hyp_va_msb = ~KIMAGE_PA >> VA_BITS - 1 & 1
        return hyp_va_msb << VA_BITS - 1 - self.tag_lsb | self.random_tag

    def kern_hyp_va(self, va: int) -> int:
        """Return what the five patched instructions compute. They translate, they check nothing."""
        return whole("an address", va) & self.va_mask | self.tag_val << self.tag_lsb

    # -- back again --

    def space(self, va: int) -> str | None:
        """Return which of SPACES an address belongs to by its bits, or None when it fits none."""
        va = whole("an address", va)
        if DRAM_BASE <= va < DRAM_BASE + DRAM_SIZE:
            return "physical"
        if va >= PAGE_END:
            in_ram = 0 <= va - self.kimage_voffset - DRAM_BASE < DRAM_SIZE
            return "image" if in_ram else None
        if va >= PAGE_OFFSET:
            return "linear" if va - PAGE_OFFSET < DRAM_SIZE else None
        return "hyp" if va >> self.tag_lsb == self.tag_val else None

    def pa(self, va: int) -> int | None:
        """Return the physical address that *va* names in its space, or None when it names none."""
        va = whole("an address", va)
        match self.space(va):
            case "physical":
                return va
            case "image":
                return va - self.kimage_voffset
            case "linear":
                return va - PAGE_OFFSET + DRAM_BASE
            case "hyp":
                return (va & self.va_mask) + DRAM_BASE - (PAGE_OFFSET & self.va_mask)
        return None

    def names(self, address: int) -> dict[str, int]:
        """Return the four names of the byte at *address* (given in any space): space -> address.

        Arithmetic only: whether anything is mapped there is for the page tables to say. Raises
        ValueError for an address that names no byte of RAM.
        """
        pa = self.pa(address)
        if pa is None:
            got = f"{address:#x}" if abs(address) >> 256 == 0 else shown(address)
            raise WrongValue(f"{got} is in none of the four address spaces of this machine")
        return {
            "image": self.image_va(pa),
            "linear": self.linear_va(pa),
            "physical": pa,
            "hyp": self.hyp_va(pa),
        }

    def __repr__(self) -> str:
        return f"Layout(kaslr_offset={self.kaslr_offset:#x}, tag_val={self.tag_val:#x})"
