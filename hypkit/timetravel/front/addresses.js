// Which of the machine's address spaces an address belongs to, and what lies there by name.
// hypkit/kernel/addresses.py and image.py answer the same questions in Python.

import { MASK64, PAGE_END } from "./facts.js";
import { upTo } from "./chunk.js";
import { plain } from "./format.js";

/** The addresses of one machine. */
export class Addresses {
  /** @param {any} meta what Payload.meta wrote */
  constructor(meta) {
    const { layout, vm } = meta;
    this.meta = meta;
    this.voffset = BigInt("0x" + layout.voffset);
    this.pageOffset = BigInt("0x" + layout.page_offset);
    this.tag = BigInt("0x" + layout.tag);
    this.vaMask = (1n << BigInt(layout.tag_lsb)) - 1n;
    this.vmEnd = vm.ipa + vm.size;
    /** @type {Map<bigint, number>} page of a hyp address -> physical page, where no rule leads there */
    this.own = new Map(layout.private.map(([va, pa]) => [BigInt("0x" + va), pa]));
  }

  inVm(va) {
    return va >= BigInt(this.meta.vm.ipa) && va < BigInt(this.vmEnd);
  }

  /** Which space an address belongs to by its bits, or null. */
  space(va) {
    const { dram, dram_size: size } = this.meta.layout;
    const end = BigInt(dram) + BigInt(size);
    if (this.inVm(va)) return "VM";
    if (this.own.has(va & ~0xfffn)) return "hyp";
    if (va >= BigInt(dram) && va < end) return "physical";
    if (va >= PAGE_END) {
      const pa = va - this.voffset;
      return pa >= BigInt(dram) && pa < end ? "image" : null;
    }
    if (va >= this.pageOffset) return va - this.pageOffset < BigInt(size) ? "linear" : null;
    return (va & ~this.vaMask & MASK64) === this.tag ? "hyp" : null;
  }

  /** The physical address of an address of any space, as a number, or null. */
  pa(va) {
    const dram = BigInt(this.meta.layout.dram);
    const own = this.own.get(va & ~0xfffn);
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
    } else if (pa === null || !this.meta.layout.named.some(([start, end]) => pa >= start && pa < end)) {
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
}
