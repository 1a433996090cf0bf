"""The table of cases that Python and JavaScript are both held to, against a naive reading of it."""

import pytest

from hypkit.kernel.addresses import SPACES, Layout
from hypkit.kernel.image import load
from hypkit.kernel.memory_map import HEAP, NAMED, SECTIONS
from tests.address_cases import MACHINES, cases


@pytest.fixture(scope="module")
def table():
    return {(case["variant"], case["seed"]): case for case in cases()}


def naive_name(image, pa):
    """The last label at or before a place, where something has a name at all."""
    if not any(start <= pa < end for start, end in NAMED):
        return None
    where, name = max((image.pa(label), label) for label in image.symbols if image.pa(label) <= pa)
    return name + (f"+{pa - where:#x}" if pa != where else "")


@pytest.mark.parametrize(("key", "seed"), MACHINES)
def test_every_address_has_the_space_and_the_name_that_its_byte_has(table, key, seed):
    case = table[key, seed]
    image = load(key, Layout.from_seed(seed))
    seen = dict.fromkeys([*SPACES, "VM", None], 0)
    for text, space, name, words, in_vm in case["addresses"]:
        address = int(text, 16)
        seen[space] += 1
        if space == "VM":
            assert in_vm == f"VM address of {name}" and words.startswith("0x"), text
            continue
        pa = image.layout.pa(address)
        assert (space is None) == (pa is None), text
        expected = None if pa is None else naive_name(image, pa)
        assert (name or "").partition("+")[2] == (expected or "").partition("+")[2], text
        if name is not None:  # of two labels at one place either will do
            assert image.pa(name.partition("+")[0]) == image.pa(expected.partition("+")[0])
            assert words == in_vm == f"{space} address of {name}"
        else:
            assert expected is None and "address of" not in words, text
    assert min(seen.values()) > 2


@pytest.mark.parametrize(("key", "seed"), MACHINES)
def test_the_holes_between_the_named_ranges_have_no_name(table, key, seed):
    names = {int(text, 16): name for text, _, name, _, _ in table[key, seed]["addresses"]}
    for start, end in NAMED:
        inside = any(other <= end < last for other, last in NAMED)
        assert names[start] is not None and names[end - 1] is not None
        assert (names[end] is None) == (not inside)
    assert len(NAMED) == 1 + len(HEAP) and SECTIONS[-1].name == ".data"


@pytest.mark.parametrize(("key", "seed"), MACHINES)
def test_every_step_of_the_boot_has_a_sentence(table, key, seed):
    case = table[key, seed]
    assert len(case["sentences"]) == case["payload"]["meta"]["steps"] > 80
    assert all(sentence.endswith(".") for sentence in case["sentences"])
