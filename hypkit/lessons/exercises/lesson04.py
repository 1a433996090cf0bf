"""The exercises of 04-numbered-abi: an older list, a map, a host that looks, and a dispatcher."""

from __future__ import annotations

from hypkit.a64.registers import MASK64
from hypkit.call import RETURNED, Call
from hypkit.kernel.addresses import image_pa
from hypkit.kernel.variants import ENOSYS, HYPERCALLS, STUB_ERROR
from hypkit.lessons.answers import answers_for, number, shown, word64, word_of
from hypkit.lessons.dispatchers import LEFTOVER, answering, machine_with, reads_leftover, unguarded
from hypkit.lessons.functions import call_function
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.material import IN_BAND, START
from hypkit.lessons.recording import RecordingMachine, attempt, ending

# --- Texts ----------------------------------------------------------------------------------------

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
# What learners write on the way, so that it can be told without an engine as well.
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
    "a constant": SOLUTION.replace("mrs     x1, mdcr_el2", "mov     x1, #6"),
    "a leftover": SOLUTION.replace("        divert_stub_calls\n", ""),
    "no barrier": SOLUTION.replace("        speculation_barrier\n", ""),
}


ASSEMBLY = (
    ("numbered 04 in-band", IN_BAND),
    ("numbered 04.3 answering", answering(0, 0)),
    ("numbered 04.4 start", START),
    ("numbered 04.4", SOLUTION),
    ("numbered 04.4 shorter", SHORTER),
    *((f"numbered 04.4 {name}", text) for name, text in MISTAKES.items()),
)

# --- Judges ---------------------------------------------------------------------------------------


NEW, WANTED = "__kvm_get_mdcr_el2", "__kvm_timer_set_cntvoff"


def _older_list(answer: object) -> str:
    older = [name for name in HYPERCALLS if name != NEW]
    with RecordingMachine("numbered", seed=81) as machine:
        x0 = machine.image.variant.limits[0] + older.index(WANTED)
        trace = machine.hvc(x0, 0x1234).trace
    runs = next(name for name in HYPERCALLS if trace.find(name) is not None)
    right = sum(old == new for old, new in zip(older, HYPERCALLS, strict=False))
    for key, value in answers_for(answer, ("executes", "right"), "an answer"):
        if key == "executes":
            got = word_of(value, HYPERCALLS, "the function that EL2 executes")
            if got != runs:
                why = (
                    ": that is what the host means"
                    if got == WANTED
                    else f"; step {trace.find(runs)} enters another function"
                )
                raise Wrong(f"The host sends {x0:#x}, and EL2 does not execute {got}{why}")
        elif (count := number(value, "for 'right' a count of functions")) != right:
            known = {
                len(older): ": that is all of them, and the numbers after the new one have moved",
                0: ": the functions before the new one have kept their numbers",
                len(older) - right: ", which is how many it gets wrong",
            }
            raise Wrong(
                f"Expected how many of its {len(older)} functions this host gets; got {shown(count)}"
                + known.get(count, "")
            )
    return (
        f"With {x0:#x} it gets {runs}, which it has never heard of, and nothing says so: numbers of "
        "an ABI are not moved, new calls go to the end"
    )


KINDS = ("stub", "call", "-ENOSYS")


def _kind(call: Call) -> str:
    parts = call.cost.phases
    return "call" if "handler" in parts else "stub" if "stub" in parts else "-ENOSYS"


# The edges of each range, far beyond them, and numbers that are right in all bits but one.
EDGES: tuple[int, ...] = (0x100, 0x10D, 0x10E, 0xFF, 0, 2, 3, 0xFFF, 0x1000, 0x105, 1 << 63, MASK64)
EDGES += ((1 << 63) + 0x100, (1 << 32) + 0x105, 1, 1 << 31, 1 << 32, (1 << 63) - 1, 0x50)
EDGES += tuple((0x100 + bit % 14) ^ 1 << bit for bit in range(4, 64, 3))
EDGES += tuple(MASK64 - n for n in (1, 37, 0x100, 0x10D))


def _map(answer: object) -> str:
    with RecordingMachine("numbered", seed=82) as machine:
        start = machine.snapshot()
        for x0 in EDGES:
            kind = word_of(call_function(answer, x0, name="kind_of"), KINDS, f"x0 = {x0:#x}")
            machine.restore(start)
            call = machine.hvc(x0, machine.image.entry if x0 == 1 else "vcpu0")
            expected = _kind(call)
            if kind == expected:
                continue
            phase = {"call": "handler", "stub": "stub", "-ENOSYS": "dispatch"}[expected]
            step = call.cost.steps[phase][0 if phase != "dispatch" else -1]
            raise Wrong(
                f"For x0 = {x0:#x}, expected {expected}, as step {step} shows "
                f"({call.trace[step].symbol}: {call.trace[step].text}); got {kind}"
            )
    return f"Right on all {len(EDGES)} values tried, at the edges and far beyond them"


REAL = (
    ("numbered", "__kvm_get_mdcr_el2"),
    ("numbered", 0x10E),
    ("smccc", 0xC600_00FF),
    ("numbered", "__vgic_v3_read_vmcr"),
    ("smccc", "__vgic_v3_get_ich_vtr_el2"),
    ("smccc", "__kvm_flush_vm_context"),
    ("numbered", "__kvm_enable_ssbs"),
    ("smccc", "__vgic_v3_read_vmcr"),
    ("numbered", 0xFF),
    ("smccc", 0x105),
)
# What EL2 may answer as well, although ours does not: (variant, x0, x1 of the answer, the result).
# ANY: the function has no result, and whatever it left may be returned, but not None.
ANY = object()
ANSWERS: tuple[tuple[str, int, int, object], ...] = (
    ("numbered", 0, 5, 0),
    ("numbered", 0xFFFF_FFDA, 0, 0xFFFF_FFDA),
    ("numbered", 0xFFFF_FFFF, 0, 0xFFFF_FFFF),
    ("numbered", ENOSYS, 0, None),
    ("numbered", ENOSYS, 9, None),
    ("numbered", 0x1000_30C5_183D, 0, ANY),
    ("numbered", 0xFFFF_0000_0044_4000, 0, ANY),
    ("numbered", 0x1_FFFF_FFDA, 1, ANY),
    ("smccc", 0, 0, 0),
    ("smccc", 0, 0xFFFF_FFDA, 0xFFFF_FFDA),
    ("smccc", 0, 0xFFFF_FFFF, 0xFFFF_FFFF),
    ("smccc", MASK64, 0, None),
    ("smccc", MASK64, 7, None),
)


def _ask(answer: object) -> str:
    for key, what in REAL:
        with RecordingMachine(key, seed=83) as machine:
            expected: object = None
            x0 = what if isinstance(what, int) else machine.x0_of(what)
            if isinstance(what, str):
                machine.call("__vgic_v3_write_vmcr", 0xFFFF_FFFF)
                alone = machine.call(what).result
                expected = alone if what in RESULTS or key == "smccc" else ANY
                machine.calls.clear()
            named = f" ({what})" if isinstance(what, str) else ""
            _asked(answer, machine, x0, expected, f"{key}, {x0:#x}{named}")
    for key, left, beside, expected in ANSWERS:
        text = answering(left, beside)
        with RecordingMachine(key, seed=84, dispatcher=text) as machine:
            # Not at the end of the list, where a host that knows the numbers could tell.
            x0 = machine.x0_of("__vgic_v3_read_vmcr")
            _asked(answer, machine, x0, expected, f"{key}, a call that EL2 answers like this")
    return (
        "Told apart in both ABIs. In the numbered one only a promise about the results made it "
        "possible; with a status it needs none"
    )


RESULTS = ("__kvm_get_mdcr_el2", "__vgic_v3_read_vmcr", "__vgic_v3_get_ich_vtr_el2")


def _asked(
    answer: object, machine: RecordingMachine, x0: int, expected: object, asked: str
) -> None:
    """Have a host make one call; raise Wrong unless it returns what is expected (or ANY)."""
    got = call_function(answer, machine, x0, name="ask")
    call = machine.only_call("ask")
    end = f"after step {len(call.trace) - 1} x0 = {call.x0 or 0:#x}, x1 = {call.x1 or 0:#x}"
    if expected is None:
        if got is not None:
            raise Wrong(
                f"{asked}: expected None, because EL2 refused the call ({end}); got {shown(got)}"
            )
        return
    if expected is ANY:
        if got is None:
            raise Wrong(
                f"{asked}: expected anything but None, because EL2 made the call ({end}): a "
                "function without a result leaves in x0 what it likes, but never -38 in 64 bits"
            )
        return
    assert isinstance(expected, int)
    if got is None:
        raise Wrong(
            f"{asked}: expected the result {expected:#x} ({end}), because EL2 made the call; "
            "got None"
        )
    if word64(got, f"on {asked} the result") != expected:
        raise Wrong(f"{asked}: expected the result {expected:#x} ({end}); got {shown(got)}")


def _ran_on(machine: RecordingMachine, call: Call) -> int | None:
    """Return the step of the text's last instruction if EL2 ran on into what comes after it."""
    lines = machine.image.dispatcher.lines
    # After the last line, but at a lower line's number, there may be a macro's literal pool.
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


def _returned(machine: RecordingMachine, x0: int, argument: int) -> Call:
    """Return the call; raise Wrong unless it came back with everything that is the host's."""
    call = attempt(machine.hvc, x0, argument)
    trace = call.trace
    last = len(trace) - 1
    if call.outcome != RETURNED:
        if (step := _ran_on(machine, call)) is not None:
            raise Wrong(
                f"With x0 = {x0:#x} expected the call to come back; step {step} was the "
                "last of your text, and EL2 ran on into the code after it: an eret is "
                "missing"
            )
        raise Wrong(
            f"With x0 = {x0:#x} expected the call to come back; after step "
            f"{len(call.whole_trace) - 1:,} it had not: {call.message}"
        )
    at_hvc = next(step.index for step in trace if step.exception is not None)
    for name in (*(f"x{n}" for n in range(19, 31)), "sp"):
        before, after = trace.register(name, at_hvc), trace.register(name, last)
        if before != after:
            wrote = trace.last_write(name, last)
            raise Wrong(
                f"With x0 = {x0:#x} expected {name} as the host left it, {before:#x}; "
                f"got {after:#x}, written at step {wrote}"
            )
    inside = [step for step in trace if step.el == 2]
    entry, left = inside[0].regs["sp"], trace.register("sp", inside[-1].index)
    if entry != left:
        raise Wrong(
            f"With x0 = {x0:#x} EL2's stack pointer is {entry:#x} on the way in and "
            f"{left:#x} at step {inside[-1].index}, the eret: some calls later the stack "
            "is used up" + (f". {LEFTOVER}" if reads_leftover(call) else "")
        )
    return call


# Right in all bits but one, and the edges.
ASKED: tuple[int, ...] = (
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
)
ASKED += ((1 << 32) + 0x101, 0x101, 0x103, 0x110, 0x180, 0x300, (1 << 31) + 0x100, 0x50)
# Values of MDCR_EL2 and CNTVOFF_EL2: an error's, none at all, and all 64 bits.
REGISTERS = ((84, 0xE66, 0xFFFF_FFFF_FFFF_FFDA), (85, 0x6, 0), (86, 0xA06, 0x8123_4567_89AB_CDEF))


def _dispatcher(answer: object) -> str:
    argument = 0x5EED_0000_5EED
    for seed, mdcr, offset in REGISTERS:
        with machine_with(answer, "numbered", seed) as machine:
            machine.set_sysreg("MDCR_EL2", mdcr)
            machine.set_sysreg("CNTVOFF_EL2", offset)
            results = {0x100: mdcr, 0x101: offset}
            for x0 in ASKED:
                call = _returned(machine, x0, argument)
                last = len(call.trace) - 1
                status = 0 if x0 in results else MASK64
                if call.x0 != status:
                    wrote = call.trace.last_write("x0", last)
                    name = "0" if not status else "-1"
                    what = "" if call.x0 != ENOSYS else ", which is -ENOSYS"
                    raise Wrong(
                        f"With x0 = {x0:#x} expected status {name} in x0; got "
                        f"{call.x0 or 0:#x}{what}, written at step {wrote}"
                        + (f". {LEFTOVER}" if reads_leftover(call) else "")
                    )
                if x0 in results and call.x1 != results[x0]:
                    wrote = call.trace.last_write("x1", last)
                    whose = (
                        ", the host's own x1, which nothing has written"
                        if call.x1 == argument
                        else f", written at step {wrote}"
                    )
                    register = "MDCR_EL2" if x0 == 0x100 else "CNTVOFF_EL2"
                    raise Wrong(
                        f"With x0 = {x0:#x} expected the result {results[x0]:#x} in x1, what "
                        f"{register} holds; got {call.x1 or 0:#x}{whose}"
                    )
            for name, value in (("MDCR_EL2", mdcr), ("CNTVOFF_EL2", offset)):
                if machine.sysreg(name) != value:
                    raise Wrong(f"Expected {name} to be read only; it was changed on the way")
            call = attempt(machine.hvc, 0)
            if "stub" not in call.cost.phases or call.x0 != STUB_ERROR:
                raise Wrong(
                    "With x0 = 0 expected the stub's own answer, 0xbadca11; "
                    f"{ending(call)}, and the stub was not asked"
                )
    bare = unguarded(machine.image.dispatcher)
    return (
        f"Status and result apart, in {len(machine.image.dispatcher.code) // 4} instructions: "
        "now even an offset of -38 can be told from an error"
        + (
            f". (No trace shows it, but after the eret of {bare[0][0]} there is no speculation "
            "barrier; lesson 09 says what it is for)"
            if bare
            else ""
        )
    )


EXERCISES = (
    Exercise(
        "04.1",
        "An older list",
        (
            "Write the two lists side by side, with their numbers.",
            "From the place of the missing function on, the host's numbers are lower by one.",
            "The function has place 2 in EL2's list, and place 1 in the host's.",
        ),
        _older_list,
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
            "numbered: compare all 64 bits of call.x0 with -38, which reads 2**64 - 38 there. Fewer "
            "bits will not do: 0xffffffda is a result like any other.",
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
        optional=True,
    ),
)
