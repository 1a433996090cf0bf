"""The words of A64 instructions that depend on the PC or that Keystone does not know (Arm ARM C4.1,
C6.2, C7.2)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from hypkit.a64.conditions import NUMBERS
from hypkit.a64.registers import MASK64
from hypkit.asm.canonical import REGISTERS, Evaluate, Operand, immediate, value_of
from hypkit.asm.expressions import Complaint, Unknown, complain_relocation, signed

# The hint space, C6.2.97, and two barriers that Keystone 0.9.2 lacks.
PLAIN_WORDS = {
    name: 0xD503201F | number << 5
    for name, number in {
        "nop": 0, "yield": 1, "wfe": 2, "wfi": 3, "sev": 4, "sevl": 5, "dgh": 6, "xpaclri": 7,
        "pacia1716": 8, "pacib1716": 10, "autia1716": 12, "autib1716": 14, "esb": 16,
        "psb csync": 17, "tsb csync": 18, "csdb": 20, "paciaz": 24, "paciasp": 25, "pacibz": 26,
        "pacibsp": 27, "autiaz": 28, "autiasp": 29, "autibz": 30, "autibsp": 31, "bti": 32,
        "bti c": 34, "bti j": 36, "bti jc": 38,
    }.items()
} | {"sb": 0xD50330FF, "ssbb": 0xD503309F, "pssbb": 0xD503349F}  # fmt: skip


# Cryptography, which Keystone does not have (C4.1.96 and C7.2): the word, and its operands' shapes.
CRYPTO = {
    "aese": (0x4E284800, "v.16b v.16b"), "aesd": (0x4E285800, "v.16b v.16b"),
    "aesmc": (0x4E286800, "v.16b v.16b"), "aesimc": (0x4E287800, "v.16b v.16b"),
    "sha1c": (0x5E000000, "q s v.4s"), "sha1p": (0x5E001000, "q s v.4s"),
    "sha1m": (0x5E002000, "q s v.4s"), "sha1su0": (0x5E003000, "v.4s v.4s v.4s"),
    "sha256h": (0x5E004000, "q q v.4s"), "sha256h2": (0x5E005000, "q q v.4s"),
    "sha256su1": (0x5E006000, "v.4s v.4s v.4s"), "sha1h": (0x5E280800, "s s"),
    "sha1su1": (0x5E281800, "v.4s v.4s"), "sha256su0": (0x5E282800, "v.4s v.4s"),
    "pmull": (0x0EE0E000, "v.1q v.1d v.1d"), "pmull2": (0x4EE0E000, "v.1q v.2d v.2d"),
}  # fmt: skip
FMOV = {"s": 0x1E201000, "d": 0x1E601000}  # C7.2.131
FMOV_VECTOR = {"2s": 0x0F00F400, "4s": 0x4F00F400, "2d": 0x6F00F400}  # C7.2.129
SIMD = re.compile(r"([bhsdqv])(\d+)(\.\w+)?$")


def plain_word(parts: tuple[str, ...]) -> int | None:
    """Return the word of what needs no engine: hints, UDF, cryptography, FMOV of a number.

    None for everything else, and for what does not exist.
    """
    name = parts[0]
    if name == "udf" and len(parts) == 2 and parts[1][0] == "#":
        n = int(parts[1][1:], 0)
        return n if 0 <= n <= 0xFFFF else None
    if name in CRYPTO:
        return _crypto(parts)
    if name == "fmov" and len(parts) == 3 and parts[2][0] == "#":
        return _fmov(parts[1], float(parts[2][1:]))
    return PLAIN_WORDS.get(" ".join(parts))


def _crypto(parts: tuple[str, ...]) -> int | None:
    word, shapes = CRYPTO[parts[0]]
    wanted = shapes.split()
    found = [SIMD.match(op) for op in parts[1:]]
    if len(found) != len(wanted):
        return None
    for match, shape, place in zip(found, wanted, (0, 5, 16), strict=False):
        if match is None or f"{match.group(1)}{match.group(3) or ''}" != shape:
            return None
        word |= int(match.group(2)) << place
    return word


def is_bitmask(n: int, width: int) -> bool:
    """Return whether a number is a bitmask immediate: one run of ones, rotated, repeated over
    elements of 2 to `width` bits (DecodeBitMasks)."""
    n &= (1 << width) - 1
    if n in (0, (1 << width) - 1):
        return False
    size = width
    while size > 2 and n >> size // 2 & (1 << size // 2) - 1 == n & (1 << size // 2) - 1:
        size //= 2
        n &= (1 << size) - 1
    # One run, seen as a ring: the bits change twice.
    turned = n >> 1 | (n & 1) << size - 1
    return (n ^ turned).bit_count() == 2


def is_one_mov(n: int, width: int) -> bool:
    """Return whether one MOV (MOVZ, MOVN, ORR) brings a number into a register of that width."""
    n &= (1 << width) - 1
    other = n ^ (1 << width) - 1
    halves = range(0, width, 16)
    return any(v & ~(0xFFFF << at) == 0 for v in (n, other) for at in halves) or is_bitmask(
        n, width
    )


def float_bits(value: float) -> int | None:
    """Return the 8 bits of a floating-point immediate, VFPExpandImm backwards; None if none fit."""
    for bits in range(256):
        exponent = (bits >> 4 & 7 ^ 4) - 3
        if (-1 if bits >> 7 else 1) * (16 + (bits & 15)) / 16 * 2.0**exponent == value:
            return bits
    return None


def _fmov(register: str, value: float) -> int | None:
    match, bits = SIMD.match(register), float_bits(value)
    if match is None or bits is None:
        return None
    kind, number, shape = match.group(1), int(match.group(2)), (match.group(3) or "")[1:]
    if kind == "v" and shape in FMOV_VECTOR:
        return FMOV_VECTOR[shape] | (bits >> 5) << 16 | (bits & 31) << 5 | number
    return FMOV[kind] | bits << 13 | number if kind in FMOV else None


def is_pc_relative(mnemonic: str, ops: Sequence[Operand]) -> bool:
    """Return whether an instruction's word depends on where it lies."""
    if mnemonic in ("b", "bl", "cbz", "cbnz", "tbz", "tbnz", "adr", "adrp"):
        return True
    if mnemonic in ("ldr", "ldrsw", "prfm"):
        return len(ops) == 2 and ops[1][0][0] != "[" and ops[1][0].lower() not in REGISTERS
    return branch_condition(mnemonic) is not None


def branch_condition(mnemonic: str) -> int | None:
    """Return the condition's number of `b.eq` or, as GNU as takes it, `beq`."""
    if mnemonic.startswith("b."):
        return NUMBERS.get(mnemonic[2:])
    if len(mnemonic) == 3 and mnemonic[0] == "b" and mnemonic != "bal":
        return NUMBERS.get(mnemonic[1:])
    return None


def register(op: Operand, kinds: str, zero: bool = True) -> tuple[int, str]:
    """Return (number, width letter) of a general register; `kinds` says which widths are allowed."""
    text, at = op
    name = REGISTERS.get(text.lower())
    if name is None or name[0] not in "xw":
        wanted = " or ".join(f"{k}0 to {k}30" for k in kinds)
        raise Complaint(f"expected a register ({wanted}), not {text!r}", at)
    if name[0] not in kinds:
        raise Complaint(f"{text!r} has the wrong width here, {kinds}{name[1:]} would fit", at)
    if name == "wsp":
        raise Complaint("the stack pointer cannot be used here", at)
    return (31 if name[1:] == "zr" else int(name[1:])), name[0]


def _count(mnemonic: str, ops: Sequence[Operand], want: int, shape: str) -> None:
    if len(ops) != want:
        raise Complaint(f"{mnemonic} takes {want} operand{'s' * (want != 1)}: {shape}", None)


def offset_of(op: Operand, pc: int, evaluate: Evaluate) -> int:
    """Return the distance from the instruction to its target. As in GNU as, a plain number is a distance."""
    text, at = op
    if text.startswith("#"):
        text, at = text[1:], at + 1
    if text.startswith(":"):
        raise complain_relocation(at)
    if text.startswith("="):
        raise Complaint("`=value` is for ldr only, written `ldr x0, =value`", at)
    if text.startswith("[") or text.lower() in REGISTERS:
        hint = "" if text[0] == "[" else " (a branch to a register is `br x0` or `blr x0`)"
        raise Complaint(f"expected a label, not {text!r}{hint}", at)
    value = value_of(text, at, evaluate, "label")
    if value.places not in (0, 1):
        raise Complaint(f"{text!r} adds up addresses", at)
    if not value.places and value.n & 3 and text.isdigit():
        for way, where in (("f", "ahead"), ("b", "before")):
            with contextlib.suppress(Unknown):
                evaluate(text + way, at)
                raise Complaint(
                    f"{text} alone is a distance in bytes; the label `{text}:` {where} is written "
                    f"`{text}{way}`",
                    at,
                )
    return signed(value.n - pc) if value.places else signed(value.n)


def field(offset: int, bits: int, scale: int, what: str, at: int) -> int:
    """Return a signed, scaled offset as an instruction field of `bits - scale` bits."""
    reach = 1 << bits
    if not -reach <= offset < reach:
        unit = f"{reach >> 20} MiB" if reach >= 1 << 20 else f"{reach >> 10} KiB"
        raise Complaint(
            f"the target is {abs(offset):#x} bytes {'ahead' if offset > 0 else 'behind'}, "
            f"out of range: {what} reaches {unit} either way"
            + ("; use `adr_l`" if what == "adr" else ""),
            at,
        )
    if offset & ((1 << scale) - 1):
        raise Complaint(
            f"the target is {offset:#x} bytes away, not a multiple of {1 << scale}: misaligned", at
        )
    return (offset >> scale) & ((1 << (bits + 1 - scale)) - 1)


def adr_word(rd: int, offset: int) -> int:
    """Return the word of ADR Xrd, .+offset (C6.2.10)."""
    return 0x10000000 | (offset & 3) << 29 | (offset >> 2 & 0x7FFFF) << 5 | rd


def adrp_word(rd: int, target: int, pc: int, at: int) -> int:
    """Return the word of ADRP Xrd, target (C6.2.11)."""
    pages = signed((target & ~0xFFF) - (pc & ~0xFFF)) >> 12
    if not -(1 << 20) <= pages < 1 << 20:
        raise Complaint(
            f"the target is {abs(pages)} pages of 4 KiB away, out of range: adrp reaches 4 GiB "
            "either way",
            at,
        )
    return adr_word(rd, pages) | 1 << 31


def pc_relative(mnemonic: str, ops: Sequence[Operand], pc: int, evaluate: Evaluate) -> int:
    """Return the word of a branch, adr, adrp or literal load at address `pc`."""
    condition = branch_condition(mnemonic)
    if mnemonic in ("b", "bl"):
        _count(mnemonic, ops, 1, f"{mnemonic} label")
        base = 0x14000000 if mnemonic == "b" else 0x94000000
        return base | field(offset_of(ops[0], pc, evaluate), 27, 2, mnemonic, ops[0][1])
    if condition is not None:
        _count(mnemonic, ops, 1, f"{mnemonic} label")
        offset = offset_of(ops[0], pc, evaluate)
        return 0x54000000 | field(offset, 20, 2, mnemonic, ops[0][1]) << 5 | condition
    if mnemonic in ("cbz", "cbnz"):
        _count(mnemonic, ops, 2, f"{mnemonic} x0, label")
        rt, width = register(ops[0], "xw")
        base = (0x34000000 if mnemonic == "cbz" else 0x35000000) | (width == "x") << 31
        return base | field(offset_of(ops[1], pc, evaluate), 20, 2, mnemonic, ops[1][1]) << 5 | rt
    if mnemonic in ("tbz", "tbnz"):
        _count(mnemonic, ops, 3, f"{mnemonic} x0, #bit, label")
        rt, width = register(ops[0], "xw")
        bit = immediate(*ops[1], evaluate)
        if not 0 <= bit < (64 if width == "x" else 32):
            raise Complaint(f"there is no bit {bit} in {ops[0][0]}", ops[1][1])
        base = 0x36000000 if mnemonic == "tbz" else 0x37000000
        imm = field(offset_of(ops[2], pc, evaluate), 15, 2, mnemonic, ops[2][1])
        return base | (bit >> 5) << 31 | (bit & 31) << 19 | imm << 5 | rt
    if mnemonic in ("adr", "adrp"):
        _count(mnemonic, ops, 2, f"{mnemonic} x0, label")
        rd, _ = register(ops[0], "x")
        if mnemonic == "adr":
            return adr_word(rd, _adr_field(ops[1], pc, evaluate))
        return adrp_word(rd, address(ops[1], evaluate, "adrp"), pc, ops[1][1])
    _count(mnemonic, ops, 2, f"{mnemonic} x0, label")
    offset = offset_of(ops[1], pc, evaluate)
    return literal_word(mnemonic, ops, offset, evaluate)


def _adr_field(op: Operand, pc: int, evaluate: Evaluate) -> int:
    return field(offset_of(op, pc, evaluate), 20, 0, "adr", op[1])


def address(op: Operand, evaluate: Evaluate, what: str) -> int:
    """Return the address that an operand names. Raises Complaint for a plain number."""
    text, at = op
    if text.startswith(":") or text.startswith("#:"):
        raise complain_relocation(at)
    value = value_of(text.removeprefix("#"), at, evaluate, "label")
    if value.places != 1:
        raise Complaint(f"{what} needs a label; {text!r} is a plain number", at)
    return value.n & MASK64


def literal_word(mnemonic: str, ops: Sequence[Operand], offset: int, evaluate: Evaluate) -> int:
    """Return the word of LDR, LDRSW or PRFM (literal), C6.2.167."""
    text, at = ops[0]
    imm = field(offset, 20, 2, f"{mnemonic} of a label", ops[1][1]) << 5
    if mnemonic == "prfm":
        kinds = {f"{t}l{c}{p}": (i << 3) | (c - 1) << 1 | (p == "strm")
                 for i, t in enumerate(("pld", "pli", "pst")) for c in (1, 2, 3)
                 for p in ("keep", "strm")}  # fmt: skip
        operation = kinds.get(text.lower())
        if operation is None:
            operation = immediate(text, at, evaluate) & 31
        return 0xD8000000 | imm | operation
    low = text.lower()
    if mnemonic == "ldr" and low[:1] in "sdq" and low in REGISTERS and low != "sp":
        return {"s": 0x1C000000, "d": 0x5C000000, "q": 0x9C000000}[low[0]] | imm | int(low[1:])
    rt, width = register(ops[0], "x" if mnemonic == "ldrsw" else "xw")
    if mnemonic == "ldrsw":
        return 0x98000000 | imm | rt
    return (0x58000000 if width == "x" else 0x18000000) | imm | rt


def far_pair(mnemonic: str, ops: Sequence[Operand], pc: int, evaluate: Evaluate) -> tuple[int, int]:
    """Return the two words of adr_l, ldr_l or str_l: ADRP and the instruction that adds the low 12 bits."""
    shape = {"adr_l": "adr_l x0, symbol", "ldr_l": "ldr_l x0, symbol[, tmp]",
             "str_l": "str_l x0, symbol, tmp"}[mnemonic]  # fmt: skip
    if not (len(ops) == 2 + (mnemonic == "str_l") or mnemonic == "ldr_l" and len(ops) == 3):
        raise Complaint(f"{mnemonic} is written `{shape}`", None)
    if mnemonic == "adr_l":
        rd, _ = register(ops[0], "x")
        target = address(ops[1], evaluate, mnemonic)
        return adrp_word(rd, target, pc, ops[1][1]), 0x91000000 | (
            target & 0xFFF
        ) << 10 | rd << 5 | rd
    rt, width = register(ops[0], "xw")
    base = register(ops[2], "x")[0] if len(ops) == 3 else rt
    target = address(ops[1], evaluate, mnemonic)
    size = 3 if width == "x" else 2
    if target & ((1 << size) - 1):
        raise Complaint(
            f"{ops[1][0]} is at {target:#x}, not a multiple of {1 << size}: {mnemonic} cannot "
            f"reach it (put `.balign {1 << size}` before it)",
            ops[1][1],
        )
    word = (0xF9400000 if width == "x" else 0xB9400000) & ~(
        0x00400000 if mnemonic == "str_l" else 0
    )
    low = (target & 0xFFF) >> size
    return adrp_word(base, target, pc, ops[1][1]), word | low << 10 | base << 5 | rt
