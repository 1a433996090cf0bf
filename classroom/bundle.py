"""Makes what a room without a network needs: `python classroom/bundle.py`, which is `make bundle`.

One archive for each kind of computer goes into dist/: the wheels of hypkit and of all that it needs,
the lessons, the handout, the web book, and a script that sets them up and opens the first lesson. A
Python has to be on the computer; the wheels are for the versions that --python names.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent
DIST = TOP / "dist"
PYTHONS = ("3.12", "3.13")


class BundleError(Exception):
    """A bundle that cannot be made, and why."""


@dataclass(frozen=True)
class Platform:
    """One kind of computer: the tags of its wheels, and what its markers say."""

    key: str
    tags: tuple[str, ...]
    markers: dict[str, str]
    start: str  # what a learner there starts


def _linux(machine: str) -> tuple[str, ...]:
    """The tags of wheels for a Linux of 2021 (glibc 2.31) or newer."""
    return (f"manylinux2014_{machine}", *(f"manylinux_2_{n}_{machine}" for n in range(31, 16, -1)))


def _markers(system: str, platform: str, machine: str, name: str = "posix") -> dict[str, str]:
    return {
        "platform_system": system, "sys_platform": platform, "platform_machine": machine,
        "os_name": name, "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip


PLATFORMS = {
    platform.key: platform
    for platform in (
        Platform("linux-x86_64", _linux("x86_64"), _markers("Linux", "linux", "x86_64"), "start.sh"),
        Platform("linux-arm64", _linux("aarch64"), _markers("Linux", "linux", "aarch64"), "start.sh"),
        Platform("macos-arm64", ("macosx_14_0_arm64",), _markers("Darwin", "darwin", "arm64"), "start.command"),
        Platform("macos-x86_64", ("macosx_13_0_x86_64",), _markers("Darwin", "darwin", "x86_64"), "start.command"),
        Platform("windows-x86_64", ("win_amd64",), _markers("Windows", "win32", "AMD64", "nt"), "start.bat"),
    )
}  # fmt: skip
# The scripts find a Python and hand over to start.py.
SHELL = """\
#!/bin/sh
# Sets the course up from this folder, without a network, and opens it.
cd "$(dirname "$0")" || exit 1
for python in {pythons} python3; do
  command -v "$python" >/dev/null 2>&1 && exec "$python" start.py "$@"
done
echo "expected Python {versions} on this computer; found none" >&2
exit 1
"""
BATCH = """\
@echo off
rem Sets the course up from this folder, without a network, and opens it.
cd /d "%~dp0"
{lines}
echo expected Python {versions} on this computer; found none
pause
exit /b 1
"""
README = """\
hypkit {version} for {key}, with all that it needs

1. Unpack this archive. It needs no network, and Python {versions}.
2. Start {start} (or: python start.py). The first time takes a minute or two.

lessons/     your notebooks; nothing overwrites what you write there
book/        the same as a web book: open book/index.html
handout.pdf  tables, forms and exercise sheets, to print; card.pdf, the same on a card
LICENSE, LICENSE-text, SECURITY.md

The wheels of Unicorn and Keystone are free software under the GNU General Public License, version 2;
their sources are at PyPI under the same versions, and whoever gives you this archive gives them to you
when you ask.
"""


def run(*command: object) -> None:
    """Run a command quietly; BundleError with its last words when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, cwd=TOP)
    if done.returncode:
        said = f"{done.stdout}\n{done.stderr}".strip()[-3000:]
        raise BundleError(f"this failed: {' '.join(words)}\n{said}")


def start_script(platform: Platform, pythons: tuple[str, ...]) -> str:
    """Return the script that a learner starts."""
    versions, newest = " or ".join(pythons), pythons[::-1]
    if platform.start.endswith(".bat"):
        lines = "\n".join(f"py -{v} start.py %* && exit /b 0" for v in newest)
        return BATCH.format(lines=lines, versions=versions).replace("\n", "\r\n")
    return SHELL.format(pythons=" ".join(f"python{v}" for v in newest), versions=versions)


def download(platform: Platform, pythons: tuple[str, ...], wheel: Path, folder: Path) -> None:
    """Put hypkit's wheel and those of all that it needs into a folder."""
    folder.mkdir(parents=True)
    shutil.copy(wheel, folder)
    tags = [word for tag in platform.tags for word in ("--platform", tag)]
    for python in pythons:
        said = platform.markers | {"python_version": python, "python_full_version": f"{python}.0"}
        run(
            sys.executable, HERE / "cross_pip.py", json.dumps(said), "download", "--quiet",
            "--disable-pip-version-check", "--only-binary", ":all:", "--implementation", "cp",
            "--python-version", python, *tags, "--dest", folder, wheel,
        )  # fmt: skip
    (folder / "pythons.txt").write_text("\n".join(pythons) + "\n", encoding="utf-8")


def contents(
    platform: Platform, pythons: tuple[str, ...], work: Path
) -> Iterator[tuple[str, Path]]:
    """Yield (place in the archive, file) for all but the wheels."""
    version = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]
    said = README.format(
        version=version, key=platform.key, versions=" or ".join(pythons), start=platform.start
    )
    made = {"README.txt": said, platform.start: start_script(platform, pythons)}
    for name, text in made.items():
        path = work / name
        path.write_bytes(text.encode())
        yield name, path
    yield "start.py", HERE / "start.py"
    for name in ("LICENSE", "LICENSE-text", "SECURITY.md"):
        yield name, TOP / name
    for path in sorted((TOP / "notebooks").glob("*.ipynb")):
        yield f"lessons/{path.name}", path
    for name in ("handout.pdf", "card.pdf"):
        if (TOP / "build" / name).exists():
            yield name, TOP / "build" / name
    book = TOP / "build" / "site"
    for path in sorted(book.rglob("*")):
        if path.is_file():
            yield f"book/{path.relative_to(book).as_posix()}", path


def pack(platform: Platform, pythons: tuple[str, ...], wheel: Path, out: Path) -> Path:
    """Write one platform's archive; return its path."""
    name = f"{wheel.name.split('-py3')[0]}-{platform.key}"
    archive = out / f"{name}.zip"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        download(platform, pythons, wheel, work / "wheels")
        files = list(contents(platform, pythons, work))
        files += [(f"wheels/{path.name}", path) for path in sorted((work / "wheels").iterdir())]
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for place, path in files:
                told = zipfile.ZipInfo(f"{name}/{place}", (1980, 1, 1, 0, 0, 0))
                told.external_attr = (0o755 if path.name == platform.start else 0o644) << 16
                told.compress_type = (
                    zipfile.ZIP_STORED if path.suffix == ".whl" else zipfile.ZIP_DEFLATED
                )
                packed.writestr(told, path.read_bytes())
    return archive


def main(arguments: list[str]) -> int:
    """Make the archives; return the exit status."""
    parser = argparse.ArgumentParser(prog="make bundle", description=__doc__)
    parser.add_argument("--python", action="append", help=f"(default: {', '.join(PYTHONS)})")
    parser.add_argument("--out", type=Path, default=DIST, help="the folder (default: dist)")
    parser.add_argument("platforms", nargs="*", help=f"of {', '.join(PLATFORMS)} (default: all)")
    options = parser.parse_args(arguments)
    pythons = tuple(options.python or PYTHONS)
    unknown = sorted(set(options.platforms) - PLATFORMS.keys())
    if unknown:
        parser.error(f"expected some of {', '.join(PLATFORMS)}; got {', '.join(unknown)}")
    missing = [
        name for name in ("site/index.html", "handout.pdf") if not (TOP / "build" / name).exists()
    ]
    for name in missing:
        print(f"without build/{name}: `make site` and `make handout` make them", file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
            (wheel,) = Path(folder).glob("*.whl")
            for key in options.platforms or PLATFORMS:
                path = pack(PLATFORMS[key], pythons, wheel, options.out)
                print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB", flush=True)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
