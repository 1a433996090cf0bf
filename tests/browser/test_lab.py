"""The stepper in a notebook of a running JupyterLab."""

import nbformat
from playwright.sync_api import TimeoutError

from hypkit import Machine
from hypkit.timetravel.widget import stepper
from tests.browser.conftest import command

MAKE = """
from hypkit import Machine
from hypkit.timetravel import stepper
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
    view.locator(".hk-title").click()
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
    run_button(page).click()
    page.locator(".hk-view").wait_for()
    assert page.locator(".hk[data-theme=dark]").count() == 1
    page.get_by_label("Arguments").fill("nonsense!")
    run_button(page).click()
    status = page.locator(".hk-control-status")
    page.wait_for_function(
        "document.querySelector('.hk-control-status').textContent.startsWith('Error: argument')"
    )
    page.get_by_label("Arguments").fill("0x77")
    run_button(page).click()
    page.get_by_text("numbered: __kvm_timer_set_cntvoff(0x77)").wait_for()

    page.get_by_text("Edit the dispatcher").click()
    editor = page.get_by_label("Dispatcher, as assembly")
    text = editor.input_value()
    wrong = text.replace("cmp     x0, #KVM_HOST_HCALL_BASE", "cmp     x0, #0x12345")
    assert wrong != text
    line = next(n for n, words in enumerate(wrong.splitlines(), 1) if "0x12345" in words)
    editor.fill(wrong)
    assert "still runs the text from before" in page.locator(".hk-fresh").first.inner_text()
    page.get_by_role("button", name="Assemble and run").click()
    page.locator(".hk-wrong-line").wait_for()
    assert page.locator(".hk-wrong-line").inner_text().strip() == f"✖ {line}"
    wrongs = page.locator(".hk-wrong")
    assert wrongs.first.inner_text().startswith(f"Line {line}: ")
    assert editor.get_attribute("aria-invalid") == "true"
    page.evaluate(axe)
    faults = page.evaluate("""async () => (await axe.run(".hk", { runOnly: ["wcag2a", "wcag2aa",
        "wcag21a", "wcag21aa", "wcag22aa"] })).violations.map(
            ({ id, nodes }) => id + nodes.map((node) => node.html).join(" ").slice(0, 300))""")
    assert faults == []

    editor.fill(wrong.replace("#0x12345", "#0x101"))
    page.get_by_role("button", name="Assemble and run").click()
    page.locator(".hk-text", has_text="cmp x0, #0x101").wait_for()
    assert wrongs.all_inner_texts() == ["", ""]
    assert status.inner_text() == "The call returned: x0 = 0x77."
    page.get_by_text("Edit the numbering header").click()
    header = page.get_by_label("Numbering header, in C")
    header.fill(header.input_value().replace("#endif\n", "", 1))
    page.get_by_role("button", name="Compile and run").click()
    page.locator(".hk-wrong", has_text="Line 5: #ifndef KVM_HOST_HCALL has no #endif").wait_for()
    page.get_by_role("button", name="Back to the original").nth(1).click()
    page.wait_for_function("!document.querySelector('.hk-controls [aria-invalid]')")
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
    view.locator(".hk-title").click()
    # To the end and back to the last ERET: near, although most steps were never sent.
    page.keyboard.press("z")
    page.keyboard.press("E")
    view.locator(".hk-where", has_text="step 262160").wait_for()
    view.locator(".hk-search").fill("0x7fff")
    view.get_by_label("Step, 0 to").fill("0")
    view.get_by_label("Step, 0 to").press("Enter")
    view.get_by_role("button", name="Find", exact=True).click()
    view.locator(".hk-status", has_text="“0x7fff”: step").wait_for()


def test_without_a_kernel_the_table_is_what_is_seen(notebook, lab):
    view = stepper(Machine("numbered", seed=2020).call("__kvm_timer_set_cntvoff", 0x1234))
    data, metadata = view._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data, metadata=metadata, execution_count=1)
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("stepper(c)", id="a", execution_count=1, outputs=[output])]
    )
    nbformat.write(book, lab[1] / "reopened.ipynb")
    page = notebook(name="reopened.ipynb")
    page.get_by_text("Loads x0 from the table slot of hypercall 2").wait_for()
    assert page.get_by_text("Error displaying widget").count() == 0


def test_two_views_of_one_stepper_stay_together(notebook):
    page = notebook(MAKE + 's = stepper(m.call("__kvm_enable_ssbs"))\ns', "s")
    page.locator(".hk-view").nth(1).wait_for()
    page.locator(".hk-title").first.click()
    page.keyboard.press("n")
    page.locator(".hk-where", has_text="step 1 ·").nth(1).wait_for()


def test_a_stepper_whose_kernel_is_gone_steps_on_and_says_what_to_do(notebook):
    page = notebook(MAKE + "stepper(m)")
    run_button(page).click()
    page.locator(".hk-view").wait_for()
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    run_button(page).click()
    page.locator(
        ".hk-control-status",
        has_text="Error: the kernel that made this stepper is gone. Run its cell again.",
    ).wait_for()
    page.locator(".hk-title").click()
    page.keyboard.press("n")
    assert page.locator(".hk-where").inner_text().startswith("step 1 · ")
