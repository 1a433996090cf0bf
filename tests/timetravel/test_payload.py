"""What the stepper's front end is given: the same facts as the trace, its cost and its image."""

import json
import struct

import numpy as np
import pytest

from hypkit import VARIANTS, Machine
from hypkit.a64.decode import decode
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.a64.registers import REGISTERS
from hypkit.cost import PHASES, phases
from hypkit.explain.templates import compared, explain
from hypkit.kernel.memory_map import HEAP
from hypkit.timetravel import payload
from hypkit.timetravel.payload import Payload

LOOP = """
dispatch:
        divert_stub_calls
dispatch_find:
        mov     x9, #COUNT
1:      str     x9, [sp, #-16]!
        ldr     x10, [sp], #16
        sub     x9, x9, #1
        cbnz    x9, 1b
        mov     x10, #0
        ldr     x12, [x11, w10, uxtw #3]
dispatch_call:
        mov     x0, #7
dispatch_return:
        eret
"""


def loop(count, **options):
    """A call whose dispatcher goes round a loop *count* times, four steps each."""
    text = LOOP.replace("COUNT", str(count)).replace("[x11, w10", "[sp, w10")
    machine = Machine("numbered", dispatcher=text, **options)
    return machine.call("__kvm_get_mdcr_el2")


@pytest.fixture(scope="module")
def machine():
    return Machine("numbered", seed=2020)


@pytest.fixture(scope="module")
def calls(machine):
    """Calls that between them return, run a VM, fault in it, go round a loop, and panic."""
    return {
        "number": machine.call("__kvm_timer_set_cntvoff", 0x1234),
        "vm": machine.call("__kvm_vcpu_run_nvhe", "vcpu0"),
        "vm fault": machine.call("__kvm_vcpu_run_nvhe", "vcpu1"),
        "unknown": machine.hvc(0x7FFF),
        "loop": loop(40),
        "panic": machine.call("__kvm_tlb_flush_vmid", 0x1234),
        **{
            key: Machine(key, seed=2020).call("__kvm_timer_set_cntvoff", 0x1234) for key in VARIANTS
        },
    }


CALLS = ("number", "vm", "vm fault", "unknown", "loop", "panic", *VARIANTS)


@pytest.mark.parametrize("key", CALLS)
def test_accesses_are_those_of_the_steps(calls, key):
    trace = calls[key].trace
    mine = [
        (
            int(a["step"]),
            int(a["va"]),
            None if a["info"] & 64 else int(a["value"]),
            int(a["info"]) & 31,
            bool(a["info"] & 32),
        )
        for a in Payload(trace).accesses
    ]
    assert mine == [
        (step.index, a.va, a.value, a.size, a.kind == "store")
        for step in trace
        for a in step.memory
    ]


def test_what_a_trace_does_not_hold_is_left_out_and_said_so():
    body = "str q0, [sp, #-16]!\nldr d1, [sp]\nldp xzr, x3, [sp], #16"
    text = f"dispatch:\ndivert_stub_calls\ndispatch_find:\n{body}\neret"
    trace = Machine("numbered", dispatcher=text).hvc(0x100).trace
    found = Payload(trace)
    said = [found.sentence(step.index) for step in trace if "q0" in step.text or "d1" in step.text]
    assert said == [
        "Stores q0 to memory; a trace does not record the value.",
        "Loads d1 from memory; a trace does not record the value.",
    ]
    (pair,) = [step for step in trace if step.text.startswith("ldp xzr")]
    assert [a["va"] for a in found.accesses if a["step"] == pair.index] == [pair.memory[1].va]
    assert found.chunk(0)


@pytest.mark.parametrize("key", CALLS)
def test_phases_and_counts_are_those_of_the_cost(calls, key):
    found = Payload(calls[key].trace)
    assert [payload.PHASE_NAMES[p] for p in found.phases] == list(phases(calls[key].trace))
    assert found.counts(len(found)) == calls[key].cost.phases


def test_the_counts_so_far_are_the_cost_of_the_trace_so_far(calls):
    found = Payload(calls["vm"].trace)
    assert sum(c.instructions for c in found.counts(100).values()) == 100
    assert found.counts(0) == {}


@pytest.mark.parametrize(
    ("what", "argument"),
    [
        ("__kvm_timer_set_cntvoff", 5),
        ("__kvm_enable_ssbs", None),
        ("__kvm_vcpu_run_nvhe", "vcpu0"),
        ("__kvm_vcpu_run_nvhe", "vcpu1"),
        ("__kvm_tlb_flush_vmid", "kvm0"),
        ("__kvm_tlb_flush_vmid", 0x1234),
    ],
)
def test_system_registers_followed_to_the_end_are_the_machines(what, argument):
    machine = Machine("numbered", seed=7)
    call = machine.call(what, *([] if argument is None else [argument]))
    found = dict(call.whole_trace.sysregs)
    for change in Payload(call.whole_trace).trace.sysreg_changes:
        found[list(found)[change["register"]]] = int(change["value"])
    assert found == {name: machine.sysreg(name) for name in found}


def test_system_registers_followed_through_the_boot_are_the_machines():
    machine = Machine("fnptr", seed=3)
    found = dict(machine.boot_trace.sysregs)
    for change in Payload(machine.boot_trace).trace.sysreg_changes:
        found[list(found)[change["register"]]] = int(change["value"])
    assert found == {name: machine.sysreg(name) for name in found}


def unpack(chunk, sysregs):
    """Base, values, masks and last writers of a chunk."""
    rows, values = struct.unpack_from("<2I", chunk)
    wide = np.frombuffer(chunk, "<u8", len(REGISTERS) + sysregs + values + rows, 32)
    base, rest = wide[: len(REGISTERS)], wide[len(REGISTERS) + sysregs :]
    return base, rest[:values], rest[values:]


def test_chunks_put_together_are_the_trace(calls, monkeypatch):
    monkeypatch.setattr(payload, "CHUNK", 16)
    trace = calls["vm"].trace
    found = Payload(trace)
    assert found.chunks == -(-len(trace) // 16) > 2
    for number in range(found.chunks):
        base, values, masks = unpack(found.chunk(number), len(found.sysregs))
        state, at = dict(zip(REGISTERS, map(int, base), strict=True)), 0
        for row, mask in enumerate(map(int, masks)):
            for bit, name in enumerate(REGISTERS):
                if mask >> bit & 1:
                    state[name], at = int(values[at]), at + 1
            assert state == trace.registers(16 * number + row)
        assert at == len(values)


def test_a_chunk_that_is_not_there_is_an_error(calls):
    with pytest.raises(IndexError, match="chunk 1 of a trace with 1 chunks"):
        Payload(calls["number"].trace).chunk(1)


def test_the_page_tables_expand_to_those_of_the_image(machine, calls):
    words = {}
    for table, index, count, first, step in Payload(calls["number"].trace).meta()["page_tables"]:
        for n in range(count):
            words[table, index + n] = int(first, 16) + n * step
    image = machine.image
    for pa, data in image.memory.items():
        if HEAP["idmap_pg_dir"][0] <= pa < HEAP["hyp_stack"][0]:
            for page in range(0, len(data), PAGE_SIZE):
                for index, word in enumerate(struct.unpack_from("<512Q", data, page)):
                    assert words.get((pa, page // 8 + index), 0) == word


def test_the_data_is_the_same_bytes_each_time(calls):
    one, other = Payload(calls["vm"].trace).data(), Payload(calls["vm"].trace).data()
    assert one == other
    assert len(json.dumps(Payload(calls["vm"].trace).inline())) < 150_000


def test_the_listing_has_every_instruction_that_ran_and_the_comments_of_the_source(calls):
    found = Payload(calls["number"].trace)
    for step in calls["number"].trace:
        row = found.listing.rows[found.listing.row_of[step.pc]]
        assert (row.word, row.text) == (step.word, step.text)
    esb = next(row for row in found.listing.rows if row.text == "esb")
    assert esb.comment == "synchronous, from EL1 in AArch64"
    assert any(row.story for row in found.listing.rows)
    labels = [row.label for row in found.listing.rows if row.label]
    assert labels.index("el1_sync") < labels.index("dispatch") < labels.index("dispatch_return")


def test_a_wild_jump_has_a_row_that_says_so():
    machine = Machine("fnptr")
    call = machine.hvc(machine.address("host_next", "linear"))
    found = Payload(call.trace)
    assert call.outcome == "panicked"
    assert all(int(pc) in found.listing.row_of for pc in call.trace.pcs[:-1])


def test_the_sentences_tell_the_story(calls):
    found = Payload(calls["number"].trace)
    said = [found.sentence(step) for step in range(len(found))]
    for expected in (
        "Puts 0x102, the number of __kvm_timer_set_cntvoff, into x0.",
        "Compares x0 (0x102) with 0x100: higher.",
        "Loads x0 from the table slot of hypercall 2: image address of __kvm_timer_set_cntvoff.",
        "Writes x0 (0x1234) into CNTVOFF_EL2.",
    ):
        assert expected in said
    panicked = Payload(calls["panic"].trace)
    fault = next(iter(panicked.exceptions))
    assert panicked.sentence(fault) == (
        "Exception: data abort, same exception level: translation fault, level 2 (read); FAR_EL2 = "
        "0x9656c0001234. The core enters EL2 at VBAR_EL2 + 0x200."
    )


def test_no_sentence_of_any_call_keeps_a_gap(calls):
    for call in calls.values():
        found = Payload(call.trace)
        for step in range(len(found)):
            sentence = found.sentence(step)
            assert sentence and "{" not in sentence and "None" not in sentence, sentence


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (3, 3, "equal"),
        (2, 3, "lower"),
        (0x10E, 0x100, "higher"),
        ((1 << 64) - 1, 0x10E, "higher, but as signed numbers less"),
        (0, 1 << 63, "lower, but as signed numbers greater"),
    ],
)
def test_a_comparison_says_how_two_words_stand(one, other, said):
    assert compared(one, other) == said


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        (0x54000000, "Not taken: the condition (equal) does not hold. Goes on below."),
        (0xD503201F, "Does nothing."),
        (0xF94003E0, "Loads x0 from {place}: {values}."),
        (0xD51C1100, "Writes x0 ({before x0}) into HCR_EL2."),
        (
            0x8B010C00,
            "Adds x1 ({before x1}) shifted left by 3 to x0 ({before x0}): x0 = {after x0}.",
        ),
        (0xD35AFC00, "Shifts x0 ({before x0}) right by 26 bits: x0 = {after x0}."),
        (0xF140041F, "Compares x0 ({before x0}) with 0x1000: {compare x0 0x1000}."),
        (0xDAC00C00, "{changes}."),
    ],
)
def test_an_instruction_is_explained(word, sentence):
    instruction = decode(word)
    assert explain(instruction, instruction.operands.replace("{}", "there")).text == sentence


def test_a_long_trace_is_cut_with_a_note_and_does_not_go_into_a_file(monkeypatch):
    trace = loop(100).trace
    monkeypatch.setattr(payload, "LIMIT", 300)
    monkeypatch.setattr(payload, "WHOLE", 200)
    found = Payload(trace, outcome="It ended.")
    assert len(found) == 300
    assert found.outcome == "Here the view ends, not the call. It ended."
    assert found.note == (
        f"This trace has {len(trace)} steps. The first 300 are shown; cut it, "
        "trace[a:b], to see others."
    )
    assert not found.whole
    with pytest.raises(ValueError, match=r"a file holds up to 200 steps and this trace has 300"):
        found.inline()


def test_the_timeline_has_no_more_columns_than_it_can_show(monkeypatch):
    trace = loop(100).trace
    monkeypatch.setattr(payload, "BINS", 50)
    columns = Payload(trace).overview()
    assert len(columns) == 50
    assert any(column & payload.MARK_HVC for column in columns)
    assert all(column & 7 for column in columns)


def test_an_empty_trace_is_shown_as_one(calls):
    found = Payload(calls["number"].trace[0:0])
    assert (len(found), found.chunks, found.overview()) == (0, 1, [])
    assert found.meta()["steps"] == 0 and found.chunk(0)


def test_phase_names_are_those_of_the_cost():
    assert payload.PHASE_NAMES == tuple(PHASES)
