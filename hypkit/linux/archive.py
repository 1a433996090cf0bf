"""Where kernels come from: Debian's archive, or a file of the user's.

Debian's archive is asked by apt-get where there is one and it has Debian's keys, in lists of its
own and not in the computer's; else over HTTPS, where the index of packages gives each one's digest.
A .deb is an ar archive of tar archives (deb(5)), and Python opens both.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import re
import shutil
import ssl
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hypkit.errors import UnknownName, pass_on
from hypkit.machine.errors import MachineError

MIRROR = "https://deb.debian.org/debian"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
META = "linux-image-arm64"  # in every suite it depends on the newest kernel's package
# The Image lies in one of these, whatever the suite's custom is.
PACKAGES = ("linux-binary-{abi}", "linux-image-{abi}-unsigned", "linux-image-{abi}")
IMAGE = re.compile(r"\.?/?(boot/vmlinu[xz]-[^/]+|usr/lib/modules/[^/]+/vmlinuz)$")
MAGIC, MAGIC_AT = b"ARM\x64", 0x38  # Documentation/arch/arm64/booting.rst
LARGEST = 512 << 20
PATIENCE = 60  # seconds without a byte

Say = Callable[[str], object]


@dataclass(frozen=True)
class Kernel:
    """A kernel that Debian has: its version, "6.1", the suite, and what it stands for."""

    version: str
    suite: str
    about: str


KERNELS = {
    kernel.version: kernel
    for kernel in (
        Kernel("5.10", "bullseye", "numbers by the SMC calling convention, looked up in a switch"),
        Kernel("6.1", "bookworm", "a table of functions, and an order that is a policy"),
        Kernel("6.12", "trixie", "the same, four years on"),
        Kernel("7.2", "sid", "an upper bound as well: which calls exist depends on the mode"),
    )
}


def known(kernel: str) -> Kernel:
    """Return the kernel of that version; UnknownName names those there are."""
    if kernel not in KERNELS:
        raise UnknownName(
            f"no kernel {kernel!r} in Debian's archive: there are {', '.join(KERNELS)}. For another "
            "one, name its file: fetch(file='linux-image-....deb')"
        )
    return KERNELS[kernel]


def package(kernel: Kernel, folder: Path, say: Say = print) -> tuple[Path, str, str]:
    """Download the package with a kernel into *folder*: (its file, its name, its version).

    Raises MachineError that says what to do when the archive cannot be reached.
    """
    if shutil.which("apt-get") and KEYS.exists():
        try:
            return _by_apt(kernel, folder, say)
        except MachineError as error:
            say(f"{error} Trying {MIRROR} without it.")
    return _by_https(kernel, folder, say)


# --- apt-get ---


def _by_apt(kernel: Kernel, folder: Path, say: Say) -> tuple[Path, str, str]:
    for part in ("lists/partial", "cache/archives/partial", "download"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [arch=arm64 signed-by={KEYS}] {MIRROR} {kernel.suite} main\n")
    options = [
        f"-o{name}={value}"
        for name, value in {
            "APT::Architecture": "arm64",
            "APT::Architectures": "arm64",
            "APT::Sandbox::User": "",  # the folder is the user's own
            "Acquire::Languages": "none",
            "Dir::State::Lists": folder / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": folder / "cache",
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
        }.items()
    ]
    say(f"Asking Debian's archive for the kernel of {kernel.suite} (apt-get, 10 MB of lists)")
    _run(["apt-get", *options, "-qq", "update"], folder)
    listed = _run(["apt-cache", *options, "show", META], folder)
    name, version = _named(
        kernel,
        listed,
        lambda name: bool(_run(["apt-cache", *options, "show", name], folder, False)),
    )
    say(f"Downloading {name} {version}")
    _run(["apt-get", *options, "-qq", "download", name], folder / "download")
    found = list((folder / "download").glob("*.deb"))
    if len(found) != 1:
        raise MachineError(f"apt-get downloaded {len(found)} packages instead of {name}.")
    return found[0], name, version


def _run(command: list[str], folder: Path, checked: bool = True) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    except OSError as error:
        pass_on(error)
        raise MachineError(f"{command[0]} cannot be run: {error}.") from None
    if done.returncode and checked:
        said = done.stderr.strip().splitlines()
        raise MachineError(f"{command[0]} failed: {said[-1] if said else done.returncode}.")
    return "" if done.returncode else done.stdout


def _named(kernel: Kernel, listed: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """(the package that holds the Image, its version), from the entry of META."""
    abi = re.search(r"^Depends:.*?linux-image-([^\s,]+-arm64) ", listed, re.MULTILINE)
    version = re.search(r"^Version: (\S+)", listed, re.MULTILINE)
    if abi is None or version is None:
        raise MachineError(f"{META} of {kernel.suite} does not say which kernel it stands for.")
    for pattern in PACKAGES:
        name = pattern.format(abi=abi[1])
        if exists(name):
            return name, version[1]
    raise MachineError(f"{kernel.suite} has no package with the Image of {abi[1]}.")


# --- HTTPS ---


def _by_https(kernel: Kernel, folder: Path, say: Say) -> tuple[Path, str, str]:
    index = f"{MIRROR}/dists/{kernel.suite}/main/binary-arm64/Packages.xz"
    say(f"Asking {MIRROR} for the kernel of {kernel.suite} (10 MB of lists)")
    try:
        text = lzma.decompress(b"".join(_bytes(index, say))).decode()
    except lzma.LZMAError:
        raise MachineError(f"{index} is not what it should be, or not all of it came.") from None
    entries = {
        entry.split("\n", 1)[0].removeprefix("Package: "): entry for entry in text.split("\n\n")
    }
    name, version = _named(kernel, entries.get(META, ""), entries.__contains__)
    fields = dict(re.findall(r"^(Filename|SHA256|Size): (\S+)$", entries[name], re.MULTILINE))
    say(f"Downloading {name} {version}, {int(fields['Size']) >> 20} MB")
    path, digest = folder / "package.deb", hashlib.sha256()
    with path.open("wb") as file:
        for part in _bytes(f"{MIRROR}/{fields['Filename']}", say):
            file.write(part)
            digest.update(part)
    if digest.hexdigest() != fields["SHA256"]:
        path.unlink()
        raise MachineError(
            f"{name} has another digest than the archive's list says: it was cut off or "
            "changed on the way. Try again"
        )
    return path, name, version


def _bytes(url: str, say: Say) -> Iterator[bytes]:
    """What an address holds, a megabyte after the other; every tenth is told."""
    try:
        # Made anew: whoever was refused and has named an authority or a proxy since is heard.
        context = ssl.create_default_context()
        with urllib.request.urlopen(url, timeout=PATIENCE, context=context) as answer:
            for number in range(LARGEST >> 20):
                part = answer.read(1 << 20)
                if not part:
                    return
                if number and not number % 10:
                    say(f"    {number} MB")
                yield part
    except (OSError, urllib.error.URLError) as error:
        pass_on(error)
        raise MachineError(
            f"{url} cannot be reached: {getattr(error, 'reason', error)}. Without a network, name a "
            "kernel that you have: fetch(file='linux-image-....deb'), or the Image itself"
        ) from None


# --- What is in a file ---


@contextmanager
def image(path: Path) -> Iterator[tuple[Path, str]]:
    """Give the arm64 Image in a file as a file of its own, and its SHA-256.

    path: a .deb, an Image, or a compressed one (gzip). Raises MachineError for what is cut off, for
    another architecture, or for something else altogether.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        pass_on(error)
        raise MachineError(f"{path} cannot be read: {error.strerror or error}") from None
    if size > LARGEST:
        raise MachineError(f"{path} is {size >> 20} MB: too large for a kernel")
    if head == b"!<arch>\n":
        content = _from_deb(path)
    else:
        content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, ValueError) as error:
            pass_on(error)
            raise MachineError(
                f"{path} is cut off, or was changed: gzip cannot unpack it"
            ) from None
    _checked(path, content)
    with tempfile.TemporaryDirectory(prefix="hypkit-") as folder:
        file_of_it = Path(folder) / "Image"
        file_of_it.write_bytes(content)
        yield file_of_it, hashlib.sha256(content).hexdigest()


def _checked(path: Path, content: bytes) -> None:
    """Raise MachineError unless these are the bytes of a whole arm64 Image."""
    if content[MAGIC_AT : MAGIC_AT + 4] != MAGIC:
        what = {
            b"\x7fELF": "an ELF file",
            b"MZ": "a kernel of another kind, or one that unpacks itself",
        }
        seen = next(
            (text for magic, text in what.items() if content.startswith(magic)), "something else"
        )
        raise MachineError(
            f"expected an arm64 kernel in {path.name}: a .deb, or an Image (arch/arm64/boot/Image); "
            f"got {seen}"
        )
    flags = int.from_bytes(content[24:32], "little")
    if flags & 1 or flags >> 1 & 3 not in (0, 1):
        raise MachineError(
            f"the kernel in {path.name} is big-endian or has pages other than 4 KiB, and this "
            "machine knows neither"
        )
    text_size = int.from_bytes(content[16:24], "little")
    if not 1 << 20 <= len(content) <= max(text_size, 1 << 20):
        raise MachineError(f"the kernel in {path.name} is cut off: {len(content):,} bytes are left")


def _from_deb(path: Path) -> bytes:
    """The Image in a Debian package."""
    try:
        for name, data in _members(path):
            if not name.startswith("data.tar"):
                continue
            if name.endswith(".zst"):
                raise MachineError(
                    f"{path.name} is packed with zstd, which Python cannot open: unpack it with "
                    "`dpkg -x` and name the vmlinuz in boot/"
                )
            with tarfile.open(fileobj=io.BytesIO(data), mode="r|*") as archive:
                for entry in archive:
                    if IMAGE.match(entry.name) and entry.isfile():
                        held: IO[bytes] | None = archive.extractfile(entry)
                        assert held is not None
                        return held.read()
            raise MachineError(
                f"{path.name} has no kernel in boot/: the package is called linux-image-..., and "
                "for Linux 7 linux-binary-..."
            )
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        pass_on(error)
        raise MachineError(f"{path.name} is cut off, or was changed: {error}") from None
    raise MachineError(f"{path.name} is cut off, or no Debian package: it has no data.tar")


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each member of an ar archive; ValueError where one is not whole."""
    with path.open("rb") as file:
        file.seek(8)
        while header := file.read(60):
            if len(header) < 60 or header[58:] != b"`\n":
                raise ValueError("a member's header is not one")
            size = int(header[48:58])
            data = file.read(size)
            if len(data) != size:
                raise ValueError(f"a member has {len(data):,} of its {size:,} bytes")
            yield header[:16].decode("ascii", "replace").strip().rstrip("/"), data
            file.seek(size % 2, io.SEEK_CUR)
