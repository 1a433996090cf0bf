"""`python -m tests.oracle.linux_table [6.1 7.2 ...]`: the kernels, each in a line, compared anew.

Each kernel is booted in QEMU, the calls of hypkit.linux.recorded.plan are made there and on the
kit's machine, and their rows compared. Where QEMU is not here, or a kernel's package is not beside
the snapshots (`python -m tests.oracle.linux` gets all), the line says so, and the size and the time
are those of the snapshot in the cache, if there is one. The exit status is 1 when a row differs, and
2 for a kernel that there is not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hypkit.errors import KitError
from hypkit.linux import KERNELS, LinuxMachine, board
from hypkit.linux.snapshot import Snapshot, path_of, read
from hypkit.machine.errors import MachineError
from tests.oracle.linux import BOOTS, booted, compared, image_of, name_of

TIMES = 3  # of which the shortest counts: the others had to share the processor
HEADS = ("kernel", "package", "calls", "rows compared", "rows that differ", "snapshot, MiB",
         "boot, s", "load, s")  # fmt: skip


@dataclass(frozen=True)
class Line:
    """What is said of a kernel. None: it was not compared, or there is no snapshot; then why."""

    kernel: str
    version: str = ""
    calls: int | None = None
    rows: int | None = None
    differ: int | None = None
    size: int | None = None
    boot: float | None = None
    load: float | None = None
    why: str = ""

    def cells(self) -> tuple[str, ...]:
        """The line by the columns of HEADS."""
        counts = (self.calls, self.rows, self.differ)
        return (
            self.kernel,
            self.version or "-",
            *("-" if n is None else f"{n:,}" for n in counts),
            "-" if self.size is None else f"{self.size / (1 << 20):.1f}",
            *("-" if t is None else f"{t:.2f}" for t in (self.boot, self.load)),
        )


def weighed(path: Path) -> tuple[int, float]:
    """(bytes of a snapshot's file, seconds from it to a machine that answers)."""
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        with LinuxMachine(read(path)):
            seconds.append(time.perf_counter() - start)
    return path.stat().st_size, min(seconds)


def of_file(path: Path, name: str, why: str) -> Line:
    """The line of a kernel that cannot be compared; why: what is missing."""
    if not path.exists():
        return Line(name, why=f"{why}; and no snapshot of it is in the cache")
    kept: Snapshot = read(path)
    size, load = weighed(path)
    return Line(name, kept.version or kept.release, size=size, load=load, why=why)


def line(kernel: str, protected: bool) -> Line:
    """Boot a kernel and compare it; KitError where that cannot be."""
    name = name_of((kernel, protected))
    try:
        board.qemu()
        package, source, version = image_of(kernel, download=False)
    except MachineError as error:
        return of_file(path_of(kernel, protected=protected), name, str(error))
    start = time.perf_counter()
    with (
        booted(package, source, version, protected) as (running, taken),
        tempfile.TemporaryDirectory() as folder,
    ):
        boot = time.perf_counter() - start
        file = Path(folder, "snapshot")
        taken.save(file)
        size, load = weighed(file)
        with LinuxMachine(taken) as machine:
            calls = list(compared(running, machine))
    rows = sum(max(len(call.mine), len(call.theirs)) for call in calls)
    wrong = sum(len(call.wrong) for call in calls)
    return Line(name, version, len(calls), rows, wrong, size, boot, load)


def table(lines: Iterable[Line]) -> Iterator[str]:
    """The table's text, line by line, and after it why some were not compared."""
    lines = list(lines)
    cells = [HEADS, *(each.cells() for each in lines)]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        left, right = zip(row[:2], wide[:2], strict=True), zip(row[2:], wide[2:], strict=True)
        yield "  ".join([*(f"{c:<{w}}" for c, w in left), *(f"{c:>{w}}" for c, w in right)])
    for why in dict.fromkeys(each.why for each in lines if each.why):
        names = ", ".join(each.kernel for each in lines if each.why == why)
        yield f"not compared: {names}: {why}"


def main(wanted: list[str]) -> int:
    """Print the table of the kernels named, or of all; the exit status."""
    unknown = [name for name in wanted if name not in KERNELS]
    if unknown:
        known = ", ".join(KERNELS)
        print(f"expected kernels out of {known}; got {', '.join(unknown)}", file=sys.stderr)
        return 2
    lines = []
    for kernel, protected in BOOTS:
        if not wanted or kernel in wanted:
            try:
                lines.append(line(kernel, protected))
            except KitError as error:
                lines.append(Line(name_of((kernel, protected)), why=str(error)))
    print("\n".join(table(lines)))
    return int(any(each.differ for each in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
