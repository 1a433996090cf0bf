"""What the tests of all lessons share: no check keeps them waiting."""

import pytest

from hypkit.header import front_end
from hypkit.lessons import recording
from tests import clang_here


@pytest.fixture(autouse=True, scope="package")
def impatient(tmp_path_factory):
    """Loops at EL2 end soon, and one clang compiles all: test_header.py proves the other."""
    with pytest.MonkeyPatch.context() as patch:
        # What passes in a test is nobody's progress.
        patch.setenv("HYPKIT_PROGRESS", str(tmp_path_factory.mktemp("progress")))
        patch.setattr(recording, "BUDGET", 20_000)
        patch.setattr(front_end, "opened", clang_here.opened)
        yield
    clang_here.close()
