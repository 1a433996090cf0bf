"""What a load or a store accesses, read from the bits of its word (Arm ARM, C4.1.88).

Not from a disassembler's operand lists: Capstone 5 counts the status register of STXP as data.
What a Cortex-A72 lacks (atomics, tags, pointer authentication) and what moves a whole structure of
vectors has no MemoryOperand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypkit.a64.registers import MASK64, sign_extended


@dataclass(frozen=True)
class MemoryOperand:
    """What a load or store accesses: how its word spells the address, and the data moved."""

    kind: str  # "load" or "store"
    base: str | None  # None: relative to the PC
    index: str | None
    extend: str  # of the index: "uxtw", "sxtw", or "" for all 64 bits
    shift: int
    offset: int
    size: int  # bytes, all registers together
    registers: tuple[str, ...]  # what is loaded into or stored from, in address order
    signed: bool = False  # the value is sign-extended
    wide: bool = True  # a register is 64 bits wide
    writeback: bool = False
    status: str | None = None  # a store-exclusive's: 1 in it says that nothing was stored

    def address(self, pc: int, read: Callable[[str], Any]) -> Any:
        """Return the virtual address that is accessed, an unsigned 64-bit number.

        pc: the instruction's address; read: from a register's name to its value before the
        instruction. Where read gives uint64 arrays (a value a step), the address is one, too.
        """
        address = pc if self.base is None else read(self.base)
        if self.index is not None:
            value = read(self.index)
            if self.extend:
                value = value & 0xFFFF_FFFF
            if self.extend == "sxtw":
                value = (value ^ 1 << 31) - (1 << 31)
            address = address + (value << self.shift)
        return address + (self.offset & MASK64) & MASK64

    @property
    def element(self) -> int:
        """Return the bytes that each register moves."""
        return self.size // len(self.registers)


def _register(number: int, size: int, vector: int) -> str:
    """Name the register as a trace does, by the *size* it moves: x5 for w5 too, q5 for a vector."""
    if vector:
        return f"{'bhsdq'[size.bit_length() - 1]}{number}"
    return "xzr" if number == 31 else f"x{number}"


def _base(word: int) -> str:
    number = word >> 5 & 31
    return "sp" if number == 31 else f"x{number}"


def memory_operand(word: int) -> MemoryOperand | None:
    """Return what a word loads or stores; None for a word that is no such access."""
    if word & 0x3F00_0000 == 0x0800_0000:
        return _exclusive(word)
    if word & 0x3B00_0000 == 0x1800_0000:
        return _literal(word)
    if word & 0x3A00_0000 == 0x2800_0000:
        return _pair(word)
    if word & 0x3A00_0000 == 0x3800_0000:
        return _single(word)
    return None


def _kind(word: int) -> str:
    return "load" if word >> 22 & 1 else "store"


def _exclusive(word: int) -> MemoryOperand | None:
    """Read an exclusive or ordered access: an address in a register and nothing else."""
    size, ordered, pair = 1 << (word >> 30), word >> 23 & 1, word >> 21 & 1
    # CASP and CAS; LDLAR and STLLR.
    if pair and (ordered or size < 4) or ordered and not word >> 15 & 1:
        return None
    kind = _kind(word)
    registers = (word & 31, word >> 10 & 31) if pair else (word & 31,)
    status = _register(word >> 16 & 31, 4, 0) if kind == "store" and not ordered else None
    return MemoryOperand(
        kind,
        _base(word),
        None,
        "",
        0,
        0,
        size * len(registers),
        tuple(_register(number, size, 0) for number in registers),
        wide=size == 8,
        status=status,
    )


def _literal(word: int) -> MemoryOperand | None:
    option, vector = word >> 30, word >> 26 & 1
    if option == 3:  # PRFM
        return None
    signed = option == 2 and not vector
    size = 4 if signed else 4 << option
    offset = sign_extended(word >> 5 & 0x7FFFF, 19) * 4
    return MemoryOperand(
        "load",
        None,
        None,
        "",
        0,
        offset,
        size,
        (_register(word & 31, size, vector),),
        signed,
        bool(option),
    )


def _pair(word: int) -> MemoryOperand | None:
    option, vector, mode = word >> 30, word >> 26 & 1, word >> 23 & 3
    signed = option == 1 and not vector
    # LDPSW has no store and no non-temporal form.
    if option == 3 or signed and (_kind(word) == "store" or mode == 0):
        return None
    size = 4 << option if vector else 8 if option == 2 else 4
    return MemoryOperand(
        _kind(word),
        _base(word),
        None,
        "",
        0,
        0 if mode == 1 else sign_extended(word >> 15 & 0x7F, 7) * size,
        2 * size,
        (_register(word & 31, size, vector), _register(word >> 10 & 31, size, vector)),
        signed,
        bool(option),
        mode in (1, 3),
    )


def _single(word: int) -> MemoryOperand | None:
    log_size, option, vector, mode = word >> 30, word >> 22 & 3, word >> 26 & 1, word >> 10 & 3
    if vector:
        if option >= 2:  # 16 bytes
            if log_size:
                return None
            log_size = 4
        signed, wide, load = False, log_size >= 3, bool(option & 1)
    else:
        if option >= 2 and log_size == 3 or option == 3 and log_size == 2:  # PRFM, unallocated
            return None
        signed, wide, load = option >= 2, option == 2 or log_size == 3, option != 0
    size = 1 << log_size
    index, extend, shift, offset, writeback = None, "", 0, 0, False
    if word >> 24 & 1:  # unsigned, in units of the size
        offset = (word >> 10 & 0xFFF) * size
    elif word >> 21 & 1:
        how = word >> 13 & 7
        if mode != 2 or not how & 2:  # atomics, pointer authentication; unallocated
            return None
        index, shift = _register(word >> 16 & 31, 8, 0), log_size * (word >> 12 & 1)
        extend = {2: "uxtw", 6: "sxtw"}.get(how, "")
    else:
        if mode == 2 and vector:
            return None
        writeback = mode in (1, 3)
        offset = 0 if mode == 1 else sign_extended(word >> 12 & 0x1FF, 9)
    return MemoryOperand(
        "load" if load else "store",
        _base(word),
        index,
        extend,
        shift,
        offset,
        size,
        (_register(word & 31, size, vector),),
        signed,
        wide,
        writeback,
    )
