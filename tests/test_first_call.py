"""A first call where nothing was compiled yet: it says that it compiles, wherever it can be kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.marks import needs_engine

TOP = Path(__file__).resolve().parents[1]
SAYS = "hypkit compiles its machine, this once: a few seconds ..."
CALL = """
from hypkit import Machine
m = Machine("numbered", seed=2020)
print(m.call("__kvm_get_mdcr_el2").x0)
"""
LESSON = """
from hypkit import asm, header, stepper
from hypkit.check import check, progress
from hypkit.viz import show_path
call = m.call("__kvm_timer_set_cntvoff", 0x1234)
print(len(show_path(call)._repr_html_()) > 1000)
print(asm.assemble("sub x5, x6, #0x137").code.hex())
print(hex(header.read_header(header.ENUM).numbering.base))
print(check("00.2", 0x4711).passed, progress().passed)
stepper(call).to_html("page.html")
"""
LEARNT = ["6", "True", "c5dc04d1", "0x100", "True ('00.2',)"]

# In a namespace of mounts that ends with the command: the kit, where it cannot be written, and a
# folder with room for names and for no file that is worth keeping.
CONFINED = """
set -e
mount --bind "$KIT" "$KIT"
mount -o remount,bind,ro "$KIT"
test -z "$FULL" || mount -t tmpfs -o size=16k tmpfs "$FULL"
exec "$@"
"""


@pytest.fixture
def kit(tmp_path):
    """A copy of the kit that has compiled nothing yet, at a path that not every program likes."""
    top = tmp_path / "with blanks, O'Brien and Größe λ"
    for folder in ("hypkit", "data"):
        shutil.copytree(TOP / folder, top / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return top


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with nothing in it, which is where everything is kept that is not beside the kit."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in list(os.environ):
        if name.startswith("XDG_") or name in ("HYPKIT_PROGRESS", "PYTHONDONTWRITEBYTECODE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def run(code, kit, folder, *before, **more):
    """Run code with this kit in a process of its own, in a folder: (its lines, its stderr)."""
    env = {**os.environ, "PYTHONPATH": str(kit), "PYTHONIOENCODING": "utf-8", **more}
    done = subprocess.run(
        [*before, sys.executable, "-P", "-c", code],
        cwd=folder,
        env=env,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def confined(kit, full=""):
    """The beginning of a command that cannot write the kit, nor keep anything in folder `full`."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        pytest.skip("unshare, which confines a process, is for Linux")
    unshare = ["unshare", "--mount"] + ([] if os.getuid() == 0 else ["--map-root-user"])
    command = [
        "env", f"KIT={kit}", f"FULL={full}", *unshare, "sh", "-c", CONFINED, "sh"
    ]  # fmt: skip
    if (done := subprocess.run([*command, "true"], capture_output=True, text=True)).returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    return command


def test_a_terminal_is_told_once_that_the_machine_is_being_compiled(
    kit, home, tmp_path, monkeypatch
):
    with monkeypatch.context() as without:  # which it need not have, where the kit can be written
        without.delenv("HOME")
        assert run(CALL, kit, tmp_path) == (["6"], f"{SAYS}\n")
    assert run(CALL, kit, tmp_path) == (["6"], "")


def test_a_notebook_shows_that_the_machine_is_being_compiled(kit, home, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(kit))
    shown = []
    for _ in range(2):
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CALL)])
        resources = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(book, timeout=600, resources=resources).execute()
        shown.append([(out.name, out.text) for out in book.cells[0].outputs])
    assert shown == [[("stderr", f"{SAYS}\n"), ("stdout", "6\n")], [("stdout", "6\n")]]


@needs_engine
def test_a_kit_that_cannot_be_written_keeps_its_machine_in_the_home(kit, home, tmp_path):
    alone = confined(kit)
    assert run(CALL + LESSON, kit, tmp_path, *alone)[0] == LEARNT
    assert (home / ".cache" / "hypkit" / "callbacks.o").exists()
    assert not list(kit.rglob("__pycache__"))
    assert run(CALL, kit, tmp_path, *alone) == (["6"], "")


@needs_engine
def test_a_home_without_space_costs_a_learner_only_time(kit, home, tmp_path):
    alone = confined(kit, full=home)
    for code, learnt in ((CALL, ["6"]), (CALL + LESSON, LEARNT)):
        lines, said = run(code, kit, tmp_path, *alone)
        assert lines == learnt and said.count(SAYS) == 1
        assert "Traceback" not in said and "No space left" not in said
    assert (tmp_path / "page.html").stat().st_size > 100_000
