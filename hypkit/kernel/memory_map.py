"""Where things lie, and the numbers that guest and machine agree on."""

from __future__ import annotations

from dataclasses import dataclass

from hypkit import facts
from hypkit.a64 import pstate, syndrome
from hypkit.a64.pagetables import (
    PAGE_HYP_EXEC,
    PAGE_HYP_RO,
    PAGE_KERNEL,
    PAGE_KERNEL_RO,
    PAGE_KERNEL_ROX,
    PAGE_SIZE,
)
from hypkit.a64.registers import MASK64
from hypkit.kernel.addresses import DRAM_BASE, KIMAGE_PA, PAGE_OFFSET, TEXT_OFFSET

# --- As physical addresses ----------------------------------------------------------------------

TEXT_PA = KIMAGE_PA + TEXT_OFFSET


@dataclass(frozen=True)
class Section:
    """A run of whole pages of the kernel image with one set of permissions."""

    name: str
    pa: int
    size: int
    el1: int
    el2: int | None


SECTIONS = tuple(
    Section(name, TEXT_PA + offset, size, el1, el2)
    for name, offset, size, el1, el2 in (
        (".text", 0x0000, 0x4000, PAGE_KERNEL_ROX, None),
        (".hyp.idmap.text", 0x4000, 0x1000, PAGE_KERNEL_ROX, None),  # EL2: at VA = PA, below
        (".hyp.text", 0x5000, 0xB000, PAGE_KERNEL_ROX, PAGE_HYP_EXEC),
        (".rodata", 0x10000, 0x2000, PAGE_KERNEL_RO, PAGE_HYP_RO),
        (".data", 0x12000, 0x2000, PAGE_KERNEL, PAGE_HYP_RO),
    )
)
SECTION = {section.name: section for section in SECTIONS}
IMAGE_END = SECTIONS[-1].pa + SECTIONS[-1].size

# What a kernel allocates while it runs: reached through the linear map. name -> (pa, size, in hyp?)
HEAP_PA = 0x4040_0000
HEAP = {
    "idmap_pg_dir": (HEAP_PA, PAGE_SIZE, False),
    "swapper_pg_dir": (HEAP_PA + 0x1000, PAGE_SIZE, False),
    "hyp_pgd": (HEAP_PA + 0x2000, PAGE_SIZE, False),
    "stage2_pgd": (HEAP_PA + 0x4000, 2 * PAGE_SIZE, False),
    "hyp_stack": (HEAP_PA + 0x40000, PAGE_SIZE, True),
    "kvm_host_data_cpu0": (HEAP_PA + 0x42000, PAGE_SIZE, True),
    "kvm0": (HEAP_PA + 0x43000, PAGE_SIZE, True),
    "vcpu0": (HEAP_PA + 0x44000, PAGE_SIZE, True),
    "vcpu1": (HEAP_PA + 0x45000, PAGE_SIZE, True),
    "vm_memory": (HEAP_PA + 0x46000, PAGE_SIZE, False),
}
TABLE_POOL, TABLE_POOL_END = HEAP_PA + 0x8000, HEAP_PA + 0x40000
# What has a name: the image, and what is allocated of the heap.
NAMED = ((TEXT_PA, IMAGE_END), *((pa, pa + size) for pa, size, _ in HEAP.values()))
REQUESTS_PA, REQUESTS_SIZE = 0x4080_0000, 0x40_0000
REQUEST_SIZE = 64

VM_IPA = 0x8000_0000
VM_UNMAPPED_IPA = 0x9000_0000
VMID = 1

# --- Numbers the guest text uses by name -------------------------------------------------------

SCTLR_ELX_FLAGS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 12  # M A C SA I
SCTLR_EL1_RES1 = 0x30D0_0800
SCTLR_EL2_RES1 = 0x30C5_0830
SCTLR_MMU_ON = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 12  # M C SA I; A stays off, as in Linux
HCR_RW = 1 << 31
TCR_CACHED = 1 << 8 | 1 << 10 | 3 << 12  # inner and outer write-back, inner shareable
TCR_EL2_RES1 = 1 << 31 | 1 << 23
PHYSICAL_BITS_44 = 4

_ABI = facts.abi_numbers()
CONSTANTS: dict[str, int] = {
    # include/asm/virt.h
    **{stub.name: stub.number for stub in facts.stubs()},
    "HVC_STUB_HCALL_NR": len(facts.stubs()),
    "HVC_STUB_ERR": _ABI["stub_error"],
    "ENOSYS": -_ABI["enosys"],
    "ARM_EXCEPTION_TRAP": 2,
    "ESR_EC_SHIFT": syndrome.ESR_EC_SHIFT,
    "EC_HVC32": syndrome.EC_HVC32,
    "EC_HVC64": syndrome.EC_HVC64,
    "PSR_EL1H_DAIF": pstate.PSTATE_EL1H | pstate.PSTATE_DAIF,
    "PSR_EL2H_DAIF": pstate.PSTATE_EL2H | pstate.PSTATE_DAIF,
    "HCR_HOST": HCR_RW,
    "CPTR_EL2_DEFAULT": 0x33FF,
    "PMU_COUNTERS": 6,
    "SCTLR_EL1_OFF": SCTLR_EL1_RES1,
    "SCTLR_EL1_ON": SCTLR_EL1_RES1 | SCTLR_MMU_ON,
    "SCTLR_EL2_OFF": SCTLR_EL2_RES1,
    "SCTLR_EL2_ON": SCTLR_EL2_RES1 | SCTLR_MMU_ON,
    "SCTLR_ELX_FLAGS": SCTLR_ELX_FLAGS,
    "SCTLR_ELX_DSSBS": 1 << 44,
    # Device memory in slot 0, ordinary write-back memory in slot 4 (Linux's MT_NORMAL).
    "MAIR_VALUE": 0xFF << 8 * 4,
    "TCR_EL1_VALUE": (
        16 | TCR_CACHED | 16 << 16 | TCR_CACHED << 16 | 2 << 30 | PHYSICAL_BITS_44 << 32
    ),
    "TCR_EL2_MASK": 0xFF3F,
    "TCR_EL2_RES1": TCR_EL2_RES1,
    "TCR_EL2_VALUE": 16 | TCR_CACHED | PHYSICAL_BITS_44 << 16 | TCR_EL2_RES1,
    "PHYSVIRT_OFFSET": DRAM_BASE - PAGE_OFFSET & MASK64,
    "PSCI_SYSTEM_OFF": 0x8400_0008,
    "PSCI_VERSION": 0x8400_0000,
    "VM_UNMAPPED_IPA": VM_UNMAPPED_IPA,
    "REQUEST_SIZE": REQUEST_SIZE,
    # Our struct kvm_cpu_context, kvm_vcpu, kvm_host_data and kvm.
    "CTXT_X": 0,
    "CTXT_PC": 256,
    "CTXT_SYSREGS": 272,
    "VCPU_HCR_EL2": 352,
    "VCPU_KVM": 360,
    "VCPU_FAULT": 368,
    "VCPU_VGIC": 392,
    "VGIC_AP0R": 0,
    "VGIC_AP1R": 16,
    "HOST_CONTEXT_VCPU": 352,
    "HOST_GPRS": 512,
    "HOST_DATA_SIZE": 768,
    "SMCCC_RET_SUCCESS": _ABI["smccc_success"],
    "SMCCC_RET_NOT_SUPPORTED": _ABI["smccc_not_supported"],
    "PAGE_OFFSET": PAGE_OFFSET,
    "KVM_VTTBR": 0,
    "KVM_VTCR": 8,
}
VTCR_EL2 = 1 << 31 | PHYSICAL_BITS_44 << 16 | TCR_CACHED | 1 << 6 | 24  # 40 bits from level 1
HCR_GUEST = HCR_RW | 1 << 19 | 1 << 5 | 1 << 4 | 1 << 3 | 1 << 0  # TSC AMO IMO FMO VM
