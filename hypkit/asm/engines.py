"""The engines that turn one instruction into its word: Keystone on x86-64, LLVM on arm64.

Both live in a child process (`engine_child.py`), because both may end the process they live in.
Keystone has wheels for x86-64 only; llvmlite carries LLVM's assembler for the processor it runs on,
so on arm64 it speaks A64. Wherever Unicorn runs, there is one of the two.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from hypkit.asm.engine_child import READY, located
from hypkit.errors import WrongValue, pass_on
from hypkit.process import Process

SECONDS = 10.0  # of the child's processor time, for one request
PATIENCE = 120.0  # of the clock: a child that neither works nor answers, and Windows
CHOICE = "HYPKIT_ENGINE"  # "keystone", "llvm", "none"; unset: what runs on this processor


@dataclass(frozen=True)
class Kind:
    """An engine: what it is called, and the package that brings it."""

    name: str
    package: str


KINDS = {"keystone": Kind("Keystone", "keystone"), "llvm": Kind("LLVM", "llvmlite")}
NATIVE = dict.fromkeys(("x86_64", "amd64"), "keystone") | dict.fromkeys(
    ("arm64", "aarch64"), "llvm"
)


def chosen() -> str | None:
    """Return the key of the engine for this machine in `KINDS`; None where there is none.

    Raises ValueError for a wish in HYPKIT_ENGINE that names no engine.
    """
    wish = os.environ.get(CHOICE, "").lower()
    if wish not in ("", "none", *KINDS):
        raise WrongValue(f"{CHOICE} must be keystone, llvm or none; got {wish!r}")
    key = wish or NATIVE.get(platform.machine().lower(), "none")
    if key == "none" or importlib.util.find_spec(KINDS[key].package) is None:
        return None
    return key


class Engine:
    """The parent's end: starts the child when first asked, and again when it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: Process | None = None
        self._owner = 0
        self._key = ""
        self.starts = 0

    @property
    def _process(self) -> subprocess.Popen[str] | None:
        return self._child.popen if self._child else None

    @staticmethod
    def present() -> bool:
        """Return whether this machine has an engine (HYPKIT_ENGINE=none hides it)."""
        return chosen() is not None

    @property
    def name(self) -> str:
        """Return what the engine of this machine is called, "no engine" where there is none."""
        key = chosen()
        return KINDS[key].name if key else "no engine"

    def words(
        self, texts: list[str], seconds: float = SECONDS, patience: float = PATIENCE
    ) -> tuple[list[int], str]:
        """Return the words of the leading instructions that exist, and why the next has none.

        Args:
            texts: Instructions in canonical spelling.
            seconds: Processor time that the child may use.
            patience: Seconds on the clock after which a child that does not answer is ended.

        Returns:
            (words, why): why is "" (all have a word), "refused", "crashed", "slow", or "absent"
            (there is no engine, or it does not load).
        """
        with self._lock:
            key = chosen()
            if key is None:
                return [], "absent"
            for attempt in (0, 1):
                try:
                    words, why, refused = self._ask(key, texts, seconds, patience)
                    if refused is not None:  # LLVM ended at this one, and told no words
                        self._forget()
                        words, why = [], ""
                        if refused:
                            words, why, _ = self._ask(key, texts[:refused], seconds, patience)
                        why = why or "refused"
                except BaseException:  # Ctrl-C: the rest of the reply must not meet the next call
                    self._forget()
                    raise
                if why in ("crashed", "slow", "absent"):
                    self._forget()
                if why == "crashed" and not words and not attempt:
                    continue  # it may have died since the last call; a real crash repeats
                return words, why
        raise AssertionError("unreachable")

    def _ask(
        self, key: str, texts: list[str], seconds: float, patience: float
    ) -> tuple[list[int], str, int | None]:
        """Return (words, why, the place of the instruction at which LLVM ended)."""
        process, fresh = self._running(key, seconds)
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(patience, stop)
        timer.daemon = True
        timer.start()
        words: list[int] = []
        refused = None
        try:
            assert process.stdin and process.stdout
            if fresh and process.stdout.readline() != READY:
                return [], "slow" if late.is_set() else "absent", None
            process.stdin.write(json.dumps(texts) + "\n")
            process.stdin.flush()
            words, why, refused = self._read(process, len(texts))
        except OSError as error:
            pass_on(error)
            why = "crashed"
        finally:
            timer.cancel()
        if why == "crashed" and refused is None and (late.is_set() or _out_of_time(process)):
            why = "slow"
        return words, why, refused

    @staticmethod
    def _read(process: subprocess.Popen[str], count: int) -> tuple[list[int], str, int | None]:
        assert process.stdout
        words: list[int] = []
        refused: list[int] = []
        while len(words) < count:
            line = process.stdout.readline()
            if not line.endswith("\n"):
                return words, "crashed", min(refused, default=None)
            try:
                word = json.loads(line)
            except ValueError:  # LLVM's own words about a line
                place = located(line)
                refused += [] if place is None else [place]
                continue
            if word is None:
                return words, "refused", None
            words.append(word)
        return words, "", None

    def _running(self, key: str, seconds: float) -> tuple[subprocess.Popen[str], bool]:
        process = self._process
        if (
            process is not None
            and self._owner == os.getpid()
            and self._key == f"{key} {seconds}"
            and process.poll() is None
        ):
            return process, False
        self._forget()
        script = Path(__file__).with_name("engine_child.py")
        self._owner, self._key = os.getpid(), f"{key} {seconds}"
        self._child = Process(str(script), key, str(seconds))
        process = self._child.start()
        self.starts += 1
        return process, True

    def _forget(self) -> None:
        if self._child is not None:
            if self._owner == os.getpid():
                self._child.end()
            else:
                self._child.disown()
        self._child = None

    def close(self) -> None:
        """End the child, if one runs."""
        with self._lock:
            self._forget()


def _out_of_time(process: subprocess.Popen[str]) -> bool:
    """Return whether the child ended because its processor time was used up."""
    expired = getattr(signal, "SIGPROF", None)
    try:
        return expired is not None and process.wait(1) == -expired
    except subprocess.TimeoutExpired:
        return False
