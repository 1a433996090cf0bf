"""Thousands of instructions, each mnemonic with the operands where encoders go wrong."""

from itertools import product

IMMEDIATES = (0, 1, 8, 31, 32, 63, 64, 255, 256, -1, -16, -256, -257, 504, 512, 4095, 4096, 0x1001,
              0xFFF000, 0x1000000, 32760, 0xFFFF, 0x10000, 0xFFFF0000, 0xFFFFFFFF, -4096, -65537,
              0xFFFFFFFF00000000, 0xFFFFFFFFFFFFFFF0, 0x00FF00FF00FF00FF,
              0x5555555555555555, 0x8000000000000000)  # fmt: skip
OFFSETS = (0, 1, 4, 8, 16, -1, -8, 255, 256, -256, -257, 4095, 8190, 16380, 32760, 32768)
CONDITIONS = "eq ne cs hs cc lo mi pl vs vc hi ls ge lt gt le al".split()
REGISTERS = {"x": ("x0", "x30", "xzr", "sp"), "w": ("w1", "w30", "wzr", "wsp")}
SYSTEM = """
esr_el1 esr_el2 elr_el1 elr_el2 spsr_el1 spsr_el2 vbar_el1 vbar_el2 vttbr_el2 vtcr_el2 hcr_el2
sctlr_el1 sctlr_el2 tcr_el1 tcr_el2 ttbr0_el1 ttbr1_el1 ttbr0_el2 mair_el1 mair_el2 amair_el1
tpidr_el0 tpidr_el1 tpidr_el2 tpidrro_el0 cntvoff_el2 cnthctl_el2 cntkctl_el1 cntv_ctl_el0
cntv_cval_el0 cntp_ctl_el0 cnthp_ctl_el2 cntpct_el0 cntvct_el0 cntfrq_el0 mdcr_el2 mdscr_el1
cptr_el2 hstr_el2 hacr_el2 far_el1 far_el2 hpfar_el2 par_el1 afsr0_el1 afsr1_el2 actlr_el1
actlr_el2 cpacr_el1 contextidr_el1 csselr_el1 ccsidr_el1 clidr_el1 ctr_el0 dczid_el0 midr_el1
mpidr_el1 vmpidr_el2 vpidr_el2 sp_el0 sp_el1 spsel daif nzcv fpcr fpsr currentel isr_el1
id_aa64mmfr0_el1 id_aa64mmfr1_el1 id_aa64mmfr2_el1 id_aa64pfr0_el1 scr_el3 vbar_el3 dacr32_el2
oslar_el1 dbgbvr0_el1 pmcr_el0 pmccntr_el0 pmuserenr_el0 ich_hcr_el2 ich_vtr_el2 ich_misr_el2
ich_eisr_el2 ich_elrsr_el2 ich_vmcr_el2 ich_ap0r0_el2 ich_ap1r3_el2 ich_lr0_el2 ich_lr15_el2
icc_sre_el1 icc_sre_el2 icc_iar1_el1 icc_eoir1_el1 icc_pmr_el1 icc_bpr1_el1 icc_ctlr_el1
icc_igrpen1_el1 icc_sgi1r_el1 s3_4_c12_c11_0 s3_6_c1_c1_0 s2_0_c0_c4_5
""".split()
EXTENDS = "lsl lsr asr ror uxtb uxth uxtw uxtx sxtb sxth sxtw sxtx".split()


SIMD = """
ld1 {v0.b}[1], [x0]
ld2 {v0.h, v1.h}[3], [x1], #4
ld3 {v0.s - v2.s}[3], [x2], x3
st4 {v0.d - v3.d}[1], [sp]
st1 {v9.2d}, [x4]
ld1r {v1.4s}, [x5]
aese v0.16b, v1.16b
sha1c q0, s1, v2.4s
sha256h q0, q1, v2.4s
pmull v0.1q, v1.1d, v2.1d
pmull v0.8h, v1.8b, v2.8b
ext v0.8b, v1.8b, v2.8b, #3
fmov d0, #1.5
fmov v1.2d, #2.0
dup v0.4s, v1.s[2]
ins v0.d[1], x2
umov w0, v1.b[15]
movi v0.4s, #0xff, msl #8
movi v1.2d, #0xff00
mvni v2.8h, #1
fcmp d0, #0.0
fcmeq v0.4s, v1.4s, #0.0
fmla v0.4s, v1.4s, v2.s[3]
shl v0.4s, v1.4s, #3
sshr d0, d1, #63
scvtf d0, x1, #3
tbl v0.8b, {v1.16b, v2.16b}, v3.8b
prfm pldl1keep, [x0, x1, lsl #3]
prfm #6, [x0]
crc32x w0, w1, x2
ldr q0, [x1, #16]
str d0, [sp, #-8]!
ldp q0, q1, [x2], #32
mov v0.b[3], v1.b[2]
orr v0.4s, #1, lsl #8
sys #3, c7, c4, #1, x0
msr s3_4_c12_c11_5, x1
ccmp x0, #3, #4, ne
ror x0, x1, #3
bfi x0, x1, #8, #16
hint #20
""".strip().splitlines()


def forms() -> list[str]:
    """The lines, without repetition. Many are no instructions: the judge says which."""
    out: dict[str, None] = {}

    def add(name: str, *ops: object) -> None:
        out[f"{name} " + ", ".join(f"#{o}" if isinstance(o, int) else str(o) for o in ops)] = None

    for k, (a, b, z, s) in REGISTERS.items():
        for m in "add sub adds subs and orr eor ands bic orn eon bics".split():
            for r in (b, z, s):
                add(m, r, a, b), add(m, a, r, b), add(m, a, b, r)
            for n in IMMEDIATES:
                add(m, a, b, n), add(m, s, b, n)
            for e, n in product(EXTENDS, (0, 1, 4, 31, 63)):
                add(m, a, b, a, f"{e} #{n}")
                if k == "x":
                    add(m, "x0", "x1", "w2", f"{e} #{n}")
            add(m, a, b, 1, "lsl #12"), add(m, a, b, a, "sxtx")
        for m in "cmp cmn tst neg negs mvn mov".split():
            for r in (b, z, s):
                add(m, r, a), add(m, a, r)
            for n in IMMEDIATES:
                add(m, a, n), add(m, s, n)
            for e, n in product(EXTENDS, (0, 3, 31, 63)):
                add(m, a, b, f"{e} #{n}")
        for m in "movz movn movk".split():
            for n in IMMEDIATES:
                add(m, a, n)
            for n, shift in product((0, 1, 0xFFFF), (0, 16, 32, 48)):
                add(m, a, n, f"lsl #{shift}")
        for m in "lsl lsr asr ror".split():
            add(m, a, b, a)
            for n in (0, 1, 31, 32, 63):
                add(m, a, b, n)
        for m in "ubfx sbfx bfi bfxil ubfiz sbfiz ubfm sbfm bfm".split():
            for n, width in product((0, 1, 31, 63), (0, 1, 8, 31, 33, 63, 64)):
                add(m, a, b, n, width)
        for n in (0, 1, 31, 63):
            add("extr", a, b, a, n)
        for m in "mul mneg sdiv udiv adc adcs sbc sbcs smulh umulh lslv rorv".split():
            add(m, a, b, z)
        for m in "madd msub".split():
            add(m, a, b, z, a)
        for m in "clz cls rbit rev rev16 rev32 sxtb sxth sxtw uxtb uxth uxtw ngc ngcs".split():
            add(m, a, b), add(m, a, "w1")
        for c in CONDITIONS:
            for m in "csel csinc csinv csneg".split():
                add(m, a, b, z, c)
            for m in "cinc cinv cneg".split():
                add(m, a, b, c)
            add("cset", a, c), add("csetm", a, c)
            add("ccmp", a, 31, 15, c), add("ccmn", a, b, 0, c)
        for (
            m
        ) in "ldr str ldrb strb ldrh strh ldrsb ldrsh ldrsw ldur stur ldurb sturh ldursw".split():
            for n in OFFSETS:
                add(m, a, f"[x5, #{n}]"), add(m, a, f"[x5, #{n}]!"), add(m, a, "[sp]", n)
            for e in ("x2", "x2, lsl #1", "x2, lsl #2", "x2, lsl #3", "w2, uxtw", "w2, sxtw #2",
                      "w2, sxtw #3", "x2, sxtx", "x2, sxtx #3", "xzr"):  # fmt: skip
                add(m, z, f"[x5, {e}]")
            add(m, a, "[x5]")
        for m in "ldp stp ldpsw ldnp stnp".split():
            for n in (0, 4, 8, 16, -16, 252, -256, 504, -512, 512):
                add(m, a, b, f"[sp, #{n}]"), add(m, a, b, f"[x5, #{n}]!"), add(m, a, b, "[sp]", n)
        for m in "ldxr ldaxr ldar stlr ldxrb ldaxrh ldarb stlrh".split():
            add(m, a, "[x5]"), add(m, a, "[sp]")
        for m in "stxr stlxr stxrb stlxrh".split():
            add(m, "w7", a, "[x5]")
        add("ldxp", a, b, "[x5]"), add("stlxp", "w7", a, b, "[x5]")
    for m in "smull umull smnegl umnegl".split():
        add(m, "x0", "w1", "w2")
    for m in "smaddl umaddl smsubl umsubl".split():
        add(m, "x0", "w1", "w2", "x3")
    for m, n in product("svc hvc smc brk hlt udf hint".split(), (0, 1, 20, 127, 0xFFFF)):
        add(m, n)
    for m in "ret eret drps nop wfi wfe sev sevl yield clrex isb sb csdb esb paciasp bti".split():
        out[m] = None
    for m, r in product("ret br blr".split(), ("x0", "x30", "xzr")):
        add(m, r)
    barriers = "sy st ld ish ishst ishld nsh nshst nshld osh oshst oshld #3".split()
    for m, o in product("dsb dmb isb".split(), barriers):
        add(m, o)
    for r in SYSTEM:
        add("mrs", "x3", r), add("msr", r, "x3")
    for r, n in product("spsel daifset daifclr".split(), (0, 1, 15)):
        add("msr", r, n)
    for o in "vmalle1 alle1 alle2 vmalls12e1 vae1 vae2 vale2 aside1 vaae1 ipas2e1 ipas2le1".split():
        for s in ("", "is"):
            add("tlbi", o + s), add("tlbi", o + s, "x4")
    for o in "s1e1r s1e1w s1e0r s1e2r s1e2w s12e1r s12e1w s12e0r".split():
        add("at", o, "x4")
    for o in "zva ivac isw cvac csw cvau civac cisw".split():
        add("dc", o, "x4")
    add("ic", "iallu"), add("ic", "ialluis"), add("ic", "ivau", "x4")
    for o, a in product("pldl1keep pldl2strm plil1keep pstl3keep #6".split(),
                        ("[x0]", "[x0, #8]", "[x0, x1, lsl #3]")):  # fmt: skip
        add("prfm", o, a)
    out |= dict.fromkeys(SIMD)
    for m, (a, b) in product(("ld", "st"), (("[x3]", "[sp]"), ("[x3], x4", "[sp], x30"))):
        for count, (k, top, size) in product(
            (1, 2, 3, 4), (("b", 15, 1), ("h", 7, 2), ("s", 3, 4), ("d", 1, 8))
        ):
            for lane, start in product((0, 1, top, top + 1), (0, 29)):
                names = ", ".join(f"v{(start + n) % 32}.{k}" for n in range(count))
                for where in (a, b, f"[x3], #{size * count}", f"[x3], #{size * count + 1}"):
                    add(f"{m}{count}", f"{{{names}}}[{lane}]", where)
    for m in "aese aesd aesmc aesimc sha1h sha1su1 sha256su0".split():
        for t in ("v0.16b, v31.16b", "v0.4s, v1.4s", "s0, s31", "v0.8b, v1.8b", "v0.16b"):
            out[f"{m} {t}"] = None
    for m in "sha1c sha1p sha1m sha1su0 sha256h sha256h2 sha256su1 pmull pmull2".split():
        for t in ("q0, s1, v31.4s", "q0, q1, v31.4s", "v0.4s, v1.4s, v31.4s", "v0.1q, v1.1d, v31.1d",
                  "v0.1q, v1.2d, v31.2d", "v0.8h, v1.8b, v31.8b", "v0.8h, v1.16b, v31.16b"):  # fmt: skip
            out[f"{m} {t}"] = None
    for r, n in product(("d0", "s31", "v1.2s", "v2.4s", "v3.2d", "x4", "h5", "v6.8h"),
                        ("1", "#1", "#-1.0", "#.125", "#31", "#1.9375e0", "#0.1", "#0.0", "#32",
                         "#0x1", "#0.0625", "#- 2.", "#1e400", "#3.1E+1", "#1.9375000")):  # fmt: skip
        out[f"fmov {r}, {n}"] = None
    for r in ("d0", "s1", "v2.4s", "v3.2d"):
        for m, n in product(("fcmp", "fcmpe", "fcmeq", "fcmle"), ("#0", "#0.0", "#0e5", "#1.0")):
            out[f"{m} {r}, {n}"] = out[f"{m} {r}, {r}, {n}"] = None
    for shape in "8b 16b 4h 8h 2s 4s 1d 2d".split():
        for m in "mov mvn not rbit abs cnt rev64 fneg xtn sxtl".split():
            out[f"{m} v0.{shape}, v1.{shape}"] = None
        for m in "and orr bic add mul fadd pmul pmull cmeq zip1 sqdmulh".split():
            out[f"{m} v0.{shape}, v1.{shape}, v2.{shape}"] = None
    for n in (0, 7, 8, 15, 16, 32):
        add("ext", "v0.8b", "v1.8b", "v2.8b", n), add("ext", "v0.16b", "v1.16b", "v2.16b", n)
        add("movi", "v0.4s", 255, f"lsl #{n}"), add("movi", "v0.8h", 255, f"lsl #{n}")
        add("movi", "v0.4s", 255, f"msl #{n}"), add("shl", "v0.4s", "v1.4s", n)
        (
            add("umov", "w0", f"v1.b[{n}]"),
            add("ins", f"v1.s[{n}]", "w0"),
            add("dup", "d0", f"v1.d[{n}]"),
        )
    return list(out)
