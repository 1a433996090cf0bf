"""The web book, built whole, in Chromium with the network off and from a disk."""

import doctest
import html
import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

import hypkit
from hypkit import facts
from hypkit.check import exercises
from notebooks.site import build as site

REPOSITORY = "https://github.com/example/hypkit"
LESSON = "lessons/01-there-and-back.html"
LARGEST = 60_000_000


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of the whole book."""
    out = tmp_path_factory.mktemp("book") / "site"
    site.build(out, REPOSITORY)
    return out


@pytest.fixture
def read(cut_off, errors, book):
    """read(page of the book, ...) -> the page in a browser that may ask for nothing but files."""
    pages = []

    def open_page(name, *, width=1400, scheme="light"):
        page = cut_off.new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request",
            lambda request: errors.extend(
                [] if request.url.startswith(("file:", "data:", "blob:")) else [request.url]
            ),
        )
        page.goto(f"{book.as_uri()}/{name}")
        return page

    yield open_page
    for page in pages:
        page.evaluate("localStorage.clear()")
        page.close()


class Links(HTMLParser):
    """What a page leads to, what it loads, and the places in it that others can lead to."""

    def __init__(self, path):
        super().__init__()
        self.leads, self.loads, self.ids = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.leads.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("next", "prev", "index", "search"):
            self.loads.append(given.get("href", ""))
        elif given.get("src"):
            self.loads.append(given["src"])


def test_every_link_of_the_book_leads_somewhere_and_nothing_is_loaded_from_outside(book):
    pages = {path.resolve(): Links(path) for path in book.rglob("*.html")}
    assert len(pages) >= 18
    lost, outside, seen = [], [], 0
    for path, links in pages.items():
        for address in links.leads + links.loads:
            if address.startswith(("data:", "mailto:")):
                continue
            if re.match(r"(https?:)?//", address):
                outside += [] if address in links.leads else [f"{path.name} loads {address}"]
                continue
            file, place = urldefrag(address)
            target = (path.parent / unquote(file.partition("?")[0])).resolve() if file else path
            steers = re.match(r"(step|steps|label|slot|find|panel|origin)=", place)
            seen += 1
            if not target.exists() or (
                place and not steers and target in pages and unquote(place) not in pages[target].ids
            ):
                lost.append(f"{path.relative_to(book.resolve())} -> {address}")
    assert lost == [] and outside == [] and seen > 1000


def test_the_book_is_small_and_a_lesson_is_usable_two_seconds_after_it_is_opened(book, read):
    assert sum(path.stat().st_size for path in book.rglob("*") if path.is_file()) < LARGEST
    taken = []
    for _ in range(3):
        page = read("fidelity.html")
        began = time.monotonic()
        page.goto(f"{book.as_uri()}/{LESSON}", wait_until="commit")
        page.wait_for_selector(".hypkit-stepper .hk-view")
        taken.append(time.monotonic() - began)
    assert min(taken) < 2, taken


def test_a_stepper_of_the_book_is_stepped_from_a_disk_without_a_kernel(read):
    page = read(LESSON)
    view = page.locator(".hypkit-stepper .hk-view").first
    view.scroll_into_view_if_needed()
    view.get_by_role("button", name="Next", exact=True).click()
    view.get_by_role("button", name="Next", exact=True).click()
    step = "document.querySelector('.hypkit-stepper').view.view.step"
    assert page.evaluate(step) == 2
    page.keyboard.press("End")
    assert page.evaluate(step) > 40 and "The call returned" in view.inner_text()


def test_every_stepper_and_comparison_of_the_book_is_live(book, read):
    live = 0
    for path in sorted((book / "lessons").glob("*.html")):
        there = path.read_text(encoding="utf-8").count('class="hypkit-stepper"')
        if there:
            page = read(f"lessons/{path.name}")
            page.wait_for_function(
                "n => document.querySelectorAll('.hypkit-stepper').length === n && "
                "[...document.querySelectorAll('.hypkit-stepper')].every((home) => home.view)",
                arg=there,
            )
            live += there
    assert live >= 10


def test_every_link_of_a_lesson_that_steers_a_stepper_finds_what_it_names(book, read):
    followed = []
    for path in sorted((book / "lessons").glob("*.html")):
        if not re.search(r'href="#(step|steps|label|slot|find)=', path.read_text("utf-8")):
            continue
        page = read(f"lessons/{path.name}")
        page.wait_for_selector(".hypkit-stepper .hk-view", state="attached")
        followed += page.evaluate("""async () => {
          const homes = [...document.querySelectorAll(".hypkit-stepper")].map((host) => host.view);
          const links = [...document.querySelectorAll("a")].filter(
            (link) => /^#(step|steps|label|slot|find)=/.test(link.getAttribute("href") ?? ""));
          const said = [];
          for (const link of links) {
            link.click();
            await new Promise((resolve) => { setTimeout(resolve, 30); });
            const [home] = homes.filter((one) => one.from === link);
            said.push([location.pathname.split("/").at(-1) + link.getAttribute("href"),
                       home ? home.view.status.textContent : "no stepper was steered"]);
          }
          return said;
        }""")
    assert len(followed) >= 20
    lost = "nowhere|neither|expected|Error|no stepper"
    assert not [(link, said) for link, said in followed if re.search(lost, said)]


def test_the_stepper_has_the_theme_of_the_page(read):
    page = read(LESSON, scheme="dark")
    theme = "document.querySelector('.hypkit-stepper').view.el.dataset.theme"
    page.wait_for_selector(".hypkit-stepper .hk-view")
    assert page.evaluate(theme) == "dark"
    page.evaluate("document.body.dataset.theme = 'light'")
    page.wait_for_function(f"{theme} === 'light'")


def test_the_search_finds_a_word_from_a_disk(read):
    page = read("search.html?q=dispatcher")
    page.wait_for_selector("#search-results ul.search li a")
    assert page.locator("#search-results ul.search li a").count() >= 5


def looked_at():
    """The pages that axe looks at, each with a theme: some, or with HYPKIT_BOOK=whole every one."""
    if os.environ.get("HYPKIT_BOOK") == "whole":
        names = [f"lessons/{path.stem}.html" for path in site.notebooks()]
        names += ["index.html", "glossary.html", "fidelity.html", "api.html"]
        names += ["search.html?q=dispatcher", "genindex.html"]
        return [(name, scheme) for name in names for scheme in ("light", "dark")]
    return [
        ("index.html", "light"), (LESSON, "dark"), ("glossary.html", "light"),
        ("fidelity.html", "dark"), ("search.html?q=dispatcher", "dark"),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "scheme"), looked_at())
def test_axe_finds_nothing_wrong(read, axe, name, scheme):
    page = read(name, scheme=scheme)
    if page.locator(".hypkit-stepper").count():
        page.wait_for_selector(".hypkit-stepper .hk-view")
    page.evaluate(axe)
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    told = [(rule["id"], [node["html"][:160] for node in rule["nodes"]][:3]) for rule in found]
    assert told == []


def test_no_page_is_wider_than_a_narrow_window(book, read):
    page = read("index.html", width=600)
    for path in sorted(book.rglob("*.html")):
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, path.name


BROKEN_WORDS = """() => [...document.querySelectorAll(".cell_output th")].filter((head) => {
  const text = document.createRange();
  text.selectNodeContents(head);
  const word = head.textContent.trim();
  return word && !/[\\s_./-]/.test(word) && word.length < 12
    && text.getBoundingClientRect().height > 1.8 * parseFloat(getComputedStyle(head).fontSize);
}).map((head) => head.textContent)"""
CUT_VALUES = """() => [...document.querySelectorAll(".hk-two .hk-registers td, .hk-two .hk-summary td")]
  .filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent)"""


def test_no_head_of_a_column_is_broken_and_no_value_of_a_comparison_is_cut(book, read):
    page, compared = read("index.html"), 0
    for path in sorted((book / "lessons").glob("*.html")):
        page.goto(path.as_uri())
        if page.locator(".hypkit-stepper").count():
            page.wait_for_selector(".hypkit-stepper .hk-view")
        for width in (600, 1000, 1400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(BROKEN_WORDS) == [], (path.name, width)
            assert page.evaluate(CUT_VALUES) == [], (path.name, width)
        compared += page.locator(".hk-two .hk-registers").count()
    assert compared >= 3


def test_what_is_markdown_in_an_output_is_a_table_and_code_stays_code(book):
    for path in (book / "lessons").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*[-\u2014:]+\s*\|", html.unescape(text)), path.name
        assert "&lt;a class=" not in text, path.name
    assert "speculation_barrier</span></code></p></td>" in (
        book / "lessons" / "11-write-your-own.html"
    ).read_text(encoding="utf-8")


def test_a_prediction_of_the_book_is_answered_and_opens_what_happened(read):
    page = read(LESSON)
    asked = page.locator(".hk-predict").first
    shown = asked.locator(".hk-predict-shown").first
    assert not shown.is_visible()
    asked.get_by_role("button", name="numbered at both").click()
    assert (
        asked.locator("p[role=status]").inner_text().startswith("You predicted: numbered at both.")
    )
    assert shown.is_visible()
    page.reload()
    assert "You predicted: numbered at both." in asked.inner_text()


def test_each_solution_is_folded_below_its_exercise(book):
    pages = [path.read_text(encoding="utf-8") for path in (book / "lessons").glob("*.html")]
    shown = re.findall(
        r'<details class="hk-solution"><summary>Show a solution of (\d\d\.\d+)', "".join(pages)
    )
    assert sorted(shown) == sorted(exercises())
    for text in pages:
        for number in re.findall(r"Show a solution of (\d\d\.\d+)", text):
            assert text.index(f"Exercise {number}") < text.index(f"Show a solution of {number}")


def test_each_lesson_can_be_opened_in_binder_and_downloaded(book):
    for path in site.notebooks():
        text = (book / "lessons" / f"{path.stem}.html").read_text(encoding="utf-8")
        wanted = f"{site.BINDER}example/hypkit/HEAD?urlpath=lab%2Ftree%2Fnotebooks%2F{path.name}"
        assert f'href="{wanted}"' in text and f'href="../notebooks/{path.name}" download' in text
        assert (book / "notebooks" / path.name).read_bytes() == path.read_bytes()


def test_without_a_repository_nothing_promises_binder():
    assert "Binder" not in site.buttons(site.lessons()[0], "")


def test_every_public_name_is_in_the_reference(book):
    text = (book / "api.html").read_text(encoding="utf-8")
    ids = set(re.findall(r'id="(hypkit[\w.]*)"', text))
    for name in hypkit.__all__:
        assert any(found.rpartition(".")[2] == name for found in ids), name
    for name in ("call", "hvc", "snapshot", "restore", "read", "translate", "close", "panicked"):
        assert any(found.endswith(f"Machine.{name}") for found in ids), name
    assert "Return type" not in text and "<dt>Type" not in text  # types are in the signatures


def test_the_examples_of_the_reference_print_what_stands_there():
    text = (Path(site.HERE) / "pages" / "api.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    runner, said = doctest.DocTestRunner(), []
    runner.run(doctest.DocTestParser().get_doctest(code, {}, "api", "api.md", 0), out=said.append)
    assert said == [] and runner.tries > 20


def test_the_first_use_of_a_word_leads_to_the_glossary_and_code_stays_code(book):
    explained = set()
    text = "# A host\n\n    the host\n\n`host` [the host](x.md) asks, the host waits, host."
    text = site.linked(text, explained)
    assert text.count("hk-word") == 1 and "the <a class" in text.partition("asks")[2]
    assert "host" in explained and "hk-word" not in site.linked("The host again.", explained)
    glossary = (book / "glossary.html").read_text(encoding="utf-8")
    for term in facts.glossary():
        assert f'id="{site.anchor(term.term)}"' in glossary, term.term


def test_links_that_steer_a_stepper_stay_what_they_are():
    text = site.linked("Go to [the `slot`](#slot=2), then to `01-there-and-back.ipynb`.")
    assert '<a href="#slot=2">the <code>slot</code></a>' in text
    assert "[`01-there-and-back.ipynb`](01-there-and-back.ipynb)" in text
    assert site.linked("`99-nowhere.ipynb`") == "`99-nowhere.ipynb`"


def test_the_empty_corner_of_a_table_is_no_header():
    corner = '<th scope="col" align="left" style="x: y"></th><th scope="col">step</th>'
    wanted = '<td align="left" style="x: y"></td><th scope="col">step</th>'
    assert site.EMPTY_HEADER.sub(r"<td\1></td>", corner) == wanted
    assert (
        site.EMPTY_HEADER.sub(r"<td\1></td>", '<th class="head"></th>') == '<td class="head"></td>'
    )
