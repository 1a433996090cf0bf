"""Headers to try: what a call that was half added comes to, and which lines of a text are new."""

import pytest

from hypkit.header import DEFINES, ENUM
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.numbering import ENDINGS, NEW, add, listed, orders, show_changed, try_it

START = DEFINES["kvm_hcalls.h"]
REFUSED, RUNS, ASTRAY, NOTHING = ENDINGS


@pytest.mark.parametrize(
    ("header", "ending"),
    [
        (add(START), RUNS),
        (add(START, entry=False), NOTHING),
        (add(START, size=14), REFUSED),
        (add(START, entry=False, size=14), NOTHING),
        (add(add(START), name="__kvm_get_hcr_el2"), ASTRAY),
        (listed(*HYPERCALLS, NEW), RUNS),
        (listed(*HYPERCALLS, HYPERCALLS[1], NEW), REFUSED),
    ],
)
def test_a_header_ends_as_the_machine_that_is_built_from_it(header, ending):
    trial = try_it(header, NEW)
    assert trial.ending == ending
    assert bool(trial.error) == (ending == REFUSED)


def test_a_trial_shows_the_compilers_sentence_or_a_row_for_each_call():
    assert repr(try_it(add(START, size=14))).startswith("does not compile: ")
    assert "<strong>does not compile:</strong>" in try_it(add(START, size=14))._repr_html_()
    both = try_it(listed(*HYPERCALLS, NEW), NEW, HYPERCALLS[1])
    assert "0x500001234" in repr(both).splitlines()[1] and HYPERCALLS[1] in repr(both)
    assert "-38" in try_it(add(START, entry=False), NEW)._repr_html_()


def test_what_was_added_is_marked_and_the_lines_before_it_are_left_out():
    listing = show_changed(START, add(START))
    assert listing.text.count(NEW) == 2 and HYPERCALLS[0] not in listing.text
    assert listing._repr_html_().count('class="m"') == 3


def test_an_order_is_compared_call_by_call():
    rows = orders(ENUM, listed(*reversed(HYPERCALLS)), calls=HYPERCALLS).rows
    assert rows[0][:3] == (f"`{HYPERCALLS[0]}`", "0x100", "0x10d")
    assert all(name == ran for name, _, _, ran in rows)


def test_a_header_that_does_not_compile_shows_its_line_below_the_sentence():
    twice = try_it(listed(*HYPERCALLS, HYPERCALLS[1]), HYPERCALLS[1])
    page = twice._repr_html_()
    assert f"<pre>    KVM_HOST_HCALL({HYPERCALLS[1]})</pre>" in page
    assert "name twice</p>" in page
