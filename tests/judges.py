"""The outside judges: where QEMU, GNU as, gcc, llvm-mca and Chromium are, and what they were asked.

A judge that is missing skips its test, unless HYPKIT_REQUIRE (a comma list of judges, set in CI)
names it: then the test fails.
"""

import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Judge:
    """One outside program: the names it may go by, best first, and its Debian package."""

    programs: tuple[str, ...]
    package: str


JUDGES = {
    "qemu": Judge(("qemu-system-aarch64",), "qemu-system-arm"),
    "linux": Judge(("qemu-system-aarch64",), "qemu-system-arm"),  # and Debian's archive
    "as": Judge(("aarch64-linux-gnu-as",), "binutils-aarch64-linux-gnu"),
    "gcc": Judge(("aarch64-linux-gnu-gcc", "gcc"), "gcc-aarch64-linux-gnu"),
    "mca": Judge(("llvm-mca", *(f"llvm-mca-{v}" for v in range(30, 13, -1))), "llvm"),
    "browser": Judge(("chromium", "chromium-browser"), "chromium"),
}

# What Chromium needs as root in a container, and what keeps it from the network and from waiting.
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]

BINUTILS = ("as", "ld", "objcopy", "objdump", "nm", "readelf")

_counts: Counter[str] = Counter()


def find(name: str) -> str | None:
    """Path of judge `name`'s program, or None. Raises KeyError with the known names."""
    if name not in JUDGES:
        raise KeyError(f"no judge named {name!r}: the judges are {', '.join(JUDGES)}")
    return next(filter(None, map(shutil.which, JUDGES[name].programs)), None)


def required() -> frozenset[str]:
    """The judges that HYPKIT_REQUIRE names. Raises ValueError for a name that is no judge."""
    wish = os.environ.get("HYPKIT_REQUIRE", "")
    names = frozenset(name for name in re.split(r"[,\s]+", wish) if name)
    unknown = sorted(names - JUDGES.keys())
    if unknown:
        raise ValueError(
            f"HYPKIT_REQUIRE names no judge with {', '.join(map(repr, unknown))}: "
            f"the judges are {', '.join(JUDGES)}"
        )
    return names


def judge(name: str) -> str:
    """Path of judge `name`'s program; where it is missing, skip the test or, if required, fail it.

    At module level, pytest wants such a skip to be announced: call this in a test or a fixture.
    """
    path = find(name)
    return path if path else _missing(name, JUDGES[name].programs[0])


def tool(name: str) -> str:
    """Path of one of the aarch64 binutils, such as "ld"; missing, it counts as judge "as"."""
    if name not in BINUTILS:
        raise KeyError(f"no tool named {name!r}: the tools are {', '.join(BINUTILS)}")
    program = f"aarch64-linux-gnu-{name}"
    return shutil.which(program) or _missing("as", program)


def judged(what: str, number: int) -> None:
    """Add `number` to the count of `what` ("rows compared"), shown when the tests have ended."""
    _counts[what] += number


def counts() -> dict[str, int]:
    """Return what was counted in this process."""
    return dict(_counts)


def summary() -> list[str]:
    """The lines shown when the tests have ended: which judges sat, and what was counted."""
    lines = []
    for name, known in JUDGES.items():
        path = find(name)
        lines.append(f"judge {name}: {path or f'MISSING (Debian package {known.package})'}")
    lines += [f"{what}: {number:,}" for what, number in sorted(_counts.items())]
    return lines


def _missing(name: str, program: str) -> str:
    reason = f"JUDGE MISSING: {program} (apt-get install {JUDGES[name].package})"
    if name in required():
        pytest.fail(f"{reason}; HYPKIT_REQUIRE names {name!r}", pytrace=False)
    pytest.skip(reason)
