"""What stands on the workbench of each exercise: the text to start from, the machine, the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypkit.header import ENUM
from hypkit.header.compiler import NUMBERS
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.dispatcher_score import CORES
from hypkit.lessons.exercises.lesson07 import around
from hypkit.lessons.exercises.lesson08 import QUICK_ENOUGH
from hypkit.lessons.exercises.lesson11 import FEW_LOADS, SHORT_ENOUGH, SMALL_ENOUGH
from hypkit.lessons.exercises.lesson13 import INSTRUCTIONS, LOADS
from hypkit.lessons.material import IN_A_ROW, PIECES, POOL, SIGNED, SOFT, START, assembled

ASM, C = "asm", "c"
TEXT = "dispatcher.S"  # what a bench with assembly calls its one file


@dataclass(frozen=True)
class Bench:
    """What stands on a workbench.

    Attributes:
        language: ASM or C.
        files: the texts to start from, by file name.
        key: the variant whose machine the text is built into.
        calls: hypercalls by name, or values of x0, that are measured; empty for a header.
        budget: measure -> the most that the exercise allows.
        dispatch: whether the exercise counts the dispatch alone, as lesson 07 does, and not all of
            EL2 around the handler.
        doing: what there is to do with the text, in a sentence.
    """

    language: str
    files: Mapping[str, str]
    key: str = "numbered"
    calls: tuple[str | int, ...] = HYPERCALLS
    budget: Mapping[str, int] = field(default_factory=dict)
    dispatch: bool = False
    doing: str = ""

    @property
    def where(self) -> str:
        """Return what is counted, in words."""
        if self.dispatch:
            return (
                "instructions and loads in the dispatch alone, bytes and cycles of all around the "
                "handler"
            )
        return (
            "at EL2 around the handler" if self.calls and self.calls[0] in HYPERCALLS else "at EL2"
        )


def _assembly(text: str, **options: object) -> Bench:
    return Bench(ASM, {TEXT: text}, **options)  # type: ignore[arg-type]  # as Bench takes them


def _budget(instructions: int, loads: int) -> dict[str, int]:
    return {"instructions": instructions, "loads": loads}


_PIECES = "The pieces of 11.1 out of order: put your order in first, with Alt+Up and Alt+Down."

BENCHES: dict[str, Bench] = {
    "04.4": _assembly(START, calls=(0x100, 0x101), doing="Status into x0, result into x1."),
    "06.2": Bench(C, ENUM, doing="Give the two waiting functions a number each."),
    "06.3": Bench(
        C, {NUMBERS: ENUM[NUMBERS]}, doing="Let the compiler stop when the number moves."
    ),
    "06.4": Bench(C, ENUM, key="reviewed", doing="Number from 3 on, the early calls first."),
    "07.3": _assembly(POOL, dispatch=True, budget=_budget(20, 3), doing="Take the pool out."),
    "07.4": _assembly(POOL, dispatch=True, budget=_budget(10, 1), doing="A table of distances."),
    "08.2": _assembly(
        IN_A_ROW, budget={CORES[0]: QUICK_ENOUGH}, doing="The same lines in a quicker order."
    ),
    "08.4": _assembly(POOL, doing="Believe none of the words that EL1 can write."),
    "09.4": _assembly(
        SIGNED, key="reviewed", doing="Refuse what is no number, and guard each eret."
    ),
    "11.2": _assembly(
        assembled("".join(PIECES)), budget=_budget(SHORT_ENOUGH, FEW_LOADS), doing=_PIECES
    ),
    "11.3": _assembly(assembled("".join(PIECES)), budget={"bytes": SMALL_ENOUGH}, doing=_PIECES),
    "13.3": _assembly(SOFT, budget=_budget(INSTRUCTIONS, LOADS), doing="Close the three holes."),
}

__all__ = ["ASM", "BENCHES", "C", "TEXT", "Bench", "around"]
