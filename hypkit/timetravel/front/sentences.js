// What a step does, in words: hypkit/explain/templates.py fills the same gaps by the same rules.

import { MASK64 } from "./facts.js";
import { compared, flags, number } from "./format.js";

/**
 * What a step does, in one sentence.
 * @param {any} reel
 * @param {number} step
 * @returns {string}
 */
export function sentence(reel, step) {
  const { addresses } = reel;
  if (step >= reel.steps) return reel.meta.outcome || "The end of the trace.";
  const exception = reel.exceptions.get(step);
  if (exception) return exception.text;
  const row = reel.row(step);
  const text = reel.went(step) && row.taken !== null ? row.taken : row.sentence;
  const changed = reel.changed(step).filter((name) => name !== "pstate");
  const accesses = reel.accesses(step);
  const vm = reel.level(step) === "vm";
  return text.replace(/\{([^{}]+)\}/g, (_, gap) => {
    const [op, ...args] = gap.split(" ");
    switch (op) {
      case "before": return addresses.what(reel.register(args[0], step), vm);
      case "after": return addresses.what(reel.registerAfter(args[0], step), vm);
      case "goes": return addresses.what(reel.nextPc(step), reel.levelAfter(step) === "vm");
      case "level": return reel.levelText(reel.levelAfter(step));
      case "flags": return flags(reel.registerAfter("pstate", step));
      case "place": return accesses.length ? addresses.place(accesses[0]) : "memory";
      case "values":
        return accesses.map((a) => (a.fault ? "fault" : addresses.what(a.value, vm))).join(" and ");
      case "compare": {
        const [one, other] = args.map((arg) => "xs".includes(arg[0])
          ? reel.register(arg, step) : number(arg) & MASK64);
        return compared(one, other);
      }
      case "ec": {
        const ec = changed.length
          ? Number((reel.registerAfter(changed[0], step) >> 26n) & 63n) : -1;
        return reel.meta.ec[ec] ?? "as before";
      }
      case "changes":
        return changed.map((name) => 
          `${name} becomes ${addresses.what(reel.registerAfter(name, step), vm)}`)
          .join(", ") || "No change";
      default: throw new Error(`no gap ${op}`);
    }
  });
}
