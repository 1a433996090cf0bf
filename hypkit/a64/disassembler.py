"""What Capstone says of an instruction word: its text, and the registers of what we do not decode.

The kit's one Capstone engine. System registers are named as in the Arm ARM, also where Capstone
knows them by number only.
"""

from __future__ import annotations

from functools import lru_cache

import capstone

from hypkit.a64 import sysregs


@lru_cache(maxsize=1)
def _engine() -> capstone.Cs:
    engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    engine.detail = True
    return engine


def spelled(word: int) -> tuple[str, str] | None:
    """Return (mnemonic, operands) of a word at address 0; None where it is no instruction."""
    move = sysregs.decode_sysreg_move(word)
    if move and move[1] in sysregs.SYSREG_NAMES:
        kind, encoding, rt = move
        register = "xzr" if rt == 31 else f"x{rt}"
        name = sysregs.SYSREG_NAMES[encoding].lower()
        return kind, f"{register}, {name}" if kind == "mrs" else f"{name}, {register}"
    found = next(_engine().disasm_lite(word.to_bytes(4, "little"), 0), None)
    return found and (found[2], found[3])


@lru_cache(maxsize=1)
def mnemonics() -> frozenset[str]:
    """Return every A64 mnemonic that Capstone knows, of whatever version of the architecture."""
    names = (_engine().insn_name(number) for number in range(1, 4000))
    return frozenset(name.lower() for name in names if name)


def registers(word: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the registers that a word reads and those that it writes, as Capstone lists them.

    Named x0..x30, sp, nzcv; others are left out. Nothing for what is no instruction.
    """
    found = next(_engine().disasm(word.to_bytes(4, "little"), 0), None)
    if found is None:
        return (), ()
    reads, writes = (tuple(filter(None, map(_name, numbers))) for numbers in found.regs_access())
    return reads, writes


def _name(number: int) -> str:
    """Name one of Capstone's register numbers as we do; "" for one that nobody here follows."""
    name = _engine().reg_name(number) or ""
    name = {"lr": "x30", "fp": "x29", "wsp": "sp"}.get(name, name)
    if name in ("sp", "nzcv"):
        return name
    return f"x{name[1:]}" if name[:1] in ("x", "w") and name[1:].isdigit() else ""
