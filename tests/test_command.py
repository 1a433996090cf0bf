"""The command `hypkit`, as somebody types it."""

import json
import os
import sys
from pathlib import Path

import pytest

from hypkit import __main__ as command


def test_without_a_command_it_lists_the_commands(capsys):
    assert command.main([]) == 2
    said = capsys.readouterr().out
    for name in ("lessons", "check", "linux"):
        assert name in said


def test_the_lessons_are_listed(capsys):
    assert command.main(["lessons"]) == 0
    said = capsys.readouterr().out
    assert "00-start-here.ipynb" in said and "hypkit lessons --copy FOLDER" in said


def test_a_copy_that_opens_nothing_says_how_to(tmp_path, capsys):
    folder = tmp_path / "my lessons"
    assert command.main(["lessons", "--copy", str(folder), "--no-open"]) == 0
    said = capsys.readouterr().out
    assert f'-m jupyterlab "{folder}"' in said and (folder / command.FIRST).exists()


def test_a_copy_opens_the_first_lesson_in_a_jupyterlab_that_asks_for_no_news(tmp_path, monkeypatch):
    started = []

    def call(words, cwd, env):
        (settings, *others) = env["JUPYTER_CONFIG_PATH"].split(os.pathsep)
        told = json.loads(Path(settings, "labconfig", "page_config.json").read_text())
        started.append((words, cwd, told, others))
        return 7

    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/theirs")
    monkeypatch.setattr(command.subprocess, "call", call)
    assert command.main(["lessons", "--copy", str(tmp_path)]) == 7
    first = str(tmp_path / command.FIRST)
    asked = [[sys.executable, "-m", "jupyterlab", first], tmp_path, command.NO_NEWS, ["/theirs"]]
    assert started == [tuple(asked)]


def test_without_jupyterlab_the_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert command.main(["lessons", "--copy", str(tmp_path)]) == 1
    assert "pip install jupyterlab" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lessons", "--no-open"], "--no-open goes with --copy FOLDER"),
        (["lessons", "--copy", ""], "expected the name of a folder"),
        (["lessons", "--copy", __file__], "expected a folder; got a file"),
    ],
)
def test_a_wrong_command_is_answered_in_a_sentence(words, said, capsys):
    assert command.main(words) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("hypkit: ") and said in error and "Traceback" not in error


def test_the_check_says_that_all_is_well(capsys):
    assert command.main(["check"]) == 0
    assert "All is well" in capsys.readouterr().out


def test_kernels_are_asked_for_as_make_does(monkeypatch):
    asked = []
    monkeypatch.setattr("hypkit.linux.__main__.main", lambda words: asked.append(words) or 0)
    assert command.main(["linux", "6.1", "7.2", "--again"]) == 0
    assert asked == [["--again", "6.1", "7.2"]]
