"""The workbench on a page: what a kernel-less reader sees, and the editor that lives with the kernel.

Two outputs. The first is static and is kept up to date, so that a saved notebook has the last text and
its verdict. The second is empty until the page hears of the widget's model; then it is the workbench,
and hides the first. The editor's program is asked of the kernel, and is in no saved notebook.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from uuid import uuid4

import anywidget
import traitlets
from IPython.display import DisplayHandle, display

from hypkit.errors import pass_on
from hypkit.lessons.workbench.benches import ASM, C
from hypkit.lessons.workbench.measure import WORDS
from hypkit.lessons.workbench.model import Workbench
from hypkit.lessons.workbench.static import pictures, plain, static, working
from hypkit.pictures.picture import Picture
from hypkit.timetravel import editor, front_end
from hypkit.timetravel.payload import Payload

FRONT = Path(__file__).with_name("front")
# What was typed in this kernel, by exercise: a cell that is run again makes a new workbench, and what a
# learner wrote must not be lost by that.
_typed: dict[str, dict[str, str]] = {}
LONG = 20_000  # steps of a failing call that are sent to the page

# The place of a workbench says that it is there; the program, when it comes, finds it.
PLACE = """(() => {
  const home = document.currentScript.closest(".hypkit-bench");
  const bench = ((globalThis.hypkitBenches ??= {})[home.dataset.stepper] ??= { homes: [] });
  bench.homes.push(home);
  bench.arrive?.(home);
})();"""


@cache
def script() -> str:
    """Return the front end of the workbench, with the stepper's modules that it uses, as one."""
    return front_end.joined(FRONT / "workbench.js")


@cache
def style() -> str:
    """Return the style sheet: the stepper's, and the workbench's own."""
    return front_end.style() + (FRONT / "workbench.css").read_text(encoding="utf-8")


class View(anywidget.AnyWidget):
    """One display of a workbench: it tells the page what the workbench says, and the other way."""

    _esm = script()
    _css = style()

    name = traitlets.Unicode().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._by = bench, ""
        self._handle: DisplayHandle | None = None
        super().__init__(name=uuid4().hex, state=state_of(bench, ""))
        self.on_msg(self._heard)
        bench.changed(self._tell)

    def show(self) -> None:
        """Display both outputs."""
        self._handle = display(self._shown(), raw=True, display_id=True)
        place = f'<div class="hypkit-bench" data-stepper="{self.name}">'
        html = f"{place}<script>{PLACE}</script></div>"
        display({"text/plain": "", "text/html": html}, raw=True)

    def _shown(self) -> dict[str, str]:
        return {"text/plain": plain(self._bench), "text/html": self._static()}

    def _static(self) -> str:
        return (
            f'<div class="hypkit-static" data-stepper="{self.name}">\n{static(self._bench)}\n</div>'
        )

    def _tell(self) -> None:
        self.state = state_of(self._bench, self._by)
        if self._handle is not None:
            self._handle.update(self._shown(), raw=True)

    def _heard(self, _widget: object, message: dict, _buffers: list) -> None:
        """A message from the page; what goes wrong is told there, not in a log."""
        kind = message.get("type") if isinstance(message, dict) else None
        done: dict[str, object] = {"type": "done"}
        try:
            if kind == "editor":
                self.send({"type": "editor", "names": editor.names()}, [editor.bundle()])
                return
            files = message.get("files")
            self._by = str(message.get("by", ""))
            if kind in ("edit", "run") and isinstance(files, Mapping):
                self._bench.text = files
                _typed[self._bench.number] = self._bench.files
            if kind == "run":
                self._bench.run()
            elif kind == "step":
                self._send_trace()
        except Exception as error:
            pass_on(error)
            done["error"] = str(error)
        finally:
            self._by = ""
            if kind != "editor":
                self.send(done)

    def _send_trace(self) -> None:
        if self._bench.shown is None:
            return
        call, step = self._bench.shown
        trace = call.trace[:LONG]
        args = ", ".join(f"{value:#x}" for value in call.args)
        ended = f"x0 = {call.x0:#x}" if call.x0 is not None else call.message
        payload = Payload(trace, f"{trace.image.key}: {call.what}({args})", f"{ended}.")
        self.send({"type": "trace", "data": payload.inline(), "step": min(step, len(trace))})


def state_of(bench: Workbench, by: str) -> dict[str, object]:
    """Return everything that the page shows of a workbench. by: which page's word it answers."""
    measured, verdict = bench.measured, bench.verdict
    mistake = measured.mistake
    return {
        "by": by,
        "number": bench.number,
        "title": bench.title,
        "doing": bench.bench.doing,
        "language": ASM if bench.bench.language == ASM else C,
        "files": bench.files,
        "seed": dict(bench.bench.files),
        "mistake": None
        if mistake is None
        else {
            "file": mistake.file,
            "line": mistake.line,
            "column": mistake.column,
            "message": mistake.message,
        },
        "verdict": None
        if verdict is None
        else {"passed": verdict.passed, "kind": verdict.kind, "sentence": verdict.sentence},
        "step": ""
        if bench.shown is None
        else "Step the failing call"
        if bench.failing
        else "Step a call",
        "counts": [[WORDS[name], value, most] for name, value, most in bench.rows()],
        "working": working(bench),
        "numbers": [[name, f"{number:#x}"] for name, number in measured.numbers.items()],
        "pictures": [_picture(name, picture) for name, picture in pictures(bench)],
    }


def _picture(name: str, picture: Picture) -> dict[str, object]:
    return {
        "name": name,
        "alt": picture.alt,
        "svg": base64.b64encode(picture.svg.encode()).decode(),
        "width": picture.width,
        "heads": picture.heads,
        "rows": picture.rows,
    }


def show(bench: Workbench) -> None:
    """Show a workbench in the notebook whose cell runs, with what was typed into it here before."""
    if bench.files == dict(bench.bench.files) and bench.number in _typed:
        bench.text = _typed[bench.number]
    View(bench).show()
