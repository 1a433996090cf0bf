"""The machine against QEMU and against a hook in Python: calls, traced rows, start, boot.

All times are processor seconds.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from unicorn import unicorn_const as uc_const

from hypkit import Machine
from hypkit.emu import SLICE
from hypkit.machine.hooks.state import TRACE_IDS
from hypkit.machine.mailbox import mailbox
from tests.bench.figures import Figure
from tests.judges import find
from tests.oracle import qemu

CALL = "__kvm_timer_set_cntvoff"


def cpu_seconds() -> float:
    """Processor time of this process and its ended children: a busy machine changes it little."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def best(work: Callable[[], object], times: int = 5) -> float:
    """The least processor seconds that *work* took: what disturbs a run only makes it longer."""
    taken = []
    for _ in range(times):
        started = cpu_seconds()
        work()
        taken.append(cpu_seconds() - started)
    return min(taken)


def run() -> Iterator[Figure]:
    with Machine("numbered", seed=3) as machine, tempfile.TemporaryDirectory() as folder:
        yield from _calls(machine, Path(folder))
        yield from _rows(machine, Path(folder))
    yield from _start()


def _requests(machine: Machine, n: int) -> np.ndarray:
    requests = np.zeros((n, 8), dtype=np.uint64)
    requests[:, 0] = machine.x0_of(CALL)
    return requests


def _post(machine: Machine, requests: np.ndarray) -> None:
    """Put requests before the host."""
    for pa, data in mailbox(machine.image, requests, power_off=False).items():
        machine._cpu.ram.store(pa, data)


def _in_qemu(machine: Machine, n: int, folder: Path, *options: str, times: int = 5) -> float:
    """Seconds for n requests in QEMU, start and switching off taken away."""

    def seconds(requests: np.ndarray) -> float:
        command = [*qemu.command(machine.image, requests, folder), *options]
        return best(
            lambda: subprocess.run(
                command, check=True, stdin=subprocess.DEVNULL, capture_output=True
            ),
            times,
        )

    return seconds(_requests(machine, n)) - seconds(_requests(machine, 1))


def _calls(machine: Machine, folder: Path) -> Iterator[Figure]:
    ids = np.full(SLICE, machine.x0_of(CALL))
    machine.run(ids)  # the first call of anything pays for its import and compilation
    ours = SLICE / best(lambda: machine.run(ids), 9)
    yield Figure("hypercalls a second", ours, "/s")
    if find("qemu"):
        theirs = SLICE / _in_qemu(machine, SLICE, folder)
        yield Figure("hypercalls a second in QEMU, same image", theirs, "/s")
        yield Figure("ratio to QEMU", ours / theirs, "x", ("at least", 1.0))
    each = {}
    for n in (1_000, 10_000, 100_000, 1_000_000):
        many = np.full(n, ids[0])
        each[n] = best(lambda many=many: machine.run(many), 3) / n * 1e6
        yield Figure(f"microseconds a call, {n:,} calls", each[n], "us")
    yield Figure(
        "growth a call from 100,000 to 1,000,000",
        each[1_000_000] / each[100_000],
        "x",
        ("at most", 1.5),
    )


def _rows(machine: Machine, folder: Path) -> Iterator[Figure]:
    requests = _requests(machine, 4_000)
    trace = machine.reboot(requests)
    rows = len(trace)

    def traced() -> None:
        _post(machine, requests)
        machine._cpu.write("pc", machine.image.host_pc("host_next"))
        machine._cpu.run(10_000_000)

    ours = rows / best(traced)
    yield Figure("traced rows a second, all registers", ours, "/s")
    yield Figure(
        "bytes a stored row",
        (trace.pcs.nbytes + trace.masks.nbytes + trace.values.nbytes) / rows,
        "B",
        ("at most", 32),
    )
    if find("qemu"):
        few = 1_000
        seconds = _in_qemu(machine, few, folder, *qemu.LOG, "-D", str(folder / "log"), times=3)
        each = (rows - len(machine.reboot(_requests(machine, 1)))) / (len(requests) - 1)
        theirs = each * (few - 1) / seconds
        yield Figure("rows a second in QEMU's log", theirs, "/s")
        yield Figure("ratio to QEMU's log", ours / theirs, "x", ("at least", 40))
    slow = _python_hook(machine)
    yield Figure("rows a second with a Python hook and reg_read_batch", slow, "/s")
    yield Figure("ratio to the Python hook", ours / slow, "x", ("at least", 300))


def _python_hook(machine: Machine) -> float:
    """Rows a second when each instruction calls Python, which reads 33 registers."""
    uc, ids, rows = machine._cpu._uc, TRACE_IDS.tolist(), []

    def hook(engine, address, size, user) -> None:
        rows.append((address, engine.reg_read_batch(ids)))

    machine.reboot()
    _post(machine, _requests(machine, 300))
    machine._cpu.run_free(1)  # the compiled trace hook makes way
    handle = uc.hook_add(uc_const.UC_HOOK_CODE, hook)
    uc.ctl_flush_tb()
    machine._cpu.write("pc", machine.image.host_pc("host_next"))
    seconds = best(lambda: machine._cpu.run_free(10_000_000), 1)
    uc.hook_del(handle)
    uc.ctl_flush_tb()
    return len(rows) / seconds


FIRST_CALL = "from hypkit import Machine; Machine().call('__kvm_get_mdcr_el2').x0"


def _start() -> Iterator[Figure]:
    def python(code: str) -> float:
        return best(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    nothing = python("pass")
    yield Figure(
        "import hypkit and make the first call", python(FIRST_CALL) - nothing, "s", ("at most", 1.0)
    )
    yield Figure("import numba alone", python("import numba") - nothing, "s")

    def boot() -> None:
        Machine("numbered", seed=1).close()

    boot()
    started = cpu_seconds()
    for _ in range(20):
        boot()
    yield Figure("boot a machine", (cpu_seconds() - started) / 20 * 1e3, "ms", ("at most", 20))
    with Machine("numbered", seed=1) as machine:
        machine.call(CALL)
        seconds = best(lambda: [machine.call(CALL) for _ in range(200)])
    yield Figure("one call, recorded step by step", seconds / 200 * 1e6, "us")
