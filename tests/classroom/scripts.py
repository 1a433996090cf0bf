"""The scripts of classroom/, which are in no package, as modules."""

import importlib.util
import sys
from pathlib import Path

CLASSROOM = Path(__file__).resolve().parents[2] / "classroom"


def load(name):
    """The script NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(f"classroom_{name}", CLASSROOM / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
