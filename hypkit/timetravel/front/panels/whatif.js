// What if the host had sent or held something else: the call again, beside this one.

import { digits, h } from "../dom.js";
import { hex } from "../format.js";

/** @type {import("./index.js").Panel} */
export const whatIfPanel = { key: "whatif", letter: "i", name: "If", says: "What if: change what the host sends, run again",
                             nodes: whatIfNodes };

function whatIfNodes(view) {
  view.whatIf ??= form(view); // once: what was typed stays while the reader goes on
  return view.whatIf;
}

function form(view) {
  const { what_if: known, variant } = view.reel.meta;
  if (!known) return [h("p", {}, "This trace is of no call that could be made again with something changed.")];
  const wishes = (view.options.wishes ??= {});
  const field = (name, label) => h("input", { type: "text", spellcheck: "false", autocomplete: "off", value: wishes[name] ?? "",
    placeholder: "the same", "aria-label": label, oninput: (event) => { wishes[name] = event.target.value; },
    onkeydown: view.on((event) => event.key === "Enter" && run(view)) });
  const row = (name, word, title = "") => h("tr", {}, h("th", { scope: "row", title }, h("code", {}, name), " = ",
    h("span", { class: "hk-value" }, digits(BigInt(`0x${word}`))), title ? h("span", { class: "hk-meaning" }, title) : null),
    h("td", {}, field(name, `${name} instead of ${hex(BigInt(`0x${word}`))}`)));
  const table = (caption, rows) => h("table", { class: "hk-wishes" }, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, ["As it was", "Instead"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows));
  const other = h("input", { type: "text", spellcheck: "false", autocomplete: "off", placeholder: "label+0x10",
    "aria-label": "Another variable: a label or an address", value: wishes.other ?? "",
    oninput: (event) => { wishes.other = event.target.value; } });
  return [
    h("p", {}, "What if the host sent, or held, something else? ",
      h("button", { type: "button", class: "hk-go", onclick: view.on(() => run(view)) }, "Run again, beside this")),
    table("Registers at the HVC", Object.entries(known.registers).map(([name, word]) => row(name, word))),
    table("Variables that the call reads", [
      ...known.variables.map(([name, word, writable]) => row(name, word, writable ? "" : "EL1 may not write it, but may change its tables")),
      h("tr", {}, h("td", {}, other), h("td", {}, field("otherValue", "What the other variable shall be")))]),
    h("p", { class: "hk-hint" }, `Numbers, or labels of ${variant} to point to. With another x0 the host sends its registers as they are.`),
  ];
}

function run(view) {
  const { other, otherValue, ...rest } = view.options.wishes;
  const wanted = Object.entries({ ...rest, ...(other?.trim() ? { [other.trim()]: otherValue ?? "" } : {}) })
    .map(([name, text]) => [name, text.trim()]).filter(([, text]) => text);
  if (!wanted.length) {
    view.say("Nothing is changed yet: write a number or a label beside a register or a variable.");
    return undefined;
  }
  if (!view.options.whatIf) {
    const words = wanted.map(([name, text]) => `"${name}": ${/^-?(0x[0-9a-f_]+|\d+)$/i.test(text) ? text : `"${text}"`}`).join(", ");
    throw new Error(`this page has no machine to run it: in Python, stepper(call).what_if({${words}})`);
  }
  view.say("Running …");
  return view.options.whatIf(Object.fromEntries(wanted));
}
