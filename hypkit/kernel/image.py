"""The kernel image: programs linked, loaded and patched, and the names of its addresses."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.a64.registers import MASK64
from hypkit.asm import Program
from hypkit.errors import Named, UnknownName, did_you_mean, shown, whole
from hypkit.kernel.addresses import Layout, image_pa
from hypkit.kernel.boot_memory import page_tables, structures
from hypkit.kernel.memory_map import HEAP, NAMED, TEXT_PA, VM_IPA
from hypkit.kernel.patching import patch_kern_hyp_va, patch_kimg_phys_offset
from hypkit.kernel.programs import DISPATCHER, VM, _numbered, build
from hypkit.kernel.variants import Numbering, Variant, variant

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
        """Return the physical address of the first instruction after reset."""
        return TEXT_PA

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Return every label of the kernel image at its image address, and of the heap likewise."""
        labels = {
            name: address + self.layout.kaslr_offset
            for program in self.kernel
            for name, address in program.symbols.items()
        }
        labels |= {name: self.layout.image_va(pa) for name, (pa, _, _) in HEAP.items()}
        return labels

    @cached_property
    def variant(self) -> Variant:
        """Return the variant, with a learner's numbering where there is one."""
        return _numbered(self.key, self.numbering)

    def host_va(self, pa: int) -> int:
        """Return the host's pointer to a byte of RAM: linear, or a hyp address if the host is at
        EL2."""
        layout = self.layout
        return layout.hyp_va(pa) if self.variant.host_el == 2 else layout.linear_va(pa)

    def host_pc(self, label: str) -> int:
        """Return where the host executes a label: in the image, or at its hyp address."""
        pa = self.pa(label)
        return self.layout.hyp_va(pa) if self.variant.host_el == 2 else self.layout.image_va(pa)

    @property
    def kernel(self) -> tuple[Program, ...]:
        """Return the programs of the kernel image, in the order of their addresses."""
        return self.programs[:VM]

    @property
    def vm(self) -> Program:
        """Return the program of the VM, at its address in the VM's memory."""
        return self.programs[VM]

    @property
    def phase_rule(self) -> Callable[[Any], Sequence[str]] | None:
        """Return what tells the phase of every step of a trace; None: the labels of hypkit.cost."""
        return None

    @property
    def places(self) -> tuple[list[int], list[str]]:
        """Return where names begin, physical and ascending, and the names; "" where none holds
        on."""
        return self._sorted

    @property
    def named(self) -> tuple[tuple[int, int], ...]:
        """Return the ranges of physical memory that have names: (start, end) of each."""
        return NAMED

    def el1_may_write(self, pa: int) -> bool | None:
        """Return whether EL1 may write a byte, None: the memory map says so of the kit's kernel."""
        whole("a physical address", pa)
        return None

    def owner(self, pa: int) -> str | None:
        """Return who gave a byte its value, None: the memory map says so of the kit's kernel."""
        whole("a physical address", pa)
        return None

    def table_pages(self) -> Iterator[tuple[int, bytes]]:
        """Return the page tables as they are at boot: (physical address, bytes) of whole pages."""
        first, end = HEAP["idmap_pg_dir"][0], HEAP["hyp_stack"][0]
        for pa, data in sorted(self.memory.items()):
            if first <= pa < end and not len(data) % PAGE_SIZE:
                yield pa, data

    @property
    def dispatcher(self) -> Program:
        """Return the dispatcher's program."""
        return self.programs[DISPATCHER]

    def pa(self, symbol: str) -> int:
        """Return the physical address of a label; KeyError names it when there is none."""
        try:
            return self.symbols[symbol] - self.layout.kimage_voffset
        except (KeyError, TypeError):  # TypeError: a list, say, is no key of any dict
            raise UnknownName(
                f"no symbol {shown(symbol)} in the {self.key} image"
                f"{did_you_mean(symbol, self.symbols)}"
            ) from None

    @cached_property
    def _sorted(self) -> tuple[list[int], list[str]]:
        pairs = sorted((va - self.layout.kimage_voffset, name) for name, va in self.symbols.items())
        return [pa for pa, _ in pairs], [name for _, name in pairs]

    @cached_property
    def _vm_sorted(self) -> tuple[list[int], list[str]]:
        pairs = sorted((address, name) for name, address in self.vm.symbols.items())
        return [address for address, _ in pairs], [name for _, name in pairs]

    def symbolize(self, address: int) -> str | None:
        """Return 'name' or 'name+0x4' for an address of any space, None outside of what NAMED
        lists."""
        address = whole("an address", address)
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
        for program in self.kernel:
            for address, line in program.lines.items():
                lines[image_pa(address)] = (program.name, line)
        lines.update((address, (self.vm.name, line)) for address, line in self.vm.lines.items())
        return lines

    def line(self, address: int) -> tuple[str, int] | None:
        """Return (file of kernel/guest, 1-based line) that the instruction at *address* comes
        from."""
        address = whole("an address", address)
        pa = address if VM_IPA <= address < VM_IPA + PAGE_SIZE else self.layout.pa(address)
        return None if pa is None else self._lines.get(pa)

    def source(self, name: str) -> str:
        """Return the text of one of the programs; KeyError names those there are."""
        texts = {program.name: program.source for program in self.programs}
        return Named("program", texts)[name]

    def __repr__(self) -> str:
        size = sum(len(program.code) for program in self.programs)
        return f"Image({self.key!r}, {self.layout!r}, {size} bytes of programs)"


def load(
    key: str, layout: Layout, dispatcher: str | None = None, numbering: Numbering | None = None
) -> Image:
    """Return the image of a variant under a layout: relocated, patched, page tables built.

    dispatcher and numbering: as in build. Raises as build does, and KeyError for a key that is no
    variant's.
    """
    programs = build(key, dispatcher, numbering)
    vhe = variant(key).host_el == 2
    memory: dict[int, bytes] = {}
    patched: list[int] = []
    for program in programs[:VM]:
        code = bytearray(program.code)
        pa = image_pa(program.base)
        for offset in program.relocs:
            word = int.from_bytes(code[offset : offset + 8], "little") + layout.kaslr_offset
            code[offset : offset + 8] = (word & MASK64).to_bytes(8, "little")
        # A host at EL2 still has to find its own hyp address before it can run there.
        nothing_to_do = vhe and program.name != "head_vhe.S"
        patched += [pa + offset for offset in patch_kern_hyp_va(code, layout, vhe=nothing_to_do)]
        patched += [pa + offset for offset in patch_kimg_phys_offset(code, layout)]
        memory[pa] = bytes(code)
    memory |= page_tables(layout, vhe)
    memory |= structures(layout.hyp_va if vhe else layout.linear_va, programs[VM])
    return Image(key, layout, programs, memory, tuple(patched), numbering)
