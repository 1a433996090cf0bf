"""The picture of 10-what-linux-did: the story on a line, each step with its source."""

from __future__ import annotations

from collections.abc import Sequence

from hypkit import facts
from hypkit.facts import Event
from hypkit.pictures.drawing import OKABE_ITO, Picture, canvas, figure, look

# How sure we are: a filled mark for what was read at its source, a pale one for what was not.
_MARKS = {
    "read": ("o", OKABE_ITO["blue"], "read at its source"),
    "derived": ("s", OKABE_ITO["green"], "derived from a source"),
    "quoted": ("D", "white", "quoted by somebody else"),
}


def show_timeline(events: Sequence[Event] | None = None) -> Picture:
    """The steps of the story from top to bottom; a variant of ours is named where it shows one.

    events: as facts.history() gives them, which leaves out what is known from memory only.
    """
    events = facts.history() if events is None else tuple(events)
    for event in events:
        if not isinstance(event, Event):
            raise TypeError(f"{event!r} is not a step of facts.history()")
        if event.confidence not in _MARKS:
            raise ValueError(
                f"{event!r} is {event.confidence}: a picture shows no such thing as a fact"
            )
    if not events:
        raise ValueError("no step to show: facts.history() has them")
    with look():
        fig = canvas(8.6, 0.7 + 0.3 * len(events))
        axes = fig.subplots()
        rows = range(len(events))
        axes.plot([0, 0], [rows[0], rows[-1]], color="black", linewidth=1.2, zorder=0)
        for row, event in enumerate(events):
            marker, colour, _ = _MARKS[event.confidence]
            axes.scatter(
                0, row, s=48, marker=marker, facecolor=colour, edgecolor="black", linewidth=0.8
            )
            axes.text(-0.25, row, event.when, ha="right", va="center", fontsize=9)
            axes.text(0.25, row, event.title, va="center", fontsize=9, fontweight="bold")
            if event.variant:
                axes.text(
                    6.3, row, event.variant, va="center", fontsize=8.5, family="DejaVu Sans Mono"
                )
        axes.text(-0.25, -1, "when", ha="right", va="center", fontsize=8.5, style="italic")
        axes.text(0.25, -1, "what", va="center", fontsize=8.5, style="italic")
        axes.text(6.3, -1, "runs here as", va="center", fontsize=8.5, style="italic")
        used = {event.confidence for event in events}
        for n, (marker, colour, words) in enumerate(
            look_of for key, look_of in _MARKS.items() if key in used
        ):
            axes.scatter(
                0.3 + 3 * n,
                len(events) + 0.2,
                s=40,
                marker=marker,
                facecolor=colour,
                edgecolor="black",
                linewidth=0.8,
            )
            axes.text(0.5 + 3 * n, len(events) + 0.2, words, va="center", fontsize=8.5)
        axes.set_xlim(-2, 8)
        axes.set_ylim(len(events) + 0.7, -1.5)
        axes.axis("off")
        alt = f"A line with {len(events)} steps from top to bottom. " + " ".join(
            f"{event.when}: {event.title}"
            + (f", here {event.variant}" if event.variant else "")
            + "."
            for event in events
        )
        return figure(fig, alt)


def sources_table(events: Sequence[Event] | None = None) -> str:
    """The same steps as lines of text: when, what, where to look it up, how sure we are."""
    events = facts.history() if events is None else events
    return "\n".join(
        f"{event.when:11} {event.title}\n{'':11} {event.confidence}: {event.source.where}"
        for event in events
    )
