"""What a hostile host sends: numbers and pointers at every edge that a dispatcher could miss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.emu import Machine
from hypkit.kernel.addresses import SPACES

Random = np.random.Generator
ARGUMENTS = 6
# Calls that take EL2 down by design: two of them are enough in a thousand.
STUB_CALLS = np.arange(3, dtype=np.uint64)


def constants(code: bytes) -> Iterator[int]:
    """Yield the numbers that a dispatcher compares or computes with, as its code has them.

    A number that it alone knows would not be met by chance among 2**64.
    """
    known = 0
    for at in range(0, len(code) - 3, 4):
        word = int.from_bytes(code[at : at + 4], "little")
        yield int.from_bytes(code[at : at + 8], "little")  # a word of its literal pool, perhaps
        if word & 0x1F00_0000 == 0x1100_0000:  # ADD, SUB, CMP (immediate): C4.1.92
            yield (word >> 10 & 0xFFF) << 12 * (word >> 22 & 1)
        elif word & 0x1F80_0000 == 0x1280_0000:  # MOVN, MOVZ, MOVK
            shift, part = 16 * (word >> 21 & 3), word >> 5 & 0xFFFF
            kept = known & ~(0xFFFF << shift) if word >> 29 & 3 == 3 else 0
            known = kept | part << shift
            yield known if word >> 29 & 3 else ~known & MASK64


class Hostile:
    """A source of hostile requests against one machine, out of any generator of random numbers."""

    def __init__(self, machine: Machine) -> None:
        image, layout = machine.image, machine.layout
        self._good = self._examples(machine)
        numbers = image.variant.numbers
        if numbers:
            self.valid = np.array(sorted(numbers.values()), dtype=np.uint64)
        else:
            self.valid = np.array([machine.x0_of(name) for name in image.variant.calls], np.uint64)
        self.pointers = np.array(
            [machine.address(name, "linear") for name in ("vcpu0", "vcpu1", "kvm0")], np.uint64
        )
        self.addresses = np.array(
            sorted(
                {
                    names[space]
                    for address in image.symbols.values()
                    for names in [layout.names(address)]
                    for space in SPACES
                }
            ),
            np.uint64,
        )
        low, high = int(self.valid.min()), int(self.valid.max())
        bounds = set(constants(machine.image.dispatcher.code))
        bounds |= {0, 3, 0x100, 0x1000, 0xC600_0000, 1 << 31, 1 << 32, 1 << 47, 1 << 48, 1 << 63}
        bounds |= {low, high, low << 32, 1 << 63 | low, (1 << 63) - 1, MASK64}
        self.bounds = np.array(sorted(bound & MASK64 for bound in bounds), np.uint64)

    def edges(self, random: Random, shape: int | tuple[int, ...]) -> np.ndarray:
        """Numbers at a bound or a few away from one, uint64; none of the stub's."""
        steps = np.arange(-18, 19)
        weights = 1 / (1 + np.abs(steps)) ** 2
        offsets = random.choice(steps, shape, p=weights / weights.sum())
        found = random.choice(self.bounds, shape) + offsets.astype(np.uint64)
        return _no_stub(found)

    def x0(self, random: Random, count: int) -> np.ndarray:
        """Return *count* first registers, uint64: valid ones, edges, addresses near labels,
        anything."""
        kinds = random.choice(6, count, p=(0.34, 0.2, 0.2, 0.12, 0.1396, 0.0004))
        found = random.choice(self.valid, count)
        found = np.where(kinds == 1, self.edges(random, count), found)
        found = np.where(kinds == 2, self._near(random, count), found)
        found = np.where(kinds == 3, self._anything(random, count), found)
        # A valid one with another upper half, or one bit wrong.
        wrong = random.choice(self.valid, count) ^ (
            np.uint64(1) << random.integers(0, 64, count, dtype=np.uint64)
        )
        found = np.where(kinds == 4, wrong, found)
        return np.where(kinds == 5, random.choice(STUB_CALLS, count), found)

    def valid_x0(self, random: Random, count: int) -> np.ndarray:
        """Return *count* first registers that the ABI has, uint64."""
        return random.choice(self.valid, count)

    def good_arguments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (every x0 of the ABI, ascending; for each the x1 to x6 that its function
        expects)."""
        return self._good

    def _examples(self, machine: Machine) -> tuple[np.ndarray, np.ndarray]:
        variant = machine.image.variant
        examples = {call.name: call.example for call in facts.hypercalls()}
        rows = {}
        for name in variant.calls:
            given = machine._words(examples[name])
            x0 = variant.numbers[name] if variant.numbers else machine.x0_of(name)
            rows[x0] = [*given, *[0] * (ARGUMENTS - len(given))]
        numbers = sorted(rows)
        return np.array(numbers, np.uint64), np.array([rows[n] for n in numbers], np.uint64)

    def arguments(self, random: Random, count: int) -> np.ndarray:
        """Arguments x1 to x6, uint64, shape (count, 6)."""
        shape = (count, ARGUMENTS)
        kinds = random.choice(5, shape, p=(0.3, 0.4, 0.1, 0.17, 0.03))
        found = np.zeros(shape, np.uint64)
        found = np.where(kinds == 1, random.choice(self.pointers, shape), found)
        found = np.where(kinds == 2, self.edges(random, shape), found)
        near = self._near(random, count * ARGUMENTS).reshape(shape)
        found = np.where(kinds == 3, near, found)
        return np.where(kinds == 4, self._anything(random, count * ARGUMENTS).reshape(shape), found)

    def _near(self, random: Random, count: int) -> np.ndarray:
        """Addresses at or near a label, in one of the four spaces."""
        steps = np.array([*range(-64, 68, 4), *range(-3, 4), 0x800, 0x1000], np.int64)
        weights = np.where(steps == 0, 24.0, 1.0)
        offsets = random.choice(steps, count, p=weights / weights.sum())
        return random.choice(self.addresses, count) + offsets.astype(np.uint64)

    def _anything(self, random: Random, count: int) -> np.ndarray:
        wide = random.integers(0, 1 << 64, count, dtype=np.uint64)
        return _no_stub(wide >> random.integers(0, 64, count, dtype=np.uint64))


def _no_stub(found: np.ndarray) -> np.ndarray:
    """The numbers, those of stub calls moved out of the stub's range."""
    return np.where(found < len(STUB_CALLS), found + np.uint64(len(STUB_CALLS)), found)
