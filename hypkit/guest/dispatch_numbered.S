// The patch as posted in April 2020: x0 is a number from KVM_HOST_HCALL_BASE on. EL2 looks the
// function up in a table of image addresses and converts what it finds, on every call.

// Image address -> hyp address, given the linear-map offset.
.macro ksym_hyp_va ksym, lm_offset
        sub     \ksym, \ksym, \lm_offset
        kern_hyp_va \ksym
.endm

dispatch:
        divert_stub_calls
dispatch_find:

        // Two signed tests make the range.
        cmp     x0, #KVM_HOST_HCALL_BASE
        b.lt    2f
        cmp     x0, #KVM_HOST_HCALL_END
        b.lt    3f
2:      mov     x0, #-ENOSYS
        eret

3:      // How far the image lies from its linear alias: two variables that EL1 owns.
        ldr_l   x9, kimage_voffset
        ldr_l   x10, physvirt_offset
        add     x9, x9, x10

        // The table's image address is a word in the literal pool ...
        ldr     x10, =kvm_hcall_table
        ksym_hyp_va x10, x9

        // ... and the slot holds an image address again.
        sub     x0, x0, #KVM_HOST_HCALL_BASE
        add     x0, x10, x0, lsl #3
        ldr     x0, [x0]
        ksym_hyp_va x0, x9

dispatch_call:
        do_el2_call args=6
dispatch_return:
        eret
        speculation_barrier
