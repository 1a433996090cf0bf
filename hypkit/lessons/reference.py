"""The course on a page: its remarks, variants, functions, parts and words, each from its one source."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass

from hypkit import facts
from hypkit.a64.pagetables import Walk
from hypkit.call import Call, Panic
from hypkit.emu import Machine
from hypkit.errors import UnknownName, did_you_mean, shown
from hypkit.kernel.variants import VARIANTS
from hypkit.pictures import html
from hypkit.pictures.rows import Rows
from hypkit.trace import Step, Trace

# Where each variant is explained; the rest of it is in hypkit/kernel/variants.py.
EXPLAINED = {
    "fnptr": "01", "numbered": "01", "adr_l": "07", "cached": "08", "reviewed": "09",
    "jump_table": "04", "smccc": "04", "patched": "08", "relocated": "10", "vhe": "01",
}  # fmt: skip
# What a learner needs of each, in the order in which it is met; the words are their docstrings'.
PARTS: dict[type, tuple[str, ...]] = {
    Machine: ("call", "hvc", "reg", "sysreg", "panicked", "reboot", "snapshot", "restore",
              "address", "x0_of", "translate", "read", "poke", "entry_of", "run", "close"),
    Call: ("trace", "cost", "timing", "result"),
    Trace: ("find", "origin", "last_write", "diff"),
    Step: ("el", "pc", "symbol", "text", "regs", "changed", "memory", "exception"),
    Walk: ("fault", "writable"),
    Panic: ("why",),
}  # fmt: skip
# Attributes that have no docstring of their own: their class's docstring has them.
ATTRIBUTES = {
    Machine: (("layout", "the machine's addresses: offsets, mask and tag"),
              ("image", "its kernel: .source(name), .symbolize(address), .dispatcher"),
              ("boot_trace", "the steps of its boot"),
              ("key", "the name of its variant")),
    Call: (("x0, x1, x2, x3", "the host's registers afterwards"),
           ("outcome", "returned, panicked, oopsed, restarted or runaway"),
           ("message", "the same in a sentence")),
    Trace: (),
    Step: (("index", "its place in the trace, from 0"),),
    Walk: (("pa", "the physical address; None where the walk fails"),
           ("levels", "one lookup each: .level, .table, .index, .descriptor, .kind")),
    Panic: (("esr, elr, far", "the three registers to read first"),),
}  # fmt: skip


@dataclass(frozen=True)
class Table(Rows):
    """One table of the reference.

    about: a sentence, for a page that has room for one; widths: of the columns, in CSS.
    """

    about: str = ""
    widths: tuple[str, ...] = ()

    __repr__ = Rows.__repr__

    def _columns(self) -> list[html.Column]:
        return [html.Column(h, width=w) for h, w in zip(self.heads, self.widths, strict=True)]


def _table(
    title: str,
    about: str,
    heads: tuple[str, ...],
    rows: tuple[tuple[str, ...], ...],
    widths: tuple[str, ...],
) -> Table:
    return Table(heads, rows, title, about, widths)


def reference(name: str) -> Table:
    """Return one table of the course's map.

    Args:
        name: "remarks", "variants", "functions", "stubs", "machine", or "words".

    Raises:
        KeyError: there is no such table.
    """
    if not isinstance(name, str) or name not in TABLES:
        raise UnknownName(
            f"no table {shown(name)}; there are: {', '.join(TABLES)}{did_you_mean(name, TABLES)}"
        )
    return TABLES[name]()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _remarks() -> Table:
    rows = tuple(
        (
            _capital(one.what.removeprefix("Not in the review: ")),
            f"“{one.quote}”" if one.quote else "not in the review",
            one.v2,
            one.lesson,
        )
        for one in facts.suggestions()
    )
    return _table(
        "The remarks of the review",
        "What Marc Zyngier asked for on 7 May 2020, in our words and in a few of his.",
        ("what was asked for", "his words", "version 2 of the patch", "lesson"),
        rows,
        ("", "", "", "5em"),
    )


def _variants() -> Table:
    rows = tuple(
        (f"`{key}`", one.title, one.about, one.source, EXPLAINED[key])
        for key, one in VARIANTS.items()
    )
    return _table(
        "The ten variants",
        "Each is a machine: `Machine(name)`. You need not know them now; each comes when its lesson "
        "does.",
        ("name", "in short", "how it finds the function", "from", "lesson"),
        rows,
        ("7.5em", "9em", "", "8em", "5em"),
    )


def _functions() -> Table:
    rows = tuple(
        (str(one.index), f"`{one.prototype}`", one.what.strip()) for one in facts.hypercalls()
    )
    return _table(
        "The fourteen functions",
        "What the host can ask for, in the order of the patch: 0x100 is added to the place.",
        ("place", "function", "what it does"),
        rows,
        ("5em", "", ""),
    )


def _stubs() -> Table:
    rows = tuple(
        (str(one.number), f"`{one.name}`", one.what, "; ".join(one.args) or "–")
        for one in facts.stubs()
    )
    return _table(
        "The three stub calls",
        "Calls from before KVM is there. Once it is installed, numbers 1 and 2 still work.",
        ("x0", "name", "what it does", "takes"),
        rows,
        ("3em", "13em", "", ""),
    )


def _machine() -> Table:
    rows: list[tuple[str, ...]] = []
    for kind, names in PARTS.items():
        own = kind.__name__
        rows += [(own, f"`.{name}`", said) for name, said in ATTRIBUTES[kind]]
        rows += [(own, f"`.{name}{_arguments(kind, name)}`", _first(kind, name)) for name in names]
    return _table(
        "A machine and its parts",
        "`m = Machine(...)`; `m.call(...)` and `m.hvc(...)` give a Call, whose `.trace` is a list of "
        "Steps; `m.translate(...)` gives a Walk; `m.panicked` a Panic.",
        ("of a", "name", "what it gives"),
        tuple(rows),
        ("5em", "14em", ""),
    )


def _arguments(kind: type, name: str) -> str:
    found = getattr(kind, name)
    if isinstance(found, property):
        return ""
    given = [one for one in inspect.signature(found).parameters if one != "self"]
    return f"({', '.join(given)})"


def _first(kind: type, name: str) -> str:
    """Return the first sentence of a docstring, without the verb that each begins with."""
    said = " ".join((inspect.getdoc(getattr(kind, name)) or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<=[a-z)])[.:;](?: |$)", said)[0].rstrip(".")
    return re.sub(r"^Return (?:whether )?", "", sentence).replace("*", "")


def _words() -> Table:
    rows = tuple((one.term, one.meaning, one.lesson) for one in facts.glossary())
    return _table(
        "The words of the course",
        "Each with the lesson that explains it.",
        ("word", "what it means", "lesson"),
        rows,
        ("11em", "", "5em"),
    )


TABLES: dict[str, Callable[[], Table]] = {
    "remarks": _remarks,
    "variants": _variants,
    "functions": _functions,
    "stubs": _stubs,
    "machine": _machine,
    "words": _words,
}
