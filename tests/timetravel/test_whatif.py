"""The same call again, with something changed."""

import pytest

from hypkit import VARIANTS, Machine
from hypkit.errors import KitError
from hypkit.timetravel import whatif

CALL = "__kvm_timer_set_cntvoff"


@pytest.fixture(scope="module")
def call():
    with Machine("numbered", seed=2020) as machine:
        return machine.call(CALL, 0x1234)


@pytest.mark.parametrize("key", VARIANTS)
def test_an_argument_that_is_changed_is_what_the_handler_gets_in_every_variant(key):
    call = Machine(key, seed=7).call(CALL, 0x1234)
    found = whatif.again(call, {"x0" if key == "vhe" else "x1": 0x55})
    with Machine(key, seed=7) as machine:
        assert found.after.trace.table() == machine.call(CALL, 0x55).trace.table()
    assert found.before is call and not found.notes


def test_another_x0_is_sent_by_a_bare_hvc(call):
    found = whatif.again(call, {"x0": "0x10e"})
    assert found.after.what == "hvc 0x10e" and found.after.x0 == -38 & 2**64 - 1
    assert found.title == "x0 = 0x10e"


def test_a_raw_hvc_is_made_again_with_what_is_changed_and_the_rest_as_it_was():
    call = Machine("numbered").hvc(0x102, 0x1234, 5)
    found = whatif.again(call, {"x1": 9})
    assert found.after.args[:2] == (9, 5) and found.after.x0 == 0x5_0000_0009


def test_a_variable_of_the_hosts_is_changed_before_the_call_runs(call):
    with Machine("numbered", seed=2020) as machine:
        run = machine.call("__kvm_vcpu_run_nvhe", "vcpu0")
    label, value, size, writable = next(v for v in whatif.variables(run.trace) if v[3])
    assert label.startswith("vcpu0+") and size == 8
    found = whatif.again(run, {label: 0x40})
    news = [a for step in found.after.trace for a in step.memory if a.symbol == label]
    assert news[0].kind == "load" and news[0].value == 0x40 != value
    assert not found.notes and writable


def test_what_el1s_page_tables_forbid_is_written_by_way_of_the_tables(call):
    assert ("kimage_voffset", call.trace.image.layout.kimage_voffset, 8, False) in (
        whatif.variables(call.trace)
    )
    found = whatif.again(call, {"kimage_voffset": 0})
    assert found.after.outcome == "panicked" and found.before is call
    assert "page tables forbid it to write kimage_voffset" in found.notes[0]


def test_memory_that_the_host_had_changed_is_as_the_call_found_it():
    machine = Machine("numbered", seed=3)
    machine.poke(machine.address("vcpu0", "linear") + 0x110, (0x77).to_bytes(8, "little"))
    call = machine.call("__kvm_vcpu_run_nvhe", "vcpu0")
    found = whatif.again(call, {"x2": 1})
    assert found.before is call and not found.notes


def test_where_the_machine_cannot_be_brought_back_both_calls_are_made_anew_and_it_is_said():
    machine = Machine("numbered", seed=2020)
    machine.call("__kvm_vcpu_run_nvhe", "vcpu0")
    call = machine.call("__kvm_vcpu_run_nvhe", "vcpu0")
    found = whatif.again(call, {"x1": "vcpu1"})
    assert found.before is not call and "had been changed before" in found.notes[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "expected something to change"),
        ({"x7": 1}, "no register x0 to x6 and no label 'x7'"),
        ({"kimage_vofset": 1}, "did you mean 'kimage_voffset'"),
        ({"x1": "ten"}, "x1: expected a number, such as 0x10, or a label; got 'ten'"),
        ({"x1": 1 << 64}, "x1: expected a number of 64 bits"),
        ({"x1": 1.5}, "x1: expected a number, such as 0x10, or a label; got 1.5"),
        ({"0x12": 1}, "expected x0 to x6, a label, label+0x10 or an address; got '0x12'"),
        ({"a b": 1}, "expected x0 to x6, a label, label+0x10 or an address; got 'a b'"),
        ({"x1": True}, "got True"),
    ],
)
def test_a_wrong_wish_is_answered_by_what_was_expected(call, changes, said):
    with pytest.raises(KitError) as error:
        whatif.again(call, changes)
    assert said in str(error.value)


def test_what_has_no_machine_cannot_be_made_again(call):
    other = Machine("vhe").call(CALL, 1)
    with pytest.raises(KitError, match="this host is at EL2"):
        whatif.again(other, {"kimage_voffset": 0})
    call.another_machine, kept = None, call.another_machine
    with pytest.raises(KitError, match="cannot be made again"):
        whatif.again(call, {"x1": 1})
    call.another_machine = kept


def test_registers_are_those_at_the_hvc(call):
    assert whatif.registers(call) == {"x0": 0x102, "x1": 0x1234} | {f"x{n}": 0 for n in range(2, 7)}
