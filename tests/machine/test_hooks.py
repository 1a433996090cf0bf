"""The hooks' machine code: kept on disk, loaded without the compiler, made anew when it must be."""

import ctypes
import importlib
import os
import subprocess
import sys

import pytest
from llvmlite import binding as llvm

from hypkit.machine.hooks import native, state

NAMES = ("take_exception", "code_word", "interrupt_hook", "exit_hook", "block_hook", "acquire_hook",
         "stray_hook", "trace_hook")  # fmt: skip
FIRST_CALL = """
import sys
from hypkit import Machine
assert Machine().call("__kvm_get_mdcr_el2").x0 == 6
print("numba" in sys.modules)
"""


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two folders to keep code in, the first of them where nothing can be written."""
    (tmp_path / "file").write_text("no folder")
    places = (tmp_path / "file" / "below", tmp_path / "cache")
    monkeypatch.setattr(native, "_folders", lambda: iter(places))
    return places


def test_a_first_call_needs_no_compiler_once_the_code_is_kept():
    shown = [
        subprocess.run(
            [sys.executable, "-c", FIRST_CALL], check=True, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert shown[-1] == "False"


def test_every_hook_has_an_address_and_nothing_else_has():
    assert len({native.address(name) for name in NAMES}) == len(NAMES)
    with pytest.raises(KeyError, match="no compiled hook 'main'"):
        native.address("main")


def test_code_is_kept_where_it_can_be_written_and_read_back_under_its_key_only(folders):
    assert list(native._kept(b"key")) == []
    native._keep(b"key", b"code")
    assert [path.name for path in folders[1].iterdir()] == ["callbacks.o"]
    assert list(native._kept(b"key")) == [b"code"]
    assert list(native._kept(b"other")) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[:50] + b"\0" + data[51:],
    ],
)
def test_code_that_was_spoilt_is_not_used(folders, spoil):
    native._keep(b"key", bytes(range(100)))
    file = folders[1] / "callbacks.o"
    file.write_bytes(spoil(file.read_bytes()))
    assert list(native._kept(b"key")) == []


def test_where_nothing_can_be_kept_the_code_is_made_each_time(folders, monkeypatch):
    monkeypatch.setattr(native, "_folders", lambda: iter(folders[:1]))
    native._keep(b"key", b"code")
    assert list(native._kept(b"key")) == []


def test_another_processor_or_another_source_has_another_key(monkeypatch, tmp_path):
    key = native._key()
    assert key == native._key()
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "get_host_cpu_name", lambda: "some-other")
        assert native._key() != key
    for name in native.SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((native.PACKAGE / name).read_bytes())
    (tmp_path / "a64/syndrome.py").write_text("EXCP_HVC = 12\n")
    monkeypatch.setattr(native, "PACKAGE", tmp_path)
    assert native._key() != key


def test_the_machines_hooks_are_these():
    from hypkit.machine.hooks import callbacks

    assert tuple(callbacks.HOOKS) == NAMES


@pytest.mark.parametrize("name", native.MODULES)
def test_what_is_compiled_needs_nothing_from_outside(name):
    """What calls into numba's own library, to raise an exception for instance, is loaded with holes
    where numba is not imported; LLVM would fill them once it is, in memory that is read-only by then.
    """
    hooks = importlib.import_module(f"hypkit.machine.hooks.{name}").HOOKS
    assert hooks
    for hook in hooks.values():
        module = llvm.parse_assembly(hook.inspect_llvm())
        assert not [
            function.name
            for function in module.functions
            if function.is_declaration and not function.name.startswith("llvm.")
        ]


def test_what_is_compiled_anew_does_what_the_kept_code_does():
    """Counting in the state array, by the hook that needs no engine."""
    words = (ctypes.c_uint64 * state.S.SIZE)()
    words[state.S.BUDGET] = 100
    blocks = (ctypes.c_uint64 * state.BLOCK_SLOTS)()
    blocks[0x1000 >> 2 & state.BLOCK_SLOTS - 1] = 0x1000 + 1  # looked at already
    words[state.S.BLOCKS] = ctypes.addressof(blocks)
    kind = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p
    )
    machine = native._target()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(native._compile(machine)))
    engine.finalize_object()
    for address in (engine.get_function_address("block_hook"), native.address("block_hook")):
        before = words[state.S.STEPS]
        kind(address)(None, 0x1000, 12, ctypes.addressof(words))
        assert words[state.S.STEPS] == before + 3


# --- Whose code it is ----------------------------------------------------------------------------


@pytest.fixture
def cache(folders):
    native._keep(b"key", b"code")
    assert list(native._kept(b"key")) == [b"code"]
    return folders[1]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files here have no owner")
@pytest.mark.parametrize("mode", [0o666, 0o622, 0o620, 0o602])
def test_code_that_others_may_write_is_not_used(cache, mode):
    (cache / "callbacks.o").chmod(mode)
    assert list(native._kept(b"key")) == []


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files here have no owner")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o775, 0o1777])
def test_a_folder_that_others_may_write_is_neither_read_nor_written(cache, mode):
    cache.chmod(mode)
    assert list(native._kept(b"key")) == []
    before = (cache / "callbacks.o").stat().st_mtime_ns
    native._keep(b"key", b"code")
    assert (cache / "callbacks.o").stat().st_mtime_ns == before


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files here have no owner")
def test_code_of_another_user_is_not_used(cache, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    if (cache / "callbacks.o").stat().st_uid:
        assert list(native._kept(b"key")) == []
    else:  # root's own is everybody's
        os.chown(cache / "callbacks.o", 4321, -1)
        assert list(native._kept(b"key")) == []
        os.chown(cache / "callbacks.o", 0, -1)
        assert list(native._kept(b"key")) == [b"code"]
        os.chown(cache, 4321, -1)
        assert list(native._kept(b"key")) == []


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are not told apart here")
def test_code_behind_a_link_is_not_used(cache):
    (cache / "callbacks.o").rename(cache / "elsewhere")
    (cache / "callbacks.o").symlink_to(cache / "elsewhere")
    assert list(native._kept(b"key")) == []


def test_a_full_disk_leaves_nothing_behind(folders, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    native._keep(b"key", b"code")
    assert list(folders[1].iterdir()) == []


def test_an_interrupt_while_code_is_kept_leaves_nothing_behind(folders, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        native._keep(b"key", b"code")
    assert list(folders[1].iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="XDG is not for Windows")
@pytest.mark.parametrize("relative", [".", "cache", "./x", ""])
def test_a_relative_cache_folder_is_ignored(relative, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert [str(folder) for folder in native._folders()][1:] == ["/home/somebody/.cache/hypkit"]


@pytest.mark.skipif(sys.platform == "win32", reason="HOME is not for Windows")
def test_a_user_without_a_home_compiles_anew(monkeypatch):
    def nobody(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(native.Path, "expanduser", nobody)
    assert [folder.name for folder in native._folders()] == ["__pycache__"]


def test_that_code_is_compiled_is_said_once_on_stderr():
    code = (
        "from hypkit.machine.hooks import native\nnative._folders = lambda: iter(())\n"
        "from hypkit import Machine\nMachine().close()\nMachine().close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "hypkit compiles its machine, this once: a few seconds ...\n"
    assert done.stdout == ""
