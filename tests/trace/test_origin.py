"""Where a value came from: said by the trace, and tried on the machine by changing the sources."""

import itertools
import random
import re

import pytest

from hypkit import Machine
from hypkit.a64.registers import REGISTERS
from hypkit.a64.sysregs import SYSREGS
from hypkit.kernel.variants import VARIANTS
from hypkit.trace.dataflow import Bytes
from tests.marks import needs_engine

FLUSH = "__kvm_tlb_flush_vmid_ipa"
CNTVOFF = "__kvm_timer_set_cntvoff"
NVHE = [key for key in VARIANTS if key != "vhe"]
M64 = (1 << 64) - 1


@pytest.fixture(scope="module")
def machines():
    made = {key: Machine(key, seed=2020) for key in VARIANTS}
    yield made
    for machine in made.values():
        machine.close()


@pytest.fixture(params=VARIANTS)
def m(request, machines):
    machines[request.param].reboot()
    return machines[request.param]


@pytest.fixture(params=NVHE)
def nvhe(request, machines):
    machines[request.param].reboot()
    return machines[request.param]


@pytest.fixture
def numbered(machines):
    machines["numbered"].reboot()
    return machines["numbered"]


def number_of(machine, name):
    return machine.x0_of(name)


def kvm0(machine):
    return machine.image.host_va(machine.image.pa("kvm0"))


def the_jump(trace):
    """(step, register) of the branch into the handler: the last BLR or BR at EL2 before it."""
    branches = [
        step.index for step in trace if step.el == 2 and step.instruction.mnemonic in ("blr", "br")
    ]
    return branches[-1], trace[branches[-1]].instruction.operands


def told(origin):
    """The sources of an origin by kind: kind -> [(name, owner, role)]."""
    return {
        kind: [(s.name, s.owner, s.role) for s in sources]
        for kind, sources in itertools.groupby(
            sorted(origin.sources, key=lambda s: s.kind), lambda s: s.kind
        )
    }


# --- Whom EL2 believes, variant by variant -------------------------------------------------------


def test_as_posted_the_jump_goes_where_host_linker_and_boot_say(numbered):
    trace = numbered.hvc(0x102, 5).trace
    step, register = the_jump(trace)
    assert register == "x30"
    found = trace.origin("x30", step)
    assert found.value == numbered.address(CNTVOFF, "hyp")
    assert found.meaning == f"hyp address of {CNTVOFF}"
    assert told(found) == {
        "register": [("x0", "host", "address")],
        "literal": [("kvm_hcall_table", "linker", "address")],
        "variable": [("kimage_voffset", "boot", "value"), ("physvirt_offset", "boot", "value")],
        "table slot": [("kvm_hcall_table+0x10 (slot 2)", "linker", "value")],
        "immediate": [
            ("kern_hyp_va x10", "boot", "address"),
            ("sub x0, x0, #0x100", "linker", "address"),
            ("kern_hyp_va x0", "boot", "value"),
        ],
    }
    (sent,) = (s for s in found.sources if s.kind == "register")
    assert sent.value == 0x102 and set(found.owners) == {"host", "linker", "boot"}


def test_before_the_patch_the_jump_goes_where_the_host_says_and_nobody_else(machines):
    machine = machines["fnptr"]
    machine.reboot()
    trace = machine.hvc(machine.address(CNTVOFF, "linear"), 5).trace
    step, register = the_jump(trace)
    found = trace.origin(register, step)
    assert told(found) == {
        "register": [("x0", "host", "value")],
        "immediate": [("kern_hyp_va x0", "boot", "value")],
    }
    # By a call of the host's C code, EL2 is still given x0; beyond the HVC it is the linker's.
    trace = machine.call(CNTVOFF, 5).trace
    step, register = the_jump(trace)
    assert told(trace.origin(register, step)) == told(found)
    beyond = trace.origin(register, step, beyond_hvc=True)
    assert ("kimage_voffset", "boot", "value") in told(beyond)["variable"]
    assert (CNTVOFF, "host", "value") in told(beyond)["address"]
    assert "register" not in told(beyond)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("adr_l", {"x0", "kimage_voffset", "physvirt_offset", "kvm_hcall_table", "slot"}),
        ("cached", {"x0", "kvm_lm_offset", "kvm_hcall_table", "slot"}),
        ("reviewed", {"x0", "kvm_lm_offset", "kvm_hcall_table", "slot"}),
        ("smccc", {"x0", "hcall_distances", "slot"}),
        ("patched", {"x0", "kvm_hcall_table", "slot"}),
        ("relocated", {"x0", "kvm_hcall_table", "slot"}),
    ],
)
def test_each_later_variant_believes_less_or_other_things(machines, key, expected):
    machine = machines[key]
    machine.reboot()
    trace = machine.call(CNTVOFF, 5).trace
    step, register = the_jump(trace)
    found = trace.origin(register, step)
    named = {
        "slot" if s.kind == "table slot" else s.name for s in found.sources if s.kind != "immediate"
    }
    assert named == expected
    owners = {s.kind: s.owner for s in found.sources}
    assert owners["table slot"] == ("boot" if key == "relocated" else "linker")
    patched = {s.name for s in found.sources if s.kind == "immediate" and s.owner == "boot"}
    assert (
        patched
        == {
            "adr_l": {"kern_hyp_va x0"},
            "cached": {"kern_hyp_va x0", "kern_hyp_va x10"},
            "reviewed": {"kern_hyp_va x0"},
            "smccc": set(),
            "patched": {"kern_hyp_va x0", "kimg_phys_offset x9"},
            "relocated": set(),
        }[key]
    )


def test_a_jump_into_a_table_of_branches_has_no_table_word_among_its_sources(machines):
    machine = machines["jump_table"]
    machine.reboot()
    trace = machine.call(CNTVOFF, 5).trace
    step, register = the_jump(trace)
    found = trace.origin(register, step)
    assert [s.name for s in found.sources if s.kind == "address"] == ["hcall_branches"]
    assert [s.name for s in found.sources if s.kind == "register"] == ["x0"]
    assert not {"variable", "table slot", "literal"} & {s.kind for s in found.sources}


def test_with_vhe_nothing_comes_from_a_hypercall(machines):
    machine = machines["vhe"]
    machine.reboot()
    trace = machine.call(FLUSH, kvm0(machine), 0x8000_0000, 2).trace
    found = trace.origin("VTTBR_EL2", trace.find(FLUSH) + 8)
    assert {s.owner for s in found.sources} == {"host"}
    assert all(s.el1_may_write is None for s in found.sources)


def test_what_becomes_a_system_register_is_the_word_the_host_wrote_and_pointed_at(nvhe):
    trace = nvhe.call(FLUSH, kvm0(nvhe), 0x8000_0000, 2).trace
    step = next(s.index for s in trace if s.instruction.operation.system_write == "VTTBR_EL2")
    found = trace.origin("VTTBR_EL2", step + 1)
    by_name = {s.name: s for s in found.sources}
    assert by_name["kvm0"].owner == "host" and by_name["kvm0"].role == "value"
    assert by_name["kvm0"].el1_may_write is True
    assert by_name["x1"].value == kvm0(nvhe) and by_name["x1"].role == "address"
    assert found.value == by_name["kvm0"].value


# --- Tried on the machine ------------------------------------------------------------------------


class Trial:
    """One hypercall, made again and again with something changed."""

    def __init__(self, machine, x0, *args):
        self.machine, self.x0, self.args = machine, x0, list(args)
        self.start = machine.snapshot()
        self.trace = machine.hvc(x0, *args).trace
        self.step, self.register = the_jump(self.trace)
        self.value = self.trace[self.step].regs[self.register]

    def again(self, change=None, x0=None, args=None):
        """The value at the same step afterwards; None where the way there is another."""
        machine = self.machine
        machine.restore(self.start)
        if change:
            pa, data = change
            machine._cpu.ram.store(pa, data)
            machine._cpu.forget_code()
        trace = machine.hvc(self.x0 if x0 is None else x0, *(args or self.args)).trace
        way = self.trace.pcs[: self.step + 1]
        if len(trace) <= self.step or (trace.pcs[: self.step + 1] != way).any():
            return None
        return trace[self.step].regs[self.register]


def flipped(machine, pa, size, bit):
    word = int.from_bytes(machine._cpu.ram.load(pa, size), "little")
    return pa, (word ^ bit).to_bytes(size, "little")


@pytest.fixture
def trial(nvhe):
    return Trial(nvhe, number_of(nvhe, CNTVOFF), 5, 6, 7, 8, 9, 10)


def memory_read(trial):
    """(physical address, size) of everything that was loaded on the way and stored by no step."""
    flow = trial.trace._dataflow
    seen = {}
    for step in range(trial.step):
        for place, store, _ in flow.accessed(step):
            if place and not store and not flow.stored(place, step)[0]:
                seen.setdefault(place, step)
    return seen


def test_the_value_depends_on_exactly_the_memory_that_its_origin_names(trial):
    found = trial.trace.origin(trial.register, trial.step)
    named = {
        (s.step, s.value)
        for s in found.sources
        if s.kind in ("literal", "variable", "table slot", "memory")
    }
    tried = 0
    for place, step in memory_read(trial).items():
        value = int.from_bytes(trial.machine._cpu.ram.load(place.pa, place.size), "little")
        changed = trial.again(flipped(trial.machine, place.pa, place.size, 8)) != trial.value
        assert changed == ((step, value) in named), (place, step)
        tried += 1
    assert tried >= len(named)


def test_the_value_depends_on_exactly_the_registers_that_its_origin_names(trial):
    found = trial.trace.origin(trial.register, trial.step)
    named = {s.name for s in found.sources if s.kind == "register" and s.owner == "host"}
    assert named == {"x0"}
    # The next hypercall's number, or for a pointer the next instruction.
    other = trial.x0 + (4 if trial.machine.key == "fnptr" else 1)
    assert trial.again(x0=other) not in (trial.value, None)
    for n in range(6):
        args = [value ^ 0xFF if n == at else value for at, value in enumerate(trial.args)]
        assert trial.again(args=args) == trial.value


def test_the_value_does_not_depend_on_any_variable_that_its_origin_leaves_out(trial):
    """Every named word of data and read-only data, whether the way reads it or not."""
    found = trial.trace.origin(trial.register, trial.step)
    machine, image = trial.machine, trial.machine.image
    named = " ".join(s.name for s in found.sources)
    words = ["kimage_voffset", "physvirt_offset", "kvm_lm_offset", "panic_record", "oops_record"]
    tried = 0
    for label in words:
        if label == "kimage_voffset" and label not in named:
            continue  # the stub's address is made of it, by every variant's entry
        changed = trial.again(flipped(machine, image.pa(label), 8, 8)) != trial.value
        assert changed == (label in named), label
        tried += 1
    table = machine.image.variant.table
    if table is not None:
        size, slots = table.size, len(machine.image.variant.slots)
        for slot in range(slots):
            pa = image.pa(table.label) + size * slot
            bit = 8 if table.loaded else 2
            changed = trial.again(flipped(machine, pa, size, bit)) != trial.value
            assert changed == (f"(slot {slot})" in named), slot
            tried += 1
    assert tried > 2


def test_the_value_depends_on_the_immediates_that_its_origin_names(trial):
    """The last of kern_hyp_va's five, or what else is named: a bit of its immediate flipped."""
    found = trial.trace.origin(trial.register, trial.step)
    machine, tried = trial.machine, 0
    for step in found.steps:
        op = trial.trace[step].instruction.operation
        if trial.trace[step].instruction.mnemonic in ("add", "sub", "ror", "mov") and op.constant:
            pa = machine.layout.pa(trial.trace[step].pc)
            assert trial.again(flipped(machine, pa, 4, 1 << 10)) != trial.value
            tried += 1
    assert tried or machine.key in ("jump_table",)


def test_an_instruction_that_is_no_part_of_the_chain_can_be_changed_at_will(trial):
    found = trial.trace.origin(trial.register, trial.step)
    machine, tried = trial.machine, 0
    for step in range(trial.step):
        instruction = trial.trace[step].instruction
        if step in found.steps or not instruction.operation.constant:
            continue
        if instruction.mnemonic in ("cmp", "ccmp", "tst"):
            continue  # what they decide is the way
        pa = machine.layout.pa(trial.trace[step].pc)
        again = trial.again(flipped(machine, pa, 4, 1 << 10))
        assert again in (trial.value, None), instruction.text()
        tried += 1
    assert tried


# --- Backward and forward say the same -----------------------------------------------------------


@pytest.mark.parametrize("name", [FLUSH, "__kvm_vcpu_run_nvhe"])
def test_backward_and_forward_agree_on_every_step(m, name):
    arguments = ("vcpu0",) if name != FLUSH else (kvm0(m), 0x8000_0000, 2)
    trace = m.call(name, *arguments).trace
    flow, end = trace._dataflow, len(trace)
    wanted = ["x0", "x1", "x2", "x9", "x30", "nzcv"]
    back = {one: trace.origin(one, end, beyond_hvc=True) for one in wanted}
    compared = 0
    for step in range(0, end, 1 if name == FLUSH else 7):
        for made in flow.flows(step):
            if made.to == "pc" or isinstance(made.to, str) and made.to.startswith(("s3_", "DAIF")):
                continue
            if isinstance(made.to, Bytes):
                place = trace.image.layout.linear_va(made.to.pa)
                label = trace.image.symbolize(place) or f"{made.to.pa:#x}"
                reach = trace.reaches(place, step + 1, size=made.to.size)
            else:
                label, reach = made.to, trace.reaches(made.to, step + 1)
                if made.to.startswith("sp_el"):
                    continue
            at_end = {e.name.removesuffix(" at the end") for e in reach.ends}
            for one, origin in back.items():
                linked = any(link[0] == step and link[2] == label for link in origin.links)
                assert linked == (one in at_end), (step, trace[step].text, made.to, one)
                compared += 1
    assert compared > 50


def test_a_value_reaches_what_it_decides(numbered):
    trace = numbered.hvc(0x102, 5).trace
    found = trace.reaches("x0", 0)
    step, _ = the_jump(trace)
    assert [end.name for end in found.ends if end.kind == "jump"] == ["blr x30"]
    assert [end.step for end in found.ends if end.kind == "jump"] == [step]
    assert [end.name for end in found.ends if end.kind == "load"] == ["ldr x0, [x0]"]
    assert len([end for end in found.ends if end.kind == "branch"]) == 3
    slot = trace.reaches(numbered.address("kvm_hcall_table", "linear") + 16, 0)
    assert step in slot.steps and any(end.kind == "jump" for end in slot.ends)
    assert trace.reaches(numbered.address("kvm_hcall_table", "linear") + 24, 0).steps == ()
    assert slot.steps == trace.reaches(numbered.address("kvm_hcall_table", "hyp") + 16, 0).steps
    argument = trace.reaches("x1", 0)
    assert ("system register", "CNTVOFF_EL2") in [(e.kind, e.name) for e in argument.ends]


# --- What can be asked, and what cannot be known -------------------------------------------------


def test_the_answers_are_short_tables_that_say_the_same_each_time(numbered):
    trace = numbered.hvc(0x102, 5).trace
    step, _ = the_jump(trace)
    lines = repr(trace.origin("x30", step)).splitlines()
    assert lines[0] == (
        f"x30 before step {step} = {numbered.address(CNTVOFF, 'hyp'):#x}, hyp address of {CNTVOFF}"
    )
    assert lines[1].split() == ["source", "which", "value", "owner", "part", "EL1"]
    assert lines[2].split() == ["register", "x0", "0x102", "host", "address"]
    assert lines[-1].startswith("by way of steps ")
    assert len(lines) < 15 and max(map(len, lines)) < 100
    assert repr(trace.origin("x30", step)) == "\n".join(lines)
    reach = repr(trace.reaches("x0", 0))
    assert reach.splitlines()[0] == "x0 before step 0 reaches" and " at 0x" not in reach
    assert "jump" in reach and "blr x30" in reach


def test_the_links_join_the_steps_from_source_to_question(numbered):
    trace = numbered.hvc(0x102, 5).trace
    step, _ = the_jump(trace)
    found = trace.origin("x30", step)
    assert {a for a, _, _ in found.links} == set(found.steps)
    assert [place for a, b, place in found.links if b is None] == ["x30"]
    for writer, user, place in found.links:
        if user is not None:
            assert writer < user
            if place in ("x0", "x9", "x10"):
                assert place in trace[writer].instruction.operation.outputs
                assert place in trace[user].instruction.operation.inputs


def test_a_register_can_be_called_by_its_other_names(numbered):
    trace = numbered.hvc(0x102, 5).trace
    step, _ = the_jump(trace)
    assert trace.origin("lr", step).sources == trace.origin("x30", step).sources
    assert trace.origin("W30", step).sources == trace.origin("X30", step).sources
    assert trace.origin("pc", step + 1).sources == trace.origin("x30", step).sources
    assert trace.origin("sp", step).what == f"sp before step {step}"
    assert trace.origin("kimage_voffset", step).sources[0].owner == "boot"
    assert trace.origin("esr_el2", step).sources[0].kind == "exception"


def test_a_slot_that_the_host_changed_through_its_page_tables_is_the_hosts(numbered):
    slot = numbered.address("kvm_hcall_table", "linear") + 16
    entry = numbered.entry_of(slot)
    descriptor = int.from_bytes(numbered.read(entry, 8, el=1), "little")
    numbered.poke(entry, (descriptor & ~(1 << 7)).to_bytes(8, "little"))
    numbered.poke(slot, numbered.address("__kvm_get_mdcr_el2").to_bytes(8, "little"))
    trace = numbered.hvc(0x102, 5).trace
    step, register = the_jump(trace)
    (found,) = (s for s in trace.origin(register, step).sources if s.kind == "table slot")
    assert found.owner == "EL1, by its page tables"
    assert trace.origin(register, step).meaning == "hyp address of __kvm_get_mdcr_el2"


def test_what_the_vm_hands_over_is_the_vms(machines):
    machine = machines["numbered"]
    machine.reboot()
    trace = machine.call("__kvm_vcpu_run_nvhe", "vcpu0").trace
    (source,) = trace.origin("vcpu0", len(trace)).sources
    assert (source.kind, source.name, source.value) == ("register", "x0", 0x8400_0000)
    assert source.owner == "VM"
    counter = trace.origin(trace.image.host_va(trace.image.pa("vcpu0") + 8 * 21), len(trace))
    assert counter.owners == ("VM",)
    back = trace.origin("x21", len(trace))  # the host's own again, from where EL2 kept it
    assert {s.owner for s in back.sources if s.role == "value"} == {"host"}


def test_an_answer_of_a_system_register_is_el2s_or_the_cores(numbered):
    trace = numbered.call("__kvm_get_mdcr_el2").trace
    (source,) = trace.origin("x0", len(trace)).sources
    assert (source.kind, source.name, source.owner) == ("system register", "MDCR_EL2", "EL2")
    assert source.value == trace.register("x0", len(trace)) == numbered.sysreg("MDCR_EL2")
    trace = numbered.call("__vgic_v3_get_ich_vtr_el2").trace
    (source,) = trace.origin("x0", len(trace)).sources
    assert (source.name, source.owner) == ("ICH_VTR_EL2", "core")


def test_what_an_exception_wrote_is_the_cores(numbered):
    trace = numbered.hvc(0x102, 5).trace
    (read,) = (s.index for s in trace if s.text == "mrs x0, esr_el2")
    (source,) = trace.origin("x0", read + 1).sources
    assert source.kind == "exception" and source.owner == "core"
    assert source.value == 0x5A00_0000 == trace.register("x0", read + 1)


def test_a_value_from_before_a_cut_trace_is_said_to_be_from_before(numbered):
    trace = numbered.hvc(0x102, 5).trace
    step, _ = the_jump(trace)
    cut = trace[step - 1 :]
    (source,) = cut.origin("x30", 1).sources if cut.origin("x30", 1).steps == () else [None]
    assert source.kind == "register" and source.owner == "not known"


def test_boot_knows_where_its_own_words_come_from(numbered):
    boot = numbered.boot_trace
    found = boot.origin("kimage_voffset", len(boot))
    assert {s.kind for s in found.sources} == {"literal", "address"}
    assert found.value == numbered.layout.kimage_voffset
    assert {s.name for s in found.sources} == {"_text"}
    found = boot.origin("VBAR_EL2", len(boot))
    assert found.value == numbered.address("__kvm_hyp_vector", "hyp")


@needs_engine
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # A select takes one of two, and the flags decide.
        ("mov x9, #1\nmov x10, #2\ncmp x1, x1\ncsel x11, x9, x10, eq",
         {("immediate", "value", 1), ("register", "condition", 5)}),
        ("mov x9, #1\nmov x10, #2\ncmp x1, x1\ncsel x11, x9, x10, ne",
         {("immediate", "value", 2), ("register", "condition", 5)}),
        ("cmp x1, x1\ncset x11, eq", {("immediate", "value", None), ("register", "condition", 5)}),
        ("mov x9, #7\nmov x11, x9", {("immediate", "value", 7)}),
        ("mov x11, xzr", {("immediate", "value", 0)}),
        ("mov x9, #7\nmov x11, x1\nbfi x11, x9, #8, #8",
         {("immediate", "value", 7), ("immediate", "value", None), ("register", "value", 5)}),
        ("mov x11, #5\nmovk x11, #7, lsl #16",
         {("immediate", "value", 5), ("immediate", "value", None)}),
        # Bytes of two stores in one load, and a byte of one.
        ("mov w9, #1\nmov w10, #2\nstp w9, w10, [sp, #-16]!\nldr x11, [sp], #16",
         {("immediate", "value", 1), ("immediate", "value", 2)}),
        ("mov w9, #1\nmov w10, #2\nstp w9, w10, [sp, #-16]!\nldrb w11, [sp, #5]\nadd sp, sp, #16",
         {("immediate", "value", 2)}),
        ("stp x1, xzr, [sp, #-16]!\nldr x11, [sp, #8]\nadd sp, sp, #16",
         {("immediate", "value", None)}),
        ("fmov d0, x1\nfmov x11, d0", {("unknown", "value", None)}),
        ("fmov d0, x1\nstr d0, [sp, #-16]!\nldr x11, [sp], #16", {("unknown", "value", None)}),
        ("mov x9, #3\nmsr tpidr_el2, x9\nmrs x11, tpidr_el2\nmsr tpidr_el2, xzr",
         {("immediate", "value", 3)}),
        ("adr x11, dispatch", {("address", "value", None)}),
        ("udiv x11, x1, xzr", {("register", "value", 5)}),
        ("ands x11, x1, #0xff", {("register", "value", 5), ("immediate", "value", None)}),
    ],
)  # fmt: skip
def test_each_kind_of_instruction_is_followed(body, expected):
    text = f"""
dispatch:
        ldp     x0, x1, [sp], #16
{body}
dispatch_find:
        nop
dispatch_call:
        eret
"""
    with Machine("numbered", seed=3, dispatcher=text) as machine:
        trace = machine.hvc(0x102, 5).trace
        step = trace.find("dispatch_find")
        found = trace.origin("x11", step)
        sources = {
            (s.kind, s.role, s.value if s.kind != "address" else None) for s in found.sources
        }
        assert sources == expected, found


@needs_engine
def test_memory_that_cannot_be_followed_is_noted():
    text = """
dispatch:
        ldp     x0, x1, [sp], #16
        sub     sp, sp, #16
        movi    v0.16b, #3
        st1     {v0.16b}, [sp]
        ldr     x11, [sp], #16
dispatch_find:
        eret
"""
    with Machine("numbered", seed=3, dispatcher=text) as machine:
        trace = machine.hvc(0x102, 5).trace
        found = trace.origin("x11", trace.find("dispatch_find"))
        assert re.fullmatch(r"what step \d+, st1 .*, did to memory", found.notes[0])
        assert "not known: what step" in repr(found)


def test_a_long_loop_has_an_origin_too():
    text = """
dispatch:
        ldp     x0, x1, [sp], #16
        mov     x11, #0
        movz    x9, #5000
1:      add     x11, x11, #1
        subs    x9, x9, #1
        b.ne    1b
dispatch_find:
        eret
"""
    with Machine("numbered", seed=3, dispatcher=text) as machine:
        trace = machine.hvc(0x102, 5).trace
        found = trace.origin("x11", trace.find("dispatch_find"))
        assert len(found.steps) == 5001 and found.value == 5000
        assert [s.name for s in found.sources] == ["mov x11, #0", "add x11, x11, #1"]
        assert len(repr(found)) < 600


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda t: t.origin("x31", 0), KeyError, "expected a register, a system register, a label or an address; got 'x31'"),
        (lambda t: t.origin("kimage_vofset", 0), KeyError, "did you mean 'kimage_voffset'?"),
        (lambda t: t.origin("x0", len(t) + 1), IndexError, "expected a step from 0 to"),
        (lambda t: t.origin("x0", -1), IndexError, "expected a step from 0 to"),
        (lambda t: t.origin("x0", 1.5), TypeError, "expected the number of a step; got 1.5"),
        (lambda t: t.origin(0x1234, 0), ValueError, "expected an address of this machine's kernel or VM; got '0x1234'"),
        (lambda t: t.origin(None, 0), TypeError, "expected a register's name or an address; got None"),
        (lambda t: t.origin("x0", 0, size="many"), TypeError, "expected a size; got 'many'"),
        (lambda t: t.origin(0x40280000, 0, size=0), ValueError, "expected a size of 1 to 4096 bytes; got 0"),
        (lambda t: t.reaches("nothing at all", 0), KeyError, "expected a register"),
        (lambda t: t.reaches("x0", 1 << 80), IndexError, "expected a step from 0 to"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told_in_a_sentence(numbered, ask, error, text):
    trace = numbered.hvc(0x102, 5).trace
    with pytest.raises(error) as caught:
        ask(trace)
    assert text in str(caught.value)


@pytest.mark.parametrize("key", ["numbered", "smccc", "vhe"])
def test_whatever_is_asked_of_any_trace_has_an_answer(key):
    """From reset to panic, for registers, system registers, labels, PC and flags."""
    draw = random.Random(5)
    with Machine(key, seed=9) as machine:
        traces = [machine.boot_trace]
        for what, argument in (
            ("__kvm_vcpu_run_nvhe", "vcpu1"),
            ("__kvm_tlb_flush_vmid", 0x1000),
            *([] if key == "vhe" else [(0, 0), (0x50, 0), (-1, 0)]),
        ):
            traces.append(machine.call(what, argument).whole_trace)
            if machine.stopped:
                machine.reboot()
        labels = list(machine.image.symbols)
    traces += [traces[1][3:20], traces[1][5:5]]
    for trace in traces:
        names = [*REGISTERS, "pc", "nzcv", "sp_el1", *draw.sample(list(SYSREGS), 5)]
        for name in [*draw.sample(names, 8), *draw.sample(labels, 3)]:
            step = draw.randrange(len(trace) + 1)
            found = trace.origin(name, step, beyond_hvc=draw.random() < 0.5)
            assert found.sources, (name, step)
            assert all(0 <= at < step for at in found.steps)
            assert repr(found).startswith(found.what)
            reached = trace.reaches(name, step)
            assert all(step <= at < len(trace) for at in reached.steps)
            assert repr(reached).startswith(f"{reached.what} reaches")
