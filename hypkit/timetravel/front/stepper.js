// The stepper's front end: one renderer for the widget and for the exported file, no dependencies.
//
// Three parts: Reel (what hypkit/timetravel/payload.py wrote, and questions to it), the sentences (as
// hypkit/explain/templates.py), and the views. All text goes through text nodes: nothing is parsed as HTML.

/**
 * @typedef {{meta: any, chunks: (ArrayBuffer|null)[]}} Data
 * @typedef {(number: number) => Promise<ArrayBuffer>} Fetch
 * @typedef {{store: boolean, fault: boolean, pool: boolean, size: number, va: bigint, pa: number,
 *            value: bigint}} Access
 */

const NONE = 0xffffffff;
const [LOAD, STORE, BRANCH, INDIRECT, HVC, ERET, CALL, RETURN, POOL, VM_ROW] =
  Array.from({ length: 10 }, (_, bit) => 1 << bit);
const MARKS = [
  { bit: 8, name: "HVC", sign: "▲", says: "HVC: up into EL2" },
  { bit: 16, name: "ERET", sign: "▼", says: "ERET: return from EL2" },
  { bit: 32, name: "table", sign: "▦", says: "reads the hypercall table" },
  { bit: 64, name: "fault", sign: "✖", says: "exception other than HVC" },
  { bit: 128, name: "panic", sign: "⚠", says: "panic" },
];
const PANICS = ["hyp_panic", "panic"];
const LEVELS = {
  host: { bit: 1, name: "EL1", who: "host", sign: "○" },
  vm: { bit: 2, name: "EL1", who: "VM", sign: "◇" },
  hyp: { bit: 4, name: "EL2", who: "hyp", sign: "■" },
};
const EC_HVC = 0x16n;
const MASK64 = (1n << 64n) - 1n;
// What a function must leave as it found it, by the procedure call standard.
const CALLEE_SAVED = [...Array.from({ length: 11 }, (_, n) => `x${19 + n}`), "sp"];
const PAGE_END = 0xffff800000000000n;
// System registers that hold an address and nothing else.
const ADDRESSES = /^(ELR|VBAR|FAR|TTBR\d)_/;
const KEPT_CHUNKS = 24;
const NOTCH = 50; // CSS pixels of wheel that make a step
const LATE = 3000; // milliseconds without an answer, after which the reader is told why
const GONE = "the kernel that made this stepper is gone. Run its cell again.";
const NO_ANSWER = "The kernel does not answer: it is busy with another cell, or gone. If it is gone, "
  + "run the cell of this stepper again.";

// --- The reel: the steps and what can be asked of them -----------------------------------------

/** One chunk of steps, as Payload.chunk lays it out. */
class Chunk {
  /** @param {ArrayBuffer} buffer @param {number} start @param {any} meta */
  constructor(buffer, start, meta) {
    const [rows, values, accesses, news, phases, counters] = new Uint32Array(buffer, 0, 6);
    const registers = meta.registers.length;
    let at = 32;
    /** @param {any} type @param {number} length */
    const take = (type, length) => {
      const array = new type(buffer, at, length);
      at += array.byteLength;
      return array;
    };
    this.start = start;
    this.rows = rows;
    this.base = take(BigUint64Array, registers);
    this.sysBase = take(BigUint64Array, meta.sysregs.length);
    this.values = take(BigUint64Array, values);
    this.masks = take(Uint32Array, 2 * rows);
    this.accVa = take(BigUint64Array, accesses);
    this.accValue = take(BigUint64Array, accesses);
    this.sysValue = take(BigUint64Array, news);
    this.site = take(Uint32Array, rows);
    this.writer = take(Uint32Array, registers);
    this.cost = take(Uint32Array, phases * counters);
    this.accStep = take(Uint32Array, accesses);
    this.sysStep = take(Uint32Array, news);
    this.phase = take(Uint8Array, rows);
    this.accInfo = take(Uint8Array, accesses);
    this.sysReg = take(Uint8Array, news);
    /** @type {{rows: number[], at: number[]}[]} */
    this.columns = Array.from({ length: registers }, () => ({ rows: [], at: [] }));
    let value = 0;
    for (let row = 1; row < rows; row++) {
      for (let half = 0; half < 2; half++) {
        for (let mask = this.masks[2 * row + half]; mask; mask &= mask - 1) {
          const bit = 31 - Math.clz32(mask & -mask) + 32 * half;
          this.columns[bit].rows.push(row);
          this.columns[bit].at.push(value++);
        }
      }
    }
  }
}

/** How many entries of a sorted array are <= limit. */
function upTo(sorted, limit) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

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
    const { layout, vm } = this.meta;
    this.sites = this.meta.sites.map(([pc, row, count]) => ({ pc: BigInt("0x" + pc), row, count }));
    this.rows = this.meta.rows.map((row) => ({
      va: BigInt("0x" + row[0]), word: row[1], label: row[2], text: row[3], comment: row[4],
      story: row[5], file: this.meta.files[row[6]], line: row[7], kind: row[8], sentence: row[9],
      taken: row[10], runs: 0,
    }));
    const at = new Map(this.sites.map(({ pc }, number) => [pc, number]));
    for (const site of this.sites) {
      this.rows[site.row].runs += site.count;
      site.below = at.get((site.pc + 4n) & MASK64) ?? -1; // the site of the instruction below
    }
    this.finalPc = BigInt("0x" + this.meta.final_pc);
    this.exceptions = new Map(this.meta.exceptions.map(([step, el, text]) => [step, { el, text }]));
    this.voffset = BigInt("0x" + layout.voffset);
    this.pageOffset = BigInt("0x" + layout.page_offset);
    this.tag = BigInt("0x" + layout.tag);
    this.vaMask = (1n << BigInt(layout.tag_lsb)) - 1n;
    this.vmEnd = vm.ipa + vm.size;
    this.private = new Map(layout.private.map(([va, pa]) => [BigInt("0x" + va), pa]));
    this.index = Object.fromEntries(this.meta.registers.map((name, bit) => [name, bit]));
    /** @type {Map<number, any[][]>} */
    this.tables = new Map();
    for (const [table, index, count, first, step] of this.meta.page_tables) {
      if (!this.tables.has(table)) this.tables.set(table, []);
      this.tables.get(table).push([index, count, BigInt("0x" + first), BigInt(step)]);
    }
  }

  /** @param {number} number @param {ArrayBuffer} buffer */
  add(number, buffer) {
    this.chunks.set(number, new Chunk(buffer, number * this.meta.chunk, this.meta));
    if (this.fetch && this.chunks.size > KEPT_CHUNKS) {
      // The oldest goes, but never the one on the screen.
      this.chunks.delete([...this.chunks.keys()].find((key) => key !== this.shown && key !== number));
    }
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
    return this.meta.registers.filter(
      (_, bit) => (chunk.masks[2 * (row + 1) + (bit >> 5)] >>> (bit & 31)) & 1);
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
             pa: this.pa(va), value: chunk.accValue[at], step: chunk.start + chunk.accStep[at] };
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
  async find(from, by, test, progress = (step, late = false) => {}, worth = () => true) {
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
    const look = (at, known) => {
      const start = chunk.accPa[at];
      const info = chunk.accInfo[at];
      const length = info & 31;
      if (info & 64 || start + length <= pa || start >= pa + size) return;
      for (let offset = 0; offset < length; offset++) {
        const place = start + offset - pa;
        if (place < 0 || place >= size || bytes[place] !== null) continue;
        bytes[place] = Number((chunk.accValue[at] >> BigInt(8 * offset)) & 255n);
        left -= 1;
        if (known && by === null && info & 32) by = chunk.start + chunk.accStep[at];
      }
    };
    for (let at = upTo(chunk.accStep, row - 1) - 1; at >= 0 && left; at--) look(at, true);
    // Only this core writes: what is loaded later, before any store, was there already.
    const stored = new Set();
    for (let at = upTo(chunk.accStep, row - 1); at < chunk.accStep.length && left; at++) {
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
      chunk.accPa = Float64Array.from(chunk.accVa, (va) => this.pa(va) ?? -1);
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

  // -- addresses --

  inVm(va) {
    return va >= BigInt(this.meta.vm.ipa) && va < BigInt(this.vmEnd);
  }

  /** Which space an address belongs to by its bits, or null. */
  space(va) {
    const { dram, dram_size: size, kimage } = this.meta.layout;
    const end = BigInt(dram) + BigInt(size);
    if (this.inVm(va)) return "VM";
    if (this.private.has(va & ~0xfffn)) return "hyp";
    if (va >= BigInt(dram) && va < end) return "physical";
    if (va >= PAGE_END) {
      const pa = va - this.voffset;
      return pa >= BigInt(kimage) && pa < end ? "image" : null;
    }
    if (va >= this.pageOffset) return va - this.pageOffset < BigInt(size) ? "linear" : null;
    return (va & ~this.vaMask & MASK64) === this.tag ? "hyp" : null;
  }

  /** The physical address of an address of any space, as a number, or null. */
  pa(va) {
    const dram = BigInt(this.meta.layout.dram);
    const own = this.private.get(va & ~0xfffn);
    if (own !== undefined && !this.inVm(va)) return own + Number(va & 0xfffn);
    switch (this.space(va)) {
      case "VM": return Number(va) - this.meta.vm.ipa + this.meta.vm.pa;
      case "physical": return Number(va);
      case "image": return Number(va - this.voffset);
      case "linear": return Number(va - this.pageOffset + dram);
      case "hyp": return Number((va & this.vaMask) + dram - (this.pageOffset & this.vaMask));
      default: return null;
    }
  }

  /** The four names of a byte, given its physical address. */
  names(pa) {
    const physical = BigInt(pa);
    const linear = physical - BigInt(this.meta.layout.dram) + this.pageOffset;
    return [["image", (physical + this.voffset) & MASK64], ["linear", linear],
            ["physical", physical], ["hyp", (linear & this.vaMask) | this.tag]];
  }

  /** 'label' or 'label+0x4', or null. */
  symbolize(address) {
    let pa = this.pa(address);
    let [addresses, names] = this.meta.symbols;
    if (this.inVm(address)) {
      pa = Number(address);
      [addresses, names] = this.meta.vm.symbols;
    } else if (pa === null || pa < this.meta.layout.text || pa >= this.meta.layout.named_end) {
      return null;
    }
    const at = upTo(addresses, pa) - 1;
    if (at < 0 || !names[at]) return null;
    const offset = pa - addresses[at];
    return names[at] + (offset ? `+0x${offset.toString(16)}` : "");
  }

  /** A number, or whose address it is. Small numbers look like the VM's addresses: they count as
      such only where the VM is meant. */
  what(value, vm = false) {
    const name = vm || !this.inVm(value) ? this.symbolize(value) : null;
    if (name !== null) return `${this.space(value)} address of ${name}`;
    return plain(value) + (value >> 12n === (1n << 52n) - 1n ? ` (${value - (1n << 64n)})` : "");
  }

  place(access) {
    if (access.pool) return "the literal pool";
    const [base, offset] = (this.symbolize(access.va) ?? "").split("+");
    if (Object.hasOwn(this.meta.hypercall_tables, base)) {
      const slot = this.meta.hypercall_tables[base];
      return `the table slot of hypercall ${Math.floor(Number(offset ?? 0) / slot)}`;
    }
    return base === "hyp_stack" ? "the EL2 stack" : this.what(access.va, true);
  }

  // -- page tables, as they were built at boot --

  slot(table, index) {
    for (const [first, count, word, step] of this.tables.get(table) ?? []) {
      if (index >= first && index < first + count) return word + BigInt(index - first) * step;
    }
    return 0n;
  }

  /** Walk the tables at `root` for `va`: {levels, pa or null, fault, descriptor}. */
  walk(root, va, bits = 48, start = 0) {
    const levels = [];
    const address = va & ((1n << BigInt(bits)) - 1n);
    let table = root;
    for (let level = start; level < 4; level++) {
      const shift = 12n + 9n * BigInt(3 - level);
      let index = Number(address >> shift);
      if (level !== start) index &= 511;
      else if (level === 0) index &= 511;
      const page = table + (index >> 9) * 4096;
      const descriptor = this.slot(page, index & 511);
      const kind = !(descriptor & 1n) ? "invalid"
        : level === 3 ? (descriptor & 2n ? "page" : "invalid")
        : descriptor & 2n ? "table" : "block";
      levels.push({ level, table, index, descriptor, kind });
      if (kind === "invalid") {
        return { levels, pa: null, fault: `translation fault, level ${level}`, descriptor };
      }
      if (kind === "table") {
        table = Number(descriptor & 0xfffffffff000n);
        continue;
      }
      if (!(descriptor & (1n << 10n))) {
        return { levels, pa: null, fault: `access flag fault, level ${level}`, descriptor };
      }
      const low = (1n << shift) - 1n;
      const pa = Number((descriptor & 0xfffffffff000n & ~low) | (address & low));
      return { levels, pa, fault: null, descriptor };
    }
    throw new Error("a level 3 entry is a page or invalid");
  }

  /** Translate as EL1 or EL2 would before a step: [{regime, walk or null, pa, says}]. */
  translations(va, step) {
    const found = [];
    const add = (regime, result, rights) => found.push({
      regime, ...result,
      says: result.fault ?? `maps to physical ${hex(BigInt(result.pa))}: ${rights(result.descriptor)}`,
    });
    const off = { levels: [], pa: Number(va & 0xffffffffffffn), fault: null, descriptor: 0n };
    const fault0 = { levels: [], pa: null, fault: "translation fault, level 0", descriptor: 0n };
    const top = va >> 48n;
    if (this.inVm(va)) {
      add("stage 2, for the VM's EL1", this.walk(this.meta.vm.vttbr, va, 40, 1), (d) =>
        [d & 64n && "read", d & 128n && "write", !(d & (1n << 54n)) && "execute"]
          .filter(Boolean).join(", "));
      return found;
    }
    const one = this.sysregNamed("SCTLR_EL1", step) & 1n;
    const root1 = this.sysregNamed(top === 0xffffn ? "TTBR1_EL1" : "TTBR0_EL1", step);
    add(one ? `EL1, through TTBR${top === 0xffffn ? 1 : 0}_EL1` : "EL1, MMU off",
        !one ? off : top === 0xffffn || top === 0n
          ? this.walk(Number(root1 & 0xfffffffff000n), va) : fault0,
        (d) => !one ? "no translation" : ["read", !(d & 128n) && "write",
          !(d & (1n << 53n)) && "execute"].filter(Boolean).join(", "));
    const two = this.sysregNamed("SCTLR_EL2", step) & 1n;
    const root2 = this.sysregNamed("TTBR0_EL2", step);
    add(two ? "EL2, through TTBR0_EL2" : "EL2, MMU off",
        !two ? off : top === 0n ? this.walk(Number(root2 & 0xfffffffff000n), va) : fault0,
        (d) => !two ? "no translation" : ["read", !(d & 128n) && "write",
          !(d & (1n << 54n)) && "execute"].filter(Boolean).join(", "));
    return found;
  }

  // -- sentences: hypkit/explain/templates.py fills the same gaps by the same rules --

  /** What a step does, in one sentence. */
  sentence(step) {
    if (step >= this.steps) return this.meta.outcome || "The end of the trace.";
    const exception = this.exceptions.get(step);
    if (exception) return exception.text;
    const row = this.row(step);
    const text = this.went(step) && row.taken !== null ? row.taken : row.sentence;
    const changed = this.changed(step).filter((name) => name !== "pstate");
    const accesses = this.accesses(step);
    const vm = this.level(step) === "vm";
    return text.replace(/\{([^{}]+)\}/g, (_, gap) => {
      const [op, ...args] = gap.split(" ");
      switch (op) {
        case "before": return this.what(this.register(args[0], step), vm);
        case "after": return this.what(this.registerAfter(args[0], step), vm);
        case "goes": return this.what(this.nextPc(step), this.levelAfter(step) === "vm");
        case "level": return this.levelText(this.levelAfter(step));
        case "flags": return flags(this.registerAfter("pstate", step));
        case "place": return accesses.length ? this.place(accesses[0]) : "memory";
        case "values":
          return accesses.map((a) => (a.fault ? "fault" : this.what(a.value, vm))).join(" and ");
        case "compare": {
          const [one, other] = args.map((arg) => "xs".includes(arg[0])
            ? this.register(arg, step) : number(arg) & MASK64);
          return compared(one, other);
        }
        case "ec": {
          const ec = changed.length
            ? Number((this.registerAfter(changed[0], step) >> 26n) & 63n) : -1;
          return this.meta.ec[ec] ?? "as before";
        }
        case "changes":
          return changed.map((name) => 
            `${name} becomes ${this.what(this.registerAfter(name, step), vm)}`)
            .join(", ") || "No change";
        default: throw new Error(`no gap ${op}`);
      }
    });
  }
}

function number(text) {
  return text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
}

/** Up to nine in decimal, else in hexadecimal. */
function plain(value) {
  return value < 10n ? value.toString() : hex(value);
}

function hex(value) {
  return "0x" + value.toString(16);
}

/** Sixteen digits in groups of four, as the tables show a register. */
function grouped(value) {
  return value.toString(16).padStart(16, "0").replace(/(.{4})(?=.)/g, "$1 ");
}

function flags(pstate) {
  return [..."NZCV"].map((letter, at) => ((pstate >> BigInt(31 - at)) & 1n ? letter : "-")).join("");
}

/** How two 64-bit words stand, as explain.compared says it. */
function compared(one, other) {
  if (one === other) return "equal";
  const unsigned = one < other;
  const signed = BigInt.asIntN(64, one) < BigInt.asIntN(64, other);
  const text = unsigned ? "lower" : "higher";
  return unsigned === signed ? text
    : `${text}, but as signed numbers ${signed ? "less" : "greater"}`;
}

// --- Building the page -------------------------------------------------------------------------

/**
 * An element with attributes (`on...`: a listener; `class`, `aria-*`, ... as they are; null and
 * false: left out) and children (text becomes a text node).
 * @returns {any}
 */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

let unique = 0;
const id = (what) => `hk-${what}-${++unique}`;

const KEYS = {
  "Keys to move": [
    ["n or →", "next step"], ["p or ←", "previous step"],
    ["o", "over: to where this call comes back"], ["u", "out: to after the return of this function"],
    ["e, E", "to the next, the previous change of exception level"],
    ["t, T", "to the next, the previous mark on the timeline"],
    ["s or Home", "to the start"], ["z or End", "to the end"],
    ["PgDn, PgUp", "a tenth of the trace on, back"],
  ],
  "Keys to find and to keep": [
    ["/", "search for a label, a sentence, a register or a value"],
    ["f, F", "next, previous match of the search"],
    ["g", "go to a step by its number"],
    ["b", "set or remove a breakpoint on the current line, or on the line in focus"],
    ["r, R", "run on, run back, to the next breakpoint"],
    ["m", "bookmark this step, with a note"],
    ["↑ ↓ in the code", "another line; j: to the next run of that line"],
    ["+, -", "larger, smaller letters"], ["?", "this list"],
  ],
};

const HINT = "n: next step · p: back · e: to the next exception level · /: search · ?: all keys";

const TABS = [["state", "EL2 state"], ["memory", "Memory"], ["address", "Address"],
              ["cost", "Cost"], ["notes", "Notes"]];

/** A part of the page with a status line, in which every error of its listeners ends. */
class Board {
  /** Run an action; what goes wrong is said in the status line. */
  async guard(action) {
    try {
      await action();
    } catch (error) {
      this.say(`Error: ${error.message ?? error}`, true);
    }
  }

  /** A listener that is guarded. */
  on(action) {
    return (event) => this.guard(() => action(event));
  }

  say(text, bad = false) {
    this.status.textContent = text;
    this.status.classList.toggle("hk-bad", bad);
  }
}

/** The view of one trace. */
class View extends Board {
  /**
   * @param {HTMLElement} host
   * @param {Reel} reel
   * @param {{bookmarks?: Record<string, string>, keep?: (b: Record<string, string>) => void,
   *          moved?: (step: number) => void, start?: number}} options
   */
  constructor(host, reel, options = {}) {
    super();
    this.reel = reel;
    this.options = options;
    this.step = Math.min(options.start ?? 0, reel.steps);
    this.bookmarks = { ...(options.bookmarks ?? {}) };
    this.breakpoints = new Set();
    this.tab = "state";
    this.address = null;
    this.allRegisters = false;
    this.busy = 0;
    this.turned = 0;
    this.underWay = false;
    /** @type {(() => any)[] | null} what was pressed while the reader waits for steps to come */
    this.landing = null;
    this.build(host);
    const start = this.step;
    if (!reel.has(start)) this.step = 0; // what is shown until the steps have come
    this.show();
    if (start !== this.step) this.guard(() => this.go(start));
  }

  say(text, bad = false) {
    this.underWay = false;
    super.say(text, bad);
  }

  /** Say how far something is that ends with another word, or when it is given up. */
  progress(text) {
    this.say(text);
    this.underWay = true;
  }

  build(host) {
    const { reel } = this;
    const here = (action) => () => this.landed(action);
    const button = (text, keys, action, says) => h("button", {
      type: "button", "aria-keyshortcuts": keys, title: `${says} (key ${keys.split(" ")[0]})`,
      onclick: this.on(action) }, text);
    this.search = h("input", { type: "search", class: "hk-search", "aria-label":
      "Search for a label, a register, a value or words of a sentence", placeholder: "label, x9, 0x102 …",
      title: "Enter: the next match; Shift and Enter: the one before",
      onkeydown: this.on((event) => event.key === "Enter" && this.seek(event.shiftKey ? -1 : 1)) });
    this.goto = h("input", { type: "number", class: "hk-goto", min: 0, max: reel.steps,
      "aria-label": `Step, 0 to ${reel.steps}`,
      onchange: this.on(() => this.goTyped()) });
    this.strip = h("div", { class: "hk-strip", "aria-hidden": "true",
      onpointerdown: this.on((event) => this.scrub(event)),
      onpointermove: this.on((event) => event.buttons & 1 && this.scrub(event)) });
    this.strip.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.slider = h("input", { type: "range", class: "hk-slider", min: 0, max: reel.steps, step: 1,
      "aria-label": "Timeline: step", oninput: this.on(() => this.go(Number(this.slider.value))) });
    this.level = h("span", { class: "hk-level" });
    this.instruction = h("span", { class: "hk-instruction" });
    this.where = h("span", { class: "hk-where" });
    this.says = h("p", { class: "hk-says", "aria-live": "polite", "aria-atomic": "true" });
    this.branch = h("span", { class: "hk-branch" });
    this.nzcv = h("span", { class: "hk-flags" });
    this.status = h("p", { class: "hk-status", role: "status" }, HINT);
    this.keys = h("div", { class: "hk-keys", hidden: true },
      Object.entries(KEYS).map(([caption, keys]) => table(caption, ["Key", "What it does"],
        keys.map(([key, what]) => [h("kbd", {}, key), what]))));
    const tools = h("div", { class: "hk-tools", role: "toolbar", "aria-label": "Moving through the trace" },
      h("span", { class: "hk-group" },
        button("|◀ Start", "s Home", () => this.go(0), "To the start"),
        button("◀ Previous", "p ArrowLeft", here(() => this.go(this.step - 1)), "One step back"),
        button("Next ▶", "n ArrowRight", here(() => this.go(this.step + 1)), "One step on"),
        button("Over", "o", here(() => this.over()), "To where this call comes back"),
        button("Out", "u", here(() => this.out()), "To after the return of this function"),
        button("Next EL ⇅", "e", here(() => this.levelChange(1)), "To the next change of exception level; with E to the one before"),
        button("End ▶|", "z End", () => this.go(reel.steps), "To the end")),
      h("span", { class: "hk-group" }, "Step ", this.goto, ` of ${reel.steps}`),
      h("span", { class: "hk-group" }, this.search,
        button("Find", "f", here(() => this.seek(1)), "Next match")),
      h("span", { class: "hk-group" },
        button("Run back", "R", here(() => this.run(-1)), "Back to a breakpoint"),
        button("Run on", "r", here(() => this.run(1)), "On to a breakpoint"),
        button("Bookmark", "m", here(() => this.bookmark()), "Bookmark this step"),
        button("Keys ?", "?", () => this.toggleKeys(), "List the keys")));
    this.code = h("div", { class: "hk-code", role: "region", "aria-label": "Code" }, this.listing());
    this.registers = h("div", { class: "hk-registers", role: "region", "aria-label": "Registers",
                                tabindex: 0 });
    const tabId = id("tabs");
    this.tabs = TABS.map(([key, name]) => h("button", { type: "button", role: "tab", id: `${tabId}-${key}`,
      "aria-controls": `${tabId}-panel`, onclick: this.on(() => this.openTab(key)) }, name));
    const tablist = h("div", { class: "hk-tabs", role: "tablist", "aria-label": "More about this step",
      onkeydown: this.on((event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!by) return;
        event.stopPropagation();
        event.preventDefault();
        const at = (TABS.findIndex(([key]) => key === this.tab) + by + TABS.length) % TABS.length;
        this.openTab(TABS[at][0]);
        this.tabs[at].focus();
      }) }, this.tabs);
    this.panel = h("div", { class: "hk-panel", role: "tabpanel", id: `${tabId}-panel`, tabindex: 0 });
    this.root = h("section", { class: "hk-view", tabindex: -1, "aria-label": `Stepper: ${reel.meta.title}`,
      "data-lm-suppress-shortcuts": "true", onkeydown: this.on((event) => this.key(event)) },
      h("header", { class: "hk-head" },
        h("p", { class: "hk-title" }, reel.meta.title),
        h("p", { class: "hk-outcome" }, reel.meta.outcome)),
      reel.meta.note ? h("p", { class: "hk-note" }, reel.meta.note) : null,
      this.strip, this.slider, tools, this.keys, this.status,
      h("div", { class: "hk-now" },
        h("p", { class: "hk-here" }, this.level, this.instruction, this.where, this.branch, this.nzcv),
        this.says),
      h("div", { class: "hk-grid" }, this.code, this.registers,
        h("div", { class: "hk-side" }, tablist, this.panel)));
    // The end is a place of its own, as wide as a step: the strip and the slider leave room for it.
    this.root.style.setProperty("--hk-share", String(reel.steps / (reel.steps + 1)));
    const lost = reel.clobbered();
    if (lost.length) {
      this.strip.before(h("p", { class: "hk-note" }, `⚠ ${lost.join(", ")}: not as before the call. `
        + "The host's C code counts on x19 to x29 and SP coming back unchanged."));
    }
    host.append(this.root);
    this.drawStrip();
    this.drawPins();
    this.openTab(this.tab, false);
  }

  // -- the exception-level strip --

  drawStrip() {
    const { reel } = this;
    const bins = reel.meta.overview;
    const width = 100 / Math.max(1, bins.length);
    const hasVm = bins.some((bin) => bin & 2);
    const lanes = h("div", { class: "hk-lanes" });
    for (const [key, level] of Object.entries(LEVELS)) {
      if (key === "vm" && !hasVm) continue;
      const lane = h("div", { class: `hk-lane hk-lane-${key}` },
        h("span", { class: "hk-lane-name" }, `${level.sign} ${reel.el(key)} ${level.who}`));
      for (let from = 0; from < bins.length;) {
        if (!(bins[from] & level.bit)) {
          from += 1;
          continue;
        }
        let to = from;
        while (to < bins.length && bins[to] & level.bit) to += 1;
        lane.append(h("span", { class: "hk-run",
          style: `left:${from * width}%;width:${(to - from) * width}%` }));
        from = to;
      }
      lanes.append(lane);
    }
    const exact = bins.length === reel.steps;
    lanes.append(this.phaseLane(exact, width));
    if (exact) lanes.append(...this.crossings(hasVm));
    const events = h("div", { class: "hk-events" });
    const marked = bins.flatMap((bin, at) => (bin >> 3 ? [[bin, at]] : []));
    const wordy = marked.length <= 12;
    let last = -Infinity;
    for (const [bin, at] of marked.slice(0, 400)) {
      const marks = MARKS.filter((mark) => bin & mark.bit);
      const near = (at - last) * width < 7;
      const edge = (at + 0.5) * width > 92 ? " hk-edge" : "";
      const label = h("span", { class: "hk-mark" + (near ? " hk-low" : "") + edge,
        style: `left:${(at + 0.5) * width}%`, title: marks.map((mark) => mark.says).join("; "),
        onpointerdown: this.on((event) => this.toMark(event, Math.floor((at * reel.steps) / bins.length))) },
        marks.map((mark) => mark.sign).join(""), wordy ? ` ${marks.map((m) => m.name).join(" ")}` : "");
      last = near ? -Infinity : at;
      events.append(label);
    }
    this.cursor = h("div", { class: "hk-cursor" });
    this.pins = h("div", { class: "hk-pins" });
    this.strip.replaceChildren(h("div", { class: "hk-scale" }, events, lanes, this.pins, this.cursor));
  }

  /** A line from lane to lane wherever the level changes. */
  crossings(hasVm) {
    const { overview } = this.reel.meta;
    const order = hasVm ? ["host", "vm", "hyp"] : ["host", "hyp"]; // from the bottom
    const lane = overview.map((bin) => order.findIndex((key) => bin & LEVELS[key].bit));
    return lane.flatMap((here, at) => (at && here !== lane[at - 1] ? [h("span", { class: "hk-crossing",
      style: `left:${(100 * at) / lane.length}%;--hk-from:${Math.min(here, lane[at - 1])};`
        + `--hk-lanes:${Math.abs(here - lane[at - 1])}` })] : []));
  }

  /** The phases below the lanes, where a column is a step. */
  phaseLane(exact, width) {
    const { reel } = this;
    const lane = h("div", { class: "hk-phases" });
    if (!exact || !reel.steps) return lane;
    for (let from = 0; from < reel.steps;) {
      const [name] = reel.phase(from);
      let to = from;
      while (to < reel.steps && reel.phase(to)[0] === name) to += 1;
      lane.append(h("span", { style: `left:${from * width}%;width:${(to - from) * width}%`,
                              title: name }, (to - from) * width > 4 ? name : ""));
      from = to;
    }
    return lane;
  }

  /** A click on a mark leads to its step, not to what happens to lie under its word. */
  toMark(event, from) {
    event.stopPropagation();
    this.root.focus({ preventScroll: true });
    return this.goFind(from, 1, (step) => this.hasMark(step), "No mark from here on.");
  }

  /** A notch of a mouse wheel is a step, and so is as much of a touchpad's glide. */
  wheel(event) {
    const by = Math.sign(event.deltaY);
    const wanted = this.step + by;
    // Beyond the ends, and when it means another thing, the page has the wheel.
    if (!by || event.ctrlKey || wanted < 0 || wanted > this.reel.steps) return;
    event.preventDefault();
    const far = event.deltaMode === 0 ? event.deltaY : by * NOTCH;
    this.turned = Math.sign(this.turned) === by ? this.turned + far : far;
    if (Math.abs(this.turned) < NOTCH) return;
    this.turned = 0;
    this.guard(() => this.landed(() => this.go(this.step + by)));
  }

  scrub(event) {
    const box = this.strip.firstChild.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    this.root.focus({ preventScroll: true });
    return this.go(Math.floor(share * this.reel.steps));
  }

  // -- the listing, built once --

  listing() {
    const { reel } = this;
    this.lines = [];
    const body = h("tbody");
    let label = "";
    reel.rows.forEach((row, at) => {
      if (row.label && row.label !== label) label = row.label;
      if (row.label || at === 0 || row.va !== reel.rows[at - 1].va + 4n) {
        const name = row.label || reel.symbolize(row.va) || "no label";
        body.append(h("tr", { class: "hk-label" }, h("th", { colspan: 4, scope: "colgroup" }, `${name}:`)));
      }
      if (row.story) {
        body.append(h("tr", { class: "hk-story" }, h("td", {}), h("td", { colspan: 3 }, row.story)));
      }
      const place = `${row.text}, at ${reel.symbolize(row.va) ?? hex(row.va)}`;
      const dot = h("button", { type: "button", class: "hk-dot", tabindex: -1, "aria-pressed": "false",
        "aria-label": `Breakpoint on ${place}`, title: "Breakpoint: Run on and Run back stop here", onclick: this.on(() => this.toggleBreak(at)) });
      const now = h("span", { class: "hk-arrow" });
      const runs = h("button", { type: "button", class: "hk-runs", tabindex: -1, disabled: !row.runs,
        "aria-label": row.runs ? `${row.runs} runs: to the next run of ${place}` : `not run: ${place}`,
        title: row.runs ? "To the next run of this line" : "Not run in this trace",
        onclick: this.on(() => this.nextRun(at)) }, row.runs ? `${row.runs}×` : "–");
      const line = h("tr", { class: row.runs ? "" : "hk-unrun" },
        h("td", { class: "hk-gutter" }, dot, now),
        h("td", { class: "hk-text" }, row.text), h("td", { class: "hk-comment" }, row.comment),
        h("td", { class: "hk-count" }, runs));
      line.addEventListener("dblclick", this.on(() => row.runs && this.nextRun(at)));
      body.append(line);
      this.lines.push({ line, dot, now });
    });
    body.addEventListener("keydown", this.on((event) => this.codeKey(event)));
    return h("table", { class: "hk-listing" }, h("caption", {}, "Code on the way of this call"),
      h("thead", {}, h("tr", {}, ["Now", "Instruction", "In our source", "Runs"].map(
        (text) => h("th", { scope: "col" }, text)))), body);
  }

  codeKey(event) {
    const at = this.lines.findIndex(({ line }) => line.contains(event.target));
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return undefined;
    if (by) {
      event.preventDefault();
      event.stopPropagation();
      const next = Math.max(0, Math.min(this.lines.length - 1, at + by));
      this.rove(next);
      this.lines[next].dot.focus();
    } else if (event.key === "b" || event.key === "j") {
      event.stopPropagation();
      return event.key === "b" ? this.toggleBreak(at) : this.nextRun(at);
    }
    return undefined;
  }

  /** Only one line of the listing is a stop of the Tab key. */
  rove(at) {
    if (this.stop !== undefined) this.lines[this.stop].dot.tabIndex = -1;
    this.lines[at].dot.tabIndex = 0;
    this.stop = at;
  }

  toggleBreak(at) {
    const on = !this.breakpoints.delete(at) && Boolean(this.breakpoints.add(at));
    const { line, dot } = this.lines[at];
    dot.setAttribute("aria-pressed", String(on));
    line.classList.toggle("hk-break", on);
    this.say(`${on ? "Breakpoint on" : "No breakpoint on"} ${this.reel.rows[at].text}.`);
  }

  nextRun(at) {
    if (!this.reel.rows[at].runs) {
      this.say("This line is not run.");
      return undefined;
    }
    return this.goFind(this.step + 1, 1, (step) => this.reel.site(step).row === at,
                       "No later run of this line: this is the first.", { again: 0 });
  }

  // -- moving --

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
    const typed = this.goto.valueAsNumber;
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
   * say `nothing`, and search from `again`, or go to `instead`, where these are given.
   * @returns {Promise<number | null>} the step found
   */
  async goFind(from, by, test, nothing, { past = 0, again = null, instead = null, worth = undefined } = {}) {
    const turn = this.begin();
    const search = (start) => this.reel.find(start, by, (step) => turn !== this.busy || test(step),
      (step, late) => {
        if (turn === this.busy) this.progress(`Searching … step ${step}${late ? `. ${NO_ANSWER}` : ""}`);
      }, (chunk) => turn !== this.busy || worth === undefined || worth(chunk));
    let found = await search(from);
    const said = found === null ? nothing : "";
    if (found === null && again !== null) found = await search(again);
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
      || reel.accesses(step).some((a) => !a.store && reel.place(a).startsWith("the table slot"));
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

  /** The search: a value, a register (its next write), or words of a line or a sentence. */
  async seek(by) {
    const { reel } = this;
    const text = this.search.value.trim();
    if (!text) {
      this.search.focus();
      return;
    }
    const wanted = text.toLowerCase();
    let test;
    let worth;
    if (reel.meta.registers.includes(wanted)) {
      test = (step) => reel.changed(step).includes(wanted);
    } else if (reel.rows.some((row) => row.label === text)) {
      test = (step) => reel.rows[reel.site(step).row].label === text;
    } else if (/^-?(0x[0-9a-f]+|\d+)$/i.test(wanted.replaceAll(/[_ ]/g, ""))) {
      const value = number(wanted.replaceAll(/[_ ]/g, "")) & MASK64;
      const place = reel.sites.findIndex(({ pc }) => pc === value);
      worth = (chunk) => [chunk.values, chunk.accVa, chunk.accValue, chunk.sysValue].some(
        (column) => column.includes(value)) || (place >= 0 && chunk.site.includes(place));
      test = (step) => reel.pc(step) === value
        || reel.changed(step).some((name) => reel.registerAfter(name, step) === value)
        || reel.accesses(step).some((a) => a.va === value || (!a.fault && a.value === value))
        || [...reel.sysChanged(step).values()].includes(value);
    } else {
      const hits = reel.rows.map((row) => `${row.label}: ${row.text} ${row.comment}`.toLowerCase()
        .includes(wanted));
      test = (step) => hits[reel.site(step).row]
        || reel.sentence(step).toLowerCase().includes(wanted);
    }
    const found = await this.goFind(this.step + by, by, test,
      `“${text}” is not found ${by > 0 ? "after" : "before"} step ${this.step}.`, { worth });
    if (found !== null) this.say(`“${text}”: step ${found}. ${reel.sentence(found)}`);
  }

  /** To the step that wrote a register last. */
  async whoWrote(name, writer) {
    await this.go(writer);
    this.say(`${name} was last written here, in step ${writer}.`);
  }

  /** A button that leads to the step that wrote a register, or the word that none did. */
  writer(name, step) {
    if (step === null) return "earlier";
    return h("button", { type: "button", class: "hk-who",
      "aria-label": `${name} was last written by step ${step}: go there`,
      onclick: this.on(() => this.whoWrote(name, step)) }, `step ${step}`);
  }

  /** The same for a system register; where its writer is not here, the button looks for it. */
  sysWriter(name, number) {
    const writer = this.reel.lastSysWrite(number, this.step);
    if (writer !== undefined) return this.writer(name, writer);
    return h("button", { type: "button", class: "hk-who", "aria-label": `Who wrote ${name} last`,
      onclick: this.on(async () => {
        const found = await this.goFind(this.step - 1, -1, (step) => this.reel.sysChanged(step).has(number),
          `${name} has had this value since before the trace.`,
          { worth: (chunk) => chunk.sysReg.includes(number) });
        if (found !== null) this.say(`${name} was last written here, in step ${found}.`);
      }) }, "who wrote?");
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

  async bookmark() {
    const key = String(this.step);
    if (!(key in this.bookmarks)) this.bookmarks[key] = "";
    this.keep();
    this.openTab("notes");
    this.panel.querySelector(`[data-step="${key}"]`)?.focus();
  }

  keep() {
    this.options.keep?.({ ...this.bookmarks });
    this.drawPins();
  }

  drawPins() {
    this.pins.replaceChildren(...Object.entries(this.bookmarks).flatMap(([step, note]) => (
      Number(step) >= 0 && Number(step) <= this.reel.steps
        ? h("span", { class: "hk-pin", style: `left:${this.across(Number(step))}%`, title: note }, "★") : [])));
  }

  /** Where a step stands on the strip, in percent. */
  across(step) {
    return ((step + 0.5) / Math.max(1, this.reel.steps)) * 100;
  }

  /** Point at a step, on the timeline and by its number. */
  point(step) {
    this.goto.value = String(step);
    this.slider.value = String(step);
    this.cursor.style.left = `${this.across(step)}%`;
  }

  toggleKeys() {
    this.keys.hidden = !this.keys.hidden;
  }

  zoom(by) {
    // On the element whose width the style sheet asks for: larger letters, fewer columns. It outlives
    // this view, and so does the size.
    const { style } = this.root.closest(".hk");
    const size = Number(style.getPropertyValue("--hk-size") || 1) * by;
    style.setProperty("--hk-size", String(Math.max(0.7, Math.min(2, size))));
    this.showCode(this.step >= this.reel.steps); // the current line has moved
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
    const inField = event.target.closest("input, textarea, select");
    if (inField && inField !== this.slider) {
      event.stopPropagation();
      if (event.key === "Escape") this.root.focus();
      return undefined;
    }
    // The slider and the tabs have arrow keys of their own.
    if (inField === this.slider && /^(Arrow|Page|Home|End)/.test(event.key)) return undefined;
    const tenth = Math.max(1, Math.round(this.reel.steps / 10));
    const fromHere = {
      n: () => this.go(this.step + 1), ArrowRight: () => this.go(this.step + 1),
      p: () => this.go(this.step - 1), ArrowLeft: () => this.go(this.step - 1),
      o: () => this.over(), u: () => this.out(),
      e: () => this.levelChange(1), E: () => this.levelChange(-1),
      t: () => this.nextMark(1), T: () => this.nextMark(-1),
      PageDown: () => this.go(this.step + tenth), PageUp: () => this.go(this.step - tenth),
      f: () => this.seek(1), F: () => this.seek(-1),
      b: () => this.step < this.reel.steps && this.toggleBreak(this.reel.site(this.step).row),
      r: () => this.run(1), R: () => this.run(-1), m: () => this.bookmark(),
    }[event.key];
    const action = fromHere ? () => this.landed(fromHere) : {
      s: () => this.go(0), Home: () => this.go(0),
      z: () => this.go(this.reel.steps), End: () => this.go(this.reel.steps),
      "/": () => this.search.focus(), g: () => this.goto.focus(),
      "+": () => this.zoom(1.15), "-": () => this.zoom(1 / 1.15), "?": () => this.toggleKeys(),
      Escape: () => { this.keys.hidden = true; },
    }[event.key];
    if (!action) return undefined;
    event.preventDefault();
    event.stopPropagation();
    return action();
  }

  // -- showing a step --

  show() {
    const { reel, step } = this;
    const focused = this.root.contains(document.activeElement);
    const over = step >= reel.steps;
    const level = reel.level(step);
    this.root.dataset.level = level;
    this.level.textContent = `${LEVELS[level].sign} ${reel.el(level)} ${LEVELS[level].who}`;
    this.where.textContent = over ? "after the last step"
      : `step ${step} · ${reel.symbolize(reel.pc(step)) ?? hex(reel.pc(step))} · ${reel.phase(step)[0]}`;
    this.says.textContent = reel.sentence(step);
    this.instruction.textContent = over ? "" : reel.row(step).text;
    this.point(step);
    this.slider.setAttribute("aria-valuetext", `step ${step} of ${reel.steps}, ${reel.levelText(level)}`);
    this.showBranch(over);
    this.showFlags(over);
    this.showRegisters();
    this.showPanel();
    // Last: it asks where a line stands, and by then nothing else is left to be laid out again.
    this.showCode(over);
    // Whatever had the focus may be gone; the keys must go on working.
    if (focused && !this.root.contains(document.activeElement)) {
      this.root.focus({ preventScroll: true });
    }
  }

  showCode(over) {
    const { reel, step } = this;
    for (const { line, now } of this.marked ?? []) {
      line.classList.remove("hk-current", "hk-next");
      line.removeAttribute("aria-current");
      now.textContent = "";
    }
    this.marked = [];
    if (over) return;
    const current = this.lines[reel.site(step).row];
    current.line.classList.add("hk-current");
    current.line.setAttribute("aria-current", "step");
    current.now.textContent = "▶";
    this.marked.push(current);
    this.rove(reel.site(step).row);
    const after = reel.siteAfter(step);
    if (after && after.row !== reel.site(step).row) {
      const next = this.lines[after.row];
      next.line.classList.add("hk-next");
      next.now.textContent = reel.went(step) ? "↪" : "↓";
      this.marked.push(next);
    }
    // Not scrollIntoView: that would move the notebook, too.
    const box = this.code;
    const top = current.line.offsetTop;
    const margin = box.clientHeight / 4;
    if (top < box.scrollTop + margin || top > box.scrollTop + box.clientHeight - margin) {
      box.scrollTop = top - box.clientHeight / 2.5;
    }
  }

  showBranch(over) {
    const { reel, step } = this;
    this.branch.textContent = "";
    if (over) return;
    const row = reel.row(step);
    if (row.sentence && row.kind & BRANCH && row.taken !== row.sentence && row.taken) {
      this.branch.textContent = reel.went(step)
        ? `↪ taken, to ${reel.symbolize(reel.nextPc(step)) ?? hex(reel.nextPc(step))}`
        : "↓ not taken";
    }
  }

  showFlags(over) {
    const { reel, step } = this;
    const before = flags(reel.register("pstate", step));
    const after = over ? before : flags(reel.registerAfter("pstate", step));
    this.nzcv.textContent = before === after ? `NZCV ${before}` : `NZCV ${before} → ${after}`;
    this.nzcv.classList.toggle("hk-changed", before !== after);
  }

  /** A value as a button that opens the address panel, where it is an address; else as text. */
  value(value, mark = "", plainly = false) {
    const { reel } = this;
    const text = mark + grouped(value);
    if (plainly || reel.space(value) === null || (reel.inVm(value) && reel.level(this.step) !== "vm") || (reel.space(value) === "physical" && !reel.symbolize(value))) {
      return text;
    }
    return h("button", { type: "button", class: "hk-address", title: "Show this address: its names, its walk",
      "aria-label": `${hex(value)}: open as an address`,
      onclick: this.on(() => this.openAddress(value)) }, text);
  }

  /** A value, and below it what it means. */
  explained(value, mark = "") {
    const { reel } = this;
    const name = reel.inVm(value) && reel.level(this.step) !== "vm" ? null : reel.symbolize(value);
    const says = name === null ? (value > 9n ? decimal(value) : "") : `${reel.space(value)}: ${name}`;
    return [h("span", { class: "hk-value" }, this.value(value, mark)),
            says ? h("span", { class: "hk-meaning" }, says) : null];
  }

  showRegisters() {
    const { reel, step } = this;
    const changed = new Set(reel.changed(step));
    const used = this.usedRegisters();
    const level = reel.level(step);
    const shown = reel.meta.registers.filter(
      (name) => name !== "pstate" && (this.allRegisters || used.has(name)));
    if (!this.registerBody) {
      this.registerBody = h("tbody");
      this.registerNote = h("span", {});
      this.registers.replaceChildren(h("table", { class: "hk-fixed" },
        h("caption", {}, "Registers before and after this instruction"),
        h("thead", {}, h("tr", {}, ["Name", "Before", "After", "Set by"].map(
          (text) => h("th", { scope: "col" }, text)))), this.registerBody),
        h("label", { class: "hk-all" }, h("input", { type: "checkbox",
          onchange: this.on((event) => {
            this.allRegisters = event.target.checked;
            this.showRegisters();
          }) }), this.registerNote));
    }
    this.registerNote.textContent =
      ` all 31, not only those that this trace uses (SP is ${reel.el(level)}'s)`;
    keyed(this.registerBody, shown.map((name) => {
      const before = reel.register(name, step);
      const after = changed.has(name) ? reel.registerAfter(name, step) : null;
      const writer = reel.lastWrite(name, step);
      return [name, `${before} ${after} ${writer} ${level}`, () => this.registerRow(
        name, before, after, writer)];
    }));
  }

  registerRow(name, before, after, writer) {
    return h("tr", { class: after === null ? "" : "hk-changed" },
      h("th", { scope: "row" }, (after === null ? "" : "● ") + name),
      // Room for the name of what does not change.
      h("td", { colspan: after === null ? 2 : null }, this.explained(before)),
      after === null ? null : h("td", { class: "hk-new" }, this.explained(after, "→ ")),
      h("td", {}, this.writer(name, writer)));
  }

  /** The registers that a program of this trace names or changes. */
  usedRegisters() {
    if (!this.used) {
      const { reel } = this;
      this.used = new Set(["sp", "x0", "x30"]);
      for (const row of reel.rows) {
        if (!row.runs) continue;
        for (const match of row.text.matchAll(/\b[xw](\d+)\b/g)) this.used.add(`x${match[1]}`);
        if (/\b(sp|wsp)\b/.test(row.text)) this.used.add("sp");
      }
    }
    return this.used;
  }

  // -- the panels --

  openTab(key, draw = true) {
    this.tab = key;
    TABS.forEach(([name], at) => {
      this.tabs[at].setAttribute("aria-selected", String(name === key));
      this.tabs[at].tabIndex = name === key ? 0 : -1;
      if (name === key) this.panel.setAttribute("aria-labelledby", this.tabs[at].id);
    });
    if (draw) this.showPanel();
  }

  showPanel() {
    // While a field of the panel is in use, it stays.
    if (this.panel.contains(document.activeElement)
        && document.activeElement.matches("input") && this.tab === "notes") return;
    const parts = { state: () => this.statePanel(), memory: () => this.memoryPanel(),
      address: () => this.addressPanel(), cost: () => this.costPanel(),
      notes: () => this.notesPanel() }[this.tab]();
    // What stands there already stays, and keeps the focus.
    if (this.panel.children.length !== parts.length || this.panel.firstChild !== parts[0]) {
      this.panel.replaceChildren(...parts);
    }
  }

  statePanel() {
    const { reel, step } = this;
    const news = reel.sysChanged(step);
    const order = ["ESR_EL2", "ELR_EL2", "SPSR_EL2", "VBAR_EL2", "VTTBR_EL2", "FAR_EL2"];
    const rest = reel.meta.sysregs.filter((name) => !order.includes(name));
    if (!this.state) {
      this.state = h("tbody");
      this.stateTable = h("table", { class: "hk-state" },
        h("caption", {}, "System registers before and after"),
        h("thead", {}, h("tr", {}, ["Register", "Value, fields and meaning", "Set by"].map(
          (text) => h("th", { scope: "col" }, text)))), this.state);
    }
    keyed(this.state, [...order.filter((name) => reel.meta.sysregs.includes(name)), ...rest].map(
      (name) => {
        const numbered = reel.meta.sysregs.indexOf(name);
        const before = reel.sysreg(numbered, step);
        const after = news.get(numbered) ?? before;
        const number = !ADDRESSES.test(name);
        const writer = reel.lastSysWrite(numbered, step);
        return [name, `${before} ${after} ${news.has(numbered)} ${writer} ${reel.level(step)}`, () =>
          h("tr", { class: after === before ? "" : "hk-changed" },
            h("th", { scope: "row" }, (news.has(numbered) ? "● " : "") + name),
            h("td", {}, h("span", { class: "hk-value" }, this.value(before, "", number), " ",
              after === before ? "" : this.value(after, "→ ", number)),
              h("span", { class: "hk-meaning" }, this.fields(name, after))),
            h("td", {}, this.sysWriter(name, numbered)))];
      }));
    return [this.stateTable];
  }

  /** The fields of a system register in words. */
  fields(name, value) {
    const { reel } = this;
    if (!value) return "zero";
    const symbol = ADDRESSES.test(name) ? reel.symbolize(value) : null;
    const parts = reel.meta.fields[name].map(([field, high, low, meaning]) => {
      const number = (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
      if (field === "EC") return `EC ${hex(number)}: ${reel.meta.ec[Number(number)] ?? "?"}`;
      if (field === "ISS" && (value >> 26n) === EC_HVC) return `ISS: from hvc #${number}`;
      if (field === "M" && name.startsWith("SPSR")) {
        return `M: ${reel.meta.modes[Number(number)] ?? hex(number)}`;
      }
      if (high === low) return number ? `${field}: ${meaning}` : null;
      if (field === "BASE" || field === "BADDR") return null;
      if (field === "FIPA") return number ? `IPA ${hex(number << 12n)}` : null;
      return `${field} ${hex(number)}: ${meaning}`;
    }).filter(Boolean);
    if (symbol !== null) parts.unshift(`${reel.space(value)}: ${symbol}`);
    return parts.join(" · ") || decimal(value);
  }

  memoryPanel() {
    const { reel, step } = this;
    const touched = reel.accesses(step).map((a) => [
      `${a.store ? "store" : "load"}, ${a.size} byte${a.size > 1 ? "s" : ""}`,
      [h("span", { class: "hk-value" }, this.value(a.va)),
       h("span", { class: "hk-meaning" }, `${reel.space(a.va) ?? "none"}: ${reel.place(a)}`)],
      a.pa === null ? "–" : hex(BigInt(a.pa)), a.fault ? "fault" : grouped(a.value),
      a.pa === null ? "" : h("button", { type: "button", class: "hk-who",
        "aria-label": `Who wrote ${hex(a.va)} last`,
        onclick: this.on(() => this.whoStored(a.pa, a.size)) }, "who wrote?")]);
    const sp = reel.register("sp", step);
    const after = step < reel.steps ? reel.registerAfter("sp", step) : sp;
    const stack = [];
    for (let slot = -4; slot < 6; slot++) {
      const va = (sp & ~7n) + BigInt(8 * slot);
      const pa = reel.pa(va & MASK64);
      if (pa === null) continue;
      const { value, by } = reel.memory(pa, 8, step);
      const store = reel.accesses(step).find((a) => a.store && !a.fault && a.pa === pa);
      stack.push(h("tr", { class: store ? "hk-changed" : slot === 0 ? "hk-sp" : "" },
        h("th", { scope: "row" }, va === sp ? "SP ▸" : va === after ? "SP after ▸" : `SP${slot < 0 ? "-" : "+"}${Math.abs(slot * 8)}`),
        h("td", { class: "hk-value" }, this.value(va)), h("td", {}, hex(BigInt(pa))),
        h("td", { class: "hk-value" }, value === null ? "not seen yet" : this.value(value),
          store ? h("div", { class: "hk-new" }, this.value(store.value, "→ ")) : ""),
        h("td", {}, by === null ? "earlier" : h("button", { type: "button", class: "hk-who",
          "aria-label": `${hex(va)} was last stored by step ${by}: go there`,
          onclick: this.on(() => this.go(by)) }, `step ${by}`))));
    }
    return [
      touched.length ? table("Memory that this instruction touches", ["What", "Virtual address",
        "Physical", "Value", "Last write"], touched)
        : h("p", {}, "This instruction touches no memory."),
      h("table", {}, h("caption", {}, `The stack at ${reel.el(reel.level(step))}'s SP`),
        h("thead", {}, h("tr", {}, ["Place", "Virtual address", "Physical", "Value", "Written by"].map(
          (text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, stack))];
  }

  openAddress(value) {
    this.address = value;
    this.openTab("address");
    this.panel.focus({ preventScroll: true });
  }

  addressPanel() {
    const { reel, step } = this;
    const address = this.address ?? reel.pc(step);
    const field = h("input", { type: "text", value: hex(address), spellcheck: "false",
      "aria-label": "Address in hexadecimal, or a label" });
    const ask = this.on((event) => {
      event.preventDefault();
      const text = field.value.trim();
      const at = reel.meta.symbols[1].indexOf(text);
      if (at >= 0) this.address = BigInt(reel.meta.symbols[0][at]) + reel.voffset;
      else if (/^(0x)?[0-9a-f_ ]+$/i.test(text)) {
        this.address = BigInt("0x" + text.replace(/^0x/i, "").replaceAll(/[_ ]/g, "")) & MASK64;
      } else throw new Error(`${text} is neither a label nor a hexadecimal number`);
      this.showPanel();
    });
    const pa = reel.pa(address);
    const space = reel.space(address);
    const parts = [h("form", { class: "hk-ask", onsubmit: ask }, field, h("button", {}, "Look up")),
      h("p", {}, `${hex(address)} is ` + (space === null ? "in none of the four address spaces."
        : `the ${space} address of ${reel.symbolize(address) ?? "no label"}.`))];
    if (pa !== null && space !== "VM") {
      parts.push(table("The four names of this byte", ["Space", "Address"],
        reel.names(pa).map(([name, value]) => [name === space ? `${name} (this one)` : name,
          this.value(value)])));
    }
    for (const walk of reel.translations(address, step)) {
      parts.push(h("p", { class: walk.fault ? "hk-fault" : "hk-maps" },
        h("strong", {}, `${walk.regime}: `), (walk.fault ? "✖ " : "✔ ") + walk.says));
      if (walk.levels.length) {
        parts.push(table(`Page walk: ${walk.regime}`, ["Level", "Table at", "Slot", "Descriptor", "Kind"],
          walk.levels.map((level) => [String(level.level), hex(BigInt(level.table)),
            String(level.index), grouped(level.descriptor), level.kind])));
      }
    }
    parts.push(h("p", { class: "hk-hint" }, "Walked through the tables that boot built."));
    return parts;
  }

  costPanel() {
    const { reel, step } = this;
    const now = reel.cost(step);
    const names = reel.meta.counters.map((name) => name.replace("_", " ").replace(/^taken/, "branches taken"));
    const rows = now.filter(({ counts }) => counts[0]).map(({ name, counts }) => [name, ...counts.map(String)]);
    const sum = (of) => names.map((_, at) => of.reduce((total, { counts }) => total + counts[at], 0));
    const abi = now.filter(({ name }) => ["entry", "dispatch", "call", "return"].includes(name));
    rows.push(["all", ...sum(now).map(String)], ["EL2 without the handler", ...sum(abi).map(String)]);
    return [table(`Cost of the ${step} steps so far`, ["Phase", ...names], rows, "hk-numbers"),
      h("p", { class: "hk-hint" }, "Counted as hypkit.cost counts; at the end the two are equal. "
        + now.filter(({ counts }) => counts[0]).map(({ name, says }) => `${name}: ${says}`).join("; ") + ".")];
  }

  notesPanel() {
    const rows = Object.entries(this.bookmarks).sort(([a], [b]) => Number(a) - Number(b)).map(
      ([step, note]) => [
        Number(step) <= this.reel.steps
          ? h("button", { type: "button", class: "hk-who", onclick: this.on(() => this.go(Number(step))) },
              `step ${step}`) : `step ${step}, beyond the end`,
        h("input", { type: "text", value: note, "data-step": step, "aria-label": `Note on step ${step}`,
          placeholder: "a note …", oninput: this.on((event) => {
            this.bookmarks[step] = event.target.value;
            this.keep();
          }) }),
        h("button", { type: "button", "aria-label": `Remove the bookmark of step ${step}`,
          onclick: this.on(() => {
            delete this.bookmarks[step];
            this.keep();
            this.showPanel();
          }) }, "Remove")]);
    return [rows.length ? table("Bookmarks", ["Step", "Note", "Remove"], rows)
      : h("p", {}, "No bookmark yet: m, or the button Bookmark, keeps the current step.")];
  }
}

/** A table with a caption and headed columns; the first cell of a row is its header. */
function table(caption, heads, rows, kind = "") {
  return h("table", { class: kind }, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
    tableBody(rows));
}

function tableBody(rows) {
  return h("tbody", {}, rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first),
    rest.map((cell) => h("td", { class: typeof cell === "string" && /^([0-9a-f]{4} ){3}/.test(cell)
      ? "hk-value" : null }, cell)))));
}

/** Make a body's rows [key, what the row shows, how to make it], and make only those that differ. */
function keyed(body, wanted) {
  body.shown ??= new Map();
  const news = new Map();
  wanted.forEach(([key, says, make], at) => {
    const old = body.shown.get(key);
    const row = old?.says === says ? old.row : make();
    news.set(key, { says, row });
    const there = body.children[at];
    if (there === row) return;
    if (there && there === old?.row) {
      const focused = there.contains(document.activeElement);
      there.replaceWith(row);
      if (focused) row.querySelector("button:last-of-type, button")?.focus();
    } else {
      body.insertBefore(row, there ?? null);
    }
  });
  body.shown = news;
  while (body.children.length > wanted.length) body.lastChild.remove();
}

/** A number in decimal where that is short. */
function decimal(value) {
  if (value >> 12n === (1n << 52n) - 1n) return `= ${value - (1n << 64n)}`;
  return value < 100000n ? `= ${value}` : "";
}

const DIFF_LINES = 400; // rows of a comparison that stand in the page at once
const DIFF_HINT = "n: next row · p: back · d, D: next, previous difference";

// --- Two traces side by side -------------------------------------------------------------------

/** The view of a trace diff: rows of [step of a or null, step of b or null]. */
class DiffView extends Board {
  /** @param {HTMLElement} host @param {Reel[]} reels @param {[number|null, number|null][]} rows */
  constructor(host, reels, rows) {
    super();
    this.reels = reels;
    this.rows = rows;
    this.at = 0;
    /** The rows that stand in the page: `lines` from row `first` on. */
    this.first = 0;
    /** @type {HTMLElement[]} */
    this.lines = [];
    const titles = reels.map((reel) => reel.meta.title);
    const move = (text, keys, says, to) => h("button", { type: "button", "aria-keyshortcuts": keys,
      title: `${says} (key ${keys.split(" ")[0]})`, onclick: this.on(() => this.go(to())) }, text);
    this.says = h("div", { class: "hk-says", "aria-live": "polite", "aria-atomic": "true" });
    this.status = h("p", { class: "hk-status", role: "status" }, DIFF_HINT);
    this.body = h("tbody");
    this.code = h("div", { class: "hk-code hk-diff", role: "region", tabindex: 0,
                           "aria-label": "The two traces, row by row" },
      h("table", {}, h("caption", {}, "Aligned where both execute the same code"),
        h("thead", {}, h("tr", {}, ["Step", "Level", "Left", "In", "Right", "Level", "Step"].map(
          (text) => h("th", { scope: "col" }, text)))), this.body));
    this.root = h("section", { class: "hk-view", tabindex: -1, "data-lm-suppress-shortcuts": "true",
      "aria-label": `Comparison: ${titles.join(" and ")}`, onkeydown: this.on((event) => this.key(event)) },
      h("header", { class: "hk-head" }, h("p", { class: "hk-title" }, "Left: " + titles[0]),
        h("p", { class: "hk-title" }, "Right: " + titles[1])),
      h("div", { class: "hk-tools", role: "toolbar", "aria-label": "Moving through the comparison" },
        h("span", { class: "hk-group" },
          move("|◀ Start", "s Home", "To the start", () => 0),
          move("◀ Previous", "p ArrowLeft", "One row back", () => this.at - 1),
          move("Next ▶", "n ArrowRight", "One row on", () => this.at + 1),
          move("Next difference", "d", "To the next stretch that only one has", () => this.difference(1)),
          move("Previous difference", "D", "To the stretch before", () => this.difference(-1)),
          move("End ▶|", "z End", "To the end", () => rows.length - 1))),
      this.status, h("div", { class: "hk-now" }, this.says), this.code, this.summary());
    host.append(this.root);
    if (rows.length) this.go(0);
    else this.say("Neither trace has a step.");
  }

  row(at) {
    const steps = this.rows[at];
    const [first, second] = this.reels.map((reel, side) => (steps[side] === null ? ["–", "", ""]
      : [String(steps[side]), `${LEVELS[reel.level(steps[side])].sign} ${reel.el(reel.level(steps[side]))}`,
         reel.row(steps[side]).text]));
    const sign = steps[0] === null ? "only right" : steps[1] === null ? "only left" : "both";
    const jump = h("button", { type: "button", class: "hk-runs", tabindex: -1,
      "aria-label": `row ${at}: ${sign}`, onclick: this.on(() => this.go(at)) }, sign);
    return h("tr", { class: `hk-${sign.replace("only ", "only-")}` },
      h("td", { class: "hk-step" }, first[0]), h("td", { class: "hk-el" }, first[1]),
      h("td", { class: "hk-text" }, first[2]), h("th", { scope: "row" }, jump),
      h("td", { class: "hk-text" }, second[2]), h("td", { class: "hk-el" }, second[1]),
      h("td", { class: "hk-step" }, second[0]));
  }

  /** Put the rows around the current one into the page; all of ten thousand would make it slow. */
  fill() {
    const { at, rows } = this;
    const near = (edge, end) => edge !== end && Math.abs(at - edge) < DIFF_LINES / 8;
    if (this.lines.length && at >= this.first && at < this.first + this.lines.length
        && !near(this.first, 0) && !near(this.first + this.lines.length, rows.length)) return;
    this.first = Math.max(0, Math.min(rows.length - DIFF_LINES, at - DIFF_LINES / 2));
    const last = Math.min(rows.length, this.first + DIFF_LINES);
    this.lines = Array.from({ length: last - this.first }, (_, line) => this.row(this.first + line));
    const more = (number, where, to) => (number ? [h("tr", {}, h("td", { colspan: 7 }, h("button",
      { type: "button", onclick: this.on(() => this.go(to)) }, `${number} rows ${where}`)))] : []);
    this.body.replaceChildren(...more(this.first, "before these", this.first - 1), ...this.lines,
      ...more(rows.length - last, "after these", last));
  }

  summary() {
    const cost = this.reels.map((reel) => reel.cost(reel.steps));
    const rows = cost[0].map(({ name, counts }, at) => {
      const other = cost[1][at].counts;
      return [name, ...[0, 1, 2].flatMap((kind) => [String(counts[kind]), String(other[kind]),
        signed(other[kind] - counts[kind])]), counts[0] || other[0]];
    }).filter((row) => row.pop());
    const totals = this.reels.map((_, side) => [0, 1, 2].map((kind) => cost[side].reduce(
      (sum, { counts }) => sum + counts[kind], 0)));
    rows.push(["all", ...[0, 1, 2].flatMap((kind) => [String(totals[0][kind]), String(totals[1][kind]),
      signed(totals[1][kind] - totals[0][kind])])]);
    const kinds = ["Instructions", "Loads", "Stores"];
    return h("div", { class: "hk-panel" }, h("table", { class: "hk-numbers hk-costs" },
      h("caption", {}, "What each costs, and how many more the right one has"),
      h("thead", {},
        h("tr", {}, h("th", { scope: "col", rowspan: 2 }, "Phase"),
          kinds.map((kind) => h("th", { scope: "colgroup", colspan: 3 }, kind))),
        h("tr", {}, kinds.flatMap(() => ["left", "right", "more"].map(
          (text) => h("th", { scope: "col" }, text))))),
      tableBody(rows)));
  }

  difference(by) {
    const { rows } = this;
    const only = (at) => rows[at][0] === null || rows[at][1] === null;
    for (let at = this.at + by; at >= 0 && at < rows.length; at += by) {
      if (only(at) && (at === 0 || !only(at - 1))) return at;
    }
    this.say(`No further difference ${by > 0 ? "from here on" : "before this"}.`);
    return this.at;
  }

  go(wanted) {
    const { rows } = this;
    if (!rows.length) return;
    const before = this.lines[this.at - this.first];
    before?.classList.remove("hk-current");
    before?.removeAttribute("aria-current");
    if (wanted !== this.at) this.say("");
    this.at = Math.max(0, Math.min(rows.length - 1, wanted));
    const focused = this.root.contains(document.activeElement);
    this.fill();
    if (focused && !this.root.contains(document.activeElement)) this.root.focus({ preventScroll: true });
    const line = this.lines[this.at - this.first];
    line.classList.add("hk-current");
    line.setAttribute("aria-current", "step");
    this.says.replaceChildren(...this.reels.map((reel, side) => {
      const step = this.rows[this.at][side];
      return h("p", {}, h("strong", {}, side ? "Right: " : "Left: "),
        step === null ? "nothing here." : `step ${step}, ${reel.levelText(reel.level(step))}. ${reel.sentence(step)}`);
    }));
    const box = this.code;
    box.scrollTop = line.offsetTop - box.clientHeight / 2.5;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { n: () => this.at + 1, ArrowRight: () => this.at + 1, p: () => this.at - 1,
      ArrowLeft: () => this.at - 1, ArrowDown: () => this.at + 1, ArrowUp: () => this.at - 1,
      d: () => this.difference(1), D: () => this.difference(-1),
      s: () => 0, Home: () => 0, z: () => this.rows.length - 1,
      End: () => this.rows.length - 1 }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    this.go(to());
  }
}

function signed(value) {
  return value > 0 ? `+${value}` : value < 0 ? `−${-value}` : "0";
}

// --- The two homes -----------------------------------------------------------------------------

/** Follow the theme: JupyterLab's when inside it, else what the browser prefers. */
function followTheme(el) {
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const update = () => {
    const lab = document.body.dataset.jpThemeLight;
    el.dataset.theme = lab === "false" || (lab === undefined && media.matches) ? "dark" : "light";
  };
  update();
  media.addEventListener("change", update);
  const observer = new MutationObserver(update);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  return () => {
    media.removeEventListener("change", update);
    observer.disconnect();
  };
}

/**
 * Draw data into an element: the renderer of both homes.
 * @param {any} data {meta, chunks} or {diff: rows, sides: [data, data]}
 */
function draw(data, el, options = {}) {
  el.replaceChildren();
  if (data.diff) {
    return new DiffView(el, data.sides.map((side) => new Reel(side)), data.diff);
  }
  return new View(el, new Reel(data, options.fetch ?? null), options);
}

/** A DataView or typed array of the widget protocol as an aligned buffer of its own. */
function own(view) {
  return view instanceof ArrayBuffer ? view
    : view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

/** A text of the learner's that the kernel assembles or compiles on demand. */
class Editor {
  /**
   * @param {Controls} controls
   * @param {{of: string, source: string, what: string, label: string, go: string}} words the model's
   *   names of the learner's text and of the original, and what is written about them
   */
  constructor(controls, words) {
    const { model } = controls;
    this.model = model;
    this.words = words;
    this.text = h("textarea", { rows: 18, spellcheck: "false", wrap: "off", "aria-label": words.label,
      oninput: () => this.edited(), onscroll: () => { this.gutter.scrollTop = this.text.scrollTop; } });
    this.gutter = h("pre", { class: "hk-lines", "aria-hidden": "true" });
    this.wrong = h("p", { class: "hk-wrong", role: "alert", id: id("wrong") });
    this.text.setAttribute("aria-describedby", this.wrong.id);
    this.fresh = h("span", { class: "hk-fresh" });
    const send = () => controls.request(
      () => model.send({ type: "edit", of: words.of, text: this.text.value }));
    this.root = h("details", { class: "hk-editor" }, h("summary", {}, words.what),
      h("div", { class: "hk-edit" }, this.gutter, this.text), this.wrong,
      h("p", {}, h("button", { type: "button", class: "hk-assemble", onclick: send }, words.go), " ",
        h("button", { type: "button", onclick: () => {
          this.text.value = model.get(words.source);
          send();
        } }, "Back to the original"), " ", this.fresh));
    controls.listen(`change:${words.of}`, () => this.take());
    controls.listen(`change:${words.source}`, () => this.take());
    controls.listen("change:error", () => this.showError());
    this.take();
    this.showError();
  }

  get saved() {
    return this.model.get(this.words.of) || this.model.get(this.words.source);
  }

  /** What is wrong with this text: {message, line} or nothing. */
  get error() {
    const error = this.model.get("error");
    return error?.of === this.words.of ? error : {};
  }

  take() {
    this.text.value = this.saved;
    this.root.hidden = !this.model.get(this.words.source);
    this.edited();
  }

  edited() {
    const wrong = this.error.line;
    this.gutter.replaceChildren(...this.text.value.split("\n").map((_, at) =>
      h("span", { class: at + 1 === wrong ? "hk-wrong-line" : null },
        `${at + 1 === wrong ? "✖" : ""}${String(at + 1).padStart(3)}\n`)));
    this.fresh.textContent = this.text.value === this.saved
      ? "" : "Edited: what you see below still runs the text from before.";
  }

  showError() {
    const { message, line } = this.error;
    this.wrong.textContent = message ? (line ? `Line ${line}: ${message}` : message) : "";
    if (message) {
      this.root.open = true;
      this.text.setAttribute("aria-invalid", "true");
    } else {
      this.text.removeAttribute("aria-invalid");
    }
    this.edited();
    // 20: a line's height in the style sheet.
    if (line) this.text.scrollTop = Math.max(0, 20 * (line - 6));
  }
}

/** The controls above a stepper that has a machine: which call to make, and the editors. */
class Controls extends Board {
  constructor(el, model) {
    super();
    this.model = model;
    this.heard = [];
    this.timer = 0;
    const choices = model.get("choices");
    const select = (name, label, options) => {
      const node = h("select", { onchange: () => {
        this.takeArgs();
        this.set(name, node.value);
      } }, options.map(([value, text]) => h("option", { value }, text)));
      this.link(name, node);
      return h("label", {}, label, node);
    };
    // Not at its change event: that comes just before a click on the button, and the call would be
    // made twice.
    const run = () => this.takeArgs() || this.request(() => model.send({ type: "run" }));
    this.args = h("input", { type: "text", spellcheck: "false", size: 22,
      onkeydown: (event) => event.key === "Enter" && run() });
    this.link("args", this.args);
    this.status = h("p", { class: "hk-status hk-control-status", role: "status" });
    const chosen = h("div", { class: "hk-choose" },
      select("variant", "Variant ", choices.variants),
      select("hypercall", "Hypercall ", choices.hypercalls),
      h("label", {}, "Arguments ", this.args),
      h("button", { type: "button", class: "hk-go", onclick: run }, "Run the call"));
    const editors = [
      { of: "dispatcher", source: "source", what: "Edit the dispatcher",
        label: "Dispatcher, as assembly", go: "Assemble and run" },
      { of: "header", source: "header_source", what: "Edit the numbering header",
        label: "Numbering header, in C", go: "Compile and run" },
    ].map((words) => new Editor(this, words).root);
    this.root = h("section", { class: "hk-controls", "aria-label": "The call to make",
      "data-lm-suppress-shortcuts": "true", onkeydown: (event) => event.stopPropagation() },
      chosen, editors, this.status);
    el.append(this.root);
    this.listen("change:status", () => this.showStatus());
    this.listen("msg:custom", (message) => message.type === "done" && this.answered());
    this.showStatus();
  }

  listen(event, action) {
    this.model.on(event, action);
    this.heard.push([event, action]);
  }

  close() {
    clearTimeout(this.timer);
    for (const [event, action] of this.heard) this.model.off(event, action);
  }

  link(name, node) {
    node.value = this.model.get(name);
    this.listen(`change:${name}`, () => { node.value = this.model.get(name); });
  }

  /** Give the kernel the arguments, which makes the call; whether they were new. */
  takeArgs() {
    const news = this.args.value !== this.model.get("args");
    if (news) this.set("args", this.args.value);
    return news;
  }

  set(name, value) {
    this.request(() => {
      this.model.set(name, value);
      this.model.save_changes();
    });
  }

  /** Ask the kernel for something, and say so where the answer takes its time. */
  request(action) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.say("Running …");
      this.timer = setTimeout(() => this.say(`No call was made yet. ${NO_ANSWER}`, true), LATE);
    }, 300);
    try {
      action();
    } catch {
      clearTimeout(this.timer);
      this.say(`Error: ${GONE}`, true);
    }
  }

  answered() {
    clearTimeout(this.timer);
    this.showStatus();
  }

  showStatus() {
    const status = this.model.get("status");
    this.say(status, status.startsWith("Error"));
  }
}

/** anywidget: a widget's view. */
function render({ model, el }) {
  el.classList.add("hk");
  const unfollow = followTheme(el);
  const controls = model.get("choices")?.variants ? new Controls(el, model) : null;
  const place = h("div", {});
  const status = h("p", { class: "hk-status", role: "status" });
  el.append(place, status);
  /** @type {Map<number, {resolve: (b: ArrayBuffer) => void, reject: (e: Error) => void}>} */
  const asked = new Map();
  const answer = (message, buffers) => {
    const waiting = asked.get(message.number);
    if (message.generation !== generation || !waiting) return;
    asked.delete(message.number);
    if (message.type === "chunk") waiting.resolve(own(buffers[0]));
    else waiting.reject(new Error(message.error));
  };
  let generation = 0;
  let view = null;
  const rebuild = () => {
    const said = model.get("data");
    try {
      status.textContent = "";
      generation = said.generation ?? 0;
      asked.clear();
      const open = (part) => ({ meta: JSON.parse(part.meta), chunks: part.chunks.map(own) });
      if (!said.meta && !said.diff) {
        place.replaceChildren(h("p", { class: "hk-waiting" }, said.waiting ?? "Nothing to show yet."));
        return;
      }
      const data = said.diff ? { diff: said.diff, sides: said.sides.map(open) } : open(said);
      const whole = data.diff || data.chunks.length === data.meta.chunks;
      const tab = view?.tab;
      view = draw(data, place, {
        fetch: whole ? null : (number) => new Promise((resolve, reject) => {
          try {
            model.send({ type: "chunk", number, generation });
          } catch {
            throw new Error(`steps around ${number * data.meta.chunk} are not here, and ${GONE}`);
          }
          asked.set(number, { resolve, reject });
        }),
        start: model.get("step"),
        bookmarks: model.get("bookmarks"),
        keep: (bookmarks) => {
          model.set("bookmarks", bookmarks);
          model.save_changes();
        },
        moved: (step) => {
          model.set("step", step);
          if (!later) later = setTimeout(() => { later = 0; model.save_changes(); }, 250);
        },
      });
      if (tab && view instanceof View) view.openTab(tab);
    } catch (error) {
      status.textContent = `Error: ${error.message ?? error}`;
      status.classList.add("hk-bad");
    }
  };
  let later = 0;
  const stepped = () => {
    const step = model.get("step");
    if (view instanceof View && step !== view.step && !later) view.guard(() => view.go(step));
  };
  model.on("msg:custom", answer);
  model.on("change:data", rebuild);
  model.on("change:step", stepped);
  rebuild();
  return () => {
    if (later) {
      clearTimeout(later);
      model.save_changes();
    }
    unfollow();
    controls?.close();
    model.off("msg:custom", answer);
    model.off("change:data", rebuild);
    model.off("change:step", stepped);
  };
}

/** The exported file: its data stands in a script element of the page. */
export function openFile(el, text) {
  el.classList.add("hk", "hk-file");
  followTheme(el);
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
  const open = (part) => ({ meta: part.meta, chunks: part.chunks.map(bytes) });
  try {
    const said = JSON.parse(text);
    const data = said.diff ? { diff: said.diff, sides: said.sides.map(open) } : open(said);
    const view = draw(data, el, { bookmarks: said.bookmarks, start: said.step });
    view.root.focus({ preventScroll: true });
    return view;
  } catch (error) {
    el.append(h("p", { class: "hk-status hk-bad", role: "alert" }, `Error: ${error.message ?? error}`));
    return null;
  }
}

export default { render };
