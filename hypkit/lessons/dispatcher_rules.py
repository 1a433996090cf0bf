"""What a dispatcher must not do in a call, besides failing: found in its trace.

State kept from one call to the next, values of the host's that are no arguments, and instructions
without a price in the model would make it look better than it is. So it has the general registers
and EL2's stack, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hypkit.a64.decode import decode
from hypkit.a64.effects import operation
from hypkit.lessons.dispatcher_score import STACK
from hypkit.trace import Step

# The host's, and no argument: whatever stands there, the next caller may leave something else.
_HOSTS: dict[str | int, str] = {f"x{n}": f"x{n}" for n in range(7, 30)}
_GIVEN_BACK = [f"x{n}" for n in range(19, 30)]


def violation(
    way: Iterable[Step], physical: Callable[[int], int | None], own: set[int]
) -> str | None:
    """Return what a call does at EL2 that a dispatcher must not do, and where; None for nothing.

    way: the steps at EL2, without the handler's. physical: from a virtual to a physical address.
    own: the physical addresses of the dispatcher; what runs before it is the entry's.
    """
    stored: set[int] = set()
    # Register, or place on the stack -> which of the host's registers it holds.
    held = {**_HOSTS}
    last: dict[str, Step] = {}
    arrived = False
    for step in way:
        arrived = arrived or physical(step.pc) in own
        wrong = arrived and (_instruction(step.word) or _taken(step.word, held))
        places = [
            range(0) if at is None else range(at, at + access.size)
            for access in step.memory
            for at in [physical(access.va)]
        ]
        for access, place in zip(step.memory, places, strict=True):
            if access.kind == "store":
                if arrived and not STACK.issuperset(place):
                    wrong = "expected stores to EL2's stack only"
                stored.update(place)
            elif not STACK.isdisjoint(place) and not stored.issuperset(place):
                wrong = (
                    "expected only those places of EL2's stack to be read that this call stored to"
                )
        if wrong:
            return f"{wrong}; step {step.index} is {step.text}"
        _follow(step.word, places, held)
        last.update(dict.fromkeys(operation(step.word).writes, step))
    # Most of these are zero on our host: a zero that the dispatcher wrote would look like them.
    for name in _GIVEN_BACK:
        if held.get(name) != name:
            return (
                f"expected {name} to be given back as it was, whatever it was; the last to "
                f"write it is step {last[name].index}, {last[name].text}"
            )
    return None


def _instruction(word: int) -> str | None:
    """Return what is wrong with an instruction wherever it stands (Arm ARM, C4.1)."""
    if word & 0xFFE0_0000 == 0xD500_0000:
        if word >> 19 & 3 == 1:
            return "expected caches, TLBs and address translation to be left alone"
        if word >> 19 & 3 or word >> 12 & 0xF == 4:
            return "expected no system register to be written"
    if word >> 25 & 7 == 7 or word >> 25 & 5 == 4 and word >> 26 & 1:
        return "expected the vector registers to be left alone: they are the host's"
    found = operation(word)
    if not found.kind and found.writes and word & 0xFFF0_0000 != 0xD530_0000:  # MRS is an MRS
        return "expected an instruction that the model has a price for"
    return None


def _taken(word: int, held: dict[str | int, str]) -> str | None:
    """Return what is wrong with reading a register that holds what the host left there.

    Saving it on the stack or in another register is fine, and so is giving it back.
    """
    memory = decode(word).memory
    if memory and memory.kind == "store":
        reads = [memory.base, memory.index]
    else:
        reads = [] if _is_move(word) else [name for name, _ in operation(word).reads]
    name = next((name for name in reads if name in held), None)
    if name is None:
        return None
    if held[name] == name:
        return f"expected {name} to be written before it is read: what it holds is the host's"
    return f"expected the host's {held[name]}, which {name} holds, to be given back and not used"


def _follow(word: int, places: list[range], held: dict[str | int, str]) -> None:
    """Keep *held* true over one step, which moved its registers from or to these places."""
    memory = decode(word).memory
    moved: dict[str | int, str | None] = dict.fromkeys(operation(word).writes)
    if _is_move(word):
        moved[f"x{word & 31}"] = held.get(f"x{word >> 16 & 31}")
    for name, place in zip(memory.registers if memory else (), places, strict=False):
        if memory and memory.kind == "store":
            moved.update(dict.fromkeys(place, held.get(name)))
        else:
            moved[name] = next((held[at] for at in place if at in held), None)
    for where, whose in moved.items():
        if whose:
            held[where] = whose
        else:
            held.pop(where, None)


def _is_move(word: int) -> bool:
    """Return whether a word is a MOV of all 64 bits from a register to a register."""
    return word & 0xFFE0_FFE0 == 0xAA00_03E0
