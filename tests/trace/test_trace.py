"""A trace against a naive replay of its columns, and against the machine it was taken from."""

import itertools
import random
import re
from dataclasses import replace

import numpy as np
import pytest

from hypkit import Machine
from hypkit.a64.effects import is_hvc
from hypkit.a64.registers import REGISTERS
from hypkit.kernel.variants import HYPERCALLS, VARIANTS
from hypkit.trace import Access, Trace
from tests.marks import needs_engine
from tests.scenarios import ARGUMENTS

CNTVOFF = "__kvm_timer_set_cntvoff"
KEYS = ("fnptr", "numbered")


@pytest.fixture(scope="module")
def machines():
    made = {key: Machine(key, seed=77) for key in KEYS}
    yield made
    for machine in made.values():
        machine.close()


@pytest.fixture(params=KEYS)
def m(request, machines):
    machines[request.param].reboot()
    return machines[request.param]


@pytest.fixture
def numbered(machines):
    machines["numbered"].reboot()
    return machines["numbered"]


@pytest.fixture
def fnptr(machines):
    machines["fnptr"].reboot()
    return machines["fnptr"]


@pytest.fixture(scope="module")
def calls(machines):
    """A plain call of each variant; nobody changes them."""
    return {key: machine.call(CNTVOFF, 0x1234, 5) for key, machine in machines.items()}


@pytest.fixture(scope="module")
def boot():
    """A boot with many calls in it: longer than the buffer of the recording hook."""
    with Machine("numbered", seed=3) as m:
        names = [name for name in HYPERCALLS if name != "__kvm_vcpu_run_nvhe"]
        requests = [m.request(name, *ARGUMENTS.get(name, ())) for name in names]
        return m.reboot(requests * 80)


def nbytes(trace):
    """Bytes that the rows of a trace take in memory."""
    return trace.pcs.nbytes + trace.masks.nbytes + trace.values.nbytes


def replayed(trace):
    """The registers before every step and at the end, by adding up what changed, row by row."""
    now = dict(zip(REGISTERS, map(int, trace.base), strict=True))
    values = iter(trace.values.tolist())
    for mask in trace.masks.tolist():
        for bit, name in enumerate(REGISTERS):
            if mask >> bit & 1:
                now[name] = next(values)
        yield dict(now)
    assert next(values, None) is None


# --- Registers -----------------------------------------------------------------------------------


def test_the_registers_of_every_step_are_what_a_forward_replay_gives(m):
    trace = m.call("__kvm_vcpu_run_nvhe", "vcpu0").whole_trace
    rows = list(replayed(trace))
    assert len(rows) == len(trace) + 1 > 200
    assert [step.regs for step in trace] == rows[:-1]
    assert trace.registers(len(trace)) == rows[-1]


def test_a_recording_longer_than_its_buffer_has_no_seam(boot):
    assert len(boot) > 1 << 16
    rows = list(replayed(boot))
    draw = random.Random(8)
    for row in (
        0,
        len(boot),
        *range((1 << 16) - 3, (1 << 16) + 3),
        *(draw.randrange(len(boot)) for _ in range(50)),
    ):
        assert boot.registers(row) == rows[row]
    assert [int(el) for el in boot.els[::977]] == [row["pstate"] >> 2 & 3 for row in rows[::977]]


def test_a_column_has_a_registers_value_in_every_row_or_in_those_asked_for(calls):
    trace = calls["numbered"].trace
    rows = list(replayed(trace))
    for name in REGISTERS:
        assert trace.column(name).tolist() == [row[name] for row in rows]
    some = np.array([7, 0, len(trace), 7])
    assert trace.column("x9", some).tolist() == [rows[row]["x9"] for row in some]
    assert trace.column("xzr", some).tolist() == [0] * 4
    assert trace.column("x0", some[:0]).tolist() == []
    assert trace.column("x0").dtype == trace.column("xzr").dtype == np.uint64


def test_the_sites_are_the_addresses_executed_and_every_steps_own(m):
    trace = m.call("__kvm_vcpu_run_nvhe", "vcpu0").trace
    pcs, site = trace.sites
    assert pcs.tolist() == sorted({step.pc for step in trace})
    assert pcs[site].tolist() == [step.pc for step in trace]


def test_the_state_afterwards_is_what_the_machine_holds(m):
    trace = m.call(CNTVOFF, 0x1234).whole_trace
    end = trace.registers(len(trace))
    assert end == {name: m.reg(name) for name in REGISTERS}
    assert int(trace.pcs[-1]) == m.reg("pc") == m.image.symbols["host_idle"]


def test_what_a_step_changed_is_the_difference_of_its_rows(m):
    trace = m.call("__vgic_v3_save_aprs", "vcpu0").trace
    rows = list(replayed(trace))
    for step in trace:
        before, after = rows[step.index], rows[step.index + 1]
        assert step.changed == {
            name: (before[name], after[name]) for name in REGISTERS if before[name] != after[name]
        }


def test_a_register_was_last_written_by_the_step_that_last_changed_it(m):
    trace = m.call(CNTVOFF, 0x1234).trace
    rows = list(replayed(trace))
    for name in ("x0", "x1", "x30", "sp", "pstate", "x28"):
        for step in range(len(trace) + 1):
            writers = [n for n in range(step) if rows[n][name] != rows[n + 1][name]]
            assert trace.last_write(name, step) == (writers[-1] if writers else None)
    assert trace.last_write("x28", len(trace)) is None


def test_a_step_says_where_and_at_which_level_it_ran(calls):
    for key, call in calls.items():
        trace = call.trace
        hvc = trace.find("__kvm_call_hyp")
        step = trace[hvc]
        assert (step.el, step.text, step.symbol) == (1, "hvc #0", "__kvm_call_hyp")
        assert is_hvc(step.word)
        assert (trace[hvc + 1].el, trace[hvc + 1].symbol) == (2, "__kvm_hyp_vector+0x400")
        assert (
            trace[hvc + 1].pc
            == trace.image.layout.kern_hyp_va(
                trace.image.layout.linear_va(trace.image.pa("__kvm_hyp_vector"))
            )
            + 0x400
        )
        assert step.line[0] == "host.S"
        source = trace.image.source("host.S").split("\n")
        assert source[step.line[1] - 1].split() == ["hvc", "#0"], key
        compared = next(s for s in trace if s.text == "cmp x0, #3")
        assert trace[compared.index + 1].nzcv == "--C-" if key == "numbered" else True


# --- Memory --------------------------------------------------------------------------------------


def one_by_one(trace, step):
    """What a step loaded or stored, by its operand and the registers of its two rows."""
    operand, row = step.instruction.memory, step.index
    if operand is None:
        return
    taken = step.exception
    faulted = taken is not None and taken.elr == step.pc
    if operand.status and not faulted and trace.register(operand.status, row + 1):
        return
    first = operand.address(step.pc, lambda name: trace.register(name, row))
    for number, name in enumerate(operand.registers):
        known = name.startswith("x") and not (operand.kind == "load" and name == "xzr")
        value = trace.register(name, row + (operand.kind == "load")) if known else None
        va = first + number * operand.element & (1 << 64) - 1
        yield Access(
            operand.kind,
            va,
            operand.element,
            None if faulted or value is None else value % (1 << 8 * operand.element),
            trace.image.layout.space(va),
            trace.image.symbolize(va),
            faulted,
        )


@pytest.mark.parametrize("key", VARIANTS)
def test_the_accesses_of_all_steps_at_once_are_those_of_one_after_the_other(key):
    with Machine(key, seed=6) as m:
        traces = [m.boot_trace]
        for what, argument in (
            (CNTVOFF, 5),
            ("__kvm_vcpu_run_nvhe", "vcpu0"),
            ("__kvm_vcpu_run_nvhe", "vcpu1"),
            ("__kvm_tlb_flush_vmid", 0x1234),
        ):
            traces.append(m.call(what, argument).whole_trace)
            if m.stopped:
                m.reboot()
    for trace in traces:
        assert [step.memory for step in trace] == [tuple(one_by_one(trace, s)) for s in trace]


def place(m, access):
    """The physical address of an access, the VM's through stage 2."""
    pa = m.layout.pa(access.va)
    return m.translate(access.va, stage=2).pa if pa is None else pa


@pytest.mark.parametrize("name", HYPERCALLS)
def test_memory_accesses_tell_what_the_machines_memory_went_through(m, name):
    before = m.snapshot()
    trace = m.call(name, *ARGUMENTS.get(name, ())).trace
    accesses = [access for step in trace for access in step.memory]
    after = {place(m, a): m._cpu.ram.load(place(m, a), a.size) for a in accesses}
    m.restore(before)
    memory = {}
    for access in accesses:
        where = range(place(m, access), place(m, access) + access.size)
        for byte in where:
            if byte not in memory:
                memory[byte] = m._cpu.ram.load(byte, 1)[0]
        if access.kind == "store":
            memory.update(zip(where, access.value.to_bytes(access.size, "little"), strict=True))
        assert int.from_bytes(bytes(memory[b] for b in where), "little") == access.value, access
    for start, data in after.items():
        assert bytes(memory[b] for b in range(start, start + len(data))) == data
    assert {access.kind for access in accesses} == {"load", "store"}


# Every form of access, around x1, which the caller points into the hyp stack.
ACCESSES = """
        movz    x2, #16
        mov     x3, #-0x4321
        str     x3, [x1, #-8]!
        str     w3, [x1], #8
        strb    w3, [x1, #-16]
        strh    w3, [x1, #-24]
        str     xzr, [x1, #-32]
        stp     x3, x2, [x1, #-48]
        stp     w3, w2, [x1, #-64]!
        str     x3, [x1, x2]
        str     x3, [x1, x2, lsl #3]
        str     w2, [x1, w2, uxtw #2]
        mov     w4, #-8
        str     w3, [x1, w4, sxtw]
        ldr     x5, [x1], #8
        ldrb    w5, [x1]
        ldrsb   x5, [x1, #1]
        ldrsh   w5, [x1, #-8]
        ldrsw   x5, [x1, w4, sxtw]
        ldp     w5, w6, [x1, #-8]
        ldp     x5, x6, [x1], #8
        ldur    x5, [x1, #-15]
        ldxr    x5, [x1]
        stxr    w6, x3, [x1]
        stlr    w2, [x1]
        ldar    x5, [x1]
        ldr     x5, =0x1122334455667788
        ldr     w5, =0x55667788
"""


def dispatcher(body):
    return f"""
dispatch:
        ldp     x0, x1, [sp], #16
        cmp     x0, #3
        b.lo    1f
{body}
1:      eret
        dsb     nsh
        isb
"""


@needs_engine
def test_every_form_of_access_is_told_with_its_place_and_value():
    with Machine("numbered", seed=5, dispatcher=dispatcher(ACCESSES)) as m:
        top = m.address("hyp_stack", "hyp") + 0x800
        pa = m.layout.pa(top)
        trace = m.hvc(0x100, top).trace
        accesses = [a for step in trace if step.symbol.startswith("dispatch") for a in step.memory]
        accesses = accesses[2:]  # x0 and x1 from the stack
        assert [step.memory for step in trace] == [tuple(one_by_one(trace, s)) for s in trace]
        x3 = (1 << 64) - 0x4321
        assert [(a.kind, a.va - top, a.size, a.value) for a in accesses if a.kind == "store"] == [
            ("store", -8, 8, x3),
            ("store", -8, 4, x3 & 0xFFFF_FFFF),
            ("store", -16, 1, 0xDF),
            ("store", -24, 2, 0xBCDF),
            ("store", -32, 8, 0),
            ("store", -48, 8, x3),
            ("store", -40, 8, 16),
            ("store", -64, 4, x3 & 0xFFFF_FFFF),
            ("store", -60, 4, 16),
            ("store", -48, 8, x3),
            ("store", 64, 8, x3),
            ("store", 0, 4, 16),
            ("store", -72, 4, x3 & 0xFFFF_FFFF),
            ("store", -48, 8, x3),
            ("store", -48, 4, 16),
        ]
        assert [(a.va - top, a.size) for a in accesses if a.kind == "load"][:-2] == [
            (-64, 8),
            (-56, 1),
            (-55, 1),
            (-64, 2),
            (-64, 4),
            (-64, 4),
            (-60, 4),
            (-56, 8),
            (-48, 8),
            (-63, 8),
            (-48, 8),
            (-48, 8),
        ]
        # What the loads brought is what the stores had left, or zero.
        memory = bytearray(256)
        for access in accesses:
            at = access.va - top + 128
            if not 0 <= at < 256:  # the literal pool
                continue
            if access.kind == "store":
                memory[at : at + access.size] = access.value.to_bytes(access.size, "little")
            assert int.from_bytes(memory[at : at + access.size], "little") == access.value, access
        assert m._cpu.ram.load(pa - 128, 256) == memory
        assert [a.value for a in accesses[-2:]] == [0x1122334455667788, 0x55667788]
        assert accesses[-2].symbol.startswith("dispatch")


@needs_engine
def test_a_store_exclusive_that_lost_its_reservation_touched_nothing():
    body = "ldxr x3, [x1]\nclrex\nstxr w4, x2, [x1]\nldxr x3, [x1]\nstxr w5, x2, [x1]"
    with Machine("numbered", seed=5, dispatcher=dispatcher(body)) as m:
        trace = m.hvc(0x100, m.address("hyp_stack", "hyp") + 0x800, 0xAB).trace
        stores = [step for step in trace if step.instruction.mnemonic == "stxr"]
        assert [step.changed["x4"][1] for step in stores[:1]] == [1]
        assert [step.memory != () for step in stores] == [False, True]
        assert stores[1].memory[0].value == 0xAB


@needs_engine
def test_what_a_trace_does_not_hold_has_no_value_but_a_place():
    body = "str q0, [x1]\nldr d1, [x1, #16]\nldp xzr, x3, [x1]"
    with Machine("numbered", seed=5, dispatcher=dispatcher(body)) as m:
        top = m.address("hyp_stack", "hyp") + 0x800
        trace = m.hvc(0x100, top).trace
        start = next(step.index for step in trace if "q0" in step.text)
        found = [access for step in trace[start : start + 3] for access in step.memory]
        assert [(a.va - top, a.size, a.value, a.faulted) for a in found] == [
            (0, 16, None, False),
            (16, 8, None, False),
            (0, 8, None, False),
            (8, 8, 0, False),
        ]
        assert repr(found[0]) == f"store 16 at {top:#x} hyp_stack+0x800: ?"


def test_an_access_that_faulted_has_no_value(fnptr):
    call = fnptr.call("__kvm_tlb_flush_vmid", 0x1234_5000)
    assert call.outcome == "panicked"
    (step,) = [s for s in call.trace if s.memory and s.memory[0].value is None]
    assert step.text == "ldr x1, [x0]"
    (access,) = step.memory
    assert access.faulted and access.va == fnptr.layout.kern_hyp_va(0x1234_5000)
    assert access.va == fnptr.panicked.far
    assert repr(access) == f"load 8 at {access.va:#x}: fault"


def test_a_load_before_a_fetch_that_fails_did_not_fault_itself(calls):
    trace = calls["numbered"].trace
    load = next(step.index for step in trace if step.text.startswith("ldr x9"))
    pc = trace[load].pc
    taken = replace(trace[trace.find("__kvm_call_hyp")].exception, step=load, elr=pc + 4)

    def with_exception(taken):
        return Trace(
            trace.image,
            trace.base,
            trace.pcs,
            trace.masks,
            trace.values,
            trace.words,
            trace.sysregs,
            (taken,),
        )

    assert with_exception(taken)[load].memory == trace[load].memory
    assert with_exception(replace(taken, elr=pc))[load].memory[0].faulted


def test_an_access_is_shown_in_a_line(calls):
    trace = calls["numbered"].trace
    shown = [repr(access) for step in trace for access in step.memory]
    layout, image = trace.image.layout, trace.image
    slot = layout.hyp_va(image.pa("kvm_hcall_table")) + 8 * HYPERCALLS.index(CNTVOFF)
    assert f"load 8 at {slot:#x} kvm_hcall_table+0x10: {image.symbols[CNTVOFF]:#x}" in shown
    assert repr(Access("store", 0x10, 4, 5, None, None)) == "store 4 at 0x10: 0x5"
    assert {access.space for step in trace for access in step.memory} == {"hyp"}


# --- Exceptions ----------------------------------------------------------------------------------


def test_an_hvc_enters_el2_with_its_syndrome_and_the_way_back(m):
    trace = m.call(CNTVOFF, 1).trace
    (step,) = [step for step in trace if step.exception]
    taken = step.exception
    assert step.text == "hvc #0"
    assert (taken.target_el, taken.esr, taken.elr) == (2, 0x5A000000, step.pc + 4)
    assert (taken.spsr, taken.far) == (step.regs["pstate"], None)
    assert (m.sysreg("ESR_EL2"), m.sysreg("ELR_EL2")) == (taken.esr, taken.elr)


@needs_engine
def test_an_hvcs_immediate_is_in_its_syndrome():
    with Machine("numbered", seed=5, dispatcher=dispatcher("hvc #0x1234")) as m:
        trace = m.hvc(0x100).trace
        (taken,) = [step.exception for step in trace if step.text == "hvc #0x1234"]
        assert (taken.target_el, taken.esr) == (2, 0x5A001234)
        assert m.panicked.esr == taken.esr


@pytest.mark.parametrize("x0", [0x1000, 0x1001])
def test_a_fetch_that_fails_is_the_exception_of_the_branch_that_led_there(fnptr, x0):
    call = fnptr.hvc(x0)
    taken = call.trace[call.trace.find("hyp_panic") - 2].exception
    assert taken.far == taken.elr == fnptr.layout.kern_hyp_va(x0)
    assert (taken.esr, taken.elr, taken.far, taken.spsr) == (
        fnptr.panicked.esr,
        fnptr.panicked.elr,
        fnptr.panicked.far,
        fnptr.panicked.spsr,
    )


def test_a_data_abort_at_el2_is_its_own_steps(m):
    call = m.call("__vgic_v3_save_aprs", m.address("kimage_voffset", "linear") - 392)
    (step,) = [step for step in call.trace if step.exception and step.text != "hvc #0"]
    taken, panic = step.exception, m.panicked
    assert (step.text, step.memory[0].value) == ("str w2, [x0]", None)
    assert (taken.target_el, taken.esr, taken.elr, taken.far, taken.spsr) == (
        2,
        panic.esr,
        panic.elr,
        panic.far,
        panic.spsr,
    )
    assert taken.elr == step.pc and call.trace[step.index + 1].symbol == "__kvm_hyp_vector+0x200"


def test_the_vms_exceptions_are_seen_too(m):
    def taken_of(vcpu):
        trace = m.call("__kvm_vcpu_run_nvhe", vcpu).trace
        return [
            (step.symbol, step.exception.esr >> 26, step.exception.far)
            for step in trace
            if step.exception
        ]

    host = ("__kvm_call_hyp", 0x16, None)
    assert taken_of("vcpu0") == [host, ("vm_entry+0x14", 0x16, None)]
    assert taken_of("vcpu1") == [host, ("vm_entry_fault+0x4", 0x24, 0x9000_0008)]


def test_of_two_exceptions_after_one_step_the_first_counts(calls):
    trace = calls["numbered"].trace
    first = trace[trace.find("__kvm_call_hyp")].exception
    one, two = replace(first, step=5, esr=1), replace(first, step=5, esr=2)
    doubled = Trace(
        trace.image,
        trace.base,
        trace.pcs,
        trace.masks,
        trace.values,
        trace.words,
        trace.sysregs,
        (one, two, replace(first, esr=3)),
    )
    assert doubled.exception_after(5) == one
    assert doubled.exception_after(first.step) == first  # an HVC's is its own, not the vector's


# --- Finding -------------------------------------------------------------------------------------


def test_a_label_is_found_wherever_it_was_reached_first(m):
    trace = m.call(CNTVOFF, 1).trace
    for label in ("__kvm_call_hyp", "el1_sync", "dispatch", CNTVOFF):
        first = next(step.index for step in trace if step.symbol == label)
        assert trace.find(label) == first
        assert trace.find(label, first) == first
        assert trace.find(label, first + 1) is None
    assert trace.find("__kvm_get_mdcr_el2") is None
    assert trace.find("el1_sync", -5) == trace.find("el1_sync")


def test_code_that_runs_at_its_physical_address_is_found(m):
    trace = m.hvc(2).trace
    stub = trace.find("__kvm_handle_stub_hvc")
    assert trace[stub].pc == m.image.pa("__kvm_handle_stub_hvc")


def test_a_label_of_the_vm_is_found(m):
    trace = m.call("__kvm_vcpu_run_nvhe", "vcpu0").trace
    assert trace[trace.find("vm_entry")].symbol == "vm_entry"
    assert trace[trace.find("vm_entry")].el == 1
    assert trace.find("vm_entry_fault") is None


def test_the_end_of_a_trace_is_no_step_to_be_found(m):
    trace = m.call(CNTVOFF, 1).trace
    assert m.image.symbolize(int(trace.pcs[-1])) == "host_called"
    assert trace.find("host_called") is None


# --- Slices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (3, 40), (17, 18), (5, 5), (-10, None), (20, -3), (0, 10_000), (30, 10)],
)
def test_a_slice_has_the_rows_of_the_whole(m, start, stop):
    whole = m.call("__kvm_tlb_flush_vmid", 0x1234_5000).trace  # ends in a data abort
    part, span = whole[start:stop], range(len(whole))[start:stop]
    assert len(part) == len(span)
    for step, index in zip(part, span, strict=True):
        twin = whole[index]
        assert (step.pc, step.el, step.regs, step.changed, step.memory, step.nzcv) == (
            twin.pc,
            twin.el,
            twin.regs,
            twin.changed,
            twin.memory,
            twin.nzcv,
        )
        assert (step.exception and step.exception.esr) == (twin.exception and twin.exception.esr)
        assert step.exception is None or step.exception.step == step.index
    end = span.start + len(span)
    assert part.registers(len(part)) == whole.registers(end)
    assert nbytes(part) <= nbytes(whole)
    assert list(replayed(part))[-1] == whole.registers(end)


def test_the_vms_last_fault_is_in_the_system_registers_of_what_comes_after():
    with Machine("numbered", seed=1) as m:
        whole, hpfar = m.call("__kvm_vcpu_run_nvhe", "vcpu1").whole_trace, m.sysreg("HPFAR_EL2")
    (fault,) = [taken for taken in whole.exceptions.values() if taken.far == 0x9000_0008]
    assert whole[fault.step :].sysregs["HPFAR_EL2"] == 0
    assert whole[fault.step + 1 :].sysregs["HPFAR_EL2"] == hpfar == 0x9000_0 << 4
    assert whole[fault.step + 1 :].sysregs["FAR_EL2"] == 0x9000_0008


def test_a_slice_of_a_slice_is_a_slice(m):
    whole = m.call(CNTVOFF, 7).trace
    assert [s.regs for s in whole[10:50][5:20]] == [s.regs for s in whole[15:30]]
    assert repr(whole[10:50][5:20]) == repr(whole[15:30])


def test_the_system_registers_of_a_slice_are_those_of_its_first_step(m):
    whole = m.call("__kvm_vcpu_run_nvhe", "vcpu0").whole_trace
    end = whole[len(whole) :].sysregs
    assert end == {name: m.sysreg(name) for name in whole.sysregs}
    hvc = whole.find("__kvm_call_hyp")
    assert whole[hvc + 1 :].sysregs["ELR_EL2"] == whole[hvc].pc + 4
    vm = whole.find("vm_entry")
    assert whole[hvc:].sysregs["VTTBR_EL2"] == 0
    assert whole[vm:].sysregs["VTTBR_EL2"] == 1 << 48 | m.image.pa("stage2_pgd")
    assert whole[hvc:][vm - hvc :].sysregs == whole[vm:].sysregs


def test_a_step_can_be_counted_from_the_end(calls):
    trace = calls["fnptr"].trace
    assert trace[-1].index == trace[np.int64(-1)].index == len(trace) - 1
    assert trace[-1].text == "ret"


# --- Two traces ----------------------------------------------------------------------------------


def alike(step):
    """What two steps have in common that stand in one row."""
    function = step.symbol.split("+")[0]
    return function, step.el, re.sub(r"(, )?#-?\w+|\+0x\w+", "", step.text)


def test_two_variants_share_all_but_the_dispatch(calls):
    a, b = calls["fnptr"].trace, calls["numbered"].trace
    diff = a.diff(b)
    # blr, b, hvc, 13 of entry, kern_hyp_va x0, do_el2_call but for three moves, 4 of the handler,
    # eret, ret.
    assert diff.same == 1 + 1 + 1 + 13 + 5 + 7 + 4 + 1 + 1
    for i, j in diff.rows:
        if i is not None and j is not None:
            assert alike(a[i]) == alike(b[j])
    assert [i for i, _ in diff.rows if i is not None] == list(range(len(a)))
    assert [j for _, j in diff.rows if j is not None] == list(range(len(b)))
    alone = {b[j].symbol.split("+")[0] for i, j in diff.rows if i is None}
    assert alone == {"dispatch_find", "dispatch_call", f"host_call_{CNTVOFF}"}
    assert repr(diff) == (
        f"TraceDiff(34 steps in both, {len(a) - 34} only in the first, "
        f"{len(b) - 34} only in the second)"
    )


def test_what_a_suggestion_takes_away_is_all_that_differs():
    posted, cached = (Machine(key, seed=2020) for key in ("numbered", "cached"))
    with posted, cached:
        a, b = (machine.call(CNTVOFF, 5).trace for machine in (posted, cached))
    rows = a.diff(b).rows
    assert [a[i].text for i, j in rows if j is None] == [
        "adrp x10, physvirt_offset",
        "ldr x10, [x10, #8]",
        "add x9, x9, x10",
    ]
    assert all(i is not None for i, _ in rows)


def test_a_seed_makes_no_difference_to_the_way(calls):
    with Machine("numbered", seed=1) as m:
        other = m.call(CNTVOFF, 99).trace
        diff = calls["numbered"].trace.diff(other)
    assert diff.same == len(other) == len(calls["numbered"].trace)
    assert diff.rows == [(n, n) for n in range(len(other))]


def test_the_same_step_at_another_level_is_not_the_same(calls):
    trace = calls["numbered"].trace
    base = trace.base.copy()
    base[REGISTERS.index("pstate")] ^= 0b1100  # EL1 becomes EL2, until the HVC sets PSTATE
    other = Trace(
        trace.image, base, trace.pcs, trace.masks, trace.values, trace.words, trace.sysregs
    )
    hvc = trace.find("__kvm_call_hyp")
    assert trace.diff(other).same == len(trace) - hvc - 1


def test_nothing_is_the_same_as_nothing(calls):
    trace = calls["numbered"].trace
    assert trace[:0].diff(trace[:0]).rows == []
    assert trace.diff(trace[:0]).same == 0
    assert len(trace.diff(trace[:0]).rows) == len(trace)


def longest_common(ours, theirs):
    """The length of a longest common subsequence, by the textbook's table."""
    row = [0] * (len(theirs) + 1)
    for one in ours:
        before, row = row, [0]
        for n, other in enumerate(theirs):
            row.append(before[n] + 1 if one == other else max(before[n + 1], row[-1]))
    return row[-1]


def test_no_alignment_has_more_steps_in_both(machines):
    traces = []
    for machine in machines.values():
        machine.reboot()
        traces += [machine.call("__kvm_vcpu_run_nvhe", vcpu).trace for vcpu in ("vcpu0", "vcpu1")]
    for a, b in itertools.product(traces, repeat=2):
        ours, theirs = ([alike(step) for step in trace] for trace in (a, b))
        diff = a.diff(b)
        assert diff.same == longest_common(ours, theirs)
        assert [i for i, _ in diff.rows if i is not None] == list(range(len(a)))
        assert [j for _, j in diff.rows if j is not None] == list(range(len(b)))
        assert all(ours[i] == theirs[j] for i, j in diff.rows if None not in (i, j))


LOOP = "2: add x2, x2, #1\nsubs x1, x1, #1\nb.ne 2b"


@needs_engine
def test_long_loops_are_aligned_or_refused_with_a_way_out():
    with Machine("numbered", seed=1, dispatcher=dispatcher(LOOP)) as m:
        long, longer = m.hvc(0x100, 40_000).trace, m.hvc(0x100, 40_005).trace
        assert len(long) > 120_000
        assert long.diff(longer).same == len(long)
        assert longer[21:].diff(long[19:3000]).same == 2981  # a few rounds are in many
        with pytest.raises(ValueError) as caught:
            long[19:-19].diff(longer[20:-20])
    assert str(caught.value).endswith(
        "steps that differ are too many to align: compare parts of them, as in t[:1000]"
    )


# --- Size and show -------------------------------------------------------------------------------


def test_a_row_takes_at_most_32_bytes(boot):
    assert nbytes(boot) <= 32 * len(boot)
    assert nbytes(boot) == 8 * (2 * (len(boot) + 1) + len(boot.values))


def test_a_trace_counts_its_steps_by_level(calls):
    trace = calls["numbered"].trace
    levels = [step.el for step in trace]
    assert repr(trace) == (
        f"Trace({len(levels)} steps, EL1: {levels.count(1)}, EL2: {levels.count(2)})"
    )
    assert repr(trace[:2]) == "Trace(2 steps, EL1: 2)"
    assert repr(trace[:0]) == "Trace(0 steps)"


def test_a_step_is_a_line_without_addresses_of_python(calls):
    step = calls["numbered"].trace[calls["numbered"].trace.find("el1_sync")]
    assert repr(step) == (f"{step.index:5}  EL2  {step.pc:016x}  {'el1_sync':32}  mrs x0, esr_el2")


def test_the_table_has_a_line_a_step_and_says_what_changed(calls):
    trace = calls["numbered"].trace
    lines = trace.table().split("\n")
    assert len(lines) == len(trace)
    for line, step in zip(lines, trace, strict=True):
        assert line.startswith(repr(step))
        news = {name for name in step.changed if name != "pstate"}
        assert ("    ; " in line) == bool(news)
        assert all(f"{name} {step.changed[name][0]:#x} -> " in line for name in news)


def test_a_table_longer_than_anybody_reads_is_refused(boot):
    with pytest.raises(ValueError) as caught:
        boot.table()
    assert str(caught.value) == (
        f"a table of {len(boot):,} lines is more than anybody reads: cut "
        "the trace, as in t[:1000].table()"
    )
    assert len(boot[:1000].table().split("\n")) == 1000


# --- Wrong use -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda t: t[58], IndexError, "step 58 of a trace of 58 steps"),
        (lambda t: t[-59], IndexError, "step -59 of a trace of 58 steps"),
        (lambda t: t["x0"], TypeError, "expected a step's number or a slice in brackets; got 'x0'"),
        (lambda t: t[1.5], TypeError, "expected a step's number or a slice in brackets; got 1.5"),
        (
            lambda t: t[::2],
            ValueError,
            "expected a slice in steps of 1, for a trace is cut in one piece; got 2",
        ),
        (
            lambda t: t.register("x31", 0),
            KeyError,
            "no register 'x31' in a trace: x0 to x30, sp, pstate",
        ),
        (
            lambda t: t.last_write("w0", 0),
            KeyError,
            "no register 'w0' in a trace: x0 to x30, sp, pstate",
        ),
        (lambda t: t.register("x0", 59), IndexError, "row 59 of a trace of 58 steps"),
        (
            lambda t: t.column("x31"),
            KeyError,
            "no register 'x31' in a trace: x0 to x30, sp, pstate",
        ),
        (lambda t: t.column("x0", np.array([0, 59])), IndexError, "row 59 of a trace of 58 steps"),
        (lambda t: t.column("x0", np.array([-1, 5])), IndexError, "row -1 of a trace of 58 steps"),
        (lambda t: t.registers(-1), IndexError, "row -1 of a trace of 58 steps"),
        (lambda t: t.last_write("x0", 59), IndexError, "row 59 of a trace of 58 steps"),
        (lambda t: t.exception_after(58), IndexError, "step 58 of a trace of 58 steps"),
        (
            lambda t: t.find("dispach"),
            KeyError,
            "no symbol 'dispach' in the numbered image; did you mean 'dispatch'?",
        ),
        (lambda t: t.diff([1]), TypeError, "expected a trace to compare with; got [1]"),
    ],
)
def test_wrong_use_is_answered_with_a_sentence(calls, use, error, message):
    assert len(calls["numbered"].trace) == 58
    with pytest.raises(error) as caught:
        use(calls["numbered"].trace)
    assert caught.value.args[0] == message
