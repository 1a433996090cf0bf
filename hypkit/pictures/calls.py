"""Pictures and tables of calls: phases, the road there and back, the path step by step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from hypkit.call import Call
from hypkit.cost import HYP_PHASES, PHASES, phase_numbers
from hypkit.errors import WrongType, WrongValue, did_you_mean, expected
from hypkit.explain.sentences import changes, in_words
from hypkit.pictures.html import Column, Group, code, table, words
from hypkit.pictures.palette import DIM, INK, LEVELS, PHASE, variant
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import WIDTH, Canvas, width_of
from hypkit.trace import Trace

_NAMES = tuple(PHASES)


def as_calls(calls: Call | Sequence[Call]) -> list[Call]:
    """Return a call, or a list of calls, as a list. WrongType, WrongValue for anything else."""
    several = [calls] if isinstance(calls, Call) else calls
    if not isinstance(several, (list, tuple)):
        raise WrongType(expected("a call (m.call(...)) or a list of calls", several))
    if not several:
        raise WrongValue("expected at least one call (m.call(...)); got an empty list")
    for call in several:
        if not isinstance(call, Call):
            raise WrongType(expected("a call (m.call(...))", call))
    return list(several)


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
    return ", ".join(f"{phase} {count:,}" for phase, count in phase_counts.items())


# --- How many instructions in which phase -------------------------------------------------------


def show_phases(calls: Call | Sequence[Call]) -> Picture:
    """Draw the instructions executed in each phase, and at EL2 outside the handler, as bars.

    Args:
        calls: a call, or a list of calls to compare.

    Returns:
        A Picture; its alternative text has every count.

    Raises:
        TypeError, ValueError: for what is no call, and for an empty list.
    """
    several = as_calls(calls)
    names = _names(several)
    costs = [call.cost for call in several]
    counts = [
        {phase: counted.instructions for phase, counted in cost.phases.items()} for cost in costs
    ]
    shown = [phase for phase in PHASES if any(phase in of_call for of_call in counts)]
    abi = [cost.hyp.instructions for cost in costs]
    alt = "Bar chart of executed instructions by phase. " + " ".join(
        f"{name}: {_counted(of_call)}; at EL2 outside the handler {total:,}."
        for name, of_call, total in zip(names, counts, abi, strict=True)
    )
    canvas = Canvas(WIDTH, "Instructions executed, by phase", alt)
    most = max(max(of_call.values(), default=1) for of_call in counts)
    most = max(most, *abi, 1)
    words = [PHASES[phase] for phase in shown]
    left = max(262, 34 + max(width_of(about, 12) for about in words) + 12)
    bar = 15
    room = WIDTH - left - 14 - max(width_of(f"{most:,}  {name}", 12, mono=True) for name in names)
    y = 12.0

    def row(title: str, about: str, numbers: Sequence[int], phase: str = "") -> None:
        nonlocal y
        top = y
        y += max(0, 15 - bar * len(numbers) / 2)  # the words beside take two lines
        for n, number in enumerate(numbers):
            canvas.box(left, y, room * number / most, bar - 2, variant(n))
            canvas.text(
                left + room * number / most + 6, y + 11, f"{number:,}  {names[n]}", 12, mono=True
            )
            y += bar
        middle = (top + y) / 2
        if phase:
            canvas.box(12, middle - 10, 14, 20, PHASE[phase], weight=0.8)
        canvas.text(34, middle - 2, title, 13, bold=True)
        canvas.text(34, middle + 12, about, 12, ink=DIM)
        y = max(y, middle + 17) + 10

    for phase in shown:
        row(phase, PHASES[phase], [of_call.get(phase, 0) for of_call in counts], phase)
    canvas.line((12, y - 4), (WIDTH - 12, y - 4), weight=0.8)
    y += 4
    row("EL2 outside the handler", " + ".join(HYP_PHASES), abi)
    canvas.line((left, 6), (left, y), weight=0.8)
    canvas.text(left, y + 16, "instructions executed (a count, not a time)", 12, ink=DIM)
    return Picture(canvas, y + 26)


# --- The road: which level, step by step --------------------------------------------------------

# From the top: an exception goes up, an ERET goes down.
HYP, VHE_HOST, HOST, VM = LANES = ("hyp, EL2", "host, EL2", "host, EL1", "VM, EL1")
_LEVEL = {HYP: "el2", VHE_HOST: "el2", HOST: "el1", VM: "vm"}
# A road of more stretches than these shows its beginning and its end.
FIRST, LAST = 16, 6
LONGEST = 150  # a longer stretch is drawn as long as this, torn in the middle


@dataclass(frozen=True)
class _Stretch:
    """Steps in a row in the same phase and lane, and the instruction that ends them."""

    phase: str
    lane: str
    start: int
    stop: int
    end: str = ""

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def label(self) -> str:
        return f"{'VM' if self.lane == VM else self.phase} {len(self):,}"

    @property
    def told(self) -> str:
        return f"{len(self):,} {self.phase} ({self.lane})"


def _stretches(trace: Trace) -> list[_Stretch]:
    """Every stretch of a trace; those that are not drawn do not know how they end."""
    number, (pcs, site) = phase_numbers(trace), trace.sites
    # The kernel's addresses are of a known space; the VM has its own.
    kernel = np.array([trace.image.layout.space(pc) is not None for pc in pcs.tolist()], bool)
    at_el2 = trace.els[:-1] == 2
    lane = np.where(
        at_el2,
        np.where(number == _NAMES.index("host"), LANES.index(VHE_HOST), LANES.index(HYP)),
        np.where(kernel[site], LANES.index(HOST), LANES.index(VM)),
    )
    key = number.astype(np.int64) * len(LANES) + lane
    cuts = [0, *(np.flatnonzero(np.diff(key)) + 1).tolist(), len(trace)]
    return [
        _Stretch(_NAMES[number[start]], LANES[lane[start]], start, stop)
        for start, stop in zip(cuts, cuts[1:], strict=False)
        if start < stop
    ]


def _ends(trace: Trace, stretch: _Stretch) -> _Stretch:
    last = trace[stretch.stop - 1]
    named = last.instruction.mnemonic.upper()
    return replace(stretch, end="exception" if last.exception and named != "HVC" else named)


@dataclass(frozen=True)
class _Road:
    """What is drawn of a call: its first stretches and its last, and what lies between."""

    name: str
    steps: int
    first: list[_Stretch]
    last: list[_Stretch]
    left_out: int  # stretches
    steps_left_out: int

    @property
    def shown(self) -> list[_Stretch]:
        return self.first + self.last

    @property
    def gap(self) -> str:
        return f"{self.left_out:,} more stretches, {self.steps_left_out:,} steps"

    @property
    def told(self) -> str:
        told = ", then ".join(stretch.told for stretch in self.first)
        if self.left_out:
            told += f", then {self.gap}, then " + ", then ".join(s.told for s in self.last)
        return f"{self.name}: {told}."


def _road_of(call: Call, name: str) -> _Road:
    trace = call.trace
    every = _stretches(trace)
    many = len(every) > FIRST + LAST
    first, last = (every[:FIRST], every[-LAST:]) if many else (every, [])
    between = every[FIRST:-LAST] if many else []
    return _Road(
        name,
        len(trace),
        [_ends(trace, stretch) for stretch in first],
        [_ends(trace, stretch) for stretch in last],
        len(between),
        between[-1].stop - between[0].start if between else 0,
    )


def show_road(calls: Call | Sequence[Call]) -> Picture:
    """Draw each call as a road: the steps from left to right, on the level that executes them.

    A call of very many stretches (one that runs away, say) shows its beginning, its end, and how
    much lies between.

    Args:
        calls: a call, or a list of calls, one road below the other to the same scale.

    Returns:
        A Picture; its alternative text has every stretch that is drawn, with its count.

    Raises:
        TypeError, ValueError: for what is no call, and for an empty list.
    """
    several = as_calls(calls)
    roads = [_road_of(call, name) for call, name in zip(several, _names(several), strict=True)]
    alt = "The road of a call, step by step. " + " ".join(road.told for road in roads)
    lanes = [lane for lane in LANES if any(s.lane == lane for road in roads for s in road.shown)]
    longest = max(_drawn(road) for road in roads)
    canvas = Canvas(WIDTH, "The road there and back", alt)
    y = 8.0
    for road in roads:
        canvas.text(12, y + 14, f"{road.name}: {road.steps:,} steps", 13, bold=True)
        y = _draw_road(canvas, road, lanes, longest, y + 22)
    canvas.text(92, y + 6, "steps from left to right, one instruction each", 12, ink=DIM)
    return Picture(canvas, y + 16)


_GAP = 14  # as many steps wide is the gap between the beginning of a road and its end


def _drawn(road: _Road) -> int:
    """How many steps wide a road is drawn."""
    return sum(min(len(s), LONGEST) for s in road.shown) + _GAP * bool(road.left_out)


def _draw_road(canvas: Canvas, road: _Road, lanes: list[str], longest: int, y: float) -> float:
    """Draw a road from y down, and return where it ends."""
    left, height = 92, 24
    scale = (WIDTH - left - 24) / max(longest, 1)
    at, places = float(left), []
    for number, stretch in enumerate(road.shown):
        if road.left_out and number == len(road.first):
            at += _GAP * scale
        width = min(len(stretch), LONGEST) * scale
        places.append((at, width))
        at += width
    rows = _labels(road, places)
    top = y + 15 * (1 + max((row for row, _ in rows.values()), default=-1)) + 8
    below, lane_y, free = _below(road, places), {}, top
    for lane in lanes:
        lane_y[lane] = free
        deepest = max(
            (row for n, (row, _) in below.items() if road.shown[n].lane == lane), default=0
        )
        free += height + 30 + 14 * deepest
    for lane, lane_top in lane_y.items():
        canvas.text(
            12, lane_top + height / 2 + 4, lane, 12, bold=True, ink=LEVELS[_LEVEL[lane]].ink
        )
    for number, (stretch, (x, width)) in enumerate(zip(road.shown, places, strict=True)):
        box_top = lane_y[stretch.lane]
        following = road.shown[number + 1] if number + 1 < len(road.shown) else None
        if road.left_out and number == len(road.first) - 1:
            following = None
            middle = x + width + _GAP * scale / 2
            for lane_top in lane_y.values():
                canvas.text(middle, lane_top + 17, "⋯", 16, anchor="middle")
        if following and following.lane != stretch.lane:
            there, edge = lane_y[following.lane], x + width
            canvas.line((edge, box_top + height / 2), (edge, there + height / 2), weight=1.4)
    for number, (stretch, (x, width)) in enumerate(zip(road.shown, places, strict=True)):
        box_top = lane_y[stretch.lane]
        canvas.box(x, box_top, width, height, PHASE[stretch.phase], weight=0.8)
        if len(stretch) > LONGEST:
            canvas.text(x + width / 2, box_top + 17, "⋯", 16, bold=True, anchor="middle")
        if stretch.lane == HYP:
            row, label_x = rows[number]
            base = top - 8 - 15 * row
            canvas.text(label_x, base, stretch.label, 12, mono=True)
            canvas.line((x + width / 2, box_top), (x + width / 2, base + 3), ink=DIM, weight=0.7)
        else:
            row, label_x = below[number]
            canvas.text(label_x, box_top + height + 13 + 14 * row, stretch.label, 12, mono=True)
    _crossings(canvas, road, places, lane_y, height, below)
    bottom = free - 12
    if road.left_out:
        canvas.text(left, bottom + 12, f"⋯ {road.gap} are left out", 12, ink=DIM)
        bottom += 16
    return bottom + 10


def _labels(road: _Road, places: list[tuple[float, float]]) -> dict[int, tuple[int, float]]:
    """For each stretch of EL2: (row above the lane, x) of its label, so that none lies on another.

    From right to left: a label begins above its box, and its leader runs up on the left of those to
    its right.
    """
    free: list[float] = []  # by row, where the label to the right begins
    found = {}
    for number in reversed(range(len(places))):
        stretch, (x, width) = road.shown[number], places[number]
        if stretch.lane != HYP:
            continue
        wide = width_of(stretch.label, 12, mono=True)
        at = min(x + width / 2 + 3, WIDTH - wide - 4)
        row = next((n for n, edge in enumerate(free) if at + wide + 8 <= edge), len(free))
        # A leader to a higher row must not run through a label of a lower one.
        if row == len(free):
            free.append(0.0)
        free[row] = at - 4
        for lower in range(row):
            free[lower] = min(free[lower], at - 4)
        found[number] = (row, at)
    return found


def _below(road: _Road, places: list[tuple[float, float]]) -> dict[int, tuple[int, float]]:
    """For each stretch of another lane: (row below the lane, x) of its label."""
    ends: dict[str, list[float]] = {}  # by lane and row, where the last label ends
    found = {}
    for number, (stretch, (x, _)) in enumerate(zip(road.shown, places, strict=True)):
        if stretch.lane == HYP:
            continue
        wide = width_of(stretch.label, 12, mono=True)
        at = min(x, WIDTH - 4 - wide)
        rows = ends.setdefault(stretch.lane, [])
        row = next((n for n, end in enumerate(rows) if end + 8 <= at), len(rows))
        if row == len(rows):
            rows.append(0.0)
        rows[row] = at + wide
        found[number] = (row, at)
    return found


def _crossings(
    canvas: Canvas,
    road: _Road,
    places: list[tuple[float, float]],
    lane_y: dict[str, float],
    height: float,
    labels: dict[int, tuple[int, float]],
) -> None:
    """Name the instruction at each change of level, as long as there is room for its name."""
    taken: list[tuple[float, float, float]] = []
    below = [
        (
            x,
            x + width_of(road.shown[n].label, 12, mono=True),
            lane_y[road.shown[n].lane] + height + 13 + 14 * row,
        )
        for n, (row, x) in labels.items()
    ]
    for number, stretch in enumerate(road.shown[:-1]):
        following = road.shown[number + 1]
        if following.lane == stretch.lane or (road.left_out and number == len(road.first) - 1):
            continue
        up = lane_y[following.lane] < lane_y[stretch.lane]
        text = f"{stretch.end} {'↑' if up else '↓'}"
        wide, edge = width_of(text, 11, mono=True), sum(places[number])
        y = max(lane_y[following.lane], lane_y[stretch.lane]) - 6
        x = edge + 4 if up else edge - wide - 4
        crowded = any(x < to and start < x + wide and abs(y - at) < 11 for start, to, at in taken)
        crowded |= any(x < to and start < x + wide and abs(y - at) < 11 for start, to, at in below)
        if not crowded:
            taken.append((x, x + wide, y))
            canvas.text(x, y, text, 11, mono=True, ink=INK)


# --- The path, instruction by instruction -------------------------------------------------------

# More steps than these are more than anybody reads: a table shows its first and its last.
HEAD, TAIL = 300, 100
_COLUMNS = (
    Column("step", align="right", width="3.6em"),
    Column("EL", width="3em"),
    Column("where", width="17%"),
    Column("instruction", width="22%"),
    Column("changes", width="20%"),
    Column("what it does"),
)


class PathTable:
    """A call's steps as a table: step, exception level, place, instruction, changes, sentence.

    shown: how many steps have a row.
    """

    def __init__(self, title: str, groups: Sequence[Group], shown: int) -> None:
        self._title, self._groups, self.shown = title, tuple(groups), shown

    def _repr_html_(self) -> str:
        return table(_COLUMNS, self._groups, caption=self._title, row_heads=False)

    def __repr__(self) -> str:
        return f"PathTable: {self._title}, {self.shown:,} steps shown"


def show_path(
    call: Call, *, only: Collection[str] | None = None, steps: tuple[int, int] | None = None
) -> PathTable:
    """Show a call's steps in a table, grouped by phase.

    Args:
        call: what machine.call(...) or .hvc(...) returned.
        only: a phase, or the phases, to show; a line says what is left out of the others.
        steps: the first step to show and the one after the last; by default all of them.

    Returns:
        A PathTable. Of more than 400 steps it has the first 300 and the last 100, and a line that
        counts what lies between.

    Raises:
        TypeError: for what is no call.
        ValueError: for a phase or a range that does not exist.
    """
    calls = as_calls(call)
    if len(calls) != 1:
        raise WrongValue(f"expected one call (m.call(...)); got {len(calls)} of them")
    (call,) = calls
    trace = call.trace
    first, stop = _range(steps, len(trace))
    wanted = _wanted(only)
    numbers = phase_numbers(trace)[first:stop]
    chosen = np.isin(numbers, [_NAMES.index(phase) for phase in wanted])
    rows = np.flatnonzero(chosen) + first
    if len(rows) > HEAD + TAIL:  # what lies between is left out like the phases not asked for
        chosen[rows[HEAD] - first : rows[-TAIL] - first] = False
    # Runs of steps that are all shown, or all left out; each with its phases in order.
    cuts = [0, *(np.flatnonzero(np.diff(chosen)) + 1).tolist(), len(chosen)]
    groups = []
    for start, end in zip(cuts, cuts[1:], strict=False):
        if chosen[start]:
            for phase, indices in _runs(numbers, first, start, end):
                groups.append(_group(trace, phase, indices))
        else:
            groups.append(Group(f"(not shown: {_left_out(numbers[start:end])})"))
    arguments = ", ".join(f"{value:#x}" for value in call.args)
    title = f"{_variant(call)}: {call.what}({arguments})"
    return PathTable(title, groups, int(chosen.sum()))


def _range(steps: object, length: int) -> tuple[int, int]:
    if steps is None:
        return 0, length
    if (
        not isinstance(steps, (tuple, list))
        or len(steps) != 2
        or not all(isinstance(step, (int, np.integer)) for step in steps)
    ):
        raise WrongType(expected("steps=(first, one after the last), such as (0, 10)", steps))
    first, stop = map(int, steps)
    if not 0 <= first < stop <= length:
        raise WrongValue(
            expected(f"steps from 0 up to {length}, first and one after the last", (first, stop))
        )
    return first, stop


def _wanted(only: object) -> list[str]:
    if only is None:
        return list(PHASES)
    if not isinstance(only, (str, list, tuple, set, frozenset)):
        raise WrongType(expected("a phase, such as 'dispatch', or a list of phases", only))
    phases = [only] if isinstance(only, str) else list(only)
    for phase in phases:
        if phase not in _NAMES:
            raise WrongValue(
                expected(f"a phase ({', '.join(PHASES)})", phase) + did_you_mean(phase, PHASES)
            )
    return phases


def _runs(numbers: np.ndarray, first: int, start: int, end: int) -> Iterator[tuple[str, list[int]]]:
    """(phase, its steps) for each run of steps of one phase."""
    for number, some in groupby(range(start, end), lambda at: int(numbers[at])):
        yield _NAMES[number], [first + at for at in some]


def _left_out(numbers: np.ndarray) -> str:
    """How many steps of which phase, in order; of very many changes only the sums."""
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    if len(cuts) > 20:
        found, counts = np.unique(numbers, return_counts=True)
        sums = {_NAMES[n]: int(count) for n, count in zip(found, counts, strict=True)}
        return f"{len(numbers):,} steps, of them {_counted(sums)}"
    edges = [0, *cuts.tolist(), len(numbers)]
    return ", ".join(
        f"{_NAMES[numbers[start]]} {end - start:,}"
        for start, end in zip(edges, edges[1:], strict=False)
    )


def _group(trace: Trace, phase: str, indices: list[int]) -> Group:
    rows, above = [], None
    for index in indices:
        step = trace[index]
        label = step.symbol or f"{step.pc:#x}"
        name, plus, offset = label.partition("+")
        rows.append(
            (
                index,
                f"EL{step.el}",
                code(plus + offset if name == above else label),
                code(step.text),
                words(changes(trace, index)),
                words(in_words(trace, index)),
            )
        )
        above = name
    many = f"{len(indices):,} instruction{'s' * (len(indices) != 1)}"
    return Group(f"{phase}: {PHASES[phase]} ({many})", rows)
