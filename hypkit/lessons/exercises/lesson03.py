"""The exercises of 03-function-pointer-abi: an incident, a hopeless list, back doors, a gadget."""

from __future__ import annotations

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.call import PANICKED, RETURNED, Call
from hypkit.errors import did_you_mean
from hypkit.kernel.addresses import SPACES
from hypkit.kernel.memory_map import CONSTANTS
from hypkit.lessons.answers import shown, text_of, word64
from hypkit.lessons.functions import call_function, listed
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.recording import RecordingMachine, after, arrival, attempt, went_to

# Assembled by the lesson itself: the attacker's two instructions, and what they write.
ASSEMBLY = (("03: payload", "str w0, [x2]\n br x1"), ("03: new code", "mov x0, #42"))

INCIDENT_SEED, INCIDENT = 77, 0xBADC_0FFE_0028_5BC8


def _incident(answer: object) -> str:
    text = text_of(answer, 'a place, such as "hyp_panic+0x4"')
    with RecordingMachine("fnptr", seed=INCIDENT_SEED) as machine:
        at = machine.layout.kern_hyp_va(INCIDENT)
        expected = machine.image.symbolize(at)
        assert expected is not None
        right, _, _ = expected.partition("+")
        name, _, offset = "".join(text.split()).partition("+")
        if name not in machine.image.symbols:
            like = did_you_mean(name, machine.image.symbols)
            raise Wrong(
                f"Expected a place with one of the machine's labels; got {shown(answer)}{like}"
            )
        try:
            got = machine.address(name, "hyp") + (_offset(offset) if offset else 0)
        except ValueError:
            raise Wrong(
                f'Expected a label, "+" and a number, such as "hyp_panic+0x4"; got {shown(answer)}'
            ) from None
        same = machine.address(name) == machine.address(right)
        if got == at and same:
            return (
                f"EL2 made {at:#x} of it, which is {expected}: somebody entered after the "
                "front door, and the digits in front were there to mislead you"
            )
        if got == at:
            raise Wrong(
                f"The address is right, but this place is not in {name}: expected the label of "
                "the function that the code there belongs to, the last one before it"
            )
        near = ": the function is right, the offset in it is not" if same else ""
        trace = machine.hvc(INCIDENT).trace
        step = arrival(trace, "dispatch_find") + 5
        raise Wrong(
            f"Expected the place where the call began; at step {step} x0 holds "
            f"{trace.register('x0', step):#x}, and that is not {shown(answer)}{near}"
        )


def _offset(text: str) -> int:
    """Return an offset written as 0x8, 8 or 08."""
    return int(text, 10) if text.isdecimal() else int(text, 0)


def _values(answer: object, *arguments: object, name: str) -> list[int]:
    """Return the values of x0 that a learner's function gives, as unsigned 64-bit numbers."""
    given = call_function(answer, *arguments, name=name, items=True)
    what = f"{name} to return a list of whole numbers"
    found = listed(given, what + (": is a return missing?" if given is None else ""), ordered=False)
    return [word64(value, f"values for x0 from {name}") for value in found]


NAMES = (
    ("__kvm_get_mdcr_el2", 3, 61),
    ("__vgic_v3_read_vmcr", 12, 62),
    ("__kvm_flush_vm_context", 1, 67),
    ("__vgic_v3_get_ich_vtr_el2", 40, 68),
)


def _other_names(answer: object) -> str:
    for name, count, seed in NAMES:
        with RecordingMachine("fnptr", seed=seed) as machine:
            found = _values(answer, machine, name, count, name="other_names")
            if len(found) != count or len(set(found)) != count:
                raise Wrong(
                    f"Expected {count} different value{'s' * (count > 1)} of x0; got "
                    f"{len(found)}, {len(set(found))} of them different"
                )
            with after("other_names"):
                machine.reboot()
            start = machine.snapshot()
            known = {machine.address(name, space): space for space in SPACES}
            for x0 in found:
                if x0 in known:
                    raise Wrong(
                        f"Expected values that are none of the function's four addresses; {x0:#x} "
                        f"is its {known[x0]} one, the first that a list would have"
                    )
                machine.restore(start)
                call = attempt(machine.hvc, x0)
                entered = call.trace.find(name)
                if entered is None or call.trace[entered].el != 2 or call.outcome != RETURNED:
                    raise Wrong(
                        f"Expected x0 = {x0:#x} to call {name} on the machine with seed "
                        f"{seed}; it went to {went_to(machine, call)}, and {call.message}"
                    )
    return (
        "Each of them reached the function. There are 2 to the power of 34 such values for "
        "every function: no list can name them"
    )


def _back_doors(answer: object) -> str:
    name = "__kvm_timer_set_cntvoff"
    for value, seed in ((0x0123_4567_89AB_CDEF, 63), (0xFEDC_0000_0000_0001, 64)):
        with RecordingMachine("fnptr", seed=seed) as machine:
            found = _values(answer, machine, value, name="back_doors")
            with after("back_doors"):
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
                        f"With x0 = {x0:#x} EL2 went to {went_to(machine, call)}, and "
                        f"{_came_to(call)}; expected CNTVOFF_EL2 = {value:#x}, got {offset:#x}"
                    )
                if x0 not in doors:
                    space = machine.layout.space(x0)
                    kind = f"{'an' if space == 'image' else 'a'} {space}" if space else "another"
                    raise Wrong(
                        f"x0 = {x0:#x} works, but expected linear addresses in {name}; got "
                        f"{kind} address"
                    )
            if missing := doors - set(found):
                raise Wrong(
                    f"Expected all back doors of the function, {len(doors)} on the machine "
                    f"with seed {seed}; got {len(set(found))}, {len(missing)} missing"
                )
    return (
        "Two back doors: after the instruction that cuts, and at the one that writes. With "
        "x2 = 0 the one in between changes nothing"
    )


def _came_to(call: Call) -> str:
    return "the call returned" if call.outcome == RETURNED else call.message


OTHER = "ICH_AP0R0_EL2"  # this machine's GIC has one register of each group
GADGET = "ICH_AP1R0_EL2"


def _gadget(answer: object) -> str:
    for value, seed in ((0x8000_0001, 65), (0x1234_5678, 66), (0, 69)):
        with RecordingMachine("fnptr", seed=seed) as machine:
            neighbour = 0x5A5A_0F0F ^ seed
            _fill(machine, neighbour, 0x77)
            call_function(answer, machine, value, name="set_ap1r0")
            call = machine.last_call("set_ap1r0")
            made = len(machine.calls) + machine.untraced
            if made != 1:
                raise Wrong(f"Expected one hvc; got {made} calls")
            if machine.writes:
                raise Wrong(
                    "Expected one hvc and nothing else; set_ap1r0 also wrote to memory, at "
                    f"{machine.writes[0][0]:#x}: the value can come in a register"
                )
            if call.outcome != RETURNED:
                raise Wrong(
                    f"Expected the call to return; EL2 went to {went_to(machine, call)}, and "
                    f"{call.message}"
                )
            with after("set_ap1r0"):
                found, beside = machine.sysreg(GADGET), machine.sysreg(OTHER)
            if found != value:
                wrote = [
                    i for i, step in enumerate(call.trace) if step.text.startswith("msr ich_ap1r0")
                ]
                at = (
                    f", written at step {wrote[-1]}"
                    if wrote
                    else (f"; the call went to {went_to(machine, call)} and never wrote it")
                )
                raise Wrong(f"Expected {GADGET} = {value:#x}; got {found:#x}{at}")
            if beside != neighbour:
                wrote = [
                    i for i, step in enumerate(call.trace) if step.text.startswith("msr ich_ap0r0")
                ]
                raise Wrong(
                    f"{GADGET} is right, but {OTHER} was {neighbour:#x} and is {beside:#x}: step "
                    f"{wrote[-1]} writes it, so enter after that msr"
                    if wrote
                    else f"{GADGET} is right, but {OTHER} changed too, to {beside:#x}"
                )
            if machine.translate(machine.address("vcpu0", "linear"), el=1).pa is None:
                raise Wrong("Expected the machine to keep working; EL1's map is gone")
            if machine.call("__kvm_get_mdcr_el2").outcome == PANICKED:
                raise Wrong("Expected the machine to keep working; the next call panicked")
    return (
        f"One HVC, no vCPU, and {OTHER} is as it was: the value came in a register that nobody "
        "moves or clears on the way"
    )


def _fill(machine: RecordingMachine, ap0r0: int, ap1r0: int) -> None:
    """Give the two registers values, by the regular way: through a vCPU, put back afterwards."""
    start = machine.address("vcpu0", "linear")
    before = machine.read(start, PAGE_SIZE, el=1)
    for name, value in (("VGIC_AP0R", ap0r0), ("VGIC_AP1R", ap1r0)):
        at = start + CONSTANTS["VCPU_VGIC"] + CONSTANTS[name]
        machine.poke(at, value.to_bytes(4, "little"))
    machine.call("__vgic_v3_restore_aprs", "vcpu0")
    machine.poke(start, before)
    assert machine.sysreg(OTHER) == ap0r0 and machine.sysreg(GADGET) == ap1r0
    machine.calls.clear()
    machine.writes.clear()


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
            "From bit 48 on they make none of the function's own four addresses: "
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
        optional=True,
    ),
    Exercise(
        "03.4",
        "A gadget",
        (
            "Print the code of __vgic_v3_restore_aprs as the lesson does, 25 instructions. Find the "
            "msr that you need, and the register that it takes.",
            "It takes x4, and the call code leaves x4 alone. After it there is a test of x1: which "
            "of the values you send arrives in x1?",
            'Enter at +0x34: machine.hvc(machine.x0_of("__vgic_v3_restore_aprs") + 0x34, 0, 0, 0, '
            "value). The five values are x0 to x4.",
        ),
        _gadget,
        optional=True,
    ),
)
