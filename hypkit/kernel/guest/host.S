// The host kernel: makes the calls that the mailbox asks for.

host_next:
        // One request: x0 to x6 as they will be at the HVC, and how to make the call. The mailbox
        // moves on first, so that a call which restarts the kernel is not made again.
        adr_l   x9, mailbox_next
        ldp     x19, x10, [x9]
        cmp     x19, x10
        b.hs    host_idle
        add     x10, x19, #REQUEST_SIZE
        str     x10, [x9]
        ldp     x0, x1, [x19]
        ldp     x2, x3, [x19, #16]
        ldp     x4, x5, [x19, #32]
        ldp     x6, x7, [x19, #48]
        cbnz    x7, host_call
        adr_l   x7, __kvm_call_hyp      // raw: the registers as they are
host_call:
        blr     x7                      // else through the host's own calling code, as C would
host_called:
        // The answer goes over the request. x19 is not trusted: the call may have spoilt it.
        adr_l   x9, mailbox_next
        ldr     x9, [x9]
        sub     x9, x9, #REQUEST_SIZE
        stp     x0, x1, [x9]
        stp     x2, x3, [x9, #16]
        b       host_next

// A run ends here, before the instruction is executed. QEMU, which cannot be told to stop, goes on
// and is asked to switch itself off.
host_idle:
        ldr_l   x0, mailbox_power_off
        cbnz    x0, host_power_off
        b       host_next

__kvm_call_hyp:
        hvc     #0
        ret

// EL2 gave up and came back here with what it knew: x1 SPSR, x2 ELR, x3 ESR, x4 FAR, x5 HPFAR,
// x6 PAR, x7 the vCPU it was running.
panic:
        adr_l   x9, panic_record
        stp     x1, x2, [x9]
        stp     x3, x4, [x9, #16]
        stp     x5, x6, [x9, #32]
        str     x7, [x9, #48]
host_panicked:
        ldr_l   x0, mailbox_power_off
        cbnz    x0, host_power_off
        b       .

// The host itself took an exception at EL1: note it and stop.
el1_exception:
        adr_l   x9, oops_record
        mrs     x10, esr_el1
        mrs     x11, elr_el1
        stp     x10, x11, [x9]
        mrs     x10, far_el1
        mrs     x11, spsr_el1
        stp     x10, x11, [x9, #16]
host_oops:
        ldr_l   x0, mailbox_power_off
        cbnz    x0, host_power_off
        b       .

host_power_off:
        ldr     x0, =PSCI_SYSTEM_OFF
        smc     #0
        b       .

        .align  11
vectors:
    .rept 16
        b       el1_exception
        .align  7
    .endr
