"""The checks of lesson 05: right answers pass, typical wrong ones are told why, nonsense is met."""

import re

import pytest

from hypkit import facts
from hypkit.check import RIGHT, WRONG, check

NONSENSE = (None, "a string", 1 << 200, -1, 3.5, [], [None], {}, {"jump_table": "many"}, object(),
            lambda *a: 1 / 0, lambda: None, float("nan"))


def fair(figures):
    return [figure.key for figure in figures if figure.measures == "trap"
            and figure.unit == "cycles" and "32-bit" not in figure.machine
            and not figure.machine.startswith("Intel")]


def every_trap(figures):
    return [figure.key for figure in figures if figure.measures == "trap"]


def every_hypercall(figures):
    return [figure.key for figure in figures if figure.measures == "guest-hvc"]


def without_units(figures):
    return [figure.key for figure in figures if figure.measures == "trap"
            and "32-bit" not in figure.machine and "Intel" not in figure.machine]


def the_published_ones(figures):
    return ["neve-entry", "neve-return", "neve-both"]


def forever(figures):
    while True:
        pass


@pytest.mark.parametrize(("number", "answer"), [
    ("05.1", {"jump_table": 32, "relocated": 31}),
    ("05.2", "numbered+adr_l+cached+no_base"),
    ("05.2", "numbered + shuffle3 + adr_l + no_base"),
    ("05.3", [7]), ("05.3", {7}),
    ("05.4", fair),
])
def test_a_right_answer_passes(number, answer):
    verdict = check(number, answer)
    assert (verdict.kind, verdict.passed) == (RIGHT, True), verdict


@pytest.mark.parametrize(("number", "answer", "says"), [
    ("05.1", {"jump_table": 27, "relocated": 26}, "jump_table: .* 27, which is EL2's part alone"),
    ("05.1", {"jump_table": 32, "relocated": 5}, "relocated: .* the (host's part|dispatch) alone"),
    ("05.1", {"jump_table": 36, "relocated": 31}, "the whole trace, the handler included"),
    ("05.1", 63, "Expected a dict"),
    ("05.2", "numbered+adr_l+cached", "at most 40 instructions at EL2; .* has 41"),
    ("05.2", "reviewed", 'Expected "numbered" with suggestions'),
    ("05.2", "numbered+enum+adr_l+cached+no_base+shuffle3", "5 suggestions are more than it takes"),
    ("05.2", "numbered+adr_l+magic", "suggestions from enum, no_base"),
    ("05.3", [3, 7], "Row 3, `ldr x9.*`, is ready in cycle 5"),
    ("05.3", [13], "Expected rows with loads; came row 13, `ror"),
    ("05.3", [99], "Expected rows 0 to 13; came 99"),
    ("05.3", [], "Expected every load that the end waits for"),
    ("05.4", every_trap, "asplos14-trap is 27 cycles on Arm Cortex-A15 .* no 64-bit Arm machine"),
    ("05.4", every_hypercall, "it measures 'guest-hvc', not a bare exception"),
    ("05.4", without_units, "made-up-ns is 68-76 ns .* it is in ns, not in cycles"),
    ("05.4", the_published_ones, "made-up-a55 is missing"),
    ("05.4", lambda figures: figures, 'Expected keys, such as "neve-entry"'),
    ("05.4", forever, "did not return"),
])
def test_a_wrong_answer_is_told_what_came(number, answer, says):
    verdict = check(number, answer)
    assert verdict.kind == WRONG
    assert re.search(says, verdict.sentence), verdict


@pytest.mark.parametrize("number", ["05.1", "05.2", "05.3", "05.4"])
@pytest.mark.parametrize("answer", NONSENSE, ids=repr)
def test_nonsense_is_answered_in_a_sentence(number, answer):
    verdict = check(number, answer)
    assert verdict.kind == WRONG or verdict.kind == "not answered yet"
    assert len(verdict.sentence) > 20


def test_the_figures_made_up_for_the_check_are_not_published():
    assert not any(figure.key.startswith("made-up") for figure in facts.published())
