"""The exercises of 09-review-the-rest: cmp's immediate, a split, a signed test, and the fix."""

from __future__ import annotations

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.asm import AsmError
from hypkit.kernel.variants import ENOSYS, HYPERCALLS, SMCCC_BASE, variant
from hypkit.lessons.dispatcher_judge import unguarded
from hypkit.lessons.judge import (
    Bench,
    Exercise,
    Wrong,
    after,
    attempt,
    call_function,
    number,
    shown,
)

# --- What the lesson ships ------------------------------------------------------------------------

# The review's dispatcher with version 1's sense of order: signed, and only one test left of two.
SIGNED = """\
.macro image_to_hyp address, distance
        sub     \\address, \\address, \\distance
        kern_hyp_va \\address
.endm

dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #KVM_HOST_HCALL_END
        b.lt    3f
2:      mov     x0, #-ENOSYS
        eret

3:      ldr_l   x9, kvm_lm_offset
        adr_l   x10, kvm_hcall_table
        add     x0, x10, x0, lsl #3
        ldr     x0, [x0]
        image_to_hyp x0, x9
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier

kvm_hc_ni:
        mov     x0, #-ENOSYS
        ret
"""
UNSIGNED = SIGNED.replace("b.lt ", "b.lo ")
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
ASSEMBLY = (
    ("reviewed 09 signed", SIGNED),
    ("reviewed 09 unsigned", UNSIGNED),
    ("reviewed 09 fixed", FIXED),
    ("09 lines", "\n".join(LINES)),
)

# --- The judges -----------------------------------------------------------------------------------


def _fits(answer: object) -> str:
    def right(n: int) -> bool:
        return n < 1 << 12 or n < 1 << 24 and n % (1 << 12) == 0

    for n in (
        *variant("numbered").limits,
        *variant("jump_table").limits,
        0,
        0xFFF,
        0x1001,
        0xFFF000,
        0x1000000,
        0xFFF001,
        SMCCC_BASE,
        0x3000,
        0x2FFF,
        1 << 36,
        0x800000,
    ):
        came = call_function(answer, n, name="fits")
        if came is not True and came is not False:
            raise Wrong(f"Expected True or False from fits({n:#x}); came {shown(came)}")
        if came != right(n):
            why = (
                "12 bits are enough for it"
                if n < 1 << 12
                else "its low 12 bits are zero, and 12 bits hold the rest"
                if right(n)
                else "it needs more than 12 bits, and its low 12 bits are not zero"
                if n % 4096
                else "shifted right by 12, it still needs more than 12 bits"
            )
            raise Wrong(f"Expected fits({n:#x}) to be {right(n)}: {why}; came {came}")
    return "Twelve bits, or twelve bits with twelve zeros behind them, and nothing else"


PARTS = ("numbers", "shuffle")


def _split(answer: object) -> str:
    if not isinstance(answer, dict) or not all(part in answer for part in PARTS):
        raise Wrong(
            f'Expected a dict with a count for "numbers" and one for "shuffle"; came '
            f"{shown(answer)}"
        )
    came = {part: number(answer[part], f"for {part!r} a count of instructions") for part in PARTS}
    counts = []
    for key in ("fnptr", "numbered+shuffle3", "numbered"):
        with Bench(key, seed=17) as machine:
            counts.append(machine.call("__kvm_flush_vm_context").cost.hyp.instructions)
    expected = dict(zip(PARTS, (counts[1] - counts[0], counts[2] - counts[1]), strict=True))
    if came == expected:
        return (
            f"{counts[0]} instructions at EL2 become {counts[1]} by the numbers and "
            f"{counts[2]} by the six registers; a patch of its own would have shown it"
        )
    for part in PARTS:
        if came[part] != expected[part]:
            whole = ": that is the whole patch" if came[part] == counts[2] - counts[0] else ""
            raise Wrong(
                f"For {part!r}, expected what it adds to the instructions at EL2 outside "
                f"the handler, from one machine to the next; came {came[part]}{whole}"
            )
    raise AssertionError(came)


def _reads_physvirt(answer: object) -> str:
    x0 = number(answer, "a value for x0")
    if not -1 << 63 <= x0 <= MASK64:
        raise Wrong(f"Expected a value that fits into x0, which has 64 bits; came {shown(x0)}")
    for seed in (61, 62):
        with Bench("reviewed", seed=seed, dispatcher=SIGNED) as machine:
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
                    f"Expected a number that passes the test; with x0 = {x0 & MASK64:#x} "
                    f"no table entry is loaded: {call!r}"
                )
            access = step.memory[0]
            if access.symbol != "physvirt_offset":
                raise Wrong(
                    f"Expected the load from physvirt_offset; with x0 = {x0 & MASK64:#x} "
                    f"step {step.index} loads from {access.symbol or hex(access.va)}"
                )
    return (
        f"Step {step.index} takes physvirt_offset for a function's address, and EL2 goes where "
        "it leads"
    )


def _fix(answer: object) -> str:
    if not isinstance(answer, str):
        raise Wrong(f"Expected the text of the dispatcher, a string; came {shown(answer)}")
    for seed in (71, 72):
        try:
            machine = Bench("reviewed", seed=seed, dispatcher=answer)
        except AsmError as error:
            raise Wrong(
                f"This text does not assemble: line {error.line}: {error.message}"
            ) from None
        with machine:
            for name in HYPERCALLS:
                call = machine.call(name, *facts.hypercall(name).example)
                if call.outcome != "returned" or call.trace.find(name) is None:
                    raise Wrong(f"Expected {name} to be called as before; came {call!r}")
            first = machine.image.variant.numbers[HYPERCALLS[0]]
            for x0 in (
                -1,
                -2,
                -seed,
                -1 << 63,
                (1 << 63) + first,
                (1 << 32) + first,
                first + len(HYPERCALLS),
                0x1000,
            ):
                call = machine.hvc(x0)
                if call.outcome != "returned" or call.x0 != ENOSYS:
                    signed = x0 - (1 << 64) if x0 >> 63 == 1 else x0
                    raise Wrong(
                        f"With x0 = {x0 & MASK64:#x}, {signed} as a signed number, "
                        f"expected -38; step {len(call.trace) - 1} ends it: {call!r}"
                    )
                for name in HYPERCALLS:
                    if (step := call.trace.find(name)) is not None:
                        raise Wrong(
                            f"With x0 = {x0 & MASK64:#x} expected no call; step {step} "
                            f"enters {name}"
                        )
            for where, came in unguarded(machine.image.dispatcher):
                raise Wrong(
                    "The range is right now. Expected a speculation barrier straight "
                    f"behind every eret as well; behind the one of {where} came {came}"
                )
    return (
        "Negative numbers are large ones now, and there is a barrier behind both erets: two "
        "changes that the second version made, too"
    )


TABLE_SLOTS = len(variant("reviewed").slots)


def _enter(answer: object) -> str:
    for label, seed in (
        ("hyp_panic", 81),
        ("__guest_exit", 82),
        ("el1_trap", 83),
        ("__kvm_get_mdcr_el2", 84),
    ):
        with Bench("reviewed", seed=seed, dispatcher=SIGNED) as machine:
            believed = machine.address("kimage_voffset", "hyp")
            size = machine.address("kvm_hcall_table", "hyp") + 8 * TABLE_SLOTS - believed
            before = machine.read(believed, size)
            call_function(answer, machine, label, name="enter")
            call = machine.last_call("enter")
            with after("enter"):
                changed = machine.read(believed, size) != before
            if changed:
                raise Wrong(
                    "enter has changed the table or a variable; expected x0 and x1 to be enough"
                )
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
        "What each half costs",
        (
            'There is a machine with the numbers, but not the six registers: "numbered+shuffle3".',
            'Make the same call on "fnptr", "numbered+shuffle3" and "numbered", and look at '
            "cost.hyp.instructions.",
            '"numbers" is the second count minus the first, "shuffle" the third minus the second.',
        ),
        _split,
    ),
    Exercise(
        "09.3",
        "What lies before the table",
        (
            "-1 reads the eight bytes straight before the table. Which variable was that?",
            "hypkit/kernel/guest/rodata.S lists three variables, and the table is placed behind them.",
            "From the table backwards: kvm_lm_offset is -1. One word further is -2.",
        ),
        _reads_physvirt,
    ),
    Exercise(
        "09.4",
        "The fix",
        (
            "Two lines of the text have to change. One compares, one is missing.",
            'lt is signed. Which condition means "lower" without a sign? And what stands behind the '
            "second eret, but not behind the first?",
            "b.lo in place of b.lt, and a line with speculation_barrier behind the first eret: "
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
    ),
)
