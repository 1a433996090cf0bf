"""What each ABI lets a hostile host do, power by power."""

from __future__ import annotations

import dataclasses
import html
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from hypkit import linux
from hypkit.attack import real
from hypkit.attack.fuzz import BAR_AFTER, REAL, Finding, Report, Target, fuzz, overwrite, target_of
from hypkit.attack.outcomes import SOUND, Classifier, Outcome, Verdict, restarted
from hypkit.attack.recorded import RecordedCell, RecordedRow, recorded, state_of
from hypkit.attack.watch import Watch
from hypkit.emu import Machine
from hypkit.errors import (
    UnknownName,
    WrongType,
    WrongValue,
    did_you_mean,
    expected,
    needs,
    shown,
    whole,
)
from hypkit.kernel.addresses import image_pa
from hypkit.kernel.memory_map import CONSTANTS, HEAP, SECTION
from hypkit.kernel.variants import VARIANTS
from hypkit.kernel.variants import variant as variant_of
from hypkit.linux import KERNELS, LinuxMachine
from hypkit.linux.recorded import recorded as counted
from hypkit.linux.snapshot import PROTECTED, Snapshot
from hypkit.machine.errors import MachineError
from hypkit.pictures.html import Column, Html, code, table
from hypkit.pictures.palette import INK, OUTCOME, PAPER, SOFT
from hypkit.pictures.picture import Picture
from hypkit.pictures.svg import Canvas

if TYPE_CHECKING:
    from hypkit.timetravel.widget import Stepper

_LEFT, _MORE, _WIDE, _HIGH = 96.0, 60.0, 106.0, 42.0  # of the picture, in CSS pixels
CALLS = 3_000  # hostile calls for a cell
SEED = 2020
Writes = tuple[tuple[int, bytes, str], ...]


def _bytes(value: int) -> bytes:
    return (value & (1 << 64) - 1).to_bytes(8, "little")


def _words_read(machine: Machine, within: range) -> list[int]:
    """The physical addresses in *within* of words that EL2 reads on its way to a function."""
    name = next(iter(machine.image.variant.calls))
    trace = machine.call(name).trace
    found: dict[int, None] = {}
    for step in trace:
        if step.el == 2:
            for access in step.memory:
                pa = machine.layout.pa(access.va)
                if access.kind == "load" and pa is not None and pa in within:
                    found[pa] = None
    return list(found)


def _section(name: str) -> range:
    section = SECTION[name]
    return range(section.pa, section.pa + section.size)


def _table(machine: Machine) -> range:
    """The slots of the hypercall table, where it is data of EL1's: physical addresses."""
    if "kvm_hcall_table" not in machine.image.symbols:
        return range(0)
    start = machine.image.pa("kvm_hcall_table")
    if start not in _section(".rodata"):
        return range(0)
    return range(start, SECTION[".rodata"].pa + SECTION[".rodata"].size)


def _variables(machine: Machine) -> Iterator[Writes]:
    """Every word of EL1's that EL2 reads on its way, overwritten: but not the table's slots."""
    table = _table(machine)
    calls = list(machine.image.variant.calls)
    apart = machine.image.pa(calls[1]) - machine.image.pa(calls[0])
    for area in (".rodata", ".data"):
        for pa in _words_read(machine, _section(area)):
            if pa in table:
                continue
            value = int.from_bytes(machine._alive().ram.load(pa, 8), "little")
            name = machine.image.symbolize(pa) or hex(pa)
            for change in (8, -8, apart, 1 << 12, 1 << 40):
                va = machine.layout.image_va(pa)
                yield ((va, _bytes(value + change), f"{name} {change:+#x}"),)


def _slots(machine: Machine) -> Iterator[Writes]:
    """A slot of the table that EL2 reads, overwritten."""
    for pa in _words_read(machine, _table(machine)):
        value = int.from_bytes(machine._alive().ram.load(pa, 8), "little")
        for change in (4, 8, -0x40):
            va = machine.layout.image_va(pa)
            yield ((va, _bytes(value + change), f"a table slot {change:+#x}"),)


def _structures(machine: Machine) -> Iterator[Writes]:
    """The pointer in a vCPU to its VM, and the VM's tables, overwritten."""
    vcpu, kvm = HEAP["vcpu0"][0], HEAP["kvm0"][0]
    wild = machine.layout.linear_va(SECTION[".hyp.text"].pa)
    yield ((machine.layout.linear_va(vcpu + CONSTANTS["VCPU_KVM"]), _bytes(0x50), "vcpu0.kvm"),)
    yield ((machine.layout.linear_va(vcpu + CONSTANTS["VCPU_KVM"]), _bytes(wild), "vcpu0.kvm"),)
    yield ((machine.layout.linear_va(kvm), _bytes(1 << 48 | 0x1000), "kvm0.vttbr"),)


def _hyp_tables(machine: Machine) -> Iterator[Writes]:
    """EL2's own page-table entry for its dispatcher, made to map a page that EL1 fills."""
    dispatcher = image_pa(machine.image.dispatcher.base)
    page = dispatcher & -0x1000
    own = HEAP["vm_memory"][0]
    code = bytearray(machine._alive().ram.load(page, 0x1000))
    at = dispatcher - page
    code[at : at + 8] = (0xD2800CC0).to_bytes(4, "little") + (0xD69F03E0).to_bytes(4, "little")
    entry = machine.entry_of(machine.layout.hyp_va(page), el=2)
    descriptor = int.from_bytes(machine.read(entry, 8, el=1), "little")
    changed = descriptor & ~0x0000_FFFF_FFFF_F000 | own
    yield (
        (machine.layout.linear_va(own), bytes(code), "a page of code"),
        (entry, _bytes(changed), "EL2's entry for its dispatcher"),
    )


@dataclass(frozen=True)
class Power:
    """Something that a hostile host can do.

    Attributes:
        key: its short name, a column of the matrix.
        words: what it is.
        writes: from a machine, what EL1 writes beforehand, one set after the other; None if nothing.
    """

    key: str
    words: str
    writes: Callable[[Machine], Iterator[Writes]] | None = None


POWERS = (
    Power("x0", "chooses x0, with arguments that are good"),
    Power("arguments", "chooses x1 to x6"),
    Power("structures", "writes the structures that it passes", _structures),
    Power("variables", "overwrites its own variables that EL2 reads", _variables),
    Power("table", "overwrites a slot of a table in its read-only data", _slots),
    Power("page tables", "overwrites EL2's page tables, which lie in its memory", _hyp_tables),
    Power("stub", "makes a stub call"),
    Power("registers", "looks at its registers after a call with good arguments"),
)
# The same on a real kernel, but for the structures: real.structures has the call to make with each.
REAL_WRITES: Mapping[str, Callable[[LinuxMachine], Iterator[Writes]]] = {
    "variables": real.variables,
    "table": real.slots,
    "page tables": real.hyp_tables,
}
NOTHING = "nothing to act on"
NO_STRUCTURE = "no structure to write"  # EL2 has no empty memory of the host's that one could be
SAME_LEVEL = "no boundary"  # a vhe host is at EL2 itself and calls a function


@dataclass(frozen=True)
class Cell:
    """What one power comes to against one variant: the worst outcome, and its smallest example."""

    variant: str
    power: str
    outcome: Outcome | None  # None: there is nothing for this power to act on, and ...
    finding: Finding | None
    reports: tuple[Report, ...] = ()
    why: str = NOTHING  # ... this is why
    recorded: RecordedCell | None = None  # of a kernel that is not here

    @property
    def example(self) -> str:
        """Return the line of Python that makes the smallest example's call, "" without one."""
        if self.recorded is not None:
            return self.recorded.code
        return self.finding.code if self.finding else ""

    @property
    def words(self) -> str:
        """Return the outcome in words, or why there is none."""
        return self.why if self.outcome is None else self.outcome.words

    def stepper(self) -> Stepper:
        """Open the smallest example in the stepper; ValueError where there is none to step."""
        if self.recorded is not None:
            kernel = self.variant.removeprefix(REAL)
            raise WrongValue(
                f"{self.variant}, {self.power}: this row is recorded, and a call can be stepped only "
                f"on a kernel that is here: {_make((kernel,))} makes a snapshot"
            )
        if self.finding is None:
            raise ValueError(
                f"{self.variant}, {self.power}: nothing was found to step through ({self.words})"
            )
        return self.finding.stepper()

    def __repr__(self) -> str:
        example = f": {self.example}" if self.example else ""
        told = " (recorded)" if self.recorded else ""
        return f"Cell({self.variant}{told}, {self.power}: {self.words}{example})"


def _make(kernels: Sequence[str]) -> str:
    """The command that makes snapshots of these kernels."""
    plain = [kernel for kernel in kernels if not kernel.endswith(PROTECTED)]
    other = [kernel.removesuffix(PROTECTED) for kernel in kernels if kernel.endswith(PROTECTED)]
    commands = [f"`make linux ARGS='{' '.join(plain)}'`"] if plain else []
    commands += [f"`make linux ARGS='{' '.join(other)} --protected'`"] if other else []
    return " and ".join(commands)


class Matrix:
    """Variants by powers. m["fnptr", "x0"] is a Cell."""

    def __init__(self, cells: Sequence[Cell], absent: Sequence[str] = ()) -> None:
        self.absent = tuple(absent)  # kernels that are not here
        self.cells = {(cell.variant, cell.power): cell for cell in cells}
        self.variants = tuple(dict.fromkeys(cell.variant for cell in cells))
        self.powers = tuple(dict.fromkeys(cell.power for cell in cells))

    def __getitem__(self, place: tuple[str, str]) -> Cell:
        try:
            found = place in self.cells
        except TypeError:  # a list or another thing that is no key of a dictionary
            found = False
        if not found:
            raise KeyError(
                f"expected a variant and a power, such as {self.variants[0]!r}, "
                f"{self.powers[0]!r}; got {shown(place)}"
            )
        return self.cells[place]

    def finding(self, variant: str, outcome: str) -> Finding:
        """Return the smallest finding of a kind against a variant, whatever power it takes.

        Args:
            variant: a row, such as "fnptr".
            outcome: words of the class, or a part of them: "mid-function".

        Raises:
            KeyError: there is no such row, or nothing of that kind was found there.
        """
        if variant not in self.variants:
            near = did_you_mean(str(variant), self.variants)
            there = f"; there are: {', '.join(self.variants)}"
            raise UnknownName(f"no row {shown(variant)}{near or there}")
        found: dict[str, Finding] = {}
        for power in self.powers:
            cell = self[variant, power]
            reports = [f for r in cell.reports for f in (*r.findings, *r.arguments, *r.leaked)]
            for finding in [*([cell.finding] if cell.finding else []), *reports]:
                found.setdefault(finding.verdict.outcome.words, finding)
        wanted = str(outcome).casefold()
        for words, finding in found.items():
            if wanted and wanted in words.casefold():
                return finding
        raise UnknownName(
            f"nothing of the kind {shown(outcome)} was found against {variant}: there is "
            + (", ".join(found) or "nothing at all")
        )

    def __repr__(self) -> str:
        width = max(len(o.words) for o in Outcome) + 2
        wide = max(12, *(len(self._label(variant)) + 2 for variant in self.variants))
        head = f"{'':{wide}}" + "".join(f"{power:{width}}" for power in self.powers)
        rows = [head]
        for variant in self.variants:
            words = (self[variant, power].words for power in self.powers)
            rows.append(
                f"{self._label(variant):{wide}}"
                + "".join(f"{'-' if word == NOTHING else word:{width}}" for word in words)
            )
        rows += [self.missing] if self.missing else []
        return "\n".join(row.rstrip() for row in rows)

    @property
    def recorded(self) -> tuple[str, ...]:
        """Return the rows that are recorded, of kernels that are not on this computer."""
        return tuple(v for v in self.variants if self[v, self.powers[0]].recorded is not None)

    def _label(self, variant: str) -> str:
        return f"{variant} (recorded)" if variant in self.recorded else variant

    @property
    def missing(self) -> str:
        """Return which kernels have no row or a recorded one, and how to get them; "" if none."""
        said = []
        if self.absent:
            said.append(
                f"No snapshot of Linux {', '.join(self.absent)} is on this computer, so there is no "
                f"row: {_make(self.absent)} makes one."
            )
        if self.recorded:
            kernels = [variant.removeprefix(REAL) for variant in self.recorded]
            rows = {kernel: recorded()[kernel] for kernel in kernels}
            told = "; ".join(
                f"{kernel}: {row.source}, {row.calls:,} calls a cell, seed {row.seed}"
                for kernel, row in rows.items()
            )
            said.append(
                f"Recorded elsewhere, not run here: {told}. {_make(kernels)} makes a snapshot, and "
                "then the row is run."
            )
        return " ".join(said)

    def picture(self) -> Picture:
        """Return the matrix drawn: a box a cell, the darker the more of EL2 is the host's."""
        told = "; ".join(
            f"{self._label(variant)}: "
            + ", ".join(f"{power} {self[variant, power].words}" for power in self.powers)
            for variant in self.variants
        )
        left = _LEFT + (_MORE if any(v.startswith(REAL) for v in self.variants) else 0)
        canvas = Canvas(
            left + _WIDE * len(self.powers) + 8,
            "What a hostile host can do",
            f"A grid of variants and of what the host can do, with the worst outcome. {told}.",
        )
        for column, power in enumerate(self.powers):
            middle = left + _WIDE * column + _WIDE / 2
            canvas.text(middle, 22, power, 12, bold=True, anchor="middle")
        for row, variant in enumerate(self.variants):
            y = 32 + _HIGH * row
            canvas.text(8, y + 25, variant, 12, mono=True)
            if variant in self.recorded:
                canvas.text(8, y + 37, "recorded", 10)
            for column, power in enumerate(self.powers):
                self._box(canvas, left + _WIDE * column, y, self[variant, power].outcome)
        rows = [
            (self._label(variant), *(self[variant, power].words for power in self.powers))
            for variant in self.variants
        ]
        heads = ("variant", *self.powers)
        return Picture(canvas, 40 + _HIGH * len(self.variants), heads, rows)

    def _box(self, canvas: Canvas, x: float, y: float, outcome: Outcome | None) -> None:
        if outcome is None:
            canvas.box(x + 2, y + 2, _WIDE - 4, _HIGH - 4, PAPER, dash="3 3")
            return
        if outcome in (Outcome.HANDLED, Outcome.REFUSED, Outcome.STUB):
            ground, ink, sign = SOFT, INK, "\u2713"
        elif outcome in (Outcome.PANIC, Outcome.LOST, Outcome.DENIED, Outcome.LEAKED):
            ground, ink, sign = OUTCOME["panicked"].fill, OUTCOME["panicked"].ink, "\u2715"
        else:
            ground, ink, sign = INK, PAPER, "!"
        canvas.box(x + 2, y + 2, _WIDE - 4, _HIGH - 4, ground)
        canvas.text(x + _WIDE / 2, y + 17, sign, 13, bold=True, anchor="middle", ink=ink)
        short = outcome.words.replace("code run that is no hyp text", "foreign code")
        short = short.replace("entered mid-function", "mid-function")
        short = short.replace("hyp address leaked", "address leaked")
        short = short.replace("EL2 restarted where the host says", "EL2 restarted")
        canvas.text(x + _WIDE / 2, y + 32, short, 11, anchor="middle", ink=ink)

    def _repr_html_(self) -> str:
        return self._table(lambda cell: code(cell.example) if cell.example else "")

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        """Return the output of a notebook's cell: a click on an example opens its stepper."""
        from hypkit.timetravel.opener import Opener, button

        def example(cell: Cell) -> str:
            if cell.finding is None:
                return code(cell.example) if cell.example else ""
            place = f"{cell.variant}, {cell.power}"
            typed = f"matrix[{cell.variant!r}, {cell.power!r}].stepper()"
            return button(place, cell.finding.code, typed)

        opens = {f"{c.variant}, {c.power}": c.stepper for c in self.cells.values() if c.finding}
        self._opener = Opener(self._table(example), opens)
        return {"text/plain": repr(self), "text/html": self._opener.output()}

    def _table(self, example: Callable[[Cell], str]) -> str:
        """The matrix as a table, with an example in each cell that has one."""
        rows = []
        for variant in self.variants:
            told = "<br>recorded" if variant in self.recorded else ""
            row: list[str | None] = [Html(code(variant) + told) if told else code(variant)]
            for power in self.powers:
                cell = self[variant, power]
                shown_as = example(cell)
                row.append(Html(html.escape(cell.words) + (f"<br>{shown_as}" if shown_as else "")))
            rows.append(row)
        caption = (
            "The worst that a host with one power more can do, and the smallest call that does it"
        )
        note = f"<p>{html.escape(self.missing)}</p>" if self.missing else ""
        heads: list[Column | str] = [Column("variant", width="6.5em"), *self.powers]
        return table(heads, rows, caption=caption) + note


def matrix(
    variants: Sequence[str] | None = None,
    *,
    calls: int = CALLS,
    seed: int = SEED,
    progress: bool = True,
) -> Matrix:
    """Attack variants with one power after the other.

    Args:
        variants: keys of VARIANTS, and real kernels as "linux-6.1"; by default all variants and all
            kernels whose snapshots are on this computer or whose rows are recorded. A kernel that is
            not here and is recorded gets its recorded row, marked so.
        calls: hostile calls for each cell and each thing that EL1 writes.
        seed: of the machines and of the calls.
        progress: whether a bar shows how far it is.

    Returns:
        A Matrix.

    Raises:
        KeyError: there is no such variant.
        MachineError: there is neither a snapshot nor a recorded row of that kernel; the sentence
            says how to make one.
    """
    if variants is not None and (
        isinstance(variants, str | bytes) or not isinstance(variants, Sequence)
    ):
        raise WrongType(f"variants: {expected('a list of keys of VARIANTS', variants)}")
    if variants is not None and not variants:
        raise WrongValue("variants: expected at least one key of VARIANTS; got an empty list")
    needs(bool, "True or False for progress", progress)
    seed, calls = whole("seed", seed), whole("calls", calls)
    absent: tuple[str, ...] = ()
    here = [kernel for kernel in linux.available() if kernel.removesuffix(PROTECTED) in KERNELS]
    if variants is None:
        kernels = [*here, *(kernel for kernel in recorded() if kernel not in here)]
        absent = tuple(kernel for kernel in KERNELS if kernel not in kernels)
        variants = [*VARIANTS, *(REAL + kernel for kernel in sorted(kernels))]
    elsewhere = {REAL + kernel for kernel in recorded() if kernel not in linux.available()}
    rows = [
        key if isinstance(key, str) and key in elsewhere else target_of(key, seed, None, None)
        for key in variants
    ]
    cells = []
    cells_in_all = len(rows) * len(POWERS)
    with tqdm(total=cells_in_all, disable=not progress, delay=BAR_AFTER, unit=" cells") as bar:
        for row in rows:
            for power in POWERS:
                cells.append(
                    _recorded(row, power) if isinstance(row, str) else _cell(row, power, calls)
                )
                bar.update()
    return Matrix(cells, absent)


def _recorded(variant: str, power: Power) -> Cell:
    """The cell of a kernel that is not here."""
    cell = recorded()[variant.removeprefix(REAL)].cells[power.key]
    outcome = {outcome.words: outcome for outcome in Outcome}.get(cell.outcome)
    return Cell(variant, power.key, outcome, None, why=cell.why, recorded=cell)


def record(cells: Matrix, kernel: Snapshot, *, seed: int, calls: int) -> RecordedRow:
    """Return a real kernel's row of a matrix in the form in which rows are recorded.

    Args:
        cells: has the row.
        kernel: its snapshot.
        seed, calls: as matrix() was given them.
    """
    row: dict[str, RecordedCell] = {}
    for power in cells.powers:
        cell = cells[REAL + kernel.kernel, power]
        finding, counts = cell.finding, Counter[str]()
        for report in cell.reports:
            counts.update({outcome.words: number for outcome, number in report.counts.items()})
        row[power] = RecordedCell(
            "" if cell.outcome is None else cell.outcome.words,
            cell.why if cell.outcome is None else "",
            finding.verdict.detail if finding else "",
            finding.request if finding else (),
            len(finding.before) if finding else 0,
            tuple(what for _, _, what in finding.target.writes) if finding else (),
            dict(counts),
        )
    # A snapshot made from a file names that file; what was counted before names the package.
    known = counted().get(kernel.kernel.removesuffix(PROTECTED))
    package, version = kernel.source, kernel.version
    if known is not None and known.digest == kernel.digest:
        package, version = known.package, known.version
    about = (kernel.release, package, version, kernel.digest, state_of(kernel))
    return RecordedRow(*about, seed, calls, row)


def _cell(target: Target, power: Power, calls: int) -> Cell:
    if target.kernel is None and variant_of(target.variant).host_el == 2:
        return Cell(target.variant, power.key, None, None, why=SAME_LEVEL)
    if power.key == "stub":
        return _stub(target)
    if (
        target.kernel is None
        and power.writes is None
        or power.key in ("x0", "arguments", "registers")
    ):
        report = fuzz(
            target,
            calls,
            seed=target.seed,
            x0=power.key == "x0",
            arguments=power.key == "arguments",
            progress=False,
        )
        return _worst(target, power, [report])
    try:
        if target.kernel is not None and power.key == "structures":
            return _structured(target, power)
        with target.machine() as machine:
            if isinstance(machine, LinuxMachine):
                writes = REAL_WRITES.get(power.key)
                worlds = list(writes(machine)) if writes else []
            else:
                assert power.writes is not None
                worlds = list(power.writes(machine))
        if power.key == "page tables":
            return _remapped(target, power, worlds[0])
        reports = [
            fuzz(
                dataclasses.replace(target, writes=writes),
                calls // 4 if target.kernel else calls,
                seed=target.seed,
                x0=False,
                arguments=False,
                progress=False,
            )
            for writes in worlds
        ]
    except MachineError as error:
        if target.kernel is None or not target.kernel.protected:
            raise
        return Cell(target.variant, power.key, None, None, why=_kept(error))
    return _worst(target, power, reports)


def _kept(error: MachineError) -> str:
    """Why a protected kernel's host could not write, in a few words; other errors go on."""
    if "its stage 2" not in str(error):
        raise error
    return "kept by stage 2"


def _worst(target: Target, power: Power, reports: Sequence[Report]) -> Cell:
    """The worst finding of some reports; without one the worst outcome that is no harm."""
    if not reports:
        return Cell(target.variant, power.key, None, None)
    found = [f for report in reports for f in report.findings]
    # What a real function does with zeros for arguments is not what this power is about.
    if target.kernel is None or power.key in ("arguments", "structures"):
        found += [f for report in reports for f in report.arguments]
    if power.key == "registers":
        found += [f for report in reports for f in report.leaked]
    if not found:
        harmless = max(
            (
                outcome
                for report in reports
                for outcome in report.counts
                if outcome in (Outcome.HANDLED, Outcome.REFUSED)
            ),
            default=Outcome.HANDLED,
        )
        return Cell(target.variant, power.key, harmless, None, tuple(reports))
    worst = min(found, key=lambda f: (-f.verdict.outcome, len(f.before), sum(f.request)))
    return Cell(target.variant, power.key, worst.verdict.outcome, worst, tuple(reports))


def _structured(target: Target, power: Power) -> Cell:
    """One call for each word that a real function reads in a structure, and that EL1 made wild."""
    found: dict[Verdict, Finding] = {}
    with target.machine() as machine:
        assert isinstance(machine, LinuxMachine)
        tries = list(real.structures(machine))
        for request, writes in tries:
            for va, data, _ in writes:
                overwrite(machine, va, data)
            row = np.array([request], dtype=np.uint64)
            with Watch(real.linux_ground(machine)) as watch:
                (record,) = watch.run(row)
                verdict = Classifier(watch.ground).verdict(row[0], record, None)
            machine.reboot()
            if verdict in found:
                found[verdict] = dataclasses.replace(found[verdict], count=found[verdict].count + 1)
            else:
                changed = dataclasses.replace(target, writes=writes)
                found[verdict] = Finding(verdict, 1, request, target=changed)
    if not found:
        return Cell(target.variant, power.key, None, None, why=NO_STRUCTURE)
    counts: Counter[Outcome] = Counter()
    for finding in found.values():
        counts[finding.verdict.outcome] += finding.count
    harm = [finding for finding in found.values() if finding.verdict.outcome not in SOUND]
    return _worst(target, power, [Report(target, target.seed, len(tries), counts, 0, [], harm)])


def _stub(target: Target) -> Cell:
    """A soft restart: code of the host's choosing at EL2 with the MMU off, as kexec needs it."""
    with target.machine() as machine:
        if isinstance(machine, LinuxMachine):
            _, place = real.pages_of_the_host(machine, executable=False, size=0x1000)
        else:
            place = HEAP["vm_memory"][0]
        request = (1, place, 0, 0, 0, 0, 0)
        ran = restarted(machine.hvc(*request[:2]).whole_trace, request) is not None
    outcome = Outcome.RESTARTED if ran else Outcome.REFUSED
    verdict = Verdict(outcome, hex(place), ran, False)
    finding = Finding(verdict, 1, request, target=target) if ran else None
    return Cell(target.variant, "stub", outcome, finding)


def _remapped(target: Target, power: Power, writes: Writes) -> Cell:
    """One call after EL2's entry for its dispatcher leads elsewhere: does it run what is there?"""
    changed = dataclasses.replace(target, writes=writes)
    with changed.machine() as machine:
        call = machine.hvc(0x1000)
        ran = call.x0 == 0x66
    outcome = Outcome.FOREIGN_CODE if ran else Outcome.PANIC
    verdict = Verdict(outcome, "a page of EL1's", False, False)
    finding = Finding(verdict, 1, (0x1000, 0, 0, 0, 0, 0, 0), target=changed)
    return Cell(target.variant, power.key, outcome, finding)
