"""A kernel booted in QEMU, stopped and looked at through QEMU's debugger interface.

The interface is GDB's remote protocol (GDB manual, appendix E): packets `$text#sum`, an answer for
each. QEMU adds its monitor's commands (qRcmd) and memory by physical address
(Qqemu.PhyMemMode).
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hypkit.a64.pstate import el_of
from hypkit.errors import pass_on
from hypkit.kernel.addresses import DRAM_BASE
from hypkit.linux.initrd import READY, TROUBLE, initrd
from hypkit.machine.errors import MachineError

QEMU = "qemu-system-aarch64"
RAM_SIZE = 256 << 20  # bytes; what the newest kernel needs to boot with this initrd, and some more
BOOT_SECONDS = 180
ANSWER_SECONDS = 60
# QEMU draws the numbers that it hands to the kernel from this: KASLR's seed is one of them.
SEED = 2020
# The first is where init's words go; the second says that EL2 is to be KVM's, and the host at EL1.
COMMAND_LINE = "console=ttyAMA0 kvm-arm.mode="
# A processor that waits for an interrupt is stopped and looked at again after so many seconds.
PAUSE = 0.05
TRIES = 200

GENERAL = tuple(f"x{n}" for n in range(31))
Registers = tuple[int, ...]  # x0 to x30, sp, pc, cpsr


def qemu() -> str:
    """Return the path of QEMU's program. Raises MachineError that says how to install it."""
    if not hasattr(socket, "AF_UNIX"):
        raise MachineError(
            "to boot a kernel takes sockets with a path, which Python has not got on this system: "
            "do it in WSL, or copy a snapshot of your own from another computer"
        )
    found = shutil.which(QEMU)
    if found is None:
        raise MachineError(
            f"to boot a kernel takes {QEMU}, which is not installed: on Debian or Ubuntu "
            "`apt install qemu-system-arm`, on Fedora `dnf install qemu-system-aarch64`, on macOS "
            "`brew install qemu`, from conda-forge `qemu`"
        )
    return found


class Board:
    """QEMU's virt board, stopped: an arm64 kernel with KVM at EL2, idle at EL1.

    registers and memory are read and written while it stands still; step() executes one
    instruction.
    """

    def __init__(self, link: socket.socket, folder: Path) -> None:
        self._link, self._folder, self._heard = link, folder, b""
        self._link.settimeout(ANSWER_SECONDS)
        self._numbers: dict[str, int] = {}
        self._receive()  # to connect is to stop the processor, and here is where it stopped
        self._ask("qSupported:xmlRegisters=aarch64")

    # -- the protocol --

    def _send(self, text: str) -> None:
        data = text.encode()
        with contextlib.suppress(OSError):  # then there is no answer either, and that is told
            self._link.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))

    def _receive(self) -> bytes:
        while True:
            end = self._heard.find(b"#")
            if end >= 0 and len(self._heard) >= end + 3:
                packet = self._heard[self._heard.find(b"$") + 1 : end]
                self._heard = self._heard[end + 3 :]
                with contextlib.suppress(OSError):
                    self._link.sendall(b"+")
                return packet
            try:
                more = self._link.recv(1 << 16)
            except OSError as error:
                pass_on(error)
                more = b""
            if not more:
                raise MachineError(
                    "QEMU ended, or gave no answer, while it was being looked at. Try again"
                )
            self._heard += more

    def _ask(self, text: str) -> bytes:
        self._send(text)
        return self._receive()

    def monitor(self, command: str) -> str:
        """Have QEMU's monitor do something; what it says."""
        self._send("qRcmd," + command.encode().hex())
        said = b""
        while (packet := self._receive()) != b"OK":
            if packet[:1] != b"O":
                raise MachineError(f"QEMU's monitor refused {command!r}: {packet.decode()}")
            said += bytes.fromhex(packet[1:].decode())
        return said.decode(errors="replace")

    # -- stopping and going --

    def stop(self) -> None:
        """Stop the processor wherever it is."""
        self._link.sendall(b"\x03")
        self._receive()

    def go(self) -> None:
        """Let the processor run."""
        self._send("c")

    def step(self) -> None:
        """Execute one instruction, without an interrupt, or enter the exception that it takes."""
        self._ask("s")

    # -- registers --

    @property
    def registers(self) -> Registers:
        """Return x0 to x30, sp, pc and cpsr."""
        answer = bytes.fromhex(self._ask("g")[: 2 * 268].decode())
        words = [int.from_bytes(answer[8 * n : 8 * n + 8], "little") for n in range(33)]
        return (*words, int.from_bytes(answer[264:268], "little"))

    def write(self, name: str, value: int) -> None:
        """Give x0 to x30, sp, pc or cpsr a value."""
        number = {"sp": 31, "pc": 32, "cpsr": 33}.get(name)
        if number is None:
            number = GENERAL.index(name)
        data = value.to_bytes(4 if name == "cpsr" else 8, "little").hex()
        if self._ask(f"P{number:x}={data}") != b"OK":
            raise MachineError(f"QEMU did not take {value:#x} for {name}")

    def system_registers(self) -> dict[str, int]:
        """Return every system register that QEMU shows, by QEMU's name for it."""
        numbers = self._numbers = self._numbers or dict(self._listed())
        values = {}
        for name, number in numbers.items():
            answer = self._ask(f"p{number:x}")
            if answer and not answer.startswith(b"E"):
                values[name] = int.from_bytes(bytes.fromhex(answer.decode()), "little")
        return values

    def _listed(self) -> Iterator[tuple[str, int]]:
        for file in re.findall(r'href="([^"]+)"', self._description("target.xml")):
            number = 0
            for entry in re.findall(r"<reg ([^>]*)/>", self._description(file)):
                about = dict(re.findall(r'(\w+)="([^"]*)"', entry))
                number = int(about.get("regnum", number))
                if "system" in file:
                    yield about["name"], number
                number += 1

    def _description(self, name: str) -> str:
        text = b""
        while True:
            part = self._ask(f"qXfer:features:read:{name}:{len(text):x},ffb")
            if part[:1] not in (b"l", b"m"):
                raise MachineError(f"QEMU does not describe its registers in {name}")
            text += re.sub(
                rb"}(.)", lambda found: bytes((found[1][0] ^ 0x20,)), part[1:], flags=re.S
            )
            if part[:1] == b"l":
                return text.decode()

    # -- memory --

    def ram(self) -> bytes:
        """Return all of memory, from DRAM_BASE on."""
        file = self._folder / "ram"
        self.monitor(f'pmemsave {DRAM_BASE:#x} {RAM_SIZE:#x} "{file}"')
        data = file.read_bytes()
        file.unlink()
        if len(data) != RAM_SIZE:
            raise MachineError(f"QEMU saved {len(data)} bytes of memory, not {RAM_SIZE}")
        return data

    def load(self, pa: int, size: int) -> bytes:
        """Return bytes of physical memory."""
        self._ask("Qqemu.PhyMemMode:1")
        return bytes.fromhex(self._ask(f"m{pa:x},{size:x}").decode())

    def word(self, va: int) -> int:
        """Return the instruction at a virtual address of the running level; 0 where none is."""
        self._ask("Qqemu.PhyMemMode:0")
        answer = self._ask(f"m{va:x},4")
        return 0 if answer[:1] == b"E" else int.from_bytes(bytes.fromhex(answer.decode()), "little")

    def store(self, pa: int, data: bytes) -> None:
        """Write bytes of physical memory."""
        self._ask("Qqemu.PhyMemMode:1")
        if self._ask(f"M{pa:x},{len(data):x}:{data.hex()}") != b"OK":
            raise MachineError(f"QEMU did not write {len(data)} bytes at {pa:#x}")


@contextmanager
def booted(
    kernel: Path, *, protected: bool = False, seconds: float = BOOT_SECONDS
) -> Iterator[Board]:
    """Boot a kernel until its init has made a VM; the board, stopped when the processor is idle.

    kernel: an arm64 Image; protected: whether KVM is to protect its VMs from the host. MachineError
    with the kernel's last words when it does not come up, or has no KVM.
    """
    program = qemu()
    with tempfile.TemporaryDirectory(prefix="hypkit-") as name:
        folder = Path(name)
        (folder / "initrd").write_bytes(initrd())
        command = [
            program,
            *("-M", "virt,virtualization=on,gic-version=3", "-cpu", "cortex-a72"),
            *("-m", str(RAM_SIZE >> 20), "-smp", "1", "-seed", str(SEED)),
            *("-nodefaults", "-display", "none", "-no-reboot"),
            *("-kernel", str(kernel), "-initrd", str(folder / "initrd")),
            *("-append", COMMAND_LINE + ("protected" if protected else "nvhe")),
            *("-serial", f"file:{folder / 'console'}"),
            *("-chardev", f"socket,id=gdb,path={folder / 'gdb'},server=on,wait=off"),
            *("-gdb", "chardev:gdb"),
        ]
        with (folder / "qemu").open("wb") as said:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )
        try:
            _wait(process, folder, seconds)
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(str(folder / "gdb"))  # which stops it
                board = Board(link, folder)
                _idle(board)
                yield board
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> None:
    """Wait until init says that it is ready. Raises MachineError with the last words otherwise."""
    console, limit = folder / "console", time.monotonic() + seconds
    while True:
        said = console.read_text(errors="replace") if console.exists() else ""
        if READY in said:
            return
        trouble = [line for line in said.splitlines() if line.startswith(TROUBLE)]
        if trouble:
            raise MachineError(
                f"{trouble[-1].removeprefix(TROUBLE)}: EL2 stays empty. Take a kernel with "
                "CONFIG_KVM=y; Debian's arm64 kernels have it"
            )
        if process.poll() is not None:
            raise MachineError(f"QEMU did not start: {_last((folder / 'qemu').read_text())}")
        if time.monotonic() > limit:
            raise MachineError(
                f"the kernel did not reach its first program within {seconds:.0f} s. "
                + (f"Its last words: {_last(said)}" if said else "It said nothing at all")
            )
        time.sleep(PAUSE)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "(nothing)"


WFI = 0xD503207F


def _idle(board: Board) -> None:
    """Let the board run on until its only processor waits for an interrupt, in the kernel."""
    for _ in range(TRIES):
        registers = board.registers
        if el_of(registers[33]) == 1 and board.word(registers[32] - 4) == WFI:
            return
        board.go()
        time.sleep(PAUSE)
        board.stop()
    raise MachineError("the kernel never came to rest after its boot")


def registers_of(names: Mapping[str, int]) -> dict[str, int]:
    """Return values by the Arm ARM's names: QEMU leaves the level out where EL1's was first."""
    return {SPELLED.get(name, name): value for name, value in names.items()}


SPELLED = {"SCTLR": "SCTLR_EL1", "VBAR": "VBAR_EL1", "CPACR": "CPACR_EL1", "CNTKCTL": "CNTKCTL_EL1"}
