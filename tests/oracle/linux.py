"""QEMU as the judge of a real kernel: the same calls on the board that its snapshot was taken of."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from hypkit.a64 import syndrome
from hypkit.a64.pagetables import walk
from hypkit.a64.pstate import el_of
from hypkit.linux import KERNELS, archive, snapshot
from hypkit.linux import board as board_of
from hypkit.linux.board import Board
from hypkit.linux.linux_machine import FRAME, LinuxMachine, entry_registers, frame
from hypkit.linux.numbers import with_numbers
from hypkit.linux.recorded import plan
from hypkit.linux.snapshot import PANICS, Snapshot
from hypkit.machine.errors import MachineError
from tests.oracle.rows import ISV_BITS, Row, of_trace

LIMIT = 5_000  # rows of one call; nearly all take a hundred
PSTATE = {"pstate": "cpsr"}
# (kernel, protected) of every boot that there is; 5.10 knows no protected mode.
BOOTS = tuple((k, p) for p in (False, True) for k in KERNELS if not p or k != "5.10")
Booted = tuple[Board, Snapshot]


def name_of(boot: tuple[str, bool]) -> str:
    """What fetch() and machine() call the snapshot of a boot: "6.1", or "6.1-protected"."""
    kernel, protected = boot
    return kernel + snapshot.PROTECTED * protected


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


@dataclass(frozen=True)
class Compared:
    """One call of the plan, here and in QEMU. key: see hypkit.linux.recorded.plan; what: its name."""

    key: str
    what: str
    mine: list[Row]
    theirs: list[Row]

    @property
    def wrong(self) -> list[int]:
        """The rows that differ, those that only one side has among them."""
        pairs = enumerate(zip_longest(self.mine, self.theirs))
        return [
            n for n, (a, b) in pairs if a is None or b is None or normalized(a) != normalized(b)
        ]


def compared(board: Board, machine: LinuxMachine) -> Iterator[Compared]:
    """Make every call of the plan, in its order, on the board and on a machine of its snapshot."""
    kernel = machine.kernel
    stack = walk(
        kernel.load64, kernel.sysregs["TTBR1_EL1"], kernel.registers["sp"] - FRAME, regime="EL1"
    ).pa
    assert stack is not None
    for key, (what, x0, args) in plan(kernel.ids).items():
        mine = ours(machine, x0, args)
        yield Compared(key, what, mine, list(rows(board, kernel, stack, x0, args)))


@contextmanager
def booted(package: Path, source: str, version: str, protected: bool) -> Iterator[Booted]:
    """Boot a package's kernel: (the board, stopped; the snapshot that was taken of it)."""
    with (
        archive.image(package) as (file, digest),
        board_of.booted(file, protected=protected) as running,
    ):
        taken = snapshot.take(running, source, version, digest, protected=protected)
        yield running, with_numbers(taken)


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
