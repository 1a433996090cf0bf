"""`python -m tests.attack.record_real [KERNEL ...]`: attack every kernel that is here, or these.

What is in data/attack.toml of other kernels stays.
"""

import sys

from hypkit import attack, linux
from hypkit.attack.matrix import SEED, record
from hypkit.attack.recorded import CALLS, FILE, RecordedRow, recorded, written
from hypkit.facts import data_path
from hypkit.linux.snapshot import PROTECTED


def fresh(kernel: str) -> RecordedRow:
    """The row of a kernel that is here, run now."""
    version = kernel.removesuffix(PROTECTED)
    name = f"linux-{kernel}"
    cells = attack.matrix([name], calls=CALLS, seed=SEED, progress=False)
    with linux.machine(version, protected=kernel != version) as machine:
        return record(cells, machine.kernel, seed=SEED, calls=CALLS)


if __name__ == "__main__":
    here = [k for k in linux.available() if k.removesuffix(PROTECTED) in linux.KERNELS]
    rows = dict(recorded()) if data_path(FILE).exists() else {}
    for kernel in sys.argv[1:] or here:
        rows[kernel] = fresh(kernel)
        print(kernel, len(rows[kernel].cells), "cells", flush=True)
        data_path(FILE).write_text(written(dict(sorted(rows.items()))), encoding="utf-8")
