"""Variants side by side: what the tables and the picture say, and that they are loaded late."""

import html
import re
import subprocess
import sys

import pytest

import hypkit
from hypkit import VARIANTS
from hypkit.comparison.ladder import CALL, COLUMNS, CORES, REVIEW, climb
from hypkit.comparison.show import (
    Comparison,
    compare,
    label_lines,
    ladder,
    rung_labels,
    show_ladder,
)
from hypkit.cost import phases
from hypkit.kernel.variants import variant
from hypkit.pictures.picture import Picture
from notebooks.src.rules import _html
from tests.pictures.words import misplaced, rects, texts


@pytest.fixture(scope="module")
def two():
    return compare("numbered", "reviewed")


@pytest.fixture(scope="module")
def story():
    return ladder()


def tables(page):
    """The tables of a page, each as its rows of cells."""
    return [
        [
            [
                html.unescape(re.sub("<.*?>", "", cell))
                for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row)
            ]
            for row in re.findall(r"<tr>(.*?)</tr>", table)
        ]
        for table in re.findall(r"<table[ >](.*?)</table>", page, re.S)
    ]


# --- Two of them ----------------------------------------------------------------------------------


def test_two_variants_are_columns_with_their_difference(two):
    measures, _ = tables(two._repr_html_())
    (_, *one), (_, *other) = two.ladder.rows()
    assert measures[0] == ["measure", "what it counts", "numbered", "reviewed", "difference"]
    assert measures[1:] == [
        [name, about, str(a), str(b), f"{b - a:+d}"]
        for (name, about, _), a, b in zip(COLUMNS, one, other, strict=True)
    ]
    assert ["dispatch", COLUMNS[2][1], "25", "14", "-11"] in measures


def test_where_nothing_is_dispatched_there_is_no_difference_of_cycles():
    measures, code = tables(compare("relocated", "vhe")._repr_html_())
    for core, *cells in measures[-4:]:
        assert core in CORES and cells[1].isdigit() and cells[2:] == ["–", ""]
    assert code[1:] and all(row[2] == "" for row in code[1:])


def test_two_variants_show_their_code_from_the_range_test_to_the_branch(two):
    _, code = tables(two._repr_html_())
    assert code[0] == ["#", "numbered", "reviewed"]
    for n, rung in enumerate(two.ladder.rungs, 1):
        wanted = [
            step.text
            for step, phase in zip(rung.trace, phases(rung.trace), strict=True)
            if phase in ("dispatch", "call")
        ]
        shown = [row[n] for row in code[1:]]
        assert shown == wanted + [""] * (len(shown) - len(wanted))
        assert wanted[0].startswith("cmp x0, #") and wanted[-1] == "blr x30"
    assert [row[0] for row in code[1:]] == [str(n) for n in range(1, 35)]  # 25 and 9


def test_a_comparison_is_its_table_in_text(two, story):
    assert repr(two) == repr(two.ladder) == repr(climb(["numbered", "reviewed"]))
    assert repr(story) == repr(climb())


# --- More of them ---------------------------------------------------------------------------------


def test_the_story_shows_the_table_and_the_picture(story):
    page = story._repr_html_()
    assert page == story.ladder._repr_html_() + story.picture._repr_html_()
    assert [rung.variant.key for rung in story.ladder.rungs] == list(VARIANTS)


def test_every_page_keeps_the_rules_of_the_notebooks(two, story):
    for shown in (two, story, ladder(REVIEW), ladder(["vhe"])):
        assert _html(shown._repr_html_()) == []


# --- The picture ----------------------------------------------------------------------------------


def test_the_picture_says_in_words_what_it_shows(story):
    alt = story.picture.alt
    assert alt.startswith(
        f"Bars of {CALL} by variant: instructions and load instructions of host and hyp (EL2 "
        "outside the handler), and the dispatch's modelled cycles on cortex-a55 and neoverse-n1. "
    )
    told = alt.removesuffix(".").split(". ", 1)[1].split("; ")
    assert len(told) == len(VARIANTS)
    for sentence, rung in zip(told, story.ladder.rungs, strict=True):
        assert sentence.startswith(f"{rung.variant.key}: host ")
        cycles = (
            []
            if rung.variant.key == "vhe"
            else [rung.cycles["cortex-a55"], rung.cycles["neoverse-n1"]]
        )
        assert [int(number) for number in re.findall(r"\b\d+\b", sentence)] == [
            rung.host.instructions,
            rung.host.loads,
            rung.hyp.instructions,
            rung.hyp.loads,
            *cycles,
        ]
    assert told[-1] == "vhe: host 6 with 1 load, hyp 0 with 0 loads, no dispatch"


@pytest.mark.parametrize(
    "keys",
    [["vhe"], ["fnptr", "vhe"], REVIEW, list(VARIANTS)],
    ids=["one", "two", "review", "story"],
)
def test_no_words_of_the_picture_are_cut_off_or_lie_on_others(keys):
    assert list(misplaced(show_ladder(climb(keys)).svg)) == []


def test_the_bars_are_as_long_as_the_counts_and_told_apart_without_colour():
    steps = climb(["fnptr", "numbered", "vhe"])
    svg = show_ladder(steps).svg
    said = [words for words, *_ in texts(svg)]
    host, hyp = rects(svg, "phase-host"), rects(svg, "phase-dispatch")
    for of in ("instructions", "loads"):
        counts = [(getattr(r.host, of), getattr(r.hyp, of)) for r in steps.rungs]
        for pair in counts:
            assert said.count("{} host + {} hyp".format(*pair)) >= 1
        bars = [host.pop(0) if n else None for n, _ in counts]
        after = [hyp.pop(0) if n else None for _, n in counts]
        unit = sum(after[1]) - bars[1][0] if bars[1] else after[1][1]
        unit /= sum(counts[1])
        for (a, b), first, second in zip(counts, bars, after, strict=True):
            assert a == 0 or first[1] / unit == pytest.approx(a, rel=0.02)
            assert b == 0 or second[1] / unit == pytest.approx(b, rel=0.02)
            if a and b:
                assert first[0] + first[1] == pytest.approx(second[0], abs=0.02)
    assert svg.count('fill="url(#h') >= 5  # the hyp's part is hatched
    for n, core in enumerate(("cortex-a55", "neoverse-n1"), 1):
        wanted = [rung.cycles[core] for rung in steps.rungs[:2]]
        one, other = rects(svg, f"variant-{n}")
        assert one[1] / other[1] == pytest.approx(wanted[0] / wanted[1], rel=0.02)
        assert all(f"{cycles}  {core}" in said for cycles in wanted)
    assert said.count("no dispatch") == 1


@pytest.mark.parametrize(
    ("key", "lines"),
    [
        ("numbered", "numbered"),
        ("numbered+enum+adr_l", "numbered+enum+adr_l"),
        ("numbered+enum+no_base+adr_l+cached", "numbered+enum\n+no_base+adr_l\n+cached"),
    ],
)
def test_a_long_name_is_broken_where_a_suggestion_begins(key, lines):
    assert label_lines(key) == lines.split("\n")


def test_a_rung_that_adds_to_the_one_above_it_is_named_after_what_it_adds():
    labels = rung_labels([variant(key) for key in REVIEW])
    assert labels[0] == ["numbered"] and labels[-1] == ["reviewed", "+ shuffle3"]
    assert labels[1:-1] == [["+ enum"], ["+ adr_l"], ["+ cached"], ["+ no_base"]]
    assert rung_labels(list(VARIANTS.values())) == [[key] for key in VARIANTS]
    assert rung_labels([variant("numbered+enum")]) == [["numbered+enum"]]


def test_a_picture_drawn_twice_is_the_same_bytes(two):
    again = show_ladder(two.ladder)
    assert isinstance(again, Picture) and again.svg == two.picture.svg
    assert repr(again) == repr(two.picture) == f"Picture: What {CALL} costs, by variant"


# --- The door, and wrong use ----------------------------------------------------------------------


def test_the_package_hands_out_both(two):
    assert hypkit.compare is compare and hypkit.ladder is ladder
    assert isinstance(two, Comparison) and {"compare", "ladder"} <= set(hypkit.__all__)


def test_names_are_offered_before_they_are_loaded():
    code = (
        "import sys, hypkit; assert {*hypkit.__all__} <= {*dir(hypkit)}; "
        "assert 'hypkit.emu' not in sys.modules; from hypkit import *; Machine, stepper"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nothing_of_the_kits_own_needs_matplotlib():
    code = (
        "import sys, hypkit, hypkit.comparison.ladder; hypkit.ladder; import hypkit.viz; "
        "assert 'matplotlib' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: compare("numbered", "nope"), KeyError, "no variant 'nope'; there are: fnptr, "),
        (lambda: compare("numbered", ["reviewed"]), TypeError, "expected a variant by its key"),
        (lambda: compare("numbered", "reviewed", "nope"), KeyError, "no hypercall 'nope'"),
        (
            lambda: ladder("numbered"),
            TypeError,
            "keys: expected a list of keys of VARIANTS; got 'numbered'",
        ),
        (lambda: ladder([]), ValueError, "keys: expected at least one key"),
        (lambda: show_ladder(3), TypeError, r"expected a Ladder \(ladder\(\).ladder\); got 3"),
        (
            lambda: ladder(["vhe"], CALL, 3),
            TypeError,
            "arguments: expected a list, also of one; got 3",
        ),
    ],
)
def test_wrong_use_is_refused_with_what_is_wanted(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()
