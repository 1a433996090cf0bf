"""Why an instruction has no encoding, in a sentence for a learner."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from hypkit._expr import Complaint

NO_KEYSTONE = (
    "this machine has no Keystone, which is needed to assemble an instruction that the kit does not "
    "ship; Keystone runs on x86-64 Linux and macOS and on Windows amd64 (or on a hub), and "
    "everything else works here without it"
)


def doubt(parts: tuple[str, ...], word: int) -> str:
    """Why Keystone's word is not to be believed; empty: it is."""
    return ""


def explain(
    parts: tuple[str, ...], ops: Sequence[tuple[str, int]], why: str, macros: Sequence[str]
) -> Complaint:
    """The complaint for an instruction that could not be encoded."""
    text = parts[0] if len(parts) == 1 else f"{parts[0]} {', '.join(parts[1:])}"
    if why == "absent":
        return Complaint(f"{NO_KEYSTONE} (the instruction is `{text}`)")
    return Complaint(f"`{text}` has no encoding")
