// The view of one trace: the strip, the buttons, what the step does, code, registers and panels.

import { focused, h, id, sentenceNodes } from "./dom.js";
import { isEdited } from "./edits.js";
import { hex, inSteps } from "./format.js";
import { HINT, actionOf, keyTables } from "./keys.js";
import { Listing } from "./listing.js";
import { Now } from "./now.js";
import { originOf, originOfBytes, reachOf } from "./origins.js";
import { PANELS } from "./panels/index.js";
import { printable, printsFrom } from "./print.js";
import { Registers } from "./registers.js";
import { query } from "./search.js";
import { wayBack } from "./steer.js";
import { Strip } from "./strip.js";
import { toolbar } from "./toolbar.js";
import { Traveller } from "./traveller.js";

const COUNTED = 20_000; // steps in which all matches of a search are counted and marked

export class View extends Traveller {
  /**
   * @param {HTMLElement} host
   * @param {any} reel
   * @param {any} options see Traveller
   */
  constructor(host, reel, options = {}) {
    super(reel, options);
    this.tab = PANELS[0].key;
    this.address = null;
    /** @type {any} what the reader asked the origin of: {name, origin, reach} */
    this.asked = null;
    this.build(host);
    const start = this.step;
    if (!reel.has(start)) this.step = 0; // what is shown until the steps have come
    this.show();
    if (start !== this.step) this.guard(() => this.go(start));
  }

  // -- building --

  build(host) {
    const { reel } = this;
    this.search = h("input", { type: "search", class: "hk-search", "aria-label":
      "Search for a label, a register, a value or words of a sentence", placeholder: "x9, 0x102, x10 == 1 …",
      title: "A label, words, x9, 0x102, x10 == 0x102, write VTTBR_EL2, 0x4000-0x4fff. Enter: the next match; Shift and Enter: the one before",
      onkeydown: this.on((event) => event.key === "Enter" && this.seek(event.shiftKey ? -1 : 1)),
      oninput: () => !this.search.value && this.strip.show("match", []) });
    this.goto = h("input", { type: "text", inputmode: "numeric", class: "hk-goto", "aria-label": `Step, 0 to ${reel.steps}`,
      style: `width:${String(reel.steps).length + 2.5}ch`,
      onchange: this.on(() => this.goTyped()) });
    this.strip = new Strip(this);
    this.now = new Now(this);
    this.status = h("p", { class: "hk-status", role: "status" }, HINT);
    this.keys = h("div", { class: "hk-keys", hidden: true, role: "region", "aria-label": "Keys", tabindex: 0 }, keyTables());
    this.listing = new Listing(this);
    this.registers = new Registers(this);
    this.paper = h("div", { class: "hk-paper" });
    this.root = h("section", { class: "hk-view", tabindex: -1, "aria-label": `Stepper: ${reel.meta.title}`,
      onkeydown: this.on((event) => this.key(event)),
      onpointerdown: (event) => {
        if (!event.target.closest(".hk-keys, .hk-corner")) this.keys.hidden = true;
      } },
      this.head(), reel.meta.note ? h("p", { class: "hk-note" }, reel.meta.note) : null, this.lost(),
      this.strip.root,
      h("div", { class: "hk-tools" }, toolbar(this, (key) => actionOf(this, key)),
        h("span", { class: "hk-group" }, "step ", this.goto, ` of ${reel.steps}`, this.strip.whole),
        h("span", { class: "hk-group hk-find" }, this.search,
          h("button", { type: "button", title: "Next match (key f; F: the one before)",
            onclick: this.on(() => this.landed(() => this.seek(1))) }, "Find"))),
      this.keys,
      this.now.root,
      h("div", { class: "hk-grid" }, this.listing.root, this.registers.root, this.side()),
      this.status);
    host.append(this.root, this.paper);
    this.close = printsFrom(this.paper, () => printable(reel, this.bookmarks));
    this.strip.drawPins(this.bookmarks);
    this.openTab(this.tab, false);
  }

  head() {
    const { reel } = this;
    this.back = wayBack(() => this.options.leave?.());
    const button = (text, key, says, action) => h("button", { type: "button", "aria-keyshortcuts": key,
      "aria-label": says, title: `${says} (key ${key})`, onclick: this.on(action) }, text);
    return h("header", { class: "hk-head" },
      h("p", { class: "hk-title", title: reel.meta.title }, reel.meta.title),
      h("p", { class: "hk-outcome", title: reel.meta.outcome }, sentenceNodes(reel.meta.outcome)),
      h("span", { class: "hk-corner" }, this.back,
        button("Link", "l", "Copy a link to this step", () => this.copyLink()),
        button("Maximise", "x", "Maximise, and back", () => this.maximise()),
        button("Keys ?", "?", "List the keys", () => this.toggleKeys())));
  }

  /** A warning where the call lost what the host counts on. */
  lost() {
    const lost = this.reel.clobbered();
    return lost.length ? h("p", { class: "hk-note" }, `⚠ ${lost.join(", ")}: not as before the call. `
      + "The host's C code counts on x19 to x29 and SP coming back unchanged.") : null;
  }

  side() {
    const tabId = id("tabs");
    this.tabs = PANELS.map(({ key, name, letter, says }) => h("button", { type: "button", role: "tab",
      id: `${tabId}-${key}`, "aria-controls": `${tabId}-panel`, "aria-keyshortcuts": letter,
      title: `${says} (key ${letter})`, onclick: this.on(() => this.openTab(key)) }, name));
    this.panel = h("div", { class: "hk-panel", role: "tabpanel", id: `${tabId}-panel`, tabindex: 0 });
    return h("div", { class: "hk-side" },
      h("div", { class: "hk-tabs", role: "tablist", "aria-label": "More about this step",
        onkeydown: this.on((event) => this.tabKey(event)) }, this.tabs), this.panel);
  }

  tabKey(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    event.preventDefault();
    const at = (PANELS.findIndex(({ key }) => key === this.tab) + by + PANELS.length) % PANELS.length;
    this.openTab(PANELS[at].key);
    this.tabs[at].focus();
  }

  // -- what a reader can do here besides going elsewhere --

  get hasFocus() {
    return this.root.contains(focused(this.root));
  }

  toggleBreak(at) {
    const on = !this.breakpoints.delete(at) && Boolean(this.breakpoints.add(at));
    this.listing.showBreak(at, on);
    const row = this.reel.rows[at];
    this.say(`${on ? "Breakpoint on" : "No breakpoint on"} ${row.text}`
      + (on && !row.runs ? ", which does not run in this trace." : "."));
  }

  nextRun(at) {
    if (this.reel.rows[at].runs > 1) this.mark("run", (step) => this.reel.site(step).row === at);
    return super.nextRun(at);
  }

  /** Mark the steps for which a test holds on the strip; gives them, or null for a long trace. */
  mark(kind, test) {
    const { reel } = this;
    if (!reel.whole || reel.steps > COUNTED) return null;
    const steps = [];
    for (let step = 0; step < reel.steps; step++) if (test(step)) steps.push(step);
    this.strip.show(kind, steps);
    return steps;
  }

  /** Mark every read and every write of some bytes. */
  markBytes(pa, size) {
    const { reel } = this;
    const touches = (store) => (step) => reel.accesses(step).some(
      (a) => a.store === store && !a.fault && a.pa !== null && a.pa < pa + size && a.pa + a.size > pa);
    const reads = this.mark("read", touches(false));
    const writes = this.mark("write", touches(true));
    this.say(reads === null ? "This trace is too long to mark them all."
      : `${hex(BigInt(pa))}, ${size} bytes: read in ${inSteps(reads)}; written in ${inSteps(writes)}.`);
  }

  /** Show where the value of a register before this step came from, and what it reaches. */
  async whence(name) {
    const { reel, step } = this;
    const [origin, reach] = reel.meta.origins
      ? [originOf(reel, name, step), reachOf(reel, name, step)]
      : await this.asking(name, step);
    this.showAsked({ name, origin, reach });
  }

  /** The same for bytes of memory that step `writer` stored last; null: they were there before. */
  whenceBytes(pa, size, writer, value) {
    const by = isEdited(this.reel, pa, size, writer, this.step) ? "edit" : writer;
    this.showAsked({ name: null, origin: originOfBytes(this.reel, pa, size, by, value), reach: null });
  }

  /** Ask the kernel, for a trace that is too long for all answers to be here. */
  asking(name, step) {
    if (!this.options.ask) {
      throw new Error("this trace is too long for its answers to be kept here: ask trace.origin in Python");
    }
    this.say("Asking the kernel …");
    return this.options.ask(name, step);
  }

  showAsked(asked) {
    if (!asked.origin) {
      this.say("Where this comes from is not known: no step of the trace moves just these bytes.");
      return;
    }
    this.asked = asked;
    this.strip.show("chain", asked.origin.steps);
    this.strip.show("reach", asked.reach?.steps ?? []);
    const { length } = asked.origin.sources;
    this.say(`${asked.origin.what}: ${length} source${length === 1 ? "" : "s"}, by way of ${inSteps(asked.origin.steps)}.`);
    this.openTab("origin");
  }

  /** The search: to the next or the last match, round the end of the trace. */
  async seek(by) {
    const { reel } = this;
    const text = this.search.value.trim();
    if (!text) {
      this.search.focus();
      return;
    }
    const { test, worth, says } = query(reel, text);
    const all = this.mark("match", test);
    const from = this.step;
    const found = await this.goFind(from + by, by, test, `“${text}”: ${says} is nowhere in this trace.`,
      { worth, around: true });
    if (found === null) return;
    const count = all ? ` (${all.indexOf(found) + 1} of ${all.length})` : "";
    const round = (found - from) * by <= 0 ? `, from the ${by > 0 ? "start" : "end"} again` : "";
    this.say(`“${text}”: step ${found}${count}${round}. ${reel.sentence(found)}`);
  }

  async bookmark() {
    const key = String(this.step);
    if (!(key in this.bookmarks)) this.bookmarks[key] = "";
    this.keep();
    this.openTab("notes");
    this.panel.querySelector(`[data-step="${key}"]`)?.focus();
  }

  keep() {
    this.options.keep?.({ ...this.bookmarks });
    this.strip.drawPins(this.bookmarks);
  }

  /** Take the notes of another view of the same trace. */
  takeNotes(bookmarks) {
    this.bookmarks = { ...bookmarks };
    this.strip.drawPins(this.bookmarks);
    if (this.tab === "notes") this.showPanel();
  }

  async copyLink() {
    const text = this.options.link?.(this.step)
      ?? `${this.reel.meta.title}, step ${this.step}: ${this.reel.sentence(this.step)}`;
    try {
      await navigator.clipboard.writeText(text);
      this.say(`Copied: ${text}`);
    } catch {
      this.say(text);
    }
  }

  async maximise() {
    const home = this.root.closest(".hk");
    if (document.fullscreenElement) await document.exitFullscreen();
    else await home.requestFullscreen();
    this.root.focus({ preventScroll: true });
  }

  toggleKeys() {
    this.keys.hidden = !this.keys.hidden;
    if (!this.keys.hidden) this.keys.focus({ preventScroll: true });
    else this.root.focus({ preventScroll: true });
  }

  larger(by) {
    // On the element whose width the style sheet asks for: larger letters, fewer columns. It outlives
    // this view, and so does the size.
    const { style } = this.root.closest(".hk");
    const size = Number(style.getPropertyValue("--hk-size") || 1) * by;
    style.setProperty("--hk-size", String(Math.max(0.7, Math.min(2, size))));
    this.listing.tops = null; // the lines have moved
    this.listing.show(this.step);
  }

  /** Close the list of keys; else give the focus back to the page around the stepper. */
  escape() {
    if (!this.keys.hidden) {
      this.toggleKeys();
      return;
    }
    focused(this.root)?.blur();
    this.options.leave?.();
  }

  key(event) {
    // With a modifier a key means something to the page or the browser; so does Shift and Enter.
    if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
    if (event.shiftKey && event.key === "Enter") return undefined;
    const inField = event.target.closest("input, textarea, select");
    // What is typed here means nothing to the page around: it has letters of its own for its cells.
    if (event.key.length === 1 || inField) event.stopPropagation();
    if (inField) {
      if (event.key === "Escape") this.root.focus({ preventScroll: true });
      return undefined;
    }
    if (event.target.closest(".hk-keys") && /^(Page|Home|End)/.test(event.key)) return undefined;
    const action = actionOf(this, event.key);
    if (!action) return undefined;
    event.preventDefault();
    event.stopPropagation();
    return action();
  }

  // -- showing a step --

  show() {
    const { reel, step } = this;
    const had = this.hasFocus;
    this.root.dataset.level = reel.level(step);
    this.point(step);
    this.now.show();
    this.registers.show();
    this.showPanel();
    // Last: it asks where a line stands, and by then nothing else is left to be laid out again.
    this.listing.show(step);
    // Whatever had the focus may be gone; the keys must go on working.
    if (had && !this.hasFocus) this.root.focus({ preventScroll: true });
  }

  /** Point at a step, on the timeline and by its number. */
  point(step) {
    this.goto.value = String(step);
    const level = this.reel.has(step) ? `, ${this.reel.levelText(this.reel.level(step))}` : "";
    this.strip.point(step, `step ${step} of ${this.reel.steps}${level}`);
  }

  // -- the panels --

  openTab(key, draw = true) {
    this.tab = key;
    PANELS.forEach(({ key: name }, at) => {
      this.tabs[at].setAttribute("aria-selected", String(name === key));
      this.tabs[at].tabIndex = name === key ? 0 : -1;
      if (name === key) this.panel.setAttribute("aria-labelledby", this.tabs[at].id);
    });
    if (draw) this.showPanel();
  }

  showPanel() {
    // While a field of the notes is in use, it stays.
    const inUse = focused(this.panel);
    if (this.tab === "notes" && this.panel.contains(inUse) && inUse?.matches("input")) return;
    const parts = PANELS.find(({ key }) => key === this.tab).nodes(this);
    // What stands there already stays, and keeps the focus.
    if (this.panel.children.length !== parts.length || this.panel.firstChild !== parts[0]) {
      this.panel.replaceChildren(...parts);
    }
  }

  openAddress(word) {
    this.address = word;
    this.openTab("address");
    this.panel.focus({ preventScroll: true });
  }
}
