"""What the soak tries: each experiment takes a number of cases and a seed, and says what was wrong."""

from __future__ import annotations

import gc
import os
import random
import re
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from hypkit import VARIANTS, AsmError, Machine, MachineError, asm, stepper
from hypkit.errors import KitError
from hypkit.header import DEFINES, ENUM, read_header
from hypkit.timetravel.widget import Stepper
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
        # A host at EL2 calls the function as any other: eight steps.
        least = 5 if machine.image.variant.host_el == 2 else 20
        if call.outcome != "returned" or len(call.trace) < least:
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


def mutated(rng: random.Random, text: str) -> str:
    """A text with some of its lines cut, moved, doubled, or spoilt by a character or two."""
    rows = text.splitlines()
    for _ in range(rng.randrange(1, 6)):
        place, other = rng.randrange(len(rows)), rng.randrange(len(rows))
        row, at = rows[place], rng.randrange(len(rows[place]) + 1)
        rows[place] = rng.choice([
            row[:at],
            rows[other],
            f"{row}\n{rows[other]}",
            row[:at] + rng.choice("()[]{}#,:;\\\"'%*/-+<>~!.0x9\0é\t@$&") + row[at:],
            row[:at] + str(rng.choice((-1, 1 << 31, 1 << 64, 10**400))) + row[at:],
            row.swapcase(),
        ])  # fmt: skip
    return "\n".join(rows)


DOUBLING = "".join(f".macro m{n + 1}\n m{n}\n m{n}\n.endm\n" for n in range(40))
ASM_BOMBS = (
    f".macro m0\n nop\n.endm\n{DOUBLING} m40\n",
    ".macro again\n again\n.endm\n again\n",
    ".rept 1000000\n.rept 1000000\n nop\n.endr\n.endr\n",
    ".space 1 << 60\n",
    ".balign 1 << 40\n nop\n",
    f".quad {'(' * 5000}1{')' * 5000}\n",
    f".quad {'-' * 5000}1\n",
    ".quad 1 << (1 << 40)\n",
)
HEADER_BOMBS = (
    "#define A0 1\n"
    + "".join(f"#define A{n + 1} A{n} + A{n}\n" for n in range(40))
    + "enum { big = A40 };\n",
    '#include "kvm_asm.h"\n' * 300,
    "#if 1\n" * 20_000,
    f"enum {{ deep = {'(' * 9000}1{')' * 9000} }};\n",
    "static const int table[1 << 30] = { [0 ... (1 << 30) - 1] = 1 };\n",
)


def refused(work: Callable[[], object]) -> str | None:
    """None if work succeeds or is refused in a sentence; else what it raised."""
    try:
        work()
    except (KitError, AsmError) as error:
        if len(str(error)) < 8:
            return f"no sentence: {error!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return None


def assembler(cases: int, seed: int) -> Wrong:
    """Texts of the corpus with faults in them, and texts that would grow without end."""
    rng = random.Random(seed)
    corpus = Path(__file__).parents[1].joinpath("corpus", "good.txt").read_text(encoding="utf-8")
    texts = [text.partition("\n")[2] for text in corpus.split("=== ")[1:]]
    for case in range(cases):
        bomb = case % 25 == 24
        text = rng.choice(ASM_BOMBS) if bomb else mutated(rng, rng.choice(texts))
        if said := refused(lambda text=text: asm.assemble(text)):
            yield f"case {case}: {said} for {text[:200]!r}"
        if asm.assemble(f"mov x0, #{case}").code != (0xD2800000 | case << 5).to_bytes(4, "little"):
            yield f"case {case}: the next text is assembled wrongly"


def headers(cases: int, seed: int) -> Wrong:
    """Headers with faults in them, and headers that would grow without end."""
    rng = random.Random(seed)
    for case in range(cases):
        bomb = case % 10 == 9
        sound = rng.choice([DEFINES, ENUM])
        files = dict(sound)
        name = rng.choice(list(files))
        files[name] = rng.choice(HEADER_BOMBS) if bomb else mutated(rng, files[name])
        if said := refused(lambda files=files: read_header(files)):
            yield f"case {case}: {said}"


def steppers(cases: int, seed: int) -> Wrong:
    """Steppers that get the messages of no front end of ours, and are freed after close()."""
    rng = random.Random(seed)
    values = [None, -1, 1 << 70, "", "x" * 999, [], {}, 0.5, True, "0x100", "run", "header"]
    kinds = ["chunk", "data", "origin", "run", "edit", "nothing", None, 7]
    with Machine("numbered", seed=1) as machine:
        call = machine.call(MDCR)
        for case in range(cases):
            s: Stepper = stepper(machine if case % 2 else call)
            for _ in range(4):
                keys = ["of", "text", "args", "beside", "step", "what", "side", "generation", "id"]
                message: object = {key: rng.choice(values) for key in rng.sample(keys, 4)}
                message["type"] = rng.choice(kinds)  # type: ignore[index]
                message = rng.choice([message, message, message, rng.choice(values)])
                if said := refused(lambda s=s, message=message: s._heard(s, message, [])):
                    yield f"case {case}: {said} for {message!r}"
            left = weakref.ref(s)
            s.close()
            del s
            gc.collect()
            if left() is not None:
                yield f"case {case}: a closed stepper is kept"
            if machine.call(MDCR).x0 != 6:
                yield f"case {case}: the machine answers wrongly after it"
                machine.reboot()


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
    "assembler": (assembler, 0.15),
    "headers": (headers, 0.04),
    "steppers": (steppers, 0.04),
}
