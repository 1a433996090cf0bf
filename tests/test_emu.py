"""The machine: its public face, its bounds, what it says when used wrongly, and that it is tidy."""

import gc
import itertools
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hypkit import AsmError, Machine, MachineError, assemble
from hypkit.a64.pagetables import AP_RO
from hypkit.emu import SLICE
from hypkit.kernel.addresses import PAGE_OFFSET
from hypkit.kernel.memory_map import HEAP, REQUESTS_PA, VM_IPA
from hypkit.kernel.variants import HYPERCALLS
from hypkit.machine.life import MAX_BUDGET
from tests.marks import SLOWER, on_a_real_processor
from tests.scenarios import SCENARIOS

MDCR, CNTVOFF = "__kvm_get_mdcr_el2", "__kvm_timer_set_cntvoff"


@pytest.fixture(scope="module")
def shared():
    with Machine("numbered", seed=9) as machine:
        yield machine


@pytest.fixture
def m(shared):
    shared.reboot()
    return shared


def dispatcher(body):
    """A dispatcher that leaves the stub calls alone and does *body* for everything else."""
    return f"dispatch:\n divert_stub_calls\n{body}\n eret\n dsb nsh\n isb\n"


# --- Booting and calling -------------------------------------------------------------------------


def test_the_machine_boots_by_its_own_code_from_reset_at_el2(m):
    boot = m.boot_trace
    assert (boot[0].el, boot[0].pc) == (2, m.image.entry)
    labels = [
        boot.find(name)
        for name in ("_text", "primary_entry", "primary_switched", "stub_sync", "do_hyp_init")
    ]
    assert None not in labels and labels == sorted(labels)
    assert m.sysreg("VBAR_EL2") == m.address("__kvm_hyp_vector", "hyp")
    assert m.sysreg("SCTLR_EL2") & 1 and m.sysreg("SCTLR_EL1") & 1


def test_the_same_seed_gives_the_same_machine_and_another_seed_another():
    with (
        Machine("fnptr", seed=5) as a,
        Machine("fnptr", seed=5) as b,
        Machine("fnptr", seed=6) as c,
    ):
        assert a.boot_trace.pcs.tolist() == b.boot_trace.pcs.tolist()
        assert a.image.memory == b.image.memory
        assert a.layout != c.layout
        assert a.call(MDCR).x0 == c.call(MDCR).x0


def test_a_call_by_name_goes_through_the_hosts_own_code_and_hvc_does_not(m):
    assert m.call(MDCR).trace.find(f"host_call_{MDCR}") is not None
    assert m.hvc(0x101).trace.find(f"host_call_{MDCR}") is None
    assert m.call(0x101).x0 == m.hvc(0x101).x0 == m.call(MDCR).x0


def test_a_calls_trace_begins_at_the_hosts_branch_and_ends_when_it_has_the_result(m):
    call = m.call(CNTVOFF, 1)
    assert call.trace[0].symbol == "host_call"
    assert call.trace[-1].text == "ret"
    assert m.image.symbolize(int(call.trace.pcs[-1])) == "host_called"
    assert 0 < len(call.trace) < len(call.whole_trace)


def test_a_trace_begins_with_the_system_registers_as_they_are(m):
    m.call(CNTVOFF, 0x1234)
    before = m.call(MDCR).whole_trace.sysregs
    assert before == {name: m.sysreg(name) for name in before}
    assert before["CNTVOFF_EL2"] == 0x1234 and before["HCR_EL2"] == 1 << 31


def test_arguments_may_be_negative_names_of_structures_or_numpy_numbers(m):
    assert m.hvc(0x101, -1).args == ((1 << 64) - 1,)
    assert m.call("__kvm_tlb_flush_vmid", "kvm0").args == (m.address("kvm0", "linear"),)
    assert m.call(CNTVOFF, np.uint64(7)).x0 == 7


@pytest.mark.parametrize(
    ("use", "error", "says"),
    [
        (lambda m: m.call("__kvm_get_mdcr"), KeyError, "did you mean '__kvm_get_mdcr_el2'"),
        (lambda m: m.call("zzz"), KeyError, "there are: __kvm_enable_ssbs"),
        (lambda m: m.call(CNTVOFF, 1, 2, 3, 4, 5, 6, 7), TypeError, "at most 6 arguments; got 7"),
        (lambda m: m.hvc(), TypeError, "hvc: expected x0 and up to 6 arguments; got nothing"),
        (
            lambda m: m.hvc(1 << 64),
            ValueError,
            "expected a whole number of 64 bits; got 0x10000000000000000",
        ),
        (
            lambda m: m.hvc(1.5),
            TypeError,
            "expected a whole number or the name of a structure; got 1.5",
        ),
        (lambda m: m.hvc(None), TypeError, "expected a whole number or the name .*; got None"),
        (lambda m: m.hvc("vcpu7"), KeyError, "no symbol 'vcpu7'; did you mean 'vcpu"),
        (
            lambda m: m.address(MDCR, "moon"),
            ValueError,
            "space 'moon': there are image, linear, phys",
        ),
        (
            lambda m: m.sysreg("ICH_LR4_EL2"),
            KeyError,
            "ICH_LR4_EL2 is not there: this .* ICH_LR3_EL2",
        ),
        (
            lambda m: m.sysreg("ESR_EL9"),
            KeyError,
            "no system register 'ESR_EL9'.*nearest.*ESR_EL[12]",
        ),
        (lambda m: m.reg("x31"), KeyError, "no register 'x31': x0 to x30, lr, sp, pc, pstate"),
        (lambda m: m.reg(3), KeyError, "no register 3"),
        (lambda m: m.read(0x1234, 8), MachineError, r"EL2 cannot read 0x1234: translation fault"),
        (lambda m: m.translate(0, el=3), ValueError, "el=3, stage=1: there are EL1, EL2"),
        (
            lambda m: m.restore("yesterday"),
            ValueError,
            "only be restored from a snapshot of its own",
        ),
        (
            lambda m: m.run([[1, 2]]),
            ValueError,
            r"ids: expected a row of numbers; got an array of shape \(1,",
        ),
        (lambda m: m.run([1, 2], [[1], [2], [3]]), ValueError, r"args has shape \(3, 1\); 2 calls"),
        (
            lambda m: m.run(["a"]),
            TypeError,
            "ids: expected whole numbers of 64 bits, .*; got .'a'.",
        ),
        (
            lambda m: m.run([1 << 64]),
            TypeError,
            "ids: expected whole numbers of 64 bits.*; got .18446744073709551616.",
        ),
        (lambda m: m.x0_of("nothing"), KeyError, "no hypercall 'nothing'"),
        (lambda m: Machine("smoke"), KeyError, "no variant 'smoke'; there are: fnptr, numbered"),
        (
            lambda m: Machine("fnptr", cpu="cortex-a53"),
            ValueError,
            "cpu: expected 'cortex-a72', the only one here; got 'cortex-a53'",
        ),
        (lambda m: Machine("fnptr", seed="x"), TypeError, "seed: expected a whole number; got 'x'"),
        (
            lambda m: Machine("fnptr", budget=0),
            ValueError,
            "budget: expected a number of instructions from 1 to 50,000,000; got 0",
        ),
        (lambda m: Machine("fnptr", budget=1 << 64), ValueError, "from 1 to 50,000,000; got 1844"),
        (
            lambda m: Machine("fnptr", budget=1.5),
            TypeError,
            "budget: expected a whole number; got 1.5",
        ),
        (
            lambda m: Machine("fnptr", dispatcher=b"x"),
            TypeError,
            "dispatcher: expected an assembly text; got b'x'",
        ),
        (lambda m: m.call(1.5), KeyError, "no hypercall 1.5"),
        (lambda m: m.hvc(np.array([1])), TypeError, r"structure; got array"),
        (lambda m: m.translate("x"), TypeError, "an address: expected a whole number; got 'x'"),
        (lambda m: m.read("x", 8), TypeError, "an address: expected a whole number; got 'x'"),
        (
            lambda m: m.read(0, None),
            TypeError,
            "a size in bytes: expected a whole number; got None",
        ),
        (lambda m: m.read(0, -1), ValueError, "size: expected 0 to 16,777,216 bytes; got -1"),
        (
            lambda m: m.poke(m.address("kvm0", "linear"), 8),
            TypeError,
            "data for memory: expected bytes; got 8",
        ),
        (lambda m: m.poke(None, b"x"), TypeError, "an address: expected a whole number; got None"),
        (lambda m: m.entry_of(1.5), TypeError, "an address: expected a whole number; got 1.5"),
        (lambda m: m.run([0], [[[1]]]), ValueError, r"args has shape \(1, 1, 1\)"),
    ],
)
def test_wrong_use_is_answered_by_what_was_expected_and_what_came(m, use, error, says):
    with pytest.raises(error) as caught:
        use(m)
    assert re.search(says, str(caught.value.args[0]))


@pytest.mark.parametrize(
    ("requests", "error", "says"),
    [
        ("x", TypeError, "requests: expected whole numbers"),
        ([[1, 2]], ValueError, r"requests has shape \(1, 2\): expected rows of 8 words"),
        (np.zeros((1 << 17, 8), np.uint64), ValueError, "131072 requests; the mailbox holds 65536"),
    ],
)
def test_a_reboot_with_wrong_requests_leaves_the_machine_as_it_was(m, requests, error, says):
    with pytest.raises(error, match=says):
        m.reboot(requests)
    assert m.call(MDCR).x0 == 6


def test_numbers_of_numpy_are_numbers_everywhere():
    with Machine("numbered", seed=np.int64(9), budget=np.uint32(5000)) as machine:
        assert repr(machine) == "Machine('numbered', seed=9): ready"
        assert machine.call(np.int16(0x101)).x0 == machine.call(0x101).x0 == 6
        kvm = machine.address("kvm0", "linear")
        assert machine.read(np.uint64(kvm), np.int8(8), el=1) == machine.read(kvm, 8, el=1)
        machine.poke(np.uint64(kvm), np.arange(2, dtype="<u4"))
        assert machine.read(kvm, 8, el=1) == bytes((0, 0, 0, 0, 1, 0, 0, 0))
        assert machine.translate(np.uint64(kvm), np.int64(1)).pa == HEAP["kvm0"][0]
        assert machine.translate(np.int8(-1)).va == (1 << 64) - 1
        assert machine.run([], []).shape == machine.run([], np.zeros((0, 2), int)).shape == (0,)


def test_a_dispatcher_that_does_not_assemble_is_refused_with_its_line():
    with pytest.raises(AsmError) as caught:
        Machine("numbered", dispatcher="dispatch:\n mov x0, #1\n frobnicate x1\n")
    assert caught.value.line == 3


def test_every_repr_is_one_deterministic_line_without_an_object_address(m):
    call = m.call(CNTVOFF, 0x1234)
    shown = [
        repr(thing)
        for thing in (
            m,
            call,
            call.trace,
            call.trace[3],
            m.layout,
            m.image,
            m.snapshot(),
            m.translate(m.reg("pc"), el=1),
        )
    ]
    assert shown[1] == f"Call(numbered: {CNTVOFF}(0x1234) returned: x0 = 0x1234)"
    assert all(" object at 0x" not in text for text in shown)
    assert all("\n" not in text for text in shown[:-1])


# --- Trouble -----------------------------------------------------------------------------------


def test_a_panicked_machine_says_why_and_wants_a_reboot():
    with Machine("fnptr", seed=3) as machine:
        call = machine.hvc(machine.address("mailbox_next", "linear"))
        assert call.outcome == "panicked" and call.x0 is None
        panic = machine.panicked
        assert panic.esr == 0x8600000F and panic.far == machine.address("mailbox_next", "hyp")
        assert "permission fault, level 3" in call.message
        with pytest.raises(MachineError, match="has stopped: EL2 panicked at mailbox_next.*reboot"):
            machine.call(MDCR)
        with pytest.raises(MachineError, match="has stopped"):
            machine.run([1])
        machine.reboot()
        assert machine.panicked is None
        assert machine.call(MDCR).outcome == "returned"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("1: b 1b", r"dispatch\+0x20 \(EL2\)"),
        (" adr x0, .\n msr elr_el2, x0\n mov x0, #0x3c9\n msr spsr_el2, x0", r"dispatch\+0x2[048]"),
    ],
)
def test_a_runaway_guest_stops_at_the_step_budget(body, where):
    with Machine("numbered", dispatcher=dispatcher(body), budget=20_000) as machine:
        call = machine.hvc(0x100)
        assert call.outcome == "runaway"
        assert len(call.whole_trace) == 20_000
        assert re.search(
            r"20,000 instructions were not enough: it still runs at " + where, call.message
        )
        machine.reboot()
        with pytest.raises(MachineError, match="request 1: .* instructions were not enough"):
            machine.run([0, 0x100, 0])


@pytest.mark.parametrize("nowhere", [0, 0x100])
@pytest.mark.parametrize("key", ["fnptr", "numbered"])
def test_a_restart_into_nowhere_is_a_runaway_that_says_where(key, nowhere):
    with Machine(key) as machine:
        call = machine.hvc(1, nowhere)
        assert (call.outcome, call.x0) == ("runaway", None)
        wants = (
            f"it went to {nowhere:#x} at EL2 with the MMU off, and there is no memory at this "
            "physical address; HVC_SOFT_RESTART, x0 = 1, goes to the physical address in x1"
        )
        assert call.message == wants
        machine.reboot()
        with pytest.raises(MachineError, match=re.escape(f"request 0: {wants}")):
            machine.run([1], [[nowhere]])


def test_memory_that_is_not_there_cannot_be_read():
    with Machine("fnptr", seed=1) as machine:
        machine.hvc(machine.x0_of("__kvm_enable_ssbs") + 8, 0x1234)  # EL2's MMU goes off
        with pytest.raises(MachineError, match="there is no memory at physical address 0x"):
            machine.read(0x1000, 8)
        with pytest.raises(MachineError, match="address size fault, level 0"):
            machine.read(machine.address("vcpu0", "hyp"), 8)


# What a dispatcher may do to end a call for good: what the machine says of it, and for bulk calls.
# (SPSR_EL2, HCR_EL2 and so on are spoilt on purpose: a reboot has to mend all of it.)
SPOILT = {
    "wfi": (" wfi", "before dispatch.0x24 .EL2. it went to sleep with WFI, and .* no interrupt"),
    "wfi in the host": (
        " mrs x9, hcr_el2\n orr x9, x9, #0x2000\n msr hcr_el2, x9\n wfi",
        "went to sleep",
    ),
    "AArch32": (
        " mov x9, #0x10\n msr spsr_el2, x9",
        "an ERET with 0x10 in SPSR_EL2 goes to AArch32",
    ),
    "64 KiB pages": (
        " mrs x9, tcr_el2\n orr x9, x9, #0x4000\n msr tcr_el2, x9\n isb\n tlbi alle2\n isb\n nop",
        "a fetch failed, though the page tables allow it: .* 4 KiB",
    ),
    "big-endian tables": (
        " mrs x9, sctlr_el2\n orr x9, x9, #0x2000000\n msr sctlr_el2, x9\n isb\n"
        " tlbi alle2\n isb\n nop",
        "little-endian tables",
    ),
    "the MMU off": (
        " msr sctlr_el2, xzr\n isb\n nop",
        "one exception after another at "
        "__kvm_hyp_vector.0x200 .EL2. .* address size fault, level 0",
    ),
    "the host's MMU off": (
        " msr sctlr_el1, xzr\n isb",
        "one exception after another at "
        "vectors.0x200 .EL1. .* instruction abort, same .* address size fault",
    ),
    "no tables": (" msr ttbr0_el2, xzr\n tlbi alle2\n isb\n nop", "translation fault, level 0"),
    "everything on": (" mov x9, #-1\n msr hcr_el2, x9\n isb", "were not enough"),
    "illegal state": (
        " mov x9, #0x3cd\n msr spsr_el2, x9\n adr x9, 1f\n msr elr_el2, x9\n eret\n1:",
        "EL2 panicked at dispatch.0x34: illegal execution state",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_whatever_a_dispatcher_spoils_is_said_and_mended_by_a_reboot(name):
    body, says = SPOILT[name]
    with Machine("numbered", seed=5, dispatcher=dispatcher(body), budget=5_000) as machine:
        boot = machine.boot_trace
        fresh = machine.snapshot()
        try:
            message = machine.hvc(0x100).message
        except MachineError as error:
            message = str(error)
        assert re.search(says, message), message
        assert machine.stopped
        machine.restore(fresh)
        with pytest.raises(MachineError) as caught:
            machine.run([0x100] * 3)
        # A run that records nothing notices an illegal state later, and elsewhere.
        assert name == "illegal state" or re.search(says, str(caught.value)), str(caught.value)
        assert "reboot() starts it anew" in str(caught.value)
        with pytest.raises(MachineError, match="this machine has stopped"):
            machine.hvc(0)
        again = machine.reboot()
        assert np.array_equal(again.pcs, boot.pcs) and np.array_equal(again.values, boot.values)
        assert again.sysregs == boot.sysregs
        assert machine.hvc(0).x0 == 0xBADCA11 and machine.run([0]).tolist() == [0xBADCA11]


def test_an_illegal_state_of_the_host_is_noticed_in_bulk_too():
    body = " mov x9, #0x3c5\n movk x9, #0x10, lsl #16\n msr spsr_el2, x9\n mov x0, #0"
    with Machine("numbered", dispatcher=dispatcher(body)) as machine:
        call = machine.hvc(0x100)
        assert call.outcome == "oopsed" and "illegal execution state" in call.message
        for calls in ([0x100], [0x100, 0x100]):
            machine.reboot()
            with pytest.raises(MachineError, match="illegal execution state"):
                machine.run(calls)


def test_a_vector_table_that_is_not_mapped_is_an_exception_without_end():
    body = " msr vbar_el2, xzr\n isb\n brk #1"
    with Machine("numbered", dispatcher=dispatcher(body)) as machine:
        call = machine.hvc(0x100)
        assert call.outcome == "runaway"
        assert "one exception after another at 0x200 (EL2) and executes nothing" in call.message


def test_a_dispatcher_that_breaks_the_hosts_registers_makes_the_host_oops():
    body = " adr x9, 1f\n msr elr_el2, x9\n1: mov x0, #0"  # return to a hyp address at EL1
    with Machine("numbered", dispatcher=dispatcher(body)) as machine:
        call = machine.hvc(0x100)
        assert call.outcome == "oopsed"
        assert "the host took an exception" in call.message and "instruction abort" in call.message


@pytest.mark.parametrize(
    "work", [lambda m: m.hvc(0x100), lambda m: m.run([0x100])], ids=["hvc", "run"]
)
def test_the_stop_button_ends_a_run(work):
    with Machine("numbered", dispatcher=dispatcher("1: b 1b"), budget=MAX_BUDGET) as machine:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            work(machine)
        with pytest.raises(MachineError, match="it was interrupted at dispatch"):
            machine.call(MDCR)
        machine.reboot()
        assert machine.hvc(0).outcome == "returned"


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.004, 0.008])
def test_the_stop_button_in_the_middle_of_a_boot_leaves_a_machine_that_boots(m, seconds):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        for _ in range(1000):
            m.reboot()
    timer.join()
    m.reboot()
    assert m.call(MDCR).x0 == 6


def test_a_machine_whose_memory_was_half_replaced_wants_a_reboot(m, monkeypatch):
    snapshot = m.snapshot()
    for work in (m.reboot, lambda: m.restore(snapshot)):
        with monkeypatch.context() as patch:
            for name in ("store", "restore"):
                patch.setattr(m._cpu.ram, name, lambda *args: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                work()
        with pytest.raises(MachineError, match="has stopped: its .* was interrupted. reboot"):
            m.call(MDCR)
        m.reboot()
        assert m.call(MDCR).x0 == 6


def test_a_closed_machine_says_so():
    machine = Machine("fnptr")
    machine.close()
    machine.close()
    assert repr(machine) == "Machine('fnptr', seed=0): closed"
    for use in (
        lambda: machine.call(MDCR),
        lambda: machine.hvc(0),
        lambda: machine.run([0]),
        lambda: machine.reg("x0"),
        lambda: machine.sysreg("VBAR_EL2"),
        machine.snapshot,
        lambda: machine.read(0, 1),
        lambda: machine.poke(0, b"x"),
        machine.reboot,
        lambda: machine.translate(0),
        lambda: machine.entry_of(0),
    ):
        with pytest.raises(MachineError, match="was closed; make a new one"):
            use()


@on_a_real_processor
def test_thirty_machines_made_and_closed_leave_memory_where_it_was():
    """In a process of its own: what other tests hold must not count."""
    code = """
import gc, re
from hypkit import Machine
def now():
    gc.collect()
    text = open("/proc/self/status").read()
    return [int(re.search(rf"{key}:\\s+(\\d+)", text)[1]) // 1024 for key in ("VmSize", "VmRSS")]
def one(seed):
    with Machine("numbered", seed=seed) as machine:
        machine.call("__kvm_vcpu_run_nvhe", "vcpu0")
        machine.run([0x101] * 10)
        for _ in range(20):
            machine.restore(machine.snapshot())
for seed in range(3):
    one(seed)
before = now()
for seed in range(30):
    one(seed)
after = now()
print(*before, *after)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    size, resident, size_after, resident_after = map(int, ended.stdout.split())
    # One machine takes more than a gigabyte of addresses: one forgotten would show.
    assert size_after - size < 512
    assert resident_after - resident < 30


def test_a_machine_is_freed_without_waiting_for_the_garbage_collector():
    gc.disable()
    try:
        machine = Machine("fnptr")
        finalizer = machine._cpu._uc._Uc__finalizer
        machine.close()
        assert not finalizer.alive
    finally:
        gc.enable()


# --- Snapshots -----------------------------------------------------------------------------------


def test_a_snapshot_brings_registers_and_memory_back_in_any_order(m):
    m.call(CNTVOFF, 1)
    first = m.snapshot()
    m.call(CNTVOFF, 2)
    m.call("__kvm_vcpu_run_nvhe", "vcpu0")
    second = m.snapshot()
    m.call(CNTVOFF, 3)
    for snapshot, expected in ((first, 1), (second, 2), (first, 1)):
        m.restore(snapshot)
        assert m.sysreg("CNTVOFF_EL2") == expected
        assert m.call(MDCR).outcome == "returned"
    m.restore(first)
    again = m.call("__kvm_vcpu_run_nvhe", "vcpu0")
    assert (
        int.from_bytes(
            m._cpu.ram.load(
                HEAP["vm_memory"][0]
                + again.trace.register(
                    "x20",
                    next(
                        step.index
                        for step in again.trace
                        if step.text == "hvc #0" and step.pc < 1 << 32
                    ),
                )
                - VM_IPA,
                8,
            ),
            "little",
        )
        == 1
    )


def test_a_snapshot_survives_a_panic_and_the_gics_registers(m):
    m.call("__vgic_v3_write_vmcr", 0xF0FC_0003)
    snapshot = m.snapshot()
    m.call("__vgic_v3_write_vmcr", 0)
    assert m.call("__kvm_vcpu_run_nvhe", 0x12345).outcome == "panicked"
    m.restore(snapshot)
    assert m.panicked is None and m.stopped is None
    assert m.call("__vgic_v3_read_vmcr").x0 == 0xF0FC_000B


def test_memory_that_nobody_expected_to_be_written_is_part_of_a_snapshot(m):
    """A request that lies astray: the host writes its answer there."""
    cpu, stray = m._cpu, 0x5000_0000
    fresh = m.snapshot()
    at = m.layout.linear_va(stray)
    cpu.ram.store(m.image.pa("mailbox_next"), struct.pack("<2Q", at, at + 64))
    cpu.write("pc", m.image.symbols["host_next"])
    cpu.run(10_000)
    assert int.from_bytes(cpu.ram.load(stray, 8), "little") == 0xBADCA11
    later = m.snapshot()
    m.restore(fresh)
    assert cpu.ram.load(stray, 8) == bytes(8)
    m.restore(later)
    assert int.from_bytes(cpu.ram.load(stray, 8), "little") == 0xBADCA11


def test_a_snapshot_holds_what_is_used_and_no_more(m):
    m.run(np.full(SLICE, 0x101))
    snapshot = m.snapshot()
    assert snapshot.saved.ram.pages.nbytes < 6 << 20  # the whole mailbox is 4 MiB of it
    m.reboot()
    assert m.snapshot().saved.ram.pages.nbytes < 6 << 20
    m.restore(snapshot)
    assert m.run([0x101]).tolist() == [6]


@pytest.mark.parametrize(
    "work", [lambda m, pa: m.hvc(1, pa, 7), lambda m, pa: m.run([1], [[pa, 7]])], ids=["hvc", "run"]
)
def test_code_where_only_data_was_expected_is_executed_all_the_same(work):
    """A restart into the EL2 stack's page, with the MMU off: nothing forbids that."""
    pa = HEAP["hyp_stack"][0]
    with Machine("numbered", seed=3, budget=5_000) as machine:
        machine.poke(machine.layout.linear_va(pa), assemble("add x0, x0, #5\n1: b 1b").code)
        for _ in range(2):
            snapshot = machine.snapshot()
            try:
                message = work(machine, pa).message
            except MachineError as error:
                message = str(error)
            assert "it still runs at hyp_stack+0x4 (EL2)" in message
            assert machine.reg("x0") == 12
            machine.restore(snapshot)
        assert machine.hvc(0x101).x0 == 6


# --- Bulk calls --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["fnptr", "numbered"])
def test_bulk_calls_answer_as_single_calls_do(key):
    with Machine(key, seed=8) as machine:
        names = [name for name in HYPERCALLS if "vcpu_run" not in name] * 3
        args = {name: ("kvm0", 5) if "flush_vmid" in name else ("vcpu0",) for name in names}
        single = [machine.hvc(machine.x0_of(name), *args[name]).x0 for name in names]
        machine.reboot()
        rows = np.array([[*machine._words(args[name]), 0][:2] for name in names], dtype=np.uint64)
        assert machine.run([machine.x0_of(name) for name in names], rows).tolist() == single


def test_bulk_calls_cross_the_mailboxs_end(m):
    n = SLICE + 1000
    answers = m.run(np.full(n, m.x0_of(CNTVOFF)), np.arange(n)[:, None])
    assert (answers == np.arange(n)).all()
    assert m.sysreg("CNTVOFF_EL2") == n - 1
    assert m.call(MDCR).x0 == 6  # single, traced calls go on as before


def test_bulk_calls_take_python_numbers_of_either_sign(m):
    assert m.run([0x101, -1, (1 << 64) - 1, 1 << 63]).tolist() == [6] + [(1 << 64) - 38] * 3


def test_a_bulk_run_names_the_request_that_stopped_the_machine():
    with Machine("fnptr", seed=2) as machine:
        good = machine.x0_of(MDCR)
        with pytest.raises(MachineError, match=r"request 2: EL2 panicked at .*instruction abort"):
            machine.run([good, good, 0xDEAD_0000, good])
        machine.reboot()
        with pytest.raises(MachineError, match=r"request 1: .*PC alignment fault"):
            machine.run([good, good + 2, good])
        machine.reboot()
        with pytest.raises(MachineError, match="kernel was started again in the middle"):
            machine.run([1], [[machine.image.entry]])


def test_vm_runs_in_bulk_count_up(m):
    m.run([m.x0_of("__kvm_vcpu_run_nvhe")] * 1000, [[m.address("vcpu0", "linear")]])
    assert counter(m) == 1000


def counter(m):
    ipa = m.image.programs[-1].symbols["vm_counter"]
    return int.from_bytes(m._cpu.ram.load(m.translate(ipa, stage=2).pa, 8), "little")


def test_poke_writes_what_el1_may_write_and_el2_sees_it(m):
    at = m.address("kvm0", "linear") + 0xFF8
    m.poke(at, b"\x01\x02\x03\x04\x05\x06\x07\x08")
    assert m.read(m.address("kvm0", "hyp") + 0xFF8, 8) == bytes(range(1, 9))
    m.poke(m.address("kvm0", "linear") + 0xFFC, bytes(8))  # over the end of a page
    assert m.read(at, 8, el=1) == b"\x01\x02\x03\x04" + bytes(4)


def test_el1_cannot_poke_what_its_tables_forbid_until_it_has_changed_them():
    with Machine("cached", seed=4) as machine:
        word = machine.address("kvm_lm_offset")
        before = machine.read(word, 8, el=1)
        with pytest.raises(MachineError, match="EL1 cannot write .*read-only for it; entry_of"):
            machine.poke(word - 8, bytes(16))
        assert machine.read(word, 8, el=1) == before
        entry = machine.entry_of(word)
        descriptor = machine.translate(word, el=1).descriptor
        assert machine.read(entry, 8, el=1) == descriptor.to_bytes(8, "little")
        machine.poke(entry, (descriptor & ~AP_RO).to_bytes(8, "little"))
        machine.poke(word, bytes(8))
        hyp = machine.address("kvm_lm_offset", "hyp")
        assert machine.read(hyp, 8) == bytes(8) and not machine.translate(hyp).writable
        machine.reboot()
        assert machine.read(word, 8, el=1) == before
        assert not machine.translate(word, el=1).writable


def test_poked_code_is_what_runs_next():
    with Machine("numbered", seed=4) as machine:
        handler = machine.address("__kvm_get_mdcr_el2")
        assert machine.call("__kvm_get_mdcr_el2").x0 == 6
        descriptor = machine.translate(handler, el=1).descriptor
        machine.poke(machine.entry_of(handler), (descriptor & ~AP_RO).to_bytes(8, "little"))
        machine.poke(handler, bytes.fromhex("a08f9852"))  # mov w0, #0xc47d
        call = machine.call("__kvm_get_mdcr_el2")
        assert call.x0 == 0xC47D
        assert any(step.text == "mov w0, #0xc47d" for step in call.trace)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (0x1000, "EL1 cannot write 0x1000: translation fault"),
        (1 << 60, "EL1 cannot write"),
        (PAGE_OFFSET + 0x3000_0000, "this machine keeps nothing at"),
    ],
)
def test_a_poke_into_nowhere_says_so(m, address, sentence):
    with pytest.raises(MachineError, match=sentence):
        m.poke(address, bytes(8))


def test_an_address_without_an_entry_says_so(m):
    with pytest.raises(MachineError, match="EL2 has no entry for 0x1000: translation fault"):
        m.entry_of(0x1000, el=2)


# --- What a guest may do to itself, and to us ----------------------------------------------------


def test_a_trace_shows_the_words_that_were_executed_also_where_code_rewrote_itself():
    (scenario,) = (s for s in SCENARIOS if s.name == "code that rewrites itself")
    with scenario.machine() as machine:
        for _ in range(2):  # an earlier run must not be remembered
            trace = machine.reboot(scenario.requests(machine))
            loop = machine.image.pa("rewriter")
            texts = [
                (step.text, step.word, step.exception and step.exception.esr & 0xFFFF)
                for step in trace
                if loop < step.pc < loop + 64 and step.text.split()[0] in ("hvc", "mov")
            ]
            hvcs = [(text, esr) for text, _, esr in texts if text.startswith("hvc")]
            assert hvcs == [(f"hvc #{n}" if n < 10 else f"hvc #{n:#x}", n) for n in range(5)]
            movs = [text for text, _, _ in texts if text.startswith("mov x15")]
            assert movs == [f"mov x15, #{n}" for n in range(5)]
            assert [word for text, word, _ in texts if text.startswith("hvc")] == [
                0xD4000002 | n << 5 for n in range(5)
            ]
            cut = trace[texts and trace.find("rewriter") + 20 :]
            assert "hvc #4" in {step.text for step in cut}
            esrs = trace.sysreg_changes
            names = list(trace.sysregs)
            seen = {
                int(row["value"]) & 0xFFFF
                for row in esrs[esrs["register"] == names.index("ESR_EL2")]
                if int(row["value"]) >> 26 == 0x16
            }
            assert seen >= set(range(5))


@pytest.mark.parametrize("form", ["ldar x5", "ldar w5", "ldarh w5", "stlr x5", "stlrh w5"])
@pytest.mark.parametrize("distance", [32, 31])
def test_acquire_and_release_fault_in_bulk_as_in_single_calls(form, distance):
    body = f" sub x10, sp, #{distance}\n {form}, [x10]\n mov x0, #7"
    with Machine("numbered", dispatcher=dispatcher(body), seed=3) as machine:
        fresh = machine.snapshot()
        single = machine.hvc(0x100)
        machine.restore(fresh)
        if distance % 2 == 0:
            assert single.x0 == 7 and machine.run([0x100] * 3).tolist() == [7] * 3
            return
        assert "alignment fault" in single.message
        for _ in range(2):
            with pytest.raises(MachineError, match="request 0: EL2 panicked at .* alignment fault"):
                machine.run([0x100] * 3)
            machine.restore(fresh)
        assert machine.hvc(0x100).message == single.message


def test_every_poke_counts_at_once_and_a_restored_snapshot_is_what_the_machine_was():
    with Machine("fnptr", seed=4) as machine:
        stack = machine.address("hyp_stack", "hyp")
        entry = machine.entry_of(stack, el=2)
        old = machine.read(entry, 8, el=1)
        machine.poke(entry, bytes(8))
        assert machine.translate(stack).pa is None
        poked = machine.snapshot()
        first = machine.call(MDCR)
        machine.restore(poked)
        again = machine.call(MDCR)
        assert (first.outcome, first.message) == (again.outcome, again.message)
        assert first.outcome != "returned"
        machine.restore(poked)
        machine.poke(entry, old)
        assert machine.call(MDCR).x0 == 6


STRAY = """
        // A store to each of the last 300 chunks of RAM, with the MMU off at EL2.
dispatch:
        divert_stub_calls
        eret
        dsb nsh
        isb
astray:
        mov     x20, x0
        mov     x9, #0x80000000
        mov     x10, #300
1:      sub     x9, x9, #0x200000
        str     x9, [x9]
        subs    x10, x10, #1
        b.ne    1b
        br      x20
"""


def test_memory_touched_here_and_there_costs_what_it_holds_and_is_given_back():
    with Machine("numbered", dispatcher=STRAY) as machine:
        fresh = machine.snapshot()
        trace = machine.reboot(
            [machine.request(1, machine.image.pa("astray"), machine.image.entry)]
        )
        assert trace.find("astray") is not None and machine.stopped is None
        assert machine._cpu.ram.load(0x8000_0000 - (300 << 21), 8) == (
            0x8000_0000 - (300 << 21)
        ).to_bytes(8, "little")
        kept = machine.snapshot()
        assert sum(map(len, kept.saved.ram.stray.values())) == 300 * 4096
        machine.reboot()
        assert not machine._cpu.ram.strayed.any() and not machine.snapshot().saved.ram.stray
        machine.restore(kept)
        assert machine._cpu.ram.load(0x7FE0_0000, 8) == 0x7FE0_0000.to_bytes(8, "little")
        assert machine.hvc(0).x0 == 0xBADCA11
        machine.restore(fresh)
        assert machine._cpu.ram.load(0x7FE0_0000, 8) == bytes(8)
        assert machine.hvc(0).x0 == 0xBADCA11


def test_a_reboot_leaves_nothing_of_what_was_written_where_no_program_is():
    with Machine("numbered") as machine:
        spare = machine.layout.linear_va(HEAP["vm_memory"][0] + 0x5000)
        machine.poke(spare, b"left behind")
        machine.reboot()
        assert machine.read(spare, 11, el=1) == bytes(11)


# The dispatcher steps over the instruction that faults, for ever.
EXCEPTIONS = """
dispatch:
        divert_stub_calls
        adr     x9, 7f
        msr     vbar_el2, x9
        isb
1:      mov     x10, #0x1000
        {}
        b       1b
        .balign 2048
7:      .rept 16
        mrs     x9, elr_el2
        add     x9, x9, #4
        msr     elr_el2, x9
        eret
        .balign 128
        .endr
"""


@pytest.mark.parametrize("instruction", ["brk #1", "ldr x11, [x10]", ".inst 0"])
def test_exceptions_count_for_the_budget_as_what_they_cost(instruction):
    text = EXCEPTIONS.format(instruction)
    with Machine("numbered", dispatcher=text, budget=200_000) as machine:
        call = machine.hvc(0x100)
        assert call.outcome == "runaway"
        assert "200,000 instructions (each of its exceptions counts as 100) were" in call.message
        assert 1_000 < len(call.whole_trace.exceptions) < 2_000
        machine.reboot()
        remembered = len(machine._cpu.exceptions)
        with pytest.raises(MachineError, match="each of its exceptions counts as 100"):
            machine.run([0x100] * 3)
        assert len(machine._cpu.exceptions) == remembered  # a bulk run adds none


def test_a_bulk_run_ends_whatever_the_guest_makes_of_its_mailbox():
    """The mailbox says that the host goes back and forth, as if there were progress."""
    with Machine("numbered", dispatcher=dispatcher("1: b 1b"), budget=20_000) as machine:
        data, first = machine._data, machine.image.host_va(REQUESTS_PA)
        places = itertools.cycle((first, first + 64))
        machine._data = lambda name: next(places) if name == "mailbox_next" else data(name)
        with pytest.raises(MachineError, match="20,000 instructions were not enough"):
            machine.run([0x100] * 1000)


def test_requests_that_the_guest_leaves_out_are_not_answered_with_their_own_numbers():
    with Machine("numbered", dispatcher=dispatcher("")) as machine:
        data = machine._data
        machine._data = lambda name: data(name) + 64 * (name == "mailbox_next")
        with pytest.raises(MachineError, match="EL2 changed the host's mailbox"):
            machine.run([0x100] * 3)


def test_a_stage_2_that_makes_no_sense_faults_and_raises_nothing_raw():
    body = (
        " mov x9, #0xe1\n msr vtcr_el2, x9\n mrs x9, hcr_el2\n orr x9, x9, #1\n"
        " msr hcr_el2, x9\n isb"
    )
    with Machine("numbered", dispatcher=dispatcher(body), budget=50_000) as machine:
        try:
            machine.hvc(0x100)
        except MachineError as error:
            assert "reboot() starts it anew" in str(error)
        walk = machine.translate(machine.address(MDCR), el=1)
        assert walk.pa is None and walk.fault == "translation fault, level 0"
        machine.reboot()
        assert machine.hvc(0).x0 == 0xBADCA11


def test_the_performance_monitors_are_a_cortex_a72s():
    body = " mrs x0, pmcr_el0"
    with Machine("numbered", dispatcher=dispatcher(body)) as machine:
        assert machine.hvc(0x100).x0 == 0x41023000


# --- Too little memory ---------------------------------------------------------------------------

LIMITED = """
import resource, sys
from hypkit import Machine, MachineError
first = Machine("numbered")
size = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + (int(sys.argv[1]) << 20),) * 2)
kept = []
try:
    for seed in range(100):
        kept.append(Machine("numbered", seed=seed))
        kept[-1].call("__kvm_vcpu_run_nvhe", "vcpu0")
except (MachineError, MemoryError) as error:
    said = str(error)
assert first.call("__kvm_get_mdcr_el2").x0 == 6
kept.clear()
assert Machine("fnptr").call("__kvm_get_mdcr_el2").x0 == 6
print(said)
"""


@pytest.mark.parametrize("room", [80, 100, 130, 170, 256])
@on_a_real_processor
def test_too_little_memory_is_a_sentence_and_the_machines_there_go_on(room):
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(room)],
        capture_output=True,
        text=True,
        timeout=120 * SLOWER,
    )
    assert done.returncode == 0, done.stderr
    assert "not enough memory for a" in done.stdout and "close()" in done.stdout
