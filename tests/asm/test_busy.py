"""Limits count work and processor time: a busy computer takes what an idle one takes."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from hypkit.asm import assemble, recorded
from hypkit.asm.engines import Engine
from hypkit.kernel import programs
from hypkit.kernel.variants import VARIANTS
from tests.marks import needs_engine

posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
BUSY = 6


@pytest.fixture
def busy():
    """Six processes beside the test that never rest."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@needs_engine
def test_what_the_kit_ships_assembles_beside_six_busy_processes(busy, monkeypatch):
    for key in VARIANTS:
        assert len(programs.build.__wrapped__(key)) > 5
    # And where nothing is recorded, so that a fresh child works it all out.
    monkeypatch.setattr(recorded, "encodings", dict)
    monkeypatch.setattr(recorded, "learned", {})
    assert len(programs.build.__wrapped__("numbered")) > 5


@needs_engine
@posix
def test_a_child_that_waits_for_its_turn_is_not_slow():
    child = Engine()
    assert child.words(["nop"], seconds=1.0)[1] == ""
    assert child._process is not None
    pid = child._process.pid
    os.kill(pid, signal.SIGSTOP)
    later = threading.Timer(3.0, os.kill, (pid, signal.SIGCONT))
    later.start()
    try:
        assert child.words(["ret"], seconds=1.0) == ([0xD65F03C0], "")
        assert child.starts == 1
    finally:
        later.join()
        child.close()


@needs_engine
@posix
def test_a_child_that_works_too_long_is_slow():
    child = Engine()
    texts = [f"add x{n % 29}, x1, #{n % 4096}" for n in range(20_000)]
    words, why = child.words(texts, seconds=0.05)
    assert why == "slow" and len(words) < len(texts)
    assert child.words(["ret"]) == ([0xD65F03C0], "")
    child.close()


@needs_engine
def test_a_long_text_beside_six_busy_processes(busy):
    lines = "".join(f"        add     x0, x1, #{n}\n        cbz x0, 1f\n1:\n" for n in range(4000))
    assert len(assemble(lines).code) == 32_000
