// A text to edit: a plain text area at once, CodeMirror when the kernel has sent the editor's program.

import { focused, h } from "./dom.js";

const PATIENCE = 60_000; // milliseconds for the program, behind whatever else the kernel does

/** The editor's program, {createEditor, names}: asked of the kernel once for all texts of a page. */
export function editorProgram(model) {
  const page = /** @type {any} */ (globalThis);
  page.hypkitEditor ??= new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the kernel sent no editor")), PATIENCE);
    const take = async (message, buffers) => {
      if (message.type !== "editor") return;
      model.off("msg:custom", take);
      clearTimeout(timer);
      const part = buffers[0];
      const script = new Blob([part], { type: "text/javascript" });
      const program = await import(URL.createObjectURL(script));
      resolve({ createEditor: program.createEditor, names: message.names });
    };
    model.on("msg:custom", take);
    model.send({ type: "editor" });
  }).catch((error) => {
    page.hypkitEditor = undefined; // another text may have more luck
    throw error;
  });
  return page.hypkitEditor;
}

/** One text: what it is, where it is wrong, and whom to tell of changes and of Ctrl+Enter. */
export class Code {
  /**
   * @param {{model: any, text: string, language: string, label: string, describedby?: string,
   *   changed: () => void, run: () => void}} options language: "asm" or "c"
   */
  constructor(options) {
    this.options = options;
    /** @type {any} */
    this.editor = null;
    this.place = null;
    this.area = h("textarea", { spellcheck: "false", wrap: "off", "aria-label": options.label,
      "aria-keyshortcuts": "Control+Enter", "aria-describedby": options.describedby,
      oninput: () => options.changed(), onkeydown: (event) => this.key(event) });
    this.area.value = options.text;
    this.root = h("div", { class: "hk-edit", onkeydown: (event) => this.key(event) }, this.area);
    this.root.code = this;
    editorProgram(options.model).then((program) => this.upgrade(program), () => null);
  }

  /** Put CodeMirror in the text area's place, with what was typed meanwhile. */
  upgrade({ createEditor, names }) {
    if (this.closed) return;
    const had = this.area === focused(this.area);
    const { language, label, describedby, changed, run } = this.options;
    this.area.remove();
    this.editor = createEditor({ parent: this.root, root: this.root.getRootNode(), text: this.area.value, language,
      names, label, describedby, changed: () => changed(), run });
    this.wrong(this.place);
    if (had) this.focus();
  }

  get text() {
    return this.editor ? this.editor.text : this.area.value;
  }

  /** Another text, as if it were typed. */
  replace(text) {
    if (this.editor) this.editor.replace(text);
    else this.area.value = text;
  }

  /** Mark a place {line, column, message}; null for none. */
  wrong(place) {
    this.place = place;
    if (this.editor) this.editor.wrong(place);
    else if (place) this.area.setAttribute("aria-invalid", "true");
    else this.area.removeAttribute("aria-invalid");
  }

  focus() {
    (this.editor ?? this.area).focus();
  }

  close() {
    this.closed = true;
    this.editor?.close();
  }

  key(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
    event.preventDefault();
    event.stopPropagation();
    this.options.run();
  }
}
