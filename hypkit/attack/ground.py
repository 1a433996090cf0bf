"""What a watch has to know of the machine that it watches: whose code and memory is where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.emu import Machine
from hypkit.kernel.addresses import DRAM_BASE, DRAM_SIZE, KIMAGE_PA, image_pa
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import HEAP, HEAP_PA, IMAGE_END, REQUESTS_PA, SECTION, TEXT_PA, VM_IPA
from hypkit.machine.cpu import Cpu

ALL = (1 << 64) - 1
# EL2's registers that no handler may leave changed, and the bits that one may. DSSBS of SCTLR_EL2 is
# __kvm_enable_ssbs's.
GUARDED = {
    "SP_EL2": ALL,
    "VBAR_EL2": ALL,
    "TTBR0_EL2": ALL,
    "TCR_EL2": ALL,
    "MAIR_EL2": ALL,
    "SCTLR_EL2": ~(1 << 44) & ALL,
    "HCR_EL2": ALL,
    "VTTBR_EL2": ALL,
    "CPTR_EL2": ALL,
    "MDCR_EL2": ALL,
    "TPIDR_EL2": ALL,
    "CNTHCTL_EL2": ALL,
}
BUDGET = 4_000  # the longest call of the kit's own machines, which runs a guest, takes a tenth
STACK = 0x200  # bytes of its stack that a call may use
# The SMC calling convention gives back all but the results, x0 to x3 (Arm DEN0028, 2.6).
SMCCC_KEPT = sum(1 << n for n in range(4, 18))


@dataclass(frozen=True)
class Ground:
    """A machine's boundary as the watch's hooks need it.

    Attributes:
        cpu, image: the machine's.
        entry: (start, end) of the code from the vectors to the branch into a function, hyp
            addresses; dispatcher: the part of it that a learner writes.
        text, text_pa: all the hyp text, as hyp addresses, and where it lies physically.
        idmap: the stub calls' code, at its physical addresses.
        vm: where a guest's code lies.
        window: all hyp addresses of RAM.
        requests_va, requests_pa: where the host finds its requests, 64 bytes each.
        post: puts rows of x0 to x6 there, and returns them as they lie there.
        next, begin, end: host addresses: where it takes the next request, where a call begins, and
            where it is back.
        idle, panicked: host addresses at which a run ends: with all requests served, and in the
            host's panic.
        own: (start, end) of physical memory that EL2 may write for any call.
        held: what a call may change in memory in all but rare cases, physical; code: the part of it
            that is executed.
        labels: hyp addresses at which functions begin.
        functions: x0 -> the hyp address of the function that the ABI has for it.
        fresh: whether the machine is set back after every abort.
        kept: a bit for each of x0 to x18 that a call gives back as it was.
        guarded: EL2's registers and their bits that must not change.
        boot: the physical address at which the kernel starts, None where it is not in memory.
        budget: instructions that one call may take.
    """

    cpu: Cpu
    image: Image
    entry: tuple[tuple[int, int], ...]
    dispatcher: range
    text: range
    text_pa: int
    idmap: range
    vm: range
    window: range
    requests_va: int
    requests_pa: int
    post: Callable[[np.ndarray], np.ndarray]
    next: int
    begin: int
    end: int
    idle: int
    panicked: frozenset[int]
    own: tuple[tuple[int, int], ...]
    held: tuple[range, ...]
    code: range
    labels: frozenset[int]
    functions: Mapping[int, int]
    kept: int = 0
    fresh: bool = False
    guarded: Mapping[str, int] = field(default_factory=lambda: GUARDED)
    boot: int | None = None
    budget: int = BUDGET


def ground_of(machine: Machine) -> Ground:
    """Return the ground of one of the kit's own machines; its host has made a call already."""
    before = machine.snapshot()
    machine.hvc(0xFF)  # every HVC that the host executes is known from here on
    if machine.stopped:
        machine.restore(before)
    image, layout, cpu = machine.image, machine.layout, machine._ready()
    text, idmap = SECTION[".hyp.text"], SECTION[".hyp.idmap.text"]
    first, window = layout.hyp_va(text.pa), layout.hyp_va(DRAM_BASE)
    own = []
    for name in ("hyp_stack", "kvm_host_data_cpu0", "vcpu0", "vcpu1"):
        pa, size, _ = HEAP[name]
        own.append((pa + size - STACK if name == "hyp_stack" else pa, pa + size))
    heap_end = max(pa + size for pa, size, _ in HEAP.values())
    start = layout.hyp_va(image_pa(image.dispatcher.base))
    dispatcher = range(start, start + len(image.dispatcher.code))
    variant = image.variant
    calls = variant.numbers or {name: machine.x0_of(name) for name in variant.calls}
    return Ground(
        cpu=cpu,
        image=image,
        entry=((layout.hyp_va(image.pa("__kvm_hyp_vector")), dispatcher.stop),),
        dispatcher=dispatcher,
        text=range(first, first + text.size),
        text_pa=text.pa,
        idmap=range(idmap.pa, idmap.pa + idmap.size),
        vm=range(VM_IPA, VM_IPA + PAGE_SIZE),
        window=range(window, window + DRAM_SIZE),
        requests_va=image.host_va(REQUESTS_PA),
        requests_pa=REQUESTS_PA,
        post=lambda requests: machine._post(requests[:, 0], requests[:, 1:]),
        next=image.host_pc("host_next"),
        begin=image.host_pc("host_call"),
        end=image.host_pc("host_called"),
        idle=image.host_pc("host_idle"),
        panicked=frozenset({image.host_pc("host_panicked")}),
        own=tuple(own),
        held=(range(TEXT_PA, IMAGE_END), range(HEAP_PA, heap_end)),
        code=range(KIMAGE_PA, SECTION[".rodata"].pa),
        labels=frozenset(
            layout.hyp_va(image.pa(name))
            for name in image.symbols
            if 0 <= image.pa(name) - text.pa < text.size
        ),
        functions={number: layout.hyp_va(image.pa(name)) for name, number in calls.items()},
        kept=SMCCC_KEPT if variant.result == "x1" else 0,
        boot=image.pa("_text"),
    )
