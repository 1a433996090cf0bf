"""Assembler expressions: text -> a 64-bit number that knows whether it is an address."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from hypkit.a64.registers import MASK64
from hypkit.asm import advice

MAX_DEPTH = 64
MAX_MESSAGE = 600


class Complaint(Exception):
    """What is wrong, in a sentence, and where in the statement (None: the whole statement)."""

    def __init__(self, message: str, at: int | None = None):
        super().__init__(message)
        if len(message) > MAX_MESSAGE:  # it quotes a word without end
            message = f"{message[:120]} ... {message[-MAX_MESSAGE + 125 :]}"
        self.message = message
        self.at = at


class Syntax(Complaint):
    """The expression itself cannot be read, whatever its names mean."""


class Unknown(Complaint):
    """A name that has no value (yet)."""

    def __init__(self, name: str, at: int | None = None):
        shown = name if len(name) <= 60 else name[:57] + "..."
        super().__init__(f"{shown!r} is not defined", at)
        self.name = name


class Value(NamedTuple):
    """`n`, and how many addresses are in it: 0 for a plain number, 1 for a place in memory."""

    n: int
    places: int = 0


Lookup = Callable[[str, int], Value]

TOKEN = re.compile(
    r"""\s*(?:
      (?P<local>\d+[bf](?![0-9A-Za-z_]))
    | (?P<number>0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)(?P<suffix>[uUlL]*)(?![0-9A-Za-z_])
    | (?P<char>'(?:\\.|[^\\])'?)
    | (?P<name>[A-Za-z_.$][A-Za-z0-9_.$]*)
    | (?P<op><<|>>|<=|>=|==|!=|<>|&&|\|\||[-+*/%&|^~!()<>\#])
    | (?P<colon>:)
    )""",
    re.VERBOSE | re.ASCII,
)

# GNU as binds | & ^ tighter than + and -, and << as tight as *; C does not. Both orders are kept,
# so that a text on which they disagree is refused instead of quietly meaning something else.
GNU_ORDER = {
    "*": 4, "/": 4, "%": 4, "<<": 4, ">>": 4, "|": 3, "&": 3, "^": 3, "+": 2, "-": 2,
    "==": 2, "!=": 2, "<>": 2, "<": 2, ">": 2, "<=": 2, ">=": 2, "&&": 1, "||": 0,
}  # fmt: skip
C_ORDER = {
    "*": 10, "/": 10, "%": 10, "+": 9, "-": 9, "<<": 8, ">>": 8, "<": 7, ">": 7, "<=": 7, ">=": 7,
    "==": 6, "!=": 6, "<>": 6, "&": 5, "^": 4, "|": 3, "&&": 2, "||": 1,
}  # fmt: skip
ESCAPES = {"n": 10, "t": 9, "r": 13, "b": 8, "f": 12, "0": 0, "\\": 92, "'": 39, '"': 34}


def evaluate(text: str, lookup: Lookup, at: int = 0) -> Value:
    """Return the value of `text`. `lookup(name, at)` gives names (also `.`, `1b`, `1f`) their
    values."""
    plain = text.strip()
    if (
        plain.isdecimal()
        and plain.isascii()
        and (plain[0] != "0" or plain == "0")
        and len(plain) < 19
    ):
        return Value(int(plain))
    return _Parser(text, lookup, at).whole()


def check_syntax(text: str, at: int) -> None:
    """Raise Syntax if the expression can be read in no case."""
    try:
        evaluate(text, lambda name, where: Value(1), at)
    except Syntax:
        raise
    except Complaint:
        pass  # depends on what the names mean


def complain_relocation(at: int | None) -> Complaint:
    """Return the complaint about :lo12: and its like."""
    return Complaint(
        "relocation operators such as :lo12: are not taken here; write `adr_l x0, symbol` for an "
        "address, `ldr_l x0, symbol` (or `str_l x0, symbol, tmp`) for the word stored there",
        at,
    )


class _Parser:
    def __init__(self, text: str, lookup: Lookup, at: int):
        self.text, self.lookup, self.at = text, lookup, at
        self.pos = 0
        self.depth = 0
        self.kind = ""
        self.token = ""
        self.start = 0
        self.advance()

    def advance(self) -> None:
        match = TOKEN.match(self.text, self.pos)
        if match is None:
            rest = self.text[self.pos :]
            self.start = self.pos + len(rest) - len(rest.lstrip())
            self.kind, self.token = ("end", "") if not rest.strip() else ("junk", rest.strip())
            return
        kind = match.lastgroup if match.lastgroup != "suffix" else "number"
        self.kind, self.token = kind or "junk", match.group(kind or 0)
        self.start, self.pos = match.start(kind or 0), match.end()

    def here(self) -> int:
        return self.at + self.start

    def whole(self) -> Value:
        if self.kind == "end":
            raise Syntax("a number or a name is missing here", self.at)
        value, _ = self.binary(0)
        if self.kind == "colon":
            raise complain_relocation(self.here())
        if self.kind != "end":
            raise Syntax(f"did not expect {self.token[:20]!r} here", self.here())
        return value

    def binary(self, floor: int) -> tuple[Value, str]:
        """Return the value, and its outermost operator if that is not inside parentheses."""
        left, left_op = self.unary()
        while self.kind == "op" and GNU_ORDER.get(self.token, -1) >= floor:
            op, where = self.token, self.here()
            self.advance()
            right, right_op = self.binary(GNU_ORDER[op] + 1)
            agree = (not left_op or C_ORDER[left_op] >= C_ORDER[op]) and (
                not right_op or C_ORDER[right_op] > C_ORDER[op]
            )
            if not agree:
                raise Complaint(
                    "C and the GNU assembler read this expression differently (here << binds like "
                    "*, and | & ^ bind tighter than + and -): add parentheses",
                    where,
                )
            left, left_op = _apply(op, left, right, where), op
        return left, left_op

    def unary(self) -> tuple[Value, str]:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Complaint(f"this expression is nested more than {MAX_DEPTH} deep", self.here())
        try:
            if self.kind == "op" and self.token in "-+~!":
                op, where = self.token, self.here()
                self.advance()
                value, _ = self.unary()
                if op == "+":
                    return value, ""
                if value.places:
                    raise Complaint(f"{op!r} cannot be applied to an address", where)
                n = {"-": -value.n, "~": ~value.n, "!": int(value.n == 0)}[op]
                return Value(_wrap(n)), ""
            return self.atom(), ""
        finally:
            self.depth -= 1

    def atom(self) -> Value:
        kind, token, where = self.kind, self.token, self.here()
        if kind == "number":
            self.advance()
            return Value(_number(token, where))
        if kind in ("name", "local"):
            self.advance()
            if self.token == "(" and kind == "name":
                raise Complaint(advice.call(token), where)
            return self.lookup(token, where)
        if kind == "char":
            self.advance()
            return Value(character(token, where))
        if token == "(":
            self.advance()
            value, _ = self.binary(0)
            if self.token != ")":
                raise Syntax("a closing parenthesis is missing", where)
            self.advance()
            return value
        if kind == "colon":
            raise complain_relocation(where)
        if kind == "end":
            raise Syntax("the expression stops where a number or a name should follow", where)
        raise Syntax(f"did not expect {token[:20]!r} here", where)


def character(token: str, at: int) -> int:
    """Return the code of a character constant, its closing quote there or not: 'a', '\\n, '\\''."""
    if token[1] != "\\":
        return ord(token[1])
    if token[2] not in ESCAPES or token[2] == "0":
        raise Complaint(
            f"expected one of \\n \\t \\r \\b \\f \\\\ \\' \\\" in a character constant; got \\{token[2]}, "
            "which C and the GNU assembler read differently: write the number",
            at,
        )
    return ESCAPES[token[2]]


def _number(token: str, at: int) -> int:
    low = token.lower()
    if len(low) > 70:
        raise Complaint("this number does not fit in 64 bits", at)
    if low.startswith("0x"):
        n = int(low, 16)
    elif low.startswith("0b"):
        n = int(low, 2)
    elif low.startswith("0") and len(low) > 1:
        if not set(low) <= set("01234567"):
            raise Complaint(f"{token} starts with 0, so it is octal, and has a digit above 7", at)
        n = int(low, 8)
    else:
        n = int(low)
    if n > MASK64:
        raise Complaint(f"{token} does not fit in 64 bits", at)
    return n


def _wrap(n: int) -> int:
    """Keep n exact while it fits a signed or unsigned 64-bit number, else modulo 2**64."""
    return n if -(1 << 63) <= n <= MASK64 else n & MASK64


def signed(n: int) -> int:
    """Return the low 64 bits of a number as a signed one."""
    n &= MASK64
    return n - (1 << 64) if n >> 63 else n


def _apply(op: str, a: Value, b: Value, at: int) -> Value:
    if a.places or b.places:
        if op == "+":
            return Value(_wrap(a.n + b.n), a.places + b.places)
        if op == "-":
            return Value(_wrap(a.n - b.n), a.places - b.places)
        if op in ("==", "!=", "<>", "<", ">", "<=", ">=") and a.places == b.places:
            return _apply(op, Value(a.n), Value(b.n), at)
        raise Complaint(
            f"{op!r} cannot be applied to an address: addresses move at boot, only address plus or "
            "minus a number and address minus address have a meaning",
            at,
        )
    return Value(_wrap(_plain(op, a.n, b.n, at)))


def _plain(op: str, x: int, y: int, at: int) -> int:
    """GNU as arithmetic: 64 bits, signed / and %, unsigned >>, comparisons give -1 for true."""
    match op:
        case "+":
            return x + y
        case "-":
            return x - y
        case "*":
            return x * y
        case "/" | "%":
            x, y = signed(x), signed(y)
            if y == 0:
                raise Complaint("division by zero", at)
            quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
            return quotient if op == "/" else x - quotient * y
        case "<<" | ">>":
            if not 0 <= y <= 63:
                raise Complaint(f"a shift by {y} is outside 0 to 63", at)
            return ((x & MASK64) << y) & MASK64 if op == "<<" else (x & MASK64) >> y
        case "&":
            return (x & y) if x >= 0 and y >= 0 else (x & y & MASK64)
        case "|" | "^":
            n = (x | y) if op == "|" else (x ^ y)
            return n
        case "&&":
            return int(bool(x) and bool(y))
        case "||":
            return int(bool(x) or bool(y))
    x, y = signed(x), signed(y)
    true = {"==": x == y, "!=": x != y, "<>": x != y, "<": x < y, ">": x > y, "<=": x <= y}
    return -1 if true.get(op, x >= y) else 0
