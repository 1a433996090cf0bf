"""The exercises of 02-four-addresses: an address's space, kern_hyp_va by hand, a fault foretold."""

from __future__ import annotations

import random

from hypkit.a64 import syndrome
from hypkit.kernel.addresses import SPACES, Layout
from hypkit.lessons.answers import number, shown, word64, word_of
from hypkit.lessons.functions import call_function, listed
from hypkit.lessons.judge import Exercise, Open, Wrong
from hypkit.lessons.material import ADDRESSES
from hypkit.lessons.recording import RecordingMachine, arrival

SEED = 7
_BY = {
    "image": "begins with 0xffff and has bit 47 set",
    "linear": "begins with 0xffff and has bit 47 clear",
    "physical": "is a place in the 1 GiB of memory from 0x40000000 on",
    "hyp": "begins with 0x0000 and has this machine's tag above its low 30 bits",
}


def _whose(answer: object) -> str:
    given = listed(answer, f"a list of {len(ADDRESSES)} names, in order", dots=True)
    if len(given) != len(ADDRESSES):
        raise Wrong(f"Expected a list of {len(ADDRESSES)} names; got {len(given)}")
    layout = Layout.from_seed(SEED)
    for n, (address, name) in enumerate(zip(ADDRESSES, given, strict=True), 1):
        if name is ...:
            continue
        space = word_of(name, SPACES, f"address {n}, {address:#x}")
        if space != layout.space(address):
            raise Wrong(
                f"Address {n}, {address:#x}, is not {space}: an address of that space {_BY[space]}"
            )
    if dots := given.count(...):
        raise Open(f"What you have is right; {dots} of {len(given)} names still to come")
    return (
        "Bit 47 and the sixteen bits above it tell the three virtual spaces apart, without a "
        "look into any table"
    )


# In machines with other amounts of memory: (address, lowest bit of the tag, tag).
OTHERS = (
    (0xFFFF_0001_E345_6789, 32, 0x8ACE),
    (0xFFFF_0000_3CFF_FFFF, 24, 0x80_0001),
    (0xFFFF_FFFF_FFFF_FFFF, 36, 0x800),
    (0x0000_8000_0000_0000, 30, 0x1_0000),
    (0xFFFF_8000_1008_5000, 30, 0x1_FFFF),
)


def _by_hand(answer: object) -> str:
    for seed, name in ((43, "kvm0"), (44, "__kvm_get_mdcr_el2"), (45, "__kvm_flush_vm_context")):
        with RecordingMachine("fnptr", seed=seed) as machine:
            layout = machine.layout
            places = {space: machine.address(name, space) for space in SPACES}
            for space, va in places.items():
                got = word64(
                    call_function(
                        answer, va, layout.tag_lsb, layout.tag_val, name="kern_hyp_va_of"
                    ),
                    "a hyp address",
                )
                start = machine.snapshot()
                trace = machine.hvc(va).trace
                machine.restore(start)
                first = arrival(trace, "dispatch_find")
                if got == trace.register("x0", first + 5):
                    continue
                states = " -> ".join(f"{trace.register('x0', first + n):#x}" for n in range(6))
                raise Wrong(
                    f"Of the {space} address {va:#x} with tag_lsb {layout.tag_lsb} and tag "
                    f"{layout.tag_val:#x}, steps {first} to {first + 4} make {states}; "
                    f"expected the last of these, got {shown(got)}"
                )
    draw = random.Random(46)
    drawn = [
        (draw.getrandbits(64), lsb, 1 << 47 - lsb | draw.getrandbits(47 - lsb))
        for lsb in range(22, 44, 3)
    ]
    for va, lsb, tag in (*OTHERS, *drawn):
        got = word64(call_function(answer, va, lsb, tag, name="kern_hyp_va_of"), "a hyp address")
        if got != (expected := va & (1 << lsb) - 1 | tag << lsb):
            raise Wrong(
                f"In a machine with another amount of memory (tag_lsb {lsb}, tag {tag:#x}) "
                f"expected {va:#x} to become {expected:#x}; got {shown(got)}"
            )
    return (
        "Your function and the five instructions agree, on addresses of all four spaces, and it "
        "is right for other amounts of memory as well"
    )


# As long as the original, so that no address changes.
BROKEN = """dispatch:
        divert_stub_calls
dispatch_find:
        nop; nop; nop; nop; nop
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier
"""
ASSEMBLY = (("fnptr 02.3", BROKEN),)
CASES = (
    ("__kvm_get_mdcr_el2", "kern_hyp_va", 51),
    ("__kvm_flush_vm_context", "lm_alias", 52),
    ("__kvm_timer_set_cntvoff", "lm_alias", 53),
    ("__vgic_v3_read_vmcr", "kern_hyp_va", 54),
    # KASLR can lead into a 2 MiB of which EL2 has mapped some pages: one level more.
    ("__kvm_tlb_flush_vmid", "lm_alias", 489),
    ("__vgic_v3_save_aprs", "kern_hyp_va", 489),
)


def _foretold(answer: object) -> str:
    for name, missing, seed in CASES:
        with RecordingMachine("fnptr", seed=seed) as sound:
            got = call_function(answer, sound, name, missing, name="foretell", items=True)
        pair = listed(got, "foretell to return two numbers, level and FAR_EL2")
        if len(pair) != 2:
            raise Wrong(
                f"Expected foretell to return two numbers, level and FAR_EL2; got {shown(got)}"
            )
        level = number(pair[0], "a level as the first of foretell's two numbers")
        far = word64(pair[1], "FAR_EL2 as the second of foretell's two numbers")
        text = BROKEN if missing == "kern_hyp_va" else None
        with RecordingMachine("fnptr", seed=seed, dispatcher=text) as broken:
            call = (
                broken.call(name)
                if missing == "kern_hyp_va"
                else broken.hvc(broken.address(name, "image"))
            )
            panic, trace = broken.panicked, call.trace
            assert panic is not None
            step = next(i for i, s in enumerate(trace) if s.symbol == "hyp_panic")
        found = panic.esr & 3
        where = f"{name} with {missing} missing (seed {seed}): hyp_panic at step {step} found"
        if far != panic.far:
            if level == panic.far:
                raise Wrong("Expected the level first and FAR_EL2 second; got them the other way")
            space = broken.layout.space(far)
            what = f", {'an' if space == 'image' else 'a'} {space} address" if space else ""
            raise Wrong(f"{where} FAR_EL2 {panic.far:#x}; got {shown(far)}{what}")
        if level != found:
            raise Wrong(
                f"{where} {syndrome.esr_text(panic.esr)}; got level {shown(level)}, while "
                "FAR_EL2 is right"
            )
    return (
        f"Level and FAR_EL2 were as you said, on {len(CASES)} broken machines: the walk on the "
        "sound machine knows where it will end"
    )


EXERCISES = (
    Exercise(
        "02.1",
        "Whose address?",
        (
            "Look at the first four hexadecimal digits: 0xffff or 0x0000? EL2 has no tree for 0xffff.",
            "For those with 0xffff, the fifth digit: bit 47 is set in 8 to f. Image addresses have it "
            "set, linear ones begin with 0xffff0.",
            "Those with 0x0000: memory begins at 0x40000000 and is 1 GiB long, so a physical address "
            "has at most 8 digits here. A hyp address has bit 47 set.",
        ),
        _whose,
    ),
    Exercise(
        "02.2",
        "kern_hyp_va by hand",
        (
            "Two parts: low bits of va, and the tag above them. Which operator joins two numbers that "
            "have no bit in common?",
            "(1 << n) - 1 has exactly the low n bits set.",
            "(va & low bits) | (tag << tag_lsb). An addition of the tag to va would keep what stands "
            "above, 0xffff for instance.",
        ),
        _by_hand,
    ),
    Exercise(
        "02.3",
        "The evidence beforehand",
        (
            "FAR_EL2 is what EL2 branches to. Without kern_hyp_va this is what the host sent. Without "
            "lm_alias it is what kern_hyp_va makes of an image address.",
            'machine.layout.kern_hyp_va(address) converts, machine.address(name, "linear") is what '
            "the host sends.",
            "machine.translate(far, el=2).levels lists the tables that the walk read; the last one's "
            ".level is where it failed. For a linear address there is none: level 0.",
        ),
        _foretold,
        optional=True,
    ),
)
