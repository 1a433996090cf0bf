// Keys that mean something here and to the page around: JupyterLab hears them after the stepper, which
// keeps its own from it; Notebook 7 hears them before, and has to be told of each to let it be.

const EDITED = /^([acvxyz/]|Enter|Backspace|Delete|Home|End|Arrow\w+)$/i; // with a modifier, in an editor
const TYPED = /^[acvxyz]$/i; // with a modifier, in a field

/**
 * Whether a key is meant for the stepper and its fields, and not for the page around.
 * @param {any} event
 */
export function keeps(event) {
  const [target] = event.composedPath();
  if (event.ctrlKey || event.metaKey || event.altKey) {
    return target.isContentEditable ? EDITED.test(event.key)
      : Boolean(target.matches?.("input, textarea")) && TYPED.test(event.key);
  }
  return !(event.shiftKey && event.key === "Enter") && event.key !== "Escape";
}

/** Keep keys that come from inside of a host from the page's own shortcuts; gives the way to stop that. */
export function keepKeys(host, own = keeps) {
  const heard = (event) => {
    // Lumino, which has the shortcuts, passes by what stands in such an element.
    if (event.composedPath().includes(host)) host.toggleAttribute("data-lm-suppress-shortcuts", own(event));
  };
  window.addEventListener("keydown", heard, true);
  return () => window.removeEventListener("keydown", heard, true);
}
