"""The lessons: their exercises and solutions, and that what their text says is what cells show."""

import ast
import re

import nbformat
import pytest

from hypkit import Machine
from hypkit.check import OPEN, RIGHT, exercises
from notebooks.src import build

LESSONS = {text.stem[:2]: text for text in build.texts() if text.parent.name != "solutions"}


def notebook(text):
    return nbformat.read(build.target(text), as_version=4)


def verdicts(cells):
    """Exercise -> kind of verdict, of all verdicts that the cells show."""
    found = {}
    for cell in cells:
        for output in cell.get("outputs", ()):
            plain = output.get("data", {}).get("text/plain", "")
            match = re.match(rf"(\d\d\.\d): ({RIGHT}|{OPEN}|not right yet)\. ", plain)
            if match:
                found[match[1]] = match[2]
    return found


def prose(cells):
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def outputs(cells):
    """All that the cells show as text."""
    shown = []
    for cell in cells:
        for output in cell.get("outputs", ()):
            shown += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "\n".join(shown)


@pytest.fixture(params=LESSONS, ids=lambda number: LESSONS[number].stem)
def lesson(request):
    """(number, the run cells of the learner's notebook, those of the solution)."""
    text = LESSONS[request.param]
    solution = text.parent / "solutions" / text.name
    return request.param, notebook(text).cells, notebook(solution).cells


def numbers(lesson):
    return [number for number in exercises() if number.startswith(lesson + ".")]


def test_every_lesson_with_exercises_is_there_and_the_other_way_round():
    assert {number[:2] for number in exercises()} == set(LESSONS)


def test_a_lesson_asks_at_least_three_exercises_and_none_is_answered(lesson):
    number, cells, _ = lesson
    asked = verdicts(cells)
    assert list(asked) == numbers(number) and len(asked) >= 3
    assert set(asked.values()) == {OPEN}


def test_every_exercise_is_announced_with_its_number_and_how_hard_it_is(lesson):
    number, cells, _ = lesson
    announced = re.findall(
        r"^### Exercise (\d\d\.\d): .+ \((easy|medium|not so easy|hard)\)$",
        prose(cells),
        re.MULTILINE,
    )
    assert [one for one, _ in announced] == numbers(number)
    assert announced[0][1] == "easy"


def test_the_solutions_pass_every_check_of_their_lesson(lesson):
    number, _, cells = lesson
    assert verdicts(cells) == dict.fromkeys(numbers(number), RIGHT)


def test_the_learners_notebook_holds_dots_where_the_solution_holds_an_answer(lesson):
    number, cells, solution = lesson
    for exercise in numbers(number):
        asked, answered = (
            next(
                cell.source
                for cell in notebook
                if f'check("{exercise}"' in cell.source and cell.cell_type == "code"
            )
            for notebook in (cells, solution)
        )
        assert "..." in asked and "..." not in answered
        given = {line.strip() for line in asked.splitlines()}
        new = [line for line in answered.splitlines() if line.strip() and line.strip() not in given]
        everything = {line.strip() for cell in cells for line in cell.source.splitlines()}
        assert any(line.strip() not in everything for line in new), "the lesson answers itself"


def test_a_lesson_has_its_parts_in_order(lesson):
    _, cells, _ = lesson
    text = prose(cells)
    places = [
        text.find(part)
        for part in (
            "**Question**",
            "**Objectives**",
            "## Exercises",
            "## Key points",
            "## Where to read on",
        )
    ]
    assert -1 not in places and places == sorted(places)


def test_a_lesson_fits_into_an_hour(lesson):
    _, cells, _ = lesson
    minutes = re.search(r"\*\*Minutes\*\* (\d+) teaching, (\d+) exercises", cells[0].source)
    assert int(minutes[1]) + int(minutes[2]) < 60


def predictions(cells):
    """The calls of predict() in code, in order; with them the whole cell."""
    for cell in cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "predict":
                yield node, cell


def test_a_lesson_asks_predictions_numbered_in_their_order(lesson):
    number, cells, _ = lesson
    asked = [node.args[0].value for node, _ in predictions(cells)]
    assert asked == [f"{number}-{n}" for n in range(1, len(asked) + 1)]
    assert asked and "**Predict" not in prose(cells)


def test_what_happens_is_computed_and_not_typed_in(lesson):
    _, cells, _ = lesson
    for node, cell in predictions(cells):
        given = [word.value for word in node.keywords if word.arg == "answer"]
        given += [
            one.value
            for one in ast.walk(ast.parse(cell.source))
            if isinstance(one, ast.Assign) and getattr(one.targets[0], "attr", "") == "answer"
        ]
        assert given, f"{node.args[0].value} has no answer"
        for value in given:
            parts = value.elts if isinstance(value, ast.List | ast.Tuple | ast.Set) else [value]
            assert not parts or not all(isinstance(part, ast.Constant) for part in parts)


def test_the_way_home_from_a_wrong_kernel_is_in_the_first_lesson():
    text = prose(notebook(LESSONS["00"]).cells)
    assert "ModuleNotFoundError" in text and "make lab" in text


# What the text of lesson 01 says in numbers.


@pytest.fixture(scope="module")
def calls():
    found = {}
    for variant in ("fnptr", "numbered"):
        with Machine(variant, seed=2020) as machine:
            found[variant] = machine.call("__kvm_timer_set_cntvoff", 0x1234, 0x5)
    return found


def test_the_two_counts_are_computed_by_a_cell_and_typed_nowhere(calls):
    cells = notebook(LESSONS["01"]).cells
    by_pointer, by_number = (calls[v].cost.hyp.instructions for v in ("fnptr", "numbered"))
    assert (by_pointer, by_number) == (26, 49)
    assert f"by pointer {by_pointer}, by number {by_number}" in outputs(cells)
    written = "\n".join(cell.source for cell in cells)
    assert not re.search(r"\b49\b|\b26 (more|instr|by|at)", written)


def test_the_steps_that_the_text_names_are_those_of_the_trace(calls):
    text = prose(notebook(LESSONS["01"]).cells)
    named = re.search(
        r"\[steps (\d+) to (\d+)\].*?\[(\d+) to (\d+)\].*?\[(\d+) to (\d+)\].*?"
        r"\[(\d+) to (\d+)\]",
        text,
        re.DOTALL,
    )
    steps = [int(step) for step in named.groups()]
    trace, dispatch = calls["numbered"].trace, calls["numbered"].cost.steps["dispatch"]
    assert steps[0] == dispatch[0] and steps[-1] == dispatch[-1]
    assert [a + 1 for a in steps[1:-1:2]] == steps[2::2]
    begins = [trace[step].instruction.mnemonic for step in steps[::2]]
    assert begins == ["cmp", "adrp", "ldr", "sub"]
    assert [trace[steps[n]].instruction.mnemonic for n in (1, 3, 5, 7)] == [
        "b.lt",
        "add",
        "ror",
        "ror",
    ]


def test_the_table_of_what_is_kept_is_true(calls):
    for call in calls.values():
        trace = call.trace
        hvc = next(step.index for step in trace if step.exception)
        before, after = trace.registers(hvc), trace.registers(len(trace) - 1)
        spoilt = {name for name in before if before[name] != after[name]}
        assert spoilt <= {f"x{n}" for n in range(19)}
        assert not {f"x{n}" for n in range(31)} & trace[hvc].changed.keys()
