"""The house: a room imports only rooms on lower floors, and widgets live on the top floor."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hypkit"

# From the ground up. A private module (_name) is a part of the rooms that import it. A call hands
# out its trace and its cost, so the machine (emu) stands above both. A folder has two floors: what
# it says of all its modules, and the modules ("folder/").
FLOORS = (
    {"arch", "facts"},
    {"decode", "vmem"},
    {"abi", "asm", "pipeline"},
    {"explain", "header", "hooks", "image"},
    {"trace"},
    {"cost", "cpu"},
    {"emu", "listing", "words"},
    {"exercises"},
    {"check", "environment", "measure", "payload", "proving"},
    {"exercises/"},
    {"pictures", "timetravel", "views", "viz"},
    {"comparison", "pictures/"},
    {"__init__"},
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
TOP_FLOOR_ONLY = {"anywidget", "ipywidgets", "matplotlib"}
ENGINES = {"keystone", "unicorn"}


def imported(source):
    """The modules that `source` imports anywhere in it: ours as "hypkit.x", others' top name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = f"hypkit.{module}".rstrip(".")
            inside = [f"hypkit.{alias.name}" for alias in node.names]
            names = inside if module == "hypkit" else [module]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield ".".join(parts[:2]) if parts[0] == "hypkit" else parts[0]


def faults(sources):
    """What is wrong with a house of `sources`, a module's text by its name, in sentences."""
    uses = {room: set(imported(text)) for room, text in sources.items()}

    def reached(room, seen):
        """All that `room` imports, itself or through the private modules it is made of."""
        for name in sorted(uses[room]):
            part = name.removeprefix("hypkit.")
            if name.startswith("hypkit._") and part in uses and part != "__init__":
                if part not in seen:
                    yield from reached(part, seen | {part})
            else:
                yield name

    for room in sorted(name for name in sources if name == "__init__" or name[0] != "_"):
        if room not in LEVEL:
            yield f"{room} has no floor: give it one in {Path(__file__).name}"
            continue
        for name in sorted(set(reached(room, {room}))):
            other = name.removeprefix("hypkit.")
            if name.startswith("hypkit.") and other in sources and other in LEVEL and other != room:
                if LEVEL[other] >= LEVEL[room]:
                    yield f"{room} imports {other}, which is not on a lower floor"
            if name in TOP_FLOOR_ONLY and LEVEL[room] < LEVEL["viz"]:
                yield f"{room} imports {name}, which only viz may"
            if name in ENGINES and LEVEL[room] >= LEVEL["viz"]:
                yield f"{room} imports {name}, but a view emulates nothing"


def house():
    """The text of each room's modules, by the room's name in FLOORS."""
    sources = {}
    for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.py")]):
        folder = path.parent.name
        room = path.stem if path.parent == PACKAGE else folder + "/" * (path.stem != "__init__")
        sources[room] = sources.get(room, "") + path.read_text(encoding="utf-8") + "\n"
    return sources


def test_every_room_imports_only_lower_floors_and_only_viz_knows_widgets():
    assert list(faults(house())) == []


def test_a_folders_modules_are_rooms_of_the_house():
    assert {"cost", "exercises", "exercises/", "pictures", "pictures/"} <= house().keys()
    spoilt = house() | {"exercises/": "import matplotlib", "pictures/": "import unicorn"}
    assert len(list(faults(spoilt))) == 2


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"arch": "from hypkit.emu import Machine", "emu": ""}, "arch imports emu, which is not"),
        ({"arch": "from hypkit import emu", "emu": ""}, "arch imports emu, which is not"),
        ({"arch": "def f():\n from .emu import M", "emu": ""}, "arch imports emu, which is not"),
        ({"arch": "import hypkit.facts", "facts": ""}, "arch imports facts, which is not"),
        (
            {"arch": "from . import _a", "_a": "from hypkit import _b", "_b": "import hypkit.emu",
             "emu": ""},
            "arch imports emu, which is not",
        ),
        ({"cost": "import matplotlib.pyplot"}, "cost imports matplotlib, which only viz may"),
        ({"emu": "from hypkit._w import x", "_w": "import ipywidgets"}, "emu imports ipywidgets"),
        ({"viz": "from unicorn import Uc"}, "viz imports unicorn, but a view emulates nothing"),
        ({"attic": ""}, "attic has no floor: give it one in test_house.py"),
    ],
)
def test_a_house_with_a_fault_is_found_out(sources, fault):
    (found,) = faults(sources)
    assert found.startswith(fault)


def test_a_house_in_order_draws_no_fault():
    sources = {
        "arch": "import enum",
        "asm": "from hypkit import _words, arch",
        "_words": "from hypkit import _words, _more",
        "_more": "from hypkit._words import x\nimport keystone",
        "emu": "from hypkit.asm import assemble\nimport unicorn",
        "viz": "import matplotlib, anywidget\nfrom .emu import Machine",
        "__init__": "from hypkit.emu import Machine",
    }
    assert list(faults(sources)) == []
