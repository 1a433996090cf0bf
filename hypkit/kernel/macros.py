"""The macros that a dispatcher may use, as data: how each is written, what it does and changes.

The kit's macros say so themselves, in the line "For dispatchers: ..." above each `.macro` of
guest/macros.inc; three more are the assembler's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MACROS = Path(__file__).with_name("guest") / "macros.inc"
_HEAD = re.compile(
    r"^// For dispatchers: (.*?)\. Changes (.*)\.\n\.macro (\w+) *(.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class GuestMacro:
    """A macro: its name, how a call is written, what it does, and what it changes, in words."""

    name: str
    usage: str
    does: str
    changes: str


# The assembler's own (hypkit/asm/encode.py, far_pair).
BUILT_IN = (
    GuestMacro("adr_l", "adr_l reg, symbol", "the address of a symbol up to 4 GiB away", "reg"),
    GuestMacro(
        "ldr_l", "ldr_l reg, symbol[, tmp]", "the word stored at a symbol", "reg, tmp if given"
    ),
    GuestMacro("str_l", "str_l reg, symbol, tmp", "store a word at a symbol", "tmp"),
)


class MacroTable(tuple[GuestMacro, ...]):
    """Macros, shown as a table."""

    def __repr__(self) -> str:
        wide = max(len(macro.usage) for macro in self)
        return "\n".join(f"{m.usage:{wide}}  {m.does}; changes {m.changes}" for m in self)

    def _repr_markdown_(self) -> str:
        rows = (f"| `{m.usage}` | {m.does} | {m.changes} |" for m in self)
        return "\n".join(("| Macro | What it does | What it changes |", "|---|---|---|", *rows))


@cache
def dispatcher_macros() -> MacroTable:
    """Return the macros that a dispatcher may use, those of the kit and of the assembler."""
    found = (
        GuestMacro(name, f"{name} {', '.join(parameters.split(', '))}".strip(), does, changes)
        for does, changes, name, parameters in _HEAD.findall(MACROS.read_text(encoding="utf-8"))
    )
    return MacroTable((*found, *BUILT_IN))


# So that help(dispatcher_macros) lists them.
dispatcher_macros.__doc__ = f"{dispatcher_macros.__doc__}\n\n{dispatcher_macros()!r}\n"
