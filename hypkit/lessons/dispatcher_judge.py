"""The proving ground: whether a dispatcher keeps to its specification, and what it costs.

A learner's dispatcher takes the place of the one of the `numbered` machine and is called side by
side with it. Which machines and which numbers is drawn from the text itself: equal texts meet equal
questions, and any change of the text meets others, so that no text can know its questions. What is
measured are the very calls that are judged.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from functools import lru_cache

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.asm import AsmError, Program
from hypkit.asm.diagnose import NO_ENGINE
from hypkit.call import PANICKED, RESTARTED, RETURNED, Call
from hypkit.emu import Machine
from hypkit.kernel.variants import ENOSYS, HYPERCALLS, VARIANTS
from hypkit.lessons.dispatcher_rules import amiss
from hypkit.lessons.dispatcher_score import CORES, MEASURES, Handler, Road, Score, code_of, total
from hypkit.lessons.exercises.lesson08 import overwrite
from hypkit.lessons.judge import Bench, Wrong, shown
from hypkit.machine.errors import MachineError

__all__ = ["CORES", "KNOWN", "MEASURES", "Score", "measure", "prove", "unguarded"]

BASE = VARIANTS["numbered"].base
KEPT = (*(f"x{n}" for n in range(19, 31)), "sp")  # what a function gives back as it found it
# What a dispatcher has no business with, whatever its calls do.
UNTOUCHED = (
    "VBAR_EL2",
    "HCR_EL2",
    "VTTBR_EL2",
    "SCTLR_EL2",
    "TTBR0_EL2",
    "TCR_EL2",
    "TPIDR_EL2",
    "CPTR_EL2",
    "MDCR_EL2",
    "CNTVOFF_EL2",
)

# The known dispatchers that a machine with a host at EL1 can have.
KNOWN = tuple(key for key, chosen in VARIANTS.items() if chosen.host_el == 1)
SEEDS = 2  # machines that a text is proved on
STEPS = 2000  # of a call, the longest of which runs a VM: what comes back later has lost its way

ASIDE = 0x1000  # bytes that a kernel is put aside by its variables

ERET, SB, ISB = 0xD69F03E0, 0xD50330FF, 0xD5033FDF  # this core has no SB
_DSB = {0xD503309F | kind << 8 for kind in (0x3, 0x7, 0xB, 0xF)}  # osh, nsh, ish, sy


def prove(text: object, name: str = "yours") -> Score:
    """The score of a dispatcher that keeps to the specification of lesson 11.

    text: assembly, in place of the `numbered` machine's dispatcher. Raises Wrong with a sentence
    that says what was expected, what came, and at which step.
    """
    if type(text) is not str:  # a class of its own could equal a text that was proved
        raise Wrong(f"Expected the text of a dispatcher, a string; came {shown(text)}")
    return _prove(text, name)


@lru_cache(maxsize=32)
def _prove(text: str, name: str) -> Score:
    draw = random.Random(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    roads: list[Road] = []
    for _ in range(SEEDS):
        with _Pair(text, draw) as pair:
            pair.barriers()
            roads += pair.calls()
            pair.elsewhere()
            pair.stub_calls()
    return total(name, roads)


@lru_cache(maxsize=32)
def measure(key: str, seed: int = 2020) -> Score:
    """The score of a known variant; ValueError for one whose host makes no call to EL2."""
    if key not in KNOWN and not key.startswith("numbered+"):
        raise ValueError(f"variant {key!r}: there are {', '.join(KNOWN)}")
    with Machine(key, seed=seed) as machine:
        return total(
            key,
            [
                Road(machine.call(handler.name, *handler.arguments), handler)
                for handler in _known(seed)
            ],
        )


@lru_cache(maxsize=4)
def _known(seed: int) -> tuple[Handler, ...]:
    """The handlers alone, as the `numbered` machine runs them one after the other."""
    with Machine("numbered", seed=seed) as machine:
        return tuple(
            Handler(machine.call(name, *arguments), name, arguments)
            for name, arguments in _hits(random.Random(seed))
        )


def unguarded(program: Program) -> list[tuple[str, str]]:
    """(where, what came instead) for each ERET of a program without a barrier straight behind it.

    A barrier is DSB and ISB: a Cortex-A72 has no SB.
    """
    code = [
        int.from_bytes(program.code[at : at + 4], "little")
        for at in range(0, len(program.code) & ~3, 4)
    ] + [0, 0]
    found = []
    for n, word in enumerate(code[:-2]):
        if word != ERET or code[n + 1] in _DSB and code[n + 2] == ISB:
            continue
        line = program.lines.get(program.base + 4 * n)
        came = "an sb, which a Cortex-A72 does not have" if code[n + 1] == SB else "none"
        found.append((f"line {line}" if line else f"byte {4 * n}", came))
    return found


# --- What is asked ------------------------------------------------------------------------------


def _hits(draw: random.Random) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    """Every hypercall, with arguments that let it do its work and three that must arrive."""
    for name in HYPERCALLS:
        first = draw.getrandbits(64)
        yield (
            name,
            (
                *(facts.hypercall(name).pointers or (first,)),
                draw.getrandbits(64),
                draw.getrandbits(64),
            ),
        )
    yield "__kvm_vcpu_run_nvhe", ("vcpu1", draw.getrandbits(64), draw.getrandbits(64))


def _misses(draw: random.Random, machine: Machine) -> Iterator[int]:
    """Numbers that are none: the edges, and what likely mistakes would take for one."""
    end = BASE + len(HYPERCALLS)
    yield from (3, BASE - 1, end, end + 1, 2 * BASE, 0xFFF, 0x1000, 0x100E)
    yield from (MASK64, 1 << 63, -BASE & MASK64, -draw.randrange(2, 99) & MASK64)
    number = BASE + draw.randrange(len(HYPERCALLS))
    yield from (number | 1 << bit for bit in (31, 32, 61, 63))
    handler = draw.choice(HYPERCALLS)
    yield from (machine.address(handler, space) for space in ("image", "linear", "physical", "hyp"))


def _many_misses(draw: random.Random) -> list[int]:
    """Numbers that are none, by the hundred: near the range, right in most bits, and any at all."""
    numbers = range(BASE, BASE + len(HYPERCALLS))
    flipped = (number ^ 1 << bit for number in numbers for bit in range(4, 64))
    found = {
        *range(3, BASE),
        *range(numbers.stop, 2 * BASE),
        *flipped,
        *(draw.getrandbits(draw.randrange(9, 65)) for _ in range(500)),
    }
    found = sorted(number for number in found if number >= 3 and number not in numbers)
    draw.shuffle(found)
    return found


class _Pair:
    """The patch's machine and the learner's, alike but for the dispatcher, asked the same."""

    def __init__(self, text: str, draw: random.Random) -> None:
        self.draw, seed = draw, draw.randrange(1, 1 << 31)
        self.reference = Bench("numbered", seed=seed)
        try:
            self.subject = Bench("numbered", seed=seed, dispatcher=text)
        except AsmError as error:
            self.reference.close()
            raise Wrong(_assembly(error)) from None
        except MachineError as error:
            self.reference.close()
            raise Wrong(f"With this dispatcher the machine does not boot: {error}") from None

    def __enter__(self) -> _Pair:
        return self

    def __exit__(self, *exc: object) -> None:
        self.reference.close()
        self.subject.close()

    def barriers(self) -> None:
        """Every ERET in the text has a speculation barrier straight behind it."""
        for where, came in unguarded(self.subject.image.dispatcher):
            raise Wrong(
                "Expected a speculation barrier (dsb nsh, then isb) straight behind every "
                f"eret; behind the one of {where} came {came}"
            )

    def calls(self) -> list[Road]:
        """All fourteen and many that are none, in an order of their own."""
        asked: list = [*_hits(self.draw), *_misses(self.draw, self.subject)]
        self.draw.shuffle(asked)
        roads = []
        for what in asked:
            if isinstance(what, int):
                self._miss(what)
            else:
                roads.append(self._hit(*what))
        self._bulk(_many_misses(self.draw))
        for register in UNTOUCHED:
            expected, came = (m.sysreg(register) for m in (self.reference, self.subject))
            if expected != came:
                raise Wrong(
                    f"After all calls expected {register} = {expected:#x}; came {came:#x}: "
                    "that is not a dispatcher's to change"
                )
        return roads

    def _unused(self) -> tuple[int, ...]:
        """For x4, x5 and x6, which no function takes: a dispatcher must not count on them."""
        return tuple(self.draw.getrandbits(64) for _ in range(3))

    def _asked(self, what: str, number: int, arguments: tuple[int | str, ...]) -> Call:
        came = self.subject.hvc(number, *arguments)
        if came.outcome in (RETURNED, PANICKED) and len(came.trace) > STEPS:
            raise Wrong(
                f"{what}: expected a way of some dozen steps; came {len(came.trace):,}, "
                f"many of them at {came.trace[STEPS].symbol}"
            )
        return came

    def _hit(self, name: str, arguments: tuple[int | str, ...]) -> Road:
        number = BASE + HYPERCALLS.index(name)
        what = f"x0 = {number:#x}, {name}"
        arguments += self._unused()
        expected = self.reference.hvc(number, *arguments)
        came = self._asked(what, number, arguments)
        entered = _entered(came)
        if not entered:
            raise Wrong(
                f"{what}: expected this function to be called; {_instead(came)}{_number_lost(came)}"
            )
        step, first = entered[0]
        if first != name:
            raise Wrong(f"{what}: expected this function to be called; step {step} enters {first}")
        if len(entered) > 1:
            step, second = entered[1]
            again = " again" if second == name else ""
            raise Wrong(f"{what}: expected one call; step {step} enters {second}{again}")
        trace, wanted = came.trace, expected.trace
        there = wanted.find(name)
        for n in range(3):
            value, right = trace.register(f"x{n}", step), wanted.register(f"x{n}", there)
            if value != right:
                raise Wrong(
                    f"{what}: expected x{n} = {right:#x} at the function's first "
                    f"instruction, what the host had in x{n + 1}; came {value:#x} at step "
                    f"{step}"
                )
        if trace.register("sp", step) % 16:
            raise Wrong(
                f"{what}: expected a stack pointer that is a multiple of 16 when the "
                f"function is called; came {trace.register('sp', step):#x} at step {step}"
            )
        if came.outcome not in (RETURNED, PANICKED):
            self._kept(what, came)  # the host may have gone astray for want of its own registers
        if came.outcome != RETURNED:
            raise Wrong(f"{what}: expected a way back to the host by eret; {_instead(came)}")
        handler = Handler(expected, name, arguments)
        self._whole(what, came, handler)
        self._kept(what, came)
        self._conduct(what, came, range(step, step + len(handler.places)))
        if came.x0 != expected.x0:
            raise Wrong(
                f"{what}: expected x0 = {expected.x0:#x}, what the function left there; "
                f"came {came.x0:#x}"
            )
        return Road(came, handler)

    def _whole(self, what: str, came: Call, handler: Handler) -> None:
        """The function was run from its first to its last instruction."""
        start = came.trace.find(handler.name)
        for n, there in enumerate(handler.places):
            here = came.trace[start + n].symbol if start + n < len(came.trace) else "the end"
            if here != there:
                raise Wrong(
                    f"{what}: expected the function to run to its end; step {start + n} is "
                    f"at {here}, not at {there}"
                )

    def _conduct(self, what: str, came: Call, called: range) -> None:
        """The way at EL2, but for the function that was called, is a dispatcher's."""
        image = came.trace.image
        way = (step for step in came.trace if step.el == 2 and step.index not in called)
        if wrong := amiss(way, image.layout.pa, code_of(image, ())):
            raise Wrong(f"{what}: {wrong}")

    def _miss(self, number: int) -> None:
        what = f"x0 = {number:#x}, no call's number"
        # Nothing but x0 tells such a call from a good one.
        _, arguments = self.draw.choice(list(_hits(self.draw)))
        came = self._asked(what, number, arguments + self._unused())
        entered = _entered(came)
        if entered:
            raise Wrong(
                f"{what}: expected -38 in x0 and no function called; step "
                f"{entered[0][0]} enters {entered[0][1]}"
            )
        if came.outcome != RETURNED or came.x0 != ENOSYS:
            raise Wrong(f"{what}: expected -38 in x0; {_instead(came)}")
        image = came.trace.image
        own, arrived = code_of(image, ()), False
        for step in came.trace:
            inside = image.layout.pa(step.pc) in own
            arrived = arrived or inside
            if arrived and step.el == 2 and not inside:
                raise Wrong(
                    f"{what}: expected nothing but the entry and the dispatcher to run; "
                    f"step {step.index} is at {step.symbol}"
                )
        self._kept(what, came)
        self._conduct(what, came, range(0))

    def _bulk(self, numbers: list[int]) -> None:
        """All of these numbers are refused; the first that is not is called again to see why."""
        try:
            answers = self.subject.run(numbers, (self.draw.getrandbits(32),) * 3)
            wrong = [number for number, x0 in zip(numbers, answers, strict=True) if x0 != ENOSYS]
        except MachineError:
            self.subject.reboot()
            wrong = numbers
        for number in wrong:
            self._miss(number)
        if wrong:
            raise Wrong(
                f"x0 = {wrong[0]:#x}, no call's number: expected -38 in x0 however often "
                "it is asked; came something else when many came one after the other"
            )

    def _kept(self, what: str, call: Call) -> None:
        """The host's registers and both stack pointers are as they were."""
        trace = call.trace
        hvc = next(step.index for step in trace if step.exception)
        at_el2 = [n for n, el in enumerate(trace.els[: len(trace)]) if el == 2]
        for register in KEPT:
            before, after = trace.register(register, hvc), trace.register(register, at_el2[-1] + 1)
            if before != after:
                step = trace.last_write(register, at_el2[-1])
                at = "" if step is None else f" (step {step}: {trace[step].text})"
                raise Wrong(
                    f"{what}: expected {register} = {before:#x} back at the host, as it "
                    f"was; came {after:#x}{at}"
                )
        before, after = (trace.register("sp", n) for n in (at_el2[0], at_el2[-1]))
        if before != after:
            raise Wrong(
                f"{what}: expected EL2's stack pointer at {before:#x} at the eret, where "
                f"it was; came {after:#x} at step {at_el2[-1]}{_number_lost(call)}"
            )

    def stub_calls(self) -> None:
        """0 is refused by the stub's code, 2 gives EL2 back to the stub, 1 restarts the kernel."""
        for number, outcome in ((0, RETURNED), (2, RETURNED), (1, RESTARTED)):
            what = f"x0 = {number}, a stub call"
            host = (number, self.subject.image.entry, *self._unused())
            came = self.subject.hvc(*host)
            self._diverted(what, came, host)
            if outcome == RETURNED and came.outcome != PANICKED:
                self._kept(what, came)
            if came.outcome != outcome:
                raise Wrong(f"{what}: expected the stub's handler to do its work; {_instead(came)}")
            self.subject.reboot()

    def _diverted(self, what: str, came: Call, host: tuple[int, ...]) -> None:
        """The stub's handler was entered with what the host had in x0 to x4."""
        trace, handler = came.trace, self.subject.image.pa("__kvm_handle_stub_hvc")
        there = next((n for n, pc in enumerate(trace.pcs.tolist()) if pc == handler), None)
        if there is None:
            raise Wrong(
                f"{what}: expected the stub's handler to be entered, at its physical "
                f"address {handler:#x}; {_instead(came)}"
            )
        for n, right in enumerate(host):
            value = trace.register(f"x{n}", there)
            if value != right:
                raise Wrong(
                    f"{what}: expected x{n} = {right:#x} at the first instruction of the "
                    f"stub's handler, what the host had there; came {value:#x} at step "
                    f"{there}"
                )
        self._conduct(what, came, range(there, len(trace)))

    def elsewhere(self) -> None:
        """What is called is sought where the kernel's variables say that the kernel is.

        No seed of ours moves the kernel in physical memory. So the variables are moved instead.
        """
        for machine in (self.reference, self.subject):
            for name, by in (("kimage_voffset", -ASIDE), ("physvirt_offset", ASIDE)):
                word = int.from_bytes(machine.read(machine.address(name), 8, el=1), "little")
                overwrite(machine, name, word + by)
        try:
            self._hit(*self.draw.choice(list(_hits(self.draw))))
        except Wrong as wrong:
            raise Wrong(
                f"With kimage_voffset {ASIDE:#x} less and physvirt_offset as much more, as "
                f"for a kernel elsewhere in physical memory: {wrong}"
            ) from None
        handler = self.subject.image.pa("__kvm_handle_stub_hvc")
        if handler in self.subject.hvc(0).trace.pcs:
            raise Wrong(
                "x0 = 0, a stub call: expected the stub's handler to be found with "
                "kimage_voffset, because a kernel may lie anywhere in physical memory; "
                f"this dispatcher goes to {handler:#x} whatever the variable says"
            )
        self.subject.reboot()


def _entered(call: Call) -> list[tuple[int, str]]:
    """(step, function) for each first instruction of one of the fourteen that EL2 executes."""
    image = call.trace.image
    doors = {image.layout.hyp_va(image.pa(name)): name for name in HYPERCALLS}
    return [
        (n, doors[int(pc)])
        for n, pc in enumerate(call.trace.pcs[: len(call.trace)])
        if int(pc) in doors
    ]


def _number_lost(call: Call) -> str:
    """A hint for a dispatcher that never has the host's number in a register; "" for any other."""
    trace, image = call.trace, call.trace.image
    number = trace.register("x0", next(step.index for step in trace if step.exception))
    own = code_of(image, ())
    steps = [step for step in trace if step.el == 2 and image.layout.pa(step.pc) in own]
    held = (trace.register(f"x{n}", step.index) for step in steps for n in range(19))
    if not steps or number in held:
        return ""
    return (
        f". No register of this dispatcher holds the host's x0, {number:#x}: the entry has put x0 "
        "and x1 on EL2's stack, and `divert_stub_calls` brings them back"
    )


def _instead(call: Call) -> str:
    """What a call did in place of what was expected."""
    trace, image = call.trace, call.trace.image
    if call.outcome == RETURNED:
        value = "-38" if call.x0 == ENOSYS else f"{call.x0:#x}"
        return f"came back with x0 = {value} after {len(trace)} steps"
    said = call.message
    if call.outcome == PANICKED and not any(s.el == 2 and s.exception for s in trace):
        # The syndrome that hyp_panic found is that of the HVC.
        step = trace.find("hyp_panic")
        said = f"EL2 ran into hyp_panic at step {step}, from {trace[step - 1].symbol}"
    own = code_of(image, ())
    last = next(n for n in reversed(range(len(trace))) if image.layout.pa(trace[n].pc) in own)
    return f"{said}; the dispatcher's last step was {last}, {trace[last].text}"


def _assembly(error: AsmError) -> str:
    said = f"This text does not assemble: line {error.line}"
    if error.name != "dispatcher":
        said += f" of the machine's unit {error.name!r}"
    if error.text.strip():
        said += f", {shown(error.text.strip())}"
    said += f": {error.message}"
    if NO_ENGINE in error.message:
        said += (
            ". What the kit ships still assembles, and that is all the instructions of the "
            "known dispatchers and of the lesson's list"
        )
    return said
