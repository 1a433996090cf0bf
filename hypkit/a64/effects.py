"""What one A64 instruction word reads, writes and is, as far as the pipeline model asks.

Decoded from the bits (Arm ARM, C4.1), and not from Capstone's register lists: Capstone 5 calls the
first operand of CMP and TST written, says that LSL by a constant reads its target, that CBZ reads
the flags and that RET reads nothing. What a load or store moves is read in a64.decode.
Capstone gives the text, and the registers of what is not priced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import index
from typing import SupportsIndex

import capstone

from hypkit.a64.decode import decode


@dataclass(frozen=True, slots=True)
class Operation:
    """One instruction: its class (a key of data/cores.toml, "" when it has no price there).

    reads: (register, operand kind), in the order of the operands; the kind says how early a core
    may forward into it ("" for no sooner than the latency). writes: the registers a result goes
    to, base: the address register written back. drains: a context synchronisation or barrier,
    after which nothing starts before all before it is done. Registers are named x0..x30, sp, nzcv;
    the zero register is in neither list.
    """

    kind: str
    reads: tuple[tuple[str, str], ...] = ()
    writes: tuple[str, ...] = ()
    base: str = ""
    drains: bool = False


@lru_cache(maxsize=4096)
def operation(word: int) -> Operation:
    """The operation in a 32-bit A64 word; ValueError for what is not one 32-bit number."""
    word = checked(word)
    group = word >> 25 & 0xF
    if group & 0xE == 0x8:
        found = _immediate(word)
    elif group & 0xE == 0xA:
        found = _branch(word)
    elif group & 0x5 == 0x4:
        found = _memory(word)
    elif group & 0x7 == 0x5:
        found = _register(word)
    else:
        found = None
    return found or _unpriced(word)


@lru_cache(maxsize=4096)
def text(word: int) -> str:
    """The word as Capstone writes it, or as .word."""
    word = checked(word)
    insn = next(_capstone().disasm(word.to_bytes(4, "little"), 0), None)
    return f"{insn.mnemonic} {insn.op_str}".strip() if insn else f".word {word:#010x}"


def checked(word: SupportsIndex) -> int:
    """`word` as a Python integer, or ValueError where it cannot be an instruction."""
    try:
        number = -1 if isinstance(word, bool) else index(word)
    except TypeError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise ValueError(f"an A64 instruction is one 32-bit word (0 to 0xffffffff), not {word!r}")
    return number


@lru_cache(maxsize=1)
def _capstone() -> capstone.Cs:
    engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    engine.detail = True
    return engine


def _unpriced(word: int) -> Operation:
    insn = next(_capstone().disasm(word.to_bytes(4, "little"), 0), None)
    if insn is None:
        return Operation("")
    reads, writes = (tuple(filter(None, map(_name, r))) for r in insn.regs_access())
    return Operation("", tuple((r, "") for r in reads), writes)


def _name(number: int) -> str:
    """Capstone's register number as one of our names; "" for one that the model does not follow."""
    name = _capstone().reg_name(number) or ""
    name = {"lr": "x30", "fp": "x29", "wsp": "sp"}.get(name, name)
    if name in ("sp", "nzcv"):
        return name
    return f"x{name[1:]}" if name[:1] in ("x", "w") and name[1:].isdigit() else ""


# --- Fields ---------------------------------------------------------------------------------------


def _x(number: int) -> str:
    """Register `number` where 31 is the zero register: no dependence at all."""
    return "" if number == 31 else f"x{number}"


def _sp(number: int) -> str:
    """Register `number` where 31 is the stack pointer."""
    return "sp" if number == 31 else f"x{number}"


def _rd(word: int) -> int:
    return word & 31


def _rn(word: int) -> int:
    return word >> 5 & 31


def _rm(word: int) -> int:
    return word >> 16 & 31


def _ra(word: int) -> int:
    return word >> 10 & 31


def _make(
    kind: str, reads: Iterable[tuple[str, str]] = (), writes: Iterable[str] = (), base: str = ""
) -> Operation:
    return Operation(kind, tuple(r for r in reads if r[0]), tuple(filter(None, writes)), base)


# --- Data processing with a constant (C4.1.86) ----------------------------------------------------


def _immediate(word: int) -> Operation | None:
    form, option, wide = word >> 23 & 7, word >> 29 & 3, word >> 31
    rd, rn = _rd(word), _rn(word)
    if form < 2:  # adr, adrp
        return _make("alu", (), (_x(rd),))
    if form == 2:  # add, adds, sub, subs
        flags = option & 1
        writes = (_x(rd), "nzcv") if flags else (_sp(rd),)
        return _make("alu", ((_sp(rn), "alu"),), writes)
    if form == 4:  # and, orr, eor, ands
        writes = (_x(rd), "nzcv") if option == 3 else (_sp(rd),)
        return _make("alu", ((_x(rn), "alu"),), writes)
    if form == 5 and option != 1:  # movn, movz; movk keeps the rest of its target
        if option == 3:
            return _make("alu", ((_x(rd), "alu"),), (_x(rd),))
        return _make("move", (), (_x(rd),))
    if form == 6 and option != 3:  # sbfm, ubfm: every shift by a constant; bfm keeps the rest
        if option == 1:
            return _make("insert", ((_x(rd), "alu"), (_x(rn), "")), (_x(rd),))
        return _make("shift", ((_x(rn), "alu"),), (_x(rd),))
    if form == 7 and option == 0:  # extr; with one register twice it is a rotation
        kind = ("ror" if rn == _rm(word) else "extr") + ("" if wide else "_w")
        return _make(kind, ((_x(rn), "extract_high"), (_x(_rm(word)), "")), (_x(rd),))
    return None


# --- Branches, exceptions, system (C4.1.87) -------------------------------------------------------

# Nothing after one of these starts before all before it is done (Arm ARM, B2.3.12, D1.3).
_DRAINS: tuple[tuple[int, int], ...] = (
    (0xFF000000, 0xD4000000),  # svc, hvc, smc, brk, hlt
    (0xFFFFFFFF, 0xD69F03E0),  # eret
    (0xFFFFF0FF, 0xD50330DF),  # isb
    (0xFFFFF0FF, 0xD503309F),  # dsb
    (0xFFFFF0FF, 0xD50330FF),  # sb
)


def _branch(word: int) -> Operation | None:
    if word & 0x7C000000 == 0x14000000:
        return _make("call", (), ("x30",)) if word >> 31 else _make("branch")
    if word & 0xFF000010 == 0x54000000:
        return _make("branch", (("nzcv", ""),))
    if word & 0x7C000000 == 0x34000000:  # cbz, cbnz, tbz, tbnz
        return _make("branch", ((_x(_rd(word)), ""),))
    if word & 0xFF9FFC1F == 0xD61F0000 and word >> 21 & 3 != 3:  # br, blr, ret
        target = ((_x(_rn(word)), ""),)
        if word >> 21 & 3 == 1:
            return _make("call_reg", target, ("x30",))
        return _make("branch_reg", target)
    if word == 0xD503201F:
        return _make("nop")
    if word & 0xFFD00000 == 0xD5100000:  # msr, mrs: no price, but their registers matter
        register, flags = _x(_rd(word)), "nzcv" if word & 0xFFDFFFE0 == 0xD51B4200 else ""
        if word >> 21 & 1:
            return _make("", ((flags, ""),), (register,))
        return _make("", ((register, ""),), (flags,))
    return Operation("", drains=any(word & mask == value for mask, value in _DRAINS))


# --- Loads and stores (C4.1.88) -------------------------------------------------------------------


def _memory(word: int) -> Operation | None:
    operand = decode(word).memory
    # Exclusive and ordered accesses, vector registers and LDPSW have no price.
    if operand is None or word & 0x3F000000 == 0x08000000 or word >> 26 & 1:
        return None
    load, pair = operand.kind == "load", len(operand.registers) == 2
    if pair and operand.signed:
        return None
    data = ["" if name == "xzr" else name for name in operand.registers]
    back = operand.base if operand.writeback else ""
    kind = (
        operand.kind
        + ("_pair" if pair else "")
        + (
            "_wb"
            if back
            else "_reg"
            if operand.index
            else "_w"
            if load and pair and not operand.wide
            else ""
        )
    )
    address = [(operand.base or "", "index_base" if operand.index else "")]
    if operand.index:
        address.append(("" if operand.index == "xzr" else operand.index, ""))
    if load and pair:
        # Both places are kept, a zero register too: the second has a latency of its own.
        return Operation(kind, tuple(address), tuple(data), back)
    if load:
        return _make(kind, address, data, back)
    stored = [(name, "index_data" if operand.index else "") for name in data]
    return _make(kind, [*stored, *address], (), back)


# --- Data processing with registers (C4.1.89) -----------------------------------------------------


def _register(word: int) -> Operation | None:
    if not word >> 28 & 1:
        return _add(word) if word >> 24 & 1 else _logical(word)
    if word >> 24 & 1:
        return _multiply(word)
    form: Callable[[int], Operation | None] | None = {
        0: _with_carry,
        2: _conditional_compare,
        4: _select,
        6: _one_or_two,
    }.get(word >> 21 & 7)
    return form(word) if form else None


def _logical(word: int) -> Operation:
    shifted, flags = word >> 10 & 63, word >> 29 & 3 == 3
    kind = ("logical_flags" if flags else "logical" if shifted else "alu_reg") + (
        "_shift" if shifted else ""
    )
    reads = ((_x(_rn(word)), "alu"), (_x(_rm(word)), "shifted" if shifted else "alu"))
    return _make(kind, reads, (_x(_rd(word)), "nzcv" if flags else ""))


def _add(word: int) -> Operation | None:
    flags = "nzcv" if word >> 29 & 1 else ""
    if word >> 21 & 1:  # second operand extended; 31 is sp, except as a target that sets flags
        target = _x(_rd(word)) if flags else _sp(_rd(word))
        reads = ((_sp(_rn(word)), "alu"), (_x(_rm(word)), "shifted"))
        return _make("alu_ext", reads, (target, flags))
    amount, shift = word >> 10 & 63, word >> 22 & 3
    if shift == 3:
        return None
    kind = "alu_reg" if not amount else "alu_lsl" if not shift and amount <= 4 else "alu_shift"
    reads = ((_x(_rn(word)), "alu"), (_x(_rm(word)), "shifted" if amount else "alu"))
    return _make(kind, reads, (_x(_rd(word)), flags))


def _with_carry(word: int) -> Operation | None:
    if word >> 10 & 63:  # rmif, setf
        return None
    reads = ((_x(_rn(word)), "alu"), (_x(_rm(word)), "alu"), ("nzcv", ""))
    return _make("alu", reads, (_x(_rd(word)), "nzcv" if word >> 29 & 1 else ""))


def _conditional_compare(word: int) -> Operation:
    second = "" if word >> 11 & 1 else _x(_rm(word))
    return _make("alu", ((_x(_rn(word)), "alu"), (second, "alu"), ("nzcv", "")), ("nzcv",))


def _select(word: int) -> Operation:
    reads = ((_x(_rn(word)), "alu"), (_x(_rm(word)), "alu"), ("nzcv", ""))
    return _make("alu", reads, (_x(_rd(word)),))


def _one_or_two(word: int) -> Operation | None:
    code, wide = word >> 10 & 63, word >> 31
    rn, rm = _x(_rn(word)), _x(_rm(word))
    rd = _x(_rd(word))
    if word >> 30 & 1:  # one source: rbit, rev, clz, cls; the field of the second must be 0
        return _make("alu", ((rn, "alu"),), (rd,)) if code < 6 and not _rm(word) else None
    if code in (2, 3):
        return _make("div64" if wide else "div32", ((rn, "divide"), (rm, "divide")), (rd,))
    if 8 <= code < 12:  # shifts by a register
        return _make("shift", ((rn, "alu"), (rm, "")), (rd,))
    return None


def _multiply(word: int) -> Operation | None:
    form = word >> 21 & 7
    kind = {0: "mul64" if word >> 31 else "mul32", 1: "mul32", 5: "mul32", 2: "mulh", 6: "mulh"}
    if form not in kind:
        return None
    addend = "" if form in (2, 6) else _x(_ra(word))
    reads = ((_x(_rn(word)), "multiply"), (_x(_rm(word)), "multiply"), (addend, "addend"))
    return _make(kind[form], reads, (_x(_rd(word)),))
