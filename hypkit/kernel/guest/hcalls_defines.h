// The hypercalls and their numbers: two lines for each call, and the size at the end. This text is
// included twice. The first time the entries mean nothing, and only the numbers count. The second
// time the table includes it, and has given KVM_HOST_HCALL(name) a meaning of its own.

#ifndef KVM_HOST_HCALL
#define KVM_HOST_HCALL(name)
#endif

#define KVM_HOST_HCALL_IDX___kvm_enable_ssbs 0
KVM_HOST_HCALL(__kvm_enable_ssbs)
#define KVM_HOST_HCALL_IDX___kvm_get_mdcr_el2 1
KVM_HOST_HCALL(__kvm_get_mdcr_el2)
#define KVM_HOST_HCALL_IDX___kvm_timer_set_cntvoff 2
KVM_HOST_HCALL(__kvm_timer_set_cntvoff)
#define KVM_HOST_HCALL_IDX___kvm_tlb_flush_local_vmid 3
KVM_HOST_HCALL(__kvm_tlb_flush_local_vmid)
#define KVM_HOST_HCALL_IDX___kvm_flush_vm_context 4
KVM_HOST_HCALL(__kvm_flush_vm_context)
#define KVM_HOST_HCALL_IDX___kvm_vcpu_run_nvhe 5
KVM_HOST_HCALL(__kvm_vcpu_run_nvhe)
#define KVM_HOST_HCALL_IDX___kvm_tlb_flush_vmid 6
KVM_HOST_HCALL(__kvm_tlb_flush_vmid)
#define KVM_HOST_HCALL_IDX___kvm_tlb_flush_vmid_ipa 7
KVM_HOST_HCALL(__kvm_tlb_flush_vmid_ipa)
#define KVM_HOST_HCALL_IDX___vgic_v3_init_lrs 8
KVM_HOST_HCALL(__vgic_v3_init_lrs)
#define KVM_HOST_HCALL_IDX___vgic_v3_get_ich_vtr_el2 9
KVM_HOST_HCALL(__vgic_v3_get_ich_vtr_el2)
#define KVM_HOST_HCALL_IDX___vgic_v3_write_vmcr 10
KVM_HOST_HCALL(__vgic_v3_write_vmcr)
#define KVM_HOST_HCALL_IDX___vgic_v3_restore_aprs 11
KVM_HOST_HCALL(__vgic_v3_restore_aprs)
#define KVM_HOST_HCALL_IDX___vgic_v3_read_vmcr 12
KVM_HOST_HCALL(__vgic_v3_read_vmcr)
#define KVM_HOST_HCALL_IDX___vgic_v3_save_aprs 13
KVM_HOST_HCALL(__vgic_v3_save_aprs)

#define KVM_HOST_HCALL_SIZE 14

#define KVM_HOST_HCALL_BASE 0x100
#define KVM_HOST_HCALL_END (KVM_HOST_HCALL_BASE + KVM_HOST_HCALL_SIZE)
#define KVM_HOST_HCALL_NR(name) (KVM_HOST_HCALL_BASE + KVM_HOST_HCALL_IDX_##name)
