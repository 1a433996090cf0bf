"""A stepper as a page of its own, which steps without network and kernel."""

from __future__ import annotations

import html
from os import PathLike
from pathlib import Path

from hypkit.errors import WrongValue, expected, pass_on
from hypkit.timetravel import front_end


def page(title: str, embedded: dict, table: str) -> str:
    """Return the page.

    embedded: what the program shows; table: the same as plain HTML, where no script may run.
    """
    text = front_end.deflated(embedded)
    # Inside a script element, only "</" could end it early.
    module = front_end.plain_script().replace("</", "<\\/")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n"
        '<link rel="icon" href="data:,">\n'
        f"<style>body{{margin:0}}\n{front_end.style()}"
        '</style></head>\n<body><main id="stepper"></main>\n'
        f"<noscript>{table}</noscript>\n"
        f'<script type="text/plain" id="stepper-data">{text}</script>\n'
        f'<script type="module">{module}\n'
        'globalThis.hypkit = await openFile(document.getElementById("stepper"),\n'
        '  document.getElementById("stepper-data").textContent);\n</script></body></html>\n'
    )


def write(page: str, path: str | PathLike[str]) -> None:
    """Write a page to a file.

    Raises:
        ValueError: there can be no such file.
    """
    try:
        Path(path).write_text(page, encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        pass_on(error)
        why = error.strerror if isinstance(error, OSError) else error
        raise WrongValue(f"{expected('a path that can be written', str(path))}: {why}") from None
