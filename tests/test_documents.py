"""The pages for maintainers: what they name exists, and what they say of the tools is so."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from hypkit.cost import HYP_PHASES, PHASES
from hypkit.timetravel import front_end
from tests.test_house import ORDER

TOP = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GUIDE = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (.+)\n\n((?:.+\n|\n(?!#))+)", GUIDE, re.MULTILINE))


def test_there_is_a_recipe_for_each_kind_of_change():
    assert list(RECIPES) == [
        "A dispatcher variant", "A hypercall", "An exercise", "A prediction", "A lesson",
        "A link in the text that moves the stepper", "A panel of the stepper",
        "A workbench, and the editor", "An instruction form", "A core's costs", "A system register",
    ]  # fmt: skip
    ways_to_write = {"A prediction", "A link in the text that moves the stepper"}  # no steps
    for title, steps in RECIPES.items():
        if title in ways_to_write:
            continue
        numbers = [int(number) for number in re.findall(r"^(\d)\. ", steps, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 3, title


def test_every_file_that_a_recipe_names_is_there():
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", GUIDE)
    assert len(named) > 40
    for path in named:
        pattern = re.sub("NN-name|NAME|NN", "*", path)
        assert any(TOP.glob(pattern)), path


def test_every_module_that_the_guide_runs_is_there():
    modules = set(re.findall(r"python -m ([\w.]+)", GUIDE))
    assert {"tests.record_encodings", "tests.oracle.record", "tests.oracle.record_mca"} <= modules
    for module in modules:
        assert TOP.joinpath(*module.split(".")).with_suffix(".py").exists(), module


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("hypkit/kernel/variants.py", ("class Variant", "_ALL = (")),
        ("hypkit/kernel/tables.py", ("TABLES = ",)),
        ("hypkit/a64/sysregs.py", ("SYSREGS", "READ_ONLY", "FIELDS")),
        ("hypkit/machine/cpu.py", ("TRACED_SYSREGS",)),
        ("hypkit/timetravel/front/panels/index.js", ("export const PANELS",)),
        ("hypkit/timetravel/front_end.py", ("STYLES",)),
        ("hypkit/machine/software_sysregs.py", ("_WRITABLE", "_CONSTANT", "OF_THE_CORE")),
        ("tests/browser/test_view.py", ("PANELS",)),
        ("tests/explain/test_sentences.py", ("OWN",)),
        ("tests/kernel/test_variants.py", ("COUNTS",)),
        ("tests/oracle/mca.py", ("TABLES", "PIPES")),
        ("tests/oracle/test_mca.py", ("CLASSES",)),
        ("tests/a64/test_decode.py", ("test_an_instruction_is_what_the_arm_arm_says",)),
        ("tests/lessons/exercises/test_lesson01.py", ("RIGHT_ANSWERS", "MISTAKES")),
        ("hypkit/lessons/exercises/lesson07.py", ("EXERCISES", "ASSEMBLY")),
        ("tests/test_house.py", ("ORDER",)),
        ("data/hypercalls.toml", ("[[hypercall]]", "[structure]", "smccc", "sample")),
    ],
)
def test_the_names_in_the_recipes_are_those_in_the_files(file, names):
    text = (TOP / file).read_text(encoding="utf-8")
    for name in names:
        assert name in text, f"{file} has no {name}"
        assert re.search(r"[\w\[\]]+$", name.rstrip(" =("))[0] in GUIDE, name


def test_the_phases_are_counted_from_the_labels_that_the_guide_names():
    for label in ("dispatch_find", "dispatch_call", "dispatch_return"):
        assert label in GUIDE
    assert set(HYP_PHASES) <= set(PHASES)


def test_the_picture_of_the_house_names_its_rooms():
    picture = GUIDE.partition("```\n")[2].partition("```")[0]
    tools = {"text", "errors", "process"}  # no data flows through them; the guide names them below
    for room in set(ORDER) - tools - {"environment", "check", "viz", "__init__", "__main__"}:
        assert re.search(rf"\b{room}\b", picture), f"{room} is not in the picture"
    assert all(f"`hypkit/{name}.py`" in GUIDE for name in tools)


def test_a_style_sheet_has_the_palette_before_it():
    assert front_end.style().lstrip().startswith(".hk {") and "--hk-el2" in front_end.style()


def test_pre_commit_runs_what_make_check_runs():
    config = yaml.safe_load((TOP / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = config["repos"]
    (hook,) = repository["hooks"]
    assert repository["repo"] == "local" and hook["entry"] == "make check"
    assert hook["always_run"] and not hook["pass_filenames"]


def test_the_quick_checks_look_at_types_and_docstrings_and_the_ci_runs_them_first():
    planned = subprocess.run(
        ["make", "--dry-run", "check"], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout
    for tool in ("ruff check", "ruff format --check", "mypy", "codespell_lib", "build --check"):
        assert tool in planned, tool
    script = (TOP / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make .+", script, re.MULTILINE) == ["make check", "make test"]


def ruled(path, text):
    """What ruff says of a text as if it stood at a path of the repository: the rules broken."""
    command = ["ruff", "check", "--output-format", "json", "--stdin-filename", str(TOP / path), "-"]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=TOP, input=text, capture_output=True, text=True
    )
    return [found["code"] for found in json.loads(done.stdout)]


def test_a_public_name_of_the_package_needs_a_docstring_and_a_test_none():
    bare = '"""A module."""\n\n\ndef public():\n    pass\n'
    assert ruled("hypkit/kernel/new.py", bare) == ["D103"]
    assert ruled("tests/kernel/test_new.py", bare) == []
    assert ruled("hypkit/kernel/new.py", bare.replace("public", "_private")) == []


# What opens a phrase without a verb: an article, a question word, a thing in backquotes.
_NO_VERB = re.compile(
    r"(?:The|A|An|What|Whether|How|Who|Whose|Where|When|Which|Every|Everything|All|This|One|Each|As"
    r"|If|For|No|Any|Some|It|Only|In|Of|[a-z]\w*)\b|\W"
)


def verbless(source):
    """The public functions and methods of a module whose docstring begins without a verb."""
    return [
        f"{node.name}: {text.splitlines()[0]}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        if (text := ast.get_docstring(node)) and _NO_VERB.match(text)
    ]


def test_the_docstring_of_a_public_function_begins_with_a_verb():
    found = [
        f"{path.relative_to(TOP)}: {said}"
        for path in sorted((TOP / "hypkit").rglob("*.py"))
        for said in verbless(path.read_text(encoding="utf-8"))
    ]
    assert found == []
    bare = 'def f():\n    """{}"""\n'
    for text in ("The answer.", "Whether it is.", "`have`, checked.", "x0 of many.", "(a, b)."):
        assert verbless(bare.format(text)) == [f"f: {text}"]
    assert verbless(bare.format("Return the answer.") + bare.format("Make it.")) == []


def test_the_citation_and_the_changelog_have_the_version_of_the_package():
    citation = yaml.safe_load((TOP / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"] and citation["license"] == PROJECT["license"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert not [key for key in citation if "url" in key or key == "repository-code"]
    changes = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", changes, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert (PROJECT["version"], str(citation["date-released"])) in versions
    kinds = re.findall(r"^### (.+)$", changes, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_users_of_the_package_get_its_types():
    assert (TOP / "hypkit" / "py.typed").exists()


def test_the_guides_are_spelt_right():
    files = ["CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"]
    command = [sys.executable, "-m", "codespell_lib", *files]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert done.stdout == ""
