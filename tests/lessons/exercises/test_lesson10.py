"""Answers to the exercises of 10-what-linux-did, its policy and its timeline."""

import numpy as np
import pytest

from hypkit import Machine, facts
from hypkit.kernel.variants import HYPERCALLS
from hypkit.lessons.exercises.lesson10 import BASE, EARLY, ENOSYS, policy
from hypkit.lessons.pictures.lesson10 import show_timeline, sources_table

M64 = (1 << 64) - 1
LATER = [name for name in HYPERCALLS if name not in EARLY]


def refused(machine, x0, *args):
    return machine.hvc(x0, *args).x0 == (1 << 64) - 1


def by_heart(machine, x0, *args):
    machine.hvc(x0, *args)
    return not 0xC600_0001 <= x0 <= 0xC600_000E


RIGHT_ANSWERS = [
    ("10.1", {"fnptr", "jump_table"}),
    ("10.1", ["jump_table", "fnptr"]),
    ("10.1", (name for name in ("fnptr", "jump_table"))),
    ("10.1", np.array(["fnptr", "jump_table"])),
    ("10.2", refused),
    ("10.2", lambda *a: int(refused(*a))),
    ("10.2", lambda m, x0, *a: np.int64(np.uint64(m.hvc(x0, *a).x0).astype("i8")) == -1),
    ("10.2", lambda m, x0, *a: m.hvc(x0, *a).x0 != 0),
    ("10.3", {"order": np.array([*EARLY, *LATER]), "hcall_min": np.int64(4)}),
    ("10.3", {"order": dict.fromkeys([*EARLY, *LATER]), "hcall_min": 4}),
    ("10.3", {"order": (name for name in [*EARLY, *LATER]), "hcall_min": 4}),
    ("10.3", {"order": [*EARLY, *LATER], "hcall_min": 4}),
    ("10.3", {"order": (*reversed(EARLY), *reversed(LATER)), "hcall_min": 4}),
]
MISTAKES = [
    ("10.1", {"fnptr"}, "there is one more"),
    ("10.1", {"fnptr", "jump_table", "relocated"}, "relocated loads 1 time in its dispatch, first"),
    ("10.1", {"vhe"}, "got 'vhe'"),
    ("10.2", lambda m, x0, *a: m.hvc(x0, *a).x1 == (1 << 64) - 1, "expected True; got False"),
    (
        "10.2",
        lambda m, x0, *a: m.hvc(x0, *a).result in (ENOSYS, (1 << 64) - 1),
        "got False, after 73 steps that left 0xffffffffffffffff in x0",
    ),
    ("10.2", lambda m, x0, *a: m.hvc(x0, *a).x0 or 7, "Expected True or False"),
    ("10.2", by_heart, "On a machine whose EL2 knows other numbers"),
    ("10.2", lambda m, x0, *a: (c := m.hvc(x0, *a)).x0 == M64 and c.x1 == 0, "expected True"),
    ("10.2", lambda m, x0, *a: (c := m.hvc(x0, *a)).x0 == M64 and c.x1 != 7, "expected True"),
    ("10.2", lambda m, x0, *a: m.hvc(x0, *a).x0 == -1, "without a sign: -1 is 2**64 - 1"),
    ("10.2", lambda m, x0, *a: m.hvc(x0).x0 == M64, "are the arguments passed on?"),
    ("10.2", lambda m, x0, *a: refused(m, x0, *a) and refused(m, x0, *a), "make one call; got 2"),
    ("10.1", {"fnptr", "jump_tabel"}, "did you mean 'jump_table'"),
    ("10.1", "fnptr", "a set of variants' names; got 'fnptr'"),
    ("10.3", {"order": {*EARLY, *LATER}, "hcall_min": 4}, "a set, which has no order"),
    (
        "10.3",
        {"order": [*LATER, *EARLY], "hcall_min": 10},
        "Once KVM is final, expected __kvm_timer_set_cntvoff to be called",
    ),
    ("10.3", {"order": [*EARLY, *LATER], "hcall_min": 5}, "is refused at step"),
    ("10.2", lambda m, x0, *a: x0 > 5, "made no call"),
    ("10.3", {"order": list(HYPERCALLS), "hcall_min": 4}, "is refused at step"),
    ("10.3", {"order": [*EARLY, *LATER], "hcall_min": 3}, "still enters it at step"),
    ("10.3", {"order": [*EARLY, *LATER[1:]], "hcall_min": 4}, f"without {LATER[0]}"),
    ("10.3", {"order": [*EARLY, *LATER], "hcall_min": 99}, "from 0 to 14"),
]
NONSENSE = [
    "junk",
    [[]],
    {"order": "x", "hcall_min": 1},
    {"order": [1], "hcall_min": 1},
    {"order": None, "hcall_min": "four"},
]


def test_the_policy_refuses_what_lies_below_hcall_min_and_calls_the_rest():
    with Machine("numbered", seed=9, dispatcher=policy(HYPERCALLS, 9)) as machine:
        for n, name in enumerate(HYPERCALLS):
            if name.endswith(("aprs", "run_nvhe")):
                continue  # they want a vCPU
            call = machine.hvc(BASE + n, "kvm0")
            assert (call.trace.find(name) is None) == (n < 9), name
            assert call.x0 == ENOSYS or n >= 9
        assert machine.hvc(BASE + len(HYPERCALLS)).x0 == machine.hvc(-1).x0 == ENOSYS
        assert machine.hvc(0).x0 == 0xBADCA11


def test_the_timeline_tells_every_step_that_is_known_and_its_source():
    picture, table = show_timeline(), sources_table()
    for event in facts.history():
        assert f"{event.when}: {event.title}" in picture.alt
        assert event.title in repr(table)
        assert event.source.url in table._repr_html_().replace("&amp;", "&")
    assert not any(
        e.title in picture.alt for e in facts.history(recalled=True) if e.confidence == "recalled"
    )


def test_the_timeline_shows_nothing_recalled_and_nothing_else():
    recalled = [e for e in facts.history(recalled=True) if e.confidence == "recalled"]
    with pytest.raises(ValueError, match="is recalled: a picture shows no such thing"):
        show_timeline(recalled)
    with pytest.raises(TypeError, match="expected a step of facts.history"):
        show_timeline(["x"])
    with pytest.raises(ValueError, match="no step to show"):
        show_timeline([])


def test_the_timeline_counts_what_each_machine_executes_at_el2():
    picture = show_timeline()
    for event in facts.history():
        if event.variant:
            with Machine(event.variant, seed=7) as machine:
                count = machine.call("__kvm_timer_set_cntvoff", 0x1234).cost.hyp.instructions
            assert (
                f"{event.title}, here {event.variant}, {count} instructions at EL2." in picture.alt
            )
