"""The exercises of 08-review-cached-offset: loads left, cycles saved, a call steered, and held."""

from __future__ import annotations

import random

from hypkit import facts
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.answers import answers_for, number
from hypkit.lessons.dispatchers import machine_with, overwrite, tried
from hypkit.lessons.functions import call_function
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.material import POOL
from hypkit.lessons.recording import RecordingMachine, after, ending, entered
from hypkit.trace import Trace

CORES = facts.modelled()
LOADS = ("numbered", "cached", "patched", "relocated")
# The words of EL1's that a dispatcher of the story has read.
OFFSETS = ("kimage_voffset", "physvirt_offset", "kvm_lm_offset")
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
ASSEMBLY = (("numbered 08 apart", APART),)

# --- The judges -----------------------------------------------------------------------------------


def _loads(answer: object) -> str:
    for key, value in answers_for(answer, LOADS, "a count of loads"):
        got = number(value, f"for {key!r} a count of loads")
        with RecordingMachine(key, seed=81) as machine:
            cost = machine.call(CALL, 1).cost
        expected, everywhere = cost.phases["dispatch"].loads, cost.total.loads
        if got != expected:
            whole = ", those of all phases" if got == everywhere else ""
            raise Wrong(f'{key}: expected the loads of the phase "dispatch"; got {got}{whole}')
    return "The one load that is left is that of the table's slot"


def _saved(answer: object) -> str:
    given = answers_for(answer, CORES, "a number of cycles")
    cycles = {}
    for key in ("numbered+adr_l", "numbered+adr_l+cached", "numbered", "cached"):
        with RecordingMachine(key, seed=82) as machine:
            call = machine.call(CALL, 1)
            cycles[key] = {core: call.timing(core).cycles for core in CORES}
    saved = {
        core: cycles["numbered+adr_l"][core] - cycles["numbered+adr_l+cached"][core]
        for core in CORES
    }
    for core, value in given:
        got = number(value, f"for {core!r} a number of cycles")
        if got != saved[core]:
            posted = cycles["numbered"][core] - cycles["cached"][core]
            why = (
                ": that is what it saves without adr_l"
                if got == posted
                else ": saved cycles are positive"
                if got == -saved[core]
                else ""
            )
            raise Wrong(
                f"{core}: expected the cycles that the cached word saves when adr_l is "
                f"there already; got {got}{why}"
            )
    most = max(CORES, key=lambda core: saved[core])
    return (
        f"It saves most on {most}, which takes instructions in order, and next to nothing "
        "where the loads wait in the shadow of the table's"
    )


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
        "What is left to load",
        (
            "A call's cost knows the loads of each phase.",
            'call.cost.phases["dispatch"].loads is the number of one call.',
            '{key: Machine(key).call("__kvm_get_mdcr_el2").cost.phases["dispatch"].loads '
            "for key in (...)}.",
        ),
        _loads,
    ),
    Exercise(
        "08.2",
        "What the cache saves",
        (
            'Compare two machines: "numbered+adr_l" and "numbered+adr_l+cached".',
            "call.timing(core).cycles gives the cycles of the dispatch on a core.",
            "For each core: the first machine's cycles minus the second's.",
        ),
        _saved,
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
