"""The stepper on a real kernel: its calls are chosen, and what if is asked."""

import pytest

from hypkit import linux, stepper
from hypkit.timetravel.payload import Payload
from hypkit.trace.owners import BOOT, EL2
from tests.kernels import CACHED


@pytest.fixture
def machine():
    if "6.1" not in CACHED:
        pytest.skip("no snapshot of Linux 6.1: `make linux` makes one")
    with linux.machine("6.1") as made:
        yield made


def test_calls_of_a_real_kernel_are_chosen_and_set_beside_each_other(machine):
    view = stepper(machine)
    assert view.hypercall == "__kvm_timer_set_cntvoff" and view.call.x0 == 0
    assert [name for name, _ in view.choices["hypercalls"]] == [*machine.calls, "hvc"]
    assert view.choices["edits"] is False and view.choices["variants"][0][0] == "linux-6.1"
    view.hypercall = "__kvm_get_mdcr_el2"
    assert view.call.what == "__kvm_get_mdcr_el2" and "returned" in view.status
    view.run_beside("0x7")
    assert len(view._payloads) == 2 and "__kvm_get_mdcr_el2(0x7)" in repr(view)
    view.hypercall, view.args = "hvc", "0xc600ffff"
    assert view.call.x0 == (1 << 64) - 1
    view.args = "vcpu0"
    assert view.status.startswith("Error: ") and "expected" in view.status
    view.variant = "numbered"
    assert view.status == "Error: this stepper has linux-6.1 only"
    view.assemble("nop")
    assert "takes no text of yours" in str(view.error)


def test_a_call_that_panics_is_shown_and_the_next_one_starts_the_kernel_again(machine):
    view = stepper(machine)
    view.hypercall = "__kvm_adjust_pc"
    view.args = "0xdead000"
    assert view.call.outcome == "panicked" and "EL2 panicked at __kvm_adjust_pc+" in view.status
    view.hypercall = "__kvm_flush_vm_context"
    assert "The machine had stopped and was started again." in view.status


def test_a_word_of_a_real_kernel_has_an_owner_and_a_judgement_who_may_write_it(machine):
    call = machine.call("__kvm_timer_set_cntvoff", 0x1234)
    trace = call.trace
    begins = trace.find("handle___kvm_timer_set_cntvoff")
    jump = trace.origin("pc", begins)
    slots = [s for s in jump.sources if s.kind == "variable"]
    # The linker wrote an image address, and the boot made a hyp address of it.
    assert slots and {(s.owner, s.el1_may_write) for s in slots} == {(BOOT, False)}
    image = machine.image
    stack = image.layout.pa(machine.kernel.sysregs["SP_EL2"] - 8)
    # Ordinary memory of the host's, which nothing keeps it from writing.
    assert (image.owner(stack), image.el1_may_write(stack)) == (EL2, True)


def test_a_page_without_a_name_is_spelled_as_the_step_that_ran_computes_it(machine):
    trace = machine.call("__kvm_timer_set_cntvoff", 0x1234).trace
    found = Payload(trace)
    texts = [found.listing.rows[found.rows[site]].text for site in found.site]
    assert texts == [step.text for step in trace]
    pages = [s for s in trace if s.text.startswith("adrp") and "0x" in s.text.split(", ")[1][:2]]
    assert pages
    for step in pages:
        register, address = step.text.removeprefix("adrp ").split(", ")
        assert trace.register(register, step.index + 1) == int(address, 16)
