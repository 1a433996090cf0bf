"""The A64 architecture as data: registers, syndromes, instructions, page tables."""
