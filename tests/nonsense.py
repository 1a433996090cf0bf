"""What answers no exercise: None, other types, huge numbers, hostile objects, endless loops.

A lesson's own nonsense, of the shape that its exercises ask for, is in the lesson's test file.
"""

from hypkit import Machine


class Hostile:
    """Nothing about this can be asked without an exception."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


class FalseNumber:
    def __index__(self):
        raise OverflowError("no number after all")


def forever(*arguments):
    while True:
        pass  # noqa: E701 (one line: it has no line events)


def stubborn(*arguments):
    while True:
        try:
            sum(range(100))
        except Exception:
            pass


def deep(*arguments):
    return deep(*arguments)


def leaves(*arguments):
    raise SystemExit(3)


def restarts(machine, *arguments):
    machine.hvc(1)  # a soft restart to address 0


def closes(machine, *arguments):
    machine.close()


# With each label that an exercise asks of a dispatcher, so that it runs wherever one is taken.
LOOP = "dispatch:\n b dispatch\ndispatch_find:\ndispatch_call:\nkvm_hc_ni:\n"

NONSENSE = [
    None,
    "",
    " ",
    "51",
    "a string",
    "\0",
    b"x",
    LOOP,
    0,
    -1,
    10**100,
    1 << 200,
    10**400,
    -(1 << 64),
    3.5,
    float("nan"),
    True,
    1j,
    [],
    [1],
    [None],
    {},
    {"fnptr": None, "numbered": "x"},
    {"fnptr": 10**100, "numbered": -1},
    {1: 2},
    set(),
    object(),
    Hostile(),
    FalseNumber(),
    {"fnptr": Hostile(), "numbered": Hostile()},
    len,
    int,
    Machine,
    forever,
    stubborn,
    deep,
    leaves,
    restarts,
    closes,
    lambda: 1,
    lambda *a: 1 / 0,
    lambda *a: Hostile(),
    lambda *a: 10**5000,
    NotImplemented,
]
