"""The pictures of 02-four-addresses: the four names of one byte, and an address bit by bit."""

from __future__ import annotations

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.emu import Machine
from hypkit.errors import WrongType, expected
from hypkit.pictures.hypercall_table import needs_machine
from hypkit.pictures.palette import DIM, LEVELS, PAPER, SOFT
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas

# In the order in which a conversion goes; beside each the step that leads to the next.
CHAIN = ("image", "physical", "linear", "hyp")
STEPS = ("− kimage_voffset", "− physvirt_offset", "mask, then tag")
_WHOSE = {1: "on EL1's map", 2: "on EL2's map", None: "on neither map"}


def show_names(machine: Machine, symbol: str) -> Picture:
    """Draw the four addresses of *symbol*, whose map has each, and the arithmetic between them.

    Args:
        machine: a booted Machine.
        symbol: a label of its kernel, such as "__kvm_enable_ssbs".

    Returns:
        A Picture; its alternative text has the four addresses.

    Raises:
        TypeError, KeyError: for what is no Machine, and for a label that it has not.
    """
    needs_machine(machine, "show_names")
    names = {space: machine.address(symbol, space) for space in CHAIN}
    whose = {
        space: next((el for el in (1, 2) if machine.translate(at, el).pa is not None), None)
        for space, at in names.items()
    }
    alt = f"Four boxes in a row, one for each address of {symbol}: " + "; ".join(
        f"{space} {at:#x}, {_WHOSE[whose[space]]}" for space, at in names.items()
    )
    alt += (
        ". Arrows lead from image to physical by subtracting kimage_voffset, on to linear "
        "by subtracting physvirt_offset, on to hyp by mask and tag. The first two together "
        "are lm_alias, the third is kern_hyp_va."
    )
    canvas = Canvas(WIDTH, f"The four names of {symbol}", alt)
    wide, gap, top = 146, 40, 66
    for n, (space, at) in enumerate(names.items()):
        x, el = 8 + n * (wide + gap), whose[space]
        if el is None:
            canvas.box(x, top, wide, 62, PAPER, stroke=DIM, dash="3 3")
        else:
            canvas.level(x, top, wide, 62, LEVELS[f"el{el}"])
        canvas.text(x + wide / 2, top + 24, space, 14, bold=True, anchor="middle")
        canvas.text(x + wide / 2, top + 46, f"{at:#x}", 12, mono=True, anchor="middle")
        ink = DIM if el is None else LEVELS[f"el{el}"].ink
        canvas.text(x + wide / 2, top + 80, _WHOSE[el], 12, anchor="middle", ink=ink)
        if n < len(STEPS):
            canvas.arrow((x + wide, top + 31), (x + wide + gap, top + 31))
            canvas.text(x + wide + gap / 2, top - 8, STEPS[n], 12, mono=True, anchor="middle")
    for first, last, name in ((0, 2, "lm_alias"), (2, 3, "kern_hyp_va")):
        start = 8 + first * (wide + gap) + wide / 2 + 3
        stop = 8 + last * (wide + gap) + wide / 2 - 3
        canvas.bracket(start, stop, 30)
        canvas.text((start + stop) / 2, 22, name, 12, mono=True, bold=True, anchor="middle")
    return Picture(canvas, top + 94)


def show_indices(machine: Machine, address: int | str) -> Picture:
    """Draw the 64 bits of an address: what selects the table, its four indices, the offset.

    Args:
        machine: a booted Machine, for the names of addresses.
        address: a virtual address, or a label, whose image address is then taken.

    Returns:
        A Picture; its alternative text has every field.

    Raises:
        TypeError, KeyError: for what is no Machine or address, and for a label that it has not.
    """
    needs_machine(machine, "show_indices")
    if isinstance(address, str):
        said, at = f"the image address of {address}", machine.address(address)
    elif isinstance(address, int) and not isinstance(address, bool) and 0 <= address < 1 << 64:
        name = machine.image.symbolize(address)
        said, at = (f"an address of {name}" if name else "a virtual address"), address
    else:
        raise WrongType(expected("a label or an address of 64 bits", address))
    fields = [("selects the tables", 63, 48)]
    fields += [(f"level {n} index", 47 - 9 * n, 39 - 9 * n) for n in range(4)]
    fields += [("offset in the page", PAGE_SIZE.bit_length() - 2, 0)]
    values = [at >> low & ((1 << high - low + 1) - 1) for _, high, low in fields]
    alt = f"The 64 bits of {at:#x}, {said}: " + "; ".join(
        f"bits {high} to {low}, {what}, {value:#x}"
        for (what, high, low), value in zip(fields, values, strict=True)
    )
    canvas = Canvas(WIDTH, f"{at:#x} bit by bit", f"{alt}.")
    canvas.text(12, 24, f"{at:#x}", 15, mono=True, bold=True)
    canvas.text(12 + 15 * 0.61 * len(f"{at:#x}") + 14, 24, said, 13, ink=DIM)
    bit, x = 10.7, 14.0
    for number, ((what, high, low), value) in enumerate(zip(fields, values, strict=True)):
        wide = bit * (high - low + 1)
        fill = PAPER if number == 0 else SOFT if number == 5 else LEVELS["el1"].fill
        canvas.box(x, 60, wide, 26, fill)
        digits = f"{value:0{high - low + 1}b}"
        for n, digit in enumerate(digits):
            canvas.text(x + bit * (n + 0.5), 78, digit, 12, mono=True, anchor="middle")
        canvas.text(x + 3, 54, f"{high}", 10, mono=True, ink=DIM)
        canvas.text(x + wide - 3, 54, f"{low}", 10, mono=True, anchor="end", ink=DIM)
        shown = f"{value:#x}" if number in (0, 5) else f"{value}"
        canvas.text(x + wide / 2, 104, shown, 12, mono=True, bold=True, anchor="middle")
        canvas.text(x + wide / 2, 122, what, 12, anchor="middle")
        x += wide
    canvas.text(
        14, 146, "A table has 512 entries of 8 bytes, so 9 bits select one; a page has 4 KiB.", 12,
        ink=DIM,
    )  # fmt: skip
    return Picture(canvas, 156)


def show_mask_and_tag(machine: Machine, symbol: str) -> Picture:
    """Draw kern_hyp_va as bit fields: the bits that the mask keeps, and the tag put above them.

    Args:
        machine: a booted Machine; its seed chose the tag.
        symbol: a label of its kernel.

    Returns:
        A Picture; its alternative text has mask, tag and both addresses.

    Raises:
        TypeError, KeyError: for what is no Machine, and for a label that it has not.
    """
    needs_machine(machine, "show_mask_and_tag")
    layout, low = machine.layout, machine.layout.tag_lsb
    linear, hyp = (machine.address(symbol, space) for space in ("linear", "hyp"))
    mask = (1 << low) - 1
    tag = layout.tag_val << low
    alt = (
        f"kern_hyp_va of {symbol} in three rows of bits. Linear address {linear:#x}. The mask "
        f"{mask:#x} keeps bits {low - 1} to 0, {linear & mask:#x}. The tag {tag:#x} goes into bits "
        f"47 to {low}. Together they are the hyp address {hyp:#x}."
    )
    canvas = Canvas(WIDTH, f"kern_hyp_va of {symbol}: mask and tag", alt)
    left, whole = 190, WIDTH - 190 - 12
    per_bit = whole / 64

    def field(y: float, high: int, end: int, words: str, level: str | None) -> None:
        x, wide = left + per_bit * (63 - high), per_bit * (high - end + 1)
        if level:
            canvas.level(x, y, wide, 28, LEVELS[level])
        else:
            canvas.box(x, y, wide, 28, PAPER, stroke=DIM, dash="3 3")
        canvas.text(x + wide / 2, y + 19, words, 12, mono=True, anchor="middle")

    def head(y: float, title: str, value: int) -> None:
        canvas.text(12, y + 10, title, 13, bold=True)
        canvas.text(12, y + 27, f"{value:#018x}", 12, mono=True)

    for bit in (63, 48, 47, low, low - 1, 0):
        canvas.text(
            left + per_bit * (63 - bit + 0.5), 14, f"{bit}", 11, mono=True, ink=DIM,
            anchor="end" if bit in (48, low) else "middle" if bit in (63, 0) else "start",
        )  # fmt: skip
    head(22, "linear address", linear)
    field(22, 63, low, f"{linear >> low:#x}", "el1")
    field(22, low - 1, 0, f"{linear & mask:#x}", "el1")
    head(70, "and with the mask", mask)
    field(70, 63, low, "0", None)
    field(70, low - 1, 0, f"{linear & mask:#x}", "el1")
    canvas.arrow((left + per_bit * (63 - low / 2), 50), (left + per_bit * (63 - low / 2), 70))
    head(118, "plus the tag", tag)
    field(118, 63, 48, "0", None)
    field(118, 47, low, f"{layout.tag_val:#x}", "el2")
    canvas.text(left + per_bit * (64 - low) + 8, 136, "chosen at boot", 12, ink=DIM)
    head(166, "hyp address", hyp)
    field(166, 63, 48, "0", "el2")
    field(166, 47, low, f"{layout.tag_val:#x}", "el2")
    field(166, low - 1, 0, f"{hyp & mask:#x}", "el2")
    for middle, start in (((47 + low) / 2, 146), (low / 2, 98)):
        x = left + per_bit * (63 - middle)
        canvas.arrow((x, start), (x, 166))
    return Picture(canvas, 206)
