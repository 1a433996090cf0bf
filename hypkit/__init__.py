"""hypkit: how an arm64 kernel talks to its hypervisor, run and taken apart."""

from hypkit.abi import VARIANTS
from hypkit.asm import AsmError, assemble
from hypkit.emu import Machine, MachineError

__all__ = ["VARIANTS", "AsmError", "Machine", "MachineError", "assemble"]
