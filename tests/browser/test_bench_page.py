"""The workbench on a page without a notebook: how it looks on paper, in chosen colours, and when narrow.

Its model is played by a few lines of JavaScript that answer for the editor, as the kernel does.
"""

import base64
import json

import pytest

from hypkit import workbench
from hypkit.lessons.exercises.lesson11 import SHORT
from hypkit.lessons.workbench import view
from hypkit.timetravel import editor
from tests.browser.test_workbench import RULES

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Workbench</title></head>
<body style="margin:0"><main id="home"></main>
<script type="module">
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const { script, state, names, bundle } = JSON.parse(new TextDecoder().decode(bytes("DATA")));
const heard = {};
const model = {
  get: (name) => state[name],
  on: (event, action) => (heard[event] ??= []).push(action),
  off: () => {},
  send: ({ type }) => type === "editor" && setTimeout(() => heard["msg:custom"].forEach(
    (action) => action({ type: "editor", names }, [new DataView(bytes(bundle).buffer)]))),
};
const { default: front } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
front.render({ model, el: document.getElementById("home") });
</script></body></html>
"""


@pytest.fixture(scope="module")
def bench():
    """A workbench of 11.2, run: bench(text) -> (the workbench, its page)."""

    def make(text=None):
        made = workbench("11.2") if text is None else workbench("11.2", text)
        made.run()
        names = {"name": "bench", "state": view.state_of(made, ""), "_css": view.style()}
        data = {
            "script": view.script(),
            "state": names,
            "names": editor.names(),
            "bundle": base64.b64encode(bytes(editor.bundle())).decode(),
        }
        packed = base64.b64encode(json.dumps(data).encode()).decode()
        return made, PAGE.replace("DATA", packed)

    return make


def opened(offline, text, **options):
    page = offline(text, **options)
    page.locator(".cm-content").wait_for()
    return page


@pytest.mark.parametrize(("width", "height"), [(950, 700), (600, 900), (475, 350)])
@pytest.mark.parametrize("text", [None, SHORT], ids=["wrong", "right"])
def test_nothing_stands_out_of_it_and_950_by_700_hold_it_all(offline, bench, text, width, height):
    page = opened(offline, bench(text)[1], width=width, height=height)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 950:
        assert page.evaluate("document.documentElement.scrollHeight") <= height
    # What the verdict says is seen whole, and of the table of costs only lines between rows.
    card = page.locator(".hk-card-text")
    assert card.evaluate("(card) => card.scrollHeight - card.clientHeight") <= 1
    assert set(
        page.evaluate("""() => { const found = [];
        const walk = (root) => { for (const node of root.querySelectorAll("*")) {
            if (node.matches(".hk-counts th, .hk-counts td")) found.push(getComputedStyle(node).borderLeftWidth);
            if (node.shadowRoot) walk(node.shadowRoot); } };
        walk(document);
        return found; }""")
    ) == {"0px"}


def test_on_paper_are_the_whole_text_the_verdict_the_counts_and_every_picture(offline, bench):
    made, text = bench(SHORT)
    page = opened(offline, text, width=950, height=700)
    page.emulate_media(media="print")
    paper = page.locator(".hk-paper")
    paper.locator("pre").wait_for()
    assert paper.locator("pre").inner_text().split() == made.text.split()
    words = paper.inner_text()
    assert "11.2: right." in words and "at most 24" in words
    assert paper.locator("img").count() == 3 == len(view.state_of(made, "")["pictures"])
    assert paper.locator("img").evaluate_all(
        "(all) => all.every((one) => one.complete && one.naturalWidth)"
    )
    assert not page.locator(".hk-bench-head").is_visible()
    assert not page.locator(".cm-content").is_visible()
    page.emulate_media(media="screen")
    assert page.locator(".cm-content").is_visible() and not paper.is_visible()


@pytest.mark.parametrize("text", [None, SHORT], ids=["wrong", "right"])
def test_axe_finds_nothing_in_light_dark_and_chosen_colours(offline, bench, axe, text):
    page = opened(offline, bench(text)[1], width=950, height=700)
    page.evaluate(axe)
    for scheme, forced in (("light", "none"), ("dark", "none"), ("light", "active")):
        page.emulate_media(color_scheme=scheme, forced_colors=forced)
        # Of colours that the reader chose, nobody can ask a contrast.
        contrast = {"color-contrast": {"enabled": forced == "none"}}
        found = page.evaluate(
            """async ([runOnly, rules]) => (await axe.run("#home", { runOnly, rules })).violations.map(
                ({ id, nodes }) => id + nodes.map((node) => node.html).join(" ").slice(0, 300))""",
            [RULES, contrast],
        )
        assert found == [], (scheme, forced)
