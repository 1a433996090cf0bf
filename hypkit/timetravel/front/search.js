// What a reader can search for, and which steps answer it.

import { MASK64 } from "./facts.js";
import { hex, number } from "./format.js";

const COMPARE = {
  "==": (one, other) => one === other, "!=": (one, other) => one !== other,
  "<": (one, other) => one < other, ">": (one, other) => one > other,
  "<=": (one, other) => one <= other, ">=": (one, other) => one >= other,
};
const NUMBER = "-?(?:0x[0-9a-f_]+|\\d[\\d_]*)";
const RANGE = new RegExp(`^(${NUMBER})\\s*(?:-|\\.\\.)\\s*(${NUMBER})$`, "i");
const CONDITION = new RegExp(`^(\\w+)\\s*(==|!=|<=|>=|<|>)\\s*(${NUMBER})$`, "i");

/** A number as it was typed, or null. */
export function typed(text) {
  const plain = text.replaceAll(/[_ ]/g, "").toLowerCase();
  return /^-?(0x[0-9a-f]+|\d+)$/.test(plain) ? number(plain) & MASK64 : null;
}

/**
 * What a text asks for.
 * @param {any} reel
 * @param {string} text
 * @returns {{test: (step: number) => boolean, worth?: (chunk: any) => boolean, says: string}}
 */
export function query(reel, text) {
  const wanted = text.trim();
  const lower = wanted.toLowerCase();
  const condition = CONDITION.exec(wanted);
  if (condition) return becomes(reel, condition[1], condition[2], typed(condition[3]));
  const access = /^(read|reads|write|writes)\s+(.+)$/i.exec(wanted);
  if (access) return touches(reel, access[1].toLowerCase().startsWith("write"), access[2].trim());
  const range = RANGE.exec(wanted);
  if (range) return within(reel, typed(range[1]), typed(range[2]));
  if (reel.meta.registers.includes(lower)) {
    return { test: (step) => reel.changed(step).includes(lower), says: `a write of ${lower}` };
  }
  if (reel.rows.some((row) => row.label === wanted)) {
    return { test: (step) => reel.row(step).label === wanted, says: `the label ${wanted}` };
  }
  const value = typed(wanted);
  if (value !== null) return moves(reel, value);
  const hits = reel.rows.map((row) => `${row.label}: ${row.text} ${row.comment}`.toLowerCase()
    .includes(lower));
  return { test: (step) => hits[reel.site(step).row]
    || reel.sentence(step).toLowerCase().includes(lower), says: "this text" };
}

/** The steps after which a register compares so, and before which it did not. */
function becomes(reel, name, op, value) {
  const compare = COMPARE[op];
  const system = reel.meta.sysregs.indexOf(name.toUpperCase());
  const register = name.toLowerCase();
  if (system >= 0) {
    return { says: `${name.toUpperCase()} ${op} ${hex(value)}`, test: (step) => {
      const news = reel.sysChanged(step).get(system);
      return news !== undefined && compare(news, value) && !compare(reel.sysreg(system, step), value);
    } };
  }
  if (!reel.meta.registers.includes(register)) {
    throw new Error(`${name} is no register of this trace: try x0 == 0x102 or VTTBR_EL2 != 0`);
  }
  return { says: `${register} ${op} ${hex(value)}`, test: (step) => reel.changed(step).includes(register)
    && compare(reel.registerAfter(register, step), value) && !compare(reel.register(register, step), value) };
}

/** The steps that read or write a register, a system register, or memory at a label or address. */
function touches(reel, store, what) {
  const verb = store ? "a write of" : "a read of";
  const name = what.toLowerCase();
  if (reel.meta.registers.includes(name)) {
    return { says: `${verb} ${name}`, test: store ? (step) => reel.changed(step).includes(name)
      : (step) => reel.row(step).reads.includes(name) };
  }
  const system = reel.meta.sysregs.indexOf(what.toUpperCase());
  if (system >= 0) {
    const register = what.toUpperCase();
    return { says: `${verb} ${register}`, test: store ? (step) => reel.sysChanged(step).has(system)
      : (step) => /^mrs\b/.test(reel.row(step).text) && reel.row(step).text.toUpperCase().includes(register) };
  }
  const range = RANGE.exec(what);
  const label = reel.meta.symbols[1].indexOf(what);
  const from = range ? typed(range[1]) : label >= 0 ? BigInt(reel.meta.symbols[0][label]) : typed(what);
  if (from === null) throw new Error(`${what} is neither a register, a label nor an address`);
  const end = range ? typed(range[2]) : from;
  const place = (va) => reel.addresses.pa(va) ?? Number(va);
  const [low, high] = [place(from), place(end)];
  return { says: `${verb} ${what}`, test: (step) => reel.accesses(step).some((a) => a.store === store
    && a.pa !== null && a.pa <= high && a.pa + a.size > low) };
}

/** The steps that run in, or touch, a range of addresses; the end is part of it. */
function within(reel, low, high) {
  if (low > high) throw new Error(`${hex(low)} is above ${hex(high)}: give the lower address first`);
  return { says: `an address from ${hex(low)} to ${hex(high)}`, test: (step) => {
    const pc = reel.pc(step);
    return (pc >= low && pc <= high)
      || reel.accesses(step).some((a) => a.va <= high && a.va + BigInt(a.size) > low);
  } };
}

/** The steps at which a value is: executed there, put in a register, moved from or to memory. */
function moves(reel, value) {
  const place = reel.sites.findIndex(({ pc }) => pc === value);
  return {
    says: `the value ${hex(value)}`,
    worth: (chunk) => [chunk.values, chunk.accVa, chunk.accValue, chunk.sysValue].some(
      (column) => column.includes(value)) || (place >= 0 && chunk.site.includes(place)),
    test: (step) => reel.pc(step) === value
      || reel.changed(step).some((name) => reel.registerAfter(name, step) === value)
      || reel.accesses(step).some((a) => a.va === value || (!a.fault && a.value === value))
      || [...reel.sysChanged(step).values()].includes(value),
  };
}
