"""The ladder's numbers: against each call's own cost, the review's savings, and wrong use."""

import html
import re

import pytest

from hypkit import VARIANTS, Machine
from hypkit.comparison.ladder import ARGUMENTS, CALL, COLUMNS, CORES, REVIEW, SEED, climb, measure
from hypkit.kernel.variants import OPTIONS, variant
from notebooks.src.rules import _html

HEADINGS = [name for name, _, _ in COLUMNS]


@pytest.fixture(scope="module")
def story():
    return climb()


@pytest.fixture(scope="module")
def review():
    return climb(REVIEW)


def column(rows, heading):
    return [row[1 + HEADINGS.index(heading)] for row in rows]


# --- What is counted ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", VARIANTS)
def test_a_rung_holds_the_counts_of_the_call_it_was_measured_on(story, key):
    rung = story.rungs[list(VARIANTS).index(key)]
    with Machine(key, seed=SEED) as machine:
        call = machine.call(CALL, *ARGUMENTS)
    cost = call.cost
    assert rung.variant is variant(key)
    assert (rung.host, rung.hyp, rung.footprint) == (cost.phases["host"], cost.hyp, cost.footprint)
    if key == "vhe":
        assert "dispatch" not in cost.phases and rung.dispatch.instructions == 0
        assert rung.cycles == dict.fromkeys(CORES)
    else:
        assert rung.dispatch == cost.phases["dispatch"]
        assert rung.cycles == {core: call.timing(core).cycles for core in CORES}


def test_each_column_reads_what_its_heading_says(story):
    for rung, (key, *cells) in zip(story.rungs, story.rows(), strict=True):
        footprint = rung.footprint
        assert key == rung.variant.key
        assert dict(zip(HEADINGS, cells, strict=True)) == {
            "host": rung.host.instructions,
            "host loads": rung.host.loads,
            "dispatch": rung.dispatch.instructions,
            "dispatch loads": rung.dispatch.loads,
            "hyp": rung.hyp.instructions,
            "hyp loads": rung.hyp.loads,
            "code": footprint.code,
            "data": footprint.pool + footprint.table + footprint.data,
            "lines": footprint.lines,
            "pages": footprint.pages,
            **rung.cycles,
        }


def test_the_story_is_all_variants_in_their_order(story):
    assert [row[0] for row in story.rows()] == list(VARIANTS)


def test_the_patch_and_its_forerunner_cost_what_was_counted_in_the_source(story):
    rows = {row[0]: row for row in story.rows()}
    posted, before = (
        [
            column([rows[key]], heading)[0]
            for heading in ("host", "host loads", "dispatch", "dispatch loads", "hyp")
        ]
        for key in ("numbered", "fnptr")
    )
    assert posted == [5, 0, 25, 4, 49]
    assert before == [12, 2, 5, 0, 26]  # the host looks up and converts the address


# --- What the review saves ------------------------------------------------------------------------


def test_the_review_adds_one_suggestion_a_step_until_it_has_them_all():
    steps = [variant(key).options for key in REVIEW]
    assert steps[0] == frozenset() and steps[-1] == OPTIONS.keys()
    for before, after in zip(steps, steps[1:], strict=False):
        assert before < after and len(after - before) == 1


@pytest.mark.parametrize(
    ("step", "instructions", "loads", "dispatch", "code", "data", "cycles"),
    [
        # The same code: only what is easy to get wrong has gone.
        ("numbered+enum", 0, 0, 0, 0, 0, (0, 0, 0, 0)),
        # A literal and its conversion against one addition.
        ("numbered+enum+adr_l", 5, 1, 5, 20, 8, (14, 13, 13, 10)),
        # A page address, a load and an addition. Only an in-order core feels it.
        ("numbered+enum+adr_l+cached", 3, 1, 3, 12, 8, (6, 1, 1, 0)),
        # A comparison, a branch and a subtraction.
        ("numbered+enum+no_base+adr_l+cached", 3, 0, 3, 12, 0, (4, 1, 1, 1)),
        # Three moves, none of them in the dispatch.
        ("reviewed", 3, 0, 0, 12, 0, (0, 0, 0, 0)),
    ],
)
def test_each_suggestion_saves_what_it_says(
    review, step, instructions, loads, dispatch, code, data, cycles
):
    saved = {row[0]: row for row in review.savings()}[step]
    by_name = dict(zip(HEADINGS, saved[1:], strict=True))
    assert (by_name["hyp"], by_name["hyp loads"]) == (instructions, loads)
    assert (by_name["dispatch"], by_name["dispatch loads"]) == (dispatch, loads)
    assert (by_name["code"], by_name["data"]) == (code, data)
    assert tuple(by_name[core] for core in CORES) == cycles
    assert by_name["host"] == by_name["host loads"] == 0


def test_the_savings_add_up_to_the_difference_of_first_and_last(review):
    first, *_, last = review.rows()
    steps = [row[1:] for row in review.savings()]
    assert [row[0] for row in review.savings()] == list(REVIEW[1:])
    assert [sum(column) for column in zip(*steps, strict=True)] == [
        a - b for a, b in zip(first[1:], last[1:], strict=True)
    ]


def test_against_a_host_that_dispatches_nothing_no_cycles_are_saved(story):
    (saved,) = climb(["relocated", "vhe"]).savings()
    assert saved[0] == "vhe"
    assert column([saved], "host") == [-1]  # it is the host that synchronises then
    assert [column([saved], core) for core in CORES] == [[None]] * len(CORES)


# --- How it is shown ------------------------------------------------------------------------------


def test_a_rung_is_one_line():
    assert repr(measure("numbered")) == (
        "Rung(numbered: host 5, hyp 49, of which dispatch 25 with 4 loads)"
    )


def test_a_ladder_is_a_table_in_text():
    lines = repr(climb(["numbered", "vhe"])).splitlines()
    assert [re.split(r"  +", line) for line in lines] == [
        ["variant", *HEADINGS],
        ["numbered", *"5 0 25 4 49 6 216 48 10 5 52 34 34 24".split()],
        ["vhe", *"6 1 0 0 0 0 24 16 4 3 - - - -".split()],
    ]
    assert len({len(line) for line in lines}) == 1


def test_a_ladder_is_a_table_with_headings_and_a_caption(story):
    page = story._repr_html_()
    assert _html(page) == []
    (caption,) = re.findall(r"<caption[^>]*>(.*?)</caption>", page)
    assert re.sub("<.*?>", "", caption).startswith(f"{CALL}: instructions, loads, bytes")
    heads = re.findall(r'<th scope="col"[^>]*?(?: title="([^"]*)")?>(.*?)</th>', page)
    assert heads == [("", "variant"), *((html.escape(about), name) for name, about, _ in COLUMNS)]
    rows = [
        [html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", page)[1:]
    ]
    assert rows == [["–" if cell is None else str(cell) for cell in row] for row in story.rows()]


def test_the_same_ladder_twice_is_the_same_text():
    keys = ["smccc", "numbered+enum"]
    one, other = climb(keys), climb(iter(keys))
    assert repr(one) == repr(other) and one._repr_html_() == other._repr_html_()


# --- Another call, and wrong use ------------------------------------------------------------------


def test_another_call_with_a_structure_by_name_is_measured():
    rung = measure("numbered", "__kvm_vcpu_run_nvhe", ["vcpu0"])
    assert rung.hyp.instructions == 49  # what the ABI costs does not depend on the function


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ("numbered", TypeError, "keys: expected a list of keys of VARIANTS; got 'numbered'"),
        (7, TypeError, "keys: expected a list of keys of VARIANTS; got 7"),
        ([], ValueError, "keys: expected at least one key of VARIANTS; got none"),
        (iter(()), ValueError, "keys: expected at least one key"),
        (["numbred"], KeyError, "no variant 'numbred'; there are: fnptr, numbered, .*, vhe; and "),
        (["numbered", "numbered+speed"], KeyError, r"no variant 'numbered\+speed'"),
        ([["numbered"]], TypeError, r"expected a variant by its key, .* got \['numbered'\]"),
    ],
)
def test_wrong_keys_are_refused_with_what_is_wanted(keys, error, message):
    with pytest.raises(error, match=message):
        climb(keys)


@pytest.mark.parametrize(
    ("call", "arguments", "error", "message"),
    [
        ("kvm_run", (), KeyError, "no hypercall 'kvm_run'"),
        (
            0x102,
            (),
            TypeError,
            "expected a call by its name, since its number differs by variant; got 258",
        ),
        (CALL, 5, TypeError, "arguments: expected a list, also of one; got 5"),
        (CALL, "vcpu0", TypeError, "arguments: expected a list, also of one; got 'vcpu0'"),
        (
            "__kvm_vcpu_run_nvhe",
            (),
            ValueError,
            "numbered: __kvm_vcpu_run_nvhe panicked, so there is nothing to compare: EL2 panicked at ",
        ),
    ],
)
def test_a_wrong_call_is_refused_with_what_is_wanted(call, arguments, error, message):
    with pytest.raises(error, match=message):
        climb(["numbered"], call, arguments)
