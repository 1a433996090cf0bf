"""What boot rewrites in the code, once the layout is known."""

from __future__ import annotations

import struct

from hypkit.a64.effects import NOP
from hypkit.a64.registers import MASK64
from hypkit.kernel.addresses import DRAM_BASE, Layout


def _kern_hyp_va_words(register: int, steps: tuple[int, int, int, int, int]) -> tuple[int, ...]:
    """and, ror, add, add lsl #12, ror on one register: mask width in bits, then four immediates."""
    mask_bits, ror_low, add_low, add_high, ror_high = steps
    rn_rd = register << 5 | register
    return (
        0x92400000 | mask_bits - 1 << 10 | rn_rd,
        0x93C00000 | register << 16 | ror_low << 10 | rn_rd,
        0x91000000 | add_low << 10 | rn_rd,
        0x91400000 | add_high << 10 | rn_rd,
        0x93C00000 | register << 16 | ror_high << 10 | rn_rd,
    )


_PLACEHOLDERS = {
    struct.pack("<5I", *_kern_hyp_va_words(register, (1, 1, 0, 0, 63))): register
    for register in range(31)
}


def patch_kern_hyp_va(code: bytearray, layout: Layout, *, vhe: bool = False) -> list[int]:
    """Rewrite every five-instruction placeholder in *code*; the offsets that were patched.

    vhe: with nothing at all, because the host's addresses are EL2's.

    As kvm_update_va_mask of va_layout.c does: the kernel keeps a list of sites, we look for the
    placeholder, which no other code has a use for.
    """
    sites = []
    for offset in range(0, len(code) - 19, 4):
        register = _PLACEHOLDERS.get(bytes(code[offset : offset + 20]))
        if register is None:
            continue
        steps = (
            layout.tag_lsb,
            layout.tag_lsb,
            layout.tag_val & 0xFFF,
            layout.tag_val >> 12,
            64 - layout.tag_lsb,
        )
        words = (NOP,) * 5 if vhe else _kern_hyp_va_words(register, steps)
        struct.pack_into("<5I", code, offset, *words)
        sites.append(offset)
    return sites


def move_word(register: int, part: int, shift: int) -> int:
    """Return the word of movz (shift 0) or movk (16, 32, 48) of 16 bits into an X register."""
    return (0xF2800000 if shift else 0xD2800000) | shift // 16 << 21 | part << 5 | register


def _move_words(register: int, value: int) -> tuple[int, ...]:
    """movz and three movk: all of a 64-bit value."""
    return tuple(move_word(register, value >> shift & 0xFFFF, shift) for shift in (0, 16, 32, 48))


_MOVE_PLACEHOLDERS = {
    struct.pack("<4I", *_move_words(register, 0)): register for register in range(31)
}


def patch_kimg_phys_offset(code: bytearray, layout: Layout) -> list[int]:
    """Rewrite every four-move placeholder with kimage_voffset + PHYS_OFFSET; the offsets patched.

    As kvm_update_kimg_phys_offset of Linux 5.11 does.
    """
    sites = []
    for offset in range(0, len(code) - 15, 4):
        register = _MOVE_PLACEHOLDERS.get(bytes(code[offset : offset + 16]))
        if register is not None:
            words = _move_words(register, layout.kimage_voffset + DRAM_BASE & MASK64)
            struct.pack_into("<4I", code, offset, *words)
            sites.append(offset)
    return sites
