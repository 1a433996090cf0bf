"""The picture of 00-start-here: two levels, two stacks, and the two ways between them."""

from __future__ import annotations

from hypkit.emu import Machine
from hypkit.kernel.memory_map import HEAP
from hypkit.pictures.hypercall_table import needs_machine
from hypkit.pictures.palette import DIM, LEVELS
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas


def show_levels(machine: Machine) -> Picture:
    """Draw who runs at EL1 and at EL2, each with a stack of its own, and the ways up and down.

    Args:
        machine: a booted Machine whose host is at EL1; the addresses are its own.

    Returns:
        A Picture; its alternative text has the stacks and the vector.

    Raises:
        TypeError: for what is no Machine.
    """
    needs_machine(machine, "show_levels")
    _, size, _ = HEAP["hyp_stack"]
    stacks = {"el1": machine.sysreg("SP_EL1"), "el2": machine.address("hyp_stack", "hyp") + size}
    vector = machine.sysreg("VBAR_EL2")
    vhe = machine.image.variant.host_el == 2
    host = "EL2" if vhe else "EL1"
    alt = (
        f"Two boxes, one above the other. Above EL2, the hypervisor, whose stack ends at "
        f"{stacks['el2']:#x}; below EL1, the kernel, whose stack ends at {stacks['el1']:#x}. An "
        f"arrow leads up, HVC, an exception: the core goes on in the vectors that VBAR_EL2 "
        f"names, at {vector:#x}. An arrow leads down, ERET: the core goes on where ELR_EL2 says. "
        f"EL0, programs, and EL3, firmware, are empty here. The host of this machine is at {host}."
    )
    canvas = Canvas(WIDTH, "Two levels, two stacks", alt)
    wide, high, left = 430.0, 84.0, 12.0
    top = {"el2": 40.0, "el1": 206.0}
    canvas.text(left, 18, "EL3, the firmware: nobody here", 12, italic=True, ink=DIM)
    canvas.text(left, 316, "EL0, programs: nobody here", 12, italic=True, ink=DIM)
    words = {
        "el2": (
            "EL2: the hypervisor",
            "the host too (VHE), and KVM's part, our hyp" if vhe else "KVM's part at EL2, our hyp",
        ),
        "el1": ("EL1: the kernel", "kernels of virtual machines" if vhe else "Linux, our host"),
    }
    for name, y in top.items():
        level = LEVELS[name]
        canvas.level(left, y, wide, high, level)
        canvas.text(left + 16, y + 32, words[name][0], 16, bold=True, ink=level.ink)
        canvas.text(left + 16, y + 56, words[name][1], 13)
        x = left + wide + 40
        canvas.level(x, y, 210, high, level)
        canvas.text(x + 14, y + 24, "a stack of its own", 13, bold=True, ink=level.ink)
        canvas.text(x + 14, y + 46, f"SP_{name.upper()}, at its end", 12, mono=True)
        canvas.text(x + 14, y + 66, f"{stacks[name]:#x}", 12, mono=True)
        canvas.line((left + wide, y + high / 2), (x, y + high / 2), ink=level.ink, dash="2 3")
    bottom, upper = top["el1"], top["el2"] + high
    canvas.arrow((70, bottom), (70, upper), weight=2)
    canvas.text(84, upper + 30, "HVC", 14, mono=True, bold=True)
    canvas.text(84, upper + 48, "up, by an exception, to the", 12)
    canvas.text(84, upper + 64, "vectors that VBAR_EL2 names", 12)
    canvas.arrow((290, upper), (290, bottom), weight=2)
    canvas.text(304, upper + 30, "ERET", 14, mono=True, bold=True)
    canvas.text(304, upper + 48, "down, to the address in ELR_EL2", 12)
    canvas.text(304, upper + 64, "with the state in SPSR_EL2", 12)
    return Picture(canvas, 326)
