"""Builds handout.pdf, answers.pdf, card.pdf and slides.pdf into build/: `python -m notebooks.handout.build`.

Markdown, from handout.md beside this file, from the lessons' notebooks, from data/ and from runs of
the machine, goes through pandoc and typst.lua to Typst, and with template.typ to PDF/UA-1. Neither
TeX nor a network is needed, and equal sources give equal bytes.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pypandoc
import typst

from notebooks.handout import tables
from notebooks.handout.lessons import (
    NOTEBOOKS,
    HandoutError,
    answers,
    lesson_slides,
    lessons,
    questions,
    sheet,
)

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
OUT = TOP / "build"
# The lessons' dialect, and what handout.md needs besides.
DIALECT = "commonmark+pipe_tables+fenced_divs+bracketed_spans+attributes+raw_attribute"
WAYS = (
    "Text and pictures: Creative Commons Attribution 4.0 International (CC BY 4.0), "
    "https://creativecommons.org/licenses/by/4.0/. Code: MIT License.",
    "Source: the hypkit repository. `make handout` makes this booklet from the lessons in "
    "`notebooks/`, the facts in `data/`, and runs of the machine.",
)
# A sheet printed on both sides can be handed in by itself.
NEW_LEAF = '\n\n```{=typst}\n#pagebreak(weak: true, to: "odd")\n```\n\n'


@dataclass
class Booklet:
    """One booklet in Markdown, and the pictures that it names."""

    name: str
    title: str
    about: str
    chapters: bool = False
    look: str = "booklet"
    text: str = ""
    pictures: dict[str, bytes] = field(default_factory=dict)

    def typst(self, paper: str = "a4") -> str:
        """The booklet as a Typst document, to be compiled beside template.typ and the pictures."""
        version = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["version"]
        body = pypandoc.convert_text(
            self.text,
            "typst",
            format=DIALECT,
            extra_args=[f"--lua-filter={HERE / 'typst.lua'}", "--wrap=none"],
        )
        ways = "".join(f"[{_markup(way)}], " for way in WAYS)
        return (
            f'#import "template.typ": *\n#show: {self.look}.with(title: "{self.title}", '
            f'about: "{self.about}", version: "{version}", ways: ({ways}), '
            f'paper: "{paper}", chapters: {str(self.chapters).lower()})\n{body}'
        )

    def compile(
        self, out: Path | None, *, format: str = "pdf", ppi: float = 80, paper: str = "a4"
    ) -> object:
        """Write the PDF to `out`; without a network, with no font but those in typst."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "template.typ").write_bytes((HERE / "template.typ").read_bytes())
            for name, png in self.pictures.items():
                (Path(folder) / name).write_bytes(png)
            main = Path(folder) / "main.typ"
            main.write_text(self.typst(paper), encoding="utf-8")
            pdf = {"pdf_standards": ["ua-1"], "timestamp": 0} if format == "pdf" else {"ppi": ppi}
            return typst.compile(
                main, output=out, root=folder, format=format, ignore_system_fonts=True, **pdf
            )


def _markup(text: str) -> str:
    return pypandoc.convert_text(text, "typst", format="commonmark+autolink_bare_uris").strip()


def handout() -> Booklet:
    """The learner's booklet."""
    made = Booklet(
        "handout",
        "hypkit: the handout",
        "The arm64 KVM hypercall ABI, by running it: story, tables and exercise sheets",
        chapters=True,
    )
    known = {lesson.number: lesson for lesson in lessons()}
    fill: dict[str, Callable[[], str]] = {
        "road": lambda: tables.road(made.pictures),
        "names": lambda: tables.names(made.pictures),
        "sheets": lambda: NEW_LEAF.join(sheet(lesson, made.pictures) for lesson in known.values()),
    }
    for name in (
        "history",
        "suggestions",
        "addresses",
        "conversions",
        "published",
        "calls",
        "stubs",
        "behaviour",
        "vectors",
        "syndromes",
    ):
        fill[name] = getattr(tables, name)
    steps = tables.ladders(made.pictures)
    fill |= {name: (lambda text=text: text) for name, text in steps.items()}

    def put(match: re.Match[str]) -> str:
        what = match[1]
        of_lesson = re.fullmatch(r"table (\d\d): (.+)", what)
        if of_lesson:
            if of_lesson[1] not in known:
                raise HandoutError(f"handout.md: no lesson {of_lesson[1]} for <<{what}>>")
            return known[of_lesson[1]].table(of_lesson[2])
        if what not in fill:
            raise HandoutError(
                f"handout.md: nothing is called <<{what}>>; there are " + ", ".join(sorted(fill))
            )
        return fill[what]()

    text = (HERE / "handout.md").read_text(encoding="utf-8")
    made.text = re.sub(r"^<<(.+)>>$", put, text, flags=re.MULTILINE)
    return made


def solutions() -> Booklet:
    """The instructor's booklet: the solutions of all lessons."""
    made = Booklet("answers", "hypkit: the answers", "Solutions to the exercises of the handout")
    asked = {lesson.number: questions(lesson) for lesson in lessons()}
    made.text = "\n\n".join(
        answers(lesson, made.pictures, asked[lesson.number])
        for lesson in lessons(NOTEBOOKS / "solutions")
    )
    return made


def card() -> Booklet:
    """Two sides of one sheet, to lie beside the keyboard."""
    made = Booklet(
        "card", "hypkit: the card", "What to look up while you work", chapters=False, look="card"
    )
    made.text = tables.card()
    return made


def slides() -> Booklet:
    """The instructor's slides: of each lesson its aims, predictions, pictures, and what to remember."""
    made = Booklet(
        "slides", "hypkit: the slides", "For the instructor, from the lessons", look="slides"
    )
    parts = []
    for lesson in lessons():
        parts += [
            f"# {lesson.number}: {lesson.title}",
            lesson.opening.partition("**Prerequisites**")[0],
            *lesson_slides(lesson, made.pictures),
            f"## To remember ({lesson.number})",
            *(cell.source for cell in lesson.section("## Key points")),
        ]
    made.text = "\n\n".join(parts)
    return made


BOOKLETS = {"handout": handout, "answers": solutions, "card": card, "slides": slides}
PAPERS = ("a4", "us-letter")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m notebooks.handout.build", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="the folder (default: build)")
    parser.add_argument("--paper", choices=PAPERS, default="a4", help="(default: a4)")
    parser.add_argument("names", nargs="*", metavar="booklet", help=", ".join(BOOKLETS))
    options = parser.parse_args(arguments)
    names = options.names or ["handout", "answers", "card"]
    if unknown := set(names) - set(BOOKLETS):
        parser.error(f"no booklet {min(unknown)!r}; there are {', '.join(BOOKLETS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        for booklet in (BOOKLETS[name]() for name in names):
            path = options.out / f"{booklet.name}.pdf"
            booklet.compile(path, paper=options.paper)
            print(path.relative_to(TOP) if path.is_relative_to(TOP) else path, flush=True)
    except (HandoutError, typst.TypstError) as error:
        print(getattr(error, "diagnostic", "") or error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
