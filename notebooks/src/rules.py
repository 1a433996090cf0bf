"""What every lesson keeps to, as one function that lists what a notebook does wrong."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt
from nbformat import NotebookNode

OPENING = ("**Objectives**", "**Prerequisites**", "**Minutes**")
MINUTES = re.compile(r"\*\*Minutes\*\*:? \d+ teaching, \d+ exercises\b")
OPT_OUT = re.compile(r"^\s*#\s*(NBVAL|PYTEST_VALIDATE)_\w+\s*$", re.MULTILINE)
OPT_OUT_TAG = re.compile(r"nbval-|pytest-validate-|raises-exception")

_markdown = MarkdownIt("commonmark").enable("table")


def complaints(notebook: NotebookNode, path: Path) -> list[str]:
    """All that is wrong with the run `notebook` that lives (or will live) at `path`."""
    found = []
    if path.parent.name != "solutions":
        found += _opening(notebook)
    found += _headings(notebook)
    for number, cell in enumerate(notebook.cells):
        of_cell = _prose(cell, path.parent) if cell.cell_type == "markdown" else _code(cell)
        found += [f"cell {number}: {complaint}" for complaint in of_cell]
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    if counts != list(range(1, len(counts) + 1)):
        found.append(f"the cells were not run once each, from top to bottom: {counts}")
    if "widgets" in notebook.metadata:
        found.append("metadata.widgets makes GitHub call the notebook invalid")
    return found


def _opening(notebook: NotebookNode) -> Iterator[str]:
    first = notebook.cells[0].source if notebook.cells else ""
    if not first.startswith("# "):
        yield "the first cell must begin with the lesson's title, '# ...'"
    places = [first.find(f"\n{word}") for word in OPENING]
    if -1 in places or places != sorted(places):
        yield f"the first cell must have lines that begin with {', '.join(OPENING)}, in this order"
    elif not MINUTES.search(first):
        yield "the minutes must read '**Minutes**: 20 teaching, 15 exercises'"


def _headings(notebook: NotebookNode) -> Iterator[str]:
    above = 0
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        tokens = _markdown.parse(cell.source)
        for token, inline in zip(tokens, tokens[1:], strict=False):
            if token.type != "heading_open":
                continue
            level = int(token.tag[1])
            if level > above + 1:
                yield f"heading {inline.content!r} jumps from level {above} to level {level}"
            if level == 1 and above:
                yield f"heading {inline.content!r} is a second title"
            above = level


def _prose(cell: NotebookNode, folder: Path) -> Iterator[str]:
    for block in _markdown.parse(cell.source):
        for token in (block, *(block.children or ())):
            if token.type == "image" and not token.content.strip():
                yield f"image {token.attrs['src']} has no alt text"
            if token.type in ("html_block", "html_inline"):
                yield from _html(token.content)
            if token.type in ("image", "link_open"):
                link = str(token.attrs["src" if token.type == "image" else "href"])
                file = link.partition("#")[0]
                if file and not re.match(r"\w+:", file) and not (folder / file).exists():
                    yield f"the link to {link} leads nowhere"


def _code(cell: NotebookNode) -> Iterator[str]:
    if not cell.source.strip():
        yield "a code cell is empty"
    if OPT_OUT.search(cell.source) or any(map(OPT_OUT_TAG.match, cell.metadata.get("tags", ()))):
        yield "a cell must not opt out of having its output compared"
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"it ends in an error: {output.ename}: {output.evalue}"
        if output.output_type == "stream" and output.name == "stderr":
            yield f"it writes to stderr: {output.text.strip()[:200]}"
        for kind, content in output.get("data", {}).items():
            if kind.startswith("image/"):
                yield f"{kind} has no alt text in JupyterLab: show pictures as HTML with alt text"
            if "widget-view" in kind:
                yield "a widget's view is dead in a saved notebook"
            if kind == "text/html":
                yield from _html(content)


def _html(text: str) -> list[str]:
    reader = _Pictures()
    reader.feed(text)
    reader.close()
    return reader.found


class _Pictures(HTMLParser):
    """Lists the pictures without a text in their stead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img" and not (given.get("alt") or "").strip():
            self.found.append("an <img> has no alt text")
        if tag == "svg" and not (
            given.get("aria-hidden") == "true"
            or given.get("role") == "img"
            and (given.get("aria-label") or "").strip()
        ):
            self.found.append("an <svg> has no role='img' with an aria-label")

    handle_startendtag = handle_starttag
