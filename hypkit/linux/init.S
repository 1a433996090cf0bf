// The only program that runs on the kernel while it is being photographed: init, statically linked,
// without a library. It makes one virtual machine, so that KVM takes EL2 and keeps it, says so on
// the console, and sleeps for good.

        mov     x0, #-100               // AT_FDCWD: the path is absolute anyway
        adr     x1, device
        mov     x2, #2                  // O_RDWR
        mov     x3, #0
        mov     x8, #56                 // openat
        svc     #0
        tbnz    x0, #63, no_kvm         // a negative number is an error
        mov     x1, #0xae01             // KVM_CREATE_VM
        mov     x2, #0                  // the usual kind
        mov     x8, #29                 // ioctl
        svc     #0
        tbnz    x0, #63, no_vm
        adr     x1, ready
        mov     x2, #(ready_end - ready)
        b       say
no_kvm: adr     x1, lacks_kvm
        mov     x2, #(lacks_kvm_end - lacks_kvm)
        b       say
no_vm:  adr     x1, lacks_vm
        mov     x2, #(lacks_vm_end - lacks_vm)
say:    mov     x0, #1                  // init's standard output is the console
        mov     x8, #64                 // write
        svc     #0
sleep:  mov     x0, #0                  // wait for no file ...
        mov     x1, #0
        mov     x2, #0                  // ... without a limit of time ...
        mov     x3, #0
        mov     x8, #73                 // ppoll
        svc     #0
        b       sleep                   // ... and again, should a signal wake it

device:         .asciz  "/dev/kvm"
ready:          .ascii  "hypkit: READY\n"
ready_end:
lacks_kvm:      .ascii  "hypkit: this kernel has no /dev/kvm\n"
lacks_kvm_end:
lacks_vm:       .ascii  "hypkit: KVM_CREATE_VM failed\n"
lacks_vm_end:
        .balign 4
