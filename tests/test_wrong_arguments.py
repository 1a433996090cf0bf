"""Every public name of the machine, every argument, a table of wrong values: what was expected."""

import copy
import inspect
import pickle

import numpy as np
import pytest

from hypkit import Machine, MachineError
from hypkit.call import Call
from hypkit.errors import KitError
from hypkit.header import HeaderError

MDCR = "__kvm_get_mdcr_el2"


class Hostile:
    """Nothing about this can be asked without an exception."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __index__(self):
        raise OverflowError("no number after all")

    def __len__(self):
        raise RuntimeError("no length")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    def __array__(self, *arguments, **options):
        raise RuntimeError("no array")

    __hash__ = None


WRONG = {
    "None": None,
    "text": "zzz",
    "empty text": "",
    "bytes": b"x",
    "float": 1.5,
    "nan": float("nan"),
    "complex": 1j,
    "list": [],
    "lists": [[1], [2, 3]],
    "dict": {},
    "set": set(),
    "array": np.array([1.5]),
    "huge": 1 << 70,
    "5,000 digits": 10**5000,
    "negative and huge": -(1 << 64),
    "class": int,
    "function": len,
    "generator": (x for x in ()),
    "hostile": Hostile(),
    "surrogate": "\ud800",
}
# What is right of these for an argument, by the names above.
USES = {
    "variant": (lambda m, x: Machine(x), ()),
    "seed": (lambda m, x: Machine(seed=x), ()),
    "budget": (lambda m, x: Machine(budget=x), ()),
    "dispatcher": (lambda m, x: Machine(dispatcher=x), ("None",)),
    "cpu": (lambda m, x: Machine(cpu=x), ()),
    "second argument": (lambda m, x: Machine("numbered", x), ()),
    "budget set later": (lambda m, x: setattr(m, "budget", x), ()),
    "call what": (lambda m, x: m.call(x), ()),
    "call argument": (lambda m, x: m.call(MDCR, x), ()),
    "hvc x0": (lambda m, x: m.hvc(x), ()),
    "hvc argument": (lambda m, x: m.hvc(0x101, x), ()),
    "request what": (lambda m, x: m.request(x), ()),
    "request argument": (lambda m, x: m.request(MDCR, x), ()),
    "reboot requests": (lambda m, x: m.reboot(x), ("list",)),
    "run ids": (lambda m, x: m.run(x), ("list",)),
    "run args": (lambda m, x: m.run([0x101], x), ("None", "list")),
    "x0_of": (lambda m, x: m.x0_of(x), ()),
    "reg": (lambda m, x: m.reg(x), ()),
    "sysreg": (lambda m, x: m.sysreg(x), ()),
    "address symbol": (lambda m, x: m.address(x), ()),
    "address space": (lambda m, x: m.address(MDCR, x), ()),
    "translate va": (lambda m, x: m.translate(x), ()),
    "translate el": (lambda m, x: m.translate(0, x), ()),
    "translate stage": (lambda m, x: m.translate(0, stage=x), ()),
    "read va": (lambda m, x: m.read(x, 8), ()),
    "read size": (lambda m, x: m.read(m.address("kvm0", "hyp"), x), ()),
    "read el": (lambda m, x: m.read(0, 8, x), ()),
    "poke va": (lambda m, x: m.poke(x, b"x"), ()),
    "poke data": (lambda m, x: m.poke(m.address("kvm0", "linear"), x), ("bytes", "array")),
    "entry_of va": (lambda m, x: m.entry_of(x), ()),
    "entry_of el": (lambda m, x: m.entry_of(0, x), ()),
    "restore": (lambda m, x: m.restore(x), ()),
}


@pytest.fixture(scope="module")
def m():
    with Machine("numbered", seed=9) as machine:
        yield machine


@pytest.mark.parametrize("use", USES)
def test_a_wrong_argument_is_answered_by_one_sentence_of_the_kit(m, use):
    work, right = USES[use]
    for name, value in WRONG.items():
        if name in right:
            work(m, value)
            continue
        with pytest.raises((KitError, HeaderError)) as caught:
            work(m, value)
        text = str(caught.value)
        assert text and "\n" not in text.rstrip("^ \n").split("\n    ")[0], (name, text)
        assert len(text) < 700 and " object at 0x" not in text, (name, text)
        assert m.stopped is None, name
    assert m.hvc(0x101).x0 == 6


def test_every_public_method_of_a_machine_is_in_the_table():
    taking = {
        name
        for name, method in inspect.getmembers(Machine, inspect.isfunction)
        if not name.startswith("_") and len(inspect.signature(method).parameters) > 1
    }
    assert taking == {use.split()[0] for use in USES} & taking


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda m: Machine("numbered", 5), "Did you mean seed=5?"),
        (lambda m: Machine("numbered", "dispatch:"), "Did you mean dispatcher='dispatch:'?"),
        (lambda m: Machine("numbred"), "did you mean 'numbered'?"),
        (lambda m: m.hvc("0x50"), "no symbol '0x50': a number goes without quotes, 0x50"),
        (lambda m: m.call(MDCR, "17"), "a number goes without quotes, 0x11"),
        (lambda m: m.reboot([[]]), "requests has shape (1, 0): expected rows of 8 words"),
        (lambda m: m.run([[1], [2, 3]]), "ids: expected whole numbers of 64 bits, and as many in"),
        (lambda m: m.run(range(1 << 40)), "ids: expected at most 50,000,000 of them; got 1,099"),
        (lambda m: m.address([]), "no symbol []: a symbol is a name in quotes"),
        (lambda m: Machine(seed=10**5000), "seed: expected a whole number from 0 to 2**64 - 1"),
        (lambda m: Machine(seed=-1), "seed: expected a whole number from 0"),
        (lambda m: m.read(0, 1 << 40), "size: expected 0 to 16,777,216 bytes; got 1099511627776"),
        (lambda m: m.x0_of(0x101), "x0_of: expected the name of a hypercall; got 257"),
    ],
)
def test_a_likely_slip_is_told_what_to_try(m, use, says):
    with pytest.raises(KitError) as caught:
        use(m)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "work", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"]
)
def test_a_machine_and_its_snapshots_cannot_be_copied(m, work):
    for thing in (m, [m], m.snapshot()) if work is not copy.copy else (m,):
        with pytest.raises(MachineError, match="cannot be copied or pickled: make another"):
            work(thing)
    assert m.hvc(0x101).x0 == 6


def test_a_call_is_a_value_and_survives_its_machine():
    with Machine("numbered") as machine:
        call = machine.call(MDCR)
    assert isinstance(call, Call) and call.x0 == 6 and call.cost is not None
    assert repr(call) == "Call(numbered: __kvm_get_mdcr_el2() returned: x0 = 0x6)"


def test_a_call_after_kvm_has_left_says_why_it_is_refused():
    with Machine("numbered") as machine:
        assert machine.hvc(0).message == "returned"  # KVM's own refusal
        machine.hvc(2)
        call = machine.call(MDCR)
        assert call.x0 == 0xBADCA11 and call.outcome == "returned"
        assert "from the stub: KVM has given EL2 up" in call.message
        assert "from the stub" in repr(call)
        machine.reboot()
        assert machine.call(MDCR).message == "returned"


def test_a_budget_set_later_counts():
    loop = "dispatch:\n divert_stub_calls\n1: b 1b\n eret\n dsb nsh\n isb\n"
    with Machine("numbered", dispatcher=loop) as machine:
        machine.budget = np.int32(1000)
        assert len(machine.hvc(0x100).whole_trace) == machine.budget == 1000


@pytest.mark.parametrize(("x1", "place"), [(0, "0x0"), (0x9000_0000, "0x90000000")])
def test_a_soft_restart_to_where_no_memory_is_says_where_it_went(x1, place):
    with Machine("numbered") as machine:
        call = machine.hvc(1, x1)
        assert call.outcome == "runaway" and call.x0 is None
        assert call.message.startswith(
            f"it went to {place} at EL2 with the MMU off, and there is no"
        )
        assert "goes to the physical address in x1" in str(machine.stopped)
        machine.reboot()
        assert machine.hvc(1, 0x4028_0000).outcome == "restarted"  # the kernel's entry again
