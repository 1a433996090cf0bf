"""The child process in which an engine lives: one instruction in, one word out.

Run as a script (`engine_child.py keystone|llvm SECONDS`); it imports nothing of hypkit, so that it
starts quickly. One request is a JSON list of instructions on one line, one reply is a line per
instruction: a number, or null where the engine refuses. LLVM ends the process at an instruction that
it refuses, after a line that says where: it works in a fork of the child, and where there is no fork
(Windows) the parent reads that line. The child ends when its standard input closes, and when a
request has taken more than SECONDS of its processor time.
"""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

READY = '"ready"\n'
LOCATED = re.compile(r"error: <inline asm>:(\d+):|<inline asm>:(\d+):\d+: error: ")
Words = Callable[[list[str]], Iterator[int | None]]


def _keystone() -> Words:
    """Return Keystone as a function that is asked one instruction at a time."""
    import keystone

    engine = keystone.Ks(keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN)

    def words(texts: list[str]) -> Iterator[int | None]:
        for text in texts:
            try:
                code = engine.asm(text, 0, True)[0]
            except keystone.KsError:
                code = None
            yield int.from_bytes(code, "little") if code is not None and len(code) == 4 else None

    return words


def _llvm() -> Words:
    """Return LLVM's own assembler, which llvmlite carries for the processor it runs on."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    # An ELF object whatever the system, and the instructions of a Cortex-A72, no more.
    target = llvm.Target.from_triple("aarch64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="cortex-a72", features="+crypto")

    def words(texts: list[str]) -> Iterator[int | None]:
        quoted = (text.replace("\\", "\\5C").replace('"', "\\22") for text in texts)
        source = "".join(f'module asm "{text}"\n' for text in quoted)
        with llvm.parse_assembly(f'target triple = "{machine.triple}"\n{source}') as module:
            code, strange = _text_of(machine.emit_object(module))
        if len(code) != 4 * len(texts):
            # One of them is no single instruction: find out which.
            if len(texts) == 1:
                yield None
            else:
                for text in texts:
                    yield from words([text])
            return
        for place in range(0, len(code), 4):
            # A word that waits for a symbol: there are no symbols here.
            waits = any(place <= offset < place + 4 for offset in strange)
            yield None if waits else int.from_bytes(code[place : place + 4], "little")

    return words


def located(line: str) -> int | None:
    """Return the place, from 0, of the instruction that a line of LLVM's is about; None for any
    other line."""
    match = LOCATED.match(line)
    return int(match.group(1) or match.group(2)) - 1 if match else None


def _in_forks(words: Words, seconds: float) -> Words:
    """Return the same function, which survives an instruction that ends the process."""

    def forked(texts: list[str]) -> Iterator[int | None]:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                signal.setitimer(signal.ITIMER_PROF, seconds)
                os.dup2(write, 2)
                os.write(write, json.dumps(list(words(texts))).encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, encoding="utf-8", errors="replace") as pipe:
            said = pipe.read().splitlines()
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
            os.kill(os.getpid(), os.WTERMSIG(status))
        refused = min((at for at in map(located, said) if at is not None), default=None)
        if refused is not None:
            if refused:
                yield from forked(texts[:refused])
            yield None
        else:
            yield from json.loads(said[-1])

    return forked


def _text_of(elf: bytes) -> tuple[bytes, list[int]]:
    """Return the bytes of .text in an ELF object, and the offsets of its relocations."""
    start, count, names = (*struct.unpack_from("<Q", elf, 40), *struct.unpack_from("<2H", elf, 60))
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, start + i * 64) for i in range(count)]
    strings = headers[names][4]
    sections = {}
    for header in headers:
        begin = strings + header[0]
        sections[elf[begin : elf.index(b"\0", begin)]] = elf[header[4] : header[4] + header[5]]
    relocations = sections.get(b".rela.text", b"")
    return sections[b".text"], [place for place, _, _ in struct.iter_unpack("<QQq", relocations)]


def serve(kind: str, seconds: float) -> None:
    """Answer requests until standard input closes."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    with open(os.devnull, "w") as nowhere:
        # Nothing that C code prints may reach the reply pipe, but where LLVM says what is wrong.
        os.dup2(nowhere.fileno() if kind == "keystone" else replies.fileno(), 2)
        os.dup2(nowhere.fileno(), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Jupyter's stop button reaches the whole group
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # Windows
    words = _keystone() if kind == "keystone" else _llvm()
    if kind == "llvm" and hasattr(os, "fork"):
        words = _in_forks(words, seconds)
    replies.write(READY)
    replies.flush()
    timer: Any = getattr(signal, "setitimer", None)  # not on Windows
    for line in sys.stdin:
        if timer:
            timer(signal.ITIMER_PROF, seconds)  # SIGPROF ends the process
        for word in words(json.loads(line)):
            replies.write(f"{json.dumps(word)}\n")
            replies.flush()
            if word is None:
                break
        if timer:
            timer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]))
