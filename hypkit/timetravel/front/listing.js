// The code on the way of a trace, built once; a line is marked as the reader comes to it.

import { h } from "./dom.js";
import { hex } from "./format.js";

export class Listing {
  /** @param {any} view */
  constructor(view) {
    this.view = view;
    /** @type {{line: any, dot: any, explained?: number}[]} */
    this.lines = [];
    /** @type {Map<number, number> | null} line -> the first step that runs it */
    this.first = null;
    /** @type {{line: any, dot: any}[]} */
    this.marked = [];
    this.root = h("div", { class: "hk-code", role: "region", "aria-label": "Code",
      onscroll: () => { this.scrolled = this.root.scrollTop; } }, this.table());
    // Kept, because asking for them would lay the page out once more at every step.
    /** @type {number[] | null} where each line begins */
    this.tops = null;
    this.scrolled = 0;
    new ResizeObserver(() => { this.tops = null; }).observe(this.root);
  }

  table() {
    const { reel } = this.view;
    const body = h("tbody");
    reel.rows.forEach((row, at) => {
      if (row.label || at === 0 || row.va !== reel.rows[at - 1].va + 4n) {
        const name = row.label || reel.addresses.symbolize(row.va) || "no label";
        body.append(h("tr", { class: "hk-label" }, h("th", { colspan: 4, scope: "colgroup" }, `${name}:`)));
      }
      if (row.story) {
        body.append(h("tr", { class: "hk-story" }, h("td", { colspan: 4, title: row.story }, row.story)));
      }
      body.append(this.line(row, at));
    });
    body.addEventListener("keydown", this.view.on((event) => this.key(event)));
    body.addEventListener("pointerover", (event) => {
      const { at } = /** @type {any} */ (event.target).closest("tr")?.dataset ?? {};
      if (at !== undefined) this.explain(Number(at));
      this.kin(event);
    });
    body.addEventListener("pointerleave", () => this.kin(null));
    return h("table", { class: "hk-listing" }, h("caption", {}, "Code on the way of this call"),
      h("colgroup", {}, ["gutter", "code", "source", "count"].map((part) => h("col", { class: `hk-col-${part}` }))),
      h("thead", {}, h("tr", {}, ["Now", "Instruction", "In our source", "Runs"].map(
        (text) => h("th", { scope: "col" }, text)))), body);
  }

  line(row, at) {
    const { view } = this;
    const place = `${row.text}, at ${view.reel.addresses.symbolize(row.va) ?? hex(row.va)}`;
    const dot = h("button", { type: "button", class: "hk-dot", tabindex: -1, "aria-pressed": "false",
      "aria-label": `Breakpoint on ${place}`, title: "Breakpoint: Run on and Run back stop here",
      onclick: view.on(() => view.toggleBreak(at)) });
    // All three stand there, unseen: to write one would have the whole table laid out at every step.
    const now = h("span", { class: "hk-arrow" }, h("i", { class: "hk-is-now" }, "▶"), h("i", { class: "hk-is-taken" }, "↪"), h("i", { class: "hk-is-below" }, "↓"));
    const times = `${row.runs} time${row.runs === 1 ? "" : "s"}`;
    const runs = h("button", { type: "button", class: "hk-runs", tabindex: -1, disabled: !row.runs,
      "aria-label": row.runs ? `Runs ${times}: to the next run of ${place}` : `Not run: ${place}`,
      title: row.runs ? `Runs ${times}: mark them on the strip, and go to the next` : "Not run in this trace",
      onclick: view.on(() => view.nextRun(at)) }, row.runs ? `${row.runs}×` : "–");
    const where = `${row.file}:${row.line}`;
    const line = h("tr", { class: row.runs ? "" : "hk-unrun", "data-from": where, "data-at": at },
      h("td", { class: "hk-gutter" }, dot, now),
      h("td", { class: "hk-text", title: `${hex(row.va)}  ${row.word}  ${row.text}` }, row.text),
      h("td", { class: "hk-comment", title: `${where}  ${row.comment}` }, row.comment),
      h("td", { class: "hk-count" }, runs));
    line.addEventListener("click", view.on((event) => {
      if (event.target.closest("button") || String(document.getSelection())) return undefined;
      view.root.focus({ preventScroll: true });
      return view.nextRun(at);
    }));
    this.lines.push({ line, dot });
    return line;
  }

  /** What an instruction does, in words, where it ran: asked for when the pointer is on its line. */
  explain(at) {
    const { reel, step } = this.view;
    const row = this.lines[at];
    if (row.explained === step) return;
    row.explained = step;
    const { va, word, text, file, line, comment } = reel.rows[at];
    this.first ??= firstRuns(reel);
    const ran = step < reel.steps && reel.site(step).row === at ? step : this.first.get(at);
    const says = ran === undefined ? "Not run in this trace." : `Step ${ran}: ${reel.sentence(ran)}`;
    row.line.querySelector(".hk-text").title = [`${hex(va)}  ${word}  ${text}`, says, `${file}:${line}  ${comment}`].join("\n");
  }

  /** Mark every instruction that the source line under the pointer became. */
  kin(event) {
    const from = event?.target.closest("tr")?.dataset.from;
    if (from === this.from) return;
    this.from = from;
    for (const { line } of this.lines) line.classList.toggle("hk-kin", line.dataset.from === from);
  }

  key(event) {
    const { view } = this;
    const at = this.lines.findIndex(({ line }) => line.contains(event.target));
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return undefined;
    if (by) {
      event.preventDefault();
      event.stopPropagation();
      const next = Math.max(0, Math.min(this.lines.length - 1, at + by));
      this.rove(next);
      this.lines[next].dot.focus();
    } else if (event.key === "b" || event.key === "j") {
      event.stopPropagation();
      return event.key === "b" ? view.toggleBreak(at) : view.nextRun(at);
    }
    return undefined;
  }

  /** Only one line of the listing is a stop of the Tab key. */
  rove(at) {
    if (this.stop !== undefined) this.lines[this.stop].dot.tabIndex = -1;
    this.lines[at].dot.tabIndex = 0;
    this.stop = at;
  }

  showBreak(at, on) {
    const { line, dot } = this.lines[at];
    dot.setAttribute("aria-pressed", String(on));
    line.classList.toggle("hk-break", on);
  }

  /** Mark the line of a step and the one that comes next. */
  show(step) {
    const { reel } = this.view;
    for (const { line } of this.marked) {
      line.classList.remove("hk-current", "hk-next", "hk-taken");
      line.removeAttribute("aria-current");
    }
    this.marked = [];
    if (step >= reel.steps) return;
    const at = reel.site(step).row;
    const current = this.lines[at];
    current.line.classList.add("hk-current");
    current.line.setAttribute("aria-current", "step");
    this.marked.push(current);
    this.rove(at);
    const after = reel.siteAfter(step);
    if (after && after.row !== at) {
      const next = this.lines[after.row];
      next.line.classList.add("hk-next");
      next.line.classList.toggle("hk-taken", reel.went(step));
      this.marked.push(next);
    }
    // Not scrollIntoView: that would move the notebook, too.
    const box = this.root;
    if (!this.tops) {
      this.tops = this.lines.map(({ line }) => line.offsetTop);
      this.high = box.clientHeight;
      this.scrolled = box.scrollTop;
    }
    const top = this.tops[at];
    const margin = this.high / 4;
    if (top < this.scrolled + margin || top > this.scrolled + this.high - margin) {
      box.scrollTop = top - this.high / 2.5;
      this.scrolled = box.scrollTop;
    }
  }
}

/** The first step that runs each line, of the steps that are here. */
function firstRuns(reel) {
  const found = new Map();
  for (let step = 0; step < reel.steps && reel.has(step); step++) {
    const { row } = reel.site(step);
    if (!found.has(row)) found.set(row, step);
  }
  return found;
}
