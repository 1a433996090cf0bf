// KVM's runtime vectors at EL2, and the way from there to whoever should answer.

        .align  11
__kvm_hyp_vector:
    .rept 4                             // EL2 with SP_EL0: never used
        b       hyp_panic
        .align  7
    .endr
        b       hyp_panic               // synchronous, EL2 itself: a bug or an attack
        .align  7
    .rept 3
        b       hyp_panic
        .align  7
    .endr
        esb                             // synchronous, from EL1 in AArch64
        stp     x0, x1, [sp, #-16]!
        b       el1_sync
        .align  7
    .rept 7
        b       hyp_panic
        .align  7
    .endr

// EL2 faulted. Collect the evidence, take the machine back from a running guest, and tell the host.
hyp_panic:
        mrs     x1, spsr_el2
        mrs     x2, elr_el2
        mrs     x3, esr_el2
        mrs     x4, far_el2
        mrs     x5, hpfar_el2
        mrs     x6, par_el1
        mov     x7, xzr
        mrs     x0, vttbr_el2
        cbz     x0, 1f
        this_cpu_host_data x8, x0
        ldr     x7, [x8, #HOST_CONTEXT_VCPU]
        bl      restore_host_sysregs
1:      mov     x0, #PSR_HOST_DAIF
        msr     spsr_el2, x0
        host_address x0, panic
        msr     elr_el2, x0
        eret
        speculation_barrier

// Not an HVC of the host: a guest's exit, or a trap that nobody asked for.
el1_trap:
        mrs     x1, vttbr_el2
        cbz     x1, hyp_panic
        this_cpu_host_data x0, x1
        ldr     x1, [x0, #HOST_CONTEXT_VCPU]
        mov     x0, #ARM_EXCEPTION_TRAP
        b       __guest_exit
        .ltorg

el1_sync:
        mrs     x0, esr_el2
        lsr     x0, x0, #ESR_EC_SHIFT
        cmp     x0, #EC_HVC64
        ccmp    x0, #EC_HVC32, #4, ne
        b.ne    el1_trap
        mrs     x1, vttbr_el2           // a VMID and tables: a guest is running. Zero: the host
        cbnz    x1, el1_trap
        // ... and on into the dispatcher, which the image places right here.
