"""What one A64 instruction word is, reads and writes: the one place that knows.

Decoded from the bits (Arm ARM, C4.1), and not from Capstone's register lists: Capstone 5 calls the
first operand of CMP and TST written, says that LSL by a constant reads its target, that CBZ reads
the flags and that RET reads nothing. Only what no form below knows (vectors, checksums, what is
newer than the core) has its registers from there.

A new form of instruction is a line or a function here, or in hypkit.a64.memory for one that
accesses memory: its text, price, counts, sentences and the origin of its result follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import index
from typing import SupportsIndex

from hypkit.a64 import disassembler
from hypkit.a64.conditions import CONDITIONS
from hypkit.a64.memory import MemoryOperand, memory_operand
from hypkit.a64.sysregs import decode_sysreg_move, register_name
from hypkit.errors import WrongValue, expected, is_whole

NOP = 0xD503201F


@dataclass(frozen=True, slots=True)
class Operation:
    """What one instruction word is, reads and writes.

    Registers are named x0..x30, sp, nzcv; the zero register is in no list.

    Attributes:
        kind: its price class, a key of data/cores.toml; "" when it has no price there.
        reads: (register, operand kind), in the order of the operands; the kind says how early a
            core may forward into it ("" for no sooner than the latency).
        writes: the registers a result goes to; a place is kept, as "xzr", for a zero register
            that a load pair writes.
        base: the address register written back, of a priced load or store; else "".
        drains: a context synchronisation or barrier: nothing after it starts before all before it
            is done.
        flow: what it does with the PC: "" goes on, "branch", "conditional", "call", "return",
            "exception" (SVC, HVC, SMC, BRK, HLT), "eret".
        indirect: whether it goes where a register says.
        condition: the condition that it tests, a name of hypkit.a64.conditions, or "".
        chosen: of a conditional select, the registers that it takes when the condition holds and
            when it does not ("" for the zero register).
        constant: whether a constant in the word goes into the result.
        barrier: "isb", "dsb", "dmb", "sb", "csdb", "esb", ... or "".
        system_read, system_write: the system register that it reads or writes, by the Arm ARM's
            name, or "".
        opaque: whether it accesses memory in a way that no MemoryOperand describes.
    """

    kind: str
    reads: tuple[tuple[str, str], ...] = ()
    writes: tuple[str, ...] = ()
    base: str = ""
    drains: bool = False
    flow: str = ""
    indirect: bool = False
    condition: str = ""
    chosen: tuple[str, str] | None = None
    constant: bool = False
    barrier: str = ""
    system_read: str = ""
    system_write: str = ""
    opaque: bool = False

    @property
    def is_branch(self) -> bool:
        """Return whether it may send the PC elsewhere by itself.

        An HVC does not: the exception does.
        """
        return self.flow not in ("", "exception")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the registers that it reads, each once."""
        return tuple(dict.fromkeys(name for name, _ in self.reads))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the registers that it writes, each once, an address register too."""
        return tuple(
            dict.fromkeys(name for name in (*self.writes, self.base) if name not in ("", "xzr"))
        )


@lru_cache(maxsize=4096)
def operation(word: int) -> Operation:
    """Return the operation in a 32-bit A64 word.

    Raises ValueError for what is not one 32-bit number.
    """
    word = checked(word)
    group = word >> 25 & 0xF
    found: Operation | None = None
    if group & 0xE == 0x8:
        found = _immediate(word)
    elif group & 0xE == 0xA:
        found = _branch(word)
    elif group & 0x5 == 0x4:
        found = _memory(word)
    elif group & 0x7 == 0x5:
        found = _register(word)
    return found or _unknown(word)


def checked(word: SupportsIndex) -> int:
    """Return `word` as a Python integer.

    Raises ValueError where it cannot be an instruction.
    """
    number = -1 if isinstance(word, bool) or not is_whole(word) else index(word)
    if not 0 <= number < 1 << 32:
        raise WrongValue(expected("an A64 instruction, one word of 0 to 0xffffffff", word))
    return number


def is_hvc(word: int) -> bool:
    """Return whether an instruction word is an HVC, whatever its immediate."""
    return word & 0xFFE0001F == 0xD4000002


def _unknown(word: int) -> Operation:
    reads, writes = disassembler.registers(word)
    opaque = word >> 25 & 0x5 == 0x4 and word & 0xFEC00000 != 0xF8800000
    opaque = opaque and word & 0xFF000000 != 0xD8000000  # PRFM moves nothing
    return Operation("", tuple((name, "") for name in reads), writes, opaque=opaque)


# --- Fields ---------------------------------------------------------------------------------------


def _x(number: int) -> str:
    """Return register `number` where 31 is the zero register: no dependence at all."""
    return "" if number == 31 else f"x{number}"


def _sp(number: int) -> str:
    """Return register `number` where 31 is the stack pointer."""
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
    form, option, wide, rd = word >> 23 & 7, word >> 29 & 3, word >> 31, _rd(word)
    if form < 2:  # adr, adrp
        return _make("alu", (), (_x(rd),))
    found = _with_constant(word, form, option, wide)
    return found and replace(found, constant=True)


def _with_constant(word: int, form: int, option: int, wide: int) -> Operation | None:
    rd, rn = _rd(word), _rn(word)
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


_EXCEPTIONS = 0xFF000000, 0xD4000000
_ERET = 0xD69F03E0
# Barriers by op2, and the hints that are barriers by number (C6.2.97).
_BARRIERS = {2: "clrex", 4: "dsb", 5: "dmb", 6: "isb", 7: "sb"}
_HINTS = {16: "esb", 17: "psb", 18: "tsb", 20: "csdb"}
# MSR (immediate) by op1 and op2 (C6.2.195); else a field of PSTATE that no lesson knows.
_PSTATE_FIELDS = {(0, 5): "SPSel", (3, 6): "DAIF", (3, 7): "DAIF"}


def _branch(word: int) -> Operation | None:
    if word & 0x7C000000 == 0x14000000:
        call = Operation("call", (), ("x30",), flow="call")
        return call if word >> 31 else Operation("branch", flow="branch")
    if word & 0xFF000010 == 0x54000000:
        return Operation(
            "branch", (("nzcv", ""),), flow="conditional", condition=CONDITIONS[word & 15]
        )
    if word & 0x7C000000 == 0x34000000:  # cbz, cbnz, tbz, tbnz
        return replace(_make("branch", ((_x(_rd(word)), ""),)), flow="conditional")
    if word & 0xFF9FFC1F == 0xD61F0000 and word >> 21 & 3 != 3:  # br, blr, ret
        flow = ("branch", "call", "return")[word >> 21 & 3]
        kind, writes = ("call_reg", ("x30",)) if flow == "call" else ("branch_reg", ())
        found = _make(kind, ((_x(_rn(word)), ""),), writes)
        return replace(found, flow=flow, indirect=True)
    drains = any(word & mask == value for mask, value in _DRAINS)
    if word & _EXCEPTIONS[0] == _EXCEPTIONS[1]:
        return Operation("", drains=drains, flow="exception")
    if word == _ERET:
        return Operation("", drains=drains, flow="eret", indirect=True)
    return replace(_system(word), drains=drains)


def _system(word: int) -> Operation:
    """Return hints, barriers, and what moves to and from system registers (C4.1.87)."""
    if word == NOP:
        return Operation("nop")
    if word & 0xFFFFF01F == 0xD503201F:
        return Operation("", barrier=_HINTS.get(word >> 5 & 0x7F, ""))
    if word & 0xFFFFF01F == 0xD503301F:
        return Operation("", barrier=_BARRIERS.get(word >> 5 & 7, ""))
    if word & 0xFFF8F01F == 0xD500401F:
        field = _PSTATE_FIELDS.get((word >> 16 & 7, word >> 5 & 7), "PSTATE")
        return Operation("", system_write=field, constant=True)
    register = _x(_rd(word))
    move = decode_sysreg_move(word)
    if move:  # no price, but their registers matter
        name = register_name(move[1])
        flags = "nzcv" if name == "NZCV" else ""
        if move[0] == "mrs":
            found = _make("", ((flags, ""),), (register,))
            return found if flags else replace(found, system_read=name)
        found = _make("", ((register, ""),), (flags,))
        return found if flags else replace(found, system_write=name)
    if word & 0xFFF80000 == 0xD5080000:  # SYS: caches, the TLB, address translation
        translates = word & 0xFFF8FE00 == 0xD5087800
        found = _make("", ((register, ""),))
        return replace(
            found,
            system_write="PAR_EL1" if translates else "",
            opaque=word & 0xFFFFFFE0 == 0xD50B7420,  # DC ZVA
        )
    if word & 0xFFF80000 == 0xD5280000:  # SYSL
        return _make("", (), (register,))
    return Operation("")


# --- Loads and stores (C4.1.88) -------------------------------------------------------------------


def _memory(word: int) -> Operation | None:
    operand = memory_operand(word)
    if operand is None:
        return None
    load, pair = operand.kind == "load", len(operand.registers) == 2
    # Exclusive and ordered accesses, vector registers and LDPSW have no price.
    if word & 0x3F000000 == 0x08000000 or word >> 26 & 1 or pair and operand.signed:
        return _unpriced_memory(operand)
    data = ["" if name == "xzr" else name for name in operand.registers]
    back = (operand.base or "") if operand.writeback else ""
    kind = operand.kind + ("_pair" if pair else "")
    if back:
        kind += "_wb"
    elif operand.index:
        kind += "_reg_half" if operand.size == 2 else "_reg"
    elif load and pair and not operand.wide:
        kind += "_w"
    address = [(operand.base or "", "index_base" if operand.index else "")]
    if operand.index:
        address.append(("" if operand.index == "xzr" else operand.index, ""))
    if load and pair:
        # Both places are kept, a zero register too: the second has a latency of its own.
        return Operation(kind, tuple(address), operand.registers, back)
    if load:
        return _make(kind, address, data, back)
    stored = [(name, "index_data" if operand.index else "") for name in data]
    return _make(kind, [*stored, *address], (), back)


def _unpriced_memory(operand: MemoryOperand) -> Operation:
    general = [name for name in operand.registers if name[0] == "x"]
    load = operand.kind == "load"
    reads = [*(general if not load else ()), operand.base or "", operand.index or ""]
    writes = [*(general if load else ()), operand.status or ""]
    if operand.writeback:
        writes.append(operand.base or "")
    kept = [[name for name in names if name not in ("", "xzr")] for names in (reads, writes)]
    return Operation("", tuple((name, "") for name in kept[0]), tuple(kept[1]))


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
    found = _make("alu", ((_x(_rn(word)), "alu"), (second, "alu"), ("nzcv", "")), ("nzcv",))
    return replace(found, condition=CONDITIONS[word >> 12 & 15], constant=True)


def _select(word: int) -> Operation:
    one, other = _x(_rn(word)), _x(_rm(word))
    found = _make("alu", ((one, "alu"), (other, "alu"), ("nzcv", "")), (_x(_rd(word)),))
    return replace(found, condition=CONDITIONS[word >> 12 & 15], chosen=(one, other))


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
