"""The judge of lesson 11 and the fuzzer: two judges of one dispatcher, and where they must differ."""

import pytest

from hypkit import Machine, attack
from hypkit.lessons.dispatcher_judge import prove
from hypkit.lessons.judge import Wrong
from hypkit.lessons.material import CHEATS, SOFT, WIDE
from tests.attack import mutants

# What the judge of lesson 11 refuses and the fuzzer lets pass, and why.
ONLY_THE_JUDGE = {
    "no stub test": "a stub call that is refused harms nobody: it is only against the specification"
}
GUARDED = ("mov     x0, #-ENOSYS\n        eret\n", "        speculation_barrier\n")


def guarded(text):
    """The text with the barrier that the patch forgot, so that the judge looks at the rest."""
    before, found, after = text.partition(GUARDED[0])
    return before + found + (GUARDED[1] + after if found else after)


def texts():
    """Every dispatcher for `numbered` with something wrong: name -> text."""
    own = {name: guarded(mutants.text(name)[1]) for name, (_, key, *_) in mutants.MUTANTS.items()
           if key == "numbered"}  # fmt: skip
    return CHEATS | {"soft": SOFT, "wide": WIDE} | own


def silent(text):
    return attack.fuzz("numbered", 12_000, seed=1, dispatcher=text, progress=False).silent


@pytest.mark.parametrize("name", texts())
def test_what_one_judge_refuses_the_other_refuses_or_it_is_said_why_not(name):
    text = texts()[name]
    with pytest.raises(Wrong):
        prove(text)
    assert silent(text) == (name in ONLY_THE_JUDGE)


def test_both_let_a_right_dispatcher_pass():
    with Machine("numbered") as machine:
        text = guarded(machine.image.dispatcher.source)
    assert prove(text).bytes > 0 and silent(text)
