"""Keystone in a child process: one instruction in, four bytes out, whatever Keystone does.

Run as a script this file is the child; it imports nothing of hypkit, so that it starts quickly.
One request is a JSON list of instructions on one line, one reply is a line per instruction:
a number, or null when Keystone refuses. The child ends when its standard input closes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading

SECONDS = 10.0
READY = '"ready"\n'


def serve() -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # nothing that C code prints may reach the reply pipe
        os.dup2(nowhere.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Jupyter's stop button reaches the whole group
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # Windows
    import keystone

    engine = keystone.Ks(keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN)
    replies.write(READY)
    replies.flush()
    for line in sys.stdin:
        for text in json.loads(line):
            try:
                code = engine.asm(text, 0, True)[0]
            except keystone.KsError:
                code = None
            word = int.from_bytes(code, "little") if code is not None and len(code) == 4 else None
            replies.write(f"{json.dumps(word)}\n")
            replies.flush()
            if word is None:
                break


class Child:
    """The parent's end: starts the child when first asked, and again when it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self.starts = 0

    @staticmethod
    def present() -> bool:
        """Is there a Keystone on this machine (HYPKIT_NO_KEYSTONE=1 hides it)?"""
        if os.environ.get("HYPKIT_NO_KEYSTONE", "") not in ("", "0"):
            return False
        return importlib.util.find_spec("keystone") is not None

    def words(self, texts: list[str], seconds: float = SECONDS) -> tuple[list[int], str]:
        """Words of the leading texts that assemble, and why the next one does not:
        "" (all did), "refused", "crashed", "slow", or "absent" (Keystone does not load)."""
        with self._lock:
            for attempt in (0, 1):
                try:
                    words, why = self._ask(texts, seconds)
                except BaseException:  # Ctrl-C: the rest of the reply must not meet the next call
                    self._forget()
                    raise
                if why in ("crashed", "slow", "absent"):
                    self._forget()
                if why == "crashed" and not words and not attempt:
                    continue  # it may have died since the last call; a real crash repeats
                return words, why
        raise AssertionError("unreachable")

    def _ask(self, texts: list[str], seconds: float) -> tuple[list[int], str]:
        process, fresh = self._running()
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            if fresh and process.stdout.readline() != READY:
                return [], "slow" if late.is_set() else "absent"
            process.stdin.write(json.dumps(texts) + "\n")
            process.stdin.flush()
            words, why = self._read(process, len(texts))
        except OSError:
            words, why = [], "crashed"
        finally:
            timer.cancel()
        return words, "slow" if late.is_set() and why else why

    @staticmethod
    def _read(process, count: int) -> tuple[list[int], str]:
        words: list[int] = []
        while len(words) < count:
            line = process.stdout.readline()
            if not line.endswith("\n"):
                return words, "crashed"
            word = json.loads(line)
            if word is None:
                return words, "refused"
            words.append(word)
        return words, ""

    def _running(self) -> tuple[subprocess.Popen[str], bool]:
        fresh = False
        if self._process is not None and (
            self._owner != os.getpid() or self._process.poll() is not None
        ):
            self._forget()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", os.path.abspath(__file__)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="ascii",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows
            )
            self._owner = os.getpid()
            self.starts += 1
            fresh = True
        return self._process, fresh

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._owner != os.getpid():
            process.returncode = 0  # a fork's copy: the child is the parent's to end
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()
            except OSError:
                pass
        process.wait()

    def close(self) -> None:
        """End the child, if one runs."""
        with self._lock:
            self._forget()


if __name__ == "__main__":
    serve()
