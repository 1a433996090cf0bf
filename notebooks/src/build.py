"""Turns the lessons' text in this folder into run notebooks: `python -m notebooks.src.build`.

A lesson is one MyST Markdown file, NN-name.md (or solutions/NN-name.md): code to run stands in
```{code-cell} blocks, a line `+++` parts two cells of prose. The notebook goes to the same place
under notebooks/, run from top to bottom in a fresh kernel, without anything that changes from
run to run.
"""

import argparse
import hashlib
import html
import re
import sys
from collections import Counter
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from hypkit.lessons.reference import TABLES
from hypkit.machine.hooks import native
from hypkit.pictures.html import words
from notebooks.src.rules import complaints

TEXTS = Path(__file__).resolve().parent
NOTEBOOKS = TEXTS.parent
MAP = "map.ipynb"

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
STEPPER_NAME = re.compile(r'(?<=data-stepper=")[0-9a-f]{32}(?=")')
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


class BuildError(Exception):
    """A lesson that cannot be built: which one, which cell, why."""


def texts(folder: Path = TEXTS) -> list[Path]:
    """The lessons' text files below `folder`, in reading order, solutions last."""
    return sorted(folder.glob("[0-9]*.md")) + sorted(folder.glob("solutions/[0-9]*.md"))


def target(text: Path) -> Path:
    """The notebook that `text` becomes: x/src/solutions/01-a.md -> x/solutions/01-a.ipynb."""
    solution = text.parent.name == "solutions"
    folder = text.parents[2] / "solutions" if solution else text.parents[1]
    return folder / f"{text.stem}.ipynb"


def ways_on(text: Path) -> str:
    """The last line of a lesson: links to its neighbours and to the map; "" for a solution."""
    if text.parent.name == "solutions":
        return ""
    course = [one for one in texts(text.parent) if one.parent == text.parent]
    at = course.index(text)
    links = []
    for word, near in (("Next", course[at + 1 : at + 2]), ("Before", course[max(0, at - 1) : at])):
        for one in near:
            title = one.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
            links.append(f"**{word}:** [{one.stem[:2]}: {title}]({one.stem}.ipynb)")
    if (text.parents[1] / MAP).exists():
        links.append(f"**Look up:** [the map of the course]({MAP})")
    return " \u00b7 ".join(links)


def read(text: Path) -> NotebookNode:
    """The notebook that `text` says, its cells not yet run; equal text gives equal cell ids.

    Below the text are the ways to its neighbours.
    """
    written = text.read_text(encoding="utf-8")
    notebook = jupytext.reads(written, fmt="md:myst")
    if way := ways_on(text):
        notebook.cells.append(nbformat.v4.new_markdown_cell(way))
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(KERNELSPEC),
        hypkit=NotebookNode(source_sha256=hashlib.sha256(written.encode()).hexdigest()),
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        mark = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[mark] += 1
        if cell.cell_type == "code" and re.search(r"\bpredict\(", cell.source):
            cell.metadata["jupyter"] = NotebookNode(source_hidden=True)  # it has the answer in it
        cell.id = mark if seen[mark] == 1 else f"{mark}-{seen[mark]}"
    return notebook


def run(notebook: NotebookNode, folder: Path, name: str) -> None:
    """Run every cell in one fresh kernel that works in `folder`; BuildError for a cell that fails.

    A widget's view is taken out: without its model it is dead on arrival. What stays is the
    static twin that must stand beside it. A stepper's output needs no model, and stays whole.
    """
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=60,
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        native.address("trace_hook")  # compiled now, it is not announced in an output
        native.address("call_begins", "watching")
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        raise BuildError(f"{name}: {error}") from None
    notebook.metadata.language_info = NotebookNode(name="python")
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            if "text/html" in output.get("data", ()):
                # The name leads to a stepper of the kernel that ran this, which is gone.
                output.data["text/html"] = STEPPER_NAME.sub("", output.data["text/html"])
            if WIDGET_VIEW not in output.get("data", ()):
                continue
            if "text/html" not in output.data:
                raise BuildError(
                    f"{name}: cell {number} shows a widget without text/html beside it, "
                    "so the notebook would show nothing until it is run"
                )
            del output.data[WIDGET_VIEW]


def course_map() -> NotebookNode:
    """The map of the course: the tables of hypkit/lessons/reference.py as cells of prose."""
    lessons = {one.stem[:2]: one.stem for one in texts() if one.parent == TEXTS}

    def cell(text: str, head: str) -> str:
        if head == "lesson":  # the place of a function is a number of two digits, too
            return f"[{text}]({lessons[text]}.ipynb)"
        parts = text.replace("|", "\\|").split("`")
        for n in range(0, len(parts), 2):  # within backquotes a star is a star
            told = words(parts[n].replace("*", "\\*").replace("<", "&lt;"))
            parts[n] = html.unescape(told.replace("<samp>", "`").replace("</samp>", "`"))
        return "`".join(parts)

    cells = [
        "# The map of the course\n\nA page to come back to. It is made from the same facts as the "
        "lessons (`python -m notebooks.src.build map`).\n\n"
        + "\n".join(
            f"- [{number}: {(TEXTS / f'{stem}.md').read_text(encoding='utf-8').splitlines()[0][2:]}]"
            f"({stem}.ipynb)"
            for number, stem in lessons.items()
        )
    ]
    for make in TABLES.values():
        table = make()
        rows = [table.heads, ["---"] * len(table.heads)]
        rows += [tuple(map(cell, map(str, row), table.heads)) for row in table.rows]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        about = re.sub(r"\b(?<!`)0x[0-9a-fA-F]+", r"`\g<0>`", table.about)
        cells.append(f"## {table.title}\n\n{about}\n\n{lines}")
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_markdown_cell, cells)))
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(KERNELSPEC), language_info=NotebookNode(name="python")
    )
    for number, one in enumerate(notebook.cells):
        one.id = f"map-{number}"
    return notebook


def build_map() -> Path:
    """Write the map, and give its path."""
    path = NOTEBOOKS / MAP
    with path.open("w", encoding="utf-8", newline="\n") as file:
        nbformat.write(course_map(), file)
    return path


def map_is_stale() -> str | None:
    """Why the map is not what the facts say, in a sentence; None when it is."""
    path = NOTEBOOKS / MAP
    if path.exists() and nbformat.read(path, as_version=4) == course_map():
        return None
    return f"{MAP} is older than the facts in data/ and hypkit/"


def build(text: Path) -> Path:
    """Build `text`'s notebook, if the rules for lessons find nothing, and give its path."""
    path = target(text)
    path.parent.mkdir(exist_ok=True)
    notebook = read(text)
    run(notebook, path.parent, text.stem)
    found = complaints(notebook, path)
    if found:
        raise BuildError("\n".join(f"{text.stem}: {complaint}" for complaint in found))
    nbformat.validate(notebook)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        nbformat.write(notebook, file)
    return path


def stale(text: Path) -> str | None:
    """Why `text`'s notebook is not what `text` says, in a sentence; None when it is."""
    path = target(text)
    if not path.exists():
        return f"{path.name} has not been built"
    wanted, found = read(text), nbformat.read(path, as_version=4)
    if found.metadata.get("hypkit") != wanted.metadata.hypkit:
        return f"{path.name} is older than {text.name}"
    for number, (want, have) in enumerate(zip(wanted.cells, found.cells, strict=False)):
        if any(want[key] != have.get(key) for key in ("id", "cell_type", "source", "metadata")):
            return f"{path.name}: cell {number} was edited by hand, {text.name} says otherwise"
    if len(wanted.cells) != len(found.cells):
        return f"{path.name} has {len(found.cells)} cells, {text.name} has {len(wanted.cells)}"
    return None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m notebooks.src.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="build nothing, name what is stale")
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 01 (default: all)")
    options = parser.parse_args(arguments)
    wanted = tuple(options.names)
    chosen = [text for text in texts() if not wanted or text.stem.startswith(wanted)]
    with_map = not wanted or "map" in wanted
    if wanted and not chosen and not with_map:
        parser.error(f"no lesson's name begins with {' or '.join(wanted)}")
    failed = False
    if with_map and not options.check:
        print(build_map().relative_to(NOTEBOOKS.parent), flush=True)
    elif with_map and (trouble := map_is_stale()):
        failed = True
        print(trouble, file=sys.stderr)
    for text in chosen:
        try:
            trouble = stale(text) if options.check else None
            if not options.check:
                print(build(text).relative_to(NOTEBOOKS.parent), flush=True)
        except BuildError as error:
            trouble = str(error)
        if trouble:
            failed = True
            print(trouble, file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
