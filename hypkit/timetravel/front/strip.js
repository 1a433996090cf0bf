// The road of a trace: a lane for each exception level, the phases, marks, and where the reader is.

import { h } from "./dom.js";
import { ERET, HVC, LEVELS, MARKS, PANICS } from "./facts.js";

const NOTCH = 50; // CSS pixels of wheel that make a step
const MOST_MARKS = 600; // drawn at once
const CLOSEST = 20; // steps of the closest zoom
const FINE = 2000; // steps that are drawn one by one

export class Strip {
  /** @param {any} view */
  constructor(view) {
    this.view = view;
    this.low = 0;
    this.high = Math.max(1, view.reel.steps + 1);
    this.turned = 0;
    /** @type {Map<string, number[]>} kind of mark -> steps */
    this.found = new Map();
    this.whole = h("button", { type: "button", class: "hk-whole", hidden: true, "aria-keyshortcuts": "H",
      onclick: view.on(() => this.zoom(0, view.reel.steps + 1)) });
    this.root = h("div", { class: "hk-strip", role: "slider", tabindex: 0, "aria-label": "Timeline: step",
      "aria-valuemin": 0, "aria-valuemax": view.reel.steps, "aria-keyshortcuts": "ArrowLeft ArrowRight",
      title: "Click or drag: go there. Shift and drag, or h: zoom in. Double click, or H: the whole trace again.",
      onpointerdown: view.on((event) => this.press(event)),
      onpointermove: view.on((event) => event.buttons & 1 && this.drag(event)),
      onpointerup: view.on((event) => this.release(event)),
      ondblclick: view.on(() => this.zoom(0, view.reel.steps + 1)) });
    this.root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.draw();
  }

  /** Where the middle of a step stands, in percent of what is shown. */
  across(step) {
    return ((step + 0.5 - this.low) / (this.high - this.low)) * 100;
  }

  /** The columns of the part that is shown: [bits, first step, end]. */
  columns() {
    const { reel } = this.view;
    const bins = reel.meta.overview;
    const size = reel.steps / Math.max(1, bins.length);
    const found = [];
    if (bins.length < reel.steps && this.isFine) {
      for (let step = this.low; step < Math.min(reel.steps, this.high); step++) found.push([this.bits(step), step, step + 1]);
      return found;
    }
    for (let at = 0; at < bins.length; at++) {
      const [from, to] = [at * size, (at + 1) * size];
      if (to > this.low && from < this.high) found.push([bins[at], from, to]);
    }
    return found;
  }

  /** Whether what is shown is little enough to be drawn step by step, and is here. */
  get isFine() {
    const { reel } = this.view;
    return this.high - this.low <= FINE && reel.has(this.low) && reel.has(Math.min(reel.steps, this.high - 1));
  }

  /** What the overview says of a column, of one step: its level and its marks. */
  bits(step) {
    const { reel } = this.view;
    const row = reel.row(step);
    const is = { HVC: row.kind & HVC, ERET: row.kind & ERET, fault: reel.exceptions.has(step), panic: PANICS.includes(row.label),
      table: reel.accesses(step).some((a) => !a.store && reel.addresses.place(a).startsWith("the table slot")) };
    return MARKS.reduce((all, { name, bit }) => (is[name] ? all | bit : all), LEVELS[reel.level(step)].bit);
  }

  draw() {
    const { reel } = this.view;
    const columns = this.columns();
    const hasVm = reel.meta.overview.some((bin) => bin & 2);
    const lanes = h("div", { class: "hk-lanes" });
    const scale = (step) => ((step - this.low) / (this.high - this.low)) * 100;
    const box = (from, to) => `left:${Math.max(0, scale(from))}%;width:${Math.min(100, scale(to)) - Math.max(0, scale(from))}%`;
    for (const [key, level] of Object.entries(LEVELS)) {
      if (key === "vm" && !hasVm) continue;
      const lane = h("div", { class: `hk-lane hk-lane-${key}` },
        h("span", { class: "hk-lane-name" }, `${reel.el(key)} ${level.who}`));
      for (let at = 0; at < columns.length; at++) {
        if (!(columns[at][0] & level.bit)) continue;
        const from = columns[at][1];
        while (at + 1 < columns.length && columns[at + 1][0] & level.bit) at += 1;
        lane.append(h("span", { class: "hk-run", style: box(from, columns[at][2]) }));
      }
      lanes.append(lane);
    }
    const exact = columns.every(([, from, to]) => to - from === 1);
    lanes.append(this.phases(exact, box));
    if (exact) lanes.append(...this.crossings(columns, hasVm, scale));
    lanes.append(...this.marks(columns, scale));
    this.cursor = h("div", { class: "hk-cursor" });
    this.pins = h("div", { class: "hk-pins" });
    this.hits = h("div", { class: "hk-hits" });
    this.root.replaceChildren(h("div", { class: "hk-scale" }, lanes, this.hits, this.pins, this.cursor));
    const zoomed = this.low > 0 || this.high < reel.steps + 1;
    this.root.classList.toggle("hk-zoomed", zoomed);
    this.whole.hidden = !zoomed;
    const shown = `steps ${this.low} to ${Math.min(reel.steps, this.high - 1)}`;
    this.whole.textContent = `${shown.replace("steps ", "").replace(" to ", "–")} ✕`;
    this.whole.title = `The strip shows ${shown}. Show the whole trace again (key H)`;
    this.whole.setAttribute("aria-label", `The strip shows ${shown}: show the whole trace`);
    this.drawHits();
  }

  /** A line from lane to lane wherever the level changes. */
  crossings(columns, hasVm, scale) {
    const order = hasVm ? ["host", "vm", "hyp"] : ["host", "hyp"]; // from the bottom
    const lane = columns.map(([bin]) => order.findIndex((key) => bin & LEVELS[key].bit));
    return lane.flatMap((here, at) => (at && here !== lane[at - 1] ? [h("span", { class: "hk-crossing",
      style: `left:${scale(columns[at][1])}%;--hk-from:${Math.min(here, lane[at - 1])};`
        + `--hk-lanes:${Math.abs(here - lane[at - 1])}` })] : []));
  }

  /** The phases below the lanes, where a column is a step. */
  phases(exact, box) {
    const { reel } = this.view;
    const lane = h("div", { class: "hk-phases" });
    if (!exact || !reel.steps) return lane;
    const end = Math.min(reel.steps, this.high);
    for (let from = Math.max(0, this.low); from < end;) {
      const [name, says] = reel.phase(from);
      let to = from;
      while (to < end && reel.phase(to)[0] === name) to += 1;
      lane.append(h("span", { class: `hk-phase-${name}`, style: box(from, to), title: `${name}: ${says}` },
        h("i", {}), h("b", {}, name)));
      from = to;
    }
    return lane;
  }

  /** Signs for what happened, each in the lane of its level. */
  marks(columns, scale) {
    const { view } = this;
    const marked = columns.filter(([bin]) => bin >> 3);
    return marked.slice(0, 200).map(([bin, from, to]) => {
      const marks = MARKS.filter((mark) => bin & mark.bit);
      const level = Object.keys(LEVELS).find((key) => bin & LEVELS[key].bit) ?? "hyp";
      return h("span", { class: `hk-mark hk-at-${level}`, style: `left:${scale((from + to) / 2)}%`,
        title: `${marks.map((mark) => mark.says).join("; ")}: click to go there`,
        onpointerdown: view.on((event) => this.toMark(event, Math.floor(from))) },
        marks.map((mark) => mark.sign).join(""));
    });
  }

  /** A click on a mark leads to its step, not to what happens to lie under it. */
  toMark(event, from) {
    const { view } = this;
    event.stopPropagation();
    view.root.focus({ preventScroll: true });
    return view.goFind(from, 1, (step) => view.hasMark(step), "No mark from here on.");
  }

  // -- marks of the reader's --

  /** Show the steps of one kind (match, run, read, write, chain) in the row below the phases. */
  show(kind, steps) {
    if (steps.length) this.found.set(kind, steps);
    else this.found.delete(kind);
    this.drawHits();
  }

  clear() {
    this.found.clear();
    this.drawHits();
  }

  drawHits() {
    this.hits.replaceChildren(...[...this.found].flatMap(([kind, steps]) => {
      const inside = steps.filter((step) => step + 1 > this.low && step < this.high);
      const every = Math.ceil(inside.length / MOST_MARKS);
      return inside.filter((_, at) => at % every === 0).map((step) => h("i", {
        class: `hk-hit hk-hit-${kind}`, style: `left:${this.across(step)}%`, title: `${kind}: step ${step}` }));
    }));
  }

  drawPins(bookmarks) {
    this.pins.replaceChildren(...Object.entries(bookmarks).flatMap(([step, note]) => (
      Number(step) >= 0 && Number(step) <= this.view.reel.steps
        ? h("span", { class: "hk-pin", style: `left:${this.across(Number(step))}%`, title: note }, "★") : [])));
    const { edit } = this.view.reel;
    if (edit) this.pins.append(h("span", { class: "hk-pin", style: `left:${this.across(edit.step)}%`, title: `You changed ${edit.says}` }, "✎"));
  }

  point(step, says) {
    this.cursor.style.transform = `translateX(${this.across(step)}%)`;
    this.cursor.hidden = step < this.low || step >= this.high;
    this.root.setAttribute("aria-valuenow", String(step));
    this.root.setAttribute("aria-valuetext", says);
    if (this.cursor.hidden && this.high - this.low <= this.view.reel.steps) {
      const half = (this.high - this.low) / 2;
      this.zoom(step - half, step + half);
    }
  }

  // -- the mouse --

  /** The step under the pointer. */
  under(event) {
    const box = this.root.firstChild.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    return Math.min(this.view.reel.steps, Math.floor(this.low + share * (this.high - this.low)));
  }

  press(event) {
    this.view.root.focus({ preventScroll: true });
    this.from = this.under(event);
    if (event.shiftKey) return undefined;
    return this.view.go(this.from);
  }

  drag(event) {
    const here = this.under(event);
    if (!event.shiftKey) return this.view.go(here);
    const [from, to] = [Math.min(here, this.from), Math.max(here, this.from) + 1];
    this.hits.querySelector(".hk-chosen")?.remove();
    this.hits.append(h("i", { class: "hk-chosen",
      style: `left:${this.across(from - 0.5)}%;width:${this.across(to) - this.across(from)}%` }));
    return undefined;
  }

  release(event) {
    if (!event.shiftKey || this.from === undefined) return;
    const here = this.under(event);
    const [from, to] = [Math.min(here, this.from), Math.max(here, this.from) + 1];
    if (to - from > 2) this.zoom(from, to);
    else this.drawHits();
  }

  /** Show a part of the trace, at least CLOSEST steps of it. */
  zoom(from, to) {
    const end = this.view.reel.steps + 1;
    const wide = Math.min(end, Math.max(CLOSEST, to - from));
    this.low = Math.round(Math.max(0, Math.min(end - wide, (from + to - wide) / 2)));
    this.high = Math.round(this.low + wide);
    this.draw();
    this.drawPins(this.view.bookmarks);
    this.cursor.style.transform = `translateX(${this.across(this.view.step)}%)`;
    const [low, high] = [this.low, this.high];
    if (wide > FINE || this.isFine) return;
    // The steps of a long trace come first; the strip is drawn finer when they are here.
    const last = Math.min(end - 1, high - 1);
    this.view.guard(() => Promise.all([low, last].map((step) => this.view.reel.ensure(step))).then(() => {
      if (this.low === low && this.high === high) this.zoom(low, high);
    }));
  }

  /** Zoom in or out by a factor, around the reader's step. */
  closer(by) {
    const half = ((this.high - this.low) * by) / 2;
    this.zoom(this.view.step - half, this.view.step + half);
  }

  /** A notch of a mouse wheel is a step, and so is as much of a touchpad's glide. */
  wheel(event) {
    const { view } = this;
    const by = Math.sign(event.deltaY);
    const wanted = view.step + by;
    // The page has the wheel unless the reader is in the stepper, at its ends, and with modifiers.
    if (!view.hasFocus || !by || event.ctrlKey || event.metaKey || event.altKey
        || wanted < 0 || wanted > view.reel.steps) return;
    event.preventDefault();
    const far = event.deltaMode === 0 ? event.deltaY : by * NOTCH;
    this.turned = Math.sign(this.turned) === by ? this.turned + far : far;
    if (Math.abs(this.turned) < NOTCH) return;
    this.turned = 0;
    view.guard(() => view.landed(() => view.go(view.step + by)));
  }
}
