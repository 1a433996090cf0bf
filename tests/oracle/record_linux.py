"""`python -m tests.oracle.record_linux`: count what data/linux.toml holds anew, on all kernels.

It boots each of them, twice where it has a protected mode, from packages that are kept beside the
snapshots in the user's cache.
"""

from hypkit.facts import data_path
from hypkit.linux import KERNELS, LinuxMachine, archive
from hypkit.linux.capture import make
from hypkit.linux.recorded import FILE, Recorded, measure, written
from tests.oracle.linux import image_of


def measured(kernel: str) -> Recorded:
    """What is recorded of one kernel."""
    package, source, version = image_of(kernel, download=True)
    with archive.image(package) as (image, digest):
        usual = make(image, source, version, digest)
        protected = None
        if kernel != "5.10":  # that one knows no such mode
            protected = make(image, source, version, digest, protected=True).refused
    with LinuxMachine(usual) as machine:
        return measure(machine, protected)


if __name__ == "__main__":
    kernels = {kernel: measured(kernel) for kernel in KERNELS}
    data_path(FILE).write_text(written(kernels), encoding="utf-8")
    print(f"{len(kernels)} kernels, {sum(len(facts.runs) for facts in kernels.values())} calls")
