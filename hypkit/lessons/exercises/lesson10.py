"""The exercises of 10-what-linux-did: no loads, a status of its own, an order that is a policy."""

from __future__ import annotations

from collections.abc import Sequence

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.kernel.variants import ENOSYS, HYPERCALLS, SMCCC_BASE, VARIANTS, variant
from hypkit.lessons.judge import Bench, Exercise, Wrong, call_function, number, shown

# --- What the lesson ships ------------------------------------------------------------------------

BASE = variant("numbered").limits[0]
# What the kernel asks for while it sets KVM up, and never again.
INIT_ONLY = (
    "__kvm_enable_ssbs",
    "__kvm_get_mdcr_el2",
    "__vgic_v3_init_lrs",
    "__vgic_v3_get_ich_vtr_el2",
)


def policy(order: Sequence[str], hcall_min: int) -> str:
    """A dispatcher whose numbers follow *order* from 0x100 on, and start at the hcall_min-th.

    A model of what Linux 5.16 does in C: one table, and a lower bound that is 0 until protected
    KVM is final.
    """
    branches = "".join(f"        b       {name}\n" for name in order)
    return f"""\
dispatch:
        divert_stub_calls
dispatch_find:
        sub     x0, x0, #{BASE:#x}
        cmp     x0, #{hcall_min}             // hcall_min
        b.lo    2f
        cmp     x0, #{len(order)}
        b.hs    2f
        adr     x10, branches
        add     x10, x10, x0, lsl #2
        mov     x0, x10
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier

2:      mov     x0, #-ENOSYS
        eret
        speculation_barrier
branches:
{branches}"""


ASSEMBLY = tuple(
    (f"numbered 10 policy {n}", policy(HYPERCALLS, n)) for n in range(len(HYPERCALLS) + 1)
)

# --- The judges -----------------------------------------------------------------------------------


def _no_loads(answer: object) -> str:
    if not isinstance(answer, set | frozenset | list | tuple):
        raise Wrong(f"Expected a set of variants' names; came {shown(answer)}")
    came = list(answer)
    known = [key for key, chosen in VARIANTS.items() if chosen.host_el == 1]
    for key in came:
        if key not in known:
            raise Wrong(f"Expected names out of {', '.join(known)}; came {shown(key)}")
    loads, firsts = {}, {}
    for key in known:
        with Bench(key, seed=5) as machine:
            call = machine.call("__kvm_flush_vm_context")
            cost = call.cost
            loads[key] = cost.phases["dispatch"].loads
            firsts[key] = next(
                (step for step in cost.steps["dispatch"] if call.trace[step].memory), None
            )
    for key in came:
        if loads[key]:
            raise Wrong(
                f"{key} loads {loads[key]} time{'s' * (loads[key] > 1)} in its dispatch, "
                f"first at step {firsts[key]}; expected variants that never do"
            )
    missing = [key for key in known if not loads[key] and key not in came]
    if missing:
        raise Wrong(
            f"Expected all variants that load nothing; came {len(set(came))}, and there "
            f"{'is one' if len(missing) == 1 else f'are {len(missing)}'} more"
        )
    return "One knows the address from the host, the other computes it: neither reads memory"


def _refused(answer: object) -> str:
    asked = [(SMCCC_BASE + n, ()) for n in (0, 15, BASE)]
    asked += [(BASE, ()), (MASK64, ()), (0xC500_0001, ()), (3, ())]
    first = variant("smccc").base
    for n, name in enumerate(variant("smccc").order):
        asked.append((first + n, facts.hypercall(name).example))
    # Results that look like refusals: -1, and -38.
    offset = variant("smccc").numbers["__kvm_timer_set_cntvoff"]
    asked += [(offset, (0xFFFF_FFFF, 0xFFFF_FFFF)), (offset, (ENOSYS & 0xFFFF_FFFF, 0xFFFF_FFFF))]
    taken = set(variant("smccc").numbers.values())
    for x0, arguments in asked:
        with Bench("smccc", seed=x0 % 97 + 1) as machine:
            came = call_function(answer, machine, x0, *arguments, name="refused")
            call = machine.last_call("refused")
            if came is not True and came is not False:
                raise Wrong(
                    f"Expected True or False from refused(machine, {x0:#x}); came {shown(came)}"
                )
            if came == (x0 in taken):
                raise Wrong(
                    f"For x0 = {x0:#x} expected {x0 not in taken}; came {came}, after "
                    f"{len(call.trace)} steps that left {shown(call.x0)} in x0 and "
                    f"{shown(call.x1)} in x1"
                )
    return "The status says it, whatever the result may look like"


def _policy(answer: object) -> str:
    if not isinstance(answer, dict) or not all(key in answer for key in ("order", "hcall_min")):
        raise Wrong(
            'Expected a dict with "order", a list of names, and "hcall_min", a number; '
            f"came {shown(answer)}"
        )
    order, least = answer["order"], number(answer["hcall_min"], "for 'hcall_min' an index")
    if not isinstance(order, list | tuple) or not all(isinstance(name, str) for name in order):
        raise Wrong(f"Expected for 'order' a list of names; came {shown(order)}")
    if sorted(order) != sorted(HYPERCALLS):
        missing = [name for name in HYPERCALLS if name not in order]
        raise Wrong(
            f"Expected each of the fourteen calls once; came {len(order)} names"
            + (f", without {missing[0]}" if missing else "")
        )
    if not 0 <= least <= len(order):
        raise Wrong(f"Expected hcall_min from 0 to {len(order)}; came {shown(least)}")
    for final, seed in ((False, 51), (True, 52)):
        when = "Once KVM is final" if final else "At boot"
        with Bench("numbered", seed=seed, dispatcher=policy(order, least if final else 0)) as m:
            for n, name in enumerate(order):
                call = m.hvc(BASE + n, *facts.hypercall(name).example)
                step = call.trace.find(name)
                if final and name in INIT_ONLY and step is not None:
                    raise Wrong(
                        f"{when}, expected {name} to be refused; with hcall_min = {least} "
                        f"its number {BASE + n:#x} still enters it at step {step}"
                    )
                if not (final and name in INIT_ONLY) and step is None:
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
            "The status of a number that is not supported is -1: all 64 bits set, 2**64 - 1.",
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
            "__vgic_v3_get_ich_vtr_el2. Put them first, the others behind them, and hcall_min is 4.",
        ),
        _policy,
    ),
)
