"""Predictions: what is asked, what is folded away, and what a wrong one is told."""

import json
import re

import numpy as np
import pytest

from hypkit import Machine, predict
from hypkit.lessons.prediction_view import KIND, named, prose
from hypkit.viz import show_path
from notebooks.src.rules import _html


def page(prediction):
    return prediction._repr_mimebundle_()["text/html"]


def asked(prediction):
    text = re.search(r'data-ask="([^"]*)"', page(prediction))[1]
    return json.loads(text.replace("&quot;", '"').replace("&#x27;", "'"))


def test_what_happened_stands_in_the_fold_and_nowhere_before_it():
    one = predict("01-1", "Which `x0`?", ["EL1", "EL2"], answer="EL2", show="seen: <b>")
    before, _, fold = page(one).partition("<details>")
    assert "<code>x0</code>" in before and "<li>EL1</li>" in before
    assert "What happened" not in before.partition("</style>")[2]
    assert "<pre>seen: &lt;b&gt;</pre>" in fold and "What happened:</strong> EL2" in fold
    assert _html(page(one)) == []


@pytest.mark.parametrize(
    ("options", "answer", "kind", "told"),
    [
        (["a", "b"], "b", "one", "b"),
        (["a", "b", "c"], ["c", "a"], "several", "a and c"),
        (["a", "b"], [], "several", "none of them"),
        ([], 1234, "number", "1,234 steps"),
        ([], np.int64(7), "number", "7 steps"),
        ([], "in ELR_EL2", "words", "in ELR_EL2"),
        ([], True, "one", "yes"),
        ([], False, "one", "no"),
    ],
)
def test_an_answer_says_how_it_is_guessed(options, answer, kind, told):
    one = predict("01-1", "What?", options, answer=answer, unit="steps")
    assert (one.kind, one.told) == (kind, told)
    assert asked(one)["kind"] == kind


def test_a_number_of_64_bits_is_told_whole():
    one = predict("01-1", "Where?", answer=0xFFFF800010085BC1, base=16)
    assert one.told == "0xffff800010085bc1" and asked(one)["right"] == str(0xFFFF800010085BC1)


def test_a_block_folds_away_what_it_prints_in_its_order(capsys):
    with Machine("numbered", seed=2020) as machine:
        with predict("01-2", "How many?") as seen:
            print("first")
            call = machine.call("__kvm_get_mdcr_el2")
            seen.show(show_path(call, only="call"))
            print("last")
            seen.answer = len(call.trace)
    fold = page(seen).partition("<details>")[2]
    assert fold.index("<pre>first</pre>") < fold.index("<table") < fold.index("<pre>last</pre>")
    assert "first" not in capsys.readouterr().out


def test_a_block_that_fails_shows_its_error_and_gives_the_printing_back(capsys):
    with pytest.raises(ZeroDivisionError), predict("01-2", "How many?"):
        print(1 // 0)
    print("back")
    assert capsys.readouterr().out == "back\n"


def test_a_block_without_an_answer_says_what_to_set():
    with pytest.raises(ValueError, match=r"prediction 01-2 has no answer: set \.answer"):
        with predict("01-2", "How many?"):
            pass


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (("1.2", "q"), {}, r"expected the number of a prediction, such as '01-2'; got '1.2'"),
        (("01-2", " "), {}, "expected a question; got ' '"),
        (("01-2", "q", ["a"]), {}, "expected two or more different options; got"),
        (("01-2", "q", ["a", "a"]), {}, "expected two or more different options; got"),
        (("01-2", "q", "yes"), {}, "expected a list of options; got 'yes'"),
        (("01-2", "q", ["a", "b"]), {"answer": "c"}, r"expected one of the options .*; got 'c'"),
        (("01-2", "q", ["a", "b"]), {"answer": ["c"]}, r"expected some of the options .*; got"),
        (("01-2", "q"), {"answer": 1.5}, "expected an answer: .*; got 1.5"),
        (("01-2", "q"), {"base": 8}, "expected base 10 or 16; got 8"),
    ],
)
def test_a_wrong_argument_is_told_in_a_sentence(arguments, given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        predict(*arguments, **given)


def test_paper_gets_the_question_and_never_the_answer():
    one = predict("01-3", "Who?", ["EL1", "nobody"], answer="nobody", show="it was nobody")
    bundle = one._repr_mimebundle_()
    assert bundle[KIND] == {
        "id": "01-3", "question": "Who?", "options": ["EL1", "nobody"], "kind": "one", "unit": "",
    }  # fmt: skip
    assert bundle["text/plain"] == "Predict 01-3: Who?\n  [ ] EL1\n  [ ] nobody"


def test_equal_predictions_are_equal_bytes():
    one, two = (predict("01-3", "Who?", answer=5) for _ in range(2))
    assert page(one) == page(two)


def test_prose_sets_code_between_backquotes_and_escapes_the_rest():
    assert prose("`a<b` <c> 0x10") == (
        "<code>a&lt;b</code> &lt;c&gt; <samp>0x10</samp>"
    )  # fmt: skip


def test_names_of_machines_are_set_alike_and_plain_words_are_not():
    assert named(["fnptr", "jump_table"]) == ["`fnptr`", "`jump_table`"]
    assert named(["x0", "pstate"]) == ["`x0`", "`pstate`"]
    for plain in (
        ["EL1", "EL2"],
        ["image", "hyp"],
        ["yes", "no"],
        ["0x1, once", "x0"],
        ["`x0`", "x1"],
    ):
        assert named(plain) == plain
