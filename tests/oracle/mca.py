"""llvm-mca as the judge of time: ask it for paths of A64 words, and read its answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

# How LLVM calls the pipes of the tables that data/cores.toml was read from, and we call them.
PIPES = {
    "CortexA55UnitALU": "alu",
    "CortexA55UnitB": "branch",
    "CortexA55UnitLd": "load",
    "CortexA55UnitSt": "store",
    "CortexA55UnitMAC": "multiply",
    "CortexA55UnitDiv": "divide",
    "A57UnitB": "branch",
    "A57UnitI": "integer",
    "A57UnitM": "multi",
    "A57UnitL": "load",
    "A57UnitS": "store",
    "N1UnitB": "branch",
    "N1UnitS": "single",
    "N1UnitM": "multi",
    "N1UnitL": "memory",
    "N1UnitD": "store_data",
}
TABLES = {"CortexA55Unit": "cortex-a55", "A57Unit": "cortex-a57", "N1Unit": "neoverse-n1"}


@dataclass(frozen=True)
class Answer:
    """llvm-mca on one path: cycles from the first issue to the last result, and its own total.

    issues: the cycle of each issue, from the first; latencies, uops and pipes: what its table
    says of each instruction.
    """

    cycles: int
    total: int
    issues: tuple[int, ...]
    latencies: tuple[int, ...]
    uops: tuple[int, ...]
    pipes: tuple[Mapping[str, int], ...]
    table: str  # the core whose table llvm-mca used, by the names of its pipes


@cache
def version(program: str) -> str:
    """The version of an llvm-mca, such as "14.0.6"."""
    found = re.search(r"LLVM version ([\d.]+)", _run([program, "--version"]))
    assert found, f"{program} does not say its version"
    return found[1]


def ask(
    program: str, cpu: str, paths: Mapping[str, Sequence[int]], iterations: int = 1
) -> dict[str, Answer]:
    """What llvm-mca at `program` says of each path on `cpu`, `iterations` times in a row."""
    lines = iter(_disassembled(program, [word for words in paths.values() for word in words]))
    source = "".join(
        f"# LLVM-MCA-BEGIN p{i}\n"
        + "\n".join(islice(lines, len(words)))
        + f"\n# LLVM-MCA-END p{i}\n"
        for i, words in enumerate(paths.values())
    )
    answer = json.loads(
        _run(
            [
                program,
                "-mtriple=aarch64",
                f"-mcpu={cpu}",
                "-mattr=+v8.2a",
                f"-iterations={iterations}",
                "-json",
                "-timeline",
                "-timeline-max-iterations=1",
                "-timeline-max-cycles=100000",
            ],
            source,
        )
    )
    names = [name.partition(".")[0] for name in answer["TargetInfo"]["Resources"]]
    (table,) = {core for prefix, core in TABLES.items() if names[0].startswith(prefix)}
    found = [_answer(region, names, table) for region in answer["CodeRegions"]]
    assert len(found) == len(paths), "llvm-mca lost a region"
    return dict(zip(paths, found, strict=True))


def _answer(region: dict, names: list[str], table: str) -> Answer:
    facts = region["InstructionInfoView"]["InstructionList"]
    pipes: list[Counter[str]] = [Counter() for _ in facts]
    for use in region["ResourcePressureView"]["ResourcePressureInfo"]:
        if use["InstructionIndex"] < len(facts):
            name = names[use["ResourceIndex"]]
            pipes[use["InstructionIndex"]][PIPES[name]] += round(use["ResourceUsage"])
    rows = region["TimelineView"]["TimelineInfo"][: len(facts)]
    first = rows[0]["CycleIssued"]
    return Answer(
        cycles=max(row["CycleExecuted"] for row in rows) - first,
        total=region["SummaryView"]["TotalCycles"],
        issues=tuple(row["CycleIssued"] - first for row in rows),
        latencies=tuple(fact["Latency"] for fact in facts),
        uops=tuple(fact["NumMicroOpcodes"] for fact in facts),
        pipes=tuple(dict(used) for used in pipes),
        table=table,
    )


def _disassembled(program: str, words: Sequence[int]) -> list[str]:
    """The words as lines for llvm-mca, by the llvm-mc that was installed with it."""
    llvm_mc = Path(program).resolve().with_name("llvm-mc")
    given = " ".join(f"0x{byte:02x}" for word in words for byte in word.to_bytes(4, "little"))
    text = _run([str(llvm_mc), "-disassemble", "-triple=aarch64", "-mattr=+v8.2a"], given)
    lines = [line.strip() for line in text.splitlines() if line.startswith("\t")]
    lines = [line for line in lines if not line.startswith(".")]
    assert len(lines) == len(words), "llvm-mc did not know a word"
    return lines


def _run(command: list[str], given: str = "") -> str:
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr.strip()}"
    return done.stdout
