"""One suite over every dispatcher of the story, and over every set of the review's suggestions."""

import pytest

from hypkit import VARIANTS, Machine, facts
from hypkit.kernel import programs, variants
from hypkit.kernel.memory_map import CONSTANTS
from hypkit.kernel.programs import build
from hypkit.kernel.variants import HYPERCALLS, OPTIONS, review_combinations, variant
from tests.scenarios import ARGUMENTS

KEYS = (*VARIANTS, *review_combinations())
NUMBERED = [key for key in KEYS if variant(key).base is not None]
STUB_ERR = CONSTANTS["HVC_STUB_ERR"]
MASK = (1 << 64) - 1

_machines: dict[str, Machine] = {}


@pytest.fixture
def m(request):
    """A machine of the variant, booted afresh; made once for all tests here."""
    key = request.param
    if key not in _machines:
        _machines[key] = Machine(key, seed=11)
    _machines[key].reboot()
    return _machines[key]


@pytest.fixture(scope="module", autouse=True)
def close_machines():
    yield
    while _machines:
        _machines.popitem()[1].close()


each = pytest.mark.parametrize("m", KEYS, indirect=True)
each_numbered = pytest.mark.parametrize("m", NUMBERED, indirect=True)


@each
def test_every_handler_is_reached_with_the_arguments_it_was_given(m):
    for name in HYPERCALLS:
        given = ARGUMENTS.get(name, ())
        call = m.call(name, *given)
        assert call.outcome == "returned", (name, call)
        at = call.trace.find(name)
        assert at is not None, name
        assert [other for other in HYPERCALLS if call.trace.find(other) is not None] == [name]
        arguments = [
            m.image.host_va(m.image.pa(value)) if isinstance(value, str) else value
            for value in given
        ]
        assert [call.trace.register(f"x{n}", at) for n in range(len(given))] == arguments, name


@each
def test_three_arguments_arrive(m):
    call = m.call("__kvm_get_mdcr_el2", 0x11, 0x22, 0x33)
    at = call.trace.find("__kvm_get_mdcr_el2")
    assert [call.trace.register(f"x{n}", at) for n in range(3)] == [0x11, 0x22, 0x33]


@each
def test_the_answer_comes_back_in_the_register_that_the_variant_says(m):
    call = m.call("__kvm_timer_set_cntvoff", 0x89ABCDEF, 0x01234567)
    assert call.result == getattr(call, variant(m.key).result) == 0x0123456789ABCDEF
    if variant(m.key).result == "x1":
        assert call.x0 == 0  # a status: success


@each
def test_the_hosts_callee_saved_registers_and_stack_come_back_as_they_were(m):
    for name in HYPERCALLS:
        trace = m.call(name, *ARGUMENTS.get(name, ())).trace
        for register in (*(f"x{n}" for n in range(19, 30)), "sp"):
            before, after = (trace.register(register, row) for row in (0, len(trace)))
            assert before == after, f"{name} spoils {register}"


@each
def test_el2_leaves_its_own_stack_as_it_found_it(m):
    tops = set()
    for name in HYPERCALLS:
        trace = m.call(name, *ARGUMENTS.get(name, ())).trace
        if variant(m.key).host_el == 1:
            entry = next(step for step in trace if step.el == 2)
            last = [step for step in trace if step.el == 2 and step.text == "eret"][-1]
            assert entry.regs["sp"] == last.regs["sp"], name
            tops.add(entry.regs["sp"])
    if variant(m.key).host_el == 1:
        assert tops == {m.address("hyp_stack", "hyp") + 0x1000}


def expected_answer(chosen, x0):
    """What a numbered variant documents for an x0: (stub, call or reject, x0 afterwards)."""
    if x0 in chosen.numbers.values():
        return "call", None
    stub_limit = chosen.base if chosen.key == "jump_table" else CONSTANTS["HVC_STUB_HCALL_NR"]
    if x0 < stub_limit:
        return "stub", STUB_ERR
    return "reject", chosen.rejects & MASK


@each_numbered
def test_what_is_no_number_is_answered_as_the_variant_documents(m):
    chosen = variant(m.key)
    numbers = sorted(chosen.numbers.values())
    edges = {
        0,
        3,
        0xFF,
        0x100,
        0x10D,
        0x10E,
        0xFFF,
        0x1000,
        0x100D,
        0x100E,
        1 << 31,
        1 << 63,
        MASK,
        numbers[0] - 1,
        numbers[-1] + 1,
        chosen.base - chosen.gap - 1 & MASK,
        0x8400_0000,
        0xC600_0000,
        0xC700_0001,
        0xFFFF_FFFF_C600_0001,
        *(
            m.address("__kvm_get_mdcr_el2", space)
            for space in ("image", "linear", "physical", "hyp")
        ),
    }
    for x0 in sorted(edges - {1, 2}):
        kind, answer = expected_answer(chosen, x0)
        names = {number: name for name, number in chosen.numbers.items()}
        call = m.hvc(x0, *ARGUMENTS.get(names.get(x0), ()))
        assert call.outcome == "returned", hex(x0)
        reached = [name for name in HYPERCALLS if call.trace.find(name) is not None]
        if kind == "call":
            assert len(reached) == 1
        else:
            assert (reached, call.x0) == ([], answer), hex(x0)


@each_numbered
def test_each_number_reaches_its_function_and_no_other(m):
    for name, number in variant(m.key).numbers.items():
        call = m.hvc(number, *ARGUMENTS.get(name, ()))
        assert [other for other in HYPERCALLS if call.trace.find(other) is not None] == [name]
        assert number == m.x0_of(name)


@each
def test_a_vm_runs_and_stops(m):
    assert m.call("__kvm_vcpu_run_nvhe", "vcpu0").result == CONSTANTS["ARM_EXCEPTION_TRAP"]
    assert m.call("__kvm_vcpu_run_nvhe", "vcpu1").result == CONSTANTS["ARM_EXCEPTION_TRAP"]
    assert m.sysreg("VTTBR_EL2") == 0


@each
def test_a_bad_pointer_ends_in_a_panic_that_the_host_hears_of(m):
    call = m.call("__kvm_tlb_flush_vmid", 0x123456789)
    assert call.outcome == "panicked"
    assert "data abort, same exception level: translation fault" in call.message
    assert m.image.symbolize(m.panicked.elr).startswith("__kvm_tlb_flush_vmid+")


# --- What each one costs: instructions and loads from range test to target, and EL2 in all --------

COUNTS = {  # counted by hand in the kernels that `source` names
    "fnptr": (5, 0, 26),
    "numbered": (25, 4, 49),
    "adr_l": (20, 3, 44),
    "cached": (22, 3, 46),
    "reviewed": (14, 2, 35),
    "jump_table": (5, 0, 27),
    "smccc": (32, 3, 69),
    "patched": (16, 1, 37),
    "relocated": (5, 1, 26),
    "numbered+adr_l+cached": (17, 2, 41),
    "numbered+adr_l+cached+no_base": (14, 2, 38),
    "numbered+enum": (25, 4, 49),
    "numbered+no_base": (22, 4, 46),
    "numbered+shuffle3": (25, 4, 46),
}


@pytest.mark.parametrize("m", COUNTS, indirect=True)
@pytest.mark.parametrize(
    "name", ["__kvm_get_mdcr_el2", "__kvm_vcpu_run_nvhe", "__vgic_v3_init_lrs"]
)
def test_the_counts_are_those_of_the_ladder_whatever_is_called(m, name):
    cost = m.call(name, *ARGUMENTS.get(name, ())).cost
    dispatch = cost.phases["dispatch"]
    assert (dispatch.instructions, dispatch.loads, cost.hyp.instructions) == COUNTS[m.key]


@pytest.mark.parametrize(
    ("m", "instructions", "loads"),
    [("fnptr", 9, 2), ("numbered", 2, 0), ("jump_table", 2, 0), ("smccc", 3, 0)],
    indirect=["m"],
)
def test_the_host_pays_for_the_pointer_and_hardly_for_the_number(m, instructions, loads):
    """Its own calling code: from its first instruction to the branch that leads to the HVC."""
    trace = m.call("__kvm_get_mdcr_el2").trace
    start = trace.find("host_call___kvm_get_mdcr_el2")
    own = [step for step in trace[start : trace.find("__kvm_call_hyp")]]
    assert (len(own), sum(step.instruction.memory is not None for step in own)) == (
        instructions,
        loads,
    )


# --- The variants as data ----------------------------------------------------------------------


def test_every_variant_says_what_it_is_and_where_it_comes_from():
    assert list(VARIANTS) == [
        "fnptr",
        "numbered",
        "adr_l",
        "cached",
        "reviewed",
        "jump_table",
        "smccc",
        "patched",
        "relocated",
        "vhe",
    ]
    for key, chosen in VARIANTS.items():
        assert chosen.key == key
        assert chosen.title and chosen.source and chosen.date
        assert len(chosen.about) > 60 and chosen.about.endswith(".")


def test_there_are_thirty_two_sets_of_suggestions_and_five_of_them_have_names():
    keys = list(review_combinations())
    assert len(set(keys)) == 32
    same = {
        key: [other for other in keys if build(other)[8].code == build(key)[8].code]
        for key in ("numbered", "adr_l", "cached", "reviewed")
    }
    assert same["numbered"] == ["numbered", "numbered+enum"]
    assert same["adr_l"] == ["numbered+adr_l", "numbered+enum+adr_l"]
    assert same["cached"] == ["numbered+cached", "numbered+enum+cached"]
    assert "+".join(("numbered", *OPTIONS)) in same["reviewed"]


@pytest.mark.parametrize(
    "key",
    ["numbered+", "numbered+magic", "fnptr+adr_l", "", "NUMBERED", None, 7, "numbered+adr_l+magic"],
)
def test_an_unknown_variant_is_refused_with_what_there_is(key):
    with pytest.raises(KeyError, match=r"no variant .*; there are: fnptr, numbered, .*\+shuffle3"):
        variant(key)


@pytest.mark.parametrize("m", ["relocated"], indirect=True)
def test_relocated_makes_hyp_addresses_of_the_table_once_at_boot(m):
    table = m.read(m.address("kvm_hcall_table", "hyp"), 8 * 17)
    words = [int.from_bytes(table[at : at + 8], "little") for at in range(0, len(table), 8)]
    assert words[3:] == [m.address(name, "hyp") for name in HYPERCALLS]
    before = [
        int.from_bytes(m.image.memory[m.image.pa("kvm_hcall_table")][8 * n :][:8], "little")
        for n in range(17)
    ]
    assert before[3:] == [m.address(name, "image") for name in HYPERCALLS]
    # The work is done before EL1's MMU is on, a dozen instructions a word.
    boot = m.boot_trace
    stores = [
        step
        for step in boot
        if step.symbol.startswith("kvm_prepare_hyp")
        and step.instruction.memory
        and step.instruction.memory.kind == "store"
    ]
    assert len(stores) == 17


@pytest.mark.parametrize("m", ["patched"], indirect=True)
def test_patched_carries_the_offset_in_its_instructions(m):
    trace = m.call("__kvm_get_mdcr_el2").trace
    moves = [step for step in trace if step.text.startswith(("mov x9, #", "movz x9", "movk x9"))]
    assert len(moves) == 4
    offset = trace.register("x9", moves[-1].index + 1)
    assert offset == m.layout.kimage_voffset + 0x4000_0000
    # EL2 reads none of EL1's variables on the way to the handler.
    finding = trace[trace.find("dispatch_find") : trace.find("dispatch_call")]
    loads = [access.symbol for step in finding for access in step.memory]
    assert [symbol.partition("+")[0] for symbol in loads] == ["kvm_hcall_table"]


@pytest.mark.parametrize("m", ["vhe"], indirect=True)
def test_vhe_never_leaves_el2_and_makes_no_hvc(m):
    trace = m.call("__kvm_get_mdcr_el2").trace
    assert {step.el for step in trace} == {2}
    assert not any(step.text.startswith(("hvc", "eret")) for step in trace)
    assert any(step.text == "isb" for step in trace)
    assert m.hvc(0x101).outcome == "panicked"


def test_the_numbers_of_the_abis_are_those_of_the_facts():
    abi = facts.abi_numbers()
    assert variant("numbered").limits == (abi["v1_base"], abi["v1_base"] + 14)
    assert variant("jump_table").base == abi["v2_base"] and variant("numbered").rejects == -38
    assert (variants.ENOSYS, variants.STUB_ERROR) == ((1 << 64) - 38, 0xBADCA11)
    assert CONSTANTS["ENOSYS"] == 38 and CONSTANTS["HVC_SOFT_RESTART"] == 1
    assert variants.FIRST_AFTER_STUB == CONSTANTS["HVC_STUB_HCALL_NR"] == 3
    assert variants.SMCCC_ORDER[:2] == ("__kvm_vcpu_run_nvhe", "__kvm_flush_vm_context")


@pytest.mark.parametrize("key", [key for key, chosen in VARIANTS.items() if chosen.table])
def test_every_slot_of_every_kind_of_table_decodes_to_its_handler(key):
    with Machine(key, seed=31) as machine:
        table, slots = variant(key).table, variant(key).slots
        at = machine.address(table.label, "hyp")
        held = machine.read(at, table.size * len(slots))
        for index, name in enumerate(slots):
            word = int.from_bytes(held[table.size * index :][: table.size], "little")
            found = machine.image.symbolize(table.handler(word, at, index, machine.layout))
            assert found == (name or table.empty)


def test_an_option_leaves_the_assemblers_own_conditions_alone():
    text = (
        ".if adr_l // ours\n.if \\args == 6\nb\n.else\nc\n.endif\n.else\n.ifb \\x\nd\n.endif\n"
        ".endif // adr_l\n.ifdef no_base\ne\n.endif\nf\n"
    )
    with_it = ".if \\args == 6\nb\n.else\nc\n.endif\n.ifdef no_base\ne\n.endif\nf\n"
    without = ".ifb \\x\nd\n.endif\n.ifdef no_base\ne\n.endif\nf\n"
    assert programs._chosen_lines(text, frozenset({"adr_l"})) == with_it
    assert programs._chosen_lines(text, frozenset()) == without
    with pytest.raises(ValueError, match="an option has .else, not .elseif"):
        programs._chosen_lines(".if adr_l\n.elseif no_base\n.endif\n", frozenset())
