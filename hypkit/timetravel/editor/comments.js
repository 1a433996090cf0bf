// Comments, which assembly and C write alike: to the end of the line, or over several.

/** Go on in a comment that an earlier token, or line, has begun; "comment", or null outside one. */
export function within(stream, state) {
  if (!state.comment) return null;
  if (stream.skipTo("*/")) {
    stream.match("*/");
    state.comment = false;
  } else stream.skipToEnd();
  return "comment";
}

/** Take the start of a comment, and all of one that ends with its line; "comment", or null. */
export function begun(stream, state) {
  if (stream.match("//")) {
    stream.skipToEnd();
    return "comment";
  }
  if (!stream.match("/*")) return null;
  state.comment = true;
  return "comment";
}
