"""A real Linux kernel's EL2 on the kit's machine: fetched once, booted once, kept as a snapshot."""

from __future__ import annotations

from hypkit.linux.archive import KERNELS
from hypkit.linux.capture import USUAL, fetch
from hypkit.linux.linux_machine import LinuxMachine
from hypkit.linux.snapshot import available, path_of, read, there
from hypkit.machine.errors import MachineError

__all__ = ["KERNELS", "LinuxMachine", "available", "fetch", "machine"]


def machine(kernel: str = USUAL, *, protected: bool = False) -> LinuxMachine:
    """Return a machine with the EL2 of a real kernel, as it was after its boot.

    Args:
        kernel: the version, as given to fetch(): "6.1".
        protected: whether it is to be the one that was booted with kvm-arm.mode=protected.

    Raises:
        MachineError: when there is no snapshot of it, or it is not to be trusted; the sentence says
            how to make one.
    """
    path = path_of(kernel, protected=protected)
    if not there(path):
        known = ", ".join(available()) or "none"
        also, argument = (", protected=True", " --protected") if protected else ("", "")
        raise MachineError(
            f"no snapshot of Linux {kernel}{argument} is here (there is: {known}). hypkit.linux.fetch"
            f"({kernel!r}{also}) or `make linux ARGS='{kernel}{argument}'` makes one: it needs QEMU, "
            "a network for the download, and about a minute"
        )
    return LinuxMachine(read(path))
