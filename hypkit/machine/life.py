"""What every machine has in common, whatever kernel runs on it: its life, and a look into its processor.

One thread at a time uses a machine; others wait. Whatever changes it marks it as unfinished first and
as finished last. So an exception in between, be it the stop button's, leaves a machine that says so,
and reboot() or restore() gives such a machine a new processor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, NoReturn, Self

from hypkit.errors import UnknownName, WrongValue, expected, shown, whole
from hypkit.kernel.image import Image
from hypkit.machine.cpu import Cpu, Recording, Saved
from hypkit.machine.errors import MachineError
from hypkit.machine.turn import Turn
from hypkit.trace import Trace
from hypkit.trace.columns import Edit

MAX_BUDGET = 50_000_000  # a recorded step takes about 25 bytes
MAX_READ = 16 << 20  # bytes: more than all that a kernel here uses
BUSY = (
    "this machine is in the middle of something: what interrupts it (a signal handler, for "
    "instance) cannot use it as well"
)


@dataclass(frozen=True)
class State:
    """What became of a machine: replaced as a whole, so that no one sees half of it.

    stopped: why it takes no call, None if it takes one; whole: whether all that was begun was
    finished.
    """

    stopped: str | None = None
    whole: bool = True


@dataclass(frozen=True)
class Snapshot:
    """A moment of one machine; see its snapshot()."""

    machine: Life
    saved: Saved
    state: State

    def __repr__(self) -> str:
        return f"Snapshot of {self.machine!r}"


class Life(ABC):
    """A processor that is used in turns, closed once, and never copied.

    Whoever inherits sets budget, image and _turn, then _state and _cpu.
    """

    image: Image
    _MADE_BY: ClassVar[str]  # what makes another

    _turn: Turn
    _state: State
    _cpu: Cpu | None

    @property
    def budget(self) -> int:
        """Instructions that a call may take, a whole number from 1 to 50,000,000."""
        return self._budget

    @budget.setter
    def budget(self, value: int) -> None:
        number = whole("budget", value)
        if not 1 <= number <= MAX_BUDGET:
            raise WrongValue(
                f"budget: {expected(f'a number of instructions from 1 to {MAX_BUDGET:,}', value)}"
            )
        self._budget = number

    @abstractmethod
    def _new_cpu(self) -> Cpu:
        """Return a processor with nothing in it."""

    @abstractmethod
    def _unfinished(self, said: str) -> AbstractContextManager[None]:
        """Around a change of the machine, which sets _state last. Until then, and where it does not
        get there, the machine has stopped because of what is *said*."""

    def close(self) -> None:
        """Give the memory back; the machine cannot be used afterwards."""
        with self._turn:
            self._cpu = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _no_copy(self) -> NoReturn:
        raise MachineError(
            f"a machine cannot be copied or pickled: make another with {self._MADE_BY}, "
            "or use snapshot()"
        )

    def __copy__(self) -> NoReturn:
        self._no_copy()

    def __deepcopy__(self, memo: object) -> NoReturn:
        self._no_copy()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self._no_copy()

    @property
    def stopped(self) -> str | None:
        """Return why the machine takes no call, None while it takes one."""
        return self._state.stopped

    def _alive(self) -> Cpu:
        if self._cpu is None:
            raise MachineError(f"this machine was closed; make a new one with {self._MADE_BY}")
        return self._cpu

    def _whole(self) -> Cpu:
        """Return the processor, unless something that was begun with it is unfinished."""
        cpu = self._alive()
        if not self._state.whole:
            raise MachineError(f"this machine has stopped: {self.stopped}. reboot() starts it anew")
        return cpu

    def _become(self, saved: Saved, state: State, said: str) -> None:
        self._alive()
        is_whole = self._state.whole
        with self._unfinished(said):
            if not is_whole:
                self._cpu = self._new_cpu()
            self._alive().restore(saved)
            self._state = state

    def snapshot(self) -> Snapshot:
        """Return everything the machine is, to come back to with restore().

        Raises:
            MachineError: the machine is closed, or was interrupted in the middle of something.
        """
        with self._turn:
            return Snapshot(self, self._whole().save(), self._state)

    def restore(self, snapshot: Snapshot) -> None:
        """Become again what this machine was when *snapshot* was taken.

        Raises:
            ValueError: that is no snapshot of this machine.
            MachineError: the machine is closed.
        """
        if not isinstance(snapshot, Snapshot) or snapshot.machine is not self:
            raise WrongValue(
                "a machine can only be restored from a snapshot of its own; got " + shown(snapshot)
            )
        with self._turn:
            self._become(snapshot.saved, snapshot.state, "its restore was interrupted")

    def reg(self, name: str) -> int:
        """Return a general register, sp, pc or pstate, as unsigned 64 bits.

        Raises:
            KeyError: no such register.
        """
        with self._turn:
            cpu = self._alive()
            try:
                return cpu.read(name.lower())
            except (KeyError, AttributeError):
                raise UnknownName(
                    f"no register {shown(name)}: x0 to x30, lr, sp, pc, pstate"
                ) from None

    def sysreg(self, name: str) -> int:
        """Return a system register by its name in the Arm ARM, as unsigned 64 bits.

        Raises:
            KeyError: no such register, or not in this machine.
        """
        if not isinstance(name, str):
            raise UnknownName(f"sysreg: {expected('the name of a system register', name)}")
        with self._turn:
            try:
                return self._alive().sysreg(name)
            except KeyError as error:
                raise UnknownName(*error.args) from None

    def _trace(self, recording: Recording, edit: Edit | None = None) -> Trace:
        return Trace(
            self.image,
            recording.base,
            recording.pcs,
            recording.masks,
            recording.values,
            recording.words,
            recording.sysregs,
            recording.exceptions,
            recording.rewritten,
            edit if edit is not None and edit.step < len(recording.pcs) else None,
        )
