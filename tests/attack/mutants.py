"""Dispatchers with one hole each: (kind of hole, variant, what is replaced, by what)."""

from hypkit import Machine

SIGNED = "2:      mov     x0, #-ENOSYS\n        eret\n"
PUSH, POP = "        str     lr, [sp, #-16]!\n", "1:      ldr     lr, [sp], #16\n"

# A name for each, as its test has it.
MUTANTS = {
    # 1. the upper bound
    "numbered: one number too many": (
        "bound", "numbered", "cmp     x0, #KVM_HOST_HCALL_END", "cmp     x0, #KVM_HOST_HCALL_END + 1"),
    "numbered: the upper test takes the end as well": (
        "bound", "numbered", "b.lt    3f", "b.le    3f"),
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
    "jump_table: the base is not taken away": (
        "index", "jump_table", "add     x10, x10, x0, lsl #2", "add     x10, x10, x0, lsl #3"),
    # 6. the stack and the way back
    "jump_table: the stack grows with each refusal": (
        "stack", "jump_table", "2:      mov     x0, #-ENOSYS\n",
        "2:      str     lr, [sp, #-16]!\n        mov     x0, #-ENOSYS\n"),
    "relocated: a refusal leaves eight bytes": (
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
