"""Why an instruction has no encoding, in a sentence for a learner."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence

from hypkit.a64 import sysregs
from hypkit.a64.conditions import NUMBERS
from hypkit.asm.canonical import LOGICAL
from hypkit.asm.encode import float_bits, is_bitmask, is_one_mov
from hypkit.asm.expressions import Complaint
from hypkit.asm.mnemonics import shapes, unknown, written

NO_ENGINE = "this machine has no engine to assemble it"
WHICH_ENGINE = (
    "expected Keystone (`pip install keystone-engine`, x86-64) or LLVM (`pip install llvmlite`, "
    "arm64); everything else works here without one"
)

SCALE = {"ldrb": 0, "strb": 0, "ldrsb": 0, "ldrh": 1, "strh": 1, "ldrsh": 1, "ldrsw": 2}
UNSCALED = frozenset(
    "ldur stur ldurb sturb ldurh sturh ldursb ldursh ldursw ldtr sttr ldtrb sttrb ldtrh sttrh "
    "ldtrsb ldtrsh ldtrsw".split()
)
PAIRS = frozenset("ldp stp ldpsw ldnp stnp".split())
NUMBER = re.compile(r"#-?(0x[0-9a-f]+|\d+)$")
REGISTER = re.compile(r"([xw])(\d+|zr)$|w?sp$")
SAME_WIDTH = frozenset(
    "and orr eor ands bic bics orn eon tst mov mvn neg negs adc adcs sbc sbcs mul mneg sdiv udiv "
    "csel csinc csinv csneg cinc cinv cneg lsl lsr asr ror extr madd msub clz cls rbit rev rev16 "
    "bfi bfxil ubfx sbfx ubfiz sbfiz ccmp ccmn ldp stp smulh umulh".split()
)
REGISTERS_ONLY = frozenset("orn eon bics".split())  # of the logical ones
WIDENS = re.compile(r"[su]xt[bhw]\b")
READ_ONLY = re.compile(
    r"id_|mvfr|midr_|mpidr_|revidr|ctr_|dczid|ccsidr|clidr|aidr|currentel|isr_|rvbar|cntpct|cntvct"
    r"|pmceid|oslsr|mdrar|mdccsr|ich_(vtr|misr|eisr|elrsr)_|icc_(iar|hppir|rpr)"
)
WRITE_ONLY = re.compile(r"icc_(eoir|dir|sgi|asgi)|oslar|pmswinc")
NO_SP = SAME_WIDTH - {"mov", "and", "orr", "eor"} | {"mrs", "msr", "movz", "movn", "movk", "cset"}


def _width(register: str) -> str:
    return {"sp": "x", "wsp": "w"}.get(register, register[0])


def integer(text: str) -> int | None:
    """Return the number of a canonical immediate, None for any other operand."""
    return int(text[1:], 0) if NUMBER.match(text) else None


LANE = re.compile(r"v\d+\.\d*([bhsdq])\[(-?\w+)\]$|\{.*\.\d*([bhsdq])\}\[(-?\w+)\]$")
LANES = {"b": 16, "h": 8, "s": 4, "d": 2, "q": 1}
AMOUNT = re.compile(r"(lsl|lsr|asr|ror|msl|[us]xt[bhwx]) #(-?\w+)$")
IMMEDIATE = re.compile(r"#(-?\w+)")
# Instructions with an immediate of 64 bits, as a pattern: all others take 32 bits at most.
PATTERNS = LOGICAL | {"mov", "movi"}


def impossible(parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield (operand, sentence) for numbers that no instruction holds.

    The engines cannot be asked about these: they look at the low 32 bits only, or at fewer.
    """
    name, ops = parts[0], parts[1:]
    for index, op in enumerate(ops):
        if lane := LANE.match(op):
            count = LANES[lane.group(1) or lane.group(3)]
            n = int(lane.group(2) or lane.group(4), 0)
            if not 0 <= n < count:
                yield index, f"{op}: expected an index from 0 to {count - 1}; got {n}"
            continue
        if amount := AMOUNT.match(op):
            if not 0 <= int(amount.group(2), 0) <= 63:
                yield index, f"{op}: expected an amount from 0 to 63"
            continue
        pattern = name in PATTERNS and op is ops[-1] and "[" not in op
        for text in IMMEDIATE.findall(op) if not pattern and "." not in op else ():
            if "inf" not in text and not -(1 << 31) <= int(text, 0) < 1 << 32:
                yield index, f"{text} does not fit in any immediate of {name}"
    if name == "ext" and len(ops) == 4:
        count = 8 if ops[0].endswith(".8b") else 16
        start = integer(ops[3])
        if start is not None and not 0 <= start < count:
            yield 3, f"expected the index of a byte, 0 to {count - 1}; got {start}"
    if name == "fmov" and len(ops) == 2 and ops[1][0] == "#" and ops[0][0] in "sdv":
        if float_bits(float(ops[1][1:])) is None:
            yield (
                1,
                f"{ops[1]} does not fit in fmov: it takes n/16 times a power of two, n from 16 to "
                "31, from 0.125 to 31 either sign (zero is `movi d0, #0`, or `fmov d0, xzr`)",
            )
    if re.match(r"(ld|st)[1-4]r?$", name) and ops[-1] == "xzr":
        yield len(ops) - 1, "xzr cannot be what is added: write x0 to x30, or a number"


def refusal(parts: tuple[str, ...], ops: Sequence[tuple[str, int]]) -> Complaint | None:
    """Return the complaint about an instruction that no engine need be asked for; None if one
    must."""
    for place, sentence in impossible(parts):
        strange = unknown(parts[0], ops, ())
        if strange is not None:
            return strange
        found = (finding for check in CERTAIN for finding in check(parts[0], parts[1:]))
        place, sentence = next(found, (place, sentence))
        return Complaint(sentence, ops[place][1] if place < len(ops) else None)
    return None


def doubtful(parts: tuple[str, ...]) -> bool:
    """Return whether an engine may take this, and give a word, where GNU as or another refuses."""
    if parts[0] == "msr" and len(parts) == 3 and READ_ONLY.match(parts[1]):
        return True
    name, last = parts[0], parts[-1]
    if name == "mov" and all(re.match(r"v\d+\.([48]h|[24]s|[12]d)$", op) for op in parts[1:]):
        return True  # whole registers are moved as bytes, 8b or 16b
    n = integer(last)
    if n is not None and len(parts) > 2 and parts[1][0] == "w" and not -(1 << 32) < n < 1 << 32:
        return True  # the immediate is cut to 32 bits
    if n is not None and name in REGISTERS_ONLY or WIDENS.match(name) and last[0] == "x":
        return True
    if name in ("add", "sub", "adds", "subs", "cmp", "cmn") and last.startswith("lsl"):
        # x and w registers mixed are encoded as if all were x
        return len({p[0] for p in parts[1:-1] if REGISTER.match(p) and p != "sp"}) > 1
    return parts[:2] == ("msr", "spsel") and (integer(last) or 0) > 1


def explain(
    parts: tuple[str, ...],
    ops: Sequence[tuple[str, int]],
    why: str,
    macros: Sequence[str],
    engine: str = "the assembler",
) -> Complaint:
    """Return the complaint for an instruction that could not be encoded.

    Without an engine nobody knows whether it exists: only what is certain is said then.

    Args:
        parts: Mnemonic and canonical operands.
        ops: The operands as written, with their offsets.
        why: "refused", "crashed", "slow" or "absent", as `Engine.words` says it.
        macros: Names that may have been meant.
        engine: What the engine is called.
    """
    name = parts[0]
    places = [at for _, at in ops]
    strange = unknown(name, ops, macros)
    if strange is not None:
        return strange
    for check in CERTAIN if why == "absent" else CHECKS:
        for index, sentence in check(name, parts[1:]):
            return Complaint(sentence, places[index] if index < len(places) else None)
    text = name if len(parts) == 1 else f"{name} {', '.join(parts[1:])}"
    if why == "absent":
        return Complaint(f"the kit does not ship `{text[:120]}`, and {NO_ENGINE}: {WHICH_ENGINE}")
    if why in ("crashed", "slow"):
        return Complaint(f"{engine} {'gave up' if why == 'slow' else 'crashed'} on `{text[:120]}`")
    hint = f"; it is written {written(name)}" if shapes(name) else ""
    return Complaint(f"`{text[:120]}` is not an instruction that the kit knows{hint}")


Finding = Iterator[tuple[int, str]]  # operand index, sentence


def _count(name: str, ops: tuple[str, ...]) -> Finding:
    counts = {len(_top(shape.partition(" ")[2])) for shape in shapes(name)}
    if not counts:
        return
    found = len(ops)
    shift = ops and re.match(r"(lsl|lsr|asr|ror|[us]xt[bhwx])\b", ops[-1])
    if found - bool(shift and len(ops) > 1) not in counts and found not in counts:
        if ops and found == max(counts) + 1 and name in ("ldr", "str", "ldp", "stp", "ret"):
            return  # post-index
        yield (
            (found - 1 if found > max(counts) else 99),
            f"{name} with {found} operand{'s' * (found != 1)} does not exist: write "
            f"{written(name)}",
        )


def _top(text: str) -> list[str]:
    return re.findall(r"\[[^\]]*\]|[^,\s][^,]*", text)


def _arithmetic(name: str, ops: tuple[str, ...]) -> Finding:
    if name not in ("add", "sub", "adds", "subs", "cmp", "cmn") or not ops:
        return
    for i, op in enumerate(ops):
        n = integer(op)
        if n is not None and i == (1 if name in ("cmp", "cmn") else 2):
            fits = 0 <= abs(n) <= 0xFFF or abs(n) & 0xFFF == 0 and abs(n) <= 0xFFF000
            if not fits:
                yield (
                    i,
                    f"{n:#x} does not fit in {name}: its immediate has 12 bits (0 to 0xfff), "
                    "optionally LSL #12 (a multiple of 0x1000 up to 0xfff000); load the number "
                    f"into a register (`ldr x9, ={n:#x}`) or go there in two steps",
                )


def _logical(name: str, ops: tuple[str, ...]) -> Finding:
    if name not in LOGICAL:
        return
    n = integer(ops[-1]) if ops else None
    if n is not None and len(ops) == (2 if name == "tst" else 3):
        width = 32 if ops[0][0] == "w" else 64
        if name in REGISTERS_ONLY:
            load = f"ldr {_width(ops[0])}9, ={n:#x}"
            yield 2, f"{name} takes registers only: load the number into one (`{load}`)"
        elif not -(1 << (width - 1)) <= n < 1 << width:
            yield len(ops) - 1, f"{n:#x} does not fit in the {width} bits of {ops[0]}"
        elif not is_bitmask(n, width):
            yield (
                len(ops) - 1,
                f"{n:#x} is not a bitmask immediate: {name} takes one run of ones, rotated, and "
                "repeated every 2, 4, 8, 16, 32 or 64 bits (never 0 or all ones); load the number "
                f"into a register (`ldr x9, ={n:#x}`)",
            )


SHIFTED = ("lsl #0", "lsl #16", "lsl #32", "lsl #48")


def _moves(name: str, ops: tuple[str, ...]) -> Finding:
    n = integer(ops[1]) if len(ops) > 1 else None
    if n is None or name not in ("mov", "movz", "movn", "movk") or not REGISTER.match(ops[0]):
        return
    if name == "mov" and len(ops) == 2:
        width = 32 if ops[0][0] == "w" else 64
        if not -(1 << (width - 1)) <= n < 1 << width:
            yield 1, f"{n:#x} does not fit in the {width} bits of {ops[0]}"
        else:
            spare = f"{_width(ops[0])}9"
            if ops[0] in ("sp", "wsp") and not is_bitmask(n, width):
                yield (
                    1,
                    f"one mov does not bring {n:#x} into {ops[0]}: use `ldr {spare}, ={n:#x}` and "
                    f"`mov {ops[0]}, {spare}`",
                )
            if ops[0] not in ("sp", "wsp") and not is_one_mov(n, width):
                yield (
                    1,
                    f"{n:#x} is too wide for one mov: use `ldr {ops[0]}, ={n:#x}`, or movz and "
                    "movk 16 bits at a time",
                )
    elif name == "mov":
        return
    elif not 0 <= n <= 0xFFFF:
        yield 1, f"{n:#x} does not fit in {name}: its immediate has 16 bits (0 to 0xffff)"
    elif len(ops) > 2 and ops[2] not in SHIFTED[: 2 if ops[0][0] == "w" else 4]:
        yield 2, f"{name} shifts by lsl #0, #16{'' if ops[0][0] == 'w' else ', #32, #48'} only"


def _memory(name: str, ops: tuple[str, ...]) -> Finding:
    index = next((i for i, op in enumerate(ops) if op[0] == "["), None)
    if index is None:
        if name in SCALE or name in UNSCALED or name in PAIRS or name in ("ldr", "str"):
            if len(ops) > 1 and not ops[-1].startswith("#"):
                yield len(ops) - 1, f"the address must be in brackets: `[{ops[-1]}]`"
        return
    if index == 0:
        yield 0, f"the registers come first, then the address: `{name} x0, {ops[0]}`"
    inner = _top(ops[index].strip("[]!"))
    if name in ("ldp", "ldpsw", "ldnp") and ops[0] == ops[1]:
        yield 1, f"{name} loads {ops[0]} twice: what it ends up as is undefined"
    write_back = ops[index].endswith("!") or len(ops) > index + 1
    offset_text = ops[index + 1] if len(ops) > index + 1 else inner[1] if len(inner) > 1 else "#0"
    if write_back and inner[0] in [o.replace("w", "x") for o in ops[:index]]:
        yield index, f"{inner[0]} is both moved and written back: what it ends up as is undefined"
    n = integer(offset_text)
    where = index + 1 if len(ops) > index + 1 else index
    if name in PAIRS:
        size = 4 if ops[0][0] in "ws" or name == "ldpsw" else 16 if ops[0][0] == "q" else 8
        if n is not None and (n % size or not -64 * size <= n <= 63 * size):
            yield (
                where,
                f"offset {n} does not fit: {name} of {ops[0]} takes multiples of {size} from "
                f"{-64 * size} to {63 * size}",
            )
        return
    if name in ("ldr", "str"):
        scale = {"x": 3, "w": 2, "b": 0, "h": 1, "s": 2, "d": 3, "q": 4}.get(ops[0][0], 3)
    else:
        scale = SCALE.get(name, 0)
    if REGISTER.match(offset_text) and (name in SCALE or name in ("ldr", "str")):
        extended = inner[-1].startswith(("uxtw", "sxtw"))
        if write_back:
            yield where, f"with write-back the offset is a number, and {offset_text} is a register"
        elif offset_text[0] == "x" and extended:
            yield where, f"{inner[2][:4]} extends a w register: write w{offset_text[1:]}"
        elif offset_text[0] == "w" and not extended:
            yield where, f"a w register as index is written `[{inner[0]}, {offset_text}, uxtw]`"
        elif len(inner) == 3:
            kind, _, amount = inner[2].partition(" #")
            if kind in ("lsr", "asr", "ror") or int(amount or "0", 0) not in (0, scale):
                way = f"can be shifted by 0 or {scale} only" if scale else "is not shifted"
                yield where, f"the index of {name} {ops[0]} {way}"
    if n is None or name not in SCALE and name not in UNSCALED and name not in ("ldr", "str"):
        if n and name.startswith(("ldx", "ldax", "ldar", "stx", "stlx", "stlr")):
            yield where, f"{name} takes a bare address, [x1], without an offset"
        return
    if write_back or name in UNSCALED:
        if not -256 <= n <= 255:
            what = "with write-back the offset" if write_back else f"the offset of {name}"
            yield where, f"offset {n} does not fit: {what} goes from -256 to 255"
    elif not (0 <= n <= 4095 << scale and n % (1 << scale) == 0 or -256 <= n <= 255):
        yield (
            where,
            f"offset {n:#x} does not fit: {name} of {ops[0]} takes multiples of {1 << scale} up to "
            f"{4095 << scale:#x}, or anything from -256 to 255",
        )


def _small(name: str, ops: tuple[str, ...]) -> Finding:
    """Immediates with a plain range."""
    numbers = [(i, integer(op)) for i, op in enumerate(ops)]
    wide = 64 if ops and ops[0][0] in "xs" else 32
    if name in ("hvc", "svc", "smc", "brk", "hlt", "udf"):
        for i, n in numbers:
            if n is not None and not 0 <= n <= 0xFFFF:
                yield i, f"{n:#x} does not fit: {name} takes a number from 0 to 0xffff"
    if name == "hint" and ops and not 0 <= (integer(ops[0]) or 0) <= 127:
        yield 0, "hint takes a number from 0 to 127"
    if name in ("lsl", "lsr", "asr", "ror", "extr") and numbers and numbers[-1][1] is not None:
        if not 0 <= numbers[-1][1] < wide:
            yield (
                len(ops) - 1,
                f"{ops[0]} has {wide} bits: {name} by 0 to {wide - 1}, not by {numbers[-1][1]}",
            )
    if name in ("ubfx", "sbfx", "bfi", "bfxil", "ubfiz", "sbfiz", "bfc") and len(ops) > 2:
        lsb, width = numbers[-2][1], numbers[-1][1]
        if lsb is not None and width is not None:
            if not (0 <= lsb < wide and 1 <= width <= wide - lsb):
                yield (
                    len(ops) - 2,
                    f"a field of {width} bits from bit {lsb} does not lie within the {wide} bits "
                    f"of {ops[0]}",
                )
    if name in ("ccmp", "ccmn") and len(ops) > 2:
        if numbers[1][1] is not None and not 0 <= numbers[1][1] <= 31:
            yield 1, f"{numbers[1][1]:#x} does not fit: {name} compares with 0 to 31"
        if numbers[2][1] is not None and not 0 <= numbers[2][1] <= 15:
            yield 2, "the flags (nzcv) are a number from 0 to 15"
    if name == "msr" and len(ops) > 1 and numbers[1][1] is not None:
        top = 1 if ops[0] in ("spsel", "pan", "uao") else 15
        if not 0 <= numbers[1][1] <= top and ops[0] in ("daifset", "daifclr", "spsel"):
            yield 1, f"{ops[0]} takes a number from 0 to {top}"
    for i, op in enumerate(ops):
        match = re.match(r"(lsl|lsr|asr|ror) #(\S+)$", op)
        if match and not 0 <= int(match.group(2), 0) < wide:
            yield i, f"{op}: a shift of {ops[0]} goes from 0 to {wide - 1}"
        match = re.match(r"([us]xt[bhwx]) #(\S+)$", op)
        if match and not 0 <= int(match.group(2), 0) <= 4:
            yield i, f"{op}: an extended register is shifted by 0 to 4"


# The names by which a kernel at EL2 reaches EL1's registers (FEAT_VHE).
OF_VHE = {
    *(
        f"{name}_el12"
        for name in "sctlr cpacr ttbr0 ttbr1 tcr afsr0 afsr1 esr far mair amair vbar contextidr "
        "cntkctl spsr elr".split()
    ),
    *(f"cnt{timer}_{part}_el02" for timer in "pv" for part in ("tval", "ctl", "cval")),
}


def _names(name: str, ops: tuple[str, ...]) -> Finding:
    """System registers, conditions and operations that do not exist."""
    index = {"mrs": 1, "msr": 0}.get(name)
    if index is not None and len(ops) > index and not ops[index].startswith(("#", "s3_", "s2_")):
        reg = ops[index]
        other = ops[1 - index] if len(ops) == 2 else ""
        if reg in OF_VHE:
            yield (
                index,
                f"{reg} exists from Armv8.1 (VHE) on, for a kernel that runs at EL2; the machine "
                f"is a Cortex-A72: use {reg[:-1]}, or an s3_5_cN_cM_y name",
            )
        if other.startswith("w"):
            yield 1 - index, f"{name} moves 64 bits: write x{other[1:]}, not {other}"
        if REGISTER.match(reg):
            yield index, f"{name} is written `{shapes(name)[0]}`"
        if reg in ("daifset", "daifclr"):
            yield (
                index,
                f"{reg} is only written, and with a number: `msr {reg}, #2`; `mrs x0, daif` reads "
                "what it changes",
            )
        if integer(other) is not None:
            yield 1, f"msr writes what a register holds: put {other} into one first"
        names = [name.lower() for name in sysregs.SYSREGS]
        if reg in names or (READ_ONLY if name == "msr" else WRITE_ONLY).match(reg):
            way = "read" if name == "mrs" else "written"
            yield index, f"{reg} cannot be {way} with {name}"
        close = difflib.get_close_matches(reg, names, 1, 0.7)
        hint = f"; did you mean {close[0]}?" if close else ""
        yield (
            index,
            f"{reg!r} is not a system register known here{hint} (any register can be written as "
            "s3_4_c12_c9_5: op0, op1, CRn, CRm, op2)",
        )
    if name in ("csel", "csinc", "csinv", "csneg", "cset", "csetm", "cinc", "cinv", "cneg", "ccmp",
                "ccmn") and ops:  # fmt: skip
        if ops[-1] not in NUMBERS:
            yield (
                len(ops) - 1,
                f"{ops[-1]!r} is not a condition: eq ne hs lo mi pl vs vc hi ls ge lt gt le",
            )
    if name in ("dsb", "dmb") and ops and not ops[0].startswith("#"):
        yield 0, f"{name} takes sy, st, ld, ish, ishst, ishld, nsh, nshst, nshld, osh, oshst, oshld"
    if name in ("tlbi", "at", "dc", "ic") and ops:
        lone = len(ops) == 1
        yield (
            0,
            f"the kit knows no {name} {ops[0]} {'without' if lone else 'with'} a register; examples: "
            f"{written(name)}",
        )


def _widened(name: str, ops: tuple[str, ...]) -> Finding:
    """Sign and zero extension start from a w register, as an instruction (sxtw x0, w1) and within
    one (add x0, x1, w2, sxtw)."""
    if name in LOGICAL and ops and re.match(r"[su]xt[bhwx]\b", ops[-1]):
        yield len(ops) - 1, f"{name} shifts its last register (lsl, lsr, asr, ror) or leaves it"
    for i, reg in enumerate(ops):
        extend = WIDENS.match(name if i == len(ops) - 1 else ops[i + 1])
        if extend and REGISTER.match(reg) and reg[0] == "x":
            yield i, f"{extend.group()} extends a w register: write w{reg[1:]}, not {reg}"


def _whole(name: str, ops: tuple[str, ...]) -> Finding:
    """A whole vector register is moved as bytes."""
    if name == "mov" and len(ops) == 2 and all(re.match(r"v\d+\.\d+[hsd]$", op) for op in ops):
        moved = ", ".join(f"{op.partition('.')[0]}.16b" for op in ops)
        yield 0, f"a whole vector register is moved as bytes: `mov {moved}`"


def _half(name: str, ops: tuple[str, ...]) -> Finding:
    """Arithmetic on half-precision numbers is Armv8.2."""
    for index, op in enumerate(ops):
        if re.match(r"h\d+$|v\d+\.[48]h$", op) and name[0] == "f" and "cvt" not in name:
            yield index, f"{name} of half-precision numbers ({op}) is newer than a Cortex-A72"


def _registers(name: str, ops: tuple[str, ...]) -> Finding:
    found = [(i, op) for i, op in enumerate(ops) if REGISTER.match(op)]
    widths = {_width(op) for _, op in found}
    if name in ("ldrb", "strb", "ldrh", "strh", "stlrb", "stlrh") and ops and ops[0][0] == "x":
        yield 0, f"{name} moves less than 32 bits: write w{ops[0][1:]}, not {ops[0]}"
    if name in ("stxr", "stlxr") and ops and ops[0][0] == "x":
        yield 0, f"the status register of {name} is a w register: w{ops[0][1:]}"
    if name in NO_SP:
        for i, op in found:
            if op in ("sp", "wsp"):
                yield i, f"{op} cannot be used here: copy it first (`mov x9, sp`)"
    mixes = name in SAME_WIDTH or name in ("add", "sub", "adds", "subs", "cmp", "cmn")
    if mixes and len(widths) > 1:
        first = found[0][1]
        i, op = next((i, op) for i, op in found if _width(op) != _width(first))
        extensible = name in ("add", "sub", "cmp") and i == found[-1][0]
        other = {"sp": "wsp", "wsp": "sp"}.get(op, _width(first) + op[1:])
        yield (
            i,
            f"{first} and {op} have different widths: write {other}"
            + (f" (or `{op}, uxtw`)" if extensible and op[0] == "w" and op != "wsp" else ""),
        )
    if name in ("smulh", "umulh", "br", "blr", "ret", "rev32") and "w" in widths:
        yield found[0][0], f"{name} takes 64-bit registers, x{found[0][1][1:]}"
    if name in ("mul", "madd", "msub", "mneg", "sdiv", "udiv", "csel", "csinc", "smulh", "umulh",
                "adc", "sbc", "neg", "br", "blr"):  # fmt: skip
        for i, op in enumerate(ops[:3]):
            if integer(op) is not None:
                yield i, f"{name} takes registers only: put {op} into a register first"
    if name in ("mrs", "cset", "mov", "add", "sub", "and", "orr", "ldr") and ops:
        if integer(ops[0]) is not None:
            yield 0, f"the first operand of {name} is the register that receives the result"


Check = Callable[[str, tuple[str, ...]], Finding]
# True whatever the engine says: the tests hold them to every form that GNU as takes.
CERTAIN: tuple[Check, ...] = (_arithmetic, _moves, _small)
# Sentences about an instruction that the engine has refused.
CHECKS: tuple[Check, ...] = (
    _arithmetic, _moves, _widened, _small, _half, _whole, _names, _count, _memory, _registers, _logical,
)  # fmt: skip
