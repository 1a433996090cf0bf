"""The builder of tables: what is escaped, what is monospaced, and what a screen reader hears."""

import pytest

from hypkit.pictures.html import Column, Group, Html, code, table, words
from hypkit.pictures.picture import STYLE
from notebooks.src.rules import _html


def test_a_table_has_scopes_a_caption_and_a_line_for_each_row():
    page = table(["a", Column("b", "what b is", "right")], [["x", 1], ["y", None]], caption="C")
    assert page.count('scope="col"') == 2 and page.count('scope="row"') == 2
    assert 'title="what b is"' in page and ">C</caption>" in page
    assert len(page.splitlines()) == 5 and _html(page) == []
    assert ">&ndash;</td>" in page and ">1</samp></td>" in page


def test_text_is_escaped_and_html_is_not():
    page = table(["<h>"], [["<x>"], [Html("<b>y</b>")]], caption="<c>")
    assert "&lt;h&gt;" in page and "&lt;x&gt;" in page and "<b>y</b>" in page
    assert "<c>" not in page


def test_groups_have_headings_and_a_heading_alone_is_a_note():
    page = table(["a", "b"], [Group("first", [["1", "2"]]), Group("left out")], row_heads=False)
    assert page.count('scope="rowgroup"') == 2 and page.count("<tbody>") == 2
    assert 'colspan="2"' in page and 'scope="row"' not in page


def test_a_row_with_too_few_cells_is_refused():
    with pytest.raises(ValueError, match="expected 2 cells, one for each column; got 1"):
        table(["a", "b"], [["x"]])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("x0 = 0xff", "<samp>x0</samp> = <samp>0xff</samp>"),
        ("to kvm_hcall_table+0x10", "to <samp>kvm_hcall_table+0x10</samp>"),
        ("PC = VBAR_EL2 + 0x400", "PC = <samp>VBAR_EL2</samp> + <samp>0x400</samp>"),
        ("no words of the machine: x31, wx1", "no words of the machine: x31, wx1"),
        ("a < b & c", "a &lt; b &amp; c"),
    ],
)
def test_words_of_the_machine_are_monospaced(said, shown):
    assert words(said) == shown


def test_a_long_label_may_break_at_its_joints():
    assert "__kvm_<wbr>timer_<wbr>set" in code("__kvm_timer_set")
    assert code("") == "" and "&lt;" in code("<")


def test_no_table_has_ligatures_and_wide_ones_keep_their_columns():
    assert "font-variant-ligatures: none" in table(["a"], [["x"]])
    page = table([Column("a", width="4em"), "b"], [["x", "y"]])
    assert "table-layout: fixed; width: 100%" in page and '<col style="width: 4em">' in page


def test_a_picture_follows_the_theme_of_the_page():
    assert '[data-jp-theme-light="false"] .hk-picture' in STYLE and "color-scheme:dark" in STYLE
