"""The exercises of 07-review-adr-l: one line in three spaces, three reaches, two dispatchers."""

from __future__ import annotations

import random
import re
from functools import lru_cache

from hypkit.cost import Counts
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.answers import answers_for, boolean, text_of, word_of
from hypkit.lessons.dispatchers import machine_with, own_code, tried
from hypkit.lessons.functions import call_function
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.material import POOL, UNCONVERTED
from hypkit.lessons.recording import RecordingMachine, ending, entered

POOL_SEED = 7

# --- Texts ----------------------------------------------------------------------------------------

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

# --- The judges -----------------------------------------------------------------------------------


# Who executes a line, and the space of the code's address there.
PLACES = {"at EL2": "hyp", "at EL1": "image", "in the stub's handler": "physical"}
LINES_OF = {f"{line} {place}": (line, place) for place in PLACES for line in ("adr", "ldr")}
SPACES = ("image", "linear", "physical", "hyp")


def _which_space(answer: object) -> str:
    given = answers_for(answer, tuple(LINES_OF), "the name of an address space")
    with RecordingMachine("numbered", seed=POOL_SEED) as machine:
        call = machine.call("__kvm_get_mdcr_el2")
        layout = machine.layout
        code = {space: machine.address("dispatch", space) for space in PLACES.values()}
        distance = machine.address("kvm_hcall_table") - code["image"]
    table = code["image"] + distance
    pool = next(
        access.value for step in call.trace for access in step.memory if access.value == table
    )
    for key, value in given:
        line, place = LINES_OF[key]
        got = word_of(value, SPACES, key)
        pc = code[PLACES[place]]
        left = pc + distance if line == "adr" else pool
        if got == layout.space(left):
            continue
        why = (
            f"the PC is {pc:#x} there, a {PLACES[place]} address, and the table is "
            f"{distance:#x} bytes further"
            if line == "adr"
            else f"the word in the pool is {pool:#x}, whoever loads it"
        )
        raise Wrong(
            f"{key}, with seed {POOL_SEED}: x10 is no {got} address then. {why[0].upper()}{why[1:]}"
        )
    return (
        "What adr makes is in the space of the PC, three spaces from the same bytes. What ldr loads "
        "is the linker's word, an image address wherever it is loaded"
    )


MIB, GIB, PAGE = 1 << 20, 1 << 30, 1 << 12


def _why_not(instruction: str, pc: int, target: int) -> str | None:
    """Return why the instruction cannot make the address (Arm ARM, C6.2), None when it can."""
    if instruction == "adr_l":
        pages = (target >> 12) - (pc >> 12)
        if -(1 << 20) <= pages < 1 << 20:
            return None
        return f"adrp counts pages, this is {pages:+#x} of them, and it has -0x100000 to 0xfffff"
    if instruction == "ldr" and (target - pc) % 4:
        return f"ldr counts words, and {target - pc:+#x} bytes are no whole number of them"
    if -MIB <= target - pc < MIB:
        return None
    last = "0xffffc" if instruction == "ldr" else "0xfffff"
    return f"{instruction} has -0x100000 to {last}"


def _distances(draw: random.Random) -> list[tuple[str, int, int]]:
    """Return (instruction, pc, target) at both ends of each reach, and around them."""
    tries = []
    for pc in (0xFFFF_8000_1008_5A40, 0xFFFF_BE54_62E8_5000, 0x934F_0028_5FFC):
        page = pc & -PAGE
        near = (0, 4, -4, MIB - 4, MIB, -MIB, -MIB - 4)
        tries += [(name, pc, pc + by) for name in ("adr", "ldr") for by in near]
        tries += [("adr", pc, pc + by) for by in (1, MIB - 1, -MIB - 1, -3)]
        tries += [("ldr", pc, pc + by) for by in (1, 2, MIB - 1, -MIB + 2)]
        tries += [
            ("adr_l", pc, target)
            for target in (
                pc,
                page + 4 * GIB - 1,
                page + 4 * GIB,
                page - 4 * GIB,
                page - 4 * GIB - 1,
                pc + 4 * GIB - 1,
                pc - 4 * GIB,
                pc + MIB,
                pc - GIB,
                pc + 8 * GIB,
                pc - 2 * GIB + 1,
            )
        ]
        tries += [("ldr", pc, pc - GIB), ("adr", pc, pc + GIB)]
    for _ in range(60):
        name = draw.choice(("adr", "ldr", "adr_l"))
        pc = 0xFFFF_8000_1000_0000 + 4 * draw.getrandbits(20)
        end = 4 * GIB if name == "adr_l" else MIB
        by = draw.choice((end, -end, 0)) + draw.randrange(-2 * PAGE, 2 * PAGE)
        tries.append((name, pc, pc + by))
    return tries


def _reaches(answer: object) -> str:
    for instruction, pc, target in _distances(random.Random(72)):
        why = _why_not(instruction, pc, target)
        got = call_function(answer, instruction, pc, target, name="reaches")
        got = boolean(got, f"reaches({instruction!r}, ...)")
        if got != (why is None):
            distance = abs(target - pc)
            where = "back" if target < pc else "ahead"
            raise Wrong(
                f"From {pc:#x} to {target:#x}, {distance:#x} bytes {where}, expected "
                f"{why is None} for {instruction}"
                + (f": {why}" if why else ", which gets that far")
                + f"; got {got}"
            )
    return "An address that is close enough needs no memory at all"


@lru_cache(maxsize=1)
def around() -> Counts:
    """Return what POOL takes at EL2 around a function besides its dispatch: the entry and the way
    down."""
    with RecordingMachine("numbered", dispatcher=POOL) as machine:
        cost = machine.call("__kvm_get_mdcr_el2").cost
    return _less(cost.hyp, cost.phases["dispatch"])


def _less(whole: Counts, part: Counts) -> Counts:
    return Counts(whole.instructions - part.instructions, whole.loads - part.loads)


def _frugal(
    answer: object, loads: int, of_loads: str, instructions: int, of_instructions: str
) -> Counts:
    """Return the counts of the last call's dispatch, tried on machines of three seeds.

    All that comes on top of what POOL needs elsewhere is the dispatch, wherever the text puts the
    labels that part the phases of a call. Raises Wrong for more loads or instructions than given;
    of_loads and of_instructions say what was expected.
    """
    for seed in (71, 72, 73):
        with machine_with(answer, "numbered", seed) as machine:
            for name, counts in tried(machine, random.Random(seed)):
                dispatch = _less(counts, around())
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
    _has_distances(answer)
    _takes_signs(answer)
    return (
        f"{last.instructions} instructions, {last.loads} load"
        f"{'s' * (last.loads != 1)}, no conversion: a distance is the same in every space, and "
        "yours may be negative"
    )


def _has_distances(answer: object) -> None:
    """Raise Wrong unless the dispatcher goes where a table of its own says.

    Two entries change places in memory: then the calls have to.
    """
    with machine_with(answer, "numbered", 74) as machine:
        entries = {name: _entry(machine, name) for name in ("__vgic_v3_init_lrs", HYPERCALLS[0])}
        (a, first), (b, second) = entries.items()
        machine.set_memory(first[0], second[1])
        machine.set_memory(second[0], first[1])
        for called, expected in ((a, b), (b, a)):
            ran = entered(machine.call(called))
            if ran != expected:
                raise Wrong(
                    f"Expected the table to say where EL2 goes. With the entries of {a} and {b} "
                    f"in each other's place, a call of {called} ran {ran or 'no function'}"
                )


def _entry(machine: RecordingMachine, name: str) -> tuple[int, bytes]:
    """Return (physical address, bytes) of what the dispatcher loads from its own program."""
    call = machine.call(name)
    own = own_code(machine.image)
    start = call.trace.find(name) or 0
    for step in call.trace[:start]:
        for access in step.memory:
            pa = machine.image.layout.pa(access.va)
            if pa is not None and pa in own and access.kind == "load" and access.value is not None:
                return pa, access.value.to_bytes(access.size, "little")
    raise Wrong(
        f"{name} is called, without a load from the dispatcher's own program; expected a table of "
        f"distances there, with .word {name} - distances in it"
    )


# A function before the dispatcher, as any other kernel may have one. Here all fourteen come after.
BEFORE = "before_the_dispatcher"


def _takes_signs(answer: object) -> None:
    """Raise Wrong unless a distance may be negative: one function is put before the dispatcher."""
    text = text_of(answer, "the text of a dispatcher")
    name = "__vgic_v3_get_ich_vtr_el2"
    moved = re.sub(rf"\b{name}\b", BEFORE, text)
    # The first instruction of the program is where the entry code comes to.
    prelude = f"b {BEFORE}_end; {BEFORE}: b {name}; {BEFORE}_end: "
    try:
        machine = machine_with(prelude + moved, "numbered", 75)
    except Wrong as wrong:
        raise Wrong(f"With {name} before the dispatcher, a negative distance: {wrong}") from None
    with machine:
        call = machine.call(name)
        if entered(call) != name:
            raise Wrong(
                f"With {name} before the dispatcher, the distance to it is negative. Expected it "
                f"to run; {ending(call)}. Does the load extend the sign?"
            )


EXERCISES = (
    Exercise(
        "07.1",
        "One line, three places",
        (
            "adr adds a distance to the PC. ldr =... loads a word that was written long before. Which "
            "of the two depends on who executes it?",
            "EL2's PC is a hyp address, the host's is an image address, and the stub's handler runs at "
            "a physical address.",
            'adr gives "hyp", "image", "physical", in this order. The word in the pool is the one that '
            "the linker wrote and KASLR moved.",
        ),
        _which_space,
    ),
    Exercise(
        "07.2",
        "Does it reach?",
        (
            "adr and ldr of a label reach equally far, but ldr counts words of four bytes. The table "
            "in the lesson says how far.",
            "Both count from the instruction itself: target - pc. Backwards they reach one step "
            "further than forwards: -(1 << 20) <= distance < 1 << 20. For ldr it is a multiple of 4.",
            "adr_l counts pages of 4 KiB, from the page of pc to the page of target: "
            "(target >> 12) - (pc >> 12), from -(1 << 20) to (1 << 20) - 1 of them.",
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
            "The table goes after the code, under a label of yours. ldrsw loads four bytes and "
            "extends the sign; distances may be negative.",
            "adr x10, distances; ldrsw x0, [x10, x0, lsl #2]; add x0, x10, x0. And after the last "
            "line: distances: with a .word __kvm_... - distances for each call, in order.",
        ),
        _no_conversion,
        optional=True,
    ),
)
