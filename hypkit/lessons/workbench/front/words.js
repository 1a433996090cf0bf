// What a workbench says, without a page: whose text counts, what is over the budget, what the card reads.

/** Whether what the kernel says is about the text that stands in the editors. */
export function current(state, files) {
  return Object.keys(state.files).every((name) => state.files[name] === files[name]);
}

/** What to do with the editors when the kernel has said something: the texts to put in, or nothing. */
export function incoming(state, files, mine) {
  return state.by === mine || current(state, files) ? null : state.files;
}

/** A count against its budget: {text, over}. */
export function against(value, most) {
  if (most === null) return { text: "", over: false };
  const over = value > most;
  return { text: over ? `${value - most} too many: at most ${most}` : `at most ${most}`, over };
}

/** The card: {kind, head, sentence}; kind is right, wrong or open. */
export function card(state) {
  const { verdict, mistake } = state;
  if (verdict) {
    return { kind: verdict.passed ? "right" : "wrong", head: `${state.number}: ${verdict.kind}.`, sentence: verdict.sentence };
  }
  if (mistake) {
    const where = mistake.line ? `Line ${mistake.line}: ` : "";
    return { kind: "wrong", head: "Not built.", sentence: `${where}${mistake.message}` };
  }
  return { kind: "open", head: "Not run yet.", sentence: state.doing };
}

/** Whether no text has anything in it. */
export function empty(files) {
  return Object.values(files).some((text) => !text.trim());
}

/** What a browser kept of an earlier day, if it is worth offering: texts, or null. */
export function offered(kept, state) {
  if (!kept) return null;
  try {
    const files = JSON.parse(kept);
    const names = Object.keys(state.seed);
    if (names.some((name) => typeof files[name] !== "string")) return null;
    const seed = names.every((name) => state.files[name] === state.seed[name]);
    return seed && names.some((name) => files[name] !== state.seed[name]) ? files : null;
  } catch {
    return null;
  }
}
