"""Interrupts at every line: what a machine is afterwards.

    python -m tests.machine.inject [--every N] [--exceptions KeyboardInterrupt,...] [OPERATION ...]

A signal arrives before each line of the kit that an operation comes to, one line a try, and its
handler raises. Right is that this exception comes out, and a machine that does what it did before,
or one that says that it was interrupted and is itself again after reboot().
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np

import hypkit
from hypkit import Machine

KIT = str(Path(hypkit.__file__).parent)
EXCEPTIONS = (KeyboardInterrupt, TimeoutError, MemoryError)
SIGNAL = signal.SIGTERM  # any that Windows has, too
CNTVOFF, MDCR, RUN = "__kvm_timer_set_cntvoff", "__kvm_get_mdcr_el2", "__kvm_vcpu_run_nvhe"


def poke_data(m: Machine) -> None:
    m.poke(m.address("kvm0", "linear") + 0xFFC, bytes(range(8)))


def poke_table(m: Machine) -> None:
    at = m.entry_of(m.address("kvm0", "linear"))
    m.poke(at, m.read(at, 8, el=1))


def restore(m: Machine) -> None:
    m.restore(m.kept)  # type: ignore[attr-defined]


OPERATIONS: dict[str, Callable[[Machine], object]] = {
    "call": lambda m: m.call(CNTVOFF, 5),
    "call, exceptions": lambda m: m.call(RUN, "vcpu0"),
    "call, panic": lambda m: m.call(RUN, 0x1234),
    "hvc": lambda m: m.hvc(0x101),
    "run": lambda m: m.run([0x101] * 4),
    "reboot": lambda m: m.reboot(),
    "reboot with requests": lambda m: m.reboot([m.request(MDCR)]),
    "snapshot": lambda m: m.snapshot(),
    "restore": restore,
    "poke data": poke_data,
    "poke table": poke_table,
    "read": lambda m: m.read(m.address("kvm0", "hyp"), 16),
    "reg and sysreg": lambda m: (m.reg("x0"), m.sysreg("HCR_EL2")),
    "request": lambda m: m.request(CNTVOFF, "vcpu0"),
    "translate": lambda m: m.translate(m.address("kvm0", "hyp")),
}
# One after the other: each run has another hook than the one before.
PAIRS = {"run after call": ("hvc", "run"), "call after run": ("run", "call")}


class Injector:
    """Raises an exception before the n-th line of the kit, and counts the lines until then."""

    def __init__(self, number: int, exception: type[BaseException]) -> None:
        self.number, self.exception, self.lines, self.where = number, exception, 0, ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> object:
        if not frame.f_code.co_filename.startswith(KIT):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.number:
                file = Path(frame.f_code.co_filename).relative_to(KIT)
                self.where = f"{file}:{frame.f_lineno}"
                sys.settrace(None)
                signal.raise_signal(SIGNAL)
        return self

    def handler(self, number: int, frame: FrameType | None) -> None:
        raise self.exception("injected")


def fingerprint(m: Machine) -> str:
    """What a machine is, by what it does: its registers, memory, and the rows of some calls."""
    hasher = hashlib.sha256()
    state = m.snapshot()
    for name in ("HCR_EL2", "VBAR_EL2", "CNTVOFF_EL2", "TTBR0_EL2", "VTTBR_EL2", "SCTLR_EL1"):
        hasher.update(f"{name} {m.sysreg(name):x} ".encode())
    for call in (m.call(MDCR), m.call(RUN, "vcpu0"), m.call(CNTVOFF, 9)):
        trace = call.whole_trace
        assert len(trace.pcs) > 20
        for part in (trace.base[:31], trace.pcs, trace.masks, trace.values):
            hasher.update(np.ascontiguousarray(part).tobytes())
        hasher.update(repr((call.outcome, call.x0, sorted(trace.sysregs.items()))).encode())
    hasher.update(repr(m.run([0x101, 0x100, 1 << 40]).tolist()).encode())
    m.restore(state)
    return hasher.hexdigest()


def boot_rows(m: Machine) -> str:
    trace = m.boot_trace
    parts = (trace.pcs.tobytes(), trace.masks.tobytes(), trace.values.tobytes())
    return hashlib.sha256(b"".join(parts)).hexdigest()


class Subject:
    """A machine that operations are tried on, and what it should be before each and after."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.operations = [OPERATIONS[part] for part in PAIRS.get(name, (name,))]
        self.machine = Machine("numbered", seed=6)
        self.machine.kept = self.machine.snapshot()  # type: ignore[attr-defined]
        self.boot = boot_rows(self.machine)
        self.fresh = fingerprint(self.machine)
        self.right = {self.fresh}
        for operation in self.operations:
            operation(self.machine)
            if not self.machine.stopped:
                self.right.add(fingerprint(self.machine))
        self.stops = self.machine.stopped
        self.machine.reboot()

    def lines(self) -> int:
        injector = Injector(0, KeyboardInterrupt)
        sys.settrace(injector)
        try:
            for operation in self.operations:
                operation(self.machine)
        finally:
            sys.settrace(None)
        self.machine.reboot()
        return injector.lines

    def inject(self, number: int, exception: type[BaseException]) -> str | None:
        """Raise before a line: None, or what is wrong with the machine afterwards."""
        m = self.machine
        injector = Injector(number, exception)
        before = signal.signal(SIGNAL, injector.handler)
        other = ""
        sys.settrace(injector)
        try:
            for operation in self.operations:
                operation(m)
        except exception:
            pass
        except Exception as error:
            if not injector.where:
                raise
            other = f"{type(error).__name__}: {error}"
        finally:
            sys.settrace(None)
            signal.signal(SIGNAL, before)
        wrong = self._wrong(m)
        m.reboot()
        if boot_rows(m) != self.boot:
            wrong = f"{wrong or ''} its boot after reboot() is another"
        elif fingerprint(m) != self.fresh:
            wrong = f"{wrong or ''} it is another after reboot()"
        if wrong:
            self.machine = Machine("numbered", seed=6)
            self.machine.kept = self.machine.snapshot()  # type: ignore[attr-defined]
            return f"{injector.where}: {wrong}"
        m.reboot()
        return f"{injector.where}: {other}" if other else None

    def _wrong(self, m: Machine) -> str | None:
        if not m.stopped:
            return None if fingerprint(m) in self.right else "it says ready, and is not"
        if "interrupted" in m.stopped or "is half there" in m.stopped or m.stopped == self.stops:
            return None
        return f"it says: {m.stopped}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1, help="only every N-th line")
    parser.add_argument("--exceptions", default=",".join(e.__name__ for e in EXCEPTIONS))
    parser.add_argument("names", nargs="*", metavar="OPERATION")
    chosen = parser.parse_args()
    names = (*OPERATIONS, *PAIRS)
    if unknown := set(chosen.names) - set(names):
        sys.exit(f"no operation {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    total = bad = 0
    for name in chosen.names or names:
        subject = Subject(name)
        lines = subject.lines()
        for kind in EXCEPTIONS:
            if kind.__name__ not in chosen.exceptions.split(","):
                continue
            for number in range(1, lines + 1, chosen.every):
                total += 1
                if wrong := subject.inject(number, kind):
                    bad += 1
                    print(f"{name}, {kind.__name__} before line {number}: {wrong}", flush=True)
        print(f"{name}: {lines} lines", flush=True)
    print(f"{total} interrupts, {bad} machines wrong afterwards")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
