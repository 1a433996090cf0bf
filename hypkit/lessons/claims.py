"""Sentences about costs, for exercise 05.4: some can be said, some cannot."""

from __future__ import annotations

CLAIMS = {
    "A": "EL2 of `reviewed` executes 35 instructions around the handler.",
    "B": "On a Cortex-A55, the dispatch of `numbered+adr_l` takes 38 cycles.",
    "C": "An exception from EL1 into EL2 takes 68 to 76 cycles on an APM X-Gene.",
    "D": "Into EL2 and straight back takes 133 to 141 cycles on an APM X-Gene.",
    "E": "The host's hypercall takes 6,500 cycles on an APM X-Gene.",
    "F": "`jump_table` finds its handler without a load.",
    "G": "`numbered` makes a hypercall slower than `fnptr` does: with this kit's machine, a million "
    "calls took longer.",
    "H": "The host's hypercall with `reviewed` takes 68 + 65 + 24 cycles on a Neoverse N1.",
}
KINDS = ("counted", "modelled", "measured", "derived", "nothing")
