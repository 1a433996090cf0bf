"""Builds and tries a release: `python classroom/release.py`, which is `make release`.

The version must be the same everywhere and the changelog must have it. Then dist/ gets an sdist, and a
wheel that was built from that sdist; twine reads both; and in a fresh environment the wheel is
installed with all that it needs, makes a hypercall, and hands out its lessons. Nothing is uploaded.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
DIST = TOP / "dist"
CALL = (
    "from hypkit import Machine; m = Machine('numbered', seed=1); "
    "print(hex(m.call('__kvm_timer_set_cntvoff', 0x1234).x0), hex(m.sysreg('CNTVOFF_EL2')))"
)


class ReleaseError(Exception):
    """Something that must not be released, and why."""


def disagreements(project: str, citation: str, changes: str) -> Iterator[str]:
    """Yield, in sentences, where pyproject.toml, CITATION.cff and CHANGELOG.md differ."""
    version = tomllib.loads(project)["project"]["version"]
    cited = dict(re.findall(r"^(version|date-released): (\S+)$", citation, re.MULTILINE))
    if cited.get("version") != version:
        yield f"CITATION.cff has version {cited.get('version')}; pyproject.toml has {version}"
    headed = dict(re.findall(r"^## \[(.+?)\](?: - (\S+))?$", changes, re.MULTILINE))
    if version not in headed:
        yield f"CHANGELOG.md has no heading for {version}"
    elif headed[version] != cited.get("date-released"):
        yield (
            f"CHANGELOG.md dates {version} {headed[version] or 'not at all'}; CITATION.cff says "
            f"{cited.get('date-released')}"
        )
    open_entries = changes.partition("## [Unreleased]")[2].partition("\n## ")[0]
    count = len(re.findall(r"^- ", open_entries, re.MULTILINE))
    if count:
        yield f"CHANGELOG.md has {count} entries below [Unreleased]: give them a version"


def run(*command: object, **options: object) -> str:
    """Return what a command prints; ReleaseError with its last words when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        said = f"{done.stdout}\n{done.stderr}".strip()[-2000:]
        raise ReleaseError(f"this failed: {' '.join(words)}\n{said}")
    return str(done.stdout)


def built(dist: Path) -> tuple[Path, Path]:
    """Return a fresh sdist, and the wheel that it makes by itself."""
    for old in (*dist.glob("*.tar.gz"), *dist.glob("*.whl")):  # and no bundle, an hour's work
        old.unlink()
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", dist, cwd=TOP)
    (sdist,) = dist.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (source,) = Path(folder).iterdir()
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", dist, cwd=source)
    (wheel,) = dist.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    return sdist, wheel


def tried(wheel: Path, version: str) -> None:
    """Install the wheel in a fresh environment, and use it from there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder, "venv"), with_pip=True)
        programs = Path(folder, "venv", "Scripts" if sys.platform == "win32" else "bin")
        python, command = programs / "python", programs / "hypkit"
        run(python, "-m", "pip", "install", "--quiet", "--prefer-binary", wheel)
        said = run(command, "--version").strip()
        if said != f"hypkit {version}":
            raise ReleaseError(f"expected hypkit {version}; the installed command says {said}")
        run(command, "check", cwd=folder)
        answer = run(python, "-c", CALL, cwd=folder).strip()
        if answer != "0x1234 0x1234":
            raise ReleaseError(f"expected a call that answers 0x1234 0x1234; got {answer}")
        lessons = Path(folder, "lessons")
        run(command, "lessons", "--copy", lessons, "--no-open", cwd=folder)
        found, wanted = (
            sorted(p.name for p in d.glob("*.ipynb")) for d in (lessons, TOP / "notebooks")
        )
        if found != wanted:
            raise ReleaseError(f"expected the lessons {wanted}; the command copied {found}")
        print(f"installed in a fresh environment: {said}, a call, {len(found)} lessons")


def main(arguments: list[str]) -> int:
    """Build and try; return the exit status."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument(
        "--draft",
        action="store_true",
        help="go on although the changelog or a version is not ready",
    )
    options = parser.parse_args(arguments)
    texts = [
        (TOP / name).read_text(encoding="utf-8")
        for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md")
    ]
    found = list(disagreements(*texts))
    for sentence in found:
        print(sentence, file=sys.stderr)
    if found and not options.draft:
        print("Mend these first, or try the build with ARGS=--draft.", file=sys.stderr)
        return 1
    try:
        files = built(DIST)
        tried(files[1], tomllib.loads(texts[0])["project"]["version"])
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path.relative_to(TOP)}  {path.stat().st_size:,} bytes  sha256 {digest}")
    print("A draft: not for publishing." if found else "Ready. To publish: twine upload dist/*")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
