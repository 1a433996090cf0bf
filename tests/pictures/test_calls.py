"""Pictures and tables of calls: their alt text against the counts, their bytes, and wrong use."""

import base64
import re
import threading
import time

import matplotlib
import pytest
from matplotlib.figure import Figure

from hypkit import VARIANTS, Machine
from hypkit.cost import PHASES
from hypkit.pictures.calls import HEAD, TAIL, show_path, show_phases, show_road
from hypkit.pictures.palette import PHASE
from hypkit.pictures.picture import figure
from notebooks.src.rules import _html
from tests.marks import needs_engine
from tests.pictures.words import misplaced, rects, texts

RUNAWAY = """
dispatch:
        divert_stub_calls
dispatch_find:
        mov     x9, x0
1:      add     x9, x9, #1
        b       1b
"""
# Back to the HVC for ever: EL1, EL2, EL1, EL2 ...
BACK_AND_FORTH = """
dispatch:
        divert_stub_calls
dispatch_find:
        mrs     x9, elr_el2
        sub     x9, x9, #4
        msr     elr_el2, x9
        eret
"""


@pytest.fixture(scope="module")
def calls():
    """The same call on both machines, and a VM's run."""
    with Machine("fnptr", seed=2020) as fnptr, Machine("numbered", seed=2020) as numbered:
        question = ("__kvm_timer_set_cntvoff", 0x1234, 5)
        yield (
            fnptr.call(*question),
            numbered.call(*question),
            numbered.call("__kvm_vcpu_run_nvhe", "vcpu0"),
        )


def rows(table):
    """The cells of each step's row."""
    page = re.sub("</?samp>|<wbr>", "", table._repr_html_())
    return [
        re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", page)
    ]


# Pictures.


@pytest.mark.parametrize("show", [show_phases, show_road])
def test_a_picture_is_an_image_with_its_alt_text(calls, show):
    picture = show(list(calls[:2]))
    page = picture._repr_html_()
    assert _html(page) == []
    data = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', page)[1]
    assert base64.b64decode(data).decode() == picture.svg
    assert repr(picture) == f"Picture: {picture.title}"


@pytest.mark.parametrize("show", [show_phases, show_road])
def test_a_picture_drawn_twice_is_the_same_bytes(calls, show):
    assert show(list(calls[:2])).svg == show(list(calls[:2])).svg


def test_pictures_drawn_in_many_threads_are_alike_and_leave_the_readers_settings(calls):
    before = dict(matplotlib.rcParams)
    drawn = []

    def draw():
        for _ in range(5):
            drawn.append((show_phases(calls[0]).svg, show_road(list(calls)).svg))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 20 and len(set(drawn)) == 1
    assert dict(matplotlib.rcParams) == before


def test_a_small_part_keeps_its_colour(calls):
    svg = show_road(calls[2]).svg
    for phase in calls[2].cost.phases:
        assert rects(svg, f"phase-{phase}"), phase


def test_the_road_is_to_scale(calls):
    picture = show_road(calls[0])
    (entry,), (dispatch,) = (rects(picture.svg, f"phase-{p}") for p in ("entry", "dispatch"))
    assert entry[1] / dispatch[1] == pytest.approx(13 / 5, rel=1e-2)
    assert entry[0] + entry[1] == pytest.approx(dispatch[0], abs=0.02)


def test_the_bars_are_as_long_as_the_counts(calls):
    one, other = (rects(show_phases(list(calls[:2])).svg, f"variant-{n}") for n in (1, 2))
    for bars, call in ((one, calls[0]), (other, calls[1])):
        counts = [c.instructions for c in call.cost.phases.values()]
        counts.append(call.cost.hyp.instructions)
        unit = bars[0][1] / counts[0]
        assert [wide / unit for _, wide in bars] == pytest.approx(counts, rel=2e-2)


def test_the_words_on_a_phase_end_before_its_bars_begin(calls):
    svg = show_phases(list(calls)).svg
    bars = min(x for x, _ in rects(svg, "variant-1"))
    ends = {said: x1 for said, _, _, x1, _ in texts(svg)}
    assert max(ends[PHASES[phase]] for phase in calls[0].cost.phases) < bars


@pytest.mark.parametrize("key", VARIANTS)
def test_no_words_are_cut_off_or_lie_on_others(key):
    with Machine(key, seed=5) as machine:
        several = [machine.call("__kvm_get_mdcr_el2"), machine.call("__kvm_vcpu_run_nvhe", "vcpu0")]
    for shown in (*several, several):
        assert list(misplaced(show_road(shown).svg)) == []
        assert list(misplaced(show_phases(shown).svg)) == []


@pytest.mark.parametrize("alt", ["", "  ", "a picture", None, 3])
def test_a_figure_without_words_is_refused(alt):
    with pytest.raises(ValueError, match="expected alt text: a sentence that says what the"):
        figure(Figure(), alt)


def test_a_figure_of_the_readers_own_is_shown_with_its_escaped_alt_text():
    picture = figure(Figure(figsize=(1, 1)), 'a < b, "quoted" & so on')
    assert 'alt="a &lt; b, &quot;quoted&quot; &amp; so on"' in picture._repr_html_()
    assert picture.png.startswith(b"\x89PNG") and picture.width == 96
    assert figure(Figure(figsize=(1, 1)), "the same bytes again").png == picture.png
    with pytest.raises(TypeError, match="expected a matplotlib Figure; got 'x'"):
        figure("x", "a sentence that says much")


def test_the_alt_text_of_the_bars_has_every_count(calls):
    alt = show_phases(list(calls[:2])).alt
    for call in calls[:2]:
        counted = ", ".join(
            f"{phase} {counts.instructions}" for phase, counts in call.cost.phases.items()
        )
        assert (
            f"{call.trace.image.key}: {counted}; at EL2 outside the handler "
            f"{call.cost.hyp.instructions}."
        ) in alt


def test_the_road_accounts_for_every_step_on_its_level(calls):
    for call in calls:
        alt = show_road(call).alt
        stretches = re.findall(r"(\d+) (\w+) \((hyp|host|VM), (EL\d)\)", alt)
        assert sum(int(count) for count, *_ in stretches) == len(call.trace)
        at_el2 = sum(int(count) for count, _, _, level in stretches if level == "EL2")
        assert at_el2 == sum(step.el == 2 for step in call.trace)
    assert [s[2] for s in stretches if s[2] != "hyp"] == ["host", "VM", "host"]


def test_with_vhe_the_host_has_a_lane_at_el2():
    with Machine("vhe", seed=1) as machine:
        call = machine.call("__kvm_get_mdcr_el2")
    alt = show_road(call).alt
    assert "(host, EL2)" in alt and "(hyp, EL2)" in alt and "EL1" not in alt


@needs_engine
def test_a_road_that_never_ends_shows_its_beginning_its_end_and_a_count():
    with Machine("numbered", seed=1, dispatcher=BACK_AND_FORTH, budget=100_000) as machine:
        call = machine.hvc(0x100)
    assert call.outcome == "runaway" and len(call.trace) > 90_000
    start = time.monotonic()
    picture = show_road(call)
    assert time.monotonic() - start < 5
    assert len(picture.svg) < 60_000 and list(misplaced(picture.svg)) == []
    told = re.findall(r"([\d,]+) \w+ \((?:hyp|host), EL\d\)", picture.alt)
    shown = sum(int(count.replace(",", "")) for count in told)
    stretches, steps = re.search(
        r"then ([\d,]+) more stretches, ([\d,]+) steps", picture.alt
    ).groups()
    assert len(told) == 22 and int(stretches.replace(",", "")) > 1000
    assert shown + int(steps.replace(",", "")) == len(call.trace)


@needs_engine
def test_a_very_long_stretch_is_torn_and_its_length_told():
    with Machine("numbered", seed=1, dispatcher=RUNAWAY, budget=50_000) as machine:
        call = machine.hvc(0x100)
    picture = show_road(call)
    dispatch = call.cost.phases["dispatch"].instructions
    assert dispatch > 40_000 and f">dispatch {dispatch:,}<" in picture.svg and "⋯" in picture.svg
    assert list(misplaced(picture.svg)) == []
    entry = rects(picture.svg, "phase-entry")
    assert entry[0][1] > 20  # the short ones are still seen


def test_calls_on_one_machine_are_told_apart_by_name(calls):
    alt = show_phases([calls[1], calls[2]]).alt
    assert "numbered: __kvm_timer_set_cntvoff: " in alt
    assert "numbered: __kvm_vcpu_run_nvhe: " in alt


def test_every_phase_has_a_look():
    assert list(PHASE) == list(PHASES)


WRONG = [
    (lambda call: [], ValueError, "expected at least one call"),
    (lambda call: "x", TypeError, r"expected a call \(m.call\(...\)\) or a list of calls; got 'x'"),
    (lambda call: 3, TypeError, "got 3"),
    (lambda call: 0.5, TypeError, "got 0.5"),
    (lambda call: float("nan"), TypeError, "got nan"),
    (lambda call: None, TypeError, "got None"),
    (lambda call: 10**5000, TypeError, "expected a call"),
    (lambda call: {}, TypeError, "got {}"),
    (lambda call: {call: 1}, TypeError, "expected a call"),
    (lambda call: ["x"], TypeError, r"expected a call \(m.call\(...\)\); got 'x'"),
    (lambda call: [call, None], TypeError, "got None"),
    (lambda call: [[call]], TypeError, r"got \[Call"),
    (lambda call: call.trace, TypeError, r"got Trace\(58 steps"),
    (lambda call: call.cost, TypeError, "expected a call"),
    (lambda call: Machine, TypeError, "expected a call"),
    (lambda call: iter([call]), TypeError, "expected a call"),
]


@pytest.mark.parametrize("show", [show_phases, show_road, show_path])
@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_what_is_not_a_call_is_named(calls, show, wrong, error, message):
    with pytest.raises(error, match=message):
        show(wrong(calls[1]))


def test_a_machine_is_no_call():
    with Machine("numbered", seed=1) as machine:
        for show in (show_phases, show_road, show_path):
            with pytest.raises(
                TypeError, match=r"expected a call \(m.call\(...\)\).*; got Machine"
            ):
                show(machine)


def test_a_path_is_of_one_call(calls):
    with pytest.raises(ValueError, match=r"expected one call \(m.call\(...\)\); got 2 of them"):
        show_path(list(calls[:2]))


# Tables.


def test_the_path_has_a_row_for_every_step_in_order(calls):
    for call in calls:
        table = show_path(call)
        cells = rows(table)
        assert [int(row[0]) for row in cells] == list(range(len(call.trace)))
        assert [row[1] for row in cells] == [f"EL{step.el}" for step in call.trace]
        assert table.shown == len(call.trace)


def test_the_path_heads_each_phase_with_its_count(calls):
    page = re.sub("</?samp>", "", show_path(calls[1])._repr_html_())
    for phase, counts in calls[1].cost.phases.items():
        if phase != "host":
            assert (
                f"{phase}: {PHASES[phase]} ({counts.instructions} instruction".replace(
                    "'", "&#x27;"
                )
                in page
            )
    assert page.count('scope="rowgroup"') == 7  # the host comes twice
    assert page.count('scope="col"') == 6 and "<caption" in page


def test_phases_left_out_are_counted_in_a_line(calls):
    table = show_path(calls[1], only="dispatch")
    assert "(not shown: host 4, entry 13)" in table._repr_html_()
    assert "(not shown: call 9, handler 4, return 2, host 1)" in table._repr_html_()
    assert [int(row[0]) for row in rows(table)] == calls[1].cost.steps["dispatch"]
    assert repr(table) == (
        "PathTable: numbered: __kvm_timer_set_cntvoff(0x1234, 0x5), 25 steps shown"
    )


def test_a_stretch_of_steps_keeps_its_numbers_and_phases(calls):
    table = show_path(calls[2], steps=(135, 150))
    assert [int(row[0]) for row in rows(table)] == list(range(135, 150))
    assert "handler: the function itself (15 instructions)" in table._repr_html_()


def test_a_label_is_written_once_and_then_only_how_far_from_it(calls):
    where = [re.sub("<.*?>", "", row[2]) for row in rows(show_path(calls[1], only="dispatch"))]
    assert where[0] == "dispatch_find" and where[1] == "+0x4" and where[4] == "+0x18"


def test_a_page_has_the_name_that_its_source_says_not_the_label_at_its_start(calls):
    path = [re.sub("<.*?>", "", row[3]) for row in rows(show_path(calls[0], only="host"))]
    assert [text.split()[-1] for text in path if "adrp" in text] == [
        "__kvm_timer_set_cntvoff",
        "kimage_voffset",
        "physvirt_offset",
    ]


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"only": "dispach"}, ValueError, "got 'dispach'; did you mean 'dispatch'"),
        (
            {"only": 3},
            TypeError,
            "expected a phase, such as 'dispatch', or a list of phases; got 3",
        ),
        ({"only": ["dispatch", 3]}, ValueError, "expected a phase .*; got 3"),
        ({"only": [[]]}, ValueError, r"expected a phase .*; got \[\]"),
        ({"steps": (3, 99)}, ValueError, r"expected steps from 0 up to 42, .*; got \(3, 99\)"),
        ({"steps": (-1, 3)}, ValueError, r"got \(-1, 3\)"),
        ({"steps": (3, 3)}, ValueError, r"got \(3, 3\)"),
        ({"steps": 3}, TypeError, r"expected steps=\(first, one after the last\).*; got 3"),
        ({"steps": (1.5, 3)}, TypeError, r"got \(1.5, 3\)"),
        ({"steps": "ab"}, TypeError, "got 'ab'"),
    ],
)
def test_a_wrong_phase_or_range_is_named(calls, asked, error, message):
    with pytest.raises(error, match=message):
        show_path(calls[0], **asked)


@needs_engine
def test_the_path_of_a_runaway_call_has_its_beginning_its_end_and_a_count():
    with Machine("numbered", seed=1, dispatcher=RUNAWAY, budget=200_000) as machine:
        call = machine.hvc(0x100)
    start = time.monotonic()
    table = show_path(call)
    page = table._repr_html_()
    assert time.monotonic() - start < 5 and len(page) < 300_000
    numbers = [int(row[0]) for row in rows(table)]
    steps = len(call.trace)
    assert numbers == [*range(HEAD), *range(steps - TAIL, steps)]
    assert table.shown == HEAD + TAIL
    assert f"(not shown: dispatch {steps - HEAD - TAIL:,})" in re.sub("</?samp>", "", page)


@needs_engine
def test_many_changes_of_phase_that_are_left_out_are_only_summed():
    with Machine("numbered", seed=1, dispatcher=BACK_AND_FORTH, budget=20_000) as machine:
        page = show_path(machine.hvc(0x100))._repr_html_()
    assert re.search(r"not shown: [\d,]+ steps, of them host [\d,]+, entry [\d,]+, ", page)


def test_numbers_registers_and_labels_of_a_path_are_monospaced(calls):
    page = show_path(calls[1])._repr_html_()
    assert "<samp>0x9656c0285c30</samp>" in page and "<samp>x10</samp>" in page
    outside = re.sub(r"<(code|samp|caption)\b[^>]*>.*?</\1>|<[^>]+>", "", page)
    assert not re.search(r"0x[0-9a-f]", outside)
    assert "font-variant-ligatures: none" in page
