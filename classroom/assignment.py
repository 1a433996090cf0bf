"""Makes an assignment for nbgrader out of a lesson: `python classroom/assignment.py 04`.

In the course's folder (--course) it writes source/lesson-04/, the instructor's version: the lesson with
the answer of each exercise between nbgrader's marks, and after it a cell that learners cannot change,
which asks the check and is worth a point. nbgrader then does the rest, as README.md here says. Where
the folder has no nbgrader_config.py yet, it gets the one of this folder.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from hypkit.check import exercises

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parent / "notebooks"
CONFIG = "nbgrader_config.py"
# nbgrader takes a number that a cell ends in for its points.
TEST = """\
# What is graded; it cannot be changed. The number is your points.
from hypkit.check import check

verdict = check("{number}", {answer})
print(verdict)
int(verdict.passed)"""


class AssignmentError(Exception):
    """A lesson that makes no assignment, and why."""


def asked(source: str) -> tuple[str, str, str] | None:
    """Return what a cell that ends in check("NN.N", answer) has before it, the number, the answer.

    Both the text before and the answer are source; None for a cell that ends in anything else.
    """
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic of IPython's: no cell of an exercise has one
        return None
    last = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    if not isinstance(last, ast.Call) or ast.unparse(last.func) != "check" or len(last.args) != 2:
        return None
    number, answer = last.args
    before = "\n".join(source.splitlines()[: body[-1].lineno - 1])
    return before.rstrip(), str(ast.literal_eval(number)), ast.unparse(answer)


def answers(path: Path) -> dict[str, str]:
    """Return the code of each exercise's first solution, which ends with its answer bound.

    path: the notebook of a lesson's solutions. Its cells before the first exercise are not in it.
    """
    found: dict[str, str] = {}
    pending: list[str] = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            pending = []
        elif cell.cell_type == "code":
            end = asked(cell.source)
            pending.append(end[0] if end else cell.source)
            if end and end[1] not in found:
                found[end[1]] = "\n\n".join([*filter(None, pending), f"expected = {end[2]}"])
    return found


def marked(cell: NotebookNode, number: str, **said: object) -> NotebookNode:
    """Return a cell with what nbgrader reads of it."""
    kind = "test" if said.get("grade") else "answer"
    cell.metadata["nbgrader"] = {
        "grade": False, "grade_id": f"{kind}-{number.replace('.', '-')}", "locked": False,
        "schema_version": 3, "solution": False, "task": False, "cell_type": "code", **said,
    }  # fmt: skip
    return cell


def exercise(given: str, number: str, answer: str, solution: str) -> Iterator[NotebookNode]:
    """Yield the two cells of an exercise: the learner's, which starts as in the lesson; and the test."""
    lines = [given, "### BEGIN SOLUTION", solution, f"{answer} = expected", "### END SOLUTION"]
    cell = nbformat.v4.new_code_cell("\n".join(lines))
    yield marked(cell, number, solution=True)
    test = nbformat.v4.new_code_cell(TEST.format(number=number, answer=answer))
    yield marked(test, number, grade=True, locked=True, points=1)


def assignment(path: Path, optional: bool) -> NotebookNode:
    """Return the instructor's version of a lesson. optional: with the exercises that need not be done."""
    notebook = nbformat.read(path, as_version=4)
    known = answers(path.parent / "solutions" / path.name)
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        found = asked(cell.source) if cell.cell_type == "code" else None
        if found is None or (exercises()[found[1]].optional and not optional):
            cells.append(cell)
            continue
        given, number, answer = found
        if number not in known or not answer.isidentifier():
            raise AssignmentError(
                f"expected a solution of {number} and a name for its answer in {path.name}; "
                f"got the answer {answer!r} and solutions of {', '.join(known) or 'none'}"
            )
        cells += exercise(given, number, answer, known[number])
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.cells = cells
    notebook.metadata.pop("hypkit", None)
    return notebook


def write(lesson: str, course: Path, optional: bool = False) -> Path:
    """Write a lesson's assignment into a course's folder; return its notebook."""
    lessons = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    path = next((path for path in lessons if path.name[:2] == lesson), None)
    if path is None:
        known = ", ".join(found.name[:2] for found in lessons)
        raise AssignmentError(f"expected the number of a lesson, of {known}; got {lesson!r}")
    made = course / "source" / f"lesson-{lesson}" / path.name
    made.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(assignment(path, optional), made)
    if not (course / CONFIG).exists():
        shutil.copy(HERE / CONFIG, course)
    return made


def main(arguments: Sequence[str]) -> int:
    """Make assignments; return the exit status."""
    parser = argparse.ArgumentParser(prog="assignment.py", description=__doc__)
    parser.add_argument("lessons", nargs="+", help="such as 04")
    parser.add_argument(
        "--course", type=Path, default=Path(), help="the folder (default: this one)"
    )
    parser.add_argument("--optional", action="store_true", help="with the optional exercises")
    options = parser.parse_args(arguments)
    try:
        for number in options.lessons:
            made = write(number, options.course, options.optional)
            points = len(re.findall("BEGIN SOLUTION", made.read_text(encoding="utf-8")))
            print(f"{made}: {points} points")
    except AssignmentError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
