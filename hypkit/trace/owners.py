"""Who gave a piece of memory or code its value, as far as a trace and its image can tell."""

from __future__ import annotations

from hypkit.a64.decode import decode
from hypkit.a64.pagetables import AP_RO
from hypkit.a64.registers import MASK64
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import HEAP, REQUESTS_PA, REQUESTS_SIZE, SECTIONS

HOST, VM, LINKER, BOOT, EL2, FIRMWARE = "host", "VM", "linker", "boot", "EL2", "firmware"
UNKNOWN = "not known"
READER = "you"  # who changed something in the middle of a run
# EL1's page tables are in memory that EL1 may write, so what they forbid it can allow itself.
TABLES_OF_EL1 = "EL1, by its page tables"


def el1_may_write(image: Image, pa: int) -> bool | None:
    """Return whether EL1's page tables, as boot left them, let it write a byte of RAM.

    None where there is no host at EL1. A real kernel's image tells it from the kernel's own tables.
    """
    if not _is_our_own(image):
        return image.el1_may_write(pa)
    if image.variant.host_el == 2:
        return None
    found = next((s for s in SECTIONS if s.pa <= pa < s.pa + s.size), None)
    return found is None or not found.el1 & AP_RO


def owner_of_memory(image: Image, pa: int, size: int, value: int | None) -> str:
    """Return who gave memory its value, before the trace began.

    What the loaded image has is the linker's (KASLR moved it), unless it is a structure that the
    host filled. For what differs there is only one who could have written it: boot, while the MMU
    was off, where neither EL1 nor EL2 may; the host where EL2 may not; else EL2.

    Args:
        pa, size: the bytes, by physical address.
        value: what is there, unsigned; None where that is not known.
    """
    if not _is_our_own(image):
        known = image.owner(pa)
        if known is not None:
            return known
        return LINKER if value is not None and _loaded(image, pa, size) == value else UNKNOWN
    heap = next((name for name, (at, n, _) in HEAP.items() if at <= pa < at + n), None)
    if heap is not None:
        if heap == "vm_memory":
            return VM
        as_loaded = value is not None and _loaded(image, pa, size) == value
        filled = heap in ("kvm0", "vcpu0", "vcpu1") and as_loaded
        return HOST if filled or not HEAP[heap][2] else EL2
    found = next((s for s in SECTIONS if s.pa <= pa < s.pa + s.size), None)
    if found is None:  # the requests, and RAM that nobody here has a use for
        return HOST
    if value is None or value == _loaded(image, pa, size):
        return LINKER
    if not found.el1 & AP_RO:  # EL2 may read it only
        return HOST
    return BOOT if value == _by_boot(image, pa, size) else TABLES_OF_EL1


def _is_our_own(image: Image) -> bool:
    """Return whether an image is built by the kit, and not a real kernel's."""
    return image.phase_rule is None


def is_request(image: Image, pa: int) -> bool:
    """Return whether a physical address lies in the mailbox, where the host finds its requests."""
    return _is_our_own(image) and REQUESTS_PA <= pa < REQUESTS_PA + REQUESTS_SIZE


def patched_by_boot(image: Image, pa: int) -> str | None:
    """Return the macro whose instructions boot rewrote at a physical address, None for others."""
    for start in image.patched:
        first = decode(_loaded(image, start, 4) or 0).mnemonic
        length, name = (16, "kimg_phys_offset") if first in ("mov", "movz") else (20, "kern_hyp_va")
        if start <= pa < start + length:
            return name
    return None


def table_slot(image: Image, address: int) -> int | None:
    """Return which slot of the hypercall table an address lies in, None outside of it."""
    label, _, offset = (image.symbolize(address) or "").partition("+")
    table = image.variant.table
    if table is None or table.label != label:
        return None
    slot = int(offset or "0", 16) // table.size
    return slot if slot < len(image.variant.slots) else None


def _loaded(image: Image, pa: int, size: int) -> int | None:
    """Return what the image holds at a place before reset, as an unsigned number."""
    for start, data in image.memory.items():
        if start <= pa and pa + size <= start + len(data):
            return int.from_bytes(data[pa - start : pa - start + size], "little")
    return 0 if _is_our_own(image) else None


def _by_boot(image: Image, pa: int, size: int) -> int | None:
    """Return what boot writes to a place in read-only data, None where it writes nothing."""
    layout = image.layout
    known = {
        "kimage_voffset": layout.kimage_voffset,
        "physvirt_offset": layout.physvirt_offset,
        "kvm_lm_offset": layout.lm_offset,
    }
    name = image.symbolize(pa) or ""
    if size == 8 and name in known:
        return known[name] & MASK64
    table = image.variant.table
    if table is not None and table.relocated and table_slot(image, pa) is not None:
        loaded = _loaded(image, pa, size)
        return None if loaded is None else layout.kern_hyp_va(layout.lm_alias(loaded))
    return None
