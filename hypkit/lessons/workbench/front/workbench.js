// The workbench of an exercise: an editor, the verdict as a card, the counts, the pictures, and the
// stepper of the call that fails.

import { Code } from "../../../timetravel/front/code.js";
import { typing } from "../../../timetravel/front/controls.js";
import { h, id, sentenceNodes, table } from "../../../timetravel/front/dom.js";
import { LATE, NO_ANSWER } from "../../../timetravel/front/facts.js";
import { bytes, draw, opened } from "../../../timetravel/front/home.js";
import { keepKeys, keeps } from "../../../timetravel/front/pagekeys.js";
import { printsFrom } from "../../../timetravel/front/print.js";
import { followTheme } from "../../../timetravel/front/theme.js";
import { against, card, current, empty, incoming, offered } from "./words.js";

const PAUSE = 500; // milliseconds after the last key, after which the text is measured
const GONE_BENCH = "the kernel of this workbench is gone. Run its cell again; your text stays in this browser.";
const EMPTY = "An empty text is no answer: nothing was run. Ctrl+Z brings your text back.";
const SIGNS = { right: "✔", wrong: "✘", open: "○" };

class Bench {
  constructor(host, model) {
    this.model = model;
    this.host = host;
    this.mine = id("bench");
    this.timer = this.wait = 0;
    this.tab = null;
    const shadow = host.attachShadow({ mode: "open" });
    this.el = h("div", { class: "hk hk-bench", onkeydown: (event) => this.key(event) });
    shadow.append(h("style", {}, model.get("_css")), this.el);
    this.unfollow = followTheme(this.el);
    this.unkeep = keepKeys(host, (event) => keeps(event) || (event.key === "Enter" && (event.ctrlKey || event.metaKey)));
    // The static twin of this workbench is not needed where it lives, and is again when it is gone.
    const own = `[data-stepper="${model.get("name")}"]`;
    host.dataset.stepper = model.get("name");
    this.hides = h("style", {}, `body:has(.hypkit-live${own}) .hypkit-static${own} { display: none; }`);
    document.head.append(this.hides);
    this.build();
    this.heard = [["change:state", () => this.take()], ["msg:custom", (message) => this.answer(message)]];
    for (const [event, action] of this.heard) model.on(event, action);
    this.offer();
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.wait);
    for (const [event, action] of this.heard) this.model.off(event, action);
    for (const code of this.codes.values()) code.close();
    this.unfollow();
    this.unkeep();
    this.unprint();
    this.hides.remove();
    this.host.remove();
  }

  get state() {
    return this.model.get("state");
  }

  get files() {
    return Object.fromEntries([...this.codes].map(([name, code]) => [name, code.text]));
  }

  // -- built once --

  build() {
    const { state } = this;
    const names = Object.keys(state.files);
    this.says = h("p", { class: "hk-heard", id: id("says") });
    this.codes = new Map(names.map((name) => [name, new Code({
      model: this.model, text: state.files[name], language: state.language, describedby: this.says.id,
      label: names.length > 1 ? name : state.language === "c" ? `${name}, in C` : "Dispatcher, as assembly",
      changed: () => this.edited(), run: () => this.run() })]));
    const run = h("button", { type: "button", class: "hk-go", title: "Ctrl+Enter", onclick: () => this.run() }, "Run ", h("kbd", {}, "Ctrl+Enter"));
    this.head = h("div", { class: "hk-bench-head" },
      h("h2", {}, `Workbench ${state.number}: ${state.title}`),
      h("div", { class: "hk-group" }, run,
        h("button", { type: "button", title: "Ctrl+Z brings your text back", onclick: () => this.original() }, "Back to the original"),
        h("button", { type: "button", title: "Maximise, and back", onclick: () => this.maximise() }, "Maximise")));
    this.bar = h("div", { class: "hk-offer", hidden: true });
    this.sign = h("span", { class: "hk-sign", "aria-hidden": "true" });
    this.title = h("strong", {});
    this.sentence = h("span", {});
    this.fresh = h("p", { class: "hk-fresh" });
    this.step = h("button", { type: "button", class: "hk-step-call", onclick: () => this.ask() });
    this.card = h("section", { class: "hk-card", "aria-label": "Verdict" }, this.sign,
      h("div", { class: "hk-card-text", tabindex: "0", role: "group", "aria-label": "What it says" }, h("p", { role: "status", class: "hk-verdict" }, this.title, " ", this.sentence), this.fresh),
      this.step);
    this.costs = h("section", { class: "hk-costs", tabindex: "0", "aria-label": "What it costs" });
    this.tabs = h("div", { class: "hk-tabs", role: "tablist", "aria-label": "Pictures", onkeydown: (event) => this.turn(event) });
    this.picture = h("div", { class: "hk-picture-pane", role: "tabpanel", tabindex: "0", id: id("picture") });
    const left = h("div", { class: "hk-bench-text" });
    if (names.length > 1) {
      for (const [name, code] of this.codes) left.append(h("p", { class: "hk-file-name" }, h("code", {}, name)), code.root);
    } else left.append(...[...this.codes.values()].map((code) => code.root));
    left.append(h("p", { class: "hk-hint" }, "Ctrl+Enter runs · Alt+↑ ↓ moves a line · Ctrl+/ comments · Escape, then Tab leaves the editor"));
    this.body = h("div", { class: "hk-bench-grid" }, left,
      h("div", { class: "hk-bench-side" }, this.card, this.costs, this.tabs, this.picture));
    this.walk = h("div", { class: "hk-walk", hidden: true });
    this.status = h("p", { class: "hk-status", role: "status" });
    this.paper = h("div", { class: "hk-paper" });
    this.unprint = printsFrom(this.paper, () => this.printed());
    this.el.append(this.head, this.bar, this.body, this.walk, this.status, this.says, this.paper);
    this.show();
  }

  // -- what the kernel says --

  take() {
    const texts = incoming(this.state, this.files, this.mine);
    if (texts) {
      this.quiet = true;
      for (const [name, code] of this.codes) code.replace(texts[name]);
      this.quiet = false;
    }
    this.show();
  }

  show() {
    const { state } = this;
    const { kind, head, sentence } = card(state);
    this.card.className = `hk-card hk-card-${kind}`;
    this.sign.textContent = SIGNS[kind];
    this.title.textContent = head;
    this.sentence.replaceChildren(...sentenceNodes(sentence));
    this.step.hidden = !state.step;
    this.step.textContent = `${state.step} ▸`;
    for (const [name, code] of this.codes) {
      const wrong = state.mistake?.file === name && state.files[name] === code.text ? state.mistake : null;
      code.wrong(wrong);
    }
    this.says.textContent = state.mistake ? sentence : "";
    this.age();
    this.showCosts();
    this.showPictures();
  }

  /** Say whether the verdict is about another text than the one in sight. */
  age() {
    this.fresh.textContent = current(this.state, this.files) ? "" : "Edited since.";
  }

  showCosts() {
    const { state } = this;
    const rows = state.counts.map(([name, value, most]) => {
      const { text, over } = against(value, most);
      return [name, h("strong", { class: over ? "hk-bad" : null }, String(value)), h("span", { class: over ? "hk-bad" : "hk-hint" }, text)];
    });
    const numbers = state.numbers.map(([name, number]) => [h("code", {}, name), h("code", {}, number)]);
    this.costs.replaceChildren(
      ...(rows.length ? [table(state.working, ["What it costs", "yours", "the exercise"], rows, "hk-counts")] : []),
      ...(numbers.length ? [table("What the header makes of it: the number of each call", ["call", "number"], numbers, "hk-counts")] : []));
    this.el.classList.toggle("hk-has-numbers", numbers.length > 0);
  }

  // -- pictures --

  showPictures() {
    const { pictures } = this.state;
    // Made now: a picture that is made when the page goes to the printer comes too late for it.
    this.prints = pictures.map(({ svg, alt, width }) => h("img", { src: `data:image/svg+xml;base64,${svg}`, alt, width }));
    this.tabs.hidden = this.picture.hidden = !pictures.length;
    if (!pictures.length) return;
    const names = pictures.map(({ name }) => name);
    const chosen = names.includes(this.tab) ? this.tab : names[0];
    if (this.tabs.dataset.names !== names.join()) {
      this.tabs.dataset.names = names.join();
      this.tabs.replaceChildren(...names.map((name) => h("button", { type: "button", role: "tab", id: id("tab"),
        "aria-controls": this.picture.id, onclick: () => this.openTab(name) }, name)));
    }
    this.openTab(chosen);
  }

  openTab(name) {
    this.tab = name;
    const picture = this.state.pictures.find((one) => one.name === name);
    for (const button of /** @type {any} */ (this.tabs.children)) {
      const here = button.textContent === name;
      button.setAttribute("aria-selected", String(here));
      button.tabIndex = here ? 0 : -1;
      if (here) this.picture.setAttribute("aria-labelledby", button.id);
    }
    const source = `data:image/svg+xml;base64,${picture.svg}`;
    if (this.picture.dataset.source === source) return;
    this.picture.dataset.source = source;
    this.picture.replaceChildren(h("img", { src: source, alt: picture.alt, width: picture.width }),
      ...(picture.rows.length ? [h("details", {}, h("summary", {}, "The same as a table"),
        table(name, picture.heads, picture.rows))] : []));
  }

  /** What goes on paper: on the screen the text and the pictures are seen in parts. */
  printed() {
    const { state } = this;
    const { head, sentence } = card(state);
    return [h("p", {}, h("strong", {}, `Workbench ${state.number}: ${state.title}`)),
      h("p", {}, h("strong", {}, head), " ", ...sentenceNodes(sentence)),
      ...[...this.codes].flatMap(([name, code]) => [h("p", {}, h("code", {}, name)), h("pre", {}, code.text)]),
      ...[...this.costs.children].map((part) => part.cloneNode(true)),
      ...this.prints];
  }

  turn(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const all = [...this.tabs.children];
    const at = all.findIndex((button) => button.getAttribute("aria-selected") === "true");
    const next = /** @type {any} */ (all[(at + by + all.length) % all.length]);
    this.openTab(next.textContent);
    next.focus();
  }

  // -- what the learner does --

  edited() {
    if (this.quiet || !this.codes) return;
    this.age();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send("edit"), PAUSE);
  }

  run() {
    clearTimeout(this.timer);
    const { files } = this;
    if (empty(files)) {
      this.say(EMPTY, true);
      return;
    }
    this.say("");
    clearTimeout(this.wait);
    this.wait = setTimeout(() => {
      this.say("Judging …");
      this.wait = setTimeout(() => this.say(NO_ANSWER, true), 4 * LATE);
    }, 300);
    this.send("run");
  }

  send(type) {
    const { files } = this;
    if (type === "edit" && empty(files)) return;
    this.keep(files);
    try {
      this.model.send({ type, files, by: this.mine });
    } catch {
      clearTimeout(this.wait);
      this.say(`Error: ${GONE_BENCH}`, true);
    }
  }

  /** Put the original in the place of the text, as if it were typed: undo brings the text back. */
  original() {
    for (const [name, code] of this.codes) code.replace(this.state.seed[name]);
    this.codes.values().next().value.focus();
    this.edited();
  }

  answer(message) {
    if (message.type === "trace") this.open(message);
    if (message.type !== "done") return;
    clearTimeout(this.wait);
    this.say(message.error ? `Error: ${message.error}` : "", Boolean(message.error));
  }

  say(text, bad = false) {
    this.status.textContent = text;
    this.status.classList.toggle("hk-bad", bad);
  }

  /** Keys are the bench's, but for what typing() leaves to the page; Ctrl+Enter runs wherever the focus is. */
  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.defaultPrevented) {
      event.preventDefault();
      event.stopPropagation();
      if (!this.body.hidden) this.run();
    } else if (event.defaultPrevented) event.stopPropagation();
    else typing(event);
  }

  maximise() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.el.requestFullscreen?.();
  }

  // -- the call that fails --

  ask() {
    this.say("");
    try {
      this.model.send({ type: "step" });
    } catch {
      this.say(`Error: ${GONE_BENCH}`, true);
    }
  }

  open({ data, step }) {
    const place = h("div", {});
    const back = h("button", { type: "button", class: "hk-go", onclick: () => this.shut() }, "◂ Back to the text");
    this.walk.replaceChildren(h("div", { class: "hk-walk-head" }, back,
      h("p", { tabindex: "0" }, h("strong", {}, card(this.state).head), " ", ...sentenceNodes(card(this.state).sentence))), place);
    this.body.hidden = this.head.hidden = true;
    this.walk.hidden = false;
    this.view = draw(opened(data, bytes), place, { start: step, bookmarks: {}, leave: () => back.focus() });
    this.view.root?.focus({ preventScroll: true });
  }

  shut() {
    this.view?.close?.();
    this.view = null;
    this.walk.hidden = true;
    this.walk.replaceChildren();
    this.body.hidden = this.head.hidden = false;
    this.step.focus();
  }

  // -- what this browser remembers --

  get shelf() {
    return `hypkit workbench ${this.state.number}`;
  }

  keep(files) {
    try {
      localStorage.setItem(this.shelf, JSON.stringify(files));
    } catch {
      // a browser that keeps nothing for this page
    }
  }

  offer() {
    let kept = null;
    try {
      kept = localStorage.getItem(this.shelf);
    } catch {
      return;
    }
    const files = offered(kept, this.state);
    if (!files) return;
    const done = () => {
      this.bar.hidden = true;
    };
    this.bar.hidden = false;
    this.bar.append(h("span", {}, "This browser still has a text that you wrote here before."), " ",
      h("button", { type: "button", onclick: () => {
        for (const [name, code] of this.codes) code.replace(files[name]);
        done();
        this.edited();
      } }, "Bring it back"), " ", h("button", { type: "button", onclick: done }, "Leave it"));
  }
}

/** anywidget: the kernel's side of a workbench has been made; its places in the page may come later. */
function initialize({ model }) {
  const page = /** @type {any} */ (globalThis);
  const bench = ((page.hypkitBenches ??= {})[model.get("name")] ??= { homes: [] });
  const made = [];
  const open = (home) => {
    const host = h("div", { class: "hypkit-live" });
    home.append(host);
    made.push(new Bench(host, model));
  };
  // A place that comes after the first may be that of a notebook opened again: is the kernel still there?
  bench.arrive = (home) => {
    if (!made.length) {
      open(home);
      return;
    }
    const heard = (message) => {
      if (message.type !== "done") return;
      model.off("msg:custom", heard);
      open(home);
    };
    model.on("msg:custom", heard);
    try {
      model.send({ type: "ping" });
    } catch {
      model.off("msg:custom", heard);
    }
  };
  for (const home of bench.homes) bench.arrive(home);
  return () => {
    for (const one of made) one.close();
    bench.arrive = null;
  };
}

/** anywidget: a workbench as a widget among others. */
function render({ model, el }) {
  const host = h("div", { class: "hypkit-live" });
  el.append(host);
  const one = new Bench(host, model);
  return () => one.close();
}

export default { initialize, render };
