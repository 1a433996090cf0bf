"""The pictures of single lessons: their alt text says what the machine did, wrong use is named."""

import pytest

from hypkit import Machine
from hypkit.lessons.pictures.lesson02 import show_names
from hypkit.lessons.pictures.lesson03 import show_doors
from hypkit.lessons.pictures.lesson04 import show_edges


def test_the_four_names_say_whose_map_has_them_and_how_one_leads_to_the_next():
    with Machine("fnptr", seed=11) as machine:
        picture = show_names(machine, "vcpu0")
        for space, whose in (
            ("image", "neither map"),
            ("linear", "EL1's map"),
            ("hyp", "EL2's map"),
            ("physical", "neither map"),
        ):
            assert f"{space} {machine.address('vcpu0', space):#x}, on {whose}" in picture.alt
        assert "lm_alias" in picture.alt and "kern_hyp_va" in picture.alt
        assert show_names(machine, "vcpu0").png == picture.png
        with pytest.raises(KeyError, match="did you mean 'vcpu0'"):
            show_names(machine, "vcpu00")
    with pytest.raises(TypeError, match="is not a machine"):
        show_names("vcpu0", "vcpu0")


def test_the_doors_are_counted_by_function():
    picture = show_doors(
        {
            "a": "returned",
            "a+0x4": "panicked",
            "b": "runaway",
            "b+0x4": "returned",
            "b+0x8": "returned",
        }
    )
    assert "2 rows of boxes" in picture.alt
    assert "a: 1 of 2 came back; b: 2 of 3 came back, 1 stopped the machine." in picture.alt
    with pytest.raises(ValueError, match="no outcome to show"):
        show_doors({})


def test_the_edges_are_told_value_by_value():
    picture = show_edges({"one": {0: "stub", 3: "panic"}, "two": {0: "stub error", 3: "-ENOSYS"}})
    assert "one: 0x0 stub, 0x3 panic. two: 0x0 stub error, 0x3 -ENOSYS." in picture.alt
    for wrong in ({}, {"one": {0: "stub"}, "two": {1: "stub"}}):
        with pytest.raises(ValueError, match="the same values of x0"):
            show_edges(wrong)
