"""hypkit: how an arm64 kernel talks to its hypervisor, run and taken apart."""

from importlib import import_module

# A name is loaded when it is first asked for: a machine alone needs no widgets and no pictures, and
# the check of the environment no machine.
_PUBLIC = {
    "VARIANTS": "hypkit.kernel.variants",
    "AsmError": "hypkit.asm",
    "assemble": "hypkit.asm",
    "Machine": "hypkit.emu",
    "MachineError": "hypkit.machine.errors",
    "compare": "hypkit.comparison.show",
    "ladder": "hypkit.comparison.show",
    "predict": "hypkit.check",
    "show_layout": "hypkit.pictures.memory_map",
    "show_table": "hypkit.pictures.hypercall_table",
    "stepper": "hypkit.timetravel.widget",
    "workbench": "hypkit.check",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hypkit' has no attribute {name!r}")
    found = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = found  # from now on found at once
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
