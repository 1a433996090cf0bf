"""The workbench in JupyterLab: colours, the wrong line, keys, the failing call, and what a file keeps."""

import json

from hypkit.lessons.exercises.lesson11 import SHORT
from tests.browser.conftest import closed, command
from tests.browser.editing import editor_of, text_in, type_over, wrong_line

MAKE = 'from hypkit import workbench\nwb = workbench("11.2")\nwb'
LABEL = "Dispatcher, as assembly"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def faults(page, axe):
    page.evaluate(axe)
    return page.evaluate(
        """async (rules) => (await axe.run(".hypkit-bench", { runOnly: rules })).violations.map(
            ({ id, nodes }) => id + nodes.map((node) => node.html).join(" ").slice(0, 300))""",
        RULES,
    )


def theme(page, name):
    command(page, "apputils:change-theme", {"theme": f"JupyterLab {name}"})
    page.locator(f".hk-bench[data-theme={name.lower()}]").wait_for()


def colour(page, text):
    return page.locator(".cm-line span", has_text=text).first.evaluate(
        "(span) => getComputedStyle(span).color"
    )


def count(page, name):
    return page.locator(".hk-counts tr", has_text=name).first.inner_text().split()


def test_a_text_is_written_run_stepped_and_made_right(notebook, axe):
    page = notebook(MAKE)
    theme(page, "Light")
    editor = editor_of(page, LABEL)
    # Colours: an instruction's operands, a macro, a label, each another one.
    colours = {colour(page, text) for text in ("divert_stub_calls", "x10", "refuse", "#14")}
    assert len(colours) == 4

    # An empty text is told, not run; undo brings the text back.
    before = text_in(editor)
    type_over(page, editor, "  ")
    page.keyboard.press("Control+Enter")
    page.locator(".hk-status", has_text="An empty text is no answer: nothing was run.").wait_for()
    assert page.locator(".hk-card-open").count() == 1
    page.keyboard.press("Control+z")
    assert text_in(editor) == before

    # The wrong line is marked as soon as typing ends; no button is needed.
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("        bananna x0\n")
    assert wrong_line(page) == before.count("\n") + 1
    assert page.locator(".hk-wrong-word").inner_text() == "bananna"
    assert editor.get_attribute("aria-invalid") == "true"
    page.locator(".hk-card-wrong", has_text="unknown instruction").wait_for()
    page.keyboard.press("Control+z")
    page.locator(".hk-crosses .hk-wrong-line").wait_for(state="detached")

    # Ctrl+Enter runs; the failing call opens at its failing step, and the way back is there.
    page.keyboard.press("Control+Enter")
    card = page.locator(".hk-card-wrong", has_text="11.2: not right yet.")
    card.wait_for()
    assert "step was 15" in card.inner_text()
    assert faults(page, axe) == []
    page.get_by_role("button", name="Step the failing call").click()
    page.locator(".hk-view .hk-where", has_text="step 15 · ").wait_for()
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.className") == "hk-view"
    assert faults(page, axe) == []
    theme(page, "Dark")
    assert faults(page, axe) == []
    page.get_by_role("button", name="Back to the text").click()
    assert editor.is_visible() and page.locator(".hk-view").count() == 0

    # The counts follow the text, against the budget; the pictures too.
    type_over(
        page,
        editor,
        SHORT.replace("        mov     x2, x3\n", "        mov     x2, x3\n" + "        nop\n" * 3),
    )
    page.locator(".hk-counts", has_text="2 too many: at most 24").wait_for()
    assert count(page, "instructions")[1] == "26"
    type_over(page, editor, SHORT)
    page.locator(".hk-counts", has_text="2 too many").wait_for(state="detached")
    assert count(page, "instructions")[1:] == ["23", "at", "most", "24"]
    page.get_by_role("tab", name="Neoverse N1").click()
    picture = page.locator(".hk-picture-pane img")
    assert "13 cycles" in picture.get_attribute("alt")
    page.keyboard.press("ArrowRight")
    assert "yours 23, " in picture.get_attribute("alt")
    page.get_by_role("tab", name="Histogram").press("Control+Enter")  # wherever the focus is
    page.locator(".hk-card-right", has_text="11.2: right.").wait_for()
    assert faults(page, axe) == []

    theme(page, "Light")
    # What was written is the kernel's as well, and check() takes it.
    command(page, "notebook:insert-cell-below")
    page.keyboard.press("Enter")
    page.keyboard.type('from hypkit.check import check; check("11.2", wb.text)')
    page.keyboard.press("Control+Enter")
    page.locator(".jp-OutputArea-output", has_text="11.2: right.").last.wait_for()


def test_keys_of_the_editor_a_text_set_in_python_and_the_way_back(notebook):
    page = notebook(MAKE)
    editor = editor_of(page, LABEL)
    before = text_in(editor)
    editor.click()
    page.keyboard.press("Control+Home")
    page.keyboard.press("Tab")
    assert text_in(editor) == " " * 8 + before
    page.keyboard.press("Control+z")
    page.keyboard.press("Alt+ArrowDown")  # a line moves; JupyterLab moves no cell
    assert text_in(editor).split("\n")[:2] == before.split("\n")[1::-1]
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert editor.evaluate("(content) => content.getRootNode().activeElement !== content")
    assert text_in(editor).startswith(before.split("\n")[1])

    command(page, "notebook:insert-cell-below")
    page.keyboard.press("Enter")
    page.keyboard.insert_text('wb.text = "// mine\\ndispatch:\\n        eret\\n"')
    page.keyboard.press("Control+Enter")
    page.wait_for_function("(content) => content.closest('.hk-edit').code.text.startsWith('// mine')",
                           arg=editor.element_handle())  # fmt: skip
    page.get_by_role("button", name="Back to the original").click()
    assert text_in(editor).startswith("dispatch:\n        divert_stub_calls\n        blr")
    page.keyboard.press("Control+z")
    assert text_in(editor).startswith("// mine")


def test_a_header_of_two_files_marks_the_wrong_line_in_its_file_and_fits_its_page(notebook):
    page = notebook('from hypkit import workbench\nworkbench("06.4")')
    editor_of(page, "kvm_hcall_list.h")
    editor = editor_of(page, "kvm_hcalls.h")
    page.locator(".hk-counts", has_text="__kvm_enable_ssbs").wait_for()
    text = text_in(editor)
    type_over(page, editor, text + "int x = ;\n")
    assert wrong_line(page) == text.count("\n") + 1
    page.keyboard.press("Control+z")
    page.locator(".hk-crosses .hk-wrong-line").wait_for(state="detached")
    page.keyboard.press("Control+Enter")
    page.locator(".hk-card-wrong", has_text="06.4: not right yet.").wait_for()

    # JupyterLab at 1400 by 900 leaves 950 by 700; at 1000 a column of less than 700.
    try:
        for width in (1400, 1000):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(
                "(wide) => document.querySelector('.hypkit-live').clientWidth < wide",
                arg=width - 300,
            )
            box = page.locator(".hk-bench").bounding_box()
            text, side = (
                page.locator(f".hk-bench-{part}").bounding_box() for part in ("text", "side")
            )
            if width == 1400:
                assert 850 < box["width"] < 1000 and box["height"] <= 700
                assert text["y"] == side["y"]
            else:
                assert box["width"] < 700 and side["y"] >= text["y"] + text["height"]
            assert page.evaluate("""() => [...document.querySelectorAll(".jp-WindowedPanel-outer")]
                .every((node) => node.scrollWidth <= node.clientWidth + 1)""")
    finally:
        page.set_viewport_size({"width": 1600, "height": 1000})


def test_a_saved_notebook_shows_the_last_text_and_its_verdict_without_a_kernel(notebook, lab):
    page = notebook(MAKE)
    editor = editor_of(page, LABEL)
    type_over(page, editor, "// short\n" + SHORT)
    page.keyboard.press("Control+Enter")
    page.locator(".hk-card-right").wait_for()
    assert not page.locator(".hypkit-static").first.is_visible()
    static = "JSON.stringify(jupyterapp.shell.currentWidget.content.model.toJSON())"
    page.wait_for_function(f"{static}.includes('11.2: right.')")
    name = closed(page)
    saved = (lab[1] / name).read_text("utf-8")
    assert len(saved) < 200_000 and "cm-content" not in saved
    (cell,) = json.loads(saved)["cells"]
    assert len(cell["outputs"]) == 2 and "<script" not in "".join(
        cell["outputs"][0]["data"]["text/html"]
    )
    page = notebook(name=name)
    static = page.locator(".hypkit-static")
    static.wait_for()
    assert "11.2: right." in static.inner_text() and "// short" in static.inner_text()
    static.get_by_text("In pictures").click()
    assert static.locator("img").count() == 3
    assert (
        page.locator(".hk-bench").count() == 0 and page.get_by_text("odel not found").count() == 0
    )
