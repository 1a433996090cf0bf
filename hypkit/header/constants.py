"""Integer constant expressions of C, with the types that they have on arm64.

Part of the compiler's child process (compiler): it imports nothing of hypkit.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

# The types that a constant may have, (bits, unsigned), the first that holds it. One in decimal
# digits is unsigned only where nothing else holds it, and where it says so with a U.
DECIMAL = (32, False), (64, False), (64, True)
OTHER = (32, False), (32, True), (64, False), (64, True)


class Mistake(Exception):
    """What is wrong, and where: a file of the job (or of ours) and a line of it."""

    def __init__(self, message: str, file: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.message, self.file, self.line = message, os.path.basename(file or ""), line


class Unknown(Mistake):
    """A name without a value."""

    def __init__(self, name: str, file: str, line: int) -> None:
        super().__init__(
            f"{name!r} is not a constant: no #define and no enum gives it a value", file, line
        )
        self.name = name


class Number(NamedTuple):
    """A value and its type in the C of arm64: int has 32 bits, long has 64."""

    value: int
    bits: int = 32
    unsigned: bool = False


def common(left: Number, right: Number) -> tuple[int, bool]:
    """(bits, unsigned) of the type in which C works with both."""
    bits = max(left.bits, right.bits)
    return bits, any(one.unsigned and one.bits == bits for one in (left, right))


class Evaluator:
    """Integer constant expressions of C."""

    def __init__(self) -> None:
        from pycparser import c_ast

        self.c, self.known = c_ast, {}

    def at(self, node) -> tuple[str, int]:
        coord = getattr(node, "coord", None)
        return (str(coord.file or ""), coord.line or 0) if coord else ("", 0)

    def declare(self, tree) -> None:
        """Take the values of all enumerators outside of functions, and prove the assertions."""
        for node in tree.ext:
            if isinstance(node, self.c.StaticAssert):
                self.prove(node)
            for inner in self.types(node):
                self.enum(inner)

    def types(self, node):
        while node is not None and not isinstance(node, self.c.FuncDef):
            if isinstance(node, self.c.Enum):
                yield node
            node = getattr(node, "type", None)

    def prove(self, node) -> None:
        if not self.value(node.cond):
            said = getattr(node.message, "value", "").strip('"')
            raise Mistake("static assertion failed" + (f": {said}" if said else ""), *self.at(node))

    def enum(self, node) -> None:
        following = 0
        for one in node.values.enumerators if node.values else ():
            value = following if one.value is None else self.value(one.value)
            if one.name in self.known:
                raise Mistake(
                    f"the enumerator {one.name} is there already: an enum cannot have "
                    "one name twice",
                    *self.at(one),
                )
            self.known[one.name] = self.smallest(value, DECIMAL, one)
            following = value + 1

    def value(self, node) -> int:
        return self.number(node).value

    def smallest(self, value: int, types, node) -> Number:
        """The value in the first of the types, (bits, unsigned), that holds it."""
        for bits, unsigned in types:
            low = 0 if unsigned else -(1 << bits - 1)
            if low <= value < low + (1 << bits):
                return Number(value, bits, unsigned)
        raise Mistake("this number does not fit into 64 bits", *self.at(node))

    def result(self, value: int, bits: int, unsigned: bool, node) -> Number:
        """A result of that type: an unsigned one wraps around, another overflows."""
        if unsigned:
            return Number(value & (1 << bits) - 1, bits, True)
        if bits == 32 and not -(1 << 31) <= value < 1 << 31:
            raise Mistake(
                f"{value} does not fit into an int, which has 32 bits: write UL behind "
                "the number that it begins with, as in 1UL << 40",
                *self.at(node),
            )
        return self.smallest(value, [(bits, False)], node)

    def number(self, node) -> Number:
        c = self.c
        if isinstance(node, c.Constant):
            return self.constant(node)
        if isinstance(node, c.ID):
            if node.name not in self.known:
                raise Unknown(node.name, *self.at(node))
            return self.known[node.name]
        if isinstance(node, c.UnaryOp) and node.op in ("+", "-", "~", "!"):
            value, bits, unsigned = self.number(node.expr)
            if node.op == "!":
                return Number(int(not value))
            value = {"+": value, "-": -value, "~": ~value}[node.op]
            return self.result(value, bits, unsigned, node)
        if isinstance(node, c.TernaryOp):
            return self.choice(node)
        if isinstance(node, c.Cast):
            return self.cast(node)
        if isinstance(node, c.BinaryOp):
            return self.binary(node)
        kind = type(node).__name__
        what = {
            "FuncCall": "a function call",
            "Assignment": "an assignment",
            "ArrayRef": "an array element",
        }.get(kind, "this")
        raise Mistake(f"{what} is not a constant expression", *self.at(node))

    def constant(self, node) -> Number:
        if node.type == "char" and len(node.value) == 3:
            return Number(ord(node.value[1]))
        found = re.fullmatch(
            r"(0[xX][0-9a-fA-F]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)([uUlL]*)", node.value[:80]
        )
        if "int" not in node.type or not found:
            raise Mistake(f"{node.value[:40]} is not a whole number", *self.at(node))
        digits, suffix = found[1], found[2].lower()
        decimal = digits[0] != "0"
        value = int(digits, 10 if decimal else 0 if digits[1:2].lower() in ("x", "b") else 8)
        return self.smallest(
            value,
            [
                (bits, unsigned or "u" in suffix)
                for bits, unsigned in (DECIMAL if decimal else OTHER)
                if bits == 64 or "l" not in suffix
            ],
            node,
        )

    def cast(self, node) -> Number:
        value = self.value(node.expr)
        names = getattr(getattr(node.to_type.type, "type", None), "names", ())
        if not names or not set(names) <= {"unsigned", "signed", "char", "short", "int", "long"}:
            raise Mistake("a constant can only be cast to an integer type", *self.at(node))
        bits = {"char": 8, "short": 16, "long": 64}.get(
            next((name for name in names if name in ("char", "short", "long")), ""), 32
        )
        unsigned = "unsigned" in names or "char" in names and "signed" not in names  # as arm64 does
        value &= (1 << bits) - 1
        if not unsigned and value >> bits - 1:
            value -= 1 << bits
        return Number(value, max(bits, 32), unsigned and bits >= 32)

    def choice(self, node) -> Number:
        yes = self.value(node.cond)
        chosen = self.number(node.iftrue if yes else node.iffalse)
        try:
            other = self.number(node.iffalse if yes else node.iftrue)
        except Mistake:
            return chosen  # what is not chosen may divide by zero
        return self.result(chosen.value, *common(chosen, other), node)

    def binary(self, node) -> Number:
        left = self.number(node.left)
        if node.op in ("&&", "||"):
            decided = bool(left.value) == (node.op == "||")
            return Number(int(bool(left.value if decided else self.value(node.right))))
        right = self.number(node.right)
        if node.op in ("<<", ">>"):
            if not 0 <= right.value < left.bits:
                raise Mistake(
                    f"a shift by {right.value} is undefined: what is shifted has {left.bits} bits",
                    *self.at(node),
                )
            shifted = left.value << right.value if node.op == "<<" else left.value >> right.value
            return self.result(shifted, left.bits, left.unsigned, node)
        bits, unsigned = common(left, right)
        a, b = (one.value & (1 << bits) - 1 if unsigned else one.value for one in (left, right))
        if node.op in ("==", "!=", "<", ">", "<=", ">="):
            return Number(
                int(
                    {
                        "==": a == b,
                        "!=": a != b,
                        "<": a < b,
                        ">": a > b,
                        "<=": a <= b,
                        ">=": a >= b,
                    }[node.op]
                )
            )
        if node.op in ("/", "%"):
            if not b:
                raise Mistake("division by zero", *self.at(node))
            quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
            found = quotient if node.op == "/" else a - quotient * b
        else:
            found = {"+": a + b, "-": a - b, "*": a * b, "&": a & b, "|": a | b, "^": a ^ b}[
                node.op
            ]
        return self.result(found, bits, unsigned, node)
