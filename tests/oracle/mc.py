"""`python -m tests.oracle.mc FOLDER`: hold the assembler to LLVM's own tests, as Capstone ships them.

FOLDER holds *.s.cs files, each line `0xNN,0xNN,0xNN,0xNN = text` (suite/MC/AArch64 in Capstone's
repository). They are not part of the kit: fetch them yourself. GNU as says which of the texts are a
Cortex-A72's own. Prints counts, and each line that is wrong; ends with 1 if there is one.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypkit.asm import AsmError, assemble
from tests.judges import find
from tests.oracle.gnu import A72, words_of_gnu_as

LINE = re.compile(r"((?:0x[0-9a-fA-F]{2},){3}0x[0-9a-fA-F]{2})\s*(?:==?|:)\s*(.+)")
OTHER_CORES = re.compile(r"\b(z\d+|p\d+|pn\d+|za)\b|\bza\d|\bzt0|/[mz]\b")  # SVE and SME


@dataclass
class Result:
    """What became of the lines: counts, and the texts that need a look."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # GNU as takes it for this core


def cases(folder: Path) -> dict[str, set[int]]:
    """Return text -> the words that LLVM's tests give it, of every *.cs file below a folder."""
    found: dict[str, set[int]] = {}
    for path in sorted(folder.rglob("*.cs")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            match = LINE.match(line)
            if match is None:
                continue
            text = " ".join(match.group(2).split("//")[0].split())
            if text and not OTHER_CORES.search(text.lower()):
                word = int.from_bytes(
                    bytes(int(b, 16) for b in match.group(1).split(",")), "little"
                )
                found.setdefault(text, set()).add(word)
    return found


def run(folder: Path) -> Result:
    """Assemble every case and compare."""
    wanted = cases(folder)
    result = Result()
    with tempfile.TemporaryDirectory() as scratch:
        judged = words_of_gnu_as(list(wanted), Path(scratch), march=A72)
    for text, words in wanted.items():
        result.counts["lines"] += 1
        try:
            code = assemble(text).code
        except AsmError as e:
            kind = "refused, though GNU as takes it" if text in judged else "refused, as by GNU as"
            result.counts[kind] += 1
            if text in judged:
                result.refused[text] = e.message
            continue
        except Exception as e:
            result.counts["raw exceptions"] += 1
            result.raw.append(f"{text}: {type(e).__name__}: {e}")
            continue
        word = int.from_bytes(code, "little")
        if word in words or judged.get(text) == word:
            result.counts["equal"] += 1
        else:
            result.counts["wrong"] += 1
            result.wrong.append(
                f"{text}: got {word:08x}, expected {', '.join(f'{w:08x}' for w in words)}"
            )
        if text not in judged:
            result.counts["taken, though GNU as refuses it for this core"] += 1
            result.refused.setdefault(f"TAKEN {text}", "")
    return result


def main(arguments: list[str]) -> int:
    """Print what became of the lines below a folder; return 1 if anything is wrong."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("expected a folder of *.cs files: python -m tests.oracle.mc FOLDER", file=sys.stderr)
        return 2
    if find("as") is None:
        print("expected GNU as (binutils-aarch64-linux-gnu); there is none", file=sys.stderr)
        return 2
    result = run(Path(arguments[0]))
    if not result.counts["lines"]:
        print(f"no line of {arguments[0]} reads `0x1f,0x20,0x03,0xd5 = nop`", file=sys.stderr)
        return 2
    for line in (*result.wrong, *result.raw):
        print(line)
    for text, message in result.refused.items():
        print(f"{text}   <- {message}")
    for what, count in sorted(result.counts.items()):
        print(f"{what}: {count:,}")
    print(f"wrong: {len(result.wrong)}, raw exceptions: {len(result.raw)}")
    return 1 if result.wrong or result.raw else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
