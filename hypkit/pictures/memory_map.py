"""A machine's address spaces as a picture: what lies where, and who may touch it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hypkit.a64.pagetables import PAGE_SIZE, Walk
from hypkit.emu import Machine
from hypkit.kernel.addresses import DRAM_BASE, DRAM_SIZE, SPACES
from hypkit.kernel.memory_map import HEAP, SECTIONS
from hypkit.pictures.hypercall_table import _needs_machine
from hypkit.pictures.svg import _ELS, DIM, FILLS, Drawing, _Svg

# --- The four address spaces -------------------------------------------------------------------


@dataclass(frozen=True)
class _Region:
    name: str
    pa: int
    size: int
    fill: str


def _regions() -> list[_Region]:
    """What lies in memory, by physical address."""
    kinds = {".text": "kernel", ".hyp.idmap.text": "code", ".hyp.text": "code"}
    parts = [_Region(s.name, s.pa, s.size, kinds.get(s.name, "data")) for s in SECTIONS]
    parts += [_Region(name, pa, size, "data") for name, (pa, size, _) in HEAP.items()]
    return sorted(parts, key=lambda region: region.pa)


def _rights(walk: Walk) -> str:
    """'r-x' for a mapped address, '' for one that is not."""
    if walk.pa is None:
        return ""
    return "r" + ("w" if walk.writable else "-") + ("x" if walk.executable else "-")


def _size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def show_layout(machine: Machine) -> Drawing:
    """The four address spaces of a machine: the image, the hyp mapping, the idmap, the stack.

    The scale is not linear: a box grows with the logarithm of its size, gaps are torn out. The
    rights in a box are those of the page tables as they are now.
    """
    _needs_machine(machine, "show_layout")
    layout = machine.layout
    regions = _regions()
    heads = (
        "Region",
        "Size",
        *(f"{space}, {_whose(space)}" for space in SPACES),
        "Rights at EL1: image",
        "linear",
        "Rights at EL2: hyp",
    )
    rows = []
    for region in reversed(regions):
        names = layout.names(layout.image_va(region.pa))
        rights = [
            _rights(machine.translate(names[space], el)) or "not mapped"
            for space, el in _ELS.items()
        ]
        rows.append(
            (region.name, _size(region.size), *(f"{names[s]:#018x}" for s in SPACES), *rights)
        )
    idmap = next(region for region in regions if region.name == ".hyp.idmap.text")
    at_el2 = _rights(machine.translate(idmap.pa, 2)) or "not mapped"
    rows.append(
        (
            f"{idmap.name}, under its physical address",
            _size(idmap.size),
            *("",) * 2,
            f"{idmap.pa:#018x}",
            f"{idmap.pa:#018x}",
            "",
            "",
            at_el2,
        )
    )
    title = (
        f"Address spaces of {machine.key!r}, seed {machine.seed}: lm offset "
        f"{layout.lm_offset:#x}, hyp tag {layout.tag_val << layout.tag_lsb:#x}"
    )
    alt = (
        f"Four columns, one for each address space of the machine: the kernel image at "
        f"{layout.image_va(regions[0].pa):#x}, the linear map at "
        f"{layout.linear_va(regions[0].pa):#x}, physical memory at {regions[0].pa:#x} and the "
        f"hyp mapping at {layout.hyp_va(regions[0].pa):#x}. The linear map has all "
        f"{len(regions)} regions, the image column the kernel's sections; the hyp column has "
        f"those that EL2 maps, the stack among them, and the idmap page under its physical "
        f"address."
    )
    return Drawing(title, _draw_layout(machine, regions, title, alt), alt, heads, tuple(rows))


def _whose(space: str) -> str:
    return {"image": "EL1", "linear": "EL1", "physical": "no MMU", "hyp": "EL2"}[space]


def _draw_layout(machine: Machine, regions: Sequence[_Region], title: str, alt: str) -> str:
    layout, width, left, gap = machine.layout, 262, 12, 20
    svg = _Svg(left * 2 + 4 * width + 3 * gap, title, alt)
    svg.text(left, 26, title, 15, bold=True)
    bottom = 0.0
    for column, space in enumerate(SPACES):
        x = left + column * (width + gap)
        svg.text(x, 54, f"{space} ({_whose(space)})", 16, bold=True)
        y, above = 64, None
        for region in reversed(regions):
            va = layout.names(layout.image_va(region.pa))[space]
            el = _ELS.get(space)
            rights = _rights(machine.translate(va, el)) if el else "mem"
            height = 30 + 4 * math.log2(region.size / PAGE_SIZE)
            if above is not None and region.pa + region.size < above:
                svg.wave(x, y + 9, width)
                y += 18
            above = region.pa
            if rights:
                svg.box(x, y, width, height, FILLS[region.fill])
                svg.text(x + 6, y + 13, region.name, 12, bold=True)
                svg.text(x + 6, y + 26, f"{va:#018x}", 12, mono=True)
                if space != "physical":
                    svg.text(x + width - 6, y + 13, rights, 12, mono=True, bold=True, anchor="end")
                svg.text(x + width - 6, y + 26, _size(region.size), 11, anchor="end", fill=DIM)
            else:
                svg.box(x, y, width, height, FILLS["gap"], "3 3")
                svg.text(x + 6, y + 13, f"{region.name}: not mapped", 11, fill=DIM)
            y += height
        if space == "hyp":
            y += 6
            svg.wave(x, y + 9, width)
            y += 24
            idmap = next(region for region in regions if region.name == ".hyp.idmap.text")
            svg.box(x, y, width, 32, FILLS["code"])
            svg.text(x + 6, y + 13, "idmap: VA = PA", 12, bold=True)
            svg.text(x + 6, y + 26, f"{idmap.pa:#018x}", 12, mono=True)
            rights = _rights(machine.translate(idmap.pa, 2)) or "not mapped"
            svg.text(x + width - 6, y + 13, rights, 12, mono=True, bold=True, anchor="end")
            y += 32
        bottom = max(bottom, y)
    bottom += 22
    svg.text(
        left,
        bottom,
        f"RAM is {_size(DRAM_SIZE)} from {DRAM_BASE:#x}. Higher addresses are "
        "further up; a box grows with the logarithm of its size; a torn line leaves addresses "
        "out.",
        12,
        fill=DIM,
    )
    svg.text(
        left,
        bottom + 18,
        "r, w, x: read, write, execute, as far as the page tables of that "
        "level allow it. Blue: the kernel's code; orange: code for EL2; green: data.",
        12,
        fill=DIM,
    )
    return svg.done(bottom + 32)
