"""A header compiled as a C compiler would: preprocessed by pcpp, parsed by pycparser, evaluated.

Run as a script this file is a child process: one job as JSON on standard input, one answer on
standard output. So nothing that a text does to the two libraries, no macro that doubles itself and
no shift by a billion, can hang or end the parent. The child imports nothing of hypkit but the file
beside it: the kit takes ten times as long to load as a header takes to compile.

The header is compiled twice, as in the kernel: once for its numbers, once inside the table.
"""

from __future__ import annotations

import difflib
import io
import json
import os
import re
import sys

if __package__:
    from hypkit.header.constants import Evaluator, Mistake, Unknown
else:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from constants import Evaluator, Mistake, Unknown

NUMBERS, LIST = "kvm_hcalls.h", "kvm_hcall_list.h"
OURS = "hypkit.c"  # what includes a header
ENTRY = "KVM_HOST_HCALL"
SIZE, BASE, END, NR = (f"{ENTRY}_{word}" for word in ("SIZE", "BASE", "END", "NR"))
NOBODY = "kvm_hc_ni"
MOST_SLOTS = 512
MOST_INCLUDES, DEEPEST = 64, 16
MOST_OUTPUT = 1 << 20
MEMORY = 1 << 30


# --- Preprocessing ------------------------------------------------------------------------------


WANTED = dict.fromkeys(("define", "undef", "include", "ifdef", "ifndef"), "a name") | dict.fromkeys(
    ("if", "elif"), "a condition"
)


def preprocessor(files: dict[str, str]):
    """A pcpp preprocessor that can include *files* and nothing else."""
    from pcpp import Preprocessor

    class Strict(Preprocessor):
        includes = 0

        def on_error(self, file, line, message):
            raise Mistake(said(message), file, line)

        def on_file_open(self, is_system_include, path):
            name = os.path.basename(path)
            if is_system_include or name not in files:
                raise OSError
            self.includes += 1
            if self.includes > MOST_INCLUDES or self.include_depth > DEEPEST:
                raise Mistake(
                    f"{name} is included again and again: a file must not include "
                    "itself without an end",
                    name,
                    0,
                )
            return io.StringIO(files[name])

        def on_include_not_found(self, is_malformed, is_system_include, directory, path):
            if is_malformed:
                raise Mistake('#include wants a name: #include "kvm_hcall_list.h"', *here(self))
            there = ", ".join(sorted(files))
            raise Mistake(
                f"there is no file {path!r} to include: the only files here are {there}",
                *here(self),
            )

        def on_directive_handle(self, directive, tokens, if_passthru, preceding):
            self.at = directive
            given = any(token.value.strip() for token in tokens)
            if directive.value in WANTED and not given:
                raise Mistake(f"#{directive.value} wants {WANTED[directive.value]}", *here(self))
            return super().on_directive_handle(directive, tokens, if_passthru, preceding)

        def on_directive_unknown(self, directive, tokens, if_passthru, preceding):
            rest = "".join(token.value for token in tokens).strip()
            if directive.value in ("warning", "pragma"):
                return True
            what = {"error": f"#error {rest}", "line": "#line is not taken here"}.get(
                directive.value, f"there is no directive #{directive.value}"
            )
            raise Mistake(what, directive.source, directive.lineno)

        def define(self, tokens):
            if isinstance(tokens, list):
                if not tokens or tokens[0].type != self.t_ID:
                    raise Mistake("#define wants a name first", *here(self))
                old = self.macros.get(tokens[0].value)
                super().define(tokens)
                new = self.macros.get(tokens[0].value)
                if old is not None and meaning(old) != meaning(new):
                    self.redefined.append((tokens[0].value, new.source, new.lineno))
            else:
                super().define(tokens)

    made = Strict()
    made.redefined, made.at = [], None
    made.line_directive = "#line"
    made.auto_pragma_once_enabled = False  # the table wants the list again
    for name in ("__DATE__", "__TIME__"):
        made.undef(name)
    made.redefined.clear()
    return made


def here(pre) -> tuple[str, int]:
    return (pre.at.source, pre.at.lineno) if pre.at is not None else ("", 0)


def meaning(macro) -> tuple[str, object]:
    return " ".join("".join(token.value for token in macro.value).split()), macro.arglist


def said(message: str) -> str:
    """pcpp's messages in our words."""
    found = re.match(r"Macro (\S+) requires (\d+) arguments but was passed (\d+)", message)
    if found:
        name, wants, has = found.groups()
        return f"the macro {name} takes {wants} argument{'s' * (wants != '1')}, not {has}"
    if message == "Bad macro definition":
        return (
            "after the name of a macro there must be a blank, or ( and the names of its parameters"
        )
    found = re.match(r"Unterminated (.*)", message)
    if found:
        return f"{found[1].strip()} has no #endif"
    found = re.match(
        r"Could not evaluate expression .*\(passed to evaluator: '(.*)'\)", message, re.DOTALL
    )
    if found:
        return f"this condition cannot be worked out: {found[1].strip()[:60]}"
    return message[0].lower() + message[1:].strip()[:200]


def expanded(pre, text: str, name: str) -> str:
    """*text* after the preprocessor, with #line marks."""
    out = io.StringIO()

    class Bounded:
        def write(self, part):
            if out.tell() + len(part) > MOST_OUTPUT:
                raise Mistake(
                    f"after its macros are expanded this text has more than "
                    f"{MOST_OUTPUT:,} characters",
                    *here(pre),
                )
            out.write(part)

    try:
        pre.parse(text, name)
        pre.write(Bounded())
    except (IndexError, AttributeError, TypeError) as error:  # a slip of pcpp's own
        raise Mistake(
            f"the preprocessor gives up here ({type(error).__name__})", *here(pre)
        ) from None
    return out.getvalue()


# --- Parsing ------------------------------------------------------------------------------------


# pycparser's complaints that need other words.
PLAINER = {
    "Invalid function definition": "the C compiler takes this for a function: is a #define "
    "missing, or is the name of a macro misspelt?",
    "Comments are not supported": "this comment has no */",
}


def parsed(text: str, name: str, files: dict[str, str]):
    """pycparser's tree of a preprocessed text; *files* are what its lines were in the beginning."""
    import pycparser

    try:
        return pycparser.CParser().parse(text, name)
    except RecursionError:
        raise
    except Exception as error:  # its ParseError has moved from one module to another
        # "kvm_hcalls.h:3:1: before: 14", or "hypkit.c: At end of input"
        found = re.match(r"(.*?):(\d+)(?::\d+)?: (.*)", str(error), re.DOTALL)
        if not found:
            if "end of input" not in str(error).lower():
                raise Mistake("this is not C", name) from None
            for file, line, became in places(text):
                if re.search(rf"\b{ENTRY}\s*\(", became):
                    raise Mistake(f"the parenthesis after {ENTRY} has no end", file, line) from None
            raise Mistake(
                "the text ends too early: a brace, a parenthesis or a semicolon is missing", name
            ) from None
        file, line, what = found.groups()
        before = re.match(r"before: (.*)", what, re.DOTALL)
        token = before[1].strip()[:40] if before else ""
        message = (
            f"the C compiler did not expect {token!r} here"
            if token
            else next(
                (plain for theirs, plain in PLAINER.items() if what.startswith(theirs)),
                f"the C compiler does not understand this ({what[:80]})",
            )
        )
        if token and token not in source_line(files, file, int(line)):
            message += became_of(text, os.path.basename(file), int(line))
        raise Mistake(message, file, int(line)) from None


def became_of(text: str, file: str, line: int) -> str:
    """What the macros made of a line, as the end of a sentence."""
    became = " ".join(
        " ".join(found for *place, found in places(text) if place == [file, line]).split()
    )
    return f": the macros make of this line `{became[:80]}`" if became else ""


# --- The two uses of a header -------------------------------------------------------------------


def compiled(files: dict[str, str], handlers: list[str]) -> dict[str, object]:
    """What the header says to the host, to the assembler, and to the table."""
    pre = preprocessor(files)
    header = expanded(pre, f'#include "{NUMBERS}"\n', OURS)
    evaluator = Evaluator()
    evaluator.declare(parsed(header, NUMBERS, files))
    where = {name: (macro.source, macro.lineno) for name, macro in pre.macros.items()}

    def spelling(name: str) -> str:
        lines = expanded(pre, f"{name}\n", OURS).split("\n")
        return " ".join(" ".join(line for line in lines if not line.startswith("#line")).split())

    def probe(name: str, macro: str) -> int:
        place = where.get(macro, (NUMBERS, 0))
        spelled = spelling(name)
        try:
            tree = parsed(f"enum {{ hypkit = ({spelled}) }};", "probe", {})
        except Mistake:
            raise Mistake(
                f"{name} becomes {spelled[:60]!r}, which is no expression", *place
            ) from None
        try:
            return evaluator.value(tree.ext[0].type.values.enumerators[0].value)
        except Unknown as unknown:
            unknown.file, unknown.line = os.path.basename(place[0] or ""), place[1]
            raise
        except Mistake as mistake:
            raise Mistake(f"{name}: {mistake.message}", *place) from None

    if SIZE not in pre.macros and SIZE not in evaluator.known:
        raise Mistake(f"{SIZE} is not there: nobody says how many slots the table has", NUMBERS)
    if NR not in pre.macros:
        raise Mistake(
            f"there is no macro {NR}(name): the host would not know how to make a number of a name",
            NUMBERS,
        )
    if pre.macros[NR].arglist is None or len(pre.macros[NR].arglist) != 1:
        raise Mistake(f"{NR} must take one argument, the name", *where[NR])
    size = probe(SIZE, SIZE)
    if not 1 <= size <= MOST_SLOTS:
        raise Mistake(
            f"{SIZE} is {size}: the table of this kit has 1 to {MOST_SLOTS} slots",
            *where.get(SIZE, (NUMBERS, 0)),
        )
    defined = pre.macros.keys() | evaluator.known.keys()
    slots = table(files, handlers, size, evaluator)
    base = probe(BASE, BASE) if BASE in defined else 0
    end = probe(END, END) if END in defined else base + size
    found, missing = {}, None
    for name in handlers:
        try:
            found[name] = probe(f"{NR}({name})", NR) & (1 << 64) - 1
        except Unknown as unknown:
            missing = missing or (name, unknown)
    if not found:
        name, unknown = missing
        raise Mistake(
            f"{NR}({name}) becomes {spelling(f'{NR}({name})')[:80]!r}, and nobody gives "
            f"{unknown.name} a value",
            *where[NR],
        )
    for what, value in ((BASE, base), (END, end)):
        if value < 0:
            raise Mistake(
                f"{what} is {value}: numbers of calls are not negative",
                *where.get(what, (NUMBERS, 0)),
            )
    warnings = [
        f"{os.path.basename(source or '')}:{line}: {name} is defined again, with another value"
        for name, source, line in pre.redefined
    ]
    if not any(slots):
        warnings.append(
            "nothing stands in the table: does a guard (#ifndef, #pragma once) hide "
            "the text when it is included a second time?"
        )
    return {"base": base, "end": end, "numbers": found, "slots": slots, "warnings": warnings}


ENTRIES = f"""#include "{NUMBERS}"
#undef {ENTRY}
#define {ENTRY}(name) [{ENTRY}_IDX_##name] = name,
"""
TABLE = f"""int kvm_hcall_table[] = {{ [0] = {NOBODY},
#include "%s"
}};
"""


def table(
    files: dict[str, str], handlers: list[str], size: int, evaluator: Evaluator
) -> list[str | None]:
    """What stands in each slot: the initialiser of kvm_hcall_table, as C would take it."""
    listed = LIST if LIST in files else NUMBERS
    pre = preprocessor(files)
    expanded(pre, ENTRIES, OURS)
    text = expanded(pre, TABLE % listed, OURS)
    try:
        tree = parsed(text, listed, files)
    except Mistake as mistake:
        for file, line, became in places(text):
            if file not in files or not became.strip():
                continue
            if re.search(r"\b(enum|struct|typedef)\b|;", source_line(files, file, line)):
                raise Mistake(
                    "the table includes this text in the middle of its initialiser, "
                    f"where only {ENTRY}(name) lines can stand; put the list of names "
                    f"into a file of its own, {LIST}, or hide the rest behind "
                    f"#ifndef {ENTRY}",
                    file,
                    line,
                ) from None
            if not mistake.line and re.search(r"=\s*(,|$)|\[\s*[=\]]", became):
                raise Mistake(
                    "this is no entry of the table" + became_of(text, file, line), file, line
                ) from None
        raise
    slots: list[str | None] = [None] * size
    following = 0
    for item in tree.ext[-1].init.exprs:
        entry = item
        if type(item).__name__ == "NamedInitializer":
            entry = item.expr
            following = index_of(item, evaluator)
        name, place = getattr(entry, "name", None), evaluator.at(entry)
        if type(entry).__name__ != "ID":
            raise Mistake(
                "a slot of the table can hold the name of a function and nothing else", *place
            )
        if name not in handlers and name != NOBODY:
            near = difflib.get_close_matches(name, handlers, 1, 0.6)
            raise Mistake(
                f"there is no function {name}"
                + (f"; did you mean {near[0]}?" if near else ": the linker would not find it"),
                *place,
            )
        if not 0 <= following < size:
            what = (
                "negative"
                if following < 0
                else (
                    f"behind the end: the table has {size} slots, 0 to {size - 1}, because {SIZE} is "
                    f"{size}"
                )
            )
            raise Mistake(f"{name} wants slot {following} of the table, which is {what}", *place)
        slots[following] = name if name != NOBODY else None
        following += 1
    return slots


def index_of(item, evaluator: Evaluator) -> int:
    designator = item.name[0]
    if type(designator).__name__ == "ArrayDesignator":  # pycparser 3 wraps what 2 gave bare
        designator = designator.expr
    if len(item.name) != 1 or type(designator).__name__ == "FieldDesignator":
        raise Mistake("this is no slot of the table", *evaluator.at(item.expr))
    try:
        return evaluator.value(designator)
    except Unknown as unknown:
        entry = getattr(item.expr, "name", "this function")
        raise Mistake(
            f"the table has no place for {entry}: {unknown.name} has no value",
            *evaluator.at(item.expr),
        ) from None


def places(text: str):
    """(file, line, what stands there) of a preprocessed text's lines, by its #line marks."""
    file, line = "", 0
    for content in text.split("\n"):
        mark = re.match(r'\s*#line (\d+)(?: "(.*)")?', content)
        if mark:
            file = os.path.basename(mark[2]) if mark[2] else file
            line = int(mark[1]) - 1
        else:
            line += 1
            yield file, line, content


def source_line(files: dict[str, str], file: str, line: int) -> str:
    lines = files.get(os.path.basename(file or ""), "").split("\n")
    return lines[line - 1] if 0 < line <= len(lines) else ""


def answer(job: dict) -> dict:
    """The answer to a job: {"files", "handlers"} or {"files", "text"} (only preprocessed)."""
    files = job["files"]
    try:
        if "text" in job:
            pre = preprocessor(files)
            expanded(pre, f'#include "{NUMBERS}"\n', OURS)
            kept = expanded(pre, job["text"], "text.S").split("\n")
            return {
                "text": "\n".join(
                    line for line in kept if line.strip() and not line.startswith("#line")
                )
            }
        return compiled(files, job["handlers"])
    except Mistake as mistake:
        line = mistake.line if mistake.file in files else 0
        return {
            "message": mistake.message,
            "file": mistake.file if line else "",
            "line": line,
            "text": source_line(files, mistake.file, line).strip(),
        }
    except RecursionError:
        return {"message": "this is nested too deeply", "file": "", "line": 0, "text": ""}
    except MemoryError:
        return {
            "message": "this needs more memory than a header may take",
            "file": "",
            "line": 0,
            "text": "",
        }
    except Exception as error:  # a text that one of the libraries cannot bear
        return {
            "message": f"the C compiler gives up ({type(error).__name__})",
            "file": "",
            "line": 0,
            "text": "",
        }


def main() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # Windows: the parent's clock has to do
    job = json.load(sys.stdin)
    reply = os.fdopen(os.dup(1), "w", encoding="ascii")
    with open(os.devnull, "w") as nowhere:  # what a library prints is not for anyone
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    json.dump(answer(job), reply)
    reply.close()


if __name__ == "__main__":
    main()
