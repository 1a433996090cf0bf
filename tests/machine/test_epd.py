"""TCR_EL1.EPD0 and EPD1: a half of EL1's addresses that is not walked at all."""

import pytest

from hypkit import Machine
from hypkit.machine.mmu import EPD0, EPD1


@pytest.mark.parametrize(("bit", "space"), [(EPD0, "low"), (EPD1, "image"), (EPD1, "linear")])
def test_a_half_that_is_switched_off_faults_at_level_0(bit, space):
    with Machine("numbered") as machine:
        va = 0x1000 if space == "low" else machine.address("host_idle", space)
        before = machine.translate(va, el=1)
        machine._cpu.write_sysreg("TCR_EL1", machine.sysreg("TCR_EL1") | bit)
        after = machine.translate(va, el=1)
        assert (after.pa, after.levels, after.fault) == (None, (), "translation fault, level 0")
        assert machine.translate(va, el=2).pa == machine.translate(va, el=2).pa
        assert space == "low" or before.pa is not None
