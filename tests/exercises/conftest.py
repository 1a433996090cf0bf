"""What the tests of all lessons share: no check keeps them waiting."""

import json

import pytest

from hypkit import _compile, exercises, header


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Endless loops end soon, and C compiles in this process: test_header.py proves the other."""
    monkeypatch.setattr(exercises, "SECONDS", 1.0)
    monkeypatch.setattr(exercises, "BUDGET", 20_000)
    monkeypatch.setattr(header, "_run", lambda job: json.dumps(_compile.answer(json.loads(job))))
