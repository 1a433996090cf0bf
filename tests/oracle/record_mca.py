"""`python -m tests.oracle.record_mca [LLVM-MCA ...]`: write data/mca.toml's figures anew.

The llvm-mca on PATH is asked for every core. The programs named after it are asked, in turn, for
the cores of which none before had a table; LLVM 17 was the first with one of the Neoverse N1. The
text at the head of the file stays as it is: read it again when the figures have changed.

Where only an older LLVM is installed, a newer one need not be. On Debian:

    apt-get download llvm-19 libllvm19 && for p in *.deb; do dpkg -x $p root; done

and then a script named llvm-mca, another named llvm-mc beside it, that set LD_LIBRARY_PATH to
root/usr/lib/x86_64-linux-gnu and exec root/usr/lib/llvm-19/bin/llvm-mca "$@".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hypkit import facts
from hypkit.comparison.ladder import CORES
from tests.dispatch_paths import WORDS
from tests.judges import JUDGES, find
from tests.oracle import mca

FILE = Path(__file__).resolve().parents[2] / "data" / "mca.toml"
BEGIN = "\nfigure = [\n"


def figures(program: str, core: str) -> list[facts.McaFigure]:
    """What one llvm-mca says of every path on one core."""
    once, often = (mca.ask(program, core, WORDS, n) for n in (1, 100))
    return [
        facts.McaFigure(
            path,
            core,
            mca.version(program),
            once[path].table,
            once[path].cycles,
            once[path].total,
            often[path].total,
        )
        for path in WORDS
    ]


def record(programs: Sequence[str]) -> Iterator[facts.McaFigure]:
    """The figures of every core, those of its own table first; SystemExit if none has it."""
    for core in CORES:
        found: list[facts.McaFigure] = []
        for program in programs:
            found = figures(program, core) + found
            if found[0].own:
                break
        else:
            sys.exit(f"{', '.join(programs)}: no table of {core}; name an llvm-mca that has one")
        yield from found


def main(arguments: Sequence[str]) -> None:
    """Ask, and write."""
    installed = find("mca")
    if not installed:
        sys.exit(f"there is no llvm-mca on PATH (Debian package {JUDGES['mca'].package})")
    lines = [
        f'    {{ path = "{f.path}", core = "{f.core}", llvm = "{f.llvm}", table = "{f.table}", '
        f"cycles = {f.cycles}, total = {f.total}, hundred = {f.hundred} }},\n"
        for f in record([installed, *arguments])
    ]
    head, begin, _ = FILE.read_text(encoding="utf-8").partition(BEGIN)
    FILE.write_text(f"{head}{begin or BEGIN}{''.join(lines)}]\n", encoding="utf-8")
    print(f"{FILE}: {len(lines)} figures")


if __name__ == "__main__":
    main(sys.argv[1:])
