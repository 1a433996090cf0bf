"""The exercises of 11-write-your-own: pieces in order, a short dispatcher, a small one."""

from __future__ import annotations

from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.answers import listing, shortened, shown, text_of
from hypkit.lessons.dispatcher_judge import prove
from hypkit.lessons.dispatcher_score import Score
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.material import CHEATS, PIECES, TABLE, assembled, nailed

# --- Texts ----------------------------------------------------------------------------------------

ORDER = "ICGJFHEBKAD"

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
HALVES = "table:\n" + "".join(f"        .hword  {name} - table\n" for name in HYPERCALLS)
SMALL = (
    """\
        ldp     x9, x0, [sp]
        sub     x9, x9, #0x100
        cmp     x9, #14
        b.hs    2f
        adr     x10, table
        ldrh    w9, [x10, x9, lsl #1]   // how many bytes from the table to the function
        add     x10, x10, x9
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

ASSEMBLY = (
    ("numbered 11 plain", PLAIN),
    ("numbered 11 short", SHORT),
    ("numbered 11 small", SMALL),
    *((f"numbered 11 {name}", text) for name, text in CHEATS.items()),
    ("numbered 11 nailed", nailed([0] * len(HYPERCALLS))),
)

# --- The judges -----------------------------------------------------------------------------------

SHORT_ENOUGH, FEW_LOADS, SMALL_ENOUGH = 24, 2, 144

# Which piece has to come before which, and what goes wrong if it does not.
BEFORE = (
    ("I", "C", "14 is how many indices there are, and x0 is no index until 0x100 is subtracted"),
    ("C", "G", "the branch looks at flags that nobody has set yet"),
    ("I", "F", "the table's branches are counted from 0, and x0 still has 0x100 in it"),
    ("J", "F", "x10 has no address yet to add something to"),
    ("C", "E", "x0 is the first argument by then, and no number any more"),
    ("F", "E", "x0 is the first argument by then, and no index any more"),
    ("G", "H", "a refusal would leave EL2's stack pointer 16 bytes lower than it was"),
    ("G", "A", "the function is called before anybody knows whether the number is good"),
    ("F", "A", "x10 is not yet the address of the branch for this number"),
    ("J", "A", "x10 is not yet an address"),
    ("H", "A", "the call overwrites lr before it has been saved"),
    ("A", "D", "lr is taken back before the call overwrites it"),
    ("H", "D", "what is taken from the stack has not been put there"),
    ("E", "B", "x1 is overwritten before it has moved to x0"),
    ("B", "K", "x2 is overwritten before it has moved to x1"),
    ("E", "A", "the function runs before its first argument is in x0"),
    ("B", "A", "the function runs before its second argument is in x1"),
    ("K", "A", "the function runs before its third argument is in x2"),
)


def _pieces(answer: object) -> str:
    if isinstance(answer, list | tuple) and all(isinstance(letter, str) for letter in answer):
        answer = "".join(answer)
    text = text_of(answer, "the letters of the pieces in order")
    if any(piece in text for piece in PIECES.values()):
        raise Wrong(
            'Expected the letters of the pieces in order, such as "ABC..."; got the text that they '
            "make: assembled(...) is for looking at it"
        )
    letters = "".join(text.upper().replace(",", " ").split())
    if strange := [letter for letter in letters if letter not in PIECES]:
        raise Wrong(f"Expected letters from A to {max(PIECES)}; got {shown(strange[0])}")
    if sorted(letters) != sorted(PIECES):
        missing = [letter for letter in PIECES if letter not in letters]
        twice = [letter for letter in PIECES if letters.count(letter) > 1]
        what = f"{listing(missing)} missing" if missing else f"{listing(twice)} there twice"
        raise Wrong(
            f"Expected each of the {len(PIECES)} pieces once; got {shown(answer)}, with {what}"
        )
    try:
        score = prove(assembled(letters))
    except Wrong as wrong:
        raise Wrong(_disorder(letters) or str(wrong)) from None
    return f"All pieces in a right order: {_measured(score)}"


def _disorder(letters: str) -> str | None:
    """Return which piece stands too early, and why, for an order that does not work."""
    for first, second, why in BEFORE:
        if letters.index(first) > letters.index(second):
            late, early = (shortened(PIECES[letter]) for letter in (first, second))
            return f"{second}, {early}, stands before {first}, {late}: {why}"
    return None


def _short(answer: object) -> str:
    score = prove(answer)
    if score.instructions > SHORT_ENOUGH:
        raise Wrong(
            f"This dispatcher is right. Now expected at most {SHORT_ENOUGH} instructions "
            f"at EL2 around the handler; got {score.instructions}"
        )
    if score.loads > FEW_LOADS:
        raise Wrong(
            f"This dispatcher is right and short. Now expected at most {FEW_LOADS} loads; "
            f"got {score.loads}"
        )
    return f"Right, short, and with few loads: {_measured(score)}"


def _small(answer: object) -> str:
    score = prove(answer)
    if score.bytes > SMALL_ENOUGH:
        raise Wrong(
            f"This dispatcher is right. Now expected at most {SMALL_ENOUGH} bytes, with "
            f"all that it reads of memory; got {score.bytes}"
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
            "Where are the bytes? Every instruction has four. How many of yours are the table of "
            "fourteen branches?",
            "A branch takes four bytes. How far is a function from the table? How few bytes hold that?",
            "The distance function - table fits into a halfword: .hword in the table, ldrh w9, [x10, "
            "x9, lsl #1] and add x10, x10, x9 in the code. One eret can serve both ways out.",
        ),
        _small,
        optional=True,
    ),
)
