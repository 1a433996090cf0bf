"""Answers to the exercises of 05-dispatch-cost, and that its claims are true."""

import numpy as np
import pytest

from hypkit import facts
from hypkit.check import OPEN, check
from hypkit.lessons.claims import CLAIMS

SUPPORT = dict(zip("ABCDEFGH", ("counted", "modelled", "measured", "derived", "nothing", "counted",
                                "nothing", "nothing"), strict=True))  # fmt: skip


def but(**changes):
    """The right answer to 05.4 with some changes."""
    return SUPPORT | changes


RIGHT_ANSWERS = [
    ("05.1", {"reviewed": 17, "jump_table": 18, "smccc": 64}),
    ("05.2", "numbered+adr_l+cached+no_base"),
    ("05.2", "numbered + shuffle3 + adr_l + no_base"),
    ("05.3", [7]),
    ("05.1", [17, 18, 64]),
    ("05.2", "numbered+adr_l+adr_l+cached+no_base"),
    ("05.3", {7}),
    ("05.3", range(7, 8)),
    ("05.3", np.array([7])),
    ("05.3", (row for row in (7,))),
    ("05.3", {7: "ldr"}.keys()),
    ("05.4", SUPPORT),
    ("05.4", {letter: word.upper() for letter, word in SUPPORT.items()}),
    ("05.4", list(SUPPORT.values())),
]
MISTAKES = [
    (
        "05.1",
        {"reviewed": 20, "jump_table": 21, "smccc": 67},
        "reviewed: expected EL2's instructions for x0 = 0x4000; got 20, which is the whole trace",
    ),
    (
        "05.1",
        {"reviewed": 35, "jump_table": 27, "smccc": 0},
        "got 35, which is what a call takes that succeeds",
    ),
    ("05.1", {"reviewed": 17, "jump_table": 18, "smccc": 17}, "smccc: expected EL2's instructions"),
    ("05.1", 63, "Expected a dict"),
    ("05.1", {"reviewed": 17.0, "jump_table": 18, "smccc": 64}, "divide with // in place of /"),
    ("05.2", ["numbered", "adr_l"], "one string; got a list of 2"),
    ("05.2", "numbered+adr_l", "Expected at most 40 instructions at EL2; 'numbered+adr_l' has 44"),
    ("05.3", {7: 1}, "got a dict"),
    ("05.3", np.array([3, 7]), "Row 3"),
    ("05.3", range(14), "got row 0"),
    ("05.4", but(A="measured"), "A is not measured: a trace has these instructions"),
    ("05.4", but(B="measured"), "B is not measured: no Cortex-A55 was asked"),
    ("05.4", but(C="nothing"), "C can be said: the figure neve-entry"),
    ("05.4", but(D="measured"), "D is not measured: the figure neve-both is the sum"),
    ("05.4", but(E="measured"), "E is not measured: the 6,500 cycles are a guest's hypercall"),
    ("05.4", but(F="modelled"), "F is not modelled: the dispatch in its trace has no load"),
    ("05.4", but(G="measured"), "G is not measured: the time of an emulator"),
    ("05.4", but(H="derived"), "H is not derived: two of the three numbers are another core's"),
    ("05.4", but(A="certain"), "for sentence A; got 'certain'"),
    ("05.4", "counted", "a kind of support for each of"),
    (
        "05.2",
        "numbered+adr_l+cached",
        "Expected at most 40 instructions at EL2; 'numbered+adr_l+cached' has 41",
    ),
    ("05.2", "reviewed", 'Expected "numbered" with suggestions'),
    ("05.2", "numbered+enum+adr_l+cached+no_base+shuffle3", "5 suggestions are more than it takes"),
    ("05.2", "numbered+adr_l+magic", "suggestions from enum, no_base"),
    ("05.3", [3, 7], "Row 3, `ldr x9, [x9, #0x10]`, is ready in cycle 5"),
    ("05.3", [13], "Expected rows with loads; got row 13, `ror"),
    ("05.3", [99], "Expected rows 0 to 13; got 99"),
    ("05.3", [], "Expected every load that the end waits for"),
]
NONSENSE = [{"jump_table": "many"}, dict.fromkeys("ABCDEFGH", 1)]


@pytest.mark.parametrize("number", ["05.1", "05.2", "05.3", "05.4"])
def test_a_function_without_a_body_is_an_open_answer(number):
    assert check(number, lambda: None).kind == OPEN


def test_the_claims_that_can_be_said_are_true():
    from hypkit.comparison.ladder import measure

    assert f"{measure('reviewed').hyp.instructions} instructions" in CLAIMS["A"]
    assert f"{measure('numbered+adr_l').cycles['cortex-a55']} cycles" in CLAIMS["B"]
    figures = {figure.key: figure for figure in facts.published()}
    for letter, key in (("C", "neve-entry"), ("D", "neve-both")):
        low, high = f"{figures[key].number:.0f}", f"{figures[key].high:.0f}"
        assert (
            f"{low} to {high} cycles" in CLAIMS[letter] and figures[key].machine in CLAIMS[letter]
        )
    assert figures["neve-both"].confidence == "derived"
    assert figures["isca16-kvm-arm"].measures == "guest-hvc" and "6,500" in CLAIMS["E"]
    assert measure("jump_table").dispatch.loads == 0
