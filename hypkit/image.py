"""From a variant to a memory image: linked programs, tables, page tables, symbols, patching."""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

from hypkit._memory import page_tables, structures
from hypkit._patch import patch_kern_hyp_va, patch_kimg_phys_offset
from hypkit._places import (
    CONSTANTS,
    HEAP,
    HEAP_PA,
    IMAGE_END,
    NAMED,
    REQUEST_SIZE,
    REQUESTS_PA,
    REQUESTS_SIZE,
    SECTION,
    SECTIONS,
    TABLE_POOL,
    TABLE_POOL_END,
    TEXT_PA,
    VM_IPA,
    VM_UNMAPPED_IPA,
    VTCR_EL2,
    Section,
)
from hypkit.abi import OPTIONS, Numbering, Variant, variant
from hypkit.asm import AsmError, Program, Unit, link
from hypkit.vmem import KIMAGE_PA, KIMAGE_VADDR, MASK64, PAGE_SIZE, Layout

# The room's face: what lies where, what is patched, and the image itself.
__all__ = [
    "CONSTANTS", "HEAP", "HEAP_PA", "IMAGE_END", "KIMAGE_PA", "KIMAGE_VADDR", "NAMED",
    "REQUESTS_PA", "REQUESTS_SIZE", "REQUEST_SIZE", "SECTION", "SECTIONS", "TABLE_POOL",
    "TABLE_POOL_END", "TEXT_PA", "VM_IPA", "VM_UNMAPPED_IPA", "VTCR_EL2", "Image", "Section",
    "build", "load", "patch_kern_hyp_va", "patch_kimg_phys_offset",
]

GUEST = Path(__file__).with_name("guest")


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
    memory |= page_tables(layout, vhe)
    memory |= structures(layout.hyp_va if vhe else layout.linear_va, programs[-1])
    return Image(key, layout, programs, memory, tuple(patched), numbering)
