// Links in the text around that move a stepper: [step 35](#step=35), [the slot](#slot=2).

import { h } from "./dom.js";
import { query } from "./search.js";
import { PANELS } from "./panels/index.js";

const AIMS = ["step", "steps", "label", "slot", "find"];
const MORE = ["panel", "origin"];

/**
 * What a link asks of a stepper, or null for a link that is none of ours.
 * @param {string} hash
 * @returns {Record<string, string> | null}
 */
export function wishOf(hash) {
  const words = Object.fromEntries(new URLSearchParams(hash.replace(/^#/, "")));
  const keys = Object.keys(words);
  return keys.length && keys.every((key) => words[key] !== "" && (AIMS.includes(key) || MORE.includes(key))) ? words : null;
}

/**
 * Where a wish leads in a trace: a step, or a test of steps; `marks`: what is shown on the strip.
 * @param {any} reel
 * @param {Record<string, string>} words
 * @returns {{step?: number, test?: (step: number) => boolean, says: string, marks?: number[]} | null}
 */
export function aimOf(reel, words) {
  const { step, steps, label, slot, find } = words;
  if (step !== undefined) return { ...stepOf(reel, step), says: `step ${step}` };
  if (steps !== undefined) {
    const range = /^(\d+)-(\d+)$/.exec(steps);
    if (!range || Number(range[1]) > Number(range[2])) throw new Error(`expected steps as in #steps=26-32; got ${steps}`);
    const [from, to] = [stepOf(reel, range[1]).step, stepOf(reel, range[2]).step];
    return { step: from, says: `steps ${from} to ${to}`, marks: Array.from({ length: to - from + 1 }, (_, at) => from + at) };
  }
  if (label !== undefined) return { test: (at) => reel.row(at).label === label, says: `the label ${label}` };
  if (slot !== undefined) {
    const wanted = `the table slot of hypercall${slot === "any" ? "" : ` ${slot}`}`;
    const reads = (access) => !access.store && `${reel.addresses.place(access)} `.startsWith(`${wanted} `);
    return { test: (at) => reel.accesses(at).some(reads), says: `a read of ${wanted}` };
  }
  return find !== undefined ? query(reel, find) : null;
}

function stepOf(reel, text) {
  const step = text === "end" ? reel.steps : /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(step <= reel.steps)) throw new Error(`expected a step, 0 to ${reel.steps}, or end; got ${text}`);
  return { step };
}

/** Do in a view of one trace what a link asks for. */
export async function follow(view, words) {
  const aim = aimOf(view.reel, words);
  if (aim?.step !== undefined) await view.go(aim.step);
  else if (aim) {
    const says = `${aim.says[0].toUpperCase()}${aim.says.slice(1)}`;
    if (await view.goFind(0, 1, aim.test, `${says} is nowhere in this trace.`) === null) return;
  }
  if (words.find !== undefined) {
    view.search.value = words.find;
    view.mark("match", aim?.test);
  }
  view.strip.show("steps", aim?.marks ?? []);
  if (words.panel !== undefined) {
    if (!PANELS.some(({ key }) => key === words.panel)) {
      throw new Error(`expected a panel, ${PANELS.map(({ key }) => key).join(", ")}; got ${words.panel}`);
    }
    view.openTab(words.panel);
  }
  if (words.origin !== undefined) await view.whence(registerOf(view.reel, words.origin));
}

function registerOf(reel, name) {
  if (!reel.meta.registers.includes(name)) throw new Error(`expected a register of the trace; got ${name}`);
  return name;
}

/** Do in a comparison what a link asks for: the left trace's step, or the right's where only it has one. */
export function followBoth(view, words) {
  for (const side of [0, 1]) {
    const aim = aimOf(view.reels[side], words);
    if (!aim) return;
    const at = view.rows.findIndex((row) => row[side] !== null
      && (aim.step !== undefined ? row[side] === aim.step : aim.test?.(row[side])));
    if (at >= 0) {
      view.go(at);
      return;
    }
  }
  view.say("This is in neither of the two traces.");
}

/** The button that leads back to the link from which the reader came, hidden until then. */
export function wayBack(leave) {
  return h("button", { type: "button", class: "hk-back", hidden: true, title: "Back to the text (Escape)",
    onclick: leave }, "↩ Text");
}

/** Let an element that holds a stepper be found by the links of its page; `steer` is given wish and link. */
export function steered(host, steer) {
  host.classList.add("hypkit-steered");
  host.hypkitSteer = steer;
  const page = /** @type {any} */ (globalThis);
  if (page.hypkitSteering) return;
  page.hypkitSteering = true;
  // In the capture phase: a notebook must not take the click for a link to one of its headings.
  document.addEventListener("click", clicked, true);
}

function clicked(event) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const link = event.composedPath().find((node) => node instanceof HTMLAnchorElement);
  const hash = link?.getAttribute("href") ?? "";
  const wish = hash.startsWith("#") ? wishOf(hash) : null;
  const host = wish && nearest(link);
  if (!host) return;
  event.preventDefault();
  event.stopPropagation();
  host.hypkitSteer(wish, link);
}

/** The stepper before a link, else the first after it, of the same notebook. */
function nearest(link) {
  const scope = link.closest(".jp-Notebook") ?? document;
  const hosts = /** @type {any[]} */ ([...scope.querySelectorAll(".hypkit-steered")]).filter((host) => host.hypkitSteer);
  const before = hosts.filter((host) => host.compareDocumentPosition(link) & Node.DOCUMENT_POSITION_FOLLOWING);
  return before.at(-1) ?? hosts[0] ?? null;
}
