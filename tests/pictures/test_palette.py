"""The palette: read on both grounds, by the colour-blind, and in black and white."""

import re
from itertools import combinations

import pytest

from hypkit.cost import PHASES
from hypkit.pictures import palette
from hypkit.pictures.palette import CODE, LEVELS, OUTCOME, PHASE, VARIANT, Ink

THEMES = ("light", "dark")

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLIND = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998)),
    "deutan": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881)),
    "tritan": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def linear(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def luminance(colour):
    """Relative luminance, 0 to 1 (WCAG 2)."""
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(colour, blind):
    """CIE L*a*b* as somebody with that colour vision has it."""
    rgb = linear(colour)
    r, g, b = (
        min(1, max(0, sum(w * p for w, p in zip(row, rgb, strict=True)))) for row in BLIND[blind]
    )
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one, other, blind):
    """CIE76 colour difference; 2.3 is just noticeable."""
    pairs = zip(lab(one, blind), lab(other, blind), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


@pytest.mark.parametrize("theme", THEMES)
def test_every_ink_is_read_on_paper_and_ink_on_every_fill(theme):
    paper, ink = palette.PAPER.of(theme), palette.INK.of(theme)
    words = [palette.INK, palette.DIM, palette.BAD, *CODE.values()]
    for name, of_words in [(i.name, i) for i in words] + [(n, v.ink) for n, v in LEVELS.items()]:
        assert contrast(of_words.of(theme), paper) >= 4.5, name
    for level in LEVELS.values():
        assert contrast(ink, level.fill.of(theme)) >= 7, level.name
        assert contrast(level.ink.of(theme), level.fill.of(theme)) >= 4.5, level.name
    for outcome in OUTCOME.values():
        assert contrast(outcome.ink.of(theme), outcome.fill.of(theme)) >= 4.5, outcome.words
    for colour in CODE.values():
        assert contrast(colour.of(theme), palette.SOFT.of(theme)) >= 4.5, colour.name


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("blind", BLIND)
def test_levels_are_told_apart_by_hue_whatever_the_readers_eyes(theme, blind):
    for one, other in combinations(LEVELS.values(), 2):
        difference = apart(one.ink.of(theme), other.ink.of(theme), blind)
        assert difference > 10, (one.name, other.name, difference)


def test_levels_are_told_apart_in_black_and_white_by_their_stroke():
    assert len({level.stroke for level in LEVELS.values()}) == len(LEVELS)


def test_every_phase_has_a_look_and_a_hatch_of_its_own():
    assert list(PHASE) == list(PHASES)
    assert len({look.hatch for look in PHASE.values()}) == len(PHASE)


@pytest.mark.parametrize("theme", THEMES)
def test_variants_are_told_apart_by_lightness_alone(theme):
    for one, other in combinations(VARIANT, 2):
        assert contrast(one.fill.of(theme), other.fill.of(theme)) > 1.3


def test_variants_repeat_after_the_last_shade():
    assert palette.variant(len(VARIANT)) == palette.variant(0) != palette.variant(1)


def test_outcomes_are_told_apart_by_their_sign():
    assert len({outcome.sign for outcome in OUTCOME.values()}) == len(OUTCOME)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("blind", BLIND)
def test_a_panic_stands_out_from_every_other_outcome_and_phase(theme, blind):
    panic = OUTCOME["panicked"].fill.of(theme)
    for name, outcome in OUTCOME.items():
        assert name == "panicked" or apart(outcome.fill.of(theme), panic, blind) > 20, name
    for name, look in PHASE.items():
        panic_phase = PHASE["panic"].fill.of(theme)
        assert name == "panic" or apart(look.fill.of(theme), panic_phase, blind) > 10, name


def test_no_name_has_two_colours():
    known = palette.inks()
    everything = [*known.values(), *(o.ink for o in OUTCOME.values())]
    assert all(known[ink.name] == ink for ink in everything)
    assert all(re.fullmatch("#[0-9a-f]{6}", c) for i in known.values() for c in (i.light, i.dark))


def test_the_css_sets_every_colour_once_for_a_theme():
    for theme in THEMES:
        text = palette.css('[data-x="y"] .hk', theme)
        assert text.startswith('[data-x="y"] .hk {\n') and text.endswith("}\n")
        found = re.findall(r"--hk-([\w-]+): (#[0-9a-f]{6});", text)
        assert dict(found) == {name: ink.of(theme) for name, ink in palette.inks().items()}
        assert len(found) == len(palette.inks())


def test_an_ink_has_a_value_for_each_theme():
    assert Ink("x", "#000000", "#ffffff").of("dark") == "#ffffff"
