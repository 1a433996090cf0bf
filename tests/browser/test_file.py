"""The exported file in Chromium, with the network off."""

import json
import re

import pytest

from hypkit import Machine
from hypkit.a64.registers import REGISTERS
from hypkit.cost import HYP_PHASES
from hypkit.timetravel import payload, whatif
from hypkit.timetravel.payload import Payload
from hypkit.timetravel.widget import stepper
from tests.browser.conftest import turning


@pytest.fixture(scope="module")
def machine():
    return Machine("numbered", seed=2020)


@pytest.fixture(scope="module")
def call(machine):
    return machine.call("__kvm_timer_set_cntvoff", 0x1234)


@pytest.fixture(scope="module")
def vm_call(machine):
    return machine.call("__kvm_vcpu_run_nvhe", "vcpu0")


@pytest.fixture
def page(offline, call):
    return offline(stepper(call).to_html())


def step(page):
    return page.evaluate("hypkit.step")


def status(page):
    return page.locator(".hk-view > .hk-status").inner_text()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


WHOLE_REEL = """() => {
  const { reel } = hypkit;
  const steps = [];
  for (let step = 0; step <= reel.steps; step++) {
    const last = step === reel.steps;
    steps.push({
      sentence: last ? "" : reel.sentence(step), level: reel.levelText(reel.level(step)),
      registers: reel.meta.registers.map((name) => "0x" + reel.register(name, step).toString(16)),
      writers: reel.meta.registers.map((name) => reel.lastWrite(name, step)),
      pc: "0x" + reel.pc(step).toString(16), changed: reel.changed(step),
      cost: reel.cost(step).map(({ counts }) => counts),
      sysregs: reel.meta.sysregs.map((_, n) => "0x" + reel.sysreg(n, step).toString(16)),
    });
  }
  return JSON.stringify(steps);
}"""


def expected(trace):
    """The same from Python, by other ways."""
    found, system = Payload(trace), dict(trace.sysregs)
    changes = found.trace.sysreg_changes
    for row in range(len(trace) + 1):
        for change in changes[changes["step"] == row - 1]:
            system[found.sysregs[change["register"]]] = int(change["value"])
        counts = found.counts(row)
        yield {
            "sentence": found.sentence(row) if row < len(trace) else "",
            "level": found.level(row),
            "registers": [hex(value) for value in trace.registers(row).values()],
            "writers": [trace.last_write(name, row) for name in REGISTERS],
            "pc": hex(int(trace.pcs[row])),
            "changed": list(trace[row].changed) if row < len(trace) else [],
            "cost": [
                [getattr(counts[name], field) for field in payload.COUNTERS]
                if name in counts
                else [0] * 6
                for name in payload.PHASE_NAMES
            ],
            "sysregs": [hex(value) for value in system.values()],
        }


def some_call(key):
    if key == "vhe":
        return Machine("vhe", seed=1).call("__kvm_vcpu_run_nvhe", "vcpu0")
    machine = Machine("smccc" if key == "smccc" else "numbered", seed=2020)
    return {
        "vm": lambda: machine.call("__kvm_vcpu_run_nvhe", "vcpu0"),
        "vm fault": lambda: machine.call("__kvm_vcpu_run_nvhe", "vcpu1"),
        "panic": lambda: machine.call("__kvm_tlb_flush_vmid", 0x1234),
        "unknown": lambda: machine.hvc(1 << 63),
        "smccc": lambda: machine.call("__kvm_timer_set_cntvoff", 0x1234),
    }[key]()


@pytest.mark.parametrize("key", ["vm", "vm fault", "panic", "unknown", "smccc", "vhe"])
def test_the_front_end_says_what_python_says_at_every_step(offline, monkeypatch, key):
    monkeypatch.setattr(payload, "CHUNK", 32)  # many borders between chunks
    trace = some_call(key).trace
    page = offline(stepper(trace).to_html())
    shown = json.loads(page.evaluate(WHOLE_REEL))
    for row, (mine, wanted) in enumerate(zip(shown, expected(trace), strict=True)):
        assert mine == wanted, row


@pytest.mark.parametrize("name", ["kvm_hcall_table", "hyp_stack", "__kvm_hyp_init", "vectors"])
def test_page_walks_are_those_of_the_machine(offline, machine, call, name):
    page = offline(stepper(call).to_html())
    for space, address in machine.layout.names(machine.address(name)).items():
        shown = page.evaluate(
            """address => hypkit.reel.translations(BigInt(address), 4).map(
            ({ pa, levels }) => [pa, levels.map(({ table, index, descriptor }) =>
                [table, index, "0x" + descriptor.toString(16)])])""",
            hex(address),
        )
        wanted = [
            [walk.pa, [[level.table, level.index, hex(level.descriptor)] for level in walk.levels]]
            for walk in (machine.translate(address, el) for el in (1, 2))
        ]
        assert shown == wanted, space


def test_stepping_forward_and_back_shows_the_steps(page, call):
    for number in (1, 2, 3, 4):
        page.get_by_role("button", name="Next", exact=True).click()
        assert step(page) == number
        assert page.locator("tr[aria-current=step] .hk-text").inner_text() == (
            call.trace[number].text
        )
    assert page.locator(".hk-level").inner_text() == "■ EL2 hyp"
    page.get_by_role("button", name="Previous", exact=True).click()
    assert step(page) == 3
    assert page.locator(".hk-level").inner_text() == "○ EL1 host"
    assert page.locator(".hk-says").inner_text() == Payload(call.trace).sentence(3)


def test_a_changed_register_shows_the_old_value_beside_the_new(page):
    press(page, "n")
    row = page.locator(".hk-registers tbody tr").first
    assert row.locator("th .hk-name").inner_text() == "● x0"
    assert row.locator(".hk-value").all_inner_texts() == ["0x0", "→\n0x102"]


def test_the_ends_are_reached_and_not_passed(page, call):
    press(page, "p")
    assert step(page) == 0
    press(page, "End")
    assert step(page) == len(call.trace)
    press(page, "n")
    assert step(page) == len(call.trace)
    assert page.locator(".hk-says").inner_text() == "The call returned: x0 = 0x1234."
    press(page, "Home")
    assert step(page) == 0


def test_letters_go_by_level_by_call_and_by_mark(page, call):
    trace = call.trace
    press(page, "e")
    assert step(page) == trace.find("el1_sync") - 3  # the first instruction at EL2
    press(page, "e")
    assert trace[step(page)].el == 1
    press(page, "E")
    assert trace[step(page)].el == 2
    press(page, "s", "t")
    assert trace[step(page)].text == "hvc #0"
    press(page, "o")
    assert trace[step(page)].text == "ret" and trace[step(page)].el == 1
    handler = trace.find("__kvm_timer_set_cntvoff")
    page.evaluate("step => hypkit.go(step)", handler)
    press(page, "u")
    assert trace[step(page) - 1].text == "ret" and trace[step(page)].el == 2
    page.evaluate("step => hypkit.go(step)", handler - 1)
    press(page, "o")
    assert trace[step(page)].pc == trace[handler - 1].pc + 4


def test_the_timeline_is_scrubbed_by_mouse_wheel_and_keys(page, call):
    box = page.locator(".hk-scale").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    assert abs(step(page) - len(call.trace) / 2) <= 1
    page.mouse.move(box["x"] + box["width"] * 0.75, middle)
    page.mouse.up()
    here = step(page)
    assert abs(here - len(call.trace) * 0.75) <= 1
    page.mouse.wheel(0, 100)
    page.wait_for_function("step => hypkit.step === step", arg=here + 1)
    slider = page.get_by_role("slider", name="Timeline: step")
    slider.focus()
    press(page, "ArrowLeft")
    assert step(page) == here
    assert slider.get_attribute("aria-valuenow") == str(here)
    level = page.evaluate("hypkit.reel.levelText(hypkit.reel.level(hypkit.step))")
    assert slider.get_attribute("aria-valuetext") == f"step {here} of {len(call.trace)}, {level}"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("dispatch_find", lambda s: s.symbol == "dispatch_find"),
        ("0x102", lambda s: any(new == 0x102 for _, new in s.changed.values())),
        ("258", lambda s: any(new == 0x102 for _, new in s.changed.values())),
        ("x10", lambda s: "x10" in s.changed),
        ("table slot", lambda s: s.text == "ldr x0, [x0]"),
    ],
)
def test_a_search_finds_labels_values_registers_and_words(page, call, words, found):
    wanted = next(s.index for s in call.trace if s.index > 0 and found(s))
    press(page, "/")
    page.keyboard.type(words)
    press(page, "Enter")
    assert step(page) == wanted
    assert f"step {wanted}" in status(page)


def test_a_search_without_a_hit_says_so(page):
    page.locator(".hk-search").fill("no such thing")
    page.get_by_role("button", name="Find", exact=True).click()
    assert status(page) == "“no such thing”: this text is nowhere in this trace."


def test_who_wrote_this_register_is_one_click_away(page, call):
    page.evaluate("hypkit.go(35)")
    writer = call.trace.last_write("x0", 35)
    page.get_by_role("button", name=f"x0 was last written by step {writer}").click()
    assert step(page) == writer
    assert status(page) == f"x0 was last written here, in step {writer}."


def test_who_wrote_these_bytes_is_one_click_away(page, call):
    load = next(s for s in call.trace if s.text.startswith("ldr x30, [sp]"))
    store = next(s for s in call.trace if s.text.startswith("str x30, [sp"))
    page.evaluate("step => hypkit.go(step)", load.index)
    page.get_by_role("tab", name="Memory").click()
    row = page.locator(".hk-panel tr", has_text="SP ▸")
    assert "host_called" not in row.inner_text()
    assert f"◂{store.index}" in row.inner_text()
    page.get_by_role("button", name="Who wrote").click()
    assert step(page) == store.index
    assert status(page) == f"Last stored here, in step {store.index}."


def test_breakpoints_are_run_to_and_back_to(page, call):
    page.evaluate("hypkit.go(35)")
    press(page, "b", "s", "r")
    assert step(page) == 35
    press(page, "z", "R")
    assert step(page) == 35
    press(page, "r")
    assert status(page) == "No breakpoint is met from here on."
    press(page, "b", "r")
    assert status(page).startswith("No breakpoint is set")


def test_the_strip_draws_every_change_of_level(offline, vm_call):
    page = offline(stepper(vm_call).to_html())
    lines = page.evaluate("""[...document.querySelectorAll(".hk-crossing")].map((line) => {
      const middle = (name) => { const box = document.querySelector(".hk-lane-" + name)
        .getBoundingClientRect(); return box.top + box.height / 2; };
      const box = line.getBoundingClientRect();
      const lane = (y) => ["host", "vm", "hyp"].find((name) => Math.abs(middle(name) - y) < 2);
      return [lane(box.bottom), lane(box.top)];
    })""")
    assert lines == [["host", "hyp"], ["vm", "hyp"], ["vm", "hyp"], ["host", "hyp"]]


def test_a_click_on_a_mark_leads_to_its_step(page, call):
    page.locator(".hk-mark", has_text="▼").click()
    assert call.trace[step(page)].text == "eret"
    page.locator(".hk-mark", has_text="▲").click()
    assert call.trace[step(page)].text == "hvc #0"


def test_the_wheel_makes_steps_and_leaves_the_page_what_it_does_not_need(page):
    turned = page.evaluate(
        """(turns) => turns.map(([deltaX, deltaY]) => {
      const event = new WheelEvent("wheel", { deltaX, deltaY, bubbles: true, cancelable: true });
      document.querySelector(".hk-strip").dispatchEvent(event);
      return [hypkit.step, event.defaultPrevented];
    })""",
        [[0, 30], [0, 30], [90, 0], [0, 100], [0, -100], [0, -100], [0, -100]],
    )
    assert turned == [[0, True], [1, True], [1, False], [2, True], [1, True], [0, True], [0, False]]


def test_nonsense_for_a_step_moves_nothing(page, call):
    page.evaluate("hypkit.go(7)")
    field, steps = page.get_by_label("Step, 0 to"), len(call.trace)
    for typed in ("", "1.5"):
        field.fill(typed)
        press(page, "Enter")
        assert (step(page), status(page)) == (7, f"A step is a whole number, 0 to {steps}.")
        assert field.input_value() == "7"
    field.fill("9999")
    press(page, "Enter")
    assert (step(page), status(page)) == (
        steps,
        f"There is no step 9999: the steps are 0 to {steps}.",
    )


def test_what_was_said_goes_with_the_next_step(page):
    assert "all keys" in status(page)
    press(page, "n")
    assert status(page) == ""
    page.get_by_label("Search for").fill("nowhere")
    press(page, "Enter")
    assert status(page) == "“nowhere”: this text is nowhere in this trace."
    page.locator(".hk-title").click()
    press(page, "n")
    assert status(page) == ""
    press(page, "z", "s", "E")
    assert status(page) == "No change of exception level before this."


def test_a_line_that_runs_once_leads_to_itself(page):
    press(page, "n", "n")
    page.locator("tr[aria-current=step] .hk-runs").click()
    assert (step(page), status(page)) == (2, "No later run of this line: this is the first.")


@pytest.mark.parametrize("steps", [0, 1])
def test_a_trace_of_hardly_any_steps_is_a_whole_view(offline, call, steps):
    page = offline(stepper(call.trace[:steps], bookmarks={0: "start", 9: "nowhere"}).to_html())
    for name in ("Memory", "Address", "Cost", "Notes"):
        page.get_by_role("tab", name=name).click()
        press(page, *"nonueEtTfFrRbszp")
        assert page.locator(".hk-panel table").count() and not page.locator(".hk-bad").count()
    assert "step 9, beyond the end" in page.locator(".hk-panel").inner_text()
    assert page.locator(".hk-pin").count() == 1
    press(page, "z")
    assert page.locator(".hk-where").inner_text() == "after the last step"
    assert page.locator(".hk-instruction").inner_text() == ""


def test_two_empty_traces_are_compared(offline, call):
    page = offline(stepper(call.trace[:0], call.trace[:0]).to_html())
    assert status(page) == "Neither trace has a step."


def test_a_label_of_any_length_stays_in_the_page(offline, machine):
    name = "x" * 300
    text = machine.image.dispatcher.source.replace("dispatch_find:", f"dispatch_find:\n{name}:")
    call = Machine("numbered", seed=2020, dispatcher=text).call("__kvm_timer_set_cntvoff", 1)
    page = offline(stepper(call).to_html(), width=600)
    page.evaluate("step => hypkit.go(step)", call.trace.find(name))
    assert name[:200] in page.locator(".hk-where").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 600


def test_a_bookmark_keeps_a_note_and_leads_back(page):
    page.evaluate("hypkit.go(12)")
    press(page, "m")
    page.keyboard.type("look: nobody")
    page.evaluate("hypkit.go(40)")
    page.get_by_role("tab", name="Notes").click()
    assert page.get_by_label("Note on step 12").input_value() == "look: nobody"
    page.locator(".hk-panel").get_by_role("button", name="step 12", exact=True).click()
    assert step(page) == 12
    assert page.locator(".hk-pin").count() == 1


def test_an_address_shows_its_four_names_and_both_walks(page, machine):
    page.get_by_role("tab", name="Address").click()
    field = page.get_by_label("Address in hexadecimal, or a label")
    field.fill("kvm_hcall_table")
    press(page, "Enter")
    text = page.locator(".hk-panel").inner_text().replace(" ", "")
    for value in machine.layout.names(machine.address("kvm_hcall_table")).values():
        assert f"{value:#x}" in text
    # EL1 finds it through four levels; at EL2, an address of the upper half has no table at all.
    assert page.locator(".hk-panel caption", has_text="Page walk: EL1").count() == 1
    assert page.locator(".hk-fault").inner_text() == (
        "EL2, through TTBR0_EL2: ✖ translation fault, level 0"
    )
    field.fill("nonsense!")
    press(page, "Enter")
    assert status(page) == "Error: nonsense! is neither a label nor a hexadecimal number"


def test_the_state_names_the_fields_of_the_syndrome(page):
    press(page, "e")
    esr = page.locator(".hk-panel tr", has_text="ESR_EL2").first.inner_text()
    assert "EC 0x16: HVC from AArch64" in esr


def test_a_call_that_loses_what_the_host_counts_on_is_warned_of(offline, machine):
    text = machine.image.dispatcher.source
    lossy = text.replace("dispatch_find:", "dispatch_find:\n        mov     x20, #1", 1)
    assert lossy != text
    for dispatcher, notes in ((text, 0), (lossy, 1)):
        call = Machine("numbered", seed=2020, dispatcher=dispatcher).call("__kvm_enable_ssbs")
        page = offline(stepper(call).to_html())
        assert page.locator(".hk-note", has_text="x20: not as before the call").count() == notes


def test_a_system_register_says_which_step_wrote_it(page, call):
    press(page, "e", "n")
    row = page.locator(".hk-state tr", has=page.get_by_role("rowheader", name="ESR_EL2"))
    row.get_by_role("button", name="ESR_EL2 was last written by step").click()
    assert call.trace[step(page)].text == "hvc #0"
    assert status(page) == f"ESR_EL2 was last written here, in step {step(page)}."
    assert row.locator("td").last.inner_text() == "before"
    assert row.locator(".hk-sysname").inner_text() == "● ESR_EL2"


def test_the_cost_at_the_end_is_that_of_hypkit_cost(page, call):
    press(page, "z")
    page.get_by_role("tab", name="Cost").click()
    rows = {
        cells[0]: [int(cell) for cell in cells[1:]]
        for cells in (
            row.split("\t") for row in page.locator(".hk-numbers tbody tr").all_inner_texts()
        )
    }
    total, hyp = rows.pop("all"), rows.pop("EL2 without the handler")
    assert rows == {name: list(counts) for name, *counts in call.cost.rows()}
    assert total[0] == call.cost.total.instructions == len(call.trace)
    assert hyp[0] == sum(rows[name][0] for name in HYP_PHASES)


def test_two_traces_stand_side_by_side(offline, call):
    before = Machine("fnptr", seed=2020).call("__kvm_timer_set_cntvoff", 0x1234)
    page = offline(stepper(before, call).to_html())
    current = page.locator("tr[aria-current=step]")
    assert (
        current.locator("th").get_attribute("title") == "only left"
    )  # opens at the first difference
    page.get_by_role("button", name="Next difference").click()
    assert "only" in (current.locator("th").get_attribute("title") or "")
    only = before.trace.diff(call.trace)
    assert page.locator("tr.hk-only-left").count() == len(before.trace) - only.same
    assert page.locator("tr.hk-only-right").count() == len(call.trace) - only.same
    dispatch = page.locator(".hk-numbers tr", has_text="dispatch").inner_text().split("\t")
    counts = [cost.phases["dispatch"].instructions for cost in (before.cost, call.cost)]
    assert dispatch[1:4] == [str(counts[0]), str(counts[1]), f"+{counts[1] - counts[0]}"]


def test_of_a_long_comparison_only_the_rows_around_the_reader_are_built(offline):
    short, long = (
        Machine("numbered", seed=2020, dispatcher=turning(rounds)).call("__kvm_get_mdcr_el2")
        for rounds in (300, 900)
    )
    page = offline(stepper(short, long).to_html())
    rows = page.evaluate("hypkit.rows.length")
    assert rows >= len(long.trace) > 1500
    current = page.locator("tr[aria-current=step]")
    for key, at in (("z", rows - 1), ("p", rows - 2), ("s", 0), ("n", 1)):
        press(page, key)
        assert current.get_attribute("aria-label").startswith(f"row {at}: ")
        assert page.locator(".hk-diff tbody tr").count() <= 402
    page.get_by_role("button", name="rows after these").click()
    assert page.evaluate("hypkit.at") == 400
    box, line = page.locator(".hk-diff").bounding_box(), current.bounding_box()
    assert box["y"] < line["y"] < box["y"] + box["height"]


def test_larger_letters_take_fewer_columns_and_keep_the_line_in_sight(offline, call):
    page = offline(stepper(call).to_html(), width=1300)
    page.evaluate("hypkit.go(40)")
    code, registers = page.locator(".hk-code"), page.locator(".hk-registers")
    assert registers.bounding_box()["y"] == code.bounding_box()["y"]
    press(page, "+", "+", "+", "+", "+")
    assert registers.bounding_box()["y"] > code.bounding_box()["y"] + 100
    line, box = page.locator("tr[aria-current=step]").bounding_box(), code.bounding_box()
    assert box["y"] < line["y"] and line["y"] + line["height"] < box["y"] + box["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1300


def test_text_is_text_and_never_markup(offline, call):
    page = offline(stepper(call, bookmarks={1: "<img src=x onerror=alert(1)></script>"}).to_html())
    page.get_by_role("tab", name="Notes").click()
    assert page.get_by_label("Note on step 1").input_value().startswith("<img")
    assert page.locator("img").count() == 0


def test_data_that_cannot_be_read_is_said_on_the_page(offline, call):
    text = stepper(call).to_html()
    page = offline(re.sub(r'(?<=id="stepper-data">).{40}', "A" * 40, text))
    assert page.get_by_role("alert").inner_text().startswith("Error: ")


# --- Without a mouse, for everyone ----------------------------------------------------------------


def test_everything_is_reached_with_the_tab_key_in_reading_order(page):
    press(page, "Tab")
    tops, seen = [], []
    for _ in range(80):
        name, top, inside = page.evaluate("""() => { const e = document.activeElement;
            const box = (e.closest(".hk-registers, .hk-panel, .hk-code, .hk-tools") ?? e)
              .getBoundingClientRect();
            return [e.getAttribute("aria-label") ?? e.textContent.trim(), box.top,
                    document.querySelector(".hk-view").contains(e)]; }""")
        if not inside:
            break
        seen.append(name)
        tops.append(top)
        press(page, "Tab")
    for wanted in ("Timeline: step", "Start", "Find", "List the keys", "State"):
        assert wanted in seen, seen
    assert any(name.startswith("Breakpoint on") for name in seen)
    assert tops.index(max(tops)) > len(tops) // 2


def test_the_keyboard_alone_sets_a_breakpoint_on_another_line_and_reads_the_tabs(page):
    page.evaluate("document.querySelector('.hk-dot[tabindex=\"0\"]').focus()")
    press(page, "ArrowDown", "ArrowDown", "b", "r")
    assert status(page) == "" and step(page) == 2
    page.get_by_role("tab", name="State").focus()
    press(page, "ArrowRight", "ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "Address"
    assert "four names" in page.locator(".hk-panel").inner_text()


def test_the_keys_go_on_working_after_a_button_in_a_table_was_pressed(page, call):
    page.evaluate("hypkit.go(35)")
    page.get_by_role("button", name="x0 was last written by step").focus()
    press(page, "Enter")
    assert step(page) == call.trace.last_write("x0", 35)
    press(page, "n")
    assert step(page) == call.trace.last_write("x0", 35) + 1


def test_the_question_mark_lists_the_keys(page):
    assert not page.locator(".hk-keys").is_visible()
    press(page, "?")
    assert page.locator(".hk-keys").is_visible()
    assert "previous step" in page.locator(".hk-keys").inner_text()
    press(page, "Escape")
    assert not page.locator(".hk-keys").is_visible()


def test_step_level_instruction_and_changes_are_announced(page, call):
    heard = page.locator(".hk-heard")
    assert heard.get_attribute("aria-live") == "polite"
    press(page, "n")
    assert heard.inner_text() == (
        f"Step 1, EL1 (host), mov x0, #0x102. {Payload(call.trace).sentence(1)} x0 is now 0x102."
    )


AXE = """async (part) => {
  const { violations } = await axe.run(part ?? document, { resultTypes: ["violations"],
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((n) => n.html)}`);
}"""
# The page has one view and no headings of its own to jump between; the notebook around it has.
NOT_OURS = ("page-has-heading-one",)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1600), ("dark", 600)])
def test_axe_finds_nothing(offline, call, axe, scheme, width):
    page = offline(stepper(call, bookmarks={3: "up"}).to_html(), width=width, scheme=scheme)
    page.evaluate(axe)
    press(page, "e", "?")
    assert [fault for fault in page.evaluate(AXE) if not fault.startswith(NOT_OURS)] == []
    press(page, "Escape")
    panels = {
        "State": 3,
        "Memory": 42,
        "Address": 35,
        "Origin": 50,
        "Cost": 58,
        "If": 3,
        "Notes": 3,
    }
    for panel, at in panels.items():
        page.evaluate("step => hypkit.go(step)", at)
        if panel == "Origin":
            page.locator(".hk-name", has_text="x30").click()
        page.get_by_role("tab", name=panel, exact=True).click()
        if panel == "If":
            page.get_by_label("before step 3").check()
        for part in (".hk-side", ".hk-now"):
            assert page.evaluate(AXE, part) == []


def test_axe_would_find_a_fault(page, axe):
    page.evaluate(axe)
    page.evaluate("document.querySelector('.hk-says').style.color = '#e0a080'")
    assert any(fault.startswith("color-contrast") for fault in page.evaluate(AXE, ".hk-now"))


def test_axe_finds_nothing_on_a_comparison(offline, call, axe):
    before = Machine("fnptr", seed=2020).call("__kvm_timer_set_cntvoff", 0x1234)
    page = offline(stepper(before, call).to_html(), scheme="dark")
    page.evaluate(axe)
    press(page, "d")
    assert [f for f in page.evaluate(AXE) if not f.startswith(NOT_OURS)] == []


def changed(call):
    """The page of a call beside itself with x0 changed before its step 3, the HVC."""
    view = stepper(call)
    view.what_if({"x0": 0x10E}, at=3)
    return view.to_html()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_what_if(offline, call, axe, scheme):
    page = offline(changed(call), scheme=scheme)
    page.evaluate(axe)
    assert [f for f in page.evaluate(AXE) if not f.startswith(NOT_OURS)] == []


def test_a_call_beside_its_change_opens_at_the_change_and_goes_from_difference_to_difference(
    offline, call
):
    page = offline(changed(call))
    current = page.locator("tr[aria-current=step]")
    assert current.get_attribute("aria-label") == "row 3: both, with other values"
    assert "You changed x0 0x10e before it." in page.locator(".hk-says").inner_text()
    rows = page.evaluate("hypkit.rows")
    seen = [3]
    while True:
        press(page, "d")
        at = page.evaluate("hypkit.at")
        if at == seen[-1]:
            break
        seen.append(at)
    assert "No further difference" in page.locator(".hk-status").inner_text()
    trace = call.trace
    with Machine("numbered", seed=2020) as machine:
        other = whatif.again(machine.call("__kvm_timer_set_cntvoff", 0x1234), {"x0": 0x10E}, 3)
    other = other.after.trace

    def parts(at):
        left, right = rows[at]
        if left is None or right is None:
            return True
        one, two = trace[left], other[right]
        news = {name: after for name, (_, after) in one.changed.items()}
        stored = [[a.value for a in step.memory if a.kind == "store"] for step in (one, two)]
        return (
            right == 3
            or news != {name: after for name, (_, after) in two.changed.items()}
            or stored[0] != stored[1]
        )

    starts = [at for at in range(len(rows)) if parts(at) and not (at and parts(at - 1))]
    assert seen == starts and len(starts) > 2
    # The box has the colour of the level of the row in sight.
    for at in seen:
        left, right = rows[at]
        level = trace.els[left] if left is not None else other.els[right]
        page.evaluate("at => hypkit.go(at)", at)
        assert (
            page.locator(".hk-two").get_attribute("data-level") == {1: "host", 2: "hyp"}[int(level)]
        )


def test_both_with_the_same_code_and_values_are_told_to_be_alike(offline, call):
    page = offline(stepper(call, call).to_html())
    assert "same code, with the same values" in page.locator(".hk-status").inner_text()
    other = Machine("numbered", seed=2020).call("__kvm_timer_set_cntvoff", 0x1235)
    page = offline(stepper(call, other).to_html())
    current = page.locator("tr[aria-current=step]").get_attribute("aria-label")
    assert current == "row 5: both, with other values"  # EL2 stores x1


@pytest.mark.parametrize("width", [600, 1000, 1600])
def test_the_page_never_scrolls_sideways(offline, vm_call, width):
    page = offline(stepper(vm_call).to_html(), width=width)
    for at in (0, 60, 130, 140):
        page.evaluate("step => hypkit.go(step)", at)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [600, 860, 950, 1400])
def test_no_value_of_a_register_lies_on_the_next_column(offline, call, width):
    page = offline(stepper(call).to_html(), width=width)
    press(page, *"nnnnn")
    assert (
        page.evaluate("""() => [...document.querySelectorAll(".hk-registers td")].flatMap(
        (cell) => [...cell.querySelectorAll(".hk-value")].filter((value) =>
            value.getBoundingClientRect().right > cell.getBoundingClientRect().right + 0.5)
            .map((value) => value.textContent))""")
        == []
    )
    assert page.locator(".hk-registers .hk-new .hk-value").count()
