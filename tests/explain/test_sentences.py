"""Steps in words: what is said of known instructions, and that every instruction can be told."""

import re

import pytest

from hypkit import VARIANTS, Machine
from hypkit.explain.sentences import changes, in_words, meaning, with_meaning
from hypkit.timetravel.payload import Payload
from tests.marks import needs_engine


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
        ("mov x0, #0x102", "Puts 0x102, the number of __kvm_timer_set_cntvoff, into x0."),
        ("b __kvm_call_hyp", "Goes to __kvm_call_hyp."),
        (
            "stp x0, x1",
            "Stores x0 and x1 to the EL2 stack: 0x102 and 0x1234; sp goes down by 0x10.",
        ),
        (
            "ldp x0, x1",
            "Loads x0 and x1 from the EL2 stack: 0x102 and 0x1234; sp goes up by 0x10.",
        ),
        ("lsr x0", "Shifts x0 (0x5a000000) right by 26 bits: x0 = 0x16."),
        ("cmp x0, #0x16", "Compares x0 (0x16) with 0x16: equal."),
        ("cmp x0, #3", "Compares x0 (0x102) with 3: higher."),
        ("cmp x0, #0x10e", "Compares x0 (0x102) with 0x10e: lower."),
        (
            "ccmp",
            "If the last comparison said not equal, compares x0 (0x16) with 0x12; else sets the "
            "flags to -Z--. Flags now: -Z--.",
        ),
        ("b.ne", "Not taken: the condition (not equal) does not hold. Goes on below."),
        (
            "b.hs",
            "Taken: the condition (higher or the same, unsigned) holds. Goes to dispatch_find.",
        ),
        ("mrs x0, esr_el2", "Reads ESR_EL2 into x0: 0x5a000000, HVC from AArch64."),
        (
            "mrs x1, vttbr_el2",
            "Reads VTTBR_EL2 into x1: 0. Zero means that no VM is running, and the host asks.",
        ),
        ("mov x3, x4", "Copies x4 to x3: 0."),
        ("msr cntvoff_el2", "Writes x0 (0x500001234) into CNTVOFF_EL2."),
        ("adrp x9", "Puts the address of the 4 KiB page of kimage_voffset into x9."),
        ("adrp x10", "Puts the address of the 4 KiB page of physvirt_offset into x10."),
        ("ldr x10, [x10", "Loads x10 from hyp address of physvirt_offset: 0x1000040000000."),
        ("ldr x10, d", "Loads x10 from the literal pool: image address of kvm_hcall_table."),
        ("ror x0", "kern_hyp_va, 2 of 5: rotates right, so that the tag's place is at the bottom: "
         "x0 = 0xa170c000000000."),
    ],
)  # fmt: skip
def test_an_instruction_is_told_in_a_sentence(trace, instruction, words):
    assert said(trace, instruction) == words


def test_stepper_and_table_say_the_same_of_every_step(trace, guest):
    for one in (trace, guest):
        payload = Payload(one)
        assert [payload.sentence(step) for step in range(len(one))] == [
            in_words(one, step) for step in range(len(one))
        ]


def test_what_a_step_changed_is_told_with_the_system_registers(trace):
    (hvc,) = (step.index for step in trace if step.text == "hvc #0")
    found = dict(part.split(" = ") for part in changes(trace, hvc).split(", "))
    assert set(found) == {"sp", "ESR_EL2", "ELR_EL2", "SPSR_EL2"}
    assert found["ESR_EL2"] == "0x5a000000"
    assert found["ELR_EL2"] == f"{trace[hvc].pc + 4:#x}"
    (sub,) = (step.index for step in trace if step.text == "sub x0, x0, #0x100")
    assert changes(trace, sub) == "x0 = 2"
    (written,) = (step.index for step in trace if step.text == "msr cntvoff_el2, x0")
    assert changes(trace, written) == "CNTVOFF_EL2 = 0x500001234"
    assert changes(trace, written + 1) == ""


def test_an_hvc_and_an_eret_say_where_they_go(trace, guest):
    assert said(trace, "hvc").startswith(
        "Hypercall: the core enters EL2 (hyp) at VBAR_EL2 + 0x400."
    )
    assert said(trace, "eret").endswith("at EL1 (host), image address of __kvm_call_hyp+0x4.")
    assert said(guest, "eret").endswith("at EL1 (VM), VM address of vm_entry.")
    assert said(guest, "str x21") == "Stores x21 to VM address of vm_counter: 1."


def test_a_comparison_that_depends_on_the_sign_says_so(machine):
    trace = machine.hvc(-1).trace
    assert said(trace, "cmp x0, #3").endswith("with 3: higher, but as signed numbers less.")


def test_a_fault_tells_its_address():
    with Machine("fnptr", seed=2020) as machine:
        trace = machine.call("__kvm_tlb_flush_vmid", 0x1000).trace
        far = machine.panicked.far
    fault = next(i for i, step in enumerate(trace) if step.exception and step.el == 2)
    words = in_words(trace, fault)
    assert words.startswith("Exception: data abort, same exception level: translation fault")
    assert f"FAR_EL2 = {far:#x}. The core enters EL2 at VBAR_EL2 + 0x200." in words


@needs_engine
def test_code_that_was_rewritten_is_told_as_it_was_executed(machine):
    """Through its page tables the host rewrites an instruction of EL2's before the call."""
    machine.reboot()
    at = machine.address("dispatch_find", "linear")
    entry = machine.entry_of(at)
    descriptor = int.from_bytes(machine.read(entry, 8, el=1), "little")
    machine.poke(entry, (descriptor & ~(1 << 7)).to_bytes(8, "little"))
    machine.poke(at, 0xF1002C1F.to_bytes(4, "little"))  # cmp x0, #0xb
    trace = machine.hvc(0x102, 1).trace
    step = trace.find("dispatch_find")
    assert trace[step].text == "cmp x0, #0xb"
    assert in_words(trace, step) == "Compares x0 (0x102) with 0xb: higher."
    payload = Payload(trace)
    assert payload.sentence(step) == "Compares x0 (0x102) with 0xb: higher."
    assert "cmp x0, #0xb" in [row.text for row in payload.listing.rows]
    machine.reboot()


def test_moves_that_boot_wrote_are_no_step_of_kern_hyp_va():
    with Machine("patched", seed=2020) as patched:
        call = patched.call("__kvm_timer_set_cntvoff", 0x1234)
    told = [in_words(call.trace, step) for step in call.cost.steps["dispatch"]]
    texts = [call.trace[step].text for step in call.cost.steps["dispatch"]]
    moves = [words for text, words in zip(texts, told, strict=True) if text.startswith("mov")]
    assert len(moves) == 4 and not any("kern_hyp_va" in words for words in moves)
    assert [words.partition(":")[0] for words in told if "kern_hyp_va" in words] == [
        f"kern_hyp_va, {n} of 5" for n in range(1, 6)
    ]
    assert texts[[n for n, words in enumerate(told) if "1 of 5" in words][0]].startswith("and ")


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


@needs_engine
@pytest.mark.parametrize(
    ("instruction", "words"),
    [
        ("tst x2", "Looks which bits of x2 (6) are set in 4; flags now: ----."),
        ("cmn x2", "Compares x2 (6) with -1: lower, but as signed numbers greater."),
        ("cmp x2, x2", "Compares x2 (6) with x2 (6) shifted left by 1; flags now: N---."),
        ("dmb", "Keeps the memory accesses before it ahead of those after it."),
        ("yield", "No change."),
        ("stxr", "Stores x2 if the reservation still holds: x4 = 1, and 0 means that it did."),
        ("str q0", "Stores q0 to memory; a trace does not record the value."),
        ("ldr d1", "Loads d1 from memory; a trace does not record the value."),
        ("ldp xzr", "Loads xzr and x5 from memory; a trace does not record the value."),
        ("ret x6", "Returns to hyp address of dispatch+0x5c."),
    ],
)
def test_what_a_learner_may_write_is_told_too(own, instruction, words):
    assert said(own, instruction) == words


@needs_engine
def test_a_comparison_of_the_low_half_of_sp_tells_the_flags(own):
    # A gap has all 64 bits of a register, so that it cannot say how the halves compare.
    assert re.fullmatch(
        r"Compares wsp \(.*\) with 5; flags now: [N-][Z-][C-][V-]\.", said(own, "cmp wsp")
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


def test_the_second_half_of_an_adr_l_names_what_it_finds_and_not_what_its_page_begins_with():
    with Machine("adr_l", seed=2020) as machine:
        trace = machine.call("__kvm_get_mdcr_el2").trace
        at = next(i for i, step in enumerate(trace) if step.text == "add x10, x10, #0x18")
        assert in_words(trace, at) == "Adds 0x18 to x10: x10 = hyp address of kvm_hcall_table."
