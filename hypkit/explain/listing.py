"""The code that a trace passes through, instruction by instruction, with our comments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hypkit.a64.decode import Instruction, decode, spelled
from hypkit.a64.effects import is_hvc
from hypkit.a64.pagetables import PAGE_SIZE
from hypkit.asm import Program
from hypkit.cost import counts_as
from hypkit.explain import templates
from hypkit.kernel.addresses import image_pa
from hypkit.kernel.image import Image
from hypkit.kernel.memory_map import HEAP, VM_IPA

# Bits of a row's kind.
LOAD, STORE, BRANCH, INDIRECT, HVC, ERET, CALL, RETURN, POOL = (1 << n for n in range(9))


@dataclass
class Row:
    """One line of the listing: an instruction of a function that the trace passes through."""

    pa: int
    va: int
    word: int
    label: str
    text: str
    comment: str
    story: str
    file: str
    line: int
    kind: int
    sentence: templates.Sentence
    instruction: Instruction = field(repr=False)
    vm: bool = False


def _kind(instruction: Instruction) -> int:
    memory, flow = instruction.memory, instruction.operation.flow
    bits = zip((LOAD, STORE, BRANCH, INDIRECT), counts_as(instruction), strict=True)
    kind = sum(bit for bit, counts in bits if counts)
    kind |= POOL if memory is not None and memory.base is None else 0
    kind |= HVC if is_hvc(instruction.word) else 0
    return kind | {"eret": ERET, "call": CALL, "return": RETURN}.get(flow, 0)


class Listing:
    """The functions that a trace passes through, instruction by instruction, with our comments."""

    def __init__(self, image: Image, pcs: np.ndarray, words: Mapping[int, int]) -> None:
        self.image, self._words = image, words
        # What was executed counts before what the image was loaded with: code can be rewritten.
        self._executed = {self._key(pc): word for pc, word in words.items()}
        self.rows: list[Row] = []
        self.row_of: dict[int, int] = {}  # address of an executed instruction -> row
        self._memory = sorted(image.memory.items())
        self._labels: dict[int, str] = {}
        for program in image.programs:
            for name, address in program.symbols.items():
                self._labels.setdefault(self._place(program, address), name)
        places = {int(pc): self._key(int(pc)) for pc in pcs}
        wanted = set(places.values())
        blocks = [block for block in self._blocks() if not wanted.isdisjoint(block)]
        blocks = _in_order_of_execution(blocks, list(places.values()))
        index: dict[int, int] = {}
        ran = {key: pc for pc, key in places.items()}
        for block in blocks:
            # What the program counter leads to is spelled from where the block ran.
            moved = next(ran[key] - key for key in block if key in ran)
            for key in block:
                index[key] = len(self.rows)
                self.rows.append(self._row(key, key + moved, *block[key]))
        for pc, key in places.items():
            if key not in index:  # a PC that no program accounts for, after a wild jump
                index[key] = len(self.rows)
                self.rows.append(self._stray(pc))
            self.row_of[pc] = index[key]

    def _key(self, pc: int) -> int:
        if VM_IPA <= pc < VM_IPA + PAGE_SIZE:
            return pc
        pa = self.image.layout.pa(pc)
        return pc if pa is None else pa

    def _place(self, program: Program, address: int) -> int:
        return address if program.base == VM_IPA else image_pa(address)

    def _blocks(self) -> Iterator[dict[int, tuple[str, int, list[str]]]]:
        """Yield runs of adjacent instructions under one label: address -> (file, line, its
        lines)."""
        for program in self.image.programs:
            source = program.source.splitlines()
            block: dict[int, tuple[str, int, list[str]]] = {}
            for address, line in sorted(program.lines.items()):
                key = self._place(program, address)
                code = _code(source[line - 1]) if line <= len(source) else ""
                new = key in self._labels or (block and key != max(block) + 4)
                if block and new:
                    yield block
                    block = {}
                if not code.startswith(".") and self._word(key) is not None:
                    block[key] = program.name, line, source
            if block:
                yield block

    def _word(self, key: int) -> int | None:
        if key in self._executed:
            return self._executed[key]
        if VM_IPA <= key < VM_IPA + PAGE_SIZE:
            key += HEAP["vm_memory"][0] - VM_IPA
        for pa, data in self._memory:
            if pa <= key <= pa + len(data) - 4:
                return int.from_bytes(data[key - pa : key - pa + 4], "little")
        return None

    def _row(self, key: int, ran: int, file: str, line: int, source: list[str]) -> Row:
        vm = VM_IPA <= key < VM_IPA + PAGE_SIZE
        va = key if vm else self.image.layout.image_va(key)
        instruction = decode(self._word(key) or 0)
        text = spelled(ran, lambda at: self._word(key + at - ran), self.image.symbolize)
        operands = text.partition(" ")[2]
        previous = self.rows[-1] if self.rows else None
        again = previous is not None and (previous.file, previous.line) == (file, line)
        comment, story = ("", "") if again else _comments(source, line, instruction.mnemonic)
        sentence = templates.explain(instruction, operands)
        label = self._labels.get(key, "")
        step = self._kern_hyp_va.get(key)
        if step is not None and instruction.mnemonic == "nop":
            sentence = templates.Sentence("Does nothing: kern_hyp_va was patched out at boot.")
        elif step is not None:
            after = f"{operands.split(',')[0]} = {{after {operands.split(',')[0]}}}"
            sentence = templates.Sentence(templates.KERN_HYP_VA[step].replace("{after}", after))
        elif (
            label.startswith("host_call_")
            and instruction.mnemonic == "mov"
            and (decode(self._word(key + 4) or 0).mnemonic != "movk")
        ):
            what = label.removeprefix("host_call_")
            sentence = templates.Sentence(f"Puts {{after x0}}, the number of {what}, into x0.")
        return Row(
            key,
            va,
            instruction.word,
            label,
            text,
            comment,
            story,
            file,
            line,
            _kind(instruction),
            sentence,
            instruction,
            vm,
        )

    def rewritten(self, row: Row, text: str, word: int) -> Row:
        """Return a row as it is with another word in its place; text: that instruction."""
        instruction = decode(word)
        return replace(
            row,
            word=word,
            text=text,
            kind=_kind(instruction),
            sentence=templates.explain(instruction, text.partition(" ")[2]),
            instruction=instruction,
        )

    @cached_property
    def _kern_hyp_va(self) -> dict[int, int]:
        # Boot rewrites another macro's moves as well: kimg_phys_offset.
        sites = (
            pa
            for pa in self.image.patched
            if decode(self._word(pa) or 0).mnemonic not in ("mov", "movz")
        )
        return {pa + 4 * step: step for pa in sites for step in range(5)}

    def _stray(self, pc: int) -> Row:
        instruction = decode(self._words.get(pc, 0))
        text = spelled(pc, self._words.get, self.image.symbolize)
        sentence = templates.explain(instruction, text.partition(" ")[2])
        return Row(
            self._key(pc),
            pc,
            instruction.word,
            "",
            text,
            "not part of any program",
            "",
            "",
            0,
            _kind(instruction),
            sentence,
            instruction,
        )


def _in_order_of_execution(blocks: list[dict], executed: list[int]) -> list[dict]:
    """Order blocks: neighbours in memory stay together; the groups are in the order in which they
    first ran."""
    first = {key: order for order, key in reversed(list(enumerate(executed)))}
    groups: list[list[dict]] = []
    for block in blocks:
        if groups and min(block) == max(groups[-1][-1]) + 4:
            groups[-1].append(block)
        else:
            groups.append([block])
    groups.sort(
        key=lambda group: min(first[key] for block in group for key in block if key in first)
    )
    return [block for group in groups for block in group]


def _code(line: str) -> str:
    code = line.partition("//")[0].strip()
    while code.partition(" ")[0].endswith(":"):
        code = code.partition(" ")[2].strip()
    return code


def _comments(source: list[str], line: int, mnemonic: str) -> tuple[str, str]:
    """Return (the comment beside an instruction, the comment above it) in the guest's text."""
    if not 0 < line <= len(source):
        return "", ""
    text = source[line - 1]
    code, _, comment = text.partition("//")
    parts = _code(text).split()
    spelled = " ".join(parts)
    if parts and (parts[0] != mnemonic and not mnemonic.startswith("b") or "=" in spelled):
        comment = f"{spelled}; {comment.strip()}" if comment.strip() else spelled
    above: list[str] = []
    at = line - 2
    if not _code(text) or code.strip().startswith(("0", "1", "2", "3")) and not parts:
        return comment.strip(), ""
    # The comment above belongs to the instruction also across a label of its own.
    while at >= 0 and not _code(source[at]):
        words = source[at].partition("//")[2].strip()
        if words:
            above.insert(0, words)
        elif not source[at].strip() and above:
            break
        at -= 1
    return comment.strip(), " ".join(above)
