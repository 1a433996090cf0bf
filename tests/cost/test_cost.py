"""The counted cost of a call, against counts made by hand from the guest's text."""

import pytest

from hypkit import Machine
from hypkit.a64.decode import decode
from hypkit.cost import HYP_PHASES, PHASES, Cost, Counts, Footprint, count, phases, timing
from hypkit.cost.pipeline import simulate
from hypkit.kernel.variants import HYPERCALLS, VARIANTS
from tests.marks import needs_engine
from tests.scenarios import ARGUMENTS

CNTVOFF, RUN = "__kvm_timer_set_cntvoff", "__kvm_vcpu_run_nvhe"
KEYS = ("fnptr", "numbered")


@pytest.fixture(scope="module")
def machines():
    made = {key: Machine(key, seed=2020) for key in KEYS}
    yield made
    for machine in made.values():
        machine.close()


@pytest.fixture(params=KEYS)
def m(request, machines):
    machines[request.param].reboot()
    return machines[request.param]


@pytest.fixture(scope="module")
def costs(machines):
    """Every hypercall of each variant: (variant, name) -> Call."""
    return {
        (key, name): machine.call(name, *ARGUMENTS.get(name, ()))
        for key, machine in machines.items()
        for name in HYPERCALLS
    }


# --- The numbers of the story, counted by hand in the kernels -------------------------------------


@pytest.mark.parametrize("name", HYPERCALLS)
@pytest.mark.parametrize(
    ("key", "instructions", "loads", "hyp"), [("fnptr", 5, 0, 26), ("numbered", 25, 4, 49)]
)
def test_finding_the_handler_costs_what_was_counted_in_the_source(
    costs, key, name, instructions, loads, hyp
):
    cost = costs[key, name].cost
    assert cost.phases["dispatch"].instructions == instructions
    assert cost.phases["dispatch"].loads == loads
    assert cost.hyp.instructions == hyp  # EL2 outside the handler
    assert list(cost.phases) == ["host", "entry", "dispatch", "call", "handler", "return"]


def test_every_phase_of_one_call_is_as_counted_by_hand(costs):
    # instructions, loads, stores, taken, not taken, indirect
    common = {
        # esb, stp, b; mrs, lsr, cmp, ccmp, b.ne, mrs, cbnz; ldp, cmp, b.hs
        "entry": Counts(13, 1, 1, 2, 2, 0),
        # mov w, orr, msr, ret
        "handler": Counts(4, 0, 0, 1, 0, 1),
        # ldr, eret
        "return": Counts(2, 1, 0, 1, 0, 1),
    }
    assert costs["fnptr", CNTVOFF].cost.phases == common | {
        # blr; adr_l 2, ldr_l 2, sub, ldr_l 2, sub, b; hvc, ret
        "host": Counts(12, 2, 0, 3, 0, 2),
        # and, ror, add, add, ror
        "dispatch": Counts(5),
        # str, five moves less one for three arguments, blr
        "call": Counts(6, 0, 1, 1, 0, 1),
    }
    assert costs["numbered", CNTVOFF].cost.phases == common | {
        # blr; mov, b; hvc, ret
        "host": Counts(5, 0, 0, 3, 0, 2),
        # cmp, b.lt, cmp, b.lt; ldr_l 2, ldr_l 2, add; ldr =; 6; sub, add, ldr; 6
        "dispatch": Counts(25, 4, 0, 1, 1, 0),
        # str, mov lr, six moves, blr
        "call": Counts(9, 0, 1, 1, 0, 1),
    }


def test_the_footprint_of_one_call_is_as_counted_by_hand(costs):
    call = costs["numbered", CNTVOFF]
    image = call.trace.image
    at = image.pa
    # What is executed and read, label by label: (first byte, bytes).
    code = [
        (at("host_call"), 4),
        (at(f"host_call_{CNTVOFF}"), 8),
        (at("__kvm_call_hyp"), 8),
        (at("__kvm_hyp_vector") + 0x400, 12),
        (at("el1_sync"), 28),
        (at("dispatch"), 12),
        # The range test skips the two instructions of the refusal.
        (at("dispatch_find"), 16),
        (at("dispatch_find") + 24, at("dispatch_return") + 4 - at("dispatch_find") - 24),
    ]
    ldr = next(step for step in call.trace if step.memory and step.instruction.memory.base is None)
    pool = [(image.layout.pa(ldr.pc) + ldr.instruction.target, 8)]
    table = [(at("kvm_hcall_table") + 8 * HYPERCALLS.index(CNTVOFF), 8)]
    data = [
        (at("kimage_voffset"), 8),
        (at("physvirt_offset"), 8),
        (at("hyp_stack") + 4096 - 16, 16),
    ]
    everything = {
        byte for start, size in code + pool + table + data for byte in range(start, start + size)
    }
    assert sum(size for _, size in code) == 4 * (call.cost.total.instructions - 4) == 216
    assert call.cost.footprint == Footprint(
        code=216,
        pool=8,
        table=8,
        data=32,
        lines=len({byte // 64 for byte in everything}),
        pages=len({byte // 4096 for byte in everything}),
    )


def test_before_the_patch_a_call_touched_no_table(costs):
    footprint = costs["fnptr", CNTVOFF].cost.footprint
    # The host reads the two offsets, EL2 keeps x0 and x1, then LR, on the stack.
    assert (footprint.code, footprint.pool, footprint.table, footprint.data) == (
        4 * (12 + 26),
        0,
        0,
        16 + 16,
    )


@pytest.mark.parametrize(
    ("key", "size"),
    [("fnptr", 0), ("numbered", 8), ("jump_table", 0), ("smccc", 4), ("relocated", 8)],
)
def test_the_table_is_what_is_read_of_it_as_data(key, size):
    with Machine(key, seed=4) as m:
        assert m.call("__kvm_get_mdcr_el2").cost.footprint.table == size


@pytest.mark.parametrize("key", KEYS)
def test_the_handlers_own_memory_is_no_part_of_the_footprint(costs, key):
    small, large = costs[key, "__kvm_get_mdcr_el2"].cost, costs[key, RUN].cost
    assert small.footprint.code == large.footprint.code
    assert small.footprint.data == large.footprint.data
    assert large.phases["handler"].loads > 20


# --- Phases ------------------------------------------------------------------------------------


def partitioned(cost, trace):
    """Every step is in one phase, and counted there."""
    steps = sorted(step for of_phase in cost.steps.values() for step in of_phase)
    assert steps == list(range(len(trace)))
    assert list(cost.steps) == list(cost.phases)
    for phase, of_phase in cost.steps.items():
        assert phase in PHASES
        assert cost.phases[phase].instructions == len(of_phase)
    assert cost.total.instructions == len(trace)
    named = list(phases(trace))
    assert all(named[step] == phase for phase, of in cost.steps.items() for step in of)
    return named


def in_order(named):
    """The phases, each as often as it began."""
    return [name for n, name in enumerate(named) if n == 0 or named[n - 1] != name]


@pytest.mark.parametrize("name", HYPERCALLS)
@pytest.mark.parametrize("key", KEYS)
def test_phases_share_out_all_the_steps_in_their_order(costs, key, name):
    call = costs[key, name]
    named = partitioned(call.cost, call.trace)
    assert in_order(named) == ["host", "entry", "dispatch", "call", "handler", "return", "host"]
    for step, phase in zip(call.trace, named, strict=True):
        if phase != "handler":
            assert (step.el == 1) == (phase == "host")


def test_the_handler_of_a_vm_run_contains_the_vm_and_the_way_out_of_it(m):
    for vcpu in ("vcpu0", "vcpu1"):
        call = m.call(RUN, vcpu)
        named = partitioned(call.cost, call.trace)
        vm = [step.index for step in call.trace if step.symbol.startswith("vm_")]
        assert vm and {call.trace[step].el for step in vm} == {1}
        first, last = named.index("handler"), len(named) - named[::-1].index("handler") - 1
        assert set(named[first : last + 1]) == {"handler"}
        assert first < vm[0] and vm[-1] < last
        # The vector, the entry path up to the test for a guest, and __guest_exit again.
        assert {"__kvm_hyp_vector+0x400", "el1_sync", "el1_trap", "__guest_exit"} <= {
            step.symbol for step in call.trace[vm[-1] + 1 : last]
        }
        assert named[last + 1] == "return"


@pytest.mark.parametrize("key", [key for key in VARIANTS if VARIANTS[key].host_el == 1])
def test_every_variant_has_the_same_phases_in_the_same_order(key):
    with Machine(key, seed=4) as m:
        for call in (m.call("__kvm_get_mdcr_el2"), m.call(RUN, "vcpu0")):
            named = partitioned(call.cost, call.trace)
            assert in_order(named) == [
                "host",
                "entry",
                "dispatch",
                "call",
                "handler",
                "return",
                "host",
            ]


def test_a_host_at_el2_has_no_hypervisor_to_enter():
    with Machine("vhe", seed=4) as m:
        call = m.call("__kvm_get_mdcr_el2")
    named = partitioned(call.cost, call.trace)
    assert in_order(named) == ["host", "handler", "host"]
    assert call.cost.hyp == Counts()
    assert call.cost.phases["handler"].instructions == 2  # mrs, ret
    assert {step.el for step in call.trace} == {2}


@pytest.mark.parametrize("x0", [0, 2])
def test_a_stub_call_goes_from_the_entry_to_its_own_code(m, x0):
    call = m.hvc(x0, m.image.pa("__hyp_stub_vectors"))
    named = partitioned(call.cost, call.trace)
    assert in_order(named) == ["host", "entry", "stub", "host"]
    assert call.trace[named.index("stub")].symbol == "__kvm_handle_stub_hvc"
    # ldp, cmp, b.hs; ldr =, ldr_l 2, sub, br
    assert call.cost.phases["entry"].instructions == 10 + 3 + 5


def test_what_the_stub_itself_answers_is_a_stub_calls_code(m):
    m.hvc(2)
    call = m.hvc(7)
    named = partitioned(call.cost, call.trace)
    assert in_order(named) == ["host", "stub", "host"]
    assert call.cost.hyp == Counts()


def test_a_restart_is_the_stubs_until_el1_is_back(m):
    call = m.hvc(1, m.image.entry)
    named = partitioned(call.cost, call.trace)
    assert in_order(named)[:4] == ["host", "entry", "stub", "host"]
    stub = call.cost.steps["stub"]
    assert call.trace[stub[0]].symbol == "__kvm_handle_stub_hvc"
    assert call.trace.find("_text") in stub


def test_a_refused_number_has_no_handler(machines):
    machines["numbered"].reboot()
    call = machines["numbered"].hvc(0x10E)
    assert in_order(partitioned(call.cost, call.trace)) == ["host", "entry", "dispatch", "host"]
    # cmp, b.lt, cmp, b.lt, mov, eret
    assert call.cost.phases["dispatch"] == Counts(6, 0, 0, 1, 2, 1)


def test_a_pointer_to_nowhere_panics_without_a_handler(machines):
    machines["fnptr"].reboot()
    call = machines["fnptr"].hvc(0x1000)
    named = partitioned(call.cost, call.trace)
    assert in_order(named) == ["host", "entry", "dispatch", "call", "panic", "host"]
    panic = call.trace[named.index("panic")]
    assert (panic.symbol, panic.text) == ("__kvm_hyp_vector+0x200", "b hyp_panic")


def test_a_handler_that_faults_panics_from_its_vector_on(m):
    call = m.call("__kvm_tlb_flush_vmid", 0x1234_5000)
    named = partitioned(call.cost, call.trace)
    assert in_order(named) == ["host", "entry", "dispatch", "call", "handler", "panic", "host"]
    assert call.trace[named.index("panic")].symbol == "__kvm_hyp_vector+0x200"
    assert call.trace[named.index("panic") - 1].exception


# --- A learner's dispatcher ----------------------------------------------------------------------

PLAIN = """
{label}:
        ldp     x0, x1, [sp], #16
        cmp     x0, #3
        b.lo    1f
        str     lr, [sp, #-16]!
        {body}
        ldr     lr, [sp], #16
1:      eret
"""


@needs_engine
@pytest.mark.parametrize("label", ["dispatch", "my_own"])
def test_a_dispatcher_without_our_labels_is_all_dispatch(label):
    text = PLAIN.format(label=label, body="bl __kvm_get_mdcr_el2")
    with Machine("numbered", dispatcher=text) as m:
        call = m.hvc(0x100)
        assert call.x0 == m.sysreg("MDCR_EL2")
    named = partitioned(call.cost, call.trace)
    assert in_order(named) == ["host", "entry", "dispatch", "handler", "return", "host"]
    assert [call.cost.phases[name].instructions for name in named_hyp(named)] == [10, 5, 2, 2]


def named_hyp(named):
    return [name for name in in_order(named) if name != "host"]


@needs_engine
def test_a_dispatcher_that_calls_twice_has_two_handlers():
    body = "bl __kvm_get_mdcr_el2\nbl __vgic_v3_read_vmcr"
    with Machine("numbered", dispatcher=PLAIN.format(label="dispatch", body=body)) as m:
        call = m.hvc(0x100)
    named = partitioned(call.cost, call.trace)
    assert in_order(named) == [
        "host",
        "entry",
        "dispatch",
        "handler",
        "return",
        "handler",
        "return",
        "host",
    ]
    assert call.cost.phases["handler"].instructions == 4


@needs_engine
def test_a_dispatcher_that_faults_has_no_handler():
    text = PLAIN.format(label="dispatch", body="ldr x2, [x1]")
    with Machine("numbered", dispatcher=text) as m:
        call = m.hvc(0x100, 0x10)
    assert in_order(partitioned(call.cost, call.trace)) == [
        "host",
        "entry",
        "dispatch",
        "panic",
        "host",
    ]


# --- Timing --------------------------------------------------------------------------------------


def test_the_modelled_time_is_that_of_the_phases_steps_in_their_order(costs):
    trace = costs["numbered", CNTVOFF].trace
    named = list(phases(trace))
    for parts in (("dispatch",), ("dispatch", "call")):
        words = [step.word for step, phase in zip(trace, named, strict=True) if phase in parts]
        found = timing(trace, "neoverse-n1", parts)
        texts = [step.text for step, phase in zip(trace, named, strict=True) if phase in parts]
        assert found == simulate(words, "neoverse-n1", texts)
        assert [row.issue for row in found.rows] == [
            row.issue for row in simulate(words, "neoverse-n1").rows
        ]
    assert (
        timing(trace, "neoverse-n1").cycles
        > timing(costs["fnptr", CNTVOFF].trace, "neoverse-n1").cycles
    )


def test_a_phase_that_is_none_cannot_be_timed(costs):
    with pytest.raises(ValueError) as caught:
        timing(costs["numbered", CNTVOFF].trace, "neoverse-n1", ("dispach",))
    assert str(caught.value) == f"phase 'dispach': there are {', '.join(PHASES)}"


# --- Counting ----------------------------------------------------------------------------------


def step_by_step(trace):
    """The same as count, by looking at one step after the other."""
    found, steps, places = {}, {}, {"code": set(), "pool": set(), "table": set(), "data": set()}
    for step, phase in zip(trace, phases(trace), strict=True):
        instruction, layout = step.instruction, trace.image.layout
        memory = instruction.memory
        branch = instruction.operation.is_branch
        went = int(trace.pcs[step.index + 1]) != step.pc + 4
        found[phase] = found.get(phase, Counts()) + Counts(
            1,
            bool(memory and memory.kind == "load"),
            bool(memory and memory.kind == "store"),
            branch and went,
            branch and not went,
            instruction.mnemonic in ("br", "blr", "ret", "eret"),
        )
        steps.setdefault(phase, []).append(step.index)
        if phase not in ("host", *HYP_PHASES):
            continue
        touched = [("code", layout.pa(step.pc), 4)] + [
            (
                "table"
                if (access.symbol or "").startswith(("kvm_hcall_table", "hcall_distances"))
                else "pool"
                if memory.base is None
                else "data",
                layout.pa(access.va),
                access.size,
            )
            for access in step.memory
        ]
        for kind, pa, size in touched:
            if pa is not None:
                places[kind].update(range(pa, pa + size))
    everything = set().union(*places.values())
    return Cost(
        found,
        Footprint(
            *map(len, places.values()),
            len({b // 64 for b in everything}),
            len({b // 4096 for b in everything}),
        ),
        steps,
    )


@pytest.mark.parametrize("key", VARIANTS)
def test_the_cost_is_what_counting_step_by_step_gives(key):
    with Machine(key, seed=9) as m:
        traces = [m.boot_trace]
        for what, argument in (
            (CNTVOFF, 5),
            (RUN, "vcpu0"),
            (RUN, "vcpu1"),
            (0, 0),
            (1, m.image.entry),
            (1, 0),
            ("__kvm_tlb_flush_vmid", 0x1234),
            (-1, 0),
            (0x1001, 0),
        ):
            traces.append(m.call(what, argument).whole_trace)
            m.reboot()
    for trace in traces:
        assert count(trace) == step_by_step(trace)
        assert list(count(trace).phases) == list(step_by_step(trace).phases)
        half = trace[len(trace) // 3 :]
        assert count(half) == step_by_step(half)


RUNAWAY = """
dispatch:
        divert_stub_calls
dispatch_find:
        mov     x9, #0
1:      str     x9, [sp, #-16]!
        ldr     x10, [sp], #16
        add     x9, x9, #1
        and     x10, x9, #0x7f
        mvn     x10, x10
        ldr     x12, [sp, w10, sxtw #3]
        cbnz    x9, 1b
        eret
"""


@needs_engine
def test_the_cost_of_a_runaway_of_many_steps_is_that_of_a_short_one_times_as_many():
    short, long = (
        Machine("numbered", dispatcher=RUNAWAY, budget=budget).hvc(0x100)
        for budget in (10_000, 1_000_000)
    )
    assert len(long.trace) > 999_900
    cost = long.cost
    assert short.cost == step_by_step(short.trace)
    assert cost.footprint == short.cost.footprint
    assert cost.phases["entry"] == short.cost.phases["entry"]
    # Seven instructions go round: a store, two loads, a branch back.
    times = (cost.phases["dispatch"].instructions - 10) // 7
    assert times > 142_000
    assert cost.phases["dispatch"].taken - times in (-1, 0, 1)
    assert cost.phases["dispatch"].stores - times in (0, 1, 2)
    assert cost.phases["dispatch"].loads - 2 * times in (0, 1, 2, 3, 4)


@needs_engine
def test_a_runaway_is_timed_in_part_only_and_says_so():
    call = Machine("numbered", dispatcher=RUNAWAY, budget=150_000).hvc(0x100)
    with pytest.raises(ValueError, match=r"expected at most 100,000 steps to time; got 149,\d\d\d"):
        call.timing("cortex-a72")
    assert timing(call.trace[:1000], "cortex-a72").cycles > 500


def test_a_slice_of_a_trace_is_counted_as_it_stands(costs):
    trace = costs["numbered", CNTVOFF].trace
    assert count(trace[:0]) == Cost({}, Footprint(0, 0, 0, 0, 0, 0), {})
    assert count(trace[:3]).phases == {"host": Counts(3, 0, 0, 2, 0, 1)}
    assert count(trace[:0]).total == count(trace[:0]).hyp == Counts()


@pytest.mark.parametrize(
    ("word", "branch"),
    [
        (0x14000001, True),
        (0x94000001, True),
        (0x54000001, True),
        (0xB4000000, True),
        (0xB5000000, True),
        (0x36000000, True),
        (0x37000000, True),
        (0xD61F0000, True),
        (0xD63F0000, True),
        (0xD65F03C0, True),
        (0xD69F03E0, True),
        (0xD4000002, False),
        (0x8A2600A5, False),
        (0xD503201F, False),
        (0xB3700885, False),
    ],
)
def test_branches_are_told_from_what_merely_begins_with_b(word, branch):
    assert decode(word).operation.is_branch is branch


def test_counts_add_up_field_by_field():
    one, two = Counts(1, 2, 3, 4, 5, 6), Counts(10, 20, 30, 40, 50, 60)
    assert one + two == Counts(11, 22, 33, 44, 55, 66)
    assert one == Counts(1, 2, 3, 4, 5, 6)


def test_a_cost_is_shown_as_a_table(costs):
    assert repr(costs["numbered", CNTVOFF].cost).splitlines() == [
        "phase     instructions        loads       stores        taken    not_taken     indirect",
        "host                 5            0            0            3            0            2",
        "entry               13            1            1            2            2            0",
        "dispatch            25            4            0            1            1            0",
        "call                 9            0            1            1            0            1",
        "handler              4            0            0            1            0            1",
        "return               2            1            0            1            0            1",
        "total               58            6            2            9            3            5",
    ]
    assert costs["numbered", CNTVOFF].cost.rows()[0] == ("host", 5, 0, 0, 3, 0, 2)


def test_what_the_abi_costs_at_el2_is_a_part_of_the_phases():
    assert set(HYP_PHASES) < set(PHASES)
    assert "handler" not in HYP_PHASES and "host" not in HYP_PHASES
