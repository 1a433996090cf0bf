"""Sets the course up from this folder, without a network, and opens it: `python start.py`.

The first run takes a minute or two. Nothing outside this folder is changed but the files that say
which exercises you have passed. To start afresh, remove the folder "environment"; "lessons" is yours.
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / "environment"
PROGRAMS = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin")
DONE = ENVIRONMENT / "hypkit-is-installed"


def pythons() -> "list[tuple[int, ...]]":
    """Return the versions of Python that the wheels here are for."""
    said = (HERE / "wheels" / "pythons.txt").read_text(encoding="utf-8").split()
    return [tuple(map(int, version.split("."))) for version in said]


def main() -> int:
    """Install if need be, and open the lessons; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-open", action="store_true", help="set up only")
    options = parser.parse_args()
    if sys.version_info[:2] not in pythons():
        known = " or ".join(".".join(map(str, version)) for version in pythons())
        here = ".".join(map(str, sys.version_info[:2]))
        print(
            f"expected Python {known}, which the files here are for; got {here}. "
            "Start this with another Python.",
            file=sys.stderr,
        )
        return 1
    python = PROGRAMS / "python"
    if not DONE.exists():
        print("Setting up, this once: a minute or two ...", flush=True)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        install += ["--no-index", "--find-links", HERE / "wheels", "hypkit"]
        if subprocess.call([str(word) for word in install]):
            print("pip could not install this: the lines above say why.", file=sys.stderr)
            return 1
        DONE.write_text("")
    words = [python, "-m", "hypkit", "lessons", "--copy", HERE / "lessons"]
    return subprocess.call([str(word) for word in words + ["--no-open"] * options.no_open])


if __name__ == "__main__":
    sys.exit(main())
