// The system registers before and after a step, field by field.

import { h, keyed } from "../dom.js";
import { ADDRESSES, EC_HVC } from "../facts.js";
import { decimal, hex } from "../format.js";
import { sysWriter, value } from "../values.js";

const FIRST = ["ESR_EL2", "ELR_EL2", "SPSR_EL2", "VBAR_EL2", "VTTBR_EL2", "FAR_EL2"];

/** @type {import("./index.js").Panel} */
export const statePanel = { key: "state", letter: "d", name: "State", says: "System registers",
                            nodes: stateNodes };

function stateNodes(view) {
  const { reel, step } = view;
  const news = reel.sysChanged(step);
  const known = reel.meta.sysregs;
  const names = [...FIRST.filter((name) => known.includes(name)), ...known.filter((name) => !FIRST.includes(name))];
  const changed = names.filter((name) => news.has(known.indexOf(name)));
  if (!view.state) {
    const body = h("tbody");
    view.state = { body, table: h("table", { class: "hk-state" },
      h("caption", {}, "System registers"),
      h("thead", {}, h("tr", {}, ["Register, value, fields", "Written"].map(
        (text) => h("th", { scope: "col" }, text)))), body) };
  }
  keyed(view.state.body, [...changed, ...names.filter((name) => !changed.includes(name))].map((name) => {
    const number = known.indexOf(name);
    const before = reel.sysreg(number, step);
    const after = news.get(number) ?? before;
    const writer = reel.lastSysWrite(number, step);
    return [name, `${before} ${after} ${news.has(number)} ${writer} ${reel.level(step)}`,
            () => stateRow(view, name, number, before, after, news.has(number))];
  }));
  return [view.state.table];
}

function stateRow(view, name, number, before, after, fresh) {
  const plainly = !ADDRESSES.test(name);
  return h("tr", { class: after === before ? "" : "hk-changed" },
    h("th", { scope: "row" }, h("span", { class: "hk-sysname" }, (fresh ? "● " : "") + name), " ",
      h("span", { class: "hk-value" }, value(view, before, "", plainly)),
      after === before ? null : h("span", { class: "hk-value hk-new" }, " ", value(view, after, "→ ", plainly)),
      h("span", { class: "hk-meaning" }, fields(view.reel, name, after))),
    h("td", {}, sysWriter(view, name, number)));
}

/** The fields of a system register in words, each with the bits that say so. */
export function fields(reel, name, word) {
  const symbol = ADDRESSES.test(name) ? reel.addresses.symbolize(word) : null;
  const parts = symbol === null ? [] : [`${reel.addresses.space(word)}: ${symbol}`];
  if (!word) return ["zero"];
  for (const [field, high, low, meaning] of reel.meta.fields[name]) {
    const number = (word >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
    const says = fieldText(reel, name, word, { field, meaning, number, wide: high > low });
    if (!says) continue;
    const bits = high === low ? `bit ${low}` : `bits ${high} to ${low}`;
    parts.push(h("span", { class: "hk-field", title: `${name}.${field}, ${bits} = ${hex(number)}: ${meaning}` }, says));
  }
  return parts.length ? parts.flatMap((part, at) => (at ? [" · ", part] : [part])) : [decimal(word)];
}

/** What a field says, "" where that is nothing. */
function fieldText(reel, name, word, { field, meaning, number, wide }) {
  if (field === "EC") return `EC ${hex(number)}: ${reel.meta.ec[Number(number)] ?? "?"}`;
  if (field === "ISS" && (word >> 26n) === EC_HVC) return `ISS: from hvc #${number}`;
  if (field === "M" && name.startsWith("SPSR")) return `M: ${reel.meta.modes[Number(number)] ?? hex(number)}`;
  if (!wide) return number ? `${field}: ${meaning}` : "";
  if (field === "BASE" || field === "BADDR") return "";
  if (field === "FIPA") return number ? `IPA ${hex(number << 12n)}` : "";
  return `${field} ${hex(number)}: ${meaning}`;
}
