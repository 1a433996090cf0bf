"""Threads: a machine each, and one machine for several; and what interrupts its own call."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hypkit import Machine, MachineError
from hypkit.machine.turn import Turn
from tests.marks import SLOWER, on_a_real_processor

MDCR, CNTVOFF = "__kvm_get_mdcr_el2", "__kvm_timer_set_cntvoff"
LOOP = "dispatch:\n divert_stub_calls\n1: b 1b\n eret\n dsb nsh\n isb\n"
FIRST_MACHINES = """
from concurrent.futures import ThreadPoolExecutor
from hypkit import VARIANTS, Machine
def answer(key):
    with Machine(key) as machine:
        return machine.call("__kvm_timer_set_cntvoff", 7).outcome
keys = list(VARIANTS)
with ThreadPoolExecutor(len(keys)) as pool:
    assert list(pool.map(answer, keys)) == ["returned"] * len(keys)
print("well")
"""


@pytest.mark.parametrize("kept", [True, False], ids=["code kept", "code to be compiled"])
def test_the_first_machines_of_a_process_may_be_made_in_many_threads(kept, tmp_path):
    code = FIRST_MACHINES
    if not kept:  # as if nothing could be kept anywhere
        code = (
            "from hypkit.machine.hooks import native\nnative._folders = lambda: iter(())\n" + code
        )
    for _ in range(4 if kept else 1):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120 * SLOWER
        )
        assert done.stdout == "well\n", (done.returncode, done.stderr)


def together(*works, seconds=1.5):
    """Do each again and again in a thread of its own: what they raised."""
    end, raised = time.monotonic() + seconds, []

    def loop(work):
        try:
            while time.monotonic() < end:
                work()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=loop, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return raised


def answers(m):
    assert m.call(CNTVOFF, 0x123).x0 == 0x123


def bulk(m):
    assert (m.run([0x101] * 2000) == 6).all()


MIXES = {
    "call, call": (answers, answers),
    "run, call": (bulk, answers),
    "run, restore": (bulk, lambda m: m.restore(m.snapshot())),
    "call, reboot": (answers, lambda m: m.reboot()),
    "run, reboot": (bulk, lambda m: m.reboot()),
    "call, looks": (
        answers,
        lambda m: (m.reg("x0"), m.sysreg("HCR_EL2"), m.read(m.address("kvm0", "hyp"), 8)),
    ),
    "run, poke": (bulk, lambda m: m.poke(m.address("kvm0", "linear") + 64, bytes(8))),
    "six": (bulk, answers, answers, bulk, lambda m: m.snapshot(), lambda m: m.reboot()),
}


@pytest.mark.parametrize("name", MIXES)
def test_threads_take_turns_on_one_machine(name):
    with Machine("numbered", seed=4) as machine:
        works = [lambda work=work: work(machine) for work in MIXES[name]]
        assert together(*works, seconds=0.7) == []
        assert machine.call(MDCR).x0 == 6


@pytest.mark.parametrize("work", [lambda m: m.hvc(0x100), lambda m: m.run([0x100])])
def test_closing_waits_for_the_call_that_runs(work):
    for _ in range(3):
        machine = Machine("numbered", dispatcher=LOOP, budget=500_000)
        raised = []

        def call(machine=machine, raised=raised):
            try:
                work(machine)
            except MachineError as error:
                raised.append(str(error))

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.02)
        machine.close()
        thread.join(30)
        assert not thread.is_alive()
        assert all("instructions were not enough" in text or "closed" in text for text in raised)


def test_what_interrupts_a_call_of_a_machine_cannot_use_it_as_well(monkeypatch):
    """A signal handler, for instance: here the progress of a bulk run."""
    with Machine("numbered", seed=4) as machine:
        told = []

        def handler(*arguments):
            with pytest.raises(MachineError, match="in the middle of something: what interrupts"):
                machine.call(MDCR)
            told.append(True)

        run = machine._cpu.run
        monkeypatch.setattr(machine._cpu, "run", lambda *given: (handler(), run(*given))[1])
        assert machine.call(CNTVOFF, 5).x0 == 5 and told == [True]


def test_a_turn_that_an_interrupt_never_gave_back_is_free_again():
    turn = Turn("busy")

    def dies():
        turn.__enter__()  # and no __exit__
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:
        dies()
    with turn:
        with pytest.raises(MachineError, match="busy"), turn:
            pass
    thread = threading.Thread(target=lambda: pytest.raises(KeyboardInterrupt, dies))
    thread.start()
    thread.join()
    with turn:
        pass
    assert kept


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_does_not_wait_for_a_thread_that_it_has_not():
    turn, go, stop = Turn("busy"), threading.Event(), threading.Event()

    def hold():
        with turn:
            go.set()
            stop.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    go.wait()
    child = os.fork()
    if child == 0:
        with turn:
            os._exit(7)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        stop.set()
        thread.join()


@on_a_real_processor
def test_a_dropped_machine_gives_its_memory_back_at_once():
    """Without close() and without the garbage collector."""
    code = """
import gc, re
gc.disable()
from hypkit import Machine
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
def use(seed):
    m = Machine("numbered", seed=seed)
    m.call("__kvm_vcpu_run_nvhe", "vcpu0"), m.run([0x101] * 10), m.snapshot(), m.reboot()
    m.hvc(5 << 40)
for seed in range(5):
    use(seed)
before = resident()
for seed in range(60):
    use(seed)
print(resident() - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30  # one takes more than 7


def test_bulk_answers_are_right_while_others_make_machines():
    with Machine("numbered", seed=4) as machine:
        ids = np.full(5000, machine.x0_of(CNTVOFF))

        def run():
            assert (machine.run(ids, np.arange(5000)[:, None]) == np.arange(5000)).all()

        assert together(run, lambda: Machine("fnptr", seed=1).close(), seconds=1) == []
