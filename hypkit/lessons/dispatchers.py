"""A learner's dispatcher on trial: built into a machine, and asked for every hypercall."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hypkit import facts
from hypkit.a64.decode import decode
from hypkit.a64.registers import MASK64
from hypkit.asm import AsmError, Program
from hypkit.asm.diagnose import NO_ENGINE
from hypkit.attack.fuzz import overwrite as write_anyway
from hypkit.call import RETURNED, Call
from hypkit.cost import Counts
from hypkit.emu import Machine
from hypkit.kernel.addresses import image_pa
from hypkit.kernel.image import Image
from hypkit.kernel.variants import ENOSYS, HYPERCALLS
from hypkit.lessons.answers import shortened, text_of
from hypkit.lessons.judge import Wrong
from hypkit.lessons.recording import RecordingMachine, all_well, ending, entered
from hypkit.machine.errors import MachineError

LEFTOVER = (
    "x0 is not the host's: the entry has put it on EL2's stack, so take it from there first (ldp x0, "
    "x1, [sp], #16; `divert_stub_calls` does that, and sees to the stub calls)"
)


# --- Built into a machine -------------------------------------------------------------------------


def machine_with(text: object, key: str, seed: int) -> RecordingMachine:
    """Return a machine with the learner's dispatcher; raise Wrong when there is none to be had."""
    text = text_of(text, "the text of a dispatcher")
    try:
        return RecordingMachine(key, seed=seed, dispatcher=text)
    except AsmError as error:
        raise Wrong(not_assembled(error)) from None
    except (MachineError, ValueError) as error:
        raise Wrong(f"With this dispatcher the machine does not boot: {error}") from None


def not_assembled(error: AsmError) -> str:
    """Return why a dispatcher does not assemble, with its line, in a sentence."""
    said = f"This text does not assemble: line {error.line}"
    if error.name != "dispatcher":
        said += f" of the machine's unit {error.name!r}"
    if error.text.strip():
        said += f", {shortened(error.text)}"
    said += f": {error.message}"
    if NO_ENGINE in error.message:
        said += (
            ". What the kit ships still assembles: the instructions of the known dispatchers and of "
            "the solutions"
        )
    return said


def own_code(image: Image) -> range:
    """Return the physical addresses of the dispatcher's program."""
    start = image_pa(image.dispatcher.base)
    return range(start, start + len(image.dispatcher.code))


def reads_leftover(call: Call) -> bool:
    """Return whether the dispatcher never took the host's x0 from the stack, where the entry left it.

    What is in x0 by then is the exception class, and a dispatcher that tests it tests nothing.
    """
    image = call.trace.image
    own = own_code(image)
    pushed: int | None = None
    for step in call.trace:
        if step.el != 2:
            continue
        inside = image.layout.pa(step.pc) in own
        for access in step.memory:
            if not inside and access.kind == "store" and pushed is None:
                pushed = access.va  # the entry's first: x0, with x1 after it
            elif inside and access.kind == "load" and access.va == pushed:
                return False
    return pushed is not None and any(
        step.el == 2 and image.layout.pa(step.pc) in own for step in call.trace
    )


def unguarded(program: Program) -> list[tuple[str, str]]:
    """Return (where, what comes next) for each ERET without a speculation barrier right after it.

    A barrier is DSB and then ISB: a Cortex-A72 has no SB.
    """
    code = [
        int.from_bytes(program.code[at : at + 4], "little")
        for at in range(0, len(program.code) & ~3, 4)
    ]
    found = []
    for n, word in enumerate(code):
        following = code[n + 1 : n + 3]
        if word != _ERET or following[:1] and following[0] in _DSB and following[1:] == [_ISB]:
            continue
        line = program.lines.get(program.base + 4 * n)
        where = f"line {line}" if line else f"byte {4 * n}"
        found.append((where, _next_in_words(program, n, following)))
    return found


_ERET, _SB, _ISB = 0xD69F03E0, 0xD50330FF, 0xD5033FDF  # this core has no SB
_DSB = {0xD503309F | kind << 8 for kind in (0x3, 0x7, 0xB, 0xF)}  # osh, nsh, ish, sy


def _next_in_words(program: Program, n: int, following: list[int]) -> str:
    if following[:1] == [_SB]:
        return "an sb, which a Cortex-A72 does not have"
    lines = program.lines
    texts = [
        f"`{decode(word).text(program.base + 4 * (n + 1 + place), lambda address: None)}`"
        for place, word in enumerate(following)
        if program.base + 4 * (n + 1 + place) in lines
    ]
    return ", then ".join(texts) or "no instruction"


def answering(x0: int, x1: int) -> str:
    """Return a dispatcher that answers every call but a stub's with these two registers."""
    return f"""\
dispatch:
        divert_stub_calls
dispatch_find:
dispatch_call:
        ldr     x0, ={x0 & MASK64:#x}
        ldr     x1, ={x1 & MASK64:#x}
dispatch_return:
        eret
        speculation_barrier
hcall_not_supported:                    // what the smccc machine's own table refers to
        ret
"""


# --- Asked for every hypercall --------------------------------------------------------------------


def arguments(draw: random.Random) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    """Yield every hypercall, with arguments that let it do its work, in any order."""
    for name in draw.sample(HYPERCALLS, len(HYPERCALLS)):
        first = draw.getrandbits(32)
        yield name, (*(facts.hypercall(name).pointers or (first,)), draw.getrandbits(20) << 12)


def tried(machine: RecordingMachine, draw: random.Random) -> Iterator[tuple[str, Counts]]:
    """Make every call, and some of other numbers; yield (name, counts at EL2 around it) of each.

    Raises Wrong at the first call that does not do as it should.
    """
    for name, given in arguments(draw):
        call = machine.call(name, *given)
        at = call.trace.find(name)
        if call.outcome != RETURNED:
            raise Wrong(f"Expected {name} to run and return; {ending(call)}")
        if at is None:
            ran = entered(call)
            raise Wrong(
                f"Expected {name} to run; "
                + (f"{ran} ran in its place" if ran else f"no function ran, and {ending(call)}")
                + (f". {LEFTOVER}" if not ran and reads_leftover(call) else "")
            )
        expected = machine.address(given[0], "linear") if isinstance(given[0], str) else given[0]
        got = [call.trace.register(f"x{n}", at) for n in range(2)]
        if got != [expected, given[1]]:
            raise Wrong(
                f"At step {at}, the start of {name}, expected the arguments "
                f"{expected:#x} and {given[1]:#x}; got {got[0]:#x} and {got[1]:#x}"
            )
        yield name, call.cost.hyp
    base = machine.image.variant.numbers[HYPERCALLS[0]]
    for x0 in (base - 1, base + len(HYPERCALLS), -1, 1 << 63, (1 << 32) + base, 0x7FF):
        call = machine.hvc(x0)
        ran = entered(call)
        if ran or call.outcome != RETURNED or call.x0 != ENOSYS:
            did = f"{ran} ran" if ran else ending(call)
            raise Wrong(f"Expected -ENOSYS for x0 = {x0 & MASK64:#x}; {did}")
    all_well()


def word_at(machine: Machine, name: str) -> int:
    """Return the 64-bit word at a label, as EL1 reads it."""
    return int.from_bytes(machine.read(machine.address(name), 8, el=1), "little")


def overwrite(machine: Machine, name: str, value: int) -> None:
    """Write the word at a label, in two steps where it is read-only: EL1 owns its page tables."""
    write_anyway(machine, machine.address(name), (value & MASK64).to_bytes(8, "little"))
