"""The house: a folder imports only folders before it, no module goes round in a circle, and only
the front rooms know widgets and pictures."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hypkit"

# In the order in which data flows: a room imports only rooms named before it. A room is a folder of
# hypkit, or a module at its top.
ORDER = (
    "errors", "text", "process", "facts", "a64", "asm", "kernel", "header", "trace", "machine", "cost", "explain",
    "call", "emu", "linux", "pictures", "environment", "comparison", "timetravel", "attack",
    "lessons", "check", "viz", "__init__", "__main__",
)  # fmt: skip
PLACE = {room: place for place, room in enumerate(ORDER)}
FRONT = ("pictures", "comparison", "lessons", "timetravel", "viz")  # may know widgets and pictures
VIEWS = ("pictures", "timetravel", "viz")  # emulate nothing
DRAWING = {"anywidget", "ipywidgets", "matplotlib"}
ENGINES = {"keystone", "unicorn"}


def modules(folder=PACKAGE):
    """Every module's text by its dotted name below the package; "__init__" is the face."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def imports(name, sources):
    """(modules of ours, top names of others) that a module imports anywhere, for types as well."""
    ours, others = set(), set()
    package = (
        name
        if any(other.startswith(f"{name}.") for other in sources)
        else (name.rpartition(".")[0])
    )
    for node in ast.walk(ast.parse(sources[name])):
        if isinstance(node, ast.Import):
            wanted = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".") if package else []
                up = parents[: len(parents) - node.level + 1]
                base = ".".join(["hypkit", *up, *filter(None, [base])])
            wanted = [(base, alias.name) for alias in node.names]
        else:
            continue
        for base, member in wanted:
            if base.split(".")[0] != "hypkit":
                others.add(base.split(".")[0])
                continue
            inside = base.removeprefix("hypkit").removeprefix(".")
            deeper = f"{inside}.{member}".removeprefix(".")
            target = deeper if deeper in sources else inside or "__init__"
            if target != name:
                ours.add(target)
    return ours, others


def circles(graph):
    """The sets of two or more nodes that can all reach each other (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            circle = {stack.pop()}
            while node not in circle:
                circle.add(stack.pop())
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def faults(sources):
    """What is wrong with a house of *sources*, a module's text by its name, in sentences."""
    known = {name: imports(name, sources) for name in sources}
    for name, (ours, others) in sorted(known.items()):
        room = name.split(".")[0]
        if room not in PLACE:
            yield f"{room} has no place: give it one in {Path(__file__).name}"
            continue
        for other in sorted({target.split(".")[0] for target in ours} - {room}):
            if other in PLACE and PLACE[other] >= PLACE[room]:
                yield f"{name} imports {other}, which does not come before it"
        for other in sorted(others & DRAWING):
            if room not in FRONT:
                yield f"{name} imports {other}, which only the front rooms may"
        for other in sorted(others & ENGINES):
            if room in VIEWS:
                yield f"{name} imports {other}, but a view emulates nothing"
    graph = {
        name: {target for target in ours if target in sources and target != "__init__"}
        for name, (ours, _) in known.items()
    }
    for circle in circles(graph):
        yield f"a circle: {', '.join(circle)}"


def test_every_room_imports_only_rooms_before_it_and_no_module_imports_in_a_circle():
    assert list(faults(modules())) == []


def test_every_room_that_has_a_place_is_there_and_says_what_it_is_for():
    sources = modules()
    assert {name.split(".")[0] for name in sources} == set(ORDER)
    for name, text in sources.items():
        assert ast.get_docstring(ast.parse(text)), f"{name} does not say what lives there"


def test_only_folders_and_faces_stand_at_the_top_and_none_is_private():
    top = {path.stem for path in PACKAGE.glob("*.py")}
    assert top == {
        "__init__", "__main__", "call", "check", "emu", "environment", "errors", "process", "text",
        "viz",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"a64": "from hypkit.emu import Machine", "emu": ""}, "a64 imports emu, which does not"),
        ({"a64": "from hypkit import emu", "emu": ""}, "a64 imports emu, which does not"),
        ({"a64.x": "def f():\n from ..emu import M", "emu": "", "a64": ""},
         "a64.x imports emu, which does not"),
        ({"facts": "import hypkit.asm.source", "asm.source": "", "asm": ""},
         "facts imports asm, which does not"),
        ({"cost": "import matplotlib.pyplot"}, "cost imports matplotlib, which only the front"),
        ({"emu": "import ipywidgets"}, "emu imports ipywidgets, which only the front"),
        ({"timetravel.w": "from unicorn import Uc", "timetravel": ""},
         "timetravel.w imports unicorn, but a view emulates nothing"),
        ({"attic": ""}, "attic has no place: give it one in test_house.py"),
        # The four circles that a first edition had, each through a private module.
        ({"trace": "from hypkit.trace import columns\nfrom hypkit.trace.diff import T",
          "trace.columns": "if TYPE_CHECKING:\n from hypkit.trace import Trace",
          "trace.diff": "from hypkit.trace import Trace"},
         "a circle: trace, trace.columns, trace.diff"),
        ({"asm": "", "asm._data": "from hypkit.asm._layout import L",
          "asm._layout": "from . import _data"}, "a circle: asm._data, asm._layout"),
        ({"machine": "", "machine.cpu": "from .exceptions import deliver",
          "machine.exceptions": "from hypkit.machine import cpu"},
         "a circle: machine.cpu, machine.exceptions"),
        ({"machine": "", "machine.a": "from hypkit.machine import b", "machine.b":
          "def f():\n from hypkit.machine import c", "machine.c": "import hypkit.machine.a"},
         "a circle: machine.a, machine.b, machine.c"),
    ],
)  # fmt: skip
def test_a_house_with_a_fault_is_found_out(sources, fault):
    (found,) = faults(sources)
    assert found.startswith(fault)


def test_a_house_in_order_draws_no_fault():
    sources = {
        "a64": "import enum",
        "asm": "from hypkit.asm import words\nfrom hypkit import a64",
        "asm.words": "from hypkit.asm.more import x\nimport keystone",
        "asm.more": "import re",
        "emu": "from hypkit.asm import assemble\nimport unicorn",
        "viz": "import matplotlib, anywidget\nfrom .emu import Machine",
        "__init__": "from hypkit.emu import Machine",
    }
    assert list(faults(sources)) == []
