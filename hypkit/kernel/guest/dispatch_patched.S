// After Linux 5.11: the table holds image addresses, and what turns them into hyp addresses are
// immediates that boot wrote into the instructions. EL2 reads no variable of EL1's any more.

// Four placeholders; at boot they become kimage_voffset + PHYS_OFFSET (hypkit/kernel/patching.py).
.macro kimg_phys_offset reg
        movz    \reg, #0
        movk    \reg, #0, lsl #16
        movk    \reg, #0, lsl #32
        movk    \reg, #0, lsl #48
.endm

dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #KVM_HOST_HCALL_END
        b.hs    2f
        adr_l   x10, kvm_hcall_table
        ldr     x0, [x10, x0, lsl #3]

        // Image -> offset in RAM -> linear -> hyp.
        kimg_phys_offset x9
        sub     x0, x0, x9
        orr     x0, x0, #PAGE_OFFSET
        kern_hyp_va x0
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
