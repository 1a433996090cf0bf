"""The exercises of 03-function-pointer-abi: an incident, a hopeless list, back doors, a gadget."""

from __future__ import annotations

from hypkit.call import PANICKED, RETURNED, Call
from hypkit.emu import Machine
from hypkit.lessons.judge import Bench, Exercise, Wrong, attempt, call_function, is_number, shown

# Assembled by the lesson itself: the attacker's two instructions, and what they write.
ASSEMBLY = (("03: payload", "str w0, [x2]\n br x1"), ("03: new code", "mov x0, #42"))

INCIDENT_SEED, INCIDENT = 77, 0xBADC_0FFE_0028_5BC8


def _incident(answer: object) -> str:
    if not isinstance(answer, str):
        raise Wrong(f'Expected a place as a string, such as "hyp_panic+0x4"; came {shown(answer)}')
    with Bench("fnptr", seed=INCIDENT_SEED) as machine:
        at = machine.layout.kern_hyp_va(INCIDENT)
        expected = machine.image.symbolize(at)
        name, _, offset = "".join(answer.split()).partition("+")
        if name not in machine.image.symbols:
            raise Wrong(f"Expected a place with one of the machine's labels; came {shown(answer)}")
        try:
            came = machine.address(name, "hyp") + (int(offset, 0) if offset else 0)
        except ValueError:
            raise Wrong(
                f'Expected a label, "+" and a number, such as "hyp_panic+0x4"; came {shown(answer)}'
            ) from None
        if came == at:
            return (
                f"EL2 made {at:#x} of it, which is {expected}: somebody entered behind the "
                "front door, and the digits in front were there to mislead you"
            )
        near = (
            ": the function is right, the offset in it is not"
            if name == expected.partition("+")[0]
            else ""
        )
        trace = machine.hvc(INCIDENT).trace
        step = trace.find("dispatch_find") + 5
        raise Wrong(
            f"Expected the place where the call began; at step {step} x0 holds "
            f"{trace.register('x0', step):#x}, and that is not {shown(answer)}{near}"
        )


def _list_of_numbers(given: object, name: str) -> list[int]:
    if isinstance(given, range | set | frozenset):
        given = list(given)
    if not isinstance(given, list | tuple) or not all(map(is_number, given)):
        raise Wrong(f"Expected {name} to return a list of whole numbers; came {shown(given)}")
    numbers = [value.__index__() for value in given]
    for value in numbers:
        if not 0 <= value < 1 << 64:
            raise Wrong(f"Expected values for x0, which has 64 bits; came {shown(value)}")
    return numbers


def _went_to(machine: Machine, call: Call) -> str:
    """Where EL2 branched to in its call phase, and at which step."""
    steps = call.cost.steps.get("call")
    if not steps:
        return "a stub call's code"
    trace = call.trace
    blr = next((s for s in steps if trace[s].instruction.mnemonic == "blr"), steps[-1])
    there = trace.register("x30", blr)
    return f"{machine.image.symbolize(there) or hex(there)} at step {blr}"


def _other_names(answer: object) -> str:
    for name, count, seed in (("__kvm_get_mdcr_el2", 3, 61), ("__vgic_v3_read_vmcr", 12, 62)):
        with Bench("fnptr", seed=seed) as machine:
            given = call_function(answer, machine, name, count, name="other_names")
            found = _list_of_numbers(given, "other_names")
            if len(found) != count or len(set(found)) != count:
                raise Wrong(
                    f"Expected {count} different values of x0; came {len(found)} values, "
                    f"{len(set(found))} of them different"
                )
            machine.reboot()
            start = machine.snapshot()
            for x0 in found:
                space = machine.layout.space(x0)
                if space is not None:
                    raise Wrong(
                        f"Expected values that are in none of the four spaces; {x0:#x} "
                        f"is in the {space} one"
                    )
                machine.restore(start)
                call = attempt(machine.hvc, x0)
                entered = call.trace.find(name)
                if entered is None or call.trace[entered].el != 2 or call.outcome != RETURNED:
                    raise Wrong(
                        f"Expected x0 = {x0:#x} to call {name} on the machine with seed "
                        f"{seed}; it went to {_went_to(machine, call)} and {call.outcome}"
                    )
    return (
        "Each of them reached the function. There are 2 to the power of 34 such values for "
        "every function: no list can name them"
    )


def _back_doors(answer: object) -> str:
    name = "__kvm_timer_set_cntvoff"
    for value, seed in ((0x0123_4567_89AB_CDEF, 63), (0xFEDC_0000_0000_0001, 64)):
        with Bench("fnptr", seed=seed) as machine:
            given = call_function(answer, machine, value, name="back_doors")
            found = _list_of_numbers(given, "back_doors")
            machine.reboot()
            start = machine.snapshot()
            front = machine.address(name, "linear")
            doors = {front + 4, front + 8}
            for x0 in found:
                machine.restore(start)
                if x0 == front:
                    raise Wrong(
                        f"{x0:#x} is the front door: its first instruction cuts the value "
                        "down to 32 bits"
                    )
                call = attempt(machine.hvc, x0, value)
                offset = machine.sysreg("CNTVOFF_EL2")
                if call.outcome != RETURNED or offset != value:
                    raise Wrong(
                        f"With x0 = {x0:#x} the call {call.outcome} after EL2 went to "
                        f"{_went_to(machine, call)}; expected CNTVOFF_EL2 = {value:#x}, "
                        f"found {offset:#x}"
                    )
                if x0 not in doors:
                    space = machine.layout.space(x0) or "other"
                    raise Wrong(
                        f"x0 = {x0:#x} works, but it is no linear address in {name}: "
                        f"expected linear addresses, came an address of the {space} kind"
                    )
            if missing := doors - set(found):
                raise Wrong(
                    f"Expected all back doors of the function, {len(doors)} on the machine "
                    f"with seed {seed}; came {len(set(found))}, {len(missing)} missing"
                )
    return (
        "Two back doors: behind the instruction that cuts, and at the one that writes. With "
        "x2 = 0 the one in between changes nothing"
    )


OTHER = "ICH_AP0R0_EL2"  # this machine's GIC has one register of each group


def _gadget(answer: object) -> str:
    wanted = "ICH_AP1R0_EL2"
    for value, seed in ((0x8000_0001, 65), (0x1234_5678, 66)):
        with Bench("fnptr", seed=seed) as machine:
            call_function(answer, machine, value, name="set_ap1r0")
            call = machine.last_call("set_ap1r0")
            if len(machine.calls) != 1:
                raise Wrong(f"Expected one hvc; came {len(machine.calls)} calls")
            if call.outcome != RETURNED:
                raise Wrong(
                    f"Expected the call to come back; EL2 went to "
                    f"{_went_to(machine, call)} and {call.outcome}: {call.message}"
                )
            found = machine.sysreg(wanted)
            if found != value:
                wrote = [
                    i for i, step in enumerate(call.trace) if step.text.startswith("msr ich_ap1r0")
                ]
                at = (
                    f", written at step {wrote[-1]}"
                    if wrote
                    else (f"; the call went to {_went_to(machine, call)} and never wrote it")
                )
                raise Wrong(f"Expected {wanted} = {value:#x}; came {found:#x}{at}")
            if machine.sysreg(OTHER):
                raise Wrong(f"{wanted} is right, but {OTHER} changed too: enter behind its msr")
            if machine.translate(machine.address("vcpu0", "linear"), el=1).pa is None:
                raise Wrong("Expected the machine to keep working; EL1's map is gone")
            if machine.call("__kvm_get_mdcr_el2").outcome == PANICKED:
                raise Wrong("Expected the machine to keep working; the next call panicked")
    return (
        "One HVC, no vCPU: the value came in x4, which nobody moves or clears, and x1 = 0 made "
        "the code behind it stop early"
    )


EXERCISES = (
    Exercise(
        "03.1",
        "The incident",
        (
            "Which bits of x0 does EL2 keep?",
            'The low 30 bits, and above them the tag of this machine: Machine("fnptr", seed=77)'
            ".layout.kern_hyp_va(...) does it.",
            "machine.image.symbolize(address) turns an address into label and offset.",
        ),
        _incident,
    ),
    Exercise(
        "03.2",
        "A block list",
        (
            "EL2 keeps the low 30 bits. You may choose the upper 34.",
            "machine.x0_of(name) & 0x3fffffff are the bits to keep. Put a different number above each.",
            "To be in none of the four spaces, set a few of the bits 63 to 48, but not all of them: "
            "[low | n << 48 for n in range(1, count + 1)].",
        ),
        _other_names,
    ),
    Exercise(
        "03.3",
        "Back doors",
        (
            "The function has four instructions. You know two of its doors from the lesson: one works.",
            "machine.hvc(x0, value) leaves x2 at zero, so the upper half that the function would add "
            "is zero. Which instructions are left that still get as far as the msr?",
            'The second and the third: machine.x0_of("__kvm_timer_set_cntvoff") + 4 and + 8.',
        ),
        _back_doors,
    ),
    Exercise(
        "03.4",
        "A gadget",
        (
            "Print the code of __vgic_v3_restore_aprs as the lesson does, 25 instructions. Find the "
            "msr that you need, and the register that it takes.",
            "It takes x4, and the call code leaves x4 alone. Behind it there is a test of x1: which "
            "of the values you send arrives in x1?",
            'Enter at +0x34: machine.hvc(machine.x0_of("__vgic_v3_restore_aprs") + 0x34, 0, 0, 0, '
            "value). The five values are x0 to x4.",
        ),
        _gadget,
    ),
)
