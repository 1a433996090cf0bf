"""The script that makes an arm64 Debian: what it says where it cannot work."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run")


@pytest.mark.skipif(sys.platform != "linux", reason="the script is for Linux")
@pytest.mark.parametrize(("required", "code"), [("", 0), ("qemu,as", 0), ("as,arm64", 1)])
def test_what_is_missing_is_named_and_fails_only_where_it_is_required(required, code, tmp_path):
    for program in ("bash", "dirname", "id", "nproc", "uname"):  # and not what makes a Debian
        (tmp_path / program).symlink_to(shutil.which(program))
    env = {**os.environ, "PATH": str(tmp_path), "HYPKIT_REQUIRE": required}
    done = subprocess.run([SCRIPT], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")
    first, *others = done.stdout.splitlines()
    assert first.startswith("arm64: not run: ") and (" mmdebstrap is" in first or "root" in first)
    assert others == ([] if code else ["arm64: skipped, since HYPKIT_REQUIRE does not name arm64"])


def test_ci_tests_on_arm64_after_it_has_installed_what_that_needs():
    ci = (SCRIPT.parents[2] / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^HYPKIT_REQUIRE= tests/arm64/run$", ci, re.MULTILINE)
    install = ci[: ci.index("HYPKIT_REQUIRE=")]
    for package in ("mmdebstrap", "qemu-user-static", "binfmt-support"):
        assert re.search(rf"\s{package}\s", install), package
