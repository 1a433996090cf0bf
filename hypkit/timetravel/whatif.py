"""What if the host had sent or held something else: the same call again, on a machine like its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hypkit.a64.effects import is_hvc
from hypkit.a64.pagetables import AP_RO
from hypkit.a64.registers import REGISTERS as ALL_REGISTERS
from hypkit.call import Call
from hypkit.emu import Machine
from hypkit.errors import UnknownName, WrongType, WrongValue, did_you_mean, expected, needs, whole
from hypkit.kernel.memory_map import HEAP
from hypkit.machine.errors import MachineError
from hypkit.trace import Trace
from hypkit.trace.columns import Edit
from hypkit.trace.owners import el1_may_write, is_request

REGISTERS = tuple(f"x{number}" for number in range(7))  # what a host sends with a hypercall
ON_THE_WAY = tuple(
    name for name in ALL_REGISTERS if name != "pstate"
)  # what a step may find changed
MOST_STEPS = 10_000  # of a call that is run again: two stand side by side
MOST_VARIABLES = 24
_STACKS = ("hyp_stack", "el1_stack")
_PLACE = re.compile(r"(?P<label>[A-Za-z_]\w*)(?:\+(?P<offset>0[xX][0-9a-fA-F]+|\d+))?$")


@dataclass(frozen=True)
class WhatIf:
    """A call and the same call with something changed.

    before is the call itself, or, where the machine had been changed in a way that cannot be
    brought back, the call made anew; notes say so. at: the step of its trace before which the
    change was made, None for one before the call.
    """

    before: Call
    after: Call
    changes: Mapping[str, int | str]
    notes: tuple[str, ...] = ()
    at: int | None = None

    @property
    def title(self) -> str:
        """Return what was changed, 'x1 = 0x10, kimage_voffset = 0x0 before step 17'."""
        changes = ", ".join(
            f"{name} = {value if isinstance(value, str) else hex(value)}"
            for name, value in self.changes.items()
        )
        return changes if self.at is None else f"{changes} before step {self.at}"


def registers(call: Call) -> dict[str, int]:
    """Return x0 to x6 as the call sent them: at its first HVC, or at its start if it has none."""
    trace = call.trace
    at = next((n for n in range(min(len(trace), 1000)) if is_hvc(trace.word(n))), 0)
    return {name: trace.register(name, at) for name in REGISTERS}


@dataclass(frozen=True)
class Variable:
    """A variable that a call reads before it writes it.

    Attributes:
        label: its name, 'kimage_voffset' or 'vcpu0+0x10'.
        pa: where it is, physical.
        value: what the call read, unsigned.
        size: bytes.
        writable: whether EL1's page tables let it write there.
    """

    label: str
    pa: int
    value: int
    size: int
    writable: bool


def variables(trace: Trace) -> list[Variable]:
    """Return the variables that a trace reads before it writes them, in the order of reading.

    Stacks, the VM's memory and the mailbox are left out.
    """
    found: dict[str, Variable] = {}
    for pa, size, value in _first_reads(trace):
        label = trace.image.symbolize(pa)
        if not label or len(found) == MOST_VARIABLES or size not in (4, 8):
            continue
        name = label.split("+")[0]
        if name in _STACKS or name == "vm_memory" or label in found:
            continue
        if name not in HEAP and "+" in label and name not in ("vcpu0", "vcpu1", "kvm0"):
            continue  # a slot of a table, a word of a pool: no variable of its own
        found[label] = Variable(label, pa, value, size, bool(el1_may_write(trace.image, pa)))
    return list(found.values())


def again(call: Call, changes: Mapping[str, int | str], at: int | None = None) -> WhatIf:
    """Make a call again with other registers or variables of the host's.

    A machine like the call's is booted, its memory is made what the call found, and the call is
    made once as it was and once with the changes. Without a step, they are there before it: with
    another x0, the registers are sent as they are, by a bare HVC; else the host's own calling code
    runs. With a step, the machine runs up to it as before, stands still while registers and memory
    are changed, and goes on from there: of memory, that is what another core of the host could
    have done at that moment.

    Args:
        call: a call of a Machine's, of at most MOST_STEPS steps.
        changes: x0 to x6 (before a step: x0 to x30 or sp), a label, 'label+0x10' or an address -> a
            number, or the name of what it shall point to. EL1 writes to memory as it can: what its
            page tables forbid, by way of the tables.
        at: the step of the call's trace before which they are made; None: before the call.

    Raises:
        KeyError, TypeError, ValueError, MachineError: no such register, label, value or step.
    """
    if call.another_machine is None:
        raise WrongValue("this call cannot be made again: only the calls of a Machine can")
    if len(call.trace) > MOST_STEPS:
        raise WrongValue(
            f"expected a call of up to {MOST_STEPS:,} steps; got one of {len(call.trace):,}"
        )
    needs(Mapping, "changes as a dict, such as {'x1': 5}", changes)
    if not changes:
        raise WrongValue("expected something to change, such as x1 = 0x10; got nothing")
    if at is not None:
        at = _step(at, len(call.trace))
    names = REGISTERS if at is None else ON_THE_WAY
    notes: list[str] = []
    with call.another_machine() as machine:
        sizes = {variable.label: variable.size for variable in variables(call.trace)}
        wanted = {name: _number(machine, name, value) for name, value in changes.items()}
        places = {name: _place(machine, name, names) for name in wanted if name not in names}
        _bring_back(machine, call)
        moment = machine.snapshot()
        before = _made(machine, call, {})
        machine.restore(moment)
        for name, pa in places.items():
            notes += _write(machine, name, pa, wanted[name], sizes.get(name, 8))
        sent = {name: wanted[name] for name in wanted if name in names}
        if at is None:
            after = _made(machine, call, sent)
        else:
            machine.restore(moment)  # what was written above was to see whether EL1 can
            at = _step(at, len(before.trace))
            memory = {pa: _bytes(wanted[name], sizes.get(name, 8)) for name, pa in places.items()}
            start = before.whole_trace.find("host_call") or 0
            after = _made(machine, call, {}, Edit(start + at, sent, memory))
    if _same(before.trace, call.trace):
        before = call
    else:
        notes.append(
            "the machine of this call had been changed before; both calls here are of one "
            "that has just booted"
        )
    return WhatIf(before, after, dict(changes), tuple(notes), at)


def _step(value: object, steps: int) -> int:
    """Return a step before which something can be changed."""
    number = whole("a step", value)
    if not 0 <= number < steps:
        raise WrongValue(expected(f"a step from 0 to {steps - 1}, the last of this call", value))
    return number


def _made(machine: Machine, call: Call, sent: dict[str, int], edit: Edit | None = None) -> Call:
    """Make the call with other registers; where x0 is one of them, by a bare HVC."""
    is_raw = call.what.startswith("hvc ")
    has_hvc = any(is_hvc(word) for word in call.trace.site_words)
    if is_raw or ("x0" in sent and has_hvc):
        values = registers(call) | sent
        count = 7 if sent or not is_raw else len(call.args) + 1
        return machine.hvc(*[values[name] for name in REGISTERS[:count]], edit=edit)
    # A plain function's arguments begin in x0, else that says which hypercall is meant.
    names = REGISTERS[1:] if has_hvc else REGISTERS[:6]
    args = dict(zip(names, call.args, strict=False)) | sent
    count = max((names.index(name) + 1 for name in args), default=0)
    return machine.call(call.what, *[args.get(name, 0) for name in names[:count]], edit=edit)


def _first_reads(trace: Trace) -> Iterator[tuple[int, int, int]]:
    """(physical address, bytes, value) of the memory that a trace reads before it writes there."""
    image = trace.image
    seen: set[int] = set()
    for _, va, value, size, store, faulted, known in trace.accesses.tolist():
        pa = image.layout.pa(va)
        if faulted or pa is None or is_request(image, pa):
            continue
        bytes_ = range(pa, pa + size)
        if not store and known and seen.isdisjoint(bytes_):
            yield pa, size, value
        seen.update(bytes_)


def _bring_back(machine: Machine, call: Call) -> None:
    """Let memory be what the call found there, as far as EL1 can write it."""
    for pa, size, value in _first_reads(call.whole_trace):
        at = machine.image.host_va(pa)
        try:
            if int.from_bytes(machine.read(at, size, el=1), "little") != value:
                machine.poke(at, value.to_bytes(size, "little"))
        except MachineError:
            continue  # EL2's own; whether that matters is seen by the call that is made next


def _number(machine: Machine, name: object, value: object) -> int:
    """What a register or a word shall be, as an unsigned number."""
    if isinstance(value, str):
        text = (
            value.strip().replace("_", "") if value.strip()[:1] in "-0123456789" else value.strip()
        )
        try:
            value = int(text, 0)
        except ValueError:
            if text in machine.image.symbols:
                return machine.image.host_va(machine.image.pa(text))
            raise WrongValue(
                f"{name}: {expected('a number, such as 0x10, or a label', text)}"
                + did_you_mean(text, machine.image.symbols)
            ) from None
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise WrongType(f"{name}: {expected('a number, such as 0x10, or a label', value)}")
    if not -(1 << 63) <= value < 1 << 64:
        raise WrongValue(f"{name}: {expected('a number of 64 bits', value)}")
    return int(value) & (1 << 64) - 1


def _place(machine: Machine, name: str, registers: tuple[str, ...]) -> int:
    """Return the physical address of a variable: a label, 'label+0x10', or an address."""
    which = "x0 to x6" if registers is REGISTERS else "x0 to x30 or sp"
    found = _PLACE.match(name)
    image = machine.image
    if found is None:
        try:
            pa = image.layout.pa(int(name, 0))
        except ValueError:
            pa = None
        if pa is None:
            raise WrongValue(expected(f"{which}, a label, label+0x10 or an address", name))
        return pa
    if found["label"] not in image.symbols:
        raise UnknownName(
            f"no register {which} and no label {found['label']!r} in the {image.key} image"
            + did_you_mean(found["label"], [*image.symbols, *registers])
        )
    return image.pa(found["label"]) + int(found["offset"] or "0", 0)


def _bytes(value: int, size: int) -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def _write(machine: Machine, name: str, pa: int, value: int, size: int) -> list[str]:
    """Write a variable as EL1 can; return what is to be said of how."""
    if machine.image.variant.host_el == 2:
        raise WrongValue(f"{name}: this host is at EL2, where its variables are EL2's own")
    at, data = machine.image.host_va(pa), _bytes(value, size)
    try:
        machine.poke(at, data)
    except MachineError:
        entry = machine.entry_of(at)
        old = int.from_bytes(machine.read(entry, 8, el=1), "little")
        machine.poke(entry, (old & ~AP_RO).to_bytes(8, "little"))
        machine.poke(at, data)
        machine.poke(entry, old.to_bytes(8, "little"))
        return [f"EL1's page tables forbid it to write {name}: it changed them first"]
    return []


def _same(one: Trace, other: Trace) -> bool:
    """Whether two traces are of the same steps with the same values."""
    return (
        len(one) == len(other)
        and np.array_equal(one.pcs, other.pcs)
        and np.array_equal(one.masks, other.masks)
        and np.array_equal(one.values, other.values)
    )
