"""Where a value came from, and what a value reaches: the question whom EL2 believes.

Backward, `Trace.origin` follows a value to its sources; forward, `Trace.reaches` follows it to what
is made of it. Both follow values, the addresses that values are loaded from, and the flags that
choose between two values. They do not follow which way a branch went: a value that is stored on one
way only has no origin in the comparison before. SP and PC as the base of an address say which
variable is meant, and are not followed either.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hypkit.a64 import sysregs
from hypkit.a64.registers import REGISTERS
from hypkit.errors import (
    UnknownName,
    WrongIndex,
    WrongType,
    WrongValue,
    did_you_mean,
    expected,
    is_whole,
    needs,
    whole,
)
from hypkit.trace import owners
from hypkit.trace.columns import Columns
from hypkit.trace.dataflow import ROLES, Bytes, Dataflow, Flow, Place

# So many steps a chain may have: a loop run a million times is no answer.
LONGEST = 50_000
_SHOWN = 40  # rows of a table


@dataclass(frozen=True)
class Source:
    """Where a value begins.

    Attributes:
        kind: "immediate", "address" (relative to the PC), "literal", "table slot", "variable",
            "memory", "request" (the mailbox), "register" (as it was when the trace began or EL2
            was entered), "system register", "exception" (what the core wrote), or "unknown".
        name: which one: an instruction, a label, a register.
        value: its value as an unsigned number, None where the trace does not hold it.
        owner: who gave it that value: "host", "VM", "linker", "boot", "EL2", "firmware", "core"
            (the architecture), "EL1, by its page tables", or "not known".
        role: how it takes part: "value", "address" (it chose where the value was loaded from) or
            "condition" (it chose between two values).
        step: the step that used it first.
        el1_may_write: whether EL1's page tables let it write the source; None where that is no
            question of memory, or EL1 has no host.
    """

    kind: str
    name: str
    value: int | None
    owner: str
    role: str
    step: int
    el1_may_write: bool | None = None

    def __repr__(self) -> str:
        value = "?" if self.value is None else f"{self.value:#x}"
        return f"Source({self.kind} {self.name} = {value}, {self.owner}, as {self.role})"


@dataclass(frozen=True)
class Origin:
    """Where a value came from.

    Attributes:
        what: what was asked for, such as "x30 before step 38".
        value: its value, unsigned; None where the trace does not hold it.
        meaning: whose address the value is, or "".
        steps: the steps that it went through, ascending.
        sources: where it began, in the order in which they were used.
        links: (step that wrote a place, step that used it, the place's name), ascending; the last
            step of the chain is used by None.
        notes: what the trace cannot know.
    """

    what: str
    value: int | None
    meaning: str
    steps: tuple[int, ...]
    sources: tuple[Source, ...]
    links: tuple[tuple[int, int | None, str], ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def owners(self) -> tuple[str, ...]:
        """Return whom the value depends on, each once, in the order of the sources."""
        return tuple(dict.fromkeys(source.owner for source in self.sources))

    def __repr__(self) -> str:
        value = "?" if self.value is None else f"{self.value:#x}"
        head = f"{self.what} = {value}" + (f", {self.meaning}" if self.meaning else "")
        rows = [
            (
                source.kind,
                source.name,
                "?" if source.value is None else f"{source.value:#x}",
                source.owner,
                source.role,
                {None: "", True: "may write", False: "read-only"}[source.el1_may_write],
            )
            for source in self.sources
        ]
        lines = [head, *_table(("source", "which", "value", "owner", "part", "EL1"), rows)]
        if self.steps:
            lines.append(f"by way of step{'s' * (len(self.steps) > 1)} {_ranges(self.steps)}")
        return "\n".join([*lines, *(f"not known: {note}" for note in self.notes)])


@dataclass(frozen=True)
class End:
    """What a value reaches.

    Attributes:
        kind: "register" or "memory" (it is there when the trace ends), "system register", "jump"
            (it went into the PC), "branch" (it decided one), or "load" (it chose the address).
        name: which one.
        step: the step at which it got there.
    """

    kind: str
    name: str
    step: int

    def __repr__(self) -> str:
        return f"End({self.kind} {self.name}, step {self.step})"


@dataclass(frozen=True)
class Reach:
    """What a value reaches.

    Attributes:
        what: what was asked for.
        steps: the steps that made something of it, ascending.
        ends: what it decided on the way and where it is when the trace ends, in order of steps.
        notes: what the trace cannot know.
    """

    what: str
    steps: tuple[int, ...]
    ends: tuple[End, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        rows = [(str(end.step), end.kind, end.name) for end in self.ends]
        lines = [f"{self.what} reaches", *_table(("step", "kind", "which"), rows)]
        if self.steps:
            lines.append(f"by way of step{'s' * (len(self.steps) > 1)} {_ranges(self.steps)}")
        return "\n".join([*lines, *(f"not known: {note}" for note in self.notes)])


def origin(
    trace: Columns,
    flow: Dataflow,
    name: str | int,
    step: int,
    *,
    size: int = 8,
    beyond_hvc: bool = False,
) -> Origin:
    """Return where a value came from; see Trace.origin."""
    needs(bool, "True or False for beyond_hvc", beyond_hvc)
    return _Backward(trace, flow, beyond_hvc).origin(name, step, size)


def reaches(trace: Columns, flow: Dataflow, name: str | int, step: int, *, size: int = 8) -> Reach:
    """Return what a value reaches; see Trace.reaches."""
    return _Forward(trace, flow).reach(name, step, size)


# --- What both need ------------------------------------------------------------------------------


class _Walk:
    """A trace with words for its places."""

    def __init__(self, trace: Columns, flow: Dataflow) -> None:
        self.trace, self.flow, self.image = trace, flow, trace.image

    def place(self, name: object, row: object, size: object) -> tuple[Place, int, str]:
        """Return the place that a caller means, the row, and both in words.

        Raises UnknownName, WrongType, WrongValue and WrongIndex for what is none.
        """
        at = _number("the number of a step", row)
        if not 0 <= at < len(self.trace.pcs):
            raise WrongIndex(
                expected(f"a step from 0 to {len(self.trace)}, where the last is the end", row)
            )
        many = _number("a size", size)
        if not 1 <= many <= 4096:
            raise WrongValue(expected("a size of 1 to 4096 bytes", size))
        when = f"before step {at}" if at < len(self.trace) else "at the end"
        if not isinstance(name, str):
            va = _number("a register's name or an address", name)
            pa = self.flow.physical(va)
            if pa is None:
                raise WrongValue(expected("an address of this machine's kernel or VM", f"{va:#x}"))
            return Bytes(pa, many), at, f"{self.memory(va)} {when}"
        known = self._register(name, at)
        if known is not None:
            return known, at, f"{name.lower() if known in REGISTERS else name} {when}"
        if name in self.image.symbols:
            return Bytes(self.image.pa(name), 8), at, f"{name} {when}"
        names = [*REGISTERS, "pc", "nzcv", *self.trace.sysregs, *self.image.symbols]
        raise UnknownName(
            expected("a register, a system register, a label or an address", name)
            + did_you_mean(name, names)
        )

    def _register(self, name: str, row: int) -> Place | None:
        low = name.lower()
        low = {"lr": "x30", "fp": "x29", "pstate": "nzcv"}.get(low, low)
        if low[:1] == "w" and f"x{low[1:]}" in REGISTERS:
            low = f"x{low[1:]}"
        if low == "sp":
            return self.flow.stack(row)
        if low in REGISTERS or low in ("nzcv", "pc", "sp_el1", "sp_el2"):
            return low
        found = next((known for known in sysregs.SYSREGS if known.lower() == low), None)
        return found

    def memory(self, address: int) -> str:
        """Name a byte: its label, or its address."""
        return self.image.symbolize(address) or f"{address:#x}"

    def named(self, place: Place) -> str:
        """Name a place."""
        return place if isinstance(place, str) else self.memory(place.pa)

    def value(self, place: Place, row: int) -> int | None:
        """Return what is in a place before a row, None where the trace does not hold it."""
        trace = self.trace
        if isinstance(place, Bytes):
            return None
        if place in REGISTERS:
            return trace.register(place, row)
        if place == "pc":
            return int(trace.pcs[row])
        if place == "nzcv":
            return trace.register("pstate", row) >> 28 & 15
        if place.startswith("sp_el"):
            return trace.register("sp", row) if self.flow.stack(row) == place else None
        names = list(trace.sysregs)
        if place not in names:
            return None
        news = trace.sysreg_changes
        news = news[(news["register"] == names.index(place)) & (news["step"] < row)]
        return int(news["value"][-1]) if len(news) else trace.sysregs[place]

    def meaning(self, value: int | None) -> str:
        """Say whose address a value is."""
        if value is None:
            return ""
        space, name = self.image.layout.space(value), self.image.symbolize(value)
        return f"{space} address of {name}" if space and name else ""

    def notes(self, steps: Iterable[int]) -> tuple[str, ...]:
        """Say which steps accessed memory that nothing here follows."""
        return tuple(
            f"what step {step}, {self.flow.instruction(step).text()}, did to memory"
            for step in list(steps)[:3]
        )


def _number(what: str, value: object) -> int:
    if not is_whole(value):
        raise WrongType(expected(what, value))
    return whole(what, value)


# --- Backward ------------------------------------------------------------------------------------


class _Backward(_Walk):
    """One search for the origin of a value."""

    def __init__(self, trace: Columns, flow: Dataflow, beyond_hvc: bool) -> None:
        super().__init__(trace, flow)
        self.beyond = beyond_hvc or self.image.variant.host_el == 2
        self.sources: list[Source] = []
        self.links: set[tuple[int, int | None, str]] = set()
        # (role, -row, place, consumer): strongest role first, and of these the latest row.
        self.todo: list[tuple[int, int, str, Place, int | None]] = []
        self.known: set[tuple[Place, int]] = set()
        self.patched: dict[int | None, str | None] = {}  # by physical address, asked once each

    def origin(self, name: str | int, step: int, size: int) -> Origin:
        place, row, what = self.place(name, step, size)
        self._want(place, row, None, "value")
        steps: set[int] = set()
        notes: list[str] = []
        while self.todo:
            number, minus_row, _, place_now, user = heapq.heappop(self.todo)
            if len(steps) > LONGEST:
                notes.append(f"what came before: the chain is longer than {LONGEST:,} steps")
                break
            self._trace_back(place_now, -minus_row, user, ROLES[number], steps)
        value = self.value(place, row)
        if value is None and isinstance(place, Bytes):
            value = self._memory_value(place, row)
        sources = tuple(sorted(_merged(self.sources), key=lambda s: (s.step, s.kind, s.name)))
        before = self.flow.opaque
        if any(s.kind in ("variable", "memory", "table slot") for s in sources) or steps:
            notes += self.notes(before[before < row].tolist())
        return Origin(
            what,
            value,
            self.meaning(value),
            tuple(sorted(steps)),
            sources,
            tuple(sorted(self.links, key=lambda link: (link[0], link[1] is None, link[1] or 0))),
            tuple(notes),
        )

    def _want(self, place: Place, row: int, user: int | None, role: str) -> None:
        heapq.heappush(self.todo, (ROLES.index(role), -row, repr(place), place, user))

    def _trace_back(
        self, place: Place, row: int, user: int | None, role: str, steps: set[int]
    ) -> None:
        """Follow what a step (None: the caller) uses of a place, which is there before *row*."""
        if isinstance(place, Bytes):
            found, left = self.flow.stored(place, row)
            for step, part in found:
                self._through(part, step, row, user, role, steps)
            for part in left:
                self._from_memory(part, row, user, role)
            return
        writer = self.flow.writer(place, row)
        if writer is None:
            if (place, -1) not in self.known:
                self.known.add((place, -1))
                self._from_the_start(place, row, user, role)
            return
        self._through(place, writer, row, user, role, steps)

    def _through(
        self, place: Place, step: int, row: int, user: int | None, role: str, steps: set[int]
    ) -> None:
        """Go on from the step that wrote a place."""
        entry = isinstance(place, str) and self._is_entry(step, place)
        if not entry and self._crosses(step, row if user is None else user):
            self._from_below(place, row, user, role)
            return
        steps.add(step)
        self.links.add((step, user, self.named(place)))
        if (place, step) in self.known:
            return
        self.known.add((place, step))
        for flow in self.flow.flows(step):
            same = flow.to == place
            if isinstance(place, Bytes) and isinstance(flow.to, Bytes):
                same = place.meets(flow.to)
            if same:
                self._expand(flow, step, role, entry)

    def _is_entry(self, step: int, place: str) -> bool:
        """Return whether an exception from below wrote a place."""
        taken = self.trace.exception_after(step)
        return taken is not None and place.endswith(f"EL{taken.target_el}")

    def _expand(self, flow: Flow, step: int, role: str, entry: bool) -> None:
        for part, part_role in flow.of:
            weaker = max(role, part_role, key=ROLES.index)
            if entry and not self.beyond and int(self.trace.els[step]) == 1:
                self._from_below(part, step, step, weaker)
            else:
                self._want(part, step, step, weaker)
        if flow.unknown:
            self._add("unknown", flow.unknown, None, self._unknown_owner(flow), role, step)
        elif flow.constant:
            self._constant(flow, step, role)

    def _unknown_owner(self, flow: Flow) -> str:
        return owners.FIRMWARE if "firmware" in flow.unknown else owners.UNKNOWN

    def _add(
        self,
        kind: str,
        name: str,
        value: int | None,
        owner: str,
        role: str,
        step: int,
        writable: bool | None = None,
    ) -> None:
        self.sources.append(Source(kind, name, value, owner, role, step, writable))

    # -- where it ends --

    def _crosses(self, writer: int, user: int) -> bool:
        """Return whether a value goes from EL1, which wrote it, into EL2, which uses it."""
        els = self.trace.els
        return not self.beyond and int(els[writer]) == 1 and int(els[min(user, len(els) - 1)]) == 2

    def _lower(self, step: int) -> str:
        """Return who runs at EL1 at a step."""
        inside = self.image.layout.pa(int(self.trace.pcs[step])) is None
        return owners.VM if inside else owners.HOST

    def _from_below(self, place: Place, row: int, user: int | None, role: str) -> None:
        entered = self._entered(row)
        kind = "register" if isinstance(place, str) else "memory"
        if isinstance(place, str) and place in sysregs.SYSREGS:
            kind = "system register"
        value = self.value(place, row)
        writable = None
        if isinstance(place, Bytes):
            value = self._memory_value(place, row)
            writable = owners.el1_may_write(self.image, place.pa)
        at = row if user is None else user
        self._add(kind, self.named(place), value, self._lower(entered), role, at, writable)

    def _entered(self, row: int) -> int:
        """Return the step at which EL2, where *row* is, was entered last."""
        step = min(row, len(self.trace)) - 1
        while step > 0 and int(self.trace.els[step]) == 2:
            step -= 1
        return max(step, 0)

    def _from_the_start(self, place: str, row: int, user: int | None, role: str) -> None:
        at = row if user is None else user
        value = self.value(place, 0)
        if place in sysregs.SYSREGS or place in ("DAIF", "SPSel") or place.startswith("s3_"):
            value = self.value(place, row)
            if value is None and user is not None:
                value = self._read_by(user)
            owner = owners.EL2 if place.endswith("EL2") else owners.HOST
            if place in sysregs.READ_ONLY:
                owner = "core"
            self._add("system register", place, value, owner, role, at)
            return
        start = int(self.trace.els[0])
        if place.startswith("sp_el"):
            owner = owners.EL2 if place == "sp_el2" and self.image.variant.host_el == 1 else "host"
            self._add("register", place, self.value(place, row), owner, role, at)
            return
        owner = self._lower(0) if start == 1 else owners.UNKNOWN
        if self.image.variant.host_el == 2:
            owner = owners.HOST
        self._add("register", place, value, owner, role, at)

    def _read_by(self, step: int) -> int | None:
        """Return what an MRS read, None for another instruction."""
        op = self.flow.instruction(step).operation
        if not op.system_read or not op.outputs:
            return None
        return self.trace.register(op.outputs[0], step + 1)

    def _from_memory(self, place: Bytes, row: int, user: int | None, role: str) -> None:
        at = row if user is None else user
        value = self._loaded_by(place, user) if user is not None else None
        if value is None:
            value = self._memory_value(place, row)
        operand = None if user is None else self.flow.instruction(user).memory
        name, kind = self.memory(place.pa), "variable"
        slot = owners.table_slot(self.image, place.pa)
        if operand is not None and operand.base is None:
            kind, name = "literal", self.meaning(value).partition(" of ")[2] or name
        elif slot is not None:
            kind, name = "table slot", f"{name} (slot {slot})"
        elif owners.is_request(self.image, place.pa):
            kind = "request"
        elif name.startswith("0x"):
            kind = "memory"
        owner = owners.owner_of_memory(self.image, place.pa, place.size, value)
        writable = owners.el1_may_write(self.image, place.pa)
        self._add(kind, name, value, owner, role, at, writable)

    def _loaded_by(self, place: Bytes, step: int) -> int | None:
        """Return what a step loaded from bytes, None where it loaded others."""
        for found, store, value in self.flow.accessed(step):
            if found == place and not store:
                return value
        return None

    def _memory_value(self, place: Bytes, row: int) -> int | None:
        """Return what the accesses next to a row say is in memory, None where none of them says
        it."""
        moved = self.trace.accesses
        near = self.flow.accesses_of(place)
        near = near[moved["known"][near]]
        split = int(np.searchsorted(moved["step"][near], row))
        if split:
            last = near[split - 1]
            stored, _ = self.flow.stored(place, row)
            if int(moved["step"][last]) >= max((step for step, _ in stored), default=-1):
                return int(moved["value"][last])
        if split < len(near) and not moved["store"][near[split]]:
            return int(moved["value"][near[split]])
        return None

    def _constant(self, flow: Flow, step: int, role: str) -> None:
        trace, image = self.trace, self.image
        pc = int(trace.pcs[step])
        pa = self.flow.physical(pc)
        el = int(trace.els[step])
        if flow.constant == "exception":
            name = f"{self.named(flow.to)} at step {step}"
            self._add("exception", name, self.value(flow.to, step + 1), "core", role, step)
            return
        owner = owners.LINKER
        if el == 1 and image.variant.host_el == 1:
            owner = self._lower(step)
        writable = None if pa is None else owners.el1_may_write(image, pa)
        if pa not in self.patched:
            self.patched[pa] = None if pa is None else owners.patched_by_boot(image, pa)
        patched = self.patched[pa]
        text = trace.text(pc, step)
        if patched is not None:
            owner = owners.BOOT
            text = f"{patched} {text.partition(' ')[2].partition(',')[0]}"
            self._add("immediate", text, None, owner, role, step, writable)
            return
        value = self.value(flow.to, step + 1) if not flow.of else None
        if flow.constant == "immediate":
            if not self._completes_address(step):
                self._add("immediate", text, value, owner, role, step, writable)
            return
        if flow.constant == "address" and " " in text:
            text = text.rpartition(" ")[2]
            after = step + 1
            if after < len(trace) and self._completes_address(after):
                value = self.value(flow.to, after + 1)
        self._add("address", text, value, owner, role, step, writable)

    def _completes_address(self, step: int) -> bool:
        """Return whether a step adds to the page that the ADRP just before it put into its
        register."""
        instruction = self.flow.instruction(step)
        if instruction.mnemonic != "add" or not instruction.operation.constant or not step:
            return False
        before = self.flow.instruction(step - 1)
        return before.mnemonic == "adrp" and (
            before.operation.outputs == instruction.operation.inputs
        )


def _merged(sources: list[Source]) -> list[Source]:
    """Return each source once, with its strongest role and its first use."""
    kept: dict[tuple[str, str, int | None, str], Source] = {}
    for source in sources:
        key = (source.kind, source.name, source.value, source.owner)
        if key in kept:
            one, other = kept[key], source
            role = min(one.role, other.role, key=ROLES.index)
            first = min(one.step, other.step)
            source = Source(*key, role, first, one.el1_may_write)
        kept[key] = source
    return list(kept.values())


# --- Forward -------------------------------------------------------------------------------------


class _Forward(_Walk):
    """One sweep that follows a value to what is made of it."""

    def reach(self, name: str | int, step: int, size: int) -> Reach:
        place, row, what = self.place(name, step, size)
        registers: set[str] = set()
        memory: set[int] = set()
        if isinstance(place, Bytes):
            memory.update(range(place.pa, place.pa + place.size))
        else:
            registers.add(place)
        steps: list[int] = []
        ends: list[End] = []

        def has(part: Place) -> bool:
            if isinstance(part, str):
                return part in registers
            return bool(memory) and not memory.isdisjoint(range(part.pa, part.pa + part.size))

        born: dict[str, int] = dict.fromkeys(registers, row)
        stored: dict[int, int] = dict.fromkeys(memory, row)
        words = {pa >> 3 for pa in memory}
        for at in self.flow.touching(registers, words, row):
            if not registers and not memory:
                break
            reached = False
            flows = self.flow.flows(at)
            found = [{role for part, role in flow.of if has(part)} for flow in flows]
            for flow, roles in zip(flows, found, strict=True):
                reached |= bool(roles)
                self._tell(flow, at, roles, ends)
                if isinstance(flow.to, Bytes):
                    touched = range(flow.to.pa, flow.to.pa + flow.to.size)
                    if roles:
                        memory.update(touched)
                        words.update(pa >> 3 for pa in touched)
                        stored.update(dict.fromkeys(touched, at))
                    else:
                        memory.difference_update(touched)
                elif flow.to == "pc":
                    continue
                elif roles:
                    registers.add(flow.to)
                    born[flow.to] = at
                else:
                    registers.discard(flow.to)
            if reached:
                steps.append(at)
        end = len(self.trace)
        for register in sorted(registers, key=_by_number):
            ends.append(End("register", f"{register} at the end", born[register]))
        for label, first in self._labels(memory, stored).items():
            ends.append(End("memory", f"{label} at the end", first))
        ends.sort(key=lambda found: (found.step, found.kind in ("register", "memory")))
        opaque = self.flow.opaque
        return Reach(
            f"{what}", tuple(steps), tuple(ends), self.notes(opaque[opaque >= min(row, end)])
        )

    def _tell(self, flow: Flow, step: int, roles: set[str], ends: list[End]) -> None:
        if not roles:
            return
        text = self.trace.text(int(self.trace.pcs[step]), step)
        if flow.to == "pc":
            ends.append(End("jump" if "value" in roles else "branch", text, step))
        elif "address" in roles and not any(e.step == step and e.kind == "load" for e in ends):
            ends.append(End("load", text, step))
        if isinstance(flow.to, str) and flow.to in sysregs.SYSREGS:
            ends.append(End("system register", flow.to, step))

    def _labels(self, memory: set[int], stored: dict[int, int]) -> dict[str, int]:
        """Return the runs of bytes reached, by the label of their first byte, and when each was."""
        found: dict[str, int] = {}
        for pa in sorted(memory):
            if pa - 1 in memory and stored[pa - 1] == stored[pa] and pa % 8:
                continue
            found[self.memory(pa)] = stored[pa]
        return found


def _by_number(register: str) -> tuple[str, int]:
    digits = register.lstrip("x")
    return ("x", int(digits)) if digits.isdigit() else (register, 0)


# --- Tables --------------------------------------------------------------------------------------


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows in columns, the head first; a long one ends in a line that says so."""
    shown = [head, *rows[:_SHOWN]]
    widths = [max(len(row[n]) for row in shown) for n in range(len(head))]
    lines = ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)) for row in shown]
    if len(rows) > _SHOWN:
        lines.append(f"... and {len(rows) - _SHOWN} more")
    return ["  " + line.rstrip() for line in lines]


def _ranges(numbers: tuple[int, ...]) -> str:
    """Return numbers with runs as ranges: 12, 21-28."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    texts = [f"{a}" if a == b else f"{a}-{b}" for a, b in parts]
    return ", ".join(texts[:20] + (["..."] if len(texts) > 20 else []))
