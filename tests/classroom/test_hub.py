"""The hub of a class: its files say the same, and its limits hold."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests.classroom.scripts import CLASSROOM, load
from tests.marks import on_a_real_processor

limits = load("limits")
check_values = load("check_values")
README = (CLASSROOM / "README.md").read_text(encoding="utf-8")

CHILD = """
hog = []
try:
    while True: hog.append(bytearray(16 << 20))
except MemoryError:
    print("refused after", len(hog) * 16, "MiB")
"""


class Spawner:
    """As much of a spawner as limits need."""

    home_dir = ""

    def make_preexec_fn(self, name):
        return lambda: None

    def user_env(self, env):
        return env | {"HOME": self.home_dir}


@on_a_real_processor
def test_a_memory_hog_is_refused_and_lives_on():
    prepare = limits.limited(Spawner, 256 << 20)().make_preexec_fn("hog")
    done = subprocess.run(
        [sys.executable, "-c", CHILD], preexec_fn=prepare, capture_output=True, text=True
    )
    taken = int(re.fullmatch(r"refused after (\d+) MiB\n", done.stdout)[1])
    assert 100 < taken < 256


def test_a_learner_finds_a_copy_and_keeps_what_was_there(tmp_path):
    spawner = Spawner()
    spawner.home_dir = str(tmp_path / "ada")
    limits.prepare_home(spawner)
    mine = tmp_path / "ada" / "lessons" / "00-start-here.ipynb"
    mine.write_text("my answers")
    limits.prepare_home(spawner)
    assert mine.read_text() == "my answers"
    assert len(list(mine.parent.iterdir())) >= 14


def test_with_systemd_the_copy_goes_to_the_home_of_the_account(monkeypatch, tmp_path):
    account = SimpleNamespace(pw_dir=str(tmp_path / "ada"))
    monkeypatch.setattr(limits.pwd, "getpwnam", {"ada": account}.__getitem__)
    limits.prepare_home(SimpleNamespace(user=SimpleNamespace(name="ada")))
    assert (tmp_path / "ada" / "lessons" / "00-start-here.ipynb").exists()


LOADED = """
import json, pathlib, sys, types
exists = pathlib.Path.exists
pathlib.Path.exists = lambda self: sys.argv[2] == "yes" if "systemd" in str(self) else exists(self)
from traitlets.config import PyFileConfigLoader
c = PyFileConfigLoader(sys.argv[1]).load_config()
from jupyterhub.app import JupyterHub
hub = JupyterHub(config=c)
ada = types.SimpleNamespace(name="ada", id=1)
spawner = hub.spawner_class(_mock=True, parent=hub, user=ada)
print(json.dumps([type(spawner).__name__, spawner.mem_limit, spawner.cpu_limit]))
"""


@pytest.mark.parametrize(
    ("systemd", "wanted"),
    [("yes", ["SystemdSpawner", 1 << 30, 0.5]), ("no", ["Limited", 1 << 30, None])],
)
def test_accounts_are_limited_by_systemd_where_it_runs_the_machine(python_with, systemd, wanted):
    python, outside = python_with("class")
    command = [python, "-c", LOADED, str(CLASSROOM / "jupyterhub_config.py"), systemd]
    outside = outside | {"HYPKIT_HUB_CPU": "0.5", "HYPKIT_HUB_SIGN_IN": "pam"}
    done = subprocess.run(command, env=outside, capture_output=True, text=True)
    assert json.loads(done.stdout or "null") == wanted, done.stderr


def test_the_limits_are_the_same_in_each_way_to_run_a_class():
    values = yaml.safe_load((CLASSROOM / "values.yaml").read_text(encoding="utf-8"))
    config = (CLASSROOM / "jupyterhub_config.py").read_text(encoding="utf-8")
    assert values["singleuser"]["memory"]["limit"] == "1G"
    assert 'HYPKIT_HUB_MEMORY", "1024"' in config and "limits.memory 1G" in README
    assert values["singleuser"]["cpu"]["limit"] == 1 and 'HYPKIT_HUB_CPU", "1")' in config
    assert "limits.cpu 1" in README
    assert values["cull"]["timeout"] == 3600 and 'HYPKIT_HUB_IDLE", "3600"' in config
    assert "services.cull.timeout 3600" in README
    assert values["singleuser"]["defaultUrl"].removeprefix("/") in config


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "hub": {"type": "object"},
        "cull": {"properties": {"every": {"type": "integer"}}},
    },
}


def test_values_are_laid_over_the_charts_and_held_against_its_schema(tmp_path, capsys):
    for name, tree in (
        ("values.schema.json", SCHEMA), ("values.yaml", {"hub": {"a": 1}, "cull": {"every": 600}}),
        ("Chart.yaml", {"appVersion": "9.9"}), ("ours.yaml", {"cull": {"every": "often"}, "hubb": 1}),
    ):  # fmt: skip
        (tmp_path / name).write_text(json.dumps(tree))
    command = [str(tmp_path), "--values", str(tmp_path / "ours.yaml")]
    assert check_values.main(command) == 1
    said = capsys.readouterr()
    assert "cull.every: 'often' is not of type 'integer'" in said.err and "'hubb'" in said.err
    assert said.out == "2 values, chart for JupyterHub 9.9: 2 faults\n"
    assert check_values.laid_over({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}) == {
        "a": {"b": 1, "c": 3}
    }
    assert check_values.main([str(tmp_path / "nothing")]) == 2


def test_the_values_are_what_the_chart_takes():
    chart = os.environ.get("HYPKIT_CHART")
    if not chart:
        pytest.skip("HYPKIT_CHART names no folder of the chart jupyterhub/jupyterhub")
    assert check_values.main([str(Path(chart))]) == 0


def test_what_the_image_copies_is_there_and_what_it_installs_has_a_name():
    text = (CLASSROOM / "Dockerfile").read_text(encoding="utf-8")
    top = CLASSROOM.parent
    for line in re.findall(r"^COPY (?:--\S+ )?(.+) \S+$", text, re.MULTILINE):
        assert all((top / name).exists() for name in line.split()), line
    extras = tomllib.loads((top / "pyproject.toml").read_text())["project"]
    assert "hypkit[class]" in text and "class" in extras["optional-dependencies"]


def test_the_page_names_files_that_are_there():
    for name in re.findall(r"`([\w.-]+\.(?:py|yaml|sh|bat|command))`|`(Dockerfile)`", README):
        file = name[0] or name[1]
        made = file.startswith("start.") and file != "start.py" or file == "values.schema.yaml"
        if not made:
            assert (CLASSROOM / file).exists(), file
