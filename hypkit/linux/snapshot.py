"""What a kernel's EL2 is, kept: registers, page tables, all that EL2 maps, and the names.

A snapshot is the kernel's own code, and the kernel is under the GPL: it lies in the user's cache
folder and goes nowhere from there. The file is a zip archive of three members: about.json (what it
is, the registers, and the digests of the other two), pages (4 KiB each, none of them all zero) and
symbols.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hypkit.a64.pagetables import EL2_XN, PAGE_SIZE, walk
from hypkit.a64.sysregs import SYSREGS
from hypkit.errors import WrongType, WrongValue, expected, pass_on
from hypkit.kernel.addresses import DRAM_BASE
from hypkit.linux import kallsyms
from hypkit.linux.board import GENERAL, RAM_SIZE, Board, registers_of
from hypkit.linux.tables import mapped, pages
from hypkit.machine.errors import MachineError

FORMAT = 1
ENDING = ".hypkit-linux"
NAME = re.compile(r"\w[\w.+~-]{0,199}", re.ASCII)
PROTECTED = "-protected"  # after a kernel's version
MAX_FILE, MAX_MEMBER = 256 << 20, RAM_SIZE

# What the host executes in a call, and where it ends up after one that does not come back.
STUB = "__arm_smccc_hvc"
PANICS = ("nvhe_hyp_panic_handler", "panic")
HOST = (STUB, *PANICS)
NVHE = "__kvm_nvhe_"  # the build puts this in front of every name of EL2's
# Bytes of the host's stack to keep on either side of its pointer, and of code from each name on.
STACK_BELOW, STACK_ABOVE, CODE = 0x1000, 0x800, 0x200
VECTORS = 0x800


@dataclass(frozen=True)
class Snapshot:
    """A kernel at rest, its EL2 complete.

    source: where the kernel comes from (a package's name, or a file's); version: the package's, or
    ""; digest: SHA-256 of the Image; release: what the kernel calls itself.
    registers: x0 to x30, sp, pc and pstate; sysregs: by the Arm ARM's names; numbers, pages: of the
    physical pages (from DRAM_BASE) that are kept, and their bytes, uint8, shape (n, 4096);
    voffset, linear: image and linear address minus physical address; maps: (va, pa, bytes, is it
    code) of each stretch that EL2 maps; tables: physical addresses of EL1's and EL2's page tables;
    symbols: name -> image address, of EL2's and of those of the host that a call meets.
    ids: hypercall -> x0; refused: those of them that EL2 refuses as it is; table: physical address
    of EL2's table of functions, None where it has none. What is not known yet, with_numbers finds.
    protected: whether the kernel was booted with kvm-arm.mode=protected.
    """

    source: str
    version: str
    digest: str
    release: str
    registers: Mapping[str, int] = field(repr=False)
    sysregs: Mapping[str, int] = field(repr=False)
    voffset: int = field(repr=False)
    linear: int = field(repr=False)
    maps: tuple[tuple[int, int, int, bool], ...] = field(repr=False)
    tables: tuple[int, ...] = field(repr=False)
    numbers: np.ndarray = field(repr=False)
    pages: np.ndarray = field(repr=False)
    symbols: Mapping[str, int] = field(repr=False)
    ids: Mapping[str, int] = field(default_factory=dict, repr=False)
    refused: tuple[str, ...] = field(default=(), repr=False)
    table: int | None = field(default=None, repr=False)
    protected: bool = False

    @property
    def kernel(self) -> str:
        """Return what fetch() and machine() call it: "6.1", or "6.1-protected"."""
        return ".".join(self.release.split(".")[:2]) + PROTECTED * self.protected

    @cached_property
    def _places(self) -> dict[int, int]:
        return {number: place for place, number in enumerate(self.numbers.tolist())}

    def load(self, pa: int, size: int) -> bytes:
        """Return bytes of physical memory, zero where nothing was kept."""
        data = bytearray()
        while len(data) < size:
            at = pa + len(data)
            place = self._places.get((at - DRAM_BASE) // PAGE_SIZE)
            offset = at % PAGE_SIZE
            count = min(PAGE_SIZE - offset, size - len(data))
            part = None if place is None else self.pages[place, offset : offset + count].tobytes()
            data += part if part is not None else bytes(count)
        return bytes(data)

    def load64(self, pa: int) -> int:
        """Return a 64-bit word of physical memory."""
        return int.from_bytes(self.load(pa, 8), "little")

    def save(self, path: Path) -> None:
        """Write the snapshot to a file that only its owner can change; MachineError if it cannot."""
        kept = np.ascontiguousarray(self.pages).tobytes()
        names = "".join(f"{value:x} {name}\n" for name, value in self.symbols.items()).encode()
        about = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in _TEXTS},
            "registers": dict(self.registers),
            "sysregs": dict(self.sysregs),
            "voffset": self.voffset,
            "linear": self.linear,
            "maps": self.maps,
            "tables": self.tables,
            "ids": dict(self.ids),
            "refused": self.refused,
            "table": self.table,
            "protected": self.protected,
            "numbers": self.numbers.tolist(),
            "pages": hashlib.sha256(kept).hexdigest(),
            "symbols": hashlib.sha256(names).hexdigest(),
        }
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
                archive.writestr("about.json", json.dumps(about))
                archive.writestr("symbols", names)
                archive.writestr("pages", kept)
            draft.chmod(0o600)
            draft.replace(path)
        except OSError as error:
            pass_on(error)
            raise _unwritable(path, error) from None
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def __repr__(self) -> str:
        size = len(self.numbers) * PAGE_SIZE / (1 << 20)
        origin = " ".join(filter(None, (self.source, self.version)))
        return f"Snapshot(Linux {self.release} from {origin}: {size:.1f} MiB)"


_TEXTS = ("source", "version", "digest", "release")


def take(
    board: Board, source: str, version: str, digest: str, *, protected: bool = False
) -> Snapshot:
    """Take a snapshot of a board that stands still, as booted() gives it.

    Raises MachineError for a kernel whose EL2 is not KVM's, or that shows no symbols.
    """
    *general, pstate = board.registers
    sysregs = registers_of(board.system_registers())
    ram = np.frombuffer(board.ram(), np.uint8)

    def word(pa: int) -> int:
        at = pa - DRAM_BASE
        return int.from_bytes(ram[at : at + 8].tobytes(), "little") if 0 <= at < len(ram) else 0

    vectors = walk(word, sysregs["TTBR1_EL1"], sysregs["VBAR_EL1"], regime="EL1").pa
    if vectors is None or not sysregs["SCTLR_EL2"] & 1:
        raise MachineError(
            "EL2's MMU is off after the boot: KVM is not there. Was it configured, and not with "
            "kvm-arm.mode=none?"
        )
    voffset = sysregs["VBAR_EL1"] - vectors
    names = kallsyms.symbols(ram.tobytes(), DRAM_BASE + voffset)
    for wanted in (STUB, PANICS[-1]):
        if wanted not in names:
            raise MachineError(
                f"this kernel has no {wanted}, through which the calls here are made"
            )

    hyp = mapped(ram, sysregs["TTBR0_EL2"])
    host = mapped(ram, sysregs["TTBR1_EL1"], upper=True)
    linear = next(va - pa for va, pa, *_ in host.leaves if not va >> 47 & 1)
    user = mapped(ram, sysregs["TTBR0_EL1"])
    stack, pc = general[31], general[32]
    spans = [(stack - STACK_BELOW, stack + STACK_ABOVE), (pc - 4, pc + 4)]
    spans += [(sysregs["VBAR_EL1"], sysregs["VBAR_EL1"] + VECTORS)]
    spans += [(names[name], names[name] + CODE) for name in HOST if name in names]
    wanted_pages = set(pages(hyp.leaves, len(ram)))
    wanted_pages.update(hyp.tables, host.tables, user.tables)
    for first, end in spans:
        for va in range(first & -PAGE_SIZE, end, PAGE_SIZE):
            pa = walk(word, sysregs["TTBR1_EL1"], va, regime="EL1").pa
            if pa is not None:
                wanted_pages.add(pa)
    by_page = ram.reshape(-1, PAGE_SIZE)
    numbers = np.array(sorted((pa - DRAM_BASE) // PAGE_SIZE for pa in wanted_pages))
    numbers = numbers[by_page[numbers].any(axis=1)]
    release = _release(ram.tobytes())
    return Snapshot(
        source,
        version,
        digest,
        release,
        dict(zip((*GENERAL, "sp", "pc"), general, strict=True)) | {"pstate": pstate},
        {name: sysregs[name] for name in SYSREGS if name in sysregs}
        | {"SP_EL2": sysregs["SP_EL2"]},
        voffset,
        linear,
        tuple((va, pa, size, not never) for va, pa, size, never in hyp.runs(EL2_XN)),
        (*hyp.tables, *host.tables, *user.tables),
        numbers,
        by_page[numbers],
        {name: va for name, va in names.items() if name.startswith(NVHE) or name in HOST},
        protected=protected,
    )


def _release(memory: bytes) -> str:
    """What the kernel calls itself: 6.1.0-50-arm64."""
    at = memory.find(b"Linux version ")
    return memory[at : at + 80].split()[2].decode("ascii", "replace") if at >= 0 else "unknown"


# --- The cache ------------------------------------------------------------------------------------


VARIABLE, CACHE = (
    ("LOCALAPPDATA", "~/AppData/Local")
    if sys.platform == "win32"
    else ("XDG_CACHE_HOME", "~/.cache")
)


def folder() -> Path:
    """Return the folder of the user's cache where snapshots lie, whether it is there or not.

    Raises MachineError where the user has no home and names no folder.
    """
    try:
        base = os.environ.get(VARIABLE) or Path(CACHE).expanduser()
    except RuntimeError:
        raise MachineError(
            "a snapshot of a kernel lies in the user's cache folder, and this user has no home: "
            f"give {VARIABLE} a folder of yours"
        ) from None
    return Path(base) / "hypkit" / "linux"


def there(path: Path) -> bool:
    """Return whether a file is there, or may be: read() says of one that it cannot look at why."""
    try:
        return path.exists()
    except OSError as error:
        pass_on(error)
        return True


def check_writable(path: Path) -> None:
    """Raise MachineError where save() could not write, before much is done for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        pass_on(error)
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> MachineError:
    return MachineError(
        f"the snapshot cannot be written to {path}: {error.strerror or error}. "
        f"{VARIABLE} names another place for it"
    )


def path_of(kernel: str, *, protected: bool = False) -> Path:
    """Return where the snapshot of a kernel lies: "6.1" -> .../hypkit/linux/6.1.hypkit-linux.

    Raises WrongValue for what is no name of a file in that folder.
    """
    if not isinstance(kernel, str) or not NAME.fullmatch(kernel):
        raise WrongValue(
            expected(
                'a kernel\'s version, such as "6.1", or a name of letters, digits and .+~_-', kernel
            )
        )
    if not isinstance(protected, bool):
        raise WrongType(expected("True or False for protected", protected))
    return folder() / f"{kernel}{PROTECTED * protected}{ENDING}"


def available() -> tuple[str, ...]:
    """Return the kernels whose snapshots are in the cache, oldest first; none without a cache."""
    try:
        found = [path.name.removesuffix(ENDING) for path in folder().glob(f"*{ENDING}")]
    except (MachineError, OSError) as error:
        pass_on(error)
        return ()
    return tuple(sorted(found, key=_version))


def _version(kernel: str) -> tuple[list[int], str]:
    numbers = kernel.removesuffix(PROTECTED).split(".")
    return [int(part) for part in numbers if part.isdigit()], kernel


def read(path: Path) -> Snapshot:
    """Read a snapshot's file.

    Raises MachineError for a file that others may change, that is cut off, changed, or none.
    """
    again = "Make it anew with hypkit.linux.fetch(...) or `make linux`"
    _trusted(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: _member(archive, name) for name in ("about.json", "symbols", "pages")}
        about = json.loads(members["about.json"])
        if about["format"] != FORMAT:
            raise MachineError(
                f"{path} is of format {about['format']!r}, and this hypkit reads {FORMAT}. {again}"
            )
        for name in ("symbols", "pages"):
            if hashlib.sha256(members[name]).hexdigest() != about[name]:
                raise MachineError(f"{path} was changed after it was made. {again}")
        return _of(about, members["pages"], members["symbols"].decode())
    except MachineError:
        raise
    except OSError as error:
        pass_on(error)
        raise MachineError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, AttributeError):
        raise MachineError(
            f"{path} is no snapshot of a kernel, or not all of one. {again}"
        ) from None


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_MEMBER:
        raise ValueError(f"{name} is larger than all of memory")
    return archive.read(name)


def _of(about: dict[str, Any], kept: bytes, names: str) -> Snapshot:
    numbers = np.array(about["numbers"], dtype=np.int64)
    if len(kept) != len(numbers) * PAGE_SIZE or (
        len(numbers) and not 0 <= numbers.min() <= numbers.max() < RAM_SIZE // PAGE_SIZE
    ):
        raise ValueError("pages and their numbers do not go together")
    symbols = {}
    for line in names.splitlines():
        value, name = line.split(" ", 1)
        symbols[name] = int(value, 16)
    return Snapshot(
        str(about["source"]),
        str(about["version"]),
        str(about["digest"]),
        str(about["release"]),
        {str(name): int(value) for name, value in about["registers"].items()},
        {str(name): int(value) for name, value in about["sysregs"].items()},
        int(about["voffset"]),
        int(about["linear"]),
        tuple((int(va), int(pa), int(size), bool(code)) for va, pa, size, code in about["maps"]),
        tuple(map(int, about["tables"])),
        numbers,
        np.frombuffer(kept, np.uint8).reshape(-1, PAGE_SIZE),
        symbols,
        {str(name): int(number) for name, number in about["ids"].items()},
        tuple(map(str, about["refused"])),
        None if about["table"] is None else int(about["table"]),
        bool(about["protected"]),
    )


def _trusted(path: Path) -> None:
    """Raise MachineError where somebody else could have put the file, or could change it."""
    try:
        places: Iterable[Path] = (path, path.parent)
        states = [(place, place.stat()) for place in places]
    except OSError as error:
        pass_on(error)
        raise MachineError(f"{path} cannot be read: {error.strerror or error}") from None
    if not stat.S_ISREG(states[0][1].st_mode):
        raise MachineError(f"{path} is not a file")
    if states[0][1].st_size > MAX_FILE:
        raise MachineError(f"{path} is too large to be a snapshot of a kernel")
    if sys.platform == "win32":  # a profile's folder is its user's alone
        return
    for place, state in states:
        if state.st_uid not in (os.getuid(), 0) or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise MachineError(
                f"{place} belongs to somebody else, or somebody else may change it: what is in "
                f"there is not to be trusted. `chmod go-w {place}`, or remove it and make it anew"
            )
