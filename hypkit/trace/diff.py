"""Two traces side by side."""

from __future__ import annotations

import re

import numpy as np

from hypkit.a64.decode import decode
from hypkit.errors import WrongValue
from hypkit.trace.columns import Columns

# Bits that aligning two traces may keep, one for a step of each: 128 MiB, some two seconds.
DIFF_BITS = 1 << 30
# Immediates, and how far after a label: what a seed, or a line more before, changes.
_NUMBERS = re.compile(r"(, )?#-?\w+|\+0x\w+")


class TraceDiff:
    """Two traces side by side. rows: (step of a or None, step of b or None), aligned."""

    def __init__(self, a: Columns, b: Columns) -> None:
        self.a, self.b = a, b
        known: dict[tuple[int, str, str], int] = {}
        ours, theirs = (_step_numbers(trace, known) for trace in (a, b))
        # What both begin and end with needs no search; a loop run at length must not need one.
        least = min(len(ours), len(theirs))
        head = _alike(ours[:least], theirs[:least])
        rest = least - head
        tail = _alike(ours[len(ours) - rest :][::-1], theirs[len(theirs) - rest :][::-1])
        ours, theirs = ours[head : len(ours) - tail], theirs[head : len(theirs) - tail]
        if len(ours) * len(theirs) > DIFF_BITS:
            raise WrongValue(
                f"{len(ours):,} and {len(theirs):,} steps that differ are too many to "
                "align: compare parts of them, as in t[:1000]"
            )
        self.rows: list[tuple[int | None, int | None]] = [(n, n) for n in range(head)]
        i = j = head
        ends = len(a) - tail, len(b) - tail
        for row in (*((head + p, head + q) for p, q in _aligned(ours, theirs)), ends):
            self.rows += [(n, None) for n in range(i, row[0])]
            self.rows += [(None, n) for n in range(j, row[1])]
            self.rows.append(row)
            i, j = row[0] + 1, row[1] + 1
        self.rows.pop()  # the ends are no row of their own
        self.rows += zip(range(ends[0], len(a)), range(ends[1], len(b)), strict=True)

    @property
    def same(self) -> int:
        """Return how many steps are in both."""
        return sum(i is not None and j is not None for i, j in self.rows)

    def __repr__(self) -> str:
        same = self.same
        return (
            f"TraceDiff({same} steps in both, {len(self.a) - same} only in the first, "
            f"{len(self.b) - same} only in the second)"
        )


def _alike(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Return how many places two rows of the same length have in common at their start."""
    differ = np.flatnonzero(ours != theirs)
    return int(differ[0]) if len(differ) else len(ours)


def _aligned(ours: np.ndarray, theirs: np.ndarray) -> list[tuple[int, int]]:
    """Return the places of a longest common subsequence in each of the two, in order.

    Hyyrö's bit-vector algorithm (2004): row j keeps a bit for each of ours, 0 where the longest
    subsequence common with the first j of theirs grows.
    """
    same = {
        place: int.from_bytes(np.packbits(ours == place, bitorder="little").tobytes(), "little")
        for place in np.unique(theirs).tolist()
    }
    everywhere = row = (1 << len(ours)) - 1
    rows = [b""]
    for place in theirs.tolist():
        met = row & same[place]
        row = (row + met | row - met) & everywhere
        rows.append(row.to_bytes(len(ours) // 8 + 1, "little"))
    i, j, found = len(ours), len(theirs), []
    while i and j:
        if ours[i - 1] == theirs[j - 1]:
            i, j = i - 1, j - 1
            found.append((i, j))
        elif rows[j][i - 1 >> 3] >> (i - 1 & 7) & 1:
            i -= 1
        else:
            j -= 1
    return found[::-1]


def _step_numbers(trace: Columns, known: dict[tuple[int, str, str], int]) -> np.ndarray:
    """Return a number for every step, the same for the same instruction in the same function at the
    same
    EL: two versions of a dispatcher have a line in common wherever it is in them."""
    pcs, site = trace.sites
    symbolize = trace.image.symbolize
    names = [
        (
            (symbolize(pc) or str(pc)).split("+")[0],
            _NUMBERS.sub("", decode(word).text(pc, symbolize)),
        )
        for pc, word in zip(pcs.tolist(), trace.site_words, strict=True)
    ]
    seen, at = np.unique(site * 4 + trace.els[:-1], return_inverse=True)
    numbers = [
        known.setdefault((code % 4, *names[code // 4]), len(known)) for code in seen.tolist()
    ]
    return np.array(numbers, dtype=np.int64)[at]
