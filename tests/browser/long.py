"""A page that fetches chunks as a notebook's view does, with Python in the kernel's place."""

import base64

from hypkit.timetravel import front_end
from hypkit.timetravel.payload import Payload

SHOW = """
globalThis.show = async (meta, chunks, delay, start) => {
  const open = (text) => text && Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const fetch = async (n) => {
    const text = await kernel(n);
    await new Promise((done) => setTimeout(done, delay));
    return open(text);
  };
  const before = performance.now();
  globalThis.view = draw({ meta: JSON.parse(meta), chunks: chunks.map(open) },
    document.getElementById("stepper"), { fetch, start });
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - before;
};
"""


def _text(chunk: bytes) -> str:
    return base64.b64encode(chunk).decode()


def page_text() -> str:
    """HTML of a page that waits for show_long."""
    return (
        "<!doctype html><meta charset='utf-8'><title>stepper</title>"
        f"<style>{front_end.style()}</style><main id='stepper' class='hk'></main>"
        f"<script type='module'>{front_end.script()}{SHOW}</script>"
    )


def show_long(page, payload: Payload, *, delay: int = 0, start: int = 0) -> float:
    """Show a payload of which only the first chunk is there; others come *delay* ms after asking.

    The page's `view` is the View. Once for a page. Gives the milliseconds until it was painted.
    """
    page.expose_function("kernel", lambda number: _text(payload.chunk(number)))
    return page.evaluate(
        "([meta, chunks, delay, start]) => show(meta, chunks, delay, start)",
        [payload.data()["meta"], [_text(payload.chunk(0))], delay, start],
    )
