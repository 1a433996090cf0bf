"""Makes the web book of the course: `python -m notebooks.site.build`, which is `make site`.

Sphinx makes it, with MyST-NB for the notebooks and Furo for the looks: its pages are plain HTML with
relative links, and its search index is a script, so that the folder works from a disk or a stick as
from a server. (Jupyter Book 2 and MyST make an application that wants a server and routes of its own.)
Nothing is run: the notebooks are there, run, and each output holds its own program.

Here the sources are laid out: each lesson with its buttons, with the solution folded below each
exercise, and with links that lead to other pages of the book. notebooks/site/pages has the other pages.
"""

from __future__ import annotations

import argparse
import html
import importlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode

from hypkit import facts

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
NOTEBOOKS = TOP / "notebooks"
OUT = TOP / "build" / "site"
BINDER = "https://mybinder.org/v2/gh/"
# What a link in the text asks of the stepper before it: hypkit/timetravel/front/steer.js.
STEERING = re.compile(r"\[([^\]]+)\]\((#(?:step|steps|label|slot|find|panel|origin)=[^)\s]+)\)")
EXERCISE = re.compile(r"^#{2,3} Exercise (\d\d\.\d+)", re.MULTILINE)
# Where a word of the course is no link: fences, code, links, headings, tags, tables.
NOT_PROSE = re.compile(
    r"(^```.*?^```|^ {4}.*?$|^#.*?$|^\|.*?$|`[^`]+`|\[[^\]]*\]\([^)]*\)|<a .*?</a>|<[^>]+>|https?://\S+)",
    re.MULTILINE | re.DOTALL,
)
PAGE_OF_A_LESSON = re.compile(r"`((?:\d\d-[\w-]+)\.ipynb)`(?!\])")


# What axe-core finds in Furo's and Sphinx's own pages, mended in what they write.
MENDED = (
    ('class="caption" role="heading"', 'class="caption" role="heading" aria-level="2"'),
    ('<aside class="sidebar-drawer"', '<aside aria-label="The book" class="sidebar-drawer"'),
    ('<aside class="toc-drawer', '<aside aria-label="This page" class="toc-drawer'),
    ('<div id="search-results">', '<h1>Search</h1>\n<div id="search-results">'),
)
# The corner of a table whose rows have headers heads nothing.
EMPTY_HEADER = re.compile(r'<th(?: scope="col")?((?: (?!scope)[\w-]+="[^"]*")*)></th>')


class SiteError(Exception):
    """A book that cannot be built, and why."""


def lessons() -> list[Path]:
    """Return the lessons' notebooks, in reading order."""
    return sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))


def notebooks() -> list[Path]:
    """Return every notebook that is a page: the lessons, and what can be looked up."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def title(path: Path) -> str:
    """Return a lesson's number and title."""
    first = nbformat.read(path, as_version=4).cells[0].source.partition("\n")[0]
    name = first.removeprefix("# ")
    return f"{path.name[:2]} {name}" if path.name[0].isdigit() else name


# --- A lesson -------------------------------------------------------------------------------------


def markdown(text: str) -> NotebookNode:
    """Return a cell of prose."""
    return nbformat.v4.new_markdown_cell(text)


def buttons(path: Path, repository: str) -> str:
    """Return what stands below a lesson's title: where it can be run, and where it can be had."""
    links = [(f"../notebooks/{path.name}", "Download the notebook", " download")]
    if repository:
        place = repository.removeprefix("https://github.com/")
        wanted = quote(f"lab/tree/notebooks/{path.name}", safe="")
        links.insert(0, (f"{BINDER}{place}/HEAD?urlpath={wanted}", "Open in Binder", ""))
    links.append(("../index.html#the-two-commands", "Run it on your computer", ""))
    items = "".join(f'<li><a href="{url}"{more}>{name}</a></li>' for url, name, more in links)
    return f'<ul class="hk-buttons">{items}</ul>'


def solutions(path: Path) -> dict[str, list[NotebookNode]]:
    """Return the cells of each solution of a lesson, without their headings, by exercise."""
    file = NOTEBOOKS / "solutions" / path.name
    found: dict[str, list[NotebookNode]] = {}
    if not file.exists():
        return found
    current: list[NotebookNode] = []
    for cell in nbformat.read(file, as_version=4).cells:
        if cell.cell_type == "markdown":
            head = EXERCISE.search(cell.source)
            if head:
                current = found.setdefault(head[1], [])
            text = re.sub(r"^#+ .*$", "", cell.source, flags=re.MULTILINE).strip()
            if text:
                current.append(markdown(text))
        else:
            current.append(cell)
    return found


def folded(number: str, cells: Sequence[NotebookNode]) -> Iterator[NotebookNode]:
    """Yield a solution's cells in a fold."""
    yield markdown(f'<details class="hk-solution"><summary>Show a solution of {number}</summary>\n')
    yield from cells
    yield markdown("</details>\n")


def split_exercises(cells: Sequence[NotebookNode]) -> Iterator[NotebookNode]:
    """Yield the cells; a cell of prose in which a section begins further down becomes two."""
    for cell in cells:
        if cell.cell_type != "markdown":
            yield cell
            continue
        for part in re.split(r"^(?=#{2,3} )", cell.source, flags=re.MULTILINE):
            if part.strip():
                yield markdown(part)


def lesson(path: Path, repository: str) -> NotebookNode:
    """Return a lesson as a page of the book."""
    notebook = nbformat.read(path, as_version=4)
    answers = solutions(path)
    cells: list[NotebookNode] = []
    pending, explained = "", set[str]()
    for cell in split_exercises(notebook.cells):
        if cell.cell_type == "markdown":
            if re.match(r"#{1,3} ", cell.source) and pending:
                cells += folded(pending, answers.pop(pending, ()))
                pending = ""
            head = EXERCISE.match(cell.source)
            pending = head[1] if head and head[1] in answers else pending
            cell = markdown(linked(cell.source, explained))
        cells.append(cell)
    if pending:
        cells += folded(pending, answers.pop(pending, ()))
    if answers:
        raise SiteError(f"{path.name} has no exercise for the solutions {', '.join(answers)}")
    title, _, rest = cells[0].source.partition("\n")
    cells[0] = markdown(f"{title}\n\n{buttons(path, repository)}\n\n{rest}")
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "code" and not cell.source.strip():
            cell.source = "..."
    notebook.cells = cells
    notebook.metadata.pop("hypkit", None)
    return notebook


def linked(text: str, explained: set[str] | None = None) -> str:
    """Return prose whose links work in the book: to pages by name, and those that steer a stepper.

    explained: with it, the first use of a word of the course becomes a link to the glossary, and the
    word is added.
    """
    text = STEERING.sub(lambda m: f'<a href="{html.escape(m[2])}">{_inline(m[1])}</a>', text)
    known = {path.name for path in notebooks()}

    def to_page(found: re.Match[str]) -> str:
        return f"[`{found[1]}`]({found[1]})" if found[1] in known else found[0]

    text = PAGE_OF_A_LESSON.sub(to_page, text)
    return text if explained is None else with_words(text, explained)


def with_words(text: str, explained: set[str]) -> str:
    """Return prose in which the first use of each word of the course leads to the glossary."""
    parts = NOT_PROSE.split(text)  # every other part is code, a link, a heading, a tag
    for term in facts.glossary():
        if term.term in explained:
            continue
        for number in range(0, len(parts), 2):
            found = re.search(term.forms, parts[number])
            if found:
                link = (
                    f'<a class="hk-word" href="../glossary.html#{anchor(term.term)}" '
                    f'title="{html.escape(term.meaning)}">{found[0]}</a>'
                )
                before, after = parts[number][: found.start()], parts[number][found.end() :]
                parts[number : number + 1] = [before, link, after]
                explained.add(term.term)
                break
    return "".join(parts)


def anchor(term: str) -> str:
    """Return the name of a word's place in the glossary."""
    return "word-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


# --- The other pages ------------------------------------------------------------------------------


def front_page(repository: str) -> str:
    """Return the first page: README.md down to the table of systems, and the tree of all pages."""
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    text = readme.partition("## For learners")[0]
    picture = re.search(r"<picture>.*?</picture>", text, re.DOTALL)
    alt = re.search(r'alt="([^"]*)"', picture[0]) if picture else None
    if not picture or not alt:
        raise SiteError("README.md has no picture of the stepper")
    shown = "".join(
        f'<img class="only-{theme}" src="_static/stepper-{theme}.png" width="1000" alt="{alt[1]}">\n'
        for theme in ("light", "dark")
    )
    text = text.replace(picture[0], shown)
    text = re.sub(r"\]\(notebooks/([\w-]+\.ipynb)\)", r"](lessons/\1)", text)
    if repository:
        text = text.replace("<this repository>", repository)
        text = re.sub(r"`(\w+\.(?:md|yml))`", rf"[`\1`]({repository}/blob/HEAD/\1)", text)
    names = "\n".join(f"{title(path)} <lessons/{path.stem}>" for path in lessons())
    trees = (
        f"```{{toctree}}\n:caption: Lessons\n:hidden:\n\n{names}\n```\n\n"
        "```{toctree}\n:caption: To look up\n:hidden:\n\nThe map of the course <lessons/map>\nglossary\nfidelity\napi\n```\n"
    )
    contents = "\n".join(f"- [{title(path)}](lessons/{path.name})" for path in lessons())
    return f"{text}\n## The lessons\n\n{contents}\n\n{trees}"


def api_page() -> str:
    """Return the page of the API: what pages/api.md shows, and the public names that it leaves out."""
    text = (HERE / "pages" / "api.md").read_text(encoding="utf-8")
    shown = {line.rpartition(".")[2] for line in re.findall(r"^\.\. auto\w+:: (.+)$", text, re.M)}
    more = []
    for module in map(importlib.import_module, ("hypkit", "hypkit.viz")):
        for name in sorted(set(module.__all__) - shown):
            found = getattr(module, name)
            kind = "class" if isinstance(found, type) else "function" if callable(found) else "data"
            more.append(f".. auto{kind}:: {module.__name__}.{name}")
            shown.add(name)
    if not more:
        return text
    return f"{text}\n## Whatever else is public\n\n```{{eval-rst}}\n" + "\n".join(more) + "\n```\n"


def glossary_page() -> str:
    """Return the words of the course: what each means, which lesson explains it, which use it."""
    prose = {path: _prose(path) for path in lessons()}
    rows = []
    for term in facts.glossary():
        using = [path for path, said in prose.items() if re.search(term.forms, said)]
        told = next(path for path in prose if path.name.startswith(term.lesson))
        links = ", ".join(
            f"[{path.name[:2]}](lessons/{path.name})" for path in using if path != told
        )
        also = f" Also in {links}." if links else ""
        rows.append(
            f'<span id="{anchor(term.term)}"></span>**{term.term}**\n: {term.meaning}. Explained in '
            f"[{title(told)}](lessons/{told.name}).{also}\n"
        )
    head = "# Glossary\n\nThe words of the course. In the lessons each leads here when it first occurs.\n"
    return head + "\n" + "\n".join(rows)


def _prose(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def lay_out(folder: Path, repository: str) -> None:
    """Write what Sphinx reads into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lessons", "extra/notebooks"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(HERE / "static", folder / "static")
    for picture in (HERE / "pictures").glob("*.png"):
        shutil.copy(picture, folder / "static")
    shutil.copy(HERE / "conf.py", folder)
    for path in notebooks():
        nbformat.write(lesson(path, repository), folder / "lessons" / path.name)
        shutil.copy(path, folder / "extra" / "notebooks")
    (folder / "index.md").write_text(front_page(repository), encoding="utf-8")
    (folder / "api.md").write_text(api_page(), encoding="utf-8")
    (folder / "glossary.md").write_text(glossary_page(), encoding="utf-8")
    shutil.copy(HERE / "pages" / "fidelity.md", folder)


def public_repository() -> str:
    """Return the address of this checkout's origin where GitHub has it, else ""."""
    command = ["git", "-C", str(TOP), "remote", "get-url", "origin"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", done.stdout.strip())
    return f"https://github.com/{found[1]}" if found else ""


def build(out: Path, repository: str = "") -> None:
    """Make the book in a folder; SiteError with what Sphinx complains about."""
    source = out.with_name(f"{out.name}-source")
    lay_out(source, repository)
    shutil.rmtree(out, ignore_errors=True)
    version = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["version"]
    inside = os.environ | {
        "HYPKIT_VERSION": version,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(TOP), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    command += ["-d", str(source / "_build"), str(source), str(out)]
    done = subprocess.run(command, env=inside, capture_output=True, text=True)
    if done.returncode:
        raise SiteError(f"Sphinx complains:\n{done.stdout}{done.stderr}".strip())
    shutil.rmtree(out.parent / "jupyter_execute", ignore_errors=True)  # MyST-NB's, empty
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for old, new in MENDED:
            text = text.replace(old, new)
        text = EMPTY_HEADER.sub(r"<td\1></td>", text)
        page.write_text(text, encoding="utf-8")
    for waste in (".buildinfo", ".buildinfo.bak", "objects.inv"):
        (out / waste).unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """Build the book; return the exit status."""
    parser = argparse.ArgumentParser(prog="make site", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="the folder (default: build/site)")
    parser.add_argument(
        "--repository",
        default=public_repository(),
        help="https://github.com/OWNER/NAME, for the buttons that open Binder (default: the origin)",
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        build(options.out.resolve(), options.repository.rstrip("/"))
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(
        f"{options.out / 'index.html'}: {size / 1e6:.1f} MB, made in {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
