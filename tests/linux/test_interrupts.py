"""A real kernel's machine: threads take turns, and an interrupt leaves it whole or marked."""

import hashlib
import signal
import sys
import threading

import pytest

from hypkit import linux
from hypkit.linux.snapshot import PROTECTED
from hypkit.machine.errors import MachineError
from tests.kernels import CACHED
from tests.machine.inject import SIGNAL, Injector

CNTVOFF = "__kvm_timer_set_cntvoff"
SAMPLE = 6  # lines of each operation


@pytest.fixture(scope="module")
def machine():
    if not CACHED:
        pytest.skip("no snapshot of a kernel: `make linux` makes one")
    with linux.machine(CACHED[0].removesuffix(PROTECTED)) as made:
        yield made


def shown(machine):
    call = machine.call(CNTVOFF, 7)
    data = call.trace.pcs.tobytes() + call.trace.values.tobytes()
    return call.outcome, hashlib.sha256(data).hexdigest()


OPERATIONS = {
    "call": lambda m: m.call(CNTVOFF, 5),
    "reboot": lambda m: m.reboot(),
    "poke": lambda m: m.poke(m.image.layout.linear_va(m.kernel.tables[0]) + 8, bytes(8)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_interrupt_leaves_the_machine_whole_or_says_so_and_reboot_mends_it(machine, name):
    operation = OPERATIONS[name]
    machine.reboot()
    right = shown(machine)
    counting = Injector(0, KeyboardInterrupt)
    sys.settrace(counting)
    try:
        operation(machine)
    finally:
        sys.settrace(None)
    assert counting.lines > 10
    for number in sorted({1 + counting.lines * n // SAMPLE for n in range(SAMPLE)}):
        machine.reboot()
        injector = Injector(number, KeyboardInterrupt)
        before = signal.signal(SIGNAL, injector.handler)
        sys.settrace(injector)
        try:
            operation(machine)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
            signal.signal(SIGNAL, before)
        if machine.stopped:
            assert "interrupted" in machine.stopped or "half there" in machine.stopped
            with pytest.raises(MachineError, match=r"has stopped: .*reboot\(\) starts it anew"):
                machine.call(CNTVOFF)
        else:
            assert machine.call(CNTVOFF).outcome == "returned", injector.where
        machine.reboot()
        assert shown(machine) == right, injector.where


def test_threads_take_turns_on_one_kernel(machine):
    machine.reboot()
    found = []

    def work():
        found.extend(machine.call(CNTVOFF, n).outcome for n in range(5))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["returned"] * 15
