"""Learners' headers: compiled as C does it, refused in a sentence, and machines built from them."""

import pickle
import re
import time
from contextlib import contextmanager

import pytest

from hypkit import AsmError, Machine, asm, header
from hypkit.header import DEFINES, ENUM, HeaderError, front_end, preprocess, read_header
from hypkit.kernel import memory_map, programs, variants
from hypkit.kernel.variants import HYPERCALLS, SPARE, VARIANTS, variant
from tests import clang_here
from tests.oracle import gnu
from tests.scenarios import ARGUMENTS

NUMBERS, LIST = "kvm_hcalls.h", "kvm_hcall_list.h"
TEXT = DEFINES[NUMBERS]
ENOSYS = -38 & (1 << 64) - 1
NEW = SPARE[0]


@pytest.fixture(autouse=True, scope="module")
def kept_clang():
    """The child that the tests share ends with them."""
    yield
    clang_here.close()


@pytest.fixture
def inside(monkeypatch):
    """One child for all: many texts in little time."""
    monkeypatch.setattr(front_end, "opened", clang_here.opened)


def with_call(name=NEW, index=14, size=15, listed=True, text=TEXT):
    """The list of #defines with one call more."""
    entry = f"#define KVM_HOST_HCALL_IDX_{name} {index}\n"
    entry += f"KVM_HOST_HCALL({name})\n" if listed else ""
    last = "\n#define KVM_HOST_HCALL_SIZE "
    text = text.replace(f"{last}14", f"{entry}{last}{size}")
    assert entry in text
    return text


def enumerated(list_text, first="", base="0x100"):
    numbers = ENUM[NUMBERS].replace("enum kvm_host_hcall {", "enum kvm_host_hcall {" + first)
    return {NUMBERS: numbers.replace("BASE 0x100", f"BASE {base}"), LIST: list_text}


def listing(names):
    return "".join(f"KVM_HOST_HCALL({name})\n" for name in names)


# What a header says.


@pytest.mark.parametrize("files", [DEFINES, TEXT, ENUM], ids=["defines", "text", "enum"])
def test_both_styles_number_the_calls_as_the_patch_does(files):
    found = read_header(files)
    assert found.numbers == variant("numbered").numbers
    assert found.slots == HYPERCALLS
    assert (found.numbering.base, found.numbering.end, found.warnings) == (0x100, 0x10E, ())


def test_a_hand_written_enum_beside_its_list_works_in_one_file(inside):
    names = ", ".join(f"KVM_HOST_HCALL_IDX_{name}" for name in HYPERCALLS)
    text = (
        f"#ifndef KVM_HOST_HCALL\nenum {{ {names}, KVM_HOST_HCALL_SIZE }};\n"
        "#define KVM_HOST_HCALL_NR(name) (KVM_HOST_HCALL_IDX_##name)\n#else\n"
        f"{listing(HYPERCALLS)}#endif\n"
    )
    found = read_header(text)
    assert found.numbers == {name: n for n, name in enumerate(HYPERCALLS)}
    assert (found.numbering.base, found.numbering.end) == (0, 14)


def test_what_c_counts_is_counted_as_c_does(inside):
    text = with_call(
        index="(1 << 3 | 6) + plain(0)", size="(MORE ? -1 : 7 * 5 % 18 - ~0 - 010 / 4 + 'a' - 0x61)"
    )
    text = "#define plain(x) (x)\n#define MORE (0x10UL > 020 && 1 / 0)\n" + text
    found = read_header(text)
    assert len(found.slots) == 16 and found.slots[14:] == (NEW, None)
    # Without its parentheses the ?: takes what stands before it along, and C is not to blame.
    with pytest.raises(HeaderError, match="BASE is -257|SIZE"):
        read_header(TEXT.replace("SIZE 14", "SIZE 1 ? 14 : 0").replace("BASE 0x100", "BASE -0x101"))


@pytest.mark.parametrize(("text", "value"), [
    ("~0U", 0xFFFF_FFFF), ("~0UL >> 1", (1 << 63) - 1), ("1U << 31", 1 << 31),
    ("1UL << 40", 1 << 40), ("-1 > 0U", 1), ("-1 > 0UL", 1), ("-1L > 0U", 0),
    ("3U - 4", 0xFFFF_FFFF), ("-7 / 2", -3), ("-7 % 2", -1), ("0x80000000 + 0x80000000", 0),
    ("2147483648 + 2147483648", 1 << 32), ("(char)-1", 255), ("(signed char)255", -1),
    ("(short)0x18000", -0x8000), ("(int)0xffffffff", -1), ("(unsigned long)-1 - ~0UL", 0),
    ("1 ? -1 : 0U", 0xFFFF_FFFF), ("0 ? 1 / 0 : 5", 5), ("010 + 'a'", 105),
])  # fmt: skip
def test_numbers_have_the_types_that_c_gives_them_on_arm64(text, value, inside):
    """As gcc -funsigned-char counts them."""
    found = read_header(with_base(f"({text}) < 0 ? -1L * ({text}) : ({text})"))
    assert found.numbering.base == abs(value)
    assert read_header(with_base(f"({text}) < 0")).numbering.base == (value < 0)


@pytest.mark.parametrize(("text", "value"), [
    ("HEX(100)", 0x100), ("JOIN(0x1, 00)", 0x100), ("'\\n'", 10), ("'\\x41'", 65), ("'\\0'", 0),
    ("L'a'", 97), ("sizeof(long)", 8), ("(u64)1 << 40", 1 << 40), ("IN_A_STRUCT", 7),
    ("1 ?: 2", 1), ("BIG + 0x39FFFFFF", 0), ("~BIG", 0x39FFFFFE), ("BIG << 4", 0x60000010),
    ("-BIG", 0x39FFFFFF), ("sizeof(int[3]) / sizeof(int)", 3), ("AFTER", 8), ("0b101", 5),
    ("__LONG_MAX__ >> 62", 1), ("(int)3.9", 3), ("__builtin_constant_p(3)", 1),
])  # fmt: skip
def test_what_our_own_evaluator_got_wrong_is_as_gcc_has_it(text, value, inside):
    """Preprocessing numbers, characters, sizes, casts, enumerators above INT_MAX, GNU's forms."""
    found = read_header(with_base(text))
    assert (found.numbering.base, found.slots) == (value, HYPERCALLS)


@pytest.mark.parametrize("condition", [
    "-7 % 3 == -1", "7 % -3 == 1", "-8 % 3 == -2", "0x8000000000000000 > 0",
    "0xffffffffffffffff >> 63 == 1", "01777777777777777777777 > 0",
    "9223372036854775807 / 3 == 3074457345618258602", "D", "__STDC_VERSION__ >= 201112L",
    "__STDC__", "defined(__GNUC__)", "!defined(__clang__)", "defined(__aarch64__)",
    '__has_include("kvm_hcalls.h")', '!__has_include("/etc/passwd")', "__SIZEOF_LONG__ == 8",
    "__INT_MAX__ == 2147483647", "1ULL", "(1ULL << 63) > 0", "-1 > 0u", "!defined(__ASSEMBLER__)",
    "'a' == 97", "1 ? 1 : 1 / 0 + 1 || 1",
])  # fmt: skip
def test_a_condition_takes_the_branch_that_gcc_takes(condition, inside):
    text = (
        f"#define E\n#define D defined(E)\n#if {condition}\n#define YES 1\n#else\n#define YES 2\n"
    )
    assert read_header(text + "#endif\n" + with_base("YES")).numbering.base == 1


def test_elifdef_is_taken_and_a_comment_goes_on_over_a_backslash(inside):
    text = "#if 0\n#elifdef Q\n#define YES 1\n#elifndef Q\n#define YES 2\n#endif\n"
    assert read_header(text + with_base("YES")).numbering.base == 2
    text = "#define YES 3\n// old files: C:\\\n#define YES 4\n#undef Y\\\nES2\n"
    assert read_header(text + with_base("YES")).numbering.base == 3


@pytest.mark.parametrize("condition", ["E", "sizeof(int) == 4", "NO(1)", "1 2"])
def test_a_condition_that_gcc_does_not_take_is_a_mistake(condition, inside):
    with pytest.raises(HeaderError) as caught:
        read_header(f"#define E\n#if {condition}\n#endif\n" + TEXT)
    assert caught.value.line == 2


RUN = "KVM_HOST_HCALL_NR(__kvm_vcpu_run_nvhe)"
GUARDS = (
    "typedef char guard[{} ? 1 : -1];", "extern char guard[1 - 2 * !({})];",
    "struct g {{ int x : {} ? 1 : -1; }};", "struct g {{ int : {} ? 1 : -1; }};",
    "static inline void f(int x) {{ switch (x) {{ case 0: case {}: ; }} }}",
    "enum {{ guard = 1 / ({}) }};", 'static_assert({}, "moved");', "static_assert({});",
    "BUILD_BUG_ON(!({}));", "static inline void f(void) {{ BUILD_BUG_ON(!({})); }}",
    'BUILD_BUG_ON_MSG(!({}), "moved");', "int a[BUILD_BUG_ON_ZERO(!({})) + 1];",
    '_Static_assert({}, "moved");', 'struct s {{ _Static_assert({}, "moved"); int a; }};',
    "static void f(void) {{ _Static_assert({}); }}",
    "#define BUILD_BUG_ON(c) ((void)sizeof(char[1 - 2*!!(c)]))\n"
    "static void f(void) {{ BUILD_BUG_ON(!({})); }}",
)  # fmt: skip


@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_that_stops_gcc_stops_the_kit(guard, inside):
    """The kernel's old BUILD_BUG_ON forms, its macros of today, and C's own assertion."""
    good = read_header(ENUM | {NUMBERS: f"{ENUM[NUMBERS]}{guard.format(f'{RUN} == 0x105')}\n"})
    assert good.slots == HYPERCALLS and not good.warnings
    with pytest.raises(HeaderError) as caught:
        read_header(ENUM | {NUMBERS: f"{ENUM[NUMBERS]}{guard.format(f'{RUN} == 0x106')}\n"})
    error = caught.value
    assert error.line > 12 and not error.message.startswith("the C compiler says"), error
    assert re.search(
        "static assertion failed|negative|two cases of one value|division by zero", error.message
    )


@pytest.mark.parametrize("line", [
    "enum e { AA } x, y;", "enum __attribute__((packed)) z { Z };", "typedef enum { T } t;",
    "enum { ZZ } __attribute__((packed));", "struct s { enum { IN } e; };", "__extension__ enum { X };",
    "static inline int f(void) { return 14; }", "void __kvm_enable_ssbs(void);",
    "extern unsigned __kvm_get_mdcr_el2(void);", '__asm__("nop");', "#line 7",
])  # fmt: skip
def test_c_of_the_kernel_is_taken(line, inside):
    for text in (f"{line}\n{ENUM[NUMBERS]}", f"{ENUM[NUMBERS]}{line}\n"):
        found = read_header(ENUM | {NUMBERS: text})
        assert found.slots == HYPERCALLS and not found.warnings


@pytest.mark.parametrize("line", [
    "enum { A = };", "enum { A = , B };", "enum { A = 1 + };", "int x = ;", "enum { A = sizeof };",
    "int a[] = { 1, = };", "_Static_assert();", "enum { B = 1 ? 2 : NO_SUCH };",
    "enum { B = 0 && NO_SUCH };", "enum { B = 1 || NO_SUCH };", "enum { A, B C };", "}", "struct {",
    "int x", "enum { A = 08 };", "typedef foo bar;", "int a[-1];", "enum { A = 1.5 };",
    "int f(int;", "const int n = 5; enum { A = n };", "enum { A = (1, 2) };", "@",
])  # fmt: skip
def test_a_mistake_of_any_kind_is_told_with_its_line(line, inside):
    with pytest.raises(HeaderError) as caught:
        read_header(f"{ENUM[NUMBERS]}{line}\n" if line in ("struct {", "int x") else
                    ENUM | {NUMBERS: f"{ENUM[NUMBERS]}{line}\n"})  # fmt: skip
    assert (caught.value.line, caught.value.text) == (13, line) or "only files" in str(caught.value)


@pytest.mark.parametrize(
    "guard", [f'_Static_assert({RUN} == 0x105, "m");', f"BUILD_BUG_ON({RUN});"]
)
def test_a_macro_that_is_used_before_its_define_is_told_so(guard, inside):
    with pytest.raises(HeaderError) as caught:
        read_header(ENUM | {NUMBERS: f"{guard}\n{ENUM[NUMBERS]}"})
    assert caught.value.line == 1 and (
        "KVM_HOST_HCALL_NR is not defined yet at this line: its #define comes later, in line 13"
        in caught.value.message
    )


@pytest.mark.parametrize("line", [
    '#include "/etc/passwd"', "#include </etc/passwd>", '#include "../../../../etc/passwd"',
    '#include_next "/etc/passwd"', '#import "/etc/passwd"', '#pragma GCC dependency "/etc/passwd"',
    '#define F "/etc/passwd"\n#include F', "#include <stdint.h>", '#embed "/etc/passwd"',
])  # fmt: skip
def test_no_file_of_this_computer_is_read(line, inside):
    with pytest.raises(HeaderError, match="there is no file|there is no directive #embed"):
        read_header(TEXT + line + "\n")


def test_a_range_fills_the_table_and_a_later_entry_takes_its_slot(inside):
    names = ", ".join(f"KVM_HOST_HCALL_IDX_{name}" for name in HYPERCALLS)
    numbers = (
        f"enum {{ {names}, KVM_HOST_HCALL_SIZE }};\n"
        "#define KVM_HOST_HCALL_NR(name) (KVM_HOST_HCALL_IDX_##name)\n"
    )
    table = "[0 ... KVM_HOST_HCALL_SIZE - 1] = kvm_hc_ni,\n[2 ... 3] = __kvm_enable_ssbs,\n"
    table += "[3] = __kvm_get_mdcr_el2, __kvm_flush_vm_context,\n"
    table += "KVM_HOST_HCALL(__kvm_vcpu_run_nvhe)\n"
    found = read_header({NUMBERS: numbers, LIST: table})
    ssbs, mdcr, flush, run = (HYPERCALLS[n] for n in (0, 1, 4, 5))
    assert found.slots == (None, None, ssbs, mdcr, flush, run, *(None,) * 8)
    assert found.overridden == () and found.warnings == ()


def test_an_entry_that_takes_anothers_slot_is_named_with_both_lines(inside):
    found = read_header(with_call(index=13, size=14))
    assert found.overridden == (
        f"{NUMBERS}:38: KVM_HOST_HCALL({NEW}) takes the slot of line 36, "
        "KVM_HOST_HCALL(__vgic_v3_save_aprs)",
    )


def test_a_long_line_is_quoted_with_a_mark_where_it_is_cut(inside):
    with pytest.raises(HeaderError) as caught:
        read_header(TEXT + f'_Static_assert({" + ".join(["1"] * 80)} == 7, "no");\n')
    assert str(caught.value).endswith(" ...") and caught.value.text.endswith('"no");')


@pytest.mark.parametrize(("text", "expected"), [
    ("#ifdef __ASSEMBLER__\n mov x0, #KVM_HOST_HCALL_SIZE\n#endif", "mov x0, #14"),
    ("#ifdef __STDC_VERSION__\nno\n#else\nyes\n#endif", "yes"),
    ("#define M(r) mov r, #KVM_HOST_HCALL_BASE\nM(x0)", "mov x0, #0x100"),
    (" .macro m \\reg\n add \\reg, \\reg, #KVM_HOST_HCALL_SIZE", ".macro m \\reg\nadd \\reg, \\reg, #14"),
    ("mov x0, #'a' // it's KVM_HOST_HCALL_SIZE", "mov x0, #'a'"),
    ("it's KVM_HOST_HCALL_SIZE", "it's KVM_HOST_HCALL_SIZE"),
    (".ascii \"KVM_HOST_HCALL_SIZE )(\" ) KVM_HOST_HCALL_SIZE (", '.ascii "KVM_HOST_HCALL_SIZE )(" ) 14 ('),
    ("KVM_HOST_HCALL_NR(\n __kvm_get_mdcr_el2), /* a\nb */ 1", "(0x100 + 1),\n1"),
    ("# a comment, it says KVM_HOST_HCALL_SIZE", "# a comment, it says 14"),
    ("a `0` KVM_HOST_HCALL_SIZE", "a `0` 14"),
])  # fmt: skip
def test_an_assembly_text_is_preprocessed_as_gcc_does_it(text, expected, inside):
    assert preprocess(text, DEFINES) == expected


def test_a_mistake_in_the_text_that_is_preprocessed_is_told_with_its_line(inside):
    with pytest.raises(HeaderError, match="line 2 of the text: the macro KVM_HOST_HCALL_NR takes"):
        preprocess("mov x0, #1\nKVM_HOST_HCALL_NR(1, 2)", DEFINES)
    with pytest.raises(HeaderError, match="line 1 of the text: #error no"):
        preprocess("#error no", DEFINES)
    with pytest.raises(HeaderError, match="line 1 of the text: .*invalid suffix 'x0' on integer"):
        preprocess("#if 0x0x0\n#endif", DEFINES)
    with pytest.raises(HeaderError, match="line 2 of the text: the parenthesis after .*_NR has no"):
        preprocess("nop\nmov x0, KVM_HOST_HCALL_NR(a\nnop", DEFINES)
    assert preprocess("mov x0, #0x0x0 08", DEFINES) == "mov x0, #0x0x0 08"


def with_base(text):
    """The list of #defines with another base, and names that it may use."""
    head = (
        "#define HEX(x) (0x##x)\n#define JOIN(a, b) a##b\ntypedef unsigned long u64;\n"
        "struct s { enum { IN_A_STRUCT = 7 } e; };\nenum { BIG = 0xC6000001, AFTER = 8 };\n"
    )
    head = f"#ifndef ONCE\n#define ONCE\n{head}#endif\n"
    text = TEXT.replace("BASE 0x100", f"BASE ({text})")
    return head + text.replace("(KVM_HOST_HCALL_BASE + KVM_HOST_HCALL_SIZE)", "0x10e")


def test_of_two_names_in_one_slot_the_later_stays_as_in_c(inside):
    found = read_header(with_call(index=13, size=14))
    assert found.slots[13] == NEW and len(found.slots) == 14
    assert found.numbers[NEW] == found.numbers["__vgic_v3_save_aprs"] == 0x10D
    assert [line.split() for line in repr(found).splitlines()[-3:-1]] == [
        ["0x10d", "__vgic_v3_save_aprs", NEW],
        ["0x10d", NEW, NEW],
    ]


def test_a_second_definition_of_one_name_counts_and_is_warned_about(inside):
    text = TEXT.replace(
        "\n#define KVM_HOST_HCALL_SIZE",
        "#define KVM_HOST_HCALL_IDX___vgic_v3_save_aprs 12\n\n#define KVM_HOST_HCALL_SIZE",
    )
    found = read_header(text)
    assert found.numbers["__vgic_v3_save_aprs"] == 0x10C
    assert found.slots[13] == "__vgic_v3_save_aprs"  # the list had its place by then
    (warning,) = found.warnings
    assert "KVM_HOST_HCALL_IDX___vgic_v3_save_aprs is defined again" in warning
    assert f"{NUMBERS}:{text[: text.index('_aprs 12')].count(chr(10)) + 1}:" in warning


def test_a_call_that_is_defined_but_not_listed_leaves_a_hole(inside):
    found = read_header(with_call(listed=False))
    assert found.numbers[NEW] == 0x10E and found.slots[14] is None


def test_a_name_without_a_number_is_no_call(inside):
    assert NEW not in read_header(TEXT).numbers


@pytest.mark.parametrize(
    "text", ["#pragma once\n" + TEXT, "#ifndef ONCE\n#define ONCE\n" + TEXT + "#endif\n"]
)
def test_a_guard_that_leaves_the_table_empty_is_warned_about(text, inside):
    found = read_header(text)
    assert not any(found.slots) and found.numbers == variant("numbered").numbers
    (warning,) = found.warnings
    assert "nothing stands in the table: does a guard" in warning and warning in repr(found)


def test_a_pragma_that_nobody_knows_changes_nothing(inside):
    found = read_header("#pragma GCC poison x\n#pragma soon\n" + TEXT)
    assert found.slots == HYPERCALLS and not found.warnings


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("#warning soon\n" + TEXT, "kvm_hcalls.h:1: soon"),
        (TEXT.replace("ssbs 0\n", "ssbs-0\n"), "requires whitespace after the macro name"),
        (TEXT + "#ifndef E\n#define E\nenum { A = 2147483647 + 1 };\n#endif\n", "overflow in expr"),
    ],
)
def test_what_gcc_takes_with_a_warning_is_taken_with_one(text, warning, inside):
    found = read_header(text)
    assert found.slots == HYPERCALLS and warning in found.warnings[0]
    assert f"warning: {found.warnings[0]}" in repr(found)


def test_the_generated_constants_are_what_the_assembler_cannot_get_from_an_enum():
    line = "        cmp     x0, #KVM_HOST_HCALL_END"
    assert preprocess(line, DEFINES).strip() == "cmp x0, #(0x100 + 14)"
    seen = preprocess(line, ENUM)
    assert "KVM_HOST_HCALL_SIZE" in seen
    with pytest.raises(AsmError, match="KVM_HOST_HCALL_SIZE"):
        asm.assemble(seen)
    assert preprocess(line, read_header(ENUM).generated).strip() == "cmp x0, #0x10e"


def test_a_header_prints_the_table_beside_the_numbers():
    shown = repr(read_header(DEFINES)).splitlines()
    assert shown[3].split() == ["0x102", "__kvm_timer_set_cntvoff", "__kvm_timer_set_cntvoff"]
    assert shown[-1] == "EL2 takes the numbers from 0x100 to 0x10d"


def test_static_assertions_hold_or_say_what_they_were_given(inside):
    check = '\n_Static_assert(KVM_HOST_HCALL_SIZE == {}, "count them again");\n'
    split = {NUMBERS: ENUM[NUMBERS] + check.format(14), LIST: ENUM[LIST]}
    assert read_header(split).slots == HYPERCALLS
    with pytest.raises(HeaderError, match="static assertion failed: count them again"):
        read_header(split | {NUMBERS: ENUM[NUMBERS] + check.format(15)})


# What is wrong with it.

MISTAKES = {
    "size too small": (
        with_call(size=14),
        "wants slot 14 of the table, which is after the end: the table has 14 slots",
        f"KVM_HOST_HCALL({NEW})",
    ),
    "no size": (
        TEXT.replace("#define KVM_HOST_HCALL_SIZE 14", ""),
        "nothing says how many slots",
        "",
    ),
    "size zero": (
        TEXT.replace("SIZE 14", "SIZE 0"),
        "SIZE is 0: the table of this kit has 1",
        "#define KVM_HOST_HCALL_SIZE 0",
    ),
    "size huge": (TEXT.replace("SIZE 14", "SIZE 100000"), "1 to 512 slots", "100000"),
    "size text": (TEXT.replace("SIZE 14", "SIZE many"), "'many' is not a constant", "SIZE many"),
    "size empty": (TEXT.replace("SIZE 14", "SIZE"), "which is no expression", "SIZE"),
    "no NR": (
        TEXT.replace("KVM_HOST_HCALL_NR(name)", "KVM_HCALL(name)"),
        r"no macro KVM_HOST_HCALL_NR\(name\)",
        "",
    ),
    "NR of nothing": (TEXT.replace("NR(name)", "NR"), "must take one argument", "define KVM_HOST"),
    "NR spelled wrong": (
        TEXT.replace("_IDX_##name", "_IX_##name"),
        "nothing gives KVM_HOST_HCALL_IX___kvm_enable_ssbs a value",
        "_IX_##name",
    ),
    "no such function": (
        with_call("__kvm_enable_sbss"),
        "did you mean __kvm_enable_ssbs",
        "KVM_HOST_HCALL(__kvm_enable_sbss)",
    ),
    "no function at all": (with_call("printk"), "there is no function printk", "printk"),
    "no index": (
        TEXT.replace("#define KVM_HOST_HCALL_IDX___vgic_v3_init_lrs 8\n", ""),
        "the table has no place for __vgic_v3_init_lrs",
        "KVM_HOST_HCALL(__vgic_v3_init",
    ),
    "negative index": (with_call(index=-1), "slot -1 of the table, which is negative", NEW),
    "index that is no number": (with_call(index="fourteen"), "fourteen has no value", NEW),
    "index by a call": (with_call(index="get(1)"), "a function call is not a constant", NEW),
    "index by a string": (with_call(index='"14"'), "a whole number is needed here", NEW),
    "index by a float": (with_call(index="14.0"), "not a value of type 'double'", NEW),
    "index over zero": (with_call(index="1 / 0"), "division by zero", NEW),
    "index too wide": (with_call(index="1 << 64"), "a shift by this many bits has no value", NEW),
    "index that overflows an int": (
        with_call(index="(6 << 24 | 1 << 31)"),
        "wants slot -2046820352 of the table, which is negative",
        NEW,
    ),
    "index too large": (with_call(index="99999999999999999999"), "fit into 64 bits", NEW),
    "no #ifndef": (
        re.sub(r"(?s)#ifndef.*?#endif", "", TEXT),
        "takes this for a function",
        "KVM_HOST_HCALL(__kvm_enable_ssbs)",
    ),
    "#endif missing": (TEXT.replace("#endif", "", 1), "has no #endif", "#ifndef"),
    "#endif twice": (TEXT + "#endif\n", "misplaced #endif", "#endif"),
    "unknown directive": (TEXT + "#defin X 1\n", "there is no directive #defin", "#defin"),
    "#error": (TEXT + "#error not yet\n", "#error not yet", "#error"),
    "define nothing": (TEXT + "#define\n", "#define wants a name", "#define"),
    "define a number": (TEXT + "#define 3 4\n", "#define wants a name", "#define 3"),
    "undef nothing": (TEXT + "#undef\n", "#undef wants a name", "#undef"),
    "a word too many": (TEXT + "hello\n", "C compiler", ""),
    "brace": (TEXT + "enum {\n", "too early|C compiler|middle of its initialiser", ""),
    "comma": (
        TEXT.replace("KVM_HOST_HCALL(__vgic_v3_init_lrs)", "KVM_HOST_HCALL(__vgic_v3_init_lrs, 8)"),
        "takes 1 argument, not 2",
        "__vgic_v3_init_lrs, 8",
    ),
    "parenthesis": (
        TEXT.replace("KVM_HOST_HCALL(__vgic_v3_save_aprs)", "KVM_HOST_HCALL(__vgic_v3_save_aprs"),
        "the parenthesis after KVM_HOST_HCALL has no end",
        "KVM_HOST_HCALL(__vgic_v3_save_aprs",
    ),
    "enum in the initialiser": (
        ENUM[NUMBERS].replace('#include "kvm_hcall_list.h"', listing(HYPERCALLS)),
        "in the middle of its initialiser",
        "enum kvm_host_hcall {",
    ),
    "a file from outside": (
        TEXT + "#include <linux/errno.h>\n",
        "there is no file 'linux/errno.h'",
        "#include <linux/errno.h>",
    ),
    "a file of this computer": (TEXT + '#include "/etc/passwd"\n', "there is no file", "/etc"),
    "include nothing": (TEXT + "#include\n", "wants a name", "#include"),
    "itself": (TEXT + f'#include "{NUMBERS}"\n', "again and again", ""),
    "enumerator twice": (enumerated(listing((*HYPERCALLS, HYPERCALLS[3]))), "is there already", ""),
    "list with a stranger": (
        enumerated(listing((*HYPERCALLS, "__kvm_nothing"))),
        "there is no function __kvm_nothing",
        "__kvm_nothing",
    ),
    "negative base": (TEXT.replace("BASE 0x100", "BASE -3"), "BASE is -3", "BASE -3"),
    "empty": ("  \n", "the text is empty", ""),
    "zero byte": (TEXT + "// \0", "character 0x00 does not belong in a text", ""),
    "binary": ("\x7fELF\x02\x01\x01", "is this a binary file", ""),
    "half a character": (TEXT + "// \ud800", r"half a character here \(U\+D800\)", ""),
    "page break": ("//\f\n" + TEXT, r"invisible character here \(U\+000C\)", ""),
    "blank of the web": (TEXT.replace("SIZE 14", "SIZE\u00a014"), r"\(U\+00A0\)", ""),
    "Python": (
        "def f():\n    return 14\n",
        "takes def for a type, and there is none of this name",
        "def f():",
    ),
    "misspelt entry": (
        TEXT.replace("KVM_HOST_HCALL(__kvm_enable", "KVM_HOST_HCAL(__kvm_enable"),
        "is a #define missing, or is the name of a macro misspelt",
        "KVM_HOST_HCAL(__kvm_enable_ssbs)",
    ),
    "empty entry": (
        TEXT.replace("KVM_HOST_HCALL(__vgic_v3_read_vmcr)", "KVM_HOST_HCALL()"),
        r"no entry of the table: the macros make of this line `\[\S+_IDX_\] = ,`",
        "KVM_HOST_HCALL()",
    ),
    "index with =": (
        TEXT.replace("ssbs 0\n", "ssbs = 0\n"),
        r"no entry of the table: .* `\[= 0\] = __kvm_enable_ssbs,`",
        "KVM_HOST_HCALL(__kvm_enable_ssbs)",
    ),
    "index with ;": (
        TEXT.replace("ssbs 0\n", "ssbs 0;\n"),
        r"did not expect ';' here: the macros make of this line `\[0;\] = __kvm_enable_ssbs,`",
        "KVM_HOST_HCALL(__kvm_enable_ssbs)",
    ),
    "NR of two": (TEXT.replace("NR(name)", "NR(name, more)"), "must take one argument", "NR(name"),
    "condition of nothing": ("#if\n#endif\n" + TEXT, "#if wants a condition", "#if"),
    "other condition of nothing": (
        "#if 0\n#elif\n#endif\n" + TEXT,
        "#elif wants a condition",
        "#elif",
    ),
    "ifdef of nothing": ("#ifdef\n#endif\n" + TEXT, "#ifdef wants a name", "#ifdef"),
    "condition cut short": (
        "#if !\n#endif\n" + TEXT,
        "this condition is cut short: a value is missing",
        "#if !",
    ),
    "index of two to the 63": (
        with_call(index="1 - 0x8000000000000000"),
        "wants slot 0x8000000000000001 of the table, far after the end",
        NEW,
    ),
    "an enum of a type": (
        TEXT + "enum x : unsigned { A };\n",
        "an enum with a type of its own .* is C23; the kernel is written in C11",
        "enum x : unsigned",
    ),
    "a number in the table": (
        enumerated("")
        | {
            LIST: "#ifdef KVM_HOST_HCALL\nKVM_HOST_HCALL(__kvm_enable_ssbs)\n#endif\n"
            "#if __INCLUDE_LEVEL__ == 1\n[0] = 7,\n#endif\n"
        },
        "a slot of the table can hold the name of a function and nothing else",
        "[0] = 7",
    ),
    "comment without end": (TEXT + "/* all\n", r"this comment has no \*/", "/* all"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_a_sentence_with_its_line(name, inside):
    text, sentence, offending = MISTAKES[name]
    with pytest.raises(HeaderError, match=sentence) as caught:
        read_header(text)
    error = caught.value
    assert offending in error.text and error.file in (NUMBERS, LIST), str(error)
    files = {NUMBERS: text} if isinstance(text, str) else text
    if error.line and error.text:
        assert files[error.file].split("\n")[error.line - 1].strip() == error.text
    assert error.text == "" or error.line, "a line's text without its number"
    assert error.message in str(error) and str(pickle.loads(pickle.dumps(error))) == str(error)


HOSTILE = {
    "doubling": "".join(f"#define A{n} A{n + 1} A{n + 1}\n" for n in range(60)) + "A0\n",
    "doubling in a call": "#define D(x) x x\nint a = " + "D(" * 40 + "1" + ")" * 40 + ";\n",
    "pasting": "#define P(x) Q(x##x)\n#define Q(x) P(x)\nP(a)\n",
    "a huge shift": "#if 1 << 9999999999\n#endif\n",
    "a huge power": "#if " + "*".join(["99999999999999999999"] * 2000) + "\n#endif\n",
    "deep parentheses": "#define X " + "(" * 20000 + "1" + ")" * 20000 + "\nenum { A = X };\n",
    "deep conditions": "#if 1\n" * 5000,
    "deep minus": "enum { A = " + "- " * 20000 + "1 };\n",
    "itself": f'#include "{NUMBERS}"\n',
    "a long line": "#define L " + "x" * 60000 + "\n",
    "many enumerators": "enum { " + "".join(f"E{n}," for n in range(9000)) + "E };\n",
    "line numbers": '#line 99999999999999999999 "../../x"\n#line -3\n#line x\n',
    "null bytes in a string": 'char *s = "\\0\\x\\";\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_ends_soon_and_leaves_this_process_as_it_was(name, monkeypatch):
    monkeypatch.setattr(front_end, "SECONDS", 2.0)
    started = time.monotonic()
    for text in (HOSTILE[name] + TEXT,):
        try:
            found = read_header(text)
        except HeaderError as error:
            assert len(str(error)) < 500
        else:
            assert found.slots == HYPERCALLS
    assert time.monotonic() - started < 30
    assert read_header(DEFINES).slots == HYPERCALLS


def test_a_text_without_end_is_refused_at_once(inside):
    with pytest.raises(HeaderError, match="more than 65,536 characters"):
        read_header("// x\n" * 20000 + TEXT)


def test_a_compiler_that_dies_is_no_end_of_the_world(monkeypatch):
    @contextmanager
    def dead(files):
        child = front_end.Child()
        child._process.kill()
        child._process.wait()
        try:
            yield lambda main, language="c": child.ask(main, files, language)
        finally:
            child.close()

    monkeypatch.setattr(front_end, "opened", dead)
    header._numbers.cache_clear()
    with pytest.raises(HeaderError, match="the C compiler gave up on this text"):
        read_header(TEXT + "// dead\n")


@pytest.mark.parametrize(
    ("what", "error", "sentence"),
    [
        (None, TypeError, "expected a header as a text, or as texts by file name; got None"),
        (7, TypeError, "by file name; got 7"),
        ({NUMBERS: 7}, TypeError, "by file name; got {"),
        ({"x.h": TEXT}, ValueError, "files called 'kvm_hcalls.h' and 'kvm_hcall_list.h'; got 'x"),
        ({}, ValueError, "; got none"),
    ],
)
def test_what_is_no_header_is_refused(what, error, sentence):
    with pytest.raises(error, match=sentence):
        read_header(what)


def test_only_text_is_preprocessed():
    with pytest.raises(TypeError, match="expected a text to preprocess; got 3"):
        preprocess(3, DEFINES)


# Machines from headers.

NUMBERED = [
    key
    for key, chosen in VARIANTS.items()
    if chosen.base is not None and chosen.host == "host_numbered"
]


def called(machine, name, *args):
    """What a call by name executed and answered: (function, x0)."""
    call = machine.call(name, *(args or ARGUMENTS.get(name, ())))
    assert call.outcome == "returned", call
    functions = (*HYPERCALLS, *SPARE, "kvm_hc_ni")
    reached = [one for one in functions if call.trace.find(one) is not None]
    return (reached[0] if reached else None), call.x0


@pytest.mark.parametrize("key", NUMBERED)
def test_every_numbered_variant_takes_a_header(key, inside):
    chosen = variant(key)
    first = f" KVM_HOST_HCALL_FREE = {chosen.gap - 1}," if chosen.gap else ""
    base = 0 if chosen.gap else chosen.base
    files = enumerated(listing((*reversed(HYPERCALLS), NEW)), first, base)
    with Machine(key, seed=5, header=files) as machine:
        assert {name: called(machine, name)[0] for name in HYPERCALLS} == {
            name: name for name in HYPERCALLS
        }
        machine.call("__kvm_timer_set_cntvoff", 0x89ABCDEF, 0x01234567)
        assert called(machine, NEW) == (NEW, 0x0123456789ABCDEF)
        assert machine.x0_of("__vgic_v3_save_aprs") == base + chosen.gap
        assert "header" in repr(machine)


def test_the_default_headers_make_the_machine_of_the_patch_byte_for_byte(inside):
    with Machine("numbered", seed=9) as plain, Machine("numbered", seed=9, header=TEXT) as made:
        for name in HYPERCALLS:
            a, b = (m.call(name, *ARGUMENTS.get(name, ())).trace for m in (plain, made))
            assert list(a.pcs) == list(b.pcs) and [step.word for step in a] == [
                step.word for step in b
            ]


def test_a_call_left_out_of_the_list_is_answered_enosys_by_the_table(inside):
    with Machine("numbered", header=with_call(listed=False)) as machine:
        assert called(machine, NEW) == ("kvm_hc_ni", ENOSYS)


def test_a_call_behind_the_end_is_answered_enosys_by_the_range_test(inside):
    text = with_call(listed=False, size=14)
    with Machine("numbered", header=text) as machine:
        assert called(machine, NEW) == (None, ENOSYS)


def test_one_number_twice_runs_the_wrong_function(inside):
    with Machine("numbered", header=with_call(index=13, size=14)) as machine:
        assert called(machine, "__vgic_v3_save_aprs", "vcpu0")[0] == NEW


def test_an_end_that_forgets_the_base_turns_every_call_away(inside):
    text = TEXT.replace("(KVM_HOST_HCALL_BASE + KVM_HOST_HCALL_SIZE)", "KVM_HOST_HCALL_SIZE")
    with Machine("numbered", header=text) as machine:
        assert called(machine, "__kvm_get_mdcr_el2") == (None, ENOSYS)


def test_numbers_from_zero_fall_to_the_stub_calls(inside):
    text = TEXT.replace("BASE 0x100", "BASE 0")
    with Machine("numbered+no_base", header=text) as machine:
        assert machine.call("__kvm_enable_ssbs").x0 == memory_map.CONSTANTS["HVC_STUB_ERR"]
        assert called(machine, "__kvm_tlb_flush_local_vmid")[0] == "__kvm_tlb_flush_local_vmid"


def test_a_bulk_run_goes_by_the_headers_numbers(inside):
    with Machine("numbered", header=with_call()) as machine:
        machine.call("__kvm_timer_set_cntvoff", 0x77, 0)
        assert machine.run([machine.x0_of(NEW)] * 3).tolist() == [0x77] * 3


def test_a_call_the_header_does_not_number_is_no_call_of_the_machine(inside):
    with Machine("numbered", header=TEXT) as machine:
        with pytest.raises(
            KeyError, match="with a number in this header; did you mean '__kvm_timer_set_cntvoff'"
        ):
            machine.call(NEW)


def test_a_number_that_cmp_cannot_hold_is_an_assemblers_error(inside):
    text = TEXT.replace("BASE 0x100", "BASE 0x1000")
    with pytest.raises(AsmError, match="0x100e does not fit in cmp") as caught:
        Machine("numbered", header=text)
    assert caught.value.text.split() == ["cmp", "x0,", "#KVM_HOST_HCALL_END"]
    with Machine("jump_table", header=text) as machine:  # it subtracts first
        assert called(machine, "__kvm_get_mdcr_el2")[0] == "__kvm_get_mdcr_el2"


def test_a_wide_number_takes_the_host_more_moves(inside):
    text = TEXT.replace("BASE 0x100", "BASE 0x30000")
    with Machine("jump_table", header=text) as machine:
        call = machine.call("__kvm_get_mdcr_el2")
        moves = [step.text for step in call.trace if step.text.startswith("mov") and step.el == 1]
        assert moves[:2] == ["mov x0, #1", "movk x0, #3, lsl #16"]
        assert call.trace.find("__kvm_get_mdcr_el2") is not None


@pytest.mark.parametrize("key", ["fnptr", "vhe"])
def test_a_variant_without_numbers_takes_no_header(key, inside):
    with pytest.raises(ValueError, match=f"the {key} machine has no numbers"):
        Machine(key, header=TEXT)


def test_a_learners_dispatcher_and_header_go_together(inside):
    text = programs.GUEST.joinpath("dispatch_relocated.S").read_text()
    with Machine(
        "relocated", header=enumerated(listing(HYPERCALLS), " FREE = 2,", "0"), dispatcher=text
    ) as machine:
        assert called(machine, "__kvm_get_mdcr_el2")[0] == "__kvm_get_mdcr_el2"


def test_numbers_of_every_size_assemble_where_there_is_no_engine(monkeypatch, inside):
    monkeypatch.setenv("HYPKIT_ENGINE", "none")
    asm.recorded.learned.clear()
    for base in (0, 3, 9, 10, 0x37, 0x100, 0x7F3, 0xE00, 0xFF1):
        key = "numbered" if base > 2 else "numbered+no_base"
        with Machine(key, header=TEXT.replace("BASE 0x100", f"BASE {base}")) as machine:
            assert called(machine, "__vgic_v3_read_vmcr")[0] == "__vgic_v3_read_vmcr"
    with Machine("jump_table", header=TEXT.replace("BASE 0x100", "BASE 0x123000")) as machine:
        assert called(machine, "__vgic_v3_read_vmcr")[0] == "__vgic_v3_read_vmcr"


def test_the_words_of_numbers_are_those_of_gnu_as(tmp_path):
    words = {}
    for base in (0, 9, 10, 0x1FF, 0xFF1, 0x3000, 0x123000, 0x9876_5432_1ABC):
        numbering = variants.Numbering(
            base, base + 14, (None,) * 14, (("a", base), ("b", base + 1))
        )
        words |= programs._number_words(programs._numbered("numbered", numbering))
    assert len(words) > 40
    (code,) = gnu.gnu_bytes("\n".join(words) + "\n", (0,), tmp_path)
    assert [code[n : n + 4] for n in range(0, len(code), 4)] == [
        word.to_bytes(4, "little") for word in words.values()
    ]
