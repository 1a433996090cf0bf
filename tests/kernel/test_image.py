"""What lies in memory before reset: placed, relocated, patched, mapped and named."""

import random
import re
import struct
from itertools import pairwise

import pytest
from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc, arm64_const

from hypkit.a64.decode import decode
from hypkit.a64.pagetables import PAGE_SIZE, Walk, WalkLevel
from hypkit.asm import AsmError
from hypkit.kernel.addresses import DRAM_BASE, DRAM_SIZE, KIMAGE_PA, KIMAGE_VADDR, Layout
from hypkit.kernel.image import load
from hypkit.kernel.memory_map import (
    CONSTANTS,
    HEAP,
    IMAGE_END,
    REQUESTS_PA,
    REQUESTS_SIZE,
    SECTION,
    SECTIONS,
    TABLE_POOL,
    TABLE_POOL_END,
    TEXT_PA,
    VM_IPA,
)
from hypkit.kernel.patching import patch_kern_hyp_va
from hypkit.kernel.programs import build
from hypkit.kernel.variants import HYPERCALLS, VARIANTS
from tests.marks import needs_engine

NVHE = [key for key in VARIANTS if key != "vhe"]
ONE, TWO = Layout.from_seed(1), Layout.from_seed(2)


@pytest.fixture(scope="module", params=VARIANTS)
def image(request):
    return load(request.param, ONE)


def place(program):
    """The physical address of a program of the kernel image."""
    return program.base - KIMAGE_VADDR + KIMAGE_PA


def instructions(image):
    """(program, offset, text) of every instruction word that is known to be one."""
    for program in image.kernel:
        for address in program.lines:
            offset = address - program.base
            word = int.from_bytes(program.code[offset : offset + 4], "little")
            yield program, offset, decode(word).text(0)


# --- Placing -------------------------------------------------------------------------------------


def test_sections_are_whole_pages_one_after_the_other():
    assert [s.pa for s in SECTIONS] == sorted({s.pa for s in SECTIONS})
    for section in SECTIONS:
        assert section.pa % PAGE_SIZE == section.size % PAGE_SIZE == 0
    assert all(one.pa + one.size == two.pa for one, two in pairwise(SECTIONS))
    assert (SECTIONS[0].pa, IMAGE_END) == (TEXT_PA, SECTIONS[-1].pa + SECTIONS[-1].size)
    assert IMAGE_END <= KIMAGE_PA + 0x20_0000  # the linear map has this block in pages
    assert SECTION[".hyp.idmap.text"].size == PAGE_SIZE  # may not cross a page


def test_nothing_in_ram_overlaps_anything_else():
    ranges = [
        (KIMAGE_PA, IMAGE_END),
        (TABLE_POOL, TABLE_POOL_END),
        (REQUESTS_PA, REQUESTS_PA + REQUESTS_SIZE),
        *((pa, pa + size) for pa, size, _ in HEAP.values()),
    ]
    ranges.sort()
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    assert ranges[0][0] >= DRAM_BASE and ranges[-1][1] <= DRAM_BASE + DRAM_SIZE


def test_no_two_pieces_of_an_images_memory_overlap(image):
    pieces = sorted((pa, pa + len(data)) for pa, data in image.memory.items())
    assert all(end <= start for (_, end), (start, _) in pairwise(pieces))
    assert image.memory[image.entry][:4] == image.programs[0].code[:4]
    assert image.entry == image.pa("_text") == TEXT_PA


def test_every_program_lies_in_one_section(image):
    for program in image.kernel:
        start, end = place(program), place(program) + len(program.code)
        assert [s.name for s in SECTIONS if s.pa <= start and end <= s.pa + s.size], program.name
    vm = image.vm
    assert (vm.base, image.memory[HEAP["vm_memory"][0]]) == (VM_IPA, vm.code)


@pytest.mark.parametrize(
    ("label", "alignment"),
    [
        ("__kvm_hyp_vector", 0x800),
        ("__hyp_stub_vectors", 0x800),
        ("__kvm_hyp_init", 0x800),
        ("vectors", 0x800),
    ],
)
def test_vector_tables_are_aligned_to_their_size(image, label, alignment):
    assert image.pa(label) % alignment == 0


@pytest.mark.parametrize("dispatcher", [None, pytest.param("dispatch: eret\n", marks=needs_engine)])
def test_the_entry_path_falls_through_into_the_dispatcher(dispatcher):
    image = load("numbered", ONE, dispatcher)
    entry = next(program for program in image.programs if program.name == "hyp_entry.S")
    assert place(entry) + len(entry.code) == place(image.dispatcher) == image.pa("dispatch")
    last = int.from_bytes(entry.code[-4:], "little")
    assert decode(last).mnemonic == "cbnz"  # the last of the entry path, and no branch past it


@needs_engine
def test_a_learners_dispatcher_stands_in_the_place_of_the_variants_own():
    text = "dispatch: ldr x0, =kvm_hcall_table\n eret\n"
    image = load("numbered", ONE, text)
    assert image.dispatcher.source.startswith(text)
    assert image.source("dispatcher").startswith(text)
    code = image.memory[image.pa("dispatch")]
    load_literal, eret = struct.unpack_from("<2I", code)
    assert decode(eret).mnemonic == "eret"
    literal = struct.unpack_from("<Q", code, decode(load_literal).target)[0]
    assert literal == image.symbols["kvm_hcall_table"]  # moved by KASLR with everything else
    assert "dispatch_find" in load("numbered", ONE).symbols
    assert "dispatch_find" not in image.symbols


@needs_engine
def test_a_learners_text_need_not_end_its_last_line():
    image = load("jump_table", ONE, "dispatch: nop\n eret")
    nop, eret = struct.unpack_from("<2I", image.memory[image.pa("dispatch")])
    assert (decode(nop).mnemonic, decode(eret).mnemonic) == ("nop", "eret")
    assert image.symbols["hcall_branches"] == image.symbols["dispatch"] + 8


@needs_engine
@pytest.mark.parametrize("extra", [8, 0x1000])
def test_a_dispatcher_that_is_too_long_is_told_by_how_much(extra):
    section = SECTION[".hyp.text"]
    # What stands behind the dispatcher needs its place too.
    behind = next(p for p in build("numbered", "dispatch: eret\n") if p.name == "handlers.S")
    room = section.pa + section.size - place(behind) - len(behind.code) & ~7
    assert build("numbered", f"dispatch: eret\n .space {room}\n")
    with pytest.raises(AsmError) as caught:
        build("numbered", f"dispatch: eret\n .space {room + extra}\n")
    found = re.fullmatch(
        r"this dispatcher is ([\d,]+) bytes too long: \.hyp\.text has room for "
        r"45,056 bytes in all",
        caught.value.message,
    )
    assert extra - 8 < int(found[1].replace(",", "")) <= extra  # but for alignment
    assert caught.value.name == "dispatcher"


@needs_engine
def test_a_learners_mistake_is_told_by_the_line_of_their_text():
    with pytest.raises(AsmError) as caught:
        load("numbered", ONE, "dispatch:\n        eret\n        cmp x0, #0x100e\n")
    assert (caught.value.name, caught.value.line) == ("dispatcher", 3)
    assert caught.value.text.strip() == "cmp x0, #0x100e"


# --- Relocation and patching ---------------------------------------------------------------------


def test_a_seed_moves_the_relocated_words_and_rewrites_the_patched_sites_only(image):
    other = load(image.key, TWO)
    assert image.programs is other.programs  # assembled once
    may_differ = set()
    for program in image.kernel:
        code, changed = image.memory[place(program)], other.memory[place(program)]
        for offset in program.relocs:
            may_differ.update(range(place(program) + offset, place(program) + offset + 8))
            one, two, plain = (
                int.from_bytes(text[offset : offset + 8], "little")
                for text in (code, changed, program.code)
            )
            assert (one - plain, two - plain) == (ONE.kaslr_offset, TWO.kaslr_offset)
            assert image.layout.space(one) == "image"
    assert image.patched == other.patched
    for pa in image.patched:
        may_differ.update(range(pa, pa + 20))
    for name in ("vcpu0", "vcpu1"):  # their pointer to kvm0, where the host uses hyp addresses
        at = HEAP[name][0] + CONSTANTS["VCPU_KVM"]
        may_differ.update(range(at, at + 8))
    tables = [
        page for page in image.memory if page >= HEAP["idmap_pg_dir"][0] and page < TABLE_POOL_END
    ]
    assert set(image.memory) == set(other.memory)
    for pa, data in image.memory.items():
        if pa not in tables:
            differing = {
                pa + n
                for n, (a, b) in enumerate(zip(data, other.memory[pa], strict=True))
                if a != b
            }
            assert differing <= may_differ


def test_without_kaslr_nothing_is_moved():
    image = load("numbered", Layout())
    for program in image.kernel:
        code = bytearray(image.memory[place(program)])
        patch_kern_hyp_va(plain := bytearray(program.code), Layout())
        assert code == plain


def test_the_same_seed_gives_the_same_memory_byte_for_byte(image):
    assert load(image.key, Layout.from_seed(1)).memory == image.memory


@pytest.mark.parametrize("key", NVHE)
def test_every_placeholder_of_kern_hyp_va_is_rewritten_and_none_twice(key):
    image = load(key, ONE)
    ends = {
        place(program) + offset
        for program, offset, text in instructions(image)
        if text.startswith("ror") and text.endswith("#0x3f")
    }
    sites = set()
    for program in image.kernel:
        code = bytearray(program.code)
        found = patch_kern_hyp_va(code, ONE)
        sites |= {place(program) + offset for offset in found}
        assert all(two - one >= 20 for one, two in pairwise(found))
        assert patch_kern_hyp_va(code, ONE) == []
    assert {site + 16 for site in sites} == ends
    assert len(sites) > 5
    assert sites <= set(image.patched)
    for pa in sites:
        program = max((p for p in image.kernel if place(p) <= pa), key=place)
        code = image.memory[place(program)][pa - place(program) :][:20]
        words = struct.unpack("<5I", code)
        mask, *_ = texts = [decode(word).text(0) for word in words]
        register = mask.split()[1].rstrip(",")
        assert texts == [
            f"and {register}, {register}, #0x3fffffff",
            f"ror {register}, {register}, #0x1e",
            f"add {register}, {register}, #{ONE.tag_val & 0xFFF:#x}",
            f"add {register}, {register}, #{ONE.tag_val >> 12:#x}, lsl #12",
            f"ror {register}, {register}, #0x22",
        ]


@pytest.mark.parametrize("register", [0, 1, 10, 30])
def test_the_patched_instructions_compute_kern_hyp_va(register):
    r = register
    code = bytearray(
        struct.pack(
            "<5I",
            *(
                word | r << 5 | r
                for word in (
                    0x92400000,
                    0x93C00400 | r << 16,
                    0x91000000,
                    0x91400000,
                    0x93C0FC00 | r << 16,
                )
            ),
        )
    )
    assert patch_kern_hyp_va(code, TWO) == [0]
    cpu = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
    cpu.mem_map(0x1000, 0x1000)
    cpu.mem_write(0x1000, bytes(code))
    x = getattr(arm64_const, f"UC_ARM64_REG_X{register}")
    draw = random.Random(register)
    for value in (0, (1 << 64) - 1, *(draw.getrandbits(64) for _ in range(20))):
        cpu.reg_write(x, value)
        cpu.emu_start(0x1000, 0x1014)
        assert cpu.reg_read(x) == TWO.kern_hyp_va(value)


def test_other_code_is_left_alone():
    placeholder = struct.pack("<5I", 0x92400000, 0x93C00400, 0x91000000, 0x91400000, 0x93C0FC00)
    for spoilt in range(5):
        code = bytearray(placeholder)
        code[4 * spoilt] ^= 1  # another register in one of the five
        before = bytes(code)
        assert patch_kern_hyp_va(code, ONE) == []
        assert code == before
    two = bytearray(placeholder * 2)
    assert patch_kern_hyp_va(two, ONE) == [0, 20]


# --- What is mapped ------------------------------------------------------------------------------

PAGES = ("R-", "RX", "RW", "WX")


def leaves(image, root, regime, start_level=0, pages=1):
    """(va, pa, size, permissions) of everything a table maps, found by reading all of its slots."""
    found = []

    def table(at, level, va, slots=512):
        for index in range(slots):
            page, slot = at + index // 512 * PAGE_SIZE, index % 512
            descriptor = struct.unpack_from("<Q", image.memory[page], 8 * slot)[0]
            if not descriptor & 1:
                assert descriptor == 0
                continue
            size = 1 << 12 + 9 * (3 - level)
            here, target = va + index * size, descriptor & 0xFFFF_FFFF_F000
            if level < 3 and descriptor & 2:
                table(target, level + 1, here)
            else:
                assert descriptor & 1 << 10  # the access flag
                walked = Walk(here, regime, (WalkLevel(level, page, slot, descriptor),), target)
                permissions = PAGES[2 * walked.writable + walked.executable]
                found.append((here, target, size, permissions))

    table(HEAP[root][0], start_level, 0, 512 * pages)
    return found


def merged(found):
    """Neighbours with the same permissions as one range."""
    ranges = []
    for va, pa, size, permissions in sorted(found):
        if ranges:
            last = ranges[-1]
            if (last[0] + last[2], last[1] + last[2], last[3]) == (va, pa, permissions):
                last[2] += size
                continue
        ranges.append([va, pa, size, permissions])
    return [tuple(r) for r in ranges]


@pytest.mark.parametrize("key", NVHE)
@pytest.mark.parametrize("layout", [Layout(), ONE, TWO])
def test_el2_maps_what_init_hyp_mode_maps_and_not_a_page_more(key, layout):
    image = load(key, layout)

    def section(name, permissions):
        pa, size = SECTION[name].pa, SECTION[name].size
        return layout.hyp_va(pa), pa, size, permissions

    def page(name):
        pa = HEAP[name][0]
        return layout.hyp_va(pa), pa, PAGE_SIZE, "RW"

    init = SECTION[".hyp.idmap.text"].pa
    expected = [
        (init, init, PAGE_SIZE, "RX"),  # VA = PA
        section(".hyp.text", "RX"),
        section(".rodata", "R-"),
        section(".data", "R-"),  # in the place of bss
        page("hyp_stack"),
        page("kvm_host_data_cpu0"),
        page("kvm0"),
        page("vcpu0"),
        page("vcpu1"),  # when a VM and its vCPUs are made
    ]
    found = leaves(image, "hyp_pgd", "EL2")
    assert {va for va, *_ in found} == {
        va + n for va, _, size, _ in expected for n in range(0, size, PAGE_SIZE)
    }
    assert merged(found) == merged(expected)


def test_no_page_is_writable_and_executable_at_once(image):
    for root, regime in (("hyp_pgd", "EL2"), ("swapper_pg_dir", "EL1"), ("idmap_pg_dir", "EL1")):
        assert "WX" not in {permissions for *_, permissions in leaves(image, root, regime)}


@pytest.mark.parametrize("key", NVHE)
def test_el1_has_all_of_ram_in_its_linear_map_and_the_image_besides(key):
    image, layout = load(key, ONE), ONE
    found = [
        (va | 0xFFFF << 48, pa, size, how)
        for va, pa, size, how in leaves(image, "swapper_pg_dir", "EL1")
    ]
    linear = [leaf for leaf in found if not leaf[0] >> 47 & 1]
    assert all(va == layout.linear_va(pa) for va, pa, _, _ in linear)
    covered = merged([(va, pa, size, "") for va, pa, size, _ in linear])
    assert [(pa, size) for _, pa, size, _ in covered] == [(DRAM_BASE, DRAM_SIZE)]
    # Text and read-only data stay so under their other name, and nothing is executable there.
    read_only = [(pa, size) for _, pa, size, how in merged(linear) if how == "R-"]
    assert read_only == [(TEXT_PA, SECTION[".data"].pa - TEXT_PA)]
    assert {how for *_, how in linear} == {"R-", "RW"}
    rest = [leaf for leaf in found if leaf[0] >> 47 & 1]
    assert merged(rest) == [
        (layout.image_va(TEXT_PA), TEXT_PA, SECTION[".rodata"].pa - TEXT_PA, "RX"),
        (
            layout.image_va(SECTION[".rodata"].pa),
            SECTION[".rodata"].pa,
            SECTION[".rodata"].size,
            "R-",
        ),
        (layout.image_va(SECTION[".data"].pa), SECTION[".data"].pa, SECTION[".data"].size, "RW"),
    ]


def test_the_vm_has_one_page_of_memory(image):
    assert leaves(image, "stage2_pgd", "stage 2", start_level=1, pages=2) == [
        (VM_IPA, HEAP["vm_memory"][0], PAGE_SIZE, "WX")
    ]


# --- Names ---------------------------------------------------------------------------------------


def test_every_label_is_named_at_each_of_its_four_addresses(image):
    for name, va in image.symbols.items():
        for address in image.layout.names(va).values():
            shown = image.symbolize(address)
            # Of two labels at one place one is shown.
            assert image.symbols[shown] == va, (name, shown)
    assert {"dispatch", "__kvm_hyp_vector", *HYPERCALLS} <= image.symbols.keys()


def test_an_address_behind_a_label_is_shown_with_its_distance(image):
    va = image.symbols["hyp_panic"]
    assert image.symbolize(va + 4) == "hyp_panic+0x4"
    assert image.symbolize(image.layout.hyp_va(HEAP["hyp_stack"][0]) + 0xFF0) == "hyp_stack+0xff0"
    assert image.symbolize(VM_IPA) == "vm_entry"
    assert image.symbolize(VM_IPA + 4) == "vm_entry+0x4"


@pytest.mark.parametrize(
    "pa",
    [
        DRAM_BASE,
        KIMAGE_PA,
        TEXT_PA - 1,
        IMAGE_END,
        HEAP["idmap_pg_dir"][0] - 1,
        TABLE_POOL,
        HEAP["hyp_stack"][0] + PAGE_SIZE,
        REQUESTS_PA,
        DRAM_BASE + DRAM_SIZE - 1,
    ],
)
def test_ram_that_nobody_named_has_no_name(image, pa):
    assert [image.symbolize(va) for va in image.layout.names(pa).values()] == [None] * 4


def test_an_address_of_no_space_has_no_name(image):
    for address in (0, 3, 1 << 63, (1 << 64) - 1, VM_IPA - 4, VM_IPA + PAGE_SIZE):
        assert image.symbolize(address) is image.line(address) is None


def test_every_instruction_knows_its_line(image):
    for program in image.kernel:
        for address, line in program.lines.items():
            for va in image.layout.names(place(program) + address - program.base).values():
                assert image.line(va) == (program.name, line)
            assert 1 <= line <= len(program.source.split("\n"))
    vm = image.vm
    assert image.line(VM_IPA) == (vm.name, vm.lines[VM_IPA])
    assert image.line(image.symbols["hyp_panic"] + 2) is None


def test_the_line_of_an_instruction_is_the_text_it_was_made_from():
    image = load("numbered", TWO)
    file, line = image.line(image.layout.hyp_va(image.pa("el1_sync")))
    assert file == "hyp_entry.S"
    assert image.source(file).split("\n")[line - 1].split() == ["mrs", "x0,", "esr_el2"]


def test_the_table_holds_the_handlers_in_the_patchs_order():
    image = load("numbered", ONE)
    at = image.pa("kvm_hcall_table")
    program = next(p for p in image.programs if p.name == "table")
    words = struct.unpack_from("<14Q", image.memory[place(program)], at - place(program))
    assert list(words) == [image.symbols[name] for name in HYPERCALLS]


# --- Wrong use, and show -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda image: load("nope", ONE), "no variant 'nope'; there are: fnptr, numbered"),
        (lambda image: load(None, ONE), "no variant None; there are: fnptr, numbered"),
        (lambda image: image.pa("dispach"), "no symbol 'dispach' in the numbered image"),
        (
            lambda image: image.source("hyp.S"),
            "no program 'hyp.S'; there are: head.S, hyp_stub.S, ",
        ),
    ],
)
def test_a_name_that_is_none_is_refused_with_a_sentence(use, message):
    with pytest.raises(KeyError) as caught:
        use(load("numbered", ONE))
    assert caught.value.args[0].startswith(message)


def test_an_image_is_shown_in_a_line():
    image = load("numbered", Layout(0x20_0000, 1))
    size = sum(len(program.code) for program in image.programs)
    assert repr(image) == (
        "Image('numbered', Layout(kaslr_offset=0x200000, tag_val=0x20001), "
        f"{size} bytes of programs)"
    )
