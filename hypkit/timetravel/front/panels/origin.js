// Where a value came from, whom it depends on, and what it reaches.

import { digits, h, table } from "../dom.js";

/** @type {import("./index.js").Panel} */
export const originPanel = { key: "origin", letter: "w", name: "Origin", says: "Where a value comes from (whence)",
                             nodes: originNodes };

const ROLE = { value: "part of the value", address: "chose the address", condition: "chose between two" };

function originNodes(view) {
  const { asked } = view;
  if (!asked) {
    return [h("p", {}, "Click the name of a register, or ", h("em", {}, "whence?"), " beside memory, to see where its "
      + "value came from and whom it depends on."), choices(view)];
  }
  const { origin, reach, name } = asked;
  const found = origin ?? reach;
  return [
    h("p", {}, h("strong", {}, h("code", {}, found.what, ...(found.value === null ? [] : [" = ", digits(found.value)])))),
    h("p", { class: "hk-owners" }, ...owners(origin?.sources ?? [])),
    origin ? table("Where it comes from", ["First used, source, owner, value"], origin.sources.map((source) => sourceRow(view, source))) : "",
    origin ? chain(view, "By way of", origin.steps) : "",
    name ? h("div", {}, reach ? reached(view, reach) : "") : "",
    ...found.notes.map((note) => h("p", { class: "hk-hint" }, `Not known: ${note}.`))].filter(Boolean);
}

/** Whom a value depends on, in one line. */
function owners(sources) {
  const names = [...new Set(sources.map(({ owner }) => owner))];
  return names.length ? ["It depends on ", ...names.flatMap((owner, at) => [at ? ", " : "", badge(owner)]), "."] : [];
}

function badge(owner) {
  const level = { host: "host", VM: "vm", EL2: "hyp", you: "you" }[owner] ?? "other";
  return h("span", { class: `hk-owner hk-owner-${level}` }, owner);
}

function sourceRow(view, source) {
  const write = { true: "EL1 may write it", false: "EL1 may not write it" }[String(source.writable)];
  return [h("div", { class: "hk-source" },
    h("p", {}, h("button", { type: "button", class: "hk-who", title: "To the step that used it first",
      "aria-label": `${source.name}, used first by step ${source.step}: go there`,
      onclick: view.on(() => view.go(source.step)) }, `◂${source.step}`), " ", h("code", {}, source.name), " ", badge(source.owner)),
    source.value === null ? "" : h("p", { class: "hk-value" }, "= ", digits(source.value)),
    h("p", { class: "hk-meaning" }, [source.kind, ROLE[source.role], write].filter((part) => part !== undefined).join(" · ")))];
}

/** Steps as links, with what each is. */
function chain(view, caption, steps) {
  if (!steps.length) return "";
  return table(caption, ["Step", "Instruction"], steps.slice(0, 200).map((step) => [
    h("button", { type: "button", class: "hk-who", "aria-label": `Step ${step}: go there`,
      onclick: view.on(() => view.go(step)) }, `step ${step}`),
    view.reel.has(step) && step < view.reel.steps ? h("code", {}, view.reel.row(step).text) : ""]));
}

function reached(view, reach) {
  const rows = reach.ends.map(({ kind, name, step }) => [h("button", { type: "button", class: "hk-who",
    "aria-label": `Step ${step}: go there`, onclick: view.on(() => view.go(step)) }, `step ${step}`),
    h("span", {}, `${kind} `, h("code", {}, name))]);
  return rows.length ? table("What this value reaches", ["Step", "What"], rows)
    : h("p", { class: "hk-hint" }, "Nothing is made of this value any more.");
}

/** The registers that the step reads or writes, as questions. */
function choices(view) {
  const { reel, step } = view;
  if (step >= reel.steps) return "";
  const row = reel.row(step);
  const names = [...new Set([...row.reads, ...row.writes])].filter((name) => reel.meta.registers.includes(name));
  return h("p", {}, names.flatMap((name) => [h("button", { type: "button", onclick: view.on(() => view.whence(name)) },
    name), " "]));
}
