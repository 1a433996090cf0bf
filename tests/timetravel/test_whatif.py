"""The same call again, with something changed."""

import numpy as np
import pytest

from hypkit import VARIANTS, Machine
from hypkit.errors import KitError
from hypkit.lessons.recording import RecordingMachine
from hypkit.machine.cpu import EXCEPTION_STEPS
from hypkit.timetravel import whatif
from hypkit.trace.columns import Edit

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
    known = next(v for v in whatif.variables(run.trace) if v.writable)
    assert known.label.startswith("vcpu0+") and known.size == 8
    found = whatif.again(run, {known.label: 0x40})
    news = [a for step in found.after.trace for a in step.memory if a.symbol == known.label]
    assert news[0].kind == "load" and news[0].value == 0x40 != known.value
    assert not found.notes


def test_what_el1s_page_tables_forbid_is_written_by_way_of_the_tables(call):
    image = call.trace.image
    known = next(v for v in whatif.variables(call.trace) if v.label == "kimage_voffset")
    assert (known.value, known.size, known.writable) == (image.layout.kimage_voffset, 8, False)
    assert known.pa == image.pa("kimage_voffset")
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


# --- From a step on ------------------------------------------------------------------------------


def test_a_call_that_stands_still_at_a_step_and_changes_nothing_is_the_same_call(call):
    for step in range(0, len(call.trace), 2):
        same = {name: call.trace.register(name, step) for name in ("x0", "x1", "x9", "sp")}
        found = whatif.again(call, same, step)
        assert found.before is call and found.after.outcome == call.outcome
        assert found.after.trace.table() == call.trace.table(), step


def test_a_register_is_changed_before_any_step_and_the_machine_goes_on_from_there(call):
    trace = call.trace
    answers = []
    for step in range(len(trace)):
        after = whatif.again(call, {"x1": 0x55}, step).after
        news = after.trace
        assert np.array_equal(news.pcs[: step + 1], trace.pcs[: step + 1])
        assert news.register("x1", step) == 0x55 and news.edit.step == step
        assert news.edit.before == {"x1": trace.register("x1", step)}
        if step:  # what was changed is no work of the instruction before
            assert news[step - 1].changed == trace[step - 1].changed
        answers.append(after.x0)
    # What EL2 has kept on its stack, what it has moved to x0 already, and what it has written.
    at = {text: number for number, text in enumerate(step.text for step in trace)}
    assert answers[at["hvc #0"]] == 0x55
    assert answers[at["mrs x0, esr_el2"]] == 0x1234
    assert answers[at["ldp x0, x1, [sp], #0x10"] + 1] == 0x55
    assert answers[at["mov x0, x1"] + 1] == 0x1234
    assert answers[at["orr x0, x0, x1, lsl #32"]] == 0x55 << 32 | 0x1234


def test_a_change_at_a_step_is_what_an_instruction_there_would_have_made_of_it(call):
    text = call.trace.image.dispatcher.source
    line = "        sub     x0, x0, #KVM_HOST_HCALL_BASE\n"
    assert line in text
    text = text.replace(line, f"        mov x1, #0x55\n{line}")
    with Machine("numbered", seed=2020, dispatcher=text) as machine:
        other = machine.call(CALL, 0x1234).trace
    at = next(step.index for step in other if step.text == "mov x1, #0x55")
    found = whatif.again(call, {"x1": 0x55}, at).after
    rows = [(step.instruction.mnemonic, step.regs["x1"]) for step in found.trace[at:]]
    assert rows == [(step.instruction.mnemonic, step.regs["x1"]) for step in other[at + 1 :]]
    assert found.trace.register("x0", len(found.trace)) == other.register("x0", len(other)) == 0x55


def test_the_hosts_registers_at_the_hvc_are_those_of_a_bare_hvc(call):
    at = next(step.index for step in call.trace if step.text == "hvc #0")
    found = whatif.again(call, {"x0": 0x10E, "x1": 7}, at)
    with Machine("numbered", seed=2020) as machine:
        bare = machine.hvc(0x10E, 7)
    assert (
        (found.after.outcome, found.after.x0)
        == (bare.outcome, bare.x0)
        == ("returned", -38 % 2**64)
    )
    assert found.title == "x0 = 0x10e, x1 = 0x7 before step 3"


def test_a_variable_counts_from_the_step_before_which_it_is_changed(call):
    read = next(s.index for s in call.trace for a in s.memory if a.symbol == "kimage_voffset")
    early, late = (whatif.again(call, {"kimage_voffset": 5}, read + by) for by in (0, 1))
    assert early.after.outcome == "panicked" and late.after.trace.table() == call.trace.table()
    for found in (early, late):
        assert "page tables forbid it to write kimage_voffset" in found.notes[0]
    (source,) = early.after.trace.origin("x9", read + 1).sources
    assert (source.kind, source.name, source.value, source.owner) == (
        ("what if", "kimage_voffset", 5, "you")
    )


def test_the_origin_of_what_was_changed_is_the_reader_and_what_was_there_reaches_no_further(call):
    step = next(step.index for step in call.trace if step.text == "mov x0, x1")
    trace = whatif.again(call, {"x1": 0x55}, step).after.trace
    (source,) = trace.origin("x0", step + 1).sources
    assert (source.kind, source.name, source.value, source.owner) == ("what if", "x1", 0x55, "you")
    assert trace.origin("x1", step - 1).owners == ("host",)
    assert trace.reaches("x1", step - 1).ends == ()
    last = len(call.trace) - 1
    late = whatif.again(call, {"x9": 1, "sp": 0x10}, last).after.trace
    assert [end.name for end in call.trace.reaches("x9", last).ends] == ["x9 at the end"]
    assert late.reaches("x9", last - 1).ends == late.reaches("sp_el1", last - 1).ends == ()
    assert "CNTVOFF_EL2" in [end.name for end in trace.reaches("x1", step).ends]
    assert trace[step - 3 :].edit.step == 3 and trace[step + 1 :].edit is None
    assert trace[step + 1 :].register("x0", 0) == 0x55


def test_a_budget_counts_the_same_with_and_without_a_change():
    text = "dispatch:\n        divert_stub_calls\n1:      add x9, x9, #1\n        b 1b\n"
    with Machine("numbered", seed=2020, budget=3000, dispatcher=text) as machine:
        call = machine.call("__kvm_timer_set_cntvoff", 1)
    assert call.outcome == "runaway" and len(call.trace) > 20
    for step in (3, 1000):
        found = whatif.again(call, {"x9": call.trace.register("x9", step)}, step)
        # A machine that was restored enters its first HVC in Python, which counts as so many.
        count = len(found.after.trace)
        assert found.after.outcome == "runaway"
        assert len(call.trace) - EXCEPTION_STEPS <= count <= len(call.trace)
        assert np.array_equal(found.after.trace.pcs[:count], call.trace.pcs[:count])


@pytest.mark.parametrize(
    ("changes", "step", "said"),
    [
        ({"x1": 1}, 58, "expected a step from 0 to 57, the last of this call; got 58"),
        ({"x1": 1}, -1, "expected a step from 0 to 57"),
        ({"x1": 1}, "3", "a step: expected a whole number; got '3'"),
        ({"x31": 1}, 3, "no register x0 to x30 or sp and no label 'x31'"),
        ({"pstate": 1}, 3, "no register x0 to x30 or sp and no label 'pstate'"),
        ({"0x12": 1}, 3, "expected x0 to x30 or sp, a label, label+0x10 or an address; got '0x12'"),
    ],
)
def test_a_wrong_step_or_a_wrong_wish_at_a_step_is_answered_by_what_was_expected(
    call, changes, step, said
):
    with pytest.raises(KitError) as error:
        whatif.again(call, changes, step)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (3, "edit: expected an Edit, or None; got 3"),
        (Edit(0), "edit: expected a step of the whole trace from 1 on; got 0"),
        (Edit(5, {"x99": 1}), "edit: expected x0 to x30 or sp; got 'x99'"),
        (Edit(5, {"x1": 1 << 64}), "expected a whole number of 64 bits"),
        (Edit(5, {}, {0: b"1"}), "edit: expected physical addresses of the kernel; got '0x0'"),
    ],
)
def test_a_wrong_edit_leaves_the_machine_as_it_was(edit, said):
    with Machine("numbered") as machine:
        with pytest.raises(KitError) as error:
            machine.call(CALL, 1, edit=edit)
        assert said in str(error.value) and machine.stopped is None
        assert machine.call(CALL, 1).outcome == "returned"


def test_the_machine_of_a_check_takes_no_edit():
    with RecordingMachine("numbered") as machine:
        with pytest.raises(KitError, match="takes no edit"):
            machine.call(CALL, 1, edit=Edit(5, {"x1": 2}))
        assert machine.calls == [] and machine.call(CALL, 1).outcome == "returned"
