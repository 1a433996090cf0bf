"""System registers that Unicorn lacks: of the GIC's CPU interface at EL2, and of the Cortex-A72.

The GIC's are as in the GICv3 that QEMU gives its virt board with a Cortex-A72: four list registers,
five preemption bits, and so one active priorities register a group. The others are undefined. None
of them ever raises an interrupt.

The processor's own (Cortex-A72 TRM, 4.3) read as zero and ignore writes at EL1 and EL2, as in QEMU.
"""

from __future__ import annotations

from hypkit.a64.sysregs import SYSREG_NAMES, Encoding

ICH_VTR = 0x90B80003
_WRITABLE = {
    "ICH_HCR_EL2": 0xF800_7CFF,
    "ICH_VMCR_EL2": 0xFFFC_021B,
    "ICH_AP0R0_EL2": 0xFFFF_FFFF,
    "ICH_AP1R0_EL2": 0xFFFF_FFFF,
    **{f"ICH_LR{n}_EL2": 0xFFF8_FFFF_FFFF_FFFF for n in range(4)},
}
# What no MSR writes: an access that tries is undefined.
_CONSTANT = {"ICH_VTR_EL2": ICH_VTR}
OF_THE_CORE = {
    Encoding(3, 1, 11, 0, 2): "L2CTLR_EL1",
    Encoding(3, 1, 11, 0, 3): "L2ECTLR_EL1",
    Encoding(3, 1, 15, 0, 0): "L2ACTLR_EL1",
    Encoding(3, 1, 15, 2, 0): "CPUACTLR_EL1",
    Encoding(3, 1, 15, 2, 1): "CPUECTLR_EL1",
    Encoding(3, 1, 15, 2, 2): "CPUMERRSR_EL1",
    Encoding(3, 1, 15, 2, 3): "L2MERRSR_EL1",
}
# The system register interface is the only one: its switch is on for good.
_FIXED = {"ICC_SRE_EL1": 0x7, "ICC_SRE_EL2": 0xF}


def _vmcr(value: int) -> int:
    """Return what ICH_VMCR_EL2 keeps of a value: binary points have a least one, VFIQEn is 1."""
    value |= 1 << 3
    for shift, least in ((21, 2), (18, 3)):  # VBPR0 and VBPR1, from five preemption bits
        field = max(value >> shift & 7, least)
        value = value & ~(7 << shift) | field << shift
    return value


def access(
    registers: dict[str, int], encoding: Encoding, el: int, written: int | None
) -> int | None:
    """Do an MRS (written: None) or MSR at an exception level; return the value afterwards.

    Returns None if the register is not one of these, or not for this level: the access is undefined.
    """
    if encoding in OF_THE_CORE and el >= 1:
        return 0
    name = SYSREG_NAMES.get(encoding)
    if el != 2 or name not in registers:
        return None
    if written is not None and not write(registers, name, written):
        return None
    return registers[name]


def reset() -> dict[str, int]:
    """Return the registers after reset, by name."""
    return dict.fromkeys(_WRITABLE, 0) | _FIXED | _CONSTANT | {"ICH_VMCR_EL2": _vmcr(0)}


def write(registers: dict[str, int], name: str, value: int) -> bool:
    """Write a register as the GIC would; return False for one that must not be written."""
    if name in _FIXED:
        return True
    if name not in _WRITABLE:
        return False
    value &= _WRITABLE[name]
    registers[name] = _vmcr(value) if name == "ICH_VMCR_EL2" else value
    return True
