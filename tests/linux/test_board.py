"""Boots that do not come to an end: each is told in a sentence, and QEMU is gone afterwards."""

import subprocess

import pytest

from hypkit.linux import board
from hypkit.machine.errors import MachineError
from tests.judges import judge


@pytest.fixture(autouse=True)
def qemu():
    judge("qemu")


def image(tmp_path, code):
    """An Image whose first instructions are these words."""
    head = bytearray(64)
    head[16:24] = (1 << 20).to_bytes(8, "little")  # image_size
    head[24:32] = (0b1010).to_bytes(8, "little")
    head[0x38:0x3C] = b"ARM\x64"
    for place, word in enumerate(code):
        head[4 * place : 4 * place + 4] = word.to_bytes(4, "little")
    path = tmp_path / "Image"
    path.write_bytes(bytes(head) + bytes(1 << 16))
    return path


def running(tmp_path):
    said = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    return [line for line in said.splitlines() if str(tmp_path) in line and "qemu" in line]


def test_a_kernel_that_says_nothing_is_given_up(tmp_path):
    path = image(tmp_path, [0x14000000])  # b .
    with pytest.raises(
        MachineError, match="did not reach its first program within 1 s. It said no"
    ):
        with board.booted(path, seconds=1):
            pass
    assert not running(tmp_path)


def test_what_is_no_kernel_for_qemu_is_told_in_its_words(tmp_path):
    with pytest.raises(MachineError, match="QEMU did not start: .*could not load kernel"):
        with board.booted(tmp_path / "nothing", seconds=20):
            pass
    assert not running(tmp_path)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("hypkit: this kernel has no /dev/kvm", "this kernel has no /dev/kvm: EL2 stays empty"),
        ("Kernel panic - not syncing", "Its last words: Kernel panic - not syncing"),
    ],
)
def test_what_the_console_says_is_in_the_sentence(tmp_path, said, told):
    (tmp_path / "console").write_text(f"booting\n{said}\n")
    process = subprocess.Popen(["sleep", "20"])
    try:
        with pytest.raises(MachineError, match=told):
            board._wait(process, tmp_path, 0.2)
    finally:
        process.kill()
        process.wait()
