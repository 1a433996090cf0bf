"""A table whose cells open steppers beneath it, as the output of a notebook's cell."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from hashlib import sha256

import anywidget
import traitlets

from hypkit.timetravel.widget import Stepper

# Links an output to its kernel's side by name, and puts in what the kernel sends.
_MODULE = """
export default {
  initialize({ model }) {
    const name = model.get("name");
    const all = (globalThis.hypkitOpeners ??= new Map());
    all.set(name, model);
    model.on("msg:custom", (message) => {
      for (const home of document.querySelectorAll(`[data-opener="${name}"]`)) {
        const place = home.querySelector(".hypkit-opened");
        home.querySelector(".hypkit-said").textContent = message.said;
        place.innerHTML = message.html;
        for (const dead of place.querySelectorAll("script:not([type])")) {
          const alive = document.createElement("script");
          alive.textContent = dead.textContent;
          dead.replaceWith(alive);
        }
      }
    });
    return () => all.get(name) === model && all.delete(name);
  },
};
"""
# In the output itself: a click asks the kernel, or says what to type where there is none.
_CLICKS = """(() => {
  const home = document.currentScript.closest(".hypkit-opener");
  home.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-opens]");
    if (!button) return;
    const said = home.querySelector(".hypkit-said");
    const model = globalThis.hypkitOpeners?.get(home.dataset.opener);
    if (model) {
      said.textContent = "Opening " + button.dataset.opens + " ...";
      model.send({ open: button.dataset.opens });
    } else {
      said.textContent = "No kernel is here to make the call: " + button.title;
    }
  });
})();"""
_LOOK = (
    "font: inherit; font-family: monospace; color: inherit; background: none; cursor: pointer; "
    "border: 1px solid currentColor; border-radius: 3px; padding: 1px 4px; margin-top: 2px"
)


def button(key: str, text: str, instead: str) -> str:
    """Return a button for a table's cell.

    Args:
        key: what it opens.
        text: what is on it.
        instead: what to type where no kernel is there.
    """
    return (
        f'<button type="button" data-opens="{html.escape(key, quote=True)}" '
        f'title="{html.escape(instead, quote=True)}" style="{_LOOK}">{html.escape(text)}</button>'
    )


class Opener(anywidget.AnyWidget):
    """The kernel's side of such a table.

    Args:
        table: the table, with button(...) in its cells.
        steppers: key -> what makes the stepper.
    """

    _esm = _MODULE
    name = traitlets.Unicode().tag(sync=True)

    def __init__(self, table: str, steppers: Mapping[str, Callable[[], Stepper]]) -> None:
        super().__init__(name=sha256(table.encode()).hexdigest()[:12])
        self._table, self._steppers = table, dict(steppers)
        self.opened: Stepper | None = None
        self.on_msg(self._heard)

    def _heard(self, _widget: object, message: object, _buffers: object) -> None:
        key = message.get("open") if isinstance(message, dict) else None
        if key not in self._steppers:
            return
        try:
            stepper = self._steppers[key]()
        except Exception as error:  # in the output, where the click was, and not in a log
            self.send({"said": f"Error: {error}", "html": ""})
            return
        if self.opened is not None:
            self.opened.close()
        self.opened = stepper
        self.send({"said": f"{key}:", "html": stepper._output()})

    def output(self) -> str:
        """Return the HTML of a cell's output."""
        return (
            f'<div class="hypkit-opener" data-opener="{self.name}">\n{self._table}\n'
            '<p class="hypkit-said" role="status"></p><div class="hypkit-opened"></div>\n'
            f"<script>{_CLICKS}</script></div>"
        )
