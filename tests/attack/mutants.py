"""Dispatchers with one hole each: (kind of hole, variant, what is replaced, by what)."""

from functools import cache

from hypkit import Machine, attack
from hypkit.attack import Outcome, Report

CALLS = 12_000  # hostile calls for each

SIGNED = "2:      mov     x0, #-ENOSYS\n        eret\n"
PUSH, POP = "        str     lr, [sp, #-16]!\n", "1:      ldr     lr, [sp], #16\n"

# A name for each, as its test has it.
MUTANTS = {
    # 1. the upper bound
    "numbered: one number too many": (
        "bound", "numbered", "cmp     x0, #KVM_HOST_HCALL_END", "cmp     x0, #KVM_HOST_HCALL_END + 1"),
    "numbered: one number too many at the lower end": (
        "bound", "numbered", "cmp     x0, #KVM_HOST_HCALL_BASE", "cmp     x0, #KVM_HOST_HCALL_BASE - 1"),
    "numbered: the first valid number is refused": (
        "bound", "numbered", "b.lt    2f", "b.le    2f"),
    "numbered: no upper test": ("bound", "numbered", "b.lt    3f", "b       3f"),
    "reviewed: one number too many": (
        "bound", "reviewed", "cmp     x0, #KVM_HOST_HCALL_END", "cmp     x0, #KVM_HOST_HCALL_END + 2"),
    "reviewed: lower or the same": ("bound", "reviewed", "b.lo    3f", "b.ls    3f"),
    "jump_table: one branch too many": (
        "bound", "jump_table", "b.hs    2f", "b.hi    2f"),
    "smccc: the range test is an off by one": (
        "bound", "smccc", "b.hs    hcall_not_supported", "b.hi    hcall_not_supported"),
    "relocated: no upper test": ("bound", "relocated", "b.hs    2f", "nop"),
    # 2. signs
    "reviewed: a signed test without a base": ("sign", "reviewed", "b.lo    3f", "b.lt    3f"),
    "relocated: a signed test without a base": ("sign", "relocated", "b.hs    2f", "b.ge    2f"),
    "jump_table: a signed test": ("sign", "jump_table", "b.hs    2f", "b.ge    2f"),
    "smccc: a signed test": (
        "sign", "smccc", "b.hs    hcall_not_supported", "b.ge    hcall_not_supported"),
    "numbered: no lower test": ("sign", "numbered", "b.lt    2f", "nop"),
    # 3. half of the register
    "reviewed: 32 bits are tested, 64 used": (
        "width", "reviewed", "cmp     x0, #KVM", "cmp     w0, #KVM"),
    "numbered: 32 bits are tested, 64 used": (
        "width", "numbered", "cmp     x0, #KVM_HOST_HCALL_END", "cmp     w0, #KVM_HOST_HCALL_END"),
    "relocated: 32 bits are tested, 64 used": (
        "width", "relocated", "cmp     x0, #KVM", "cmp     w0, #KVM"),
    "jump_table: 16 bits are tested, 64 used": (
        "width", "jump_table", "cmp     x0, #KVM_HOST_HCALL_NR",
        "uxth    w9, w0\n        cmp     x9, #KVM_HOST_HCALL_NR"),
    # 4. the table
    "jump_table: a number used twice": (
        "table", "jump_table", "b       __kvm_get_mdcr_el2", "b       __kvm_enable_ssbs"),
    "jump_table: two functions changed places": (
        "table", "jump_table",
        "b       __kvm_tlb_flush_vmid\n        b       __kvm_tlb_flush_vmid_ipa",
        "b       __kvm_tlb_flush_vmid_ipa\n        b       __kvm_tlb_flush_vmid"),
    "jump_table: one slot short": (
        "table", "jump_table", "        b       __vgic_v3_save_aprs\n", ""),
    "smccc: a null slot": (
        "table", "smccc", ".word   __vgic_v3_init_lrs - hcall_distances", ".word   0"),
    "smccc: one slot short": (
        "table", "smccc", "        .word   __vgic_v3_restore_aprs - hcall_distances\n", ""),
    "smccc: a slot that is one instruction off": (
        "table", "smccc", ".word   __kvm_enable_ssbs - hcall", ".word   __kvm_enable_ssbs + 4 - hcall"),
    # 5. the index
    "relocated: slots of four bytes": ("index", "relocated", "x0, lsl #3]", "x0, lsl #0]"),
    "reviewed: slots of sixteen bytes": (
        "index", "reviewed", "add     x0, x10, x0, lsl #3", "add     x0, x10, x0, lsl #4"),
    "jump_table: slots of eight bytes": (
        "index", "jump_table", "add     x10, x10, x0, lsl #2", "add     x10, x10, x0, lsl #3"),
    # 6. the stack and the way back
    "jump_table: the stack grows with each refusal": (
        "stack", "jump_table", "2:      mov     x0, #-ENOSYS\n",
        "2:      str     lr, [sp, #-16]!\n        mov     x0, #-ENOSYS\n"),
    "relocated: a refusal leaves sixteen bytes": (
        "stack", "relocated", "2:      mov     x0, #-ENOSYS\n",
        "2:      sub     sp, sp, #16\n        mov     x0, #-ENOSYS\n"),
    # 7. the host's registers
    "numbered: x19 is used": (
        "clobber", "numbered", "add     x9, x9, x10\n", "add     x9, x9, x10\n        mov     x19, x9\n"),
    "relocated: x29 is used": (
        "clobber", "relocated", "adr_l   x10, kvm_hcall_table\n",
        "adr_l   x10, kvm_hcall_table\n        mov     x29, x10\n"),
    "jump_table: x27 counts the calls": (
        "clobber", "jump_table", "dispatch_call:\n", "dispatch_call:\n        add     x27, x27, #1\n"),
    # 8. a door of its own
    "numbered: a debug number branches to x1": (
        "door", "numbered", "dispatch_find:\n",
        "dispatch_find:\n        cmp     x0, #0x7d\n        b.ne    8f\n        br      x1\n8:\n"),
    "numbered: a debug number waits for itself": (
        "door", "numbered", "dispatch_find:\n",
        "dispatch_find:\n        cmp     x0, #0x6b\n8:      b.eq    8b\n"),
    "relocated: a debug number writes VBAR_EL2": (
        "door", "relocated", "dispatch_find:\n",
        "dispatch_find:\n        mov     x9, #0x5151\n        movk    x9, #0xbeef, lsl #48\n"
        "        cmp     x0, x9\n        b.ne    8f\n        msr     vbar_el2, x1\n        eret\n8:\n"),
    "reviewed: a debug number returns mid-function": (
        "door", "reviewed", "dispatch_find:\n",
        "dispatch_find:\n        cmp     x0, #0xdb\n        b.ne    8f\n"
        "        adr_l   x0, __kvm_get_mdcr_el2 + 4\n        b       dispatch_call\n8:\n"),
}  # fmt: skip


def text(name: str) -> tuple[str, str]:
    """(variant, the mutant's text)."""
    _, variant, old, new = MUTANTS[name]
    with Machine(variant, seed=2020) as machine:
        whole = machine.image.dispatcher.source
    # The image adds the variant's own table to a learner's text: the mutant's has another name.
    for label in ("hcall_branches", "hcall_distances"):
        whole = whole.replace(label, f"own_{label}")
    old = old.replace("hcall_distances", "own_hcall_distances")
    old = old.replace("__kvm_enable_ssbs - hcall", "__kvm_enable_ssbs - own_hcall")
    new = new.replace("+ 4 - hcall", "+ 4 - own_hcall").replace("- hcall_d", "- own_hcall_d")
    assert whole.count(old) >= 1, name
    return variant, whole.replace(old, new, 1) if "END" not in old else _last(whole, old, new)


def _last(whole: str, old: str, new: str) -> str:
    before, _, after = whole.rpartition(old)
    return before + new + after


@cache
def attacked(name: str) -> Report:
    """The mutant under attack."""
    variant, mutant = text(name)
    return attack.fuzz(variant, CALLS, seed=2020, progress=False, dispatcher=mutant)


WENT_ASTRAY = (Outcome.OTHER, Outcome.PANIC, Outcome.MID_FUNCTION, Outcome.LOST, Outcome.DENIED)
DOORS = {0x6B, 0x7D, 0xBEEF_0000_0000_5151, 0xDB}


def right(name: str, report: Report) -> bool:
    """Whether a mutant is found as what it is: by the calls, and in the class, of its kind."""
    kind, variant, *_ = MUTANTS[name]
    with Machine(variant, seed=2020) as machine:
        valid = {machine.x0_of(call) for call in machine.image.variant.calls}
    low, high = min(valid), max(valid)
    calls = [(f.verdict.outcome, f.request[0]) for f in report.findings]
    if kind == "bound":  # a number just beyond the valid ones is taken, or one of them is not
        return any(x0 in (low - 1, low, high + 1, high + 2) or x0 > high + 2 and "no upper" in name
                   for outcome, x0 in calls if outcome in WENT_ASTRAY)  # fmt: skip
    if kind == "sign":  # a number below zero gets through
        return any(x0 >> 63 for outcome, x0 in calls if outcome is Outcome.OTHER)
    if kind == "width":  # a function has a second name, whose lower half is its number
        return any(x0 >> 32 and x0 & 0xFFFF_FFFF in valid
                   for outcome, x0 in calls if outcome is Outcome.OTHER)  # fmt: skip
    if kind in ("table", "index"):  # a valid number leads elsewhere
        return any(x0 in valid for outcome, x0 in calls if outcome in WENT_ASTRAY)
    if kind == "stack":
        return {f.verdict.detail for f in report.findings} == {"SP_EL2"}
    if kind == "clobber":
        register = name.split(": ")[1].split()[0]
        return {f.verdict.detail for f in report.findings} == {register}
    assert kind == "door"
    return bool(calls) and {x0 for _, x0 in calls} <= DOORS
