"""Hooks for the whole suite: HYPKIT_REQUIRE is checked first, the judges are named last."""

import pytest

from tests import judges


def pytest_configure(config):
    try:
        judges.required()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("outside judges")
    for line in judges.summary():
        terminalreporter.write_line(line)
