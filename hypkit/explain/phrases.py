"""One executed instruction in words: what it changed, where it went, and what the values mean."""

from __future__ import annotations

from hypkit.a64 import pstate, syndrome
from hypkit.a64.conditions import holds
from hypkit.a64.effects import operation
from hypkit.kernel.image import Image
from hypkit.trace import Trace

# Instructions whose effect no register shows.
_SILENT = {
    "esb": "would wait for late hardware errors: this core has none to wait for",
    "isb": "makes the new settings count for all that follows",
    "dsb": "waits until memory and TLB work is done",
    "dmb": "keeps memory accesses before it ahead of those after it",
    "sb": "lets nothing after it run ahead of time",
    "csdb": "lets no wrongly guessed value be used after it",
    "nop": "does nothing",
}


def meaning(image: Image, value: int) -> str | None:
    """'hyp address of el1_sync+0x4' for a value that is an address in the image, else None."""
    space, name = image.layout.space(value), image.symbolize(value)
    return f"{space} address of {name}" if space and name else None


def with_meaning(image: Image, value: int) -> str:
    """A value in hexadecimal, and what it is the address of, if it is one."""
    means = meaning(image, value)
    return f"{value:#x}" + (f", the {means}" if means else "")


def in_words(trace: Trace, index: int) -> str:
    """What step *index* of *trace* did, as a phrase without a full stop."""
    step = trace[index]
    mnemonic = step.instruction.mnemonic
    if step.exception is not None:
        return _exception(trace, index)
    if mnemonic == "eret":
        return _eret(trace, index)
    if step.instruction.operation.is_branch:
        return _branch(trace, index)
    if step.instruction.memory is not None:
        return _memory(trace, index)
    if mnemonic in ("mrs", "msr"):
        return _system_register(trace, index)
    if mnemonic in ("cmp", "ccmp"):
        return _comparison(trace, index)
    if mnemonic == "tlbi":
        return f"drops translations from the TLB ({step.instruction.operands})"
    return _SILENT.get(mnemonic) or _changes(trace, index)


def place(trace: Trace, row: int) -> str:
    """Where row *row* of *trace* is: a label, or the address where there is none."""
    pc = int(trace.pcs[row])
    return trace.image.symbolize(pc) or f"{pc:#x}"


def _exception(trace: Trace, index: int) -> str:
    taken = trace[index].exception
    el, back = taken.target_el, with_meaning(trace.image, taken.elr)
    offset = int(trace.pcs[index + 1]) & 0x7FF  # a vector table is 2 KiB large and aligned to it
    parts = [
        f"exception to EL{el}: PC = VBAR_EL{el} + {offset:#x}",
        f"ELR_EL{el} = {back}",
        f"SPSR_EL{el} = the old PSTATE",
        f"ESR_EL{el} = {taken.esr:#x} ({syndrome.esr_text(taken.esr)})",
    ]
    if taken.far is not None:
        parts.append(f"FAR_EL{el} = {taken.far:#x}")
    return "; ".join([*parts, _stack_of(trace, index + 1)])


def _eret(trace: Trace, index: int) -> str:
    el = int(trace.els[index + 1])
    own = f"EL{trace[index].el}"  # whose registers say where to
    return (
        f"back to EL{el}, to {place(trace, index + 1)}: PC = ELR_{own}, PSTATE = SPSR_{own}; "
        + _stack_of(trace, index + 1)
    )


def _stack_of(trace: Trace, row: int) -> str:
    return f"sp is EL{int(trace.els[row])}'s own: " + with_meaning(
        trace.image, trace.register("sp", row)
    )


def _branch(trace: Trace, index: int) -> str:
    step = trace[index]
    mnemonic, there = step.instruction.mnemonic, place(trace, index + 1)
    if mnemonic.startswith("b.") or mnemonic in ("cbz", "cbnz", "tbz", "tbnz"):
        taken = int(trace.pcs[index + 1]) != step.pc + 4
        return f"taken: goes to {there}" if taken else "not taken: goes on"
    if mnemonic in ("bl", "blr"):
        back = with_meaning(trace.image, trace.register("x30", index + 1))
        return f"calls {there}; x30 = the way back, {back}"
    if mnemonic == "ret":
        return f"returns to {there}, the address in {step.instruction.operands or 'x30'}"
    return f"goes to {there}"


def _memory(trace: Trace, index: int) -> str:
    step, image = trace[index], trace.image
    operand, accesses = step.instruction.memory, step.memory
    names = operand.registers
    if not accesses:
        return f"stores nothing: {operand.status} = 1, because the reservation was lost"
    if operand.base == "sp":
        where = "the stack"
    elif operand.base is None:
        where = f"the literal pool ({accesses[0].symbol or hex(accesses[0].va)})"
    else:
        where = accesses[0].symbol or f"{accesses[0].va:#x}"
    if operand.kind == "store":
        text = f"{' and '.join(names)} to {where}"
    else:
        values = (
            f"{name}, which no trace holds"
            if access.value is None
            else f"{name} = {with_meaning(image, access.value)}"
            for name, access in zip(names, accesses, strict=True)
        )
        text = f"{'; '.join(values)}; from {where}"
    if operand.writeback and operand.base in step.changed:
        old, new = step.changed[operand.base]
        moved = (new - old + (1 << 63)) % (1 << 64) - (1 << 63)
        text += f"; {operand.base} {'up' if moved > 0 else 'down'} by {abs(moved)} bytes"
    return text


def _system_register(trace: Trace, index: int) -> str:
    instruction = trace[index].instruction
    first, second = instruction.operands.split(", ")
    if instruction.mnemonic == "msr":
        value = f"{_value(trace, index, second):#x}" if second[0] in "xw" else second
        return f"{first.upper()} = {value}"
    value, name = trace.register(first, index + 1), second.upper()
    text = f"{first} = {name}: {with_meaning(trace.image, value)}"
    if name.startswith("ESR_EL"):
        text += f" ({syndrome.esr_text(value)})"
    elif name == "VTTBR_EL2":
        text += ", a VM is running" if value else ", no VM is running: the host asks"
    return text


def _value(trace: Trace, row: int, operand: str) -> int:
    """The number that an operand of a comparison or move stands for before step *row*."""
    if operand.startswith("#"):
        return int(operand[1:], 0)
    if operand in ("xzr", "wzr"):
        return 0
    full = trace.register("sp" if operand in ("sp", "wsp") else "x" + operand[1:], row)
    return full & 0xFFFF_FFFF if operand[0] == "w" else full


def _comparison(trace: Trace, index: int) -> str:
    instruction = trace[index].instruction
    left, right, *rest = instruction.operands.split(", ")
    after = int(trace.pstates[index + 1])
    if instruction.mnemonic == "ccmp":
        condition = rest.pop()
        if not holds(condition, int(trace.pstates[index])):
            return (
                f"no comparison, because {condition!r} does not hold: flags set to "
                f"{pstate.nzcv_text(after)}"
            )
        rest = []  # the flags it would have set
    negative, zero, carry, overflow = _flags(after)
    verdict = "is equal to" if zero else "is greater than" if carry else "is less than"
    value = _value(trace, index, left)
    text = f"{left} ({value:#x}) {verdict} {_right(trace, index, right, rest)}"
    if not zero and carry != (negative == overflow):
        text += ", and as a signed number the other way round"
    return text


def _right(trace: Trace, index: int, operand: str, shift: list[str]) -> str:
    if operand.startswith("#"):
        places = int(shift[0].rpartition("#")[2], 0) if shift else 0
        return f"{int(operand[1:], 0) << places:#x}"
    return ", ".join([f"{operand} ({_value(trace, index, operand):#x})", *shift])


def _flags(value: int) -> tuple[bool, bool, bool, bool]:
    return tuple(
        bool(value & bit)
        for bit in (pstate.PSTATE_N, pstate.PSTATE_Z, pstate.PSTATE_C, pstate.PSTATE_V)
    )


def _changes(trace: Trace, index: int) -> str:
    step = trace[index]
    changed = {name: values for name, values in step.changed.items() if name != "pstate"}
    if not changed:
        op = operation(step.word)
        if op.writes == ("nzcv",):
            return f"flags set to {pstate.nzcv_text(int(trace.pstates[index + 1]))}"
        return (
            "no change: the register held this value already"
            if op.writes
            else "changes no register"
        )
    if step.instruction.mnemonic == "adrp":
        ((name, (_, new)),) = changed.items()
        return f"{name} = {new:#x}, where a 4 KiB page begins"
    return "; ".join(
        f"{name} = {with_meaning(trace.image, new)} (was {old:#x})"
        for name, (old, new) in changed.items()
    )
