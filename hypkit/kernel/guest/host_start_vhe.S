// The host kernel at EL2, just arrived: it is its own hypervisor, and sets EL2 up itself.

primary_switched:
        adr_l   x0, hyp_stack_top
        mov     sp, x0
        adr_l   x0, __kvm_hyp_vector
        msr     vbar_el2, x0
        adr_l   x0, kvm_host_data_cpu0
        adr_l   x1, kvm_host_data
        sub     x0, x0, x1
        msr     tpidr_el2, x0
        isb
        b       host_next
