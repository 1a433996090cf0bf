// Where a value came from and what it reaches: Python's answers, found again by place and writer.

import { upTo } from "./chunk.js";
import { hex } from "./format.js";

/**
 * @typedef {{kind: string, name: string, value: bigint | null, owner: string, role: string,
 *            step: number, writable: boolean | null}} Source
 * @typedef {{what: string, steps: number[], sources: Source[], ends: {kind: string, name: string,
 *            step: number}[], notes: string[], value: bigint | null}} Answer
 */

/** The numbers in runs: first, last, first, last ... */
export function unrolled(runs) {
  const found = [];
  for (let at = 0; at < runs.length; at += 2) {
    for (let step = runs[at]; step <= runs[at + 1]; step++) found.push(step);
  }
  return found;
}

function source([kind, name, value, owner, role, step, writable]) {
  return { kind, name, value: value === null ? null : BigInt("0x" + value), owner, role, step, writable };
}

/** "before step 5", or "at the end". */
const when = (reel, step) => (step < reel.steps ? `before step ${step}` : "at the end");

function answer(reel, found, what, value) {
  if (!found) return null;
  const [runs, numbers, notes] = found;
  const { sources, notes: words } = reel.meta.origins;
  return { what, value, steps: unrolled(runs), sources: numbers.map((number) => source(sources[number])),
           ends: [], notes: notes.map((number) => words[number][0]) };
}

/** The kernel's answer to a question, as [origin, reach]. */
export function told({ what, value, steps, sources, ends, notes, reached, toward }) {
  const word = value === null ? null : BigInt("0x" + value);
  return [{ what, value: word, steps: unrolled(steps), sources: sources.map(source), ends: [], notes },
          { what, value: word, steps: unrolled(reached), sources: [], notes: toward,
            ends: ends.map(([kind, name, step]) => ({ kind, name, step })) }];
}

/**
 * A register before a step as a place that has a writer: "place writer", and the level that asks.
 * @returns {[string, number]}
 */
function placed(reel, name, step) {
  const el = Number((reel.register("pstate", step) >> 2n) & 3n);
  const place = name === "sp" ? `sp_el${el}` : name;
  const writers = reel.meta.origins?.writers[place] ?? [];
  return [`${place} ${writers[upTo(writers, step - 1) - 1] ?? -1}`, el];
}

/**
 * Where the value of a register before a step came from; null where this page does not know.
 * @returns {Answer | null}
 */
export function originOf(reel, name, step) {
  const [place, el] = placed(reel, name, step);
  const found = reel.meta.origins?.of[`${place} ${el}`];
  return answer(reel, found, `${name} ${when(reel, step)}`, reel.register(name, step));
}

/** The same for bytes of memory, by physical address, that step `writer` stored (null: none did; "edit": the reader put them there). */
export function originOfBytes(reel, pa, size, writer, value) {
  const found = reel.meta.origins?.of[`${pa} ${size} ${writer ?? -1}`];
  return answer(reel, found, `${size} bytes at ${hex(BigInt(pa))}`, value);
}

/** What the value of a register before a step reaches, from where it was written. */
export function reachOf(reel, name, step) {
  const { origins } = reel.meta;
  const found = origins?.reach[placed(reel, name, step)[0]];
  if (!found) return null;
  const [runs, numbers, notes] = found;
  return { what: `${name} ${when(reel, step)}`, value: reel.register(name, step), steps: unrolled(runs), sources: [],
           ends: numbers.map((number) => {
             const [kind, place, at] = origins.ends[number];
             return { kind, name: place, step: at };
           }), notes: notes.map((number) => origins.notes[number][0]) };
}
