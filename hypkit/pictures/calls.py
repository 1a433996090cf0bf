"""Pictures and tables of calls: phases, the road there and back, the path step by step."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from hypkit.call import Call
from hypkit.cost import HYP_PHASES, PHASES, phases
from hypkit.explain.phrases import in_words
from hypkit.pictures.drawing import CALL_STYLES, PHASE_STYLE, Picture, canvas, figure, look
from hypkit.trace import Trace


def _calls(calls: Call | Sequence[Call]) -> list[Call]:
    several = [calls] if isinstance(calls, Call) else list(calls)
    for call in several:
        if not isinstance(call, Call):
            raise TypeError(
                f"{call!r} is not a call: show what machine.call(...) or .hvc(...) gave you"
            )
    if not several:
        raise ValueError("no call to show: give one call or a list of calls")
    return several


def _variant(call: Call) -> str:
    return call.trace.image.key


def _names(calls: list[Call]) -> list[str]:
    """What tells the calls apart: the variant, or the whole call where that is not enough."""
    short = [_variant(call) for call in calls]
    return (
        short
        if len(set(short)) == len(short)
        else [f"{_variant(call)}: {call.what}" for call in calls]
    )


def _counted(phase_counts: dict[str, int]) -> str:
    return ", ".join(f"{phase} {count}" for phase, count in phase_counts.items())


# --- How many instructions in which phase -------------------------------------------------------


def show_phases(calls: Call | Sequence[Call]) -> Picture:
    """Bars of the instructions executed in each phase, and of EL2 outside the handler; by call."""
    several = _calls(calls)
    names = _names(several)
    counts = [
        {phase: counted.instructions for phase, counted in call.cost.phases.items()}
        for call in several
    ]
    shown = [phase for phase in PHASES if any(phase in of_call for of_call in counts)]
    abi = [call.cost.hyp.instructions for call in several]
    rows = [
        *(f"{phase}\n{PHASES[phase]}" for phase in shown),
        "EL2 outside the handler\n" + " + ".join(HYP_PHASES),
    ]
    values = [*([of_call.get(phase, 0) for of_call in counts] for phase in shown), abi]
    with look():
        fig = canvas(8.6, 0.55 + len(rows) * (0.26 + 0.2 * len(several)))
        _bars(fig.subplots(), rows, values, names)
        alt = "Bar chart of executed instructions by phase. " + " ".join(
            f"{name}: {_counted(of_call)}; at EL2 outside the handler {total}."
            for name, of_call, total in zip(names, counts, abi, strict=True)
        )
        return figure(fig, alt)


def _bars(axes: Axes, rows: list[str], values: list[list[int]], names: list[str]) -> None:
    height = 0.8 / len(names)
    most = max(max(row) for row in values)
    for row, numbers in enumerate(values):
        base = row + 0.35 * (row == len(values) - 1)  # the sum stands apart
        for n, number in enumerate(numbers):
            at = base - 0.4 + height * (n + 0.5)
            colour, hatch = CALL_STYLES[n % len(CALL_STYLES)]
            axes.barh(
                at,
                number,
                height * 0.9,
                color=colour,
                hatch=hatch,
                edgecolor="black",
                linewidth=0.6,
            )
            axes.text(number + most * 0.008, at, f"{number}  {names[n]}", va="center", fontsize=8.5)
    last = len(rows) - 1
    axes.set_yticks([*range(last), last + 0.35], rows, fontsize=9)
    axes.axhline(last - 0.32, color="black", linewidth=0.6)
    axes.set_ylim(last + 0.85, -0.55)  # the first phase on top
    axes.set_xlim(0, most * 1.16)
    axes.set_xlabel("instructions executed (a count, not a time)")
    axes.tick_params(axis="y", length=0)


# --- The road: which level, step by step --------------------------------------------------------

# From the top: an exception goes up, an ERET goes down.
HYP, VHE_HOST, HOST, VM = LANES = ("hyp, EL2", "host, EL2", "host, EL1", "VM, EL1")


@dataclass(frozen=True)
class _Stretch:
    """Steps in a row in the same phase and lane, and the instruction that ends them."""

    phase: str
    lane: str
    start: int
    stop: int
    end: str

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def label(self) -> str:
        return f"{'VM' if self.lane == VM else self.phase} {len(self)}"


def _stretches(trace: Trace) -> Iterator[_Stretch]:
    def key(item: tuple[int, str]) -> tuple[str, str]:
        step = trace[item[0]]
        if step.el == 2:
            return item[1], VHE_HOST if item[1] == "host" else HYP
        # The kernel's addresses are of a known space; the VM has its own.
        return item[1], HOST if trace.image.layout.space(step.pc) else VM

    for (phase, lane), items in groupby(enumerate(phases(trace)), key):
        indices = [index for index, _ in items]
        last = trace[indices[-1]]
        named = last.instruction.mnemonic.upper()
        end = "exception" if last.exception and named != "HVC" else named
        yield _Stretch(phase, lane, indices[0], indices[-1] + 1, end)


def show_road(calls: Call | Sequence[Call]) -> Picture:
    """Each call as a road: the steps from left to right, on the level that executes them."""
    several = _calls(calls)
    names = _names(several)
    roads = [list(_stretches(call.trace)) for call in several]
    lanes = [lane for lane in LANES if any(s.lane == lane for road in roads for s in road)]
    longest = max(len(call.trace) for call in several)
    with look():
        fig = canvas(8.6, 0.3 + len(several) * (0.85 + 0.62 * len(lanes)))
        panels = fig.subplots(len(several), 1, squeeze=False)[:, 0]
        for axes, road, name in zip(panels, roads, names, strict=True):
            _road(axes, road, lanes, longest)
            axes.set_title(
                f"{name}: {road[-1].stop} steps", loc="left", fontsize=10, fontweight="bold"
            )
        panels[-1].set_xlabel("steps (one instruction each)")
        alt = "The road of a call, step by step. " + " ".join(
            f"{name}: " + ", then ".join(f"{len(s)} {s.phase} ({s.lane})" for s in road) + "."
            for name, road in zip(names, roads, strict=True)
        )
        return figure(fig, alt)


def _road(axes: Axes, road: list[_Stretch], lanes: list[str], longest: int) -> None:
    level = {lane: -n for n, lane in enumerate(lanes)}
    half, narrow = 0.19, longest * 0.1
    free = 0.0  # where the next label that stands up has room
    for n, stretch in enumerate(road):
        y, (colour, hatch) = level[stretch.lane], PHASE_STYLE[stretch.phase]
        axes.add_patch(
            Rectangle(
                (stretch.start, y - half),
                len(stretch),
                2 * half,
                facecolor=colour,
                hatch=hatch,
                edgecolor="black",
                linewidth=0.6,
            )
        )
        middle = (stretch.start + stretch.stop) / 2
        if stretch.lane != HYP:
            axes.text(stretch.start, y - half - 0.06, stretch.label, va="top", fontsize=8)
        else:
            tilt = 25 if len(stretch) < narrow else 0  # too narrow for its label: let it stand up
            at = max(middle, free) if tilt else middle
            free = at + longest * 0.045
            axes.text(
                at,
                y + half + 0.06,
                stretch.label,
                va="bottom",
                fontsize=8,
                ha="left" if tilt else "center",
                rotation=tilt,
                rotation_mode="anchor",
            )
            if at > middle:
                axes.plot([middle, at], [y + half, y + half + 0.06], color="black", linewidth=0.5)
        if n + 1 < len(road) and road[n + 1].lane != stretch.lane:
            there = level[road[n + 1].lane]
            up = there > y
            axes.plot([stretch.stop] * 2, [y, there], color="black", linewidth=1.2, zorder=0)
            axes.text(
                stretch.stop,
                min(y, there) + 0.5,
                f" {stretch.end} {'↑' if up else '↓'} ",
                va="center",
                ha="left" if up else "right",
                fontsize=8,
            )
    axes.set_xlim(0, longest * 1.08)
    axes.set_ylim(-len(lanes) + 0.5, half + 0.65)
    axes.set_yticks([level[lane] for lane in lanes], lanes, fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


# --- The path, instruction by instruction -------------------------------------------------------

# Both spellings: JupyterLab heeds the style, GitHub drops it and heeds the attribute.
_LEFT = ' align="left" style="text-align: left; vertical-align: top"'
_HEAD = ("step", "EL", "where", "instruction", "what it did")


class PathTable:
    """A call's steps as a table: step, exception level, place, instruction, what it did."""

    def __init__(self, title: str, body: str, shown: int) -> None:
        self._title, self._body, self.shown = title, body, shown

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col"{_LEFT}>{word}</th>' for word in _HEAD)
        return (
            f"<table><caption{_LEFT}>{html.escape(self._title)}</caption>"
            f"<thead><tr>{head}</tr></thead>{self._body}</table>"
        )

    def __repr__(self) -> str:
        return f"PathTable: {self._title}, {self.shown} steps shown"


def show_path(
    call: Call, *, only: Collection[str] | None = None, steps: tuple[int, int] | None = None
) -> PathTable:
    """The call's steps in a table, grouped by phase.

    only: phases to show, while of the others a line says that they are there; steps: the first
    step and the one behind the last. ValueError for a phase or a range that there is not.
    """
    (call,) = _calls(call)
    trace = call.trace
    first, stop = steps if steps is not None else (0, len(trace))
    if not 0 <= first < stop <= len(trace):
        raise ValueError(f"steps {first} to {stop}: this call has the steps 0 to {len(trace)}")
    only = PHASES if only is None else (only,) if isinstance(only, str) else only
    for phase in only:
        if phase not in PHASES:
            raise ValueError(f"phase {phase!r}: there are {', '.join(PHASES)}")
    of_step = list(phases(trace))[first:stop]
    groups = [
        (phase, [index for index, _ in items])
        for phase, items in groupby(enumerate(of_step, first), lambda item: item[1])
    ]
    bodies, shown = [], 0
    for wanted, some in groupby(groups, lambda group: group[0] in only):
        if wanted:
            for phase, indices in some:
                bodies.append(_group(trace, phase, indices))
                shown += len(indices)
        else:
            left_out = ", ".join(f"{phase} {len(indices)}" for phase, indices in some)
            bodies.append(f"<tbody>{_heading(f'(not shown: {left_out})')}</tbody>")
    arguments = ", ".join(f"{value:#x}" for value in call.args)
    return PathTable(f"{_variant(call)}: {call.what}({arguments})", "".join(bodies), shown)


def _heading(text: str) -> str:
    return f'<tr><th colspan="{len(_HEAD)}" scope="rowgroup"{_LEFT}>{html.escape(text)}</th></tr>'


def _group(trace: Trace, phase: str, indices: list[int]) -> str:
    rows, above = [], None
    for index in indices:
        label = trace[index].symbol or f"{trace[index].pc:#x}"
        name, plus, offset = label.partition("+")
        rows.append(_row(trace, index, plus + offset if name == above else label))
        above = name
    many = f"{len(indices)} instruction{'s' * (len(indices) != 1)}"
    return f"<tbody>{_heading(f'{phase}: {PHASES[phase]} ({many})')}{''.join(rows)}</tbody>"


def _row(trace: Trace, index: int, where: str) -> str:
    step = trace[index]
    # The name of the page's first label would mislead: what matters is what the next one adds.
    adrp = step.instruction.mnemonic == "adrp"
    text = step.instruction.text(step.pc) if adrp else step.text
    # In a narrow window a long label may break at its joint; an instruction never.
    place = re.sub(r"(?<=[a-z0-9])(__+)", r"\1<wbr>", html.escape(where))
    cells = (
        f"{index}",
        f"EL{step.el}",
        f"<code>{place}</code>",
        f'<code style="white-space: nowrap">{html.escape(text)}</code>',
        html.escape(in_words(trace, index)),
    )
    return "<tr>" + "".join(f"<td{_LEFT}>{cell}</td>" for cell in cells) + "</tr>"
