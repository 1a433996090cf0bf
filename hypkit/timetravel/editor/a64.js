// Colours for A64 assembly in the syntax of GNU as: a line at a time, for CodeMirror's StreamLanguage.
//
// names: {instructions, macros, registers}, arrays of names in lower case, from the kit's own tables.

import { begun, within } from "./comments.js";

const WORD = /^[\w.$]+/;
const NUMBER = /^#?-?(?:0x[0-9a-f]+|0b[01]+|\d+[fb]?)(?![\w.$])/i;
const REGISTER = /^(?:[xw](?:[12]?\d|30)|[xw]zr|w?sp|lr|fp|[a-z]\w*_el[0-3])$/;
const STRING = /^"(?:\\.|[^"\\])*"?/;

/** A stream parser for assembly with these names. */
export function a64(names) {
  const instructions = new Set(names.instructions ?? []);
  const macros = new Set(names.macros ?? []);
  const registers = new Set(names.registers ?? []);

  /** What a word at the start of a statement is. */
  function head(word) {
    if (word.startsWith(".") || macros.has(word)) return "keyword";
    return instructions.has(word) ? "operatorKeyword" : null;
  }

  return {
    name: "a64",
    languageData: { commentTokens: { line: "//", block: { open: "/*", close: "*/" } } },
    startState: () => ({ comment: false, first: true }),
    copyState: (state) => ({ ...state }),
    token(stream, state) {
      if (within(stream, state)) return "comment";
      if (stream.sol()) state.first = true;
      if (stream.eatSpace()) return null;
      if (begun(stream, state)) return "comment";
      if (stream.match(STRING)) return "string";
      if (stream.match(";")) {
        state.first = true;
        return null;
      }
      if (state.first && stream.match(/^[\w.$]+(?=\s*:)/)) return "labelName";
      if (stream.match(":")) return null;
      if (stream.match(NUMBER)) return "number";
      const word = stream.match(WORD)?.[0].toLowerCase();
      if (!word) {
        stream.next();
        return null;
      }
      if (state.first) {
        state.first = false;
        return head(word);
      }
      return REGISTER.test(word) || registers.has(word) ? "variableName.special" : null;
    },
  };
}
