"""`python -m tests.oracle.mutants_as --cases N --seed N`: mutated lines, judged by GNU as.

Each case is a short text of good lines (the corpus, the guest, forms of every mnemonic) with one to
three of them mutated: numbers, registers, operands, punctuation, directives, macros. Where both take a text
the bytes must be equal; where only the kit takes it, it is counted, and is a fault unless it belongs
to what hypkit ignores on purpose (`IGNORED`). Prints the seed and the counts; ends with 1 on a
difference.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from hypkit import asm
from hypkit.asm import AsmError, assemble
from tests.corpus import snippets
from tests.judges import find, judge, tool
from tests.oracle.forms import SIMD, forms
from tests.oracle.gnu import A72, PRELUDE, text_section

NUMBERS = ("0", "1", "2", "3", "7", "8", "15", "16", "31", "32", "63", "64", "127", "128", "255",
           "256", "4095", "4096", "65535", "65536", "0xff00", "0xffffffff", "0x100000000",
           "0x100000001", "0x10000000f", "0xffffffffffffffff", "-1", "-8", "-16", "-256", "-257",
           "0x7fffffff", "0x80000000", "-0x80000000", "1.0", "0.5", "-0.48437500", "1e1", "31.0",
           "'a'", "'\\''", "'\\\\'", "0b101", "017", "1<<4", "(3+4)*2", "~0", "4-2")  # fmt: skip
WORDS = ("x0", "x7", "x30", "xzr", "sp", "w0", "w7", "wzr", "wsp", "v0.16b", "v1.8b", "v2.4s",
         "v3.2d", "v4.1q", "v5.s[1]", "v6.b[15]", "v7.d[2]", "d0", "s1", "q2", "h3", "b4", "[x0]",
         "[sp, #16]", "[x1, x2]", "[x1, w2, uxtw]", "[x3], #8", "{v0.16b}", "{v0.s}[1]",
         "{v0.b, v1.b}[15]", "{v2.4s - v4.4s}", "lsl #3", "lsl #12", "uxtw", "sxtw #2", "eq", "ne",
         "hs", "esr_el2", "vbar_el2", "#0", "sy", "ish", "nzcv", "msl #8")  # fmt: skip
DIRECTIVES = """
.byte 1, 2|.hword 0x102|.word 1|.quad 5|.ascii "a\\tb"|.asciz "x"|.balign 8|.p2align 3|.zero 4|.fill 2, 2, 7
.rept 2\\nnop\\n.endr|.irp r, x0, x1\\nmov \\r, #1\\n.endr|.irpc c, 123\\n.byte \\c\\n.endr|.if 1\\nnop\\n.else\\nret\\n.endif
.ifc a b,a  b\\nnop\\n.endif|.macro mm a, b=2\\nmov x\\a, #\\b\\n.endm\\nmm 1\\nmm 3, 4\\n.purgem mm
.macro me\\n.rept 3\\n.byte 1,1,1,1\\n.exitm\\n.endr\\nnop\\n.endm\\nme\\n.purgem me|.equ kk, 4\\nmov x0, #kk|.set ss, 1\\n.set ss, ss+1\\nmov x1, #ss
.ifnc "x",x\\nnop\\n.endif|mov x0, #ff\\n.set ff, 5\\n.set ff, 6\\nmov x1, #ff|1: cbz x0, 1b\\nb 1f\\n1:|.ifb\\nnop\\n.endif|.ifnb a\\nnop\\n.endif
ldr x0, =0x12345678\\n.ltorg|.equiv vv, 3\\n.byte vv, 0, 0, 0|.irp r\\n.word 9\\r\\n.endr|.ifdef nope\\nnop\\n.endif|.byte 'a', '\\\\'', 'b', '\\\\n'
""".replace("\n", "|").split("|")  # fmt: skip
LITTLE = "abcxw019 ,#[]()+-*/<>=!'\"\\.:;{}|&^~%\t"
# What hypkit takes and GNU as does not, on purpose: SB is newer than the core, and lessons name it;
# a directive that says nothing here; bits that a narrower place has not.
IGNORED = re.compile(
    r"\bsb\b|\.(cfi_|type|size|file|arch|cpu|ident|func|endfunc|loc|global|globl|local|hidden|weak"
    r"|protected|warning|print)", re.I
)  # fmt: skip


@dataclass
class Result:
    """What became of the cases."""

    counts: Counter[str] = field(default_factory=Counter)
    differing: list[str] = field(default_factory=list)
    only_ours: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)


@cache
def lines() -> list[str]:
    """Return good lines, each a case's raw material; a block counts as one."""
    found = dict.fromkeys(SIMD)
    found |= dict.fromkeys(d.replace("\\n", "\n").replace("\\\\", "\\") for d in DIRECTIVES if d)
    for text in snippets().values():
        for line in text.splitlines():
            line = line.split("//")[0].strip()
            if line and not re.match(
                r"\.(macro|endm|rept|irp|endr|if|else|endif|org|inst)|\w+:", line
            ):
                found[line] = None
    return [line for line in found if _assembles(line)]


@cache
def shapes() -> list[str]:
    """Return the forms of every mnemonic that assemble."""
    return [line for line in forms()[::7] if _assembles(line)]


def _assembles(text: str) -> bool:
    try:
        asm.assemble(text)  # never what a test has put in the place of this module's own
    except AsmError:
        return False
    return True


def mutant(line: str, chance: random.Random) -> str:
    """Return the line with one thing changed."""
    kind = chance.randrange(8)
    numbers = list(re.finditer(r"(?<![\w.])-?(0x[0-9a-f]+|\d+)(?![\w.])", line))
    if kind < 3 and numbers:
        spot = chance.choice(numbers)
        return line[: spot.start()] + chance.choice(NUMBERS) + line[spot.end() :]
    head, _, tail = line.partition(" ")
    if kind < 5 and tail and "\n" not in line:
        parts = re.split(r",\s*(?![^\[{]*[\]}])", tail)
        place = chance.randrange(len(parts))
        if kind == 4 and len(parts) > 1:
            del parts[place]
        elif chance.random() < 0.7:
            parts[place] = chance.choice(WORDS)
        else:
            parts.insert(place, chance.choice(WORDS))
        return f"{head} {', '.join(parts)}"
    if kind == 5:
        registers = list(re.finditer(r"\b[xwvdsq](\d+)\b", line))
        if registers:
            spot = chance.choice(registers)
            return line[: spot.start()] + chance.choice(WORDS[:9]) + line[spot.end() :]
    place = chance.randrange(len(line) + 1)
    if kind == 6:
        return line[:place] + chance.choice(LITTLE) + line[place:]
    return line[:place] + line[place + 1 :]


def cases(count: int, seed: int) -> Iterator[str]:
    """Yield texts, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        picked = chance.choices(lines(), k=2) + chance.choices(shapes(), k=1)
        chance.shuffle(picked)
        where = chance.randrange(3)
        picked[where] = mutant(picked[where], chance)
        if chance.random() < 0.2:
            picked[where] = mutant(picked[where], chance)
        yield "\n".join(picked if chance.random() < 0.5 else picked[where : where + 1]) + "\n"


def theirs(text: str, folder: Path) -> bytes | None:
    """Return what GNU as (and ld, if addresses are left open) makes of a text at address 0."""
    source, made, image = folder / "case.s", folder / "case.o", folder / "case.elf"
    source.write_text(PRELUDE + text, encoding="utf-8")
    made.unlink(missing_ok=True)
    options = ["-o", str(made), str(source)]
    done = subprocess.run([judge("as"), A72, *options], capture_output=True, timeout=60)
    if done.returncode or not made.exists():
        return None
    elf = made.read_bytes()
    if b".rela.text" not in elf:
        return text_section(elf)
    link = [tool("ld"), "-Ttext", "0", "-e", "0", "-o", str(image), str(made)]
    if subprocess.run(link, capture_output=True, timeout=60).returncode:
        return None
    return text_section(image.read_bytes())


def run(count: int, seed: int) -> Result:
    """Assemble the cases and compare what is accepted."""
    result = Result()
    with tempfile.TemporaryDirectory() as scratch:
        for text in cases(count, seed):
            result.counts["cases"] += 1
            try:
                ours = assemble(text).code
            except AsmError:
                continue
            except Exception as e:
                result.raw.append(f"{type(e).__name__}: {e}\n{text}")
                continue
            result.counts["accepted"] += 1
            other = theirs(text, Path(scratch))
            if other is None:
                kind = "ignored on purpose" if IGNORED.search(text) else "only hypkit"
                result.counts[f"accepted by hypkit alone, {kind}"] += 1
                if kind == "only hypkit":
                    result.only_ours.append(text)
                continue
            result.counts["compared"] += 1
            if ours != other:
                result.differing.append(f"got {ours.hex()}, expected {other.hex()}\n{text}")
    return result


def main(arguments: list[str]) -> int:
    """Print what became of the cases; return 1 if any differs or ends in a raw exception."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.mutants_as", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if find("as") is None:
        print("expected GNU as (binutils-aarch64-linux-gnu); there is none", file=sys.stderr)
        return 2
    result = run(options.cases, options.seed)
    for title, found in (
        ("differs", result.differing),
        ("raw exception", result.raw),
        ("only hypkit takes", result.only_ours),
    ):
        for text in found:
            print(f"--- {title}: {text}")
    print(f"seed: {options.seed}")
    for what, number in sorted(result.counts.items()):
        print(f"{what}: {number:,}")
    print(f"differing: {len(result.differing)}")
    print(f"raw exceptions: {len(result.raw)}")
    return 1 if result.differing or result.raw else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
