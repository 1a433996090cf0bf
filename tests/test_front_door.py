"""What a stranger sees first: README.md, its picture, and its ten lines."""

import doctest
import re
import subprocess
from pathlib import Path

import yaml
from PIL import Image

from notebooks.site import build as site

TOP = Path(__file__).resolve().parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_of_the_readme_print_what_stands_below_them():
    (block,) = re.findall(r"^```pycon\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    found = doctest.DocTestParser().get_doctest(block, {}, "README.md", "README.md", 0)
    runner = doctest.DocTestRunner()
    runner.run(found, out=(said := []).append)
    assert (runner.failures, said) == (0, [])
    assert runner.tries >= 6 and len(block.splitlines()) <= 12


def test_the_readme_says_first_what_it_is_whom_it_is_for_and_how_to_begin():
    above = README.partition("## Ten lines")[0]
    assert len(re.findall(r"[.](?=\s)", above.partition("<picture>")[0])) == 3
    for words in ("**It is for you**", "**It is not**", "git clone", "make -C hypkit lab"):
        assert words in above
    headings = re.findall(r"^## (.+)$", README, re.MULTILINE)
    wanted = [
        "The two commands", "Ten lines", "Systems", "For learners", "A real Linux",
        "What is true, and what is not", "For instructors", "For maintainers", "Licences",
    ]  # fmt: skip
    assert [name for name in headings if name in wanted] == wanted


def test_the_stepper_is_shown_in_both_themes_sharp_and_small():
    dark, light = re.findall(r'src(?:set)?="([^"]+\.png)"', README)
    assert "stepper-dark" in dark and "stepper-light" in light
    assert 'media="(prefers-color-scheme: dark)"' in README
    assert len(re.search(r'alt="([^"]+)"', README)[1]) > 100
    for name, ground in ((dark, 0), (light, 255)):
        with Image.open(TOP / name) as picture:
            assert picture.size == (1500, 900)
            assert abs(picture.convert("L").getpixel((2, 2)) - ground) < 40, name
    assert sum((TOP / name).stat().st_size for name in (dark, light)) < 300_000


def test_the_book_is_built_by_make_and_published_from_where_it_builds_it():
    workflow = yaml.safe_load((TOP / ".github" / "workflows" / "book.yml").read_text())
    steps = workflow["jobs"]["build"]["steps"]
    (command,) = [step["run"] for step in steps if "run" in step]
    planned = subprocess.run(
        ["make", "--dry-run", "site", "VENV=/tmp/none"], cwd=TOP, capture_output=True, text=True
    ).stdout
    assert command.startswith("make site ") and "-m notebooks.site.build" in planned
    (artifact,) = [step["with"]["path"] for step in steps if "path" in step.get("with", {})]
    assert TOP / artifact == site.OUT
    assert workflow["jobs"]["publish"]["needs"] == "build"
