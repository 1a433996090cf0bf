"""Clang's diagnostics in a learner's words: what is wrong, where, and what to try.

Where clang's own words help they stay: "the C compiler expected ';' after enum".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hypkit.errors import did_you_mean
from hypkit.header.front_end import Diagnostic, Place, Reply

MAIN = "hypkit.c"
ENTRY = "KVM_HOST_HCALL"
_NOWHERE = Place("", 0, 0)
_LONG = 200  # characters of a sentence of clang's


class Mistake(Exception):
    """What is wrong with a header, in a sentence, and where."""

    def __init__(self, message: str, place: Place = _NOWHERE) -> None:
        super().__init__(message)
        self.message, self.place = message, place


def shortened(text: str, length: int) -> str:
    """Return a text in one line of at most *length* characters, with a mark where it was cut."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 4]} ..."


def line_of(files: Mapping[str, str], place: Place) -> str:
    """Return the source line at a place, "" where there is none."""
    lines = files.get(place.file, "").split("\n")
    return lines[place.line - 1] if 0 < place.line <= len(lines) else ""


def undeclared(error: Diagnostic | None) -> str | None:
    """Return the name that an error calls undeclared, or None."""
    found = error and re.match(
        r"use of undeclared identifier '(\w+)'|call to undeclared function '(\w+)'", error.text
    )
    return (found[1] or found[2]) if found else None


def wrong_arguments(error: Diagnostic | None) -> bool:
    """Return whether an error is about the number of a macro's arguments."""
    return error is not None and "function-like macro invocation" in error.text


_DECLARATOR = ("expected parameter declarator", "expected function body after function declarator")
_FUNCTION = (
    "the C compiler takes this for a function: is a #define missing, or is the name of a macro "
    "misspelt?"
)


def innermost(error: Diagnostic, files: Mapping[str, str]) -> Place | None:
    """Return where the macro is defined that an error is in, of several the innermost."""
    for text, place in error.notes:
        if text.startswith("expanded from macro") and place.file in files:
            return place
    return None


def _before(place: Place, files: Mapping[str, str]) -> Place:
    """Return the last line with C before a place at the start of a line: clang saw there what was
    wrong."""
    line = line_of(files, place)
    if line[: place.column - 1].strip():
        return place
    for number in range(place.line - 1, 0, -1):
        earlier = Place(place.file, number, 1)
        if re.match(r"\s*[^\s#/]", line_of(files, earlier)):
            return earlier
    return place


def of_the_preprocessor(error: Diagnostic, line: str) -> bool:
    """Return whether an error at a line is the preprocessor's: not about declarations, nor about
    how a number is spelled, which only #if has to know."""
    if error.category in ("Parse Issue", "Semantic Issue"):
        return False
    return bool(re.match(r"\s*#", line)) or not re.search(
        r"(octal|integer|floating|binary|hexadecimal) (constant|literal)|character constant|"
        r"escape sequence|no digits|used with no following",
        error.text,
    )


# --- Errors ---------------------------------------------------------------------------------------

# Clang's words -> ours; \1 is what the first group found.
_PLAINER = (
    (r"expected \"FILENAME\"", '#include wants a name: #include "kvm_hcall_list.h"'),
    (r"#include nested too deeply", r"this file is included again and again: a file must not "
     "include itself without an end"),
    (r"macro name must be an identifier", r"#define wants a name first"),
    (r"unterminated conditional directive", r"this condition has no #endif"),
    (r"#(\w+) without #if", r"misplaced #\1: there is no #if before it"),
    (r"#(\w+) after #else", r"misplaced #\1: the #else came already"),
    (r"unterminated /\* comment", r"this comment has no */"),
    (r"expected value in expression", r"this condition is cut short: a value is missing"),
    (r"division by zero in preprocessor", r"this condition divides by zero"),
    (r"missing terminating (.) character", r"this \1 has no other: a text ends on its line"),
    (r"redefinition of enumerator '(\w+)'", r"the enumerator \1 is there already: an enum cannot "
     "have one name twice"),
    (r"static assertion failed due to requirement .*?: (.*)", r"static assertion failed: \1"),
    (r"static assertion failed: (.*)", r"static assertion failed: \1"),
    (r"static assertion failed", r"static assertion failed"),
    (r"static assertion expression is not an integral constant expression", r"this assertion is "
     "about something that the compiler cannot work out"),
    (r"'(\w+)' declared as an array with a negative size", r"\1 is an array of negative size: so "
     "the condition that its size hangs on does not hold"),
    (r"array size is negative", r"an array of negative size: so the condition that its size hangs "
     "on does not hold"),
    (r"(?:anonymous )?bit-field (?:'(\w+)' )?has negative width", r"a bit-field of negative "
     "width: so the condition that its width hangs on does not hold"),
    (r"duplicate case value", r"two cases of one value: so the condition that the second hangs "
     "on does not hold"),
    (r"integer constant expression must have integer type, not '(.*)'", r"a whole number is "
     r"needed here, not a value of type '\1'"),
    (r"pragma message requires parenthesized string|expected string literal in pragma message",
     r"the macros leave a parenthesis in this line without its other"),
    (r"shift count (>= width of type|is negative)", r"a shift by this many bits has no value in "
     "C: write 1UL for 64 bits, and less than its width"),
    (r"unexpected '(.)' before", r"the C compiler did not expect '\1' here"),
    (r"expected expression", r"a value is missing here"),
    (r"expected identifier or '\('", r"the C compiler expected a name or ( here"),
    (r"expected identifier", r"a name is missing here"),
    (r"integer literal is too large to be represented in any integer type", r"this number does "
     "not fit into 64 bits"),
    (r"unknown type name '(\w+)'", r"the C compiler takes \1 for a type, and there is none of this "
     "name: is a word misspelt, or its #define missing?"),
    (r"enumeration types with a fixed underlying type", r"an enum with a type of its own (enum "
     "x : unsigned) is C23; the kernel is written in C11: leave the type out"),
)  # fmt: skip


def mistake(error: Diagnostic, reply: Reply, files: Mapping[str, str]) -> Mistake:
    """Return the Mistake for an error in one of the learner's files."""
    place, text = error.place, error.text
    line = line_of(files, place)
    directive = (re.match(r"\s*#\s*(\w+)", line) or ["", ""])[1]
    if name := undeclared(error):
        return Mistake(no_value(name, reply, place, call=text.startswith("call")), place)
    if found := re.match(r"'(.*)' file not found", text):
        there = ", ".join(sorted(files))
        return Mistake(
            f"there is no file {found[1]!r} to include: the only files here are {there}", place
        )
    if wrong_arguments(error):
        return Mistake(_arguments(error, files), place)
    if text.startswith("macro name missing"):
        return Mistake(f"#{directive} wants a name", place)
    if text == "invalid preprocessing directive":
        return Mistake(f"there is no directive #{directive}", place)
    if error.category == "User-Defined Issue" or directive == "error":
        return Mistake(f"#error {shortened(text, _LONG)}".rstrip(), place)
    if text == "expected value in expression" and re.fullmatch(r"\s*#\s*\w+\s*", line):
        return Mistake(f"#{directive} wants a condition", place)
    if "expression is not an integer constant expression" in text or (
        text == "expression is not an integral constant expression"
    ):
        return Mistake(_not_constant(error), place)
    if "defaults to 'int'" in text or text in _DECLARATOR:
        return Mistake(_FUNCTION, _before(place, files))
    for theirs, ours in _PLAINER:
        if found := re.match(theirs, text):
            return Mistake(found.expand(ours), place)
    return Mistake(f"the C compiler says: {shortened(text, _LONG)}", place)


def no_value(name: str, reply: Reply, place: Place = _NOWHERE, call: bool = False) -> str:
    """Return the sentence for a name without a value, used at a place."""
    later = [at for defined, at in reply.macros if defined == name]
    if (
        later
        and place.line
        and not any(at.file == place.file and at.line <= place.line for at in later)
    ):
        where = later[0]
        in_file = "" if where.file == place.file else f" of {where.file}"
        return (
            f"{name} is not defined yet at this line: its #define comes later, in line "
            f"{where.line}{in_file}; move one of the two"
        )
    if call:
        return (
            f"there is no macro {name} with parameters, and a function call is not a constant"
            + did_you_mean(name, {defined for defined, _ in reply.macros})
        )
    known = {defined for defined, _ in reply.macros} | reply.functions
    return f"{name!r} is not a constant: no #define and no enum gives it a value" + did_you_mean(
        name, known, 0.8
    )


def _arguments(error: Diagnostic, files: Mapping[str, str]) -> str:
    """Return the sentence for a macro call with the wrong arguments."""
    note = next((n for n in error.notes if re.match(r"macro '\w+' defined here", n[0])), None)
    name = note[0].split("'")[1] if note else ""
    if error.text.startswith("unterminated"):
        return f"the parenthesis after {name or 'a macro'} has no end"
    wants = _parameters(line_of(files, note[1]), note[1].column) if note else None
    given = _given(line_of(files, error.place), name)
    if wants is None:
        return f"the macro {name} is called with another number of arguments than it takes"
    got = f", not {given}" if given is not None else ""
    return f"the macro {name} takes {wants} argument{'s' * (wants != 1)}{got}"


def _parameters(line: str, column: int) -> int | None:
    """Return how many parameters the definition of a macro at a column of a line has."""
    found = re.match(r"\w+\(([^)]*)\)", line[column - 1 :])
    return len([part for part in found[1].split(",") if part.strip()]) if found else None


def _given(line: str, name: str) -> int | None:
    """Return how many arguments the first call of a macro in a line has."""
    found = re.search(rf"\b{name}\s*\(", line)
    depth, count = 0, 1
    for character in line[found.end() - 1 :] if found else "":
        depth += (character == "(") - (character == ")")
        count += character == "," and depth == 1
        if depth == 0:
            return count
    return None


def _not_constant(error: Diagnostic) -> str:
    """Return the sentence for an expression that the compiler cannot work out, by the reason it
    notes."""
    for text, _ in error.notes:
        if "division by zero" in text:
            return "division by zero: this has no value"
        if found := re.search(r"shift count (\S+) >= width of type '(.*)' \((\d+) bits\)", text):
            return f"a shift by {found[1]} is undefined: what is shifted has {found[3]} bits"
        if "negative shift count" in text:
            return "a shift by a negative number is undefined"
        if "outside the range of representable values" in text:
            return "this does not fit into its type: write UL after the number that it begins with"
    return "the compiler cannot work this out: it is no constant of whole numbers"


def of_a_macro(
    probe: str, spelled: str, error: Diagnostic, place: Place | None, files: Mapping[str, str]
) -> Mistake:
    """Return the Mistake for a macro's value: *probe* is the text that was tried."""
    at = place or Place("", 0, 0)
    if error.category == "Parse Issue" or "function-like" in error.text:
        return Mistake(f"{probe} becomes {shortened(spelled, 60)!r}, which is no expression", at)
    inner = mistake(error, Reply((), (), {}, (), frozenset()), files)
    return Mistake(f"{probe}: {inner.message}", at)


def left_open(error: Diagnostic, reply: Reply, files: Mapping[str, str]) -> Mistake:
    """Return the Mistake for a text that ends before it is done."""
    for text, place in error.notes:
        if text.startswith("to match this") and place.file in files:
            return Mistake(
                f"the text ends too early: this {text.split()[-1].strip(chr(39))} has no other",
                place,
            )
    return Mistake("the text ends too early: a brace, a parenthesis or a semicolon is missing")


# --- Warnings -------------------------------------------------------------------------------------


def warnings(replies: Iterable[Reply], files: Mapping[str, str]) -> list[str]:
    """Return what gcc would say by default of the learner's files, each once."""
    found: dict[str, None] = {}
    for number, reply in enumerate(replies):
        for one in reply.diagnostics:
            if one.error or one.place.file not in files or one.option == "-Winitializer-overrides":
                continue
            text = one.text
            if one.option == "-Wmacro-redefined":
                if number or any(place.file == MAIN for said, place in one.notes
                                 if "previous" in said):  # fmt: skip
                    continue  # the table includes the text again; what is ours can be replaced
                text = f"{text.split(chr(39))[1]} is defined again, with another value"
            found[f"{one.place.file}:{one.place.line}: {shortened(text, _LONG)}"] = None
    return list(found)


def overridden(reply: Reply, files: Mapping[str, str]) -> list[str]:
    """Return a sentence for each entry of the table that takes an earlier one's slot.

    An entry that takes a slot of a range ([0 ... 13] = kvm_hc_ni) is meant to.
    """
    found = []
    for one in reply.diagnostics:
        if one.option != "-Winitializer-overrides" or one.place.file not in files:
            continue
        before = next((place for text, place in one.notes if "previous" in text), _NOWHERE)
        earlier, later = line_of(files, before), line_of(files, one.place)
        if "..." in earlier:
            continue
        found.append(
            f"{one.place.file}:{one.place.line}: {shortened(later, 60)} takes the slot of line "
            f"{before.line}, {shortened(earlier, 60)}"
        )
    return found
