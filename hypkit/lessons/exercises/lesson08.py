"""The exercises of 08-review-cached-offset: words believed, an order, a call steered, and held."""

from __future__ import annotations

import random
from collections import Counter
from functools import lru_cache

from hypkit.a64.decode import decode
from hypkit.attack.fuzz import overwrite as write_anyway
from hypkit.errors import did_you_mean
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.answers import answers_for, shown, text_of
from hypkit.lessons.dispatcher_judge import prove
from hypkit.lessons.dispatcher_score import CORES, Score
from hypkit.lessons.dispatchers import machine_with, overwrite, tried
from hypkit.lessons.functions import call_function, listed
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.material import IN_A_ROW, POOL
from hypkit.lessons.recording import RecordingMachine, after, ending, entered
from hypkit.trace import Trace

# The words of EL1's that a dispatcher of the story has read.
OFFSETS = ("kimage_voffset", "physvirt_offset", "kvm_lm_offset")
TABLE = "kvm_hcall_table"
BELIEVED = ("kimage_voffset", "kvm_lm_offset", TABLE)
MACHINES = ("fnptr", "numbered", "cached", "jump_table", "patched", "relocated")
ASKED = "__vgic_v3_read_vmcr"
CALL = "__kvm_timer_set_cntvoff"

# --- Texts ----------------------------------------------------------------------------------------

_HEAD, _, _ = POOL.partition("3:      //")
_, _CALL, _TAIL = POOL.partition("dispatch_call:")
# The table's two addresses say how far image and hyp addresses are apart.
APART = (
    _HEAD
    + """\
3:      sub     x0, x0, #0x100
        ldr     x9, =kvm_hcall_table
        adr_l   x10, kvm_hcall_table
        ldr     x0, [x10, x0, lsl #3]
        sub     x0, x0, x9
        add     x0, x0, x10
"""
    + _CALL
    + _TAIL
)
# The given lines, with something to do between each load and what waits for it.
_GIVEN, _, _ = IN_A_ROW.partition("3:      ")
EARLY = (
    _GIVEN
    + """\
3:      adr_l   x11, kvm_hcall_table
        sub     x0, x0, #0x100
        ldr_l   x9, kimage_voffset
        ldr_l   x10, physvirt_offset
        add     x0, x11, x0, lsl #3
        ldr     x0, [x0]
        add     x9, x9, x10
        sub     x0, x0, x9
        kern_hyp_va x0
dispatch_call:
"""
    + IN_A_ROW.partition("dispatch_call:\n")[2]
)
ASSEMBLY = (
    ("numbered 08 apart", APART),
    ("numbered 08 in a row", IN_A_ROW),
    ("numbered 08 early", EARLY),
)

# --- The judges -----------------------------------------------------------------------------------


def _astray(answer: object) -> str:
    for word, value in answers_for(answer, BELIEVED, "a set of machines"):
        given = listed(value, f"for {word!r} a set of machines", ordered=False, keys=True)
        for key in given:
            if key not in MACHINES:
                like = did_you_mean(key, MACHINES) if isinstance(key, str) else ""
                raise Wrong(
                    f"Expected for {word!r} machines out of {', '.join(MACHINES)}; got "
                    f"{shown(key)}{like}"
                )
        right = {key for key in MACHINES if _ran(key, word) != ASKED}
        for key in given:
            if key not in right:
                raise Wrong(
                    f"With {word} overwritten, {key} still runs {ASKED}; expected machines on "
                    "which the call goes astray"
                )
        if missing := len(right.difference(given)):
            more = "one machine more runs" if missing == 1 else f"{missing} machines more run"
            raise Wrong(
                f"With {word} overwritten, {more} something else than {ASKED}; got {shown(value)}"
            )
    return (
        "The call by pointer is among them, because there the host converts the address, with its "
        "own variable. jump_table believes none of these words"
    )


@lru_cache(maxsize=32)
def _ran(key: str, word: str) -> str | None:
    """Return the function that a call runs after EL1 has overwritten a word, if any."""
    with RecordingMachine(key, seed=81) as machine:
        if word in machine.image.symbols:
            place = machine.image.variant.slots.index(ASKED) if word == TABLE else 0
            at = machine.address(word) + 8 * place
            write_anyway(machine, at, (0x4141_4141_4141_4140).to_bytes(8, "little"))
        return entered(machine.call(ASKED))


# What is executed, by mnemonic, may not change: only its order, and which registers it uses.
QUICK_ENOUGH = 59


@lru_cache(maxsize=1)
def _given() -> Score:
    """Return what the text takes that the lesson gives."""
    return prove(IN_A_ROW)


def _in_order(answer: object) -> str:
    text = text_of(answer, "the text of a dispatcher")
    score, before = prove(text), _given()
    used, expected = (_mnemonics(each) for each in (text, IN_A_ROW))
    core = CORES[0]
    if used != expected:
        other = (used - expected) + (expected - used)
        name = min(other)
        raise Wrong(
            f"This dispatcher is right, with {score[core]} cycles on {core}. Expected the same "
            f"instructions in another order; got {used[name]} of `{name}` in place of "
            f"{expected[name]}"
        )
    if score[core] > QUICK_ENOUGH:
        raise Wrong(
            f"These are the same instructions, and right. Expected at most {QUICK_ENOUGH} cycles "
            f"on {core}; got {score[core]}, where the given text takes {before[core]}"
        )
    wide = CORES[-1]
    return (
        f"{before[core]} cycles on {core} became {score[core]}, with not one instruction fewer. On "
        f"{wide}, which looks for work by itself, it was {before[wide]} and is {score[wide]}"
    )


def _mnemonics(text: str) -> Counter[str]:
    """Return how often each mnemonic is in a dispatcher."""
    with machine_with(text, "numbered", 82) as machine:
        program = machine.image.dispatcher
        found: Counter[str] = Counter()
        for at in range(0, len(program.code) & ~3, 4):
            if program.base + at in program.lines:
                word = int.from_bytes(program.code[at : at + 4], "little")
                found[decode(word).mnemonic] += 1
    return found


# Functions that take any argument, so that each can be steered to each.
STEERED = (
    "__kvm_get_mdcr_el2",
    "__vgic_v3_read_vmcr",
    CALL,
    "__kvm_flush_vm_context",
    "__vgic_v3_init_lrs",
    "__kvm_enable_ssbs",
)


def _steer(answer: object) -> str:
    draw = random.Random(83)
    for seed in (84, 85, 86, 90):
        called, target = draw.sample(STEERED, 2)
        with RecordingMachine("reviewed", seed=seed) as machine:
            before = _kept(machine)
            call_function(answer, machine, called, target, name="steer")
            with after("steer"):
                for what, data in _kept(machine).items():
                    if data != before[what]:
                        raise Wrong(
                            f"steer has changed {what}; expected only kvm_lm_offset to change"
                        )
                call = machine.call(called, 0x5EED)
            trace = call.trace
            if trace.find(target) is not None:
                continue
            raise Wrong(
                f"After steer(machine, {called!r}, {target!r}), expected the call to run "
                f"{target}; " + _arrived(call.trace)
            )
    return "The number was right, the table was right, and EL2 went where EL1 wanted"


def _kept(machine: RecordingMachine) -> dict[str, bytes]:
    """Return the bytes of what the attack has to leave alone."""
    slots = 8 * len(machine.image.variant.slots)
    return {
        "EL2's code": machine.read(machine.address("dispatch", "hyp"), 0x400),
        "the table": machine.read(machine.address("kvm_hcall_table", "hyp"), slots),
        **{
            name: machine.read(machine.address(name), 8, el=1)
            for name in OFFSETS
            if name != "kvm_lm_offset"
        },
    }


def _arrived(trace: Trace) -> str:
    """Return where EL2 branched to from the dispatcher, in a sentence."""
    branch = next((s for s in trace if s.el == 2 and s.instruction.mnemonic == "blr"), None)
    if branch is None:
        return "EL2 branched to no function"
    there = branch.regs["x30"]
    name = trace.image.symbolize(there)
    return f"step {branch.index} branches to {there:#x}, {name or 'where EL2 has no label'}"


def _holds(answer: object) -> str:
    for seed in (87, 88, 89):
        draw = random.Random(seed)
        with machine_with(answer, "numbered", seed) as machine:
            for _ in tried(machine, draw):
                pass
            for name in OFFSETS:
                overwrite(machine, name, draw.getrandbits(64) & ~7)
                try:
                    for _ in tried(machine, draw):
                        pass
                except Wrong as wrong:
                    raise Wrong(f"With {name} overwritten by EL1: {wrong}") from None
        _follows_the_table(answer, seed, draw)
    return "All calls go where kvm_hcall_table says, whatever EL1 writes into its three words"


def _follows_the_table(answer: object, seed: int, draw: random.Random) -> None:
    """Raise Wrong unless the dispatcher goes to what stands in kvm_hcall_table, and only there.

    Another function's image address is put into some slots, as another build would have it.
    """
    last = len(HYPERCALLS) - 1
    for index in (draw.randrange(1, last), (0, last)[seed % 2]):
        called = HYPERCALLS[index]
        expected = draw.choice([name for name in STEERED if name != called])
        with machine_with(answer, "numbered", seed) as machine:
            slot = machine.image.pa("kvm_hcall_table") + 8 * index
            machine.set_memory(slot, machine.address(expected).to_bytes(8, "little"))
            call = machine.call(called)
            if call.trace.find(expected) is not None:
                continue
            ran = entered(call)
            raise Wrong(
                f"Expected the table to be kvm_hcall_table. With the address of {expected} in its "
                f"slot {index}, a call of {called} should run that; "
                + (f"it ran {ran}" if ran else ending(call))
            )


EXERCISES = (
    Exercise(
        "08.1",
        "Who goes astray",
        (
            "Which of these words does a call read on its way, at EL2 or at EL1? call.trace has every "
            "load: step.memory is what a step read or wrote.",
            "Overwrite one word on one machine with the lesson's function, make the call, and look "
            'whether call.trace.find("__vgic_v3_read_vmcr") is a step. A slot of the table is at '
            'machine.address("kvm_hcall_table") + 8 * its index.',
            "The variables: one machine reads kimage_voffset at EL2, another at EL1, before the HVC; "
            "one reads kvm_lm_offset. The slot: every machine that loads from kvm_hcall_table, "
            "whether it converts the slot or not.",
        ),
        _astray,
    ),
    Exercise(
        "08.2",
        "The same lines in another order",
        (
            "A core that works in order stops at the first instruction whose input is not ready. Which "
            "lines have something to load, and which wait for it?",
            "A loaded value is there some cycles later. Put lines that do not need it in between: the "
            "index, the table's address.",
            "First adr_l of the table, into a register of its own, and the index; then the loads of "
            "the two variables, then the slot's; the add and the sub of the offset last.",
        ),
        _in_order,
    ),
    Exercise(
        "08.3",
        "Steer",
        (
            "EL2 computes the slot's image address minus the offset, and converts that. To end at the "
            "target, the difference must be the target's linear address.",
            "new offset = old offset + image address of the called function - image address of the "
            "target. machine.address(name) gives image addresses.",
            'The old offset is at machine.address("kvm_lm_offset"). The lesson\'s function '
            "overwrite(machine, name, value) gets past the read-only page.",
        ),
        _steer,
    ),
    Exercise(
        "08.4",
        "Hold",
        (
            "EL2 needs the distance between image addresses and hyp addresses. It can find both "
            "addresses of one label without any variable.",
            "ldr x9, =label gives the image address, from the literal pool, which is part of EL2's "
            "own code. adr_l x10, label gives the hyp address.",
            "ldr x9, =kvm_hcall_table; adr_l x10, kvm_hcall_table; load the slot from [x10, x0, lsl "
            "#3]; then subtract x9 and add x10. No kern_hyp_va is left.",
        ),
        _holds,
        optional=True,
    ),
)
