// Values and who wrote them, as buttons: the same in every table of a view.

import { digits, h } from "./dom.js";
import { decimal, hex } from "./format.js";

/**
 * A value as a button that opens the address panel, where it is an address; else as text.
 * @returns {any}
 */
export function value(view, word, mark = "", plainly = false) {
  const { reel } = view;
  const { addresses } = reel;
  const text = mark ? [h("span", { class: "hk-to" }, mark), digits(word)] : [digits(word)];
  if (plainly || addresses.space(word) === null || (addresses.inVm(word) && reel.level(view.step) !== "vm")
      || (addresses.space(word) === "physical" && !addresses.symbolize(word))) {
    return text;
  }
  return h("button", { type: "button", class: "hk-address", title: "Show this address: its names, its walk, what lies there",
    "aria-label": `${hex(word)}: open as an address`,
    onclick: view.on(() => view.openAddress(word)) }, text);
}

/** What a value means, or "": whose address it is, or a negative number. */
export function meaning(view, word) {
  const { reel } = view;
  const { addresses } = reel;
  const name = addresses.inVm(word) && reel.level(view.step) !== "vm" ? null : addresses.symbolize(word);
  if (name !== null) return `${addresses.space(word)}: ${name}`;
  return decimal(word);
}

/** A value, and below it what it means. */
export function explained(view, word, mark = "") {
  const says = meaning(view, word);
  return [h("span", { class: "hk-value" }, value(view, word, mark)),
          says ? h("span", { class: "hk-meaning", title: says }, says) : null];
}

/** A button that leads to the step that wrote a register, or the word that none did. */
export function writer(view, name, step) {
  const { edit } = view.reel;
  if (edit?.registers.has(name) && view.step >= edit.step && (step === null || step < edit.step)) {
    return h("button", { type: "button", class: "hk-who hk-you", title: `You changed ${name} before step ${edit.step}`,
      "aria-label": `You changed ${name} before step ${edit.step}: go there`, onclick: view.on(() => view.go(edit.step)) }, "you");
  }
  if (step === null) return h("span", { class: "hk-before", title: `${name} has had this value since before the trace` }, "before");
  return h("button", { type: "button", class: "hk-who", title: `${name} was last written by step ${step}`,
    "aria-label": `${name} was last written by step ${step}: go there`,
    onclick: view.on(() => view.whoWrote(name, step)) }, `◂${step}`);
}

/** The same for a system register; where its writer is not here, the button looks for it. */
export function sysWriter(view, name, number) {
  const { reel } = view;
  const step = reel.lastSysWrite(number, view.step);
  if (step !== undefined) return writer(view, name, step);
  return h("button", { type: "button", class: "hk-who", "aria-label": `Who wrote ${name} last`,
    onclick: view.on(async () => {
      const found = await view.goFind(view.step - 1, -1, (at) => reel.sysChanged(at).has(number),
        `${name} has had this value since before the trace.`,
        { worth: (chunk) => chunk.sysReg.includes(number) });
      if (found !== null) view.say(`${name} was last written here, in step ${found}.`);
    }) }, "◂?");
}
