"""LinuxMachine on snapshots that are in the cache; in CI, where judge "linux" is required, on new
ones."""

import dataclasses

import pytest

from hypkit import linux
from hypkit.kernel.variants import SMCCC_BASE
from hypkit.linux.linux_machine import LinuxMachine
from hypkit.linux.phases import PARTS, phases
from hypkit.linux.snapshot import NVHE, path_of, read
from hypkit.machine.errors import MachineError
from hypkit.timetravel.payload import Payload
from tests.judges import required
from tests.kernels import tried
from tests.oracle.linux import image_of


@pytest.fixture(scope="module", params=filter(tried, linux.KERNELS))
def kernel(request):
    if path_of(request.param).exists():
        return read(path_of(request.param))
    if "linux" not in required():
        pytest.skip(f"no snapshot of Linux {request.param}: `make linux` makes one")
    package, _, _ = image_of(request.param, download=True)
    return linux.fetch(request.param, file=package)


@pytest.fixture
def machine(kernel):
    with LinuxMachine(kernel) as made:
        yield made


def test_a_call_by_name_goes_to_the_function_that_the_kernel_calls_so(machine):
    call = machine.call("__kvm_timer_set_cntvoff", 0x1234)
    assert (call.outcome, call.x0) == ("returned", 0)
    assert machine.sysreg("CNTVOFF_EL2") == 0x1234
    assert call.trace.find("__kvm_timer_set_cntvoff") is not None
    assert call.trace.find("handle_trap") < call.trace.find("__kvm_timer_set_cntvoff")
    machine.reboot()
    assert machine.sysreg("CNTVOFF_EL2") != 0x1234


def test_the_parts_of_a_call_come_in_their_order_and_hold_every_step(machine):
    call = machine.call("__kvm_flush_vm_context")
    found = phases(call.trace)
    assert len(found) == len(call.trace)
    met = list(dict.fromkeys(found))
    assert met == ["host", "entry", "save", "dispatch", "handler", "return", "restore"]
    assert found[-1] == "host" and set(met) < set(PARTS)
    cost = call.cost
    assert sum(counts.instructions for counts in cost.phases.values()) == len(call.trace)
    assert cost.total.instructions - cost.phases["handler"].instructions == (
        cost.hyp.instructions + cost.phases["host"].instructions
    )
    assert cost.phases["save"].stores >= 15 and cost.phases["restore"].loads >= 15  # in pairs
    assert call.timing("cortex-a72").cycles > 0


def test_numbers_are_found_in_the_table_at_the_place_that_they_name(machine):
    if machine.image.table is None:
        pytest.skip("this kernel has a switch")
    table = machine.address("host_hcall", "hyp")
    for name, x0 in machine.calls.items():
        word = machine.read(table + 8 * (x0 - SMCCC_BASE), 8)
        target = int.from_bytes(word, "little")
        assert target == machine.address(f"handle_{name}", "hyp"), name
        assert machine.translate(target).executable
        assert not machine.translate(target).writable


def test_the_hosts_own_mapping_of_the_table_is_read_only(machine):
    if machine.image.table is None:
        pytest.skip("this kernel has a switch")
    assert not machine.translate(machine.address("host_hcall", "image"), el=1).writable
    assert not machine.translate(machine.address("host_hcall", "linear"), el=1).writable


def test_all_names_of_a_byte_lead_to_the_same_byte(machine):
    layout = machine.image.layout
    for symbol in ("__kvm_hyp_host_vector", "handle_trap"):
        names = layout.names(machine.image.symbols[symbol])
        assert {layout.pa(address) for address in names.values()} == {names["physical"]}
        assert [layout.space(address) for address in names.values()] == list(names)
        assert machine.translate(names["hyp"]).pa == names["physical"]
        assert machine.image.symbolize(names["hyp"]) == symbol
    assert machine.address("__kvm_hyp_host_vector", "hyp") == machine.sysreg("VBAR_EL2")


def test_a_bad_pointer_panics_and_the_machine_says_where_and_starts_again(machine):
    name = next(n for n in ("__kvm_adjust_pc", "__vgic_v3_save_aprs") if n in machine.calls)
    before = machine.snapshot()
    call = machine.call(name, 0xDEAD000)
    assert call.outcome == "panicked" and call.x0 is None
    assert call.message.startswith(f"EL2 panicked at {name}+") and "FAR_EL2" in call.message
    with pytest.raises(MachineError, match=r"this machine has stopped: EL2 panicked .* reboot\(\)"):
        machine.call(name, 0)
    machine.restore(before)
    assert machine.call("__kvm_flush_vm_context").outcome == "returned"


def test_wrong_uses_are_told_in_a_sentence(machine):
    for wrong, error, said in (
        (
            lambda: machine.call("__kvm_timer_set_cntvof"),
            KeyError,
            "did you mean '__kvm_timer_set_",
        ),
        (lambda: machine.call(None), TypeError, "expected the name of a hypercall"),
        (lambda: machine.call("__kvm_flush_vm_context", *range(8)), TypeError, "at most 7"),
        (lambda: machine.call("__kvm_flush_vm_context", "x"), TypeError, "whole number"),
        (lambda: machine.hvc(), TypeError, "hvc takes x0"),
        (lambda: machine.address("handle_tra"), KeyError, "did you mean 'handle_trap'"),
        (lambda: machine.address("handle_trap", "space"), ValueError, "one of the spaces image"),
        (lambda: machine.translate(0, el=3), ValueError, "expected el=1 or el=2"),
        (lambda: machine.read(0, 8), MachineError, "EL2 cannot read 0x0"),
        (lambda: machine.reg("x31"), KeyError, "no register 'x31'"),
        (lambda: machine.restore(None), ValueError, "snapshot of its own"),
        (lambda: LinuxMachine(machine.kernel, budget=0), ValueError, "from 1 to 50,000,000; got 0"),
    ):
        with pytest.raises(error) as caught:
            wrong()
        assert said in str(caught.value)
    with LinuxMachine(machine.kernel, budget=50) as short:
        assert short.call("__kvm_flush_vm_context").message.startswith("50 instructions were not")
    machine.close()
    with pytest.raises(MachineError, match="this machine was closed"):
        machine.call("__kvm_flush_vm_context")
    assert "closed" in repr(machine)


def test_the_stepper_shows_every_step_in_words_and_with_its_function(machine):
    call = machine.call("__kvm_timer_set_cntvoff", 0x1234)
    payload = Payload(call.trace, "t", "o")
    meta = payload.meta()
    assert meta["steps"] == len(call.trace) and meta["page_tables"]
    labels = {row[2] for row in meta["rows"]}
    assert {"handle_trap", "__kvm_timer_set_cntvoff"} <= labels
    for step in range(len(call.trace)):
        assert payload.sentence(step)
    names = [payload.level(step) for step in range(len(call.trace))]
    assert set(names) == {"EL1 (host)", "EL2 (hyp)"}


def test_a_snapshot_has_no_code_of_the_host_but_what_a_call_needs(kernel):
    assert not any(name.startswith(NVHE + NVHE) for name in kernel.symbols)
    assert len(kernel.numbers) * 4096 < 32 << 20
    assert dataclasses.replace(kernel).release == kernel.release
    names = [name for name in kernel.symbols if not name.startswith((NVHE, "unnamed_"))]
    assert len(names) < 40
