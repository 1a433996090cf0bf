// A text of the learner's that the kernel assembles or compiles on demand.

import { Code } from "./code.js";
import { h, id } from "./dom.js";

export class Editor {
  /**
   * @param {any} controls
   * @param {{of: string, source: string, language: string, what: string, label: string, go: string, empty: string}} words
   *   the model's names of the learner's text and of the original, and what is written about them
   */
  constructor(controls, words) {
    this.controls = controls;
    this.model = controls.model;
    this.words = words;
    /** @type {Code | null} */
    this.code = null;
    this.place = h("div", {});
    this.wrong = h("p", { class: "hk-wrong", role: "alert", id: id("wrong") });
    this.fresh = h("span", { class: "hk-fresh" });
    // Most readers edit nothing: the text is only set up, and the editor asked for, when it is opened.
    this.root = h("details", { class: "hk-editor", ontoggle: () => this.root.open && this.open() }, h("summary", {}, words.what),
      this.place, this.wrong,
      h("p", {}, h("button", { type: "button", class: "hk-assemble", title: "Ctrl+Enter", onclick: () => this.send() }, words.go), " ",
        h("button", { type: "button", title: "Ctrl+Z brings your text back", onclick: () => this.original() },
          "Back to the original"), " ", this.fresh));
    controls.listen(`change:${words.of}`, () => this.take());
    controls.listen(`change:${words.source}`, () => this.take());
    controls.listen("change:error", () => this.showError());
    this.take();
    this.showError();
  }

  open() {
    if (this.code) return;
    this.code = new Code({ model: this.model, text: this.saved, language: this.words.language, label: this.words.label,
      describedby: this.wrong.id, changed: () => this.edited(), run: () => this.send() });
    this.place.append(this.code.root);
    this.showError();
  }

  close() {
    this.code?.close();
  }

  get saved() {
    return this.model.get(this.words.of) || this.model.get(this.words.source);
  }

  /** What is wrong with this text: {message, line, column} or nothing. */
  get error() {
    const error = this.model.get("error");
    return error?.of === this.words.of ? error : {};
  }

  /** Have the text run; an empty one is told, not run. */
  send() {
    const text = this.code?.text ?? "";
    if (!text.trim()) {
      this.wrong.textContent = this.words.empty;
      return;
    }
    this.wrong.textContent = "";
    this.controls.request(() => this.model.send({ type: "edit", of: this.words.of, text }));
  }

  /** Put the original in the place of the text, as if it were typed: undo brings the text back. */
  original() {
    this.code?.replace(this.model.get(this.words.source));
    this.code?.focus();
    this.edited();
    this.send();
  }

  take() {
    this.code?.replace(this.saved);
    this.root.hidden = !this.model.get(this.words.source);
    this.edited();
  }

  edited() {
    this.fresh.textContent = !this.code || this.code.text === this.saved
      ? "" : "Edited: what you see below still runs the text from before. Ctrl+Enter runs this one.";
  }

  showError() {
    const { message, line, column } = this.error;
    this.wrong.textContent = message ? (line ? `Line ${line}: ${message}` : message) : "";
    if (message) this.root.open = true;
    this.code?.wrong(message ? { message, line, column } : null);
    this.edited();
  }
}
