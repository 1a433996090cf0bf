"""The kinds of hypercall table: what stands in a slot, and how EL2 makes a hyp address of it.

A new kind is a new entry of TABLES: the programs are built from it, the picture of a table and the
count of loads read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from hypkit.a64.registers import sign_extended
from hypkit.kernel.addresses import Layout

# A slot's word, the table's hyp address, the slot's offset in it, the layout -> a hyp address.
Decoder = Callable[[int, int, int, Layout], int]


@dataclass(frozen=True)
class Table:
    """One kind of table.

    label: its label in the guest's text. size: bytes of a slot. slot: the line that fills one,
    with the handler's label for {}. empty: the label that stands where nothing was put. loaded:
    whether EL2 loads from it, so that it lies in read-only data unless *in_text*, or executes it.
    relocated: whether boot turns its addresses into hyp addresses. about: what a slot holds, in
    words; says: the same of one slot, before the function's name.
    """

    kind: str
    label: str
    size: int
    slot: str
    about: str
    says: str
    decode: Decoder = field(repr=False)
    empty: str = "kvm_hc_ni"
    in_text: bool = False
    loaded: bool = True
    relocated: bool = False

    def text(self, names: Sequence[str | None]) -> str:
        """Return the table as assembly, a slot for each name; None is an empty slot."""
        lines = [self.slot.format(name or self.empty) for name in names]
        parts = ["" if self.in_text else f"        .balign {self.size}\n", f"{self.label}:\n"]
        parts += (f"        {line}\n" for line in lines)
        if self.relocated:
            parts.append("hyp_relocations:\n")
            parts += (
                f"        .word   {self.label} + {self.size * n} - .\n" for n in range(len(lines))
            )
            parts.append("hyp_relocations_end:\n")
        return "".join(parts)

    def handler(self, word: int, at: int, index: int, layout: Layout) -> int:
        """Return the hyp address that a call goes to by slot *index* of the table.

        Args:
            word: what the slot holds, unsigned, `size` bytes.
            at: the hyp address of the table.
            index: the slot, from 0.
            layout: the machine's.
        """
        return self.decode(word, at, self.size * index, layout)


TABLES = MappingProxyType(
    {
        table.kind: table
        for table in (
            Table(
                "image",
                "kvm_hcall_table",
                8,
                ".quad   {}",
                "the image address of the function, which EL2 converts on each call",
                "image address",
                lambda word, at, offset, layout: layout.kern_hyp_va(layout.lm_alias(word)),
            ),
            Table(
                "hyp",
                "kvm_hcall_table",
                8,
                ".quad   {}",
                "a hyp address, made at boot",
                "hyp address",
                lambda word, at, offset, layout: word,
                relocated=True,
            ),
            Table(
                "branches",
                "hcall_branches",
                4,
                "b       {}",
                "a branch to the function",
                "branch",
                lambda word, at, offset, layout: (
                    at + offset + 4 * sign_extended(word & 0x3FF_FFFF, 26)
                ),
                in_text=True,
                loaded=False,
            ),
            Table(
                "distances",
                "hcall_distances",
                4,
                ".word   {} - hcall_distances",
                "the distance from the table to the function",
                "{distance:+#x} from the table to",
                lambda word, at, offset, layout: at + sign_extended(word, 32),
                empty="hcall_not_supported",
                in_text=True,
            ),
        )
    }
)
