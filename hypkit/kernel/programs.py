"""The programs of a kernel image: guest sources and options to assembled units."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.asm import AsmError, Program, Unit, link
from hypkit.asm.canonical import number
from hypkit.kernel.addresses import image_pa, linked_va
from hypkit.kernel.memory_map import CONSTANTS, HEAP, SECTION, SECTIONS, VM_IPA, Section
from hypkit.kernel.patching import move_word
from hypkit.kernel.variants import OPTIONS, Numbering, Variant, variant

GUEST = Path(__file__).with_name("guest")


def _text(name: str) -> str:
    return (GUEST / name).read_text(encoding="utf-8")


# Which of the linked programs is the dispatcher, and which the VM; all others are the kernel's.
DISPATCHER, VM = 8, -1


@lru_cache(maxsize=64)
def build(
    key: str, dispatcher: str | None = None, numbering: Numbering | None = None
) -> tuple[Program, ...]:
    """Return the linked programs of a variant at the default address, before any layout is applied.

    dispatcher: a learner's text instead of the variant's own; numbering: what a learner's header
    says. Raises AsmError for a mistake in the one, and for a number of the other that an
    instruction cannot hold; ValueError for a numbering of a variant without numbers.
    """
    chosen = _numbered(key, numbering)
    units = _units(chosen, dispatcher)
    assert units[DISPATCHER].name.startswith("dispatch") and units[VM].name == "vm.S"
    programs = link(
        units,
        symbols=_heap_symbols(),
        constants=_constants(chosen),
        prelude=_text("macros.inc"),
        known=_number_words(chosen),
    )
    _check_fit(programs)
    return tuple(programs)


def _heap_symbols() -> dict[str, int]:
    heap = {name: linked_va(pa) for name, (pa, _, _) in HEAP.items()}
    return heap | {"hyp_stack_top": heap["hyp_stack"] + PAGE_SIZE}


def _numbered(key: str, numbering: Numbering | None) -> Variant:
    """Return the variant with a learner's numbering, if there is one."""
    chosen = variant(key)
    if numbering is None:
        return chosen
    if chosen.base is None:
        raise ValueError(f"the {key} machine has no numbers, so it takes no header")
    return replace(chosen, numbering=numbering)


def _number_words(chosen: Variant) -> dict[str, int]:
    """Return the instructions that a learner's numbers stand in, so that no assembler has to be
    there."""
    if chosen.numbering is None:
        return {}
    words = {}
    # What does not fit is left to the assembler, which says so.
    for value in {*chosen.limits, len(chosen.slots)}:
        if 0 <= value <= 0xFFF or 0 <= value <= 0xFFF000 and not value & 0xFFF:
            immediate = value << 10 if value <= 0xFFF else 1 << 22 | value >> 12 << 10
            words[f"cmp x0, {number(value)}"] = 0xF100001F | immediate
            words[f"cmp x9, {number(value)}"] = 0xF100013F | immediate
            words[f"sub x0, x0, {number(value)}"] = 0xD1000000 | immediate
    for value in chosen.numbers.values():
        for shift, part in _halves(value):
            name, after = ("movk", f", lsl #{shift}") if shift else ("movz", "")
            words[f"{name} x0, {number(part)}{after}"] = move_word(0, part, shift)
    return words


def _halves(value: int) -> list[tuple[int, int]]:
    """Return the lowest 16 bits of a number, and what else of it is not zero: (shift, 16 bits)."""
    return [
        (shift, value >> shift & 0xFFFF)
        for shift in (0, 16, 32, 48)
        if not shift or value >> shift & 0xFFFF
    ]


def _constants(chosen: Variant) -> dict[str, int]:
    base, end = chosen.limits
    return CONSTANTS | {
        "HOST_EL": chosen.host_el,
        "PSR_HOST_DAIF": CONSTANTS[f"PSR_EL{chosen.host_el}H_DAIF"],
        # Of the table: with empty slots at its start, the first hypercall's number is higher.
        "KVM_HOST_HCALL_BASE": base,
        "KVM_HOST_HCALL_END": end,
        "KVM_HOST_HCALL_NR": len(chosen.slots),
    }


def _units(chosen: Variant, dispatcher: str | None) -> list[Unit]:
    def unit(name: str, section: str | None = None, text: str | None = None) -> Unit:
        base = None if section is None else linked_va(SECTION[section].pa)
        return Unit(name, _text(name) if text is None else text, base, align=4)

    if chosen.numbering is None:
        host_calls = _text(chosen.host + ".inc") + "".join(
            f"        host_call {name}, {chosen.numbers.get(name, 0):#x}\n" for name in chosen.calls
        )
    else:
        host_calls = "".join(_host_call(name, number) for name, number in chosen.numbers.items())
    vhe = "_vhe" if chosen.host_el == 2 else ""
    own = dispatcher is None
    if dispatcher is None:
        text = _chosen_lines(_text(chosen.dispatcher + ".S"), chosen.options)
    else:
        text = dispatcher
    table = chosen.table.text(chosen.slots) if chosen.table else ""
    spare = (
        []
        if chosen.numbering is None
        else [unit("spare.S", text=_text("spare.S") + _not_implemented(text))]
    )
    return [
        unit(f"head{vhe}.S", ".text"),
        unit("hyp_stub.S"),
        unit(f"host_start{vhe}.S"),
        unit("host.S"),
        unit("host calls", text=host_calls),
        unit(chosen.boot + ".S"),
        unit("hyp_init.S", ".hyp.idmap.text"),
        unit("hyp_entry.S", ".hyp.text"),
        # The entry path falls through into the dispatcher: no gap between the two.
        unit(
            chosen.dispatcher + ".S" if own else "dispatcher",
            text=f"{text}\n{table if chosen.table and chosen.table.in_text else ''}",
        ),
        unit("switch.S"),
        unit("handlers.S"),
        *spare,
        unit("rodata.S", ".rodata"),
        *([unit("table", text=table)] if chosen.table and not chosen.table.in_text else []),
        unit("data.S", ".data"),
        Unit("vm.S", _text("vm.S"), VM_IPA),
    ]


def _host_call(name: str, number: int) -> str:
    """Return what a C compiler makes of a host call: it takes as many moves as the number needs."""
    moves = (
        f"movk    x0, #{part}, lsl #{shift}" if shift else f"movz    x0, #{part}"
        for shift, part in _halves(number)
    )
    return (
        f"host_call_{name}:\n"
        + "".join(f"        {move}\n" for move in moves)
        + ("        b       __kvm_call_hyp\n")
    )


def _not_implemented(dispatcher: str) -> str:
    """kvm_hc_ni, where the dispatcher's own text does not have it."""
    if re.search(r"^\s*kvm_hc_ni\s*:", dispatcher, re.MULTILINE):
        return ""
    return "\nkvm_hc_ni:\n        mov     x0, #-ENOSYS\n        ret\n"


def _chosen_lines(text: str, options: frozenset[str]) -> str:
    """Return the lines of a template that its `.if option` ... `.else` ... `.endif` leave standing.

    Every other `.if` is the assembler's, and stays with its `.else` and `.endif`.
    """
    lines: list[str] = []
    standing, ours = [True], [False]
    for line in text.splitlines():
        word, *more = line.split()[:2] or [""]
        if word.startswith(".if"):
            ours.append(word == ".if" and more[:1] != [] and more[0] in OPTIONS)
            standing.append(more[0] in options if ours[-1] else True)
            decides = ours[-1]
        else:
            decides = ours[-1] and word in (".else", ".elseif", ".endif")
            if word == ".elseif" and decides:
                raise ValueError(f"an option has .else, not .elseif: {line.strip()}")
            if word == ".else" and decides:
                standing[-1] = not standing[-1]
        if not decides and all(standing):
            lines.append(line)
        if word == ".endif" and len(ours) > 1:
            ours.pop()
            standing.pop()
    return "\n".join(lines) + "\n"


def _check_fit(programs: list[Program]) -> None:
    section = SECTIONS[0]
    ends: dict[Section, int] = {}
    for program in programs[:VM]:
        pa = image_pa(program.base)
        section = next((s for s in SECTIONS if s.pa == pa), section)
        ends[section] = pa + len(program.code)
    for section, end in ends.items():
        over = end - section.pa - section.size
        if over > 0:
            # Of the programs in .hyp.text a learner writes the dispatcher, and no other.
            what = f"{section.name} is" if section.name != ".hyp.text" else "this dispatcher is"
            raise AsmError(
                f"{what} {over:,} bytes too long: {section.name} has room for "
                f"{section.size:,} bytes in all",
                name=programs[DISPATCHER].name,
            )
