"""The kit's errors: what a learner reads of them, in a notebook and in Python."""

import functools
import json
import pickle
import signal
import subprocess
import sys

import pytest

from hypkit import AsmError, Machine, MachineError
from hypkit.check import check
from hypkit.errors import (
    KitError,
    UnknownName,
    WrongIndex,
    WrongType,
    WrongValue,
    did_you_mean,
    expected,
    pass_on,
    shown,
)
from hypkit.facts.toml import FactError
from hypkit.header import HeaderError

CELL = """
import re
from IPython.core.interactiveshell import InteractiveShell
import io, contextlib, json
shell = InteractiveShell.instance()
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
    shell.run_cell("def ask(key):\\n    from hypkit import Machine\\n    return Machine(key)\\n")
    shell.run_cell("x = 1\\nask('numbred')")
print(json.dumps(re.sub(r"\\x1b\\[[0-9;]*m", "", out.getvalue())))
"""


def test_a_notebook_shows_the_learners_lines_and_one_sentence():
    done = subprocess.run([sys.executable, "-c", CELL], capture_output=True, text=True, check=True)
    text = json.loads(done.stdout.splitlines()[-1])
    lines = [line for line in text.splitlines() if line]
    assert lines[0] == "KeyError"
    assert lines[1].endswith("line 2") and "Cell In" in lines[1]
    assert lines[2] == "----> 2 ask('numbred')"
    assert lines[3].endswith("line 3, in ask()") and lines[4] == "----> 3 return Machine(key)"
    assert lines[5].startswith("KeyError: no variant 'numbred'; there are: fnptr, numbered, ")
    assert lines[5].endswith("; did you mean 'numbered'?") and len(lines) == 6


@pytest.mark.parametrize("kind", [AsmError, HeaderError, FactError, MachineError])
def test_every_error_of_the_kit_has_the_same_manners(kind):
    assert issubclass(kind, KitError)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (UnknownName, KeyError),
        (WrongType, TypeError),
        (WrongValue, ValueError),
        (WrongIndex, IndexError),
    ],
)
def test_an_error_is_caught_as_pythons_own_and_reads_as_a_sentence(kind, base):
    with pytest.raises(base) as caught:
        raise kind("expected this; got that")
    assert str(caught.value) == "expected this; got that"
    assert str(pickle.loads(pickle.dumps(caught.value))) == "expected this; got that"
    assert caught.value._render_traceback_()[-1].endswith(": expected this; got that")
    assert base.__name__ in caught.value._render_traceback_()[0]
    assert str(kind()) == ""


class Refuses:
    def __repr__(self):
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        ("a\nb", "'a\\nb'"),
        (10**5000, "a number of 16,610 bits"),
        (Refuses(), "something of type Refuses that cannot be shown"),
        ([1] * 1000, "[" + "1, " * 25 + " ..."),
    ],
    ids=["None", "two lines", "huge", "no repr", "long"],
)
def test_a_wrong_value_is_shown_short_whatever_it_is(value, text):
    assert shown(value) == text and len(shown(value)) <= 80
    assert expected("a whole number", value) == f"expected a whole number; got {text}"


def test_the_nearest_name_is_offered_and_nothing_far_away():
    assert did_you_mean("numbred", ["fnptr", "numbered"]) == "; did you mean 'numbered'?"
    assert did_you_mean("zzz", ["fnptr"]) == did_you_mean([], ["fnptr"]) == ""


def test_outside_of_a_notebook_the_traceback_is_whole():
    done = subprocess.run(
        [sys.executable, "-c", "from hypkit import Machine; Machine('numbred')"],
        capture_output=True,
        text=True,
    )
    assert "hypkit/kernel/variants.py" in done.stderr and done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("hypkit.errors.UnknownName: no variant")


def test_a_machine_of_a_wrong_key_has_pythons_kind_of_error():
    with pytest.raises(KeyError, match="no variant \\[\\]; there are"):
        Machine([])


class Alarm(Exception):
    """What a learner's own handler raises."""


def alarmed(number, frame):
    raise Alarm("time is up")


class Handler:
    def __call__(self, number, frame):
        raise Alarm("time is up")

    def method(self, number, frame):
        raise Alarm("time is up")


class Slow:
    """An object that a signal finds at work, whatever it is asked for."""

    def at_work(self, *arguments, **options):
        signal.raise_signal(signal.SIGTERM)
        for _ in range(1000):
            pass

    __repr__ = __len__ = __array__ = __index__ = __call__ = __iter__ = at_work


@pytest.fixture(params=[alarmed, Handler(), Handler().method, functools.partial(alarmed)])
def handler(request):
    before = signal.signal(signal.SIGTERM, request.param)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.run(Slow()),
        lambda m: m.run([0x101], Slow()),
        lambda m: m.hvc(Slow()),
        lambda m: m.reboot(Slow()),
        lambda m: m.read(Slow(), 8),
        lambda m: shown(Slow()),
        lambda m: check("00.1", Slow()),
        lambda m: check("00.3", Slow()),
        lambda m: check("03.2", Slow()),
        lambda m: check("06.2", Slow()),
    ],
)
def test_the_exception_of_a_signals_handler_is_not_told_as_a_fault_of_what_ran(handler, use):
    with Machine("numbered") as m:
        with pytest.raises(Alarm):
            use(m)
        if not m.stopped:
            assert m.hvc(0x101).x0 == 6


def test_what_an_object_itself_raises_is_a_fault_of_the_object(handler):
    try:
        raise TimeoutError("of its own")
    except TimeoutError as error:
        assert pass_on(error) is None
