"""Characters that a learner's text cannot hold, be it assembly or C."""

from __future__ import annotations

# Some end a line for one program and not for the next; the others look like a blank but are not.
UNSEEN = "\r\f\v\x85\u2028\u2029\u00a0\u200b\ufeff"


def wrong_character(text: str) -> tuple[int, int, str] | None:
    """Return (line, column, sentence) for the first such character, None where there is none.

    Lines and columns count from 1. A line ends at LF and nowhere else.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.isprintable():
            continue
        for column, c in enumerate(line, 1):
            if c in UNSEEN:
                return number, column, (
                    f"there is an invisible character here (U+{ord(c):04X}); copied from a web "
                    "page? Replace it by a space"
                )  # fmt: skip
            if "\ud800" <= c <= "\udfff":
                return number, column, f"there is half a character here (U+{ord(c):04X})"
            if c < " " and c != "\t" or "\x7f" <= c <= "\x9f":
                return number, column, (
                    f"character {ord(c):#04x} does not belong in a text: is this a binary file?"
                )  # fmt: skip
    return None
