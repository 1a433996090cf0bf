// The fourteen functions the host may ask for, as of Linux 5.7. Pointer arguments are linear-map
// addresses of the kernel; each function makes them its own.

// VTTBR_EL2 of the VM that the struct kvm at \kvm (a hyp address) describes.
.macro load_vttbr reg, kvm
        ldr     \reg, [\kvm, #KVM_VTTBR]
.endm

// Point the TLB maintenance at a VM, and back at the host, whose VTTBR_EL2 is zero.
.macro tlb_switch_to_guest kvm, tmp
        load_vttbr \tmp, \kvm
        msr     vttbr_el2, \tmp
        isb
.endm
.macro tlb_switch_to_host
        msr     vttbr_el2, xzr
.endm

// Let this core bypass stores speculatively again: DSSBS in SCTLR_EL2.
__kvm_enable_ssbs:
        mrs     x0, sctlr_el2
        orr     x0, x0, #SCTLR_ELX_DSSBS
        msr     sctlr_el2, x0
        ret

__kvm_get_mdcr_el2:
        mrs     x0, mdcr_el2
        ret

// x0: low 32 bits, x1: high 32 bits, as 32-bit Arm wanted them.
__kvm_timer_set_cntvoff:
        mov     w0, w0
        orr     x0, x0, x1, lsl #32
        msr     cntvoff_el2, x0
        ret

// x0: struct kvm_vcpu. Forget what this CPU's TLB knows of the VM.
__kvm_tlb_flush_local_vmid:
        kern_hyp_va x0
        ldr     x0, [x0, #VCPU_KVM]
        kern_hyp_va x0
        tlb_switch_to_guest x0, x1
        tlbi    vmalle1
        dsb     nsh
        isb
        tlb_switch_to_host
        ret

// Forget every VM, everywhere.
__kvm_flush_vm_context:
        dsb     ishst
        tlbi    alle1is
        dsb     ish
        ret

// x0: struct kvm.
__kvm_tlb_flush_vmid:
        dsb     ishst
        kern_hyp_va x0
        tlb_switch_to_guest x0, x1
        tlbi    vmalls12e1is
        dsb     ish
        isb
        tlb_switch_to_host
        ret

// x0: struct kvm, x1: the intermediate physical address whose mapping changed.
__kvm_tlb_flush_vmid_ipa:
        dsb     ishst
        kern_hyp_va x0
        tlb_switch_to_guest x0, x2
        lsr     x1, x1, #12
        tlbi    ipas2e1is, x1
        dsb     ish
        tlbi    vmalle1is               // stage 1 may have cached the walk as a whole
        dsb     ish
        isb
        tlb_switch_to_host
        ret

// Empty every list register this CPU has: LRn .. LR0, entering the row at n.
__vgic_v3_init_lrs:
        mrs     x0, s3_4_c12_c11_1      // ICH_VTR_EL2.ListRegs: how many, minus one
        and     x0, x0, #15
        mov     x1, #15
        sub     x0, x1, x0
        adr     x1, 1f
        add     x1, x1, x0, lsl #2
        br      x1
1:      msr     s3_4_c12_c13_7, xzr     // ICH_LR15_EL2
        msr     s3_4_c12_c13_6, xzr
        msr     s3_4_c12_c13_5, xzr
        msr     s3_4_c12_c13_4, xzr
        msr     s3_4_c12_c13_3, xzr
        msr     s3_4_c12_c13_2, xzr
        msr     s3_4_c12_c13_1, xzr
        msr     s3_4_c12_c13_0, xzr
        msr     s3_4_c12_c12_7, xzr
        msr     s3_4_c12_c12_6, xzr
        msr     s3_4_c12_c12_5, xzr
        msr     s3_4_c12_c12_4, xzr
        msr     s3_4_c12_c12_3, xzr
        msr     s3_4_c12_c12_2, xzr
        msr     s3_4_c12_c12_1, xzr
        msr     s3_4_c12_c12_0, xzr     // ICH_LR0_EL2
        ret

__vgic_v3_get_ich_vtr_el2:
        mrs     x0, s3_4_c12_c11_1
        ret

// w0: what ICH_VMCR_EL2 should hold.
__vgic_v3_write_vmcr:
        mov     w0, w0
        msr     s3_4_c12_c11_7, x0
        ret

__vgic_v3_read_vmcr:
        mrs     x0, s3_4_c12_c11_7
        ret

// The number of active-priority registers follows from ICH_VTR_EL2.PREbits: 5 bits use one of each
// group, 6 bits two, 7 bits four. \n is what PREbits must reach for this pair.
.macro unless_prebits_reach n, vtr, past
        cmp     \vtr, #(\n - 1)
        b.lo    \past
.endm

// x0: struct kvm_vcpu.
__vgic_v3_restore_aprs:
        kern_hyp_va x0
        add     x0, x0, #VCPU_VGIC
        mrs     x1, s3_4_c12_c11_1
        ubfx    x1, x1, #26, #3
        ldp     w2, w3, [x0, #VGIC_AP0R]
        ldp     w4, w5, [x0, #VGIC_AP1R]
        ldp     w6, w7, [x0, #VGIC_AP0R + 8]
        ldp     w8, w9, [x0, #VGIC_AP1R + 8]
        msr     s3_4_c12_c8_0, x2       // ICH_AP0R0_EL2
        msr     s3_4_c12_c9_0, x4       // ICH_AP1R0_EL2
        unless_prebits_reach 6, x1, 1f
        msr     s3_4_c12_c8_1, x3
        msr     s3_4_c12_c9_1, x5
        unless_prebits_reach 7, x1, 1f
        msr     s3_4_c12_c8_2, x6
        msr     s3_4_c12_c9_2, x8
        msr     s3_4_c12_c8_3, x7
        msr     s3_4_c12_c9_3, x9
1:      ret

// x0: struct kvm_vcpu.
__vgic_v3_save_aprs:
        kern_hyp_va x0
        add     x0, x0, #VCPU_VGIC
        mrs     x1, s3_4_c12_c11_1
        ubfx    x1, x1, #26, #3
        mrs     x2, s3_4_c12_c8_0
        mrs     x4, s3_4_c12_c9_0
        str     w2, [x0, #VGIC_AP0R]
        str     w4, [x0, #VGIC_AP1R]
        unless_prebits_reach 6, x1, 1f
        mrs     x3, s3_4_c12_c8_1
        mrs     x5, s3_4_c12_c9_1
        str     w3, [x0, #VGIC_AP0R + 4]
        str     w5, [x0, #VGIC_AP1R + 4]
        unless_prebits_reach 7, x1, 1f
        mrs     x2, s3_4_c12_c8_2
        mrs     x3, s3_4_c12_c8_3
        mrs     x4, s3_4_c12_c9_2
        mrs     x5, s3_4_c12_c9_3
        stp     w2, w3, [x0, #VGIC_AP0R + 8]
        stp     w4, w5, [x0, #VGIC_AP1R + 8]
1:      ret
