// The editor of assembly and of headers: CodeMirror 6 with the kit's languages, colours and keys.
//
// It is bundled with CodeMirror into bundle.js, which the kernel sends when a page has something to
// edit. Colours are the kit's palette by its CSS variables, so light and dark are the page's affair.

import { defaultKeymap, history, historyKeymap, indentLess, indentMore, isolateHistory } from "@codemirror/commands";
import { HighlightStyle, StreamLanguage, bracketMatching, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorSelection, EditorState, Prec, RangeSet, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, GutterMarker, drawSelection, gutter, gutterLineClass, highlightActiveLine,
  highlightActiveLineGutter, keymap, lineNumbers,
} from "@codemirror/view";
import { highlightTree, tags } from "@lezer/highlight";
import { a64 } from "./a64.js";
import { c } from "./c.js";

const WIDE = 8; // columns of a tab, as in the kernel

/** A language of LANGUAGES by its name, with the names that it knows. */
const languageOf = (name, names) => StreamLanguage.define(name === "c" ? c : a64(names));

const KINDS = [
  ["comment", tags.comment], ["string", tags.string], ["label", tags.labelName], ["keyword", tags.keyword],
  ["register", tags.special(tags.variableName)], ["number", tags.number], ["instruction", tags.operatorKeyword],
];

const colours = HighlightStyle.define(KINDS.map(([kind, tag]) => (kind === "instruction"
  ? { tag, fontWeight: "600" } : { tag, color: `var(--hk-code-${kind})` })));

/** The text in pieces [text, kind of KINDS or ""], as the editor colours them. */
export function coloured(text, language, names = {}) {
  const found = [];
  let at = 0;
  const kinds = { style: (marks) => KINDS.find(([, tag]) => marks.includes(tag))?.[0] ?? null };
  highlightTree(languageOf(language, names).parser.parse(text), kinds, (from, to, kind) => {
    if (from > at) found.push([text.slice(at, from), ""]);
    found.push([text.slice(from, to), kind]);
    at = to;
  });
  if (at < text.length) found.push([text.slice(at), ""]);
  return found;
}

// -- the wrong place --

const setWrong = StateEffect.define();

class WrongLine extends GutterMarker {
  elementClass = "hk-wrong-line";
}

class Cross extends GutterMarker {
  constructor(message) {
    super();
    this.message = message;
  }

  eq(other) {
    return other.message === this.message;
  }

  toDOM() {
    const sign = document.createElement("span");
    sign.textContent = "✖";
    sign.title = this.message;
    return sign;
  }
}

/** Where a place {line, column, message} is in a document: its line, and from where to where. */
function spot(doc, { line, column }) {
  const at = doc.line(Math.min(Math.max(1, line), doc.lines));
  if (!column) return { at, from: at.from + /^\s*/.exec(at.text)[0].length, to: at.to };
  const from = Math.min(at.from + column - 1, at.to);
  const rest = at.text.slice(from - at.from);
  return { at, from, to: from + (/^(?:#?-?[\w.$]+|\S)/.exec(rest)?.[0].length ?? 0) };
}

/** The wrong place moves with the text, until somebody edits its line. */
const wrongPlace = StateField.define({
  create: () => null,
  update(value, transaction) {
    const said = transaction.effects.find((effect) => effect.is(setWrong));
    if (said) {
      if (!said.value) return null;
      const { at, from, to } = spot(transaction.newDoc, said.value);
      return { line: at.from, from, to, message: said.value.message };
    }
    if (!value || !transaction.docChanged) return value;
    const old = transaction.startState.doc.lineAt(value.line);
    let touched = false;
    transaction.changes.iterChangedRanges((from, to) => { touched ||= to >= old.from && from <= old.to; });
    if (touched) return null;
    const { changes } = transaction;
    return { ...value, line: changes.mapPos(value.line, 1), from: changes.mapPos(value.from, 1),
      to: changes.mapPos(value.to, 1) };
  },
  provide: (field) => [
    EditorView.decorations.from(field, (value) => {
      if (!value) return Decoration.none;
      const marks = [Decoration.line({ class: "hk-wrong-text", attributes: { title: value.message } })
        .range(value.line)];
      if (value.to > value.from) marks.push(Decoration.mark({ class: "hk-wrong-word" }).range(value.from, value.to));
      return Decoration.set(marks);
    }),
    gutterLineClass.from(field, (value) => (value
      ? RangeSet.of([new WrongLine().range(value.line)]) : RangeSet.empty)),
  ],
});

const crosses = gutter({
  class: "hk-crosses",
  lineMarker: (view, line) => {
    const value = view.state.field(wrongPlace);
    return value && value.line === line.from ? new Cross(value.message) : null;
  },
  lineMarkerChange: (update) => update.startState.field(wrongPlace) !== update.state.field(wrongPlace),
  initialSpacer: () => new Cross(""),
});

// -- keys --

/** Tab indents the lines that are selected; else it goes to the next tab stop. */
function tab(view) {
  const { state } = view;
  if (state.selection.ranges.some((range) => !range.empty)) return indentMore(view);
  view.dispatch(state.changeByRange((range) => {
    const column = range.head - state.doc.lineAt(range.head).from;
    const insert = " ".repeat(WIDE - column % WIDE);
    return { changes: { from: range.head, insert }, range: EditorSelection.cursor(range.head + insert.length) };
  }), { scrollIntoView: true, userEvent: "input" });
  return true;
}

const look = EditorView.theme({
  "&": { height: "100%", color: "var(--hk-ink)", backgroundColor: "var(--hk-paper)", fontSize: "13px" },
  "&.cm-focused": { outline: "2px solid var(--hk-link)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--hk-mono)", lineHeight: "1.45", overflow: "auto", scrollbarWidth: "thin" },
  ".cm-content": { caretColor: "var(--hk-ink)", padding: "4px 0" },
  ".cm-cursor, .cm-dropCursor": { borderLeft: "2px solid var(--hk-ink)" },
  ".cm-gutters": { backgroundColor: "var(--hk-soft)", color: "var(--hk-dim)", border: "0",
    borderRight: "1px solid var(--hk-line)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--hk-link) 7%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--hk-ink)", fontWeight: "700" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--hk-link) 26%, transparent)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "transparent", outline: "1px solid var(--hk-link)" },
  "&.cm-focused .cm-nonmatchingBracket": { backgroundColor: "transparent", outline: "1px dashed var(--hk-bad)" },
  ".hk-crosses": { width: "16px", color: "var(--hk-on-solid)", textAlign: "center" },
  ".cm-gutterElement.hk-wrong-line": { backgroundColor: "var(--hk-bad)", color: "var(--hk-on-solid)", fontWeight: "700" },
  ".hk-wrong-text": { backgroundColor: "color-mix(in srgb, var(--hk-bad) 13%, transparent)" },
  ".hk-wrong-word": { textDecoration: "underline wavy var(--hk-bad)", textDecorationSkipInk: "none" },
});

/**
 * Make an editor.
 * @param {{parent: HTMLElement, root: Document | ShadowRoot, text: string, language: string, names: any,
 *   label: string, describedby?: string, changed: (text: string) => void, run: () => void}} options
 */
export function createEditor({ parent, root, text, language, names, label, describedby, changed, run }) {
  const attributes = { "aria-label": label, spellcheck: "false", autocorrect: "off", autocapitalize: "off", tabindex: "0",
    "aria-keyshortcuts": "Control+Enter", ...(describedby ? { "aria-describedby": describedby } : {}) };
  let invalid = false;
  const view = new EditorView({
    parent,
    root,
    state: EditorState.create({
      doc: text,
      extensions: [
        Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => (run(), true) }])),
        crosses, lineNumbers(), wrongPlace, history(), drawSelection(), bracketMatching(), highlightActiveLine(),
        highlightActiveLineGutter(), EditorState.tabSize.of(WIDE), indentUnit.of(" ".repeat(WIDE)),
        languageOf(language, names), syntaxHighlighting(colours), look,
        keymap.of([{ key: "Tab", run: tab, shift: indentLess }, ...historyKeymap, ...defaultKeymap]),
        EditorView.contentAttributes.of(({ state }) => ({ ...attributes,
          "aria-invalid": state.field(wrongPlace) || invalid ? "true" : "false" })),
        EditorView.updateListener.of((update) => update.docChanged && changed(update.state.doc.toString())),
        // What a key did here is not the page's as well.
        EditorView.domEventObservers({ keydown: (event) => event.defaultPrevented && event.stopPropagation() }),
      ],
    }),
  });
  return {
    view,
    get text() {
      return view.state.doc.toString();
    },
    /** Put another text in its place, as if it were typed: undo brings the old one back. */
    replace(news) {
      const { doc } = view.state;
      if (news === doc.toString()) return;
      view.dispatch({ changes: { from: 0, to: doc.length, insert: news }, annotations: isolateHistory.of("full") });
    },
    /** Mark a place {line, column, message}, and show it; null for none; a message without a line marks the whole. */
    wrong(place) {
      invalid = !!place;
      const effects = [setWrong.of(place?.line ? place : null)];
      if (place?.line) effects.push(EditorView.scrollIntoView(spot(view.state.doc, place).from, { y: "center" }));
      view.dispatch({ effects });
    },
    focus() {
      view.focus();
    },
    close() {
      view.destroy();
    },
  };
}
