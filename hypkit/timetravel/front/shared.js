// What all views of one stepper in a page have in common: the step, the notes, and the kernel's
// side of it, while there is one.

const LATER = 250; // milliseconds between two words to the kernel about where the reader is

/** Tell a kernel what nobody waits for; false where it has stopped and cannot be told. */
export function wasTold(tell) {
  try {
    tell();
    return true;
  } catch {
    return false;
  }
}

/** One stepper of the page, however many views it has. */
export class Shared {
  constructor() {
    /** @type {any} the widget's model, while the kernel that made it lives */
    this.model = null;
    /** @type {number | null} */
    this.step = null;
    /** @type {Record<string, string> | null} */
    this.bookmarks = null;
    /** @type {Set<any>} */
    this.homes = new Set();
    this.timer = 0;
    /** @type {{tab: string, at: number, until: number} | null} how a view goes on that is drawn anew */
    this.resume = null;
  }

  /** The kernel's side is there: every view may use it. */
  link(model) {
    this.model = model;
    const stepped = () => this.tell("stepped", model.get("step"));
    const noted = () => this.tell("noted", model.get("bookmarks"));
    model.on("change:step", stepped);
    model.on("change:bookmarks", noted);
    // What the reader did before the kernel was heard of; else what the kernel says.
    if (this.step !== null) this.moved(this.step, null);
    else if (model.get("step")) stepped();
    const said = model.get("bookmarks");
    if (Object.keys(said ?? {}).length) this.tell("noted", said);
    for (const home of this.homes) home.attach(model);
    return () => {
      model.off("change:step", stepped);
      model.off("change:bookmarks", noted);
      clearTimeout(this.timer);
      this.timer = 0;
      this.model = null;
      for (const home of this.homes) home.detach();
    };
  }

  /** A view went to a step: the others go there at once, the kernel hears of it a moment later. */
  moved(step, from) {
    this.step = step;
    this.tell("stepped", step, from);
    if (!this.model || this.model.get("step") === step) return;
    // The model learns of it when it is sent, not before: what the kernel sends back of the step
    // before would look like a new wish, take the reader there, and give up what is under way here.
    this.timer ||= setTimeout(() => {
      this.timer = 0;
      wasTold(() => {
        this.model?.set("step", this.step);
        this.model?.save_changes();
      });
    }, LATER);
  }

  /** A view has other notes. */
  kept(bookmarks, from) {
    this.bookmarks = bookmarks;
    this.tell("noted", bookmarks, from);
    if (!this.model) return;
    wasTold(() => {
      this.model.set("bookmarks", bookmarks);
      this.model.save_changes();
    });
  }

  tell(what, news, from = null) {
    if (what === "stepped") this.step = news;
    else this.bookmarks = news;
    for (const home of this.homes) if (home !== from) home[what](news);
  }
}

/** The stepper of a name; the same for every copy of this program in the page. */
export function sharedBy(name) {
  if (!name) return new Shared();
  const page = /** @type {any} */ (globalThis);
  page.hypkitSteppers ??= new Map();
  if (!page.hypkitSteppers.has(name)) page.hypkitSteppers.set(name, new Shared());
  return page.hypkitSteppers.get(name);
}
