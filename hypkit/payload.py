"""A trace as compact data for the stepper's front end: a JSON part and binary chunks of steps.

static/stepper.js reads what is written here and knows no other source. All numbers of a chunk are
little-endian; the layout of a chunk stands at `Payload.chunk`.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hypkit import arch, explain
from hypkit.cost import PHASES, Counts, phases
from hypkit.image import HEAP, KIMAGE_PA, REQUESTS_PA, TEXT_PA, VM_IPA, VTCR_EL2, Image
from hypkit.listing import BRANCH, ERET, HVC, INDIRECT, LOAD, STORE, Listing
from hypkit.trace import REGISTERS, Step, Trace, is_hvc
from hypkit.vmem import DRAM_BASE, DRAM_SIZE, PAGE_OFFSET, PAGE_SIZE

CHUNK = 1 << 14  # steps in one chunk
WHOLE = 100_000  # up to here, all steps are in the front end
LIMIT = 1 << 20  # beyond, the first so many are shown
BINS = 2000  # columns of the timeline

PHASE_NAMES = tuple(PHASES)
COUNTERS = ("instructions", "loads", "stores", "taken", "not_taken", "indirect")
NONE = 0xFFFF_FFFF

# Bits of a timeline column: which levels ran, and what happened.
HOST, VM, HYP = 1, 2, 4
MARK_HVC, MARK_ERET, MARK_TABLE, MARK_FAULT, MARK_PANIC = 8, 16, 32, 64, 128

# Labels of what a number selects a function from, and the bytes of a slot.
TABLES = {"kvm_hcall_table": 8, "hcall_distances": 4}


class Payload:
    """The data of one trace for the front end, and the same sentences in Python.

    title and outcome: the first line and the last word of the view. A trace of more than LIMIT
    steps is cut; `note` then says so.
    """

    def __init__(self, trace: Trace, title: str = "", outcome: str = "") -> None:
        self.note = ""
        if len(trace) > LIMIT:
            self.note = (f"This trace has {len(trace):,} steps. The first {LIMIT:,} are shown; cut "
                         "it, trace[a:b], to see others.")
            trace = trace[:LIMIT]
        self.trace, self.title, self.outcome = trace, title, outcome
        self.image = trace.image
        pcs, self.site = np.unique(trace.pcs[:-1], return_inverse=True)
        # In the order of first execution, which the listing follows.
        first = np.full(len(pcs), len(trace), dtype=np.int64)
        np.minimum.at(first, self.site, np.arange(len(trace)))
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        self.site, self.pcs = rank[self.site], pcs[order]
        self.listing = Listing(self.image, self.pcs, trace.words)
        self.rows = np.array([self.listing.row_of[int(pc)] for pc in self.pcs], dtype=np.uint32)
        self.sysregs = tuple(trace.sysregs)

    def __len__(self) -> int:
        return len(self.trace)

    @property
    def whole(self) -> bool:
        """Whether all steps go to the front end at once."""
        return len(self) <= WHOLE

    # -- columns, derived for all steps at once --

    @cached_property
    def _starts(self) -> np.ndarray:
        counts = np.bitwise_count(self.trace.masks).astype(np.int64)
        return np.concatenate(([0], np.cumsum(counts)))

    def _changes(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        bit = REGISTERS.index(name)
        masks = self.trace.masks
        rows = np.flatnonzero(masks >> np.uint64(bit) & np.uint64(1))
        below = masks[rows] & np.uint64((1 << bit) - 1)
        return rows, self.trace.values[self._starts[rows] + np.bitwise_count(below)]

    def _at(self, name: str, rows: np.ndarray) -> np.ndarray:
        """A register's values in the given rows."""
        if name == "xzr":
            return np.zeros(len(rows), dtype=np.uint64)
        changed, values = self._columns(name)
        at = np.searchsorted(changed, rows, side="right")
        first = self.trace.base[REGISTERS.index(name)]
        return np.concatenate((np.array([first], dtype=np.uint64), values))[at]

    def _columns(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        cache = self.__dict__.setdefault("_column_cache", {})
        if name not in cache:
            cache[name] = self._changes(name)
        return cache[name]

    @cached_property
    def exceptions(self) -> dict[int, tuple[int, str]]:
        """Step -> (target EL, sentence), for exceptions other than an HVC."""
        trace, found = self.trace, {}
        hvcs = set(np.flatnonzero(self._site_is(HVC)).tolist())
        for step, taken in trace._rare.items():
            if step in hvcs and taken.esr >> arch.ESR_EC_SHIFT == arch.EC_HVC64:
                continue
            far = "" if taken.far is None else f"; FAR_EL{taken.target_el} = {taken.far:#x}"
            offset = int(trace.pcs[step + 1]) & 0x7FF
            found[step] = taken.target_el, (
                f"Exception: {arch.esr_text(taken.esr)}{far}. The core enters EL{taken.target_el} "
                f"at VBAR_EL{taken.target_el} + {offset:#x}.")
        return found

    @cached_property
    def _kinds(self) -> np.ndarray:
        kinds = np.array([row.kind for row in self.listing.rows], dtype=np.uint32)
        return kinds[self.rows]

    def _site_is(self, kind: int) -> np.ndarray:
        """For every step, whether its instruction is of that kind."""
        return (self._kinds & kind != 0)[self.site]

    @cached_property
    def accesses(self) -> np.ndarray:
        """Every register moved from or to memory: step, va, value, info, in order of steps.

        info: bits 0 to 4 the bytes, 5 a store, 6 faulted, 7 from the literal pool.
        """
        dtype = np.dtype([("step", "<u4"), ("va", "<u8"), ("value", "<u8"), ("info", "u1")])
        parts = [np.zeros(0, dtype)]
        rare = np.array(sorted(self.exceptions), dtype=np.int64)
        for site, pc in enumerate(self.pcs):
            operand = self.listing.rows[self.rows[site]].instruction.memory
            if operand is None:
                continue
            steps = self._steps_of(site)
            base = (np.full(len(steps), pc, dtype=np.uint64) if operand.base is None
                    else self._at(operand.base, steps))
            if operand.index is not None:
                index = [operand.address(0, lambda name, v=int(v), o=operand:
                                         v if name == o.index else 0) - o.offset
                         for v, o in ((v, operand) for v in self._at(operand.index, steps))]
                base = base + np.array([v & (1 << 64) - 1 for v in index], dtype=np.uint64)
            base = base + np.uint64(operand.offset & (1 << 64) - 1)
            size, load = operand.element, operand.kind == "load"
            faulted = np.isin(steps, rare)
            for number, register in enumerate(operand.registers):
                part = np.zeros(len(steps), dtype)
                part["step"], part["va"] = steps, base + np.uint64(size * number)
                value = self._at(register, steps + load)
                part["value"] = value if size >= 8 else value & np.uint64((1 << 8 * size) - 1)
                part["info"] = size | (not load) << 5 | (operand.base is None) << 7
                part["info"] |= (faulted << 6).astype(np.uint8)
                part["value"][faulted] = 0
                parts.append(part)
        joined = np.concatenate(parts)
        return joined[np.argsort(joined["step"], kind="stable")]

    def _steps_of(self, site: int) -> np.ndarray:
        order, starts = self._by_site
        return np.sort(order[starts[site]:starts[site + 1]])

    @cached_property
    def _by_site(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.site, kind="stable")
        return order, np.searchsorted(self.site[order], np.arange(len(self.pcs) + 1))

    @cached_property
    def sysreg_changes(self) -> np.ndarray:
        """What the traced system registers become: step, register (index), value, in order."""
        dtype = np.dtype([("step", "<u4"), ("value", "<u8"), ("register", "u1")])
        parts = [np.zeros(0, dtype)]

        def add(name: str, steps: np.ndarray, values: np.ndarray) -> None:
            if name in self.sysregs:
                part = np.zeros(len(steps), dtype)
                part["step"], part["value"], part["register"] = steps, values, \
                    self.sysregs.index(name)
                parts.append(part)

        rare = np.array(sorted(self.exceptions), dtype=np.int64)
        for site, pc in enumerate(self.pcs):
            row = self.listing.rows[self.rows[site]]
            move = arch.decode_sysreg_move(row.word)
            if move and move[0] == "msr":
                steps = self._steps_of(site)
                steps = steps[~np.isin(steps, rare)]
                source = "xzr" if move[2] == 31 else f"x{move[2]}"
                add(arch.SYSREG_NAMES.get(move[1], ""), steps, self._at(source, steps))
            elif is_hvc(row.word):
                steps = self._steps_of(site)
                steps = steps[~np.isin(steps, rare)]
                esr = arch.EC_HVC64 << arch.ESR_EC_SHIFT | arch.ESR_IL | row.word >> 5 & 0xFFFF
                same = np.ones(len(steps), dtype=np.uint64)
                add("ESR_EL2", steps, same * np.uint64(esr))
                add("ELR_EL2", steps, same * np.uint64((int(pc) + 4) & (1 << 64) - 1))
                add("SPSR_EL2", steps, self._at("pstate", steps))
        for step in self.exceptions:
            taken = self.trace.exception_after(step)
            at, level = np.array([step]), f"EL{taken.target_el}"
            far = () if taken.far is None else ((f"FAR_{level}", taken.far),)
            for name, value in ((f"ESR_{level}", taken.esr), (f"ELR_{level}", taken.elr),
                                (f"SPSR_{level}", taken.spsr), *far):
                add(name, at, np.array([value], dtype=np.uint64))
            if taken.far is not None and self._refused_by_stage2(taken):
                add("HPFAR_EL2", at, np.array([taken.far >> 12 << 4], dtype=np.uint64))
        joined = np.concatenate(parts)
        return joined[np.argsort(joined["step"], kind="stable")]

    @staticmethod
    def _refused_by_stage2(taken) -> bool:
        # The VM's MMU is off, so that the address it used is the intermediate physical one.
        return taken.target_el == 2 and taken.esr >> arch.ESR_EC_SHIFT in (
            arch.EC_IABT_LOWER, arch.EC_DABT_LOWER)

    @cached_property
    def phases(self) -> np.ndarray:
        """The phase of every step, as an index into PHASE_NAMES; equals cost.phases."""
        if not len(self):
            return np.zeros(0, np.uint8)
        # cost.phases looks at the EL, the program and a few labels. Where none of them changes, the
        # phase stays: it is enough to show it the first step of each such run.
        image = self.image
        cuts = {image.pa(name) for name in ("dispatch", "dispatch_find", "dispatch_call",
                                            "dispatch_return", "hyp_panic",
                                            "__kvm_handle_stub_hvc") if name in image.symbols}
        found: dict[object, int] = {}
        classes = []
        for pc in self.pcs:
            pa, line = image.layout.pa(int(pc)), image.line(int(pc))
            place = pa if pa in cuts else line and line[0]
            classes.append(found.setdefault(place, len(found)))
        code = np.array(classes, dtype=np.int64)[self.site] * 4 + self.trace.els[:-1]
        starts = np.flatnonzero(np.concatenate(([True], code[1:] != code[:-1])))
        shim = _Runs(image, [self.trace[int(step)] for step in starts])
        met = np.array([PHASE_NAMES.index(name) for name in phases(shim)], dtype=np.uint8)
        return np.repeat(met, np.diff(np.append(starts, len(self))))

    @cached_property
    def _counters(self) -> dict[str, np.ndarray]:
        """For every step, by how much it moves each of COUNTERS."""
        kinds = self._kinds[self.site]
        branch = kinds & BRANCH != 0
        pcs = self.trace.pcs
        went = pcs[1:] != pcs[:-1] + np.uint64(4)
        return {"instructions": np.ones(len(self), bool), "loads": kinds & LOAD != 0,
                "stores": kinds & STORE != 0, "taken": branch & went, "not_taken": branch & ~went,
                "indirect": kinds & INDIRECT != 0}

    @cached_property
    def _cost_before(self) -> np.ndarray:
        """For every chunk the cost of the steps before it: chunk by phase by counter."""
        wide = len(PHASE_NAMES)
        cell = np.arange(len(self)) // CHUNK * wide + self.phases
        cost = np.stack([np.bincount(cell[self._counters[name]], minlength=self.chunks * wide)
                         for name in COUNTERS], axis=-1).reshape(self.chunks, wide, len(COUNTERS))
        return (np.cumsum(cost, axis=0) - cost).astype("<u4")

    def counts(self, steps: int) -> dict[str, Counts]:
        """The cost of the first *steps* steps by phase, as hypkit.cost counts it."""
        found = {}
        for number in dict.fromkeys(self.phases[:steps].tolist()):
            here = self.phases[:steps] == number
            found[PHASE_NAMES[number]] = Counts(*(
                int(np.count_nonzero(self._counters[name][:steps] & here)) for name in COUNTERS))
        return found

    @cached_property
    def levels(self) -> np.ndarray:
        """HOST, VM or HYP for every step."""
        vm = np.array([row.vm for row in self.listing.rows] or [False])[self.rows][self.site]
        # With VHE the host itself is at EL2, and nobody else is.
        above = HOST if self._host_el == 2 else HYP
        return np.where(self.trace.els[:-1] == 2, above, np.where(vm, VM, HOST)).astype(np.uint8)

    @property
    def _host_el(self) -> int:
        return self.image.variant.host_el

    @cached_property
    def marks(self) -> np.ndarray:
        """What happened at every step: bits MARK_*."""
        marks = np.zeros(len(self), np.uint8)
        marks[self._site_is(HVC)] |= MARK_HVC
        marks[self._site_is(ERET)] |= MARK_ERET
        reads = self.accesses[self.accesses["info"] & 32 == 0]
        names = {va: (self.image.symbolize(va) or "").partition("+")[0] in TABLES
                 for va in np.unique(reads["va"]).tolist()}
        table = [step for step, va in zip(reads["step"].tolist(), reads["va"].tolist(), strict=True)
                 if names[va]]
        marks[table] |= MARK_TABLE
        marks[sorted(self.exceptions)] |= MARK_FAULT
        marks[self._site_is(HVC) & (self.trace.els[1:] != 2)] |= MARK_FAULT
        panic = [site for site, pc in enumerate(self.pcs)
                 if self.image.symbolize(int(pc)) in ("hyp_panic", "panic")]
        marks[np.isin(self.site, panic)] |= MARK_PANIC
        return marks

    # -- for the front end --

    def chunk(self, number: int) -> bytes:
        """Steps [number * CHUNK, ...) and the state after the last of them.

        uint32 x 8: rows, values, accesses, system register changes, phases, counters, 0, 0.
        uint64: base registers, base system registers, values, masks (a row each), access VAs,
        access values, system register values.
        uint32: site of each row (the last one's is NONE at the end), last writer of each register
        before the chunk, cost before it (phase by counter), access steps, system register steps.
        uint8: phase of each row, access infos, system registers. Steps count from the chunk's.
        """
        trace = self.trace
        start = number * CHUNK
        stop = min(start + CHUNK, len(self))
        if not 0 <= start <= len(self) or start == len(self) and start:
            raise IndexError(f"chunk {number} of a trace with {self.chunks} chunks")
        rows = stop - start + 1
        masks = trace.masks[start:stop + 1].copy()
        values = trace.values[self._starts[start + 1]:self._starts[stop + 1]]
        masks[0] = 0
        base = np.array([self._at(name, np.array([start]))[0] for name in REGISTERS], dtype="<u8")
        writers = np.full(len(REGISTERS), NONE, dtype="<u4")
        for bit, name in enumerate(REGISTERS):
            changed, _ = self._columns(name)
            at = int(np.searchsorted(changed, start, side="right")) - 1
            if at >= 0 and changed[at] > 0:
                writers[bit] = changed[at] - 1
        acc = self.accesses
        acc = acc[np.searchsorted(acc["step"], start):np.searchsorted(acc["step"], stop)]
        news = self.sysreg_changes
        at = np.searchsorted(news["step"], start)
        system = dict(self.trace.sysregs)
        for register in range(len(self.sysregs)):
            mine = np.flatnonzero(news["register"][:at] == register)
            if len(mine):
                system[self.sysregs[register]] = int(news["value"][mine[-1]])
        news = news[at:np.searchsorted(news["step"], stop)]
        site = np.full(rows, NONE, dtype="<u4")
        end = min(rows, len(self) - start)
        site[:end] = self.site[start:start + end]
        phase = np.zeros(rows, np.uint8)
        phase[:end] = self.phases[start:start + end]
        cost = self._cost_before[number]
        head = struct.pack("<8I", rows, len(values), len(acc), len(news), *cost.shape, 0, 0)
        parts = (base, np.array(list(system.values()), dtype="<u8"), values, masks, acc["va"],
                 acc["value"], news["value"], site, writers, cost, acc["step"] - np.uint32(start),
                 news["step"] - np.uint32(start), phase, acc["info"], news["register"])
        return head + b"".join(np.ascontiguousarray(part).tobytes() for part in parts)

    @property
    def chunks(self) -> int:
        """How many chunks there are, one at least."""
        return max(1, -(-len(self) // CHUNK))

    def overview(self) -> list[int]:
        """The timeline: at most BINS columns of the bits HOST, VM, HYP and MARK_*."""
        if not len(self):
            return []
        both = self.levels | self.marks
        edges = np.linspace(0, len(self), min(BINS, len(self)) + 1).astype(np.int64)[:-1]
        return np.bitwise_or.reduceat(both, edges).tolist()

    def meta(self) -> dict:
        """Everything but the steps, ready for JSON; 64-bit numbers are strings in hexadecimal."""
        image, layout = self.image, self.image.layout
        symbols = sorted((va - layout.kimage_voffset, name) for name, va in image.symbols.items())
        vm = image.programs[-1].symbols
        files = sorted({row.file for row in self.listing.rows})
        return {
            "version": 1, "title": self.title, "outcome": self.outcome, "note": self.note,
            "variant": image.key, "host_el": self._host_el,
            "steps": len(self), "chunk": CHUNK, "chunks": self.chunks,
            "registers": list(REGISTERS), "sysregs": list(self.sysregs),
            "fields": {name: _fields(name) for name in self.sysregs},
            "ec": arch.EC_NAMES, "modes": arch.PSTATE_MODES,
            "phases": [[name, PHASES[name]] for name in PHASE_NAMES], "counters": list(COUNTERS),
            "sites": [[f"{pc:x}", int(row), int(count)] for pc, row, count in zip(
                self.pcs, self.rows, np.bincount(self.site, minlength=len(self.pcs)),
                strict=True)],
            "final_pc": f"{int(self.trace.pcs[-1]):x}",
            "rows": [[f"{row.va:x}", f"{row.word:08x}", row.label, row.text, row.comment,
                      row.story, files.index(row.file), row.line, row.kind | row.vm << 9,
                      row.sentence.text, row.sentence.taken] for row in self.listing.rows],
            "files": files, "symbols": [[pa for pa, _ in symbols], [name for _, name in symbols]],
            "vm": {"ipa": VM_IPA, "size": PAGE_SIZE, "pa": HEAP["vm_memory"][0],
                   "symbols": [sorted(vm.values()), sorted(vm, key=vm.get)],
                   "vttbr": HEAP["stage2_pgd"][0], "vtcr": f"{VTCR_EL2:x}"},
            "layout": {"voffset": f"{layout.kimage_voffset:x}", "page_offset": f"{PAGE_OFFSET:x}",
                       "tag": f"{layout.tag_val << layout.tag_lsb:x}",
                       "tag_lsb": layout.tag_lsb, "dram": DRAM_BASE, "dram_size": DRAM_SIZE,
                       "kimage": KIMAGE_PA, "text": TEXT_PA, "named_end": _named_end()},
            "page_tables": _table_runs(image), "hypercall_tables": TABLES,
            "exceptions": [[step, level, text] for step, (level, text)
                           in sorted(self.exceptions.items())],
            "overview": self.overview(),
        }

    def data(self) -> dict:
        """For the widget: {"meta": JSON text, "chunks": [bytes, ...]}; a long trace has one."""
        wanted = range(self.chunks) if self.whole else range(1)
        return {"meta": json.dumps(self.meta(), separators=(",", ":")),
                "chunks": [self.chunk(number) for number in wanted]}

    def inline(self) -> dict:
        """For a file: the same with the chunks in base64. ValueError when the trace is too long."""
        if not self.whole:
            raise ValueError(f"a file holds up to {WHOLE:,} steps and this trace has "
                             f"{len(self):,}: cut it, trace[a:b]")
        return {"meta": self.meta(),
                "chunks": [base64.b64encode(self.chunk(n)).decode() for n in range(self.chunks)]}

    # -- the same in words --

    def what(self, value: int, vm: bool = False) -> str:
        """A number, or whose address it is: 'hyp address of dispatch'.

        Small numbers look like the VM's addresses: they count as such only where vm is true.
        """
        inside = VM_IPA <= value < VM_IPA + PAGE_SIZE
        name = self.image.symbolize(value) if vm or not inside else None
        if name is None:
            small = f" ({value - (1 << 64)})" if value >> 12 == (1 << 52) - 1 else ""
            return explain.plain(value) + small
        space = "VM" if inside else self.image.layout.space(value)
        return f"{space} address of {name}"

    def place(self, va: int, pool: bool) -> str:
        """Where an access went, in words."""
        if pool:
            return "the literal pool"
        name = self.image.symbolize(va) or ""
        base, _, offset = name.partition("+")
        if base in TABLES:
            slot = int(offset or "0", 16) // TABLES[base]
            return f"the table slot of hypercall {slot}"
        if base == "hyp_stack":
            return "the EL2 stack"
        return self.what(va, vm=True)

    def level(self, step: int) -> str:
        """The name of the level in which a step runs; len(self) is the state afterwards."""
        if step < len(self):
            level = int(self.levels[step])
        else:
            level = HYP if int(self.trace.els[step]) > self._host_el else HOST
        return {HOST: f"EL{self._host_el} (host)", VM: "EL1 (VM)", HYP: "EL2 (hyp)"}[level]

    def sentence(self, step: int) -> str:
        """What step *step* does, in one sentence."""
        trace = self.trace
        if step in self.exceptions:
            return self.exceptions[step][1]
        row = self.listing.rows[self.rows[self.site[step]]]
        went = int(trace.pcs[step + 1]) != int(trace.pcs[step]) + 4
        text = row.sentence.taken if went and row.sentence.taken is not None else row.sentence.text
        first, last = np.searchsorted(self.accesses["step"], (step, step + 1))
        mask = int(trace.masks[step + 1])
        vm, next_vm = (self.level(at) == "EL1 (VM)" for at in (step, step + 1))
        return explain.fill(text, explain.Moment(
            lambda name: trace.register(name, step), lambda name: trace.register(name, step + 1),
            lambda value: self.what(value, vm), lambda pc: self.what(pc, next_vm),
            [name for bit, name in enumerate(REGISTERS) if mask >> bit & 1],
            [(self.place(int(a["va"]), bool(a["info"] & 128)),
              None if a["info"] & 64 else int(a["value"])) for a in self.accesses[first:last]],
            int(trace.pcs[step + 1]), self.level(step + 1)))


@dataclass(frozen=True)
class _Runs:
    """As much of a Trace as cost.phases looks at."""

    image: Image
    steps: list[Step]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)


def _fields(register: str) -> list[list]:
    generic = register[:-1] + "x"
    return [list(entry) for entry in arch.FIELDS.get(register) or arch.FIELDS.get(generic, [])]


def _named_end() -> int:
    """Where symbolize stops knowing names."""
    last = max(pa + size for pa, size, _ in HEAP.values())
    assert last < REQUESTS_PA
    return last


def _table_runs(image: Image) -> list[list]:
    """The page tables without their empty slots, as runs: [table, index, count, first, step].

    Tables are whole pages of the image's memory between the first root and the hyp stack.
    """
    runs: list[list] = []
    first, end = HEAP["idmap_pg_dir"][0], HEAP["hyp_stack"][0]
    for pa, data in sorted(image.memory.items()):
        if not first <= pa < end or len(data) % PAGE_SIZE:
            continue
        words = struct.unpack(f"<{len(data) // 8}Q", data)
        run: list | None = None
        for index, word in enumerate(words):
            if not word:
                run = None
            elif run and index == run[1] + run[2] and run[2] == 1 and 0 < word - run[3] < 1 << 32:
                run[2], run[4] = 2, word - run[3]
            elif run and index == run[1] + run[2] and word == run[3] + run[2] * run[4]:
                run[2] += 1
            else:
                run = [pa, index, 1, word, 0]
                runs.append(run)
    return [[pa, index, count, f"{word:x}", step] for pa, index, count, word, step in runs]
