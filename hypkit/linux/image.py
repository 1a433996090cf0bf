"""A snapshot as the rest of the kit takes an image: names, address spaces, the code of EL2."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from hypkit.a64.pagetables import PAGE_SIZE, walk
from hypkit.a64.registers import MASK64
from hypkit.asm import Program
from hypkit.kernel.addresses import DRAM_BASE, KIMAGE_PA, KIMAGE_VADDR, PAGE_END, Layout
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import VM_IPA
from hypkit.kernel.variants import Variant
from hypkit.linux.board import RAM_SIZE
from hypkit.linux.snapshot import CODE, HOST, NVHE, Snapshot
from hypkit.machine.errors import MachineError

HCALL_TABLE = "host_hcall"  # as the kernel's source calls it


class LinuxLayout(Layout):
    """Where a running kernel lies, as it chose itself: read from its page tables, not from a seed.

    The arithmetic is the kernel's, and so the kit's own Layout's. What EL2 maps apart from it (its
    stack, in newer kernels) is looked up in *private*.
    """

    def __init__(self, voffset: int, linear: int, tag: int, private: Mapping[int, int]) -> None:
        # A frozen dataclass writes its own fields like this as well.
        for name, value in (
            ("kaslr_offset", voffset + KIMAGE_PA - KIMAGE_VADDR),
            ("random_tag", 0),
            ("_linear", linear),
            ("_tag", tag),
            ("_private", dict(private)),
        ):
            object.__setattr__(self, name, value)

    _linear: int
    _tag: int
    _private: dict[int, int]

    @cached_property
    def physvirt_offset(self) -> int:
        """Return PA minus linear VA, as an unsigned 64-bit word."""
        return -self._linear & MASK64

    @property
    def dram_size(self) -> int:
        """Return how many bytes of RAM there are from DRAM_BASE on."""
        return RAM_SIZE

    @property
    def private(self) -> Mapping[int, int]:
        """Return hyp page -> physical page, for what kern_hyp_va does not lead to."""
        return self._private

    @cached_property
    def tag_lsb(self) -> int:
        """Return the lowest bit in which no two linear addresses differ: the tag starts here."""
        first = self.linear_va(DRAM_BASE)
        return (first ^ self.linear_va(DRAM_BASE + RAM_SIZE) - 1).bit_length()

    @cached_property
    def tag_val(self) -> int:
        """Return the tag, from bit tag_lsb up."""
        return self._tag >> self.tag_lsb

    def space(self, va: int) -> str | None:
        """Return which of SPACES an address belongs to by its bits, or None when it fits none."""
        if va & -PAGE_SIZE in self.private:
            return "hyp"
        if DRAM_BASE <= va < DRAM_BASE + RAM_SIZE:
            return "physical"
        if va >= PAGE_END:
            return "image" if 0 <= va - self.kimage_voffset - DRAM_BASE < RAM_SIZE else None
        if 0 <= va - self.page_offset < RAM_SIZE:
            return "linear"
        return "hyp" if va >> self.tag_lsb == self.tag_val else None

    def pa(self, va: int) -> int | None:
        """Return the physical address that *va* names in its space, or None when it names none."""
        page = self.private.get(va & -PAGE_SIZE)
        if page is not None:
            return page | va & PAGE_SIZE - 1
        match self.space(va):
            case "physical":
                return va
            case "image":
                return va - self.kimage_voffset
            case "linear":
                return va - self._linear & MASK64
            case "hyp":
                return (va & self.va_mask) - (self.page_offset & self.va_mask) + DRAM_BASE
        return None

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"LinuxLayout(image at {self.image_va(KIMAGE_PA):#x}, tag_val={self.tag_val:#x})"


def layout_of(snapshot: Snapshot) -> LinuxLayout:
    """Return the layout of a snapshot.

    Raises MachineError where EL2's addresses are not what kern_hyp_va makes of linear ones.
    """
    plain = LinuxLayout(snapshot.voffset, snapshot.linear, 0, {})
    # The vectors are hyp code; their address with the low bits taken off is the tag.
    vbar = snapshot.sysregs["VBAR_EL2"]
    tag = vbar & ~plain.va_mask
    layout = LinuxLayout(snapshot.voffset, snapshot.linear, tag, {})
    if not any(
        va <= vbar < va + size and va == layout.hyp_va(pa) for va, pa, size, _ in snapshot.maps
    ):
        raise MachineError(
            f"EL2's vectors are at {vbar:#x}, which is not what kern_hyp_va makes of the address of "
            "any page: this kernel lays EL2 out in a way that is not known here"
        )
    private = {
        va + page: pa + page
        for va, pa, size, _ in snapshot.maps
        if va
        not in (layout.hyp_va(pa), pa)  # pa: what has to stay where it is for the MMU to go on
        for page in range(0, size, PAGE_SIZE)
    }
    return LinuxLayout(snapshot.voffset, snapshot.linear, tag, private)


@dataclass(frozen=True, eq=False)
class LinuxImage(Image):
    """A kernel's image as the kit's traces take one.

    What is in it and where is in its snapshot.
    """

    snapshot: Snapshot = field(kw_only=True, repr=False)
    rule: Callable[[Any], Sequence[str]] = field(kw_only=True, repr=False)

    @property
    def ids(self) -> Mapping[str, int]:
        """Return hypercall -> x0, in the order of the numbers."""
        return self.snapshot.ids

    @property
    def table(self) -> int | None:
        """Return the physical address of EL2's table of functions, None where there is none."""
        return self.snapshot.table

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Return EL2's names and those of the host that a call meets, at their image addresses.

        EL2's are as in the source: the build puts __kvm_nvhe_ in front of them.
        """
        names = self.snapshot.symbols
        own = {name: va for name, va in names.items() if name.startswith(NVHE)}
        known = {name: va for name, va in names.items() if name not in own}
        for name, va in own.items():  # EL2 may have its own copy of what the host calls by
            short = name.removeprefix(NVHE)
            known[name if short in HOST else short] = va
        if self.table is not None:
            known.setdefault(HCALL_TABLE, self.layout.image_va(self.table))
        return known

    @cached_property
    def variant(self) -> Variant:
        """Return this kernel in the terms of the kit's dispatchers."""
        return Variant(
            self.key,
            self.key,
            "a kernel that ran in QEMU",
            f"Linux {self.snapshot.release}",
            "",
            "",
            "",
            None,
            tuple(self.ids),
            table=None,
            result="x1",
            rejects=-1,
        )

    @cached_property
    def code(self) -> tuple[tuple[int, int], ...]:
        """Return (start, end) of the physical memory that EL2 executes, and the host's functions."""
        spans = [(pa, pa + size) for _, pa, size, code in self.snapshot.maps if code]
        spans += [
            (pa, pa + CODE) for name in HOST if name in self.symbols for pa in (self.pa(name),)
        ]
        joined: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if joined and start <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(end, joined[-1][1])
            else:
                joined.append((start, end))
        return tuple(joined)

    @cached_property
    def places(self) -> tuple[list[int], list[str]]:
        """Return where names begin, physical and ascending, and the names; "" where none holds on.

        A name in code reaches to the next one, any other to the end of its page.
        """
        # Of two names for one place, the linker script's own is the one that says less.
        by_worth = sorted(self.symbols, key=lambda name: (not name.startswith("__hyp_"), name))
        pairs = {self.pa(name): name for name in by_worth}
        hosts = {self.pa(name) for name in HOST if name in self.symbols}
        ends = {end for _, end in self.code}
        ends |= {pa + CODE for pa in hosts}
        ends |= {(pa & -PAGE_SIZE) + PAGE_SIZE for pa in pairs if not self._is_code(pa)}
        for end in ends:
            pairs.setdefault(end, "")
        ordered = sorted(pairs.items())
        return [pa for pa, _ in ordered], [name for _, name in ordered]

    @property
    def named(self) -> tuple[tuple[int, int], ...]:
        """Return the ranges of physical memory that have names: (start, end) of each."""
        return ((self.places[0][0], self.places[0][-1]),)

    @property
    def phase_rule(self) -> Callable[[Any], Sequence[str]]:
        """Return what tells the phase of every step of a trace."""
        return self.rule

    def table_pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield the page tables of EL1 and EL2 as the kernel had them: (physical address, bytes)."""
        for pa in sorted(self.snapshot.tables):
            yield pa, self.snapshot.load(pa, PAGE_SIZE)

    @cached_property
    def handlers(self) -> frozenset[int]:
        """Return where the functions of the hypercalls begin, physical."""
        names = (f"handle_{name}" if self.table is not None else name for name in self.ids)
        return frozenset(self.pa(name) for name in names if name in self.symbols)

    def symbolize(self, address: int) -> str | None:
        """Return 'name' or 'name+0x4' for an address of any space, None where no name is near."""
        pa = self.layout.pa(address)
        addresses, names = self.places
        index = -1 if pa is None else bisect.bisect_right(addresses, pa) - 1
        if pa is None or index < 0 or not names[index]:
            return None
        offset = pa - addresses[index]
        return names[index] + (f"+{offset:#x}" if offset else "")

    def el1_may_write(self, pa: int) -> bool | None:
        """Return whether EL1's page tables, as the boot left them, let it write a byte by its linear
        address; None where it maps none, and where a protected EL2 has a word in it as well."""
        if self.snapshot.protected:
            return None
        root = self.snapshot.sysregs["TTBR1_EL1"]
        walked = walk(self.snapshot.load64, root, self.layout.linear_va(pa), regime="EL1")
        return None if walked.pa is None else walked.writable

    def owner(self, pa: int) -> str | None:
        """Return who gave a byte of memory its value before a call: "boot" for the table, whose
        addresses the boot converted, "EL2" for what EL2 maps writable, else None: not known."""
        if (self.symbolize(pa) or "").partition("+")[0] == HCALL_TABLE:
            return "boot"
        root = self.snapshot.sysregs["TTBR0_EL2"]
        for va, first, size, code in self.snapshot.maps:
            if not code and first <= pa < first + size:
                walked = walk(self.snapshot.load64, root, va + pa - first, regime="EL2")
                return "EL2" if walked.writable else None
        return None

    def _is_code(self, pa: int) -> bool:
        return any(start <= pa < end for start, end in self.code)

    def line(self, address: int) -> tuple[str, int] | None:
        """Return None: a kernel's source is not here."""
        return None

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Return where functions begin: the physical addresses of all names in code, ascending."""
        return tuple(
            sorted({self.pa(name) for name in self.symbols if self._is_code(self.pa(name))})
        )


def image_of(snapshot: Snapshot, rule: Callable[[Any], Sequence[str]]) -> LinuxImage:
    """Return the image of a snapshot; rule: see Image.phase_rule."""
    layout = layout_of(snapshot)
    draft = LinuxImage(f"linux-{snapshot.kernel}", layout, (), {}, (), snapshot=snapshot, rule=rule)
    memory = {start: snapshot.load(start, end - start) for start, end in draft.code}
    places = {name: pa for pa, name in zip(*draft.places, strict=True) if name}
    programs = (*_programs(memory, places), Program("VM", VM_IPA, b"", {}, {}, (), ""))
    return replace(draft, programs=programs, memory=memory)


def _programs(memory: Mapping[int, bytes], places: Mapping[str, int]) -> Iterator[Program]:
    """The code as programs without a source: every word of it is an instruction on its own line."""
    for start, code in memory.items():
        base = start - KIMAGE_PA + KIMAGE_VADDR  # programs are linked there, and moved at boot
        inside = {name: pa for name, pa in places.items() if start <= pa < start + len(code)}
        yield Program(
            "vmlinux",
            base,
            code,
            {name: pa - KIMAGE_PA + KIMAGE_VADDR for name, pa in inside.items()},
            {base + at: at // 4 + 1 for at in range(0, len(code), 4)},
            (),
            "",
        )
