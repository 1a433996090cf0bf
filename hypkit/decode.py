"""One A64 instruction word taken apart: its text, and the memory it touches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import capstone
from capstone import arm64

from hypkit import arch

_MD = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
_MD.detail = True

_EXTENDS = {
    arm64.ARM64_EXT_UXTW: lambda v: v & 0xFFFFFFFF,
    arm64.ARM64_EXT_SXTW: lambda v: (v & 0xFFFFFFFF) - ((v & 0x80000000) << 1),
}


@dataclass(frozen=True)
class MemoryOperand:
    """An access as the instruction spells it: how to compute its address from registers."""

    kind: str  # "load" or "store"
    base: str | None  # None: relative to the PC
    index: str | None
    extend: int
    shift: int
    offset: int
    size: int  # bytes, all registers together
    registers: tuple[str, ...]  # what is loaded into or stored from, in address order
    signed: bool = False  # the value is sign-extended
    wide: bool = True  # a register is 64 bits wide
    writeback: bool = False

    def address(self, pc: int, read: Callable[[str], int]) -> int:
        """The virtual address, given the PC and a function from register name to value."""
        address = pc if self.base is None else read(self.base)
        if self.index is not None:
            address += _EXTENDS.get(self.extend, lambda v: v)(read(self.index)) << self.shift
        return address + self.offset & (1 << 64) - 1

    @property
    def element(self) -> int:
        """Bytes per register."""
        return self.size // max(1, len(self.registers))


@dataclass(frozen=True)
class Instruction:
    """An instruction without its address; branch and PC-relative targets are in *target*."""

    word: int
    mnemonic: str
    operands: str
    target: int | None  # offset from the PC, for branches and address computations
    memory: MemoryOperand | None

    def text(self, pc: int, name: Callable[[int], str | None] = lambda address: None) -> str:
        """As a disassembler prints it, with PC-relative operands named where *name* knows them."""
        operands = self.operands
        if self.target is not None:
            base = pc & ~0xFFF if self.mnemonic == "adrp" else pc
            address = base + self.target & (1 << 64) - 1
            operands = operands.replace("{}", name(address) or f"{address:#x}")
        return f"{self.mnemonic} {operands}".rstrip()


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 & 1 else value


def _relative(word: int) -> int | None:
    """The signed byte offset of a PC-relative operand (C4.1.66), None when there is none."""
    if word & 0x7C000000 == 0x14000000:  # B, BL
        return _signed(word & 0x3FFFFFF, 26) * 4
    if word & 0xFF000010 == 0x54000000 or word & 0x7E000000 == 0x34000000:  # B.cond, CBZ, CBNZ
        return _signed(word >> 5 & 0x7FFFF, 19) * 4
    if word & 0x7E000000 == 0x36000000:  # TBZ, TBNZ
        return _signed(word >> 5 & 0x3FFF, 14) * 4
    if word & 0x3B000000 == 0x18000000:  # LDR (literal)
        return _signed(word >> 5 & 0x7FFFF, 19) * 4
    if word & 0x1F000000 == 0x10000000:  # ADR, ADRP
        offset = _signed((word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3, 21)
        return offset << 12 if word >> 31 else offset
    return None


def _register_bytes(name: str) -> int:
    return {"w": 4, "s": 4, "b": 1, "h": 2, "d": 8, "q": 16}.get(name[0], 8)


def _plain(name: str) -> str:
    """A trace's name for a register operand: w5 is x5, lr is x30; xzr stays."""
    name = {"lr": "x30", "fp": "x29", "wsp": "sp", "wzr": "xzr"}.get(name, name)
    return "x" + name[1:] if name[0] == "w" and name[1:].isdigit() else name


_SIZED = {"b": 1, "h": 2, "w": 4}


def _access_bytes(mnemonic: str, register: str) -> int:
    """Bytes moved for one register: ldrsw moves 4 into an x register."""
    stem = mnemonic.removeprefix("ld").removeprefix("st")
    for suffix, size in (("sb", 1), ("sh", 2), ("sw", 4), ("rb", 1), ("rh", 2)):
        if stem.endswith(suffix) and mnemonic not in ("ldrsw",):
            return size
    return 4 if mnemonic in ("ldrsw", "ldursw", "ldpsw") else _register_bytes(register)


def _memory(insn) -> MemoryOperand | None:
    literal = insn.bytes[3] & 0x3B == 0x18 and insn.mnemonic in ("ldr", "ldrsw")
    operand = next((op for op in insn.operands if op.type == arm64.ARM64_OP_MEM), None)
    if operand is None and not literal or not insn.mnemonic.startswith(("ld", "st")):
        return None
    registers = [insn.reg_name(op.reg) for op in insn.operands if op.type == arm64.ARM64_OP_REG]
    if "xr" in insn.mnemonic:  # store-exclusive: the first register is the status
        if insn.mnemonic.startswith("st"):
            registers = registers[1:]
    each = _access_bytes(insn.mnemonic, registers[0])
    kind = "load" if insn.mnemonic.startswith("ld") else "store"
    names = tuple(_plain(name) for name in registers)
    signed = insn.mnemonic.startswith(("ldrs", "ldurs", "ldps"))
    wide = registers[0][0] not in "wbhs"
    if operand is None:
        return MemoryOperand(kind, None, None, 0, 0, 0, each, names, signed, wide)
    mem = operand.mem
    # Post-indexed: the register form of the offset is another operand, the address is the base.
    post = insn.writeback and not insn.op_str.rstrip().endswith("!")
    return MemoryOperand(
        kind, _plain(insn.reg_name(mem.base)),
        _plain(insn.reg_name(mem.index)) if mem.index else None,
        operand.ext, operand.shift.value if operand.shift.type else 0,
        0 if post else mem.disp, each * len(names), names, signed,
        wide, bool(insn.writeback))


@lru_cache(maxsize=65536)
def decode(word: int) -> Instruction:
    """Take a 32-bit instruction word apart; words that are no instruction become '.inst'."""
    move = arch.decode_sysreg_move(word)
    if move and move[1] in arch.SYSREG_NAMES:
        # By the name of the Arm ARM, also where the disassembler knows the register by number only.
        kind, encoding, rt = move
        register = "xzr" if rt == 31 else f"x{rt}"
        name = arch.SYSREG_NAMES[encoding].lower()
        operands = f"{register}, {name}" if kind == "mrs" else f"{name}, {register}"
        return Instruction(word, kind, operands, None, None)
    insn = next(_MD.disasm(word.to_bytes(4, "little"), 0), None)
    if insn is None:
        return Instruction(word, ".inst", f"{word:#010x}", None, None)
    target = _relative(word)
    operands = insn.op_str
    if target is not None:
        head, _, _ = operands.rpartition("#")
        operands = head + "{}"
    memory = _memory(insn)
    if memory is not None and memory.base is None:
        memory = MemoryOperand(**{**memory.__dict__, "offset": target})
    return Instruction(word, insn.mnemonic, operands, target, memory)
