"""What the handout takes from data/ and from runs of the machine: tables and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hypkit import Machine, facts
from hypkit.a64.syndrome import (
    EC_NAMES,
    ESR_EC_SHIFT,
    FAULT_KINDS,
    VECTOR_LOWER_A32,
    VECTOR_LOWER_A64,
    VECTOR_SAME_SP0,
    VECTOR_SAME_SPX,
    VECTOR_SLOT,
)
from hypkit.a64.sysregs import fields
from hypkit.comparison.ladder import COLUMNS, CORES, REVIEW, Rung
from hypkit.comparison.show import ladder
from hypkit.kernel.variants import HYPERCALLS, OPTIONS, SMCCC_ORDER, VARIANTS
from hypkit.lessons.pictures.lesson02 import show_names
from hypkit.lessons.reference import reference
from hypkit.pictures.calls import show_road
from notebooks.handout.lessons import HandoutError, image, marked

TOP = Path(__file__).resolve().parents[2]
SEED = 2020
CALL = "__kvm_timer_set_cntvoff"
SURE = {
    "read": "we read the source",
    "quoted": "a source that we read quotes it",
    "derived": "our arithmetic on such sources",
}


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], widths: str = "", numbers: bool = False
) -> str:
    """A table in Markdown. widths: of the columns in proportion, "1 2 5", else as they need.

    numbers: all columns but the first hold numbers, and end on the right.
    """
    rule = ["---", *["--:" if numbers else "---"] * (len(head) - 1)]
    lines = [head, rule, *rows]
    text = "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)
    return f'::: {{widths="{widths}"}}\n{text}\n:::' if widths else text


def _cell(content: object) -> str:
    text = "–" if content is None else " ".join(str(content).split())
    return text.replace("|", "\\|") or " "


def plainly(text: str) -> str:
    """Words of a data file in a table: no Markdown in them is meant, and what is code is code."""
    return re.sub(r"`[^`]*`|([\\*_<])", lambda of: f"\\{of[0]}" if of[1] else of[0], marked(text))


def code(text: str) -> str:
    return f"`{text}`"


# --- The story ------------------------------------------------------------------------------------


def road(pictures: dict[str, bytes]) -> str:
    calls = []
    for key in ("fnptr", "numbered"):
        with Machine(key, seed=SEED) as machine:
            calls.append(machine.call(CALL, 0x1234))
    drawn = show_road(calls)
    pictures["road.svg"] = drawn.to_svg().encode()
    return image("road.svg", drawn.alt)


def history() -> str:
    rows = []
    for event in facts.history():
        shown = f" Machine: `{event.variant}`." if event.variant else ""
        how = f"{plainly(event.source.title)} ({event.confidence})"
        title = plainly(event.title) + "." * (event.title[-1] not in ".?!")
        rows.append((event.when, f"**{title}** {plainly(event.what.strip())}{shown}", how))
    sure = "; ".join(
        f"*{word}*: {says}"
        for word, says in SURE.items()
        if word in {event.confidence for event in facts.history()}
    )
    return (
        f"How sure we are: {sure}. The whole source of each line is in "
        "`data/history.toml`.\n\n" + table(("when", "what", "how we know"), rows, "2 9 4")
    )


def suggestions() -> str:
    rows = [
        (
            plainly(s.what),
            plainly(s.v2),
            plainly(s.later or "–"),
            ", ".join(map(code, s.variants)) or "–",
        )
        for s in facts.suggestions()
    ]
    return table(
        ("remark on version 1", "version 2 of the patch", "Linux, later", "machines"),
        rows,
        "10 8 9 5",
    )


# --- The four addresses ---------------------------------------------------------------------------


def names(pictures: dict[str, bytes]) -> str:
    with Machine("fnptr", seed=SEED) as machine:
        drawn = show_names(machine, CALL)
    pictures["names.svg"] = drawn.to_svg().encode()
    return image("names.svg", drawn.alt)


_SPACES = {
    "image": ("the linker put it there; KASLR moved it", "the kernel's code, and pointers in it"),
    "linear": ("all memory is mapped once more, in one piece", "what the kernel allocates"),
    "physical": ("where it is on the memory chips", "page tables, and EL2 while its MMU is off"),
    "hyp": ("a linear address with EL2's tag on top", "everything at EL2"),
}


def addresses(*, brief: bool = False) -> str:
    """The four addresses of one byte; brief: without where each is from and who uses it."""
    with Machine("fnptr", seed=SEED) as machine:
        rows = []
        for space, (why, who) in _SPACES.items():
            at = machine.address(CALL, space)
            maps = [f"EL{el}" for el in (1, 2) if machine.translate(at, el).pa is not None]
            rows.append(
                (f"**{space}**", code(f"{at:#018x}"), " and ".join(maps) or "neither", why, who)
            )
    heads = ("address", "its value", "on the map of", "where from", "who uses it")
    if brief:
        return table(heads[:3], (row[:3] for row in rows), "4 9 5")
    return table(heads, rows, "4 9 4 10 10")


def conversions() -> str:
    with Machine("fnptr", seed=SEED) as machine:
        layout = machine.layout
    low = layout.tag_lsb
    rows = [
        ("image to physical", "minus `kimage_voffset`", code(f"{layout.kimage_voffset:#018x}")),
        ("physical to linear", "minus `physvirt_offset`", code(f"{layout.physvirt_offset:#018x}")),
        (
            "image to linear: `lm_alias`",
            "minus the lm offset, the sum of the two",
            code(f"{layout.lm_offset:#018x}"),
        ),
        (
            "linear to hyp: `kern_hyp_va`",
            f"keep bits {low - 1} to 0, put the tag above",
            f"tag `{layout.tag_val:#x}`, from bit {low}",
        ),
        ("any to hyp, at EL2", "`adr`, `adr_l`: relative to the PC", "nothing to know"),
    ]
    return table(
        ("from, to", "arithmetic on 64 bits", f"in the machine with seed {SEED}"), rows, "5 6 5"
    )


# --- The ladder -----------------------------------------------------------------------------------

_SHORT = {core: core.rpartition("-")[2].upper() for core in CORES}


def ladders(pictures: dict[str, bytes]) -> dict[str, str]:
    """Introduction, picture and tables of the ladder, measured now."""
    whole = ladder()
    pictures["ladder.svg"] = whole.picture.to_svg().encode()
    keys = [rung.variant.key for rung in whole.ladder.rungs]
    wanted = [key for key in REVIEW if key not in keys]
    extra = {rung.variant.key: rung for rung in ladder(wanted).ladder.rungs} if wanted else {}
    measured = {rung.variant.key: rung for rung in whole.ladder.rungs} | extra
    said = table(
        ("machine", "what it is"),
        ((code(key), f"{plainly(VARIANTS[key].about)} *{VARIANTS[key].source}*") for key in keys),
        "2 13",
    )
    return {
        "ladder-intro": f"One call, {code(CALL)}, on each machine of the story:\n\n" + said,
        "ladder": image("ladder.svg", whole.picture.alt, "88%"),
        "ladder-table": _counts([(code(key), measured[key]) for key in keys]) + "\n\n" + _legend(),
        "review-table": _counts(list(_one_by_one(measured)))
        + "\n\n"
        + table(
            ("remark", "what it changes"),
            ((code(name), plainly(what)) for name, what in OPTIONS.items()),
            "2 11",
        ),
    }


def _one_by_one(measured: dict[str, Rung]) -> Iterable[tuple[str, Rung]]:
    before: frozenset[str] = frozenset()
    for key in REVIEW:
        rung = measured[key]
        new = " + ".join(name for name in OPTIONS if name in rung.variant.options - before)
        before = rung.variant.options
        yield f"+ {new}" if new else "as posted", rung


def _counts(rungs: Sequence[tuple[str, Rung]]) -> str:
    head = ["machine", *(_SHORT.get(name, name) for name, _, _ in COLUMNS)]
    rows = ([name, *(read(rung) for _, _, read in COLUMNS)] for name, rung in rungs)
    widths = " ".join(["18", *(str(3 + max(map(len, name.split()))) for name in head[1:])])
    return f":::: {{.small}}\n{table(head, rows, widths, numbers=True)}\n::::"


def _legend() -> str:
    seen: dict[str, list[str]] = {}
    for name, about, _ in COLUMNS:
        seen.setdefault(about, []).append(_SHORT.get(name, name))
    told = "; ".join(f"**{', '.join(short)}**: {about}" for about, short in seen.items())
    return f"::: {{.together}}\n{told}.\n:::"


def published() -> str:
    figures = [f for f in facts.published() if f.measures in ("trap", "host-hvc")]

    def told(what: str) -> str:
        for other in figures:
            what = what.replace(other.key, other.text)
        return plainly(what)

    return table(
        ("machine", "figure", "what was measured", "source"),
        (
            (
                plainly(f.machine),
                f.text.replace("-", "–"),
                told(f.what),
                f"{plainly(f.source.title)} ({f.confidence})",
            )
            for f in figures
        ),
        "5 3 8 8",
    )


# --- The reference --------------------------------------------------------------------------------


def calls() -> str:
    rows = []
    for call in facts.hypercalls():
        variant = VARIANTS["jump_table"]
        rows.append(
            (
                call.index,
                code(f"{VARIANTS['numbered'].base + call.index:#x}"),
                code(f"{variant.base + call.index:#x}"),
                code(f"{call.smccc_id:#x}"),
                f"`{call.prototype}` {plainly(call.what)}",
            )
        )
    return (
        table(
            ("n", "version 1", "version 2", "Linux 5.10", "call, as Linux 5.7 declares it"),
            rows,
            "2 6 6 8 34",
        )
        + "\n\nIn the machines `reviewed`, `patched` and `relocated` the number is n + 3; in "
        "`fnptr` it is the function's linear address."
    )


def stubs(widths: str = "1 6 7 11") -> str:
    """The three stub calls."""
    return table(
        ("x0", "name", "arguments", "what it does"),
        (
            (s.number, code(s.name), "; ".join(map(plainly, s.args)) or "none", plainly(s.what))
            for s in facts.stubs()
        ),
        widths,
    )


_MAPPED = ("fnptr", "numbered", "reviewed", "jump_table", "smccc")


def behaviour() -> str:
    """What each machine does with x0, by running it: in each range its ends and its middle."""
    count, low = len(HYPERCALLS), VARIANTS["reviewed"].base
    first, second = VARIANTS["numbered"].base, VARIANTS["jump_table"].base
    smccc = VARIANTS["smccc"].base
    ends = [
        (0, 0),
        (1, 1),
        (2, 2),
        (low, low + count - 1),
        (low + count, first - 1),
        (first, first + count - 1),
        (first + count, second - 1),
        (second, second + count - 1),
        (second + count, smccc - 1),
        (smccc, smccc + len(SMCCC_ORDER) - 1),
        (smccc + len(SMCCC_ORDER), (1 << 63) - 1),
        (1 << 63, (1 << 64) - 1),
    ]
    rows = [[code(f"{a:#x}") + (f" to {code(f'{b:#x}')}" if b > a else "")] for a, b in ends]
    named = {f"a function's {space} address": space for space in ("linear", "hyp", "image")}
    rows += [[name] for name in named]
    for key in _MAPPED:
        with Machine(key, seed=SEED) as machine:
            for row, (a, b) in zip(rows, ends, strict=False):
                row.append(_agreed(machine, key, sorted({a, (a + b) // 2, b})))
            for row, space in zip(rows[len(ends) :], named.values(), strict=True):
                row.append(_agreed(machine, key, [machine.address("__kvm_get_mdcr_el2", space)]))
    return (
        table(("x0", *map(code, _MAPPED)), rows, "10 6 6 6 6 6")
        + "\n\nRun on the machine when this handout was made. In each range its first, its "
        "middle and its last value were sent. A named address lies in one of the ranges above "
        "it and stands for itself. `smccc` answers in two registers: -1 is "
        "the status for a call that does not exist."
    )


def _agreed(machine: Machine, key: str, values: list[int]) -> str:
    found = {_what(machine, value) for value in values}
    if found == {"panic", "panic: odd address"}:
        found = {"panic"}
    if len(found) > 1:
        raise HandoutError(
            f"{key}: x0 from {values[0]:#x} to {values[-1]:#x} does several things: "
            + ", ".join(sorted(found))
        )
    return found.pop()


def _what(machine: Machine, x0: int) -> str:
    """What the machine does with this x0, in a few words; leaves it booted."""
    # A restart goes where x1 says.
    call = machine.hvc(x0, machine.image.entry) if x0 == 1 else machine.hvc(x0)
    phases = call.cost.phases if call.outcome in ("returned", "panicked") else ()
    if call.outcome == "restarted":
        said = "restart"
    elif "handler" in phases:
        said = "**handler**"
    elif call.outcome != "returned":
        said = "panic" if call.outcome == "panicked" else call.outcome
    elif call.x0 == facts.abi_numbers()["stub_error"]:
        said = f"stub: `{call.x0:#x}`"
    elif call.x0 in (
        facts.abi_numbers()["enosys"] % 2**64,
        facts.abi_numbers()["smccc_not_supported"] % 2**64,
    ):
        said = f"refused: {call.x0 - 2**64}"
    else:
        said = f"stub: {call.x0}" if "stub" in phases else f"returns {call.x0:#x}"
    machine.reboot()
    return said


def vectors() -> str:
    groups = (
        (VECTOR_SAME_SP0, "the same level, with the stack pointer of EL0"),
        (VECTOR_SAME_SPX, "the same level: a bug, or an attack"),
        (VECTOR_LOWER_A64, "a lower level that runs 64-bit code: **a hypercall**, a VM"),
        (VECTOR_LOWER_A32, "a lower level that runs 32-bit code"),
    )
    rows = [
        (where, *(code(f"+ {start + n * VECTOR_SLOT:#05x}") for n in range(4)))
        for start, where in groups
    ]
    return table(
        ("from `VBAR_EL2`; the exception comes from", "synchronous", "IRQ", "FIQ", "SError"),
        rows,
        "12 4 3 3 3",
    )


def syndromes() -> str:
    classes = [(code(f"{ec:#04x}"), plainly(name)) for ec, name in sorted(EC_NAMES.items())]
    half = (len(classes) + 1) // 2
    rows = [
        (*left, *right)
        for left, right in zip(classes[:half], [*classes[half:], (" ", " ")][:half], strict=True)
    ]
    faults = ", ".join(f"`{kind << 2:#04x}` + level: {name}" for kind, name in FAULT_KINDS.items())
    return (
        f"Bits 31 to {ESR_EC_SHIFT} are the class (EC), bit 25 says that the instruction had "
        "32 bits, bits 24 to 0 are the syndrome (ISS).\n\n"
        + table(("EC", "what happened", "EC", "what happened"), rows, "2 11 2 11")
        + f"\n\nOf an abort, bits 5 to 0 say which fault: {faults}. Bit 6 of a data abort is 1 "
        "for a write. Of `HVC`, `SVC` and `BRK`, bits 15 to 0 are the number in the "
        "instruction."
    )


# --- The card -------------------------------------------------------------------------------------

_KEYS = TOP / "hypkit" / "timetravel" / "front" / "keys.js"


def stepper_keys() -> list[tuple[str, str]]:
    """The stepper's keys and what each does, as its own list has them."""
    text = _KEYS.read_text(encoding="utf-8")
    lists = "".join(
        re.findall(r"^const (?:MOVING|FINDING|LOOKING) = (\[.*?\]);$", text, re.M | re.S)
    )
    found = re.findall(r'\["([^"]+)", "([^"]+)"\]', lists)
    if len(found) < 10:
        raise HandoutError("keys.js has no longer the lists of keys that the card takes")
    return found


def card() -> str:
    """Two sides: the kit's calls, keys, ESR_EL2, the four addresses, the ladder, the words."""
    parts = reference("machine")
    asked = [(f"{own}{name[1:-1]}" if own != "Machine" else f"m{name[1:-1]}", said)
             for own, name, said in parts.rows]  # fmt: skip
    with Machine("numbered", seed=SEED) as machine:
        hvc = next(step for step in machine.call(CALL).trace if step.exception)
    esr = fields("ESR_EL2", hvc.exception.esr)
    rungs = ladder().ladder.rungs
    return "\n\n".join(
        [
            "# What a machine can be asked",
            table(("call", "what it gives"), ((code(a), plainly(b)) for a, b in asked), "6 9"),
            "# The stepper's keys",
            table(("key", "what it does"), ((f"**{plainly(a)}**", plainly(b))
                                            for a, b in stepper_keys()), "3 9"),
            "# ESR_EL2",
            "```{=typst}\n#esr\n```",
            table(("field", "of an HVC", "meaning"),
                  ((name, code(f"{value:#x}"), plainly(str(says))) for name, value, says in esr), "1 2 5"),
            syndromes(),
            "# The four addresses",
            addresses(brief=True),
            conversions(),
            "# The fourteen calls",
            table(("n", "version 1", "call"),
                  ((one.index, code(f"{VARIANTS['numbered'].base + one.index:#x}"), code(one.prototype))
                   for one in facts.hypercalls()), "1 3 14"),
            "# Stub calls",
            stubs("1 8 6 9"),
            "# The ladder",
            table(("machine", "host", "hyp", "dispatch", "loads in it"),
                  ((code(r.variant.key), r.host.instructions, r.hyp.instructions,
                    r.dispatch.instructions, r.dispatch.loads) for r in rungs), "4 2 2 2 2", numbers=True),
            "# The words",
            table(("word", "what it means", "lesson"),
                  ((plainly(one.term), plainly(one.meaning), one.lesson) for one in facts.glossary()),
                  "4 12 2"),
        ]
    )  # fmt: skip
