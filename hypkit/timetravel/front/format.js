// Numbers as text: one spelling of each for the whole front end.

export function number(text) {
  return text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
}

/** Up to nine in decimal, else in hexadecimal. */
export function plain(value) {
  return value < 10n ? value.toString() : hex(value);
}

export function hex(value) {
  return "0x" + value.toString(16);
}

/** The digits of a number in groups of four from the right: [15, 2ab0] of 0x152ab0. */
export function grouped(value) {
  return value.toString(16).split(/(?=(?:.{4})+$)/);
}

export function flags(pstate) {
  return [..."NZCV"].map((letter, at) => ((pstate >> BigInt(31 - at)) & 1n ? letter : "-")).join("");
}

/** How two 64-bit words stand, as explain.compared says it. */
export function compared(one, other) {
  if (one === other) return "equal";
  const unsigned = one < other;
  const asSigned = BigInt.asIntN(64, one) < BigInt.asIntN(64, other);
  const text = unsigned ? "lower" : "higher";
  return unsigned === asSigned ? text
    : `${text}, but as signed numbers ${asSigned ? "less" : "greater"}`;
}

/** A negative number as such, such as an error number; else "". */
export function decimal(value) {
  return value >> 12n === (1n << 52n) - 1n ? `= ${value - (1n << 64n)}` : "";
}

export function signed(value) {
  return value > 0 ? `+${value}` : value < 0 ? `−${-value}` : "0";
}

/** Steps as a short list in words. */
export function inSteps(found) {
  if (!found.length) return "no step";
  const shown = found.slice(0, 12).join(", ");
  return `step${found.length > 1 ? "s" : ""} ${shown}${found.length > 12 ? ` and ${found.length - 12} more` : ""}`;
}
