"""Assembly text -> statements: comments, `;`, and the substitution that macros and .rept do."""

from __future__ import annotations

import re
from typing import NamedTuple

from hypkit.asm.expressions import Complaint, character

MAX_STATEMENT = 4096
MAX_PARAMETERS = 64

QUOTED = r""""(?:\\.|[^"\\\n])*"?|'(?:\\.|[^\\\n])'?"""
COMMENT_OR_STRING = re.compile(
    r"^[ \t]*#[^\n]*|" + QUOTED + r"|//[^\n]*|/\*.*?\*/|/\*.*", re.DOTALL | re.MULTILINE
)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
FOREIGN = re.compile(r"^[ \t]*#[^\n]*|" + STRING.pattern + r"|([^\x00-\x7f])", re.MULTILINE)
LOOK_ALIKES = str.maketrans(
    "\u2010\u2011\u2012\u2013\u2014\u2212\u2018\u2019\u201c\u201d", "------''\"\""
)
PUNCTUATION = re.compile(QUOTED + r"|[,;()\[\]{}]")
LABEL = re.compile(r"([A-Za-z_.$][A-Za-z0-9_.$]*|\d+)\s*:(?!:)\s*", re.ASCII)
CPP = re.compile(r"#\s*(define|include|if|ifdef|ifndef|else|elif|endif|undef|pragma)\b")
NAME = re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$]*")
PARAMETER = re.compile(
    rf"({NAME.pattern})(?::(req|vararg))?(?:\s*=\s*" r'("[^"]*"|[^\s,"]*))?(?:\s*,\s*|\s+|$)'
)


class Stmt(NamedTuple):
    """One statement; line and column (1-based) are those of the text, or of the macro's call."""

    text: str
    line: int
    column: int
    via: tuple[str, ...] = ()  # the macros it came out of, outermost first
    prelude: bool = False


def split_labels(stmt: Stmt) -> list[Stmt]:
    """Return `a: b: insn` as three statements, so that blocks such as .rept may have a label."""
    out = []
    while match := LABEL.match(stmt.text):
        out.append(stmt._replace(text=match.group().rstrip()))
        column = stmt.column + (0 if stmt.via else match.end())
        stmt = stmt._replace(text=stmt.text[match.end() :], column=column)
    return [*out, stmt] if stmt.text else out


class Located(Exception):
    """A complaint with its statement; the linker makes the AsmError of it."""

    def __init__(self, complaint: Complaint, stmt: Stmt | None):
        super().__init__(complaint.message)
        self.complaint = complaint
        self.stmt = stmt


def blank(match: re.Match[str]) -> str:
    """Turn a comment into spaces, so that columns stay what they were; leave a string."""
    found = match.group()
    return re.sub(r"[^\n]", " ", found) if found[0] == "/" else found


def statements(text: str, prelude: bool = False) -> list[Stmt]:
    """Return all statements of a text. A line that starts with # is a comment, as in GNU as."""

    def refuse(sentence: str, place: int) -> None:
        before = text[:place]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise Located(Complaint(sentence), Stmt("", line, column, (), prelude))

    for match in COMMENT_OR_STRING.finditer(text):
        found = match.group()
        if found[:2] == "/*" and (found[-2:] != "*/" or len(found) < 4):
            refuse("this comment has no */", match.start())
        if found[0] == '"' and not STRING.fullmatch(found):
            refuse("this string has no closing quote on its line", match.start())
    code = COMMENT_OR_STRING.sub(blank, text)
    for match in () if code.isascii() else FOREIGN.finditer(code):
        if c := match.group(1):
            plain = c.translate(LOOK_ALIKES)
            hint = f"; write {plain}" if plain != c else ""
            refuse(f"{c!r} (U+{ord(c):04X}) can stand in a comment or a string only{hint}",
                   match.start(1))  # fmt: skip
    out: list[Stmt] = []
    for number, line in enumerate(code.split("\n"), 1):
        if not line or line.isspace():
            continue
        start = line.lstrip()
        if start[0] == "#":
            if CPP.match(start):
                out.append(Stmt(start, number, len(line) - len(start) + 1, (), prelude))
            continue
        if ";" not in line:
            stmt = Stmt(line.strip(), number, len(line) - len(start) + 1, (), prelude)
            out += split_labels(stmt) if ":" in line else (stmt,)
            continue
        column = 0
        for piece in split_semicolons(line):
            body = piece.strip()
            if body:
                lead = len(piece) - len(piece.lstrip())
                out += split_labels(Stmt(body, number, column + lead + 1, (), prelude))
            column += len(piece) + 1
    return out


def split_semicolons(line: str) -> list[str]:
    """Return the parts between semicolons; those in strings do not count."""
    pieces, start = [], 0
    for match in PUNCTUATION.finditer(line):
        if match.group() == ";":
            pieces.append(line[start : match.start()])
            start = match.end()
    pieces.append(line[start:])
    return pieces


def split_commas(text: str, brackets: bool = True) -> list[tuple[str, int]]:
    """Return (part, offset) between top-level commas; commas in strings and brackets do not count."""
    if "," not in text:
        return [(text, 0)]
    parts, depth, start = [], 0, 0
    for match in PUNCTUATION.finditer(text):
        c = match.group()
        if c == "," and depth <= 0:
            parts.append((text[start : match.start()], start))
            start = match.end()
        elif brackets and c in "[({":
            depth += 1
        elif brackets and c in "])}":
            depth -= 1
    parts.append((text[start:], start))
    return parts


CHARACTER_OR_STRING = re.compile(r""""(?:\\.|[^"\\])*"?|'(?:\\.|[^\\])'?""")


def without_characters(text: str, at: int = 0) -> str:
    """Return the text with its character constants as numbers, as GNU as reads every line."""

    def plain(match: re.Match[str]) -> str:
        found = match.group()
        return found if found[0] == '"' else str(character(found, at + match.start()))

    return CHARACTER_OR_STRING.sub(plain, text) if "'" in text else text


def scrubbed(text: str, at: int = 0) -> str:
    """Return what GNU as compares in .ifc: character constants are numbers, and a blank is left
    only between two words or strings."""
    out = ""
    blank = False
    for word in re.findall(r'"(?:\\.|[^"\\])*"?|\s+|.', without_characters(text, at)):
        if word.isspace():
            blank = True
            continue
        if blank and out and all(_wordy(c) or c == '"' for c in (out[-1], word[0])):
            out += " "
        out += word
        blank = False
    return out


def macro_arguments(text: str, at: int = 0) -> list[str]:
    """Return macro arguments by GNU as's rules: split at commas (also inside brackets) and at blanks
    between two words; other blanks vanish; quotes group and are taken off. They start at `at`."""
    out: list[str] = []
    for part, offset in split_commas(without_characters(text, at), brackets=False):
        words = _words(part)
        if not words and (out or offset or "," in text):
            out.append("")
        for word in words:
            if word.count("[") != word.count("]") or word.count("(") != word.count(")"):
                raise Complaint(
                    f"the macro argument {word!r} has an unclosed bracket: a comma splits macro "
                    'arguments even inside brackets, so put quotes around it: "[x0, #8]"',
                    at + offset + len(part) - len(part.lstrip()),
                )
            out.append(word)
    return out


def _words(part: str) -> list[str]:
    words: list[str] = []
    current, was_space, i = "", False, 0
    while i < len(part):
        c = part[i]
        if c in " \t":
            was_space = True
            i += 1
            continue
        if c == '"':
            end = i + 1
            while end < len(part) and part[end] != '"':
                end += 2 if part[end] == "\\" else 1
            if current.endswith("="):  # name="value"
                words.append(current + part[i + 1 : end])
            else:
                words += [current] if current else []
                words.append(part[i + 1 : end])
            current, was_space, i = "", False, end + 1
            continue
        if was_space and current and (_wordy(current[-1]) and _wordy(c)):
            words.append(current)
            current = ""
        was_space = False
        current += c
        i += 1
    if current:
        words.append(current)
    return words


def _wordy(c: str) -> bool:
    return c.isalnum() or c in "_.$\\"


class Parameter(NamedTuple):
    """A parameter of a macro; a vararg takes all that is left of the call's line."""

    name: str
    default: str
    required: bool
    vararg: bool


class Macro:
    """A .macro: its name, parameters, and a body of statements; `prelude`: the kit's own."""

    def __init__(self, head: str, at: int, body: list[Stmt], prelude: bool = False):
        self.prelude = prelude
        match = re.match(rf"({NAME.pattern})\s*,?\s*", head)
        if match is None:
            raise Complaint(".macro needs a name", at)
        self.name = match.group(1)
        self.body = body
        self.size = sum(len(stmt.text) for stmt in body)
        self.params: dict[str, Parameter] = {}
        place = match.end()
        while place < len(head):
            match = PARAMETER.match(head, place)
            if match is None:
                wrong = re.split(r"[\s,]", head[place:], maxsplit=1)[0]
                raise Complaint(
                    f"did not understand the parameter {wrong!r} of macro {self.name!r}", at + place
                )
            name, kind, default = match.groups()
            if name in self.params:
                raise Complaint(
                    f"macro {self.name!r} has two parameters called {name!r}", at + place
                )
            if len(self.params) == MAX_PARAMETERS:
                raise Complaint(
                    f"macro {self.name!r} has more than {MAX_PARAMETERS} parameters", at + place
                )
            default = (default or "").removeprefix('"').removesuffix('"')
            self.params[name] = Parameter(name, default, kind == "req", kind == "vararg")
            place = match.end()

    @property
    def usage(self) -> str:
        """Return how a call is written: `do_el2_call args=3`."""
        parts = (f"{p.name}={p.default}" if p.default else p.name for p in self.params.values())
        return f"{self.name} {', '.join(parts)}".strip()

    def bind(self, text: str, at: int) -> dict[str, str]:
        """Return parameter -> argument for one call, whose arguments start at `at`."""
        names = list(self.params)
        takes = ", ".join(names) or "none"
        bound = {param.name: param.default for param in self.params.values()}
        given: set[str] = set()
        if names and self.params[names[-1]].vararg:
            pieces = split_commas(text)[: len(names) - 1]
            used = sum(len(p) + 1 for p, _ in pieces)
            arguments = [a for p, o in pieces for a in (macro_arguments(p, at + o) or [""])]
            tail = text[used:].strip()
            arguments += [tail] if tail else []
        else:
            arguments = macro_arguments(text, at) if text.strip() else []
        place = 0
        for argument in arguments:
            key, equals, value = argument.partition("=")
            if equals and not value.startswith("=") and NAME.fullmatch(key):
                if key not in bound:
                    raise Complaint(
                        f"macro {self.name!r} has no argument {key!r}: it takes {takes}"
                    )
                bound[key] = value
                given.add(key)
                continue
            if place >= len(names):
                raise Complaint(
                    f"macro {self.name!r} takes {len(names)} argument{'s' * (len(names) != 1)} "
                    f"({takes}), and {argument!r} is one too many"
                )
            if argument:
                bound[names[place]] = argument
                given.add(names[place])
            place += 1
        for param in self.params.values():
            if param.required and param.name not in given:
                raise Complaint(f"macro {self.name!r} needs its argument {param.name!r}")
        return bound


def substitute(
    body: list[Stmt], bound: dict[str, str], call: Stmt, name: str, count: int
) -> list[Stmt]:
    r"""Return the body with \name, \@ and \() replaced; every statement takes the call's line."""
    keys = sorted(map(re.escape, bound), key=len, reverse=True)
    pattern = re.compile(r"\\(?:(\(\))|(@)|(" + "|".join(keys or ["(?!)"]) + r")(?![A-Za-z0-9_$]))")

    def value(match: re.Match[str]) -> str:
        if match.group(1):
            return ""
        return str(count) if match.group(2) else bound[match.group(3)]

    via = (*call.via, name) if name else call.via
    out = []
    for stmt in body:
        line, column, prelude = (
            (call.line, call.column, call.prelude)
            if name
            else (stmt.line, stmt.column, stmt.prelude)
        )
        text = stmt.text
        if "\\" in text:
            text = pattern.sub(value, text).strip()
            if len(text) > MAX_STATEMENT:
                raise Complaint(
                    f"a statement grew past {MAX_STATEMENT} characters in macro {name!r}"
                )
            if ";" in text or ":" in text:
                for piece in split_semicolons(text):
                    if piece.strip():
                        out += split_labels(Stmt(piece.strip(), line, column, via, prelude))
                continue
        if text:
            out.append(Stmt(text, line, column, via, prelude))
    return out
