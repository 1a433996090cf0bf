"""The exercises of 08-review-cached-offset: loads left, cycles saved, a call steered, and held."""

from __future__ import annotations

import random

from hypkit import facts
from hypkit.a64.pagetables import AP_RO
from hypkit.a64.registers import MASK64
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.exercises.lesson07 import POOL, machine_with, tried
from hypkit.lessons.judge import Bench, Exercise, Wrong, after, call_function, number, shown

CORES = facts.modelled()
LOADS = ("numbered", "cached", "patched", "relocated")
# The words of EL1's that a dispatcher of the story has read.
OFFSETS = ("kimage_voffset", "physvirt_offset", "kvm_lm_offset")
CALL = "__kvm_timer_set_cntvoff"

# --- What the lesson ships ------------------------------------------------------------------------

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
    if not isinstance(answer, dict) or not all(key in answer for key in LOADS):
        raise Wrong(
            f"Expected a dict with a count for each of {', '.join(LOADS)}; came {shown(answer)}"
        )
    for key in LOADS:
        came = number(answer[key], f"for {key!r} a count of loads")
        with Bench(key, seed=81) as machine:
            cost = machine.call(CALL, 1).cost
        expected, everywhere = cost.phases["dispatch"].loads, cost.total.loads
        if came != expected:
            whole = ", those of all phases" if came == everywhere else ""
            raise Wrong(f'{key}: expected the loads of the phase "dispatch"; came {came}{whole}')
    return "The one load that is left is that of the table's slot"


def _saved(answer: object) -> str:
    if not isinstance(answer, dict) or not all(core in answer for core in CORES):
        raise Wrong(
            f"Expected a dict with a number of cycles for each of {', '.join(CORES)}; "
            f"came {shown(answer)}"
        )
    cycles = {}
    for key in ("numbered+adr_l", "numbered+adr_l+cached", "numbered", "cached"):
        with Bench(key, seed=82) as machine:
            call = machine.call(CALL, 1)
            cycles[key] = {core: call.timing(core).cycles for core in CORES}
    for core in CORES:
        came = number(answer[core], f"for {core!r} a number of cycles")
        expected = cycles["numbered+adr_l"][core] - cycles["numbered+adr_l+cached"][core]
        if came != expected:
            posted = cycles["numbered"][core] - cycles["cached"][core]
            why = (
                ": that is what it saves without adr_l"
                if came == posted
                else ": saved cycles are positive"
                if came == -expected
                else ""
            )
            raise Wrong(
                f"{core}: expected the cycles that the cached word saves when adr_l is "
                f"there already; came {came}{why}"
            )
    most = max(
        CORES,
        key=lambda core: cycles["numbered+adr_l"][core] - cycles["numbered+adr_l+cached"][core],
    )
    return (
        f"It saves most on {most}, which takes instructions in order, and next to nothing "
        "where the loads wait in the shadow of the table's"
    )


def _steer(answer: object) -> str:
    draw = random.Random(83)
    for seed in (84, 85, 86):
        called, target = draw.sample(
            (
                "__kvm_get_mdcr_el2",
                "__vgic_v3_read_vmcr",
                CALL,
                "__kvm_flush_vm_context",
                "__vgic_v3_init_lrs",
            ),
            2,
        )
        with Bench("reviewed", seed=seed) as machine:
            code = machine.read(machine.address("dispatch", "hyp"), 0x400)
            table = machine.address("kvm_hcall_table", "hyp")
            slots = machine.read(table, 8 * (3 + len(HYPERCALLS)))
            call_function(answer, machine, called, target, name="steer")
            with after("steer"):
                if machine.read(machine.address("dispatch", "hyp"), 0x400) != code:
                    raise Wrong("steer has changed EL2's code; expected only the offset to change")
                if machine.read(table, len(slots)) != slots:
                    raise Wrong("steer has changed the table; expected only the offset to change")
                trace = machine.call(called, 0x5EED).trace
            if trace.find(target) is not None:
                continue
            end = trace[max(i for i, step in enumerate(trace) if step.el == 2)]
            ran = next((name for name in HYPERCALLS if trace.find(name) is not None), None)
            raise Wrong(
                f"After steer(machine, {called!r}, {target!r}), expected the call to run "
                f"{target}; "
                + (f"it ran {ran}" if ran else f"it ended at EL2 in {end.symbol or hex(end.pc)}")
            )
    return "The number was right, the table was right, and EL2 went where EL1 wanted"


def overwrite(machine: Bench, name: str, value: int) -> None:
    """Write a read-only word, as a kernel can that owns its page tables."""
    word = machine.address(name)
    descriptor = machine.translate(word, el=1).descriptor
    machine.poke(machine.entry_of(word), (descriptor & ~AP_RO).to_bytes(8, "little"))
    machine.poke(word, (value & MASK64).to_bytes(8, "little"))


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
    return "All calls go where they should, whatever EL1 writes into its three words"


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
    ),
)
