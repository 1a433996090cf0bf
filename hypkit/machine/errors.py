"""The errors of the machine."""

from __future__ import annotations

from hypkit.errors import KitError


class MachineError(KitError, RuntimeError):
    """Something the machine cannot do; the message says what, where, and what to try."""
