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
    return list(out)
