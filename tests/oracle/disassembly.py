"""What GNU objdump reads in instruction words: recorded, so that decoding can be judged anywhere.

`python -m tests.oracle.disassembly` records the corpus anew.
"""

import re
import subprocess
from functools import cache
from pathlib import Path

from hypkit.a64 import sysregs
from tests.judges import tool
from tests.oracle.gnu import gnu_object

RECORDED = Path(__file__).parents[1] / "corpus" / "disassembly.txt"


def _sizes():
    """(mnemonic's letters after ld or st, register prefixes, bytes) of single registers."""
    yield "r", "x", 8
    yield "r", "w", 4
    for letter, size in (("b", 1), ("h", 2)):
        yield f"r{letter}", "w", size
    yield from (
        ("rs" + letter, prefix, size) for letter, size in (("b", 1), ("h", 2)) for prefix in "wx"
    )
    yield "rsw", "x", 4


def _addresses(size):
    """Every way to write an address for one register of *size* bytes, but the literal."""
    yield "[x2]"
    yield "[sp]"
    yield f"[x2, #{size}]"
    yield f"[sp, #{4095 * size}]"
    for offset in (-256, -1, 8, 255):
        yield f"[x2, #{offset}]!"
        yield f"[sp], #{offset}"
    shift = size.bit_length() - 1
    yield "[x2, x3]"
    yield "[sp, x30]"
    yield "[x2, xzr]"
    yield "[x2, w3, uxtw]"
    yield "[sp, w3, sxtw]"
    yield "[x2, x3, sxtx]"
    if shift:
        yield f"[x2, x3, lsl #{shift}]"
        yield f"[x2, w3, uxtw #{shift}]"
        yield f"[x2, w3, sxtw #{shift}]"
        yield f"[x2, x3, sxtx #{shift}]"


def _singles():
    for letters, prefix, size in _sizes():
        for kind in ("ld",) if "s" in letters else ("ld", "st"):
            for address in _addresses(size):
                yield f"{kind}{letters} {prefix}1, {address}"
            yield f"{kind}{letters} {prefix}zr, [x2]"
            yield f"{kind}{letters} {prefix}30, [x2]"
            for way in ("u", "t"):  # unscaled, and with EL0's permissions
                for offset in (-256, -3, 255):
                    yield f"{kind}{way}{letters} {prefix}1, [x2, #{offset}]"
    for prefix, size in (("b", 1), ("h", 2), ("s", 4), ("d", 8), ("q", 16)):
        for kind in ("ld", "st"):
            for address in _addresses(size):
                yield f"{kind}r {prefix}1, {address}"
            yield f"{kind}ur {prefix}1, [x2, #-3]"


def _pairs():
    for letters, prefix, size in (
        ("p", "x", 8),
        ("p", "w", 4),
        ("psw", "x", 4),
        ("p", "s", 4),
        ("p", "d", 8),
        ("p", "q", 16),
    ):
        for kind in ("ld",) if letters == "psw" else ("ld", "st"):
            name = f"{kind}{letters} {prefix}1, {prefix}4"
            yield f"{name}, [x2]"
            for offset in (-64 * size, 63 * size):
                yield f"{name}, [x2, #{offset}]"
                yield f"{name}, [sp, #{offset}]!"
                yield f"{name}, [x2], #{offset}"
            if letters == "p":
                yield f"{kind}n{name[2:]}, [x2, #{-8 * size}]"
    yield "stp xzr, x30, [sp, #-16]!"
    yield "ldp wzr, w30, [sp], #16"


def _exclusives():
    for letter, prefix in (("", "x"), ("", "w"), ("b", "w"), ("h", "w")):
        for name in ("ldxr", "ldaxr", "ldar", "stlr"):
            yield f"{name}{letter} {prefix}1, [x2]"
            yield f"{name}{letter} {prefix}zr, [sp]"
        for name in ("stxr", "stlxr"):
            yield f"{name}{letter} w5, {prefix}1, [x2]"
    for prefix in "xw":
        for name in ("ldxp", "ldaxp"):
            yield f"{name} {prefix}1, {prefix}4, [x2]"
        for name in ("stxp", "stlxp"):
            yield f"{name} w5, {prefix}1, {prefix}4, [sp]"


def _literals():
    for name in ("ldr x1", "ldr w1", "ldrsw x1", "ldr s1", "ldr d1", "ldr q1", "ldr xzr"):
        for distance in (-0x100000, -4, 0, 0xFFFFC):
            yield f"{name}, .{distance:+d}"


# No memory of a register's: prefetches, cache operations, atomics that a Cortex-A72 lacks.
_NO_ACCESS = """prfm pldl1keep, [x2, #8]
prfm pldl1keep, [x2, x3]
prfm pldl1keep, .+8
prfum pldl1keep, [x2, #-8]
clrex
dc civac, x0
at s1e2r, x1"""

# Where a PC-relative operand leads, and everything else the guest is made of.
_OTHERS = """b .+8
b .-0x8000000
bl .+0x7fffffc
b.eq .-0x100000
b.hs .+0xffffc
cbz x1, .-4
cbnz w30, .+0xffffc
tbz x1, #63, .-0x8000
tbnz w1, #31, .+0x7ffc
adr x1, .-0x100000
adr x30, .+0xfffff
adr x1, .+1
.inst 0xb0000009
.inst 0xf0ffffe9
br x1
blr x30
ret
ret x1
eret
hvc #0x1234
svc #7
smc #0
brk #0xbad
hlt #1
nop
hint #16
hint #20
yield
wfi
isb
dsb sy
dsb ish
dsb ishst
dsb nsh
dmb sy
mov x0, #-38
mov x0, #0x12340000
mov x0, x1
mov w0, w1
mov sp, x0
mov x0, sp
movk x9, #0x7fff, lsl #32
movz x9, #0x1000, lsl #48
and x0, x0, #0x3fffffff
orr x0, x0, #0xffff000000000000
orr x0, x0, x1, lsl #32
bic x5, x5, x6
eor w1, w2, w3, ror #4
tst x1, #0xff
ror x0, x0, #30
extr x0, x1, x2, #5
add x0, x0, #0x2a, lsl #12
add x0, x10, x0, lsl #3
add x0, sp, w1, uxtw #2
sub x0, x0, x9
subs x1, x2, #1
cmp x0, #0x100
cmp x0, w1, sxtw
cmn x1, x2
ccmp x0, #0x12, #4, ne
csel x0, x1, x2, lt
cset w0, hi
ubfx x1, x1, #26, #3
bfi x5, x4, #16, #3
lsl x1, x2, #3
lsr x0, x0, #26
asr w1, w2, w3
sxtw x1, w2
rev x1, x2
clz x1, x2
madd x1, x2, x3, x4
mul x1, x2, x3
udiv x1, x2, x3
msr daifset, #2
msr spsel, #0
tlbi vmalle1
tlbi alle2
tlbi alle1is
tlbi vmalls12e1is
tlbi ipas2e1is, x1
mrs x0, nzcv
msr nzcv, x1
fmov d0, x1"""


def forms() -> list[str]:
    """The corpus as assembler text: loads and stores of every form, branches, system registers."""
    moves = [f"mrs x{index % 31}, {name.lower()}" for index, name in enumerate(sysregs.SYSREGS)]
    return [
        *_singles(),
        *_pairs(),
        *_exclusives(),
        *_literals(),
        *_NO_ACCESS.splitlines(),
        *_OTHERS.splitlines(),
        *moves,
    ]


def disassembled(text: str, folder: Path) -> list[tuple[int, str]]:
    """(word, what objdump says) of every instruction in a text; branch targets as .+0x8."""
    made, said = gnu_object(text, folder)
    assert made.exists(), f"GNU as refuses:\n{said}"
    done = subprocess.run([tool("objdump"), "-d", "-z", str(made)], check=True, timeout=60,
                          capture_output=True, text=True)  # fmt: skip
    found = re.findall(r"^ *([0-9a-f]+):\t([0-9a-f]{8}) \t(.*)$", done.stdout, flags=re.M)
    return [(int(word, 16), _clean(said, int(pc, 16))) for pc, word, said in found]


def of_words(words: list[int], folder: Path) -> list[str]:
    """What objdump says of each word."""
    text = "".join(f".inst {word:#010x}\n" for word in words)
    return [said for _, said in disassembled(text, folder)]


def _clean(said: str, pc: int) -> str:
    said = " ".join(re.sub(r"//.*|<.*", "", said).split())
    name = said.split()[0]
    target = re.search(r"(?<=[ ,])([0-9a-f]+)$", said)
    if target is None or not re.fullmatch(r"adrp?|b|bl|b\.\w+|cbn?z|tbn?z|ldr|ldrsw|prfm", name):
        return said
    here = pc & ~0xFFF if name == "adrp" else pc
    distance = (int(target[1], 16) - here + (1 << 63)) % (1 << 64) - (1 << 63)
    return f"{said[: target.start()]}.{distance:+#x}"


def corpus(folder: Path) -> list[tuple[str, int, str]]:
    """(text, word, what objdump says of it) of every form."""
    texts = forms()
    rows = disassembled("".join(f"{text}\n" for text in texts), folder)
    return [(text, word, said) for text, (word, said) in zip(texts, rows, strict=True)]


@cache
def recorded() -> tuple[tuple[str, int, str], ...]:
    """The corpus as it was recorded: (text, word, what objdump says of it)."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    rows = (line.split(" | ") for line in lines)
    return tuple((text, int(word, 16), said) for word, text, said in rows)


def write(rows: list[tuple[str, int, str]]) -> None:
    lines = [f"{word:08x} | {text} | {said}\n" for text, word, said in rows]
    RECORDED.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        write(corpus(Path(name)))
