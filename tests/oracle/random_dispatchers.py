"""Random programs in a dispatcher, ours against QEMU row by row.

    python -m tests.oracle.random_dispatchers --cases 2000 --seed 1

A case is a program of valid instructions that runs at EL2, and in half of the cases goes on at EL1
or EL0 by an ERET. Many cases go into one dispatcher: a request picks one, and vectors of their own
bring each back, whatever exception it takes. Left out is what the two are known to do differently:

- SMC, which QEMU's board takes as PSCI;
- ICC_* registers, which this machine has not (see hypkit/machine/software_sysregs.py);
- counters and timers, which follow the host's clock;
- ID registers: Unicorn descends from QEMU 5.0, which describes the same core with other fields;
- vector registers below EL2, where the reset value of CPACR_EL1 traps them; SCTLR_ELx.A; AArch32:
  see hypkit/machine/cpu.py.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hypkit import Machine
from hypkit.a64.decode import decode
from hypkit.a64.sysregs import SYSREGS
from tests.oracle import qemu
from tests.oracle.rows import COLUMNS, Row, normalized, of_trace

BATCH = 40  # cases a dispatcher
FIRST = 0x100  # x0 of the first

# x9 to x17 and the arguments are free; these point somewhere, or hold numbers.
MEMORY = (20, 20, 20, 20, 21, 22, 23, 31)  # writable, text, nothing, a page's end, SP
NUMBERS = (0, 1, 2, 3, 9, 10, 11, 12, 24, 25, 26, 31)
RESULTS = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12)
SYSTEM = (
    "TPIDR_EL0", "TPIDR_EL1", "CONTEXTIDR_EL1", "FAR_EL1", "ESR_EL1", "ELR_EL1", "SPSR_EL1",
    "SP_EL0", "PAR_EL1", "CNTKCTL_EL1", "CNTVOFF_EL2", "CNTHCTL_EL2", "FAR_EL2", "ESR_EL2",
    "HPFAR_EL2", "ELR_EL2", "SPSR_EL2", "HSTR_EL2", "VPIDR_EL2", "VMPIDR_EL2", "TPIDR_EL2",
    "ICH_HCR_EL2", "ICH_VTR_EL2", "ICH_VMCR_EL2", "ICH_AP0R0_EL2", "ICH_AP1R0_EL2",
    "ICH_LR0_EL2", "ICH_LR3_EL2", "ICH_LR4_EL2", "ICH_AP0R1_EL2",
)  # fmt: skip
READ = (
    "CurrentEL", "MIDR_EL1", "MPIDR_EL1", "SCTLR_EL1", "SCTLR_EL2", "HCR_EL2", "TCR_EL1", "TCR_EL2",
    "TTBR0_EL2", "TTBR1_EL1", "VTTBR_EL2", "VTCR_EL2", "VBAR_EL2", "MAIR_EL1", "MAIR_EL2",
    "MDCR_EL2", "CPACR_EL1",
)  # fmt: skip
OTHER = {  # by encoding: PMCR_EL0, NZCV, DAIF, CTR_EL0, DCZID_EL0, CPUACTLR_EL1, nothing
    (3, 3, 9, 12, 0), (3, 3, 4, 2, 0), (3, 3, 4, 2, 1), (3, 3, 0, 0, 1), (3, 3, 0, 0, 7),
    (3, 1, 15, 2, 0), (3, 1, 15, 2, 1), (3, 1, 11, 0, 3), (3, 4, 12, 8, 4), (3, 7, 15, 15, 7),
}  # fmt: skip
# What an ERET may return to: EL1h, EL1t, EL0, EL2h, EL2t, and what is illegal: EL3, a bit too many.
MODES = (0x3C5, 0x3C5, 0x3C5, 0x3C4, 0x3C0, 0x3C9, 0x3C8, 0x3CD, 0x3C1, 0x1003C5, 0xF00003C5)

HEAD = """
dispatch:
        divert_stub_calls
        sub     x0, x0, #0x100
        cmp     x0, #{cases}
        b.hs    9f
        // What the way back needs lies in memory: a program may spoil any register.
        adr_l   x9, kvm_host_data_cpu0
        add     x9, x9, #2048
        mrs     x10, elr_el2
        mrs     x11, spsr_el2
        stp     x10, x11, [x9]
        mrs     x10, sp_el1
        stp     x30, x10, [x9, #16]
        mrs     x10, vbar_el2
        mrs     x11, vbar_el1
        stp     x10, x11, [x9, #32]
        mov     x10, sp
        mrs     x11, tpidr_el2
        stp     x10, x11, [x9, #48]
        adr_l   x10, random_vectors
        msr     vbar_el2, x10
        ldr     x10, =random_vectors_el1
        msr     vbar_el1, x10
        isb
        adr_l   x10, random_table
        ldr     w11, [x10, x0, lsl #2]
        add     x18, x10, w11, sxtw
        add     x20, x9, #1024
        adr     x21, dispatch
        mov     x22, #0x5000
        movk    x22, #0x1234, lsl #32
        add     x23, x9, #2040
        mov     x24, #3
        mov     x25, #-8
        mov     x26, #0x8000000000000001
        mov     x9, #9
        mov     x10, #10
        mov     x11, #-11
        mov     x12, #12
        mov     x13, #13
        mov     x14, #14
        mov     x15, #15
        mov     x16, #16
        mov     x17, #17
        msr     nzcv, xzr
random_go:
        br      x18
9:      mov     x0, #-38
        eret
        dsb     nsh
        isb
// An exception of EL1 or EL0: tell it, and go up.
        .balign 2048
random_vectors_el1:
        .rept   16
        mrs     x1, esr_el1
        mrs     x2, elr_el1
        mrs     x3, far_el1
        mrs     x4, spsr_el1
        hvc     #0x77
        b       .
        .balign 128
        .endr
random_vectors:
        .rept   16
        mrs     x1, spsr_el2
        mrs     x2, elr_el2
        mrs     x3, esr_el2
        mrs     x4, far_el2
        mrs     x5, hpfar_el2
        b       random_leave
        .balign 128
        .endr
random_leave:
        msr     spsel, #1
        clrex
        adr_l   x9, kvm_host_data_cpu0
        add     x9, x9, #2048
        ldp     x10, x11, [x9]
        msr     elr_el2, x10
        msr     spsr_el2, x11
        ldp     x30, x10, [x9, #16]
        msr     sp_el1, x10
        ldp     x10, x11, [x9, #32]
        msr     vbar_el2, x10
        msr     vbar_el1, x11
        ldp     x10, x11, [x9, #48]
        mov     sp, x10
        msr     tpidr_el2, x11
        msr     hstr_el2, xzr
        msr     cntvoff_el2, xzr
        isb
        mov     x0, #0
        eret
        dsb     nsh
        isb
"""


class Program:
    """Writes one case: lines of assembly, most of them words."""

    def __init__(self, rng: random.Random, number: int) -> None:
        self.rng, self.number, self.lines, self.labels = rng, number, [f"random_{number}:"], 0

    def pick(self, choices: tuple[int, ...]) -> int:
        return self.rng.choice(choices)

    def bits(self, n: int) -> int:
        return self.rng.getrandbits(n)

    def word(self, value: int) -> None:
        self.lines.append(f"        .inst   {value:#010x}")

    def label(self) -> str:
        self.labels += 1
        return f"random_{self.number}_{self.labels}"

    # -- kinds of instruction (C4.1): each method writes one, or a few that belong together --

    def arithmetic(self) -> None:
        """Register arithmetic: add, sub, logical, select, compare, multiply, divide, shift."""
        rd, rn, rm = self.pick(RESULTS), self.pick(NUMBERS), self.pick(NUMBERS)
        sf, b = self.bits(1) << 31, self.bits
        shift = b(5) if not sf else b(6)
        ra = self.pick(NUMBERS)
        self.word(
            self.rng.choice((
                sf | b(2) << 29 | 0x0B000000 | b(1) << 22 | rm << 16 | shift << 10 | rn << 5 | rd,
                sf | b(2) << 29 | 0x0A000000 | b(3) << 21 | rm << 16 | shift << 10 | rn << 5 | rd,
                sf | b(2) << 29 | 0x11000000 | b(1) << 22 | b(12) << 10 | rn << 5 | rd,
                sf | b(2) << 29 | 0x1A000000 | rm << 16 | rn << 5 | rd,  # adc, sbc
                sf | b(1) << 30 | 0x1A800000 | rm << 16 | b(4) << 12 | b(1) << 10 | rn << 5 | rd,
                sf | b(1) << 30 | 0x3A400000 | rm << 16 | b(4) << 12 | b(1) << 11 | rn << 5 | b(4),
                sf | 0x1AC00800 | b(1) << 10 | rm << 16 | rn << 5 | rd,  # udiv, sdiv
                sf | 0x1AC02000 | b(2) << 10 | rm << 16 | rn << 5 | rd,  # shifts by register
                sf | 0x1B000000 | rm << 16 | b(1) << 15 | ra << 10 | rn << 5 | rd,  # madd, msub
                0x9B200000 | b(1) << 23 | rm << 16 | b(1) << 15 | ra << 10 | rn << 5 | rd,
                0x9B407C00 | b(1) << 23 | rm << 16 | rn << 5 | rd,  # smulh, umulh
                sf | 0x5AC00000 | self.pick((0, 1, 4, 5)) << 10 | rn << 5 | rd,  # rbit, clz, ...
                sf | self.pick((0, 2, 3)) << 29 | 0x12800000 | b(int(bool(sf))) << 22
                | b(1) << 21 | b(16) << 5 | rd,  # movn, movz, movk
                0x10000000 | b(1) << 31 | b(2) << 29 | b(10) << 5 | rd,  # adr, adrp
                self.bitfield(sf, rn, rd),
                0x9AC04C00 | rm << 16 | rn << 5 | rd,  # crc32x
            ))
        )  # fmt: skip

    def bitfield(self, sf: int, rn: int, rd: int) -> int:
        width = 6 if sf else 5
        kind = self.pick((0, 1, 2)) << 29
        n = 1 << 22 if sf else 0
        return (
            sf | kind | 0x13000000 | n | self.bits(width) << 16 | self.bits(width) << 10
            | rn << 5 | rd
        )  # fmt: skip

    def base(self) -> int:
        return self.pick(MEMORY)

    def load_or_store(self) -> None:
        """One register: every size, every way to give an address, prefetch left out."""
        size, opc = self.bits(2), self.pick((0, 1, 1, 2, 3))
        if size == 3 and opc > 1 or size == 2 and opc == 3:
            opc = 1
        head = size << 30 | 0x38000000 | opc << 22 | self.base() << 5 | self.pick(RESULTS)
        small = self.bits(9) if self.bits(1) else self.pick((0, 8, 16, 0x1F8, 0x1FF, 4))
        self.word(
            self.rng.choice((
                head | 1 << 24 | self.bits(5) << 10,
                head | small << 12,  # ldur
                head | small << 12 | 1 << 10,  # post-index
                head | small << 12 | 3 << 10,  # pre-index
                head | 1 << 21 | self.pick((24, 25, 0, 9)) << 16 | self.pick((2, 3, 6, 7)) << 13
                | self.bits(1) << 12 | 2 << 10,
                self.pick((0x18000000, 0x58000000, 0x98000000)) | self.bits(4) << 5
                | self.pick(RESULTS),  # literal
            ))
        )  # fmt: skip

    def pair(self) -> None:
        """ldp, stp, ldpsw, ldnp, stnp."""
        first = self.pick(RESULTS)
        second = self.pick(tuple(n for n in RESULTS if n != first))
        opc, way, load = self.pick((0, 2, 1)), self.pick((0, 1, 2, 3)), self.bits(1)
        if opc == 1:
            way, load = self.pick((1, 2, 3)), 1
        offset = self.pick((0, 1, 2, 8, 0x7F, 0x7E, 0x70))
        self.word(
            opc << 30 | 0x28000000 | way << 23 | load << 22 | offset << 15 | second << 10
            | self.base() << 5 | first
        )  # fmt: skip

    def exclusive(self) -> None:
        """ldxr and stxr, ldaxr and stlxr, pairs, with something in between; ldar and stlr; clrex."""
        base, size, pair = self.pick((20, 20, 20, 23, 31)), self.bits(2), self.bits(2) == 0
        where = base
        if self.bits(2) == 0 and base != 31:  # an address that may be unaligned
            where = 13
            self.word(0x91000000 | self.pick((1, 2, 3, 4, 8, 12, 16)) << 10 | base << 5 | where)
        acquire, release = self.bits(1) << 15, self.bits(1) << 15
        if pair:
            head = 0x88200000 | self.bits(1) << 30
            self.word(head | 1 << 22 | 31 << 16 | acquire | 2 << 10 | where << 5 | 1)
            if self.bits(2):
                self.arithmetic()
            self.word(head | 12 << 16 | release | 3 << 10 | where << 5 | 4)
        else:
            head = size << 30 | 0x08000000
            self.word(head | 1 << 22 | 31 << 16 | acquire | 31 << 10 | where << 5 | 1)
            what = self.bits(2)
            if what == 0:
                self.word(0xD503305F | 15 << 8)  # clrex
            elif what == 1:
                self.word(0xF9000000 | 20 << 5 | 2)  # a store of one's own in between
            self.word(head | 12 << 16 | release | 31 << 10 | where << 5 | 3)
        self.word(self.bits(2) << 30 | 0x089FFC00 | self.bits(1) << 22 | where << 5 | 2)

    def system_register(self) -> None:
        """mrs or msr; a register that there is not as well."""
        rt, read = self.pick(RESULTS if self.bits(1) else NUMBERS), self.bits(1)
        kind = self.bits(3)
        if kind == 0:
            encoding = self.rng.choice(sorted(OTHER))
            if encoding in ((3, 3, 9, 12, 0), (3, 3, 4, 2, 1)):
                read = 1
        elif kind < 3:
            encoding, read = SYSREGS[self.rng.choice(READ)], 1
        else:
            encoding = SYSREGS[self.rng.choice(SYSTEM)]
        op0, op1, crn, crm, op2 = encoding
        if read:
            rt = self.pick(RESULTS)
        self.word(
            0xD5000000 | read << 21 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5 | rt
        )

    def system(self) -> None:
        """Barriers and hints, TLBI, cache maintenance, address translation, PSTATE fields."""
        base = self.pick((20, 21, 22, 23))
        choice = self.bits(4)
        if choice < 4:
            self.word(self.rng.choice((
                0xD503201F, 0xD503203F, 0xD5033BBF, 0xD5033F9F, 0xD5033FDF, 0xD503209F,
                0xD508871F, 0xD50C871F, 0xD50C839F & ~0 | 0,
            )))  # fmt: skip
        elif choice < 9:  # AT, and what it found
            crm, op1 = 8, self.rng.choice(((0, 0), (0, 1), (4, 0), (4, 1), (4, 4), (4, 5)))
            self.word(0xD5080000 | op1[0] << 16 | 7 << 12 | crm << 8 | op1[1] << 5 | base)
            self.word(0xD5380000 | 7 << 12 | 4 << 8 | 5)  # mrs x5, par_el1
        elif choice < 12:  # dc ivac .. civac, ic ivau, dc zva
            self.word(self.rng.choice((
                0xD50B7A20, 0xD50B7B20, 0xD50B7E20, 0xD50B7520, 0xD50B7420, 0xD5087620,
            )) | base)  # fmt: skip
        elif choice < 14:
            self.word(
                0xD500409F | self.bits(4) << 8 | self.pick((0x3 << 16 | 6 << 5, 0x3 << 16 | 7 << 5))
            )
        else:
            self.word(0xD50040BF | self.bits(1) << 8)  # msr spsel, #0 or #1

    def branch(self) -> None:
        """Forward, over one to three instructions."""
        over = self.pick((2, 3, 4))
        rt = self.pick(NUMBERS)
        self.word(self.rng.choice((
            0x14000000 | over,
            0x94000000 | over,
            0x54000000 | over << 5 | self.bits(4),
            0x34000000 | self.bits(1) << 31 | self.bits(1) << 24 | over << 5 | rt,
            0x36000000 | self.bits(1) << 31 | self.bits(1) << 24 | self.bits(5) << 19 | over << 5
            | rt,
        )))  # fmt: skip
        for _ in range(over - 1):
            self.arithmetic()

    def indirect(self) -> None:
        """br, blr or ret to a label ahead; seldom to an address in between instructions."""
        label, reg = self.label(), self.pick((13, 14, 30))
        self.lines.append(f"        adr     x{reg}, {label}")
        if self.bits(4) == 0:
            self.word(0x91000400 | self.pick((1, 2)) << 10 | reg << 5 | reg)
        self.word(self.rng.choice((0xD61F0000, 0xD63F0000, 0xD65F0000)) | reg << 5)
        self.arithmetic()
        self.lines.append(f"{label}:")

    def vector(self) -> None:
        """Moves to and from vector registers, and their loads and stores."""
        v, base = self.bits(2), self.base()
        self.word(self.rng.choice((
            0x9E670000 | self.pick(NUMBERS) << 5 | v,  # fmov d, x
            0x9E660000 | v << 5 | self.pick(RESULTS),  # fmov x, d
            0x3DC00000 | self.bits(3) << 10 | base << 5 | v,  # ldr q
            0x3D800000 | self.bits(3) << 10 | base << 5 | v,  # str q
            0xAD400000 | self.bits(3) << 15 | 2 << 10 | base << 5 | 1,  # ldp q1, q2
            0xAD000000 | self.bits(3) << 15 | 2 << 10 | base << 5 | 1,
            0x4C407000 | self.bits(2) << 10 | base << 5 | v,  # ld1 one register
            0x4C008000 | self.bits(2) << 10 | base << 5 | v,  # st2
            0x0DC0C000 | 31 << 16 | self.bits(2) << 10 | base << 5 | v,  # ld1r, post-index
            0x9E620000 | self.pick(NUMBERS) << 5 | v,  # scvtf d, x
            0x9E780000 | v << 5 | self.pick(RESULTS),  # fcvtzs x, d
            0x1E602800 | 1 << 16 | 2 << 5 | v,  # fadd
        )))  # fmt: skip

    def exception(self) -> None:
        """An exception on purpose: it ends the program, for the vectors do not return."""
        immediate = self.bits(16)
        self.word(self.rng.choice((
            0xD4000001 | immediate << 5,  # svc
            0xD4000002 | immediate << 5,  # hvc
            0xD4200000 | immediate << 5,  # brk
            0x00000000,  # udf
            0xD4400000 | immediate << 5,  # hlt
        )))  # fmt: skip

    def body(self, length: int, vectors: int = 2) -> None:
        """Write some instructions; few of them take an exception, for that ends the program."""
        kinds: list[tuple[Callable[[], None], int]] = [
            (self.arithmetic, 6), (self.load_or_store, 6), (self.pair, 3), (self.exclusive, 3),
            (self.system_register, 6), (self.system, 3), (self.branch, 2), (self.indirect, 1),
            (self.vector, vectors),
        ]  # fmt: skip
        works, weights = zip(*kinds, strict=True)
        for work in self.rng.choices(works, weights, k=length):
            work()
        if self.bits(3) == 0:
            self.exception()

    def go_down(self) -> None:
        """An ERET to EL1 or wherever else, and something to do there."""
        label = self.label()
        self.lines += [
            f"        ldr     x9, ={label}",
            "        msr     elr_el2, x9",
            f"        ldr     x9, ={self.pick(MODES):#x}",
            "        msr     spsr_el2, x9",
            "        ldr     x20, =kvm_host_data_cpu0",
            "        lm_alias x20, x9",
            "        add     x20, x20, #3072",
            f"        ldr     x21, ={label}",
            "        add     x23, x20, #1016",
            "        eret",
            f"{label}:",
        ]
        self.body(self.rng.randrange(4, 16), vectors=0)
        self.lines.append(f"        hvc     #{self.bits(16)}")

    def written(self) -> str:
        self.body(self.rng.randrange(6, 24))
        if self.bits(1):
            self.go_down()
        return "\n".join([*self.lines, "        b       random_leave"])


def dispatcher(seed: int, first: int, cases: int) -> str:
    """The text of a dispatcher with some cases: those of a seed from number *first* on."""
    programs = [
        Program(random.Random(f"{seed} {first + n}"), n).written() for n in range(cases)
    ]  # fmt: skip
    table = "\n".join(f"        .word   random_{n} - random_table" for n in range(cases))
    return "\n".join(
        [HEAD.format(cases=cases), *programs, "        .ltorg", "        .balign 4"]
        + ["random_table:", table, ""]
    )


@dataclass
class Outcome:
    """What came of some cases: rows compared, and of each case that differs a sentence."""

    cases: int
    rows: int
    differing_rows: int
    words: list[str]


def compare(seed: int, first: int, cases: int, variant: str = "numbered") -> Outcome:
    """Run some cases in both emulators."""
    text = dispatcher(seed, first, cases)
    with Machine(variant, seed=1 + first % 97, dispatcher=text, budget=2_000_000) as machine:
        requests = [machine.request(FIRST + n, n, 7, -1, 1 << 40, 5, 6) for n in range(cases)]
        trace = machine.reboot(requests)
        ours = [normalized(row) for row in of_trace(trace)]
        image = machine.image
        stopped = machine.stopped
    with tempfile.TemporaryDirectory() as folder:
        theirs = [
            normalized(row)
            for row in itertools.islice(qemu.rows(image, requests, Path(folder)), len(ours))
        ]
    go = image.layout.hyp_va(image.pa("random_go"))
    mine, his = list(_split(ours, go)), list(_split(theirs, go))
    words = []
    if stopped:
        words.append(f"seed {seed}, after case {first + len(mine) - 2}: ours stopped, {stopped}")
    if len(mine) != cases + 1 or len(mine) != len(his):
        words.append(
            f"seed {seed}, from case {first}: {len(mine) - 1} cases begun, QEMU {len(his) - 1}"
        )
    differing = 0
    for number, (a, b) in enumerate(zip(mine, his, strict=False)):
        where = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
        if where is None and len(a) == len(b):
            continue
        differing += sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b))
        at = f"seed {seed}, case {first + number - 1}"
        if where is None:
            words.append(f"{at}: ours has {len(a)} rows, QEMU {len(b)}")
            continue
        cells = ", ".join(
            f"{name} ours {x:#x}, QEMU's {y:#x}"
            for name, x, y in zip(COLUMNS, a[where], b[where], strict=True)
            if x != y
        )
        before = a[max(where - 1, 0)][0]
        word = trace.words.get(before, 0)
        words.append(
            f"{at}, row {where}, after {decode(word).text(before, image.symbolize)} "
            f"({word:#010x}) at {image.symbolize(before)}: {cells}"
        )
    return Outcome(len(mine) - 1, len(ours), differing, words)


def _split(rows: list[Row], go: int) -> Iterator[list[Row]]:
    """The rows before the first case, and those of each case from its entry on."""
    part: list[Row] = []
    for row in rows:
        if row[0] == go:
            yield part
            part = []
        part.append(row)
    yield part


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    chosen = parser.parse_args()
    cases = rows = differing = wrong = 0
    for first in range(chosen.first, chosen.first + chosen.cases, BATCH):
        number = min(BATCH, chosen.first + chosen.cases - first)
        outcome = compare(chosen.seed, first, number)
        cases, rows = cases + outcome.cases, rows + outcome.rows
        differing, wrong = differing + outcome.differing_rows, wrong + len(outcome.words)
        for text in outcome.words:
            print(text, flush=True)
    print(
        f"{cases} random programs of seed {chosen.seed}, {rows:,} rows, "
        f"{differing} rows differ in {wrong} programs"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
