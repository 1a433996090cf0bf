"""The lessons in the repository, and the builder and the rules that they go through."""

import nbformat
import pytest
from nbformat import v4

from notebooks.src import build, rules

TEXTS = build.texts()
NOTEBOOKS = [
    path
    for folder in (build.NOTEBOOKS, build.NOTEBOOKS / "solutions")
    for path in sorted(folder.glob("*.ipynb"))
    if path.name != build.MAP
]

OPENING = """# Title

**Objectives**

- one

**Prerequisites** none

**Minutes** 20 teaching, 15 exercises
"""

LESSON = (
    OPENING
    + """
+++

## First

```c
# define NOT_A_HEADING
```

```{code-cell}
:tags: [kept]
print("to stdout", flush=True)
print("and again")
{"value": 1 + 1}
```

## Second

```{code-cell}
pass
```

```{code-cell}
pass
```
"""
)


def written(folder, text, name="01-lesson.md"):
    """The path of a lesson's text in a course of its own in `folder`."""
    path = folder / "notebooks" / "src" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def lesson(*cells, opening=OPENING):
    """A notebook as if run: an opening, then `cells`."""
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell(opening), *cells])
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    return notebook


def code(*outputs, source="pass", **more):
    return v4.new_code_cell(source, outputs=list(outputs), **more)


def shown(kind, content):
    return v4.new_output("display_data", data={kind: content})


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The text of a lesson whose notebook has been built."""
    text = written(tmp_path_factory.mktemp("course"), LESSON)
    build.build(text)
    return text


# The lessons themselves.


def test_every_notebook_has_its_text():
    assert TEXTS, "the course has no lessons"
    assert set(NOTEBOOKS) == set(map(build.target, TEXTS))


def test_the_map_is_what_the_facts_say_and_its_links_lead_somewhere():
    assert build.map_is_stale() is None, "run `python -m notebooks.src.build map`"
    path = build.NOTEBOOKS / build.MAP
    assert [
        complaint
        for cell in nbformat.read(path, as_version=4).cells
        for complaint in rules._prose(cell, path.parent)
    ] == []


def test_a_lesson_ends_with_the_ways_to_its_neighbours_and_the_map():
    lessons = [text for text in TEXTS if text.parent == build.TEXTS]
    for text, before, after in zip(lessons, [None, *lessons], [*lessons[1:], None], strict=False):
        last = build.read(text).cells[-1].source
        assert f"({build.MAP})" in last
        assert ("**Next:**" in last, "**Before:**" in last) == (
            after is not None,
            before is not None,
        )
        for near in filter(None, (before, after)):
            assert f"({near.stem}.ipynb)" in last


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_a_notebook_is_what_its_text_says(text):
    assert build.stale(text) is None, "run `make notebooks`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_the_rules(path):
    assert rules.complaints(nbformat.read(path, as_version=4), path) == []


# The builder.


def test_the_code_of_a_prediction_is_folded_and_no_other(tmp_path):
    cells = ("predict('01-1', 'How many?', answer=5)", "predicted = 5", "print(1)")
    text = "".join(f"\n```{{code-cell}}\n{cell}\n```\n" for cell in cells)
    made = build.read(written(tmp_path, OPENING + text)).cells[1:]
    folded = [cell.metadata.get("jupyter", {}).get("source_hidden", False) for cell in made]
    assert folded == [True, False, False]


def test_a_built_notebook_is_run_and_current_and_keeps_the_rules(built):
    path = build.target(built)
    notebook = nbformat.read(path, as_version=4)
    assert path.name == "01-lesson.ipynb" and path.parent == built.parents[1]
    assert build.stale(built) is None
    assert rules.complaints(notebook, path) == []
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert [output.get("text") for output in first.outputs] == ["to stdout\nand again\n", None]
    assert first.outputs[1].data["text/plain"] == "{'value': 2}"
    assert first.metadata == {"tags": ["kept"]}


def test_building_twice_gives_the_same_bytes(built):
    path = build.target(built)
    before = path.read_bytes()
    build.build(built)
    assert path.read_bytes() == before


def test_a_built_notebook_says_nothing_about_the_machine_it_was_built_on(built):
    metadata = nbformat.read(build.target(built), as_version=4).metadata
    assert metadata.keys() == {"hypkit", "kernelspec", "language_info"}
    assert metadata.language_info == {"name": "python"}


def test_equal_cells_get_different_ids_and_a_new_cell_leaves_the_others_alone(tmp_path):
    before = [cell.id for cell in build.read(written(tmp_path, LESSON)).cells]
    after = [cell.id for cell in build.read(written(tmp_path, LESSON + "\nMore.\n")).cells]
    assert len(set(before)) == len(before)
    assert after[:-1] == before


def test_solutions_go_to_the_folder_of_solutions(tmp_path):
    text = written(tmp_path, LESSON, "solutions/01-lesson.md")
    assert build.target(text) == tmp_path / "notebooks" / "solutions" / "01-lesson.ipynb"
    assert build.texts(tmp_path / "notebooks" / "src") == [text]


def copied(built, folder):
    """A course in `folder` with the built lesson and its notebook."""
    text = written(folder, built.read_text())
    build.target(text).write_bytes(build.target(built).read_bytes())
    assert build.stale(text) is None
    return text


def test_a_notebook_is_stale_when_its_text_has_changed(built, tmp_path):
    text = copied(built, tmp_path)
    text.write_text(LESSON.replace("## Second", "## Later"))
    assert build.stale(text) == "01-lesson.ipynb is older than 01-lesson.md"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda cells: cells[1].update(source="else"), "cell 1 was edited by hand"),
        (lambda cells: cells[2].metadata.clear(), "cell 2 was edited by hand"),
        (lambda cells: cells.pop(), "has 5 cells, 01-lesson.md has 6"),
    ],
)
def test_a_notebook_edited_by_hand_is_stale(built, tmp_path, spoil, sentence):
    text = copied(built, tmp_path)
    notebook = nbformat.read(build.target(text), as_version=4)
    spoil(notebook.cells)
    nbformat.write(notebook, build.target(text))
    assert sentence in build.stale(text)


def test_a_lesson_never_built_is_stale(tmp_path):
    assert build.stale(written(tmp_path, LESSON)) == "01-lesson.ipynb has not been built"


def test_a_cell_that_fails_stops_the_build_and_keeps_the_old_notebook(built, tmp_path):
    text = copied(built, tmp_path)
    before = build.target(text).read_bytes()
    text.write_text(LESSON + "\n```{code-cell}\n1 / 0\n```\n")
    with pytest.raises(build.BuildError, match="(?s)01-lesson: .*ZeroDivisionError"):
        build.build(text)
    assert build.target(text).read_bytes() == before


WIDGET = """
```{{code-cell}}
class View:
    def _repr_mimebundle_(self, **_):
        return {{"text/plain": "a view", {twin}
                "application/vnd.jupyter.widget-view+json": {{"model_id": "1"}}}}
View()
```
"""


def test_of_a_widget_the_static_twin_stays(tmp_path):
    text = written(tmp_path, OPENING + WIDGET.format(twin='"text/html": "<p>a view</p>",'))
    cells = nbformat.read(build.build(text), as_version=4).cells
    assert cells[1].outputs[0].data == {"text/plain": "a view", "text/html": "<p>a view</p>"}


def test_a_widget_without_a_static_twin_stops_the_build(tmp_path):
    text = written(tmp_path, OPENING + WIDGET.format(twin=""))
    with pytest.raises(build.BuildError, match="cell 1 shows a widget without text/html"):
        build.build(text)


def test_a_lesson_that_breaks_a_rule_is_not_built(tmp_path):
    text = written(tmp_path, "## No title\n")
    with pytest.raises(build.BuildError, match="01-lesson: the first cell must begin"):
        build.build(text)
    assert not build.target(text).exists()


def test_a_name_that_no_lesson_has_is_refused(capsys):
    with pytest.raises(SystemExit):
        build.main(["--check", "no-such"])
    assert "no lesson's name begins with no-such" in capsys.readouterr().err


# The rules.


def test_a_good_lesson_draws_no_complaint(tmp_path):
    good = lesson(
        v4.new_markdown_cell("## A\n\n![a map](map.png) [b](https://example.org)\n\n### B\n\n## C"),
        code(shown("text/html", "<img alt='a map' src='x'><svg role='img' aria-label='a'/>")),
        code(v4.new_output("stream", name="stdout", text="x")),
    )
    (tmp_path / "map.png").touch()
    assert rules.complaints(good, tmp_path / "01-lesson.ipynb") == []


BAD = {
    "must begin with the lesson's title": lesson(opening=OPENING.lstrip("# ")),
    "must have lines that begin with": lesson(opening=OPENING.replace("**Objectives**", "Aims")),
    "in this order": lesson(
        opening="# T\n\n**Minutes** 2 teaching, 1 exercises\n\n**Objectives**\n\n**Prerequisites**"
    ),
    "the minutes must read": lesson(opening=OPENING.replace("20 teaching", "some teaching")),
    "heading 'B' jumps from level 1 to level 3": lesson(v4.new_markdown_cell("### B")),
    "heading 'Another' is a second title": lesson(v4.new_markdown_cell("# Another")),
    "cell 1: image https://a.org/b.png has no alt text": lesson(
        v4.new_markdown_cell("![](https://a.org/b.png)")
    ),
    "cell 1: the link to map.png leads nowhere": lesson(v4.new_markdown_cell("![a](map.png)")),
    "cell 1: the link to b.ipynb#c leads nowhere": lesson(v4.new_markdown_cell("[a](b.ipynb#c)")),
    "cell 1: an <img> has no alt text": lesson(v4.new_markdown_cell("<img src='a' alt=' '>")),
    "an <img> has no alt": lesson(code(shown("text/html", "<p><img src='a'/></p>"))),
    "an <svg> has no role='img'": lesson(code(shown("text/html", "<svg role='img'></svg>"))),
    "image/png has no alt text in JupyterLab": lesson(code(shown("image/png", "iVBO"))),
    "a widget's view is dead": lesson(code(shown(build.WIDGET_VIEW, {"model_id": "1"}))),
    "a code cell is empty": lesson(code(source=" \n")),
    "opt out": lesson(code(source="# NBVAL_IGNORE_OUTPUT\n1")),
    "not opt out": lesson(code(metadata={"tags": ["raises-exception"]})),
    "must not opt out": lesson(code(metadata={"tags": ["nbval-skip"]})),
    "ends in an error: E: v": lesson(code(v4.new_output("error", ename="E", evalue="v"))),
    "writes to stderr: oh": lesson(code(v4.new_output("stream", name="stderr", text="oh\n"))),
}


@pytest.mark.parametrize("complaint", BAD)
def test_a_rule_that_is_broken_is_named(complaint, tmp_path):
    (found,) = rules.complaints(BAD[complaint], tmp_path / "01-lesson.ipynb")
    assert complaint in found


def test_cells_run_out_of_order_or_not_at_all_are_named(tmp_path):
    notebook = lesson(code(), code())
    notebook.cells[1].execution_count = None
    (found,) = rules.complaints(notebook, tmp_path / "01-lesson.ipynb")
    assert found == "the cells were not run once each, from top to bottom: [None, 2]"


def test_widget_state_in_the_metadata_is_named(tmp_path):
    notebook = lesson()
    notebook.metadata.widgets = {}
    (found,) = rules.complaints(notebook, tmp_path / "01-lesson.ipynb")
    assert "metadata.widgets" in found


def test_a_solution_needs_no_opening(tmp_path):
    path = tmp_path / "solutions" / "01-lesson.ipynb"
    assert rules.complaints(lesson(opening="# Solution"), path) == []
