"""Links in the lessons: none is bare, none leads nowhere in the repository, none is cut short."""

import re
from urllib.parse import urlsplit

import nbformat
import pytest

from hypkit import facts
from notebooks.src import build
from notebooks.src.rules import _markdown

TEXTS = [*(text for text in build.texts() if text.parent.name != "solutions")]
NOTEBOOKS = [build.NOTEBOOKS / build.MAP, *map(build.target, TEXTS)]
# What a click in the text asks of a stepper: see CONTRIBUTING.md.
STEER = re.compile(r"#(?:(?:step|steps|label|slot|find|panel|origin)=[^&\s]+)(?:&\w+=[^&\s]+)*")


def prose(path):
    """The cells of prose of a notebook, as tokens."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for block in _markdown.parse(cell.source):
                yield from (block, *(block.children or ()))


def links(path):
    return [str(token.attrs["href"]) for token in prose(path) if token.type == "link_open"]


def whole(link):
    """Why a link to another place is cut short or wrong, "" if it is whole."""
    parts = urlsplit(link)
    if parts.scheme != "https" or "." not in parts.netloc:
        return "is no whole address"
    if parts.netloc == "lore.kernel.org" and not re.search(r"/[^/\s]+@[\w.-]+\.\w+/?$", parts.path):
        return "names no mail by its whole id"
    if parts.netloc == "git.kernel.org" and "/tree/" in parts.path:
        if not re.search(r"\.(c|h|S|rst|py)$", parts.path):
            return "names no file"
        if "/master/" not in link and not re.fullmatch(
            r"h=(v\d+\.\d+|[0-9a-f]{12,40})", parts.query
        ):
            return "names no tag"
    return ""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_link_is_whole(path):
    for link in links(path):
        if link.startswith("#"):
            assert STEER.fullmatch(link), link
        elif re.match(r"\w+:", link):
            assert not whole(link), f"{link} {whole(link)}"
        else:
            assert (path.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_address_and_no_mail_stands_bare(path):
    inside = 0
    for token in prose(path):
        inside += (token.type == "link_open") - (token.type == "link_close")
        if token.type not in ("text", "code_inline") or inside:
            continue
        bare = re.search(r"https?://|lore\.kernel\.org|Message-ID|\b20\d{12}\.\S+|\S+\.wl-maz",
                         token.content)  # fmt: skip
        assert not bare, token.content


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_a_lesson_leads_on_to_what_it_names_by_file(path):
    for token in prose(path):
        if token.type == "code_inline":
            assert not re.fullmatch(r"\d\d-[\w-]+\.ipynb", token.content), "a lesson, but no link"


def test_the_sources_of_the_story_are_whole():
    for event in facts.history(recalled=True):
        assert event.source.url and not whole(event.source.url), event.source
    for remark in facts.suggestions():
        assert not whole(remark.source.url)


@pytest.mark.parametrize(
    "link",
    [
        "http://example.org/x",
        "https://lore.kernel.org/r/20200507133320.GA16899",
        "https://lore.kernel.org/r/87d07fj3g9.wl-maz",
        "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/arch/arm64?h=v5.7",
        "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/arch/a.S",
        "lore.kernel.org/r/87d07fj3g9.wl-maz@kernel.org",
    ],
)
def test_a_link_that_is_cut_short_is_found(link):
    assert whole(link)


def test_a_whole_link_draws_no_fault():
    for link in (
        "https://lore.kernel.org/r/87d07fj3g9.wl-maz@kernel.org",
        "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/a/b.S?h=v5.7",
        "https://doi.org/10.1109/ISCA.2016.35",
    ):
        assert whole(link) == ""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_number_in_hexadecimal_stands_as_code(path):
    """In the type of the text 0xffff runs together, and nobody counts its digits."""
    for cell in nbformat.read(path, as_version=4).cells:
        blocks = _markdown.parse(cell.source) if cell.cell_type == "markdown" else []
        for before, block in zip(blocks, blocks[1:], strict=False):
            if before.type == "heading_open":
                continue
            for token in block.children or ():
                assert token.type != "text" or not re.search(r"\b0x[0-9a-f]", token.content), (
                    token.content
                )
