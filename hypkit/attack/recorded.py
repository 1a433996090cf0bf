"""Rows of the matrix for real kernels that were attacked elsewhere: data/attack.toml.

Classes, counts, names of functions and register values are facts. Nothing of a kernel's code or
memory is among them.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from hypkit.attack.outcomes import code_of
from hypkit.facts import data_path
from hypkit.linux.snapshot import Snapshot

FILE = "attack.toml"
CALLS = 1_000  # hostile calls for a recorded cell
HEAD = """\
# Real Linux kernels under attack: written by `python -m tests.attack.record_real`, and held to a
# fresh run by tests/attack/test_real.py, on computers that have the snapshots.
#
# The source of each row is a package of Debian's archive, by name and version, and the SHA-256 of
# the Image in it. What stands here are classes, counts, names and register values; no code.
#
# state: of the memory and registers after the boot, SHA-256: another boot has other addresses. seed,
# calls: of the attack. cell: a power of the host's. outcome: the worst class, "" where there is
# none; why: the reason for that; detail: the function and place; registers: x0 to x6 of the smallest
# example; after: how many calls have to be made before it; writes: what EL1 wrote beforehand; counts:
# calls by class.
"""


@dataclass(frozen=True)
class RecordedCell:
    """One cell of a real kernel's row, as it was recorded.

    outcome, why, detail: in words; registers: x0 to x6 of the smallest example, () without one;
    after: calls before it; writes: what EL1 wrote beforehand, in words; counts: class -> calls.
    """

    outcome: str
    why: str
    detail: str
    registers: tuple[int, ...]
    after: int
    writes: tuple[str, ...]
    counts: Mapping[str, int] = field(repr=False)

    @property
    def code(self) -> str:
        """Return the line of Python that makes the smallest example's call, "" without one."""
        return code_of(self.registers) if self.registers else ""


@dataclass(frozen=True)
class RecordedRow:
    """A real kernel's row, where its kernel came from, and how it was attacked."""

    release: str
    package: str
    version: str
    digest: str
    state: str
    seed: int
    calls: int
    cells: Mapping[str, RecordedCell] = field(repr=False)

    @property
    def source(self) -> str:
        """Return the package and its version; some packages have the version in their file's name."""
        return f"{self.package} {self.version}".strip()


def state_of(kernel: Snapshot) -> str:
    """Return the SHA-256 of what a kernel's memory and registers are: of one boot, in hexadecimal."""
    said = repr((sorted(kernel.registers.items()), sorted(kernel.sysregs.items())))
    return hashlib.sha256(said.encode() + kernel.pages.tobytes()).hexdigest()


@cache
def recorded() -> Mapping[str, RecordedRow]:
    """Return the recorded rows, kernel by kernel: "6.1-protected" -> RecordedRow."""
    with data_path(FILE).open("rb") as file:
        kernels = tomllib.load(file)["kernel"]
    return {
        kernel: RecordedRow(
            entry["release"],
            entry["package"],
            entry["version"],
            entry["digest"],
            entry["state"],
            entry["seed"],
            entry["calls"],
            {
                power: RecordedCell(
                    cell["outcome"],
                    cell["why"],
                    cell["detail"],
                    tuple(int(value, 16) for value in cell["registers"]),
                    cell["after"],
                    tuple(cell["writes"]),
                    cell["counts"],
                )
                for power, cell in entry["cell"].items()
            },
        )
        for kernel, entry in kernels.items()
    }


def written(rows: Mapping[str, RecordedRow]) -> str:
    """Return the same as text in TOML, for the file."""
    lines = [HEAD]
    for kernel, row in rows.items():
        lines.append(f'[kernel."{kernel}"]')
        for name in ("release", "package", "version", "digest", "state"):
            lines.append(f'{name} = "{getattr(row, name)}"')
        lines += [f"seed = {row.seed}", f"calls = {row.calls}", ""]
        for power, cell in row.cells.items():
            registers = ", ".join(f'"{value:#x}"' for value in cell.registers)
            writes = ", ".join(f'"{what}"' for what in cell.writes)
            counts = ", ".join(f'"{words}" = {count}' for words, count in cell.counts.items())
            lines += [
                f'[kernel."{kernel}".cell."{power}"]',
                f'outcome = "{cell.outcome}"',
                f'why = "{cell.why}"',
                f'detail = "{cell.detail}"',
                f"registers = [{registers}]",
                f"after = {cell.after}",
                f"writes = [{writes}]",
                f"counts = {{ {counts} }}" if counts else "counts = {}",
                "",
            ]
    return "\n".join(lines)
