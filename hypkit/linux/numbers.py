"""Which number calls which function of EL2: found in the kernel by calling it, not written down.

Linux 5.11 and later: the function's address comes out of a table. The place that a call loads it
from gives the table away, and the table's addresses have names. Linux 5.10: a switch; there the
numbers are those of the kit's facts, and a number that EL2 refuses is left out. That kernel's list
of symbols has none of EL2's, so those that the way of a call passes are named by their part in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hypkit.a64.decode import decode
from hypkit.facts import hypercalls
from hypkit.kernel.variants import SMCCC_BASE
from hypkit.linux.linux_machine import LinuxCall, LinuxMachine
from hypkit.linux.snapshot import Snapshot
from hypkit.machine.errors import MachineError
from hypkit.trace import Trace

PROBED = 64  # numbers to try until one of them is served
BUDGET = 1000  # instructions of a call that is only to show where it goes
LONGEST = 512  # slots a table can have
HANDLER = "handle_"  # the kernel puts this in front of a call's name for its function in the table
PACIASP, BL = 0xD503233F, 0b100101
NONE = (1 << 64) - 1  # SMCCC_RET_NOT_SUPPORTED


def with_numbers(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with its hypercalls' numbers, its table, and missing names found."""
    with LinuxMachine(snapshot, budget=BUDGET) as machine:
        names = {} if "handle_trap" in machine.image.symbols else _names_on_the_way(machine)
        table = _table(machine)
    known = replace(snapshot, symbols={**snapshot.symbols, **names}, table=table)
    with LinuxMachine(known, budget=BUDGET) as machine:
        ids = _in_table(machine) if table is not None else _in_switch(machine)
    symbols = dict(known.symbols)
    if table is None:
        handlers = {at: name for name, (_, at) in ids.items() if at is not None}
        symbols = {name: at for name, at in symbols.items() if at not in handlers}
        symbols |= {name: at for at, name in handlers.items()}
    return replace(
        known,
        symbols=symbols,
        ids={name: number for name, (number, _) in ids.items()},
        refused=tuple(name for name, (_, at) in ids.items() if at is None),
    )


def _probe(machine: LinuxMachine, number: int) -> LinuxCall | None:
    """The call with a number and zeros as arguments, on a fresh machine; None if it cannot be run."""
    machine.reboot()
    try:
        return machine.hvc(number)
    except MachineError:
        return None


def _table(machine: LinuxMachine) -> int | None:
    """The physical address of the table; None where no number's function is loaded from memory."""
    for number in range(PROBED):
        call = _probe(machine, SMCCC_BASE + number)
        va = None if call is None else _slot(call.trace)
        if va is not None:
            return machine.image.layout.pa(va - 8 * number)
    return None


def _slot(trace: Trace) -> int | None:
    """Where EL2 loaded the target of its first indirect call from."""
    loads = trace.accesses[(trace.accesses["size"] == 8) & ~trace.accesses["store"]]
    for step in np.flatnonzero(trace.els[:-1] == 2).tolist():
        if decode(trace.words[int(trace.pcs[step])]).mnemonic in ("blr", "br"):
            before = loads[(loads["step"] < step) & (loads["value"] == trace.pcs[step + 1])]
            if len(before):
                return int(before["va"][-1])
    return None


def _in_table(machine: LinuxMachine) -> dict[str, tuple[int, int | None]]:
    """Hypercall -> its x0, and the image address of its function: None if EL2 refuses it now."""
    image, found = machine.image, {}
    assert image.table is not None
    for number in range(LONGEST):
        target = image.snapshot.load64(image.table + 8 * number)
        if not target:
            continue
        name, pa = image.symbolize(target), image.layout.pa(target)
        if name is None or pa not in image.starts or not name.startswith(HANDLER):
            break
        call = _probe(machine, SMCCC_BASE + number)
        served = call is None or np.isin(np.uint64(target), call.trace.pcs)
        at = image.layout.image_va(pa) if served else None
        found[name.removeprefix(HANDLER)] = SMCCC_BASE + number, at
    return found


def _in_switch(machine: LinuxMachine) -> dict[str, tuple[int, int | None]]:
    """The same from the kit's facts on 5.10, without those that EL2 does not know."""
    found: dict[str, tuple[int, int | None]] = {}
    for hypercall in sorted(hypercalls(), key=lambda known: known.smccc):
        call = _probe(machine, hypercall.smccc_id)
        if call is None or call.x0 != NONE:
            target = None if call is None else _second_call(call.trace)
            at = None if target is None else machine.image.layout.pa(target)
            name = hypercall.name.removesuffix("_nvhe")  # as it is called since 5.9
            found[name] = (
                hypercall.smccc_id,
                None if at is None else machine.image.layout.image_va(at),
            )
    return found


def _calls(trace: Trace) -> Iterator[int]:
    """Where the calls (BL) of EL2 go, in order."""
    for step in np.flatnonzero(trace.els[:-1] == 2).tolist():
        if decode(trace.words[int(trace.pcs[step])]).mnemonic == "bl":
            yield int(trace.pcs[step + 1])


def _second_call(trace: Trace) -> int | None:
    """The first call is that of handle_trap, the second its own."""
    return next((at for number, at in enumerate(_calls(trace)) if number == 1), None)


def _names_on_the_way(machine: LinuxMachine) -> dict[str, int]:
    """Names of what a refused call and a stub call pass: name -> image address."""
    image = machine.image
    vector = image.snapshot.sysregs["VBAR_EL2"]
    found = {"__kvm_hyp_host_vector": vector}
    refused = _probe(machine, SMCCC_BASE | 0xFFFF)
    if refused is not None:
        trace = refused.trace
        steps = np.flatnonzero(trace.els[:-1] == 2).tolist()
        outside = [int(trace.pcs[step]) for step in steps if int(trace.pcs[step]) - vector >> 11]
        if outside:
            found["__host_exit"] = outside[0]
        trap = next(_calls(trace), None)
        if trap is not None:
            found["handle_trap"] = trap
    stub = _probe(machine, 2)
    if stub is not None:
        trace = stub.trace
        for step in np.flatnonzero(trace.els[:-1] == 2).tolist():
            if decode(trace.words[int(trace.pcs[step])]).mnemonic == "br":
                found["__kvm_handle_stub_hvc"] = int(trace.pcs[step + 1])
                break
    found |= _unnamed(machine, found)
    placed = {name: image.layout.pa(at) for name, at in found.items()}
    return {name: image.layout.image_va(pa) for name, pa in placed.items() if pa is not None}


def _unnamed(machine: LinuxMachine, known: dict[str, int]) -> dict[str, int]:
    """Where other functions of EL2 begin, so that none of them goes by the name of the one before.

    That is where a BL goes, and where a return address is signed first of all.
    Each is called by its distance from the vectors.
    """
    image, vector = machine.image, known["__kvm_hyp_host_vector"]
    base = image.layout.pa(vector)
    assert base is not None
    starts = set()
    for _, pa, size, code in image.snapshot.maps:
        if not code:
            continue
        starts.add(pa)
        words = np.frombuffer(image.snapshot.load(pa, size), "<u4")
        places = pa + 4 * np.arange(len(words))
        starts.update(places[words == PACIASP].tolist())
        calls = words >> 26 == BL
        away = (words[calls].astype(np.int64) << 38 >> 38) * 4  # 26 bits with a sign
        starts.update((places[calls] + away).tolist())
    named = {image.layout.pa(at) for at in known.values()}
    return {
        f"unnamed_{'-' * (pa < base)}{abs(pa - base):x}": image.layout.hyp_va(pa)
        for pa in sorted(starts - named)
        if any(first <= pa < first + size for _, first, size, code in image.snapshot.maps if code)
    }
