// Page walks through the tables that boot built, as hypkit/machine/mmu.py makes them.

import { hex } from "./format.js";

/** The page tables of one machine: runs of slots, as Payload.meta wrote them. */
export class PageTables {
  /** @param {any[][]} runs */
  constructor(runs) {
    /** @type {Map<number, any[][]>} */
    this.tables = new Map();
    for (const [table, index, count, first, step] of runs) {
      if (!this.tables.has(table)) this.tables.set(table, []);
      this.tables.get(table).push([index, count, BigInt("0x" + first), BigInt(step)]);
    }
  }

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
}

/**
 * Translate as EL1 or EL2 would before a step: [{regime, walk or null, pa, says}].
 * @param {any} reel
 * @param {bigint} va
 * @param {number} step
 */
export function translations(reel, va, step) {
  const { tables, meta } = reel;
  const found = [];
  const add = (regime, result, rights) => found.push({
    regime, ...result,
    says: result.fault ?? `maps to physical ${hex(BigInt(result.pa))}: ${rights(result.descriptor)}`,
  });
  const off = { levels: [], pa: Number(va & 0xffffffffffffn), fault: null, descriptor: 0n };
  const fault0 = { levels: [], pa: null, fault: "translation fault, level 0", descriptor: 0n };
  const top = va >> 48n;
  if (reel.addresses.inVm(va)) {
    add("stage 2, for the VM's EL1", tables.walk(meta.vm.vttbr, va, 40, 1), (d) =>
      [d & 64n && "read", d & 128n && "write", !(d & (1n << 54n)) && "execute"]
        .filter(Boolean).join(", "));
    return found;
  }
  const one = reel.sysregNamed("SCTLR_EL1", step) & 1n;
  const root1 = reel.sysregNamed(top === 0xffffn ? "TTBR1_EL1" : "TTBR0_EL1", step);
  add(one ? `EL1, through TTBR${top === 0xffffn ? 1 : 0}_EL1` : "EL1, MMU off",
      !one ? off : top === 0xffffn || top === 0n
        ? tables.walk(Number(root1 & 0xfffffffff000n), va) : fault0,
      (d) => !one ? "no translation" : ["read", !(d & 128n) && "write",
        !(d & (1n << 53n)) && "execute"].filter(Boolean).join(", "));
  const two = reel.sysregNamed("SCTLR_EL2", step) & 1n;
  const root2 = reel.sysregNamed("TTBR0_EL2", step);
  add(two ? "EL2, through TTBR0_EL2" : "EL2, MMU off",
      !two ? off : top === 0n ? tables.walk(Number(root2 & 0xfffffffff000n), va) : fault0,
      (d) => !two ? "no translation" : ["read", !(d & 128n) && "write",
        !(d & (1n << 54n)) && "execute"].filter(Boolean).join(", "));
  return found;
}
