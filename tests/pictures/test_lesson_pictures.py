"""The pictures of single lessons: their alt text says what the machine did, wrong use is named."""

import re

import pytest

from hypkit import VARIANTS, Machine
from hypkit.comparison.ladder import climb
from hypkit.header import DEFINES, ENUM, HeaderError, read_header
from hypkit.lessons.pictures.lesson00 import show_levels
from hypkit.lessons.pictures.lesson02 import show_indices, show_mask_and_tag, show_names
from hypkit.lessons.pictures.lesson03 import show_doors
from hypkit.lessons.pictures.lesson04 import show_edges
from hypkit.lessons.pictures.lesson06 import show_list
from hypkit.lessons.pictures.lesson07 import show_pool
from hypkit.lessons.pictures.lesson08 import show_writers
from hypkit.lessons.pictures.lesson10 import show_timeline
from hypkit.lessons.pictures.lesson11 import show_scores
from hypkit.lessons.pictures.lesson12 import parts_of, show_kernels
from hypkit.linux.recorded import recorded
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


# --- Levels, list, pool, writers ------------------------------------------------------------------


@pytest.mark.parametrize("key", VARIANTS)
def test_the_two_stacks_are_those_of_a_call(key):
    with Machine(key, seed=3) as machine:
        picture, trace = show_levels(machine), machine.call("__kvm_get_mdcr_el2").trace
        assert list(misplaced(picture.svg)) == []
    first = trace[0]
    if key != "vhe":
        assert f"the kernel, whose stack ends at {first.regs['sp']:#x}" in picture.alt
        up = next(step for step in trace if step.el == 2)
        assert f"the hypervisor, whose stack ends at {up.regs['sp']:#x}" in picture.alt
        vector = int(re.search(r"names, at (0x[0-9a-f]+)", picture.alt)[1], 16)
        assert up.pc == vector + 0x400
    assert picture.alt.endswith(f"The host of this machine is at EL{first.el}.")


def _two_for_13():
    mark = "\n#define KVM_HOST_HCALL_SIZE"
    more = "#define KVM_HOST_HCALL_IDX___kvm_get_hcr_el2 13\nKVM_HOST_HCALL(__kvm_get_hcr_el2)\n"
    return DEFINES["kvm_hcalls.h"].replace(mark, more + mark)


@pytest.mark.parametrize("header", [DEFINES, ENUM, _two_for_13()])
def test_the_list_is_drawn_as_the_machine_runs_it(header):
    picture = show_list(header)
    assert list(misplaced(picture.svg)) == []
    assert [row[0] for row in picture.rows] == list(read_header(header).numbers)
    with Machine("numbered", seed=1, header=header) as machine:
        for name, number, _, runs in picture.rows:
            assert machine.x0_of(name) == int(number, 16)
            call = machine.call(name)  # with 0 for a structure, so that some of them panic
            handler = call.cost.steps["handler"][0]
            assert call.trace[handler].symbol.partition("+")[0] == runs
            if call.outcome != "returned":
                machine.reboot()


def test_a_number_that_selects_another_function_is_crossed_out_and_told():
    picture = show_list(_two_for_13())
    assert "In 1 of them" in picture.alt
    assert "__vgic_v3_save_aprs (0x10d) runs __kvm_get_hcr_el2." in picture.alt
    assert picture.svg.count("✕") == 1 and show_list(DEFINES).svg.count("✕") == 0
    short = DEFINES["kvm_hcalls.h"].replace("HCALL_SIZE 14", "HCALL_SIZE 13")
    with pytest.raises(HeaderError):
        show_list(short)


@pytest.mark.parametrize("seed", [0, 1, 2020])
@pytest.mark.parametrize("key", ["numbered", "cached"])
def test_the_pools_word_is_what_the_load_gets(key, seed):
    with Machine(key, seed=seed) as machine:
        picture = show_pool(machine)
        trace = machine.call("__kvm_get_mdcr_el2").trace
        load = next(s for s in trace if s.el == 2 and s.text.startswith("ldr x10, dispatch"))
        assert f"word of the pool at {load.memory[0].va:#x}" in picture.alt
        assert f"holds {load.memory[0].value:#x}" in picture.alt
        assert f"KASLR moved by {machine.layout.kaslr_offset:#x}" in picture.alt
        assert list(misplaced(picture.svg)) == []


@pytest.mark.parametrize("key", sorted(set(VARIANTS) - {"numbered", "cached"}))
def test_a_machine_without_such_a_word_has_no_picture_of_it(key):
    with Machine(key, seed=1) as machine, pytest.raises(ValueError, match="literal pool"):
        show_pool(machine)


@pytest.mark.parametrize("key", sorted(set(VARIANTS) - {"vhe"}))
def test_who_may_write_is_what_the_page_tables_say(key):
    with Machine(key, seed=1) as machine:
        picture = show_writers(machine)
        assert list(misplaced(picture.svg)) == [] and picture.rows
        for name, _, now, later, entry, hyp in picture.rows:
            at = machine.address(name)
            assert (now == "yes") is machine.translate(at, el=1).writable
            assert int(entry, 16) == machine.entry_of(at)
            assert later == "yes"
            assert (hyp == "yes") is machine.translate(machine.address(name, "hyp")).writable
    names = [row[0] for row in picture.rows]
    assert ("kvm_lm_offset" in names) is (key in ("cached", "reviewed"))
    assert ("kimage_voffset" in names) is (key in ("numbered", "adr_l"))


def test_a_word_that_was_made_writable_is_drawn_so():
    with Machine("reviewed", seed=2) as machine:
        at = machine.address("kvm_lm_offset")
        entry, descriptor = machine.entry_of(at), machine.translate(at, el=1).descriptor
        machine.poke(entry, (descriptor & ~(1 << 7)).to_bytes(8, "little"))
        row = next(row for row in show_writers(machine).rows if row[0] == "kvm_lm_offset")
    assert row[2] == "yes"


def test_with_vhe_there_is_no_host_at_el1_to_draw():
    with Machine("vhe", seed=1) as machine:
        with pytest.raises(ValueError, match="expected a machine whose host is at EL1; got"):
            show_writers(machine)


@pytest.mark.parametrize("show", [show_levels, show_pool, show_writers])
@pytest.mark.parametrize("wrong", [None, 3, "numbered", [], Machine])
def test_only_a_machine_is_drawn(show, wrong):
    with pytest.raises(TypeError, match=f"expected a Machine; got .*; try {show.__name__}"):
        show(wrong)


def test_the_kernels_stand_beside_the_variants_with_every_number_in_words():
    steps, kernels = climb(("numbered", "smccc", "vhe")), recorded()
    picture = show_kernels(steps, kernels)
    rows = parts_of(steps, kernels)
    assert list(rows) == ["numbered", "smccc", *(f"Linux {kernel}" for kernel in kernels)]
    for name, parts in rows.items():
        told = ", ".join(f"{part} {count}" for part, count in parts.items())
        assert f"{name}: {told}" in picture.alt
    for kernel, facts in kernels.items():
        assert sum(rows[f"Linux {kernel}"].values()) == facts.run("cntvoff").hyp.instructions
    assert sum(rows["smccc"].values()) == steps.rungs[1].hyp.instructions


def test_a_picture_of_kernels_wants_a_ladder_and_kernels():
    with pytest.raises(TypeError, match="expected a Ladder"):
        show_kernels(None, recorded())
    with pytest.raises(TypeError, match=r"expected recorded\(\), or a part of it"):
        show_kernels(climb(("numbered",)), {"6.1": 1})
