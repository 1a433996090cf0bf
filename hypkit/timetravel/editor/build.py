"""Bundles the editor: `python -m hypkit.timetravel.editor.build` writes bundle.js and LICENCES.txt.

It needs npm and the npm registry; package-lock.json says which versions, so equal sources give equal
bytes wherever it runs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hypkit.timetravel.editor import BUNDLE, FOLDER

SOURCES = ("package.json", "package-lock.json", "editor.js", "a64.js", "c.js", "comments.js")
LICENCES = FOLDER / "LICENCES.txt"
NOT_IN_IT = ("esbuild",)  # it bundles, and is no part of what it makes
HEAD = (
    "// Made by python -m hypkit.timetravel.editor.build from editor.js, a64.js, c.js, comments.js and CodeMirror 6,\n"
    "// whose licences are in LICENCES.txt. Do not edit.\n"
)


def build() -> tuple[str, str]:
    """Return the bundle and the licences of what is in it.

    Raises:
        RuntimeError: npm is missing, or the registry does not answer; says which.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is missing")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in SOURCES:
            shutil.copy(FOLDER / source, folder)
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--silent")
        _run(folder, npm, "ci", *quiet)
        modules = folder / "node_modules"
        _run(
            folder,
            str(modules / ".bin" / "esbuild"),
            "editor.js",
            *("--bundle", "--format=esm", "--minify", "--target=es2022", "--charset=ascii"),
            *("--legal-comments=none", "--outfile=out.js", "--log-level=error"),
        )
        return HEAD + (folder / "out.js").read_text(encoding="utf-8"), _licences(modules)


def _licences(modules: Path) -> str:
    found = []
    for path in sorted(modules.glob("**/LICENSE*")):
        package = path.parent.relative_to(modules).as_posix()
        if not package.removeprefix("@").startswith(NOT_IN_IT):
            found.append(f"{package}\n{'-' * len(package)}\n\n{path.read_text('utf-8').strip()}\n")
    return "What is in bundle.js, each under its licence.\n\n" + "\n\n".join(found)


def _run(folder: Path, *command: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{Path(command[0]).name} does not run: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-400:]
        raise RuntimeError(f"{' '.join(command[:2])} failed: {said or 'it does not say why'}")


def main() -> int:
    """Write the bundle and the licences; return the exit status."""
    try:
        bundle, licences = build()
    except RuntimeError as error:
        print(f"The editor is not bundled: {error}.", file=sys.stderr)
        return 1
    BUNDLE.write_text(bundle, encoding="utf-8", newline="\n")
    LICENCES.write_text(licences, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
