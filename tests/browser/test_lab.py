"""The stepper in a notebook of a running JupyterLab."""

import re

import nbformat
import pytest
from playwright.sync_api import TimeoutError

from tests.browser.conftest import closed, command
from tests.browser.editing import editor_of, text_in, type_over, wrong_line

MAKE = """
from hypkit import Machine
from hypkit import stepper
m = Machine("numbered", seed=2020)
"""
LONG = '''
text = """
dispatch:
        divert_stub_calls
dispatch_find:
        mov     x9, #0xffff
1:      str     x9, [sp, #-16]!
        ldr     x10, [sp], #16
        sub     x9, x9, #1
        cbnz    x9, 1b
dispatch_call:
        mov     x0, #7
dispatch_return:
        eret
"""
c = Machine("numbered", dispatcher=text).call("__kvm_get_mdcr_el2")
stepper(c)
'''


def theme(page, name):
    """Change JupyterLab's theme and wait until it is there."""
    command(page, "apputils:change-theme", {"theme": name})
    page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")


def run_button(page):
    return page.get_by_role("button", name="Run the call")


def test_a_call_is_stepped_by_keys_and_the_kernel_knows_where(notebook):
    page = notebook(MAKE + 's = stepper(m.call("__kvm_timer_set_cntvoff", 0x1234))\ns')
    view = page.locator(".hk-view")
    view.wait_for()
    view.locator(".hk-says").click()
    cells = page.locator(".jp-Cell").count()
    for _ in range(5):
        page.keyboard.press("n")
    assert view.locator(".hk-where").inner_text().startswith("step 5 · ")
    page.keyboard.press("p")
    assert view.locator(".hk-where").inner_text().startswith("step 4 · ")
    # b, m and the like are JupyterLab's keys as well: outside the stepper.
    for key in ("b", "m"):
        page.keyboard.press(key)
    assert page.locator(".jp-Cell").count() == cells
    assert view.get_by_label("Note on step 4").count() == 1
    command(page, "notebook:insert-cell-below")
    page.wait_for_function("n => document.querySelectorAll('.jp-Cell').length === n + 1", arg=cells)
    page.keyboard.press("Enter")
    page.keyboard.type("(s.step, list(s.bookmarks))")
    answer = page.get_by_text("(4, ['4'])", exact=True)
    for _ in range(30):  # the step is sent a moment after it is shown
        page.keyboard.press("Control+Enter")
        try:
            return answer.wait_for(timeout=1000)
        except TimeoutError:
            continue
    answer.wait_for()


def test_a_dispatcher_is_edited_wrong_and_then_right(notebook, axe):
    page = notebook(MAKE + "stepper(m)")
    theme(page, "JupyterLab Dark")
    run_button(page).wait_for()
    page.locator(".hk-view").wait_for()  # the first call has been made
    assert page.locator(".hk[data-theme=dark]").count() == 1
    page.get_by_label("Arguments").fill("nonsense!")
    run_button(page).click()
    status = page.locator(".hk-control-status")
    page.locator(".hk-control-status", has_text="Error: argument").wait_for()
    page.get_by_label("Arguments").fill("0x77")
    run_button(page).click()
    page.get_by_text("numbered: __kvm_timer_set_cntvoff(0x77)").wait_for()

    page.get_by_text("Edit the dispatcher").click()
    editor = editor_of(page, "Dispatcher, as assembly")
    text = text_in(editor)
    wrong = text.replace("cmp     x0, #KVM_HOST_HCALL_BASE", "cmp     x0, #0x12345")
    assert wrong != text
    line = next(n for n, words in enumerate(wrong.splitlines(), 1) if "0x12345" in words)
    type_over(page, editor, wrong)
    assert "still runs the text from before" in page.locator(".hk-fresh").first.inner_text()
    page.get_by_role("button", name="Assemble and run").click()
    assert wrong_line(page) == line
    assert page.locator(".hk-wrong-word").inner_text() == "#0x12345"
    wrongs = page.locator(".hk-wrong")
    assert wrongs.first.inner_text().startswith(f"Line {line}: ")
    assert editor.get_attribute("aria-invalid") == "true"
    page.evaluate(axe)
    faults = page.evaluate("""async () => (await axe.run(".hypkit-stepper", { runOnly: ["wcag2a", "wcag2aa",
        "wcag21a", "wcag21aa", "wcag22aa"] })).violations.map(
            ({ id, nodes }) => id + nodes.map((node) => node.html).join(" ").slice(0, 300))""")
    assert faults == []

    type_over(page, editor, wrong.replace("#0x12345", "#0x101"))
    page.get_by_role("button", name="Assemble and run").click()
    page.locator(".hk-text", has_text="cmp x0, #0x101").wait_for()
    assert wrongs.all_inner_texts() == ["", ""]
    assert status.inner_text() == "The call returned: x0 = 0x77."
    page.get_by_text("Edit the numbering header").click()
    header = editor_of(page, "Numbering header, in C")
    type_over(page, header, text_in(header).replace("#endif\n", "", 1))
    page.get_by_role("button", name="Compile and run").click()
    page.locator(".hk-wrong", has_text="Line 5: this condition has no #endif").wait_for()
    page.get_by_role("button", name="Back to the original").nth(1).click()
    page.locator(".hk-controls [aria-invalid=true]").wait_for(state="detached")
    page.get_by_label("Variant").select_option("fnptr")
    page.get_by_text("fnptr: __kvm_timer_set_cntvoff(0x77)").wait_for()
    theme(page, "JupyterLab Light")
    page.locator(".hk[data-theme=light]").wait_for()


def test_a_long_trace_is_fetched_as_the_reader_moves(notebook):
    page = notebook(MAKE + LONG)
    view = page.locator(".hk-view")
    view.wait_for()
    assert "of 262161" in view.locator(".hk-tools").inner_text()
    view.get_by_label("Step, 0 to").fill("200001")
    view.get_by_label("Step, 0 to").press("Enter")
    view.locator(".hk-where", has_text="step 200001").wait_for()
    view.locator(".hk-says").click()
    # To the end and back to the last ERET: near, although most steps were never sent.
    page.keyboard.press("z")
    page.keyboard.press("E")
    view.locator(".hk-where", has_text="step 262160").wait_for()
    view.locator(".hk-search").fill("0x7fff")
    view.get_by_label("Step, 0 to").fill("0")
    view.get_by_label("Step, 0 to").press("Enter")
    view.get_by_role("button", name="Find", exact=True).click()
    view.locator(".hk-status", has_text="“0x7fff”: step").wait_for()


def trusted(page):
    """Whether JupyterLab trusts every cell of the notebook in front."""
    return page.evaluate("""() => [...jupyterapp.shell.currentWidget.content.widgets]
        .filter((cell) => cell.model.type === "code").every((cell) => cell.model.trusted)""")


STEPPERS = {
    "call": 'stepper(m.call("__kvm_timer_set_cntvoff", 0x1234))',
    "comparison": 'stepper(Machine("fnptr").call("__kvm_enable_ssbs"), m.call("__kvm_enable_ssbs"))',
    "machine": "stepper(m)",
    "boot": "stepper(m.boot_trace)",
}


@pytest.mark.parametrize("kind", STEPPERS)
def test_a_notebook_that_was_run_and_saved_is_stepped_when_it_is_opened_again(notebook, lab, kind):
    page = notebook(MAKE + STEPPERS[kind])
    page.locator(".hk-view").wait_for()
    name = closed(page)
    assert (lab[1] / name).stat().st_size < 500_000
    page = notebook(name=name)
    page.locator(".hk-view").wait_for()
    assert trusted(page)
    says = page.locator(".hk-says")
    said = says.inner_text()
    says.click()
    page.keyboard.press("n")
    assert says.inner_text() != said
    assert page.get_by_text("Error displaying widget").count() == 0
    assert page.get_by_text("model not found").count() == 0


def test_a_notebook_that_is_not_trusted_shows_the_road_and_a_folded_table(notebook, lab):
    page = notebook(MAKE + STEPPERS["call"])
    page.locator(".hk-view").wait_for()
    name = closed(page)
    book = nbformat.read(lab[1] / name, as_version=4)
    book.metadata["changed"] = True
    book.cells[-1].source += "  # by somebody else"
    book.cells[-1].outputs[0].data["text/plain"] += " "
    nbformat.write(book, lab[1] / f"strange-{name}")
    page = notebook(name=f"strange-{name}")
    page.locator("pre", has_text="EL2 hyp   ····").wait_for()
    assert not trusted(page)
    sentence = page.get_by_text("from the table slot of hypercall 2")
    assert not sentence.is_visible()
    page.get_by_text("steps as a table").first.click()
    sentence.wait_for()
    assert page.get_by_text("Error displaying widget").count() == 0
    assert page.locator(".hk-view").count() == 0


def test_two_views_of_one_stepper_stay_together_however_quick_the_keys(notebook):
    page = notebook(MAKE + 's = stepper(m.call("__kvm_enable_ssbs"))\ns', "s")
    page.locator(".hk-view").nth(1).wait_for()
    where = page.locator(".hk-where")
    page.locator(".hk-says").first.click()
    for key in "nnnnnpnn":
        page.keyboard.press(key)
    where.nth(1).filter(has_text="step 6 ·").wait_for()
    page.locator(".hk-says").nth(1).click()
    page.keyboard.press("p")
    page.keyboard.press("p")
    where.nth(0).filter(has_text="step 4 ·").wait_for()
    page.wait_for_timeout(1500)  # the kernel has heard of it and answered
    assert [text[:8] for text in where.all_inner_texts()] == ["step 4 ·", "step 4 ·"]


def test_two_views_stay_together_in_a_saved_notebook_too(notebook):
    page = notebook(MAKE + 's = stepper(m.call("__kvm_enable_ssbs"))\ns', "s")
    page.locator(".hk-view").nth(1).wait_for()
    page = notebook(name=closed(page))
    page.locator(".hk-view").nth(1).wait_for()
    page.locator(".hk-says").first.click()
    for key in "nnnn":
        page.keyboard.press(key)
    page.locator(".hk-where").nth(1).filter(has_text="step 4 ·").wait_for()


def test_keys_with_a_modifier_are_jupyterlabs_and_escape_leaves(notebook):
    page = notebook(MAKE + STEPPERS["call"], "1 + 1")
    page.locator(".hk-view").wait_for()
    page.locator(".hk-says").click()
    dirty = "jupyterapp.shell.currentWidget.context.model.dirty"
    page.evaluate("() => { jupyterapp.shell.currentWidget.context.model.dirty = true; }")
    page.keyboard.press("Control+s")
    page.wait_for_function(f"!{dirty}")
    for key in "xdda":  # JupyterLab's for cut, delete, insert above
        page.keyboard.press(key)
    page.evaluate("document.fullscreenElement && document.exitFullscreen()")
    assert page.locator(".jp-CodeCell").count() == 2
    page.locator(".hk-says").click()
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.closest('.jp-Notebook')")
    page.keyboard.press("a")
    page.wait_for_function("document.querySelectorAll('.jp-CodeCell').length === 3")


def test_what_if_shows_the_changed_call_beside_the_last(notebook):
    page = notebook(MAKE + "stepper(m)")
    run_button(page).wait_for()
    page.get_by_label("Arguments").fill("0xdead")
    page.get_by_role("button", name="Run beside the last").click()
    page.locator(
        ".hk-title", has_text="Right: numbered: __kvm_timer_set_cntvoff(0xdead)"
    ).wait_for()
    assert "(0x1234)" in page.locator(".hk-title").first.inner_text()
    differing = page.locator(".hk-differs")
    page.locator(".hk-says").click()
    page.keyboard.press("z")
    differing.filter(has_text="x0").wait_for()
    run_button(page).click()
    page.locator(".hk-listing").wait_for()


def test_of_a_finished_call_a_register_or_a_variable_of_the_hosts_is_changed_and_both_are_seen(
    notebook,
):
    page = notebook(MAKE + 's = stepper(m.call("__kvm_timer_set_cntvoff", 0x1234))\ns')
    view = page.locator(".hk-view")
    view.wait_for()
    view.get_by_role("tab", name="If", exact=True).click()
    run = view.get_by_role("button", name="Run again, beside this")
    run.click()
    view.locator(".hk-status", has_text="Nothing is changed yet").wait_for()
    view.get_by_label("x1 instead of 0x1234").fill("ten")
    run.click()
    view.locator(".hk-status", has_text="expected a number, such as 0x10, or a label").wait_for()
    view.get_by_label("x1 instead of 0x1234").fill("0x77")
    view.get_by_label("kimage_voffset instead of").fill("0")
    run.click()
    two = page.locator(".hk-two")
    two.wait_for()
    assert "if x1 = 0x77, kimage_voffset = 0" in two.locator(".hk-head").inner_text()
    assert "EL1's page tables forbid it to write kimage_voffset" in two.inner_text()
    assert "The call panicked" in two.locator(".hk-head").inner_text()
    two.get_by_role("button", name="Back to the call").click()
    view.get_by_role("tab", name="If", exact=True).wait_for()
    assert view.get_by_label("x1 instead of 0x1234").input_value() == "0x77"
    view.get_by_label("kimage_voffset instead of").fill("")
    view.get_by_label("x1 instead of 0x1234").press("Enter")
    two.wait_for()
    assert [text.strip() for text in two.locator(".hk-outcome").all_inner_texts()] == [
        "The call returned: x0 = 0x1234.",
        "The call returned: x0 = 0x77.",
    ]


def test_at_any_step_a_register_or_a_variable_is_changed_and_the_call_goes_on_from_there(notebook):
    page = notebook(MAKE + 's = stepper(m.call("__kvm_timer_set_cntvoff", 0x1234))\ns')
    view = page.locator(".hk-view")
    view.wait_for()
    two = page.locator(".hk-two")

    def ask(step, **changes):
        view.get_by_label("Step, 0 to 58").fill(str(step))
        page.keyboard.press("Enter")
        view.locator(".hk-where", has_text=f"step {step} ·").wait_for()
        view.get_by_role("tab", name="If", exact=True).click()
        view.get_by_label(f"before step {step}").check()
        for name, word in changes.items():
            view.get_by_role("textbox", name=f"{name} instead of").fill(word)
        view.get_by_role("button", name="Run again, beside this").click()
        two.wait_for()
        return two.locator(".hk-head").inner_text()

    def back(**changes):
        two.get_by_role("button", name="Back to the call").click()
        for name in changes:
            view.get_by_role("textbox", name=f"{name} instead of").fill("")

    # At the HVC: what the host sends. Both begin alike, and the comparison opens where they part.
    head = ask(3, x0="0x10e")
    assert "if x0 = 0x10e before step 3" in head and "x0 = 0xffffffffffffffda" in head
    assert two.locator(".hk-current .hk-step").first.inner_text().endswith("3")
    assert "You changed x0 0x10e before it." in two.locator(".hk-says").inner_text()
    assert two.locator(".hk-differs", has_text="x0").count() == 1
    back(x0="")
    # In the middle of EL2, a register that no host sends, and a variable after its check.
    assert "The call panicked" in ask(34, x10="0")
    back(x10="")
    assert "x0 = 0x1234" in ask(24, kimage_voffset="5").split("Right:")[1]
    assert "EL1's page tables forbid it to write kimage_voffset" in two.inner_text()


def test_in_a_saved_notebook_what_if_says_that_it_takes_the_kernel(notebook):
    page = notebook(MAKE + STEPPERS["call"])
    page.locator(".hk-view").wait_for()
    name = closed(page)
    page.evaluate("hypkitSteppers.clear()")  # another day: nothing of the kernel is left
    page = notebook(name=name)
    view = page.locator(".hk-view")
    view.get_by_role("tab", name="If", exact=True).click()
    view.get_by_label("x1 instead of 0x1234").fill("0x77")
    view.get_by_role("button", name="Run again, beside this").click()
    view.locator(".hk-status", has_text="run the cell of this stepper first").wait_for()


def test_a_note_is_saved_with_the_notebook_and_the_reader_goes_on_where_they_were(notebook, lab):
    page = notebook(MAKE + 's = stepper(m.call("__kvm_timer_set_cntvoff", 0x1234))\ns', "s")
    page.locator(".hk-view").nth(1).wait_for()
    view = page.locator(".hk-view").first
    view.locator(".hk-says").click()
    for key in "nnm":
        page.keyboard.press(key)
    view.get_by_label("Note on step 2").fill("here the host leaves")
    assert "saved with the notebook" in view.locator(".hk-panel").inner_text()
    page.evaluate("() => { document.querySelector('.hypkit-live').mine = true; }")
    view.locator(".hk-says").click()  # leaves the note: a moment later the output is written anew
    page.wait_for_function("!document.querySelector('.hypkit-live')?.mine")
    view.locator(".hk-where", has_text="step 2 ·").wait_for()
    page.keyboard.press("n")
    view.locator(".hk-where", has_text="step 3 ·").wait_for()
    assert view.get_by_role("tab", name="Notes").get_attribute("aria-selected") == "true"
    page.locator(".hk-where").nth(1).filter(has_text="step 3 ·").wait_for()
    name = closed(page)
    page.evaluate("hypkitSteppers.clear()")  # another day
    page = notebook(name=name)
    page.locator(".hk-view").nth(1).wait_for()
    for at in (0, 1):
        view = page.locator(".hk-view").nth(at)
        view.get_by_role("tab", name="Notes").click()
        assert view.get_by_label("Note on step 2").input_value() == "here the host leaves"
    assert "stay in this browser" in view.locator(".hk-panel").inner_text()
    # A note of today's, without a kernel, is there when the page is opened once more.
    view.get_by_label("Note on step 2").fill("by HVC")
    page.evaluate("hypkitSteppers.clear()")
    page = notebook(name=closed(page))
    view = page.locator(".hk-view").first
    view.get_by_role("tab", name="Notes").click()
    assert view.get_by_label("Note on step 2").input_value() == "by HVC"
    page.evaluate("localStorage.clear()")


def test_the_kernel_is_asked_for_origins_that_the_page_does_not_hold(notebook):
    page = notebook(MAKE + LONG)
    page.locator(".hk-view").wait_for()
    page.locator(".hk-says").click()
    page.keyboard.press("z")
    page.locator(".hk-where", has_text="after the last step").wait_for()
    page.locator(".hk-name", has_text=re.compile(r"^x0$")).click()
    page.locator(".hk-panel", has_text="mov x0, #7").wait_for()
    assert page.locator(".hk-owners").inner_text() == "It depends on linker."


def test_the_wheel_is_the_pages_until_the_stepper_has_the_focus(notebook):
    page = notebook(MAKE + STEPPERS["call"])
    page.locator(".hk-view").wait_for()
    page.locator(".hk-scale").hover()
    page.mouse.wheel(0, 120)
    page.wait_for_timeout(200)
    assert page.locator(".hk-where").inner_text().startswith("step 0 ·")
    page.locator(".hk-says").click()
    page.locator(".hk-scale").hover()
    page.mouse.wheel(0, 120)
    page.locator(".hk-where", has_text="step 1 ·").wait_for()


def test_a_stepper_whose_kernel_is_gone_steps_on_and_says_what_to_do(notebook):
    page = notebook(MAKE + "stepper(m)")
    page.locator(".hk-view").wait_for()
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    run_button(page).click()
    page.locator(
        ".hk-control-status",
        has_text="Error: the kernel that made this stepper is gone. Run its cell again.",
    ).wait_for()
    page.locator(".hk-says").click()
    page.keyboard.press("n")
    assert page.locator(".hk-where").inner_text().startswith("step 1 · ")


def test_a_prediction_takes_a_guess_and_its_letters_are_no_commands(notebook):
    page = notebook(
        "from hypkit import predict\npredict('01-1', 'How many?', answer=5, show='five of them')",
        "predict('01-2', 'Which?', ['a', 'b'], answer='b')",
    )
    boxes = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .hk-predict")
    boxes.nth(1).wait_for()
    assert not boxes.first.get_by_text("five of them").is_visible()
    cells = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").count()
    field = boxes.first.get_by_role("textbox")
    field.click()
    page.keyboard.type("aabbdd")
    field.fill("5")
    page.keyboard.press("Enter")
    boxes.first.get_by_text("five of them").wait_for()
    said = boxes.first.locator("p[role=status]")
    assert said.inner_text() == "You predicted: 5. It was: 5. \u2714 As you said."
    boxes.nth(1).get_by_role("button", name="a", exact=True).click()
    assert "It went another way" in boxes.nth(1).locator("p[role=status]").inner_text()
    assert page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").count() == cells


def test_a_click_on_a_cell_of_the_matrix_opens_the_stepper_of_its_example(notebook):
    page = notebook(
        "from hypkit import attack\nattack.matrix(['fnptr', 'numbered'], calls=500, progress=False)"
    )
    page.click('button[data-opens="fnptr, x0"]')
    page.wait_for_selector(".hypkit-opened .hypkit-stepper .hk")
    assert "fnptr, x0" in page.inner_text(".hypkit-said")
    page.wait_for_selector(
        ".hypkit-opened .hk-road, .hypkit-opened .hk-listing, .hypkit-opened svg"
    )
