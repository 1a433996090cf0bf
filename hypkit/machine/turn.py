"""One at a time: who uses a machine, and what others are told or wait for."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import FrameType

from hypkit.machine.errors import MachineError

PAUSE = 0.002  # seconds between two looks of a thread that waits
_REMOVING = threading.Lock()


class _Holder:
    """A thread in one of its functions."""

    def __init__(self, frame: FrameType) -> None:
        self.process, self.thread, self.frame = os.getpid(), threading.get_ident(), frame

    def is_over(self) -> bool:
        """Return whether the function has ended, or its thread is not of this process (fork)."""
        if self.thread == threading.get_ident():
            now: FrameType | None = sys._getframe(1)
            while now is not None and now is not self.frame:
                now = now.f_back
            return now is None
        if self.process != os.getpid():
            return True
        try:
            self.frame.clear()  # refused, as long as it runs
        except RuntimeError:
            return False
        return True


class Turn:
    """A lock that an interrupt cannot leave locked.

    Python may raise KeyboardInterrupt between a lock's release and the line before it. So a turn is
    held by a running function: when that has ended in whatever way, the turn is free.

    Args:
        busy: what the thread that holds the turn is told when it asks for it again: a signal
            handler in the middle of a run, for instance.
    """

    def __init__(self, busy: str) -> None:
        self._busy = busy
        self._holders: dict[str, _Holder] = {}

    def __enter__(self) -> None:
        """Take the turn for the calling function; wait for other threads.

        Raises:
            MachineError: the same thread is in the middle of its turn.
        """
        mine = _Holder(sys._getframe(1))
        while (holder := self._holders.setdefault("now", mine)) is not mine:
            if holder.is_over():
                self._remove(holder)
            elif holder.thread == mine.thread:
                raise MachineError(self._busy)
            else:
                time.sleep(PAUSE)

    def __exit__(self, *exc: object) -> None:
        self._holders.pop("now", None)

    def _remove(self, holder: _Holder) -> None:
        with _REMOVING:  # else one thread might remove what the next has just taken
            if self._holders.get("now") is holder:
                del self._holders["now"]
