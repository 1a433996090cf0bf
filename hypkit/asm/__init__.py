"""Assembler text -> `Program`: bytes, symbols and the line of every instruction.

This front end does everything itself except the final encoding: labels, macros, directives,
expressions, literal pools and everything that depends on the PC. What is left of an instruction is
a text without names, such as `cmp x0, #0xe`. Its word is looked up in the recorded encodings
(`data/encodings.json`), and only on a miss is an engine asked, Keystone or LLVM, in a child process.
So the shipped guest assembles without waiting for one, and no text can end the Python process.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Mapping
from typing import Any

from hypkit.asm import linker
from hypkit.asm.engines import Engine
from hypkit.asm.program import AsmError, Program, Unit
from hypkit.asm.recorded import encodings, recording, write_encodings

__all__ = [
    "AsmError",
    "Program",
    "Unit",
    "assemble",
    "encodings",
    "engine",
    "link",
    "record",
    "recording",
    "write_encodings",
]

engine = Engine()
atexit.register(engine.close)


def assemble(
    text: str,
    base: int = 0,
    *,
    symbols: Mapping[str, int] | None = None,
    constants: Mapping[str, int] | None = None,
    name: str = "<text>",
) -> Program:
    """Assemble A64 text in the syntax of GNU as.

    Args:
        text: The text, up to 256 KiB.
        base: The address at which it will lie, a multiple of 4.
        symbols: Names of addresses outside the text, which move with it.
        constants: Names of plain numbers.
        name: What errors call the text.

    Returns:
        The program: its bytes, its labels, the line of every instruction.

    Raises:
        AsmError: The text cannot be assembled; says where and why.
        TypeError, ValueError: Arguments that make no sense.
    """
    return link([Unit(name, text, base)], symbols=symbols, constants=constants)[0]


def link(
    units: Iterable[Unit],
    *,
    symbols: Mapping[str, int] | None = None,
    constants: Mapping[str, int] | None = None,
    prelude: str = "",
    known: Mapping[str, int] | None = None,
) -> list[Program]:
    """Assemble several units that see each other's labels (but not numeric and .L labels).

    Args:
        units: The texts, in the order in which they lie.
        symbols: Names of addresses outside all units.
        constants: Names of plain numbers.
        prelude: Macros and .equ for every unit, not counted in line numbers.
        known: Words by canonical text, beside the recorded ones.

    Returns:
        A program for each unit.

    Raises:
        AsmError: A text that cannot be assembled.
        TypeError, ValueError: Arguments that make no sense.
    """
    return linker.link(engine, units, symbols, constants, prelude, known)


def record(units: Iterable[Unit], **options: Any) -> dict[str, int]:
    """Return canonical text -> word of every looked-up instruction of units; options as `link`."""
    with recording() as words:
        link(units, **options)
    return words
