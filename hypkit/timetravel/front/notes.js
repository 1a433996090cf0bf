// Where notes stay: in the notebook while the kernel lives, else in the browser, or in a copy of the page.

import { h } from "./dom.js";

const SETTLED = 1000; // milliseconds after the last word of a note

/** The notes on a trace that this browser keeps: {read, write}. */
export function notesOf(digest) {
  const key = `hypkit notes ${digest}`;
  return {
    /** @returns {Record<string, string>} */
    read: () => {
      try {
        return JSON.parse(localStorage.getItem(key) ?? "{}");
      } catch {
        return {}; // a browser that keeps nothing for this page
      }
    },
    /** @param {Record<string, string>} bookmarks */
    write: (bookmarks) => {
      try {
        localStorage.setItem(key, JSON.stringify(bookmarks));
      } catch {
        // as above: the notes last as long as the page
      }
    },
  };
}

/** Call `action` when nothing was written for a while and nobody is about to write on. */
export class Settling {
  /** @param {() => boolean} busy @param {() => void} action */
  constructor(busy, action) {
    this.busy = busy;
    this.action = action;
    this.timer = 0;
  }

  /** Something was written. */
  touch() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.busy() ? this.touch() : this.action()), SETTLED);
  }
}

/** Have the browser save this page with other notes in its data; `said` is what it was opened with. */
export async function saveCopy(said, bookmarks, step) {
  const text = JSON.stringify({ ...said, bookmarks, step });
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = new Uint8Array(await new Response(stream).arrayBuffer());
  let letters = "";
  for (let at = 0; at < packed.length; at += 4096) letters += String.fromCharCode(...packed.subarray(at, at + 4096));
  const copy = /** @type {HTMLElement} */ (document.documentElement.cloneNode(true));
  const place = /** @type {HTMLElement} */ (copy.querySelector("#stepper"));
  place.replaceChildren();
  for (const { name } of [...place.attributes]) if (name !== "id") place.removeAttribute(name);
  /** @type {HTMLElement} */ (copy.querySelector("#stepper-data")).textContent = btoa(letters);
  const page = new Blob([`<!doctype html>\n${copy.outerHTML}`], { type: "text/html" });
  const link = h("a", { href: URL.createObjectURL(page), download: "stepper.html" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
