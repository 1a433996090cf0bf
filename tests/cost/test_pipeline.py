"""The pipeline model: what it reads in a word, which rules it follows, what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from hypkit import facts
from hypkit.a64.decode import decode
from hypkit.a64.effects import operation
from hypkit.comparison.ladder import CORES as JUDGED
from hypkit.comparison.ladder import REVIEW
from hypkit.cost import pipeline
from hypkit.cost.pipeline import Timing, simulate
from tests.dispatch_paths import WORDS, hundred

ADD_IMM = 0x91000400  # add x0, x0, #1
LDR = 0xF9400000  # ldr x0, [x0]
ROR = 0x93C07800  # ror x0, x0, #30
MOV_X9 = 0xD28000A9  # mov x9, #5
STR = 0xF9000041  # str x1, [x2]
LDP = 0xA9400440  # ldp x0, x1, [x2]
HVC = 0xD4000002
ERET = 0xD69F03E0
ISB = 0xD5033FDF
MRS = 0xD53C5200  # mrs x0, esr_el2


# --- What a word is -------------------------------------------------------------------------------

DECODED = [
    # word, text, class, reads, writes, base
    (0xF104001F, "cmp x0, #0x100", "alu", "x0", "nzcv", ""),
    (0xEB01001F, "cmp x0, x1", "alu_reg", "x0 x1", "nzcv", ""),
    (0xF240043F, "tst x1, #3", "alu", "x1", "nzcv", ""),
    (0xEA02003F, "tst x1, x2", "logical_flags", "x1 x2", "nzcv", ""),
    (0xFA521804, "ccmp x0, #0x12, #4, ne", "alu", "x0 nzcv", "nzcv", ""),
    (0xFA411004, "ccmp x0, x1, #4, ne", "alu", "x0 x1 nzcv", "nzcv", ""),
    (0x9A830041, "csel x1, x2, x3, eq", "alu", "x2 x3 nzcv", "x1", ""),
    (0x9A9F17E1, "cset x1, eq", "alu", "nzcv", "x1", ""),
    (0x9A030041, "adc x1, x2, x3", "alu", "x2 x3 nzcv", "x1", ""),
    (0x54000BEB, "b.lt .+0x17c", "branch", "nzcv", "", ""),
    (0xB4000BC3, "cbz x3, .+0x178", "branch", "x3", "", ""),
    (0x37200BA3, "tbnz w3, #4, .+0x174", "branch", "x3", "", ""),
    (0x14000000, "b .", "branch", "", "", ""),
    (0x94000000, "bl .", "call", "", "x30", ""),
    (0xD63F03C0, "blr x30", "call_reg", "x30", "x30", ""),
    (0xD61F0140, "br x10", "branch_reg", "x10", "", ""),
    (0xD65F03C0, "ret", "branch_reg", "x30", "", ""),
    (0x90000009, "adrp x9, .", "alu", "", "x9", ""),
    (0x1000000A, "adr x10, .", "alu", "", "x10", ""),
    (0xD28000A1, "mov x1, #5", "move", "", "x1", ""),
    (0x928004A0, "mov x0, #-0x26", "move", "", "x0", ""),
    (0xF2A000A1, "movk x1, #5, lsl #16", "alu", "x1", "x1", ""),
    (0xB24077E0, "mov x0, #0x3fffffff", "alu", "", "x0", ""),
    (0xAA0203E1, "mov x1, x2", "alu_reg", "x2", "x1", ""),
    (0x9100003F, "mov sp, x1", "alu", "x1", "sp", ""),
    (0x910043FF, "add sp, sp, #0x10", "alu", "sp", "sp", ""),
    (0x8B0A0129, "add x9, x9, x10", "alu_reg", "x9 x10", "x9", ""),
    (0x8B0A0D29, "add x9, x9, x10, lsl #3", "alu_lsl", "x9 x10", "x9", ""),
    (0x8B0A1529, "add x9, x9, x10, lsl #5", "alu_shift", "x9 x10", "x9", ""),
    (0x8B4A0D29, "add x9, x9, x10, lsr #3", "alu_shift", "x9 x10", "x9", ""),
    (0x8B2A4929, "add x9, x9, w10, uxtw #2", "alu_ext", "x9 x10", "x9", ""),
    (0x8B2A63E9, "add x9, sp, x10", "alu_ext", "sp x10", "x9", ""),
    (0xCB0103E0, "neg x0, x1", "alu_reg", "x1", "x0", ""),
    (0xAA032041, "orr x1, x2, x3, lsl #8", "logical_shift", "x2 x3", "x1", ""),
    (0x93CA794A, "ror x10, x10, #0x1e", "ror", "x10 x10", "x10", ""),
    (0x138A0D4A, "ror w10, w10, #3", "ror_w", "x10 x10", "x10", ""),
    (0x93C31441, "extr x1, x2, x3, #5", "extr", "x2 x3", "x1", ""),
    (0xD35AFC41, "lsr x1, x2, #0x1a", "shift", "x2", "x1", ""),
    (0x9AC32041, "lsl x1, x2, x3", "shift", "x2 x3", "x1", ""),
    (0xB37D0C41, "bfi x1, x2, #3, #4", "insert", "x1 x2", "x1", ""),
    (0x9B037C41, "mul x1, x2, x3", "mul64", "x2 x3", "x1", ""),
    (0x9B031041, "madd x1, x2, x3, x4", "mul64", "x2 x3 x4", "x1", ""),
    (0x9BC37C41, "umulh x1, x2, x3", "mulh", "x2 x3", "x1", ""),
    (0x9AC30841, "udiv x1, x2, x3", "div64", "x2 x3", "x1", ""),
    (0xDAC01041, "clz x1, x2", "alu", "x2", "x1", ""),
    (0xF9400529, "ldr x9, [x9, #8]", "load", "x9", "x9", ""),
    (0xF8677909, "ldr x9, [x8, x7, lsl #3]", "load_reg", "x8 x7", "x9", ""),
    (0x78677909, "ldrh w9, [x8, x7, lsl #1]", "load_reg_half", "x8 x7", "x9", ""),
    (0x78A74909, "ldrsh x9, [x8, w7, uxtw]", "load_reg_half", "x8 x7", "x9", ""),
    (0x38676909, "ldrb w9, [x8, x7]", "load_reg", "x8 x7", "x9", ""),
    (0x78277909, "strh w9, [x8, x7, lsl #1]", "store_reg_half", "x9 x8 x7", "", ""),
    (0x78402109, "ldurh w9, [x8, #2]", "load", "x8", "x9", ""),
    (0x58000009, "ldr x9, .", "load", "", "x9", ""),
    (0xF8408509, "ldr x9, [x8], #8", "load_wb", "x8", "x9", "x8"),
    (0xF8408D09, "ldr x9, [x8, #8]!", "load_wb", "x8", "x9", "x8"),
    (0x39400109, "ldrb w9, [x8]", "load", "x8", "x9", ""),
    (0xB9800109, "ldrsw x9, [x8]", "load", "x8", "x9", ""),
    (0xA9410861, "ldp x1, x2, [x3, #0x10]", "load_pair", "x3", "x1 x2", ""),
    (0xA8C10BE1, "ldp x1, x2, [sp], #0x10", "load_pair_wb", "sp", "x1 x2", "sp"),
    (0x29400861, "ldp w1, w2, [x3]", "load_pair_w", "x3", "x1 x2", ""),
    (0xF81F0FFE, "str x30, [sp, #-0x10]!", "store_wb", "x30 sp", "", "sp"),
    (0xA9BF07E0, "stp x0, x1, [sp, #-0x10]!", "store_pair_wb", "x0 x1 sp", "", "sp"),
    (0xF8227820, "str x0, [x1, x2, lsl #3]", "store_reg", "x0 x1 x2", "", ""),
    (0xF900003F, "str xzr, [x1]", "store", "x1", "", ""),
    (0xD503201F, "nop", "nop", "", "", ""),
    # No price: a class of "".
    (0xD53C5200, "mrs x0, esr_el2", "", "", "x0", ""),
    (0xD51CC001, "msr vbar_el2, x1", "", "x1", "", ""),
    (0xD53B4201, "mrs x1, nzcv", "", "nzcv", "x1", ""),
    (0xD51B4201, "msr nzcv, x1", "", "x1", "nzcv", ""),
    (0xD50342DF, "msr daifset, #2", "", "", "", ""),
    (0xD508871F, "tlbi vmalle1", "", "", "", ""),
    (0xC85F7C41, "ldxr x1, [x2]", "", "x2", "x1", ""),
    (0xF9800020, "prfm pldl1keep, [x1]", "", "x1", "", ""),
    (0x9E660020, "fmov x0, d1", "", "", "x0", ""),
    (0xFD400041, "ldr d1, [x2]", "", "x2", "", ""),
    (0x00000000, "udf #0", "", "", "", ""),
    (0xB9C00020, ".inst 0xb9c00020", "", "", "", ""),  # where a load would be: not allocated
    (0x69400861, "ldpsw x1, x2, [x3]", "", "x3", "x1 x2", ""),
    (0x88DFFC41, "ldar w1, [x2]", "", "x2", "x1", ""),
]


@pytest.mark.parametrize(
    ("word", "spelled", "kind", "reads", "writes", "base"), DECODED, ids=[d[1] for d in DECODED]
)
def test_a_word_is_read_for_class_and_registers(word, spelled, kind, reads, writes, base):
    op = operation(word)
    assert op.kind == kind
    assert [register for register, _ in op.reads] == reads.split()
    assert list(op.writes) == writes.split()
    assert op.base == base and not op.drains
    assert decode(word).text() == spelled


@pytest.mark.parametrize("word", [HVC, ERET, ISB, 0xD4000001, 0xD4000003, 0xD5033F9F, 0xD50330FF])
def test_exceptions_and_barriers_have_no_price_and_drain(word):
    assert operation(word).kind == "" and operation(word).drains


def test_words_of_any_integer_type_are_taken():
    words = np.array([ADD_IMM, LDR], dtype=np.uint32)
    assert simulate(words, "cortex-a57").rows == simulate([ADD_IMM, LDR], "cortex-a57").rows


@pytest.mark.parametrize("word", [-1, 1 << 32, "nop", 1.0, None, True])
def test_what_is_no_word_is_refused(word):
    with pytest.raises(
        ValueError, match="expected an A64 instruction, one word of 0 to 0xffffffff; got "
    ):
        simulate([ADD_IMM, word], "cortex-a57")


def test_an_unknown_core_is_refused_with_the_names_there_are():
    with pytest.raises(KeyError, match="no core 'm1'; there are: ideal, cortex-a55"):
        simulate([ADD_IMM], "m1")


# --- The rules ------------------------------------------------------------------------------------


def waits(words, core):
    return [(row.issue, row.ready, row.waits, row.on) for row in simulate(words, core).rows]


def test_no_instructions_take_no_time():
    nothing = simulate([], "cortex-a55")
    assert (nothing.cycles, nothing.rows, nothing.critical) == (0, (), ())


def test_an_operand_is_waited_for_as_long_as_its_maker_takes():
    assert waits([LDR, ADD_IMM], "cortex-a57") == [(0, 4, "", None), (4, 5, "x0 from 0", 0)]


def test_an_in_order_core_forwards_a_result_between_alu_instructions():
    assert waits([ADD_IMM, ADD_IMM], "cortex-a55")[1] == (1, 4, "x0 from 0", 0)


def test_an_operand_that_must_be_shifted_is_needed_a_cycle_sooner():
    shifted = 0x8B000C22  # add x2, x1, x0, lsl #3
    assert waits([ADD_IMM, shifted], "cortex-a55")[1] == (2, 5, "x0 from 0", 0)


def test_an_in_order_core_does_not_forward_into_an_address():
    assert waits([ADD_IMM, LDR], "cortex-a55")[1] == (3, 6, "x0 from 0", 0)


def test_a_rotation_is_three_cycles_on_an_a57_and_one_on_a_neoverse_n1():
    assert simulate([ROR], "cortex-a57").cycles == 3
    assert simulate([ROR], "neoverse-n1").cycles == 1


def test_only_so_many_micro_ops_enter_in_a_cycle():
    movs = [0xD2800000 | n for n in range(4)]  # mov x0..x3, #0
    assert [w[0] for w in waits(movs, "cortex-a55")] == [0, 0, 1, 1]
    assert waits(movs, "cortex-a55")[2][2:] == ("width", 1)
    # Three enter, but there are two pipes; the fourth enters in the next cycle.
    assert [w[0] for w in waits(movs, "cortex-a57")] == [0, 0, 1, 1]
    assert waits(movs, "cortex-a57")[2][2:] == ("pipe integer", 0)


def test_a_full_pipe_is_waited_for():
    loads = [0xF9400001, 0xF9400402, 0xF9400803]  # ldr x1..x3 from x0
    assert [w[0] for w in waits(loads, "cortex-a57")] == [0, 1, 2]
    assert waits(loads, "cortex-a57")[2][2:] == ("pipe load", 1)
    assert [w[0] for w in waits(loads, "neoverse-n1")] == [0, 0, 1]


def test_a_pipe_that_thousands_wait_for_is_given_to_each_in_turn():
    divide = 0x9AC30841  # udiv x1, x2, x3: holds the one pipe of its kind for 35 cycles
    timing = simulate([divide] * 3000, "cortex-a57")
    assert timing.cycles == timing.bounds["multi"] == 35 * 3000
    assert [(row.issue, row.waits, row.on) for row in timing.rows] == [
        (35 * n, "pipe multi" if n else "", n - 1 if n else None) for n in range(3000)
    ]


def test_a_short_instruction_slips_into_a_gap_that_is_too_short_for_a_longer_one():
    late = [LDR, 0xA9000400]  # stp x0, x1, [x0]: holds the store pipe in cycles 4 and 5
    pair = 0xA9001043  # stp x3, x4, [x2]
    rows = waits([*late, pair, pair, STR], "cortex-a57")
    assert [row[0] for row in rows] == [0, 4, 1, 6, 3]
    assert rows[3][2:] == ("pipe store", 1) and rows[4][2:] == ("pipe store", 2)


def test_a_path_that_takes_long_is_timed_with_a_bar_and_to_the_same_cycle(monkeypatch):
    words = [*WORDS["numbered"]] * 3
    plain = simulate(words, "cortex-a72")
    monkeypatch.setattr(pipeline, "LONG", 1)
    assert simulate(words, "cortex-a72") == plain


def test_out_of_order_a_later_instruction_overtakes_one_that_waits():
    rows = waits([LDR, ADD_IMM, MOV_X9], "cortex-a57")
    assert rows[1][0] == 4 and rows[2][0] == 0


def test_in_order_nothing_overtakes():
    assert waits([LDR, ADD_IMM, MOV_X9], "cortex-a55")[2] == (3, 6, "older result", 1)


def test_in_order_a_quick_result_waits_for_a_slow_older_one():
    branch = 0x14000000
    assert waits([ADD_IMM, branch], "cortex-a55")[1] == (2, 3, "older result", 0)


def test_in_order_a_store_need_not_wait_for_an_older_result():
    assert waits([ADD_IMM, STR], "cortex-a55")[1][0] == 0


def test_the_second_register_of_a_pair_comes_later_on_an_a55():
    use_first, use_second = 0x91000403, 0x91000423  # add x3, x0, #1; add x3, x1, #1
    assert waits([LDP, use_first], "cortex-a55")[1][0] == 4
    assert waits([LDP, use_second], "cortex-a55")[1][0] == 5


def test_a_written_back_address_is_there_before_the_loaded_value():
    pop, again = 0xF84107E1, 0x910003E2  # ldr x1, [sp], #16; mov x2, sp
    assert waits([pop, again], "cortex-a57")[1][0] == 1


def test_the_zero_register_is_never_waited_for():
    into_zero, from_zero = 0xF940001F, 0x8B1F03E1  # ldr xzr, [x0]; add x1, xzr, xzr
    assert waits([into_zero, from_zero], "cortex-a57")[1][0] == 0


def test_flags_are_waited_for_like_any_register():
    assert waits([0xF104001F, 0x5400000B], "cortex-a57")[1] == (1, 2, "nzcv from 0", 0)


# --- What has no price ----------------------------------------------------------------------------


def test_a_system_register_costs_nothing_here_and_is_listed():
    lsr = 0xD35AFC01  # lsr x1, x0, #26
    timing = simulate([MRS, lsr], "cortex-a57")
    assert timing.unpriced == (0,)
    assert timing.cycles == 1
    assert not timing.rows[0].priced and timing.rows[1].priced
    assert "1 without a price" in repr(timing)


def test_a_system_register_read_still_cuts_the_old_value_off():
    # x0 is loaded, then overwritten by MRS: its reader does not wait for the load.
    assert waits([LDR, MRS, ADD_IMM], "cortex-a57")[2][0] == 0


@pytest.mark.parametrize("core", JUDGED)
@pytest.mark.parametrize("word", [HVC, ERET, ISB])
def test_nothing_starts_before_all_is_done_ahead_of_a_hypercall(core, word):
    load = simulate([LDR], core).cycles
    timing = simulate([LDR, word, MOV_X9], core)
    assert timing.unpriced == (1,)
    assert timing.rows[2].issue == load
    assert timing.rows[2].waits == "all before it" and timing.rows[2].on == 1
    assert timing.critical == (0, 1, 2)


@pytest.mark.parametrize("core", JUDGED)
def test_the_parts_before_and_after_a_hypercall_add_up(core):
    before, after = WORDS["reviewed"], WORDS["jump_table"]
    whole = simulate([*before, HVC, *after], core)
    assert whole.cycles == simulate(before, core).cycles + simulate(after, core).cycles


def test_the_ideal_core_has_no_price_for_a_multiplication():
    assert simulate([0x9B037C41], "ideal").unpriced == (0,)


# --- What it gives --------------------------------------------------------------------------------


def test_a_timing_is_one_line():
    assert repr(simulate(WORDS["numbered"], "cortex-a57")) == (
        "Timing(cortex-a57: 34 cycles for 25 instructions, all priced, critical path of 17)"
    )


def test_the_table_has_a_row_for_each_instruction_and_marks_the_critical_path():
    timing = simulate([LDR, MOV_X9, MRS, HVC], "cortex-a57")
    assert Timing.columns == (
        "#",
        "instruction",
        "class",
        "issue",
        "ready",
        "waits for",
        "critical",
    )
    assert timing.table() == [
        (0, "ldr x0, [x0]", "load", 0, 4, "", "*"),
        (1, "mov x9, #5", "move", 0, 1, "", ""),
        (2, "mrs x0, esr_el2", "no price", 0, 0, "", ""),
        (3, "hvc #0", "no price", 4, 4, "all before it", ""),
    ]


@pytest.mark.parametrize("core", ["ideal", *JUDGED])
@pytest.mark.parametrize("path", WORDS)
def test_the_critical_path_leads_from_the_start_to_the_end(path, core):
    timing = simulate(WORDS[path], core)
    rows = [timing.rows[i] for i in timing.critical]
    assert list(timing.critical) == sorted(timing.critical)
    assert rows[0].on is None and rows[-1].ready == timing.cycles
    for before, after in zip(rows, rows[1:], strict=False):
        assert after.on == before.index and before.issue <= after.issue


@pytest.mark.parametrize("core", ["ideal", *JUDGED])
@pytest.mark.parametrize("path", WORDS)
def test_no_bound_is_above_the_time_itself(path, core):
    timing = simulate(WORDS[path], core)
    assert 1 <= max(timing.bounds.values()) <= timing.cycles


# --- What the story says --------------------------------------------------------------------------


def test_the_patch_as_posted_took_25_instructions_and_4_loads():
    rows = simulate(WORDS["numbered"], "ideal").rows
    assert len(rows) == 25
    assert sum(row.kind.startswith("load") for row in rows) == 4
    assert len(WORDS["fnptr"]) == 5


@pytest.mark.parametrize(
    ("path", "cycles"),
    [
        ("fnptr", 5),
        ("numbered", 23),
        ("adr_l", 13),
        ("cached", 22),
        ("reviewed", 13),
        ("jump_table", 3),
        ("patched", 13),
        ("relocated", 6),
    ],
)
def test_on_an_ideal_core_only_the_longest_chain_counts(path, cycles):
    timing = simulate(WORDS[path], "ideal")
    assert timing.cycles == timing.bounds["chain"] == cycles


def test_more_of_the_ladder_is_paid_in_order_than_out_of_order():
    """Once adr_l is there, a kept offset saves nothing on an ideal core, six cycles in order."""
    _, _, found, kept, *_ = REVIEW
    assert (found, kept) == ("numbered+enum+adr_l", "numbered+enum+adr_l+cached")
    assert simulate(WORDS[found], "ideal").cycles == simulate(WORDS[kept], "ideal").cycles
    assert (
        simulate(WORDS[found], "cortex-a55").cycles - simulate(WORDS[kept], "cortex-a55").cycles
    ) == 6


def test_only_smccc_has_an_instruction_without_a_price():
    unpriced = {path for path in WORDS if simulate(WORDS[path], "cortex-a57").unpriced}
    assert unpriced == {"smccc", "smccc, call"}


# --- Without the judge ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "figure", facts.mca_figures(), ids=lambda f: f"{f.core}, {f.path}, LLVM {f.llvm}"
)
def test_the_model_is_within_its_tolerance_of_what_llvm_mca_said(figure):
    core = figure.core if figure.own else figure.table
    cycles = simulate(WORDS[figure.path], core).cycles
    assert abs(cycles - figure.cycles) <= max(2, figure.cycles / 10)
    many = hundred(figure.path, core)
    assert abs(many - figure.hundred) <= max(5, figure.hundred / 10)


def test_every_path_and_core_has_a_figure_of_its_own_table():
    have = {(f.path, f.core) for f in facts.mca_figures() if f.own}
    assert have == {(path, core) for path in WORDS for core in JUDGED}


def test_data_mca_toml_says_truly_where_the_two_differ():
    off = {
        (f.path, f.core): simulate(WORDS[f.path], f.core).cycles - f.cycles
        for f in facts.mca_figures()
        if f.own
    }
    assert {case: cycles for case, cycles in off.items() if cycles} == {
        ("smccc", "cortex-a55"): -1,
        ("smccc, call", "cortex-a55"): -1,
    }
    assert simulate(WORDS["smccc"], "cortex-a55").cycles == 46
    assert simulate(WORDS["smccc, call"], "cortex-a55").cycles == 49
