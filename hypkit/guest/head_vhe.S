// From reset at EL2 to a kernel proper that stays there, as with VHE. Cortex-A72 has no VHE: EL2 has
// one half of the address space only, so this kernel lives at its hyp addresses.

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
