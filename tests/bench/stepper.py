"""How fast the stepper loads, jumps and paints, and how large its file is."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hypkit import Machine
from hypkit.kernel.variants import HYPERCALLS
from hypkit.timetravel.boxes import parse_args, usual_args
from hypkit.timetravel.payload import Payload
from hypkit.timetravel.widget import stepper
from hypkit.trace import Trace
from tests.bench.figures import Figure
from tests.browser.long import page_text, show_long
from tests.judges import BROWSER_FLAGS, find

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LESSONS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[01]*.ipynb"))

# A dispatcher that goes round a loop: COUNT times 5 steps, with a store and a load each.
LOOP = """
dispatch:
        divert_stub_calls
dispatch_find:
        mov     x9, #COUNT
        lsl     x9, x9, #2
1:      str     x9, [sp, #-16]!
        ldr     x10, [sp], #16
        add     x11, x11, x10
        sub     x9, x9, #1
        cbnz    x9, 1b
dispatch_call:
        mov     x0, #7
dispatch_return:
        eret
"""

# From the click until after the frame that shows it.
CLICKS = """async (count) => {
  const button = [...document.querySelectorAll(".hk-tools button")].find(
    (node) => node.getAttribute("aria-label") === "Next");
  const times = [];
  for (let n = 0; n < count; n++) {
    const start = performance.now();
    button.click();
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    times.push(performance.now() - start);
  }
  return times;
}"""

# From the key until all is laid out: what is left of a frame is the browser's own.
KEYS = """(count) => {
  const root = document.querySelector(".hk-view");
  const times = [];
  for (let n = 0; n < count; n++) {
    const start = performance.now();
    root.dispatchEvent(new KeyboardEvent("keydown", { key: "n", bubbles: true, cancelable: true }));
    root.getBoundingClientRect();
    times.push(performance.now() - start);
  }
  return times;
}"""

# One such key, marked so that its task is found among those of the browser.
KEY = """() => {
  performance.mark("key");
  const root = document.querySelector(".hk-view");
  root.dispatchEvent(new KeyboardEvent("keydown", { key: "n", bubbles: true, cancelable: true }));
  root.getBoundingClientRect();
}"""
TRACED = ["disabled-by-default-devtools.timeline", "blink.user_timing"]

JUMP = """async (step) => {
  const start = performance.now();
  await view.go(step);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""


SEARCH = """async () => {
  await view.go(0);
  view.search.value = "0xdeadbeefdead";
  const start = performance.now();
  await view.seek(1);
  return performance.now() - start;
}"""


def looping(steps: int, text: str = LOOP) -> Trace:
    """The trace of a call of about so many steps."""
    with Machine(
        "numbered", dispatcher=text.replace("COUNT", str(steps // 20)), budget=2 * steps + 1000
    ) as machine:
        return machine.call("__kvm_get_mdcr_el2").trace


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def _milliseconds(action) -> tuple[float, object]:
    start = time.perf_counter()
    result = action()
    return 1000 * (time.perf_counter() - start), result


def _processor_times(browser: Browser, page: Page, keys: int) -> list[float]:
    """Milliseconds that the page's thread works for each key: on a busy computer it waits as well."""
    browser.start_tracing(page=page, categories=TRACED)
    for _ in range(keys):
        page.evaluate(KEY)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    tasks = [event for event in events if event["name"] == "RunTask" and "tdur" in event]
    found = []
    for mark in (event for event in events if event["name"] == "key"):
        around = [
            task["tdur"] / 1000
            for task in tasks
            if (task["pid"], task["tid"]) == (mark["pid"], mark["tid"])
            and task["ts"] <= mark["ts"] <= task["ts"] + task["dur"]
        ]
        found += [max(around)] if around else []
    return found


def run() -> Iterator[Figure]:
    """The measurements; those in a browser only where there is one."""
    yield from (
        Figure(what, value, unit, None if goal is None else ("at most", goal))
        for what, value, unit, goal in _measured(find("browser"))
    )


def _measured(chromium: str | None) -> list[tuple[str, float, str, float | None]]:
    """(what, value, unit, greatest value wanted or None) of each measurement."""
    from playwright.sync_api import sync_playwright

    machine = Machine("numbered", seed=2020)
    sizes = [
        len(stepper(machine.call(name, *parse_args(usual_args(name)))).to_html().encode())
        for name in HYPERCALLS
    ]
    found = [("exported file of one hypercall, largest of 14", max(sizes) / 1000, "KB", 300.0)]
    again = stepper(machine.call("__kvm_vcpu_run_nvhe", "vcpu0"))
    again.what_if({"x1": "vcpu1"}, at=5)
    found += [
        ("exported file of a call beside what if", len(again.to_html()) / 1000, "KB", 2000.0),
        (
            f"saved lesson, run, with its steppers: largest of {len(LESSONS)}",
            max(path.stat().st_size for path in LESSONS) / 1000,
            "KB",
            2000.0,
        ),
    ]

    short = stepper(looping(1000))
    long = looping(1_000_000)
    build, payload = _milliseconds(lambda: Payload(long))
    load, data = _milliseconds(payload.data)
    message = len(data["meta"]) + len(data["chunks"][0])
    found += [
        ("1,000,000 steps: data made in the kernel", build + load, "ms", None),
        ("1,000,000 steps: first message", message / 1000, "KB", 10_000.0),
    ]
    chunks = [
        _milliseconds(lambda n=n: payload.chunk(n))[0]
        for n in range(0, payload.chunks, max(1, payload.chunks // 40))
    ]
    found.append(("1,000,000 steps: a jump in the kernel, p95", _p95(chunks), "ms", 20.0))

    if chromium is None:
        return found
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        path = Path(folder, "short.html")
        short.to_html(path)
        opened, _ = _milliseconds(
            lambda: (page.goto(path.as_uri()), page.wait_for_selector(".hk-current"))
        )
        found.append(("1,000 steps: file opened", opened, "ms", None))
        page.evaluate(CLICKS, 20)
        found.append(("click to paint, p95", _p95(page.evaluate(CLICKS, 200)), "ms", 50.0))

        call = machine.call("__kvm_vcpu_run_nvhe", "vcpu0")
        path = Path(folder, "call.html")
        stepper(call).to_html(path)
        page.goto(path.as_uri())
        page.wait_for_selector(".hk-current")
        keys = _p95(page.evaluate(KEYS, len(call.trace)))
        found.append(("a finished call: key to laid out, p95", keys, "ms", 16.7))
        page.reload()
        page.wait_for_selector(".hk-current")
        worked = _p95(_processor_times(browser, page, len(call.trace)))
        found.append(("the same in time of the processor, p95", worked, "ms", 16.7))

        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        path = Path(folder, "long.html")
        path.write_text(page_text(), encoding="utf-8")
        page.goto(path.as_uri())
        shown = show_long(page, payload)
        found.append(("1,000,000 steps: shown in the browser", shown, "ms", None))
        far = [page.evaluate(JUMP, step * 7919 % len(payload)) for step in range(1000, 1040)]
        near = [page.evaluate(JUMP, step) for step in range(100, 160)]
        found += [
            ("1,000,000 steps: a jump anywhere, fetched and painted, p95", _p95(far), "ms", None),
            ("1,000,000 steps: a jump to a step that is here, p95", _p95(near), "ms", 50.0),
            ("1,000,000 steps: a search for what is not there", page.evaluate(SEARCH), "ms", None),
        ]
        browser.close()
    return found
