"""Answers to the exercises of 02-four-addresses, and what its text says of them."""

import numpy as np

from hypkit import Machine
from hypkit.check import OPEN, check
from hypkit.kernel.addresses import PAGE_OFFSET, Layout
from hypkit.lessons.exercises import lesson02
from notebooks.src.build import TEXTS

SPACES = ["image", "physical", "hyp", "linear", "hyp"]


def by_hand(va, tag_lsb, tag):
    return va & (1 << tag_lsb) - 1 | tag << tag_lsb


def by_division(va, tag_lsb, tag):
    return va % 2**tag_lsb + tag * 2**tag_lsb


def foretold(machine, name, missing):
    far = machine.address(name, "linear")
    if missing == "lm_alias":
        far = machine.layout.kern_hyp_va(machine.address(name))
    levels = machine.translate(far, el=2).levels
    return [levels[-1].level if levels else 0, far]


def level_and_signed(number):
    return number - (1 << 64) if number >> 63 else number


def tried(machine, name, missing):
    """The half that a sound machine shows by itself."""
    if missing == "lm_alias":
        machine.hvc(machine.address(name, "image"))
        return machine.panicked.esr & 3, machine.panicked.far
    return 0, machine.address(name, "linear")


RIGHT_ANSWERS = [
    ("02.1", SPACES),
    ("02.1", tuple(SPACES)),
    ("02.1", np.array(SPACES)),
    ("02.1", dict(enumerate(SPACES)).values()),
    ("02.1", [f" {space.title()}" for space in SPACES]),
    ("02.2", lambda va, lsb, tag: np.uint64(by_hand(va, lsb, tag))),
    ("02.2", by_hand),
    ("02.2", by_division),
    ("02.3", foretold),
    ("02.3", tried),
    ("02.3", lambda m, n, w: (number for number in foretold(m, n, w))),
    ("02.3", lambda m, n, w: [level_and_signed(x) for x in foretold(m, n, w)]),
]


def swapped(spaces):
    return [{"image": "linear", "linear": "image"}.get(space, space) for space in spaces]


MISTAKES = [
    ("02.1", swapped(SPACES), "begins with 0xffff and has bit 47 clear"),
    ("02.1", SPACES[:4], "a list of 5 names; got 4"),
    (
        "02.1",
        [*SPACES[:4], "physical"],
        "Address 5, 0x934f00285000, is not physical: an address of that space is a place in the",
    ),
    (
        "02.1",
        ["virtual", *SPACES[1:]],
        "Expected 'image', 'linear', 'physical' or 'hyp' for address 1",
    ),
    ("02.2", lambda va, lsb, tag: va | tag << lsb, "expected the last of these"),
    ("02.2", lambda va, lsb, tag: va & (1 << lsb) - 1 | tag, "steps 15 to 19 make"),
    ("02.2", lambda va, lsb, tag: va - PAGE_OFFSET | tag << lsb, "Of the image address"),
    ("02.2", lambda va, lsb, tag: va & 0x3FFF_FFFF | tag << lsb, "another amount of memory"),
    ("02.2", lambda va, lsb, tag: print(end=""), "a hyp address, a whole number; got None"),
    ("02.3", lambda m, n, w: (0, m.address(n)), ", an image address"),
    ("02.3", lambda m, n, w: (0, foretold(m, n, w)[1]), "got level 0, while FAR_EL2 is right"),
    ("02.3", lambda m, n, w: (2 * (w == "lm_alias"), foretold(m, n, w)[1]), "level 3; got level 2"),
    ("02.3", lambda m, n, w: foretold(m, n, w)[::-1], "got them the other way"),
    ("02.3", lambda m, n, w: foretold(m, n, w)[1], "two numbers"),
    ("02.1", {1, 2, 3, 4, 5}, "a set, which has no order"),
    ("02.1", " ".join(SPACES), "a list of 5 names, in order; got 'image physical"),
    ("02.2", lambda va, lsb, tag: va & (1 << lsb - 1) - 1 | tag << lsb, "steps 15 to 19 make"),
    ("02.2", lambda va, lsb, tag: va % (1 << lsb) ^ tag << lsb | va & 1 << 63, "steps 15 to 19"),
    ("02.2", lambda va, lsb, tag: hex(by_hand(va, lsb, tag)), "without quotes"),
    ("02.3", lambda m, n, w: (foretold(m, n, w)[0] + 1, foretold(m, n, w)[1]), "FAR_EL2 is right"),
    ("02.3", lambda m, n, w: dict([foretold(m, n, w)]), "got a dict"),
]


def test_dots_are_no_answer():
    assert check("02.1", [..., *SPACES[1:]]).kind == OPEN


def test_the_addresses_to_tell_apart_are_those_of_the_machine_that_the_text_names():
    layout = Layout.from_seed(lesson02.SEED)
    assert [layout.space(address) for address in lesson02.ADDRESSES] == SPACES


def test_the_broken_dispatcher_moves_nothing():
    with (
        Machine("fnptr", seed=3) as sound,
        Machine("fnptr", seed=3, dispatcher=lesson02.BROKEN) as broken,
    ):
        for name in ("dispatch_call", "__kvm_get_mdcr_el2", "__vgic_v3_save_aprs"):
            assert sound.address(name) == broken.address(name)


def test_the_numbers_that_the_text_names_are_those_of_its_machine():
    text = (TEXTS / "02-four-addresses.md").read_text(encoding="utf-8")
    layout = Layout.from_seed(2020)
    low, high = layout.tag_val & 0xFFF, layout.tag_val >> 12
    words = " ".join(text.split())
    assert f"`{low:#x}`, and `{high:#x}` moved up by 12, is `{layout.tag_val:#x}`" in words
    assert f"34 (`0x22`), and {layout.tag_lsb} + 34 = 64" in words and layout.tag_lsb == 30


def test_one_boot_of_512_hides_that_the_host_forgot_lm_alias():
    lucky = [
        seed for seed in range(1, 4000) if Layout.from_seed(seed).kimage_voffset % (1 << 30) == 0
    ]
    assert 241 in lucky and 4 <= len(lucky) <= 13
    for seed, outcome in ((241, "returned"), (2020, "panicked")):
        with Machine("fnptr", seed=seed) as machine:
            call = machine.hvc(machine.address("__kvm_timer_set_cntvoff", "image"), 0x1234)
            assert call.outcome == outcome
