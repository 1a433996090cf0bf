"""The pictures of single lessons: their alt text says what the machine did, wrong use is named."""

import re

import pytest

from hypkit import Machine
from hypkit.lessons.pictures.lesson02 import show_indices, show_mask_and_tag, show_names
from hypkit.lessons.pictures.lesson03 import show_doors
from hypkit.lessons.pictures.lesson04 import show_edges
from hypkit.lessons.pictures.lesson10 import show_timeline
from hypkit.lessons.pictures.lesson11 import show_scores
from tests.pictures.words import misplaced, texts


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
        assert show_names(machine, "vcpu0").svg == picture.svg
        with pytest.raises(KeyError, match="did you mean 'vcpu0'"):
            show_names(machine, "vcpu00")
    with pytest.raises(TypeError, match="expected a Machine; got 'vcpu0'"):
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


def test_an_address_is_split_as_the_walk_splits_it():
    with Machine("numbered", seed=7) as machine:
        at = machine.address("kvm_hcall_table")
        for picture in (show_indices(machine, "kvm_hcall_table"), show_indices(machine, at)):
            walk = machine.translate(at, 1)
            shown = [words for words, *_ in texts(picture.svg)]
            indices = [at >> shift & 511 for shift in (39, 30, 21, 12)]
            places = [shown.index(f"level {n} index") for n in range(4)]
            assert [int(shown[place - 1]) for place in places] == indices
            boxes = list(texts(picture.svg))
            line = next(box[2] for box in boxes if box[0] in ("0", "1") and box[2] > 60)
            digits = "".join(word for word, _, y, *_ in boxes if y == line)
            assert digits == f"{at:064b}"
            for n, index in enumerate(indices):
                assert f"level {n} index, {index:#x}" in picture.alt
            assert walk.pa & 0xFFF == at & 0xFFF
            assert list(misplaced(picture.svg)) == []
        for wrong in (None, 1.5, -1, 1 << 64, True):
            with pytest.raises(TypeError, match="expected a label or an address of 64 bits; got"):
                show_indices(machine, wrong)
    with pytest.raises(TypeError, match="expected a Machine; got 3"):
        show_indices(3, 4)


@pytest.mark.parametrize("seed", [0, 1, 2020, 77])
def test_mask_and_tag_make_the_hyp_address(seed):
    with Machine("numbered", seed=seed) as machine:
        picture = show_mask_and_tag(machine, "vcpu0")
        layout = machine.layout
        linear, hyp = (machine.address("vcpu0", space) for space in ("linear", "hyp"))
    mask = int(re.search("mask (0x[0-9a-f]+) keeps", picture.alt)[1], 16)
    tag = int(re.search("tag (0x[0-9a-f]+) goes", picture.alt)[1], 16)
    assert linear & mask | tag == hyp == layout.kern_hyp_va(linear)
    assert f"hyp address {hyp:#x}" in picture.alt
    assert list(misplaced(picture.svg)) == []


def test_no_words_of_a_lessons_picture_are_cut_off():
    with Machine("fnptr", seed=2020) as machine:
        pictures = [show_names(machine, "__kvm_timer_set_cntvoff")]
    pictures += [show_timeline(), show_scores()]
    for picture in pictures:
        assert list(misplaced(picture.svg)) == []


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: show_doors(3), TypeError, "expected a dict from place to outcome; got 3"),
        (lambda: show_doors({3: "returned"}), TypeError, "expected a dict from place to outcome"),
        (lambda: show_edges("x"), TypeError, "expected a dict from variant"),
        (lambda: show_edges({"one": 3}), TypeError, "expected a dict from variant"),
        (lambda: show_edges({"one": {0: "panick"}}), ValueError, "did you mean 'panic'"),
        (lambda: show_timeline(3), TypeError, "expected a list of steps"),
        (lambda: show_timeline([3]), TypeError, "expected a step of facts.history"),
        (lambda: show_timeline([]), ValueError, "no step to show"),
        (lambda: show_scores(known="fnptr"), TypeError, "expected a list of keys of VARIANTS"),
    ],
)
def test_wrong_use_is_named(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()
