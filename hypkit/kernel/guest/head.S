// From reset at EL2 to the kernel proper at EL1, with the MMU on. Runs at physical addresses until
// the last branch, so everything is found relative to the PC.

_text:
        reset_el2

        // Leave a foot in the door: the stub vectors are how this kernel gets EL2 back.
        adr_l   x0, __hyp_stub_vectors
        msr     vbar_el2, x0

        // Drop to EL1.
        mov     x0, #PSR_EL1H_DAIF
        msr     spsr_el2, x0
        adr_l   x0, primary_entry
        msr     elr_el2, x0
        eret

primary_entry:
        find_where_we_are

        // Translation for EL1: this page under its own address, the kernel in the upper half.
        ldr     x0, =MAIR_VALUE
        msr     mair_el1, x0
        ldr     x0, =TCR_EL1_VALUE
        msr     tcr_el1, x0
        adr_l   x0, idmap_pg_dir
        msr     ttbr0_el1, x0
        adr_l   x0, swapper_pg_dir
        msr     ttbr1_el1, x0
        isb
        tlbi    vmalle1
        dsb     nsh
        isb
        ldr     x0, =SCTLR_EL1_ON
        msr     sctlr_el1, x0
        isb

        ldr     x0, =primary_switched
        br      x0
