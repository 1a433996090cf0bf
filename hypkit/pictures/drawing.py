"""What every picture is drawn with: colours, canvas, and the alternative text."""

from __future__ import annotations

import base64
import html
import io
from contextlib import AbstractContextManager

from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours, told apart by colour-blind readers; the hatch tells them apart in grey.
OKABE_ITO = {
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#BBBBBB",
}
PHASE_STYLE = {
    "host": (OKABE_ITO["sky blue"], ""),
    "entry": (OKABE_ITO["orange"], "//"),
    "dispatch": (OKABE_ITO["vermillion"], "xx"),
    "call": (OKABE_ITO["yellow"], ".."),
    "handler": (OKABE_ITO["grey"], ""),
    "return": (OKABE_ITO["purple"], "\\\\"),
    "stub": (OKABE_ITO["green"], "++"),
    "panic": (OKABE_ITO["blue"], "**"),
}
# One look per call in a comparison, in the order given.
CALL_STYLES = (
    (OKABE_ITO["sky blue"], ""),
    (OKABE_ITO["orange"], "//"),
    (OKABE_ITO["green"], ".."),
    (OKABE_ITO["purple"], "xx"),
    (OKABE_ITO["yellow"], "\\\\"),
    (OKABE_ITO["grey"], "++"),
)
DPI = 150
_LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
}


class Picture:
    """A picture with the text that stands in its stead for whoever cannot see it."""

    def __init__(self, png: bytes, alt: str, width: int) -> None:
        self.png, self.alt, self.width = png, alt, width  # width: on the page, in CSS pixels

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode("ascii")
        return (
            f'<img alt="{html.escape(self.alt)}" width="{self.width}" '
            f'style="max-width: 100%; height: auto" src="data:image/png;base64,{data}">'
        )

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


def figure(fig: Figure, alt: str) -> Picture:
    """A matplotlib figure as a Picture. ValueError when *alt* does not say what it shows."""
    if not isinstance(alt, str) or len(alt.split()) < 3:
        raise ValueError(f"alt text {alt!r}: say in a sentence what the picture shows")
    drawn, small = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png", dpi=DPI)
    # With a palette the picture has half the bytes. Neither date nor version goes into the file:
    # equal figures are equal bytes.
    Image.open(drawn).convert("RGB").quantize(256).save(small, format="png", optimize=True)
    return Picture(small.getvalue(), " ".join(alt.split()), round(fig.get_figwidth() * 96))


def canvas(width: float, height: float) -> Figure:
    """An empty figure of our look, in inches, apart from pyplot and from the reader's settings."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def look() -> AbstractContextManager[None]:
    """A context in which figures are drawn our way, whatever the reader's matplotlib is set to."""
    return style.context(["default", _LOOK], after_reset=True)
