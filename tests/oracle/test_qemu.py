"""QEMU executes the same image with the same requests: every row of ours equals its row."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.judges import find, judged
from tests.oracle import qemu
from tests.oracle.rows import COLUMNS, digest, normalized, of_trace
from tests.scenarios import SCENARIOS, Scenario

GOLDEN = Path(__file__).with_name("golden.json")


def our_rows(scenario: Scenario):
    with scenario.machine() as machine:
        trace = machine.reboot(scenario.requests(machine))
        return list(of_trace(trace)), machine.image, scenario.requests(machine)


def difference(ours, theirs, image) -> str | None:
    """Where two lists of rows part, in words; None when they do not."""
    for number, (a, b) in enumerate(itertools.zip_longest(ours, theirs)):
        if a is None or b is None:
            return f"one run ends after {number} rows: ours has {len(ours)}, QEMU's {len(theirs)}"
        if normalized(a) != normalized(b):
            columns = zip(COLUMNS, normalized(a), normalized(b), strict=True)
            cells = ", ".join(
                f"{column} ours {x:#x}, QEMU's {y:#x}" for column, x, y in columns if x != y
            )
            return f"row {number} at {image.symbolize(a[0])}: {cells}"
    return None


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_every_row_equals_qemus(scenario, tmp_path):
    ours, image, requests = our_rows(scenario)
    assert len(ours) > 100  # a boot alone is that long
    if find("qemu") is None:
        compare_with_golden(scenario, ours)
    # Ours ends at the label where a run stops; QEMU goes on to switch the board off.
    theirs = list(qemu.rows(image, requests, tmp_path))[: len(ours)]
    judged("rows compared with QEMU", len(ours))
    judged(
        "rows that differed from QEMU's",
        sum(normalized(a) != normalized(b) for a, b in zip(ours, theirs, strict=False)),
    )
    assert difference(ours, theirs, image) is None
    # What is recorded for machines without QEMU is what QEMU does now.
    assert digest(theirs) == json.loads(GOLDEN.read_text())[str(scenario)]


def compare_with_golden(scenario, ours):
    """Without QEMU its recorded digests judge; then skip, so that the absence is seen."""
    golden = json.loads(GOLDEN.read_text())[str(scenario)]
    mine = digest(ours)
    assert mine == golden, f"differs from QEMU's recorded rows within {len(mine)} chunks"
    judged("rows compared with QEMU's recorded digests", len(ours))


def test_the_recording_holds_the_scenarios_and_no_others():
    assert list(json.loads(GOLDEN.read_text())) == [str(scenario) for scenario in SCENARIOS]


def test_a_wrong_row_is_found_and_named():
    ours, image, _ = our_rows(SCENARIOS[0])
    wrong = [list(row) for row in ours]
    wrong[100][1] ^= 4
    found = difference(ours, [tuple(row) for row in wrong], image)
    assert found.startswith("row 100 at ") and "x0 ours" in found
    assert digest(ours) != digest(tuple(row) for row in wrong)
    assert "one run ends after 9 rows" in difference(ours, ours[:9], image)


@pytest.mark.parametrize(
    ("qemus", "x2", "ours"),
    [
        (
            0x97C18006,
            0x1000,
            0x96000006,
        ),  # DIFFERENCE 1: a syndrome that EL2's own regime has not got
        (0x93C30007, 0x1000, 0x93C30007),  # a stage 2 abort's syndrome stays
        (0x86000006, 0x1003, 0x8A000000),  # DIFFERENCE 2: alignment comes before translation
        (0x86000006, 0x1004, 0x86000006),  # an aligned address: a plain instruction abort
        (0x8600000F, 0x1003, 0x8600000F),  # a permission fault is another matter
        (0x96000006 << 32, 0x1003, 0x96000006 << 32),  # not a syndrome at all
    ],
)
def test_only_the_listed_differences_are_taken_out_of_a_row(qemus, x2, ours):
    def row(x3):
        return (0x1000, 0, 0, x2, x3, *[qemus] * 30)

    assert normalized(row(qemus)) == normalized(row(ours)) == row(ours)
    assert len(row(0)) == len(COLUMNS)
