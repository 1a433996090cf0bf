"""The oracle's commands read what they are given and say what they expected."""

from pathlib import Path

from hypkit.asm import assemble
from tests.judges import judge
from tests.oracle import mc, mutants_as

LINES = """\
# CS_ARCH_AARCH64, 0, None
0x1f,0x20,0x03,0xd5 == nop
0x20,0x48,0x28,0x4e = aese\tv0.16b, v1.16b // a comment
0x00,0x00,0x00,0x00 == add z0.b, z0.b, z0.b
not a case
"""


def test_lines_of_the_peers_suite_are_read_and_those_of_other_cores_left_out(tmp_path):
    (tmp_path / "a.s.cs").write_text(LINES)
    assert mc.cases(tmp_path) == {"nop": {0xD503201F}, "aese v0.16b, v1.16b": {0x4E284820}}


def test_a_wrong_word_of_the_peers_suite_is_found(tmp_path, capsys, monkeypatch):
    judge("as")
    (tmp_path / "a.s.cs").write_text(LINES)
    assert mc.main([str(tmp_path)]) == 0
    assert "equal: 2" in capsys.readouterr().out
    monkeypatch.setattr(mc, "assemble", lambda text: assemble("hvc #1"))
    assert mc.main([str(tmp_path)]) == 1
    assert "nop: got d4000022, expected d503201f" in capsys.readouterr().out


def test_a_raw_exception_and_a_difference_among_the_mutants_are_found(monkeypatch, capsys):
    judge("as")
    monkeypatch.setattr(mutants_as, "assemble", lambda text: assemble("hvc #1"))
    assert mutants_as.main(["--cases", "30", "--seed", "1"]) == 1
    assert "--- differs: got 220000d4" in capsys.readouterr().out
    monkeypatch.setattr(mutants_as, "assemble", lambda text: 1 // 0)
    assert mutants_as.main(["--cases", "2", "--seed", "1"]) == 1
    assert "--- raw exception: ZeroDivisionError" in capsys.readouterr().out


def test_without_the_suite_the_command_says_what_it_expected(tmp_path, capsys):
    assert mc.main([]) == 2
    assert "expected a folder of *.cs files" in capsys.readouterr().err
    assert mc.main([str(tmp_path)]) == 2
    assert "no line of" in capsys.readouterr().err


def test_cases_are_the_same_for_the_same_seed():
    assert list(mutants_as.cases(20, 3)) == list(mutants_as.cases(20, 3))
    assert list(mutants_as.cases(20, 3)) != list(mutants_as.cases(20, 4))


def test_the_peers_suite_is_not_among_our_files():
    assert list(Path(__file__).parents[2].glob("**/*.s.cs")) == []
