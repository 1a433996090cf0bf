"""A plugin of pytest: the kernels that run the lessons see no engine, unless HYPKIT_ENGINE says which.

So `make test` runs each lesson once and shows two things: its outputs are those in the file, which
`make notebooks` writes with an engine, and no lesson needs an engine.
"""

import os

import pytest
from nbval.plugin import IPyNbCell


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Hide the engine while a notebook's kernel starts, which is before its first cell."""
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(item, IPyNbCell) and not os.environ.get("HYPKIT_ENGINE"):
            patch.setenv("HYPKIT_ENGINE", "none")
        return (yield)
