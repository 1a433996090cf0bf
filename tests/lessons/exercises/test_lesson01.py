"""Answers to the exercises of 01-there-and-back, and the machines they are about."""

from hypkit import Machine
from hypkit.kernel.memory_map import VM_IPA
from hypkit.lessons.exercises import lesson01
from notebooks.src.build import TEXTS

with Machine("fnptr", seed=7) as machine:
    HVC, LINEAR = (machine.address("__kvm_call_hyp", space) for space in ("image", "linear"))
    VECTORS = machine.sysreg("VBAR_EL2")


def count_to(machine, n):
    for _ in range(n):
        machine.call("__kvm_vcpu_run_nvhe", "vcpu0")


def count_in_bulk(machine, n):
    machine.run([machine.x0_of("__kvm_vcpu_run_nvhe")] * n, (machine.address("vcpu0", "linear"),))


def counter(machine):
    return machine.address("vm_memory", "linear") + (
        machine.image.programs[-1].symbols["vm_counter"] - VM_IPA
    )


def poked(machine, n):
    machine.poke(counter(machine), n.to_bytes(8, "little"))


def poked_all_but_one(machine, n):
    machine.poke(counter(machine), (n - 1).to_bytes(8, "little"))
    count_to(machine, 1)


def counted_by_a_generator(machine, n):
    for _ in range(n):
        yield machine.call("__kvm_vcpu_run_nvhe", "vcpu0")


async def counted_some_day(machine, n):
    count_to(machine, n)


def break_it(machine, kind):
    if kind == "instruction":
        machine.hvc(0x1000)
    else:
        machine.call("__kvm_tlb_flush_vmid", 0x1000)
    return machine.panicked.esr >> 26


RIGHT_ANSWERS = [
    ("01.1", HVC + 4),
    ("01.1", HVC + 4 - (1 << 64)),
    ("01.2", {"fnptr": 28, "numbered": 41}),
    ("01.2", (28, 41)),
    ("01.2", {"numbered": 41, "fnptr": 28}),
    ("01.3", count_to),
    ("01.3", count_in_bulk),
    ("01.4", break_it),
]


def half_break(machine, kind):
    machine.hvc(0x1000)
    return machine.panicked.esr >> 26


def whole_syndrome(machine, kind):
    break_it(machine, kind)
    return machine.panicked.esr


MISTAKES = [
    ("01.1", HVC, "the HVC itself at step 10"),
    ("01.1", VECTORS + 0x400, "where EL2 begins at step 11"),
    ("01.1", LINEAR + 4, "the linear address of"),
    ("01.1", HVC + 8, "the image address of"),
    ("01.1", 0x1234, "no address of the machine with seed 7"),
    ("01.2", {"fnptr": 29, "numbered": 41}, "finds the hyp address in x0 already"),
    ("01.2", {"fnptr": 28, "numbered": 35}, "the image address of __kvm_get_mdcr_el2"),
    ("01.2", {"fnptr": 24, "numbered": 41}, "no address at all"),
    ("01.2", {"fnptr": 28, "numbered": 32}, "leaves x0 alone"),
    ("01.2", {"fnptr": 28, "numbered": 99}, "expected a step of the call, 0 to 55"),
    ("01.2", {"fnptr": 28}, 'the key "numbered" is missing'),
    ("01.3", lambda m, n: count_to(m, n - 1), "at 3; got 2, with 2 calls made"),
    ("01.3", lambda m, n: count_to(m, n + 1), "got 4"),
    (
        "01.3",
        lambda m, n: [m.call("__kvm_vcpu_run_nvhe", "vcpu1") for _ in range(n)],
        "the VM never stored to it",
    ),
    ("01.1", HVC + 8 - (1 << 64), "the image address of"),
    ("01.1", hex(HVC + 4), "a string: write the number without quotes"),
    ("01.2", {28, 41}, "Expected a dict with a step's number"),
    ("01.2", {"fnptr": "28", "numbered": 41}, "without quotes"),
    ("01.3", poked, "the VM stored to it never: you wrote to its memory yourself"),
    ("01.3", poked_all_but_one, "the VM stored to it 1 time: you wrote to its memory yourself"),
    ("01.3", counted_by_a_generator, "count_to has a `yield`, which makes it a generator"),
    ("01.3", counted_some_day, "count_to is an `async def`"),
    (
        "01.3",
        lambda m, n: [m.hvc(0x105, m.address("vcpu0", "linear")) for _ in range(n)],
        'On Machine("fnptr"), expected the VM\'s counter at 1; got 0',
    ),
    ("01.3", lambda m, n: n + 1, "made no call"),
    ("01.4", lambda m, k: break_it(m, "data"), "For 'instruction', expected exception class 0x21"),
    (
        "01.4",
        lambda m, k: m.call("__kvm_flush_vm_context") and m.panicked.esr >> 26,
        "For 'instruction', expected EL2 to panic; it did not, so machine.panicked is None",
    ),
    ("01.4", lambda m, k: break_it(m, k) + 1, "expected break_it to return the exception class"),
    ("01.4", half_break, "hyp_panic at step 27 found class 0x21"),
    ("01.4", whole_syndrome, "all of ESR_EL2"),
    ("01.4", lambda m, k: break_it(m, k) and None, "got None"),
    ("01.4", lambda m, k: m.hvc(0x1001), "PC alignment fault"),
    ("01.4", lambda m, k: m.call("__kvm_get_mdcr_el2"), "expected EL2 to panic"),
]


def test_the_machines_that_are_judged_are_those_that_the_text_names():
    text = (TEXTS / "01-there-and-back.md").read_text(encoding="utf-8")
    assert f'Machine("fnptr", seed={lesson01.RETURN_SEED})' in text
    for abi in lesson01.ABIS:
        assert f'{abi} = Machine("{abi}", seed={lesson01.FIND_SEED})' in text
