"""The exercises of 11-write-your-own: pieces in order, a short dispatcher, a small one."""

from __future__ import annotations

from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.dispatcher_judge import prove
from hypkit.lessons.dispatcher_score import Score
from hypkit.lessons.judge import Exercise, Wrong, shown

# --- What the lesson ships ------------------------------------------------------------------------

# A dispatcher in pieces, out of order; what stands before and behind them is given.
PIECES = {
    "A": "blr     x10",
    "B": "mov     x1, x2",
    "C": "cmp     x0, #14",
    "D": "ldr     lr, [sp], #16",
    "E": "mov     x0, x1",
    "F": "add     x10, x10, x0, lsl #2",
    "G": "b.hs    refuse",
    "H": "str     lr, [sp, #-16]!",
    "I": "sub     x0, x0, #0x100",
    "J": "adr     x10, table",
    "K": "mov     x2, x3",
}
ORDER = "ICGJFHEBKAD"

TABLE = "table:\n" + "".join(f"        b       {name}\n" for name in HYPERCALLS)
_HEAD = """\
dispatch:
        divert_stub_calls
"""
_TAIL = (
    """\
        eret
        speculation_barrier
refuse: mov     x0, #-38
        eret
        speculation_barrier
"""
    + TABLE
)


def assembled(letters: str) -> str:
    """The dispatcher that these pieces make in this order."""
    return _HEAD + "".join(f"        {PIECES[letter]}\n" for letter in letters) + _TAIL


# The solutions, and what each does differently from the one before.
PLAIN = assembled(ORDER)
SHORT = (
    """\
        ldp     x9, x0, [sp]            // the number, and the first argument in its place already
        sub     x9, x9, #0x100
        cmp     x9, #14
        b.hs    2f                      // no hypercall: only now ask whether the stub is meant
        adr     x10, table
        add     x10, x10, x9, lsl #2
        mov     x1, x2
        mov     x2, x3
        str     lr, [sp]                // where x0 and x1 were: nobody needs them any more
        blr     x10
        ldr     lr, [sp], #16
        eret
        speculation_barrier
2:      divert_stub_calls
        mov     x0, #-38
        eret
        speculation_barrier
"""
    + TABLE
)
HALVES = "table:\n" + "".join(f"        .hword  ({name} - table) / 4\n" for name in HYPERCALLS)
SMALL = (
    """\
        ldp     x9, x0, [sp]
        sub     x9, x9, #0x100
        cmp     x9, #14
        b.hs    2f
        adr     x10, table
        ldrh    w9, [x10, x9, lsl #1]   // how many instructions from the table to the function
        add     x10, x10, x9, lsl #2
        mov     x1, x2
        mov     x2, x3
        str     lr, [sp]
        blr     x10
        ldr     lr, [sp], #16
1:      eret
        speculation_barrier
2:      divert_stub_calls
        mov     x0, #-38
        b       1b                      // one eret and one barrier for both ways out
"""
    + HALVES
)

# Five ways to look good without being right; the lesson shows what becomes of each.
_SIGNED = PLAIN.replace("b.hs    refuse", "b.ge    refuse")
_NO_STUB = PLAIN.replace("divert_stub_calls", "ldp     x0, x1, [sp], #16")
_VECTOR = PLAIN.replace("str     lr, [sp, #-16]!", "fmov    d16, lr").replace(
    "ldr     lr, [sp], #16", "fmov    lr, d16"
)
_CONSTANT = """\
dispatch:
        divert_stub_calls
        cmp     x0, #0x101
        b.ne    refuse
        mov     x0, #6                  // what __kvm_get_mdcr_el2 answers, always
        eret
        speculation_barrier
refuse: mov     x0, #-38
        eret
        speculation_barrier
"""


def nailed(addresses: list[int]) -> str:
    """A dispatcher that knows by heart where the functions lie at EL2."""
    text = _HEAD + "".join(f"        {PIECES[letter]}\n" for letter in "ICG")
    text += "        adr     x10, places\n        ldr     x10, [x10, x0, lsl #3]\n"
    text += "".join(f"        {PIECES[letter]}\n" for letter in "HEBKAD")
    text += _TAIL.replace(TABLE, "        .balign 8\nplaces:\n")
    return text + "".join(f"        .quad   {address:#x}\n" for address in addresses)


CHEATS = {
    "one signed test": _SIGNED,
    "no stub test": _NO_STUB,
    "a constant for an answer": _CONSTANT,
    "the way back in a vector register": _VECTOR,
}

# What a learner without Keystone may write besides the known dispatchers' instructions: the same
# steps with other registers.
_SCRATCH = ("x9", "x10", "x11", "x12")


def _vocabulary() -> str:
    lines = [
        "ldp x9, x10, [sp]",
        "ldp x0, x1, [sp]",
        "str lr, [sp]",
        "str x1, [sp]",
        "ldr lr, [sp]",
        "add sp, sp, #16",
        "sub sp, sp, #16",
        "stp x29, lr, [sp, #-16]!",
        "ldp x29, lr, [sp], #16",
        "cmp x0, #3",
        "csdb",
        "sub x0, x0, #0x100",
        "cmp x0, #14",
        "cmp x0, #13",
        "eor x0, x0, #0x100",
    ]
    for a in _SCRATCH:
        w = "w" + a[1:]
        lines += [
            f"ldp {a}, x0, [sp]",
            f"ldp {a}, x0, [sp], #16",
            f"sub {a}, x0, #0x100",
            f"sub {a}, {a}, #0x100",
            f"cmp {a}, #14",
            f"cmp {a}, #3",
            f"cmp {a}, #13",
            f"eor {a}, {a}, #0x100",
            f"eor {a}, x0, #0x100",
            f"mov x0, {a}",
            f"mov {a}, x0",
            f"br {a}",
            f"blr {a}",
            f"lsr {a}, {a}, #4",
            f"ldr {a}, [{a}]",
            f"mov lr, {a}",
            f"mov {a}, lr",
            f"cmp x0, {a}",
            f"subs {a}, x0, #0x100",
            f"sbc {a}, xzr, xzr",
        ]
        for b in _SCRATCH:
            x = "w" + b[1:]
            lines += [
                f"ldr {a}, [{a}, {b}, lsl #3]",
                f"ldrh {w}, [{b}, {a}, lsl #1]",
                f"ldrsw {a}, [{b}, {a}, lsl #2]",
                f"ldrb {w}, [{b}, {a}]",
                f"ldrh {x}, [{a}, {b}, lsl #1]",
                f"ldrsw {b}, [{a}, {b}, lsl #2]",
                f"ldrsh {a}, [{b}, {a}, lsl #1]",
                f"ldr {w}, [{b}, {a}, lsl #2]",
                f"add {a}, {a}, {b}",
                f"add {a}, {a}, {b}, lsl #2",
                f"add {a}, {b}, {a}, lsl #2",
                f"add {a}, {a}, {b}, lsl #3",
                f"and {a}, {a}, {b}",
                f"cmp {a}, {b}",
                f"mov {a}, {b}",
            ]
        lines += [
            f"ldr {a}, [{a}, x0, lsl #3]",
            f"ldrh {w}, [{a}, x0, lsl #1]",
            f"add {a}, {a}, x0, lsl #2",
            f"add {a}, {a}, x0",
            f"ldrsw {a}, [{a}, x0, lsl #2]",
        ]
    return "".join(f"        {line}\n" for line in dict.fromkeys(lines))


VOCABULARY = _vocabulary()

ASSEMBLY = (
    ("numbered 11 plain", PLAIN),
    ("numbered 11 short", SHORT),
    ("numbered 11 small", SMALL),
    *((f"numbered 11 {name}", text) for name, text in CHEATS.items()),
    ("numbered 11 nailed", nailed([0] * len(HYPERCALLS))),
    ("11 vocabulary", VOCABULARY),
)

# --- The judges -----------------------------------------------------------------------------------

SHORT_ENOUGH, FEW_LOADS, SMALL_ENOUGH = 24, 2, 144


def _pieces(answer: object) -> str:
    if not isinstance(answer, str):
        raise Wrong(f"Expected the letters of the pieces in order, a string; came {shown(answer)}")
    letters = "".join(answer.upper().replace(",", " ").split())
    if strange := [letter for letter in letters if letter not in PIECES]:
        raise Wrong(f"Expected letters from A to {max(PIECES)}; came {shown(strange[0])}")
    if sorted(letters) != sorted(PIECES):
        missing = [letter for letter in PIECES if letter not in letters]
        twice = [letter for letter in PIECES if letters.count(letter) > 1]
        what = f"{', '.join(missing)} missing" if missing else f"{', '.join(twice)} there twice"
        raise Wrong(
            f"Expected each of the {len(PIECES)} pieces once; came {shown(answer)}, with {what}"
        )
    score = prove(assembled(letters))
    return f"All pieces in a right order: {_measured(score)}"


def _short(answer: object) -> str:
    score = prove(answer)
    if score.instructions > SHORT_ENOUGH:
        raise Wrong(
            f"This dispatcher is right. Now expected at most {SHORT_ENOUGH} instructions "
            f"at EL2 around the handler; came {score.instructions}"
        )
    if score.loads > FEW_LOADS:
        raise Wrong(
            f"This dispatcher is right and short. Now expected at most {FEW_LOADS} loads; "
            f"came {score.loads}"
        )
    return f"Right, short, and with few loads: {_measured(score)}"


def _small(answer: object) -> str:
    score = prove(answer)
    if score.bytes > SMALL_ENOUGH:
        raise Wrong(
            f"This dispatcher is right. Now expected at most {SMALL_ENOUGH} bytes, with "
            f"all that it reads of memory; came {score.bytes}"
        )
    return f"Right and small: {_measured(score)}"


def _measured(score: Score) -> str:
    return (
        f"{score.instructions} instructions and {score.loads} loads at EL2 around the handler, "
        f"{score.bytes} bytes, and in the model "
        + " and ".join(f"{cycles} cycles on {core}" for core, cycles in score.cycles.items())
    )


EXERCISES = (
    Exercise(
        "11.1",
        "Pieces in order",
        (
            "First the number is tested, then it becomes an address, then the function is called.",
            "x0 holds the number until a piece overwrites it with the first argument: use it before.",
            "Test: I, C, G. Address: J, F. Save the way back: H. Arguments: E, B, K, in this order. "
            "Then A, and D undoes H.",
        ),
        _pieces,
    ),
    Exercise(
        "11.2",
        "Short",
        (
            "Which tests does a good call have to pass? Does it have to pass the stub test at all?",
            "Test for the fourteen first, and ask about the stub only when it was none of them. And "
            "the number is on the stack, together with x1: load each where you want it.",
            "ldp x9, x0, [sp] puts the number into x9 and the first argument where it belongs. The "
            "sixteen bytes on the stack are then free: str lr, [sp] needs no room of its own. In the "
            "end, ldr lr, [sp], #16.",
        ),
        _short,
    ),
    Exercise(
        "11.3",
        "Small",
        (
            'Where are the bytes? Print Machine("numbered", dispatcher=mine).image.dispatcher, and '
            "count: how many of them are the table?",
            "A branch takes four bytes. How far is a function from the table? How few bytes hold that?",
            "Instructions are four bytes apart, so (function - table) / 4 fits into a halfword: .hword "
            "in the table, ldrh w9, [x10, x9, lsl #1] and add x10, x10, x9, lsl #2 in the code. One "
            "eret can serve both ways out.",
        ),
        _small,
    ),
)
