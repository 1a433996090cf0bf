"""The kernel's own list of its symbols, read from its memory.

scripts/kallsyms.c packs it: names as bytes that stand for tokens, a table of 256 tokens, and the
addresses as 32-bit offsets. Where the tables lie is found by their form, for nothing points to
them: the tokens for the digits are the digits, and the index of the tokens is known from them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np

from hypkit.machine.errors import MachineError

_DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
_TOKENS = 256
_LONGEST = 64  # bytes of a token, with what ends it
_MARKED = 256  # a marker stands at every so manieth name
# Where the next table may begin after one that ends anywhere: .balign 4 or .balign 8.
_ALIGNED = 8
# The markers stand so near to the tokens, and there are so many: a kernel has 20,000 symbols.
_NEAR, _LEAST = 8 << 20, 64


def symbols(memory: bytes, va: int) -> dict[str, int]:
    """Return name -> address of every symbol; of two with one name, the first.

    memory: what lies from the virtual address *va* on, the kernel's image in it, as it is while it
    runs. Raises MachineError where the list cannot be found.
    """
    for tokens, start, end in _token_tables(memory):
        markers = _markers(memory, start)
        if markers is None:
            continue
        place, count = markers
        names = _names(memory, place, count, tokens)
        if names is None:
            continue
        first, names_of = names
        addresses = _addresses(memory, va, first, end, len(names_of))
        if addresses is None:
            continue
        found: dict[str, int] = {}
        for name, address in zip(names_of, addresses, strict=True):
            found.setdefault(name, address)
        return found
    raise MachineError(
        "this kernel's list of symbols was not found: it needs CONFIG_KALLSYMS, in the form of "
        "Linux 5.10 to 7.2"
    )


def _token_tables(memory: bytes) -> Iterator[tuple[list[bytes], int, int]]:
    """(the tokens, where their table begins, where their index ends), for all that may be it."""
    for digits in re.finditer(re.escape(_DIGITS), memory):
        second = digits.start()  # of the second token, 47 tokens back
        for _ in range(ord("0") - 1):
            second = memory.rfind(b"\0", 0, max(0, second - 1)) + 1
        # What is before the first one says nothing of where it begins; but it is aligned.
        for start in range(second - 2 & -4, max(-1, second - 2 - _LONGEST), -4):
            tokens = memory[start : start + _TOKENS * _LONGEST].split(b"\0")[:_TOKENS]
            index = _index(tokens)
            at = start + sum(len(token) + 1 for token in tokens)
            place = memory.find(index, at, at + len(index) + _ALIGNED) if index else -1
            if place >= 0:
                yield tokens, start, place + len(index)
                break


def _index(tokens: list[bytes]) -> bytes:
    """The index that goes with these tokens: where each begins; nothing if they cannot have one."""
    offsets, at = [], 0
    for token in tokens:
        offsets.append(at)
        at += len(token) + 1
    if len(tokens) != _TOKENS or at >= 1 << 16:
        return b""
    return struct.pack(f"<{_TOKENS}H", *offsets)


def _markers(memory: bytes, end: int) -> tuple[int, int] | None:
    """(where the markers begin, how many there are): the last run of words before *end* that
    begins with zero and goes up by what so many names take."""
    begin = max(0, end - _NEAR) & -4
    words = np.frombuffer(memory, "<u4", (end - begin) // 4, begin).astype(np.int64)
    steps = np.diff(words)
    rising = (steps >= 2 * _MARKED) & (steps < _MARKED << 8)
    edges = np.diff(np.concatenate(([False], rising, [False])).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    good = (words[starts] == 0) & (ends - starts >= _LEAST)
    if not good.any():
        return None
    start, stop = int(starts[good][-1]), int(ends[good][-1])
    return begin + 4 * start, stop - start + 1


def _names(
    memory: bytes, markers: int, count: int, tokens: list[bytes]
) -> tuple[int, list[str]] | None:
    """(where the number of names stands, the names): before the markers, as long as they say."""
    last = struct.unpack_from("<I", memory, markers + 4 * (count - 1))[0]
    for at in range((markers - last) & -4, markers - last - (_MARKED << 8), -4):
        (number,) = struct.unpack_from("<I", memory, at)
        if (count - 1) * _MARKED < number <= count * _MARKED:
            for start in (at + 4, at + 8):
                if (names := _unpacked(memory, start, markers, count, number, tokens)) is not None:
                    return at, names
    return None


def _unpacked(
    memory: bytes, start: int, markers: int, count: int, number: int, tokens: list[bytes]
) -> list[str] | None:
    """The names that begin at *start*; None where the markers say otherwise."""
    marks = struct.unpack_from(f"<{count}I", memory, markers)
    names, at = [], start
    for n in range(number):
        if n % _MARKED == 0 and at - start != marks[n // _MARKED]:
            return None
        length, at = memory[at], at + 1
        if length & 0x80:  # since 6.1 a long name has a second byte of length
            length, at = length & 0x7F | memory[at] << 7, at + 1
        # The first character is the kind of symbol, as nm shows it.
        names.append(
            b"".join(map(tokens.__getitem__, memory[at : at + length]))[1:].decode(
                "ascii", "replace"
            )
        )
        at += length
    return names if at <= markers else None


def _addresses(memory: bytes, va: int, first: int, end: int, number: int) -> list[int] | None:
    """The addresses, by whichever of three forms this kernel has.

    Until 6.3 the offsets end before the number of names, with what they are relative to between
    the two; then they begin after the index of the tokens, with that after them; the newest are
    relative to their own places.
    """
    image = va, va + len(memory)
    size = 4 * number
    places = [(at, at + size + pad & -8) for at in (end, end + 4) for pad in (0, 7)]
    places += [(base - size - gap & -4, base) for base in (first - 8, first - 12) for gap in (0, 4)]
    for at, base in places:
        (relative,) = struct.unpack_from("<Q", memory, base)
        if image[0] <= relative < image[1]:
            offsets = np.frombuffer(memory, "<u4", number, at).astype(np.uint64)
            if (np.diff(offsets.astype(np.int64)) >= 0).all():
                return [int(address) for address in offsets + np.uint64(relative)]
    for at in (end + 2 & -4, end + 6 & -8, end + 6 & -4):
        offsets = np.frombuffer(memory, "<i4", number, at).astype(np.int64)
        own = offsets + at + 4 * np.arange(number)
        if (np.diff(own) >= 0).all() and -len(memory) < own[0] < len(memory):
            return [va + int(address) for address in own]
    return None
