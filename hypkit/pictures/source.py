"""Assembly and C as a notebook shows them: in colours, with line numbers that are not copied."""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from functools import cache

from hypkit.asm.program import Program, Unit
from hypkit.errors import WrongType, WrongValue, did_you_mean, expected
from hypkit.pictures.palette import BAD, CODE, INK, MONO, SOFT, Theme

_REGISTERS = r"[xw](?:[12]?\d|30)|[xw]zr|wsp|sp|[a-z]\w*_el[0-3]"
# Kinds of token, first match wins; what is left is plain text.
_GRAMMAR = {
    "asm": (
        ("comment", r"//[^\n]*|/\*.*?\*/"),
        ("string", r'"(?:\\.|[^"\\\n])*"'),
        ("label", r"(?m:^[ \t]*[\w.$]+(?=:))"),
        ("keyword", r"(?m:(?<=^)[ \t]*\.[a-z_]\w*|(?<=:)[ \t]*\.[a-z_]\w*|^[ \t]*#\s*\w+)"),
        ("register", rf"(?i:\b(?:{_REGISTERS})\b)"),
        ("number", r"#?-?\b0x[0-9a-fA-F]+\b|#?-?\b\d+[fb]?\b"),
    ),
    "c": (
        ("comment", r"//[^\n]*|/\*.*?\*/"),
        ("string", r'"(?:\\.|[^"\\\n])*"|<[\w/.]+\.h>'),
        ("keyword", r"(?m:^[ \t]*#[ \t]*\w+)|\b(?:enum|const|static|struct|typedef|void|unsigned|"
         r"int|long|char|return|if|else|for|while|sizeof)\b"),
        ("number", r"\b(?:0[xX][0-9a-fA-F]+|\d+)[uUlL]*\b"),
        ("label", r"\b[A-Z][A-Z0-9_]{2,}\b"),
    ),
}  # fmt: skip
LANGUAGES = tuple(_GRAMMAR)
_KIND = {
    "comment": "c",
    "string": "s",
    "label": "l",
    "keyword": "k",
    "register": "r",
    "number": "n",
}


@cache
def _tokens(language: str) -> re.Pattern[str]:
    parts = (f"(?P<{kind}>{pattern})" for kind, pattern in _GRAMMAR[language])
    return re.compile("|".join(parts), re.DOTALL)


@cache
def _style() -> str:
    def rules(prefix: str, theme: Theme) -> str:
        one = f"{prefix}.hk-source"
        return (
            f"{one}{{color:{INK.of(theme)}}}{one} .m{{background:{SOFT.of(theme)};"
            f"box-shadow:-5px 0 {BAD.of(theme)}}}"
            + "".join(
                f"{one} .{_KIND[kind]}{{color:{ink.of(theme)}}}" for kind, ink in CODE.items()
            )
        )

    dark = rules('[data-jp-theme-light="false"] ', "dark") + rules(".vscode-dark ", "dark")
    return (
        # Three times, so that JupyterLab's rule for what a cell shows, of two classes, does not win.
        f"<style>pre.hk-source.hk-source.hk-source{{font-family:{MONO};font-size:12px;line-height:1.45;overflow-x:auto;"
        "font-variant-ligatures:none;tab-size:8;white-space:pre;word-break:normal;padding-left:7px}.hk-source .g{user-select:none;"
        f"display:inline-block;opacity:.65}}{rules('', 'light')}{dark}</style>"
    )


class Listing:
    """A text with its language, as show_source() makes it. text: as it was given."""

    def __init__(
        self, text: str, language: str, title: str, start: int, marked: frozenset[int]
    ) -> None:
        self.text, self.language, self.title = text, language, title
        self._start, self._marked = start, marked

    def _repr_html_(self) -> str:
        lines = _coloured(self.text, self.language).split("\n")
        wide = len(str(self._start + len(lines) - 1))
        shown = []
        for number, line in enumerate(lines, self._start):
            gutter = f'<span class="g" aria-hidden="true">{number:>{wide}}  </span>'
            whole = f"{gutter}{line}"
            shown.append(f'<span class="m">{whole}</span>' if number in self._marked else whole)
        title = f"<div><samp>{html.escape(self.title)}</samp></div>" if self.title else ""
        return f'{_style()}{title}<pre class="hk-source">' + "\n".join(shown) + "</pre>"

    def __repr__(self) -> str:
        lines = self.text.count("\n") + 1
        of = "C" if self.language == "c" else "assembly"
        name = f"{self.title}: " if self.title else ""
        return f"Listing: {name}{lines} line{'s' * (lines != 1)} of {of}"


def _coloured(text: str, language: str) -> str:
    """The text as HTML; a token that goes over lines is closed and opened at each of them."""
    found, at = [], 0
    for match in _tokens(language).finditer(text):
        kind = _KIND[str(match.lastgroup)]
        found.append(html.escape(text[at : match.start()]))
        found.append(
            "\n".join(f'<span class="{kind}">{html.escape(p)}</span>' for p in match[0].split("\n"))
        )
        at = match.end()
    return "".join(found) + html.escape(text[at:])


def show_source(
    source: str | Program | Unit,
    language: str = "asm",
    *,
    title: str = "",
    start: int = 1,
    marked: Collection[int] = (),
) -> Listing:
    """Show assembly or C in colours, with line numbers.

    Args:
        source: the text; or a Program or Unit, whose text and name are then shown.
        language: "asm" or "c".
        title: a line above, such as the file's name.
        start: the number of the first line.
        marked: numbers of lines to mark.

    Returns:
        A Listing, which shows itself. Copied from the page, it has no line numbers.

    Raises:
        TypeError: for what is no text.
        ValueError: for a language that is not known.
    """
    if isinstance(source, (Program, Unit)):
        title = title or source.name
        source = source.source if isinstance(source, Program) else source.text
    if not isinstance(source, str):
        raise WrongType(expected("a text, such as m.image.source(...)", source))
    if not isinstance(language, str) or language not in LANGUAGES:
        raise WrongValue(expected("'asm' or 'c'", language) + did_you_mean(language, LANGUAGES))
    if not isinstance(title, str):
        raise WrongType(expected("a title, as text", title))
    if not isinstance(start, int):
        raise WrongType(expected("start, the number of the first line", start))
    if isinstance(marked, str) or not all(isinstance(n, int) for n in _items(marked)):
        raise WrongType(expected("marked, a list of line numbers", marked))
    return Listing(source.strip("\n"), language, title, start, frozenset(marked))


def _items(values: object) -> list[object]:
    return list(values) if isinstance(values, (list, tuple, set, frozenset, range)) else [None]
