"""Answers to the exercises of 12-the-real-thing, and what they are judged by."""

import pytest

from hypkit.kernel.variants import SMCCC_BASE
from hypkit.lessons.exercises.lesson12 import BOUNDED, bounds_of, table_of
from hypkit.linux.recorded import recorded

FIRST = {
    kernel: min(
        x0
        for name, x0 in recorded()[kernel].ids.items()
        if name not in recorded()[kernel].refused_protected
    )
    for kernel in BOUNDED
}


def serves(x0, table, hcall_min, hcall_max):
    slot = x0 - SMCCC_BASE
    if slot < 0 or not hcall_min <= slot <= min(hcall_max, len(table) - 1):
        return None
    return table[slot]


def python_serves(x0, table, hcall_min, hcall_max):  # a negative slot is taken from the end
    slot = x0 - SMCCC_BASE
    return table[slot] if -len(table) <= slot < len(table) and slot <= hcall_max else None


def masked(x0, table, hcall_min, hcall_max):
    return serves(x0 & 0xFFFF_FFFF, table, hcall_min, hcall_max)


def bare(run):
    return run.hyp.instructions - sum(
        run.parts[name].instructions for name in ("save", "restore") if name in run.parts
    )


def all_three(run):  # a stub call comes to no dispatcher
    return sum(run.parts[name].instructions for name in ("entry", "dispatch", "return"))


RIGHT_ANSWERS = [
    ("12.1", FIRST),
    ("12.1", {"7.2": 0xC6000007, "6.12": 0xC6000008, "6.1": 0xC6000008}),
    ("12.2", serves),
    ("12.3", bare),
]
MISTAKES = [
    (
        "12.1",
        dict(FIRST, **{"6.1": 0xC6000007}),
        "which is __vgic_v3_get_gic_config, and is refused",
    ),
    ("12.1", dict(FIRST, **{"6.1": 0xC6000009}), "is served, but so is a lesser one"),
    ("12.1", dict(FIRST, **{"6.12": 8}), "expected what is in x0, the whole function id"),
    ("12.1", dict(FIRST, **{"7.2": 0xC6000100}), "expected a number of its table"),
    ("12.1", {"6.1": 0xC6000008}, 'the key "6.12" is missing'),
    ("12.2", python_serves, "expected None; got '"),
    ("12.2", lambda x0, t, a, b: serves(x0, t, 0, b), "expected None; got '__kvm_get_mdcr_el2'"),
    ("12.2", lambda x0, t, a, b: serves(x0, t, a, len(t)), "expected None; got '__pkvm_host_share"),
    ("12.2", masked, "For x0 = 0x1c6000001"),
    ("12.2", lambda x0, t, a, b: serves(x0, t, a, b) or "refused", "expected None; got 'refused'"),
    ("12.2", lambda x0, t, a, b: serves(x0, t, a, b) is not None, "expected None; got False"),
    ("12.3", lambda run: run.hyp.instructions, "expected 41; got 82"),
    ("12.3", lambda run: run.el2, "got 86"),
    ("12.3", lambda run: bare(run) - run.hints, "expected 41; got 39"),
    ("12.3", lambda run: sum(part.loads for part in run.parts.values()), "got 24"),
    ("12.3", all_three, "below its def: dispatch"),
    ("12.3", lambda run: run.hyp, "a whole number; got Counts(instructions=82"),
]
NONSENSE = [{}, {"6.1": "x", "6.12": None, "7.2": 3.5}, ["6.1"]]


@pytest.mark.parametrize("kernel", BOUNDED)
def test_what_is_refused_is_a_front_and_a_back_of_the_table_and_nothing_in_between(kernel):
    facts, table = recorded()[kernel], table_of(kernel)
    for protected in (False, True):
        least, most = bounds_of(facts, protected)
        refused = facts.refused_protected if protected else facts.refused
        inside = {name for name in table[least : most + 1] if name}
        assert inside == set(facts.ids) - set(refused)
    assert table[0] is None and len(table) == facts.slots


def test_only_the_newest_kernel_has_an_upper_bound_and_only_the_oldest_no_lower_one():
    facts = recorded()
    assert [kernel for kernel in facts if facts[kernel].upper_bound] == ["7.2"]
    assert [kernel for kernel in facts if not facts[kernel].lower_bound] == ["5.10"]
