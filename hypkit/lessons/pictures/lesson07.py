"""The picture of 07-review-adr-l: an address in the literal pool, and one that is a distance."""

from __future__ import annotations

from hypkit.emu import Machine
from hypkit.errors import WrongValue
from hypkit.pictures.hypercall_table import needs_machine
from hypkit.pictures.palette import BAD, DIM, LEVELS, SOFT
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas

TABLE = "kvm_hcall_table"


def show_pool(machine: Machine) -> Picture:
    """Draw how a dispatcher gets its table's address from the literal pool, and how adr does.

    Args:
        machine: a booted Machine whose dispatcher has the table's address in its literal pool, such
            as Machine("numbered").

    Returns:
        A Picture; its alternative text has the addresses.

    Raises:
        TypeError: for what is no Machine.
        ValueError: for a machine without such a word.
    """
    needs_machine(machine, "show_pool")
    program, layout = machine.image.dispatcher, machine.layout
    image = machine.address(TABLE) if TABLE in machine.image.symbols else 0
    base = program.base + layout.kaslr_offset
    found = [
        offset
        for offset in program.relocs
        if machine.read(layout.hyp_va(layout.pa(base + offset) or 0), 8)
        == image.to_bytes(8, "little")
    ]
    if not found:
        raise WrongValue(
            f"expected a machine whose dispatcher loads the table's address from its literal "
            f'pool, such as Machine("numbered"); got {machine!r}'
        )
    pool = base + found[0]
    word, hyp = pool, machine.address(TABLE, "hyp")
    pool_hyp = layout.hyp_va(layout.pa(word) or 0)
    distance = hyp - pool_hyp
    alt = (
        f"Above: the dispatcher's code, then its literal pool, then the table. ldr x10 reads the "
        f"word of the pool at {pool_hyp:#x}, at a distance that the assembler knows. The word "
        f"holds {image:#x}, the table's image address, which the linker wrote and KASLR moved by "
        f"{layout.kaslr_offset:#x}. At EL2 nothing is mapped there; the table is at {hyp:#x}. "
        f"Below: adr_l adds the distance to its own address, a hyp address, and gets a hyp "
        f"address. From the word to the table it is {distance:#x} bytes in every space."
    )
    canvas = Canvas(WIDTH, "A word in the pool, or a distance", alt)
    left, code_w, pool_x, table_x = 12.0, 208.0, 262.0, 520.0

    def row(y: float, first: str, second: str) -> None:
        canvas.box(left, y, code_w, 58, LEVELS["el2"].fill)
        canvas.text(left + 10, y + 22, first, 12, mono=True)
        canvas.text(left + 10, y + 44, second, 12, mono=True)
        canvas.box(table_x, y, 188, 58, SOFT)
        canvas.text(table_x + 10, y + 22, TABLE, 12, mono=True, bold=True)
        canvas.text(table_x + 10, y + 44, f"{hyp:#x}", 12, mono=True)

    canvas.text(left, 20, "ldr x10, =kvm_hcall_table", 13, mono=True, bold=True)
    row(32, "ldr x10, [PC + ...]", "six more, to convert")
    canvas.level(pool_x, 32, 200, 58, LEVELS["el1"])
    canvas.text(pool_x + 10, 54, "literal pool", 12, bold=True)
    canvas.text(pool_x + 10, 76, f"{image:#x}", 12, mono=True)
    canvas.arrow((left + code_w, 52), (pool_x, 52))
    canvas.line((pool_x + 200, 61), (table_x, 61), ink=BAD, dash="4 3")
    canvas.text((pool_x + 200 + table_x) / 2, 66, "✕", 14, bold=True, anchor="middle", ink=BAD)
    canvas.text(pool_x, 108, "an image address: EL2 has nothing there", 12, ink=DIM)
    canvas.text(pool_x, 124, f"KASLR moved it by {layout.kaslr_offset:#x}", 12, ink=DIM)
    canvas.text(left, 108, "a load in each call", 12, ink=DIM)
    canvas.text(left, 162, "adr_l x10, kvm_hcall_table", 13, mono=True, bold=True)
    row(174, "adrp x10, kvm_hcall_table", "add  x10, x10, #:lo12:...")
    canvas.arrow((left + code_w, 203), (table_x, 203), weight=2)
    canvas.text((left + code_w + table_x) / 2, 194, "PC + distance", 12, mono=True, anchor="middle")
    canvas.text(
        (left + code_w + table_x) / 2, 222, "the PC is a hyp address, so the sum is one", 12,
        anchor="middle", ink=DIM,
    )  # fmt: skip
    canvas.text(left, 250, "no load, and no word for KASLR to move", 12, ink=DIM)
    return Picture(canvas, 262)
