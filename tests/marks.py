"""Marks that tests of several files carry."""

import pytest

from hypkit import asm

needs_engine = pytest.mark.skipif(
    not asm.engine.present(), reason="this machine has no engine for the assembler"
)
