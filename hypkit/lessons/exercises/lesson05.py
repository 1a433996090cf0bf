"""The exercises of 05-dispatch-cost: a refusal, a budget, loads on the chain, what may be said."""

from __future__ import annotations

from functools import cache

from hypkit.comparison.ladder import Rung, measure
from hypkit.cost import timing
from hypkit.cost.pipeline import Timing
from hypkit.emu import Machine
from hypkit.kernel.variants import OPTIONS, review_combinations
from hypkit.lessons.answers import answers_for, number, shown, text_of, word_of
from hypkit.lessons.claims import CLAIMS, KINDS
from hypkit.lessons.functions import listed
from hypkit.lessons.judge import Exercise, Wrong

BUDGET = 40
REFUSERS = ("reviewed", "jump_table", "smccc")
NO_CALL = 0x4000


@cache
def _rung(key: str) -> Rung:
    return measure(key)


# --- 05.1 ---------------------------------------------------------------------------------------


def _refusal(answer: object) -> str:
    for key, value in answers_for(answer, REFUSERS, "a count of instructions"):
        got = number(value, f"for {key!r} a count of instructions")
        with Machine(key, seed=51) as machine:
            no = machine.hvc(NO_CALL)
            yes = machine.call("__kvm_get_mdcr_el2")
        hyp = no.cost.hyp.instructions
        if got == hyp:
            continue
        host = no.cost.phases["host"].instructions
        known = {
            len(no.trace): "which is the whole trace, the host's part included",
            host: "which is the host's part alone",
            no.cost.phases["dispatch"].instructions: "which is the dispatch alone",
            yes.cost.hyp.instructions: "which is what a call takes that succeeds",
        }
        raise Wrong(
            f"{key}: expected EL2's instructions for x0 = {NO_CALL:#x}; got {shown(got)}"
            + (f", {known[got]}" if got in known else "")
        )
    return (
        "A comparison or two, unless every register of the host is put away first, before anybody "
        "has looked at what it asks for"
    )


# --- 05.2 ---------------------------------------------------------------------------------------


def _within_budget(answer: object) -> str:
    name = text_of(answer, 'a name such as "numbered+adr_l"')
    head, *options = name.replace(" ", "").split("+")
    unknown = [option for option in options if option not in OPTIONS]
    if head != "numbered" or unknown:
        raise Wrong(
            f'Expected "numbered" with suggestions from {", ".join(OPTIONS)}; got {shown(answer)}'
        )
    taken = set(options)
    count = _hyp(taken)
    if count > BUDGET:
        raise Wrong(f"Expected at most {BUDGET} instructions at EL2; {shown(answer)} has {count}")
    fewest = min(
        len(chosen) for chosen in map(_options, review_combinations()) if _hyp(chosen) <= BUDGET
    )
    if len(taken) > fewest:
        raise Wrong(
            f"{count} instructions are within the budget of {BUDGET}, but {len(taken)} "
            f"suggestions are more than it takes: {fewest} are enough"
        )
    return f"{count} instructions at EL2 with {fewest} suggestions, and fewer will not do"


def _options(key: str) -> set[str]:
    return set(key.split("+")[1:])


def _hyp(options: set[str]) -> int:
    key = "+".join(("numbered", *(option for option in OPTIONS if option in options)))
    return _rung(key).hyp.instructions


# --- 05.3 ---------------------------------------------------------------------------------------


def _on_the_chain(answer: object) -> str:
    given = listed(answer, "a list of row numbers", ordered=False)
    got = {number(row, "rows of the table") for row in given}
    timing = _timing()
    loads = {row.index for row in timing.rows if row.kind.startswith("load")}
    expected = loads & set(timing.critical)
    for row in sorted(got):
        if not 0 <= row < len(timing.rows):
            raise Wrong(f"Expected rows 0 to {len(timing.rows) - 1}; got {shown(row)}")
        if row not in loads:
            raise Wrong(f"Expected rows with loads; got row {row}, `{timing.rows[row].text}`")
        if row not in expected:
            raise Wrong(
                f"Row {row}, `{timing.rows[row].text}`, is ready in cycle "
                f"{timing.rows[row].ready}, and what follows waits for another row longer"
            )
    if missing := len(expected - got):
        raise Wrong(
            f"Expected every load that the end waits for; {missing} of them "
            f"{'is' if missing == 1 else 'are'} missing"
        )
    return "The table's slot is what everything waits for: the cached offset is there before it"


@cache
def _timing() -> Timing:
    return timing(_rung("reviewed").trace, "ideal")


# --- 05.4 ---------------------------------------------------------------------------------------

# What supports each claim of hypkit/lessons/claims.py, and why not what else one might say.
_SUPPORT = {
    "A": ("counted", "a trace has these instructions, one by one"),
    "B": ("modelled", "no Cortex-A55 was asked: the model has added up what its instructions take"),
    "C": ("measured", "the figure neve-entry is this very exception, on silicon"),
    "D": ("derived", "the figure neve-both is the sum of two others: nobody timed the way there and back"),
    "E": ("nothing", "the 6,500 cycles are a guest's hypercall, with the world switch in it"),
    "F": ("counted", "the dispatch in its trace has no load"),
    "G": ("nothing", "the time of an emulator measures the emulator"),
    "H": ("nothing", "two of the three numbers are another core's, and the third is a model's"),
}  # fmt: skip


def _supported(answer: object) -> str:
    for letter, value in answers_for(answer, tuple(CLAIMS), "a kind of support"):
        got = word_of(value, KINDS, f"sentence {letter}")
        right, why = _SUPPORT[letter]
        if got == right:
            continue
        if right == "nothing":
            raise Wrong(f"{letter} is not {got}: {why}")
        if got == "nothing":
            raise Wrong(f"{letter} can be said: {why}")
        raise Wrong(f"{letter} is not {got}: {why}")
    return "Three of eight sentences have nothing that supports them, and each sounds as sure as the rest"


EXERCISES = (
    Exercise(
        "05.1",
        "the price of a no",
        (
            "Make a machine of each kind, and call = machine.hvc(0x4000) on it.",
            "call.cost.hyp counts EL2, call.cost.phases the phases.",
            "answer[key] = call.cost.hyp.instructions, in a loop over the three keys.",
        ),
        _refusal,
    ),
    Exercise(
        "05.2",
        "a budget",
        (
            "The patch as posted has 49 instructions there. How many must go?",
            "ladder([...]) takes any names: measure each suggestion alone first.",
            "adr_l saves five, which is the most. You need two more, and enum saves none.",
        ),
        _within_budget,
    ),
    Exercise(
        "05.3",
        "on the chain",
        (
            'timing("ideal").table() has a star where the end had to wait.',
            "timing.rows have .index and .text; timing.critical has the starred indices.",
            "There are two loads. They run at the same time, and one is ready later.",
        ),
        _on_the_chain,
        optional=True,
    ),
    Exercise(
        "05.4",
        "what may be said",
        (
            "Ask of each number where it comes from: a trace, the model, a paper, a sum, a clock.",
            "facts.published() has .what and .confidence for each figure. Is it the host's call?",
            "Three have nothing behind them: one names the wrong call, one times an emulator, one adds up "
            "numbers of different cores.",
        ),
        _supported,
        optional=True,
    ),
)
