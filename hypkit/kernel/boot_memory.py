"""Memory beside the programs: page tables and KVM's structures."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache

from hypkit.a64.pagetables import (
    PAGE_HYP,
    PAGE_HYP_EXEC,
    PAGE_KERNEL,
    PAGE_KERNEL_RO,
    PAGE_KERNEL_ROX,
    PAGE_S2,
    PAGE_SIZE,
    PageTables,
)
from hypkit.asm import Program
from hypkit.kernel.addresses import DRAM_BASE, DRAM_SIZE, KIMAGE_PA, Layout
from hypkit.kernel.memory_map import (
    CONSTANTS,
    HCR_GUEST,
    HEAP,
    IMAGE_END,
    REQUESTS_PA,
    REQUESTS_SIZE,
    SCTLR_EL1_RES1,
    SECTION,
    SECTIONS,
    TABLE_POOL,
    TABLE_POOL_END,
    TEXT_PA,
    VM_IPA,
    VMID,
    VTCR_EL2,
)


@lru_cache(maxsize=16)  # of one seed many machines are made
def page_tables(layout: Layout, vhe: bool) -> Mapping[int, bytes]:
    """Return the tables of EL1, EL2 and stage 2. vhe: whether the host lives at EL2 as well."""
    tables = PageTables(TABLE_POOL, TABLE_POOL_END)
    for name in ("idmap_pg_dir", "swapper_pg_dir", "hyp_pgd", "stage2_pgd"):
        pa, size, _ = HEAP[name]
        for page in range(pa, pa + size, PAGE_SIZE):
            tables.pages[page] = [0] * 512
    idmap, swapper, hyp, stage2 = (
        HEAP[name][0] for name in ("idmap_pg_dir", "swapper_pg_dir", "hyp_pgd", "stage2_pgd")
    )

    # EL1: the first page under its own address, for the moment the MMU goes on.
    tables.map(idmap, TEXT_PA, TEXT_PA, PAGE_SIZE, PAGE_KERNEL_ROX)
    # EL1: the image where KASLR put it, and all of RAM in the linear map. The 2 MiB that hold the
    # image are mapped in pages there, text and read-only data without write permission.
    block = 0x20_0000
    for pa in range(DRAM_BASE, DRAM_BASE + DRAM_SIZE, block):
        if pa != KIMAGE_PA:
            tables.map(swapper, layout.linear_va(pa), pa, block, PAGE_KERNEL, block_level=2)
    for section in SECTIONS:
        tables.map(swapper, layout.image_va(section.pa), section.pa, section.size, section.el1)
        alias = PAGE_KERNEL if section.el1 == PAGE_KERNEL else PAGE_KERNEL_RO
        tables.map(swapper, layout.linear_va(section.pa), section.pa, section.size, alias)
    for start, end in ((KIMAGE_PA, TEXT_PA), (IMAGE_END, KIMAGE_PA + block)):
        tables.map(swapper, layout.linear_va(start), start, end - start, PAGE_KERNEL)

    # EL2: what init_hyp_mode maps, under hyp addresses, and the init page under its own.
    init = SECTION[".hyp.idmap.text"]
    tables.map(hyp, init.pa, init.pa, init.size, PAGE_HYP_EXEC)
    host = {".text": PAGE_HYP_EXEC, ".data": PAGE_HYP} if vhe else {}
    for section in SECTIONS:
        attributes = host.get(section.name, section.el2)
        if attributes is not None:
            tables.map(hyp, layout.hyp_va(section.pa), section.pa, section.size, attributes)
    if vhe:  # the whole kernel lives at hyp addresses: its first page at its own as well
        tables.map(hyp, TEXT_PA, TEXT_PA, PAGE_SIZE, PAGE_HYP_EXEC)
        tables.map(
            hyp, layout.hyp_va(REQUESTS_PA), REQUESTS_PA, REQUESTS_SIZE, PAGE_HYP, block_level=2
        )
    for pa, size, in_hyp in HEAP.values():
        if in_hyp:
            tables.map(hyp, layout.hyp_va(pa), pa, size, PAGE_HYP)

    # Stage 2: one page of memory for the VM.
    tables.map(stage2, VM_IPA, HEAP["vm_memory"][0], PAGE_SIZE, PAGE_S2, start_level=1)
    return {pa: struct.pack("<512Q", *words) for pa, words in tables.pages.items()}


def structures(host_va: Callable[[int], int], vm: Program) -> dict[int, bytes]:
    """Return struct kvm and its two vCPUs, as the host's C code would have filled them, and the
    VM."""
    kvm = bytearray(PAGE_SIZE)
    vttbr = HEAP["stage2_pgd"][0] | VMID << 48
    struct.pack_into("<QQ", kvm, CONSTANTS["KVM_VTTBR"], vttbr, VTCR_EL2)
    memory = {HEAP["kvm0"][0]: bytes(kvm), HEAP["vm_memory"][0]: vm.code}
    for name, entry in (("vcpu0", "vm_entry"), ("vcpu1", "vm_entry_fault")):
        vcpu = bytearray(PAGE_SIZE)
        struct.pack_into(
            "<QQ", vcpu, CONSTANTS["CTXT_PC"], vm.symbols[entry], CONSTANTS["PSR_EL1H_DAIF"]
        )
        struct.pack_into("<Q", vcpu, CONSTANTS["CTXT_SYSREGS"], SCTLR_EL1_RES1)
        struct.pack_into(
            "<QQ", vcpu, CONSTANTS["VCPU_HCR_EL2"], HCR_GUEST, host_va(HEAP["kvm0"][0])
        )
        memory[HEAP[name][0]] = bytes(vcpu)
    return memory
