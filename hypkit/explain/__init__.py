"""An instruction and what it did, in words."""
