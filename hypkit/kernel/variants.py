"""The dispatchers of the story as data, and the numbering of the hypercalls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations
from types import MappingProxyType

from hypkit import facts
from hypkit.a64.registers import MASK64
from hypkit.errors import Named, UnknownName, did_you_mean, shown
from hypkit.kernel.tables import TABLES, Table

# The order of the patch as posted; data/hypercalls.toml says what each one does.
HYPERCALLS = tuple(call.name for call in facts.hypercalls())
# Linux 5.10's order, from function 1 on: number 0 was __kvm_hyp_init.
SMCCC_ORDER = tuple(call.name for call in sorted(facts.hypercalls(), key=lambda call: call.smccc))
# Two functions more, in machines with a learner's numbering (guest/spare.S): calls to be added.
SPARE = tuple(function.name for function in facts.spare())

_ABI = facts.abi_numbers()
# A fast call, 64-bit, owned by the vendor's hypervisor: the SMC calling convention's upper half.
SMCCC_BASE = _ABI["smccc_base"]
# Numbers below belong to the stub: HVC_STUB_HCALL_NR of include/asm/virt.h.
FIRST_AFTER_STUB = len(facts.stubs())
# -ENOSYS and the stub's error as x0 holds them: 64 bits, unsigned.
ENOSYS = _ABI["enosys"] & MASK64
STUB_ERROR = _ABI["stub_error"]

# What the review asked for, one by one: each can be had alone or with any others.
OPTIONS = MappingProxyType(
    {
        "enum": "numbers from an enum instead of a list of #defines: the machine code stays the same",
        "no_base": "numbers are table indices, from the first one the stub leaves free: no "
        "subtraction, and one unsigned test for the range",
        "adr_l": "the table found relative to the PC instead of by a literal",
        "cached": "the linear-map offset kept as one word instead of two",
        "shuffle3": "three arguments moved, as many as any function takes, instead of six",
    }
)


@dataclass(frozen=True)
class Numbering:
    """What a learner's header says (hypkit/header reads it): numbers, and where they lead.

    slots: what stands in each place of the table, None where nothing was put. base, end: what EL2's
    range test compares with. numbers: the call's name and the number the host makes it by.
    """

    base: int
    end: int
    slots: tuple[str | None, ...]
    numbers: tuple[tuple[str, int], ...] = field(repr=False)


@dataclass(frozen=True)
class Variant:
    """One way of dispatching a hypercall: its guest files, its numbers, and where it comes from.

    dispatcher, host and boot are files of kernel/guest without their endings. base is the number of
    order[0], or None where x0 is an address. table: what a number is looked up in (see
    kernel/tables), or None. gap: slots before the first.
    options: see OPTIONS. host_el: where the host runs. result: the register an answer comes in.
    rejects: what x0 holds after an unknown number; None if the variant refuses none.
    numbering: a learner's, in place of base, order and gap.
    """

    key: str
    title: str
    about: str
    source: str
    date: str
    dispatcher: str
    host: str
    base: int | None
    order: tuple[str, ...] = HYPERCALLS
    gap: int = 0
    table: Table | None = TABLES["image"]
    boot: str = "boot_plain"
    options: frozenset[str] = frozenset()
    host_el: int = 1
    result: str = "x0"
    rejects: int | None = _ABI["enosys"]
    numbering: Numbering | None = None

    @property
    def calls(self) -> tuple[str, ...]:
        """Return what the host can call by name."""
        return HYPERCALLS if self.numbering is None else tuple(self.numbers)

    @property
    def slots(self) -> tuple[str | None, ...]:
        """Return what stands in the table, None where nothing does."""
        return (None,) * self.gap + self.order if self.numbering is None else self.numbering.slots

    @property
    def limits(self) -> tuple[int, int]:
        """Return the number of the table's first slot, and the one after its last."""
        if self.numbering is not None:
            return self.numbering.base, self.numbering.end
        base = (self.base or 0) - self.gap
        return base, base + len(self.slots)

    @property
    def numbers(self) -> dict[str, int]:
        """Return the numbers by hypercall; empty where x0 is an address."""
        if self.numbering is not None:
            return dict(self.numbering.numbers)
        if self.base is None:
            return {}
        return {name: self.base + index for index, name in enumerate(self.order)}

    def __repr__(self) -> str:
        return f"Variant({self.key!r}: {self.title}; {self.source}, {self.date})"


_NUMBERED = Variant(
    "numbered",
    "numbered, as posted",
    "x0 is a number from 0x100 on. EL2 tests the range, loads the table's address from a literal "
    "pool and the offset from two variables, and converts table and slot on each call.",
    "[PATCH 02/15] v1",
    "2020-04-30",
    "dispatch_numbered",
    "host_numbered",
    _ABI["v1_base"],
)


def _with_options(
    options: frozenset[str], *, key: str, title: str, about: str, source: str, date: str
) -> Variant:
    """Return the patch with some of the review's suggestions taken."""
    free = "no_base" in options
    return replace(
        _NUMBERED,
        key=key,
        title=title,
        about=about,
        source=source,
        date=date,
        base=FIRST_AFTER_STUB if free else _NUMBERED.base,
        gap=FIRST_AFTER_STUB if free else 0,
        options=options,
    )


_REVIEW = {"source": "review of v1", "date": "2020-05-07"}
_ALL = (
    Variant(
        "fnptr",
        "function pointer",
        "x0 is the handler's linear-map address. The host converts the function's image address; "
        "EL2 masks and tags what it is given and branches to it.",
        "Linux 5.7",
        "2020-05-31",
        "dispatch_fnptr",
        "host_fnptr",
        None,
        table=None,
        rejects=None,
    ),
    _NUMBERED,
    _with_options(
        frozenset({"adr_l"}),
        key="adr_l",
        title="table by adr_l",
        about="The patch as posted, but the table is found relative to the PC. At EL2 the PC is a "
        "hyp address, so the table's address is one too: no literal, no conversion.",
        **_REVIEW,
    ),
    _with_options(
        frozenset({"cached"}),
        key="cached",
        title="cached offset",
        about="The patch as posted, but the distance between image and linear map is one word, "
        "added up once at boot.",
        **_REVIEW,
    ),
    _with_options(
        frozenset(OPTIONS),
        key="reviewed",
        title="every suggestion",
        about="Numbers that are table indices, one unsigned range test, adr_l, the cached offset, "
        "and three arguments instead of six.",
        **_REVIEW,
    ),
    Variant(
        "jump_table",
        "jump table",
        "x0 is a number from 0x1000 on. EL2 branches into a table of branches, found relative to "
        "the PC: no load and no conversion. Everything below 0x1000 goes to the stub.",
        "[PATCH 03/14] v2",
        "2020-05-15",
        "dispatch_jump_table",
        "host_numbered",
        _ABI["v2_base"],
        table=TABLES["branches"],
    ),
    Variant(
        "smccc",
        "SMC calling convention",
        "x0 is a 32-bit function id. EL2 saves the host's registers to its own memory and restores "
        "them; a status comes back in x0 and the result in x1.",
        "Linux 5.10",
        "2020-12-13",
        "dispatch_smccc",
        "host_smccc",
        SMCCC_BASE + 1,
        order=SMCCC_ORDER,
        gap=1,
        table=TABLES["distances"],
        result="x1",
        rejects=_ABI["smccc_not_supported"],
    ),
    Variant(
        "patched",
        "patched immediates",
        "The table holds image addresses. The offset that converts them is in four move "
        "instructions, written at boot: EL2 trusts no variable of EL1's.",
        "after Linux 5.11",
        "2021-02-14",
        "dispatch_patched",
        "host_numbered",
        FIRST_AFTER_STUB,
        gap=FIRST_AFTER_STUB,
    ),
    Variant(
        "relocated",
        "relocated table",
        "Boot turns every address in the table into a hyp address, once. A call tests the range "
        "and loads.",
        "after Linux 5.12",
        "2021-04-25",
        "dispatch_relocated",
        "host_numbered",
        FIRST_AFTER_STUB,
        gap=FIRST_AFTER_STUB,
        table=TABLES["hyp"],
        boot="boot_relocated",
    ),
    Variant(
        "vhe",
        "no hypercall",
        "The host runs at EL2 and calls the function. An ISB stands for the ERET.",
        "VHE",
        "Armv8.1",
        "dispatch_vhe",
        "host_vhe",
        None,
        table=None,
        host_el=2,
        rejects=None,
    ),
)
# In the order of the story.
VARIANTS = MappingProxyType(Named("variant", {variant.key: variant for variant in _ALL}))


def variant(key: str) -> Variant:
    """Return the variant of that key, or the patch with suggestions: "numbered+adr_l+cached".

    KeyError names the keys and the suggestions there are.
    """
    # What is no text may be no key of a cache either.
    return _variant(key if isinstance(key, str) else shown(key), not isinstance(key, str))


@cache
def _variant(key: str, no_text: bool) -> Variant:
    if key in VARIANTS and not no_text:
        return VARIANTS[key]
    head, *options = key.split("+")
    unknown = [option for option in options if option not in OPTIONS]
    if head != "numbered" or unknown or not options or no_text:
        raise UnknownName(
            f"no variant {key if no_text else shown(key)}; there are: {', '.join(VARIANTS)}; and "
            f"numbered with any of +{', +'.join(OPTIONS)}{did_you_mean(key, VARIANTS)}"
        )
    chosen = ", ".join(OPTIONS[option] for option in OPTIONS if option in options)
    return _with_options(
        frozenset(options),
        key=key,
        title="as posted, with " + " and ".join(option for option in OPTIONS if option in options),
        about=f"The patch with {chosen}.",
        **_REVIEW,
    )


def review_combinations() -> Iterator[str]:
    """Return the keys of the patch with every set of suggestions, none and all among them: 32."""
    for size in range(len(OPTIONS) + 1):
        for options in combinations(OPTIONS, size):
            yield "+".join(("numbered", *options))
