"""`python -m tests.record_encodings`: ask the engine for every instruction that the kit ships, and
write data/encodings.json, from which the kit assembles without asking."""

import importlib
import pkgutil
from collections.abc import Iterator

from hypkit import asm
from hypkit.header import DEFINES, read_header
from hypkit.kernel import programs
from hypkit.kernel.variants import VARIANTS
from hypkit.lessons import exercises


def shipped() -> Iterator[tuple[str, str]]:
    """(name, text) of what a lesson has assembled: its module's ASSEMBLY, a tuple of such pairs.

    A name that is a variant's key, or begins with one and a space ("numbered 02.3"), says that the
    text is a dispatcher in that variant; any other name stands for text that is its own program.
    """
    for module in pkgutil.iter_modules(exercises.__path__, f"{exercises.__name__}."):
        yield from getattr(importlib.import_module(module.name), "ASSEMBLY", ())


def record() -> dict[str, int]:
    """Canonical text -> word, of every instruction in every variant's guest and in the lessons."""
    with asm.recording() as words:
        for key in VARIANTS:
            programs.build.__wrapped__(key)  # past its cache
        programs.build.__wrapped__("numbered", None, read_header(DEFINES).numbering)
        for name, text in shipped():
            key = name.partition(" ")[0]
            if key.partition("+")[0] in VARIANTS:
                programs.build.__wrapped__(key, text)
            else:
                asm.assemble(text, name=name)
    return words


if __name__ == "__main__":
    words = record()
    asm.write_encodings(words)
    print(f"{len(words)} instructions recorded")
