"""A machine's address spaces as a picture: what lies where, and who may touch it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hypkit.a64.pagetables import PAGE_SIZE, Walk
from hypkit.emu import Machine
from hypkit.kernel.addresses import DRAM_BASE, DRAM_SIZE, SPACES
from hypkit.kernel.memory_map import HEAP, SECTIONS
from hypkit.pictures.hypercall_table import needs_machine
from hypkit.pictures.palette import DIM, LEVELS, PAPER, SOFT, Ink
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import Canvas, width_of

_ELS = {"image": 1, "linear": 1, "hyp": 2}  # who translates an address of a space; physical: none
_FILLS = {"kernel": LEVELS["el1"].fill, "code": LEVELS["el2"].fill, "data": SOFT}


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


def show_layout(machine: Machine) -> Picture:
    """Draw the four address spaces of a machine: the image, the hyp mapping, the idmap, the stack.

    The scale is not linear: a box grows with the logarithm of its size, gaps are torn out. The
    rights in a box are those of the page tables as they are now.

    Args:
        machine: a booted Machine.

    Returns:
        A Picture with the same facts as a table.

    Raises:
        TypeError: for what is no Machine.
    """
    needs_machine(machine, "show_layout")
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
        rights = {space: _rights(machine.translate(names[space], el)) for space, el in _ELS.items()}
        # Where nothing is mapped, the sum that names() does is no address.
        shown = [f"{names[s]:#018x}" if rights.get(s, True) else "–" for s in SPACES]
        given = (may or "not mapped" for may in rights.values())
        rows.append((region.name, _size(region.size), *shown, *given))
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
    left, gap, width = 12, 14, 200
    canvas = Canvas(2 * left + 4 * width + 3 * gap, title, alt)
    height = _draw_layout(canvas, machine, regions, left, gap, width)
    return Picture(canvas, height, heads, tuple(rows))


def _whose(space: str) -> str:
    return {"image": "EL1", "linear": "EL1", "physical": "no MMU", "hyp": "EL2"}[space]


def _draw_layout(
    canvas: Canvas, machine: Machine, regions: Sequence[_Region], left: int, gap: int, width: int
) -> float:
    layout = machine.layout
    canvas.text(left, 22, f"Address spaces of {machine.key!r}, seed {machine.seed}", 15, bold=True)
    offsets = f"lm offset {layout.lm_offset:#x}   hyp tag {layout.tag_val << layout.tag_lsb:#x}"
    canvas.text(left, 42, offsets, 12, mono=True, ink=DIM)
    bottom = 0.0

    def region_box(x: float, y: float, height: float, fill: Ink, name: str, va: int) -> None:
        canvas.box(x, y, width, height, fill, weight=0.8)
        canvas.text(x + 6, y + 14, name, 12, bold=True)
        canvas.text(x + 6, y + 28, f"{va:#018x}", 12, mono=True)

    for column, space in enumerate(SPACES):
        x = left + column * (width + gap)
        ink = {"EL1": LEVELS["el1"].ink, "EL2": LEVELS["el2"].ink}.get(_whose(space), DIM)
        canvas.text(x, 66, f"{space} ({_whose(space)})", 14, bold=True, ink=ink)
        y, above = 74.0, None
        for region in reversed(regions):
            va = layout.names(layout.image_va(region.pa))[space]
            el = _ELS.get(space)
            rights = _rights(machine.translate(va, el)) if el else "mem"
            height = 32 + 1.5 * math.log2(region.size / PAGE_SIZE)
            if above is not None and region.pa + region.size < above:
                canvas.wave(x, y + 7, width)
                y += 14
            above = region.pa
            size = _size(region.size)
            if rights:
                region_box(x, y, height, _FILLS[region.fill], region.name, va)
                if el:
                    canvas.text(
                        x + width - 6, y + 14, rights, 12, mono=True, bold=True, anchor="end"
                    )
                if 155 + width_of(size, 11) < width - 6:
                    canvas.text(x + width - 6, y + 28, size, 11, anchor="end", ink=DIM)
            else:
                canvas.box(x, y, width, height, PAPER, stroke=DIM, weight=0.8, dash="3 3")
                canvas.text(x + 6, y + 14, region.name, 12, ink=DIM)
                canvas.text(x + 6, y + 28, "not mapped", 12, italic=True, ink=DIM)
            y += height
        if space == "hyp":
            y += 4
            canvas.wave(x, y + 7, width)
            y += 18
            idmap = next(region for region in regions if region.name == ".hyp.idmap.text")
            region_box(x, y, 34, _FILLS["code"], "idmap: VA = PA", idmap.pa)
            rights = _rights(machine.translate(idmap.pa, 2)) or "not mapped"
            canvas.text(x + width - 6, y + 14, rights, 12, mono=True, bold=True, anchor="end")
            y += 34
        bottom = max(bottom, y)
    for line in (
        f"RAM is {_size(DRAM_SIZE)} from {DRAM_BASE:#x}. Higher addresses are further up. A torn "
        "line leaves addresses out.",
        "A box grows with the logarithm of its size.",
        "r, w, x: read, write, execute, as far as the page tables of that level allow it.",
        "Blue: the kernel's code. Orange: code for EL2. Grey: data. Dashed: not mapped.",
    ):
        bottom += 18
        canvas.text(left, bottom, line, 12, ink=DIM)
    return bottom + 12
