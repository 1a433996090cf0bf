"""A trace as compact data for the stepper's front end: a JSON part and binary chunks of steps.

front/reel.js and chunk.js read what is written here and know no other source. All numbers of a chunk are
little-endian; the layout of a chunk stands at `Payload.chunk`.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import fields
from functools import cached_property

import numpy as np

from hypkit.a64 import syndrome, sysregs
from hypkit.a64.effects import operation
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.a64.registers import REGISTERS
from hypkit.cost import PHASES, TABLES, Counts, counted, phase_numbers
from hypkit.errors import WrongValue
from hypkit.explain import sentences
from hypkit.explain.listing import ERET, HVC, POOL, Listing
from hypkit.kernel.addresses import DRAM_BASE
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import HEAP, VM_IPA, VTCR_EL2
from hypkit.timetravel import origins
from hypkit.trace import Trace

CHUNK = 1 << 14  # steps in one chunk
WHOLE = 100_000  # up to here, all steps are in the front end
LIMIT = 1 << 20  # beyond, the first so many are shown
BINS = 2000  # columns of the timeline

PHASE_NAMES = tuple(PHASES)
COUNTERS = tuple(field.name for field in fields(Counts))
NONE = 0xFFFF_FFFF

# Bits of a timeline column: which levels ran, and what happened.
HOST, VM, HYP = 1, 2, 4
MARK_HVC, MARK_ERET, MARK_TABLE, MARK_FAULT, MARK_PANIC = 8, 16, 32, 64, 128


class Payload:
    """The data of one trace for the front end, and the same sentences in Python.

    title and outcome: the first line and the last word of the view. what_if: what a reader can
    change and run again, None where nothing. A trace of more than LIMIT
    steps is cut; `note` then says so.
    """

    def __init__(
        self, trace: Trace, title: str = "", outcome: str = "", what_if: dict | None = None
    ) -> None:
        self.note = ""
        if len(trace) > LIMIT:
            self.note = (
                f"This trace has {len(trace):,} steps. The first {LIMIT:,} are shown; cut "
                "it, trace[a:b], to see others."
            )
            trace = trace[:LIMIT]
            outcome = f"Here the view ends, not the call. {outcome}".rstrip()
        self.trace, self.title, self.outcome = trace, title, outcome
        self.what_if = what_if
        self.image = trace.image
        # In the order of first execution, which the listing follows.
        pcs, site = trace.sites
        first = np.full(len(pcs), len(trace), dtype=np.int64)
        np.minimum.at(first, site, np.arange(len(trace)))
        order = np.argsort(first)
        self.site, self.pcs = np.argsort(order)[site], pcs[order]
        self.listing = Listing(self.image, self.pcs, dict(trace.words))
        self.rows = np.array([self.listing.row_of[int(pc)] for pc in self.pcs], dtype=np.uint32)
        self.sysregs = tuple(trace.sysregs)

    def __len__(self) -> int:
        return len(self.trace)

    @property
    def whole(self) -> bool:
        """Return whether all steps go to the front end at once."""
        return len(self) <= WHOLE

    # -- columns, derived for all steps at once --

    @cached_property
    def _written(self) -> list[str]:
        """The registers that some step of the trace changes."""
        mask = int(np.bitwise_or.reduce(self.trace.masks[1:], initial=0)) if len(self) else 0
        return [name for bit, name in enumerate(REGISTERS) if mask >> bit & 1]

    @cached_property
    def _origins(self) -> dict | None:
        return origins.answers(self.trace)

    @cached_property
    def exceptions(self) -> dict[int, tuple[int, str]]:
        """Step -> (target EL, sentence), for exceptions other than an HVC."""
        return {
            step: (taken.target_el, str(sentences.exception_sentence(self.trace, step)))
            for step, taken in self.trace.exceptions.items()
        }

    def _site_is(self, kind: int) -> np.ndarray:
        """For every step, whether its instruction is of that kind."""
        kinds = np.array([row.kind for row in self.listing.rows], dtype=np.uint32)
        return (kinds[self.rows] & kind != 0)[self.site]

    @cached_property
    def accesses(self) -> np.ndarray:
        """Return Trace.accesses for the front end: step, va, value, info, in order of steps.

        info: bits 0 to 4 the bytes, 5 a store, 6 faulted, 7 from the literal pool. There is no bit
        for a value that the trace does not hold: such an access is left out.
        """
        moved = self.trace.accesses
        moved = moved[moved["known"] | moved["faulted"]]
        found = np.zeros(
            len(moved), [("step", "<u4"), ("va", "<u8"), ("value", "<u8"), ("info", "u1")]
        )
        for name in ("step", "va", "value"):
            found[name] = moved[name]
        pool = self._site_is(POOL)[moved["step"]]
        found["info"] = (
            moved["size"]
            | moved["store"].astype(np.uint8) << 5
            | moved["faulted"].astype(np.uint8) << 6
            | pool.astype(np.uint8) << 7
        )
        return found

    @cached_property
    def phases(self) -> np.ndarray:
        """Return the phase of every step, as an index into PHASE_NAMES."""
        return phase_numbers(self.trace)

    @cached_property
    def _counters(self) -> tuple[np.ndarray, ...]:
        """For each of COUNTERS, and every step: whether it counts there."""
        return counted(self.trace)

    @cached_property
    def _cost_before(self) -> np.ndarray:
        """For every chunk the cost of the steps before it: chunk by phase by counter."""
        wide = len(PHASE_NAMES)
        cell = np.arange(len(self)) // CHUNK * wide + self.phases
        cost = np.stack(
            [np.bincount(cell[counts], minlength=self.chunks * wide) for counts in self._counters],
            axis=-1,
        )
        cost = cost.reshape(self.chunks, wide, len(COUNTERS))
        return (np.cumsum(cost, axis=0) - cost).astype("<u4")

    def counts(self, steps: int) -> dict[str, Counts]:
        """Return the cost of the first *steps* steps by phase, as hypkit.cost counts it."""
        found = {}
        for number in dict.fromkeys(self.phases[:steps].tolist()):
            here = self.phases[:steps] == number
            found[PHASE_NAMES[number]] = Counts(
                *(int(np.count_nonzero(counts[:steps] & here)) for counts in self._counters)
            )
        return found

    @cached_property
    def levels(self) -> np.ndarray:
        """Return HOST, VM or HYP for every step."""
        vm = np.array([row.vm for row in self.listing.rows] or [False])[self.rows][self.site]
        # With VHE the host itself is at EL2, and nobody else is.
        above = HOST if self._host_el == 2 else HYP
        return np.where(self.trace.els[:-1] == 2, above, np.where(vm, VM, HOST)).astype(np.uint8)

    @property
    def _host_el(self) -> int:
        return self.image.variant.host_el

    @cached_property
    def marks(self) -> np.ndarray:
        """Return what happened at every step: bits MARK_*."""
        marks = np.zeros(len(self), np.uint8)
        marks[self._site_is(HVC)] |= MARK_HVC
        marks[self._site_is(ERET)] |= MARK_ERET
        reads = self.accesses[self.accesses["info"] & 32 == 0]
        table = [
            va
            for va in np.unique(reads["va"]).tolist()
            if (self.image.symbolize(va) or "").partition("+")[0] in TABLES
        ]
        marks[reads["step"][np.isin(reads["va"], np.array(table, dtype=np.uint64))]] |= MARK_TABLE
        marks[sorted(self.exceptions)] |= MARK_FAULT
        panic = [
            site
            for site, pc in enumerate(self.pcs)
            if self.image.symbolize(int(pc)) in ("hyp_panic", "panic")
        ]
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
        start = number * CHUNK
        stop = min(start + CHUNK, len(self))
        if not 0 <= start <= len(self) or start == len(self) and start:
            raise IndexError(f"chunk {number} of a trace with {self.chunks} chunks")
        part, rows = self.trace[start:stop], stop - start + 1
        writers = [
            NONE if step is None else step
            for step in (self.trace.last_write(name, start) for name in REGISTERS)
        ]
        acc, news = (
            column[slice(*np.searchsorted(column["step"], (start, stop)))]
            for column in (self.accesses, self.trace.sysreg_changes)
        )
        # The state after the last step has a row like any other, but no place and no phase.
        site, phase = np.full(rows, NONE, dtype="<u4"), np.zeros(rows, np.uint8)
        end = min(rows, len(self) - start)
        site[:end] = self.site[start : start + end]
        phase[:end] = self.phases[start : start + end]
        cost = self._cost_before[number]
        head = struct.pack("<8I", rows, len(part.values), len(acc), len(news), *cost.shape, 0, 0)
        wide = (
            part.base,
            list(part.sysregs.values()),
            part.values,
            part.masks,
            acc["va"],
            acc["value"],
            news["value"],
        )
        words = (site, writers, cost, acc["step"] - start, news["step"] - start)
        columns = (("<u8", wide), ("<u4", words), ("u1", (phase, acc["info"], news["register"])))
        return head + b"".join(
            np.asarray(column, dtype=dtype).tobytes() for dtype, some in columns for column in some
        )

    @property
    def chunks(self) -> int:
        """Return how many chunks there are, one at least."""
        return max(1, -(-len(self) // CHUNK))

    def overview(self) -> list[int]:
        """Return the timeline: at most BINS columns of the bits HOST, VM, HYP and MARK_*."""
        if not len(self):
            return []
        both = self.levels | self.marks
        edges = np.linspace(0, len(self), min(BINS, len(self)) + 1).astype(np.int64)[:-1]
        return np.bitwise_or.reduceat(both, edges).tolist()

    def meta(self) -> dict:
        """Return everything but the steps, ready for JSON; 64-bit numbers are strings in
        hexadecimal."""
        image, layout = self.image, self.image.layout
        vm = image.vm.symbols
        files = sorted({row.file for row in self.listing.rows})
        return {
            "version": 1,
            "title": self.title,
            "outcome": self.outcome,
            "note": self.note,
            "variant": image.key,
            "host_el": self._host_el,
            "steps": len(self),
            "chunk": CHUNK,
            "chunks": self.chunks,
            "registers": list(REGISTERS),
            "written": self._written,
            "sysregs": list(self.sysregs),
            "fields": {name: _fields(name) for name in self.sysregs},
            "ec": syndrome.EC_NAMES,
            "modes": sysregs.PSTATE_MODES,
            "phases": [[name, PHASES[name]] for name in PHASE_NAMES],
            "counters": list(COUNTERS),
            "sites": [
                [f"{pc:x}", int(row), int(count)]
                for pc, row, count in zip(
                    self.pcs,
                    self.rows,
                    np.bincount(self.site, minlength=len(self.pcs)),
                    strict=True,
                )
            ],
            "final_pc": f"{int(self.trace.pcs[-1]):x}",
            "rows": [
                [
                    f"{row.va:x}",
                    f"{row.word:08x}",
                    row.label,
                    row.text,
                    row.comment,
                    row.story,
                    files.index(row.file),
                    row.line,
                    row.kind | row.vm << 9,
                    row.sentence.text,
                    row.sentence.taken,
                    " ".join(operation(row.word).inputs),
                    " ".join(operation(row.word).outputs),
                ]
                for row in self.listing.rows
            ],
            "files": files,
            "symbols": image.places,
            "vm": {
                "ipa": VM_IPA,
                "size": PAGE_SIZE,
                "pa": HEAP["vm_memory"][0],
                "symbols": [sorted(vm.values()), sorted(vm, key=vm.__getitem__)],
                "vttbr": HEAP["stage2_pgd"][0],
                "vtcr": f"{VTCR_EL2:x}",
            },
            "layout": {
                "voffset": f"{layout.kimage_voffset:x}",
                "page_offset": f"{layout.page_offset:x}",
                "tag": f"{layout.tag_val << layout.tag_lsb:x}",
                "tag_lsb": layout.tag_lsb,
                "dram": DRAM_BASE,
                "dram_size": layout.dram_size,
                "named": [list(span) for span in image.named],
                "private": [[f"{va:x}", pa] for va, pa in layout.private.items()],
            },
            "page_tables": _table_runs(image),
            "hypercall_tables": TABLES,
            "exceptions": [
                [step, level, text] for step, (level, text) in sorted(self.exceptions.items())
            ],
            "overview": self.overview(),
            "origins": self._origins,
            "what_if": self.what_if,
            "edit": self._edit,
        }

    @property
    def _edit(self) -> dict | None:
        """What a reader changed on the way, ready for JSON."""
        edit = self.trace.edit
        if edit is None:
            return None
        memory = [
            [pa, len(data), f"{int.from_bytes(data, 'little'):x}"]
            for pa, data in edit.memory.items()
        ]
        places = [self.image.symbolize(pa) or f"{pa:#x}" for pa in edit.memory]
        says = [f"{name} {value:#x}" for name, value in edit.registers.items()]
        says += [f"{place} 0x{word}" for place, (_, _, word) in zip(places, memory, strict=True)]
        return {
            "step": edit.step,
            "registers": {name: f"{value:x}" for name, value in edit.registers.items()},
            "before": {name: f"{value:x}" for name, value in edit.before.items()},
            "memory": memory,
            "says": ", ".join(says),
        }

    def data(self) -> dict:
        """Return, for the widget, {"meta": JSON text, "chunks": [bytes, ...]}; a long trace has
        one."""
        wanted = range(self.chunks) if self.whole else range(1)
        return {
            "meta": json.dumps(self.meta(), separators=(",", ":")),
            "chunks": [self.chunk(number) for number in wanted],
        }

    def inline(self, whole: bool = True) -> dict:
        """Return the data for a file or an output, the chunks in base64.

        Args:
            whole: all chunks; else, of a trace of more than WHOLE steps, the first.

        Raises:
            ValueError: the trace is too long for all of its chunks to be in one file.
        """
        if whole and not self.whole:
            raise WrongValue(
                f"a file holds up to {WHOLE:,} steps and this trace has "
                f"{len(self):,}: cut it, trace[a:b]"
            )
        chunks: list[str | None] = [None] * self.chunks
        for number in range(self.chunks if self.whole else 1):
            chunks[number] = base64.b64encode(self.chunk(number)).decode()
        return {"meta": self.meta(), "chunks": chunks}

    # -- the same in words --

    def what(self, value: int, vm: bool = False) -> str:
        """Return a number, or whose address it is: 'hyp address of dispatch'.

        Small numbers look like the VM's addresses: they count as such only where vm is true.
        """
        return sentences.what(self.image, value, vm)

    def place(self, va: int, pool: bool) -> str:
        """Return where an access went, in words."""
        return sentences.place(self.image, va, pool)

    def level(self, step: int) -> str:
        """Return the name of the level in which a step runs; len(self) is the state afterwards."""
        return sentences.level(self.trace, step)

    def sentence(self, step: int) -> str:
        """Return what step *step* does, in one sentence."""
        return sentences.in_words(self.trace, step, self.listing)


def _fields(register: str) -> list[list]:
    generic = register[:-1] + "x"
    found = sysregs.FIELDS.get(register) or sysregs.FIELDS.get(generic, [])
    return [list(entry) for entry in found]


def _table_runs(image: Image) -> list[list]:
    """The page tables without their empty slots, as runs: [table, index, count, first, step].

    As the image had them at boot.
    """
    runs: list[list] = []
    for pa, data in image.table_pages():
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
