"""A small SVG canvas for drawings that must be read at any size."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass

# Ink, and pale fills. A fill repeats what a box says in words: grey print loses nothing.
INK, DIM = "#1b1f24", "#50575f"
FILLS = {"kernel": "#dcebfa", "code": "#fde3d0", "data": "#e6f2d8", "gap": "#ffffff"}
FONT = "DejaVu Sans, Arial, sans-serif"
MONO = "DejaVu Sans Mono, Consolas, monospace"
_ELS = {"image": 1, "linear": 1, "hyp": 2}  # who translates an address of a space; physical: none
NOBODY = "nobody"  # whom an empty slot's number means


@dataclass(frozen=True)
class Drawing:
    """A drawing with its alternative text, and the same facts as a table.

    svg: the drawing; alt: what it shows; heads, rows: the table, every cell a str.
    """

    title: str
    svg: str
    alt: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_svg(self) -> str:
        """The drawing as SVG, for print."""
        return self.svg

    def to_table(self) -> str:
        """The table as HTML."""
        heads = "".join(
            f'<th scope="col" style="text-align:left">{html.escape(head)}</th>'
            for head in self.heads
        )
        rows = "\n".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(first)}</th>'
            + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in rest)
            + "</tr>"
            for first, *rest in self.rows
        )
        return (
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>"
        )

    def _repr_html_(self) -> str:
        image = base64.b64encode(self.svg.encode()).decode()
        return (
            f'<img alt="{html.escape(self.alt)}" style="max-width: 100%; height: auto" '
            f'src="data:image/svg+xml;base64,{image}">\n'
            f"<details><summary>The same as a table</summary>{self.to_table()}</details>"
        )

    def __repr__(self) -> str:
        return f"Drawing: {self.title}, {len(self.rows)} rows"


class _Svg:
    """A drawing under way: shapes in the order they were added."""

    def __init__(self, width: int, title: str, alt: str) -> None:
        self.width, self.title, self.alt = width, title, alt
        self.shapes: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, fill: str, dash: str = "") -> None:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" '
            f'stroke="{INK}"{dashed}/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: int = 14,
        *,
        mono: bool = False,
        bold: bool = False,
        anchor: str = "start",
        fill: str = INK,
    ) -> None:
        weight = "bold" if bold else "normal"
        self.shapes.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-family="{MONO if mono else FONT}" '
            f'text-anchor="{anchor}" fill="{fill}" font-weight="{weight}">'
            f"{html.escape(words)}</text>"
        )

    def arrow(self, x: float, y: float, to: float) -> None:
        self.shapes.append(
            f'<path d="M{x:g} {y:g}H{to - 7:g}m0 -4l7 4l-7 4z" fill="{INK}" stroke="{INK}"/>'
        )

    def wave(self, x: float, y: float, w: float) -> None:
        """A torn edge: addresses are left out here."""
        steps = "".join(f"l{w / 16:g} {-4 if n % 2 else 4}" for n in range(16))
        self.shapes.append(f'<path d="M{x:g} {y:g}{steps}" fill="none" stroke="{DIM}"/>')

    def done(self, height: float) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height:g}" '
            f'width="{self.width}" height="{height:g}" role="img">'
            f"<title>{html.escape(self.title)}</title><desc>{html.escape(self.alt)}</desc>"
            f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(self.shapes)}</svg>\n'
        )
