"""The exercises of 12-the-real-thing: a bound found from outside, a range test, a bill."""

from __future__ import annotations

from hypkit.kernel.variants import SMCCC_BASE
from hypkit.lessons.answers import answers_for, number, shown, word64
from hypkit.lessons.functions import call_function
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.linux.phases import PARTS
from hypkit.linux.recorded import Recorded, recorded

# --- What the lesson ships ------------------------------------------------------------------------

BOUNDED = ("6.1", "6.12", "7.2")  # the kernels with an order that is a policy
NONE_SPARED = ("host", "handler", "stub", "panic")  # what is not the way of a call


def table_of(kernel: str) -> list[str | None]:
    """Return what stands in each slot of a kernel's table: a hypercall's name, None for nothing."""
    facts = recorded()[kernel]
    names = {x0 - SMCCC_BASE: name for name, x0 in facts.ids.items()}
    return [names.get(slot) for slot in range(facts.slots)]


def bounds_of(facts: Recorded, protected: bool) -> tuple[int, int]:
    """Return (hcall_min, hcall_max) as the refusals show them: the first and the last slot that is
    served."""
    refused = (facts.refused_protected if protected else facts.refused) or ()
    served = [x0 - SMCCC_BASE for name, x0 in facts.ids.items() if name not in refused]
    return (min(served) if protected else 0), max(served)


# --- The judges -----------------------------------------------------------------------------------


def _first_allowed(answer: object) -> str:
    for kernel, value in answers_for(answer, BOUNDED, "the least number that is served"):
        facts = recorded()[kernel]
        least = word64(value, f"for {kernel} the least number that is served")
        right = SMCCC_BASE + bounds_of(facts, True)[0]
        if least == right - SMCCC_BASE:
            raise Wrong(
                f"For {kernel} expected what is in x0, the whole function id; got {shown(least)}, the slot"
            )
        if least != right:
            names = {x0: name for name, x0 in facts.ids.items()}
            what = names.get(least)
            if what is None:
                raise Wrong(
                    f"For {kernel} expected a number of its table; got {shown(least)}, which is not"
                )
            refused = what in (facts.refused_protected or ())
            raise Wrong(
                f"For {kernel} expected the least number that is served; got {least:#x}, which is "
                f"{what}, and " + ("is refused" if refused else "is served, but so is a lesser one")
            )
    return (
        "The refused ones stand at the front without a gap: one comparison with hcall_min is enough"
    )


def _serves(answer: object) -> str:
    tried = 0
    for kernel in BOUNDED:
        facts, table = recorded()[kernel], table_of(kernel)
        for protected in (False, True):
            least, most = bounds_of(facts, protected)
            numbers = [SMCCC_BASE + slot for slot in range(-2, len(table) + 3)]
            numbers += [SMCCC_BASE + 0x500, 0, 1, 0x102, len(table) - 1, (1 << 64) - 1, 1 << 63]
            numbers += [0xC500_0001, 0x1_C600_0001, SMCCC_BASE + (1 << 32) + least]
            for x0 in numbers:
                slot = x0 - SMCCC_BASE
                inside = 0 <= slot < len(table) and least <= slot <= most
                right = table[slot] if inside else None
                got = call_function(answer, x0, list(table), least, most, name="serves")
                tried += 1
                if type(got) not in (str, type(None)) or got != right:
                    raise Wrong(
                        f"For x0 = {x0:#x}, a table of {len(table)} slots, hcall_min = {least} and "
                        f"hcall_max = {most} expected {shown(right)}; got {shown(got)}"
                    )
    return f"Tried with {tried} numbers, on the tables of three kernels, protected and not"


def _bare(answer: object) -> str:
    for kernel, facts in recorded().items():
        for key, run in facts.runs.items():
            counts = {name: part.instructions for name, part in run.parts.items()}
            right = sum(
                count
                for name, count in counts.items()
                if name not in (*NONE_SPARED, "save", "restore")
            )
            got = number(
                call_function(answer, run, name="bare"), f"from bare(run) for {kernel}, {key!r}"
            )
            if got != right:
                raise Wrong(
                    f"For {key!r} on {kernel}, with {', '.join(f'{n} {c}' for n, c in counts.items())}, "
                    f"expected {right}; got {shown(got)}"
                )
    return "What is left is the vector, the dispatcher and the ERET: what numbers and tables cost"


EXERCISES = (
    Exercise(
        "12.1",
        "Where it begins",
        (
            "recorded()[kernel] has .ids, name -> x0, and .refused_protected, the names that a "
            "protected EL2 refuses.",
            "Which numbers belong to names that are not refused? The least of them is the answer.",
            "{kernel: min(x0 for name, x0 in recorded()[kernel].ids.items() if name not in "
            "recorded()[kernel].refused_protected) for kernel in ('6.1', '6.12', '7.2')}",
        ),
        _first_allowed,
    ),
    Exercise(
        "12.2",
        "Three ways to be refused",
        (
            "Take the base off first. Then there are three questions: below the least, above the "
            "most, an empty slot?",
            "A slot must not be negative: in Python table[-1] is the last one. And x0 has 64 bits, "
            "of which none is thrown away.",
            "slot = x0 - 0xc6000000; return table[slot] if hcall_min <= slot <= hcall_max and "
            "0 <= slot < len(table) else None",
        ),
        _serves,
    ),
    Exercise(
        "12.3",
        "Without the registers",
        (
            "run.parts is a dict: part of the call -> counts. A part that a call did not come to is "
            "not in it.",
            f"There are the parts {', '.join(PARTS)}. Which of them are neither registers, nor the "
            "host, nor what was asked for?",
            'sum(run.parts[name].instructions for name in ("entry", "dispatch", "return") if name '
            "in run.parts)",
        ),
        _bare,
    ),
)
