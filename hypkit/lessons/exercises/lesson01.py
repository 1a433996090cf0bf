"""The exercises of 01-there-and-back: a way back, a handler found, a VM that counts, two panics."""

from __future__ import annotations

from hypkit.a64 import syndrome
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.call import Call
from hypkit.explain.sentences import meaning
from hypkit.kernel.memory_map import VM_IPA
from hypkit.lessons.answers import answers_for, number, shown, word64
from hypkit.lessons.functions import call_function
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.recording import RecordingMachine, after

RETURN_SEED, FIND_SEED = 7, 2020
ABIS = ("fnptr", "numbered")


def _return_address(answer: object) -> str:
    got = word64(answer, "an address")
    with RecordingMachine("fnptr", seed=RETURN_SEED) as machine:
        call = machine.call("__kvm_flush_vm_context")
        image = machine.image
    hvc = next(i for i, step in enumerate(call.trace) if step.exception is not None)
    taken = call.trace[hvc].exception
    assert taken is not None
    expected, itself = taken.elr, call.trace[hvc].pc
    if got == expected:
        return (
            f"The HVC is step {hvc}, at {itself:#x}; ELR_EL2 holds the address after it, "
            "where the host goes on"
        )
    if got == itself:
        raise Wrong(
            f"Expected where the host goes on; got {got:#x}, the HVC itself at step "
            f"{hvc}: the ERET would make the same call again, for ever"
        )
    if got == int(call.trace.pcs[hvc + 1]):
        raise Wrong(
            f"Expected where the host goes on; got {got:#x}, where EL2 begins at step "
            f"{hvc + 1}: that is the way there, not the way back"
        )
    means = meaning(image, got)
    what = f", the {means}" if means else f", no address of the machine with seed {RETURN_SEED}"
    raise Wrong(
        "Expected the image address of the instruction that the host runs after step "
        f"{hvc}, the HVC; got {shown(answer)}{what}"
    )


def _found_handler(answer: object) -> str:
    found = {}
    for abi, value in answers_for(answer, ABIS, "a step's number"):
        got = number(value, f"for {abi!r} a step's number")
        with RecordingMachine(abi, seed=FIND_SEED) as machine:
            trace = machine.call("__kvm_get_mdcr_el2").trace
            handler = machine.address("__kvm_get_mdcr_el2", "hyp")
            image = machine.image
        if not 0 <= got < len(trace):
            raise Wrong(
                f"{abi}: expected a step of the call, 0 to {len(trace) - 1}; got {shown(got)}"
            )
        found[abi] = got
        step = trace[got]
        _, new = step.changed.get("x0", (None, None))
        if new == handler and step.el == 2:
            continue
        if new is not None:
            means = meaning(image, new)
            held = f"makes x0 {new:#x}" + (f", the {means}" if means else ", no address at all")
        elif step.regs["x0"] == handler and step.el == 2:
            held = "finds the hyp address in x0 already: an earlier step has put it there"
        else:
            held = "leaves x0 alone"
        raise Wrong(
            f"{abi}: expected the step that puts the handler's hyp address into x0; "
            f"step {got} ({step.text}) {held}"
        )
    return (
        "From there on x0 is an address that EL2 can branch to; it took the "
        f"{ABIS[1]} ABI {found[ABIS[1]] - found[ABIS[0]]} steps more to get there, "
        "although it leaves EL1 sooner"
    )


COUNTS = (("numbered", 21, 3), ("fnptr", 22, 1), ("smccc", 23, 8), ("jump_table", 24, 2))


def _count_to(answer: object) -> str:
    for abi, seed, n in COUNTS:
        on = f'On Machine("{abi}")'
        with RecordingMachine(abi, seed=seed) as machine:
            call_function(answer, machine, n, name="count_to")
            counter = machine.image.vm.symbols["vm_counter"] - VM_IPA
            at = machine.address("vm_memory", "linear") + counter
            with after("count_to"):
                found = int.from_bytes(machine.read(at, 8, el=1), "little")
            stored = sum(map(_stores, machine.calls))
            if found != n and not found and not machine.untraced:
                last = machine.last_call("count_to")
                raise Wrong(
                    f"{on}, expected the VM's counter at {n}; got 0: the VM "
                    f"never stored to it. The last call was {last!r}"
                )
            if found != n:
                made = len(machine.calls) + machine.untraced
                raise Wrong(
                    f"{on}, expected the VM's counter at {n}; got {found}, with "
                    f"{made} call{'s' * (made != 1)} made: the VM counts once each time it runs"
                )
            if not stored <= n <= stored + machine.untraced:
                ran = "never" if not stored else f"{stored} time{'s' * (stored > 1)}"
                wrote = ": you wrote to its memory yourself" if machine.writes else ""
                raise Wrong(
                    f"{on} the counter is at {n}, but the VM stored to it {ran}{wrote}. "
                    "Expected the VM to do the counting: it counts once each time it runs"
                )
    return (
        "The VM counts as often as it is run: each exit stops it after its HVC, and the next "
        "run goes on there"
    )


def _stores(call: Call) -> int:
    """Return how often the VM's own code stored something in this call."""
    return sum(
        access.kind == "store"
        for step in call.whole_trace
        if step.el == 1 and VM_IPA <= step.pc < VM_IPA + PAGE_SIZE
        for access in step.memory
    )


KINDS = {"instruction": syndrome.EC_IABT_SAME, "data": syndrome.EC_DABT_SAME}


def _break_it(answer: object) -> str:
    for kind, seed in (("instruction", 31), ("data", 32), ("instruction", 33), ("data", 34)):
        wanted = KINDS[kind]
        with RecordingMachine("fnptr", seed=seed) as machine:
            try:
                returned = call_function(answer, machine, kind, name="break_it")
            except Wrong:
                if machine.calls and not machine.stopped:
                    raise _no_panic(kind, machine) from None
                raise
            call, panic = machine.last_call("break_it"), machine.panicked
            if panic is None:
                raise _no_panic(kind, machine)
            found = panic.esr >> syndrome.ESR_EC_SHIFT
            step = next(i for i, s in enumerate(call.trace) if s.symbol == "hyp_panic")
            if found != wanted:
                raise Wrong(
                    f"For {kind!r}, expected exception class {wanted:#x} "
                    f"({syndrome.EC_NAMES[wanted]}); hyp_panic at step {step} found class "
                    f"{found:#x}, {syndrome.esr_text(panic.esr)}"
                )
            if returned is None or number(returned, "the exception class") != wanted:
                whole = (
                    ", all of ESR_EL2: the class is its bits 31 to 26"
                    if returned == panic.esr
                    else ": is a return missing?"
                    if returned is None
                    else ""
                )
                raise Wrong(
                    f"For {kind!r} EL2 panicked as it should at step {step}; expected "
                    f"break_it to return the exception class; got {shown(returned)}{whole}"
                )
    return (
        "EL2 panicked both ways: once it could not fetch an instruction, once it could not "
        "load data, and the exception class tells the two apart"
    )


def _no_panic(kind: str, machine: RecordingMachine) -> Wrong:
    return Wrong(
        f"For {kind!r}, expected EL2 to panic; it did not, so machine.panicked is None. "
        f"The last call was {machine.calls[-1]!r}"
    )


EXERCISES = (
    Exercise(
        "01.1",
        "The way back",
        (
            "ELR_EL2 is where the ERET at the end will go. Which instruction should the host run next?",
            "The HVC is the first instruction of __kvm_call_hyp, and an instruction has 4 bytes.",
            'Machine("fnptr", seed=7).address("__kvm_call_hyp") is the image address of the HVC.',
        ),
        _return_address,
    ),
    Exercise(
        "01.2",
        "Found it",
        (
            'Look at the steps of the phase "dispatch": show_path(call, only=("dispatch",)).',
            "In both ABIs a conversion ends with the second ror. In the numbered one there are two "
            "conversions: which of them is about the handler?",
            'In code: [i for i, step in enumerate(call.trace) if step.changed.get("x0", (0, 0))[1] '
            '== machine.address("__kvm_get_mdcr_el2", "hyp")].',
        ),
        _found_handler,
    ),
    Exercise(
        "01.3",
        "A VM that counts",
        (
            'The VM of "vcpu0" adds one to its counter, asks for help with an HVC, and goes on.',
            "One call of __kvm_vcpu_run_nvhe lets the VM run until it asks for help.",
            'for _ in range(n): machine.call("__kvm_vcpu_run_nvhe", "vcpu0").',
        ),
        _count_to,
        optional=True,
    ),
    Exercise(
        "01.4",
        "Two ways to panic",
        (
            "An instruction abort: EL2 goes to a place where it has no code. On this machine x0 says "
            "where EL2 goes.",
            "A data abort: EL2 loads from a place that it has not mapped. Some calls take a pointer, "
            "and believe it: __kvm_tlb_flush_vmid does.",
            'machine.hvc(0x1000) gives the one, machine.call("__kvm_tlb_flush_vmid", 0x1000) the '
            "other. The class is machine.panicked.esr >> 26.",
        ),
        _break_it,
        optional=True,
    ),
)
