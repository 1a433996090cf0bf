"""`python -m hypkit.linux 6.1 7.2`: make the snapshots of these kernels, as `make linux` does."""

from __future__ import annotations

import sys
from pathlib import Path

from hypkit.errors import KitError
from hypkit.linux.archive import KERNELS
from hypkit.linux.capture import USUAL, fetch


def main(arguments: list[str]) -> int:
    """Fetch the kernels that are named, or the usual one; the exit status.

    --protected: boot them with kvm-arm.mode=protected; --again: also those that are there.
    """
    options = {word for word in arguments if word.startswith("--")}
    wanted = [word for word in arguments if word not in options] or [USUAL]
    if options - {"--again", "--protected"}:
        print("make linux: expected kernels or files, --protected, --again", file=sys.stderr)
        return 2
    again, protected = "--again" in options, "--protected" in options
    try:
        for what in wanted:
            if what in KERNELS:
                fetch(what, again=again, protected=protected)
            else:
                path = Path(what)
                fetch(path.stem, file=path, again=again, protected=protected)
    except KitError as error:
        print(f"make linux: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
