"""The exercises of 09-review-the-rest: an immediate, three lines, a signed test, and a reply."""

from __future__ import annotations

import random
from functools import lru_cache

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.call import RETURNED
from hypkit.kernel.variants import ENOSYS, HYPERCALLS, SMCCC_BASE, variant
from hypkit.lessons.answers import answers_for, boolean, text_of, word64, word_of
from hypkit.lessons.dispatcher_judge import prove
from hypkit.lessons.dispatchers import LEFTOVER, machine_with, reads_leftover, unguarded
from hypkit.lessons.functions import call_function
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.material import IN_A_ROW, REMARKS, SIGNED, UNSIGNED, as_remarked, framed
from hypkit.lessons.recording import RecordingMachine, after, all_well, attempt, ending, entered

# --- Texts ----------------------------------------------------------------------------------------

FIXED = UNSIGNED.replace("        eret\n\n3:", "        eret\n        speculation_barrier\n\n3:")
# The lines of the lesson's cells about immediates, but for the one that has no encoding.
LINES = (
    "cmp x0, #0x100",
    "cmp x0, #0x10e",
    "cmp x0, #0x1000",
    "sub x0, x0, #0x1000",
    "cmp x0, #14",
    "mov x0, #-38",
    "add x0, x10, x0, lsl #3",
    "sub x0, x0, #0x100",
)
# The exercise's three lines.
THREE = """\
        sub     x0, x0, #0x100
        cmp     x0, #14
        b.hs    refuse
"""
ASSEMBLY = (
    ("reviewed 09 signed", SIGNED),
    ("reviewed 09 unsigned", UNSIGNED),
    ("reviewed 09 fixed", FIXED),
    ("numbered 09 three lines", framed(THREE)),
    *((f"numbered 09 remark {letter}", as_remarked(letter)) for letter in REMARKS),
    ("09 lines", "\n".join(LINES)),
)
# Numbers that tell for each remark whether it can be taken, besides those that a learner gives.
_ALL = (0x101, 0x10D, 0x10E, 0x50, 0xFF, MASK64, 1 << 32 | 0x101, 1 << 63 | 0x101)
SHOWS = dict.fromkeys(REMARKS, _ALL)
# What a call passes besides its number.
ARGUMENTS = (0x1234, 0x5, 0x7)

# --- The judges -----------------------------------------------------------------------------------

# Files of whatever could be asked in place of doing the arithmetic.
ASSEMBLERS = ("/hypkit/asm/", "/keystone/", "/llvmlite/", "/subprocess.py", "/capstone/")
NUMBERS: tuple[int, ...] = (
    0x100,
    0x10E,
    0x100E,
    0x1000,
    0,
    0xFFF,
    0x1001,
    0xFFF000,
    0x1000000,
    0xFFF001,
)
NUMBERS += (SMCCC_BASE, 0x3000, 0x2FFF, 1 << 36, 0x800000, 0x800800, 0xFFFFFF, 0x1001000, 1)
NUMBERS += (1 << 64, 0xFFF000 + (1 << 32), 0x100 + (1 << 32), 1 << 12 + 64)


def _fits(answer: object) -> str:
    def right(n: int) -> bool:
        return n < 1 << 12 or n < 1 << 24 and n % (1 << 12) == 0

    # Some that nobody has asked before: an assembler may remember what it was asked.
    fresh = random.SystemRandom()
    drawn = [fresh.randrange(1 << 12) << fresh.choice((0, 6, 12, 13)) for _ in range(12)]
    ran: set[str] = set()
    for n in (*NUMBERS, *drawn):
        got = call_function(answer, n, name="fits", entered=ran)
        got = boolean(got, f"fits({n:#x})")
        if got != right(n):
            why = (
                "12 bits are enough for it"
                if n < 1 << 12
                else "its low 12 bits are zero, and 12 bits hold the rest"
                if right(n)
                else "it needs more than 12 bits, and its low 12 bits are not zero"
                if n % 4096
                else "shifted right by 12, it still needs more than 12 bits"
            )
            raise Wrong(f"Expected fits({n:#x}) to be {right(n)}: {why}; got {got}")
    if any(part in file.replace("\\", "/") for file in ran for part in ASSEMBLERS):
        raise Wrong(
            "The answers are right, but fits asks the assembler. Expected arithmetic: two "
            "comparisons and a remainder will do"
        )
    return "Twelve bits, or twelve bits with twelve zeros after them, and nothing else"


FEW = 3


def _three_lines(answer: object) -> str:
    text = framed(text_of(answer, "three lines of assembly"))
    if isinstance(answer, str) and "dispatch:" in answer:
        raise Wrong(
            "Expected the lines of the test alone, which framed(...) puts into the dispatcher; got "
            "a whole dispatcher"
        )
    score = prove(text)
    lines = score.instructions - _framed_alone()
    if lines > FEW:
        raise Wrong(
            f"This dispatcher is right. Now expected {FEW} instructions before the table is looked "
            f"for; got {lines}. After the subtraction, what was below the range is a large number"
        )
    return (
        f"{lines} instructions. One unsigned test refuses what is below the "
        "range and what is above it"
    )


@lru_cache(maxsize=1)
def _framed_alone() -> int:
    """Return the instructions at EL2 around the handler that are none of the test's."""
    return prove(framed(THREE)).instructions - FEW


TAKEN = "done"


def _answered(answer: object) -> str:
    shown_by = []
    for letter, value in answers_for(answer, tuple(REMARKS), f'"{TAKEN}" or a value for x0'):
        remark = f'{letter}, "{REMARKS[letter]}"'
        if isinstance(value, str) and value.strip().casefold() == TAKEN:
            if any(_differ(letter, x0) for x0 in SHOWS[letter]):
                raise Wrong(
                    f"{remark}: you have taken it, and for some x0 the host gets something else "
                    "now, or another function runs. Answer with such an x0"
                )
            continue
        if isinstance(value, str):
            word_of(value, (TAKEN,), f"{letter}, or a value for x0")
        x0 = word64(value, f"for {letter} the answer {TAKEN!r}, or a value for x0")
        told = _differ(letter, x0)
        if told is None:
            raise Wrong(
                f"{remark}: you have refused it, and given x0 = {x0:#x} as the reason. With and "
                f"without the change, {_what_came(as_remarked(letter), x0)}: that is no reason"
            )
        shown_by.append(f"{letter} by x0 = {x0:#x} ({told})")
    return f"Two changes taken, and three refused with a call that shows why: {'; '.join(shown_by)}"


def _differ(letter: str, x0: int) -> str | None:
    """Return what a call comes to with a remark's change, if it is something else than without."""
    before, now = _what_came(IN_A_ROW, x0), _what_came(as_remarked(letter), x0)
    return None if before == now else now


@lru_cache(maxsize=256)
def _what_came(text: str, x0: int) -> str:
    """Return what the host sees of a call: whether a function ran, and how the call ended."""
    with RecordingMachine("numbered", seed=92, dispatcher=text) as machine:
        call = attempt(machine.hvc, x0, *ARGUMENTS)
        ran = entered(call)
    if call.outcome != RETURNED:
        return (
            f"{f'{ran} runs, and ' if ran else ''}EL2 does not come back: the call {call.outcome}"
        )
    if ran:
        return f"{ran} runs and comes back"
    return f"no function runs, and x0 is {call.x0:#x}"


def _reads_physvirt(answer: object) -> str:
    x0 = word64(answer, "a value for x0")
    for seed in (61, 62):
        with RecordingMachine("reviewed", seed=seed, dispatcher=SIGNED) as machine:
            call = attempt(machine.hvc, x0)
            step = next(
                (
                    s
                    for s in call.trace
                    if s.text == "ldr x0, [x0]" and (s.symbol or "").startswith("dispatch_find")
                ),
                None,
            )
            if step is None:
                raise Wrong(
                    f"Expected a number that passes the test; with x0 = {x0:#x} "
                    f"no table entry is loaded: {call!r}"
                )
            access = step.memory[0]
            if access.symbol != "physvirt_offset":
                raise Wrong(
                    f"Expected the load from physvirt_offset; with x0 = {x0:#x} "
                    f"step {step.index} loads from {access.symbol or hex(access.va)}"
                )
            at = step.index
    return f"Step {at} takes physvirt_offset for a function's address, and EL2 goes where it leads"


def _fix(answer: object) -> str:
    for seed in (71, 72):
        with machine_with(answer, "reviewed", seed) as machine:
            for name in HYPERCALLS:
                call = machine.call(name, *facts.hypercall(name).example)
                if call.outcome != RETURNED or entered(call) != name:
                    raise Wrong(
                        f"Expected {name} to be called as before; got {call!r}"
                        + (f". {LEFTOVER}" if reads_leftover(call) else "")
                    )
            for x0 in _not_numbers(machine, random.Random(seed)):
                call = machine.hvc(x0)
                signed = x0 - (1 << 64) if x0 >> 63 else x0
                ran = entered(call)
                if ran:
                    raise Wrong(
                        f"With x0 = {x0:#x}, {signed} as a signed number, expected no call; step "
                        f"{call.trace.find(ran)} enters {ran}"
                    )
                if call.outcome != RETURNED or call.x0 != ENOSYS:
                    raise Wrong(
                        f"With x0 = {x0:#x}, {signed} as a signed number, expected -38; {ending(call)}"
                    )
            program = machine.image.dispatcher
    all_well()
    for where, follows in unguarded(program):
        raise Wrong(
            "The range is right now. Expected a speculation barrier, dsb and then isb, right "
            f"after every eret as well; after the one of {where} comes {follows}"
        )
    return (
        "Whatever is no number of a call is refused, negative ones too, and there is a barrier "
        "after every eret: two changes that the second version made, too"
    )


def _not_numbers(machine: RecordingMachine, draw: random.Random) -> list[int]:
    """Return numbers that are no call's, those of the stub aside: edges, negative, one bit off."""
    first = machine.image.variant.numbers[HYPERCALLS[0]]
    beyond = first + len(HYPERCALLS)
    found = [-1, -2, -3, -draw.randrange(4, 99), -1 << 63, beyond, beyond + 1, 0x1000, 1 << 62]
    found += [(draw.randrange(first, beyond)) ^ 1 << bit for bit in range(5, 64, 4)]
    found += [(1 << 63) + first, (1 << 32) + first, (1 << 31) + first, 0xFFFF_FFFF]
    return [number & MASK64 for number in found]


TABLE_SLOTS = len(variant("reviewed").slots)
LABELS = (
    ("hyp_panic", 81),
    ("__guest_exit", 82),
    ("el1_trap", 83),
    ("__kvm_get_mdcr_el2", 84),
    ("dispatch_return", 85),
)


def _enter(answer: object) -> str:
    for label, seed in LABELS:
        with RecordingMachine("reviewed", seed=seed, dispatcher=SIGNED) as machine:
            believed = machine.address("kimage_voffset", "hyp")
            size = machine.address("kvm_hcall_table", "hyp") + 8 * TABLE_SLOTS - believed
            before = machine.read(believed, size)
            call_function(answer, machine, label, name="enter")
            call = machine.last_call("enter")
            made = len(machine.calls) + machine.untraced
            with after("enter"):
                changed = machine.read(believed, size) != before
            if changed:
                raise Wrong(
                    "enter has changed the table or a variable; expected x0 and x1 to be enough"
                )
            if machine.writes:
                raise Wrong(
                    f"enter wrote to memory, at {machine.writes[0][0]:#x}; expected one hvc and "
                    "nothing else: EL2 itself stores something that you choose"
                )
            if made > 1:
                raise Wrong(f"Expected one machine.hvc; enter made {made} calls")
            goal = machine.address(label, "hyp")
            branch = next((s for s in call.trace if s.el == 2 and s.text.startswith("blr")), None)
            if branch is None:
                raise Wrong(
                    f"For {label!r}, expected EL2 to branch there; it branches nowhere: {call!r}"
                )
            there = int(call.trace.pcs[branch.index + 1])
            if there != goal:
                name = machine.image.symbolize(there) or hex(there)
                target = branch.regs["x30"]
                raise Wrong(
                    f"For {label!r}, expected step {branch.index} to branch to {goal:#x}; "
                    f"it branches to {target:#x}, and step {branch.index + 1} is at {name}"
                )
    return (
        "One HVC, and EL2 goes wherever the host says: with a signed test the number ABI is "
        "the pointer ABI again"
    )


EXERCISES = (
    Exercise(
        "09.1",
        "What fits",
        (
            "The instruction has twelve bits for the number, and one that says: shift it left by 12.",
            "So 0 to 0xfff fit. And what is left of n when its low twelve bits are zero?",
            "n < 0x1000 fits; so does n < 0x1000000 with n % 0x1000 == 0.",
        ),
        _fits,
    ),
    Exercise(
        "09.2",
        "Three lines",
        (
            "What version 2 does: subtract the base, compare, branch. The index stays in x0.",
            "After the subtraction every number that is no call's is 14 or more, if it is read without "
            "a sign.",
            "sub x0, x0, #0x100; then cmp with 14; then b.hs refuse.",
        ),
        _three_lines,
    ),
    Exercise(
        "09.3",
        "What lies before the table",
        (
            "-1 reads the eight bytes straight before the table. Which variable was that?",
            "hypkit/kernel/guest/rodata.S lists three variables, and the table is placed after them.",
            "From the table backwards: kvm_lm_offset is -1. One word further is -2.",
        ),
        _reads_physvirt,
    ),
    Exercise(
        "09.4",
        "The fix",
        (
            "Two lines of the text have to change. One compares, one is missing.",
            'lt is signed. Which condition means "lower" without a sign? And what stands after the '
            "second eret, but not after the first?",
            "b.lo in place of b.lt, and a line with speculation_barrier after the first eret: "
            "SIGNED.replace(...) does either.",
        ),
        _fix,
    ),
    Exercise(
        "09.5",
        "One HVC to anywhere",
        (
            "A negative number reads any eight bytes that EL2 can read. Which eight bytes can you "
            "choose?",
            "Look at the entry: where does EL2 put x0 and x1 before it looks at them? What is still "
            "there after it took them back?",
            'x1 lies in the eight bytes below the top of the stack, machine.address("hyp_stack", '
            '"hyp") + 0x1000. The table is at machine.address("kvm_hcall_table", "hyp"), and '
            "lsl #3 throws the top three bits of x0 away: set bit 63 to make it negative. x1 is an "
            "image address, as in the table.",
        ),
        _enter,
        optional=True,
    ),
    Exercise(
        "09.6",
        "Answer a review",
        (
            'Try each remark: Machine("numbered", dispatcher=as_remarked("A")), and beside it one '
            "with IN_A_ROW. Make the same calls on both.",
            "Ask for every remark which x0 the changed line was there for: one with bits above bit 31, "
            "one between the stub's numbers and 0x100, a good one.",
            'Two of the five can be taken. "A" is refused by 0x100000101, for example: w0 is in the '
            "range, x0 is not.",
        ),
        _answered,
    ),
)
