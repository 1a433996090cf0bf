// The registers before and after a step: those of the step first, those that never change folded.

import { h, keyed } from "./dom.js";
import { explained, writer } from "./values.js";

export class Registers {
  /** @param {any} view */
  constructor(view) {
    const { reel } = view;
    this.view = view;
    this.written = new Set(reel.meta.written);
    this.named = new Set(["sp", "x0", ...reel.rows.flatMap((row) => (row.runs ? [...row.reads, ...row.writes] : []))]);
    this.all = false;
    this.body = h("tbody");
    this.fold = h("button", { type: "button", class: "hk-fold", "aria-expanded": "false",
      onclick: view.on(() => this.toggle()) });
    this.scrolled = false; // asking the element would lay the page out once more at every step
    this.root = h("div", { class: "hk-registers", role: "region", "aria-label": "Registers", tabindex: 0,
      onscroll: () => { this.scrolled = true; } },
      h("table", { class: "hk-fixed" },
        h("caption", {}, "Registers before and after this instruction"),
        h("thead", {}, h("tr", {}, [["Name", "Name"], ["Before → after", "Value before, and after an arrow the value after"],
          ["Written", "The step that wrote it last, and to the next write"]].map(
          ([text, title]) => h("th", { scope: "col", title }, text)))), this.body), this.fold);
  }

  toggle() {
    this.all = !this.all;
    this.fold.setAttribute("aria-expanded", String(this.all));
    this.show();
  }

  show() {
    const { view } = this;
    const { reel, step } = view;
    const changed = new Set(reel.changed(step));
    const row = step < reel.steps ? reel.row(step) : { reads: [], writes: [] };
    const [reads, writes] = [new Set(row.reads), new Set(row.writes)];
    const mine = (name) => changed.has(name) || writes.has(name) || reads.has(name);
    const level = reel.level(step);
    const names = reel.meta.registers.filter((name) => name !== "pstate");
    const first = names.filter(mine);
    const rest = names.filter((name) => !mine(name));
    const often = rest.filter((name) => this.written.has(name) || this.named.has(name));
    const never = rest.filter((name) => !this.written.has(name) && !this.named.has(name));
    this.fold.hidden = !never.length;
    this.fold.title = "Registers that no instruction of this trace names or changes";
    this.fold.textContent = `${this.all ? "▾" : "▸"} ${never.length} registers are not touched`;
    keyed(this.body, [...first, ...often, ...(this.all ? never : [])].map((name) => {
      const before = reel.register(name, step);
      const after = changed.has(name) ? reel.registerAfter(name, step) : null;
      const last = reel.lastWrite(name, step);
      const role = (reads.has(name) ? "r" : "") + (writes.has(name) || changed.has(name) ? "w" : "");
      return [name, `${before} ${after} ${last} ${level} ${role}`, () => this.row(name, before, after, last, role)];
    }));
    if (first.length && this.scrolled) {
      this.root.scrollTop = 0;
      this.scrolled = false;
    }
  }

  row(name, before, after, last, role) {
    const { view } = this;
    const says = { r: "reads", w: "writes", rw: "reads and writes" }[role];
    return h("tr", { class: [after === null ? "" : "hk-changed", role ? "hk-mine" : ""].join(" ").trim() },
      h("th", { scope: "row", title: says ? `This instruction ${says} ${name}` : null },
        h("button", { type: "button", class: "hk-name", "aria-label": `${name}${says ? `, which this instruction ${says}` : ""}: where does its value come from?`,
          onclick: view.on(() => view.whence(name)) }, (after === null ? "" : "● ") + name),
        role ? h("span", { class: "hk-role", "aria-hidden": "true" }, role) : null),
      h("td", {}, explained(view, before),
        after === null ? null : h("div", { class: "hk-new" }, explained(view, after, "→ "))),
      h("td", { class: "hk-times" }, h("span", { class: "hk-last" }, writer(view, name, last)),
        this.written.has(name) ? h("button", { type: "button", class: "hk-who", "aria-label": `To the next write of ${name}`,
          title: `To the next write of ${name}`, onclick: view.on(() => view.whoWrites(name)) }, "▸") : h("span", { class: "hk-none" })));
  }
}
