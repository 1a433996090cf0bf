"""Assignments for nbgrader: made of every lesson, and one of them handed out, answered and graded."""

import ast
import csv
import subprocess
from pathlib import Path

import nbformat
import pytest

from hypkit.check import exercises
from tests.classroom.scripts import load

assignment = load("assignment")
LESSONS = sorted(assignment.NOTEBOOKS.glob("[0-9]*.ipynb"))


def by_name(notebook):
    """The cells that nbgrader knows, by their names."""
    told = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    return {cell.metadata.nbgrader.grade_id: cell for cell in told}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_lesson_makes_an_assignment_with_each_of_its_exercises(path):
    cells = by_name(assignment.assignment(path, optional=True))
    wanted = [number for number in exercises() if number.startswith(path.name[:2])]
    names = [
        f"{kind}-{number.replace('.', '-')}" for number in wanted for kind in ("answer", "test")
    ]
    assert list(cells) == names and wanted
    for number in wanted:
        answer = cells[f"answer-{number.replace('.', '-')}"].source
        test = cells[f"test-{number.replace('.', '-')}"]
        (bound,) = (line for line in answer.splitlines() if line.endswith(" = expected"))
        assert f'check("{number}", {bound.split()[0]})' in test.source
        assert test.metadata.nbgrader.points == 1 and test.metadata.nbgrader.locked
        ast.parse(answer)


def test_exercises_that_need_not_be_done_are_left_out_unless_asked_for():
    path = next(path for path in LESSONS if path.name.startswith("04"))
    needed = by_name(assignment.assignment(path, optional=False))
    assert [name for name in needed if name.startswith("test")] == [
        f"test-{number.replace('.', '-')}"
        for number, one in exercises().items()
        if number.startswith("04") and not one.optional
    ]


def test_a_lesson_that_is_none_is_refused_in_a_sentence(tmp_path, capsys):
    assert assignment.main(["44", "--course", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("expected the number of a lesson, of 00, 01, 02") and "got '44'" in said
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_that_is_there_is_left_alone(tmp_path):
    mine = tmp_path / assignment.CONFIG
    mine.write_text("# mine\n")
    assignment.write("00", tmp_path)
    assert mine.read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = ...\n\ncheck('01.2', x)", ("x = ...", "01.2", "x")),
        ("check('01.2')", None),
        ("check('01.2', x)\nprint(1)", None),
        ("%time x", None),
        ("", None),
    ],
)
def test_a_cell_of_an_exercise_is_told_by_its_last_line(source, found):
    assert assignment.asked(source) == found


# --- With nbgrader ----------------------------------------------------------------------------------

RIGHT = """\
def kind_of(x0):
    if x0 < 3:
        return "stub"
    return "call" if 0x100 <= x0 < 0x10e else "-ENOSYS"
"""


@pytest.fixture
def nbgrader(python_with):
    """nbgrader(folder, words...): run one of its commands."""
    python, outside = python_with("grading")
    alembic = Path(python).with_name("alembic")  # nbgrader starts it by that name
    if not alembic.exists():
        alembic.write_text(f"#!{python}\nfrom alembic.config import main\nmain()\n")
        alembic.chmod(0o755)

    def run(folder, *words):
        command = [python, "-m", "nbgrader", *words]
        done = subprocess.run(command, cwd=folder, env=outside, capture_output=True, text=True)
        assert not done.returncode, done.stderr[-3000:]

    return run


def test_an_assignment_is_handed_out_answered_and_graded(nbgrader, tmp_path):
    source = by_name(nbformat.read(assignment.write("04", tmp_path), as_version=4))
    with (tmp_path / assignment.CONFIG).open("a", encoding="utf-8") as config:
        config.write("c.Execute.timeout = 60  # here is one whose answer never ends\n")
    nbgrader(tmp_path, "generate_assignment", "lesson-04")
    (handed_out,) = (tmp_path / "release" / "lesson-04").glob("*.ipynb")
    blank = nbformat.read(handed_out, as_version=4)
    assert "expected" not in by_name(blank)["answer-04-2"].source
    assert by_name(blank)["answer-04-2"].source.startswith("def kind_of(x0):\n    ...")

    def submit(name, answers):
        notebook = nbformat.read(handed_out, as_version=4)
        for number, text in answers.items():
            by_name(notebook)[number].source = text
        folder = tmp_path / "submitted" / name / "lesson-04"
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / handed_out.name)

    numbers = ("04-1", "04-2", "04-3")
    submit("ada", {f"answer-{n}": source[f"answer-{n}"].source for n in numbers})
    submit("bob", {"answer-04-1": "while True: pass", "answer-04-2": RIGHT})
    submit("eve", {f"test-{n}": "1" for n in numbers})  # changes what must not be changed
    nbgrader(tmp_path, "autograde", "lesson-04")
    nbgrader(tmp_path, "export", "--to", "grades.csv")
    with (tmp_path / "grades.csv").open(encoding="utf-8") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
        assert scores == {"ada": 3, "bob": 1, "eve": 0}
    nbgrader(tmp_path, "generate_feedback", "lesson-04")
    (page,) = (tmp_path / "feedback" / "bob" / "lesson-04").glob("*.html")
    assert "04.3: not answered yet" in page.read_text(encoding="utf-8")
