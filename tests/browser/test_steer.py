"""Links in the text of a notebook that move the stepper above them."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from hypkit import Machine, stepper
from tests.browser.conftest import closed

MAKE = """from hypkit import Machine, stepper
m = Machine("numbered", seed=2020)
stepper(m.call("__kvm_timer_set_cntvoff", 0x1234))"""
OTHER = 'stepper(m.call("__kvm_enable_ssbs"))'
COMPARISON = """name = "__kvm_timer_set_cntvoff"
stepper(Machine("fnptr").call(name, 5), m.call(name, 5))"""
TEXT = """

Look at [step 35](#step=35), at [some steps](#steps=26-32), at [the dispatcher](#label=dispatch), at
[the slot](#slot=2&panel=memory), at [a value](#find=x0%20==%200x102), at [its origin](#step=36&origin=x0),
at [nothing](#label=nowhere). Not a step: [a heading](#Next).

# Next
"""


@pytest.fixture(scope="module")
def book():
    """The page that nbconvert makes of two steppers, each with the text after it."""
    cells = [
        nbformat.v4.new_code_cell(MAKE),
        nbformat.v4.new_markdown_cell(TEXT),
        nbformat.v4.new_code_cell(COMPARISON),
        nbformat.v4.new_markdown_cell(TEXT),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120).execute()
    return HTMLExporter(template_name="lab").from_notebook_node(notebook)[0]


@pytest.fixture
def page(shell, book, tmp_path):
    """That page, offline, with its steppers at work."""
    context = shell.new_context(offline=True, viewport={"width": 950, "height": 700})
    page = context.new_page()
    path = tmp_path / "book.html"
    path.write_text(book, encoding="utf-8")
    page.goto(path.as_uri())
    page.locator(".hk-view").nth(1).wait_for()
    yield page
    context.close()


def where(page, text, at=0):
    page.locator(".hk-where").nth(at).filter(has_text=text).wait_for()


def test_a_link_in_the_text_moves_the_stepper_before_it_and_leads_back(page):
    page.get_by_role("link", name="step 35").first.click()
    where(page, "step 35 ·")
    assert page.locator(".hk-view").first.evaluate(
        "node => node.getRootNode().activeElement === node"
    )
    page.keyboard.press("n")
    where(page, "step 36 ·")
    back = page.get_by_role("button", name="↩ Text").first
    assert back.is_visible()
    back.click()
    assert page.evaluate("document.activeElement.textContent") == "step 35"
    assert not back.is_visible()
    page.keyboard.press("Enter")  # the link has the focus again
    where(page, "step 35 ·")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "step 35"


def test_a_link_names_steps_a_label_a_slot_a_search_or_an_origin(page):
    view = page.locator(".hk-view").first
    page.get_by_role("link", name="some steps").first.click()
    where(page, "step 26 ·")
    assert view.locator(".hk-hit-steps").count() == 7
    page.get_by_role("link", name="the dispatcher").first.click()
    where(page, "dispatch ·")
    assert view.locator(".hk-hit-steps").count() == 0
    page.get_by_role("link", name="the slot").first.click()
    assert "from the table slot of hypercall 2" in view.locator(".hk-says").inner_text()
    assert view.get_by_role("tab", name="Memory").get_attribute("aria-selected") == "true"
    page.get_by_role("link", name="a value").first.click()
    assert view.locator(".hk-search").input_value() == "x0 == 0x102"
    assert view.locator(".hk-hit-match").count() == 2
    page.get_by_role("link", name="its origin").first.click()
    where(page, "step 36 ·")
    assert view.get_by_role("tab", name="Origin").get_attribute("aria-selected") == "true"
    assert "x0 before step 36" in view.locator(".hk-panel").inner_text()


def test_a_link_to_what_is_not_there_says_so_and_other_links_are_left_alone(page):
    page.get_by_role("link", name="nothing").first.click()
    status = page.locator(".hk-view .hk-status").first
    assert status.inner_text() == "The label nowhere is nowhere in this trace."
    page.get_by_role("link", name="a heading").first.click()
    assert page.evaluate("location.hash") == "#Next"


def test_a_link_after_a_comparison_moves_the_comparison(page):
    page.get_by_role("link", name="step 35").nth(1).click()
    two = page.locator(".hk-two")
    assert two.locator(".hk-current .hk-step").first.inner_text().split() == ["■", "35"]
    page.get_by_role("link", name="the slot").nth(1).click()
    assert "from the table slot of hypercall 2" in two.locator(".hk-says").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "the slot"


def test_an_exported_file_obeys_the_same_words_at_its_address(offline):
    call = Machine("numbered", seed=2020).call("__kvm_timer_set_cntvoff", 0x1234)
    page = offline(stepper(call).to_html())
    page.evaluate("location.hash = '#slot=2&panel=memory'")
    page.locator(".hk-says", has_text="from the table slot of hypercall 2").wait_for()
    page.evaluate("location.hash = '#step=99999'")
    page.locator(".hk-status", has_text="got 99999").wait_for()


def test_in_jupyterlab_a_link_moves_the_stepper_before_it_with_or_without_a_kernel(notebook):
    page = notebook(MAKE, TEXT, OTHER, TEXT)
    page.locator(".hk-view").nth(1).wait_for()

    def follow():
        page.get_by_role("link", name="the slot").first.click()
        page.locator(".hk-says").first.filter(has_text="the table slot of hypercall 2").wait_for()
        page.get_by_role("link", name="step 35").nth(1).click()
        where(page, "step 35 ·", 1)
        page.locator(".hk-says").first.filter(has_text="the table slot of hypercall 2").wait_for()
        page.get_by_role("link", name="a value").first.click()
        assert page.locator(".hk-search").first.input_value() == "x0 == 0x102"
        page.keyboard.press("Escape")
        page.wait_for_function("document.activeElement.textContent === 'a value'")

    follow()
    page = notebook(name=closed(page))
    page.locator(".hk-view").nth(1).wait_for()
    follow()
