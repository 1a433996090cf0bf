"""Machine.translate against the processor's own answer: AT instructions and PAR_EL1, run inside."""

import pytest

from hypkit import Machine
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.kernel.addresses import DRAM_BASE, DRAM_SIZE, KIMAGE_VADDR, PAGE_OFFSET
from hypkit.kernel.memory_map import HEAP, IMAGE_END, SECTIONS, VM_IPA

EL2_READ, EL2_WRITE, EL1_READ, EL1_WRITE, STAGE_12_READ, STAGE_12_WRITE = range(0x100, 0x106)
# Asks the MMU, with x0 as the kind of question, x1 the address, x2 and x3 the VM's registers.
DISPATCHER = f"""
dispatch:
        divert_stub_calls
        mrs     x10, sctlr_el1
        cmp     x0, #{EL2_READ}
        b.ne    1f
        at      s1e2r, x1
1:      cmp     x0, #{EL2_WRITE}
        b.ne    1f
        at      s1e2w, x1
1:      cmp     x0, #{EL1_READ}
        b.ne    1f
        at      s1e1r, x1
1:      cmp     x0, #{EL1_WRITE}
        b.ne    1f
        at      s1e1w, x1
1:      cmp     x0, #{STAGE_12_READ}
        b.lo    2f
        // As for the VM: its MMU off, stage 2 on, then everything back.
        msr     vttbr_el2, x2
        msr     vtcr_el2, x3
        ldr     x9, =(1 << 31 | 1)
        msr     hcr_el2, x9
        mov     x11, #0x0800
        movk    x11, #0x30d0, lsl #16
        msr     sctlr_el1, x11
        isb
        cmp     x0, #{STAGE_12_READ}
        b.ne    1f
        at      s12e1r, x1
        b       3f
1:      at      s12e1w, x1
3:      mov     x9, #1 << 31
        msr     hcr_el2, x9
        msr     vttbr_el2, xzr
        msr     sctlr_el1, x10
2:      isb
        mrs     x0, par_el1
        eret
        dsb     nsh
        isb
"""


@pytest.fixture(scope="module", params=[0, 42])
def m(request):
    with Machine("numbered", seed=request.param, dispatcher=DISPATCHER) as machine:
        yield machine


def par(m, question, va):
    """(physical page, None) or (None, fault status code), from PAR_EL1 (D17.2.113)."""
    kvm = m.read(m.address("kvm0", "linear"), 16, el=1)
    answer = m.hvc(
        question, va, int.from_bytes(kvm[:8], "little"), int.from_bytes(kvm[8:], "little")
    ).x0
    if answer & 1:
        return None, answer >> 1 & 0x3F
    return answer & 0xFFFF_FFFF_F000, None


def ours(walk, write):
    if walk.pa is None:
        return None, walk.fsc
    if write and not walk.writable:
        return None, 0x0C | walk.levels[-1].level
    return walk.pa & ~0xFFF, None


def interesting(m):
    """Addresses in every space: the ends of everything mapped, and what lies beside it."""
    places = [section.pa for section in SECTIONS] + [
        IMAGE_END - 1,
        IMAGE_END,
        DRAM_BASE,
        DRAM_BASE + DRAM_SIZE - 1,
    ]
    places += [pa + offset for pa, size, _ in HEAP.values() for offset in (0, size - 1, size)]
    layout = m.layout
    for pa in places:
        yield from (pa, layout.image_va(pa), layout.linear_va(pa), layout.hyp_va(pa))
    yield from (
        0,
        8,
        PAGE_SIZE,
        1 << 47,
        (1 << 48) - 1,
        1 << 48,
        1 << 63,
        (1 << 64) - 1,
        PAGE_OFFSET - 1,
        PAGE_OFFSET,
        PAGE_OFFSET + DRAM_SIZE,
        KIMAGE_VADDR,
        KIMAGE_VADDR - 1,
        0xDEAD_BEEF_0000,
    )


@pytest.mark.parametrize(
    ("el", "read", "write"), [(2, EL2_READ, EL2_WRITE), (1, EL1_READ, EL1_WRITE)]
)
def test_translate_agrees_with_the_mmu_wherever_something_is_or_is_not_mapped(m, el, read, write):
    seen = set()
    for va in interesting(m):
        walk = m.translate(va, el)
        for question, writing in ((read, False), (write, True)):
            answer = par(m, question, va)
            assert ours(walk, writing) == answer, f"{va:#x} {'write' if writing else 'read'}"
            seen.add(answer[1])
    # Both mapped and unmapped were among them, and pages that may not be written.
    assert {None, 0x0F} <= seen and seen & {0x04, 0x05, 0x06, 0x07}


def test_translate_agrees_with_the_mmu_through_stage_2(m):
    seen = set()
    for ipa in (
        VM_IPA,
        VM_IPA + 0xFFF,
        VM_IPA + PAGE_SIZE,
        VM_IPA - 1,
        0x9000_0000,
        0,
        (1 << 39) + 5,
        (1 << 40) - 1,
    ):
        walk = m.translate(ipa, stage=2)
        for question, writing in ((STAGE_12_READ, False), (STAGE_12_WRITE, True)):
            answer = par(m, question, ipa)
            assert ours(walk, writing) == answer, f"{ipa:#x}"
            seen.add(answer[1])
    assert {None, 0x05, 0x07} <= seen


def test_a_walk_shows_every_table_it_read(m):
    walk = m.translate(m.address("kvm_hcall_table", "hyp"), el=2)
    assert [level.level for level in walk.levels] == [0, 1, 2, 3]
    assert walk.levels[0].table == m.sysreg("TTBR0_EL2")
    assert all(
        below.table == above.descriptor & 0xFFFF_FFFF_F000
        for above, below in zip(walk.levels, walk.levels[1:], strict=False)
    )
    assert walk.pa == m.image.pa("kvm_hcall_table")
    assert not walk.writable and not walk.executable
    assert m.translate(m.address("dispatch", "hyp")).executable
