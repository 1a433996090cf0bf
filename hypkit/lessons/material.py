"""What the lessons show and give to work on: texts, numbers and names. No answers are here."""

from __future__ import annotations

from collections.abc import Sequence

from hypkit.header import DEFINES
from hypkit.header.compiler import NUMBERS
from hypkit.kernel.variants import HYPERCALLS, variant

# --- 02: addresses of Machine("numbered", seed=7), as a debugger might show them ----------------

ADDRESSES = (
    0xFFFF_BE54_62E9_0018,
    0x4044_4000,
    0x934F_0044_0000,
    0xFFFF_0000_0040_2000,
    0x934F_0028_5000,
)

# --- 04: an error among the results, and a start for exercise 04.4 -------------------------------

IN_BAND = """\
dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #0x100
        b.eq    1f
        cmp     x0, #0x101
        b.eq    2f
        mov     x0, #-ENOSYS
        eret
        speculation_barrier
dispatch_call:
1:      msr     cntvoff_el2, x1         // set the offset
        mov     x0, #0
        eret
        speculation_barrier
2:      mrs     x0, cntvoff_el2         // read the offset
dispatch_return:
        eret
        speculation_barrier
"""
START = """\
dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #0x100
        b.eq    1f
        mov     x0, #-ENOSYS            // an error, where the result should be
        eret
        speculation_barrier
dispatch_call:
1:      mrs     x0, mdcr_el2
dispatch_return:
        eret
        speculation_barrier
"""

# --- 06: a list that somebody has put into alphabetical order, almost; and the early calls -------

BROKEN = (
    DEFINES[NUMBERS]
    .replace("_IDX___vgic_v3_read_vmcr 12", "_IDX___vgic_v3_read_vmcr 10")
    .replace("_IDX___kvm_flush_vm_context 4", "_IDX___kvm_flush_vm_context 3")
)
# What may only be called before the kernel is up, as Linux 5.16 sorts them.
EARLY = (
    "__kvm_enable_ssbs",
    "__kvm_get_mdcr_el2",
    "__vgic_v3_init_lrs",
    "__vgic_v3_get_ich_vtr_el2",
)

# --- 07: the patch's dispatcher, without what lesson 07 does not touch ---------------------------

POOL = """\
dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #0x100
        b.lt    2f
        cmp     x0, #0x10e
        b.lt    3f
2:      mov     x0, #-38
        eret
        speculation_barrier

3:      // How far the image lies from its linear alias.
        ldr_l   x9, kimage_voffset
        ldr_l   x10, physvirt_offset
        add     x9, x9, x10

        // Where the table is.
        ldr     x10, =kvm_hcall_table
        sub     x10, x10, x9
        kern_hyp_va x10

        // What stands in it.
        sub     x0, x0, #0x100
        add     x0, x10, x0, lsl #3
        ldr     x0, [x0]
        sub     x0, x0, x9
        kern_hyp_va x0
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier
"""
UNCONVERTED = POOL.replace(
    """\
        sub     x10, x10, x9
        kern_hyp_va x10
""",
    "",
)

# --- 08: the same with the table's address by adr_l, each line where it is wanted at last --------

IN_A_ROW = """\
dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #0x100
        b.lt    2f
        cmp     x0, #0x10e
        b.lt    3f
2:      mov     x0, #-38
        eret
        speculation_barrier

3:      ldr_l   x9, kimage_voffset
        ldr_l   x10, physvirt_offset
        add     x9, x9, x10
        adr_l   x10, kvm_hcall_table
        sub     x0, x0, #0x100
        add     x0, x10, x0, lsl #3
        ldr     x0, [x0]
        sub     x0, x0, x9
        kern_hyp_va x0
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier
"""

# --- 09: three lines to write, in a dispatcher that has the rest -----------------------------------


def framed(lines: str) -> str:
    """Return a dispatcher that has *lines* as its range test: exercise 09.2 asks for three.

    Before them x0 is the host's, after them it is the index in the table.
    """
    return f"""\
dispatch:
        divert_stub_calls
dispatch_find:
{lines.strip(chr(10))}
        adr     x10, branches
        add     x0, x10, x0, lsl #2
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier

refuse: mov     x0, #-ENOSYS
        eret
        speculation_barrier
branches:
""" + "".join(f"        b       {name}\n" for name in HYPERCALLS)


# --- 09: the review's dispatcher, with one test of two left, and that one signed -----------------

SIGNED = """\
.macro image_to_hyp address, distance
        sub     \\address, \\address, \\distance
        kern_hyp_va \\address
.endm

dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #KVM_HOST_HCALL_END
        b.lt    3f
2:      mov     x0, #-ENOSYS
        eret

3:      ldr_l   x9, kvm_lm_offset
        adr_l   x10, kvm_hcall_table
        add     x0, x10, x0, lsl #3
        ldr     x0, [x0]
        image_to_hyp x0, x9
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier

kvm_hc_ni:
        mov     x0, #-ENOSYS
        ret
"""
UNSIGNED = SIGNED.replace("b.lt ", "b.lo ")

# --- 09: a second review, of IN_A_ROW; each remark is a change that somebody could make -----------

REMARKS = {
    "A": "All numbers are below 0x10e. Compare w0, 32 bits are enough.",
    "B": "Subtract 0x100 first. Then one unsigned test does the work of the two.",
    "C": "What is below 0x100 is the stub's, and was diverted above. Leave the first test out.",
    "D": "The functions take two arguments at most. Why are three moved?",
    "E": "The table is found at its hyp address now, so the last kern_hyp_va can go as well.",
}
_TWO_TESTS = """\
        cmp     x0, #0x100
        b.lt    2f
        cmp     x0, #0x10e
        b.lt    3f
"""
_TWO_MOVES = """\
        str     lr, [sp, #-16]!
        mov     lr, x0
        mov     x0, x1
        mov     x1, x2
        blr     lr
        ldr     lr, [sp], #16
"""
_CHANGES = {
    "A": (("cmp     x0", "cmp     w0"),),
    "B": (
        (
            _TWO_TESTS,
            "        sub     x0, x0, #0x100\n        cmp     x0, #14\n        b.lo    3f\n",
        ),
        ("hcall_table\n        sub     x0, x0, #0x100\n", "hcall_table\n"),
    ),
    "C": (("        cmp     x0, #0x100\n        b.lt    2f\n", ""),),
    "D": (("        do_el2_call\n", _TWO_MOVES),),
    "E": (("        kern_hyp_va x0\n", ""),),
}


def as_remarked(remark: str) -> str:
    """Return IN_A_ROW with what one of the REMARKS asks for.

    Args:
        remark: its letter.

    Returns:
        The text of a dispatcher.

    Raises:
        KeyError: for another letter.
    """
    text = IN_A_ROW
    for old, new in _CHANGES[remark]:
        text = text.replace(old, new)
    return text


# --- 10: one comparison as a policy ---------------------------------------------------------------

BASE = variant("numbered").limits[0]


def policy(order: Sequence[str], hcall_min: int) -> str:
    """Return a dispatcher whose numbers follow *order* from 0x100 on, from the hcall_min-th.

    A model of what Linux 5.16 does in C: one table, and a lower bound that is 0 until protected
    KVM is final.
    """
    branches = "".join(f"        b       {name}\n" for name in order)
    return f"""\
dispatch:
        divert_stub_calls
dispatch_find:
        sub     x0, x0, #{BASE:#x}
        cmp     x0, #{hcall_min}             // hcall_min
        b.lo    2f
        cmp     x0, #{len(order)}
        b.hs    2f
        adr     x10, branches
        add     x10, x10, x0, lsl #2
        mov     x0, x10
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier

2:      mov     x0, #-ENOSYS
        eret
        speculation_barrier
branches:
{branches}"""


# --- 11: a dispatcher in pieces, and five ways to look good without being right -------------------

# A dispatcher in pieces, out of order; what stands before and after them is given.
PIECES = {
    "A": "blr     x10",
    "B": "mov     x1, x2",
    "C": "cmp     x0, #14",
    "D": "ldr     lr, [sp], #16",
    "E": "mov     x0, x1",
    "F": "add     x10, x10, x0, lsl #2",
    "G": "b.hs    refuse",
    "H": "str     lr, [sp, #-16]!",
    "I": "sub     x0, x0, #0x100",
    "J": "adr     x10, table",
    "K": "mov     x2, x3",
}

TABLE = "table:\n" + "".join(f"        b       {name}\n" for name in HYPERCALLS)
_HEAD = """\
dispatch:
        divert_stub_calls
"""
_TAIL = (
    """\
        eret
        speculation_barrier
refuse: mov     x0, #-38
        eret
        speculation_barrier
"""
    + TABLE
)


def assembled(letters: str) -> str:
    """Return the dispatcher that these pieces make in this order."""
    return _HEAD + "".join(f"        {PIECES[letter]}\n" for letter in letters) + _TAIL


# The jump table of the patch's second version, with the numbers of the first.
_TEST = """\
        sub     x9, x0, #0x100
        cmp     x9, #14
        b.hs    refuse
"""
_BRANCH = """\
        adr     x10, table
        add     x0, x10, x9, lsl #2
"""
_CALL = """\
        do_el2_call
"""
_IN_A_VECTOR = """\
        fmov    d16, lr
        mov     lr, x0
        mov     x0, x1
        mov     x1, x2
        mov     x2, x3
        blr     lr
        fmov    lr, d16
"""
_CONSTANT = """\
dispatch:
        divert_stub_calls
        cmp     x0, #0x101
        b.ne    refuse
        mov     x0, #6                  // what __kvm_get_mdcr_el2 answers, always
        eret
        speculation_barrier
refuse: mov     x0, #-38
        eret
        speculation_barrier
"""
_STUB = "divert_stub_calls"

# Ways to look good without being right; the lesson shows what becomes of each.
CHEATS = {
    "one signed test": _HEAD + _TEST.replace("b.hs", "b.ge") + _BRANCH + _CALL + _TAIL,
    "no stub test": (_HEAD + _TEST + _BRANCH + _CALL + _TAIL).replace(
        _STUB, "ldp     x0, x1, [sp], #16"
    ),
    "a constant for an answer": _CONSTANT,
    "the way back in a vector register": _HEAD + _TEST + _BRANCH + _IN_A_VECTOR + _TAIL,
}


def nailed(addresses: Sequence[int]) -> str:
    """Return a dispatcher that knows by heart where the fourteen functions are at EL2."""
    load = "        adr     x10, places\n        ldr     x0, [x10, x9, lsl #3]\n"
    places = "        .balign 8\nplaces:\n" + "".join(
        f"        .quad   {address:#x}\n" for address in addresses
    )
    return _HEAD + _TEST + load + _CALL + _TAIL.replace(TABLE, places)


# --- Lesson 13 ------------------------------------------------------------------------------------

# The dispatcher of the patch with three holes: a door for one number, a test of 32 bits of 64, and a
# comparison that lets the end itself through.
SOFT = """\
dispatch:
        divert_stub_calls
dispatch_find:
        cmp     x0, #0x2f               // to look into a running EL2
        b.eq    8f
        cmp     w0, #KVM_HOST_HCALL_BASE
        b.lt    2f
        cmp     w0, #KVM_HOST_HCALL_END
        b.le    3f
2:      mov     x0, #-ENOSYS
        eret
        speculation_barrier

8:      mov     x0, x1
        b       dispatch_call

3:
        ldr_l   x9, kimage_voffset
        ldr_l   x10, physvirt_offset
        add     x9, x9, x10
        ldr     x10, =kvm_hcall_table
        sub     x10, x10, x9
        kern_hyp_va x10
        sub     x0, x0, #KVM_HOST_HCALL_BASE
        add     x0, x10, x0, lsl #3
        ldr     x0, [x0]
        sub     x0, x0, x9
        kern_hyp_va x0
dispatch_call:
        do_el2_call args=6
dispatch_return:
        eret
        speculation_barrier
"""
# The same with one hole: what is tested is not all of what is used.
WIDE = (
    SOFT.replace(
        "        cmp     x0, #0x2f               // to look into a running EL2\n        b.eq    8f\n",
        "",
    )
    .replace("8:      mov     x0, x1\n        b       dispatch_call\n\n", "")
    .replace("b.le    3f", "b.lt    3f")
)
