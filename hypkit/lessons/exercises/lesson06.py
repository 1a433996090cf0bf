"""The exercises of 06-review-enum: a header to read, calls to add, a guard, and an order."""

from __future__ import annotations

from collections.abc import Mapping

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.asm import AsmError
from hypkit.header import DEFINES, Header, HeaderError, read_header
from hypkit.header.compiler import LIST, NUMBERS
from hypkit.kernel.variants import ENOSYS, FIRST_AFTER_STUB, HYPERCALLS, SPARE, STUB_ERROR, variant
from hypkit.lessons.judge import Bench, Exercise, Wrong, shown

# A list that someone has put into the order of the alphabet, almost: exercise 06.1.
BROKEN = (
    DEFINES[NUMBERS]
    .replace("_IDX___vgic_v3_read_vmcr 12", "_IDX___vgic_v3_read_vmcr 10")
    .replace("_IDX___kvm_flush_vm_context 4", "_IDX___kvm_flush_vm_context 3")
)
# What may only be called before the kernel is up, as Linux 5.16 sorts them: exercise 06.4.
EARLY = (
    "__kvm_enable_ssbs",
    "__kvm_get_mdcr_el2",
    "__vgic_v3_init_lrs",
    "__vgic_v3_get_ich_vtr_el2",
)


def _header(answer: object, what: str = "This") -> Header:
    """The answer compiled; Wrong with the compiler's sentence, about *what*."""
    if not isinstance(answer, str | Mapping | Header):
        raise Wrong(f"Expected a header: a text, or texts by file name; came {shown(answer)}")
    if isinstance(answer, Mapping):
        if NUMBERS not in answer:
            raise Wrong(f"Expected the texts of {NUMBERS} and {LIST}; {NUMBERS} is missing")
        for file, text in answer.items():
            if not isinstance(text, str):
                raise Wrong(f"Expected a text for {shown(file)}; came {shown(text)}")
    try:
        return read_header(answer)
    except HeaderError as error:
        at = f"{error.file}, line {error.line}" if error.line else error.file
        offending = f" (the line is: {error.text[:60]})" if error.text else ""
        raise Wrong(f"{what} does not compile; {at}: {error.message}{offending}") from None
    except (TypeError, ValueError) as error:
        raise Wrong(f"Expected a header: {error}") from None


def _machine(header: Header, key: str, seed: int) -> Bench:
    try:
        return Bench(key, seed=seed, header=header)
    except AsmError as error:
        raise Wrong(
            f"The C compiler takes this, but the assembler does not: {error.message}"
        ) from None


def _reaches(machine: Bench, name: str) -> None:
    """Wrong unless a call by name runs the function of that name."""
    call = machine.call(name, *facts.function(name).example)
    if call.trace.find(name) is not None:
        return
    other = next((one for one in (*HYPERCALLS, *SPARE) if call.trace.find(one) is not None), None)
    came = (
        f"ran {other}"
        if other
        else "got kvm_hc_ni, the table's empty slot"
        if call.trace.find("kvm_hc_ni") is not None
        else "got -ENOSYS from the range test"
        if call.x0 == ENOSYS
        else "was taken for a stub call"
        if call.x0 == STUB_ERROR
        else call.message
    )
    raise Wrong(
        f"Expected {name} to run when the host calls it by its number, "
        f"{machine.x0_of(name):#x}; the call {came}"
    )


def _numbered(header: Header, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in header.numbers]
    if missing:
        raise Wrong(
            f"Expected a number for {missing[0]}; the header gives it none: "
            f"KVM_HOST_HCALL_NR({missing[0]}) has no value"
        )


# --- The judges -----------------------------------------------------------------------------------


def _strays(answer: object) -> str:
    if not isinstance(answer, Mapping) or not all(
        isinstance(item, str) for pair in answer.items() for item in pair
    ):
        raise Wrong(
            "Expected a dict: the call that was meant -> the function that runs; "
            f"came {shown(answer)}"
        )
    expected = {}
    with _machine(read_header(BROKEN), "numbered", 61) as machine:
        for name in HYPERCALLS:
            trace = machine.call(name, *facts.hypercall(name).example).trace
            ran = next(one for one in (*HYPERCALLS, "kvm_hc_ni") if trace.find(one) is not None)
            if ran != name:
                expected[name] = ran
    for name, ran in answer.items():
        if name not in HYPERCALLS:
            raise Wrong(f"Expected names of hypercalls; {shown(name)} is none")
        if name not in expected:
            raise Wrong(f"{name} runs as it should; expected only calls that run another function")
        if ran != expected[name]:
            raise Wrong(
                f"Expected what runs when the host calls {name}; came {shown(ran)}, but of "
                "two entries for one slot the later one stays"
            )
    if len(answer) < len(expected):
        raise Wrong(f"Expected {len(expected)} calls that go astray; came {len(answer)}")
    return (
        "Two slots were given twice, and in each the later name stays; the two slots that were "
        "left over hold kvm_hc_ni, and nobody calls them"
    )


def _two_more(answer: object) -> str:
    header = _header(answer)
    _numbered(header, (*HYPERCALLS, *SPARE))
    for name, number in variant("numbered").numbers.items():
        if header.numbers[name] != number:
            raise Wrong(
                f"Expected the old calls to keep their numbers; {name} was {number:#x} and is {header.numbers[name]:#x}"
            )
    for key, seed in (("numbered", 62), ("adr_l", 63)):
        with _machine(header, key, seed) as machine:
            for name in (*HYPERCALLS, *SPARE):
                _reaches(machine, name)
            machine.call("__kvm_timer_set_cntvoff", 0x1000 + seed, seed)
            expected, came = machine.sysreg("CNTVOFF_EL2"), machine.call(SPARE[0]).x0
            if came != expected:
                raise Wrong(f"Expected {SPARE[0]} to give {expected:#x} back; came {came:#x}")
            last = max(header.numbers.values())
            beyond = machine.hvc(last + 1)
            if beyond.x0 != ENOSYS:
                raise Wrong(
                    f"Expected -ENOSYS for the number behind the last, {last + 1:#x}; came "
                    f"{beyond!r}"
                )
    edits = "one line a call" if len(header.files) > 1 else "two lines a call, and the size"
    return f"Both functions run, the other fourteen as before: it took {edits}"


def _guard(answer: object) -> str:
    if not isinstance(answer, str):
        raise Wrong(f"Expected the text of kvm_hcalls.h; came {shown(answer)}")
    run = "__kvm_vcpu_run_nvhe"

    def files(names: tuple[str, ...]) -> dict[str, str]:
        return {NUMBERS: answer, LIST: "".join(f"KVM_HOST_HCALL({name})\n" for name in names)}

    at = HYPERCALLS.index(run)
    allowed = {
        "the fourteen calls": HYPERCALLS,
        "a call added at the end": (*HYPERCALLS, SPARE[0]),
        "two calls behind it swapped": (*HYPERCALLS[:-2], HYPERCALLS[-1], HYPERCALLS[-2]),
    }
    for what, names in allowed.items():
        header = _header(files(names), f"A list that must stay possible, {what},")
        if header.numbers.get(run) != 0x105:
            raise Wrong(
                f"With {what}, expected {run} to have the number 0x105; "
                f"came {shown(header.numbers.get(run))}"
            )
    forbidden = {
        "a call added at the start": (SPARE[1], *HYPERCALLS),
        "one call before it left out": HYPERCALLS[1:],
        "it and the next one swapped": (
            *HYPERCALLS[:at],
            HYPERCALLS[at + 1],
            run,
            *HYPERCALLS[at + 2 :],
        ),
    }
    for what, names in forbidden.items():
        try:
            header = read_header(files(names))
        except HeaderError as error:
            if "static assertion" not in error.message:
                raise Wrong(
                    f"With {what}, expected a static assertion to fail; came another "
                    f"error: {error.message}"
                ) from None
        else:
            raise Wrong(
                f"With {what}, {run} has the number {header.numbers[run]:#x}; expected the "
                "compiler to stop"
            )
    return f"The compiler now watches over {run}, and over nothing that may change"


def _policy(answer: object) -> str:
    header = _header(answer)
    _numbered(header, HYPERCALLS)
    numbers = {name: header.numbers[name] for name in HYPERCALLS}
    low = min(numbers, key=numbers.get)
    if numbers[low] < FIRST_AFTER_STUB:
        raise Wrong(
            f"{low} has the number {numbers[low]}; expected none below "
            f"{FIRST_AFTER_STUB}: those are the stub calls"
        )
    if max(numbers.values()) != FIRST_AFTER_STUB + len(HYPERCALLS) - 1:
        raise Wrong(
            f"Expected the numbers {FIRST_AFTER_STUB} to "
            f"{FIRST_AFTER_STUB + len(HYPERCALLS) - 1:#x}, one for each call; came "
            f"{min(numbers.values())} to {max(numbers.values()):#x}"
        )
    limit = min(number for name, number in numbers.items() if name not in EARLY)
    late = next((name for name in EARLY if numbers[name] > limit), None)
    if late:
        raise Wrong(
            f"Expected the four early calls first; {late} has the number "
            f"{numbers[late]}, and a later call has {limit}"
        )
    with _machine(header, "reviewed", 64) as machine:
        for name in HYPERCALLS:
            _reaches(machine, name)
        for x0 in (max(numbers.values()) + 1, 0x100, -1):
            call = machine.hvc(x0)
            if call.x0 != ENOSYS:
                raise Wrong(f"Expected -ENOSYS for x0 = {x0 & MASK64:#x}; came {call!r}")
    return (
        f"One comparison is now a policy: once the kernel is up, whatever is below {limit} can "
        "be turned away"
    )


EXERCISES = (
    Exercise(
        "06.1",
        "Two for one",
        (
            "read_header(BROKEN) prints the host's meaning of each number beside what stands in the "
            "table.",
            "Two numbers are meant by two names each. Only one of the two can stand in the table.",
            "C takes the entries one after the other: the later one stays. The earlier name is the "
            "call that goes astray, the later one is the function that runs instead.",
        ),
        _strays,
    ),
    Exercise(
        "06.2",
        "Two more calls",
        (
            "Either style will do. In the enum's, only one of the two files changes.",
            "The new names come behind the old ones, or the old numbers would move.",
            'answer = ENUM | {"kvm_hcall_list.h": ENUM["kvm_hcall_list.h"] + '
            '"KVM_HOST_HCALL(...)\\n" + ...}, with the two names.',
        ),
        _two_more,
    ),
    Exercise(
        "06.3",
        "A guard",
        (
            '_Static_assert(condition, "why"); is a line of C. It costs nothing in the machine code.',
            "The condition compares KVM_HOST_HCALL_NR(__kvm_vcpu_run_nvhe) with a number.",
            "The line goes to the end of kvm_hcalls.h, because the macro must be defined by then: "
            'ENUM["kvm_hcalls.h"] + \'_Static_assert(KVM_HOST_HCALL_NR(...) == ..., "...");\\n\'.',
        ),
        _guard,
    ),
    Exercise(
        "06.4",
        "Order as policy",
        (
            "An enumerator can be given a value: the ones behind it count on from there.",
            "The numbers shall start at 3, and KVM_HOST_HCALL_BASE be 0. So put something with the "
            "value 2 in front: KVM_HOST_HCALL_NONE = 2, before the names. Then order the list.",
            'In code: numbers = ENUM["kvm_hcalls.h"].replace("enum kvm_host_hcall {", "enum '
            'kvm_host_hcall { KVM_HOST_HCALL_NONE = 2,").replace("BASE 0x100", "BASE 0"), and a list '
            "with the four names of EARLY at its top.",
        ),
        _policy,
    ),
)
