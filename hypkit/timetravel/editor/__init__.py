"""The editor's program: CodeMirror 6 with the kit's own languages and keys, as one module.

The sources are editor.js, a64.js, c.js and comments.js; `python -m hypkit.timetravel.editor.build`
bundles them with CodeMirror into bundle.js, which is committed, with the licences of what is in it
beside it. It is no part of an output or of an exported file: a page asks the kernel for it when it
has a text to edit.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hypkit.a64.disassembler import mnemonics
from hypkit.a64.sysregs import SYSREGS
from hypkit.asm.mnemonics import CONDITIONAL, OTHERS, SHAPES
from hypkit.kernel.macros import BUILT_IN, dispatcher_macros

FOLDER = Path(__file__).parent
BUNDLE = FOLDER / "bundle.js"


@cache
def bundle() -> bytes:
    """Return the editor's program, an ES module in UTF-8."""
    return BUNDLE.read_bytes()


@cache
def names() -> dict[str, list[str]]:
    """Return what a dispatcher may call things, in lower case: instructions, macros, registers."""
    macros = {macro.name for macro in dispatcher_macros()}
    return {
        "instructions": sorted({*mnemonics(), *SHAPES, *OTHERS, *CONDITIONAL} - macros),
        "macros": sorted(macros | {macro.name for macro in BUILT_IN}),
        "registers": sorted(name.lower() for name in SYSREGS),
    }
