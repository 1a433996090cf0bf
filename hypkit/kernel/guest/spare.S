// Two more functions than Linux 5.7 has, in machines that a learner's header numbers. They wait for
// someone who adds them to the list.

// The other half of __kvm_timer_set_cntvoff: the offset, all 64 bits of it.
__kvm_timer_get_cntvoff:
        mrs     x0, cntvoff_el2
        ret

// What EL2 is set to trap from the host.
__kvm_get_hcr_el2:
        mrs     x0, hcr_el2
        ret
