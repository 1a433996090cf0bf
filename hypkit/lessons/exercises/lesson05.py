"""The exercises of 05-dispatch-cost: both sides, a budget, loads on the chain, fair figures."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

from hypkit import facts
from hypkit.comparison.ladder import Rung, measure
from hypkit.cost import timing
from hypkit.cost.pipeline import Timing
from hypkit.kernel.variants import OPTIONS, review_combinations
from hypkit.lessons.answers import answers_for, number, shown, text_of
from hypkit.lessons.functions import call_function, listed
from hypkit.lessons.judge import Exercise, Wrong

BUDGET = 40
SIDES = ("jump_table", "relocated")


@cache
def _rung(key: str) -> Rung:
    return measure(key)


# --- 05.1 ---------------------------------------------------------------------------------------


def _both_sides(answer: object) -> str:
    for key, value in answers_for(answer, SIDES, "a count of instructions"):
        got = number(value, f"for {key!r} a count of instructions")
        rung = _rung(key)
        host, hyp = rung.host.instructions, rung.hyp.instructions
        dispatch = rung.dispatch.instructions
        if got == host + hyp:
            continue
        known = {
            hyp: "which is EL2's part alone",
            host: "which is the host's part alone",
            dispatch: "which is the dispatch alone",
            host + dispatch: "which is the host's part and the dispatch, and EL2 does more",
            len(rung.trace): "which is the whole trace, the handler included",
            host + hyp + dispatch: "which counts the dispatch twice: it is a part of EL2's",
        }
        raise Wrong(
            f"{key}: expected host and EL2 together; got {shown(got)}, "
            + known.get(got, f"and not the sum of the host's {host} and EL2's part")
        )
    return "Counted on both sides, a jump table and a relocated table are one instruction apart"


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


def _unseen() -> list[facts.Measurement]:
    """Return the published figures, and some of other kinds that nobody published."""
    known = list(facts.published())
    trap = next(figure for figure in known if figure.key == "neve-entry")

    def like(key: str, machine: str, unit: str = "cycles", kind: str = "trap") -> facts.Measurement:
        return replace(trap, key=key, machine=machine, unit=unit, measures=kind, high=None)

    made_up = [
        like("made-up-a55", "Arm Cortex-A55"),
        like("made-up-n1", "Ampere Altra (Neoverse N1)"),
        like("made-up-seattle", "AMD Seattle (Cortex-A57)"),
        like("made-up-m1", "Apple M1"),
        like("made-up-ns", trap.machine, unit="ns"),
        like("made-up-intel", "Intel Xeon E5-2450"),
        like("made-up-a15", "Arm Cortex-A15 (32-bit)"),
        like("made-up-a7", "Allwinner A20 (Cortex-A7, 32-bit)"),
        like("made-up-guest", "Arm Cortex-A57", kind="guest-hvc"),
        like("made-up-host", "Arm Cortex-A57", kind="host-hvc"),
        like("made-up-other", "Arm Cortex-A57", kind="other"),
        like("made-up-percent", "Arm Cortex-A72", unit="percent more"),
    ]
    return [*known, *made_up]


def _unfair(figure: facts.Measurement) -> str | None:
    """Return why the figure may not stand beside our dispatch, None when it may."""
    if figure.measures != "trap":
        return f"it measures {figure.measures!r}, not a bare exception"
    if figure.unit != "cycles":
        return f"it is in {figure.unit}, not in cycles"
    if any(word in figure.machine for word in ("32-bit", "Intel", "x86")):
        return "that is no 64-bit Arm machine"
    return None


# A return is not quite an exception, and a sum of two figures is not quite measured. Whoever looks
# that closely may leave them out.
ARGUABLE = ("neve-return", "neve-both")


def _fair_figures(answer: object) -> str:
    draw = random.Random(54)
    everything = _unseen()
    for size in (len(everything), 20, 12):
        unseen = draw.sample(everything, size)
        given = call_function(answer, list(unseen), name="fair", items=True)
        none = ": is a return missing?" if given is None else ""
        keys = listed(given, f"a list of keys from fair{none}", ordered=False)
        _fair([figure for figure in everything if figure in unseen], keys)
    fair = sum(not _unfair(figure) for figure in everything)
    return (
        f"{len(keys)} of the last {len(unseen)} figures may stand beside the dispatch, and at "
        f"most {fair} of all {len(everything)}"
    )


def _fair(unseen: list[facts.Measurement], given: list[object]) -> None:
    """Raise Wrong unless these keys are those of the fair figures among the unseen ones."""
    for key in given:
        if not isinstance(key, str):
            raise Wrong(f'Expected keys, such as "neve-entry", and no figures; got {shown(key)}')
    for figure in unseen:
        if figure.key in given and (why := _unfair(figure)):
            raise Wrong(
                f"{figure.key} is {figure.text} on {figure.machine}, and may not stand "
                f"beside our dispatch: {why}"
            )
    for figure in unseen:
        if figure.key not in (*given, *ARGUABLE) and not _unfair(figure):
            raise Wrong(
                f"{figure.key} is missing: {figure.text} on {figure.machine}, a bare exception"
            )
    known = {figure.key for figure in unseen}
    if strange := [key for key in given if key not in known]:
        raise Wrong(
            f"Expected keys of the {len(unseen)} figures that fair was given; got "
            f"{shown(strange[0])}, which is not among them"
        )


EXERCISES = (
    Exercise(
        "05.1",
        "both sides",
        (
            "Take the two rungs by their names from the dictionary rungs.",
            "rung.host and rung.hyp are counts; each has .instructions.",
            "Add the two: the handler is in neither.",
        ),
        _both_sides,
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
        "fair figures",
        (
            "Begin with .measures: which kind is a bare exception?",
            "Not everything is in cycles.",
            "The machine's name tells a 32-bit core, and an Intel or x86 one.",
        ),
        _fair_figures,
        optional=True,
    ),
)
