"""Marks that tests of several files carry, and how slow the processor is that they run on."""

import os

import pytest

from hypkit import asm

# What a limit of processor time is multiplied by: tests/arm64/run sets it, for QEMU's user emulation.
SLOWER = float(os.environ.get("HYPKIT_SLOWER", "1"))

needs_engine = pytest.mark.skipif(
    not asm.engine.present(), reason="this machine has no engine for the assembler"
)
on_a_real_processor = pytest.mark.skipif(
    SLOWER > 1, reason="an emulated processor's memory is its emulator's too"
)
