"""A table that a lesson shows: in colours and columns in a notebook, padded in a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypkit.errors import WrongType, WrongValue, expected
from hypkit.pictures import html


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of text under headings. Between backquotes is code.

    title: a line above; about: a sentence, for pages that have room for one.
    """

    title: str
    about: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = field(repr=False)

    def _repr_html_(self) -> str:
        cells = [[_marked(cell) for cell in row] for row in self.rows]
        heads = [html.Column(head.replace("`", "")) for head in self.heads]
        return html.table(heads, cells, caption=self.title)

    def __repr__(self) -> str:
        rows = [self.heads, *self.rows]
        rows = [tuple(cell.replace("`", "") for cell in row) for row in rows]
        wide = [max(len(row[n]) for row in rows) for n in range(len(self.heads))]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)) for row in rows
        ]
        return "\n".join(line.rstrip() for line in ([self.title] if self.title else []) + lines)


def show_rows(heads: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> Table:
    """Show rows of values as a table.

    Args:
        heads: the headings of the columns.
        rows: a value for each heading; text is shown as it is (between backquotes: as code), other
            values as print() shows them.
        title: a line above.

    Raises:
        TypeError: headings or rows that are no lists.
        ValueError: a row that has not as many values as there are headings.
    """
    if isinstance(heads, str) or isinstance(rows, str):
        raise WrongType(expected("a list of headings and a list of rows", heads))
    made = [tuple(str(value) for value in row) for row in rows]
    for row in made:
        if len(row) != len(heads):
            raise WrongValue(expected(f"{len(heads)} values, one for each heading", row))
    return Table(title, "", tuple(heads), tuple(made))


def _marked(text: str) -> html.Html:
    parts = re.split(r"`([^`]+)`", text)
    return html.Html("".join(html.code(p) if n % 2 else html.words(p) for n, p in enumerate(parts)))
