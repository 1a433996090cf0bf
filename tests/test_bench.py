"""The benchmark's own bookkeeping: goals told from misses, an unknown name refused."""

import pytest

from tests.bench.__main__ import main
from tests.bench.figures import Figure


@pytest.mark.parametrize(
    ("value", "goal", "reached"),
    [
        (1.0, ("at least", 1.0), True),
        (0.99, ("at least", 1.0), False),
        (1.0, ("at most", 1.0), True),
        (1.01, ("at most", 1.0), False),
        (5.0, None, None),
    ],
)
def test_a_figure_knows_whether_it_reached_its_goal(value, goal, reached):
    figure = Figure("ratio to a peer", value, "x", goal)
    assert figure.reached is reached
    assert ("MISSED" in figure.line()) is (reached is False)


def test_an_unknown_benchmark_is_refused_by_name():
    with pytest.raises(SystemExit, match="no benchmark nothing: there are .*machine"):
        main(["nothing"])
