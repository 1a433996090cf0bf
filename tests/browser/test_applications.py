"""A lesson as a learner meets it, in each application that is installed: run, answered, saved, reopened.

`pip install jupyterlab==4.2.0` or another into an environment, and its Python runs this in that one.
"""

import importlib.util

import nbformat
import pytest

from tests.browser.conftest import LAB, PATIENCE, ROOT, command, served, until_ready

LESSON = "00-start-here.ipynb"
APPLICATIONS = {
    "lab": ("lab/tree", *LAB),
    "notebook": ("notebooks", "notebook", "--JupyterNotebookApp.expose_app_in_browser=True"),
}


@pytest.fixture(params=APPLICATIONS)
def visit(request, chromium, tmp_path):
    """Lesson 00 with 00.2 answered, served by an application: visit() -> a new page that shows it."""
    place, module, *more = APPLICATIONS[request.param]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    lesson = nbformat.read(ROOT / "notebooks" / LESSON, as_version=4)
    (cell,) = (cell for cell in lesson.cells if 'check("00.2", answer)' in cell.source)
    cell.source = cell.source.replace("answer = ...", "answer = 0x4711")
    nbformat.write(lesson, tmp_path / LESSON)
    with served(tmp_path, module, *more) as address:
        context = chromium.new_context(viewport={"width": 1600, "height": 1000})
        context.set_default_timeout(PATIENCE)

        def open_page():
            page = context.new_page()
            page.goto(f"{address}/{place}/{LESSON}")
            until_ready(page)
            return page

        yield open_page
        context.close()


def step(page):
    """Go to the stepper and on by two steps; return what it says of the last."""
    page.evaluate("""async () => {  // a cell that is out of sight may be out of the page as well
      const content = jupyterapp.shell.currentWidget.content;
      const cells = content.widgets.map((cell) => cell.model.sharedModel.getSource());
      const index = cells.findIndex((source) => source.includes("\\nstepper(") && !source.includes("predict("));
      content.activeCellIndex = index;
      await content.scrollToItem(index, "start");
    }""")
    view = page.locator(".hk-view:visible").first  # others may be folded away by a prediction
    view.wait_for()
    view.locator(".hk-says").click()
    before = view.locator(".hk-where").inner_text()
    for _ in range(2):
        page.keyboard.press("n")
    after = view.locator(".hk-where").inner_text()
    assert after != before
    return after


def test_a_lesson_is_run_answered_saved_and_alive_when_it_is_opened_again(visit):
    page = visit()
    assert page.locator(".hk-view").count() == 0  # nobody has run or trusted it yet
    command(page, "notebook:run-all-cells")
    for verdict in ("✔ 00.2: right.", "○ 00.3: not answered yet."):
        page.locator(".jp-OutputArea p[role=status]", has_text=verdict).wait_for()
    assert step(page).startswith("step ")
    page.evaluate("""async () => {
      const widget = jupyterapp.shell.currentWidget;
      await widget.context.save();
      await widget.sessionContext.shutdown();
    }""")
    page.close()
    page = visit()
    assert step(page).startswith("step ")
    for complaint in ("Error displaying widget", "model not found"):
        assert page.get_by_text(complaint).count() == 0
