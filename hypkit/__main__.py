"""The command: `hypkit lessons --copy FOLDER`, or `python -m hypkit ...` where it is not on the path."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hypkit.errors import KitError

FIRST = "00-start-here.ipynb"
# JupyterLab's news asks every learner a question and wants the network.
NO_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        status: int = options.run(options)
    except KitError as error:
        print(f"hypkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hypkit",
        description="How an arm64 kernel talks to its hypervisor, run and taken apart.",
    )
    parser.add_argument("--version", action="version", version=f"hypkit {_version()}")
    commands = parser.add_subparsers(dest="command", title="commands")
    lessons = commands.add_parser("lessons", help="list the lessons, or copy and open them")
    lessons.add_argument(
        "--copy",
        metavar="FOLDER",
        help="put the notebooks into this folder, overwrite nothing, and open JupyterLab there",
    )
    lessons.add_argument("--no-open", action="store_true", help="copy only")
    lessons.set_defaults(run=_lessons)
    check = commands.add_parser("check", help="say whether this computer is ready for the lessons")
    check.set_defaults(run=_check)
    linux = commands.add_parser(
        "linux", help="fetch real kernels for lesson 12: the only command that asks the network"
    )
    linux.add_argument("kernels", nargs="*", help='such as 6.1, or a file (default: "6.1")')
    linux.add_argument("--protected", action="store_true", help="boot them as protected KVM")
    linux.add_argument("--again", action="store_true", help="also those that are there")
    linux.set_defaults(run=_linux)
    return parser


def _version() -> str:
    try:
        return version("hypkit")
    except PackageNotFoundError:  # a checkout on the path, not installed
        return "(not installed)"


def _lessons(options: argparse.Namespace) -> int:
    from hypkit.lessons import course

    if options.copy is None:
        if options.no_open:
            print("hypkit: --no-open goes with --copy FOLDER", file=sys.stderr)
            return 2
        for name, title, minutes in course.lessons():
            print(f"{name:32} {title:32} {minutes}".rstrip())
        print(
            "\nhypkit lessons --copy FOLDER puts them into a folder of yours and opens the first."
        )
        return 0
    copied = course.copy(options.copy)
    print(copied.sentence)
    if options.no_open:
        print(f"To open them: {_quoted(sys.executable)} -m jupyterlab {_quoted(copied.folder)}")
        return 0
    return _open(copied.folder)


def _open(folder: Path) -> int:
    """Start JupyterLab in the folder, with the first lesson; return when it ends."""
    if importlib.util.find_spec("jupyterlab") is None:
        print(
            "hypkit: expected JupyterLab beside hypkit and found none: pip install jupyterlab, or "
            "open the folder in a Jupyter of yours",
            file=sys.stderr,
        )
        return 1
    command = [sys.executable, "-m", "jupyterlab"]
    if (folder / FIRST).exists():
        command.append(str(folder / FIRST))
    with tempfile.TemporaryDirectory() as settings:
        labconfig = Path(settings, "labconfig")
        labconfig.mkdir()
        (labconfig / "page_config.json").write_text(json.dumps(NO_NEWS), encoding="utf-8")
        paths = filter(None, [settings, os.environ.get("JUPYTER_CONFIG_PATH")])
        outside = os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
        return subprocess.call(command, cwd=folder, env=outside)


def _check(options: argparse.Namespace) -> int:
    from hypkit.environment import environment

    found = environment()
    print(found)
    return 0 if found.ready else 1


def _linux(options: argparse.Namespace) -> int:
    from hypkit.linux.__main__ import main as fetch

    flags = [f"--{name}" for name in ("protected", "again") if getattr(options, name)]
    return fetch([*flags, *options.kernels])


def _quoted(text: object) -> str:
    return f'"{text}"' if " " in str(text) else str(text)


if __name__ == "__main__":
    sys.exit(main())
