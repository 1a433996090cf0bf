"""Marks that tests of several files carry."""

import pytest

from hypkit import asm

needs_keystone = pytest.mark.skipif(
    not asm.keystone.present(), reason="there is no Keystone on this machine"
)
