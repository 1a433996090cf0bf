"""A Cortex-A72 on Unicorn: RAM, MMU, exception entry, system registers."""
