// The keys of a view: what each does, and the list of them for the reader.

import { h, table } from "./dom.js";
import { PANELS } from "./panels/index.js";

export const HINT = "n: next step · p: back · e: to the next exception level · /: search · ?: all keys";

const MOVING = [
  ["n or →", "next step"], ["p or ←", "previous step"],
  ["o", "over: to where this call comes back"], ["u", "out: to after the return of this function"],
  ["e, E", "to the next, the previous change of exception level"],
  ["t, T", "to the next, the previous mark on the timeline"],
  ["s or Home", "to the start"], ["z or End", "to the end"],
  ["PgDn, PgUp", "a tenth of the trace on, back"],
];
const FINDING = [
  ["/", "search: a label, words, x9, 0x102, x10 == 0x102, write VTTBR_EL2, read kvm_hcall_table, 0x4000-0x4fff"],
  ["f, F", "next, previous match of the search"],
  ["g", "go to a step by its number"],
  ["b", "set or remove a breakpoint on the current line, or on the line in focus"],
  ["r, R", "run on, run back, to the next breakpoint"],
  ["m", "bookmark this step, with a note"],
  ["↑ ↓ in the code", "another line; j: to the next run of that line"],
];
const LOOKING = [
  ["h, H", "zoom the strip in on this step; the whole trace again"], ["+, -", "larger, smaller letters"], ["x", "maximise, and back"],
  ["l", "copy a link to this step, or its number"],
  ["?", "this list"], ["Escape", "close this list; else leave the stepper"],
];

/** The list of all keys. */
export function keyTables() {
  const panels = PANELS.map(({ letter, says }) => [letter, says]);
  return [["Keys to move", MOVING], ["Keys to find and to keep", FINDING],
          ["Keys to look", [...panels, ...LOOKING]]].map(([caption, keys]) => table(
    String(caption), ["Key", "What it does"], /** @type {string[][]} */ (keys).map(([key, what]) => [h("kbd", {}, key), what])));
}

/**
 * What a key does in a view, or undefined.
 * @param {any} view
 * @param {string} key
 */
export function actionOf(view, key) {
  const { reel } = view;
  const tenth = Math.max(1, Math.round(reel.steps / 10));
  const fromHere = {
    n: () => view.go(view.step + 1), ArrowRight: () => view.go(view.step + 1),
    p: () => view.go(view.step - 1), ArrowLeft: () => view.go(view.step - 1),
    o: () => view.over(), u: () => view.out(),
    e: () => view.levelChange(1), E: () => view.levelChange(-1),
    t: () => view.nextMark(1), T: () => view.nextMark(-1),
    PageDown: () => view.go(view.step + tenth), PageUp: () => view.go(view.step - tenth),
    f: () => view.seek(1), F: () => view.seek(-1),
    b: () => view.step < reel.steps && view.toggleBreak(reel.site(view.step).row),
    r: () => view.run(1), R: () => view.run(-1), m: () => view.bookmark(),
  }[key];
  if (fromHere) return () => view.landed(fromHere);
  const panel = PANELS.find(({ letter }) => letter === key);
  if (panel) return () => view.openTab(panel.key);
  return {
    s: () => view.go(0), Home: () => view.go(0),
    z: () => view.go(reel.steps), End: () => view.go(reel.steps),
    "/": () => view.search.focus(), g: () => view.goto.focus(),
    h: () => view.strip.closer(1 / 4), H: () => view.strip.zoom(0, reel.steps + 1),
    "+": () => view.larger(1.15), "-": () => view.larger(1 / 1.15),
    "?": () => view.toggleKeys(), x: () => view.maximise(), l: () => view.copyLink(),
    Escape: () => view.escape(),
  }[key];
}
