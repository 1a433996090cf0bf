"""The editor: the committed bundle is what its sources make, and travels only where it is needed."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hypkit import Machine, stepper
from hypkit.header import DEFINES, ENUM
from hypkit.lessons.exercises.lesson11 import SHORT
from hypkit.pictures.source import _tokens
from hypkit.timetravel import editor
from hypkit.timetravel.editor import build as building

FRONT = Path(__file__).with_name("front")
GUEST = Path(building.FOLDER).parents[1] / "kernel" / "guest"


def test_the_bundle_is_what_its_sources_make():
    """Needs npm and its registry; without them it says so and is skipped."""
    try:
        bundle, licences = building.build()
    except RuntimeError as error:
        pytest.skip(f"whether the editor's bundle is current was not looked at: {error}")
    assert editor.BUNDLE.read_text("utf-8") == bundle
    assert building.LICENCES.read_text("utf-8") == licences


def test_without_npm_the_build_says_so(monkeypatch, capsys):
    monkeypatch.setattr(building.shutil, "which", lambda name: None)
    assert building.main() == 1
    assert capsys.readouterr().err == "The editor is not bundled: npm is missing.\n"


def test_every_package_in_the_bundle_has_its_licence_beside_it():
    lock = json.loads((editor.FOLDER / "package-lock.json").read_text("utf-8"))["packages"]
    inside = {path.removeprefix("node_modules/") for path in lock if path} - {"esbuild"}
    inside = {name for name in inside if not name.startswith("@esbuild/")}
    text = building.LICENCES.read_text("utf-8")
    assert {name for name in inside if f"\n{name}\n---" not in text} == set()
    assert len(inside) >= 8


def test_the_bundle_asks_nothing_of_the_network_and_is_of_a_bearable_size():
    text = editor.bundle().decode()
    assert len(text) < 350_000
    assert not re.search(r"^import |\bimport\(|fetch\(|XMLHttpRequest", text, re.MULTILINE)


def test_an_output_and_an_exported_file_of_a_finished_call_do_not_carry_the_editor():
    call = Machine("numbered", seed=1).call("__kvm_get_mdcr_el2")
    view = stepper(call)
    assert "cm-content" in editor.bundle().decode()
    assert "cm-content" not in view.to_html()
    assert "cm-content" not in view._esm


def _found(text, language):
    kinds = {"comment": [], "string": [], "number": []}
    for match in _tokens(language).finditer(text):
        if match.lastgroup in kinds:
            kinds[match.lastgroup].append(match[0])
    return kinds


def test_the_colours_are_those_of_the_kits_listings(tmp_path):
    node = shutil.which("node")
    if not node:
        pytest.skip("node is missing: the editor's colours are not tested")
    sources = [("asm", SHORT), *(("asm", p.read_text("utf-8")) for p in sorted(GUEST.glob("*.S")))]
    sources += [("c", text) for header in (DEFINES, ENUM) for text in header.values()]
    assert len(sources) > 10
    texts = [
        {"language": language, "text": text, "found": _found(text, language)}
        for language, text in sources
    ]
    path = tmp_path / "editor.json"
    path.write_text(json.dumps({"names": editor.names(), "texts": texts}), encoding="utf-8")
    done = subprocess.run(
        [node, "--test", str(FRONT / "editor.test.mjs")],
        capture_output=True, text=True, timeout=60, env=os.environ | {"HYPKIT_EDITOR": str(path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
