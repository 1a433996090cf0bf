"""The dispatch paths that the pipeline model is judged on: recorded words with their text.

One path a variant, from the range test to the target's address (or, for a jump table, to the
handler's first instruction), written for this test after the descriptions of the variants, with
register and constant choices of our own. A line is a word and what GNU as made it from; addresses
and branch targets are left at ".", the model and its judge do not look at them.
"""

# What do_el2_call adds before its blr: save LR, take the target, move the arguments down.
_CALL_3 = """
f81f0ffe  str x30, [sp, #-16]!
aa0003fe  mov x30, x0
aa0103e0  mov x0, x1
aa0203e1  mov x1, x2
aa0303e2  mov x2, x3
"""
_CALL_6 = _CALL_3 + """
aa0403e3  mov x3, x4
aa0503e4  mov x4, x5
aa0603e5  mov x5, x6
"""

_TEXT = {
    "fnptr": """
92407400  and x0, x0, #0x3fffffff
93c07800  ror x0, x0, #30
91365400  add x0, x0, #0xd95
9140a800  add x0, x0, #0x2a, lsl #12
93c08800  ror x0, x0, #34
""",
    "numbered": """
f104001f  cmp x0, #0x100
5400000b  b.lt .
f104381f  cmp x0, #0x10e
5400000b  b.lt .
90000009  adrp x9, .
f9400529  ldr x9, [x9, #8]
9000000a  adrp x10, .
f940054a  ldr x10, [x10, #8]
8b0a0129  add x9, x9, x10
5800000a  ldr x10, .
cb09014a  sub x10, x10, x9
9240754a  and x10, x10, #0x3fffffff
93ca794a  ror x10, x10, #30
9136554a  add x10, x10, #0xd95
9140a94a  add x10, x10, #0x2a, lsl #12
93ca894a  ror x10, x10, #34
d1040000  sub x0, x0, #0x100
8b000d40  add x0, x10, x0, lsl #3
f9400000  ldr x0, [x0]
cb090000  sub x0, x0, x9
92407400  and x0, x0, #0x3fffffff
93c07800  ror x0, x0, #30
91365400  add x0, x0, #0xd95
9140a800  add x0, x0, #0x2a, lsl #12
93c08800  ror x0, x0, #34
""",
    "adr_l": """
f104001f  cmp x0, #0x100
5400000b  b.lt .
f104381f  cmp x0, #0x10e
5400000b  b.lt .
90000009  adrp x9, .
f9400529  ldr x9, [x9, #8]
9000000a  adrp x10, .
f940054a  ldr x10, [x10, #8]
8b0a0129  add x9, x9, x10
9000000a  adrp x10, .
9101014a  add x10, x10, #0x40
d1040000  sub x0, x0, #0x100
8b000d40  add x0, x10, x0, lsl #3
f9400000  ldr x0, [x0]
cb090000  sub x0, x0, x9
92407400  and x0, x0, #0x3fffffff
93c07800  ror x0, x0, #30
91365400  add x0, x0, #0xd95
9140a800  add x0, x0, #0x2a, lsl #12
93c08800  ror x0, x0, #34
""",
    "cached": """
f104001f  cmp x0, #0x100
5400000b  b.lt .
f104381f  cmp x0, #0x10e
5400000b  b.lt .
90000009  adrp x9, .
f9400529  ldr x9, [x9, #8]
9000000a  adrp x10, .
9101014a  add x10, x10, #0x40
d1040000  sub x0, x0, #0x100
8b000d40  add x0, x10, x0, lsl #3
f9400000  ldr x0, [x0]
cb090000  sub x0, x0, x9
92407400  and x0, x0, #0x3fffffff
93c07800  ror x0, x0, #30
91365400  add x0, x0, #0xd95
9140a800  add x0, x0, #0x2a, lsl #12
93c08800  ror x0, x0, #34
""",
    "reviewed": """
f100381f  cmp x0, #14
54000002  b.hs .
90000009  adrp x9, .
f9400529  ldr x9, [x9, #8]
9000000a  adrp x10, .
9101014a  add x10, x10, #0x40
8b000d40  add x0, x10, x0, lsl #3
f9400000  ldr x0, [x0]
cb090000  sub x0, x0, x9
92407400  and x0, x0, #0x3fffffff
93c07800  ror x0, x0, #30
91365400  add x0, x0, #0xd95
9140a800  add x0, x0, #0x2a, lsl #12
93c08800  ror x0, x0, #34
""",
    "jump_table": """
d1400400  sub x0, x0, #1, lsl #12
f100381f  cmp x0, #14
54000002  b.hs .
1000000a  adr x10, .
8b00094a  add x10, x10, x0, lsl #2
d61f0140  br x10
14000000  b .
""",
    "patched": """
f100381f  cmp x0, #14
54000002  b.hs .
9000000a  adrp x10, .
9101014a  add x10, x10, #0x40
f8607940  ldr x0, [x10, x0, lsl #3]
d2820009  movz x9, #0x1000
f2aa0009  movk x9, #0x5000, lsl #16
f2cfffe9  movk x9, #0x7fff, lsl #32
f2ffffe9  movk x9, #0xffff, lsl #48
cb090000  sub x0, x0, x9
b2503c00  orr x0, x0, #0xffff000000000000
92407400  and x0, x0, #0x3fffffff
93c07800  ror x0, x0, #30
91365400  add x0, x0, #0xd95
9140a800  add x0, x0, #0x2a, lsl #12
93c08800  ror x0, x0, #34
""",
    "relocated": """
f100381f  cmp x0, #14
54000002  b.hs .
9000000a  adrp x10, .
9101014a  add x10, x10, #0x40
f8607940  ldr x0, [x10, x0, lsl #3]
""",
    "smccc": """
52b8c009  mov w9, #-0x3a000000
cb090000  sub x0, x0, x9
f1003c1f  cmp x0, #15
54000002  b.hs .
9000000a  adrp x10, .
9101014a  add x10, x10, #0x40
f860794a  ldr x10, [x10, x0, lsl #3]
d61f0140  br x10
""",
}
_TEXT["fnptr, call"] = _TEXT["fnptr"] + _CALL_3
_TEXT["numbered, call"] = _TEXT["numbered"] + _CALL_6
_TEXT["reviewed, call"] = _TEXT["reviewed"] + _CALL_3


def _lines(path: str) -> list[list[str]]:
    return [line.split(maxsplit=1) for line in path.splitlines() if line]


WORDS = {name: [int(word, 16) for word, _ in _lines(path)] for name, path in _TEXT.items()}
SOURCE = {name: [text for _, text in _lines(path)] for name, path in _TEXT.items()}
