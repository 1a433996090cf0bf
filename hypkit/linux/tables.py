"""All that a translation regime maps, from the tables in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hypkit.a64.pagetables import OUTPUT_ADDRESS, PAGE_SIZE, TABLE, VALID
from hypkit.kernel.addresses import DRAM_BASE

ENTRIES = PAGE_SIZE // 8
LAST = 3  # the level of pages


@dataclass
class Mapped:
    """What the tables under one root say: the tables themselves, and (va, pa, bytes, descriptor) of
    each page or block, in ascending order."""

    tables: list[int] = field(default_factory=list)
    leaves: list[tuple[int, int, int, int]] = field(default_factory=list)

    def runs(self, flag: int) -> list[tuple[int, int, int, bool]]:
        """Return (va, pa, bytes, is *flag* set in its descriptors) of each stretch in one piece."""
        found: list[tuple[int, int, int, bool]] = []
        for va, pa, size, entry in self.leaves:
            here = va, pa, size, bool(entry & flag)
            if found:
                before, at, length, same = found[-1]
                if (before + length, at + length, same) == (va, pa, here[3]):
                    here = before, at, length + size, same
                    found.pop()
            found.append(here)
        return found


def mapped(memory: np.ndarray, root: int, upper: bool = False) -> Mapped:
    """Follow every entry from the level 0 table at *root*, with pages of 4 KiB and 48 bits.

    memory: all of RAM, uint8, from DRAM_BASE on; upper: whether the addresses begin with ones, as
    those of TTBR1_EL1 do. A table outside RAM is left out.
    """
    found = Mapped()
    words = memory.view("<u8")
    _follow(words, root & OUTPUT_ADDRESS, 0, 0xFFFF << 48 if upper else 0, found)
    return found


def _follow(words: np.ndarray, table: int, level: int, va: int, found: Mapped) -> None:
    at = (table - DRAM_BASE) // 8
    if not 0 <= at <= len(words) - ENTRIES or table in found.tables:
        return
    found.tables.append(table)
    entries = words[at : at + ENTRIES]
    shift = 12 + 9 * (LAST - level)
    for index in np.flatnonzero(entries & np.uint64(VALID)).tolist():
        entry, here = int(entries[index]), va | index << shift
        if level < LAST and entry & TABLE == TABLE:
            _follow(words, entry & OUTPUT_ADDRESS, level + 1, here, found)
        elif level == LAST and entry & TABLE == TABLE or level in (1, 2):
            size = 1 << shift
            found.leaves.append((here, entry & OUTPUT_ADDRESS & -size, size, entry))


def pages(leaves: list[tuple[int, int, int, int]], size: int) -> Iterator[int]:
    """Return the pages of RAM, by physical address, that lie in any of the leaves; size: of RAM."""
    for _, pa, length, _ in leaves:
        first = max(pa, DRAM_BASE)
        yield from range(first, min(pa + length, DRAM_BASE + size), PAGE_SIZE)
