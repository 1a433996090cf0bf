"""The stepper's front end as one script and one style sheet, joined from the files in front/.

The files are ES modules that a browser, or node, can load as they are. A notebook hands its front end
one text, in which a relative import has nothing to be relative to: so the modules are joined here,
when hypkit is loaded, without a build step. Two rules make that safe: imports are by name, and a
top-level name is used once in all modules (a second one is a SyntaxError of the joined script).
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from functools import cache
from hashlib import sha256
from pathlib import Path

from hypkit.pictures import palette

FRONT = Path(__file__).with_name("front")
ENTRY = "main.js"
STYLES = ("base", "strip", "layout", "tables", "controls", "print")

_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=async |class |const |function |let )", re.MULTILINE)
_COMMENT = re.compile(r"^[ ]*(//[^\n]*|/\*\*(?:(?!\*/).)*\*/)\n", re.MULTILINE | re.DOTALL)
_INDENT = re.compile(r"^ +", re.MULTILINE)  # no text in the modules goes over lines


@cache
def script() -> str:
    """Return all modules of the stepper as one."""
    return joined(FRONT / ENTRY)


@cache
def joined(entry: Path) -> str:
    """Return a module and all that it imports as one text, each after those that it imports.

    Only the entry exports.
    """
    done: dict[Path, str] = {}

    def add(path: Path) -> None:
        if path in done:
            return
        done[path] = ""  # a circle ends here; functions that call each other later may form one
        text = path.read_text(encoding="utf-8")
        for other in _IMPORT.findall(text):
            add((path.parent / other).resolve())
        text = _IMPORT.sub("", text)
        del done[path]
        done[path] = text if path == entry else _EXPORT.sub("", text)

    entry = entry.resolve()
    add(entry)
    return "\n".join(text.strip() + "\n" for text in done.values())


@cache
def style() -> str:
    """Return the style sheet: the kit's palette, light and dark, and the files in front/css."""
    sheets = [(FRONT / "css" / f"{name}.css").read_text(encoding="utf-8") for name in STYLES]
    dark = palette.css('.hk[data-theme="dark"]', "dark")
    return "\n".join([palette.css(".hk"), dark, *sheets])


def packed(data: dict) -> str:
    """Return data and the front end as one compressed text, which BOOT opens."""
    return deflated({"script": plain_script(), "style": style(), "data": data})


def deflated(data: dict) -> str:
    """Return data as JSON, compressed, in base64."""
    text = json.dumps(data, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


@cache
def plain_script() -> str:
    """Return the script without the comments on lines of their own and without indentation: it is
    in every output and file."""
    return _INDENT.sub("", _COMMENT.sub("", script()))


@cache
def digest() -> str:
    """Return a name of this version of the front end."""
    return sha256((script() + style()).encode()).hexdigest()[:12]


# A classic script: only such a one knows where it stands. The program is loaded once for all outputs
# of a page that hold the same version.
BOOT = """(() => {
  const home = document.currentScript.closest(".hypkit-stepper");
  const pack = home.querySelector(".hypkit-pack").textContent;
  const open = async () => {
    const packed = Uint8Array.from(atob(pack), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const { script, style, data } = JSON.parse(await new Response(stream).text());
    const loaded = (globalThis.hypkitPrograms ??= {});
    loaded[home.dataset.version] ??= import(
      URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    home.view = (await loaded[home.dataset.version]).openOutput(home, style, data);
  };
  open().catch((error) => console.warn("hypkit: the stepper stays a table:", error));
})();"""
