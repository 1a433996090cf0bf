"""Tables of rows: what they show as HTML, and as the text that a comparison of notebooks sees."""

import pytest

from hypkit.viz import show_rows

TABLE = show_rows(
    ("variant", "loads", "word"),
    [("`numbered`", 4, "0x9656c0285bc0"), ("fnptr", 12, None)],
    "Loads in the dispatch",
)


def test_a_table_is_plain_text_with_aligned_columns():
    assert repr(TABLE).splitlines() == [
        "Loads in the dispatch",
        "variant   loads  word",
        "numbered      4  0x9656c0285bc0",
        "fnptr        12  -",
    ]


def test_a_table_has_scopes_monospaced_words_and_numbers_on_the_right():
    shown = TABLE._repr_html_()
    assert shown.count('scope="row"') == 2 and shown.count('scope="col"') == 3
    assert "<samp>0x9656c0285bc0</samp>" in shown and ">numbered</code>" in shown
    assert 'align="right" style="text-align: right; vertical-align: top">loads</th>' in shown
    assert "&ndash;" in shown


def test_what_is_typed_in_a_cell_is_no_html():
    assert "<b>" not in show_rows(("a",), [("<b>",)])._repr_html_()


@pytest.mark.parametrize(
    ("heads", "rows", "kind", "said"),
    [
        ("loads", [("x",)], TypeError, "expected a list of headings; got 'loads'"),
        (("a", "b"), [("x",)], ValueError, "expected rows of 2 cells, one for each heading; got"),
        (("a",), [(1.5,)], TypeError, "expected a cell that is text, a whole number or None; got"),
    ],
)
def test_a_wrong_table_is_refused_in_a_sentence(heads, rows, kind, said):
    with pytest.raises(kind, match=said.replace("(", r"\(")):
        show_rows(heads, rows)
