"""Without an engine: the suite's core passes, and every lesson runs."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted(f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
CORE = [f"tests/{name}.py" for name in ("kernel/test_guest", "cost/test_cost", "kernel/test_image")]


def hidden(*arguments):
    """A Python process of its own that sees no engine."""
    environment = {**os.environ, "HYPKIT_ENGINE": "none", "HYPKIT_REQUIRE": ""}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def passes(*lists):
    """Run pytest on several lists of files, at the same time."""
    options = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    with ThreadPoolExecutor() as pool:
        for ended in pool.map(lambda files: hidden(*options, *files), lists):
            assert ended.returncode == 0, ended.stdout[-3000:]
            assert " passed" in ended.stdout and " failed" not in ended.stdout


def test_hidden_means_hidden():
    ended = hidden("-c", "from hypkit import assemble; assemble('madd x1, x2, x3, x4')")
    assert ended.returncode == 1
    assert "no engine to assemble it" in ended.stderr and "AsmError" in ended.stderr


def test_the_core_of_the_suite_passes():
    passes(CORE)


def test_every_lesson_runs_with_the_same_outputs():
    passes(LESSONS[::2], LESSONS[1::2])
