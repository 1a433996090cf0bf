"""Hooks for the whole suite: HYPKIT_REQUIRE is checked first, the judges are named last."""

import pytest

from hypkit.machine.hooks import native
from tests import engine_hidden, judges


def pytest_configure(config):
    try:
        judges.required()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(engine_hidden)
    # Now, so that no notebook is the first: that the machine is compiled is said on stderr, which
    # would be an output more than its file has.
    native.address("trace_hook")
    native.address("call_begins", "watching")


def pytest_sessionfinish(session):
    """Hand what a worker has counted to the process that prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["judged"] = judges.counts()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    for what, number in getattr(node, "workeroutput", {}).get("judged", {}).items():
        judges.judged(what, number)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("outside judges")
    for line in judges.summary():
        terminalreporter.write_line(line)
