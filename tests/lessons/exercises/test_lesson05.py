"""Answers to the exercises of 05-dispatch-cost, and its made-up figures."""

import numpy as np
import pytest

from hypkit import facts
from hypkit.check import OPEN, check


def fair(figures):
    return [
        figure.key
        for figure in figures
        if figure.measures == "trap"
        and figure.unit == "cycles"
        and "32-bit" not in figure.machine
        and not figure.machine.startswith("Intel")
    ]


def one_by_one(figures):
    for figure in figures:
        if figure.key in fair([figure]):
            yield figure.key


def exact_machines(figures):
    known = ("APM X-Gene", "AMD Seattle (Cortex-A57)", "Arm Cortex-A55")
    return [
        key for key in fair(figures) if next(f for f in figures if f.key == key).machine in known
    ]


def every_trap(figures):
    return [figure.key for figure in figures if figure.measures == "trap"]


def every_hypercall(figures):
    return [figure.key for figure in figures if figure.measures == "guest-hvc"]


def without_units(figures):
    return [
        figure.key
        for figure in figures
        if figure.measures == "trap"
        and "32-bit" not in figure.machine
        and "Intel" not in figure.machine
    ]


def the_published_ones(figures):
    return ["neve-entry", "neve-return", "neve-both"]


RIGHT_ANSWERS = [
    ("05.1", {"jump_table": 32, "relocated": 31}),
    ("05.2", "numbered+adr_l+cached+no_base"),
    ("05.2", "numbered + shuffle3 + adr_l + no_base"),
    ("05.3", [7]),
    ("05.1", [32, 31]),
    ("05.2", "numbered+adr_l+adr_l+cached+no_base"),
    ("05.3", {7}),
    ("05.3", range(7, 8)),
    ("05.3", np.array([7])),
    ("05.3", (row for row in (7,))),
    ("05.3", {7: "ldr"}.keys()),
    ("05.4", fair),
    ("05.4", lambda figures: (key for key in fair(figures))),
    ("05.4", lambda figures: np.array(fair(figures))),
    ("05.4", lambda figures: [key for key in fair(figures) if key != "neve-both"]),
    ("05.4", lambda figures: [k for k in fair(figures) if k not in ("neve-both", "neve-return")]),
    ("05.4", one_by_one),
]
MISTAKES = [
    (
        "05.1",
        {"jump_table": 27, "relocated": 26},
        "jump_table: expected host and EL2 together; got 27, which is EL2's part alone",
    ),
    (
        "05.1",
        {"jump_table": 32, "relocated": 5},
        "relocated: expected host and EL2 together; got 5, which is the dispatch alone",
    ),
    ("05.1", {"jump_table": 36, "relocated": 31}, "the whole trace, the handler included"),
    ("05.1", 63, "Expected a dict"),
    ("05.1", {"jump_table": 37, "relocated": 31}, "got 37, which counts the dispatch twice"),
    ("05.1", {"jump_table": 32.0, "relocated": 31}, "divide with // in place of /"),
    ("05.2", ["numbered", "adr_l"], "one string; got a list of 2"),
    ("05.2", "numbered+adr_l", "Expected at most 40 instructions at EL2; 'numbered+adr_l' has 44"),
    ("05.3", {7: 1}, "got a dict"),
    ("05.3", np.array([3, 7]), "Row 3"),
    ("05.3", range(14), "got row 0"),
    ("05.4", exact_machines, "made-up-n1 is missing: 68 cycles on Ampere Altra"),
    ("05.4", lambda figures: [f.key for f in figures], "is 27 cycles on Arm Cortex-A15 (32-bit)"),
    ("05.4", lambda figures: {f.key: f for f in figures}, "got a dict"),
    ("05.4", lambda figures: [key.upper() for key in fair(figures)], "is missing"),
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
    (
        "05.4",
        every_trap,
        "asplos14-trap is 27 cycles on Arm Cortex-A15 (32-bit), and may not "
        "stand beside our dispatch: that is no 64-bit Arm machine",
    ),
    ("05.4", every_hypercall, "it measures 'guest-hvc', not a bare exception"),
    (
        "05.4",
        without_units,
        "made-up-ns is 68 ns on APM X-Gene, and may not stand "
        "beside our dispatch: it is in ns, not in cycles",
    ),
    ("05.4", the_published_ones, "made-up-a55 is missing: 68 cycles on"),
    ("05.4", lambda figures: figures, 'Expected keys, such as "neve-entry"'),
]
NONSENSE = [{"jump_table": "many"}]


@pytest.mark.parametrize("number", ["05.1", "05.2", "05.3", "05.4"])
def test_a_function_without_a_body_is_an_open_answer(number):
    assert check(number, lambda: None).kind == OPEN


def test_the_figures_made_up_for_the_check_are_not_published():
    assert not any(figure.key.startswith("made-up") for figure in facts.published())
