"""What each step of a trace did, in one sentence, and what it changed: the kit's one voice.

Stepper, tables and messages take their words from here. An instruction has a sentence with gaps
(hypkit.explain.templates), which the state at a step fills.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from hypkit.a64 import syndrome
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.a64.registers import REGISTERS
from hypkit.cost import TABLES
from hypkit.explain import templates
from hypkit.explain.listing import Listing, Row
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import VM_IPA
from hypkit.trace import Trace


def meaning(image: Image, value: int) -> str | None:
    """Return 'hyp address of el1_sync+0x4' for an address in the image, None for another value."""
    space, name = image.layout.space(value), image.symbolize(value)
    return f"{space} address of {name}" if space and name else None


def with_meaning(image: Image, value: int) -> str:
    """Return a value in hexadecimal, and what it is the address of, if it is one."""
    means = meaning(image, value)
    return f"{value:#x}" + (f", the {means}" if means else "")


def what(image: Image, value: int, vm: bool = False) -> str:
    """Return a number, or whose address it is: 'hyp address of dispatch'.

    Small numbers look like the VM's addresses: they count as such only where *vm* is true.
    """
    inside = VM_IPA <= value < VM_IPA + PAGE_SIZE
    name = image.symbolize(value) if vm or not inside else None
    if name is None:
        small = f" ({value - (1 << 64)})" if value >> 12 == (1 << 52) - 1 else ""
        return templates.plain(value) + small
    space = "VM" if inside else image.layout.space(value)
    return f"{space} address of {name}"


def place(image: Image, va: int, pool: bool = False) -> str:
    """Return where an access went, in words; pool: by an address relative to the PC."""
    if pool:
        return "the literal pool"
    name = image.symbolize(va) or ""
    base, _, offset = name.partition("+")
    if base in TABLES:
        slot = int(offset or "0", 16) // TABLES[base]
        return f"the table slot of hypercall {slot}"
    if base == "hyp_stack":
        return "the EL2 stack"
    return what(image, va, vm=True)


def exception_sentence(trace: Trace, step: int) -> str | None:
    """Return the sentence of an exception other than an HVC that a step took, None for no such."""
    taken = trace.exceptions.get(step)
    if taken is None:
        return None
    far = "" if taken.far is None else f"; FAR_EL{taken.target_el} = {taken.far:#x}"
    offset = int(trace.pcs[step + 1]) & 0x7FF  # a vector table is aligned to its 2 KiB
    return (
        f"Exception: {syndrome.esr_text(taken.esr)}{far}. The core enters EL{taken.target_el} "
        f"at VBAR_EL{taken.target_el} + {offset:#x}."
    )


def level(trace: Trace, step: int) -> str:
    """Return the name of the level in which a step runs; len(trace) is the state afterwards."""
    host_el = trace.image.variant.host_el
    if int(trace.els[step]) > host_el:
        return "EL2 (hyp)"
    return "EL1 (VM)" if _in_vm(trace, step) else f"EL{host_el} (host)"


def _in_vm(trace: Trace, step: int) -> bool:
    """Return whether a step is the VM's; no instruction runs after the last."""
    return step < len(trace) and VM_IPA <= int(trace.pcs[step]) < VM_IPA + PAGE_SIZE


def in_words(trace: Trace, step: int, listing: Listing | None = None) -> str:
    """Return what step *step* of *trace* did, in one sentence, as the stepper says it.

    listing: the trace's, where the caller has made one.
    """
    told = exception_sentence(trace, step)
    if told is not None:
        return told
    row = _row(trace, step, listing or _listing(trace))
    went = int(trace.pcs[step + 1]) != int(trace.pcs[step]) + 4
    text = row.sentence.taken if went and row.sentence.taken is not None else row.sentence.text
    image, mask = trace.image, int(trace.masks[step + 1])
    vm, next_vm = _in_vm(trace, step), _in_vm(trace, step + 1)
    memory = row.instruction.memory
    pool = memory is not None and memory.base is None
    return templates.fill(
        text,
        templates.Moment(
            lambda name: trace.register(name, step),
            lambda name: trace.register(name, step + 1),
            lambda value: what(image, value, vm),
            lambda pc: what(image, pc, next_vm),
            [name for bit, name in enumerate(REGISTERS) if mask >> bit & 1],
            [
                (place(image, access.va, pool), access.value)
                for access in trace[step].memory
                if access.faulted or access.value is not None
            ],
            int(trace.pcs[step + 1]),
            level(trace, step + 1),
        ),
    )


_LISTINGS: WeakKeyDictionary[Trace, Listing] = WeakKeyDictionary()


def _listing(trace: Trace) -> Listing:
    if trace not in _LISTINGS:
        _LISTINGS[trace] = Listing(trace.image, trace.sites[0], trace.words)
    return _LISTINGS[trace]


def _row(trace: Trace, step: int, listing: Listing) -> Row:
    """Return the step's row of the listing; another where code was rewritten in the middle of the
    trace."""
    pc, word = int(trace.pcs[step]), trace.word(step)
    row = listing.rows[listing.row_of[pc]]
    return row if row.word == word else listing.rewritten(row, trace.text(pc, step), word)


def changes(trace: Trace, step: int) -> str:
    """Return what step *step* of *trace* changed: 'x0 = 0x2, ESR_EL2 = 0x5a000000'.

    Registers with their new values, but for pstate; then system registers; "" for nothing.
    """
    parts = [
        f"{name} = {templates.plain(new)}"
        for name, (_, new) in trace[step].changed.items()
        if name != "pstate"
    ]
    names, news = tuple(trace.sysregs), trace.sysreg_changes
    first, end = news["step"].searchsorted([step, step + 1])
    parts += [
        f"{names[new['register']]} = {templates.plain(int(new['value']))}"
        for new in news[first:end]
    ]
    return ", ".join(parts)
