"""Drawings: the tools, and the pictures that several lessons share."""
