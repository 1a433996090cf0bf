// After Linux 5.12: boot went through the table once and left ready hyp addresses in it. What is
// left for each call is the range test and one load.

dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #KVM_HOST_HCALL_END
        b.hs    2f
        adr_l   x10, kvm_hcall_table
        ldr     x0, [x10, x0, lsl #3]
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier

2:      mov     x0, #-ENOSYS
        eret
        speculation_barrier
kvm_hc_ni:
        mov     x0, #-ENOSYS
        ret
