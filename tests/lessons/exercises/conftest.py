"""What the tests of all lessons share: no check keeps them waiting."""

import json

import pytest

from hypkit import header
from hypkit.header import compiler
from hypkit.lessons import judge


@pytest.fixture(autouse=True, scope="package")
def impatient():
    """Loops at EL2 end soon, and C compiles in this process: test_header.py proves the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "BUDGET", 20_000)
        patch.setattr(header, "_run", lambda job: json.dumps(compiler.answer(json.loads(job))))
        yield
