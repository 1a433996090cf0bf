"""What a newcomer meets first: the two commands, the environment files, and the wheel."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hypkit.facts import data_path
from tests import judges
from tests.marks import needs_engine

TOP = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
MAKEFILE = (TOP / "Makefile").read_text()
TARGETS = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()


def make(*arguments, top=TOP, **more):
    """A finished `make`, with its output as text and none of an outer make's settings."""
    outside = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "VENV")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=top, env=outside, capture_output=True, text=True, **more)


def normal(lines):
    """Requirements as comparable (name, bounds, marker) rows."""
    rows = (Requirement(line) for line in lines)
    return sorted((row.name, str(row.specifier), str(row.marker or "")) for row in rows)


# The two files that name what hypkit needs.


def test_environment_yml_names_what_pyproject_names_with_the_same_bounds():
    wanted = yaml.safe_load((TOP / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in wanted if isinstance(entry, dict))
    conda = [entry for entry in wanted if isinstance(entry, str) and entry != "pip"]
    python = f"python{PROJECT['requires-python']}"
    assert pip[-1] == "-e ."
    assert normal(conda + pip[:-1]) == normal([python, *PROJECT["dependencies"]])


def test_each_requirement_is_named_once_with_bounds_and_not_pinned():
    extras = PROJECT["optional-dependencies"].values()
    wanted = [Requirement(line) for line in sum(extras, PROJECT["dependencies"])]
    names = [row.name for row in wanted]
    assert [name for name in sorted(set(names)) if names.count(name) > 1] == []
    for row in wanted:
        operators = [bound.operator for bound in row.specifier]
        assert sorted(operators) == ["<", ">="], f"{row} wants a lower and an upper bound"


def test_what_builds_the_wheel_in_the_tests_is_what_builds_it():
    build = tomllib.loads((TOP / "pyproject.toml").read_text())["build-system"]["requires"]
    assert set(build) <= set(PROJECT["optional-dependencies"]["test"])


def test_conda_forge_has_what_environment_yml_wants_of_it():
    """By the recipes that conda-forge kept for each name, of which `conda-forge.toml` is a record."""
    recorded = tomllib.loads((TOP / "tests" / "conda-forge.toml").read_text())
    wanted = yaml.safe_load((TOP / "environment.yml").read_text())["dependencies"]
    rows = [Requirement(row) for row in wanted if isinstance(row, str) and row != "pip"]
    assert sorted(recorded) == sorted(row.name for row in rows)
    for row in rows:
        newest, at_the_floor = recorded[row.name]["newest"], recorded[row.name]["at_the_floor"]
        assert row.specifier.contains(newest) and row.specifier.contains(at_the_floor), row
        (floor,) = (bound.version for bound in row.specifier if bound.operator == ">=")
        assert f"{at_the_floor}.".startswith(f"{floor}."), row


@pytest.mark.parametrize(
    ("system", "machine", "has_wheel"),
    [
        ("Linux", "x86_64", True),
        ("Darwin", "x86_64", True),
        ("Windows", "AMD64", True),
        ("Darwin", "arm64", False),
        ("Linux", "aarch64", False),
        ("Windows", "ARM64", False),
    ],
)
def test_keystone_is_asked_for_only_where_it_has_a_wheel(system, machine, has_wheel):
    rows = map(Requirement, PROJECT["dependencies"])
    (keystone,) = (row for row in rows if row.name == "keystone-engine")
    here = {"platform_system": system, "platform_machine": machine}
    assert keystone.marker.evaluate(here) is has_wheel


def imported(*folders):
    """The distributions that the Python files below the folders import, by their names at PyPI."""
    found = set()
    for path in (path for folder in folders for path in (TOP / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    ours = {"hypkit", "notebooks", "tests"}
    elsewhere = {"keystone": ["keystone-engine"], "pypandoc": ["pypandoc_binary"]}
    known = elsewhere | packages_distributions()  # those that are installed
    names = found - sys.stdlib_module_names - ours
    return {canonicalize_name(known.get(name, [name])[0]) for name in names}


def named(lines):
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_what_hypkit_imports_is_what_it_asks_for():
    unimported = {"jupyterlab", "ipywidgets"}  # what lessons are run in and widgets shown by
    used, asked_for = imported("hypkit") | unimported, named(PROJECT["dependencies"])
    assert sorted(used - asked_for) == [] and sorted(asked_for - used) == []


def test_what_the_tests_and_the_builders_import_is_asked_for():
    extras = PROJECT["optional-dependencies"]
    asked_for = named(sum(extras.values(), PROJECT["dependencies"]))
    assert sorted(imported("tests", "notebooks") - asked_for) == []


# The Makefile and what the README says of it.


def test_the_licences_are_said_plainly():
    said = " ".join((TOP / "README.md").read_text().partition("## Licences")[2].split())
    for words in (
        "code is under the MIT License",
        "text and pictures of the lessons under CC BY",
        "Unicorn and Keystone",
        "GNU General Public License, version 2 (GPLv2)",
    ):
        assert words in said
    assert (TOP / "LICENSE").read_text().startswith("MIT License")
    assert "Attribution 4.0 International" in (TOP / "LICENSE-text").read_text()


@pytest.mark.parametrize("name", ["README.md", "INSTRUCTOR.md", "SECURITY.md"])
def test_every_file_that_a_readme_names_is_there(name):
    text = (TOP / name).read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    paths = re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:md|yml|toml|json|py))`", text)
    made = {"build/", "build/handout.pdf", "build/answers.pdf", "build/site/", "dist/"}
    for path in {*links, *paths} - made:
        assert any(TOP.glob(path.replace("NN-name", "*"))), f"{name} names {path}"
    for module in re.findall(r"python -m ([\w.]+)", text):
        place = TOP.joinpath(*module.split("."))
        assert module in ("venv", "pip") or place.with_suffix(".py").exists(), module


def test_the_ci_installs_and_requires_every_judge():
    script = (TOP / ".ci" / "run").read_text()
    required = re.search(r"HYPKIT_REQUIRE=(\S+)", script)[1]
    assert required.split(",") == list(judges.JUDGES)
    for judge in judges.JUDGES.values():
        assert re.search(rf"\s{judge.package}\s", script), judge.package


def test_every_make_command_in_the_readme_exists():
    readme = (TOP / "README.md").read_text()
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)", readme, re.MULTILINE))
    assert {"lab", "test"} <= named <= set(TARGETS)


def test_make_alone_lists_every_target():
    done = make(check=True)
    listed = re.findall(r"^make (\w+) +\S", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(TARGETS)


@pytest.mark.parametrize("target", ["lab", "test"])
def test_an_old_python_is_refused_in_a_sentence(target, tmp_path):
    old = tmp_path / "python3.10"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(target, f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert f"hypkit needs Python 3.11 or newer, and {old} is not." in done.stderr
    assert f"make {target} PYTHON=" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.fixture
def installed(tmp_path):
    """A VENV in which `make lab` has installed, all of it make-believe; its pip refuses."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    for program in ("python", "pip"):
        (folder / "bin" / program).write_text("#!/bin/sh\nexit 1\n")
        (folder / "bin" / program).chmod(0o755)
    (folder / "for-lab").write_text(f"{TOP}\n")
    return folder


def test_what_is_installed_is_not_installed_again(installed):
    done = make(f"{installed}/for-lab", f"VENV={installed}", check=True)
    assert "is up to date" in done.stdout


def test_an_environment_that_starts_nothing_any_more_is_made_anew(installed):
    (installed / "bin" / "python").unlink()
    planned = make("--dry-run", f"{installed}/for-lab", f"VENV={installed}", check=True).stdout
    assert f"-m venv --clear {installed}" in planned and "install --quiet" in planned
    assert f"echo '{TOP}' >{installed}/for-lab" in planned


@pytest.fixture(params=["plain", "with blanks, O'Brien and Größe λ"])
def checkout(tmp_path, request):
    """A checkout of only a Makefile, with an environment inside that another checkout has made."""
    top = tmp_path / request.param
    (top / ".venv").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml"):
        (top / name).write_text((TOP / name).read_text(encoding="utf-8"), encoding="utf-8")
    (top / ".venv" / "pyvenv.cfg").write_text("")
    (top / ".venv" / "for-lab").write_text("/where/the/checkout/was\n")
    return top


def make_believe_python(folder):
    """A PYTHON whose `-m venv` makes an environment of two programs that do nothing."""
    program = folder / "python3.99"
    program.write_text(
        '#!/bin/sh\ntest "$1" != -c || exit 0\nfor venv; do :; done\nmkdir -p "$venv/bin"\n'
        'for name in python jupyter pip; do cp "$0" "$venv/bin/$name"; done\n'
    )
    program.chmod(0o755)
    return program


def test_a_checkout_that_was_moved_makes_its_environment_anew(checkout):
    planned = make("--dry-run", "lab", top=checkout, check=True).stdout
    assert "-m venv --clear .venv" in planned


def test_a_checkout_is_installed_and_cleaned_whatever_its_path_is_called(checkout, tmp_path):
    python = f"PYTHON={make_believe_python(tmp_path)}"
    done = make(".venv/for-lab", python, top=checkout)
    assert done.returncode == 0, done.stderr
    assert (checkout / ".venv" / "for-lab").read_text() == f"{checkout}\n"
    assert "up to date" in make(".venv/for-lab", python, top=checkout, check=True).stdout
    make("clean", top=checkout, check=True)
    assert not (checkout / ".venv").exists() and (checkout / "Makefile").exists()


def another_checkouts(folder):
    (folder / "for-lab").write_text("/home/ada/hypkit\n")


def another_checkouts_without_its_python(folder):
    another_checkouts(folder)
    (folder / "bin" / "python").unlink()


def no_environment(folder):
    (folder / "for-lab").unlink()
    for program in ("python", "pip"):
        (folder / "bin" / program).unlink()


@pytest.mark.parametrize("target", ["lab", "test", "handout", "clean"])
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (another_checkouts, "the environment of another checkout, /home/ada/hypkit"),
        (another_checkouts_without_its_python, "another checkout, /home/ada/hypkit"),
        (no_environment, "it is no virtual environment"),
    ],
)
def test_a_folder_that_is_not_this_checkouts_own_is_never_emptied(
    installed, checkout, tmp_path, target, spoil, why
):
    spoil(installed)
    (installed / "thesis.txt").write_text("three years of work")
    before = sorted(installed.rglob("*"))
    python = make_believe_python(tmp_path)
    done = make(target, f"VENV={installed}", f"PYTHON={python}", top=checkout)
    assert done.returncode != 0
    assert f"{installed} stays" in done.stderr and f"rm -r {installed}" in done.stderr
    if target != "clean":
        assert why in done.stderr and f"make {target} VENV=" in done.stderr
    assert sorted(installed.rglob("*")) == before


ELSEWHERE = """
from hypkit import Machine, asm, header, stepper
print(header.__file__)
with Machine("numbered", dispatcher="dispatch: mov x0, #7777\\n eret\\n dsb nsh\\n isb\\n") as machine:
    call = machine.hvc(0x2000)
    print(call.x0, hex(header.read_header(header.ENUM).numbering.base))
    stepper(call).to_html("Seite ü.html")
"""


@needs_engine
def test_the_kit_works_from_a_path_with_blanks_and_letters_of_any_alphabet(tmp_path):
    top = tmp_path / "with blanks, O'Brien and Größe λ"
    for folder in ("hypkit", "data"):
        shutil.copytree(TOP / folder, top / folder)
    command = [sys.executable, "-P", "-c", ELSEWHERE]
    env = {**os.environ, "PYTHONPATH": str(top), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=top, env=env, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    where, answer = done.stdout.splitlines()
    assert where.startswith(str(top)) and answer == "7777 0x100"
    assert (top / "Seite ü.html").stat().st_size > 100_000


@pytest.mark.parametrize("venv", ["", "my env"])
def test_a_venv_that_names_no_folder_that_make_can_use_is_refused(venv):
    done = make("lab", f"VENV={venv}")
    assert done.returncode != 0 and "VENV must name one folder" in done.stderr
    assert f'got "{venv}"' in done.stderr


def test_an_installation_that_fails_says_where_to_look_and_leaves_no_stamp(installed):
    (installed / "for-lab").unlink()
    done = make(f"{installed}/for-lab", f"VENV={installed}")
    assert done.returncode != 0
    assert "pip could not install this" in done.stderr and "README.md has the way" in done.stderr
    assert not (installed / "for-lab").exists()


def test_the_linter_finds_nothing():
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


PROSE = (
    "README.md",
    "INSTRUCTOR.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "notebooks/src",
    "notebooks/handout",
    "data",
    "hypkit/kernel/guest",
)


def misspelt(*paths):
    """What codespell finds in files and folders, a line each."""
    command = [sys.executable, "-m", "codespell_lib", "--skip", "*.json", *map(str, paths)]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True).stdout


def test_the_texts_are_spelt_right():
    assert all((TOP / path).exists() for path in PROSE)
    assert misspelt(*PROSE) == ""


def test_a_misspelt_word_is_found(tmp_path):
    (tmp_path / "lesson.md").write_text("The host recieves its answer.\n")  # codespell:ignore
    assert "recieves ==> receives" in misspelt(tmp_path / "lesson.md")  # codespell:ignore


# The judges.


def test_a_missing_judge_skips_its_test_and_names_the_debian_package(monkeypatch):
    monkeypatch.setattr(judges.shutil, "which", lambda program: None)
    monkeypatch.delenv("HYPKIT_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install qemu-system-arm"):
        judges.judge("qemu")
    with pytest.raises(pytest.skip.Exception, match="aarch64-linux-gnu-ld .*binutils-aarch64"):
        judges.tool("ld")


def test_a_missing_judge_that_is_required_fails_its_test(monkeypatch):
    monkeypatch.setattr(judges.shutil, "which", lambda program: None)
    monkeypatch.setenv("HYPKIT_REQUIRE", "mca, qemu")
    with pytest.raises(pytest.fail.Exception, match="HYPKIT_REQUIRE names 'qemu'"):
        judges.judge("qemu")
    with pytest.raises(pytest.skip.Exception):
        judges.judge("browser")


def test_a_judge_is_found_under_its_newest_name(monkeypatch):
    there = {"llvm-mca-14": "/old", "llvm-mca-19": "/new"}
    monkeypatch.setattr(judges.shutil, "which", there.get)
    assert judges.judge("mca") == "/new"


def test_names_that_are_no_judge_are_refused(monkeypatch):
    monkeypatch.setenv("HYPKIT_REQUIRE", "qemu,icc")
    with pytest.raises(
        ValueError, match="'icc': the judges are qemu, linux, as, gcc, mca, browser"
    ):
        judges.required()
    with pytest.raises(KeyError, match="no judge named 'icc'"):
        judges.judge("icc")
    with pytest.raises(KeyError, match="no tool named 'icc'"):
        judges.tool("icc")


def test_the_summary_names_every_judge_and_adds_up_the_counts(monkeypatch):
    monkeypatch.setattr(judges, "_counts", judges.Counter())
    monkeypatch.setattr(judges.shutil, "which", {"chromium": "/bin/chromium"}.get)
    judges.judged("rows compared", 1200)
    judges.judged("rows compared", 34)
    assert judges.summary() == [
        "judge qemu: MISSING (Debian package qemu-system-arm)",
        "judge linux: MISSING (Debian package qemu-system-arm)",
        "judge as: MISSING (Debian package binutils-aarch64-linux-gnu)",
        "judge gcc: MISSING (Debian package gcc-aarch64-linux-gnu)",
        "judge mca: MISSING (Debian package llvm)",
        "judge browser: /bin/chromium",
        "rows compared: 1,234",
    ]


# The data folder and the wheel.


@pytest.mark.parametrize("name", ["", "../pyproject.toml", "/etc/passwd"])
def test_a_name_that_leads_out_of_the_data_folder_is_refused(name):
    with pytest.raises(ValueError, match="expected the name of a file inside data/"):
        data_path(name)


def test_a_missing_data_file_is_named_with_the_place_where_it_was_sought():
    with pytest.raises(FileNotFoundError, match=r"no data file 'none\.toml'.*data/none\.toml"):
        data_path("none.toml")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The Python of an environment outside the checkout that has hypkit's wheel installed.

    Its other packages are those of this environment, by a path entry; pip fetches nothing.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=TOP, check=True)
    (wheel,) = folder.glob("hypkit-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    site = say(python, "import sysconfig; print(sysconfig.get_path('purelib'))", folder)
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site, "others.pth").write_text("\n".join(sorted(here)))
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    return python


def say(python, program, folder):
    """What `program` prints when `python` runs it in `folder`, all by itself."""
    alone = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [python, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_carries_the_data_the_guest_and_the_views(elsewhere, tmp_path):
    program = "import hypkit.facts as f; print(f.__file__)"
    room = Path(say(elsewhere, program, tmp_path)).parents[1]
    assert elsewhere.parents[1] in room.parents
    carried = {path.relative_to(room).as_posix() for path in room.rglob("*") if path.is_file()}
    ours = [*(TOP / "hypkit").rglob("*"), *(TOP / "data").rglob("*")]
    wanted = {
        path.relative_to(TOP).as_posix().removeprefix("hypkit/")
        for path in ours
        if path.is_file() and path.parent.name != "__pycache__"
    }
    assert sorted(wanted - carried) == []


def test_the_installed_command_puts_every_lesson_into_a_folder(elsewhere, tmp_path):
    command = [elsewhere.with_name("hypkit"), "lessons", "--copy", tmp_path / "mine", "--no-open"]
    alone = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    copied = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in (TOP / "notebooks").glob("*.ipynb")}


HYPERCALLS = """
from hypkit import Machine
machine = Machine("numbered", seed=1)
machine.call("__kvm_timer_set_cntvoff", 0x1234)
print(hex(machine.sysreg("CNTVOFF_EL2")), hex(machine.hvc(0x10e).x0))
"""


def test_the_installed_wheel_makes_hypercalls(elsewhere, tmp_path):
    minus_enosys = 2**64 - 38
    assert say(elsewhere, HYPERCALLS, tmp_path) == f"0x1234 {minus_enosys:#x}"


def test_the_installed_wheel_shows_a_worked_solution(elsewhere, tmp_path):
    code = "from hypkit.check import solution; print(str(solution('04.3')).splitlines()[0])"
    assert say(elsewhere, code, tmp_path) == "## Exercise 04.3: result or refusal"


def test_the_installed_wheel_shows_a_call_in_a_file_that_needs_no_network(elsewhere, tmp_path):
    program = (
        HYPERCALLS
        + """
from hypkit import stepper
page = stepper(machine.call("__kvm_get_mdcr_el2")).to_html()
print("__kvm_get_mdcr_el2" in page and "<script" in page and "https://" not in page)
"""
    )
    assert say(elsewhere, program, tmp_path).splitlines()[-1] == "True"


def test_importing_hypkit_loads_no_widgets_and_no_plots():
    program = """
import sys, hypkit
print(*sorted({"anywidget", "ipywidgets", "matplotlib"} & sys.modules.keys()))
"""
    assert say(sys.executable, program, TOP) == ""
