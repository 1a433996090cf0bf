// A part of the page with a status line, in which every error of its listeners ends.

export class Board {
  /** @type {any} the element that says what there is to say */
  status = null;

  /** Run an action; what goes wrong is said in the status line. */
  async guard(action) {
    try {
      await action();
    } catch (error) {
      this.say(`Error: ${error.message ?? error}`, true);
    }
  }

  /** A listener that is guarded. */
  on(action) {
    return (event) => this.guard(() => action(event));
  }

  say(text, bad = false) {
    this.status.textContent = text;
    this.status.title = text;
    this.status.classList.toggle("hk-bad", bad);
  }
}
