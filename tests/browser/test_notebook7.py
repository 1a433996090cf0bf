"""The workbench and the stepper in Notebook 7, which gives a page more room and other keys."""

import importlib.util

import nbformat
import pytest

from tests.browser.conftest import PATIENCE, served, until_ready
from tests.browser.editing import editor_of

BENCH = 'from hypkit import workbench\nworkbench("11.2")'
CALL = """from hypkit import Machine, stepper
stepper(Machine("numbered", seed=2020).call("__kvm_timer_set_cntvoff", 0x1234))"""


@pytest.fixture
def page(chromium, tmp_path):
    """A notebook of two cells, open in Notebook 7 and run."""
    if importlib.util.find_spec("notebook") is None:
        pytest.skip("notebook is not installed")
    cells = [nbformat.v4.new_code_cell(BENCH), nbformat.v4.new_code_cell(CALL)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "two.ipynb")
    with served(tmp_path, "notebook", "--JupyterNotebookApp.expose_app_in_browser=True") as address:
        context = chromium.new_context(viewport={"width": 1200, "height": 900})
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(f"{address}/notebooks/two.ipynb")
        until_ready(page)
        page.evaluate('void jupyterapp.commands.execute("notebook:run-all-cells")')
        yield page
        context.close()


def scroll_to(page, index):
    page.evaluate(
        "index => jupyterapp.shell.currentWidget.content.scrollToItem(index, 'start')", index
    )


def inside(page, part):
    """Whether nothing in a part of the page stands out of it sideways."""
    return page.locator(part).first.evaluate("""(part) => {
      const box = part.getBoundingClientRect();
      return part.scrollWidth <= part.clientWidth + 1 && box.left >= 0 && box.right <= innerWidth;
    }""")


def test_a_text_is_judged_and_stepped_and_a_call_goes_on_changed_from_a_step(page):
    scroll_to(page, 0)
    editor = editor_of(page, "Dispatcher, as assembly")
    editor.click()
    page.keyboard.press("Control+Enter")
    page.locator(".hk-card-wrong", has_text="11.2: not right yet.").wait_for()
    assert inside(page, ".hk-bench")
    assert page.locator(".hk-bench").bounding_box()["height"] <= 700
    page.get_by_role("button", name="Step the failing call").click()
    page.locator(".hk-walk .hk-where", has_text="step 15 · ").wait_for()
    page.get_by_role("button", name="Back to the text").click()
    assert editor.is_visible()

    scroll_to(page, 1)
    view = page.locator(".hypkit-stepper .hk-view")
    view.locator(".hk-says").click()
    for key in "nnn":
        page.keyboard.press(key)
    view.locator(".hk-where", has_text="step 3 · ").wait_for()
    page.keyboard.press("i")
    assert inside(page, ".hypkit-stepper .hk-view")
    view.get_by_label("before step 3").check()
    view.get_by_role("textbox", name="x0 instead of").fill("0x10e")
    view.get_by_role("button", name="Run again, beside this").click()
    two = page.locator(".hk-two")
    two.wait_for()
    assert "if x0 = 0x10e before step 3" in two.locator(".hk-head").inner_text()
    assert inside(page, ".hk-two")
