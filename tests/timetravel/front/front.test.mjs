// The front end's numbers and addresses on the cases that Python's twin is tested on:
// `node --test tests/timetravel/front`, which tests/timetravel/test_front_end.py starts with the cases.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const front = new URL("../../../hypkit/timetravel/front/", import.meta.url);
const { Reel } = await import(new URL("reel.js", front).href);
const { compared, grouped, plain } = await import(new URL("format.js", front).href);
const { query, typed } = await import(new URL("search.js", front).href);
const { originOf, reachOf } = await import(new URL("origins.js", front).href);
const { aimOf, wishOf } = await import(new URL("steer.js", front).href);
const { Shared } = await import(new URL("shared.js", front).href);
const { ascending } = await import(new URL("dom.js", front).href);
const { edited, isEdited } = await import(new URL("edits.js", front).href);
const { keeps } = await import(new URL("pagekeys.js", front).href);
const { callPaths, path } = await import(new URL("calls.js", front).href);

/** The cases that Python wrote: traces, addresses and pairs of words, with Python's answers. */
const cases = JSON.parse(readFileSync(process.env.HYPKIT_CASES, "utf-8"));
const bytes = (text) => Uint8Array.from(Buffer.from(text, "base64")).buffer;
const reels = Object.fromEntries(Object.entries(cases.traces).map(
  ([name, { meta, chunks }]) => [name, new Reel({ meta, chunks: chunks.map(bytes) })]));

for (const [name, { sentences, levels }] of Object.entries(cases.traces)) {
  test(`every sentence and level of ${name} is Python's`, () => {
    const reel = reels[name];
    assert.equal(reel.steps, sentences.length);
    sentences.forEach((sentence, step) => assert.equal(reel.sentence(step), sentence, `step ${step}`));
    levels.forEach((level, step) => assert.equal(reel.levelText(reel.level(step)), level, `step ${step}`));
  });
}

test("an address has Python's space, physical address and name", () => {
  const { addresses } = Object.values(reels)[0];
  assert.ok(cases.addresses.length > 100);
  for (const { address, space, pa, name } of cases.addresses) {
    const va = BigInt(address);
    assert.equal(addresses.space(va), space, address);
    assert.equal(addresses.pa(va), pa, address);
    assert.equal(addresses.symbolize(va), name, address);
  }
});

test("a number is spelled and two are compared as Python does", () => {
  for (const { one, other, compared: words, plain: text } of cases.words) {
    assert.equal(compared(BigInt(one), BigInt(other)), words);
    assert.equal(plain(BigInt(one)), text);
    const groups = grouped(BigInt(one));
    assert.equal(groups.join(""), BigInt(one).toString(16));
    assert.ok(groups.slice(1).every((group) => group.length === 4) && groups[0].length <= 4);
  }
});

test("a search takes registers, conditions, reads, writes and ranges", () => {
  const reel = reels.call;
  const steps = (text) => {
    const { test: holds } = query(reel, text);
    return Array.from({ length: reel.steps }, (_, step) => step).filter(holds);
  };
  for (const [text, wanted] of Object.entries(cases.searches)) assert.deepEqual(steps(text), wanted, text);
  assert.throws(() => query(reel, "x99 == 1"), /x99 is no register of this trace/);
  assert.throws(() => query(reel, "write nowhere"), /neither a register, a label nor an address/);
  assert.throws(() => query(reel, "0x20-0x10"), /lower address first/);
  assert.equal(typed("0xffff_0000"), 0xffff0000n);
  assert.equal(typed("-1"), (1n << 64n) - 1n);
  assert.equal(typed("x0"), null);
});

test("the most things that stand in order are those that need no move", () => {
  const longest = (places) => ascending([...places.keys()], (at) => places[at]).map((at) => places[at]);
  assert.deepEqual(longest([]), []);
  assert.deepEqual(longest([0, 1, 2, 3]), [0, 1, 2, 3]);
  assert.deepEqual(longest([9, 0, 1, 2, 3]), [0, 1, 2, 3]);
  assert.deepEqual(longest([1, 2, 3, 0]), [1, 2, 3]);
  assert.deepEqual(longest([2, 1, 0]).length, 1);
  assert.deepEqual(longest([3, 0, 4, 1, 5, 2]).length, 3);
});

test("what a reader changed is no work of a step, and is there from its step on", () => {
  const reel = reels.edited;
  const { edit } = reel;
  assert.deepEqual([edit.step, edit.registers.get("x1"), edit.says], [40, 0x55n, "x1 0x55, x9 0x7, vcpu0 0x1234"]);
  assert.equal(reel.register("x1", 40), 0x55n);
  assert.equal(reel.registerAfter("x1", 39), reel.register("x1", 39));
  assert.ok(!reel.changed(39).includes("x1") && !reel.changed(39).includes("x9"));
  assert.equal(edited(reel, 40), "You changed x1 0x55, x9 0x7, vcpu0 0x1234 before it. ");
  assert.equal(edited(reel, 39), "");
  const [{ pa, size }] = edit.memory;
  assert.equal(reel.memory(pa, size, 40).value, 0x1234n);
  assert.equal(reel.memory(pa, size, reel.steps).value, 0x1234n);
  assert.equal(reel.memory(pa, size, 39).value, null);
  assert.ok(isEdited(reel, pa, 8, null, 40) && isEdited(reel, pa, 8, 12, 41));
  assert.ok(!isEdited(reel, pa, 8, null, 39) && !isEdited(reel, pa, 8, 40, 41) && !isEdited(reel, pa + 8, 8, null, 50));
});

test("letters are the stepper's, what has a modifier is the page's but for what edits a text", () => {
  const view = { matches: () => false };
  const field = { matches: () => true };
  const editor = { isContentEditable: true };
  const is = (target, key, more = {}) => keeps({ key, composedPath: () => [target], ...more });
  for (const key of ["a", "d", "i", "0", "x", "ArrowDown", "Enter", "M"]) assert.ok(is(view, key), key);
  assert.ok(!is(view, "Enter", { shiftKey: true }) && !is(view, "Escape"));
  for (const key of ["s", "b", "a", "Enter"]) assert.ok(!is(view, key, { ctrlKey: true }), key);
  for (const key of ["a", "z", "V"]) assert.ok(is(field, key, { metaKey: true }), key);
  assert.ok(!is(field, "s", { ctrlKey: true }) && !is(field, "Enter", { ctrlKey: true }));
  for (const key of ["/", "Enter", "z", "ArrowUp"]) assert.ok(is(editor, key, { ctrlKey: true }), key);
  assert.ok(is(editor, "ArrowUp", { altKey: true }) && !is(editor, "s", { ctrlKey: true }));
});

test("the path of calls goes from the host through the hypercall to the handler and back", () => {
  const reel = reels.call;
  const paths = callPaths(reel);
  const names = (step) => path(paths[step]).map(({ name }) => name);
  const handler = reel.sites.findIndex(({ pc }) => reel.addresses.symbolize(pc) === "__kvm_timer_set_cntvoff");
  const step = Array.from({ length: reel.steps }, (_, at) => at).find((at) => reel.site(at) === reel.sites[handler]);
  assert.equal(names(step).at(-1), "__kvm_timer_set_cntvoff");
  assert.equal(names(step)[0], names(0)[0]);
  assert.ok(names(step).includes("__kvm_call_hyp"), names(step).join(" > "));
  assert.deepEqual(paths.map(({ at }, number) => at <= number), paths.map(() => true));
});

test("every origin and every reach is Python's", () => {
  for (const [name, { origins }] of Object.entries(cases.traces)) {
    assert.ok(origins.length >= 14);
    for (const wanted of origins) {
      const what = `${name}: ${wanted.name} before ${wanted.step}`;
      const found = originOf(reels[name], wanted.name, wanted.step);
      assert.ok(found, what);
      assert.equal(`0x${found.value.toString(16)}`, wanted.value, what);
      assert.deepEqual(found.steps, wanted.steps, what);
      assert.deepEqual(found.notes, wanted.notes, what);
      assert.deepEqual(found.sources.map((source) => [source.kind, source.name,
        source.value === null ? null : `0x${source.value.toString(16)}`, source.owner, source.role]),
        wanted.sources.map((source) => source.slice(0, 5)), what);
      const reach = reachOf(reels[name], wanted.name, wanted.step);
      assert.deepEqual(reach.steps, wanted.reached, what);
      assert.deepEqual(reach.ends.map(({ kind, name: end, step }) => [kind, end, step]), wanted.ends, what);
    }
  }
});

const shared = JSON.parse(readFileSync(process.env.HYPKIT_SHARED, "utf-8"));
for (const { variant, seed, payload, addresses, sentences } of shared) {
  test(`addresses and the boot of ${variant} with seed ${seed} are named as Python names them`, () => {
    const reel = new Reel({ meta: payload.meta, chunks: payload.chunks.map(bytes) });
    assert.ok(addresses.length > 500);
    for (const [text, space, name, words, inVm] of addresses) {
      const address = BigInt(`0x${text}`);
      assert.equal(reel.addresses.space(address), space, text);
      assert.equal(reel.addresses.symbolize(address), name, text);
      assert.equal(reel.addresses.what(address), words, text);
      assert.equal(reel.addresses.what(address, true), inVm, text);
    }
    sentences.forEach((sentence, step) => assert.equal(reel.sentence(step), sentence, `step ${step}`));
  });
}

test("a link's words are a wish only when all of them are known", () => {
  assert.deepEqual(wishOf("#step=35"), { step: "35" });
  assert.deepEqual(wishOf("#find=x0%20==%200x102&panel=memory"), { find: "x0 == 0x102", panel: "memory" });
  for (const other of ["#Key-points", "#", "", "#step=", "#step=3&colour=red"]) assert.equal(wishOf(other), null, other);
});

test("a wish leads to a step or to a test of steps, and a wrong one says what was expected", () => {
  const reel = reels.call;
  assert.equal(aimOf(reel, { step: "end" }).step, reel.steps);
  assert.deepEqual(aimOf(reel, { steps: "3-5" }).marks, [3, 4, 5]);
  const slot = [...Array(reel.steps).keys()].filter(aimOf(reel, { slot: "any" }).test);
  assert.equal(slot.length, 1);
  assert.match(reel.sentence(slot[0]), /table slot/);
  for (const [words, said] of [[{ step: "99999" }, /expected a step/], [{ step: "x" }, /got x/], [{ steps: "5-3" }, /got 5-3/]]) {
    assert.throws(() => aimOf(reel, words), said);
  }
});

/** What the page has of a widget in the kernel: says(...) is a word of the kernel's. */
function widget() {
  const heard = {};
  const state = { step: 0, bookmarks: {} };
  const sent = [];
  return {
    sent,
    get: (name) => state[name],
    on: (event, action) => { heard[event] = action; },
    off: (event) => { delete heard[event]; },
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      heard[`change:${name}`]?.();
    },
    save_changes() { sent.push(state.step); },
  };
}

/** The kernel hears of steps a quarter of a second later. */
const told = () => new Promise((resolve) => { setTimeout(resolve, 300); });

test("what the kernel sends back of an older step does not move a reader who has gone on", async () => {
  const [shared, model, went] = [new Shared(), widget(), []];
  shared.link(model);
  const reader = { at: 0, stepped(step) { if (step !== this.at) went.push(step); }, attach() {}, detach() {} };
  const goes = (step) => { reader.at = step; shared.moved(step, reader); };
  shared.homes.add(reader);
  goes(262160);
  await told();
  goes(0);
  model.set("step", 262160); // the echo
  assert.deepEqual(went, []);
  assert.equal(shared.step, 0);
  await told();
  assert.deepEqual(model.sent, [262160, 0]);
  model.set("step", 7); // a word of the kernel's own
  assert.deepEqual(went, [7]);
});

test("a kernel that comes back hears of steps again", async () => {
  const [shared, before, after] = [new Shared(), widget(), widget()];
  const unlink = shared.link(before);
  shared.moved(3, null);
  unlink(); // with a step that was not told yet
  shared.link(after);
  shared.moved(4, null);
  await told();
  assert.deepEqual([before.sent, after.sent], [[], [4]]);
});
