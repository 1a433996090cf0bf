"""How values go from place to place in a trace: what each step reads, and what it makes of it.

A place is a register ("x0" to "x30", "sp_el1", "sp_el2", "nzcv", "pc"), a system register by its
name, or bytes of memory. Memory is known by physical address, so that one byte under two of its
names is one place. A store through the VM's addresses counts likewise.

What a trace does not record cannot be followed: vector registers, and memory that instructions
without a MemoryOperand access (DC ZVA, LD1, ST1). Such an end is said to be unknown.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hypkit.a64 import syndrome
from hypkit.a64.conditions import holds
from hypkit.a64.decode import Instruction, decode
from hypkit.a64.effects import is_hvc
from hypkit.a64.memory import MemoryOperand
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.a64.registers import REGISTERS
from hypkit.kernel.memory_map import HEAP, VM_IPA
from hypkit.trace.columns import Columns

# How an input takes part in an output, from the strongest: it is part of the value; it chose where
# the value was loaded from; it decided which of two values it is.
ROLES = ("value", "address", "condition")


@dataclass(frozen=True, slots=True, order=True)
class Bytes:
    """Bytes of memory, by physical address."""

    pa: int
    size: int

    def meets(self, other: Bytes) -> bool:
        """Return whether the two have a byte in common."""
        return self.pa < other.pa + other.size and other.pa < self.pa + self.size

    def within(self, other: Bytes) -> Bytes:
        """Return the bytes that the two have in common; they must have some."""
        start = max(self.pa, other.pa)
        return Bytes(start, min(self.pa + self.size, other.pa + other.size) - start)


Place = str | Bytes


@dataclass(frozen=True, slots=True)
class Flow:
    """What one step makes of its inputs.

    Attributes:
        to: the place that is written.
        of: the places that it is made of, each with one of ROLES.
        constant: what the instruction itself adds: "immediate", "address" (relative to the PC),
            "return address", "exception" (what the architecture writes), or "".
        unknown: why the trace cannot say what the value is made of, or "".
    """

    to: Place
    of: tuple[tuple[Place, str], ...] = ()
    constant: str = ""
    unknown: str = ""


class Dataflow:
    """The flows of a trace, step by step, and who wrote a place last."""

    def __init__(self, trace: Columns) -> None:
        self._trace = trace
        _, self._site = trace.sites
        self._instructions = [decode(word) for word in trace.site_words]
        # An exception that would return to the instruction was taken in place of it.
        self._refused = {
            step
            for step, taken in trace.exceptions.items()
            if taken.elr == int(trace.pcs[step]) and not self._enters(step)
        }
        self._exceptions = np.array(sorted(trace.exceptions), dtype=np.int64)
        self._writes: dict[str, np.ndarray] = {}
        self._physical: dict[int, int | None] = {}

    def instruction(self, step: int) -> Instruction:
        """Return the instruction of a step."""
        return self._instructions[self._site[step]]

    def _enters(self, step: int) -> bool:
        return self.instruction(step).operation.flow == "exception"

    def physical(self, va: int) -> int | None:
        """Return the physical address of an address of the kernel or the VM, None for another."""
        if va not in self._physical:
            inside = VM_IPA <= va < VM_IPA + PAGE_SIZE
            vm = va - VM_IPA + HEAP["vm_memory"][0]
            self._physical[va] = vm if inside else self._trace.image.layout.pa(va)
        return self._physical[va]

    def stack(self, step: int) -> str:
        """Return the place that SP is at a step: each exception level has its own."""
        return f"sp_el{int(self._trace.els[step])}"

    def accessed(self, step: int) -> list[tuple[Bytes | None, bool, int | None]]:
        """Return what a step moved: (bytes, or None where no RAM is; stored?; the value if known).

        An entry a register, in the order of addresses; none for what faulted.
        """
        first, end = self._trace._first_access[step : step + 2]
        found = []
        moves = self._trace.accesses[first:end].tolist()
        for _, va, value, size, store, faulted, known in moves:
            if not faulted:
                pa = self.physical(va)
                place = None if pa is None else Bytes(pa, size)
                found.append((place, store, value if known else None))
        return found

    @cached_property
    def _moved(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (physical address or -1, bytes) of every one of the trace's accesses."""
        moved = self._trace.accesses
        addresses, back = np.unique(moved["va"], return_inverse=True)
        known = [self.physical(va) for va in addresses.tolist()]
        pas = np.array([-1 if pa is None else pa for pa in known], dtype=np.int64)[back]
        return np.where(moved["faulted"], -1, pas), moved["size"].astype(np.int64)

    def accesses_of(self, place: Bytes) -> np.ndarray:
        """Return which of the trace's accesses, by number, move exactly these bytes."""
        pas, sizes = self._moved
        return np.flatnonzero((pas == place.pa) & (sizes == place.size))

    def touching(self, registers: set[str], words: set[int], start: int) -> Iterator[int]:
        """Yield the steps from *start* on that may read or write what is in either set.

        registers: places; words: doublewords of memory, physical address / 8. Both may change while
        the steps are gone through.
        """
        site, first = self._site.tolist(), self._trace._first_access.tolist()
        pas, sizes = (column.tolist() for column in self._moved)
        for step in range(start, len(site)):
            if (
                not registers.isdisjoint(self._touched[site[step]])
                or step in self._trace.exceptions
            ):
                yield step
                continue
            for at in range(first[step], first[step + 1]) if words else ():
                if pas[at] >> 3 in words or pas[at] + sizes[at] - 1 >> 3 in words:
                    yield step
                    break

    @cached_property
    def _touched(self) -> list[frozenset[str]]:
        """Return for every site the registers that it may read or write."""
        found = []
        for instruction in self._instructions:
            op = instruction.operation
            names = {*op.inputs, *op.outputs, op.system_read, op.system_write}
            if "sp" in names or "SP_EL1" in names:
                names |= {"sp_el1", "sp_el2"}
            if op.flow == "eret":
                names |= {"nzcv", "SPSR_EL1", "SPSR_EL2", "ELR_EL1", "ELR_EL2"}
            elif op.flow == "exception":
                names |= {"nzcv", "DAIF", "ESR_EL2", "ELR_EL2", "SPSR_EL2", "VBAR_EL2"}
                names |= {f"x{n}" for n in range(4)} if instruction.mnemonic == "smc" else set()
            found.append(frozenset(names))
        return found

    # -- what a step does --

    def flows(self, step: int) -> list[Flow]:
        """Return what a step writes, and of what."""
        found = list(self._of_exception(step))
        if step not in self._refused:
            found += self._of_instruction(step)
        return found + [
            Flow(name, unknown=self._why_changed(step, name))
            for name in self._unexplained(step, {flow.to for flow in found})
        ]

    def _unexplained(self, step: int, explained: set[Place]) -> Iterator[str]:
        """Yield registers that changed although nothing above says so; none in a well-behaved
        trace."""
        mask = int(self._trace.masks[step + 1])
        for bit, name in enumerate(REGISTERS[:31]):
            if mask >> bit & 1 and name not in explained:
                yield name

    def _why_changed(self, step: int, name: str) -> str:
        if self.instruction(step).mnemonic == "smc":
            return "the firmware's answer"
        return f"{name} changed, and no instruction says why"

    def _of_exception(self, step: int) -> Iterator[Flow]:
        taken = self._trace.exception_after(step)
        if taken is None:
            return
        level = f"EL{taken.target_el}"
        yield Flow(f"ESR_{level}", constant="exception")
        yield Flow(f"ELR_{level}", constant="exception")
        yield Flow(f"SPSR_{level}", (("nzcv", "value"),), "exception")
        yield Flow("DAIF", constant="exception")
        if taken.far is not None:
            memory = self.instruction(step).memory
            names = [memory.base, memory.index] if memory else []
            of = tuple((self._named(name, step), "value") for name in names if name)
            yield Flow(f"FAR_{level}", of, "exception")
            if _is_from_below(taken.esr) and taken.target_el == 2:
                yield Flow("HPFAR_EL2", of, "exception")
        yield Flow("pc", ((f"VBAR_{level}", "value"),), "exception")

    def _named(self, register: str, step: int) -> str:
        return self.stack(step) if register == "sp" else register

    def _of_instruction(self, step: int) -> Iterator[Flow]:
        instruction = self.instruction(step)
        op = instruction.operation
        if op.flow == "eret":
            level = int(self._trace.els[step])
            yield Flow("nzcv", ((f"SPSR_EL{level}", "value"),))
            yield Flow("pc", ((f"ELR_EL{level}", "value"),))
        elif op.flow and op.flow != "exception":
            yield from self._of_branch(instruction, step)
        elif instruction.memory is not None:
            yield from self._of_access(instruction, step)
        else:
            yield from self._of_computation(instruction, step)

    def _of_branch(self, instruction: Instruction, step: int) -> Iterator[Flow]:
        op = instruction.operation
        if op.indirect:
            yield Flow("pc", tuple((name, "value") for name in op.inputs))
        else:
            yield Flow("pc", tuple((name, "condition") for name in op.inputs), "address")
        if op.flow == "call":
            yield Flow("x30", constant="return address")

    def _of_access(self, instruction: Instruction, step: int) -> Iterator[Flow]:
        operand = instruction.memory
        assert operand is not None
        names = [name for name in (operand.base, operand.index) if name not in (None, "sp", "xzr")]
        # SP and PC say which variable is meant; they are no part of what is in it.
        if len(names) == 1 and operand.base and self._is_pc_relative(operand.base, step):
            names = []
        address: tuple[tuple[Place, str], ...] = tuple((str(name), "address") for name in names)
        moved = self.accessed(step)
        for name, access in zip(operand.registers, moved, strict=False):
            place = access[0]
            vector = name[0] != "x"
            if operand.kind == "load" and not vector and name != "xzr":
                if place is None:
                    yield Flow(name, address, unknown="a load from where no RAM is")
                else:
                    chosen = () if self._is_own_slot(place, operand, step) else address
                    yield Flow(name, ((place, "value"), *chosen))
            elif operand.kind == "store" and place is not None:
                if vector:
                    yield Flow(place, unknown=f"{name}: a trace records no vector register")
                elif name == "xzr":
                    yield Flow(place, constant="immediate")
                else:
                    yield Flow(place, ((name, "value"),))
        if operand.status and operand.status != "xzr":
            yield Flow(operand.status, unknown="the exclusive monitor")
        if operand.writeback and operand.base is not None:
            base = self._named(operand.base, step)
            yield Flow(base, ((base, "value"),), "immediate")

    def _is_own_slot(self, place: Bytes, operand: MemoryOperand, step: int) -> bool:
        """Return whether a load takes back what a step stored by the very same base register's
        value.

        As with SP, such a base says which variable is meant: wherever it points, load and store
        meet there.
        """
        if operand.index or operand.base is None:
            return False
        found, left = self.stored(place, step)
        if left or not found:
            return False
        root = self._root(operand.base, step)
        for writer, _ in found:
            stored = self.instruction(writer).memory
            if stored is None or stored.index or stored.base in (None, "sp"):
                return False
            if self._root(str(stored.base), writer) != root:
                return False
        return True

    def _root(self, register: str, row: int) -> tuple[str, int | None]:
        """Return the register and step that a base comes from, through moves and additions of
        constants."""
        for _ in range(4):
            writer = self.writer(register, row) if register != "sp" else None
            if writer is None:
                return register, None
            instruction = self.instruction(writer)
            op = instruction.operation
            steady = (
                instruction.mnemonic == "mov"
                and not op.constant
                or (instruction.mnemonic in ("add", "sub") and op.constant)
            )
            if not steady or len(op.inputs) != 1 or op.inputs == ("sp",):
                return register, writer
            register, row = op.inputs[0], writer
        return register, row

    def _is_pc_relative(self, register: str, step: int) -> bool:
        """Return whether a register holds what ADR, or ADRP and perhaps an ADD, made of the PC."""
        for _ in range(2):
            writer = self.writer(register, step) if register != "sp" else None
            if writer is None:
                return False
            instruction = self.instruction(writer)
            if instruction.mnemonic in ("adr", "adrp"):
                return True
            op = instruction.operation
            if instruction.mnemonic != "add" or not op.constant or op.inputs == ("sp",):
                return False
            register, step = op.inputs[0], writer
        return False

    def _of_computation(self, instruction: Instruction, step: int) -> Iterator[Flow]:
        op = instruction.operation
        of, constant = self._parts(instruction, step)
        unknown = ""
        if op.outputs and not of and not constant:
            # SIMD moves to a general register; SYSL, and what the core knows and the kit does not.
            vector = instruction.word >> 25 & 7 == 7
            unknown = "a trace records no vector register" if vector else instruction.mnemonic
        if instruction.word >> 25 & 7 == 7 and op.outputs == ("nzcv",):
            of, constant, unknown = (), "", "a trace records no vector register"
        for name in op.outputs:
            yield Flow(self._named(name, step), of, constant, unknown)
        if op.system_write == "SP_EL1":
            yield Flow("sp_el1", of, constant)
        elif op.system_write == "PAR_EL1":
            yield Flow("PAR_EL1", of, unknown="the page tables")
        elif op.system_write:
            yield Flow(op.system_write, of, constant or ("" if of else "immediate"))

    def _parts(
        self, instruction: Instruction, step: int
    ) -> tuple[tuple[tuple[Place, str], ...], str]:
        """Return what goes into the result of a computation, and what the word itself adds."""
        op = instruction.operation
        constant = "immediate" if op.constant else ""
        names: list[tuple[Place, str]] = [
            (self._named(name, step), "condition" if op.condition and name == "nzcv" else "value")
            for name in op.inputs
        ]
        if op.condition:
            held = holds(op.condition, int(self._trace.pstates[step]))
            if op.chosen is not None:
                taken = op.chosen[not held]
                names = [(name, role) for name, role in names if name in (taken, "nzcv")]
                constant = "" if taken else "immediate"
            elif not held:  # CCMP sets the flags that it names
                names = [(name, role) for name, role in names if name == "nzcv"]
            elif instruction.word >> 11 & 1 == 0:  # CCMP of two registers
                constant = ""
        if op.system_read:
            names.append(("sp_el1" if op.system_read == "SP_EL1" else op.system_read, "value"))
        if instruction.mnemonic in ("adr", "adrp"):
            constant = "address"
        elif not names and not constant and instruction.word & 0x1F00_0000 in _REGISTER_FORMS:
            constant = "immediate"  # a zero register is as good as a constant
        return tuple(names), constant

    # -- who wrote a place last --

    def writer(self, place: Place, row: int) -> int | None:
        """Return the last step before *row* that wrote a register; None when none did."""
        assert isinstance(place, str)
        steps = self._writers(place)
        at = int(np.searchsorted(steps, row)) - 1
        return int(steps[at]) if at >= 0 else None

    def _writers(self, place: str) -> np.ndarray:
        if place not in self._writes:
            self._writes[place] = np.unique(self._find_writers(place))
        return self._writes[place]

    def _find_writers(self, place: str) -> np.ndarray:
        trace = self._trace
        if place == "pc":
            return np.flatnonzero(trace.pcs[1:] != trace.pcs[:-1] + np.uint64(4))
        banked = place.startswith("sp_el")
        name = "sp" if banked else place
        wanted = [
            name in op.outputs or op.system_write in (place, place.upper())
            for op in (instruction.operation for instruction in self._instructions)
        ]
        if place == "nzcv":
            for number, instruction in enumerate(self._instructions):
                wanted[number] |= instruction.operation.flow == "eret"
        steps = np.flatnonzero(np.array(wanted, dtype=bool)[self._site])
        if banked:
            own = trace.els[steps] == int(place[-1])
            moves = [bool(op.system_write) for op in self._operations]
            steps = steps[own | np.array(moves, dtype=bool)[self._site[steps]]]
        if self._refused:
            steps = steps[~np.isin(steps, np.array(sorted(self._refused), dtype=np.int64))]
        more = []
        if place in REGISTERS:
            changed = trace._changed(place)[0] - 1
            more.append(changed[changed >= 0])
        if place.startswith(("ESR_", "ELR_", "FAR_", "SPSR_", "HPFAR_")) or place == "DAIF":
            more.append(self._entries(place))
        return np.concatenate([steps, *more]).astype(np.int64)

    @property
    def _operations(self) -> list:
        return [instruction.operation for instruction in self._instructions]

    def _entries(self, place: str) -> np.ndarray:
        """Return the steps at which an exception wrote a system register."""
        steps: list[int] = []
        for step, taken in self._trace.exceptions.items():
            written = ["ESR", "ELR", "SPSR", *(["FAR"] if taken.far is not None else [])]
            if "FAR" in written and taken.target_el == 2 and _is_from_below(taken.esr):
                written.append("HPFAR")
            if place in ("DAIF", *(f"{name}_EL{taken.target_el}" for name in written)):
                steps.append(step)
        if place in ("DAIF", "ESR_EL2", "ELR_EL2", "SPSR_EL2"):
            calls = [is_hvc(instruction.word) for instruction in self._instructions]
            steps += np.flatnonzero(np.array(calls, dtype=bool)[self._site]).tolist()
        return np.array(steps, dtype=np.int64)

    @cached_property
    def _stores(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (steps, physical addresses, sizes) of everything stored to RAM, in order of
        steps."""
        moved, (pas, sizes) = self._trace.accesses, self._moved
        wanted = moved["store"] & (pas >= 0)
        return moved["step"][wanted], pas[wanted], sizes[wanted]

    @cached_property
    def _stores_at(self) -> dict[int, list[int]]:
        """Return for every doubleword of memory, by its number: which of the stores touch it, in
        order."""
        found: dict[int, list[int]] = {}
        _, pas, sizes = self._stores
        for at, (pa, size) in enumerate(zip(pas.tolist(), sizes.tolist(), strict=True)):
            for word in range(pa >> 3, (pa + size + 7) >> 3):
                found.setdefault(word, []).append(at)
        return found

    def stored(self, place: Bytes, row: int) -> tuple[list[tuple[int, Bytes]], list[Bytes]]:
        """Return where bytes come from that are there before *row*.

        As (step, its part of them) for those that a step stored, and what is left of them: bytes
        that nobody in the trace stored before.
        """
        steps, pas, sizes = self._stores
        before = int(np.searchsorted(steps, row))
        left, found = [], []
        for word in range(place.pa >> 3, (place.pa + place.size + 7) >> 3):
            parts = [place.within(Bytes(word << 3, 8))]
            stores = self._stores_at.get(word, [])
            for at in reversed(stores[: bisect.bisect_left(stores, before)]):
                new = Bytes(int(pas[at]), int(sizes[at]))
                for part in [part for part in parts if part.meets(new)]:
                    both = part.within(new)
                    found.append((int(steps[at]), both))
                    parts.remove(part)
                    parts += [
                        Bytes(start, end - start)
                        for start, end in (
                            (part.pa, both.pa),
                            (both.pa + both.size, part.pa + part.size),
                        )
                        if start < end
                    ]
                if not parts:
                    break
            left += parts
        return found, _joined(left)

    @cached_property
    def opaque(self) -> np.ndarray:
        """Return the steps that access memory in a way that nothing here can follow."""
        wanted = [op.opaque for op in self._operations]
        return np.flatnonzero(np.array(wanted, dtype=bool)[self._site])


def _joined(parts: list[Bytes]) -> list[Bytes]:
    """Return neighbouring bytes as one place, ascending."""
    joined: list[Bytes] = []
    for part in sorted(parts):
        if joined and joined[-1].pa + joined[-1].size == part.pa:
            joined[-1] = Bytes(joined[-1].pa, joined[-1].size + part.size)
        else:
            joined.append(part)
    return joined


def _is_from_below(esr: int) -> bool:
    """Return whether an exception is an abort of a lower exception level, which stage 2 may have
    made."""
    return esr >> syndrome.ESR_EC_SHIFT in (syndrome.EC_IABT_LOWER, syndrome.EC_DABT_LOWER)


# Data processing with registers only (C4.1.89), by bits 28 to 24.
_REGISTER_FORMS = (0x0A00_0000, 0x0B00_0000, 0x1A00_0000, 0x1B00_0000)
