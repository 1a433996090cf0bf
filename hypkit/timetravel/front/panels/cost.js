// What the steps so far cost, by phase, as hypkit.cost counts.

import { h, table } from "../dom.js";

const BOUNDARY = ["entry", "dispatch", "call", "return"]; // hypkit.cost.HYP_PHASES

// hypkit.cost's counters: what stands above a narrow column, and what it means.
const SHORT = {
  instructions: ["instr.", "instructions"], loads: ["loads", "loads"], stores: ["stores", "stores"],
  taken: ["taken", "branches taken"], not_taken: ["not", "branches not taken"], indirect: ["indir.", "indirect branches"],
};

/** @type {import("./index.js").Panel} */
export const costPanel = { key: "cost", letter: "c", name: "Cost", says: "Cost so far, by phase",
                           nodes: costNodes };

function costNodes(view) {
  const { reel, step } = view;
  const phases = reel.cost(step);
  const names = reel.meta.counters.map((name) => h("abbr", { title: SHORT[name]?.[1] ?? name }, SHORT[name]?.[0] ?? name));
  const seen = phases.filter(({ counts }) => counts[0]);
  const rows = seen.map(({ name, counts }) => [name, ...counts.map(String)]);
  const sum = (of) => names.map((_, at) => of.reduce((total, { counts }) => total + counts[at], 0));
  rows.push(["all", ...sum(phases).map(String)],
            ["EL2 without the handler", ...sum(phases.filter(({ name }) => BOUNDARY.includes(name))).map(String)]);
  return [table(`Cost of the ${step} steps so far`, ["Phase", ...names], rows, "hk-numbers"),
    h("p", { class: "hk-hint" }, ["Counted as hypkit.cost counts; at the end the two are equal.",
      ...seen.map(({ name, says }) => `${name}: ${says}.`)].join(" "))];
}
