"""The picture of a path in time: its rows are the model's, and its words are where they can be read."""

import pytest

from hypkit import Machine
from hypkit.viz import show_timing
from tests.pictures.words import misplaced


@pytest.fixture(scope="module")
def call():
    with Machine("numbered", seed=2020) as machine:
        yield machine.call("__kvm_timer_set_cntvoff", 0x1234)


@pytest.mark.parametrize("core", ["ideal", "cortex-a55", "neoverse-n1"])
def test_each_instruction_is_drawn_from_its_start_to_its_result(call, core):
    timing = call.timing(core)
    picture = show_timing(timing)
    assert [row[1:3] for row in picture.rows] == [
        (str(row.issue), str(row.ready)) for row in timing.rows
    ]
    on = [
        row.index for row, drawn in zip(timing.rows, picture.rows, strict=True) if drawn[3] == "yes"
    ]
    assert tuple(on) == timing.critical
    assert f"{timing.rows[0].text}: {timing.rows[0].issue} to" in picture.alt
    assert list(misplaced(picture.svg)) == []


def test_some_rows_can_be_drawn_under_a_title(call):
    picture = show_timing(call.timing("ideal"), slice(4, 9), "the offset")
    assert len(picture.rows) == 5 and picture.title == "the offset"
    assert picture.alt.startswith("the offset. ")


def test_what_is_no_timing_is_refused_in_a_sentence(call):
    with pytest.raises(TypeError, match="expected a timing, such as call.timing"):
        show_timing(call)
    with pytest.raises(TypeError, match="expected rows as a slice"):
        show_timing(call.timing("ideal"), 4)
    with pytest.raises(ValueError, match="expected some of the 25 rows; got none"):
        show_timing(call.timing("ideal"), slice(30, 40))
