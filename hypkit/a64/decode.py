"""One A64 instruction word taken apart: its text, the memory it touches, what it reads and writes.

>>> decode(0xf9400000).text()
'ldr x0, [x0]'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from hypkit.a64 import disassembler, effects
from hypkit.a64.effects import Operation
from hypkit.a64.memory import MemoryOperand, memory_operand
from hypkit.a64.registers import MASK64, sign_extended
from hypkit.errors import whole


@dataclass(frozen=True)
class Instruction:
    """An instruction without its address.

    Attributes:
        word: the 32 bits.
        mnemonic, operands: as a disassembler prints them; a PC-relative operand is "{}".
        target: the offset of that operand from the PC (from its page for ADRP), in bytes; None
            where there is none.
        memory: what it loads or stores, None for another.
        operation: what it is, reads and writes.
    """

    word: int
    mnemonic: str
    operands: str
    target: int | None
    memory: MemoryOperand | None
    operation: Operation

    def text(
        self, pc: int | None = None, name: Callable[[int], str | None] = lambda address: None
    ) -> str:
        """Return the instruction as a disassembler prints it.

        pc: its address; without one a PC-relative operand is a distance, ".+0x8". name: from an
        address to its name, or None where it has none.
        """
        operands = self.operands
        if pc is not None:
            pc = whole("pc", pc)
        if self.target is not None:
            operands = operands.replace("{}", self._place(pc, self.target, name))
        return f"{self.mnemonic} {operands}".rstrip()

    def _place(self, pc: int | None, target: int, name: Callable[[int], str | None]) -> str:
        if pc is None:
            return f".{target:+#x}" if target else "."
        base = pc & ~0xFFF if self.mnemonic == "adrp" else pc
        address = base + target & MASK64
        return name(address) or f"{address:#x}"

    def facts(self) -> dict[str, Any]:
        """Return everything that is known of the word, ready for JSON.

        The keys are the attributes of Operation, and of MemoryOperand below "memory" (None for
        what accesses no memory); "reads" and "writes" are register names, each once.
        """
        operation = asdict(self.operation)
        return operation | {
            "word": self.word,
            "mnemonic": self.mnemonic,
            "operands": self.operands,
            "target": self.target,
            "reads": list(self.operation.inputs),
            "writes": list(self.operation.outputs),
            "chosen": self.operation.chosen and list(self.operation.chosen),
            "memory": self.memory and asdict(self.memory) | {"registers": [*self.memory.registers]},
        }


def _relative(word: int) -> int | None:
    """Return the signed byte offset of a PC-relative operand (C4.1.66), None if there is none."""
    if word & 0x7C000000 == 0x14000000:  # B, BL
        return sign_extended(word & 0x3FFFFFF, 26) * 4
    if word & 0xFF000010 == 0x54000000 or word & 0x7E000000 == 0x34000000:  # B.cond, CBZ, CBNZ
        return sign_extended(word >> 5 & 0x7FFFF, 19) * 4
    if word & 0x7E000000 == 0x36000000:  # TBZ, TBNZ
        return sign_extended(word >> 5 & 0x3FFF, 14) * 4
    if word & 0x3B000000 == 0x18000000:  # LDR (literal)
        return sign_extended(word >> 5 & 0x7FFFF, 19) * 4
    if word & 0x1F000000 == 0x10000000:  # ADR, ADRP
        offset = sign_extended((word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3, 21)
        return offset << 12 if word >> 31 else offset
    return None


@lru_cache(maxsize=65536)
def decode(word: int) -> Instruction:
    """Take a 32-bit instruction word apart; a word that is no instruction becomes '.inst'.

    Raises ValueError for what is not one 32-bit number.
    """
    word = effects.checked(word)
    found = disassembler.spelled(word)
    if found is None:
        return Instruction(word, ".inst", f"{word:#010x}", None, None, Operation(""))
    mnemonic, operands = found
    target = _relative(word)
    if target is not None:
        head, _, _ = operands.rpartition("#")
        operands = head + "{}"
    return Instruction(
        word, mnemonic, operands, target, memory_operand(word), effects.operation(word)
    )


# So many instructions after an ADRP may its other half be.
_NEAR = 4


def spelled(
    pc: int, word_at: Callable[[int], int | None], name: Callable[[int], str | None]
) -> str:
    """Return the text of the instruction at *pc*, with the names that its source used.

    An ADRP is named by the address that it makes with the ADD, load or store after it, and not by
    whatever label its page begins with; without such a one the page is a number.

    Args:
        pc: the instruction's address.
        word_at: from an address to the instruction word there, None where none is known.
        name: from an address to its name, None where it has none.
    """
    instruction = decode(word_at(pc) or 0)
    if instruction.mnemonic != "adrp":
        return instruction.text(pc, name)
    whole = _whole_address(instruction, pc, word_at)
    return instruction.text(pc, lambda page: None if whole is None else name(whole))


def _whole_address(adrp: Instruction, pc: int, word_at: Callable[[int], int | None]) -> int | None:
    """Return the address of which an ADRP makes the upper part; None if nothing near adds to it."""
    assert adrp.target is not None
    register, page = adrp.word & 31, (pc & ~0xFFF) + adrp.target & MASK64
    for at in range(pc + 4, pc + 4 * _NEAR + 4, 4):
        word = word_at(at)
        if word is None:
            return None
        if word & 0xFFC00000 == 0x91000000 and word >> 5 & 31 == register:  # add, 64 bits
            return page + (word >> 10 & 0xFFF)
        after = decode(word)
        memory = after.memory
        if memory and memory.base == f"x{register}" and not memory.index and not memory.writeback:
            return page + memory.offset
        if after.operation.flow or f"x{register}" in after.operation.outputs:
            return None
    return None
