"""Printed assembly and C: every character is there, in its colour, and no line number is copied."""

import html
import re
from pathlib import Path

import pytest

from hypkit import Machine
from hypkit.asm import assemble
from hypkit.header import DEFINES
from hypkit.pictures.source import show_source
from notebooks.src.rules import _html

GUEST = sorted((Path(__file__).parents[2] / "hypkit" / "kernel" / "guest").iterdir())


def text_of(page):
    """What is copied from the page."""
    code = re.search(r"<pre[^>]*>(.*)</pre>", page, re.S)[1]
    code = re.sub(r'<span class="g"[^>]*>.*?</span>', "", code)
    return html.unescape(re.sub(r"<[^>]*>", "", code))


def kinds(text, language):
    """(kind, token) of each coloured token."""
    page = show_source(text, language)._repr_html_()
    return [
        (kind, html.unescape(token))
        for kind, token in re.findall(r'<span class="([a-fh-ln-z])">(.*?)</span>', page)
    ]


@pytest.mark.parametrize("path", GUEST, ids=lambda path: path.name)
def test_every_file_of_the_guest_is_shown_whole(path):
    text = path.read_text(encoding="utf-8").strip("\n")
    shown = show_source(text, "c" if path.suffix == ".h" else "asm")
    page = shown._repr_html_()
    assert text_of(page) == text and _html(page) == []
    assert page.count('class="g"') == text.count("\n") + 1


def test_assembly_has_its_colours():
    assert kinds("3: ldr x10, [sp, #0x10] // to x30", "asm") == [
        ("l", "3"), ("r", "x10"), ("r", "sp"), ("n", "#0x10"), ("c", "// to x30"),
    ]  # fmt: skip
    assert kinds("        .if no_base", "asm") == [("k", "        .if")]
    assert kinds("mrs x0, esr_el2", "asm") == [("r", "x0"), ("r", "esr_el2")]
    assert kinds("b 1b", "asm") == [("n", "1b")]


def test_c_has_its_colours():
    assert kinds("#define A_B 0x10 /* x\ny */", "c") == [
        ("k", "#define"), ("l", "A_B"), ("n", "0x10"), ("c", "/* x"), ("c", "y */"),
    ]  # fmt: skip
    assert kinds("enum { a, b };", "c") == [("k", "enum")]


def test_no_text_becomes_html():
    page = show_source('// <script>alert("x")</script>', "asm", title="<b>")._repr_html_()
    assert "<script>" not in page and "<b>" not in page and "&lt;b&gt;" in page


def test_lines_are_numbered_from_where_the_reader_says_and_marked():
    page = show_source("a\nb\nc", "asm", start=9, marked=[10])._repr_html_()
    assert re.findall(r'aria-hidden="true">([ \d]+?)  <', page) == [" 9", "10", "11"]
    assert re.findall(r'<span class="m">.*?</span>(\w)</span>', page) == ["b"]


def test_a_program_shows_its_own_text():
    program = assemble("nop\nret", name="mine.S")
    assert text_of(show_source(program)._repr_html_()) == "nop\nret"
    assert repr(show_source(program)) == "Listing: mine.S: 2 lines of assembly"
    assert repr(show_source("int x;", "c")) == "Listing: 1 line of C"
    with Machine("numbered", seed=1) as machine:
        shown = show_source(machine.image.dispatcher)
    assert "divert_stub_calls" in shown.text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3,), TypeError, "expected a text, such as m.image.source.*; got 3"),
        ((None,), TypeError, "got None"),
        ((b"nop",), TypeError, "got b'nop'"),
        ((DEFINES, "c"), TypeError, "expected a text"),
        (("nop", "python"), ValueError, "expected 'asm' or 'c'; got 'python'"),
        (("nop", None), ValueError, "got None"),
        (("nop", ["c"]), ValueError, "got"),
    ],
)
def test_wrong_use_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        show_source(*arguments)


@pytest.mark.parametrize("wrong", [{"title": 3}, {"start": "1"}, {"marked": 3}, {"marked": ["1"]}])
def test_wrong_options_are_named(wrong):
    with pytest.raises(TypeError, match="expected"):
        show_source("nop", **wrong)


def test_a_listing_is_monospaced_whatever_a_page_says_of_what_a_cell_shows():
    """JupyterLab and nbconvert say `.jp-OutputArea-output pre {font-family: inherit}`."""
    assert (
        "<style>pre.hk-source.hk-source.hk-source{font-family:" in show_source("nop")._repr_html_()
    )
