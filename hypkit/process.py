"""A child process of the kit's own, which no interrupt can lose.

Ctrl-C raises between any two lines of the main thread, and so within subprocess.Popen between the
fork and the line that notes its number: the child is nobody's then, and stays a zombie. Handlers of
signals run in the main thread only, so a child is started in another.
"""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading
from collections.abc import Sequence


class Process:
    """A Python script in a process of its own, started by start() and ended by end().

    Make it, keep it where end() will find it, and only then start it.
    """

    def __init__(self, script: str, *arguments: str) -> None:
        self._command = [sys.executable, "-P", os.path.abspath(script), *arguments]
        self._lock, self._started = threading.Lock(), threading.Lock()
        self._started.acquire()
        self._ended = False
        self._error: BaseException | None = None
        self.popen: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        """Start the process, and return it with pipes of ASCII text.

        Raises OSError where the system gives no process.
        """
        try:
            _thread.start_new_thread(self._start, ())
        except RuntimeError:  # the interpreter ends, or there are too many threads
            self._start()
        self._started.acquire()
        if self._error is not None:
            raise self._error
        assert self.popen is not None
        return self.popen

    def _start(self) -> None:
        try:
            process = _popen(self._command)
            with self._lock:
                self.popen, ended = process, self._ended
            if ended:  # end() came first
                _reap(process)
        except BaseException as error:
            self._error = error
        finally:
            self._started.release()

    def end(self) -> None:
        """End the process, whether it was started, is being started, or has ended."""
        with self._lock:
            self._ended, process = True, self.popen
        if process is not None:
            _reap(process)

    def disown(self) -> None:
        """Forget the process: this is a fork's copy, and the child is the parent's to end."""
        if self.popen is not None:
            self.popen.returncode = 0


def _popen(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="ascii",
        errors="replace",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows
    )


def _reap(process: subprocess.Popen[str]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe:
                pipe.close()
        except OSError:
            pass
    process.wait()
