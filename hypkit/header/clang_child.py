"""libclang in a child process: C texts in, diagnostics and constants out, whatever the texts do.

Run as a script this file is the child; it imports nothing of hypkit, so that it starts quickly and
wants no path set. A request is a JSON object on one line, a reply another. The child ends when its
standard input closes, and when a request takes more processor time or memory than it may.

Clang sees no file of this computer: the overlay no_files.yaml lays an empty tree over all of them,
and what a text can include are the texts that came with it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from typing import Any

MEMORY = 1 << 30
MOST_DIAGNOSTICS = 400
MOST_OUTPUT = 1 << 20  # characters of all messages
FOLDER = "/hypkit"
MAIN = "hypkit.c"

# The kernel's dialect on the kernel's architecture, with gcc's version for __GNUC__.
ARGUMENTS = (
    *("-std=gnu11", "-target", "aarch64-linux-gnu", "-nostdinc", "-fgnuc-version=12.2"),
    "-U__clang__",
    *("-ferror-limit=0", "-fno-spell-checking", "-fbracket-depth=1024"),
    *("-ivfsoverlay", os.path.join(os.path.dirname(os.path.abspath(__file__)), "no_files.yaml")),
    # What gcc warns of as well, by default or (overrides) with -Woverride-init.
    *("-Wno-everything", "-W#pragma-messages", "-W#warnings", "-Wmacro-redefined"),
    *("-Winitializer-overrides", "-Wexcess-initializers", "-Winteger-overflow"),
    *("-Wshift-overflow", "-Wc99-extensions"),
    # What the kernel's Makefile makes an error of.
    *("-Werror=implicit-int", "-Werror=implicit-function-declaration", "-Werror=int-conversion"),
    # What has no value in C: gcc and clang make different numbers of it.
    *("-Werror=shift-count-overflow", "-Werror=shift-count-negative"),
    # What gcc does not take.
    *("-Werror=gnu-folding-constant", "-Werror=fixed-enum-extension"),
)

# How a request ends that is given up.
SLOW, BIG, CRASHED, ABSENT = "slow", "big", "crashed", "absent"


class Watch(threading.Thread):
    """Ends the process when a request has had its seconds of processor time."""

    def __init__(self, replies: Any, seconds: float) -> None:
        super().__init__(daemon=True)
        self._replies, self._seconds = replies, seconds
        self._start: float | None = None

    def begin(self) -> None:
        """Start to count."""
        self._start = time.process_time()

    def end(self) -> None:
        """Stop to count."""
        self._start = None

    def run(self) -> None:
        """Look at the processor time every few hundredths of a second."""
        while True:
            time.sleep(0.05)
            start = self._start
            if start is not None and time.process_time() - start > self._seconds:
                self._replies.write(json.dumps({"ended": SLOW}) + "\n")
                self._replies.flush()
                os._exit(1)


def base(name: str | None) -> str:
    """Return the last part of a path, whichever way its slashes lean."""
    return re.split(r"[\\/]", name or "")[-1]


def place(location: Any) -> dict[str, Any]:
    """Return where a location lies: file without its folder, 1-based line and column."""
    file = location.file
    return {
        "file": base(file.name) if file else "",
        "line": location.line,
        "column": location.column,
    }


def diagnostic(found: Any) -> dict[str, Any]:
    """Return a diagnostic and its notes."""
    return {
        "severity": found.severity,
        "text": found.spelling,
        "option": found.option,
        "category": found.category_name,
        **place(found.location),
        "notes": [{"text": note.spelling, **place(note.location)} for note in found.children],
    }


def parse(clang: Any, main: str, files: dict[str, str], language: str) -> dict[str, Any]:
    """Parse *main*, which can include *files*, and tell what clang made of it.

    language: "c", or "assembler-with-cpp" for a text of which only the preprocessor counts.

    The reply has diagnostics, the values of the main file's enumerators by name, the places of the
    definitions of macros in the *files*, and the functions that they declare.
    """
    index = clang.Index.create()
    texts = {MAIN: main, **files}
    unit = index.parse(
        f"{FOLDER}/{MAIN}",
        args=["-x", language, *ARGUMENTS],
        # Windows finds a neighbour with its own slash.
        unsaved_files=[
            (f"{FOLDER}{slash}{name}", text)
            for slash in sorted({"/", os.sep})
            for name, text in texts.items()
        ],
        options=clang.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD,
    )
    values: dict[str, int] = {}
    macros: list[dict[str, Any]] = []
    functions: list[str] = []
    kinds = clang.CursorKind
    for cursor in unit.cursor.get_children():
        if cursor.kind == kinds.MACRO_DEFINITION:
            if cursor.location.file and base(cursor.location.file.name) in files:
                macros.append({"name": cursor.spelling, **place(cursor.location)})
        elif cursor.kind == kinds.ENUM_DECL and base(cursor.location.file.name) == MAIN:
            values |= {one.spelling: one.enum_value for one in cursor.get_children()}
        elif cursor.kind == kinds.FUNCTION_DECL and base(cursor.location.file.name) in files:
            functions.append(cursor.spelling)
    said = [diagnostic(found) for found in unit.diagnostics]
    # Errors first: a text that has thousands of warnings must not lose them.
    said.sort(key=lambda one: one["severity"] < clang.Diagnostic.Error)
    if sum(len(one["text"]) for one in said) > MOST_OUTPUT:
        return {"ended": BIG}
    messages = [one for one in said if one["option"] == "-W#pragma-messages"]
    others = [one for one in said if one["option"] != "-W#pragma-messages"]
    return {
        "messages": [one for one in messages if one["file"] == MAIN],
        "diagnostics": others[:MOST_DIAGNOSTICS],
        "values": values,
        "macros": macros,
        "functions": functions,
    }


def serve(seconds: float) -> None:
    """Answer requests, a line each with what parse wants by name, until there are none."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # Windows, and macOS for the memory
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # nothing that C++ code prints may reach the reply pipe
        os.dup2(nowhere.fileno(), 2)
    try:
        from clang import cindex

        cindex.Index.create()
    except Exception:  # not installed, or its library does not load
        cindex = None
    watch = Watch(replies, seconds)
    watch.start()
    for line in sys.stdin:
        request = json.loads(line)
        watch.begin()
        try:
            answer = {"ended": ABSENT} if cindex is None else parse(cindex, **request)
        except MemoryError:
            answer = {"ended": BIG}
        except Exception:  # TranslationUnitLoadError: clang's own recovery from a crash
            answer = {"ended": CRASHED}
        watch.end()
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


if __name__ == "__main__":
    serve(float(sys.argv[1]))
