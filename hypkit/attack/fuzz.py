"""A hostile host at full speed: what each of very many calls comes to, and the smallest of a kind."""

from __future__ import annotations

import contextlib
import dataclasses
import html
import os
import queue
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from hypkit import linux
from hypkit.a64.effects import operation
from hypkit.a64.pagetables import AP_RO
from hypkit.attack.ground import Ground, ground_of
from hypkit.attack.hostile import Hostile
from hypkit.attack.outcomes import AGAIN, Classifier, Outcome, Verdict, code_of, sent
from hypkit.attack.real import LinuxHostile, linux_ground
from hypkit.attack.watch import SLICE, Watch
from hypkit.call import Call
from hypkit.emu import Machine, seed_of
from hypkit.errors import WrongValue, expected, needs, whole
from hypkit.header import Header
from hypkit.linux import LinuxMachine
from hypkit.linux.snapshot import PROTECTED, Snapshot
from hypkit.machine.hooks.watch_state import R
from hypkit.pictures.html import Column, code, table

if TYPE_CHECKING:
    from hypkit.timetravel.widget import Stepper

THREADS = min(2, os.cpu_count() or 1)  # each with a machine of its own
REAL = "linux-"  # before a kernel's version, where a key of VARIANTS is expected as well
MANY_CALLS = 200_000  # from here on a bar shows that there is progress ...
BAR_AFTER = 1.0  # ... and how many seconds later, so that none flashes by
# A call that never comes back takes some thousand times as long as another. Of these so many say
# all that there is to say.
LOST_ENOUGH = 5_000
SOFT_RESTART = np.uint64(1)  # HVC_SOFT_RESTART


Board = Machine | LinuxMachine


@dataclass(frozen=True)
class Target:
    """What is attacked: everything that a machine is made from.

    Attributes:
        variant: a key of VARIANTS, or a real kernel's, "linux-6.1".
        seed, dispatcher, header: as Machine takes them.
        writes: what EL1 writes beforehand: (its address, bytes, what it is in words) each.
        kernel: a real kernel's snapshot, which takes the place of variant, seed and the rest.
    """

    variant: str
    seed: int
    dispatcher: str | None = None
    header: str | Mapping[str, str] | Header | None = None
    writes: tuple[tuple[int, bytes, str], ...] = ()
    kernel: Snapshot | None = field(default=None, repr=False, compare=False)

    def machine(self) -> Board:
        """Return a new machine, with what EL1 writes already written."""
        machine: Board
        if self.kernel is not None:
            machine = LinuxMachine(self.kernel)
        else:
            machine = Machine(
                self.variant, seed=self.seed, dispatcher=self.dispatcher, header=self.header
            )
        for va, data, _ in self.writes:
            overwrite(machine, va, data)
        return machine


def ground(machine: Board) -> Ground:
    """Return what a watch needs to know of a machine of either kind."""
    return linux_ground(machine) if isinstance(machine, LinuxMachine) else ground_of(machine)


def overwrite(machine: Board, va: int, data: bytes) -> None:
    """Write as EL1 can with its own page tables: where it may only read, it makes them let it.

    va: an image or linear address. Raises MachineError where EL1 has nothing mapped, or where a
    stage 2 keeps it from writing.
    """
    if not machine.translate(va, el=1).writable:
        entry = machine.entry_of(va)
        descriptor = int.from_bytes(machine.read(entry, 8, el=1), "little") & ~AP_RO
        machine.poke(entry, descriptor.to_bytes(8, "little"))
    machine.poke(va, data)


@dataclass(frozen=True)
class Finding:
    """A kind of outcome, how often it was met, and the smallest call that has it.

    Attributes:
        verdict: the class, and what it is about.
        count: how many of the calls came to it.
        request: x0 to x6 of the smallest.
        before: calls that have to be made first, as they were made; () where none has to.
        target: what was attacked.
    """

    verdict: Verdict
    count: int
    request: tuple[int, ...]
    before: tuple[tuple[int, ...], ...] = field(repr=False, default=())
    target: Target = field(repr=False, kw_only=True)

    def call(self) -> Call:
        """Make the call on a new machine, recorded."""
        machine = self.target.machine()
        for request in self.before:
            machine.hvc(*request)
        return machine.hvc(*sent(self.request))

    def stepper(self) -> Stepper:
        """Open the call in the stepper."""
        from hypkit.timetravel.widget import stepper

        return stepper(self.call())

    @property
    def code(self) -> str:
        """Return the line of Python that makes the call on a machine m."""
        return code_of(self.request)

    @property
    def reason(self) -> str:
        """Return what a recorded call says of how it ended; it is made for this."""
        call = self.call()
        return call.message or call.outcome

    def __repr__(self) -> str:
        detail = f", {self.verdict.detail}" if self.verdict.detail else ""
        earlier = f" after {len(self.before)} other" if self.before else ""
        earlier += "s" if len(self.before) > 1 else ""
        return (
            f"Finding({self.verdict.outcome.words}{detail}: {self.code}{earlier}, "
            f"{self.count:,} times)"
        )


class Report:
    """What came of an attack.

    Attributes:
        calls: how many calls were made: as many as were asked for, unless thousands were lost.
        counts: Outcome -> number of calls, every class that was met, the worst last.
        leaks: how many calls left a hyp address in a register that the host can read.
        findings: a Finding for each kind of outcome that a dispatcher must not let happen, the
            worst first.
        arguments: the same for what the functions do with arguments that they believe.
        leaked: a Finding for each register in which the host learns a hyp address, where the ABI
            leaves that register to the callee.
        restarted: a Finding for each end that the stub call for a soft restart led to: EL2 went
            on where the host said, or the kernel started again there. No function of the ABI is to
            blame, nor the way to it.
        target: what was attacked; seed: of the hostile calls.
    """

    def __init__(
        self,
        target: Target,
        seed: int,
        calls: int,
        counts: Counter[Outcome],
        leaks: int,
        findings: Sequence[Finding],
        arguments: Sequence[Finding],
        leaked: Sequence[Finding] = (),
        restarted: Sequence[Finding] = (),
    ) -> None:
        self.target, self.seed, self.calls, self.leaks = target, seed, calls, leaks
        self.counts = {outcome: counts[outcome] for outcome in sorted(counts)}
        self.findings, self.arguments = tuple(findings), tuple(arguments)
        self.leaked, self.restarted = tuple(leaked), tuple(restarted)

    @property
    def silent(self) -> bool:
        """Return whether the way to the functions held: no finding that is the dispatcher's."""
        return not self.findings

    @property
    def worst(self) -> Outcome:
        """Return the worst class that was met."""
        return max(self.counts)

    def __repr__(self) -> str:
        counts = ", ".join(f"{outcome.words} {n:,}" for outcome, n in self.counts.items())
        findings = "; no finding" if self.silent else f"; {len(self.findings)} findings"
        return f"Report({self.target.variant}, {self.calls:,} calls: {counts}{findings})"

    def _repr_html_(self) -> str:
        rows = [
            (
                finding.verdict.outcome.words,
                code(finding.verdict.detail),
                code(finding.code),
                f"{finding.count:,}",
            )
            for finding in (*self.findings, *self.arguments, *self.leaked, *self.restarted)
        ]
        columns = ("outcome", "where", "smallest call", Column("calls", align="right"))
        return f"<p>{html.escape(repr(self))}</p>{table(columns, rows, row_heads=False)}"


MOST_CALLS = 100_000_000  # some ten minutes


def fuzz(
    target: str | Board | Target = "numbered",
    calls: int = 100_000,
    *,
    seed: int = 0,
    dispatcher: str | None = None,
    header: str | Mapping[str, str] | Header | None = None,
    x0: bool = True,
    arguments: bool = True,
    progress: bool = True,
) -> Report:
    """Attack a machine's boundary and say what each call came to.

    Args:
        target: a key of VARIANTS, a real kernel's, "linux-6.1", or a machine, whose variant, seed,
            dispatcher and header are taken (not its state), such as linux.machine("6.1"), or a
            Target.
        calls: how many hostile calls. An attack ends early when thousands were lost.
        seed: of the calls and, with a key, of the machine; the same seed gives the same report.
        dispatcher, header: a learner's own, as Machine takes them.
        x0: whether x0 is hostile; else it is always one that the ABI has.
        arguments: whether x1 to x6 are hostile; else they are pointers that are good.
        progress: whether a bar shows for many calls.

    Returns:
        A Report.

    Raises:
        ValueError: for a machine that makes no hypercall, for a number of calls below 1, and for
            a seed that is not in 64 bits.
        As Machine does, for what does not assemble, compile or boot.
    """
    number = whole("calls", calls)
    if not 1 <= number <= MOST_CALLS:
        raise WrongValue(expected(f"a number of calls from 1 to {MOST_CALLS:,}", number))
    for name, flag in (("x0", x0), ("arguments", arguments), ("progress", progress)):
        needs(bool, f"True or False for {name}", flag)
    seed = seed_of(seed)
    goal = target_of(target, seed, dispatcher, header)
    with goal.machine() as machine:
        if machine.image.variant.host_el == 2:
            raise WrongValue(f"a {machine.image.key} host is at EL2 itself: there is no boundary")
        return _Attack(goal, machine, seed, number, x0, arguments).run(progress)


def target_of(
    target: str | Board | Target,
    seed: int,
    dispatcher: str | None,
    header: str | Mapping[str, str] | Header | None,
) -> Target:
    """Return what is attacked, from what fuzz() takes; KeyError and MachineError as there."""
    if isinstance(target, Target):
        return target
    if isinstance(target, str) and target.startswith(REAL):
        target = linux.machine(
            target.removeprefix(REAL).removesuffix(PROTECTED), protected=target.endswith(PROTECTED)
        )
    if isinstance(target, LinuxMachine):
        if dispatcher is not None or header is not None:
            raise WrongValue(
                "a real kernel has a dispatcher and numbers of its own: expected neither "
                "dispatcher nor header with it"
            )
        return Target(target.image.key, seed, kernel=target.kernel)
    if isinstance(target, Machine):
        text = dispatcher or target.dispatcher
        return Target(target.key, target.seed, text, header or target.header)
    return Target(target, seed, dispatcher, header)


class _Attack:
    """One attack: many calls in slices, their kinds, and one verdict a kind."""

    def __init__(
        self, target: Target, machine: Board, seed: int, calls: int, x0: bool, arguments: bool
    ) -> None:
        self._target, self._seed, self._calls = target, seed, calls
        self._x0, self._arguments = x0, arguments
        self._hostile = (
            LinuxHostile(machine) if isinstance(machine, LinuxMachine) else Hostile(machine)
        )
        # Functions take a VM, a vCPU, or numbers: which one takes which, by what x0 asks for.
        self._good = self._hostile.good_arguments()
        self._ground = ground(machine)
        self._classifier = Classifier(self._ground)
        self._watch = Watch(self._ground)
        self._verdicts: dict[bytes, Verdict] = {}

    def run(self, progress: bool) -> Report:
        counts: Counter[Outcome] = Counter()
        # A verdict, and the way that led to it -> how many, the smallest request, and the calls
        # that were made before it since the machine was as it booted.
        kinds: dict[tuple[Verdict, int], tuple[int, np.ndarray, np.ndarray]] = {}
        leaks = 0
        few = not progress or self._calls < MANY_CALLS
        bar = tqdm(total=self._calls, disable=few, delay=BAR_AFTER, unit=" calls")
        with bar, self._watch, contextlib.closing(self._slices()) as slices:
            for requests, records, starts in slices:
                first, kind = self._classifier.kinds(requests, records)
                numbers = np.bincount(kind, minlength=len(first))
                for which, at in enumerate(first.tolist()):
                    verdict = self._judge(requests[at], records[at])
                    number = int(numbers[which])
                    counts[verdict.outcome] += number
                    leaks += number * verdict.leaked
                    if verdict.outcome in (Outcome.HANDLED, Outcome.REFUSED, Outcome.STUB):
                        continue
                    plain = Verdict(verdict.outcome, verdict.detail, verdict.by_arguments, False)
                    members = np.flatnonzero(kind == which)
                    best = members[_sizes(requests[members]).argmin()]
                    one = verdict.by_arguments or verdict.outcome is Outcome.LEAKED
                    way = 0 if one else int(records[at][R.WAY])
                    old = kinds.get((plain, way))
                    if old is None or _sizes(requests[best : best + 1]) < _sizes(old[1][None]):
                        since = starts[np.searchsorted(starts, best, "right") - 1]
                        small = requests[best].copy(), requests[since:best].copy()
                        kinds[plain, way] = (number + (old[0] if old else 0), *small)
                    else:
                        kinds[plain, way] = (old[0] + number, *old[1:])
                bar.update(len(requests))
                if counts[Outcome.LOST] > LOST_ENOUGH:
                    break
            alike: dict[tuple[Verdict, tuple[int, ...]], Finding] = {}
            for (judged, _), what in kinds.items():
                verdict = self._blamed(judged, what[1])
                finding = self._smallest(verdict, *what)
                key = verdict, finding.request
                if key in alike:
                    number = finding.count + alike[key].count
                    finding = dataclasses.replace(alike[key], count=number)
                alike[key] = finding
            found = list(alike.values())
        found.sort(key=lambda f: (bool(f.before), -f.verdict.outcome, -f.count, f.request))
        return Report(
            self._target,
            self._seed,
            counts.total(),
            counts,
            leaks,
            [finding for finding in found if not finding.verdict.sound],
            [
                finding
                for finding in found
                if finding.verdict.by_arguments and finding.verdict.outcome not in AGAIN
            ],
            [finding for finding in found if finding.verdict.outcome is Outcome.LEAKED],
            [
                finding
                for finding in found
                if finding.verdict.by_arguments and finding.verdict.outcome in AGAIN
            ],
        )

    def _slices(self) -> Generator[tuple[np.ndarray, np.ndarray, list[int]]]:
        """(requests, records, which of them found the machine as it booted), slice by slice.

        A slice depends on its number and on nothing before it: two threads, with a machine each,
        make the same calls as one.
        """
        sizes = [min(SLICE, self._calls - start) for start in range(0, self._calls, SLICE)]
        workers = min(THREADS, len(sizes))
        idle: queue.SimpleQueue[Watch] = queue.SimpleQueue()
        with contextlib.ExitStack() as stack:
            idle.put(self._watch)
            for _ in range(workers - 1):
                machine = self._target.machine()
                stack.enter_context(machine)
                idle.put(stack.enter_context(Watch(ground(machine))))

            def made(number: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
                random = np.random.default_rng((self._seed, number))
                requests = self._requests(random, sizes[number])
                watch = idle.get()
                try:
                    return requests, watch.run(requests), list(watch.starts)
                finally:
                    idle.put(watch)

            pool = stack.enter_context(ThreadPoolExecutor(workers))
            waiting = deque(pool.submit(made, number) for number in range(min(workers, len(sizes))))
            for number in range(workers, len(sizes) + workers):
                done = waiting.popleft().result() if waiting else None
                if number < len(sizes):
                    waiting.append(pool.submit(made, number))
                if done is not None:
                    yield done

    def _requests(self, random: np.random.Generator, count: int) -> np.ndarray:
        hostile = self._hostile
        x0 = hostile.x0(random, count) if self._x0 else hostile.valid_x0(random, count)
        if self._arguments:
            arguments = hostile.arguments(random, count)
            if self._ground.boot is not None:  # where a soft restart is usually sent to
                again = (x0 == SOFT_RESTART) & (arguments[:, 1] & np.uint64(3) == 0)
                arguments[again, 0] = self._ground.boot
            return np.column_stack([x0, arguments])
        numbers, rows = self._good
        places = np.searchsorted(numbers, x0).clip(0, len(numbers) - 1)
        known = numbers[places] == x0
        return np.column_stack([x0, np.where(known[:, None], rows[places], rows[0])])

    def _judge(self, request: np.ndarray, record: np.ndarray) -> Verdict:
        key = record[[R.WAY, R.TARGET, R.FLAGS, R.WHERE, R.WROTE, R.REGISTER]].tobytes()
        key += str(self._classifier.expected(int(request[0]))).encode()
        if key not in self._verdicts:
            transfer = None
            if not int(record[R.TARGET]):
                transfer = self._transfer(request)
            self._verdicts[key] = self._classifier.verdict(request, record, transfer)
        return self._verdicts[key]

    def _transfer(self, request: np.ndarray) -> int | None:
        """Where a call that reached no other program branched to by a register, None if nowhere.

        A dispatcher for numbers may have code of its own there, such as what a table's empty slots
        lead to. A real kernel has not.
        """
        if self._target.kernel is not None:
            return None
        with self._target.machine() as machine:
            trace = machine.hvc(*map(int, request)).whole_trace
        levels = trace.els
        entered = np.flatnonzero(levels[: len(trace)] == 2)
        # A loop executes the same few instructions: each is looked at where it was executed first.
        _, first = np.unique(trace.pcs[entered], return_index=True)
        steps = {*entered[first].tolist(), *(at for at, _, _ in trace.rewrites if levels[at] == 2)}
        for step in sorted(steps):
            facts = operation(trace.word(step))
            if facts.indirect and facts.flow in ("branch", "call"):
                if trace.exceptions.get(step):  # there was nothing to execute
                    return None
                goal = int(trace.pcs[step + 1])
                if goal & 3:  # an address of no instruction
                    return None
                known = levels[step + 1] == 2
                numbered = machine.image.variant.base is not None
                return (
                    goal if known and not (numbered and goal in self._ground.dispatcher) else None
                )
        return None

    def _verdict_of(self, requests: np.ndarray) -> Verdict:
        """The verdict of the last of some calls made from the base on."""
        records = self._watch.run(requests)
        return self._judge(requests[-1], records[-1])

    def _blamed(self, verdict: Verdict, request: np.ndarray) -> Verdict:
        """Lay a panic at no address of the text to the arguments if good ones do not lead there.

        A function that was given a spoilt vCPU returns to wherever that says.
        """
        numbers, rows = self._good
        known = np.flatnonzero(numbers == request[0])
        if verdict.outcome is Outcome.PANIC and not verdict.by_arguments and len(known):
            good = np.concatenate([request[:1], rows[known[0]]])
            if self._verdict_of(good[None]).outcome in (Outcome.HANDLED, Outcome.LEAKED):
                return dataclasses.replace(verdict, by_arguments=True)
        return verdict

    def _smallest(
        self, verdict: Verdict, count: int, request: np.ndarray, before: np.ndarray
    ) -> Finding:
        def same(requests: np.ndarray) -> bool:
            now = self._verdict_of(requests)
            return (now.outcome, now.detail) == (verdict.outcome, verdict.detail)

        needed = before[:0]
        if not same(request[None]):
            needed = _needed(before, lambda some: same(np.vstack([some, request[None]])))
        for place in range(6, -1, -1):
            for simpler in _simpler(int(request[place])):
                trial = request.copy()
                trial[place] = simpler
                if same(np.vstack([needed, trial[None]])):
                    request = trial
                    break
        sent = tuple(tuple(map(int, row)) for row in needed)
        return Finding(verdict, count, tuple(map(int, request)), sent, target=self._target)


def _sizes(requests: np.ndarray) -> np.ndarray:
    """How large each request is to a reader: the hexadecimal digits of all its words."""
    # The exponent of a double; a number just below a power of two may be taken for that power.
    bits = np.frexp(requests.astype(np.float64))[1]
    digits: np.ndarray = np.minimum((bits + 3) // 4, 16).sum(axis=1)
    return digits


def _simpler(value: int) -> list[int]:
    """Simpler numbers to try for one, the simplest first."""
    tries = [0, 1, 8, value & 0xFFF, value & 0xFFFF_FFFF, value & ~0xFFF]
    return [trial for trial in dict.fromkeys(tries) if trial < value]


def _needed(before: np.ndarray, enough: object) -> np.ndarray:
    """A small part of the calls before one that still has the effect (ddmin, Zeller 2002)."""
    assert callable(enough)
    if not enough(before):
        return before
    parts = 2
    while len(before) > 1:
        size = -(-len(before) // parts)
        for start in range(0, len(before), size):
            rest = np.delete(before, slice(start, start + size), axis=0)
            if enough(rest):
                before, parts = rest, max(parts - 1, 2)
                break
        else:
            if parts >= len(before):
                break
            parts = min(2 * parts, len(before))
    return before
