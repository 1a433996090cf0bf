"""Photographs the stepper for README.md: `python -m notebooks.site.picture`.

The page is the exported file of a real call, shown by Chromium at the step where EL2 takes the
table's word for an address, once in each theme. Needs the packages of the tests and a Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from hypkit import Machine, stepper

PICTURES = Path(__file__).resolve().with_name("pictures")
THEMES = ("light", "dark")
SIZE = {"width": 1000, "height": 600}
COLOURS = 64  # of the palette of a PNG: the page has few, and a third of the bytes are enough
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def path(theme: str) -> Path:
    """Return where the picture of a theme is kept."""
    return PICTURES / f"stepper-{theme}.png"


def page() -> tuple[str, int]:
    """Return the exported file of the call, and the step to show."""
    with Machine("numbered", seed=2020) as machine:
        call = machine.call("__kvm_timer_set_cntvoff", 0x1234)
    load = next(step for step in call.trace if step.text == "ldr x0, [x0]")
    return stepper(call, bookmarks={load.index: "the table"}).to_html(), load.index


def shoot(program: str) -> dict[str, bytes]:
    """Return a PNG for each theme, photographed by the Chromium at the path *program*."""
    text, step = page()
    pictures = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder, "call.html")
        file.write_text(text, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for theme in THEMES:
            tab = browser.new_page(viewport=SIZE, device_scale_factor=1.5, color_scheme=theme)
            tab.goto(f"{file.as_uri()}#step={step}")
            tab.wait_for_function("step => globalThis.hypkit?.step === step", arg=step)
            tab.evaluate("document.activeElement?.blur()")
            shot = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
            packed = io.BytesIO()
            shot.quantize(COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
            pictures[theme] = packed.getvalue()
            tab.close()
        browser.close()
    return pictures


def main() -> int:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        print(f"expected a Chromium; found none of {', '.join(PROGRAMS)}", file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    for theme, png in shoot(program).items():
        path(theme).write_bytes(png)
        print(f"{path(theme).name}: {len(png):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
