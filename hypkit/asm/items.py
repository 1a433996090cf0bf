"""What takes room in a program: instructions, data, and the entries of literal pools."""

from __future__ import annotations

from typing import Any

from hypkit.asm.source import Stmt


class Item:
    """Something that takes room: kind is 'insn', 'data', 'bytes' or 'literal'."""

    __slots__ = ("addr", "size", "kind", "stmt", "order", "payload")

    def __init__(self, addr: int, size: int, kind: str, stmt: Stmt, order: int, payload: Any):
        self.addr, self.size, self.kind = addr, size, kind
        self.stmt, self.order, self.payload = stmt, order, payload


class Literal:
    """A pool entry: `ldr x0, =expr` of any number of loads."""

    def __init__(self, text: str, at: int, size: int, item: Item):
        self.text, self.at, self.size, self.first = text, at, size, item
        self.addr: int | None = None
