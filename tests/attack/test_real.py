"""A hostile host of real kernels: sound for x0, a planted hole is found, and what a protected EL2
keeps from it. On snapshots that are in the cache."""

import functools

import numpy as np
import pytest

from hypkit import attack, linux
from hypkit.attack import Outcome, real
from hypkit.attack.fuzz import Target
from hypkit.attack.matrix import SEED, record
from hypkit.attack.outcomes import Classifier
from hypkit.attack.recorded import CALLS, recorded, state_of
from hypkit.attack.watch import Watch
from hypkit.kernel.variants import SMCCC_BASE
from hypkit.linux.snapshot import PROTECTED
from hypkit.machine.hooks.watch_state import F, R
from tests.kernels import CACHED

# An abort with a VM's stage 2 loaded leaves the host unable to execute its panic: a runaway.
GIVES_UP = ("panicked", "runaway")


@pytest.fixture(params=CACHED or [None])
def machine(request):
    if request.param is None:
        pytest.skip("no snapshot of a kernel: `make linux` makes one")
    version = request.param.removesuffix(PROTECTED)
    with linux.machine(version, protected=request.param != version) as made:
        yield made


def test_a_real_kernel_keeps_to_its_functions_whatever_x0_is(machine):
    report = attack.fuzz(machine, 3_000, seed=2020, progress=False)
    assert report.silent, report.findings
    assert report.counts[Outcome.HANDLED] > 400 and report.counts[Outcome.REFUSED] > 1_000
    assert not report.leaked  # the SMC calling convention gives all but the results back
    assert not {Outcome.CLOBBERED, Outcome.MID_FUNCTION, Outcome.FOREIGN_CODE} & set(report.counts)
    for finding in report.arguments[:2]:
        call = finding.call()
        if finding.verdict.outcome is Outcome.PANIC:
            assert call.outcome in GIVES_UP


def test_bulk_classes_are_what_recorded_calls_of_the_kernel_show(machine):
    ground = real.linux_ground(machine)
    classifier, hostile = Classifier(ground), real.LinuxHostile(machine)
    random = np.random.default_rng(7)
    x0 = hostile.x0(random, 90)
    arguments = hostile.arguments(random, 90)
    with (
        linux.machine(
            machine.kernel.kernel.removesuffix(PROTECTED), protected=machine.kernel.protected
        ) as plain,
        Watch(ground) as watch,
    ):
        for request in np.column_stack([x0[x0 > 4], arguments[x0 > 4]]):
            (record,) = watch.run(request[None])
            plain.reboot()
            call = plain.hvc(*map(int, request))
            flags = F(int(record[R.FLAGS]))
            assert bool(flags & F.RETURNED) == (call.outcome == "returned"), request
            assert bool(flags & (F.ABORT | F.PANICKED)) == (call.outcome in GIVES_UP), request
            if call.outcome == "returned":
                assert tuple(map(int, record[R.X0 : R.X0 + 4])) == (
                    call.x0, call.x1, call.x2, call.x3)  # fmt: skip
            asked = classifier.expected(int(request[0]))
            reached = asked is not None and asked in call.trace.pcs.tolist()
            assert (int(record[R.TARGET]) == asked) == reached, request


def test_a_soft_restart_is_told_in_bulk_and_a_protected_kernel_makes_none(machine):
    _, place = real.pages_of_the_host(machine, executable=False, size=0x1000)
    request = np.array([[1, place, 0, 0, 0, 0, 0]], dtype=np.uint64)
    ground = real.linux_ground(machine)
    with Watch(ground) as watch:
        (record,) = watch.run(request)
    verdict = Classifier(ground).verdict(request[0], record, None)
    assert (verdict.outcome is Outcome.RESTARTED) == (not machine.kernel.protected), verdict
    assert verdict.sound


def test_a_slot_that_is_an_instruction_off_is_found_in_a_real_table(machine):
    if machine.image.table is None:
        pytest.skip("this kernel has a switch")
    if machine.kernel.protected:
        pytest.skip("its table is out of the host's reach")
    place = machine.image.layout.linear_va(machine.image.table + 8 * 1)
    number = next(x0 for x0 in machine.calls.values() if x0 >= SMCCC_BASE + 1)
    place += 8 * (number - SMCCC_BASE - 1)
    value = int.from_bytes(machine.read(place, 8, el=1), "little") + 4
    writes = ((place, value.to_bytes(8, "little"), "a slot + 4"),)
    target = Target(machine.image.key, 1, kernel=machine.kernel, writes=writes)
    report = attack.fuzz(target, 1_000, arguments=False, progress=False)
    (finding,) = (f for f in report.findings if f.verdict.outcome is Outcome.MID_FUNCTION)
    assert finding.request[0] & ~real.HINT == number
    assert finding.verdict.detail.endswith("+0x4")


@functools.cache
def cells_of(name):
    return attack.matrix([name], calls=CALLS, seed=SEED, progress=False)


def test_what_is_recorded_is_what_a_fresh_attack_finds(machine):
    kernel = machine.kernel
    row = recorded()[kernel.kernel]
    if kernel.digest != row.digest:
        pytest.skip(f"recorded from {row.version}: `python -m tests.attack.record_real`")
    now = record(cells_of(f"linux-{kernel.kernel}"), kernel, seed=SEED, calls=CALLS)
    if state_of(kernel) == row.state:
        assert now == row
    for power, cell in row.cells.items():  # another boot has other addresses, and the same classes
        found = now.cells[power]
        assert (found.outcome, found.why) == (cell.outcome, cell.why), power


def test_the_matrix_of_a_kernel_says_what_protection_takes_from_its_host(machine):
    name = f"linux-{machine.kernel.kernel}"
    cells = cells_of(name)
    assert cells[name, "x0"].outcome is Outcome.REFUSED
    assert cells[name, "registers"].outcome is Outcome.HANDLED
    kept = machine.kernel.protected
    worst = {"page tables": Outcome.FOREIGN_CODE, "stub": Outcome.RESTARTED}
    for power, outcome in worst.items():
        cell = cells[name, power]
        harmless = cell.outcome in (None, Outcome.REFUSED)
        assert harmless if kept else cell.outcome is outcome
    assert (cells[name, "page tables"].words == "kept by stage 2") == kept
    if machine.image.table is not None:
        table = cells[name, "table"]
        assert table.words == ("kept by stage 2" if kept else "entered mid-function")
        if not kept:
            assert "Stepper(linux-" in repr(cells.finding(name, "mid-function").stepper())


def test_a_protected_kernel_refuses_what_its_stage_2_keeps(machine):
    if not machine.kernel.protected:
        pytest.skip("its host may write all of memory")
    code = machine.address("handle_trap", "linear")
    with pytest.raises(linux.linux_machine.MachineError, match="its stage 2 keeps it from EL1"):
        machine.poke(code, bytes(4))
    with pytest.raises(linux.linux_machine.MachineError, match="EL1 cannot read"):
        machine.read(code, 4, el=1)


def test_a_real_kernel_takes_no_dispatcher_of_a_learners(machine):
    with pytest.raises(ValueError, match="a real kernel has a dispatcher and numbers of its own"):
        attack.fuzz(machine, 10, dispatcher="x")
