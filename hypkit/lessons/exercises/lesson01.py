"""The exercises of 01-there-and-back: a way back, a handler found, a VM that counts, two panics."""

from __future__ import annotations

from hypkit.a64 import syndrome
from hypkit.explain.sentences import meaning
from hypkit.kernel.memory_map import VM_IPA
from hypkit.lessons.judge import Bench, Exercise, Wrong, after, call_function, number, shown

RETURN_SEED, FIND_SEED = 7, 2020
ABIS = ("fnptr", "numbered")


def _return_address(answer: object) -> str:
    came = number(answer, "an address")
    with Bench("fnptr", seed=RETURN_SEED) as machine:
        call = machine.call("__kvm_flush_vm_context")
        image = machine.image
    hvc = next(i for i, step in enumerate(call.trace) if step.exception is not None)
    expected, itself = call.trace[hvc].exception.elr, call.trace[hvc].pc
    if came == expected:
        return (
            f"The HVC is step {hvc}, at {itself:#x}; ELR_EL2 holds the address behind it, "
            "where the host goes on"
        )
    if came == itself:
        raise Wrong(
            f"Expected where the host goes on; came {came:#x}, the HVC itself at step "
            f"{hvc}: the ERET would make the same call again, for ever"
        )
    if came == int(call.trace.pcs[hvc + 1]):
        raise Wrong(
            f"Expected where the host goes on; came {came:#x}, where EL2 begins at step "
            f"{hvc + 1}: that is the way there, not the way back"
        )
    means = meaning(image, came) if 0 <= came < 1 << 64 else None
    what = f", the {means}" if means else f", no address of the machine with seed {RETURN_SEED}"
    raise Wrong(
        "Expected the image address of the instruction that the host runs after step "
        f"{hvc}, the HVC; came {shown(came)}{what}"
    )


def _found_handler(answer: object) -> str:
    if not isinstance(answer, dict) or not all(abi in answer for abi in ABIS):
        raise Wrong(
            f'Expected a dict with a step for "fnptr" and one for "numbered"; came {shown(answer)}'
        )
    for abi in ABIS:
        came = number(answer[abi], f"for {abi!r} a step's number")
        with Bench(abi, seed=FIND_SEED) as machine:
            trace = machine.call("__kvm_get_mdcr_el2").trace
            handler = machine.address("__kvm_get_mdcr_el2", "hyp")
            image = machine.image
        if not 0 <= came < len(trace):
            raise Wrong(
                f"{abi}: expected a step of the call, 0 to {len(trace) - 1}; came {shown(came)}"
            )
        step = trace[came]
        old, new = step.changed.get("x0", (None, None))
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
            f"step {came} ({step.text}) {held}"
        )
    return (
        "From there on x0 is an address that EL2 can branch to; it took the "
        f"{ABIS[1]} ABI {answer[ABIS[1]] - answer[ABIS[0]]} steps more to get there, "
        "although it leaves EL1 sooner"
    )


def _count_to(answer: object) -> str:
    for abi, seed, n in (("numbered", 21, 3), ("fnptr", 22, 1), ("numbered", 23, 8)):
        with Bench(abi, seed=seed) as machine:
            call_function(answer, machine, n, name="count_to")
            counter = machine.image.vm.symbols["vm_counter"] - VM_IPA
            at = machine.address("vm_memory", "linear") + counter
            with after("count_to"):
                found = int.from_bytes(machine.read(at, 8, el=1), "little")
            if found == n:
                continue
            if not found:
                last = machine.last_call("count_to")
                raise Wrong(
                    f"On a {abi} machine, expected the VM's counter at {n}; came 0: the VM "
                    f"never stored to it. The last call was {last!r}"
                )
            raise Wrong(
                f"On a {abi} machine, expected the VM's counter at {n}; came {found}, with "
                f"{len(machine.calls)} call(s) made: the VM counts once each time it runs"
            )
    return (
        "The VM counts as often as it is run: each exit stops it behind its HVC, and the next "
        "run goes on there"
    )


KINDS = {"instruction": syndrome.EC_IABT_SAME, "data": syndrome.EC_DABT_SAME}


def _break_it(answer: object) -> str:
    for kind, seed in (("instruction", 31), ("data", 32), ("instruction", 33)):
        wanted = KINDS[kind]
        with Bench("fnptr", seed=seed) as machine:
            returned = call_function(answer, machine, kind, name="break_it")
            call, panic = machine.last_call("break_it"), machine.panicked
            if panic is None:
                raise Wrong(f"For {kind!r}, expected EL2 to panic; the last call was {call!r}")
            came = panic.esr >> syndrome.ESR_EC_SHIFT
            step = next(i for i, s in enumerate(call.trace) if s.symbol == "hyp_panic")
            if came != wanted:
                raise Wrong(
                    f"For {kind!r}, expected exception class {wanted:#x} "
                    f"({syndrome.EC_NAMES[wanted]}); hyp_panic at step {step} found class "
                    f"{came:#x}, {syndrome.esr_text(panic.esr)}"
                )
            if returned is None or number(returned, "the exception class") != wanted:
                whole = (
                    ", all of ESR_EL2: the class is its bits 31 to 26"
                    if returned == panic.esr
                    else ""
                )
                raise Wrong(
                    f"For {kind!r} EL2 panicked as it should at step {step}; expected "
                    "break_it to return the exception class; "
                    f"came {shown(returned)}{whole}"
                )
    return (
        "EL2 panicked both ways: once it could not fetch an instruction, once it could not "
        "load data, and the exception class tells the two apart"
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
    ),
)
