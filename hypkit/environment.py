"""Check the installation; the output is the same on every healthy machine."""

from __future__ import annotations

import html
import importlib
import re
import sys
import warnings
from dataclasses import dataclass

from hypkit.errors import pass_on
from hypkit.pictures.html import Html, table

OK, MISSING = "ok", "missing"
INSTALL = "run `make lab` again, or `pip install -e .` in the folder of the kit"
# Import name -> (name as a learner knows it, what for).
PARTS = {
    "unicorn": ("Unicorn", "runs the machine's instructions"),
    "capstone": ("Capstone", "turns instructions into text"),
    "numba": ("Numba", "makes the machine fast"),
    "matplotlib": ("Matplotlib", "draws graphs of your own"),
    "ipywidgets": ("ipywidgets", "buttons and sliders in the notebook"),
    "anywidget": ("anywidget", "views you can step through"),
}
OPTIONAL = "engine (optional)"
MADD = ("madd x1, x2, x3, x4", 0x9B031041)
ENGINE_FOR = "assembles instructions that you write yourself"
ENGINE_MISSING = (
    "nothing here assembles what you write yourself; expected Keystone (x86-64) or llvmlite "
    f"(arm64): {INSTALL}. All else works"
)


@dataclass(frozen=True)
class Part:
    """One thing the kit is made of: its name, OK or MISSING, and what it is for or what to do."""

    name: str
    state: str
    words: str


@dataclass(frozen=True)
class Environment:
    """What the check found. ready: whether the lessons can be run."""

    parts: tuple[Part, ...]

    @property
    def ready(self) -> bool:
        """Return whether the lessons can be run; the assembler does not count."""
        return all(part.state == OK for part in self.parts if part.name != OPTIONAL)

    @property
    def sentence(self) -> str:
        """Return the result in a sentence; the assembler's engine does not count."""
        if self.ready:
            return "All is well: the lessons can begin."
        return f"Something is missing: {INSTALL}, then restart the kernel and run this cell again."

    def __repr__(self) -> str:
        rows = (f"{part.name:20} {part.state:8} {part.words}" for part in self.parts)
        return "\n".join([*rows, self.sentence])

    def _repr_html_(self) -> str:
        # A line for each row: the test of the notebooks leaves out the engine's, and no other.
        rows = [(part.name, part.state, Html(_code(part.words))) for part in self.parts]
        shown = table(("part", "here?", "what for"), rows)
        return f"{shown}\n<p><strong>{_code(self.sentence)}</strong></p>"


def _code(text: str) -> str:
    """Text as HTML, with what stands between backquotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def environment() -> Environment:
    """Look for every part, and boot a machine. The first time it may take some seconds."""
    new_enough = sys.version_info >= (3, 11)
    parts = [
        Part(
            "Python",
            OK if new_enough else MISSING,
            "3.11 or newer" if new_enough else "this is older than 3.11",
        )
    ]
    for module, (name, purpose) in PARTS.items():
        parts.append(_part(module, name, purpose))
    parts.append(_compiler())
    parts.append(_machine())
    parts.append(_engine())
    return Environment(tuple(parts))


def _part(module: str, name: str, purpose: str) -> Part:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it deprecates does not keep it from loading
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            return Part(name, MISSING, INSTALL)
        return Part(name, MISSING, f"it does not load: {error}; {INSTALL}")
    except Exception as error:  # a broken installation fails in more ways than ImportError
        pass_on(error)
        return Part(name, MISSING, f"it does not load: {type(error).__name__}: {error}; {INSTALL}")
    return Part(name, OK, purpose)


def _compiler() -> Part:
    """The compiler is given a header: its library may be installed and still not load."""
    try:
        from hypkit.header import ENUM, read_header

        read_header(ENUM)
    except Exception as error:
        pass_on(error)
        return Part("Clang", MISSING, f"it reads no header: {error}; {INSTALL}")
    return Part("Clang", OK, "reads the C headers that you write")


def _machine() -> Part:
    try:
        # Not before: the check has to tell what is missing where the machine cannot be imported.
        from hypkit.emu import Machine

        with Machine("numbered", seed=1) as machine:
            machine.call("__kvm_timer_set_cntvoff", 7)
            answered = machine.sysreg("CNTVOFF_EL2") == 7
    except Exception as error:
        pass_on(error)
        return Part("the machine", MISSING, f"it does not run: {type(error).__name__}: {error}")
    return Part(
        "the machine",
        OK if answered else MISSING,
        "it boots and answers a call" if answered else "it boots, and answers nonsense",
    )


def _engine() -> Part:
    """The assembler's engine is asked for one instruction: one that is installed may still not load."""
    try:
        from hypkit.asm import engine

        works = engine.present() and engine.words([MADD[0]]) == ([MADD[1]], "")
    except Exception as error:  # the assembler may lack a part that has been named already
        pass_on(error)
        works = False
    return Part(OPTIONAL, OK if works else MISSING, ENGINE_FOR if works else ENGINE_MISSING)
