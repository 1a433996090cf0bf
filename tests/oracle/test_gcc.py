"""gcc as judge of learners' headers; `python -m tests.oracle.gcc 2000` asks it more."""

import pytest

from hypkit.header import HeaderError, front_end, read_header
from tests import clang_here
from tests.judges import judge, judged
from tests.oracle import gcc

SEED, MUTANTS, STEP = 2020, 30, 5  # of the corpus every fifth: a few seconds


@pytest.fixture(autouse=True, scope="module")
def kept_clang():
    """The child that the tests share ends with them."""
    yield
    clang_here.close()


@pytest.fixture(autouse=True)
def inside(monkeypatch):
    """One child for all headers."""
    monkeypatch.setattr(front_end, "opened", clang_here.opened)


def test_a_corpus_and_mutants_of_it_are_headers_to_gcc_and_to_the_kit_alike(tmp_path):
    judge("gcc")
    headers = [*gcc.corpus()[::STEP], *gcc.mutants(MUTANTS, SEED)]
    counts, differences = gcc.compared(headers, tmp_path)
    assert differences == []
    assert sum(count for what, count in counts.items() if "headers" in what) == len(headers)
    assert counts["headers of which gcc makes the same numbers and slots"] > 15
    assert counts["headers that gcc and the kit refuse"] > 15
    for what, count in counts.items():
        judged(f"{what} (seed {SEED})", count)


def test_what_gcc_calls_a_number_is_the_kits_number(tmp_path):
    judge("gcc")
    for files in gcc.bases():
        theirs = gcc.gccs(files, tmp_path)
        assert not theirs.refused and len(theirs.numbers) == 14
        assert gcc.kits(files) == theirs


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "enum { A = 1 << 64 };\n#undef KVM_HOST_HCALL_BASE\n#define KVM_HOST_HCALL_BASE A",
            "gcc takes it for 0, clang for another number",
        ),
        ("#if 7 >> 0x8000000000000000\n#error it is 0\n#endif", "clang counts modulo 2^32"),
        ("#if 0x8000000000000000 >> 70\n#error it is 0\n#endif", "clang shifts by 63 at most"),
    ],
)
def test_what_is_known_to_differ_from_gcc_still_does(line, why, tmp_path):
    """The list of differences in values; those of acceptance are gcc.OURS and gcc.UNEXPANDED."""
    judge("gcc")
    files = gcc.bases()[1]
    files[gcc.NUMBERS] += line + "\n"
    assert not gcc.gccs(files, tmp_path).refused
    with pytest.raises(HeaderError):
        read_header(files)
