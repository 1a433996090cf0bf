// Number dispatch by a table of image addresses: the patch as posted in April 2020, and each thing
// that the review of May 2020 asked for as a choice (hypkit/kernel/variants.py, OPTIONS). The image keeps only
// the lines that were chosen.

// Image address -> hyp address, given how far the image lies from its linear alias.
.macro image_to_hyp address, distance
        sub     \address, \address, \distance
        kern_hyp_va \address
.endm

dispatch:
        divert_stub_calls
dispatch_find:
.if no_base
        // Numbers start at zero, table slots too: one unsigned test makes the range.
        cmp     x0, #KVM_HOST_HCALL_END
        b.lo    3f
.else
        // Two signed tests make the range.
        cmp     x0, #KVM_HOST_HCALL_BASE
        b.lt    2f
        cmp     x0, #KVM_HOST_HCALL_END
        b.lt    3f
.endif
2:      mov     x0, #-ENOSYS
        eret

3:
.if cached
        // How far the image lies from its linear alias: one word, written at boot.
        ldr_l   x9, kvm_lm_offset
.else
        // How far the image lies from its linear alias: two variables that EL1 owns.
        ldr_l   x9, kimage_voffset
        ldr_l   x10, physvirt_offset
        add     x9, x9, x10
.endif

.if adr_l
        // Relative to a PC that is a hyp address, the table's address is one already.
        adr_l   x10, kvm_hcall_table
.else
        // The table's image address is a word in the literal pool ...
        ldr     x10, =kvm_hcall_table
        image_to_hyp x10, x9
.endif

.if adr_l
        // The slot holds an image address, which has to be converted.
.else
        // ... and the slot holds an image address again.
.endif
.if no_base
.else
        sub     x0, x0, #KVM_HOST_HCALL_BASE
.endif
        add     x0, x10, x0, lsl #3
        ldr     x0, [x0]
        image_to_hyp x0, x9

dispatch_call:
.if shuffle3
        do_el2_call
.else
        do_el2_call args=6
.endif
dispatch_return:
        eret
        speculation_barrier
.if no_base

// What the slots below the first hypercall hold. Stub calls never get here.
kvm_hc_ni:
        mov     x0, #-ENOSYS
        ret
.endif
