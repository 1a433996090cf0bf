"""Where a value came from: the question whom EL2 believes.

`Trace.origin` follows a value backward to its sources: other values, the addresses that values are
loaded from, and the flags that choose between two values. It does not follow which way a branch
went: a value that is stored on one way only has no origin in the comparison before. SP and PC as the
base of an address say which variable is meant, and are not followed either.
"""

from __future__ import annotations

import heapq

import numpy as np

from hypkit.a64 import sysregs
from hypkit.errors import needs
from hypkit.trace import owners
from hypkit.trace.columns import Columns
from hypkit.trace.dataflow import ROLES, Bytes, Dataflow, Flow, Place
from hypkit.trace.lineage import Origin, Source
from hypkit.trace.places import Walk

# So many steps a chain may have: a loop run a million times is no answer.
LONGEST = 50_000


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


class _Backward(Walk):
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
                if not self._edited(part, step, row, user, role):
                    self._through(part, step, row, user, role, steps)
            for part in left:
                if not self._edited(part, None, row, user, role):
                    self._from_memory(part, row, user, role)
            return
        writer = self.flow.writer(place, row)
        if self._edited(place, writer, row, user, role):
            return
        if writer is None:
            if (place, -1) not in self.known:
                self.known.add((place, -1))
                self._from_the_start(place, row, user, role)
            return
        self._through(place, writer, row, user, role, steps)

    def _edited(
        self, place: Place, writer: int | None, row: int, user: int | None, role: str
    ) -> bool:
        """Whether a reader's edit gave a place the value that it has before *row*, after the step
        that wrote it last; if so, the value begins there."""
        edit = self.trace.edit
        if edit is None or row < edit.step or (writer is not None and writer >= edit.step):
            return False
        value = None
        if isinstance(place, Bytes):
            if not any(place.meets(Bytes(pa, len(data))) for pa, data in edit.memory.items()):
                return False
            name = self.memory(place.pa)
            value = self._memory_value(place, row)
        else:
            name = "sp" if place == self.flow.stack(edit.step) else place
            if name not in edit.registers:
                return False
            value = edit.registers[name]
        self._add("what if", name, value, owners.READER, role, edit.step)
        return True

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
