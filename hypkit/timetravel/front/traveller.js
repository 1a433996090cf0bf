// Where the reader is in a trace, and every way to go somewhere else.

import { Board } from "./board.js";
import { CALL, ERET, HVC, MASK64, NO_ANSWER, PANICS, RETURN } from "./facts.js";

/** A reader's place in a trace. What draws the place gives `show` and `point`. */
export class Traveller extends Board {
  /**
   * @param {any} reel
   * @param {{bookmarks?: Record<string, string>, keep?: (b: Record<string, string>) => void,
   *          moved?: (step: number) => void, start?: number, leave?: () => void, keeps?: () => string,
   *          copy?: (b: Record<string, string>, step: number) => any,
   *          link?: (step: number) => string, ask?: (name: string, step: number) => Promise<any>}} options
   *   ask: the kernel, where a value came from; leave: give the keys back to the page
   *   around; keeps: a sentence on what becomes of the notes; copy: save a page with them; link: what leads to a step
   */
  constructor(reel, options) {
    super();
    this.reel = reel;
    this.options = options;
    this.step = Math.min(options.start ?? 0, reel.steps);
    this.bookmarks = { ...(options.bookmarks ?? {}) };
    this.breakpoints = new Set();
    this.busy = 0;
    this.underWay = false;
    /** @type {(() => any)[] | null} what was pressed while the reader waits for steps to come */
    this.landing = null;
    /** @type {any} the field with the step's number */
    this.goto = null;
  }

  /** Draw the step that the reader is at. */
  show() {}

  /** Point at a step, before it is here. */
  point(_step) {}

  say(text, bad = false) {
    this.underWay = false;
    super.say(text, bad);
  }

  /** Say how far something is that ends with another word, or when it is given up. */
  progress(text) {
    this.say(text);
    this.underWay = true;
  }

  /** Take the reader's next wish up and give the one before up, if it is still under way. */
  begin(pressed = null) {
    this.landing = pressed;
    if (this.underWay) this.say("");
    return ++this.busy;
  }

  /** Show a step; fetches it first when it is not here. */
  async go(step) {
    const { reel } = this;
    const wanted = Math.max(0, Math.min(reel.steps, Math.round(Number.isFinite(step) ? step : 0)));
    const pressed = reel.has(wanted) ? null : [];
    const turn = this.begin(pressed);
    if (pressed) {
      this.progress(`Fetching the steps around ${wanted} …`);
      this.point(wanted);
      try {
        await reel.ensure(wanted, () => {
          if (turn === this.busy) this.progress(`Still fetching the steps around ${wanted}. ${NO_ANSWER}`);
        });
      } catch (error) {
        if (turn === this.busy) this.point(this.step);
        throw error;
      } finally {
        if (turn === this.busy) this.landing = null;
      }
      if (turn !== this.busy) return; // the reader has moved on meanwhile
    }
    // What was said, was said of another step.
    if (pressed || wanted !== this.step) this.say("");
    this.step = wanted;
    reel.shown = reel.numberOf(wanted);
    this.show();
    this.options.moved?.(wanted);
    this.ahead(wanted);
    for (const action of pressed ?? []) this.guard(() => this.landed(action));
  }

  /** Go to the step that was typed, or say what is wrong with it. */
  async goTyped() {
    const { steps } = this.reel;
    const text = this.goto.value.trim();
    const typed = /^-?\d+$/.test(text) ? Number(text) : NaN;
    if (!Number.isInteger(typed)) {
      this.goto.value = String(this.step);
      this.say(`A step is a whole number, 0 to ${steps}.`);
      return;
    }
    await this.go(typed);
    if (typed < 0 || typed > steps) this.say(`There is no step ${typed}: the steps are 0 to ${steps}.`);
  }

  /** Do what starts from the reader's step; while that is being fetched, as soon as it is here. */
  landed(action) {
    if (!this.landing) return action();
    this.landing.push(action);
    return undefined;
  }

  /** Fetch what the reader may want next. */
  ahead(step) {
    const { reel } = this;
    if (!reel.fetch) return;
    for (const near of [step + reel.meta.chunk / 2, step - reel.meta.chunk / 2]) {
      if (near >= 0 && near < reel.steps && !reel.has(near)) this.guard(() => reel.ensure(near));
    }
  }

  /**
   * To the first step from `from` on, in direction `by`, that `test` holds for, or `past` it; else
   * say `nothing`, and search from `again`, or go to `instead`, where these are given; `around`: from
   * the other end of the trace, without a word.
   * @returns {Promise<number | null>} the step found
   */
  async goFind(from, by, test, nothing, { past = 0, again = null, instead = null,
    worth = undefined, around = false } = {}) {
    const turn = this.begin();
    const here = this.step;
    const search = (start, end = NaN) => this.reel.find(start, by,
      (step) => turn !== this.busy || step === end || test(step),
      (step, late) => {
        if (turn === this.busy) this.progress(`Searching … step ${step}${late ? `. ${NO_ANSWER}` : ""}`);
      }, (chunk) => turn !== this.busy || worth === undefined || worth(chunk));
    let found = await search(from);
    let said = found === null ? nothing : "";
    if (found === null && again !== null) found = await search(again);
    if (found === null && around && (by > 0 ? here > 0 : here < this.reel.steps - 1)) {
      found = await search(by > 0 ? 0 : this.reel.steps - 1, here);
      if (turn === this.busy && found === here && !(this.reel.has(here) && test(here))) found = null;
    }
    if (found !== null && around) said = "";
    if (turn !== this.busy) return null; // given up for what the reader did meanwhile
    if (this.underWay) this.say("");
    const going = found !== null ? this.go(found + past) : instead !== null ? this.go(instead) : null;
    const gone = this.busy;
    await going;
    if (said && gone === this.busy) this.say(said);
    return found;
  }

  over() {
    const { reel, step } = this;
    if (step >= reel.steps) return undefined;
    const row = reel.row(step);
    if (!(row.kind & (CALL | HVC)) && !reel.exceptions.has(step)) return this.go(step + 1);
    const back = (reel.pc(step) + (reel.exceptions.has(step) ? 0n : 4n)) & MASK64;
    const level = reel.level(step);
    return this.goFind(step + 1, 1, (at) => reel.pc(at) === back && reel.level(at) === level,
                       "This call does not come back in this trace.");
  }

  out() {
    const { reel } = this;
    let depth = 0;
    return this.goFind(this.step, 1, (at) => {
      const kind = reel.row(at).kind;
      if (kind & (RETURN | ERET)) {
        depth -= 1;
      } else if (kind & (CALL | HVC) || reel.exceptions.has(at)) {
        depth += 1;
      }
      return depth < 0;
    }, "This function does not return in this trace.", { past: 1 });
  }

  levelChange(by) {
    const { reel, step } = this;
    if (by > 0) {
      if (step >= reel.steps) return undefined;
      const level = reel.level(step);
      return this.goFind(step + 1, 1, (at) => reel.level(at) !== level,
                         "No change of exception level from here on.", { instead: reel.steps });
    }
    // The step that changes the level knows both; the one after it may stand in another chunk.
    return this.goFind(step - 2, -1, (at) => reel.level(at) !== reel.levelAfter(at),
                       "No change of exception level before this.", { past: 1, instead: 0 });
  }

  /** Whether the timeline has a mark at a step, or the reader a bookmark. */
  hasMark(step) {
    const { reel } = this;
    const row = reel.row(step);
    return reel.exceptions.has(step) || String(step) in this.bookmarks
      || Boolean(row.kind & (HVC | ERET)) || PANICS.includes(row.label)
      || reel.accesses(step).some((a) => !a.store && reel.addresses.place(a).startsWith("the table slot"));
  }

  nextMark(by) {
    return this.goFind(this.step + by, by, (step) => this.hasMark(step),
                       "No further mark in this direction.");
  }

  run(by) {
    if (!this.breakpoints.size) {
      this.say("No breakpoint is set: b sets one on the current line.");
      return undefined;
    }
    return this.goFind(this.step + by, by, (step) => this.breakpoints.has(this.reel.site(step).row),
                       `No breakpoint is met ${by > 0 ? "from here on" : "before this"}.`);
  }


  /** To the step that wrote a register last. */
  async whoWrote(name, writer) {
    await this.go(writer);
    this.say(`${name} was last written here, in step ${writer}.`);
  }

  /** To the next step that writes a register. */
  whoWrites(name) {
    return this.goFind(this.step + 1, 1, (step) => this.reel.changed(step).includes(name),
      `${name} is not written again in this trace.`).then((found) => {
      if (found !== null) this.say(`${name} is written next here, in step ${found}.`);
    });
  }

  whoStored(pa, size) {
    const { reel } = this;
    const from = this.step;
    return this.goFind(from - 1, -1, (step) => reel.accesses(step).some(
      (a) => a.store && !a.fault && a.pa !== null && a.pa < pa + size && a.pa + a.size > pa),
    "No step before this one stores there.").then((found) => {
      if (found !== null) this.say(`Last stored here, in step ${found}.`);
    });
  }

  /** To the next run of a line of the listing; after the last, to the first. */
  nextRun(at) {
    if (!this.reel.rows[at].runs) {
      this.say("This line is not run.");
      return undefined;
    }
    return this.goFind(this.step + 1, 1, (step) => this.reel.site(step).row === at,
                       "No later run of this line: this is the first.", { again: 0 });
  }
}
