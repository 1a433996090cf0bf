"""One palette for the whole kit: each kind of fact has a channel of its own, light and dark.

| fact | channel | in black and white |
|---|---|---|
| level | hue: blue EL1, orange EL2, green VM, magenta EL0 | the stroke: solid, double, dashed, dotted |
| phase | lightness within the hue of its level | the hatch |
| variant | lightness of grey, in the order given | the same |
| outcome | a sign; red is kept for a panic | the sign |

Pictures draw with these values, and css() hands the same values to the stepper and the tables, so a
colour means one thing throughout the course.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Theme = Literal["light", "dark"]


@dataclass(frozen=True)
class Ink:
    """A colour by its name, as #rrggbb on a light and on a dark ground."""

    name: str
    light: str
    dark: str

    def of(self, theme: Theme) -> str:
        """Return the colour for *theme*, as #rrggbb."""
        return self.light if theme == "light" else self.dark


PAPER = Ink("paper", "#ffffff", "#111111")  # JupyterLab's own two grounds
INK = Ink("ink", "#1b1f24", "#eceff3")
DIM = Ink("dim", "#50575f", "#b4bcc6")
LINE = Ink("line", "#8b949e", "#6b7480")
SOFT = Ink("soft", "#f1f4f7", "#23282e")
BAD = Ink("bad", "#a3133f", "#ff9db8")


@dataclass(frozen=True)
class Level:
    """How an exception level, or the virtual machine, looks.

    ink: for words and strokes on paper; fill: a ground on which INK is read; stroke: "solid",
    "double", "dashed" or "dotted", which tells the level where there is no colour.
    """

    name: str
    words: str
    ink: Ink
    fill: Ink
    stroke: Literal["solid", "double", "dashed", "dotted"]


def _level(
    name: str,
    words: str,
    ink: tuple[str, str],
    fill: tuple[str, str],
    stroke: Literal["solid", "double", "dashed", "dotted"],
) -> Level:
    return Level(name, words, Ink(name, *ink), Ink(f"{name}-bg", *fill), stroke)


LEVELS = {
    level.name: level
    for level in (
        _level("el0", "EL0, a user program", ("#7a0f5c", "#ff7ad9"), ("#f9e6f3", "#3b1230"),
               "dotted"),
        _level("el1", "EL1, the host", ("#0a4f96", "#8cc4ff"), ("#e6f0fb", "#14283d"), "solid"),
        _level("el2", "EL2, the hyp", ("#93380a", "#ffb380"), ("#fdeee3", "#3a2012"), "double"),
        _level("vm", "EL1 of a virtual machine", ("#00664c", "#6fdcb8"), ("#dff4ec", "#0b3326"),
               "dashed"),
    )
}  # fmt: skip

Hatch = Literal["", "/", "\\", "x", "+", ".", "-", "*"]


@dataclass(frozen=True)
class Look:
    """How a box looks: the ground, and the hatch over it."""

    fill: Ink
    hatch: Hatch = ""


# The phases of cost.PHASES: a shade of the level that executes them, and a hatch of their own. The
# host's hue is for EL1; at EL2 (VHE) the lane says so. Panic alone has the colour of a panic.
PHASE = {
    "host": Look(Ink("phase-host", "#b5d3f2", "#1f4a75")),
    "entry": Look(Ink("phase-entry", "#fbd9bf", "#5c3016"), "/"),
    "dispatch": Look(Ink("phase-dispatch", "#f0a56a", "#9a4d17"), "x"),
    "call": Look(Ink("phase-call", "#f7c196", "#7a3d14"), "."),
    "handler": Look(Ink("phase-handler", "#fdeee3", "#3a2012"), "-"),
    "return": Look(Ink("phase-return", "#f9cdaa", "#6a3615"), "\\"),
    "stub": Look(Ink("phase-stub", "#f4b27e", "#8a4415"), "+"),
    "panic": Look(Ink("phase-panic", "#e07a98", "#8c1c42"), "*"),
}

# One shade for each call or variant that is compared, in the order given.
VARIANT = tuple(
    Look(Ink(f"variant-{number}", light, dark))
    for number, (light, dark) in enumerate(
        (("#f1f4f7", "#2b3138"), ("#8f99a5", "#7d8895"), ("#c6ccd3", "#4b545e"),
         ("#59626c", "#b9c2cc"), ("#2a3036", "#eceff3")), 1
    )
)  # fmt: skip


def variant(position: int) -> Look:
    """Return the look of the variant at *position*, from 0; after the last shade they repeat."""
    return VARIANT[position % len(VARIANT)]


@dataclass(frozen=True)
class Outcome:
    """How the end of a call looks: a sign, the ground under it, and the ink of the sign."""

    words: str
    sign: str
    fill: Ink
    ink: Ink


_ON = Ink("on-solid", "#ffffff", "#111111")  # ink on a solid ground

OUTCOME = {
    "returned": Outcome(
        "came back", "✓", Ink("outcome-returned", "#ffffff", "#1d2126"), INK
    ),
    "stub": Outcome("a stub call did its work", "◇", SOFT, INK),
    "refused": Outcome(
        "refused with an error number", "−", Ink("outcome-refused", "#f3e3a1", "#574a00"), INK
    ),
    "panicked": Outcome("EL2 panicked", "✕", BAD, _ON),
    "stopped": Outcome(
        "the machine stopped", "!", Ink("outcome-stopped", "#b3bac2", "#5a6570"), INK
    ),
}  # fmt: skip

# Fonts: the first that a machine has. Both are also in the handout's own set.
SANS = 'system-ui, "Segoe UI", "DejaVu Sans", Arial, sans-serif'
MONO = '"DejaVu Sans Mono", Menlo, Consolas, monospace'

CODE = {
    "comment": Ink("code-comment", "#57606a", "#a3adb8"),
    "keyword": Ink("code-keyword", "#0a4f96", "#8cc4ff"),
    "register": Ink("code-register", "#00664c", "#6fdcb8"),
    "number": Ink("code-number", "#93380a", "#ffb380"),
    "string": Ink("code-string", "#6b2c91", "#d9a8f5"),
    "label": Ink("code-label", "#a3133f", "#ff9db8"),
}


def inks() -> dict[str, Ink]:
    """Return every colour of the kit by its name."""
    every = [PAPER, INK, DIM, LINE, SOFT, BAD, _ON]
    for level in LEVELS.values():
        every += [level.ink, level.fill]
    every += [look.fill for look in (*PHASE.values(), *VARIANT)]
    every += [outcome.fill for outcome in OUTCOME.values()]
    every += CODE.values()
    return {ink.name: ink for ink in every}


def css(selector: str = ":root", theme: Theme = "light") -> str:
    """Return a CSS rule that sets --hk-NAME for every colour of the kit, and the two fonts.

    Args:
        selector: what the rule is for, such as ".hk" or '[data-jp-theme-light="false"] .hk'.
        theme: which of the two values to give.

    Returns:
        One rule as text, ending in a newline; a stylesheet has one for each theme.
    """
    lines = [f"  --hk-{name}: {ink.of(theme)};" for name, ink in inks().items()]
    lines += [f"  --hk-sans: {SANS};", f"  --hk-mono: {MONO};"]
    return "\n".join([f"{selector} {{", *lines, "}"]) + "\n"
