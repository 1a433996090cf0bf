"""The judge of dispatchers: whether one keeps to its specification, and what it costs.

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
from hypkit.asm import AsmError
from hypkit.call import PANICKED, RESTARTED, RETURNED, Call
from hypkit.emu import Machine
from hypkit.errors import WrongValue, shown
from hypkit.kernel.variants import ENOSYS, HYPERCALLS, VARIANTS
from hypkit.lessons.answers import text_of
from hypkit.lessons.dispatcher_rules import violation
from hypkit.lessons.dispatcher_score import (
    CORES,
    MEASURES,
    Handler,
    MeasuredCall,
    Score,
    code_of,
    total,
)
from hypkit.lessons.dispatchers import (
    LEFTOVER,
    not_assembled,
    overwrite,
    own_code,
    reads_leftover,
    unguarded,
)
from hypkit.lessons.judge import Wrong
from hypkit.lessons.recording import RecordingMachine, all_well, arrival
from hypkit.machine.errors import MachineError

__all__ = ["CORES", "KNOWN", "MEASURES", "Score", "prove", "score_of", "unguarded"]

BASE = VARIANTS["numbered"].numbers[HYPERCALLS[0]]
KEPT = (*(f"x{n}" for n in range(19, 31)), "sp")  # what a function gives back as it found it
# What no dispatcher changes, whatever its calls do.
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
STEPS = 2000  # of a call, the longest of which runs a VM: a longer one is lost

ASIDE = 0x1000  # bytes by which a kernel's variables move it, for the model


def prove(text: object, name: str = "yours") -> Score:
    """Return the score of a dispatcher that keeps to the specification of lesson 11.

    text: assembly, in place of the `numbered` machine's dispatcher. Raises Wrong with a sentence
    that says what was expected, what it got, and at which step.
    """
    return _prove(text_of(text, "the text of a dispatcher"), name)


@lru_cache(maxsize=32)
def _prove(text: str, name: str) -> Score:
    draw = random.Random(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    calls: list[MeasuredCall] = []
    for _ in range(SEEDS):
        with _Pair(text, draw) as pair:
            pair.barriers()
            calls += pair.calls()
            pair.elsewhere()
            pair.stub_calls()
    all_well()
    return total(name, calls)


@lru_cache(maxsize=32)
def score_of(key: str, seed: int = 2020) -> Score:
    """Return the score of a known variant; ValueError for one whose host makes no call to EL2."""
    if not isinstance(key, str) or key not in KNOWN and not key.startswith("numbered+"):
        raise WrongValue(f"no variant {shown(key)}; there are: {', '.join(KNOWN)}")
    with Machine(key, seed=seed) as machine:
        return total(
            key,
            [
                MeasuredCall(machine.call(handler.name, *handler.arguments), handler)
                for handler in handlers(seed)
            ],
        )


@lru_cache(maxsize=4)
def handlers(seed: int) -> tuple[Handler, ...]:
    """Return the handlers alone, as the `numbered` machine runs them one after the other."""
    with Machine("numbered", seed=seed) as machine:
        return tuple(
            Handler(machine.call(name, *arguments), name, arguments)
            for name, arguments in _hits(random.Random(seed))
        )


# --- What is asked ------------------------------------------------------------------------------


def _hits(draw: random.Random) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    """Yield every hypercall, with arguments for its work and three that must arrive."""
    for name in HYPERCALLS:
        first = draw.getrandbits(64)
        pointers = facts.hypercall(name).pointers
        yield name, (*(pointers or (first,)), draw.getrandbits(64), draw.getrandbits(64))
    yield "__kvm_vcpu_run_nvhe", ("vcpu1", draw.getrandbits(64), draw.getrandbits(64))


def _misses(draw: random.Random, machine: Machine) -> Iterator[int]:
    """Yield numbers of no hypercall: the edges, and what likely mistakes would take for one."""
    end = BASE + len(HYPERCALLS)
    yield from (3, BASE - 1, end, end + 1, 2 * BASE, 0xFFF, 0x1000, 0x100E)
    yield from (MASK64, 1 << 63, -BASE & MASK64, -draw.randrange(2, 99) & MASK64)
    number = BASE + draw.randrange(len(HYPERCALLS))
    yield from (number | 1 << bit for bit in (31, 32, 61, 63))
    handler = draw.choice(HYPERCALLS)
    yield from (machine.address(handler, space) for space in ("image", "linear", "physical", "hyp"))


def _many_misses(draw: random.Random) -> list[int]:
    """Return hundreds of other numbers: near the range, right in most bits, and any at all."""
    numbers = range(BASE, BASE + len(HYPERCALLS))
    flipped = (number ^ 1 << bit for number in numbers for bit in range(4, 64))
    found = {
        *range(3, BASE),
        *range(numbers.stop, 2 * BASE),
        *flipped,
        *(draw.getrandbits(draw.randrange(9, 65)) for _ in range(500)),
    }
    others = sorted(number for number in found if number >= 3 and number not in numbers)
    draw.shuffle(others)
    return others


class _Pair:
    """The patch's machine and the learner's, alike except for the dispatcher, asked the same."""

    def __init__(self, text: str, draw: random.Random) -> None:
        self.draw, seed = draw, draw.randrange(1, 1 << 31)
        self.reference = RecordingMachine("numbered", seed=seed)
        try:
            self.subject = RecordingMachine("numbered", seed=seed, dispatcher=text)
        except AsmError as error:
            self.reference.close()
            raise Wrong(not_assembled(error)) from None
        except MachineError as error:
            self.reference.close()
            raise Wrong(f"With this dispatcher the machine does not boot: {error}") from None

    def __enter__(self) -> _Pair:
        return self

    def __exit__(self, *exc: object) -> None:
        self.reference.close()
        self.subject.close()

    def barriers(self) -> None:
        """Raise Wrong unless every ERET in the text has a speculation barrier right after it."""
        for where, follows in unguarded(self.subject.image.dispatcher):
            raise Wrong(
                "Expected a speculation barrier (dsb nsh, then isb) right after every eret; "
                f"after the one of {where} comes {follows}"
            )

    def calls(self) -> list[MeasuredCall]:
        """Make all fourteen calls and many of other numbers; return the fourteen, measured."""
        asked: list[int | tuple[str, tuple[int | str, ...]]]
        asked = [*_hits(self.draw), *_misses(self.draw, self.subject)]
        self.draw.shuffle(asked)
        measured = []
        for what in asked:
            if isinstance(what, int):
                self._miss(what)
            else:
                measured.append(self._hit(*what))
        self._bulk(_many_misses(self.draw))
        for register in UNTOUCHED:
            expected, got = (m.sysreg(register) for m in (self.reference, self.subject))
            if expected != got:
                raise Wrong(
                    f"After all calls expected {register} = {expected:#x}; got {got:#x}: "
                    "a dispatcher must not change it"
                )
        return measured

    def _unused(self) -> tuple[int, ...]:
        """Return values for x4, x5 and x6, which no function takes: nothing may depend on them."""
        return tuple(self.draw.getrandbits(64) for _ in range(3))

    def _asked(self, what: str, number: int, arguments: tuple[int | str, ...]) -> Call:
        made = self.subject.hvc(number, *arguments)
        if made.outcome in (RETURNED, PANICKED) and len(made.trace) > STEPS:
            raise Wrong(
                f"{what}: expected some dozen steps; got {len(made.trace):,}, "
                f"many of them at {made.trace[STEPS].symbol}"
            )
        return made

    def _hit(self, name: str, arguments: tuple[int | str, ...]) -> MeasuredCall:
        number = BASE + HYPERCALLS.index(name)
        what = f"x0 = {number:#x}, {name}"
        arguments += self._unused()
        expected = self.reference.hvc(number, *arguments)
        made = self._asked(what, number, arguments)
        entered = _entered(made)
        if not entered:
            raise Wrong(
                f"{what}: expected this function to be called; {_instead(made)}" + _why(made)
            )
        step, first = entered[0]
        if first != name:
            raise Wrong(f"{what}: expected this function to be called; step {step} enters {first}")
        if len(entered) > 1:
            step, second = entered[1]
            again = " again" if second == name else ""
            raise Wrong(f"{what}: expected one call; step {step} enters {second}{again}")
        trace, wanted = made.trace, expected.trace
        there = arrival(wanted, name)
        for n in range(3):
            value, right = trace.register(f"x{n}", step), wanted.register(f"x{n}", there)
            if value != right:
                raise Wrong(
                    f"{what}: expected x{n} = {right:#x} at the function's first "
                    f"instruction, what the host had in x{n + 1}; got {value:#x} at step "
                    f"{step}"
                )
        if trace.register("sp", step) % 16:
            raise Wrong(
                f"{what}: expected a stack pointer that is a multiple of 16 when the "
                f"function is called; got {trace.register('sp', step):#x} at step {step}"
            )
        if made.outcome not in (RETURNED, PANICKED):
            self._kept(what, made)  # the host may have gone astray for want of its own registers
        if made.outcome != RETURNED:
            raise Wrong(f"{what}: expected a way back to the host by eret; {_instead(made)}")
        handler = Handler(expected, name, arguments)
        self._whole(what, made, handler)
        self._kept(what, made)
        self._conduct(what, made, range(step, step + len(handler.places)))
        if made.x0 != expected.x0:
            raise Wrong(
                f"{what}: expected x0 = {expected.x0:#x}, what the function left there; "
                f"got {made.x0:#x}"
            )
        return MeasuredCall(made, handler)

    def _whole(self, what: str, made: Call, handler: Handler) -> None:
        """Raise Wrong unless the function was run from its first to its last instruction."""
        start = arrival(made.trace, handler.name)
        for n, there in enumerate(handler.places):
            here = made.trace[start + n].symbol if start + n < len(made.trace) else "the end"
            if here != there:
                raise Wrong(
                    f"{what}: expected the function to run to its end; step {start + n} is "
                    f"at {here}, not at {there}"
                )

    def _conduct(self, what: str, made: Call, called: range) -> None:
        """Raise Wrong for what a dispatcher must not do, outside of the function that was called."""
        image = made.trace.image
        way = (step for step in made.trace if step.el == 2 and step.index not in called)
        if wrong := violation(way, image.layout.pa, code_of(image, ())):
            raise Wrong(f"{what}: {wrong}")

    def _miss(self, number: int) -> None:
        what = f"x0 = {number:#x}, no call's number"
        # Nothing but x0 tells such a call from a good one.
        _, arguments = self.draw.choice(list(_hits(self.draw)))
        made = self._asked(what, number, arguments + self._unused())
        entered = _entered(made)
        if entered:
            raise Wrong(
                f"{what}: expected -38 in x0 and no function called; step "
                f"{entered[0][0]} enters {entered[0][1]}"
            )
        if made.outcome != RETURNED or made.x0 != ENOSYS:
            raise Wrong(f"{what}: expected -38 in x0; {_instead(made)}")
        image = made.trace.image
        own, arrived = code_of(image, ()), False
        for step in made.trace:
            inside = image.layout.pa(step.pc) in own
            arrived = arrived or inside
            if arrived and step.el == 2 and not inside:
                raise Wrong(
                    f"{what}: expected nothing but the entry and the dispatcher to run; "
                    f"step {step.index} is at {step.symbol}"
                )
        self._kept(what, made)
        self._conduct(what, made, range(0))

    def _bulk(self, numbers: list[int]) -> None:
        """Raise Wrong unless all of these numbers are refused, however many come at once."""
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
                "it is asked; got something else when many were asked one after the other"
            )

    def _kept(self, what: str, call: Call) -> None:
        """Raise Wrong unless the host's registers and both stack pointers are as they were."""
        trace = call.trace
        hvc = next(step.index for step in trace if step.exception)
        at_el2 = [n for n, el in enumerate(trace.els[: len(trace)]) if el == 2]
        for register in KEPT:
            before, after = trace.register(register, hvc), trace.register(register, at_el2[-1] + 1)
            if before != after:
                raise Wrong(
                    f"{what}: expected {register} = {before:#x} back at the host, as it "
                    f"was; got {after:#x}{_writer(call, register, at_el2[-1])}"
                )
        before, after = (trace.register("sp", n) for n in (at_el2[0], at_el2[-1]))
        if before != after:
            raise Wrong(
                f"{what}: expected EL2's stack pointer at {before:#x} at the eret, where "
                f"it was; got {after:#x} at step {at_el2[-1]}" + _why(call)
            )

    def stub_calls(self) -> None:
        """Make the stub's three calls: 0 is refused by it, 2 gives EL2 back, 1 restarts the kernel."""
        for number, outcome in ((0, RETURNED), (2, RETURNED), (1, RESTARTED)):
            what = f"x0 = {number}, a stub call"
            host = (number, self.subject.image.entry, *self._unused())
            made = self.subject.hvc(*host)
            self._diverted(what, made, host)
            if outcome == RETURNED and made.outcome != PANICKED:
                self._kept(what, made)
            if made.outcome != outcome:
                raise Wrong(f"{what}: expected the stub's handler to do its work; {_instead(made)}")
            self.subject.reboot()

    def _diverted(self, what: str, made: Call, host: tuple[int, ...]) -> None:
        """Raise Wrong unless the stub's handler was entered with the host's x0 to x4."""
        trace, handler = made.trace, self.subject.image.pa("__kvm_handle_stub_hvc")
        there = next((n for n, pc in enumerate(trace.pcs.tolist()) if pc == handler), None)
        if there is None:
            raise Wrong(
                f"{what}: expected the stub's handler to be entered, at its physical "
                f"address {handler:#x}; {_instead(made)}"
            )
        for n, right in enumerate(host):
            value = trace.register(f"x{n}", there)
            if value != right:
                raise Wrong(
                    f"{what}: expected x{n} = {right:#x} at the first instruction of the "
                    f"stub's handler, what the host had there; got {value:#x} at step "
                    f"{there}"
                )
        self._conduct(what, made, range(there, len(trace)))

    def elsewhere(self) -> None:
        """Raise Wrong unless functions are sought where the kernel's variables say that it is.

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
    """Return (step, function) for each entry of EL2 into one of the fourteen."""
    image = call.trace.image
    doors = {image.layout.hyp_va(image.pa(name)): name for name in HYPERCALLS}
    return [
        (n, doors[int(pc)])
        for n, pc in enumerate(call.trace.pcs[: len(call.trace)])
        if int(pc) in doors
    ]


def _instead(call: Call) -> str:
    """Return what a call did in place of what was expected."""
    trace, image = call.trace, call.trace.image
    if call.outcome == RETURNED:
        value = "-38" if call.x0 == ENOSYS else f"{call.x0:#x}"
        return f"it came back with x0 = {value} after {len(trace)} steps"
    said = call.message
    if call.outcome == PANICKED and not any(s.el == 2 and s.exception for s in trace):
        # The syndrome that hyp_panic found is that of the HVC.
        step = arrival(trace, "hyp_panic")
        said = f"EL2 ran into hyp_panic at step {step}, from {trace[step - 1].symbol}"
    own = code_of(image, ())
    last = next(n for n in reversed(range(len(trace))) if image.layout.pa(trace[n].pc) in own)
    return f"{said}; the dispatcher's last step was {last}, {trace[last].text}"


def _why(call: Call) -> str:
    """Return what the sentence about a failed call should add: a dispatcher with a wrong x0."""
    return f". {LEFTOVER}" if reads_leftover(call) else ""


def _writer(call: Call, register: str, last: int) -> str:
    """Return what wrote a register of the host's last, and whose it was to give it back."""
    trace = call.trace
    step = trace.last_write(register, last)
    if step is None:
        return ""
    inside = trace.image.layout.pa(trace[step].pc) in own_code(trace.image)
    if register == "x30" and (not inside or trace[step].instruction.mnemonic in ("bl", "blr")):
        return (
            " (a call of a function overwrites it, so save it before and load it back after; "
            f"the last to write it was step {step}: {trace[step].text})"
        )
    whose = "" if inside else ", not the dispatcher's own"
    return f" (step {step}{whose}: {trace[step].text})"
