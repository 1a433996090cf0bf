"""Kernels out of files and out of a mirror: what is taken, and what is refused with which words."""

import gzip
import hashlib
import io
import lzma
import shutil
import ssl
import subprocess
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hypkit.linux import archive
from hypkit.linux.archive import KERNELS, MAGIC, MAGIC_AT
from hypkit.machine.errors import MachineError

SIZE = 1 << 20


def kernel(size=SIZE, flags=0b1010, magic=MAGIC):
    """Bytes with the head of an arm64 Image."""
    head = bytearray(64)
    head[16:24] = (size + 0x1000).to_bytes(8, "little")
    head[24:32] = flags.to_bytes(8, "little")
    head[MAGIC_AT : MAGIC_AT + 4] = magic
    return bytes(head) + hashlib.shake_128(b"code").digest(size - 64)


def deb(name="./boot/vmlinuz-6.1.0-1-arm64", content=None, data="data.tar.xz"):
    """A Debian package with one file in it."""
    content = kernel() if content is None else content
    inside = io.BytesIO()
    with tarfile.open(fileobj=inside, mode="w:xz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    package = b"!<arch>\n"
    for member, bytes_ in (("debian-binary", b"2.0\n"), (data, inside.getvalue())):
        package += f"{member:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(bytes_):<10}`\n".encode()
        package += bytes_ + b"\n" * (len(bytes_) % 2)
    return package


@pytest.mark.parametrize(
    "content",
    [
        kernel(),
        gzip.compress(kernel()),
        deb(),
        deb("./usr/lib/modules/7.2.0-arm64/vmlinuz"),
        deb(content=gzip.compress(kernel())),
    ],
    ids=["Image", "Image.gz", "deb", "deb of Linux 7", "deb with Image.gz"],
)
def test_an_image_is_found_in_whatever_it_comes(tmp_path, content):
    path = tmp_path / "kernel"
    path.write_bytes(content)
    with archive.image(path) as (image, digest):
        assert image.read_bytes() == kernel()
        assert digest == hashlib.sha256(kernel()).hexdigest()
    assert not image.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected an arm64 kernel in kernel: a .deb, or an Image"),
        (b"\x7fELF" + bytes(100), "got an ELF file"),
        (b"MZ" + bytes(100), "got a kernel of another kind, or one that unpacks itself"),
        (kernel(magic=b"xxxx"), "got something else"),
        (kernel(flags=1), "is big-endian or has pages other than 4 KiB"),
        (kernel(flags=0b110), "is big-endian or has pages other than 4 KiB"),
        (kernel()[:5000], "is cut off: 5,000 bytes are left"),
        (gzip.compress(kernel())[:-20], "gzip cannot unpack it"),
        (deb()[:-200], "is cut off, or was changed: a member has"),
        (deb()[:72], "is cut off, or no Debian package: it has no data.tar"),
        (deb()[:80], "is cut off, or was changed: a member's header is not one"),
        (deb()[:9000] + bytes(200) + deb()[9200:], "is cut off, or was changed"),
        (deb("./boot/config-6.1"), "has no kernel in boot/: the package is called linux-image-"),
        (deb(data="data.tar.zst"), "is packed with zstd, which Python cannot open"),
    ],
)
def test_what_is_no_whole_arm64_kernel_is_refused_with_a_reason(tmp_path, content, said):
    path = tmp_path / "kernel"
    path.write_bytes(content)
    with pytest.raises(MachineError) as caught, archive.image(path):
        pass
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MachineError, match="cannot be read: No such file"):
        with archive.image(tmp_path / "kernel"):
            pass


def test_an_unknown_kernel_is_told_which_there_are():
    with pytest.raises(KeyError, match=r"no kernel '4\.19' .*: there are 5\.10, 6\.1, 6\.12, 7\.2"):
        archive.known("4.19")


# --- A mirror of our own --------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder that is served as the archive, without apt-get."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(archive, "MIRROR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(archive.shutil, "which", lambda name: None)
    yield folder
    server.shutdown()
    server.server_close()


def fill(folder, package, name="linux-image-6.1.0-9-arm64-unsigned", digest=None):
    index = folder / "dists/bookworm/main/binary-arm64"
    index.mkdir(parents=True)
    (folder / "a.deb").write_bytes(package)
    digest = digest or hashlib.sha256(package).hexdigest()
    text = (
        "Package: linux-image-arm64\nVersion: 6.1.9-1\n"
        "Depends: linux-base (>= 4), linux-image-6.1.0-9-arm64 (= 6.1.9-1)\n\n"
        f"Package: {name}\nVersion: 6.1.9-1\nFilename: a.deb\nSize: {len(package)}\n"
        f"SHA256: {digest}\n"
    )
    (index / "Packages.xz").write_bytes(lzma.compress(text.encode()))


def test_without_apt_a_package_comes_over_https_and_its_digest_is_compared(mirror, tmp_path):
    fill(mirror, deb())
    said = []
    path, name, version = archive.package(KERNELS["6.1"], tmp_path, said.append)
    assert path.read_bytes() == deb()
    assert (name, version) == ("linux-image-6.1.0-9-arm64-unsigned", "6.1.9-1")
    assert any(text.startswith("Downloading linux-image-6.1.0-9") for text in said)


def test_a_package_with_another_digest_is_not_kept(mirror, tmp_path):
    fill(mirror, deb(), digest="0" * 64)
    with pytest.raises(MachineError, match="has another digest than the archive's list says"):
        archive.package(KERNELS["6.1"], tmp_path, lambda text: None)
    assert not (tmp_path / "package.deb").exists()


def test_a_suite_without_the_package_is_said(mirror, tmp_path):
    fill(mirror, deb(), name="something-else")
    with pytest.raises(MachineError, match=r"bookworm has no package with the Image of 6\.1\.0-9"):
        archive.package(KERNELS["6.1"], tmp_path, lambda text: None)


def test_without_a_network_the_sentence_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(archive.shutil, "which", lambda name: None)
    monkeypatch.setattr(archive, "MIRROR", "http://127.0.0.1:9")
    with pytest.raises(MachineError, match="cannot be reached: .*Without a network, name a kernel"):
        archive.package(KERNELS["6.1"], tmp_path, lambda text: None)


def test_an_apt_that_fails_is_told_and_https_is_tried(mirror, tmp_path, monkeypatch):
    fill(mirror, deb())
    keys = tmp_path / "keys"
    keys.touch()
    monkeypatch.setattr(archive, "KEYS", keys)
    monkeypatch.setattr(archive.shutil, "which", lambda name: "/usr/bin/" + name)

    def broken(command, folder, checked=True):
        raise MachineError("apt-get failed: no such suite.")

    monkeypatch.setattr(archive, "_run", broken)
    said = []
    path, _, _ = archive.package(KERNELS["6.1"], tmp_path, said.append)
    assert path.read_bytes() == deb()
    assert any("apt-get failed: no such suite." in text and "Trying" in text for text in said)


# --- The same over HTTPS --------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """A folder that is served over HTTPS as the archive: (it, the certificate that vouches)."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    folder, key, certificate = tmp_path / "secure", tmp_path / "key.pem", tmp_path / "cert.pem"
    folder.mkdir()
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
         certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(archive, "MIRROR", f"https://localhost:{server.server_port}")
    monkeypatch.setattr(archive.shutil, "which", lambda name: None)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield folder, certificate
    server.shutdown()
    server.server_close()


def test_over_https_a_mirror_is_believed_only_with_its_certificate(secure, tmp_path, monkeypatch):
    folder, certificate = secure
    fill(folder, deb())
    with pytest.raises(MachineError, match="cannot be reached: .*CERTIFICATE_VERIFY_FAILED"):
        archive.package(KERNELS["6.1"], tmp_path, lambda text: None)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    path, _, version = archive.package(KERNELS["6.1"], tmp_path, lambda text: None)
    assert (path.read_bytes(), version) == (deb(), "6.1.9-1")
    # A name that the certificate does not have is somebody else.
    monkeypatch.setattr(archive, "MIRROR", archive.MIRROR.replace("localhost", "127.0.0.1"))
    with pytest.raises(MachineError, match="cannot be reached: .*CERTIFICATE_VERIFY_FAILED"):
        archive.package(KERNELS["6.1"], tmp_path, lambda text: None)


def test_over_https_a_package_that_is_cut_off_is_refused(secure, tmp_path, monkeypatch):
    folder, certificate = secure
    fill(folder, deb())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    whole = (folder / "a.deb").read_bytes()
    (folder / "a.deb").write_bytes(whole[:-100])
    with pytest.raises(MachineError, match="has another digest .* cut off or changed on the way"):
        archive.package(KERNELS["6.1"], tmp_path, lambda text: None)
    index = folder / "dists/bookworm/main/binary-arm64/Packages.xz"
    index.write_bytes(index.read_bytes()[:-20])
    with pytest.raises(MachineError, match="is not what it should be, or not all of it came"):
        archive.package(KERNELS["6.1"], tmp_path, lambda text: None)
