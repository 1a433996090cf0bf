"""The exercises of 13-attack-and-defend: a second name, who mends what, hardening, and hiding."""

from __future__ import annotations

import random

from hypkit import attack
from hypkit.attack import Report
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.answers import answers_for, word64, word_of
from hypkit.lessons.dispatchers import machine_with, tried
from hypkit.lessons.functions import call_function
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.material import SOFT, WIDE
from hypkit.lessons.recording import RecordingMachine, entered

# What the hint of 13.5 leads to.
DOOR = "eor x9, x0, x0, lsr #32\nmov x10, #0xbeef\nmovk x10, #0x600d, lsl #32\ncmp x9, x10\n"
ASSEMBLY = (("numbered 13 soft", SOFT), ("numbered 13 wide", WIDE), ("a door", DOOR))
CALLS = 20_000
INSTRUCTIONS, LOADS = 49, 6  # what `numbered` takes at EL2 around the handler
MENDS = ("dispatcher", "function", "stage 2", "refusal")

# --- The judges -----------------------------------------------------------------------------------


def _second_name(answer: object) -> str:
    for seed, name in enumerate(("__kvm_get_mdcr_el2", "__kvm_flush_vm_context",
                                 "__vgic_v3_read_vmcr", "__kvm_enable_ssbs"), 61):  # fmt: skip
        with RecordingMachine("numbered", seed=seed, dispatcher=WIDE) as machine:
            got = call_function(answer, machine, name, name="second_name")
            x0 = word64(got, f"second_name(machine, {name!r})")
            if x0 == machine.x0_of(name):
                raise Wrong(f"{x0:#x} is the number of {name}; expected another value of x0")
            call = machine.hvc(x0)
            ran = entered(call)
            if ran != name:
                did = f"{ran} ran" if ran else f"it ran no function: {call.message}"
                raise Wrong(f"Expected x0 = {x0:#x} to call {name}; {did}")
    return "The test saw 32 bits, and the shift by 3 drops the upper three: 61, 62 and 63 are free"


WHO = {
    "x0": ("dispatcher", "the number is tested before anything is done with it"),
    "arguments": ("function", "only what is called knows what its arguments mean"),
    "table": ("stage 2", "the table lies in memory that EL1's own page tables make writable"),
    "page tables": ("stage 2", "EL2's tables lie in memory that EL1 can write"),
    "stub": ("refusal", "a soft restart does what it is for; after the start nobody needs it"),
}


def _who(answer: object) -> str:
    for power, given in answers_for(answer, tuple(WHO), "who mends it,"):
        word = word_of(given, MENDS, f"for {power!r} one of {', '.join(MENDS)}")
        right, why = WHO[power]
        if word != right:
            raise Wrong(f"{power!r}: {word!r} is not enough by itself: {why}")
    return "A dispatcher can only guard what comes through it"


def _silent(report: Report) -> None:
    if report.findings:
        finding = report.findings[0]
        raise Wrong(
            f"The fuzzer is not silent: {finding.verdict.outcome.words}"
            f"{', ' + finding.verdict.detail if finding.verdict.detail else ''}, with "
            f"{finding.code}, in {finding.count:,} of {report.calls:,} calls",
            finding.call(),
        )


def _hardened(answer: object) -> str:
    with machine_with(answer, "numbered", 71) as machine:
        spent = [
            (counts.instructions, counts.loads, name)
            for name, counts in tried(machine, random.Random(71))
        ]
        text = str(machine.dispatcher)
    for seed in (72, 73):
        _silent(attack.fuzz("numbered", CALLS, seed=seed, dispatcher=text, progress=False))
    instructions, loads = max(spent)[0], max(loads for _, loads, _ in spent)
    if instructions > INSTRUCTIONS or loads > LOADS:
        raise Wrong(
            f"The fuzzer is silent now. Expected at most {INSTRUCTIONS} instructions and {LOADS} "
            f"loads at EL2 around the handler; {max(spent)[2]} takes {instructions} and {loads}"
        )
    return f"{instructions} instructions and {loads} loads at most; {2 * CALLS:,} attacks failed"


def _planted(answer: object) -> str:
    draw = random.Random(13)
    for seed, label in enumerate(("kvm0", "vcpu1", "kvm_host_data_cpu0", "kvm0"), 81):
        with RecordingMachine("numbered", seed=seed) as machine:
            offset = 8 * draw.randrange(64, 128)
            address = machine.address(label, "linear") + offset
            value = draw.getrandbits(32) | 1
            call_function(answer, machine, address, value, name="plant")
            calls = machine.calls
            if not calls:
                raise Wrong("plant made no call on the machine it was given")
            numbers = {machine.x0_of(name) for name in HYPERCALLS}
            hyp = machine.layout.hyp_va(machine.image.pa(label) + offset)
            written = False
            for call in calls:
                if not _of_the_abi(machine, call.what, numbers):
                    raise Wrong(f"{call.what} is no call of the ABI: use machine.call(name, ...)")
                for step in call.trace:
                    written |= step.el == 2 and any(
                        a.kind == "store" and a.va <= hyp < a.va + a.size for a in step.memory
                    )
            now = int.from_bytes(machine.read(address, 4, el=1), "little")
            where = f"{label}+{offset:#x}"
            if now != value:
                raise Wrong(f"Expected {value:#x} at {where}; got {now:#x}")
            if not written:
                raise Wrong(f"{where} holds the value, but EL2 did not write it")
    return "Two good calls and one wild pointer write any word that EL2 may write"


def _of_the_abi(machine: RecordingMachine, what: str, numbers: set[int]) -> bool:
    if what in HYPERCALLS:
        return True
    return what.startswith("hvc ") and int(what.split()[1], 16) in numbers


def _hidden(answer: object) -> str:
    given = dict(answers_for(answer, ("dispatcher", "x0"), "a text, and a number,"))
    x0 = word64(given["x0"], "for 'x0' a number")
    text = given["dispatcher"]
    with machine_with(text, "numbered", 91) as machine:
        for _ in tried(machine, random.Random(91)):
            pass
        call = machine.hvc(x0)
        start = machine.image.pa("__kvm_get_mdcr_el2")
        steps = [machine.layout.pa(step.pc) for step in call.trace if step.el == 2]
        if start + 4 not in steps or start in steps:
            raise Wrong(
                f"Expected x0 = {x0:#x} to enter __kvm_get_mdcr_el2 at its second instruction; "
                f"{entered(call) or 'no function'} ran: {call.message}"
            )
    _silent(attack.fuzz("numbered", CALLS, seed=92, dispatcher=str(text), progress=False))
    return f"{CALLS:,} attacks saw nothing, and the door is there: silence is no proof"


EXERCISES = (
    Exercise(
        "13.1",
        "A second name",
        (
            'attack.fuzz("numbered", dispatcher=WIDE) shows a call that should be refused. Compare '
            "its x0 with the number of the function that ran, bit by bit.",
            "The index is shifted left by 3 before it is added to the table's address. Which bits of "
            "x0 does the shift lose?",
            "machine.x0_of(name) | 1 << 61",
        ),
        _second_name,
    ),
    Exercise(
        "13.2",
        "Who mends it?",
        (
            "Ask of each: would it help if nothing else were changed?",
            "Whoever may write memory does not ask the dispatcher. What decides which memory a host "
            "may write is a stage 2 of its own.",
            "Look at the columns of the matrix: only x0 differs because of the dispatcher's test.",
        ),
        _who,
    ),
    Exercise(
        "13.3",
        "Harden it",
        (
            "attack.fuzz with your text says what is left, and finding.call() shows it.",
            "A door for one number; a test of 32 bits of a register with 64; a comparison that lets "
            "the end itself through.",
            "Take the two lines about 0x2f and label 8 out, compare x0, and branch if it is less "
            "than the end.",
        ),
        _hardened,
    ),
    Exercise(
        "13.4",
        "A write of your own",
        (
            "One function copies ICH_AP0R0_EL2 to a vCPU, another one loads it from there.",
            'machine.poke(vcpu0 + CONSTANTS["VCPU_VGIC"], value) and __vgic_v3_restore_aprs put the '
            "value into the register.",
            'Then machine.call("__vgic_v3_save_aprs", address - CONSTANTS["VCPU_VGIC"]), with '
            "CONSTANTS from hypkit.kernel.memory_map.",
        ),
        _planted,
        optional=True,
    ),
    Exercise(
        "13.5",
        "What silence is worth",
        (
            "The fuzzer tries every constant that stands in the code. Compute the number to compare "
            "with, or compute with x0 before you compare.",
            "eor x9, x0, x0, lsr #32 and a comparison of x9 is enough.",
            "Find an x0 for which your computation gives the constant: undo it in Python.",
        ),
        _hidden,
        optional=True,
    ),
)
