"""fetch(): get a kernel, boot it once in QEMU, and keep a snapshot of its EL2.

`python -m hypkit.linux 6.1` does the same, and so does `make linux ARGS=6.1`.
"""

from __future__ import annotations

import tempfile
import time
from os import PathLike
from pathlib import Path

from hypkit.errors import WrongType, expected, needs
from hypkit.linux import archive, board, numbers
from hypkit.linux import snapshot as snapshots
from hypkit.linux.snapshot import Snapshot
from hypkit.machine.errors import MachineError

USUAL = "6.1"


def fetch(
    kernel: str = USUAL,
    *,
    file: str | Path | None = None,
    protected: bool = False,
    again: bool = False,
    say: archive.Say = print,
) -> Snapshot:
    """Make the snapshot that machine(kernel) needs, and keep it in the user's cache folder.

    Args:
        kernel: "5.10", "6.1", "6.12" or "7.2", from Debian's archive. With *file*, the name that the
            snapshot is to have instead.
        file: a Debian package or an arm64 Image of yours, in place of Debian's archive.
        protected: whether to boot it with kvm-arm.mode=protected; the snapshot is that of
            machine(kernel, protected=True).
        again: whether to make a snapshot that is there already.
        say: called with a sentence at each step.

    Returns:
        The snapshot.

    Raises:
        MachineError: with a sentence that says what to do, when QEMU or the network is missing, the
            file is no arm64 kernel or not whole, or the kernel does not come up with KVM at EL2.
        UnknownName: for a kernel that Debian's archive does not have.
    """
    if not isinstance(kernel, str):
        raise WrongType(expected('a kernel by its version, such as "6.1"', kernel))
    if file is None:
        archive.known(kernel)
    path = snapshots.path_of(kernel, protected=protected)
    if file is not None:
        needs((str, PathLike), "a path as file", file)
        if not Path(file).is_file():
            raise MachineError(expected("the file of a kernel or a package", str(file)))
    needs(bool, "True or False for again", again)
    if snapshots.there(path) and not again:
        found = snapshots.read(path)
        say(f"{found!r} is there already; fetch({kernel!r}, again=True) makes it anew.")
        return found
    board.qemu()  # before a hundred megabytes come for nothing
    snapshots.check_writable(path)
    with tempfile.TemporaryDirectory(prefix="hypkit-") as name:
        if file is None:
            package, source, version = archive.package(archive.known(kernel), Path(name), say)
        else:
            package, source, version = Path(file), Path(file).name, ""
        say("Unpacking the kernel")
        with archive.image(package) as (image, digest):
            found = make(image, source, version, digest, say, protected=protected)
    found.save(path)
    also = ", protected=True" if protected else ""
    size = path.stat().st_size / (1 << 20)
    say(f"{found!r} is there as hypkit.linux.machine({kernel!r}{also}): {size:.1f} MiB in {path}.")
    return found


def make(
    image: Path,
    source: str,
    version: str,
    digest: str,
    say: archive.Say = print,
    *,
    protected: bool = False,
) -> Snapshot:
    """Boot an Image in QEMU and take its snapshot; source, version, digest: as Snapshot has them."""
    say("Booting it in QEMU until KVM has EL2")
    start = time.monotonic()
    with board.booted(image, protected=protected) as running:
        say(f"Booted in {time.monotonic() - start:.1f} s; looking for what EL2 is")
        taken = snapshots.take(running, source, version, digest, protected=protected)
    return numbers.with_numbers(taken)
