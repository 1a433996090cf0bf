"""The exercises of 05-dispatch-cost: both sides, a budget, loads on the chain, fair figures."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypkit import facts
from hypkit.comparison.ladder import Rung, measure
from hypkit.kernel.variants import OPTIONS, review_combinations
from hypkit.lessons.judge import Exercise, Wrong, call_function, number, shown

BUDGET = 40
SIDES = ("jump_table", "relocated")


@cache
def _rung(key: str) -> Rung:
    return measure(key)


# --- 05.1 ---------------------------------------------------------------------------------------


def _both_sides(answer: object) -> str:
    if not isinstance(answer, dict) or not all(key in answer for key in SIDES):
        raise Wrong(
            'Expected a dict with a number for "jump_table" and one for "relocated"; '
            f"came {shown(answer)}"
        )
    for key in SIDES:
        came = number(answer[key], f"for {key!r} a count of instructions")
        rung = _rung(key)
        host, hyp = rung.host.instructions, rung.hyp.instructions
        if came == host + hyp:
            continue
        known = {
            hyp: "EL2's part alone",
            host: "the host's part alone",
            rung.dispatch.instructions: "the dispatch alone",
            len(rung.trace): "the whole trace, the handler included",
        }
        raise Wrong(
            f"{key}: expected host and EL2 together; came {shown(came)}"
            + (
                f", which is {known[came]}"
                if came in known
                else f", and not the sum of the host's {host} and EL2's part"
            )
        )
    return "Counted on both sides, a jump table and a relocated table are one instruction apart"


# --- 05.2 ---------------------------------------------------------------------------------------


def _within_budget(answer: object) -> str:
    if not isinstance(answer, str):
        raise Wrong(f'Expected a name such as "numbered+adr_l"; came {shown(answer)}')
    head, *options = answer.replace(" ", "").split("+")
    unknown = [option for option in options if option not in OPTIONS]
    if head != "numbered" or unknown:
        raise Wrong(
            f'Expected "numbered" with suggestions from {", ".join(OPTIONS)}; came {shown(answer)}'
        )
    taken = set(options)
    came = _hyp(taken)
    if came > BUDGET:
        raise Wrong(f"Expected at most {BUDGET} instructions at EL2; {shown(answer)} has {came}")
    fewest = min(
        len(chosen) for chosen in map(_options, review_combinations()) if _hyp(chosen) <= BUDGET
    )
    if len(taken) > fewest:
        raise Wrong(
            f"{came} instructions are within the budget of {BUDGET}, but {len(taken)} "
            f"suggestions are more than it takes: {fewest} are enough"
        )
    return f"{came} instructions at EL2 with {fewest} suggestions, and fewer will not do"


def _options(key: str) -> set[str]:
    return set(key.split("+")[1:])


def _hyp(options: set[str]) -> int:
    key = "+".join(("numbered", *(option for option in OPTIONS if option in options)))
    return _rung(key).hyp.instructions


# --- 05.3 ---------------------------------------------------------------------------------------


def _on_the_chain(answer: object) -> str:
    if not isinstance(answer, list | tuple | set | frozenset):
        raise Wrong(f"Expected a list of row numbers; came {shown(answer)}")
    came = {number(row, "rows of the table") for row in answer}
    timing = _timing()
    loads = {row.index for row in timing.rows if row.kind.startswith("load")}
    expected = loads & set(timing.critical)
    for row in sorted(came):
        if not 0 <= row < len(timing.rows):
            raise Wrong(f"Expected rows 0 to {len(timing.rows) - 1}; came {shown(row)}")
        if row not in loads:
            raise Wrong(f"Expected rows with loads; came row {row}, `{timing.rows[row].text}`")
        if row not in expected:
            raise Wrong(
                f"Row {row}, `{timing.rows[row].text}`, is ready in cycle "
                f"{timing.rows[row].ready}, and what follows waits for another row longer"
            )
    if came != expected:
        raise Wrong(
            f"Expected every load that the end waits for; {len(expected - came)} of them is missing"
            if len(expected - came) == 1
            else f"Expected every load that the end waits for; came {len(came)} of them"
        )
    return "The table's slot is what everything waits for: the cached offset is there before it"


@cache
def _timing():
    from hypkit.cost import timing

    return timing(_rung("reviewed").trace, "ideal")


# --- 05.4 ---------------------------------------------------------------------------------------


def _unseen() -> list[facts.Measurement]:
    """The published figures, and some of other kinds that nobody published."""
    known = list(facts.published())
    trap = next(figure for figure in known if figure.key == "neve-entry")
    return known + [
        replace(trap, key="made-up-a55", machine="Arm Cortex-A55", number=81, high=None),
        replace(trap, key="made-up-ns", unit="ns"),
        replace(trap, key="made-up-intel", machine="Intel Xeon E5-2450"),
        replace(trap, key="made-up-a15", machine="Arm Cortex-A15 (32-bit)"),
        replace(trap, key="made-up-guest", measures="guest-hvc", machine="Arm Cortex-A57"),
    ]


def _unfair(figure: facts.Measurement) -> str | None:
    """Why the figure may not stand beside our dispatch; None when it may."""
    if figure.measures != "trap":
        return f"it measures {figure.measures!r}, not a bare exception"
    if figure.unit != "cycles":
        return f"it is in {figure.unit}, not in cycles"
    if any(word in figure.machine for word in ("32-bit", "Intel", "x86")):
        return "that is no 64-bit Arm machine"
    return None


def _fair_figures(answer: object) -> str:
    unseen = _unseen()
    given = call_function(answer, list(unseen), name="fair")
    if not isinstance(given, list | tuple | set | frozenset):
        raise Wrong(f"Expected a list of keys; fair returned {shown(given)}")
    for key in given:
        if not isinstance(key, str):
            raise Wrong(f'Expected keys, such as "neve-entry", and no figures; came {shown(key)}')
    expected = {figure.key for figure in unseen if not _unfair(figure)}
    for figure in unseen:
        if figure.key in given and figure.key not in expected:
            raise Wrong(
                f"{figure.key} is {figure.text} on {figure.machine}, and may not stand "
                f"beside our dispatch: {_unfair(figure)}"
            )
    for figure in unseen:
        if figure.key in expected and figure.key not in given:
            raise Wrong(
                f"{figure.key} is missing: {figure.text} on {figure.machine}, a bare exception"
            )
    strange = [key for key in given if key not in expected]
    if strange:
        raise Wrong(f"Expected keys of the figures; came {shown(strange[0])}")
    return f"{len(expected)} of {len(unseen)} figures may stand beside the dispatch"


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
    ),
)
