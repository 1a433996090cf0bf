"""`python -m tests.oracle.engine_corpus [--refused N]`: hold this machine's engine to GNU as.

Keystone on x86-64, LLVM on arm64: every form of every mnemonic (tests/oracle/forms.py), every
snippet of the corpus at each of its bases, and every recorded encoding, as GNU as has them. Nothing
recorded is used: each word is the engine's own. With --refused N every N-th form that GNU as refuses
is tried as well, one by one. Ends with 1 if a word differs, if a form that GNU
as takes is refused without a reason listed here, or if one is taken that GNU as refuses.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from hypkit.asm import AsmError, assemble, engine, recorded
from tests.corpus import BASES, golden, snippets
from tests.judges import find
from tests.oracle.forms import forms
from tests.oracle.gnu import words_of_gnu_as

# What hypkit refuses though GNU as takes it, whatever the engine.
ON_PURPOSE = re.compile(
    r"(add|sub|cmp|cmn)s? .*#9223372036854775808$"  # GNU as overflows
    r"|(add|sub)s? x\d+, \w+, x\d+, [su]xt[bhw]|(cmp|cmn|neg|negs) x\d+, x\d+, [su]xt[bhw]"  # wants w
    r"|(add|sub)s? x\d+, \w+, w\d+, [us]xtx|(cmp|cmn) x\d+, w\d+, [us]xtx"  # wants x
    r"|msr (cnt[pv]ct|ccsidr|clidr|ctr|dczid|midr|mpidr|isr|id|ich_vtr|ich_eisr|ich_misr|ich_elrsr|icc_iar1|currentel)"  # read-only
    r"|mrs x3, (oslar|icc_eoir1|icc_sgi1r)_"  # write-only
    r"|ldp|ldnp|ldpsw|ldr|str|stp"  # unpredictable register choices
)


def compare(lines: dict[str, int | None]) -> tuple[list[str], list[str]]:
    """Return (the lines whose word is another, those that are refused) of line -> word, None for a
    line that is to be refused."""
    wrong, refused = [], []
    queue = [line for line, word in lines.items() if word is not None]
    while queue:  # a refusal ends an assembly: note the line, and go on after it
        part = queue[:200]
        try:
            code = assemble("\n".join(part)).code
        except AsmError as e:
            refused.append(part[e.line - 1])
            queue = part[: e.line - 1] + part[e.line :] + queue[200:]
            continue
        words = (int.from_bytes(code[at : at + 4], "little") for at in range(0, len(code), 4))
        wrong += [
            f"{line}: got {word:08x}, expected {lines[line]:08x}"
            for line, word in zip(part, words, strict=True)
            if word != lines[line]
        ]
        queue = queue[200:]
    for line in (line for line, word in lines.items() if word is None):
        try:
            code = assemble(line).code
        except AsmError:
            continue
        wrong.append(f"{line}: got {code[::-1].hex()}, expected a refusal")
    return wrong, refused


def main(arguments: list[str]) -> int:
    """Print what became of the corpus; return 1 if anything differs."""
    if not engine.present() or find("as") is None:
        print("expected an engine and GNU as (binutils-aarch64-linux-gnu)", file=sys.stderr)
        return 2
    encodings = recorded.encodings()
    recorded.encodings = dict  # type: ignore[assignment]  # hide them: the engine is to answer
    with tempfile.TemporaryDirectory() as folder:
        taken = words_of_gnu_as(forms(), Path(folder))
    wanted: dict[str, int | None] = dict(taken)
    if arguments[:1] == ["--refused"]:
        others = [line for line in forms() if line not in taken]
        wanted |= dict.fromkeys(others[:: int(arguments[1])])
    wrong, refused = compare(wanted)
    failed = wrong + [line for line in refused if not ON_PURPOSE.match(line)]
    equal = len(taken) - len(refused) - sum("expected a refusal" not in w for w in wrong)
    other, missing = compare(dict(encodings))
    failed += other + missing
    texts = 0
    for name, text in snippets().items():
        if [assemble(text, base, name=name).code for base in BASES] == golden()[name]:
            texts += 1
        else:
            failed.append(f"snippet {name!r} differs")
    for line in failed:
        print(line)
    count = len(taken) - len(refused)
    print(f"forms assembled by {engine.name} equal to GNU as: {equal:,} of {count:,}")
    print(f"forms that GNU as takes and hypkit refuses with a sentence: {len(refused)}")
    if len(wanted) > len(taken):
        print(f"forms that GNU as and {engine.name} refuse: {len(wanted) - len(taken):,}")
    right = len(encodings) - len(other) - len(missing)
    print(f"recorded encodings equal to {engine.name}: {right:,} of {len(encodings):,}")
    print(f"snippets equal to GNU as at {len(BASES)} bases: {texts} of {len(snippets())}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
