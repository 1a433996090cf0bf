"""The hooks as machine code: compiled once, kept on disk, loaded without the compiler.

To import numba takes as long as all the rest of a first call. So what numba makes of callbacks.py
is kept as one object file, in the package's __pycache__ or, where that cannot be written, in the
user's cache folder; LLVM alone (llvmlite) puts it into memory..
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import llvmlite
import unicorn
from llvmlite import binding as llvm

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1]
# What the machine code is made from: the hooks, and whatever their constants come from.
SOURCES = (
    "machine/hooks/callbacks.py",
    "machine/hooks/native.py",
    "machine/hooks/state.py",
    "a64/pstate.py",
    "a64/syndrome.py",
    "a64/registers.py",
    "a64/pagetables.py",
    "kernel/addresses.py",
)
FILE = "hooks.o"
_DIGEST = hashlib.sha256


@functools.cache
def address(name: str) -> int:
    """The address of one of the functions of callbacks.HOOKS; KeyError for another name."""
    found = _engine().get_function_address(name)
    if not found:
        raise KeyError(f"no compiled hook {name!r}")
    return found


@functools.cache
def _engine() -> llvm.ExecutionEngine:
    """The loaded machine code, for as long as the process lives."""
    machine = _target()
    key = _key()
    code = next(_kept(key), None)
    if code is None:
        code = _compile(machine)
        _keep(key, code)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _target() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=_features(), opt=3, codemodel="jitdefault", jit=True
    )


def _features() -> str:
    try:
        return llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM cannot tell for every processor
        return ""


def _key() -> bytes:
    """What must be the same for kept code to be good: sources, engines, and the processor."""
    parts = [(PACKAGE / name).read_bytes() for name in SOURCES]
    parts += [
        text.encode()
        for text in (
            sys.version,
            llvmlite.__version__,
            unicorn.__version__,
            llvm.get_process_triple(),
            llvm.get_host_cpu_name(),
            _features(),
        )
    ]
    return _DIGEST(b"".join(_DIGEST(part).digest() for part in parts)).digest()


def _compile(machine: llvm.TargetMachine) -> bytes:
    """An object file with every hook under its own name."""
    from hypkit.machine.hooks import (
        callbacks,  # the compiler: half a second, and some more to compile
    )

    whole = llvm.parse_assembly("")
    for name, hook in callbacks.HOOKS.items():
        module = llvm.parse_assembly(hook.inspect_llvm())
        module.get_function(hook.native_name).name = name
        whole.link_in(module)
    return machine.emit_object(whole)


def _folders() -> Iterator[Path]:
    yield HERE / "__pycache__"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    if base:
        yield Path(base) / "hypkit"


def _kept(key: bytes) -> Iterator[bytes]:
    """Code that was kept under this key, whole: a digest stands before it."""
    for folder in _folders():
        try:
            data = (folder / FILE).read_bytes()
        except OSError:
            continue
        digest, code = data[:32], data[32:]
        if digest == _DIGEST(key + code).digest():
            yield code


def _keep(key: bytes, code: bytes) -> None:
    """Write the code where it can be written; if nowhere, the next process compiles again."""
    for folder in _folders():
        draft = folder / f"{FILE}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(_DIGEST(key + code).digest() + code)
            draft.replace(folder / FILE)  # at once: another process sees all of it or nothing
            return
        except OSError:
            continue
