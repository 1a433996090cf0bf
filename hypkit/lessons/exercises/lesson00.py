"""The exercises of 00-start-here: a trace to read, a number to find, a value to split."""

from __future__ import annotations

from hypkit.kernel.variants import ENOSYS, FIRST_AFTER_STUB
from hypkit.lessons.answers import number, shown, word64
from hypkit.lessons.functions import call_function
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.recording import RecordingMachine, after, attempt

SEED = 2020
OTHER = "__kvm_timer_set_cntvoff"  # the call that the lesson makes


def _steps_at_el2(answer: object) -> str:
    got = number(answer, "a count of instructions")
    with RecordingMachine("numbered", seed=SEED) as machine:
        call = machine.call("__kvm_get_mdcr_el2")
        trace, handler = call.trace, call.cost.phases["handler"].instructions
        other = machine.call(OTHER).trace
    expected = sum(step.el == 2 for step in trace)
    if got == expected:
        return (
            f"{expected} of the {len(trace)} steps run at EL2, and only {handler} of them "
            "belong to the function that was called"
        )
    meant = {
        len(trace): "all steps of the trace, those of the host at EL1 included",
        len(trace) - expected: "the steps at EL1",
        handler: "only the called function's own steps",
        expected - handler: "all but the called function's own steps, which run at EL2 too",
        len(other): f"the length of the lesson's own call of {OTHER}",
        sum(step.el == 2 for step in other): f"what the lesson's own call of {OTHER} takes",
    }
    what = f", {meant[got]}" if got in meant else ""
    raise Wrong(f"Expected the number of steps whose EL is 2; got {shown(got)}{what}")


def _refused(answer: object) -> str:
    x0 = word64(answer, "a value for x0")
    if x0 in (ENOSYS, ENOSYS & 0xFFFF_FFFF):
        raise Wrong(
            f"Expected the number that you put into x0; got {shown(answer)}, which is what comes "
            "back. (It happens to be refused as well. Find another.)"
        )
    if x0 < FIRST_AFTER_STUB:
        raise Wrong(
            f"Expected a number that means nothing; {x0} is a stub call, which the kernel "
            "uses to hand EL2 over: it takes another way out"
        )
    if x0 == 0x50:
        raise Wrong("Expected a number of your own; 0x50 is the example of the lesson")
    with RecordingMachine("numbered", seed=7) as machine:
        call = attempt(machine.hvc, x0)
        if call.x0 == ENOSYS:
            # Sent -38, x0 does not change at all: look for the instruction, not for the change.
            step = max(
                i for i in call.cost.steps["dispatch"] if call.trace[i].text.startswith("mov x0")
            )
            return (
                f'x0 = {x0:#x} came back as {ENOSYS - (1 << 64)}, the kernel\'s "no such call", '
                f"written into x0 at step {step}; no function was called"
            )
        phases = call.cost.steps
        if "handler" in phases:
            step = phases["handler"][0]
            raise Wrong(
                f"Expected -38 in x0; with x0 = {x0:#x} the machine called "
                f"{call.trace[step].symbol} at step {step}: this number is taken"
            )
        raise Wrong(f"Expected -38 in x0; {call!r}")


# Both halves, the ends of each, and nothing at all where something was.
OFFSETS = (
    ("numbered", 11, 0x1234),
    ("fnptr", 12, 0x7_0000_1234),
    ("numbered", 13, 0x8000_0000_FFFF_FFFF),
    ("jump_table", 14, 0x1_0000_0000),
    ("smccc", 15, 0xFFFF_FFFF_8000_0000),
    ("numbered", 16, 0),
)


def _set_offset(answer: object) -> str:
    for variant, seed, value in OFFSETS:
        with RecordingMachine(variant, seed=seed) as machine:
            machine.call(OTHER, 0x5A5A_5A5A, 0x5A5A_5A5A)
            machine.calls.clear()
            call_function(answer, machine, value, name="set_offset")
            call = machine.last_call("set_offset")
            with after("set_offset"):
                found = machine.sysreg("CNTVOFF_EL2")
            if found == value:
                continue
            wrote = [i for i, step in enumerate(call.trace) if step.text.startswith("msr cntvoff")]
            at = (
                f" at step {wrote[-1]} of {call!r}"
                if wrote
                else f": the last call was {call!r}, and it does not write this register"
            )
            low, high = value & 0xFFFF_FFFF, value >> 32
            why = (
                "; its two halves have changed places"
                if found == low << 32 | high
                else "; its low 32 bits are right"
                if found & 0xFFFF_FFFF == low
                else ""
            )
            raise Wrong(
                f'On Machine("{variant}"), expected '
                f"CNTVOFF_EL2 = {value:#x}; got {found:#x}{at}{why}"
            )
    return "CNTVOFF_EL2 holds all 64 bits, on machines of four kinds"


EXERCISES = (
    Exercise(
        "00.1",
        "Count the steps at EL2",
        (
            'Make the call and look at its trace: c = m.call("__kvm_get_mdcr_el2"), then c.trace.',
            "The trace's own short description counts the steps of each exception level.",
            "In code: sum(step.el == 2 for step in c.trace).",
        ),
        _steps_at_el2,
    ),
    Exercise(
        "00.2",
        "A number that means nothing",
        (
            "The fourteen calls have the numbers 0x100, 0x101, and so on.",
            "Fourteen numbers from 0x100 on end at 0x10d. What about a number well away from them?",
            "Try m.hvc(0x10e) and look at x0. Many other numbers do as well.",
        ),
        _refused,
    ),
    Exercise(
        "00.3",
        "All 64 bits of the offset",
        (
            "Call __kvm_timer_set_cntvoff on the machine that your function is given.",
            "The call takes two arguments of 32 bits each: first the low half, then the high half.",
            "value & 0xffffffff is the low half, value >> 32 the high half.",
        ),
        _set_offset,
    ),
)
