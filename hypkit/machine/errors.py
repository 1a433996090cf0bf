"""The errors of the machine."""

from __future__ import annotations


class MachineError(RuntimeError):
    """Something the machine cannot do; the message says what, where, and what to try."""
