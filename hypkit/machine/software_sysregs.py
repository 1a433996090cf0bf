"""The GIC CPU interface's EL2 registers, which Unicorn lacks.

As in the GICv3 that QEMU gives its virt board with a Cortex-A72: four list registers, five
preemption bits, and so one active priorities register a group. The others are undefined. No
interrupt ever comes of any.
"""

from __future__ import annotations

ICH_VTR = 0x90B80003
_WRITABLE = {
    "ICH_HCR_EL2": 0xF800_7CFF,
    "ICH_VMCR_EL2": 0xFFFC_021B,
    "ICH_AP0R0_EL2": 0xFFFF_FFFF,
    "ICH_AP1R0_EL2": 0xFFFF_FFFF,
    **{f"ICH_LR{n}_EL2": 0xFFF8_FFFF_FFFF_FFFF for n in range(4)},
}


def _vmcr(value: int) -> int:
    """What ICH_VMCR_EL2 keeps of a value: binary points have a least one, VFIQEn is 1."""
    value |= 1 << 3
    for shift, least in ((21, 2), (18, 3)):  # VBPR0 and VBPR1, from five preemption bits
        field = max(value >> shift & 7, least)
        value = value & ~(7 << shift) | field << shift
    return value


def reset() -> dict[str, int]:
    """The registers after reset, by name."""
    return dict.fromkeys(_WRITABLE, 0) | {"ICH_VTR_EL2": ICH_VTR, "ICH_VMCR_EL2": _vmcr(0)}


def write(registers: dict[str, int], name: str, value: int) -> bool:
    """Write a register as the GIC would; False for one that cannot be written."""
    if name not in _WRITABLE:
        return False
    value &= _WRITABLE[name]
    registers[name] = _vmcr(value) if name == "ICH_VMCR_EL2" else value
    return True
