"""From a variant to a memory image: linked programs, tables, page tables, symbols, patching."""

from __future__ import annotations

import bisect
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

from hypkit import arch
from hypkit.abi import OPTIONS, Numbering, Variant, variant
from hypkit.asm import AsmError, Program, Unit, link
from hypkit.vmem import (
    DRAM_BASE,
    DRAM_SIZE,
    KIMAGE_PA,
    KIMAGE_VADDR,
    MASK64,
    PAGE_HYP,
    PAGE_HYP_EXEC,
    PAGE_HYP_RO,
    PAGE_KERNEL,
    PAGE_KERNEL_RO,
    PAGE_KERNEL_ROX,
    PAGE_OFFSET,
    PAGE_S2,
    PAGE_SIZE,
    TEXT_OFFSET,
    Layout,
    PageTables,
)

GUEST = Path(__file__).with_name("guest")

# --- Where things lie, as physical addresses ---------------------------------------------------

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

CONSTANTS: dict[str, int] = {
    # include/asm/virt.h
    "HVC_SET_VECTORS": 0, "HVC_SOFT_RESTART": 1, "HVC_RESET_VECTORS": 2, "HVC_STUB_HCALL_NR": 3,
    "HVC_STUB_ERR": 0xBADCA11,
    "ENOSYS": 38, "ARM_EXCEPTION_TRAP": 2,
    "ESR_EC_SHIFT": arch.ESR_EC_SHIFT, "EC_HVC32": arch.EC_HVC32, "EC_HVC64": arch.EC_HVC64,
    "PSR_EL1H_DAIF": arch.PSTATE_EL1H | arch.PSTATE_DAIF,
    "PSR_EL2H_DAIF": arch.PSTATE_EL2H | arch.PSTATE_DAIF,
    "HCR_HOST": HCR_RW, "CPTR_EL2_DEFAULT": 0x33FF, "PMU_COUNTERS": 6,
    "SCTLR_EL1_OFF": SCTLR_EL1_RES1, "SCTLR_EL1_ON": SCTLR_EL1_RES1 | SCTLR_MMU_ON,
    "SCTLR_EL2_OFF": SCTLR_EL2_RES1, "SCTLR_EL2_ON": SCTLR_EL2_RES1 | SCTLR_MMU_ON,
    "SCTLR_ELX_FLAGS": SCTLR_ELX_FLAGS, "SCTLR_ELX_DSSBS": 1 << 44,
    # Device memory in slot 0, ordinary write-back memory in slot 4 (Linux's MT_NORMAL).
    "MAIR_VALUE": 0xFF << 8 * 4,
    "TCR_EL1_VALUE": (16 | TCR_CACHED | 16 << 16 | TCR_CACHED << 16 | 2 << 30
                      | PHYSICAL_BITS_44 << 32),
    "TCR_EL2_MASK": 0xFF3F, "TCR_EL2_RES1": TCR_EL2_RES1,
    "TCR_EL2_VALUE": 16 | TCR_CACHED | PHYSICAL_BITS_44 << 16 | TCR_EL2_RES1,
    "PHYSVIRT_OFFSET": DRAM_BASE - PAGE_OFFSET & MASK64,
    "PSCI_SYSTEM_OFF": 0x8400_0008, "PSCI_VERSION": 0x8400_0000,
    "VM_UNMAPPED_IPA": VM_UNMAPPED_IPA,
    "REQUEST_SIZE": REQUEST_SIZE,
    # Our struct kvm_cpu_context, kvm_vcpu, kvm_host_data and kvm.
    "CTXT_X": 0, "CTXT_PC": 256, "CTXT_SYSREGS": 272,
    "VCPU_HCR_EL2": 352, "VCPU_KVM": 360, "VCPU_FAULT": 368,
    "VCPU_VGIC": 392, "VGIC_AP0R": 0, "VGIC_AP1R": 16,
    "HOST_CONTEXT_VCPU": 352, "HOST_GPRS": 512, "HOST_DATA_SIZE": 768,
    "SMCCC_RET_SUCCESS": 0, "SMCCC_RET_NOT_SUPPORTED": -1,
    "PAGE_OFFSET": PAGE_OFFSET,
    "KVM_VTTBR": 0, "KVM_VTCR": 8,
}
VTCR_EL2 = 1 << 31 | PHYSICAL_BITS_44 << 16 | TCR_CACHED | 1 << 6 | 24  # 40 bits from level 1
HCR_GUEST = HCR_RW | 1 << 19 | 1 << 5 | 1 << 4 | 1 << 3 | 1 << 0  # TSC AMO IMO FMO VM


def _text(name: str) -> str:
    return (GUEST / name).read_text(encoding="utf-8")


# Which of the linked programs is the dispatcher.
DISPATCHER = 8


@lru_cache(maxsize=64)
def build(key: str, dispatcher: str | None = None,
          numbering: Numbering | None = None) -> tuple[Program, ...]:
    """The linked programs of a variant at the default address, before any layout is applied.

    dispatcher: a learner's text instead of the variant's own; numbering: what a learner's header
    says. Raises AsmError for a mistake in the one, and for a number of the other that an
    instruction cannot hold; ValueError for a numbering of a variant without numbers.
    """
    chosen = _numbered(key, numbering)
    units = _units(chosen, dispatcher)
    assert units[DISPATCHER].name.startswith("dispatch")
    programs = link(units, symbols=_heap_symbols(), constants=_constants(chosen),
                    prelude=_text("macros.inc"), known=_number_words(chosen))
    _check_fit(programs)
    return tuple(programs)


def _heap_symbols() -> dict[str, int]:
    heap = {name: pa - KIMAGE_PA + KIMAGE_VADDR for name, (pa, _, _) in HEAP.items()}
    return heap | {"hyp_stack_top": heap["hyp_stack"] + PAGE_SIZE}


def _numbered(key: str, numbering: Numbering | None) -> Variant:
    """The variant with a learner's numbering, if there is one."""
    chosen = variant(key)
    if numbering is None:
        return chosen
    if chosen.base is None:
        raise ValueError(f"the {key} machine has no numbers, so it takes no header")
    return replace(chosen, numbering=numbering)


def _number_words(chosen: Variant) -> dict[str, int]:
    """The instructions that a learner's numbers stand in, so that no assembler has to be there."""
    if chosen.numbering is None:
        return {}
    words = {}
    # What does not fit is left to the assembler, which says so.
    for value in {*chosen.limits, len(chosen.slots)}:
        if 0 <= value <= 0xFFF or 0 <= value <= 0xFFF000 and not value & 0xFFF:
            field = value << 10 if value <= 0xFFF else 1 << 22 | value >> 12 << 10
            spelled = f"#{value:#x}" if value > 9 else f"#{value}"
            words[f"cmp x0, {spelled}"] = 0xF100001F | field
            words[f"cmp x9, {spelled}"] = 0xF100013F | field
            words[f"sub x0, x0, {spelled}"] = 0xD1000000 | field
    for value in chosen.numbers.values():
        for shift, part in _halves(value):
            spelled = f"#{part:#x}" if part > 9 else f"#{part}"
            name, after = ("movk", f", lsl #{shift}") if shift else ("movz", "")
            opcode = 0xF2800000 if shift else 0xD2800000
            words[f"{name} x0, {spelled}{after}"] = opcode | shift // 16 << 21 | part << 5
    return words


def _halves(value: int) -> list[tuple[int, int]]:
    """The lowest 16 bits of a number, and what else of it is not zero: (shift, 16 bits)."""
    return [(shift, value >> shift & 0xFFFF) for shift in (0, 16, 32, 48)
            if not shift or value >> shift & 0xFFFF]


def _constants(chosen: Variant) -> dict[str, int]:
    base, end = chosen.limits
    return CONSTANTS | {
        "HOST_EL": chosen.host_el,
        "PSR_HOST_DAIF": CONSTANTS[f"PSR_EL{chosen.host_el}H_DAIF"],
        # Of the table: with empty slots at its start, the first hypercall's number is higher.
        "KVM_HOST_HCALL_BASE": base,
        "KVM_HOST_HCALL_END": end,
        "KVM_HOST_HCALL_NR": len(chosen.slots),
    }


def _units(chosen: Variant, dispatcher: str | None) -> list[Unit]:
    def unit(name: str, section: str | None = None, text: str | None = None) -> Unit:
        base = None if section is None else SECTION[section].pa - KIMAGE_PA + KIMAGE_VADDR
        return Unit(name, _text(name) if text is None else text, base, align=4)

    if chosen.numbering is None:
        host_calls = _text(chosen.host + ".inc") + "".join(
            f"        host_call {name}, {chosen.numbers.get(name, 0)}\n" for name in chosen.calls)
    else:
        host_calls = "".join(_host_call(name, number) for name, number in chosen.numbers.items())
    vhe = "_vhe" if chosen.host_el == 2 else ""
    own = dispatcher is None
    text = _chosen_lines(_text(chosen.dispatcher + ".S"), chosen.options) if own else dispatcher
    spare = [] if chosen.numbering is None else [
        unit("spare.S", text=_text("spare.S") + _not_implemented(text))]
    return [
        unit(f"head{vhe}.S", ".text"), unit("hyp_stub.S"), unit(f"host_start{vhe}.S"),
        unit("host.S"), unit("host calls", text=host_calls), unit(chosen.boot + ".S"),
        unit("hyp_init.S", ".hyp.idmap.text"),
        unit("hyp_entry.S", ".hyp.text"),
        # The entry path falls through into the dispatcher: no gap between the two.
        unit(chosen.dispatcher + ".S" if own else "dispatcher",
             text=f"{text}\n{_text_table(chosen)}"),
        unit("switch.S"), unit("handlers.S"), *spare,
        unit("rodata.S", ".rodata"),
        *([unit("table", text=_data_table(chosen))] if chosen.table in ("image", "hyp") else []),
        unit("data.S", ".data"),
        Unit("vm.S", _text("vm.S"), VM_IPA),
    ]


def _host_call(name: str, number: int) -> str:
    """What a C compiler makes of a host call: it takes as many moves as the number needs."""
    moves = (f"movk    x0, #{part}, lsl #{shift}" if shift else f"movz    x0, #{part}"
             for shift, part in _halves(number))
    return f"host_call_{name}:\n" + "".join(f"        {move}\n" for move in moves) + (
        "        b       __kvm_call_hyp\n")


# What stands in the slots that nobody filled, by table.
_NOBODY = {"distances": "hcall_not_supported"}


def _slots(chosen: Variant) -> list[str]:
    """The label in each slot of the table."""
    return [name or _NOBODY.get(chosen.table, "kvm_hc_ni") for name in chosen.slots]


def _not_implemented(dispatcher: str) -> str:
    """kvm_hc_ni, where the dispatcher's own text does not have it."""
    if re.search(r"^\s*kvm_hc_ni\s*:", dispatcher, re.MULTILINE):
        return ""
    return "\nkvm_hc_ni:\n        mov     x0, #-ENOSYS\n        ret\n"


def _chosen_lines(text: str, options: frozenset[str]) -> str:
    """The lines of a template that its `.if option` ... `.else` ... `.endif` leave standing."""
    lines, standing = [], [True]
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [".if"] and words[1] in OPTIONS:
            standing.append(words[1] in options)
        elif words == [".else"]:
            standing[-1] = not standing[-1]
        elif words == [".endif"]:
            standing.pop()
        elif all(standing):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _text_table(chosen: Variant) -> str:
    """A dispatch table that is part of the hyp text, or nothing."""
    if chosen.table == "branches":
        return "hcall_branches:\n" + "".join(
            f"        b       {name}\n" for name in _slots(chosen))
    if chosen.table == "distances":
        return "hcall_distances:\n" + "".join(
            f"        .word   {name} - hcall_distances\n" for name in _slots(chosen))
    return ""


def _data_table(chosen: Variant) -> str:
    """The table of addresses in read-only data, and the list that says where its addresses are."""
    slots = _slots(chosen)
    text = "        .balign 8\nkvm_hcall_table:\n" + "".join(
        f"        .quad   {name}\n" for name in slots)
    if chosen.table == "hyp":
        text += "hyp_relocations:\n" + "".join(
            f"        .word   kvm_hcall_table + {8 * n} - .\n" for n in range(len(slots)))
        text += "hyp_relocations_end:\n"
    return text


def _check_fit(programs: list[Program]) -> None:
    section, ends = SECTIONS[0], {}
    for program in programs[:-1]:
        pa = program.base - KIMAGE_VADDR + KIMAGE_PA
        section = next((s for s in SECTIONS if s.pa == pa), section)
        ends[section] = pa + len(program.code)
    for section, end in ends.items():
        over = end - section.pa - section.size
        if over > 0:
            # Of the programs in .hyp.text a learner writes the dispatcher, and no other.
            what = f"{section.name} is" if section.name != ".hyp.text" else "this dispatcher is"
            raise AsmError(f"{what} {over:,} bytes too long: {section.name} has room for "
                           f"{section.size:,} bytes in all", name=programs[DISPATCHER].name)


# --- Boot-time patching ------------------------------------------------------------------------


def _kern_hyp_va_words(register: int, steps: tuple[int, int, int, int, int]) -> tuple[int, ...]:
    """and, ror, add, add lsl #12, ror on one register: mask width in bits, then four immediates."""
    mask_bits, ror_low, add_low, add_high, ror_high = steps
    rn_rd = register << 5 | register
    return (0x92400000 | mask_bits - 1 << 10 | rn_rd,
            0x93C00000 | register << 16 | ror_low << 10 | rn_rd,
            0x91000000 | add_low << 10 | rn_rd,
            0x91400000 | add_high << 10 | rn_rd,
            0x93C00000 | register << 16 | ror_high << 10 | rn_rd)


_PLACEHOLDERS = {struct.pack("<5I", *_kern_hyp_va_words(register, (1, 1, 0, 0, 63))): register
                 for register in range(31)}


NOP = 0xD503201F


def patch_kern_hyp_va(code: bytearray, layout: Layout, *, vhe: bool = False) -> list[int]:
    """Rewrite every five-instruction placeholder in *code*; the offsets that were patched.

    vhe: with nothing at all, because the host's addresses are EL2's.

    As kvm_update_va_mask of va_layout.c does: the kernel keeps a list of sites, we look for the
    placeholder, which no other code has a use for.
    """
    sites = []
    for offset in range(0, len(code) - 19, 4):
        register = _PLACEHOLDERS.get(bytes(code[offset:offset + 20]))
        if register is None:
            continue
        steps = (layout.tag_lsb, layout.tag_lsb, layout.tag_val & 0xFFF, layout.tag_val >> 12,
                 64 - layout.tag_lsb)
        words = (NOP,) * 5 if vhe else _kern_hyp_va_words(register, steps)
        struct.pack_into("<5I", code, offset, *words)
        sites.append(offset)
    return sites


def _move_words(register: int, value: int) -> tuple[int, ...]:
    """movz and three movk: all of a 64-bit value."""
    return (0xD2800000 | (value & 0xFFFF) << 5 | register,
            *(0xF2800000 | n << 21 | (value >> 16 * n & 0xFFFF) << 5 | register for n in (1, 2, 3)))


_MOVE_PLACEHOLDERS = {struct.pack("<4I", *_move_words(register, 0)): register
                      for register in range(31)}


def patch_kimg_phys_offset(code: bytearray, layout: Layout) -> list[int]:
    """Rewrite every four-move placeholder with kimage_voffset + PHYS_OFFSET; the offsets patched.

    As kvm_update_kimg_phys_offset of Linux 5.11 does.
    """
    sites = []
    for offset in range(0, len(code) - 15, 4):
        register = _MOVE_PLACEHOLDERS.get(bytes(code[offset:offset + 16]))
        if register is not None:
            words = _move_words(register, layout.kimage_voffset + DRAM_BASE & MASK64)
            struct.pack_into("<4I", code, offset, *words)
            sites.append(offset)
    return sites


# --- The image ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """A machine's memory before reset: physical address -> bytes, and the names in it."""

    key: str
    layout: Layout
    programs: tuple[Program, ...]
    memory: Mapping[int, bytes]
    patched: tuple[int, ...] = field(repr=False)  # physical addresses of code rewritten at boot
    numbering: Numbering | None = field(default=None, repr=False)  # what a learner's header says

    @property
    def entry(self) -> int:
        """The physical address of the first instruction after reset."""
        return TEXT_PA

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Every label of the kernel image at its image address, and of the heap likewise."""
        labels = {name: address + self.layout.kaslr_offset
                  for program in self.programs[:-1] for name, address in program.symbols.items()}
        labels |= {name: self.layout.image_va(pa) for name, (pa, _, _) in HEAP.items()}
        return labels

    @cached_property
    def variant(self) -> Variant:
        return _numbered(self.key, self.numbering)

    def host_va(self, pa: int) -> int:
        """The host's pointer to a byte of RAM: linear, or a hyp address if the host is at EL2."""
        layout = self.layout
        return layout.hyp_va(pa) if self.variant.host_el == 2 else layout.linear_va(pa)

    def host_pc(self, label: str) -> int:
        """Where the host executes a label: in the image, or at its hyp address."""
        pa = self.pa(label)
        return self.layout.hyp_va(pa) if self.variant.host_el == 2 else self.layout.image_va(pa)

    @property
    def dispatcher(self) -> Program:
        """The dispatcher's program."""
        return self.programs[DISPATCHER]

    def pa(self, symbol: str) -> int:
        """The physical address of a label; KeyError names it when there is none."""
        try:
            return self.symbols[symbol] - self.layout.kimage_voffset
        except KeyError:
            raise KeyError(f"no symbol {symbol!r} in the {self.key} image") from None

    @cached_property
    def _sorted(self) -> tuple[list[int], list[str]]:
        pairs = sorted((va - self.layout.kimage_voffset, name) for name, va in self.symbols.items())
        return [pa for pa, _ in pairs], [name for _, name in pairs]

    @cached_property
    def _vm_sorted(self) -> tuple[list[int], list[str]]:
        pairs = sorted((address, name) for name, address in self.programs[-1].symbols.items())
        return [address for address, _ in pairs], [name for _, name in pairs]

    def symbolize(self, address: int) -> str | None:
        """'name' or 'name+0x4' for an address of any space, None outside of what NAMED lists."""
        pa = self.layout.pa(address)
        addresses, names = self._sorted
        if VM_IPA <= address < VM_IPA + PAGE_SIZE:
            pa, (addresses, names) = address, self._vm_sorted
        elif pa is None or not any(start <= pa < end for start, end in NAMED):
            return None
        index = bisect.bisect_right(addresses, pa) - 1
        if index < 0:
            return None
        offset = pa - addresses[index]
        return names[index] + (f"+{offset:#x}" if offset else "")

    @cached_property
    def _lines(self) -> dict[int, tuple[str, int]]:
        lines = {}
        for program in self.programs[:-1]:
            for address, line in program.lines.items():
                lines[address - KIMAGE_VADDR + KIMAGE_PA] = (program.name, line)
        lines.update((address, (self.programs[-1].name, line))
                     for address, line in self.programs[-1].lines.items())
        return lines

    def line(self, address: int) -> tuple[str, int] | None:
        """(file of hypkit/guest, 1-based line) that the instruction at *address* comes from."""
        pa = address if VM_IPA <= address < VM_IPA + PAGE_SIZE else self.layout.pa(address)
        return self._lines.get(pa)

    def source(self, name: str) -> str:
        """The text of one of the programs; KeyError names those there are."""
        texts = {program.name: program.source for program in self.programs}
        if name not in texts:
            raise KeyError(f"no program {name!r}; there are: {', '.join(texts)}")
        return texts[name]

    def __repr__(self) -> str:
        size = sum(len(program.code) for program in self.programs)
        return f"Image({self.key!r}, {self.layout!r}, {size} bytes of programs)"


def load(key: str, layout: Layout, dispatcher: str | None = None,
         numbering: Numbering | None = None) -> Image:
    """The image of a variant under a layout: relocated, patched, page tables built.

    dispatcher and numbering: as in build. Raises as build does, and KeyError for a key that is no
    variant's.
    """
    programs = build(key, dispatcher, numbering)
    vhe = variant(key).host_el == 2
    memory: dict[int, bytes] = {}
    patched: list[int] = []
    for program in programs[:-1]:
        code = bytearray(program.code)
        pa = program.base - KIMAGE_VADDR + KIMAGE_PA
        for offset in program.relocs:
            word = int.from_bytes(code[offset:offset + 8], "little") + layout.kaslr_offset
            code[offset:offset + 8] = (word & MASK64).to_bytes(8, "little")
        # A host at EL2 still has to find its own hyp address before it can run there.
        nothing_to_do = vhe and program.name != "head_vhe.S"
        patched += [pa + offset for offset in patch_kern_hyp_va(code, layout, vhe=nothing_to_do)]
        patched += [pa + offset for offset in patch_kimg_phys_offset(code, layout)]
        memory[pa] = bytes(code)
    memory |= _page_tables(layout, vhe)
    memory |= _structures(layout.hyp_va if vhe else layout.linear_va, programs[-1])
    return Image(key, layout, programs, memory, tuple(patched), numbering)


def _page_tables(layout: Layout, vhe: bool) -> dict[int, bytes]:
    tables = PageTables(TABLE_POOL, TABLE_POOL_END)
    for name in ("idmap_pg_dir", "swapper_pg_dir", "hyp_pgd", "stage2_pgd"):
        pa, size, _ = HEAP[name]
        for page in range(pa, pa + size, PAGE_SIZE):
            tables.pages[page] = [0] * 512
    idmap, swapper, hyp, stage2 = (HEAP[name][0] for name in (
        "idmap_pg_dir", "swapper_pg_dir", "hyp_pgd", "stage2_pgd"))

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
        tables.map(hyp, layout.hyp_va(REQUESTS_PA), REQUESTS_PA, REQUESTS_SIZE, PAGE_HYP,
                   block_level=2)
    for pa, size, in_hyp in HEAP.values():
        if in_hyp:
            tables.map(hyp, layout.hyp_va(pa), pa, size, PAGE_HYP)

    # Stage 2: one page of memory for the VM.
    tables.map(stage2, VM_IPA, HEAP["vm_memory"][0], PAGE_SIZE, PAGE_S2, start_level=1)
    return {pa: struct.pack("<512Q", *words) for pa, words in tables.pages.items()}


def _structures(host_va: Callable[[int], int], vm: Program) -> dict[int, bytes]:
    """struct kvm and its two vCPUs, as the host's C code would have filled them, and the VM."""
    kvm = bytearray(PAGE_SIZE)
    vttbr = HEAP["stage2_pgd"][0] | VMID << 48
    struct.pack_into("<QQ", kvm, CONSTANTS["KVM_VTTBR"], vttbr, VTCR_EL2)
    memory = {HEAP["kvm0"][0]: bytes(kvm), HEAP["vm_memory"][0]: vm.code}
    for name, entry in (("vcpu0", "vm_entry"), ("vcpu1", "vm_entry_fault")):
        vcpu = bytearray(PAGE_SIZE)
        struct.pack_into("<QQ", vcpu, CONSTANTS["CTXT_PC"], vm.symbols[entry],
                         CONSTANTS["PSR_EL1H_DAIF"])
        struct.pack_into("<Q", vcpu, CONSTANTS["CTXT_SYSREGS"], SCTLR_EL1_RES1)
        struct.pack_into("<QQ", vcpu, CONSTANTS["VCPU_HCR_EL2"], HCR_GUEST,
                         host_va(HEAP["kvm0"][0]))
        memory[HEAP[name][0]] = bytes(vcpu)
    return memory
