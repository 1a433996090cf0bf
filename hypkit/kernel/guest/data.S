// What the host writes: its mailbox, its records of trouble, its stack.

boot_count:             .quad 0

        // One after the other: the request to take next, and the end of the requests.
mailbox_next:           .quad 0
mailbox_end:            .quad 0
mailbox_power_off:      .quad 0

panic_record:           .zero 7 * 8     // SPSR, ELR, ESR, FAR, HPFAR of EL2, PAR_EL1, vCPU
oops_record:            .zero 4 * 8     // ESR, ELR, FAR, SPSR of EL1

        // The per-CPU section's template: only its address is used.
        .balign 16
kvm_host_data:          .zero HOST_DATA_SIZE

        .balign 16
                        .zero 1024
el1_stack_top:
