"""Tests of hypkit.linux that need no kernel: formats, refusals, the cache."""
