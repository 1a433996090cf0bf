// From reset at EL2 to the kernel proper at EL1, with the MMU on. Runs at physical addresses until
// the last branch, so everything is found relative to the PC.

_text:
        // What an EL1 kernel needs from EL2: AArch64, its timers, its registers, no traps.
        ldr     x0, =HCR_HOST
        msr     hcr_el2, x0
        ldr     x0, =SCTLR_EL2_OFF
        msr     sctlr_el2, x0
        ldr     x0, =SCTLR_EL1_OFF      // a restarted kernel finds its MMU on
        msr     sctlr_el1, x0
        isb
        mrs     x0, midr_el1
        msr     vpidr_el2, x0
        mrs     x0, mpidr_el1
        msr     vmpidr_el2, x0
        mov     x0, #3
        msr     cnthctl_el2, x0
        msr     cntvoff_el2, xzr
        ldr     x0, =CPTR_EL2_DEFAULT
        msr     cptr_el2, x0
        msr     hstr_el2, xzr
        mov     x0, #PMU_COUNTERS
        msr     mdcr_el2, x0
        msr     vttbr_el2, xzr

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
        // Count the boots, so that a restart can be told from a return.
        adr_l   x0, boot_count
        ldr     x1, [x0]
        add     x1, x1, #1
        str     x1, [x0]

        // kimage_voffset: where the linker says we are, minus where we are.
        ldr     x0, =_text
        adr_l   x1, _text
        sub     x0, x0, x1
        adr_l   x1, kimage_voffset
        str     x0, [x1]
        ldr     x2, =PHYSVIRT_OFFSET
        adr_l   x1, physvirt_offset
        str     x2, [x1]
        add     x0, x0, x2
        adr_l   x1, kvm_lm_offset
        str     x0, [x1]
        bl      kvm_prepare_hyp

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
