"""Pictures and tables: their alt text against the counts, their bytes, and wrong use."""

import base64
import io
import re
from itertools import pairwise

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hypkit import Machine
from hypkit.cost import PHASES
from hypkit.pictures import drawing
from hypkit.pictures.calls import _road, _stretches, show_path, show_phases, show_road
from hypkit.pictures.drawing import CALL_STYLES, PHASE_STYLE, figure
from notebooks.src.rules import _html


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
    return [
        re.findall(r"<td[^>]*>(.*?)</td>", row)
        for row in re.findall(r"<tr>(<td.*?)</tr>", table._repr_html_())
    ]


# Pictures.


@pytest.mark.parametrize("show", [show_phases, show_road])
def test_a_picture_is_an_image_with_its_alt_text(calls, show):
    picture = show(list(calls[:2]))
    page = picture._repr_html_()
    assert _html(page) == []
    data = re.search(r'src="data:image/png;base64,([^"]+)"', page)[1]
    assert base64.b64decode(data) == picture.png and picture.png.startswith(b"\x89PNG")
    assert repr(picture) == f"Picture: {picture.alt}"


@pytest.mark.parametrize("show", [show_phases, show_road])
def test_a_picture_drawn_twice_is_the_same_bytes(calls, show):
    assert show(list(calls[:2])).png == show(list(calls[:2])).png


def test_a_picture_does_not_depend_on_the_readers_settings_and_leaves_them(calls):
    plain = show_phases(calls[0]).png
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        before = dict(matplotlib.rcParams)
        assert show_phases(calls[0]).png == plain
        assert dict(matplotlib.rcParams) == before


def test_a_small_part_keeps_its_colour(calls):
    drawn = Image.open(io.BytesIO(show_road(calls[2]).png)).convert("RGB")
    there = {colour for _, colour in drawn.getcolors(1 << 24)}
    for phase in calls[2].cost.phases:
        colour = PHASE_STYLE[phase][0]
        assert tuple(int(colour[n : n + 2], 16) for n in (1, 3, 5)) in there, phase


@pytest.mark.parametrize("alt", ["", "  ", "a picture", None, 3])
def test_a_figure_without_words_is_refused(alt):
    with pytest.raises(ValueError, match="say in a sentence what the picture shows"):
        figure(Figure(), alt)


def test_alt_text_is_escaped():
    picture = figure(Figure(figsize=(1, 1)), 'a < b, "quoted" & so on')
    assert 'alt="a &lt; b, &quot;quoted&quot; &amp; so on"' in picture._repr_html_()


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


def test_calls_on_one_machine_are_told_apart_by_name(calls):
    alt = show_phases([calls[1], calls[2]]).alt
    assert "numbered: __kvm_timer_set_cntvoff: " in alt
    assert "numbered: __kvm_vcpu_run_nvhe: " in alt


def grey(colour):
    """Relative luminance, 0 to 1 (WCAG 2)."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("styles", [list(PHASE_STYLE.values()), list(CALL_STYLES)])
def test_no_two_looks_are_the_same_without_colour(styles):
    for n, (colour, hatch) in enumerate(styles):
        for other, other_hatch in styles[:n]:
            contrast = (max(grey(colour), grey(other)) + 0.05) / (
                min(grey(colour), grey(other)) + 0.05
            )
            assert hatch != other_hatch or contrast > 1.1


def test_every_phase_has_a_look():
    assert list(PHASE_STYLE) == list(PHASES)


@pytest.mark.parametrize("show", [show_phases, show_road, show_path])
@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ([], ValueError, "no call to show"),
        (["x"], TypeError, "'x' is not a call: show what machine.call"),
        ([3], TypeError, "3 is not a call"),
    ],
)
def test_what_is_not_a_call_is_named(show, what, error, message):
    with pytest.raises(error, match=message):
        show(what)


# Tables.


def test_the_path_has_a_row_for_every_step_in_order(calls):
    for call in calls:
        table = show_path(call)
        cells = rows(table)
        assert [int(row[0]) for row in cells] == list(range(len(call.trace)))
        assert [row[1] for row in cells] == [f"EL{step.el}" for step in call.trace]
        assert table.shown == len(call.trace)


def test_the_path_heads_each_phase_with_its_count(calls):
    page = show_path(calls[1])._repr_html_()
    for phase, counts in calls[1].cost.phases.items():
        if phase != "host":
            assert (
                f"{phase}: {PHASES[phase]} ({counts.instructions} instruction".replace(
                    "'", "&#x27;"
                )
                in page
            )
    assert page.count('scope="rowgroup"') == 7  # the host comes twice
    assert page.count('scope="col"') == 5 and "<caption" in page


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


def test_a_page_address_does_not_pose_as_the_label_at_its_start(calls):
    adrp = [row for row in rows(show_path(calls[0], only="host")) if "adrp" in row[3]]
    assert len(adrp) == 3
    assert all(re.search(r"adrp x\d, 0x[0-9a-f]+000<", row[3]) for row in adrp)


def test_a_wrong_phase_or_range_is_named(calls):
    with pytest.raises(ValueError, match="phase 'dispach': there are host, entry"):
        show_path(calls[0], only="dispach")
    with pytest.raises(ValueError, match="steps 3 to 99: this call has the steps 0 to 42"):
        show_path(calls[0], steps=(3, 99))


def test_labels_that_stand_up_keep_apart(calls):
    with Machine("numbered", seed=1) as machine:
        long = machine.call("__kvm_vcpu_run_nvhe", "vcpu0").trace
    axes = drawing.canvas(8, 3).subplots()
    _road(axes, list(_stretches(calls[0].trace)), ["hyp, EL2", "host, EL1"], len(long))
    starts = [text.get_position()[0] for text in axes.texts if text.get_rotation()]
    assert len(starts) > 3
    assert min(b - a for a, b in pairwise(starts)) >= 0.045 * len(long) - 1e-9
