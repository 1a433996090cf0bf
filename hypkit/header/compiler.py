"""The C texts that a header is tried in, and what clang's replies say about it.

The header is compiled twice, as in the kernel: once for its numbers, once with its list inside the
table. A number is read as the value of an enumerator, a slot by comparing it with every function,
what the macros make of a text by a #pragma message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hypkit.errors import did_you_mean
from hypkit.header import clang_child, sentences
from hypkit.header.front_end import Ask, Diagnostic, Ended, Place, Reply
from hypkit.header.sentences import ENTRY, MAIN, Mistake, line_of

NUMBERS, LIST = "kvm_hcalls.h", "kvm_hcall_list.h"
SIZE, BASE, END, NR = (f"{ENTRY}_{word}" for word in ("SIZE", "BASE", "END", "NR"))
NOBODY = "kvm_hc_ni"
MOST_SLOTS = 512

# What every file of the kernel has from its build_bug.h.
PRELUDE = """\
#define __static_assert(expr, msg, ...) _Static_assert(expr, msg)
#define static_assert(expr, ...) __static_assert(expr, ##__VA_ARGS__, #expr)
#define BUILD_BUG_ON_MSG(cond, msg) _Static_assert(!(cond), msg)
#define BUILD_BUG_ON(cond) BUILD_BUG_ON_MSG(cond, "BUILD_BUG_ON failed: " #cond)
#define BUILD_BUG_ON_ZERO(e) ((int)(sizeof(struct { int:(-!!(e)); })))
"""
AS_TEXT = """\
#define HYPKIT_TEXT_(...) #__VA_ARGS__
#define HYPKIT_TEXT(...) HYPKIT_TEXT_(__VA_ARGS__)
"""
HEAD = PRELUDE + AS_TEXT
INCLUDE = f'#include "{NUMBERS}"\n'
_NO_ENTRY = "this is no entry of the table"
# A line that is right wherever a declaration may stand: what is wrong here is left open above.
SENTINEL = "struct hypkit_sentinel;\n"
# A constant array's element is no constant expression; clang reads it all the same.
FOLDED = '#pragma clang diagnostic ignored "-Wgnu-folding-constant"\n'
# What gcc does not define for a .S file.
ASSEMBLER = """\
#undef __STDC_VERSION__
#undef __STDC_UTF_16__
#undef __STDC_UTF_32__
"""
ENTRIES = f"#undef {ENTRY}\n#define {ENTRY}(name) [{ENTRY}_IDX_##name] = name,\n"


@dataclass(frozen=True)
class Numbers:
    """What a header says: the range, the slots (None: nobody), the calls' numbers, the remarks."""

    base: int
    end: int
    slots: tuple[str | None, ...]
    numbers: tuple[tuple[str, int], ...]
    warnings: tuple[str, ...]
    overridden: tuple[str, ...]


# --- The numbers ----------------------------------------------------------------------------------


def compiled(files: Mapping[str, str], handlers: Sequence[str], ask: Ask) -> Numbers:
    """Return what a header says to the host, to the assembler and to the table.

    Raises Mistake for a header that gcc would not compile, or that the kit has no use for.
    """
    probes = [SIZE, BASE, END, *(f"{NR}({name})" for name in handlers)]
    probes += (f"{ENTRY}_IDX_{name}" for name in handlers)
    head = HEAD + INCLUDE + SENTINEL
    first = head.count("\n") + 1
    values = "".join(f"enum {{ hypkit_{n} = ({probe}) }};\n" for n, probe in enumerate(probes))
    texts = "".join(f"#pragma message(HYPKIT_TEXT({probe}))\n" for probe in probes)
    reply = ask(head + values + texts)
    _stop_at_the_first(reply, files, first)
    spelled = {probes[(line - first) % len(probes)]: text for line, text in reply.messages}
    where = dict(reply.macros)  # of several definitions the last counts
    wrong: dict[str, Diagnostic] = {}
    for error in reply.errors:
        line = error.place.line - first
        if error.place.file == MAIN and 0 <= line < 2 * len(probes):
            wrong.setdefault(probes[line % len(probes)], error)

    def value(probe: str, macro: str) -> int | None:
        """Return the value of a probe, None where it has a name without one."""
        error = wrong.get(probe)
        if error is None:
            found = reply.values.get(f"hypkit_{probes.index(probe)}")
            if found is None:
                raise Mistake(f"{probe} has no value here: does the text change what enum means?")
            return found
        if sentences.undeclared(error):
            return None
        blamed = sentences.innermost(error, files) or where.get(macro)
        raise sentences.of_a_macro(probe, spelled.get(probe, probe), error, blamed, files)

    def nameless(probe: str) -> str:
        """Return the name without a value that keeps a probe from having one."""
        return sentences.undeclared(wrong[probe]) or ""

    def at(name: str) -> Place:
        return where.get(name) or Place(NUMBERS, 0, 0)

    size = value(SIZE, SIZE)
    if size is None:
        if nameless(SIZE) == SIZE:
            raise Mistake(f"{SIZE} is not there: nothing says how many slots the table has")
        raise Mistake(sentences.no_value(nameless(SIZE), reply), at(SIZE))
    if spelled.get(f"{NR}({handlers[0]})") == f"{NR}({handlers[0]})" and NR not in where:
        raise Mistake(
            f"there is no macro {NR}(name): the host would not know how to make a number of a name"
        )
    if not _takes_a_name(files, at(NR)):
        raise Mistake(f"{NR} must take one argument, the name", at(NR))
    if not 1 <= size <= MOST_SLOTS:
        raise Mistake(
            f"{SIZE} is {size}: the table of this kit has 1 to {MOST_SLOTS} slots", at(SIZE)
        )
    for name in handlers:
        index = reply.values.get(f"hypkit_{probes.index(f'{ENTRY}_IDX_{name}')}", 0)
        if index >> 63 == 1 and (place := _listed(files, name)):  # clang would take it modulo 2^64
            raise Mistake(f"{name} wants slot {index:#x} of the table, far after the end", place)
    slots, of_table = _table(files, handlers, size, reply, ask)
    numbers = {}
    for name in handlers:
        found = value(f"{NR}({name})", NR)
        if found is not None:
            numbers[name] = found & (1 << 64) - 1
    if not numbers:
        probe = f"{NR}({handlers[0]})"
        raise Mistake(
            f"{probe} becomes {spelled.get(probe, probe)!r}, and nothing gives "
            f"{nameless(probe)} a value",
            at(NR),
        )
    limits: list[int] = []
    for name, default in ((BASE, 0), (END, None)):
        found = value(name, name)
        if found is None:
            if nameless(name) != name:
                raise Mistake(sentences.no_value(nameless(name), reply), at(name))
            found = limits[0] + size if default is None else default
        if found < 0:
            raise Mistake(f"{name} is {found}: numbers of calls are not negative", at(name))
        limits.append(found)
    warnings = sentences.warnings((reply, of_table), files)
    if not any(slots):
        warnings.append(
            "nothing stands in the table: does a guard (#ifndef, #pragma once) hide "
            "the text when it is included a second time?"
        )
    return Numbers(
        limits[0],
        limits[1],
        slots,
        tuple(numbers.items()),
        tuple(warnings),
        tuple(sentences.overridden(of_table, files)),
    )


def _takes_a_name(files: Mapping[str, str], place: Place) -> bool:
    """Return whether a macro's definition has one parameter, or has no line to look at."""
    line = line_of(files, place)
    found = re.match(r"\w+(\([^)]*\))?", line[place.column - 1 :]) if line else None
    return found is None or bool(found[1] and re.fullmatch(r"\(\s*\w+\s*\)", found[1]))


def _stop_at_the_first(reply: Reply, files: Mapping[str, str], first: int) -> None:
    """Raise for the first error in the learner's own text, or of what it leaves open."""
    own = [error for error in reply.errors if error.place.file in files]
    for error in [*own, *reply.errors]:
        place = error.place
        if place.file in files:
            raise sentences.mistake(error, reply, files)
        if place.file == MAIN and place.line == first - 1 or "'}'" in error.text:
            raise sentences.left_open(error, reply, files)
        if place.file != MAIN:
            raise Mistake(f"the C compiler says: {error.text}")


# --- The table ------------------------------------------------------------------------------------


def _table(
    files: Mapping[str, str], handlers: Sequence[str], size: int, numbers: Reply, ask: Ask
) -> tuple[tuple[str | None, ...], Reply]:
    """Return what stands in each slot, and what clang says of the table."""
    listed = LIST if LIST in files else NUMBERS
    known = [*handlers, NOBODY]
    others = sorted(name for name in numbers.functions - {*known})
    functions = "".join(f"void {name}(void);\n" for name in known if name not in numbers.functions)
    head = HEAD + INCLUDE + functions + ENTRIES
    table = f'static void *const kvm_hcall_table[{SIZE}] = {{\n#include "{listed}"\n}};\n'
    slots = "".join(_slot_probe(slot, [*known, *others]) for slot in range(size))
    try:
        reply = ask(head + table + FOLDED + slots)
    except Ended as ended:
        raise Mistake(
            "the C compiler gave up on the table: is there an entry far out of it?"
            if str(ended) == clang_child.CRASHED
            else "the C compiler does not get to the table's end"
        ) from None
    inside = head.count("\n") + 2  # the line of the list's #include
    for error in reply.errors:
        if error.place.file in files:
            raise _table_mistake(error, reply, files, handlers, size, ask, head)
        if error.place.file == MAIN and error.place.line in (inside, inside + 1):
            raise sentences.left_open(error, reply, files)
        raise Mistake(f"the C compiler says of the table: {error.text}")
    found: list[str | None] = []
    for slot in range(size):
        number = reply.values.get(f"hypkit_{slot}", -1)
        name = known[number - 1] if 0 < number <= len(known) else None
        if number > len(known):
            stranger = others[number - len(known) - 1]
            raise _no_function(stranger, handlers, _entry_of(files[listed], stranger, listed))
        if number < 0:
            raise Mistake(
                f"slot {slot} of the table holds something else: a slot can hold the name of a "
                "function and nothing else",
                Place(listed, 0, 0),
            )
        found.append(None if name == NOBODY else name)
    return tuple(found), reply


def _slot_probe(slot: int, names: Iterable[str]) -> str:
    """Return an enumerator that says which function stands in a slot: 0 for none, -1 for no
    function."""
    tests = "".join(
        f"kvm_hcall_table[{slot}] == (void *){name} ? {number} : "
        for number, name in enumerate(names, start=1)
    )
    return f"enum {{ hypkit_{slot} = {tests}kvm_hcall_table[{slot}] ? -1 : 0 }};\n"


def _entry_of(text: str, name: str, file: str) -> Place:
    """Return the first line of a file that has a name in it."""
    for number, line in enumerate(text.split("\n"), start=1):
        if re.search(rf"\b{name}\b", line) and "#" not in line.split(name)[0]:
            return Place(file, number, 0)
    return Place(file, 0, 0)


def _listed(files: Mapping[str, str], name: str) -> Place | None:
    """Return where the list has an entry for a call."""
    for file, text in files.items():
        for number, line in enumerate(text.split("\n"), start=1):
            if re.match(rf"\s*{ENTRY}\s*\(\s*{name}\s*\)", line):
                return Place(file, number, 1)
    return None


def _no_function(name: str, handlers: Sequence[str], place: Place) -> Mistake:
    near = did_you_mean(name, handlers).replace("'", "")
    return Mistake(f"there is no function {name}{near or ': the linker would not find it'}", place)


def _table_mistake(
    error: Diagnostic,
    reply: Reply,
    files: Mapping[str, str],
    handlers: Sequence[str],
    size: int,
    ask: Ask,
    head: str,
) -> Mistake:
    """Return what is wrong with an entry of the table."""
    place, line = error.place, line_of(files, error.place)
    entry = re.search(rf"\b{ENTRY}\s*\(\s*(\w*)", line[max(place.column - 1, 0) :])
    name = entry[1] if entry else ""
    missing = sentences.undeclared(error)
    if missing and missing == name:
        return _no_function(name, handlers, place)
    if missing and entry and not name:
        return Mistake(
            f"{_NO_ENTRY}: the macros make of this line `{_expanded(ask, head, line)}`", place
        )
    if missing and name and not error.text.startswith("call"):
        return Mistake(f"the table has no place for {name}: {missing} has no value", place)
    index = re.search(r"\((\d+)\) exceeds array bounds|value '(-\d+)' is negative", error.text)
    if index:
        what = (
            "which is negative"
            if index[2]
            else f"which is after the end: the table has {size} slots, 0 to {size - 1}, because "
            f"{SIZE} is {size}"
        )
        who = name or "this entry"
        return Mistake(f"{who} wants slot {index[1] or index[2]} of the table, {what}", place)
    if "int-conversion" in error.option or "initializing 'void *" in error.text:
        return Mistake(
            "a slot of the table can hold the name of a function and nothing else", place
        )
    if error.category == "Parse Issue" and not name:
        if re.search(r"\b(enum|struct|union|typedef|static|extern)\b|_[Aa]ssert\b|;", line):
            return Mistake(
                "the table includes this text in the middle of its initialiser, where only "
                f"{ENTRY}(name) lines can stand; put the list of names into a file of its own, "
                f"{LIST}, or hide the rest behind #ifndef {ENTRY}",
                place,
            )
    found = sentences.mistake(error, reply, files)
    if error.category == "Parse Issue" and entry:
        became = _expanded(ask, head, line)
        if became:
            what = _NO_ENTRY if "expression" in error.text else found.message
            return Mistake(f"{what}: the macros make of this line `{became}`", place)
    return found


def _expanded(ask: Ask, head: str, line: str) -> str:
    """Return what the macros make of a line, shortened with a mark; "" where that cannot be
    told."""
    messages = ask(f"{head}#pragma message(HYPKIT_TEXT({line}))\n").messages
    return sentences.shortened(messages[0][1], 80) if messages else ""


# --- The preprocessor alone -----------------------------------------------------------------------

# A comment, or what keeps a comment from being one.
_COMMENT = re.compile(
    r'//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL
)
# Of an assembly line: a string, a character, a quote without an end, what clang must not see.
_PIECE = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|["\'][^\n]*|[()\\`]|[^"\'()\\`]+')
_DIRECTIVE = re.compile(
    r"\s*#\s*(define|undef|include|include_next|if|ifdef|ifndef|elif|elifdef|elifndef|else|endif|"
    r"error|warning|pragma|line)\b"
)
_MARK = re.compile(r"` ?(\d{1,9}) ?`")


def preprocessed(files: Mapping[str, str], text: str, ask: Ask) -> str:
    """Return *text* after the C preprocessor, as a .S file that includes the header.

    Clang expands each line as the argument of a macro that makes a string of it; what would break
    out of the argument (a parenthesis without its other, a lone quote, a backslash) travels as a
    mark. Blanks are as the preprocessor leaves them: one between words.

    Raises Mistake for a directive or a macro call that is wrong.
    """
    functions = _function_macros([*files.values(), text])
    kept: list[str] = []
    main = [AS_TEXT, ASSEMBLER, INCLUDE]
    first = sum(part.count("\n") for part in main)
    lines = _without_comments(text).split("\n")
    at = 0
    while at < len(lines):
        line, start = lines[at], at
        at += 1
        if _DIRECTIVE.match(line):
            main.append(line + "\n")
            continue
        while (name := _unfinished_call(line, functions)) and at < len(lines):
            line, at = f"{line} {lines[at].strip()}", at + 1
        if name:
            raise Mistake(f"line {start + 1} of the text: the parenthesis after {name} has no end")
        line = f"#pragma message(HYPKIT_TEXT({_guarded(line, kept)}))" if line.strip() else ""
        main.append(line + "\n" * (at - start))
    whole = "".join(main)
    reply = ask(whole, "assembler-with-cpp")
    texts = {**files, MAIN: whole}
    for error in reply.errors:
        if not sentences.of_the_preprocessor(error, line_of(texts, error.place)):
            continue  # it is not compiled
        if error.place.file == MAIN and error.place.line > first:
            found = sentences.mistake(error, reply, files)
            raise Mistake(f"line {error.place.line - first} of the text: {found.message}")
        raise sentences.mistake(error, reply, files)

    def unmarked(mark: re.Match[str]) -> str:
        return kept[int(mark[1])] if int(mark[1]) < len(kept) else mark[0]

    made = (_MARK.sub(unmarked, message) for _, message in reply.messages)
    return "\n".join(line for line in made if line.strip())


def _without_comments(text: str) -> str:
    """Return a text with its continued lines joined and a blank for each comment, as many lines as
    before."""
    joined = re.sub(r"\\[ \t]*\n", "", text)

    def plain(found: re.Match[str]) -> str:
        part = found[0]
        return part if part[0] in "\"'" else " " + "\n" * part.count("\n")

    return _COMMENT.sub(plain, joined)


def _function_macros(texts: Iterable[str]) -> set[str]:
    """Return the names that any of the texts defines with parameters."""
    return {name for text in texts for name in re.findall(r"(?m)^\s*#\s*define\s+(\w+)\(", text)}


def _alone(pieces: Sequence[str]) -> dict[int, str]:
    """Return the parentheses of a line that have no other, by their place."""
    alone: dict[int, str] = {}
    for place, piece in enumerate(pieces):
        if piece == "(":
            alone[place] = piece
        elif piece == ")":
            last = max((at for at in alone if alone[at] == "("), default=None)
            if last is None:
                alone[place] = piece
            else:
                del alone[last]
    return alone


def _unfinished_call(line: str, functions: set[str]) -> str:
    """Return the one of the macros *functions* within whose arguments a line ends, or ""."""
    pieces = _PIECE.findall(line)
    for place, piece in _alone(pieces).items():
        call = re.search(r"(\w+)\s*$", pieces[place - 1]) if piece == "(" and place else None
        if call and call[1] in functions:
            return call[1]
    return ""


def _guarded(line: str, kept: list[str]) -> str:
    """Return a line as a macro's argument: what would break out of it becomes a mark, and is
    *kept*."""
    pieces = _PIECE.findall(line)
    alone = _alone(pieces)
    parts = []
    for place, piece in enumerate(pieces):
        open_quote = piece[0] in "\"'" and (len(piece) < 2 or piece[-1] != piece[0])
        if place in alone or open_quote or piece in ("\\", "`"):
            kept.append(piece)
            piece = f"`{len(kept) - 1}`"
        parts.append(piece)
    return "".join(parts)
