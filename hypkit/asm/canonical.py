"""The canonical text of one A64 instruction: spelled one way, every expression worked out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hypkit.a64 import conditions, sysregs
from hypkit.asm.expressions import Complaint, Unknown, Value, complain_relocation
from hypkit.asm.source import split_commas

Operand = tuple[str, int]  # text, offset in the statement
Evaluate = Callable[[str, int], Value]

REGISTERS = (
    {f"{kind}{i}": f"{kind}{i}" for kind in "xw" for i in range(31)}
    | {f"{kind}{i}": f"{kind}{i}" for kind in "bhsdqv" for i in range(32)}
    | {name: name for name in ("sp", "wsp", "xzr", "wzr")}
    | {"lr": "x30", "fp": "x29", "ip0": "x16", "ip1": "x17"}
)
VECTOR = re.compile(r"(v(?:[12]?\d|3[01])\.\d*[bhsdq])\s*(?:\[(.*)\])?$")
RANGE = re.compile(r"v(\d+)\.(\w+)\s*-\s*v(\d+)\.(\w+)$")
LIST = re.compile(r"(\{.*\})\s*(?:\[(.*)\])?$")
SHIFTS = "lsl lsr asr ror msl uxtb uxth uxtw uxtx sxtb sxth sxtw sxtx".split()
SHIFT = re.compile(r"(" + "|".join(SHIFTS) + r")(?![A-Za-z0-9_.$])\s*(.*)$", re.IGNORECASE)
# A decimal number with a point or an exponent; a whole number is one only where a fraction may be.
FLOAT = re.compile(r"#?\s*([-+]?\s*(?:\d+\.\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?\s*\d+e[-+]?\d+)$", re.I)
WHOLE = re.compile(r"#?\s*([-+]?\s*\d+)$")
REGISTER_LIKE = re.compile(
    r"([xwr]\d+|e?[abcd]x|r[abcd]x|pc|cpsr|spsr|fp|lr|zr|v\d+)$", re.IGNORECASE
)

# Operands that are names and not expressions.
NAMED: dict[str, tuple[int, ...]] = (
    dict.fromkeys("csel csinc csinv csneg fcsel ccmp ccmn fccmp fccmpe".split(), (3,))
    | dict.fromkeys("cinc cinv cneg".split(), (2,))
    | dict.fromkeys("cset csetm mrs".split(), (1,))
    | dict.fromkeys("msr dsb dmb isb prfm prfum tlbi ic dc at bti psb tsb".split(), (0,))
    | {"sys": (1, 2), "sysl": (2, 3)}
)
# GNU as takes these names, Keystone has never heard of them (encodings: Arm ARM D17.2, D19.2).
OTHER_NAMES = {
    **conditions.OTHER_NAMES, "ich_elrsr_el2": "s3_4_c12_c11_5", "vsesr_el2": "s3_4_c5_c2_3",
    "disr_el1": "s3_0_c12_c1_1", "vdisr_el2": "s3_4_c12_c1_1", "id_aa64mmfr2_el1": "s3_0_c0_c7_2",
}  # fmt: skip
OPPOSITE = {"add": "sub", "adds": "subs", "cmp": "cmn"}
OPPOSITE |= {b: a for a, b in OPPOSITE.items()}
LOGICAL = frozenset("and ands orr eor tst bic bics orn eon".split())


def operands(text: str, at: int) -> list[Operand]:
    """Return the operands of a statement's tail, each with its offset in the statement."""
    if not text.strip():
        return []
    out = []
    for part, offset in split_commas(text):
        body = part.strip()
        where = at + offset + len(part) - len(part.lstrip())
        if not body:
            raise Complaint("an operand is missing at this comma", max(where - 1, 0))
        out.append((body, where))
    return out


def number(n: int) -> str:
    """Return the canonical spelling of an immediate."""
    if n < 0:
        return f"#-{-n:#x}" if n < -9 else f"#{n}"
    return f"#{n:#x}" if n > 9 else f"#{n}"


def immediate(text: str, at: int, evaluate: Evaluate) -> int:
    """Return the plain number that an operand stands for."""
    body = text
    if body.startswith("#"):
        body = body[1:]
        at += 1
    if body.lstrip().startswith(":"):
        raise complain_relocation(at)
    value = value_of(body, at, evaluate, "number")
    if value.places:
        raise Complaint(
            f"{body.strip()!r} is an address, and this operand must be a plain number; take the "
            "address with `adr`, `adr_l` or `ldr x0, =label`",
            at,
        )
    return value.n


def value_of(text: str, at: int, evaluate: Evaluate, wanted: str) -> Value:
    """Return the value of an operand that must be a `wanted`: "number" or "label"."""
    try:
        return evaluate(text, at)
    except Unknown as e:
        raise _unknown_operand(e, text.strip(), wanted) from None


def _unknown_operand(e: Unknown, body: str, wanted: str) -> Complaint:
    low = e.name.lower()
    if low in REGISTERS:
        hint = ""
        after = body.partition(" ")[2].lstrip()
        if after:
            hint = ": a comment starts with //" if after[0] in "#@!" else ": is a comma missing?"
        return Complaint(f"{e.name} is a register, and this must be a {wanted}{hint}", e.at)
    if low.upper() in sysregs.SYSREGS:
        return Complaint(
            f"{e.name} is a system register: read it with `mrs x0, {low}`, write it with "
            f"`msr {low}, x0`",
            e.at,
        )
    if REGISTER_LIKE.match(low):
        hint = "; A64 has x0 to x30, w0 to w30, sp, wsp, xzr and wzr"
        if low in ("x31", "w31"):
            hint = f"; number 31 is written {low[0]}zr or {'w' if low[0] == 'w' else ''}sp"
        return Complaint(f"{e.name!r} is not a register{hint}", e.at)
    return e


def one(text: str, at: int, evaluate: Evaluate, named: bool = False) -> str:
    """Return the canonical text of one operand; `named`: a name that is no expression may be."""
    low = text.lower()
    register = REGISTERS.get(low)
    if register is not None:
        return register
    first = text[0]
    if first == "[":
        return _memory(text, at, evaluate)
    if first == "{":
        return _list(text, at, evaluate)
    if named and first != "#" and not first.isdigit():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", low):
            raise Complaint(f"did not understand {text!r}", at)
        return OTHER_NAMES.get(low, low)
    match = SHIFT.match(text)
    if match:
        kind = match.group(1).lower()
        if not match.group(2):
            return kind
        return f"{kind} #{immediate(match.group(2), at + match.start(2), evaluate)}"
    if vector := VECTOR.match(low):
        return vector.group(1) + _lane(text, vector, at, evaluate)
    if FLOAT.match(text):
        raise Complaint(f"{text.lstrip('# ')} has a fraction; expected a whole number", at)
    return number(immediate(text, at, evaluate))


def _lane(text: str, match: re.Match[str], at: int, evaluate: Evaluate) -> str:
    """The index of one element, "[3]", or "" where there is none."""
    if match.group(2) is None:
        return ""
    start, end = match.span(2)
    return f"[{immediate(text[start:end], at + start, evaluate)}]"


def _list(text: str, at: int, evaluate: Evaluate) -> str:
    """Vector registers in braces, one by one or as a range, perhaps with an index after them."""
    match = LIST.match(text)
    if match is None:
        raise Complaint("a closing brace is missing", at)
    inner: list[str] = []
    for body, where in _inside(match.group(1)[1:-1], at + 1):
        span = RANGE.match(body.lower())
        if span is None:
            inner.append(one(body, where, evaluate))
            continue
        first, last, kind = int(span.group(1)), int(span.group(3)), span.group(2)
        if kind != span.group(4) or not first < last < min(first + 4, 32):
            raise Complaint(f"expected a range such as v0.{kind} - v3.{kind}; got {body}", where)
        inner += (f"v{n}.{kind}" for n in range(first, last + 1))
    return "{" + ", ".join(inner) + "}" + _lane(text, match, at, evaluate)


def fraction(text: str, at: int) -> str:
    """Return the canonical spelling of a floating-point immediate: "#0.0", "#-0.484375".

    Raises Complaint for anything but a decimal number: GNU as takes hexadecimal ones for bits.
    """
    match = FLOAT.match(text) or WHOLE.match(text)
    if match is None:
        raise Complaint(f"expected a decimal number, such as #1.5; got {text}", at)
    return f"#{float(''.join(match.group(1).split()))!r}"


def _inside(text: str, at: int) -> list[Operand]:
    """The operands between brackets or braces."""
    inner = operands(text, at)
    for body, where in inner:
        if body[0] in "[{":
            raise Complaint(f"did not expect {body[0]!r} inside brackets or braces", where)
    return inner


def _memory(text: str, at: int, evaluate: Evaluate) -> str:
    end = text.rfind("]")
    tail = text[end + 1 :].strip()
    if end < 0 or tail not in ("", "!"):
        what = "a closing ] is missing" if end < 0 else f"did not expect {tail!r} after ]"
        raise Complaint(what, at if end < 0 else at + end + 1)
    inner = _inside(text[1:end], at + 1)
    if not inner:
        raise Complaint("the brackets are empty: an address needs a base register, [x0]", at)
    base = REGISTERS.get(inner[0][0].lower())
    if base is None or base[0] not in "xs" or base.startswith("s") and base != "sp":
        raise Complaint(
            f"the base of an address must be x0 to x30 or sp, not {inner[0][0]!r}", inner[0][1]
        )
    parts = [base] + [one(t, a, evaluate) for t, a in inner[1:]]
    return f"[{', '.join(parts)}]{tail}"


def canonical(mnemonic: str, ops: Sequence[Operand], evaluate: Evaluate) -> tuple[str, ...]:
    """Return mnemonic and operands, spelled one way, every expression a number."""
    names = NAMED.get(mnemonic, ())
    out = [mnemonic]
    for i, (text, at) in enumerate(ops):
        if (
            mnemonic[0] == "f"
            and i
            and (
                FLOAT.match(text)
                or mnemonic == "fmov"
                and (text[0] == "#" or text[0].isdigit() or text[0] in "+-")
            )
        ):
            out.append(fraction(text, at))
            continue
        out.append(one(text, at, evaluate, i in names))
    return _respell(out)


def _negative(op: str) -> int:
    """How far below zero an immediate is, read as a signed number of 64 bits; 0 if it is not."""
    if op[0] != "#" or not re.fullmatch(r"-?(0x[0-9a-f]+|\d+)", op[1:]):
        return 0
    n = int(op[1:], 0)
    return -n if n < 0 else (1 << 64) - n if n >> 63 else 0


def _respell(out: list[str]) -> tuple[str, ...]:
    """Return what GNU as takes and Keystone does not as the instruction it is another name of."""
    mnemonic = out[0]
    last = out[-1]
    n = _negative(last)
    if n and len(out) > 2:
        if mnemonic in OPPOSITE and (n <= 0xFFF or n & 0xFFF == 0 and n <= 0xFFF000):
            return (OPPOSITE[mnemonic], *out[1:-1], number(n))
        width = 32 if out[1][0] == "w" else 64
        if mnemonic in LOGICAL and n < 1 << width:  # a bit pattern, not a quantity
            return (*out[:-1], number((1 << width) - n))
    most = 1 << (31 if last.startswith("#-") else 32)
    if n and mnemonic == "mov" and len(out) == 3 and out[1][0] == "w" and n <= most:
        return (*out[:-1], number((1 << 32) - n))
    if mnemonic == "prfm" and (address := re.fullmatch(r"\[\w+, #(-?\w+)\]", last)):
        offset = int(address.group(1), 0)
        if -256 <= offset <= 255 and (offset < 0 or offset % 8):
            return ("prfum", *out[1:])
    if mnemonic in ("fcmp", "fcmpe") and last == "#0":
        return (*out[:-1], "#0.0")
    if mnemonic == "mov" and len(out) == 4 and SHIFT.match(last):
        return ("orr", out[1], out[1][0] + "zr", *out[2:])
    if mnemonic == "uxtw" and len(out) == 3 and out[2][0] == "w" and out[1][0] in "xw":
        return ("mov", "w" + out[1][1:], out[2])
    return tuple(out)


def join(parts: Sequence[str]) -> str:
    """Return an instruction as one text."""
    return parts[0] if len(parts) == 1 else f"{parts[0]} {', '.join(parts[1:])}"
