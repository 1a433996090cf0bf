"""Rows of real kernels that are recorded, and shown where there is no kernel; tests/attack/test_real.py
holds them to a run where there is one."""

import tomllib

import pytest

from hypkit import attack, linux
from hypkit.attack import Outcome, matrix
from hypkit.attack.matrix import POWERS
from hypkit.attack.recorded import recorded, written
from hypkit.linux.snapshot import PROTECTED

WORDS = {outcome.words for outcome in Outcome} | {""}


@pytest.fixture
def bare(monkeypatch):
    """A computer without a snapshot."""
    monkeypatch.setattr(linux, "available", lambda: ())


def test_every_kernel_of_the_course_has_a_row_with_every_power():
    assert set(linux.KERNELS) <= set(recorded()) and "6.1" + PROTECTED in recorded()
    for row in recorded().values():
        assert list(row.cells) == [power.key for power in POWERS]
        assert len(row.digest) == len(row.state) == 64 and row.source.startswith("linux-")
        for cell in row.cells.values():
            assert {cell.outcome, *cell.counts} <= WORDS and bool(cell.outcome) != bool(cell.why)
            assert len(cell.registers) in (0, 7)


def test_a_row_is_shown_as_recorded_where_the_kernel_is_not(bare):
    cells = matrix(["linux-6.1", "linux-6.1-protected"], progress=False)
    assert cells.recorded == ("linux-6.1", "linux-6.1-protected")
    cell = cells["linux-6.1", "page tables"]
    assert cell.outcome is Outcome.FOREIGN_CODE and cell.finding is None
    assert cell.example.startswith("m.hvc(0x")
    assert cells["linux-6.1-protected", "page tables"].words == "kept by stage 2"
    text, page, picture = repr(cells), cells._repr_html_(), cells.picture()
    assert "linux-6.1 (recorded)" in text and "Recorded elsewhere, not run here: 6.1: " in text
    assert "make linux ARGS='6.1'" in text and "--protected" in text
    assert page.count("<br>recorded") == 2 and cell.example in page
    assert picture.svg.count(">recorded<") == 2 and "linux-6.1 (recorded): x0" in picture.alt
    assert "<button " not in cells._repr_mimebundle_()["text/html"]


def test_a_recorded_cell_says_what_stepping_it_needs(bare):
    cell = matrix(["linux-6.1-protected"], progress=False)["linux-6.1-protected", "arguments"]
    with pytest.raises(ValueError, match=r"recorded.*make linux ARGS='6.1 --protected'"):
        cell.stepper()


def test_what_is_written_is_what_is_read():
    assert written(recorded()).count("[kernel.") == 9 * len(recorded())
    kernels = tomllib.loads(written(recorded()))["kernel"]
    for name, row in recorded().items():
        assert kernels[name]["state"] == row.state
        for power, cell in row.cells.items():
            found = kernels[name]["cell"][power]
            assert tuple(int(value, 16) for value in found["registers"]) == cell.registers
            assert found["counts"] == dict(cell.counts)


def test_a_kernel_that_is_neither_here_nor_recorded_is_told():
    with pytest.raises(linux.linux_machine.MachineError, match=r"no snapshot of Linux 4\.19"):
        attack.matrix(["linux-4.19"], progress=False)
