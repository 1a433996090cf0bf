"""The GIC's registers as the machine emulates them."""

from hypkit import Machine
from hypkit.machine import software_sysregs

DISPATCHER = """
dispatch:
        divert_stub_calls
        mrs     x1, s3_0_c12_c12_5      // ICC_SRE_EL1
        msr     s3_0_c12_c12_5, xzr
        mrs     x2, s3_0_c12_c12_5
        mrs     x3, s3_4_c12_c9_5       // ICC_SRE_EL2
        mov     x0, #0
        eret
"""


def test_the_system_register_interface_is_on_for_good():
    with Machine("numbered", dispatcher=DISPATCHER) as machine:
        call = machine.hvc(0x1000)
    assert (call.x0, call.x1, call.x2, call.x3) == (0, 7, 7, 15)


def test_a_register_that_is_only_read_cannot_be_written():
    registers = software_sysregs.reset()
    before = dict(registers)
    assert software_sysregs.write(registers, "ICC_SRE_EL2", 0)
    assert not software_sysregs.write(registers, "ICH_VTR_EL2", 0)
    assert registers == before
