"""The Workbench: a text, its verdict, what it costs, and the call that fails; it knows no widget."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from hypkit.call import PANICKED, Call
from hypkit.errors import WrongType, WrongValue, did_you_mean, expected
from hypkit.lessons.judge import Exercise
from hypkit.lessons.workbench.benches import BENCHES
from hypkit.lessons.workbench.measure import CORES, COUNTED, Measured, measure

if TYPE_CHECKING:
    from hypkit.pictures.picture import Picture
    from hypkit.timetravel.widget import Stepper

LONGEST = 1 << 18  # characters of a text, as the assembler has it


class Judged(Protocol):
    """What a check returns: hypkit.check.Verdict. call: the one that failed, if there is one."""

    @property
    def passed(self) -> bool:
        """Return whether the answer was right."""

    @property
    def kind(self) -> str:
        """Return the verdict in a few words."""

    @property
    def sentence(self) -> str:
        """Return what was expected, and what it got."""

    @property
    def call(self) -> Call | None:
        """Return the call that went wrong, if it was one."""


class Workbench:
    """What an exercise in assembly or in C needs: the text, its verdict, its cost, its failing call.

    In a notebook it shows an editor; in plain Python `run(text)` does what its button does.
    Attributes: number, title: the exercise's; bench: what is on it; verdict: of the last run, None
    when the text is another by now or was never run.
    """

    def __init__(
        self,
        exercise: Exercise,
        judge: Callable[[str, object], Judged],
        text: object = None,
        show: Callable[[Workbench], None] | None = None,
    ) -> None:
        self._show = show  # how a notebook shows it
        self.number, self.title = exercise.id, exercise.title
        self.bench = BENCHES[exercise.id]
        self._judge = judge
        self._files = dict(self.bench.files)
        self._tell: list[Callable[[], None]] = []
        self.verdict: Judged | None = None
        if text is not None:
            self._files = self._taken(text)

    # -- the text --

    @property
    def text(self) -> str | dict[str, str]:
        """Return what is in the editor: a text; of a header in several files, texts by name."""
        files = dict(self._files)
        return files if len(files) > 1 else next(iter(files.values()))

    @text.setter
    def text(self, text: object) -> None:
        files = self._taken(text)
        if files == self._files:
            return
        self._files, self.verdict = files, None
        self._changed()

    @property
    def files(self) -> dict[str, str]:
        """Return the texts by file name, however many there are."""
        return dict(self._files)

    def reset(self) -> None:
        """Put the text to start from back."""
        self.text = dict(self.bench.files)

    def _taken(self, text: object) -> dict[str, str]:
        """Return texts by file name, from a text or a mapping; raise for what is neither."""
        names = list(self.bench.files)
        if isinstance(text, str):
            files = dict(self.bench.files) | {names[0]: text}
        elif isinstance(text, Mapping):
            for name in text:
                if name not in names:
                    raise WrongValue(
                        f"no file {name!r} on this bench{did_you_mean(str(name), names)}; "
                        f"there are {', '.join(names)}"
                    )
            files = dict(self.bench.files) | dict(text)
        else:
            raise WrongType(expected(f"the text of {' and '.join(names)}", text))
        for name, part in files.items():
            if not isinstance(part, str):
                raise WrongType(expected(f"a text for {name}", part))
            if len(part) > LONGEST:
                raise WrongValue(f"{name} has {len(part):,} characters; at most {LONGEST:,}")
        return {name: files[name] for name in names}

    # -- what it does --

    def run(self, text: object = None) -> Judged:
        """Judge the text as check() does, and keep the verdict.

        Args:
            text: takes the place of the text first; a string, or texts by file name.

        Returns:
            The verdict, whatever the text is.

        Raises:
            TypeError, ValueError: what is given is no text.
        """
        if text is not None:
            self.text = text
        self.verdict = self._judge(self.number, self.text)
        self._changed()
        return self.verdict

    def check(self) -> Judged:
        """Judge the text as it stands: check(number, workbench.text)."""
        return self.run()

    @property
    def measured(self) -> Measured:
        """Return what one run of the text found: its mistake, or its counts and the pipeline."""
        return measure(self.number, self._files)

    def rows(self) -> list[tuple[str, int, int | None]]:
        """Return (measure, its value, the most that is allowed or None) for what was counted."""
        counts, budget = self.measured.counts, self.bench.budget
        names = [name for name in (*COUNTED, *CORES) if name in counts]
        return [(name, counts[name], budget.get(name)) for name in names]

    # -- the call that shows it --

    @property
    def failing(self) -> tuple[Call, int] | None:
        """Return the call that the last verdict is about, and the step at which it shows."""
        if self.verdict is None or self.verdict.passed or self.verdict.call is None:
            return None
        return self.verdict.call, step_of(self.verdict.sentence, self.verdict.call)

    @property
    def shown(self) -> tuple[Call, int] | None:
        """Return the call to step: the failing one, else the one whose pipeline is drawn."""
        if self.failing:
            return self.failing
        call = self.measured.call
        return None if call is None else (call, step_of("", call))

    def step(self) -> Stepper:
        """Return the stepper of the failing call at the failing step; of any call if none fails.

        Raises:
            ValueError: the text does not assemble, or is a header without a failing call.
        """
        if self.shown is None:
            mistake = self.measured.mistake
            raise WrongValue(
                "there is no call to step"
                + (f": {mistake.sentence}" if mistake else " of a header")
            )
        from hypkit.timetravel.widget import stepper

        call, step = self.shown
        view = stepper(call)
        view.step = step
        return view

    # -- pictures --

    def pipeline(self, core: str = CORES[0]) -> Picture:
        """Return the pipeline of a core, drawn: who waits for whom, instruction by instruction.

        Args:
            core: a key of CORES.

        Raises:
            ValueError: no such core here, or no call was made.
        """
        from hypkit.lessons.workbench.pictures import show_pipeline

        if core not in CORES:
            raise WrongValue(f"no core {core!r} here{did_you_mean(core, CORES)}")
        if not self.measured.parts:
            raise WrongValue("no call was made, so there is nothing to draw")
        return show_pipeline(self.measured, core)

    def histogram(self) -> Picture:
        """Return where this text stands among the known dispatchers, in each measure.

        Raises:
            ValueError: not every call works yet.
        """
        from hypkit.lessons.workbench.pictures import show_marks

        if self.measured.score is None:
            raise WrongValue("not every call works yet, so there is no score to compare")
        return show_marks(self.measured.score)

    # -- shown --

    def changed(self, tell: Callable[[], None]) -> None:
        """Call *tell* whenever the text or the verdict changes."""
        self._tell.append(tell)

    def _changed(self) -> None:
        for tell in self._tell:
            tell()

    def __repr__(self) -> str:
        measured = self.measured
        if self.verdict is not None:
            said = f"{self.verdict.kind}. {self.verdict.sentence}"
        elif measured.mistake:
            said = measured.mistake.sentence
        else:
            said = "not run yet"
        counts = ", ".join(
            f"{value} {name.removesuffix('s') if value == 1 else name}"
            + (f" of {most}" if most is not None else "")
            for name, value, most in self.rows()[:4]
        )
        return f"Workbench({self.number}: {said}{'; ' + counts if counts else ''})"

    def _ipython_display_(self) -> None:
        """Show the workbench: a part that is seen without a kernel, and one that lives with it."""
        if self._show is None:
            print(repr(self))
        else:
            self._show(self)


def step_of(sentence: str, call: Call) -> int:
    """Return the step of a call that a sentence names; else where EL2 gave up, or first arrived."""
    trace = call.trace
    for found in re.findall(r"\b(?:step|step was) (\d+)", sentence):
        if int(found) < len(trace):
            return int(found)
    if call.outcome == PANICKED and (at := trace.find("hyp_panic")) is not None:
        return at
    if not len(trace):
        return 0
    els = trace.els[: len(trace)].tolist()
    return els.index(2) if 2 in els else 0


__all__ = ["Judged", "Workbench", "step_of"]
