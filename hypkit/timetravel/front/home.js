// Where a stepper lives in a notebook: it draws what it was given, and uses the kernel if there is one.

import { Controls } from "./controls.js";
import { DiffView } from "./diff.js";
import { focused, h } from "./dom.js";
import { GONE, LATE, NO_ANSWER } from "./facts.js";
import { told } from "./origins.js";
import { Settling, notesOf } from "./notes.js";
import { keepKeys } from "./pagekeys.js";
import { Reel } from "./reel.js";
import { wasTold } from "./shared.js";
import { follow, followBoth, steered } from "./steer.js";
import { followTheme } from "./theme.js";
import { View } from "./view.js";

const SAVED = "These steps are not in the saved notebook: run the cell of this stepper again.";
const UNASKED = "The answers for this long trace are not in the saved notebook: run its cell again.";
const UNRUN = "To run the call again, run the cell of this stepper first: it needs the kernel.";
const KEPT = "Notes are saved with the notebook, a second after you leave them.";
const KEPT_HERE = "Without its kernel, notes stay in this browser; run the cell, and they are saved with the notebook.";
const NEEDS = "To choose another call, run this cell: it needs the kernel.";

/** Draw data {meta, chunks} or {diff: rows, sides: [data, data]} into an element. */
export function draw(data, el, options = {}) {
  el.replaceChildren();
  if (data.diff) return new DiffView(el, data.sides.map((side) => new Reel(side)), data.diff, { ...options, ...data });
  return new View(el, new Reel(data, options.fetch ?? null), options);
}

/** Base64 as an ArrayBuffer. */
export function bytes(base64) {
  return base64 === null ? null : Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
}

/** A text that was compressed and written in base64. */
export async function inflated(packed) {
  const stream = new Blob([bytes(packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

/** A DataView or typed array of the widget protocol as an aligned buffer of its own. */
function own(view) {
  return view instanceof ArrayBuffer ? view
    : view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

/** One view of a stepper: in the output of a cell, or as a widget among others. */
export class Home {
  /**
   * @param {HTMLElement} el
   * @param {any} shared
   * @param {any} embedded what was written into the output, or null
   */
  constructor(el, shared, embedded) {
    this.el = el;
    this.shared = shared;
    /** @type {View | DiffView | null} */
    this.view = null;
    /** @type {string | null} the panel that was open last */
    this.tab = null;
    /** What the reader would have otherwise: name -> text. */
    this.wishes = {};
    this.generation = embedded?.generation ?? 0;
    /** @type {Map<number | string, {resolve: (b: any) => void, reject: (e: Error) => void}>} */
    this.asked = new Map();
    el.classList.add("hk");
    this.unfollow = followTheme(el);
    this.above = h("div", {});
    this.place = h("div", {});
    this.status = h("p", { class: "hk-status", role: "status" });
    el.append(this.above, this.place, this.status);
    if (embedded) {
      if (shared.step === null && embedded.step) shared.step = embedded.step;
      this.local = notesOf(embedded.digest);
      shared.bookmarks ??= { ...embedded.bookmarks, ...(shared.model ? {} : this.local.read()) };
      this.guard(() => this.show(opened(embedded, bytes), embedded.waiting));
    }
    shared.homes.add(this);
    const host = /** @type {any} */ (el.getRootNode()).host ?? el;
    this.unkeep = keepKeys(host);
    this.outer = host.closest(".hypkit-stepper") ?? host;
    steered(this.outer, (wish, link) => this.steer(wish, link));
    this.settling = new Settling(() => this.isWriting, () => this.settle());
    if (shared.model) this.attach(shared.model);
    this.resume();
    if (!shared.model && embedded?.machine) this.above.append(h("p", { class: "hk-needs" }, NEEDS));
  }

  guard(action) {
    try {
      action();
    } catch (error) {
      this.status.textContent = `Error: ${error.message ?? error}`;
      this.status.classList.add("hk-bad");
    }
  }

  /** The kernel's side is there. */
  attach(model) {
    this.model = model;
    this.above.replaceChildren();
    this.controls = model.get("choices")?.variants ? new Controls(this.above, model) : null;
    this.heard = [["msg:custom", (message, buffers) => this.answer(message, buffers)],
                  ["change:data", () => this.rebuild()]];
    for (const [event, action] of this.heard) model.on(event, action);
    const said = model.get("data");
    if (said.generation === undefined) {
      if (!this.view && !this.place.firstChild) model.send({ type: "data" });
    } else if (said.generation !== this.generation || !this.place.firstChild) this.rebuild();
  }

  /** The kernel's side is gone; what is here stays. */
  detach() {
    for (const [event, action] of this.heard ?? []) this.model?.off(event, action);
    this.controls?.close();
    this.model = null;
  }

  close() {
    this.detach();
    this.unkeep();
    this.unfollow();
    this.view?.close?.();
    this.shared.homes.delete(this);
  }

  rebuild() {
    this.guard(() => {
      const said = this.model.get("data");
      this.status.textContent = "";
      this.generation = said.generation ?? 0;
      this.asked.get("if")?.resolve(null);
      this.asked.clear();
      const open = (part) => ({ meta: JSON.parse(part.meta), chunks: part.chunks.map(own) });
      this.shared.step = this.model.get("step");
      this.show(said.diff ? { ...said, sides: said.sides.map(open) } : said.meta ? open(said) : null,
                said.waiting);
    });
  }

  show(data, waiting) {
    this.tab = this.view instanceof View ? this.view.tab : this.tab;
    const { tab } = this;
    this.view?.close?.();
    this.view = null;
    if (!data) {
      this.place.replaceChildren(h("p", { class: "hk-waiting" }, waiting ?? "Nothing to show yet."));
      return;
    }
    const whole = data.diff || data.chunks.filter(Boolean).length === data.meta.chunks;
    this.view = draw(data, this.place, {
      fetch: whole ? null : (number) => this.fetch(number, data.meta.chunk),
      start: this.shared.step ?? 0,
      bookmarks: this.shared.bookmarks ?? this.model?.get("bookmarks") ?? {},
      keep: (bookmarks) => this.keep(bookmarks),
      keeps: () => (this.model ? KEPT : KEPT_HERE),
      moved: (step) => this.shared.moved(step, this),
      leave: () => this.leave(),
      ask: (name, step) => this.ask(name, step),
      wishes: this.wishes, whatIf: (changes, at) => this.whatIf(changes, at),
      before: data.what_if && this.model ? () => this.model.send({ type: "back" }) : null,
    });
    if (tab && this.view instanceof View) this.view.openTab(tab);
  }

  /** A link in the text asks for something; the reader can go back to where it stands. */
  steer(wish, link) {
    const { view } = this;
    if (!view) {
      this.status.textContent = "The text points at a step, and no call has been made yet.";
      return undefined;
    }
    this.from = link;
    view.back.hidden = false;
    this.outer.scrollIntoView({ block: "nearest" });
    view.root.focus({ preventScroll: true });
    view.root.classList.add("hk-steered");
    setTimeout(() => view.root.classList.remove("hk-steered"), 1500);
    return view.guard(() => (view instanceof View ? follow(view, wish) : followBoth(view, wish)));
  }

  /** Give the keys back to the text, if a link in it led here, else to the notebook. */
  leave() {
    const { from } = this;
    this.from = null;
    if (this.view) this.view.back.hidden = true;
    if (from?.isConnected) {
      from.scrollIntoView({ block: "nearest" });
      from.focus({ preventScroll: true });
    } else this.outer.closest(".jp-Notebook")?.focus({ preventScroll: true });
  }

  // -- notes --

  /** The reader has other notes. */
  keep(bookmarks) {
    this.shared.kept(bookmarks, this);
    if (this.model) this.settling.touch();
    else this.local?.write(bookmarks);
  }

  /** Whether the reader is in a field of this view. */
  get isWriting() {
    return this.view instanceof View && Boolean(focused(this.view.root)?.matches("input, textarea"));
  }

  /** Have the kernel write this output anew, notes and all; the next view goes on as this one. */
  settle() {
    const { view, shared } = this;
    if (!this.model || !(view instanceof View)) return;
    const at = view.hasFocus ? sameOutputs(this.outer).indexOf(this.outer) : -1;
    shared.resume = { tab: view.tab, at, until: Date.now() + 5000 };
    const around = this.outer.parentElement;
    if (around) { // or the page would jump while there is no view
      around.style.minHeight = `${around.offsetHeight}px`;
      setTimeout(() => { around.style.minHeight = ""; }, 3000);
    }
    // A kernel that has stopped writes nothing: then the notes stay where they stay without one.
    if (!wasTold(() => this.model.send({ type: "keep" }))) this.local?.write(shared.bookmarks ?? {});
  }

  /** Go on where the view was that this one replaces, if there was one. */
  resume() {
    const { resume, homes } = this.shared;
    if (!resume || Date.now() > resume.until || !(this.view instanceof View)) return;
    for (const home of homes) if (home !== this && !home.outer.isConnected) home.close();
    this.view.openTab(resume.tab);
    if (resume.at >= 0 && sameOutputs(this.outer)[resume.at] === this.outer) this.view.root.focus({ preventScroll: true });
  }

  // -- steps that come later --

  fetch(number, size) {
    return new Promise((resolve, reject) => {
      if (!this.model) throw new Error(SAVED);
      try {
        this.model.send({ type: "chunk", number, generation: this.generation });
      } catch {
        throw new Error(`steps around ${number * size} are not here, and ${GONE}`);
      }
      this.asked.set(number, { resolve, reject });
    });
  }

  /** Ask the kernel where a register's value came from, and what it reaches. */
  ask(name, step) {
    return new Promise((resolve, reject) => {
      if (!this.model) throw new Error(UNASKED);
      const question = `${name} ${step}`;
      this.asked.set(question, { resolve, reject });
      this.model.send({ type: "origin", number: question, name, step, generation: this.generation });
      setTimeout(() => reject(new Error(NO_ANSWER)), 4 * LATE);
    });
  }

  /** Have the kernel make the call again with something changed; it shows both. */
  async whatIf(changes, at) {
    if (!this.model) throw new Error(UNRUN);
    const { generation } = this;
    let late = 0;
    try {
      return await new Promise((resolve, reject) => {
        this.asked.set("if", { resolve, reject });
        this.model.send({ type: "if", number: "if", changes, at, generation });
        late = setTimeout(() => reject(new Error(NO_ANSWER)), LATE);
      });
    } finally {
      clearTimeout(late);
    }
  }

  answer(message, buffers) {
    const waiting = this.asked.get(message.number);
    if (message.generation !== this.generation || !waiting) return;
    this.asked.delete(message.number);
    if (message.type === "chunk") waiting.resolve(own(buffers[0]));
    else if (message.type === "origin") waiting.resolve(told(message));
    else waiting.reject(new Error(message.error));
  }

  // -- what the other views and the kernel say --

  stepped(step) {
    if (this.view instanceof View && step !== this.view.step) this.view.guard(() => this.view.go(step));
  }

  noted(bookmarks) {
    if (this.view instanceof View) this.view.takeNotes(bookmarks);
  }
}

/** The data of an output or a file with its chunks as buffers; null where there is none yet. */
export function opened(said, buffer) {
  const open = (part) => ({ meta: part.meta, chunks: part.chunks.map(buffer) });
  return said.diff ? { ...said, sides: said.sides.map(open) } : said.meta ? open(said) : null;
}

/** The outputs of one stepper, in the order of the page. */
function sameOutputs(outer) {
  return [...document.querySelectorAll(".hypkit-stepper")].filter(
    (other) => /** @type {any} */ (other).dataset.stepper === outer.dataset.stepper);
}
