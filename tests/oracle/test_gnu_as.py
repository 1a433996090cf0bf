"""GNU as as judge of the assembler front: same text, same bytes."""

import re
import subprocess

import pytest

from hypkit import asm
from hypkit.asm import AsmError, Program, Unit, assemble, recorded
from hypkit.asm.diagnose import NO_ENGINE
from hypkit.kernel import programs
from hypkit.kernel.variants import VARIANTS
from tests.corpus import BASES, golden, snippets, write_golden
from tests.judges import judge, judged, tool
from tests.marks import needs_engine
from tests.oracle import mutants_as
from tests.oracle.forms import forms
from tests.oracle.gnu import MARCH, gnu_bytes, words_of_gnu_as


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> dict[str, list[bytes]]:
    """What GNU as and ld make of every snippet."""
    judge("as")
    folder = tmp_path_factory.mktemp("gnu")
    return {name: gnu_bytes(text, BASES, folder) for name, text in snippets().items()}


@needs_engine
def test_every_snippet_has_the_bytes_that_gnu_as_gives_it(theirs):
    ours = {
        name: [assemble(text, base, name=name).code for base in BASES]
        for name, text in snippets().items()
    }
    assert [name for name in ours if ours[name] != theirs[name]] == []
    judged("snippets equal to GNU as", len(ours))


def test_the_recorded_bytes_are_those_of_gnu_as(theirs):
    assert theirs == golden(), "run `python -m tests.oracle.test_gnu_as` to record them anew"


def guest_units(monkeypatch) -> list[tuple[Unit, Program, dict[str, int], dict[str, int], str]]:
    """Every different unit of every variant's guest, as `link` was asked for it and made it:
    (unit, program, outside symbols, constants, prelude)."""
    found = {}

    def spy(units, *, symbols, constants, prelude, **more):
        programs = asm.link(units, symbols=symbols, constants=constants, prelude=prelude, **more)
        everything = dict(symbols)
        for program in programs:
            everything |= program.symbols
        for unit, program in zip(units, programs, strict=True):
            text = prelude + unit.text
            outside = {
                name: value
                for name, value in everything.items()
                if name not in program.symbols and name in text
            }
            key = (unit.text, program.base, *outside.items(), *constants.items())
            found[key] = unit, program, outside, constants, prelude
        return programs

    monkeypatch.setattr(programs, "link", spy)
    for key in VARIANTS:
        programs.build.__wrapped__(key)
    return list(found.values())


@needs_engine
def test_every_line_of_guest_code_has_the_bytes_that_gnu_as_gives_it(monkeypatch, tmp_path):
    judge("as")
    count = 0
    for unit, program, outside, constants, prelude in guest_units(monkeypatch):
        # GNU as aligns within its section: let the section start at a page, and the unit where
        # it lies in that page.
        lead = program.base & 0xFFF
        text = "".join(f".equ {name}, {value:#x}\n" for name, value in constants.items())
        text += f"{prelude}\n.space {lead}\n{unit.text}"
        (made,) = gnu_bytes(text, (program.base - lead,), tmp_path, outside)
        assert made[lead:] == program.code, unit.name
        count += len(program.lines)
    assert count > 500
    judged("guest instructions and data items equal to GNU as", count)


@needs_engine
def test_no_instruction_gets_another_word_than_gnu_as_gives_it(tmp_path):
    judge("as")
    theirs = words_of_gnu_as(forms(), tmp_path)
    lines = list(theirs)
    ours: dict[str, int] = {}
    refused = []
    while lines:  # a refusal ends an assembly: note the line, and go on behind it
        part = lines[:100]
        try:
            code = assemble("\n".join(part)).code
        except AsmError as e:
            refused.append(part[e.line - 1])
            lines.remove(refused[-1])
        else:
            ours |= {t: int.from_bytes(code[4 * i :][:4], "little") for i, t in enumerate(part)}
            lines = lines[100:]
    wrong = {line: (f"{theirs[line]:08x}", f"{word:08x}") for line, word in ours.items()
             if word != theirs[line]}  # fmt: skip
    assert not wrong
    assert len(ours) > 3000
    judged("instruction forms equal to GNU as", len(ours))
    judged("instruction forms that GNU as takes and hypkit refuses with a sentence", len(refused))


@needs_engine
def test_no_instruction_is_taken_that_gnu_as_refuses(tmp_path):
    judge("as")
    theirs = words_of_gnu_as(forms(), tmp_path)
    taken, refused = [], 0
    for line in forms():
        if line not in theirs:
            try:
                assemble(line)
            except AsmError:
                refused += 1
            else:
                taken.append(line)
    assert taken == []
    assert refused > 4000
    judged("instruction forms that GNU as and hypkit refuse", refused)


WIDE = (
    "0x100000000",
    "0x100000001",
    "0x10000000f",
    "0x8000000000000000",
    "-0x100000001",
    "4294967300",
)


@needs_engine
def test_no_number_beyond_32_bits_is_cut(tmp_path):
    judge("as")
    kinds = {}
    for line in forms():
        kinds.setdefault(re.sub(r"(?<![a-z_])\d+|(?<=[xwvdsq])\d+", "N", line), line)
    lines = {
        line[: spot.start()] + wide + line[spot.end() :]
        for line in kinds.values()
        for spot in re.finditer(r"(?<![\w.])-?\d+(?![\w.])", line)
        for wide in WIDE
    }
    theirs = words_of_gnu_as(sorted(lines), tmp_path)
    wrong, taken = [], 0
    for line in sorted(lines):
        try:
            word = int.from_bytes(assemble(line).code, "little")
        except AsmError:
            continue
        taken += 1
        if word != theirs.get(line):
            wrong.append(line)
    assert wrong == []
    assert len(lines) > 1500 and taken > 10
    judged("lines with numbers beyond 32 bits, none cut", len(lines))


# GNU as overflows: it takes the number for minus itself.
REFUSED_ON_PURPOSE = re.compile(r"(add|sub|cmp|cmn)s? .*#9223372036854775808$")


def test_what_is_said_without_an_engine_is_true_of_every_form_that_gnu_as_takes(
    monkeypatch, tmp_path
):
    judge("as")
    monkeypatch.setenv("HYPKIT_ENGINE", "none")
    monkeypatch.setattr(recorded, "learned", {})
    monkeypatch.setattr(recorded, "encodings", lambda: {})
    said = {}
    for line in words_of_gnu_as(forms(), tmp_path):
        try:
            assemble(line)
        except AsmError as e:
            said[line] = e.message
    false = {line: message for line, message in said.items() if NO_ENGINE not in message}
    assert not {line for line in false if not REFUSED_ON_PURPOSE.match(line)}, false
    assert len(said) > 3000
    judged("forms of which nothing untrue is said without an engine", len(said))


@needs_engine
def test_mutated_lines_have_the_bytes_that_gnu_as_gives_them():
    judge("as")
    result = mutants_as.run(1500, seed=20)
    assert result.differing == [] and result.raw == []
    assert len(result.only_ours) <= 2, result.only_ours
    assert result.counts["compared"] > 250
    judged("mutated lines equal to GNU as", result.counts["compared"])


def test_the_recorded_encodings_are_those_of_gnu_as(tmp_path):
    judge("as")
    recorded = asm.encodings()
    theirs = words_of_gnu_as(list(recorded), tmp_path)
    assert theirs == recorded
    judged("recorded encodings equal to GNU as", len(recorded))


def test_gnu_as_refuses_what_we_call_not_encodable(tmp_path):
    judge("as")
    for line in ("cmp x0, #0x100e", "and x0, x0, #0x1234", "mov x0, #0x12345678",
                 "ldr x0, [x1, #0x8000]", "mov x0, x31", "movz x0, #0x10000"):  # fmt: skip
        with pytest.raises(AsmError):
            assemble(line)
        done = subprocess.run([judge("as"), MARCH, "-o", str(tmp_path / "x.o"), "-"],
                              input=line + "\n", capture_output=True, text=True)  # fmt: skip
        assert done.returncode != 0, line


if __name__ == "__main__":
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        assert tool("ld")
        write_golden({n: gnu_bytes(t, BASES, Path(folder)) for n, t in snippets().items()})
