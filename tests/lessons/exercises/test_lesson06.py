"""Answers to the exercises of 06-review-enum, and its broken header."""

import re

from hypkit import header
from hypkit.header import DEFINES, ENUM
from hypkit.kernel.variants import HYPERCALLS, SPARE
from hypkit.lessons.exercises.lesson06 import BROKEN, EARLY

NUMBERS, LIST = "kvm_hcalls.h", "kvm_hcall_list.h"
TEXT = DEFINES[NUMBERS]


def listing(names):
    return "".join(f"KVM_HOST_HCALL({name})\n" for name in names)


def by_hand(*entries, size=16):
    lines = "".join(
        f"#define KVM_HOST_HCALL_IDX_{name} {index}\nKVM_HOST_HCALL({name})\n"
        for name, index in entries
    )
    last = "\n#define KVM_HOST_HCALL_SIZE "
    return TEXT.replace(f"{last}14", f"{lines}{last}{size}")


def guarded(condition):
    return ENUM[NUMBERS] + f'_Static_assert({condition}, "the tool");\n'


def ordered(names, none="KVM_HOST_HCALL_NONE = 2,", base="0"):
    numbers = ENUM[NUMBERS].replace("enum kvm_host_hcall {", "enum kvm_host_hcall {" + none)
    return {NUMBERS: numbers.replace("BASE 0x100", f"BASE {base}"), LIST: listing(names)}


def with_size(files, size):
    """The files with a size by hand in place of the one that counts itself."""
    numbers, found = re.subn(
        r"KVM_HOST_HCALL_SIZE(,?\s*\})", rf"KVM_HOST_HCALL_SIZE = {size}\1", files[NUMBERS]
    )
    assert found == 1
    return files | {NUMBERS: numbers}


NEIGHBOUR = "KVM_HOST_HCALL_IDX___kvm_flush_vm_context"
STRAYS = {
    "__kvm_tlb_flush_local_vmid": "__kvm_flush_vm_context",
    "__vgic_v3_write_vmcr": "__vgic_v3_read_vmcr",
}
LATE = tuple(name for name in HYPERCALLS if name not in EARLY)
RUN = "KVM_HOST_HCALL_NR(__kvm_vcpu_run_nvhe)"

# Whatever else stops a C compiler, as kernels before and after _Static_assert have it.
GUARDS = (
    f'static_assert({RUN} == 0x105, "moved");',
    f"BUILD_BUG_ON({RUN} != 0x105);",
    f"typedef char guard[{RUN} == 0x105 ? 1 : -1];",
    f"extern char guard[1 - 2 * !!({RUN} != 0x105)];",
    f"struct guard {{ int moved : {RUN} == 0x105 ? 1 : -1; }};",
    f"enum {{ guard = 1 / ({RUN} == 0x105) }};",
)
RIGHT_ANSWERS = [
    ("06.1", STRAYS),
    ("06.2", ENUM | {LIST: ENUM[LIST] + listing(SPARE)}),
    ("06.2", by_hand((SPARE[0], 14), (SPARE[1], 15))),
    ("06.2", by_hand((SPARE[1], 14), (SPARE[0], 15))),
    ("06.2", (ENUM[NUMBERS], ENUM[LIST] + listing(SPARE))),
    ("06.2", [ENUM[LIST] + listing(SPARE), ENUM[NUMBERS]]),
    ("06.2", header.read_header(ENUM | {LIST: ENUM[LIST] + listing(SPARE)})),
    ("06.3", guarded(f"{RUN} == 0x105")),
    ("06.3", guarded("KVM_HOST_HCALL_IDX___kvm_vcpu_run_nvhe == 5 && KVM_HOST_HCALL_BASE == 256")),
    ("06.3", ENUM | {NUMBERS: guarded(f"{RUN} == 0x105")}),
    ("06.3", guarded(f"{RUN} - KVM_HOST_HCALL_BASE == 5")),
    *(("06.3", ENUM[NUMBERS] + guard + "\n") for guard in GUARDS),
    ("06.4", ordered((*EARLY, *LATE))),
    ("06.4", ordered((*reversed(EARLY), *reversed(LATE)))),
    ("06.4", ordered((*EARLY, *LATE), none="A, B, C,")),
]
MISTAKES = [
    ("06.1", {b: a for a, b in STRAYS.items()}, "__kvm_flush_vm_context runs as it should"),
    ("06.1", dict(list(STRAYS.items())[:1]), "Expected 2 calls that go astray; got 1"),
    ("06.1", {"__kvm_tlb_flush_local_vmid": "kvm_hc_ni"}, "the later one stays"),
    ("06.1", {"printk": "x"}, "'printk' is not one"),
    ("06.2", TEXT, "Expected a number for __kvm_timer_get_cntvoff"),
    (
        "06.2",
        by_hand((SPARE[0], 14), (SPARE[1], 14)),
        "Expected __kvm_timer_get_cntvoff to run "
        "when the host calls it by its number, 0x10e; the call ran __kvm_get_hcr_el2",
    ),
    (
        "06.2",
        by_hand((SPARE[0], 14), (SPARE[1], 15), size=15),
        "does not compile; kvm_hcalls.h, "
        "line 40: __kvm_get_hcr_el2 wants slot 15 of the table, which is after the end",
    ),
    (
        "06.2",
        ENUM | {LIST: listing(SPARE) + ENUM[LIST]},
        "keep their numbers; __kvm_enable_ssbs was 0x100 and is 0x102",
    ),
    (
        "06.2",
        by_hand((SPARE[0], 14), (SPARE[1], 15), size=20).replace(
            f"KVM_HOST_HCALL({SPARE[0]})\n", ""
        ),
        "got kvm_hc_ni",
    ),
    ("06.2", ENUM | {LIST: ENUM[LIST] + listing(["__kvm_nothing"])}, "no function __kvm_nothing"),
    (
        "06.2",
        (ENUM | {LIST: ENUM[LIST] + listing(SPARE)})
        | {NUMBERS: ENUM[NUMBERS].replace("(KVM_HOST_HCALL_BASE + KVM_HOST_HCALL_SIZE)", "0x10e")},
        "-ENOSYS from the range test",
    ),
    (
        "06.3",
        ENUM[NUMBERS],
        "With a call added at the start, __kvm_vcpu_run_nvhe has the number 0x106",
    ),
    (
        "06.3",
        guarded("KVM_HOST_HCALL_SIZE == 14"),
        "possible, a call added at the end, does not compile; kvm_hcalls.h, line 13: static "
        "assertion failed: the tool",
    ),
    ("06.3", guarded(f"{RUN} == 0x106"), "static assertion failed: the tool"),
    (
        "06.3",
        guarded(f"{RUN} <= 0x105"),
        "With one call before it left out, __kvm_vcpu_run_nvhe has the number 0x104",
    ),
    ("06.3", ENUM, "With a call added at the start"),
    ("06.3", guarded(f"{NEIGHBOUR} == 4"), "all other calls in another order, does not compile"),
    (
        "06.3",
        guarded("KVM_HOST_HCALL_IDX___kvm_tlb_flush_vmid == 6"),
        "A list that must stay possible, all other calls in another order, does not compile",
    ),
    ("06.3", guarded(f"{RUN} % 5 == 1"), "With it moved to place 0"),
    ("06.3", guarded(f"{RUN} & 1"), "With it moved to place 7"),
    ("06.3", guarded(f"{NEIGHBOUR} < {RUN} - KVM_HOST_HCALL_BASE"), "does not compile"),
    (
        "06.3",
        f'_Static_assert({RUN} == 0x105, "the tool");\n' + ENUM[NUMBERS],
        "is not defined yet at this line: its #define comes later",
    ),
    ("06.3", ENUM[NUMBERS] + f"#if {RUN} != 0x105\n#error moved\n#endif\n", "#if takes each for 0"),
    (
        "06.3",
        guarded(f"{RUN} == 0x100 + 5 && KVM_HOST_HCALL_IDX___kvm_enable_ssbs == 0"),
        "all other calls in another order, does not compile",
    ),
    ("06.1", {"__kvm_tlb_flush_local_vmd": "x"}, "did you mean '__kvm_tlb_flush_local_vmid'"),
    ("06.1", {"__kvm_tlb_flush_local_vmid": "__kvm_flush_vm_contxt"}, "did you mean '__kvm_flush"),
    ("06.1", STRAYS | {"__kvm_get_mdcr_el2": "__kvm_get_mdcr_el2"}, "runs as it should"),
    (
        "06.2",
        by_hand((SPARE[0], 14), (SPARE[1], 15), size=20),
        "refuse 0x110, which is no call's number; it let it in, to an empty slot of the table: "
        "KVM_HOST_HCALL_SIZE is 20, and the last call is in slot 15",
    ),
    (
        "06.4",
        with_size(ordered((*EARLY, *LATE)), 20),
        "refuse 0x11, which is no call's number; it let it in",
    ),
    ("06.4", with_size(ordered((*EARLY, *LATE)), 18), "KVM_HOST_HCALL_SIZE is 18"),
    ("06.4", ordered((*EARLY, *LATE), none="", base="3"), "Expected KVM_HOST_HCALL_BASE to be 0"),
    ("06.2", {LIST: ENUM[LIST] + listing(SPARE)}, "kvm_hcalls.h is missing"),
    ("06.4", {NUMBERS: None, LIST: ENUM[LIST]}, "Expected a text for 'kvm_hcalls.h'; got None"),
    (
        "06.4",
        ENUM,
        "Expected the numbers 0x3 to 0x10, one for each call; got 14 numbers from 0x100 to 0x10d",
    ),
    ("06.4", ordered((*EARLY, *LATE), none=""), "_enable_ssbs has the number 0; expected none"),
    (
        "06.4",
        ordered(HYPERCALLS),
        "__vgic_v3_init_lrs has the number 0xb, and a later call has 0x5",
    ),
    (
        "06.4",
        ordered((*EARLY, *LATE), none="A = 4,"),
        "Expected the numbers 0x3 to 0x10, one for each call; got 14 numbers from 0x5 to 0x12",
    ),
    ("06.4", ordered((*EARLY, *LATE[1:])), "Expected a number for __kvm_timer_set_cntvoff"),
]
NONSENSE = [{NUMBERS: 7}, {NUMBERS: "x", LIST: "y"}]


def test_the_broken_header_compiles_as_broken_ones_do():
    assert header.read_header(BROKEN).warnings == ()
