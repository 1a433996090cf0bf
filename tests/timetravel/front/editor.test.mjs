// The editor's colours, in the bundle that a page gets. HYPKIT_EDITOR: {names, asm: [{text, kinds}]}.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { coloured } = await import("../../../hypkit/timetravel/editor/bundle.js");
const { names, texts } = JSON.parse(readFileSync(process.env.HYPKIT_EDITOR, "utf8"));

/** The pieces of a kind, in order. */
const pieces = (text, language, kind) => coloured(text, language, names).filter(([, its]) => its === kind).map(([piece]) => piece);

test("all pieces together are the text", () => {
  for (const { text, language } of texts) {
    assert.equal(coloured(text, language, names).map(([piece]) => piece).join(""), text);
  }
});

test("comments, strings and numbers are what Python's own colours take for them", () => {
  for (const { text, language, found } of texts) {
    for (const [kind, wanted] of Object.entries(found)) {
      // A comment over several lines is one piece there, and here one a line.
      const lines = (list) => list.flatMap((piece) => piece.split("\n")).map((piece) => piece.trim()).filter(Boolean);
      assert.deepEqual(lines(pieces(text, language, kind)), lines(wanted), `${kind} in ${text.slice(0, 60)}`);
    }
  }
});

test("instructions, macros, labels and registers are told apart by the kit's names", () => {
  const text = "1: CMP x0, #0x10e; b.hs refuse\nrefuse: adr_l x9, cmp\n.word 5\n mrs x1, ESR_EL2\n banana x0\n";
  assert.deepEqual(pieces(text, "asm", "instruction"), ["CMP", "b.hs", "mrs"]);
  assert.deepEqual(pieces(text, "asm", "keyword"), ["adr_l", ".word"]);
  assert.deepEqual(pieces(text, "asm", "label"), ["1", "refuse"]);
  assert.deepEqual(pieces(text, "asm", "register"), ["x0", "x9", "x1", "ESR_EL2", "x0"]);
});

test("what is not closed ends with the text or the line, and the rest keeps its colours", () => {
  assert.deepEqual(pieces("mov x0, x1 /* a\nmov x2\n", "asm", "comment"), ["/* a", "mov x2"]);
  assert.deepEqual(pieces('.ascii "a\nmov x2, x3', "asm", "register"), ["x2", "x3"]);
  assert.deepEqual(pieces("enum { A /* b\n*/ = 1 };", "c", "number"), ["1"]);
});
