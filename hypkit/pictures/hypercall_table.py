"""A machine's hypercall table as a picture, slot by slot."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypkit.emu import Machine
from hypkit.pictures.svg import FILLS, NOBODY, Drawing, _Svg

# --- The hypercall table -----------------------------------------------------------------------


def show_table(machine: Machine) -> Drawing:
    """What a machine's numbers lead to: slot by slot, what stands there and what it becomes."""
    _needs_machine(machine, "show_table")
    variant = machine.image.variant
    rows = tuple(_slot_rows(machine))
    what = (
        variant.table.about if variant.table else "no table: the caller names the function itself"
    )
    title = f"Hypercalls of {machine.key!r}, seed {machine.seed}: {what}"
    alt = (
        f"{len(rows)} rows, one for each slot: the number in x0, the word that stands in the "
        f"slot ({what}), and where it leads, such as {rows[-1][2]} to {rows[-1][4]}, which is "
        f"{rows[-1][1]}."
    )
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
                rows.append(
                    (linear, name, linear, f"linear address of {name}", f"{layout.hyp_va(pa):#x}")
                )
        return rows
    kind, size = variant.table, variant.table.size
    table = machine.address(kind.label, "hyp")
    words = struct.unpack(
        f"<{len(variant.slots)}{'Q' if size == 8 else 'I'}",
        machine.read(table, size * len(variant.slots)),
    )
    numbers = variant.numbers
    for index, (name, word) in enumerate(zip(variant.slots, words, strict=True)):
        hyp = kind.handler(word, table, index, layout)
        says = kind.says.format(distance=hyp - table)
        target = image.symbolize(hyp) or "nothing"
        number = f"{numbers[name]:#x}" if name in numbers else "none"
        rows.append(
            (
                number,
                name or NOBODY,
                f"{word:#0{2 + 2 * size}x}",
                f"{says} {'of' if size == 8 else ''} {target}".replace("  ", " "),
                f"{hyp:#x}",
            )
        )
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
        for x, width, words, fill in (
            (12, number, x0, "kernel"),
            (held, 190, word, "data"),
            (hyp, 160, address, "code"),
        ):
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
        raise TypeError(
            f"{function} shows a Machine, not {type(machine).__name__}: "
            f'{function}(Machine("numbered"))'
        )
