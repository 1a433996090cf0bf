"""Physical memory of the machine, shared with Unicorn."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from unicorn import Uc, UcError
from unicorn import unicorn_const as uc_const

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.kernel.addresses import DRAM_BASE, DRAM_SIZE
from hypkit.machine.errors import MachineError
from hypkit.machine.hooks import state

DATA = uc_const.UC_PROT_READ | uc_const.UC_PROT_WRITE


@dataclass(frozen=True)
class SavedRam:
    """Memory at a moment, without the pages that are all zero.

    numbers, pages: which pages of expected RAM, and their words; stray: the content of those pages
    that were touched unexpectedly, by physical address.
    """

    numbers: np.ndarray
    pages: np.ndarray
    stray: dict[int, bytes]


class Ram:
    """The RAM that programs are expected to touch, and the rest mapped lazily, a chunk at a time, on
    first access (by the stray hook).

    start, size: of the former, in whole chunks; data: (start, end) of those parts of it, in pages
    and in order, where no code is expected. A store there is cheaper: for every other one
    Unicorn looks for translated code.
    """

    def __init__(self, uc: Uc, start: int, size: int, data: Sequence[tuple[int, int]]) -> None:
        self._uc, self.start, self.size, self._data = uc, start, size, tuple(data)
        buffer = np.zeros(size + PAGE_SIZE, dtype=np.uint8)
        skip = -buffer.ctypes.data % PAGE_SIZE
        self._bytes = buffer[skip : skip + size]
        at = start
        for first, end in (*self._data, (start + size, start + size)):
            self._map(at, first, uc_const.UC_PROT_ALL)
            self._map(first, end, DATA)
            at = end
        # For every chunk of DRAM, whether it was touched unexpectedly.
        self.strayed = np.zeros(state.CHUNKS, dtype=np.uint8)

    def place(self, pa: int) -> int | None:
        """Return where a byte of expected RAM lies in this process, None for another byte."""
        offset = pa - self.start
        return self._bytes.ctypes.data + offset if 0 <= offset < self.size else None

    def _map(self, first: int, end: int, rights: int) -> None:
        if first < end:
            place = ctypes.c_void_p(self._bytes.ctypes.data + first - self.start)
            self._uc.mem_map_ptr(first, end - first, rights, place)

    def expect_code_everywhere(self) -> bool:
        """Let code be executed from the parts for data as well; False if it could be already."""
        for first, end in self._data:
            self._uc.mem_protect(first, end - first, uc_const.UC_PROT_ALL)
        changed, self._data = bool(self._data), ()
        return changed

    def view(self, pa: int, size: int) -> np.ndarray | None:
        """Return the bytes themselves, uint8, where all of them are expected to be touched, else
        None."""
        offset = pa - self.start
        return self._bytes[offset : offset + size] if 0 <= offset <= self.size - size else None

    def expected(self, pa: int, size: int) -> np.ndarray:
        """Return the same where all of them are known to be expected."""
        view = self.view(pa, size)
        assert view is not None
        return view

    def in_use(self, pa: int) -> bool:
        """Return whether there is RAM at pa that may be other than zero."""
        number = (pa - DRAM_BASE) // state.CHUNK
        return 0 <= pa - self.start < self.size or (
            0 <= number < state.CHUNKS and bool(self.strayed[number])
        )

    def load(self, pa: int, size: int) -> bytes:
        """Bytes of physical memory; RAM that was never touched is zero.

        Raises MachineError where the machine has no memory.
        """
        view = self.view(pa, size)
        if view is not None:
            return view.tobytes()
        if not self.in_use(pa) and DRAM_BASE <= pa and pa + size <= DRAM_BASE + DRAM_SIZE:
            return bytes(size)
        try:
            return bytes(self._uc.mem_read(pa, size))
        except UcError:
            raise MachineError(f"there is no memory at physical address {pa:#x}") from None

    def store(self, pa: int, data: bytes) -> None:
        """Write bytes to RAM in use; translations of code there are forgotten by forget_code."""
        view = self.view(pa, len(data))
        if view is not None:
            view[:] = np.frombuffer(data, dtype=np.uint8)
        else:
            self._uc.mem_write(pa, bytes(data))

    def load64(self, pa: int) -> int:
        """Return a word of physical memory, as load() does."""
        return int.from_bytes(self.load(pa, 8), "little")

    def clear(self) -> None:
        """Make all RAM zero, and give back what was touched unexpectedly."""
        self._words[np.flatnonzero(self._words.any(axis=1))] = 0
        self._give_back()

    def _give_back(self) -> None:
        for number in np.flatnonzero(self.strayed).tolist():
            self._uc.mem_unmap(DRAM_BASE + state.CHUNK * number, state.CHUNK)
            self.strayed[number] = 0

    def save(self) -> SavedRam:
        """Return a copy of what is not zero."""
        numbers = np.flatnonzero(self._words.any(axis=1))
        stray = {}
        for number in np.flatnonzero(self.strayed).tolist():
            chunk = DRAM_BASE + state.CHUNK * number
            content = self.load(chunk, state.CHUNK)
            words = np.frombuffer(content, dtype=np.uint64).reshape(-1, PAGE_SIZE // 8)
            for page in np.flatnonzero(words.any(axis=1)).tolist():
                at = page * PAGE_SIZE
                stray[chunk + at] = content[at : at + PAGE_SIZE]
        return SavedRam(numbers, self._words[numbers], stray)

    def restore(self, saved: SavedRam) -> None:
        """Become what was saved."""
        self.clear()
        self._words[saved.numbers] = saved.pages
        for pa, page in saved.stray.items():
            number = (pa - DRAM_BASE) // state.CHUNK
            if not self.strayed[number]:
                self._uc.mem_map(DRAM_BASE + state.CHUNK * number, state.CHUNK)
                self.strayed[number] = 1
            self._uc.mem_write(pa, page)

    @property
    def _words(self) -> np.ndarray:
        """All of it, a row of 64-bit words a page."""
        return self._bytes.view(np.uint64).reshape(-1, PAGE_SIZE // 8)
