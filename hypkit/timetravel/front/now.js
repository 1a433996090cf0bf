// The box that says what the reader's step does, and what a screen reader hears of it.

import { callPaths, path } from "./calls.js";
import { edited } from "./edits.js";
import { h, sentenceNodes } from "./dom.js";
import { BRANCH, LEVELS } from "./facts.js";
import { flags, hex } from "./format.js";

const FLAGS = [["N", "negative: bit 63 of the result"], ["Z", "zero: the result is 0, or the two compared are equal"],
  ["C", "carry: of a comparison, the first is not lower, unsigned"], ["V", "overflow: of signed numbers"]];

export class Now {
  /** @param {any} view */
  constructor(view) {
    this.view = view;
    /** @type {import("./calls.js").Frame[] | null} */
    this.paths = null;
    this.level = h("span", { class: "hk-level" });
    this.instruction = h("span", { class: "hk-instruction" });
    this.where = h("span", { class: "hk-where" });
    this.says = h("p", { class: "hk-says" });
    this.heard = h("p", { class: "hk-heard", "aria-live": "polite", "aria-atomic": "true" });
    this.branch = h("span", { class: "hk-branch" });
    this.nzcv = h("span", { class: "hk-flags", title: FLAGS.map(([flag, says]) => `${flag}, ${says}`).join("\n") });
    this.root = h("div", { class: "hk-now" },
      h("p", { class: "hk-here" }, this.level, this.instruction, this.branch, this.where, this.nzcv),
      this.says, this.heard);
  }

  show() {
    const { reel, step } = this.view;
    const over = step >= reel.steps;
    const level = reel.level(step);
    this.level.textContent = `${LEVELS[level].sign} ${reel.el(level)} ${LEVELS[level].who}`;
    const says = edited(reel, step) + reel.sentence(step);
    this.says.replaceChildren(...sentenceNodes(says));
    this.says.title = says;
    this.instruction.textContent = over ? "" : reel.row(step).text;
    this.instruction.title = over ? "" : `${hex(reel.pc(step))}  ${reel.row(step).word}`;
    this.showWhere(over);
    this.showBranch(over);
    this.showFlags(over);
    this.heard.textContent = this.spoken(over, level, says);
  }

  /** What a screen reader says of a step. */
  spoken(over, level, says) {
    const { reel, step } = this.view;
    if (over) return `After the last step, ${reel.levelText(level)}. ${says}`;
    const changes = reel.changed(step).filter((name) => name !== "pstate").map(
      (name) => `${name} is now ${hex(reel.registerAfter(name, step))}`);
    return [`Step ${step}, ${reel.levelText(level)}, ${reel.row(step).text}.`, says,
      changes.length ? `${changes.join(", ")}.` : "No register changes."].join(" ");
  }

  /** The path of calls down to the step, each a link to where it was entered. */
  showWhere(over) {
    const { view } = this;
    const { reel, step } = view;
    if (over) {
      this.where.textContent = "after the last step";
      return;
    }
    this.paths ??= callPaths(reel) ?? [];
    const place = reel.addresses.symbolize(reel.pc(step)) ?? hex(reel.pc(step));
    const [, ...inner] = path(this.paths[step] ?? null).reverse();
    const crumbs = inner.reverse().flatMap((frame) => [h("button", { type: "button", class: "hk-crumb",
      title: `Entered in step ${frame.at}: go there`, onclick: view.on(() => view.go(frame.at)) }, frame.name), " › "]);
    const [phase, says] = reel.phase(step);
    this.where.replaceChildren(`step ${step} · `, ...crumbs, h("code", {}, place), " · ", h("span", { title: says }, phase));
    this.where.title = `step ${step} · ${place}`;
  }

  showBranch(over) {
    const { reel, step } = this.view;
    this.branch.textContent = "";
    if (over) return;
    const row = reel.row(step);
    if (row.sentence && row.kind & BRANCH && row.taken !== row.sentence && row.taken) {
      this.branch.textContent = reel.went(step) ? "↪ taken" : "↓ not taken";
    }
  }

  showFlags(over) {
    const { reel, step } = this.view;
    const before = flags(reel.register("pstate", step));
    const after = over ? before : flags(reel.registerAfter("pstate", step));
    this.nzcv.textContent = before === after ? `NZCV ${before}` : `NZCV ${before} → ${after}`;
    this.nzcv.classList.toggle("hk-changed", before !== after);
  }
}
