"""What the handout takes from the lessons: their run notebooks, read as text."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parents[1]

# What a cell of an exercise has for the notebook's sake. On paper there is nothing to run.
_IN_THE_NOTEBOOK_ONLY = re.compile(r"^(from hypkit\.check import .*|check\(.*\))$")
_ROOM_ENOUGH = re.compile(r"answer = \.\.\.")
_VERDICT = re.compile(r"\d\d\.\d: ")
# Lines to write on below an exercise that is answered in words or numbers. A function and a dispatcher
# are written at the screen: ruled lines are of no use for code.
LINES = {"easy": 3, "medium": 4, "not so easy": 5, "hard": 5}
_CODE = re.compile(r"^```+python\n(?:.*\n)*?(?:def |mine = )")
_ASKS_FOR_CODE = re.compile(r"\b[Ww]rite (?:a|the|your) (?:dispatcher|header)\b|in assembly\b")
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


def boxes(asked: dict[str, Any]) -> str:
    """The places for a guess on paper: a box for each option, or a line to write on."""
    if asked["options"]:
        return " \u2003".join(f"`#tick`{{=typst}}\u00a0{option}" for option in asked["options"])
    wide = "3cm" if asked["kind"] == "number" else "9cm"
    return f"`#blank({wide})`{{=typst}} {asked['unit']}".strip()


def _guesses(lesson: Lesson) -> list[str]:
    """The lesson's predictions with boxes, nothing where it has none."""
    lines = [
        f"::: together\n**{one['id']}** {one['question']}\n\n{boxes(one)}\n:::"
        for one in predictions(lesson)
    ]
    return ["**Predict**, before the notebook shows it", *lines] if lines else []


def sheet(lesson: Lesson, pictures: dict[str, bytes]) -> str:
    """A lesson's sheet: what it is for, what to remember, and its exercises with room to write."""
    parts = [
        f"## Lesson {lesson.number}: {lesson.title}",
        lesson.opening,
        "**Key points**",
        *(cell.source for cell in lesson.section("## Key points")),
        *_guesses(lesson),
    ]
    exercise: list[str] = []  # empty before the first: what stands there is about the notebook
    for cell in lesson.section("## Exercises"):
        if cell.cell_type == "code":
            exercise += _asked(cell, f"sheet-{lesson.number}", pictures) if exercise else []
            continue
        for part in re.split(r"^(?=### )", cell.source, flags=re.MULTILINE):
            if part.startswith("### Exercise"):
                parts += _with_room(exercise, lesson)
                exercise = [part]
            elif exercise:
                exercise.append(part)
    return "\n\n".join([*parts, *_with_room(exercise, lesson)])


def at_the_screen(exercise: list[str]) -> bool:
    """Whether an exercise asks for code: a function, a dispatcher, a header."""
    return any(
        (_CODE if part.startswith("```") else _ASKS_FOR_CODE).search(part) for part in exercise
    )


def _with_room(exercise: list[str], lesson: Lesson) -> list[str]:
    """An exercise in one piece; below it lines to write on, unless it asks for code."""
    if not exercise:
        return []
    heading = exercise[0].partition("\n")[0]
    level = re.fullmatch(r"### Exercise \d\d\.\d: .+ \(([\w ]+)(, .+)?\)", heading)
    if not level or level[1] not in LINES:
        raise HandoutError(
            f"{lesson.path.name}: {heading!r} must end with how hard it is: {', '.join(LINES)}"
        )
    below = (
        "*At the screen.*"
        if at_the_screen(exercise)
        else f"```{{=typst}}\n#room({LINES[level[1]]})\n```"
    )
    return ["::: together", *exercise, below, ":::"]


def _asked(cell: NotebookNode, name: str, pictures: dict[str, bytes]) -> list[str]:
    """A cell of an exercise: the code that an answer begins with, and what there is to look at."""
    code = _on_paper(cell.source)
    shown = [] if not code or _ROOM_ENOUGH.fullmatch(code) else [fenced(code, "python")]
    return shown + outputs(cell, name, pictures)


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
        return [text]
    question = f"::: question\n{asked[head[2]]}\n:::"
    return ["::: together", head[1], question, text[head.end() :], ":::"]


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
        text = output.get("text") or data.get("text/plain", "")
        if _VERDICT.match(text):
            found += [f"*{text}*"] if verdicts else []
        elif text.strip():
            found.append(fenced(text.strip("\n"), "text"))
    return found


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
