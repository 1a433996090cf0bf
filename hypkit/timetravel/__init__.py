"""The stepper: a trace that can be walked forwards and backwards."""
