"""The dispatchers of the story as data, and the numbering of the hypercalls."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

# The order of the patch as posted; data/hypercalls.toml says what each one does.
HYPERCALLS = (
    "__kvm_enable_ssbs",
    "__kvm_get_mdcr_el2",
    "__kvm_timer_set_cntvoff",
    "__kvm_tlb_flush_local_vmid",
    "__kvm_flush_vm_context",
    "__kvm_vcpu_run_nvhe",
    "__kvm_tlb_flush_vmid",
    "__kvm_tlb_flush_vmid_ipa",
    "__vgic_v3_init_lrs",
    "__vgic_v3_get_ich_vtr_el2",
    "__vgic_v3_write_vmcr",
    "__vgic_v3_restore_aprs",
    "__vgic_v3_read_vmcr",
    "__vgic_v3_save_aprs",
)


@dataclass(frozen=True)
class Variant:
    """One way of dispatching a hypercall: its guest files and where it comes from.

    dispatcher and host are files of hypkit/guest without their endings; base is the number of the
    first hypercall, or None where x0 is an address.
    """

    key: str
    title: str
    about: str
    source: str
    date: str
    dispatcher: str
    host: str
    base: int | None

    def __repr__(self) -> str:
        return f"Variant({self.key!r}: {self.title}, {self.source}, {self.date})"


_ALL = (
    Variant(
        "fnptr", "function pointer",
        "x0 is the handler's linear-map address. The host converts the function's image address; "
        "EL2 masks and tags what it is given and branches to it.",
        "Linux 5.7", "2020-05", "dispatch_fnptr", "host_fnptr", None),
    Variant(
        "numbered", "numbered, as posted",
        "x0 is a number from 0x100 on. EL2 tests the range, loads the table's address from a "
        "literal pool and the offset from two variables, and converts table and slot on each call.",
        "[PATCH 02/15] v1", "2020-04-30", "dispatch_numbered", "host_numbered", 0x100),
)
VARIANTS = MappingProxyType({variant.key: variant for variant in _ALL})


def variant(key: str) -> Variant:
    """The variant of that key; KeyError names the keys there are."""
    try:
        return VARIANTS[key]
    except (KeyError, TypeError):
        raise KeyError(f"no variant {key!r}; there are: {', '.join(VARIANTS)}") from None
