// The controls of a stepper that has a machine: which call to make, and the editors.

import { Board } from "./board.js";
import { h } from "./dom.js";
import { Editor } from "./editor.js";
import { GONE, LATE, NO_ANSWER } from "./facts.js";

/** The controls above a stepper that has a machine: which call to make, and the editors. */
export class Controls extends Board {
  constructor(el, model) {
    super();
    this.model = model;
    this.heard = [];
    this.timer = 0;
    const choices = model.get("choices");
    const select = (name, label, options) => {
      const node = h("select", { onchange: () => {
        this.takeArgs();
        this.set(name, node.value);
      } }, options.map(([value, text]) => h("option", { value }, text)));
      this.link(name, node);
      return h("label", {}, label, node);
    };
    // Not at its change event: that comes just before a click on the button, and the call would be
    // made twice.
    const run = () => this.takeArgs() || this.request(() => model.send({ type: "run" }));
    this.args = h("input", { type: "text", spellcheck: "false", size: 22,
      onkeydown: (event) => event.key === "Enter" && run() });
    this.link("args", this.args);
    this.status = h("p", { class: "hk-status hk-control-status", role: "status" });
    const chosen = h("div", { class: "hk-choose" },
      select("variant", "Variant ", choices.variants),
      select("hypercall", "Hypercall ", choices.hypercalls),
      h("label", {}, "Arguments ", this.args),
      h("button", { type: "button", class: "hk-go", onclick: run }, "Run the call"),
      h("button", { type: "button", title: "What if: change an argument, and see this call and the last side by side",
        onclick: () => this.request(() => model.send({ type: "run", beside: true, args: this.args.value })) },
        "Run beside the last"));
    this.editors = choices.edits === false ? [] : [
      { of: "dispatcher", source: "source", language: "asm", what: "Edit the dispatcher",
        label: "Dispatcher, as assembly", go: "Assemble and run",
        empty: "An empty text is no dispatcher: nothing was run. Ctrl+Z brings the text back." },
      { of: "header", source: "header_source", language: "c", what: "Edit the numbering header",
        label: "Numbering header, in C", go: "Compile and run",
        empty: "An empty text is no header: nothing was run. Ctrl+Z brings the text back." },
    ].map((words) => new Editor(this, words));
    this.root = h("section", { class: "hk-controls", "aria-label": "The call to make",
      onkeydown: (event) => typing(event) },
      chosen, this.editors.map((editor) => editor.root), this.status);
    el.append(this.root);
    this.listen("change:status", () => this.showStatus());
    this.listen("msg:custom", (message) => message.type === "done" && this.answered());
    this.showStatus();
  }

  listen(event, action) {
    this.model.on(event, action);
    this.heard.push([event, action]);
  }

  close() {
    clearTimeout(this.timer);
    for (const editor of this.editors) editor.close();
    for (const [event, action] of this.heard) this.model.off(event, action);
  }

  link(name, node) {
    node.value = this.model.get(name);
    this.listen(`change:${name}`, () => { node.value = this.model.get(name); });
  }

  /** Give the kernel the arguments, which makes the call; whether they were new. */
  takeArgs() {
    const news = this.args.value !== this.model.get("args");
    if (news) this.set("args", this.args.value);
    return news;
  }

  set(name, value) {
    this.request(() => {
      this.model.set(name, value);
      this.model.save_changes();
    });
  }

  /** Ask the kernel for something, and say so where the answer takes its time. */
  request(action) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.say("Running …");
      this.timer = setTimeout(() => this.say(`No call was made yet. ${NO_ANSWER}`, true), LATE);
    }, 300);
    try {
      action();
    } catch {
      clearTimeout(this.timer);
      this.say(`Error: ${GONE}`, true);
    }
  }

  answered() {
    clearTimeout(this.timer);
    this.showStatus();
  }

  showStatus() {
    const status = this.model.get("status");
    this.say(status, status.startsWith("Error"));
  }
}

/** Keep from the page around what edits a text here; let it have its own, such as Ctrl+S. */
export function typing(event) {
  const modified = event.ctrlKey || event.metaKey || event.altKey;
  if (modified ? /^[acvxyz]$/i.test(event.key) : !(event.shiftKey && event.key === "Enter")) event.stopPropagation();
}
