"""The user space that a kernel is booted with: one program of ours, in one archive.

The program is `init.S` in an ELF file of one segment (System V ABI, chapters 4 and 5); the archive
is a cpio one of the "newc" kind, as the kernel's initramfs takes it. Both formats are written here:
what they need of a header is a line each.
"""

from __future__ import annotations

import struct
from pathlib import Path

from hypkit.asm import assemble

BASE = 0x40_0000
READY = "hypkit: READY"
TROUBLE = "hypkit: "  # begins every other line that init writes

_DIRECTORY, _DEVICE, _FILE = 0o040755, 0o020600, 0o100755
_CONSOLE, _KVM = (5, 1), (10, 232)  # the numbers of character devices, admin-guide/devices.txt


def init() -> bytes:
    """Return init as an ELF file: headers that map all of it, and the assembled program."""
    header, segment = 64, 56
    start = header + segment
    code = assemble(
        Path(__file__).with_name("init.S").read_text(encoding="utf-8"), BASE + start, name="init.S"
    ).code
    elf = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # 64 bits, little-endian
    elf += struct.pack("<HHIQQQ", 2, 183, 1, BASE + start, header, 0)  # an AArch64 program
    elf += struct.pack("<IHHHHHH", 0, header, segment, 1, 64, 0, 0)
    size = start + len(code)
    elf += struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x1000)  # read and execute
    return elf + code


def initrd() -> bytes:
    """Return the archive: init, and the two device files it opens."""
    entries = (
        ("dev", _DIRECTORY, (0, 0), b""),
        ("dev/console", _DEVICE, _CONSOLE, b""),
        ("dev/kvm", _DEVICE, _KVM, b""),
        ("init", _FILE, (0, 0), init()),
        ("TRAILER!!!", 0, (0, 0), b""),
    )
    archive = b""
    for number, (name, mode, device, content) in enumerate(entries, 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        archive += _padded(header + name.encode() + b"\0") + _padded(content)
    return archive


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
