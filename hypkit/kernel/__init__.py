"""The kernel under study: variants, memory map, image, and the code that boots it."""
