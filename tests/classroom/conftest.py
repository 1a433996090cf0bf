"""Environments that have what a hub or nbgrader needs beside what the tests need."""

import functools
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.classroom.scripts import CLASSROOM
from tests.judges import required

TOP = CLASSROOM.parent
EXTRAS = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def _installed(extra):
    """Whether this environment has all of an extra."""
    try:
        rows = map(Requirement, EXTRAS[extra])
        return all(row.specifier.contains(metadata.version(row.name)) for row in rows)
    except metadata.PackageNotFoundError:
        return False


def _linked(theirs, ours):
    """Have a folder show another's files where it has none of its own."""
    for path in filter(Path.is_file, theirs.rglob("*")):
        place = ours / path.relative_to(theirs)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(path)


@pytest.fixture(scope="session")
def python_with(tmp_path_factory):
    """python_with(extra) -> (a Python that has an extra of hypkit's, variables to run it with).

    Where this environment lacks it, it is one that sees this environment and has the rest from PyPI:
    nbgrader, for example, would put itself into every JupyterLab that the other tests start. That takes
    minutes, so it is done in CI, which requires judges, and where HYPKIT_CLASS is set.
    """

    def make(extra):
        python = Path(sys.executable)
        programs = [str(python.parent)]
        if not _installed(extra):
            if not required() and "HYPKIT_CLASS" not in os.environ:
                pytest.skip(
                    f"[{extra}] is not installed; HYPKIT_CLASS=2 has it installed and tried"
                )
            folder = tmp_path_factory.mktemp(extra) / "environment"
            venv.create(folder, with_pip=True)
            python = folder / "bin" / "python"
            programs.insert(0, str(python.parent))
            (site,) = (folder / "lib").glob("python*/site-packages")
            site.joinpath("beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
            command = [python, "-m", "pip", "install", "--quiet", "--prefer-binary", *EXTRAS[extra]]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                message = f"what [{extra}] names could not be installed: {done.stderr[-300:]}"
                (pytest.fail if required() else pytest.skip)(message)
            for name in ("etc/jupyter", "share/jupyter"):  # what Jupyter looks for beside a Python
                _linked(Path(sys.prefix, name), folder / name)
        return str(python), os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(TOP), os.environ.get("PYTHONPATH")])),
            "PATH": os.pathsep.join([*programs, os.environ["PATH"]]),
        }

    return functools.cache(make)
