"""Two still views of a machine: where everything lies, and what its hypercall table leads to."""

from __future__ import annotations

import base64
import html
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hypkit.decode import sign_extended
from hypkit.emu import Machine
from hypkit.image import HEAP, SECTIONS
from hypkit.vmem import DRAM_BASE, DRAM_SIZE, PAGE_SIZE, SPACES, Walk

# Ink, and pale fills. A fill repeats what a box says in words: grey print loses nothing.
INK, DIM = "#1b1f24", "#50575f"
FILLS = {"kernel": "#dcebfa", "code": "#fde3d0", "data": "#e6f2d8", "gap": "#ffffff"}
FONT = "DejaVu Sans, Arial, sans-serif"
MONO = "DejaVu Sans Mono, Consolas, monospace"
_ELS = {"image": 1, "linear": 1, "hyp": 2}  # who translates an address of a space; physical: none
NOBODY = "nobody"  # whom an empty slot's number means


@dataclass(frozen=True)
class Drawing:
    """A drawing with its alternative text, and the same facts as a table.

    svg: the drawing; alt: what it shows; heads, rows: the table, every cell a str.
    """

    title: str
    svg: str
    alt: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_svg(self) -> str:
        """The drawing as SVG, for print."""
        return self.svg

    def to_table(self) -> str:
        """The table as HTML."""
        heads = "".join(f'<th scope="col" style="text-align:left">{html.escape(head)}</th>'
                        for head in self.heads)
        rows = "\n".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(first)}</th>'
            + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in rest)
            + "</tr>" for first, *rest in self.rows)
        return (f"<table><caption>{html.escape(self.title)}</caption>"
                f"<thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>")

    def _repr_html_(self) -> str:
        image = base64.b64encode(self.svg.encode()).decode()
        return (f'<img alt="{html.escape(self.alt)}" style="max-width: 100%; height: auto" '
                f'src="data:image/svg+xml;base64,{image}">\n'
                f"<details><summary>The same as a table</summary>{self.to_table()}</details>")

    def __repr__(self) -> str:
        return f"Drawing: {self.title}, {len(self.rows)} rows"


class _Svg:
    """A drawing under way: shapes in the order they were added."""

    def __init__(self, width: int, title: str, alt: str) -> None:
        self.width, self.title, self.alt = width, title, alt
        self.shapes: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, fill: str, dash: str = "") -> None:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.shapes.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" '
                           f'stroke="{INK}"{dashed}/>')

    def text(self, x: float, y: float, words: str, size: int = 14, *, mono: bool = False,
             bold: bool = False, anchor: str = "start", fill: str = INK) -> None:
        weight = "bold" if bold else "normal"
        self.shapes.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-family="{MONO if mono else FONT}" '
            f'text-anchor="{anchor}" fill="{fill}" font-weight="{weight}">'
            f"{html.escape(words)}</text>")

    def arrow(self, x: float, y: float, to: float) -> None:
        self.shapes.append(f'<path d="M{x:g} {y:g}H{to - 7:g}m0 -4l7 4l-7 4z" fill="{INK}" '
                           f'stroke="{INK}"/>')

    def wave(self, x: float, y: float, w: float) -> None:
        """A torn edge: addresses are left out here."""
        steps = "".join(f"l{w / 16:g} {-4 if n % 2 else 4}" for n in range(16))
        self.shapes.append(f'<path d="M{x:g} {y:g}{steps}" fill="none" stroke="{DIM}"/>')

    def done(self, height: float) -> str:
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height:g}" '
                f'width="{self.width}" height="{height:g}" role="img">'
                f"<title>{html.escape(self.title)}</title><desc>{html.escape(self.alt)}</desc>"
                f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(self.shapes)}</svg>\n')


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
    heads = ("Region", "Size", *(f"{space}, {_whose(space)}" for space in SPACES),
             "Rights at EL1: image", "linear", "Rights at EL2: hyp")
    rows = []
    for region in reversed(regions):
        names = layout.names(layout.image_va(region.pa))
        rights = [_rights(machine.translate(names[space], el)) or "not mapped"
                  for space, el in _ELS.items()]
        rows.append((region.name, _size(region.size), *(f"{names[s]:#018x}" for s in SPACES),
                     *rights))
    idmap = next(region for region in regions if region.name == ".hyp.idmap.text")
    at_el2 = _rights(machine.translate(idmap.pa, 2)) or "not mapped"
    rows.append((f"{idmap.name}, under its physical address", _size(idmap.size),
                 *("",) * 2, f"{idmap.pa:#018x}", f"{idmap.pa:#018x}", "", "", at_el2))
    title = (f"Address spaces of {machine.key!r}, seed {machine.seed}: lm offset "
             f"{layout.lm_offset:#x}, hyp tag {layout.tag_val << layout.tag_lsb:#x}")
    alt = (f"Four columns, one for each address space of the machine: the kernel image at "
           f"{layout.image_va(regions[0].pa):#x}, the linear map at "
           f"{layout.linear_va(regions[0].pa):#x}, physical memory at {regions[0].pa:#x} and the "
           f"hyp mapping at {layout.hyp_va(regions[0].pa):#x}. The linear map has all "
           f"{len(regions)} regions, the image column the kernel's sections; the hyp column has "
           f"those that EL2 maps, the stack among them, and the idmap page under its physical "
           f"address.")
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
    svg.text(left, bottom, f"RAM is {_size(DRAM_SIZE)} from {DRAM_BASE:#x}. Higher addresses are "
             "further up; a box grows with the logarithm of its size; a torn line leaves addresses "
             "out.", 12, fill=DIM)
    svg.text(left, bottom + 18, "r, w, x: read, write, execute, as far as the page tables of that "
             "level allow it. Blue: the kernel's code; orange: code for EL2; green: data.", 12,
             fill=DIM)
    return svg.done(bottom + 32)


# --- The hypercall table -----------------------------------------------------------------------


def show_table(machine: Machine) -> Drawing:
    """What a machine's numbers lead to: slot by slot, what stands there and what it becomes."""
    _needs_machine(machine, "show_table")
    variant = machine.image.variant
    rows = tuple(_slot_rows(machine))
    what = {"image": "the image address of the function; EL2 makes it its own on each call",
            "hyp": "a hyp address, made at boot", "branches": "a branch to the function",
            "distances": "the distance from the table to the function",
            None: "no table: the caller names the function itself"}[variant.table]
    title = f"Hypercalls of {machine.key!r}, seed {machine.seed}: {what}"
    alt = (f"{len(rows)} rows, one for each slot: the number in x0, the word that stands in the "
           f"slot ({what}), and where it leads, such as {rows[-1][2]} to {rows[-1][4]}, which is "
           f"{rows[-1][1]}.")
    heads = ("x0", "Function", "Held in the slot", "That is", "Hyp address")
    return Drawing(title, _draw_table(rows, title, alt), alt, heads, rows)


def _slot_rows(machine: Machine) -> list[tuple[str, ...]]:
    image, layout, variant = machine.image, machine.layout, machine.image.variant
    rows: list[tuple[str, ...]] = []
    if variant.table is None:
        for name in variant.calls:
            pa = image.pa(name)
            if variant.host_el == 2:
                rows.append(("none", name, "none", "a direct call", f"{layout.hyp_va(pa):#x}"))
            else:
                linear = f"{layout.linear_va(pa):#x}"
                rows.append((linear, name, linear, f"linear address of {name}",
                             f"{layout.hyp_va(pa):#x}"))
        return rows
    label, size = {"image": ("kvm_hcall_table", 8), "hyp": ("kvm_hcall_table", 8),
                   "branches": ("hcall_branches", 4),
                   "distances": ("hcall_distances", 4)}[variant.table]
    table = machine.address(label, "hyp")
    words = struct.unpack(f"<{len(variant.slots)}{'Q' if size == 8 else 'I'}",
                          machine.read(table, size * len(variant.slots)))
    numbers = variant.numbers
    for index, (name, word) in enumerate(zip(variant.slots, words, strict=True)):
        match variant.table:
            case "image":
                hyp, says = layout.kern_hyp_va(layout.lm_alias(word)), "image address"
            case "hyp":
                hyp, says = word, "hyp address"
            case "branches":
                distance = 4 * sign_extended(word & 0x3FF_FFFF, 26)
                hyp, says = table + size * index + distance, "branch"
            case _:
                distance = sign_extended(word, 32)
                hyp, says = table + distance, f"{distance:+#x} from the table to"
        target = image.symbolize(hyp) or "nothing"
        number = f"{numbers[name]:#x}" if name in numbers else "none"
        rows.append((number, name or NOBODY, f"{word:#0{2 + 2 * size}x}",
                     f"{says} {'of' if size == 8 else ''} {target}".replace("  ", " "),
                     f"{hyp:#x}"))
    return rows


def _draw_table(rows: Sequence[tuple[str, ...]], title: str, alt: str) -> str:
    svg = _Svg(1180, title, alt)
    svg.text(12, 26, title, 15, bold=True)
    number = max(92, 9 * max(len(row[0]) for row in rows) + 16)
    held, hyp, name = 12 + number + 40, 12 + number + 40 + 190 + 40, 12 + number + 460
    for x, head in ((12, "x0"), (held, "in the slot"), (hyp, "hyp address"), (name, "function")):
        svg.text(x, 56, head, 14, bold=True)
    for index, (x0, function, word, what, address) in enumerate(rows):
        y = 66 + 28 * index
        for x, width, words, fill in ((12, number, x0, "kernel"), (held, 190, word, "data"),
                                      (hyp, 160, address, "code")):
            svg.box(x, y, width, 24, FILLS[fill])
            svg.text(x + 8, y + 17, words, 14, mono=True)
        svg.arrow(12 + number, y + 12, held)
        svg.arrow(held + 190, y + 12, hyp)
        # A slot that no number means still leads somewhere.
        says = f"{function}: {what}" if function == NOBODY else function
        svg.text(name, y + 17, says, 14, mono=True)
    return svg.done(66 + 28 * len(rows) + 12)


def _needs_machine(machine: Machine, function: str) -> None:
    if not isinstance(machine, Machine):
        raise TypeError(f"{function} shows a Machine, not {type(machine).__name__}: "
                        f'{function}(Machine("numbered"))')
