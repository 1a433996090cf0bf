"""gcc as judge of headers: the same texts taken, with the same numbers, slots and expansions.

    python -m tests.oracle.gcc 2000 --seed 1

prints the counts over the corpus and so many mutated headers, and every difference.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from hypkit import header
from hypkit.a64.registers import MASK64
from hypkit.header import DEFINES, ENUM, HeaderError, front_end, preprocess, read_header
from hypkit.header.compiler import LIST, NUMBERS, PRELUDE
from hypkit.kernel.variants import HYPERCALLS, SPARE
from tests import clang_here
from tests.judges import judge

Files = dict[str, str]

# The kernel's dialect, and what its Makefile makes an error of; chars are unsigned as on arm64.
FLAGS = (
    *("-std=gnu11", "-nostdinc", "-S", "-o", "-", "-fno-zero-initialized-in-bss", "-fno-common"),
    *("-funsigned-char", "-w", "-O0", "-fno-pic", "-fno-asynchronous-unwind-tables"),
    "-ftrack-macro-expansion=0",  # an error in a macro lies where the macro is used
    *("-Werror=implicit-int", "-Werror=implicit-function-declaration", "-Werror=int-conversion"),
)
# Refusals that are the kit's own: the sentence, and why gcc does not make it.
OURS = {
    "the table of this kit has": "a size outside of 1 to 512",
    "nothing says how many slots": "no size at all",
    "there is no macro KVM_HOST_HCALL_NR": "no macro that makes a number of a name",
    "must take one argument": "a macro that makes no number of a name",
    "numbers of calls are not negative": "a negative base or end",
    "there is no function": "a function that only the linker would miss",
    "can hold the name of a function": "a slot that is no function",
    "and nothing gives": "no call has a number",
    "a shift by": "a shift that has no value in C: gcc warns, and takes any number",
    "pasting formed": "two ## in a row, which gcc takes for one",
}
# The same for an expansion.
UNEXPANDED = {
    "there is no directive": "an unknown directive, which gcc hands to the assembler",
    "pasting formed": "a ## that makes no token, which gcc lets pass in a .S file",
    "leave a parenthesis": "a parenthesis without its other, out of a macro",
}


@dataclass(frozen=True)
class Verdict:
    """What one of the two makes of a header: a reason for refusing it, or its numbers and slots."""

    refused: str = ""
    base: int | None = None
    end: int | None = None
    numbers: tuple[tuple[str, int], ...] = ()
    slots: tuple[str | None, ...] = ()


def kits(files: Files) -> Verdict:
    """The kit's verdict, by one clang for all."""
    try:
        with mock.patch.object(front_end, "opened", clang_here.opened):
            found = read_header(files)
    except HeaderError as error:
        return Verdict(error.message)
    finally:
        header._numbers.cache_clear()
    n = found.numbering
    return Verdict("", n.base & MASK64, n.end & MASK64, n.numbers, n.slots)


def gccs(files: Files, folder: Path) -> Verdict:
    """gcc's verdict: the numbers and slots out of the assembly text that it makes."""
    text = "\n".join(files.values())
    names = [*HYPERCALLS, *(name for name in SPARE if name in text)]
    limits = [f"KVM_HOST_HCALL_{what}" for what in ("SIZE", "BASE", "END")]
    probes = {f"n{i}": f"KVM_HOST_HCALL_NR({name})" for i, name in enumerate(names)}
    limit = {f"l{i}": name for i, name in enumerate(limits)}
    probes |= limit
    missing: set[str] = set()
    for _ in range(2):
        made, said, lines = _compiled(files, folder, probes, missing)
        if made is not None:
            break
        errors = re.findall(r"(?m)^(\S+?):(\d+):\d+: (?:fatal )?error: (.*)$", said)
        now, others = set(), []
        for file, line, what in errors:
            probe = lines.get(int(line)) if file.endswith("main.c") else None
            name = re.match("'(\\w+)' undeclared", what)
            # A call may be without a number, a limit may be missing: but not what it becomes.
            if probe and name and (probe not in limit or name[1] == limit[probe]):
                now.add(probe)
            else:
                others.append(what)
        if others or not now or not errors:
            return Verdict(others[0] if others else said.strip()[:200] or "gcc refuses")
        missing |= now
    else:
        return Verdict(said[:200])
    values = {name: _words(made, f"hypkit_{name}") for name in probes if name not in missing}
    number = {name: int(words[0]) if words else 0 for name, words in values.items()}
    size, base, end = (number.get(f"l{i}") for i in range(3))
    base = base or 0
    table = _words(made, "hypkit_table")
    slots = tuple(None if word in ("0", "kvm_hc_ni") else word for word in table)
    return Verdict(
        "",
        base & MASK64,
        (base + (size or 0) if end is None else end) & MASK64,
        tuple((name, number[f"n{i}"] & MASK64) for i, name in enumerate(names)
              if f"n{i}" in number),
        slots,
    )  # fmt: skip


def _compiled(
    files: Files, folder: Path, probes: Mapping[str, str], missing: set[str]
) -> tuple[str | None, str, dict[int, str]]:
    """gcc's assembly text or None, what it said, and which probe stands in which line."""
    listed = LIST if LIST in files else NUMBERS
    text = "\n".join(files.values())
    parts = [PRELUDE, f'#include "{NUMBERS}"\n']
    lines: dict[int, str] = {}
    for name, probe in probes.items():
        if name not in missing:
            lines[1 + sum(part.count("\n") for part in parts)] = name
            parts.append(f"enum {{ e_{name} = ({probe}) }}; "
                         f"const long hypkit_{name} = e_{name};\n")  # fmt: skip
    parts += (
        f"void {name}(void);\n"
        for name in (*HYPERCALLS, *SPARE, "kvm_hc_ni")
        if not re.search(rf"\b{name}\s*\(", text)
    )
    parts.append(
        "#undef KVM_HOST_HCALL\n"
        "#define KVM_HOST_HCALL(name) [KVM_HOST_HCALL_IDX_##name] = name,\n"
        f'void *const hypkit_table[KVM_HOST_HCALL_SIZE] = {{\n#include "{listed}"\n}};\n'
    )
    for name, content in {**files, "main.c": "".join(parts)}.items():
        (folder / name).write_text(content, encoding="utf-8")
    done = subprocess.run(
        [judge("gcc"), *FLAGS, "main.c"], cwd=folder, capture_output=True, text=True, timeout=60,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return (done.stdout if done.returncode == 0 else None), done.stderr, lines


def _words(text: str, label: str) -> list[str]:
    """The 64-bit words after a label of an assembly text."""
    found = re.search(rf"(?m)^{label}:\n((?:\t\.(?:xword|quad|zero|dword)\t.*\n)*)", text)
    words: list[str] = []
    for kind, what in re.findall(r"\.(\w+)\t(\S+)", found[1]) if found else ():
        words += ["0"] * min(int(what) // 8, 4096) if kind == "zero" else [what]
    return words


# --- Expansions -----------------------------------------------------------------------------------

LINES = """\
#ifdef __ASSEMBLER__
        cmp     x0, #KVM_HOST_HCALL_END     // the end
        mov     x1, #KVM_HOST_HCALL_NR(__kvm_vcpu_run_nvhe)
        ldr     x2, [x3, KVM_HOST_HCALL_SIZE * 8]   /* one
        and another */
        KVM_HOST_HCALL_BASE KVM_HOST_HCALL_IDX___kvm_get_mdcr_el2
        .ascii  "KVM_HOST_HCALL_BASE", 'a', "it's"
        .macro  m \\reg
        add     \\reg, \\reg, #KVM_HOST_HCALL_BASE
#endif
#if KVM_HOST_HCALL_BASE > 3 && defined(KVM_HOST_HCALL_NR)
        .quad KVM_HOST_HCALL_NR(
                __kvm_enable_ssbs), (1
#else
        .quad 0
#endif
"""
_MARK = "hypkit_starts_here"


def kits_expansion(files: Files) -> tuple[str | None, str]:
    """What the kit's preprocessor makes of LINES, blanks taken out, or None and why it refuses."""
    try:
        with mock.patch.object(front_end, "opened", clang_here.opened):
            return _blankless(preprocess(LINES, files)), ""
    except HeaderError as error:
        return None, error.message
    finally:
        header._preprocessed.cache_clear()


def gccs_expansion(files: Files, folder: Path) -> str | None:
    """What gcc -E makes of LINES in a .S file, blanks taken out; None where it refuses."""
    for name, content in {
        **files, "lines.S": f'#include "{NUMBERS}"\n{_MARK}\n{LINES}'
    }.items():  # fmt: skip
        (folder / name).write_text(content, encoding="utf-8")
    done = subprocess.run(
        [judge("gcc"), "-E", "-P", "-nostdinc", "-std=gnu11", "lines.S"],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return _blankless(done.stdout.partition(_MARK)[2]) if done.returncode == 0 else None


def _blankless(text: str) -> str:
    return re.sub(r"\s+", "", text)


# --- Headers --------------------------------------------------------------------------------------

RUN = "KVM_HOST_HCALL_NR(__kvm_vcpu_run_nvhe)"
# Lines of C that a header may have, right and wrong.
PIECES = (
    *(f"typedef char guard[{RUN} == {n} ? 1 : -1];" for n in (0x105, 0x106)),
    *(f"extern char guard2[1 - 2 * !!({RUN} != {n})];" for n in (0x105, 7)),
    *(f"struct g{n} {{ int x : {RUN} == {n} ? 1 : -1; }};" for n in (0x105, 9)),
    *(f"static inline void f{n}(int x) {{ switch (x) {{ case 0: case {RUN} == {n}: ; }} }}"
      for n in (0x105, 11)),
    *(f"enum {{ guard{n} = 1 / ({RUN} == {n}) }};" for n in (0x105, 13)),
    *(f'static_assert({RUN} == {n}, "moved");' for n in (0x105, 15)),
    *(f"BUILD_BUG_ON({RUN} != {n});" for n in (0x105, 17)),
    *(f'_Static_assert({RUN} == {n}, "moved");' for n in (0x105, 19)),
    "enum { A1 = };", "enum { A2 = 1 + };", "int x1 = ;", "_Static_assert();", "hello",
    "enum x2 : unsigned { Q };", "enum __attribute__((packed)) z { Z };",
    "enum { ZZ } __attribute__((packed));", "enum e3 { AA3 } x3, y3;",
    "enum { C1 = '\\n', C2 = '\\x41', C3 = sizeof(long), C4 = L'a' };",
    "typedef unsigned long u64; enum { D1 = (u64)1 << 40 };",
    "struct s { enum { IN } e; }; enum { OUT = IN };", "enum { B1 = 1 ? 2 : NO_SUCH };",
    "enum { B2 = 0 && NO_SUCH };", "int a4[-1];", "enum { F1 = 1 ?: 2 };", "enum { F2 = (1, 2) };",
    "__extension__ typedef int t5;", "enum { A6 = 08 };", "enum { A7 = 0x };",
    "#define HEX(x) (0x##x)", "#undef KVM_HOST_HCALL_BASE", "#include <linux/types.h>",
    "#define KVM_HOST_HCALL_BASE HEX(100)", "#pragma once", "#warning soon", "#error no", "#line 7",
    "// old: C:\\", "/* half", "#if 0", "#else", "#endif", "#elif 1", "#ifdef X", "\\", "}", "{", ";",
    "#elifdef X", "#elifndef X", "int f6(void);", "int f7(void) { return KVM_HOST_HCALL_SIZE; }",
    "extern void __kvm_enable_ssbs(void);", "#define KVM_HOST_HCALL_SIZE 15",
    "#define E1", "#if E1\n#endif", "enum { G1 = ~0xC6000001, G2 = -0x80000000 };",
    "#if __STDC_VERSION__ < 201112L\n#error old\n#endif", "#ifndef __GNUC__\n#error no\n#endif",
    "#ifdef __ASSEMBLER__\n#define KVM_HOST_HCALL_SIZE 3\n#endif",
    "#if __has_include(\"no such file\")\n#error no\n#endif", "const int n8 = 5;",
    "enum { H1 = n8 };", "enum { H2 = (int)3.5 };", "enum { H3 = 3.5 };", "enum { H4 = \"x\"[0] };",
    "enum { H5 = __builtin_constant_p(3) };", "enum { H6 = sizeof(int[3]) / sizeof(int) };",
    "enum { H7 = 1 << 31, H8 = 1u << 31, H9 = 2147483647 + 1 };", "enum { I1 = 1 << 32 };",
    "enum { I2 = ({ 3; }) };", "static int v9 = KVM_HOST_HCALL_SIZE;", "int x; int x;", "int y; long y;",
)  # fmt: skip
OPERATORS = "+ - * / % << >> & | ^ && || == != < > <= >=".split()
LITERALS = (
    "0 1 2 3 7 14 0x10 017 0b101 '0' 'a' 10U 3L 0xffffffff 0x80000000 2147483647 1ULL 0x7fffffffffffffff"
    " 0x8000000000000000 18446744073709551615ULL 4294967296 sizeof(int) KVM_HOST_HCALL_SIZE"
    " KVM_HOST_HCALL_IDX___kvm_get_mdcr_el2 NO_SUCH defined(X)"
).split()


def expression(draw: random.Random, depth: int = 3) -> str:
    """A random integer expression."""
    if not depth or draw.random() < 0.25:
        return draw.choice(LITERALS[: -1 if draw.random() < 0.9 else None])
    kind = draw.random()
    if kind < 0.15:
        return f"{draw.choice('~-!+')}({expression(draw, depth - 1)})"
    if kind < 0.25:
        parts = (expression(draw, depth - 1) for _ in range(3))
        return "(({}) ? ({}) : ({}))".format(*parts)
    left, right = (expression(draw, depth - 1) for _ in range(2))
    operator = draw.choice(OPERATORS)
    if operator in ("<<", ">>"):  # of 64 and more: see test_gcc.py, the known differences
        right = str(draw.choice((0, 1, 4, 31, 32, 63)))
    return f"({left} {operator} {right})"


def condition(draw: random.Random) -> str:
    """A random #if with a base in each branch."""
    text = re.sub(r"sizeof\(int\)", "4", expression(draw, 4))
    return (
        f"#undef KVM_HOST_HCALL_BASE\n#if {text}\n#define KVM_HOST_HCALL_BASE 0x200\n"
        "#else\n#define KVM_HOST_HCALL_BASE 0x300\n#endif"
    )


def mutated(files: Files, draw: random.Random) -> Files:
    """A header with one to three changes."""
    files = dict(files)
    for _ in range(draw.choice((1, 1, 2, 3))):
        name = draw.choice(sorted(files))
        lines = files[name].split("\n")
        at = draw.randrange(len(lines))
        match draw.randrange(9):
            case 0:
                lines.insert(at, draw.choice(PIECES))
            case 1 | 2:
                lines.append(draw.choice(PIECES))
            case 3:
                lines.append(condition(draw))
            case 4:
                lines[at : at + 1] = draw.choice(([], [lines[at]] * 2, lines[at : at + 2][::-1]))
            case 5 | 6:
                numbered = [n for n, line in enumerate(lines) if re.search(r"\b\d\w*$", line)]
                if numbered:
                    at = draw.choice(numbered)
                    lines[at] = re.sub(r"\b\d\w*$", lambda _: expression(draw), lines[at])
            case _:
                tokens = re.findall(r"\w+|\s+|##|[^\w\s]", lines[at])
                if tokens:
                    spot = draw.randrange(len(tokens))
                    tokens[spot : spot + 1] = draw.choice(
                        ([], [tokens[spot]] * 2, [draw.choice(tokens)], [draw.choice("(),;=#{}1+\"'")])
                    )  # fmt: skip
                    lines[at] = "".join(tokens)
        files[name] = "\n".join(lines)
    return files


def bases() -> list[Files]:
    """Good headers of several styles."""
    names = ", ".join(f"KVM_HOST_HCALL_IDX_{name}" for name in HYPERCALLS)
    listing = "".join(f"KVM_HOST_HCALL({name})\n" for name in HYPERCALLS)
    guarded = (
        f"#ifndef KVM_HOST_HCALL\nenum {{ {names}, KVM_HOST_HCALL_SIZE }};\n"
        "#define KVM_HOST_HCALL_NR(name) (KVM_HOST_HCALL_IDX_##name)\n#else\n"
        f"{listing}#endif\n"
    )
    table = "[0 ... KVM_HOST_HCALL_SIZE - 1] = kvm_hc_ni,\n" + "".join(
        f"[KVM_HOST_HCALL_IDX_{name}] = {name},\n" for name in HYPERCALLS
    )
    by_hand = guarded.partition("#else")[0] + "#endif\n"
    return [dict(DEFINES), dict(ENUM), {NUMBERS: guarded}, {NUMBERS: by_hand, LIST: table},
            {NUMBERS: by_hand, LIST: ",\n".join(HYPERCALLS)}]  # fmt: skip


def corpus() -> list[Files]:
    """Every good header alone, with every piece after it, and every piece before it."""
    found = bases()
    for piece in PIECES:
        found += ({**ENUM, NUMBERS: f"{ENUM[NUMBERS]}\n{piece}\n"},
                  {NUMBERS: f"{piece}\n{DEFINES[NUMBERS]}"})  # fmt: skip
    return found


def mutants(count: int, seed: int) -> Iterator[Files]:
    """So many mutated headers; the same for the same seed."""
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        yield mutated(draw.choice(bases()), draw)


# --- The comparison -------------------------------------------------------------------------------


def compared(headers: list[Files], folder: Path) -> tuple[Counter[str], list[str]]:
    """How often the two agree and how, and what they differ in."""

    def asked(job: tuple[int, Files]) -> tuple[Verdict, str | None]:
        mine = folder / str(job[0] % 64 if len(headers) < 64 else job[0])
        mine.mkdir(exist_ok=True)
        return gccs(job[1], mine), gccs_expansion(job[1], mine)

    counts: Counter[str] = Counter()
    differences = []
    with ThreadPoolExecutor(2) as pool:
        for files, (theirs, expanded) in zip(
            headers, pool.map(asked, enumerate(headers)), strict=True
        ):
            what = difference(files, theirs, expanded, counts)
            if what:
                differences.append(f"{what}\n{files}")
    return counts, differences


def difference(files: Files, theirs: Verdict, expanded: str | None, counts: Counter[str]) -> str:
    """What the kit makes otherwise of a header, "" for nothing; counts what was compared."""
    ours = kits(files)
    text, wrong = kits_expansion(files)
    if expanded is not None and text is not None:
        counts["expansions equal to gcc -E"] += 1
        if text != expanded and "####" not in "".join(files.values()):
            return f"expands otherwise:\n ours   {text}\n theirs {expanded}"
    elif expanded is not None:
        reason = next((why for said, why in UNEXPANDED.items() if said in wrong), None)
        if not reason:
            return f"the kit does not expand: {wrong}"
        counts[f"expansions only gcc -E makes: {reason}"] += 1
    elif text is not None:
        return f"gcc -E does not expand; the kit: {text}"
    if ours.refused and theirs.refused:
        counts["headers that gcc and the kit refuse"] += 1
        return ""
    if ours.refused:
        reason = next((why for said, why in OURS.items() if said in ours.refused), None)
        if reason:
            counts[f"headers only the kit refuses: {reason}"] += 1
            return ""
        return f"only the kit refuses: {ours.refused}"
    if theirs.refused:
        return f"only gcc refuses: {theirs.refused}"
    if ours != theirs:
        return f"ours {ours}\ntheirs {theirs}"
    counts["headers of which gcc makes the same numbers and slots"] += 1
    return ""


def main() -> None:
    """Compare the corpus and as many mutants as asked for, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=2000, help="of mutated headers")
    parser.add_argument("--seed", type=int, default=2020)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        headers = corpus() + list(mutants(chosen.count, chosen.seed))
        counts, differences = compared(headers, Path(folder))
    for one in differences:
        print("---", one)
    print(f"{len(headers)} headers, {chosen.count} of them mutated with seed {chosen.seed}")
    for what, count in sorted(counts.items()):
        print(f"{what}: {count:,}")
    print(f"differences: {len(differences)}")


if __name__ == "__main__":
    main()
