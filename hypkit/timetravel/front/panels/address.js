// One address: its names in the four spaces, what lies there now, and the walks to it.

import { digits, h, table } from "../dom.js";
import { MASK64 } from "../facts.js";
import { hex } from "../format.js";
import { value } from "../values.js";

const WORDS = 8; // shown of what lies there

/** @type {import("./index.js").Panel} */
export const addressPanel = { key: "address", letter: "a", name: "Address", says: "An address: names, bytes, walks",
                              nodes: addressNodes };

function addressNodes(view) {
  const { reel, step } = view;
  const { addresses } = reel;
  const address = view.address ?? reel.pc(step);
  const field = h("input", { type: "text", value: hex(address), spellcheck: "false",
    "aria-label": "Address in hexadecimal, or a label" });
  const ask = view.on((event) => {
    event.preventDefault();
    view.address = asked(reel, field.value.trim());
    view.showPanel();
  });
  const pa = addresses.pa(address);
  const space = addresses.space(address);
  const parts = [h("form", { class: "hk-ask", onsubmit: ask }, field, h("button", {}, "Look up")),
    h("p", {}, h("code", {}, digits(address)), " is " + (space === null ? "in none of the four address spaces."
      : `the ${space} address of `), space === null ? null : h("code", {}, addresses.symbolize(address) ?? "no label"),
      space === null ? null : ".")];
  if (pa !== null && space !== "VM") {
    parts.push(table("The four names of this byte", ["Space", "Address"],
      addresses.names(pa).map(([name, word]) => [name === space ? `${name} (this one)` : name,
        value(view, word)])));
  }
  if (pa !== null) parts.push(dump(view, address));
  for (const walk of reel.translations(address, step)) {
    parts.push(h("p", { class: walk.fault ? "hk-fault" : "hk-maps" },
      h("strong", {}, `${walk.regime}: `), (walk.fault ? "✖ " : "✔ ") + walk.says));
    if (walk.levels.length) {
      parts.push(table(`Page walk: ${walk.regime}`, ["Level", "Table, slot", "Descriptor, kind"],
        walk.levels.map((level) => [String(level.level),
          two(BigInt(level.table), `slot ${hex(BigInt(level.index))}`),
          two(level.descriptor, level.kind)])));
    }
  }
  parts.push(h("p", { class: "hk-hint" }, "Walked through the tables that boot built."));
  return parts;
}

/** A number, and below it what goes with it. */
function two(number, words) {
  return h("span", {}, h("code", {}, digits(number)), h("span", { class: "hk-meaning" }, words));
}

/** An address as it was typed. */
function asked(reel, text) {
  const at = reel.meta.symbols[1].indexOf(text);
  if (at >= 0) return BigInt(reel.meta.symbols[0][at]) + reel.addresses.voffset;
  if (/^(0x)?[0-9a-f_ ]+$/i.test(text)) {
    return BigInt("0x" + text.replace(/^0x/i, "").replaceAll(/[_ ]/g, "")) & MASK64;
  }
  throw new Error(`${text} is neither a label nor a hexadecimal number`);
}

/** What lies at an address before this step, as far as the trace tells. */
function dump(view, address) {
  const { reel, step } = view;
  const start = address & ~7n;
  const rows = [];
  for (let word = 0; word < WORDS; word++) {
    const va = (start + BigInt(8 * word)) & MASK64;
    const pa = reel.addresses.pa(va);
    if (pa === null) break;
    const { value: held, by } = reel.memory(pa, 8, step);
    rows.push([h("span", { title: hex(va) }, va === start ? "here" : `+0x${(8 * word).toString(16)}`),
      held === null ? h("span", { class: "hk-before" }, "not seen yet") : digits(held),
      by === null ? (held === null ? "" : h("span", { class: "hk-before" }, "before"))
        : h("button", { type: "button", class: "hk-who",
            "aria-label": `${hex(va)} was last stored by step ${by}: go there`,
            onclick: view.on(() => view.go(by)) }, `◂${by}`)]);
  }
  return table("What lies here at this moment", ["Address", "Value", "Written"], rows);
}
