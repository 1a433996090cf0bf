"""A machine under attack: many hostile calls at full speed, and a record of each."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

import numpy as np
from unicorn import arm64_const as uc_arm64
from unicorn import unicorn_const as uc_const
from unicorn.unicorn_py3.unicorn import uclib

from hypkit.a64 import sysregs
from hypkit.attack.ground import Ground
from hypkit.machine import software_sysregs
from hypkit.machine.cpu import Saved
from hypkit.machine.errors import MachineError
from hypkit.machine.exceptions import deliver
from hypkit.machine.hooks import native
from hypkit.machine.hooks import state as shared
from hypkit.machine.hooks.state import S, Stop
from hypkit.machine.hooks.watch_state import HOST_REGISTERS, NAMED, VECTOR_REGISTERS, F, R, W

SLICE = 1 << 14  # calls whose records are looked at together
STRETCH = 1 << 12  # calls that build on one another: the first finds the machine as it booted
POSTED = 1 << 8  # of these, how many are posted together: most stretches are cut short by a call
EXCEPTIONS = 50  # that one call may take, but for its HVC
_ENDED = F.RETURNED | F.ABORT | F.PANICKED | F.RUNAWAY | F.STOPPED


class Watch:
    """A machine whose calls are watched.

    ground: of the machine, whose memory and registers are those of its boot.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground, self.cpu, self.image = ground, ground.cpu, ground.image
        self._wide = True  # whether anything at all may have been written
        self._wrote = True  # whether EL2 wrote memory that is not its own
        self.starts: list[int] = []  # calls of the last slice that found the machine as it booted
        self._words = np.zeros(W.SIZE, dtype=np.uint64)
        self.records = np.zeros((SLICE, R.SIZE), dtype=np.uint64)
        self._put_canaries()
        self.base: Saved = self.cpu.save()
        words = self._words
        words[W.STATE] = self.cpu._state.ctypes.data
        for name in ("text", "idmap", "vm", "window"):
            span = getattr(ground, name)
            words[W[name.upper()]], words[W[f"{name.upper()}_END"]] = span.start, span.stop
        words[W.BUDGET] = ground.budget
        words[W.REQUESTS] = ground.requests_va
        words[W.KEPT], words[W.FRESH] = ground.kept, ground.fresh
        self._own, self._entry = _pairs(ground.own), _pairs(ground.entry)
        words[W.OWN], words[W.ENTRY] = self._own.ctypes.data, self._entry.ctypes.data
        # What a call may change without a word of the hooks.
        ram = self.cpu.ram
        places = [ram.expected(held.start, len(held)) for held in ground.held]
        self._places = [(place, place.copy()) for place in places]
        # Eight bytes at a time: it is compared after nearly every call that wrote something.
        self._code = ram.expected(ground.code.start, len(ground.code)).view(np.uint64)
        self._code_base = self._code.copy()
        self._seen = np.zeros(1 << 16, dtype=np.uint64)
        text = ram.expected(ground.text_pa, len(ground.text))
        words[W.TEXT_AT], words[W.SEEN] = text.ctypes.data, self._seen.ctypes.data
        self._host_registers()
        self._vector_registers()
        self._el2_registers()
        self._gic_registers()
        self._way_back()
        self._one = np.zeros(1, dtype=np.uint64)
        words[W.ONE_PTR], words[W.PC_ID] = self._one.ctypes.data, uc_arm64.UC_ARM64_REG_PC
        words[W.READ] = shared.function_address("uc_reg_read")

    def _put_canaries(self) -> None:
        """Give the host's registers values that nothing else has."""
        for n in range(20, 30):
            self.cpu.write(f"x{n}", 0xCA4A_0000_0000_0000 | n)
        for n in range(32):
            value = 0xCA4A_0000_0000_0100 | n
            self.cpu._uc.reg_write(getattr(uc_arm64, f"UC_ARM64_REG_Q{n}"), value << 64 | value)

    def _host_registers(self) -> None:
        """What the host has, and what it must find again."""
        words = self._words
        ids = [getattr(uc_arm64, f"UC_ARM64_REG_{name.upper()}") for name in HOST_REGISTERS]
        self._ids = np.array(ids, dtype=np.int32)
        self._regs = np.zeros(len(ids), dtype=np.uint64)
        self._ptrs = self._regs.ctypes.data + 8 * np.arange(len(ids), dtype=np.uint64)
        self._before = np.zeros(len(ids), dtype=np.uint64)
        words[W.HOST_IDS], words[W.HOST_PTRS] = self._ids.ctypes.data, self._ptrs.ctypes.data
        words[W.HOST_REGS], words[W.BEFORE] = self._regs.ctypes.data, self._before.ctypes.data

    def _vector_registers(self) -> None:
        """The registers of SIMD and floating point: two words for each."""
        words, count = self._words, len(VECTOR_REGISTERS)
        ids = [getattr(uc_arm64, f"UC_ARM64_REG_{name.upper()}") for name in VECTOR_REGISTERS]
        self._vector_ids = np.array(ids, dtype=np.int32)
        self._vectors = np.zeros(2 * count, dtype=np.uint64)
        self._vector_ptrs = self._vectors.ctypes.data + 16 * np.arange(count, dtype=np.uint64)
        uclib.uc_reg_read_batch(
            self.cpu._uc._uch,
            self._vector_ids.ctypes.data_as(ctypes.POINTER(ctypes.c_int)),
            self._vector_ptrs.ctypes.data_as(ctypes.POINTER(ctypes.c_void_p)),
            count,
        )
        self._vectors_before = self._vectors.copy()
        words[W.VECTOR_IDS] = self._vector_ids.ctypes.data
        words[W.VECTOR_PTRS] = self._vector_ptrs.ctypes.data
        words[W.VECTOR_COUNT], words[W.VECTOR_WORDS] = count, 2 * count
        words[W.VECTORS] = self._vectors.ctypes.data
        words[W.VECTORS_BEFORE] = self._vectors_before.ctypes.data

    def _el2_registers(self) -> None:
        words, cps = self._words, []
        ids = []
        for name in self.ground.guarded:
            if name == "SP_EL2":
                ids.append(uc_arm64.UC_ARM64_REG_SP_EL2)
                cps.append(shared.CpReg())
            else:
                op0, op1, crn, crm, op2 = sysregs.SYSREGS[name]
                ids.append(uc_arm64.UC_ARM64_REG_CP_REG)
                cps.append(shared.CpReg(crn=crn, crm=crm, op0=op0, op1=op1, op2=op2))
        self._cps = (shared.CpReg * len(cps))(*cps)
        value = shared.CpReg.val.offset
        starts = [ctypes.addressof(cp) for cp in self._cps]
        self._el2_values = np.array([start + value for start in starts], dtype=np.uint64)
        self._el2_ptrs = np.array(
            [
                start + (value if name == "SP_EL2" else 0)
                for name, start in zip(self.ground.guarded, starts, strict=True)
            ],
            dtype=np.uint64,
        )
        self._el2_ids = np.array(ids, dtype=np.int32)
        self._el2_masks = np.array(list(self.ground.guarded.values()), dtype=np.uint64)
        self._el2_base = np.array(self.el2_registers(), dtype=np.uint64)
        words[W.EL2_IDS], words[W.EL2_PTRS] = self._el2_ids.ctypes.data, self._el2_ptrs.ctypes.data
        words[W.EL2_REGS] = self._el2_values.ctypes.data
        words[W.EL2_MASKS] = self._el2_masks.ctypes.data
        words[W.EL2_BASE] = self._el2_base.ctypes.data
        words[W.EL2_COUNT] = len(self.ground.guarded)
        words[W.EL2_SCTLR] = list(self.ground.guarded).index("SCTLR_EL2")

    def el2_registers(self) -> list[int]:
        """Return the guarded registers of EL2 as they are, in the order of Ground.guarded."""
        cpu = self.cpu
        return [
            cpu._uc.reg_read(uc_arm64.UC_ARM64_REG_SP_EL2) if name == "SP_EL2" else cpu.sysreg(name)
            for name in self.ground.guarded
        ]

    def _gic_registers(self) -> None:
        words = self._words
        self._ich_names = list(self.cpu.ich)
        codes, masks = [], []
        for name in self._ich_names:
            op0, op1, crn, crm, op2 = sysregs.SYSREGS[name]
            codes.append(op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2)
            masks.append(software_sysregs._WRITABLE.get(name, 0))
        self._ich_codes = np.array(codes, dtype=np.uint64)
        self._ich_masks = np.array(masks, dtype=np.uint64)
        self._ich_values = np.zeros(len(codes), dtype=np.uint64)
        words[W.ICH_CODES] = self._ich_codes.ctypes.data
        words[W.ICH_MASKS] = self._ich_masks.ctypes.data
        words[W.ICH_VALUES] = self._ich_values.ctypes.data
        words[W.ICH_COUNT] = len(codes)
        words[W.ICH_VMCR] = self._ich_names.index("ICH_VMCR_EL2")

    def _way_back(self) -> None:
        """What an abort of EL2's leaves out: the host goes on at its next request."""
        cpu, words = self.cpu, self._words
        values: list[tuple[int, int]] = [
            (uc_arm64.UC_ARM64_REG_SP_EL2, cpu._uc.reg_read(uc_arm64.UC_ARM64_REG_SP_EL2)),
            (uc_arm64.UC_ARM64_REG_SP, cpu.read("sp")),
        ]
        values += [
            (getattr(uc_arm64, f"UC_ARM64_REG_X{n}"), cpu.read(f"x{n}")) for n in range(20, 30)
        ]
        values.append((uc_arm64.UC_ARM64_REG_PSTATE, cpu.read("pstate")))
        self._back_values = np.array([value for _, value in values] + [0, 0], dtype=np.uint64)
        self._back_cp = shared.CpReg(crn=4, crm=0, op0=3, op1=4, op2=0)  # SPSR_EL2
        at = self._back_values.ctypes.data
        pointers = [at + 8 * n for n in range(len(values))]
        pointers += [ctypes.addressof(self._back_cp), at + 8 * len(values)]
        self._back_values[len(values)] = self.ground.next
        ids = [register for register, _ in values]
        ids += [uc_arm64.UC_ARM64_REG_CP_REG, uc_arm64.UC_ARM64_REG_PC]
        self._back_ids = np.array(ids, dtype=np.int32)
        self._back_ptrs = np.array(pointers, dtype=np.uint64)
        words[W.BACK_IDS], words[W.BACK_PTRS] = (
            self._back_ids.ctypes.data,
            self._back_ptrs.ctypes.data,
        )
        words[W.BACK_COUNT] = len(ids)

    # -- hooks --

    def _hook(self, kind: int, name: str, first: int = 1, last: int = 0) -> ctypes.c_size_t:
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(
            self.cpu._uc._uch,
            ctypes.byref(handle),
            kind,
            ctypes.c_void_p(native.address(name, "watching")),
            ctypes.c_void_p(self._words.ctypes.data),
            ctypes.c_uint64(first),
            ctypes.c_uint64(last),
        )
        if status:
            raise RuntimeError(f"the emulator refused the hook {name}: {status}")
        return handle

    def __enter__(self) -> Watch:
        cpu, ground = self.cpu, self.ground
        uch = cpu._uc._uch
        if cpu._observing is not None:
            uclib.uc_hook_del(uch, cpu._observing_handle)
            cpu._observing = None
        uclib.uc_hook_del(uch, cpu._interrupts)
        self._handles = [
            self._hook(uc_const.UC_HOOK_INTR, "exception_taken"),
            self._hook(uc_const.UC_HOOK_CODE, "call_begins", ground.begin, ground.begin),
            self._hook(uc_const.UC_HOOK_CODE, "call_ends", ground.end, ground.end),
            self._hook(uc_const.UC_HOOK_BLOCK, "block_begins"),
            self._hook(uc_const.UC_HOOK_MEM_WRITE, "memory_written"),
        ]
        if ground.boot is not None:
            self._handles.append(
                cpu._add_hook(uc_const.UC_HOOK_CODE, "exit_hook", ground.boot, ground.boot)
            )
        cpu.forget_code()
        return self

    def __exit__(self, *exc: object) -> None:
        uch = self.cpu._uc._uch
        for handle in self._handles:
            uclib.uc_hook_del(uch, handle)
        self.cpu._interrupts = self.cpu._add_hook(uc_const.UC_HOOK_INTR, "interrupt_hook")
        self.cpu.forget_code()
        self.cpu.restore(self.base)

    # -- runs --

    def run(self, requests: np.ndarray) -> np.ndarray:
        """Make calls and give a record of each.

        requests: uint64, shape (n, 7): x0 to x6. The records: uint64, shape (n, R.SIZE).
        """
        out = np.zeros((len(requests), R.SIZE), dtype=np.uint64)
        for start in range(0, len(requests), SLICE):
            part = requests[start : start + SLICE]
            out[start : start + len(part)] = self._slice(part)
        return out

    def _slice(self, requests: np.ndarray) -> np.ndarray:
        done = 0
        self.starts = []
        self._seen[:] = 0  # what a slice says must not depend on those before it
        while done < len(requests):
            self.starts.append(done)
            self._reset()
            end, whole = min(done + STRETCH, len(requests)), True
            while whole and done < end:
                posted = requests[done : min(done + POSTED, end)]
                made, whole = self._stretch(posted, done)
                if not made:
                    raise MachineError("the host made no call: its own code or memory is spoilt")
                done += made
            last = self.records[done - 1]
            self._wide = self._may_be_anywhere(last)
            self._wrote = bool(int(last[R.FLAGS]) & F.WROTE)
        return self.records[: len(requests)]

    def _may_be_anywhere(self, record: np.ndarray) -> bool:
        """Whether the last call may have written what _places does not hold."""
        flags, where = int(record[R.FLAGS]), int(record[R.WROTE])
        if flags & F.WROTE and not any(where in place for place in self.ground.held):
            return True
        return bool(flags & (F.OUTSIDE | F.STOPPED | F.RUNAWAY | F.PANICKED))

    def _reset(self) -> None:
        """Become the base again: only what may have changed is put back, for it is done often."""
        cpu, saved = self.cpu, self.base
        if self._wide or cpu.ram.strayed.any():
            self._wide = False
            cpu.restore(saved)
        else:
            cpu._uc.context_restore(saved.context)
            cpu._uc.ctl(uc_const.UC_CTL_TLB_FLUSH, uc_const.UC_CTL_IO_WRITE)
            cpu.ich = dict(saved.ich)
            spoilt = self._wrote and not np.array_equal(self._code, self._code_base)
            for now, then in self._places:
                now[:] = then
            if spoilt:
                cpu.forget_code()
        self._ich_values[:] = [self.cpu.ich[name] for name in self._ich_names]

    def _stretch(self, requests: np.ndarray, done: int) -> tuple[int, bool]:
        """Make calls until one leaves the machine in a state that is not to be built on: how many
        were made, and whether that is because there are no more."""
        cpu, words = self.cpu, self._words
        posted = self.ground.post(requests)
        words[W.REQUESTS_AT] = posted.ctypes.data
        words[W.CALLS] = words[W.STEPS] = 0
        words[W.RECORD] = self.records[done:].ctypes.data
        cpu.write("pc", self.ground.next)
        words[W.AT_EL2] = 0
        state, exceptions, before, trapped = cpu._state, 0, 0, 0
        while True:
            reason = cpu._start_until_something()
            count = int(words[W.CALLS])
            if count != before:
                exceptions, before, trapped = 0, count, 0
            record = self.records[done + count - 1]
            if reason is Stop.EXIT:
                where = cpu.read("pc")
                if where == self.ground.idle:
                    return count, True
                if where == self.ground.boot:
                    _add(record, F.REBOOTED | F.OUTSIDE)
                    return count, False
                _add(record, F.PANICKED if where in self.ground.panicked else F.STOPPED)
                if where in self.ground.panicked and trapped:
                    _add(record, F.ABORT)
                    record[R.WHERE] = trapped
                record[R.X0 : R.X0 + 4] = [cpu.read(f"x{n}") for n in range(4)]
                return count, False
            if reason is Stop.EXCEPTION:
                self.cpu.ich = dict(zip(self._ich_names, self._ich_values.tolist(), strict=True))
                exceptions += 1
                if exceptions > EXCEPTIONS:
                    _add(record, F.RUNAWAY)
                    return count, False
                level, at = cpu.el, cpu.read("pc")
                try:
                    deliver(cpu, int(state[S.INTNO]), -1)
                except MachineError:
                    _add(record, F.STOPPED)
                    return count, False
                self._ich_values[:] = [self.cpu.ich[name] for name in self._ich_names]
                if level == 2 and not trapped and cpu.read("pc") not in (at, at + 4):
                    trapped = at  # the first of EL2's own; what it takes on its way down is not it
                continue
            if reason is Stop.MISALIGNED and cpu.el == 2:  # a fault that EL2 takes to its panic
                _add(record, F.ABORT)
                record[R.WHERE] = cpu.read("pc")
            elif not int(record[R.FLAGS]) & _ENDED:
                _add(record, F.STOPPED)
                # Where there is no memory no block begins, and nothing is fetched.
                mmu = cpu.sysreg("SCTLR_EL2") & 1
                if cpu.el == 2 and not mmu and cpu.read("pc") in posted[count - 1, :7]:
                    _add(record, F.RESTARTED)
            if int(record[R.FLAGS]) & F.STATE:
                record[R.REGISTER] = len(NAMED) + 1 + self._changed()
            return count, False

    def _changed(self) -> int:
        """Which of EL2's guarded registers is not what it was, by its place; 0 if all are."""
        now = np.array(self.el2_registers(), dtype=np.uint64)
        return int(((now ^ self._el2_base) & self._el2_masks != 0).argmax())


def _add(record: np.ndarray, flag: F) -> None:
    record[R.FLAGS] = int(record[R.FLAGS]) | flag


def _pairs(spans: Iterable[tuple[int, int]]) -> np.ndarray:
    """A list of (start, end) as the hooks read one: two zeros end it."""
    return np.array([*(bound for span in spans for bound in span), 0, 0], dtype=np.uint64)
