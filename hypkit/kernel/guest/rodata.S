// Written once, while the MMU is off, and read-only ever after: at EL1, and at EL2 too.

kimage_voffset:         .quad 0         // image address - physical address
physvirt_offset:        .quad 0         // physical address - linear address
kvm_lm_offset:          .quad 0         // image address - linear address: the sum of the two
