"""The hooks as machine code: compiled once, kept on disk, loaded without the compiler.

Importing numba takes as long as all the rest of a first call. So what numba makes of callbacks.py
and watching.py is kept as one object file, in the package's __pycache__ or, where that cannot be written, in the
user's cache folder; LLVM alone (llvmlite) puts it into memory.

Whoever can write such a file runs code as its reader, and no digest can prevent that. So a kept file
counts only if it and its folder belong to this user or to root, and nobody else may write them.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import llvmlite
import unicorn
from llvmlite import binding as llvm

from hypkit.errors import pass_on
from hypkit.machine.turn import Turn

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1]
# What the machine code is made from: the hooks, and whatever their constants come from.
SOURCES = (
    "machine/hooks/callbacks.py",
    "machine/hooks/native.py",
    "machine/hooks/state.py",
    "machine/hooks/watch_state.py",
    "machine/hooks/watching.py",
    "a64/pstate.py",
    "a64/syndrome.py",
    "a64/registers.py",
    "a64/pagetables.py",
    "kernel/addresses.py",
)
# Each module of hooks is an object file of its own: what only an attack needs is not compiled before.
MODULES = ("callbacks", "watching")
_DIGEST = hashlib.sha256


_loading = Turn("the machine's code is being loaded; wait until that is done")
_engines: dict[str, llvm.ExecutionEngine] = {}  # by module, for as long as the process lives
_addresses: dict[str, int] = {}


def address(name: str, module: str = "callbacks") -> int:
    """Return the address of one of the functions of a module's HOOKS, one of MODULES.

    Raises:
        KeyError: there is none of that name.
    """
    if name not in _addresses:
        with _loading:
            if module not in _engines:
                _engines[module] = _load(module)
            found = _engines[module].get_function_address(name)
        if not found:
            raise KeyError(f"no compiled hook {name!r}")
        _addresses[name] = found
    return _addresses[name]


def _load(module: str) -> llvm.ExecutionEngine:
    """Return the machine code in memory, compiled if it was not kept."""
    machine = _target()
    key = _key()
    code = next(_kept(key, module), None)
    if code is None:
        if sys.stderr is not None:
            print("hypkit compiles its machine, this once: a few seconds ...", file=sys.stderr)
        code = _compile(machine, module)
        _keep(key, code, module)
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


def _compile(machine: llvm.TargetMachine, module: str = "callbacks") -> bytes:
    """An object file with every hook of a module under its own name."""
    # The compiler: half a second, and some more to compile.
    hooks = importlib.import_module(f"hypkit.machine.hooks.{module}").HOOKS
    whole = llvm.parse_assembly("")
    for name, hook in hooks.items():
        part = llvm.parse_assembly(hook.inspect_llvm())
        part.get_function(hook.native_name).name = name
        whole.link_in(part)
    return machine.emit_object(whole)


def _folders() -> Iterator[Path]:
    yield HERE / "__pycache__"
    with contextlib.suppress(RuntimeError):  # neither HOME nor a user of this number
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
        else:
            # The specification says to ignore what is not absolute.
            base = Path(os.environ.get("XDG_CACHE_HOME") or "")
            if not base.is_absolute():
                base = Path("~/.cache").expanduser()
        if base.is_absolute():
            yield base / "hypkit"


def _is_ours(opened: int) -> bool:
    """Return whether nobody but this user and root can have written an open file or folder."""
    if not hasattr(os, "getuid"):
        return True  # Windows: LOCALAPPDATA is the user's own
    found = os.fstat(opened)
    return found.st_uid in (os.getuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@contextlib.contextmanager
def _opened(path: Path | str, flags: int, folder: int | None = None) -> Iterator[int]:
    """Open a file or folder without following a link in its last place."""
    handle = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


def _content(folder: Path, file_name: str) -> bytes:
    """Return the kept file of a folder.

    Raises:
        OSError: there is none, or somebody else may have written it.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return (folder / file_name).read_bytes()
    # By handles: what was looked at is what is read.
    with (
        _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as place,
        _opened(file_name, os.O_RDONLY, place) as file,
    ):
        if not _is_ours(place) or not _is_ours(file):
            raise PermissionError(f"others may have written {folder / file_name}")
        with open(file, "rb", closefd=False) as stream:
            return stream.read()


def _kept(key: bytes, module: str = "callbacks") -> Iterator[bytes]:
    """Yield the code that was kept under this key, whole: a digest stands before it."""
    for folder in _folders():
        try:
            data = _content(folder, f"{module}.o")
        except OSError as error:
            pass_on(error)
            continue
        digest, code = data[:32], data[32:]
        if digest == _DIGEST(key + code).digest():
            yield code


def _keep(key: bytes, code: bytes, module: str = "callbacks") -> None:
    """Write the code where it can be written; if nowhere, the next process compiles again."""
    for folder in _folders():
        draft = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if hasattr(os, "O_DIRECTORY"):
                with _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as place:
                    if not _is_ours(place):
                        continue
            handle, draft = tempfile.mkstemp(
                prefix=f"{module}.o.", dir=folder
            )  # for this user alone
            with open(handle, "wb") as stream:
                stream.write(_DIGEST(key + code).digest() + code)
            os.replace(
                draft, folder / f"{module}.o"
            )  # at once: another process sees all of it or nothing
            return
        except OSError as error:
            pass_on(error)
            continue
        finally:
            if draft is not None:
                with contextlib.suppress(OSError):
                    os.unlink(draft)
