"""Instruction words taken apart, against what GNU objdump reads in them."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hypkit.a64 import disassembler, sysregs
from hypkit.a64.conditions import CONDITIONS, NUMBERS, holds
from hypkit.a64.decode import decode, spelled
from hypkit.a64.effects import Operation, operation
from hypkit.asm import assemble
from hypkit.cost import counts_as
from hypkit.kernel.addresses import Layout
from hypkit.kernel.image import load
from hypkit.kernel.programs import build
from hypkit.kernel.variants import VARIANTS
from tests.judges import judge, judged
from tests.marks import needs_engine
from tests.oracle import disassembly
from tests.oracle.gnu import gnu_bytes

CORPUS = disassembly.recorded()
PC = 0x0000_9656_C028_5404

# --- What objdump says, as data: written from the Arm ARM's mnemonics, not from the encodings -----

_BYTES = {"x": 8, "w": 4, "b": 1, "h": 2, "s": 4, "d": 8, "q": 16}
_LOADS_AND_STORES = re.compile(r"(ld|st)(?:[aln]?x|n|[ul]?t|[au]|l|ur|tr)?[rp]?(s?[bhw])?$")
_ADDRESS = re.compile(r"\[(\w+)(?:, #(-?\w+)|, (\w+)(?:, (\w+)(?: #(\d+))?)?)?\](!|, #(-?\w+))?$")


def truth(said):
    """What a line of objdump moves: dict, or None for what moves no register from or to memory."""
    mnemonic, _, operands = said.partition(" ")
    match = _LOADS_AND_STORES.match(mnemonic)
    if not match:
        return None
    kind = {"ld": "load", "st": "store"}[match[1]]
    width = match[2] or ""
    registers, *_ = re.split(r", (?=\[|\.)", operands)
    registers = registers.split(", ")
    if re.match(r"stl?x", mnemonic):
        registers = registers[1:]  # the first says whether it was stored
    each = {"b": 1, "h": 2, "w": 4}[width[-1]] if width else _BYTES[registers[0][0]]
    found = dict(
        kind=kind,
        size=each * len(registers),
        signed=width.startswith("s"),
        registers=tuple(map(full, registers)),
        wide=registers[0][0] in "xdq",
        writeback=None,
        base=None,
        index=None,
        extend="",
        shift=0,
        offset=0,
    )
    if target := re.search(r", \.([-+]0x[0-9a-f]+)$", operands):
        found["offset"] = int(target[1], 16)
        return found
    base, offset, index, extend, shift, after, post = _ADDRESS.search(operands).groups()
    found.update(
        base=full(base),
        index=index and full(index),
        shift=int(shift or 0),
        extend=extend if extend in ("uxtw", "sxtw") else "",
        offset=int(offset or "0", 0),
        writeback={None: 0, "!": int(offset or "0", 0)}.get(after, int(post or "0", 0)),
    )
    return found


def full(register):
    """The 64-bit register that a trace keeps: w5 is part of x5."""
    if register in ("wzr", "wsp"):
        return {"wzr": "xzr", "wsp": "sp"}[register]
    return "x" + register[1:] if register[0] == "w" else register


def test_the_truth_is_read_as_meant():
    assert truth("ldrsw x1, [x2, w3, sxtw #2]") == dict(
        kind="load",
        size=4,
        signed=True,
        registers=("x1",),
        wide=True,
        writeback=0,
        base="x2",
        index="x3",
        extend="sxtw",
        shift=2,
        offset=0,
    )
    assert truth("stp wzr, w30, [sp], #-16") == dict(
        kind="store",
        size=8,
        signed=False,
        registers=("xzr", "x30"),
        wide=False,
        writeback=-16,
        base="sp",
        index=None,
        extend="",
        shift=0,
        offset=0,
    )
    assert truth("stlxrb w5, w1, [x2]")["registers"] == ("x1",)
    assert truth("ldr x1, .-0x4")["offset"] == -4
    assert truth("prfm pldl1keep, [x2]") is truth("str_of_nothing") is None


# --- The corpus ----------------------------------------------------------------------------------


def test_the_recorded_corpus_is_what_gnu_as_and_objdump_say(tmp_path):
    judge("as")
    found = disassembly.corpus(tmp_path)
    assert found == list(CORPUS), "run `python -m tests.oracle.disassembly` to record it anew"
    judged("instructions taken apart as GNU objdump does", len(found))


def test_the_corpus_has_every_form():
    truths = [truth(said) for _, _, said in CORPUS]
    moves = [t for t in truths if t]
    assert len(moves) > 600 and truths.count(None) > 100
    assert {t["size"] for t in moves} == {1, 2, 4, 8, 16, 32}
    assert {t["extend"] for t in moves} == {"", "uxtw", "sxtw"}
    assert {t["base"] for t in moves} == {None, "x2", "sp"}
    assert {len(t["registers"]) for t in moves} == {1, 2}


def test_memory_operands_are_those_of_objdump():
    for _, word, said in CORPUS:
        operand, wanted = decode(word).memory, truth(said)
        if wanted is None:
            assert operand is None, said
            continue
        wanted["writeback"] = bool(wanted["writeback"])
        assert {name: getattr(operand, name) for name in wanted} == wanted, said
        assert operand.element * len(operand.registers) == operand.size


def test_addresses_are_computed_as_objdumps_text_says():
    draw = random.Random(16)
    for _, word, said in CORPUS:
        if (wanted := truth(said)) is None:
            continue
        values = {f"x{n}": draw.getrandbits(64) for n in range(31)} | {"sp": draw.getrandbits(64)}
        values["xzr"] = 0
        address = PC if wanted["base"] is None else values[wanted["base"]]
        # A post-indexed offset moves the base afterwards and is not part of the address.
        address += 0 if "]," in said else wanted["offset"]
        if wanted["index"]:
            index = values[wanted["index"]]
            index = {"": index, "uxtw": index % 2**32, "sxtw": (index + 2**31) % 2**32 - 2**31}[
                wanted["extend"]
            ]
            address += index * 2 ** wanted["shift"]
        assert decode(word).memory.address(PC, values.__getitem__) == address % 2**64, said


def test_a_store_exclusive_says_which_register_tells_whether_it_was_done():
    for _, word, said in CORPUS:
        if (operand := decode(word).memory) is not None:
            assert operand.status == ("x5" if said.startswith(("stx", "stlx")) else None), said


def numbers_alike(text):
    """Text with every number in the same dress, and conditions by one name."""
    text = re.sub(r"#(-?\w+)", lambda m: f"#{int(m[1], 0) % 2**64:#x}", text)
    text = re.sub(r"\.([-+]0x\w+)$", lambda m: f".{int(m[1], 0) % 2**64:#x}", text)
    return text.replace("b.cs ", "b.hs ").replace("b.cc ", "b.lo ")


def test_the_text_is_objdumps():
    for _, word, said in CORPUS:
        page = PC & ~0xFFF if said.startswith("adrp") else PC
        text = decode(word).text(PC, lambda address, here=page: f".{address - here:+#x}")
        assert numbers_alike(text) == numbers_alike(said)


def test_a_load_or_store_reads_and_writes_the_registers_that_objdump_shows():
    compared = priced = 0
    for _, word, said in CORPUS:
        op, wanted = decode(word).operation, truth(said)
        if wanted is None:
            continue
        address = {wanted["base"], wanted["index"]} - {None, "xzr"}
        data = {name for name in wanted["registers"] if name[0] == "x"} - {"xzr"}
        load = wanted["kind"] == "load"
        back = {wanted["base"]} if wanted["writeback"] else set()
        status = {"x5"} if said.startswith(("stx", "stlx")) else set()
        assert set(op.inputs) == (address if load else address | data), said
        assert set(op.outputs) == (data if load else set()) | back | status, said
        compared, priced = compared + 1, priced + bool(op.kind)
        assert not op.flow and not op.opaque and not op.constant
    assert compared > 600 and priced > 300


# --- Single instructions -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("b .+8", dict(flow="branch", kind="branch")),
        ("bl .+8", dict(flow="call", kind="call", writes=("x30",))),
        (
            "b.cc .+8",
            dict(flow="conditional", kind="branch", condition="lo", reads=(("nzcv", ""),)),
        ),
        ("cbz w3, .+8", dict(flow="conditional", kind="branch", reads=(("x3", ""),))),
        ("cbnz xzr, .+8", dict(flow="conditional", kind="branch")),
        ("tbnz x3, #40, .+8", dict(flow="conditional", kind="branch", reads=(("x3", ""),))),
        ("br x7", dict(flow="branch", kind="branch_reg", indirect=True, reads=(("x7", ""),))),
        (
            "blr x30",
            dict(
                flow="call", kind="call_reg", indirect=True, reads=(("x30", ""),), writes=("x30",)
            ),
        ),
        ("ret", dict(flow="return", kind="branch_reg", indirect=True, reads=(("x30", ""),))),
        ("eret", dict(flow="eret", indirect=True, drains=True)),
        ("hvc #3", dict(flow="exception", drains=True)),
        ("svc #0", dict(flow="exception", drains=True)),
        ("smc #0", dict(flow="exception", drains=True)),
        ("brk #1", dict(flow="exception", drains=True)),
        ("isb", dict(barrier="isb", drains=True)),
        ("dsb nsh", dict(barrier="dsb", drains=True)),
        ("dmb ish", dict(barrier="dmb")),
        ("sb", dict(barrier="sb", drains=True)),
        ("esb", dict(barrier="esb")),
        ("csdb", dict(barrier="csdb")),
        ("clrex", dict(barrier="clrex")),
        ("nop", dict(kind="nop")),
        ("yield", dict()),
        ("mrs x1, esr_el2", dict(system_read="ESR_EL2", writes=("x1",))),
        ("mrs xzr, esr_el2", dict(system_read="ESR_EL2")),
        ("msr vttbr_el2, x1", dict(system_write="VTTBR_EL2", reads=(("x1", ""),))),
        ("msr vttbr_el2, xzr", dict(system_write="VTTBR_EL2")),
        ("mrs x1, ich_elrsr_el2", dict(system_read="s3_4_c12_c11_5", writes=("x1",))),
        ("mrs x1, nzcv", dict(reads=(("nzcv", ""),), writes=("x1",))),
        ("msr nzcv, x1", dict(reads=(("x1", ""),), writes=("nzcv",))),
        ("mrs x1, daif", dict(system_read="DAIF", writes=("x1",))),
        ("msr daifset, #15", dict(system_write="DAIF", constant=True)),
        ("msr spsel, #1", dict(system_write="SPSel", constant=True)),
        ("tlbi alle2", dict()),
        ("tlbi vae2is, x3", dict(reads=(("x3", ""),))),
        ("dc civac, x3", dict(reads=(("x3", ""),))),
        ("dc zva, x3", dict(reads=(("x3", ""),), opaque=True)),
        ("at s1e2r, x3", dict(system_write="PAR_EL1", reads=(("x3", ""),))),
        ("prfm pldl1keep, [x2]", dict(reads=(("x2", ""),))),
        ("ld1 {v0.16b}, [x2]", dict(reads=(("x2", ""),), opaque=True)),
        ("movz x1, #5", dict(kind="move", writes=("x1",), constant=True)),
        (
            "movk x1, #5, lsl #16",
            dict(kind="alu", reads=(("x1", "alu"),), writes=("x1",), constant=True),
        ),
        ("add x1, x2, #5", dict(kind="alu", reads=(("x2", "alu"),), writes=("x1",), constant=True)),
        (
            "add x1, x2, x3",
            dict(kind="alu_reg", reads=(("x2", "alu"), ("x3", "alu")), writes=("x1",)),
        ),
        ("adr x1, .+8", dict(kind="alu", writes=("x1",))),
        (
            "csel x1, x2, x3, lt",
            dict(
                kind="alu",
                reads=(("x2", "alu"), ("x3", "alu"), ("nzcv", "")),
                writes=("x1",),
                condition="lt",
                chosen=("x2", "x3"),
            ),
        ),
        (
            "cset x1, eq",
            dict(
                kind="alu", reads=(("nzcv", ""),), writes=("x1",), condition="ne", chosen=("", "")
            ),
        ),
        (
            "ccmp x1, #4, #2, cs",
            dict(
                kind="alu",
                reads=(("x1", "alu"), ("nzcv", "")),
                writes=("nzcv",),
                condition="hs",
                constant=True,
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_instruction_is_what_the_arm_arm_says(text, known, tmp_path):
    judge("as")
    (code,) = gnu_bytes(text + "\n", (0,), tmp_path)
    word = int.from_bytes(code[:4], "little")
    assert decode(word).operation == replace(Operation(""), **known)
    assert operation(word) is decode(word).operation
    assert json.loads(json.dumps(decode(word).facts()))["flow"] == known.get("flow", "")


def test_the_facts_of_a_word_are_ready_for_json():
    facts = decode(0xA9BF07E0).facts()  # stp x0, x1, [sp, #-16]!
    assert json.loads(json.dumps(facts)) == facts | {"word": 0xA9BF07E0}
    assert facts["reads"] == ["x0", "x1", "sp"] and facts["writes"] == ["sp"]
    assert facts["memory"]["base"] == "sp" and facts["memory"]["registers"] == ["x0", "x1"]
    assert facts["memory"]["offset"] == -16 and facts["memory"]["size"] == 16
    assert facts["mnemonic"] == "stp" and facts["kind"] == "store_pair_wb"
    assert (
        decode(0x54000043).facts()["target"] == 8 and decode(0x54000043).facts()["memory"] is None
    )


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0x94000002, "bl .+0x8"),
        (0x17FFFFFF, "b .-0x4"),
        (0xB0000009, "adrp x9, .+0x1000"),
        (0x58000041, "ldr x1, .+0x8"),
        (0xF9400000, "ldr x0, [x0]"),
    ],
)
def test_without_an_address_a_target_is_a_distance(word, text):
    assert decode(word).text() == text


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_holds_as_in_the_arm_arm(condition):
    """Against the comparison of two small signed numbers that it is meant for."""
    meant = {
        "eq": lambda a, b: a == b,
        "ne": lambda a, b: a != b,
        "hs": lambda a, b: a % 256 >= b % 256,
        "lo": lambda a, b: a % 256 < b % 256,
        "mi": lambda a, b: (a - b) % 256 >= 128,
        "pl": lambda a, b: (a - b) % 256 < 128,
        "vs": lambda a, b: not -128 <= a - b < 128,
        "vc": lambda a, b: -128 <= a - b < 128,
        "hi": lambda a, b: a % 256 > b % 256,
        "ls": lambda a, b: a % 256 <= b % 256,
        "ge": lambda a, b: a >= b,
        "lt": lambda a, b: a < b,
        "gt": lambda a, b: a > b,
        "le": lambda a, b: a <= b,
        "al": lambda a, b: True,
        "nv": lambda a, b: True,
    }[condition]
    for a in range(-128, 128, 5):
        for b in range(-128, 128, 5):
            result = (a - b) % 256
            flags = (
                (result >> 7) << 31
                | (result == 0) << 30
                | (a % 256 >= b % 256) << 29
                | (not -128 <= a - b < 128) << 28
            )
            assert holds(condition, flags) is meant(a, b), (condition, a, b)


def test_a_condition_has_its_number_and_two_have_two_names():
    assert [NUMBERS[name] for name in ("eq", "lo", "hi", "le", "al")] == [0, 3, 8, 13, 14]
    assert NUMBERS["cs"] == NUMBERS["hs"] == 2 and NUMBERS["cc"] == NUMBERS["lo"] == 3
    with pytest.raises(KeyError):
        holds("never", 0)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0x94000002, "bl there"),
        (0x58000041, "ldr x1, there"),
        (0x10000041, "adr x1, there"),
        (0xB0000009, "adrp x9, there"),
        (0x37180041, "tbnz w1, #3, there"),
        (0xB4000041, "cbz x1, there"),
        (0x54000043, "b.lo there"),
        (0x1C000041, "ldr s1, there"),
    ],
)
def test_a_pc_relative_operand_gets_the_name_that_is_known_for_it(word, text):
    target = (PC & ~0xFFF) + 0x1000 if "adrp" in text else PC + 8
    known = {target: "there"}
    assert decode(word).text(PC, known.get) == text
    assert decode(word).text(PC).endswith(f"{target:#x}")


def test_a_target_wraps_around_the_address_space():
    assert decode(0x14000002).text((1 << 64) - 4) == "b 0x4"
    assert decode(0x17FFFFFF).text(0) == "b 0xfffffffffffffffc"


@pytest.mark.parametrize("name", sysregs.SYSREGS)
def test_a_system_register_is_called_by_its_name_both_ways(name):
    op0, op1, crn, crm, op2 = sysregs.SYSREGS[name]
    read = 0xD5300000 | (op0 - 2) << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5 | 7
    assert decode(read).text(0) == f"mrs x7, {name.lower()}"
    assert decode(read ^ 1 << 21 | 31).text(0) == f"msr {name.lower()}, xzr"


@pytest.mark.parametrize(
    "word",
    [
        0xF8200020,  # ldadd x0, x0, [x1]: no such thing on a Cortex-A72
        0xC8A07C20,  # cas x0, x0, [x1]
        0x08207C82,  # casp w0, w1, w2, w3, [x4]
        0xF8A20020,  # ldaddal-like with prefetch's size
        0x4C407000,  # ld1 {v0.16b}, [x0]
        0xD9200C20,  # a tag store
        0x3C800820,  # a vector with EL0's permissions: unallocated
    ],
)
def test_what_is_no_plain_load_or_store_has_no_memory_operand(word):
    assert decode(word).memory is None


def test_what_is_no_instruction_is_a_number():
    assert decode(0xFFFFFFFF).text(0) == ".inst 0xffffffff"
    assert decode(0xFFFFFFFF).memory is decode(0xFFFFFFFF).target is None


@pytest.mark.parametrize("word", [-1, 1 << 32, "nop", 1.0, None])
def test_what_is_no_32_bit_word_is_refused(word):
    with pytest.raises(ValueError) as caught:
        decode(word)
    assert (
        str(caught.value)
        == f"expected an A64 instruction, one word of 0 to 0xffffffff; got {word!r}"
    )


# --- A page, named by the address that it is part of ----------------------------------------------

ADRP = 0xB0000009  # adrp x9, page + 0x1000


@pytest.mark.parametrize(
    ("after", "offset"),
    [
        ([0x91048129], 0x120),  # add x9, x9, #0x120
        ([0x9104812A], 0x120),  # add x10, x9, #0x120
        ([0xF9400529], 8),  # ldr x9, [x9, #8]
        ([0xF900052A], 8),  # str x10, [x9, #8]
        ([0xB9400529], 4),  # ldr w9, [x9, #4]
        ([0x3940052A], 1),  # ldrb w10, [x9, #1]
        ([0xA9400D22], 0),  # ldp x2, x3, [x9]
        ([0xB000000A, 0x91048129], 0x120),  # adrp x10, ... before it
        ([0xD503201F, 0xD503201F, 0xF9400529], 8),
    ],
)
def test_a_page_is_named_by_the_address_that_is_made_of_it(after, offset):
    words = {PC + 4 * n: word for n, word in enumerate([ADRP, *after])}
    page = (PC & ~0xFFF) + 0x1000
    names = {page: "first_of_the_page", page + offset: "meant"}
    assert spelled(PC, words.get, names.get) == "adrp x9, meant"
    assert spelled(PC, words.get, lambda address: None) == f"adrp x9, {page:#x}"


@pytest.mark.parametrize(
    "after",
    [
        [],
        [0xD503201F] * 5 + [0x91048129],  # too far away
        [0xD2800009, 0x91048129],  # mov x9, #0: another value
        [0x9104814A],  # add x10, x10: another register
        [0x14000002, 0x91048129],  # a branch between them
        [0xF86A7929],  # ldr x9, [x9, x10, lsl #3]
        [0x91448129],  # add x9, x9, #0x120, lsl #12
    ],
)
def test_a_page_that_no_address_is_made_of_stays_a_number(after):
    words = {PC + 4 * n: word for n, word in enumerate([ADRP, *after])}
    page = (PC & ~0xFFF) + 0x1000
    names = {page: "first_of_the_page", page + 0x120: "elsewhere"}
    assert spelled(PC, words.get, names.get) == f"adrp x9, {page:#x}"


def test_every_page_in_the_guest_gets_the_name_that_its_source_line_says():
    image = load("numbered", Layout.from_seed(2020))
    checked, shift = 0, image.layout.kaslr_offset
    for program in image.programs[:-1]:
        source = program.source.splitlines()
        words = {
            address: int.from_bytes(program.code[address - program.base :][:4], "little")
            for address in program.lines
        }
        for address, line in program.lines.items():
            if decode(words[address]).mnemonic != "adrp" or "adr_l" not in source[line - 1]:
                continue
            said = source[line - 1].partition("//")[0].split()[-1]
            if said not in image.symbols:  # the end of the stack has no name in an image
                continue
            text = spelled(address + shift, lambda at, w=words: w.get(at - shift), image.symbolize)
            assert text.split()[-1].partition("+")[0] == said, (program.name, line)
            checked += 1
    assert checked > 10


# --- The guest -----------------------------------------------------------------------------------


def runs():
    """(address, words) of every stretch of instructions in the programs of all variants."""
    seen = set()
    for key in VARIANTS:
        for program in build(key):
            code = program.base, program.code
            if program.name in ("rodata.S", "table", "data.S") or code in seen:
                continue
            seen.add(code)
            words = {
                address: int.from_bytes(program.code[address - program.base :][:4], "little")
                for address in program.lines
            }
            tables = ("vm_counter", "hcall_distances")
            data = {
                address
                for address in words
                for table in tables
                if address >= program.symbols.get(table, address + 1)
            }
            data |= {
                address + decode(word).target
                for address, word in words.items()
                if (memory := decode(word).memory) and memory.base is None
            }
            run = []
            for address in sorted(words.keys() - data):
                if run and address != run[-1] + 4:
                    yield run[0], [words[at] for at in run]
                    run = []
                run.append(address)
            yield run[0], [words[at] for at in run]


def test_every_instruction_of_the_guest_decodes():
    total = 0
    for address, words in runs():
        texts = [decode(word).text(address + 4 * n) for n, word in enumerate(words)]
        assert not [text for text in texts if text.startswith((".inst", "udf"))]
        total += len(words)
    assert total > 600


@needs_engine
def test_every_instruction_of_the_guest_assembles_back_from_its_text():
    for address, words in runs():
        targets = {}  # to an assembler a bare number is a distance: give every target a name

        def name(target, names=targets):
            return names.setdefault(target, f"at_{target:x}")

        texts = [decode(word).text(address + 4 * n, name) for n, word in enumerate(words)]
        symbols = {name: target for target, name in targets.items()}
        code = assemble("\n".join(texts), base=address, symbols=symbols).code
        back = [int.from_bytes(code[4 * n :][:4], "little") for n in range(len(words))]
        assert [*zip(texts, map(hex, back), strict=True)] == [
            *zip(texts, map(hex, words), strict=True)
        ]


def test_every_instruction_of_the_guest_reads_as_in_objdump(tmp_path):
    judge("as")
    words = sorted({word for _, words in runs() for word in words})
    for word, said in zip(words, disassembly.of_words(words, tmp_path), strict=True):
        page = PC & ~0xFFF if said.startswith("adrp") else PC
        text = decode(word).text(PC, lambda address, here=page: f".{address - here:+#x}")
        assert numbers_alike(text) == numbers_alike(_named(said))
    judged("guest instructions that read as in GNU objdump", len(words))


def _named(said):
    """objdump's text, with GIC registers by name where binutils knows them by number only."""
    return re.sub(
        r"s3_(\d)_c(\d+)_c(\d+)_(\d)",
        lambda m: sysregs.SYSREG_NAMES.get(
            sysregs.Encoding(3, *map(int, m.groups())), m[0]
        ).lower(),
        said,
    )


# --- One place -----------------------------------------------------------------------------------


def test_one_module_has_the_disassembler_and_everybody_asks_it():
    package = Path(disassembler.__file__).parents[1]
    found = [
        path.relative_to(package).as_posix()
        for path in sorted(package.rglob("*.py"))
        if re.search(r"^\s*(?:import|from) capstone", path.read_text(encoding="utf-8"), re.M)
    ]
    assert found == ["a64/disassembler.py"]


@pytest.mark.parametrize(
    ("word", "counts"),
    [
        (0xF9400020, (True, False, False, False)),  # ldr x0, [x1]
        (0xA9000801, (False, True, False, False)),  # stp x1, x2, [x0]
        (0x54000040, (False, False, True, False)),  # b.eq
        (0xD63F0020, (False, False, True, True)),  # blr x1
        (0xD69F03E0, (False, False, True, True)),  # eret
        (0xD4000002, (False, False, False, False)),  # hvc #0
        (0x9AC25C20, (False, False, False, False)),  # crc32cx w0, w1, x2: Capstone's registers
    ],
)
def test_the_counts_follow_from_what_an_instruction_is(word, counts):
    assert counts_as(decode(word)) == counts
