"""A picture with its alternative text, and the same facts as a table where it has one."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hypkit.errors import WrongType, WrongValue, expected
from hypkit.pictures import html as tables
from hypkit.pictures.palette import Theme
from hypkit.pictures.svg import Canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# An <img>, since JupyterLab shows no <svg> of a notebook that has not been run here. Its picture
# follows the colour scheme that this rule takes from JupyterLab's theme or VS Code's; where the
# rule is dropped (GitHub), the reader's own preference. The picture has a ground of its own, so
# that it can be read even where the page guesses wrong.
STYLE = (
    "<style>.hk-picture{max-width:100%;height:auto;color-scheme:light}"
    '@media screen{[data-jp-theme-light="false"] .hk-picture,.vscode-dark .hk-picture'
    "{color-scheme:dark}}</style>"
)


class Picture:
    """A picture, the text that stands for it where it cannot be seen, and its facts as a table.

    title: a line; alt: what it shows, in sentences; svg: the document, which follows the page's
    colour scheme; width: on the page, in CSS pixels; heads, rows: the table, every cell a str, both
    empty where the alternative text says all.
    """

    def __init__(
        self,
        canvas: Canvas,
        height: float,
        heads: Sequence[str] = (),
        rows: Sequence[Sequence[str]] = (),
    ) -> None:
        alt = " ".join(canvas.alt.split()) if isinstance(canvas.alt, str) else canvas.alt
        _says_something(alt)
        self._canvas, self._height = canvas, height
        self.title, self.alt, self.width = canvas.title, alt, round(canvas.width)
        self.heads, self.rows = tuple(heads), tuple(map(tuple, rows))
        self.svg = canvas.svg(height)

    def to_svg(self, theme: Theme = "light") -> str:
        """Return the picture as SVG in the colours of one theme, for print and other programs."""
        if not isinstance(theme, str) or theme not in ("light", "dark"):
            raise WrongValue(expected("'light' or 'dark'", theme))
        return self._canvas.svg(self._height, theme)

    def to_table(self) -> str:
        """Return the same facts as an HTML table, "" where the alternative text says all."""
        if not self.heads:
            return ""
        return tables.table(self.heads, self.rows, caption=self.title)

    def _repr_html_(self) -> str:
        shown = _image("svg+xml", self.svg.encode(), self.alt, self.width)
        if not self.heads:
            return shown
        return (
            f"{shown}\n<details><summary>The same as a table</summary>{self.to_table()}</details>"
        )

    def __repr__(self) -> str:
        facts = f", {len(self.rows)} rows" if self.heads else ""
        return f"Picture: {self.title}{facts}"


class Raster:
    """A learner's own matplotlib figure, with its alternative text. png: the image; width: CSS px."""

    def __init__(self, png: bytes, alt: str, width: int) -> None:
        self.png, self.alt, self.width = png, alt, width

    def _repr_html_(self) -> str:
        return _image("png", self.png, self.alt, self.width)

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


def figure(fig: Figure, alt: str) -> Raster:
    """Return a matplotlib figure of your own as a picture with alternative text.

    Args:
        fig: the figure; the kit's own pictures need none.
        alt: what it shows, in a sentence of three words or more.

    Raises:
        TypeError: for what is no figure.
        ValueError: for an *alt* that says nothing.
    """
    import io

    if not hasattr(fig, "savefig"):
        raise WrongType(expected("a matplotlib Figure", fig))
    _says_something(alt)
    drawn = io.BytesIO()
    # Without date and version, equal figures are equal bytes.
    fig.savefig(drawn, format="png", dpi=150, metadata={"Software": None})
    return Raster(drawn.getvalue(), " ".join(alt.split()), round(fig.get_figwidth() * 96))


def _says_something(alt: object) -> None:
    if not isinstance(alt, str) or len(re.findall(r"\w+", alt)) < 3:
        raise WrongValue(expected("alt text: a sentence that says what the picture shows", alt))


def _image(kind: str, data: bytes, alt: str, width: int) -> str:
    source = base64.b64encode(data).decode("ascii")
    return (
        f'{STYLE}<img class="hk-picture" alt="{html.escape(alt)}" width="{width}" '
        f'style="max-width: 100%; height: auto" src="data:image/{kind};base64,{source}">'
    )
