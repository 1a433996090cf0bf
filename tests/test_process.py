"""A child process is nobody's at no moment: an interrupt at any line leaves none behind."""

import os
import subprocess
import sys

import pytest

from tests.marks import SLOWER, needs_engine

posix = pytest.mark.skipif(os.name != "posix", reason="counts children as POSIX does")

# Ctrl-C raises between two lines of the main thread. Here it does so before each line that runs in
# there while a child is started, one line after the other.
SCRIPT = """
import os, sys, time

def interrupt(place, work, entrances):
    depth, lines, hit = 0, 0, False

    def line(frame, event, argument):
        nonlocal depth, lines, hit
        if event == "return" and frame.f_code.co_qualname in entrances:
            depth -= 1
        if event == "line" and depth and not hit:
            lines += 1
            if lines == place:
                hit = True
                raise KeyboardInterrupt
        return line

    def call(frame, event, argument):
        nonlocal depth
        depth += frame.f_code.co_qualname in entrances
        return line

    sys.settrace(call)
    try:
        work()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return hit

def children():
    end = time.monotonic() + 5
    while time.monotonic() < end:  # the thread that has started one may be at its end just now
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        time.sleep(0.01)
    return True

def assembler():
    from hypkit.asm.engines import Engine
    global engine
    engine = Engine()
    engine._running("keystone", 1.0)
    engine.close()

def compiler():
    from hypkit.header.front_end import opened
    with opened({}) as ask:
        ask("int x;")

WORKS = {"assembler": (assembler, ("Engine._running",)), "compiler": (compiler, ("Process.start",))}
work, entrances = WORKS[sys.argv[1]]
work()
place, lost = 1, []
while interrupt(place, work, entrances):
    if sys.argv[1] == "assembler":
        engine.close()
    if children():
        lost.append(place)
        break
    place += 1
print(place - 1, lost)
"""


@needs_engine
@posix
@pytest.mark.parametrize("what", ["assembler", "compiler"])
def test_an_interrupt_at_any_line_of_a_start_leaves_no_child(what):
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, what], capture_output=True, text=True, timeout=60 * SLOWER
    )
    assert ran.returncode == 0, ran.stderr
    lines, lost = ran.stdout.split(maxsplit=1)
    assert lost.strip() == "[]" and int(lines) >= 5, ran.stdout
