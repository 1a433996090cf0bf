// One chunk of steps, in the binary form that Payload.chunk of hypkit/timetravel/payload.py writes.

/** One chunk of steps, as Payload.chunk lays it out. */
export class Chunk {
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
    /** @type {Float64Array | null} physical addresses of the accesses, once somebody asks */
    this.accPa = null;
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
export function upTo(sorted, limit) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
