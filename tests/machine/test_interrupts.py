"""Interrupts at a sample of lines (all of them: python -m tests.machine.inject)."""

import gc
import os
import signal
import threading

import pytest

from hypkit import Machine, MachineError
from tests.machine.inject import EXCEPTIONS, OPERATIONS, PAIRS, Injector, Subject

SAMPLE = 12  # lines of each operation


@pytest.mark.parametrize("name", [*OPERATIONS, *PAIRS])
def test_an_interrupt_leaves_the_state_before_or_says_so_and_reboot_mends_it(name):
    subject = Subject(name)
    lines = subject.lines()
    assert lines > 10
    numbers = sorted({1 + lines * n // SAMPLE for n in range(SAMPLE)} | {lines - 1, lines})
    found = [
        wrong
        for place, number in enumerate(numbers)
        if (wrong := subject.inject(number, EXCEPTIONS[place % len(EXCEPTIONS)]))
    ]
    assert found == []


# Lines between which a machine was once spoilt for good, unseen.
@pytest.mark.parametrize("function", ["_observe", "forget_code", "forget_memory", "_add_hook"])
@pytest.mark.parametrize("name", ["run after call", "call after run", "poke data", "reboot"])
def test_no_line_of_what_once_spoilt_a_machine_does_so(name, function, monkeypatch):
    subject = Subject(name)
    numbers = []

    class Spy(Injector):
        def __call__(self, frame, event, argument):
            found = super().__call__(frame, event, argument)
            if event == "line" and frame.f_code.co_name == function:
                numbers.append(self.lines)
            return found

    monkeypatch.setattr("tests.machine.inject.Injector", Spy)
    subject.lines()
    monkeypatch.undo()
    found = [wrong for n in numbers[:20] if (wrong := subject.inject(n, KeyboardInterrupt))]
    assert found == []


@pytest.mark.parametrize("name", ["run", "hvc", "request", "reboot with requests"])
def test_what_reads_arguments_does_not_take_an_alarm_for_a_wrong_argument(name, monkeypatch):
    subject = Subject(name)
    numbers = []

    class Spy(Injector):
        def __call__(self, frame, event, argument):
            found = super().__call__(frame, event, argument)
            if event == "line" and frame.f_code.co_filename.endswith(("mailbox.py", "errors.py")):
                numbers.append(self.lines)
            return found

    monkeypatch.setattr("tests.machine.inject.Injector", Spy)
    subject.lines()
    monkeypatch.undo()
    assert len(numbers) > 20 or name == "hvc" and len(numbers) > 5
    found = [wrong for n in numbers[:60] if (wrong := subject.inject(n, TimeoutError))]
    assert found == []


def test_a_real_signal_at_any_time_leaves_a_machine_that_reboot_mends():
    with Machine("numbered", seed=2) as m:
        boot = m.boot_trace.pcs.tolist()
        for number in range(40):
            timer = threading.Timer(0.0003 * (number % 20), os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                while True:
                    m.run([0x101] * 3)
                    m.hvc(0x101)
            except KeyboardInterrupt:
                pass
            except MachineError as error:
                assert "interrupted" in str(error)
                with pytest.raises(KeyboardInterrupt):
                    threading.Event().wait(5)
            timer.join()
            assert m.stopped is None or "interrupted" in m.stopped
            if m.stopped:
                with pytest.raises(MachineError, match=r"reboot\(\) starts it anew"):
                    m.hvc(0x101)
            assert m.reboot().pcs.tolist() == boot and m.hvc(0x101).x0 == 6


@pytest.mark.parametrize("kind", [TimeoutError, MemoryError, RuntimeError, SystemExit])
def test_whatever_ends_a_call_it_is_told(kind, monkeypatch):
    with Machine("numbered", seed=2) as m:
        monkeypatch.setattr(m, "_state_after", lambda reason: (_ for _ in ()).throw(kind("x")))
        with pytest.raises(kind):
            m.hvc(0x101)
        monkeypatch.undo()
        with pytest.raises(MachineError, match="it was interrupted at host_idle .EL1.. reboot"):
            m.run([0x101])
        with pytest.raises(MachineError, match="interrupted"):
            m.snapshot()
        m.reboot()
        assert m.hvc(0x101).x0 == 6


def test_a_snapshot_taken_before_an_interrupt_mends_the_machine_as_well(monkeypatch):
    with Machine("numbered", seed=2) as m:
        m.call("__kvm_timer_set_cntvoff", 77)
        kept = m.snapshot()
        monkeypatch.setattr(m, "_trace", lambda *_: (_ for _ in ()).throw(TimeoutError()))
        with pytest.raises(TimeoutError):
            m.call("__kvm_timer_set_cntvoff", 78)
        monkeypatch.undo()
        m.restore(kept)
        assert m.sysreg("CNTVOFF_EL2") == 77 and m.hvc(0x101).x0 == 6
    del m, kept
    gc.collect()
