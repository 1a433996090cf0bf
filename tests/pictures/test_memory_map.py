"""The still views: what they draw is what the machine holds, and the table says the same."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest

from hypkit import VARIANTS, Machine
from hypkit.kernel.addresses import SPACES
from hypkit.pictures.hypercall_table import show_table
from hypkit.pictures.memory_map import show_layout
from tests.pictures.words import misplaced


@pytest.fixture(scope="module")
def machine():
    return Machine("numbered", seed=2020)


def words(drawing):
    """All text of a drawing; it must be well-formed XML."""
    root = ET.fromstring(drawing.svg)
    return [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("view", [show_layout, show_table])
@pytest.mark.parametrize("key", VARIANTS)
def test_every_variant_has_a_drawing_a_sentence_and_a_table(view, key):
    with Machine(key, seed=5) as machine:
        drawing = view(machine)
    assert ET.fromstring(drawing.svg)[0].text == drawing.title
    assert len(drawing.alt) > 60 and drawing.alt == ET.fromstring(drawing.svg).get("aria-label")
    assert list(misplaced(drawing.svg)) == []
    assert all(len(row) == len(drawing.heads) for row in drawing.rows)
    assert drawing.to_table().count('scope="row"') == len(drawing.rows)
    assert repr(drawing) == f"Picture: {drawing.title}, {len(drawing.rows)} rows"


def test_a_notebook_gets_an_image_with_alt_text_and_the_table(machine):
    drawing = show_layout(machine)
    page = drawing._repr_html_()
    alt, image = re.search(
        r'<img class="hk-picture" alt="([^"]+)".*base64,([^"]+)"', page, re.S
    ).groups()
    assert alt == drawing.alt.replace("'", "&#x27;")
    assert base64.b64decode(image).decode() == drawing.svg
    assert drawing.to_table() in page and show_layout(machine)._repr_html_() == page


def test_the_layout_has_the_four_names_of_every_region_and_none_where_nothing_is_mapped(machine):
    drawing = show_layout(machine)
    rows = {row[0]: row for row in drawing.rows}
    names = machine.layout.names(machine.address("hyp_stack"))
    expected = {space: f"{names[space]:#018x}" for space in SPACES} | {"image": "–"}
    assert rows["hyp_stack"][2:6] == tuple(expected[space] for space in SPACES)
    assert rows[".text"][2 + SPACES.index("hyp")] == "–" and "–" not in rows[".hyp.text"][2:6]
    assert all(f"{names[space]:#018x}" in words(drawing) for space in ("linear", "physical", "hyp"))


def test_the_layout_says_what_each_level_may_do(machine):
    rows = {row[0]: row[6:] for row in show_layout(machine).rows}
    assert rows[".hyp.text"] == ("r-x", "r--", "r-x")
    assert rows[".data"] == ("rw-", "rw-", "r--")
    assert rows["hyp_stack"] == ("not mapped", "rw-", "rw-")
    assert rows[".text"][2] == "not mapped"
    assert rows[".hyp.idmap.text, under its physical address"][2] == "r-x"


@pytest.mark.parametrize("key", VARIANTS)
def test_every_slot_leads_to_its_function(key):
    with Machine(key, seed=2020) as machine:
        drawing, variant = show_table(machine), machine.image.variant
        for row, name in zip(
            drawing.rows, variant.slots if variant.table else variant.calls, strict=True
        ):
            if name is not None:
                assert row[1] == name
                assert int(row[4], 16) == machine.address(name, "hyp")
                if variant.base is not None:
                    assert int(row[0], 16) == variant.numbers[name]


def test_the_table_holds_what_memory_holds(machine):
    held = machine.read(machine.address("kvm_hcall_table", "hyp") + 16, 8)
    row = show_table(machine).rows[2]
    assert row[2] == f"{int.from_bytes(held, 'little'):#018x}"
    assert row[3] == "image address of __kvm_timer_set_cntvoff"


@pytest.mark.parametrize("view", [show_layout, show_table])
def test_only_a_machine_is_shown(view, machine):
    with pytest.raises(
        TypeError, match=rf"expected a Machine; got Call.*; try {view.__name__}\(Machine\(\)\)"
    ):
        view(machine.call("__kvm_enable_ssbs"))


def test_a_slot_that_no_number_means_says_where_it_leads():
    with Machine("patched", seed=1) as machine:
        drawing = show_table(machine)
    nobody = [row for row in drawing.rows if row[1] == "nobody"]
    assert nobody and all(f"nobody: {row[3]}" in words(drawing) for row in nobody)
