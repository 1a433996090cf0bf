"""One table of cases for address names and sentences, for Python and for the front end's twin.

`python -m tests.address_cases` prints it as JSON; tests/timetravel/test_address_cases.py checks
Python against it, and the front end's own tests run it against the JavaScript. A list of machines:

    {"variant", "seed",
     "payload":   what an exported file holds of the boot trace: {"meta", "chunks"},
     "addresses": [[address in hexadecimal, space or null, name or null,
                    the sentence's words for it, the same where the VM runs], ...],
     "sentences": [the sentence of every step of the boot trace]}

The addresses are the edges of every label and of every named range in all four spaces, of the
spaces themselves, and of the VM's memory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from hypkit import Machine
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.a64.registers import MASK64
from hypkit.kernel.addresses import DRAM_BASE, DRAM_SIZE, PAGE_END, PAGE_OFFSET
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import NAMED, VM_IPA
from hypkit.timetravel.payload import Payload

MACHINES = (("numbered", 0), ("numbered", 2020), ("fnptr", 7), ("smccc", 31), ("vhe", 2020))


def probed(image: Image) -> list[int]:
    """The addresses of the table, ascending, each once."""
    return sorted(set(_edges(image)))


def _edges(image: Image) -> Iterator[int]:
    places = [image.pa(name) for name in image.symbols]
    places += [edge for span in NAMED for edge in span]
    places += [DRAM_BASE, DRAM_BASE + DRAM_SIZE - 1]
    for pa in places:
        for near in (pa - 1, pa, pa + 1, pa + 4):
            if image.layout.pa(near) is not None:
                yield from image.layout.names(near).values()
    tag = image.layout.tag_val << image.layout.tag_lsb
    ends = (0, DRAM_BASE, DRAM_BASE + DRAM_SIZE, PAGE_OFFSET, PAGE_OFFSET + DRAM_SIZE, PAGE_END,
            tag, tag + (1 << image.layout.tag_lsb), VM_IPA, VM_IPA + PAGE_SIZE, 1 << 64)  # fmt: skip
    ends += tuple(base + image.layout.kimage_voffset for base in (DRAM_BASE, DRAM_BASE + DRAM_SIZE))
    for end in ends:
        yield from (end + near & MASK64 for near in (-1, 0, 1))
    for address in image.vm.symbols.values():
        yield from (address, address + 4)
    yield from (1, 9, 10, 0xFF, MASK64 - 37, 1 << 63)


def space(image: Image, address: int) -> str | None:
    """The space of an address; the VM's page counts as one."""
    inside = VM_IPA <= address < VM_IPA + PAGE_SIZE
    return "VM" if inside else image.layout.space(address)


def cases() -> list[dict[str, Any]]:
    """The table."""
    found = []
    for key, seed in MACHINES:
        with Machine(key, seed=seed) as machine:
            image, payload = machine.image, Payload(machine.boot_trace)
        found.append(
            {
                "variant": key,
                "seed": seed,
                "payload": payload.inline(),
                "addresses": [
                    [
                        f"{address:x}",
                        space(image, address),
                        image.symbolize(address),
                        payload.what(address),
                        payload.what(address, vm=True),
                    ]
                    for address in probed(image)
                ],
                "sentences": [payload.sentence(step) for step in range(len(payload))],
            }
        )
    return found


if __name__ == "__main__":
    json.dump(cases(), sys.stdout, separators=(",", ":"))
