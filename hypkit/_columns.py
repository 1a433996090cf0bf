"""What a trace says of all its steps at once, as numpy arrays: part of the room trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hypkit import arch
from hypkit.decode import decode, is_hvc

if TYPE_CHECKING:
    from hypkit.trace import Trace

# A register moved from or to memory. known: whether the trace holds the value; else it is 0.
ACCESS = np.dtype([("step", "<i8"), ("va", "<u8"), ("value", "<u8"), ("size", "u1"),
                   ("store", "?"), ("faulted", "?"), ("known", "?")])
# A system register's new value; register: its place in the trace's sysregs.
SYSREG_CHANGE = np.dtype([("step", "<i8"), ("value", "<u8"), ("register", "u1")])


def sites(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """(addresses executed, each once and in ascending order; of every step, which of them)."""
    known = np.array(sorted(trace.words), dtype=np.uint64)
    at = np.searchsorted(known, trace.pcs[:-1])
    used = np.bincount(at, minlength=len(known)) > 0
    return known[used], (np.cumsum(used) - 1)[at]


def _at_sites(trace: Trace, wanted: list[bool]) -> Iterator[tuple[int, np.ndarray]]:
    """(which site, the steps there in order) for those of trace.sites that are wanted."""
    _, site = trace.sites
    steps = np.flatnonzero(np.array(wanted, dtype=bool)[site])
    steps = steps[np.argsort(site[steps], kind="stable")]
    found, starts = np.unique(site[steps], return_index=True)
    yield from zip(found.tolist(), np.split(steps, starts[1:]), strict=False)


def accesses(trace: Trace) -> np.ndarray:
    """Every register moved from or to memory, dtype ACCESS, in the order of steps and addresses."""
    pcs = trace.sites[0].tolist()
    operands = [decode(trace.words[pc]).memory for pc in pcs]
    # An exception that would return elsewhere is the next instruction's fetch.
    refused = np.array([step for step, taken in trace.exceptions.items()
                        if taken.elr == int(trace.pcs[step])], dtype=np.int64)
    parts = [np.zeros(0, ACCESS)]
    for site, steps in _at_sites(trace, [operand is not None for operand in operands]):
        operand = operands[site]
        faulted = np.isin(steps, refused)
        if operand.status:  # a store-exclusive that lost its reservation moved nothing
            moved = faulted | (trace.column(operand.status, steps + 1) == 0)
            steps, faulted = steps[moved], faulted[moved]
        first = operand.address(pcs[site], lambda name, at=steps: trace.column(name, at))
        size, load = operand.element, operand.kind == "load"
        for number, name in enumerate(operand.registers):
            part = np.zeros(len(steps), ACCESS)
            part["step"], part["va"], part["size"] = steps, first, size
            part["va"] += np.uint64(size * number)
            part["store"], part["faulted"] = not load, faulted
            if name[0] == "x" and not (load and name == "xzr"):
                # A load's value is what the register holds afterwards.
                value = trace.column(name, steps + load) & np.uint64((1 << 8 * size) - 1)
                part["value"], part["known"] = np.where(faulted, 0, value), ~faulted
            parts.append(part)
    return _in_order(parts)


def sysreg_changes(trace: Trace) -> np.ndarray:
    """What MSR and exceptions made of the traced system registers, dtype SYSREG_CHANGE, in order.

    What a register does not keep of the value written to it is not followed.
    """
    names, pcs = list(trace.sysregs), trace.sites[0].tolist()
    words = [trace.words[pc] for pc in pcs]
    moves = [_msr(word) for word in words]
    elsewhere = np.array(list(trace.exceptions), dtype=np.int64)
    parts = [np.zeros(0, SYSREG_CHANGE)]

    def add(name: str, steps: np.ndarray, value: np.ndarray | int) -> None:
        if name in names:
            part = np.zeros(len(steps), SYSREG_CHANGE)
            part["step"], part["value"], part["register"] = steps, value, names.index(name)
            parts.append(part)

    wanted = [bool(move) or is_hvc(word) for move, word in zip(moves, words, strict=True)]
    for site, steps in _at_sites(trace, wanted):
        if moves[site]:
            steps = steps[~np.isin(steps, elsewhere)]  # an MSR that trapped wrote nothing
            name, source = moves[site]
            add(name, steps, trace.column(source, steps))
        else:
            taken = trace.exception_after(int(steps[0]))
            add("ESR_EL2", steps, taken.esr)
            add("ELR_EL2", steps, taken.elr)
            add("SPSR_EL2", steps, trace.column("pstate", steps))
    for taken in trace.exceptions.values():
        at, level = np.array([taken.step]), f"EL{taken.target_el}"
        add(f"ESR_{level}", at, taken.esr)
        add(f"ELR_{level}", at, taken.elr)
        add(f"SPSR_{level}", at, taken.spsr)
        if taken.far is not None:
            add(f"FAR_{level}", at, taken.far)
            if taken.target_el == 2 and taken.esr >> arch.ESR_EC_SHIFT in (
                    arch.EC_IABT_LOWER, arch.EC_DABT_LOWER):
                # The VM's MMU is off, so that the address it used is the intermediate physical one.
                add("HPFAR_EL2", at, taken.far >> 12 << 4)
    return _in_order(parts)


def _msr(word: int) -> tuple[str, str] | None:
    """(system register, source register) of an MSR to a register with a name, else None."""
    move = arch.decode_sysreg_move(word)
    if move is None or move[0] != "msr" or move[1] not in arch.SYSREG_NAMES:
        return None
    return arch.SYSREG_NAMES[move[1]], "xzr" if move[2] == 31 else f"x{move[2]}"


def _in_order(parts: list[np.ndarray]) -> np.ndarray:
    joined = np.concatenate(parts)
    return joined[np.argsort(joined["step"], kind="stable")]
