"""QEMU as the judge of a real kernel: the same calls on the board that its snapshot was taken of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypkit.a64 import syndrome
from hypkit.a64.pstate import el_of
from hypkit.linux.board import Board
from hypkit.linux.linux_machine import LinuxMachine, entry_registers, frame
from hypkit.linux.snapshot import PANICS, Snapshot
from tests.oracle.rows import ISV_BITS, Row, of_trace

LIMIT = 5_000  # rows of one call; nearly all take a hundred
PSTATE = {"pstate": "cpsr"}


def rows(board: Board, kernel: Snapshot, stack: int, x0: int, args: Sequence[int]) -> Iterator[Row]:
    """Make a call on the board, and give every row of it, the state afterwards as the last one.

    stack: the physical address of the calling code's frame.
    """
    board.store(stack, frame(kernel))
    for name, value in entry_registers(kernel, x0, args).items():
        board.write(PSTATE.get(name, name), value)
    ends = {kernel.registers["pc"], *(kernel.symbols[n] for n in PANICS if n in kernel.symbols)}
    for _ in range(LIMIT):
        *general, pc, pstate = board.registers
        yield (pc, *general, pstate >> 28, el_of(pstate))
        if pc in ends:
            return
        board.step()


def normalized(row: Row) -> Row:
    """A row without DIFFERENCE 1 of tests/oracle/rows.py: a register that holds the syndrome of a
    data abort of EL2's own. The kernel's panic hands it from one register to the next."""
    return tuple(
        value & ~ISV_BITS if value >> syndrome.ESR_EC_SHIFT == syndrome.EC_DABT_SAME else value
        for value in row
    )


def ours(machine: LinuxMachine, x0: int, args: Sequence[int]) -> list[Row]:
    """The same rows from the kit's machine."""
    return list(of_trace(machine.hvc(x0, *args).trace))
