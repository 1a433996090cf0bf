"""The check of the environment: what it says when all is well, and when something is missing."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nbval.plugin import get_sanitize_patterns

from hypkit import asm, emu, header
from hypkit.environment import MISSING, OK, PARTS, environment

SANITIZE = Path(__file__).with_name("nbval-sanitize.cfg")


def without(monkeypatch, *modules):
    """Make some modules look as if they had not been installed."""
    import_module, find_spec = importlib.import_module, importlib.util.find_spec

    def importing(name, *package):
        if name in modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return import_module(name, *package)

    monkeypatch.setattr(importlib, "import_module", importing)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *package: None if name in modules else find_spec(name, *package),
    )


def test_a_good_environment_is_ready_and_says_so():
    found = environment()
    assert found.ready and found.sentence == "All is well: the lessons can begin."
    assert [part.state for part in found.parts[:-1]] == [OK] * 9


def test_a_missing_part_is_named_with_what_to_do(monkeypatch):
    without(monkeypatch, "anywidget")
    found = environment()
    (part,) = [part for part in found.parts if part.state == MISSING and part.name == "anywidget"]
    assert "make lab" in part.words and not found.ready
    assert found.sentence.startswith("Something is missing: run `make lab` again")
    assert "<code>make lab</code>" in found._repr_html_()


def test_a_compiler_that_does_not_load_is_named(monkeypatch):
    def absent(child, main, files, language):
        return header.front_end.reply({"ended": header.clang_child.ABSENT})

    monkeypatch.setattr(header.front_end.Child, "ask", absent)
    header._numbers.cache_clear()  # what an earlier test was told is not asked again
    found = environment()
    header._numbers.cache_clear()
    (part,) = [part for part in found.parts if part.name == "Clang"]
    assert part.state == MISSING and not found.ready
    assert "the package libclang is not installed, or does not load" in part.words


def test_a_machine_that_does_not_run_is_named(monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no engine <here>")

    monkeypatch.setattr(emu, "Machine", broken)
    found = environment()
    assert not found.ready
    assert "it does not run: RuntimeError: no engine <here>" in repr(found)
    assert "no engine &lt;here&gt;" in found._repr_html_()


WITHOUT_AN_ENGINE = """
import sys
for name in ("unicorn", "capstone", "llvmlite", "numba"):
    sys.modules[name] = None
from hypkit.environment import environment
print(environment())
"""


def test_the_check_itself_needs_none_of_what_it_checks():
    done = subprocess.run([sys.executable, "-c", WITHOUT_AN_ENGINE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    state = {line[:20].strip(): line[21:].split()[0] for line in done.stdout.splitlines()[:-1]}
    gone = {name for name, said in state.items() if said == MISSING}
    assert gone >= {"Unicorn", "Capstone", "Numba", "the machine"} and state["Python"] == OK
    assert "make lab" in done.stdout.splitlines()[-1]


def test_a_part_that_is_there_and_does_not_load_says_why(monkeypatch):
    def importing(name, *package):
        raise OSError("libunicorn.so.2: cannot open <it>")

    monkeypatch.setattr(importlib, "import_module", importing)
    (part,) = [part for part in environment().parts if part.name == "Unicorn"]
    assert part.state == MISSING and part.words.startswith(
        "it does not load: OSError: libunicorn.so.2: cannot open <it>; run `make lab`"
    )


def test_an_engine_that_is_installed_and_does_not_answer_is_not_ok(monkeypatch):
    monkeypatch.setattr(asm.engine, "words", lambda texts: ([], "absent"))
    assert environment().parts[-1].state == MISSING and environment().ready


@pytest.mark.parametrize("show", [repr, lambda found: found._repr_html_()])
def test_without_an_engine_all_is_well_and_only_its_line_differs(monkeypatch, show):
    here = environment()
    monkeypatch.setenv("HYPKIT_ENGINE", "none")
    hidden = environment()
    assert hidden.ready and hidden.sentence == here.sentence
    assert "llvmlite (arm64)" in show(hidden).replace("<code>", "")
    as_compared = []
    for found in (here, hidden):
        text = show(found)
        for regex, replacement in get_sanitize_patterns(SANITIZE.read_text()):
            text = re.sub(regex, replacement, text)
        as_compared.append(text)
    assert as_compared[0] == as_compared[1]
    assert as_compared[0].count("ENGINE") == 1 and "Python" in as_compared[0]


def test_nothing_that_changes_between_good_machines_is_said():
    assert not re.search(r"\d+\.\d+\.\d+|0x[0-9a-f]{6}|/home|/usr", repr(environment()))


def test_a_part_that_warns_as_it_loads_is_there(monkeypatch, tmp_path):
    (tmp_path / "warns.py").write_text(
        "import warnings\nwarnings.warn('an old name', FutureWarning)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(PARTS, "warns", ("Warns", "warns"))
    assert environment().ready
