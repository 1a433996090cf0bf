"""The condition codes of A64: their names, their numbers, and when they hold (Arm ARM, C1.2.4)."""

from __future__ import annotations

from collections.abc import Callable

from hypkit.a64.pstate import PSTATE_C, PSTATE_N, PSTATE_V, PSTATE_Z

# The place of a name is its number in an instruction.
CONDITIONS = ("eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc",
              "hi", "ls", "ge", "lt", "gt", "le", "al", "nv")  # fmt: skip
OTHER_NAMES = {"cs": "hs", "cc": "lo"}
NUMBERS = {name: number for number, name in enumerate(CONDITIONS)}
NUMBERS |= {other: NUMBERS[name] for other, name in OTHER_NAMES.items()}

# By the number without its lowest bit, which inverts the test.
_TESTS: tuple[Callable[[bool, bool, bool, bool], bool], ...] = (
    lambda n, z, c, v: z,
    lambda n, z, c, v: c,
    lambda n, z, c, v: n,
    lambda n, z, c, v: v,
    lambda n, z, c, v: c and not z,
    lambda n, z, c, v: n == v,
    lambda n, z, c, v: n == v and not z,
)


def holds(condition: str, pstate: int) -> bool:
    """Return whether a condition holds with these flags.

    condition: a name of CONDITIONS, or cs or cc; pstate: a PSTATE value. KeyError for another name.
    """
    number = NUMBERS[condition]
    if number >= 14:
        return True
    flags = (bool(pstate & bit) for bit in (PSTATE_N, PSTATE_Z, PSTATE_C, PSTATE_V))
    return _TESTS[number >> 1](*flags) is not bool(number & 1)
