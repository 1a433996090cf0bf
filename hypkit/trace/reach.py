"""What a value reaches: what is made of it, and where that is when the trace ends.

`Trace.reaches` follows a value forward, by the same rules as hypkit.trace.origin goes backward.
"""

from __future__ import annotations

from hypkit.a64 import sysregs
from hypkit.trace.columns import Columns, Edit
from hypkit.trace.dataflow import Bytes, Dataflow, Flow, Place
from hypkit.trace.lineage import End, Reach
from hypkit.trace.places import Walk


def reaches(trace: Columns, flow: Dataflow, name: str | int, step: int, *, size: int = 8) -> Reach:
    """Return what a value reaches; see Trace.reaches."""
    return _Forward(trace, flow).reach(name, step, size)


class _Forward(Walk):
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
        edit = self.trace.edit
        if edit is not None and edit.step <= row:
            edit = None
        for at in self.flow.touching(registers, words, row):
            if edit is not None and at >= edit.step:
                self._drop(edit, registers, memory)
                edit = None
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
        if edit is not None:
            self._drop(edit, registers, memory)
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

    def _drop(self, edit: Edit, registers: set[str], memory: set[int]) -> None:
        """Forget what a reader put something else in the place of."""
        stack = self.flow.stack(edit.step)
        registers.difference_update(stack if name == "sp" else name for name in edit.registers)
        for pa, data in edit.memory.items():
            memory.difference_update(range(pa, pa + len(data)))

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
