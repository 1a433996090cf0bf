"""The picture of 08-review-cached-offset: who may write the words that EL2 believes."""

from __future__ import annotations

import re

from hypkit.emu import Machine
from hypkit.errors import WrongValue, expected
from hypkit.pictures.hypercall_table import needs_machine
from hypkit.pictures.palette import DIM, LEVELS, SOFT
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas

# Words that EL2 reads on its way to a handler, where a variant has them; and its own code.
WORDS = {
    "kimage_voffset": "distance, from boot",
    "physvirt_offset": "distance, from boot",
    "kvm_lm_offset": "their sum, from boot",
    "kvm_hcall_table": "addresses, from the linker",
    "dispatch": "the dispatcher's own code",
}


def show_writers(machine: Machine) -> Picture:
    """Draw the words that EL2 believes, and which of them EL1 may write: now, and in two steps.

    What EL1 may write is asked of the page tables as they are. A word that is read-only at EL1
    falls in two steps where EL1 may write the entry of the page table that says so.

    Args:
        machine: a booted Machine.

    Returns:
        A Picture with the same facts as a table.

    Raises:
        TypeError: for what is no Machine.
        ValueError: for a machine whose host is at EL2.
    """
    needs_machine(machine, "show_writers")
    if machine.image.variant.host_el != 1:
        raise WrongValue(expected("a machine whose host is at EL1", machine))
    rows = []
    for name, what in WORDS.items():
        if name not in machine.image.symbols or not _read_by(machine, name):
            continue
        at = machine.address(name)
        walk, entry = machine.translate(at, el=1), machine.entry_of(at)
        later = walk.writable or machine.translate(entry, el=1).writable
        at_el2 = machine.translate(machine.address(name, "hyp"), el=2).writable
        rows.append((name, what, _yes(walk.writable), _yes(later), f"{entry:#x}", _yes(at_el2)))
    told = "; ".join(
        f"{name}, {what}: EL1 {'may' if now == 'yes' else 'may not'} write it now"
        + (f", but may write the entry at {place} that says so" if now != then else "")
        + f"; EL2 {'may' if hyp == 'yes' else 'may not'}"
        for name, what, now, then, place, hyp in rows
    )
    alt = (
        f"The words that EL2 believes, between EL1, which may write, and EL2, which reads. {told}."
    )
    canvas = Canvas(WIDTH, "Who may write the word?", alt)
    height = 58.0 * len(rows)
    top, entry_x, word_x, el2_x = 44.0, 140.0, 366.0, 626.0
    canvas.level(12, top, 88, height - 10, LEVELS["el1"])
    canvas.text(56, top + 24, "EL1", 15, bold=True, anchor="middle", ink=LEVELS["el1"].ink)
    canvas.text(56, top + 42, "the host", 12, anchor="middle")
    canvas.level(el2_x, top, 82, height - 10, LEVELS["el2"])
    canvas.text(el2_x + 41, top + 24, "EL2", 15, bold=True, anchor="middle", ink=LEVELS["el2"].ink)
    canvas.text(el2_x + 41, top + 42, "believes", 12, anchor="middle")
    canvas.text(entry_x, 20, "entry of EL1's page table", 12, bold=True)
    canvas.text(word_x, 20, "the word", 12, bold=True)
    for n, (name, what, now, then, place, _) in enumerate(rows):
        y = top + 58 * n
        canvas.box(entry_x, y, 178, 44, SOFT, dash="" if then == "yes" else "3 3")
        canvas.text(entry_x + 8, y + 18, place, 12, mono=True)
        says = "says: EL1 may write" if now == "yes" else "says: read-only at EL1"
        canvas.text(entry_x + 8, y + 36, says, 12)
        canvas.line((entry_x + 178, y + 22), (word_x, y + 22), ink=DIM, dash="2 3")
        canvas.box(word_x, y, 220, 44, SOFT)
        canvas.text(word_x + 8, y + 18, name, 12, mono=True, bold=True)
        canvas.text(word_x + 8, y + 36, what, 12, ink=DIM)
        canvas.arrow((word_x + 220, y + 22), (el2_x, y + 22))
        if then == "yes":
            canvas.arrow((100, y + 22), (entry_x, y + 22), ink=LEVELS["el1"].ink, weight=2)
    for number, line in enumerate(
        (
            "Blue arrow: EL1 may write there, as its own page tables are now.",
            "Whoever writes the entry may write the word next.",
        )
    ):
        canvas.text(12, top + height + 12 + 16 * number, line, 12, ink=DIM)
    heads = (
        "word", "what", "EL1 may write it", "EL1 may, after changing the entry", "entry",
        "EL2 may write it",
    )  # fmt: skip
    return Picture(canvas, top + height + 38, heads, rows)


def _yes(right: bool) -> str:
    return "yes" if right else "no"


def _read_by(machine: Machine, name: str) -> bool:
    """Whether the variant's dispatcher uses this word."""
    code = re.sub("//.*", "", machine.image.dispatcher.source)
    return name == "dispatch" or name in code
