"""Pictures and tables in a real browser: grounds of both themes, paper, narrow windows."""

import io

import pytest
from PIL import Image

from hypkit import Machine
from hypkit.pictures.calls import show_path, show_road
from hypkit.pictures.palette import PAPER
from hypkit.pictures.source import show_source

# How JupyterLab, nbconvert and VS Code say which theme is on; None: a page that says nothing.
BODIES = {
    "light": 'data-jp-theme-light="true" style="background: #fff"',
    "dark": 'data-jp-theme-light="false" style="background: #111"',
}


@pytest.fixture(scope="module")
def call():
    with Machine("numbered", seed=2020) as machine:
        yield machine.call("__kvm_timer_set_cntvoff", 0x1234, 0x5)


def page_of(shown, body=""):
    return f"<!doctype html><meta charset=utf-8><body {body}>{shown._repr_html_()}"


def ground(page):
    """The colour of the picture's corner, as #rrggbb."""
    shot = page.locator("img.hk-picture").screenshot()
    return "#{:02x}{:02x}{:02x}".format(
        *Image.open(io.BytesIO(shot)).convert("RGB").getpixel((3, 3))
    )


@pytest.mark.parametrize("prefers", ["light", "dark"])
@pytest.mark.parametrize("theme", BODIES)
def test_a_picture_has_the_ground_of_the_pages_theme_whatever_the_system_prefers(
    offline, call, theme, prefers
):
    page = offline(page_of(show_road(call), BODIES[theme]), scheme=prefers)
    assert ground(page) == PAPER.of(theme)


def test_on_paper_a_picture_of_a_dark_notebook_is_light(offline, call):
    page = offline(page_of(show_road(call), BODIES["dark"]))
    assert ground(page) == PAPER.dark
    page.emulate_media(media="print")
    assert ground(page) == PAPER.light


@pytest.mark.parametrize("prefers", ["light", "dark"])
def test_where_styles_are_dropped_a_picture_is_read_on_its_own_ground(offline, call, prefers):
    html = page_of(show_road(call))
    bare = html[: html.index("<style>")] + html[html.index("</style>") + 8 :]
    assert ground(offline(bare, scheme=prefers)) in (PAPER.light, PAPER.dark)


def test_on_600_pixels_no_column_of_a_path_is_lost(offline, call):
    page = offline(page_of(show_path(call), BODIES["light"]), width=600)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    last = page.locator("tbody td:last-child").first.bounding_box()
    assert last["width"] > 120 and last["x"] + last["width"] <= 600


def test_a_picture_shrinks_with_its_page(offline, call):
    page = offline(page_of(show_road(call), BODIES["light"]), width=500)
    box = page.locator("img.hk-picture").bounding_box()
    assert box["width"] <= 500 and page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth"
    )


@pytest.mark.parametrize("theme", BODIES)
def test_what_is_shown_passes_axe(offline, call, axe, theme):
    shown = f"{show_road(call)._repr_html_()}{show_path(call)._repr_html_()}"
    shown += show_source("3: ldr x10, =table // why", title="x.S")._repr_html_()
    colour = {"light": "#000", "dark": "#eee"}[theme]
    page = offline(
        "<!doctype html><html lang=en><meta charset=utf-8><title>t</title>"
        f'<body {BODIES[theme]}><main style="color: {colour}"><h1>t</h1>{shown}</main>'
    )
    page.evaluate(axe)
    found = page.evaluate(
        "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))"
    )
    assert found == []


def test_copied_code_has_no_line_numbers(offline):
    page = offline(page_of(show_source("mov x0, x1\nret", title="x.S")))
    page.evaluate("getSelection().selectAllChildren(document.querySelector('pre'))")
    assert page.evaluate("getSelection().toString()") == "mov x0, x1\nret"
