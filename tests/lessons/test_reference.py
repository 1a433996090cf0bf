"""The map of the course: complete, from its sources, and no word of it used before it is told."""

import re

import pytest

from hypkit import facts
from hypkit.emu import Machine
from hypkit.kernel.variants import VARIANTS
from hypkit.lessons.reference import ATTRIBUTES, EXPLAINED, PARTS, TABLES, reference
from notebooks.src import build
from notebooks.src.rules import _html

LESSONS = {text.stem[:2]: text for text in build.texts() if text.parent.name != "solutions"}


def prose(number, code=True):
    """The cells of prose of a lesson, each as one line, without headings; code: with `code`."""
    cells = build.read(LESSONS[number]).cells[:-1]  # the last has links only
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    texts = [re.sub(r"^#+ .*$", "", text, flags=re.MULTILINE) for text in texts]
    texts = [re.sub(r"\]\([^)]*\)", "]", text) for text in texts]
    if not code:
        texts = [re.sub(r"`[^`]*`", "`", text) for text in texts]
    return [" ".join(text.split()) for text in texts]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_a_cell_for_each_heading_and_says_something_in_each(name):
    table = reference(name)
    assert table.rows and all(len(row) == len(table.heads) for row in table.rows)
    assert all(cell.strip() for row in table.rows for cell in row)
    assert _html(table._repr_html_()) == [] and repr(table).startswith(table.title)


def test_the_tables_are_complete():
    assert [row[0] for row in reference("variants").rows] == [f"`{key}`" for key in VARIANTS]
    assert set(EXPLAINED) == set(VARIANTS)
    assert len(reference("functions").rows) == 14 and len(reference("stubs").rows) == 3
    assert len(reference("remarks").rows) == len(facts.suggestions())
    assert {row[-1] for row in reference("remarks").rows} <= set(LESSONS)
    assert {row[-1] for row in reference("variants").rows} <= set(LESSONS)


def test_each_part_of_a_machine_is_there():
    with Machine("fnptr", seed=2020) as machine:
        call = machine.call("__kvm_get_mdcr_el2")
        walk = machine.translate(machine.address("host_call", "hyp"), el=2)
        machine.hvc(0x50)
        found = [machine, call, call.trace, call.trace[0], walk, machine.panicked]
        for thing in found:
            kind = type(thing)
            for name in PARTS[kind]:
                assert hasattr(kind, name), (kind, name)
            for names, _ in ATTRIBUTES[kind]:
                assert all(hasattr(thing, name) for name in names.split(", ")), names


def test_a_table_that_is_not_there_is_told():
    with pytest.raises(KeyError, match="no table 'word'; there are: .*; did you mean 'words'"):
        reference("word")


@pytest.mark.parametrize("word", facts.glossary(), ids=lambda word: word.term)
def test_no_word_is_used_before_its_meaning(word):
    is_code = word.term not in {word.term.lower(), "vCPU"} or "_" in word.term
    for number in LESSONS:
        if number >= word.lesson:
            break
        used = [cell for cell in prose(number, is_code) if re.search(word.forms, cell)]
        assert used == [], f"{word.term} is told in lesson {word.lesson}"
    cells = prose(word.lesson)
    told = next((n for n, cell in enumerate(cells) if " ".join(word.told.split()) in cell), None)
    assert told is not None, f"lesson {word.lesson} does not say {word.told!r}"
    # The opening of a lesson names what it will tell.
    before = [cell for cell in prose(word.lesson, is_code)[1:told] if re.search(word.forms, cell)]
    assert before == []


def test_the_words_are_told_in_words():
    for word in facts.glossary():
        assert word.lesson in LESSONS and len(word.meaning.split()) >= 3


def test_the_map_links_lessons_and_no_other_number_of_two_digits():
    lines = [line for cell in build.course_map().cells for line in cell.source.splitlines()]
    rows = [line for line in lines if line.startswith("| ")]
    last = "| 13 | `void __vgic_v3_save_aprs(struct kvm_vcpu *vcpu)` | "
    assert any(row.startswith(last) for row in rows)  # neither a link nor an escaped star
    assert not any(row.startswith("| [") for row in rows)
    assert any(row.endswith(" | [06](06-review-enum.ipynb) |") for row in rows)
