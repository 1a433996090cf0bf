"""The picture of 06-review-enum: one list becomes the host's numbers and EL2's table."""

from __future__ import annotations

from collections.abc import Mapping

from hypkit.header import Header, read_header
from hypkit.pictures.palette import BAD, DIM, INK, LEVELS, PAPER, SOFT
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas, width_of

EMPTY = "kvm_hc_ni"  # what answers for a slot that no entry fills


def show_list(header: str | Mapping[str, str] | Header) -> Picture:
    """Draw what a header's list becomes: the host's number for each call, and the slot it selects.

    A call whose number selects another function is drawn with a cross.

    Args:
        header: the text of kvm_hcalls.h, a dict of two texts by file name, or what read_header
            returned.

    Returns:
        A Picture with the same facts as a table.

    Raises:
        TypeError, HeaderError: as read_header.
    """
    said = read_header(header)
    base, slots = said.numbering.base, said.slots
    rows, wrong = [], []
    for name, number in said.numbers.items():
        slot = number - base
        inside = 0 <= slot < len(slots)
        runs = (slots[slot] or EMPTY) if inside else "-ENOSYS, outside the table"
        rows.append((name, f"{number:#x}", f"{slot}" if inside else "none", runs))
        if runs != name:
            wrong.append(f"{name} ({number:#x}) runs {runs}")
    alt = (
        f"{len(rows)} rows, one for each call of the list: its name, the number by which the host "
        f"makes it, the slot of EL2's table that the number selects, and the function there. "
    )
    alt += (
        f"In {len(wrong)} of them the function is another: " + "; ".join(wrong) + "."
        if wrong
        else "In each of them the function is the one that the host means."
    )
    names = 16 + max(width_of(row[0], 12, mono=True) for row in rows)
    what = 16 + max(width_of(row[3], 12, mono=True) for row in rows)
    number_x = 12 + names + 30
    slot_x = number_x + 62 + 30
    canvas = Canvas(max(WIDTH, slot_x + 62 + what + 40), "From the list to the table", alt)
    canvas.text(12, 20, "the list, in a header", 13, bold=True)
    for x, level, words in ((number_x, "el1", "the host"), (slot_x, "el2", "EL2's table")):
        canvas.text(x, 20, words, 13, bold=True, ink=LEVELS[level].ink)
    canvas.text(number_x, 36, "its number", 11, ink=DIM)
    canvas.text(slot_x, 36, "slot, and who is in it", 11, ink=DIM)
    for n, (name, number_said, slot_said, runs) in enumerate(rows):
        y = 44.0 + 25 * n
        right = runs == name
        canvas.box(12, y, names, 21, SOFT, weight=0.8)
        canvas.text(20, y + 15, name, 12, mono=True)
        canvas.arrow((12 + names, y + 10.5), (number_x, y + 10.5))
        canvas.box(number_x, y, 62, 21, LEVELS["el1"].fill, weight=0.8)
        canvas.text(number_x + 31, y + 15, number_said, 12, mono=True, anchor="middle")
        canvas.arrow(
            (number_x + 62, y + 10.5), (slot_x, y + 10.5), ink=INK if right else BAD,
            dash="" if right else "4 3",
        )  # fmt: skip
        ground = LEVELS["el2"].fill if slot_said != "none" else PAPER
        canvas.box(slot_x, y, 62 + what, 21, ground, weight=0.8, stroke=INK if right else BAD)
        canvas.text(slot_x + 44, y + 15, slot_said, 12, mono=True, anchor="end")
        canvas.text(slot_x + 62, y + 15, runs, 12, mono=True)
        if not right:
            canvas.text(slot_x + 62 + what + 8, y + 15, "✕", 13, bold=True, ink=BAD)
    return Picture(
        canvas, 44 + 25 * len(rows) + 6, ("call", "number", "slot", "function there"), rows
    )
