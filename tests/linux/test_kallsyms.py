"""The list of symbols, packed here as the three generations of kernels pack it, and unpacked."""

import struct

import pytest

from hypkit.linux import kallsyms
from hypkit.machine.errors import MachineError

VA = 0xFFFF_8000_0800_0000
NAMES = [f"T__kvm_nvhe_function_{number}" for number in range(20_000)]
ADDRESSES = [VA + 0x10000 + 4 * number for number in range(len(NAMES))]
LONG = 777  # this name takes more than 127 bytes


def packed(form, big=False):
    """A kernel's memory with the list in it."""
    tokens = [b"%c" % c if 32 < c < 127 else b"?" for c in range(256)]
    tokens[200], tokens[201] = b"__kvm_nvhe_", b"function_"
    names, marks = b"", []
    for number, name in enumerate(NAMES):
        if number % 256 == 0:
            marks.append(len(names))
        text = name.encode().replace(b"__kvm_nvhe_", b"\xc8").replace(b"function_", b"\xc9")
        if big and number == LONG:
            text += b"x" * 200
            names += bytes((len(text) & 0x7F | 0x80, len(text) >> 7)) + text
        else:
            names += bytes((len(text),)) + text
    offsets = struct.pack(f"<{len(NAMES)}I", *(at - VA for at in ADDRESSES))
    base = struct.pack("<Q", VA)
    index, at = [], 0
    for token in tokens:
        index.append(at)
        at += len(token) + 1

    memory = bytearray(b"\x11" * 4095 + b"\0")

    def put(data, align=8):
        memory.extend(bytes(-len(memory) % align))
        memory.extend(data)

    if form == "before":
        put(offsets)
        put(base)
    put(struct.pack("<I", len(NAMES)))
    put(names)
    put(struct.pack(f"<{len(marks)}I", *marks))
    if form == "before" and big:  # 6.1 has the names sorted between the two as well
        put(b"\x01\x02\x03" * len(NAMES))
    put(b"".join(token + b"\0" for token in tokens))
    put(struct.pack("<256H", *index))
    if form == "after":
        put(offsets)
        put(base)
    if form == "own":
        memory.extend(bytes(-len(memory) % 4))
        start = VA + len(memory)
        own = (address - start - 4 * n for n, address in enumerate(ADDRESSES))
        put(struct.pack(f"<{len(NAMES)}i", *own), 4)
    return bytes(memory) + b"\x22" * (1 << 20)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("form", ["before", "after", "own"])
def test_every_name_gets_its_address_whatever_the_form(form, big):
    found = kallsyms.symbols(packed(form, big), VA)
    names = [name[1:] + "x" * 200 * (big and n == LONG) for n, name in enumerate(NAMES)]
    assert found == dict(zip(names, ADDRESSES, strict=True))


@pytest.mark.parametrize("memory", [b"", b"0\x001\x00" * 1000, packed("after")[:30_000]])
def test_memory_without_a_list_is_refused_with_a_reason(memory):
    with pytest.raises(MachineError, match="needs CONFIG_KALLSYMS"):
        kallsyms.symbols(memory, VA)
