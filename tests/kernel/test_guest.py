"""The guest's behaviour: what every x0 leads to in both ABIs, and what the fourteen handlers do."""

import pytest

from hypkit import Machine
from hypkit.kernel.memory_map import CONSTANTS
from hypkit.kernel.variants import HYPERCALLS

ENOSYS = -38 & (1 << 64) - 1
STUB_ERR = CONSTANTS["HVC_STUB_ERR"]
MDCR = "__kvm_get_mdcr_el2"
SPACES = ("image", "linear", "physical", "hyp")


@pytest.fixture(scope="module")
def machines():
    """One machine a variant, with KASLR and a random tag."""
    made = {key: Machine(key, seed=77) for key in ("fnptr", "numbered")}
    yield made
    for machine in made.values():
        machine.close()


@pytest.fixture
def fnptr(machines):
    machines["fnptr"].reboot()
    return machines["fnptr"]


@pytest.fixture
def numbered(machines):
    machines["numbered"].reboot()
    return machines["numbered"]


# --- x0 -> outcome, as the patch as posted says -------------------------------------------------


@pytest.mark.parametrize("x0", [3, 0xFF, 0x10E, 0xFFF, 0x1000, 1 << 31, 1 << 63, (1 << 64) - 1])
def test_numbered_rejects_what_is_no_number_of_its_own(numbered, x0):
    assert (numbered.hvc(x0).outcome, numbered.hvc(x0).x0) == ("returned", ENOSYS)


@pytest.mark.parametrize("index", range(len(HYPERCALLS)))
def test_numbered_reaches_the_handler_of_each_number(numbered, index):
    call = numbered.hvc(0x100 + index, *("vcpu0", "kvm0")["vmid" in HYPERCALLS[index] :][:1])
    assert call.trace.find(HYPERCALLS[index]) is not None
    assert sum(call.trace.find(name) is not None for name in HYPERCALLS) == 1


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", HYPERCALLS)
def test_numbered_rejects_a_handlers_address_in_any_space(numbered, name, space):
    call = numbered.hvc(numbered.address(name, space))
    assert (call.outcome, call.x0) == ("returned", ENOSYS)


@pytest.mark.parametrize(
    "x0", [3, 0xFF, 0x100, 0x10D, 0x10E, 0xFFF, 0x1000, 1 << 31, 1 << 63, (1 << 64) - 1]
)
def test_fnptr_branches_to_whatever_mask_and_tag_make_of_a_number(fnptr, x0):
    call = fnptr.hvc(x0)
    assert call.outcome == "panicked"
    target = fnptr.layout.kern_hyp_va(x0)
    assert fnptr.panicked.elr == fnptr.panicked.far == target
    # An address that is not a multiple of four is refused before it is fetched.
    kind = "PC alignment fault" if x0 % 4 else "instruction abort, same exception level: transl"
    assert kind in call.message
    assert f"{target:#x}" in call.message


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", HYPERCALLS)
def test_fnptr_takes_a_handlers_address_in_every_space_but_the_images(fnptr, name, space):
    argument = "kvm0" if name.startswith("__kvm_tlb_flush_vmid") else "vcpu0"
    call = fnptr.hvc(fnptr.address(name, space), argument)
    if space == "image":
        # Bits 29 to 0 of an image address are not those of its linear alias.
        assert call.outcome == "panicked"
        assert "instruction abort" in call.message
    else:
        # Only the low 30 bits count, and RAM starts at a multiple of 1 GiB.
        assert call.outcome == "returned"
        assert call.trace.find(name) is not None


@pytest.mark.parametrize("key", ["fnptr", "numbered"])
def test_a_stub_call_that_kvm_does_not_offer_answers_stub_err(machines, key):
    machines[key].reboot()
    assert machines[key].hvc(0, machines[key].image.pa("__hyp_stub_vectors")).x0 == STUB_ERR


@pytest.mark.parametrize("key", ["fnptr", "numbered"])
def test_reset_vectors_gives_el2_back_to_the_stub(machines, key):
    m = machines[key]
    m.reboot()
    assert m.hvc(2).x0 == 0
    assert m.sysreg("VBAR_EL2") == m.image.pa("__hyp_stub_vectors")
    assert m.sysreg("SCTLR_EL2") & 1 == 0
    # KVM is gone: every other number is an error now, and SET_VECTORS works again.
    assert m.hvc(0x101).x0 == STUB_ERR
    assert m.hvc(m.address(MDCR, "linear")).x0 == STUB_ERR
    assert m.hvc(0, m.image.pa("__kvm_hyp_init")).x0 == 0
    assert m.sysreg("VBAR_EL2") == m.image.pa("__kvm_hyp_init")


@pytest.mark.parametrize("key", ["fnptr", "numbered"])
def test_soft_restart_goes_to_a_physical_address_at_el2_with_the_mmu_off(machines, key):
    m = machines[key]
    m.reboot()
    call = m.hvc(1, m.image.entry, 11, 22, 33)
    assert call.outcome == "restarted"
    whole = call.whole_trace
    start = whole.find("_text")
    assert (whole[start].pc, whole[start].el) == (m.image.entry, 2)
    assert [whole.register(f"x{n}", start) for n in range(3)] == [11, 22, 33]
    assert m.call(MDCR).x0 == CONSTANTS["PMU_COUNTERS"]


# --- The handlers --------------------------------------------------------------------------------


@pytest.fixture(params=["fnptr", "numbered"])
def m(request, machines):
    machines[request.param].reboot()
    return machines[request.param]


def writes(call, register):
    """The values that the call's MSR instructions wrote into a system register, in order."""
    return [
        call.trace.register(step.text.split(", ")[1], step.index)
        for step in call.trace
        if step.text.startswith(f"msr {register.lower()}, ")
    ]


def test_enable_ssbs_sets_dssbs_and_nothing_else(m):
    before = m.sysreg("SCTLR_EL2")
    m.call("__kvm_enable_ssbs")
    assert m.sysreg("SCTLR_EL2") == before | 1 << 44


def test_get_mdcr_returns_mdcr_el2(m):
    assert m.call(MDCR).x0 == m.sysreg("MDCR_EL2") == 6


@pytest.mark.parametrize(
    ("low", "high"), [(0x1234, 0), (0xFFFF_FFFF, 0x8000_0000), (0xAAAA_0000_0001, 2)]
)
def test_timer_set_cntvoff_joins_two_32_bit_halves(m, low, high):
    m.call("__kvm_timer_set_cntvoff", low, high)
    assert m.sysreg("CNTVOFF_EL2") == high << 32 | low & 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("name", "argument", "tlbi"),
    [
        ("__kvm_tlb_flush_local_vmid", "vcpu0", ["tlbi vmalle1"]),
        ("__kvm_flush_vm_context", None, ["tlbi alle1is"]),
        ("__kvm_tlb_flush_vmid", "kvm0", ["tlbi vmalls12e1is"]),
        ("__kvm_tlb_flush_vmid_ipa", "kvm0", ["tlbi ipas2e1is, x1", "tlbi vmalle1is"]),
    ],
)
def test_tlb_maintenance_is_done_for_the_vm_and_then_points_at_the_host_again(
    m, name, argument, tlbi
):
    call = m.call(name, *filter(None, [argument, 0x8000_5000 if len(tlbi) == 2 else None]))
    assert [step.text for step in call.trace if step.text.startswith("tlbi")] == tlbi
    assert m.sysreg("VTTBR_EL2") == 0
    if argument:
        vttbr = int.from_bytes(m.read(m.address("kvm0", "linear"), 8, el=1), "little")
        assert writes(call, "VTTBR_EL2") == [vttbr, 0]
        assert vttbr >> 48 == 1
    if len(tlbi) == 2:
        step = next(step for step in call.trace if "ipas2e1is" in step.text)
        assert step.regs["x1"] == 0x80005  # the page's number, not its address


def test_init_lrs_empties_as_many_list_registers_as_there_are(m):
    call = m.call("__vgic_v3_init_lrs")
    written = [step.text for step in call.trace if step.text.startswith("msr ich_lr")]
    assert written == [f"msr ich_lr{n}_el2, xzr" for n in (3, 2, 1, 0)]


def test_get_ich_vtr_returns_the_gics_own_word(m):
    assert m.call("__vgic_v3_get_ich_vtr_el2").x0 == m.sysreg("ICH_VTR_EL2")
    assert m.sysreg("ICH_VTR_EL2") & 0x1F == 3  # four list registers


def test_vmcr_reads_back_what_can_be_kept_of_what_was_written(m):
    m.call("__vgic_v3_write_vmcr", 0xF0FC_0003)
    assert m.call("__vgic_v3_read_vmcr").x0 == m.sysreg("ICH_VMCR_EL2") == 0xF0FC_000B


def test_aprs_go_to_the_gic_and_come_back(m):
    vcpu = m.address("vcpu0", "linear")
    offset = CONSTANTS["VCPU_VGIC"]
    pa = m.layout.pa(vcpu) + offset
    m._cpu.ram.store(pa, bytes(range(1, 33)))
    m.call("__vgic_v3_restore_aprs", "vcpu0")
    assert m.sysreg("ICH_AP0R0_EL2") == 0x04030201
    assert m.sysreg("ICH_AP1R0_EL2") == 0x14131211
    m._cpu.ram.store(pa, bytes(32))
    m.call("__vgic_v3_save_aprs", "vcpu0")
    saved = m.read(vcpu + offset, 32, el=1)
    # Five preemption bits: one register of each group, and the others are left alone.
    assert saved == bytes((1, 2, 3, 4)) + bytes(12) + bytes((17, 18, 19, 20)) + bytes(12)


def counter(m):
    """How often the VM came round its loop, read through stage 2 as the VM would."""
    ipa = m.image.vm.symbols["vm_counter"]
    return int.from_bytes(m._cpu.ram.load(m.translate(ipa, stage=2).pa, 8), "little")


def test_vcpu_run_enters_the_vm_and_returns_when_it_makes_an_hvc(m):
    call = m.call("__kvm_vcpu_run_nvhe", "vcpu0")
    assert call.x0 == CONSTANTS["ARM_EXCEPTION_TRAP"]
    vm = [step for step in call.trace if step.symbol.startswith("vm_")]
    assert vm[0].symbol == "vm_entry" and vm[-1].text == "hvc #0"
    assert {step.el for step in vm} == {1}
    # Both ways of the entry path are seen: the host's HVC and the VM's.
    entries = [step.index for step in call.trace if step.symbol == "el1_sync+0x18"]
    assert [call.trace[i + 1].symbol for i in entries] == ["dispatch", "el1_trap"]
    assert [call.trace.register("x1", i) != 0 for i in entries] == [False, True]


def test_vcpu_run_goes_on_where_the_vm_stopped(m):
    assert [(m.call("__kvm_vcpu_run_nvhe", "vcpu0"), counter(m))[1] for _ in range(3)] == [1, 2, 3]


def test_vcpu_run_gives_the_host_its_el1_back(m):
    names = (
        "SCTLR_EL1",
        "TCR_EL1",
        "TTBR0_EL1",
        "TTBR1_EL1",
        "MAIR_EL1",
        "VBAR_EL1",
        "SP_EL0",
        "HCR_EL2",
        "VTTBR_EL2",
    )
    before = [m.sysreg(name) for name in names]
    call = m.call("__kvm_vcpu_run_nvhe", "vcpu0")
    assert [m.sysreg(name) for name in names] == before
    assert m.sysreg("VTTBR_EL2") == 0
    assert call.trace.register("sp", 0) == call.trace.register("sp", len(call.trace))
    for n in range(19, 30):
        assert call.trace.register(f"x{n}", 0) == call.trace.register(f"x{n}", len(call.trace))


def test_vcpu_run_reports_an_address_that_stage_2_does_not_map(m):
    assert m.call("__kvm_vcpu_run_nvhe", "vcpu1").x0 == CONSTANTS["ARM_EXCEPTION_TRAP"]
    at = m.address("vcpu1", "linear") + CONSTANTS["VCPU_FAULT"]
    esr, far, hpfar = (int.from_bytes(m.read(at + 8 * n, 8, el=1), "little") for n in range(3))
    assert (far, hpfar) == (0x9000_0008, 0x9000_0 << 4)
    assert esr >> 26 == 0x24  # data abort from a lower exception level
    assert esr & 0x3F == 0x06  # translation fault, level 2
    assert esr >> 24 & 1 and esr >> 16 & 31 == 3  # a valid syndrome: the load was into x3


def test_el1_cannot_touch_what_it_may_not_write(m):
    """The host's own read-only data is read-only for EL2 as well."""
    call = m.call("__vgic_v3_save_aprs", m.address("kimage_voffset", "linear") - 392)
    assert call.outcome == "panicked"
    assert "permission fault, level 3 (write)" in call.message
    assert m.panicked.far == m.address("kimage_voffset", "hyp")
