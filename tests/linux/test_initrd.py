"""The program and the archive that a kernel is booted with."""

import shutil
import subprocess

import pytest

from hypkit.linux.initrd import BASE, init, initrd


def test_init_is_an_elf_file_that_readelf_takes(tmp_path):
    readelf = shutil.which("aarch64-linux-gnu-readelf") or shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf is not here")
    path = tmp_path / "init"
    path.write_bytes(init())
    said = subprocess.run([readelf, "-hlW", path], capture_output=True, text=True)
    assert said.returncode == 0 and not said.stderr
    assert f"{BASE + 120:#x}" in said.stdout  # the entry, after both headers
    assert "R E" in said.stdout and "LOAD" in said.stdout


def test_the_archive_holds_init_and_the_devices_it_opens():
    archive, at, found = initrd(), 0, {}
    while "TRAILER!!!" not in found:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        at += 110 + fields[11] + -(110 + fields[11]) % 4
        found[name] = fields[1], fields[9:11], archive[at : at + fields[6]]
        at += fields[6] + -fields[6] % 4
    assert at == len(archive)
    assert list(found) == ["dev", "dev/console", "dev/kvm", "init", "TRAILER!!!"]
    assert found["dev/kvm"][:2] == (0o020600, [10, 232])
    assert found["init"] == (0o100755, [0, 0], init())
