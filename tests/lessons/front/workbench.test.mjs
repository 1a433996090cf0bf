// What a workbench says, without a page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { against, card, current, empty, incoming, offered } from "../../../hypkit/lessons/workbench/front/words.js";

const state = { by: "", number: "11.2", doing: "Do it.", files: { a: "1" }, seed: { a: "0" }, verdict: null, mistake: null };

test("a word of the kernel's replaces the text, unless it answers this page or says the same", () => {
  assert.equal(incoming({ ...state, by: "me" }, { a: "typed since" }, "me"), null);
  assert.equal(incoming(state, { a: "1" }, "me"), null);
  assert.deepEqual(incoming(state, { a: "2" }, "me"), { a: "1" });
  assert.equal(current(state, { a: "2" }), false);
});

test("a count says how much is too much, and nothing where nothing is asked", () => {
  assert.deepEqual(against(26, 24), { text: "2 too many: at most 24", over: true });
  assert.deepEqual(against(24, 24), { text: "at most 24", over: false });
  assert.deepEqual(against(24, null), { text: "", over: false });
});

test("the card has the verdict, else the mistake, else what there is to do", () => {
  const mistake = { file: "a", line: 3, column: 1, message: "no." };
  const verdict = { passed: false, kind: "not right yet", sentence: "Got 1." };
  assert.deepEqual(card({ ...state, mistake, verdict }), { kind: "wrong", head: "11.2: not right yet.", sentence: "Got 1." });
  assert.equal(card({ ...state, verdict: { ...verdict, passed: true } }).kind, "right");
  assert.deepEqual(card({ ...state, mistake }), { kind: "wrong", head: "Not built.", sentence: "Line 3: no." });
  assert.equal(card({ ...state, mistake: { ...mistake, line: 0 } }).sentence, "no.");
  assert.deepEqual(card(state), { kind: "open", head: "Not run yet.", sentence: "Do it." });
});

test("a text of blanks is empty", () => {
  assert.ok(empty({ a: " \n" }));
  assert.ok(empty({ a: "x", b: "" }));
  assert.ok(!empty({ a: "x" }));
});

test("what a browser kept is offered when the bench has its first text, and only if it is another", () => {
  const fresh = { ...state, files: { a: "0" } };
  assert.deepEqual(offered('{"a": "mine"}', fresh), { a: "mine" });
  assert.equal(offered('{"a": "0"}', fresh), null);
  assert.equal(offered('{"a": "mine"}', state), null);
  for (const kept of [null, "", "{", "[]", '{"b": "x"}', '{"a": 5}', "null"]) assert.equal(offered(kept, fresh), null, String(kept));
});
