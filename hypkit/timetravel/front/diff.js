// Two traces side by side: rows of [step of the left or null, step of the right or null].

import { Board } from "./board.js";
import { digits, focused, h, sentenceNodes, tableBody } from "./dom.js";
import { edited } from "./edits.js";
import { LEVELS } from "./facts.js";
import { hex, signed } from "./format.js";
import { printable, printsFrom } from "./print.js";
import { wayBack } from "./steer.js";

const LINES = 400; // rows that stand in the page at once
const DIFF_HINT = "n: next row · p: back · d, D: next, previous difference";
const SIDES = ["Left", "Right"];

export class DiffView extends Board {
  /**
   * @param {HTMLElement} host
   * @param {any[]} reels
   * @param {[number|null, number|null][]} rows
   * @param {{leave?: () => void, before?: (() => void) | null, note?: string, what_if?: boolean}} options
   *   leave: gives the keys back to the page around; before: shows what was there before the question
   *   what if; what_if: the right is the left with something changed
   */
  constructor(host, reels, rows, options = {}) {
    super();
    this.options = options;
    this.reels = reels;
    this.rows = rows;
    this.at = 0;
    const only = rows.map(([left, right]) => left === null || right === null);
    // Where the code tells them apart, that counts; else, and after what if, what it made of its values.
    this.different = options.what_if || !only.includes(true) ? rows.map((_, at) => only[at] || this.parts(at)) : only;
    /** The rows that stand in the page: `lines` from row `first` on. */
    this.first = 0;
    /** @type {HTMLElement[]} */
    this.lines = [];
    this.says = h("div", { class: "hk-says" });
    this.heard = h("p", { class: "hk-heard", "aria-live": "polite", "aria-atomic": "true" });
    this.status = h("p", { class: "hk-status", role: "status" }, DIFF_HINT);
    this.body = h("tbody");
    this.code = h("div", { class: "hk-code hk-diff", role: "region", tabindex: 0,
                           "aria-label": "The two traces, row by row" },
      h("table", {}, h("caption", {}, "Aligned where both execute the same code"),
        h("thead", {}, h("tr", {}, ["Step", "Left", "In", "Right", "Step"].map(
          (text) => h("th", { scope: "col" }, text)))), this.body));
    this.registers = h("div", { class: "hk-registers", role: "region", tabindex: 0, "aria-label": "Registers of both" });
    this.paper = h("div", { class: "hk-paper" });
    this.strip = this.road();
    this.back = wayBack(() => options.leave?.());
    this.root = h("section", { class: "hk-view hk-two", tabindex: -1,
      "aria-label": `Comparison: ${reels.map((reel) => reel.meta.title).join(" and ")}`,
      onkeydown: this.on((event) => this.key(event)) },
      h("header", { class: "hk-head" }, reels.map((reel, side) => h("p", { class: "hk-title" },
        `${SIDES[side]}: ${reel.meta.title}`, h("span", { class: "hk-outcome", title: reel.meta.outcome }, ` ${reel.meta.outcome}`))), this.back),
      options.note ? h("p", { class: "hk-note" }, `${options.note}.`) : null,
      this.strip, this.tools(), h("div", { class: "hk-now" }, this.says, this.heard),
      h("div", { class: "hk-grid" }, this.code, this.registers, this.summary()), this.status);
    host.append(this.root, this.paper);
    this.close = printsFrom(this.paper, () => reels.flatMap((reel) => printable(reel, {})));
    if (!rows.length) this.say("Neither trace has a step.");
    else {
      const first = this.next(-1, 1);
      this.go(first ?? 0);
      this.say(first === null ? "Both execute the same code, with the same values." : `The first difference. ${DIFF_HINT}`);
    }
  }

  tools() {
    const { rows } = this;
    const move = (text, keys, says, to) => h("button", { type: "button", "aria-keyshortcuts": keys,
      "aria-label": says, title: `${says} (key ${keys.split(" ")[0]})`, onclick: this.on((event) => {
        if (event.detail) this.root.focus({ preventScroll: true });
        this.go(to());
      }) }, text);
    return h("div", { class: "hk-tools", role: "group", "aria-label": "Moving through the comparison" },
      h("span", { class: "hk-group" },
        move("|◀", "s Home", "To the start", () => 0),
        move("◀", "p ArrowLeft", "One row back", () => this.at - 1),
        move("▶", "n ArrowRight", "One row on", () => this.at + 1),
        move("▶|", "z End", "To the end", () => rows.length - 1)),
      h("span", { class: "hk-group" },
        move("Next difference", "d", "Next difference", () => this.difference(1)),
        move("Previous difference", "D", "Previous difference", () => this.difference(-1))),
      this.options.before ? h("button", { type: "button", title: "Show the call alone again",
        onclick: this.on(() => this.options.before?.()) }, "Back to the call") : null);
  }

  /** Both roads, row by row of the comparison, with what only one has marked. */
  road() {
    const { rows } = this;
    const wide = Math.max(1, rows.length);
    const every = Math.max(1, Math.ceil(wide / 1000));
    const lane = (side) => {
      const reel = this.reels[side];
      const runs = [];
      for (let at = 0; at < rows.length; at += every) {
        const step = rows[at][side];
        const kind = step === null ? "" : `${reel.level(step)}${rows[at][1 - side] === null ? " only" : ""}`;
        const last = runs[runs.length - 1];
        if (last?.kind === kind) last.to = at + every;
        else runs.push({ kind, from: at, to: at + every });
      }
      return h("div", { class: "hk-lane" }, h("span", { class: "hk-lane-name" }, SIDES[side]),
        runs.filter(({ kind }) => kind).map(({ kind, from, to }) => h("span", {
          class: `hk-run hk-in-${kind.replace(" only", ` hk-only-${SIDES[side].toLowerCase()}`)}`,
          style: `left:${(100 * from) / wide}%;width:${(100 * (to - from)) / wide}%` })));
    };
    this.cursor = h("div", { class: "hk-cursor" });
    const hits = h("div", { class: "hk-hits" }, rows.flatMap(([left, right], at) => (this.different[at] && left !== null
      && right !== null && at % every === 0 ? [h("i", { class: "hk-hit", style: `left:${(100 * (at + 0.5)) / wide}%` })] : [])));
    return h("div", { class: "hk-strip", "aria-hidden": "true", onpointerdown: this.on((event) => {
      const box = this.strip.firstChild.getBoundingClientRect();
      this.root.focus({ preventScroll: true });
      this.go(Math.floor(((event.clientX - box.left) / box.width) * rows.length));
    }) }, h("div", { class: "hk-scale" }, h("div", { class: "hk-lanes" }, lane(1), lane(0)), hits, this.cursor));
  }

  row(at) {
    const steps = this.rows[at];
    const [first, second] = this.reels.map((reel, side) => (steps[side] === null ? ["–", "", ""]
      : [String(steps[side]), reel.level(steps[side]), reel.row(steps[side]).text]));
    const number = (/** @type {string[]} */ [step, level], reel) => h("td", { class: "hk-step", title: level ? reel.levelText(level) : null },
      level ? h("span", { class: `hk-sign hk-sign-${level}` }, LEVELS[level].sign) : null, step);
    const parts = this.different[at];
    const sign = steps[0] === null ? "only right" : steps[1] === null ? "only left" : parts ? "both, with other values" : "both";
    const kind = sign.startsWith("both") ? (parts ? "parts" : "both") : sign.replace("only ", "only-");
    const line = h("tr", { class: `hk-${kind}`, "aria-label": `row ${at}: ${sign}` },
      number(first, this.reels[0]),
      h("td", { class: "hk-text", title: first[2] }, first[2]),
      h("th", { scope: "row", title: sign }, kind === "both" ? "=" : kind === "parts" ? "≠" : sign === "only left" ? "◀ left" : "right ▶"),
      h("td", { class: "hk-text", title: second[2] }, second[2]), number(second, this.reels[1]));
    line.addEventListener("click", this.on(() => {
      this.root.focus({ preventScroll: true });
      this.go(at);
    }));
    return line;
  }

  /** Put the rows around the current one into the page; all of ten thousand would make it slow. */
  fill() {
    const { at, rows } = this;
    const near = (edge, end) => edge !== end && Math.abs(at - edge) < LINES / 8;
    if (this.lines.length && at >= this.first && at < this.first + this.lines.length
        && !near(this.first, 0) && !near(this.first + this.lines.length, rows.length)) return;
    this.first = Math.max(0, Math.min(rows.length - LINES, at - LINES / 2));
    const last = Math.min(rows.length, this.first + LINES);
    this.lines = Array.from({ length: last - this.first }, (_, line) => this.row(this.first + line));
    const more = (number, where, to) => (number ? [h("tr", {}, h("td", { colspan: 5 }, h("button",
      { type: "button", onclick: this.on(() => this.go(to)) }, `${number} rows ${where}`)))] : []);
    this.body.replaceChildren(...more(this.first, "before these", this.first - 1), ...this.lines,
      ...more(rows.length - last, "after these", last));
  }

  summary() {
    const cost = this.reels.map((reel) => reel.cost(reel.steps));
    const rows = cost[0].map(({ name, counts }, at) => {
      const other = cost[1][at].counts;
      return [name, ...[0, 1, 2].flatMap((kind) => [String(counts[kind]), String(other[kind]),
        signed(other[kind] - counts[kind])]), counts[0] || other[0]];
    }).filter((row) => row.pop());
    const totals = this.reels.map((_, side) => [0, 1, 2].map((kind) => cost[side].reduce(
      (sum, { counts }) => sum + counts[kind], 0)));
    rows.unshift(["all", ...[0, 1, 2].flatMap((kind) => [String(totals[0][kind]), String(totals[1][kind]),
      signed(totals[1][kind] - totals[0][kind])])]);
    const kinds = ["Instructions", "Loads", "Stores"];
    return h("div", { class: "hk-panel hk-summary", role: "region", tabindex: 0, "aria-label": "Cost of both" },
      h("table", { class: "hk-numbers hk-costs" },
        h("caption", {}, "What each costs, and how many more the right one has"),
        h("thead", {},
          h("tr", {}, h("th", { scope: "col", rowspan: 2 }, "Phase"),
            kinds.map((kind) => h("th", { scope: "colgroup", colspan: 3 }, kind))),
          h("tr", {}, kinds.flatMap(() => ["left", "right", "more"].map(
            (text) => h("th", { scope: "col" }, text))))),
        tableBody(rows)));
  }

  /** Whether something was changed before a row that both have, or they make other values of it. */
  parts(at) {
    const [[left, right], [one, other]] = [this.rows[at], this.reels];
    if (edited(one, left) || edited(other, right)) return true;
    const names = new Set([...one.changed(left), ...other.changed(right)]);
    if ([...names].some((name) => one.registerAfter(name, left) !== other.registerAfter(name, right))) return true;
    const stored = (reel, step) => reel.accesses(step).filter(({ store }) => store).map(({ value }) => value).join();
    const system = (reel, step) => [...reel.sysChanged(step)].join();
    return stored(one, left) !== stored(other, right) || system(one, left) !== system(other, right);
  }

  /** The start of the next stretch in which they differ, or null. */
  next(from, by) {
    const { rows, different } = this;
    for (let at = from + by; at >= 0 && at < rows.length; at += by) {
      if (different[at] && (at === 0 || !different[at - 1])) return at;
    }
    return null;
  }

  difference(by) {
    const found = this.next(this.at, by);
    if (found === null) this.say(`No further difference ${by > 0 ? "from here on" : "before this"}.`);
    return found ?? this.at;
  }

  go(wanted) {
    const { rows } = this;
    if (!rows.length) return;
    const before = this.lines[this.at - this.first];
    before?.classList.remove("hk-current");
    before?.removeAttribute("aria-current");
    if (wanted !== this.at) this.say("");
    this.at = Math.max(0, Math.min(rows.length - 1, wanted));
    const had = this.root.contains(focused(this.root));
    this.fill();
    if (had && !this.root.contains(focused(this.root))) this.root.focus({ preventScroll: true });
    const line = this.lines[this.at - this.first];
    line.classList.add("hk-current");
    line.setAttribute("aria-current", "step");
    const steps = this.rows[this.at];
    // The colour of the box is that of the level, of the left where both are here.
    const side = steps[0] === null ? 1 : 0;
    this.root.dataset.level = this.reels[side].level(steps[side]);
    this.cursor.style.transform = `translateX(${(100 * (this.at + 0.5)) / rows.length}%)`;
    const words = this.reels.map((reel, which) => (steps[which] === null ? "nothing here."
      : `step ${steps[which]}, ${reel.levelText(reel.level(steps[which]))}. ${edited(reel, steps[which])}${reel.sentence(steps[which])}`));
    this.says.replaceChildren(...words.map((text, which) => h("p", { title: text },
      h("strong", {}, `${SIDES[which]}: `), sentenceNodes(text))));
    this.heard.textContent = `Row ${this.at}. ${words.map((text, which) => `${SIDES[which]}: ${text}`).join(" ")}`;
    this.showRegisters(steps);
    const box = this.code;
    const top = line.offsetTop;
    if (top < box.scrollTop + box.clientHeight / 4 || top > box.scrollTop + (3 * box.clientHeight) / 4) {
      box.scrollTop = top - box.clientHeight / 2.5;
    }
  }

  /** The registers of both at this row; where only one has a step, the other's at its next one. */
  showRegisters(steps) {
    const places = this.reels.map((reel, side) => {
      if (steps[side] !== null) return steps[side];
      const next = this.rows.slice(this.at).find((row) => row[side] !== null);
      return next ? next[side] : reel.steps;
    });
    const after = this.reels.map((reel, side) => (name) => (steps[side] === null
      ? reel.register(name, places[side]) : reel.registerAfter(name, places[side])));
    const changes = this.reels.map((reel, side) => new Set(steps[side] === null ? [] : reel.changed(steps[side])));
    const names = this.reels[0].meta.registers.filter((name) => name !== "pstate"
      && this.reels.some((reel) => reel.meta.written.includes(name)));
    const rows = names.map((name) => [name, after[0](name), after[1](name)]);
    const differ = ([name, left, right]) => left !== right || changes.some((change) => change.has(name));
    rows.sort((one, two) => Number(differ(two)) - Number(differ(one)));
    const cell = (name, word, side) => h("td", { class: changes[side].has(name) ? "hk-value hk-new" : "hk-value",
      title: hex(word) + (this.reels[side].addresses.symbolize(word) ? `: ${this.reels[side].addresses.what(word)}` : "") }, digits(word));
    this.registers.replaceChildren(h("table", { class: "hk-fixed" },
      h("caption", {}, "Registers after this row"),
      h("thead", {}, h("tr", {}, ["Name", "Left", "Right"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map(([name, left, right]) => h("tr", { class: left === right ? "" : "hk-differs" },
        h("th", { scope: "row" }, (left === right ? "" : "≠ ") + name), cell(name, left, 0), cell(name, right, 1))))));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter")) return;
    if (event.key.length === 1) event.stopPropagation();
    if (event.key === "Escape") {
      focused(this.root)?.blur();
      this.options.leave?.();
      return;
    }
    const to = { n: () => this.at + 1, ArrowRight: () => this.at + 1, p: () => this.at - 1,
      ArrowLeft: () => this.at - 1, ArrowDown: () => this.at + 1, ArrowUp: () => this.at - 1,
      d: () => this.difference(1), D: () => this.difference(-1),
      s: () => 0, Home: () => 0, z: () => this.rows.length - 1,
      End: () => this.rows.length - 1 }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    this.go(to());
  }
}
