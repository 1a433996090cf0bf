"""The picture of 10-what-linux-did: the story on a line, each step with its source."""

from __future__ import annotations

from collections.abc import Sequence

from hypkit import facts
from hypkit.emu import Machine
from hypkit.errors import WrongType, WrongValue, expected
from hypkit.facts import Event
from hypkit.pictures.palette import DIM, INK, LEVELS, PAPER, SOFT, Ink
from hypkit.pictures.picture import Picture
from hypkit.pictures.rows import Rows, show_rows
from hypkit.pictures.svg import WIDTH, Canvas, width_of

# How sure we are: a filled mark for what was read at its source, a paler one for what was not.
_MARKS: dict[str, tuple[Ink, str]] = {
    "read": (INK, "read at its source"),
    "derived": (SOFT, "derived from a source"),
    "quoted": (PAPER, "quoted by somebody else"),
}
_ROW = 26
_BAR = 130.0
_CALL = "__kvm_timer_set_cntvoff"


def show_timeline(events: Sequence[Event] | None = None) -> Picture:
    """Draw the steps of the story from top to bottom, with the variant that shows each one.

    Args:
        events: as facts.history() gives them, which leaves out what is known from memory only.

    Returns:
        A Picture; its alternative text has every step.

    Raises:
        TypeError, ValueError: for what is no step, and for one that nobody has looked up.
    """
    events = facts.history() if events is None else _steps(events)
    for event in events:
        if event.confidence not in _MARKS:
            raise WrongValue(
                f"{event!r} is {event.confidence}: a picture shows no such thing as a fact"
            )
    if not events:
        raise WrongValue("no step to show: facts.history() has them")
    counts = _counts(events)
    alt = f"A line with {len(events)} steps from top to bottom. " + " ".join(
        f"{event.when}: {event.title}"
        + (
            f", here {event.variant}, {counts[event.variant]} instructions at EL2"
            if event.variant
            else ""
        )
        + "."
        for event in events
    )
    when = 24 + max(width_of(event.when, 12, mono=True) for event in events)
    runs = max((width_of(event.variant or "", 12, mono=True) for event in events), default=0)
    title = max(width_of(event.title, 12, bold=True) for event in events)
    bars = _BAR + 40 if counts else 0
    wide = when + 30 + title + 20 + runs + 12 + bars
    canvas = Canvas(max(WIDTH, wide), "The story, step by step", alt)
    as_variant = canvas.width - runs - 12 - bars
    at_bar, most = as_variant + runs + 14, max(counts.values(), default=1)
    heads = [(12, "when"), (when + 24, "what"), (as_variant, "runs here as")]
    heads += [(at_bar, "instructions at EL2")] if counts else []
    for x, words in heads:
        canvas.text(x, 20, words, 12, italic=True, ink=DIM)
    first, last = 42, 42 + _ROW * (len(events) - 1)
    canvas.line((when + 6, first), (when + 6, last), weight=1.4)
    for number, event in enumerate(events):
        y = first + _ROW * number
        # A mail has the day on which it was sent, and is flat; a release has a name.
        high = 4 if event.when[:1].isdigit() else 10
        canvas.box(when + 1, y - high / 2, 10, high, _MARKS[event.confidence][0], weight=1.4)
        canvas.text(12, y + 4, event.when, 12, mono=True)
        canvas.text(when + 24, y + 4, event.title, 12, bold=True)
        if event.variant:
            count = counts[event.variant]
            canvas.text(as_variant, y + 4, event.variant, 12, mono=True)
            long = max(1.0, _BAR * count / most)
            canvas.box(at_bar, y - 5, long, 10, LEVELS["el2"].fill, stroke=LEVELS["el2"].ink)
            canvas.text(at_bar + long + 6, y + 4, str(count), 11, mono=True)
    used = [kind for kind in _MARKS if any(event.confidence == kind for event in events)]
    bottom = last + 16
    if len(used) > 1:
        x = when + 1
        for kind in used:
            fill, words = _MARKS[kind]
            canvas.box(x, bottom, 10, 10, fill, weight=1.4)
            canvas.text(x + 18, bottom + 10, words, 12, ink=DIM)
            x += 40 + width_of(words, 12)
        bottom += 20
    return Picture(canvas, bottom + 4)


def _counts(events: Sequence[Event]) -> dict[str, int]:
    """Return what EL2 executes outside the handler in one call, by variant, counted now."""
    found = {}
    for key in {event.variant for event in events if event.variant}:
        with Machine(key, seed=2020) as machine:
            found[key] = machine.call(_CALL, 0x1234).cost.hyp.instructions
    return found


def _steps(events: object) -> tuple[Event, ...]:
    if not isinstance(events, list | tuple):
        raise WrongType(expected("a list of steps of facts.history()", events))
    for event in events:
        if not isinstance(event, Event):
            raise WrongType(expected("a step of facts.history()", event))
    return tuple(events)


def sources_table(events: Sequence[Event] | None = None) -> Rows:
    """Return the same steps as a table: when, what with a link, and how sure we are."""
    events = facts.history() if events is None else _steps(events)
    return show_rows(
        ("when", "what", "how sure"),
        [
            (
                event.when,
                f"[{event.title}]({event.source.url})" if event.source.url else event.title,
                event.confidence,
            )
            for event in events
        ],
    )
