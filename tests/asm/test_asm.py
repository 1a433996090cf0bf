"""The assembler front: good text, bad text, the child process, and life without an engine."""

import contextlib
import io
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import threading
import time
from itertools import product

import pytest

from hypkit import asm
from hypkit.asm import (
    AsmError,
    Program,
    Unit,
    assemble,
    diagnose,
    engines,
    link,
    mnemonics,
    recorded,
)
from hypkit.asm.engines import Engine
from hypkit.asm.source import macro_arguments
from hypkit.kernel import programs
from hypkit.kernel.variants import VARIANTS
from tests.corpus import BASES, bad_inputs, golden, snippets
from tests.judges import judged
from tests.marks import SLOWER, needs_engine
from tests.record_encodings import record

posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
WORD = {"nop": 0xD503201F, "ret": 0xD65F03C0}


def words(program: Program) -> list[int]:
    code = program.code
    return [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code), 4)]


def complaint(text: str, **options) -> AsmError:
    with pytest.raises(AsmError) as caught:
        assemble(text, **options)
    return caught.value


# -- good text ------------------------------------------------------------------------------------


@needs_engine
def test_every_snippet_has_its_recorded_bytes_at_every_base():
    recorded = golden()
    assert recorded.keys() == snippets().keys()
    for name, text in snippets().items():
        made = [assemble(text, base, name=name).code for base in BASES]
        assert made == recorded[name], name
    assert len(recorded) >= 150
    judged("snippets equal to the recorded bytes", len(recorded))


@needs_engine
def test_a_snippet_is_the_same_when_it_is_assembled_twice():
    text = snippets()["a stub of everything at once"]
    assert assemble(text) == assemble(text)


def test_a_program_knows_its_symbols_and_the_line_of_every_instruction():
    p = assemble("// story\nstart: nop\n\n.Lhere: b 1f ; nop\n1:\nend: .quad start, 2\n", 0x1000)
    assert p.symbols == {"start": 0x1000, "end": 0x100C}
    assert p.lines == {0x1000: 2, 0x1004: 4, 0x1008: 4, 0x100C: 6, 0x1014: 6}
    assert p.relocs == (12,)
    assert p.base == 0x1000 and p.source.startswith("// story")


def test_code_from_a_macro_has_the_line_of_the_call_and_a_literal_that_of_its_load():
    p = assemble(".macro two\nnop\nnop\n.endm\n\ntwo\nldr x0, =0x1234567\n")
    assert p.lines == {0: 6, 4: 6, 8: 7, 16: 7}


def test_words_that_hold_addresses_are_listed_and_differences_are_not():
    p = assemble("a: .quad a, b - a, 7, ext, ext - 8\nldr x0, =b\nb: nop\n", symbols={"ext": 0x40})
    assert p.relocs == (0, 24, 32, 48)
    assert p.code[24:32] == (0x40).to_bytes(8, "little")


def test_relocated_words_are_all_that_changes_when_a_program_without_page_addresses_moves():
    text = "a: adr x0, a\nldr x1, =a\nb a\n.balign 8\n.quad a, a + 4, 1\n"
    here, there = assemble(text, 0x8000), assemble(text, 0x8000 + 0x123000)
    moved = bytearray(here.code)
    for offset in here.relocs:
        value = int.from_bytes(moved[offset : offset + 8], "little") + 0x123000
        moved[offset : offset + 8] = value.to_bytes(8, "little")
    assert bytes(moved) == there.code and here.relocs == there.relocs


def test_symbols_are_addresses_and_constants_are_numbers():
    p = assemble("b there\nadr_l x0, there\n.quad NUMBER", 0x1000,
                 symbols={"there": 0x2000}, constants={"NUMBER": 7})  # fmt: skip
    assert words(p) == [0x14000400, 0xB0000000, 0x91000000, 7, 0]
    assert p.relocs == () and p.symbols == {}


def test_alignment_counts_from_address_zero():
    assert len(assemble("nop\n.align 4\nnop", 8).code) == 12
    assert len(assemble("nop\n.align 4\nnop", 0).code) == 20


def test_a_program_shows_itself_in_one_line_without_an_address_of_python():
    assert repr(assemble("a: nop", 0x40, name="x")) == "<Program 'x': 4 bytes at 0x40, 1 symbol>"


def test_a_value_may_lead_through_many_others_that_come_later():
    text = "".join(f".equ a{i}, a{i + 1} + a{i + 1}\n" for i in range(60)) + ".equ a60, 1\n.quad a0"
    assert assemble(text).code == (1 << 60).to_bytes(8, "little")


def test_another_name_of_a_label_is_a_symbol_too():
    a, b = link([Unit("a", ".set alias, f\n.set .Lx, f\nnop\nf: nop"), Unit("b", "b alias")])
    assert a.symbols == {"f": 4, "alias": 4} and words(b) == [0x17FFFFFF]


def test_windows_line_ends_change_nothing():
    assert assemble("nop\r\nb .\r\n").code == assemble("nop\nb .\n").code


def test_macro_arguments_split_as_gnu_as_splits_them():
    assert macro_arguments("1 + 2, 3") == ["1+2", "3"]
    assert macro_arguments("x0, lsl #3") == ["x0", "lsl#3"]
    assert macro_arguments("a:b c") == ["a:b", "c"]
    assert macro_arguments("(a + b) c") == ["(a+b)c"]
    assert macro_arguments('"x y", "z, t"') == ["x y", "z, t"]
    assert macro_arguments("1,,3") == ["1", "", "3"]
    assert macro_arguments("-1 -2") == ["-1-2"]


# -- several units --------------------------------------------------------------------------------


def test_units_see_each_others_labels_and_follow_one_another():
    a, b = link([Unit("a", "start: b far\nnop\nnop", 0x1000), Unit("b", "far: b start", align=16)])
    assert b.base == 0x1010
    assert words(a)[0] == 0x14000004 and words(b)[0] == 0x17FFFFFC
    assert a.symbols == {"start": 0x1000} and b.symbols == {"far": 0x1010}


def test_local_labels_stay_in_their_unit():
    with pytest.raises(AsmError, match=r"'.Lhere' is not defined") as caught:
        link([Unit("a", ".Lhere: nop"), Unit("b", "nop\nb .Lhere")])
    assert (caught.value.name, caught.value.line) == ("b", 2)


def test_a_label_in_two_units_is_an_error_in_the_second():
    with pytest.raises(AsmError, match="label 'f' is also defined in unit 'a'") as caught:
        link([Unit("a", "f: nop"), Unit("b", "nop\nf: nop")])
    assert (caught.value.name, caught.value.line) == ("b", 2)


def test_the_prelude_is_for_all_units_and_is_not_counted_in_lines():
    prelude = ".macro here\nb .\n.endm\n.equ THREE, 3\n"
    a, b = link([Unit("a", "here"), Unit("b", "nop\n.word THREE\n")], prelude=prelude)
    assert a.lines == {0: 1} and b.lines == {8: 1, 12: 2}


def test_a_mistake_in_the_prelude_names_the_prelude():
    with pytest.raises(AsmError, match="this .macro has no .endm") as caught:
        link([Unit("a", "nop")], prelude="\n.macro x\n")
    assert (caught.value.name, caught.value.line) == ("<prelude>", 2)
    with pytest.raises(AsmError, match="a prelude may hold macros and .equ only"):
        link([Unit("a", "nop")], prelude="nop")


def test_a_mistake_in_a_macro_of_the_prelude_names_the_line_of_the_call():
    with pytest.raises(AsmError, match=r"inside macro check: `add x0, x0, #0x1001`") as caught:
        link([Unit("a", "nop\n  check 0x1001")],
             prelude=".macro check n\nadd x0, x0, #\\n\n.endm")  # fmt: skip
    e = caught.value
    assert (e.name, e.line, e.column, e.text) == ("a", 2, 3, "  check 0x1001")


# -- bad text -------------------------------------------------------------------------------------


@needs_engine
@pytest.mark.parametrize("name", bad_inputs())
def test_a_bad_input_gives_its_sentence_on_its_line(name):
    line, pattern, text = bad_inputs()[name]
    e = complaint(text)  # work that takes long has a sentence of its own
    assert re.search(pattern, e.message), e.message
    assert e.line == line, str(e)
    if text.strip() and "nothing to assemble" not in e.message:
        assert e.text == text.split("\n")[line - 1]
        assert 1 <= e.column <= len(e.text) + 1


GENERATED = {
    "nothing": ("", 1, "the text is empty: there is nothing to assemble"),
    "blanks": (" \n\t\n  ", 1, "the text is empty"),
    "a megabyte of instructions": ("add x0, x0, #1\n" * 70_000, 1, "1,050,000 characters"),
    "a megabyte on one line": ("nop " * 250_000, 1, "1,000,000 characters"),
    "a NUL": ("nop\nnop \0\n", 2, "character 0x00 does not belong in a text"),
    "an ELF file": ("\x7fELF\x02\x01\x01\0\0\0", 1, "is this a binary file"),
    "random bytes": (bytes(range(256)).decode("latin1"), 1, "is this a binary file"),
    "a blank of the web": ("nop\nadd\u00a0x0, x0, #1", 2, r"invisible character here \(U\+00A0\)"),
    "letters beyond ASCII": ("nop\nmov x0, #é", 2, r"'é' \(U\+00E9\) can stand in a comment"),
    "a page break": ("nop\n\fnop", 2, r"invisible character here \(U\+000C\)"),
    "a line end of old": ("nop\rnop", 1, r"invisible character here \(U\+000D\)"),
    "a half character": ('.ascii "\ud800"', 1, "half a character"),
    "five thousand parentheses": (f".quad {'(' * 5000}1{')' * 5000}", 1, "nested more than 64"),
    "five thousand minus signs": (f".quad {'-' * 5000}1", 1, "nested more than 64"),
    "a number of a thousand digits": (f".quad {'9' * 1000}", 1, "does not fit in 64 bits"),
    "a chain of values": (
        "".join(f".equ a{i}, a{i + 1} + a{i + 1}\n" for i in range(99)) + ".equ a99, 1\n.quad a0",
        101, "leads through more than 32 other .equ"),
    "a tower of macros": (
        ".macro t x\nt \\x\nt \\x\n.endm\nt 1", 5, "nested more than 48 deep"),
    "an enormous macro argument": (
        f".macro m x\n.quad \\x\n.endm\nm {'1' * 5000}", 4, "grew past 4096 characters"),
    "many thousand statements": (
        ".rept 300\n.rept 400\n.set x, 1\n.endr\n.endr", 3, "more than 100,000 statements"),
    "the end of the address space": ("nop\nnop", 2, "beyond the last address", 2**64 - 4),
    "a label of a hundred thousand letters": ("b " + "f" * 100_000, 1, r"\.\.\.' is not defined"),
    "a mnemonic of a hundred thousand letters": ("f" * 100_000, 1, "unknown instruction `ffff"),
    "a hundred thousand brackets": ("ldr x0, " + "[" * 100_000, 1, r"a closing \] is missing"),
    "brackets in brackets": ("ldr x0, " + "[x1, " * 5000 + "]" * 5000, 1, "did not expect '\\['"),
    "braces in braces": ("ld1 " + "{" * 5000 + "}" * 5000, 1, "did not expect '{'"),
    "a macro of many parameters": (
        f".macro m {','.join(f'p{i}' for i in range(20000))}\n.endm\nm", 1,
        "has more than 64 parameters"),
    "a macro with a hole in its head": (f".macro m a{' ' * 100_000}:\n.endm\nm", 1,
                                        "did not understand the parameter ':'"),
    "a local label of many digits": (f"b {'1' * 5000}b", 1, "there is no local label `1111"),
    "a name without end": (f"mrs x0, {'a' * 5000}", 1, "is not a system register"),
    "a directive without end": ("." * 100_000, 1, "unknown directive"),
    "an error without end": (f".error {'x' * 100_000}", 1, "the text itself says"),
}  # fmt: skip


@pytest.mark.parametrize("name", GENERATED)
def test_an_outlandish_input_gives_its_sentence(name):
    text, line, pattern, *base = GENERATED[name]
    e = complaint(text, base=base[0] if base else 0)
    assert e.line == line and re.search(pattern, e.message), str(e)
    assert len(str(e)) < 1000


@pytest.mark.parametrize("text", [
    "1: b 1b\n" * 20_000, "b 1f\n1:" * 15_000, "1: ldr x0, =1b\n" * 12_000,
    ".set x, 1\n" + ".set x, x + 1\n.byte x & 1\n" * 9_000,
])  # fmt: skip
def test_names_that_change_many_times_are_found(text):
    assert assemble(text).code  # and not a word about work that takes long


def test_local_labels_are_numbers_however_they_are_written():
    assert words(assemble("01: b 1b\nb 001b\n0: b 00b")) == [0x14000000, 0x17FFFFFF, 0x14000000]
    assert assemble(f"{'1' * 5000}: b {'1' * 5000}b").code == assemble("b .").code


WORK = {
    "a long expression, repeated": (f".rept 40000\n.quad {'1+' * 1000}1\n.endr", 2),
    "a long line, repeated": (".rept 90000\n.ascii " + '"1",' * 500 + '"1"' + "\n.endr", 2),
    "a large block that is skipped again and again": (
        ".rept 40000\n.rept 0\n" + "nop\n" * 50_000 + ".endr\n.endr", 2),
    "a large macro that is left at once": (
        ".macro m\n.exitm\n" + "nop\n" * 50_000 + ".endm\n.rept 90000\nm\n.endr", 50_005),
    "a large .irp that is left at once": (
        ".rept 90000\n.irp x, 1\n.exitm\n" + "nop\n" * 50_000 + ".endr\n.endr", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", WORK)
def test_work_without_end_is_cut_off_and_not_by_the_clock(name):
    text, line = WORK[name]
    start = time.process_time()
    e = complaint(text)
    assert time.process_time() - start < 20 * SLOWER
    assert e.line == line and "this text is too much work" in e.message, str(e)


@pytest.mark.parametrize("use", [
    ".if a0", ".balign a0", ".quad a0", "ldr x0, =a0", ".equ b, a0", ".zero a0", ".rept a0",
    "mov x0, #a0", "tbz x0, #a0, .", ".fill a0, 1, 1", ".inst a0",
])  # fmt: skip
def test_values_that_double_all_the_way_cost_no_more_than_their_lines(use):
    lines = "".join(f".equ a{n}, a{n + 1} + a{n + 1}\n" for n in range(31))
    start = time.process_time()
    for last in (".equ a31, 0", ".equ a31, 1", ""):
        with contextlib.suppress(AsmError):
            assemble(f"{lines}{last}\n{use}\n")
    assert time.process_time() - start < 5


@pytest.mark.parametrize("name", sorted(mnemonics.SHAPES.keys() | mnemonics.OTHERS))
def test_whatever_is_wrong_with_an_instruction_there_is_a_sentence_for_it(name):
    few = ("x0", "w1", "sp", "wsp", "#1", "[x1]")
    many = (*few, "xzr", "v2.4s", "d3", "#0", "#-0x1001", "#0xffffffffffffffff", "eq",
            "esr_el2", "lsl #3", "uxtw", "sxtb #9", "[x1]", "[x1, #8]!", "[sp, w2, uxtw #3]",
            "[x1, x2, lsl #1]", "{v0.16b, v1.16b}")  # fmt: skip
    chooser = random.Random(name)
    lines = [(name, *some) for count in range(4) for some in product(few, repeat=count)]
    lines += [(name, *chooser.choices(many, k=chooser.randrange(6))) for _ in range(150)]
    for parts in lines:
        ops = [(op, 8 * n) for n, op in enumerate(parts[1:])]
        assert diagnose.doubtful(parts) in (True, False)
        e = diagnose.explain(parts, ops, "refused", [])
        assert e.message and (e.at is None or e.at in [at for _, at in ops]), (parts, e.message)


def test_there_are_enough_bad_inputs():
    count = len(bad_inputs()) + len(GENERATED)
    assert count >= 60
    judged("bad inputs that give one clear error", count)


@needs_engine
def test_an_error_shows_its_line_with_a_caret_under_the_operand():
    e = complaint("nop\n\tcmp\tx0, #0x100e", name="lesson")
    head, line, caret = str(e).split("\n")
    assert head.startswith("lesson:2:10: 0x100e does not fit in cmp")
    assert line == "    \tcmp\tx0, #0x100e"
    assert caret == "    \t   \t    ^"
    assert (e.line, e.column, e.text) == (2, 10, "\tcmp\tx0, #0x100e")


@pytest.mark.parametrize(("line", "offending"), [
    ("\t.macro m a, b:must", "b:must"), ("  .macro m a b, a", "a"),
    ("\t.irp r, [x0, x1]", "[x0"), (" ldr x0, [x1, [x2]]", "[x2"), ("ld1 {v0.4s, {x}}", "{x"),
    ('.ascii "ab", "cd" "ef"', '" "ef'), ('.ascii "ab\\q"', "\\q"),
    ("lbl: add x0, x0, 0x1001", "0x1001"), ("nop; mov x0, nine", "nine"),
    (".quad 1, 2 + (3 / 0)", "/"), (" .set x, 1 << 64", "<<"), ("mov x0, /* one */ one", "one"),
    ("\tmov\tx0, ‘1’", "‘"),
])  # fmt: skip
def test_the_column_is_that_of_the_offending_word(line, offending):
    e = complaint(f"nop\n{line}\n.endm\n.endr" if line.split()[0] in (".macro", ".irp") else
                  f"nop\n{line}")  # fmt: skip
    assert (e.line, e.text) == (2, line)
    assert e.column - 1 == line.rindex(offending), str(e)


def test_what_is_not_ascii_stands_in_comments_and_strings():
    assert assemble('nop // “ü” – 漢\n# ü\n/* ü\nü */ .ascii "ü"').code[4:] == "ü".encode()


def test_an_error_survives_pickling():
    e = complaint("b nowhere", name="n")
    copy = pickle.loads(pickle.dumps(e))
    assert str(copy) == str(e) and copy.line == e.line


def test_an_error_is_a_value_error():
    with pytest.raises(ValueError, match="nothing to assemble"):
        assemble("")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: assemble(b"nop"), TypeError, "a unit's text: expected a text; got b'nop'"),
        (lambda: assemble(None), TypeError, "expected a text; got None"),
        (lambda: assemble("nop", "0"), TypeError, "base: expected a whole number; got '0'"),
        (lambda: assemble("nop", 2), ValueError, "base: expected a multiple of 4"),
        (lambda: assemble("nop", -4), ValueError, "base: expected a multiple of 4"),
        (lambda: assemble("nop", 1 << 64), ValueError, "base: expected a multiple of 4"),
        (
            lambda: assemble("nop", symbols={"a": "b"}),
            TypeError,
            "symbols: expected a dict of whole numbers by name",
        ),
        (lambda: assemble("nop", symbols=5), TypeError, "symbols: expected a dict of .*; got 5"),
        (
            lambda: assemble("nop", constants={1: 2}),
            TypeError,
            "constants: expected a dict of whole numbers",
        ),
        (
            lambda: assemble("nop", constants={"a": 1 << 64}),
            ValueError,
            "expected a number of 64 bits",
        ),
        (lambda: assemble("nop", symbols={"a": 1}, constants={"a": 1}), ValueError, "given twice"),
        (lambda: link(["nop"]), TypeError, "expected a Unit to link; got 'nop'"),
        (lambda: link([Unit("a", "nop", align=3)]), ValueError, "align: expected a power of two"),
        (lambda: link([Unit("a", "nop")], prelude=b""), TypeError, "prelude: expected a text"),
    ],
)
def test_wrong_use_is_answered_with_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_label_that_is_given_from_outside_too_is_an_error():
    e = complaint("nop\nf: nop", symbols={"f": 4})
    assert e.line == 2 and "'f' is already given from outside (among the symbols)" in e.message


# -- The engine's process -------------------------------------------------------------------------

UNRECORDED = iter(range(1, 4000))


def new_instruction() -> str:
    """A line that no recording has and that was not assembled before."""
    n = next(UNRECORDED)
    line = f"sub x27, x26, #{n}"
    assert line not in asm.encodings() and line not in recorded.learned
    return line


@needs_engine
@posix
def test_when_the_child_was_killed_the_next_call_starts_another():
    assemble(new_instruction())
    os.kill(asm.engine._process.pid, signal.SIGKILL)
    starts = asm.engine.starts
    assert len(assemble(new_instruction()).code) == 4
    assert asm.engine.starts == starts + 1


@needs_engine
@posix
def test_a_child_that_hangs_is_ended_and_said_to_be_slow():
    child = Engine()
    assert child.words(["nop"]) == ([WORD["nop"]], "")
    os.kill(child._process.pid, signal.SIGSTOP)
    assert child.words(["nop"], patience=0.3) == ([], "slow")
    assert child.words(["ret"]) == ([WORD["ret"]], "")
    child.close()


@needs_engine
def test_text_that_ends_an_engine_ends_the_child_and_not_us():
    child = Engine()
    # Keystone crashes at a section; LLVM ends itself, and says that it refuses.
    why = {"Keystone": "crashed", "LLVM": "refused"}[child.name]
    assert child.words(["nop", ".text", "ret"]) == ([WORD["nop"]], why)
    assert child.words(["nop", "ret"]) == ([WORD["nop"], WORD["ret"]], "")
    child.close()


@needs_engine
def test_a_crash_becomes_an_error_on_its_line(monkeypatch):
    lines = [new_instruction(), new_instruction()]
    monkeypatch.setattr(asm.engine, "words", lambda texts: ([0x12345678], "crashed"))
    e = complaint("\n".join(lines))
    assert e.line == 2 and f"{asm.engine.name} crashed on `sub x27" in e.message
    recorded.learned.clear()


@needs_engine
def test_two_threads_assemble_at_once():
    results: dict[int, bytes] = {}
    texts = {i: "\n".join(new_instruction() for _ in range(40)) for i in range(2)}

    def work(i: int) -> None:
        for _ in range(5):
            recorded.learned.clear()
            results[i] = assemble(texts[i]).code

    threads = [threading.Thread(target=work, args=(i,)) for i in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {i: assemble(text).code for i, text in texts.items()}


@needs_engine
def test_the_child_ends_with_its_parent():
    script = (
        "from hypkit import asm\n"
        "assert len(asm.assemble('sub x27, x26, #4001').code) == 4\n"
        "print(asm.engine._process.pid, flush=True)\n"
        "import os; os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60 * SLOWER
    )
    assert done.returncode == 0 and done.stderr == ""
    if os.name == "posix":
        pid = int(done.stdout)
        for _ in range(100):
            if not alive(pid):
                return
            time.sleep(0.05)
        pytest.fail("the child outlived its parent")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:  # a zombie that nobody has collected yet is no longer running
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@needs_engine
@posix
def test_ctrl_c_while_the_engine_works_leaves_no_stale_answer(monkeypatch):
    child = Engine()
    child.words(["nop"])
    real = Engine._read

    def interrupted(process, count):
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "_read", staticmethod(interrupted))
    with pytest.raises(KeyboardInterrupt):
        child.words(["nop"])
    monkeypatch.setattr(Engine, "_read", staticmethod(real))
    assert child.words(["ret"]) == ([WORD["ret"]], "")
    child.close()


# -- recorded encodings, and life without an engine ------------------------------------------------


def test_recorded_text_does_not_start_the_engine(monkeypatch):
    monkeypatch.setattr(recorded, "encodings", lambda: {"cmp x0, #0xe": 0xF100381F})
    monkeypatch.setattr(asm.engine, "words", lambda texts: pytest.fail(f"asked for {texts}"))
    assert words(assemble("n = 14\ncmp x0, #n\nnop\nb .\nadr_l x0, .")) == [
        0xF100381F, 0xD503201F, 0x14000000, 0x90000000, 0x91003000]  # fmt: skip


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setenv("HYPKIT_ENGINE", "none")
    monkeypatch.setattr(recorded, "learned", {})
    monkeypatch.setattr(recorded, "encodings", lambda: {})


def test_without_an_engine_a_new_instruction_is_refused_kindly(no_engine):
    e = complaint("nop\nsub x9, x9, x10")
    assert e.line == 2
    assert re.search(r"no engine.*Keystone.*x86-64.*LLVM.*arm64.*everything else", e.message)
    assert "`sub x9, x9, x10`" in e.message


def test_without_an_engine_a_mistake_is_still_called_by_its_name(no_engine):
    assert "0x100e does not fit in cmp" in complaint("cmp x0, #0x100e").message
    assert "unknown instruction `mvo`" in complaint("mvo x0, x1").message


def test_without_an_engine_branches_hints_and_data_still_assemble(no_engine):
    assert words(assemble("nop\nb .\ncbz x0, .\nldr x0, =7\nret_to: .word 5"))[:2] == [
        WORD["nop"], 0x14000000]  # fmt: skip


@needs_engine
def test_an_engine_that_does_not_load_counts_as_none(monkeypatch, tmp_path):
    child = Engine()
    package = {"Keystone": "keystone", "LLVM": "llvmlite"}[child.name]
    (tmp_path / f"{package}.py").write_text("raise ImportError('broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert child.words(["nop"]) == ([], "absent")
    child.close()


@needs_engine
def test_the_recorded_encodings_are_what_the_engine_gives_for_the_guest_now():
    assert record() == asm.encodings(), "run `python -m tests.record_encodings`"
    judged(f"recorded encodings equal to {asm.engine.name}", len(asm.encodings()))


def test_every_variant_assembles_without_an_engine(monkeypatch):
    monkeypatch.setenv("HYPKIT_ENGINE", "none")
    monkeypatch.setattr(recorded, "learned", {})
    starts = asm.engine.starts
    for key in VARIANTS:
        assert len(programs.build.__wrapped__(key)) > 5
    assert asm.engine.starts == starts


@needs_engine
def test_encodings_are_recorded_and_read_back(tmp_path, monkeypatch):
    with asm.recording() as seen:
        assemble("cmp x0, #7 * 2\nnop\nb .\nret")
    assert seen == {"cmp x0, #0xe": 0xF100381F, "ret": WORD["ret"]}
    assert asm.record([Unit("a", "ret")]) == {"ret": WORD["ret"]}
    path = tmp_path / "encodings.json"
    asm.write_encodings(seen, path)
    assert path.read_text() == '{\n"cmp x0, #0xe": "f100381f",\n"ret": "d65f03c0"\n}\n'
    monkeypatch.setattr(recorded, "data_path", lambda name: path)
    assert asm.encodings() == seen
    asm.encodings.cache_clear()


@pytest.mark.parametrize("text", [
    "", "{", "[]", "7", '{"ret": "nonsense"}', '{"ret": 5}', '{"ret": "-1"}', '{"ret": "1d65f03c0"}',
    '{"ret": null}', "\x7fELF", '["ret"]', "[" * 100_000, '{"r\u00e9t": "d65f03c0"}',
])  # fmt: skip
def test_a_spoilt_file_of_recorded_encodings_is_named(text, tmp_path, monkeypatch):
    path = tmp_path / "encodings.json"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(recorded, "data_path", lambda name: path)
    recorded.encodings.cache_clear()
    with pytest.raises(ValueError, match="encodings.json is damaged: expected instructions") as e:
        assemble("ret")
    assert str(path) in str(e.value)
    recorded.encodings.cache_clear()


def test_a_missing_file_of_recorded_encodings_is_no_mistake(monkeypatch):
    def missing(name):
        raise FileNotFoundError(name)

    monkeypatch.setattr(recorded, "data_path", missing)
    recorded.encodings.cache_clear()
    assert recorded.encodings() == {}
    recorded.encodings.cache_clear()


@pytest.mark.parametrize(("machine", "wish", "key"), [
    ("x86_64", "", "keystone"), ("AMD64", "", "keystone"), ("arm64", "", "llvm"),
    ("aarch64", "", "llvm"), ("ARM64", "", "llvm"), ("riscv64", "", None), ("x86_64", "none", None),
    ("arm64", "keystone", "keystone"), ("x86_64", "llvm", "llvm"), ("x86_64", "LLVM", "llvm"),
])  # fmt: skip
def test_the_engine_is_the_one_that_speaks_a64_on_this_processor(monkeypatch, machine, wish, key):
    monkeypatch.setattr(engines.platform, "machine", lambda: machine)
    monkeypatch.setenv("HYPKIT_ENGINE", wish)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: name)
    assert engines.chosen() == key
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    assert engines.chosen() is None


def test_a_wish_for_an_engine_that_there_is_not_is_told(monkeypatch):
    monkeypatch.setenv("HYPKIT_ENGINE", "gas")
    with pytest.raises(ValueError, match="HYPKIT_ENGINE must be keystone, llvm or none; got 'gas'"):
        assemble("sub x27, x26, #4003")


LLVM_SAYS = """\
"ready"
warning: <inline asm>:1:1: unpredictable
ldp x0, x0, [x1]
^
1
error: <inline asm>:3:1: unrecognized instruction mnemonic
frob x0
^
"""


def test_what_llvm_says_of_a_line_before_it_ends_is_understood():
    class Process:
        stdout = io.StringIO(LLVM_SAYS.removeprefix('"ready"\n'))

    assert Engine._read(Process(), 4) == ([1], "crashed", 2)
    Process.stdout = io.StringIO("<inline asm>:2:5: error: no\n")  # older releases
    assert Engine._read(Process(), 4) == ([], "crashed", 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mrs x0, vbar_el12", "vbar_el12 exists from Armv8.1 (VHE) on"),
        ("msr cntv_ctl_el02, x1", "use cntv_ctl_el0"),
        ("mrs x0, trfcr_el12", "'trfcr_el12' is not a system register known here"),
        ("msr brbcr_el12, x2", "'brbcr_el12' is not a system register known here"),
    ],
)
def test_only_registers_of_vhe_are_called_so(text, says):
    with pytest.raises(AsmError) as caught:
        assemble(text)
    assert says in caught.value.message
