// The row of buttons above the code: one stop of the Tab key, arrows move within.

import { focused, h } from "./dom.js";

/** [text, keys, name, what it does] in groups; `do` gives the view's action. */
const BUTTONS = [
  [["|◀", "s Home", "Start", "To the start"], ["◀", "p ArrowLeft", "Previous", "One step back"],
   ["▶", "n ArrowRight", "Next", "One step on"], ["▶|", "z End", "End", "To the end"]],
  [["Over", "o", "Over", "To where this call comes back"],
   ["Out", "u", "Out", "To after the return of this function"],
   ["EL ⇅", "e", "Next exception level", "To the next change of exception level; E: to the one before"]],
  [["↤ ●", "R", "Run back", "Back to a breakpoint"], ["● ↦", "r", "Run on", "On to a breakpoint"],
   ["★", "m", "Bookmark", "Bookmark this step"]],
];

/**
 * @param {any} view
 * @param {(key: string) => (() => any)} action what a key does
 * @returns {any} the toolbar
 */
export function toolbar(view, action) {
  const buttons = [];
  const make = ([text, keys, name, says]) => {
    const key = keys.split(" ")[0];
    const node = h("button", { type: "button", tabindex: buttons.length ? -1 : 0, "aria-label": name,
      "aria-keyshortcuts": keys, title: `${name}: ${says} (key ${key})`,
      onclick: view.on((event) => {
        rove(node);
        // A press with the mouse leaves the keys to the view.
        if (event.detail) view.root.focus({ preventScroll: true });
        return action(key)();
      }) }, text);
    buttons.push(node);
    return node;
  };
  const rove = (node) => buttons.forEach((other) => { other.tabIndex = other === node ? 0 : -1; });
  const bar = h("div", { class: "hk-bar", role: "toolbar", "aria-label": "Moving through the trace" },
    BUTTONS.map((group) => h("span", { class: "hk-group" }, group.map(make))));
  bar.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(focused(bar));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const next = buttons[(to + buttons.length) % buttons.length];
    rove(next);
    next.focus();
  });
  return bar;
}
