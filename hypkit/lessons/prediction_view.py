"""A prediction as HTML: a question, buttons or a field, and what happened in a fold.

Where a script runs, front/predict.js puts the buttons in; elsewhere there is the list of options
and a <details>. The output holds all that it needs.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path

from hypkit.lessons.prediction import Question
from hypkit.pictures import palette
from hypkit.pictures.html import words

KIND = "application/vnd.hypkit.prediction+json"  # what a booklet on paper reads
FRONT = Path(__file__).with_name("front")
_INKS = (palette.PAPER, palette.INK, palette.DIM, palette.LINE, palette.SOFT,
         palette.LEVELS["el1"].ink, palette.LEVELS["el1"].fill)  # fmt: skip
# A page that names its theme is believed; for any other the reader's own wish counts.
_DARK = '[data-jp-theme-light="false"] .hk-predict, .vscode-dark .hk-predict'
_SILENT = "body:not([data-jp-theme-light]):not(.vscode-light):not(.vscode-dark) .hk-predict"


class Prediction(Question):
    """A question that a notebook shows with buttons, and folds away what happened."""

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        return {"text/plain": repr(self), "text/html": page(self), KIND: on_paper(self)}


def page(question: Question) -> str:
    """Return the output of a cell: the question, the guesses that it takes, and the fold."""
    name = f"predict-{question.id}"
    options = "".join(f"<li>{prose(one)}</li>" for one in named(question.options))
    fold = ""
    if question.told:
        shown = "\n".join(map(_shown, question.shown))
        fold = (
            "<details><summary>Show what happens</summary>\n"
            f'<div class="hk-predict-shown">{shown}</div>\n'
            f"<p><strong>What happened:</strong> {prose(question.told)}</p></details>\n"
        )
    return (
        f'<div class="hk-predict" data-ask="{html.escape(_ask(question))}">\n'
        f'<style class="hk-predict-look">{style()}</style>\n'
        f'<p class="hk-predict-question" id="{name}"><strong>Predict {question.id}.</strong> '
        f"{prose(question.question)}</p>\n"
        f'<div class="hk-predict-guess">{f"<ul>{options}</ul>" if options else ""}</div>\n'
        f'{fold}<script class="hk-predict-program">{script()}</script></div>'
    )


def on_paper(question: Question) -> dict[str, object]:
    """Return what a booklet on paper needs: the question and the options, never the answer."""
    return {
        "id": question.id,
        "question": question.question,
        "options": list(question.options),
        "kind": question.kind,
        "unit": question.unit,
    }


def named(options: Iterable[str]) -> list[str]:
    """Return options between backquotes where they are names, of which any is one of the machine's.

    So `numbered` is set as `jump_table` is, its neighbour.
    """
    given = list(options)
    alike = all(re.fullmatch(r"[^\s`]+", one) for one in given)
    if not alike or not any("<samp>" in words(one) for one in given):
        return given
    return [f"`{one}`" for one in given]


def prose(text: str) -> str:
    """Return a sentence as HTML: what stands between backquotes is code, the rest as in tables."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(
        f"<code>{html.escape(part)}</code>" if number % 2 else words(part)
        for number, part in enumerate(parts)
    )


def _shown(what: object) -> str:
    if isinstance(what, str):
        return f"<pre>{html.escape(what)}</pre>"
    if callable(bundle := getattr(what, "_repr_mimebundle_", None)):
        made = bundle()
        data = made[0] if isinstance(made, tuple) else made
        if "text/html" in data:
            return str(data["text/html"])
    if callable(own := getattr(what, "_repr_html_", None)) and (page := own()):
        return str(page)
    return f"<pre>{html.escape(repr(what))}</pre>"


def _ask(question: Question) -> str:
    """Return what the script needs, as JSON; the key changes with the question."""
    asked = json.dumps([question.question, question.options])
    return json.dumps(
        {
            "key": f"hypkit-{question.id}-{sha256(asked.encode()).hexdigest()[:8]}",
            "kind": question.kind,
            "options": question.options,
            "unit": question.unit,
            "right": _right(question),
            "told": question.told,
        }
    )


def _right(question: Question) -> object:
    answer = question.answer
    return str(answer) if isinstance(answer, int) else answer  # 64 bits are too many for a number


@cache
def script() -> str:
    """Return the program that puts the buttons in, as text of a classic script."""
    return (FRONT / "predict.js").read_text(encoding="utf-8").strip()


@cache
def style() -> str:
    """Return the looks, in the kit's colours, light and dark."""

    def rule(selector: str, theme: palette.Theme) -> str:
        return f"{selector}{{{''.join(f'--hk-{ink.name}:{ink.of(theme)};' for ink in _INKS)}}}"

    mono = f".hk-predict{{--hk-mono:{palette.MONO}}}"
    looks = (FRONT / "predict.css").read_text(encoding="utf-8").strip()
    return "\n".join(
        [
            rule(".hk-predict", "light"),
            mono,
            f"@media screen{{{rule(_DARK, 'dark')}}}",
            f"@media screen and (prefers-color-scheme: dark){{{rule(_SILENT, 'dark')}}}",
            looks,
        ]
    )
