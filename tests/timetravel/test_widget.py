"""The stepper without a browser: what it shows, writes, and says when something is wrong."""

import gc
import json
import re
import weakref

import ipywidgets
import pytest
import traitlets

from hypkit import VARIANTS, Machine
from hypkit.errors import WrongValue
from hypkit.header import ENUM, read_header
from hypkit.timetravel import origins, payload, static, widget
from hypkit.timetravel.boxes import own_header, parse_args
from hypkit.timetravel.widget import Stepper, stepper


@pytest.fixture(scope="module")
def machine():
    return Machine("numbered", seed=2020)


@pytest.fixture(scope="module")
def call(machine):
    return machine.call("__kvm_timer_set_cntvoff", 0x1234)


@pytest.fixture
def bench():
    return stepper(Machine("numbered", seed=2020))


def test_the_text_of_a_stepper_is_short_and_names_the_call(call, machine):
    steps = len(call.trace)
    assert repr(stepper(call)) == (
        f"Stepper(numbered: __kvm_timer_set_cntvoff(0x1234), {steps} steps)"
    )
    assert repr(stepper(machine)).startswith("Stepper(numbered: __kvm_timer_set_cntvoff(0x1234), ")
    assert repr(stepper(call, call)).count("|") == 1
    assert repr(stepper(machine.boot_trace)).startswith("Stepper(numbered: ")


def test_an_output_holds_its_own_program_and_no_widget_that_a_saved_notebook_would_miss(call):
    data, _ = stepper(call)._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html"}
    again, _ = stepper(call)._repr_mimebundle_()
    assert _unnamed(data["text/html"]) == _unnamed(again["text/html"])
    assert len(data["text/html"]) < 120_000
    assert not re.search(r"https?://", data["text/html"])


def _unnamed(output):
    """An output without the name by which it finds its stepper, which is new each time."""
    return re.sub(r'data-stepper="[0-9a-f]{32}"', "", output)


def test_without_its_scripts_an_output_is_the_road_and_a_folded_table(call):
    table = stepper(call).to_table()
    road = re.search(r"<pre>(.*?)</pre>", table, re.DOTALL)[1].splitlines()
    columns = max(len(line) for line in road[:2]) - 10
    assert columns == len(call.trace)
    for lane, level in ((road[0], 2), (road[1], 1)):
        assert [at for at, sign in enumerate(lane[10:]) if sign == "█"] == [
            step.index for step in call.trace if step.el == level
        ]
    assert table.count("<details>") == 1
    assert table.count("<tr>") == len(call.trace) + 1
    assert table.count('scope="row"') == len(call.trace) and "<caption>" in table
    assert "Loads <code>x0</code> from the table slot of hypercall 2" in table
    assert "<script" not in table and "style=" not in table


def test_two_calls_are_one_table_of_two_columns(call):
    before = Machine("fnptr", seed=2020).call("__kvm_timer_set_cntvoff", 0x1234)
    view = stepper(before, call)
    table = view.to_table()
    assert table.count("<table>") == 1 and table.count("<pre>") == 2
    assert table.count("<tr>") == len(view._rows) + 1


def test_a_long_static_table_is_cut_and_says_so(call, monkeypatch):
    monkeypatch.setattr(static, "TABLE_ROWS", 10)
    table = stepper(call).to_table()
    assert table.count('scope="row"') == 10
    assert f"{len(call.trace) - 10} more rows are not in this table." in table


def test_what_an_earlier_run_of_a_cell_made_is_closed_when_the_cell_runs_again(call, monkeypatch):
    run = ["cell 1", "first"]
    monkeypatch.setattr(widget, "_where", lambda: tuple(run))
    old = [stepper(call), stepper(call)]
    assert all(view.comm is not None for view in old)  # two of one run stay
    run[0] = "cell 2"
    other = stepper(call)
    run[:] = "cell 1", "second"
    new = stepper(call)
    assert [view.comm for view in old] == [None, None]
    assert other.comm is not None and new.comm is not None


def test_the_kernel_answers_where_a_value_comes_from_when_a_trace_is_too_long(call, monkeypatch):
    monkeypatch.setattr(origins, "MOST", 10)
    view = stepper(call)
    assert view._payloads[0].meta()["origins"] is None
    sent = sent_by(view, monkeypatch)
    question = {"type": "origin", "number": "x0 36", "name": "x0", "step": 36}
    view._heard(view, {**question, "generation": view._generation}, [])
    answer = sent.pop()[0]
    origin = call.trace.origin("x0", 36)
    assert answer["value"] == f"{origin.value:x}" and answer["steps"] == origins.runs(origin.steps)
    assert [source[1] for source in answer["sources"]] == [s.name for s in origin.sources]
    view._heard(view, {**question, "name": "x99", "generation": view._generation}, [])
    assert "x99" in sent.pop()[0]["error"]


def test_a_stepper_that_was_closed_is_freed_with_the_machines_that_it_made(call):
    own = Machine("numbered", seed=2020)
    view = stepper(own)
    view.variant = "fnptr"
    made = [machine for key, machine in view._machines.items() if key in view._made]
    view.close()
    assert own.call("__kvm_timer_set_cntvoff", 1).x0 == 1
    with pytest.raises(Exception, match="closed"):
        made[0].call("__kvm_timer_set_cntvoff", 1)
    gone = [weakref.ref(view), weakref.ref(stepper(call))]
    gone[1]().close()
    del view, made
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_the_file_is_small_and_asks_for_nothing_outside_itself(call, tmp_path):
    path = tmp_path / "call.html"
    page = stepper(call).to_html(path)
    assert path.read_text(encoding="utf-8") == page
    assert len(page.encode()) < 300_000
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", page)
    assert not re.search(r"https?://", page)


def test_the_file_is_the_same_each_time(call):
    assert stepper(call).to_html() == stepper(call).to_html()


def test_a_note_cannot_end_the_script_of_the_file(call):
    page = stepper(call, bookmarks={3: "</script><b>"}).to_html()
    assert "</script><b>" not in page


def test_no_call_no_file():
    machine = Machine("numbered", seed=2020)
    machine.call(
        "__kvm_tlb_flush_vmid", 0x1234
    )  # panics: a stepper does not start it again unasked
    with pytest.raises(ValueError, match="no call has been made yet"):
        stepper(machine).to_html()


@pytest.mark.parametrize("wrong", [7, "numbered", None])
def test_what_cannot_be_shown_is_named(wrong):
    with pytest.raises(TypeError, match="expected a Call, a Trace or a Machine; got "):
        stepper(wrong)


@pytest.mark.parametrize("wrong", [-1, "3"])
def test_a_bookmark_stands_on_a_step(call, wrong):
    with pytest.raises(
        ValueError, match="bookmarks: expected the number of a step, 0 or more; got"
    ):
        stepper(call, bookmarks={wrong: "here"})


def test_two_traces_that_are_too_long_are_not_compared(call, monkeypatch):
    monkeypatch.setattr(widget, "DIFF_ROWS", 50)
    with pytest.raises(ValueError, match="too long to stand side by side"):
        stepper(call, call)


def test_two_calls_side_by_side_are_aligned(call):
    before = Machine("fnptr", seed=2020).call("__kvm_timer_set_cntvoff", 0x1234)
    view = stepper(before, call)
    rows = view._rows
    assert [i for i, _ in rows if i is not None] == list(range(len(before.trace)))
    assert [j for _, j in rows if j is not None] == list(range(len(call.trace)))
    assert any(i is None for i, _ in rows) and any(j is None for _, j in rows)


@pytest.mark.parametrize(
    ("text", "values"),
    [("", ()), ("0x10", (16,)), ("1, 0x2,vcpu0", (1, 2, "vcpu0")), ("-38", (-38,)), ("010", (10,))],
)
def test_arguments_are_numbers_and_names(text, values):
    assert parse_args(text) == values


@pytest.mark.parametrize("text", ["1 + 1", "0xzz", "print()", "'a'"])
def test_an_argument_that_is_neither_is_named(text):
    with pytest.raises(ValueError, match="is neither a number, such as 0x1234, nor the name"):
        parse_args(text)


def test_a_machine_makes_the_call_that_is_chosen(bench):
    assert bench.call.x0 == 0x1234 and bench.status == "The call returned: x0 = 0x1234."
    bench.args = "0x77"
    assert bench.call.x0 == 0x77
    bench.hypercall = "__kvm_vcpu_run_nvhe"
    assert bench.args == "vcpu0" and bench.call.x0 == 2
    bench.variant = "fnptr"
    assert repr(bench).startswith("Stepper(fnptr: __kvm_vcpu_run_nvhe(")
    assert bench.source == bench._machine("", "").image.dispatcher.source


def test_what_if_runs_a_call_with_other_arguments_beside_the_last(bench):
    before = bench.call
    generation = bench._generation
    bench._heard(bench, {"type": "run", "beside": True, "args": "0x77"}, [])
    assert (bench.call.x0, bench.args, bench._generation) == (0x77, "0x77", generation + 1)
    assert [len(p.trace) for p in bench._payloads] == [len(before.trace), len(bench.call.trace)]
    assert bench.data["diff"] == bench._rows
    bench._heard(bench, {"type": "run", "beside": True, "args": "1 +"}, [])
    assert bench.status.startswith("Error: argument") and len(bench._payloads) == 2
    bench.args = "0x78"
    assert bench.call.x0 == 0x78 and len(bench._payloads) == 1


def test_another_widget_can_choose(bench):
    dropdown = ipywidgets.Dropdown(options=["numbered", "fnptr"], value="numbered")
    traitlets.link((dropdown, "value"), (bench, "variant"))
    dropdown.value = "fnptr"
    assert repr(bench).startswith("Stepper(fnptr: ")


def test_a_raw_hvc_can_be_chosen(bench):
    bench.hypercall = "hvc"
    bench.args = "0x102, 5"
    assert bench.call.x0 == 5


@pytest.mark.parametrize(
    ("trait", "value", "said"),
    [
        ("args", "1 +", "Error: argument '1 +' is neither a number"),
        ("args", "vcpu9", "Error: no symbol 'vcpu9'"),
        ("args", "1,2,3,4,5,6,7,8", "Error: a hypercall takes at most 6 arguments"),
        ("hypercall", "nonsense", "Error: no hypercall 'nonsense'"),
        ("variant", "nonsense", "Error: no variant 'nonsense'"),
    ],
)
def test_a_wrong_choice_is_said_in_the_status_line(bench, trait, value, said):
    setattr(bench, trait, value)
    assert bench.status.startswith(said)


def test_after_a_panic_the_next_call_finds_the_machine_started_again(bench):
    bench.hypercall = "__kvm_tlb_flush_vmid"
    bench.args = "0x1234"
    assert "panicked" in bench.status
    bench.args = "kvm0"
    assert bench.status.startswith("The machine had stopped and was started again. The call retur")


def test_an_edited_dispatcher_runs_after_its_mistake_is_mended(bench):
    bench.run()
    shown = bench.data
    wrong = bench.source.replace("cmp     x0, #KVM_HOST_HCALL_BASE", "cmp     x0, #0x12345")
    assert wrong != bench.source
    bench._heard(bench, {"type": "edit", "text": wrong}, [])
    line = next(n for n, text in enumerate(wrong.splitlines(), 1) if "#0x12345" in text)
    assert bench.error["line"] == line and bench.error["message"]
    assert bench.status.startswith("Error: this dispatcher was not taken") and bench.data == shown
    mended = wrong.replace("#0x12345", "#0x101")
    bench._heard(bench, {"type": "edit", "text": mended}, [])
    assert bench.error == {} and bench.dispatcher == mended and bench.call.x0 == 0x1234
    bench._heard(bench, {"type": "edit", "text": bench.source}, [])
    assert bench.dispatcher == ""


def test_a_dispatcher_that_has_no_room_says_so(bench):
    bench._heard(bench, {"type": "edit", "text": bench.source + "    .zero 0x40000\n"}, [])
    assert "too long" in bench.error["message"] and bench.status.startswith("Error: ")


def test_an_error_while_answering_the_front_end_goes_to_the_status_line(bench, monkeypatch):
    def fails(text):
        raise RuntimeError("something unforeseen")

    monkeypatch.setattr(bench, "assemble", fails)
    bench._heard(bench, {"type": "edit", "text": ""}, [])
    assert bench.status == "Error: something unforeseen"


def sent_by(view, monkeypatch):
    """What a stepper sends, as a list that grows."""
    sent = []
    monkeypatch.setattr(
        Stepper, "send", lambda self, content, buffers=None: sent.append((content, buffers))
    )
    return sent


def test_the_steps_of_a_long_trace_are_sent_when_asked_for(call, monkeypatch):
    monkeypatch.setattr(payload, "WHOLE", 40)
    monkeypatch.setattr(payload, "CHUNK", 16)
    view = stepper(call)
    held = view._embedded(whole=False)["chunks"]
    assert held[0] and not any(held[1:]) and len(held) == view._payloads[0].chunks
    sent = sent_by(view, monkeypatch)
    now = view._generation
    view._heard(view, {"type": "chunk", "number": 2, "generation": now}, [])
    assert sent.pop() == (
        {"type": "chunk", "number": 2, "generation": now},
        [view._payloads[0].chunk(2)],
    )
    view._heard(view, {"type": "chunk", "number": 99, "generation": now}, [])
    assert "chunk 99 of a trace with" in sent.pop()[0]["error"]
    view._heard(view, {"type": "chunk", "number": 2, "generation": now - 1}, [])
    assert not sent


@pytest.mark.parametrize(
    ("trait", "value"), [("hypercall", "__kvm_tlb_flush_vmid"), ("variant", "fnptr"), ("args", "7")]
)
def test_one_choice_makes_one_call(bench, trait, value):
    before = bench._generation
    setattr(bench, trait, value)
    assert bench._generation == before + 1 == bench.data["generation"]


def test_the_front_end_hears_when_its_wish_is_done(bench, monkeypatch):
    sent = sent_by(bench, monkeypatch)
    for message in ({"type": "run"}, {"type": "edit", "text": "nonsense"}, {"type": "edit"}):
        bench._heard(bench, message, [])
        assert sent.pop() == ({"type": "done"}, None)
    bench.args = "1 +"
    assert sent.pop() == ({"type": "done"}, None) and not sent


def test_machines_of_old_edits_are_closed_but_never_the_learners(monkeypatch):
    monkeypatch.setattr(widget, "KEPT_MACHINES", 2)
    own = Machine("numbered", seed=2020)
    view = stepper(own)
    for number in range(5):
        view.assemble(f"{view.source}        mov x9, #{number}\n")
        assert view.error == {} and view.call.x0 == 0x1234
        assert len(view._machines) <= 3
    shown = view.call
    view.variant = "fnptr"
    view.variant = "adr_l"
    assert own.call("__kvm_timer_set_cntvoff", 1).x0 == 1
    assert shown.cost.total.instructions == len(shown.trace)


# --- A learner's numbering header -----------------------------------------------------------------


@pytest.mark.parametrize("key", [key for key in VARIANTS if VARIANTS[key].base is not None])
def test_the_header_that_stands_there_at_first_has_the_variants_numbers(key):
    numbering, variant = read_header(own_header(key)).numbering, VARIANTS[key]
    assert dict(numbering.numbers) == variant.numbers
    assert (numbering.slots, (numbering.base, numbering.end)) == (variant.slots, variant.limits)


@pytest.mark.parametrize("key", ["fnptr", "vhe"])
def test_where_no_number_is_there_is_no_header(bench, key):
    bench.variant = key
    assert bench.header_source == ""
    bench._heard(bench, {"type": "edit", "of": "header", "text": own_header("numbered")}, [])
    assert bench.error == {
        "of": "header",
        "message": f"the {key} machine has no numbers, so it takes no header",
    }


def test_an_edited_header_moves_the_numbers_after_its_mistake_is_mended(bench):
    line = "#define KVM_HOST_HCALL_IDX___kvm_timer_set_cntvoff 2\n"
    assert line in bench.header_source
    bench._heard(
        bench, {"type": "edit", "of": "header", "text": bench.header_source.replace(line, "")}, []
    )
    assert (bench.error["of"], bench.error["line"]) == ("header", 13)
    assert bench.error["message"].startswith("the table has no place for __kvm_timer_set_cntvoff")
    assert bench.status.startswith("Error: this header was not taken")
    moved = bench.header_source.replace("BASE 0x100", "BASE 0x200")
    bench._heard(bench, {"type": "edit", "of": "header", "text": moved}, [])
    assert bench.error == {} and bench.header == moved and bench.call.x0 == 0x1234
    bench.hypercall, bench.args = "hvc", "0x202, 5"
    assert bench.call.x0 == 5
    bench.variant = "jump_table"
    assert bench.header == "" and "BASE 0x1000" in bench.header_source


def test_a_number_that_no_instruction_holds_is_the_headers_mistake(bench):
    bench._heard(
        bench,
        {
            "type": "edit",
            "of": "header",
            "text": bench.header_source.replace("BASE 0x100", "BASE 0x12345"),
        },
        [],
    )
    assert bench.error["of"] == "header"
    assert "0x12345 does not fit in cmp" in bench.error["message"]


def test_a_machine_keeps_its_header_while_its_dispatcher_is_edited():
    moved = {**ENUM, "kvm_hcalls.h": ENUM["kvm_hcalls.h"].replace("0x100", "0x200")}
    view = stepper(Machine("numbered", seed=2020, header=moved, budget=5000))
    assert view.header == moved["kvm_hcalls.h"]
    view.assemble(view.source + "        nop\n")
    assert view.error == {} and view.call.whole_trace.image.variant.limits == (0x200, 0x20E)
    view.assemble("dispatch: b dispatch\ndispatch_find:\ndispatch_call:\ndispatch_return:\n")
    assert view.status.startswith("The call ran away: 5,000 instructions were not enough")
    view.renumber("")
    assert view._machine("", "").header is None


def test_what_if_shows_both_calls_and_leads_back(call):
    shown = stepper(call)
    changed = shown.what_if({"x1": 0x77})
    assert changed.x0 == 0x77 and shown.call is call
    assert repr(shown).count("__kvm_timer_set_cntvoff") == 2 and "if x1 = 0x77" in repr(shown)
    assert shown.data["what_if"] and shown.data["note"] == ""
    shown.what_if({"kimage_voffset": 0})  # of the call itself, not of the one before
    assert "if kimage_voffset = 0x0" in repr(shown) and "page tables" in shown.data["note"]
    shown.back()
    assert repr(shown) == repr(stepper(call))


def test_what_if_goes_on_from_a_step_and_a_wrong_step_is_said(call):
    view = stepper(call)
    heard = []
    view.send = lambda message, buffers=None: heard.append(message)
    ask = {"type": "if", "number": "if", "changes": {"x1": "0x55"}, "generation": 1}
    view._heard(view, ask | {"at": 999}, [])
    assert "expected a step from 0 to 57" in heard[-1]["error"]
    view._heard(view, ask | {"at": 3}, [])
    left, right = (json.loads(side["meta"]) for side in view.data["sides"])
    assert right["title"] == f"{left['title']} if x1 = 0x55 before step 3"
    assert left["edit"] is None and right["edit"] == {
        "step": 3,
        "registers": {"x1": "55"},
        "before": {"x1": "1234"},
        "memory": [],
        "says": "x1 0x55",
    }
    assert "x0 = 0x55" in right["outcome"]
    view.back()
    assert view.what_if({"x1": 9}, at=3).x0 == 9


def test_what_if_of_a_bare_trace_says_what_it_takes(machine):
    with pytest.raises(WrongValue, match="expected a stepper of a call"):
        stepper(machine.boot_trace).what_if({"x1": 1})


@pytest.mark.parametrize(
    ("trait", "value", "says"),
    [
        ("step", "x", "expected an int"),
        ("step", -5, "step: expected the number of a step, 0 or more; got -5"),
        ("step", 1 << 60, "step: expected the number of a step, 0 or more; got 1152"),
        ("bookmarks", {1: object()}, "bookmarks: expected texts by step; got"),
        ("bookmarks", 5, "expected a dict"),
        ("variant", 7, "expected a unicode string"),
        ("args", None, "expected a unicode string"),
    ],
)
def test_a_trait_that_makes_no_sense_is_refused_and_changes_nothing(call, trait, value, says):
    shown = stepper(call, bookmarks={3: "here"})
    before = getattr(shown, trait)
    with pytest.raises(traitlets.TraitError, match=says):
        setattr(shown, trait, value)
    assert getattr(shown, trait) == before
    assert shown.to_html().startswith("<!doctype html>")
