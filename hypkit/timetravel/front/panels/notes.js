// The reader's bookmarks, each with a note.

import { h, table } from "../dom.js";

/** @type {import("./index.js").Panel} */
export const notesPanel = { key: "notes", letter: "k", name: "Notes", says: "Bookmarks and notes",
                            nodes: notesNodes };

function notesNodes(view) {
  const { reel } = view;
  const rows = Object.entries(view.bookmarks).sort(([a], [b]) => Number(a) - Number(b)).map(
    ([step, note]) => [
      Number(step) <= reel.steps
        ? h("button", { type: "button", class: "hk-who", onclick: view.on(() => view.go(Number(step))) },
            `step ${step}`) : `step ${step}, beyond the end`,
      h("input", { type: "text", value: note, "data-step": step, "aria-label": `Note on step ${step}`,
        placeholder: "a note …", oninput: view.on((event) => {
          view.bookmarks[step] = event.target.value;
          view.keep();
        }) }),
      h("button", { type: "button", "aria-label": `Remove the bookmark of step ${step}`, title: "Remove",
        onclick: view.on(() => {
          delete view.bookmarks[step];
          view.keep();
          view.showPanel();
        }) }, "✕")]);
  return [rows.length ? table("Bookmarks", ["Step", "Note", "Remove"], rows, "hk-notes")
    : h("p", {}, "No bookmark yet: m, or the button ★, keeps the current step."),
    view.options.keeps ? h("p", { class: "hk-hint" }, view.options.keeps()) : "",
    view.options.copy ? h("p", {}, h("button", { type: "button",
      onclick: view.on(() => view.options.copy({ ...view.bookmarks }, view.step)) }, "Save a copy of this page with the notes")) : ""];
}
