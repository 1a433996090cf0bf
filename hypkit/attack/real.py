"""A hostile host of a real kernel: where its boundary is, and what is sent across.

The kernel's own calling code makes one call and is a function in C. A hostile host has code of its
own: a loop that takes x0 to x6 from its memory and executes HVC. It lies where the snapshot has
nothing, in pages that EL1's tables map.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.a64.syndrome import VECTOR_LOWER_A64
from hypkit.attack.ground import GUARDED, SMCCC_KEPT, Ground
from hypkit.attack.hostile import ARGUMENTS, Hostile, constants
from hypkit.kernel.addresses import DRAM_BASE, SPACES
from hypkit.kernel.memory_map import REQUEST_SIZE
from hypkit.kernel.variants import SMCCC_BASE
from hypkit.linux import LinuxMachine
from hypkit.linux.board import RAM_SIZE
from hypkit.linux.linux_machine import MASKED, for_el1
from hypkit.linux.phases import HANDLED, phases
from hypkit.linux.snapshot import Snapshot
from hypkit.machine.errors import MachineError

ROOM = (1 << 12) * REQUEST_SIZE  # bytes for requests
HINT = 1 << 16  # ARM_SMCCC_CALL_HINTS (Arm DEN0028, 2.9)
BETWEEN = 64  # EL2's own words that are no further apart count as one place
PROBE_BUDGET = 20_000  # instructions of a call that is only tried
MARK = 0xD2800CC0.to_bytes(4, "little") + 0xD69F03E0.to_bytes(4, "little")  # mov x0, #0x66; eret
WORDS = 2  # of a structure, which a hostile host makes wild for each function
WILD = 0x50  # where EL2 has nothing
SAMPLE = 8  # bytes that a store is taken to write at least

Writes = tuple[tuple[int, bytes, str], ...]

# x19 walks over the requests, and the words after the loop say where they end and where to go then.
LOOP = """
next:   add     x19, x19, #64
        adr     x9, words
        ldp     x10, x11, [x9]
        cmp     x19, x10
        b.eq    idle
        ldp     x0, x1, [x19]
        ldp     x2, x3, [x19, #16]
        ldp     x4, x5, [x19, #32]
        ldr     x6, [x19, #48]
begin:  hvc     #0
end:    b       next
idle:   br      x11
        .align  3
words:
"""


def pages_of_the_host(machine: LinuxMachine, *, executable: bool, size: int) -> tuple[int, int]:
    """Return (address for EL1, physical address) of *size* bytes of a hostile host's own.

    They are in one piece, zero, mapped as asked for, and nothing of EL2's.

    Raises:
        MachineError: there is no such place.
    """
    kept = set(machine.kernel.numbers.tolist())
    held = [(pa, pa + length) for _, pa, length, _ in machine.kernel.maps]
    to = machine.image.layout.image_va if executable else machine.image.layout.linear_va
    for pa in range(DRAM_BASE, DRAM_BASE + RAM_SIZE, max(size, PAGE_SIZE)):
        inside = range(pa, pa + size, PAGE_SIZE)
        if any((at - DRAM_BASE) // PAGE_SIZE in kept for at in inside):
            continue
        if any(first < pa + size and pa < end for first, end in held):
            continue
        walks = [machine.translate(to(at), el=1) for at in inside]
        fits = all(
            walk.pa == at and (walk.executable if executable else walk.writable)
            for walk, at in zip(walks, inside, strict=True)
        )
        if fits:
            return to(pa), pa
    raise MachineError("this kernel leaves its host no memory for a loop of its own")


@dataclass(frozen=True)
class Probed:
    """What is known of a kernel's boundary after trying it.

    Attributes:
        functions: x0 -> the hyp address of its function, for all calls that EL2 serves.
        way: (start, end) of the functions that a call passes which reaches none of its own.
        own: (start, end) of the physical memory that EL2 writes for calls without arguments.
        good: x0 -> x1 to x6 with which the function returns, zeros where none were found.
    """

    functions: Mapping[int, int]
    way: tuple[tuple[int, int], ...]
    own: tuple[tuple[int, int], ...]
    good: Mapping[int, Sequence[int]]


_probed: dict[tuple[str, bool, int], Probed] = {}


def probed(kernel: Snapshot) -> Probed:
    """Return what trying a kernel shows; it is tried on a machine of its own, once."""
    key = kernel.digest, kernel.protected, kernel.sysregs["VBAR_EL2"]
    if key not in _probed:
        with LinuxMachine(kernel, budget=PROBE_BUDGET) as machine:
            served = functions(machine)
            _probed[key] = Probed(
                served, _way(machine), tuple(_own(machine, served)), _good(machine, served)
            )
    return _probed[key]


def linux_ground(machine: LinuxMachine) -> Ground:
    """Return the ground of a real kernel, with the hostile host's loop put into its memory."""
    from hypkit.asm import assemble

    image, layout, kernel = machine.image, machine.image.layout, machine.kernel
    known = probed(kernel)
    cpu = machine._alive()
    code_va, code_pa = pages_of_the_host(machine, executable=True, size=PAGE_SIZE)
    requests_va, requests_pa = pages_of_the_host(machine, executable=False, size=ROOM)
    loop = assemble(LOOP, base=code_va)
    words = code_pa + loop.symbols["words"] - code_va
    back = kernel.registers["pc"]  # a run ends there
    cpu.ram.store(code_pa, loop.code)
    cpu.write("pstate", kernel.registers["pstate"] | MASKED)
    cpu.forget_memory()

    def post(requests: np.ndarray) -> np.ndarray:
        rows = cpu.ram.expected(requests_pa, len(requests) * REQUEST_SIZE).view("<u8")
        rows = rows.reshape(len(requests), -1)
        rows[:, : requests.shape[1]], rows[:, requests.shape[1] :] = requests, 0
        end = requests_va + len(requests) * REQUEST_SIZE
        cpu.ram.store(words, end.to_bytes(8, "little") + back.to_bytes(8, "little"))
        cpu.write("x19", requests_va - REQUEST_SIZE)
        return rows

    vectors = kernel.sysregs["VBAR_EL2"]
    text = next(
        (va, pa, size) for va, pa, size, code in kernel.maps if code and va <= vectors < va + size
    )
    same = [(pa, size) for va, pa, size, code in kernel.maps if code and va == pa]
    idmap = range(same[0][0], same[0][0] + same[0][1]) if same else range(0)
    for pa, size in same:
        if kernel.symbols and pa <= image.pa("__kvm_handle_stub_hvc") < pa + size:
            idmap = range(pa, pa + size)
    window = layout.hyp_va(DRAM_BASE)
    held = tuple(
        range(pa, pa + size)
        for va, pa, size, code in kernel.maps
        if not code and machine.translate(va).writable
    )
    return Ground(
        cpu=cpu,
        image=image,
        entry=known.way,
        dispatcher=range(0),
        text=range(text[0], text[0] + text[2]),
        text_pa=text[1],
        idmap=idmap,
        vm=range(0),
        window=range(window, window + RAM_SIZE),
        requests_va=requests_va,
        requests_pa=requests_pa,
        post=post,
        next=loop.symbols["next"],
        begin=loop.symbols["begin"],
        end=loop.symbols["end"],
        idle=back,
        panicked=frozenset(machine._ends) - {back},
        own=known.own,
        held=held,
        code=range(text[1], text[1] + text[2]),
        labels=frozenset(layout.hyp_va(pa) for pa in image.starts),
        functions=known.functions,
        kept=SMCCC_KEPT,
        fresh=True,
        guarded=GUARDED,
        budget=PROBE_BUDGET,
    )


def functions(machine: LinuxMachine) -> dict[int, int]:
    """Return x0 -> the hyp address of its function, for all calls that EL2 serves as it is.

    Where the kernel lets the caller give SMCCC's hint (bit 16: no SVE state is live), a number with
    the hint is a name of the same call; whether it does is found by a call.
    """
    image = machine.image
    prefix = "handle_" if image.table is not None else ""
    plain = {
        x0: image.layout.hyp_va(image.pa(prefix + name))
        for name, x0 in machine.calls.items()
        if name not in machine.kernel.refused and prefix + name in image.symbols
    }
    x0, target = next(iter(plain.items()))
    hinted = target in machine.hvc(x0 | HINT).trace.pcs.tolist()
    machine.reboot()
    return plain | ({x0 | HINT: target for x0, target in plain.items()} if hinted else {})


def _way(machine: LinuxMachine) -> tuple[tuple[int, int], ...]:
    """The functions that a call passes which reaches none of its own: (start, end), hyp addresses.

    Found by making such a call.
    """
    image, layout = machine.image, machine.image.layout
    trace = machine.hvc(max(machine.calls.values()) | 0xFFFF).trace
    starts = image.starts
    ends = dict(zip(starts, starts[1:], strict=False))
    found: dict[int, int] = {}
    for pc in sorted({int(pc) for pc, el in zip(trace.pcs, trace.els, strict=True) if el == 2}):
        pa = layout.pa(pc)
        start = max((at for at in starts if pa is not None and at <= pa), default=None)
        if start is not None:
            found[layout.hyp_va(start)] = layout.hyp_va(ends.get(start, start + PAGE_SIZE))
    machine.reboot()
    return tuple(sorted(found.items()))


def _own(machine: LinuxMachine, served: Iterable[int]) -> Iterator[tuple[int, int]]:
    """(start, end) of the physical memory that EL2 writes for calls without arguments: what it
    works with itself, whoever asks for what."""
    layout, places = machine.image.layout, set()
    for x0 in (*served, max(machine.calls.values()) | 0xFFFF):
        try:
            call = machine.hvc(x0)
        except MachineError:
            continue
        finally:
            machine.reboot()
        moved = call.trace.accesses
        moved = moved[moved["store"] & ~moved["faulted"]]
        for step, va, size in zip(moved["step"], moved["va"], moved["size"], strict=True):
            pa = layout.pa(int(va))
            if call.trace.els[step] == 2 and pa is not None:
                places.add((pa & -16, pa + max(int(size), SAMPLE)))
    first = end = 0
    for start, stop in sorted(places):
        if start > end + BETWEEN:
            if end:
                yield first, end
            first = start
        end = max(end, stop)
    if end:
        yield first, end


def _good(machine: LinuxMachine, served: Iterable[int]) -> dict[int, list[int]]:
    """x0 -> arguments with which its function returns, found by trying: zeros, and pointers to
    memory that EL2 has and that is all zero. Of a function that returns with none, zeros."""
    tries = [[0] * ARGUMENTS, *([at] * ARGUMENTS for at in _zeros(machine))]
    found: dict[int, list[int]] = {}
    for x0 in served:
        for row in tries:
            returned = machine.hvc(x0, *row).outcome == "returned"
            machine.reboot()
            if returned:
                found[x0] = row
                break
        else:
            found[x0] = tries[0]
    return found


def _zeros(machine: LinuxMachine) -> Iterator[int]:
    """The linear address of some memory that EL2 may write and that is zero."""
    ram, layout = machine._alive().ram, machine.image.layout
    for va, pa, size, code in machine.kernel.maps:
        if code or size < 4 * PAGE_SIZE or not machine.translate(va).writable:
            continue
        content = ram.expected(pa, size).reshape(-1, PAGE_SIZE)
        empty = np.asarray(content.max(axis=1) == 0)
        for page in np.flatnonzero(empty[:-2] & empty[1:-1] & empty[2:]).tolist()[:1]:
            yield layout.linear_va(pa + page * PAGE_SIZE)


class LinuxHostile(Hostile):
    """A source of hostile requests against a real kernel."""

    def __init__(self, machine: LinuxMachine) -> None:
        image, layout = machine.image, machine.image.layout
        self._known = probed(machine.kernel)
        self.valid = np.array(sorted(self._known.functions), dtype=np.uint64)
        # What EL2 maps for itself and EL1 can name, too: what a wild pointer does harm with.
        self.pointers = np.array(
            [
                layout.linear_va(pa)
                for va, pa, _, code in machine.kernel.maps
                if not code and machine.translate(va).writable
            ],
            np.uint64,
        )
        addresses = {
            names[space]
            for name, va in image.symbols.items()
            if not name.startswith("unnamed_")
            for names in [layout.names(va)]
            for space in SPACES
        }
        self.addresses = np.array(sorted(addresses), np.uint64)
        code = machine.kernel.load(image.pa("handle_trap"), 0x200)
        bounds = {0, 4, 0x100, 0x1000, 0x8400_0000, 0xC400_0000, 0xC600_0000, 1 << 31, 1 << 32}
        bounds |= {1 << 47, 1 << 48, 1 << 63, (1 << 63) - 1, (1 << 64) - 1}
        bounds |= {int(self.valid.min()), int(self.valid.max()), *constants(code)}
        bounds |= {int(x0) ^ HINT for x0 in self.valid.tolist()}
        self.bounds = np.array(sorted(bound & (1 << 64) - 1 for bound in bounds), np.uint64)

    def good_arguments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (every x0 that is served, ascending; for each, x1 to x6 with which it returns)."""
        good = self._known.good
        numbers = sorted(good)
        return np.array(numbers, np.uint64), np.array([good[n] for n in numbers], np.uint64)


# --- What EL1 may write -----------------------------------------------------------------------


def words_read(machine: LinuxMachine) -> list[int]:
    """Return the physical addresses of words that EL2 reads on its way and did not write before,
    in the order in which it reads them. The machine makes a call for it, and is restarted."""
    x0 = next(iter(probed(machine.kernel).functions))
    trace = machine.hvc(x0).trace
    of_step, layout = phases(trace), machine.image.layout
    written: set[int] = set()
    found: dict[int, None] = {}
    for row in trace.accesses:
        step, pa = int(row["step"]), layout.pa(int(row["va"]))
        if trace.els[step] != 2 or pa is None or row["faulted"]:
            continue
        if row["store"]:
            written.update(range(pa & -8, pa + int(row["size"]), 8))
        elif of_step[step] not in HANDLED and pa & -8 not in written:
            found[pa & -8] = None
    machine.reboot()
    return list(found)


def variables(machine: LinuxMachine) -> Iterator[Writes]:
    """Yield every word that EL2 reads on its way and EL1 may write as its tables are, changed."""
    for pa in words_read(machine):
        va = machine.image.layout.linear_va(pa)
        if not for_el1(machine.translate(va, el=1))[1]:
            continue
        name = machine.image.symbolize(pa) or f"EL2's word at {pa:#x}"
        value = machine._alive().ram.load64(pa)
        for change in (8, -8, 1 << 12, 1 << 40):
            yield ((va, _bytes(value + change), f"{name} {change:+#x}"),)


def slots(machine: LinuxMachine) -> Iterator[Writes]:
    """Yield the first served slot of the table, changed."""
    image = machine.image
    if image.table is None:
        return
    x0 = next(iter(probed(machine.kernel).functions))
    pa = image.table + 8 * (x0 - SMCCC_BASE)
    value = machine._alive().ram.load64(pa)
    for change in (4, 8, -0x40):
        va = image.layout.linear_va(pa)
        yield ((va, _bytes(value + change), f"a table slot {change:+#x}"),)


def structures(machine: LinuxMachine) -> Iterator[tuple[tuple[int, ...], Writes]]:
    """Yield (x0 to x6, what EL1 writes) for words that functions read in a structure of the host's.

    What the structures are, the kernel alone knows: each function is given a pointer to memory that
    EL2 has and that is zero, and what it loads from there is what it reads. EL1 makes the first of
    these words wild: no address, and the address of EL2's text.

    Raises MachineError where a stage 2 keeps EL1 from that memory; a protected kernel's functions
    take no such pointers.
    """
    layout, kernel = machine.image.layout, machine.kernel
    places = ((at, machine.translate(at, el=1)) for at in _zeros(machine))
    place, start = next(((at, w.pa) for at, w in places if for_el1(w)[1]), (None, None))
    if place is None or start is None:
        return
    machine.poke(place, bytes(8))  # can EL1 write it at all?
    machine.reboot()
    vectors = kernel.sysregs["VBAR_EL2"]
    text = next(pa for va, pa, size, code in kernel.maps if code and va <= vectors < va + size)
    for name, x0 in machine.calls.items():
        if x0 not in probed(kernel).functions:
            continue
        request = (x0, *[place] * ARGUMENTS)
        trace = machine.hvc(*request).trace
        machine.reboot()
        read: dict[int, None] = {}
        for row in trace.accesses:
            pa = layout.pa(int(row["va"]))
            if row["store"] or trace.els[int(row["step"])] != 2 or pa is None:
                continue
            if start <= pa < start + 3 * PAGE_SIZE:
                read[(pa - start) & -8] = None
        for offset in list(read)[:WORDS]:
            for wild in (WILD, layout.linear_va(text)):
                what = f"the word at +{offset:#x} of what {name} is given"
                yield request, ((place + offset, _bytes(wild), what),)


def hyp_tables(machine: LinuxMachine) -> Iterator[Writes]:
    """Yield EL2's own page-table entry for its vector, made to map a page that EL1 fills."""
    layout = machine.image.layout
    vector = machine.kernel.sysregs["VBAR_EL2"] + VECTOR_LOWER_A64
    walked = machine.translate(vector)
    assert walked.pa is not None
    own_va, own_pa = pages_of_the_host(machine, executable=False, size=PAGE_SIZE)
    code = bytearray(machine._alive().ram.load(walked.pa & -PAGE_SIZE, PAGE_SIZE))
    at = walked.pa % PAGE_SIZE
    code[at : at + 8] = MARK
    changed = walked.descriptor & ~0x0000_FFFF_FFFF_F000 | own_pa
    entry = layout.linear_va(walked.levels[-1].table + 8 * walked.levels[-1].index)
    yield (
        (own_va, bytes(code), "a page of code"),
        (entry, _bytes(changed), "EL2's entry for its vector"),
    )


def _bytes(value: int) -> bytes:
    return (value & (1 << 64) - 1).to_bytes(8, "little")
