"""The exercises of 10-what-linux-did: no loads, a status of its own, an order that is a policy."""

from __future__ import annotations

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.call import RETURNED
from hypkit.errors import did_you_mean
from hypkit.kernel.variants import ENOSYS, HYPERCALLS, SMCCC_BASE, VARIANTS, variant
from hypkit.lessons.answers import answers_for, boolean, number, shown
from hypkit.lessons.dispatchers import answering
from hypkit.lessons.functions import call_function, listed
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.material import BASE, EARLY, policy
from hypkit.lessons.recording import RecordingMachine

ASSEMBLY = tuple(
    (f"numbered 10 policy {n}", policy(HYPERCALLS, n)) for n in range(len(HYPERCALLS) + 1)
)

# --- The judges -----------------------------------------------------------------------------------


def _no_loads(answer: object) -> str:
    given = listed(answer, "a set of variants' names", ordered=False, keys=True)
    known = [key for key, chosen in VARIANTS.items() if chosen.host_el == 1]
    for key in given:
        if key not in known:
            like = did_you_mean(key, known)
            raise Wrong(f"Expected names out of {', '.join(known)}; got {shown(key)}{like}")
    loads, firsts = {}, {}
    for key in known:
        with RecordingMachine(key, seed=5) as machine:
            call = machine.call("__kvm_flush_vm_context")
            cost = call.cost
            loads[key] = cost.phases["dispatch"].loads
            firsts[key] = next(
                (step for step in cost.steps["dispatch"] if call.trace[step].memory), None
            )
    for key in given:
        if loads[key]:
            raise Wrong(
                f"{key} loads {loads[key]} time{'s' * (loads[key] > 1)} in its dispatch, "
                f"first at step {firsts[key]}; expected variants that never do"
            )
    missing = [key for key in known if not loads[key] and key not in given]
    if missing:
        raise Wrong(
            f"Expected all variants that load nothing; got {len(set(given))}, and there "
            f"{'is one' if len(missing) == 1 else f'are {len(missing)}'} more"
        )
    return "One knows the address from the host, the other computes it: neither reads memory"


# What EL2 may answer to any number: (x0, x1, whether that is a refusal).
ANSWERS = (
    (MASK64, 0, True),
    (MASK64, 7, True),
    (MASK64, MASK64, True),
    (0, 0, False),
    (0, MASK64, False),
    (0, ENOSYS, False),
    (0, 7, False),
)


def _refused(answer: object) -> str:
    asked: list[tuple[int, tuple[int | str, ...]]]
    asked = [(SMCCC_BASE + n, ()) for n in (0, 15, 0x100)]
    asked += [(0x100, ()), (MASK64, ()), (0xC500_0001, ()), (3, ())]
    smccc = variant("smccc")
    for name, x0 in smccc.numbers.items():
        asked.append((x0, facts.hypercall(name).example))
    # Results that look like refusals: -1, and -38.
    offset = smccc.numbers["__kvm_timer_set_cntvoff"]
    asked += [(offset, (0xFFFF_FFFF, 0xFFFF_FFFF)), (offset, (ENOSYS & 0xFFFF_FFFF, 0xFFFF_FFFF))]
    taken = set(smccc.numbers.values())
    for x0, arguments in asked:
        with RecordingMachine("smccc", seed=x0 % 97 + 1) as machine:
            _judged(answer, machine, x0, arguments, x0 not in taken, f"For x0 = {x0:#x}")
    # A machine whose EL2 knows other numbers: only the answer tells.
    for n, (left, beside, expected) in enumerate(ANSWERS):
        for x0 in (SMCCC_BASE + 1 + n, 0x100 + n):
            text = answering(left, beside)
            with RecordingMachine("smccc", seed=n + 1, dispatcher=text) as machine:
                what = f"On a machine whose EL2 knows other numbers, for x0 = {x0:#x}"
                _judged(answer, machine, x0, (5,), expected, what)
    return "The status says it, whatever the number and the result may look like"


def _judged(
    answer: object,
    machine: RecordingMachine,
    x0: int,
    arguments: tuple[int | str, ...],
    expected: bool,
    what: str,
) -> None:
    """Have a host make one call; raise Wrong unless it tells whether EL2 refused it."""
    got = call_function(answer, machine, x0, *arguments, name="refused")
    call = machine.only_call("refused")
    got = boolean(got, f"refused(machine, {x0:#x})")
    if call.outcome != RETURNED:
        passed = ": are the arguments passed on?" if arguments else ""
        raise Wrong(f"{what} expected the call to return; {call.message}{passed}")
    if got != expected:
        signed = (
            ". (Registers are read without a sign: -1 is 2**64 - 1)"
            if call.x0 == MASK64 and not got
            else ""
        )
        raise Wrong(
            f"{what} expected {expected}; got {got}, after {len(call.trace)} steps that left "
            f"{shown(call.x0)} in x0 and {shown(call.x1)} in x1{signed}"
        )


def _policy(answer: object) -> str:
    order: list[object] = []
    least = 0
    for key, value in answers_for(answer, ("order", "hcall_min"), "a list of names, and an index,"):
        if key == "hcall_min":
            least = number(value, "for 'hcall_min' an index")
            continue
        order = listed(value, "for 'order' a list of names", keys=True)
        strange = next((name for name in order if not isinstance(name, str)), None)
        if strange is not None:
            raise Wrong(f"Expected for 'order' a list of names; got {shown(strange)} in it")
        strange = next((name for name in order if name not in HYPERCALLS), None)
        if strange is not None:
            like = did_you_mean(strange, HYPERCALLS)
            raise Wrong(f"Expected names of hypercalls; {shown(strange)} is not one{like}")
        if sorted(map(str, order)) != sorted(HYPERCALLS):
            missing = [name for name in HYPERCALLS if name not in order]
            raise Wrong(
                f"Expected each of the fourteen calls once; got {len(order)} names"
                + (f", without {missing[0]}" if missing else "")
            )
    names = [str(name) for name in order]
    if not 0 <= least <= len(names):
        raise Wrong(f"Expected hcall_min from 0 to {len(names)}; got {shown(least)}")
    for final, seed in ((False, 51), (True, 52)):
        when = "Once KVM is final" if final else "At boot"
        text = policy(names, least if final else 0)
        with RecordingMachine("numbered", seed=seed, dispatcher=text) as m:
            for n, name in enumerate(names):
                call = m.hvc(BASE + n, *facts.hypercall(name).example)
                step = call.trace.find(name)
                if final and name in EARLY and step is not None:
                    raise Wrong(
                        f"{when}, expected {name} to be refused; with hcall_min = {least} "
                        f"its number {BASE + n:#x} still enters it at step {step}"
                    )
                if not (final and name in EARLY) and step is None:
                    raise Wrong(
                        f"{when}, expected {name} to be called; its number {BASE + n:#x} "
                        f"is refused at step {len(call.trace) - 1}"
                    )
    return (
        "One comparison splits the list into what may be asked for at any time and what only "
        "the start may ask for: the order of the enum is a policy now"
    )


EXERCISES = (
    Exercise(
        "10.1",
        "Without a load",
        (
            'call.cost.phases["dispatch"].loads counts them.',
            'Make one call on each of the nine machines: those of VARIANTS but "vhe", which makes no '
            "hypercall.",
            '{key for key in VARIANTS if key != "vhe" and Machine(key).call('
            '"__kvm_flush_vm_context").cost.phases["dispatch"].loads == 0}',
        ),
        _no_loads,
    ),
    Exercise(
        "10.2",
        "Refused, or only negative?",
        (
            "Make the call with machine.hvc(x0, *args), and look at both registers of what comes back.",
            "x1 is the result, and a result may be any number. x0 is the status.",
            "The status of a number that is not supported is -1: all 64 bits set, 2**64 - 1. Whatever "
            "x1 holds then is no result.",
        ),
        _refused,
    ),
    Exercise(
        "10.3",
        "An order that is a policy",
        (
            "Which calls does the kernel need only while it sets KVM up? facts.hypercalls() has a "
            ".caller for each.",
            "They have to be the first ones, so that one comparison can cut them off. hcall_min is the "
            "index of the first call that stays.",
            "Four calls: __kvm_enable_ssbs, __kvm_get_mdcr_el2, __vgic_v3_init_lrs and "
            "__vgic_v3_get_ich_vtr_el2. Put them first, the others after them, and hcall_min is 4.",
        ),
        _policy,
    ),
)
