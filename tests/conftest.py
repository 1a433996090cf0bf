"""Hooks for the whole suite: HYPKIT_REQUIRE is checked first, the judges are named last."""

import pytest

from hypkit.machine.hooks import native
from tests import judges


def pytest_configure(config):
    try:
        judges.required()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    # Now, so that no notebook is the first: that the machine is compiled is said on stderr, which
    # would be an output more than its file has.
    native.address("trace_hook")


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("outside judges")
    for line in judges.summary():
        terminalreporter.write_line(line)
