// From reset at EL2 to a kernel proper that stays there, as with VHE. Cortex-A72 has no VHE: EL2 has
// one half of the address space only, so this kernel lives at its hyp addresses.

_text:
        reset_el2

primary_entry:
        find_where_we_are

        // Where to go on, worked out while the variables it takes can still be reached.
        ldr     x20, =primary_switched
        lm_alias x20, x1
        kern_hyp_va x20

        // Translation for EL2, as KVM's init code sets it up for a kernel at EL1.
        ldr     x0, =MAIR_VALUE
        msr     mair_el2, x0
        ldr     x0, =TCR_EL2_VALUE
        msr     tcr_el2, x0
        adr_l   x0, hyp_pgd
        msr     ttbr0_el2, x0
        isb
        tlbi    alle2
        dsb     nsh
        isb
        ldr     x0, =SCTLR_EL2_ON
        msr     sctlr_el2, x0
        isb
        br      x20
