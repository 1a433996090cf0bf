"""The stepper where no script may run: the road as text, and every step in a folded table."""

from __future__ import annotations

import html
import re
from itertools import groupby

from hypkit.a64.registers import REGISTERS
from hypkit.timetravel.payload import HOST, HYP, PHASE_NAMES, VM, Payload

TABLE_ROWS = 400  # what fits a page that somebody reads
COLUMNS = 96  # of the road: what fits the page of a notebook
_HOW = (
    "To go through it step by step, run this cell, or trust the notebook (in JupyterLab: File, "
    "Trust Notebook)."
)
# What is set in monospaced type: numbers, registers, labels, flags.
_CODE = re.compile(
    r"(?<![\w.+-])(?:0x[0-9a-f]+|[xw](?:[12]?\d|30|zr)|sp|[A-Z]\w*_EL[0-3]|NZCV"
    r"|[a-z_.]*_[a-z0-9_]+(?:\+0x[0-9a-f]+)?|hvc|eret)(?!\w)"
)


def static(payloads: tuple[Payload, ...], rows: list[tuple[int | None, int | None]] | None) -> str:
    """Return the page of one trace, or of two that are aligned by *rows*, as HTML without script.

    It lives through what GitHub and an untrusted notebook take out: scripts, styles, pictures.
    """
    if not payloads:
        return ""
    heads = "".join(
        f"<p><strong><code>{html.escape(payload.title)}</code></strong> "
        f"{in_code(payload.outcome)}</p>\n<pre>{html.escape(road(payload))}</pre>\n"
        for payload in payloads
    )
    table = two_columns(payloads, rows) if rows is not None else steps_table(payloads[0])
    return f"{heads}{table}<p><em>{_HOW}</em></p>"


def in_code(text: str) -> str:
    """Return text as HTML, with its numbers, registers and labels in <code>."""
    return _CODE.sub(lambda found: f"<code>{found[0]}</code>", html.escape(text, quote=False))


def road(payload: Payload) -> str:
    """Return the way of a trace through the exception levels, as lines of text.

    A lane for each level, the highest at the top; below them the phases, and the step at which
    each begins.
    """
    count = len(payload)
    if not count:
        return "(no step)"
    wide = min(count, COLUMNS)
    first = [column * count // wide for column in range(wide)]
    lanes = [(HYP, "EL2 hyp"), (VM, "EL1 VM"), (HOST, f"EL{payload.image.variant.host_el} host")]
    levels = [int(payload.levels[step]) for step in first]
    lines = []
    for level, name in lanes:
        if level in levels or level == HOST:
            lane = "".join("█" if here == level else "·" for here in levels)
            lines.append(f"{name:<9} {lane}")
    names, numbers = [" "] * wide, [" "] * wide
    free = 0
    at = 0
    for phase, group in groupby(payload.phases[step] for step in first):
        for row, text in ((names, PHASE_NAMES[phase]), (numbers, str(first[at]))):
            if at >= free and at + len(text) <= wide + 8:
                row[at : at + len(text)] = text
        free = max(free, at + len(PHASE_NAMES[phase]) + 1)
        at += len(list(group))
    lines += [f"{'':<9} {''.join(row)}".rstrip() for row in (names, numbers)]
    return "\n".join(lines)


def steps_table(payload: Payload) -> str:
    """Return every step on a row: level, place, instruction, changes, the sentence; folded."""
    trace = payload.trace
    rows = []
    for step in trace[:TABLE_ROWS] if len(trace) else ():
        mask = int(trace.masks[step.index + 1])
        news = "<br>".join(
            f"<code>{name} = {trace.register(name, step.index + 1):#x}</code>"
            for bit, name in enumerate(REGISTERS)
            if mask >> bit & 1 and name != "pstate"
        )
        cells = (
            _level(payload, step.index),
            f"<code>{html.escape(step.symbol or f'{step.pc:#x}')}</code>",
            f"<code>{html.escape(step.text)}</code>",
            news,
            in_code(payload.sentence(step.index)),
        )
        rows.append(_row(f'<th scope="row">{step.index}</th>', cells))
    heads = ("Step", "Level", "At", "Instruction", "Changes", "What it does")
    return _folded(f"All {len(trace)} steps as a table", heads, rows, len(trace) - TABLE_ROWS)


def two_columns(payloads: tuple[Payload, ...], aligned: list[tuple[int | None, int | None]]) -> str:
    """Return two traces as one table, aligned where both execute the same code; folded."""
    rows = []
    for pair in aligned[:TABLE_ROWS]:
        cells: list[str] = []
        for payload, at in zip(payloads, pair, strict=True):
            if at is None:
                cells += ["", "", ""]
            else:
                text = f"<code>{html.escape(payload.trace[at].text)}</code>"
                cells += [str(at), _level(payload, at), text]
        rows.append(_row("", cells))
    heads = ("Left step", "Level", "Left", "Right step", "Level", "Right")
    return _folded("Both, side by side", heads, rows, len(aligned) - TABLE_ROWS)


def _level(payload: Payload, step: int) -> str:
    return payload.level(step).replace(" ", "&nbsp;")


def _row(head: str, cells: list[str] | tuple[str, ...]) -> str:
    return f"<tr>{head}" + "".join(f'<td align="left">{cell}</td>' for cell in cells) + "</tr>"


def _folded(caption: str, heads: tuple[str, ...], rows: list[str], more: int) -> str:
    columns = "".join(f'<th scope="col" align="left">{head}</th>' for head in heads)
    note = f"<p>{more:,} more rows are not in this table.</p>" if more > 0 else ""
    return (
        f"<details><summary>{caption}</summary>"
        f"<table><caption>{caption}</caption><thead><tr>{columns}</tr></thead>\n<tbody>"
        + "\n".join(rows)
        + f"</tbody></table>{note}</details>\n"
    )
