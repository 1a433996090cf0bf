"""Which real kernels are tried: three of those that are here, or with HYPKIT_KERNELS=all every one."""

import os

from hypkit import linux
from hypkit.linux.snapshot import PROTECTED

# The one of the lessons, its protected mode, and the newest. CI downloads them.
FEW = ("6.1", "6.1" + PROTECTED, "7.2")


def tried(kernel: str) -> bool:
    """Whether a kernel, by a name such as "6.1-protected", is among those that are tried."""
    return os.environ.get("HYPKIT_KERNELS") == "all" or kernel in FEW


# Those whose snapshots are in the cache. Other snapshots there are a learner's own.
CACHED = [
    name
    for name in linux.available()
    if name.removesuffix(PROTECTED) in linux.KERNELS and tried(name)
]
