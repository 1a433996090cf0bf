"""A sample of random programs against QEMU (more: python -m tests.oracle.random_dispatchers)."""

import pytest

from tests.judges import judge, judged
from tests.oracle import random_dispatchers
from tests.oracle.random_dispatchers import BATCH, compare, dispatcher

SEED = 2020


@pytest.mark.parametrize("batch", range(4))
def test_random_programs_take_the_same_way_as_in_qemu(batch):
    judge("qemu")
    outcome = compare(SEED, batch * BATCH, BATCH)
    judged("random programs compared with QEMU", outcome.cases)
    judged("rows of random programs compared with QEMU", outcome.rows)
    judged("rows of random programs that differed", outcome.differing_rows)
    assert outcome.cases == BATCH and outcome.rows > 40 * BATCH
    assert outcome.words == []


def test_the_same_seed_gives_the_same_programs_and_another_seed_others():
    text = dispatcher(1, 0, 5)
    assert text == dispatcher(1, 0, 5) != dispatcher(2, 0, 5)
    assert dispatcher(1, 5, 5) != text


def test_a_difference_is_told_with_its_seed_case_and_instruction(monkeypatch):
    judge("qemu")
    rows = random_dispatchers.qemu.rows

    def other(*arguments):
        for number, row in enumerate(rows(*arguments)):
            yield row if number != 300 else (*row[:6], row[6] ^ 1, *row[7:])

    monkeypatch.setattr(random_dispatchers.qemu, "rows", other)
    outcome = compare(SEED, 0, 3)
    (text,) = outcome.words
    assert text.startswith(f"seed {SEED}, case ") and "x5 ours 0x" in text and ", QEMU's 0x" in text
    assert outcome.differing_rows == 1
