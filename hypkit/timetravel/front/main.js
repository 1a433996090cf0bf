// The ways into the stepper's front end: a notebook's output, a widget among others, a file.

import { h } from "./dom.js";
import { Home, bytes, draw, inflated, opened } from "./home.js";
import { notesOf, saveCopy } from "./notes.js";
import { sharedBy } from "./shared.js";
import { follow, followBoth, wishOf } from "./steer.js";
import { followTheme } from "./theme.js";
import { View } from "./view.js";

/** A place of the stepper's own in an element: the page's style sheets do not reach into it. */
function placeIn(el, style) {
  const root = el.attachShadow({ mode: "open" });
  const place = h("div", {});
  root.append(h("style", {}, style), place);
  return place;
}

/** The output of a cell: it holds its data, and is linked with the kernel if that is there. */
export function openOutput(el, style, data) {
  el.querySelector(".hypkit-static").hidden = true;
  const host = h("div", { class: "hypkit-live" });
  el.append(host);
  return new Home(placeIn(host, style), sharedBy(el.dataset.stepper), data);
}

/** anywidget: the kernel's side of a stepper has been made. */
function initialize({ model }) {
  return sharedBy(model.get("name")).link(model);
}

/** anywidget: a stepper as a widget among others. */
function render({ model, el }) {
  const home = new Home(placeIn(el, model.get("_css")), sharedBy(model.get("name")), null);
  return () => home.close();
}

/** The exported file: its data stands, compressed, in a script element of the page. */
export async function openFile(el, packed) {
  el.classList.add("hk", "hk-file");
  followTheme(el);
  try {
    const said = JSON.parse(await inflated(packed));
    const asked = () => wishOf(location.hash);
    const notes = notesOf(said.digest);
    const view = draw(opened(said, bytes), el, {
      bookmarks: { ...said.bookmarks, ...notes.read() }, start: said.step,
      keep: notes.write, link: (step) => `${location.href.split("#")[0]}#step=${step}`,
      keeps: () => "Notes that you write here stay in this browser, for this file.",
      copy: (bookmarks, step) => saveCopy(said, bookmarks, step),
    });
    const obey = () => asked() && view.guard(() => (view instanceof View ? follow : followBoth)(view, asked()));
    window.addEventListener("hashchange", obey);
    obey();
    view.root.focus({ preventScroll: true });
    return view;
  } catch (error) {
    el.append(h("p", { class: "hk-status hk-bad", role: "alert" }, `Error: ${error.message ?? error}`));
    return null;
  }
}

export default { initialize, render };
