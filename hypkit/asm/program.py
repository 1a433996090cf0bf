"""What goes into the assembler and what comes out: `Unit`, `Program`, and `AsmError`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypkit.errors import KitError


class AsmError(KitError, ValueError):
    """A text that cannot be assembled: where (`name`, 1-based `line` and `column`), the offending
    line (`text`), and why (`message`)."""

    def __init__(
        self, message: str, line: int = 1, column: int = 1, text: str = "", name: str = ""
    ):
        super().__init__(message)
        self.message, self.line, self.column = message, line, column
        self.text, self.name = text, name

    def __str__(self) -> str:
        start = max(0, self.column - 80)
        shown = self.text[start : start + 120]
        pad = "".join(c if c == "\t" else " " for c in shown[: self.column - 1 - start])
        head = f"{self.name}:{self.line}:{self.column}: {self.message}"
        if not shown.strip() or not shown.isprintable() and "\t" not in shown:
            return head
        return f"{head}\n    {shown}\n    {pad}^"

    def __reduce__(self) -> tuple[object, ...]:
        return AsmError, (self.message, self.line, self.column, self.text, self.name)


@dataclass(frozen=True)
class Program:
    """An assembled text.

    Attributes:
        name: The name that was given to the text.
        base: The address at which `code` is to be placed.
        code: The bytes, little-endian.
        symbols: Label defined here -> absolute address (no numeric and no .L labels).
        lines: Address of each instruction and data item -> 1-based line of the text. What a macro
            makes has the line of the call, a literal the line of its ldr.
        relocs: Offsets in `code` of the 64-bit words that hold an address and move with the
            program.
        source: The text.
    """

    name: str
    base: int
    code: bytes = field(repr=False)
    symbols: dict[str, int] = field(repr=False)
    lines: dict[int, int] = field(repr=False)
    relocs: tuple[int, ...] = field(repr=False)
    source: str = field(repr=False)

    def __repr__(self) -> str:
        size = len(self.code)
        count = len(self.symbols)
        return (
            f"<Program {self.name!r}: {size} byte{'s' * (size != 1)} at {self.base:#x}, "
            f"{count} symbol{'s' * (count != 1)}>"
        )


@dataclass(frozen=True)
class Unit:
    """A text to be linked. base None: right after the unit before it, at a multiple of `align`."""

    name: str
    text: str
    base: int | None = None
    align: int = 8
