"""Without an engine: the suite's core passes. That every lesson runs, the lessons' own tests show."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat

from tests.marks import SLOWER

ROOT = Path(__file__).resolve().parents[2]
CORE = [f"tests/{name}.py" for name in ("kernel/test_guest", "cost/test_cost", "kernel/test_image")]
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def run(*arguments, engine="none"):
    """A Python process of its own that sees this engine; none at all by default."""
    environment = {**os.environ, "HYPKIT_ENGINE": engine, "HYPKIT_REQUIRE": ""}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300 * SLOWER,
    )


def test_hidden_means_hidden():
    ended = run("-c", "from hypkit import assemble; assemble('madd x1, x2, x3, x4')")
    assert ended.returncode == 1
    assert "no engine to assemble it" in ended.stderr and "AsmError" in ended.stderr


def test_the_core_of_the_suite_passes():
    ended = run(*PYTEST, *CORE)
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert " passed" in ended.stdout and " failed" not in ended.stdout


def test_the_lessons_are_tested_without_an_engine(tmp_path):
    cell = nbformat.v4.new_code_cell(
        "import os\nprint(os.environ['HYPKIT_ENGINE'])", execution_count=1
    )
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="none\n")]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "asks.ipynb")
    plugin = ("-c", "pyproject.toml", "-p", "tests.engine_hidden")
    ended = run(*PYTEST, *plugin, str(tmp_path / "asks.ipynb"), engine="")
    assert "1 passed" in ended.stdout, ended.stdout[-3000:]
