"""A machine's hypercall table as a picture, slot by slot."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypkit.emu import Machine
from hypkit.errors import WrongType, expected
from hypkit.pictures.palette import DIM, LEVELS, SOFT, Ink
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas, width_of

NOBODY = "nobody"  # whom an empty slot's number means


def show_table(machine: Machine) -> Picture:
    """Draw what a machine's numbers lead to: slot by slot, the word there and what it becomes.

    Args:
        machine: a booted Machine; its memory is read as it is now.

    Returns:
        A Picture with the same facts as a table.

    Raises:
        TypeError: for what is no Machine.
    """
    needs_machine(machine, "show_table")
    variant = machine.image.variant
    rows = tuple(_slot_rows(machine))
    table = variant.table
    held = (
        f"Each slot holds {table.about}."
        if table
        else "There is no table: the caller names the function itself."
    )
    title = f"Hypercall table of {machine.key!r}, seed {machine.seed}"
    alt = (
        f"{len(rows)} rows, one for each slot: the number in x0, the word in the slot, and the hyp "
        f"address that it becomes. {held} The last row leads from {rows[-1][2]} to "
        f"{rows[-1][4]}, which is {rows[-1][1]}."
    )
    heads = ("x0", "Function", "Held in the slot", "That is", "Hyp address")
    canvas = Canvas(WIDTH, title, alt)
    height = _draw_table(canvas, rows, title, held)
    return Picture(canvas, height, heads, rows)


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
    for index, (slot, word) in enumerate(zip(variant.slots, words, strict=True)):
        hyp = kind.handler(word, table, index, layout)
        says = kind.says.format(distance=hyp - table)
        target = image.symbolize(hyp) or "nothing"
        number = f"{numbers[slot]:#x}" if slot in numbers else "none"
        rows.append(
            (
                number,
                slot or NOBODY,
                f"{word:#0{2 + 2 * size}x}",
                f"{says} {'of' if size == 8 else ''} {target}".replace("  ", " "),
                f"{hyp:#x}",
            )
        )
    return rows


def _draw_table(canvas: Canvas, rows: Sequence[tuple[str, ...]], title: str, about: str) -> float:
    canvas.text(12, 22, title, 15, bold=True)
    canvas.text(12, 42, about, 13, ink=DIM)
    number = max(60.0, *(width_of(row[0], 12, mono=True) + 16 for row in rows))
    slot = max(96.0, *(width_of(row[2], 12, mono=True) + 16 for row in rows))
    address = max(width_of(row[4], 12, mono=True) + 16 for row in rows)
    held = 12 + number + 26
    hyp = held + slot + 26
    name = hyp + address + 10
    for x, head in ((12, "x0"), (held, "in the slot"), (hyp, "hyp address"), (name, "function")):
        canvas.text(x, 68, head, 13, bold=True)
    for index, (x0, function, word, what, goal) in enumerate(rows):
        y = 76.0 + 26 * index
        boxes: tuple[tuple[float, float, str, Ink], ...] = (
            (12, number, x0, LEVELS["el1"].fill),
            (held, slot, word, SOFT),
            (hyp, address, goal, LEVELS["el2"].fill),
        )
        for x, width, words, fill in boxes:
            canvas.box(x, y, width, 22, fill, weight=0.8)
            canvas.text(x + 8, y + 15, words, 12, mono=True)
        canvas.arrow((12 + number, y + 11), (held, y + 11))
        canvas.arrow((held + slot, y + 11), (hyp, y + 11))
        # A slot that no number means still leads somewhere.
        says = f"{function}: {what}" if function == NOBODY else function
        canvas.text(name, y + 15, says, 12, mono=True)
        canvas.width = max(canvas.width, name + width_of(says, 12, mono=True) + 12)
    return 76 + 26 * len(rows) + 8


def needs_machine(machine: object, function: str) -> None:
    """Raise TypeError, with a right example, for what is no Machine."""
    if not isinstance(machine, Machine):
        raise WrongType(expected("a Machine", machine) + f"; try {function}(Machine())")
