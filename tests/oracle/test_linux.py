"""Real kernels: QEMU makes the same calls from the same state, and every row is equal.

Nothing that is compared differs but what tests/oracle/rows.py lists. What this machine has not, and
QEMU's board has: interrupts (all are masked while a call runs), a GIC beyond EL2's registers, a
second processor, time. None of the calls made here asks for one of them.
"""

from __future__ import annotations

import pytest

from hypkit import linux as real
from hypkit.a64.pagetables import walk
from hypkit.linux import archive, board, capture, snapshot
from hypkit.linux.linux_machine import FRAME, LinuxMachine
from hypkit.linux.recorded import measure, plan, recorded
from hypkit.machine.errors import MachineError
from tests.judges import judge, judged, required
from tests.oracle.linux import image_of, normalized, ours, rows

# What CI boots; on a computer where nobody asked for it, nothing is downloaded.
IN_CI = (("6.1", False), ("7.2", False), ("6.1", True))
BOOTS = [
    *((kernel, False) for kernel in real.KERNELS),
    *((kernel, True) for kernel in real.KERNELS if kernel != "5.10"),
]


@pytest.fixture(scope="module", params=BOOTS, ids=lambda boot: boot[0] + "-protected" * boot[1])
def boot(request):
    """(the board, stopped; the snapshot that was taken of it) for each kernel."""
    kernel, protected = request.param
    judge("linux")
    wanted = "linux" in required() and (kernel, protected) in IN_CI
    try:
        image, source, version = image_of(kernel, download=wanted)
    except MachineError as error:
        if wanted:
            pytest.fail(f"JUDGE MISSING: {error}", pytrace=False)
        pytest.skip(f"{error}")
    with archive.image(image) as (file, digest), board.booted(file, protected=protected) as running:
        taken = snapshot.take(running, source, version, digest, protected=protected)
        yield running, capture.numbers.with_numbers(taken)


def test_every_row_of_every_call_equals_qemus(boot):
    running, kernel = boot
    stack = walk(
        kernel.load64, kernel.sysregs["TTBR1_EL1"], kernel.registers["sp"] - FRAME, regime="EL1"
    ).pa
    served = set(kernel.ids) - set(kernel.refused)
    compared = 0
    with LinuxMachine(kernel) as machine:
        for key, (what, x0, args) in plan(kernel.ids).items():
            mine = ours(machine, x0, args)
            theirs = list(rows(running, kernel, stack, x0, args))
            wrong = [
                number
                for number, (a, b) in enumerate(zip(mine, theirs, strict=False))
                if normalized(a) != normalized(b)
            ]
            judged(f"rows of Linux {kernel.kernel} compared with QEMU", len(mine))
            judged(f"rows of Linux {kernel.kernel} that differed from QEMU's", len(wrong))
            assert not wrong, f"{key}, row {wrong[0]}: {mine[wrong[0]]} {theirs[wrong[0]]}"
            assert len(mine) == len(theirs), key
            assert len(mine) > (80 if what in served else 25), key  # there and back takes that
            compared += len(mine)
        assert machine.stopped.startswith("EL2 panicked at ")  # the plan ends with that
    assert compared > 1000


def test_a_wrong_row_would_be_found(boot):
    running, kernel = boot
    with LinuxMachine(kernel) as machine:
        mine = ours(machine, 0, ())
    spoilt = [(pc, x0 ^ 1, *rest) for pc, x0, *rest in mine]
    assert [normalized(a) == normalized(b) for a, b in zip(mine, spoilt, strict=True)] == [
        False
    ] * len(mine)


def test_what_is_recorded_is_what_a_fresh_run_counts(boot):
    _, kernel = boot
    facts = recorded()[kernel.kernel.removesuffix(snapshot.PROTECTED)]
    if kernel.digest != facts.digest:
        pytest.skip(
            f"data/linux.toml was recorded from {facts.version}, and the archive has "
            f"{kernel.version}: `python -m tests.oracle.record_linux` records it anew"
        )
    if kernel.protected:
        assert kernel.refused == facts.refused_protected
        assert dict(kernel.ids) == facts.ids
        return
    with LinuxMachine(kernel) as machine:
        fresh = measure(machine)
    for name in ("release", "version", "ids", "refused", "slots", "range_test", "null_test"):
        assert getattr(fresh, name) == getattr(facts, name), name
    assert list(fresh.runs) == list(facts.runs)
    for key, run in facts.runs.items():
        assert fresh.runs[key] == run, key
