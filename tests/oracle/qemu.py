"""QEMU as the judge of execution: run a machine's image there and read its log row by row."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from hypkit.kernel.image import Image
from hypkit.machine.mailbox import mailbox
from tests.judges import judge

# The virt board as our machine is: EL2 there, a GICv3 for the ICH_* registers, no EL3.
MACHINE = (
    "-M",
    "virt,virtualization=on,gic-version=3",
    "-cpu",
    "cortex-a72",
    "-m",
    "1024",
    "-nodefaults",
    "-display",
    "none",
    "-no-reboot",
)
LOG = ("-singlestep", "-d", "exec,cpu,nochain")
TIMEOUT = 60

Row = tuple[int, ...]  # pc, x0 .. x30, sp, nzcv, el


def command(image: Image, requests: list[tuple[int, ...]], folder: Path) -> list[str]:
    """QEMU's command line for an image with these requests in its mailbox; files go to *folder*."""
    memory = dict(image.memory) | mailbox(image, requests, power_off=True)
    options = []
    # Neighbours go into one file: QEMU takes one option a file.
    runs: list[tuple[int, bytearray]] = []
    for pa, data in sorted(memory.items()):
        if runs and 0 <= pa - (runs[-1][0] + len(runs[-1][1])) < 0x10_0000:
            start, content = runs[-1]
            content.extend(bytes(pa - start - len(content)))
            content.extend(data)
        elif runs and pa < runs[-1][0] + len(runs[-1][1]):
            offset = pa - runs[-1][0]
            runs[-1][1][offset : offset + len(data)] = data
        else:
            runs.append((pa, bytearray(data)))
    for pa, content in runs:
        path = folder / f"{pa:x}.bin"
        path.write_bytes(content)
        options += ["-device", f"loader,file={path},addr={pa:#x},force-raw=on"]
    return [
        str(judge("qemu")),
        *MACHINE,
        *options,
        "-device",
        f"loader,addr={image.entry:#x},cpu-num=0",
    ]


def rows(image: Image, requests: list[tuple[int, ...]], folder: Path) -> Iterator[Row]:
    """Every instruction QEMU executed until the board switched itself off."""
    log = folder / "log"
    subprocess.run(
        [*command(image, requests, folder), *LOG, "-D", str(log)],
        check=True,
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    with log.open() as lines:
        yield from parse(lines)


def parse(lines: Iterator[str]) -> Iterator[Row]:
    """The register dumps of `-d cpu`: one a translation block, that is one an instruction."""
    numbers: list[int] = []
    for line in lines:
        if line.startswith(" PC="):
            numbers = []
        if line.startswith((" PC=", "X", "PSTATE")):
            words = line.replace("PC= ", "PC=").split()
            if line.startswith("PSTATE"):
                pstate = int(words[0].removeprefix("PSTATE="), 16)
                yield (*numbers, pstate >> 28, pstate >> 2 & 3)
            else:
                numbers += [int(word.split("=")[1], 16) for word in words]
