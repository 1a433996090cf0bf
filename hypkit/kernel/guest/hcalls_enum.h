// The numbers of the hypercalls: the compiler counts.

enum kvm_host_hcall {
#define KVM_HOST_HCALL(name) KVM_HOST_HCALL_IDX_##name,
#include "kvm_hcall_list.h"
#undef KVM_HOST_HCALL
        KVM_HOST_HCALL_SIZE
};

#define KVM_HOST_HCALL_BASE 0x100
#define KVM_HOST_HCALL_END (KVM_HOST_HCALL_BASE + KVM_HOST_HCALL_SIZE)
#define KVM_HOST_HCALL_NR(name) (KVM_HOST_HCALL_BASE + KVM_HOST_HCALL_IDX_##name)
