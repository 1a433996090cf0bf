"""QEMU as the judge of a real kernel: the same calls on the board that its snapshot was taken of."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hypkit.a64 import syndrome
from hypkit.a64.pstate import el_of
from hypkit.linux import archive, snapshot
from hypkit.linux.board import Board
from hypkit.linux.linux_machine import LinuxMachine, entry_registers, frame
from hypkit.linux.snapshot import PANICS, Snapshot
from hypkit.machine.errors import MachineError
from tests.oracle.rows import ISV_BITS, Row, of_trace

LIMIT = 5_000  # rows of one call; nearly all take a hundred
PSTATE = {"pstate": "cpsr"}


def rows(board: Board, kernel: Snapshot, stack: int, x0: int, args: Sequence[int]) -> Iterator[Row]:
    """Make a call on the board, and give every row of it, the state afterwards as the last one.

    stack: the physical address of the calling code's frame.
    """
    board.store(stack, frame(kernel))
    for name, value in entry_registers(kernel, x0, args).items():
        board.write(PSTATE.get(name, name), value)
    panics = {kernel.symbols[name] for name in PANICS if name in kernel.symbols}
    for _ in range(LIMIT):
        *general, pc, pstate = board.registers
        row = pc, *general, pstate >> 28, el_of(pstate)
        if pc == kernel.registers["pc"]:
            yield row
            return
        board.step()
        if pc in panics:
            # A protected EL2 may not have mapped that page for the host yet: then the fetch fails,
            # and a fetch that fails is no row of ours.
            if el_of(board.registers[-1]) == 2:
                continue
            yield row
            return
        yield row


def normalized(row: Row) -> Row:
    """A row without DIFFERENCE 1 of tests/oracle/rows.py: a register that holds the syndrome of a
    data abort of EL2's own. The kernel's panic hands it from one register to the next."""
    return tuple(
        value & ~ISV_BITS if value >> syndrome.ESR_EC_SHIFT == syndrome.EC_DABT_SAME else value
        for value in row
    )


def ours(machine: LinuxMachine, x0: int, args: Sequence[int]) -> list[Row]:
    """The same rows from the kit's machine."""
    return list(of_trace(machine.hvc(x0, *args).trace))


def image_of(kernel: str, *, download: bool) -> tuple[Path, str, str]:
    """(the package with a kernel, its name, its version): kept beside the snapshots, as a boot needs
    more than they hold. MachineError where it is not there and must not, or cannot, be fetched."""
    folder = snapshot.folder() / "packages"
    for path in folder.glob(f"{kernel}_*.deb"):
        _, source, version = path.stem.split("_", 2)
        return path, source, version.replace("%3a", ":")
    if not download:
        raise MachineError(
            f"no package of Linux {kernel} is in {folder}: HYPKIT_REQUIRE=linux lets the tests "
            "download what CI compares, and `python -m tests.oracle.linux` all four"
        )
    with tempfile.TemporaryDirectory() as name:
        path, source, version = archive.package(archive.known(kernel), Path(name))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = folder / f"{kernel}_{source}_{version.replace(':', '%3a')}.deb"
        shutil.move(path, kept)
    return kept, source, version


if __name__ == "__main__":
    for each in archive.KERNELS:
        print(image_of(each, download=True)[0])
