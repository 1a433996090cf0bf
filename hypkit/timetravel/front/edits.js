// What a reader changed in the middle of a run: before which step, and what was there until then.

/**
 * @typedef {{step: number, registers: Map<string, bigint>, before: Map<string, bigint>,
 *            memory: {pa: number, size: number, value: bigint}[], says: string}} Edit
 */

const held = (found) => new Map(Object.entries(found).map(([name, word]) => [name, BigInt(`0x${word}`)]));

/**
 * The edit of a run as the kernel tells it; null where nothing was changed.
 * @returns {Edit | null}
 */
export function editOf(said) {
  if (!said) return null;
  const memory = said.memory.map(([pa, size, word]) => ({ pa, size, value: BigInt(`0x${word}`) }));
  return { step: said.step, registers: held(said.registers), before: held(said.before), memory, says: said.says };
}

/** Whether bytes are, before a step, what the reader put there, and not what step `writer` (null: none) stored. */
export function isEdited(reel, pa, size, writer, step) {
  const { edit } = reel;
  return Boolean(edit && step >= edit.step && (writer === null || writer < edit.step)
    && edit.memory.some((at) => pa < at.pa + at.size && at.pa < pa + size));
}

/** A sentence on what was changed before a step, "" for any other step. */
export function edited(reel, step) {
  const { edit } = reel;
  return edit?.step === step ? `You changed ${edit.says} before it. ` : "";
}
