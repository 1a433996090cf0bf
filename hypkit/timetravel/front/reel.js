// The steps of a trace, and the questions to them that a view asks.

import { Addresses } from "./addresses.js";
import { Chunk, upTo } from "./chunk.js";
import { editOf } from "./edits.js";
import { BRANCH, CALL, CALLEE_SAVED, HVC, INDIRECT, LATE, LEVELS, LOAD, MASK64, NONE, STORE, VM_ROW } from "./facts.js";
import { PageTables, translations } from "./pagewalk.js";
import { sentence } from "./sentences.js";

/**
 * @typedef {{meta: any, chunks: (ArrayBuffer|null)[]}} Data
 * @typedef {(number: number) => Promise<ArrayBuffer>} Fetch
 * @typedef {{store: boolean, fault: boolean, pool: boolean, size: number, va: bigint,
 *            pa: number | null, value: bigint, step: number}} Access
 */

const KEPT_CHUNKS = 24;

/** The trace in the front end. Steps are numbers from 0; `steps` itself is the state at the end. */
export class Reel {
  /** @param {Data} data @param {Fetch|null} fetch */
  constructor(data, fetch = null) {
    this.meta = data.meta;
    this.steps = data.meta.steps;
    this.fetch = fetch;
    this.shown = 0;
    /** @type {Map<number, Chunk>} */
    this.chunks = new Map();
    /** @type {Map<number, Promise<void>>} */
    this.waiting = new Map();
    data.chunks.forEach((buffer, number) => buffer && this.add(number, buffer));
    this.sites = this.meta.sites.map(([pc, row, count]) => ({ pc: BigInt("0x" + pc), row, count }));
    this.rows = this.meta.rows.map((row) => ({
      va: BigInt("0x" + row[0]), word: row[1], label: row[2], text: row[3], comment: row[4],
      story: row[5], file: this.meta.files[row[6]], line: row[7], kind: row[8], sentence: row[9],
      taken: row[10], reads: row[11].split(" ").filter(Boolean),
      writes: row[12].split(" ").filter(Boolean), runs: 0,
    }));
    const at = new Map(this.sites.map(({ pc }, number) => [pc, number]));
    for (const site of this.sites) {
      this.rows[site.row].runs += site.count;
      site.below = at.get((site.pc + 4n) & MASK64) ?? -1; // the site of the instruction below
    }
    this.finalPc = BigInt("0x" + this.meta.final_pc);
    this.exceptions = new Map(this.meta.exceptions.map(([step, el, text]) => [step, { el, text }]));
    this.addresses = new Addresses(this.meta);
    this.tables = new PageTables(this.meta.page_tables);
    this.index = Object.fromEntries(this.meta.registers.map((name, bit) => [name, bit]));
    this.edit = editOf(this.meta.edit);
  }

  /** @param {number} number @param {ArrayBuffer} buffer */
  add(number, buffer) {
    this.chunks.set(number, new Chunk(buffer, number * this.meta.chunk, this.meta));
    if (this.fetch && this.chunks.size > KEPT_CHUNKS) {
      // The oldest goes, but never the one on the screen.
      this.chunks.delete([...this.chunks.keys()].find((key) => key !== this.shown && key !== number));
    }
  }

  /** Whether all steps are here. */
  get whole() {
    return this.chunks.size === this.meta.chunks;
  }

  numberOf(step) {
    return Math.min(Math.floor(step / this.meta.chunk), this.meta.chunks - 1);
  }

  /** Whether a step can be shown at once. */
  has(step) {
    return this.chunks.has(this.numberOf(step));
  }

  /** Fetch the chunk of a step unless it is here; `late` is told when that takes long. */
  async ensure(step, late = () => {}) {
    const number = this.numberOf(step);
    if (this.chunks.has(number)) return;
    if (!this.fetch) throw new Error(`steps around ${step} are not in this file`);
    if (!this.waiting.has(number)) {
      this.waiting.set(number, this.fetch(number).then(
        (buffer) => { this.add(number, buffer); }).finally(() => this.waiting.delete(number)));
    }
    const timer = setTimeout(late, LATE);
    try {
      await this.waiting.get(number);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The chunk of a step and the step's row in it. */
  locate(step) {
    const chunk = this.chunks.get(this.numberOf(step));
    if (!chunk) throw new Error(`step ${step} has not been fetched`);
    return { chunk, row: step - chunk.start };
  }

  /** A register before a step. */
  register(name, step) {
    if (name === "xzr") return 0n;
    const { chunk, row } = this.locate(step);
    return this.inChunk(chunk, this.index[name], row);
  }

  /** A register after a step, from the chunk that has the step. */
  registerAfter(name, step) {
    if (name === "xzr") return 0n;
    if (step + 1 === this.edit?.step && this.edit.before.has(name)) return this.edit.before.get(name) ?? 0n;
    const { chunk, row } = this.locate(step);
    return this.inChunk(chunk, this.index[name], row + 1);
  }

  inChunk(chunk, bit, row) {
    const column = chunk.columns[bit];
    const at = upTo(column.rows, row) - 1;
    return at >= 0 ? chunk.values[column.at[at]] : chunk.base[bit];
  }

  /** The step that gave a register its value before `step`, or null. */
  lastWrite(name, step) {
    const { chunk, row } = this.locate(step);
    const column = chunk.columns[this.index[name]];
    const at = upTo(column.rows, row) - 1;
    if (at >= 0) return chunk.start + column.rows[at] - 1;
    const writer = chunk.writer[this.index[name]];
    return writer === NONE ? null : writer;
  }

  /** Names of the registers that a step changed. */
  changed(step) {
    if (step >= this.steps) return [];
    const { chunk, row } = this.locate(step);
    const { edit } = this;
    const after = edit?.step === step + 1 ? edit : null; // what was changed there is not this step's doing
    return this.meta.registers.filter((name, bit) => (after?.before.has(name)
      ? after.before.get(name) !== this.register(name, step)
      : (chunk.masks[2 * (row + 1) + (bit >> 5)] >>> (bit & 31)) & 1));
  }

  site(step) {
    const { chunk, row } = this.locate(step);
    const site = chunk.site[row];
    return site === NONE ? null : this.sites[site];
  }

  /** The site of the step after, from the same chunk. */
  siteAfter(step) {
    const { chunk, row } = this.locate(step);
    const site = chunk.site[row + 1];
    return site === NONE ? null : this.sites[site];
  }

  pc(step) {
    const site = step < this.steps ? this.site(step) : null;
    return site ? site.pc : this.finalPc;
  }

  nextPc(step) {
    const site = this.siteAfter(step);
    return site ? site.pc : this.finalPc;
  }

  row(step) {
    return this.rows[this.site(step).row];
  }

  levelOf(pstate, site) {
    // With VHE the host itself is at EL2, and nobody else is.
    if (((pstate >> 2n) & 3n) === 2n) return this.meta.host_el === 2 ? "host" : "hyp";
    return site && this.rows[site.row].kind & VM_ROW ? "vm" : "host";
  }

  /** The exception level of a level by name: 'EL2'. */
  el(level) {
    return level === "host" ? `EL${this.meta.host_el}` : LEVELS[level].name;
  }

  levelText(level) {
    return `${this.el(level)} (${LEVELS[level].who})`;
  }

  level(step) {
    return this.levelOf(this.register("pstate", step), step < this.steps ? this.site(step) : null);
  }

  levelAfter(step) {
    return this.levelOf(this.registerAfter("pstate", step), this.siteAfter(step));
  }

  phase(step) {
    const { chunk, row } = this.locate(Math.min(step, this.steps - 1));
    return this.meta.phases[chunk.phase[row]];
  }

  went(step) {
    return this.nextPc(step) !== ((this.pc(step) + 4n) & MASK64);
  }

  /** @returns {Access[]} what a step moved from or to memory */
  accesses(step) {
    if (step >= this.steps) return [];
    const { chunk, row } = this.locate(step);
    const found = [];
    for (let at = upTo(chunk.accStep, row - 1); chunk.accStep[at] === row; at++) {
      found.push(this.access(chunk, at));
    }
    return found;
  }

  access(chunk, at) {
    const info = chunk.accInfo[at];
    const va = chunk.accVa[at];
    return { store: !!(info & 32), fault: !!(info & 64), pool: !!(info & 128), size: info & 31, va,
             pa: this.addresses.pa(va), value: chunk.accValue[at], step: chunk.start + chunk.accStep[at] };
  }

  /** A system register before a step. */
  sysreg(number, step) {
    const { chunk, row } = this.locate(step);
    const at = chunk.sysReg.subarray(0, upTo(chunk.sysStep, row - 1)).lastIndexOf(number);
    return at >= 0 ? chunk.sysValue[at] : chunk.sysBase[number];
  }

  /** The step that wrote a system register last before `step`; null: none; undefined: a step before
   * those that are here. */
  lastSysWrite(number, step) {
    const { chunk, row } = this.locate(step);
    const at = chunk.sysReg.subarray(0, upTo(chunk.sysStep, row - 1)).lastIndexOf(number);
    if (at >= 0) return chunk.start + chunk.sysStep[at];
    return chunk.start ? undefined : null;
  }

  /** System registers that a step changed: number -> value afterwards. */
  sysChanged(step) {
    const found = new Map();
    if (step >= this.steps) return found;
    const { chunk, row } = this.locate(step);
    for (let at = upTo(chunk.sysStep, row - 1); chunk.sysStep[at] === row; at++) {
      found.set(chunk.sysReg[at], chunk.sysValue[at]);
    }
    return found;
  }

  sysregNamed(name, step) {
    const number = this.meta.sysregs.indexOf(name);
    return number < 0 ? 0n : this.sysreg(number, step);
  }

  /** Cost of the steps before `step`: phase -> one number for each of meta.counters. */
  cost(step) {
    const number = this.meta.counters.length;
    const { chunk, row } = this.locate(step);
    const cost = Uint32Array.from(chunk.cost);
    for (let at = 0; at < row; at++) {
      const here = chunk.phase[at] * number;
      const site = this.sites[chunk.site[at]];
      const kind = this.rows[site.row].kind;
      const next = chunk.site[at + 1];
      const went = next === NONE ? this.finalPc !== ((site.pc + 4n) & MASK64) : next !== site.below;
      cost[here] += 1;
      if (kind & LOAD) cost[here + 1] += 1;
      if (kind & STORE) cost[here + 2] += 1;
      if (kind & BRANCH) cost[here + (went ? 3 : 4)] += 1;
      if (kind & INDIRECT) cost[here + 5] += 1;
    }
    return this.meta.phases.map(([name, says], phase) => ({
      name, says, counts: Array.from(cost.slice(phase * number, (phase + 1) * number)) }));
  }

  /**
   * The first step from `from` on, in direction `by` (+1 or -1), for which `test` holds; null
   * when there is none. Fetches what it passes; `progress` hears of it, and when that is late. A
   * chunk that is not `worth` it holds no such step.
   * @param {(step: number) => boolean} test
   * @param {(chunk: Chunk) => boolean} worth
   */
  async find(from, by, test, progress = (_step, _late = false) => {}, worth = () => true) {
    for (let step = from; step >= 0 && step < this.steps;) {
      if (!this.has(step)) {
        progress(step);
        const here = this.ensure(step, () => progress(step, true));
        // While this chunk is looked through, the next one is on its way.
        const next = step + by * this.meta.chunk;
        if (next >= 0 && next < this.steps) this.ensure(next).catch(() => {});
        await here;
      }
      const { chunk } = this.locate(step);
      const end = by > 0 ? Math.min(chunk.start + this.meta.chunk, this.steps) : chunk.start - 1;
      if (worth(chunk)) {
        for (; step !== end; step += by) if (test(step)) return step;
      }
      step = end;
    }
    return null;
  }

  /** What memory at a physical address held before a step, as far as this chunk tells. */
  memory(pa, size, step) {
    const { chunk, row } = this.locate(step);
    const bytes = new Array(size).fill(null);
    let by = null;
    let left = size;
    this.accPa(chunk);
    const take = (start, length, value) => {
      let taken = 0;
      for (let offset = 0; offset < length; offset++) {
        const place = start + offset - pa;
        if (place < 0 || place >= size || bytes[place] !== null) continue;
        bytes[place] = Number((value >> BigInt(8 * offset)) & 255n);
        left -= 1;
        taken += 1;
      }
      return taken;
    };
    const look = (at, known) => {
      const info = chunk.accInfo[at];
      if (info & 64 || !take(chunk.accPa[at], info & 31, chunk.accValue[at])) return;
      if (known && by === null && info & 32) by = chunk.start + chunk.accStep[at];
    };
    const edits = this.edit?.memory ?? [];
    const [before, after] = [this.edit && this.edit.step <= step, this.edit && this.edit.step > step];
    const from = before ? Math.max(0, this.edit.step - chunk.start) : 0; // rows of this chunk that know of the edit
    const first = upTo(chunk.accStep, from - 1);
    let back = upTo(chunk.accStep, row - 1) - 1;
    for (; back >= first && left; back--) look(back, true);
    if (before) for (const edit of edits) take(edit.pa, edit.size, edit.value);
    for (; back >= 0 && left; back--) look(back, true);
    // Only this core writes, and the reader: what is loaded later, before any store, was there already.
    const stored = new Set();
    let told = false;
    for (let at = upTo(chunk.accStep, row - 1); at < chunk.accStep.length && left; at++) {
      if (after && !told && chunk.start + chunk.accStep[at] >= this.edit.step) {
        told = true;
        for (const edit of edits) for (let offset = 0; offset < edit.size; offset++) stored.add(edit.pa + offset);
      }
      const start = chunk.accPa[at];
      const length = chunk.accInfo[at] & 31;
      if (start + length <= pa || start >= pa + size) continue;
      if (chunk.accInfo[at] & 32) {
        for (let offset = 0; offset < length; offset++) stored.add(start + offset);
      } else if (![...Array(length).keys()].some((offset) => stored.has(start + offset))) {
        look(at, false);
      }
    }
    const value = left ? null : bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    return { value, by };
  }

  accPa(chunk) {
    if (!chunk.accPa) {
      chunk.accPa = Float64Array.from(chunk.accVa, (va) => this.addresses.pa(va) ?? -1);
    }
    return chunk.accPa;
  }

  /** Callee-saved registers that a call which came back left changed; none where it cannot be told. */
  clobbered() {
    const { steps } = this;
    if (!steps || !this.has(0) || !this.has(steps) || !(this.row(0).kind & (CALL | HVC))
        || this.finalPc !== ((this.pc(0) + 4n) & MASK64)) return [];
    return CALLEE_SAVED.filter((name) => this.register(name, 0) !== this.register(name, steps));
  }

  /** What a step does, in one sentence. */
  sentence(step) {
    return sentence(this, step);
  }

  /** Translate an address as EL1 and EL2 would before a step. */
  translations(va, step) {
    return translations(this, va, step);
  }
}
