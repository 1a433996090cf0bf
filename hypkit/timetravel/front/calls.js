// Which call is inside which: the path from the host down to the instruction of a step.

import { CALL, ERET, HVC, RETURN } from "./facts.js";

/**
 * @typedef {{name: string, at: number, level: string, up: Frame | null}} Frame
 *   a function on the path: its name, the step at which it was entered, its level, and who called it
 */

const FOLLOWED = 50_000; // steps

/**
 * For every step the innermost frame, or null where the trace is too long to be followed at once.
 * @param {any} reel
 * @returns {Frame[] | null}
 */
export function callPaths(reel) {
  if (reel.steps > FOLLOWED || !reel.whole) return null;
  const name = (step) => (reel.addresses.symbolize(reel.pc(step)) ?? "?").split("+")[0];
  const found = [];
  /** @type {Frame | null} */
  let frame = null;
  let enter = true;
  for (let step = 0; step < reel.steps; step++) {
    const level = reel.level(step);
    const here = name(step);
    if (enter || frame === null || frame.level !== level) {
      // An exception return to a level that is on the path goes back there.
      let back = frame;
      while (back && back.level !== level) back = back.up;
      frame = !enter && back ? back : { name: here, at: step, level, up: frame };
      enter = false;
    } else if (here !== frame.name && reel.pc(step) !== ((reel.pc(step - 1) + 4n) & ((1n << 64n) - 1n))) {
      // A branch to another function that does not come back: it takes the place of this one.
      frame = { name: here, at: step, level, up: frame.up };
    }
    found.push(frame);
    const { kind } = reel.row(step);
    if (kind & (CALL | HVC) || reel.exceptions.has(step)) enter = true;
    else if (kind & (RETURN | ERET)) {
      if (frame.up) frame = { ...frame.up };
    }
  }
  return found;
}

/** The frames from the outermost to the innermost. */
export function path(frame) {
  const found = [];
  for (let at = frame; at; at = at.up) found.unshift(at);
  return found;
}
