"""The facts in data/: complete, typed, sourced, and with a plain word when a file is broken."""

from __future__ import annotations

import re

import pytest

from hypkit import facts
from hypkit.facts import toml


def test_the_fourteen_hypercalls_stand_in_the_order_of_version_1():
    calls = facts.hypercalls()
    assert [c.index for c in calls] == list(range(14))
    assert calls[0].name == "__kvm_enable_ssbs"
    assert calls[5].prototype == "int __kvm_vcpu_run_nvhe(struct kvm_vcpu *vcpu)"
    assert calls[13].name == "__vgic_v3_save_aprs"
    assert max(len(c.args) for c in calls) == 2


def test_the_numbering_room_and_the_facts_name_the_same_calls():
    abi = pytest.importorskip("hypkit.kernel.variants")
    assert abi.HYPERCALLS == tuple(c.name for c in facts.hypercalls())


def test_the_smccc_ids_are_fast_64_bit_calls_of_the_vendor_hypervisor():
    ids = {c.name: c.smccc_id for c in facts.hypercalls()}
    assert ids["__kvm_vcpu_run_nvhe"] == 0xC6000001
    assert ids["__vgic_v3_restore_aprs"] == 0xC600000E
    # n = 0 is __kvm_hyp_init, which version 1 has no number for.
    assert sorted(i - 0xC6000000 for i in ids.values()) == list(range(1, 15))
    assert {i >> 24 & 0x3F for i in ids.values()} == {6}


def test_a_hypercall_is_found_by_name_and_by_index():
    assert facts.hypercall("__kvm_flush_vm_context") is facts.hypercall(4)
    assert [a.pointer for a in facts.hypercall(7).args] == [True, False]


@pytest.mark.parametrize("which", ["kvm_run", 14, -1, None, True, []])
def test_an_unknown_hypercall_is_refused_with_the_names_there_are(which):
    message = re.escape(f"no hypercall {which!r}") + ".*0 to 13: __kvm_enable_ssbs"
    with pytest.raises(KeyError, match=message):
        facts.hypercall(which)


def test_the_stub_calls_are_counted_from_0():
    assert [s.number for s in facts.stubs()] == [0, 1, 2]
    assert facts.abi_numbers()["stub_error"] == 0xBADCA11


def test_every_core_prices_the_same_classes_except_the_ideal_one():
    cores = facts.cores()
    assert set(cores) == {"ideal", "cortex-a55", "cortex-a57", "cortex-a72", "neoverse-n1"}
    assert cores["cortex-a55"].in_order and not cores["cortex-a57"].in_order
    classes = [set(c.prices) for k, c in cores.items() if k != "ideal"]
    assert all(c == classes[0] for c in classes)
    assert set(cores["ideal"].prices) < classes[0]


def test_the_a72_says_that_it_is_priced_as_an_a57():
    a72, a57 = facts.core("cortex-a72"), facts.core("cortex-a57")
    assert repr(a72) == "Core('cortex-a72': out of order, 3 wide, priced as cortex-a57)"
    assert a72.prices == a57.prices and a72.units == a57.units
    assert a72.source != a57.source and a72.note != a57.note


def test_an_unknown_core_is_refused_with_the_names_there_are():
    with pytest.raises(KeyError, match=r"no core 'cortex-a53'; there are: ideal, cortex-a55"):
        facts.core("cortex-a53")


def test_nothing_recalled_is_shown_unless_asked_for():
    for show in (facts.published, facts.history):
        shown, all_of_it = show(), show(recalled=True)
        assert "recalled" not in {entry.confidence for entry in shown}
        assert "recalled" in {entry.confidence for entry in all_of_it}
        assert set(shown) < set(all_of_it)


def test_no_core_rests_on_memory():
    assert "recalled" not in {core.source.confidence for core in facts.cores().values()}


def test_the_only_bare_trap_on_aarch64_is_neves():
    traps = {m.key: m for m in facts.published() if m.measures == "trap"}
    assert traps["neve-entry"].text == "68-76 cycles"
    both, into, back = (traps[f"neve-{k}"] for k in ("both", "entry", "return"))
    assert both.number == into.number + back.number
    assert both.high == into.high + back.number
    assert both.confidence == "derived"


def test_every_measurement_says_what_was_measured():
    kinds = {"host-hvc", "trap", "guest-hvc", "rework", "other"}
    for m in facts.published(recalled=True):
        assert m.measures in kinds and m.what.endswith(".") and m.machine, m.key
        assert m.high is None or m.high > m.number, m.key
    # If ever somebody publishes the price of this very call, the lesson must say so.
    assert not [m for m in facts.published() if m.measures == "host-hvc"]


def test_the_story_runs_forward_and_names_only_known_variants():
    variants = {
        "fnptr",
        "numbered",
        "adr_l",
        "cached",
        "reviewed",
        "jump_table",
        "patched",
        "relocated",
        "smccc",
        "vhe",
    }
    story = facts.history(recalled=True)
    assert {e.variant for e in story} - {""} <= variants
    shown = {v for s in facts.suggestions() for v in s.variants} | {e.variant for e in story}
    assert shown - {""} == variants
    days = [e.when for e in story if e.when[:2] == "20"]
    releases = [
        tuple(map(int, e.when[6:].split(".")))
        for e in story
        if re.fullmatch(r"Linux [0-9.]+", e.when)
    ]
    assert days == sorted(days) and releases == sorted(releases)


def test_commits_are_a_short_hash_and_a_subject():
    for event in facts.history():
        for commit in event.commits:
            assert re.fullmatch(r"[0-9a-f]{12} \S.*", commit), commit


def test_the_review_made_seven_remarks_and_missed_two_flaws():
    assert sum(s.in_review for s in facts.suggestions()) == 7
    assert [s.key for s in facts.suggestions() if not s.in_review] == ["unsigned", "barrier"]


def test_every_repr_is_one_short_line():
    things = [
        *facts.hypercalls(),
        *facts.stubs(),
        *facts.cores().values(),
        *facts.suggestions(),
        *facts.published(recalled=True),
        *facts.history(),
        *facts.mca_figures(),
        *facts.core("cortex-a55").prices.values(),
        facts.hypercall(0).source,
    ]
    for thing in things:
        assert "\n" not in repr(thing) and " at 0x" not in repr(thing)
        assert len(repr(thing)) < 200, repr(thing)


def test_facts_are_read_once_and_cannot_be_changed():
    assert facts.hypercalls() is facts.hypercalls() and facts.cores() is facts.cores()
    with pytest.raises(TypeError):
        facts.cores()["cortex-a55"].units["alu"] = 3
    with pytest.raises(AttributeError):
        facts.core("cortex-a55").width = 3


# --- A broken file --------------------------------------------------------------------------------

SOURCE = '[source.s]\ntitle = "t"\nwhere = "w"\nconfidence = "read"\n'
CORE = (
    SOURCE + "[core.c]\ntitle = 't'\norder = 'in'\nwidth = 2\n"
    "source = 's'\nnote = ''\nunits = { alu = 1 }\n"
    "[core.c.class]\nmove = { latency = 1, units = { alu = 1 } }\n"
)
STUB = "[[stub]]\nnumber = 0\nname = 'n'\nargs = []\nwhat = 'w'\nsource = 's'\n"


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Puts a text in the place of a data file, and forgets what was read before and after."""

    def forget():
        for name in (
            "hypercalls",
            "stubs",
            "abi_numbers",
            "cores",
            "suggestions",
            "mca_figures",
            "_published",
            "_history",
            "_read",
            "_sources",
        ):
            getattr(facts, name).cache_clear()

    def put(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        monkeypatch.setattr(facts, "data_path", lambda wanted: tmp_path / wanted)
        forget()

    yield put
    forget()


def test_a_sound_small_file_is_read(broken):
    broken("cores.toml", CORE)
    assert repr(facts.core("c")) == "Core('c': in order, 2 wide)"
    broken("hypercalls.toml", SOURCE + STUB)
    assert repr(facts.stubs()) == "(Stub(0: n),)"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "width = 2",
            "width = 'two'",
            "cores.toml: core 'c': key 'width': want a whole number, have 'two'",
        ),
        ("width = 2", "width = true", "key 'width': want a whole number, have True"),
        ("width = 2\n", "", "cores.toml: core 'c': key 'width' is missing"),
        ("width = 2", "width = 2\nbreadth = 3", "key 'breadth' is not known; known: key, title"),
        ("width = 2", "width = = 2", "cores.toml is not TOML: Invalid value"),
        ("order = 'in'", "order = 'odd'", "key 'order' is 'in' or 'out', not 'odd'"),
        ("order = 'in'", "order = 3", "key 'order': want a text, have 3"),
        (
            "order = 'in'",
            "order = 'in'\nresults_in_order = 1",
            "key 'results_in_order': want true or false, have 1",
        ),
        ("order = 'in'", "order = 'in'\nlike = 'd'", "key 'like' names no core: 'd'"),
        ("source = 's'", "source = 'x'", "key 'source' names no source of this file: 'x'"),
        (
            'confidence = "read"',
            'confidence = "sure"',
            "source 's': key 'confidence' is one of read, quoted, derived, recalled, not 'sure'",
        ),
        ("{ alu = 1 }\n[", "{ alu = 0 }\n[", "key 'units': 'alu' is 0, want 1 or more"),
        (
            "units = { alu = 1 } }",
            "units = { fpu = 1 } }",
            "class 'move': the core has no unit 'fpu'",
        ),
        ("latency = 1,", "", "key 'prices': key 'move': key 'latency' is missing"),
        ("[core.c.class]\nmove", "[core.c]\nclass = 3\nmove", "is not TOML"),
        ("[core.c.class]", "[core.c.klass]", "cores.toml: core 'c': key 'class' is missing"),
        ("core.c", "kern.c", "cores.toml: key 'core' is missing"),
        ("[core.c.class]", "forward = 3\n[core.c.class]", "key 'forward': want a table, have 3"),
        ("order = 'in'", "order = 'in'\nlike = []", "core 'c': key 'like': want a text, have []"),
        (CORE, "core = 3", "cores.toml: key 'core': want a table, have 3"),
        (CORE, "core.c = 3", "cores.toml: core: key 'c': want a table, have 3"),
        ("[source.s]", "source = 3\n[old]", "cores.toml: key 'source': want a table, have 3"),
    ],
)
def test_a_malformed_core_is_named_with_file_entry_and_key(broken, old, new, message):
    assert old in CORE
    broken("cores.toml", CORE.replace(old, new))
    with pytest.raises(toml.FactError, match=re.escape(message)):
        facts.cores()


def test_a_file_in_another_encoding_is_named(tmp_path, broken):
    broken("cores.toml", CORE)
    (tmp_path / "cores.toml").write_bytes("note = 'größer'".encode("latin-1"))
    with pytest.raises(toml.FactError, match="cores.toml is not TOML: 'utf-8' codec can't decode"):
        facts.cores()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STUB + STUB, "hypercalls.toml: stub 2: key 'number' repeats 0"),
        (STUB.replace("args = []", "args = 'x1'"), "key 'args': want a list, have 'x1'"),
        (STUB.replace("args = []", "args = [1]"), "key 'args'[0]: want a text, have 1"),
        ("stub = [3]", "hypercalls.toml: stub 1: want a table, have 3"),
        ("", "hypercalls.toml: key 'stub' is missing"),
        ("stub = 3", "hypercalls.toml: key 'stub': want a list, have 3"),
    ],
)
def test_a_malformed_list_is_named_with_file_position_and_key(broken, text, message):
    broken("hypercalls.toml", text if text.startswith("stub") else SOURCE + text)
    with pytest.raises(toml.FactError, match=re.escape(message)):
        facts.stubs()


def test_a_function_is_tried_with_what_its_declaration_asks_for():
    run, ipa = facts.function("__kvm_vcpu_run_nvhe"), facts.function("__kvm_tlb_flush_vmid_ipa")
    assert (run.label, run.example, run.pointers) == (run.name, ("vcpu0",), ("vcpu0",))
    assert (ipa.example, ipa.pointers) == (("kvm0", 0x8000_0000), ("kvm0",))
    assert facts.function("__kvm_timer_set_cntvoff").example == (0x89ABCDEF, 0x01234567)
    for function in (*facts.hypercalls(), *facts.spare()):
        assert len(function.example) == len(function.args)
        assert function.pointers == tuple(x for x in function.example if isinstance(x, str))


def test_a_spare_function_is_a_function_but_no_hypercall():
    (spare, _) = facts.spare()
    assert facts.function(spare.name) is spare
    assert repr(spare) == "Function(u64 __kvm_timer_get_cntvoff(void))"
    with pytest.raises(KeyError, match="no hypercall '__kvm_timer_get_cntvoff'"):
        facts.hypercall(spare.name)


def test_a_pointer_to_a_structure_that_the_guest_has_not_is_told():
    with pytest.raises(facts.FactError, match=r"structure: key 'struct page \*' is missing"):
        _ = facts.Arg("page", "struct page *").example
