// The second version of the patch, May 2020: a table of branches instead of addresses. Nothing is
// loaded, nothing is converted; every number below the base belongs to the stub.

dispatch:
        divert_stub_calls limit=KVM_HOST_HCALL_BASE
dispatch_find:
        sub     x0, x0, #KVM_HOST_HCALL_BASE
        cmp     x0, #KVM_HOST_HCALL_NR
        b.hs    2f
        adr     x10, hcall_branches
        add     x10, x10, x0, lsl #2
dispatch_call:
        mov     x0, x1
        mov     x1, x2
        mov     x2, x3
        str     lr, [sp, #-16]!
        // A return address by hand: the return predictor does not hear of it.
        adr     lr, 1f
        br      x10
1:      ldr     lr, [sp], #16
dispatch_return:
        eret
        speculation_barrier

2:      mov     x0, #-ENOSYS
        eret
        speculation_barrier
