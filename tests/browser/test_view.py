"""What the stepper's view promises: it fits, it obeys, and it answers where a value comes from."""

import re

import pytest

from hypkit import Machine, stepper
from tests.browser.conftest import turning
from tests.browser.test_file import press, status, step


@pytest.fixture(scope="module")
def machine():
    return Machine("numbered", seed=2020)


@pytest.fixture(scope="module")
def call(machine):
    return machine.call("__kvm_timer_set_cntvoff", 0x1234)


@pytest.fixture(scope="module")
def text(call):
    return stepper(call).to_html()


@pytest.fixture
def page(offline, text):
    return offline(text, width=950, height=700)


PANELS = ("State", "Memory", "Address", "Origin", "Cost", "If", "Notes")


# --- It fits --------------------------------------------------------------------------------------


def test_every_step_and_panel_fits_one_screen_and_nothing_jumps(page, call):
    boxes = set()
    for name in PANELS:
        page.get_by_role("tab", name=name).click()
        for at in (0, 4, 17, 35, 43, 50, len(call.trace)):
            page.evaluate("at => hypkit.go(at)", at)
            boxes.add(
                tuple(
                    page.evaluate("""() => [...document.querySelectorAll(
                        ".hk-view, .hk-strip, .hk-now, .hk-code, .hk-registers, .hk-side")].flatMap(
                        (part) => { const box = part.getBoundingClientRect();
                                    return [Math.round(box.top), Math.round(box.bottom)]; })""")
                )
            )
    assert len(boxes) == 1, "a part moved"
    assert max(boxes.pop()) <= 700
    assert page.evaluate("document.documentElement.scrollHeight") <= 700
    assert page.locator(".hk-tools").bounding_box()["height"] < 32  # the controls: one row


def test_the_name_of_every_panel_is_seen_whole_at_any_width(offline, text):
    for width in (475, 600, 750, 950, 1400):
        page = offline(text, width=width, height=700)
        cut = page.evaluate("""() => [...document.querySelectorAll(".hk-tabs button")].filter((tab) => {
            const range = document.createRange();
            range.selectNodeContents(tab);
            const [text, box] = [range.getBoundingClientRect(), tab.getBoundingClientRect()];
            return text.left < box.left || text.right > box.right;
          }).map((tab) => tab.textContent)""")
        assert cut == [], width
        tabs = page.locator(".hk-tabs").bounding_box()
        last = page.locator(".hk-tabs button").last.bounding_box()
        assert last["x"] + last["width"] <= tabs["x"] + tabs["width"] + 1, width


def test_below_700_pixels_it_is_one_column_of_code_registers_and_panels(offline, text):
    page = offline(text, width=600, height=900)
    boxes = [
        page.locator(part).bounding_box()
        for part in (".hk-now", ".hk-code", ".hk-registers", ".hk-side")
    ]
    for above, below in zip(boxes, boxes[1:], strict=False):
        assert above["y"] + above["height"] <= below["y"] and above["x"] == below["x"]
    # What the wide page has in one line is here in two, and not cut off.
    page.evaluate("hypkit.go(35)")
    assert page.evaluate("""() => [...document.querySelectorAll(".hk-outcome, .hk-title, .hk-where")].every(
        (part) => part.scrollWidth <= part.clientWidth)""")


def test_where_the_reader_chose_the_colours_the_step_and_its_changes_are_still_told_apart(
    offline, text
):
    page = offline(text, width=950, height=700)
    page.emulate_media(forced_colors="active")
    page.evaluate("hypkit.go(36)")
    styles = page.evaluate("""() => [".hk-current", ".hk-changed th", ".hk-mine th", ".hk-cursor",
        ".hk-lane-hyp .hk-run", ".hk-tabs [aria-selected=true]"].map((part) => {
          const style = getComputedStyle(document.querySelector(part), part === ".hk-cursor" ? "::before" : null);
          return [style.outlineStyle, style.textDecorationLine, style.borderLeftWidth, style.backgroundColor,
                  style.backgroundImage.slice(0, 9)]; })""")
    current, changed, mine, cursor, hyp, tab = styles
    paper = page.evaluate("getComputedStyle(document.querySelector('.hk')).backgroundColor")
    assert current[0] == "solid" and "underline" in changed[1] and mine[2] == "3px"
    assert paper not in (cursor[3], tab[3]) and hyp[4] == "repeating"


@pytest.mark.parametrize("width", [475, 600, 700, 950, 1400])
def test_no_line_of_code_wraps_and_no_pane_is_cut_off_sideways(offline, text, width):
    page = offline(text, width=width, height=700)
    page.evaluate("hypkit.go(35)")
    heights = page.evaluate("""() => [...document.querySelectorAll(".hk-listing .hk-text")].map(
        (cell) => cell.getBoundingClientRect().height)""")
    assert len(set(heights)) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in PANELS:
        page.get_by_role("tab", name=name).click()
        over = page.evaluate("""() => { const panel = document.querySelector(".hk-panel");
            return panel.scrollWidth - panel.clientWidth; }""")
        assert over <= 0, name


def test_the_registers_of_the_step_come_first_and_those_without_a_part_are_folded(page, call):
    page.evaluate("hypkit.go(36)")
    names = page.locator(".hk-registers .hk-name")
    assert call.trace[36].text == "sub x0, x0, x9"
    assert names.all_inner_texts()[:2] == ["● x0", "x9"]
    assert page.locator(".hk-mine .hk-role").all_inner_texts() == ["rw", "r"]
    shown = names.count()
    page.locator(".hk-fold").click()
    assert names.count() == 32 and shown < 16


def test_what_came_of_one_source_line_is_marked_when_the_pointer_is_on_it(page):
    page.evaluate("hypkit.go(36)")
    page.locator("tr[aria-current=step] .hk-comment").hover()
    marked = page.locator(".hk-kin .hk-text").all_inner_texts()
    assert marked[0] == "sub x0, x0, x9" and len(marked) == 6  # image_to_hyp, a macro


def test_maximise_fills_the_screen_and_goes_back(page):
    press(page, "x")
    page.wait_for_function("document.fullscreenElement?.matches('.hk')")
    assert page.locator(".hk-code").bounding_box()["height"] > 430
    press(page, "n", "x")
    page.wait_for_function("!document.fullscreenElement")
    assert step(page) == 1


def test_numbers_and_labels_are_monospaced_without_ligatures(page):
    fonts = page.evaluate("""() => [...document.querySelectorAll(
        ".hk-says code, .hk-outcome code, .hk-title, .hk-value, .hk-text, .hk-search, .hk-name")].map(
        (node) => getComputedStyle(node)).map((s) => [s.fontFamily, s.fontVariantLigatures])""")
    assert len(fonts) > 60
    assert {family.split(",")[0] for family, _ in fonts} == {'"DejaVu Sans Mono"'}
    assert {ligatures for _, ligatures in fonts} == {"none"}


# --- It obeys -------------------------------------------------------------------------------------


def test_one_click_on_a_line_goes_there(page, call):
    page.locator(".hk-text", has_text=re.compile(r"^ldr x0, \[x0\]$")).click()
    assert call.trace[step(page)].text == "ldr x0, [x0]"
    press(page, "n")
    assert call.trace[step(page) - 1].text == "ldr x0, [x0]"


def test_the_toolbar_is_one_stop_and_arrows_move_in_it(page):
    assert page.locator("[role=toolbar] button[tabindex='0']").count() == 1
    page.get_by_role("button", name="Start", exact=True).focus()
    press(page, "ArrowRight", "ArrowRight", "Enter")
    assert step(page) == 1
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Next"
    press(page, "ArrowLeft", "Enter")
    assert step(page) == 0


@pytest.mark.parametrize(("letter", "name"), list(zip("dyawcik", PANELS, strict=True)))
def test_a_letter_opens_each_panel_and_the_help_lists_it(page, letter, name):
    press(page, letter)
    assert page.get_by_role("tab", name=name).get_attribute("aria-selected") == "true"
    press(page, "?")
    keys = page.locator(".hk-keys kbd").all_inner_texts()
    assert letter in keys


def test_keys_with_a_modifier_and_shift_enter_reach_the_page(page):
    page.evaluate("""() => { globalThis.heard = [];
        document.addEventListener("keydown", (event) => heard.push([event.key, event.defaultPrevented])); }""")
    press(page, "n", "Control+b", "Alt+n", "Meta+p", "Shift+Enter")
    heard = [
        key for key in page.evaluate("heard") if key[0] not in ("Control", "Alt", "Meta", "Shift")
    ]
    assert heard == [["b", False], ["n", False], ["p", False], ["Enter", False]]
    assert step(page) == 1


def test_every_id_in_a_page_of_several_steppers_is_used_once(offline, call):
    outputs = [stepper(call)._repr_mimebundle_()[0]["text/html"] for _ in range(3)]
    page = offline(f"<!doctype html><title>three</title><body>{''.join(outputs)}</body>")
    page.locator(".hk-view").nth(2).wait_for()
    ids = page.evaluate("""() => [...document.querySelectorAll(".hypkit-live")].flatMap(
        (live) => [...live.shadowRoot.querySelectorAll("[id]")].map((node) => node.id))""")
    assert len(ids) == len(set(ids)) >= 18


def search(page, words):
    page.locator(".hk-search").fill(words)
    press(page, "Enter")


def test_a_search_goes_round_counts_and_marks_what_it_found(page, call):
    wanted = [s.index for s in call.trace if "x10" in s.changed]
    page.evaluate("at => hypkit.go(at)", wanted[-1])
    search(page, "x10")
    assert step(page) == wanted[0]
    assert f"step {wanted[0]} (1 of {len(wanted)}), from the start again." in status(page)
    assert page.locator(".hk-hit-match").count() == len(wanted)
    press(page, "Shift+Enter")
    assert step(page) == wanted[-1] and "from the end again" in status(page)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("x0 == 0x102", lambda s: s.text == "mov x0, #0x102"),
        ("write ESR_EL2", lambda s: s.text == "hvc #0"),
        ("read kvm_hcall_table", None),
        ("write CNTVOFF_EL2", lambda s: s.text.startswith("msr cntvoff_el2")),
    ],
)
def test_a_search_takes_conditions_reads_and_writes(page, call, words, found):
    search(page, words)
    if found is None:  # the slot of another hypercall: nothing reads this one's
        assert "is nowhere in this trace" in status(page)
    else:
        assert step(page) == next(s.index for s in call.trace if found(s))


def test_all_runs_of_a_line_and_all_accesses_of_bytes_are_marked(offline, machine):
    text = machine.image.dispatcher.source.replace(
        "dispatch_find:", "dispatch_find:\n mov x9, #3\n1: sub x9, x9, #1\n cbnz x9, 1b", 1
    )
    call = Machine("numbered", seed=2020, dispatcher=text).call("__kvm_timer_set_cntvoff", 1)
    page = offline(stepper(call).to_html())
    page.locator("tr", has_text="cbnz x9").first.locator(".hk-runs").click()
    assert page.locator(".hk-hit-run").count() == 3
    store = next(s.index for s in call.trace if s.text.startswith("str x30, [sp"))
    page.evaluate("at => hypkit.go(at)", store)
    press(page, "y")
    page.get_by_role("button", name="Mark all reads and writes").first.click()
    va = next(moved.va for moved in call.trace[store].memory)
    touching = [
        (s.index, moved.kind == "store")
        for s in call.trace
        for moved in s.memory
        if moved.va < va + 8 and va < moved.va + moved.size
    ]
    assert page.locator(".hk-hit-write").count() == len({s for s, stored in touching if stored})
    assert page.locator(".hk-hit-read").count() == len({s for s, stored in touching if not stored})


def test_the_next_write_of_a_register_is_as_near_as_the_last(page, call):
    page.evaluate("hypkit.go(30)")
    wanted = next(s.index for s in call.trace if s.index > 30 and "x0" in s.changed)
    page.get_by_role("button", name="To the next write of x0", exact=True).click()
    assert step(page) == wanted


def test_the_strip_zooms_to_what_is_dragged_over_and_back(offline):
    call = Machine("numbered", seed=2020, dispatcher=turning(1000)).call("__kvm_get_mdcr_el2")
    page = offline(stepper(call).to_html(), width=950)
    box = page.locator(".hk-scale").bounding_box()
    y = box["y"] + 20
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + box["width"] * 0.25, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.up()
    page.keyboard.up("Shift")
    low, high = page.evaluate("[hypkit.strip.low, hypkit.strip.high]")
    assert abs(low - len(call.trace) / 4) < 20 and abs(high - len(call.trace) / 2) < 20
    page.mouse.click(box["x"] + box["width"] * 0.5, y)
    assert abs(step(page) - (low + high) / 2) <= 3
    page.locator(".hk-strip").dblclick(position={"x": 400, "y": 20})
    assert page.evaluate("[hypkit.strip.low, hypkit.strip.high]") == [0, len(call.trace) + 1]
    press(page, "z", "s")
    assert page.locator(".hk-cursor").is_visible()


def test_of_a_long_trace_the_zoomed_strip_is_drawn_step_by_step(offline):
    call = Machine("numbered", seed=2020, dispatcher=turning(4000)).call("__kvm_get_mdcr_el2")
    steps = len(call.trace)
    page = offline(stepper(call).to_html(), width=950)
    assert steps > 8000 and page.locator(".hk-phases span").count() == 0
    eret = call.trace.find("dispatch_return")
    page.evaluate("at => hypkit.go(at)", eret)
    press(page, "h", "h", "h", "h")  # to a 256th: what a column of the overview cannot show
    low, high = page.evaluate("[hypkit.strip.low, hypkit.strip.high]")
    assert low <= eret < high and high - low == pytest.approx(steps / 256, abs=2)
    runs = page.locator(".hk-lane-hyp .hk-run").evaluate_all(
        "nodes => nodes.map((node) => [parseFloat(node.style.left), parseFloat(node.style.width)])"
    )
    end = sum(runs[-1]) / 100 * (high - low) + low
    assert round(end) == eret + 1  # the step at which the level changes, to the step
    assert page.locator(".hk-phases span").count() >= 2
    whole = page.get_by_role("button", name=f"The strip shows steps {low} to")
    assert whole.is_visible()
    whole.click()
    assert page.evaluate("[hypkit.strip.low, hypkit.strip.high]") == [0, steps + 1]
    assert not whole.is_visible()


def test_a_line_of_code_and_a_field_of_a_register_explain_themselves_under_the_pointer(page, call):
    page.evaluate("hypkit.go(4)")
    line = page.locator(".hk-text", has_text="lsr x0, x0, #0x1a")
    line.hover()
    at = next(s.index for s in call.trace if s.text == "lsr x0, x0, #0x1a")
    title = line.get_attribute("title")
    assert f"Step {at}: " in title and "x0" in title and ".S:" in title
    field = page.locator(".hk-field", has_text="EC 0x16")
    assert field.get_attribute("title") == "ESR_EL2.EC, bits 31 to 26 = 0x16: exception class"
    assert "Z, zero" in page.locator(".hk-flags").get_attribute("title")


def test_the_path_of_calls_leads_from_the_host_down_to_the_handler(page, call):
    handler = call.trace.find("__kvm_timer_set_cntvoff")
    page.evaluate("at => hypkit.go(at)", handler)
    crumbs = page.locator(".hk-crumb")
    assert crumbs.all_inner_texts()[:2] == ["host_call", "__kvm_call_hyp"]
    crumbs.nth(1).click()
    assert call.trace[step(page)].symbol == "__kvm_call_hyp"


def test_memory_shows_what_lies_at_an_address_at_this_moment(page, call):
    store = next(s for s in call.trace if s.text.startswith("str x30, [sp"))
    sp = store.changed["sp"][1]
    for at, wanted in ((store.index, False), (store.index + 1, True)):
        page.evaluate("at => hypkit.go(at)", at)
        press(page, "a")
        page.get_by_label("Address in hexadecimal, or a label").fill(hex(sp))
        press(page, "Enter")
        row = page.locator(".hk-panel table", has_text="What lies here").locator("tbody tr").first
        assert (f"◂{store.index}" in row.inner_text()) == wanted
        page.evaluate("hypkit.root.focus()")


# --- It is shared ---------------------------------------------------------------------------------


def test_an_address_ends_in_a_step_and_a_link_to_this_step_is_copied(page):
    page.evaluate("() => { location.hash = '#step=35'; }")
    page.wait_for_function("hypkit.step === 35")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("hypkit.go(41)")
    press(page, "l")
    page.wait_for_function(
        "document.querySelector('.hk-view > .hk-status').textContent.includes('#step=41')"
    )
    page.reload()
    page.wait_for_function("globalThis.hypkit?.step === 35")


def test_a_note_in_a_file_is_there_after_the_page_is_opened_again(page):
    page.evaluate("hypkit.go(12)")
    press(page, "m")
    page.keyboard.type("look here")
    assert "stay in this browser" in page.locator(".hk-panel").inner_text()
    page.reload()
    page.get_by_role("tab", name="Notes").click()
    assert page.get_by_label("Note on step 12").input_value() == "look here"


def test_a_copy_of_a_file_holds_the_notes_that_were_written_in_it(offline, text, tmp_path):
    page = offline(text)
    press(page, "n", "m")
    page.get_by_label("Note on step 1").fill("</script> by the host")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save a copy").click()
    path = tmp_path / "copy.html"
    download.value.save_as(path)
    page.evaluate("localStorage.clear()")
    page.close()
    page = offline(path.read_text(encoding="utf-8"))
    page.get_by_role("tab", name="Notes").click()
    assert page.get_by_label("Note on step 1").input_value() == "</script> by the host"
    assert step(page) == 1
    press(page, "n")
    assert step(page) == 2


def test_on_paper_is_the_trace(page, call):
    page.emulate_media(media="print")
    page.locator(".hk-paper table").wait_for()
    assert not page.locator(".hk-view").is_visible()
    rows = page.locator(".hk-paper tbody tr")
    assert rows.count() == len(call.trace)
    assert "Loads x0 from the table slot of hypercall 2" in rows.nth(35).inner_text()
    page.emulate_media(media="screen")
    assert page.locator(".hk-view").is_visible() and not page.locator(".hk-paper").is_visible()


# --- It answers -----------------------------------------------------------------------------------


def test_a_click_on_a_register_shows_where_its_value_comes_from_and_what_it_reaches(page, call):
    at = next(s.index for s in call.trace if s.text == "blr x30")
    page.evaluate("at => hypkit.go(at)", at)
    page.locator(".hk-name", has_text="x30").click()
    origin = call.trace.origin("x30", at)
    panel = page.locator(".hk-panel")
    sources = panel.locator("table", has_text="Where it comes from").locator("tbody tr")
    assert sources.count() == len(origin.sources) > 3
    for row, source in zip(sources.all_inner_texts(), origin.sources, strict=True):
        assert source.name in row and source.owner in row and source.kind in row
    assert panel.locator(".hk-owners .hk-owner").all_inner_texts() == list(origin.owners)
    assert page.locator(".hk-hit-chain").count() == len(origin.steps)
    panel.get_by_role("button", name=f"Step {origin.steps[0]}: go there").first.click()
    assert step(page) == origin.steps[0]
    assert panel.get_by_text("x30 before step").count() == 1  # the answer stays


def test_a_click_at_memory_shows_where_its_bytes_come_from(page, call):
    load = next(s for s in call.trace if s.text == "ldr x0, [x0]")
    page.evaluate("at => hypkit.go(at)", load.index)
    press(page, "y")
    page.get_by_role("button", name="Where do the 8 bytes").first.click()
    panel = page.locator(".hk-panel").inner_text()
    source = call.trace.origin(load.memory[0].va, load.index).sources[0]
    assert source.kind == "table slot" and source.name in panel and source.owner in panel
