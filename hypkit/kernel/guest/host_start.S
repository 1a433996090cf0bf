// The host kernel at EL1, just arrived at its own addresses: it starts KVM.

primary_switched:
        adr_l   x0, vectors
        msr     vbar_el1, x0
        isb
        adr_l   x0, el1_stack_top
        mov     sp, x0

        // Hand EL2 from the stub to KVM's init code, by its physical address: no MMU there yet.
        adr_l   x1, __kvm_hyp_init
        ldr_l   x2, kimage_voffset
        sub     x1, x1, x2
        mov     x0, #HVC_SET_VECTORS
        bl      __kvm_call_hyp

        // The init call: where EL2 finds its tables, its stack, its vectors and its per-CPU data.
        adr_l   x0, hyp_pgd
        ldr_l   x4, kimage_voffset
        sub     x0, x0, x4
        adr_l   x1, hyp_stack_top
        lm_alias x1, x4
        kern_hyp_va x1
        adr_l   x2, __kvm_hyp_vector
        lm_alias x2, x4
        kern_hyp_va x2
        adr_l   x3, kvm_host_data_cpu0
        adr_l   x4, kvm_host_data
        sub     x3, x3, x4
        bl      __kvm_call_hyp
        b       host_next
