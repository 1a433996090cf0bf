"""The soak itself, with few cases: it ends well, and counts what is wrong."""

import subprocess
import sys

import pytest

from tests.soak import __main__ as soak
from tests.soak import experiments

SHORT = ("interface", "signals", "machines", "assembler", "headers", "steppers")


def test_a_short_soak_finds_nothing_wrong():
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--cases", "40", *SHORT],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "102 cases: 0 deaths, 0 hangs, 0 wrong, 0 grew too much" in done.stdout


FAULTY = """
import os, sys, time
from tests.soak import __main__ as soak, experiments
def dies(cases, seed):
    os._exit(3)
    yield
def lies(cases, seed):
    yield "a wrong answer"
def grows(cases, seed):
    kept.append(bytearray(os.urandom(60 << 20)))
    yield from ()
def hangs(cases, seed):
    time.sleep(600)
    yield from ()
kept = []
experiments.EXPERIMENTS.clear()
experiments.EXPERIMENTS.update({f.__name__: (f, 1) for f in (dies, lies, grows, hangs)})
soak.child(sys.argv[2], 5, 1)
"""


def test_deaths_hangs_lies_and_growth_are_counted(tmp_path, monkeypatch, capsys):
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    # What ends has 200 cases, and a minute for them on the busiest computer; what hangs has five.
    cases = {"dies": 40, "lies": 40, "grows": 40, "hangs": 1}
    monkeypatch.setattr(soak, "EXPERIMENTS", {name: (None, share) for name, share in cases.items()})
    monkeypatch.setattr(soak, "LEAST", 0)
    monkeypatch.setattr(soak, "SECONDS_A_CASE", 0.3)
    monkeypatch.setattr(soak, "MODULE", (str(file),))
    monkeypatch.setattr(sys, "argv", ["soak", "--cases", "5"])
    with pytest.raises(SystemExit) as ended:
        soak.main()
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "605 cases: 1 deaths, 1 hangs, 4 wrong, 1 grew too much"
    assert "a wrong answer" in shown and "it did not end" in shown


def test_a_machine_that_does_not_recover_is_found():
    with experiments.Machine("numbered") as machine:
        assert experiments.healthy(machine) is None and experiments.mended(machine) is None
        machine.close()
        assert "was closed" in (experiments.healthy(machine) or "")
        assert "was closed" in (experiments.mended(machine) or "")


def test_what_is_refused_without_a_sentence_is_found():
    assert experiments.refused(lambda: experiments.asm.assemble("mov x0, #70000000001")) is None
    assert experiments.refused(lambda: None) is None
    assert experiments.refused(lambda: 1 / 0) == "ZeroDivisionError: division by zero"


# Engines with a fault that each experiment has to find: what is changed, and what is then said.
def wrong_word(text, *arguments, **options):
    program = REAL_ASSEMBLE(text, *arguments, **options)
    if text.startswith("mov x0"):
        object.__setattr__(program, "code", bytes(4))
    return program


def raw(*arguments, **options):
    raise ZeroDivisionError("of the engine's own")


def kept_alive(self, *arguments):
    KEPT.append(self)


REAL_ASSEMBLE, KEPT = experiments.asm.assemble, []
FAULTY_ENGINES = {
    "assembler, a wrong word": ("assembler", experiments.asm, "assemble", wrong_word, "wrongly"),
    "assembler, raw": ("assembler", experiments.asm.linker, "link", raw, "ZeroDivisionError"),
    "headers, raw": ("headers", experiments, "read_header", raw, "ZeroDivisionError"),
    "steppers, kept": ("steppers", experiments.Stepper, "close", kept_alive, "is kept"),
    "steppers, raw": ("steppers", experiments.Stepper, "_heard", raw, "ZeroDivisionError"),
}


@pytest.mark.parametrize("name", FAULTY_ENGINES)
def test_an_experiment_finds_a_faulty_engine(name, monkeypatch):
    experiment, owner, attribute, faulty, says = FAULTY_ENGINES[name]
    work = experiments.EXPERIMENTS[experiment][0]
    assert list(work(5, 3)) == []
    monkeypatch.setattr(owner, attribute, faulty)
    try:
        found = next(iter(work(5, 3)))
    except ZeroDivisionError as error:  # the process of the experiment dies of it, and is counted
        found = repr(error)
    monkeypatch.undo()
    KEPT.clear()
    assert says in found
