"""A small table for a lesson: rows that a cell has computed, shown as HTML and as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from hypkit.errors import WrongType, WrongValue, expected, needs
from hypkit.pictures import html

Value = str | int | None


@dataclass(frozen=True)
class Rows:
    """A table as show_rows() makes it: headings, and rows of text, numbers, or None for "none"."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...] = field(repr=False)
    title: str = ""

    def _repr_html_(self) -> str:
        cells = [
            [_marked(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows
        ]
        return html.table(self._columns(), cells, caption=self.title)

    def _columns(self) -> list[html.Column]:
        return [
            html.Column(head, align="right" if self._counts(place) else "left")
            for place, head in enumerate(self.heads)
        ]

    def _counts(self, place: int) -> bool:
        """Return whether a column holds nothing but numbers."""
        cells = [row[place] for row in self.rows if row[place] is not None]
        return bool(cells) and all(isinstance(cell, int) for cell in cells)

    def __repr__(self) -> str:
        lines = [self.heads, *([_plain(cell) for cell in row] for row in self.rows)]
        wide = [max(len(line[place]) for line in lines) for place in range(len(self.heads))]
        text = [
            "  ".join(
                f"{cell:>{wide[n]}}" if self._counts(n) else f"{cell:{wide[n]}}"
                for n, cell in enumerate(line)
            ).rstrip()
            for line in lines
        ]
        return "\n".join(([self.title] if self.title else []) + text)


def show_rows(heads: Sequence[str], rows: Iterable[Sequence[Value]], title: str = "") -> Rows:
    """Show rows as a table.

    Args:
        heads: a heading for each column.
        rows: lists with a cell for each column: text, a whole number, or None for "there is none".
            Text between backquotes is code, and `[words](https://...)` a link.
        title: a line above the table.

    Returns:
        A table, which a cell shows.

    Raises:
        TypeError: for headings that are one text, or a cell of another kind.
        ValueError: for a row that has not as many cells as there are headings.
    """
    if not isinstance(heads, list | tuple) or not all(isinstance(head, str) for head in heads):
        raise WrongType(expected("a list of headings", heads))
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise WrongType(expected("rows, a list of cells each", rows))
    needs(str, "a text as the title", title)
    kept = []
    for row in rows:
        needs((list, tuple), "a list of cells as a row", row)
        cells = tuple(row)
        if len(cells) != len(heads):
            raise WrongValue(expected(f"rows of {len(heads)} cells, one for each heading", row))
        for cell in cells:
            if not (cell is None or isinstance(cell, str | int)):
                raise WrongType(expected("a cell that is text, a whole number or None", cell))
        kept.append(cells)
    return Rows(tuple(heads), tuple(kept), title)


_SPECIAL = re.compile(r"`([^`]+)`|\[([^\]]+)\]\((https://[^\s)]+)\)")


def _marked(text: str) -> html.Html:
    """Return a cell as HTML: what stands between backquotes as code, [words](https://...) as a link."""
    found, at = [], 0
    for match in _SPECIAL.finditer(text):
        code, words, url = match.groups()
        found.append(html.words(text[at : match.start()]))
        found.append(
            html.code(code)
            if code
            else html.Html(f'<a href="{escape(url)}">{html.words(words)}</a>')
        )
        at = match.end()
    return html.Html("".join(found) + html.words(text[at:]))


def _plain(cell: Value) -> str:
    if cell is None:
        return "-"
    return _SPECIAL.sub(lambda match: match[1] or match[2], str(cell))
