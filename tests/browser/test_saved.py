"""A stepper in pages that a notebook becomes: nbconvert's, offline, and host pages of any colour."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from hypkit import Machine, stepper

CELL = """
from hypkit import Machine, stepper
m = Machine("numbered", seed=2020)
stepper(m.call("__kvm_timer_set_cntvoff", 0x1234))
"""


@pytest.fixture(scope="module")
def converted():
    """What `jupyter nbconvert --execute --to html` makes of a stepper, with the state of widgets."""
    cells = [nbformat.v4.new_code_cell(CELL), nbformat.v4.new_code_cell("stepper(m)")]
    book = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(book, timeout=120, store_widget_state=True).execute()
    assert book.metadata.widgets
    return HTMLExporter(template_name="lab").from_notebook_node(book)[0]


@pytest.fixture
def deaf(shell):
    """open(html) -> a page without a network, which may ask for things in vain, as nbconvert's do."""
    context = shell.new_context(offline=True)
    page = context.new_page()

    def show(text, folder, scheme="light"):
        path = folder / "page.html"
        path.write_text(text, encoding="utf-8")
        page.emulate_media(color_scheme=scheme)
        page.goto(path.as_uri())
        return page

    yield show
    context.close()


def test_nbconvert_makes_a_page_that_steps_without_a_network(deaf, converted, tmp_path):
    page = deaf(converted, tmp_path)
    page.locator(".hk-view").nth(1).wait_for()
    says = page.locator(".hk-says").first
    says.click()
    for _ in range(4):
        page.keyboard.press("n")
    assert page.locator(".hk-where").first.inner_text().startswith("step 4 ·")
    assert page.locator(".hk-level").first.inner_text() == "■ EL2 hyp"
    # No table and no error beside it; the second, whose kernel is gone, says what it takes.
    assert not page.locator(".hypkit-static").first.is_visible()
    assert "it needs the kernel" in page.locator(".hk-needs").inner_text()
    assert page.get_by_text("Error displaying widget").count() == 0


CONTRAST = """() => {
  const lit = (color) => {
    const [r, g, b] = color.match(/[0-9.]+/g).map(Number).map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const root = document.querySelector(".hypkit-live").shadowRoot;
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (color !== "rgba(0, 0, 0, 0)") return color;
    }
    return "none of its own";
  };
  const rows = [...root.querySelectorAll("p, td, th, button, span, label")].filter(
    (node) => node.offsetWidth && [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim())
      && !node.closest(".hk-heard"));
  return rows.map((node) => {
    const [one, two] = [lit(getComputedStyle(node).color), lit(ground(node))].sort((a, b) => b - a);
    return [(one + 0.05) / (two + 0.05), node.className, node.textContent.slice(0, 30)];
  }).sort((a, b) => a[0] - b[0])[0];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page_colours", ["#fff;color:#000", "#111;color:#eee"])
def test_a_stepper_can_be_read_on_a_page_of_either_kind(deaf, tmp_path, scheme, page_colours):
    output = stepper(Machine("numbered", seed=2020))._repr_mimebundle_()[0]["text/html"]
    text = f"<!doctype html><body style='background:{page_colours}'>{output}</body>"
    page = deaf(text, tmp_path, scheme)
    page.locator(".hk-view").wait_for()
    worst = page.evaluate(CONTRAST)
    assert worst[0] >= 4.5, worst


def test_without_scripts_the_road_and_the_table_are_seen(shell, tmp_path):
    context = shell.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    call = Machine("numbered", seed=2020).call("__kvm_timer_set_cntvoff", 0x1234)
    path = tmp_path / "page.html"
    path.write_text(stepper(call)._repr_mimebundle_()[0]["text/html"], encoding="utf-8")
    page.goto(path.as_uri())
    assert page.locator("pre").inner_text().startswith("EL2 hyp   ····█")
    assert not page.locator("table").is_visible()
    page.locator("summary").click()
    assert page.locator("tbody tr").count() == len(call.trace)
    context.close()
