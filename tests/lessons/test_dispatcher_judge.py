"""The proving ground: what it demands of a dispatcher, what it measures, who cannot fool it."""

import pytest

from hypkit import Machine
from hypkit.asm import assemble
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.dispatcher_judge import KNOWN, prove, score_of, unguarded
from hypkit.lessons.dispatcher_score import CORES, MEASURES
from hypkit.lessons.exercises.lesson11 import PLAIN, SHORT, SMALL
from hypkit.lessons.judge import Wrong
from hypkit.lessons.material import TABLE
from tests.scenarios import ARGUMENTS

BARRIER = "        speculation_barrier\n"


def with_line(text, before, line):
    """The text with a line put before the first one that begins like this."""
    at = text.index(before)
    return text[:at] + line + "\n        " + text[at:]


STUB = Machine("numbered").address("__kvm_handle_stub_hvc", "physical")

STUB_BY_HAND = """\
ldp     x0, x1, [sp], #16
        cmp     x0, #3
        b.hs    9f
        ldr     x5, =__kvm_handle_stub_hvc
        ldr_l   x6, kimage_voffset
        sub     x5, x5, x6
        br      x5
9:"""

PLACES = "        .balign 8\ntable:\n" + "".join(f"        .quad   {name}\n" for name in HYPERCALLS)

# One way each to break the specification, and what the sentence must name.
FAULTS = {
    "the signed test": (PLAIN.replace("b.hs    refuse", "b.ge    refuse"), "no call's number"),
    "half of the number": (
        PLAIN.replace("cmp     x0, #14", "cmp     w0, #14"),
        "no call's number: expected -38 in x0",
    ),
    "the top bits shifted out": (
        PLAIN.replace("cmp     x0, #14", "lsl x11, x0, #4\n        cmp     x11, #(14 << 4)"),
        "no call's number",
    ),
    "one too few": (
        PLAIN.replace("cmp     x0, #14", "cmp     x0, #13"),
        "x0 = 0x10d, __vgic_v3_save_aprs: expected this function to be called",
    ),
    "one too many": (PLAIN.replace("cmp     x0, #14", "cmp     x0, #15"), "x0 = 0x10e"),
    "no stub test": (
        PLAIN.replace("divert_stub_calls", "ldp x0, x1, [sp], #16"),
        "x0 = 0, a stub call: expected the stub's handler to be entered",
    ),
    "a stub call too many": (
        PLAIN.replace("divert_stub_calls", "divert_stub_calls limit=4"),
        "x0 = 0x3, no call's number",
    ),
    "an error of another number": (
        PLAIN.replace("#-38", "#-1"),
        "expected -38 in x0; it came back",
    ),
    "no barrier": (PLAIN.replace(BARRIER + "table:", "table:"), "speculation barrier"),
    "half a barrier": (PLAIN.replace(BARRIER + "table:", "        isb\ntable:"), "barrier"),
    "a barrier the core lacks": (
        PLAIN.replace(BARRIER + "table:", "        sb\ntable:"),
        "an sb, which a Cortex-A72 does not have",
    ),
    "a barrier one instruction late": (
        PLAIN.replace(BARRIER + "table:", "        nop\n" + BARRIER + "table:"),
        "barrier",
    ),
    "a register of the host's": (PLAIN.replace(" x10", " x19"), "expected x19 = "),
    "a zero that the host's register held as well": (
        with_line(PLAIN, "mov     x1, x2", "mov x22, #0"),
        "expected x22 to be given back as it was, whatever it was; the last to write it is step",
    ),
    "memory that begins where it always begins": (
        with_line(
            PLAIN,
            "str     lr",
            """\
ldr     x10, [x10]
        ldr_l   x11, kimage_voffset     // and no physvirt_offset
        sub     x10, x10, x11
        kern_hyp_va x10""",
        )
        .replace("x0, lsl #2", "x0, lsl #3")
        .replace(TABLE, PLACES),
        "as for a kernel elsewhere in physical memory: x0 = ",
    ),
    "the way back": (
        PLAIN.replace("        str     lr, [sp, #-16]!\n", "").replace(
            "        ldr     lr, [sp], #16\n", ""
        ),
        "step",
    ),
    "eight bytes of stack": (
        PLAIN.replace("#-16]!", "#-8]!").replace(
            "[sp], #16\n        eret", "[sp], #8\n        eret"
        ),
        "a multiple of 16",
    ),
    "the stack left behind": (
        with_line(PLAIN, "sub     x0, x0", "sub sp, sp, #16"),
        "EL2's stack pointer",
    ),
    "two arguments": (PLAIN.replace("        mov     x2, x3\n", ""), "what the host had in x3"),
    "another function": (
        PLAIN.replace("b       __kvm_get_mdcr_el2", "b       __vgic_v3_init_lrs"),
        "enters __vgic_v3_init_lrs",
    ),
    "twice": (with_line(PLAIN, "ldr     lr, [sp]", "blr     x10"), "expected one call; step"),
    "the way back of a function": (
        PLAIN.replace("#16\n        eret", "#16\n        ret\n        eret"),
        "expected a way back to the host by eret; EL2 panicked at host_called",
    ),
    "another answer": (
        with_line(PLAIN, "ldr     lr, [sp]", "add x0, x0, #1"),
        "what the function left there",
    ),
    "the vectors moved": (
        with_line(PLAIN, "ldr     lr, [sp]", "adr x9, __kvm_hyp_vector\n        msr tpidr_el2, x9"),
        "step",
    ),
    "somebody else's eret": (
        PLAIN.replace(
            "refuse: mov     x0, #-38\n        eret\n" + BARRIER,
            "refuse: mov     x0, #-38\n        b hyp_panic+0x4c\n",
        ),
        "is at hyp_panic+0x4c",
    ),
    "what tells good from bad besides x0": (
        PLAIN.replace(
            "        b.hs    refuse",
            "        lsr x11, x1, #33\n        cbnz x11, 9f\n"
            "        cmp     x0, #14\n        b.hs    refuse\n9:",
        ),
        "no call's number",
    ),
    "half of an argument": (PLAIN.replace("mov     x1, x2", "mov     w1, w2"), "expected x1 = "),
    "the way back in a vector register": (
        PLAIN.replace("str     lr, [sp, #-16]!", "fmov d16, lr").replace(
            "ldr     lr, [sp], #16", "fmov lr, d16"
        ),
        "the vector registers to be left alone",
    ),
    "the way back in a system register": (
        PLAIN.replace("str     lr, [sp, #-16]!", "msr tpidr_el1, lr").replace(
            "ldr     lr, [sp], #16", "mrs lr, tpidr_el1"
        ),
        "expected no system register to be written; step",
    ),
    "the way back in a register of the function's": (
        PLAIN.replace("str     lr, [sp, #-16]!", "mov x15, lr").replace(
            "ldr     lr, [sp], #16", "mov lr, x15"
        ),
        "expected x30 = ",
    ),
    "a mask of interrupts": (
        with_line(PLAIN, "mov     x1, x2", "msr daifset, #2"),
        "no system register to be written",
    ),
    "vectors of its own, from the first miss on": (
        PLAIN.replace(
            "refuse: mov     x0, #-38",
            "refuse: adr x9, __kvm_hyp_vector\n        msr vbar_el2, x9\n        mov     x0, #-38",
        ),
        "no system register to be written",
    ),
    "a note for the next call, on the stack": (
        with_line(PLAIN, "mov     x1, x2", "ldr x11, [sp, #-64]\n        str x10, [sp, #-64]"),
        "those places of EL2's stack to be read that this call stored to",
    ),
    "a note for the next call, in the host's register": (
        with_line(PLAIN, "mov     x1, x2", "add x11, x17, #1\n        mov x17, x10"),
        "expected x17 to be written before it is read",
    ),
    "a note for the next call, in the host's register and by way of the stack": (
        with_line(
            PLAIN,
            "mov     x1, x2",
            "str x17, [sp, #-16]!\n        ldr x11, [sp], #16\n"
            "        add x11, x11, #1\n        mov x17, x10",
        ),
        "expected the host's x17, which x11 holds, to be given back and not used; step",
    ),
    "a note for the next call, in the host's register and by way of another": (
        with_line(PLAIN, "mov     x1, x2", "mov x11, x17\n        cbnz x11, refuse"),
        "expected the host's x17, which x11 holds, to be given back and not used; step",
    ),
    "the caches": (
        with_line(PLAIN, "mov     x1, x2", "ic iallu"),
        "expected caches, TLBs and address translation to be left alone; step",
    ),
    "a note for the next call, in memory": (
        with_line(
            PLAIN,
            "mov     x1, x2",
            "adr_l x11, kvm_host_data\n        mrs x12, tpidr_el2\n"
            "        add x11, x11, x12\n        str x10, [x11]",
        ),
        "expected stores to EL2's stack only",
    ),
    "a load that costs nothing in the model": (
        with_line(PLAIN, "mov     x1, x2", "ldar x11, [sp]"),
        "that the model has a price for",
    ),
    "the stub's third argument spoilt": (
        PLAIN.replace(
            "        divert_stub_calls",
            "        mov x9, x2\n        mov x2, x3\n        divert_stub_calls",
        )
        .replace("mov     x1, x2", "mov     x1, x9")
        .replace("        mov     x2, x3\n", ""),
        "at the first instruction of the stub's handler, what the host had there; got",
    ),
    "the stub's first argument spoilt": (
        PLAIN.replace("divert_stub_calls", STUB_BY_HAND.replace("x6", "x1")),
        "x0 = 0, a stub call: expected x1 = ",
    ),
    "the stub called, not gone to": (
        PLAIN.replace("divert_stub_calls", STUB_BY_HAND.replace("br      x5", "blr     x5")),
        "x0 = 0, a stub call: expected x30 = ",
    ),
    "the stub at an address of EL2": (
        PLAIN.replace(
            "divert_stub_calls",
            STUB_BY_HAND.replace("ldr     x5, =", "adr_l   x5, ").replace(
                "sub     x5, x5, x6", "nop"
            ),
        ),
        "at its physical address 0x",
    ),
    "a system register for the stub": (
        PLAIN.replace(
            "divert_stub_calls",
            STUB_BY_HAND.replace("br      x5", "msr     tpidr_el1, x5\n        br      x5"),
        ),
        "x0 = 0, a stub call: expected no system register to be written; step",
    ),
    "the stub's place by heart": (
        PLAIN.replace(
            "        divert_stub_calls",
            f"""\
        ldp x0, x1, [sp], #16
        cmp x0, #3
        b.hs 9f
        movz x5, #{STUB & 0xFFFF:#x}
        movk x5, #{STUB >> 16:#x}, lsl #16
        br x5
9:""",
        ),
        "whatever the variable says",
    ),
    "what x5 happens to hold": (
        PLAIN.replace("mov     x2, x3", "add     x2, x3, x5"),
        "expected x2 = ",
    ),
    "a long way round": (
        PLAIN.replace(
            "refuse: mov     x0, #-38",
            "refuse: mov x9, #0x8000\n"
            "1:      subs x9, x9, #1\n        b.ne 1b\n"
            "        mov     x0, #-38",
        ),
        "expected some dozen steps; got 65,",
    ),
    "no way out": (PLAIN.replace("refuse: mov     x0, #-38", "refuse: b refuse"), "loop perhaps"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_the_specification_forbids_is_found_and_named(fault):
    text, phrase = FAULTS[fault]
    with pytest.raises(Wrong) as raised:
        prove(text)
    assert phrase in str(raised.value)


def test_what_ran_into_the_panic_is_told_apart_from_what_faulted():
    with pytest.raises(Wrong, match=r"EL2 ran into hyp_panic at step \d+, from refuse"):
        prove(PLAIN.replace("refuse: mov     x0, #-38", "refuse: b hyp_panic"))
    with pytest.raises(Wrong, match=r"data abort.*; the dispatcher's last step was \d+, ldr x0"):
        prove(PLAIN.replace("refuse: mov     x0, #-38", "refuse: ldr x0, [x0]"))


def test_only_a_function_that_was_entered_before_is_entered_again():
    twice = with_line(
        PLAIN.replace("str     lr, [sp, #-16]!", "stp     lr, x10, [sp, #-16]!"),
        "ldr     lr, [sp]",
        "ldr     x10, [sp, #8]\n        blr     x10",
    )
    with pytest.raises(Wrong, match=r"expected one call; step \d+ enters \w+ again$"):
        prove(twice)
    another = with_line(PLAIN, "ldr     lr, [sp]", "bl      __kvm_flush_vm_context")
    with pytest.raises(Wrong) as raised:
        prove(another)
    asked_for_it = f"x0 = {0x100 + HYPERCALLS.index('__kvm_flush_vm_context'):#x}"
    assert "expected one call" in str(raised.value)
    assert str(raised.value).endswith(" again") == str(raised.value).startswith(asked_for_it)


def test_the_patch_with_its_barrier_and_every_reviewed_form_of_it_pass():
    for key in ("numbered", "adr_l", "cached", "numbered+shuffle3"):
        text = Machine(key).image.source("dispatch_numbered.S")
        with pytest.raises(Wrong, match="barrier"):
            prove(text)
        score = prove(text.replace("        eret\n\n3:", f"        eret\n{BARRIER}\n3:"), key)
        known = score_of(key)
        assert score.bytes == known.bytes + 8  # the barrier, which no call executes
        assert [score[m] for m in MEASURES if m != "bytes"] == [
            known[m] for m in MEASURES if m != "bytes"
        ]


def test_known_scores_are_what_their_own_traces_count():
    for key in KNOWN:
        score = score_of(key)
        with Machine(key, seed=5) as machine:
            costs = [machine.call(name, *ARGUMENTS.get(name, ())).cost.hyp for name in HYPERCALLS]
        assert score.instructions == max(cost.instructions for cost in costs), key
        assert score.loads == max(cost.loads for cost in costs), key


def test_equal_texts_have_equal_scores_and_a_space_asks_anew():
    assert prove(PLAIN) == prove(PLAIN)
    other = prove(PLAIN + " ")
    assert [other[m] for m in MEASURES] == [prove(PLAIN)[m] for m in MEASURES]


def test_the_worst_of_the_fourteen_calls_counts():
    chain = (
        """\
        divert_stub_calls
        sub     x0, x0, #0x100
        cbz     x0, 1f
        cmp     x0, #14
        b.hs    2f
        adr     x10, table
        add     x10, x10, x0, lsl #2
        b       3f
1:      adr     x10, __kvm_enable_ssbs
3:      str     lr, [sp, #-16]!
        mov     x0, x1
        mov     x1, x2
        mov     x2, x3
        blr     x10
        ldr     lr, [sp], #16
        eret
        speculation_barrier
2:      mov     x0, #-38
        eret
        speculation_barrier
"""
        + TABLE
    )
    assert prove(chain).instructions == prove(PLAIN).instructions + 2


def test_code_borrowed_from_elsewhere_counts_as_instructions_and_bytes():
    # Over a return of hyp_init's neighbours: one of the handlers ends in a plain ret.
    detour = with_line(
        PLAIN,
        "mov     x0, x1",
        "mov x11, x0\n        adr x12, __kvm_get_mdcr_el2\n"
        "        adr lr, 7f\n        add x12, x12, #4\n        br x12\n"
        "7:      mov x0, x11",
    )
    detour = detour.replace("        str     lr, [sp, #-16]!\n", "").replace(
        "mov x11, x0", "str lr, [sp, #-16]!\n        mov x11, x0"
    )
    score, plain = prove(detour), prove(PLAIN)
    assert score.instructions == plain.instructions + 7  # six of its own, and the borrowed ret
    assert score.bytes == plain.bytes + 6 * 4 + 4


def test_reading_the_machines_table_counts_as_bytes():
    own = len(Machine("relocated").image.dispatcher.code)
    assert score_of("relocated").bytes == own + 8 * len(HYPERCALLS)


def test_the_solutions_differ_as_the_lesson_says():
    plain, short, small = prove(PLAIN), prove(SHORT), prove(SMALL)
    assert short.instructions < plain.instructions and short.loads == plain.loads
    assert small.bytes < short.bytes and small.loads > short.loads
    assert all(short[core] < small[core] for core in CORES)


def test_a_score_in_one_line_names_every_measure():
    assert repr(prove(PLAIN, "mine")).startswith("Score(mine: 26 instructions, 2 loads, 172 bytes")


def test_erets_without_a_barrier_are_found_by_line():
    program = assemble("nop\neret\ndsb nsh\nisb\neret\neret\ndsb ish\nisb\neret\n")
    assert [where for where, _ in unguarded(program)] == ["line 5", "line 9"]
    assert unguarded(assemble("nop\n")) == []


def by_bits(bit, index=0):
    """A tree of bit tests that leaves the address of function x0 in x10."""
    if index >= len(HYPERCALLS):
        return "b refuse\n"
    if bit < 0:
        return f"adr x10, {HYPERCALLS[index]}\nb found\n"
    label = f"bit{bit}_of_{index}"
    return (
        f"tbnz x0, #{bit}, {label}\n{by_bits(bit - 1, index)}"
        f"{label}: {by_bits(bit - 1, index | 1 << bit)}"
    )


# From a number below 14 in x0 to the function's address in x10, and the data for it.
WAYS = {
    "a tree of bits": (by_bits(3) + "found:", ""),
    "a chain of choices": (
        "".join(
            f"adr x9, {name}\ncmp x0, #{n}\ncsel x10, x9, x10, eq\n" if n else f"adr x10, {name}\n"
            for n, name in enumerate(HYPERCALLS)
        ),
        "",
    ),
    "a search": (
        "adr x10, table\n1: cbz x0, 2f\nadd x10, x10, #4\nsub x0, x0, #1\nb 1b\n2:",
        TABLE,
    ),
    "addresses on the stack": (
        "sub sp, sp, #112\n"
        + "".join(f"adr x9, {name}\nstr x9, [sp, #{8 * n}]\n" for n, name in enumerate(HYPERCALLS))
        + "ldr x10, [sp, x0, lsl #3]\nadd sp, sp, #112",
        "",
    ),
    "distances of 32 bits": (
        "adr x10, table\nldrsw x9, [x10, x0, lsl #2]\nadd x10, x10, x9",
        "table:\n" + "".join(f".word {name} - table\n" for name in HYPERCALLS),
    ),
    "a function of its own": (
        "str lr, [sp, #-16]!\nbl find\nldr lr, [sp], #16",
        "find: adr x10, table\nadd x10, x10, x0, lsl #2\nret\n" + TABLE,
    ),
    "registers of the host's, saved": (
        "stp x19, x20, [sp, #-16]!\nadr x19, table\nmov x20, x0\nadd x10, x19, x20, lsl #2\n"
        "ldp x19, x20, [sp], #16",
        TABLE,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_there_are_many_right_ways_to_a_function(way):
    find, data = WAYS[way]
    text = PLAIN.replace(
        "        adr     x10, table\n        add     x10, x10, x0, lsl #2\n", find + "\n"
    ).replace(TABLE, data)
    assert find in text and prove(text).instructions >= prove(PLAIN).instructions


def test_a_table_of_image_addresses_is_right_when_both_offsets_are_taken_away():
    text = (
        with_line(
            PLAIN,
            "str     lr",
            """\
ldr     x10, [x10]
        lm_alias x10, x11
        kern_hyp_va x10""",
        )
        .replace("x0, lsl #2", "x0, lsl #3")
        .replace(TABLE, PLACES)
    )
    assert prove(text).loads == prove(PLAIN).loads + 3


def test_registers_and_the_stack_may_be_used_freely():
    saved = with_line(
        PLAIN,
        "sub     x0, x0",
        "stp x29, x17, [sp, #-16]!\n        mov x29, sp\n        ldp x29, x17, [sp], #16",
    )
    hardened = with_line(
        PLAIN, "adr     x10", "sbc x11, xzr, xzr\n        and x0, x0, x11\n        csdb"
    )
    moved = with_line(
        PLAIN,
        "sub     x0, x0",
        "mov x9, x19\n        mov x19, x0\n        add x0, x19, #0\n        mov x19, x9",
    )
    shared = with_line(
        PLAIN,
        "sub     x0, x0",
        "stp x29, x0, [sp, #-16]!\n"
        "        ldr x9, [sp, #8]\n        add x0, x9, #0\n"
        "        ldp x29, x9, [sp], #16",
    )
    assert prove(saved).loads == prove(PLAIN).loads + 1
    assert prove(moved).instructions == prove(PLAIN).instructions + 4
    assert prove(shared).loads == prove(PLAIN).loads + 2
    assert prove(hardened).instructions == prove(PLAIN).instructions + 3


def test_a_text_that_says_it_equals_another_is_judged_by_its_characters():
    class Liar(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            return True

        def __str__(self):
            return PLAIN

    prove(PLAIN)
    with pytest.raises(Wrong, match="unknown instruction `frob`"):
        prove(Liar("frob x1"))
    assert prove(Liar(PLAIN)) == prove(PLAIN)


def test_wrong_use_is_told_in_a_sentence():
    with pytest.raises(Wrong, match="Expected the text of a dispatcher, a string; got None"):
        prove(None)
    with pytest.raises(Wrong, match=r"does not assemble: line 2, `frob x1`: unknown instruction"):
        prove("nop\nfrob x1\n")
    with pytest.raises(
        Wrong,
        match="line 2 of the machine's unit 'table', `kvm_hcall_table:`: "
        "label 'kvm_hcall_table' is also defined in unit 'dispatcher'",
    ):
        prove(PLAIN.replace("table", "kvm_hcall_table"))
    with pytest.raises(ValueError, match="no variant 'vhe'; there are: fnptr, numbered"):
        score_of("vhe")
