// What sits at EL2 from boot until KVM moves in, and again after it moved out: it can hand EL2 over,
// and nothing else. Sixteen vectors of which one is real.

        .align  11
__hyp_stub_vectors:
    .rept 8
        b       .
        .align  7
    .endr
        b       stub_sync               // synchronous, from EL1 in AArch64
        .align  7
    .rept 7
        b       .
        .align  7
    .endr

stub_sync:
        cmp     x0, #HVC_SET_VECTORS
        b.ne    1f
        msr     vbar_el2, x1            // x1: physical address of a 2 KiB-aligned table
        b       3f

1:      cmp     x0, #HVC_SOFT_RESTART
        b.ne    2f
        mov     x5, x1                  // x1: where to go on at EL2; x2, x3, x4: its x0, x1, x2
        mov     x0, x2
        mov     x1, x3
        mov     x2, x4
        br      x5

2:      cmp     x0, #HVC_RESET_VECTORS
        b.eq    3f                      // nothing to reset: these are the stub's vectors
        ldr     x0, =HVC_STUB_ERR
        eret
        speculation_barrier

3:      mov     x0, xzr
        eret
        speculation_barrier
