// One page that EL2 sees under its physical address, because the MMU is switched on and off here.

        .align  11
__kvm_hyp_init:
    .rept 8
        b       .
        .align  7
    .endr
        b       do_hyp_init             // synchronous, from EL1 in AArch64
        .align  7
    .rept 7
        b       .
        .align  7
    .endr

// x0: physical address of the hyp page tables; x1: stack, x2: vectors, both hyp addresses;
// x3: per-CPU offset. No number says "init": the only calls told apart are the stub's.
do_hyp_init:
        cmp     x0, #HVC_STUB_HCALL_NR
        b.lo    __kvm_handle_stub_hvc

        msr     ttbr0_el2, x0
        mrs     x4, tcr_el1             // same granule, size and cacheability as the host
        ldr     x5, =TCR_EL2_MASK
        and     x5, x4, x5
        ubfx    x4, x4, #32, #3         // IPS becomes PS
        bfi     x5, x4, #16, #3
        ldr     x4, =TCR_EL2_RES1
        orr     x5, x5, x4
        msr     tcr_el2, x5
        mrs     x4, mair_el1
        msr     mair_el2, x4
        isb
        tlbi    alle2
        dsb     sy
        ldr     x4, =SCTLR_EL2_ON
        msr     sctlr_el2, x4
        isb

        mov     sp, x1
        msr     vbar_el2, x2
        msr     tpidr_el2, x3
        mov     x0, xzr
        eret
        speculation_barrier

// Stub calls while KVM is installed. Entered at the physical address, with x0 to x4 as the host
// passed them.
__kvm_handle_stub_hvc:
        cmp     x0, #HVC_SOFT_RESTART
        b.ne    1f
        msr     elr_el2, x1             // the final eret stays at EL2
        mov     x0, #PSR_EL2H_DAIF
        msr     spsr_el2, x0
        mov     x0, x2
        mov     x1, x3
        mov     x2, x4
        b       2f

1:      cmp     x0, #HVC_RESET_VECTORS
        b.ne    3f
        mov     x0, xzr

2:      // MMU and caches off, stub vectors back: KVM has left EL2.
        mrs     x5, sctlr_el2
        ldr     x6, =SCTLR_ELX_FLAGS
        bic     x5, x5, x6
        msr     sctlr_el2, x5
        isb
        adr_l   x5, __hyp_stub_vectors
        msr     vbar_el2, x5
        eret
        speculation_barrier

3:      ldr     x0, =HVC_STUB_ERR
        eret
        speculation_barrier
