// Once, at boot: go through a list of the words that hold addresses, and turn each from an image
// address into a hyp address. Runs at the physical address, where read-only data can be written.
// (On real hardware the MMU is off here and the caches need looking after; the emulator has none.)

kvm_prepare_hyp:
        adr_l   x0, hyp_relocations
        adr_l   x1, hyp_relocations_end
1:      cmp     x0, x1
        b.hs    2f
        ldrsw   x2, [x0]                // how far the word lies from its place in the list
        add     x2, x0, x2
        ldr     x3, [x2]
        lm_alias x3, x4
        kern_hyp_va x3
        str     x3, [x2]
        add     x0, x0, #4
        b       1b
2:      ret
