"""The hub of a class: its files say the same, and its limits hold."""

import re
import subprocess
import sys
import tomllib

import yaml

from tests.classroom.scripts import CLASSROOM, load

limits = load("limits")
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


def test_the_limits_are_the_same_in_each_way_to_run_a_class():
    values = yaml.safe_load((CLASSROOM / "values.yaml").read_text(encoding="utf-8"))
    config = (CLASSROOM / "jupyterhub_config.py").read_text(encoding="utf-8")
    assert values["singleuser"]["memory"]["limit"] == "1G"
    assert 'HYPKIT_HUB_MEMORY", "1024"' in config and "limits.memory 1G" in README
    assert values["cull"]["timeout"] == 3600 and 'HYPKIT_HUB_IDLE", "3600"' in config
    assert "services.cull.timeout 3600" in README
    assert values["singleuser"]["defaultUrl"].removeprefix("/") in config


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
