"""The registers of a processor's state at an instruction, and the numbers they hold."""

from __future__ import annotations

MASK64 = (1 << 64) - 1

# In the order in which everything that keeps a state has them: bit i of a trace row's mask, and
# place i of what the hooks read.
REGISTERS = (*(f"x{n}" for n in range(31)), "sp", "pstate")


def sign_extended(value: int, bits: int) -> int:
    """Return a field of so many bits as the signed number that it stands for."""
    return value - (1 << bits) if value >> bits - 1 & 1 else value
