"""What the hub's local spawner does for a class: limits on a learner's processes, and their copy."""

from __future__ import annotations

import os
import pwd
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypkit.lessons import course

NICE = 5  # below the hub and its proxy, so that neither waits for a learner's loop
PROCESSES = 200  # of one user: kernels, engines, terminals


def limited(spawner: type, memory: int) -> type:
    """Return a spawner whose servers, with their kernels, are limited.

    memory: bytes that each process may take for data; a kernel that wants more gets a MemoryError.
    (A limit on a learner's processes together wants cgroups: systemd, or containers.)
    """

    class Limited(spawner):  # type: ignore[misc, valid-type]
        mem_limit = memory  # what the hub tells the server, which shows it

        def make_preexec_fn(self, name: str) -> Callable[[], None]:
            become = super().make_preexec_fn(name)

            def prepare() -> None:
                resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                os.setpriority(os.PRIO_PROCESS, 0, NICE)
                become()
                if os.getuid():  # root's own limit would be the hub's
                    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))

            return prepare

    return Limited


def _home(spawner: Any) -> Path:
    """Return the learner's folder: a local spawner says it, systemd's takes the account's."""
    if hasattr(spawner, "user_env"):
        return Path(spawner.user_env({}).get("HOME") or spawner.home_dir)
    return Path(pwd.getpwnam(spawner.user.name).pw_dir)


def prepare_home(spawner: Any) -> None:
    """Give the learner a copy of the course in lessons/, and touch nothing that is there."""
    home = _home(spawner).resolve()
    before = set(home.glob("lessons/*"))
    made = course.copy(home / "lessons").folder
    if not os.getuid():  # the hub is root, the folder is the learner's
        owner = home.stat()
        for path in {made, *made.iterdir()} - before:
            os.chown(path, owner.st_uid, owner.st_gid)
