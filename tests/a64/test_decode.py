"""Instruction words taken apart, against what GNU objdump reads in them."""

import random
import re

import pytest

from hypkit.a64 import sysregs
from hypkit.a64.decode import decode
from hypkit.a64.effects import operation
from hypkit.asm import assemble
from hypkit.kernel.programs import build
from hypkit.kernel.variants import VARIANTS
from tests.judges import judge, judged
from tests.marks import needs_keystone
from tests.oracle import disassembly

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


def test_the_pipeline_model_reads_the_same_registers_in_a_load_or_store():
    compared = 0
    for _, word, said in CORPUS:
        op, operand = operation(word), decode(word).memory
        if not op.kind.startswith(("load", "store")):
            continue
        address = {operand.base, operand.index} - {None, "xzr"}
        data = set(operand.registers) - {"xzr"}
        read = {register for register, _ in op.reads}
        assert read == (address if operand.kind == "load" else address | data), said
        assert set(op.writes) - {""} == (data if operand.kind == "load" else set()), said
        assert bool(op.base) == operand.writeback, said
        compared += 1
    assert compared > 300


# --- Single instructions -------------------------------------------------------------------------


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
    assert str(caught.value) == f"an A64 instruction is one 32-bit word, not {word!r}"


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


@needs_keystone
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
