// Building the page. All text goes through text nodes: nothing is parsed as HTML.

import { grouped } from "./format.js";

/**
 * An element with attributes (`on...`: a listener; `class`, `aria-*`, ... as they are; null and
 * false: left out) and children (text becomes a text node).
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {any[]} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// Several copies of this module may live in one page: a number alone would not be unique.
const mine = Math.random().toString(36).slice(2, 8);
let unique = 0;
/** An id that no other element of the page has. */
export const id = (what) => `hk-${what}-${mine}-${++unique}`;

/** The element that has the focus, also inside of a shadow tree. */
export function focused(node) {
  return node.getRootNode().activeElement ?? null;
}

/** A table with a caption and headed columns; the first cell of a row is its header. */
export function table(caption, heads, rows, kind = "") {
  return h("table", { class: kind }, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
    tableBody(rows));
}

/** The rows of a table; a number by itself is set as a value. */
export function tableBody(rows) {
  return h("tbody", {}, rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first),
    rest.map((cell) => h("td", { class: cell?.className === "hk-hex" ? "hk-value" : null }, cell)))));
}

/**
 * Make a body's rows [key, what the row shows, how to make it], and make and move only those that
 * have to: every row that is touched is laid out again.
 */
export function keyed(body, wanted) {
  body.shown ??= new Map();
  const news = new Map();
  for (const [key, says, make] of wanted) {
    const old = body.shown.get(key);
    if (old?.says === says) {
      news.set(key, old);
      continue;
    }
    const row = make();
    news.set(key, { says, row });
    if (!old) continue;
    const had = old.row.contains(focused(old.row));
    old.row.replaceWith(row);
    if (had) row.querySelector("button:last-of-type, button")?.focus();
  }
  for (const [key, { row }] of body.shown) if (!news.has(key)) row.remove();
  body.shown = news;
  const rows = [...news.values()].map(({ row }) => row);
  const places = new Map([...body.children].map((row, place) => [row, place]));
  const staying = new Set(ascending(rows.filter((row) => places.has(row)), (row) => places.get(row)));
  let after = null;
  for (const row of rows.reverse()) {
    if (!staying.has(row)) body.insertBefore(row, after);
    after = row;
  }
}

/**
 * The most of some things, in their order, that stand in ascending places.
 * @template T
 * @param {T[]} things
 * @param {(thing: T) => number} place
 * @returns {T[]}
 */
export function ascending(things, place) {
  const best = things.map(() => 1);
  const before = things.map(() => -1);
  let last = -1;
  things.forEach((thing, at) => {
    for (let other = 0; other < at; other++) {
      if (best[other] >= best[at] && place(things[other]) < place(thing)) {
        best[at] = best[other] + 1;
        before[at] = other;
      }
    }
    if (last < 0 || best[at] > best[last]) last = at;
  });
  const found = [];
  for (let at = last; at >= 0; at = before[at]) found.unshift(things[at]);
  return found;
}

/** A number in hexadecimal; its digits stand in groups of four, and are copied as one word. */
export function digits(word) {
  return h("span", { class: "hk-hex" }, "0x", grouped(word).map((four) => h("i", {}, four)));
}

// What is set in monospaced type inside of a sentence: numbers, registers, labels, flags.
const CODE = new RegExp(["0x[0-9a-f]+", "-?\\d+", "[xw](?:[12]?\\d|30|zr)", "sp", "[A-Z]\\w*_EL[0-3]",
  "NZCV", "[a-z_.]*_[a-z0-9_]+(?:\\+0x[0-9a-f]+)?", "hvc|eret|svc|smc"].map(
  (form) => `(?<![\\w.+-])(?:${form})(?!\\w)`).join("|"), "g");

/** A sentence with its numbers, registers and labels as code. */
export function sentenceNodes(text) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(CODE)) {
    parts.push(text.slice(end, found.index), h("code", {}, /^0x.{5}/.test(found[0]) ? digits(BigInt(found[0])) : found[0]));
    end = found.index + found[0].length;
  }
  return [...parts, text.slice(end)].filter((part) => part !== "");
}
