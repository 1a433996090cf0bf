"""GNU as and ld as a function: text -> bytes."""

import re
import struct
import subprocess
from pathlib import Path

from tests.judges import judge, tool

# What hypkit has built in and GNU as has not.
PRELUDE = """
        .macro  adr_l dst, sym
        adrp    \\dst, \\sym
        add     \\dst, \\dst, :lo12:\\sym
        .endm
        .macro  ldr_l dst, sym, tmp=
        .ifb    \\tmp
        adrp    \\dst, \\sym
        ldr     \\dst, [\\dst, :lo12:\\sym]
        .else
        adrp    \\tmp, \\sym
        ldr     \\dst, [\\tmp, :lo12:\\sym]
        .endif
        .endm
        .macro  str_l src, sym, tmp
        adrp    \\tmp, \\sym
        str     \\src, [\\tmp, :lo12:\\sym]
        .endm
"""
MARCH = "-march=armv8-a+crc+crypto+sb"
A72 = "-march=armv8-a+crc+crypto"  # what a Cortex-A72 has


def gnu_object(
    text: str, folder: Path, prelude: str = PRELUDE, march: str = MARCH
) -> tuple[Path, str]:
    """Assemble; (the object file, what GNU as said). The object is missing if it refused."""
    source, made = folder / "text.s", folder / "text.o"
    source.write_text(prelude + text, encoding="utf-8")
    made.unlink(missing_ok=True)
    done = subprocess.run(
        [judge("as"), march, "-o", str(made), str(source)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return made, done.stderr


def gnu_bytes(
    text: str, bases: tuple[int, ...], folder: Path, symbols: dict[str, int] | None = None
) -> list[bytes]:
    """What the text becomes when it is linked at each base, with the addresses of the names that
    lie outside. Fails with what as or ld said."""
    outside = [f"--defsym={name}={value:#x}" for name, value in (symbols or {}).items()]
    made, said = gnu_object(text, folder)
    assert made.exists(), f"GNU as refuses:\n{said}"
    out = []
    for base in bases:
        image = folder / "text.elf"
        done = subprocess.run(
            [tool("ld"), "-Ttext", hex(base), "-e", "0", *outside, "-o", str(image), str(made)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"GNU ld refuses:\n{done.stderr}"
        out.append(text_section(image.read_bytes()))
    return out


def text_section(elf: bytes) -> bytes:
    """The bytes of .text in a 64-bit little-endian ELF file."""
    start, size, count, names = (
        *struct.unpack_from("<Q", elf, 40),
        *struct.unpack_from("<3H", elf, 58),
    )
    headers = [struct.unpack_from("<IIQQQQ", elf, start + i * size) for i in range(count)]
    strings = headers[names][4]
    for name, _, _, _, offset, length in headers:
        if elf[strings + name :].startswith(b".text\0"):
            return elf[offset : offset + length]
    raise AssertionError("no .text in this ELF file")


def words_of_gnu_as(lines: list[str], folder: Path, march: str = MARCH) -> dict[str, int]:
    """The word of each line that GNU as takes."""
    said = ""
    for _ in range(3):
        made, said = gnu_object("".join(f"{line}\n" for line in lines), folder, "", march)
        refused = {int(n) for n in re.findall(r"text\.s:(\d+): Error", said)}
        if not refused:
            break
        lines = [line for number, line in enumerate(lines, 1) if number not in refused]
    assert made.exists(), said
    code = text_section(made.read_bytes())
    assert len(code) == 4 * len(lines)
    return {line: int.from_bytes(code[4 * i :][:4], "little") for i, line in enumerate(lines)}
