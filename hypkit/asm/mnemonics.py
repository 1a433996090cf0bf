"""Known mnemonics, their syntax, and diagnostics for unknown ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from hypkit.a64.conditions import NUMBERS
from hypkit.a64.disassembler import mnemonics
from hypkit.asm.encode import branch_condition
from hypkit.asm.expressions import Complaint

# How common instructions are written; also the names that a misspelt one is compared with.
SHAPES = {
    **dict.fromkeys("add sub adds subs".split(), "{} x0, x1, x2 or {} x0, x1, #12"),
    **dict.fromkeys("cmp cmn".split(), "{} x0, x1 or {} x0, #12"),
    **dict.fromkeys("and orr eor ands".split(), "{} x0, x1, x2 or {} x0, x1, #0xff"),
    "tst": "tst x0, x1 or tst x0, #0xff",
    **dict.fromkeys(
        "bic bics orn eon adc adcs sbc sbcs mul mneg sdiv udiv smulh umulh".split(), "{} x0, x1, x2"
    ),
    **dict.fromkeys("lsl lsr asr ror".split(), "{} x0, x1, #3 or {} x0, x1, x2"),
    **dict.fromkeys("mov".split(), "{} x0, x1 or {} x0, #1"),
    **dict.fromkeys("movz movn movk".split(), "{} x0, #0xffff or {} x0, #0xffff, lsl #16"),
    **dict.fromkeys("mvn neg negs ngc ngcs clz cls rbit rev rev16 rev32".split(), "{} x0, x1"),
    **dict.fromkeys("sxtb sxth sxtw".split(), "{} x0, w1"),
    **dict.fromkeys("uxtb uxth".split(), "{} w0, w1"),
    **dict.fromkeys("ubfx sbfx bfi bfxil ubfiz sbfiz".split(), "{} x0, x1, #lsb, #width"),
    **dict.fromkeys("ubfm sbfm bfm".split(), "{} x0, x1, #immr, #imms"),
    "bfc": "bfc x0, #lsb, #width",
    "extr": "extr x0, x1, x2, #3",
    **dict.fromkeys("madd msub".split(), "{} x0, x1, x2, x3"),
    **dict.fromkeys("smull umull smnegl umnegl".split(), "{} x0, w1, w2"),
    **dict.fromkeys("smaddl umaddl smsubl umsubl".split(), "{} x0, w1, w2, x3"),
    **dict.fromkeys("csel csinc csinv csneg".split(), "{} x0, x1, x2, eq"),
    **dict.fromkeys("cset csetm".split(), "{} x0, eq"),
    **dict.fromkeys("cinc cinv cneg".split(), "{} x0, x1, eq"),
    **dict.fromkeys("ccmp ccmn".split(), "{} x0, x1, #nzcv, eq or {} x0, #5, #nzcv, eq"),
    **dict.fromkeys(
        "ldr str ldrb strb ldrh strh ldrsb ldrsh ldrsw ldur stur".split(), "{} x0, [x1, #8]"
    ),
    **dict.fromkeys("ldp stp ldpsw ldnp stnp".split(), "{} x0, x1, [sp, #16]"),
    **dict.fromkeys("ldxr ldaxr ldar stlr".split(), "{} x0, [x1]"),
    **dict.fromkeys("stxr stlxr".split(), "{} w2, x0, [x1]"),
    **dict.fromkeys("hvc svc smc brk hlt".split(), "{} #0"),
    **dict.fromkeys("br blr".split(), "{} x0"),
    "ret": "ret or ret x30",
    "eret": "eret",
    "mrs": "mrs x0, esr_el2",
    "msr": "msr vbar_el2, x0 or msr daifset, #15",
    **dict.fromkeys("dsb dmb".split(), "{} sy or {} ish"),
    "isb": "isb",
    "tlbi": "tlbi alle2 or tlbi vae2is, x0",
    "at": "at s1e2r, x0",
    "dc": "dc civac, x0",
    "ic": "ic iallu or ic ivau, x0",
    "hint": "hint #20",
    "nop": "nop",
}
OTHERS = set(
    "b bl cbz cbnz tbz tbnz adr adrp adr_l ldr_l str_l prfm prfum sys sysl drps clrex yield wfe "
    "wfi sev sevl sb csdb esb bti paciasp autiasp udf uxtw ldurb ldurh ldursb ldursh ldursw sturb "
    "sturh ldtr sttr ldtrb ldtrh ldtrsb ldtrsh ldtrsw sttrb sttrh ldxrb ldxrh ldaxrb ldaxrh ldarb "
    "ldarh stlrb stlrh stxrb stxrh stlxrb stlxrh ldxp ldaxp stxp stlxp lslv lsrv asrv rorv dcps1 "
    "dcps2 dcps3 fmov fadd fsub fmul fdiv fcmp fcsel scvtf ucvtf fcvtzs fcvtzu movi dup umov ld1 "
    "st1 ldnp stnp crc32b crc32x".split()
)
CONDITIONAL = {f"b.{condition}" for condition in NUMBERS if condition != "nv"}
NEWER = re.compile(
    r"(?P<lse>(ld|st)(add|clr|eor|set|smax|smin|umax|umin)(a|l|al)?[bh]?$|swp(a|l|al)?[bh]?$"
    r"|casp?(a|l|al)?[bh]?$)"
    r"|(?P<pac>pac|aut|xpac|retaa|retab|eretaa|eretab|bl?ra[ab]z?$|ldra[ab]$)"
    r"|(?P<mte>irg$|stg|ldg|st2g|stzg|addg$|subg$|gmi$|subps?$)"
    r"|(?P<other>ldapr|ldlar|stllr|rmif$|setf|cfinv$|axflag$|xaflag$|wfet$|wfit$|rprfm$|cpy|set[gpme]|mrrs$|msrr$|sysp$|ldapur|stlur|ld[afi]?lapr"
    r"|fjcvtzs$|stz2g$|f(cmla|cadd)$|([us]|us|su)dot$|sqrdml[as]h$|bf(cvt|dot|mmla|mlal)|[us]+mmla$"
    r"|sm[34]|sha512|eor3$|rax1$|xar$|bcax$|fml[as]l2?$|chkfeat$|gcs|rcw|frint(32|64)|dgh$|ld64|st64)"
)
NEWER_TEXT = {
    "lse": "an LSE atomic (Armv8.1); use a loop of ldaxr and stlxr",
    "pac": "pointer authentication (Armv8.3); of it only hints such as paciasp are known here",
    "mte": "memory tagging (Armv8.5)",
    "other": "an extension newer than Armv8.0",
}
FOREIGN = {  # of other architectures
    "push": "stp x0, x1, [sp, #-16]!", "pop": "ldp x0, x1, [sp], #16", "jmp": "b label",
    "call": "bl label", "xor": "eor x0, x1, x2", "not": "mvn x0, x1", "lea": "adr_l x0, label",
    "je": "b.eq label", "jne": "b.ne label", "inc": "add x0, x0, #1", "dec": "sub x0, x0, #1",
    "bx": "br x0", "blx": "blr x0", "swi": "svc #0", "rsb": "neg x0, x1", "vmcall": "hvc #0",
    "li": "mov x0, #1", "la": "adr_l x0, label", "j": "b label", "ecall": "hvc #0",
}  # fmt: skip


def shapes(name: str) -> list[str]:
    """Return how a common instruction is written, an example a form; empty for another."""
    return [s.replace("{}", name) for s in SHAPES.get(name, "").split(" or ") if s]


def written(name: str) -> str:
    """Return the same as a text: `ret` or `ret x30`."""
    return " or ".join(f"`{shape}`" for shape in shapes(name))


def known(name: str) -> bool:
    """Return whether hypkit itself has something to say of a mnemonic."""
    return name in SHAPES or name in OTHERS or branch_condition(name) is not None


def unknown(name: str, ops: Sequence[tuple[str, int]], macros: Sequence[str]) -> Complaint | None:
    """Return the complaint about a mnemonic that does not exist here; None if it may."""
    if known(name):
        return None
    newer = NEWER.match(name)
    if newer:
        kind = newer.lastgroup or "other"
        return Complaint(
            f"{name} is {NEWER_TEXT[kind]}: this assembler, and the Cortex-A72 that the "
            "machine is, are Armv8.0"
        )
    if name in mnemonics():
        return None
    names = [*SHAPES, *OTHERS, *CONDITIONAL, *macros]
    close = difflib.get_close_matches(name, names, 1, 0.7) if len(name) < 40 else []
    hint = ""
    if name in FOREIGN:
        hint = f"; on A64 this is `{FOREIGN[name]}`"
    elif close:
        hint = f"; did you mean `{close[0]}`?"
    elif not ops or known(ops[0][0].split()[0].lower()):
        hint = f"; a label has a colon after it: `{name[:40]}:`"
    return Complaint(f"unknown instruction `{name[:40]}`{hint}")
