"""What the tests of all lessons share: no check keeps them waiting."""

import pytest

from hypkit.header import front_end
from hypkit.lessons import judge
from tests import clang_here


@pytest.fixture(autouse=True, scope="package")
def impatient():
    """Loops at EL2 end soon, and one clang compiles all: test_header.py proves the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "BUDGET", 20_000)
        patch.setattr(front_end, "opened", clang_here.opened)
        yield
    clang_here.close()
