"""Snapshots as files: what comes back is what was kept, and what was touched is refused."""

import dataclasses
import json
import zipfile

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
