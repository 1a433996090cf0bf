"""stepper(call): the time-travel view of a call, as a widget, as a file, and as a plain table."""

from __future__ import annotations

import html
import json
import sys
import weakref
from collections.abc import Mapping
from hashlib import sha256
from os import PathLike
from pathlib import Path
from uuid import uuid4

import anywidget
import traitlets
from IPython.display import display, update_display

from hypkit.asm import AsmError
from hypkit.call import RESTARTED, RETURNED, RUNAWAY, Call
from hypkit.emu import Machine
from hypkit.errors import WrongType, WrongValue, expected, is_whole, needs, pass_on, whole
from hypkit.header import HeaderError
from hypkit.header.compiler import NUMBERS
from hypkit.kernel.addresses import Layout
from hypkit.kernel.image import load
from hypkit.kernel.variants import HYPERCALLS, VARIANTS
from hypkit.linux import LinuxMachine
from hypkit.machine.errors import MachineError
from hypkit.timetravel import editor, front_end, origins, standalone, whatif
from hypkit.timetravel.boxes import own_header, parse_args, usual_args
from hypkit.timetravel.payload import Payload
from hypkit.timetravel.static import static
from hypkit.trace import Trace

DIFF_ROWS = 20_000
MOST_COUNTED = 1 << 53  # by the numbers of a browser
KEPT_MACHINES = 8  # each edit and each variant makes one, and one takes tens of megabytes
WAITING = "No call has been made yet: choose one above and run it."


def stepper(
    what: Call | Trace | Machine | LinuxMachine,
    other: Call | Trace | None = None,
    *,
    bookmarks: Mapping[int, str] | None = None,
) -> Stepper:
    """Look at a call step by step.

    what: a Call or a Trace; a Machine, to choose calls and edit its dispatcher and its numbering
    header, or a real kernel's, to choose calls; with *other*, two calls or traces are shown side by side. bookmarks: step -> note,
    shown from the start.
    """
    notes = _bookmarks(bookmarks)
    if other is not None:
        if isinstance(what, Machine | LinuxMachine):
            raise WrongType("a Machine is shown alone: give two calls, stepper(a, b)")
        return Stepper(_traces=(_payload(what), _payload(other)), bookmarks=notes)
    if isinstance(what, Machine | LinuxMachine):
        return Stepper(_machine=what, bookmarks=notes)
    call = what if isinstance(what, Call) else None
    return Stepper(_traces=(_payload(what),), _call=call, bookmarks=notes)


def _payload(what: Call | Trace) -> Payload:
    if isinstance(what, Call):
        return Payload(what.trace, _title(what), _outcome(what), _what_if(what))
    if isinstance(what, Trace):
        return Payload(what, f"{what.image.key}: a trace of {len(what):,} steps")
    raise WrongType(
        f"{expected('a Call, a Trace or a Machine', what)}: "
        "stepper(m.call(...)), stepper(m.boot_trace) or stepper(m)"
    )


def _what_if(call: Call) -> dict | None:
    """What a reader can change of a call: registers, and variables with whether EL1 may write."""
    if call.another_machine is None or not 0 < len(call.trace) <= whatif.MOST_STEPS:
        return None
    return {
        "registers": {name: f"{value:x}" for name, value in whatif.registers(call).items()},
        "variables": [
            [known.label, f"{known.value:x}", known.writable, known.pa, known.size]
            for known in whatif.variables(call.trace)
        ],
    }


def _title(call: Call) -> str:
    args = ", ".join(f"{value:#x}" for value in call.args)
    return f"{call.whole_trace.image.key}: {call.what}({args})"


def _outcome(call: Call) -> str:
    if call.outcome == RETURNED:
        return f"The call returned: x0 = {call.x0:#x}."
    if call.outcome == RESTARTED:
        return f"{call.message[0].upper()}{call.message[1:]}."
    return f"The call {'ran away' if call.outcome == RUNAWAY else call.outcome}: {call.message}."


def _bookmarks(notes: Mapping[int, str] | None) -> dict[str, str]:
    if notes is None:
        return {}
    needs(Mapping, "bookmarks as a dict, {step: note}", notes)
    for step, note in notes.items():
        if not is_whole(step) or not 0 <= step < MOST_COUNTED:
            raise WrongValue(f"bookmarks: {expected('the number of a step, 0 or more', step)}")
        needs(str, "a text as the note of a bookmark", note)
    return {str(whole("step", step)): note for step, note in notes.items()}


class Stepper(anywidget.AnyWidget):
    """The view that stepper() makes.

    In a notebook it is an output that holds its own data and program, so that it can be stepped for
    as long as the notebook is kept. While the kernel that made it lives, the two are linked: step and
    bookmarks follow the reader; with a machine, variant, hypercall and args choose the call and may
    be linked to other widgets. close() ends that link and closes the machines that were made here.

    Attributes:
        call: the call that is shown, or of two the first; None for a bare trace.
    """

    _esm = front_end.script()
    _css = front_end.style()

    name = traitlets.Unicode().tag(sync=True)  # what an output finds its stepper by
    # Empty as long as what the output holds is what is shown.
    data = traitlets.Dict().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    bookmarks = traitlets.Dict().tag(sync=True)
    # Of a stepper with a machine:
    choices = traitlets.Dict().tag(sync=True)
    variant = traitlets.Unicode().tag(sync=True)
    hypercall = traitlets.Unicode().tag(sync=True)
    args = traitlets.Unicode().tag(sync=True)
    dispatcher = traitlets.Unicode().tag(sync=True)  # a learner's text, "" for the variant's own
    source = traitlets.Unicode().tag(sync=True)  # the variant's own text
    header = traitlets.Unicode().tag(sync=True)  # a learner's numbering, "" for the variant's own
    header_source = traitlets.Unicode().tag(sync=True)  # the variant's own, "" where it has none
    # Of the last edit: of ("dispatcher" or "header"), message and, where one is to blame, line and
    # column.
    error = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        *,
        _traces: tuple[Payload, ...] = (),
        _machine: Machine | LinuxMachine | None = None,
        _call: Call | None = None,
        bookmarks: dict[str, str],
    ) -> None:
        self._payloads: tuple[Payload, ...] = ()
        # Variant, dispatcher, header -> machine; of those made here the oldest are closed.
        self._machines: dict[tuple[str, str, str], Machine] = {}
        self._real: LinuxMachine | None = None  # in place of these
        self._made: list[tuple[str, str, str]] = []
        self._generation = 0
        self._shown = False  # whether the front end was given data that it may not show yet
        self.call = _call
        self._has_output = False  # whether a cell has shown it
        self._alone: tuple[Payload, ...] = ()  # what was shown before the question what if
        self._said = ""
        if len(_traces) == 2:
            aligned(*_traces)  # refuses before there is a widget
        super().__init__(name=uuid4().hex, bookmarks=bookmarks)
        self.on_msg(self._heard)
        if _machine is not None:
            self._start(_machine)
        else:
            self._set(_traces)
        self._shown = True
        _supersede(self)

    def close(self) -> None:
        """End the link with the front end and close the machines that were made here."""
        super().close()
        for key in self._made:
            self._machines[key].close()
        self._machines.clear()
        self._made.clear()

    # -- what is shown --

    def _set(self, payloads: tuple[Payload, ...]) -> None:
        self._payloads = payloads
        self._alone, self._said = (), ""
        self._generation += 1
        if self._shown:
            self._tell()

    def _tell(self) -> None:
        """Give the front end what is shown."""
        if len(self._payloads) == 2:
            data: dict[str, object] = self._both | {"sides": [p.data() for p in self._payloads]}
        elif self._payloads:
            data = self._payloads[0].data()
        else:
            data = {"waiting": WAITING}
        self.data = data | {"generation": self._generation}

    @traitlets.validate("step")
    def _sound_step(self, proposal: dict) -> int:
        if not 0 <= proposal["value"] < MOST_COUNTED:
            raise traitlets.TraitError(
                f"step: {expected('the number of a step, 0 or more', proposal['value'])}"
            )
        return proposal["value"]

    @traitlets.validate("bookmarks")
    def _sound_bookmarks(self, proposal: dict) -> dict:
        try:
            json.dumps(proposal["value"])
        except (TypeError, ValueError):  # what no message to the front end can hold
            raise traitlets.TraitError(
                f"bookmarks: {expected('texts by step', proposal['value'])}"
            ) from None
        return proposal["value"]

    @property
    def _rows(self) -> list[tuple[int | None, int | None]] | None:
        """The rows of a comparison; None where there is one trace."""
        return aligned(*self._payloads) if len(self._payloads) == 2 else None

    @property
    def _both(self) -> dict[str, object]:
        """What is said of a comparison as such: its rows, a remark, whether it answers what if."""
        return {"diff": self._rows, "note": self._said, "what_if": bool(self._alone)}

    def _heard(self, _widget: object, message: dict, _buffers: list) -> None:
        """A message from the front end; what goes wrong is told there, not in a log."""
        kind = message.get("type") if isinstance(message, dict) else None
        try:
            if kind == "chunk":
                self._send_chunk(message)
            elif kind == "data":
                self._tell()
            elif kind == "origin":
                self._answer(message)
            elif kind == "if":
                self._ask(message)
            elif kind == "keep":
                self._rewrite()
            elif kind == "back":
                self.back()
            elif kind == "run" and message.get("beside"):
                self.run_beside(str(message.get("args", self.args)))
            elif kind == "run":
                self.run()
            elif kind == "edit":
                edit = self.renumber if message.get("of") == "header" else self.assemble
                edit(str(message.get("text", "")))
            elif kind == "editor":
                self.send({"type": "editor", "names": editor.names()}, [editor.bundle()])
        except Exception as error:
            pass_on(error)
            self.status = f"Error: {error}"
        finally:
            if kind not in ("chunk", "data", "origin", "if", "editor", "keep"):
                self.send({"type": "done"})

    def _send_chunk(self, message: dict) -> None:
        answer = {"number": message["number"], "generation": message["generation"]}
        if message["generation"] != self._generation:
            return
        try:
            chunk = self._payloads[0].chunk(int(message["number"]))
        except Exception as error:
            pass_on(error)
            self.send({"type": "error", "error": str(error), **answer})
        else:
            self.send({"type": "chunk", **answer}, [chunk])

    def _answer(self, message: dict) -> None:
        """Tell the front end where a value came from, for a trace too long to tell all before."""
        head = {"number": message["number"], "generation": message["generation"]}
        if message["generation"] != self._generation:
            return
        try:
            trace = self._payloads[0].trace
            found = origins.told(trace, str(message["name"]), int(message["step"]))
        except Exception as error:
            pass_on(error)
            self.send({"type": "error", "error": str(error), **head})
        else:
            self.send({"type": "origin", **head, **found})

    # -- what if --

    def _ask(self, message: dict) -> None:
        head = {"number": message["number"], "generation": message["generation"]}
        try:
            changes = {str(name): str(wish) for name, wish in message["changes"].items()}
            self.what_if(changes, message.get("at"))
        except Exception as error:
            self.send({"type": "error", "error": str(error), **head})

    def what_if(self, changes: Mapping[str, int | str], at: int | None = None) -> Call:
        """Make the call again with something changed, and show both side by side.

        Args:
            changes: x0 to x6, or a variable of the host's (a label, "label+0x10", an address) -> a
                number, or the name of what it shall point to. {"x1": 5, "kimage_voffset": 0}.
            at: the step before which it is changed, and from which the call goes on; there it may
                be any of x0 to x30 or sp as well. None: before the call.

        Returns:
            The changed call; back() shows the one from before again.

        Raises:
            KeyError, TypeError, ValueError: no such register, label, value or step, or no call
                to change.
            MachineError: EL1 cannot write there.
        """
        if self.call is None:
            raise WrongValue("what_if: expected a stepper of a call; this one shows none")
        found = whatif.again(self.call, changes, at)
        before, after = _payload(found.before), _payload(found.after)
        after.title = f"{before.title} if {found.title}"
        aligned(before, after)  # refuses two that are too long
        alone = self._alone or self._payloads
        self._payloads = (before, after)
        self._generation += 1
        self._alone = alone
        self._said = "; ".join(found.notes)
        self._tell()
        return found.after

    def back(self) -> None:
        """Show again what was shown before the question what if."""
        if self._alone:
            self._set(self._alone)

    # -- with a machine --

    def _start_real(self, machine: LinuxMachine) -> None:
        """Let calls of a real kernel be chosen: it has no variants, and its text is not edited."""
        self._real = machine
        key = machine.image.key
        self.choices = {
            "variants": [[key, f"Linux {machine.kernel.release}"]],
            "hypercalls": [*([name, name] for name in machine.calls), ["hvc", "raw HVC: x0, ..."]],
            "edits": False,
        }
        known = [name for name in machine.calls if name == HYPERCALLS[2]] or list(machine.calls)
        self.variant, self.hypercall, self.args = key, known[0], "0x1234"
        if machine.stopped:
            self._set(())
        else:
            self.run()
        self.observe(self._chosen, ["variant", "hypercall", "args"])

    def _start(self, machine: Machine | LinuxMachine) -> None:
        if isinstance(machine, LinuxMachine):
            self._start_real(machine)
            return
        program = machine.image.dispatcher
        own = "" if program.name != "dispatcher" else program.source
        self._seed, self._budget = machine.seed, machine.budget
        # A header may have a second file, the list; it goes with every header that is edited here.
        self._files = dict(machine.header.files) if machine.header else {}
        header = self._files.get(NUMBERS, "")
        self._machines[machine.key, own, header] = machine
        self.choices = {
            "variants": [
                [key, variant.title if variant.title.startswith(key) else f"{key}: {variant.title}"]
                for key, variant in VARIANTS.items()
            ],
            "hypercalls": [*([name, name] for name in HYPERCALLS), ["hvc", "raw HVC: x0, x1, ..."]],
        }
        self.variant, self.hypercall, self.args = machine.key, HYPERCALLS[2], "0x1234"
        self._take_sources(machine.key)
        self.dispatcher, self.header = own, header
        if machine.stopped:
            self._set(())
        else:
            self.run()
        self.observe(self._chosen, ["variant", "hypercall", "args"])

    def _take_sources(self, key: str) -> None:
        """Start from a variant's own texts: the learner's were written for another's."""
        self.dispatcher, self.header, self.error = "", "", {}
        self.source = load(key, Layout.from_seed(self._seed)).dispatcher.source
        self.header_source = own_header(key)

    def _chosen(self, change: dict) -> None:
        try:
            if change["name"] == "variant" and self._real is not None:
                if change["new"] != self._real.image.key:
                    self.status = f"Error: this stepper has {self._real.image.key} only"
                    return
            elif change["name"] == "variant":
                if change["new"] not in VARIANTS:
                    self.status = (
                        f"Error: no variant {change['new']!r}; there are: {', '.join(VARIANTS)}"
                    )
                    return
                self._take_sources(change["new"])
            if change["name"] == "hypercall":
                # What one call takes is wrong for another: start from what it declares.
                usual = usual_args(change["new"], self._real)
                if usual != self.args:
                    self.args = usual  # which makes the call
                    return
            self.run()
        finally:
            self.send({"type": "done"})

    def run(self) -> None:
        """Make the chosen call and show it; what goes wrong is said in `status`."""
        if payload := self._called():
            self._set((payload,))

    def run_beside(self, args: str) -> None:
        """Ask what if: make the chosen call with other arguments, and show it beside the last one."""
        needs(str, "arguments as a text, such as '0x1234, vcpu0'", args)
        last = self._payloads[-1:]
        if args != self.args:
            with self.hold_trait_notifications():
                self.unobserve(self._chosen, "args")
                self.args = args
            self.observe(self._chosen, "args")
        payload = self._called()
        if payload is None:
            return
        for before in last:
            aligned(before, payload)  # refuses two that are too long
        self._set((*last, payload))

    def _called(self) -> Payload | None:
        """Make the chosen call; None where it went wrong, which `status` then says."""
        try:
            machine = self._machine(self.dispatcher, self.header)
            said = ""
            if machine.stopped:
                machine.reboot()
                said = "The machine had stopped and was started again. "
            values = parse_args(self.args)
            # A real kernel's call takes no names of structures, and says so.
            if self.hypercall == "hvc":
                call = machine.hvc(*values)  # type: ignore[arg-type]
            else:
                call = machine.call(self.hypercall, *values)  # type: ignore[arg-type]
        except (AsmError, MachineError, KeyError, ValueError, TypeError) as error:
            self.status = f"Error: {error.args[0] if error.args else error}"
            return None
        self.call, self.step = call, 0
        header = None if isinstance(machine, LinuxMachine) else machine.header
        warnings = header.warnings if header else ()
        self.status = " ".join([said + _outcome(call), *(f"Warning: {text}." for text in warnings)])
        return _payload(call)

    def assemble(self, text: str) -> None:
        """Take a learner's dispatcher: assemble it, then run the chosen call on it."""
        needs(str, "the text of a dispatcher", text)
        own = "" if text.strip() in ("", self.source.strip()) else text
        if self._taken("dispatcher", own, self.header):
            self.dispatcher = own
            self.run()

    def renumber(self, text: str) -> None:
        """Take a learner's numbering header: compile it, then run the chosen call with it."""
        needs(str, "the text of a header", text)
        own = "" if text.strip() in ("", self.header_source.strip()) else text
        if self._taken("header", self.dispatcher, own):
            self.header = own
            self.run()

    def _taken(self, edited: str, dispatcher: str, header: str) -> bool:
        """Whether there is a machine with these texts; else `error` and `status` say why not."""
        wrong: dict[str, object] = {}
        try:
            self._machine(dispatcher, header)
        except AsmError as error:
            if error.name == "dispatcher":
                wrong = {
                    "of": "dispatcher",
                    "message": error.message,
                    "line": error.line,
                    "column": error.column,
                }
            else:  # a number of the header that an instruction of the kit cannot hold
                wrong = {
                    "of": edited,
                    "message": f"{error.name}, {error.text.strip()!r}: {error.message}",
                }
        except HeaderError as error:
            wrong = {"of": "header", "message": error.message}
            if error.file == NUMBERS and error.line:
                wrong["line"] = error.line
            elif error.file != NUMBERS:
                wrong["message"] = f"{error.file}, line {error.line}: {error.message}"
        except (MachineError, ValueError) as error:
            wrong = {"of": edited, "message": str(error)}
        self.error = wrong
        if wrong:
            self.status = (
                f"Error: this {wrong['of']} was not taken; what is shown is the call from before."
            )
        return not wrong

    def _machine(self, dispatcher: str, header: str) -> Machine | LinuxMachine:
        if self._real is not None:
            if dispatcher or header:
                raise WrongValue("a real kernel is stepped as it is: it takes no text of yours")
            return self._real
        key = self.variant, dispatcher, header
        if key not in self._machines:
            machine = Machine(
                self.variant,
                seed=self._seed,
                budget=self._budget,
                dispatcher=dispatcher or None,
                header=self._files | {NUMBERS: header} if header else None,
            )
            self._machines[key] = machine
            self._made.append(key)
            if len(self._made) > KEPT_MACHINES:
                self._machines.pop(self._made.pop(0)).close()
        return self._machines[key]

    # -- other forms --

    def to_html(self, path: str | Path | None = None) -> str:
        """Return one self-contained page that steps without network and kernel.

        A link to the page may end in #step=35. Notes that a reader writes stay in the browser.

        Args:
            path: where to write it as well.

        Raises:
            ValueError: no call has been made yet, or a trace has more than 100,000 steps.
        """
        if path is not None:
            needs((str, PathLike), "a path", path)
        if not self._payloads:
            raise WrongValue("no call has been made yet: nothing to write")
        page = standalone.page(self._title, self._embedded(whole=True), self._table())
        if path is not None:
            standalone.write(page, path)
        return page

    def _embedded(self, whole: bool) -> dict:
        """What an output (of a long trace, its first chunk) or a file holds."""
        if len(self._payloads) == 2:
            data: dict = self._both | {"sides": [p.inline() for p in self._payloads]}
        elif self._payloads:
            data = self._payloads[0].inline(whole=whole)
        else:
            data = {"waiting": WAITING}
        data["digest"] = sha256(json.dumps(data).encode()).hexdigest()[:16]
        data["bookmarks"], data["step"] = self.bookmarks, self.step
        return data

    @property
    def _title(self) -> str:
        return " | ".join(payload.title for payload in self._payloads) or "hypkit stepper"

    def to_table(self) -> str:
        """Return the road and the steps as plain HTML, for print, GitHub and other places."""
        return self._table()

    def _table(self) -> str:
        return static(self._payloads, self._rows) or f"<p>{html.escape(WAITING)}</p>"

    def _output(self) -> str:
        """The output of a cell: the plain form, and the data and program that replace it."""
        data = self._embedded(whole=False)
        data |= {"generation": self._generation, "machine": bool(self.choices)}
        return (
            f'<div class="hypkit-stepper" data-stepper="{self.name}" '
            f'data-version="{front_end.digest()}">\n'
            f'<div class="hypkit-static">{self._table()}</div>\n'
            f'<script type="text/plain" class="hypkit-pack">{front_end.packed(data)}</script>\n'
            f"<script>{front_end.BOOT}</script></div>"
        )

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict, dict]:
        """The output of a cell. No widget among it: one without its kernel is an error to see."""
        return {"text/plain": repr(self), "text/html": self._output()}, {}

    def _ipython_display_(self) -> None:
        """Show the stepper as a display that can be written anew, with the notes of its reader."""
        self._has_output = True
        bundle, metadata = self._repr_mimebundle_()
        display(bundle, metadata=metadata, raw=True, display_id=self.name)

    def _rewrite(self) -> None:
        """Write the output anew: what a reader noted is saved with the notebook."""
        if self._has_output:
            bundle, metadata = self._repr_mimebundle_()
            update_display(bundle, metadata=metadata, raw=True, display_id=self.name)

    def __repr__(self) -> str:
        if not self._payloads:
            return f"Stepper({self.variant!r}: no call yet)"
        inside = " | ".join(f"{payload.title}, {len(payload)} steps" for payload in self._payloads)
        return f"Stepper({inside})"


def aligned(left: Payload, right: Payload) -> list[tuple[int | None, int | None]]:
    """Return the rows of a comparison: a step of each, or None where only the other has one."""
    a, b = left.trace, right.trace
    if len(a) + len(b) > DIFF_ROWS:
        raise WrongValue(
            f"two traces of {len(a):,} and {len(b):,} steps are too long to stand side by side; "
            f"together they may have {DIFF_ROWS:,}. Cut them, trace[a:b]"
        )
    return a.diff(b).rows


# The steppers that a notebook's cells have made: cell -> the run of it, and its steppers.
_made_by: dict[str, tuple[str, list[weakref.ref[Stepper]]]] = {}


def _supersede(made: Stepper) -> None:
    """Close what an earlier run of this cell made: nothing on the page shows it any more."""
    cell, run = _where()
    if not cell:
        return
    before, steppers = _made_by.get(cell, ("", []))
    if before != run:
        for old in steppers:
            if (stepper := old()) is not None:
                stepper.close()
        steppers = []
    _made_by[cell] = run, [*steppers, weakref.ref(made)]


def _where() -> tuple[str, str]:
    """The cell that runs, and this run of it; two empty strings outside of a notebook."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return "", ""
    parent = kernel.get_parent("shell")
    return parent.get("metadata", {}).get("cellId", ""), parent.get("header", {}).get("msg_id", "")
