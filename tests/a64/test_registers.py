"""The A64 facts: encodings by GNU as, syndromes and fields by worked examples."""

import random

import pytest

from hypkit.a64 import pstate, syndrome, sysregs
from hypkit.a64.syndrome import esr_text, exception_text
from hypkit.a64.sysregs import FIELDS, SYSREGS, Encoding, decode_sysreg_move, fields, sysreg
from tests.judges import find, judged
from tests.oracle import disassembly

# --- System registers ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Lower-case name -> the word of MRS x7 from it, by GNU as, or recorded where it is missing."""
    if not find("as"):
        rows = [(text, word) for text, word, _ in disassembly.recorded()]
    else:
        texts = [f"mrs x7, {name.lower()}" for name in SYSREGS]
        folder = tmp_path_factory.mktemp("sysregs")
        rows = [
            *zip(
                texts,
                (word for word, _ in disassembly.disassembled("\n".join(texts) + "\n", folder)),
                strict=True,
            )
        ]
        judged("system register encodings equal to GNU as", len(rows))
    return {text.split(", ")[1]: word & ~31 | 7 for text, word in rows if text.startswith("mrs ")}


@pytest.mark.parametrize("name", SYSREGS)
def test_a_registers_encoding_is_the_one_gnu_as_uses(words, name):
    assert decode_sysreg_move(words[name.lower()]) == ("mrs", SYSREGS[name], 7)


def test_no_two_registers_share_an_encoding():
    assert len(sysregs.SYSREG_NAMES) == len(SYSREGS)


def test_moves_of_any_register_come_back_from_their_words():
    draw = random.Random(4)
    for _ in range(200):
        encoding = Encoding(
            draw.choice((2, 3)),
            draw.randrange(8),
            draw.randrange(16),
            draw.randrange(16),
            draw.randrange(8),
        )
        kind, rt = draw.choice(("mrs", "msr")), draw.randrange(32)
        op0, op1, crn, crm, op2 = encoding
        word = int(
            f"1101010100{kind == 'mrs':b}{op0:02b}{op1:03b}{crn:04b}{crm:04b}{op2:03b}{rt:05b}", 2
        )
        assert decode_sysreg_move(word) == (kind, encoding, rt)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("msr daifset, #2", 0xD50342DF),
        ("tlbi vmalle1", 0xD508871F),
        ("at s1e2r, x1", 0xD50C7801),
        ("isb", 0xD5033FDF),
        ("nop", 0xD503201F),
        ("hvc #0", 0xD4000002),
        ("nothing", 0),
    ],
)
def test_other_system_instructions_move_no_register(text, word):
    assert decode_sysreg_move(word) is None


def test_an_encoding_has_a_name_that_every_assembler_takes():
    assert SYSREGS["ICH_VTR_EL2"].generic == "s3_4_c12_c11_1"
    assert SYSREGS["ICH_LR15_EL2"].generic == "s3_4_c12_c13_7"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("ESR_EL2", "ESR_EL2"),
        ("esr_el2", "ESR_EL2"),
        ("currentel", "CurrentEL"),
        ("CURRENTEL", "CurrentEL"),
        ("Ich_Lr3_El2", "ICH_LR3_EL2"),
    ],
)
def test_a_registers_name_is_known_in_any_case(given, name):
    assert sysreg(given) == name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ESR_EL4", "no system register 'ESR_EL4' is known here; the nearest known one is ESR_EL"),
        (
            "vtbr_el2",
            "no system register 'vtbr_el2' is known here; the nearest known one is VTTBR_EL2",
        ),
        (
            "current_el",
            "no system register 'current_el' is known here; the nearest known one is CurrentEL",
        ),
        ("?", "no system register '?' is known here"),
        (None, "no system register None is known here"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_the_nearest(given, message):
    with pytest.raises(KeyError) as caught:
        sysreg(given)
    assert caught.value.args[0].startswith(message)
    assert ("nearest" in message) == ("nearest" in caught.value.args[0])


# --- Fields --------------------------------------------------------------------------------


@pytest.mark.parametrize("register", FIELDS)
def test_fields_stand_high_bit_first_and_do_not_overlap(register):
    bits = [(high, low) for _, high, low, _ in FIELDS[register]]
    assert all(63 >= high >= low >= 0 for high, low in bits)
    assert all(low > below for (_, low), (below, _) in zip(bits, bits[1:], strict=False))
    names = [name for name, *_ in FIELDS[register]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("register", FIELDS)
def test_fields_are_recorded_for_registers_that_exist(register):
    candidates = [register] if register[-1] != "x" else [register[:-1] + el for el in "12"]
    assert all(name in SYSREGS for name in candidates)


@pytest.mark.parametrize(
    ("register", "value", "expected"),
    [
        ("ESR_EL2", 0x5A001234, {"EC": 0x16, "IL": 1, "ISS": 0x1234}),
        ("esr_el1", 0x96000044, {"EC": 0x25, "IL": 1, "ISS": 0x44}),
        (
            "SPSR_EL2",
            0x600003C5,
            {"N": 0, "Z": 1, "C": 1, "V": 0, "D": 1, "A": 1, "I": 1, "F": 1, "M": 5},
        ),
        ("HCR_EL2", 0x80000001, {"E2H": 0, "RW": 1, "TGE": 0, "TWI": 0, "VM": 1}),
        (
            "SCTLR_EL2",
            1 << 44 | 0x1005,
            {"DSSBS": 1, "WXN": 0, "I": 1, "SA": 0, "C": 1, "A": 0, "M": 1},
        ),
        ("VTTBR_EL2", 1 << 48 | 0x4040_4000, {"VMID": 1, "BADDR": 0x2020_2000, "CnP": 0}),
        ("VBAR_EL2", 0x9656_C028_5000, {"BASE": 0x9656_C028_5000 >> 11}),
        ("HPFAR_EL2", 0x90_0000, {"FIPA": 0x90000}),
    ],
)
def test_a_value_is_taken_apart_by_its_registers_fields(register, value, expected):
    assert {name: number for name, number, _ in fields(register, value)} == expected


def test_a_register_without_recorded_fields_has_none_and_an_unknown_one_is_refused():
    assert fields("TPIDR_EL2", 5) == fields("CurrentEL", 8) == []
    with pytest.raises(KeyError, match="no system register 'ESR'"):
        fields("ESR", 0)


# --- PSTATE, exceptions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "el", "flags", "mode"),
    [
        (0x400003C9, 2, "-Z--", "EL2h"),
        (0x3C5, 1, "----", "EL1h"),
        (0xF0000000, 0, "NZCV", "EL0t"),
        (0xA0000004, 1, "N-C-", "EL1t"),
        (0x1000000D, 3, "---V", "EL3h"),
    ],
)
def test_pstate_says_level_flags_and_mode(value, el, flags, mode):
    assert pstate.el_of(value) == el
    assert pstate.nzcv_text(value) == flags
    assert sysregs.PSTATE_MODES[value & 15] == mode


def test_the_modes_the_guest_uses_are_those_of_pstate_modes():
    assert sysregs.PSTATE_MODES[pstate.PSTATE_EL1H] == "EL1h"
    assert sysregs.PSTATE_MODES[pstate.PSTATE_EL2H] == "EL2h"
    assert pstate.PSTATE_DAIF == 0b1111 << 6


@pytest.mark.parametrize(
    ("esr", "text"),
    [
        (0x5A000000, "HVC from AArch64, immediate 0x0"),
        (0x5A001234, "HVC from AArch64, immediate 0x1234"),
        (0x4A000001, "HVC from AArch32, immediate 0x1"),
        (0x56000007, "SVC from AArch64, immediate 0x7"),
        (0x5E000000, "SMC from AArch64, immediate 0x0"),
        (0xF2000BAD, "BRK instruction, immediate 0xbad"),
        (0x02000000, "undefined instruction"),
        (0x1FE00000, "access to SVE, SIMD or floating point"),
        (0x62300001, "trapped MSR, MRS or system instruction"),
        (0x8A000000, "PC alignment fault"),
        (0x9A000000, "SP alignment fault"),
        (0x3A000000, "illegal execution state"),
        (0x82000007, "instruction abort from a lower exception level: translation fault, level 3"),
        (0x8600000F, "instruction abort, same exception level: permission fault, level 3"),
        (0x92000046, "data abort from a lower exception level: translation fault, level 2 (write)"),
        (0x96000004, "data abort, same exception level: translation fault, level 0 (read)"),
        (0x9600004F, "data abort, same exception level: permission fault, level 3 (write)"),
        (0x96000009, "data abort, same exception level: access flag fault, level 1 (read)"),
        (0x96000000, "data abort, same exception level: address size fault, level 0 (read)"),
        (0x96000061, "data abort, same exception level: alignment fault (write)"),
        (0x96000010, "data abort, same exception level: fault status 0x10 (read)"),
        (0xBE000000, "exception class 0x2f"),
    ],
)
def test_a_syndrome_is_put_into_words(esr, text):
    assert esr_text(esr) == text


@pytest.mark.parametrize(
    ("esr", "text"),
    [
        (0x02000000, "undefined instruction"),
        (0x5A000010, "HVC from AArch64, immediate 0x10"),
        (0x8A000000, "PC alignment fault, FAR_EL2 0x1003"),
        (0x9A000000, "SP alignment fault"),
        (0x96000061, "data abort, same exception level: alignment fault (write), FAR_EL2 0x1003"),
        (
            0x82000007,
            "instruction abort from a lower exception level: translation fault, level 3, "
            "FAR_EL2 0x1003",
        ),
    ],
)
def test_an_address_is_told_only_of_an_exception_that_wrote_one(esr, text):
    assert exception_text(esr, 0x1003, "FAR_EL2") == text


def test_fault_status_codes_are_read_as_their_constants_are_called():
    assert [
        syndrome.fault_text(code | 2)
        for code in (syndrome.FSC_TRANSLATION, syndrome.FSC_ACCESS_FLAG, syndrome.FSC_PERMISSION)
    ] == ["translation fault, level 2", "access flag fault, level 2", "permission fault, level 2"]
    assert syndrome.fault_text(syndrome.FSC_ALIGNMENT) == "alignment fault"


def test_every_exception_class_with_a_number_of_its_own_has_a_name():
    classes = {
        value
        for name, value in vars(syndrome).items()
        if name.startswith("EC_") and isinstance(value, int)
    }
    assert classes == set(syndrome.EC_NAMES)


def test_vector_slots_fill_a_table_of_2_kib():
    offsets = (
        syndrome.VECTOR_SAME_SP0,
        syndrome.VECTOR_SAME_SPX,
        syndrome.VECTOR_LOWER_A64,
        syndrome.VECTOR_LOWER_A32,
    )
    assert [offset // (4 * syndrome.VECTOR_SLOT) for offset in offsets] == [0, 1, 2, 3]
    assert syndrome.VECTOR_LOWER_A64 == 0x400
