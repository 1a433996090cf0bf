"""Tries a bundle for Linux on a computer with no network: `python classroom/try_bundle.py ARCHIVE`.

The archive is unpacked into an empty folder, set up there by its own start.py in a network namespace
of its own, where no index can be reached, and then makes a hypercall and assembles a dispatcher. Wants
root, or a kernel that lets users make namespaces. With --root a folder that holds another Linux is
entered by chroot: an arm64 one, for example, which qemu-user runs (debootstrap --arch=arm64).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

CALL = """
import platform
from hypkit import Machine, VARIANTS
own = "dispatch: mov x0, #7\\n eret\\n"
with Machine("numbered", seed=1) as machine, Machine("numbered", dispatcher=own) as mine:
    call = machine.call("__kvm_timer_set_cntvoff", 0x1234)
    print(platform.machine(), call, hex(machine.sysreg("CNTVOFF_EL2")), mine.hvc(0x2000).x0)
"""
WANTED = "Call(numbered: __kvm_timer_set_cntvoff(0x1234) returned: x0 = 0x1234) 0x1234 7"
# Said by a computer that has a network, so that a namespace that has one is found out.
ALONE = "import socket; socket.create_connection(('1.1.1.1', 443), 3)"


def inside(root: Path | None, *words: str) -> list[str]:
    """Return the command that runs *words* without a network, in another Linux if there is one."""
    chroot = ["chroot", str(root)] if root else []
    return ["unshare", "--net", "--map-root-user", *chroot, *words]


def run(command: Sequence[str]) -> str:
    """Return what a command prints; SystemExit with its last words when it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"this failed: {' '.join(command)}\n{done.stdout}{done.stderr}"[-3000:])
    return done.stdout.strip()


def attempt(archive: Path, root: Path | None, python: str) -> str:
    """Unpack, set up and use a bundle; return what the call said, and how long it took."""
    if not subprocess.run(inside(root, python, "-c", ALONE), capture_output=True).returncode:
        raise SystemExit("expected no network in the namespace; it has one")
    with tempfile.TemporaryDirectory(dir=root / "tmp" if root else None) as folder:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        (top,) = Path(folder).iterdir()
        place = Path("/", top.relative_to(root)) if root else top
        began = time.monotonic()
        run(inside(root, python, str(place / "start.py"), "--no-open"))
        took = time.monotonic() - began
        if not list((top / "lessons").glob("00-*.ipynb")):
            raise SystemExit("expected the lessons in the bundle's folder; found none")
        said = run(inside(root, str(place / "environment" / "bin" / "python"), "-c", CALL))
        if not said.endswith(WANTED):
            raise SystemExit(f"expected a call that ends in {WANTED!r}; got {said!r}")
        return f"{archive.name}: set up in {took:.0f} s without a network; {said}"


def main(arguments: list[str]) -> int:
    """Try the bundle; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--root", type=Path, help="the folder of another Linux")
    parser.add_argument("--python", default="python3", help="the Python there (default: python3)")
    options = parser.parse_args(arguments)
    print(attempt(options.archive, options.root and options.root.resolve(), options.python))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
