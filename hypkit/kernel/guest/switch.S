// The world switch: put the host away, let the VM run until it needs help, bring the host back.
// Left out beside Linux: floating point, debug and performance registers, the GIC, the timer.

// EL1's own registers, which host and VM share, to or from a context at \ctxt.
.macro save_el1_sysregs ctxt, a, b
        mrs     \a, sctlr_el1
        mrs     \b, tcr_el1
        stp     \a, \b, [\ctxt, #CTXT_SYSREGS]
        mrs     \a, ttbr0_el1
        mrs     \b, ttbr1_el1
        stp     \a, \b, [\ctxt, #CTXT_SYSREGS + 16]
        mrs     \a, mair_el1
        mrs     \b, vbar_el1
        stp     \a, \b, [\ctxt, #CTXT_SYSREGS + 32]
        mrs     \a, elr_el1
        mrs     \b, spsr_el1
        stp     \a, \b, [\ctxt, #CTXT_SYSREGS + 48]
        mrs     \a, sp_el1
        mrs     \b, sp_el0
        stp     \a, \b, [\ctxt, #CTXT_SYSREGS + 64]
.endm
.macro restore_el1_sysregs ctxt, a, b
        ldp     \a, \b, [\ctxt, #CTXT_SYSREGS]
        msr     sctlr_el1, \a
        msr     tcr_el1, \b
        ldp     \a, \b, [\ctxt, #CTXT_SYSREGS + 16]
        msr     ttbr0_el1, \a
        msr     ttbr1_el1, \b
        ldp     \a, \b, [\ctxt, #CTXT_SYSREGS + 32]
        msr     mair_el1, \a
        msr     vbar_el1, \b
        ldp     \a, \b, [\ctxt, #CTXT_SYSREGS + 48]
        msr     elr_el1, \a
        msr     spsr_el1, \b
        ldp     \a, \b, [\ctxt, #CTXT_SYSREGS + 64]
        msr     sp_el1, \a
        msr     sp_el0, \b
.endm
// Where the next eret will land, and in what state.
.macro save_return_state ctxt, a, b
        mrs     \a, elr_el2
        mrs     \b, spsr_el2
        stp     \a, \b, [\ctxt, #CTXT_PC]
.endm
.macro restore_return_state ctxt, a, b
        ldp     \a, \b, [\ctxt, #CTXT_PC]
        msr     elr_el2, \a
        msr     spsr_el2, \b
.endm
.macro callee_saved op, ctxt
        \op     x19, x20, [\ctxt, #CTXT_X + 8 * 19]
        \op     x21, x22, [\ctxt, #CTXT_X + 8 * 21]
        \op     x23, x24, [\ctxt, #CTXT_X + 8 * 23]
        \op     x25, x26, [\ctxt, #CTXT_X + 8 * 25]
        \op     x27, x28, [\ctxt, #CTXT_X + 8 * 27]
        \op     x29, x30, [\ctxt, #CTXT_X + 8 * 29]
.endm

// x0: struct kvm_vcpu, a linear-map address. Returns the exit code.
__kvm_vcpu_run_nvhe:
        kern_hyp_va x0

        // The host goes into this CPU's host context.
        this_cpu_host_data x1, x2
        str     x0, [x1, #HOST_CONTEXT_VCPU]
        callee_saved stp, x1
        save_el1_sysregs x1, x2, x3
        save_return_state x1, x2, x3

        // From here on EL1 and EL0 belong to the VM: its registers, its stage 2, its traps.
        restore_el1_sysregs x0, x2, x3
        restore_return_state x0, x2, x3
        ldr     x2, [x0, #VCPU_HCR_EL2]
        msr     hcr_el2, x2
        ldr     x3, [x0, #VCPU_KVM]
        kern_hyp_va x3
        ldr     x2, [x3, #KVM_VTCR]
        msr     vtcr_el2, x2
        ldr     x2, [x3, #KVM_VTTBR]
        msr     vttbr_el2, x2
        isb

        callee_saved ldp, x0
        ldp     x2, x3, [x0, #CTXT_X + 8 * 2]
        ldp     x4, x5, [x0, #CTXT_X + 8 * 4]
        ldp     x6, x7, [x0, #CTXT_X + 8 * 6]
        ldp     x8, x9, [x0, #CTXT_X + 8 * 8]
        ldp     x10, x11, [x0, #CTXT_X + 8 * 10]
        ldp     x12, x13, [x0, #CTXT_X + 8 * 12]
        ldp     x14, x15, [x0, #CTXT_X + 8 * 14]
        ldp     x16, x17, [x0, #CTXT_X + 8 * 16]
        ldr     x18, [x0, #CTXT_X + 8 * 18]
        ldp     x0, x1, [x0, #CTXT_X]
        eret
        speculation_barrier

// x0: exit code, x1: the vCPU (hyp address); the VM's x0 and x1 are on the stack.
__guest_exit:
        stp     x2, x3, [x1, #CTXT_X + 8 * 2]
        stp     x4, x5, [x1, #CTXT_X + 8 * 4]
        stp     x6, x7, [x1, #CTXT_X + 8 * 6]
        stp     x8, x9, [x1, #CTXT_X + 8 * 8]
        stp     x10, x11, [x1, #CTXT_X + 8 * 10]
        stp     x12, x13, [x1, #CTXT_X + 8 * 12]
        stp     x14, x15, [x1, #CTXT_X + 8 * 14]
        stp     x16, x17, [x1, #CTXT_X + 8 * 16]
        str     x18, [x1, #CTXT_X + 8 * 18]
        callee_saved stp, x1
        ldp     x2, x3, [sp], #16
        stp     x2, x3, [x1, #CTXT_X]

        save_el1_sysregs x1, x2, x3
        save_return_state x1, x2, x3
        mrs     x2, esr_el2             // why it stopped, for the host to look at
        mrs     x3, far_el2
        stp     x2, x3, [x1, #VCPU_FAULT]
        mrs     x2, hpfar_el2
        str     x2, [x1, #VCPU_FAULT + 16]

        mov     x9, x0
        bl      restore_host_sysregs
        mov     x0, x9
        this_cpu_host_data x1, x2
        restore_return_state x1, x2, x3
        callee_saved ldp, x1
        ret

// Take EL1 back for the host: no stage 2, VTTBR_EL2 zero, its own registers. Spoils x8, x11, x12.
restore_host_sysregs:
        msr     vttbr_el2, xzr
        ldr     x8, =HCR_HOST
        msr     hcr_el2, x8
        isb
        this_cpu_host_data x8, x11
        restore_el1_sysregs x8, x11, x12
        ret
