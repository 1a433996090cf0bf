// Numbers and names that the kernel's side and the front end share, and the words for them.

export const NONE = 0xffffffff;
// What an instruction is: bits of a row's kind, as hypkit/explain/listing.py sets them.
export const [LOAD, STORE, BRANCH, INDIRECT, HVC, ERET, CALL, RETURN, POOL, VM_ROW] =
  Array.from({ length: 10 }, (_, bit) => 1 << bit);
export const MARKS = [
  { bit: 8, name: "HVC", sign: "▲", says: "HVC: up into EL2" },
  { bit: 16, name: "ERET", sign: "▼", says: "ERET: return from EL2" },
  { bit: 32, name: "table", sign: "▦", says: "reads the hypercall table" },
  { bit: 64, name: "fault", sign: "✖", says: "exception other than HVC" },
  { bit: 128, name: "panic", sign: "⚠", says: "panic" },
];
export const PANICS = ["hyp_panic", "panic"];
export const LEVELS = {
  host: { bit: 1, name: "EL1", who: "host", sign: "○" },
  vm: { bit: 2, name: "EL1", who: "VM", sign: "◇" },
  hyp: { bit: 4, name: "EL2", who: "hyp", sign: "■" },
};
export const EC_HVC = 0x16n;
export const MASK64 = (1n << 64n) - 1n;
// What a function must leave as it found it, by the procedure call standard.
export const CALLEE_SAVED = [...Array.from({ length: 11 }, (_, n) => `x${19 + n}`), "sp"];
export const PAGE_END = 0xffff800000000000n;
// System registers that hold an address and nothing else.
export const ADDRESSES = /^(ELR|VBAR|FAR|TTBR\d)_/;
export const LATE = 3000; // milliseconds without an answer, after which the reader is told why
export const GONE = "the kernel that made this stepper is gone. Run its cell again.";
export const NO_ANSWER = "The kernel does not answer: it is busy with another cell, or gone. If it is "
  + "gone, run the cell of this stepper again.";
