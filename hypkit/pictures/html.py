"""The one builder of HTML tables, and of the machine words in them.

Numbers, registers and labels are monospaced, without ligatures, and spelled in one way. Every table
has scopes for screen readers, columns of known widths, and cells that wrap rather than push others
off a narrow page. Styles stand in the elements: GitHub drops them and heeds align="left".
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


class Html(str):
    """A piece of HTML: it goes into a table as it is, where other text is escaped."""

    __slots__ = ()


Cell = str | int | None

_PLAIN = "font-variant-ligatures: none"
# What is a word of the machine within a sentence: numbers in hexadecimal, registers, labels, and
# the names of fields and instructions that are written in capitals with an underscore.
_MACHINE = re.compile(
    r"0x[0-9a-fA-F]+|\b(?:[xw](?:[12]?[0-9]|30)|xzr|wzr|sp)\b"
    r"|\b[A-Za-z_.]\w*_\w+(?:\+0x[0-9a-f]+)?"
)


def code(text: str) -> Html:
    """Return text as code; a long label may break after its underscores, text at its blanks."""
    broken = re.sub(r"(?<=[A-Za-z0-9])(_+)(?=\w)", r"\1<wbr>", html.escape(text))
    return Html(f'<code style="overflow-wrap: anywhere">{broken}</code>') if text else Html("")


def words(text: str) -> Html:
    """Return a sentence with its numbers, registers and labels monospaced."""
    found, at = [], 0
    for match in _MACHINE.finditer(text):
        found.append(html.escape(text[at : match.start()]))
        found.append(f"<samp>{html.escape(match[0])}</samp>")
        at = match.end()
    return Html("".join(found) + html.escape(text[at:]))


@dataclass(frozen=True)
class Column:
    """A column of a table.

    head: its heading; about: a longer explanation, as a tooltip; align: "right" for numbers that
    are compared; width: in CSS, such as "4em" or "30%".
    """

    head: str
    about: str = ""
    align: Literal["left", "right"] = "left"
    width: str = ""


@dataclass(frozen=True)
class Group:
    """Rows under a heading of their own; a heading without rows is a note between groups."""

    heading: str
    rows: Sequence[Sequence[Cell]] = ()


def _style(align: str) -> str:
    return f' align="{align}" style="text-align: {align}; vertical-align: top"'


def _cell(value: Cell) -> str:
    if value is None:
        return "&ndash;"
    if isinstance(value, int):
        return f"<samp>{value}</samp>"
    return value if isinstance(value, Html) else html.escape(value)


def table(
    columns: Sequence[Column | str],
    rows: Iterable[Sequence[Cell] | Group],
    *,
    caption: str = "",
    row_heads: bool = True,
) -> str:
    """Return an HTML table.

    Args:
        columns: a Column or its heading for each column.
        rows: rows of cells, or Groups of such rows. A cell is Html, text (which is escaped), a
            number, or None for "there is none", which is shown as a dash.
        caption: what the table shows.
        row_heads: whether the first cell of a row is its heading.

    Returns:
        The table, a line for each row.

    Raises:
        ValueError: for a row that has not as many cells as there are columns.
    """
    every = [Column(column) if isinstance(column, str) else column for column in columns]
    groups, plain = [], []
    for row in rows:
        if isinstance(row, Group):
            groups.append(_group(every, row, row_heads))
        else:
            plain.append(_row(every, row, row_heads))
    if plain:
        groups.insert(0, "<tbody>\n" + "\n".join(plain) + "\n</tbody>")
    heads = "".join(
        f'<th scope="col"{_style(column.align)}'
        + (f' title="{html.escape(column.about)}"' if column.about else "")
        + f">{html.escape(column.head)}</th>"
        for column in every
    )
    wide = ""
    if any(column.width for column in every):
        wide = (
            "<colgroup>"
            + "".join(
                f'<col style="width: {column.width}">' if column.width else "<col>"
                for column in every
            )
            + "</colgroup>"
        )
    fixed = (
        "; table-layout: fixed; width: 100%; max-width: 66em; overflow-wrap: anywhere"
        if wide
        else ""
    )
    title = f"<caption{_style('left')}>{words(caption)}</caption>" if caption else ""
    return (
        f'<table style="{_PLAIN}{fixed}">'
        f"{title}{wide}<thead><tr>{heads}</tr></thead>\n" + "\n".join(groups) + "</table>"
    )


def _row(columns: Sequence[Column], row: Sequence[Cell], row_heads: bool) -> str:
    if len(row) != len(columns):
        raise ValueError(f"expected {len(columns)} cells, one for each column; got {len(row)}")
    cells = []
    for number, (column, value) in enumerate(zip(columns, row, strict=True)):
        tag, scope = ("th", ' scope="row"') if row_heads and not number else ("td", "")
        cells.append(f"<{tag}{scope}{_style(column.align)}>{_cell(value)}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def _group(columns: Sequence[Column], group: Group, row_heads: bool) -> str:
    heading = (
        f'<tr><th colspan="{len(columns)}" scope="rowgroup"{_style("left")}>'
        f"{words(group.heading)}</th></tr>"
    )
    rows = [_row(columns, row, row_heads) for row in group.rows]
    return "<tbody>\n" + "\n".join([heading, *rows]) + "\n</tbody>"
