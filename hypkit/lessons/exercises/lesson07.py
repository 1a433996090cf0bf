"""The exercises of 07-review-adr-l: a word of the pool, three reaches, and two dispatchers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.asm import AsmError
from hypkit.cost import Counts
from hypkit.explain.sentences import meaning
from hypkit.kernel.variants import ENOSYS, HYPERCALLS
from hypkit.lessons.judge import Bench, Exercise, Wrong, call_function, number, shown
from hypkit.machine.errors import MachineError

POOL_SEED = 7

# --- What the lesson ships ------------------------------------------------------------------------

# The patch's dispatcher, without the parts that lesson 07 does not touch being explained again.
POOL = """\
dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #0x100
        b.lt    2f
        cmp     x0, #0x10e
        b.lt    3f
2:      mov     x0, #-38
        eret
        speculation_barrier

3:      // How far the image lies from its linear alias.
        ldr_l   x9, kimage_voffset
        ldr_l   x10, physvirt_offset
        add     x9, x9, x10

        // Where the table is.
        ldr     x10, =kvm_hcall_table
        sub     x10, x10, x9
        kern_hyp_va x10

        // What stands in it.
        sub     x0, x0, #0x100
        add     x0, x10, x0, lsl #3
        ldr     x0, [x0]
        sub     x0, x0, x9
        kern_hyp_va x0
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier
"""
RELATIVE = POOL.replace(
    """\
        ldr     x10, =kvm_hcall_table
        sub     x10, x10, x9
        kern_hyp_va x10
""",
    """\
        adr_l   x10, kvm_hcall_table
""",
)
NEAR = RELATIVE.replace("adr_l   x10", "adr     x10")
UNCONVERTED = POOL.replace(
    """\
        sub     x10, x10, x9
        kern_hyp_va x10
""",
    "",
)
_HEAD, _, _ = POOL.partition("3:      //")
_, _CALL, _TAIL = POOL.partition("dispatch_call:")
DISTANCES = (
    _HEAD
    + """\
3:      sub     x0, x0, #0x100
        adr     x10, distances
        ldrsw   x0, [x10, x0, lsl #2]
        add     x0, x10, x0
"""
    + _CALL
    + _TAIL
    + """
distances:
"""
    + "".join(f"        .word   {name} - distances\n" for name in HYPERCALLS)
)
# The lesson's short lines.
LINES = "adr x10, 1f\nadr_l x10, 1f\nldr x10, 1f\nldr x10, =1f\n.balign 8\n1: .quad 0\n"
ASSEMBLY = (
    ("numbered 07 pool", POOL),
    ("numbered 07 adr_l", RELATIVE),
    ("numbered 07 adr", NEAR),
    ("numbered 07 unconverted", UNCONVERTED),
    ("numbered 07 distances", DISTANCES),
)

# --- A dispatcher on trial, here and in lesson 08 -------------------------------------------------


def machine_with(text: object, key: str, seed: int) -> Bench:
    """A machine with the learner's dispatcher; Wrong when there is none to be had."""
    if not isinstance(text, str):
        raise Wrong(f"Expected the text of a dispatcher, a string; came {shown(text)}")
    try:
        return Bench(key, seed=seed, dispatcher=text)
    except AsmError as error:
        where = f"line {error.line}: " if error.text.strip() else ""
        offending = f" (the line is: {error.text.strip()[:60]})" if error.text.strip() else ""
        raise Wrong(f"This text does not assemble: {where}{error.message}{offending}") from None
    except MachineError as error:
        raise Wrong(f"With this dispatcher the machine does not boot: {error}") from None


def arguments(draw: random.Random) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    """Every hypercall, with arguments that let it do its work, in any order."""
    for name in draw.sample(HYPERCALLS, len(HYPERCALLS)):
        first = draw.getrandbits(32)
        yield name, (*(facts.hypercall(name).pointers or (first,)), draw.getrandbits(20) << 12)


def tried(machine: Bench, draw: random.Random) -> Iterator[tuple[str, Counts]]:
    """Make every call, and some that are none: (name, counts at EL2 around it) for each call.

    Wrong at the first that does not do as it should.
    """
    for name, given in arguments(draw):
        call = machine.call(name, *given)
        at = call.trace.find(name)
        if call.outcome != "returned":
            raise Wrong(
                f"Expected {name} to run and return; the call {call.outcome}: {call.message}"
            )
        if at is None:
            ran = next((one for one in HYPERCALLS if call.trace.find(one) is not None), None)
            raise Wrong(
                f"Expected {name} to run; "
                + (f"{ran} ran in its place" if ran else f"no function ran, {call!r}")
            )
        expected = machine.address(given[0], "linear") if isinstance(given[0], str) else given[0]
        came = [call.trace.register(f"x{n}", at) for n in range(2)]
        if came != [expected, given[1]]:
            raise Wrong(
                f"At step {at}, the start of {name}, expected the arguments "
                f"{expected:#x} and {given[1]:#x}; came {came[0]:#x} and {came[1]:#x}"
            )
        yield name, call.cost.hyp
    base = machine.image.variant.base
    for x0 in (base - 1, base + len(HYPERCALLS), -1, 1 << 63, (1 << 32) + base, 0x7FF):
        call = machine.hvc(x0)
        ran = call.outcome != "returned" or any(call.trace.find(n) is not None for n in HYPERCALLS)
        if ran or call.x0 != ENOSYS:
            raise Wrong(f"Expected -ENOSYS for x0 = {x0 & MASK64:#x}; came {call!r}")


@lru_cache(maxsize=1)
def _around() -> Counts:
    """What POOL takes at EL2 around a function besides its dispatch: the entry and the way down."""
    with Bench("numbered", dispatcher=POOL) as machine:
        cost = machine.call("__kvm_get_mdcr_el2").cost
    return _less(cost.hyp, cost.phases["dispatch"])


def _less(whole: Counts, part: Counts) -> Counts:
    return Counts(whole.instructions - part.instructions, whole.loads - part.loads)


def _frugal(
    answer: object, loads: int, of_loads: str, instructions: int, of_instructions: str
) -> Counts:
    """Try a dispatcher on machines of three seeds; the counts of the last call's dispatch.

    All that comes on top of what POOL needs elsewhere is the dispatch, wherever the text puts the
    labels that part the phases of a call. Wrong for one with more loads or instructions than given;
    of_loads and of_instructions say what was expected.
    """
    for seed in (71, 72, 73):
        with machine_with(answer, "numbered", seed) as machine:
            for name, counts in tried(machine, random.Random(seed)):
                dispatch = _less(counts, _around())
                if dispatch.loads > loads:
                    raise Wrong(
                        f"{name} is called, with {dispatch.loads} loads in the dispatch; "
                        f"expected {of_loads}"
                    )
                if dispatch.instructions > instructions:
                    raise Wrong(
                        f"{name} is called, after {dispatch.instructions} instructions of "
                        f"dispatch; expected {of_instructions}"
                    )
    return dispatch


# --- The judges -----------------------------------------------------------------------------------


def _pool_word(answer: object) -> str:
    came = number(answer, "an address")
    with Bench("numbered", seed=POOL_SEED) as machine:
        names = {
            space: machine.address("kvm_hcall_table", space)
            for space in ("image", "linear", "physical", "hyp")
        }
        image = machine.image
    if came == names["image"]:
        return (
            "The pool holds the image address: the linker made it, and KASLR moved it. EL2 has "
            "no such address"
        )
    for space in ("linear", "physical", "hyp"):
        if came == names[space]:
            raise Wrong(
                f"Expected what stands in the pool; {came:#x} is the {space} address of "
                "the table, and the linker knows nothing of that one"
            )
    means = meaning(image, came) if 0 <= came <= MASK64 else None
    if came == names["image"] - image.layout.kaslr_offset:
        means = "address that the linker gave it, before KASLR"
    raise Wrong(
        "Expected the word that ldr x10, =kvm_hcall_table loads with seed "
        f"{POOL_SEED}; came {shown(came)}" + (f", the {means}" if means else "")
    )


MIB, GIB = 1 << 20, 1 << 30


def _right_reach(instruction: str, pc: int, target: int) -> bool:
    if instruction == "adr_l":
        return -(1 << 20) <= (target >> 12) - (pc >> 12) < 1 << 20
    return -MIB <= target - pc < MIB


def _reaches(answer: object) -> str:
    pc = 0xFFFF_8000_1008_5A40
    for instruction, start, distance in (
        ("adr", pc, 0),
        ("adr", pc, MIB - 4),
        ("adr", pc, MIB),
        ("adr", pc, -MIB),
        ("adr", pc, -MIB - 4),
        ("ldr", pc, MIB - 4),
        ("ldr", pc, MIB),
        ("adr_l", pc, MIB),
        ("adr_l", pc, -GIB),
        ("adr_l", pc, 4 * GIB - 0x2000),
        ("adr_l", pc, 4 * GIB + 0x2000),
        ("adr_l", pc, -4 * GIB - 0x2000),
        ("ldr", pc, -GIB),
        ("adr_l", pc, 8 * GIB),
    ):
        expected = _right_reach(instruction, start, start + distance)
        came = call_function(answer, instruction, start, start + distance, name="reaches")
        if came is not True and came is not False:
            raise Wrong(
                f"Expected True or False from reaches({instruction!r}, ...); came {shown(came)}"
            )
        if came != expected:
            limit = "4 GiB" if instruction == "adr_l" else "1 MiB"
            raise Wrong(
                f"From {start:#x} to a label {abs(distance):#x} bytes "
                f"{'behind' if distance < 0 else 'ahead'}, expected {expected} for "
                f"{instruction}, which reaches {limit} either way; came {came}"
            )
    return "An address that is close enough needs no memory at all"


def _no_pool(answer: object) -> str:
    last = _frugal(
        answer,
        3,
        "three at most: the table's address can come without one",
        20,
        "20 at most: what adr_l gives needs no conversion",
    )
    return (
        f"{last.instructions} instructions and {last.loads} loads, in place of 25 and 4, on "
        "machines of three seeds"
    )


def _no_conversion(answer: object) -> str:
    last = _frugal(answer, 1, "one, of a distance", 10, "10 at most, and no kern_hyp_va")
    return (
        f"{last.instructions} instructions, {last.loads} load"
        f"{'s' * (last.loads != 1)}, no conversion: a distance is the same in every space"
    )


EXERCISES = (
    Exercise(
        "07.1",
        "The word in the pool",
        (
            "Make a machine with seed 7 and let it make any call. Which of the four addresses did the "
            "linker put into the pool?",
            "The step to look at is the load whose address is relative to the PC.",
            'Machine("numbered", seed=7).address("kvm_hcall_table", ...) with the right space.',
        ),
        _pool_word,
    ),
    Exercise(
        "07.2",
        "Does it reach?",
        (
            "adr and ldr of a label have the same reach. The table in the lesson says how far.",
            "Both count from the instruction itself: target - pc. Backwards they reach one step "
            "further than forwards: -(1 << 20) <= distance < 1 << 20.",
            "adr_l counts in pages of 4 KiB: (target >> 12) - (pc >> 12), and 1 << 20 of them.",
        ),
        _reaches,
    ),
    Exercise(
        "07.3",
        "Take the pool out",
        (
            "Three lines of the text are about the table's address. One will do.",
            "What adr_l gives at EL2 is a hyp address. Nothing has to be subtracted or masked.",
            "In place of the ldr, the sub and the kern_hyp_va of x10: adr_l x10, kvm_hcall_table.",
        ),
        _no_pool,
    ),
    Exercise(
        "07.4",
        "A table of distances",
        (
            "Addresses change with the space and with the seed. The distance from a label to a "
            "function does not: both move together. .word name - label stores one in four bytes.",
            "The table goes behind the code, under a label of yours. ldrsw loads four bytes and "
            "extends the sign; distances may be negative.",
            "adr x10, distances; ldrsw x0, [x10, x0, lsl #2]; add x0, x10, x0. And behind the last "
            "line: distances: with a .word __kvm_... - distances for each call, in order.",
        ),
        _no_conversion,
    ),
)
