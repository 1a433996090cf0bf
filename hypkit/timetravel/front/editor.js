// A text of the learner's that the kernel assembles or compiles on demand.

import { h, id } from "./dom.js";

const LINE = 20; // a line's height in the style sheet, in CSS pixels
const PADDING = 6; // the padding above the first

export class Editor {
  /**
   * @param {any} controls
   * @param {{of: string, source: string, what: string, label: string, go: string, empty: string}} words
   *   the model's names of the learner's text and of the original, and what is written about them
   */
  constructor(controls, words) {
    const { model } = controls;
    this.controls = controls;
    this.model = model;
    this.words = words;
    this.text = h("textarea", { rows: 14, spellcheck: "false", wrap: "off", "aria-label": words.label,
      "aria-keyshortcuts": "Control+Enter", oninput: () => this.edited(), onscroll: () => this.scrolled(),
      onkeydown: (event) => this.key(event) });
    this.gutter = h("pre", { class: "hk-lines", "aria-hidden": "true" });
    this.band = h("div", { class: "hk-band", hidden: true });
    this.wrong = h("p", { class: "hk-wrong", role: "alert", id: id("wrong") });
    this.text.setAttribute("aria-describedby", this.wrong.id);
    this.fresh = h("span", { class: "hk-fresh" });
    this.root = h("details", { class: "hk-editor" }, h("summary", {}, words.what),
      h("div", { class: "hk-edit" }, this.gutter, this.band, this.text), this.wrong,
      h("p", {}, h("button", { type: "button", class: "hk-assemble", title: "Ctrl+Enter", onclick: () => this.send() }, words.go), " ",
        h("button", { type: "button", title: "Ctrl+Z brings your text back", onclick: () => this.original() },
          "Back to the original"), " ", this.fresh));
    controls.listen(`change:${words.of}`, () => this.take());
    controls.listen(`change:${words.source}`, () => this.take());
    controls.listen("change:error", () => this.showError());
    this.take();
    this.showError();
  }

  get saved() {
    return this.model.get(this.words.of) || this.model.get(this.words.source);
  }

  /** What is wrong with this text: {message, line} or nothing. */
  get error() {
    const error = this.model.get("error");
    return error?.of === this.words.of ? error : {};
  }

  /** Have the text run; an empty one is told, not run. */
  send() {
    if (!this.text.value.trim()) {
      this.wrong.textContent = this.words.empty;
      return;
    }
    this.wrong.textContent = "";
    this.controls.request(
      () => this.model.send({ type: "edit", of: this.words.of, text: this.text.value }));
  }

  /** Put the original in the place of the text, as if it were typed: undo brings the text back. */
  original() {
    this.text.focus();
    this.text.select();
    const source = this.model.get(this.words.source);
    if (!document.execCommand("insertText", false, source)) this.text.value = source;
    this.edited();
    this.send();
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      event.stopPropagation();
      this.send();
    }
  }

  take() {
    // What the learner typed meanwhile stays.
    if (this.text.value !== this.saved) this.text.value = this.saved;
    this.root.hidden = !this.model.get(this.words.source);
    this.edited();
  }

  edited() {
    const wrong = this.error.line;
    this.gutter.replaceChildren(...this.text.value.split("\n").map((_, at) =>
      h("span", { class: at + 1 === wrong ? "hk-wrong-line" : null },
        `${at + 1 === wrong ? "✖" : ""}${String(at + 1).padStart(3)}\n`)));
    this.fresh.textContent = this.text.value === this.saved
      ? "" : "Edited: what you see below still runs the text from before. Ctrl+Enter runs this one.";
    this.scrolled();
  }

  /** The numbers, and the band behind the wrong line, go where the text goes. */
  scrolled() {
    this.gutter.scrollTop = this.text.scrollTop;
    const { line } = this.error;
    this.band.hidden = !line;
    this.band.style.top = `${PADDING + LINE * (line - 1) - this.text.scrollTop}px`;
  }

  showError() {
    const { message, line } = this.error;
    this.wrong.textContent = message ? (line ? `Line ${line}: ${message}` : message) : "";
    if (message) {
      this.root.open = true;
      this.text.setAttribute("aria-invalid", "true");
    } else {
      this.text.removeAttribute("aria-invalid");
    }
    if (line) this.text.scrollTop = Math.max(0, LINE * (line - 6));
    this.edited();
  }
}
