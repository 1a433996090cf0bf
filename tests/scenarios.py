"""The runs that an outside judge follows row by row: a machine, and the requests in its mailbox.

A scenario may end in a panic, in a restart or in the board switching itself off; what counts is
that both emulators get there by the same instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hypkit import VARIANTS, Machine, facts
from hypkit.kernel.variants import HYPERCALLS, review_combinations

Requests = list[tuple[int, ...]]
ALL_ONES = (1 << 64) - 1

# Arguments that make every handler do its work.
ARGUMENTS = {call.name: call.example for call in facts.hypercalls()}


@dataclass(frozen=True)
class Scenario:
    """One run: a machine's variant, seed and perhaps dispatcher, and what to ask of it."""

    name: str
    variant: str
    seed: int
    requests: Callable[[Machine], Requests]
    dispatcher: str | None = None

    def machine(self) -> Machine:
        return Machine(self.variant, seed=self.seed, dispatcher=self.dispatcher)

    def __str__(self) -> str:
        return f"{self.variant}-{self.seed}-{self.name}"


def all_calls(m: Machine) -> Requests:
    """Every hypercall; the VM twice, then the VM that touches an address stage 2 does not map."""
    calls = [m.request(name, *ARGUMENTS.get(name, ())) for name in HYPERCALLS]
    run = "__kvm_vcpu_run_nvhe"
    return [*calls, m.request(run, "vcpu0"), m.request(run, "vcpu1"), *calls]


def gic_registers(m: Machine) -> Requests:
    """Values that ICH_VMCR_EL2 does not take as they are."""
    values = (0, 0xFFFF_FFFF, 0x1234_5678, 0xFF00_00FF, 0x0044_0000)
    return [
        request
        for value in values
        for request in (m.request("__vgic_v3_write_vmcr", value), m.request("__vgic_v3_read_vmcr"))
    ]


def stub_calls(m: Machine) -> Requests:
    """KVM's answer to the stub calls, KVM leaving, and the stub answering for itself."""
    return [
        m.request(0),
        m.request(0, 5),
        m.request(2),
        m.request(7),
        m.request(ALL_ONES),
        m.request(0, m.image.pa("__hyp_stub_vectors")),
        m.request(2),
        m.request(3),
    ]


def restart(m: Machine) -> Requests:
    """SOFT_RESTART into the kernel's own entry, from KVM; then a call to the new kernel."""
    return [m.request(1, m.image.entry, 0x11, 0x22, 0x33), m.request("__kvm_get_mdcr_el2")]


def restart_from_the_stub(m: Machine) -> Requests:
    return [
        m.request(2),
        m.request(1, m.image.entry, 0x11, 0x22, 0x33),
        m.request("__kvm_get_mdcr_el2"),
    ]


def raw(*x0: int | str) -> Callable[[Machine], Requests]:
    """HVC with each of these in x0; a name in brackets is taken in that space: 'panic[hyp]'."""

    def requests(m: Machine) -> Requests:
        return [
            m.request(value if isinstance(value, int) else _address(m, value), 1, 2, 3, 4, 5, 6)
            for value in x0
        ]

    return requests


def _address(m: Machine, text: str) -> int:
    """'label[space]+offset' as an address."""
    label, _, rest = text.partition("[")
    space, _, offset = rest.partition("]")
    return m.address(label, space) + int(offset or 0)


def pointer_argument(name: str, *args: int | str) -> Callable[[Machine], Requests]:
    return lambda m: [
        m.request(name, *(_address(m, a) if isinstance(a, str) and "[" in a else a for a in args))
    ]


REJECTED = (3, 0xFF, 0x10E, 0xFFF, 0x1000, 1 << 31, 1 << 63, ALL_ONES, 0x7FFF_FFFF_FFFF_FFFF)
# What EL2 cannot jump to: unmapped, mapped but not executable, not an instruction's address.
BAD_POINTERS = {
    "small": 3,
    "0x1000": 0x1000,
    "2^31": 1 << 31,
    "2^63": 1 << 63,
    "all ones": ALL_ONES,
    "image address": "__kvm_get_mdcr_el2[image]",
    "data": "mailbox_next[linear]",
    "read-only data": "kimage_voffset[linear]",
    "misaligned": "__kvm_get_mdcr_el2[linear]+2",
    "host text": "host_call[linear]",
}
BAD_ARGUMENTS = {
    "vcpu nowhere": pointer_argument("__kvm_vcpu_run_nvhe", 0x123456789),
    "vcpu at zero": pointer_argument("__kvm_vcpu_run_nvhe", 0),
    "kvm nowhere": pointer_argument("__kvm_tlb_flush_vmid", 0x123456789),
    "aprs into read-only data": pointer_argument(
        "__vgic_v3_save_aprs", "kimage_voffset[linear]-392"
    ),
    "vcpu across a page's end": pointer_argument("__vgic_v3_save_aprs", "vcpu1[linear]+3700"),
}
# Exceptions that EL2 takes to itself, and instructions that nothing in the kernel executes.
AT_EL2 = {
    "hvc": "hvc #0x1234",
    "svc": "svc #7",
    "brk": "brk #0xbad",
    "undefined": ".inst 0",
    "mrs of nothing": "mrs x0, s3_4_c12_c8_4",
    "ldrsw": "ldrsw x5, [x1]",
    "ldrb": "ldrb w5, [x1, #1]",
    "ldp": "ldp x5, x6, [x1]",
    "post-index": "ldr x5, [x1], #8",
    "register offset": "str x5, [x1, x2, lsl #3]",
    "write to text": "adr x5, dispatch\n str x5, [x5]",
    # Registers of the GIC: all that this one has, and those that it has not.
    "ich_hcr": "mov x5, #-1\n msr s3_4_c12_c11_0, x5\n mrs x6, s3_4_c12_c11_0\n"
    " msr s3_4_c12_c11_0, xzr",
    "ich_lr3": "mov x5, #-1\n msr s3_4_c12_c12_3, x5\n mrs x6, s3_4_c12_c12_3\n"
    " msr s3_4_c12_c12_3, xzr",
    "ich_lr4": "mrs x5, s3_4_c12_c12_4",
    "ich_lr15": "msr s3_4_c12_c13_7, x5",
    "ich_ap1r1": "mrs x5, s3_4_c12_c9_1",
    "ich_ap0r0": "mov x5, #-1\n msr s3_4_c12_c8_0, x5\n mrs x6, s3_4_c12_c8_0",
    "ich_vtr": "mrs x5, s3_4_c12_c11_1\n msr s3_4_c12_c11_1, x5",
    # Accesses that are no plain load or store: of vectors, of a block to be zeroed.
    "str of a vector": "str q0, [x1]",
    "ldp of vectors": "adr x5, dispatch\n stp q0, q1, [x5, #32]",
    "st1": "st1 {v0.4s, v1.4s}, [x1], #32",
    "ld3": "ld3 {v0.8b, v1.8b, v2.8b}, [x1]",
    "ld4r": "ld4r {v0.4s, v1.4s, v2.4s, v3.4s}, [x1]",
    "st1 of one lane": ".inst 0x4d9f8020",  # st1 {v0.s}[2], [x1], #4
    "ld2 of one lane": ".inst 0x4de28420",  # ld2 {v0.d, v1.d}[1], [x1], x2
    "st1 across a page's end": "mov x5, sp\n sub x5, x5, #8\n st1 {v0.16b}, [x5]",
    "dc zva": "add x1, x1, #37\n dc zva, x1",
    "dc zva on text": "adr x5, dispatch\n dc zva, x5",
    # Acquire and release, and exclusives: unaligned is a fault whatever SCTLR_EL2.A says.
    **{
        f"{form.format('x10')} {how}": f"sub x10, sp, #{distance}\n mov x5, #1\n {form.format('x10')}"
        for form, size in (
            ("ldar x5, [{}]", 8),
            ("ldar w5, [{}]", 4),
            ("ldarh w5, [{}]", 2),
            ("ldarb w5, [{}]", 1),
            ("stlr x5, [{}]", 8),
            ("stlr w5, [{}]", 4),
            ("stlrh w5, [{}]", 2),
            ("stlrb w5, [{}]", 1),
            ("ldxr x5, [{}]", 8),
            ("ldaxrh w5, [{}]", 2),
            ("ldxp x5, x6, [{}]", 16),
            ("ldaxp w5, w6, [{}]", 8),
        )
        for how, distance in (("aligned", 32), ("unaligned", 31), ("half", 32 - size // 2))
        if how == "aligned" or distance % size
    },
    "stlr to text": "adr x10, dispatch\n stlr x5, [x10]",
    "ldar of nothing": "mov x10, #0x1000\n ldar x5, [x10]",
    "ldar of nothing, unaligned": "mov x10, #0x1001\n ldar x5, [x10]",
    "ldxr of nothing, unaligned": "mov x10, #0x1001\n ldxr x5, [x10]",
    "stlr below sp": "mov x10, sp\n sub sp, sp, #24\n stlr x5, [sp]\n mov sp, x10",
    "stlr below sp, unaligned": "sub sp, sp, #20\n stlr x5, [sp]",
    # The processor's own registers.
    "pmcr": "mrs x5, pmcr_el0\n mov x6, #0x18\n msr pmcr_el0, x6\n mrs x6, pmcr_el0\n"
    " msr pmcr_el0, xzr",
    **{
        f"register of the core s3_1_c{crn}_c{crm}_{op2}": f"mov x5, #-1\n"
        f" msr s3_1_c{crn}_c{crm}_{op2}, x5\n mrs x6, s3_1_c{crn}_c{crm}_{op2}"
        for crn, crm, op2 in (
            (11, 0, 2),
            (11, 0, 3),
            (15, 0, 0),
            (15, 2, 0),
            (15, 2, 1),
            (15, 2, 2),
            (15, 2, 3),
        )
    },
    # Returns to where this machine is seldom or never.
    "eret to EL0": "mov x5, #0x3c0\n msr spsr_el2, x5",
    "eret to EL1 with SP_EL0": "mov x5, #0x3c4\n msr spsr_el2, x5",
    "eret to EL3": "mov x5, #0x3cd\n msr spsr_el2, x5\n adr x5, 2f\n msr elr_el2, x5\n eret\n2:",
    "eret to EL3, unmapped": "mov x5, #0x3cd\n msr spsr_el2, x5",
    "eret with IL": "mov x5, #0x3c5\n movk x5, #0x10, lsl #16\n msr spsr_el2, x5",
    "eret to AArch32 EL1": "mov x5, #0x1d3\n msr spsr_el2, x5",
    # A WFI that a virtual interrupt ends, masked as it is; that interrupt stays until the end.
    "virtual interrupt": "mrs x5, hcr_el2\n orr x5, x5, #0xc0\n msr hcr_el2, x5\n isb\n wfi",
}


def _dispatcher(body: str) -> str:
    """A dispatcher that does one thing with x1 and x2 as passed, and returns."""
    return (
        "dispatch:\n ldp x0, x1, [sp], #16\n cmp x0, #3\n b.lo 1f\n"
        f" {body}\n1: eret\n dsb nsh\n isb\n"
    )


# Code that rewrites itself, at EL2 with the MMU off: HVC_SOFT_RESTART comes to it, and it goes on to
# the kernel's entry, which it was given. Each round takes an HVC with another immediate, and executes
# another MOV.
REWRITER = """
dispatch:
        ldp     x0, x1, [sp], #16
        cmp     x0, #3
        b.hs    9f
        ldr     x5, =__kvm_handle_stub_hvc
        ldr_l   x6, kimage_voffset
        sub     x5, x5, x6
        br      x5
9:      eret
        dsb     nsh
        isb
rewriter:
        mov     x20, x0
        adr     x9, 7f
        msr     vbar_el2, x9
        isb
        mov     x10, #0
        adr     x13, 2f
1:
2:      hvc     #0
        mov     x15, #0
        ldp     w14, w16, [x13]
        add     w14, w14, #32
        add     w16, w16, #32
        stp     w14, w16, [x13]
        dc      cvau, x13
        dsb     ish
        ic      ivau, x13
        dsb     ish
        isb
        add     x10, x10, #1
        cmp     x10, #5
        b.lo    1b
        br      x20
        .balign 2048
7:      .rept 4
        b       .
        .balign 128
        .endr
        mrs     x12, esr_el2
        mrs     x17, elr_el2
        eret
"""


def rewriting(m: Machine) -> Requests:
    return [m.request(1, m.image.pa("rewriter"), m.image.entry), m.request(2)]


def scenarios() -> Iterator[Scenario]:
    """All of them, in a fixed order."""
    for key in VARIANTS:
        for seed in (0, 1, 2020):
            yield Scenario("all calls", key, seed, all_calls)
        for name, requests in (
            ("stub calls", stub_calls),
            ("restart", restart),
            ("restart from the stub", restart_from_the_stub),
        ):
            yield Scenario(name, key, 1, requests)
        for name, requests in BAD_ARGUMENTS.items():
            yield Scenario(name, key, 3, requests)
    for key in review_combinations():
        yield Scenario("all calls", key, 7, all_calls)
    yield Scenario("gic registers", "numbered", 5, gic_registers)
    yield Scenario("rejected numbers", "numbered", 1, raw(*REJECTED))
    for name, pointer in BAD_POINTERS.items():
        yield Scenario(name, "fnptr", 4, raw(pointer))
    yield Scenario(
        "any space will do",
        "fnptr",
        4,
        raw(
            "__kvm_get_mdcr_el2[linear]", "__kvm_get_mdcr_el2[hyp]", "__kvm_get_mdcr_el2[physical]"
        ),
    )
    yield Scenario("code that rewrites itself", "numbered", 8, rewriting, REWRITER)
    for name, body in AT_EL2.items():
        yield Scenario(
            f"at EL2: {name}",
            "numbered",
            6,
            lambda m: [m.request(0x100, 0x0000_8765_4321_0000, 2)],
            _dispatcher(body),
        )


SCENARIOS = tuple(scenarios())
