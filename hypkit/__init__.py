"""hypkit: how an arm64 kernel talks to its hypervisor, run and taken apart."""

from importlib import import_module

from hypkit.abi import VARIANTS
from hypkit.asm import AsmError, assemble
from hypkit.emu import Machine, MachineError

# Views are loaded when they are first asked for: a machine alone needs no widgets and no pictures.
_VIEWS = {
    "compare": "hypkit.comparison",
    "ladder": "hypkit.comparison",
    "show_layout": "hypkit.views",
    "show_table": "hypkit.views",
    "stepper": "hypkit.timetravel",
}

__all__ = ["VARIANTS", "AsmError", "Machine", "MachineError", "assemble", *_VIEWS]


def __getattr__(name: str) -> object:
    if name not in _VIEWS:
        raise AttributeError(f"module 'hypkit' has no attribute {name!r}")
    view = getattr(import_module(_VIEWS[name]), name)
    globals()[name] = view  # from now on found at once
    return view
