"""Real kernels: QEMU makes the same calls from the same state, and every row is equal.

Nothing that is compared differs but what tests/oracle/rows.py lists. What this machine has not, and
QEMU's board has: interrupts (all are masked while a call runs), a GIC beyond EL2's registers, a
second processor, time. None of the calls made here asks for one of them.
"""

from __future__ import annotations

import pytest

from hypkit.linux import snapshot
from hypkit.linux.linux_machine import LinuxMachine
from hypkit.linux.recorded import measure, recorded
from hypkit.machine.errors import MachineError
from tests.judges import judge, judged, required
from tests.kernels import FEW, tried
from tests.oracle.linux import BOOTS, Compared, booted, compared, image_of, name_of, ours


@pytest.fixture(
    scope="module", params=[boot for boot in BOOTS if tried(name_of(boot))], ids=name_of
)
def boot(request):
    """(the board, stopped; the snapshot that was taken of it) for each kernel."""
    kernel, protected = request.param
    judge("linux")
    # On a computer where nobody asked for it, nothing is downloaded.
    wanted = "linux" in required() and name_of(request.param) in FEW
    try:
        image, source, version = image_of(kernel, download=wanted)
    except MachineError as error:
        if wanted:
            pytest.fail(f"JUDGE MISSING: {error}", pytrace=False)
        pytest.skip(f"{error}")
    with booted(image, source, version, protected) as made:
        yield made


def test_every_row_of_every_call_equals_qemus(boot):
    running, kernel = boot
    served = set(kernel.ids) - set(kernel.refused)
    total = 0
    with LinuxMachine(kernel) as machine:
        for call in compared(running, machine):
            mine, theirs, wrong = call.mine, call.theirs, call.wrong
            judged(f"rows of Linux {kernel.kernel} compared with QEMU", len(mine))
            judged(f"rows of Linux {kernel.kernel} that differed from QEMU's", len(wrong))
            assert len(mine) == len(theirs), call.key
            assert not wrong, f"{call.key}, row {wrong[0]}: {mine[wrong[0]]} {theirs[wrong[0]]}"
            assert len(mine) > (80 if call.what in served else 25), call.key  # there and back
            total += len(mine)
        assert machine.stopped.startswith("EL2 panicked at ")  # the plan ends with that
    assert total > 1000


def test_a_wrong_row_would_be_found(boot):
    running, kernel = boot
    with LinuxMachine(kernel) as machine:
        mine = ours(machine, 0, ())
    spoilt = [(pc, x0 ^ 1, *rest) for pc, x0, *rest in mine]
    assert Compared("", "", mine, mine).wrong == []
    assert Compared("", "", mine, spoilt).wrong == list(range(len(mine)))
    assert Compared("", "", mine, mine[:-2]).wrong == [len(mine) - 2, len(mine) - 1]
    assert Compared("", "", mine[:-1], mine).wrong == [len(mine) - 1]


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
