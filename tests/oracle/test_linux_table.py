"""The table of the real kernels: what is in it, and what stands there where nothing can be compared."""

import shutil

import pytest

from hypkit.linux import board, snapshot
from hypkit.machine.errors import MachineError
from tests.judges import judge, required
from tests.oracle import linux_table
from tests.oracle.linux import BOOTS, image_of
from tests.oracle.linux_table import HEADS, Line

KERNEL = "6.1"
KEPT = snapshot.path_of(KERNEL)  # in the user's own cache


def made(kernel=KERNEL, **more):
    numbers = {"calls": 15, "rows": 1600, "differ": 0, "size": 3 << 20, "boot": 5.0, "load": 0.1}
    return Line(kernel, "6.1.9-1", **numbers | more)


@pytest.fixture
def no_qemu(monkeypatch):
    monkeypatch.setattr(board.shutil, "which", lambda name: None)


@pytest.fixture
def empty(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    return tmp_path


def printed(capsys):
    return capsys.readouterr().out.splitlines()


def test_a_kernel_is_booted_compared_weighed_and_timed():
    judge("linux")
    try:
        image_of(KERNEL, download="linux" in required())
    except MachineError as error:
        if "linux" in required():
            pytest.fail(f"JUDGE MISSING: {error}", pytrace=False)
        pytest.skip(str(error))
    found = linux_table.line(KERNEL, False)
    assert found.differ == 0 and found.why == ""
    assert found.calls > 10 and found.rows > 80 * (found.calls // 2)
    assert 1 << 20 < found.size < 32 << 20
    assert found.boot > found.load > 0


def test_a_row_that_differs_is_in_the_table_and_in_the_exit_status(monkeypatch, capsys):
    lines = {BOOTS[0]: made("5.10"), BOOTS[1]: made("6.1", differ=1234)}
    monkeypatch.setattr(linux_table, "line", lambda *boot: lines.get(boot, made(boot[0])))
    assert linux_table.main(["5.10"]) == 0
    (head, line) = printed(capsys)
    assert head.split()[0] == HEADS[0] and line.split()[:5] == [
        "5.10",
        "6.1.9-1",
        "15",
        "1,600",
        "0",
    ]
    assert linux_table.main([]) == 1
    rows = printed(capsys)
    assert len(rows) == 1 + len(BOOTS) and len(set(map(len, rows))) == 1
    assert "1,234" in rows[2] and "1,234" not in rows[1]


def test_without_qemu_a_kernel_is_not_said_to_be_compared(empty, no_qemu, capsys):
    assert linux_table.main([KERNEL]) == 0
    head, usual, protected, why = printed(capsys)
    assert usual.split() == [KERNEL, *"-------"] and protected.split()[1:] == [*"-------"]
    assert why.startswith("not compared: 6.1, 6.1-protected: to boot a kernel takes qemu-system-")
    assert why.endswith("and no snapshot of it is in the cache")


def test_without_qemu_the_snapshot_in_the_cache_is_weighed_and_timed(empty, no_qemu):
    if not KEPT.exists():
        pytest.skip(f"no snapshot of Linux {KERNEL}: `make linux` makes one")
    copy = snapshot.path_of(KERNEL)
    copy.parent.mkdir(parents=True, mode=0o700)
    shutil.copy2(KEPT, copy)
    found = linux_table.line(KERNEL, False)
    assert (found.calls, found.rows, found.differ, found.boot) == (None,) * 4
    assert found.size == KEPT.stat().st_size and found.load > 0 and found.version
    copy.write_bytes(KEPT.read_bytes()[:-9])
    with pytest.raises(MachineError, match="is no snapshot of a kernel, or not all of one"):
        linux_table.line(KERNEL, False)


def test_a_kernel_without_a_package_says_which_command_gets_one(empty):
    judge("qemu")
    found = linux_table.line(KERNEL, True)
    assert found.rows is None and "`python -m tests.oracle.linux` all four" in found.why


def test_a_kernel_that_there_is_not_is_told_which_there_are(capsys):
    assert linux_table.main(["4.19"]) == 2
    said = capsys.readouterr().err
    assert said == "expected kernels out of 5.10, 6.1, 6.12, 7.2; got 4.19\n"
