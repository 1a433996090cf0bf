"""The exercises of 04-numbered-abi: a number, a map, a host that looks, and a dispatcher."""

from __future__ import annotations

from hypkit.a64.registers import MASK64
from hypkit.asm import AsmError
from hypkit.call import RETURNED, Call
from hypkit.kernel.addresses import image_pa
from hypkit.kernel.variants import ENOSYS, FIRST_AFTER_STUB, HYPERCALLS, variant
from hypkit.lessons.judge import Bench, Exercise, Wrong, attempt, call_function, number, shown
from hypkit.machine.errors import MachineError

# --- Texts that the lesson assembles ------------------------------------------------------------

IN_BAND = """\
dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #0x100
        b.eq    1f
        cmp     x0, #0x101
        b.eq    2f
        mov     x0, #-ENOSYS
        eret
        speculation_barrier
dispatch_call:
1:      msr     cntvoff_el2, x1         // set the offset
        mov     x0, #0
        eret
        speculation_barrier
2:      mrs     x0, cntvoff_el2         // read the offset
dispatch_return:
        eret
        speculation_barrier
"""
START = """\
dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #0x100
        b.eq    1f
        mov     x0, #-ENOSYS            // an error, where the result should be
        eret
        speculation_barrier
dispatch_call:
1:      mrs     x0, mdcr_el2
dispatch_return:
        eret
        speculation_barrier
"""
SOLUTION = """\
dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #0x100
        b.eq    1f
        cmp     x0, #0x101
        b.eq    2f
        mov     x0, #-1                 // not supported
        eret
        speculation_barrier
dispatch_call:
1:      mrs     x1, mdcr_el2
        b       3f
2:      mrs     x1, cntvoff_el2
3:      mov     x0, #0                  // success
dispatch_return:
        eret
        speculation_barrier
"""
# As good: a subtraction makes one unsigned test of the range.
SHORTER = """\
dispatch:
        divert_stub_calls
dispatch_find:
        sub     x0, x0, #0x100
        cmp     x0, #2
        b.hs    2f
        mrs     x1, mdcr_el2
        cbz     x0, 1f
        mrs     x1, cntvoff_el2
1:      mov     x0, #0
dispatch_return:
        eret
        speculation_barrier
2:      mov     x0, #-1
        eret
        speculation_barrier
"""
# What learners write on the way, so that they can be told without Keystone as well.
MISTAKES = {
    "result in x0": SOLUTION.replace("mrs     x1,", "mrs     x0,").replace(
        "3:      mov     x0, #0                  // success", "3:"
    ),
    "only 32 bits": SOLUTION.replace("cmp     x0,", "cmp     w0,"),
    "still -ENOSYS": SOLUTION.replace("#-1 ", "#-ENOSYS "),
    "one call only": START.replace("x0, mdcr_el2", "x1, mdcr_el2\n        mov     x0, #0"),
    "never back": SOLUTION.replace("1:      mrs     x1, mdcr_el2", "1:      b       1b"),
    "spoils x19": SOLUTION.replace("1:      mrs", "1:      mov     x19, #0\n        mrs"),
    "no stub calls": SOLUTION.replace("divert_stub_calls", "ldp     x0, x1, [sp], #16"),
    "stack left full": SOLUTION.replace("divert_stub_calls", "ldp     x0, x1, [sp]"),
}
ASSEMBLY = (
    ("numbered 04 in-band", IN_BAND),
    ("numbered 04.4 start", START),
    ("numbered 04.4", SOLUTION),
    ("numbered 04.4 shorter", SHORTER),
    *((f"numbered 04.4 {name}", text) for name, text in MISTAKES.items()),
)

# --- Judges -------------------------------------------------------------------------------------


def _number_of(answer: object) -> str:
    name = "__vgic_v3_get_ich_vtr_el2"
    abis = ("numbered", "jump_table")
    if not isinstance(answer, dict) or not all(abi in answer for abi in abis):
        raise Wrong(
            'Expected a dict with a number for "numbered" and one for "jump_table"; '
            f"came {shown(answer)}"
        )
    for abi in abis:
        came = number(answer[abi], f"for {abi!r} a value of x0")
        with Bench(abi, seed=81) as machine:
            numbers = machine.image.variant.numbers
            if came == numbers[name]:
                continue
            known = {value: called for called, value in numbers.items()}
            if came in known:
                step = machine.call(known[came], "vcpu0").trace.find(known[came])
                raise Wrong(
                    f"{abi}: expected the number of {name}; with {came:#x} step {step} "
                    f"enters {known[came]}"
                )
            index = HYPERCALLS.index(name)
            what = (
                ": this is the place in the list; the base is missing"
                if came == index
                else (
                    ": it belongs to the other version, with another base"
                    if came in (variant(key).numbers[name] for key in ("numbered", "jump_table"))
                    else ""
                )
            )
            raise Wrong(
                f"{abi}: expected the number of {name}; {came:#x} calls none of the functions{what}"
            )
    return (
        "The same place in the list, behind another base: a host and a hypervisor with "
        "different bases do not understand each other"
    )


KINDS = ("stub", "call", "-ENOSYS")


def _kind(call: Call) -> str:
    parts = call.cost.phases
    return "call" if "handler" in parts else "stub" if "stub" in parts else "-ENOSYS"


def _map(answer: object) -> str:
    first, end = variant("numbered").limits
    values = (
        first,
        end - 1,
        end,
        first - 1,
        0,
        FIRST_AFTER_STUB - 1,
        FIRST_AFTER_STUB,
        0xFFF,
        0x1000,
        first + 5,
        1 << 63,
        MASK64,
        (1 << 63) + first,
        (1 << 32) + first + 5,
        1,
    )
    with Bench("numbered", seed=82) as machine:
        start = machine.snapshot()
        for x0 in values:
            came = call_function(answer, x0, name="kind_of")
            if not isinstance(came, str) or came not in KINDS:
                raise Wrong(
                    f"Expected one of {', '.join(KINDS)} for x0 = {x0:#x}; came {shown(came)}"
                )
            machine.restore(start)
            call = machine.hvc(x0, machine.image.entry if x0 == 1 else "vcpu0")
            expected = _kind(call)
            if came == expected:
                continue
            phase = {"call": "handler", "stub": "stub", "-ENOSYS": "dispatch"}[expected]
            step = call.cost.steps[phase][0 if phase != "dispatch" else -1]
            raise Wrong(
                f"For x0 = {x0:#x}, expected {expected}, as step {step} shows "
                f"({call.trace[step].symbol}: {call.trace[step].text}); came {came}"
            )
    return f"Right on all {len(values)} values tried, at the edges and far beyond them"


def _ask(answer: object) -> str:
    tries = (
        ("numbered", "__kvm_get_mdcr_el2"),
        ("numbered", variant("numbered").limits[1]),
        ("smccc", 0xC600_00FF),
        ("numbered", "__vgic_v3_read_vmcr"),
        ("smccc", "__vgic_v3_get_ich_vtr_el2"),
        ("smccc", "__vgic_v3_read_vmcr"),
        ("numbered", variant("numbered").limits[0] - 1),
        ("smccc", 0x105),
    )
    for key, what in tries:
        with Bench(key, seed=83) as machine:
            expected, x0 = None, what
            if isinstance(what, str):
                x0 = machine.x0_of(what)
                machine.call("__vgic_v3_write_vmcr", 0xFFFF_FFFF)
                expected = machine.call(what).result
                machine.calls.clear()
            came = call_function(answer, machine, x0, name="ask")
            call = machine.last_call("ask")
            end = f"after step {len(call.trace) - 1} x0 = {call.x0 or 0:#x}, x1 = {call.x1 or 0:#x}"
            asked = f"{key}, {x0:#x}" + (f" ({what})" if isinstance(what, str) else "")
            if expected is None:
                if came is not None:
                    raise Wrong(
                        f"{asked}: expected None, because there is no such call ({end}); "
                        f"came {shown(came)}"
                    )
                continue
            if came is None:
                raise Wrong(f"{asked}: expected the result {expected:#x} ({end}); came None")
            if number(came, f"on {asked} the result") != expected:
                raise Wrong(
                    f"{asked}: expected the result {expected:#x} ({end}); came {shown(came)}"
                )
    return (
        "Told apart in both ABIs. In the numbered one only a promise about the results made it "
        "possible; with a status it needs none"
    )


def _bench(text: object, seed: int) -> Bench:
    if not isinstance(text, str):
        raise Wrong(f"Expected the text of a dispatcher, a string; came {shown(text)}")
    try:
        return Bench("numbered", seed=seed, dispatcher=text)
    except AsmError as error:
        raise Wrong(f"This text does not assemble: line {error.line}: {error.message}") from None
    except (MachineError, ValueError) as error:
        raise Wrong(f"This dispatcher cannot be built into a machine: {error}") from None


def _ran_on(machine: Bench, call: Call) -> int | None:
    """The step of the text's last instruction after which EL2 went on behind it, if it did so."""
    lines = machine.image.dispatcher.lines
    # Behind the last line, but at a lower line's number, there may be a macro's literal pool.
    last = max(lines, key=lambda address: (lines[address], address))
    at = machine.layout.hyp_va(image_pa(last))
    return next(
        (
            n
            for n, pc in enumerate(call.trace.pcs[:-1])
            if pc == at and call.trace.pcs[n + 1] == at + 4
        ),
        None,
    )


def _returned(machine: Bench, x0: int, argument: int) -> Call:
    """The call; Wrong when it did not come back, or not with everything that is the host's."""
    call = attempt(machine.hvc, x0, argument)
    trace = call.trace
    last = len(trace) - 1
    if call.outcome != RETURNED:
        if (step := _ran_on(machine, call)) is not None:
            raise Wrong(
                f"With x0 = {x0:#x} expected the call to come back; step {step} was the "
                "last of your text, and EL2 ran on into the code behind it: an eret is "
                "missing"
            )
        raise Wrong(
            f"With x0 = {x0:#x} expected the call to come back; {call.outcome} after step "
            f"{len(call.whole_trace) - 1:,}: {call.message}"
        )
    at_hvc = next(step.index for step in trace if step.exception is not None)
    for name in (*(f"x{n}" for n in range(19, 31)), "sp"):
        before, after = trace.register(name, at_hvc), trace.register(name, last)
        if before != after:
            wrote = trace.last_write(name, last)
            raise Wrong(
                f"With x0 = {x0:#x} expected {name} as the host left it, {before:#x}; "
                f"came {after:#x}, written at step {wrote}"
            )
    inside = [step for step in trace if step.el == 2]
    came, left = inside[0].regs["sp"], trace.register("sp", inside[-1].index)
    if came != left:
        raise Wrong(
            f"With x0 = {x0:#x} EL2's stack pointer is {came:#x} on the way in and "
            f"{left:#x} at step {inside[-1].index}, the eret: some calls later the stack "
            "is used up"
        )
    return call


def _dispatcher(answer: object) -> str:
    offset = 0xFFFF_FFFF_FFFF_FFDA
    for seed in (84, 85):
        with _bench(answer, seed) as machine, Bench("numbered", seed=seed) as helper:
            mdcr = helper.call("__kvm_get_mdcr_el2").x0
            before = machine.sysreg("CNTVOFF_EL2")
            results = {0x100: mdcr, 0x101: before}
            for x0 in (
                0x100,
                0x101,
                0x102,
                0xFF,
                0x100,
                3,
                0x1000,
                MASK64,
                1 << 63,
                (1 << 63) + 0x100,
                (1 << 32) + 0x101,
                0x101,
            ):
                call = _returned(machine, x0, offset)
                last = len(call.trace) - 1
                status = 0 if x0 in results else MASK64
                if call.x0 != status:
                    wrote = call.trace.last_write("x0", last)
                    name = "0" if not status else "-1"
                    what = "" if call.x0 != ENOSYS else ", which is -ENOSYS"
                    raise Wrong(
                        f"With x0 = {x0:#x} expected status {name} in x0; came "
                        f"{call.x0:#x}{what}, written at step {wrote}"
                    )
                if x0 in results and call.x1 != results[x0]:
                    wrote = call.trace.last_write("x1", last)
                    whose = (
                        ", the host's own x1, which nothing has written"
                        if call.x1 == offset
                        else f", written at step {wrote}"
                    )
                    raise Wrong(
                        f"With x0 = {x0:#x} expected the result {results[x0]:#x} in x1; "
                        f"came {call.x1:#x}{whose}"
                    )
            call = attempt(machine.hvc, 0)
            if "stub" not in call.cost.phases or call.x0 != 0xBADC_A11:
                raise Wrong(
                    "With x0 = 0 expected the stub's own answer, 0xbadca11; came "
                    f"{call!r}, and step {len(call.trace) - 1} was the last"
                )
    return (
        f"Status and result apart, in {len(machine.image.dispatcher.code) // 4} instructions: "
        "now even an offset of -38 can be told from an error"
    )


EXERCISES = (
    Exercise(
        "04.1",
        "The number",
        (
            "The first picture of this lesson has the numbers of version 1.",
            "In version 2 the function has the same place in the list. The base is another one.",
            "The place is 9. The bases are 0x100 and 0x1000.",
        ),
        _number_of,
    ),
    Exercise(
        "04.2",
        "A map",
        (
            "Three ranges in a row: the stub's, then nothing, then the calls, then nothing.",
            "The stub has 0 to 2. The calls are 0x100 to 0x10d.",
            "In Python 0x100 <= x0 <= 0x10d says it in one line. Very large values are refused: as "
            "signed numbers they are negative.",
        ),
        _map,
    ),
    Exercise(
        "04.3",
        "Result or refusal",
        (
            "Make one call: call = machine.hvc(x0). What do call.x0 and call.x1 mean in each machine?",
            "smccc: call.x0 is the status, 0 for success; the result is call.x1. numbered: call.x0 is "
            "either.",
            "numbered: a result has at most 32 bits, and -38 has all 64: call.x0 >> 32 tells.",
        ),
        _ask,
    ),
    Exercise(
        "04.4",
        "Status and result",
        (
            "Begin with the start text: results into x1 instead of x0, and 0 or -1 into x0.",
            "Two numbers: two comparisons, two b.eq. The two ways may meet again before the eret.",
            "1: mrs x1, mdcr_el2, then b 3f. 2: mrs x1, cntvoff_el2. 3: mov x0, #0, then eret.",
        ),
        _dispatcher,
    ),
)
