"""The canvas that every picture of the kit is drawn on: SVG, in the palette's inks, for both themes.

It is the kit's only drawing stack. Text stays text, hatches stay lines, equal pictures are equal
bytes, and drawing touches nothing global, so any number of threads may draw at once.
"""

from __future__ import annotations

import html
import math

from hypkit.pictures.palette import (
    DIM,
    INK,
    MONO,
    PAPER,
    SANS,
    Hatch,
    Ink,
    Level,
    Look,
    Outcome,
    Theme,
)

WIDTH = 720  # of a picture on the page, in CSS pixels

# Advance widths of DejaVu Sans, the widest font of SANS, for U+0020 to U+007E; in 1/100 em.
_ADVANCE = tuple(
    map(
        int,
        "32 40 46 84 64 95 78 27 39 39 50 84 32 36 32 34 64 64 64 64 64 64 64 64 64 64 34 34 84 84 "
        "84 53 100 68 69 70 77 63 58 77 75 29 29 66 56 86 75 79 60 79 69 63 61 73 68 99 69 61 69 "
        "39 34 39 84 50 50 61 63 55 63 62 35 63 63 28 28 58 28 97 63 61 63 63 41 52 39 63 59 82 59 "
        "59 52 64 34 64 84".split(),
    )
)
_BOLD = 1.13  # how much wider bold text is, at most
_HATCHES: dict[str, tuple[int, str]] = {  # size of a tile, path in it
    "/": (7, "M-1 1l2 -2M0 7l7 -7M6 8l2 -2"),
    "\\": (7, "M-1 6l2 2M0 0l7 7M6 -1l2 2"),
    "x": (7, "M0 0l7 7M0 7l7 -7"),
    "+": (7, "M3.5 0v7M0 3.5h7"),
    "-": (5, "M0 2.5h5"),
    ".": (5, "M2 2.5h1.2"),
    "*": (8, "M4 1v6M1.4 2.5l5.2 3M1.4 5.5l5.2 -3"),
}


def width_of(words: str, size: float = 13, *, mono: bool = False, bold: bool = False) -> float:
    """Return how wide a line of text is at most, in CSS pixels."""
    if mono:
        return 0.61 * size * len(words)
    ems = sum(_ADVANCE[ord(c) - 32] if " " <= c <= "~" else 90 for c in words) / 100
    return ems * size * (_BOLD if bold else 1)


def _n(value: float) -> str:
    """Spell a coordinate: at most two decimals, no exponent, no trailing zero."""
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-0", "0" if -0.005 < value < 0 else "-0")


class Canvas:
    """A picture under way: shapes in the order in which they were added.

    Args:
        width: of the picture, in CSS pixels.
        title: what a tooltip shows.
        alt: what the picture shows, in sentences.
    """

    def __init__(self, width: float, title: str, alt: str) -> None:
        self.width, self.title, self.alt = width, title, alt
        self._shapes: list[str] = []
        self._inks: dict[str, Ink] = {}
        self._hatches: dict[str, Ink] = {}

    def _fill(self, ink: Ink) -> str:
        self._inks[ink.name] = ink
        return f'fill="{ink.light}" class="f-{ink.name}"'

    def _stroke(self, ink: Ink, weight: float, dash: str = "") -> str:
        self._inks[ink.name] = ink
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        return (
            f'fill="none" stroke="{ink.light}" class="s-{ink.name}" '
            f'stroke-width="{_n(weight)}"{dashed}'
        )

    def box(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        fill: Ink | Look | None = None,
        *,
        stroke: Ink | None = INK,
        weight: float = 1,
        dash: str = "",
        hatch: Hatch = "",
    ) -> None:
        """Add a rectangle with its top left corner at (x, y); a Look brings its hatch along."""
        ground = fill
        if isinstance(fill, Look):
            ground, hatch = fill.fill, fill.hatch
        where = f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}" '
        if isinstance(ground, Ink):
            self._shapes.append(f"{where}{self._fill(ground)}/>")
        if hatch:
            self._inks[INK.name] = INK
            self._hatches[hatch] = INK
            self._shapes.append(f'{where}fill="url(#h{ord(hatch)})"/>')
        if stroke is not None:
            self._shapes.append(f"{where}{self._stroke(stroke, weight, dash)}/>")

    def level(self, x: float, y: float, w: float, h: float, level: Level) -> None:
        """Add a box in the colours of an exception level, with the stroke that it has in print."""
        self.box(x, y, w, h, level.fill, stroke=None)
        if level.stroke == "double":
            self.box(x, y, w, h, stroke=level.ink)
            self.box(x + 3, y + 3, w - 6, h - 6, stroke=level.ink)
        else:
            dash = {"dashed": "6 3", "dotted": "1.5 3"}.get(level.stroke, "")
            self.box(x, y, w, h, stroke=level.ink, weight=1.5, dash=dash)

    def outcome(self, x: float, y: float, w: float, h: float, outcome: Outcome) -> None:
        """Add a box in the colours of an outcome, with its sign in the middle."""
        self.box(x, y, w, h, outcome.fill, weight=0.8)
        size = min(13.0, h - 3)
        self.text(
            x + w / 2, y + h / 2 + size * 0.36, outcome.sign, size,
            bold=True, anchor="middle", ink=outcome.ink,
        )  # fmt: skip

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 13,
        *,
        mono: bool = False,
        bold: bool = False,
        italic: bool = False,
        anchor: str = "start",
        ink: Ink = INK,
    ) -> None:
        """Add a line of text whose baseline begins ("start"), ends or has its "middle" at (x, y)."""
        family = html.escape(MONO if mono else SANS)
        style = (' font-weight="bold"' if bold else "") + (' font-style="italic"' if italic else "")
        end = f' text-anchor="{anchor}"' if anchor != "start" else ""
        self._shapes.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" font-family="{family}" '
            f'{self._fill(ink)}{style}{end} xml:space="preserve">{html.escape(words)}</text>'
        )

    def line(
        self, *points: tuple[float, float], ink: Ink = INK, weight: float = 1, dash: str = ""
    ) -> None:
        """Add a line through two or more points."""
        path = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        self._shapes.append(f'<path d="M{path}" {self._stroke(ink, weight, dash)}/>')

    def arrow(
        self, *points: tuple[float, float], ink: Ink = INK, weight: float = 1.2, dash: str = ""
    ) -> None:
        """Add a line through two or more points, with a head at the last."""
        (x0, y0), (x1, y1) = points[-2:]
        length = math.hypot(x1 - x0, y1 - y0) or 1
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        back = (x1 - 7 * dx, y1 - 7 * dy)
        self.line(*points[:-1], back, ink=ink, weight=weight, dash=dash)
        left = (back[0] - 4 * dy, back[1] + 4 * dx)
        right = (back[0] + 4 * dy, back[1] - 4 * dx)
        path = "L".join(f"{_n(x)} {_n(y)}" for x, y in ((x1, y1), left, right))
        self._shapes.append(f'<path d="M{path}z" {self._fill(ink)}/>')

    def wave(self, x: float, y: float, w: float) -> None:
        """Add a torn edge from (x, y) to the right: something is left out here."""
        steps = "".join(f"l{_n(w / 16)} {-4 if n % 2 else 4}" for n in range(16))
        self._shapes.append(f'<path d="M{_n(x)} {_n(y)}{steps}" {self._stroke(DIM, 1)}/>')

    def bracket(self, x: float, to: float, y: float) -> None:
        """Add a bracket that opens downwards, from x to *to*, its back at y."""
        self.line((x, y + 6), (x, y), (to, y), (to, y + 6))

    def svg(self, height: float, theme: Theme | None = None) -> str:
        """Return the picture as an SVG document.

        Args:
            height: of the picture, in CSS pixels.
            theme: "light" or "dark" fixes the colours, for paper and for programs without media
                queries; None lets the document follow the colour scheme of the page around it.
        """
        if theme is None:
            rules = "".join(
                f".f-{ink.name}{{fill:{ink.dark}}}.s-{ink.name}{{stroke:{ink.dark}}}"
                for _, ink in sorted({**self._inks, PAPER.name: PAPER}.items())
            )
            style = f"<style>@media screen and (prefers-color-scheme:dark){{{rules}}}</style>"
        else:
            style = ""
        tiles = "".join(
            f'<pattern id="h{ord(hatch)}" width="{_HATCHES[hatch][0]}" '
            f'height="{_HATCHES[hatch][0]}" patternUnits="userSpaceOnUse">'
            f'<path d="{_HATCHES[hatch][1]}" {self._stroke(ink, 0.7)}/></pattern>'
            for hatch, ink in sorted(self._hatches.items())
        )
        paper = f'<rect width="100%" height="100%" fill="{PAPER.light}" class="f-{PAPER.name}"/>'
        body = f"{f'<defs>{tiles}</defs>' if tiles else ''}{paper}{''.join(self._shapes)}"
        if theme == "dark":
            for ink in (*self._inks.values(), PAPER):
                body = body.replace(
                    f'"{ink.light}" class="f-{ink.name}"', f'"{ink.dark}" class="f-{ink.name}"'
                ).replace(
                    f'"{ink.light}" class="s-{ink.name}"', f'"{ink.dark}" class="s-{ink.name}"'
                )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self.width)} {_n(height)}" '
            f'width="{_n(self.width)}" height="{_n(height)}" role="img" '
            f'aria-label="{html.escape(self.alt)}">'
            f"<title>{html.escape(self.title)}</title>{style}{body}</svg>\n"
        )
