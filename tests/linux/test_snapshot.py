"""Snapshots as files: what comes back is what was kept, and what was touched is refused."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hypkit import linux
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.kernel.addresses import DRAM_BASE
from hypkit.linux import snapshot as snapshots
from hypkit.linux.snapshot import Snapshot
from hypkit.machine.errors import MachineError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    return tmp_path / "hypkit" / "linux"


def small():
    pages = np.arange(2 * PAGE_SIZE, dtype=np.uint32).astype(np.uint8).reshape(2, PAGE_SIZE)
    return Snapshot(
        "a-package",
        "6.1.9-1",
        "ab" * 32,
        "6.1.0-9-arm64",
        {"x0": 1, "pc": (1 << 64) - 4},
        {"VBAR_EL2": 0x8000_0000_0000},
        0xFFFF_8000_0000_0000,
        -(1 << 40),
        ((0x1000, DRAM_BASE, 0x2000, True),),
        (DRAM_BASE,),
        np.array([0, 5]),
        pages,
        {"panic": 0xFFFF_8000_0001_0000, "__kvm_nvhe_a b": 3},
        {"__kvm_get_mdcr_el2": 0xC600_0001},
        ("x",),
        None,
    )


def test_a_snapshot_comes_back_as_it_was_saved(cache):
    one = small()
    one.save(snapshots.path_of("6.1"))
    other = snapshots.read(snapshots.path_of("6.1"))
    for field in dataclasses.fields(Snapshot):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name
    assert snapshots.available() == ("6.1",) == linux.available()
    assert repr(other) == "Snapshot(Linux 6.1.0-9-arm64 from a-package 6.1.9-1: 0.0 MiB)"
    assert other.kernel == "6.1"
    assert list(cache.iterdir()) == [snapshots.path_of("6.1")]  # no draft is left behind


def test_memory_that_was_not_kept_reads_as_zero():
    data = small().load(DRAM_BASE + PAGE_SIZE - 2, 4)
    assert data == bytes((0xFE, 0xFF, 0, 0))
    assert small().load64(DRAM_BASE + 8) == int.from_bytes(bytes(range(8, 16)), "little")


def rewritten(path, **changes):
    """The same archive with members changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, change in changes.items():
        key = "about.json" if name == "about" else name
        members[key] = change(members[key])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    path.chmod(0o600)


def about(**news):
    return lambda text: json.dumps(json.loads(text) | news)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is no snapshot of a kernel, or"),
        (lambda path: path.write_bytes(b""), "is no snapshot of a kernel, or not all of one"),
        (lambda path: path.write_text("PK\x03\x04 nonsense"), "is no snapshot of a kernel, or"),
        (lambda path: rewritten(path, pages=lambda data: data[:-1] + b"\1"), "was changed after"),
        (lambda path: rewritten(path, symbols=lambda data: data + b"0 x\n"), "was changed after"),
        (lambda path: rewritten(path, about=about(format=99)), "is of format 99, and this hypkit"),
        (lambda path: rewritten(path, about=about(numbers=[0, 1 << 20])), "is no snapshot of"),
        (lambda path: rewritten(path, about=about(registers=None)), "is no snapshot of"),
        (lambda path: rewritten(path, about=lambda text: b"[]"), "is no snapshot of"),
        (lambda path: path.chmod(0o666), "somebody else may change it"),
        (lambda path: path.parent.chmod(0o777), "somebody else may change it"),
    ],
)
def test_a_file_that_is_not_as_it_was_made_is_refused(cache, spoil, said):
    path = snapshots.path_of("6.1")
    small().save(path)
    spoil(path)
    with pytest.raises(MachineError) as caught:
        linux.machine("6.1")
    assert said in str(caught.value)


def test_a_machine_without_a_snapshot_says_how_to_make_one(cache):
    with pytest.raises(MachineError) as caught:
        linux.machine("6.1")
    assert str(caught.value).startswith(
        "no snapshot of Linux 6.1 is here (there is: none). hypkit.linux.fetch('6.1') or "
        "`make linux ARGS='6.1'` makes one"
    )


def test_a_snapshot_that_is_there_is_not_made_again(cache):
    small().save(snapshots.path_of("6.1"))
    said = []
    assert linux.fetch("6.1", say=said.append).digest == "ab" * 32
    assert said[0].endswith("is there already; fetch('6.1', again=True) makes it anew.")


def test_without_qemu_nothing_is_downloaded_and_the_sentence_says_how_to_get_it(cache, monkeypatch):
    monkeypatch.setattr("hypkit.linux.board.shutil.which", lambda name: None)
    monkeypatch.setattr("hypkit.linux.archive.package", lambda *args: pytest.fail("downloaded"))
    with pytest.raises(
        MachineError, match="qemu-system-aarch64, which is not installed: on Debian"
    ):
        linux.fetch("6.1", say=lambda text: None)
    with pytest.raises(KeyError, match=r"no kernel '3\.2' in Debian's archive"):
        linux.fetch("3.2", say=lambda text: None)
    with pytest.raises(TypeError, match="expected a kernel by its version"):
        linux.fetch(6.1, say=lambda text: None)


@pytest.mark.parametrize("name", ["../6.1", "a/b", "", ".", "6.1\0", "6.1\n", "x" * 300, "ä"])
def test_a_name_that_would_lead_out_of_the_cache_is_refused(cache, name):
    for wrong in (
        lambda: linux.machine(name),
        lambda: linux.fetch(name, file="x.deb", say=lambda text: None),
    ):
        with pytest.raises(ValueError, match="expected a kernel's version, such as"):
            wrong()


# --- A cache that is read-only, closed, or none ---------------------------------------------------


@pytest.fixture
def bound():
    """within(folder, mode): as a user whom the mode of a folder binds; it does not bind root."""
    if sys.platform == "win32":
        pytest.skip("a folder's mode binds nobody here")
    with contextlib.ExitStack() as stack:
        place = Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, place)
        place.chmod(0o755)

        @contextlib.contextmanager
        def within(folder, mode):
            before, user = stat.S_IMODE(folder.stat().st_mode), os.geteuid()
            folder.chmod(mode)
            try:
                if user == 0:
                    os.seteuid(65534)
                yield
            finally:
                if user == 0:
                    os.seteuid(0)
                folder.chmod(before)

        yield place, within


def fetched():
    return linux.fetch("6.1", say=lambda text: None)


def nothing_comes(monkeypatch):
    monkeypatch.setattr("hypkit.linux.board.qemu", lambda: "qemu-system-aarch64")
    monkeypatch.setattr("hypkit.linux.archive.package", lambda *args: pytest.fail("downloaded"))


def sentence(function):
    with pytest.raises(MachineError) as caught:
        function()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_read_only_cache_is_read_and_what_it_has_not_is_not_downloaded(bound, monkeypatch):
    place, within = bound
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    nothing_comes(monkeypatch)
    cache = snapshots.folder()
    path = snapshots.path_of("6.1")
    small().save(path)
    for folder in (cache, cache.parent):
        folder.chmod(0o755)
    path.chmod(0o644)
    with within(cache, 0o555):
        assert linux.available() == ("6.1",)
        assert snapshots.read(path).release == fetched().release == small().release
        for refused in (
            lambda: linux.fetch("6.1", again=True, say=lambda text: None),
            lambda: linux.fetch("7.2", say=lambda text: None),
        ):
            assert re.fullmatch(
                r"the snapshot cannot be written to .*/(6\.1|7\.2)\.hypkit-linux: Permission denied\. "
                "XDG_CACHE_HOME names another place for it",
                sentence(refused),
            )
        assert sentence(lambda: linux.machine("7.2")).startswith(
            "no snapshot of Linux 7.2 is here (there is: 6.1). "
        )
        assert [file.name for file in cache.iterdir()] == [path.name]


def test_a_cache_that_may_not_be_looked_into_is_said_to_be_closed(bound, monkeypatch):
    place, within = bound
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    nothing_comes(monkeypatch)
    path = snapshots.path_of("6.1")
    small().save(path)
    with within(place, 0o000):
        assert linux.available() == ()
        for refused in (lambda: linux.machine("6.1"), fetched):
            assert sentence(refused) == f"{path} cannot be read: Permission denied"


@pytest.mark.parametrize("kind", ["a file", "below a file", "nothing, below a closed folder"])
def test_a_cache_folder_that_cannot_be_is_told_before_anything_is_downloaded(
    bound, monkeypatch, kind
):
    place, within = bound
    nothing_comes(monkeypatch)
    (place / "file").touch()
    where = {"a file": place / "file", "below a file": place / "file" / "x"}.get(kind, place / "x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(where))
    with within(place, 0o555):
        assert linux.available() == ()
        assert sentence(lambda: linux.machine("6.1")).startswith("no snapshot of Linux 6.1 is here")
        assert re.match(
            r"the snapshot cannot be written to .*: (Not a directory|File exists|Permission denied)\.",
            sentence(fetched),
        )


def test_without_a_home_and_a_cache_folder_the_sentence_says_what_to_set(monkeypatch):
    def nowhere(path):
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(snapshots.Path, "expanduser", nowhere)
    nothing_comes(monkeypatch)
    assert linux.available() == ()
    for refused in (lambda: linux.machine("6.1"), fetched):
        assert sentence(refused) == (
            "a snapshot of a kernel lies in the user's cache folder, and this user has no home: "
            f"give {snapshots.VARIABLE} a folder of yours"
        )
