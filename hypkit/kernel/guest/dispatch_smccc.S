// After Linux 5.10: hypercalls follow the SMC calling convention. EL2 puts the host's registers into
// its own memory, a function takes its arguments from there and leaves a status in the host's x0
// and a result in its x1, and everything goes back.

dispatch:
        divert_stub_calls
dispatch_find:
        // The whole host context: x0 and x1 by way of the stack, because finding the place to
        // save to takes two registers.
        stp     x0, x1, [sp, #-16]!
        this_cpu_host_data x0, x1
        add     x0, x0, #HOST_GPRS
        stp     x2, x3, [x0, #16]
        stp     x4, x5, [x0, #32]
        stp     x6, x7, [x0, #48]
        stp     x8, x9, [x0, #64]
        stp     x10, x11, [x0, #80]
        stp     x12, x13, [x0, #96]
        stp     x14, x15, [x0, #112]
        stp     x16, x17, [x0, #128]
        stp     x18, x19, [x0, #144]
        stp     x20, x21, [x0, #160]
        stp     x22, x23, [x0, #176]
        stp     x24, x25, [x0, #192]
        stp     x26, x27, [x0, #208]
        stp     x28, x29, [x0, #224]
        str     lr, [x0, #240]
        ldp     x2, x3, [sp], #16
        stp     x2, x3, [x0]
        mov     x19, x0                 // the context; the host's x19 is safe in it

        // Which function: the number without the convention's upper half.
        ldr     x9, [x19]
        mov     x10, #KVM_HOST_HCALL_BASE
        sub     x9, x9, x10
        cmp     x9, #KVM_HOST_HCALL_NR
        b.hs    hcall_not_supported
        // A table of distances, so that there is nothing to relocate.
        adr     x10, hcall_distances
        ldrsw   x9, [x10, x9, lsl #2]
        add     x9, x10, x9
dispatch_call:
        ldp     x0, x1, [x19, #8]
        ldr     x2, [x19, #24]
        blr     x9
        mov     x1, x0                  // the result ...
        mov     x0, #SMCCC_RET_SUCCESS  // ... and that there is one
2:      stp     x0, x1, [x19]

        // The host gets everything back.
        mov     x0, x19
        ldp     x2, x3, [x0, #16]
        ldp     x4, x5, [x0, #32]
        ldp     x6, x7, [x0, #48]
        ldp     x8, x9, [x0, #64]
        ldp     x10, x11, [x0, #80]
        ldp     x12, x13, [x0, #96]
        ldp     x14, x15, [x0, #112]
        ldp     x16, x17, [x0, #128]
        ldp     x18, x19, [x0, #144]
        ldp     x20, x21, [x0, #160]
        ldp     x22, x23, [x0, #176]
        ldp     x24, x25, [x0, #192]
        ldp     x26, x27, [x0, #208]
        ldp     x28, x29, [x0, #224]
        ldr     lr, [x0, #240]
        ldp     x0, x1, [x0]
dispatch_return:
        eret
        speculation_barrier

hcall_not_supported:
        mov     x0, #SMCCC_RET_NOT_SUPPORTED
        ldr     x1, [x19, #8]
        b       2b
