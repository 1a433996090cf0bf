"""What the soak tries: each experiment takes a number of cases and a seed, and says what was wrong."""

from __future__ import annotations

import gc
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hypkit import VARIANTS, AsmError, Machine, MachineError
from hypkit.errors import KitError
from tests.machine.inject import EXCEPTIONS, OPERATIONS, PAIRS, Subject
from tests.oracle.random_dispatchers import dispatcher
from tests.test_wrong_arguments import USES, WRONG

MDCR, CNTVOFF, RUN = "__kvm_get_mdcr_el2", "__kvm_timer_set_cntvoff", "__kvm_vcpu_run_nvhe"
Wrong = Iterator[str]


def resident() -> float:
    """MiB that this process holds; 0 where /proc does not say."""
    gc.collect()
    status = Path("/proc/self/status")
    found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


def healthy(machine: Machine) -> str | None:
    """None, if a machine does after reboot() what a machine does; else what it does."""
    try:
        machine.reboot()
        call = machine.call(MDCR)
        if call.outcome != "returned" or len(call.trace) < 10:
            return f"after reboot(): {call!r}, {call.trace!r}"
    except Exception as error:
        return f"after reboot(): {type(error).__name__}: {error}"
    return None


def mended(machine: Machine) -> str | None:
    """The same where the dispatcher is random: after reboot() only the stub calls are answered."""
    try:
        machine.reboot()
        if machine.hvc(0).x0 != 0xBADCA11 or machine.run([0]).tolist() != [0xBADCA11]:
            return "it does not answer the stub calls after reboot()"
    except Exception as error:
        return f"after reboot(): {type(error).__name__}: {error}"
    return None


def interface(cases: int, seed: int) -> Wrong:
    """Calls of every public method with arguments right and wrong, on machines of every variant."""
    rng = random.Random(seed)
    keys, machine, values = [*VARIANTS, "numbered+adr_l"], None, list(WRONG.values())
    numbers = [0, 1, 2, 3, 0x100, 0x101, 0x10E, -1, 1 << 63, (1 << 64) - 1, 0xC600_0001]
    names = [MDCR, CNTVOFF, RUN, "vcpu0", "kvm0", "x0", "sp", "HCR_EL2", "ICH_LR0_EL2", "dispatch"]
    for case in range(cases):
        if machine is None or case % 50 == 0:
            if machine is not None:
                machine.close()
            machine = Machine(rng.choice(keys), seed=rng.randrange(100), budget=20_000)
            snapshot = machine.snapshot()

        def value() -> object:
            return rng.choice([rng.choice(numbers), rng.choice(names), rng.choice(values)])

        works: list[Callable[[Machine], object]] = [
            lambda m: m.call(value(), *(value() for _ in range(rng.randrange(3)))),
            lambda m: m.hvc(value(), value()),
            lambda m: m.run([value() for _ in range(rng.randrange(4))]),
            lambda m: m.read(m.address(rng.choice(names)), rng.randrange(9000), rng.choice((1, 2))),
            lambda m: m.poke(
                m.entry_of(m.address(rng.choice(names)), rng.choice((1, 2))), rng.randbytes(8)
            ),
            lambda m: m.poke(m.address(rng.choice(names), "linear"), rng.randbytes(16)),
            lambda m: m.translate(value(), value()),
            lambda m, kept=snapshot: m.restore(rng.choice((kept, value()))),
            lambda m: m.reboot(),
            lambda m: rng.choice([use for use, _ in USES.values()])(m, value()),
            lambda m: (m.reg(value()), m.sysreg(value())),
        ]
        work = rng.choice(works)
        try:
            work(machine)
        except (KitError, AsmError):
            pass
        except Exception as error:
            yield f"case {case}: {type(error).__name__}: {error}"
        if case % 10 == 9 and (said := healthy(machine)):
            yield f"case {case}: {said}"
            machine = None


def dispatchers(cases: int, seed: int) -> Wrong:
    """Random code, at EL2 and below, in single and in bulk calls, and what reboot() makes of it."""
    rng = random.Random(seed)
    for case in range(cases):
        words = "\n".join(f" .inst {rng.getrandbits(32):#x}" for _ in range(rng.randrange(4, 48)))
        text = f"dispatch:\n divert_stub_calls\n{words}\n eret\n dsb nsh\n isb\n"
        if case % 4 == 0:
            text = dispatcher(seed, case, 4)
        with Machine("numbered", seed=case % 7, dispatcher=text, budget=20_000) as machine:
            for work in (
                lambda m: m.hvc(0x100, 1, 2),
                lambda m: m.run([0x100] * 3),
                lambda m: m.call(RUN, "vcpu0"),
                lambda m: m.hvc(0x102),
            ):
                try:
                    work(machine)
                except MachineError:
                    pass
                except Exception as error:
                    yield f"case {case}: {type(error).__name__}: {error}"
                if machine.stopped and (said := mended(machine)):
                    yield f"case {case}: {said}"


def threads(cases: int, seed: int) -> Wrong:
    """Several threads on one machine, others making and closing their own, one closing it."""
    rng = random.Random(seed)
    for case in range(cases):
        wrong: list[str] = []
        machine = Machine("numbered", seed=case % 5)
        end = time.monotonic() + 0.15

        def loop(choice: int, machine: Machine = machine, end: float = end) -> None:
            while time.monotonic() < end:
                try:
                    if choice == 0:
                        if machine.call(CNTVOFF, 0x77).x0 != 0x77:
                            wrong.append("a call answers for another")  # noqa: B023
                    elif choice == 1:
                        if not (machine.run([0x101] * 300) == 6).all():
                            wrong.append("a bulk run answers for another")  # noqa: B023
                    elif choice == 2:
                        machine.restore(machine.snapshot())
                    elif choice == 3:
                        machine.reboot()
                    elif choice == 4:
                        with Machine("fnptr", seed=3) as own:
                            own.call(MDCR)
                    elif choice == 5:
                        time.sleep(0.1)
                        machine.close()
                    else:
                        machine.read(machine.address("kvm0", "hyp"), 64)
                except MachineError as error:
                    if "was closed" not in str(error):
                        wrong.append(str(error))  # noqa: B023
                    return
                except Exception as error:
                    wrong.append(f"{type(error).__name__}: {error}")  # noqa: B023
                    return

        chosen = [rng.randrange(7) for _ in range(4)]
        running = [threading.Thread(target=loop, args=(choice,)) for choice in chosen]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        yield from (f"case {case}, {chosen}: {said}" for said in wrong)
        machine.close()


def signals(cases: int, seed: int) -> Wrong:
    """A signal at a random moment of an operation, whose handler raises."""
    rng = random.Random(seed)
    kinds = (KeyboardInterrupt, TimeoutError)

    def handler(number: int, frame: object) -> None:
        raise rng.choice(kinds)("a signal")

    signal.signal(signal.SIGALRM, handler)
    machine = Machine("numbered", seed=1)
    kept = machine.snapshot()
    boot = machine.boot_trace.pcs.tolist()
    for case in range(cases):
        work = rng.choice([
            lambda m: m.run([0x101] * rng.randrange(1, 2000)),
            lambda m: m.call(RUN, "vcpu0"),
            lambda m, kept=kept: m.restore(kept),
            lambda m: m.reboot(),
            lambda m: (m.run([0]), m.hvc(0), m.run([0]), m.hvc(0)),
            lambda m: m.poke(m.address("kvm0", "linear") + 256, bytes(8)),
        ])  # fmt: skip
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.00001, 0.004))
            work(machine)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except (*kinds, MachineError):
            signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            if not machine.stopped:
                if machine.call(MDCR).x0 != 6 or machine.run([0x101]).tolist() != [6]:
                    yield f"case {case}: it says ready, and is not"
            elif "interrupted" not in machine.stopped and "half there" not in machine.stopped:
                yield f"case {case}: it says {machine.stopped}"
            if machine.reboot().pcs.tolist() != boot:
                yield f"case {case}: its boot is another"
        except Exception as error:
            yield f"case {case}: {type(error).__name__}: {error}"
            machine = Machine("numbered", seed=1)
            kept = machine.snapshot()


def lines(cases: int, seed: int) -> Wrong:
    """An exception before a line of the kit; all of them: python -m tests.machine.inject."""
    rng = random.Random(seed)
    names = [*OPERATIONS, *PAIRS]
    for place, name in enumerate(names):
        subject = Subject(name)
        number = subject.lines()
        for case in range(place, cases, len(names)):
            wrong = subject.inject(rng.randrange(1, number + 1), rng.choice(EXCEPTIONS))
            if wrong:
                yield f"case {case}, {name}: {wrong}"
        subject.machine.close()


def forks(cases: int, seed: int) -> Wrong:
    """A child of a process with a machine uses it, while the parent goes on."""
    if not hasattr(os, "fork"):
        return
    machine = Machine("numbered", seed=2)
    for case in range(cases):
        child = os.fork()
        if child == 0:
            right = machine.call(MDCR).x0 == 6 and machine.run([0x101]).tolist() == [6]
            os._exit(0 if right else 9)
        if machine.call(CNTVOFF, case).x0 != case:
            yield f"case {case}: the parent's answer is wrong"
        if os.waitpid(child, 0)[1]:
            yield f"case {case}: the child's answer is wrong"


def machines(cases: int, seed: int) -> Wrong:
    """Machines made, used and dropped, half of them without close()."""
    for case in range(cases):
        machine = Machine("numbered", seed=case % 9)
        machine.call(RUN, "vcpu0")
        machine.run([0x101] * 10)
        kept = machine.snapshot()
        machine.hvc(1 << 40)
        machine.restore(kept)
        if machine.call(MDCR).x0 != 6:
            yield f"case {case}: a wrong answer"
        if case % 2:
            machine.close()


def snapshots(cases: int, seed: int) -> Wrong:
    """One machine's snapshots, reboots and calls."""
    with Machine("numbered", seed=1) as machine:
        for case in range(cases):
            kept = machine.snapshot()
            machine.call(CNTVOFF, case)
            machine.restore(kept)
            if case % 10 == 0:
                machine.reboot()
            if machine.sysreg("CNTVOFF_EL2"):
                yield f"case {case}: it is not what it was"


# Name -> (what to do, how many cases to one of --cases).
EXPERIMENTS: dict[str, tuple[Callable[[int, int], Wrong], float]] = {
    "interface": (interface, 1.5),
    "dispatchers": (dispatchers, 0.15),
    "threads": (threads, 0.02),
    "signals": (signals, 0.5),
    "lines": (lines, 0.3),
    "forks": (forks, 0.03),
    "machines": (machines, 0.15),
    "snapshots": (snapshots, 0.5),
}
