"""Answers to the exercises of 11-write-your-own, its cheats and its picture."""

import subprocess
import sys

import pytest

from hypkit import Machine
from hypkit.check import RIGHT, WRONG, check
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.dispatcher_judge import KNOWN, prove, score_of
from hypkit.lessons.dispatcher_score import MEASURES
from hypkit.lessons.exercises import lesson11
from hypkit.lessons.exercises.lesson11 import ORDER, PLAIN, SHORT, SMALL
from hypkit.lessons.material import CHEATS, PIECES, TABLE, assembled, nailed
from hypkit.lessons.pictures.lesson11 import show_scores
from tests.marks import SLOWER

LDRH = next(line for line in SMALL.splitlines(keepends=True) if "ldrh" in line)
RIGHT_ANSWERS = [
    ("11.1", ORDER),
    ("11.1", "icg jf h e b k a d"),
    ("11.1", "JICGFHEBKAD"),
    ("11.1", "I, C, G, J, F, H, E, B, K, A, D"),
    ("11.1", list(ORDER)),
    ("11.2", SHORT),
    (
        "11.2",
        SMALL.replace(lesson11.HALVES, TABLE)
        .replace(LDRH, "")
        .replace("add     x10, x10, x9\n", "add     x10, x10, x9, lsl #2\n"),
    ),
    ("11.3", SMALL),
]
MISTAKES = [
    ("11.1", "ICGJF", "with A, B, D, E, H and K missing"),
    ("11.1", ORDER + "A", "with A there twice"),
    ("11.1", ORDER.replace("A", "Z"), "letters from A to K; got 'Z'"),
    # the number is overwritten too early
    ("11.1", "ICGEJFHBKAD", "x0 is the first argument by then, and no index any more"),
    (
        "11.1",
        "ICGJFHKBEAD",
        "B, `mov x1, x2`, stands before E, `mov x0, x1`: x1 is overwritten",
    ),  # the arguments from the wrong end
    (
        "11.1",
        "HICGJFEBKAD",
        "H, `str lr, [sp, #-16]!`, stands before G, `b.hs refuse`: a refusal",
    ),  # what is refused leaves it on the stack
    # the way back is saved too late
    ("11.1", "ICGJFEBKADH", "the call overwrites lr before it has been saved"),
    ("11.1", "ICGJFHEBKDA", "D, `ldr lr, [sp], #16`, stands before A, `blr x10`: lr is taken back"),
    ("11.1", assembled(ORDER), "assembled(...) is for looking at it"),
    ("11.1", "CIGJFHEBKAD", "and x0 is no index until 0x100 is subtracted"),
    ("11.2", PLAIN.replace("        divert_stub_calls\n", ""), "take it from there first"),
    ("11.2", SHORT.replace("str     lr, [sp]", "nop"), "back at the host, as it was; got 0x"),
    ("11.3", SMALL.replace(".hword", ".word").replace("ldrh", "ldr"), "shifted by 0 or 2 only"),
    ("11.3", SMALL.encode(), "got bytes"),
    ("11.2", PLAIN, "is right. Now expected at most 24 instructions"),
    ("11.2", SMALL, "is right and short. Now expected at most 2 loads; got 3"),
    ("11.3", SHORT, "is right. Now expected at most 144 bytes"),
    (
        "11.3",
        SMALL.replace("2:      divert_stub_calls", "2:      add sp, sp, #16"),
        "x0 = 0, a stub call",
    ),
]
NONSENSE = [
    "frob x0",
    "b .",
    "eret\n" * 3,
    ".rept 100000\nnop\n.endr\n" * 9,
    "dispatch:\n        b dispatch\n",
    "x: b hyp_panic\n",
    ".text",
    '.incbin "/etc/passwd"',
]


def test_each_cheat_of_the_lesson_loses_in_both_exercises():
    with Machine("numbered", seed=2020, dispatcher=nailed([0] * 14)) as machine:
        by_heart = nailed([machine.address(name, "hyp") for name in HYPERCALLS])
    with Machine("numbered", seed=2020, dispatcher=by_heart) as machine:
        for name in ("__kvm_get_mdcr_el2", "__kvm_flush_vm_context"):  # at home it does well
            assert machine.call(name).trace.find(name) is not None
    for text in (*CHEATS.values(), by_heart):
        for number in ("11.2", "11.3"):
            verdict = check(number, text)
            assert verdict.kind == WRONG and "is right" not in verdict.sentence, verdict


def test_the_pieces_are_the_plain_dispatcher():
    assert assembled(ORDER) == PLAIN and sorted(ORDER) == sorted(PIECES)


def test_the_picture_names_every_known_variant_and_yours_in_every_measure():
    picture = show_scores(prove(SHORT, "mine"))
    for key, (title, _) in MEASURES.items():
        part = picture.alt.split(f"{title}: ")[1].split(";")[0]
        assert f"mine {prove(SHORT)[key]}" in part
        assert all(f"{name} {score_of(name)[key]}" in part for name in KNOWN)


def test_ten_instructions_belong_to_the_entry_as_the_exercise_says():
    with Machine("numbered", seed=3, dispatcher=SHORT) as machine:
        trace = machine.call("__kvm_get_mdcr_el2").trace
        own = machine.image.dispatcher.base + machine.layout.kaslr_offset
        first = next(step.index for step in trace if step.el == 2)
        arrives = next(
            step.index
            for step in trace
            if step.pc == machine.layout.hyp_va(own - machine.layout.kimage_voffset)
        )
    assert arrives - first == 10


def test_a_picture_takes_scores_and_nothing_else():
    with pytest.raises(TypeError, match="expected a score; got 'x': show what prove"):
        show_scores("x")
    with pytest.raises(ValueError, match="nothing to show"):
        show_scores(known=())


WITHOUT_ENGINE = """
import os
os.environ["HYPKIT_ENGINE"] = "none"
from hypkit.check import check
from hypkit.lessons.exercises import lesson09, lesson10, lesson11
print(check("11.1", lesson11.ORDER).kind)
print(check("11.2", lesson11.SHORT).kind)
print(check("11.3", lesson11.SMALL).kind)
print(check("09.4", lesson09.FIXED).kind)
order = [*lesson10.EARLY,
         *(n for n in lesson10.HYPERCALLS if n not in lesson10.EARLY)]
print(check("10.3", {"order": order, "hcall_min": 4}).kind)
print(check("11.2", lesson11.SHORT.replace("x9", "x14")).sentence)
"""


def test_without_an_engine_what_is_shipped_passes_and_what_is_new_is_told_kindly():
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_ENGINE],
        capture_output=True,
        text=True,
        timeout=60 * SLOWER,
        check=True,
    )
    *kinds, sentence = ran.stdout.splitlines()
    assert kinds == [RIGHT] * 5
    assert (
        "this machine has no engine" in sentence
        and "known dispatchers and of the solutions" in sentence
    )
