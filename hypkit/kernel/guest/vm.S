// The whole of the virtual machine: it runs at EL1, with its MMU off, on what stage 2 gives it.

vm_entry:
        adr     x20, vm_counter
1:      ldr     x21, [x20]              // memory of its own
        add     x21, x21, #1
        str     x21, [x20]
        ldr     x0, =PSCI_VERSION       // ask the hypervisor something
        hvc     #0
        b       1b

        // A second way to need help: touch an address that stage 2 does not map.
vm_entry_fault:
        ldr     x2, =VM_UNMAPPED_IPA
        ldr     x3, [x2, #8]
        b       .

        .balign 8
vm_counter:             .quad 0
