"""What the boxes above a machine's stepper say: a call's arguments, and the numbers of a variant."""

from __future__ import annotations

import re

from hypkit import facts
from hypkit.errors import WrongValue
from hypkit.header import DEFINES
from hypkit.header.compiler import NUMBERS
from hypkit.kernel.variants import VARIANTS
from hypkit.linux import LinuxMachine


def own_header(key: str) -> str:
    """Return the header in C that gives a variant its numbers; "" for one without numbers."""
    variant = VARIANTS[key]
    if variant.base is None:
        return ""
    text = re.sub(
        r"(?<=_IDX_)(\w+) \d+",
        lambda found: f"{found[1]} {variant.slots.index(found[1])}",
        DEFINES[NUMBERS],
    )
    for name, value in (("SIZE", str(len(variant.slots))), ("BASE", f"{variant.limits[0]:#x}")):
        text = re.sub(rf"(?m)(?<=^#define KVM_HOST_HCALL_{name}) \w+$", f" {value}", text)
    return text


def usual_args(hypercall: str, real: LinuxMachine | None = None) -> str:
    """Return arguments that make sense, by what the hypercall declares.

    A real kernel's pointers lead to structures that its snapshot does not have.
    """
    if real is not None:
        return hex(next(iter(real.calls.values()))) if hypercall == "hvc" else "0x0"
    if hypercall == "hvc":
        return "0x102, 0x1234"
    try:
        args = facts.function(hypercall).args
    except KeyError:
        return ""
    return ", ".join(str(arg.example) if arg.pointer else "0x1234" for arg in args)


def parse_args(text: str) -> tuple[int | str, ...]:
    """Return the arguments that a text means: '0x1234, vcpu0' -> (0x1234, 'vcpu0').

    Raises ValueError, which names the part that is neither.
    """
    values: list[int | str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if re.fullmatch(r"-?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|[0-9][0-9_]*)", part):
            values.append(int(part, 0 if not part.lstrip("-").isdigit() else 10))
        elif part.isidentifier():
            values.append(part)
        else:
            raise WrongValue(
                f"argument {part!r} is neither a number, such as 0x1234, nor the name "
                "of a structure, such as vcpu0"
            )
    return tuple(values)
