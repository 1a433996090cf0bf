"""Directives that put data or padding into a program, and how numbers become bytes."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypkit.a64 import effects
from hypkit.a64.registers import MASK64
from hypkit.asm.expressions import ESCAPES, Complaint, Value
from hypkit.asm.source import split_commas

# Works out an expression that must be known at this point: (text, where, else complain with this).
Plain = Callable[[str, int, str], int]

MAX_CODE = 1 << 21  # bytes a unit may grow to
NOP = effects.NOP.to_bytes(4, "little")
SIZES = {".byte": 1, ".hword": 2, ".2byte": 2, ".short": 2, ".word": 4, ".4byte": 4, ".long": 4,
        ".int": 4, ".quad": 8, ".8byte": 8, ".xword": 8, ".dword": 8, ".inst": 4}  # fmt: skip
NUMERIC_ESCAPE = re.compile(r"[0-7]{1,3}|x[0-9a-fA-F]+")


def padding(here: int, word: str, rest: str, at: int, plain: Plain) -> bytes:
    """Return what .align and its like put at address *here*, as GNU as does in code: nops, after zeros up
    to a multiple of 4."""
    parts = [(p.strip(), at + o) for p, o in split_commas(rest)]
    n = plain(*parts[0], f"{word} must be known at this point") if parts[0][0] else -1
    if word == ".balign":
        step = n
        if n < 1 or n & (n - 1) or n > 1 << 20:
            raise Complaint(f".balign needs a power of two up to 1 MiB, not {parts[0][0]!r}", at)
    else:
        if not 0 <= n <= 20:
            raise Complaint(
                f"{word} N aligns to 2 to the power N, N from 0 to 20, not {parts[0][0]!r} "
                "(`.balign 16` takes bytes)",
                at,
            )
        step = 1 << n
    count = -here % step
    if len(parts) > 2 and parts[2][0]:
        if count > plain(*parts[2], f"{word} must be known at this point"):
            return b""
    if len(parts) > 1 and parts[1][0]:
        fill = plain(*parts[1], f"{word} must be known at this point") & 0xFF
        return bytes([fill]) * min(count, MAX_CODE)
    zeros = -here % 4 if count >= 4 or not (here + count) & 3 else count
    zeros = min(zeros, count)
    return bytes(zeros) + NOP * ((count - zeros) // 4)


def space(word: str, rest: str, at: int, plain: Plain) -> bytes:
    """Return what .zero, .skip, .space and .fill put into the program."""
    parts = [(p.strip(), at + o) for p, o in split_commas(rest)]
    why = f"the size of {word} must be known at this point"
    numbers = [plain(p, w, why) for p, w in parts if p]
    if not numbers or len(numbers) != len(parts) or len(numbers) > 2 + (word == ".fill"):
        raise Complaint(
            f"{word} is written `{word} {'count, size, value' if word == '.fill' else 'count'}`"
        )
    if word == ".fill":
        count, size, fill = numbers + [1, 0][len(numbers) - 1 :]
        if not 0 <= size <= 8:
            raise Complaint(".fill repeats units of 0 to 8 bytes", at)
    else:
        count, size, fill = numbers[0], 1, numbers[1] if len(numbers) > 1 else 0
    if not 0 <= count * size <= MAX_CODE:
        raise Complaint(f"{word} of {count * size:,} bytes is outside 0 to {MAX_CODE:,}", at)
    if word == ".fill":  # GNU as keeps the low 4 bytes of the value only
        unit = (fill & 0xFFFFFFFF).to_bytes(8, "little")[:size]
    else:
        unit = bytes([fill & 0xFF])
    return unit * count


def string(text: str, at: int) -> bytes:
    """Return the bytes of a quoted string with C escapes."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise Complaint('expected a string in double quotes, "like this"', at)
    out = bytearray()
    body = text[1:-1]
    i = 0
    while i < len(body):
        c = body[i]
        if c == '"':
            raise Complaint("the string ends here, and a comma is missing after it", at + 1 + i)
        if c != "\\":
            out += c.encode()
            i += 1
            continue
        match = NUMERIC_ESCAPE.match(body, i + 1)
        if match:
            code = match.group()
            out.append(int(code[1:], 16) & 0xFF if code[0] == "x" else int(code, 8) & 0xFF)
            i = match.end()
        elif i + 1 < len(body) and body[i + 1] in ESCAPES:
            out.append(ESCAPES[body[i + 1]])
            i += 2
        else:
            raise Complaint(f"unknown escape {body[i : i + 2]} in this string", at + 1 + i)
    return bytes(out)


def fit(value: Value, size: int, word: str, text: str, at: int) -> tuple[bytes, bool]:
    """Return a value as `size` bytes, and whether they hold an address that moves.

    Raises Complaint where it does not fit.
    """
    if value.places and (value.places != 1 or size != 8):
        raise Complaint(
            f"{text.strip()!r} is an address, and {word} has {size * 8} bits: use .quad, or write "
            "the distance from another label (here - there)"
            if value.places == 1
            else f"{text.strip()!r} adds up addresses",
            at,
        )
    n = value.n
    if not -(1 << (8 * size - 1)) <= n < 1 << (8 * size):
        raise Complaint(f"{n:#x} does not fit in the {size * 8} bits of {word}", at)
    return (n & MASK64 & ((1 << (8 * size)) - 1)).to_bytes(size, "little"), value.places == 1
