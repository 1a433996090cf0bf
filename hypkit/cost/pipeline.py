"""The pipeline model: what a straight path of A64 instructions costs one core, and why.

A small model that a lesson can explain, not a simulator. An instruction waits for its operands, for
a place among the `width` micro-ops of a cycle, and for a free pipe; it holds the pipe, and its
result can be used `latency` cycles later, or sooner where the core forwards. An in-order core also
waits for the instruction before it, and writes results in program order. The numbers are in
data/cores.toml.

Where two instructions want one pipe, the older has it, and of several free pipes the first in the
file is taken. llvm-mca, the judge of this model, chooses by rules of its own: on the dispatch paths
the two agree to the cycle (but for smccc on a Cortex-A55, by one), on long random code they may
drift apart by a few.

What it takes for granted: every branch predicted, every load in the first-level cache, no load
waiting for a store, no limit by fetch, decode or queues. Real cores are slower than this.

What has no public price (HVC, ERET, system registers, barriers, cache and TLB maintenance, SIMD,
atomics) is not given one. Such an instruction takes no cycle, no slot and no pipe; what it writes
is there as soon as what it reads is; its index is in `Timing.unpriced`. After HVC, SVC, SMC, BRK,
HLT, ERET, ISB, DSB and SB nothing starts before everything before them is done, as the architecture
demands. So a path with a hypercall in it costs what is given here *plus* what nobody publishes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import SupportsIndex

import numpy as np

from hypkit import facts
from hypkit.a64.decode import decode
from hypkit.a64.effects import Operation, checked, operation
from hypkit.errors import WrongValue, needs
from hypkit.facts import Price

# Words of a path from which on simulate may show a bar: a second's work.
LONG = 20_000


@dataclass(frozen=True, slots=True)
class Timed:
    """One instruction of the path in time.

    Cycles count from the first issue: `issue` is when it starts, `ready` when its (last) result can
    be used. kind is its class in data/cores.toml, "" where it has no price. `waits` says what kept
    it from starting sooner, `on` is the row that it waited for, if it was one:

    "x10 from 5"     an operand, made by row 5
    "width"          the cycle's micro-ops were taken
    "pipe load"      the pipe it needs was held
    "order"          in-order core: the row before it had to start first
    "older result"   in-order core: its result would have come before an older one's
    "all before it"  a context synchronisation or barrier
    """

    index: int
    word: int
    text: str
    kind: str
    issue: int
    ready: int
    waits: str
    on: int | None

    @property
    def priced(self) -> bool:
        """Return whether it has a public price."""
        return bool(self.kind)


@dataclass(frozen=True, repr=False)
class Timing:
    """What `simulate` found: cycles from the first issue to the last result, and the rows.

    bounds holds the least number of cycles that each limit alone would allow: "chain" (the longest
    chain of operands), "width", and one entry for each kind of pipe.
    """

    core: str
    cycles: int
    rows: tuple[Timed, ...]
    bounds: dict[str, int]

    columns = ("#", "instruction", "class", "issue", "ready", "waits for", "critical")

    @property
    def unpriced(self) -> tuple[int, ...]:
        """Return the indices of the instructions that have no public price, and none here."""
        return tuple(row.index for row in self.rows if not row.priced)

    @cached_property
    def critical(self) -> tuple[int, ...]:
        """Return the path that set the time, first to last: each waited for the one before."""
        path: list[int] = []
        at = max(self.rows, key=lambda row: row.ready).index if self.rows else None
        while at is not None:
            path.append(at)
            at = self.rows[at].on
        return tuple(reversed(path))

    def table(self) -> list[tuple[int, str, str, int, int, str, str]]:
        """Return a row an instruction, under `columns`; "critical" holds "*" or nothing."""
        path = set(self.critical)
        return [
            (
                r.index,
                r.text,
                r.kind or "no price",
                r.issue,
                r.ready,
                r.waits,
                "*" if r.index in path else "",
            )
            for r in self.rows
        ]

    def __repr__(self) -> str:
        out = f"{len(self.unpriced)} without a price" if self.unpriced else "all priced"
        return (
            f"Timing({self.core}: {self.cycles} cycles for {len(self.rows)} instructions, {out}, "
            f"critical path of {len(self.critical)})"
        )


def simulate(
    words: Sequence[SupportsIndex], core: str, texts: Sequence[str] | None = None
) -> Timing:
    """Time the executed path `words` on `core`.

    Every register is there at the start, and the core is empty; the head of this module says what
    is left out. Time and memory grow with the path: a million words take half a minute and 400 MB,
    under a progress bar.

    Args:
        words: 32-bit A64 words, first to last.
        core: a key of facts.cores().
        texts: the instructions as they shall be shown, one a word; by default without addresses.

    Raises:
        KeyError: for an unknown core.
        ValueError: for what is no word, and for texts that are not as many as the words.
    """
    needs((list, tuple, np.ndarray), "a list of instruction words", words)
    if texts is not None:
        needs((list, tuple), "a list of texts, one a word", texts)
    if texts is not None and len(texts) != len(words):
        raise WrongValue(f"expected a text for each of {len(words)} words; got {len(texts)} texts")
    pipeline = _Pipeline(facts.core(core))
    for number, word in enumerate(_with_a_bar(words)):
        word = checked(word)
        pipeline.add(word, decode(word).text() if texts is None else texts[number])
    return pipeline.timing()


def _with_a_bar(words: Sequence[SupportsIndex]) -> Iterable[SupportsIndex]:
    """Return the words, with a progress bar where they are so many that it takes long."""
    if len(words) < LONG:
        return words
    from tqdm.auto import tqdm  # takes as long to import as a machine to boot

    return tqdm(words, unit=" instructions", delay=2, leave=False)


@dataclass(frozen=True, slots=True)
class _Result:
    """The newest value of a register: which row makes it, and when it is there."""

    row: int
    kind: str
    issue: int
    ready: int
    chain: int  # when it would be there if nothing but operands counted


@dataclass(frozen=True, slots=True)
class _Limit:
    """No issue before `cycle`, and why: because of row `on`."""

    cycle: int
    waits: str
    on: int | None


class _Pipeline:
    """The state of one core between two instructions of the path."""

    def __init__(self, core: facts.Core) -> None:
        self.core = core
        self.rows: list[Timed] = []
        self.results: dict[str, _Result] = {}
        # A pipe: cycle -> row that holds it. A group has the pipes of its kinds.
        self.held: dict[str, list[dict[int, int]]] = {
            unit: [{} for _ in range(count)] for unit, count in core.units.items()
        }
        self.held |= {
            group: [pipe for kind in kinds for pipe in self.held[kind]]
            for group, kinds in core.groups.items()
        }
        self.full: defaultdict[tuple, dict[int, int]] = defaultdict(dict)  # by units: see _pipes
        self.slot = self.used = self.uops = 0  # the cycle being filled, micro-ops in it, in all
        self.last: int | None = None  # the newest row that took a slot
        self.done = _Limit(0, "all before it", None)  # when everything so far is ready
        self.written = _Limit(0, "older result", None)  # the same without stores
        self.drained = _Limit(0, "", None)
        self.chain = self.chain_from = 0

    def add(self, word: int, text: str) -> None:
        """Let an instruction run; text: how it is shown."""
        op = operation(word)
        price = self.core.prices.get(op.kind)
        if price is None:
            self._leave_out(word, text, op)
        elif self.core.in_order:
            self._issue_in_order(word, text, op, price)
        else:
            self._issue_out_of_order(word, text, op, price)

    def timing(self) -> Timing:
        core, load = self.core, Counter[str]()
        for kind, times in Counter(row.kind for row in self.rows if row.priced).items():
            for unit, cycles in core.prices[kind].units.items():
                load[unit] += times * cycles
        bounds = {"chain": self.chain, "width": -(-self.uops // core.width)}
        for unit in load:
            kinds = core.groups.get(unit, (unit,))
            total = load[unit] + sum(load[kind] for kind in kinds if kind != unit)
            bounds[unit] = -(-total // sum(core.units[kind] for kind in kinds))
        return Timing(core.key, self.done.cycle, tuple(self.rows), bounds)

    # The rules. Of several limits that end in the same cycle, the first in the list is shown.

    def _issue_out_of_order(self, word: int, text: str, op: Operation, price: Price) -> None:
        enter = self._enter(price, self.drained.cycle)
        self._fill(enter.cycle, price)
        self._start(word, text, op, price, [*self._operands(op), self.drained, enter])

    def _issue_in_order(self, word: int, text: str, op: Operation, price: Price) -> None:
        limits = [*self._operands(op), self.drained]
        in_order = self.core.results_in_order and not op.kind.startswith("store")
        if in_order:
            soonest = min(_latencies(op, price).values(), default=price.latency)
            limits.append(replace(self.written, cycle=self.written.cycle - soonest))
        limits.append(self._enter(price, max(limit.cycle for limit in limits)))
        self._fill(self._start(word, text, op, price, limits), price)
        if in_order:
            self.written = _Limit(self.rows[-1].ready, "older result", self.last)

    def _start(
        self, word: int, text: str, op: Operation, price: Price, limits: list[_Limit]
    ) -> int:
        row, limit = len(self.rows), max(limits, key=lambda limit: limit.cycle)
        pipe = self._pipes(price, limit.cycle, row)
        if pipe.cycle > limit.cycle:
            limit = pipe
        latencies = _latencies(op, price)
        values = [value.chain - saved for _, value, saved in self._values(op)]
        chain = max([self.chain_from, *values])
        for register, latency in latencies.items():
            self.results[register] = _Result(
                row, op.kind, limit.cycle, limit.cycle + latency, chain + latency
            )
        takes = max([price.latency, *latencies.values()])
        self._keep(word, text, op.kind, limit, limit.cycle + takes, chain + takes)
        self.last = row
        self.uops += price.uops
        return limit.cycle

    def _leave_out(self, word: int, text: str, op: Operation) -> None:
        limit = max([*self._operands(op), self.drained], key=lambda limit: limit.cycle)
        chain = max([self.chain_from, *(value.chain for _, value, _ in self._values(op))])
        if op.drains:
            limit, chain = self.done, self.chain
        row = len(self.rows)
        for register in op.writes:
            self.results[register] = _Result(row, "", limit.cycle, limit.cycle, chain)
        self._keep(word, text, "", limit, limit.cycle, chain)
        if op.drains:
            self.drained, self.chain_from = replace(self.done, on=row), self.chain

    def _keep(self, word: int, text: str, kind: str, limit: _Limit, ready: int, chain: int) -> None:
        row = len(self.rows)
        waits, on = (limit.waits, limit.on) if limit.cycle else ("", None)
        self.rows.append(Timed(row, word, text, kind, limit.cycle, ready, waits, on))
        self.chain = max(self.chain, chain)
        if ready > self.done.cycle:
            self.done = _Limit(ready, self.done.waits, row)

    # What an instruction may have to wait for.

    def _values(self, op: Operation) -> Iterator[tuple[str, _Result, int]]:
        """Yield the values that op reads and the path has made, and the cycles that forwarding
        saves."""
        for register, use in op.reads:
            value = self.results.get(register)
            if value:
                yield register, value, self.core.forward.saved(value.kind, use)

    def _operands(self, op: Operation) -> list[_Limit]:
        return [
            _Limit(max(value.issue, value.ready - saved), f"{register} from {value.row}", value.row)
            for register, value, saved in self._values(op)
        ]

    def _enter(self, price: Price, at: int) -> _Limit:
        """Return the first cycle from `at` on that has room for the instruction's micro-ops."""
        # Out of order, whoever entered before need not have started before: no row to blame.
        before = self.last if self.core.in_order else None
        if at > self.slot:
            return _Limit(at, "", before)
        if self.used + min(price.uops, self.core.width) > self.core.width:
            return _Limit(self.slot + 1, "width", before)
        return _Limit(self.slot, "order" if self.core.in_order else "width", before)

    def _fill(self, cycle: int, price: Price) -> None:
        if cycle > self.slot:
            self.slot, self.used = cycle, 0
        self.used += price.uops
        while self.used > self.core.width:
            self.slot, self.used = self.slot + 1, self.used - self.core.width

    def _pipes(self, price: Price, at: int, row: int) -> _Limit:
        """Return the first cycle from `at` on in which every pipe it needs is free; takes the
        pipes."""
        # A cycle that has no room now will never have: nobody asks for it twice.
        full = self.full[tuple(price.units.items())]
        cycle = _beyond(full, at)
        while not isinstance(taken := self._room(price, cycle), list):
            full[cycle] = cycle + 1
            cycle = _beyond(full, cycle)
        waits, holder = "", None
        if cycle != at and not isinstance(blocked := self._room(price, cycle - 1), list):
            waits, holder = blocked
        for pipe, cycles in taken:
            pipe.update(dict.fromkeys(range(cycle, cycle + cycles), row))
        return _Limit(cycle, waits, holder)

    def _room(
        self, price: Price, cycle: int
    ) -> list[tuple[dict[int, int], int]] | tuple[str, int | None]:
        """Return the pipes to take in a cycle, and for how long; or what is not free, and who holds
        it."""
        taken: list[tuple[dict[int, int], int]] = []
        for unit, cycles in price.units.items():
            span = range(cycle, cycle + cycles)
            pipes = self.held[unit]
            free = [
                p
                for p in pipes
                if p.keys().isdisjoint(span) and all(p is not other for other, _ in taken)
            ]
            if not free:
                holder = next((p[c] for p in pipes for c in span if c in p), None)
                return f"pipe {unit}", holder
            taken.append((free[0], cycles))
        return taken


def _beyond(full: dict[int, int], cycle: int) -> int:
    """Return the first cycle from `cycle` on that is not known to be full; full: cycle -> a later
    one."""
    passed = []
    while cycle in full:
        passed.append(cycle)
        cycle = full[cycle]
    full.update(dict.fromkeys(passed, cycle))
    return cycle


def _latencies(op: Operation, price: Price) -> dict[str, int]:
    """Return cycles until each register that op writes can be used."""
    found = {register: price.latency for register in op.writes[:1]}
    rest = price.latency if price.second is None else price.second
    found |= {register: rest for register in op.writes[1:]}
    if op.base:
        found[op.base] = price.latency if price.base is None else price.base
    found.pop("xzr", None)
    return found
