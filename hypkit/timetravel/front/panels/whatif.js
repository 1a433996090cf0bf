// What if something else had been sent, or been there at this step: the call again, beside this one.

import { digits, h, id } from "../dom.js";
import { hex } from "../format.js";

const SENT = /^x[0-6]$/; // what a host sends with a hypercall

/** @type {import("./index.js").Panel} */
export const whatIfPanel = { key: "whatif", letter: "i", name: "If", says: "What if: change a register or a variable, run again",
                             nodes: whatIfNodes };

function whatIfNodes(view) {
  view.whatIf ??= new Form(view); // once: what was typed stays while the reader goes on
  view.whatIf.show();
  return view.whatIf.nodes;
}

/** What the reader would have otherwise: before the call, or before the step in sight. */
class Form {
  constructor(view) {
    this.view = view;
    this.known = view.reel.meta.what_if;
    /** @type {{line: any, name: string, said: any, field: any, read: (() => bigint | null)}[]} */
    this.lines = [];
    if (!this.known) {
      this.nodes = [h("p", {}, "This trace is of no call that could be made again with something changed.")];
      return;
    }
    this.group = id("when");
    this.wishes = (view.options.wishes ??= {});
    this.caption = h("caption", {});
    this.hint = h("p", { class: "hk-hint" });
    this.where = h("span", {});
    const registers = view.reel.meta.registers.filter((name) => name !== "pstate");
    this.nodes = [
      h("div", { class: "hk-when", role: "radiogroup", "aria-label": "When it is changed" },
        this.choice("start", "before the call"), this.choice("step", "before ", this.where),
        h("button", { type: "button", class: "hk-go", onclick: view.on(() => this.run()) }, "Run again, beside this")),
      this.table(this.caption, registers.map((name) => this.line(name, () => this.register(name)))),
      this.table(h("caption", {}, "Variables that the call reads"), [
        ...this.known.variables.map(([name, word, writable, pa, size]) => this.line(name, () => this.variable(word, pa, size),
          writable ? "" : "EL1 may not write it, but may change its tables")), this.other()]),
      this.hint];
  }

  get atStep() {
    return this.wishes.from === "step";
  }

  choice(key, ...words) {
    const radio = h("input", { type: "radio", name: this.group, onchange: this.view.on(() => {
      this.wishes.from = key;
      this.show();
    }) });
    this[key] = radio;
    return h("label", {}, radio, " ", ...words);
  }

  field(name, label) {
    return h("input", { type: "text", spellcheck: "false", autocomplete: "off", value: this.wishes[name] ?? "",
      placeholder: "the same", "aria-label": label, oninput: (event) => { this.wishes[name] = event.target.value; },
      onkeydown: this.view.on((event) => event.key === "Enter" && this.run()) });
  }

  line(name, read, title = "") {
    const said = h("span", { class: "hk-value" });
    const field = this.field(name, name);
    const line = h("tr", {}, h("th", { scope: "row", title }, h("code", {}, name), " = ", said,
      title ? h("span", { class: "hk-meaning" }, title) : null), h("td", {}, field));
    this.lines.push({ line, name, said, field, read });
    return line;
  }

  other() {
    const name = h("input", { type: "text", spellcheck: "false", autocomplete: "off", placeholder: "label+0x10",
      "aria-label": "Another variable: a label or an address", value: this.wishes.other ?? "",
      oninput: (event) => { this.wishes.other = event.target.value; } });
    return h("tr", {}, h("td", {}, name), h("td", {}, this.field("otherValue", "What the other variable shall be")));
  }

  table(caption, rows) {
    return h("table", { class: "hk-wishes" }, caption,
      h("thead", {}, h("tr", {}, ["As it was", "Instead"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows));
  }

  register(name) {
    if (this.atStep) return this.view.reel.register(name, this.view.step);
    return SENT.test(name) ? BigInt(`0x${this.known.registers[name]}`) : null;
  }

  variable(word, pa, size) {
    const now = this.atStep ? this.view.reel.memory(pa, size, this.view.step).value : null;
    return now ?? BigInt(`0x${word}`);
  }

  /** What stands beside each field: the value that the call had there. */
  show() {
    const { known, view, atStep } = this;
    if (!known) return;
    const { reel, step } = view;
    const over = step >= reel.steps;
    this[atStep ? "step" : "start"].checked = true;
    this.where.textContent = over ? "a step" : `step ${step}`;
    this.caption.textContent = atStep ? `Registers before step ${Math.min(step, reel.steps)}` : "Registers at the HVC";
    this.hint.textContent = atStep
      ? "The machine runs to this step as it did, stands still while they are changed, and goes on. A variable changes as if "
        + `another core of the host wrote it. Numbers, or labels of ${reel.meta.variant} to point to.`
      : `Numbers, or labels of ${reel.meta.variant} to point to. With another x0 the host sends its registers as they are.`;
    const row = over ? { reads: [], writes: [] } : reel.row(step);
    const here = new Set([...row.reads, ...row.writes]);
    for (const { line, name, said, field, read } of this.lines) {
      const isRegister = reel.meta.registers.includes(name);
      line.hidden = isRegister && !SENT.test(name) && !(atStep && (here.has(name) || this.wishes[name]?.trim()));
      const word = line.hidden ? null : read();
      if (word === null || said.title === hex(word)) continue;
      said.title = hex(word);
      said.replaceChildren(digits(word));
      field.setAttribute("aria-label", `${name} instead of ${hex(word)}`);
    }
  }

  run() {
    const { view, atStep } = this;
    const { other, otherValue, from: _from, ...rest } = this.wishes;
    const shown = new Set(this.lines.filter(({ line }) => !line.hidden).map(({ name }) => name));
    const wanted = Object.entries({ ...rest, ...(other?.trim() ? { [other.trim()]: otherValue ?? "" } : {}) })
      .map(([name, text]) => [name, text.trim()])
      .filter(([name, text]) => text && (shown.has(name) || name === other?.trim()));
    if (!wanted.length) {
      view.say("Nothing is changed yet: write a number or a label beside a register or a variable.");
      return undefined;
    }
    if (atStep && view.step >= view.reel.steps) {
      view.say("After the last step nothing can be changed any more: go to a step before it.");
      return undefined;
    }
    const at = atStep ? view.step : null;
    if (!view.options.whatIf) {
      const words = wanted.map(([name, text]) => `"${name}": ${/^-?(0x[0-9a-f_]+|\d+)$/i.test(text) ? text : `"${text}"`}`).join(", ");
      throw new Error(`this page has no machine to run it: in Python, stepper(call).what_if({${words}}${at === null ? "" : `, at=${at}`})`);
    }
    view.say("Running …");
    return view.options.whatIf(Object.fromEntries(wanted), at);
  }
}
