"""What a dispatcher may do on its way, besides arriving: found in a trace, told in a sentence.

Whatever it keeps from one call to the next, takes from the host unasked, or gets done where the
model has no price for it, would make it look better than it is. So it has the general registers
and EL2's stack, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hypkit._operands import operation
from hypkit._score import STACK
from hypkit.trace import Step

# The host's, and no argument: whatever stands there, the next caller may leave something else.
_HOSTS = {f"x{n}" for n in range(7, 30)}


def amiss(way: Iterable[Step], physical: Callable[[int], int | None], own: set[int]) -> str | None:
    """What a call's way at EL2 does that is not a dispatcher's to do, and where; None for nothing.

    way: the steps at EL2 but for the handler's. physical: from a virtual to a physical address.
    own: the physical addresses of the dispatcher; what runs before it is the entry's.
    """
    stored: set[int] = set()
    written: set[str] = set()
    arrived = False
    for step in way:
        arrived = arrived or physical(step.pc) in own
        wrong = arrived and (_instruction(step.word) or _taken(step.word, written))
        for access in step.memory:
            at = physical(access.va)
            moved = range(0) if at is None else range(at, at + access.size)
            if access.kind == "store":
                if arrived and not STACK.issuperset(moved):
                    wrong = "expected nothing to be stored but on EL2's stack"
                stored.update(moved)
            elif not STACK.isdisjoint(moved) and not stored.issuperset(moved):
                wrong = "expected nothing to be read from EL2's stack that this call did not store"
        if wrong:
            return f"{wrong}; step {step.index} is {step.text}"
        written.update(operation(step.word).writes)
    return None


def _instruction(word: int) -> str | None:
    """What is wrong with an instruction wherever it stands (Arm ARM, C4.1)."""
    if word & 0xFFE0_0000 == 0xD500_0000 and (word >> 19 & 3 or word >> 12 & 0xF == 4):
        return "expected no system register to be written"
    if word >> 25 & 7 == 7 or word >> 25 & 5 == 4 and word >> 26 & 1:
        return "expected the vector registers to be left alone: they are the host's"
    found = operation(word)
    if not found.kind and found.writes and word & 0xFFF0_0000 != 0xD530_0000:  # MRS is an MRS
        return "expected an instruction that the model has a price for"
    return None


def _taken(word: int, written: set[str]) -> str | None:
    """What is wrong with reading a register of the host's that has not been written before.

    To save it, and so to read it for a store, is fine.
    """
    found = operation(word)
    taken = [name for name, _ in found.reads if name in _HOSTS - written]
    if not taken or found.kind.startswith("store"):
        return None
    return f"expected {taken[0]} to be written before it is read: what it holds is the host's"
