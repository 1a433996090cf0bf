// Colours for the C of a header: a line at a time, for CodeMirror's StreamLanguage.

import { begun, within } from "./comments.js";

const KEYWORDS = new Set(("auto break case char const continue default do double else enum extern float for goto if inline "
  + "int long register restrict return short signed sizeof static struct switch typedef union unsigned void volatile "
  + "while _Alignas _Alignof _Bool _Generic _Noreturn _Static_assert static_assert").split(" "));

/** A stream parser for C. */
export const c = {
  name: "c",
  languageData: { commentTokens: { line: "//", block: { open: "/*", close: "*/" } } },
  startState: () => ({ comment: false }),
  copyState: (state) => ({ ...state }),
  token(stream, state) {
    if (within(stream, state)) return "comment";
    if (stream.sol() && stream.match(/^\s*#\s*\w+/)) return "keyword";
    if (stream.eatSpace()) return null;
    if (begun(stream, state)) return "comment";
    if (stream.match(/^"(?:\\.|[^"\\])*"?/) || stream.match(/^'(?:\\.|[^'\\])*'?/)
        || stream.match(/^<[\w/.]+\.h>/)) return "string";
    if (stream.match(/^(?:0x[0-9a-f]+|\d+)[ul]*\b/i)) return "number";
    const word = stream.match(/^\w+/)?.[0];
    if (!word) {
      stream.next();
      return null;
    }
    if (KEYWORDS.has(word)) return "keyword";
    return /^[A-Z][A-Z0-9_]{2,}$/.test(word) ? "labelName" : null;
  },
};
