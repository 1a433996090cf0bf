"""Steps in words: what is said of known instructions, and that every instruction can be told."""

import re

import pytest

from hypkit import VARIANTS, Machine
from hypkit.explain.phrases import in_words, meaning, with_meaning
from hypkit.timetravel.payload import Payload
from tests.marks import needs_keystone


@pytest.fixture(scope="module")
def machine():
    with Machine("numbered", seed=2020) as m:
        yield m


@pytest.fixture(scope="module")
def trace(machine):
    return machine.call("__kvm_timer_set_cntvoff", 0x1234, 5).trace


@pytest.fixture(scope="module")
def guest(machine):
    return machine.call("__kvm_vcpu_run_nvhe", "vcpu0").trace


def said(trace, text, nth=0):
    """What is said of the nth step whose instruction begins with *text*."""
    found = [i for i, step in enumerate(trace) if step.text.startswith(text)]
    return in_words(trace, found[nth])


@pytest.mark.parametrize(
    ("instruction", "words"),
    [
        ("mov x0, #0x102", "x0 = 0x102 (was 0x0)"),
        ("b __kvm_call_hyp", "goes to __kvm_call_hyp"),
        ("stp x0, x1", "x0 and x1 to the stack; sp down by 16 bytes"),
        ("lsr x0", "x0 = 0x16 (was 0x5a000000)"),
        ("cmp x0, #0x16", "x0 (0x16) is equal to 0x16"),
        ("cmp x0, #3", "x0 (0x102) is greater than 0x3"),
        ("cmp x0, #0x10e", "x0 (0x102) is less than 0x10e"),
        ("ccmp", "no comparison, because 'ne' does not hold: flags set to -Z--"),
        ("b.ne", "not taken: goes on"),
        ("b.hs", "taken: goes to dispatch_find"),
        ("mrs x0, esr_el2", "x0 = ESR_EL2: 0x5a000000 (HVC from AArch64, immediate 0x0)"),
        ("mrs x1, vttbr_el2", "x1 = VTTBR_EL2: 0x0, no VM is running: the host asks"),
        ("mov x3, x4", "no change: the register held this value already"),
        ("msr cntvoff_el2", "CNTVOFF_EL2 = 0x500001234"),
    ],
)
def test_an_instruction_is_told_by_what_it_did(trace, instruction, words):
    assert said(trace, instruction) == words


def test_an_address_is_told_by_its_space_and_label(trace, machine):
    hyp = machine.address("__kvm_timer_set_cntvoff", "hyp")
    assert said(trace, "ror x0, x0, #0x22").startswith(
        f"x0 = {hyp:#x}, the hyp address of __kvm_timer_set_cntvoff (was "
    )
    assert "the linear address of kvm_hcall_table" in said(trace, "sub x10, x10, x9")
    assert "the image address of kvm_hcall_table; from the literal pool" in said(
        trace, "ldr x10, d"
    )


def test_a_page_address_is_told_as_such(trace):
    assert re.fullmatch(r"x9 = 0x[0-9a-f]+000, where a 4 KiB page begins", said(trace, "adrp x9"))


def test_an_hvc_tells_all_that_the_processor_does(trace):
    words = said(trace, "hvc")
    for part in (
        "exception to EL2: PC = VBAR_EL2 + 0x400",
        "the image address of __kvm_call_hyp+0x4",
        "SPSR_EL2 = the old PSTATE",
        "ESR_EL2 = 0x5a000000",
        "sp is EL2's own",
    ):
        assert part in words


def test_an_eret_tells_where_it_goes(trace, guest):
    assert said(trace, "eret").startswith("back to EL1, to __kvm_call_hyp+0x4: PC = ELR_EL2")
    assert said(guest, "eret").startswith("back to EL1, to vm_entry: ")


def test_the_guests_exit_is_told_from_the_hosts_call(guest):
    assert said(guest, "mrs x1, vttbr_el2", 1).endswith("a VM is running")
    assert said(guest, "cbnz x1", 0) == "not taken: goes on"
    assert said(guest, "cbnz x1", 1) == "taken: goes to el1_trap"
    assert said(guest, "str x21") == "x21 to vm_counter"


def test_a_comparison_that_depends_on_the_sign_says_so(machine):
    trace = machine.hvc(-1).trace
    assert said(trace, "cmp x0, #3").endswith(
        "is greater than 0x3, and as a signed number the other way round"
    )


def test_a_fault_tells_its_address():
    with Machine("fnptr", seed=2020) as machine:
        trace = machine.call("__kvm_tlb_flush_vmid", 0x1000).trace
        far = machine.panicked.far
    fault = next(i for i, step in enumerate(trace) if step.exception and step.el == 2)
    assert f"FAR_EL2 = {far:#x}" in in_words(trace, fault)
    assert "PC = VBAR_EL2 + 0x200" in in_words(trace, fault)


def test_a_number_that_is_no_address_has_no_meaning(machine):
    image = machine.image
    assert meaning(image, 0x1234) is None and with_meaning(image, 0x1234) == "0x1234"
    for space in ("image", "linear", "physical", "hyp"):
        assert meaning(image, machine.address("el1_sync", space)) == f"{space} address of el1_sync"


# What the guest does without, but a learner may write; x1 points into the hyp stack.
OWN = """
dispatch:
        divert_stub_calls
        mov     x2, #6
        tst     x2, #4
        cmn     x2, #1
        cmp     x2, x2, lsl #1
        cmp     wsp, #5
        dmb     sy
        yield
        ldxr    x3, [x1]
        clrex
        stxr    w4, x2, [x1]
        str     q0, [x1]
        ldr     d1, [x1]
        ldp     xzr, x5, [x1]
        adr     x6, 1f
        ret     x6
1:      eret
"""


@pytest.fixture(scope="module")
def own():
    with Machine("numbered", seed=2020, dispatcher=OWN) as m:
        return m.hvc(0x100, m.address("hyp_stack", "hyp") + 0x800).trace


@needs_keystone
@pytest.mark.parametrize(
    ("instruction", "words", "sentence"),
    [
        (
            "tst x2",
            "flags set to ----",
            "Looks which bits of x2 (6) are set in 4; flags now: ----.",
        ),
        (
            "cmn x2",
            "flags set to ----",
            "Compares x2 (6) with -1: lower, but as signed numbers greater.",
        ),
        (
            "cmp x2, x2",
            "x2 (0x6) is less than x2 (0x6), lsl #1",
            "Compares x2 (6) with x2 (6) shifted left by 1; flags now: N---.",
        ),
        (
            "dmb",
            "keeps memory accesses before it ahead of those after it",
            "Keeps the memory accesses before it ahead of those after it.",
        ),
        ("yield", "changes no register", "No change."),
        (
            "stxr",
            "stores nothing: x4 = 1, because the reservation was lost",
            "Stores x2 if the reservation still holds: x4 = 1, and 0 means that it did.",
        ),
        (
            "str q0",
            "q0 to hyp_stack+0x800",
            "Stores q0 to memory; a trace does not record the value.",
        ),
        (
            "ldr d1",
            "d1, which no trace holds; from hyp_stack+0x800",
            "Loads d1 from memory; a trace does not record the value.",
        ),
        (
            "ldp xzr",
            "xzr, which no trace holds; x5 = 0x0; from hyp_stack+0x800",
            "Loads xzr and x5 from memory; a trace does not record the value.",
        ),
        (
            "ret x6",
            "returns to dispatch+0x5c, the address in x6",
            "Returns to hyp address of dispatch+0x5c.",
        ),
    ],
)
def test_what_a_learner_may_write_is_told_too(own, instruction, words, sentence):
    assert said(own, instruction) == words
    (at,) = [step.index for step in own if step.text.startswith(instruction)]
    assert Payload(own).sentence(at) == sentence


@needs_keystone
def test_a_comparison_of_the_low_half_of_sp_is_told(own):
    assert re.fullmatch(
        r"wsp \(0x[0-9a-f]{1,8}\) is (greater|less) than 0x5.*", said(own, "cmp wsp")
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_step_from_reset_to_panic_can_be_told(variant):
    told = 0
    with Machine(variant, seed=5) as machine:
        traces = [machine.boot_trace]
        for what, argument in (
            ("__kvm_vcpu_run_nvhe", "vcpu0"),
            ("__kvm_vcpu_run_nvhe", "vcpu1"),
            ("__vgic_v3_save_aprs", "vcpu0"),
            ("__vgic_v3_init_lrs", 0),
            ("__kvm_tlb_flush_local_vmid", "vcpu0"),
            (0, 0),
            ("__kvm_tlb_flush_vmid", 0x1000),
        ):
            traces.append(machine.call(what, argument).whole_trace)
            if machine.stopped:
                machine.reboot()
    for trace in traces:
        for index in range(len(trace)):
            assert 3 < len(in_words(trace, index)) < 400
            told += 1
    assert told > 600
