"""What the handout takes from the lessons: their run notebooks, read as text."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from hypkit.lessons.prediction_view import named
from hypkit.pictures.html import words

NOTEBOOKS = Path(__file__).resolve().parents[1]

# What a cell of an exercise has for the notebook's sake. On paper there is nothing to run.
_IN_THE_NOTEBOOK_ONLY = re.compile(r"^(from hypkit\.check import .*|check\(.*\))$")
_IMPORT = re.compile(r"^from .* import .*$", re.MULTILINE)
_ROOM_ENOUGH = re.compile(r"answer = \.\.\.")
_VERDICT = re.compile(r"\d\d\.\d: ")
# Lines to write on below an exercise that is answered in words or numbers.
LINES = {"easy": 3, "medium": 4, "not so easy": 5, "hard": 5}
# The exercises that can be done with a pencil and what the handout holds. All others ask for a run of
# the machine, or for code, and are done at the screen.
PAPER = frozenset(
    ("00.2", "02.1", "03.1", "04.1", "05.2", "05.4", "06.1", "07.1", "08.1", "09.2", "10.1", "11.1", "13.2")
)  # fmt: skip
# What a prediction leaves for paper: hypkit/lessons/prediction_view.py.
PREDICTION = "application/vnd.hypkit.prediction+json"


class HandoutError(Exception):
    """A handout that cannot be built, and why."""


@dataclass(frozen=True)
class Lesson:
    """One run notebook: its number, its title, and its cells."""

    path: Path
    cells: tuple[NotebookNode, ...]

    @property
    def number(self) -> str:
        return self.path.name[:2]

    @property
    def title(self) -> str:
        return self.cells[0].source.partition("\n")[0].removeprefix("# ")

    @property
    def opening(self) -> str:
        """Question, objectives, prerequisites and minutes."""
        return self.cells[0].source.partition("\n")[2].partition("\n## ")[0].strip()

    @property
    def minutes(self) -> tuple[int, int]:
        """Of teaching, of exercises."""
        found = re.search(r"\*\*Minutes\*\*:? (\d+) teaching, (\d+) exercises", self.opening)
        if not found:
            raise HandoutError(f"{self.path.name} does not say how many minutes it takes")
        return int(found[1]), int(found[2])

    def section(self, heading: str) -> list[NotebookNode]:
        """The cells below the heading, "## Exercises" for example, up to the next of its level."""
        found, inside = [], False
        for cell in self.cells:
            if cell.cell_type != "markdown":
                if inside:
                    found.append(cell)
                continue
            for part in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE):
                if part.startswith("## "):
                    first, _, part = part.partition("\n")
                    inside = first.strip() == heading
                if inside and part.strip():
                    found.append(NotebookNode(cell_type="markdown", source=plain(part)))
        if not found:
            raise HandoutError(f"{self.path.name} has no section {heading!r}")
        return found

    def table(self, beginning: str) -> str:
        """The first table whose header begins with `beginning`."""
        for cell in self.cells:
            lines = cell.source.splitlines() if cell.cell_type == "markdown" else []
            for n, line in enumerate(lines):
                if line.startswith(beginning):
                    end = next(
                        (m for m in range(n, len(lines)) if not lines[m].startswith("|")),
                        len(lines),
                    )
                    return "\n".join(lines[n:end])
        raise HandoutError(f"{self.path.name} has no table that begins with {beginning!r}")


def lessons(folder: Path = NOTEBOOKS) -> list[Lesson]:
    """All lessons of a folder in order; `NOTEBOOKS / "solutions"` has the solutions."""
    return [
        Lesson(path, tuple(nbformat.read(path, as_version=4).cells))
        for path in sorted(folder.glob("[0-9][0-9]-*.ipynb"))
    ]


def plain(text: str) -> str:
    """Prose without the remarks that MyST leaves out ("% ...")."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("% "))


def predictions(lesson: Lesson) -> list[dict[str, Any]]:
    """What the lesson asks to predict, in order: id, question, options, kind and unit."""
    return [
        output.data[PREDICTION]
        for cell in lesson.cells
        if cell.cell_type == "code"
        for output in cell.get("outputs", ())
        if PREDICTION in output.get("data", {})
    ]


def marked(text: str) -> str:
    """Prose with its numbers, registers and labels as code, as the notebooks have them."""
    parts = text.split("`")
    for n in range(0, len(parts), 2):
        told = words(parts[n]).replace("<samp>", "`").replace("</samp>", "`")
        parts[n] = html.unescape(told)
    return "".join(f"`{part}`" if n % 2 else part for n, part in enumerate(parts))


def boxes(asked: dict[str, Any]) -> str:
    """The places for a guess on paper: a box for each option, or a line to write on."""
    if asked["options"]:
        return " \u2003".join(
            f"[{marked(option)}]{{.option}}" for option in named(asked["options"])
        )
    wide = "3cm" if asked["kind"] == "number" else "9cm"
    return f"`#blank({wide})`{{=typst}} {asked['unit']}".strip()


def lesson_slides(lesson: Lesson, pictures: dict[str, bytes]) -> list[str]:
    """A slide for each prediction of a lesson, and for each picture, in the order of its cells."""
    found, heading = [], ""
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            heads = re.findall(r"^##+ (.+)$", cell.source, re.MULTILINE)
            heading = heads[-1] if heads else heading
            continue
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            asked = data.get(PREDICTION)
            if asked:
                found.append(
                    f"## Predict {asked['id']}\n\n{marked(asked['question'])}\n\n{boxes(asked)}"
                )
            if picture := _picture(data.get("text/html", "")):
                alt, kind, drawn = picture
                file = f"slide-{lesson.number}-{len(pictures)}.{kind}"
                pictures[file] = drawn
                title = f"What happened ({asked['id']})" if asked else heading
                told = re.sub(r'([\\"])', r"\\\1", " ".join(alt.split()))
                drawing = f'```{{=typst}}\n#fitted("{file}", "{told}")\n```'
                found.append(f"## {marked(title)}\n\n{drawing}")
    return found


def _guesses(lesson: Lesson) -> list[str]:
    """The lesson's predictions with boxes, nothing where it has none."""
    lines = [
        f"::: together\n**{one['id']}** {marked(one['question'])}\n\n{boxes(one)}\n:::"
        for one in predictions(lesson)
    ]
    return ["**Predict**, before the notebook shows it", *lines] if lines else []


def sheet(lesson: Lesson, pictures: dict[str, bytes]) -> str:
    """A lesson's sheet: its aims, its predictions, what a pencil can do, and what to remember.

    The key points come last: some of them give a prediction away.
    """
    points = [cell.source for cell in lesson.section("## Key points")]
    parts = [f"## Lesson {lesson.number}: {lesson.title}", lesson.opening, *_guesses(lesson)]
    elsewhere = []
    for exercise in _exercises(lesson, pictures):
        head = re.match(r"### Exercise (\d\d\.\d): (.*) \(", exercise[0])
        if head and head[1] not in PAPER:
            optional = " (optional)" if "*Optional.*" in exercise[0] else ""
            elsewhere.append(f"**{head[1]}** {head[2]}{optional}")
        else:
            parts += _with_room(exercise, lesson)
    return "\n\n".join(
        [
            *parts,
            f"**At the screen**, in the notebook: {'; '.join(elsewhere)}.",
            "::: together",
            "**Key points**",
            *points,
            ":::",
        ]
    )


def _exercises(lesson: Lesson, pictures: dict[str, bytes]) -> list[list[str]]:
    """Each exercise of a lesson as pieces of Markdown, its heading at the beginning of the first."""
    found: list[list[str]] = []  # what stands before the first is about the notebook
    for cell in lesson.section("## Exercises"):
        if cell.cell_type == "code":
            # A picture goes into the booklet only with an exercise that stands there.
            if found and found[-1][0][13:17] in PAPER:
                found[-1] += _asked(cell, f"sheet-{lesson.number}", pictures)
            continue
        for part in re.split(r"^(?=### )", cell.source, flags=re.MULTILINE):
            if part.startswith("### Exercise"):
                found.append([part])
            elif found:
                found[-1].append(part)
    return found


def _with_room(exercise: list[str], lesson: Lesson) -> list[str]:
    """An exercise in one piece, and below it lines to write on."""
    heading = exercise[0].partition("\n")[0]
    level = re.fullmatch(r"### Exercise \d\d\.\d: .+ \(([\w ]+)(, .+)?\)", heading)
    if not level or level[1] not in LINES:
        raise HandoutError(
            f"{lesson.path.name}: {heading!r} must end with how hard it is: {', '.join(LINES)}"
        )
    return ["::: together", *exercise, f"```{{=typst}}\n#room({LINES[level[1]]})\n```", ":::"]


def _asked(cell: NotebookNode, name: str, pictures: dict[str, bytes]) -> list[str]:
    """A cell of an exercise: the frame that an answer fills, and what there is to look at.

    Code that only makes what is looked at is not for paper.
    """
    code = _IMPORT.sub("", _on_paper(cell.source)).strip("\n")
    frame = "answer = " in code and not _ROOM_ENOUGH.match(code)
    return ([fenced(code, "python")] if frame else []) + outputs(cell, name, pictures)


def _on_paper(code: str) -> str:
    lines = [line for line in code.splitlines() if not _IN_THE_NOTEBOOK_ONLY.match(line)]
    return "\n".join(lines).strip("\n")


def questions(lesson: Lesson) -> dict[str, str]:
    """The words of each exercise of a lesson, by number, without its heading."""
    found = {}
    for cell in lesson.section("## Exercises"):
        for part in re.split(r"^(?=### )", cell.source, flags=re.MULTILINE):
            if head := re.match(r"### Exercise (\d\d\.\d): .*\n", part):
                found[head[1]] = part[head.end() :].strip()
    return found


def answers(lesson: Lesson, pictures: dict[str, bytes], asked: dict[str, str]) -> str:
    """A lesson's solutions: what was asked, the solution's cells, and what they print."""
    title = re.sub(r"^Solutions to \d\d: ", "", lesson.title)
    parts = [f"# {lesson.number}: {title[:1].upper()}{title[1:]}"]
    rest = lesson.cells[0].source.partition("\n")[2]
    for number, cell in enumerate(lesson.cells):
        if cell.cell_type == "code":
            code = _on_paper(cell.source)
            parts += [
                *([fenced(code, "python")] if code else []),
                *outputs(cell, f"answers-{lesson.number}", pictures, verdicts=True),
            ]
        else:
            parts += _answer(plain(cell.source if number else rest), asked)
    return "\n\n".join(parts)


def _answer(text: str, asked: dict[str, str]) -> list[str]:
    """A solution's prose, the question below its heading, all that leads to its code in one piece."""
    head = re.match(r"(## Exercise (\d\d\.\d): .*)\n*", text)
    if not head:
        return ["::: lead", text, ":::"] if text.startswith("## ") else [text]
    question = f"::: question\n{asked[head[2]]}\n:::"
    return ["::: lead", head[1], question, text[head.end() :], ":::"]


def outputs(
    cell: NotebookNode, name: str, pictures: dict[str, bytes], *, verdicts: bool = False
) -> list[str]:
    """What the cell shows, as Markdown; its pictures go into `pictures` as `name`-n.svg or .png."""
    found = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        picture = _picture(data.get("text/html", ""))
        if picture:
            alt, kind, drawn = picture
            file = f"{name}-{len(pictures)}.{kind}"
            pictures[file] = drawn
            found.append(image(file, alt))
            continue
        text = output.get("text") or listing(data) or data.get("text/plain", "")
        if _VERDICT.match(text):
            found += [f"*{text}*"] if verdicts else []
        elif text.strip():
            found.append(fenced(text.strip("\n"), "text"))
    return found


def listing(data: Any) -> str:
    """The text of a listing, which says in text/plain only how long it is; "" for anything else."""
    found = re.search(r'<pre class="hk-source">(.*?)</pre>', data.get("text/html", ""), re.DOTALL)
    if not found:
        return ""
    bare = re.sub(r'<span class="g"[^>]*>[^<]*</span>', "", found[1])
    return html.unescape(re.sub(r"<[^>]+>", "", bare))


class _Images(HTMLParser):
    found: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            given = dict(attrs)
            self.found = given.get("alt") or "", given.get("src") or ""


def _picture(text: str) -> tuple[str, str, bytes] | None:
    """(alt text, "svg" or "png", the picture) in a piece of HTML."""
    reader = _Images()
    reader.feed(text)
    reader.close()
    found = re.fullmatch(
        r"data:image/(svg|png)(?:\+xml)?;base64,(.*)", reader.found[1] if reader.found else ""
    )
    if not reader.found or not found:
        return None
    # On paper a picture has its light colours: the rule for dark pages goes.
    drawn = re.sub(rb"<style>.*?</style>", b"", base64.b64decode(found[2]))
    # The fonts on paper have no such cross.
    drawn = drawn.replace("\u2715".encode(), "\u00d7".encode())
    return reader.found[0], found[1], drawn


def image(file: str, alt: str, width: str = "100%") -> str:
    """A picture as Markdown."""
    told = re.sub(r"([\\\[\]*_`<>])", r"\\\1", " ".join(alt.split()))
    return f"![{told}]({file}){{width={width}}}"


def fenced(text: str, kind: str) -> str:
    """Code as Markdown, whatever backquotes it holds."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text}\n{fence}"
