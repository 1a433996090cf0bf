// The memory that a step touches, and the stack of its level.

import { h } from "../dom.js";
import { MASK64 } from "../facts.js";
import { hex } from "../format.js";
import { value } from "../values.js";

const [BELOW, ABOVE] = [3, 6]; // slots of the stack

/** @type {import("./index.js").Panel} */
export const memoryPanel = { key: "memory", letter: "y", name: "Memory", says: "Memory and the stack",
                             nodes: memoryNodes };

function memoryNodes(view) {
  const touched = view.reel.accesses(view.step).map((access) => memoryRow(view, access));
  return [
    touched.length ? h("table", { class: "hk-touched" }, h("caption", {}, "Memory touched here"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "What, where, value"))),
      h("tbody", {}, touched))
      : h("p", {}, "This instruction touches no memory."),
    stack(view)];
}

function memoryRow(view, a) {
  const { reel } = view;
  const where = `${reel.addresses.space(a.va) ?? "none"}: ${reel.addresses.place(a)}`
    + (a.pa === null ? "" : `, physical ${hex(BigInt(a.pa))}`);
  return h("tr", { class: a.store ? "hk-changed" : "" }, h("th", { scope: "row" },
    `${a.store ? "store" : "load"} ${a.size} byte${a.size > 1 ? "s" : ""} at `,
    h("span", { class: "hk-value" }, value(view, a.va)),
    h("span", { class: "hk-meaning" }, where),
    a.fault ? "fault" : h("span", { class: "hk-value" }, a.store ? "→ " : "= ", value(view, a.value)), " ",
  ...(a.pa === null ? [] : [h("button", { type: "button", class: "hk-who",
    "aria-label": `Who wrote ${hex(a.va)} last`, title: "To the step that stored here last",
    onclick: view.on(() => view.whoStored(a.pa, a.size)) }, "◂ who?"),
  h("button", { type: "button", class: "hk-who", "aria-label": `Mark all reads and writes of ${hex(a.va)}`,
    title: "Mark every read and write of these bytes on the strip",
    onclick: view.on(() => view.markBytes(a.pa, a.size)) }, "mark all"), whence(view, a.pa, a.size, a.store ? view.step : reel.memory(a.pa, a.size, view.step).by, a.value)])));
}

/** A button that asks where bytes came from. */
function whence(view, pa, size, writer, word, text = "whence?") {
  return h("button", { type: "button", class: "hk-who", "aria-label": `Where do the ${size} bytes at ${hex(BigInt(pa))} come from?`,
    title: "Where this value came from", onclick: view.on(() => view.whenceBytes(pa, size, writer, word)) }, text);
}

function stack(view) {
  const { reel, step } = view;
  const sp = reel.register("sp", step);
  const after = step < reel.steps ? reel.registerAfter("sp", step) : sp;
  const rows = [];
  for (let slot = -BELOW; slot < ABOVE; slot++) {
    const va = (sp & ~7n) + BigInt(8 * slot);
    const pa = reel.addresses.pa(va & MASK64);
    if (pa === null) continue;
    const { value: held, by } = reel.memory(pa, 8, step);
    const store = reel.accesses(step).find((a) => a.store && !a.fault && a.pa === pa);
    const offset = `SP${slot < 0 ? "-" : "+"}0x${Math.abs(slot * 8).toString(16)}`;
    rows.push(h("tr", { class: store ? "hk-changed" : slot === 0 ? "hk-sp" : "" },
      h("th", { scope: "row", title: `${hex(va)}, physical ${hex(BigInt(pa))}` },
        va === sp ? "SP ▸" : va === after ? "after ▸" : offset),
      h("td", { class: "hk-value" }, held === null ? h("span", { class: "hk-before", title: "No step up to here has read or written it" }, "not seen") : value(view, held),
        store ? h("div", { class: "hk-new" }, value(view, store.value, "→ ")) : ""),
      h("td", {}, by === null ? h("span", { class: "hk-before" }, "before") : h("button", { type: "button", class: "hk-who",
        "aria-label": `${hex(va)} was last stored by step ${by}: go there`,
        onclick: view.on(() => view.go(by)) }, `◂${by}`),
        by === null ? null : whence(view, pa, 8, by, held, "?"))));
  }
  return h("table", { class: "hk-stack" }, h("caption", { title: hex(sp) }, `The stack at ${reel.el(reel.level(step))}'s SP`),
    h("thead", {}, h("tr", {}, ["Place", "Value", "By"].map(
      (text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows));
}
