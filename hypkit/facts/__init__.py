"""Typed access to the facts in `data/`: hypercalls, cores, published costs, history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hypkit.errors import Named, UnknownName, WrongValue, expected, is_whole, needs, shown
from hypkit.facts import toml
from hypkit.facts.toml import FactError

_HERE = Path(__file__).resolve().parents[1]

CONFIDENCE = ("read", "quoted", "derived", "recalled")


def data_path(name: str) -> Path:
    """Path of the data file or folder `name`, such as "cores.toml" or "prebuilt/numbered.bin".

    An installed wheel carries the files in `hypkit/data/`; a checkout (also when installed with
    `pip install -e`) keeps them in `data/` at the top. Raises ValueError for a name that leads
    out of the data folder, and FileNotFoundError that says where it looked.
    """
    needs(str, "the name of a file inside data/, such as 'cores.toml'", name)
    relative = Path(name)
    if not name or relative.is_absolute() or ".." in relative.parts:
        raise WrongValue(expected("the name of a file inside data/, such as 'cores.toml'", name))
    folder = _HERE / "data"
    if not folder.is_dir():
        folder = _HERE.parent / "data"
    path = folder / relative
    if not path.exists():
        raise FileNotFoundError(f"hypkit has no data file {name!r}: looked for {path}")
    return path


# --- What the files hold --------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Where a fact comes from, and how sure we are of it (one of CONFIDENCE).

    where: what was read; url: where a reader finds it, "" where it is in no public place.
    """

    title: str
    where: str
    confidence: str
    url: str = ""

    def __repr__(self) -> str:
        return f"Source({self.title!r}, {self.confidence})"


@dataclass(frozen=True)
class Arg:
    """One argument of a hypercall, as Linux 5.7 declares it.

    sample: for a number, one with which the handler visibly does its work.
    """

    name: str
    type: str
    sample: int = 0

    @property
    def pointer(self) -> bool:
        """Return whether this is a kernel virtual address, which the handler must convert."""
        return self.type.endswith("*")

    @property
    def example(self) -> int | str:
        """Return what to pass to try the call: the label of a guest structure for a pointer, or a
        number.

        FactError for a pointer to a structure that the guest does not have.
        """
        if not self.pointer:
            return self.sample
        return toml.key(structures(), self.type, "hypercalls.toml: structure")


@dataclass(frozen=True, repr=False)
class Function:
    """A function that EL2 can be asked to run: its declaration, and what it does."""

    name: str
    args: tuple[Arg, ...]
    returns: str
    what: str

    @property
    def label(self) -> str:
        """Return the label of the handler in the guest's text."""
        return self.name

    @property
    def example(self) -> tuple[int | str, ...]:
        """Return the arguments that make the handler do its work, as `Machine.call` takes them."""
        return tuple(arg.example for arg in self.args)

    @property
    def pointers(self) -> tuple[str, ...]:
        """Return the labels of the guest structures that its pointers stand for, in their order."""
        return tuple(str(arg.example) for arg in self.args if arg.pointer)

    @property
    def prototype(self) -> str:
        """Return the C declaration."""
        args = ", ".join(f"{a.type}{'' if a.pointer else ' '}{a.name}" for a in self.args)
        return f"{self.returns or 'void'} {self.name}({args or 'void'})"

    def __repr__(self) -> str:
        return f"Function({self.prototype})"


@dataclass(frozen=True, repr=False)
class Hypercall(Function):
    """One of the fourteen calls: its number in version 1 and the n of its SMCCC id in 5.10."""

    index: int
    caller: str
    smccc: int
    source: Source

    @property
    def smccc_id(self) -> int:
        """Return the whole function id of Linux 5.10."""
        return abi_numbers()["smccc_base"] + self.smccc

    def __repr__(self) -> str:
        return f"Hypercall({self.index}: {self.prototype})"


@dataclass(frozen=True, repr=False)
class Stub:
    """One call of the boot stub."""

    number: int
    name: str
    args: tuple[str, ...]
    what: str
    source: Source

    def __repr__(self) -> str:
        return f"Stub({self.number}: {self.name})"


@dataclass(frozen=True, repr=False)
class Price:
    """What one class of instructions costs on one core; see the head of data/cores.toml."""

    latency: int
    second: int | None = None
    base: int | None = None
    uops: int = 1
    units: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        held = "".join(f", {unit} {cycles}" for unit, cycles in self.units.items())
        return f"Price({self.latency} cycles, {self.uops} uops{held})"


@dataclass(frozen=True, repr=False)
class Forward:
    """Early use of results: cycles saved by operand kind, where the producer's class is in from_.

    `any` holds for every producer.
    """

    from_: tuple[str, ...] = ()
    cycles: Mapping[str, int] = field(default_factory=dict)
    any: Mapping[str, int] = field(default_factory=dict)

    def saved(self, producer: str, operand: str) -> int:
        """Return how many cycles before its latency is over `operand` may read a result of
        `producer`."""
        early = self.cycles.get(operand, 0) if producer in self.from_ else 0
        return max(early, self.any.get(operand, 0))


@dataclass(frozen=True, repr=False)
class Core:
    """One core of data/cores.toml: width in micro-ops, units, price by class."""

    key: str
    title: str
    order: str
    width: int
    source: Source
    note: str
    units: Mapping[str, int]
    prices: Mapping[str, Price]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    forward: Forward = Forward()
    results_in_order: bool = False
    like: str = ""

    @property
    def in_order(self) -> bool:
        """Return whether the core issues its micro-ops in the order of the program."""
        return self.order == "in"

    def __repr__(self) -> str:
        order = "in order" if self.in_order else "out of order"
        priced = f", priced as {self.like}" if self.like else ""
        return f"Core({self.key!r}: {order}, {self.width} wide{priced})"


@dataclass(frozen=True, repr=False)
class Measurement:
    """One published number; `measures` and `what` say what was really measured.

    measures: "host-hvc", "trap", "guest-hvc", "rework" or "other" (see data/published.toml).
    A range has its upper end in `high`.
    """

    key: str
    number: float
    unit: str
    machine: str
    measures: str
    what: str
    source: Source
    high: float | None = None

    @property
    def confidence(self) -> str:
        """Return how sure we are of the number: one of CONFIDENCE."""
        return self.source.confidence

    @property
    def text(self) -> str:
        """Return the number with its unit, as a lesson prints it: "68-76 cycles"."""
        ends = [self.number] if self.high is None else [self.number, self.high]
        return "-".join(f"{end:,}" for end in ends) + f" {self.unit}"

    def __repr__(self) -> str:
        return f"Measurement({self.key!r}: {self.text}, {self.machine}, {self.confidence})"


@dataclass(frozen=True, repr=False)
class Event:
    """One step of the story: a day or a release, and the variant of ours that shows it, if any."""

    when: str
    title: str
    what: str
    source: Source
    variant: str = ""
    commits: tuple[str, ...] = ()
    confidence: str = ""

    def __repr__(self) -> str:
        return f"Event({self.when}: {self.title})"


@dataclass(frozen=True, repr=False)
class Suggestion:
    """One remark on version 1, and what version 2 and upstream made of it.

    lesson: the number of the lesson that takes it up; quote: the reviewer's own words.
    """

    key: str
    what: str
    v2: str
    later: str
    source: Source
    lesson: str = ""
    quote: str = ""
    variants: tuple[str, ...] = ()

    @property
    def in_review(self) -> bool:
        """Return False for the flaws that the review did not name but version 2 mended."""
        return not self.what.startswith("Not in the review")

    def __repr__(self) -> str:
        return f"Suggestion({self.key!r}: {self.what})"


@dataclass(frozen=True, repr=False)
class Term:
    """One word of the course: its meaning, and the lesson that explains it.

    told: words of that lesson's text that give the meaning; forms: a regular expression for the
    word in a text.
    """

    term: str
    meaning: str
    lesson: str
    told: str
    forms: str

    def __repr__(self) -> str:
        return f"Term({self.term!r}, lesson {self.lesson})"


@dataclass(frozen=True, repr=False)
class McaFigure:
    """What one llvm-mca said of one dispatch path on one core (data/mca.toml).

    cycles runs from the first issue to the last result, total is its "Total Cycles" for one
    iteration, hundred that for a hundred in a row; table is the core whose table it used.
    """

    path: str
    core: str
    llvm: str
    table: str
    cycles: int
    total: int
    hundred: int

    @property
    def own(self) -> bool:
        """Return True where LLVM used the core's own table, or the one that data/cores.toml names
        too."""
        return self.table in (self.core, core(self.core).like)

    def __repr__(self) -> str:
        return f"McaFigure({self.path}, {self.core}, LLVM {self.llvm}: {self.cycles} cycles)"


# --- Reading them ---------------------------------------------------------------------------------


@cache
def hypercalls() -> tuple[Hypercall, ...]:
    """Return the fourteen hypercalls in the order of version 1."""
    return _entries("hypercalls.toml", "hypercall", Hypercall, unique="index")


def hypercall(which: str | int) -> Hypercall:
    """Return the hypercall of that name or of that index in version 1; KeyError names what there
    is."""
    for call in hypercalls() if isinstance(which, str) or is_whole(which) else ():
        if which in (call.name, call.index) and not isinstance(which, bool):
            return call
    names = ", ".join(call.name for call in hypercalls())
    raise UnknownName(
        f"no hypercall {shown(which)}: there are 0 to {len(hypercalls()) - 1}: {names}"
    )


@cache
def spare() -> tuple[Function, ...]:
    """Return the functions of EL2 that no hypercall reaches until a learner's header gives them a
    number."""
    return _entries("hypercalls.toml", "spare", Function, unique="name")


def function(name: str) -> Function:
    """Return the hypercall or spare function of that name; KeyError names what there is."""
    needs(str, "the name of a function", name)
    return next((one for one in spare() if one.name == name), None) or hypercall(name)


@cache
def structures() -> Mapping[str, str]:
    """Return the labels of guest structures by the type of pointer that they are tried for."""
    name = "hypercalls.toml"
    return toml.value(Mapping[str, str], toml.key(_read(name), "structure", name), name)


@cache
def stubs() -> tuple[Stub, ...]:
    """Return the calls of the boot stub, by number."""
    return _entries("hypercalls.toml", "stub", Stub, unique="number")


@cache
def abi_numbers() -> Mapping[str, int]:
    """Return the plain numbers of the ABIs: v1_base, v2_base, stub_error, enosys, smccc_base,
    ..."""
    name = "hypercalls.toml"
    return toml.value(Mapping[str, int], toml.key(_read(name), "abi", name), f"{name}: abi")


@cache
def cores() -> Mapping[str, Core]:
    """Return the cores of the pipeline model by key; "ideal" is not a core but a lower bound."""
    name = "cores.toml"
    data = _read(name)
    known = toml.key(data, "core", name, dict)
    found = {}
    for key in known:
        where = f"{name}: core {key!r}"
        entry = toml.key(known, key, f"{name}: core", dict)
        if "like" in entry:
            like = toml.value(str, entry["like"], f"{where}: key 'like'")
            if like not in known:
                raise FactError(f"{where}: key 'like' names no core: {like!r}")
            entry = {**toml.key(known, like, f"{name}: core", dict), **entry}
        # The file's words where Python keeps them for itself.
        entry = {**entry, "key": key, "prices": toml.key(entry, "class", where)}
        del entry["class"]
        if "forward" in entry:
            forward = dict(toml.key(entry, "forward", where, dict))
            forward["from_"] = forward.pop("from", [])
            entry["forward"] = forward
        found[key] = toml.build(Core, entry, where, _sources(name))
        _check_core(found[key], where)
    return MappingProxyType(Named("core", found))


def _check_core(core: Core, where: str) -> None:
    if core.order not in ("in", "out"):
        raise FactError(f"{where}: key 'order' is 'in' or 'out', not {core.order!r}")
    for unit, count in core.units.items():
        if count < 1:
            raise FactError(f"{where}: key 'units': {unit!r} is {count}, want 1 or more")
    for name, price in core.prices.items():
        for unit in price.units:
            if unit not in core.units and unit not in core.groups:
                raise FactError(f"{where}: class {name!r}: the core has no unit {unit!r}")


def core(key: str) -> Core:
    """Return the core of that key; KeyError names the keys there are."""
    return cores()[key]


def modelled() -> tuple[str, ...]:
    """Return the keys of the real cores, in the file's order: from the smallest to the widest."""
    return tuple(key for key in cores() if key != "ideal")


def published(*, recalled: bool = False) -> tuple[Measurement, ...]:
    """Return the published measurements; those from memory only if `recalled` asks for them."""
    return _known(_published(), recalled)


def history(*, recalled: bool = False) -> tuple[Event, ...]:
    """Return the steps of the story in order; those from memory only if `recalled` asks for
    them."""
    return _known(_history(), recalled)


@cache
def suggestions() -> tuple[Suggestion, ...]:
    """Return the remarks on version 1 and their fate."""
    return _entries("history.toml", "suggestion", Suggestion, unique="key")


@cache
def glossary() -> tuple[Term, ...]:
    """Return the words of the course, in the order of the alphabet."""
    found = _entries("glossary.toml", "word", Term, unique="term")
    return tuple(sorted(found, key=lambda one: one.term.lower()))


@cache
def mca_figures() -> tuple[McaFigure, ...]:
    """Return llvm-mca's own figures for the dispatch paths, as recorded."""
    return _entries("mca.toml", "figure", McaFigure)


@cache
def _published() -> tuple[Measurement, ...]:
    return _entries("published.toml", "measurement", Measurement, unique="key")


@cache
def _history() -> tuple[Event, ...]:
    found = _entries("history.toml", "step", Event)
    return tuple(replace(e, confidence=e.confidence or e.source.confidence) for e in found)


def _known(entries: tuple, recalled: bool) -> tuple:
    return tuple(e for e in entries if recalled or e.confidence != "recalled")


@cache
def _read(name: str) -> dict[str, Any]:
    return toml.read(data_path(name), name)


@cache
def _sources(name: str) -> dict[str, Source]:
    named = toml.key({"source": {}, **_read(name)}, "source", name, dict)
    found = {
        key: toml.build(Source, entry, f"{name}: source {key!r}") for key, entry in named.items()
    }
    for key, source in found.items():
        _check_confidence(source, f"{name}: source {key!r}")
    return found


def _check_confidence(entry: Any, where: str) -> None:
    if getattr(entry, "confidence", "") not in (*CONFIDENCE, ""):
        known = ", ".join(CONFIDENCE)
        raise FactError(f"{where}: key 'confidence' is one of {known}, not {entry.confidence!r}")


def _entries(name: str, table: str, kind: type, unique: str = "") -> tuple:
    found, seen = [], set()
    for position, entry in enumerate(toml.key(_read(name), table, name, list)):
        where = f"{name}: {table} {position + 1}"
        entry = toml.build(kind, entry, where, _sources(name))
        _check_confidence(entry, where)
        mark = getattr(entry, unique, position)
        if mark in seen:
            raise FactError(f"{where}: key {unique!r} repeats {mark!r}")
        seen.add(mark)
        found.append(entry)
    return tuple(found)
