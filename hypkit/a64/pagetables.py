"""Page tables of 4 KiB granules: the format, how to write them, and the walk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypkit.a64.syndrome import FSC_ACCESS_FLAG, FSC_TRANSLATION, fault_text

VA_BITS = 48
PAGE_SIZE = 0x1000

# Descriptor bits (D5.3): stage 1 of EL1, stage 1 of EL2, stage 2.
VALID, TABLE, PAGE = 1, 3, 3
AF, INNER_SHAREABLE = 1 << 10, 3 << 8
MT_NORMAL = 4  # Linux's MAIR index for ordinary memory
S1_NORMAL = AF | INNER_SHAREABLE | MT_NORMAL << 2
AP_RO, AP_EL0, UXN, PXN = 1 << 7, 1 << 6, 1 << 54, 1 << 53
EL2_AP1, EL2_XN = 1 << 6, 1 << 54
S2_NORMAL = AF | INNER_SHAREABLE | 0xF << 2
S2_READ, S2_WRITE, S2_XN = 1 << 6, 1 << 7, 1 << 54
OUTPUT_ADDRESS = 0x0000_FFFF_FFFF_F000

PAGE_KERNEL = S1_NORMAL | UXN | PXN
PAGE_KERNEL_RO = PAGE_KERNEL | AP_RO
PAGE_KERNEL_ROX = S1_NORMAL | UXN | AP_RO
PAGE_HYP = S1_NORMAL | EL2_AP1 | EL2_XN
PAGE_HYP_RO = PAGE_HYP | AP_RO
PAGE_HYP_EXEC = S1_NORMAL | EL2_AP1 | AP_RO
PAGE_S2 = S2_NORMAL | S2_READ | S2_WRITE
# By translation regime: what forbids its own exception level to execute.
_NO_EXECUTE = {"EL1": PXN, "EL2": EL2_XN, "stage 2": S2_XN}


class PageTables:
    """Builds translation tables in a pool of physical pages, one map call after the other."""

    def __init__(self, pool: int, end: int) -> None:
        self.pages: dict[int, list[int]] = {}
        self._next, self._end = pool, end

    def new_table(self, pages: int = 1) -> int:
        """Return the physical address of an empty table of *pages* pages, aligned to its size."""
        size = pages * PAGE_SIZE
        address = -(-self._next // size) * size
        if address + size > self._end:
            raise MemoryError(f"the pool of page-table pages ends at {self._end:#x}")
        self._next = address + size
        for page in range(address, address + size, PAGE_SIZE):
            self.pages[page] = [0] * 512
        return address

    def map(
        self,
        root: int,
        va: int,
        pa: int,
        size: int,
        attributes: int,
        *,
        block_level: int = 3,
        start_level: int = 0,
    ) -> None:
        """Map [va, va + size) to pa with pages (block_level 3) or blocks of 2 MiB (2) or 1 GiB (1).

        Raises ValueError where something is mapped already, or where root has no entry for va.
        """
        step = 1 << 12 + 9 * (3 - block_level)
        if va % step or pa % step or size % step:
            raise ValueError(f"mapping {va:#x} -> {pa:#x}, {size:#x} bytes: not in {step:#x} steps")
        kind = PAGE if block_level == 3 else VALID
        for offset in range(0, size, step):
            table = root
            for level in range(start_level, block_level):
                page, slot = self._slot(table, va + offset, level, start_level)
                if not page[slot]:
                    page[slot] = self.new_table() | TABLE
                elif page[slot] & TABLE != TABLE:
                    raise ValueError(f"{va + offset:#x} is mapped already, at level {level}")
                table = page[slot] & OUTPUT_ADDRESS
            page, slot = self._slot(table, va + offset, block_level, start_level)
            if page[slot]:
                raise ValueError(f"{va + offset:#x} is mapped already, at level {block_level}")
            page[slot] = pa + offset | attributes | kind

    def _slot(self, table: int, va: int, level: int, start_level: int) -> tuple[list[int], int]:
        """Return the page and the slot of it that translate *va* at *level*."""
        index = (va & (1 << VA_BITS) - 1) >> 12 + 9 * (3 - level)
        # Only the start level of stage 2 may span several concatenated pages.
        if level != start_level or level == 0:
            index &= 511
        page = self.pages.get(table + (index >> 9) * PAGE_SIZE)
        if page is None:
            raise ValueError(f"the table at {table:#x} has no level {level} entry for {va:#x}")
        return page, index & 511


@dataclass(frozen=True)
class WalkLevel:
    """One lookup of a walk: which table, which slot, and the descriptor there."""

    level: int
    table: int
    index: int
    descriptor: int

    @property
    def kind(self) -> str:
        """Return what the descriptor is: 'invalid', 'table', 'block' or 'page'."""
        if not self.descriptor & VALID:
            return "invalid"
        if self.level == 3:
            return "page" if self.descriptor & 2 else "invalid"
        if self.descriptor & 2:
            return "table"
        # With 4 KiB pages and 48 bits there is no block of 512 GiB.
        return "block" if self.level else "invalid"

    def __repr__(self) -> str:
        return (
            f"level {self.level}: table {self.table:#x}[{self.index}] = "
            f"{self.descriptor:#018x} ({self.kind})"
        )


@dataclass(frozen=True)
class Walk:
    """A translation, level by level: pa is None where it faults, and fault says why.

    fsc is the fault status code that ESR_ELx would carry (0 when the address is mapped);
    stage 2 of a guest's address is in *stage2* when there was one.
    """

    va: int
    regime: str
    levels: tuple[WalkLevel, ...]
    pa: int | None
    fsc: int = 0
    stage2: Walk | None = field(default=None, repr=False)

    @property
    def fault(self) -> str | None:
        """Return why the address is not mapped, in words; None where it is."""
        return None if self.pa is not None else fault_text(self.fsc)

    @property
    def descriptor(self) -> int:
        """Return the last descriptor that was read, 0 where the walk read none."""
        return self.levels[-1].descriptor if self.levels else 0

    @property
    def writable(self) -> bool:
        """Return whether the regime's highest privilege may write here, as stage 2 permits."""
        if self.pa is None or self.stage2 is not None and not self.stage2.writable:
            return False
        if self.regime == "stage 2":
            return bool(self.descriptor & S2_WRITE)
        return not self.descriptor & AP_RO

    @property
    def executable(self) -> bool:
        """Return whether the regime's own exception level may execute here, as stage 2 permits."""
        if self.pa is None or self.stage2 is not None and not self.stage2.executable:
            return False
        return not self.descriptor & _NO_EXECUTE[self.regime.partition(",")[0]]

    def __repr__(self) -> str:
        head = f"{self.va:#x} ({self.regime}) -> "
        head += f"{self.pa:#x}" if self.pa is not None else fault_text(self.fsc)
        return "\n".join([head, *(f"  {level!r}" for level in self.levels)])


def walk(
    read_u64: Callable[[int], int],
    root: int,
    va: int,
    *,
    regime: str,
    input_bits: int = 48,
    start_level: int = 0,
) -> Walk:
    """Walk the tables at *root* for *va* (D5.2): the descriptors read, and where they lead.

    read_u64: physical address -> 64-bit word; regime: "EL1", "EL2" or "stage 2"; input_bits and
    start_level as TCR_ELx or VTCR_EL2 set them. Permissions are not checked here: see Walk. Those
    that table descriptors may carry are not looked at, because nobody here sets them.
    """
    levels: list[WalkLevel] = []
    table, offset_va = root & OUTPUT_ADDRESS, va & (1 << input_bits) - 1
    for level in range(start_level, 4):
        shift = 12 + 9 * (3 - level)
        mask = (1 << input_bits - shift) - 1 if level == start_level else 511
        index = offset_va >> shift & mask
        entry = WalkLevel(level, table, index, read_u64(table + 8 * index))
        levels.append(entry)
        if entry.kind == "invalid":
            return Walk(va, regime, tuple(levels), None, FSC_TRANSLATION | level)
        if entry.kind == "table":
            table = entry.descriptor & OUTPUT_ADDRESS
            continue
        if not entry.descriptor & AF:
            return Walk(va, regime, tuple(levels), None, FSC_ACCESS_FLAG | level)
        base = entry.descriptor & OUTPUT_ADDRESS & ~((1 << shift) - 1)
        return Walk(va, regime, tuple(levels), base | offset_va & (1 << shift) - 1)
    raise AssertionError("a level 3 entry is a page or invalid")
