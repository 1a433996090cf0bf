"""The programs of a kernel image: guest sources and options to assembled units."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.asm import AsmError, Program, Unit, link
from hypkit.kernel.addresses import KIMAGE_PA, KIMAGE_VADDR
from hypkit.kernel.memory_map import CONSTANTS, HEAP, SECTION, SECTIONS, VM_IPA
from hypkit.kernel.variants import OPTIONS, Numbering, Variant, variant

GUEST = Path(__file__).with_name("guest")


def _text(name: str) -> str:
    return (GUEST / name).read_text(encoding="utf-8")


# Which of the linked programs is the dispatcher.
DISPATCHER = 8


@lru_cache(maxsize=64)
def build(
    key: str, dispatcher: str | None = None, numbering: Numbering | None = None
) -> tuple[Program, ...]:
    """The linked programs of a variant at the default address, before any layout is applied.

    dispatcher: a learner's text instead of the variant's own; numbering: what a learner's header
    says. Raises AsmError for a mistake in the one, and for a number of the other that an
    instruction cannot hold; ValueError for a numbering of a variant without numbers.
    """
    chosen = _numbered(key, numbering)
    units = _units(chosen, dispatcher)
    assert units[DISPATCHER].name.startswith("dispatch")
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
    heap = {name: pa - KIMAGE_PA + KIMAGE_VADDR for name, (pa, _, _) in HEAP.items()}
    return heap | {"hyp_stack_top": heap["hyp_stack"] + PAGE_SIZE}


def _numbered(key: str, numbering: Numbering | None) -> Variant:
    """The variant with a learner's numbering, if there is one."""
    chosen = variant(key)
    if numbering is None:
        return chosen
    if chosen.base is None:
        raise ValueError(f"the {key} machine has no numbers, so it takes no header")
    return replace(chosen, numbering=numbering)


def _number_words(chosen: Variant) -> dict[str, int]:
    """The instructions that a learner's numbers stand in, so that no assembler has to be there."""
    if chosen.numbering is None:
        return {}
    words = {}
    # What does not fit is left to the assembler, which says so.
    for value in {*chosen.limits, len(chosen.slots)}:
        if 0 <= value <= 0xFFF or 0 <= value <= 0xFFF000 and not value & 0xFFF:
            field = value << 10 if value <= 0xFFF else 1 << 22 | value >> 12 << 10
            spelled = f"#{value:#x}" if value > 9 else f"#{value}"
            words[f"cmp x0, {spelled}"] = 0xF100001F | field
            words[f"cmp x9, {spelled}"] = 0xF100013F | field
            words[f"sub x0, x0, {spelled}"] = 0xD1000000 | field
    for value in chosen.numbers.values():
        for shift, part in _halves(value):
            spelled = f"#{part:#x}" if part > 9 else f"#{part}"
            name, after = ("movk", f", lsl #{shift}") if shift else ("movz", "")
            opcode = 0xF2800000 if shift else 0xD2800000
            words[f"{name} x0, {spelled}{after}"] = opcode | shift // 16 << 21 | part << 5
    return words


def _halves(value: int) -> list[tuple[int, int]]:
    """The lowest 16 bits of a number, and what else of it is not zero: (shift, 16 bits)."""
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
        base = None if section is None else SECTION[section].pa - KIMAGE_PA + KIMAGE_VADDR
        return Unit(name, _text(name) if text is None else text, base, align=4)

    if chosen.numbering is None:
        host_calls = _text(chosen.host + ".inc") + "".join(
            f"        host_call {name}, {chosen.numbers.get(name, 0)}\n" for name in chosen.calls
        )
    else:
        host_calls = "".join(_host_call(name, number) for name, number in chosen.numbers.items())
    vhe = "_vhe" if chosen.host_el == 2 else ""
    own = dispatcher is None
    text = _chosen_lines(_text(chosen.dispatcher + ".S"), chosen.options) if own else dispatcher
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
            chosen.dispatcher + ".S" if own else "dispatcher", text=f"{text}\n{_text_table(chosen)}"
        ),
        unit("switch.S"),
        unit("handlers.S"),
        *spare,
        unit("rodata.S", ".rodata"),
        *([unit("table", text=_data_table(chosen))] if chosen.table in ("image", "hyp") else []),
        unit("data.S", ".data"),
        Unit("vm.S", _text("vm.S"), VM_IPA),
    ]


def _host_call(name: str, number: int) -> str:
    """What a C compiler makes of a host call: it takes as many moves as the number needs."""
    moves = (
        f"movk    x0, #{part}, lsl #{shift}" if shift else f"movz    x0, #{part}"
        for shift, part in _halves(number)
    )
    return (
        f"host_call_{name}:\n"
        + "".join(f"        {move}\n" for move in moves)
        + ("        b       __kvm_call_hyp\n")
    )


# What stands in the slots that nobody filled, by table.
_NOBODY = {"distances": "hcall_not_supported"}


def _slots(chosen: Variant) -> list[str]:
    """The label in each slot of the table."""
    return [name or _NOBODY.get(chosen.table, "kvm_hc_ni") for name in chosen.slots]


def _not_implemented(dispatcher: str) -> str:
    """kvm_hc_ni, where the dispatcher's own text does not have it."""
    if re.search(r"^\s*kvm_hc_ni\s*:", dispatcher, re.MULTILINE):
        return ""
    return "\nkvm_hc_ni:\n        mov     x0, #-ENOSYS\n        ret\n"


def _chosen_lines(text: str, options: frozenset[str]) -> str:
    """The lines of a template that its `.if option` ... `.else` ... `.endif` leave standing."""
    lines, standing = [], [True]
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [".if"] and words[1] in OPTIONS:
            standing.append(words[1] in options)
        elif words == [".else"]:
            standing[-1] = not standing[-1]
        elif words == [".endif"]:
            standing.pop()
        elif all(standing):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _text_table(chosen: Variant) -> str:
    """A dispatch table that is part of the hyp text, or nothing."""
    if chosen.table == "branches":
        return "hcall_branches:\n" + "".join(f"        b       {name}\n" for name in _slots(chosen))
    if chosen.table == "distances":
        return "hcall_distances:\n" + "".join(
            f"        .word   {name} - hcall_distances\n" for name in _slots(chosen)
        )
    return ""


def _data_table(chosen: Variant) -> str:
    """The table of addresses in read-only data, and the list that says where its addresses are."""
    slots = _slots(chosen)
    text = "        .balign 8\nkvm_hcall_table:\n" + "".join(
        f"        .quad   {name}\n" for name in slots
    )
    if chosen.table == "hyp":
        text += "hyp_relocations:\n" + "".join(
            f"        .word   kvm_hcall_table + {8 * n} - .\n" for n in range(len(slots))
        )
        text += "hyp_relocations_end:\n"
    return text


def _check_fit(programs: list[Program]) -> None:
    section, ends = SECTIONS[0], {}
    for program in programs[:-1]:
        pa = program.base - KIMAGE_VADDR + KIMAGE_PA
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
