// What goes on paper: the trace itself, where the screen has one step of it.

import { digits, h, sentenceNodes, table } from "./dom.js";
import { edited } from "./edits.js";
import { hex } from "./format.js";

const MOST = 2000; // steps

/** Every step on a row, for print; what is not here, or too much, is said. */
export function printable(reel, bookmarks) {
  const rows = [];
  let step = 0;
  for (; step < Math.min(reel.steps, MOST) && reel.has(step); step++) {
    const changed = reel.changed(step).filter((name) => name !== "pstate").map(
      (name) => h("div", {}, h("code", {}, `${name} = `, digits(reel.registerAfter(name, step)))));
    const note = bookmarks[step];
    rows.push([String(step), `${reel.el(reel.level(step))}`,
      h("code", {}, reel.addresses.symbolize(reel.pc(step)) ?? hex(reel.pc(step))),
      h("code", {}, reel.row(step).text), h("span", {}, changed),
      h("span", {}, sentenceNodes(edited(reel, step) + reel.sentence(step)), note ? h("strong", {}, ` ★ ${note}`) : null)]);
  }
  const left = reel.steps - step;
  return [table(h("span", {}, h("code", {}, reel.meta.title), " ", sentenceNodes(reel.meta.outcome)),
    ["Step", "Level", "At", "Instruction", "Changes", "What it does"], rows),
    left > 0 ? h("p", {}, `${left} more steps are not printed.`) : ""];
}

/** Fill a place with what goes on paper, when it goes there; gives the way to stop that. */
export function printsFrom(place, make) {
  const fill = () => { if (!place.firstChild) place.append(...make()); };
  const media = window.matchMedia("print");
  const changed = () => (media.matches ? fill() : place.replaceChildren());
  media.addEventListener("change", changed);
  window.addEventListener("beforeprint", fill);
  if (media.matches) fill();
  return () => {
    media.removeEventListener("change", changed);
    window.removeEventListener("beforeprint", fill);
  };
}
