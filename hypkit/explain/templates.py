"""What an instruction does, as a sentence with gaps; the gaps are filled from the state at a step.

An instruction gets its sentence once, however often it runs. A gap is {op argument ...}; the front
end (front/sentences.js) fills the same gaps by the same rules, so that a million steps need no
million texts. The tests compare the two for every step of several traces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypkit.a64 import pstate, syndrome
from hypkit.a64.decode import Instruction
from hypkit.a64.memory import MemoryOperand

# Condition -> when it holds, after a comparison of two numbers.
CONDITIONS = {
    "eq": "equal",
    "ne": "not equal",
    "hs": "higher or the same, unsigned",
    "lo": "lower, unsigned",
    "hi": "higher, unsigned",
    "ls": "lower or the same, unsigned",
    "lt": "less, signed",
    "ge": "greater or equal, signed",
    "gt": "greater, signed",
    "le": "less or equal, signed",
    "mi": "negative",
    "pl": "not negative",
    "vs": "overflow",
    "vc": "no overflow",
}

_FIXED = {
    "isb": "Waits until system register changes have taken effect.",
    "dsb": "Waits until the memory and TLB operations before it are done.",
    "dmb": "Keeps the memory accesses before it ahead of those after it.",
    "esb": "Error barrier: pending SErrors are dealt with here. Nothing else changes.",
    "nop": "Does nothing.",
    "sb": "Nothing after this may be executed ahead of time.",
    "csdb": "Values that a wrong guess produced are not used past this point.",
    "eret": "Exception return: PC comes from ELR, PSTATE from SPSR. Goes on at {level}, {goes}.",
    "hvc": "Hypercall: the core enters {level} at VBAR_EL2 + 0x400. ELR_EL2 keeps where to return "
    "to, ESR_EL2 says why.",
    "smc": "Asks the firmware at EL3.",
    "svc": "System call: enters EL1.",
    "ret": "Returns to {goes}.",
}
_TWO = {
    "add": "Adds {1} to {0}: {after}.",
    "adds": "Adds {1} to {0}, sets the flags: {after}.",
    "sub": "Subtracts {1} from {0}: {after}.",
    "subs": "Subtracts {1} from {0}, sets the flags: {after}.",
    "and": "Keeps those bits of {0} that are set in {1}: {after}.",
    "orr": "Sets in {0} the bits that are set in {1}: {after}.",
    "eor": "Flips in {0} the bits that are set in {1}: {after}.",
    "bic": "Clears in {0} the bits that are set in {1}: {after}.",
    "lsl": "Shifts {0} left by {1}: {after}.",
    "lsr": "Shifts {0} right by {1}: {after}.",
    "asr": "Shifts {0} right by {1}, keeping the sign: {after}.",
    "ror": "Rotates {0} right by {1}: {after}.",
    "adc": "Adds {1} and the carry to {0}: {after}.",
    "sbc": "Subtracts {1} and the missing carry from {0}: {after}.",
    "mul": "Multiplies {0} by {1}: {after}.",
}
# What keeps no result but the flags.
_FLAGS = {
    "cmp": "Compares {0} with {1}",
    "cmn": "Adds {1} to {0} for the flags alone",
    "tst": "Looks which bits of {0} are set in {1}",
}
KERN_HYP_VA = (
    "kern_hyp_va, 1 of 5: keeps the bits below the tag: {after}.",
    "kern_hyp_va, 2 of 5: rotates right, so that the tag's place is at the bottom: {after}.",
    "kern_hyp_va, 3 of 5: adds the low half of the tag: {after}.",
    "kern_hyp_va, 4 of 5: adds the high half of the tag: {after}.",
    "kern_hyp_va, 5 of 5: rotates back: {after}.",
)


@dataclass(frozen=True)
class Sentence:
    """The sentences of one instruction: when it goes on to the next, and when it goes elsewhere."""

    text: str
    taken: str | None = None


def _always(text: str) -> Sentence:
    """Return one sentence for both cases: a jump may go to the next instruction."""
    return Sentence(text, text)


def _split(operands: str) -> list[str]:
    """Return operands at their top-level commas: 'x0, [x1, #8]' -> ['x0', '[x1, #8]']."""
    return [part.strip() for part in re.split(r",(?![^\[]*\])", operands)] if operands else []


def _folded(parts: list[str]) -> list[str]:
    """Return an immediate shifted by 12 as the number that it is: '#1', 'lsl #12' -> '#0x1000'."""
    if len(parts) > 2 and parts[-1] == "lsl #12" and parts[-2].startswith("#"):
        return [*parts[:-2], f"#{int(parts[-2][1:], 0) << 12:#x}"]
    return parts


def _register(operand: str) -> str | None:
    """Return the trace's name of a register operand, None for anything else."""
    operand = {"lr": "x30", "fp": "x29", "wsp": "sp", "wzr": "xzr"}.get(operand, operand)
    if re.fullmatch(r"[xw]\d+", operand):
        return "x" + operand[1:]
    return operand if operand in ("sp", "xzr") else None


def _value(operand: str) -> str:
    """Return an operand as words: registers with a gap for their value, immediates as they are."""
    name = _register(operand)
    if name == "xzr":
        return "0"
    return f"{operand} ({{before {name}}})" if name else number(operand)


def _shifted(how: str) -> str:
    """Return ', lsl #3' as words."""
    kind, _, amount = how.partition(" ")
    words = {
        "lsl": "shifted left",
        "lsr": "shifted right",
        "ror": "rotated right",
        "asr": "shifted right, keeping the sign,",
    }.get(kind)
    return f" {words} by {_decimal(amount)}" if words and amount else f" ({how})"


def _decimal(operand: str) -> str:
    """Return a count of bits: '#0x1a' -> '26'."""
    try:
        return str(int(operand.removeprefix("#"), 0))
    except ValueError:
        return operand


def number(operand: str) -> str:
    """Return an immediate as hypkit writes numbers: '#0x2' -> '2', '#0x100' -> '0x100'."""
    try:
        return plain(int(operand.removeprefix("#"), 0))
    except ValueError:
        return operand


def plain(value: int) -> str:
    """Return a number as the kit writes it: up to nine in decimal, else in hexadecimal."""
    return str(value) if -10 < value < 10 else f"{value:#x}"


def explain(instruction: Instruction, operands: str) -> Sentence:
    """Return the sentence of an instruction.

    operands: as printed, with names for PC-relative targets.
    """
    name, parts, op = instruction.mnemonic, _folded(_split(operands)), instruction.operation
    if instruction.memory is not None:
        return _transfer(instruction.memory, parts)
    if name in _FIXED:
        return _always(_FIXED[name])
    if name == "tlbi":
        return Sentence("Makes the TLB forget: " + operands.partition(",")[0] + ".")
    target = parts[-1] if parts else ""
    if name == "b":
        return _always(f"Goes to {target}.")
    if name == "bl":
        return _always(f"Calls {target}. x30 keeps where to return to.")
    if name in ("br", "blr"):
        what = "Goes to" if name == "br" else "Calls"
        end = " x30 keeps where to return to." if name == "blr" else ""
        return _always(f"{what} the address in {parts[0]}: {{goes}}.{end}")
    if op.flow == "conditional" and op.condition:
        condition = CONDITIONS.get(op.condition, "always")
        return Sentence(
            f"Not taken: the condition ({condition}) does not hold. Goes on below.",
            f"Taken: the condition ({condition}) holds. Goes to {target}.",
        )
    if name in ("cbz", "cbnz"):
        zero = f"{parts[0]} is zero", f"{_value(parts[0])} is not zero"
        no, yes = zero if name == "cbnz" else zero[::-1]
        return Sentence(f"Not taken: {no}. Goes on below.", f"Taken: {yes}. Goes to {target}.")
    if name in ("tbz", "tbnz"):
        bit = f"bit {_decimal(parts[1])} of {parts[0]} is "
        no, yes = ("1", "0") if name == "tbz" else ("0", "1")
        return Sentence(
            f"Not taken: {bit}{no}. Goes on below.", f"Taken: {bit}{yes}. Goes to {target}."
        )
    if name == "mrs":
        register = parts[1].upper()
        end = ", {ec}" if register.startswith("ESR_EL") else ""
        if register == "VTTBR_EL2":
            end = ". Zero means that no VM is running, and the host asks"
        return Sentence(f"Reads {register} into {parts[0]}: {{after {_register(parts[0])}}}{end}.")
    if name == "msr":
        source = _value(parts[1])
        return Sentence(f"Writes {source} into {parts[0].upper()}.")
    if name in _FLAGS and len(parts) > 1:
        return _comparison(name, parts)
    if name in ("ccmp", "ccmn"):
        condition = CONDITIONS.get(op.condition, "always")
        does = "compares {0} with {1}" if name == "ccmp" else "adds {1} to {0} for the flags alone"
        return Sentence(
            f"If the last comparison said {condition}, "
            + does.replace("{0}", _value(parts[0])).replace("{1}", _value(parts[1]))
            + f"; else sets the flags to {_flags(parts[2])}. Flags now: {{flags}}."
        )
    return _computation(name, parts)


def _flags(operand: str) -> str:
    """Return the flags that CCMP sets by a number: '#4' -> '-Z--'."""
    return pstate.nzcv_text(int(operand.removeprefix("#"), 0) << 28)


def _transfer(operand: MemoryOperand, parts: list[str]) -> Sentence:
    """Return the sentence of a load or a store; parts: its operands as printed."""
    load = operand.kind == "load"
    does, way = ("Loads", "from") if load else ("Stores", "to")
    # A trace has no vector register, and nothing of what is loaded into the zero register.
    if any(name[0] != "x" or load and name == "xzr" for name in operand.registers):
        return Sentence(
            f"{does} {' and '.join(operand.registers)} {way} memory; a trace does not "
            "record the value."
        )
    names = " and ".join("zero" if name == "xzr" else name for name in operand.registers)
    if operand.status:
        told = (
            ""
            if operand.status == "xzr"
            else (f": {operand.status} = {{after {operand.status}}}, and 0 means that it did")
        )
        return Sentence(f"Stores {names} if the reservation still holds{told}.")
    return Sentence(f"{does} {names} {way} {{place}}: {{values}}{_moved(operand, parts)}.")


def _moved(operand: MemoryOperand, parts: list[str]) -> str:
    """Return how far the address register goes: '; sp goes down by 0x10', or '' where it stays."""
    if not operand.writeback:
        return ""
    offset = re.search(r"#(-?)(\w+)\]?!?$", parts[-1])
    if offset is None:
        return ""
    return f"; {operand.base} goes {'down' if offset[1] else 'up'} by {number(offset[2])}"


def _comparison(name: str, parts: list[str]) -> Sentence:
    """Return the sentence of an instruction that sets the flags and nothing else."""
    second = _value(parts[1]) + (_shifted(parts[2]) if len(parts) > 2 else "")
    # Whole registers only are compared: of a W register the gap would see all 64 bits.
    whole = len(parts) == 2 and not any(part.startswith("w") for part in parts)
    one, other = (_register(part) or number(part) for part in parts[:2])
    if whole and name == "cmn" and not _register(parts[1]):  # how -1 is compared with
        name, second, other = "cmp", f"-{other}", f"-{other}"
    text = _FLAGS[name].replace("{0}", _value(parts[0])).replace("{1}", second)
    return Sentence(
        text
        + (f": {{compare {one} {other}}}." if whole and name == "cmp" else "; flags now: {flags}.")
    )


def _computation(name: str, parts: list[str]) -> Sentence:
    result = _register(parts[0]) if parts else None
    after = f"{parts[0]} = {{after {result}}}" if result and result != "xzr" else "no result kept"
    if name in ("mov", "movz", "movn") and len(parts) >= 2:
        source = _register(parts[1])
        if source == "xzr":
            return Sentence(f"Puts 0 into {parts[0]}.")
        if source and parts[0] == parts[1] and parts[0][0] == "w":
            return Sentence(f"Keeps the low 32 bits of x{parts[0][1:]}: {{after {result}}}.")
        if source:
            return Sentence(f"Copies {parts[1]} to {parts[0]}: {{after {result}}}.")
        return Sentence(f"Puts {{after {result}}} into {parts[0]}.")
    if name == "movk":
        return Sentence(f"Replaces 16 bits of {parts[0]}: {{after {result}}}.")
    if name == "adrp":  # the page's own value would be named after whatever label it begins with
        page = "a 4 KiB page" if parts[1][:1] in "0.#" else f"the 4 KiB page of {parts[1]}"
        return Sentence(f"Puts the address of {page} into {parts[0]}.")
    if name == "adr":
        return Sentence(f"Puts the address of {parts[1]} into {parts[0]}: {{after {result}}}.")
    if name == "ubfx" and len(parts) == 4:
        return Sentence(
            f"Takes {_decimal(parts[3])} bits of {_value(parts[1])}, "
            f"from bit {_decimal(parts[2])} up: {after}."
        )
    if name == "bfi" and len(parts) == 4:
        return Sentence(
            f"Puts the low {_decimal(parts[3])} bits of {_value(parts[1])} into "
            f"{parts[0]} at bit {_decimal(parts[2])}: {after}."
        )
    if name in _TWO and len(parts) >= 3:
        second = _value(parts[2])
        if name in ("lsl", "lsr", "asr", "ror") and not _register(parts[2]):
            second = f"{_decimal(parts[2])} bits"
        if len(parts) > 3:
            second += _shifted(parts[3])
        first = _value(parts[1])
        if name == "add" and parts[0] == parts[1] != "sp" and parts[2].startswith("#"):
            # What an ADRP has put there would be named after whatever label its page begins with.
            first = parts[1]
        text = _TWO[name].replace("{0}", first).replace("{1}", second)
        return Sentence(text.replace("{after}", after))
    return Sentence("{changes}.")


# --- Filling the gaps --------------------------------------------------------------------------


@dataclass(frozen=True)
class Moment:
    """What the gaps of one step's sentence are filled from."""

    before: Callable[[str], int]  # register -> value
    after: Callable[[str], int]
    what: Callable[[int], str]  # a number, or the name of the address that it is
    where: Callable[[int], str]  # the same for the next PC
    changed: Sequence[str]
    accesses: Sequence[tuple[str, int | None]]  # (place, value or None where it faulted)
    next_pc: int
    next_level: str


def compared(one: int, other: int) -> str:
    """Return how two 64-bit words compare: 'lower', and as signed numbers when that differs."""
    if one == other:
        return "equal"
    unsigned = one < other
    signed = one - (one >> 63 << 64) < other - (other >> 63 << 64)
    text = "lower" if unsigned else "higher"
    if unsigned != signed:
        text += f", but as signed numbers {'less' if signed else 'greater'}"
    return text


def fill(text: str, moment: Moment) -> str:
    """Return the sentence of a step: *text* with its gaps filled."""

    def gap(match: re.Match[str]) -> str:
        op, *args = match[1].split(" ")
        match op:
            case "before":
                return moment.what(moment.before(args[0]))
            case "after":
                return moment.what(moment.after(args[0]))
            case "goes":
                return moment.where(moment.next_pc)
            case "level":
                return moment.next_level
            case "flags":
                return pstate.nzcv_text(moment.after("pstate"))
            case "place":
                return moment.accesses[0][0] if moment.accesses else "memory"
            case "values":
                return " and ".join(
                    "fault" if value is None else moment.what(value) for _, value in moment.accesses
                )
            case "compare":
                one, other = (
                    moment.before(arg) if arg[0] in "xs" else int(arg, 0) & (1 << 64) - 1
                    for arg in args
                )
                return compared(one, other)
            case "ec":
                values = [moment.after(name) for name in moment.changed if name != "pstate"]
                ec = values[0] >> syndrome.ESR_EC_SHIFT & 0x3F if values else -1
                return syndrome.EC_NAMES.get(ec, "as before")
            case "changes":
                return (
                    ", ".join(
                        f"{name} becomes {moment.what(moment.after(name))}"
                        for name in moment.changed
                        if name != "pstate"
                    )
                    or "No change"
                )
        raise AssertionError(f"no gap {op!r}")

    return re.sub(r"\{([^{}]+)\}", gap, text)
