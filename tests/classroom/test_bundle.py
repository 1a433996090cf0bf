"""Bundles for rooms without a network: what they ask for, and what a learner starts."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.classroom.scripts import CLASSROOM, load

bundle = load("bundle")


def reads(platform, marker):
    """What pip makes of a marker when it is told that it runs on a platform."""
    program = (
        f"import sys; sys.path.insert(0, {str(CLASSROOM)!r})\n"
        "import json, cross_pip\n"
        f"cross_pip.pretend(json.loads({json.dumps(platform.markers)!r}))\n"
        "from pip._vendor.packaging.requirements import Requirement\n"
        f"print(Requirement('x; ' + {marker!r}).marker.evaluate())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return {"True\n": True, "False\n": False}[done.stdout]


@pytest.mark.parametrize(
    ("key", "marker", "holds"),
    [
        ("windows-x86_64", "sys_platform == 'win32' and os_name == 'nt'", True),
        ("windows-x86_64", "platform_machine == 'x86_64' or platform_machine == 'AMD64'", True),
        ("macos-arm64", "platform_system == 'Darwin'", True),
        ("macos-arm64", "platform_machine == 'x86_64' or platform_machine == 'AMD64'", False),
        ("linux-arm64", "platform_machine == 'aarch64' and sys_platform == 'linux'", True),
    ],
)
def test_pip_reads_markers_as_on_the_other_computer(key, marker, holds):
    assert reads(bundle.PLATFORMS[key], marker) is holds


def test_there_is_an_archive_for_each_kind_of_computer_that_runs_the_kit():
    keys = ["linux-x86_64", "linux-arm64", "macos-arm64", "macos-x86_64", "windows-x86_64"]
    assert list(bundle.PLATFORMS) == keys


def test_an_unknown_kind_of_computer_is_refused_before_anything_is_built(monkeypatch, capsys):
    monkeypatch.setattr(bundle, "run", lambda *words: pytest.fail("something was run"))
    with pytest.raises(SystemExit):
        bundle.main(["amiga"])
    assert "expected some of linux-x86_64" in capsys.readouterr().err


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """pack(key) -> the unpacked folder of an archive whose wheels are make-believe."""

    def download(platform, pythons, wheel, folder):
        folder.mkdir()
        (folder / wheel.name).write_bytes(b"a wheel")
        (folder / "pythons.txt").write_text("\n".join(pythons) + "\n")

    monkeypatch.setattr(bundle, "download", download)

    def pack(key, pythons=("3.12", "3.13")):
        wheel = Path("hypkit-9.9.9-py3-none-any.whl")
        archive = bundle.pack(bundle.PLATFORMS[key], pythons, wheel, tmp_path)
        with zipfile.ZipFile(archive) as found:
            modes = {info.filename: info.external_attr >> 16 for info in found.infolist()}
            found.extractall(tmp_path)
        return tmp_path / archive.stem, modes

    return pack


@pytest.mark.parametrize("key", [*bundle.PLATFORMS])
def test_an_archive_has_wheels_lessons_texts_and_something_to_start(packed, key):
    folder, modes = packed(key)
    start = bundle.PLATFORMS[key].start
    assert modes[f"{folder.name}/{start}"] == 0o755
    for name in ("README.txt", "start.py", "LICENSE", "SECURITY.md", "wheels/pythons.txt"):
        assert (folder / name).exists(), name
    assert len(list((folder / "lessons").glob("*.ipynb"))) >= 14
    said = (folder / "README.txt").read_text()
    assert (
        f"hypkit {bundle.tomllib.loads((bundle.TOP / 'pyproject.toml').read_text())['project']['version']} for {key}"
        in said
    )
    assert f"Start {start}" in said and "Python 3.12 or 3.13" in said


def test_another_python_is_refused_in_a_sentence(packed):
    folder, _ = packed("linux-x86_64", ("3.99",))
    done = subprocess.run([sys.executable, folder / "start.py"], capture_output=True, text=True)
    assert done.returncode == 1 and not (folder / "environment").exists()
    assert done.stderr.startswith("expected Python 3.99, which the files here are for; got 3.")


def test_the_start_script_takes_the_newest_python_that_fits(packed, tmp_path):
    folder, _ = packed("linux-x86_64")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python3.12", "python3.13", "python3"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (programs / name).chmod(0o755)
    outside = {"PATH": f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    command = ["/bin/sh", folder / "start.sh", "--no-open"]
    done = subprocess.run(command, env=outside, capture_output=True, text=True)
    assert done.stdout == "python3.13 start.py --no-open\n"


def test_the_script_for_windows_has_lines_that_end_as_windows_wants(packed):
    folder, _ = packed("windows-x86_64")
    text = (folder / "start.bat").read_bytes()
    assert text.count(b"\r\n") == text.count(b"\n") > 5 and b"py -3.13 start.py %*" in text
