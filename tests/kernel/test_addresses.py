"""The four address spaces and the page tables: Linux's arithmetic, and the Arm ARM's rules."""

import random

import pytest

from hypkit.a64 import pagetables
from hypkit.a64.pagetables import (
    PAGE_HYP,
    PAGE_HYP_EXEC,
    PAGE_HYP_RO,
    PAGE_KERNEL,
    PAGE_KERNEL_RO,
    PAGE_KERNEL_ROX,
    PAGE_S2,
    PAGE_SIZE,
    S2_WRITE,
    S2_XN,
    VA_BITS,
    PageTables,
    Walk,
    walk,
)
from hypkit.a64.registers import MASK64
from hypkit.kernel import addresses
from hypkit.kernel.addresses import (
    DRAM_BASE,
    DRAM_SIZE,
    KASLR_ALIGN,
    KIMAGE_PA,
    KIMAGE_VADDR,
    PAGE_END,
    PAGE_OFFSET,
    SPACES,
    Layout,
)

SEEDS = (0, 1, 2, 77, 2020, 1 << 70)
BLOCK = 0x20_0000


def draws(count=200):
    """(layout, physical address of a byte of RAM), always the same ones."""
    draw = random.Random(20200430)
    for number in range(count):
        yield Layout.from_seed(SEEDS[number % len(SEEDS)]), DRAM_BASE + draw.randrange(DRAM_SIZE)


def rotated_right(value, amount):
    return (value >> amount | value << 64 - amount) & MASK64


# --- The four names ------------------------------------------------------------------------------


def test_a_kernel_at_the_start_of_ram_gives_the_numbers_worked_out_by_hand(monkeypatch):
    # Worked out by hand from va_layout.c, without this code: the image at 0x40000000, no KASLR.
    monkeypatch.setattr(addresses, "KIMAGE_PA", 0x4000_0000)
    layout = Layout(random_tag=0x0AD95)
    assert layout.kimage_voffset == 0xFFFF_7FFF_D000_0000
    assert layout.physvirt_offset == 0x0001_0000_4000_0000
    assert layout.lm_offset == 0x0000_8000_1000_0000
    assert layout.lm_alias(0xFFFF_8000_112B_4560) == 0xFFFF_0000_012B_4560
    assert (layout.tag_lsb, layout.va_mask) == (30, 0x3FFF_FFFF)
    assert layout.tag_val == 0x2AD95
    assert (layout.tag_val & 0xFFF, layout.tag_val >> 12) == (0xD95, 0x2A)
    assert layout.kern_hyp_va(0xFFFF_0000_012B_4560) == 0x0000_AB65_412B_4560
    # As long as both bases share a physical address, the offset is that of the two ranges.
    assert layout.lm_offset == KIMAGE_VADDR - PAGE_OFFSET


def test_our_kernel_lies_two_megabytes_higher_and_its_linear_alias_with_it():
    layout = Layout()
    assert layout.image_va(KIMAGE_PA) == KIMAGE_VADDR
    assert layout.lm_alias(KIMAGE_VADDR) == PAGE_OFFSET + KIMAGE_PA - DRAM_BASE
    assert layout.lm_offset == KIMAGE_VADDR - PAGE_OFFSET - 0x20_0000
    assert layout.physvirt_offset == 0x0001_0000_4000_0000


def test_the_four_names_come_back_from_every_space():
    for layout, pa in draws():
        names = layout.names(pa)
        assert tuple(names) == SPACES
        assert names["physical"] == pa
        for space, address in names.items():
            assert layout.space(address) == space
            assert layout.pa(address) == pa
            assert layout.names(address) == names


def test_the_names_differ_by_the_offsets_that_linux_keeps():
    for layout, pa in draws():
        names = layout.names(pa)
        assert names["image"] - pa == layout.kimage_voffset
        assert pa - names["linear"] & MASK64 == layout.physvirt_offset
        assert names["image"] - names["linear"] == layout.lm_offset
        assert layout.lm_alias(names["image"]) == names["linear"]
        assert names["hyp"] == layout.kern_hyp_va(names["linear"])


def test_bit_47_tells_image_from_linear_and_the_top_bits_tell_hyp():
    for layout, pa in draws():
        names = layout.names(pa)
        assert [names[space] >> 47 for space in ("image", "linear", "hyp")] == [0x1FFFF, 0x1FFFE, 1]


def test_kern_hyp_va_is_what_the_five_instructions_compute():
    for layout, pa in draws():
        va = layout.linear_va(pa)
        value = va & layout.va_mask  # and
        value = rotated_right(value, layout.tag_lsb)  # ror
        value += layout.tag_val & 0xFFF  # add
        value += layout.tag_val & 0xFFF000  # add, lsl #12
        value = rotated_right(value, 64 - layout.tag_lsb)  # ror
        assert value == layout.kern_hyp_va(va)
        assert layout.tag_val < 1 << 24  # two additions of 12 bits must do


def test_kern_hyp_va_masks_whatever_it_is_given():
    layout = Layout.from_seed(5)
    inside = range(layout.tag_val << 30, layout.tag_val + 1 << 30)
    draw = random.Random(1)
    for value in (0, 3, MASK64, *(draw.getrandbits(64) for _ in range(50))):
        assert layout.kern_hyp_va(value) in inside


@pytest.mark.parametrize("seed", SEEDS)
def test_hyp_addresses_never_meet_the_idmap(seed):
    layout = Layout.from_seed(seed)
    first, last = (layout.hyp_va(pa) for pa in (DRAM_BASE, DRAM_BASE + DRAM_SIZE - 1))
    assert last - first == DRAM_SIZE - 1
    assert last < 1 << VA_BITS
    # Any physical address a machine could have its idmap page at shares bit 47 with ours.
    assert {first >> 47, last >> 47} == {1}
    assert KIMAGE_PA >> 47 == 0


def test_an_idmap_in_the_upper_half_puts_hyp_addresses_into_the_lower(monkeypatch):
    monkeypatch.setattr(addresses, "KIMAGE_PA", 1 << 47 | 0x4020_0000)
    assert Layout(random_tag=0x1FFFF).tag_val == 0x1FFFF
    assert Layout().hyp_va(DRAM_BASE) >> 47 == 0


@pytest.mark.parametrize(("gibibytes", "tag_lsb"), [(1, 30), (2, 31), (4, 32)])
def test_the_tag_starts_where_linear_addresses_stop_to_differ(monkeypatch, gibibytes, tag_lsb):
    monkeypatch.setattr(addresses, "DRAM_SIZE", gibibytes << 30)
    assert Layout().tag_lsb == tag_lsb
    assert Layout().va_mask == (1 << tag_lsb) - 1


# --- Seeds ---------------------------------------------------------------------------------------


def test_seed_zero_is_the_plain_layout():
    assert Layout.from_seed(0) == Layout(0, 0)
    assert Layout().image_va(KIMAGE_PA) == KIMAGE_VADDR


def test_a_seed_always_gives_the_same_layout_and_another_seed_another():
    layouts = [Layout.from_seed(seed) for seed in range(50)]
    assert layouts == [Layout.from_seed(seed) for seed in range(50)]
    assert len(set(layouts)) == 50


@pytest.mark.parametrize("seed", SEEDS[1:])
def test_a_seed_moves_the_image_as_kaslr_does(seed):
    layout = Layout.from_seed(seed)
    assert layout.kaslr_offset % KASLR_ALIGN == 0
    # The middle half of the kernel's upper range, as kaslr_early_init has it.
    assert 1 << VA_BITS - 3 <= layout.kaslr_offset < 1 << VA_BITS - 2
    assert layout.linear_va(KIMAGE_PA) == Layout().linear_va(KIMAGE_PA)
    assert layout.random_tag >> 17 == 0


def test_a_layout_shows_its_two_numbers():
    assert repr(Layout(0x20_0000, 0x0AD95)) == "Layout(kaslr_offset=0x200000, tag_val=0x2ad95)"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Layout.from_seed("x"), TypeError, "seed: expected a whole number; got 'x'"),
        (lambda: Layout.from_seed(1.0), TypeError, "seed: expected a whole number; got 1.0"),
        (lambda: Layout.from_seed(-1), ValueError, "seed: expected 0, 1, 2, ...; got -1"),
        (
            lambda: Layout(0x1000),
            ValueError,
            "kaslr_offset: expected a multiple of 2 MiB below 0x400000000000; got 4096",
        ),
        (lambda: Layout(1 << 46), ValueError, "kaslr_offset: expected a multiple of 2 MiB"),
        (
            lambda: Layout(0, 1 << 17),
            ValueError,
            "random_tag: expected a number of 17 bits; got 131072",
        ),
        (
            lambda: Layout(random_tag=-1),
            ValueError,
            "random_tag: expected a number of 17 bits; got -1",
        ),
    ],
)
def test_a_layout_that_cannot_be_says_why(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "address",
    [
        0,
        DRAM_BASE - 1,
        DRAM_BASE + DRAM_SIZE,
        PAGE_OFFSET - 1,
        PAGE_OFFSET + DRAM_SIZE,
        PAGE_END,
        KIMAGE_VADDR - 1,
        MASK64,
        1 << 64,
        -1,
    ],
)
def test_an_address_of_no_space_has_no_names(address):
    layout = Layout.from_seed(9)
    assert layout.space(address) is layout.pa(address) is None
    with pytest.raises(ValueError) as caught:
        layout.names(address)
    message = f"{address:#x} is in none of the four address spaces of this machine"
    assert str(caught.value) == message


def test_one_machines_hyp_address_is_nothing_on_another():
    hyp = Layout.from_seed(1).hyp_va(KIMAGE_PA)
    assert Layout.from_seed(1).space(hyp) == "hyp"
    assert Layout.from_seed(2).space(hyp) is None


# --- Page tables ---------------------------------------------------------------------------------

ROOT, POOL = 0x1000, 0x10000


@pytest.fixture
def tables():
    made = PageTables(POOL, POOL + 64 * PAGE_SIZE)
    for page in (ROOT, ROOT + PAGE_SIZE):  # two in a row, for stage 2
        made.pages[page] = [0] * 512
    return made


def looked_up(tables, va, regime="EL2", **options):
    def read(pa):
        return tables.pages.get(pa & ~0xFFF, [0] * 512)[pa % PAGE_SIZE // 8]

    return walk(read, ROOT, va, regime=regime, **options)


def test_what_was_mapped_in_pages_is_found_byte_for_byte(tables):
    draw = random.Random(3)
    pages = [(draw.getrandbits(36) << 12, draw.getrandbits(28) << 12) for _ in range(10)]
    for va, pa in pages:
        tables.map(ROOT, va, pa, PAGE_SIZE, PAGE_HYP)
    for va, pa in pages:
        offset = draw.randrange(PAGE_SIZE)
        found = looked_up(tables, va + offset)
        assert (found.pa, found.fsc, found.fault) == (pa + offset, 0, None)
        assert [level.kind for level in found.levels] == ["table", "table", "table", "page"]


def test_a_range_that_crosses_tables_is_mapped_without_a_gap(tables):
    start = BLOCK - 2 * PAGE_SIZE
    tables.map(ROOT, start, 0x7000_0000, 4 * PAGE_SIZE, PAGE_HYP)
    for offset in range(0, 4 * PAGE_SIZE, 0x800):
        assert looked_up(tables, start + offset).pa == 0x7000_0000 + offset
    assert looked_up(tables, start - 1).pa is looked_up(tables, start + 4 * PAGE_SIZE).pa is None


@pytest.mark.parametrize(("block_level", "size"), [(2, BLOCK), (1, 1 << 30)])
def test_a_block_translates_all_of_its_bytes_at_its_level(tables, block_level, size):
    va, pa = 0xFFFF_0000_4000_0000, 0x8000_0000
    tables.map(ROOT, va, pa, 2 * size, PAGE_KERNEL, block_level=block_level)
    for offset in (0, 1, size - 1, size, 2 * size - 1):
        found = looked_up(tables, va + offset, "EL1")
        assert found.pa == pa + offset
        assert found.levels[-1].kind == "block"
        assert found.levels[-1].level == block_level
    assert looked_up(tables, va + 2 * size, "EL1").pa is None


@pytest.mark.parametrize("hole", [0, 1, 2, 3])
def test_an_unmapped_address_faults_at_the_level_that_lacks_it(tables, hole):
    va = 1 << 47 | 1 << 38 | 1 << 29 | 1 << 20
    tables.map(ROOT, va, 0x8000_0000, PAGE_SIZE, PAGE_HYP)
    beside = va ^ 1 << 39 - 9 * hole  # the same but for one index
    found = looked_up(tables, beside)
    assert (found.pa, found.fsc) == (None, 0x04 | hole)
    assert found.fault == f"translation fault, level {hole}"
    assert [level.level for level in found.levels] == list(range(hole + 1))
    assert found.levels[-1].kind == "invalid"
    assert not found.writable and not found.executable


def test_a_page_without_access_flag_says_so(tables):
    tables.map(ROOT, 0x5000, 0x5000, PAGE_SIZE, PAGE_HYP & ~pagetables.AF)
    assert looked_up(tables, 0x5000).fault == "access flag fault, level 3"


@pytest.mark.parametrize(("level", "descriptor"), [(0, 0x8000_0401), (3, 0x8000_0401)])
def test_there_is_no_block_of_512_gib_and_no_page_without_bit_1(tables, level, descriptor):
    tables.map(ROOT, 0x5000, 0x5000, PAGE_SIZE, PAGE_HYP)
    entry = looked_up(tables, 0x5000).levels[level]
    tables.pages[entry.table][entry.index] = descriptor
    assert looked_up(tables, 0x5000).fault == f"translation fault, level {level}"


@pytest.mark.parametrize("ipa", [0, 0x8000_0123, 1 << 39, (1 << 40) - 1])
def test_stage_2_starts_at_level_1_in_two_tables_side_by_side(tables, ipa):
    page = ipa & ~0xFFF
    tables.map(ROOT, page, 0x9000_0000, PAGE_SIZE, PAGE_S2, start_level=1)
    found = looked_up(tables, ipa, "stage 2", input_bits=40, start_level=1)
    assert found.pa == 0x9000_0000 + ipa % PAGE_SIZE
    assert [level.level for level in found.levels] == [1, 2, 3]
    assert (found.levels[0].table, found.levels[0].index) == (ROOT, ipa >> 30)
    # The upper 512 GiB are the second table's.
    assert any(tables.pages[ROOT + PAGE_SIZE * (ipa >> 39)])
    assert not any(tables.pages[ROOT + PAGE_SIZE * (1 - (ipa >> 39))])


@pytest.mark.parametrize(
    ("regime", "attributes", "writable", "executable"),
    [
        ("EL1", PAGE_KERNEL, True, False),
        ("EL1", PAGE_KERNEL_RO, False, False),
        ("EL1", PAGE_KERNEL_ROX, False, True),
        ("EL2", PAGE_HYP, True, False),
        ("EL2", PAGE_HYP_RO, False, False),
        ("EL2", PAGE_HYP_EXEC, False, True),
        ("stage 2", PAGE_S2, True, True),
        ("stage 2", PAGE_S2 & ~S2_WRITE, False, True),
        ("stage 2", PAGE_S2 | S2_XN, True, False),
    ],
)
def test_a_walk_reads_the_permissions_of_its_regime(
    tables, regime, attributes, writable, executable
):
    tables.map(ROOT, 0x5000, 0x5000, PAGE_SIZE, attributes)
    found = looked_up(tables, 0x5000, regime)
    assert (found.writable, found.executable) == (writable, executable)


def test_stage_2_can_only_take_permissions_away():
    def stage(regime, attributes, second=None):
        level = pagetables.WalkLevel(3, 0, 0, attributes | pagetables.PAGE)
        return Walk(0x5000, regime, (level,), 0x5000, 0, second)

    read_only = stage("stage 2", (PAGE_S2 | S2_XN) & ~S2_WRITE)
    assert not stage("EL1", PAGE_KERNEL, read_only).writable
    assert not stage("EL1", PAGE_KERNEL_ROX, read_only).executable
    assert stage("EL1", PAGE_KERNEL, stage("stage 2", PAGE_S2)).writable
    assert not stage("EL1", PAGE_KERNEL_RO, stage("stage 2", PAGE_S2)).writable


def test_with_the_mmu_off_everything_is_permitted():
    off = Walk(0x5000, "EL2, MMU off", (), 0x5000)
    assert off.writable and off.executable and off.descriptor == 0


def test_a_walk_shows_its_way_a_line_a_level(tables):
    tables.map(ROOT, 0x5000, 0x7000, PAGE_SIZE, PAGE_HYP_RO)
    assert repr(looked_up(tables, 0x5010)).splitlines() == [
        "0x5010 (EL2) -> 0x7010",
        "  level 0: table 0x1000[0] = 0x0000000000010003 (table)",
        "  level 1: table 0x10000[0] = 0x0000000000011003 (table)",
        "  level 2: table 0x11000[0] = 0x0000000000012003 (table)",
        "  level 3: table 0x12000[5] = 0x00400000000077d3 (page)",
    ]
    assert repr(looked_up(tables, 0x6000)).startswith(
        "0x6000 (EL2) -> translation fault, level 3\n"
    )


def test_a_new_table_is_empty_and_aligned_to_its_size(tables):
    assert tables.new_table() == POOL
    pair = tables.new_table(2)
    assert pair % (2 * PAGE_SIZE) == 0 and pair > POOL
    assert tables.pages[pair + PAGE_SIZE] == [0] * 512


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0x5001, 0, PAGE_SIZE), {}, "mapping 0x5001 -> 0x0, 0x1000 bytes: not in 0x1000 steps"),
        ((0x5000, 0x5000, 1), {}, "mapping 0x5000 -> 0x5000, 0x1 bytes: not in 0x1000 steps"),
        ((0, 0x1000, BLOCK), {"block_level": 2}, "mapping 0x0 -> 0x1000, 0x200000 bytes: not in"),
        ((0x9000, 0, PAGE_SIZE), {}, "0x9000 is mapped already, at level 3"),
        ((0, 0, BLOCK), {"block_level": 2}, "0x0 is mapped already, at level 2"),
        ((BLOCK, 0, PAGE_SIZE), {}, "0x200000 is mapped already, at level 2"),
        (
            (1 << 40, 0, PAGE_SIZE),
            {"start_level": 1},
            "the table at 0x1000 has no level 1 entry for 0x10000000000",
        ),
    ],
)
def test_a_mapping_that_cannot_be_says_why(tables, arguments, options, message):
    tables.map(ROOT, 0x9000, 0, PAGE_SIZE, PAGE_HYP)
    tables.map(ROOT, BLOCK, 0, BLOCK, PAGE_HYP, block_level=2)
    with pytest.raises(ValueError) as caught:
        tables.map(ROOT, *arguments, PAGE_HYP, **options)
    assert str(caught.value).startswith(message)


def test_a_pool_that_is_used_up_says_where_it_ends():
    tables = PageTables(POOL, POOL + PAGE_SIZE)
    tables.new_table()
    with pytest.raises(MemoryError, match="the pool of page-table pages ends at 0x11000"):
        tables.new_table()
