"""A class on a real hub: two learners and two who disturb, or with HYPKIT_CLASS=20 twenty."""

import os
import re
import shutil
import subprocess

import pytest

from tests.classroom.scripts import CLASSROOM
from tests.judges import required

LEARNERS = int(os.environ.get("HYPKIT_CLASS", "2"))
MOST_MEMORY = 400  # MiB: what README.md there says to count for each learner
LONGEST_STEP = 1000  # ms, at the 95th percentile, on a machine that has other work


def test_learners_sign_in_run_a_lesson_and_are_disturbed_by_nobody(python_with):
    if not shutil.which("npm") and not shutil.which("configurable-http-proxy"):
        message = "neither configurable-http-proxy nor npm is here"
        (pytest.fail if required() else pytest.skip)(message)
    python, outside = python_with("class")
    command = [python, CLASSROOM / "try_class.py", "--learners", str(LEARNERS)]
    done = subprocess.run(command, env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert re.match(rf"{LEARNERS} learners on \d+ processors, a loop and a memory hog", done.stdout)
    (step,) = re.findall(r"^a step takes: .* p95 (\d+) ms", done.stdout, re.MULTILINE)
    (memory,) = re.findall(r"^memory of a learner: .* most (\d+) MiB", done.stdout, re.MULTILINE)
    assert int(step) <= LONGEST_STEP and 50 < int(memory) <= MOST_MEMORY
