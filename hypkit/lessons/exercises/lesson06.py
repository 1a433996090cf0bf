"""The exercises of 06-review-enum: a header to read, calls to add, a guard, and an order."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Mapping

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.asm import AsmError
from hypkit.errors import did_you_mean
from hypkit.header import Header, HeaderError, read_header
from hypkit.header.compiler import LIST, NUMBERS
from hypkit.kernel.variants import ENOSYS, FIRST_AFTER_STUB, HYPERCALLS, SPARE, STUB_ERROR, variant
from hypkit.lessons.answers import complete, shortened, shown
from hypkit.lessons.judge import Exercise, Wrong
from hypkit.lessons.material import BROKEN, EARLY
from hypkit.lessons.recording import RecordingMachine, ending, entered


def _files(answer: object) -> Mapping[str, str]:
    """Return the texts of a header by file name, however they were given; raise Wrong for others.

    That is a text, a dict of texts, the two texts in either order, or what read_header returns.
    """
    if isinstance(answer, Header):
        return dict(answer.files)
    if isinstance(answer, str):
        return {NUMBERS: answer}
    if isinstance(answer, list | tuple) and len(answer) == 2:
        if all(isinstance(text, str) for text in answer):
            first_is_numbers = "KVM_HOST_HCALL_BASE" in answer[0]
            names = (NUMBERS, LIST) if first_is_numbers else (LIST, NUMBERS)
            return dict(zip(names, answer, strict=True))
    if not isinstance(answer, Mapping):
        raise Wrong(f"Expected a header: a text, or texts by file name; got {shown(answer)}")
    complete(answer)
    if NUMBERS not in answer:
        raise Wrong(f"Expected the texts of {NUMBERS} and {LIST}; {NUMBERS} is missing")
    for file, text in answer.items():
        if not isinstance(text, str):
            raise Wrong(f"Expected a text for {shown(file)}; got {shown(text)}")
    return answer


def _header(files: Mapping[str, str], what: str = "This") -> Header:
    """Return the header compiled; raise Wrong with the compiler's sentence, about *what*."""
    try:
        return read_header(files)
    except HeaderError as error:
        raise Wrong(f"{what} does not compile; {_complaint(error, files)}") from None
    except (TypeError, ValueError) as error:
        raise Wrong(f"Expected a header: {error}") from None


def _complaint(error: HeaderError, files: Mapping[str, str]) -> str:
    """Return the compiler's complaint, with its line and what to try."""
    at = f"{error.file}, line {error.line}" if error.line else error.file
    line = f" (the line is {shortened(error.text, 100)})" if error.text else ""
    preprocessor = (
        ". The preprocessor knows no enumerators, so #if takes each for 0: let the compiler look, "
        "with _Static_assert"
        if error.text.lstrip().startswith("#error") and "#if" in files.get(error.file, "")
        else ""
    )
    return f"{at}: {error.message}{line}{preprocessor}"


def _machine(header: Header, key: str, seed: int) -> RecordingMachine:
    try:
        return RecordingMachine(key, seed=seed, header=header)
    except AsmError as error:
        raise Wrong(
            f"The C compiler takes this, but the assembler does not: {error.message}"
        ) from None


def _reaches(machine: RecordingMachine, name: str) -> None:
    """Raise Wrong unless a call by name runs the function of that name."""
    call = machine.call(name, *facts.function(name).example)
    if call.trace.find(name) is not None:
        return
    other = entered(call)
    did = (
        f"the call ran {other}"
        if other
        else "the call got kvm_hc_ni, the table's empty slot"
        if call.trace.find("kvm_hc_ni") is not None
        else "the call got -ENOSYS from the range test"
        if call.x0 == ENOSYS
        else "the call was taken for a stub call"
        if call.x0 == STUB_ERROR
        else ending(call)
    )
    raise Wrong(
        f"Expected {name} to run when the host calls it by its number, "
        f"{machine.x0_of(name):#x}; {did}"
    )


def _numbered(header: Header, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in header.numbers]
    if missing:
        raise Wrong(
            f"Expected a number for {missing[0]}; the header gives it none: "
            f"KVM_HOST_HCALL_NR({missing[0]}) has no value"
        )


def _refuses(machine: RecordingMachine, header: Header, x0: int) -> None:
    """Raise Wrong unless the range test itself turns a number away."""
    call = machine.hvc(x0)
    if call.x0 != ENOSYS:
        raise Wrong(f"Expected -ENOSYS for x0 = {x0 & MASK64:#x}; {ending(call)}")
    if call.trace.find("kvm_hc_ni") is not None:
        raise Wrong(
            f"Expected the range test to refuse {x0 & MASK64:#x}, which is no call's number; it "
            f"let it in, to an empty slot of the table: KVM_HOST_HCALL_SIZE is "
            f"{len(header.slots)}, and the last call is in slot "
            f"{max(header.numbers.values()) - header.numbering.base}"
        )


# --- The judges -----------------------------------------------------------------------------------


def _strays(answer: object) -> str:
    if isinstance(answer, Mapping):
        complete(answer)
    if not isinstance(answer, Mapping) or not all(
        isinstance(item, str) for pair in answer.items() for item in pair
    ):
        raise Wrong(
            "Expected a dict: the call that was meant -> the function that runs; "
            f"got {shown(answer)}"
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
            like = did_you_mean(name, HYPERCALLS)
            raise Wrong(f"Expected names of hypercalls; {shown(name)} is not one{like}")
        if name not in expected:
            raise Wrong(f"{name} runs as it should; expected only calls that run another function")
        if ran not in (*HYPERCALLS, "kvm_hc_ni"):
            like = did_you_mean(ran, HYPERCALLS)
            raise Wrong(f"Expected a function that runs; {shown(ran)} is not one{like}")
        if ran != expected[name]:
            raise Wrong(
                f"Expected what runs when the host calls {name}; got {shown(ran)}, but of "
                "two entries for one slot the later one stays"
            )
    if len(answer) < len(expected):
        raise Wrong(f"Expected {len(expected)} calls that go astray; got {len(answer)}")
    return (
        "Two slots were given twice, and in each the later name stays; the two slots that were "
        "left over hold kvm_hc_ni, and nobody calls them"
    )


def _two_more(answer: object) -> str:
    header = _header(_files(answer))
    _numbered(header, (*HYPERCALLS, *SPARE))
    for name, number in variant("numbered").numbers.items():
        if header.numbers[name] != number:
            raise Wrong(
                f"Expected the old calls to keep their numbers; {name} was {number:#x} and is "
                f"{header.numbers[name]:#x}"
            )
    for key, seed in (("numbered", 62), ("adr_l", 63)):
        with _machine(header, key, seed) as machine:
            for name in (*HYPERCALLS, *SPARE):
                _reaches(machine, name)
            machine.call("__kvm_timer_set_cntvoff", 0x1000 + seed, seed)
            expected, got = machine.sysreg("CNTVOFF_EL2"), machine.call(SPARE[0]).x0
            if got != expected:
                raise Wrong(f"Expected {SPARE[0]} to return {expected:#x}; got {got or 0:#x}")
            _refuses(machine, header, max(header.numbers.values()) + 1)
    at = " and ".join(f"{header.numbers[name]:#x}" for name in SPARE)
    return f"Both functions run, by the numbers {at}, and the other fourteen as before"


RUN = "__kvm_vcpu_run_nvhe"
KEPT = 5  # its place in the list, which makes the number 0x105


def _guard(answer: object) -> str:
    files = _files(answer)
    text = files[NUMBERS]
    draw = random.Random(zlib.crc32(text.encode("utf-8", "replace")))

    def compiled(names: list[str]) -> dict[str, str]:
        return {NUMBERS: text, LIST: "".join(f"KVM_HOST_HCALL({name})\n" for name in names)}

    tries = 0
    for what, names in _allowed(draw):
        tries += 1
        header = _header(compiled(names), f"A list that must stay possible, {what},")
        if header.numbers.get(RUN) != 0x100 + KEPT:
            raise Wrong(
                f"With {what}, expected {RUN} to have the number 0x105; "
                f"got {shown(header.numbers.get(RUN))}"
            )
    for what, names in _forbidden(draw):
        tries += 1
        try:
            header = read_header(compiled(names))
        except HeaderError:
            continue
        raise Wrong(
            f"With {what}, {RUN} has the number {0x100 + names.index(RUN):#x}; expected the "
            "compiler to stop"
        )
    return (
        f"Of {tries} lists the compiler takes those in which {RUN} has the number 0x105, whatever "
        "else they change, and stops at the others"
    )


def _allowed(draw: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Yield lists in which the call keeps its place, and what was done to each."""
    others = [name for name in HYPERCALLS if name != RUN]
    yield "the fourteen calls", list(HYPERCALLS)
    yield "a call added at the end", [*HYPERCALLS, SPARE[0]]
    mixed = _mixed(others, draw)
    yield "all other calls in another order", [*mixed[:KEPT], RUN, *mixed[KEPT:]]
    few = [*_mixed(others, draw)[: KEPT - 1], SPARE[1]]
    yield "other calls before it and none after it", [*few, RUN]


def _forbidden(draw: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Yield lists in which the call has another place, and what was done to each."""
    at = HYPERCALLS.index(RUN)
    yield "a call added at the start", [SPARE[1], *HYPERCALLS]
    yield "one call before it left out", list(HYPERCALLS[1:])
    swapped = [*HYPERCALLS]
    swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
    yield "it and the next one swapped", swapped
    others = [name for name in HYPERCALLS if name != RUN]
    for place in (0, 2, 7, 8, 10, len(others)):
        names = [*others] if place % 2 else _mixed(others, draw)
        yield f"it moved to place {place}", [*names[:place], RUN, *names[place:]]


def _mixed(names: list[str], draw: random.Random) -> list[str]:
    """Return the names in an order in which none has the place that it had."""
    while True:
        mixed = draw.sample(names, len(names))
        if all(before != after for before, after in zip(names, mixed, strict=True)):
            return mixed


def _policy(answer: object) -> str:
    header = _header(_files(answer))
    _numbered(header, HYPERCALLS)
    numbers = {name: header.numbers[name] for name in HYPERCALLS}
    low = min(numbers, key=lambda name: numbers[name])
    last = FIRST_AFTER_STUB + len(HYPERCALLS) - 1
    if numbers[low] < FIRST_AFTER_STUB:
        raise Wrong(
            f"{low} has the number {numbers[low]}; expected none below "
            f"{FIRST_AFTER_STUB}: those are the stub calls"
        )
    if sorted(numbers.values()) != list(range(FIRST_AFTER_STUB, last + 1)):
        raise Wrong(
            f"Expected the numbers {FIRST_AFTER_STUB:#x} to {last:#x}, one for each call; got "
            f"{len(set(numbers.values()))} numbers from {min(numbers.values()):#x} to "
            f"{max(numbers.values()):#x}"
        )
    if base := header.numbering.base:
        raise Wrong(
            f"Expected KVM_HOST_HCALL_BASE to be 0, because here a number is its own index; got "
            f"{base:#x}"
        )
    limit = min(number for name, number in numbers.items() if name not in EARLY)
    late = next((name for name in EARLY if numbers[name] > limit), None)
    if late:
        raise Wrong(
            f"Expected the four early calls first; {late} has the number "
            f"{numbers[late]:#x}, and a later call has {limit:#x}"
        )
    with _machine(header, "reviewed", 64) as machine:
        for name in HYPERCALLS:
            _reaches(machine, name)
        for x0 in (last + 1, last + 3, 0x100, -1):
            _refuses(machine, header, x0)
    return (
        f"One comparison is now a policy: once the kernel is up, whatever is below {limit:#x} can "
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
            "The new names come after the old ones, or the old numbers would move.",
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
            "An enumerator can be given a value: the ones after it count on from there.",
            "The numbers shall start at 3, and KVM_HOST_HCALL_BASE be 0. So put something with the "
            "value 2 in front: KVM_HOST_HCALL_NONE = 2, before the names. Then order the list.",
            'In code: numbers = ENUM["kvm_hcalls.h"].replace("enum kvm_host_hcall {", "enum '
            'kvm_host_hcall { KVM_HOST_HCALL_NONE = 2,").replace("BASE 0x100", "BASE 0"), and a list '
            "with the four names of EARLY at its top.",
        ),
        _policy,
        optional=True,
    ),
)
