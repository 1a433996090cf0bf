"""The attack: sound dispatchers give no finding, a hole is found, and a finding is what it says."""

import dataclasses
import sys

import numpy as np
import pytest
from tqdm.std import tqdm

from hypkit import VARIANTS, AsmError, Machine, attack
from hypkit.attack import Outcome
from hypkit.attack.fuzz import Target
from hypkit.attack.ground import ground_of
from hypkit.attack.hostile import Hostile
from hypkit.attack.outcomes import Classifier, restarted
from hypkit.attack.watch import Watch
from hypkit.machine.hooks.watch_state import F, R
from tests.attack import classes, mutants

NUMBERED = [key for key in VARIANTS if VARIANTS[key].numbers]


def quick(variant, calls=6_000, **options):
    return attack.fuzz(variant, calls, seed=2020, progress=False, **options)


@pytest.mark.parametrize("variant", NUMBERED)
def test_a_dispatcher_by_number_keeps_to_its_functions_whatever_x0_is(variant):
    report = quick(variant)
    assert report.silent, report.findings
    assert set(report.counts) <= {
        Outcome.HANDLED, Outcome.REFUSED, Outcome.STUB, Outcome.PANIC, Outcome.EL2_CHANGED,
        Outcome.LOST, Outcome.LEAKED, Outcome.RESTARTED, Outcome.REBOOTED,
    }  # fmt: skip
    assert not any(f.verdict.outcome is Outcome.RESTARTED for f in report.arguments)
    served = sum(report.counts.get(outcome, 0) for outcome in (Outcome.HANDLED, Outcome.LEAKED))
    assert served > 1_000 and report.counts[Outcome.REFUSED] > 1_000


def test_a_pointer_runs_the_hyp_text_from_any_of_its_instructions_on():
    report = quick("fnptr", 8_000)
    entered = {
        f.verdict.detail for f in report.findings if f.verdict.outcome is Outcome.MID_FUNCTION
    }
    assert len(entered) > 100
    assert any(f.verdict.outcome is Outcome.OTHER for f in report.findings)


@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_a_planted_hole_is_found_and_as_what_it_is(name):
    report = mutants.attacked(name)
    assert not report.silent
    assert mutants.right(name, report), report.findings[:3]


def test_a_hole_of_another_kind_is_not_taken_for_it():
    report = mutants.attacked("numbered: x19 is used")
    for name, (kind, variant, *_) in mutants.MUTANTS.items():
        if variant == "numbered" and kind != "clobber":
            assert not mutants.right(name, report), name


def test_the_planted_holes_are_of_eight_kinds_and_at_least_thirty_and_no_two_alike():
    assert len(mutants.MUTANTS) >= 30
    assert len({kind for kind, *_ in mutants.MUTANTS.values()}) == 8
    codes = set()
    for name in mutants.MUTANTS:
        variant, text = mutants.text(name)
        with Machine(variant, seed=2020, dispatcher=text) as mutant:
            codes.add((variant, mutant.image.dispatcher.code))
    assert len(codes) == len(mutants.MUTANTS)


def test_every_class_has_a_smallest_example_that_ends_as_it_says():
    found = classes.examples()
    assert set(found) == set(Outcome) and None not in found.values(), found
    assert found[Outcome.HANDLED].request[0] >> 16 == 0xC600
    assert found[Outcome.REFUSED].request == (3, *[0] * 6)
    assert found[Outcome.STUB].request == (0,) * 7
    assert found[Outcome.DENIED].request == (0x100, *[0] * 6)
    assert "EL2 panicked at" in found[Outcome.PANIC].how  # with its reason
    assert "+0x" in found[Outcome.MID_FUNCTION].how  # and which instruction was the first
    assert "started again" in found[Outcome.REBOOTED].how
    assert found[Outcome.CLOBBERED].how.startswith("x27;")


@pytest.mark.parametrize(
    ("name", "outcome", "detail", "request_"),
    [
        ("numbered: one number too many", Outcome.PANIC, "at no address of the text", (0x10E,)),
        ("jump_table: a number used twice", Outcome.OTHER, "__kvm_enable_ssbs", (0x1001,)),
        ("smccc: a slot that is one instruction off", Outcome.MID_FUNCTION,
         "__kvm_enable_ssbs+0x4", (0xC600_0007,)),
        ("reviewed: a debug number returns mid-function", Outcome.MID_FUNCTION,
         "__kvm_get_mdcr_el2+0x4", (0xDB,)),
        ("relocated: a debug number writes VBAR_EL2", Outcome.EL2_CHANGED,
         "VBAR_EL2", (0xBEEF_0000_0000_5151,)),
        ("jump_table: x27 counts the calls", Outcome.CLOBBERED, "x27", (0x1000,)),
    ],
)  # fmt: skip
def test_the_smallest_call_of_a_finding_shows_it(name, outcome, detail, request_):
    variant, text = mutants.text(name)
    finding = quick(variant, 12_000, dispatcher=text).findings[0]
    assert (finding.verdict.outcome, finding.verdict.detail) == (outcome, detail)
    assert finding.request == (*request_, *[0] * (7 - len(request_))) and finding.before == ()


def test_a_finding_opens_in_the_stepper_at_the_call_that_shows_it():
    variant, text = mutants.text("smccc: a slot that is one instruction off")
    finding = quick(variant, 12_000, dispatcher=text).findings[0]
    call = finding.call()
    start = call.trace.image.pa("__kvm_enable_ssbs")
    layout = call.trace.image.layout
    handler = [s for s in call.trace if (layout.pa(s.pc) or 0) - start in range(16)]
    assert layout.pa(handler[0].pc) == start + 4
    assert "smccc" in repr(finding.stepper())


def test_the_same_seed_gives_the_same_report_and_another_seed_other_calls():
    one, two = (attack.fuzz("fnptr", 4_000, seed=3, progress=False) for _ in range(2))
    assert repr(one) == repr(two) and list(map(repr, one.findings)) == list(map(repr, two.findings))
    assert attack.fuzz("fnptr", 4_000, seed=4, progress=False).counts != one.counts


def test_one_machine_and_two_beside_each_other_find_the_same(monkeypatch):
    reports = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(sys.modules["hypkit.attack.fuzz"], "THREADS", threads)
        reports.append(attack.fuzz("fnptr", 40_000, seed=5, progress=False))
    one, *others = ([repr(r), *map(repr, (*r.findings, *r.arguments, *r.leaked))] for r in reports)
    assert len(one) > 100 and all(other == one for other in others)


def test_an_attack_on_what_never_comes_back_ends_early(monkeypatch):
    monkeypatch.setattr(sys.modules["hypkit.attack.fuzz"], "LOST_ENOUGH", 100)
    monkeypatch.setattr(sys.modules["hypkit.attack.fuzz"], "SLICE", 200)
    report = quick("numbered", 5_000, dispatcher=".globl dispatch_find\ndispatch_find: b .\n")
    assert 100 < report.calls <= 200 and report.worst is not Outcome.HANDLED
    assert report.counts[Outcome.LOST] >= 100
    assert report.calls == sum(report.counts.values())


@pytest.mark.parametrize(("calls", "progress", "shown"), [(400, True, True), (400, False, False),
                                                          (90, True, False)])  # fmt: skip
def test_a_bar_shows_how_far_many_calls_are(monkeypatch, capsys, calls, progress, shown):
    module = sys.modules["hypkit.attack.fuzz"]
    monkeypatch.setattr(module, "MANY_CALLS", 100)
    monkeypatch.setattr(module, "BAR_AFTER", 0)
    monkeypatch.setattr(module, "tqdm", tqdm)
    attack.fuzz("numbered", calls, progress=progress)
    assert (f"{calls}/{calls}" in capsys.readouterr().err) == shown


def test_a_kernel_that_starts_again_is_told_and_the_calls_after_it_are_their_own():
    with Machine("numbered", seed=2020) as machine:
        start = machine.image.pa("_text")
        requests = np.zeros((3, 7), dtype=np.uint64)
        requests[:, 0] = 1, 0x101, 0x101
        requests[0, 1] = start
        ground = ground_of(machine)
        with Watch(ground) as watch:
            records = watch.run(requests)
            assert watch.starts == [0, 1]  # what comes after it finds another machine
    verdicts = [
        Classifier(ground).verdict(*pair, None) for pair in zip(requests, records, strict=True)
    ]
    assert verdicts[0].outcome is Outcome.REBOOTED and verdicts[0].sound
    assert {v.detail for v in verdicts[1:]} <= {"__kvm_get_mdcr_el2", "x9", "x10", "x8"}
    with Machine("numbered", seed=2020) as machine:
        assert machine.hvc(1, start).outcome == "restarted"


def test_a_hole_that_needs_calls_before_it_is_found_with_them():
    opens = "dispatch_find:\n        cmp     x0, #0x5a\n"
    with Machine("numbered", seed=2020) as machine:
        text = machine.image.dispatcher.source
    # __kvm_enable_ssbs leaves its mark in SCTLR_EL2, and only then the door is open.
    door = opens + (
        "        b.ne    7f\n        mrs     x9, sctlr_el2\n        tbz     x9, #44, 7f\n"
        "        adr_l   x0, __kvm_get_mdcr_el2 + 4\n        b       dispatch_call\n7:\n"
    )
    report = quick("numbered", 30_000, dispatcher=text.replace("dispatch_find:\n", door))
    (finding,) = (f for f in report.findings if f.verdict.outcome is Outcome.MID_FUNCTION)
    assert finding.request[0] == 0x5A and [row[0] for row in finding.before] == [0x100]
    assert finding.call().trace.find("__kvm_get_mdcr_el2") is None


def test_what_a_function_does_with_its_arguments_is_no_finding_about_the_dispatcher():
    report = quick("numbered", 20_000)
    panics = {f.verdict.detail.split("+")[0] for f in report.arguments
              if f.verdict.outcome is Outcome.PANIC}  # fmt: skip
    assert "at __kvm_vcpu_run_nvhe" in panics and "at __vgic_v3_save_aprs" in panics
    wrote = [f for f in report.arguments if f.verdict.outcome is Outcome.EL2_CHANGED]
    assert wrote and all("wrote" in f.verdict.detail for f in wrote)
    for finding in report.arguments[:4]:
        assert finding.call().outcome in ("panicked", "returned", "runaway")


def test_bulk_classes_are_what_recorded_calls_show_one_by_one():
    """The outsider of the watch is the machine itself, asked call by call."""
    for key in ("numbered", "jump_table", "relocated"):
        target = Target(key, 7)
        with target.machine() as machine, target.machine() as plain:
            hostile, ground = Hostile(machine), ground_of(machine)
            classifier = Classifier(ground)
            random = np.random.default_rng(5)
            x0 = hostile.x0(random, 150)
            requests = np.column_stack([x0[x0 > 2], hostile.arguments(random, 150)[x0 > 2]])
            base = plain.snapshot()
            with Watch(ground) as watch:
                for request in requests:
                    (record,) = watch.run(request[None])
                    plain.restore(base)
                    call = plain.hvc(*map(int, request))
                    flags = F(int(record[R.FLAGS]))
                    assert bool(flags & F.RETURNED) == (call.outcome == "returned"), request
                    assert bool(flags & (F.ABORT | F.PANICKED)) == (call.outcome == "panicked")
                    if call.outcome == "returned":
                        got = tuple(map(int, record[R.X0 : R.X0 + 4]))
                        assert got == (call.x0, call.x1, call.x2, call.x3)
                    asked = classifier.expected(int(request[0]))
                    symbol = machine.image.symbolize(asked) if asked else None
                    reached = bool(symbol) and call.whole_trace.find(symbol) is not None
                    assert (int(record[R.TARGET]) == asked) == reached


def test_the_machine_is_as_it_was_after_a_watch():
    with Machine("numbered", seed=1) as machine:
        machine.hvc(0xFF)
        with Watch(ground_of(machine)) as watch:
            watch.run(np.array([[0x10E, 0, 0, 0, 0, 0, 0]] * 3, dtype=np.uint64))
        assert machine.call("__kvm_get_mdcr_el2").x0 == 6
        assert machine.run([0x101] * 5).tolist() == [6] * 5


def test_what_el1_writes_beforehand_is_part_of_what_is_attacked():
    with Machine("numbered", seed=2020) as machine:
        va = machine.address("kimage_voffset")
        value = int.from_bytes(machine.read(va, 8, el=1), "little")
    writes = ((va, (value - 8).to_bytes(8, "little"), "kimage_voffset - 8"),)
    target = dataclasses.replace(Target("numbered", 2020), writes=writes)
    report = attack.fuzz(target, 3_000, x0=False, arguments=False, progress=False)
    assert not report.silent


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: attack.fuzz("numbred"), KeyError, "numbered"),
        (lambda: attack.fuzz("vhe"), ValueError, "at EL2 itself: there is no boundary"),
        (lambda: attack.fuzz("numbered", 0), ValueError, "from 1 to 100,000,000; got 0"),
        (lambda: attack.fuzz("numbered", 2.5), TypeError, "calls"),
        (lambda: attack.fuzz("numbered", seed="x"), TypeError, "seed"),
        (lambda: attack.fuzz(Machine("numbered"), seed=-1), ValueError, r"2\*\*64 - 1; got -1"),
        (lambda: attack.matrix([]), ValueError, "at least one key of VARIANTS"),
        (lambda: attack.matrix(["vhe"], progress=False)[{}, []], KeyError, "expected a variant"),
        (lambda: attack.fuzz("numbered", dispatcher="nonsense"), AsmError, "nonsense"),
    ],
)
def test_a_wrong_argument_is_told(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def test_the_gic_of_a_watched_machine_keeps_what_the_machines_own_keeps():
    random = np.random.default_rng(11)
    with Machine("numbered", seed=7) as machine, Machine("numbered", seed=7) as plain:
        write, read = (plain.x0_of(f"__vgic_v3_{what}_vmcr") for what in ("write", "read"))
        base = plain.snapshot()
        with Watch(ground_of(machine)) as watch:
            for value in [0, (1 << 32) - 1, *random.integers(0, 1 << 32, 30).tolist()]:
                plain.restore(base)
                plain.hvc(write, value)
                requests = [[write, value, *[0] * 5], [read, *[0] * 6]]
                records = watch.run(np.array(requests, dtype=np.uint64))
                assert int(records[1, R.X0]) == plain.hvc(read).x0


@pytest.mark.parametrize(
    ("instruction", "register"),
    [
        ("fmov    d9, x11", "q9"),
        ("ins     v31.d[1], x11", "q31"),
        ("msr     fpsr, x11", "fpsr"),
        ("msr     fpcr, x11", "fpcr"),
    ],
)
def test_a_vector_register_that_a_dispatcher_uses_is_the_hosts(instruction, register):
    with Machine("jump_table", seed=2020) as machine:
        text = machine.image.dispatcher.source.replace("hcall_branches", "own_hcall_branches")
    at = "dispatch_call:\n"
    spoilt = f"{at}        mov     x11, #0x1f\n        movk    x11, #0x100, lsl #16\n        {instruction}\n"
    report = quick("jump_table", 2_000, dispatcher=text.replace(at, spoilt))
    assert {f.verdict.detail for f in report.findings} == {register}
    assert {f.verdict.outcome for f in report.findings} == {Outcome.CLOBBERED}


def test_a_register_that_the_calling_convention_keeps_is_missed_where_it_is_kept():
    for key, found in (("smccc", True), ("jump_table", False)):
        with Machine(key, seed=2020) as machine:
            text = machine.image.dispatcher.source
        for label in ("hcall_branches", "hcall_distances"):
            text = text.replace(label, f"own_{label}")
        last = text.rindex("        eret")
        report = quick(key, 3_000, dispatcher=f"{text[:last]}        mov     x9, #7\n{text[last:]}")
        clobbered = {f.verdict.detail for f in report.findings
                     if f.verdict.outcome is Outcome.CLOBBERED}  # fmt: skip
        assert clobbered == ({"x9"} if found else set()), key


def test_a_leak_is_a_class_and_no_fault_of_a_dispatcher_by_the_c_calling_convention():
    report = quick("numbered", 4_000)
    assert report.silent and report.leaks >= report.counts[Outcome.LEAKED] > 500
    finding = next(f for f in report.leaked if f.verdict.detail == "x10")
    call = finding.call()
    at = call.trace.register("x10", len(call.trace))
    assert call.trace.image.layout.space(at) == "hyp"


# Memory of a VM, the stub's own code, no memory, and no address of an instruction.
@pytest.mark.parametrize("x1", [0x4044_6000, 0x4028_4868, 0, 1 << 40, 1 << 63, 0x4044_6001])
def test_a_restart_of_el2_is_told_wherever_the_host_sends_it(x1):
    with Machine("numbered", seed=1) as machine, Watch(ground_of(machine)) as watch:
        request = np.array([[1, x1, 0, 0, 0, 0, 0]], dtype=np.uint64)
        (record,) = watch.run(request)
        verdict = Classifier(watch.ground).verdict(request[0], record, None)
    assert verdict.outcome is Outcome.RESTARTED and verdict.by_arguments
    assert verdict.detail == "__kvm_handle_stub_hvc"
    with Machine("numbered", seed=1) as machine:
        row = restarted(machine.hvc(1, x1).whole_trace, request[0].tolist())
    assert row is not None


@pytest.mark.parametrize("x0", [0, 2, 3, 0x101])
def test_other_calls_are_no_restart_though_one_of_them_turns_the_mmu_off(x0):
    with Machine("numbered", seed=1) as machine, Watch(ground_of(machine)) as watch:
        request = np.array([[x0, 0x4044_6000, 0, 0, 0, 0, 0]], dtype=np.uint64)
        (record,) = watch.run(request)
        assert not int(record[R.FLAGS]) & F.RESTARTED
        assert bool(int(record[R.FLAGS]) & F.STATE) == (x0 == 2)
    with Machine("numbered", seed=1) as machine:
        assert restarted(machine.hvc(x0, 0x4044_6000).whole_trace, request[0].tolist()) is None


def test_the_smallest_restart_of_many_calls_is_one_when_it_is_recorded():
    report = quick("numbered", 20_000)
    found = {finding.verdict.outcome: finding for finding in report.restarted}
    assert set(found) == {Outcome.RESTARTED, Outcome.REBOOTED}
    for outcome, finding in found.items():
        assert finding.verdict.sound and finding.count == report.counts[outcome]
    finding = found[Outcome.RESTARTED]
    assert finding.request == (1, *[0] * 6) and finding.before == ()
    with Machine("numbered", seed=2020) as machine:
        call = machine.hvc(1, 0x4044_6000)
    step = restarted(call.whole_trace, (1, 0x4044_6000))
    assert step is not None and int(call.whole_trace.pcs[step]) == 0x4044_6000


def test_a_restart_by_a_number_that_is_no_stub_call_is_a_finding():
    with Machine("numbered", seed=2020) as machine:
        text = machine.image.dispatcher.source
    # Into the middle of the stub's handler, after it has looked at the number.
    door = (
        "dispatch_find:\n        cmp     x0, #0x5a\n        b.ne    7f\n"
        "        ldr     x5, =__kvm_handle_stub_hvc + 8\n        adr_l   x6, kimage_voffset\n"
        "        ldr     x6, [x6]\n        sub     x5, x5, x6\n        br      x5\n7:\n"
    )
    report = quick("numbered", 20_000, dispatcher=text.replace("dispatch_find:\n", door))
    (finding,) = report.findings
    assert finding.verdict.outcome is Outcome.RESTARTED and finding.request[0] == 0x5A
    assert finding.verdict.detail == "__kvm_handle_stub_hvc+0x8"
