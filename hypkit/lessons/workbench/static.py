"""What a workbench shows where no kernel is: the text, its verdict, its numbers, its pictures."""

from __future__ import annotations

import html

from hypkit.lessons.workbench.benches import ASM
from hypkit.lessons.workbench.measure import CORES, WORDS
from hypkit.lessons.workbench.model import Workbench
from hypkit.pictures import html as tables
from hypkit.pictures.picture import Picture
from hypkit.pictures.source import show_source
from hypkit.timetravel.static import in_code

HOW = "To write in this workbench, run its cell."


def static(bench: Workbench) -> str:
    """Return the workbench as HTML without a script: it lives through what GitHub takes out."""
    measured = bench.measured
    parts = [f"<p><strong>Workbench {bench.number}: {html.escape(bench.title)}.</strong></p>"]
    for name, text in bench.files.items():
        wrong = measured.mistake if measured.mistake and measured.mistake.file == name else None
        leading = len(text) - len(text.lstrip("\n"))
        listing = show_source(
            text,
            "asm" if bench.bench.language == ASM else "c",
            title=name if len(bench.files) > 1 else "",
            start=1 + leading,
            marked=(wrong.line,) if wrong and wrong.line else (),
        )
        parts.append(listing._repr_html_())
    parts.append(verdict_text(bench))
    if measured.counts:
        parts.append(_counts(bench))
    if bench.verdict is not None and (shown := pictures(bench)):
        inside = "".join(f"<p>{picture._repr_html_()}</p>" for _, picture in shown)
        names = ", ".join(name for name, _ in shown)
        parts.append(f"<details><summary>In pictures: {names}</summary>{inside}</details>")
    parts.append(f"<p><em>{HOW}</em></p>")
    return "\n".join(parts)


def plain(bench: Workbench) -> str:
    """Return the workbench as text: what it says, and what is in the editor."""
    texts = [
        f"{f'// {name}' if len(bench.files) > 1 else ''}\n{text.rstrip()}"
        for name, text in bench.files.items()
    ]
    return "\n".join([repr(bench), *texts])


def verdict_text(bench: Workbench) -> str:
    """Return the verdict, the mistake or that nothing was run yet, as a paragraph."""
    if bench.verdict is not None:
        mark = "\u2714" if bench.verdict.passed else "\u2718"
        return (
            f"<p>{mark} <strong>{bench.number}: {bench.verdict.kind}.</strong> "
            f"{in_code(bench.verdict.sentence)}</p>"
        )
    if mistake := bench.measured.mistake:
        return f"<p>\u2718 <strong>Not run.</strong> {in_code(mistake.sentence)}</p>"
    return f"<p>\u25cb <strong>Not run yet.</strong> {html.escape(bench.bench.doing)}</p>"


def working(bench: Workbench) -> str:
    """Return which calls the numbers are about, in a sentence."""
    measured = bench.measured
    if not measured.asked:
        return ""
    if measured.working == measured.asked:
        return f"The worst of all calls, {bench.bench.where}."
    if not measured.working:
        return "No call reaches its function and comes back yet."
    return (
        f"The worst of the {measured.working} calls that work, of {measured.asked}, "
        f"{bench.bench.where}."
    )


def _counts(bench: Workbench) -> str:
    rows = [
        (WORDS[name], str(value), "" if most is None else f"at most {most}")
        for name, value, most in bench.rows()
    ]
    return tables.table(("What it costs", "yours", "the exercise"), rows, caption=working(bench))


def pictures(bench: Workbench) -> list[tuple[str, Picture]]:
    """Return the pictures that there is something for, each with the name of its tab."""
    measured = bench.measured
    found = []
    if measured.score is not None:
        found.append(("Histogram", bench.histogram()))
    if any(part.own for part in measured.parts):
        found += [(core_name(core), bench.pipeline(core)) for core in CORES]
    return found


def core_name(core: str) -> str:
    """Return the name of a core as a tab has room for it."""
    return WORDS[core].partition(", ")[2]
